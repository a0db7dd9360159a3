"""Monitors without a model of their own: samples, averages, and their projections on sensors."""

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._checks import as_array, require, require_each
from .._types import Real, Values, is_concrete
from .base import AbstractMonitor, as_channel, as_period


class Subsample(AbstractMonitor):
    """The channel itself, at the end of every period: c(t₀ + k period).

    - `period`: time between samples, in the model's unit of time
    - `channel`: a variable or channel of the model; "r" by default

    Frequencies above 1/(2 period) fold into those below: use `TemporalAverage` to record a signal. Raises `ValueError` for
    periods that are not > 0.
    """

    period: float = eqx.field(static=True, converter=as_period("period"))
    channel: str = eqx.field(static=True, default="r", converter=as_channel)

    @property
    def long_name(self) -> str:
        return f"{self.channel}, sampled"

    def begin(self, first: Values) -> Any:
        return first

    def update(self, state: PyTree, mean: Values, last: Values, dt: Real) -> Any:
        return last

    def sample(self, state: PyTree) -> Values:
        return state


class TemporalAverage(AbstractMonitor):
    """The mean of the channel over every period: ∫ c dt/period.

    - `period`: time over which the channel is averaged, and between samples, in the model's unit of time
    - `channel`: a variable or channel of the model; "r" by default

    Raises `ValueError` for periods that are not > 0.
    """

    period: float = eqx.field(static=True, converter=as_period("period"))
    channel: str = eqx.field(static=True, default="r", converter=as_channel)

    @property
    def long_name(self) -> str:
        return f"{self.channel}, averaged"

    def begin(self, first: Values) -> Any:
        return average_begin(first)

    def update(self, state: PyTree, mean: Values, last: Values, dt: Real) -> Any:
        return average_update(state, mean, dt, self.period)

    def sample(self, state: PyTree) -> Values:
        return average(state)


class EEG(AbstractMonitor):
    """What sensors record of sources in the regions: the gain matrix times the channel's mean over every period.

        y_s = Σ_i L_si ⟨c_i⟩, less its mean over the sensors with `reference="average"`

    - `gain_matrix` (sensors, regions): L, the lead field, of EEG, MEG or depth electrodes, summed over the vertices of a
      region; finite
    - `period`: time over which the channel is averaged, and between samples, in the model's unit of time
    - `sensors`: names of the sensors; S1, S2, … by default
    - `channel`: a variable or channel of the model; "v" by default, as potentials add up
    - `reference`: None, as the gain matrix has it (default), or "average" over all sensors
    - `unit`: of the result; "1" by default, the gain matrix's times the channel's

    Raises `ValueError` for matrices that are none, have other columns than the model has nodes, or hold NaN.
    """

    gain_matrix: Values = eqx.field(converter=as_array)
    period: float = eqx.field(static=True, converter=as_period("period"))
    sensors: tuple[str, ...] = eqx.field(static=True, default=())
    channel: str = eqx.field(static=True, default="v", converter=as_channel)
    reference: str | None = eqx.field(static=True, default=None)
    unit: str = eqx.field(static=True, default="1")
    dim: ClassVar[str] = "sensor"

    def __init__(
        self,
        gain_matrix: Any,
        period: float,
        sensors: Any = None,
        channel: str = "v",
        reference: str | None = None,
        unit: str = "1",
    ):
        matrix: Any = as_array(gain_matrix)
        rule = "be a matrix of numbers (sensors, regions)"
        require("gain_matrix", gain_matrix, rule, isinstance(matrix, jax.Array) and matrix.ndim == 2 and matrix.size > 0)
        if is_concrete(matrix):
            require_each("gain_matrix", np.asarray(matrix), "be finite, without NaN", np.isfinite(np.asarray(matrix)))
        count = matrix.shape[0]
        names = tuple(f"S{k}" for k in range(1, count + 1)) if sensors is None else tuple(str(each) for each in sensors)
        require("sensors", names, f"be {count} distinct names", len(names) == count == len(set(names)))
        require("reference", reference, 'be None or "average"', reference in (None, "average"))
        self.gain_matrix, self.period, self.sensors = matrix, as_period("period")(period), names
        self.channel, self.reference, self.unit = as_channel(channel), reference, unit

    @property
    def long_name(self) -> str:
        return "signal of the sensors" + (", average reference" if self.reference == "average" else "")

    @property
    def units(self) -> str:
        return self.unit

    def names(self, nodes: Sequence[str]) -> tuple[str, ...]:
        self._fits(len(nodes))
        return self.sensors

    def begin(self, first: Values) -> Any:
        self._fits(first.shape[0])
        return average_begin(first)

    def update(self, state: PyTree, mean: Values, last: Values, dt: Real) -> Any:
        return average_update(state, mean, dt, self.period)

    def sample(self, state: PyTree) -> Values:
        mean = average(state)
        y = self.gain_matrix.astype(mean.dtype) @ mean
        return y - jnp.mean(y) if self.reference == "average" else y

    def _fits(self, nodes: int) -> None:
        shape = f"a matrix of shape {self.gain_matrix.shape}"
        rule = f"have one column per node, {nodes}"
        if self.gain_matrix.shape[1] != nodes:
            raise ValueError(f"Argument `gain_matrix` must {rule}, but got {shape}.")

    def __repr__(self) -> str:
        sensors, regions = self.gain_matrix.shape
        reference = "" if self.reference is None else f', reference="{self.reference}"'
        return f"EEG({sensors} sensors × {regions} regions, period={self.period:g}, channel={self.channel!r}{reference})"


class LFP(AbstractMonitor):
    """A proxy of the local field potential at every node: the mean over every period of what is said to cause it.

    - `period`: time over which the proxy is averaged, and between samples, in the model's unit of time
    - `channel`: the proxy: "v" (default), the mean membrane potential; "abs_W", |π τ r + i v|; "abs_Z", the synchrony |Z| of
      the neurons; "r", the rate; "s" of a synapse, to which its current is proportional; or another channel of the model

    Local field potentials are sums of currents, for which the field uses these proxies; none is the potential itself.
    Raises `ValueError` for periods that are not > 0.
    """

    period: float = eqx.field(static=True, converter=as_period("period"))
    channel: str = eqx.field(static=True, default="v", converter=as_channel)

    @property
    def long_name(self) -> str:
        return f"local field potential ({self.channel} as proxy)"

    def begin(self, first: Values) -> Any:
        return average_begin(first)

    def update(self, state: PyTree, mean: Values, last: Values, dt: Real) -> Any:
        return average_update(state, mean, dt, self.period)

    def sample(self, state: PyTree) -> Values:
        return average(state)


def average_begin(first: Values) -> Any:
    """The state of a mean before anything passed: (sum times time, time)."""
    return 0 * first, jnp.zeros((), first.dtype)


def average_update(state: PyTree, mean: Values, dt: Real, period: float) -> Any:
    """The state of a mean after a window of length `dt`; a new `period` begins once the last is full."""
    total, time = state
    dt = jnp.asarray(dt, time.dtype)
    going = time < period - dt / 2
    return jnp.where(going, total, 0) + dt * mean, jnp.where(going, time, 0) + dt


def average(state: PyTree) -> Values:
    """The mean over the period so far."""
    total, time = state
    return total / jnp.where(time > 0, time, 1)
