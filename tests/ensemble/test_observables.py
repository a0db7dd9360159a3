"""Observables against exact values: turning points and periods of closed orbits, identities of means, dense simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import MODELS, reference

from nmmjax import (
    MPR,
    Custom,
    Final,
    GapJunction,
    Mean,
    Peak,
    Period,
    Pulse,
    Samples,
    SpikeCount,
    State,
    Trough,
    Variance,
    orbit,
    plan_sweep,
    potential_energy,
    total_energy,
)
from nmmjax.ensemble.cost import peak_rate_bound
from nmmjax.extend import compute_lanes
from nmmjax.mechanics.channels import Problem

T0, T1, TS = 1.0, 12.0, (1.0, 2.5, 7.0, 12.0)
CLOSED = MPR(eta=1.0, J=5.0, Delta=0.0, tau=1.3)
RATES = [0.6, 0.8, 1.5, 2.5]
OBSERVED = {
    "first": Samples((T0,)),
    "trace": Samples(TS),
    "last": Final(),
    "peak": Peak("r"),
    "trough": Trough("r"),
    "mean": Mean("r"),
    "var": Variance("r"),
    "mean_v": Mean("v"),
    "var_v": Variance("v"),
    "energy": Mean("energy"),
    "noise": Variance("energy"),
    "count": SpikeCount(),
    "loud": SpikeCount(threshold=1.0),
    "period": Period(),
    "above": Custom(
        lambda p: 0 * p.t, lambda s, p: s + jnp.where(p.y.r > 0.5, p.weight, 0 * p.weight), lambda s, duration: s / duration
    ),
}


def compute(plan):
    return compute_lanes(plan, np.arange(plan.lanes))


@pytest.fixture(scope="module")
def closed():
    """Closed orbits of the homogeneous population after a transient: what is observed, and the exact orbits."""
    arguments = {"over": {"r": RATES}, "y0": {"r": 1.0, "v": 0.3}, "t0": T0, "t1": T1, "observe": OBSERVED}
    found = compute(plan_sweep(CLOSED, **arguments, rtol=1e-9))
    energies = [total_energy(CLOSED, State(r=jnp.asarray(r), v=jnp.asarray(0.3))) for r in RATES]
    return found, [orbit(CLOSED, energy) for energy in energies], np.array(energies)


def test_turning_points_lie_on_the_potential(closed):
    """At Δ = 0 a turning point has V(r) = E."""
    found, orbits, energies = closed
    assert np.all(found["status"] == 0)
    for name, exact in (("peak", "r_peak"), ("trough", "r_trough")):
        rates = found[name]
        np.testing.assert_allclose(rates, [float(getattr(each, exact)) for each in orbits], rtol=1e-8)
        values = [float(potential_energy(CLOSED, State(r=jnp.asarray(r), v=jnp.asarray(0.0)))) for r in rates]
        np.testing.assert_allclose(values, energies, rtol=1e-9)


def test_periods_and_counts(closed):
    found, orbits, _ = closed
    periods = np.array([float(each.period) for each in orbits])
    np.testing.assert_allclose(found["period"], periods, rtol=1e-8)
    assert np.all(np.abs(found["count"] - (T1 - T0) / periods) < 1)
    high = np.array([float(each.r_peak) for each in orbits]) > 1
    np.testing.assert_array_equal(found["loud"], np.where(high, found["count"], 0))


def test_means_and_variances_close_the_equations(closed):
    """The averaged equations of motion: τ ∫d ln r = 2∫v dt and τ ∫dv = ∫(v² + η + Jτr − (πτr)²) dt, and ⟨E⟩ = E."""
    found, _, energies = closed
    tau, T = float(CLOSED.tau), T1 - T0
    r0, v0 = found["first_r"][:, 0], found["first_v"][:, 0]
    growth = tau * np.log(found["last_r"] / r0) / T
    np.testing.assert_allclose(growth, 2 * found["mean_v"], rtol=1e-7, atol=1e-8)
    v2 = found["var_v"] + found["mean_v"] ** 2
    r2 = found["var"] + found["mean"] ** 2
    drive = float(CLOSED.eta) + float(CLOSED.J) * tau * found["mean"] - (np.pi * tau) ** 2 * r2
    np.testing.assert_allclose(tau * (found["last_v"] - v0) / T, v2 + drive, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found["energy"], energies, rtol=1e-9)
    assert np.all(np.abs(found["noise"]) < 1e-12)


def test_samples_and_transient(closed):
    """Samples are the states at their times; all else starts at t0."""
    found = closed[0]
    for lane, r in enumerate(RATES):
        exact = reference(CLOSED, (r, 0.3), [0.0, *TS])[:, 1:]
        np.testing.assert_allclose([found["trace_r"][lane], found["trace_v"][lane]], exact, rtol=1e-7, atol=1e-8)
        fine = reference(CLOSED, (r, 0.3), np.concatenate([[0.0], np.linspace(T0, T1, 2001)]))[0, 1:]
        assert abs(found["above"][lane] - np.mean(fine > 0.5)) < 0.02


def test_a_transient_is_not_observed():
    """The second spike of a ring-down is the highest after the first one, which lies in the transient."""
    arguments = {"over": {"r": [1.3]}, "y0": {"r": 1.3, "v": -0.1 / (2 * np.pi * 1.3)}, "rtol": 1e-9}
    found = compute(plan_sweep(MPR(-5.0, 15.0, 0.1), **arguments, t0=0.5, t1=4.0, observe={"peak": Peak("r")}))
    np.testing.assert_allclose(found["peak"], 1.2824, atol=6e-5)


def test_jumping_input_is_seen_from_both_sides():
    """Means and extrema of the input and of energies that jump with it equal those of dense reference solutions."""
    model, (begin, end, T), amplitude = MPR(1.0, 8.0, 0.3, 1.2), (2.03, 4.57, 6.0), 3.0
    stimulus = Pulse(amplitude, begin, end)
    observe = {"i": Mean("input"), "top": Peak("input"), "energy": Mean("energy"), "high": Peak("energy"), "v": Mean("v")}
    plan = plan_sweep(
        model, over={"eta": [1.0]}, y0={"r": 0.3, "v": -0.5}, t1=T, observe=observe, stimulus=stimulus, rtol=1e-8
    )
    found = {name: each[0] for name, each in compute(plan).items()}
    np.testing.assert_allclose([found["i"], found["top"]], [amplitude * (end - begin) / T, amplitude], rtol=1e-9)
    state, energy, voltage, highest = np.array([0.3, -0.5]), 0.0, 0.0, -np.inf
    for a, b, current in ((0.0, begin, 0.0), (begin, end, amplitude), (end, T, 0.0)):
        # Gauss–Legendre in 40 panels of 8 nodes
        nodes, weights = np.polynomial.legendre.leggauss(8)
        edges = np.linspace(a, b, 41)
        ts = ((edges[:-1] + edges[1:])[:, None] / 2 + np.diff(edges)[:, None] / 2 * nodes).ravel()
        w = (np.diff(edges)[:, None] / 2 * weights).ravel()
        r, v = reference(model, state, np.concatenate([[a], ts, [b]]), lambda t, c=current: c)
        E = np.asarray(total_energy(model, State(r=jnp.asarray(r), v=jnp.asarray(v)), jnp.full(r.shape, current)))
        energy, voltage = energy + w @ E[1:-1], voltage + w @ v[1:-1]
        highest, state = max(highest, E.max()), np.array([r[-1], v[-1]])
    np.testing.assert_allclose([found["energy"], found["v"]], [energy / T, voltage / T], rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(found["high"], highest, rtol=1e-6)
    assert found["status"] == 0 and found["steps"] < 5000


@pytest.mark.slow
@pytest.mark.parametrize(("g", "eta", "J", "Delta", "r_max"), [(0.2, 1.0, 0.0, 0.05, 1.8648)])
def test_limit_cycle(g, eta, J, Delta, r_max):
    """Sustained oscillation with gap junctions, by adaptive Runge–Kutta: the published peak; trough and period by SciPy."""
    model = MODELS["gap"]
    values = {"gap.g": g, "eta": eta, "J": J, "Delta": Delta, "tau": 1.0}
    over = {name: ("lane", [value]) for name, value in values.items()}
    observe = {"peak": Peak("r"), "trough": Trough("r"), "period": Period(), "last": Final()}
    found = compute(plan_sweep(model, over=over, y0={"r": 1.0, "v": 0.0}, t0=150.0, t1=200.0, observe=observe, rtol=1e-8))
    assert found["status"][0] == 0
    np.testing.assert_allclose(found["peak"], r_max, atol=2e-4)
    own = MPR(eta, J, Delta, gap=GapJunction(g))
    start = (found["last_r"][0], found["last_v"][0])
    period = found["period"][0]
    ts = np.linspace(0, period, 4001)
    r, v = reference(own, start, ts)
    np.testing.assert_allclose([r[-1], v[-1]], start, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose([found["peak"][0], found["trough"][0]], [r.max(), r.min()], rtol=1e-5)


@pytest.mark.slow
def test_peak_bound():
    """The energy's bound on τ r is never below the trajectory's peak, and is that peak where Δ = 0."""
    rng = np.random.default_rng(3)
    n = 100
    over = {
        "eta": ("lane", rng.uniform(-6, 6, n)),
        "J": ("lane", rng.uniform(-10, 20, n)),
        "Delta": ("lane", np.where(np.arange(n) < 30, 0.0, rng.uniform(0, 1, n))),
        "tau": ("lane", rng.uniform(0.5, 2, n)),
        "r": ("lane", 10 ** rng.uniform(-1.5, 0.5, n)),
        "v": ("lane", rng.uniform(-2, 2, n)),
    }
    plan = plan_sweep(MPR(), over=over, y0={"r": 1.0, "v": 0.0}, t1=12.0, observe={"peak": Peak("r")}, rtol=1e-8)
    found, values = compute(plan), plan.values(np.arange(n))

    @jax.jit
    @jax.vmap
    def bound(eta, J, Delta, tau, r, v):
        return peak_rate_bound(Problem(MPR(eta, J, Delta, tau), State(r=r, v=v)), jnp.zeros(1))

    bounds = np.asarray(bound(*(values[name] for name in over)))
    peaks = values["tau"] * found["peak"]
    assert np.all(bounds >= peaks * (1 - 1e-6))
    # Equality where the orbit is closed and its peak was passed within the time: most homogeneous lanes with spikes.
    ratio = bounds[:30] / peaks[:30]
    assert np.mean(ratio < 1.01) > 0.5
