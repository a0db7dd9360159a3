"""Stationary rates of neurons with Gaussian noise of their own: golden values, quadrature, the mean field's limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import central_difference
from scipy.special import airy

import nmmjax as nmm
from nmmjax import MPR, GaussianNoise, stationary_rates
from nmmjax.stochastic import neuron_rate


def test_rates_of_one_neuron():
    """Brunel & Latham's integral, computed with SciPy."""
    golden = [0.3267227284, 0.1595040033, 0.0190226769, 0.0018609445]
    np.testing.assert_allclose(neuron_rate([1.0, 0.0, -1.0, -0.5], [0.5, 0.5, 0.5, 0.1]), golden, rtol=0, atol=5e-11)
    assert float(neuron_rate(2.25, 0.0)) == pytest.approx(1.5 / np.pi)


def mean_rate(mu, Delta, D):
    """∫ ν(η, D) Lorentzian(η) dη; the tail in powers that make it smooth."""
    t = (np.arange(400_000) + 0.5) / 400_000
    tail = (1 - t) ** 4  # probability above η
    eta = mu + Delta / np.tan(np.pi * tail)
    ai, _, bi, _ = airy(np.minimum(-eta / D ** (2 / 3), 20.0))
    rate = np.where(eta > 1e4, np.sqrt(np.abs(eta)) / np.pi, D ** (1 / 3) / np.pi**2 / (ai**2 + bi**2))
    return np.mean(4 * (1 - t) ** 3 * np.where(-eta / D ** (2 / 3) > 20, 0.0, rate))


@pytest.mark.parametrize(("mu", "Delta", "D"), [(1.0, 0.3, 0.1), (-3.8, 1.0, 0.5), (10.45, 1.0, 0.5), (0.0, 0.1, 0.5)])
def test_rates_over_a_lorentzian(mu, Delta, D):
    """It is not the real part of ν at the complex current: ν has poles in both half-planes, where Ai of a turned current
    vanishes."""
    assert float(neuron_rate(mu, D, Delta)) == pytest.approx(mean_rate(mu, Delta, D), rel=1e-7)
    pole = 2.338107410459767 * D ** (2 / 3) * np.exp(2j * np.pi / 3)
    ai, _, bi, _ = airy(-pole / D ** (2 / 3))
    assert abs(ai**2 + bi**2) < 1e-12


def test_without_noise_they_are_the_fixed_points():
    calm, fixed = stationary_rates(MPR(tau=10.0), GaussianNoise(0.0)), nmm.energy_landscape(MPR(tau=10.0))
    for name in ("r", "v"):
        low, high = getattr(fixed.minima, name)
        expected = [low, getattr(fixed.saddles, name)[0], high]
        np.testing.assert_allclose(getattr(calm, name), expected, rtol=1e-11)
    assert list(calm.saddle) == [False, True, False]


def test_rates_are_consistent_and_repel_in_the_middle():
    found = stationary_rates(MPR(), GaussianNoise(0.5), I=0.1)
    np.testing.assert_allclose(found.r, neuron_rate(found.current, jnp.full(3, 0.5), jnp.ones(3)), rtol=1e-12)
    np.testing.assert_allclose(found.current, -4.9 + 15 * found.r, rtol=1e-12)
    assert list(found.saddle) == [False, True, False]
    assert "3" in str(found) and "saddle" in str(found)
    homogeneous = stationary_rates(MPR(Delta=0.0), GaussianNoise(0.1))
    assert 0 < homogeneous.r[0] < 1e-60  # escapes over 4|η|^{3/2}/3 against D


def test_first_order_in_the_noise():
    """dr/dD at D = 0 is Re(−i/4(I − iΔ))/(π (1 − J χ))."""
    of = lambda D: stationary_rates(MPR(), GaussianNoise(D))
    calm = of(0.0)
    x = np.asarray(calm.current) - 1j
    gain = np.real(0.5 / np.sqrt(x)) / np.pi
    np.testing.assert_allclose(calm.slope, 1 - 15 * gain, rtol=1e-10)
    expected = np.real(-0.25j / x) / np.pi / (1 - 15 * gain)
    np.testing.assert_allclose((of(1e-6).r - calm.r) / 1e-6, expected, rtol=1e-4)


def test_neurons_fire_at_the_exact_rate():
    """Neurons at threshold: their spikes, counted, agree; the order parameter is biased, since voltages with Gaussian noise
    are not spread as a Lorentzian."""
    model, D = MPR(eta=0.0, J=0.0, Delta=0.1), GaussianNoise(0.1)
    ts = np.linspace(0.0, 60.0, 61)
    run = nmm.simulate(nmm.QIFNetwork(model, 2000), {"r": 0.11, "v": -0.1}, ts, noise=D, key=jax.random.key(0))
    exact = float(stationary_rates(model, D).r[0])
    assert np.mean(run.neurons.counts[20:]) / 2000 == pytest.approx(exact, rel=0.02)
    assert np.mean(run.ys.r[20:]) == pytest.approx(1.13 * exact, rel=0.02)


@pytest.mark.parametrize("name", [pytest.param("GaussianLike", marks=pytest.mark.slow), "Bimodal"])
def test_other_heterogeneities(name):
    """Σ c_k W of the poles is the mean of one neuron's rate over the density, and without noise the mean field's."""
    spread = nmm.GaussianLike(4) if name == "GaussianLike" else nmm.Bimodal(4.0)
    model = MPR(eta=0.5, J=0.0, heterogeneity=spread)
    t = (np.arange(200_000) + 0.5) / 200_000
    x = np.tan(np.pi * (t - 0.5))  # every density here falls at least as a Lorentzian
    for D in (0.1, 1.0):
        rates = neuron_rate(0.5 + x, np.full(x.shape, D))
        expected = np.mean(np.asarray(rates) * spread.density(x) * np.pi * (1 + x**2))
        assert float(stationary_rates(model, GaussianNoise(D)).r[0]) == pytest.approx(expected, rel=2e-3)
    coupled = MPR(heterogeneity=spread)
    calm = stationary_rates(coupled, GaussianNoise(0.0))
    assert float(calm.r[-1]) == pytest.approx({"GaussianLike": 1.0222593, "Bimodal": 1.0118202}[name], abs=1e-7)


def test_slow_variables_settle_at_the_mean_rate():
    adaptation = nmm.SynapticDepression(alpha=0.05, tau=10.0)
    model = MPR(eta=-5.5, J=15 * 2**0.5, Delta=2.0, adaptation=adaptation)
    found = stationary_rates(model, GaussianNoise(0.3))
    A = 0.5 * found.r
    np.testing.assert_allclose(found.current, -5.5 + 15 * 2**0.5 * (1 - A) * found.r, rtol=1e-11)


@pytest.mark.slow
def test_derivatives_by_noise_and_parameters():
    of = lambda x: stationary_rates(MPR(eta=x[1], J=x[2]), GaussianNoise(x[0])).r
    x = jnp.array([0.2, -5.0, 15.0])
    found = jax.jit(jax.jacrev(lambda x: of(x)[:3]))(x)
    of = jax.jit(of)
    assert np.all(np.isnan(of(x)[3:]))
    for k in range(3):
        expected = central_difference(lambda value, k=k: of(x.at[k].set(value)), x[k])
        np.testing.assert_allclose(found[:, k], expected[:3], rtol=1e-7)


BAD = {
    "model": (nmm.mutual_inhibition(), GaussianNoise(0.1), "`model` must be one population"),
    "gap": (MPR(gap=nmm.GapJunction(0.1)), GaussianNoise(0.1), "`model` must be without gap junctions"),
    "number": (MPR(), 0.1, "`noise` must be `GaussianNoise"),
    "white": (MPR(), nmm.WhiteNoise(0.1), "`noise` must be `GaussianNoise"),
    "many": (MPR(), GaussianNoise([0.1, 0.2]), "`noise` must have one intensity"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, unchecked):
    model, noise, message = BAD[name]
    with pytest.raises(ValueError) as error:
        stationary_rates(model, noise)
    assert message in str(error.value)


def test_bad_rates(unchecked):
    for given, message in (
        ((1.0, -0.1), "`intensity` must be ≥ 0"),
        ((1.0, 0.1, -1.0), "`Delta` must be ≥ 0"),
        (("a", 0.1), "`mu`"),
    ):
        with pytest.raises(ValueError, match=message):
            neuron_rate(*given)
