"""Lanes of an accelerator stay there: steps chosen, lanes sorted, gathered, refined and put together on the device.

It computes thousands of lanes in the time that numpy needs to sort them. So the host says only what comes next: it hears
after every run how many lanes go on, and reads the results once, at the end. Every run is of all blocks, so that one size is
compiled; lanes that are done take no steps in it.
"""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .convergence import Rules, compared, judged, within_scales
from .engine import Shape, prepared, program, way_of
from .plan import Plan, status_of
from .scales import scales
from .steps import first_rates, steps_of, stretches
from .task import Task

# Lanes of several stretches share blocks only with lanes of equal rates, of which there are so many: half octaves.
_RATES = 64
_MOST_BLOCKS = 2**11  # of a call
_SMALL_PART = 2**14  # lanes below which two calls in flight are not worth while

Lanes = dict[str, Any]


def stays_on_device(plan: Plan, shape: Shape) -> bool:
    """Whether lanes are sorted and refined by the accelerator that computes them: where their number, not their size, is
    what costs. With a fixed step, a lane's numbers must not depend on its company, which the host sees to."""
    return shape.devices[0].platform != "cpu" and plan.method.fusible and (plan.dt0 is None or plan.adaptive)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is known of a plan's lanes when they are compiled: `states` and what of them must stay `positive`, names of the
    `results`, whether runs are compared (`refines`), lanes of a `block`."""

    task: Task
    resolves: bool | None
    states: tuple[str, ...]
    positive: tuple[str, ...]
    results: tuple[str, ...]
    rules: Rules
    refines: bool
    adaptive: bool
    block: int

    @staticmethod
    def of(plan: Plan, names: tuple[str, ...], block: int) -> "Recipe":
        """Of a plan whose lanes have values under these names."""
        model = plan.base.model
        results = tuple(name for name in plan.variables if name not in ("status", "failure_time", "error", "steps"))
        refines = plan.estimate and not plan.adaptive
        about = tuple(model.variables), tuple(model.positive), results, plan.rules(False), refines, plan.adaptive
        return Recipe(plan.task(names), plan.resolves, *about, block)

    def several(self, lengths: Any) -> bool:
        """Whether lanes of these stretches take equal steps in more than one."""
        return stretches(lengths) > 1 and not self.adaptive


class Programs:
    """Compiled: what becomes of the lanes of a recipe on the device, a run before and after it."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.prepare = prepared(recipe.task.build, recipe.task.times, recipe.resolves)
        self.begin = jax.jit(self._begin)
        self.arrange = jax.jit(self._arrange)
        self.first = jax.jit(self._first)
        self.further = jax.jit(self._further)
        self.failed = jax.jit(self._failed)
        self.timed = jax.jit(self._timed)
        self.finish = jax.jit(self._finish)

    def _begin(self, values: Any, lengths: Any, stiffness: Any, count: Any) -> Lanes:
        """Lanes before any run, of which the first `count` are real: their steps, by what preparing them has told."""
        recipe = self.recipe
        if recipe.adaptive:
            rates = stiffness  # only groups like lanes here
        else:
            rates = first_rates(stiffness, lengths, recipe.rules.rtol, recipe.refines, recipe.several(lengths), jnp)
        n = rates.size
        if recipe.several(lengths):
            rates = jnp.maximum(rates, jnp.max(rates, where=jnp.isfinite(rates), initial=0.0) / 2.0 ** (_RATES // 2))
        return {
            "values": values,
            "lengths": lengths,
            "rates": rates,
            "multiple": jnp.ones(n, jnp.int32),
            "open": jnp.arange(n, dtype=jnp.int32) < count,
            "status": jnp.zeros(n, jnp.int32),
            "failure_time": jnp.full_like(rates, jnp.nan),
        }

    def _arrange(self, lanes: Lanes) -> tuple[Any, Any, Any]:
        """Values (blocks, block) and steps (blocks,) of a run of the open lanes, like ones together; every lane's place."""
        recipe, block, n = self.recipe, self.recipe.block, lanes["rates"].size
        steps = jax.tree.map(lambda each: steps_of(each, lanes["rates"], lanes["multiple"], jnp), lanes["lengths"])
        kept = lambda each: jnp.where(lanes["open"].reshape((-1,) + (1,) * (each.ndim - 1)), each, 0)
        steps = jax.tree.map(kept, steps)
        several = recipe.several(lanes["lengths"])
        if several or recipe.adaptive:
            cost = lanes["rates"]
        else:
            cost = sum(each.reshape(n, -1).sum(axis=1) for each in jax.tree.leaves(steps))
        cost = jnp.where(lanes["open"] & jnp.isfinite(cost), cost, 0)
        order = jnp.argsort(-cost, stable=True)
        rank = jnp.arange(n)
        if several:  # a block ends with the lanes of one rate
            new = jnp.concatenate([jnp.zeros(1, bool), jnp.diff(cost[order]) != 0])
            start = jax.lax.cummax(jnp.where(new, rank, 0))
            before = jnp.concatenate([jnp.zeros(1, start.dtype), start[:-1]])
            place = jnp.cumsum(jnp.where(new, -(-(rank - before) // block), 0)) * block + rank - start
        else:
            place = rank
        blocks = -(-n // block) + (_RATES + 1 if several else 0)
        filled = jnp.zeros(blocks * block, rank.dtype).at[place].set(rank)
        which = order[jax.lax.cummax(filled)].reshape(blocks, block)  # a block is filled by its last lane
        slot = jnp.zeros_like(rank).at[order].set(place)
        return (
            jax.tree.map(lambda each: each[which], lanes["values"]),
            jax.tree.map(lambda each: each[which].max(axis=1), steps),
            slot,
        )

    def _took(self, lanes: Lanes, out: Any, steps: Any, slot: Any) -> tuple[Lanes, Any, Any]:
        """Lanes after a run with codes and times of failures, its results by name, and its steps (lanes, stretches)."""
        recipe = self.recipe
        back = lambda each: each.reshape((-1, *each.shape[2:]))[slot]
        out = jax.tree.map(back, out)
        progress, y = out.pop(".progress"), out.pop(".y")
        per_block = [each.reshape(each.shape[0], -1) for each in jax.tree.leaves(steps)]
        taken = jnp.concatenate(per_block, axis=1)[slot // recipe.block]
        if recipe.adaptive:
            taken = progress.steps[:, None]
        ran = lambda new, old: jnp.where(lanes["open"], new.astype(old.dtype), old)
        lanes = lanes | {name: ran(getattr(progress, name), lanes[name]) for name in ("status", "failure_time")}
        return lanes, out | {f".{name}": getattr(y, name) for name in recipe.states}, taken

    def _first(self, lanes: Lanes, out: Any, steps: Any, slot: Any) -> tuple[Lanes, Any]:
        """Lanes after their first run, and how many go on."""
        lanes, results, steps = self._took(lanes, out, steps, slot)
        n, rates = lanes["rates"].size, lanes["rates"]
        lanes |= {
            "results": results,
            "spent": steps.sum(axis=1),
            "error": jnp.full_like(rates, jnp.inf if self.recipe.refines else jnp.nan),
            "met": jnp.full(n, not self.recipe.refines),
            "last": (rates, lanes["multiple"]),
        }
        if not self.recipe.refines:
            return lanes | {"open": jnp.zeros(n, bool)}, jnp.zeros((), jnp.int32)
        rules = self._rules(lanes)
        lanes |= {
            "coarse": (results, steps),
            "smallest": jnp.full_like(rates, jnp.inf),
            "stalled": jnp.zeros(n, jnp.int32),
            "rates": rates * rules.first_ratio,
            "multiple": lanes["multiple"] * (2 if rules.several else 1),
        }
        return lanes, lanes["open"].sum()

    def _further(self, base: Any, lanes: Lanes, out: Any, steps: Any, slot: Any) -> tuple[Lanes, Any]:
        """Lanes after another run, and how many go on."""
        was_open, rules = lanes["open"], self._rules(lanes)
        lanes, fine, steps = self._took(lanes, out, steps, slot)
        coarse, coarse_steps = lanes["coarse"]
        real = lambda counts: counts.astype(lanes["rates"].dtype)
        run = compared(rules, fine, coarse, real(steps), real(coarse_steps), jnp)
        verdict = judged(rules, run, steps, lanes["smallest"], lanes["stalled"], jnp)
        lost = was_open & ~verdict.done & ~verdict.go_on & run.apart

        def scaled(_: Any) -> tuple[Any, Any]:
            finals = {name: fine[f".{name}"] for name in self.recipe.states}
            sizes = scales(self.recipe.task)(base, lanes["values"], finals)
            return within_scales(rules, fine, coarse, run.ratio, run.alike, sizes, jnp)

        plain = lambda _: (run.error, jnp.zeros_like(lost))
        within, meets = jax.lax.cond(lost.any(), scaled, plain, None)
        ran = lambda new, old: jnp.where(was_open.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)
        error = jnp.where(lost & meets, within, run.error)
        met = jnp.where(lost, meets, verdict.done)
        go_on = was_open & verdict.go_on
        rates, multiple = lanes["rates"], lanes["multiple"]
        lanes |= {
            "results": {name: ran(run.best[name], old) for name, old in lanes["results"].items()},
            "error": ran(error, lanes["error"]),
            "met": ran(met, lanes["met"]),
            "spent": lanes["spent"] + jnp.where(was_open, steps.sum(axis=1), 0),
            "smallest": ran(verdict.smallest, lanes["smallest"]),
            "stalled": ran(verdict.stalled, lanes["stalled"]),
            "coarse": (fine, steps),
            "last": (ran(rates, lanes["last"][0]), ran(multiple, lanes["last"][1])),
            "rates": rates if rules.several else rates * jnp.where(go_on, verdict.ratio, 1.0),
            "multiple": multiple * 2 if rules.several else multiple,
            "open": go_on,
        }
        return lanes, go_on.sum()

    def _rules(self, lanes: Lanes) -> Rules:
        return dataclasses.replace(self.recipe.rules, several=self.recipe.several(lanes["lengths"]))

    def _failed(self, base: Any, lanes: Lanes, count: Any) -> tuple[Lanes, Any]:
        """Lanes with codes, those open that failed and don't know when, as the hot loop doesn't watch for it; and their
        number."""
        n, results = lanes["rates"].size, lanes["results"]

        def everywhere(holds: list[Any]) -> Any:
            return functools.reduce(jnp.logical_and, [each.reshape(n, -1).all(axis=1) for each in holds], jnp.ones(n, bool))

        finite = everywhere([jnp.isfinite(results[f".{name}"]) for name in self.recipe.states])
        kept = everywhere([results[f".{name}"] > 0 for name in self.recipe.positive])
        stable = None
        if "noise.which" in lanes["values"]:
            stable = jnp.asarray(base.noise.stable)[lanes["values"]["noise.which"]]
        status = status_of(lanes["status"], finite, kept, lanes["met"], stable, jnp)
        untimed = ~finite & jnp.isnan(lanes["failure_time"]) & (jnp.arange(n, dtype=jnp.int32) < count)
        rates, multiple = lanes["last"]
        return lanes | {"status": status, "open": untimed, "rates": rates, "multiple": multiple}, untimed.sum()

    def _timed(self, lanes: Lanes, out: Any, slot: Any) -> Lanes:
        """Lanes with the times of failures that a run with a watch has found."""
        times = out["t"].reshape(-1)[slot]
        return lanes | {"failure_time": jnp.where(lanes["open"], times, lanes["failure_time"])}

    def _finish(self, lanes: Lanes) -> dict[str, Any]:
        """The plan's variables; a lane that stopped early has no results, one that only missed its tolerance has."""
        broken = lanes["status"] > (0 if self.recipe.adaptive else 1)
        dtype = lanes["failure_time"].dtype
        shaped = lambda each: broken.reshape((-1,) + (1,) * (each.ndim - 1))
        absent = lambda each: jnp.where(shaped(each), jnp.nan, each.astype(dtype))
        found = {name: absent(lanes["results"][name]) for name in self.recipe.results}
        own = {"status": lanes["status"], "error": lanes["error"], "steps": lanes["spent"]}
        return found | own | {"failure_time": jnp.where(broken, lanes["failure_time"], jnp.nan)}


programs = functools.lru_cache(maxsize=16)(Programs)


def compute_on_devices(
    plan: Plan,
    values: Mapping[str, np.ndarray],
    shape: Shape,
    pool: concurrent.futures.Executor,
    report: Callable[[int], None] | None,
) -> tuple[dict[str, np.ndarray], str]:
    """All variables of the plan for lanes with these values, and what computed them.

    Lanes are cut into equal parts, two per device, so that one is sorted or read while the other is computed.
    """
    size = next(iter(values.values())).shape[0]
    parts = len(shape.devices) * (2 if size >= 2 * _SMALL_PART * len(shape.devices) else 1)
    length = -(-size // max(parts, -(-size // (_MOST_BLOCKS * shape.block))))
    recipe = Recipe.of(plan, tuple(values), shape.block)
    bases = [jax.device_put(plan.base, device) for device in shape.devices]

    def part(first: int) -> dict[str, np.ndarray]:
        own = {name: each[first : first + length] for name, each in values.items()}
        number = first // length % len(shape.devices)
        return _part(recipe, shape, bases[number], own, length, shape.devices[number], report)

    starts = range(0, size, length)
    found = list((pool.map if len(starts) > 1 else map)(part, starts))
    join = lambda *each: each[0] if len(each) == 1 else np.concatenate(each)
    whole = {name: join(*(each[name] for each in found)) for name in found[0]}
    typed = {name: whole[name].astype(each.dtype, copy=False) for name, each in plan.variables.items()}
    return typed, way_of(recipe.task, shape)


def _part(
    recipe: Recipe, shape: Shape, base: Any, values: Mapping[str, np.ndarray], length: int, device: Any, report: Any
) -> dict[str, np.ndarray]:
    """Variables of some lanes, as many as are compiled for and filled by the last one."""
    count = next(iter(values.values())).shape[0]
    if count < length:
        filled = np.minimum(np.arange(length), count - 1)
        values = {name: each[filled] for name, each in values.items()}
    do = programs(recipe)

    def ran(task: Task, lanes: Lanes) -> tuple[Any, Any, Any]:
        given, steps, slot = do.arrange(lanes)
        group = jax.tree.leaves(given)[0].shape[0]
        return program(task, shape, group)(base, given, steps), steps, slot

    there = jax.device_put(dict(values), device)
    lanes = do.begin(there, *do.prepare(base, there), count)
    lanes, left = do.first(lanes, *ran(recipe.task, lanes))
    done = 0
    while True:
        now = count - int(left)  # waits for the device
        if report is not None:
            report(now - done)
        if now == count:
            break
        done = now
        lanes, left = do.further(base, lanes, *ran(recipe.task, lanes))
    lanes, untimed = do.failed(base, lanes, count)
    if int(untimed):
        out, _, slot = ran(recipe.task.watch(), lanes)
        lanes = do.timed(lanes, out, slot)
    found = jax.device_get(do.finish(lanes))
    return {name: each[:count] for name, each in found.items()}
