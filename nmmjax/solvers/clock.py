"""The clock of a run counts from its first time, so that no digits are lost at times far from 0.

In float32 numbers near 10⁵ lie 1/128 apart. The differences of times are taken first, in the precision in which they were
given, and only then rounded.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from .._checks import as_array, as_samples, require
from .._types import Values, is_concrete
from ..models.stimulus import AbstractStimulus

_ROUNDED = 0.01  # of the shortest interval: what rounding to the run's dtype may move a reported time


class Clock(eqx.Module):
    """The times of a run.

    - `ts`: as they are reported: in the run's dtype, or NumPy's float64 if that would blur their differences
    - `elapsed`: times since the first, in the run's dtype
    - `start`: the first time as a sum of two numbers of the run's dtype, `(2,)`; None if it is 0
    """

    ts: Any
    elapsed: Values
    start: Any

    def since_start(self, t: Any) -> Any:
        """Any time, or times, counted from the first."""
        dtype = self.elapsed.dtype
        if is_concrete(t) and is_concrete(self.start):
            start = 0.0 if self.start is None else np.sum(np.asarray(self.start, float))
            return jnp.asarray(np.asarray(t, float) - start, dtype)
        t = jnp.asarray(t).astype(dtype)
        return t if self.start is None else (t - self.start[0]) - self.start[1]

    def time_at(self, elapsed: Any) -> Any:
        """Inverse of `since_start`, in the precision of `ts`."""
        if self.start is None:
            return elapsed
        if isinstance(self.ts, np.ndarray) and is_concrete(elapsed):
            return np.asarray(np.sum(np.asarray(self.start, float)) + np.asarray(elapsed, float))
        return self.start[0] + (self.start[1] + elapsed)


def clock_of(ts: object, dtype: DTypeLike) -> Clock:
    """`ts`, at least two finite and strictly increasing times, as the clock of a run; else `ValueError`."""
    times = as_array(ts)
    require("ts", ts, "be an array of numbers", isinstance(times, jax.Array))
    require("ts", times, "have one axis and at least 2 times", times.ndim == 1 and times.shape[0] >= 2)
    if not is_concrete(times):
        start = jnp.stack([times[0].astype(dtype), (times[0] - times[0].astype(dtype).astype(times.dtype)).astype(dtype)])
        return Clock(times.astype(dtype), (times - times[0]).astype(dtype), start)
    exact = np.asarray(as_samples(ts), float)
    require("ts", exact, "be finite, without NaN", bool(np.all(np.isfinite(exact))))
    require("ts", exact, "be strictly increasing", bool(np.all(np.diff(exact) > 0)))
    elapsed = np.asarray(exact - exact[0]).astype(dtype)
    rule = f"be strictly increasing also in {np.dtype(dtype).name}, in which the run counts from the first time"
    require("ts", exact, rule, bool(np.all(np.diff(elapsed) > 0)))
    rounded = exact.astype(dtype)
    blurred = np.max(np.abs(rounded - exact)) > _ROUNDED * np.min(np.diff(exact))
    if exact[0] == 0:
        return Clock(jnp.asarray(rounded), jnp.asarray(rounded), None)
    start = jnp.asarray([rounded[0], exact[0] - float(rounded[0])], dtype)
    return Clock(exact if blurred else jnp.asarray(rounded), jnp.asarray(elapsed), start)


def jump_times(stimulus: AbstractStimulus) -> Values:
    """The stimulus's jumps, sorted, those closer than rounding merged (a solver can't step between them)."""
    jumps = jnp.sort(stimulus.jumps())
    if jumps.shape[0] < 2:
        return jumps
    gap = 16 * jnp.finfo(jumps.dtype).eps * jnp.maximum(jnp.abs(jumps[1:]), 1)
    merged = jnp.where(jumps[1:] - jumps[:-1] <= gap, jumps[:-1], jumps[1:])
    return jnp.concatenate([jumps[:1], merged])
