"""Runs by diffrax: any model, any of its solvers, controllers, events and adjoints."""

import time
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from .._checks import as_count, require
from .._results import RESULTS
from .._types import Values
from ..models.state import StateLike
from ..numerics.compiling import jitted
from .adjoint import adjoint_for
from .clock import jump_times
from .events import earliest, on_clock
from .mobius import MobiusSplitting
from .outcomes import as_mask, check_positive, outcome_of, short, within
from .run_input import RunInput
from .term import FixedStep, PopulationTerm
from .trajectory import Trajectory


def default_tolerances(dtype: DTypeLike) -> tuple[float, float]:
    """(rtol, atol) by default: (1e-8, 1e-10) in float64, (1e-5, 1e-6) in float32."""
    return (1e-8, 1e-10) if jnp.finfo(dtype).bits == 64 else (1e-5, 1e-6)


def _controller_of(
    solver: Any, controller: object, rtol: Any, atol: Any, dt0: Any, dtype: DTypeLike
) -> tuple[Any, Any, str]:
    """First step, controller and a description of both."""
    for name, value in (("rtol", rtol), ("atol", atol), ("dt0", dt0)):
        if value is not None:
            check_positive(name, value)
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
        return None, controller, f"{name}, step {short(dt0)}"
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
    return first, pid, f"{name}, rtol {short(relative)}, atol {short(absolute)}"


def simulate_by_diffrax(
    run: RunInput,
    solver: Any,
    controller: Any,
    rtol: Any,
    atol: Any,
    dense: bool,
    event: Any,
    max_steps: Any,
    adjoint: Any,
) -> Trajectory:
    """A run by a solver of diffrax, or one of ours in its loop; arguments are `simulate`'s."""
    model, clock, ts = run.model, run.clock, run.ts
    require("key", type(run.key).__name__, "be given together with `noise`", run.key is None)
    solver = diffrax.Tsit5() if solver is None else solver
    require("solver", solver, "be a diffrax solver such as `diffrax.Tsit5()`", isinstance(solver, diffrax.AbstractSolver))
    require("event", event, "be None or a `diffrax.Event`", event is None or isinstance(event, diffrax.Event))
    if adjoint is None:
        adjoint = adjoint_for((model, run.stimulus, run.y0, clock))
        if max_steps is None and isinstance(adjoint, diffrax.DirectAdjoint):
            max_steps = 4096  # it reserves memory, and compiles a nest of loops, for all of them
    if max_steps is None:
        max_steps = 65_536 if dense else 1_000_000
    max_steps = as_count("max_steps", max_steps)
    first, controller, method = _controller_of(solver, controller, rtol, atol, run.dt0, ts.dtype)
    require("adjoint", adjoint, "be None or a diffrax adjoint", isinstance(adjoint, diffrax.AbstractAdjoint))
    meter = diffrax.TextProgressMeter() if run.progress else diffrax.NoProgressMeter()
    began = time.perf_counter()
    counted = run.counted()
    term = PopulationTerm(model, counted, clock.start)
    event = event if clock.start is None else on_clock(event, clock.start, PopulationTerm(model, run.stimulus))
    how = (solver, controller, first, event, adjoint, meter, dense, max_steps)
    solution = _solve(term, run.y0, ts, run.span(counted), *how)
    seconds = run.seconds(began, solution)
    saved, (t_end, y_end), result, stats, interpolation, mask = solution
    return Trajectory(
        model=model,
        stimulus=run.stimulus,
        ts=clock.ts,
        ys=saved,
        result=result,
        t_end=clock.time_at(t_end),
        y_end=y_end,
        stats=stats,
        wall_time=seconds,
        interpolation=interpolation,
        event_mask=mask,
        method=method,
        elapsed=ts,
        start=clock.start,
    )


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
    """(saved states, (time, state) at the end, result, statistics, interpolation, which events happened)."""
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
    saved = jax.tree.map(lambda leaf: jnp.where(as_mask(computed, leaf), leaf, jnp.nan), saved)
    result = outcome_of(RESULTS.promote(solution.result), saved, computed, y_end, term.model.positive)
    saved, y_end, result = within(span, ts, t_end, saved, y_end, result)
    return saved, (t_end, y_end), result, solution.stats, solution.interpolation, mask
