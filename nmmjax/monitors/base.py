"""What a monitor is, and what a statistic of it is: both fold what a network does while it is integrated.

A monitor sees one channel at every node, window after window, and gives a sample whenever a period ends. All its functions
are pure and of one run (arrays (n,), one value per node); states are pytrees of floats, so that `jit`, `vmap` and
derivatives in both directions go through. A statistic folds samples. Whoever integrates calls, for one run,

    state = monitor.begin(first)                         # the channel at t0
    state = monitor.update(state, mean, last, dt)        # each window: its mean, its last value; dt ≤ `window`
    sample = monitor.sample(state)                       # when a whole period has passed; windows divide periods
    folded = statistic.begin(m, samples, dtype);  folded = statistic.update(folded, sample, k);  statistic.finish(folded)
    monitor.result(ts, values, labels);  statistic.result(array, labels, samples)        # labelled, for users

`AbstractMonitor.of` and `AbstractStatistic.of` do so for a recorded series: there is no second implementation.
"""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._checks import as_array, as_float, require, require_each
from .._results import Shown
from .._types import ComplexValues, Real, Values, is_concrete
from ..numerics.compiling import jitted
from ..recordings.recording import Recording
from .results import Measured, Monitored

TRANSIENT = 30.0  # s, after which BOLD from rest has lost e⁻⁹ or more of where it started, and weak noise shows
_WINDOW = 0.01  # s, over which inputs of BOLD are averaged: see `BOLD`
_TIME = "be a finite time > 0, in the model's unit of time"


def as_period(name: str) -> Any:
    """A converter for a time > 0 that `name`s its argument."""
    return lambda value: as_float(name, value, _TIME, lambda time: time > 0)


def as_times(TR: Any, seconds: Any, window: Any) -> tuple[float, float, float]:
    """TR, the unit of time in seconds and the window of a BOLD monitor, checked; a window of 10 ms by default."""
    TR = as_period("TR")(TR)
    seconds = as_float("seconds", seconds, "be a number > 0: the model's unit of time in seconds", lambda unit: unit > 0)
    rule = f"be a time > 0 and ≤ TR = {TR:g}, or None"
    window = min(_WINDOW / seconds, TR) if window is None else as_float("window", window, rule, lambda time: 0 < time <= TR)
    return TR, seconds, window


def as_channel(value: Any) -> str:
    """The name of a channel, a string without a node: monitors see it at all nodes."""
    rule = 'name a channel of the model, such as "r", without a node: monitors see all of them'
    require("channel", value, rule, isinstance(value, str) and value.isidentifier())
    return value


class AbstractMonitor(eqx.Module, Shown):
    """A signal that is recorded every `period` from one `channel` of a model, seen at every node.

    - `period`: time between samples, in the model's unit of time
    - `channel`: a variable or channel of the model, such as "r"
    """

    period: eqx.AbstractVar[float]
    channel: eqx.AbstractVar[str]
    dim: ClassVar[str] = "node"  # what the recorded series belong to

    @property
    def window(self) -> float:
        """The longest time over which the channel may be averaged before `update`: the whole period by default."""
        return self.period

    @abc.abstractmethod
    def begin(self, first: Values) -> Any:
        """The state before anything passed, from the `first` value of the channel at every node, (n,)."""

    @abc.abstractmethod
    def update(self, state: PyTree, mean: Values, last: Values, dt: Real) -> Any:
        """The `state` after one more window of length `dt`, over which the channel had the `mean` (n,), and at whose end it
        has the value `last` (n,)."""

    @abc.abstractmethod
    def sample(self, state: PyTree) -> Values:
        """What is recorded at the end of a period, (m,), from the `state` there."""

    @property
    @abc.abstractmethod
    def long_name(self) -> str:
        """What is recorded, in words."""

    @property
    def units(self) -> str | None:
        """The unit of what is recorded; None for the channel's own, the default."""
        return None

    @property
    def time_unit(self) -> float | None:
        """The model's unit of time in seconds, if the monitor knows it, for axes of pictures; None by default."""
        return None

    @property
    def transient(self) -> float:
        """For how long, in the model's unit of time, what is recorded shows where the monitor started: what statistics leave
        out by default. 0 by default."""
        return 0.0

    def transfer(self, frequencies: Any, at: Any = 0.0) -> ComplexValues:
        """ŷ/ĉ, the linear response of what is recorded to a small oscillation of the channel around the value(s) `at`, (f,)
        or (f, …), at `frequencies` (f,) in cycles per unit of the model's time; refused by default."""
        del frequencies, at
        raise ValueError(f"Argument `monitor` must have a transfer function, as `BOLD` has, but got {self!r}.")

    def names(self, nodes: Sequence[str]) -> tuple[str, ...]:
        """Names of the recorded series, m, from those of the n `nodes`: by default the same. Refuses a number of nodes that
        the monitor is not made for."""
        return tuple(nodes)

    def labels(self, model: Any) -> np.ndarray:
        """Names of the series recorded from a `model`, (m,): of nodes, or sensors; "population" for one population."""
        nodes = ("population",) if model.labels is None else tuple(str(each) for each in model.labels)
        return np.asarray(self.names(nodes))

    def result(self, ts: Any, values: Values, labels: Any, unit: str = "1") -> Monitored:
        """The samples `values` (samples, m) at the times `ts` as what users get, with the `labels` of the series; `unit` is
        the channel's."""
        names = tuple(str(each) for each in labels)
        units = unit if self.units is None else self.units
        return Monitored(ts, values, names, self.period, self.dim, units, self.long_name, repr(self), self.time_unit)

    def of(self, series: Any, dt: Real, *, labels: Any = None, bins: bool = False, unit: str = "1") -> Monitored:
        """What this monitor records of a given `series` of its channel: recorded rates, or a run's.

        - `series` (time, nodes) or (time,): values at times 0, dt, 2 dt, …, between which they are interpolated linearly;
          or, with `bins`, means over the intervals (0, dt), (dt, 2 dt), …, as counts of spikes give them
        - `dt`: time between values, in the monitor's unit of time; periods must be multiples of it. If it is longer than
          `window`, steps are divided
        - `labels`: names of the nodes; 0, 1, … by default. `unit`: of the series

        Returns a `Monitored` with one sample per whole period. Raises `ValueError` for missing values, and periods that
        don't fit.
        """
        values, nodes = _series("series", series, labels)
        step = as_float("dt", dt, _TIME, lambda time: time > 0)
        per = round(self.period / step)
        rule = f"divide the period {self.period:g}"
        require("dt", step, rule, per >= 1 and abs(per * step / self.period - 1) < 1e-6)
        several = next(k for k in range(max(min(per, int(self.window / step * (1 + 1e-9))), 1), 0, -1) if per % k == 0)
        parts = int(np.ceil(step / self.window * (1 - 1e-9))) if several == 1 else 1
        count = (values.shape[0] - (0 if bins else 1)) // per
        require("series", values.shape[0], f"have at least {per + (not bins)} values, one period, in time", count >= 1)
        names = self.names(nodes)
        counts: tuple[int, int, int, int] = (count, per // several, several, parts)
        samples: Any = _record(self, values, jnp.asarray(step, values.dtype), counts, bins)
        ts = self.period * np.arange(1, count + 1)
        return self.result(ts, samples, names, unit)


@jitted
def _record(monitor: AbstractMonitor, x: Values, dt: Values, counts: tuple[int, int, int, int], bins: bool) -> Values:
    """Samples (count, m) of a series: periods of `windows` windows of `several` steps, or of 1/`parts` of a step."""
    count, windows, several, parts = counts
    steps = count * windows * several
    padded = jnp.concatenate([x, x[-1:]])
    middles = (padded[:steps] + padded[1 : steps + 1]) / 2
    means, ends = (x[:steps], middles) if bins else (middles, x[1 : steps + 1])
    if parts > 1:
        share = (jnp.arange(1, parts + 1, dtype=x.dtype) / parts)[:, None]
        starts = jnp.concatenate([x[:1], ends[:-1]])[:, None]
        line = lambda share: starts + share * (ends[:, None] - starts)
        means, ends = (line(share - 0.5 / parts), line(share)) if not bins else (means[:, None] + 0 * share,) * 2
    else:
        means = jnp.mean(means.reshape(-1, several, x.shape[1]), axis=1)
        ends = ends.reshape(-1, several, x.shape[1])[:, -1]
    shape = (count, windows * parts, x.shape[1])
    length = dt * several / parts

    def window(state: Any, seen: Any) -> tuple[Any, None]:
        return monitor.update(state, seen[0], seen[1], length), None

    def period(state: Any, seen: Any) -> tuple[Any, Values]:
        state, _ = jax.lax.scan(window, state, seen)
        return state, monitor.sample(state)

    return jax.lax.scan(period, monitor.begin(x[0]), (means.reshape(shape), ends.reshape(shape)))[1]


def as_monitor(value: Any) -> AbstractMonitor:
    """A monitor, else the one-sentence `ValueError`."""
    require("monitor", value, "be a monitor, such as `BOLD(TR=2000.0)`", isinstance(value, AbstractMonitor))
    return value


def as_skip(value: Any, monitor: AbstractMonitor | None = None) -> float:
    """A time ≥ 0 to leave out; None is the transient of the `monitor`."""
    if value is None and monitor is not None:
        return monitor.transient
    return as_float("skip", value, "be a finite time ≥ 0, in the model's unit of time", lambda time: time >= 0)


class AbstractStatistic(eqx.Module, Shown):
    """A statistic of what a `monitor` records, folded sample by sample.

    - `monitor`: an `AbstractMonitor`
    - `skip`: time at the start, in the model's unit of time, whose samples are left out; None is the monitor's transient
    """

    monitor: eqx.AbstractVar[AbstractMonitor]
    skip: eqx.AbstractVar[float]
    kind: ClassVar[str]

    @property
    def skipped(self) -> int:
        """The number of samples that `skip` leaves out: those up to it."""
        return int(np.floor(self.skip / self.monitor.period * (1 + 1e-12) + 1e-9))

    def used(self, samples: int) -> int:
        """How many of the `samples` are used; refuses a run too short for the statistic in one sentence."""
        used = samples - self.skipped
        rule = f"leave at least {self.least} of {samples} samples to `{type(self).__name__}`"
        if self.skip == self.monitor.transient > 0:
            rule += f" (by default it is the transient of the monitor, {self.skip:g}: run longer, or say how much)"
        require("skip", max(used, 0), rule, used >= self.least)
        return used

    @property
    @abc.abstractmethod
    def least(self) -> int:
        """The least number of samples."""

    @abc.abstractmethod
    def begin(self, m: int, samples: int, dtype: Any) -> Any:
        """The state before the first of a known number of `samples` of `m` series, of a float `dtype`."""

    @abc.abstractmethod
    def update(self, state: PyTree, sample: Values, k: Any) -> Any:
        """The `state` after the `sample` (m,) number `k` from 0, traced or not."""

    @abc.abstractmethod
    def finish(self, state: PyTree) -> Values:
        """The statistic from the last `state`."""

    @abc.abstractmethod
    def dims(self, m: int, samples: int) -> dict[str, int]:
        """Names and lengths of the result's axes for `m` series and `samples`."""

    @abc.abstractmethod
    def coords(self, labels: Any, samples: int) -> dict[str, Any]:
        """What stands along each axis, by its name, for series of these `labels` and `samples`."""

    @property
    @abc.abstractmethod
    def long_name(self) -> str:
        """The statistic in words."""

    def unit_of(self, signal: str) -> str:
        """The unit of the result for a `signal` of a unit; "1" by default."""
        return "1"

    @property
    def units(self) -> str:
        """The unit of the result, for a signal of the monitor's unit, or, if that is the channel's, without one."""
        return self.unit_of(self.monitor.units or "1")

    def shape(self, m: int, samples: int) -> tuple[int, ...]:
        """The result's shape for `m` series and a number of `samples`."""
        return tuple(self.dims(m, samples).values())

    def result(self, values: Values, labels: Any, samples: int, unit: str = "1") -> Measured:
        """The array `values` as what users get, for series of these `labels` and a number of `samples`; `unit` is the
        channel's."""
        names = tuple(str(each) for each in labels)
        dims, monitor = tuple(self.dims(len(names), samples)), self.monitor
        units = self.unit_of(unit if monitor.units is None else monitor.units)
        about = (self.kind, units, self.long_name, samples - self.skipped, repr(monitor), monitor.time_unit)
        return Measured(values, dims, self.coords(names, samples), *about)

    def of(self, samples: Any, *, labels: Any = None) -> Measured:
        """The statistic of what was recorded already, by the same fold.

        - `samples` (samples, m): a `Monitored`, a `Recording`, or an array of one series per column, one sample per `period`
          of the `monitor`
        - `labels`: names of the series; those of the samples, or 0, 1, …, by default

        Returns a `Measured`. Raises `ValueError` for missing values, or too few samples.
        """
        values, names = _series("samples", samples, labels)
        self.used(values.shape[0])
        unit = samples.units if isinstance(samples, Monitored) else "1"
        return self.result(_fold(self, values), names, values.shape[0], unit)


@jitted
def _fold(statistic: AbstractStatistic, x: Values) -> Values:
    state = statistic.begin(x.shape[1], x.shape[0], x.dtype)
    body = lambda state, seen: (statistic.update(state, seen[0], seen[1]), None)
    return statistic.finish(jax.lax.scan(body, state, (x, jnp.arange(x.shape[0])))[0])


def keep(kept: Values, sample: Values, j: Any) -> Values:
    """The table `kept` with the `sample` in row j; rows below 0 are left out."""
    j = jnp.asarray(j)  # what is written into row 0 before its turn is written over
    return jax.lax.dynamic_update_index_in_dim(kept, sample.astype(kept.dtype), jnp.maximum(j, 0), 0)


def _series(name: str, given: Any, labels: Any) -> tuple[Values, tuple[str, ...]]:
    """A table (time, series) of floats without gaps, and the names of its columns."""
    names: Any = labels
    if isinstance(given, (Monitored, Recording)):
        names = (given.labels if isinstance(given, Monitored) else given.names) if labels is None else labels
        given = given.values
    array = as_array(given)
    rule = "be an array of numbers with one or two axes, (time,) or (time, series)"
    require(name, given, rule, isinstance(array, jax.Array) and array.ndim in (1, 2) and array.size > 0)
    array = array[:, None] if array.ndim == 1 else array
    if is_concrete(array):
        require_each(name, np.asarray(array), "be finite: fill gaps, or leave them out", np.isfinite(np.asarray(array)))
    names = tuple(str(each) for each in (range(array.shape[1]) if names is None else names))
    require("labels", names, f"be {array.shape[1]} names, one per series", len(names) == array.shape[1])
    return array, names
