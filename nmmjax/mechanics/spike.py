"""Definition of a spike, shared by the whole library.

A spike is a maximum of the firing rate to which ln r rises by more than `prominence` from its lowest value since the last
spike (or since the run's start), and from which it then falls by more than `prominence`. `prominence` is by default
`PROMINENCE` = 1e-3 for every counter. The fall is part of the definition: a rate that comes to rest from below, even with a
tiny overshoot, has no spike, and neither has a rate at rest.

Channels that are positive (r) are measured by the logarithm, all others (v, energies, the input) by their own unit:
there, `prominence` is the absolute rise and fall.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from .._checks import as_float
from .._types import Mask, Values
from ..numerics.roots import newton, ratio

PROMINENCE = 1e-3
_NEWTON_STEPS = 3


def as_prominence(prominence: Any) -> float:
    """`prominence` as a number ≥ 0, else `ValueError`."""
    as_float("prominence", prominence, "be a number ≥ 0", lambda value: value >= 0)
    return float(prominence)  # in full, also if arrays are in single precision


def visible(prominence: float) -> float:
    """Relative error of a step that, added up over a run, is small compared with the smallest rise that counts; infinite at
    0, for which every maximum counts."""
    return prominence / 10_000 if prominence > 0 else math.inf


class Course(NamedTuple):
    """A channel's value at a point, its slope and its second derivative."""

    value: Values
    slope: Values
    bend: Values


class Swing(NamedTuple):
    """Progress of a channel towards its next spike: `extreme`, the highest value since it rose far enough for a spike, or
    else the lowest since the last one; `seen`, the number of spikes so far, or −½ less it while it has risen far enough for
    the next; and `course` at the last point if steps may be long, else None."""

    extreme: Values
    seen: Values
    course: Course | None

    @property
    def number(self) -> Values:
        return jnp.abs(self.seen) - jnp.where(self.risen, 0.5, 0.0).astype(self.seen.dtype)

    @property
    def risen(self) -> Mask:
        return self.seen < 0


class Turn(NamedTuple):
    """Contribution of one point: whether the highest value lies here (1 or 0); the height that the swing turned from, the
    highest of a spike or the lowest before it; and how long ago the highest was, if steps may be long."""

    tops: Values
    height: Values
    ago: Values | None


def swing_at(value: Values, course: Course | None) -> Swing:
    """The swing at the first point, which counts as a low one."""
    return Swing(value, jnp.zeros_like(value), course)


def follow(
    swing: Swing,
    value: Values,
    course: Course | None,
    h: Values | float,
    prominence: float,
    by_ratio: bool,
    threshold: float = -math.inf,
) -> tuple[Swing, Turn]:
    """The swing at the next point, a time `h` later, and the turn that it brings.

    `by_ratio` if prominence is that of the channel's logarithm, which is not taken: this runs at every step. Spikes below
    `threshold` don't count. Steps that resolve the channel need no `course`: of a rise they see all but (ω h)²/8.
    """
    middle, ago = (value, None) if course is None else _extremum(swing.course, course, h)
    number, risen, ratio = swing.number, swing.risen, math.exp(prominence)
    top, bottom = jnp.maximum(middle, value), jnp.minimum(middle, value)
    high, low = jnp.maximum(swing.extreme, middle), jnp.minimum(swing.extreme, middle)
    falls = bottom * ratio < high if by_ratio else bottom + prominence < high
    rises = top > low * ratio if by_ratio else top > low + prominence
    spikes = number + 1 if threshold == -math.inf else jnp.where(high >= threshold, number + 1, number)
    count = jnp.where(risen, jnp.where(falls, spikes, swing.seen), jnp.where(rises, -0.5 - number, number))
    upper, lower = jnp.where(falls, bottom, jnp.maximum(high, value)), jnp.where(rises, top, jnp.minimum(low, value))
    tops = jnp.where(risen, top > swing.extreme, rises)
    turn = Turn(
        tops=jnp.where(tops, jnp.ones_like(value), jnp.zeros_like(value)),
        height=jnp.where(risen, high, low),
        ago=None if ago is None else jnp.where(middle > value, ago, jnp.zeros_like(ago)),
    )
    return Swing(jnp.where(risen, upper, lower), count, course), turn


def _extremum(before: Any, now: Course, h: Values | float) -> tuple[Values, Values]:
    """The extremum between two points, by the quintic through both, and how long ago it was; the value now if there is none,
    if the slopes have the same sign."""
    a1, a2 = h * before.slope, h**2 * before.bend / 2
    d, e, f = now.value - before.value - a1 - a2, h * now.slope - a1 - 2 * a2, h**2 * now.bend - 2 * a2
    a3, a4, a5 = 10 * d - 4 * e + f / 2, 7 * e - 15 * d - f, 6 * d - 3 * e + f / 2
    fall = before.slope - now.slope

    def move(s: Values) -> Values:
        slope = a1 + s * (2 * a2 + s * (3 * a3 + s * (4 * a4 + s * 5 * a5)))
        bend = 2 * a2 + s * (6 * a3 + s * (12 * a4 + s * 20 * a5))
        return ratio(slope, bend)

    start = jnp.clip(ratio(before.slope, fall), 0, 1)
    s = newton(move, start, _NEWTON_STEPS, keep=lambda new, _: jnp.clip(new, 0, 1), unrolled=True)
    between = before.value + s * (a1 + s * (a2 + s * (a3 + s * (a4 + s * a5))))
    return jnp.where(before.slope * now.slope < 0, between, now.value), (1 - s) * h
