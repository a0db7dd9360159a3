"""Shot noise: the fit of its resonators, the fluctuations that it makes, and where it leads."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import welch

import nmmjax as nmm
from nmmjax.finite_size.bare import Drives
from nmmjax.finite_size.resonators import filter_of, stationary_root

PERIODIC, NOISY = (1.0, 2.0, 0.3), (-3.3, 15.0, 0.0)


def bare(x, Delta, Gamma=None):
    return Drives(jnp.array([x - 1j * Delta]), jnp.array([1 + 0j]), None if Gamma is None else jnp.array(Gamma))


@pytest.mark.parametrize(
    ("x", "Delta", "Gamma", "least"),
    [
        (1.87, 0.3, None, 0.005),
        pytest.param(10.46, 0.0, 1.0, 1e-4, marks=pytest.mark.slow),
        pytest.param(10.46, 1.0, None, 1e-3, marks=pytest.mark.slow),
        pytest.param(-1.0, 0.5, None, 1e-3, marks=pytest.mark.slow),
    ],
)
def test_resonators_have_the_spectrum(x, Delta, Gamma, least):
    """0.4 % of the Poisson level, rms, from .02 to 8 times the neurons' frequency; with Cauchy noise the poles are exact:
    the slowest decays at 2 |Im κ|."""
    drives = bare(x, Delta, Gamma)
    own = float(jnp.sqrt(jnp.abs(drives.shifted[0]))) / np.pi
    spectrum = jax.jit(lambda f: drives.spectrum(f))
    found = filter_of(lambda f: np.asarray(spectrum(jnp.asarray(f))), float(drives.rate), own, None)
    f = np.linspace(0.05, 6.0, 300) * own
    s = 2j * np.pi * f[:, None]
    response = (
        found.direct + np.sum(found.gains / (s - found.poles) + found.gains.conj() / (s - found.poles.conj()), axis=1) / 2
    )
    rms = np.sqrt(
        np.mean((np.abs(response) ** 2 / found.direct**2 - np.asarray(spectrum(jnp.asarray(f))) / found.direct**2) ** 2)
    )
    assert found.misfit < least and rms < 1.5 * least and np.all(found.poles.real < 0)
    if Gamma is not None:
        assert -found.poles.real.max() == pytest.approx(-2 * np.sqrt(x - 1j * Gamma).imag, rel=1e-4)
    root = stationary_root(found.poles)
    # The stationary covariance C of ẋ = A x + w u, w = (1, 0, 1, 0, …): A C + C Aᵀ + u uᵀ = 0.
    blocks = [np.array([[a.real, -a.imag], [a.imag, a.real]]) for a in found.poles]
    A = np.zeros((2 * len(blocks), 2 * len(blocks)))
    for k, block in enumerate(blocks):
        A[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = block
    C, u = root @ root.T, np.tile([1.0, 0.0], len(blocks))
    np.testing.assert_allclose(A @ C + C @ A.T, -np.outer(u, u), atol=1e-9)


def bands(f, P, edges):
    return np.array([P[(f >= low) & (f < high)].mean() for low, high in itertools.pairwise(edges)])


@pytest.mark.slow
def test_fluctuations_are_those_of_the_linear_response():
    """S_r = S_ξ |T − 1|², in bands, where fluctuations are small."""
    model = nmm.MPR(*PERIODIC)
    spectrum = nmm.power_spectrum(model, 100_000)
    ts, edges = jnp.arange(0.0, 16_000.0, 0.05), [0.1, 0.3, 0.35, 0.4, 0.45, 0.6, 1.0]
    run = nmm.simulate(model, spectrum.state, ts, noise=nmm.ShotNoise(100_000), key=jax.random.key(0))
    f, P = welch(np.asarray(run.ys.r), 20.0, nperseg=2000, return_onesided=False)
    expected = (
        np.asarray(spectrum.at(np.abs(f))[1]) * np.abs(np.asarray(spectrum.loop.transfer(jnp.asarray(f)))[:, 0, 0] - 1) ** 2
    )
    ratio = bands(f, P, edges) / bands(f, expected, edges)
    np.testing.assert_allclose(ratio, 1.0, atol=0.15)
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.06)


def test_a_run_and_its_continuation():
    """What noise does is stated; a run goes on with the same resonators, and a path depends on the key alone."""
    model, ts = nmm.MPR(*PERIODIC), jnp.linspace(0.0, 2.0, 21)
    noise, y0 = nmm.ShotNoise(1000), {"r": 0.43717, "v": -0.1092}
    run = nmm.simulate(model, y0, ts, noise=noise, key=jax.random.key(0), dt0=0.02)
    assert "ShotNoise(1000) of the state with r = 0.43717" in str(run)
    again = nmm.simulate(model, y0, ts, noise=noise, key=jax.random.key(0), dt0=0.02)
    np.testing.assert_array_equal(run.ys.r, again.ys.r)
    later = nmm.simulate(model, run, ts + 2.0, noise=noise, key=jax.random.key(1), dt0=0.02)
    assert later.noise is run.noise
    np.testing.assert_array_equal(later.fluctuation[0], run.fluctuation_end)


@pytest.mark.slow
def test_fluctuations_fall_as_the_root_of_the_number():
    model, ts, y0 = nmm.MPR(*PERIODIC), jnp.linspace(0.0, 2.0, 21), {"r": 0.43717, "v": -0.1092}
    run, few = (
        nmm.simulate(model, y0, ts, noise=nmm.ShotNoise(N), key=jax.random.key(0), dt0=0.02) for N in (1000, 100_000)
    )
    np.testing.assert_allclose(np.std(run.ys.v) / np.std(few.ys.v), 10.0, rtol=0.05)  # 1/√N


@pytest.mark.slow
def test_widens_what_cauchy_noise_widens():
    run = nmm.simulate(
        nmm.MPR(-5.0, 15.0, 0.2), {"r": 1.03, "v": -0.154}, [0.0, 0.1], noise=nmm.ShotNoise(1e6, nmm.CauchyNoise(0.8)),
        key=jax.random.key(0), dt0=0.02,
    )  # fmt: skip
    assert float(run.model.Delta) == pytest.approx(1.0) and float(run.noise.state_rate) == pytest.approx(1.0305967988)


@pytest.mark.slow
def test_networks_and_synapses():
    """Every node its own noise, through the coupling; with a synapse no white part."""
    pair = nmm.Network(nmm.per_node(nmm.MPR(J=0.0, Delta=0.3), eta=np.array([1.0, 1.5])), np.array([[0.0, 0.0], [2.0, 0.0]]))
    y0 = nmm.find_fixed_point(pair, {"r": [0.33, 0.45], "v": [-0.14, -0.1]})
    noise = nmm.ShotNoise([1000, 4000])
    run = nmm.simulate(pair, y0, jnp.linspace(0.0, 2.0, 21), noise=noise, key=jax.random.key(0), dt0=0.02)
    assert np.ptp(run.ys.r[:, 0]) < 1e-6 and np.std(run.ys.r[:, 1]) > 1e-4  # node 0 receives from nobody
    filtered = nmm.MPR(4.0, -10.0, 0.6, synapse=nmm.ExponentialSynapse(tau=0.5))
    run = nmm.simulate(
        filtered, {"r": 0.31, "v": -0.3}, [0.0, 0.5], noise=nmm.ShotNoise(100), key=jax.random.key(0), dt0=0.02
    )
    assert float(run.noise.direct) == 0 and np.all(np.isfinite(run.ys.v))


@pytest.mark.slow
@pytest.mark.parametrize(("N", "network", "error"), [(50, 16.4, 0.16), (100, 21.9, 0.16)])
def test_escapes_from_a_node_in_the_time_of_the_neurons(N, network, error):
    """(−3.3, 15, Γ = 1) from the node: neurons 16.4 and 21.9 (± 16 %), by 32–40 passages (docs/theory.md §B4)."""
    low = nmm.energy_landscape(nmm.MPR(-3.3, 15.0, 1.0)).minima[0]
    noise = nmm.ShotNoise(N, nmm.CauchyNoise(1.0))
    passage = nmm.first_passage(nmm.MPR(*NOISY), noise, low, jax.random.key(N), lanes=256, end=0.5, transient=0.0)
    assert "ShotNoise" in str(passage)
    assert np.log(1 / float(passage.rate)) == pytest.approx(np.log(network), abs=2 * error + 0.07)


@pytest.mark.parametrize(
    ("model", "y0", "noise", "text"),
    [
        (nmm.MPR(), {"r": 0.473, "v": -0.3365}, nmm.ShotNoise(100), "`y0` must be next to a stable state"),
        (nmm.MPR(gap=nmm.GapJunction(0.1)), {"r": 1.0, "v": 0.0}, nmm.ShotNoise(100), "be without gap junctions"),
        (
            nmm.MPR(adaptation=nmm.SpikeFrequencyAdaptation(alpha=0.02, tau=5.0)), {"r": 1.0, "v": 0.0}, nmm.ShotNoise(100),
            "`model` must be without slow terms other than a synapse",
        ),
        (nmm.MPR(), {"r": 1.0, "v": 0.0}, nmm.ShotNoise([100, 200]), "`size` must be a whole number ≥ 1"),
    ],
)  # fmt: skip
def test_refusals(model, y0, noise, text):
    with pytest.raises(ValueError, match=r"^Argument") as caught:
        nmm.simulate(model, y0, [0.0, 1.0], noise=noise, key=jax.random.key(0))
    assert text in str(caught.value)


def test_refuses_what_is_not_known():
    with pytest.raises(ValueError, match="`size` must be a whole number"):
        nmm.ShotNoise(0)
    with pytest.raises(ValueError, match="`noise` must be None or `CauchyNoise"):
        nmm.ShotNoise(10, nmm.WhiteNoise(0.1))
    with pytest.raises(ValueError, match="`model` must be known for shot noise"):
        run = lambda eta: nmm.simulate(
            nmm.MPR(eta), {"r": 1.0, "v": 0.0}, [0.0, 1.0], noise=nmm.ShotNoise(9), key=jax.random.key(0)
        )
        jax.grad(lambda eta: run(eta).ys.r[-1])(-5.0)
    with pytest.raises(ValueError, match="`noise` must be"):
        nmm.sweep(
            nmm.MPR(), over={"eta": [-5.0]}, y0={"r": 1.0, "v": 0.0}, t1=1.0, observe={"r": nmm.Final("r")},
            noise=nmm.OrnsteinUhlenbeck(0.1, 1.0), key=jax.random.key(0), progress=False,
        )  # fmt: skip
