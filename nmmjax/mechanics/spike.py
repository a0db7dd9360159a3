"""Layer 2: what a spike is, once for the whole library.

A spike is a maximum of the firing rate to which ln r rises by more than `prominence` from its lowest value since the last
spike (or since the run's start), and from which it then falls by more than `prominence`. By default `prominence` is
`PROMINENCE` = 1e-3 for every counter. The fall is part of it: a rate that comes to rest from below, by rounding or in
truth by a hair too far, has no spike there, and neither has a rate at rest.

Channels that are positive (r) are measured by the logarithm, all others (v, energies, the input) by their own unit:
there, `prominence` is the absolute rise and fall.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from .._checks import as_float
from .._types import Mask, Values

PROMINENCE = 1e-3
_NEWTON_STEPS = 3


def as_prominence(prominence: Any) -> float:
    """`prominence` as a number ≥ 0, else `ValueError`."""
    as_float("prominence", prominence, "be a number ≥ 0", lambda value: value >= 0)
    return float(prominence)  # in full, also where arrays are in single precision


def visible(prominence: float) -> float:
    """The relative error of a step that is small against the ringing that still counts; at 0 every maximum counts anyway."""
    return prominence / 100 if prominence > 0 else math.inf


class Swing(NamedTuple):
    """Where a channel stands: value and slope at the last point seen; whether it has `risen` (1 or 0) far enough for a
    spike; its `extreme`, the highest value since it rose, or else the lowest since the last spike; and its second
    derivative at the last point where steps may be long, else None."""

    value: Values
    slope: Values
    extreme: Values
    risen: Values
    bend: Values | None = None


class Turn(NamedTuple):
    """What a point brings: whether a spike is over; whether the rise to one is; whether the highest value lies here, and how
    long ago; the highest value of the spike, and the lowest before it."""

    spiked: Mask
    rises: Mask
    tops: Mask
    ago: Values | None
    high: Values
    low: Values


def swing_at(value: Values, slope: Values, bend: Values | None = None) -> Swing:
    """At the first point, which counts as a low one."""
    return Swing(value, slope, value, jnp.zeros_like(value), bend)


def follow(swing: Swing, now: Swing, h: Values, prominence: float, by_ratio: bool) -> tuple[Swing, Turn]:
    """The swing at the next point, `swing_at` which is `now`, a time `h` later, and what that brings.

    `by_ratio` if prominence is that of the channel's logarithm, which is not taken: this runs at every step.
    """
    value = now.value
    turns = swing.slope * now.slope < 0
    between, ago = _extremum(swing, now, h)
    middle = jnp.where(turns, between, value)
    top, bottom = jnp.maximum(middle, value), jnp.minimum(middle, value)
    high, low = jnp.maximum(swing.extreme, middle), jnp.minimum(swing.extreme, middle)
    ratio = math.exp(prominence)
    risen = swing.risen > 0
    spiked = risen & (bottom * ratio < high if by_ratio else bottom + prominence < high)
    rises = ~risen & (top > low * ratio if by_ratio else top > low + prominence)
    highest = jnp.where(spiked, bottom, jnp.maximum(high, value))
    extreme = jnp.where(risen, highest, jnp.where(rises, top, jnp.minimum(low, value)))
    up = jnp.where((risen & ~spiked) | rises, jnp.ones_like(value), jnp.zeros_like(value))
    tops = rises | (risen & (top > swing.extreme))
    ago = None if ago is None else jnp.where(middle > value, ago, jnp.zeros_like(ago))
    return now._replace(extreme=extreme, risen=up), Turn(spiked, rises, tops, ago, high, low)


def _extremum(before: Swing, now: Swing, h: Values) -> tuple[Values, Values | None]:
    """The extremum between two points with slopes of opposite signs, and how long ago it was.

    Where steps are short, the middle of the cubic through both points stands for it, without a division: of the rise or fall
    from the nearer point it sees all but (ω h)²/32. Where they may be long, it is that of the quintic through both.
    """
    if before.bend is None or now.bend is None:
        return (before.value + now.value) / 2 + h / 8 * (before.slope - now.slope), None
    a1, a2 = h * before.slope, h**2 * before.bend / 2
    d, e, f = now.value - before.value - a1 - a2, h * now.slope - a1 - 2 * a2, h**2 * now.bend - 2 * a2
    a3, a4, a5 = 10 * d - 4 * e + f / 2, 7 * e - 15 * d - f, 6 * d - 3 * e + f / 2
    fall = before.slope - now.slope
    s = jnp.clip(before.slope / jnp.where(fall == 0, jnp.ones_like(fall), fall), 0, 1)
    for _ in range(_NEWTON_STEPS):
        slope = a1 + s * (2 * a2 + s * (3 * a3 + s * (4 * a4 + s * 5 * a5)))
        bend = 2 * a2 + s * (6 * a3 + s * (12 * a4 + s * 20 * a5))
        s = jnp.clip(s - slope / jnp.where(bend == 0, jnp.ones_like(bend), bend), 0, 1)
    return before.value + s * (a1 + s * (a2 + s * (a3 + s * (a4 + s * a5)))), (1 - s) * h
