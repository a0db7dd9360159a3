"""Period doublings and tori on branches of cycles: closed forms, and the first doublings of Rössler's system."""

import functools

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from test_branches import code, existing

import nmmjax as nmm

OMEGA, A, C, NU = 2.0, 0.4, 0.3, 0.7


def ribbon(y, p):
    """A round cycle |w|² = μ, ẇ = (μ − |w|² + iω) w; beside it x, which turns by half a circle in one period, and z.

    With x = R(θ/2) ξ, ξ′ = (−a ± |w|) ξ − |ξ|² ξ: multipliers −exp((±√μ − a) T), a doubling at μ = a². z′ = (|w|² − c + iν)
    z: a torus at μ = c that turns by ν/ω per period.
    """
    w, x, z = y[:2], y[2:4], y[4:]
    square = w @ w
    turned = lambda u: jnp.stack([-u[1], u[0]])
    stretched = jnp.stack([w[0] * x[0] + w[1] * x[1], w[1] * x[0] - w[0] * x[1]])
    return jnp.concatenate([
        (p["mu"] - square) * w + p["omega"] * turned(w),
        stretched - A * x + p["omega"] / 2 * turned(x) - (x @ x) * x,
        (square - C) * z + NU * turned(z) - (z @ z) * z,
    ])  # fmt: skip


@functools.cache
def ribbon_cycles():
    hopf = nmm.find_hopf(ribbon, "mu", [0.01, 0.0, 0.0, 0.0, 0.0, 0.0], {"mu": 0.1, "omega": OMEGA})
    return nmm.continue_cycle(hopf, (-0.5, 0.4), intervals=8, max_step=0.3)


@pytest.mark.slow
def test_doublings_and_tori_in_closed_form():
    cycles = ribbon_cycles()
    special = existing(cycles.special)
    assert special.labels == ["PD", "NS"]
    np.testing.assert_allclose(special.parameter, [A**2, C], rtol=1e-6)
    np.testing.assert_allclose(special.cycle.period, 2 * np.pi / OMEGA, rtol=1e-7)
    np.testing.assert_allclose(jnp.min(jnp.abs(special.cycle.multipliers[0] + 1)), 0, atol=1e-8)
    pair = np.exp(2j * np.pi * NU / OMEGA)
    np.testing.assert_allclose(jnp.min(jnp.abs(special.cycle.multipliers[1] - pair)), 0, atol=1e-4)
    np.testing.assert_allclose(jnp.linalg.norm(special.state[:, :2], axis=1), [A, C**0.5], rtol=1e-6)
    at = np.asarray(special.position)
    assert [int(cycles.unstable[k]) for k in (at[0] - 1, at[0], at[1] - 1, at[1])] == [0, 1, 1, 3]
    assert existing(cycles.doublings).labels == ["PD"] and existing(cycles.tori).labels == ["NS"]
    text = str(cycles)
    assert "PD  mu = 0.16" in text and "period doubling, period 3.14159" in text
    assert "torus (Neimark–Sacker), period 3.14159, turning by 0.35 per period" in text
    assert cycles.to_xarray().label.values.tolist() == ["PD", "NS"]


@pytest.mark.slow
def test_the_doubled_cycle_in_closed_form():
    """ρ² = √μ − a with twice the period; multipliers of x exp(−2(√μ − a) 2T) and exp(−2√μ 2T)."""
    point = ribbon_cycles().doublings[0]
    cycles = nmm.continue_cycle(point, (-0.5, 0.4), max_step=0.3)
    k = int(cycles.count) - 1
    assert float(cycles.parameter[0]) == float(point.parameter) and cycles.state.shape[1] == 16 * 4 + 1
    np.testing.assert_allclose(cycles.period[: k + 1], 4 * np.pi / OMEGA, rtol=1e-7)
    assert float(cycles.parameter[k]) == pytest.approx(0.4, abs=1e-14)
    over = 0.4**0.5 - A
    np.testing.assert_allclose(jnp.linalg.norm(cycles.state[k, :, 2:4], axis=1) ** 2, over, rtol=1e-5)
    expected = np.exp([-4 * np.pi / OMEGA * 2 * over, -4 * np.pi / OMEGA * (over + A + 0.4**0.5)])
    found = np.sort(np.abs(cycles.multipliers[k]))
    for each in expected:
        assert np.min(np.abs(found - each)) < 1e-5
    assert existing(cycles.special).labels == ["NS"]
    other = nmm.continue_cycle(point, (-0.5, 0.4), intervals=12, degree=5, max_step=0.3)
    assert other.state.shape[1] == 12 * 5 + 1
    assert float(other.period[3]) == pytest.approx(4 * np.pi / OMEGA, rel=1e-7)


def rossler(y, p):
    return jnp.stack([-y[1] - y[2], y[0] + p["a"] * y[1], 0.2 + y[2] * (y[0] - p["c"])])


def rossler_monodromy(y, period, a, c):
    """By DOP853: the state after one period, and the derivative by that before."""

    def flow(t, w):
        x, y, z = w[:3]
        matrix = np.array([[0, -1, -1], [1, a, 0], [z, 0, x - c]])
        return np.concatenate([[-y - z, x + a * y, 0.2 + z * (x - c)], (matrix @ w[3:].reshape(3, 3)).ravel()])

    start = np.concatenate([y, np.eye(3).ravel()])
    run = solve_ivp(flow, (0, period), start, method="DOP853", rtol=1e-13, atol=1e-14)
    return run.y[:3, -1], run.y[3:, -1].reshape(3, 3)


def rossler_cycles(c):
    z = (c - np.sqrt(c**2 - 4 * 0.02 * 0.2)) / (2 * 0.02)
    hopf = nmm.find_hopf(rossler, "a", [0.02 * z, -z, z], {"a": 0.02, "c": c})
    return nmm.continue_cycle(hopf, (-0.05, 0.25), max_step=0.2)


@pytest.mark.slow
def test_first_doubling_of_rossler():
    """a = b = 0.2: period one doubles at c = 2.832445, two at c = 3.837358; here each at its c, over a."""
    point = rossler_cycles(2.832445).doublings[0]
    assert float(point.parameter) == pytest.approx(0.2, abs=1e-7)
    y, period = np.asarray(point.state), float(point.cycle.period)
    after, matrix = rossler_monodromy(y, period, float(point.parameter), 2.832445)
    np.testing.assert_allclose(after, y, atol=1e-7)
    assert np.min(np.abs(np.linalg.eigvals(matrix) + 1)) < 1e-6
    twice = nmm.continue_cycle(rossler_cycles(3.837358).doublings[0], (-0.05, 0.25), max_step=0.2)
    assert float(twice.doublings[0].parameter) == pytest.approx(0.2, abs=1e-7)
    assert bool(twice.stable[1]) and code(twice.end) == "The branch reached the bounds of the parameter."


def langford(y, p):
    """Round cycles: ρ′ = (z − 0.7) ρ, ż = c + 0.95 z − z³/3 − ρ² (1 + z/4), θ′ = 3.5."""
    square = y[0] ** 2 + y[1] ** 2
    growth = y[2] - 0.7
    z = p["c"] + 0.95 * y[2] - y[2] ** 3 / 3 - square * (1 + 0.25 * y[2])
    return jnp.stack([growth * y[0] - 3.5 * y[1], 3.5 * y[0] + growth * y[1], z])


@functools.cache
def langford_cycles():
    hopf = nmm.find_hopf(langford, "c", [0.0, 0.0, 0.7], {"c": -0.54})
    return nmm.continue_cycle(hopf, (-1.0, 2.0), intervals=10, max_step=0.2)


@pytest.mark.slow
def test_torus_of_langford():
    """A Hopf point of (ρ, z), in closed form."""
    cycles = langford_cycles()
    assert float(cycles.parameter[0]) == pytest.approx(-0.95 * 0.7 + 0.7**3 / 3, rel=1e-12)
    square = (0.95 - 0.7**2) / 0.25
    torus = existing(cycles.special)
    assert torus.labels == ["NS"] and existing(cycles.tori).labels == ["NS"] and int(cycles.doublings.count) == 0
    assert float(torus.parameter[0]) == pytest.approx(square * 1.175 - 0.95 * 0.7 + 0.7**3 / 3, rel=1e-7)
    turn = 1 - np.sqrt(2 * square * 1.175) / 3.5
    assert f"torus (Neimark–Sacker), period 1.7952, turning by {turn:.6f} per period" in str(cycles)
    assert cycles.to_xarray().label.values.tolist() == ["NS"]


def two_inhibitory(eta, J, tau, cross):
    """A fast and a slow inhibitory population that inhibit each other."""
    node = nmm.MPR(Delta=1.0, synapse=nmm.ExponentialSynapse(tau=1.0))
    node = nmm.per_node(node, **{"eta": eta, "J": J, "synapse.tau": tau})
    return nmm.Network(node, [[0.0, cross[0]], [cross[1], 0.0]], names=("fast", "slow"))


def multipliers_by_runs(point):
    """Floquet multipliers by DOP853 from the point on the cycle, and how far from it the run ends."""
    system = point.system
    start = np.asarray(jax.flatten_util.ravel_pytree(point.state)[0])
    field, matrix = jax.jit(lambda u: system(u, point.parameters)), jax.jit(lambda u: system.jacobian(u, point.parameters))
    n = start.size

    def flow(t, w):
        return np.concatenate([field(w[:n]), (np.asarray(matrix(w[:n])) @ w[n:].reshape(n, n)).ravel()])

    both = np.concatenate([start, np.eye(n).ravel()])
    run = solve_ivp(flow, (0, float(point.cycle.period)), both, method="DOP853", rtol=1e-11, atol=1e-12)
    return np.linalg.eigvals(run.y[n:, -1].reshape(n, n)), np.max(np.abs(run.y[:n, -1] - start))


@pytest.mark.slow
def test_two_inhibitory_populations_double_their_period():
    """The doubling is that of runs, and so is the cycle of twice the period: its peaks alternate."""
    network = two_inhibitory([17.7, 19.3], [-12.0, -25.0], [0.8, 2.4], (-5.5, -11.3))
    guess = {"r": [0.8, 0.37], "v": [-0.2, -0.5], "s": [0.8, 0.37]}
    hopf = nmm.find_hopf(network, "node.Delta", guess)
    assert float(hopf.parameter) == pytest.approx(1.0840033, abs=1e-7)
    once = nmm.continue_cycle(hopf, (0.5, 1.5), intervals=20, max_step=0.3)
    point = once.doublings[0]
    assert float(point.parameter) == pytest.approx(0.733979, abs=1e-6)
    found, away = multipliers_by_runs(point)
    assert away < 1e-5 and np.min(np.abs(found + 1)) < 1e-4
    twice = nmm.continue_cycle(point, (0.5, 1.5), max_step=0.3)
    response = nmm.phase_response(twice, at=0.68)
    model = eqx.tree_at(lambda each: each.node.Delta, network, response.parameter)
    start = jax.tree.map(lambda each: each[0], response.state)
    ts = jnp.linspace(0.0, 20.0, 2001) * response.period
    run = nmm.simulate(model, start, ts, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(run.ys.r[-1], start.r, rtol=1e-6)
    between = jnp.max(run.ys.r[35:65, 0])  # the peak after half the long period
    assert float(between) < 0.99 * float(start.r[0])


@pytest.mark.slow
def test_two_inhibitory_populations_become_a_torus():
    network = two_inhibitory([21.0, 19.0], [-12.0, -4.5], [0.36, 0.6], (-13.5, -8.0))
    guess = {"r": [0.4253, 1.05008], "v": [-0.25477, -0.10319], "s": [0.4253, 1.05008]}
    hopf = nmm.find_hopf(eqx.tree_at(lambda each: each.node.Delta, network, jnp.asarray(0.6808)), "node.Delta", guess)
    assert float(hopf.parameter) == pytest.approx(0.6808004, abs=1e-7)
    cycles = nmm.continue_cycle(hopf, (0.55, 1.2), intervals=20, max_step=0.3)
    assert existing(cycles.special).labels == ["NS"]
    point = cycles.tori[0]
    assert float(point.parameter) == pytest.approx(0.651237, abs=1e-6)
    found, away = multipliers_by_runs(point)
    pair = found[np.imag(found) > 1e-3]
    assert away < 1e-5 and np.min(np.abs(np.log(np.abs(pair)))) < 1e-4
    assert np.angle(pair[0]) / (2 * np.pi) == pytest.approx(0.1079, abs=1e-4)


@pytest.mark.slow
def test_special_cycles_in_a_picture():
    cycles = ribbon_cycles()
    rest = nmm.continue_branch(ribbon, "mu", (-0.5, 0.4), [0.0] * 6, {"mu": 0.1, "omega": OMEGA})
    axes = nmm.plot.bifurcation(rest, cycles)
    assert sorted(text.get_text() for text in axes.texts) == ["HB", "NS", "PD"]
    places = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in "*X"]
    np.testing.assert_allclose(places, [A**2, C], rtol=1e-6)
    plt.close("all")


@pytest.mark.parametrize(
    "start, words",
    [
        (lambda c: c, "`start` must be one Hopf point or period doubling, such as `branch.hopfs\\[0\\]`"),
        (lambda c: c.tori, "`start` must be one Hopf point or period doubling"),
        (lambda c: c.tori[0], "`start` must be a Hopf point \\(HB\\) or a period doubling \\(PD\\), but got NS"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(start, words, unchecked):
    with pytest.raises(ValueError, match=words):
        nmm.continue_cycle(start(langford_cycles()), (-1.0, 2.0))


@pytest.mark.slow
def test_doublings_lie_within_the_bounds(unchecked):
    with pytest.raises(ValueError, match=r"`start` must lie within the bounds, \(0.2, 0.4\), but got 0.16"):
        nmm.continue_cycle(ribbon_cycles().doublings[0], (0.2, 0.4))
