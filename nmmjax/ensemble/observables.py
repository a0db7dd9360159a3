"""Observables: what a sweep keeps of every lane, folded while integrating; trajectories are never stored.

An observable is three functions: `init` (first point → accumulator of floats), `update` (accumulator, point →
accumulator) and `finish` (accumulator → results). `Custom` makes one of any three functions. Observation starts at the
sweep's `t0` (what lies before is the transient). Peaks, troughs and periods are refined between steps, so they are as
exact as the solver.
"""

import abc
import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._checks import require
from .._types import Values
from ..mechanics.channels import (
    Problem,
    channel_size,
    check_channel,
    node_sizes,
    node_values,
    parsed,
    unit_of,
)
from ..models.state import State
from .point import Point


@dataclasses.dataclass(frozen=True)
class End:
    """Data for `finish`: the problem, the last state, the observed time, and the exact-to-order flow over short times."""

    problem: Problem
    t0: Values
    t1: Values
    y: Any
    step: Values
    flow: Callable[[Values, Any, Values], Any] | None  # None if nothing is known between steps: noise, delays
    samples: Any = None
    sample_times: Any = None


class AbstractObservable(eqx.Module):
    """A quantity that a sweep keeps of every lane. `smooth` results are extrapolated over step sizes; the others come from
    the finest run.

    A class of your own needs an attribute `version`, such as `version = "1"`, for a sweep with `store=`; change it when you
    change the code.
    """

    smooth: ClassVar[bool]

    @abc.abstractmethod
    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        """Suffix of each result's name ('' for the only one) → (units, long name), for the model of `problem`. Refuses
        channels that the model lacks.
        """

    @abc.abstractmethod
    def init(self, point: Point) -> Any:
        """The accumulator at the first `point`, before the first step: a pytree of floats."""

    @abc.abstractmethod
    def update(self, state: PyTree, point: Point) -> Any:
        """The accumulator after seeing `point`, from the accumulator `state` before it."""

    @abc.abstractmethod
    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        """Suffix → result, from the accumulator `state` and the data `end` of the last step."""

    def grid(self) -> np.ndarray:
        """Times at which the solver must stop for this observable."""
        return np.zeros(0)

    def per_node(self, problem: Problem) -> bool:
        """Whether results have an axis over the nodes of the network in `problem`."""
        return False

    def axes(self, name: str, problem: Problem, times: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
        """Axes that results called `name` have beyond the sweep's own, in their order: what stands along each, and its
        attributes; for the `problem` and the `times` of a sweep."""
        del times
        found, grid = {}, self.grid()
        if grid.size:
            found[f"{name}_time"] = (grid, {"units": "time (that of tau)", "long_name": "time"})
        if self.per_node(problem):
            found["node"] = (problem.model.labels, {"units": "1", "long_name": "node of the network"})
        return found

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        """Suffix → the scale at time `t` and state `y` of what the result is made of, to which rounding is relative, for
        the model of `problem`; none if the result's own value is its scale.
        """
        return {}

    def tolerance(self) -> float:
        """The largest relative tolerance of a step at which an adaptive method sees what is observed."""
        return float("inf")


def _every(problem: Problem, channel: str | None) -> dict[str, str]:
    """Suffix → channel: the one asked for, or all state variables."""
    if channel is None:
        return {f"_{name}": name for name in problem.model.variables}
    check_channel(channel, problem)
    return {"": channel}


def _keeps_nodes(problem: Problem, channel: str | None) -> bool:
    return bool(problem.nodes) and (channel is None or parsed(channel)[1] is None)


class Final(AbstractObservable):
    """The state at `t1`, or one channel of it. Results: `<name>_r`, `<name>_v`, …; `<name>` for one channel.

    - `channel`: a variable, "energy" or another of the model's channels; None, the default, for the whole state

    Results of a network have the further dimension `node`, unless the channel names one (`Final("r[3]")`).
    """

    channel: str | None = eqx.field(static=True, default=None)
    smooth: ClassVar[bool] = True

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        channels = _every(problem, self.channel)
        return {suffix: (unit_of(name, problem), f"final {name}") for suffix, name in channels.items()}

    def init(self, point: Point) -> Any:
        return ()

    def update(self, state: PyTree, point: Point) -> Any:
        return state

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        channels = _every(end.problem, self.channel)
        return {suffix: node_values(name, end.problem, end.t1, end.y) for suffix, name in channels.items()}

    def per_node(self, problem: Problem) -> bool:
        return _keeps_nodes(problem, self.channel)

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        return {suffix: node_sizes(name, problem, t, y) for suffix, name in _every(problem, self.channel).items()}


class Samples(AbstractObservable):
    """The state (or one `channel`) at the increasing times `ts`, t0 ≤ ts ≤ t1, which the solver steps onto exactly.

    Results have the extra dimension `<name>_time`, and of a network `node`, unless the channel names one. This is the only
    observable whose memory grows with the number of times.
    """

    ts: tuple[float, ...] = eqx.field(static=True, converter=lambda ts: tuple(np.asarray(ts, float).ravel().tolist()))
    channel: str | None = eqx.field(static=True, default=None)
    smooth: ClassVar[bool] = True

    def __check_init__(self) -> None:
        ts = np.asarray(self.ts)
        require("ts", ts, "be increasing, finite times", ts.size > 0 and np.all(np.isfinite(ts)) and np.all(np.diff(ts) > 0))

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        channels = _every(problem, self.channel)
        return {suffix: (unit_of(name, problem), f"{name} over time") for suffix, name in channels.items()}

    def init(self, point: Point) -> Any:
        return ()

    def update(self, state: PyTree, point: Point) -> Any:
        return state

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        times = np.asarray(end.sample_times)
        where = np.searchsorted((times[1:] + times[:-1]) / 2, np.asarray(self.ts))  # the nearest: see `merged`
        ts = jnp.asarray(np.asarray(self.ts), end.t1.dtype)
        ys = jax.tree.map(lambda each: each[where], end.samples)
        return {
            suffix: jax.vmap(lambda t, y, name=name: node_values(name, end.problem, t, y))(ts, ys)
            for suffix, name in _every(end.problem, self.channel).items()
        }

    def grid(self) -> np.ndarray:
        return np.asarray(self.ts)

    def per_node(self, problem: Problem) -> bool:
        return _keeps_nodes(problem, self.channel)

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        found = {suffix: node_sizes(name, problem, t, y) for suffix, name in _every(problem, self.channel).items()}
        return {suffix: jnp.broadcast_to(size, (len(self.ts), *size.shape)) for suffix, size in found.items()}


class AbstractSingle(AbstractObservable):
    """Shared by observables of one channel with one result. `r[3]` is node 3 of a network, and `r` the mean over its
    nodes."""

    channel: eqx.AbstractVar[str]
    label: ClassVar[str]

    @property
    def meaning(self) -> str:
        """What it is of which channel, in words."""
        return f"{self.label} of {self.channel.replace('_', ' ')}"

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        return {"": (unit_of(self.channel, problem), self.meaning)}

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        return {"": channel_size(self.channel, problem, t, y)}


class Mean(AbstractSingle):
    """Time average of a channel, (t1 − t0)⁻¹ ∫ f dt, to fourth order in the step (trapezoids with end corrections).

    - `channel`: what to average: a variable, "energy" or another of the model's channels; of a network per node, or
      "r[3]"
    """

    channel: str = eqx.field(static=True)
    smooth: ClassVar[bool] = True
    label: ClassVar[str] = "mean"

    def init(self, point: Point) -> Any:
        return jnp.zeros_like(point.t)

    def update(self, state: PyTree, point: Point) -> Any:
        return state + _integrand(point, point.channel(self.channel), lambda: point.rate(self.channel))

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        return {"": state / (end.t1 - end.t0)}


def _integrand(point: Point, value: Values, rate: Callable[[], Values]) -> Values:
    """Contribution of a point to ∫ value dt by trapezoids; the ends of a stretch carry the Euler–Maclaurin correction."""
    total = point.weight * value
    return total if point.edge == 0 else total - point.edge * point.h**2 / 12 * rate()


class Variance(AbstractSingle):
    """Variance over time of a channel, the mean square of its deviation from the mean, to fourth order in the step.

    - `channel`: a variable, "energy" or another of the model's channels; of a network per node, or "r[3]"
    """

    channel: str = eqx.field(static=True)
    smooth: ClassVar[bool] = True
    label: ClassVar[str] = "variance"

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        unit = unit_of(self.channel, problem)
        return {"": (unit if unit == "1" else f"({unit})^2", self.meaning)}

    def sizes(self, problem: Problem, t: Values, y: State) -> dict[str, Values]:
        return {"": channel_size(self.channel, problem, t, y) ** 2}

    def init(self, point: Point) -> Any:
        # Moments about the first value: no cancellation if the fluctuations are small.
        return jnp.zeros_like(point.t), jnp.zeros_like(point.t), point.channel(self.channel)

    def update(self, state: PyTree, point: Point) -> Any:
        first, second, origin = state
        x = point.channel(self.channel) - origin
        first = first + _integrand(point, x, lambda: point.rate(self.channel))
        return first, second + _integrand(point, x**2, lambda: 2 * x * point.rate(self.channel)), origin

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        first, second, _ = state
        duration = end.t1 - end.t0
        return {"": second / duration - (first / duration) ** 2}


class LastFinite(AbstractObservable):
    """The last time at which the state was finite: when a lane failed."""

    smooth: ClassVar[bool] = False

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        return {"": ("time", "last time with a finite state")}

    def init(self, point: Point) -> Any:
        return point.t

    def update(self, state: PyTree, point: Point) -> Any:
        finite = functools.reduce(operator.and_, (jnp.isfinite(each).all() for each in jax.tree.leaves(point.y)))
        return jnp.where(finite, point.t, state)

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        return {"": state}


class Custom(AbstractObservable):
    """An observable of your own, made of three functions on floats.

    - `first(point)`: the accumulator, a pytree of floats, at the first time
    - `each(state, point)`: the accumulator after one more point
    - `last(state, duration)`: the result, a number; the accumulator itself by default
    - `units`, `long_name`: of the result, for labels
    - `name`: such as "time above 1, v2", by which a sweep with `store=` knows the functions again; needed there. Change
      it when you change them or anything they use

    A `point` has `t`, `y` (with `y.r`, `y.v`, of a network arrays (n,)), `weight` (trapezoid weight for time integrals),
    `channel(name)` and `rate(name)`. Example, the time spent above 1:
    `Custom(lambda p: 0 * p.t, lambda s, p: s + p.weight * (p.y.r > 1), lambda s, duration: s, units="time")`.
    """

    first: Callable[[Point], Any] = eqx.field(static=True)
    each: Callable[[Any, Point], Any] = eqx.field(static=True)
    last: Callable[[Any, Values], Values] = eqx.field(static=True, default=lambda state, duration: state)
    units: str = eqx.field(static=True, default="1")
    long_name: str = eqx.field(static=True, default="user-defined observable")
    name: str = eqx.field(static=True, default="")
    smooth: ClassVar[bool] = False

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        return {"": (self.units, self.long_name)}

    def init(self, point: Point) -> Any:
        return self.first(point)

    def update(self, state: PyTree, point: Point) -> Any:
        return self.each(state, point)

    def finish(self, state: PyTree, end: End) -> dict[str, Any]:
        return {"": self.last(state, end.t1 - end.t0)}
