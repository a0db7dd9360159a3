"""Functional connectivity over windows, and how alike windows are."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._checks import as_float, require
from .._types import Values
from .base import AbstractMonitor, AbstractStatistic, as_monitor, as_skip, keep
from .connectivity import correlations

_TIME = "be a time of at least {} samples, in the model's unit of time"


class DynamicFC(AbstractStatistic):
    """Dynamics of functional connectivity: how alike the correlation matrices of all windows are, windows × windows.

        FCD_ab = correlation of the entries above the diagonal of FC(window a) and FC(window b)

    - `monitor`: what is recorded, such as `BOLD(TR=2000.0)`
    - `width`: length of a window, in the model's unit of time; as a whole number of samples, at least 3, to which it is
      rounded. Typical are 30 to 60 s
    - `step`: time from window to window, rounded likewise, at least one sample; a third of `width` by default
    - `skip`: time at the start whose samples are left out; by default the monitor's transient, 30 s of BOLD
    - `output`: "matrix" (default), or "variance": one number, that of FCD_ab over pairs of windows that share no sample,
      large if the network visits different states

    All samples are kept until the end, samples × m numbers, and then the m (m − 1)/2 entries of every window. Raises
    `ValueError` for fewer than two windows (for "variance", of pairs without common samples). Source: Hansen et al.,
    NeuroImage 105:525 (2015).
    """

    monitor: AbstractMonitor = eqx.field(converter=as_monitor)
    width: float = eqx.field(static=True)
    step: float = eqx.field(static=True)
    skip: float = eqx.field(static=True)
    output: str = eqx.field(static=True)
    kind: ClassVar[str] = "dynamic functional connectivity"

    def __init__(
        self, monitor: Any, width: float, step: float | None = None, skip: float | None = None, output: str = "matrix"
    ):
        self.monitor = as_monitor(monitor)
        period = self.monitor.period
        least = lambda count: lambda time: round(time / period) >= count
        self.width = as_float("width", width, _TIME.format(3), least(3))
        self.step = max(self.width / 3, period) if step is None else as_float("step", step, _TIME.format(1), least(1))
        self.skip, self.output = as_skip(skip, self.monitor), output
        require("output", output, 'be "matrix" or "variance"', output in ("matrix", "variance"))

    @property
    def _counts(self) -> tuple[int, int]:
        """Samples of a window, and from window to window."""
        return round(self.width / self.monitor.period), max(round(self.step / self.monitor.period), 1)

    @property
    def _apart(self) -> int:
        """By how many windows those without common samples are apart."""
        width, step = self._counts
        return -(-width // step)

    @property
    def least(self) -> int:
        width, step = self._counts
        return width + (step if self.output == "matrix" else step * (self._apart + 1))

    @property
    def long_name(self) -> str:
        name = "correlation between functional connectivities of windows"
        return name if self.output == "matrix" else f"variance of the {name}"

    def windows(self, samples: int) -> int:
        """How many windows there are in a number of `samples`."""
        width, step = self._counts
        return (self.used(samples) - width) // step + 1

    def begin(self, m: int, samples: int, dtype: Any) -> Any:
        return jnp.zeros((self.used(samples), m), dtype)

    def update(self, state: PyTree, sample: Values, k: Any) -> Any:
        return keep(state, sample, k - self.skipped)

    def finish(self, state: PyTree) -> Values:
        (width, step), (used, m) = self._counts, state.shape
        starts = jnp.arange((used - width) // step + 1) * step
        pairs = np.triu_indices(m, 1)

        def window(_: None, start: Any) -> tuple[None, Values]:
            x = jax.lax.dynamic_slice_in_dim(state, start, width)
            x = x - jnp.mean(x, axis=0, keepdims=True)
            return None, correlations(x.T @ x)[pairs]

        _, found = jax.lax.scan(window, None, starts)
        away = found - jnp.mean(found, axis=1, keepdims=True)
        alike = correlations(away @ away.T)
        return alike if self.output == "matrix" else jnp.var(alike[np.triu_indices(starts.size, self._apart)])

    def dims(self, m: int, samples: int) -> dict[str, int]:
        count = self.windows(samples)
        return {"window": count, "other_window": count} if self.output == "matrix" else {}

    def coords(self, labels: Any, samples: int) -> dict[str, Any]:
        width, step = self._counts
        centre = self.skipped + np.arange(self.windows(samples)) * step + (width + 1) / 2  # sample k ends period k + 1
        return dict.fromkeys(self.dims(len(labels), samples), self.monitor.period * centre)
