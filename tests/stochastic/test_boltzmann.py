"""The exact stationary law: against independent quadrature, central differences, samples and simulation."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest

import nmmjax as nmm
from nmmjax import MPR, boltzmann
from nmmjax.equilibria.brackets import fixed_rates

CASES = {
    "plain": (MPR(eta=-1.0, J=4.0, Delta=0.7), 0.4),
    "slow membrane": (MPR(eta=-5.0, J=15.0, Delta=1.0, tau=10.0), 0.05),
    "two wells": (MPR(eta=-5.0, J=15.0, Delta=1.0), 2.0),
    "inhibition": (MPR(eta=2.0, J=-5.0, Delta=0.3, tau=3.0), 0.01),
    "cold": (MPR(eta=-5.0, J=15.0, Delta=1.0), 0.0005),
    "hot": (MPR(eta=1.0, J=1.0, Delta=0.05), 30.0),
}
cases = pytest.mark.parametrize(("population", "D"), CASES.values(), ids=CASES)
rest = jax.jit(fixed_rates)
law_of = jax.jit(lambda population, D: boltzmann(population, D))
cdf, quantile, pdf_energy, probability = (
    jax.jit(getattr(nmm.results.Boltzmann, name)) for name in ("cdf", "quantile", "pdf_energy", "probability")
)
sample = jax.jit(lambda law, key: law.sample(key, (20_000,)))


def potential(population, R):
    eta, J, Delta = (float(each) for each in (population.eta, population.J, population.Delta))
    return eta / R + np.pi**2 * R - J * np.log(R) + Delta**2 / (12 * np.pi**2 * R**3)


def reference(population, D):
    """(expectation of f(r), ln Z) by the trapezoidal rule on a fine grid of ln R, exact for smooth peaks."""
    T = np.pi * D / float(population.Delta)
    x = np.linspace(-16, 12, 400_001)
    values = -x / 2 - potential(population, np.exp(x)) / T
    weights = np.exp(values - values.max())
    rates = np.exp(x) / float(population.tau)
    mean = lambda f: np.sum(weights * f(rates)) / weights.sum()
    return mean, values.max() + np.log(weights.sum() * 28 / 400_000)


@jax.jit
def expectations(law):
    population, y = law.population, lambda r, v: nmm.State(r=r, v=v)
    names = "temperature mean_rate mean_voltage log_normalizer free_energy mean_energy heat_capacity fluctuation entropy"
    return {name: getattr(law, name) for name in names.split()} | {
        "inverse": law.moment(-1.0),
        "logarithm": law.mean(jnp.log),
        "square of q'": law.mean(lambda r, v: nmm.coordinates.to_qqdot(population, y(r, v))[1] ** 2),
        "energy": law.mean(lambda r, v: nmm.total_energy(population, y(r, v))),
        "voltage": law.mean(lambda r, v: v),
        "surprise": -law.mean(
            lambda r, v: jnp.log(jnp.maximum(law.pdf(r, v), 1e-300) * population.tau * r**2)
        ),  # dq dq̇ = dr dv/(τ r²)
    }


@cases
def test_moments(population, D):
    found = expectations(law_of(population, D))
    mean, log_Z = reference(population, D)
    T = np.pi * D / float(population.Delta)
    tau = float(population.tau)
    assert found["temperature"] == pytest.approx(T, rel=1e-14)
    assert found["mean_rate"] == pytest.approx(mean(lambda r: r), rel=1e-11)
    assert found["inverse"] == pytest.approx(mean(lambda r: 1 / r), rel=1e-11)
    assert found["logarithm"] == pytest.approx(mean(np.log), rel=1e-11)
    assert found["log_normalizer"] == pytest.approx(log_Z, rel=1e-11)
    assert found["free_energy"] == pytest.approx(-T * log_Z, rel=1e-11)
    V = mean(lambda r: potential(population, tau * r))
    assert found["mean_energy"] == pytest.approx(V + T / 2, rel=1e-10)
    square = mean(lambda r: (potential(population, tau * r) - V) ** 2)
    assert found["heat_capacity"] == pytest.approx(0.5 + square / T**2, rel=1e-9)
    spread = mean(lambda r: r**2) - mean(lambda r: r) ** 2
    assert found["fluctuation"] == pytest.approx(np.sqrt(spread), rel=1e-7)
    # Expectations over v too: equipartition, the mean energy again, and the entropy as that of the density.
    assert found["square of q'"] == pytest.approx(T, rel=1e-11)
    assert found["energy"] == pytest.approx(float(found["mean_energy"]), rel=1e-11)
    assert found["voltage"] == pytest.approx(float(found["mean_voltage"]), rel=1e-11)
    assert found["surprise"] == pytest.approx(float(found["entropy"]), rel=1e-10, abs=1e-10)


def test_densities():
    """They integrate to 1 and transform into one another; P(r, v) is r⁻² exp(−E/T)."""
    law = law_of(MPR(eta=-5.0, J=15.0, Delta=1.2, tau=2.0), 2.0)
    r = jnp.exp(jnp.linspace(-9, 2, 4001))
    q, v = jnp.sqrt(2 / (2.0 * r)), jnp.linspace(-60.0, 60.0, 4001)
    at, volts = jnp.asarray([0.05, 0.3, 0.9]), jnp.asarray([-1.0, 0.4, 1.3])

    @jax.jit
    def densities(law):
        ratio = (
            law.pdf(at, volts)
            * at**2
            * jnp.exp(nmm.total_energy(law.population, nmm.State(r=at, v=volts)) / law.temperature)
        )
        return (
            law.pdf(r),
            law.pdf_q(q),
            law.pdf(0.3, v),
            law.pdf(0.3),
            ratio,
            law.pdf(jnp.asarray([0.0, -1.0])),
            law.pdf_q(-1.0),
        )

    of_r, of_q, joint, there, ratio, nothing, q_nothing = densities(law)
    assert jnp.sum(of_r * r) * 11 / 4000 == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(of_q * q / (2 * r), of_r, rtol=1e-11, atol=1e-200)
    assert jnp.sum(joint) * 0.03 == pytest.approx(float(there), rel=1e-10)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-11)
    assert np.all(np.asarray(nothing) == 0) and q_nothing == 0


@pytest.mark.parametrize("name", ["plain", "two wells", "slow membrane"])
def test_density_of_the_energy(name):
    """It integrates to 1 and to ⟨E⟩, between minima and the pass, by a rule that both kinds of ends suit."""
    population, D = CASES[name]
    law = law_of(population, D)
    T = float(law.temperature)
    bounds = potential(population, np.asarray(rest(population)[0]))
    bounds = np.sort(bounds[np.isfinite(bounds)])
    bounds = np.append(bounds, bounds[0] + 45 * T)
    if bounds.size == 2:  # one well: as many pieces as of two, for one compilation
        bounds = np.interp([0, 0.1, 0.3, 1], [0, 1], bounds)
    t = np.linspace(-16, 16, 401)
    share, weight = (1 + np.tanh(t)) / 2, (t[1] - t[0]) / np.cosh(t) ** 2 / 2
    E = np.concatenate([a + (b - a) * share for a, b in itertools.pairwise(bounds)])
    weights = np.concatenate([(b - a) * weight for a, b in itertools.pairwise(bounds)])
    P, nothing = np.split(np.asarray(pdf_energy(law, np.append(E, bounds[0] - 1))), [-1])
    assert nothing == 0
    assert np.sum(P * weights) == pytest.approx(1, abs=1e-9)
    assert np.sum(P * weights * E) == pytest.approx(float(law.mean_energy), abs=1e-8)


@cases
def test_quantiles_invert_the_distribution(population, D):
    law = law_of(population, D)
    p = jnp.linspace(0.0, 1.0, 401)
    r = quantile(law, p)
    assert np.all(np.isfinite(r)) and np.all(np.diff(r) > 0)
    np.testing.assert_allclose(cdf(law, r.at[0].set(0.0).at[-1].set(jnp.inf)), p, atol=2e-12)
    low, high = r[100], r[300]
    assert probability(law, low, high) == pytest.approx(0.5, abs=1e-11)


def test_samples_follow_the_law(key):
    population, D = CASES["two wells"]
    law = law_of(population, D)
    y = sample(law, key)
    assert kstest(np.asarray(y.r), lambda r: np.asarray(cdf(law, r))).pvalue > 1e-3
    qdot = np.asarray(nmm.coordinates.to_qqdot(population, y)[1]) / np.sqrt(float(law.temperature))
    assert kstest(qdot, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(np.abs(qdot), np.asarray(y.r))[0, 1]) < 0.03
    assert jax.eval_shape(lambda: law.sample(key, (2, 3))).r.shape == (2, 3)


def test_shares_of_two_wells():
    population, D = CASES["two wells"]
    shares = jax.jit(lambda population, D: boltzmann(population, D).well_probabilities)
    low, high = shares(population, D)
    R = float(rest(population)[0][1])
    T = np.pi * D
    mass = lambda a, b: quad(lambda x: np.exp(-x / 2 - potential(population, np.exp(x)) / T), a, b, limit=200)[0]
    below, above = mass(-8, np.log(R)), mass(np.log(R), 5)
    assert low == pytest.approx(below / (below + above), rel=1e-9) and low + high == pytest.approx(1)
    assert shares(MPR(eta=-10.0, J=1.0), 1.0).tolist() == [1, 0]
    assert shares(MPR(eta=30.0, J=1.0), 1.0).tolist() == [0, 1]


def several(law):
    wells, middle = law.well_probabilities[1], law.probability(0.2, 0.7)
    return jnp.stack([law.mean_rate, law.free_energy, law.entropy, law.quantile(0.3), wells, middle])


@pytest.mark.parametrize(
    "read",
    [several, pytest.param(lambda law: law.pdf_energy(-3.0)[None], marks=pytest.mark.slow)],
    ids=["several", "energy"],
)
@pytest.mark.slow
def test_gradients(read):
    """By η, J, Δ, D, against central differences."""
    f = jax.jit(lambda z: read(boltzmann(MPR(eta=z[0], J=z[1], Delta=z[2]), z[3])))
    z, h = jnp.asarray([-5.0, 15.0, 1.0, 1.0]), 1e-5
    differences = np.stack([(f(z.at[k].add(h)) - f(z.at[k].add(-h))) / (2 * h) for k in range(4)], axis=1)
    weights = jnp.asarray(np.arange(1, len(differences) + 1) / np.linalg.norm(differences, axis=1))
    found = jax.jit(jax.grad(lambda z: weights @ f(z)))(z)  # one way back for all
    np.testing.assert_allclose(found, weights @ differences, rtol=1e-6)


def test_thermodynamic_identities():
    """Heat capacity is d⟨E⟩/dT; −dF/dη is −⟨1/R⟩; free energy of the known ramp."""
    population, D = MPR(eta=-1.0, J=4.0, Delta=0.7, tau=3.0), 0.4

    @jax.jit
    def slopes(D, current):
        law = lambda D, current: boltzmann(population, D, current)
        energy = jax.grad(lambda D: law(D, current).mean_energy)(D)
        return energy, jax.grad(lambda current: law(D, current).free_energy)(current), expectations(law(D, current))

    by_noise, by_input, found = slopes(jnp.asarray(D), jnp.asarray(0.0))
    assert by_noise * 0.7 / np.pi == pytest.approx(float(found["heat_capacity"]), rel=1e-11)
    assert by_input == pytest.approx(float(found["inverse"]) / 3, rel=1e-11)
    start, end = (expectations(law_of(MPR(eta=eta, J=3.0, Delta=0.5), 0.1))["free_energy"] for eta in (1.0, 1.5))
    assert end - start == pytest.approx(1.0135694385674, abs=1e-11)


def test_input_shifts_eta_and_units_scale():
    one, shifted = boltzmann(MPR(eta=-1.0, J=4.0, Delta=0.7), 0.4, I=0.3), MPR(eta=-0.7, J=4.0, Delta=0.7)
    law, same = expectations(one), expectations(law_of(shifted, 0.4))
    assert same["mean_rate"] == pytest.approx(float(law["mean_rate"]), rel=1e-13)
    scaled = MPR(eta=-1.0 * 4, J=4.0 * 2, Delta=0.7 * 4, tau=5.0)
    other = expectations(boltzmann(scaled, nmm.WhiteNoise(0.4 * 8), I=0.3 * 4))
    assert other["mean_rate"] == pytest.approx(float(law["mean_rate"]) * 2 / 5, rel=1e-12)
    assert other["entropy"] == pytest.approx(float(law["entropy"]), rel=1e-12)  # dq dq̇ has no scale: q √λ, q̇ shrinks alike


@pytest.mark.slow
def test_transformations():
    population = MPR()
    D = jnp.asarray([0.5, 1.0, 2.0])
    laws = jax.vmap(lambda D: boltzmann(population, D))(D)
    assert laws.x.shape[0] == 3 and "batch shape (3,)" in repr(laws)
    np.testing.assert_allclose(laws.mass.sum(axis=1), 1, rtol=1e-12)
    text = repr(boltzmann(population, 1.0))
    assert "T = π D/Δ = 3.14159" in text and "below the pass" in text


SETS = st.tuples(st.floats(-10, 10), st.floats(-20, 20), st.floats(0.05, 3), st.floats(0.02, 10))


@settings(max_examples=30, deadline=None)
@given(SETS)
def test_any_parameters(values):
    """Identities that hold for every law: ⟨−U′ q⟩ virial form, normalisation, monotone quantiles."""
    eta, J, Delta, D = (jnp.asarray(each) for each in values)
    law = law_of(MPR(eta=eta, J=J, Delta=Delta), D)
    # Integration by parts in x: ⟨dV/dx⟩ = −T/2.
    R, p, T = np.exp(law.x), np.asarray(law.mass), np.pi * values[3] / values[2]
    slope = -values[0] / R + np.pi**2 * R - values[1] - values[2] ** 2 / (4 * np.pi**2 * R**3)
    size = np.sum(p * np.abs(slope)) + T
    assert np.sum(p * slope) == pytest.approx(-T / 2, abs=1e-10 * size)
    assert np.sum(p) == pytest.approx(1, abs=1e-12)
    found = expectations(law)
    assert found["entropy"] < np.inf and found["heat_capacity"] >= 0.5


WRONG = {
    "no damping": ((MPR(Delta=0.0), 1.0), r"Argument `Delta` must be > 0 for a stationary law \(at 0 noise heats"),
    "no noise": ((MPR(), 0.0), "Argument `noise` must be > 0"),
    "negative": ((MPR(), -1.0), "Argument `intensity` must be ≥ 0"),
    "coloured": ((MPR(), nmm.OrnsteinUhlenbeck(1.0, 2.0)), "Argument `noise` must be white noise"),
    "gap": ((MPR(gap=nmm.GapJunction(0.1)), 1.0), "no exact law; use `stationary_density`"),
    "conductance": ((MPR(conductance=nmm.ConductanceSynapse(0.1)), 1.0), "no exact law; use `stationary_density`"),
    "slow": ((MPR(adaptation=nmm.SpikeFrequencyAdaptation(alpha=1.0, tau=10.0)), 1.0), "be without slow terms"),
    "number": ((3.0, 1.0), "Argument `population` must have an exactly solvable part"),
}


@pytest.mark.parametrize(("arguments", "sentence"), WRONG.values(), ids=WRONG)
def test_what_has_no_exact_law_is_refused(arguments, sentence, unchecked):
    with pytest.raises(ValueError, match=sentence) as caught:
        boltzmann(*arguments)
    assert "\n" not in str(caught.value)


def test_simulated_density_where_a_law_is_known(key):
    """At g = k = 0 the numerical density is the law's, within its errors and 2 %."""
    population, D = MPR(eta=-1.0, J=4.0, Delta=0.7, tau=2.0), 0.4
    law, found = boltzmann(population, D), nmm.stochastic.stationary_density(population, D, key, lanes=256, transient=20.0)
    mean, error = found.mean(lambda r, v: r)
    assert abs(float(mean - law.mean_rate)) < 4 * float(error) and float(error) < 0.02 * float(mean)
    square, error = found.mean(lambda r, v: nmm.coordinates.to_qqdot(population, nmm.State(r=r, v=v))[1] ** 2)
    assert abs(float(square - law.temperature)) < 4 * float(error)
    exact = np.diff(cdf(law, found.edges))
    kept = np.asarray(exact) > 5e-3
    scores = np.asarray((found.probability - exact) / found.error)[kept]
    assert np.mean(scores**2) < 2 and "256 lanes" in repr(found)
    assert found.pdf(float(law.mean_rate)) == pytest.approx(float(law.pdf(law.mean_rate)), rel=0.15)


@pytest.mark.slow
def test_gap_junctions_heat(key):
    """They take damping away, so that ⟨q̇²⟩ exceeds π D/Δ."""
    population = MPR(eta=-1.0, J=4.0, Delta=0.7, gap=nmm.GapJunction(0.5))
    found = nmm.stochastic.stationary_density(population, 0.4, key, lanes=128, transient=20.0, times=20)
    square, error = found.mean(lambda r, v: nmm.coordinates.to_qqdot(population, nmm.State(r=r, v=v))[1] ** 2)
    assert float(square) > np.pi * 0.4 / 0.7 + 3 * float(error)
