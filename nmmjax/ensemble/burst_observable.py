"""Bursts counted while integrating: spikes per burst and burst period without a trajectory."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._types import Values
from ..equilibria.brackets import cusp_rate
from ..mechanics.channels import Problem
from ..mechanics.spike import PROMINENCE, Course, Swing, as_prominence, follow, swing_at, visible
from ..models.base import require_one
from .observables import AbstractObservable, End
from .point import Point
from .turning_points import time_of


class _Seen(NamedTuple):
    """Course so far, in x = ln r; `base` is the lowest x before the last rise; `first` and `last` are time and state just
    after the first and last onset."""

    x: Values
    swing: Swing
    base: Values
    level: Values
    onsets: Values
    first: Any
    last: Any
    spikes_before_first: Values
    spikes_before_last: Values
    first_rise: Values
    last_rise: Values


def _course(point: Point) -> Course | None:
    """x = ln r and its derivatives, where steps may be long."""
    r = point.y.r
    slope = point.rate("r") / r
    return Course(jnp.log(r), slope, point.bend("r") / r - slope**2) if point.long else None


class BurstCount(AbstractObservable):
    """Bursts of a population: upward crossings of its cusp rate, and the spikes between the first and the last of them.

    The cusp rate r_c = (3/4)^¼ √Δ/(π τ) (`cusp_rate`) lies between the folds of the fast equations for every η, J and
    slow variable, so that a burst crosses it upward once, where it begins. Spikes are those of `find_spikes`: maxima from
    which r falls, and to which it rises, by Δln r > `prominence`, interpolated between steps. Results, all floats:

    - `<name>_spikes`, `<name>_onsets`: numbers of spikes and crossings between `t0` and `t1`
    - `<name>_per_burst`: spikes between the first and last crossing, per interval; NaN with fewer than two crossings
    - `<name>_period`: mean time between crossings, refined between steps; NaN with fewer than two
    - `<name>_growth`: rise Δln r of the last spike relative to that of the first; below 1 if the population rings down;
      NaN with fewer than two spikes

    If the rate falls below r_c between the spikes of a burst (strong coupling, small Δ) every spike counts as a burst.
    Use `burst_atlas` for a classification; for a single run `find_bursts` sees more.
    """

    prominence: float = eqx.field(static=True, converter=as_prominence, default=PROMINENCE)
    smooth: ClassVar[bool] = False

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        require_one(problem.model, offer="riccati")
        return {
            "_spikes": ("1", "number of spikes"),
            "_onsets": ("1", "number of upward crossings of the cusp rate"),
            "_per_burst": ("1", "spikes per burst"),
            "_period": ("time", "burst period"),
            "_growth": ("1", "rise of the last spike relative to the first"),
        }

    def tolerance(self) -> float:
        return visible(self.prominence)

    def init(self, point: Point) -> Any:
        model: Any = point.problem.model
        zero, here = jnp.zeros_like(point.t), (point.t, point.y)
        x = jnp.log(point.y.r)
        return _Seen(x, swing_at(x, _course(point)), x, cusp_rate(model), zero, here, here, zero, zero, zero, zero)

    def update(self, state: PyTree, point: Point) -> Any:
        count, level = state.swing.number, jnp.log(state.level)
        x, course = jnp.log(point.y.r), _course(point)
        after, turn = follow(state.swing, x, course, point.since, self.prominence, by_ratio=False)
        (extreme, number), height = point.once(((after.extreme, after.seen), turn.height))
        swing = Swing(extreme, number, course)
        spiked, rise = swing.number > count, height - state.base
        begins = (state.x < level) & (x >= level)
        keep = lambda condition, new, old: jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
        is_first = begins & (state.onsets == 0)
        here = (point.t, point.y)
        return _Seen(
            x=x,
            swing=swing,
            base=jnp.where(swing.risen & ~state.swing.risen, height, state.base),
            level=state.level,
            onsets=jnp.where(begins, state.onsets + 1, state.onsets),
            first=keep(is_first, here, state.first),
            last=keep(begins, here, state.last),
            spikes_before_first=jnp.where(is_first, count, state.spikes_before_first),
            spikes_before_last=jnp.where(begins, count, state.spikes_before_last),
            first_rise=jnp.where(spiked & (count == 0), rise, state.first_rise),
            last_rise=jnp.where(spiked, rise, state.last_rise),
        )

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        several, alive = state.onsets >= 2, 0 * state.x  # NaN if the lane failed
        intervals = jnp.where(several, state.onsets - 1, jnp.ones_like(state.onsets))
        spikes = state.spikes_before_last - state.spikes_before_first
        duration = _onset(state.level, state.last, end) - _onset(state.level, state.first, end)
        number = state.swing.number
        rings = number >= 2
        growth = state.last_rise / jnp.where(rings, state.first_rise, jnp.ones_like(state.first_rise))
        nan = jnp.full_like(alive, jnp.nan)
        return {
            "_spikes": number + alive,
            "_onsets": state.onsets + alive,
            "_per_burst": jnp.where(several, spikes / intervals, nan) + alive,
            "_period": jnp.where(several, duration / intervals, nan) + alive,
            "_growth": jnp.where(rings, growth, nan) + alive,
        }


def _onset(level: Values, here: Any, end: End) -> Values:
    """The time near (t, y) at which r crosses `level`."""
    t, y = here
    return t + time_of(lambda t, y: y.r - level, t, y, jnp.zeros_like(t), end)
