"""Layer 3: `simulate`, one run of one model; a thin wrapper around `diffrax.diffeqsolve`."""

import time
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_count, require
from .._parameter import as_number
from .._results import RESULTS
from .._types import Mask, Real, Values, is_concrete
from ..models.base import AbstractModel, as_model
from ..models.noise import OrnsteinUhlenbeck, as_noise
from ..models.stimulus import AbstractStimulus, as_stimulus
from .mobius import MobiusSplitting
from .noisy import check_noise, default_step, largest_input, meter_of, schedule, solve_noisy
from .term import FixedStep, PopulationTerm
from .trajectory import Trajectory


def default_tolerances(dtype: Any) -> tuple[float, float]:
    """(rtol, atol) used where none are given: (1e-8, 1e-10) in float64, (1e-5, 1e-6) in float32."""
    return (1e-8, 1e-10) if jnp.finfo(dtype).bits == 64 else (1e-5, 1e-6)


def simulate(
    model: AbstractModel,
    y0: Any,
    ts: Any,
    *,
    stimulus: AbstractStimulus | None = None,
    noise: Any = None,
    key: Any = None,
    solver: Any = None,
    stepsize_controller: Any = None,
    rtol: Real | None = None,
    atol: Real | None = None,
    dt0: Real | None = None,
    dense: bool = False,
    event: Any = None,
    max_steps: int | None = None,
    adjoint: Any = None,
    progress: bool = False,
    throw: bool = False,
) -> Trajectory:
    """Solve dy/dt = f(t, y; I(t)) from `y0` at `ts[0]` and return the states at `ts`.

    - `y0`: the state, a mapping such as `{"r": 0.1, "v": -2.0}` or `model`'s state class (r > 0)
    - `ts`: at least two strictly increasing times, in the unit of τ
    - `stimulus`: input current I(t); its jumps are stepped onto exactly (but not by `diffrax.StepTo`, whose steps are given)
    - `noise`, `key`: random input, a number D for common white noise, dv = … + √(2D) dW in time t/τ, or `WhiteNoise`,
      `OrnsteinUhlenbeck`, `CauchyNoise`; with the random key. The solver is then `MobiusSplitting(2)` with the noise in its
      kicks (weak order 2, strong order 1, r > 0) and the largest step `dt0`, by default a 125th of the shortest interval
      between spikes to be expected; `run.fluctuation` is coloured noise's path. Halve `dt0` to see what steps cost
    - `solver`: any diffrax ODE solver, or ours; default `diffrax.Tsit5()`
    - `stepsize_controller`: any diffrax controller; default PID with `rtol`, `atol` (see `default_tolerances`), or the fixed
      step `dt0` where the solver gives no error estimate. With an adaptive controller `dt0` is only the first step
    - `max_steps`: default a million, and 65 536 with `dense=True`, which reserves memory for every one of them
    - `dense=True` keeps the solution for `run.evaluate(t)`; `event`: a `diffrax.Event` that ends the run
    - `throw=True` raises `RuntimeError` where the solve fails; otherwise `run.result` says how it ended and the part that
      succeeded is kept, with NaN after it

    Works under `jax.jit`, `jax.vmap` and `jax.grad` (`adjoint=diffrax.ForwardMode()` for forward mode). Raises `ValueError`
    for wrong input. Use it for single runs and fits; for many parameter values, `jax.vmap` over it.
    """
    model = as_model(model)
    stimulus = as_stimulus(stimulus, model)
    if noise is not None:
        model, noise = as_noise(noise).split(model)
    start = model.state(y0)
    dtype = jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(model) if eqx.is_inexact_array(leaf)))
    times = check_times(ts, dtype)
    as_dtype = lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf
    model, stimulus, start, noise = jax.tree.map(as_dtype, (model, stimulus, start, noise))
    if stimulus is not None:
        _check_stimulus(stimulus, model, times)
    if noise is not None:
        given = {"stepsize_controller": stepsize_controller, "rtol": rtol, "atol": atol, "event": event, "adjoint": adjoint}
        given |= {"max_steps": max_steps, "dense": dense or None}
        for name, value in given.items():
            require(name, value, "not be given where there is `noise`, whose steps are fixed", value is None)
        run = _simulate_noisy(model, noise, key, start, times, stimulus, solver, dt0, progress)
        return _raise_on_failure(run) if throw else run
    require("key", type(key).__name__, "be given together with `noise`", key is None)
    solver = diffrax.Tsit5() if solver is None else solver
    require("solver", solver, "be a diffrax solver such as `diffrax.Tsit5()`", isinstance(solver, diffrax.AbstractSolver))
    require("event", event, "be None or a `diffrax.Event`", event is None or isinstance(event, diffrax.Event))
    if max_steps is None:
        max_steps = 65_536 if dense else 1_000_000
    max_steps = as_count("max_steps", max_steps)
    first, controller, method = _controller(solver, stepsize_controller, rtol, atol, dt0, dtype)
    adjoint = diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint
    require("adjoint", adjoint, "be None or a diffrax adjoint", isinstance(adjoint, diffrax.AbstractAdjoint))
    meter = diffrax.TextProgressMeter() if progress else diffrax.NoProgressMeter()

    began = time.perf_counter()
    solution = _solve(model, stimulus, start, times, solver, controller, first, event, adjoint, meter, dense, max_steps)
    traced = not all(is_concrete(leaf) for leaf in jax.tree.leaves((solution, times)))
    if not traced:
        jax.block_until_ready(solution)
    seconds = np.nan if traced else time.perf_counter() - began
    saved, end, result, stats, interpolation, mask = solution
    run = Trajectory(
        model=model,
        stimulus=stimulus,
        ts=times,
        ys=saved,
        result=result,
        t_end=end[0],
        y_end=end[1],
        stats=stats,
        wall_time=jnp.asarray(seconds, dtype),
        interpolation=interpolation,
        event_mask=mask,
        method=method,
    )
    return _raise_on_failure(run) if throw else run


def _simulate_noisy(
    model: Any, noise: Any, key: Any, y0: Any, ts: Values, stimulus: Any, solver: Any, dt0: Any, progress: bool
) -> Trajectory:
    fits = solver is None or (isinstance(solver, MobiusSplitting) and solver.mobius_order == 2)
    require("solver", solver, "be None or `MobiusSplitting(2)` where there is noise", fits)
    key = check_noise(model, noise, key)
    if dt0 is None:
        step = default_step(model, noise, y0, largest_input(stimulus, ts)).astype(ts.dtype)
    else:
        step = as_number("dt0", dt0, "(0, inf)").astype(ts.dtype)
    began = time.perf_counter()
    jumps = jnp.zeros(0, ts.dtype) if stimulus is None else jump_times(stimulus).astype(ts.dtype)
    times, places, counts = schedule(ts, jumps, step)
    every, fluctuation = solve_noisy(model, noise, stimulus, y0, times, counts, key, meter_of(progress))
    saved, path = jax.tree.map(lambda leaf: leaf[places], (every, fluctuation))
    end = jax.tree.map(lambda leaf: leaf[-1], saved)
    result = _outcome(RESULTS.successful, saved, jnp.ones(ts.shape, bool), end)
    traced = not all(is_concrete(leaf) for leaf in jax.tree.leaves((saved, ts)))
    if not traced:
        jax.block_until_ready(saved)
    total = jnp.sum(jnp.broadcast_to(jnp.asarray(counts), (times.shape[0] - 1,)))
    return Trajectory(
        model=model,
        stimulus=stimulus,
        ts=ts,
        ys=saved,
        result=result,
        t_end=ts[-1],
        y_end=end,
        stats={"num_steps": total, "num_accepted_steps": total, "num_rejected_steps": jnp.zeros_like(total)},
        wall_time=jnp.asarray(np.nan if traced else time.perf_counter() - began, ts.dtype),
        interpolation=None,
        event_mask=None,
        method=f"MobiusSplitting(2) with noise, steps of at most {_short(step)}",
        noise=noise,
        fluctuation=path if isinstance(noise, OrnsteinUhlenbeck) else None,
    )


@eqx.filter_jit
def _solve(
    model: Any,
    stimulus: Any,
    y0: Any,
    ts: Values,
    solver: Any,
    controller: Any,
    dt0: Any,
    event: Any,
    adjoint: Any,
    meter: Any,
    dense: bool,
    max_steps: int,
) -> Any:
    if stimulus is not None and isinstance(controller, diffrax.AbstractAdaptiveStepSizeController):
        jumps = jump_times(stimulus)
        if jumps.shape[0]:
            controller = diffrax.ClipStepSizeController(controller, jump_ts=jumps)
    solution = diffrax.diffeqsolve(
        PopulationTerm(model, stimulus),
        solver,
        t0=ts[0],
        t1=ts[-1],
        dt0=dt0,
        y0=y0,
        saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=ts), diffrax.SubSaveAt(t1=True)], dense=dense),
        stepsize_controller=controller,
        event=event,
        adjoint=adjoint,
        progress_meter=meter,
        max_steps=max_steps,
        throw=False,
    )
    (saved_ts, end_t), (saved, end) = solution.ts, solution.ys  # pyright: ignore[reportGeneralTypeIssues]
    computed = jnp.isfinite(saved_ts)
    saved = jax.tree.map(lambda leaf: jnp.where(_as_mask(computed, leaf), leaf, jnp.nan), saved)
    t_end, y_end = end_t[0], jax.tree.map(lambda leaf: leaf[0], end)
    result = _outcome(RESULTS.promote(solution.result), saved, computed, y_end)
    return saved, (t_end, y_end), result, solution.stats, solution.interpolation, solution.event_mask


def _as_mask(mask: Mask, leaf: Values) -> Mask:
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - mask.ndim))


def _outcome(result: Any, saved: Any, computed: Mask, y_end: Any) -> Any:
    """Add what the integrator can't see: a state that is not finite, or a firing rate that left r > 0."""
    positive = jnp.array(True)
    for name in type(y_end).positive:
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


def check_times(ts: Any, dtype: Any) -> Values:
    """`ts` as an array of the model's dtype; at least two, finite, strictly increasing in it, else `ValueError`."""
    times = as_array(ts)
    require("ts", ts, "be an array of numbers", isinstance(times, jax.Array))
    times = times.astype(dtype)
    require("ts", times, "have one axis and at least 2 times", times.ndim == 1 and times.shape[0] >= 2)
    if is_concrete(times):
        concrete = np.asarray(times)
        require("ts", times, "be finite, without NaN", bool(np.all(np.isfinite(concrete))))
        require("ts", times, "be strictly increasing", bool(np.all(np.diff(concrete) > 0)))
    return times


def _check_stimulus(stimulus: AbstractStimulus, model: AbstractModel, ts: Values) -> None:
    if model.own_clock:
        rule = f"be without jumps for {type(model).__name__}, whose clock is not physical time"
        require("stimulus", stimulus, rule, stimulus.jumps().shape[0] == 0)
    span = stimulus.span()
    if span is None or not all(is_concrete(each) for each in (*span, ts)):
        return
    first, last = float(span[0]), float(span[1])
    inside = first <= float(ts[0]) and float(ts[-1]) <= last
    require("ts", ts, f"lie within the stimulus's range [{first:g}, {last:g}]", inside)


def _controller(solver: Any, controller: Any, rtol: Any, atol: Any, dt0: Any, dtype: Any) -> tuple[Any, Any, str]:
    """First step, controller and a description of both."""
    for name, value in (("rtol", rtol), ("atol", atol), ("dt0", dt0)):
        if value is not None and is_concrete(value):
            number = np.asarray(value)
            is_number = number.ndim == 0 and number.dtype.kind in "iuf"
            require(name, value, "be a number > 0", is_number and bool(np.isfinite(number) & (number > 0)))
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
