"""How sweeps of networks with delays, noise and monitors are planned: equal steps, the same for all lanes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._types import float_dtype
from ..mechanics.channels import Problem
from ..models.noise import AbstractNoise
from ..monitors.base import AbstractMonitor, AbstractStatistic
from ..solvers.history import Blocks, known_delays, wires_of
from ..solvers.network_run import common_interval, pace_of
from ..solvers.noisy import default_step, largest_input
from ..solvers.steppers import check_splitting, stepper_for
from .folding import Times
from .looking import Held, Looked
from .marching import Marching
from .observables import AbstractObservable
from .plan import Build

_LONGER = 2.5  # steps, in those that one run with noise takes


def looking(observe: Any) -> Any:
    """What is observed, with monitors and statistics as observables."""
    if not hasattr(observe, "items"):
        return observe
    wraps = lambda each: isinstance(each, AbstractMonitor | AbstractStatistic)
    return {name: Looked(Held(each)) if wraps(each) else each for name, each in observe.items()}


def marches(base: Problem, observables: Mapping[str, AbstractObservable]) -> bool:
    """Whether lanes go in equal steps of the loop of networks: with delays, noise of nodes or monitors."""
    if base.model.size is None or base.neurons is not None:
        looked = any(isinstance(each, Looked) for each in observables.values())
        rule = "hold monitors of a `Network` only (one of a single node for one population)"
        require("observe", base.model, rule, not looked)
        return False
    noisy = isinstance(base.noise, AbstractNoise)
    return noisy or base.model.coupling.delayed or any(isinstance(each, Looked) for each in observables.values())


def expected_step(base: Problem, dims: Any, swept: Any, times: Times, order: int = 2) -> float:
    """The least of the steps that up to 1024 of the lanes ask for: a 125th of the shortest interval between spikes to be
    expected, with noise and `order` 4 a 25th."""
    total = int(np.prod(list(dims.values())))
    some = np.linspace(0, total - 1, min(total, 1024)).astype(int)
    index = dict(zip(dims, np.unravel_index(some, tuple(dims.values())), strict=True))
    values = {name: jnp.asarray(each[index[axes[0]]], float_dtype()) for name, (axes, each) in swept.items()}
    build = Build(tuple(values))

    def expected(values: Any) -> Any:
        problem = build(base, values)
        looks = jnp.asarray([times.start, times.t1], float_dtype())
        noise = problem.noise if isinstance(problem.noise, AbstractNoise) else None
        return default_step(problem.model, noise, problem.y0, largest_input(problem.stimulus, looks), order)

    return float(jnp.min(jax.vmap(expected)(values)))


def march_step(base: Problem, dims: Any, swept: Any, times: Times, solver: Any) -> float:
    """The longest step by default: a 50th of the shortest interval between spikes to be expected in any lane, a 10th with
    noise and the splitting of order 4."""
    noise = base.noise if isinstance(base.noise, AbstractNoise) else None
    return _LONGER * expected_step(base, dims, swept, times, check_splitting(base.model, noise, solver))


def marching(
    base: Problem, dims: Any, swept: Any, times: Times, observables: Mapping[str, AbstractObservable], solver: Any, dt0: Any
) -> tuple[Problem, Marching, str]:
    """(the base problem with its connections, the method, its name). Refuses solvers that take no equal steps."""
    noisy = isinstance(base.noise, AbstractNoise)
    order = check_splitting(base.model, base.noise if noisy else None, solver)
    looks = {name: each for name, each in observables.items() if isinstance(each, Looked)}
    periods = {name: each.monitor.period for name, each in looks.items()}
    cuts = np.unique([times.start, times.t0, times.t1, *times.cuts])
    timing = common_interval(cuts, periods, dt0, _jumps(base, swept))
    longest = min([each.monitor.window for each in looks.values()], default=np.inf)
    delays, apart = _shortest_and_longest(base, swept)
    present = delays is None or bool(np.any(known_delays(base.model) == 0))
    shortest, farthest = (None, 0.0) if delays is None else (delays[0], float(np.max(delays[1][np.isfinite(delays[1])])))
    pace, dt = pace_of(timing, longest, dt0, shortest, farthest)
    stepper = stepper_for(base.model, noisy, present, order)
    if delays is not None:
        blocks = Blocks(pace.block, pace.near, pace.length)
        base = dataclasses.replace(base, wires=wires_of(base.model, delays[0], blocks, dt))
    before = round((times.t0 - times.start) / timing.length)
    every = {name: round(period / timing.length) for name, period in periods.items()}
    observed = timing.records - before
    samples = {name: observed // each for name, each in every.items()}
    for name, each in looks.items():
        rule = f"be at least one period of the monitor {name!r} after `t0`, {each.monitor.period:g}"
        require("t1", times.t1, rule, samples[name] >= 1)
        if isinstance(each.look, AbstractStatistic):
            each.look.used(samples[name])
    places: tuple[int, ...] = ()
    if times.cuts:
        places = tuple(int(each) for each in np.rint((times.observed - times.t0) / timing.length))
    pace = dataclasses.replace(pace, records=observed)
    method = Marching(
        stepper=stepper,
        pace=pace,
        transient=before,
        dt=dt,
        record=timing.length,
        timed=delays is not None,
        apart=apart,
        every=tuple(every.items()),
        samples=tuple(samples.items()),
        places=places,
    )
    return base, method, stepper.words + (", noise" if noisy else "")


def _jumps(base: Problem, swept: Any) -> np.ndarray:
    """Times at which the input jumps. Refuses inputs that jump at other times in other lanes."""
    if base.stimulus is None:
        return np.zeros(0)
    jumps = np.asarray(base.stimulus.jumps(), float)
    for name, (_, values) in swept.items():
        if name.startswith("stimulus."):
            for value in (values.min(), values.max()):
                own = Build((name,))(base, {name: jnp.asarray(value, float_dtype())}).stimulus
                same = own is not None and np.array_equal(np.asarray(own.jumps(), float), jumps)
                require(
                    name, value, "leave the times at which the input jumps equal in all lanes, as steps are equal here", same
                )
    return jumps


def _shortest_and_longest(base: Problem, swept: Any) -> tuple[Any, bool]:
    """(the shortest and the longest delays of any lane, whether lanes differ in them), None without delays."""
    if not base.model.coupling.delayed:
        return None, False
    by = [name for name in ("speed", "delay") if name in swept]
    if not by:
        known = known_delays(base.model)
        return (known, known), False
    values = swept[by[0]][1]
    build = Build((by[0],))
    ends = [
        known_delays(build(base, {by[0]: jnp.asarray(each, float_dtype())}).model) for each in (values.min(), values.max())
    ]
    return (np.minimum(*ends), np.maximum(*ends)), True
