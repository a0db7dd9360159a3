"""A plan of a sweep that needs no model: numbers that follow from the lane, with delays and failing lanes where wanted."""

import dataclasses
import functools
import math
import os
import time
from typing import Any

import numpy as np

from nmmjax.sweeps import sweeping

MEANINGS = {0: "successful", 1: "The maximum number of solver steps was reached.", 7: "The state became infinite or NaN."}


@dataclasses.dataclass(frozen=True)
class Variable:
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    attrs: dict[str, Any]


@dataclasses.dataclass
class FakePlan:
    """`dims` with sizes; `pause` seconds per block; lanes divisible by `failing` fail; `breaks` raises at that lane."""

    dims: dict[str, int] = dataclasses.field(default_factory=lambda: {"eta": 6, "J": 10})
    pause: float = 0.0
    failing: int = 0
    breaks: int = -1
    lane_bytes: int = 1000
    seed: int | None = 3
    samples: int = 4
    ballast: bytes = b""
    pids: str = ""  # a folder in which every computing process leaves its number
    dtype: str = "float64"
    meanings: dict[int, str] = dataclasses.field(default_factory=lambda: dict(MEANINGS))

    @property
    def lanes(self):
        return math.prod(self.dims.values())

    @property
    def coords(self):
        time_axis = ("samples_time", np.linspace(0.0, 1.0, self.samples), {"units": "time", "long_name": "time"})
        found = {"samples_time": ((time_axis[0],), time_axis[1], time_axis[2])}
        names = list(self.dims) if "sample" not in self.dims else ["eta", "J"]
        for k, name in enumerate(names):
            dim = name if "sample" not in self.dims else "sample"
            values = np.linspace(-8.0 + k, 2.0 + 10 * k, self.dims[dim])
            if dim == "sample":
                values = np.random.default_rng(k).permutation(values)
            found[name] = ((dim,), values, {"units": "1", "long_name": f"parameter {name}"})
        return found

    @property
    def variables(self):
        flags = {"flag_values": list(self.meanings), "flag_meanings": list(self.meanings.values())}
        return {
            "peak": Variable((), (), "float64", {"units": "1/time", "long_name": "largest r"}),
            "trace": Variable(("samples_time",), (self.samples,), "float32", {"units": "1"}),
            "failure_time": Variable((), (), "float64", {"units": "time"}),
            "status": Variable((), (), "int16", {"long_name": "how the lane ended", **flags}),
            "steps": Variable((), (), "int32", {"units": "1"}),
        }

    @property
    def config(self):
        over = {name: {"digest": "ab12", "num": size} for name, size in self.dims.items()}
        return {"model": {"kind": "Fake(Delta=1)"}, "over": over, "t1": 20.0, "seed": self.seed, "dtype": self.dtype}

    def require_names(self):
        """There are no functions in it."""

    def compute(self, lanes, report=None):
        lanes = np.asarray(lanes)
        if self.pids:
            with open(os.path.join(self.pids, str(os.getpid())), "w"):
                pass
        if self.breaks in lanes:
            raise ArithmeticError(f"lane {self.breaks} is broken")
        for part in np.array_split(lanes, 2):
            time.sleep(self.pause / 2)
            if report is not None:
                report(len(part))
        failed = (lanes % self.failing == 0) if self.failing else np.zeros(len(lanes), bool)
        peak = np.where(failed, np.nan, np.sin(lanes * 1.37) + lanes)
        return {
            "peak": peak,
            "trace": (peak[:, None] * np.arange(1.0, self.samples + 1)).astype("float32"),
            "failure_time": np.where(failed & (lanes > 40), 1.5, np.nan),  # whole blocks of nothing but the fill value
            "status": np.where(failed, 1, 0).astype("int16"),
            "steps": (lanes * 7).astype("int32"),
        }


def compute_fake(plan, lanes, report=None):
    """In the place of `compute_lanes`."""
    return plan.compute(lanes, report)


run_plan = functools.partial(sweeping.run_plan, compute=compute_fake)
