"""Phase response of cycles: closed forms of a round cycle, golden values of an inhibitory rhythm, differences."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from test_branch_curves import ab_cycles
from test_branches import code

import nmmjax as nmm
from nmmjax.branches.collocation import closing_step, defects

OMEGA, B = 2.0, 0.3


def ring(y, p):
    """ẇ = (μ + |w|² − |w|⁴ + i (ω + b |w|²)) w: cycles with |w|² = (1 ± √(1 + 4μ))/2, both until the fold at μ = −1/4."""
    square = y @ y
    growth, turn = p["mu"] + square - square**2, p["omega"] + p["b"] * square
    return jnp.stack([growth * y[0] - turn * y[1], turn * y[0] + growth * y[1]])


@functools.cache
def ring_cycles():
    hopf = nmm.find_hopf(ring, "mu", [0.01, 0.0], {"mu": 0.1, "omega": OMEGA, "b": B})
    return nmm.continue_cycle(hopf, (-1.0, 0.5), intervals=16)


def ring_form(mu, stable, omega=OMEGA, b=B):
    """Period, Z and the cycle at phases φ, in closed form: the phase is θ − b r/(r₀ (1 − 2 r₀²)) to first order."""
    square = (1 + (1 if stable else -1) * jnp.sqrt(1 + 4 * mu)) / 2
    r, turn = jnp.sqrt(square), omega + b * square

    def Z(phases):
        angle, radial = 2 * jnp.pi * phases, -b / (r * (1 - 2 * square))
        x = -jnp.sin(angle) / r + radial * jnp.cos(angle)
        y = jnp.cos(angle) / r + radial * jnp.sin(angle)
        return jnp.stack([x, y], axis=-1) / turn

    return 2 * jnp.pi / turn, Z, r


@pytest.mark.parametrize("which, stable", [(None, True), (0, False), (1, True)])
def test_round_cycle_in_closed_form(which, stable):
    """Two cycles at one value: the first stable one by default, others by their number along the branch."""
    found = nmm.phase_response(ring_cycles(), at=-0.2, which=which)
    period, Z, r = ring_form(-0.2, stable)
    assert code(found.result) == "successful"
    assert float(found.period) == pytest.approx(float(period), rel=1e-10)
    np.testing.assert_allclose(found.state[0], [r, 0.0], atol=1e-8)
    np.testing.assert_allclose(found.Z, Z(found.phase), atol=1e-6)
    np.testing.assert_allclose(found.at([0.1, 1.35]), Z(jnp.array([0.1, 0.35])), atol=1e-6)
    field = jax.vmap(lambda y: ring(y, {"mu": -0.2, "omega": OMEGA, "b": B}))(found.state)
    np.testing.assert_allclose(jnp.sum(found.Z * field, axis=1), 1, rtol=1e-6)
    slopes = jax.grad(lambda p: ring_form(p["mu"], stable, p["omega"], p["b"])[0])({"mu": -0.2, "omega": OMEGA, "b": B})
    assert found.period_by_input is None and set(found.period_gradient) == set(slopes)
    for name, slope in slopes.items():
        assert float(found.period_gradient[name]) == pytest.approx(float(slope), rel=1e-7)


def test_newtons_step_by_elimination_is_that_of_all_equations_at_once():
    """Anywhere, not only near a cycle; the last equation says where the first node lies."""
    system, p = ring_cycles().system, jnp.array([-0.2])
    values, mesh = jax.random.normal(jax.random.key(0), (12, 2)), jnp.array([0.0, 0.2, 0.5, 0.6, 1.0])
    row, place, x = jnp.array([0.3, 1.0]), 0.7, jnp.append(values.reshape(-1), 2.0)

    def equations(x):
        values = x[:-1].reshape(-1, 2)
        return jnp.append(defects(system, values, x[-1], p, mesh).reshape(-1), row @ values[0] - place)

    step, longer = closing_step(system, values, x[-1], p, mesh, row, row @ values[0] - place)
    dense = -jnp.linalg.solve(jax.jacfwd(equations)(x), equations(x))
    np.testing.assert_allclose(jnp.append(step.reshape(-1), longer), dense, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_period_and_response_are_differentiable():
    """By the branch's parameter and by others; the period's second derivative as well."""

    def found(b, mu):
        cycles = eqx.tree_at(lambda each: each.system.model.parameters["b"], ring_cycles(), b)
        response = nmm.phase_response(cycles, at=mu)
        return response.period, response.at([0.15])[0], response.period_gradient["b"]

    def exact(b, mu):
        period = lambda b: ring_form(mu, True, OMEGA, b)[0]
        return period(b), ring_form(mu, True, OMEGA, b)[1](jnp.array([0.15]))[0], jax.grad(period)(b)

    values = jnp.asarray(B + 0.01), jnp.asarray(-0.17)
    ours, theirs = (jax.jit(jax.jacrev(each, argnums=(0, 1)))(*values) for each in (found, exact))
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    many = jax.vmap(lambda mu: nmm.phase_response(ring_cycles(), at=mu).period)(jnp.asarray([-0.2, 0.0, 0.3, -0.6]))
    np.testing.assert_allclose(many[:3], [ring_form(mu, True)[0] for mu in (-0.2, 0.0, 0.3)], rtol=1e-9)
    assert bool(jnp.isnan(many[3]))


def test_no_response_at_folds_of_cycles_and_at_hopf_points():
    cycles = ring_cycles()
    fold = cycles.folds[0].parameter
    assert float(fold) == pytest.approx(-0.25, abs=1e-9)
    for at, which in ((fold, None), (-0.25, None), (cycles.parameter[0], 0)):
        found = nmm.phase_response(cycles, at=at, which=which)
        assert "A second Floquet multiplier is 1" in str(found)
        assert bool(jnp.isnan(found.period_gradient["b"])) and bool(jnp.all(jnp.isnan(found.Z)))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda c: nmm.phase_response(3.0), "`cycles` must be the result of `continue_cycle`, but got 'float'"),
        (
            lambda c: nmm.phase_response(c, at=0.7),
            "`at` must be a value of `mu` on the branch, from -0.25 to 0.5, but got 0.7",
        ),
        (lambda c: nmm.phase_response(c, at="x"), "`at` must be a number, but got 'x'"),
        (
            lambda c: nmm.phase_response(c, at=-0.2, which=2),
            "`which` must be an integer from 0 to 1, one of the cycles there",
        ),
        (lambda c: nmm.phase_response(c, at=-0.2, which=-1), "`which` must be an integer ≥ 0, but got -1"),
        (lambda c: nmm.phase_response(c, at=-0.2, node=1), "`node` must be 0: a function has no nodes, but got 1"),
        (
            lambda c: nmm.phase_response(jax.tree.map(lambda each: each[None], c), at=-0.2),
            "`cycles` must be a single branch",
        ),
    ],
)
def test_mistakes_are_answered_in_one_sentence(call, words, unchecked):
    with pytest.raises(ValueError, match=words):
        call(ring_cycles())


@functools.cache
def ing_cycles(synapse):
    ing = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=synapse(tau=0.5))
    hopf = nmm.continue_branch(ing, "Delta", (0.1, 1.0)).hopfs[0]
    return nmm.continue_cycle(hopf, (0.25, 0.9), intervals=40, max_step=0.2)


@pytest.mark.slow
def test_inhibitory_rhythm():
    """Θ = 4, J = 21, Δ = 0.3, T = 1/2: Hopf point, cycle and phase response against independent numbers."""
    cycles = ing_cycles(nmm.ExponentialSynapse)
    hopf = cycles.parameter[0]
    assert float(hopf) == pytest.approx(0.47427526, abs=5e-9)
    assert float(2 * np.pi / cycles.period[0]) == pytest.approx(2.30301287, abs=5e-9)
    found = nmm.phase_response(cycles)  # at the model's own Δ
    assert float(found.parameter) == 0.3 and float(found.period) == pytest.approx(2.757911, abs=5e-7)
    np.testing.assert_allclose(np.abs(found.multipliers), [1, 0.1915469, 1.3e-5], rtol=1e-6, atol=5e-8)
    phases = jnp.linspace(0.0, 1.0, 2001)
    v = np.asarray(found.at(phases).v)
    np.testing.assert_allclose([v.min(), v.max()], [-0.060047, 0.359477], atol=6e-7)
    np.testing.assert_allclose(phases[jnp.array([v.argmin(), v.argmax()])], [0.955, 0.6065], atol=5e-4)
    assert float(jnp.trapezoid(v, phases) * found.period) == pytest.approx(0.29565292, abs=6e-9)
    for slope in (found.period_gradient["eta"], found.period_by_input):
        assert float(slope) == pytest.approx(-0.29565292, abs=6e-9)
    assert float(found.state.r[0]) == pytest.approx(1.2933828, abs=5e-8) == float(found.state.r.max())
    assert float(found.state.r.min()) == pytest.approx(0.03119, abs=2e-5)
    text = str(found)
    assert "period 2.75791102" in text and "synapse.tau 1.6374" in text and "Z to v: from -0.0600" in text


@pytest.mark.slow
def test_period_by_every_parameter_is_that_of_differences():
    cycles = ing_cycles(nmm.ExponentialSynapse)
    found = nmm.phase_response(cycles, at=0.3)
    period = jax.jit(lambda cycles, at: nmm.phase_response(cycles, at=at).period)
    leaves = {
        "eta": lambda model: model.eta,
        "J": lambda model: model.J,
        "tau": lambda model: model.tau,
        "synapse.tau": lambda model: model.synapse.tau,
    }
    assert set(found.period_gradient) == {*leaves, "Delta"}
    h = 2e-3

    def slope(along):
        ends = [along(k * h) for k in (-2, -1, 1, 2)]
        return float((8 * (ends[2] - ends[1]) - (ends[3] - ends[0])) / (12 * h))

    for name, leaf in leaves.items():
        move = lambda dx, leaf=leaf: eqx.tree_at(lambda c: leaf(c.system.model), cycles, replace_fn=lambda each: each + dx)
        difference = slope(lambda dx, move=move: period(move(dx), 0.3))
        assert float(found.period_gradient[name]) == pytest.approx(difference, rel=1e-7), name
    assert float(found.period_gradient["Delta"]) == pytest.approx(slope(lambda dx: period(cycles, 0.3 + dx)), rel=1e-7)


@pytest.mark.slow
def test_alpha_synapse():
    """n = 2, T = 1/2: another rhythm of the same family."""
    found = nmm.phase_response(ing_cycles(nmm.AlphaSynapse), at=0.3)
    assert float(ing_cycles(nmm.AlphaSynapse).parameter[0]) == pytest.approx(0.7196708, abs=5e-8)
    assert float(found.period) == pytest.approx(3.4968011, abs=1e-6)
    assert float(found.state.r[0]) == pytest.approx(2.115019, abs=1e-5)
    assert float(found.state.r.min()) == pytest.approx(0.02074, abs=5e-5)


@pytest.mark.slow
def test_a_push_moves_later_peaks_by_the_phase_response():
    """A small push to v at a phase, by simulation: the peak comes earlier by Z_v times its size."""
    found = nmm.phase_response(ing_cycles(nmm.ExponentialSynapse), at=0.3)
    ing = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=0.5))
    for phase in (0.2, 0.6):
        k, period, push = int(jnp.argmin(jnp.abs(found.phase - phase))), float(found.period), 1e-3
        start = {name: getattr(found.state, name)[k] for name in ("r", "v", "s")}
        expected = float(found.Z.v[k])
        ts = jnp.linspace(0.0, 8 * period, 40_001)
        late = []
        for sign in (-1, 1):
            run = nmm.simulate(ing, start | {"v": start["v"] + sign * push}, ts, rtol=1e-11, atol=1e-12)
            r = np.asarray(run.ys.r)
            at = np.flatnonzero((r[1:-1] > r[:-2]) & (r[1:-1] >= r[2:]))[-1] + 1
            bend = r[at - 1] - 2 * r[at] + r[at + 1]
            late.append(float(ts[at] + (ts[1] - ts[0]) * (r[at - 1] - r[at + 1]) / (2 * bend)))
        earlier = (late[0] - late[1]) / (2 * push)
        assert earlier == pytest.approx(expected, abs=2e-5)


def test_dataset_and_picture():
    found = nmm.phase_response(ring_cycles(), at=-0.2)
    data = found.to_xarray()
    assert data.y.dims == data.Z_y.dims == ("phase", "component") and data.attrs["mu"] == -0.2
    np.testing.assert_array_equal(data.Z_y, found.Z)
    assert float(data.period_by_b) == float(found.period_gradient["b"]) and data.attrs["model.b"] == B
    top, bottom = nmm.plot.phase_response(found)
    assert top.get_ylabel() == "y0" and bottom.get_ylabel().startswith("phase response to y0")
    assert bottom.get_xlabel() == "phase (periods)"
    np.testing.assert_array_equal(bottom.lines[0].get_ydata(), found.Z[:, 0])
    plt.close("all")


@pytest.mark.slow
def test_unstable_cycles_have_one_too():
    """AUTO's `ab` before the fold of cycles."""
    found = nmm.phase_response(ab_cycles(), at=0.163, which=0)
    assert float(jnp.abs(found.multipliers[0])) > 1 and code(found.result) == "successful"
    assert float(found.period) > 2


@functools.cache
def ping_cycles():
    start = {"r": [0.027, 0.015], "v": [-0.5, -1.0], "s": [0.027, 0.015]}
    hopf = nmm.find_hopf(nmm.dumont_gutkin(I_e=7.6), "node.eta[e]", start)
    return nmm.continue_cycle(hopf, (2.0, 5.5), intervals=24, max_step=0.2)


@pytest.mark.slow
def test_circuit_over_the_input_of_one_node():
    """Dumont & Gutkin's PING: Hopf point at I_e = 7.6878198, 20.8111911 ms at I_e = 10; phase 0 at the peak of i."""
    cycles = ping_cycles()
    assert float(cycles.parameter[0]) + 5 == pytest.approx(7.6878198, abs=5e-8)
    assert float(2 * np.pi / cycles.period[0]) == pytest.approx(0.18977547, abs=5e-9)
    found = nmm.phase_response(cycles, at=5.0, node="i")
    assert float(found.period) == pytest.approx(20.8111911, abs=5e-8)
    assert float(found.state.r[0, 1]) == pytest.approx(0.72606, abs=5e-6)
    assert float(nmm.phase_response(cycles, at=5.0).state.r[0, 0]) == pytest.approx(0.15866, abs=5e-6)
    np.testing.assert_allclose(found.period_by_input, found.period_gradient["node.eta"], rtol=1e-9)
    assert found.period_gradient["weights"].shape == (2, 2) and "Z to v[i]: from" in str(found)
    h = 0.02

    def period(step):
        cycles = eqx.tree_at(
            lambda c: c.system.model.coupling.weights, ping_cycles(), replace_fn=lambda W: W.at[0, 1].add(step)
        )
        return float(nmm.phase_response(cycles, at=5.0, node="i").period)

    before, low, high, after = (period(k * h) for k in (-2, -1, 1, 2))
    assert float(found.period_gradient["weights"][0, 1]) == pytest.approx(
        (8 * (high - low) - (after - before)) / (12 * h), rel=1e-7
    )
    axes = nmm.plot.phase_response(found)
    assert [line.get_label() for line in axes[1].lines[:2]] == ["e", "i"] and "(unit of τ)" in axes[1].get_ylabel()
    data = found.to_xarray()
    assert data.period_by_weights.dims == ("node", "sender") and data["period_by_node.eta"].dims == ("node",)
    plt.close("all")


@pytest.mark.parametrize(
    "name, words",
    [
        ("node.eta", r"`node.eta` must have the same value in all entries to be continued, or be that of one node"),
        ("node.eta[x]", r"`parameter` must be an integer from 0 to 1 or a name \(e, i\), but got 'x'"),
        ("node.eta[2]", r"`parameter` must be an integer from 0 to 1 or a name \(e, i\), but got 2"),
        ("gain[e]", r"`parameter` must name a parameter that differs from node to node"),
        ("node.zeta[e]", r"`parameter` must be one of `node.eta`, .* but got 'node.zeta\[e\]'"),
    ],
)
def test_names_of_one_nodes_parameters(name, words, unchecked):
    start = {"r": [0.027, 0.015], "v": [-0.5, -1.0], "s": [0.027, 0.015]}
    with pytest.raises(ValueError, match=words):
        nmm.find_hopf(nmm.dumont_gutkin(I_e=7.6), name, start)
