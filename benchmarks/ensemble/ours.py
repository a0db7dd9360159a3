"""What is measured of nmmjax: one function per row of the benchmark, prepared and called like those of rivals.py.

`run.steps` is the number of lane-steps of the last call, where the row asks for it.
"""

import contextlib
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import nmmjax as nmm

from .reference import PARAMETERS, Ensemble, Noisy, ensemble

Run = Callable[[], Any]


def _plan(problem: Ensemble, observe: dict[str, Any], **options: Any) -> Any:
    names = PARAMETERS if problem.tau_s is None else (*PARAMETERS, "synapse.tau")
    return nmm.plan_sweep(
        nmm.MPR() if problem.tau_s is None else nmm.MPR(synapse=nmm.ExponentialSynapse(tau=1.0)),
        over={name: ("sample", values) for name, values in zip(names, problem.parameters, strict=True)},
        y0={"r": problem.r0, "v": problem.v0},
        t1=problem.t1,
        observe=observe,
        **options,
    )


def _final(problem: Ensemble, **options: Any) -> Run:
    plan, lanes = _plan(problem, {"last": nmm.Final()}, **options), np.arange(problem.lanes)

    def run():
        found = nmm.extend.compute_lanes(plan, lanes)
        run.steps = int(found["steps"].sum(dtype=np.int64))
        return found["last_r"], found["last_v"]

    return run


def sweep(problem: Ensemble, rtol: float) -> Run:
    """Final states by the default method, the splitting with global error control."""
    return _final(problem, rtol=rtol)


def whole(problem: Ensemble, rtol: float) -> Run:
    """The same as users call it: arguments checked, the result a dataset."""

    def run():
        found = nmm.sweep(
            nmm.MPR(),
            over={name: ("sample", values) for name, values in zip(PARAMETERS, problem.parameters, strict=True)},
            y0={"r": problem.r0, "v": problem.v0},
            t1=problem.t1,
            observe={"last": nmm.Final()},
            rtol=rtol,
            progress=False,
        )
        return found["last_r"].values, found["last_v"].values

    return run


def predicted(problem: Ensemble, rtol: float) -> Run:
    """Final states by one run of the splitting at the steps predicted from each lane's energy, without error estimate."""
    return _final(problem, rtol=rtol, estimate=False)


def adaptive(problem: Ensemble, tol: float, solver: str = "Tsit5") -> Run:
    """Final states by the path for any model: adaptive Runge–Kutta, atol = rtol/10."""
    import diffrax

    return _final(problem, solver=getattr(diffrax, solver)(), rtol=tol, atol=tol / 10)


def fixed(problem: Ensemble, h: float) -> Run:
    """Final states by the splitting with steps h: the C loop's work."""
    return _final(problem, solver=nmm.MobiusSplitting(4), dt0=h)


def gradient(problem: Ensemble, rtol: float) -> Run:
    """Final rates and their gradients in (η, J, Δ)."""
    plan = _plan(problem, {"last": nmm.Final("r")}, rtol=rtol, gradient=PARAMETERS)
    lanes = np.arange(problem.lanes)

    def run():
        found = nmm.extend.compute_lanes(plan, lanes)
        return found["last"], tuple(found[f"d_last_d_{name}"] for name in PARAMETERS)

    return run


def forward_of_gradient(problem: Ensemble, rtol: float) -> Run:
    """The same values without gradients, at the same tolerance."""
    plan, lanes = _plan(problem, {"last": nmm.Final("r")}, rtol=rtol), np.arange(problem.lanes)
    return lambda: nmm.extend.compute_lanes(plan, lanes)["last"]


def noise(problem: Noisy, lanes: int, t1: float, h: float, seed: int = 0, discard: float = 0.0, final: bool = False) -> Run:
    """Time mean of the rate in every lane after `discard` (with `final`, the last rate only), steps h, fresh noise."""
    observe = {"rate": nmm.Final("r") if final else nmm.Mean("r")}
    plan = nmm.plan_sweep(
        nmm.MPR(J=problem.J, Delta=problem.Delta),
        over={"eta": ("sample", np.full(lanes, problem.eta))},
        y0={"r": problem.r0, "v": problem.v0},
        t0=discard,
        t1=t1,
        observe=observe,
        dt0=h,
        noise=problem.D,
        key=jax.random.key(seed),
    )
    every = np.arange(lanes)

    def run():
        found = nmm.extend.compute_lanes(plan, every)
        run.steps = int(found["steps"].sum(dtype=np.int64))
        return found["rate"]

    return run


def _peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def memory(lanes: int) -> dict[str, float]:
    """Peak memory above import and seconds (of the second call) of a sweep with four observables."""
    jax.config.update("jax_enable_x64", True)
    jax.block_until_ready(jax.numpy.zeros(1) + 1)  # JAX's own start belongs to the import
    problem = ensemble(lanes)
    before = _peak_bytes()
    observe = {"last": nmm.Final(), "peak": nmm.Peak("r"), "mean": nmm.Mean("r"), "energy": nmm.Mean("energy")}

    def run():
        return nmm.sweep(
            nmm.MPR(),
            over={name: ("sample", getattr(problem, name)) for name in PARAMETERS},
            y0={"r": problem.r0, "v": problem.v0},
            t1=problem.t1,
            observe=observe,
            rtol=1e-5,
            progress=False,
        )

    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {
        "lanes": lanes,
        "peak_MiB_above_import": (_peak_bytes() - before) / 2**20,
        "import_MiB": before / 2**20,
        "seconds_first_call": seconds[0],
        "seconds": seconds[1],
        "microseconds_per_lane": seconds[1] / lanes * 1e6,
    }


if __name__ == "__main__":
    print(json.dumps(memory(int(sys.argv[1]))))
