"""A plan's lanes computed: steps chosen, lanes solved and refined, failures timed, results put together."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ..numerics.threads import pool_of
from .convergence import converge
from .engine import Shape, prepared, run, way_of
from .on_device import compute_on_devices, stays_on_device
from .plan import Plan, status_of
from .scales import scales
from .steps import classes_of, first_rates, steps_of, stretches

BACKEND = ".backend"  # name of what lanes were computed by, beside their results
Report = Callable[[int], None] | None
Solved = tuple[dict[str, np.ndarray], np.ndarray]


def compute_lanes(plan: Plan, lanes: Any, report: Report = None) -> dict[str, np.ndarray]:
    """Results of a plan's lanes, by flat number: every variable of the plan as an array (lanes, …).

    - `plan`: a `Plan`, of `plan_sweep`
    - `lanes` (m,): numbers of the lanes, in C order over `plan.dims`
    - `report(n)`: a function that hears of every n lanes done; None by default

    Returns a dictionary of arrays; that under ".backend" (m,) says what computed each lane: "xla", or "mosaic" or "triton"
    if a fused kernel did on a GPU. Equal calls on one machine give equal bits. A lane that fails has NaN results, a code in
    `status` and its time in `failure_time`.
    """
    values = plan.values(lanes)
    tangents = 0 if plan.method.reverse else len(plan.gradient)
    nodes = int(np.prod(plan.base.nodes))
    delayed = plan.base.wires is not None
    steady = not plan.adaptive
    shape = Shape.choose(next(iter(values.values())).shape[0], plan.dtype, tangents, nodes, plan.neurons, delayed, steady)
    there = stays_on_device(plan, shape)
    with pool_of(2 * len(shape.devices) if there else shape.threads) as pool:
        if there:
            found, way = compute_on_devices(plan, values, shape, pool, report)
        else:
            found, way = _Lanes(plan, values, shape, pool).results(report)
    return found | {BACKEND: np.broadcast_to(np.asarray(way), len(found["status"]))}


class _Lanes:
    """The lanes of one call. Results of the last solve may be replaced by later, finer ones; codes are those of the last."""

    def __init__(self, plan: Plan, values: Mapping[str, np.ndarray], shape: Shape, pool: Any):
        self.plan, self.values, self.shape, self.pool = plan, values, shape, pool
        self.task, self.adaptive = plan.task(tuple(values)), plan.adaptive
        self.state = tuple(plan.base.model.variables)
        self.size = next(iter(values.values())).shape[0]
        # If steps are given, a lane's numbers must not depend on its company, so lanes of unequal steps go apart.
        self.given = plan.dt0 is not None and not self.adaptive
        prepare = prepared(self.task.build, plan.times, plan.resolves)
        parts = _parts(values, shape.threads)
        of_part = lambda part: jax.tree.map(np.asarray, prepare(plan.base, part))
        done = pool.map(of_part, parts) if len(parts) > 1 else [of_part(parts[0])]  # threads take time to start
        self.lengths, stiffness = jax.tree.map(lambda *each: np.concatenate(each), *done)
        self.stiffness = stiffness.astype(np.float64)
        self.several = stretches(self.lengths) > 1 and not self.adaptive
        self.codes, self.failures = np.zeros(self.size, np.int16), np.full(self.size, np.nan)
        self.last: tuple[np.ndarray, np.ndarray] = np.zeros(self.size), np.ones(self.size, int)

    def solve(
        self, lanes: np.ndarray, rates: np.ndarray, multiple: Any = 1, task: Any = None, report: Report = None
    ) -> Solved:
        """Results of some lanes at `multiple` times the steps that these rates give, and their steps per stretch."""
        steps = jax.tree.map(lambda each: steps_of(each[lanes], rates, multiple), self.lengths)
        some = {name: each[lanes] for name, each in self.values.items()}
        groups, apart = (classes_of(steps, lanes.size), True) if self.given else (rates, self.several)
        task = self.task if task is None else task
        out, taken = run(task, self.shape, self.pool, self.plan.base, some, steps, groups, apart, report)
        progress, y = out.pop(".progress"), out.pop(".y")
        self.last[0][lanes], self.last[1][lanes] = rates, multiple
        self.codes[lanes], self.failures[lanes] = progress.status, progress.failure_time
        finals = {f".{name}": getattr(y, name) for name in self.state}
        return out | finals, progress.steps[:, None] if self.adaptive else taken

    def refined(self, report: Report) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """Solved by the plan's method: results, errors, whether the tolerance was met, and steps."""
        plan, everyone = self.plan, np.arange(self.size)
        if plan.estimate and not self.adaptive and not self.given:
            return self._converged(report)
        if self.adaptive:
            rates = self.stiffness  # only groups like lanes here
        elif plan.dt0 is not None:
            rates = np.full(self.size, 1 / plan.dt0)
        else:
            rates = self._predicted(False)
        results, steps = self.solve(everyone, rates, report=report)
        return results, np.full(self.size, np.nan), np.ones(self.size, bool), steps.sum(axis=1)

    def _converged(self, report: Report) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        return converge(self.solve, self._predicted(True), self.plan.rules(self.several), report, self._sizes)

    def _sizes(self, lanes: np.ndarray, results: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scales of the observables of some lanes, by name: the larger of those at the lane's two ends."""
        some = np.resize(np.arange(lanes.size), max(64, 1 << (lanes.size - 1).bit_length()))  # few sizes, few compilations
        values = {name: each[lanes][some] for name, each in self.values.items()}
        finals = {name: results[f".{name}"][some] for name in self.state}
        found = scales(self.task)(self.plan.base, values, finals)
        return {name: np.asarray(each)[: lanes.size] for name, each in found.items()}

    def _predicted(self, refines: bool) -> np.ndarray:
        return first_rates(self.stiffness, self.lengths, self.plan.rtol, refines, self.several)

    def results(self, report: Report) -> tuple[dict[str, np.ndarray], str]:
        """All variables of the plan; failed lanes are NaN, with a code and a time. And what computed them."""
        results, error, met, steps = self.refined(report)
        finite = self._everywhere({name: np.isfinite(results[f".{name}"]) for name in self.state})
        kept = self._everywhere({name: results[f".{name}"] > 0 for name in self.plan.base.model.positive})
        stable = None
        if self.plan.states is not None:
            stable = np.asarray(self.plan.base.noise.stable)[self.values["noise.which"]]
        codes = status_of(self.codes, finite, kept, met, stable)
        self._time_failures(np.flatnonzero(~finite & np.isnan(self.failures)))
        # A lane that stopped early has no results; one that only missed its tolerance has.
        broken = codes > (0 if self.adaptive else 1)
        own = {"status": codes, "failure_time": np.where(broken, self.failures, np.nan), "error": error, "steps": steps}
        found = {}
        for name, variable in self.plan.variables.items():
            each = own[name] if name in own else results[name]
            if name not in own:
                each = np.where(broken.reshape((-1,) + (1,) * (each.ndim - 1)), np.nan, each)
            found[name] = each.astype(variable.dtype)
        return found, way_of(self.task, self.shape)

    def _everywhere(self, holds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Per lane, whether something holds for all these variables, and at all nodes of a network."""
        return np.all(
            [each.reshape(self.size, -1).all(axis=1) for each in holds.values()] or [np.ones(self.size, bool)], axis=0
        )

    def _time_failures(self, lanes: np.ndarray) -> None:
        """The hot loop doesn't watch for failures: the few lanes that failed run again, as before, with a watch."""
        if lanes.size:
            rates, multiples = self.last[0][lanes], self.last[1][lanes]
            self.failures[lanes] = self.solve(lanes, rates, multiples, self.task.watch())[0]["t"]


def _parts(values: Mapping[str, np.ndarray], threads: int) -> list[dict[str, np.ndarray]]:
    """The lanes' values in equal parts, one per thread if that is worth it (and possible: other shapes compile anew)."""
    size = next(iter(values.values())).shape[0]
    count = threads if size >= 4096 * threads and size % threads == 0 else 1
    return [{name: each[k * size // count : (k + 1) * size // count] for name, each in values.items()} for k in range(count)]
