"""On a machine with a GPU: do the fused kernels equal the XLA path there, and what do both and vmapped diffrax cost?

Every way runs the same lanes with the same numbers of steps (the splitting, order 4, with four observables); vmapped diffrax
solves such problems adaptively for the final state alone. Throughput is in time units of all lanes together per second.
Run as `python -m benchmarks.ensemble.gpu_check`.
"""

import sys
import time
from typing import Any

import jax
import numpy as np

import nmmjax as nmm

from ..record import arguments, timed, write
from .reference import ensemble

T1, H, BLOCK = 50.0, 0.02, 128


def prepare(lanes: int, dtype: str) -> tuple[Any, Any]:
    """The task and its arguments on the device: blocks of `BLOCK` lanes."""
    from nmmjax.ensemble.folding import Times, Uniform
    from nmmjax.ensemble.observables import Final, Mean
    from nmmjax.ensemble.plan import Build
    from nmmjax.ensemble.splitting import splitting_flow, splitting_stretch
    from nmmjax.ensemble.task import Task
    from nmmjax.ensemble.turning_points import Peak
    from nmmjax.mechanics.channels import Problem

    problem, group = ensemble(lanes, T1), lanes // BLOCK
    cast = lambda each: np.asarray(each, dtype)
    model = nmm.MPR()
    base = jax.tree.map(cast, Problem(model, model.state({"r": problem.r0, "v": problem.v0}), None))
    values = {name: cast(getattr(problem, name)).reshape(group, BLOCK) for name in ("eta", "J", "Delta")}
    steps = (None, np.full((group, 1, 1), round(T1 / H), np.int32))
    observables = {"last": Final(), "peak": Peak("r"), "mean": Mean("r"), "energy": Mean("energy")}
    method = Uniform(splitting_stretch, splitting_flow, pairs=False)
    task = Task(Build(tuple(values)), method, tuple(observables.items()), Times(0.0, 0.0, T1))
    return task, jax.device_put((base, values, steps), jax.devices()[0])


def difference(ours: Any, theirs: Any) -> dict[str, float]:
    """Relative differences over lanes and results, median and 99th percentile."""
    parts = []
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a, float).ravel(), np.asarray(b, float).ravel()
        same = np.isnan(a) & np.isnan(b)
        parts.append(np.where(same, 0.0, np.abs(a - b) / (np.abs(b) + 1e-12)))
    every = np.concatenate(parts)
    return {"difference_median": float(np.median(every)), "difference_p99": float(np.quantile(every, 0.99))}


def measure(lanes: int, dtype: str, repeats: int) -> list[dict[str, Any]]:
    """One row per way to run, with the reason where a way failed."""
    from nmmjax.ensemble.kernel import BACKENDS, kernel_call, plain_call

    task, args = prepare(lanes, dtype)
    plain = plain_call(task)
    oracle = plain(*args)
    ways = {"xla": plain} | {name: kernel_call(task, BLOCK, name) for name in BACKENDS}
    rows = []
    for name, call in ways.items():
        row: dict[str, Any] = {"way": name, "dtype": dtype, "lanes": lanes}
        try:
            start = time.perf_counter()
            out = jax.block_until_ready(call(*args))
            row["seconds_first_call"] = time.perf_counter() - start
            row |= difference(out, oracle) | timed(lambda call=call: call(*args), repeats)
            row["time_units_per_second"] = lanes * T1 / row["seconds_median"]
        except Exception as error:  # whatever a compiler raises
            row["failed"] = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        rows.append(row)
    return rows


def rival(lanes: int, dtype: str, repeats: int) -> dict[str, Any]:
    """Vmapped diffrax, Tsit5 at rtol 1e-5, on the same device."""
    from . import rivals

    run = rivals.diffrax(ensemble(lanes, T1), 1e-5)
    row = timed(run, repeats)
    return {"way": "diffrax vmap Tsit5 1e-5", "dtype": dtype, "lanes": lanes, **row} | {
        "time_units_per_second": lanes * T1 / row["seconds_median"]
    }


def main() -> None:
    options = arguments("Fused kernels on a GPU: equality with XLA, and cost.")
    if jax.devices()[0].platform != "gpu":
        print("No GPU was found, so nothing was checked.")
        sys.exit(0)
    lanes, repeats = (2**10, 1) if options.quick else (2**17, 3)
    rows: list[dict[str, Any]] = []
    for dtype in ("float32", "float64"):
        jax.config.update("jax_enable_x64", dtype == "float64")
        rows += measure(lanes, dtype, repeats)
        rows.append(rival(min(lanes, 2**13), dtype, 1))
    write("gpu", options, rows, dtype="float32 and float64")


if __name__ == "__main__":
    main()
