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
from .clock import jump_times
from .mobius import MobiusSplitting
from .network_run import run_network
from .noisy import check_noise, default_step, largest_input, meter_of, schedule, solve_noisy
from .outcomes import check_positive, outcome_of, short
from .run_input import RunInput
from .spiking import Intervals, NeuronSpikes, check_individual, equal_steps, neuron_step_of, placed, run_neurons
from .steppers import check_splitting
from .trajectory import Trajectory

_LONGER = 2.5  # steps of order 4, in steps of order 2


def simulate_lockstep(run: RunInput, solver: Any, known: Any, monitors: Any, past: Any) -> Trajectory:
    """A run in steps that all nodes share: networks with noise or delays, monitors, and splittings with `dt0`. `known`: the
    times, unless tracing hides them."""
    model, ts = run.model, run.ts
    order = check_splitting(model, run.noise, solver)
    if run.noise is None:
        require("key", type(run.key).__name__, "be given together with `noise`", run.key is None)
    noise, key, x0 = _noise_of(run)
    counted = run.counted()
    if run.dt0 is None:
        step = if_known(_step_by_default, model, noise, run.y0, counted, ts, order)
    else:
        check_positive("dt0", run.dt0)
        number = as_number("dt0", run.dt0, "(0, inf)")
        step = run.dt0 if isinstance(run.dt0, (int, float)) else number.astype(ts.dtype)
    began = time.perf_counter()
    jumps = np.zeros(0) if counted is None else if_known(jump_times, counted)
    if past is None and run.before is not None:
        past = run.before.history
    start = 0.0 if known is None else float(known[0])
    since = None if known is None else known - known[0]
    given = (ts, since, start, jumps, step, order, monitors, past, meter_of(run.progress))
    ran = run_network(model, noise, key, run.y0, x0, counted, *given)
    path = ran.fluctuation if isinstance(noise, OrnsteinUhlenbeck | Resonators) else None
    more = {"noise": noise, "fluctuation": path, "monitors": ran.monitors, "history": ran.history}
    return _ended(run, counted, ran.ys, ran.steps, began, ran.method, **more)


def _step_by_default(model: Any, noise: Any, y0: Any, stimulus: AbstractStimulus | None, ts: Values, order: int) -> Values:
    step = default_step(model, noise, y0, largest_input(stimulus, ts), order)
    return (step if noise is not None or order == 2 else _LONGER * step).astype(ts.dtype)


def _noise_of(run: RunInput) -> tuple[Any, Any, Any]:
    """(noise as it is drawn, its key, coloured noise's first value if the run goes on from another)."""
    if run.noise is None:
        return None, None, None
    before, y0 = run.before, run.y0
    noise = run.noise.drawn(run.model, y0, None if before is None else before.noise)
    key = check_noise(run.model, noise, run.key)
    goes_on = before is not None and (isinstance(noise, OrnsteinUhlenbeck) or noise is before.noise)
    x0 = before.fluctuation_end if before is not None and goes_on else None
    if x0 is not None:
        fits = isinstance(noise, Resonators) or x0.shape == y0.v.shape
        require("y0", f"{x0.shape}", f"be a run with noise of shape {y0.v.shape}", fits)
        x0 = x0.astype(y0.v.dtype)
    return noise, key, x0


def simulate_noisy(run: RunInput, solver: object) -> Trajectory:
    """A run of one population under noise, which may be part of a larger program."""
    fits = solver is None or (isinstance(solver, MobiusSplitting) and solver.mobius_order == 2)
    require("solver", solver, "be None or `MobiusSplitting(2)` with noise", fits)
    model, ts = run.model, run.ts
    noise, key, x0 = _noise_of(run)
    counted = run.counted()
    if run.dt0 is None:
        step = default_step(model, noise, run.y0, largest_input(counted, ts)).astype(ts.dtype)
    else:
        step = as_number("dt0", run.dt0, "(0, inf)").astype(ts.dtype)
    began = time.perf_counter()
    times, places, counts = schedule(ts, run.jumps(counted), step)
    every, fluctuation = solve_noisy(model, noise, counted, run.y0, x0, times, counts, key, meter_of(run.progress))
    saved, path = jax.tree.map(lambda leaf: leaf[places], (every, fluctuation))
    total = jnp.asarray(counts * (times.shape[0] - 1) if isinstance(counts, int) else counts.sum())
    method = f"MobiusSplitting(2) with noise, steps of at most {short(step)}"
    path = path if isinstance(noise, OrnsteinUhlenbeck | Resonators) else None
    return _ended(run, counted, saved, total, began, method, noise=noise, fluctuation=path)


def simulate_neurons(run: RunInput) -> Trajectory:
    """A run of a network of neurons by its exact steps."""
    network, ts, key, before = run.model, run.ts, run.key, run.before
    if run.noise is None:
        require("key", type(key).__name__, "be given together with `noise` (`QIFNetwork` takes one of its own)", key is None)
    else:
        check_individual(network, run.noise)
        key = as_key(key, purpose=" if there is noise")
    counted = run.counted()
    step = neuron_step_of(network, run.y0, largest_input(counted, ts), run.dt0).astype(ts.dtype)
    began = time.perf_counter()
    times, places, counts = schedule(ts, run.jumps(counted), step)
    counts = jnp.broadcast_to(jnp.asarray(counts), (times.shape[0] - 1,))
    V, own, shape = None, None, (*network.shape, network.count)
    if before is not None and before.neurons is not None:
        V, own = jax.tree.map(lambda each: each.astype(ts.dtype), (before.neurons.voltages, before.neurons.slow))
        require("y0", V.shape, f"be a run of as many neurons, {shape}", V.shape == shape)
    lengths = equal_steps(times, counts, ts.dtype)
    drawn, meter = placed(network, ts.dtype), meter_of(run.progress)
    uniform = is_concrete(lengths) and np.unique(np.asarray(lengths)[np.asarray(counts) > 0]).size <= 1
    steps = Intervals(times, counts, lengths, places, uniform)
    saved, end, n, raster, V, own = run_neurons(network.model, drawn, run.y0, V, own, counted, run.noise, key, steps, meter)
    method = f"exact steps of {network.count} neurons, of at most {short(step)}"
    neurons = NeuronSpikes(n, raster, drawn.watched, V, own)
    given = (run, counted, saved, jnp.sum(counts), began, method)
    return _ended(*given, end=end, result=_finite_outcome(saved), noise=run.noise, neurons=neurons)


@jitted
def _finite_outcome(saved: Any) -> Any:
    return outcome_of(
        RESULTS.successful, saved, jnp.ones(saved.r.shape[:1], bool), jax.tree.map(lambda leaf: leaf[-1], saved), ()
    )


def _ended(
    run: RunInput,
    counted: Any,
    saved: Any,
    steps: Any,
    began: float,
    method: str,
    *,
    end: Any = None,
    result: Any = None,
    **more: Any,
) -> Trajectory:
    """The run of a method that took a known number of `steps`, with the input as it was `counted`; `began` by the machine's
    clock. It ends where it was last saved, and as well as its states tell, unless said otherwise."""
    end = jax.tree.map(lambda leaf: leaf[-1], saved) if end is None else end
    if result is None:
        result = outcome_of(RESULTS.successful, saved, jnp.ones(run.ts.shape, bool), end, run.model.positive)
    saved, end, result = run.within(counted, run.ts[-1], saved, end, result)
    return Trajectory(
        model=run.model,
        stimulus=run.stimulus,
        ts=run.clock.ts,
        ys=saved,
        result=result,
        t_end=run.clock.ts[-1],
        y_end=end,
        stats={"num_steps": steps, "num_accepted_steps": steps, "num_rejected_steps": jnp.zeros_like(steps)},
        wall_time=run.seconds(began, saved),
        interpolation=None,
        event_mask=None,
        method=method,
        elapsed=run.ts,
        start=run.clock.start,
        **more,
    )
