"""Observables between steps: largest and smallest values, spikes and periods, refined to where a channel's rate vanishes."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._checks import as_float
from .._types import Values
from ..mechanics.channels import Problem, channel_rate, channel_value, check_channel, parsed
from ..mechanics.spike import PROMINENCE, Course, Swing, Turn, as_prominence, follow, swing_at, visible
from ..models.state import State
from ..numerics.roots import newton, ratio
from .observables import AbstractSingle, End
from .point import Point

_NEWTON_STEPS = 4


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
        return {"": ("1", self.meaning)}

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
        return {"": ("time", self.meaning)}

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
