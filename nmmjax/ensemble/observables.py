"""Observables: what a sweep keeps of every lane, folded while integrating; trajectories are never stored.

An observable is three functions: `init` (first point → accumulator of floats), `update` (accumulator, point →
accumulator) and `finish` (accumulator → results). `Custom` makes one of any three functions. Observation starts at the
sweep's `t0` (what lies before is the transient). Peaks, troughs and periods are refined between steps, so they are as
exact as the solver.
"""

import abc
import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._checks import as_float, require
from .._types import Values
from ..mechanics.channels import (
    Problem,
    channel_rate,
    channel_size,
    channel_value,
    check_channel,
    node_sizes,
    node_values,
    parsed,
    unit_of,
)
from ..mechanics.spike import PROMINENCE, Course, Swing, Turn, as_prominence, follow, swing_at, visible
from ..models.state import State
from ..numerics.roots import newton, ratio
from .point import Point

_NEWTON_STEPS = 4


@dataclasses.dataclass(frozen=True)
class End:
    """Data for `finish`: the problem, the last state, the observed time, and the exact-to-order flow over short times."""

    problem: Problem
    t0: Values
    t1: Values
    y: Any
    step: Values
    flow: Callable[[Values, Any, Values], Any] | None  # None if nothing is known between steps: noise, delays
    samples: Any = None
    sample_times: Any = None


class AbstractObservable(eqx.Module):
    """A quantity that a sweep keeps of every lane. `smooth` results are extrapolated over step sizes; the others come from
    the finest run.

    A class of your own needs an attribute `version`, such as `version = "1"`, for a sweep with `store=`; change it when you
    change the code.
    """

    smooth: ClassVar[bool]

    @abc.abstractmethod
    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        """Suffix of each result's name ('' for the only one) → (units, long name), for the model of `problem`. Refuses
        channels that the model lacks.
        """

    @abc.abstractmethod
    def init(self, point: Point) -> Any:
        """The accumulator at the first `point`, before the first step: a pytree of floats."""

    @abc.abstractmethod
    def update(self, state: PyTree, point: Point) -> Any:
        """The accumulator after seeing `point`, from the accumulator `state` before it."""

    @abc.abstractmethod
    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        """Suffix → result, from the accumulator `state` and the data `end` of the last step."""

    def grid(self) -> np.ndarray:
        """Times at which the solver must stop for this observable."""
        return np.zeros(0)

    def per_node(self, problem: Problem) -> bool:
        """Whether results have an axis over the nodes of the network in `problem`."""
        return False

    def axes(self, name: str, problem: Problem, times: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
        """Axes that results called `name` have beyond the sweep's own, in their order: what stands along each, and its
        attributes; for the `problem` and the `times` of a sweep."""
        del times
        found, grid = {}, self.grid()
        if grid.size:
            found[f"{name}_time"] = (grid, {"units": "time (that of tau)", "long_name": "time"})
        if self.per_node(problem):
            found["node"] = (problem.model.labels, {"units": "1", "long_name": "node of the network"})
        return found

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        """Suffix → the scale at time `t` and state `y` of what the result is made of, to which rounding is relative, for
        the model of `problem`; none if the result's own value is its scale.
        """
        return {}

    def tolerance(self) -> float:
        """The largest relative tolerance of a step at which an adaptive method sees what is observed."""
        return float("inf")


def _every(problem: Problem, channel: str | None) -> dict[str, str]:
    """Suffix → channel: the one asked for, or all state variables."""
    if channel is None:
        return {f"_{name}": name for name in problem.model.variables}
    check_channel(channel, problem)
    return {"": channel}


def _keeps_nodes(problem: Problem, channel: str | None) -> bool:
    return bool(problem.nodes) and (channel is None or parsed(channel)[1] is None)


def _named(what: str, channel: str) -> str:
    return f"{what} of {channel.replace('_', ' ')}"


class Final(AbstractObservable):
    """The state at `t1`, or one channel of it. Results: `<name>_r`, `<name>_v`, …; `<name>` for one channel.

    - `channel`: a variable, "energy" or another of the model's channels; None, the default, for the whole state

    Results of a network have the further dimension `node`, unless the channel names one (`Final("r[3]")`).
    """

    channel: str | None = eqx.field(static=True, default=None)
    smooth: ClassVar[bool] = True

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        channels = _every(problem, self.channel)
        return {suffix: (unit_of(name, problem), f"final {name}") for suffix, name in channels.items()}

    def init(self, point: Point) -> Any:
        return ()

    def update(self, state: PyTree, point: Point) -> Any:
        return state

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        channels = _every(end.problem, self.channel)
        return {suffix: node_values(name, end.problem, end.t1, end.y) for suffix, name in channels.items()}

    def per_node(self, problem: Problem) -> bool:
        return _keeps_nodes(problem, self.channel)

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        return {suffix: node_sizes(name, problem, t, y) for suffix, name in _every(problem, self.channel).items()}


class Samples(AbstractObservable):
    """The state (or one `channel`) at the increasing times `ts`, t0 ≤ ts ≤ t1, which the solver steps onto exactly.

    Results have the extra dimension `<name>_time`, and of a network `node`, unless the channel names one. This is the only
    observable whose memory grows with the number of times.
    """

    ts: tuple[float, ...] = eqx.field(static=True, converter=lambda ts: tuple(np.asarray(ts, float).ravel().tolist()))
    channel: str | None = eqx.field(static=True, default=None)
    smooth: ClassVar[bool] = True

    def __check_init__(self) -> None:
        ts = np.asarray(self.ts)
        require("ts", ts, "be increasing, finite times", ts.size > 0 and np.all(np.isfinite(ts)) and np.all(np.diff(ts) > 0))

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        channels = _every(problem, self.channel)
        return {suffix: (unit_of(name, problem), f"{name} over time") for suffix, name in channels.items()}

    def init(self, point: Point) -> Any:
        return ()

    def update(self, state: PyTree, point: Point) -> Any:
        return state

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        times = np.asarray(end.sample_times)
        where = np.searchsorted((times[1:] + times[:-1]) / 2, np.asarray(self.ts))  # the nearest: see `merged`
        ts = jnp.asarray(np.asarray(self.ts), end.t1.dtype)
        ys = jax.tree.map(lambda each: each[where], end.samples)
        return {
            suffix: jax.vmap(lambda t, y, name=name: node_values(name, end.problem, t, y))(ts, ys)
            for suffix, name in _every(end.problem, self.channel).items()
        }

    def grid(self) -> np.ndarray:
        return np.asarray(self.ts)

    def per_node(self, problem: Problem) -> bool:
        return _keeps_nodes(problem, self.channel)

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        found = {suffix: node_sizes(name, problem, t, y) for suffix, name in _every(problem, self.channel).items()}
        return {suffix: jnp.broadcast_to(size, (len(self.ts), *size.shape)) for suffix, size in found.items()}


class AbstractSingle(AbstractObservable):
    """Shared by observables of one channel with one result. `r[3]` is node 3 of a network, and `r` the mean over its
    nodes."""

    channel: eqx.AbstractVar[str]
    label: ClassVar[str]

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        check_channel(self.channel, problem)
        return {"": (unit_of(self.channel, problem), _named(self.label, self.channel))}

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        return {"": channel_size(self.channel, problem, t, y)}


class Mean(AbstractSingle):
    """Time average of a channel, (t1 − t0)⁻¹ ∫ f dt, to fourth order in the step (trapezoids with end corrections).

    - `channel`: what to average: a variable, "energy" or another of the model's channels; of a network per node, or
      "r[3]"
    """

    channel: str = eqx.field(static=True)
    smooth: ClassVar[bool] = True
    label: ClassVar[str] = "mean"

    def init(self, point: Point) -> Any:
        return jnp.zeros_like(point.t)

    def update(self, state: PyTree, point: Point) -> Any:
        return state + _integrand(point, point.channel(self.channel), lambda: point.rate(self.channel))

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        return {"": state / (end.t1 - end.t0)}


def _integrand(point: Point, value: Values, rate: Callable[[], Values]) -> Values:
    """Contribution of a point to ∫ value dt by trapezoids; the ends of a stretch carry the Euler–Maclaurin correction."""
    total = point.weight * value
    return total if point.edge == 0 else total - point.edge * point.h**2 / 12 * rate()


class Variance(AbstractSingle):
    """Variance over time of a channel, the mean square of its deviation from the mean, to fourth order in the step.

    - `channel`: a variable, "energy" or another of the model's channels; of a network per node, or "r[3]"
    """

    channel: str = eqx.field(static=True)
    smooth: ClassVar[bool] = True
    label: ClassVar[str] = "variance"

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        check_channel(self.channel, problem)
        unit = unit_of(self.channel, problem)
        return {"": (unit if unit == "1" else f"({unit})^2", _named(self.label, self.channel))}

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        return {"": channel_size(self.channel, problem, t, y) ** 2}

    def init(self, point: Point) -> Any:
        # Moments about the first value: no cancellation if the fluctuations are small.
        return jnp.zeros_like(point.t), jnp.zeros_like(point.t), point.channel(self.channel)

    def update(self, state: PyTree, point: Point) -> Any:
        first, second, origin = state
        x = point.channel(self.channel) - origin
        first = first + _integrand(point, x, lambda: point.rate(self.channel))
        return first, second + _integrand(point, x**2, lambda: 2 * x * point.rate(self.channel)), origin

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        first, second, _ = state
        duration = end.t1 - end.t0
        return {"": second / duration - (first / duration) ** 2}


class AbstractExtremum(AbstractSingle):
    """The largest or smallest value of a channel: the best step, refined to where the channel's rate vanishes."""

    @abc.abstractmethod
    def better(self, value: Values, best: Values) -> Any:
        """Whether `value` beats the best so far."""

    def init(self, point: Point) -> Any:
        return point.channel(self.channel), point.t, point.y

    def update(self, state: PyTree, point: Point) -> Any:
        best, t, y = state
        value = point.channel(self.channel)
        better = self.better(value, best)
        keep = lambda new, old: jnp.where(better, new, old)
        return keep(value, best), keep(point.t, t), jax.tree.map(keep, point.y, y)

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        best, t, y = state
        value = channel_value(self.channel, end.problem, *_turning_point(self.channel, t, y, None, end))
        return {"": jnp.where(self.better(value, best), value, best)}


class Peak(AbstractExtremum):
    """The largest value of a channel between `t0` and `t1`, e.g. `Peak("r")`, refined between steps.

    - `channel`: a variable, "energy" or another of the model's channels; of a network per node, or "r[3]"
    """

    channel: str = eqx.field(static=True)
    smooth: ClassVar[bool] = True
    label: ClassVar[str] = "peak"

    def better(self, value: Values, best: Values) -> Any:
        return value > best


class Trough(AbstractExtremum):
    """The smallest value of a channel between `t0` and `t1`, refined between steps.

    - `channel`: a variable, "energy" or another of the model's channels; of a network per node, or "r[3]"
    """

    channel: str = eqx.field(static=True)
    smooth: ClassVar[bool] = True
    label: ClassVar[str] = "trough"

    def better(self, value: Values, best: Values) -> Any:
        return value < best


def time_of(event: Callable[[Values, Any], Values], t: Values, y: State, start: Values, end: End) -> Values:
    """δ, near `start`, at which `event(t, y)` vanishes along the flow from (t, y), by Newton's method within one step."""
    problem, flow_from = end.problem, end.flow
    if flow_from is None:
        return start

    def move(delta: Values) -> Values:
        there = flow_from(t, y, delta)
        flow = problem.flow(t + delta, there)
        step = ratio(*jax.jvp(event, (t + delta, there), (jnp.ones_like(t), flow)))
        return jnp.where(jnp.isfinite(step), step, jnp.zeros_like(step))

    def keep(new: Values, _: Values) -> Values:
        return jnp.clip(new, jnp.maximum(-end.step, end.t0 - t), jnp.minimum(end.step, end.t1 - t))

    return newton(move, start, _NEWTON_STEPS, keep)


def _turning_point(channel: str, t: Values, y: State, ago: Values | None, end: End) -> tuple[Values, Any]:
    """Time and state near (t, y), or near `ago` before it, at which the channel's rate vanishes."""
    problem, start = end.problem, jnp.zeros_like(t) if ago is None else -ago
    if end.flow is None:
        return t + start, y

    def slope(t: Values, y) -> Values:
        """The rate of 1/f for positive channels: through a spike it is nearly linear in time, unlike that of f."""
        rate = channel_rate(channel, problem, t, y)
        return rate / channel_value(channel, problem, t, y) ** 2 if parsed(channel)[0] in problem.model.positive else rate

    delta = time_of(slope, t, y, start, end)
    there = end.flow(t, y, delta)
    # If steps differ, the longest may be too long for the flow from here: then nothing turns where it leads.
    turns = jnp.abs(channel_rate(channel, problem, t + delta, there)) <= jnp.abs(channel_rate(channel, problem, t, y))
    keep = lambda new, old: jnp.where(turns, new, old)
    return keep(t + delta, t), jax.tree.map(keep, there, y)


def _course(point: Point, channel: str) -> Course | None:
    return Course(point.channel(channel), point.rate(channel), point.bend(channel)) if point.long else None


def _see(swing: Swing, point: Point, channel: str, threshold: float, prominence: float) -> tuple[Swing, Turn]:
    """The swing after `point`, and what it brings."""
    by_ratio = parsed(channel)[0] in point.problem.model.positive
    course = _course(point, channel)
    after, turn = follow(swing, point.channel(channel), course, point.since, prominence, by_ratio, threshold)
    (extreme, count), turn = point.once(((after.extreme, after.seen), turn))
    return Swing(extreme, count, course), turn


_LOWEST = -float("inf")


def _as_threshold(threshold: object) -> float:
    lowest = isinstance(threshold, float) and threshold == _LOWEST
    return _LOWEST if lowest else as_float("threshold", threshold, "be a number, or −inf for none", lambda value: True)


class AbstractMaxima(AbstractSingle):
    """Shared by observables of the maxima of one channel that are spikes."""

    threshold: eqx.AbstractVar[float]
    prominence: eqx.AbstractVar[float]

    def tolerance(self) -> float:
        return visible(self.prominence)

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        return {}


class SpikeCount(AbstractMaxima):
    """Number of spikes of a channel between `t0` and `t1`, as a float: those of `find_spikes` for `r`.

    A spike is a maximum of at least `threshold` to which ln r rises by more than `prominence` from its lowest value
    since the last one, and from which it then falls by more than that; so nothing counts at rest. Methods of fixed steps
    h see all but (ω h)²/8 of a rise; adaptive ones look between their steps, at `rtol` ≤ `prominence`/10⁴.

    - `channel`: "r" by default; a variable, "energy" or another of the model's channels; of a network per node, or
      "r[3]"
    - `threshold`: lowest value of a spike, in the channel's unit; none by default
    - `prominence`: rise and fall of ln r, 1e-3 by default; for channels that may be ≤ 0, such as `v` or `energy`, the
      absolute rise and fall, in the channel's unit
    """

    channel: str = eqx.field(static=True, default="r")
    threshold: float = eqx.field(static=True, converter=_as_threshold, default=_LOWEST)
    prominence: float = eqx.field(static=True, converter=as_prominence, default=PROMINENCE)
    smooth: ClassVar[bool] = False
    label: ClassVar[str] = "number of spikes"

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        check_channel(self.channel, problem)
        return {"": ("1", _named(self.label, self.channel))}

    def init(self, point: Point) -> Any:
        return swing_at(point.channel(self.channel), _course(point, self.channel))

    def update(self, state: PyTree, point: Point) -> Any:
        return _see(state, point, self.channel, self.threshold, self.prominence)[0]

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        return {"": state.number + 0 * state.extreme}  # NaN if the lane failed


class Period(AbstractMaxima):
    """Mean time between spikes of a channel, (last − first)/(count − 1); NaN with fewer than two.

    The first and the last time are refined to where the channel's rate vanishes.

    - `channel`, `threshold`, `prominence`: as in `SpikeCount`
    """

    channel: str = eqx.field(static=True, default="r")
    threshold: float = eqx.field(static=True, converter=_as_threshold, default=_LOWEST)
    prominence: float = eqx.field(static=True, converter=as_prominence, default=PROMINENCE)
    smooth: ClassVar[bool] = True
    label: ClassVar[str] = "period"

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        check_channel(self.channel, problem)
        return {"": ("time", _named(self.label, self.channel))}

    def init(self, point: Point) -> Any:
        here = (point.t, point.y, jnp.zeros_like(point.t) if point.long else None)
        return swing_at(point.channel(self.channel), _course(point, self.channel)), here, here, here

    def update(self, state: PyTree, point: Point) -> Any:
        before, first, last, top = state
        swing, turn = _see(before, point, self.channel, self.threshold, self.prominence)
        keep = lambda when, new, old: jax.tree.map(lambda a, b: jnp.where(when, a, b), new, old)
        top = keep(turn.tops > 0, (point.t, point.y, turn.ago), top)
        counted = swing.number > before.number
        first = keep(counted & (swing.number == 1), top, first)
        return swing, first, keep(counted, top, last), top

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        swing, first, last, _ = state
        count = swing.number
        begin, stop = (_turning_point(self.channel, t, y, ago, end)[0] for t, y, ago in (first, last))
        several = count >= 2
        intervals = jnp.where(several, count - 1, jnp.ones_like(count))
        return {"": jnp.where(several, (stop - begin) / intervals, jnp.full_like(stop, jnp.nan))}


class LastFinite(AbstractObservable):
    """The last time at which the state was finite: when a lane failed."""

    smooth: ClassVar[bool] = False

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        return {"": ("time", "last time with a finite state")}

    def init(self, point: Point) -> Any:
        return point.t

    def update(self, state: PyTree, point: Point) -> Any:
        finite = functools.reduce(operator.and_, (jnp.isfinite(each).all() for each in jax.tree.leaves(point.y)))
        return jnp.where(finite, point.t, state)

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        return {"": state}


class Custom(AbstractObservable):
    """An observable of your own, made of three functions on floats.

    - `first(point)`: the accumulator, a pytree of floats, at the first time
    - `each(state, point)`: the accumulator after one more point
    - `last(state, duration)`: the result, a number; the accumulator itself by default
    - `units`, `long_name`: of the result, for labels
    - `name`: such as "time above 1, v2", by which a sweep with `store=` knows the functions again; needed there. Change
      it when you change them or anything they use

    A `point` has `t`, `y` (with `y.r`, `y.v`, of a network arrays (n,)), `weight` (trapezoid weight for time integrals),
    `channel(name)` and `rate(name)`. Example, the time spent above 1:
    `Custom(lambda p: 0 * p.t, lambda s, p: s + p.weight * (p.y.r > 1), lambda s, duration: s, units="time")`.
    """

    first: Callable[[Point], Any] = eqx.field(static=True)
    each: Callable[[Any, Point], Any] = eqx.field(static=True)
    last: Callable[[Any, Values], Values] = eqx.field(static=True, default=lambda state, duration: state)
    units: str = eqx.field(static=True, default="1")
    long_name: str = eqx.field(static=True, default="user-defined observable")
    name: str = eqx.field(static=True, default="")
    smooth: ClassVar[bool] = False

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        return {"": (self.units, self.long_name)}

    def init(self, point: Point) -> Any:
        return self.first(point)

    def update(self, state: PyTree, point: Point) -> Any:
        return self.each(state, point)

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        return {"": self.last(state, end.t1 - end.t0)}
