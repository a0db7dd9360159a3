"""The rows in their order, and the table that they add up to."""

import os
from collections.abc import Callable, Sequence

import benchmarks.ensemble as package

from ..record import arguments, machine
from . import adaptive, gpu, gradient, lanes, noise, share, small, sweep
from .session import Session

ROWS: dict[str, Callable[[Session], None]] = {
    "sweep": sweep.measure,
    "small": small.measure,
    "synapses": sweep.measure_synapses,
    "adaptive": adaptive.measure,
    "share": share.measure,
    "noise": noise.measure,
    "gradient": gradient.measure,
    "lanes": lanes.measure,
    "gpu": gpu.measure,
}


def print_table(table: Sequence[dict]) -> None:
    print("\n| what | measured | must reach | met |\n|---|---|---|---|")
    for row in table:
        met = "" if row["met"] is None else "yes" if row["met"] else "no"
        print(f"| {row['what']} | {row['measured']} | {row['must']} | {met} |")
    about = machine()
    load = about["load_average"]
    print(f"\n{about['processor']}, {about['cores']} cores, load {load}, Python {about['python']}, float64 unless said")


def main() -> None:
    options = arguments((package.__doc__ or "").splitlines()[0], rows=tuple(ROWS))
    # Several processes share a GPU, if there is one.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    session = Session(options)
    try:
        for name, measure in ROWS.items():
            if name in options.only:
                print(f"{name}: {(measure.__doc__ or '').splitlines()[0]}", flush=True)
                measure(session)
    finally:
        session.release()
    print_table(session.table)
