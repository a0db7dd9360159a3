"""Runs in a known number of steps: networks in lockstep, one population with noise, neurons."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_key, require
from .._parameter import as_number
from .._results import RESULTS
from .._types import Values, if_known, is_concrete
from ..models.noise import OrnsteinUhlenbeck, Resonators
from ..models.stimulus import AbstractStimulus
from ..numerics.compiling import jitted
from .clock import Clock, jump_times
from .mobius import MobiusSplitting
from .network_run import run_network
from .noisy import check_noise, default_step, largest_input, meter_of, schedule, solve_noisy
from .outcomes import check_positive, outcome_of, short, since_start, unknown_span, within
from .spiking import Intervals, NeuronSpikes, check_individual, equal_steps, neuron_step_of, placed, run_neurons
from .steppers import check_splitting
from .trajectory import Trajectory

_LONGER = 2.5  # steps of order 4, in steps of order 2


def simulate_lockstep(
    model: Any,
    noise: Any,
    key: Any,
    y0: Any,
    before: Any,
    clock: Clock,
    known: Any,
    stimulus: AbstractStimulus | None,
    solver: Any,
    dt0: Any,
    monitors: Any,
    past: Any,
    progress: bool,
) -> Trajectory:
    """A run in steps that all nodes share: networks with noise or delays, monitors, and splittings with `dt0`."""
    order = check_splitting(model, noise, solver)
    if noise is None:
        require("key", type(key).__name__, "be given together with `noise`", key is None)
    noise, key, x0 = _noise_from(model, noise, key, y0, before)
    shifted, ts = if_known(since_start, stimulus, model, clock), clock.elapsed
    if dt0 is None:
        step = if_known(_step_by_default, model, noise, y0, shifted, ts, order)
    else:
        check_positive("dt0", dt0)
        number = as_number("dt0", dt0, "(0, inf)")
        step = dt0 if isinstance(dt0, (int, float)) else number.astype(ts.dtype)
    began = time.perf_counter()
    jumps = np.zeros(0) if shifted is None else if_known(jump_times, shifted)
    if past is None and before is not None:
        past = before.history
    start = 0.0 if known is None else float(known[0])
    meter = meter_of(progress)
    since = None if known is None else known - known[0]
    given = (ts, since, start, jumps, step, order, monitors, past, meter)
    ran = run_network(model, noise, key, y0, x0, shifted, *given)
    saved, end = ran.ys, jax.tree.map(lambda leaf: leaf[-1], ran.ys)
    result = outcome_of(RESULTS.successful, saved, jnp.ones(ts.shape, bool), end, model.positive)
    saved, end, result = within(unknown_span(stimulus, shifted, model, clock), ts, ts[-1], saved, end, result)
    path = ran.fluctuation if isinstance(noise, OrnsteinUhlenbeck | Resonators) else None
    more = {"noise": noise, "fluctuation": path, "monitors": ran.monitors, "history": ran.history}
    return _in_fixed_steps(model, stimulus, clock, saved, end, result, ran.steps, began, ran.method, **more)


def _step_by_default(model: Any, noise: Any, y0: Any, stimulus: AbstractStimulus | None, ts: Values, order: int) -> Values:
    step = default_step(model, noise, y0, largest_input(stimulus, ts), order)
    return (step if noise is not None or order == 2 else _LONGER * step).astype(ts.dtype)


def _noise_from(model: Any, noise: Any, key: Any, y0: Any, before: Any) -> tuple[Any, Any, Any]:
    """(noise as it is drawn, its key, coloured noise's first value if the run goes on from another)."""
    if noise is None:
        return None, None, None
    noise = noise.drawn(model, y0, None if before is None else before.noise)
    key = check_noise(model, noise, key)
    goes_on = before is not None and (isinstance(noise, OrnsteinUhlenbeck) or noise is before.noise)
    x0 = before.fluctuation_end if before is not None and goes_on else None
    if x0 is not None:
        fits = isinstance(noise, Resonators) or x0.shape == y0.v.shape
        require("y0", f"{x0.shape}", f"be a run with noise of shape {y0.v.shape}", fits)
        x0 = x0.astype(y0.v.dtype)
    return noise, key, x0


def simulate_noisy(
    model: Any,
    noise: Any,
    key: Any,
    y0: Any,
    before: Any,
    clock: Clock,
    stimulus: AbstractStimulus | None,
    solver: object,
    dt0: Any,
    progress: bool,
) -> Trajectory:
    """A run of one population under noise, which may be part of a larger program."""
    fits = solver is None or (isinstance(solver, MobiusSplitting) and solver.mobius_order == 2)
    require("solver", solver, "be None or `MobiusSplitting(2)` with noise", fits)
    noise, key, x0 = _noise_from(model, noise, key, y0, before)
    shifted, ts = since_start(stimulus, model, clock), clock.elapsed
    if dt0 is None:
        step = default_step(model, noise, y0, largest_input(shifted, ts)).astype(ts.dtype)
    else:
        step = as_number("dt0", dt0, "(0, inf)").astype(ts.dtype)
    began = time.perf_counter()
    jumps = jnp.zeros(0, ts.dtype) if shifted is None else jump_times(shifted).astype(ts.dtype)
    times, places, counts = schedule(ts, jumps, step)
    every, fluctuation = solve_noisy(model, noise, shifted, y0, x0, times, counts, key, meter_of(progress))
    saved, path = jax.tree.map(lambda leaf: leaf[places], (every, fluctuation))
    end = jax.tree.map(lambda leaf: leaf[-1], saved)
    result = outcome_of(RESULTS.successful, saved, jnp.ones(ts.shape, bool), end, model.positive)
    saved, end, result = within(unknown_span(stimulus, shifted, model, clock), ts, ts[-1], saved, end, result)
    total = jnp.asarray(counts * (times.shape[0] - 1) if isinstance(counts, int) else counts.sum())
    method = f"MobiusSplitting(2) with noise, steps of at most {short(step)}"
    path = path if isinstance(noise, OrnsteinUhlenbeck | Resonators) else None
    return _in_fixed_steps(model, stimulus, clock, saved, end, result, total, began, method, noise=noise, fluctuation=path)


def simulate_neurons(
    network: Any,
    noise: Any,
    key: Any,
    y0: Any,
    before: Any,
    clock: Clock,
    stimulus: AbstractStimulus | None,
    dt0: Any,
    progress: bool,
) -> Trajectory:
    """A run of a network of neurons by its exact steps."""
    if noise is None:
        require("key", type(key).__name__, "be given together with `noise` (`QIFNetwork` takes one of its own)", key is None)
    else:
        check_individual(network, noise)
        key = as_key(key, purpose=" if there is noise")
    shifted, ts = since_start(stimulus, network.model, clock), clock.elapsed
    step = neuron_step_of(network, y0, largest_input(shifted, ts), dt0).astype(ts.dtype)
    began = time.perf_counter()
    jumps = jnp.zeros(0, ts.dtype) if shifted is None else jump_times(shifted).astype(ts.dtype)
    times, places, counts = schedule(ts, jumps, step)
    counts = jnp.broadcast_to(jnp.asarray(counts), (times.shape[0] - 1,))
    V, own, shape = None, None, (*network.shape, network.count)
    if before is not None and before.neurons is not None:
        V, own = jax.tree.map(lambda each: each.astype(ts.dtype), (before.neurons.voltages, before.neurons.slow))
        require("y0", V.shape, f"be a run of as many neurons, {shape}", V.shape == shape)
    lengths = equal_steps(times, counts, ts.dtype)
    drawn, meter = placed(network, ts.dtype), meter_of(progress)
    uniform = is_concrete(lengths) and np.unique(np.asarray(lengths)[np.asarray(counts) > 0]).size <= 1
    steps = Intervals(times, counts, lengths, places, uniform)
    saved, end, n, raster, V, own = run_neurons(network.model, drawn, y0, V, own, shifted, noise, key, steps, meter)
    result = _finite_outcome(saved)
    saved, end, result = within(unknown_span(stimulus, shifted, network, clock), ts, ts[-1], saved, end, result)
    method, kept = f"exact steps of {network.count} neurons, of at most {short(step)}", (n, raster, drawn.watched, V, own)
    more = {"noise": noise, "neurons": NeuronSpikes(*kept)}
    return _in_fixed_steps(network, stimulus, clock, saved, end, result, jnp.sum(counts), began, method, **more)


@jitted
def _finite_outcome(saved: Any) -> Any:
    return outcome_of(
        RESULTS.successful, saved, jnp.ones(saved.r.shape[:1], bool), jax.tree.map(lambda leaf: leaf[-1], saved), ()
    )


def _in_fixed_steps(
    model: Any,
    stimulus: AbstractStimulus | None,
    clock: Clock,
    saved: Any,
    end: Any,
    result: Any,
    steps: Any,
    began: float,
    method: str,
    **more: Any,
) -> Trajectory:
    """The run of a method that takes a known number of `steps`; `began` by the clock of the machine."""
    traced = not all(is_concrete(leaf) for leaf in jax.tree.leaves((saved, clock.ts)))
    if not traced:
        jax.block_until_ready(saved)
    return Trajectory(
        model=model,
        stimulus=stimulus,
        ts=clock.ts,
        ys=saved,
        result=result,
        t_end=clock.ts[-1],
        y_end=end,
        stats={"num_steps": steps, "num_accepted_steps": steps, "num_rejected_steps": jnp.zeros_like(steps)},
        wall_time=jnp.asarray(np.nan if traced else time.perf_counter() - began, clock.elapsed.dtype),
        interpolation=None,
        event_mask=None,
        method=method,
        elapsed=clock.elapsed,
        start=clock.start,
        **more,
    )
