"""Layer 4: a whole burst cycle from energy: onset, spikes, quiescence, onset again, as a map iterated to its fixed point.

No fast equation is solved in time: spikes come from half cycles of energy (`half_cycle`), the first one from the energy at
the onset (`first_spike`), and the time between bursts from the reduced flow along the slow variables (`quiescence`).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Scalar, Values
from .first_spike import fall, first_peak
from .half_cycle import CYCLE, Turn, follow_turns
from .moving import Moving, Slow, choose
from .quiescence import Onset, quiescence

_PASSES = 2


def last_turn(turns: Turn) -> tuple[Turn, Values]:
    """The last turning point that exists, and how many there are."""
    count = jnp.sum(turns.exists)
    at = jnp.maximum(count - 1, 0)
    return jax.tree.map(lambda each: each[at], turns), count


def _burst(land: Moving, onset: Onset, most: int) -> Turn:
    return follow_turns(land, first_peak(land, onset.q, onset.speed, onset.s), most, CYCLE)


def _rest(land: Moving, turns: Turn, fast: Values) -> Onset:
    """From a burst's last turning point to the next onset: along the drifting well, or straight past the saddle."""
    last, count = last_turn(turns)
    before = turns.q[jnp.maximum(count - 2, 0)]
    dropped = fall(land, last.q, last.s)
    is_peak, rings = count % 2 == 1, (count < 2) | (before - last.q > 0.025 * last.q)
    drops = dropped.exists & is_peak & rings
    begin = choose(drops, (dropped.q, dropped.s, dropped.time), (last.q, last.s, jnp.zeros_like(last.q)))
    onset = quiescence(land, begin[0], begin[1], fast, jnp.zeros_like(drops))
    return onset._replace(time=onset.time + begin[2] + last.time)


class Cycle(eqx.Module):
    """A predicted burst cycle in units of τ; see `BurstCycle` for what users get."""

    turns: Turn
    onset: Onset
    next_onset: Onset
    shift: Scalar


def burst_map(land: Moving, start: Onset, fast: Values, most: int) -> Cycle:
    """The burst cycle from one iteration to the next, `_PASSES` times: contraction is strong."""

    def once(onset: Onset, _: Any) -> tuple[Onset, tuple[Turn, Onset]]:
        turns = _burst(land, onset, most)
        following = _rest(land, turns, fast)
        following = following._replace(exists=following.exists & turns.exists[0])
        return following, (turns, onset)

    after, (turns, onsets) = jax.lax.scan(once, start, None, length=_PASSES)
    turns, onset = jax.tree.map(lambda each: each[-1], (turns, onsets))
    moved = [jnp.abs(after.s[name] - onset.s[name]) / (jnp.abs(onset.s[name]) + 1e-3) for name in after.s]
    return Cycle(turns, onset, after, jnp.max(jnp.stack(moved)))


def first_onset(land: Moving, s: Slow, fast: Values) -> Onset:
    """A first guess: quiescence that begins below the cusp rate with slow variables `s`."""
    q = 1.3 * land.cusp()
    return quiescence(land, q, s, fast, jnp.ones_like(q, bool))
