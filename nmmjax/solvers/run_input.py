"""What one run is asked for: the input that all loops share."""

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Values, if_known, is_concrete
from ..models.stimulus import AbstractStimulus
from .clock import Clock, jump_times
from .outcomes import since_start, unknown_span, within
from .trajectory import Trajectory


@dataclasses.dataclass(frozen=True)
class RunInput:
    """A run's model, start, input and times.

    - `model`, `y0`, `stimulus`, `noise`, `key`, `dt0`, `progress`: as of `simulate`; `clock`: its times
    - `before`: the run that this one goes on from, None for a state
    """

    model: Any
    y0: Any
    stimulus: AbstractStimulus | None
    noise: Any
    key: Any
    clock: Clock
    dt0: Any = None
    before: Trajectory | None = None
    progress: bool = False

    @property
    def ts(self) -> Values:
        """Saved times since the start."""
        return self.clock.elapsed

    def counted(self) -> Any:
        """The stimulus on the run's clock, which counts from the start."""
        return if_known(since_start, self.stimulus, self.model, self.clock)

    def jumps(self, counted: Any) -> Values:
        """Times at which that stimulus jumps."""
        return jnp.zeros(0, self.ts.dtype) if counted is None else jump_times(counted).astype(self.ts.dtype)

    def within(self, counted: Any, t_end: Values, saved: Any, end: object, result: Any) -> tuple[Any, Any, Any]:
        """States, end and result code of a run of that stimulus: absent where a recorded input has no values."""
        return within(self.span(counted), self.ts, t_end, saved, end, result)

    def span(self, counted: Any) -> Any:
        """The recorded input's range on the run's clock, if tracing hid it when it was checked."""
        return unknown_span(self.stimulus, counted, self.model, self.clock)

    def seconds(self, began: float, computed: Any) -> Values:
        """What the run took, `began` by the machine's clock; absent inside `jax.jit`, where nothing has run yet."""
        known = all(is_concrete(leaf) for leaf in jax.tree.leaves((computed, self.clock.ts)))
        if known:
            jax.block_until_ready(computed)
        return jnp.asarray(time.perf_counter() - began if known else np.nan, self.ts.dtype)
