"""Runs by diffrax: any model, any of its solvers, controllers, events and adjoints."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from .._checks import require
from .._results import RESULTS
from .._types import Values
from ..models.state import StateLike
from ..numerics.compiling import jitted
from .clock import jump_times
from .events import earliest
from .mobius import MobiusSplitting
from .outcomes import as_mask, check_positive, outcome_of, short, within
from .term import FixedStep, PopulationTerm


def default_tolerances(dtype: DTypeLike) -> tuple[float, float]:
    """(rtol, atol) by default: (1e-8, 1e-10) in float64, (1e-5, 1e-6) in float32."""
    return (1e-8, 1e-10) if jnp.finfo(dtype).bits == 64 else (1e-5, 1e-6)


def controller_of(solver: Any, controller: object, rtol: Any, atol: Any, dt0: Any, dtype: DTypeLike) -> tuple[Any, Any, str]:
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


@jitted
def solve_by_diffrax(
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
