"""Monitors against golden values of other programs, closed forms, and a solver that shares no code with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from helpers import central_difference, rest_slow
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import nmmjax as nmm
from nmmjax.monitors.balloon import SETS

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


def test_kernel_is_the_monitor_of_the_virtual_brain():
    """`Bold` of tvb-library 2.10 at dt = 1 ms, fed with this input: sums over 4 ms without dt, 6 ms late."""
    t = np.arange(1.0, 40_001.0)
    x = 0.03 * (1 + np.sin(2 * np.pi * t / 3000) * np.sin(t / 777))
    y = course(nmm.BOLDKernel(TR=1.0, scale=250.0), x, 1.0, bins=True)[:, 0]
    theirs = {41: -0.05122181944801, 52: 0.00868949634670, 63: 0.07916272239290, 80: 0.05008616777787}
    for k, value in theirs.items():
        assert abs(y[500 * k - 7] - value) < 7e-7
    assert abs(nmm.BOLDKernel(TR=1.0).steady(250.0) - 3.621335062) < 2e-6  # cut off at 20 s there


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


# --- BOLD against solvers and closed forms ------------------------------------------------------------------------------


def reference(x, ends, constants="friston2003", rest=(0.0, 1.0, 1.0, 1.0)):
    """BOLD at the times `ends` (s) by DOP853, from the equations in s, f, v and q."""
    A, B, tau, alpha, E0, k1, k2, k3, V0 = SETS[constants]

    def field(t, y):
        s, f, v, q = y
        out = v ** (1 / alpha)
        return [x(t) - A * s - B * (f - 1), s, (f - out) / tau, (f * (1 - (1 - E0) ** (1 / f)) / E0 - out * q / v) / tau]

    run = solve_ivp(field, (0.0, ends[-1]), rest, method="DOP853", t_eval=ends, rtol=1e-11, atol=1e-13, max_step=0.05)
    _, _, v, q = run.y
    return V0 * (k1 * (1 - q) + k2 * (1 - q / v) + k3 * (1 - v))


def wave(t):
    return 0.6 + 0.5 * np.sin(2 * np.pi * 1.7 * t) * np.sin(0.9 * t)


@pytest.mark.parametrize("constants", GOLDEN)
def test_bold_is_that_of_an_accurate_solver(constants):
    x = wave(1e-3 * np.arange(12_001))[:, None] * np.array([1.0, 0.2])
    y = course(nmm.BOLD(TR=500.0, constants=constants), x, 1.0)
    ends = 0.5 * np.arange(1, 25)
    for k, size in enumerate((1.0, 0.2)):
        expected = reference(lambda t, size=size: size * wave(t), ends, constants)
        assert np.abs(y[:, k] - expected).max() < 2e-7 * np.abs(expected).max()  # the series is linear between its points


def test_error_falls_with_the_fourth_power_of_the_window():
    """Of an input of 3 Hz, from windows of 1/6 s to windows of 1/24 s."""
    f, monitor = 3.0, lambda window: nmm.BOLD(TR=2000.0, window=window)
    series = 0.5 + 0.5 * np.sin(2 * np.pi * f * np.linspace(0.0, 4.0, 96_001))
    y = [course(monitor(window), series, 4000 / 96_000)[-1, 0] for window in (2000 / 12, 2000 / 24, 2000 / 48, 1.0)]
    errors = np.abs(np.array(y[:3]) - y[3])
    assert np.all(np.log2(errors[:-1] / errors[1:]) > 3.5)


@pytest.mark.parametrize("constants", rest_slow(GOLDEN, "friston2003"))
def test_constant_inputs_lead_to_the_steady_state(constants):
    """From rest in the end, and at once with `start="steady"`."""
    x = np.array([0.05, 1.0, 20.0, 200.0])
    series = np.tile(x, (60_001, 1))
    monitor = nmm.BOLD(TR=60_000.0, constants=constants, start="rest")
    np.testing.assert_allclose(course(monitor, series, 1.0)[0], monitor.steady(x), rtol=1e-6)
    steady = nmm.BOLD(TR=1000.0, constants=constants, start="steady")
    np.testing.assert_allclose(course(steady, series[:2001], 1.0)[1], monitor.steady(x), rtol=1e-12)
    kernel = nmm.BOLDKernel(TR=1000.0, start="steady")
    np.testing.assert_allclose(course(kernel, series[:2001], 1.0)[1], kernel.steady(x), rtol=1e-10)


@pytest.mark.parametrize("constants", rest_slow(("friston2003", "vbjax"), "friston2003"))
def test_blood_does_not_flow_back(constants):
    """The flow after an input that ends comes to 0 from x = B e^{πA/2ω}; beyond that y stays finite, and goes on."""
    A, B = SETS[constants][:2]
    edge = B * np.exp(np.pi * A / 2 / np.sqrt(B - A**2 / 4))
    monitor = nmm.BOLD(TR=10.0, constants=constants)

    def step(state, x):
        state = monitor.update(state, x, x, 10.0)
        return state, (1 + state[0], monitor.sample(state))

    x = jnp.concatenate([jnp.ones(4000), jnp.zeros(6000)])[:, None] * jnp.asarray([[edge, 4 * edge]])
    _, (flow, y) = jax.lax.scan(step, monitor.begin(x[0]), x)
    assert abs(flow[:, 0].min()) < 1e-3 and flow[:, 1].min() < -2
    assert bool(jnp.all(jnp.isfinite(y))) and np.abs(y[-1]).max() < 1e-3 * SETS[constants][-1]


@pytest.mark.parametrize("constants", rest_slow(GOLDEN, "vbi"))
def test_small_oscillations_pass_by_the_transfer_function(constants):
    """Around a constant input; at frequency 0, the slope of the steady state."""
    monitor = nmm.BOLD(TR=500.0, constants=constants, start="steady", scale=0.7)
    h = np.asarray(monitor.transfer(np.array([0.0, 2e-4]), 0.5))  # 0.2 Hz
    slope = central_difference(lambda c, monitor=monitor: float(monitor.steady(0.7 * c)), 0.5, 1e-3)
    assert abs(h[0] - slope) < 1e-8 * abs(slope)
    t = np.arange(50_001.0)
    y = course(monitor, 0.5 + 1e-4 * np.sin(2 * np.pi * 2e-4 * t), 1.0)[60:, 0]  # 4 periods after the transient
    ends = 500.0 * np.arange(61, 101)
    found = 2 * np.mean((y - float(monitor.steady(0.35))) * np.exp(-2j * np.pi * 2e-4 * ends)) * 1j / 1e-4
    assert abs(found - h[1]) < 2e-3 * abs(h[1])
    several = monitor.transfer(np.array([0.0, 2e-4]), np.array([0.0, 0.5]))
    assert np.abs(several[:, 1] - h).max() < 1e-15 and several.shape == (2, 2)
    kernel = nmm.BOLDKernel(TR=500.0)
    assert abs(kernel.transfer(np.zeros(1))[0] - 5.6 * 0.02 * 0.4 / 3) < 1e-12


def test_derivatives_by_constants_and_input():
    """Forward and reverse, through the fold and the statistic."""
    x = jnp.asarray(HOURLY[:1001])

    def fc(A, scale, size):
        bold = nmm.BOLD(TR=100.0, A=A, scale=scale).of(x * size + 0.1 * x**2, 1.0)
        return nmm.FunctionalConnectivity(nmm.Subsample(100.0)).of(bold).values[0, 1]

    at = (0.65, 0.8, 1.0)
    back = jax.grad(fc, argnums=(0, 1, 2))(*at)
    forth = jax.jacfwd(fc, argnums=(0, 1, 2))(*at)
    for k in range(3):
        one = lambda z, k=k: float(fc(*[z if j == k else each for j, each in enumerate(at)]))
        assert abs(back[k] - forth[k]) < 1e-10 * abs(back[k])
        assert abs(back[k] - central_difference(one, at[k], 1e-3)) < 1e-5 * abs(back[k])


def test_float32_twins(unchecked):
    x = np.abs(np.sin(np.linspace(0.0, 40.0, 20_001)))[:, None] * np.array([1.0, 0.1])
    for monitor in (lambda: nmm.BOLD(TR=1000.0), lambda: nmm.BOLDKernel(TR=1000.0), lambda: nmm.TemporalAverage(50.0)):
        exact = course(monitor(), x, 1.0)
        with jax.enable_x64(False):
            single = monitor().of(x.astype(np.float32), 1.0)
        assert single.values.dtype == np.float32
        assert np.abs(np.asarray(single.values) - exact).max() < 5e-5 * np.abs(exact).max()
    large = np.random.default_rng(0).normal(size=(5000, 3)).cumsum(axis=0) * 0.01 + 300.0  # a mean of 300 deviations
    with jax.enable_x64(False):
        found = nmm.functional_connectivity(large.astype(np.float32)).values
    np.testing.assert_allclose(found, np.corrcoef(large.astype(np.float32).T.astype(float)), atol=2e-4)


def test_many_runs_and_steps_are_vectorised():
    """Under `jit` and `vmap`, with traced constants and window lengths."""
    monitor = nmm.BOLD(TR=100.0)

    def last(scale, x):
        state = nmm.BOLD(TR=100.0, scale=scale).begin(x)
        for _ in range(2):
            state = monitor.update(state, x, x, jnp.asarray(10.0))
        return monitor.sample(state)

    x = jnp.asarray([[0.1, 0.2], [0.3, 0.4]])
    many = jax.jit(jax.vmap(last))(jnp.ones(2), x)
    assert np.abs(many[1] - last(1.0, x[1])).max() < 1e-15


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)), st.floats(0.1, 10.0), st.floats(-3.0, 3.0))
def test_nodes_are_alike_and_correlations_have_no_unit(order, size, shift):
    x = np.abs(noisy(401, 4))
    order = np.asarray(order)
    bold = course(nmm.BOLD(TR=20.0), x, 1.0)
    np.testing.assert_allclose(course(nmm.BOLD(TR=20.0), x[:, order], 1.0), bold[:, order], rtol=1e-13)
    fc = np.asarray(nmm.functional_connectivity(bold).values)
    moved = nmm.functional_connectivity(size * bold[:, order] + shift)
    np.testing.assert_allclose(moved.values, fc[order][:, order], atol=1e-8)


# --- statistics -------------------------------------------------------------------------------------------------------


def noisy(count, m, seed=0):
    draws = np.random.default_rng(seed)
    return draws.normal(size=(count, m)).cumsum(axis=0) * 0.1 + draws.normal(size=(count, m)) @ draws.normal(size=(m, m))


WELCH = [("one", "hann", 64, 0.5), ("two", "hann", 63, 0.75), ("one", "none", 50, 0.0), ("two", "hann", 64, 0.3)]


@pytest.mark.parametrize(("sided", "taper", "length", "overlap"), WELCH)
def test_spectra_are_scipys(sided, taper, length, overlap):
    x = noisy(500, 3)
    statistic = nmm.Spectrum(nmm.Subsample(2.0), 2.0 * length, overlap, skip=20.0, sided=sided, taper=taper)
    found = statistic.of(x)
    window = {"hann": "hann", "none": "boxcar"}[taper]
    options = {"nperseg": length, "noverlap": int(overlap * length), "return_onesided": sided == "one", "axis": 0}
    f, power = scipy.signal.welch(x[10:], fs=0.5, window=window, **options)
    kept = slice(0, length // 2 + 1)
    assert np.abs(np.asarray(found.values) - power[kept]).max() < 1e-10 * power.max()
    np.testing.assert_allclose(found.coords["frequency"], np.abs(f[kept]), atol=1e-15)


def test_both_conventions_integrate_to_the_variance():
    x = np.random.default_rng(0).normal(size=(4000, 2))
    for sided, share in (("one", 1.0), ("two", 2.0)):
        statistic = nmm.Spectrum(nmm.Subsample(0.5), 20.0, sided=sided, taper="none", overlap=0.0)
        total = share * np.asarray(statistic.of(x).values)[1:].sum(axis=0) / 20.0
        np.testing.assert_allclose(total, x.reshape(-1, 40, 2).var(axis=1).mean(axis=0), rtol=0.03)


def test_dynamics_of_connectivity_by_hand():
    x = noisy(200, 5)
    statistic = nmm.DynamicFC(nmm.Subsample(2.0), width=60.0, step=20.0, skip=20.0)
    found = statistic.of(x)
    windows = [x[10 + 10 * k : 40 + 10 * k] for k in range(17)]
    rows = np.array([np.corrcoef(each.T)[np.triu_indices(5, 1)] for each in windows])
    expected = np.corrcoef(rows)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    assert found.coords["window"][0] == 2.0 * (10 + 15.5) and found.values.shape == statistic.shape(5, 200)
    variance = nmm.DynamicFC(nmm.Subsample(2.0), width=60.0, step=20.0, skip=20.0, output="variance").of(x)
    assert abs(variance.values - expected[np.triu_indices(17, 3)].var()) < 1e-12


def test_metastability_is_that_of_hilbert_transforms():
    for count in (400, 401):
        x = noisy(count, 4)
        y = x[50:]
        z = scipy.signal.hilbert(y - y.mean(axis=0), axis=0)
        R = np.abs((z / np.abs(z)).mean(axis=1))
        found = nmm.Metastability(nmm.Subsample(2.0), skip=100.0).of(x)
        np.testing.assert_allclose(found.values, [R.std(), R.mean()], rtol=1e-10)
    t = np.arange(2000.0)
    beat = np.stack([np.cos(2 * np.pi * 0.05 * t), np.cos(2 * np.pi * 0.055 * t)], axis=1)  # whole periods of both
    found = nmm.Metastability(nmm.Subsample(1.0), band=(0.03, 0.08)).of(beat + 3 * np.cos(2 * np.pi * 0.2 * t)[:, None])
    R = np.abs(np.cos(np.pi * 0.005 * t))  # of two phases that part at 0.005 per time
    np.testing.assert_allclose(found.values, [R.std(), R.mean()], rtol=1e-6)


STATISTICS = {
    "FunctionalConnectivity": (nmm.FunctionalConnectivity(nmm.Subsample(1.0), skip=5.0), lambda each: each[0, 1]),
    "DynamicFC": (nmm.DynamicFC(nmm.Subsample(1.0), width=20.0, step=8.0, output="variance"), lambda each: each),
    "Spectrum": (nmm.Spectrum(nmm.Subsample(1.0), segment=30.0), lambda each: jnp.log(each[3, 0])),
    "Metastability": (nmm.Metastability(nmm.Subsample(1.0), skip=5.0), lambda each: each[0]),
}


@pytest.mark.parametrize("name", rest_slow(STATISTICS, "DynamicFC"))
def test_derivatives_of_statistics_and_float32(name, unchecked):
    """By an input that changes how series are mixed, forward and reverse; single precision is the same number."""
    statistic, pick = STATISTICS[name]
    x = jnp.asarray(noisy(90, 3))
    one = lambda mix: pick(statistic.of(x + mix * jnp.sin(x[:, ::-1])).values)
    slope = central_difference(lambda mix: float(one(mix)), 0.3, 1e-3)
    assert abs(jax.grad(one)(0.3) - slope) < 1e-5 * abs(slope) and abs(jax.jacfwd(one)(0.3) - slope) < 1e-5 * abs(slope)
    with jax.enable_x64(False):
        single = statistic.of(np.asarray(x, np.float32)).values
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, statistic.of(x).values, rtol=2e-4, atol=2e-4)


def test_synchrony_of_independent_series():
    m = 50
    x = np.random.default_rng(0).normal(size=(8000, m))
    metastability, synchrony = np.asarray(nmm.Metastability(nmm.Subsample(1.0)).of(x).values)
    assert abs(synchrony / np.sqrt(np.pi / (4 * m)) - 1) < 0.02
    assert abs(metastability / np.sqrt((1 - np.pi / 4) / m) - 1) < 0.05


# --- what users get, and are refused -----------------------------------------------------------------------------------


def test_results_know_their_labels_and_become_recordings():
    bold = nmm.BOLD(TR=200.0).of(HOURLY, 1.0, labels=["V1", "MT"])
    array = bold.to_xarray()
    assert array.dims == ("t", "node") and list(array.node.values) == ["V1", "MT"] and array.attrs["units"] == "1"
    assert "20 samples of 2 nodes" in str(bold) and "V1" in str(bold) and "0.65/s" in str(nmm.BOLD(TR=200.0))
    assert "1.538/s" in str(nmm.BOLD(TR=200.0, constants="vbjax")) and "A=1" in repr(nmm.BOLD(TR=200.0, A=1.0))
    recording = bold.to_recording()
    assert recording.names == ("V1", "MT") and recording.dt == 200.0
    np.testing.assert_array_equal(recording.values, bold.values)
    assert bold.select(["MT"]).labels == ("MT",) and bold.select([1, 0]).values.shape == (20, 2)
    fc = nmm.functional_connectivity(bold)
    assert fc.to_xarray().sel(node="V1", other_node="MT") == fc.values[0, 1]
    np.testing.assert_allclose(nmm.functional_connectivity(recording).values, fc.values)
    few = nmm.results.Recording(np.where(np.arange(9)[:, None] < 7, np.nan, 1.0) * np.ones((9, 2)))
    x = noisy(60, 4)
    one, other = nmm.functional_connectivity(x), nmm.functional_connectivity(noisy(60, 4, 1))
    pairs = np.triu_indices(4, 1)
    by_hand = np.corrcoef(np.corrcoef(x.T)[pairs], np.asarray(other.values)[pairs])[0, 1]
    assert abs(one.correlation(other) - by_hand) < 1e-12 and abs(one.correlation(one) - 1) < 1e-12
    gaps, subject = x.copy(), np.repeat([3, 7], 30)
    gaps[[4, 40], 1] = np.nan
    of_two = nmm.functional_connectivity(nmm.results.Recording(gaps, subject=subject, dt=2.0), skip=4.0)
    each = [np.corrcoef(np.delete(x[k : k + 30], 4 + 6 * (k > 0), axis=0)[2:].T) for k in (0, 30)]
    np.testing.assert_allclose(of_two.values, np.mean(each, axis=0), atol=1e-12)
    assert of_two.samples == 54
    with pytest.raises(ValueError, match="`recorded` must have 3 samples of all regions and every subject, but got 2"):
        nmm.functional_connectivity(few)
    still = nmm.functional_connectivity(np.stack([x[:, 0], np.ones(60)], axis=1))
    assert np.isnan(np.asarray(still.values)[:, 1]).all() and "constant" in str(still)


def test_labels_come_from_the_model():
    named = nmm.Network(nmm.MPR(), np.ones((2, 2)), names=("V1", "MT"))
    numbered = nmm.Network(nmm.MPR(), np.ones((2, 2)))
    monitor = nmm.BOLD(TR=1.0)
    assert monitor.labels(named).tolist() == ["V1", "MT"] and monitor.labels(numbered).tolist() == ["0", "1"]
    assert monitor.labels(nmm.MPR()).tolist() == ["population"]
    assert nmm.EEG(np.ones((3, 2)), 1.0).labels(named).tolist() == ["S1", "S2", "S3"]


X = np.ones((11, 2)) + np.arange(11.0)[:, None]
REFUSED = {
    "TR": (lambda: nmm.BOLD(TR=0.0), "Argument `TR` must be a finite time > 0, in the model's unit of time, but got 0"),
    "NaN": (lambda: nmm.BOLD(TR=np.nan), "`TR` must be a finite time > 0"),
    "no TR": (lambda: nmm.BOLD(), "`TR` must be given to BOLD"),
    "set": (lambda: nmm.BOLD(TR=1.0, constants="friston"), '`constants` must be "friston2003" or "vbi" or "vbjax"'),
    "constant": (lambda: nmm.BOLD(TR=1.0, A=-1.0), "`A` must be > 0, but got -1"),
    "E0": (lambda: nmm.BOLD(TR=1.0, E0=1.0), "`E0` must be > 0 and < 1"),
    "start": (lambda: nmm.BOLD(TR=1.0, start="zero"), '`start` must be "rest" or "steady"'),
    "seconds": (lambda: nmm.BOLD(TR=1.0, seconds=0.0), "`seconds` must be a number > 0"),
    "window": (lambda: nmm.BOLD(TR=1.0, window=2.0), "`window` must be a time > 0 and ≤ TR = 1, or None, but got 2"),
    "channel": (lambda: nmm.Subsample(1.0, "r[3]"), "`channel` must name a channel of the model"),
    "kernel": (lambda: nmm.BOLDKernel(TR=1.0, tau_f=0.0), "`tau_f` must be > 0"),
    "period": (lambda: nmm.TemporalAverage(np.inf), "`period` must be a finite time > 0"),
    "gain axes": (lambda: nmm.EEG(np.ones(3), 1.0), r"`gain_matrix` must be a matrix of numbers \(sensors, regions\)"),
    "gain NaN": (
        lambda: nmm.EEG([[1.0, np.nan]], 1.0),
        r"`gain_matrix` must be finite, without NaN, but got nan at \[0, 1\]",
    ),
    "gain columns": (
        lambda: nmm.EEG(np.ones((4, 3)), 1.0).of(X, 1.0),
        r"`gain_matrix` must have one column per node, 2, but got a matrix of shape \(4, 3\)",
    ),
    "gain begin": (
        lambda: nmm.EEG(np.ones((4, 3)), 1.0).begin(jnp.zeros(2)),
        "`gain_matrix` must have one column per node, 2",
    ),
    "sensors": (lambda: nmm.EEG(np.ones((2, 3)), 1.0, sensors=["a"]), "`sensors` must be 2 distinct names"),
    "reference": (lambda: nmm.EEG(np.ones((2, 3)), 1.0, reference="Cz"), '`reference` must be None or "average"'),
    "monitor": (lambda: nmm.FunctionalConnectivity(3.0), "`monitor` must be a monitor"),
    "skip": (lambda: nmm.FunctionalConnectivity(nmm.Subsample(1.0), skip=-1.0), "`skip` must be a finite time ≥ 0"),
    "skip all": (
        lambda: nmm.FunctionalConnectivity(nmm.Subsample(1.0), skip=9.0).of(X),
        "`skip` must leave at least 3 of 11 samples to `FunctionalConnectivity`, but got 2",
    ),
    "width": (lambda: nmm.DynamicFC(nmm.Subsample(1.0), width=2.0), "`width` must be a time of at least 3 samples"),
    "step": (lambda: nmm.DynamicFC(nmm.Subsample(1.0), width=4.0, step=0.1), "`step` must be a time of at least 1 sample"),
    "output": (lambda: nmm.DynamicFC(nmm.Subsample(1.0), width=4.0, output="x"), '`output` must be "matrix" or "variance"'),
    "one window": (lambda: nmm.DynamicFC(nmm.Subsample(1.0), width=11.0).of(X), "`skip` must leave at least 15 of 11"),
    "segment": (lambda: nmm.Spectrum(nmm.Subsample(1.0), segment=2.0), "`segment` must be a time of at least 4 samples"),
    "short": (lambda: nmm.Spectrum(nmm.Subsample(1.0), segment=20.0).of(X), "`skip` must leave at least 20 of 11 samples"),
    "overlap": (lambda: nmm.Spectrum(nmm.Subsample(1.0), 5.0, overlap=1.0), "`overlap` must be a share ≥ 0 and < 1"),
    "sided": (lambda: nmm.Spectrum(nmm.Subsample(1.0), 5.0, sided="both"), '`sided` must be "two" or "one"'),
    "taper": (lambda: nmm.Spectrum(nmm.Subsample(1.0), 5.0, taper="dpss"), '`taper` must be "hann" or "none"'),
    "band": (
        lambda: nmm.Metastability(nmm.Subsample(1.0), band=(0.3, 0.6)),
        r"`band` must be two frequencies",
    ),
    "dt": (lambda: nmm.Subsample(1.0).of(X, 0.3), "`dt` must divide the period 1, but got 0.3"),
    "too short": (
        lambda: nmm.Subsample(20.0).of(X, 1.0),
        "have at least 21 values, one period, in time, but got 11",
    ),
    "gap": (lambda: nmm.Subsample(1.0).of([[1.0, np.nan]], 1.0), r"`series` must be finite: fill gaps, or leave them out"),
    "words": (lambda: nmm.Subsample(1.0).of([["a"]], 1.0), "`series` must be an array of numbers with one or two axes"),
    "labels": (lambda: nmm.Subsample(1.0).of(X, 1.0, labels=["a"]), "`labels` must be 2 names, one per series"),
    "select": (lambda: nmm.Subsample(1.0).of(X, 1.0).select(["z"]), "`regions` must be among 0, 1"),
    "other": (lambda: nmm.functional_connectivity(X).correlation(np.ones(3)), r"`other` must be a matrix of shape \(2, 2\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_in_one_sentence(name, unchecked):
    wrong, sentence = REFUSED[name]
    with pytest.raises(ValueError, match=sentence) as error:
        wrong()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_statistics_leave_out_the_transient_of_bold():
    """Of 60 s from rest correlations are near 1 with the transient, in which all regions rise together."""
    rates = 0.01 + 1e-3 * np.random.default_rng(0).normal(size=(6001, 2))
    bold = nmm.BOLD(TR=1000.0).of(rates, 10.0)
    whole = nmm.FunctionalConnectivity(nmm.BOLD(TR=1000.0), skip=0.0).of(bold)
    assert whole.values[0, 1] > 0.95 and abs(nmm.FunctionalConnectivity(nmm.BOLD(TR=1000.0)).of(bold).values[0, 1]) < 0.6
    assert nmm.FunctionalConnectivity(nmm.BOLD(TR=1000.0, start="steady")).skip == 0
    with pytest.raises(
        ValueError, match=r"by default it is the transient of the monitor, 30000: run longer, or say how much"
    ):
        nmm.FunctionalConnectivity(nmm.BOLD(TR=1000.0)).of(bold.values[:20])
