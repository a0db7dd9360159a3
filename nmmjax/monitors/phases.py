"""How synchronous regions are, and how much that changes."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._checks import require
from .._types import Values
from .base import AbstractMonitor, AbstractStatistic, as_monitor, as_skip, keep

_MEASURES = ("metastability", "synchrony")


class Metastability(AbstractStatistic):
    """Metastability and synchrony of what is recorded: standard deviation and mean over time of the Kuramoto order parameter

        R(t) = |Σ_j e^{iθ_j(t)}|/m,   θ_j the phase of the analytic signal of series j (its Hilbert transform)

    - `monitor`: what is recorded, such as `TemporalAverage(1.0)`
    - `skip`: time at the start whose samples are left out; by default the monitor's transient, 30 s of BOLD
    - `band`: (low, high) frequencies in cycles per unit of time that are kept; all above 0 by default. Phases mean something
      for signals of one rhythm only

    The result (2,) is metastability, synchrony. The transform is not causal: all samples are kept until the end, samples × m
    numbers, and R is less certain within a period of the rhythm from the ends. Independent series have the synchrony
    √(π/(4m)), not 0. Raises `ValueError` for bands outside of 0 to 1/(2 period), and for fewer than 8 samples. Source:
    Shanahan, Chaos 20:013108 (2010); Cabral et al., NeuroImage 57:130 (2011).
    """

    monitor: AbstractMonitor = eqx.field(converter=as_monitor)
    skip: float = eqx.field(static=True)
    band: tuple[float, float] | None = eqx.field(static=True)
    kind: ClassVar[str] = "synchrony"

    def __init__(self, monitor: Any, skip: float | None = None, band: Any = None):
        self.monitor = as_monitor(monitor)
        self.skip = as_skip(skip, self.monitor)
        if band is not None:
            top = 1 / (2 * self.monitor.period)
            try:
                band = tuple(float(each) for each in band)
            except (TypeError, ValueError):
                band = (np.nan, np.nan, np.nan)
            rule = f"be two frequencies, 0 ≤ low < high ≤ 1/(2 period) = {top:g}, or None"
            require("band", band, rule, len(band) == 2 and 0 <= band[0] < band[1] <= top * (1 + 1e-9))
        self.band = band

    @property
    def least(self) -> int:
        return 8

    @property
    def long_name(self) -> str:
        return "metastability and synchrony"

    def begin(self, m: int, samples: int, dtype: Any) -> Any:
        return jnp.zeros((self.used(samples), m), dtype)

    def update(self, state: PyTree, sample: Values, k: Any) -> Any:
        return keep(state, sample, k - self.skipped)

    def order(self, samples: Values) -> Values:
        """R at every time of the `samples` (samples, m), (samples,)."""
        count = samples.shape[0]
        f = np.fft.fftfreq(count, self.monitor.period)
        weight = np.where(f > 0, 2.0, 0.0)  # negative frequencies have none, and neither has the mean
        weight[count // 2] = 1.0 if count % 2 == 0 else weight[count // 2]
        if self.band is not None:
            weight *= (np.abs(f) >= self.band[0] * (1 - 1e-12)) & (np.abs(f) <= self.band[1] * (1 + 1e-12))
        waves = jnp.fft.fft(samples - jnp.mean(samples, axis=0, keepdims=True), axis=0)
        signal = jnp.fft.ifft(jnp.asarray(weight, waves.dtype)[:, None] * waves, axis=0)
        square = signal.real**2 + signal.imag**2
        size = jnp.sqrt(jnp.where(square > 0, square, 1))
        x, y = jnp.mean(signal.real / size, axis=1), jnp.mean(signal.imag / size, axis=1)
        square = x**2 + y**2
        return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)

    def finish(self, state: PyTree) -> Values:
        R = self.order(state)
        return jnp.stack([jnp.std(R), jnp.mean(R)])

    def dims(self, m: int, samples: int) -> dict[str, int]:
        return {"measure": 2}

    def coords(self, labels: Any, samples: int) -> dict[str, Any]:
        return {"measure": _MEASURES}
