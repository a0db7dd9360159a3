"""Parameter sweeps as labelled data (extra `data`): in blocks, with progress, resumable, on one machine or many.

`sweep` is what users call. `run_plan` computes a plan that is ready; it knows nothing of models.
"""

import collections
import contextlib
import functools
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from .._checks import as_count, require
from .._files import as_path
from .._labelled import software, xarray
from .._memory import available_memory
from .._nan import nan_is_absent
from .._progress import Progress
from .._types import Key, Real
from ..ensemble.computation import compute_lanes
from ..ensemble.plan import PlanLike
from ..ensemble.planning import plan_sweep
from ..models.base import AbstractModel
from ..models.state import StateLike
from ..models.stimulus import AbstractStimulus
from .cluster import Cluster
from .store import Blocks, SweepStore, backends_in, block_shape, fill_value, named, open_store, plain

# Lanes in one chunk, which bound what a Ctrl-C waits for; a GPU (each) needs more to be busy.
_LARGEST = {"cpu": 65_536}
_LARGEST_ELSEWHERE = 262_144
_CHUNKS = 32  # chunks of a stored sweep, if they don't get too small, so that a crash costs little
_SMALLEST = {"cpu": 1024}  # lanes in one chunk below which a device works with less than its full strength
_SMALLEST_ELSEWHERE = 16_384
_LOADED = 2**30  # bytes of a stored result that are read into memory
_LITTLE = 2**24  # bytes for which nobody asks how much memory is free, which takes longer than a small sweep

Index = tuple[int, ...]
Computed = tuple[Index, dict[str, np.ndarray]]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep with a store; says how much of it is finished."""


@nan_is_absent
def sweep(
    model: AbstractModel,
    *,
    over: Mapping[str, Any],
    y0: StateLike,
    t1: Real,
    observe: Mapping[str, Any],
    t0: Real = 0.0,
    stimulus: AbstractStimulus | None = None,
    solver: Any = None,
    rtol: Real | None = None,
    atol: Real | None = None,
    dt0: Real | None = None,
    estimate: bool = True,
    noise: Any = None,
    key: Key | None = None,
    gradient: Any = None,
    store: str | os.PathLike[str] | None = None,
    chunk: int | None = None,
    cluster: Any = None,
    progress: bool = True,
) -> Any:
    """Simulate `model` at many parameter values and keep only what is observed, as an `xarray.Dataset`.

    - `model`: any model or network
    - `over`: parameter names with a 1-D array each (a grid), or with `("sample", values)` (samples that vary together)
    - `y0`, `stimulus`: state at time 0, and input I(t) in units of η, of every lane
    - `t0`, `t1`: first time that is observed (0 by default) and last time, in the unit of τ
    - `observe`: names with observables, such as `{"peak": Peak("r"), "mean_energy": Mean("energy"), "last": Final()}`
    - `solver`, `rtol`, `atol`, `dt0`: the solver and its tolerances or step. Populations are by default integrated by the
      order-4 geometric splitting, the step of every lane refined until two runs agree within `rtol` (1e-6), and results
      extrapolated; `error` is the estimate, relative to each value x (|x| + atol/rtol), or to the scale of what is observed
      if rounding stops a lane and that suffices. `diffrax.Tsit5()`, `Dopri5()` or `Dopri8()` work for any model; with `dt0`
      steps are fixed
    - `estimate`: False for a single run at the step that each lane's energy predicts for `rtol`: half the cost, no `error`
    - `noise`, `key`: intensity D of white noise, or `ShotNoise(N)` of one population, with the random key; every lane has a
      path of its own. `over` may name "noise", or "noise.size" of shot noise
    - `gradient`: names of the parameters by which observables are differentiated
    - `store`: folder of a Zarr store. Chunks land in it as they finish, and the same call resumes after a crash, a full disk
      or Ctrl-C with the same numbers. Code can't be told apart, so a `Custom` needs a `name` then, and a class from outside
      nmmjax an attribute `version`, which you change when the code changes. The result is then read from there: into memory
      up to 1 GiB (and a quarter of what is free), else on demand
    - `chunk`: the largest number of lanes (parameter sets) computed and stored together; by default by the memory at hand. A
      store that exists keeps its own
    - `cluster`: a `dask.distributed.Client` that computes the chunks; this process writes the store
    - `progress`: whether to show lanes done, lanes/s and time left, and at the end how the unsuccessful lanes ended

    Uses all local devices. Returns the dataset; its `status` says how every lane ended, a failed lane does not affect the
    others, and its attribute `backend` names what ran: "xla", or on a GPU "mosaic" or "triton" if a fused kernel did.
    Raises `ValueError` in one sentence for wrong arguments, a store of another call and results that don't fit the memory;
    `OSError` if the store can't be written (finished chunks are kept), and `BlockingIOError` if another process writes to
    it.
    """
    plan = plan_of(
        model,
        over=over,
        y0=y0,
        t1=t1,
        observe=observe,
        t0=t0,
        stimulus=stimulus,
        solver=solver,
        rtol=rtol,
        atol=atol,
        dt0=dt0,
        estimate=estimate,
        noise=noise,
        key=key,
        gradient=gradient,
    )
    data = run_plan(plan, store=store, chunk=chunk, cluster=cluster, progress=progress)
    if progress and (summary := summarize(data["status"], plan.meanings)):
        print(summary, file=sys.stderr, flush=True)
    return data


def plan_of(model: AbstractModel, **arguments: Any) -> Any:
    """The plan of a sweep, checked; nothing is computed. Arguments as of `sweep`, those that are None left to the engine."""
    return plan_sweep(model, **{name: value for name, value in arguments.items() if value is not None})


def run_plan(
    plan: PlanLike,
    *,
    compute: Callable[..., dict[str, np.ndarray]] = compute_lanes,
    store: str | os.PathLike[str] | None = None,
    chunk: int | None = None,
    cluster: Any = None,
    progress: bool = True,
) -> Any:
    """Compute a plan block by block, by `compute(plan, lanes, report)`; other arguments, result and errors are `sweep`'s."""
    xarray()
    is_path = isinstance(store, (str, os.PathLike)) and str(store) != "" and "://" not in str(store)
    require("store", store, "be the path of a local folder", store is None or is_path)
    folder = None if store is None else as_path(store, "store")
    if folder is not None:
        plan.require_names()
    chunk = None if chunk is None else as_count("chunk", chunk, rule="be a number of lanes ≥ 1")
    require("progress", progress, "be True or False", isinstance(progress, bool))
    site = _site(cluster, folder is not None)
    limit = _chunk_limit(plan, chunk, site)
    shape = block_shape(tuple(plan.dims.values()), limit)
    attributes = dataset_attributes(plan, site.device)
    with contextlib.ExitStack() as stack:
        if folder is None:
            sink: Any = _Memory(plan, shape, attributes)
        else:
            sink = stack.enter_context(open_store(folder, plan, shape, attributes))
            _warn_of_other_chunk(sink, shape, chunk)
        _fill(sink, compute, plan, site, progress)
        size = _size(plan)
        return sink.dataset(size <= _LOADED and (size <= _LITTLE or size <= available_memory() // 4))


def summarize(status: object, meanings: Mapping[int, str]) -> str:
    """How the lanes ended that were not successful, in one line; empty if all were."""
    counts = collections.Counter(np.asarray(status).ravel().tolist())
    good = counts.pop(0, 0)
    if not counts:
        return ""
    ends = "; ".join(f"{number} × {meanings.get(code, f'status {code}')}" for code, number in counts.most_common())
    return f"sweep: {good} of {good + sum(counts.values())} lanes successful; {ends}"


def dataset_attributes(plan: PlanLike, device: str) -> dict[str, Any]:
    """Attributes of a result that say where its numbers come from."""
    config = plan.config
    return {
        "model": config["model"]["kind"],
        "config": json.dumps(config, sort_keys=True, ensure_ascii=False),
        "dtype": plan.dtype,
        "seed": "none" if config.get("seed") is None else config["seed"],
        "device": device,
        **software(),
    }


class _Local:
    """This process with its devices."""

    def __init__(self, stored: bool) -> None:
        devices = jax.local_devices()
        self.device = devices[0].device_kind
        platform, count = devices[0].platform, len(devices)
        self.smallest = _SMALLEST.get(platform, _SMALLEST_ELSEWHERE) * count
        self.largest = _LARGEST.get(platform, _LARGEST_ELSEWHERE * count)
        self.chunks = _CHUNKS if stored else 1

    @functools.cached_property
    def memory(self) -> int:
        """Bytes that are free on the devices."""
        stats = [each for device in jax.local_devices() if (each := _memory_of(device))]
        return sum(each["bytes_limit"] - each["bytes_in_use"] for each in stats) if stats else available_memory()

    def compute(
        self,
        compute: Callable[..., Any],
        plan: PlanLike,
        blocks: Blocks,
        pending: list[Index],
        report: Callable[[int], None],
    ) -> Iterator[Computed]:
        for index in pending:
            yield index, compute(plan, blocks.lanes(index), report)


def _memory_of(device: Any) -> dict[str, int]:
    stats = device.memory_stats() or {}
    return stats if {"bytes_limit", "bytes_in_use"} <= set(stats) else {}


def _site(cluster: Any, stored: bool) -> Any:
    """Place of the computation: its `device`, its `memory` in bytes, the `smallest` chunk worth its while, the
    `largest` and how many `chunks`."""
    if cluster is None:
        return _Local(stored)
    return Cluster(cluster)


def _chunk_limit(plan: PlanLike, chunk: int | None, site: Any) -> int:
    """The largest number of lanes in a chunk: the user's, or by memory and so that chunks finish now and then."""
    few = max(plan.lanes, chunk or 0)
    fitting = few if few * plan.lane_bytes <= _LITTLE else max(1, int(site.memory / 2 / max(plan.lane_bytes, 1)))
    if chunk is not None:
        if chunk > fitting:
            message = f"A chunk of {chunk} lanes doesn't fit the memory; using {fitting}, the most that does."
            warnings.warn(message, stacklevel=4)
        return min(chunk, fitting)
    return min(max(site.smallest, -(-plan.lanes // site.chunks)), fitting, site.largest)


def _warn_of_other_chunk(sink: SweepStore, shape: tuple[int, ...], chunk: int | None) -> None:
    if chunk is not None and sink.blocks.shape != shape:
        message = (
            f"The store {str(sink.path)!r} keeps its chunks of {math.prod(sink.blocks.shape)} lanes; `chunk` is ignored."
        )
        warnings.warn(message, stacklevel=4)


def _fill(sink: Any, compute: Callable[..., Any], plan: PlanLike, site: Any, shown: bool) -> None:
    pending = sink.pending()
    if not pending:
        return
    already = plan.lanes - sum(math.prod(sink.blocks.extent(index)) for index in pending)
    try:
        with Progress(plan.lanes, already, shown, "sweep, resumed" if already else "sweep") as bar:
            computed = site.compute(compute, plan, sink.blocks, pending, bar.report)
            with contextlib.closing(computed):  # a cluster's outstanding tasks end with it
                for index, values in computed:
                    sink.write(index, values)
                    bar.finish(math.prod(sink.blocks.extent(index)))
    except KeyboardInterrupt:
        if not isinstance(sink, SweepStore):
            raise
        done = f"{len(sink.finished)} of {len(sink.blocks)} chunks are finished in {str(sink.path)!r}"
        raise Interrupted(f"Interrupted: {done}; the same call resumes.") from None


def _size(plan: PlanLike) -> int:
    """Bytes of the whole result."""
    each = (math.prod(variable.shape) * np.dtype(variable.dtype).itemsize for variable in plan.variables.values())
    return plan.lanes * sum(each)


class _Memory:
    """In-memory stand-in for the store of a sweep; the same methods as `SweepStore`."""

    def __init__(self, plan: PlanLike, shape: tuple[int, ...], attributes: dict[str, Any]):
        size = _size(plan)
        if size > _LITTLE and size > 0.8 * (free := available_memory()):
            needed = f"{size / 2**30:.3g} GiB, but {free / 2**30:.3g} GiB of memory are free"
            raise ValueError(f"Argument `store` must be given for a result of {needed}.")
        self.blocks = Blocks(tuple(plan.dims.values()), shape)
        self._plan, self._attributes, self._backends = plan, attributes, set()
        sizes = self.blocks.sizes
        self._values = {
            name: np.full((*sizes, *each.shape), fill_value(each.dtype), each.dtype) for name, each in plan.variables.items()
        }

    def pending(self) -> list[Index]:
        return self.blocks.indices()

    def write(self, index: Index, values: dict[str, np.ndarray]) -> None:
        region, extent = self.blocks.region(index), self.blocks.extent(index)
        for name, variable in self._plan.variables.items():
            self._values[name][region] = np.asarray(values[name]).reshape(extent + tuple(variable.shape))
        self._backends |= backends_in(values)

    def dataset(self, load: bool) -> Any:
        plan = self._plan
        return xarray().Dataset(
            {
                name: ((*plan.dims, *each.dims), self._values[name], plain(each.attrs))
                for name, each in plan.variables.items()
            },
            coords={name: (dims, np.asarray(values), plain(attrs)) for name, (dims, values, attrs) in plan.coords.items()},
            attrs=plain(self._attributes) | named(self._backends),
        )
