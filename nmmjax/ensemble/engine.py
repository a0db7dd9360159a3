"""Many lanes on this machine's devices: blocks of like lanes, one compiled loop per block, all cores busy.

It is fast on a CPU by the following, each measured (benchmarks/ensemble): blocks so small that a loop's buffers stay in the
first cache, 512-bit vectors, two floats per complex loop carry, one thread per core dispatching to one device, lanes grouped
by predicted cost. No flag is set and nothing is global: all of it travels with the call.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import pathlib
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ..mechanics.channels import Problem
from ..numerics.compiling import CPU_OPTIONS
from ..numerics.threads import cores
from .cost import stiffness
from .cutting import Batch, cut, cut_apart
from .folding import Times, bounds
from .kernel import best_call
from .task import Task, compiled

# Bytes of one real array of a block: with state and coefficients, a dozen of them, a step stays in the first-level cache.
_BLOCK_BYTES, _LARGER_BLOCK_BYTES, _LARGER_CACHE = 2048, 4096, 48 * 1024
# So many lanes or fewer go in blocks of one vector, and so many or more in wide ones and, where that pays, in those of one
# vector: a second program to compile.
_FEW_LANES, _MANY_LANES = 512, 4096
_VECTOR_BYTES = 64
_LITTLE = 1e-3  # seconds of work for which no thread is woken
# Lanes of a network share every reading of its weights: fewer in a block, and the products cost twice as much.
_NETWORK_BLOCK = 32
# With delays the windows of the past that are summed must fit into the second-level cache.
_DELAYED_BLOCK = 8
# Neurons of all lanes of a block: enough to hide what a step costs besides, few enough for the second-level cache.
_FEW_NEURONS, _MANY_NEURONS = 2**15, 2**24
_GPU_BLOCK = 128


@dataclasses.dataclass(frozen=True)
class Shape:
    """How lanes are cut: `block` lanes per loop, `group` blocks per call, `threads` calls at once over `devices`; `narrow`
    lanes per loop of those that need by far the most steps, 0 for none;
    `steady` if a lane's cost is its number of steps, which is known."""

    block: int
    group: int
    threads: int
    devices: tuple[Any, ...]
    narrow: int = 0
    steady: bool = False

    @staticmethod
    def choose(
        lanes: int,
        dtype: DTypeLike,
        tangents: int = 0,
        nodes: int = 1,
        neurons: int = 0,
        delayed: bool = False,
        steady: bool = False,
    ) -> "Shape":
        """Shape for so many lanes of so many nodes; `tangents` beside each state fill the first cache as well. Lanes of
        `neurons` share blocks only while these are few, and those that are `delayed` have a past to read. In `steady` lanes
        the numbers of steps are known beforehand."""
        devices = tuple(jax.local_devices())
        if neurons:
            most = _FEW_NEURONS if devices[0].platform == "cpu" else _MANY_NEURONS
            threads = max(len(devices), cores()) if devices[0].platform == "cpu" else len(devices)
            return Shape(int(np.clip(most // neurons, 1, -(-lanes // threads))), 1, threads, devices)
        if devices[0].platform != "cpu":
            per_device = -(-lanes // len(devices))
            return Shape(_GPU_BLOCK, min(-(-per_device // _GPU_BLOCK), 2**11), len(devices), devices)
        threads = max(len(devices), cores())
        least = 8 if nodes == 1 else _DELAYED_BLOCK if delayed else _NETWORK_BLOCK
        fitting = max(least, _block_bytes() // (np.dtype(dtype).itemsize * (1 + tangents) * nodes) // 8 * 8)
        steady &= nodes == 1 and not delayed
        vector = _VECTOR_BYTES // np.dtype(dtype).itemsize if steady else 0
        few = vector > 0 and lanes <= _FEW_LANES
        block = min(vector if few else fitting, max(8, -(-lanes // threads)))
        blocks = -(-lanes // block)
        group = 2 ** int(np.log2(np.clip(blocks / (threads if few else 2 * threads), 1, 16)))
        return Shape(block, group, threads, devices, vector if lanes >= _MANY_LANES else 0, steady)


@functools.cache
def _block_bytes() -> int:
    """Bytes of a block, by the size of the first-level data cache if Linux tells it."""
    with contextlib.suppress(OSError, ValueError):
        size = pathlib.Path("/sys/devices/system/cpu/cpu0/cache/index0/size").read_text().strip()
        if int(size.removesuffix("K")) * 1024 >= _LARGER_CACHE:
            return _LARGER_BLOCK_BYTES
    return _BLOCK_BYTES


class _Choice:
    """The call of a task on an accelerator: a fused kernel if one works, chosen at the first use."""

    def __init__(self, task: Task, block: int):
        self._task, self._block, self._call, self._lock = task, block, None, threading.Lock()
        self.way = ""

    def __call__(self, *arguments: Any) -> Any:
        with self._lock:
            if self._call is None:
                self._call, self.way = best_call(self._task, self._block, arguments)
        return self._call(*arguments)


_choice = functools.lru_cache(maxsize=16)(_Choice)


def way_of(task: Any, shape: Shape) -> str:
    """What `run` has run a task by: "mosaic" or "triton" if by fused kernels, else "xla"."""
    fused = shape.devices[0].platform != "cpu" and task.fusible
    return _choice(task, shape.block).way or "xla" if fused else "xla"


def program(task: Any, shape: Shape, group: int) -> Any:
    """What computes `group` blocks: a kernel of our own, or the compiled call."""
    platform = shape.devices[0].platform
    return _choice(task, shape.block) if platform != "cpu" and task.fusible else compiled(task, group, platform)


def run(
    task: Any,
    shape: Shape,
    pool: concurrent.futures.Executor,
    base: object,
    values: Mapping[str, np.ndarray],
    steps: Any,
    cost: np.ndarray,
    apart: bool = False,
    report: Callable[[int], None] | None = None,
) -> tuple[dict[str, Any], np.ndarray]:
    """Results of all lanes as numpy arrays in their given order, and the steps they took per stretch (n, stretches).

    `task` is a `Task`, or anything with its `block`, `lane`, `fusible` and `options` that can be hashed;
    `pool` has `shape.threads` threads. `values` maps swept names to arrays (n,); `steps` is a pytree of arrays (n, …) of
    numbers of steps (a block takes its largest); `cost` (n,) decides which lanes share a block: like ones, and with
    `apart` only equal ones.
    """
    leaves, tree = jax.tree.flatten(steps)
    batches, little = _batches(shape, leaves, cost, apart)
    programs = {group: program(task, shape, group) for group in {batch.group for batch in batches}}
    calls = _Calls(shape, programs, base, values, leaves, tree, batches, report)
    several = len(batches) > 1 and not little
    try:
        return _gathered((pool.map if several else map)(calls.compute, range(len(batches))), cost.size)
    except BaseException:
        if several:  # a single call doesn't use the pool, which others may
            pool.shutdown(wait=False, cancel_futures=True)
        raise


def _batches(shape: Shape, leaves: list[np.ndarray], cost: np.ndarray, apart: bool) -> tuple[list[Batch], bool]:
    """Lanes cut into calls, and whether these are so little work that waking a thread would take longer."""
    if apart:
        return cut_apart(cost, shape.block, shape.group, shape.threads), False
    if not shape.steady:
        return cut(cost, shape.block, shape.narrow, shape.group, shape.threads), False
    known = np.sum([np.maximum(each, 0).reshape(cost.size, -1).sum(axis=1) for each in leaves], axis=0)
    batches = cut(known, shape.block, shape.narrow, shape.group, shape.threads)
    if sum(each.seconds(known) for each in batches) < _LITTLE:
        return cut(known, shape.block, shape.narrow, shape.group, 1), True
    return batches, False


@dataclasses.dataclass(frozen=True)
class _Calls:
    """The calls that compute all lanes: `programs` by their number of blocks, what is given to each, who hears of it."""

    shape: Shape
    programs: Mapping[int, Any]
    base: object
    values: Mapping[str, np.ndarray]
    leaves: list[np.ndarray]
    tree: Any
    batches: list[Batch]
    report: Callable[[int], None] | None

    def compute(self, number: int) -> tuple[np.ndarray, Any, np.ndarray]:
        """Lanes of a call, their results and their steps."""
        batch = self.batches[number]
        lanes, count, full = np.concatenate(batch.blocks), len(batch.blocks), batch.filled()
        most = [each[full].max(axis=1) for each in self.leaves]
        for each in most:
            each[count:] = 0  # blocks that only fill the call
        given = {name: each[full] for name, each in self.values.items()}, jax.tree.unflatten(self.tree, most)
        devices = self.shape.devices
        if len(devices) > 1:  # else the call moves its arguments itself, which is faster
            given = jax.device_put(given, devices[number % len(devices)])
        real = slice(None)
        if lanes.size < full.size:
            real = np.concatenate([np.arange(each.size) + k * batch.width for k, each in enumerate(batch.blocks)])
        joined = lambda each: np.asarray(each).reshape((each.shape[0] * each.shape[1], *each.shape[2:]))[real]
        flat = jax.tree.map(joined, self.programs[batch.group](self.base, *given))
        taken = np.concatenate([each[:count].reshape(count, -1) for each in most], axis=1)
        if self.report is not None:
            self.report(lanes.size)
        return lanes, flat, np.repeat(taken, [each.size for each in batch.blocks], axis=0)


def _gathered(parts: Iterable[tuple[np.ndarray, Any, np.ndarray]], size: int) -> tuple[dict[str, Any], np.ndarray]:
    """Results and steps of `size` lanes in their given order, filled in while other calls compute."""
    whole: list[Any] = []
    for lanes, *part in parts:
        if not whole:
            whole = jax.tree.map(lambda each: np.empty((size, *each.shape[1:]), each.dtype), part)
        for all_lanes, some_lanes in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
            all_lanes[lanes] = some_lanes
    return whole[0], whole[1]


def _prepare(build: Callable[..., Problem], times: Times, resolve: bool | None) -> Any:
    """Compiled: stretch lengths (transient, observed) and stiffness of all lanes, before integrating any."""

    def lane(base, values) -> Any:
        problem = build(base, values)
        dtype = jax.tree.leaves(problem.y0)[0].dtype
        ends = jnp.asarray(times.observed, dtype)
        observed = jax.vmap(lambda a, b: jnp.diff(bounds(problem, a, b)))(ends[:-1], ends[1:])
        first = jnp.diff(bounds(problem, jnp.asarray(times.start, dtype), jnp.asarray(times.t0, dtype)))
        looks = jnp.linspace(times.start, times.t1, 65, dtype=dtype)
        fast = jnp.zeros((), dtype) if resolve is None else stiffness(problem, looks, resolve)
        return ((first if times.transient else None), observed), fast

    options = CPU_OPTIONS if jax.default_backend() == "cpu" else None
    return jax.jit(jax.vmap(lane, in_axes=(None, 0)), compiler_options=options)


prepared = functools.lru_cache(maxsize=16)(_prepare)
