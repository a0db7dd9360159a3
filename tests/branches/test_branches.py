"""Branches of fixed points and their special points against closed forms, golden values and AUTO's demo `ab`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm

# (η bounds, J, Δ): folds (r, η) of MPR, low branch's end first.
FOLDS = [
    ((-8.0, 0.0), 15.0, 1.0, (0.16256980, -3.13613409), (0.75391973, -5.74352716)),
    ((-12.0, 0.0), 20.0, 1.0, (0.14343119, -3.89685063), (1.01072619, -10.15685291)),
    ((-14.0, 0.0), 15 * 2**0.5, 2.0, (0.22990841, -6.27226817), (1.06620350, -11.48705432)),
    ((-8.0, 0.0), 14.5, 0.7, (0.12747487, -2.45181935), (0.73136391, -5.34879707)),
]
# η, J, Δ: (r, v) and eigenvalues of the fixed points.
EQUILIBRIA = [
    (-5.0, 0.0811344420, -1.9616199886, [-2.448738, -5.397742]),
    (-5.0, 0.4729803407, -0.3364937808, [1.641678, -2.987653]),
    (-5.0, 1.0305967988, -0.1544298830, [-0.308860 + 3.318629j, -0.308860 - 3.318629j]),
    (-2.0, 1.3732440985, -0.1158970523, [-0.231794 + 5.766372j, -0.231794 - 5.766372j]),
]
AB = {"p1": 0.0, "p2": 14.0, "p3": 3.0}


def ab(u, p):
    """AUTO's demo `ab`."""
    flow = p["p1"] * (1 - u[0]) * jnp.exp(u[1])
    return jnp.stack([-u[0] + flow, -u[1] + p["p2"] * flow - p["p3"] * u[1]])


def pair(y, p):
    """Two equal MPR populations that inhibit each other; y = (r₁, r₂, v₁, v₂)."""
    r, v = y[:2], y[2:]
    return jnp.concatenate([1 / jnp.pi + 2 * r * v, v**2 + p["eta"] + p["J"] * r[::-1] - jnp.pi**2 * r**2])


def gap_model(eta, J, Delta, g):
    return nmm.MPR(eta=eta, J=J, Delta=Delta, gap=nmm.GapJunction(g))


@functools.cache
def mpr_branch():
    return nmm.continue_branch(nmm.MPR(eta=-5.0, J=15.0, Delta=1.0), "eta", (-8.0, 0.0))


@functools.cache
def ab_branch(p2):
    return nmm.continue_branch(ab, "p1", (0.0, 0.4), guess=[0.0, 0.0], parameters={**AB, "p2": p2})


@functools.cache
def pair_branch():
    return nmm.continue_branch(pair, "eta", (-2.0, 20.0), [0.3, 0.3, -1.0, -1.0], {"eta": 5.0, "J": -15.0}, crossing=True)


def existing(points):
    return points[: int(points.count)]


def code(result, *index):
    return nmm.branches.branch.message(result, index)


@pytest.mark.parametrize("bounds, J, Delta, low, high", FOLDS)
def test_folds_of_mpr(bounds, J, Delta, low, high):
    branch = nmm.continue_branch(nmm.MPR(eta=-5.0, J=J, Delta=Delta), "eta", bounds)
    folds = existing(branch.folds)
    np.testing.assert_allclose(folds.parameter, [low[1], high[1]], atol=1e-8)
    np.testing.assert_allclose(folds.state.r, [low[0], high[0]], atol=1e-8)
    np.testing.assert_allclose(2 * np.pi**2 * folds.state.r + Delta**2 / (2 * np.pi**2 * folds.state.r**3), J, rtol=1e-12)
    assert existing(branch.special).labels == ["LP", "LP"]


def test_branch_of_mpr_is_the_whole_curve_with_its_stability():
    """One branch from bound to bound; every point solves the equations; unstable between the folds, and there only."""
    branch, n = mpr_branch(), int(mpr_branch().count[0])
    assert int(np.count_nonzero(branch.count)) == 1
    eta, r, v = branch.parameter[0, :n], branch.state.r[0, :n], branch.state.v[0, :n]
    np.testing.assert_allclose([eta[0], eta[-1]], [-8.0, 0.0], atol=1e-14)
    np.testing.assert_allclose(eta, np.pi**2 * r**2 - 15 * r - 1 / (4 * np.pi**2 * r**2), atol=1e-9)
    np.testing.assert_allclose(v, -1 / (2 * np.pi * r), rtol=1e-9)
    between = (r > 0.16256980) & (r < 0.75391973)
    np.testing.assert_array_equal(branch.unstable[0, :n], between)
    r, v = np.asarray(r), np.asarray(v)
    expected = 2 * v[:, None] + np.array([1, -1]) * np.sqrt((2 * r * (15 - 2 * np.pi**2 * r)).astype(complex))[:, None]
    np.testing.assert_allclose(np.abs(branch.eigenvalues[0, :n] - expected).max(), 0, atol=1e-7)
    assert np.all(np.isnan(branch.parameter[0, n:])) and np.all(np.asarray(branch.unstable[0, n:]) == -1)
    assert code(branch.ends, 0, 0) == code(branch.ends, 0, 1) == "The branch reached the bounds of the parameter."


@pytest.mark.parametrize("eta, r, v, eigenvalues", EQUILIBRIA)
def test_fixed_points_of_mpr(eta, r, v, eigenvalues):
    """Bounds that start at η: branches end there, at the fixed points of the table."""
    branch = nmm.continue_branch(nmm.MPR(eta=-5.0, J=15.0, Delta=1.0), "eta", (eta, 1.0))
    at = np.argwhere(np.abs(np.asarray(branch.state.r) - r) < 1e-9)
    assert len(at) == 1
    k = tuple(at[0])
    assert float(branch.parameter[k]) == pytest.approx(eta, abs=1e-13)
    assert float(branch.state.v[k]) == pytest.approx(v, abs=1e-9)
    np.testing.assert_allclose(branch.eigenvalues[k], eigenvalues, atol=1e-6)


def test_bounds_inside_the_bistable_range_give_three_branches():
    branch = nmm.continue_branch(nmm.MPR(eta=0.0, J=15.0, Delta=1.0), "eta", (-5.5, -3.5))
    assert int(np.count_nonzero(branch.count)) == 3
    assert sorted(np.asarray(branch.unstable[:3, 3])) == [0, 0, 1]


@pytest.mark.parametrize("p2, hopfs, folds", [(14.0, [0.165042], []), (17.0, [0.120866, 0.217079], [0.121901, 0.117015])])
def test_ab_demo_of_auto(p2, hopfs, folds):
    branch = ab_branch(p2)
    found = existing(branch.hopfs)
    np.testing.assert_allclose(found.parameter[: len(hopfs)], hopfs, atol=2e-6)  # AUTO's own accuracy
    np.testing.assert_allclose(existing(branch.folds).parameter, folds, atol=1e-6)
    # At a Hopf point: the trace vanishes, the determinant is ω².
    for point in (found[k] for k in range(int(found.count))):
        parameters = {**AB, "p1": point.parameter, "p2": p2}
        np.testing.assert_allclose(ab(point.state, parameters), 0, atol=1e-12)
        matrix = jax.jacfwd(ab)(point.state, parameters)
        assert float(jnp.trace(matrix)) == pytest.approx(0, abs=1e-11)
        assert float(jnp.linalg.det(matrix)) == pytest.approx(float(point.omega) ** 2, rel=1e-10)


@pytest.mark.slow
def test_mutual_inhibition_has_two_pitchforks_and_an_asymmetric_loop():
    """The crossing branch leaves at one pitchfork, passes the other and closes; both asymmetric states at η = 5 on it."""
    branch = pair_branch()
    points = existing(branch.branch_points)
    np.testing.assert_allclose(points.parameter, [1.74095982, 16.87406466], atol=1e-8)
    np.testing.assert_allclose(points.state[:, 0], [0.16256980, 0.75391973], atol=1e-8)
    assert int(np.count_nonzero(branch.count)) == 2
    assert code(branch.ends, 1, 0) == code(branch.ends, 1, 1) == "The branch closed on itself."
    n = int(branch.count[1])
    eta, r = np.asarray(branch.parameter[1, :n]), np.asarray(branch.state[1, :n, :2])
    near = [k for k in range(n - 1) if (eta[k] - 5) * (eta[k + 1] - 5) <= 0]
    rates = sorted(np.round(np.sort(r[k])[::-1], 1).tolist() for k in near)
    assert rates == [[0.6, 0.1], [0.6, 0.1]]
    np.testing.assert_array_equal(r[0], r[-1])


@pytest.mark.slow
def test_hopf_of_synaptic_depression():
    """Gast, Schmidt & Knösche 2020: two Hopf points and two folds; the one on the high branch is subcritical."""
    adaptation = nmm.SynapticDepression(alpha=0.05, tau=10.0)
    model = nmm.MPR(eta=-5.5, J=15 * 2**0.5, Delta=2.0, adaptation=adaptation)
    branch = nmm.continue_branch(model, "eta", (-7.0, -4.0))
    hopfs, folds = existing(branch.hopfs), existing(branch.folds)
    np.testing.assert_allclose(hopfs.parameter, [-5.658629, -5.018598], atol=5e-7)
    np.testing.assert_allclose(hopfs.state.r, [0.244062, 0.700507], atol=5e-7)
    np.testing.assert_allclose(folds.parameter, [-5.624581, -5.905689], atol=5e-7)
    np.testing.assert_allclose(folds.state.r, [0.271939, 0.470483], atol=5e-7)
    assert float(hopfs.omega[1]) == pytest.approx(0.31149, abs=5e-6)
    assert float(2 * jnp.pi / hopfs.omega[0]) == pytest.approx(57.33, abs=5e-3)
    assert float(hopfs.lyapunov[1]) > 0


@pytest.mark.parametrize(
    "g, J, Delta, eta, omega2", [(1.0, 0.0, 1.0, 3.9375, 15.75), (3.0, -5.0, 1.0, 0.94297740, 1.64984369)]
)
def test_find_hopf_of_gap_junctions(g, J, Delta, eta, omega2):
    """η_H = 4Δ²/g² − 2ΔJ/(πg) − g²/16 and ω² in closed form, with their gradients in every other parameter."""

    def found(values):
        J, Delta, g = values
        point = nmm.find_hopf(gap_model(eta + 0.05, J, Delta, g), "eta", {"r": 2 / (3.1 * g), "v": 0.24 * g})
        return point.parameter, point.omega**2, point.lyapunov

    def exact(values):
        J, Delta, g = values
        hopf = 4 * Delta**2 / g**2 - 2 * Delta * J / (jnp.pi * g) - g**2 / 16
        return hopf, 16 * Delta**2 / g**2 - 4 * Delta * J / (jnp.pi * g) - g**2 / 4

    values = jnp.asarray([J, Delta, g])
    assert float(found(values)[0]) == pytest.approx(eta, abs=1e-8)
    assert float(found(values)[1]) == pytest.approx(omega2, abs=1e-8)
    assert float(found(values)[2]) < 0  # supercritical: Pietras et al. 2019
    for ours, theirs in zip(jax.jacrev(found)(values)[:2], jax.jacrev(exact)(values), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.slow
def test_find_fold_differentiates_twice():
    """At a fold, dη/dJ = −r and d²η/dJ² = −dr/dJ, with J = 2π²r + 1/(2π²r³)."""

    def fold(J):
        point = nmm.find_fold(nmm.MPR(eta=-3.1, J=J), "eta", {"r": 0.16, "v": -1.0})
        return point.parameter, point.state.r

    def slope(J):
        (slope, _), (_, r) = jax.jacrev(fold)(J), fold(J)
        return slope, r

    (curvature, _), (slope_there, r) = jax.jacfwd(slope)(jnp.asarray(15.0)), slope(jnp.asarray(15.0))
    assert float(r) == pytest.approx(0.16256980, abs=1e-8)
    assert float(slope_there) == pytest.approx(-float(r), rel=1e-10)
    assert float(curvature) == pytest.approx(-1 / (2 * np.pi**2 - 3 / (2 * np.pi**2 * float(r) ** 4)), rel=1e-8)


def family(J):
    return nmm.continue_branch(nmm.MPR(J=J), "eta", (-9.0, 0.0)).folds


@pytest.mark.slow
def test_family_over_a_third_parameter():
    """`vmap` over J: each lane has its own folds, on the curve J = 2π²r + Δ²/(2π²r³); none below the cusp at J = 7.796."""
    Js = jnp.asarray([7.0, 10.0, 15.0])
    folds = jax.vmap(family)(Js)
    np.testing.assert_array_equal(folds.count, [0, 2, 2])
    r = np.asarray(folds.state.r)[1:, :2]
    np.testing.assert_allclose(2 * np.pi**2 * r + 1 / (2 * np.pi**2 * r**3), np.repeat(Js[1:, None], 2, axis=1), rtol=1e-12)


@pytest.mark.slow
def test_gradient_of_the_folds_of_a_family():
    """dη/dJ = −r at every fold, through the whole continuation."""
    slopes = jax.vmap(jax.grad(lambda J: family(J).parameter[1]))(jnp.asarray([10.0, 15.0]))
    np.testing.assert_allclose(slopes, [-family(J).state.r[1] for J in (10.0, 15.0)], rtol=1e-9)


def test_normal_form_of_hopf_gives_its_lyapunov_coefficient():
    """x + iy = w, ẇ = (μ + iω) w + (σ + ib) w|w|²: l₁ = 2σ/ω."""

    def field(y, p):
        square = y @ y
        turn = p["omega"] + p["b"] * square
        growth = p["mu"] + p["sigma"] * square
        return jnp.stack([growth * y[0] - turn * y[1], turn * y[0] + growth * y[1]])

    for sigma, omega in ((-0.7, 1.3), (0.4, 2.0)):
        parameters = {"mu": 0.1, "omega": omega, "b": 0.3, "sigma": sigma}
        point = nmm.find_hopf(field, "mu", [0.01, 0.0], parameters)
        assert float(point.parameter) == pytest.approx(0, abs=1e-12)
        assert float(point.omega) == pytest.approx(omega, rel=1e-12)
        assert float(point.lyapunov) == pytest.approx(2 * sigma / omega, rel=1e-10)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"parameter": "beta"}, "`parameter` must be one of `eta`, `J`, `Delta`, `tau`, but got 'beta'"),
        ({"bounds": (0.0, -8.0)}, "`bounds` must increase, but got"),
        ({"bounds": (0.0, float("nan"))}, "`bounds` must be finite"),
        ({"bounds": 3.0}, "`bounds` must be a pair"),
        (
            {"guess": {"r": 1.0, "v": 0.0}, "bounds": (-3.0, 0.0)},
            r"`eta` must start within the bounds, \(-3, 0\), but got -5",
        ),
        ({"guess": {"r": -1.0, "v": 0.0}}, "`r` must be > 0, but got -1"),
        ({"guess": {"r": 1.0, "v": float("nan")}}, "`v` must be finite"),
        ({"max_points": 1}, "`max_points` must be an integer ≥ 2, but got 1"),
        ({"parameters": {"eta": 1.0}}, "`parameters` must be None for a model"),
        ({"model": ab, "parameter": "p1", "parameters": AB}, "`guess` must be given"),
        ({"model": ab, "parameter": "p1", "guess": [0.0, 0.0]}, "`parameters` must be a mapping"),
        (
            {"model": ab, "parameter": "p4", "parameters": AB, "guess": [0.0, 0.0]},
            "`parameter` must be one of `p1`, `p2`, `p3`",
        ),
        (
            {"model": ab, "parameter": "p1", "parameters": AB, "guess": [0.0, 0.0, 1.0]},
            r"`guess` must have the shape .*\(2,\)",
        ),
        ({"model": ab, "parameter": "p1", "parameters": {**AB, "p2": "x"}, "guess": [0.0, 0.0]}, "`p2` must be a number"),
        ({"model": 3.0}, "`guess` must be given|`model` must be"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(arguments, words, unchecked):
    call = {"model": nmm.MPR(), "parameter": "eta", "bounds": (-8.0, 0.0), "guess": None} | arguments
    with pytest.raises(ValueError, match=words):
        nmm.continue_branch(**call)


def test_what_was_found_is_kept():
    """Too few points: the branch ends in the middle and says so."""
    branch = nmm.continue_branch(nmm.MPR(eta=-5.0, J=15.0), "eta", (-8.0, 0.0), max_step=0.001)
    assert code(branch.ends, 0, 1).startswith("The branch ended after `max_points` points")
    assert int(branch.count[0]) == 400 and np.all(np.isfinite(np.asarray(branch.parameter[0, :400])))


def test_print_names_ends_stability_and_special_points():
    text = str(ab_branch(17.0))
    assert "branch 0: p1 = 0 … 0.4" in text and "The branch reached the bounds" in text
    assert "HB  p1 = 0.12086572  Hopf point, subcritical, ω = 0.652" in text
    assert "LP  p1 = 0.121901161  fold" in text
