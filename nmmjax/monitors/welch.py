"""Power spectra of what is recorded, by Welch's method, folded segment by segment."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._checks import as_float, require
from .._types import Values
from .base import AbstractMonitor, AbstractStatistic, as_monitor, as_skip


class Spectrum(AbstractStatistic):
    """Power spectrum of every recorded series, by Welch's method: the mean over overlapping segments of

        S(f) = |Σ_k w_k (y_k − ȳ) e^{−2πifk period}|² · period/Σ_k w_k²

    Two-sided by default, as `power_spectrum` and `linear_response` are: ∫ S df over all f, negative ones included, is the
    variance. With `sided="one"` the power of −f is added to that of f, and ∫₀^∞ S df is the variance: what SciPy's `welch`
    and `SpectrumTarget` say.

    - `monitor`: what is recorded, such as `TemporalAverage(1.0)`
    - `segment`: length of a segment, in the model's unit of time, rounded to whole samples, at least 4: frequencies are
      1/segment apart
    - `overlap`: share of a segment that the next one has, 0 ≤ `overlap` < 1; 0.5 by default
    - `skip`: time at the start whose samples are left out; by default the monitor's transient, 30 s of BOLD
    - `sided`: "two" (default) or "one"
    - `taper`: w, "hann" (default) or "none"

    Frequencies are in cycles per unit of time, from 0 to 1/(2 period). One segment of samples is kept, and the sum. The
    relative standard error of S is about 1/√(number of segments). Raises `ValueError` for runs shorter than a segment.
    Source: Welch, IEEE Trans. Audio Electroacoust. 15:70 (1967).
    """

    monitor: AbstractMonitor = eqx.field(converter=as_monitor)
    segment: float = eqx.field(static=True)
    overlap: float = eqx.field(static=True)
    skip: float = eqx.field(static=True)
    sided: str = eqx.field(static=True)
    taper: str = eqx.field(static=True)
    kind: ClassVar[str] = "power spectrum"

    def __init__(
        self,
        monitor: Any,
        segment: float,
        overlap: float = 0.5,
        skip: float | None = None,
        sided: str = "two",
        taper: str = "hann",
    ):
        self.monitor = as_monitor(monitor)
        period = self.monitor.period
        rule = "be a time of at least 4 samples, in the model's unit of time"
        self.segment = as_float("segment", segment, rule, lambda time: round(time / period) >= 4)
        self.overlap = as_float("overlap", overlap, "be a share ≥ 0 and < 1", lambda share: 0 <= share < 1)
        require("sided", sided, 'be "two" or "one"', sided in ("two", "one"))
        require("taper", taper, 'be "hann" or "none"', taper in ("hann", "none"))
        self.skip, self.sided, self.taper = as_skip(skip, self.monitor), sided, taper

    @property
    def least(self) -> int:
        return round(self.segment / self.monitor.period)

    @property
    def long_name(self) -> str:
        return f"{self.sided}-sided power spectrum"

    def unit_of(self, signal: str) -> str:
        return {"1": "time", "1/time": "1/time"}.get(signal, f"({signal})²·time")

    @property
    def _hop(self) -> int:
        return max(self.least - int(self.overlap * self.least), 1)

    @property
    def frequencies(self) -> np.ndarray:
        """In cycles per unit of time, from 0 to 1/(2 period)."""
        return np.fft.rfftfreq(self.least, self.monitor.period)

    def begin(self, m: int, samples: int, dtype: Any) -> Any:
        self.used(samples)
        zero = jnp.zeros((), dtype)
        return jnp.zeros((self.least, m), dtype), jnp.zeros((self.frequencies.size, m), dtype), zero

    def update(self, state: PyTree, sample: Values, k: Any) -> Any:
        kept, total, count = state
        length = self.least
        j = jnp.asarray(k - self.skipped)
        kept = jax.lax.dynamic_update_index_in_dim(kept, sample.astype(kept.dtype), j % length, 0)
        full = (j >= length - 1) & ((j - (length - 1)) % self._hop == 0)

        def add(total: Values) -> Values:
            return total + self._power(jnp.roll(kept, -(j + 1) % length, axis=0))

        return kept, jax.lax.cond(full, add, lambda total: total, total), count + full.astype(count.dtype)

    def finish(self, state: PyTree) -> Values:
        _, total, count = state
        return total / jnp.maximum(count, 1)

    def _power(self, x: Values) -> Values:
        """That of one segment (length, m), in order."""
        length = self.least
        share = np.arange(length) / length
        w = np.ones(length) if self.taper == "none" else 0.5 - 0.5 * np.cos(2 * np.pi * share)
        away = jnp.asarray(w, x.dtype)[:, None] * (x - jnp.mean(x, axis=0, keepdims=True))
        scale = np.full(self.frequencies.size, self.monitor.period / np.sum(w**2))
        if self.sided == "one":
            scale[1 : (None if length % 2 else -1)] *= 2
        waves = jnp.fft.rfft(away, axis=0)
        return jnp.asarray(scale, x.dtype)[:, None] * (waves.real**2 + waves.imag**2)

    def dims(self, m: int, samples: int) -> dict[str, int]:
        return {"frequency": self.frequencies.size, self.monitor.dim: m}

    def coords(self, labels: Any, samples: int) -> dict[str, Any]:
        return {"frequency": self.frequencies, self.monitor.dim: labels}
