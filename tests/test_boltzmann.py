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
from nmmjax.mechanics.rest import fixed_rates

CASES = {
    "plain": (MPR(eta=-1.0, J=4.0, Delta=0.7), 0.4),
    "slow membrane": (MPR(eta=-5.0, J=15.0, Delta=1.0, tau=10.0), 0.05),
    "two wells": (MPR(eta=-5.0, J=15.0, Delta=1.0), 2.0),
    "inhibition": (MPR(eta=2.0, J=-5.0, Delta=0.3, tau=3.0), 0.01),
    "cold": (MPR(eta=-5.0, J=15.0, Delta=1.0), 0.0005),
    "hot": (MPR(eta=1.0, J=1.0, Delta=0.05), 30.0),
}
cases = pytest.mark.parametrize(("population", "D"), CASES.values(), ids=CASES)
law_of = jax.jit(lambda population, D: boltzmann(population, D))


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
    return mean, values.max() + np.log(weights.sum() * (x[1] - x[0]))


@cases
def test_moments(population, D):
    law = boltzmann(population, D)
    mean, log_Z = reference(population, D)
    T = np.pi * D / float(population.Delta)
    tau = float(population.tau)
    assert law.temperature == pytest.approx(T, rel=1e-14)
    assert law.mean_rate == pytest.approx(mean(lambda r: r), rel=1e-11)
    assert law.moment(-1.0) == pytest.approx(mean(lambda r: 1 / r), rel=1e-11)
    assert law.mean(jnp.log) == pytest.approx(mean(np.log), rel=1e-11)
    assert law.log_normalizer == pytest.approx(log_Z, rel=1e-11)
    assert law.free_energy == pytest.approx(-T * log_Z, rel=1e-11)
    V = mean(lambda r: potential(population, tau * r))
    assert law.mean_energy == pytest.approx(V + T / 2, rel=1e-10)
    square = mean(lambda r: (potential(population, tau * r) - V) ** 2)
    assert law.heat_capacity == pytest.approx(0.5 + square / T**2, rel=1e-9)
    spread = mean(lambda r: r**2) - mean(lambda r: r) ** 2
    assert law.fluctuation == pytest.approx(np.sqrt(spread), rel=1e-7)
    # Expectations over v too: equipartition and the mean energy again.
    y = lambda r, v: nmm.State(r=r, v=v)
    assert law.mean(lambda r, v: nmm.to_qqdot(population, y(r, v))[1] ** 2) == pytest.approx(T, rel=1e-11)
    assert law.mean(lambda r, v: nmm.total_energy(population, y(r, v))) == pytest.approx(float(law.mean_energy), rel=1e-11)
    assert law.mean(lambda r, v: v) == pytest.approx(float(law.mean_voltage), rel=1e-11)


def test_densities():
    """They integrate to 1 and transform into one another; P(r, v) is r⁻² exp(−E/T)."""
    population, D = MPR(eta=-5.0, J=15.0, Delta=1.2, tau=2.0), 2.0
    law = boltzmann(population, D)
    r = jnp.exp(jnp.linspace(-9, 2, 4001))
    assert jnp.sum(law.pdf(r) * r) * 11 / 4000 == pytest.approx(1, abs=1e-9)
    q = jnp.sqrt(2 / (2.0 * r))
    np.testing.assert_allclose(law.pdf_q(q) * q / (2 * r), law.pdf(r), rtol=1e-11, atol=1e-200)
    v = jnp.linspace(-60.0, 60.0, 4001)
    assert jnp.sum(law.pdf(0.3, v)) * 0.03 == pytest.approx(float(law.pdf(0.3)), rel=1e-10)
    at, volts = jnp.asarray([0.05, 0.3, 0.9]), jnp.asarray([-1.0, 0.4, 1.3])
    E = nmm.total_energy(population, {"r": at, "v": volts})
    ratio = law.pdf(at, volts) * at**2 * jnp.exp(E / law.temperature)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-11)
    assert np.all(np.asarray(law.pdf(jnp.asarray([0.0, -1.0]))) == 0) and law.cdf(0.0) == 0 and law.cdf(jnp.inf) == 1
    assert law.pdf_q(-1.0) == 0 and law.pdf_energy(-50.0) == 0


@pytest.mark.parametrize("name", ["plain", "two wells", "slow membrane"])
def test_density_of_the_energy(name):
    """It integrates to 1 and to ⟨E⟩, between minima and the pass, by a rule that both kinds of ends suit."""
    population, D = CASES[name]
    law = boltzmann(population, D)
    T = float(law.temperature)
    bounds = potential(population, np.asarray(fixed_rates(population)[0]))
    bounds = np.sort(bounds[np.isfinite(bounds)])
    bounds = np.append(bounds, bounds[0] + 45 * T)
    t = np.linspace(-16, 16, 401)
    share, weight = (1 + np.tanh(t)) / 2, (t[1] - t[0]) / np.cosh(t) ** 2 / 2
    E = np.concatenate([a + (b - a) * share for a, b in itertools.pairwise(bounds)])
    weights = np.concatenate([(b - a) * weight for a, b in itertools.pairwise(bounds)])
    P = np.asarray(law.pdf_energy(E))
    assert np.sum(P * weights) == pytest.approx(1, abs=1e-9)
    assert np.sum(P * weights * E) == pytest.approx(float(law.mean_energy), abs=1e-8)


@cases
def test_quantiles_invert_the_distribution(population, D):
    law = boltzmann(population, D)
    p = jnp.linspace(0.0, 1.0, 401)
    r = law.quantile(p)
    assert np.all(np.isfinite(r)) and np.all(np.diff(r) > 0)
    np.testing.assert_allclose(law.cdf(r), p, atol=2e-12)
    low, high = r[100], r[300]
    assert law.probability(low, high) == pytest.approx(0.5, abs=1e-11)


def test_samples_follow_the_law(key):
    population, D = CASES["two wells"]
    law = boltzmann(population, D)
    y = law.sample(key, (20_000,))
    assert kstest(np.asarray(y.r), lambda r: np.asarray(law.cdf(r))).pvalue > 1e-3
    qdot = np.asarray(nmm.to_qqdot(population, y)[1]) / np.sqrt(float(law.temperature))
    assert kstest(qdot, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(np.abs(qdot), np.asarray(y.r))[0, 1]) < 0.03
    assert law.sample(key, (2, 3)).r.shape == (2, 3)


def test_shares_of_two_wells():
    population, D = CASES["two wells"]
    low, high = boltzmann(population, D).well_probabilities
    R = float(fixed_rates(population)[0][1])
    T = np.pi * D
    mass = lambda a, b: quad(lambda x: np.exp(-x / 2 - potential(population, np.exp(x)) / T), a, b, limit=200)[0]
    below, above = mass(-8, np.log(R)), mass(np.log(R), 5)
    assert low == pytest.approx(below / (below + above), rel=1e-9) and low + high == pytest.approx(1)
    assert boltzmann(MPR(eta=-10.0, J=1.0), 1.0).well_probabilities.tolist() == [1, 0]
    assert boltzmann(MPR(eta=30.0, J=1.0), 1.0).well_probabilities.tolist() == [0, 1]


def differences(f, z, k, h=1e-5):
    return (f(z.at[k].add(h)) - f(z.at[k].add(-h))) / (2 * h)


@pytest.mark.parametrize("name", ["mean_rate", "free_energy", "entropy", "pdf_energy", "quantile", "wells"])
def test_gradients(name):
    """By η, J, Δ, D, against central differences."""
    read = {
        "pdf_energy": lambda law: law.pdf_energy(-3.0),
        "quantile": lambda law: law.quantile(0.3),
        "wells": lambda law: law.well_probabilities[1],
    }.get(name, lambda law: getattr(law, name))
    f = jax.jit(lambda z: read(boltzmann(MPR(eta=z[0], J=z[1], Delta=z[2]), z[3])))
    z = jnp.asarray([-5.0, 15.0, 1.0, 1.0])
    found = jax.jit(jax.grad(f))(z)
    np.testing.assert_allclose(found, [differences(f, z, k) for k in range(4)], rtol=1e-6)


def test_thermodynamic_identities():
    """Heat capacity is d⟨E⟩/dT; −dF/dη is −⟨1/R⟩; the entropy is that of the density; free energy of the known ramp."""
    population, D = MPR(eta=-1.0, J=4.0, Delta=0.7, tau=3.0), 0.4
    law = boltzmann(population, D)
    slope = jax.grad(lambda D: boltzmann(population, D).mean_energy)(D) * 0.7 / np.pi
    assert slope == pytest.approx(float(law.heat_capacity), rel=1e-11)
    slope = jax.grad(lambda current: boltzmann(population, D, current).free_energy)(0.0)
    assert slope == pytest.approx(float(law.moment(-1.0)) / 3, rel=1e-11)
    entropy = -law.mean(lambda r, v: jnp.log(law.pdf(r, v) * 3 * r**2))  # dq dq̇ = dr dv/(τ r²)
    assert entropy == pytest.approx(float(law.entropy), rel=1e-11)
    ramp = boltzmann(MPR(eta=1.0, J=3.0, Delta=0.5), 0.1, 0.5).free_energy
    assert ramp - boltzmann(MPR(eta=1.0, J=3.0, Delta=0.5), 0.1).free_energy == pytest.approx(1.0135694385674, abs=1e-11)


def test_input_shifts_eta_and_units_scale():
    law = boltzmann(MPR(eta=-1.0, J=4.0, Delta=0.7), 0.4, stimulus=0.3)
    assert law.mean_rate == pytest.approx(float(boltzmann(MPR(eta=-0.7, J=4.0, Delta=0.7), 0.4).mean_rate), rel=1e-13)
    other = boltzmann(MPR(eta=-1.0 * 4, J=4.0 * 2, Delta=0.7 * 4, tau=5.0), nmm.WhiteNoise(0.4 * 8), stimulus=0.3 * 4)
    assert other.mean_rate == pytest.approx(float(law.mean_rate) * 2 / 5, rel=1e-12)
    assert other.entropy == pytest.approx(float(law.entropy), rel=1e-12)  # dq dq̇ has no scale: q √λ, q̇ shrinks alike


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
    R, p = jnp.exp(law.x), law.mass
    slope = -eta / R + jnp.pi**2 * R - J - Delta**2 / (4 * jnp.pi**2 * R**3)
    size = float(jnp.sum(p * jnp.abs(slope))) + float(law.temperature)
    assert float(jnp.sum(p * slope)) == pytest.approx(-float(law.temperature) / 2, abs=1e-10 * size)
    assert float(jnp.sum(p)) == pytest.approx(1, abs=1e-12)
    assert float(law.entropy) < np.inf and float(law.heat_capacity) >= 0.5


WRONG = {
    "no damping": ((MPR(Delta=0.0), 1.0), r"Argument `Delta` must be > 0 for a stationary law \(at 0 noise heats"),
    "no noise": ((MPR(), 0.0), "Argument `noise` must be > 0"),
    "negative": ((MPR(), -1.0), "Argument `intensity` must be ≥ 0"),
    "coloured": ((MPR(), nmm.OrnsteinUhlenbeck(1.0, 2.0)), "Argument `noise` must be white noise"),
    "gap": ((MPR(gap=nmm.GapJunction(0.1)), 1.0), "no exact law; use `stationary_density`"),
    "conductance": ((MPR(conductance=nmm.ConductanceSynapse(0.1)), 1.0), "no exact law; use `stationary_density`"),
    "slow": ((MPR(adaptation=nmm.SpikeFrequencyAdaptation(alpha=1.0, tau=10.0)), 1.0), "be without slow terms"),
    "number": ((3.0, 1.0), "Argument `population` must be an `MPR`"),
}


@pytest.mark.parametrize(("arguments", "sentence"), WRONG.values(), ids=WRONG)
def test_what_has_no_exact_law_is_refused(arguments, sentence, unchecked):
    with pytest.raises(ValueError, match=sentence) as caught:
        boltzmann(*arguments)
    assert "\n" not in str(caught.value)


def test_simulated_density_where_a_law_is_known(key):
    """At g = k = 0 the numerical density is the law's, within its errors and 2 %."""
    population, D = MPR(eta=-1.0, J=4.0, Delta=0.7, tau=2.0), 0.4
    law, found = boltzmann(population, D), nmm.stationary_density(population, D, key, lanes=256, settle=20.0)
    mean, error = found.mean(lambda r, v: r)
    assert abs(float(mean - law.mean_rate)) < 4 * float(error) and float(error) < 0.02 * float(mean)
    square, error = found.mean(lambda r, v: nmm.to_qqdot(population, nmm.State(r=r, v=v))[1] ** 2)
    assert abs(float(square - law.temperature)) < 4 * float(error)
    exact = law.probability(found.edges[:-1], found.edges[1:])
    kept = np.asarray(exact) > 5e-3
    scores = np.asarray((found.probability - exact) / found.error)[kept]
    assert np.mean(scores**2) < 2 and "256 lanes" in repr(found)
    assert found.pdf(float(law.mean_rate)) == pytest.approx(float(law.pdf(law.mean_rate)), rel=0.15)


def test_gap_junctions_heat(key):
    """They take damping away, so that ⟨q̇²⟩ exceeds π D/Δ."""
    population = MPR(eta=-1.0, J=4.0, Delta=0.7, gap=nmm.GapJunction(0.5))
    found = nmm.stationary_density(population, 0.4, key, lanes=128, settle=20.0, times=20)
    square, error = found.mean(lambda r, v: nmm.to_qqdot(population, nmm.State(r=r, v=v))[1] ** 2)
    assert float(square) > np.pi * 0.4 / 0.7 + 3 * float(error)
