"""Layer 5: bursts counted while integrating: spikes per burst and burst period without a trajectory."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import require
from .._types import Values
from ..mechanics.rest import cusp_rate
from ..models.mpr import MPR
from .channels import Point, Problem
from .observables import AbstractObservable, End


class _Swing(NamedTuple):
    """Where the rate stands: time, x = ln r and dx/dt at the last point; the lowest x since the last spike; the highest
    since it rose from there; whether it has risen (1 or 0)."""

    t: Values
    x: Values
    slope: Values
    low: Values
    high: Values
    risen: Values


class _Seen(NamedTuple):
    """What was seen so far; `first` and `last` are time and state just after the first and last onset."""

    swing: _Swing
    level: Values
    spikes: Values
    onsets: Values
    first: Any
    last: Any
    spikes_before_first: Values
    spikes_before_last: Values
    first_rise: Values
    last_rise: Values


class BurstCount(AbstractObservable):
    """Bursts of a population: upward crossings of its cusp rate, and the spikes between the first and the last of them.

    The cusp rate r_c = (3/4)^¼ √Δ/(π τ) (`nmmjax.cusp_rate`) lies between the folds of the fast equations for every η, J and
    slow variable, so that a burst crosses it upward once, where it begins. Spikes are those of `find_spikes`: maxima from
    which r falls, and to which it rises, by Δln r > `prominence`, interpolated between steps. Results, all floats:

    - `<name>_spikes`, `<name>_onsets`: numbers of spikes and crossings between `t0` and `t1`
    - `<name>_per_burst`: spikes between the first and last crossing, per interval; NaN with fewer than two crossings
    - `<name>_period`: mean time between crossings, refined between steps; NaN with fewer than two
    - `<name>_growth`: rise Δln r of the last spike relative to that of the first; below 1 where the population rings down;
      NaN with fewer than two spikes

    Where the rate falls below r_c between the spikes of a burst (strong coupling, small Δ) every spike counts as a burst.
    Use `burst_atlas` for a classification; for a single run `find_bursts` sees more.
    """

    prominence: float = eqx.field(static=True, default=1e-3)
    smooth: ClassVar[bool] = False

    def __check_init__(self) -> None:
        value = self.prominence
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        require("prominence", value, "be a number ≥ 0", is_number and value >= 0)

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        require("model", type(problem.model).__name__, "be an `MPR` to count bursts", isinstance(problem.model, MPR))
        return {
            "_spikes": ("1", "number of spikes"),
            "_onsets": ("1", "number of upward crossings of the cusp rate"),
            "_per_burst": ("1", "spikes per burst"),
            "_period": ("time", "burst period"),
            "_growth": ("1", "rise of the last spike relative to the first"),
        }

    def init(self, point: Point) -> Any:
        model: Any = point.problem.model
        zero, here = jnp.zeros_like(point.t), (point.t, point.y)
        x = jnp.log(point.y.r)
        swing = _Swing(point.t, x, point.rate("r") / point.y.r, x, x, zero)
        return _Seen(swing, cusp_rate(model), zero, zero, here, here, zero, zero, zero, zero)

    def update(self, state: Any, point: Point) -> Any:
        r, count, level = point.y.r, state.spikes, jnp.log(state.level)
        swing, rise = _follow(state.swing, point.t, jnp.log(r), point.rate("r") / r, self.prominence)
        spiked = rise > 0
        begins = (state.swing.x < level) & (swing.x >= level)
        keep = lambda condition, new, old: jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
        is_first = begins & (state.onsets == 0)
        here = (point.t, point.y)
        return _Seen(
            swing=swing,
            level=state.level,
            spikes=jnp.where(spiked, count + 1, count),
            onsets=jnp.where(begins, state.onsets + 1, state.onsets),
            first=keep(is_first, here, state.first),
            last=keep(begins, here, state.last),
            spikes_before_first=jnp.where(is_first, count, state.spikes_before_first),
            spikes_before_last=jnp.where(begins, count, state.spikes_before_last),
            first_rise=jnp.where(spiked & (count == 0), rise, state.first_rise),
            last_rise=jnp.where(spiked, rise, state.last_rise),
        )

    def finish(self, state: Any, end: End) -> dict[str, Any]:
        several, alive = state.onsets >= 2, 0 * state.swing.x  # NaN if the lane failed
        intervals = jnp.where(several, state.onsets - 1, jnp.ones_like(state.onsets))
        spikes = state.spikes_before_last - state.spikes_before_first
        duration = _onset(state.level, state.last, end) - _onset(state.level, state.first, end)
        rings = state.spikes >= 2
        growth = state.last_rise / jnp.where(rings, state.first_rise, jnp.ones_like(state.first_rise))
        nan = jnp.full_like(alive, jnp.nan)
        return {
            "_spikes": state.spikes + alive,
            "_onsets": state.onsets + alive,
            "_per_burst": jnp.where(several, spikes / intervals, nan) + alive,
            "_period": jnp.where(several, duration / intervals, nan) + alive,
            "_growth": jnp.where(rings, growth, nan) + alive,
        }


def _follow(swing: _Swing, t: Values, x: Values, slope: Values, prominence: float) -> tuple[_Swing, Values]:
    """The swing at the next point, and the rise of a spike from which x has now fallen far enough, else 0."""
    h = t - swing.t
    # The extremum between the points, by the cubic through both, where the slope changes sign.
    bend = swing.slope - slope
    s = jnp.clip(swing.slope / jnp.where(bend == 0, jnp.ones_like(bend), bend), 0, 1)
    past, rest = s**2 * (3 - 2 * s), s * (1 - s)
    between = swing.x + past * (x - swing.x) + h * rest * ((1 - s) * swing.slope - s * slope)
    turns = swing.slope * slope < 0
    top = jnp.where(turns & (bend > 0), between, x)
    bottom = jnp.where(turns & (bend < 0), between, x)
    risen = swing.risen > 0
    high, low = jnp.maximum(swing.high, top), jnp.minimum(swing.low, bottom)
    falls = risen & (x < high - prominence)
    rises = ~risen & (x > low + prominence)
    rise = jnp.where(falls, high - swing.low, jnp.zeros_like(x))
    low = jnp.where(risen, jnp.where(falls, bottom, swing.low), low)
    high = jnp.where(rises, top, jnp.where(risen, high, swing.high))
    up = (risen & ~falls) | rises
    return _Swing(t, x, slope, low, high, jnp.where(up, jnp.ones_like(x), jnp.zeros_like(x))), rise


def _onset(level: Values, here: Any, end: End) -> Values:
    """The time near (t, y) at which r crosses `level`, by Newton's method within one step."""
    problem, (t, y) = end.problem, here

    def newton(_: Any, delta: Values) -> Values:
        there = end.flow(t, y, delta)
        rate = problem.model.vector_field(t + delta, there, problem.stimulus).r
        step = (there.r - level) / jnp.where(rate == 0, jnp.ones_like(rate), rate)
        step = jnp.where(jnp.isfinite(step), step, jnp.zeros_like(step))
        return jnp.clip(delta - step, jnp.maximum(-end.step, end.t0 - t), jnp.minimum(end.step, end.t1 - t))

    return t + jax.lax.fori_loop(0, 4, newton, jnp.zeros_like(t))
