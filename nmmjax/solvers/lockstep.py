"""The loop of networks in equal steps: all nodes and all lanes of a block together, monitors and observables folded in.

Time is cut into records, between which states are kept; a record into sections, at whose ends monitors look; a section into
steps. With delays, steps are gathered in blocks within which the past is known (`history`): a block may hold several
sections, or a section several blocks.

States have the shape (n, lanes): nodes first, lanes last, so that products with the weights are products of matrices and all
else runs along the lanes. What differs between lanes is `values`, by the names that `build` puts into the base problem.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Values
from ..mechanics.channels import Problem, node_values
from ..models.state import State
from ..numerics.compiling import CPU_OPTIONS, jitted
from ..numerics.counters import normals
from .history import Past, input_of, readings
from .steppers import AbstractStepper, Now, Stretch

_DRAWN = 64  # steps whose random numbers are drawn at once


@dataclasses.dataclass(frozen=True)
class Pace:
    """How time is cut: `records`, each of `sections`, each of `steps`; blocks of the past of `block` steps, made of blocks
    of `near` steps for near pairs, with `length` samples kept (0 without delays)."""

    records: int
    sections: int
    steps: int
    block: int
    near: int
    length: int = 0

    @property
    def per_record(self) -> int:
        return self.sections * self.steps

    @property
    def joined(self) -> int:
        """Sections per block, if it holds several."""
        return max(self.block // self.steps, 1)

    @property
    def total(self) -> int:
        return self.records * self.per_record


class Table(NamedTuple):
    """The records: their first times and steps, (records,), and, if some have fewer steps than the pace, their numbers."""

    starts: Values
    dts: Values
    counts: Any


class AbstractWatch(eqx.Module):
    """What looks on, for one lane: monitors at the ends of sections, observables after every step."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels whose means over sections, and values at their ends, `section` gets."""
        return ()

    @property
    def steps(self) -> bool:
        """Whether `step` wants to be called."""
        return False

    def step(self, carry: Any, problem: Problem, stretch: Stretch, t: Values, y: State) -> Any:
        """The observables' carry after a step to time `t` and state `y`."""
        return carry

    def section(self, carry: Any, means: Any, lasts: Any, length: Values) -> Any:
        """The monitors' carry at the end of a section of this length; means and lasts by channel, (n,)."""
        return carry

    @abc.abstractmethod
    def record(self, carry: Any, number: Any) -> tuple[Any, Any]:
        """(carry, what is kept) at the end of record `number`."""


class Nobody(AbstractWatch):
    """No one looks on."""

    def record(self, carry: Any, number: Any) -> tuple[Any, Any]:
        return carry, None


class Lockstep(eqx.Module):
    """A network's program: how problems are built, stepped and watched, and how time is cut."""

    stepper: AbstractStepper
    watch: AbstractWatch
    meter: Any
    pace: Pace = eqx.field(static=True)
    build: Callable[..., Problem] = eqx.field(static=True)
    keeps: bool = eqx.field(static=True, default=True)  # whether the states at the ends of records are kept
    lanes: bool = eqx.field(static=True, default=False)  # whether the last axis is one of lanes


class Ride(NamedTuple):
    """What goes from step to step: the stepper's variables; the input from the past at this step, one and two steps ago,
    (3, n, …); the history; coloured noise; the number of the step; monitors; observables."""

    z: Any
    lately: Any
    past: Any
    x: Any
    number: Any
    seen: Any
    watched: Any
    meter: Any


class Start(NamedTuple):
    """Where a run begins: state, input from the past (3, n, …), history, coloured noise, monitors and observables."""

    y: State
    lately: Any
    past: Past | None
    x: Any
    seen: Any
    watched: Any


def drawn(noise: Any, key: Any, number: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Two standard normal numbers per node at step `number` under the `key` of two words, equal for all nodes if shared, in
    single precision."""
    count = jnp.asarray(number, jnp.uint32)
    nodes = jnp.zeros((1,) * len(shape), jnp.uint32) if noise.shared else jnp.arange(shape[0], dtype=jnp.uint32)
    first, second = normals(key, count + jnp.zeros_like(nodes), nodes)
    return jnp.broadcast_to(first, shape), jnp.broadcast_to(second, shape)


@dataclasses.dataclass(frozen=True)
class _Loop:
    """A program and what all its records share: the base problem and what lanes have of their own (`values`), their number
    (None without an axis of lanes), connections with delays, how the past is read at starts and middles of steps, and
    corners of the past."""

    program: Lockstep
    base: Problem
    values: Any
    lanes: int | None
    wires: Any
    reads: list[Any]
    kinks: Any

    @property
    def timed(self) -> bool:
        """Whether there are delays."""
        return self.wires is not None

    def problem(self, values: Any) -> Problem:
        return self.program.build(self.base, values)

    def over(self, function: Callable[..., Any], shared: tuple[int, ...] = ()) -> Callable[..., Any]:
        """The function over all lanes, the last axis of its arguments but of those with `shared` numbers."""
        if self.lanes is None:
            return function

        def mapped(*given: Any) -> Any:
            axes = tuple(None if k in shared else -1 for k in range(len(given)))
            return jax.vmap(function, in_axes=axes, out_axes=-1, axis_size=self.lanes)(*given)

        return mapped

    def full(self, each: Values) -> Values:
        """With the axis of lanes, which histories always have."""
        return each[..., None] if self.lanes is None else each

    def flat(self, each: Values) -> Values:
        """Without the axis of lanes, if there are none."""
        return each[..., 0] if self.lanes is None else each

    def gained(self, c: Values) -> Values:
        """The input from the past with the coupling's gain."""
        return self.over(lambda values, c: self.problem(values).model.gain * c)(self.values, c)

    def record(self, begin: Values, dt: Values, count: Any, first: Any) -> "_Record":
        """The record that begins at a time with a step's number, of the pace's number of steps `dt`, or `count`."""
        pace, stepper = self.program.pace, self.program.stepper
        steps = pace.per_record if count is None else count.astype(dt.dtype)
        stretch = Stretch(begin, begin + dt * steps, dt)
        made = self.over(lambda values: stepper.make(self.problem(values), stretch))(self.values)
        return _Record(self, stretch, count, first, made)


@dataclasses.dataclass(frozen=True)
class _Record:
    """Equal steps between two kept states: what the stepper made for them. `count`: how many of the pace's steps are taken,
    None for all; `first`: the first one's number in the run."""

    loop: _Loop
    stretch: Stretch
    count: Any
    first: Any
    made: Any

    @property
    def pace(self) -> Pace:
        return self.loop.program.pace

    @property
    def watch(self) -> AbstractWatch:
        return self.loop.program.watch

    @property
    def looks(self) -> bool:
        """Whether the state after every step is asked for."""
        return self.loop.timed or bool(self.watch.channels) or self.watch.steps

    def time(self, k: Any) -> Values:
        """The time before step k of the record."""
        return self.stretch.start + k.astype(self.stretch.dt.dtype) * self.stretch.dt

    def slope(self, c: Any) -> Values:
        """The slope of the input from the past, by its values now, one and two steps ago."""
        return (3 * c[0] - 4 * c[1] + c[2]) / (2 * self.stretch.dt)

    def now(self, ride: Ride, like: Values) -> Now:
        """The input from the past at the ride's time; zeros in the shape of `like` without delays."""
        if self.loop.timed:
            return Now(ride.lately[0], self.slope(ride.lately))
        return Now(jnp.zeros_like(like), jnp.zeros_like(like))

    def entered(self, y: State, ride: Ride) -> Ride:
        """The ride in the stepper's variables at the record's first state."""

        def enter(values: Any, made: Any, y: State, now: Now) -> Any:
            stepper, problem = self.loop.program.stepper, self.loop.problem(values)
            return stepper.enter(problem, made, self.stretch, self.stretch.start, y, now)

        z = self.loop.over(enter)(self.loop.values, self.made, y, self.now(ride, y.values[0]))
        return ride._replace(z=z)

    def left(self, ride: Ride, k: Any, like: Values) -> State:
        """The state before step k."""

        def leave(values: Any, made: Any, z: Any, now: Now) -> State:
            return self.loop.program.stepper.leave(self.loop.problem(values), made, self.stretch, self.time(k), z, now)

        return self.loop.over(leave)(self.loop.values, self.made, ride.z, self.now(ride, like))

    def channels(self, problem: Problem, k: Any, y: Any) -> Any:
        return tuple(node_values(name, problem, self.time(k), y) for name in self.watch.channels)

    def sent(self, problem: Problem, t: Values, y: State, c: Values) -> tuple[Values, Values]:
        """What the nodes send, and its slope."""
        flow = problem.model.vector_field(t, y, problem.current(t, y), past=c)
        return jax.jvp(problem.model.sent, (y,), (flow,))

    def step(self, ride: Ride, now: Any) -> tuple[Ride, Any]:
        """One step. `now` is its number in the record, random numbers, and, with delays, the past at its start, middle and
        end and one and two steps before its end. Gives what nodes send after it, and its slope, and the channels."""
        k, numbers, known = now
        over = self.loop.over(self._step, shared=(0,))
        given = (self.loop.values, self.made, ride.z, ride.x, numbers, ride.watched, known)
        z, x, watched, out = over(k, *given)
        moved = ride._replace(z=z, x=x, number=ride.number + 1, watched=watched)
        if self.count is not None:
            moved = jax.tree.map(lambda new, old: jnp.where(k < self.count, new, old), moved, ride)
        return moved, out

    def _step(self, k: Any, values: Any, made: Any, z: Any, x: Any, numbers: Any, watched: Any, known: Any) -> Any:
        """`step` of one lane."""
        timed, stretch, stepper = self.loop.timed, self.stretch, self.loop.program.stepper
        problem, dtype = self.loop.problem(values), stretch.dt.dtype
        noise, kicks, still = problem.noise, None, jnp.zeros(problem.nodes, dtype)
        if noise is not None:
            numbers = jax.tree.map(lambda each: each.astype(dtype), numbers)
            kicks = stepper.kicks(problem.model, noise, stretch.dt, x, numbers)
        past: Any = known[:3] if timed else (still, still, still)
        z = stepper.advance(problem, made, stretch, self.time(k), z, past, kicks)
        x, t = x if kicks is None else kicks.x, self.time(k + 1)
        if not self.looks:
            return z, x, watched, (None, ())
        after = Now(known[2], self.slope(known[2:])) if timed else Now(still, still)
        y = stepper.leave(problem, made, stretch, t, z, after)
        if self.watch.steps:
            at = dataclasses.replace(problem, past=known[2]) if timed else problem
            watched = self.watch.step(watched, at, stretch, t, y)
        signals = self.sent(problem, t, y, known[2]) if timed else None
        return z, x, watched, (signals, self.channels(problem, k + 1, y))

    def steps(self, ride: Ride, k0: Any, count: int, inputs: Any) -> tuple[Ride, Any]:
        """`count` steps from number k0, with the past at all samples (count + 1, …) and midpoints."""
        ks = k0 + jnp.arange(count)
        if not self.loop.timed:
            return self.scanned(ride, ks, None)
        at, middles = inputs
        every = jnp.concatenate([ride.lately[2:0:-1], at], axis=0)  # from two steps before the start on
        stepper = self.loop.program.stepper
        if stepper.between:
            middles = (every[:-3] - 5 * every[1:-2] + 15 * every[2:-1] + 5 * every[3:]) / 16
        elif not stepper.middle:
            middles = every[2:-1]
        known = (every[2:-1], middles, every[3:], every[2:-1], every[1:-2])
        ride, out = self.scanned(ride, ks, known)
        return ride._replace(lately=every[:-4:-1]), out

    def scanned(self, ride: Ride, ks: Any, known: Any) -> tuple[Ride, Any]:
        """Steps number `ks`, with the past. Random numbers are drawn for some steps at once: in a step, XLA would draw them
        anew wherever they are used."""
        count = ks.shape[0]
        some = max(each for each in range(1, min(count, _DRAWN) + 1) if count % each == 0)
        if self.loop.base.noise is None or some == count:
            return jax.lax.scan(self.step, ride, (ks, self.numbers(ride, count), known))
        cut = lambda each: each.reshape(-1, some, *each.shape[1:])
        part = lambda ride, now: jax.lax.scan(self.step, ride, (now[0], self.numbers(ride, some), now[1]))
        ride, out = jax.lax.scan(part, ride, jax.tree.map(cut, (ks, known)))
        return ride, jax.tree.map(lambda each: each.reshape(-1, *each.shape[2:]), out)

    def numbers(self, ride: Ride, count: int) -> Any:
        """Two normal numbers per node at each of the next steps, (count, n, …) each; None without noise."""
        if self.loop.base.noise is None:
            return None

        def lane(values: Any, number: Any) -> Any:
            problem = self.loop.problem(values)
            return jax.vmap(lambda k: drawn(problem.noise, problem.key, number + k, problem.nodes))(jnp.arange(count))

        return self.loop.over(lane, shared=(1,))(self.loop.values, ride.number)

    def block(self, ride: Ride, k0: Any) -> tuple[Ride, Any]:
        """A block of steps with the past known, written behind it; gives the channels after every step."""
        loop, pace = self.loop, self.pace
        if not loop.timed:
            ride, (_, seen) = self.steps(ride, k0, pace.block, None)
            return ride, seen
        far = [input_of(ride.past, each._replace(near=None), pace.block) for each in loop.reads]
        if loop.kinks is not None:
            at = jnp.minimum(self.first + k0, loop.kinks.shape[0] - pace.block)
            far[0] = far[0] + loop.full(jax.lax.dynamic_slice_in_dim(loop.kinks, at, pace.block))
        if pace.near == pace.block:
            return self.part(ride, k0, jnp.zeros((), int), far)
        ride, seen = jax.lax.scan(lambda ride, m: self.part(ride, k0, m, far), ride, jnp.arange(0, pace.block, pace.near))
        return ride, jax.tree.map(lambda each: each.reshape((-1, *each.shape[2:])), seen)

    def part(self, ride: Ride, k0: Any, m: Any, far: list[Values]) -> tuple[Ride, Any]:
        """Steps from number m of the block that begins at k0, as long as those of near pairs have their past known."""
        loop, near, rows = self.loop, self.pace.near, []
        for long, each in zip(far, loop.reads, strict=True):
            close = input_of(ride.past, each._replace(far=None), near)
            rows.append(loop.gained(loop.flat(jax.lax.dynamic_slice_in_dim(long, m, near) + close)))
        at = jnp.concatenate([ride.lately[:1], rows[0]], axis=0)
        ride, ((signals, slopes), seen) = self.steps(ride, k0 + m, near, (at, rows[-1]))
        return ride._replace(past=ride.past.after(loop.full(signals), loop.full(slopes))), seen

    def noticed(self, ride: Ride, means: Any, lasts: Any) -> Ride:
        """Monitors after one section."""
        look = lambda carry, means, lasts: self.watch.section(carry, means, lasts, self.stretch.dt * self.pace.steps)
        return ride._replace(seen=self.loop.over(look)(ride.seen, means, lasts))

    def seen(self, ride: Ride, k: Any, like: Values) -> Any:
        """The channels before step k."""
        if not self.watch.channels:
            return ()
        look = lambda values, y: self.channels(self.loop.problem(values), k, y)
        return self.loop.over(look)(self.loop.values, self.left(ride, k, like))

    def sections(self, ride: Ride, k0: Any, like: Values) -> Ride:
        """The sections of one block from step k0 on."""
        steps, firsts = self.pace.steps, self.seen(ride, k0, like)
        ride, seen = self.block(ride, k0)
        if not self.watch.channels:
            return ride
        for m in range(self.pace.joined):
            some = jax.tree.map(lambda each, m=m: each[m * steps : (m + 1) * steps], seen)
            trapezoid = lambda a, each: ((a + each[-1]) / 2 + jnp.sum(each[:-1], axis=0)) / steps
            lasts = jax.tree.map(lambda each: each[-1], some)
            ride = self.noticed(ride, jax.tree.map(trapezoid, firsts, some), lasts)
            firsts = lasts
        return ride

    def section(self, ride: Ride, k0: Any, like: Values) -> Ride:
        """One section from step k0 on, of several blocks."""
        pace, firsts = self.pace, self.seen(ride, k0, like)

        def more(carry: Any, m: Any) -> Any:
            ride, total, _ = carry
            ride, seen = self.block(ride, k0 + m)
            total = jax.tree.map(lambda total, each: total + jnp.sum(each, axis=0), total, seen)
            return (ride, total, jax.tree.map(lambda each: each[-1], seen)), None

        (ride, total, lasts), _ = jax.lax.scan(more, (ride, firsts, firsts), jnp.arange(0, pace.steps, pace.block))
        if not self.watch.channels:
            return ride
        # `total` holds the first and all later values; the trapezoidal rule halves the first and the last.
        means = jax.tree.map(lambda t, a, b: (t - (a + b) / 2) / pace.steps, total, firsts, lasts)
        return self.noticed(ride, means, lasts)

    def run(self, ride: Ride, y: State) -> tuple[Ride, State, Any]:
        """(ride, state at the end, what the watch keeps)."""
        pace, like = self.pace, y.values[0]
        onwards = self.sections if pace.block >= pace.steps else self.section
        ride, groups = self.entered(y, ride), pace.sections // pace.joined
        if groups == 1:
            ride = onwards(ride, jnp.zeros((), int), like)
        else:
            starts = jnp.arange(groups) * (pace.joined * pace.steps)
            ride, _ = jax.lax.scan(lambda ride, k0: (onwards(ride, k0, like), None), ride, starts)
        y = self.left(ride, jnp.asarray(pace.per_record) if self.count is None else self.count, like)
        number = self.first // pace.per_record
        seen, kept = self.loop.over(lambda carry: self.watch.record(carry, number))(ride.seen)
        return ride._replace(z=None, seen=seen), y, kept


def _march(
    program: Lockstep, base: Problem, values: Any, wires: Any, kinks: Any, table: Table, start: Start, number: Any = 0
) -> tuple[Ride, State, Any]:
    """(what is carried at the end, the last state, what is kept per record: states and what `watch.record` gives).

    - `base`, `values`: the problem, and what its lanes have of their own, with lanes last
    - `wires`: connections with delays; `kinks` (m, n, …): what corners of the past add to its input at the first m steps
    - `table`: the records; `start`: where the run begins; `number` of its first step, for random numbers
    """
    pace, meter = program.pace, program.meter
    lanes = jnp.shape(start.y.values[0])[-1] if program.lanes else None
    shifts = (0.0, 0.5) if program.stepper.middle else (0.0,)
    reads = [] if wires is None else [readings(wires, table.dts[0], later) for later in shifts]  # then all steps are equal
    loop = _Loop(program, base, values, lanes, wires, reads, kinks)
    whole = table.starts[-1] - table.starts[0] + table.dts[-1] * pace.per_record

    def onwards(carry: Any, now: Any) -> Any:
        y, ride = carry
        record = loop.record(*now)
        ride, y, kept = record.run(ride, y)
        share = (record.stretch.stop - table.starts[0]) / whole
        ride = ride._replace(meter=meter.step(ride.meter, share))
        return (y, ride), (y if program.keeps else None, kept, ride.x if program.keeps else None)

    lately = (start.lately, start.past, start.x)
    ride = Ride(None, *lately, jnp.asarray(number, int), start.seen, start.watched, meter.init())
    firsts = jnp.arange(pace.records) * pace.per_record
    times = (table.starts, table.dts, table.counts, firsts)
    (y, ride), kept = jax.lax.scan(jax.checkpoint(onwards), (start.y, ride), times)
    meter.close(ride.meter)
    return ride, y, kept


# On a CPU with vectors as wide as the machine's and no kernel split over cores, unless it becomes a part of another program.
march = jitted(_march, CPU_OPTIONS)
