"""Closures of neurons with Gaussian noise of their own: their equations, their limits, and the neurons themselves."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nmmjax as nmm
from nmmjax import MPR, CircularCumulants, PseudoCumulants, simulate
from nmmjax.models.cumulants import AbstractCumulants

BOTH = {"circular": CircularCumulants, "pseudo": PseudoCumulants}
Y0 = {"r": 0.4, "v": -0.3}
ZERO = jnp.zeros(())
TIGHT = {"rtol": 1e-9, "atol": 1e-11}


def circular(t, y, eta, J, Delta, D):
    """The publication's equations for the moments a₁, a₂, in t/τ."""
    a, a2 = y[0] + 1j * y[1], y[2] + 1j * y[3]
    k = a2 - a**2
    R = np.real((1 - a) / (1 + a) + 2 * k / (1 + a) ** 3) / np.pi
    I = eta + J * R - 1j * Delta
    a3, a4 = 3 * a * a2 - 2 * a**3, a**2 * (6 * a2 - 5 * a**2)
    da = -1j * ((1 + I) * a + (I - 1) / 2 * (1 + a2)) - D * (0.5 + 1.5 * a + 1.5 * a2 + 0.5 * a3)
    da2 = -2j * ((1 + I) * a2 + (I - 1) / 2 * (a + a3)) - 2 * D * (0.25 + 1.5 * a + 3 * a2 + 2.5 * a3 + 0.75 * a4)
    return [da.real, da.imag, da2.real, da2.imag]


def test_circular_cumulants_are_those_of_the_phases():
    ts, tau = np.linspace(0.0, 5.0, 26), 2.0
    model = CircularCumulants(MPR(eta=1.0, J=2.0, Delta=0.3, tau=tau), 0.5)
    run = simulate(model, {"r": 0.4 / tau, "v": -0.3}, tau * ts, **TIGHT)
    a = 2 / (1 + 0.4 * np.pi - 0.3j) - 1
    start = [a.real, a.imag, (a**2).real, (a**2).imag]
    found = solve_ivp(circular, (0, 5), start, t_eval=ts, args=(1.0, 2.0, 0.3, 0.5), rtol=1e-10, atol=1e-12).y
    a, a2 = found[0] + 1j * found[1], found[2] + 1j * found[3]
    K = 2 * (a2 - a**2) / (1 + a) ** 3
    W = (1 - a) / (1 + a) + K
    np.testing.assert_allclose(np.pi * tau * np.asarray(run.ys.r) + 1j * np.asarray(run.ys.v), W, atol=1e-8)
    np.testing.assert_allclose(np.pi * tau * np.asarray(run.ys.r2) + 1j * np.asarray(run.ys.v2), K, atol=1e-8)


FREE = {"eta": 1.3, "J": 0.0, "Delta": 0.7}
TERMS = {
    "none": {},
    "gap": {"gap": nmm.GapJunction(0.4)},
    "conductance": {"conductance": nmm.ConductanceSynapse(0.3, -1.0), "leak": nmm.Leak(0.2, -0.5)},
    "slow": {"adaptation": nmm.SpikeFrequencyAdaptation(alpha=0.1, tau=2.0), "synapse": nmm.ExponentialSynapse(0.3)},
}


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("kind", BOTH)
def test_without_noise_it_is_the_population(kind, terms):
    population = MPR(**FREE | {"J": 2.0}, tau=1.5, **TERMS[terms])
    y = population.state(Y0)
    closed = BOTH[kind](population, 0.0)
    flow, own = closed.vector_field(ZERO, closed.state(Y0)), population.vector_field(ZERO, y)
    for name in population.variables:
        np.testing.assert_allclose(getattr(flow, name), getattr(own, name), rtol=1e-14, atol=1e-15)
    for name in set(closed.variables) - set(population.variables):
        assert getattr(flow, name) == 0


@pytest.mark.parametrize(("kind", "D", "error"), [("pseudo", 0.5, 1e-8), ("circular", 1e-3, 1e-6)])
def test_a_leak_is_a_shift_of_the_voltage(kind, D, error):
    """V = U + c/2 turns a constant conductance c of a neuron into a current: exactly for pseudo-cumulants, to first order in
    D for circular ones, whose phases are others."""
    c, E, ts = 0.6, -0.5, np.linspace(0.0, 3.0, 7)
    leaking = BOTH[kind](MPR(**FREE, leak=nmm.Leak(c, E)), D)
    shifted = BOTH[kind](MPR(**FREE | {"eta": 1.3 + c * E - c**2 / 4}), D)
    one = simulate(leaking, Y0, ts, **TIGHT).ys
    other = simulate(shifted, Y0 | {"v": -0.3 - c / 2}, ts, **TIGHT).ys
    np.testing.assert_allclose(one.r, other.r, atol=error)
    np.testing.assert_allclose(one.v, other.v + c / 2, atol=error)
    assert np.max(np.abs(simulate(leaking.population, Y0, ts, **TIGHT).ys.r - one.r)) > 100 * error


MEASURED = {  # (η, J, Δ), state: relative errors of r at D = 0.01, 0.1, 1; docs/theory.md §G
    ("circular", -5.0, 15.0, 1.0, 2): (2.8e-7, 2.7e-5, 2.5e-3),
    ("pseudo", -5.0, 15.0, 1.0, 2): (2.0e-8, 2.0e-6, 1.9e-4),
    ("circular", 0.0, 0.0, 0.1, 0): (6.1e-4, 9.2e-3, 6.5e-2),
    ("pseudo", 0.0, 0.0, 0.1, 0): (4.3e-3, 4.4e-2, 7.7e-2),
}


@pytest.mark.parametrize("case", MEASURED, ids=str)
def test_errors_at_rest(case):
    """Exact to first order in D: the error grows with D², so a hundredfold per decade, if D is small."""
    kind, eta, J, Delta, state = case
    population = MPR(eta=eta, J=J, Delta=Delta)
    for D, error in zip((0.01, 0.1, 1.0), MEASURED[case], strict=True):
        exact = nmm.stationary_rates(population, nmm.GaussianNoise(D))
        closed = BOTH[kind](population, D)
        rest = nmm.find_fixed_point(closed, {"r": exact.r[state], "v": exact.v[state]}).r
        assert abs(rest / exact.r[state] - 1) == pytest.approx(error, rel=0.05)


def neurons(eta, J, Delta, D, y0, T, N, h, every):
    """Spikes per neuron and time of a network with noise, counted over every so many steps, and the rates that the Kuramoto
    order parameter shows at their ends: exact steps between two half-kicks."""
    rng, j = np.random.default_rng(0), np.arange(N)
    a = 0.302721828598366
    I = eta + Delta * np.tan(np.pi * ((j + a) / (N - 1 + 2 * a) - 0.5))
    V = y0["v"] + np.pi * y0["r"] * np.tan(np.pi * ((0.5 + j * 0.6180339887498949) % 1 - 0.5))
    angle = np.sqrt(np.abs(I)) * h
    c = np.where(I > 0, np.cos(angle), 1.0)
    s = np.where(I > 0, np.sin(angle), np.tanh(angle)) * h / angle
    turns = np.where(I > 0, np.floor(angle / np.pi), 0.0)
    count = before = y0["r"] * h * N
    counts, read = [], []
    for _ in range(round(T / h)):
        foretold = 2 * count - before
        V += np.sqrt(D * h) * rng.standard_normal(N) + J * foretold / 2 / N
        below = c - s * V
        before, count = count, np.sum(below < 0) + turns.sum()
        V = (c * V + I * s) / below + np.sqrt(D * h) * rng.standard_normal(N) + J * (count - foretold / 2) / N
        counts.append(count)
        if len(counts) % every == 0:
            read.append(np.mean((1 - 1j * V) / (1 + 1j * V)))
    Z = np.array(read)
    return np.reshape(counts, (-1, every)).mean(axis=1) / N / h, np.real((1 - Z) / (1 + Z)) / np.pi


def test_neurons_rest_at_the_exact_rate():
    """Noise makes neurons at threshold fire at .1113; without it the rate is .0712. What the Kuramoto order parameter says
    is 13 % too high, since voltages with Gaussian noise are not spread as a Lorentzian."""
    rates, read = neurons(0.0, 0.0, 0.1, 0.1, {"r": 0.11, "v": -0.1}, 40.0, N=4000, h=0.02, every=5)
    exact = float(nmm.stationary_rates(MPR(eta=0.0, J=0.0, Delta=0.1), nmm.GaussianNoise(0.1)).r[0])
    assert exact == pytest.approx(0.111285, abs=1e-6)
    assert np.mean(rates[100:]) == pytest.approx(exact, rel=0.015)
    assert np.mean(read[100:]) == pytest.approx(1.13 * exact, rel=0.015)


TRANSIENT = {"circular": 0.0131, "pseudo": 0.0338, "none": 0.0900}


def test_neurons_beside_the_closures():
    """r from .2 to .6 and to rest, (1, 2, .3) at D = .5: the rms deviation of the closures, and of MPR."""
    y0, T, h, population = {"r": 0.2, "v": -0.5}, 6.0, 0.01, MPR(eta=1.0, J=2.0, Delta=0.3)
    rates, _ = neurons(1.0, 2.0, 0.3, 0.5, y0, T, N=50_000, h=h, every=20)
    ts = h * np.arange(20 * rates.size + 1)
    for kind, rms in TRANSIENT.items():
        model = BOTH[kind](population, 0.5) if kind in BOTH else population
        r = np.asarray(simulate(model, y0, ts).ys.r)
        off = np.reshape((r[1:] + r[:-1]) / 2, (-1, 20)).mean(axis=1) - rates
        assert np.sqrt(np.mean(off**2)) == pytest.approx(rms, rel=0.2), kind


def test_closures_are_nodes_of_networks_and_sweep():
    closed = PseudoCumulants(MPR(), 0.1)
    pair = simulate(nmm.Network(closed, 0.3 * (1 - np.eye(2))), {"r": 0.08, "v": -1.96}, jnp.array([0.0, 1.0]))
    assert pair.ys.q2.shape == (2, 2)
    swept = nmm.sweep(
        closed, over={"intensity": [0.0, 0.2], "population.eta": [-5.0, -4.0]}, y0={"r": 0.08, "v": -1.96}, t1=5.0,
        observe={"r": nmm.Final("r")}, progress=False,
    )  # fmt: skip
    assert swept.r.shape == (2, 2) and float(swept.r[1, 0]) > float(swept.r[0, 0])


def test_bad_input(unchecked):
    for cls in BOTH.values():
        assert issubclass(cls, AbstractCumulants)
        with pytest.raises(ValueError, match="`intensity` must be ≥ 0"):
            cls(MPR(), -0.1)
        with pytest.raises(ValueError, match="`population` must have Lorentzian excitabilities"):
            cls(MPR(heterogeneity=nmm.GaussianLike(2)), 0.1)
        with pytest.raises(ValueError, match="`population` must be an `MPR` population"):
            cls(nmm.mutual_inhibition(), 0.1)
    with pytest.raises(ValueError, match="must be a single population"):
        nmm.stationary_rates(PseudoCumulants(MPR(), 0.1), nmm.GaussianNoise(0.1))
