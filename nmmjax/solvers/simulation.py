"""`simulate`, one run of one model; a thin wrapper around `diffrax.diffeqsolve`."""

import time
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from .._checks import as_count, as_key, as_samples, require
from .._nan import nan_is_absent
from .._parameter import as_number
from .._results import RESULTS
from .._types import Key, Mask, Real, Values, if_known, is_concrete, primal
from ..models.base import AbstractModel, as_model
from ..models.noise import OrnsteinUhlenbeck, Resonators, as_noise
from ..models.state import StateLike
from ..models.stimulus import AbstractStimulus, as_stimulus, check_range
from ..numerics.compiling import jitted
from .adjoint import adjoint_for
from .clock import Clock, clock_of
from .events import earliest, on_clock
from .mobius import MobiusSplitting
from .network_run import run_network
from .noisy import check_noise, default_step, largest_input, meter_of, schedule, solve_noisy
from .spiking import Intervals, NeuronSpikes, check_individual, equal_steps, neuron_step_of, placed, run_neurons
from .steppers import check_splitting
from .term import FixedStep, PopulationTerm
from .trajectory import Trajectory

_LONGER = 2.5  # steps of order 4, in steps of order 2


def default_tolerances(dtype: DTypeLike) -> tuple[float, float]:
    """(rtol, atol) by default: (1e-8, 1e-10) in float64, (1e-5, 1e-6) in float32."""
    return (1e-8, 1e-10) if jnp.finfo(dtype).bits == 64 else (1e-5, 1e-6)


@nan_is_absent
def simulate(
    model: AbstractModel,
    y0: StateLike,
    ts: Any,
    *,
    stimulus: AbstractStimulus | None = None,
    noise: Any = None,
    key: Key | None = None,
    solver: Any = None,
    stepsize_controller: Any = None,
    rtol: Real | None = None,
    atol: Real | None = None,
    dt0: Real | None = None,
    dense: bool = False,
    event: Any = None,
    max_steps: int | None = None,
    adjoint: Any = None,
    monitors: Any = None,
    past: Any = None,
    progress: bool = False,
    throw: bool = False,
) -> Trajectory:
    """Solve dy/dt = f(t, y; I(t)) from `y0` at `ts[0]` and return the states at `ts`.

    - `model`: any model or network
    - `y0`: the state, a mapping such as `{"r": 0.1, "v": -2.0}` or `model`'s state class (r > 0); or a run, to go on from
      its end: from its last state and, with `OrnsteinUhlenbeck`, the noise's last value (`run.y_end` alone leaves that out,
      and x starts anew from its stationary law). Use a new key for the continuation
    - `ts`: at least two strictly increasing times, in the unit of τ. The solver counts from `ts[0]`, and differences are
      taken in the precision in which times are given: runs far from 0 are as exact in float32 as those from 0
    - `stimulus`: input current I(t); its jumps are stepped onto exactly (but not by `diffrax.StepTo`, whose steps are given)
    - `noise`, `key`: random input, a number D for common white noise, dv = … + √(2D) dW in time t/τ, or `WhiteNoise`,
      `OrnsteinUhlenbeck`, `CauchyNoise`, `ShotNoise`; with the random key. The solver is then `MobiusSplitting(2)` with the
      noise in its kicks (weak order 2, strong order 1, r > 0), and for networks of populations without slow terms
      `MobiusSplitting(4)`, whose moments are as exact at 5 times longer steps; the largest step is `dt0`, by default a
      125th (25th) of the shortest interval between spikes to be expected; `run.fluctuation` is coloured noise's path.
      Halve `dt0` to see what steps cost. Inside `jax.jit` and `jax.vmap` give it: where the default depends on values hidden
      there, steps differ, and the path is another one of the same law
    - `solver`: any diffrax ODE solver, or ours; default `diffrax.Tsit5()`. `MobiusSplitting` with `dt0` and no option that
      only diffrax has runs in our own loop, some twenty times faster; its steps also end at `ts`
    - `stepsize_controller`: any diffrax controller; default PID with `rtol`, `atol` (see `default_tolerances`), or the fixed
      step `dt0` if the solver gives no error estimate. `dt0` is only the first step of an adaptive controller
    - `max_steps`: default a million, and 65 536 with `dense=True`, which reserves memory for every one of them
    - `monitors`: what records while the run goes on, by name, such as `{"bold": BOLD(TR=2000.0)}`, or statistics of it;
      results by the same names in `run.monitors`. Steps are then equal, of at most `dt0`, and `ts` and the periods of
      monitors multiples of one interval; the same with delays
    - `past`: of a network with delays, a function t ↦ {"r": …, "v": …} of times up to `ts[0]`; by default it was always as
      in `y0`. A run has its own, with which the next goes on
    - `progress=True` shows a line of progress; the default is silent
    - `dense=True` keeps the solution for `run.evaluate(t)`; `event`: a `diffrax.Event` that ends the run
    - `throw=True` raises `RuntimeError` if the solve fails; by default `run.result` says how it ended, and states after a
      failure are NaN
    - `adjoint`: by default the one that suits the derivative being taken: `RecursiveCheckpointAdjoint` for `jax.grad`,
      `ForwardMode` for `jax.jvp` and `jax.jacfwd`, `DirectAdjoint` with 4096 steps at most for both (`jax.hessian`). A
      `jax.jit` inside `jax.jvp` hides which one that is: then give `adjoint=diffrax.ForwardMode()`

    Returns a `Trajectory`. Works under `jax.jit`, `jax.vmap` and derivatives. If several events lie in one step, the
    earliest ends the run if the `Event` has a `root_finder`, and otherwise the end of the step. If a traced run leaves the
    range of a recorded input, states are NaN and the result is `input_out_of_range`. Raises `ValueError` for wrong input.
    Use it for single runs and fits; for many parameter values, `jax.vmap` over it.
    """
    model = as_model(model)
    spiking = "spikes" in model.offers
    stimulus = as_stimulus(stimulus, model)
    if noise is not None:
        model, noise = as_noise(noise).split(model)
    before = y0 if isinstance(y0, Trajectory) else None
    start = model.state(y0 if before is None else before.y_end)
    dtype = jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(model) if eqx.is_inexact_array(leaf)))
    clock = if_known(clock_of, ts, dtype)
    as_dtype = lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) and leaf.dtype != dtype else leaf
    model, stimulus, start, noise = jax.tree.map(as_dtype, (model, stimulus, start, noise))
    if stimulus is not None:
        _check_stimulus(stimulus, model, clock)
    delayed = "delays" in model.offers
    require("past", past, "be None for a model without delays", past is None or delayed)
    require("past", past, "be a function of time", past is None or callable(past))
    require("monitors", monitors, "be None for a network of neurons (use its mean field)", monitors is None or not spiking)
    given = {"stepsize_controller": stepsize_controller, "rtol": rtol, "atol": atol, "event": event, "adjoint": adjoint}
    given |= {"max_steps": max_steps, "dense": dense or None}
    plain = all(value is None for value in given.values())
    own = _takes_equal_steps(model, solver, dt0, noise is not None) and (plain or noise is not None)
    stepped = delayed or bool(monitors) or (own and _steps_known(ts, dt0, (model, start, noise), stimulus))
    if noise is not None or spiking or stepped:
        what = "for a network of neurons" if spiking else "with `noise`" if noise is not None else "with delays or monitors"
        for name, value in given.items():
            require(name, value, f"not be given {what}, whose steps are fixed", value is None)
        if spiking:
            require("solver", solver, "be None for a network of neurons, which has exact steps of its own", solver is None)
            run = _simulate_neurons(model, noise, key, start, before, clock, stimulus, dt0, progress)
        elif stepped:
            known = np.asarray(as_samples(ts), float) if is_concrete(ts) else None
            more = (solver, dt0, {} if monitors is None else monitors, past, progress)
            run = _simulate_lockstep(model, noise, key, start, before, clock, known, stimulus, *more)
        else:
            run = _simulate_noisy(model, noise, key, start, before, clock, stimulus, solver, dt0, progress)
        return _raise_on_failure(run) if throw else run
    require("key", type(key).__name__, "be given together with `noise`", key is None)
    solver = diffrax.Tsit5() if solver is None else solver
    require("solver", solver, "be a diffrax solver such as `diffrax.Tsit5()`", isinstance(solver, diffrax.AbstractSolver))
    require("event", event, "be None or a `diffrax.Event`", event is None or isinstance(event, diffrax.Event))
    if adjoint is None:
        adjoint = adjoint_for((model, stimulus, start, clock))
        if max_steps is None and isinstance(adjoint, diffrax.DirectAdjoint):
            max_steps = 4096  # it reserves memory, and compiles a nest of loops, for all of them
    if max_steps is None:
        max_steps = 65_536 if dense else 1_000_000
    max_steps = as_count("max_steps", max_steps)
    first, controller, method = _controller(solver, stepsize_controller, rtol, atol, dt0, dtype)
    require("adjoint", adjoint, "be None or a diffrax adjoint", isinstance(adjoint, diffrax.AbstractAdjoint))
    meter = diffrax.TextProgressMeter() if progress else diffrax.NoProgressMeter()

    began = time.perf_counter()
    shifted = _since_start(stimulus, model, clock)
    term = PopulationTerm(model, shifted, clock.start)
    event = event if clock.start is None else on_clock(event, clock.start, PopulationTerm(model, stimulus))
    span = _unknown_span(stimulus, shifted, model, clock)
    solution = _solve(term, start, clock.elapsed, span, solver, controller, first, event, adjoint, meter, dense, max_steps)
    traced = not all(is_concrete(leaf) for leaf in jax.tree.leaves((solution, clock.ts)))
    if not traced:
        jax.block_until_ready(solution)
    seconds = np.nan if traced else time.perf_counter() - began
    saved, end, result, stats, interpolation, mask = solution
    run = Trajectory(
        model=model,
        stimulus=stimulus,
        ts=clock.ts,
        ys=saved,
        result=result,
        t_end=clock.time_at(end[0]),
        y_end=end[1],
        stats=stats,
        wall_time=jnp.asarray(seconds, dtype),
        interpolation=interpolation,
        event_mask=mask,
        method=method,
        elapsed=clock.elapsed,
        start=clock.start,
    )
    return _raise_on_failure(run) if throw else run


def _takes_equal_steps(model: Any, solver: Any, dt0: Any, noisy: bool) -> bool:
    """Whether our own loop is the faster one for what is asked: noise of networks, or a splitting's fixed steps."""
    if "spikes" in model.offers or (noisy and model.size is None):
        return False
    fixed = isinstance(solver, MobiusSplitting) and solver.mobius_order in (2, 4) and dt0 is not None
    return noisy or (fixed and "splitting" in model.offers and model.riccati().plain and not model.slow_names)


def _steps_known(ts: Any, dt0: Any, given: Any, stimulus: Any) -> bool:
    """Whether the number of steps of every interval can be known now: by times, jumps of the input, and `dt0` or all that it
    is taken from. Inside `jax.jit`, what isn't its argument is known."""
    needed = (ts, stimulus, given if dt0 is None else dt0)
    return all(is_concrete(primal(each)) for each in jax.tree.leaves(needed))


def _step_by_default(model: Any, noise: Any, y0: Any, stimulus: AbstractStimulus | None, ts: Values, order: int) -> Values:
    step = default_step(model, noise, y0, largest_input(stimulus, ts), order)
    return (step if noise is not None or order == 2 else _LONGER * step).astype(ts.dtype)


def _simulate_lockstep(
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
    order = check_splitting(model, noise, solver)
    if noise is None:
        require("key", type(key).__name__, "be given together with `noise`", key is None)
    noise, key, x0 = _noise_from(model, noise, key, y0, before)
    shifted, ts = if_known(_since_start, stimulus, model, clock), clock.elapsed
    if dt0 is None:
        step = if_known(_step_by_default, model, noise, y0, shifted, ts, order)
    else:
        _check_positive("dt0", dt0)
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
    result = _outcome(RESULTS.successful, saved, jnp.ones(ts.shape, bool), end, model.positive)
    saved, end, result = _within(_unknown_span(stimulus, shifted, model, clock), ts, ts[-1], saved, end, result)
    path = ran.fluctuation if isinstance(noise, OrnsteinUhlenbeck | Resonators) else None
    more = {"noise": noise, "fluctuation": path, "monitors": ran.monitors, "history": ran.history}
    return _in_fixed_steps(model, stimulus, clock, saved, end, result, ran.steps, began, ran.method, **more)


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


def _simulate_noisy(
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
    fits = solver is None or (isinstance(solver, MobiusSplitting) and solver.mobius_order == 2)
    require("solver", solver, "be None or `MobiusSplitting(2)` with noise", fits)
    noise, key, x0 = _noise_from(model, noise, key, y0, before)
    shifted, ts = _since_start(stimulus, model, clock), clock.elapsed
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
    result = _outcome(RESULTS.successful, saved, jnp.ones(ts.shape, bool), end, model.positive)
    saved, end, result = _within(_unknown_span(stimulus, shifted, model, clock), ts, ts[-1], saved, end, result)
    total = jnp.asarray(counts * (times.shape[0] - 1) if isinstance(counts, int) else counts.sum())
    method = f"MobiusSplitting(2) with noise, steps of at most {_short(step)}"
    path = path if isinstance(noise, OrnsteinUhlenbeck | Resonators) else None
    return _in_fixed_steps(model, stimulus, clock, saved, end, result, total, began, method, noise=noise, fluctuation=path)


def _simulate_neurons(
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
    if noise is None:
        require("key", type(key).__name__, "be given together with `noise` (`QIFNetwork` takes one of its own)", key is None)
    else:
        check_individual(network, noise)
        key = as_key(key, purpose=" if there is noise")
    shifted, ts = _since_start(stimulus, network.model, clock), clock.elapsed
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
    saved, end, result = _within(_unknown_span(stimulus, shifted, network, clock), ts, ts[-1], saved, end, result)
    method, kept = f"exact steps of {network.count} neurons, of at most {_short(step)}", (n, raster, drawn.watched, V, own)
    more = {"noise": noise, "neurons": NeuronSpikes(*kept)}
    return _in_fixed_steps(network, stimulus, clock, saved, end, result, jnp.sum(counts), began, method, **more)


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


@jitted
def _finite_outcome(saved: Any) -> Any:
    return _outcome(
        RESULTS.successful, saved, jnp.ones(saved.r.shape[:1], bool), jax.tree.map(lambda leaf: leaf[-1], saved), ()
    )


def _since_start(stimulus: AbstractStimulus | None, model: AbstractModel, clock: Clock) -> Any:
    """The stimulus on the run's clock; as it is for a model whose own state holds the physical time."""
    return stimulus if stimulus is None or clock.start is None or model.own_clock else stimulus.since(clock.start)


def _unknown_span(stimulus: AbstractStimulus | None, shifted: Any, model: AbstractModel, clock: Clock) -> Any:
    """Range of a recorded input on the run's clock, if tracing hid it, or the times, from the check at the start."""
    span = None if stimulus is None or model.own_clock else stimulus.span()
    if span is None or all(is_concrete(each) for each in (*span, clock.ts)):
        return None
    return shifted.span()


def _within(span: Any, ts: Values, t_end: Values, saved: Any, end: object, result: Any) -> tuple[Any, Any, Any]:
    """NaN for states outside the range of a recorded input, and the result code that says so."""
    if span is None:
        return saved, end, result
    slack = 64 * jnp.finfo(ts.dtype).eps * jnp.maximum(jnp.maximum(jnp.abs(span[0]), jnp.abs(span[1])), ts[-1])
    late = span[0] > slack
    known = lambda t: ~late & (t <= span[1] + slack)
    saved = jax.tree.map(lambda leaf: jnp.where(_as_mask(known(ts), leaf), leaf, jnp.nan), saved)
    end = jax.tree.map(lambda leaf: jnp.where(known(t_end), leaf, jnp.nan), end)
    return saved, end, RESULTS.where(known(t_end), result, RESULTS.input_out_of_range)


@jitted
def _solve(
    term: PopulationTerm,
    y0: StateLike,
    ts: Values,
    span: object,
    solver: Any,
    controller: Any,
    dt0: Any,
    event: Any,
    adjoint: Any,
    meter: object,
    dense: bool,
    max_steps: int,
) -> Any:
    if term.stimulus is not None and isinstance(controller, diffrax.AbstractAdaptiveStepSizeController):
        jumps = jump_times(term.stimulus)
        if jumps.shape[0]:
            controller = diffrax.ClipStepSizeController(controller, jump_ts=jumps)
    t0 = jnp.zeros_like(ts[0]) if term.start is not None else ts[0]

    def solve(t1: Values, saveat, event, meter) -> Any:
        return diffrax.diffeqsolve(
            term,
            solver,
            t0=t0,
            t1=t1,
            dt0=dt0,
            y0=y0,
            saveat=saveat,
            stepsize_controller=controller,
            event=event,
            adjoint=adjoint,
            progress_meter=meter,
            max_steps=max_steps,
            throw=False,
        )

    saveat = diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=ts), diffrax.SubSaveAt(t1=True)], dense=dense)
    solution = solve(ts[-1], saveat, event, meter)
    (saved_ts, end_t), (saved, end) = solution.ts, solution.ys
    t_end, y_end = end_t[0], jax.tree.map(lambda leaf: leaf[0], end)
    computed, mask = jnp.isfinite(saved_ts), solution.event_mask
    if event is not None and event.root_finder is not None:
        given = {"terms": term, "solver": solver, "t0": t0, "t1": ts[-1], "dt0": dt0, "saveat": saveat}
        given |= {"stepsize_controller": controller, "max_steps": max_steps}
        happened = solution.result == diffrax.RESULTS.event_occurred
        t_end, y_end, mask = earliest(solve, event, (t0, y0), (t_end, y_end, mask), happened, given)
        computed &= saved_ts <= t_end
    saved = jax.tree.map(lambda leaf: jnp.where(_as_mask(computed, leaf), leaf, jnp.nan), saved)
    result = _outcome(RESULTS.promote(solution.result), saved, computed, y_end, term.model.positive)
    saved, y_end, result = _within(span, ts, t_end, saved, y_end, result)
    return saved, (t_end, y_end), result, solution.stats, solution.interpolation, mask


def _as_mask(mask: Mask, leaf: Values) -> Mask:
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - mask.ndim))


def _outcome(result: Any, saved: Any, computed: Mask, y_end: Any, positive_names: tuple[str, ...]) -> Any:
    """Add failures that the integrator can't see: a state that is not finite, or a firing rate that left r > 0."""
    positive = jnp.array(True)
    for name in positive_names:
        values = getattr(saved, name)
        positive &= jnp.all(jnp.where(_as_mask(computed, values), values, 1) > 0) & jnp.all(~(getattr(y_end, name) <= 0))
    finite = jnp.array(True)
    for leaf, end in zip(jax.tree.leaves(saved), jax.tree.leaves(y_end), strict=True):
        finite &= jnp.all(jnp.isfinite(leaf) | ~_as_mask(computed, leaf)) & jnp.all(jnp.isfinite(end))
    fine = (result == RESULTS.successful) | (result == RESULTS.event_occurred)
    result = RESULTS.where(~fine | positive, result, RESULTS.rate_not_positive)
    return RESULTS.where(finite, result, RESULTS.non_finite)


def jump_times(stimulus: AbstractStimulus) -> Values:
    """The stimulus's jumps, sorted, those closer than rounding merged (a solver can't step between them)."""
    jumps = jnp.sort(stimulus.jumps())
    if jumps.shape[0] < 2:
        return jumps
    gap = 16 * jnp.finfo(jumps.dtype).eps * jnp.maximum(jnp.abs(jumps[1:]), 1)
    merged = jnp.where(jumps[1:] - jumps[:-1] <= gap, jumps[:-1], jumps[1:])
    return jnp.concatenate([jumps[:1], merged])


def _check_stimulus(stimulus: AbstractStimulus, model: AbstractModel, clock: Clock) -> None:
    if model.own_clock:
        rule = f"be without jumps for {type(model).__name__}, whose clock is not physical time"
        require("stimulus", stimulus, rule, stimulus.jumps().shape[0] == 0)
    check_range(stimulus, clock.ts[0], clock.ts[-1], "ts")


def _check_positive(name: str, value: Any) -> None:
    """Refuse what is known and no number > 0."""
    if is_concrete(value):
        number = np.asarray(value)
        is_number = number.ndim == 0 and number.dtype.kind in "iuf"
        require(name, value, "be a number > 0", is_number and bool(np.isfinite(number) & (number > 0)))


def _controller(solver: Any, controller: object, rtol: Any, atol: Any, dt0: Any, dtype: DTypeLike) -> tuple[Any, Any, str]:
    """First step, controller and a description of both."""
    for name, value in (("rtol", rtol), ("atol", atol), ("dt0", dt0)):
        if value is not None:
            _check_positive(name, value)
    name = type(solver).__name__
    if hasattr(solver, "mobius_order"):
        name = f"{name}({solver.mobius_order})"
    known = controller is None or isinstance(controller, diffrax.AbstractStepSizeController)
    require("stepsize_controller", controller, "be None or a diffrax step-size controller", known)
    fixed = isinstance(controller, diffrax.ConstantStepSize) or (
        controller is None
        and (isinstance(solver, MobiusSplitting) or not isinstance(solver, diffrax.AbstractAdaptiveSolver))
    )
    relative, absolute = (
        jnp.asarray(default if given is None else given, dtype)
        for given, default in zip((rtol, atol), default_tolerances(dtype), strict=True)
    )
    if fixed:
        require("dt0", dt0, f"be given, the step size: {name} is used with a fixed step", dt0 is not None)
        step = jnp.asarray(dt0, dtype)
        controller = FixedStep(step=step, rtol=relative, atol=absolute)  # pyright: ignore[reportCallIssue]
        return None, controller, f"{name}, step {_short(dt0)}"
    if isinstance(controller, diffrax.AbstractAdaptiveStepSizeController):
        rule = f"give an error estimate for {type(controller).__name__}, such as `MobiusExtrapolation`"
        inner = controller.controller if isinstance(controller, diffrax.ClipStepSizeController) else controller
        gives = isinstance(solver, diffrax.AbstractAdaptiveSolver) or isinstance(inner, FixedStep)
        require("solver", name, rule, gives)
    first = None if dt0 is None else jnp.asarray(dt0, dtype)
    if controller is not None:
        given = "rtol" if rtol is not None else "atol"
        rule = "be None with a `stepsize_controller`, which has its own tolerances"
        require(given, rtol if rtol is not None else atol, rule, rtol is None and atol is None)
        return first, controller, f"{name}, {type(controller).__name__}"
    pid = diffrax.PIDController(rtol=relative, atol=absolute)
    return first, pid, f"{name}, rtol {_short(relative)}, atol {_short(absolute)}"


def _short(value: Any) -> str:
    return f"{float(value):g}" if is_concrete(value) else "traced"


def _raise_on_failure(run: Trajectory) -> Trajectory:
    bad = (run.result != RESULTS.successful) & (run.result != RESULTS.event_occurred)
    if is_concrete(bad):
        if bool(jnp.any(bad)):
            raise RuntimeError(f"The solve stopped at t = {float(run.t_end):g}: {RESULTS[run.result]}")
        return run
    return eqx.tree_at(lambda each: each.ys, run, run.result.error_if(run.ys, bad))
