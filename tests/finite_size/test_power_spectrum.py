"""Spectra of finite populations against direct sums, closed forms, Monte Carlo of neurons, and each other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import psi

import nmmjax as nmm
from nmmjax.finite_size.bare import Drives
from nmmjax.numerics.special import digamma, even_digamma

F = np.array([0.05, 0.1, 0.3183, 0.5, 1.0, 3.0, 30.0])


def drives(x, Delta, Gamma=None):
    return Drives(jnp.array([x - 1j * Delta]), jnp.array([1 + 0j]), None if Gamma is None else jnp.array(Gamma))


@eqx.filter_jit
def spectrum_of(drives, f):
    return drives.spectrum(f)


def cauchy(f, x, Gamma):
    """One neuron with Cauchy noise, by SciPy's digamma."""
    kappa = np.sqrt(np.asarray(x) - 1j * Gamma)
    z = np.pi * np.asarray(f) / kappa
    return kappa.real / np.pi**2 * (np.angle(x + 1j * Gamma) - (psi(1 + z) + psi(1 - z)).imag)


def test_digamma_of_complex_arguments():
    z = np.random.default_rng(0).uniform(-6, 6, (400, 2)) @ np.array([1, 1j])
    right = np.where(z.real < 0, -z, z) + 0.01
    np.testing.assert_allclose(digamma(jnp.asarray(right)), psi(right), rtol=1e-13)
    for each in (z, 0.01 * z):
        np.testing.assert_allclose(even_digamma(jnp.asarray(each)), psi(1 + each) + psi(1 - each), rtol=1e-12)


def test_golden_values_of_periodic_neurons():
    """At f = 30 the golden value .32701233 is that of 1100 harmonics; all of them make 5.6e-5 more."""
    golden = [0.00035298, 0.00317118, 0.41489622, 0.23434673, 0.31708678, 0.32219171]
    found = spectrum_of(drives(1.0, 0.5), jnp.asarray(F))
    np.testing.assert_allclose(found[:-1], golden, rtol=0, atol=5.1e-9)
    assert float(drives(1.0, 0.5).rate) == pytest.approx(0.32756809, abs=5e-9)
    m = np.arange(1.0, 200_001.0)
    whole = np.sum(2 * np.pi**2 * 30.0**3 / m**4 * 0.5 / np.pi / ((np.pi**2 * 900.0 / m**2 - 1) ** 2 + 0.25))
    assert float(found[-1]) == pytest.approx(whole, rel=1e-9)
    short = np.sum((2 * np.pi**2 * 30.0**3 / m**4 * 0.5 / np.pi / ((np.pi**2 * 900.0 / m**2 - 1) ** 2 + 0.25))[:1100])
    assert short == pytest.approx(0.32701233, abs=3e-6)


def test_no_white_noise_at_slow_times():
    """S → 2πΔ ζ(4) f³/(x² + Δ²) as f → 0."""
    f = jnp.array([0.0, 1e-4])
    found = spectrum_of(drives(1.0, 0.5), f)
    assert found[0] == 0
    assert float(found[1]) == pytest.approx(2 * np.pi * 0.5 * np.pi**4 / 90 * 1e-12 / 1.25, rel=1e-4)


@pytest.mark.parametrize(("x", "Gamma"), [(1.0, 0.3), (-1.0, 0.5), (0.0, 1.0), (10.0, 0.05)])
def test_neurons_with_cauchy_noise(x, Gamma):
    f = np.array([1e-6, *F[:-1]])
    found = drives(x, 0.0, Gamma)
    np.testing.assert_allclose(spectrum_of(found, jnp.asarray(f)), cauchy(f, x, Gamma), rtol=1e-9)
    assert float(found.at_zero / found.rate) == pytest.approx(np.angle(x + 1j * Gamma) / np.pi, rel=1e-12)


@pytest.mark.parametrize(
    ("x", "Delta", "Gamma"),
    [
        (1.0, 0.2, 0.1),
        pytest.param(1.0, 0.3, 0.3, marks=pytest.mark.slow),
        pytest.param(3.0, 0.02, 1.0, marks=pytest.mark.slow),
    ],
)
def test_both_at_once_is_the_mean_over_drives(x, Delta, Gamma):
    """Poles and residues against a sum over 10⁵ drives."""
    f = np.array([1e-6, 0.05, 0.1, 0.3183, 0.5, 1.0])
    phases = np.pi * ((np.arange(100_000) + 0.5) / 100_000 - 0.5)
    mean = [np.mean(cauchy(each, x + Delta * np.tan(phases), Gamma)) for each in f]
    np.testing.assert_allclose(spectrum_of(drives(x, Delta, Gamma), jnp.asarray(f)), mean, rtol=2e-5)


def test_weak_noise_has_the_spectrum_of_none():
    f = jnp.asarray(F[2:])
    np.testing.assert_allclose(spectrum_of(drives(1.0, 0.5, 1e-7), f), spectrum_of(drives(1.0, 0.5), f), rtol=1e-6)


def test_the_line_of_the_experience():
    spectrum = nmm.power_spectrum(nmm.MPR(), size=10_000)
    assert "10000 neurons" in str(spectrum) and "the stable state of highest rate, of 2" in str(spectrum)
    assert float(spectrum.rate) == pytest.approx(1.0305967988, rel=1e-9)
    f, r, v = np.asarray(spectrum.frequencies), float(spectrum.rate), float(spectrum.state.v)
    own = (2j * np.pi * f - 2 * v) ** 2 + 4 * np.pi**2 * r**2
    np.testing.assert_allclose(spectrum.spectrum, spectrum.bare * np.abs(own / (own - 30 * r)) ** 2, rtol=1e-10)
    np.testing.assert_allclose(1e4 * spectrum.bare, spectrum_of(drives(-5 + 15 * r, 1.0), jnp.asarray(f)), rtol=1e-10)
    assert float(spectrum.fano) == 0 == float(spectrum.cv)
    data = spectrum.to_xarray()
    assert data.spectrum.dims == ("frequency",) and data.attrs["choice"] == spectrum.choice


def test_of_a_chosen_state_under_input():
    """Input is an excitability; and 1/N."""
    low = nmm.power_spectrum(nmm.MPR(eta=-5.5), 100, guess={"r": 0.08, "v": -1.96}, I=0.5)
    assert low.choice == "the fixed point near the guess" and float(low.rate) == pytest.approx(0.0811344420, rel=1e-8)
    other = nmm.power_spectrum(nmm.MPR(), 400, guess=low.state, frequencies=low.frequencies)
    np.testing.assert_allclose(low.spectrum, 4 * other.spectrum, rtol=1e-6)
    assert float(low.at(jnp.array([1e4]))[0][0] / low.poisson) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
def test_time_has_the_unit_of_tau():
    noise = nmm.CauchyNoise(0.2)
    fast, slow = (nmm.power_spectrum(nmm.MPR(1.0, 2.0, 0.3, tau=tau), 100, noise=noise) for tau in (1.0, 10.0))
    np.testing.assert_allclose(fast.frequencies, 10 * slow.frequencies, rtol=1e-12)
    np.testing.assert_allclose(fast.spectrum, 10 * slow.spectrum, rtol=1e-9)
    np.testing.assert_allclose(fast.window_deviation(0.5), 10 * slow.window_deviation(5.0), rtol=1e-6)


def test_through_a_synapse():
    model = nmm.MPR(eta=4.0, J=-10.0, Delta=0.6, tau=2.0, synapse=nmm.ExponentialSynapse(tau=0.5))
    found = nmm.power_spectrum(model, 100)
    f, R = np.asarray(found.frequencies), 2 * float(found.rate)
    own = (4j * np.pi * f - 2 * float(found.state.v)) ** 2 + 4 * np.pi**2 * R**2
    H = np.asarray(model.synapse.transfer(jnp.asarray(2j * np.pi * f)))
    np.testing.assert_allclose(found.spectrum, found.bare * np.abs(own / (own + 20 * R * H)) ** 2, rtol=1e-9)


@pytest.mark.parametrize("tails", [nmm.Flat(2), pytest.param(nmm.GaussianLike(4), marks=pytest.mark.slow)])
def test_light_tails(tails):
    """S_ξ = Σ_m (f²/m³) p(f/m) with the density of the currents; T = 1/(1 − J K), K the response of all modes (§F)."""
    found = nmm.power_spectrum(nmm.MPR(heterogeneity=tails), 1, frequencies=jnp.array([0.2, 0.5, 0.9, 1.1, 1.7]))
    f, x = np.array(found.frequencies), -5 + 15 * float(found.rate)
    m = np.arange(1.0, 4001.0)[:, None]
    bare = np.sum(2 * np.pi**2 * f**3 / m**4 * tails.density((np.pi * f / m) ** 2 - x), axis=0)
    np.testing.assert_allclose(found.bare, bare, rtol=1e-7, atol=1e-9)
    z, c = tails.poles()
    W, L, c = np.sqrt(x + np.asarray(z)), (2j * np.pi * f)[:, None], np.asarray(c)
    T = 1 / (1 - 15 / (2 * np.pi) * np.sum(1j * c / (L + 2j * W) - 1j * c.conj() / (L - 2j * W.conj()), axis=1))
    np.testing.assert_allclose(found.spectrum, found.bare * np.abs(T) ** 2, rtol=1e-6)


@pytest.mark.slow
def test_networks_see_the_shot_noise_of_all():
    """An uncoupled network is its nodes; an E–I loop by its 2 × 2 matrix; equal nodes that are all coupled are one
    population whose noise is that of all neurons."""
    node = nmm.MPR(1.0, 2.0, 0.3)
    one = nmm.power_spectrum(node, 100)
    pair = nmm.power_spectrum(nmm.Network(node, np.zeros((2, 2))), [100, 400], guess=one.state.variables)
    np.testing.assert_allclose(pair.spectrum, jnp.stack([one.spectrum, one.spectrum / 4], axis=1), rtol=1e-8, atol=1e-15)
    weak = nmm.Network(nmm.MPR(1.0, 0.0, 0.3), np.full((2, 2), 1.0))  # row sums 2: the same state
    shared = nmm.power_spectrum(weak, 50, guess=one.state.variables, frequencies=one.frequencies)
    T = np.asarray(shared.loop.transfer(one.frequencies))
    mean = np.mean(np.abs(np.sum(T, axis=1)) ** 2, axis=1) / 4 * np.asarray(shared.bare)[:, 0] * 2
    np.testing.assert_allclose(mean, one.spectrum, rtol=1e-7, atol=1e-12)


@pytest.mark.slow
def test_counts_in_windows():
    """sd of rates in windows .1, .5, 2, 10."""
    found = nmm.power_spectrum(nmm.MPR(1.0, 2.0, 0.3), 1000)
    windows = [float(found.window_deviation(T)) for T in (0.5, 2.0, 10.0)]
    np.testing.assert_allclose(windows, [0.0243, 0.0064, 0.0013], rtol=0.03)


def test_long_windows_have_the_fano_factor():
    noisy = nmm.power_spectrum(nmm.MPR(1.0, 0.0, 0.0), 1000, noise=nmm.CauchyNoise(0.3))
    T = 400.0
    assert float(noisy.window_deviation(T)) ** 2 * T / float(noisy.poisson) == pytest.approx(float(noisy.fano), rel=0.02)
    assert float(noisy.fano) == pytest.approx(np.arctan2(0.3, 1.0) / np.pi, rel=1e-9)
    assert float(noisy.cv) ** 2 == pytest.approx(float(noisy.fano), rel=1e-9)


def test_derivatives_are_those_of_differences():
    noise, f = nmm.CauchyNoise(0.1), jnp.array([0.2, 0.5])
    at = lambda J: nmm.power_spectrum(nmm.MPR(1.0, J, 0.3), 100, noise=noise, frequencies=f).spectrum
    slope = jax.jacfwd(at)(2.0)
    np.testing.assert_allclose(slope, (at(2.0 + 1e-4) - at(2.0 - 1e-4)) / 2e-4, rtol=1e-6)


@pytest.mark.slow
def test_derivatives_of_both_modes_agree():
    noise, f = nmm.CauchyNoise(0.1), jnp.array([0.2, 0.5])
    at = lambda J: nmm.power_spectrum(nmm.MPR(1.0, J, 0.3), 100, noise=noise, frequencies=f).spectrum
    np.testing.assert_allclose(jax.jacrev(at)(2.0), jax.jacfwd(at)(2.0), rtol=1e-9)
    np.testing.assert_allclose(jax.jit(at)(2.0), at(2.0), rtol=1e-12)


def test_states_without_a_spectrum():
    saddle = nmm.power_spectrum(nmm.MPR(), 100, guess={"r": 0.4729803407, "v": -0.3364937808})
    assert saddle.result == nmm.results.RESULTS.unstable_state and np.all(np.isnan(saddle.spectrum))
    assert "not stable" in str(saddle)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"size": 0}, "`size` must be a whole number ≥ 1, but got 0"),
        ({"size": 2.5}, "`size` must be a whole number ≥ 1, but got 2.5"),
        ({"noise": nmm.WhiteNoise(0.1)}, "`noise` must be None or `CauchyNoise(…)`"),
        ({"frequencies": jnp.array([-1.0])}, "`frequencies` must be ≥ 0 and finite, but got -1 at"),
        ({"model": nmm.MPR(Delta=0.0)}, "`Delta` must be > 0, or `noise` be given"),
        ({"model": nmm.MPR(gap=nmm.GapJunction(0.1))}, "`model` must be without gap junctions"),
        ({"model": nmm.mutual_inhibition(eta=5.0, J_self=0.0, J_cross=-15.0, Delta=1.0)}, "`guess` must be a state near"),
    ],
)
def test_refusals(change, text):
    given = {"model": nmm.MPR(), "size": 100} | change
    with pytest.raises(ValueError, match=r"^Argument") as caught:
        nmm.power_spectrum(**given)
    assert text in str(caught.value)


def test_white_noise_is_refused_for_periodic_neurons():
    with pytest.raises(ValueError, match="periodic neurons have no white part"):
        nmm.power_spectrum(nmm.MPR(), 100).white_noise()
    found = nmm.power_spectrum(nmm.MPR(-5.0, 15.0, 0.0), 100, noise=nmm.CauchyNoise(1.0))
    x, r = -5 + 15 * float(found.rate), float(found.rate)
    expected = 225 * r * np.arctan2(1.0, x) / (200 * np.pi)
    assert float(found.white_noise().intensity) == pytest.approx(expected, rel=1e-9)
