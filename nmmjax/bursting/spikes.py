"""Spikes of a run, at the exact maxima of the firing rate (ṙ = 0) and not at its samples.

The model's own equations are followed from every saved state to the next saved time, in steps that resolve the fastest
rotation in the plane (πτr, v) and the input, and end at its jumps. Changes of sign along the way bracket what is looked
for, and Newton's method along the flow finds it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._nan import nan_is_absent
from .._results import Shown
from .._types import Mask, Real, Scalar, Values, is_concrete
from ..mechanics.energy import total_energy
from ..mechanics.spike import PROMINENCE, as_prominence
from ..models.base import require_one
from ..models.mpr import MPR
from ..models.state import State
from ..models.stimulus import AbstractStimulus, input_at
from ..numerics.compiling import jitted
from ..numerics.roots import newton_between
from ..solvers.clock import jump_times
from ..solvers.diffrax_run import default_tolerances
from ..solvers.trajectory import Trajectory

_SOLVER = diffrax.Dopri8(scan_kind="lax")
_TURN = 0.5  # the largest angle per step
_NODES = 2**17  # steps followed per call, over all intervals
_ITERATIONS = 14


class Spikes(eqx.Module, Shown):
    """Spikes of a run in the order of time; arrays of shape `(n,)`, one entry per spike.

    - `time`, `peak`: when the rate is largest, and that rate
    - `trough_time`, `trough`: time and rate of the lowest rate since the spike before (for the first: since the run's
      first time); NaN if the run starts on the rise
    - `prominence`: the rise ln(peak/trough); if the run starts on the rise, ln of the rise seen, a lower bound
    - `state`, `trough_state`: all variables of the model there; `energy`, `trough_energy`: `total_energy` there, in the
      instantaneous landscape, input included (E = V(r), since ṙ = 0)
    """

    time: Any
    peak: Any
    trough_time: Any
    trough: Any
    prominence: Any
    state: State
    trough_state: State
    energy: Any
    trough_energy: Any

    def __repr__(self) -> str:
        count = self.time.shape[0]
        if count == 0:
            return "Spikes: none"
        span = f"t = {float(self.time[0]):.6g} to {float(self.time[-1]):.6g}"
        return f"Spikes: {count}, {span}, peaks {float(self.peak.min()):.6g} to {float(self.peak.max()):.6g}"


@nan_is_absent
def find_spikes(run: Trajectory, *, prominence: Real = PROMINENCE) -> Spikes:
    """Spikes of a run: maxima of r to which ln r rises, and from which it falls, by more than `prominence`.

    The rise counts from the lowest value since the last spike. Maxima are exact (ṙ = 0 to rounding, along the flow from
    the last saved state), so saved times may be far apart: the same spikes are found as with dense ones, to the accuracy
    of the run. A return to rest from below, or a ripple on a rise, is no spike. The input may jump.

    - `run`: a single `Trajectory` of an `MPR` population; only the part that it reached counts
    - `prominence`: rise and fall of ln r, 1e-3 by default, as everywhere; 0 counts every maximum, those due to rounding
      at rest included

    Returns `Spikes`, with arrays of size 0 if there are none. Not for use inside `jit` or `grad` (see `spike_peaks`).
    Raises `ValueError` for anything but a single run of an `MPR` population and for prominences < 0.
    """
    check_run(run, "find its spikes")
    course = follow(run)
    found = spikes_of(course, as_prominence(prominence))
    times = found.time + course.begin, found.trough_time + course.begin
    times = times if isinstance(run.ts, np.ndarray) else jax.tree.map(jnp.asarray, times)
    columns = jax.tree.map(jnp.asarray, found)
    return eqx.tree_at(lambda each: (each.time, each.trough_time), columns, times)


def check_run(run: Any, purpose: str) -> None:
    """Refuse, in one sentence, what isn't a single, concrete run of one population."""
    require("run", type(run).__name__, "be a run of one population such as an `MPR`", isinstance(run, Trajectory))
    run.require_single(purpose)
    require_one(run.model, "run", offer="riccati")
    rule = f"be computed to {purpose} (inside `jit`, `grad` or `vmap` use `spike_peaks`)"
    require("run", str(run), rule, all(is_concrete(leaf) for leaf in jax.tree.leaves((run.ts, run.ys, run.model))))


class Course(NamedTuple):
    """A run as followed: times `t` and states `y` (NumPy) of its nodes, the last being the end. `y` moves by the equations
    from each node to the next, or to within the run's own error if the next is a saved state. Times, and those of the
    stimulus, count from `begin`, the run's first: in NumPy's float64 if its times are."""

    model: MPR
    stimulus: AbstractStimulus | None
    t: np.ndarray
    y: State
    begin: Any

    @property
    def span(self) -> tuple[float, float]:
        """First and last time."""
        return float(self.t[0]), float(self.t[-1])


class Crossings(NamedTuple):
    """Changes of sign of a quantity along a course: times, states, and whether it grows there (NumPy)."""

    t: np.ndarray
    y: State
    up: np.ndarray


class Slope(eqx.Module):
    """τ (dr/dt)/r: its sign changes are the extrema of the rate."""

    model: MPR

    def __call__(self, y: State) -> Values:
        # Needs no time: the input acts on v alone.
        return self.model.tau * self.model.vector_field(jnp.zeros_like(y.r), y).r / y.r


class _Sought(eqx.Module):
    """Quantity whose changes of sign are sought: the slope, or ln(r/level) if there is a `level`, else NaN."""

    slope: Slope
    level: Scalar

    def __call__(self, y: State) -> Values:
        return jnp.where(jnp.isnan(self.level), self.slope(y), jnp.log(y.r / self.level))


class _Resolving(diffrax.AbstractAdaptiveStepSizeController):
    """Another controller, with steps kept short enough to resolve the fastest rotation at the present state."""

    model: MPR
    controller: diffrax.PIDController

    @property
    def rtol(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.controller.rtol

    @property
    def atol(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.controller.atol

    @property
    def norm(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.controller.norm

    def _longest(self, y: State) -> Values:
        """The time of a turn by the angle `_TURN`."""
        R = self.model.tau * y.r
        speed = 2 * jnp.hypot(jnp.pi * R, y.v) + jnp.sqrt(2 * jnp.abs(self.model.frozen(y).J) * R)
        return _TURN * self.model.tau / speed

    def wrap(self, direction: Any) -> "_Resolving":
        return self

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Any, error_order: Any) -> Any:
        end, state = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        return jnp.minimum(end, t0 + self._longest(y0)), state

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: Any, y1_candidate: Any, args: Any, y_error: Any, error_order: Any, controller_state: Any
    ) -> Any:
        keep, next_t0, next_t1, jumped, state, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
        )
        longest = jnp.where(keep, self._longest(y1_candidate), self._longest(y0))
        return keep, next_t0, jnp.minimum(next_t1, next_t0 + longest), jumped, state, result


def _term(model: MPR, stimulus: AbstractStimulus | None) -> diffrax.ODETerm:
    """The equations of motion, with the input as it is before the time `args`, where it may jump."""
    return diffrax.ODETerm(lambda t, y, args: _flow_before(model, stimulus, jnp.minimum(t, eqxi.prevbefore(args)), y))


def _flow_before(model: MPR, stimulus: AbstractStimulus | None, t: Values, y: State) -> State:
    return model.vector_field(t, y, input_at(stimulus, t))


@jitted
def _march(
    model: MPR, stimulus: AbstractStimulus | None, steps: int, t0: Values, t1: Values, y0: State
) -> tuple[Values, State]:
    """Times (n, steps) and states after up to so many steps of each interval, infinite beyond those made."""
    dtype = t0.dtype
    rtol, atol = (1e-12, 1e-14) if jnp.finfo(dtype).bits == 64 else default_tolerances(dtype)
    pid = diffrax.PIDController(rtol=jnp.asarray(rtol, dtype), atol=jnp.asarray(atol, dtype))
    controller: Any = _Resolving(model, pid)  # pyright: ignore[reportCallIssue]
    if stimulus is not None and stimulus.jumps().shape[0]:
        controller = diffrax.ClipStepSizeController(controller, jump_ts=jump_times(stimulus))

    def interval(t0: Values, t1: Values, y0: State) -> Any:
        solution = diffrax.diffeqsolve(
            _term(model, stimulus),
            _SOLVER,
            t0,
            t1,
            None,
            y0,
            args=t1,
            stepsize_controller=controller,
            saveat=diffrax.SaveAt(steps=True),
            max_steps=steps,
            throw=False,
        )
        return solution.ts, solution.ys

    return jax.vmap(interval)(t0, t1, y0)


def follow(run: Trajectory) -> Course:
    """The reached part of a run, with nodes close enough together that no spike hides between them."""
    given = (run.elapsed, run.ys, (run.clock.since_start(run.t_end), run.y_end))
    ts, ys, end = jax.tree.map(np.asarray, given)
    begin = np.float64(run.ts[0]) if isinstance(run.ts, np.ndarray) else float(run.ts[0])
    stimulus = run.stimulus_since_start
    columns = [np.isfinite(leaf) for leaf in jax.tree.leaves(ys)] + [ys.r > 0]
    reached = int(np.argmin(np.append(np.all(columns, axis=0), False)))
    ts, ys = ts[:reached], jax.tree.map(lambda leaf: leaf[:reached], ys)
    final = all(np.isfinite(leaf) for leaf in jax.tree.leaves(end)) and end[1].r > 0
    if reached and final and end[0] > ts[-1]:  # an event or a failure between two saved times
        ts, ys = np.append(ts, end[0]), jax.tree.map(np.append, ys, end[1])
    if ts.size < 2:
        return Course(run.model, stimulus, ts, ys, begin)
    jumps = np.zeros(0) if stimulus is None else np.asarray(jump_times(stimulus))

    found, left = [(ts, ys)], (ts[:-1], ts[1:], jax.tree.map(lambda leaf: leaf[:-1], ys))
    while left[0].size:
        inside, left = _advance(run.model, stimulus, jumps, *left)
        found.append(inside)
    times = np.concatenate([each for each, _ in found])
    order = np.argsort(times, kind="stable")
    nodes = jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *(each for _, each in found))
    return Course(run.model, stimulus, times[order], nodes, begin)


def _advance(
    model: MPR, stimulus: AbstractStimulus | None, jumps: np.ndarray, t: np.ndarray, stop: np.ndarray, y: State
) -> tuple[Any, Any]:
    """Nodes inside intervals from (t, y) to `stop`; and the intervals that need more steps than one call gives, to go on
    with from where they came to."""
    steps = max(8, _NODES // _padded_size(t.size))
    after, states = _on_padded(lambda each: _march(model, stimulus, steps, *each), (t, stop, y))
    inside = after < stop[:, None]
    nodes = _onto_jumps(after[inside], jumps), jax.tree.map(lambda leaf: leaf[inside], states)
    count = np.sum(np.isfinite(after), axis=1)
    last = np.maximum(count - 1, 0)
    came_to = after[np.arange(t.size), last]
    more = (count > 0) & (came_to < stop)  # without a single step, an interval is given up: its ends must do
    rest = jax.tree.map(lambda leaf: leaf[more, last[more]], states)
    return nodes, (_onto_jumps(came_to[more], jumps), stop[more], rest)


def _padded_size(size: int) -> int:
    """A power of two, so that runs of all lengths share few compilations."""
    return max(64, 1 << (size - 1).bit_length())


def _onto_jumps(t: np.ndarray, jumps: np.ndarray) -> np.ndarray:
    """Times just before a jump of the input, where a solver stops, moved onto it (inputs are right-continuous)."""
    if not jumps.size:
        return t
    near = jumps[np.minimum(np.searchsorted(jumps, t), jumps.size - 1)]
    return np.where((near > t) & (near - t <= 4 * np.spacing(np.abs(near))), near, t)


@jitted
def _above(sought: _Sought, y: State) -> Mask:
    return jax.vmap(lambda y: sought(y) > 0)(y)


@jitted
def _refine(
    sought: _Sought, model: MPR, stimulus: AbstractStimulus | None, t0: Values, t1: Values, y0: State
) -> tuple[Values, State]:
    """The time between t0 and t1 at which `sought` changes its sign, and the state there."""
    term = _term(model, stimulus)

    def flow(t0: Values, t1: Values, y0: State, delta: Values) -> State:
        inner = _SOLVER.init(term, t0, t1, y0, t1)
        return _SOLVER.step(term, t0, t0 + delta, y0, t1, inner, jnp.array(False))[0]

    def root(t0: Values, t1: Values, y0: State) -> tuple[Values, State]:
        h, sign = t1 - t0, jnp.where(sought(y0) > 0, -1.0, 1.0).astype(t0.dtype)

        def rising(x: Values) -> tuple[Values, Values]:
            y = flow(t0, t1, y0, x)
            value, rate = jax.jvp(sought, (y,), (term.vf(t0 + x, y, t1),))
            return sign * value, sign * rate

        # If only the next saved state, off by the run's error, has the other sign, the search ends where it starts, at h.
        x = newton_between(rising, jnp.zeros_like(h), h, h, _ITERATIONS)
        return t0 + x, flow(t0, t1, y0, x)

    return jax.vmap(root)(t0, t1, y0)


def crossings(course: Course, level: float | None = None) -> Crossings:
    """All extrema of the rate along a course, or its crossings of a `level`; alternately `up` (a minimum) and not."""
    if course.t.size < 2:
        empty = jax.tree.map(lambda leaf: leaf[:0], course.y)
        return Crossings(course.t[:0], empty, np.zeros(0, bool))
    sought = _Sought(Slope(course.model), jnp.asarray(np.nan if level is None else level, course.t.dtype))
    above = _on_padded(lambda y: _above(sought, y), course.y)
    at = np.flatnonzero(above[:-1] != above[1:])
    starts = course.t[at], course.t[at + 1], jax.tree.map(lambda leaf: leaf[at], course.y)
    t, y = _on_padded(lambda brackets: _refine(sought, course.model, course.stimulus, *brackets), starts)
    return Crossings(t, y, ~above[at])


def _on_padded(function: Callable[[Any], Any], columns: object) -> Any:
    """`function` of columns of n numbers, called with a padded number of them."""
    n = jax.tree.leaves(columns)[0].shape[0]
    if n == 0:
        columns = jax.tree.map(lambda leaf: np.ones(1, leaf.dtype), columns)
    size = _padded_size(max(n, 1))
    padded = jax.tree.map(lambda leaf: jnp.asarray(np.pad(leaf, (0, size - leaf.shape[0]), mode="edge")), columns)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:n], function(padded))


@jitted
def _energies(model: MPR, stimulus: AbstractStimulus | None, t: Values, y: State) -> Values:
    return jax.vmap(lambda t, y: total_energy(model, y, input_at(stimulus, t)))(t, y)


def energy_at(course: Course, t: np.ndarray, y: State) -> np.ndarray:
    """Total energy, input included, at times and states of a course; NaN if they are."""
    return _on_padded(lambda each: _energies(course.model, course.stimulus, *each), (t, y))


def spikes_of(course: Course, prominence: float) -> Spikes:
    """The spikes of a course, on its clock, in NumPy's arrays; see `find_spikes`."""
    extrema = crossings(course)
    # The run's first state counts as a low point, and its last state too unless r rises there.
    first, last = (np.log(each) for each in (course.y.r[:1], course.y.r[-1:]))
    falling = ~extrema.up[-1:]
    heights = np.concatenate([first, np.log(extrema.y.r), last[: falling.sum()]])
    low = np.concatenate([np.ones(first.size, bool), extrema.up, falling[falling]])
    peaks, troughs = _prominent(heights, low, prominence)
    rises = heights[peaks] - heights[troughs]
    # Index 0 is the run's first state, which is no trough.
    seen = troughs > 0
    peaks, troughs = peaks - 1, np.maximum(troughs - 1, 0)
    t_peak, y_peak = extrema.t[peaks], jax.tree.map(lambda leaf: leaf[peaks], extrema.y)
    t_trough, y_trough = jax.tree.map(lambda leaf: np.where(seen, leaf[troughs], np.nan), (extrema.t, extrema.y))
    energies = (energy_at(course, t, y) for t, y in ((t_peak, y_peak), (t_trough, y_trough)))
    columns = (t_peak, y_peak.r, t_trough, y_trough.r, rises, y_peak, y_trough, *energies)
    return Spikes(*columns)


def _prominent(heights: np.ndarray, low: np.ndarray, prominence: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the maxima that rise by more than `prominence` from the lowest point since the one before, and of that
    point, and that fall by more than it before a higher one follows. `heights` alternates between `low` points and others.
    """
    peaks: list[int] = []
    troughs: list[int] = []
    base, highest = 0, -1  # the lowest point since the last peak; the highest maximum since then that rose far enough
    for i in range(1, heights.size):
        if low[i] and highest < 0:
            base = i if heights[i] < heights[base] else base
        elif low[i] and heights[highest] - heights[i] > prominence:
            peaks.append(highest)
            troughs.append(base)
            base, highest = i, -1
        elif not low[i]:
            tallest = heights[i] > heights[highest] if highest >= 0 else heights[i] - heights[base] > prominence
            highest = i if tallest else highest
    return np.array(peaks, int), np.array(troughs, int)
