"""Monitors against golden values of other programs, closed forms, and a solver that shares no code with them."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nmmjax as nmm

SECOND = np.r_[np.ones(2000), np.zeros(26000)]  # a neural input of 1 for 1 s, in bins of ½ ms
HOURLY = np.sin(np.linspace(0.0, 40.0, 4001))[:, None] * np.array([1.0, 0.5]) + 1.2  # 4 s of two nodes

GOLDEN = {  # peak and trough of BOLD after x = 1 for 1 s: value, s; steady state of x = 1 (neurolib, VBI, vbjax)
    "friston2003": (0.0252346, 3.375, -0.0056197, 9.58, 0.04589943),
    "vbi": (0.0474211, 3.63, -0.0097043, 10.005, 0.08969206),
    "vbjax": (0.9275482, 2.445, -0.0520658, 5.42, 1.64439266),
}


def course(monitor, series, dt, **options):
    return np.asarray(monitor.of(series, dt, **options).values)


@pytest.mark.parametrize("constants", GOLDEN)
def test_bold_after_a_second_of_input(constants):
    peak, at_peak, trough, at_trough, steady = GOLDEN[constants]
    monitor = nmm.BOLD(TR=5.0, constants=constants, window=0.5)
    y = course(monitor, SECOND, 0.5, bins=True)[:, 0]
    t = 0.005 * np.arange(1, y.size + 1)
    size = max(peak, 1e-1) * 1e-6
    assert abs(y.max() - peak) < size and abs(y.min() - trough) < size
    assert abs(t[y.argmax()] - at_peak) < 0.006 and abs(t[y.argmin()] - at_trough) < 0.006
    assert abs(monitor.steady(1.0) - steady) < 1e-8


def test_kernel_of_the_virtual_brain():
    """h is ⅓ e^{−t/2τ_s} sin(ωt)/ω; x ≡ 1 gives −.0970667, and silence −k₁V₀."""
    unit = nmm.BOLDKernel(TR=0.5, k1=1.0, V0=1.0)
    h = course(unit, np.r_[0.0, 0.0, 2000.0, np.zeros(40_000)], 0.5, bins=True)[2:, 0] + 1  # after an impulse in a bin
    t = 5e-4 * np.arange(1, h.size + 1) - 2.5e-4
    omega = np.sqrt(1 / 0.4 - 1 / (4 * 0.8**2))
    assert np.abs(h - np.exp(-t / 1.6) * np.sin(omega * t) / (3 * omega))[2:].max() < 1e-7
    assert abs(h.max() - 0.1277291064) < 1e-7 and abs(t[h.argmax()] - 0.8017375355) < 3e-4
    assert abs(h.sum() * 5e-4 - 0.4 / 3) < 1e-6
    monitor = nmm.BOLDKernel(TR=500.0)
    assert abs(course(monitor, np.ones(60_001), 1.0)[-1, 0] + 0.0970667) < 1e-7
    assert course(monitor, np.zeros(1001), 1.0)[-1, 0] == pytest.approx(-0.112, abs=1e-15)
    assert monitor.steady(1.0) == pytest.approx(-0.0970666667, abs=1e-10)


def test_averages_and_samples():
    """Of a series that is linear between its points: exactly."""
    times = np.arange(401.0)
    x = np.stack([2 * times + 1, -times], axis=1)
    ends = np.arange(10.0, 401.0, 10.0)
    np.testing.assert_allclose(course(nmm.Subsample(10.0), x, 1.0), np.stack([2 * ends + 1, -ends], axis=1))
    mean = np.stack([2 * (ends - 5) + 1, -(ends - 5)], axis=1)
    for dt in (1.0, 2.0, 10.0, 5.0):
        found = course(nmm.TemporalAverage(10.0), x[:: int(dt)], dt)
        np.testing.assert_allclose(found, mean[: found.shape[0]], rtol=1e-14)
    np.testing.assert_allclose(course(nmm.LFP(10.0), x, 1.0), mean, rtol=1e-14)
    np.testing.assert_allclose(course(nmm.TemporalAverage(10.0), x, 10.0, bins=True)[:5], x[:5])


def test_sensors_see_regions_through_the_gain_matrix():
    L = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 1.0]])
    mean = course(nmm.TemporalAverage(50.0), HOURLY, 1.0)
    monitor = nmm.EEG(L, 50.0, sensors=("Fz", "Cz", "Oz"))
    found = monitor.of(HOURLY, 1.0)
    np.testing.assert_allclose(found.values, mean @ L.T, rtol=1e-13)
    assert found.labels == ("Fz", "Cz", "Oz") and found.dim == "sensor" and "3 sensors" in str(found)
    average = course(nmm.EEG(L, 50.0, reference="average"), HOURLY, 1.0)
    np.testing.assert_allclose(average, mean @ (L - L.mean(axis=0)).T, rtol=1e-12, atol=1e-13)


def test_windows_of_any_division_give_the_same_average():
    """Whoever integrates may take shorter windows than `window`: a new period begins by itself."""
    monitor = nmm.TemporalAverage(10.0)
    values = np.linspace(0.0, 1.0, 13)
    state = monitor.begin(jnp.zeros(1))
    samples = []
    for k, x in enumerate(values[:12]):
        state = monitor.update(state, jnp.full(1, x), jnp.full(1, x), jnp.asarray(2.5))
        if k % 4 == 3:
            samples.append(float(monitor.sample(state)[0]))
    np.testing.assert_allclose(samples, values[:12].reshape(3, 4).mean(axis=1), rtol=1e-14)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(0, 3))
def test_functional_connectivity_is_numpys(seed, skip):
    """Also of series with a large mean, by one pass."""
    x = np.random.default_rng(seed).normal(size=(20, 5)) @ np.random.default_rng(seed + 1).normal(size=(5, 5)) + 1e4
    found = nmm.FunctionalConnectivity(nmm.Subsample(2.0), skip=2.0 * skip).of(x)
    np.testing.assert_allclose(found.values, np.corrcoef(x[skip:].T), atol=1e-9)
    np.testing.assert_allclose(nmm.functional_connectivity(x).values, np.corrcoef(x.T), atol=1e-9)
