"""A whole burst cycle from energy: onset, spikes, quiescence, onset again, as a map passed through twice.

No fast equation is solved in time: spikes come from half cycles of energy (`swings`), the first one from the energy at
the onset (`first_spike`), and the time between bursts from the reduced flow along the slow variables (`slow_flow`).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Scalar, Values
from .first_spike import first_peak
from .moving import Moving, Slow
from .slow_flow import Onset, ascent, descent
from .swings import CYCLE, Turn, follow_turns


def last_turn(turns: Turn) -> tuple[Turn, Any]:
    """The last turning point that exists, and how many there are."""
    count = jnp.sum(turns.exists)
    at = jnp.maximum(count - 1, 0)
    return jax.tree.map(lambda each: each[at], turns), count


def _burst(land: Moving, onset: Onset, most: int) -> Turn:
    return follow_turns(land, first_peak(land, onset.q, onset.speed, onset.s), most, CYCLE)


def _rest(land: Moving, turns: Turn, fast: Values) -> Onset:
    """Course from a burst's last turning point to the next onset: down along the drifting well, and up through rest."""
    last, _ = last_turn(turns)
    q, s, down, arrives = descent(land, last, fast)
    onset = ascent(land, q, s, fast, arrives)
    return onset._replace(time=last.time + down + onset.time)


class Cycle(eqx.Module):
    """A predicted burst cycle in units of τ; see `BurstCycle` for what users get."""

    turns: Turn
    onset: Onset
    next_onset: Onset
    shift: Scalar


def burst_map(land: Moving, start: Onset, fast: Values, most: int) -> Cycle:
    """The burst cycle after a first one without ringing, along the well: contraction is strong."""
    zero = jnp.zeros_like(start.q)
    well = land.well(land.high_well(start.s), start.s, 4)
    q, s, _, arrives = descent(land, Turn(well, start.s, zero, zero, zero, start.exists), fast)
    onset = ascent(land, q, s, fast, arrives)
    turns = _burst(land, onset, most)
    after = _rest(land, turns, fast)
    after = after._replace(exists=after.exists & turns.exists[0])
    moved = [jnp.abs(after.s[name] - onset.s[name]) / (jnp.abs(onset.s[name]) + 1e-3) for name in after.s]
    return Cycle(turns, onset, after, jnp.max(jnp.stack(moved)))


def first_onset(land: Moving, s: Slow, fast: Values) -> Onset:
    """A first guess, in steps twice as long: the onset after rest that begins below the cusp rate with `s`."""
    q = 1.3 * land.cusp()
    return ascent(land, q, s, 2.0 * fast, jnp.ones_like(q, bool))
