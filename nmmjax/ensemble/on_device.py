"""Lanes of an accelerator stay there: steps chosen, lanes sorted, gathered, refined and put together on the device.

It computes thousands of lanes in the time that numpy needs to sort them. So the host says only what comes next: it hears
after every run how many lanes go on, and reads the results once, at the end. A run of a fused kernel is of all blocks, so
that one size is compiled; blocks of lanes that are done take no steps. Where plain XLA runs, which computes all lanes while
any goes on, a run is of the open ones, in few sizes.
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

# Lanes of several stretches share blocks only with lanes of equal rates: half octaves, of which there are so many.
_RATES = 64
_MOST_BLOCKS = 2**11  # of a call
_SMALL_PART = 2**14  # lanes of a part that is worth a call of its own; a guess, as no GPU was at hand

Lanes = dict[str, Any]


def stays_on_device(plan: Plan, shape: Shape) -> bool:
    """Whether lanes are sorted and refined by the accelerator that computes them: where their number, not their size, is
    what costs. With a fixed step, a lane's numbers must not depend on its company, which the host sees to."""
    elsewhere = shape.devices[0].platform != "cpu"
    return elsewhere and plan.method.fusible and plan.dt0 is None and not plan.base.nodes


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is known of a plan's lanes when they are compiled: `states` and what of them must stay `positive`, names of the
    `results`, how runs are compared (of lanes of one stretch), whether they are (`refines`), lanes of a `block`."""

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
        return Recipe(
            task=plan.task(names),
            resolves=plan.resolves,
            states=tuple(model.variables),
            positive=tuple(model.positive),
            results=tuple(name for name in plan.variables if name not in ("status", "failure_time", "error", "steps")),
            rules=plan.rules(False),
            refines=plan.estimate and not plan.adaptive,
            adaptive=plan.adaptive,
            block=block,
        )

    def blocks(self, lanes: int, several: bool) -> int:
        """How many blocks hold so many lanes: where only equal rates share one, every rate but the first may begin another,
        those of lanes that are done or have none count as one, and one is to spare for rounding of the rates."""
        return -(-lanes // self.block) + (_RATES + 2 if several else 0)

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
        if recipe.several(lengths):  # no more than so many rates; steps at the lowest are as good as none
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
        """Values (blocks, block) and steps (blocks, …) of a run of open lanes, like ones together; every lane's place."""
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
        blocks = recipe.blocks(n, several)
        filled = jnp.zeros(blocks * block, rank.dtype).at[place].set(rank)
        which = order[jax.lax.cummax(filled)].reshape(blocks, block)  # a block is filled by its last lane
        used = jnp.zeros(blocks, bool).at[place // block].set(True)
        longest = lambda each: jnp.where(used.reshape((-1,) + (1,) * (each.ndim - 1)), each[which].max(axis=1), 0)
        slot = jnp.zeros_like(rank).at[order].set(place)
        return jax.tree.map(lambda each: each[which], lanes["values"]), jax.tree.map(longest, steps), slot

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
        newer = lambda new, old: jnp.where(lanes["open"], new.astype(old.dtype), old)
        lanes = lanes | {name: newer(getattr(progress, name), lanes[name]) for name in ("status", "failure_time")}
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
        newer = lambda new, old: jnp.where(was_open.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)
        error = jnp.where(lost & meets, within, run.error)
        met = jnp.where(lost, meets, verdict.done)
        go_on = was_open & verdict.go_on
        rates, multiple = lanes["rates"], lanes["multiple"]
        lanes |= {
            "results": {name: newer(run.best[name], old) for name, old in lanes["results"].items()},
            "error": newer(error, lanes["error"]),
            "met": newer(met, lanes["met"]),
            "spent": lanes["spent"] + jnp.where(was_open, steps.sum(axis=1), 0),
            "smallest": newer(verdict.smallest, lanes["smallest"]),
            "stalled": newer(verdict.stalled, lanes["stalled"]),
            "coarse": (fine, steps),
            "last": (newer(rates, lanes["last"][0]), newer(multiple, lanes["last"][1])),
            "rates": rates if rules.several else rates * jnp.where(go_on, verdict.ratio, 1.0),
            "multiple": multiple * 2 if rules.several else multiple,
            "open": go_on,
        }
        return lanes, go_on.sum()

    def _rules(self, lanes: Lanes) -> Rules:
        return dataclasses.replace(self.recipe.rules, several=self.recipe.several(lanes["lengths"]))

    def _failed(self, lanes: Lanes, count: Any) -> tuple[Lanes, Any]:
        """Lanes with codes, those open that failed and don't know when, as the hot loop doesn't watch for it; and their
        number."""
        n, results = lanes["rates"].size, lanes["results"]

        def everywhere(holds: list[Any]) -> Any:
            return functools.reduce(jnp.logical_and, [each.reshape(n, -1).all(axis=1) for each in holds], jnp.ones(n, bool))

        finite = everywhere([jnp.isfinite(results[f".{name}"]) for name in self.recipe.states])
        kept = everywhere([results[f".{name}"] > 0 for name in self.recipe.positive])
        status = status_of(lanes["status"], finite, kept, lanes["met"], xp=jnp)
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

    Lanes are cut into equal parts: two per device if they are many, so that one is sorted or read while the other is
    computed; more where a call would be too large. `pool` has threads for two per device.
    """
    size = next(iter(values.values())).shape[0]
    parts = min(2 * len(shape.devices), max(1, size // _SMALL_PART))
    parts = max(parts, -(-size // (_MOST_BLOCKS * shape.block)))
    share = -(-size // parts)
    recipe = Recipe.of(plan, tuple(values), shape.block)
    do = programs(recipe)  # here, so that two threads don't make two
    devices = shape.devices[:parts]
    bases = [jax.device_put(plan.base, device) for device in devices]

    def part(number: int) -> dict[str, np.ndarray]:
        own = {name: each[number * share : (number + 1) * share] for name, each in values.items()}
        k = number % len(devices)
        return _part(do, shape, bases[k], own, shape.block * _round(-(-share // shape.block)), devices[k], report)

    numbers = range(-(-size // share))
    found = list((pool.map if len(numbers) > 1 else map)(part, numbers))
    whole = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
    typed = {name: whole[name].astype(each.dtype, copy=False) for name, each in plan.variables.items()}
    return typed, way_of(recipe.task, shape)


def _round(blocks: int) -> int:
    """As many blocks or up to a quarter more, so that few sizes are compiled."""
    bits = max((blocks - 1).bit_length() - 3, 0)
    return -(-blocks >> bits) << bits


def _part(
    do: Programs, shape: Shape, base: Any, values: Mapping[str, np.ndarray], length: int, device: Any, report: Any
) -> dict[str, np.ndarray]:
    """Variables of some lanes, as many as are compiled for and filled by the last one."""
    recipe, count = do.recipe, next(iter(values.values())).shape[0]
    if count < length:
        filled = np.minimum(np.arange(length), count - 1)
        values = {name: each[filled] for name, each in values.items()}

    def run(task: Task, lanes: Lanes, left: int) -> tuple[Any, Any, Any]:
        """Results of the `left` open lanes, the steps of their blocks, and every lane's place."""
        given, steps, slot = do.arrange(lanes)
        blocks = jax.tree.leaves(given)[0].shape[0]
        if left < count and way_of(task, shape) == "xla":
            blocks = min(blocks, _round(recipe.blocks(left, recipe.several(lanes["lengths"]))))
            given, steps = jax.tree.map(lambda each: each[:blocks], (given, steps))  # places of others don't matter
        return program(task, shape, blocks)(base, given, steps), steps, slot

    there = jax.device_put(dict(values), device)
    lanes = do.begin(there, *do.prepare(base, there), count)
    lanes, left = do.first(lanes, *run(recipe.task, lanes, count))
    before = count
    while True:
        left = int(left)  # waits for the device
        if report is not None:
            report(before - left)
        if not left:
            break
        before = left
        lanes, left = do.further(base, lanes, *run(recipe.task, lanes, before))
    lanes, untimed = do.failed(lanes, count)
    if untimed := int(untimed):
        out, _, slot = run(recipe.task.watch(), lanes, untimed)
        lanes = do.timed(lanes, out, slot)
    found = jax.device_get(do.finish(lanes))
    return {name: each[:count] for name, each in found.items()}
