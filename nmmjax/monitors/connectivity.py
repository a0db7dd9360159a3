"""Functional connectivity: correlations between what is recorded of regions, over a run and over windows of it."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._checks import require
from .._nan import nan_unless
from .._types import Real, Values
from ..recordings.recording import Recording
from .base import AbstractMonitor, AbstractStatistic, as_monitor, as_skip
from .results import Measured, Monitored
from .samplers import Subsample


class FunctionalConnectivity(AbstractStatistic):
    """Correlation matrix of what a monitor records, m × m.

        FC_ij = C_ij/√(C_ii C_jj),   C = Σ_k (y_k − ȳ)(y_k − ȳ)ᵀ

    Means and co-moments are updated sample by sample (Welford): float32 suffices, and m² numbers are all that is kept.

    - `monitor`: what is recorded, such as `BOLD(TR=2000.0)`
    - `skip`: time at the start, in the model's unit of time, whose samples are left out; by default the monitor's transient,
      30 s of BOLD that starts at rest, in which all regions rise together and correlations are near 1

    A series that does not change has no correlations: NaN. Raises `ValueError` for fewer than 3 samples after `skip`.
    Source: Chan, Golub & LeVeque, Am. Stat. 37:242 (1983), for the update.
    """

    monitor: AbstractMonitor = eqx.field(converter=as_monitor)
    skip: float = eqx.field(static=True)
    kind: ClassVar[str] = "functional connectivity"

    def __init__(self, monitor: Any, skip: float | None = None):
        self.monitor = as_monitor(monitor)
        self.skip = as_skip(skip, self.monitor)

    @property
    def least(self) -> int:
        return 3

    @property
    def long_name(self) -> str:
        return "functional connectivity"

    def begin(self, m: int, samples: int, dtype: Any) -> Any:
        self.used(samples)
        return jnp.zeros(m, dtype), jnp.zeros(m, dtype), jnp.zeros((m, m), dtype)

    def update(self, state: PyTree, sample: Values, k: Any) -> Any:
        origin, mean, moment = state  # the first sample, from which means are counted: they may be large beside what moves
        n = jnp.asarray(k - self.skipped + 1, mean.dtype)
        origin = jnp.where(n <= 1, sample, origin)
        away, n = jnp.where(n > 1, sample - origin - mean, 0), jnp.maximum(n, 1)
        return origin, mean + away / n, moment + ((n - 1) / n * away)[:, None] * away[None]

    def finish(self, state: PyTree) -> Values:
        return correlations(state[2])

    def dims(self, m: int, samples: int) -> dict[str, int]:
        return {self.monitor.dim: m, f"other_{self.monitor.dim}": m}

    def coords(self, labels: Any, samples: int) -> dict[str, Any]:
        return dict.fromkeys(self.dims(len(labels), samples), labels)


def correlations(moment: Values) -> Values:
    """Correlations from a matrix of co-moments (m, m): 1 on the diagonal, NaN for series that do not change."""
    square = jnp.diagonal(moment)
    known = square > 0
    scale = jnp.sqrt(jnp.where(known, square, 1))
    found = jnp.clip(moment / (scale[:, None] * scale[None]), -1, 1)
    return nan_unless(known[:, None] & known[None], found)


def functional_connectivity(recorded: Any, *, skip: Real = 0.0) -> Measured:
    """Functional connectivity of what was recorded: correlations between all pairs of its series.

    - `recorded` (samples, m): a `Recording` as `load_recording` returns it, a `Monitored` of a run, or an array of one
      series per column
    - `skip`: time at the start whose samples are left out, in the unit of the samples' distance; of an array, whose distance
      is 1, their number

    Of a `Recording`, samples that miss a region are left out, and of several subjects the result is the mean of theirs, each
    of which `skip` shortens. Returns a `Measured`, with the matrix as `values` (m, m), by the fold of
    `FunctionalConnectivity`. Raises `ValueError` for missing values elsewhere, and for fewer than 3 samples after `skip`.
    """
    period: Any = 1.0
    if isinstance(recorded, Monitored):
        period = recorded.period
    elif isinstance(recorded, Recording) and recorded.dt is not None:
        period = recorded.dt
    statistic = FunctionalConnectivity(Subsample(period), skip=as_skip(skip))
    if not isinstance(recorded, Recording):
        return statistic.of(recorded)
    subject = np.zeros(len(recorded.values), int) if recorded.subject is None else recorded.subject
    complete = np.all(np.isfinite(recorded.values), axis=1)
    parts = [recorded.values[(subject == each) & complete] for each in np.unique(subject)]
    require("recorded", min(map(len, parts)), "have 3 samples of all regions and every subject", min(map(len, parts)) >= 3)
    found = [statistic.of(part, labels=recorded.names) for part in parts]
    mean = jnp.mean(jnp.stack([each.values for each in found]), axis=0)
    return dataclasses.replace(found[0], values=mean, samples=sum(each.samples for each in found))
