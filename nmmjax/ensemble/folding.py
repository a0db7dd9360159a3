"""One lane from its problem to its observables: integrate in stretches, fold on the way, keep nothing else.

A lane's time is cut at the end of the transient, at sample times and at the jumps of its input. A `Method` integrates one
stretch between two cuts and shows every step to the observables. All code here is for one lane; `jax.vmap` gives a block.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Values
from ..mechanics.channels import Problem, just_inside
from .gradient import counted_loop
from .observables import AbstractObservable, End
from .packing import packer
from .point import Point
from .splitting import Stretch


class Progress(eqx.Module):
    """Progress of a lane besides state and observables: steps taken, an adaptive method's next step size (0 before its
    first), result code, time of failure, the longest step."""

    steps: Any
    h: Values
    status: Any
    failure_time: Values
    longest: Values


@dataclasses.dataclass(frozen=True)
class Times:
    """When a sweep runs: from `start`; observed from `t0`; stops at `cuts` (sample times); to `t1`."""

    start: float
    t0: float
    t1: float
    cuts: tuple[float, ...] = ()

    @property
    def transient(self) -> bool:
        return self.t0 > self.start

    @property
    def observed(self) -> np.ndarray:
        """Ends of the observed intervals: t0, the sample times, t1."""
        return np.unique(np.concatenate([[self.t0, self.t1], self.cuts]))


def each_lane(task: Any, base: Any, values: Mapping[str, Any], steps: Any) -> dict[str, Any]:
    """Results of the lanes of a block, each by itself: what a task's `block` does if lanes have nothing in common."""
    return jax.vmap(lambda values: task.lane(base, values, steps))(values)


class AbstractMethod(eqx.Module):
    """How one stretch is integrated while observables look on; `reverse` if reverse mode shall run through it."""

    reverse: eqx.AbstractVar[bool]
    long: ClassVar[bool] = False  # whether steps may be as long as what is observed
    fusible: ClassVar[bool] = True  # whether a kernel of our own may run it on an accelerator

    def begin(self, problem: Problem) -> Any:
        """What is carried from stretch to stretch, at the start: the state, or more than it."""
        return problem.y0

    def shown(self, problem: Problem, y: Any) -> Any:
        """The state that what is carried shows."""
        del problem
        return y

    def block(self, task: Any, base: Any, values: Mapping[str, Any], steps: Any) -> dict[str, Any]:
        """Results of the lanes of a block, whose `values` have one row each."""
        return each_lane(task, base, values, steps)

    @abc.abstractmethod
    def run(
        self, problem: Problem, y: Any, start: Values, stop: Values, steps: Any, observe: "Watch", progress: Progress
    ) -> tuple[Any, Any, Progress]:
        """State, observables' accumulators and progress at `stop`."""

    @abc.abstractmethod
    def flow(self, problem: Problem) -> Callable[[Values, Any, Values], Any] | None:
        """(t, y, δ) ↦ the state at t + δ for δ within one step; None if nothing is known between steps."""


@dataclasses.dataclass(frozen=True)
class Watch:
    """Observables and their accumulators at the start of a stretch."""

    observables: Mapping[str, AbstractObservable]
    states: Any

    def update(self, states: Any, point: Point) -> Any:
        return {name: each.update(states[name], point) for name, each in self.observables.items()}


class AbstractUniform(AbstractMethod):
    """Equal steps: `stretch(problem, start, stop, steps, first)` says how, `short` how to look between steps."""

    stretch: eqx.AbstractVar[Callable[..., Stretch]]
    short: eqx.AbstractVar[Callable[[Problem], Callable[[Values, Any, Values], Any]]]
    pairs: eqx.AbstractVar[bool]
    smooth: eqx.AbstractVar[bool]

    def flow(self, problem: Problem) -> Callable[[Values, Any, Values], Any]:
        return self.short(problem)

    def run(
        self, problem: Problem, y: Any, start: Values, stop: Values, steps: Any, observe: Watch, progress: Progress
    ) -> tuple[Any, Any, Progress]:
        count = jnp.maximum(steps, 1).astype(start.dtype)
        dt = (stop - start) / count
        stretch = self.stretch(problem, start, stop, count, progress.steps)
        z = stretch.enter(y)
        watching = bool(observe.observables)

        def point(t: Values, y, weight: Values, edge: int) -> Point:
            since = dt if edge == 0 else jnp.zeros_like(dt)
            t = t if problem.stimulus is None else just_inside(t, start, stop)
            return Point(problem, t, y, dt, weight, edge if self.smooth else 0, since, pairs=self.pairs)

        shown = lambda y: self.shown(problem, y)
        states = observe.update(observe.states, point(start, shown(y), dt / 2, -1))
        pack_state, unpack_state = packer(z, self.pairs)
        pack, unpack = packer(states, self.pairs)
        pack_point, unpack_point = packer(shown(y), self.pairs)

        def body(i, carry) -> Any:
            state, seen = carry
            moved = pack_state(stretch.advance(i.astype(start.dtype), unpack_state(state)))
            if not watching:
                return moved, seen
            # The step is computed once, not once more in the kernel of every observable.
            moved = jax.lax.optimization_barrier(moved)
            after = (i + 1).astype(start.dtype)
            at = unpack_point(jax.lax.optimization_barrier(pack_point(shown(stretch.leave(after, unpack_state(moved))))))
            return moved, pack(observe.update(unpack(seen), point(start + after * dt, at, dt, 0)))

        state, seen = counted_loop(steps, body, (pack_state(z), pack(states)), self.reverse)
        y = stretch.leave(steps.astype(start.dtype), unpack_state(state))
        states = observe.update(unpack(seen), point(stop, shown(y), -dt / 2, 1))
        longest = jnp.where(steps > 0, jnp.maximum(progress.longest, dt), progress.longest)
        return y, states, eqx.tree_at(lambda p: (p.steps, p.longest), progress, (progress.steps + steps, longest))


class Uniform(AbstractUniform):
    """Equal steps of the state alone."""

    stretch: Callable[..., Stretch] = eqx.field(static=True)
    short: Callable[[Problem], Callable[[Values, Any, Values], Any]] = eqx.field(static=True)
    pairs: bool = eqx.field(static=True, default=True)
    smooth: bool = eqx.field(static=True, default=True)
    reverse: bool = eqx.field(static=True, default=False)


def bounds(problem: Problem, start: Values, stop: Values) -> Values:
    """Ends of the stretches between `start` and `stop`: both, and the input's jumps between them."""
    if problem.stimulus is None:
        return jnp.stack([start, stop])
    jumps = jnp.sort(jnp.clip(problem.stimulus.jumps().astype(start.dtype), start, stop))
    return jnp.concatenate([start[None], jumps, stop[None]])


def fold(
    problem: Problem,
    method: AbstractMethod,
    observables: Mapping[str, AbstractObservable],
    times: Times,
    steps: Any,
) -> tuple[dict[str, Any], Any, Progress]:
    """Results by name, final state and progress of one lane.

    `steps` are the numbers of steps per stretch: (those of the transient (k,), those observed (intervals, k)); adaptive
    methods choose their own.
    """
    dtype = jax.tree.leaves(problem.y0)[0].dtype
    zero = jnp.zeros((), dtype)
    none = jnp.zeros((), jnp.int32)
    progress = Progress(none, zero, none, jnp.full((), jnp.nan, dtype), zero)
    transient, observed = steps
    y, shown = method.begin(problem), lambda y: method.shown(problem, y)
    asarray = lambda t: jnp.asarray(t, dtype)

    def interval(y, a: Values, b: Values, steps, watch: Watch, progress: Progress) -> Any:
        ends = bounds(problem, a, b)
        if ends.shape[0] == 2:
            return method.run(problem, y, a, b, steps[0], watch, progress)

        def one(carry, now) -> Any:
            y, states, progress = carry
            watch_now = Watch(watch.observables, states)
            return method.run(problem, y, now[0], now[1], now[2], watch_now, progress), None

        return jax.lax.scan(one, (y, watch.states, progress), (ends[:-1], ends[1:], steps))[0]

    if times.transient:
        y, _, progress = interval(y, asarray(times.start), asarray(times.t0), transient, Watch({}, {}), progress)
    first = Point(problem, asarray(times.t0), shown(y), zero, zero, long=method.long)
    watch = Watch(observables, {name: each.init(first) for name, each in observables.items()})
    ends = asarray(times.observed)
    if ends.shape[0] == 2:
        y, states, progress = interval(y, ends[0], ends[1], observed[0], watch, progress)
        samples = jax.tree.map(lambda *each: jnp.stack(each), first.y, shown(y)) if times.cuts else None
    else:

        def one(carry, now) -> Any:
            y, states, progress = carry
            y, states, progress = interval(y, now[0], now[1], now[2], Watch(observables, states), progress)
            return (y, states, progress), shown(y)

        carry, ys = jax.lax.scan(one, (y, watch.states, progress), (ends[:-1], ends[1:], observed))
        samples = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first.y, ys)
        y, states, progress = carry
    y = shown(y)
    end = End(problem, ends[0], ends[-1], y, progress.longest, method.flow(problem), samples, times.observed)
    results = {
        f"{name}{suffix}": value
        for name, each in observables.items()
        for suffix, value in each.finish(states[name], end).items()
    }
    return results, y, progress
