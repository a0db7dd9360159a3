"""Bursts from energy: half cycles against simulated turning points, whole cycles against runs, gradients, limits."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import rest_slow

import nmmjax as nmm
from nmmjax import MPR, ShortTermPlasticity, SpikeFrequencyAdaptation, State, SynapticDepression
from nmmjax.bursting.collocation import path
from nmmjax.bursting.moving import Moving
from nmmjax.bursting.slow_flow import _response, reduced_speed
from nmmjax.results import RESULTS

J = 15 * np.sqrt(2.0)
SETS = {  # model, period, spikes per burst (by simulation at rtol 1e-11)
    "depression -5.5": (MPR(-5.5, J, 2.0, adaptation=SynapticDepression(0.05, 10.0)), 57.36035, 7),
    "depression -4.6": (MPR(-4.6, J, 2.0, adaptation=SynapticDepression(0.05, 10.0)), 39.18101, 6),
    "adaptation 1.3": (MPR(1.3, J, 2.0, adaptation=SpikeFrequencyAdaptation(1.0, 10.0)), 47.33282, 16),
}
PEAKS = {  # simulated
    "depression -5.5": [2.37195, 1.96065, 1.71734, 1.54665, 1.41214, 1.29470, 1.18328],
    "depression -4.6": [1.72522, 1.46637, 1.33340, 1.24616, 1.17615, 1.11194],
    "adaptation 1.3": [
        *(3.63946, 3.06193, 2.72387, 2.49507, 2.32871, 2.20209, 2.10212, 2.02071),
        *(1.95236, 1.89325, 1.84056, 1.79219, 1.74655, 1.70239, 1.65874, 1.61490),
    ],
}
sets = pytest.mark.parametrize("name", rest_slow(SETS, "depression -5.5"))


@functools.cache
def found(name):
    """Bursts of a set after the transient, and the prediction beside them."""
    model, period, _ = SETS[name]
    run = nmm.simulate(model, {"r": 0.2, "v": -1.0}, jnp.linspace(0.0, 4.5 * period, 6001), rtol=1e-10, atol=1e-12)
    bursts = nmm.find_bursts(run)
    return bursts, nmm.predict_burst(model, bursts)


# --- pieces -----------------------------------------------------------------------------------------------------------


def test_integrals_along_a_path():
    """∫ f dθ and ∫ f sin θ dθ from midpoints are exact for short cosine series, at every node and at the end."""
    on = path(8, jnp.float64)
    theta = (np.arange(8) + 0.5) * np.pi / 8
    np.testing.assert_allclose(on.upto(jnp.asarray(np.cos(3 * theta))), np.sin(3 * theta) / 3, atol=1e-13)
    np.testing.assert_allclose(on.total(jnp.ones(8)), np.pi, rtol=1e-14)
    square = np.cos(theta) ** 2
    np.testing.assert_allclose(on.upto_sin(jnp.asarray(square)), (1 - np.cos(theta) ** 3) / 3, atol=1e-13)
    np.testing.assert_allclose(on.total_sin(jnp.asarray(square)), 2 / 3, atol=1e-13)


@sets
def test_force_and_drift(name):
    """F = q̈ at rest by the model's own vector field, −∂F/∂q its stiffness, and Σ(∂F/∂s) ṡ its change by the slow rates."""
    land = Moving(SETS[name][0], jnp.asarray(0.3))
    q, s = jnp.asarray(1.4), {"A": jnp.asarray(0.4), "B": jnp.asarray(-0.1)}
    model = land.model
    v = -model.Delta * q**2 / (4 * jnp.pi)  # where dr/dt = 0
    flow = model.vector_field(jnp.zeros(()), State(r=2 / q**2, v=v, **s))
    np.testing.assert_allclose(land.force(q, s), -q * (flow.v + 0.3), rtol=1e-13)
    step = 1e-5
    np.testing.assert_allclose(
        land.stiffness(q, s), -(land.force(q + step, s) - land.force(q - step, s)) / (2 * step), rtol=1e-8
    )
    rates = land.rates(q, s)
    ahead = {name: s[name] + step * rates[name] for name in s}
    behind = {name: s[name] - step * rates[name] for name in s}
    np.testing.assert_allclose(land.drift(q, s), (land.force(q, ahead) - land.force(q, behind)) / (2 * step), rtol=1e-8)


def test_reduced_flow_passes_folds_and_node_to_focus_continuously():
    """Speed and exponent on both sides of the folds (k = 0) and of the node–focus point (Γ² = 4k) agree."""
    land = Moving(SETS["depression -5.5"][0], jnp.asarray(0.0))
    s = {"A": jnp.asarray(0.25), "B": jnp.asarray(0.02)}
    at = jax.jit(jax.vmap(lambda q: reduced_speed(land, q, s)))
    q = jnp.linspace(0.9, 4.0, 4001)
    speed, exponent = at(q)
    assert np.all(np.isfinite(speed)) and (exponent > 0).any() and (exponent < 0).any()
    stiffness = np.asarray(jax.vmap(lambda q: land.stiffness(q, s))(q))
    turns = [stiffness, np.asarray(land.damping(q)) ** 2 - 4 * stiffness]
    places = [(k, i) for k, each in enumerate(turns) for i in np.flatnonzero(each[:-1] * each[1:] < 0)]
    assert len(places) == 3
    for k, i in places:

        def turn(q, k=k):
            stiff = land.stiffness(q, s)
            return stiff if k == 0 else land.damping(q) ** 2 - 4 * stiff

        low, high = q[i], q[i + 1]
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if turn(middle) * turn(low) > 0 else (low, middle)
        below, above = at(jnp.stack([low - 1e-12, high + 1e-12]))
        np.testing.assert_allclose(below[0], below[1], atol=2e-4)
        np.testing.assert_allclose(above[0], above[1], atol=2e-4)


def test_damped_response_is_smooth_through_critical_damping():
    """G solves G″ + Γ G′ + k G = 0, G(0) = 0, G′(0) = 1: against closed forms, and across Γ² = 4k."""
    rate, t = jnp.asarray(0.7), jnp.asarray(1.3)
    for square in (4.0, 1e-3, -1e-3, -9.0):
        root = np.sqrt(complex(square))
        closed = (np.exp(-0.7 * 1.3) * np.sinh(root * 1.3) / root).real
        G, slope = _response(rate, jnp.asarray(square), t)
        np.testing.assert_allclose(G, closed, rtol=1e-9)
        _, derivative = jax.jvp(lambda t, z=square: _response(rate, jnp.asarray(z), t)[0], (t,), (jnp.ones(()),))
        np.testing.assert_allclose(slope, derivative, rtol=1e-8)
    both = jax.vmap(lambda z: jnp.stack(_response(rate, z, t)))(jnp.asarray([-5.92e-3, -5.91e-3, 5.91e-3, 5.92e-3]))
    assert np.abs(np.diff(both, axis=0)).max() < 5e-3  # |z t²| = 0.01 lies between, where forms change


# --- (i), (ii), (iii) against simulation ------------------------------------------------------------------------------


@sets
def test_each_peak_from_its_trough(name):
    """(i): the median error of a spike, and that of the first spike from the state at the burst's onset."""
    bursts, predicted = found(name)
    error = np.abs(predicted["error_from_trough"].values[1:-1])
    np.testing.assert_allclose(bursts.peak.values[-2, : len(PEAKS[name])], PEAKS[name], rtol=1e-4)
    assert np.isfinite(error).sum() >= 2 * SETS[name][2]
    assert np.nanmedian(error) < 1e-5 and np.nanmax(error) < 1e-4
    undamped = np.abs(predicted["error_undamped"].values[1:-1])
    assert 0.015 < np.nanmedian(undamped) < 0.06 and np.all(undamped[:, 0] > 0.2)


@sets
def test_all_peaks_from_the_first(name):
    """(ii): every later peak, its time, and where the burst ends."""
    bursts, predicted = found(name)
    error = np.abs(predicted["error_from_first"].values[1:-1])
    assert np.nanmedian(error) < 1e-4 and np.nanmax(error) < 3e-4
    np.testing.assert_array_equal(
        np.isfinite(predicted["peak_from_first"].values[1:-1]), np.isfinite(bursts.peak.values[1:-1])
    )
    time = bursts.spike_time.values - bursts.spike_time.values[:, :1]
    np.testing.assert_allclose(predicted["time_from_first"].values[1:-1], time[1:-1], atol=5e-3)
    loss = predicted["loss_fraction"].values[1, 1:-1]
    assert np.all(loss[np.isfinite(loss)] > 0.3)
    estimate = predicted["error_estimate"].values[1:-1]
    assert np.nanmax(estimate) < 1e-4


@sets
def test_whole_cycle_from_parameters(name):
    """(iii): period, exact number of spikes, duration and envelope without any run."""
    model, period, count = SETS[name]
    bursts, predicted = found(name)
    cycle = nmm.burst_cycle(model)
    assert cycle.result == RESULTS.successful and int(cycle.n_spikes) == count
    np.testing.assert_allclose(cycle.period, period, rtol=5e-3)
    np.testing.assert_allclose(cycle.duration, bursts.duration.values[2], rtol=5e-3)
    np.testing.assert_allclose(cycle.spikes.peak[:count], PEAKS[name], rtol=3e-3)
    np.testing.assert_allclose(predicted["peak_from_cycle"].values[2, :count], cycle.spikes.peak[:count])
    assert cycle.shift < 5e-3 and cycle.slowness > 3
    assert f"{count} spikes" in repr(cycle)


@pytest.mark.parametrize(("name", "r_min"), [("depression -5.5", 0.1719), ("depression -4.6", 0.2206)])
def test_lowest_rate_between_bursts(name, r_min):
    np.testing.assert_allclose(nmm.burst_cycle(SETS[name][0]).r_min, r_min, rtol=0.02)


@functools.cache
def cycles_of_eight():
    """Period, number of spikes and success at eight η of depression, compiled once."""

    def cycle(eta):
        found = nmm.burst_cycle(MPR(eta, J, 2.0, adaptation=SynapticDepression(0.05, 10.0)), max_spikes=16)
        return found.period, found.n_spikes, found.result == RESULTS.successful

    return jax.jit(jax.vmap(cycle))


@pytest.mark.slow
def test_range_of_bursting():
    """η from rest below to rest above, all at once: bursting exactly where simulations burst (−5.69 < η < −4.525)."""
    eta = jnp.asarray([-6.0, -5.75, -5.66, -5.2, -4.8, -4.55, -4.4, -4.0])
    period, count, good = cycles_of_eight()(eta)
    np.testing.assert_array_equal(good, [False, False, True, True, True, True, False, False])
    np.testing.assert_array_equal(np.isnan(period), ~good)
    # Simulated periods and counts at η = −5.66, −5.2, −4.8, −4.55.
    np.testing.assert_allclose(period[2:6], [76.57, 46.40, 40.05, 39.58], rtol=7e-3)
    np.testing.assert_array_equal(count[2:6], [7, 6, 6, 5])


@pytest.mark.slow
def test_cycles_where_a_turn_vanishes():
    """Around η = −5.1365 and −5.157 the ringing loses its last, hardly visible turn; period and count go on smoothly."""
    eta = jnp.asarray([-5.158, -5.15702563, -5.1372, -5.1365, -5.13644, -5.136383, -5.13634, -5.136])
    period, count, good = cycles_of_eight()(eta)
    assert np.all(good)
    np.testing.assert_array_equal(count, 6)
    np.testing.assert_allclose(period[5], 44.97, rtol=2e-3)  # simulated
    np.testing.assert_allclose(np.diff(period) / np.diff(eta), -22.0, atol=6.0)


@pytest.mark.slow
@pytest.mark.parametrize("cls", [SynapticDepression, SpikeFrequencyAdaptation])
def test_exponential_kernel_and_time_constant(cls):
    """Other kernels and τ ≠ 1: against a run."""
    alpha, eta, tau = (0.05, -5.4, 10.0) if cls is SynapticDepression else (1.0, -1.5, 10.0)
    unit = MPR(eta, J, 2.0, adaptation=cls(alpha, tau, "exponential"))
    slow = MPR(eta, J, 2.0, tau=2.0, adaptation=cls(alpha, 2.0 * tau, "exponential"))
    cycle, slower = nmm.burst_cycle(unit), nmm.burst_cycle(slow)
    np.testing.assert_allclose([slower.period, slower.duration], [2 * cycle.period, 2 * cycle.duration], rtol=1e-12)
    np.testing.assert_allclose(slower.spikes.peak, cycle.spikes.peak / 2, rtol=1e-12)
    run = nmm.simulate(unit, {"r": 0.2, "v": -1.0}, jnp.linspace(0.0, 4 * float(cycle.period), 3001), rtol=1e-9, atol=1e-11)
    bursts = nmm.find_bursts(run)
    np.testing.assert_allclose(cycle.period, bursts.period.values[-2], rtol=0.02)
    assert int(cycle.n_spikes) == int(bursts.n_spikes.values[-2])


@pytest.mark.slow
def test_single_steps_and_plasticity():
    """`predict_next_peak` and `predict_spikes` from states, for short-term plasticity too (a decaying ring-down)."""
    bursts, _ = found("depression -5.5")
    model = SETS["depression -5.5"][0]
    at = {name: float(bursts[f"{name}_trough"].values[2, 3]) for name in ("A", "B")}
    r = float(bursts.trough.values[2, 3])
    one = nmm.predict_next_peak(model, {"r": r, "v": -2.0 / (2 * np.pi * r), **at})
    np.testing.assert_allclose(one.peak[0], bursts.peak.values[2, 3], rtol=1e-4)
    np.testing.assert_allclose(one.slow["A"][0], bursts.A_peak.values[2, 3], rtol=1e-4)
    np.testing.assert_allclose(one.trough[0], r)

    plastic = MPR(1.0, 25.0, 0.25, plasticity=ShortTermPlasticity(13.0, 100.0, 0.2))
    run = nmm.simulate(plastic, {"r": 0.02, "v": -0.5}, jnp.linspace(0.0, 12.0, 2401), rtol=1e-10, atol=1e-12)
    spikes = nmm.find_spikes(run)
    start = State(r=spikes.peak[0], v=0 * spikes.peak[0], x=spikes.state.x[0], u=spikes.state.u[0])
    later = nmm.predict_spikes(plastic, start, 6)
    np.testing.assert_allclose(later.peak[:5], spikes.peak[:5], rtol=2e-3)


# --- derivatives, batches, precision ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_derivatives_of_a_cycle():
    """Forward mode agrees with differences of the prediction, and with those of simulations where these are known."""

    def of(p):
        cycle = nmm.burst_cycle(MPR(p[0], p[1], p[2], adaptation=SynapticDepression(p[3], p[4])), max_spikes=10)
        return jnp.stack([cycle.period, cycle.spikes.peak[0], cycle.spikes.peak[4]])

    p = jnp.asarray([-5.5, J, 2.0, 0.05, 10.0])
    slopes = jax.jit(jax.jacfwd(of))(p)
    compiled = jax.jit(of)
    for k, step in enumerate((1e-4, 1e-4, 1e-5, 1e-6, 1e-4)):
        difference = (compiled(p.at[k].add(step)) - compiled(p.at[k].add(-step))) / (2 * step)
        np.testing.assert_allclose(slopes[:, k], difference, rtol=2e-4, atol=1e-6)
    # dT/dη, dT/dJ, dT/dΔ, dT/dα, dT/dτ by differences of simulations
    np.testing.assert_allclose(slopes[0], [-59.1, -12.32, -93.9, 446.6, 7.07], rtol=0.02)


@pytest.mark.slow
def test_reverse_mode_agrees_with_forward_mode():
    def period(eta):
        model = MPR(eta, J, 2.0, adaptation=SynapticDepression(0.05, 10.0))
        return nmm.burst_cycle(model, max_spikes=8).period

    np.testing.assert_allclose(jax.grad(period)(-5.2), jax.jacfwd(period)(-5.2), rtol=1e-9)

    def peak(r):
        return nmm.predict_spikes(SETS["depression -4.6"][0], {"r": r, "v": 0.0, "A": 0.27, "B": 0.17}, 4).peak[3]

    np.testing.assert_allclose(jax.grad(peak)(1.7), jax.jacfwd(peak)(1.7), rtol=1e-9)


@pytest.mark.slow
def test_derivative_of_a_sequence():
    model, start = SETS["depression -4.6"][0], {"r": 1.72522, "v": 0.0, "A": 0.27, "B": 0.17}

    def last(eta):
        changed = MPR(eta, model.J, model.Delta, adaptation=model.adaptation)
        return nmm.predict_spikes(changed, start, 4).peak[3]

    step = 1e-5
    np.testing.assert_allclose(jax.jacfwd(last)(-4.6), (last(-4.6 + step) - last(-4.6 - step)) / (2 * step), rtol=1e-6)


@pytest.mark.slow
def test_float32():
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), SETS["depression -5.5"][0])
    cycle = nmm.burst_cycle(model, max_spikes=12)
    assert cycle.period.dtype == jnp.float32 and cycle.spikes.peak.dtype == jnp.float32
    np.testing.assert_allclose(cycle.period, 57.37, rtol=2e-3)


# --- limits and doors -------------------------------------------------------------------------------------------------


def test_rest_is_no_cycle():
    cycle = nmm.burst_cycle(MPR(-6.0, J, 2.0, adaptation=SynapticDepression(0.05, 10.0)))
    assert cycle.result == RESULTS.no_burst and np.isnan(cycle.period) and int(cycle.n_spikes) == 0
    assert repr(cycle).startswith("BurstCycle: No burst cycle was found")


def test_adaptation_that_is_not_slow_is_warned_of():
    """The warning names the ratio of the time constant to the period of the fast oscillation."""
    with pytest.warns(UserWarning, match=r"slow time constant is 1\.\d+ periods of the fast oscillation"):
        nmm.burst_cycle(MPR(-5.5, J, 2.0, adaptation=SynapticDepression(0.25, 2.0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nmm.burst_cycle(SETS["depression -5.5"][0])


def test_no_bursts_give_an_empty_prediction():
    model = MPR(-6.0, J, 2.0, adaptation=SynapticDepression(0.05, 10.0))
    run = nmm.simulate(model, {"r": 0.196635, "v": -1.6188, "A": 0.0983175}, jnp.linspace(0.0, 20.0, 201))
    bursts = nmm.find_bursts(run)
    predicted = nmm.predict_burst(model, bursts)
    assert predicted.sizes["burst"] == 0 and "peak_from_trough" in predicted and np.isnan(predicted["period_from_cycle"])


BURSTER = SETS["depression -5.5"][0]
BAD = [
    (lambda: nmm.burst_cycle(MPR()), r"Argument `model` must have adaptation, depression or plasticity"),
    (
        lambda: nmm.burst_cycle(MPR(gap=nmm.GapJunction(0.1), adaptation=SynapticDepression(0.05, 10.0))),
        r"Argument `model` must be without gap junctions and conductances",
    ),
    (lambda: nmm.burst_cycle(MPR(Delta=0.0, adaptation=SynapticDepression(0.05, 10.0))), r"Argument `Delta` must be > 0"),
    (lambda: nmm.burst_cycle(BURSTER, max_spikes=1), r"Argument `max_spikes` must be an integer ≥ 2, but got 1"),
    (lambda: nmm.predict_spikes(BURSTER, {"r": 2.0, "v": 0.0}, 4), r"Argument `y` must have the key `A`"),
    (
        lambda: nmm.predict_spikes(BURSTER, {"r": 2.0, "v": 0.0, "A": 0.1, "B": 0.0}, 0),
        r"Argument `count` must be an integer",
    ),
    (lambda: nmm.predict_burst(BURSTER, {"peak": 1}), r"Argument `bursts` must be the result of `find_bursts`"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
