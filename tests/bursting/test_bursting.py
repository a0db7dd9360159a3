"""Spikes and bursts: published bursters, exact extrema whatever the saved times, patterns, cut runs, gradients."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from helpers import central_difference, rest_slow
from scipy.integrate import solve_ivp

import nmmjax as nmm
from nmmjax import MPR, GapJunction, Pulse, SpikeFrequencyAdaptation, SynapticDepression, find_bursts, find_spikes
from nmmjax.bursting.bursts import _natural_gap
from nmmjax.bursting.spikes import _prominent
from nmmjax.results import RESULTS

J, TIGHT = 15 * np.sqrt(2.0), {"rtol": 1e-12, "atol": 1e-14}
Y0 = {"r": 0.2, "v": -1.0}
# Two numbers of saved times only, so that tests share compiled code: 65, several spikes apart, and 2.
TS = np.linspace(0.0, 400.0, 65)


def depression(eta, tau=1.0, tau_A=10.0):
    return MPR(eta, J, 2.0, tau, adaptation=SynapticDepression(0.05, tau_A))


MODELS = {
    "depression": depression(-5.5),
    "bistable depression": depression(-4.6),
    "adaptation": MPR(1.3, J, 2.0, adaptation=SpikeFrequencyAdaptation(1.0, 10.0)),
}


@pytest.fixture(scope="module")
def runs():
    return {name: nmm.simulate(model, Y0, TS, **TIGHT) for name, model in MODELS.items()}


def after(run, t):
    """The state of a run at time `t`."""
    k = int(np.searchsorted(run.ts, t)) - 1
    return nmm.simulate(run.model, jax.tree.map(lambda leaf: leaf[k], run.ys), [float(run.ts[k]), t], **TIGHT).y_end


# --- published bursters -----------------------------------------------------------------------------------------------

# Period, spikes per burst (and with prominence 0), first peaks, extremes of r: nmmjax model notes §2 and SciPy's DOP853.
PUBLISHED = {
    "depression": (57.3603504, 7, 7, [2.37195, 1.96065, 1.71734, 1.54665, 1.41214, 1.29470, 1.18328], (0.1719, 2.3719)),
    "bistable depression": (39.1810112, 6, 6, [1.72522, 1.46637, 1.33340, 1.24616, 1.17615, 1.11194], (0.2206, 1.7252)),
    "adaptation": (47.3328217, 16, 17, [3.63946, 3.06193, 2.72387, 2.49507, 2.32874, 2.20209, 2.10212], None),
}
published = pytest.mark.parametrize("name", rest_slow(PUBLISHED, "depression", "bistable depression"))


@published
def test_published_bursters(runs, name):
    period, count, strict, peaks, extremes = PUBLISHED[name]
    bursts = find_bursts(runs[name])
    settled = bursts.isel(burst=slice(4, -1))
    assert bursts.pattern == "bursting" and bool(settled.complete.all())
    np.testing.assert_allclose(settled.period, period, rtol=1e-7)
    np.testing.assert_array_equal(settled.n_spikes, count)
    np.testing.assert_allclose(settled.peak[:, : len(peaks)], [peaks] * settled.sizes["burst"], atol=1e-5)
    np.testing.assert_allclose(settled.duration + settled.quiescence, period, rtol=1e-7)
    np.testing.assert_allclose(settled.frequency * settled.duration, count - 1, rtol=1e-12)
    np.testing.assert_allclose(settled.interval.sum("spike"), settled.duration, rtol=1e-12)
    np.testing.assert_array_equal(find_bursts(runs[name], prominence=0.0).n_spikes[4:-1], strict)
    if extremes is not None:
        np.testing.assert_allclose([settled.trough.min(), settled.peak.max()], extremes, atol=6e-5)


@pytest.mark.parametrize("eta", [-6.0, -4.0])
def test_neighbours_settle_at_rest(eta):
    bursts = find_bursts(nmm.simulate(depression(eta), Y0, TS, **TIGHT))
    assert bursts.pattern == "transient" and not bool(bursts.complete.any())


def plain(t, y):
    """The first burster, written once more."""
    r, v, A, B = y
    dv = v**2 - 5.5 + J * r * (1 - A) - (np.pi * r) ** 2
    return 2.0 / np.pi + 2 * r * v, dv, B / 10, (0.5 * r - 2 * B - A) / 10


def test_spikes_are_those_of_scipy(runs):
    """Times and states at ṙ = 0, and the crossing of the cusp rate, by SciPy's events."""
    run, start = runs["depression"], after(runs["depression"], 280.0)
    turn, cusp = (lambda t, y: plain(t, y)[0]), (lambda t, y: y[0] - 0.75**0.25 * np.sqrt(2.0) / np.pi)
    turn.direction, cusp.direction = -1.0, 1.0
    y0 = [float(getattr(start, name)) for name in ("r", "v", "A", "B")]
    found = solve_ivp(plain, (280.0, 340.0), y0, method="DOP853", rtol=1e-12, atol=1e-14, events=[turn, cusp])
    spikes, bursts = find_spikes(run), find_bursts(run)
    late = (spikes.time > 280) & (spikes.time < 340)
    assert late.sum() == 7
    np.testing.assert_allclose(spikes.time[late], found.t_events[0], atol=1e-8)
    states = np.stack([getattr(spikes.state, name)[late] for name in ("r", "v", "A", "B")], axis=1)
    np.testing.assert_allclose(states, found.y_events[0], atol=1e-8)
    burst = bursts.isel(burst=int(np.argmin(np.abs(bursts.start.values - float(spikes.time[late][0])))))
    onset = [float(burst[f"onset_{name}"]) for name in ("time", "v", "A", "B")]
    np.testing.assert_allclose(onset, [found.t_events[1][0], *found.y_events[1][0, 1:]], atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_saved_times_do_not_matter(runs, name):
    """Sixty times as many saved times, or only the first and last: the same bursts."""
    few = find_bursts(runs[name])
    many, two = (nmm.simulate(MODELS[name], Y0, ts, **TIGHT) for ts in (np.linspace(0.0, 400.0, 4001), TS[[0, -1]]))
    for run in (many, two):
        found = find_bursts(run)
        for variable in ("spike_time", "peak", "trough", "energy_peak", "A_peak", "B_trough", "onset_time", "period"):
            np.testing.assert_allclose(found[variable], few[variable], rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(found.n_spikes, few.n_spikes)
    if name == "depression":  # nmmjax model notes §2
        late = many.ys.A[many.ts > 250]
        np.testing.assert_allclose([late.min(), late.max()], [0.1315, 0.3561], atol=1e-4)


def test_extrema_are_exact(runs):
    """ṙ = 0 at peaks and troughs, where the energy is potential; troughs lie between peaks."""
    run = runs["adaptation"]
    spikes = find_spikes(run)
    for t, y, E in (
        (spikes.time, spikes.state, spikes.energy),
        (spikes.trough_time, spikes.trough_state, spikes.trough_energy),
    ):
        known = np.isfinite(t)
        np.testing.assert_allclose(run.model.vector_field(t, y).r[known], 0, atol=1e-10)
        np.testing.assert_allclose(E[known], nmm.potential_energy(run.model, y)[known], rtol=1e-12)
    assert np.all(spikes.trough_time[1:] < spikes.time[1:]) and np.all(spikes.trough_time[1:] > spikes.time[:-1])
    np.testing.assert_array_equal(spikes.peak, spikes.state.r)
    np.testing.assert_allclose(spikes.prominence[1:], np.log(spikes.peak / spikes.trough)[1:], rtol=1e-12)
    assert repr(spikes) == f"Spikes: {spikes.time.size}, t = 0.642718 to 392.802, peaks 1.6149 to 6.35677"


def test_time_constant_scales_the_burst(runs):
    """τ = 2, τ_A doubled: times double, rates halve, the slow variables and energies stay."""
    one = find_bursts(runs["depression"])
    slow = nmm.simulate(depression(-5.5, tau=2.0, tau_A=20.0), {"r": 0.1, "v": -1.0}, 2 * TS, **TIGHT)
    two = find_bursts(slow)
    for variable in ("spike_time", "trough_time", "period", "onset_time", "quiescence", "gap"):
        left, right = (each.attrs["gap"] if variable == "gap" else each[variable] for each in (one, two))
        np.testing.assert_allclose(right, 2 * left, rtol=1e-9)
    for variable, factor in {"peak": 0.5, "trough": 0.5, "frequency": 0.5, "A_peak": 1, "B_trough": 1, "onset_v": 1}.items():
        np.testing.assert_allclose(two[variable], factor * one[variable], rtol=1e-8)
    # V is fixed up to the constant that ln τ r leaves: here it is the same function of τ r.
    np.testing.assert_allclose(two.energy_peak, one.energy_peak, rtol=1e-8)
    assert two.attrs["cusp_rate"] == one.attrs["cusp_rate"] / 2


# --- patterns ---------------------------------------------------------------------------------------------------------

SLUGGISH, RESTING = MPR(-1.0, 0.0, 0.1), {"r": 0.0159, "v": -1.0}


def kicks(*times, width=0.8):
    """Kicks that evoke a spike each from rest; always six of them, some of no strength, so that all share compiled code."""
    strengths = [10.0] * len(times) + [0.0] * (6 - len(times))
    at = list(times) + [200.0 + 2 * k for k in range(6 - len(times))]
    total = Pulse(strengths[0], at[0], at[0] + width)
    for strength, t in zip(strengths[1:], at[1:], strict=True):
        total = total + Pulse(strength, t, t + width)
    return total


PATTERNS = {
    "rest": (MPR(), {"r": 0.0811, "v": -1.96}, 60.0, None, "rest", [], []),
    "relaxation": (MPR(), {"r": 4.3, "v": 0.0}, 60.0, None, "rest", [], []),
    "ringing down": (MPR(), {"r": 1.3, "v": 0.0}, 60.0, None, "transient", [11], [False]),
    "ringing": (MPR(2.0, 5.0, 0.05), {"r": 6.0, "v": 0.0}, 50.0, None, "tonic", [28], [False]),
    "limit cycle": (MPR(1.0, 0.0, 0.05, gap=GapJunction(0.2)), {"r": 1.0, "v": 0.0}, 60.0, None, "tonic", [19], [False]),
    "single spike": (SLUGGISH, RESTING, 140.0, kicks(20.0), "single spikes", [1], [False]),
    "two spikes": (SLUGGISH, RESTING, 140.0, kicks(20.0, 80.0), "single spikes", [2], [False]),
    "regular": (SLUGGISH, RESTING, 140.0, kicks(20.0, 50.0, 80.0, 110.0), "tonic", [4], [False]),
    "doublets": (SLUGGISH, RESTING, 140.0, kicks(20.0, 25.0, 60.0, 65.0, 100.0, 105.0), "bursting", [2] * 3, [True] * 3),
    "far doublets": (SLUGGISH, RESTING, 140.0, kicks(20.0, 32.0, 60.0, 72.0, 100.0, 112.0), "bursting", [2] * 3, [True] * 3),
    "one doublet": (SLUGGISH, RESTING, 140.0, kicks(60.0, 65.0), "bursting", [2], [True]),
    "mixed": (SLUGGISH, RESTING, 140.0, kicks(20.0, 25.0, 60.0, 100.0, 105.0, 110.0), "bursting", [2, 1, 3], [True] * 3),
    "cut doublet": (SLUGGISH, RESTING, 107.0, kicks(20.0, 25.0, 60.0, 65.0, 100.0, 105.0), "bursting", [2] * 3, [1, 1, 0]),
    "lifted": (MPR(), {"r": 0.08, "v": -1.96}, 60.0, kicks(20.0, width=3.0), "transient", [14], [False]),
}


@pytest.mark.parametrize("name", rest_slow(PATTERNS, "limit cycle", "regular", "mixed", "one doublet", "cut doublet"))
def test_patterns(name):
    model, y0, t1, stimulus, pattern, counts, complete = PATTERNS[name]
    bursts = find_bursts(nmm.simulate(model, y0, np.linspace(0.0, t1, 65), stimulus=stimulus, **TIGHT))
    assert bursts.pattern == pattern
    np.testing.assert_array_equal(bursts.n_spikes, counts)
    np.testing.assert_array_equal(bursts.complete, complete)
    assert set(bursts.sizes) == {"burst", "spike"} and bursts.sizes["spike"] == max(counts, default=0)
    assert bursts.spike_time.count() == sum(counts)


def test_a_gap_of_ones_own():
    run = nmm.simulate(SLUGGISH, RESTING, np.linspace(0.0, 140.0, 65), stimulus=kicks(20, 32, 60, 72, 100, 112), **TIGHT)
    for gap, counts, pattern in ((20.0, [2, 2, 2], "bursting"), (11.0, [1] * 6, "single spikes"), (50.0, [6], "tonic")):
        bursts = find_bursts(run, gap=gap)
        assert bursts.pattern == pattern and bursts.gap == gap
        np.testing.assert_array_equal(bursts.n_spikes, counts)
        assert bool(bursts.complete.all()) == (pattern == "bursting")


# Where the run starts, relative to a burst of the first burster (spikes from 0 to 7.4), its length; what is found.
CUTS = {
    "before and after": (-20.0, 50.0, "bursting", [7], [True]),
    "end within": (-20.0, 23.0, "tonic", [3], [False]),
    "start within": (2.0, 40.0, "transient", [5], [False]),
    "both within": (0.5, 5.0, "tonic", [4], [False]),
    "first and last within": (2.0, 60.0, "bursting", [5, 4], [False, False]),
    "silence": (10.0, 30.0, "rest", [], []),
    "end soon after": (-20.0, 30.0, "tonic", [7], [False]),
    "one spike": (-20.0, 20.5, "single spikes", [1], [False]),
    "start within, then whole": (2.0, 110.0, "bursting", [5, 7], [False, True]),
}


@pytest.mark.parametrize("case", CUTS.values(), ids=CUTS)
def test_cut_runs(runs, case):
    start, length, pattern, counts, complete = case
    spike = float(find_bursts(runs["depression"]).start[3])
    begin = round(spike + start, 1)
    run = nmm.simulate(
        MODELS["depression"], after(runs["depression"], begin - 1e-6), begin + np.linspace(0, length, 41), **TIGHT
    )
    bursts = find_bursts(run)
    assert bursts.pattern == pattern
    np.testing.assert_array_equal(bursts.n_spikes, counts)
    np.testing.assert_array_equal(bursts.complete, complete)
    if len(counts) > 0:
        assert np.isnan(bursts.period[-1]) and np.isnan(bursts.quiescence[-1])


def test_a_run_that_starts_on_the_rise_has_no_first_trough():
    run = nmm.simulate(SLUGGISH, {"r": 0.2, "v": 0.1}, np.linspace(0.0, 20.0, 65), **TIGHT)
    spikes = find_spikes(run)
    assert spikes.time.size == 1 and np.isnan(spikes.trough[0]) and np.isnan(spikes.trough_state.v[0])
    np.testing.assert_allclose(spikes.prominence, np.log(spikes.peak / 0.2), rtol=1e-12)


def test_failed_and_stopped_runs(runs):
    """Only what was reached counts, to the last step before the failure or to the event."""
    whole = find_spikes(runs["depression"])
    short = nmm.simulate(MODELS["depression"], Y0, TS, max_steps=4000, **TIGHT)
    assert short.result == RESULTS.max_steps_reached and short.t_end < 390
    event = diffrax.Event(lambda t, y, args, **kwargs: y.A - 0.3, optx.Newton(1e-10, 1e-10), direction=True)
    stopped = nmm.simulate(MODELS["depression"], Y0, TS[[0, -1]], event=event, **TIGHT)
    assert stopped.result == RESULTS.event_occurred
    for run in (short, stopped):
        spikes, seen = find_spikes(run), whole.time < run.t_end
        assert 0 < seen.sum() == spikes.time.size
        np.testing.assert_allclose(spikes.peak, whole.peak[seen], rtol=1e-9)
        assert bool((find_bursts(run).stop < run.t_end).all())
    nothing = nmm.simulate(MODELS["depression"], Y0, TS[[0, -1]], max_steps=1, **TIGHT)
    assert find_spikes(nothing).time.size == 0 and find_bursts(nothing).pattern == "rest"


def test_jumps_of_the_input():
    """Spikes evoked by kicks, from states saved on the jumps, near them or far from them, are those of the solution."""
    stimulus, ts = kicks(20, 25, 60.1, 100), np.linspace(0.0, 140.0, 65)
    dense = find_spikes(nmm.simulate(SLUGGISH, RESTING, ts, stimulus=stimulus, **TIGHT))
    assert dense.time.size == 4
    on = np.sort([0.0, *(t + d for t in (20, 25, 60.1, 100) for d in (0.0, 0.8))])
    for other in (ts[[0, -1]], np.append(on, np.linspace(140.5, 180.0, 65 - on.size))):
        found = find_spikes(nmm.simulate(SLUGGISH, RESTING, other, stimulus=stimulus, **TIGHT))
        for name in ("time", "peak", "trough", "energy"):
            np.testing.assert_allclose(getattr(found, name), getattr(dense, name), rtol=1e-8)
    for k in (0, 2):
        end = nmm.simulate(SLUGGISH, RESTING, [0.0, float(dense.time[k])], stimulus=stimulus, **TIGHT).y_end
        np.testing.assert_allclose([end.r, end.v], [dense.peak[k], dense.state.v[k]], rtol=1e-8, atol=1e-8)


# --- grouping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heights", "low", "prominence", "peaks", "troughs"),
    [
        ([0, 1, 0], [1, 0, 1], 0.1, [1], [0]),
        ([0, 1], [1, 0], 0.1, [], []),  # no fall was seen
        ([0, 1, 0.95, 1.2, 0], [1, 0, 1, 0, 1], 0.1, [3], [0]),  # a ripple on the rise
        ([0, 1.2, 1.15, 1.18, 0], [1, 0, 1, 0, 1], 0.1, [1], [0]),  # a ripple on the fall
        ([0, -1, 0, -2, 0.05, -2, 1, 0], [1, 1, 0, 1, 0, 1, 0, 1], 0.1, [2, 4, 6], [1, 3, 5]),
        ([0, 1, 0.5, 0.55, 0.2, 1, 0], [1, 0, 1, 0, 1, 0, 1], 0.1, [1, 5], [0, 4]),  # the lowest point before
        ([1, 0.9, 0.95, 0.94], [1, 1, 0, 1], 0.0, [2], [1]),
        ([], [], 0.1, [], []),
    ],
)
def test_prominence(heights, low, prominence, peaks, troughs):
    found = _prominent(np.array(heights, float), np.array(low, bool), prominence)
    np.testing.assert_array_equal(found[0], peaks)
    np.testing.assert_array_equal(found[1], troughs)


@pytest.mark.parametrize(
    ("intervals", "edges", "gap"),
    [
        ([], (5, 5), np.nan),
        ([1, 1.2, 1.5], (0.5, 1), np.nan),
        ([1, 1, 8, 1, 1], (1, 1), np.sqrt(8)),
        ([1, 2, 3, 20, 1, 2, 3, 25], (1, 10), np.sqrt(60)),
        ([1, 1, 1], (0, 30), np.sqrt(30)),
        ([5, 2, 2, 2], (0, 50), np.sqrt(250)),  # ringing down: the first interval is no silence
        ([1, 1, 5, 1, 1], (3, 100), np.sqrt(5)),  # two bursts, then rest
        ([40], (20, 50), np.nan),
        ([1], (20, 50), np.sqrt(50)),
        ([1], (0.5, 1.5), np.nan),
    ],
)
def test_natural_gap(intervals, edges, gap):
    np.testing.assert_allclose(_natural_gap(np.array(intervals, float), np.array(edges, float)), gap)


# --- the dataset ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["depression", "nothing", "plasticity"])
def test_dataset_is_labelled_and_survives_a_file(runs, name, tmp_path):
    import xarray as xr

    if name == "depression":
        run = runs[name]
    elif name == "nothing":
        run = nmm.simulate(MODELS["depression"], Y0, [0.0, 0.5])
    else:
        model = MPR(-1.0, 15.0, 0.25, plasticity=nmm.ShortTermPlasticity(200 / 15, 100.0, 0.2))
        run = nmm.simulate(model, {"r": 0.3, "v": 0.5}, np.linspace(0.0, 20.0, 65))
    data = find_bursts(run)
    assert all({"units", "long_name"} <= set(variable.attrs) for variable in data.variables.values())
    slow = run.model.slow_names
    assert {f"{each}_{where}" for each in slow for where in ("peak", "trough")} <= set(data)
    assert {f"onset_{each}" for each in ("time", "v", "energy", *slow)} <= set(data)
    np.testing.assert_array_equal(data.burst, np.arange(1, data.sizes["burst"] + 1))
    np.testing.assert_array_equal(data.spike, np.arange(1, data.sizes["spike"] + 1))
    assert data.attrs["eta"] == float(run.model.eta) and data.attrs["prominence"] == 1e-3
    assert data.n_spikes.dtype.kind == "i" and data.complete.dtype.kind == "b"
    data.to_netcdf(tmp_path / "bursts.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "bursts.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again.load(), data)


def test_onset_is_for_plain_populations():
    run = nmm.simulate(MPR(1.0, 0.0, 0.05, gap=GapJunction(0.2)), {"r": 1.0, "v": 0.0}, np.linspace(0.0, 60.0, 65), **TIGHT)
    bursts = find_bursts(run)
    assert bursts.sizes["burst"] == 1 and np.isnan(bursts.onset_time[0]) and np.isnan(bursts.attrs["cusp_rate"])


@pytest.mark.slow
def test_float32():
    """Stays float32, with the same spikes to its accuracy."""
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), MODELS["depression"])
    spikes = find_spikes(nmm.simulate(model, Y0, np.linspace(0.0, 20.0, 65)))
    assert {leaf.dtype for leaf in jax.tree.leaves(spikes)} == {jnp.dtype("float32")}
    exact = find_spikes(nmm.simulate(MODELS["depression"], Y0, [0.0, 20.0], **TIGHT))
    np.testing.assert_allclose(spikes.peak, exact.peak, rtol=1e-3)
    peaks = nmm.spike_peaks(model, Y0, 5.0, 3)
    assert {leaf.dtype for leaf in jax.tree.leaves(peaks)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(peaks.state.r, exact.peak[:3], rtol=1e-3)


# --- for fitting ------------------------------------------------------------------------------------------------------


def features(eta, count=4, t1=6.0, **options):
    found = nmm.spike_peaks(depression(eta), Y0, t1, count, **options)
    return jnp.stack([found.time[-1], found.state.r[-1], found.state.A[0], found.trough_state.r[1], found.trough_time[2]])


def test_spike_peaks_are_the_spikes():
    exact = find_spikes(nmm.simulate(MODELS["depression"], Y0, [0.0, 6.0], **TIGHT))
    found = nmm.spike_peaks(MODELS["depression"], Y0, 6.0, 6)
    assert exact.time.size == 5 and np.all(np.isnan(found.time[5:])) and np.isnan(found.state.B[5])
    np.testing.assert_allclose(found.time[:5], exact.time, rtol=1e-8)
    np.testing.assert_allclose(found.state.r[:5], exact.peak, rtol=1e-8)
    np.testing.assert_allclose(found.trough_state.r[:5], exact.trough, rtol=1e-8)
    np.testing.assert_allclose(found.trough_time[1:5], exact.trough_time[1:], rtol=1e-7)


@pytest.mark.slow
def test_spike_peaks_have_gradients():
    exact = {"rtol": 1e-12, "atol": 1e-14}
    numeric = central_difference(jax.jit(lambda eta: features(eta, **exact)), -5.5, 1e-3)
    reverse = jax.jit(jax.jacrev(lambda eta: features(eta, **exact)))
    np.testing.assert_allclose(reverse(-5.5), numeric, rtol=1e-6)


@pytest.mark.slow
def test_spike_peaks_under_other_transformations():
    """Forward mode against reverse mode; a batch against its lanes."""
    forward = jax.jit(lambda eta: features(eta, adjoint=diffrax.ForwardMode()))
    np.testing.assert_allclose(jax.jvp(forward, (-5.5,), (1.0,))[1], jax.jacrev(features)(-5.5), rtol=1e-6)
    batch = jax.vmap(features)(jnp.array([-5.5, -5.2]))
    np.testing.assert_allclose(batch, [features(-5.5), features(-5.2)], rtol=1e-9)


@pytest.mark.slow
def test_spike_peaks_under_input_from_a_rise():
    """Starting on the rise there is no first trough; at rest nothing counts; NaN after the last."""
    start, ts = {"r": 0.2, "v": 0.1}, np.linspace(0.0, 40.0, 65)
    found = nmm.spike_peaks(SLUGGISH, start, 40.0, 3, stimulus=kicks(20.0))
    spikes = find_spikes(nmm.simulate(SLUGGISH, start, ts, stimulus=kicks(20.0), **TIGHT))
    assert np.isnan(found.trough_time[0]) and np.isfinite(found.trough_time[1])
    np.testing.assert_allclose(found.time[:2], spikes.time, rtol=1e-8)
    np.testing.assert_allclose(found.state.r[:2], spikes.peak, rtol=1e-7)
    assert np.isnan(found.time[2]) and np.isnan(found.trough_state.r[2])


@pytest.mark.slow
def test_times_of_jumps_have_gradients():
    """An early end of the kick leaves the spike to the population: its time and height depend on when the kick began."""

    def second(t):
        found = nmm.spike_peaks(SLUGGISH, {"r": 0.2, "v": 0.1}, 40.0, 3, stimulus=Pulse(10.0, t, 20.4))
        return jnp.stack([found.time[1], found.state.r[1]])

    numeric = central_difference(jax.jit(second), 20.0, 1e-3)
    assert np.all(np.abs(numeric) > 0.1)
    np.testing.assert_allclose(jax.jacrev(second)(20.0), numeric, rtol=1e-6)


def test_soft_count(runs):
    """Tends to the number of spikes above the threshold; its gradient is that of central differences."""
    spikes = find_spikes(runs["depression"])
    model, start = MODELS["depression"], after(runs["depression"], 100.0)
    rates = nmm.simulate(model, start, np.linspace(100.0, 205.0, 2001), **TIGHT).ys.r
    above = int(((spikes.peak > 1.6) & (spikes.time > 100) & (spikes.time < 205)).sum())
    errors = [abs(float(nmm.soft_spike_count(rates, 1.6, sharpness)) - above) for sharpness in (5.0, 50.0, 500.0)]
    assert above == 6 and errors[2] < 1e-3 < errors[0]
    batch = nmm.soft_spike_count(jnp.stack([rates, rates]), 1.6, 500.0)
    np.testing.assert_allclose(batch, above, atol=1e-3)
    assert nmm.soft_spike_count(runs["depression"], 1.6) >= nmm.soft_spike_count(runs["depression"], 2.0)
    count = jax.jit(lambda scale: nmm.soft_spike_count(scale * rates, 1.6, 8.0))
    np.testing.assert_allclose(jax.grad(count)(1.0), central_difference(count, 1.0, 1e-4), rtol=1e-6)
    assert abs(jax.grad(count)(1.0)) > 0.1
    broken = rates.at[100:].set(jnp.nan)
    assert np.all(np.isfinite(jax.grad(nmm.soft_spike_count)(broken, 1.6)))


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: find_bursts(run, gap=-1.0), r"Argument `gap` must be None or a number > 0, but got -1\.0\."),
        (lambda run: find_bursts(run, gap=[1.0]), r"Argument `gap` must be None or a number > 0, but got \[1\.0\]\."),
        (lambda run: find_bursts(run, gap="wide"), r"Argument `gap` must be None or a number > 0, but got 'wide'\."),
        (lambda run: find_spikes(run, prominence=-0.1), r"Argument `prominence` must be a number ≥ 0, but got -0\.1\."),
        (lambda run: find_spikes(run, prominence=np.nan), r"Argument `prominence` must be a number ≥ 0, but got nan\."),
        (
            lambda run: find_bursts(run.ys),
            r"Argument `run` must be a run of one population such as an `MPR`, but got 'State'\.",
        ),
        (
            lambda run: find_bursts(nmm.simulate(nmm.mechanics.RescaledTime(MPR()), {"r": 0.5, "v": 0.0}, [0.0, 0.1])),
            r"Argument `run` must have an exactly solvable part \(`AbstractRiccati`\), as `MPR` has, but got R.*\.",
        ),
        (
            lambda run: find_spikes(jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), run)),
            r"Argument `run` must be a single run to find its spikes, but got a batch of shape \(2,\)\.",
        ),
        (
            lambda run: jax.jit(lambda run: find_spikes(run).time)(run),
            r"Argument `run` must be computed to find its spikes \(inside .* use `spike_peaks`\), but got 'Traj(.|\n)*",
        ),
        (lambda run: nmm.spike_peaks(run.model, Y0, 5.0, 0), r"Argument `count` must be an integer ≥ 1, but got 0\."),
        (
            lambda run: nmm.spike_peaks(run, Y0, 5.0, 2),
            r"Argument `model` must have an exactly solvable part \(`AbstractRiccati`\), as `MPR` has, but got .*\.",
        ),
        (lambda run: nmm.spike_peaks(run.model, Y0, 0.0, 2), r"Argument `t1` must be later than `t0` \(0\), but got 0\."),
        (lambda run: nmm.soft_spike_count(run, 0.0), r"Argument `threshold` must be > 0, but got 0\."),
        (lambda run: nmm.soft_spike_count(1.0, 1.0), r"Argument `rates` must be a run or an array of .*, but got 1\.0\."),
    ],
)
def test_bad_input_is_answered_in_one_sentence(runs, unchecked, call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call(runs["depression"])
