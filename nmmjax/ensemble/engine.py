"""Layer 5: many lanes on this machine's devices: blocks of like lanes, one compiled loop per block, all cores busy.

What makes it fast on a CPU, each measured (benchmarks/ensemble.py): blocks so small that a loop's buffers stay in the first
cache, 512-bit vectors, two floats per complex loop carry, one thread per core dispatching to one device, lanes grouped by
predicted cost. No flag is set and nothing is global: all of it travels with the call.
"""

import concurrent.futures
import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .channels import Problem
from .cost import stiffness
from .folding import AbstractMethod, Times, bounds, fold
from .gradient import with_derivatives
from .observables import AbstractObservable

# Bytes of one carried real array of a block: with the coefficients a block's step stays in a 32 KiB first-level cache.
_BLOCK_BYTES = 2048
# Blocks already keep every core busy: XLA must not split a block's kernels over cores once more (3.5 times slower).
# And it must keep barriers, or every observable's kernel computes the step anew.
_SKIPPED = "cpu-parallel-task-assigner,optimization-barrier-expander,cse_barrier_expander"
_CPU_OPTIONS = {"xla_cpu_prefer_vector_width": 512, "xla_disable_hlo_passes": _SKIPPED}


@dataclasses.dataclass(frozen=True)
class Task:
    """What every lane of an ensemble shares, all of it known at compile time; `build(values)` makes the lane's problem."""

    build: Callable[[Any, Mapping[str, Any]], Problem]
    method: AbstractMethod
    observables: tuple[tuple[str, AbstractObservable], ...]
    times: Times
    gradient: tuple[str, ...] = ()

    def lane(self, base: Any, values: Mapping[str, Any], steps: Any, h: Any) -> dict[str, Any]:
        """Results of one lane, with its final state and progress under names that no observable has."""

        def plain(values: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
            problem = self.build(base, values)
            results, y, progress = fold(problem, self.method, dict(self.observables), self.times, steps, h)
            return results, {".y": y, ".progress": progress}

        differentiated = with_derivatives(plain, self.gradient, self.method.reverse) if self.gradient else plain
        results, rest = differentiated(values)
        return results | rest


@dataclasses.dataclass(frozen=True)
class Shape:
    """How lanes are cut: `block` lanes per loop, `group` blocks per call, `threads` calls at once over `devices`."""

    block: int
    group: int
    threads: int
    devices: tuple[Any, ...]

    @staticmethod
    def choose(lanes: int, dtype: Any) -> "Shape":
        devices = tuple(jax.local_devices())
        if devices[0].platform != "cpu":
            per_device = -(-lanes // len(devices))
            return Shape(min(per_device, 2**18), 1, len(devices), devices)
        threads = max(len(devices), _cores())
        block = min(_BLOCK_BYTES // np.dtype(dtype).itemsize, max(8, -(-lanes // threads)))
        blocks = -(-lanes // block)
        group = 2 ** int(np.log2(np.clip(blocks / (4 * threads), 1, 16)))
        return Shape(block, group, threads, devices)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compile(task: Task, group: int, platform: str) -> Any:
    """The compiled call for `group` blocks of lanes; values have shape (group, block)."""

    def one(args: Any) -> Any:
        base, values, steps, h = args
        return jax.vmap(lambda values, h: task.lane(base, values, steps, h))(values, h)

    def call(base: Any, values: Any, steps: Any, h: Any) -> Any:
        if group == 1:
            first = jax.tree.map(lambda each: each[0], (values, steps, h))
            return jax.tree.map(lambda each: each[None], one((base, *first)))
        return jax.lax.map(lambda args: one((base, *args)), (values, steps, h))

    return jax.jit(call, compiler_options=_CPU_OPTIONS if platform == "cpu" else None)


compiled = functools.lru_cache(maxsize=16)(_compile)


def run(
    task: Task,
    shape: Shape,
    base: Any,
    values: Mapping[str, np.ndarray],
    steps: Any,
    h: np.ndarray,
    cost: np.ndarray,
    report: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Results of all lanes as numpy arrays in their given order.

    `values` maps swept names to arrays (n,); `steps` is a pytree of arrays (n, …) of numbers of steps (a block takes
    its largest); `h` (n,) initial step sizes; `cost` (n,) decides which lanes share a block.
    """
    n = cost.size
    order = np.argsort(-cost, kind="stable")
    width = shape.block * shape.group
    calls = [order[k : k + width] for k in range(0, n, width)]
    call = compiled(task, shape.group, shape.devices[0].platform)

    def block_of(lanes: np.ndarray) -> Any:
        """Arguments for these lanes, the last one repeated to fill the blocks; a block's steps are its largest."""
        full = np.concatenate([lanes, np.full(width - lanes.size, lanes[-1])]).reshape(shape.group, shape.block)
        real = np.concatenate([np.ones(lanes.size, bool), np.zeros(width - lanes.size, bool)]).reshape(full.shape)

        def largest(each: np.ndarray) -> np.ndarray:
            some = np.where(real.reshape(real.shape + (1,) * (each.ndim - 1)), each[full], 0)
            return some.max(axis=1)

        return {name: each[full] for name, each in values.items()}, jax.tree.map(largest, steps), h[full]

    def work(number: int) -> tuple[np.ndarray, Any]:
        lanes = calls[number]
        device = shape.devices[number % len(shape.devices)]
        out = call(*jax.device_put((base, *block_of(lanes)), device))
        flat = jax.tree.map(lambda each: np.asarray(each).reshape((width, *each.shape[2:]))[: lanes.size], out)
        if report is not None:
            report(lanes.size)
        return lanes, flat

    with concurrent.futures.ThreadPoolExecutor(shape.threads) as pool:
        try:
            parts = list(pool.map(work, range(len(calls))))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    back = np.argsort(np.concatenate([lanes for lanes, _ in parts]), kind="stable")
    return jax.tree.map(lambda *each: np.concatenate(each)[back], *(flat for _, flat in parts))


def _prepare(build: Callable[..., Problem], times: Times, resolve: bool | None) -> Any:
    """Compiled: stretch lengths (transient, observed) and stiffness of all lanes, before integrating any."""

    def lane(base: Any, values: Any) -> Any:
        problem = build(base, values)
        dtype = jax.tree.leaves(problem.y0)[0].dtype
        ends = jnp.asarray(times.observed, dtype)
        observed = jax.vmap(lambda a, b: jnp.diff(bounds(problem, a, b)))(ends[:-1], ends[1:])
        first = jnp.diff(bounds(problem, jnp.asarray(times.start, dtype), jnp.asarray(times.t0, dtype)))
        looks = jnp.linspace(times.start, times.t1, 65, dtype=dtype)
        fast = jnp.zeros((), dtype) if resolve is None else stiffness(problem, looks, resolve)
        return ((first if times.transient else None), observed), fast

    return jax.jit(jax.vmap(lane, in_axes=(None, 0)))


prepared = functools.lru_cache(maxsize=16)(_prepare)
