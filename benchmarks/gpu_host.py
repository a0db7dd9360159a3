"""What a sweep on a GPU costs its host per lane, with the device's work replaced: lanes that stay on the device, and lanes
that numpy sorts, gathers and refines.

A device that computes in no time: its loops return constants, what else it would do (sorting, gathering, refining) runs here
but isn't counted, and nothing is copied. One part of 2¹⁸ lanes, one thread, both ways in turn.
"""

import contextlib
import time
from unittest import mock

import jax
import numpy as np
from record import arguments, write

import nmmjax as nmm
from nmmjax.ensemble import computation, engine, on_device
from nmmjax.ensemble.engine import Shape
from nmmjax.ensemble.folding import Progress
from nmmjax.numerics.threads import pool_of

jax.config.update("jax_enable_x64", True)
ENDS = {"eta": (-6.0, 6.0), "J": (-10.0, 20.0), "Delta": (0.02, 1.0)}
OBSERVE = {"peak": nmm.Peak("r"), "mean": nmm.Mean("r")}


class Device:
    """Seconds that are the device's, not the host's."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function):
        def call(*given):
            begun = time.perf_counter()
            out = jax.block_until_ready(function(*given))
            self.seconds += time.perf_counter() - begun
            return out

        return call

    def constants(self, task, shape, group):
        """In place of `engine.program`."""
        del task, shape, group

        def call(base, values, steps):
            del steps
            size = jax.tree.leaves(values)[0].shape
            one, none = np.full(size, 1.0), np.zeros(size, np.int32)
            rest = {".y": type(base.y0)(r=one, v=one), ".progress": Progress(none, one, none, np.full(size, np.nan), one)}
            return {"peak": one, "mean": one} | rest

        return self.timed(call)

    def programs(self, recipe):
        """In place of `on_device.programs`."""
        own = on_device.Programs(recipe)
        for name in ("prepare", "begin", "arrange", "first", "further", "failed", "timed", "finish"):
            setattr(own, name, self.timed(getattr(own, name)))
        return own


def host_seconds(plan, lanes: int, stays: bool) -> list[float]:
    """Seconds of the host per call, after one that compiles."""
    devices = tuple(jax.local_devices()[:1])
    shape, numbers, device = Shape(128, 2**11, 1, devices), np.arange(lanes), Device()
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(pool_of(1))
        for module in (on_device, engine):
            stack.enter_context(mock.patch.object(module, "program", device.constants))
        made = device.programs(on_device.Recipe.of(plan, tuple(plan.values(numbers[:1])), shape.block))
        stack.enter_context(mock.patch.object(on_device, "programs", lambda recipe: made))
        stack.enter_context(mock.patch.object(computation, "prepared", lambda *given: device.timed(engine.prepared(*given))))
        stack.enter_context(mock.patch.object(on_device, "_SMALL_PART", lanes))  # one part

        def once() -> float:
            device.seconds, begun = 0.0, time.perf_counter()
            values = plan.values(numbers)
            if stays:
                on_device.compute_on_devices(plan, values, shape, pool, None)
            else:
                computation._Lanes(plan, values, shape, pool).results(None)
            return time.perf_counter() - begun - device.seconds

        once()
        return [once() for _ in range(3)]


def main() -> None:
    options = arguments(__doc__.splitlines()[0])
    lanes, turns = (2**14, 1) if options.quick else (2**18, 5)
    draw = np.random.default_rng(7)
    over = {name: ("lane", draw.uniform(*ends, lanes)) for name, ends in ENDS.items()}
    rows = []
    for estimate in (False, True):
        plan = nmm.plan_sweep(
            nmm.MPR(), over=over, y0={"r": 0.1, "v": -1.0}, t1=50.0, observe=OBSERVE, rtol=1e-5, estimate=estimate
        )
        seconds = {True: [], False: []}
        for _ in range(turns):
            for stays in seconds:
                seconds[stays] += host_seconds(plan, lanes, stays)
        for stays, each in seconds.items():
            rows.append(
                {
                    "way": "on the device" if stays else "numpy",
                    "estimate": estimate,
                    "lanes": lanes,
                    "microseconds_per_lane": 1e6 * float(np.median(each)) / lanes,
                    "microseconds_per_lane_min": 1e6 * min(each) / lanes,
                    "calls": len(each),
                }
            )
    write("gpu_host", options, rows, dtype="float64", observe=list(OBSERVE), model=str(plan.base.model))


if __name__ == "__main__":
    main()
