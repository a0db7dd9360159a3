"""The rate at which a channel turns, from the times of its peaks: what locking to an input is told by."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PyTree

from .._types import Values
from ..mechanics.channels import Problem, check_channel, parsed
from ..mechanics.spike import Course, Swing, as_prominence, follow, swing_at, visible
from ..models.state import State
from .observables import AbstractObservable, End
from .point import Point


class Rotation(AbstractObservable):
    """Peaks of a channel per unit of time between t0 and t1, for methods whose steps may be long.

    The intervals between peaks are averaged with the weight exp(−1/(s(1 − s))), s the share of the time gone by, whose
    means of quasi-periodic sequences converge faster than any power of the time (see `tangents`). Results: `<name>_rate`;
    the plain count of peaks `<name>_count`; and the time from the first to the last, `<name>_span`.
    """

    channel: str = eqx.field(static=True)
    start: float = eqx.field(static=True)
    stop: float = eqx.field(static=True)
    prominence: float = eqx.field(static=True, converter=as_prominence)
    smooth: ClassVar[bool] = False

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        check_channel(self.channel, problem)
        return {
            "_rate": ("1/time", f"peaks of {self.channel} per time"),
            "_count": ("1", f"number of peaks of {self.channel}"),
            "_span": ("time", f"time from the first to the last peak of {self.channel}"),
        }

    def _course(self, point: Point) -> Course | None:
        if not point.long:
            return None
        return Course(point.channel(self.channel), point.rate(self.channel), point.bend(self.channel))

    def init(self, point: Point) -> Any:
        zero = jnp.zeros_like(point.t)
        # The swing; time of the highest point since the last peak; of the first and the last peak; Σ w and Σ w × interval.
        return swing_at(point.channel(self.channel), self._course(point)), (point.t, point.t, point.t), (zero, zero)

    def update(self, state: PyTree, point: Point) -> Any:
        before, (top, first, last), (weights, times) = state
        by_ratio = parsed(self.channel)[0] in point.problem.model.positive
        course = self._course(point)
        value = point.channel(self.channel)
        after, turn = follow(before, value, course, point.since, self.prominence, by_ratio)
        (extreme, seen), turn = point.once(((after.extreme, after.seen), turn))
        swing = Swing(extreme, seen, course)
        ago = jnp.zeros_like(point.t) if turn.ago is None else turn.ago
        top = jnp.where(turn.tops > 0, point.t - ago, top)
        counted = swing.number > before.number
        later = counted & (swing.number > 1)
        s = ((top + last) / 2 - self.start) / (self.stop - self.start)
        inside = later & (s > 0) & (s < 1)
        s = jnp.where(inside, s, 0.5)
        weight = jnp.where(inside, jnp.exp(4 - 1 / (s * (1 - s))), 0)
        first = jnp.where(counted & (swing.number == 1), top, first)
        sums = weights + weight, times + weight * (top - last)
        return swing, (top, first, jnp.where(counted, top, last)), sums

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        swing, (_, first, last), (weights, times) = state
        several = swing.number >= 3
        rate = jnp.where(several, weights / jnp.where(times > 0, times, 1), jnp.where(swing.number < 1, 0, jnp.nan))
        finite: Values = 0 * swing.extreme  # NaN if the lane failed
        return {"_rate": rate + finite, "_count": swing.number + finite, "_span": last - first + finite}

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        return {}

    def tolerance(self) -> float:
        return visible(self.prominence)
