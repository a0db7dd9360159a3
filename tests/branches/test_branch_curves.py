"""Curves of folds and Hopf points in two parameters, limit cycles: closed forms, AUTO's demo `ab`, a simulation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from test_branches import AB, ab, code, existing, gap_model

import nmmjax as nmm


@functools.cache
def ab_hopf():
    return nmm.find_hopf(ab, "p1", [0.27, 1.0], {**AB, "p1": 0.165})


@functools.cache
def ab_cycles():
    return nmm.continue_cycle(ab_hopf(), (0.1, 0.25), intervals=20)


def test_cusp_of_mpr():
    """η_c = −√3 Δ, J_c = (8π/3)(3/4)^{1/4} √Δ, r_c = (3/4)^{1/4} √Δ/π; all folds on J = 2π²r + Δ²/(2π²r³)."""
    fold = nmm.find_fold(nmm.MPR(eta=-3.1, J=15.0), "eta", {"r": 0.16, "v": -1.0})
    curve = nmm.continue_fold(fold, "J", (-12.0, 2.0), (0.0, 20.0))
    special, n = existing(curve.special), int(curve.count)
    assert special.labels == ["CP"]
    np.testing.assert_allclose(special.parameters[0], [-(3**0.5), 8 * np.pi / 3 * 0.75**0.25], atol=1e-10)
    assert float(special.state.r[0]) == pytest.approx(0.75**0.25 / np.pi, abs=1e-10)
    r, J = curve.state.r[:n], curve.parameters[:n, 1]
    np.testing.assert_allclose(2 * np.pi**2 * r + 1 / (2 * np.pi**2 * r**3), J, rtol=1e-9)
    np.testing.assert_allclose(J[jnp.array([0, n - 1])], 20.0, rtol=1e-14)
    assert "CP  eta = -1.73205081, J = 7.79621704  cusp" in str(curve)


@pytest.mark.slow
def test_hopf_curve_of_gap_junctions_ends_at_bogdanov_takens():
    """η_H(J), ω²(J) in closed form along the curve; J_BT = 4πΔ/g − πg³/(16Δ), and the fold curve meets it there."""
    g = 3.0
    hopf = nmm.find_hopf(gap_model(1.0, -5.0, 1.0, g), "eta", {"r": 0.2, "v": 0.7})
    curve = nmm.continue_hopf(hopf, "J", (-10.0, 10.0), (-10.0, 5.0))
    n = int(curve.count)
    eta, J = np.asarray(curve.parameters[:n]).T
    np.testing.assert_allclose(eta, 4 / g**2 - 2 * J / (np.pi * g) - g**2 / 16, atol=1e-9)
    np.testing.assert_allclose(curve.omega[:n] ** 2, 16 / g**2 - 4 * J / (np.pi * g) - g**2 / 4, atol=1e-9)
    assert np.all(np.asarray(curve.lyapunov[1 : n - 1]) < 0)
    special = existing(curve.special)
    assert special.labels == ["BT"] and code(curve.ends, 1).startswith("The curve ended at a Bogdanov–Takens point")
    takens = 4 * np.pi / g - np.pi * g**3 / 16
    assert float(special.parameters[0, 1]) == pytest.approx(takens, abs=1e-9)
    fold = nmm.find_fold(gap_model(-0.66, 2.0, 1.0, g), "eta", {"r": 0.287, "v": 0.945})
    folds = existing(nmm.continue_fold(fold, "J", (-10.0, 10.0), (-10.0, 10.0)).special)
    assert sorted(folds.labels) == ["BT", "CP"]
    np.testing.assert_allclose(folds.parameters[folds.labels.index("BT")], special.parameters[0], atol=1e-9)


@pytest.mark.slow
def test_hopf_curve_of_ab_has_a_generalized_hopf_point():
    """l₁ changes sign there; ends at Bogdanov–Takens, where trace and determinant vanish."""
    curve = nmm.continue_hopf(ab_hopf(), "p2", (0.01, 0.5), (1.0, 30.0))
    special = existing(curve.special)
    assert special.labels == ["GH", "BT"]
    at = int(special.position[0])
    assert float(curve.lyapunov[at - 1] * curve.lyapunov[at]) < 0
    p1, p2 = special.parameters[1]
    matrix = jax.jacfwd(ab)(special.state[1], {**AB, "p1": p1, "p2": p2})
    np.testing.assert_allclose([jnp.trace(matrix), jnp.linalg.det(matrix)], 0, atol=1e-9)


@pytest.mark.slow
def test_cycles_of_ab():
    """AUTO: period 2.22034 at p₁ = 0.25. Born unstable (subcritical Hopf), stable after a fold of cycles."""
    cycles, n = ab_cycles(), int(ab_cycles().count)
    assert float(cycles.parameter[n - 1]) == pytest.approx(0.25, abs=1e-14)
    assert float(cycles.period[n - 1]) == pytest.approx(2.22034, abs=5e-6)
    assert float(cycles.period[0]) == pytest.approx(2 * np.pi / float(ab_hopf().omega), rel=1e-12)
    folds = existing(cycles.folds)
    assert folds.labels == ["LPC"]
    turn = int(folds.position[0])
    unstable = np.asarray(cycles.unstable[1:n])
    assert np.all(unstable[: turn - 1] == 1) and np.all(unstable[turn - 1 :] == 0)
    assert float(folds.parameter[0]) == pytest.approx(float(jnp.nanmin(cycles.parameter)), rel=1e-4)
    np.testing.assert_allclose(np.min(np.abs(np.asarray(cycles.multipliers[:n]) - 1), axis=1), 0, atol=1e-3)
    assert code(cycles.end) == "The branch reached the bounds of the parameter."
    assert "LPC p1 = 0.161696" in str(cycles)


def test_cycle_is_that_of_a_simulation():
    """DOP853 at rtol 1e-12 from a point on the cycle comes back after the period; extremes and the second multiplier,
    exp ∫ tr A dt, agree."""
    cycles, k = ab_cycles(), int(ab_cycles().count) - 1
    period = float(cycles.period[k])

    def flow(t, y):
        p1, p2, p3 = 0.25, 14.0, 3.0
        e = p1 * (1 - y[0]) * np.exp(y[1])
        trace = -1 - p1 * np.exp(y[1]) - 1 - p3 + p2 * e
        return [-y[0] + e, -y[1] + p2 * e - p3 * y[1], trace]

    start = [*np.asarray(cycles.state[k, 0]), 0.0]
    run = solve_ivp(flow, (0, period), start, method="DOP853", rtol=1e-12, atol=1e-13, max_step=period / 2000)
    np.testing.assert_allclose(run.y[:2, -1], start[:2], rtol=1e-6)
    np.testing.assert_allclose(cycles.maximum[k], run.y[:2].max(axis=1), rtol=1e-4)
    np.testing.assert_allclose(cycles.minimum[k], run.y[:2].min(axis=1), rtol=1e-4)


@pytest.mark.slow
def test_multiplier_of_an_unstable_cycle_is_the_exponential_of_the_mean_trace():
    """Liouville: μ = exp(T ∫₀¹ tr A ds), before the fold of cycles."""
    cycles, k = ab_cycles(), 10
    p = {**AB, "p1": cycles.parameter[k]}
    traces = jax.vmap(lambda y: jnp.trace(jax.jacfwd(ab)(y, p)))(cycles.state[k])
    mean = np.trapezoid(np.asarray(traces), np.asarray(cycles.phase[k]))
    expected = np.exp(float(cycles.period[k]) * mean)
    assert float(jnp.abs(cycles.multipliers[k, 0])) == pytest.approx(expected, rel=2e-3) and expected > 1


@pytest.mark.slow
def test_normal_form_of_hopf_has_round_cycles():
    """ẇ = (μ + iω − w|w|²) w: circles of radius √μ, period 2π/ω, multiplier exp(−4πμ/ω), started from bound to bound."""

    def field(y, p):
        square = y @ y
        return jnp.stack([(p["mu"] - square) * y[0] - 2 * y[1], 2 * y[0] + (p["mu"] - square) * y[1]])

    hopf = nmm.find_hopf(field, "mu", [0.01, 0.0], {"mu": 0.1})
    cycles = nmm.continue_cycle(hopf, (-1.0, 0.25), intervals=10)
    k = int(cycles.count) - 1
    assert float(cycles.parameter[k]) == pytest.approx(0.25, abs=1e-14)
    np.testing.assert_allclose(jnp.linalg.norm(cycles.state[k], axis=1), 0.5, rtol=1e-6)
    np.testing.assert_allclose([*cycles.maximum[k], *-cycles.minimum[k]], 0.5, rtol=1e-6)
    assert float(cycles.period[k]) == pytest.approx(np.pi, rel=1e-9)
    np.testing.assert_allclose(np.abs(cycles.multipliers[k]), [1, np.exp(-np.pi * 0.5)], rtol=1e-5)


@pytest.mark.slow
def test_cycles_end_at_the_other_hopf_point():
    cycles = nmm.continue_cycle(ab_hopf(), (0.1, 0.4), intervals=20)
    assert code(cycles.end) == "The cycle shrank to a point: another Hopf point was reached."
    assert float(cycles.parameter[int(cycles.count) - 1]) == pytest.approx(0.33655, abs=1e-3)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda h: nmm.continue_cycle(3.0, (0.1, 0.25)), "`start` must be one Hopf point"),
        (
            lambda h: nmm.continue_cycle(h, (0.2, 0.25)),
            r"`start` must lie within the bounds, \(0.2, 0.25\), but got 0.165042",
        ),
        (lambda h: nmm.continue_cycle(h, (0.1, 0.25), intervals=2.5), "`intervals` must be an integer ≥ 3, but got 2.5"),
        (lambda h: nmm.continue_fold(h, "p2", (0.0, 1.0), (0.0, 20.0)), "`fold` must be a special point of kind LP"),
        (
            lambda h: nmm.continue_hopf(h, "p9", (0.0, 1.0), (0.0, 20.0)),
            "`second` must be one of `p1`, `p2`, `p3`, but got 'p9'",
        ),
        (
            lambda h: nmm.continue_hopf(h, "p1", (0.0, 1.0), (0.0, 20.0)),
            "`second` must differ from the first parameter, `p1`",
        ),
        (
            lambda h: nmm.continue_hopf(h, "p2", (0.0, 1.0), (0.0, 9.0)),
            r"`p2` must start within the bounds, \(0, 9\), but got 14",
        ),
    ],
)
def test_mistakes_are_answered_in_one_sentence(call, words, unchecked):
    with pytest.raises(ValueError, match=words):
        call(ab_hopf())
