"""Population and noise from recordings of the rate: known truths, coverage of intervals, bounds, units, bad input."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax import MPR, boltzmann, fit_stationary
from nmmjax.stochastic import exponential_family
from nmmjax.stochastic.correlation import long_run_covariance

TRUTHS = [(-1.0, 4.0, 0.7, 0.4), (-5.0, 15.0, 1.0, 2.0)]


def population_of(truth, tau=1.0):
    return MPR(eta=truth[0], J=truth[1], Delta=truth[2], tau=tau)


draw = jax.jit(lambda population, D, key: boltzmann(population, D).sample(key, (100_000,)))


def sample(truth, key, n=100_000):
    """Of one compiled function; n only cuts them."""
    return np.asarray(draw(population_of(truth), truth[3], key).r)[:n]


@jax.jit
def moments(law):
    return jnp.stack([law.moment(-3.0), law.moment(-1.0), law.mean_rate, law.mean(jnp.log)])


def inside(fit, truth, level=0.95):
    ends = fit.interval(level)
    return [
        ends[name][0] <= value <= ends[name][1] for name, value in zip(("eta", "J", "Delta", "noise"), truth, strict=True)
    ]


@pytest.mark.parametrize("truth", TRUTHS)
def test_independent_samples(truth, key):
    fit = fit_stationary(sample(truth, key))
    assert fit.status == "good" and fit.message == "" and all(inside(fit, truth, 0.9999))
    assert fit.goodness > 1e-3 and fit.effective_samples > 95_000
    assert fit.temperature == pytest.approx(float(np.pi * fit.intensity / fit.Delta), rel=1e-9)
    assert all(0 < float(fit.errors[name]) < 0.2 * abs(value) for name, value in zip(("eta", "J"), truth, strict=False))
    assert "Stationary fit: good" in repr(fit) and "independent ones" in repr(fit)


def test_the_maximum_is_where_moments_match(key):
    r = sample(TRUTHS[0], key, 5000)
    fit = fit_stationary(r)
    found = moments(boltzmann(fit.population, fit.noise))
    np.testing.assert_allclose(found, [np.mean(f) for f in (r**-3, 1 / r, r, np.log(r))], rtol=1e-7)


def test_time_constant_and_missing_values(key):
    r = sample(TRUTHS[0], key, 20_000)
    first = fit_stationary(r)
    second = fit_stationary(jnp.asarray(r / 10), tau=10.0)
    assert second.population.tau == 10 and second.rate_unit == pytest.approx(0.1)
    np.testing.assert_allclose(list(second.values.values())[:5], list(first.values.values())[:5], rtol=1e-6)
    holes = np.where(np.arange(r.size) % 7 == 0, np.nan, r)
    third = fit_stationary(holes)
    assert third.samples == np.sum(~np.isnan(holes))
    np.testing.assert_allclose(third.values["J"], fit_stationary(holes[~np.isnan(holes)]).values["J"], rtol=1e-6)


def test_unknown_unit(key):
    """37 times the rate: all but the unit is that of Δ = 1."""
    truth = (-5.0, 15.0, 1.3, 2.0)
    fit = fit_stationary(37 * sample(truth, key), unit="unknown")
    eta, J, Delta, D = truth
    scaled = {"eta": eta / Delta, "J": J / Delta**0.5, "noise": D / Delta**1.5, "rate_unit": 37 * Delta**0.5}
    ends = fit.interval(0.999)
    for name, value in scaled.items():
        assert ends[name][0] < value < ends[name][1], name
        assert float(fit.errors[name]) < 0.1 * abs(value)
    assert fit.Delta == 1 and fit.errors["Delta"] == 0 and "unit of rate" in repr(fit) and fit.gauge == "Δ = 1"
    known = fit_stationary(sample(truth, key))
    assert float(fit.values["J"]) == pytest.approx(float(known.J / jnp.sqrt(known.Delta)), rel=1e-6)


def test_no_heterogeneity_to_see(key):
    """At its bound Δ has an upper limit, T its value, and nothing is NaN."""
    fit = fit_stationary(sample((2.0, 0.0, 1e-3, 0.01), jax.random.key(1)))
    assert fit.status == "boundary" and "only η, J and T" in fit.message
    assert fit.Delta == 0 and fit.intensity == 0 and fit.interval()["Delta"][0] == 0 < fit.interval()["Delta"][1] < 0.1
    ends = fit.interval(0.999)
    assert ends["temperature"][0] < np.pi * 10 < ends["temperature"][1] and ends["eta"][0] < 2 < ends["eta"][1]
    numbers = [*fit.values.values(), *fit.errors.values(), fit.goodness]
    assert np.all(np.isfinite([float(each) for each in numbers]))
    unknown = fit_stationary(sample((2.0, 0.0, 1e-3, 0.01), jax.random.key(1)), unit="unknown")
    assert unknown.gauge == "T = 1" and unknown.temperature == 1 and "T = 1" in unknown.message


def test_heavier_tails_than_any_population(key):
    """Log-normal rates are no population's: a bound is reached, numbers stay finite, and the goodness tells."""
    r = np.exp(2.5 * np.asarray(jax.random.normal(key, (20_000,))))
    fit = fit_stationary(r)
    assert fit.status == "boundary" and "bound" in fit.message
    assert np.all(np.isfinite([float(each) for each in fit.values.values()])) and fit.goodness < 1e-3
    assert "Stationary fit: boundary" in repr(fit)


def test_wrong_density_is_noticed(key):
    first, second = jax.random.split(key)
    mixed = np.concatenate([sample((-1.0, 4.0, 0.7, 0.02), first, 20_000), sample((8.0, 4.0, 0.7, 0.02), second, 20_000)])
    assert fit_stationary(np.random.default_rng(0).permutation(mixed)).goodness < 1e-6


def test_few_samples_are_said(key):
    assert fit_stationary(np.repeat(sample(TRUTHS[0], key, 20), 50)).status in ("few samples", "boundary")


def test_statistics_of_the_family():
    x = np.array([-3.0, -0.5, 1e-2, 2.0])
    R = np.exp(x)
    s = np.stack([1 / R, R, x, R**-3], axis=-1)
    np.testing.assert_allclose(
        exponential_family.statistics(x), s @ exponential_family.MIXTURE.T + [0, -2, 0, 8], atol=1e-10
    )


def test_long_run_covariance():
    """Of first-order autoregressions it is known; the matrix is symmetric and never negative."""
    rng = np.random.default_rng(1)
    n, a = 200_000, np.array([0.9, 0.5])
    noise = rng.standard_normal((n, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    z = np.zeros((n, 2))
    for k in range(1, n):
        z[k] = a * z[k - 1] + noise[k]
    C, times, _ = long_run_covariance(z, np.ones(n, bool))
    exact = (np.array([[1.0, 0.6], [0.6, 1.0]])) / np.outer(1 - a, 1 - a)
    np.testing.assert_allclose(C, exact, rtol=0.12)
    np.testing.assert_allclose(times, (1 + a) / (1 - a), rtol=0.1)
    assert np.all(np.linalg.eigvalsh(C) > 0)


def recording(truth, key, n, dt):
    population, D = population_of(truth), truth[3]
    y0 = boltzmann(population, D).sample(key)
    return nmm.simulate(population, y0, dt * jnp.arange(n, dtype=float), noise=D, key=key, dt0=0.02)


@pytest.fixture(scope="module")
def run():
    return eqx.filter_jit(recording)(TRUTHS[0], jax.random.key(0), 10_001, 0.3)


def test_correlated_recording(run, key):
    truth = TRUTHS[0]
    fit = fit_stationary(run.ys.r)
    assert all(inside(fit, truth, 0.999)) and fit.correlation_time > 3 and fit.goodness > 1e-3
    independent = fit_stationary(sample(truth, key, 10_000))
    assert float(fit.errors["J"]) > 1.3 * float(independent.errors["J"])


WRONG = {
    "zero": ((np.r_[np.ones(60), 0.0],), "Argument `r` must be > 0 and finite, or NaN"),
    "few": ((np.linspace(1, 2, 10),), "Argument `r` must have at least 50 samples"),
    "constant": ((np.ones(100),), "Argument `r` must vary by more than 0.1 %"),
    "two axes": ((np.ones((100, 2)),), r"Argument `r` must be an array \(n,\) of rates"),
    "infinite": ((np.r_[np.ones(60), np.inf],), "Argument `r` must be > 0 and finite"),
    "tau": ((np.linspace(1, 2, 100), 0.0), "Argument `tau` must be > 0"),
    "unit": ((np.linspace(1, 2, 100), 1.0, "Hz"), 'Argument `unit` must be "model" or "unknown"'),
}


@pytest.mark.parametrize(("arguments", "sentence"), WRONG.values(), ids=WRONG)
def test_bad_input(arguments, sentence, unchecked):
    with pytest.raises(ValueError, match=sentence) as caught:
        fit_stationary(*arguments)
    assert "\n" not in str(caught.value)


def test_potential_from_samples(key):
    truth = TRUTHS[1]
    population, T = population_of(truth), np.pi * truth[3] / truth[2]
    measured = nmm.stochastic.potential_from_samples(sample(truth, key), T, bins=60)
    match = measured.compare(population)
    assert 0.4 < match["chi_square"] < 2 and match["rms"] < 0.1 * T
    assert measured.compare(MPR(eta=-4.0, J=15.0))["chi_square"] > 10
    assert "Measured potential" in repr(measured)
    with pytest.raises(ValueError, match="Argument `r` must have at least 100 samples"):
        nmm.stochastic.potential_from_samples(np.linspace(1, 2, 50))


def test_effective_temperature(run, key):
    truth = TRUTHS[0]
    population, T = population_of(truth, tau=2.0), np.pi * truth[3] / truth[2]
    found = nmm.stochastic.effective_temperature(draw(population, truth[3], key), population)
    for value, error in (found[:2], found[2:]):
        assert abs(float(value) - T) < 4 * float(error) and float(error) < 0.03 * T
    found = nmm.stochastic.effective_temperature(run)
    assert abs(float(found.kinetic) - T) < 4 * float(found.kinetic_error) and float(found.kinetic_error) < 0.05 * T


def random_truths(count):
    rng = np.random.default_rng(5)
    while count:
        truth = (rng.uniform(-6, 3), rng.uniform(-5, 16), rng.uniform(0.4, 1.5), rng.uniform(0.3, 3))
        count -= 1
        yield truth


@pytest.mark.slow
def test_coverage_of_independent_samples():
    """Intervals of 95 % hold the truth in about 95 % of parameters, 40 random sets, 5 recordings each."""
    hits = []
    for number, truth in enumerate(random_truths(40)):
        for k in range(5):
            hits.append(inside(fit_stationary(sample(truth, jax.random.key(100 * number + k))), truth))
    share = np.mean(hits, axis=0)
    print("coverage", share, np.mean(hits))
    assert 0.92 < np.mean(hits) < 0.98 and np.all((share > 0.9) & (share < 0.99))


@pytest.mark.slow
def test_coverage_of_correlated_recordings():
    """The same of simulated recordings, 100 of each truth."""
    for truth in TRUTHS:
        keys = jax.random.split(jax.random.key(3), 100)
        runs = np.asarray(jax.jit(jax.vmap(lambda key, truth=truth: recording(truth, key, 4001, 0.5).ys.r))(keys))
        fits = [fit_stationary(r) for r in runs]
        hits = [inside(fit, truth) for fit in fits]
        low = np.mean([float(fit.goodness) < 0.05 for fit in fits])
        print("coverage", truth, np.mean(hits, axis=0), np.mean(hits), "p < 0.05:", low)
        assert 0.9 < np.mean(hits) < 0.99 and np.all(np.mean(hits, axis=0) >= 0.88) and low < 0.15


def test_one_well_tells_the_temperature_to_a_factor_only():
    """Rates close to one state: the fit says so, and its intervals hold the truth all the same."""
    law = boltzmann(MPR(eta=-5.0, J=15.0, Delta=1.0), 0.1)
    found = fit_stationary(law.sample(jax.random.key(3), (10_000,)).r)
    truth = {"eta": -5.0, "J": 15.0, "Delta": 1.0, "noise": 0.1, "temperature": 0.1 * np.pi}
    assert found.status == "weak" and "to a factor only" in repr(found)
    inside = found.interval()
    assert all(inside[name][0] <= value <= inside[name][1] for name, value in truth.items())
    few = fit_stationary(law.sample(jax.random.key(3), (300,)).r)
    assert few.status == "weak" and few.interval()["eta"] == (-np.inf, np.inf)


@pytest.mark.slow
def test_coverage_along_the_ridge():
    """95 % intervals by profile likelihood, 60 recordings of 30 000 rates in one well."""
    law = boltzmann(MPR(eta=-5.0, J=15.0, Delta=1.0), 0.1)
    truth = {"eta": -5.0, "J": 15.0, "Delta": 1.0, "noise": 0.1, "temperature": 0.1 * np.pi}
    inside = []
    for k in range(60):
        found = fit_stationary(law.sample(jax.random.key(k), (30_000,)).r).interval()
        inside.append([found[name][0] <= value <= found[name][1] for name, value in truth.items()])
    assert np.all(np.mean(inside, axis=0) > 0.87)
