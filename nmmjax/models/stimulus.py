"""External input I(t) to a population, differentiable in every parameter, with jumps that the solver is told of.

A stimulus is called at a time and returns the input current (units of η). `jumps()` lists the times at which value or
slope jumps, so that an adaptive solver can step exactly onto them; gradients with respect to those times are then right
too (they flow through the step boundaries). Add stimuli with `+`.
"""

import abc
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, as_whole, lie_within, require
from .._parameter import check_parameters, declared, describe, parameter, with_arrays
from .._results import Shown
from .._types import Scalar, Values, float_dtype, is_concrete

_PHASE_LOST = 0.01  # rad, at most
# What rounding may move a time by: a share of a pulse's length, and of the shortest step between samples.
_KEPT, _KEPT_OF_STEP = 1e-3, 0.05


class AbstractStimulus(eqx.Module, Shown):
    """Input current I(t), in units of η.

    A stimulus of your own defines `__call__(t)` and `jumps()`, and `span`, `nodes` or `since` if the defaults do not
    fit.
    """

    @abc.abstractmethod
    def __call__(self, t: Values) -> Values:
        """I(t), elementwise; right-continuous at jumps."""

    @abc.abstractmethod
    def jumps(self) -> Values:
        """Times at which I or dI/dt jumps, shape `(k,)`, in no particular order."""

    def span(self) -> tuple[Any, Any] | None:
        """First and last time at which the stimulus is defined, or None if it always is."""
        return None

    @property
    def nodes(self) -> int | None:
        """Number of nodes of a network that the stimulus is made for; None if it suits any number, and one population."""
        return None

    def since(self, start: Values) -> "AbstractStimulus":
        """The same input with time counted from `start`, a time as a sum of two numbers, (2,): so that float32 keeps the
        differences of times that lie far from 0. Classes whose parameters are times shift them; others are called with the
        time shifted back."""
        return _Since(self, start)

    def __check_init__(self) -> None:
        check_parameters(self)

    def __repr__(self) -> str:
        return describe(self)

    def __add__(self, other: object) -> "Sum":
        if not isinstance(other, AbstractStimulus):
            return NotImplemented
        return Sum((self, other))


class _Since(AbstractStimulus):
    """A stimulus of any class with time counted from `start`: its jumps are exact, and its values as exact as their
    times."""

    stimulus: AbstractStimulus
    start: Values

    def __check_init__(self) -> None:
        return None

    @property
    def nodes(self) -> int | None:
        return self.stimulus.nodes

    def __call__(self, t: Values) -> Values:
        return self.stimulus(self.start[0] + (self.start[1] + t))

    def jumps(self) -> Values:
        return _less(self.stimulus.jumps(), self.start)

    def span(self) -> tuple[Any, Any] | None:
        span = self.stimulus.span()
        return None if span is None else (_less(span[0], self.start), _less(span[1], self.start))


class Held(AbstractStimulus):
    """The input of one moment, at every time; a number or one per node."""

    current: Values

    def __check_init__(self) -> None:
        return None

    def __call__(self, t: Values) -> Values:
        return self.current

    def jumps(self) -> Values:
        return jnp.zeros(0, self.current.dtype)


def _less(t: Values, start: Values) -> Values:
    return (t - start[0]) - start[1]


def _with_times(stimulus: Any, start: Values, *names: str) -> Any:
    """A stimulus with the times of these names counted from `start`."""
    where = lambda each: [getattr(each, name) for name in names]
    return eqx.tree_at(where, stimulus, [_less(each, start) for each in where(stimulus)])


def _keep_times(given: dict[str, Any], names: tuple[str, ...], scale: float) -> None:
    """Refuse times that the default dtype moves by more than `scale` when it rounds them."""
    for name in names:
        exact = np.asarray(given[name], float)
        if isinstance(given[name], jax.Array) or not exact.size:
            continue  # rounded before, if at all
        lost = float(np.max(np.abs(exact.astype(float_dtype()) - exact)))
        rule = f"be nearer to 0: {float_dtype().name} moves this time by {lost:.2g} (shift all times, or enable x64)"
        require(name, exact if exact.ndim else float(exact), rule, not lost > scale)


def _as_known(given: dict[str, Any], *names: str) -> list[np.ndarray] | None:
    """Arguments as NumPy's float64; None unless all are known numbers."""
    try:
        values = [given[name] for name in names]
        return [np.asarray(each, float) for each in values] if all(is_concrete(each) for each in values) else None
    except (TypeError, ValueError, KeyError):
        return None  # said by the checks that follow


def _keep_pulse(given: dict[str, Any]) -> None:
    """Start and stop to a thousandth of what lies between them."""
    known = _as_known(given, "start", "stop")
    if known is not None and all(each.ndim == 0 for each in known):
        _keep_times(given, ("start", "stop"), _KEPT * abs(float(known[1] - known[0])))


def _ordered(stimulus: Any) -> None:
    check_parameters(stimulus)
    if is_concrete(stimulus.start) and is_concrete(stimulus.stop):
        rule = f"be later than `start` ({float(stimulus.start):g})"
        require("stop", stimulus.stop, rule, float(stimulus.stop) > float(stimulus.start))


@declared
class Constant(AbstractStimulus):
    """Constant input I(t) = amplitude, for all t: the same as a shift of η.

    - `amplitude`: input current, in units of η
    """

    amplitude: Scalar = parameter(symbol="I", doc="input current")

    def since(self, start: Values) -> "Constant":
        return self

    def __call__(self, t: Values) -> Values:
        return self.amplitude + jnp.zeros_like(t)

    def jumps(self) -> Values:
        return jnp.zeros(0, self.amplitude.dtype)


@declared
class Pulse(AbstractStimulus):
    """Pulse I(t) = amplitude for start ≤ t < stop, else 0.

    - `amplitude`: input current during the pulse, in units of η
    - `start`, `stop`: onset and end, in the unit of τ

    Raises `ValueError` for stop ≤ start and for times that the precision can't hold.
    """

    amplitude: Scalar = parameter(symbol="I", doc="input current during the pulse")
    start: Scalar = parameter(symbol="t_0", unit="time", doc="onset")
    stop: Scalar = parameter(symbol="t_1", unit="time", doc="end, later than start")

    @classmethod
    def check_given(cls, given: dict[str, Any]) -> None:
        """Refuse times too far from 0 for the default dtype."""
        _keep_pulse(given)

    def __check_init__(self) -> None:
        _ordered(self)

    def since(self, start: Values) -> "Pulse":
        return _with_times(self, start, "start", "stop")

    def __call__(self, t: Values) -> Values:
        return jnp.where((t >= self.start) & (t < self.stop), self.amplitude, jnp.zeros_like(self.amplitude))

    def jumps(self) -> Values:
        return jnp.stack([self.start, self.stop])


@declared
class Ramp(AbstractStimulus):
    """Ramp I(t) that rises linearly from 0 at start to amplitude at stop, and stays there.

    - `amplitude`: input current reached at `stop`, in units of η
    - `start`, `stop`: beginning and end of the ramp, in the unit of τ

    Raises `ValueError` for stop ≤ start and for times that the precision can't hold.
    """

    amplitude: Scalar = parameter(symbol="I", doc="input current reached at stop")
    start: Scalar = parameter(symbol="t_0", unit="time", doc="beginning of the ramp")
    stop: Scalar = parameter(symbol="t_1", unit="time", doc="end of the ramp, later than start")

    @classmethod
    def check_given(cls, given: dict[str, Any]) -> None:
        """Refuse times too far from 0 for the default dtype."""
        _keep_pulse(given)

    def __check_init__(self) -> None:
        _ordered(self)

    def since(self, start: Values) -> "Ramp":
        return _with_times(self, start, "start", "stop")

    def __call__(self, t: Values) -> Values:
        return self.amplitude * jnp.clip((t - self.start) / (self.stop - self.start), 0, 1)

    def jumps(self) -> Values:
        return jnp.stack([self.start, self.stop])


@declared
class Sinusoid(AbstractStimulus):
    """Sinusoidal input I(t) = amplitude · sin(omega t + phase).

    - `amplitude`: peak input current, in units of η
    - `omega`: angular frequency > 0, in rad per unit of τ
    - `phase`: phase at t = 0, in rad; 0 by default

    Raises `ValueError` for omega ≤ 0. Montbrió, Pazó & Roxin, Phys. Rev. X 5:021028 (2015), Fig. 2, use amplitude 3,
    omega π/20.
    """

    amplitude: Scalar = parameter(symbol="I", doc="peak input current")
    omega: Scalar = parameter(symbol="ω", unit="rad/time", bounds="(0, inf)", doc="angular frequency")
    phase: Scalar = parameter(0.0, symbol="φ", unit="rad", doc="phase at t = 0")

    def since(self, start: Values) -> "Sinusoid":
        turned = self.omega * start[0] + self.omega * start[1]
        if is_concrete(turned):
            first = float(np.sum(np.asarray(start, float)))
            lost = abs(float(turned)) * float(jnp.finfo(turned.dtype).eps)
            rule = f"begin nearer to 0: the phase of `Sinusoid` there is known in {turned.dtype} to {lost:.1g} rad only"
            require("ts", first, f"{rule} (shift the times, or enable x64)", lost < _PHASE_LOST)
            turned = jnp.asarray(np.mod(float(self.omega) * first, 2 * np.pi), turned.dtype)
        return eqx.tree_at(lambda each: each.phase, self, self.phase + turned)

    def __call__(self, t: Values) -> Values:
        return self.amplitude * jnp.sin(self.omega * t + self.phase)

    def jumps(self) -> Values:
        return jnp.zeros(0, self.amplitude.dtype)


@declared
class PulseTrain(AbstractStimulus):
    """Train of equal pulses, one every `period`.

    - `amplitude`: input current during each pulse, in units of η
    - `start`: onset of the first pulse; `period`: from onset to onset; `width`: duration of each pulse, below the
      period; all in the unit of τ
    - `count`: number of pulses, ≥ 1

    Raises `ValueError` for period or width ≤ 0, width ≥ period and counts < 1.
    """

    amplitude: Scalar = parameter(symbol="I", doc="input current during each pulse")
    start: Scalar = parameter(symbol="t_0", unit="time", doc="onset of the first pulse")
    period: Scalar = parameter(symbol="T", unit="time", bounds="(0, inf)", doc="onset to onset")
    width: Scalar = parameter(symbol="w", unit="time", bounds="(0, inf)", doc="duration of each pulse, below the period")
    count: int = eqx.field(static=True, converter=as_whole)  # pyright: ignore[reportGeneralTypeIssues]

    @classmethod
    def check_given(cls, given: dict[str, Any]) -> None:
        """Refuse a start too far from 0 for the default dtype."""
        known = _as_known(given, "start", "width")
        if known is not None and all(each.ndim == 0 for each in known):
            _keep_times(given, ("start",), _KEPT * abs(float(known[1])))

    def __check_init__(self) -> None:
        check_parameters(self)
        as_count("count", self.count)
        if is_concrete(self.width) and is_concrete(self.period):
            rule = f"be below `period` ({float(self.period):g})"
            require("width", self.width, rule, float(self.width) < float(self.period))

    def since(self, start: Values) -> "PulseTrain":
        return _with_times(self, start, "start")

    def _onsets(self) -> Values:
        return self.start + self.period * jnp.arange(self.count, dtype=self.period.dtype)

    def __call__(self, t: Values) -> Values:
        # The last onset at or before t, from the same numbers as `jumps`, so that both agree to the last bit.
        onsets = jax.lax.stop_gradient(self._onsets())
        latest = jnp.searchsorted(onsets, t, side="right") - 1
        last = onsets[jnp.maximum(latest, 0)]
        on = (latest >= 0) & (t < last + self.width)
        return jnp.where(on, self.amplitude, jnp.zeros_like(self.amplitude))

    def jumps(self) -> Values:
        onsets = self._onsets()
        return jnp.concatenate([onsets, onsets + self.width])


@declared
class Sampled(AbstractStimulus):
    """A recorded input, interpolated: values[i] at ts[i].

    - `ts` (m,): sample times, strictly increasing; `values` (m,), or (m, n) for an input at every node of a network
    - `interpolation`: "linear", "cubic" (Hermite with backward differences, C¹, causal) or "hold" (piecewise constant)

    Called at one time, it gives a number or an array (n,); at an array of times, one of shape (…, n). Defined on
    [ts[0], ts[-1]] only; times outside are refused. Raises `ValueError` for values that are missing (NaN, masked).
    """

    ts: Values = parameter(symbol="t", unit="time", ndim=1, doc="sample times, strictly increasing")
    values: Values = parameter(symbol="I", ndim=(1, 2), doc="input current at the sample times, and nodes")
    interpolation: str = eqx.field(static=True, default="linear")

    @classmethod
    def check_given(cls, given: dict[str, Any]) -> None:
        """Refuse times too far from 0 for the default dtype."""
        known = _as_known(given, "ts")
        if known is not None and known[0].ndim == 1 and known[0].size > 1 and bool(np.all(np.diff(known[0]) > 0)):
            _keep_times(given, ("ts",), _KEPT_OF_STEP * float(np.min(np.diff(known[0]))))

    def __check_init__(self) -> None:
        check_parameters(self)
        kinds = ("linear", "cubic", "hold")
        require("interpolation", self.interpolation, f"be one of {kinds}", self.interpolation in kinds)
        require("ts", self.ts, "have at least 2 sample times", self.ts.shape[0] >= 2)
        same = self.values.shape[0] == self.ts.shape[0]
        rule = f"have the shape of `ts`, {self.ts.shape}, or (times, nodes), ({self.ts.shape[0]}, n)"
        require("values", self.values.shape, rule, same)
        if is_concrete(self.ts):
            require("ts", self.ts, "be strictly increasing", bool(np.all(np.diff(np.asarray(self.ts)) > 0)))

    def since(self, start: Values) -> "Sampled":
        return _with_times(self, start, "ts")

    def __call__(self, t: Values) -> Values:
        if self.interpolation == "hold":
            index = jnp.searchsorted(self.ts, t, side="right") - 1
            return self.values[jnp.clip(index, 0, self.ts.shape[0] - 1)]
        if self.values.ndim == 1:
            return self._between(t, self.values)
        return jax.vmap(lambda values: self._between(t, values), in_axes=1, out_axes=-1)(self.values)

    def _between(self, t: Values, values: Values) -> Values:
        if self.interpolation == "linear":
            return jnp.interp(t, self.ts, values)
        coefficients = diffrax.backward_hermite_coefficients(self.ts, values)
        cubic = diffrax.CubicInterpolation(self.ts, coefficients)
        return jnp.vectorize(cubic.evaluate)(jnp.clip(t, self.ts[0], self.ts[-1]))

    @property
    def nodes(self) -> int | None:
        return self.values.shape[1] if self.values.ndim == 2 else None

    def jumps(self) -> Values:
        return self.ts

    def span(self) -> tuple[Any, Any]:
        return self.ts[0], self.ts[-1]


class Sum(AbstractStimulus):
    """The sum of several stimuli; made by `a + b`."""

    parts: tuple[AbstractStimulus, ...]

    def __check_init__(self) -> None:
        sizes = {part.nodes for part in self.parts if part.nodes is not None}
        require("stimulus", sorted(sizes), "be made for one number of nodes in all parts of a sum", len(sizes) <= 1)

    @property
    def nodes(self) -> int | None:
        return next((part.nodes for part in self.parts if part.nodes is not None), None)

    def since(self, start: Values) -> "Sum":
        return Sum(tuple(part.since(start) for part in self.parts))

    def __call__(self, t: Values) -> Values:
        return self._sum(t) if self.nodes is None else self._sum_at_nodes(t)

    def _sum_at_nodes(self, t: Values) -> Values:
        """Sum of the parts; those without nodes act equally on all nodes."""
        wide = [part(t) if part.nodes is not None else part(t)[..., None] for part in self.parts]
        shape = (*jnp.shape(t), self.nodes)
        return sum((jnp.broadcast_to(each, shape) for each in wide[1:]), start=jnp.broadcast_to(wide[0], shape))

    def _sum(self, t: Values) -> Values:
        return sum((part(t) for part in self.parts[1:]), start=self.parts[0](t))

    def jumps(self) -> Values:
        return jnp.concatenate([part.jumps() for part in self.parts])

    def span(self) -> tuple[Any, Any] | None:
        spans = [span for part in self.parts if (span := part.span()) is not None]
        if not spans:
            return None
        return jnp.max(jnp.stack([first for first, _ in spans])), jnp.min(jnp.stack([last for _, last in spans]))


def input_at(stimulus: AbstractStimulus | None, t: Values) -> Any:
    """I(t); zeros of the shape of `t` without a stimulus."""
    return jnp.zeros_like(t) if stimulus is None else stimulus(t)


def as_stimulus(stimulus: Any, model: Any = None, argument: str = "stimulus") -> Any:
    """None or a stimulus at the door, its numbers as arrays of one dtype; else the one-sentence `ValueError`. With a model,
    an input per node must be made for as many nodes as the model has."""
    known = stimulus is None or isinstance(stimulus, AbstractStimulus)
    require(argument, stimulus, "be None or a stimulus such as `Pulse(...)`", known)
    if stimulus is None:
        return None
    if model is not None and stimulus.nodes is not None:
        size = model.size
        has = "one population" if size is None else f"a network of {size} nodes"
        rule = f"be made for {has}" + ("" if size is not None else ", without an axis over nodes")
        require(argument, f"an input for {stimulus.nodes} nodes", rule, stimulus.nodes == size)
    return with_arrays(stimulus)


def check_range(stimulus: AbstractStimulus | None, first: object, last: object, argument: str) -> None:
    """Refuse times from `first` to `last` that a recorded input doesn't cover; traced ones can't be checked."""
    span = None if stimulus is None else stimulus.span()
    if span is None or not all(is_concrete(each) for each in (*span, first, last)):
        return
    start, stop = float(span[0]), float(span[1])
    times = np.stack([np.asarray(first), np.asarray(last)])
    rule = f"lie within the stimulus's range [{start:g}, {stop:g}]"
    require(argument, times, rule, lie_within(times, *span))
