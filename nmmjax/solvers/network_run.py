"""One run of a network in equal steps: delays, noise of each node and monitors, by the loop of `lockstep`."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._types import Values, if_known, is_concrete, primal
from ..mechanics.channels import Problem, check_channel, node_values, unit_of
from ..models.network import Network
from ..models.state import State
from ..monitors.base import AbstractMonitor, AbstractStatistic
from ..numerics.compiling import jitted
from .history import (
    Blocks,
    History,
    Past,
    begun,
    blocks_of,
    input_of,
    known_delays,
    least_delay,
    readings,
    wires_of,
)
from .lockstep import AbstractWatch, Lockstep, Nobody, Pace, Start, Table, march
from .noisy import first_kick, schedule, stretches_of
from .steppers import Processed, stepper_for

_SHORTEST = 1 / 32  # of a step: the least common interval of saved times and periods
_LONGEST_BLOCK = 64  # steps


def alone(base: Problem, values: Any) -> Problem:
    """The problem of a run without lanes."""
    del values
    return base


class Timing(NamedTuple):
    """How long records are, and how many `records` there are."""

    length: float
    records: int

    def places(self, ts: Any) -> np.ndarray:
        """Which of the records' ends the times since the start are."""
        return np.rint(np.asarray(ts, float) / self.length).astype(int)


def common_interval(ts: np.ndarray, periods: Mapping[str, float], step: float, jumps: Any = ()) -> Timing:
    """The longest interval of which all differences of the times `ts`, of `jumps` of the input between them, and all
    `periods` are multiples, to a part in 10⁶ or the rounding of `ts`. Refuses those for which steps would have to be far
    shorter than `step`."""
    inside, ts = np.asarray(jumps, float), np.asarray(ts, float)
    made = np.float32 if np.array_equal(ts.astype(np.float32), ts) else float  # in float32, `linspace` rounds
    rounded = 4 * float(np.finfo(made).eps) * float(np.max(np.abs(ts)))
    times = np.unique(np.concatenate([ts, inside[(inside > ts[0]) & (inside < ts[-1])]]))
    since, total = times[1:] - times[0], float(times[-1] - times[0])
    # Periods are known best; of times, the last relative to what lies between.
    near = float(np.min(np.diff(times)))
    found = min(periods.values(), default=total / max(round(total / near), 1))
    least = max(_SHORTEST * min(step, total), 1e-9 * total)
    each = np.concatenate([since, list(periods.values())])
    while True:
        slack = max(1e-6 * found, min(rounded, 1e-2 * found))
        rest = each % found
        odd = (rest > slack) & (found - rest > slack)
        if not np.any(odd):
            break
        found = float(np.min(rest[odd]))
        rule = "be multiples of one interval with the periods of monitors and jumps of the input, as steps are equal here"
        require("ts", f"a common interval of {found:.3g}", rule, found >= least)
    count = round(total / found)
    return Timing(total / count, count)


def pace_of(
    timing: Timing, longest: float, dt0: float, delays: np.ndarray | None, farthest: float = 0.0
) -> tuple[Pace, float]:
    """How time is cut, and the step: at most `dt0`, below the least of the `delays`, sections of at most `longest`. The
    history reaches as far back as the longest delay, or the `farthest` of all lanes."""
    sections = max(int(np.ceil(timing.length / longest * (1 - 1e-9))), 1) if np.isfinite(longest) else 1
    section = timing.length / sections
    least = np.inf if delays is None else least_delay(delays)
    steps = max(int(np.ceil(section / min(dt0, 0.999 * least) * (1 - 1e-9))), 1)
    if delays is None or not np.isfinite(least):
        return Pace(timing.records, sections, steps, steps, steps), section / steps
    # A block holds whole sections, or a section whole blocks.
    steps = _rounded(steps, max(int(np.ceil(least / section * steps - 1e-9)) - 1, 1))
    dt = section / steps
    choices = [each for each in range(1, min(steps, _LONGEST_BLOCK) + 1) if steps % each == 0]
    choices += [steps * each for each in range(2, _LONGEST_BLOCK // steps + 1) if sections % each == 0]
    blocks = blocks_of(delays, dt, choices)
    farthest = max(farthest, float(delays[np.isfinite(delays)].max()))
    length = int(np.ceil(farthest / dt)) + 6  # a midpoint and the two steps before the start look further back
    length += -length % blocks.near
    return Pace(timing.records, sections, steps, blocks.far, blocks.near, length), dt


def _rounded(steps: int, most: int) -> int:
    """A few more steps, if these are cut into blocks of at most `most` in a better way: the number with the largest divisor
    ≤ most."""
    if steps <= most:
        return steps
    parts = -(-steps // most)
    return parts * -(-steps // parts)


def past_samples(
    network: Network, past: Any, y0: State, start: Any, length: int, dt: Any, dtype: Any
) -> tuple[Values, Values]:
    """What the nodes sent at the `length` sample times up to the start, and its slopes, (length, n) each: of a `History`, a
    function of time, or, if None, as at the start."""
    if past is None:
        sent = network.sent(y0)
        return jnp.broadcast_to(sent, (length, *sent.shape)), jnp.zeros((length, *sent.shape), dtype)
    back = dt * jnp.arange(1 - length, 1, dtype=dtype)
    if isinstance(past, History):  # it ends where the run begins
        return jax.vmap(lambda each: past(past.end.astype(dtype) + each))(back)
    times = jnp.asarray(start, dtype) + back

    def sent_at(t: Values) -> Values:
        given = past(t)
        each = lambda name: jnp.broadcast_to(jnp.asarray(given[name], dtype), network.shape)
        return network.sent(State(**{name: each(name) for name in network.variables}))

    return jax.vmap(lambda t: jax.jvp(sent_at, (t,), (jnp.ones_like(t),)))(times)


@jitted
def begin(
    build: Callable[..., Problem],
    base: Problem,
    values: Any,
    lanes: bool,
    pace: Pace,
    dt: Values,
    past: Any,
    start: Any,
    corners: bool,
) -> tuple[Past, Values, Any]:
    """(history, input from the past at the start and one and two steps before it, (3, n, …), corners) of a run, or of lanes.

    `past` is a `History`, a function of time, or None if all was as at the `start`.
    """
    over = (lambda f: jax.vmap(f, in_axes=-1, out_axes=-1)) if lanes else (lambda f: f)
    full = (lambda each: each) if lanes else (lambda each: each[..., None])
    flat = (lambda each: each) if lanes else (lambda each: each[..., 0])
    wires = base.wires

    def before_start(values: Any) -> Any:
        problem = build(base, values)
        return past_samples(problem.model, past, problem.y0, start, pace.length, dt, dt.dtype)

    signals, slopes = over(before_start)(values)
    spare = min(max(pace.block, -(-3 // pace.near) * pace.near), pace.length)  # 3 steps are read below
    before = begun(full(signals), full(slopes), spare)
    lately = flat(input_of(before, readings(wires, dt), 3, back=3)[::-1])
    lately = over(lambda values, c: build(base, values).model.gain * c)(values, lately)

    def onwards(values: Any, c: Values) -> Any:
        """What nodes send at the start, and its slope from there on, by the equations."""
        problem = build(base, values)
        network, y0, zero = problem.model, problem.y0, jnp.zeros((), c.dtype)
        flow = network.vector_field(zero, y0, problem.current(zero, y0), past=c)
        return jax.jvp(network.sent, (y0,), (flow,))

    sent, slope = over(onwards)(values, lately[0])
    after = begun(full(signals.at[-1].set(sent)), full(slopes.at[-1].set(slope)), spare)
    jump, length = slope - slopes[-1], pace.length + pace.block + 2
    if wires.delays.ndim == 3:
        table = jax.vmap(lambda D, jump: corner_input(wires.weights, D, jump, dt, length, corners), -1, -1)(
            wires.delays, jump
        )
    else:
        table = over(lambda jump: corner_input(wires.weights, wires.delays, jump, dt, length, corners))(jump)
    return after, lately, table


def corner_input(weights: Values, delays: Values, jump: Values, dt: Values, length: int, corners: bool) -> Values:
    """What a corner of the past at the start, where slopes change by `jump` (n,), adds to its input at the first steps,
    (length, n), without gain.

    Between the last two samples the cubic has the slope before the corner. Where the corner arrives within a step, at a
    share of it, the sum of kicks misses an impulse dt² W jump B₂(share)/2, by the formula of Euler and Maclaurin; with
    `corners` it is made up for.
    """
    n = jump.shape[0]
    back = delays / dt
    whole = jnp.ceil(jax.lax.stop_gradient(back) - 1e-9)
    s, k = whole - back, whole.astype(jnp.int32)
    rows = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32)[:, None], (n, n))
    table, change = jnp.zeros((length, n), weights.dtype), weights * jump[None]
    # Row m − 1 holds sample m.
    table = table.at[jnp.maximum(k - 2, 0), rows].add(jnp.where(k >= 2, -dt * s**2 * (s - 1) * change, 0))
    if corners:
        impulse = jnp.where(k >= 1, dt * change * (s**2 - s + 1 / 6) / 2, 0)
        table = table.at[jnp.maximum(k - 1, 0), rows].add((1 - s) * impulse)
        table = table.at[jnp.maximum(k - 2, 0), rows].add(jnp.where(k >= 2, s * impulse, 0))
    return table


class Monitors(AbstractWatch):
    """Monitors and statistics of a run or of a lane, with the number of records in a period of each, and of all samples."""

    looks: dict[str, AbstractMonitor | AbstractStatistic]
    every: dict[str, int] = eqx.field(static=True)
    samples: dict[str, int] = eqx.field(static=True)
    keeps: bool = eqx.field(static=True)  # whether samples of monitors are kept

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(sorted({monitor_of(each).channel for each in self.looks.values()}))

    def begin(self, problem: Problem) -> Any:
        """The carry before the first step."""
        found = {}
        for name, each in self.looks.items():
            monitor = monitor_of(each)
            first = node_values(monitor.channel, problem, jnp.zeros((), problem.y0.values[0].dtype), problem.y0)
            state = monitor.begin(first)
            kept = None
            if isinstance(each, AbstractStatistic):
                kept = each.begin(monitor.sample(state).shape[0], self.samples[name], first.dtype)
            found[name] = state, kept
        return found

    def section(self, carry: Any, means: Any, lasts: Any, length: Values) -> Any:
        place = {name: k for k, name in enumerate(self.channels)}
        found = {}
        for name, each in self.looks.items():
            monitor, (state, kept) = monitor_of(each), carry[name]
            k = place[monitor.channel]
            found[name] = monitor.update(state, means[k], lasts[k], length), kept
        return found

    def record(self, carry: Any, number: Any) -> tuple[Any, Any]:
        found, samples = {}, {}
        for name, each in self.looks.items():
            monitor, (state, kept) = monitor_of(each), carry[name]
            sample = monitor.sample(state)
            if isinstance(each, AbstractStatistic):
                due = (number + 1) % self.every[name] == 0
                update = lambda kept, each=each, sample=sample, k=number // self.every[name]: each.update(kept, sample, k)
                kept = jax.lax.cond(due, update, lambda kept: kept, kept)
            elif self.keeps:
                samples[name] = sample
            found[name] = state, kept
        return found, samples


def monitor_of(each: Any) -> AbstractMonitor:
    """The monitor, or that of a statistic."""
    return each.monitor if isinstance(each, AbstractStatistic) else each


def check_monitors(monitors: Any, problem: Problem) -> dict[str, Any]:
    """The monitors of a run by name, else the one-sentence `ValueError`."""
    known = isinstance(monitors, Mapping) and all(isinstance(name, str) for name in monitors)
    require("monitors", monitors, 'be a dictionary of monitors by name, such as {"bold": BOLD(TR=2000.0)}', known)
    for name, each in monitors.items():
        fits = isinstance(each, AbstractMonitor | AbstractStatistic)
        require("monitors", each, "hold monitors such as `BOLD(TR=2000.0)`, or statistics of them", fits)
        check_channel(monitor_of(each).channel, problem)
        monitor_of(each).labels(problem.model)
        del name
    return dict(monitors)


def watch_of(looks: dict[str, Any], timing: Timing, keeps: bool) -> Any:
    """What looks on, and how many samples each sees."""
    if not looks:
        return Nobody()
    every = {name: round(monitor_of(each).period / timing.length) for name, each in looks.items()}
    samples = {name: timing.records // each for name, each in every.items()}
    for name, each in looks.items():
        monitor = monitor_of(each)
        rule = f"last at least one period of the monitor {name!r}, {monitor.period:g}"
        require("ts", f"{timing.records * timing.length:g}", rule, samples[name] >= 1)
        if isinstance(each, AbstractStatistic):
            each.used(samples[name])
    return Monitors(looks, every, samples, keeps)


def monitored(watch: Any, seen: Any, kept: Any, problem: Problem, start: float) -> dict[str, Any] | None:
    """What users get of the monitors of one run: from the last carry and what was kept per record."""
    if isinstance(watch, Nobody):
        return None
    found = {}
    for name, each in watch.looks.items():
        monitor, every, count = monitor_of(each), watch.every[name], watch.samples[name]
        labels = monitor.labels(problem.model)
        if isinstance(each, AbstractStatistic):
            found[name] = each.result(each.finish(seen[name][1]), labels, count, unit_of(monitor.channel, problem))
        else:
            ts = start + monitor.period * np.arange(1, count + 1)
            values = kept[name][every - 1 :: every][:count]
            found[name] = monitor.result(ts, values, labels, unit_of(monitor.channel, problem))
    return found


class Ran(NamedTuple):
    """A run in equal steps: states at the times asked for, coloured noise there, what monitors saw, the history that it
    ends with, the number of steps, and how, in words."""

    ys: Any
    fluctuation: Any
    monitors: Any
    history: History | None
    steps: Any
    method: str


def run_network(
    model: Any,
    noise: Any,
    key: Any,
    y0: Any,
    x0: Any,
    stimulus: Any,
    ts: Values,
    known: Any,
    start: float,
    jumps: Any,
    step: Any,
    order: int,
    monitors: Any,
    past: Any,
    meter: Any,
) -> Ran:
    """One run of a network, or of one population with monitors, at steps of at most `step`.

    - `noise`, `key`, `x0`: noise that is drawn, its random key, and coloured noise's first value, or None each
    - `ts`: times since the start (m,), `known` as NumPy's; `start`: the first time; `jumps`: of the stimulus, on the same
      clock
    - `order`: 2 for the splitting of order 2
    - `past`: a `History`, a function of time, or None
    """
    alike = model.size is None
    network = Network(model, jnp.zeros((1, 1), ts.dtype)) if alike else model
    y0 = jax.tree.map(lambda each: each[None], y0) if alike else y0
    words = None if key is None else key_words(key)
    problem = Problem(network, y0, stimulus, noise, words)
    looks = check_monitors(monitors, problem) if monitors else {}
    delays = known_delays(network) if network.coupling.delayed else None
    if delays is not None and not np.isfinite(least_delay(delays)):  # of no length, all of them
        network, delays = network.undelayed(), None
        problem = dataclasses.replace(problem, model=network)
    present = delays is None or bool(np.any(delays == 0))
    stepper = stepper_for(network, noise is not None, present, order, alone=alike)
    if x0 is None and noise is not None and key is not None:
        x0 = first_kick(network, noise, jax.random.fold_in(key, len(ts)), network.shape, ts.dtype)
    carried = None if noise is None else x0
    history = lately = kinks = None
    if delays is None and not looks:
        pace, table, places, watch = if_known(_by_interval, ts, jumps, step)
        largest = f"at most {_short(step)}"
    else:
        periods = {name: monitor_of(each).period for name, each in looks.items()}
        require("ts", "a traced array", "be known outside `jax.jit` with delays or monitors", known is not None)
        rule = "be given inside `jax.jit` with delays or monitors"
        require("dt0", "a traced value", rule, is_concrete(primal(step)))
        timing = common_interval(known, periods, float(primal(step)), primal(jumps))
        longest = min([monitor_of(each).window for each in looks.values()], default=np.inf)
        pace, dt = pace_of(timing, longest, float(primal(step)), delays)
        watch, places = watch_of(looks, timing, True), timing.places(known)
        table = Table(timing.length * jnp.arange(pace.records, dtype=ts.dtype), jnp.full(pace.records, dt, ts.dtype), None)
        largest = f"{dt:.3g}"
        if delays is not None:
            wires = wires_of(network, delays, Blocks(pace.block, pace.near, pace.length), dt)
            problem = dataclasses.replace(problem, wires=wires)
            length = jnp.asarray(dt, ts.dtype)
            corners = isinstance(stepper, Processed)
            history, lately, kinks = begin(alone, problem, {}, False, pace, length, past, jnp.asarray(start), corners)
            if dt < 0.5 * float(primal(step)) and dt < least_delay(delays):
                largest += f", below the least delay of {least_delay(delays):.3g}"
    program = Lockstep(stepper, watch, meter, pace, alone)
    seen = watch.begin(problem) if looks else None
    out, _, (states, samples, path) = march(
        program, problem, {}, problem.wires, kinks, table, Start(y0, lately, history, carried, seen, None)
    )
    every = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest])[places], y0, states)
    path = None if carried is None else jnp.concatenate([carried[None], path])[places]
    if alike:
        every, path = jax.tree.map(lambda each: each[:, 0], (every, path))
    found = monitored(watch, out.seen, samples, Problem(model, y0), start)
    kept = None
    if out.past is not None:
        kept = History(out.past.in_order()[..., 0], table.dts[-1], jnp.asarray(start, ts.dtype) + ts[-1])
    steps = pace.total if table.counts is None else jnp.sum(table.counts)
    return Ran(every, path, found, kept, jnp.asarray(steps), f"{stepper.words}, steps of {largest}")


def key_words(key: Any) -> Any:
    """Two words of 32 bits of a random key of any kind."""
    data = jax.random.key_data(key)
    return data if data.shape == (2,) else jax.random.bits(key, (2,), jnp.uint32)


def _short(x: Any) -> str:
    return f"{float(x):.3g}" if is_concrete(x) else "…"


def _by_interval(ts: Values, jumps: Any, step: Any) -> tuple[Pace, Table, Any, Any]:
    """The intervals between saved times and jumps of the input, each with its own number of steps."""
    times, places, counts = schedule(ts, jnp.asarray(jumps, ts.dtype), step)
    stretches, size, ends = stretches_of(times, counts)
    lengths = stretches.stop - stretches.start
    dts = lengths / jnp.maximum(stretches.count, 1).astype(ts.dtype)
    starts = stretches.start + dts * jnp.asarray(stretches.first).astype(ts.dtype)
    left = None if ends is None else jnp.clip(stretches.count - stretches.first, 0, size)
    pace = Pace(starts.shape[0], 1, size, size, size)
    after = places if ends is None else np.append(0, ends + 1)[places]
    return pace, Table(starts, dts, left), after, Nobody()
