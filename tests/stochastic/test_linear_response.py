"""Linear response to noise against closed forms, SciPy, exact laws, differences, and simulations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov

import nmmjax as nmm
from nmmjax.fitting.spectrum import response_at_rest
from nmmjax.numerics.linear import resolvent, solve_lyapunov

ACTIVE = {"r": 1.0, "v": -0.15}  # near the focus of the default population
WEIGHTS = jnp.array([[0.0, 0.6, 0.1], [0.3, 0.0, 0.5], [0.4, 0.2, 0.0]])
ETAS = jnp.array([-3.0, -2.0, -2.5])


def brain(synapse=None, gain=1.0, weights=WEIGHTS):
    node = nmm.per_node(nmm.MPR(J=3.0, Delta=0.7, tau=2.0, synapse=synapse), eta=ETAS)
    return nmm.Network(node, weights, gain=gain)


@pytest.mark.parametrize("size", [1, 2, 30])
def test_the_lyapunov_equation_is_solved_as_by_scipy(size):
    rng = np.random.default_rng(size)
    A = rng.normal(size=(size, size))
    A = A - (np.max(np.linalg.eigvals(A).real) + 0.01) * np.eye(size)
    Q = rng.normal(size=(size, size))
    Q = Q @ Q.T
    np.testing.assert_allclose(solve_lyapunov(jnp.asarray(A), jnp.asarray(Q)), solve_continuous_lyapunov(A, -Q), rtol=1e-8)


def test_the_lyapunov_equation_of_unstable_and_of_defective_matrices():
    unstable, jordan = jnp.array([[0.1, 1.0], [0.0, -1.0]]), jnp.array([[-1.0, 1.0], [0.0, -1.0]])
    assert np.all(np.isnan(solve_lyapunov(unstable, jnp.eye(2))))
    assert np.all(np.isnan(solve_lyapunov(jnp.array([[0.0, 1.0], [-1.0, 0.0]]), jnp.eye(2))))
    np.testing.assert_allclose(solve_lyapunov(jordan, jnp.eye(2)), [[0.75, 0.25], [0.25, 0.5]], rtol=1e-13)


@pytest.mark.parametrize("tau", [1.0, 10.0])
def test_a_population_has_its_closed_form(tau):
    """A = (2v, 2r; J − 2π² r, 2v), 2D on v: var(r) = 2D (2r)²/(−2 tr A det A), in units of τ."""
    D, model = 0.03, nmm.MPR(tau=tau)
    found = nmm.linear_response(model, D, guess={"r": 1.0 / tau, "v": -0.15})
    R, v = float(found.state.r) * tau, float(found.state.v)
    a, b, c = 2 * v, 2 * R, 15 - 2 * np.pi**2 * R
    det = a * a - b * c
    variance = 2 * D * b**2 / (2 * -2 * a * det)
    mixed = -a * variance / b / tau
    expected = [[variance / tau**2, mixed], [mixed, 2 * D * (det + a * a) / (-4 * a * det)]]
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-10)
    np.testing.assert_allclose(found.cov("r", "v"), expected[0][1], rtol=1e-10)
    assert found.fc().shape == () and found.deviation("v") == pytest.approx(expected[1][1] ** 0.5)


def test_one_population_is_boltzmann_at_low_temperature():
    """The exact law's variance of r, at D → 0: differences fall like D."""
    model = nmm.MPR(eta=1.0, J=2.0, Delta=1.0)
    misses = []
    for D in (1e-2, 1e-3):
        law, found = nmm.boltzmann(model, noise=D), nmm.linear_response(model, D)
        misses.append(float((law.moment(2) - law.moment(1) ** 2) / found.cov() - 1))
    assert abs(misses[1]) < 2e-3 and misses[0] / misses[1] == pytest.approx(10, rel=0.1)


def test_temperatures_that_match_make_the_landscape_the_law():
    """§E: cov(r) = T (Hess Ψ)⁻¹ ⇔ π D_i r_i²/Δ_i = T, for symmetric weights."""
    W, T = jnp.array([[0.0, 0.8, -0.3], [0.8, 0.0, 0.5], [-0.3, 0.5, 0.0]]), 1e-3
    network = nmm.Network(nmm.per_node(nmm.MPR(J=3.0, Delta=0.7), eta=ETAS), W)
    r = nmm.linear_response(network).state.r
    expected = T * np.linalg.inv(jax.hessian(lambda r: nmm.network_potential(network, r))(r))
    matched = nmm.linear_response(network, T * 0.7 / (jnp.pi * r**2))
    np.testing.assert_allclose(matched.cov(), expected, rtol=1e-9)
    equal = nmm.linear_response(network, float(jnp.mean(matched.noise.intensity)))
    assert np.linalg.norm(equal.cov() - expected) > 0.1 * np.linalg.norm(expected)


@pytest.mark.parametrize("noise", [nmm.WhiteNoise(0.02), nmm.OrnsteinUhlenbeck(0.02, 0.7, shared=True)])
def test_spectra_integrate_to_covariances(noise):
    """Two-sided in f, cycles per time: ∫ S df = covariance, ∫ S e^(2πifs) df = ⟨x(t + s) x(t)ᵀ⟩."""
    found = nmm.linear_response(brain(nmm.AlphaSynapse(tau=0.5)), noise)
    f = np.sinh(np.linspace(0.0, 9.0, 1601)) / 400
    S, lag = found.cross_spectra(f), 0.8
    both = lambda weight: 2 * np.real(np.trapezoid(np.asarray(S) * weight[:, None, None], f, axis=0))
    np.testing.assert_allclose(both(np.ones_like(f)), found.cov(), rtol=1e-4)
    late, early = found.lagged([lag, -lag])
    np.testing.assert_allclose(both(np.exp(2j * np.pi * f * lag)), late, rtol=1e-3, atol=1e-4 * np.max(late))
    np.testing.assert_allclose(early, late.T, rtol=1e-12)
    np.testing.assert_allclose(found.lagged([0.0])[0], found.cov(), rtol=1e-12)
    np.testing.assert_allclose(found.spectrum(f[:3]), np.real(np.diagonal(S[:3], axis1=1, axis2=2)))


@pytest.mark.parametrize("synapse", [None, nmm.AlphaSynapse(tau=0.5)])
def test_spectra_node_by_node_are_those_of_the_whole_jacobian(synapse):
    found = nmm.linear_response(brain(synapse), jnp.array([0.1, 0.0, 0.2]))
    f = jnp.array([0.0, 0.05, 0.7])
    T = np.asarray(resolvent(found.A, found.B, f))[:, :3]
    np.testing.assert_allclose(found.cross_spectra(f), T @ np.asarray(found.P) @ np.conj(np.swapaxes(T, 1, 2)), rtol=1e-9)
    coherence = found.coherence(f)
    assert np.all(coherence <= 1 + 1e-12)
    np.testing.assert_allclose(np.diagonal(coherence, axis1=1, axis2=2), 1.0)


def test_the_spectrum_is_half_the_one_sided_one_of_fits():
    model, D, f = nmm.MPR(tau=1.3, synapse=nmm.ExponentialSynapse(tau=0.2)), 0.02, jnp.array([0.1, 0.4, 2.0])
    found = nmm.linear_response(model, D, guess=ACTIVE)
    gain = response_at_rest(model, found.state.r, jnp.zeros(())).log_gain(2 * jnp.pi * f)
    np.testing.assert_allclose(found.spectrum(f), jnp.exp(gain) * 2 * D / 1.3, rtol=1e-9)


def test_coloured_noise_is_white_in_the_limit_and_filters_else():
    white, f = nmm.linear_response(brain(), 0.02), np.array([0.0, 0.3])
    short = nmm.linear_response(brain(), nmm.OrnsteinUhlenbeck(0.02, 1e-6))
    np.testing.assert_allclose(short.covariance, white.covariance, rtol=1e-4)
    slow = nmm.linear_response(brain(), nmm.OrnsteinUhlenbeck(0.02, 1.5))
    passed = 1 / (1 + (2 * np.pi * f * 1.5) ** 2)
    np.testing.assert_allclose(slow.cross_spectra(f), np.asarray(white.cross_spectra(f)) * passed[:, None, None], rtol=1e-9)


def test_shared_noise_correlates_what_is_not_coupled():
    alone = nmm.Network(nmm.MPR(eta=-3.0, J=3.0), jnp.zeros((3, 3)))
    np.testing.assert_allclose(nmm.linear_response(alone, nmm.WhiteNoise(0.1, shared=True)).fc(), np.ones((3, 3)), rtol=1e-9)
    own = nmm.linear_response(alone, 0.1)
    np.testing.assert_allclose(own.fc(), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(own.deviation(), np.full(3, nmm.linear_response(nmm.MPR(eta=-3.0, J=3.0), 0.1).deviation()))


def test_unit_intensity_is_said():
    found = nmm.linear_response(nmm.MPR())
    np.testing.assert_allclose(found.cov() * 0.03, nmm.linear_response(nmm.MPR(), 0.03).cov(), rtol=1e-12)
    assert found.unit and "unit of the default" in str(found) and "per D" in found.verdict
    assert found.choice == "the stable state of lowest rate, of 2" and float(found.state.r) < 0.1


@pytest.mark.slow
def test_derivatives_are_those_of_differences():
    """By gain, η, D, and a synapse's time constant, in both modes."""
    network, noise = brain(nmm.ExponentialSynapse(tau=0.5)), jnp.array([0.01, 0.02, 0.015])
    guess = nmm.linear_response(network, noise).state

    def value(x):
        model = eqx.tree_at(
            lambda each: (each.coupling.gain, each.node.eta, each.node.synapse.tau), network, (x[0], ETAS + x[1:4], x[4])
        )
        found = nmm.linear_response(model, noise * (1 + x[5]), guess=guess)
        late, power = found.lagged(jnp.array([0.3])), found.spectrum(jnp.array([0.2]))
        return found.fc()[0, 1] + 10 * found.cov()[2, 2] + jnp.sum(late) + power[0, 0]

    value = jax.jit(value)
    x = jnp.array([1.0, 0.0, 0.0, 0.0, 0.5, 0.0])
    steps = 1e-5 * np.eye(6)
    expected = [(value(x + step) - value(x - step)) / 2e-5 for step in steps]
    slopes = jax.grad(value)(x)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(jax.jacfwd(value)(x), slopes, rtol=1e-8)


def test_states_that_are_left():
    saddle = nmm.linear_response(nmm.MPR(), 0.01, guess={"r": 0.4729803407, "v": -0.3364937808})
    assert saddle.result == nmm.results.RESULTS.unstable_state and np.all(np.isnan(saddle.covariance))
    assert np.all(np.isnan(saddle.cross_spectra(jnp.array([0.1])))) and "not stable" in str(saddle)
    near = nmm.linear_response(nmm.MPR(), 0.2, guess=ACTIVE)
    assert 1 < near.saddle_distance < 3 and "standard deviations away" in near.verdict
    far = nmm.linear_response(nmm.MPR(), 1e-3, guess=ACTIVE)
    assert "5 % in most states" in far.verdict and "not linear" in nmm.linear_response(nmm.MPR(J=0.0), 5.0).verdict


def test_datasets_and_pictures(tmp_path):
    found = nmm.linear_response(brain(), 0.02)
    data = found.to_xarray()
    assert data.fc.dims == ("node", "node_other") and data.covariance.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(data.covariance.sel(variable="r", variable_other="v"), found.cov("r", "v"))
    data.to_netcdf(tmp_path / "linear.nc")
    nmm.linear_response(nmm.MPR(), 0.02).to_xarray().to_netcdf(tmp_path / "one.nc")
    left, right = nmm.plot.linear_response(found)
    assert right.get_yscale() == "log" and left.images[0].get_array().shape == (3, 3)
    left, _ = nmm.plot.linear_response(nmm.linear_response(nmm.MPR(), 0.02))
    assert "autocorrelation" in left.get_ylabel()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"noise": nmm.CauchyNoise(0.1)}, "`noise` must be white or Ornstein–Uhlenbeck"),
        ({"noise": 0.0}, "`noise` must be > 0 somewhere, but got 0"),
        ({"noise": jnp.ones(2)}, "`noise` must be a number, but got"),
        ({"model": nmm.QIFNetwork(nmm.MPR(), 10)}, "`model` must have a vector field"),
    ],
)
def test_refusals(change, text):
    with pytest.raises(ValueError, match=r"^Argument") as caught:
        nmm.linear_response(**{"model": nmm.MPR(), "noise": 0.1} | change)
    assert text in str(caught.value)
    with pytest.raises(ValueError, match="Argument `channel` must be one of `r`, `v`, but got 'q'"):
        nmm.linear_response(nmm.MPR()).cov("q")
    with pytest.raises(ValueError, match="Argument `lags` must be"):
        nmm.linear_response(nmm.MPR()).lagged([[1.0]])


@pytest.mark.slow
@pytest.mark.parametrize("D", [1e-4, 1e-3, 1e-2])
def test_simulations_have_these_covariances(D):
    """Within sampling errors, by means over blocks; at three intensities."""
    network = brain(nmm.ExponentialSynapse(tau=0.5))
    found = nmm.linear_response(network, D)
    ts = jnp.linspace(0.0, 8000.0, 16001)
    run = nmm.simulate(network, found.state, ts, noise=D, key=jax.random.key(0))
    blocks = np.asarray(run.ys.r)[201:].reshape(20, -1, 3)
    covariances = np.stack([np.cov(each.T) for each in blocks])
    error = covariances.std(axis=0) / np.sqrt(20)
    assert np.max(np.abs(covariances.mean(axis=0) - found.cov()) / error) < 4
    correlations = np.stack([np.corrcoef(each.T) for each in blocks])
    error = correlations.std(axis=0) / np.sqrt(20) + 1e-12
    assert np.max(np.abs(correlations.mean(axis=0) - found.fc()) / error) < 4
