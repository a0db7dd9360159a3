"""How well fits know their parameters: covariance, coverage, profiles, identifiability, gradients, reports, posteriors."""

import dataclasses
import sys
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import nmmjax as nmm
from nmmjax.fitting.posterior import _Density as Density
from nmmjax.fitting.profiles import profile_likelihood
from nmmjax.fitting.uncertainty import quantile

TRUTH = nmm.MPR(eta=1.0, J=4.0, Delta=0.4)
TS, SIGMA = np.linspace(0, 6, 31), {"r": 0.02, "v": 0.1}
Y0 = {"r": 0.3, "v": -0.5}


class Linear(nmm.extend.AbstractTarget):
    """A (η, J) = data ± σ, whose every property is known; σ None: the same, but the noise isn't known."""

    A: jax.Array
    data: jax.Array
    sigma: float | None = eqx.field(static=True)
    bend: float = eqx.field(static=True, default=0.0)
    missing: int = eqx.field(static=True, default=0)

    def residuals(self, model, unknowns=None, refine=1):
        x = jnp.stack([model.eta, model.J])
        predicted = self.A @ (x + self.bend * x**2)
        return (predicted - self.data) / (1.0 if self.sigma is None else self.sigma)

    @property
    def noise_known(self):
        return self.sigma is not None


def linear(seed=0, m=12, sigma=0.1, known=True, A=None, **options):
    rng = np.random.default_rng(seed)
    A = np.stack([np.ones(m), np.linspace(0, 1, m)], axis=1) if A is None else A
    data = A @ np.array([1.0, 4.0]) + sigma * rng.normal(size=A.shape[0])
    return Linear(jnp.asarray(A), jnp.asarray(data), sigma if known else None, **options)


def fitted(target, free=("eta", "J"), model=TRUTH, starts=1, **options):
    return nmm.fit(model, free=list(free), target=target, starts=starts, progress=False, **options)


@pytest.fixture(scope="module")
def recorded():
    """A noise-free run of the truth."""
    blank = np.zeros(TS.size)
    target = nmm.TrajectoryTarget(TS, r=blank + 1, v=blank, y0=Y0, noise=SIGMA, segments=False)
    run = target.run(TRUTH, target.first(TRUTH), 0, TS.size - 1, 4)
    return {name: np.append(Y0[name], np.asarray(getattr(run, name))) for name in ("r", "v")}


def recording(recorded, seed, **options):
    rng = np.random.default_rng(seed)
    data = {name: x + SIGMA[name] * rng.normal(size=x.size) for name, x in recorded.items()}
    return nmm.TrajectoryTarget(TS, **data, **({"y0": Y0, "noise": SIGMA, "segments": False} | options))


@pytest.mark.parametrize("p", [0.025, 0.6, 0.975, 0.9995])
@pytest.mark.parametrize("dof", [None, 1, 3, 40, 1000])
def test_quantiles_are_scipys(p, dof):
    true = stats.norm.ppf(p) if dof is None else stats.t.ppf(p, dof)
    np.testing.assert_allclose(quantile(p, dof), true, rtol=1e-10)


def test_quantile_without_a_degree_of_freedom_and_outside():
    assert quantile(0.975, 0) == np.inf
    with pytest.raises(ValueError, match="Argument `p` must lie between 0 and 1, but got 1"):
        quantile(1.0)


@pytest.mark.parametrize("known", [True, False])
def test_covariance_and_interval_of_linear_least_squares(known):
    target = linear(known=known)
    found = fitted(target)
    A, y = np.asarray(target.A), np.asarray(target.data)
    best, squares = np.linalg.lstsq(A, y)[:2]
    variance = 0.1**2 if known else squares[0] / (y.size - 2)
    covariance = variance * np.linalg.inv(A.T @ A)
    np.testing.assert_allclose(found.values[0], best, rtol=1e-7)
    np.testing.assert_allclose(found.covariance[0], covariance, rtol=1e-6)
    width = (stats.norm.ppf(0.975) if known else stats.t.ppf(0.975, y.size - 2)) * np.sqrt(np.diag(covariance))
    for k, name in enumerate(("eta", "J")):
        np.testing.assert_allclose(found.interval()[name], (best[k] - width[k], best[k] + width[k]), rtol=1e-6)
        profile = found.profile(name)
        np.testing.assert_allclose(profile.interval, found.interval()[name], rtol=2e-5)
        assert profile.closed == (True, True) and not profile.improved
        assert np.all(np.diff(profile.values) > 0)
    sizes = np.maximum(best, [1.0, 4.0])
    F = np.linalg.inv(covariance) * np.outer(sizes, sizes)
    identity = found.identifiability()
    np.testing.assert_allclose(identity.eigenvalues, np.linalg.eigvalsh(F)[::-1], rtol=1e-6)
    np.testing.assert_allclose(identity.relative_error, np.sqrt(np.diag(covariance)) / sizes, rtol=1e-6)


def covered(fits):
    """Share of 95 % intervals with the truth in them, per parameter."""
    inside = [
        [low <= float(getattr(TRUTH, name)) <= high for name, (low, high) in found.interval().items()] for found in fits
    ]
    return np.mean(inside, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
def test_intervals_of_linear_fits_cover_the_truth(known):
    """With six data and two parameters normal quantiles would cover in 88 % only where the noise is estimated."""
    share = covered([fitted(linear(seed=k, m=6, known=known)) for k in range(200)])
    assert np.all((share >= 0.90) & (share <= 0.99)), share


@pytest.mark.slow
def test_intervals_of_fits_to_runs_cover_the_truth(recorded):
    share = covered([fitted(recording(recorded, k), ("eta", "J", "Delta")) for k in range(200)])
    assert np.all((share >= 0.90) & (share <= 0.99)), share


@pytest.mark.slow
def test_profile_of_a_run_against_covariance(recorded):
    """Nearly quadratic: the intervals agree to a twentieth of their width; the initial state is fitted as well."""
    found = fitted(recording(recorded, 3, y0=None), ("eta", "J", "Delta"))
    for name in ("eta", "Delta"):
        interval, profile = found.interval()[name], found.profile(name)
        np.testing.assert_allclose(profile.interval, interval, atol=0.05 * (interval[1] - interval[0]))
        near = np.argmin(np.abs(profile.rise - profile.threshold))
        np.testing.assert_allclose(profile.rise[near], profile.threshold, rtol=1e-4)


def test_profile_of_a_bent_loss_is_exact():
    """η + η² is what the data fix: the ends solve a quadratic equation, where the covariance's interval is symmetric."""
    target = linear(A=np.eye(2), sigma=0.25, bend=1.0, seed=4)
    found = fitted(target)
    profile = found.profile("eta", None)
    data = float(target.data[0])
    ends = [-0.5 + np.sqrt(0.25 + data + sign * quantile(0.975) * 0.25) for sign in (-1, 1)]
    np.testing.assert_allclose(profile.interval, ends, rtol=1e-5)
    assert abs(np.sum(profile.interval) - np.sum(found.interval()["eta"])) > 0.01
    given = profile_likelihood(found, "eta", [0.2, 0.9, 1.4], level=0.9)
    fresh = (given.values + given.values**2 - data) ** 2 / 0.25**2 / 2
    np.testing.assert_allclose(given.loss - found.loss[0], fresh, rtol=1e-5, atol=1e-8)


def test_profile_ends_at_a_bound_or_stays_open():
    target = linear(A=np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]]))
    profile = fitted(target, bounds={"eta": (0.0, 2.0)}).profile("eta")
    assert profile.closed == (False, False)
    assert profile.interval == (0.0, 2.0)
    assert "not bounded from below or above" in repr(profile)


def test_profile_refuses(recorded):
    found = fitted(linear())
    with pytest.raises(ValueError, match="Argument `name` must be one of the free numbers"):
        found.profile("Delta")
    with pytest.raises(ValueError, match="Argument `values` must be at least one finite number"):
        found.profile("eta", [np.nan])
    bounded = fitted(linear(), bounds={"eta": (0.0, 2.0)})
    with pytest.raises(ValueError, match="Argument `values` must lie within the bounds"):
        bounded.profile("eta", [3.0])


def test_sloppy_direction_is_named():
    """Only the sum counts: along (1, −1) nothing changes, which is −η/4 + J/4 in units of the sizes 1 and 4."""
    identity = fitted(linear(A=np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]]))).identifiability()
    assert identity.condition_number == np.inf
    assert set(identity.flat) == {"eta", "J"}
    np.testing.assert_allclose(np.abs(identity.directions[-1]), np.array([4.0, 1.0]) / np.sqrt(17), rtol=0.05)
    assert identity.sloppy.startswith("eta and J together, 0.97 eta − 0.2")
    assert "not determined" in repr(identity) and "undetermined" in identity.describe()


def test_flat_parameter_is_named_everywhere():
    found = fitted(linear(missing=3), ("eta", "J", "Delta"))
    identity = found.identifiability()
    assert identity.flat == ("Delta",)
    assert identity.sloppy == "Delta alone"
    report = found.report()
    assert "say nothing about Delta: keep it fixed" in report
    assert "3 missing or masked samples" in report
    check = nmm.check_gradient(found.target, TRUTH, free=["eta", "J", "Delta"])
    assert check.status == ("fine", "fine", "flat")


def test_report_of_a_good_fit_and_of_a_missed_target():
    good = fitted(linear(), starts=4).report()
    for text in ("4 starts", "4 converged", "found the best fit", "95 % intervals", "as the noise explains", "was reached"):
        assert text in good, good
    missed = fitted(linear(), ("eta",), model=nmm.MPR(eta=1.0, J=9.0, Delta=0.4)).report()
    assert "more than the noise explains" in missed
    assert "was not reached: best loss" in missed and "∂loss/∂eta" in missed
    held = fitted(linear(), model=nmm.MPR(eta=0.2, J=4.0, Delta=0.4), bounds={"eta": (-1.0, 0.5)}).report()
    assert "at its upper bound 0.5" in held and "can't go beyond the bound" in held
    unknown = fitted(linear(known=False)).report()
    assert "the noise is estimated from it" in unknown


def test_report_of_an_interrupted_fit_and_of_one_without_a_finite_loss():
    found = fitted(linear(), starts=2)
    assert "was interrupted; this is the best" in dataclasses.replace(found, interrupted=True).report()
    nothing = dataclasses.replace(found, loss=np.full(2, np.nan), status=np.full(2, 3))
    assert "No start has a finite loss" in nothing.report()


def test_report_of_a_plain_loss():
    from optax import adam

    found = fitted(lambda m: (m.eta - 2) ** 2 + 3 * (m.J - 5) ** 2, optimizer=adam(0.05), steps=400, polish=None)
    assert "no error known" in found.report()
    np.testing.assert_allclose(found.identifiability().eigenvalues, [6 * 5.0**2, 2 * 2.0**2], rtol=1e-3)
    with pytest.raises(ValueError, match="must have a target with residuals"):
        found.profile("eta")


GAP = nmm.MPR(eta=1.0, J=2.0, gap=nmm.GapJunction(0.0))


def chaotic(model):
    x = jax.lax.fori_loop(0, 60, lambda k, x: 3.9999 * x * (1 - x), jax.nn.sigmoid(model.eta))
    return x + model.J**2


CASES = {
    "fine": (lambda m: m.eta**2 * jnp.sin(m.J), TRUTH, ("eta", "J"), ("fine", "fine"), ""),
    "unused": (lambda m: m.eta**2, GAP, ("eta", "gap.g"), ("fine", "flat"), "does not depend on it"),
    "at a bound": (lambda m: m.eta**2 + jnp.sqrt(1 + m.gap.g), GAP, ("eta", "gap.g"), ("fine", "fine"), ""),
    "minimum": (lambda m: (m.eta - 1) ** 2 + m.J, TRUTH, ("eta",), ("fine",), ""),
    "NaN": (lambda m: jnp.log(m.eta - 2) + m.J, TRUTH, ("eta", "J"), ("NaN", "NaN"), "the loss is nan there"),
    "NaN derivative": (
        lambda m: m.J + 0 * jnp.sqrt(m.eta - 1),
        TRUTH,
        ("eta",),
        ("NaN",),
        "the derivative is NaN though the loss is finite",
    ),
    "NaN in reverse": (
        lambda m: jnp.where(m.eta > 0, m.eta, jnp.sqrt(m.eta - 2)),
        TRUTH,
        ("eta",),
        ("NaN",),
        "reverse mode gives nan, though forward mode is finite",
    ),
    "NaN nearby": (
        lambda m: jnp.where(m.eta > 1.001, jnp.nan, m.eta**2),
        TRUTH,
        ("eta",),
        ("fine",),
        "but the loss is NaN or infinite 0.0019 away",
    ),
    "infinite": (lambda m: jnp.sqrt(m.eta - 1) + 1, TRUTH, ("eta",), ("exploding",), "the derivative is infinite"),
    "jumps": (lambda m: jnp.where(m.J > 4.0, 1.0, 0.0) + m.eta, TRUTH, ("eta", "J"), ("fine", "disagrees"), "jumps"),
    "stopped": (lambda m: jax.lax.stop_gradient(m.J) ** 2, TRUTH, ("J",), ("disagrees",), "stop_gradient"),
    "chaotic": (chaotic, TRUTH, ("eta", "J"), ("exploding", "fine"), "use `truncate` or segments"),
}


@pytest.mark.parametrize("name", CASES)
def test_check_gradient_says_what_is_wrong(name):
    loss, model, free, status, reason = CASES[name]
    check = nmm.check_gradient(loss, model, free=free)
    assert check.status == status, check
    assert reason in repr(check)
    assert check.ok == (set(status) == {"fine"})


def test_wrong_derivatives_are_found():
    @jax.custom_jvp
    def wrong(x):
        return x**3

    wrong.defjvp(lambda x, t: (x[0] ** 3, 2 * x[0] ** 2 * t[0]))

    @jax.custom_vjp
    def backward(x):
        return x**3

    backward.defvjp(lambda x: (x**3, x), lambda x, c: (3 * x**2 * c,))
    check = nmm.check_gradient(lambda m: wrong(m.eta) + m.J, TRUTH, free=["eta", "J"])
    assert check.status == ("disagrees", "fine")
    np.testing.assert_allclose([check.gradient[0], check.difference[0]], [2.0, 3.0], rtol=1e-9)
    only = nmm.check_gradient(lambda m: backward(m.eta), TRUTH, free=["eta"])
    assert only.forward is None and only.ok and "forward mode doesn't go through" in repr(only)


def test_check_gradient_of_a_run(recorded):
    """Parameters and the initial state against differences, to 1e-6."""
    target = recording(recorded, 0, y0=None)
    check = nmm.check_gradient(target, nmm.MPR(eta=1.1, J=3.8, Delta=0.5), free=["eta", "J", "Delta"])
    assert check.labels == ("eta", "J", "Delta", "ln r(0)", "v(0)")
    assert check.ok and np.max(check.relative_error) < 1e-6, check


@pytest.mark.slow
def test_check_gradient_of_truncated_and_of_silent_runs(recorded):
    cut = nmm.check_gradient(recording(recorded, 0, truncate=5), nmm.MPR(eta=1.3, J=3.8, Delta=0.5), free=["eta"])
    assert cut.status == ("disagrees",) and "`truncate` cuts derivatives" in cut.reasons[0]
    quiet = nmm.MPR(eta=-400.0, J=4.0, Delta=1e-7)
    target = nmm.TrajectoryTarget(np.linspace(0, 5, 11), r=np.full(11, 1e-8), y0={"r": 1e-9, "v": -20.0}, noise=0.1)
    check = nmm.check_gradient(target, quiet, free=["Delta", "J"])
    assert check.status == ("fine", "flat") and "hardly depends on it" in check.reasons[1]


def test_check_gradient_refuses():
    with pytest.raises(ValueError, match="Argument `free` must name parameters of the model"):
        nmm.check_gradient(lambda m: m.eta, TRUTH, free=["eta", "nothing"])
    with pytest.raises(ValueError, match="Argument `target` must return one number for a model"):
        nmm.check_gradient(lambda m: jnp.stack([m.eta, m.J]), TRUTH, free=["eta"])
    with pytest.raises(ValueError, match="Argument `rtol` must be a number > 0, but got -1"):
        nmm.check_gradient(lambda m: m.eta, TRUTH, free=["eta"], rtol=-1.0)


@pytest.fixture
def sampler():
    return pytest.importorskip("blackjax")


@pytest.mark.slow
def test_posterior_of_a_linear_problem_is_gaussian(sampler, key):
    """Known mean and covariance, flat prior; bounds far away, whose transform must not show."""
    target = linear(sigma=0.5)
    found = fitted(target, bounds={"eta": (-20.0, 30.0)})
    sample = nmm.sample_posterior(found, key=key, warmup=300, draws=500, progress=False)
    A, draws = np.asarray(target.A), np.stack([sample.posterior[name].values.ravel() for name in ("eta", "J")])
    covariance = 0.5**2 * np.linalg.inv(A.T @ A)
    deviation = np.sqrt(np.diag(covariance))
    np.testing.assert_array_less(np.abs(draws.mean(axis=1) - found.values[0]), 0.15 * deviation)
    np.testing.assert_allclose(
        np.cov(draws) / np.outer(deviation, deviation), covariance / np.outer(deviation, deviation), atol=0.15
    )
    assert sample.mixed, sample
    assert dict(sample.posterior.sizes) == {"chain": 4, "draw": 500}
    assert sample.posterior["eta"].attrs["units"] == "1"
    tree = sample.to_datatree()
    assert set(tree.children) == {"posterior", "sample_stats"}
    assert set(sample.sample_stats.data_vars) >= {"lp", "diverging", "energy", "acceptance_rate", "n_steps", "tree_depth"}
    for name, (low, high) in sample.interval().items():
        np.testing.assert_allclose([low, high], found.interval()[name], atol=0.4 * found.standard_error[name])


@pytest.mark.slow
def test_posterior_with_estimated_noise_is_students(sampler, key):
    """Six data, unknown noise: as wide as Student's t."""
    found = fitted(linear(m=6, known=False, seed=2))
    sample = nmm.sample_posterior(found, key=key, warmup=200, draws=1000, chains=2, progress=False)
    width = np.diff(sample.interval()["eta"]) / np.diff(found.interval()["eta"])
    np.testing.assert_allclose(width, 1.0, atol=0.15)


@pytest.mark.parametrize("known", [True, False])
def test_log_density_and_its_gradient(known):
    """Against the definition in x: priors, bounds' Jacobian by differentiation, the noise integrated out."""
    bounds = {"eta": (0.2, 3.0)}
    found = fitted(
        linear(m=6, known=known, seed=2), ("eta", "J", "Delta"), prior={"J": (4.0, 0.3), "Delta": (0.5, 0.1)}, bounds=bounds
    )
    density = Density(found)

    def plain(u):
        z = density.z + density.L @ u
        x = found.parameters.values(z)
        own = found.target.loss(found.parameters.apply(TRUTH, x))
        own = own if known else 6 / 2 * jnp.log(own)
        prior = ((x[1] - 4.0) / 0.3) ** 2 / 2 + ((x[2] - 0.5) / 0.1) ** 2 / 2
        jacobian = jnp.abs(jnp.diagonal(jax.jacfwd(found.parameters.values)(z)))
        return -own - prior + jnp.sum(jnp.log(jacobian))

    at = [jnp.array([0.3, -0.2, 0.5]), jnp.zeros(3)]
    (value, slope), (true, gradient) = (jax.jit(jax.value_and_grad(f))(at[0]) for f in (density.log_density, plain))
    rise, true_rise = (each - jax.jit(f)(at[1]) for each, f in ((value, density.log_density), (true, plain)))
    np.testing.assert_allclose(rise, true_rise, rtol=1e-9)
    np.testing.assert_allclose(slope, gradient, rtol=1e-8)


def test_posterior_refuses(sampler, key, monkeypatch):
    open_one = fitted(linear(), ("eta", "J", "Delta"))
    with pytest.raises(ValueError, match="Argument `fitted` must leave no number open"):
        nmm.sample_posterior(open_one, key=key)
    found = fitted(linear())
    with pytest.raises(ValueError, match="Argument `draws` must be an integer ≥ 4, but got 0"):
        nmm.sample_posterior(found, key=key, draws=0)
    monkeypatch.setitem(sys.modules, "blackjax", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install nmmjax\[bayes\]"):
        nmm.sample_posterior(found, key=key)


def test_arviz_takes_it(sampler, key):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("arviz", exc_type=ImportError)
        found = nmm.sample_posterior(fitted(linear()), key=key, warmup=50, draws=50, chains=2, progress=False)
        data = found.to_arviz()
    assert set(data.posterior.data_vars) == {"eta", "J"} and "diverging" in data.sample_stats
