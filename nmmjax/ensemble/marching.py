"""Lanes of networks in equal steps: delays, noise of each node, monitors, by the loop of `solvers.lockstep`."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Values
from ..mechanics.channels import Problem
from ..models.noise import OrnsteinUhlenbeck
from ..models.state import State
from ..solvers.lockstep import AbstractWatch, Lockstep, Nobody, Pace, Start, Table, drawn, march
from ..solvers.network_run import Monitors, begin
from ..solvers.noisy import meter_of
from ..solvers.steppers import AbstractStepper, Processed, Stretch
from .folding import AbstractMethod, Progress
from .gradient import derivative_name
from .looking import Looked
from .observables import AbstractObservable, End
from .point import Point

_FIRST = 2**32 - 1  # the counter of coloured noise's first value


class Looking(AbstractWatch):
    """Observables after every step, and monitors at the ends of sections."""

    observables: dict[str, AbstractObservable]
    monitors: Any
    end: float = eqx.field(static=True)

    @property
    def channels(self) -> tuple[str, ...]:
        return () if self.monitors is None else self.monitors.channels

    @property
    def steps(self) -> bool:
        return bool(self.observables)

    def step(self, carry: Any, problem: Problem, stretch: Stretch, t: Values, y: State) -> Any:
        dt = stretch.dt
        weight = jnp.where(t > self.end - dt / 2, dt / 2, dt)
        point = Point(problem, t, y, dt, weight, 0, dt)
        return {name: each.update(carry[name], point) for name, each in self.observables.items()}

    def section(self, carry: Any, means: Any, lasts: Any, length: Values) -> Any:
        return self.monitors.section(carry, means, lasts, length)

    def record(self, carry: Any, number: Any) -> tuple[Any, Any]:
        return (carry, None) if self.monitors is None else self.monitors.record(carry, number)


class Marching(AbstractMethod):
    """Equal steps of networks, all lanes of a block at once.

    - `stepper`: one step; `dt`: its length; `pace`: how the observed time is cut; `transient`: records before it
    - `timed`: whether there are delays; `apart`: whether they differ between lanes
    - `record`: the length of a record; `every`, `samples`: of monitors, see `Monitors`; `places`: of sample times among the
      ends of records
    """

    stepper: AbstractStepper
    pace: Pace = eqx.field(static=True)
    transient: int = eqx.field(static=True)
    dt: float = eqx.field(static=True)
    record: float = eqx.field(static=True)
    timed: bool = eqx.field(static=True)
    apart: bool = eqx.field(static=True)
    every: tuple[tuple[str, int], ...] = eqx.field(static=True)
    samples: tuple[tuple[str, int], ...] = eqx.field(static=True)
    places: tuple[int, ...] = eqx.field(static=True)
    reverse: bool = eqx.field(static=True, default=False)
    fusible: ClassVar[bool] = False

    def flow(self, problem: Problem) -> None:
        return None

    def run(self, problem, y, start, stop, steps, observe, progress) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise AssertionError("lanes of networks march in blocks")

    def block(self, task: Any, base: Any, values: Mapping[str, Any], steps: Any) -> dict[str, Any]:
        columns = {name: jnp.moveaxis(each, 0, -1) for name, each in values.items()}
        chosen = {name: each for name, each in columns.items() if name in task.gradient}
        others = {name: each for name, each in columns.items() if name not in task.gradient}
        plain = lambda chosen: self._lanes(task, base, others | chosen)
        results, rest = plain(chosen)
        for name in task.gradient:
            hit = {each: jnp.full_like(value, 1.0 if each == name else 0.0) for each, value in chosen.items()}
            _, slopes = jax.jvp(lambda chosen: plain(chosen)[0], (chosen,), (hit,))
            results = results | {derivative_name(variable, name): slope for variable, slope in slopes.items()}
        return jax.tree.map(lambda each: jnp.moveaxis(each, -1, 0), results | rest)

    def _lanes(self, task: Any, base: Problem, values: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Results of lanes, and how they ended, lanes last."""
        over = lambda f: jax.vmap(f, in_axes=-1, out_axes=-1)
        problem_of = lambda values: task.build(base, values)
        dtype = jax.tree.leaves(base.y0)[0].dtype
        asarray = lambda x: jnp.asarray(x, dtype)
        dt = asarray(self.dt)
        y = over(lambda values: problem_of(values).y0)(values)
        count = jax.tree.leaves(values)[0].shape[-1]
        history = lately = kinks = None
        if self.timed:
            if self.apart:
                delays = over(lambda values: problem_of(values).model.coupling.delays())(values)
                base = eqx.tree_at(lambda each: each.wires.delays, base, delays)
            corners = isinstance(self.stepper, Processed)
            given = (True, self.pace, dt, None, jnp.zeros((), dtype), corners)
            history, lately, kinks = begin(task.build, base, values, *given)
        observables = {name: each for name, each in task.observables if not isinstance(each, Looked)}
        looks = {name: each.look for name, each in task.observables if isinstance(each, Looked)}
        monitors = Monitors(looks, dict(self.every), dict(self.samples), True) if looks else None
        watch = Looking(observables, monitors, task.times.t1)
        x = over(lambda values: _first(problem_of(values), dtype))(values)
        start = Start(y, lately, history, x, None, None)
        number = jnp.zeros((), int)
        if self.transient:
            pace = dataclasses.replace(self.pace, records=self.transient)
            program = Lockstep(self.stepper, Nobody(), meter_of(False), pace, task.build, keeps=False, lanes=True)
            table = Table(self.record * jnp.arange(self.transient, dtype=dtype), jnp.full(self.transient, dt), None)
            out, y, _ = march(program, base, values, base.wires, kinks, table, start)
            start = Start(y, out.lately, out.past, out.x, None, None)
            number = out.number
            kinks = None if kinks is None else _later(kinks, pace.total, self.pace.block)

        def first(values: Any, y: State, past: Any) -> Any:
            """Accumulators and monitors at the first time that is observed."""
            problem = dataclasses.replace(problem_of(values), past=past)
            none = Point(problem, asarray(task.times.t0), y, jnp.zeros_like(dt), jnp.zeros_like(dt))
            here = Point(problem, asarray(task.times.t0), y, dt, dt / 2)
            seen = {name: each.update(each.init(none), here) for name, each in observables.items()}
            problem = dataclasses.replace(problem, y0=y)
            return seen, None if monitors is None else monitors.begin(problem)

        now = None if lately is None else start.lately[0]
        watched, seen = over(first)(values, start.y, now)
        start = start._replace(seen=seen, watched=watched)
        keeps = bool(self.places)
        program = Lockstep(self.stepper, watch, meter_of(False), self.pace, task.build, keeps=keeps, lanes=True)
        starts = task.times.t0 + self.record * jnp.arange(self.pace.records, dtype=dtype)
        table = Table(starts, jnp.full(self.pace.records, dt), None)
        out, last, (states, kept, _) = march(program, base, values, base.wires, kinks, table, start, number)
        samples = None
        if keeps:
            samples = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b])[jnp.asarray(self.places)], start.y, states)

        def finish(values: Any, y: State, watched: Any, samples: Any) -> dict[str, Any]:
            problem, times = problem_of(values), task.times
            end = End(problem, asarray(times.t0), asarray(times.t1), y, dt, self.flow(problem), samples, times.observed)
            return {
                f"{name}{suffix}": value
                for name, each in observables.items()
                for suffix, value in each.finish(watched[name], end).items()
            }

        results = over(finish)(values, last, out.watched, samples)
        for name, look in looks.items():
            every, whole = dict(self.every)[name], dict(self.samples)[name]
            if name in kept:
                results[name] = kept[name][every - 1 :: every][:whole]
            else:
                results[name] = over(look.finish)(out.seen[name][1])  # pyright: ignore[reportAttributeAccessIssue]
        wide = lambda value, kind: jnp.full(count, value, kind)
        total = self.pace.total + self.transient * self.pace.per_record
        progress = Progress(
            wide(total, jnp.int32), wide(dt, dtype), wide(0, jnp.int32), wide(jnp.nan, dtype), wide(dt, dtype)
        )
        return results, {".y": last, ".progress": progress}


def _later(kinks: Values, steps: int, block: int) -> Values:
    """Corners of the steps that remain after `steps`, of which at least a block is kept."""
    rest = kinks[min(steps, kinks.shape[0] - 1) :]
    empty = jnp.zeros((block, *kinks.shape[1:]), kinks.dtype)
    return jnp.concatenate([rest, empty]) if steps < kinks.shape[0] else empty


def _first(problem: Problem, dtype: Any) -> Values:
    """Coloured noise at the start, by its stationary law; zeros of white noise and without noise."""
    noise, shape = problem.noise, problem.nodes
    if not isinstance(noise, OrnsteinUhlenbeck):
        return jnp.zeros(shape, dtype)
    spread = jnp.sqrt(noise.intensity * problem.model.tau / noise.correlation_time)
    return jnp.broadcast_to(spread, shape) * drawn(noise, problem.key, _FIRST, shape)[0].astype(dtype)
