"""The loop of networks in equal steps: all nodes and all lanes of a block together, monitors and observables folded in.

Time is cut into records, between which states are kept; a record into sections, at whose ends monitors look; a section into
steps. With delays, steps are gathered in blocks within which the past is known (`history`): a block may hold several
sections, or a section several blocks.

States have the shape (n, lanes): nodes first, lanes last, so that products with the weights are products of matrices and all
else runs along the lanes. What differs between lanes is `values`, by the names that `build` puts into the base problem.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Values, is_concrete
from ..mechanics.channels import Problem, node_values
from ..models.state import State
from ..numerics.counters import normals
from .history import Past, input_of, readings
from .steppers import AbstractStepper, Now, Stretch

# A step's kernels are so short that XLA must not split them over cores.
CPU_OPTIONS = {"xla_cpu_prefer_vector_width": 512, "xla_disable_hlo_passes": "cpu-parallel-task-assigner"}


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


def drawn(noise: Any, key: Any, number: Any, shape: tuple[int, ...], dtype: Any) -> tuple[Any, Any]:
    """Two standard normal numbers per node at step `number` under the `key` of two words, equal for all nodes if shared."""
    count = jnp.asarray(number, jnp.uint32)
    nodes = jnp.zeros((1,) * len(shape), jnp.uint32) if noise.shared else jnp.arange(shape[0], dtype=jnp.uint32)
    first, second = normals(key, count + jnp.zeros_like(nodes), nodes)
    return jnp.broadcast_to(first, shape).astype(dtype), jnp.broadcast_to(second, shape).astype(dtype)


def _march(
    program: Lockstep,
    base: Problem,
    values: Any,
    wires: Any,
    kinks: Any,
    table: Table,
    start: Start,
    number: Any = 0,
) -> tuple[Ride, State, Any]:
    """(what is carried at the end, the last state, what is kept per record: states and what `watch.record` gives).

    - `base`, `values`: the problem, and what its lanes have of their own, with lanes last
    - `wires`: connections with delays; `kinks` (m, n, …): what corners of the past add to its input at the first m steps
    - `table`: the records; `start`: where the run begins; `number` of its first step, for random numbers
    """
    pace, stepper, watch = program.pace, program.stepper, program.watch
    wide = jnp.shape(start.y.values[0])[-1]
    over = (lambda f: jax.vmap(f, in_axes=-1, out_axes=-1, axis_size=wide)) if program.lanes else (lambda f: f)
    problem_of = lambda values: program.build(base, values)
    timed = wires is not None
    shape = jnp.shape(start.y.values[0])
    still = jnp.zeros(shape, start.y.values[0].dtype)

    def gained(values: Any, c: Values) -> Values:
        return problem_of(values).model.gain * c

    def sent(values: Any, t: Values, y: State, c: Values) -> tuple[Values, Values]:
        """What the nodes send, and its slope."""
        problem = problem_of(values)
        flow = problem.model.vector_field(t, y, problem.current(t, y), past=c)
        return jax.jvp(problem.model.sent, (y,), (flow,))

    def record(ride: Any, now: Any) -> Any:
        y, ride = ride
        begin, dt, count, first = now
        stretch = Stretch(begin, begin + dt * pace.per_record if count is None else begin + dt * count.astype(dt.dtype), dt)
        made = over(lambda values: stepper.make(problem_of(values), stretch))(values)
        reads = [readings(wires, dt, later) for later in ((0.0, 0.5) if stepper.middle else (0.0,))] if timed else []
        time_of = lambda k: begin + k.astype(dt.dtype) * dt
        slope_of = lambda c: (3 * c[0] - 4 * c[1] + c[2]) / (2 * dt)
        lately_of = lambda ride: Now(ride.lately[0], slope_of(ride.lately)) if timed else Now(still, still)

        def enter(values: Any, made: Any, y: State, now: Now) -> Any:
            return stepper.enter(problem_of(values), made, stretch, begin, y, now)

        def shown(values: Any, made: Any, k: Any, z: Any, now: Now) -> State:
            return stepper.leave(problem_of(values), made, stretch, time_of(k), z, now)

        def channels(values: Any, k: Any, y: Any) -> Any:
            return tuple(node_values(name, problem_of(values), time_of(k), y) for name in watch.channels)

        def step(ride: Ride, now: Any) -> tuple[Ride, Any]:
            """One step; `now` is its number in the record and, with delays, the past at its start, middle and end and one
            and two steps before its end."""
            k, known = now

            def one(values: Any, made: Any, z: Any, x: Any, number: Any, watched: Any, known: Any) -> Any:
                problem = problem_of(values)
                noise, kicks = problem.noise, None
                if noise is not None:
                    numbers = drawn(noise, problem.key, number, problem.nodes, z_dtype)
                    kicks = stepper.kicks(problem.model, noise, dt, x, numbers)
                past: Any = known[:3] if timed else (jnp.zeros(problem.nodes, z_dtype),) * 3
                z = stepper.advance(problem, made, stretch, time_of(k), z, past, kicks)
                after = Now(known[2], slope_of(known[2:])) if timed else Now(*(jnp.zeros(problem.nodes, z_dtype),) * 2)
                y: Any = stepper.leave(problem, made, stretch, time_of(k + 1), z, after) if looks else None
                if watch.steps:
                    at = dataclasses.replace(problem, past=known[2]) if timed else problem
                    watched = watch.step(watched, at, stretch, time_of(k + 1), y)
                out = (sent(values, time_of(k + 1), y, known[2]) if timed else None, channels(values, k + 1, y))
                return z, x if kicks is None else kicks.x, watched, out

            z, x, watched, out = over_steps(one)(values, made, ride.z, ride.x, ride.number, ride.watched, known)
            moved = ride._replace(z=z, x=x, number=ride.number + 1, watched=watched)
            if count is not None:
                moved = jax.tree.map(lambda new, old: jnp.where(k < count, new, old), moved, ride)
            return moved, out

        z_dtype = still.dtype
        looks = timed or bool(watch.channels) or watch.steps
        over_steps = (
            (lambda f: jax.vmap(f, in_axes=(-1, -1, -1, -1, None, -1, -1), out_axes=-1)) if program.lanes else (lambda f: f)
        )

        def steps(ride: Ride, k0: Any, count_of: int, inputs: Any) -> tuple[Ride, Any]:
            """`count_of` steps from number k0, with the past at all samples (count_of + 1, …) and midpoints."""
            ks = k0 + jnp.arange(count_of)
            if not timed:
                return jax.lax.scan(step, ride, (ks, None))
            at, middles = inputs
            every = jnp.concatenate([ride.lately[2:0:-1], at], axis=0)  # from two steps before the start on
            if stepper.between:
                middles = (every[:-3] - 5 * every[1:-2] + 15 * every[2:-1] + 5 * every[3:]) / 16
            elif not stepper.middle:
                middles = every[2:-1]
            known = (every[2:-1], middles, every[3:], every[2:-1], every[1:-2])
            ride, out = jax.lax.scan(step, ride, (ks, known))
            ride = ride._replace(lately=every[:-4:-1])
            return ride, out

        def block(ride: Ride, k0: Any) -> tuple[Ride, Any]:
            """A block of steps with the past known, written behind it; gives the channels at every step."""
            if not timed:
                ride, (_, seen) = steps(ride, k0, pace.block, None)
                return ride, seen
            flat = (lambda each: each) if program.lanes else (lambda each: each[..., 0])
            full = (lambda each: each) if program.lanes else (lambda each: each[..., None])
            gain = over(gained)
            far = [input_of(wires, ride.past, each._replace(near=None), pace.block) for each in reads]
            if kinks is not None:
                at = jnp.minimum(first + k0, kinks.shape[0] - pace.block)
                far[0] = far[0] + full(jax.lax.dynamic_slice_in_dim(kinks, at, pace.block))

            def part(ride: Ride, m: Any) -> tuple[Ride, Any]:
                rows = []
                for long, each in zip(far, reads, strict=True):
                    close = input_of(wires, ride.past, each._replace(far=None), pace.near)
                    rows.append(gain(values, flat(jax.lax.dynamic_slice_in_dim(long, m, pace.near) + close)))
                at = jnp.concatenate([ride.lately[:1], rows[0]], axis=0)
                ride, ((signals, slopes), seen) = steps(ride, k0 + m, pace.near, (at, rows[-1]))
                return ride._replace(past=ride.past.after(full(signals), full(slopes))), seen

            if pace.near == pace.block:
                return part(ride, jnp.zeros((), int))
            ride, seen = jax.lax.scan(part, ride, jnp.arange(0, pace.block, pace.near))
            return ride, jax.tree.map(lambda each: each.reshape((-1, *each.shape[2:])), seen)

        def noticed(ride: Ride, firsts: Any, seen: Any) -> Ride:
            """Monitors after one section, from the channels at its start and after each of its steps, (steps, …)."""
            if not watch.channels:
                return ride
            means = jax.tree.map(
                lambda a, each: ((a + each[-1]) / 2 + jnp.sum(each[:-1], axis=0)) / pace.steps, firsts, seen
            )
            lasts = jax.tree.map(lambda each: each[-1], seen)
            look = lambda carry, means, lasts: watch.section(carry, means, lasts, dt * pace.steps)
            return ride._replace(seen=over(look)(ride.seen, means, lasts))

        def now_seen(ride: Ride, k: Any) -> Any:
            if not watch.channels:
                return ()
            look = lambda values, made, z, now: channels(values, k, shown(values, made, k, z, now))
            return over(look)(values, made, ride.z, lately_of(ride))

        joined = max(pace.block // pace.steps, 1)  # sections per block

        def group(ride: Ride, g: Any) -> tuple[Ride, None]:
            """Sections of one block, or the blocks of one section."""
            firsts, k0 = now_seen(ride, g * joined * pace.steps), g * joined * pace.steps
            if pace.block >= pace.steps:
                ride, seen = block(ride, k0)
                for m in range(joined):
                    some = jax.tree.map(lambda each, m=m: each[m * pace.steps : (m + 1) * pace.steps], seen)
                    ride = noticed(ride, firsts, some)
                    firsts = jax.tree.map(lambda each: each[-1], some)
                return ride, None

            def more(carry: Any, m: Any) -> Any:
                ride, total, _ = carry
                ride, seen = block(ride, k0 + m)
                total = jax.tree.map(lambda total, each: total + jnp.sum(each, axis=0), total, seen)
                return (ride, total, jax.tree.map(lambda each: each[-1], seen)), None

            (ride, total, last), _ = jax.lax.scan(more, (ride, firsts, firsts), jnp.arange(0, pace.steps, pace.block))
            if watch.channels:
                # `total` holds the first and all later values; the trapezoidal rule halves the first and the last.
                means = jax.tree.map(lambda t, a, b: (t - (a + b) / 2) / pace.steps, total, firsts, last)
                look = lambda carry, means, lasts: watch.section(carry, means, lasts, dt * pace.steps)
                ride = ride._replace(seen=over(look)(ride.seen, means, last))
            return ride, None

        ride = ride._replace(z=over(enter)(values, made, y, lately_of(ride)))
        groups = pace.sections // joined
        if groups == 1:
            ride, _ = group(ride, jnp.zeros((), int))
        else:
            ride, _ = jax.lax.scan(group, ride, jnp.arange(groups))
        k = jnp.asarray(pace.per_record) if count is None else count
        y = over(lambda values, made, z, now: shown(values, made, k, z, now))(values, made, ride.z, lately_of(ride))
        seen, extra = over(lambda carry: watch.record(carry, first // pace.per_record))(ride.seen)
        meter = program.meter.step(ride.meter, (k.astype(dt.dtype) * dt + begin - table.starts[0]) / whole)
        ride = ride._replace(z=None, seen=seen, meter=meter)
        return (y, ride), (y if program.keeps else None, extra, ride.x if program.keeps else None)

    whole = table.starts[-1] - table.starts[0] + table.dts[-1] * pace.per_record
    ride = Ride(
        None, start.lately, start.past, start.x, jnp.asarray(number, int), start.seen, start.watched, program.meter.init()
    )
    firsts = jnp.arange(pace.records) * pace.per_record
    remat = jax.checkpoint(record)
    (y, ride), kept = jax.lax.scan(remat, (start.y, ride), (table.starts, table.dts, table.counts, firsts))
    program.meter.close(ride.meter)
    return ride, y, kept


@functools.cache
def _compiled(options: bool) -> Any:
    compiled: Any = eqx.filter_jit
    return compiled(_march, compiler_options=CPU_OPTIONS if options else None)


def march(*arguments: Any) -> tuple[Ride, State, Any]:
    """`_march`, compiled: on a CPU with vectors as wide as the machine's and no kernel split over cores, unless it becomes a
    part of another program."""
    alone = all(is_concrete(each) for each in jax.tree.leaves(arguments) if eqx.is_array(each))
    return _compiled(alone and jax.default_backend() == "cpu")(*arguments)
