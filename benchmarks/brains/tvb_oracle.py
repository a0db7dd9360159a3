"""Writes TVB's own runs of a network of ten regions with delays for `tests/solvers/test_tvb.py`.

Run as `python -m benchmarks.brains.tvb_oracle`. Delays are multiples of all steps, so that TVB, which rounds them, reads
them as they are; what remains of first order is that its Heun takes the coupling once a step.
"""

import dataclasses
import importlib.metadata
import pathlib

import jax
import numpy as np

from .reference import CHECKED, SPACING, problem
from .rivals import tvb

STEPS = (64, 128, 256, 512)  # per unit of τ
PLACE = pathlib.Path(__file__).resolve().parents[2] / "tests" / "solvers" / "tvb.npz"


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    case = problem(10, True)
    case = dataclasses.replace(case, delays=np.maximum(np.round(case.delays * 8) / 8, 0.125))
    runs = {f"run_{steps}": tvb(case, steps, CHECKED)() for steps in STEPS}
    numbers = {name: getattr(case, name) for name in ("W", "delays", "r", "v", "gain", "eta", "J", "Delta")}
    about = f"TVB {importlib.metadata.version('tvb-library')}, HeunDeterministic, Linear coupling, MontbrioPazoRoxin"
    ts = SPACING * np.arange(1, round(CHECKED / SPACING) + 1)
    np.savez_compressed(PLACE, about=about, ts=ts, steps=np.array(STEPS), **numbers, **runs)
    print(f"{about} -> {PLACE}")


if __name__ == "__main__":
    main()
