"""Layer 3: the result of one simulation: what was computed, how it ended and what it cost."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._parameter import describe
from .._results import RESULTS
from .._types import Real, Scalar, Values, is_concrete
from ..models.stimulus import AbstractStimulus, input_at


class Trajectory(eqx.Module):
    """States of a model at the requested times.

    - `ts`: times, shape `(n,)`; `ys`: the model's state with arrays of shape `(n,)`, or `(n, nodes)` for a network, NaN at
      times that were not reached
    - `result`: a `RESULTS` code, empty message where successful; `reached`: how many of `ts` have finite states
    - `t_end`, `y_end`: the last time and state, also where an event or a failure stopped the run early
    - `stats`: numbers of steps; `wall_time`: seconds, with compilation if this was the first run of its kind, or NaN
    - `noise`: the random input's law, None without; `fluctuation`: coloured noise's path x at `ts`, of the shape of v
    - `interpolation`: the solution at any time, where `dense=True` was asked for (call `run.evaluate(t)`)

    Print it for a summary. A pytree: `jax.vmap`, `jax.grad` and `jax.jit` over `simulate` work.
    """

    model: Any
    stimulus: AbstractStimulus | None
    ts: Values
    ys: Any
    result: RESULTS
    t_end: Scalar
    y_end: Any
    stats: dict[str, Any]
    wall_time: Scalar
    interpolation: Any
    event_mask: Any
    method: str = eqx.field(static=True)
    noise: Any = None
    fluctuation: Any = None

    @property
    def reached(self) -> Any:
        """How many of the requested times were computed, with finite states; one number per run of a batch."""
        finite = jnp.all(jnp.stack([jnp.isfinite(leaf) for leaf in jax.tree.leaves(self.ys)]), axis=0)
        return jnp.sum(jnp.all(finite, axis=tuple(range(self.ts.ndim, finite.ndim))), axis=-1)

    @property
    def input(self) -> Values:
        """The stimulus I(t) at `ts`; zeros without one. Of the state's shape: `(n,)`, or `(n, nodes)` for a network."""
        self.require_single("read the input")
        times = self.model.physical_time(self.ts, self.ys)
        current = jax.vmap(lambda t: input_at(self.stimulus, t))(times)
        missing = jax.tree.leaves(self.ys)[0].ndim - current.ndim
        return jnp.broadcast_to(current.reshape(current.shape + (1,) * missing), jax.tree.leaves(self.ys)[0].shape)

    def require_single(self, purpose: str) -> None:
        """Refuse, in one sentence, a batch of runs made by `jax.vmap`, for what looks at one run."""
        if self.ts.ndim != 1:
            raise ValueError(
                f"Argument `run` must be a single run to {purpose}, but got a batch of shape {self.ts.shape[:-1]}."
            )

    def evaluate(self, t: Real) -> Any:
        """State at any time(s) between the first and the last; needs `simulate(..., dense=True)`."""
        if self.interpolation is None:
            raise ValueError("Argument `dense` must be True in `simulate` to evaluate between saved times, but got False.")
        self.require_single("evaluate it")
        t = jnp.asarray(t, self.ts.dtype)
        inner = self.interpolation.evaluate
        return inner(t) if t.ndim == 0 else jax.vmap(inner)(t)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` with units, parameters and versions as attributes (extra `data`)."""
        from ..io import to_xarray

        return to_xarray(self)

    def __str__(self) -> str:
        if not is_concrete(self.ts):
            return f"Trajectory of {describe(self.model)} (traced)"
        if self.ts.ndim > 1:
            return f"Trajectories of {type(self.model).__name__}, batch shape {self.ts.shape[:-1]}, {self.method}"
        message = RESULTS[self.result] or "successful"
        steps = {name: int(self.stats[name]) for name in ("num_accepted_steps", "num_rejected_steps")}
        seconds = float(self.wall_time)
        cost = "not measured inside a transformation" if np.isnan(seconds) else f"{seconds:.3g} s, with compilation if any"
        size = sum(
            leaf.nbytes for leaf in jax.tree.leaves((self.ts, self.ys, self.interpolation)) if hasattr(leaf, "nbytes")
        )
        rows = [
            ("model", describe(self.model)),
            ("stimulus", "none" if self.stimulus is None else describe(self.stimulus)),
            *([] if self.noise is None else [("noise", repr(self.noise))]),
            ("solver", f"{self.method}, {self.ts.dtype} on {_device(self.ts)}"),
            ("steps", f"{steps['num_accepted_steps']} accepted, {steps['num_rejected_steps']} rejected"),
            ("result", f"{message}, {int(self.reached)} of {self.ts.size} times, t = {self.ts[0]:g} to {self.t_end:g}"),
            ("wall time", cost),
            ("memory", f"{size / 1024:.3g} KiB of results"),
        ]
        return "\n".join(["Trajectory"] + [f"  {name:<10}{value}" for name, value in rows])

    def __repr__(self) -> str:
        return str(self)


def _device(array: Any) -> str:
    return next(iter(array.devices())).platform if isinstance(array, jax.Array) else "host"
