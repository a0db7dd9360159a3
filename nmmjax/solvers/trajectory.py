"""The result of one simulation: what was computed, how it ended and what it cost."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import lie_within, require
from .._parameter import describe
from .._results import RESULTS
from .._types import Real, Scalar, Values, float_dtype, is_concrete
from ..models.stimulus import AbstractStimulus, input_at
from .clock import Clock


class Trajectory(eqx.Module):
    """States of a model at the requested times.

    - `ts`: times as given, shape `(n,)`, in NumPy's float64 if the run's dtype would blur their differences; `elapsed`: the
      same counted from the first, which is the solver's clock
    - `ys`: the model's state with arrays of shape `(n,)`, or `(n, nodes)` for a network, NaN at times that were not reached
    - `result`: a `RESULTS` code, empty message where successful; `reached`: how many of `ts` have finite states
    - `t_end`, `y_end`: the last time and state, also where an event or a failure stopped the run early
    - `stats`: numbers of steps; `wall_time`: seconds, with compilation if this was the first run of its kind, or NaN
    - `noise`: the random input's law, None without; `fluctuation`: coloured noise's path x at `ts`, of the shape of v;
      `fluctuation_end`: its last value, with which `simulate(model, run, …)` goes on
    - `interpolation`: the solution at any time, where `dense=True` was asked for (call `run.evaluate(t)`)

    Print it for a summary. A pytree: `jax.vmap`, `jax.grad` and `jax.jit` over `simulate` work.
    """

    model: Any
    stimulus: AbstractStimulus | None
    ts: Any
    ys: Any
    result: RESULTS
    t_end: Any
    y_end: Any
    stats: dict[str, Any]
    wall_time: Scalar
    interpolation: Any
    event_mask: Any
    method: str = eqx.field(static=True)
    noise: Any = None
    fluctuation: Any = None
    elapsed: Any = None
    start: Any = None

    @property
    def clock(self) -> Clock:
        """The run's clock, which counts from its first time."""
        return Clock(self.ts, self.elapsed, self.start)

    @property
    def stimulus_since_start(self) -> AbstractStimulus | None:
        """The stimulus on the run's clock; as it is for a model with a clock of its own."""
        if self.stimulus is None or self.start is None or self.model.own_clock:
            return self.stimulus
        return self.stimulus.since(self.start)

    @property
    def fluctuation_end(self) -> Any:
        """Coloured noise's last value, of the shape of v; None without."""
        return None if self.fluctuation is None else jnp.take(self.fluctuation, -1, axis=self.ts.ndim - 1)

    @property
    def reached(self) -> Any:
        """How many of the requested times were computed, with finite states; one number per run of a batch."""
        finite = jnp.all(jnp.stack([jnp.isfinite(leaf) for leaf in jax.tree.leaves(self.ys)]), axis=0)
        return jnp.sum(jnp.all(finite, axis=tuple(range(self.ts.ndim, finite.ndim))), axis=-1)

    @property
    def input(self) -> Values:
        """The stimulus I(t) at `ts`; zeros without one. Of the state's shape: `(n,)`, or `(n, nodes)` for a network."""
        self.require_single("read the input")
        times = self.model.physical_time(self.elapsed, self.ys)
        current = jax.vmap(lambda t: input_at(self.stimulus_since_start, t))(times)
        missing = jax.tree.leaves(self.ys)[0].ndim - current.ndim
        return jnp.broadcast_to(current.reshape(current.shape + (1,) * missing), jax.tree.leaves(self.ys)[0].shape)

    def require_single(self, purpose: str) -> None:
        """Refuse, in one sentence, a batch of runs made by `jax.vmap`, for what looks at one run, and a run in float64 where
        x64 is off: JAX would go on in float32, in which what was computed doesn't hold."""
        double = any(getattr(leaf, "dtype", None) == np.float64 for leaf in jax.tree.leaves(self.ys))
        if double and float_dtype() != np.float64:
            raise ValueError(
                f"Argument `run` must be used with x64 enabled, as it was made, to {purpose} "
                '(`jax.config.update("jax_enable_x64", True)`), but got a run in float64 while x64 is off.'
            )
        if self.ts.ndim != 1:
            raise ValueError(
                f"Argument `run` must be a single run to {purpose}, but got a batch of shape {self.ts.shape[:-1]}."
            )

    def evaluate(self, t: Real) -> Any:
        """State at any time(s) between the first and the last; needs `simulate(..., dense=True)`."""
        if self.interpolation is None:
            raise ValueError("Argument `dense` must be True in `simulate` to evaluate between saved times, but got False.")
        self.require_single("evaluate it")
        given, t = t, self.clock.since_start(t)
        if is_concrete(t) and is_concrete(self.elapsed):
            rule = f"lie within the run's times [{self.ts[0]:g}, {self.ts[-1]:g}]"
            require("t", given, rule, lie_within(t, self.elapsed[0], self.elapsed[-1]))
        t = jnp.clip(t, self.elapsed[0], self.elapsed[-1])
        inner = self.interpolation.evaluate
        return inner(t) if t.ndim == 0 else jax.vmap(inner)(t)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` with units, parameters and versions as attributes (extra `data`)."""
        from .._labelled import to_xarray

        return to_xarray(self)

    def __str__(self) -> str:
        if not is_concrete(self.ts):
            return f"Trajectory of {describe(self.model)} (traced)"
        if self.ts.ndim > 1:
            return f"Trajectories of {type(self.model).__name__}, batch shape {self.ts.shape[:-1]}, {self.method}"
        message = RESULTS[self.result] or "successful"
        steps = {name: int(self.stats[name]) for name in ("num_accepted_steps", "num_rejected_steps")}
        shown = lambda t: f"{float(t):.12g}" if isinstance(self.ts, np.ndarray) else f"{t:g}"
        seconds = float(self.wall_time)
        cost = "not measured inside a transformation" if np.isnan(seconds) else f"{seconds:.3g} s, with compilation if any"
        size = sum(
            leaf.nbytes for leaf in jax.tree.leaves((self.ts, self.ys, self.interpolation)) if hasattr(leaf, "nbytes")
        )
        rows = [
            ("model", describe(self.model)),
            ("stimulus", "none" if self.stimulus is None else describe(self.stimulus)),
            *([] if self.noise is None else [("noise", repr(self.noise))]),
            ("solver", f"{self.method}, {self.elapsed.dtype} on {_device(self.elapsed)}"),
            ("steps", f"{steps['num_accepted_steps']} accepted, {steps['num_rejected_steps']} rejected"),
            (
                "result",
                f"{message}, {int(self.reached)} of {self.ts.size} times, t = {shown(self.ts[0])} to {shown(self.t_end)}",
            ),
            ("wall time", cost),
            ("memory", f"{size / 1024:.3g} KiB of results"),
        ]
        return "\n".join(["Trajectory"] + [f"  {name:<10}{value}" for name, value in rows])

    def __repr__(self) -> str:
        return str(self)


def _device(array: Any) -> str:
    return next(iter(array.devices())).platform if isinstance(array, jax.Array) else "host"
