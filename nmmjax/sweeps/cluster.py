"""The blocks of a sweep on a `dask.distributed` cluster (extra `cluster`).

Blocks are tasks, a bounded number of them under way. The client's process receives the results and writes the store, so that
workers need no common file system. The blocks of a worker that is lost are computed by another.
"""

import functools
import pickle
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from .._checks import require
from .._optional import optional
from .._types import uses_float64
from ..ensemble.plan import PlanLike
from .store import Blocks

_AHEAD = 2  # tasks under way per thread of the cluster
_ATTEMPTS = 4  # how often a block is begun whose workers are lost
_INLINE = 2**20  # bytes of a plan above which it is sent to every worker once rather than with every task


class Cluster:
    """A `dask.distributed.Client` as a place to compute on. Raises `ValueError` for anything else, and without workers."""

    def __init__(self, client: Any):
        distributed = optional("distributed", "cluster")
        rule = "be a synchronous `dask.distributed.Client`"
        require("cluster", client, rule, isinstance(client, distributed.Client) and not client.asynchronous)
        self._client = client
        rule = "have a worker (`client.wait_for_workers(1)` waits for one)"
        require("cluster", client, rule, self._threads() > 0)
        self.device = client.submit(_device, pure=False).result()
        self.smallest, self.largest, self.chunks = 256, 65_536, 4 * self._threads()
        workers = client.scheduler_info()["workers"].values()
        limits = [each["memory_limit"] / max(each["nthreads"], 1) for each in workers if each.get("memory_limit")]
        self.memory = min(limits, default=4 * 2**30)

    def compute(
        self,
        compute: Callable[..., Any],
        plan: PlanLike,
        blocks: Blocks,
        pending: list[tuple[int, ...]],
        report: Callable[[int], None],
    ) -> Iterator[tuple[tuple[int, ...], dict[str, np.ndarray]]]:
        """Results block by block, as they arrive.

        Raises what a block's computation raised, and `RuntimeError` if every worker that tried a block was lost.
        """
        distributed = optional("distributed", "cluster")
        lost = (distributed.KilledWorker, distributed.client.FutureCancelledError, distributed.client.FuturesCancelledError)
        blob = _packed(compute, plan)
        payload = self._send(blob)
        waiting = [(index, 1) for index in reversed(pending)]
        running: dict[Any, tuple[tuple[int, ...], int]] = {}
        arrivals = distributed.as_completed()
        try:
            while waiting or running:
                while waiting and len(running) < max(2, _AHEAD * self._threads()):
                    index, attempt = waiting.pop()
                    name = f"nmmjax-sweep-{'.'.join(map(str, index))}-{uuid.uuid4().hex}"
                    future = self._client.submit(_compute, payload, blocks, index, plan.dtype, key=name, pure=False)
                    running[future] = (index, attempt)
                    arrivals.add(future)
                future = next(arrivals)
                index, attempt = running.pop(future)
                try:
                    values = future.result()
                except lost as error:
                    if attempt >= _ATTEMPTS:
                        message = f"Chunk {index} was begun {attempt} times, and every worker that tried was lost."
                        raise RuntimeError(f"{message} Use a smaller `chunk` if memory is the cause.") from error
                    payload = self._send(blob)  # what was sent before may be lost with the worker
                    waiting.append((index, attempt + 1))
                    continue
                future.release()
                yield index, values
        finally:
            if running:
                self._client.cancel(list(running), force=True)

    def _send(self, blob: bytes) -> Any:
        return blob if len(blob) <= _INLINE else self._client.scatter(blob, broadcast=True, hash=False)

    def _threads(self) -> int:
        return sum(self._client.nthreads().values())


def _packed(compute: Callable[..., Any], plan: PlanLike) -> bytes:
    """The plan and what computes it in bytes, with functions that have no name on the workers, such as lambdas."""
    try:
        return optional("cloudpickle", "cluster").dumps((compute, plan))
    except Exception as error:  # whatever an object raises that refuses to be copied
        reason = " ".join(str(error).split()) or type(error).__name__
        message = (
            f"Argument `cluster` must be None for what can't be sent to other processes, but got a sweep with {reason}."
        )
        raise ValueError(message) from error


@functools.lru_cache(maxsize=4)
def _unpacked(payload: bytes) -> Any:
    """One plan per worker, with what computes it, so that all its blocks are computed by functions compiled once."""
    return pickle.loads(payload)


def _device() -> str:
    return jax.local_devices()[0].device_kind


def _compute(payload: bytes, blocks: Blocks, index: tuple[int, ...], dtype: str) -> dict[str, np.ndarray]:
    """One block, on a worker."""
    double = dtype == "float64"
    if uses_float64() != double:
        jax.config.update("jax_enable_x64", double)
    try:
        compute, plan = _unpacked(payload)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"Argument `cluster` must have workers that can import what the sweep uses, but got: {error}."
        ) from None
    return {name: np.asarray(values) for name, values in compute(plan, blocks.lanes(index)).items()}
