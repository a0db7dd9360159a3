"""Memory and time of sweeps of a thousand to a million lanes."""

import json
import os
import pathlib
import subprocess
import sys

from .plots import per_lane
from .session import ON_CPU, Session, show

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def measure(session: Session) -> None:
    """Peak memory and time from 10³ to 10⁶ lanes with four observables, each size in a fresh process."""
    sizes = (1_000, 4_000) if session.quick else (1_000, 10_000, 100_000, 1_000_000)
    session.release()
    rows = []
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | ON_CPU | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    for size in sizes:
        command = [sys.executable, "-m", "benchmarks.ensemble.ours", str(size)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{size} lanes: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
            break
        rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
        show(rows[-1])
    if len(rows) == len(sizes):
        most, last, before = rows[-1]["peak_MiB_above_import"], rows[-1], rows[-2]
        session.say(
            f"{sizes[-1]:,} lanes, 4 observables: peak memory above import",
            f"{most:.0f} MiB",
            "≤ 1024 MiB",
            most <= 1024,
            MiB=most,
        )
        change = last["microseconds_per_lane"] / before["microseconds_per_lane"] - 1
        session.say(
            f"cost per lane at {sizes[-1]:,} lanes against {sizes[-2]:,}",
            f"{change:+.1%} ({last['microseconds_per_lane']:.3g} µs against {before['microseconds_per_lane']:.3g} µs)",
            "within 15 %",
            abs(change) <= 0.15,
            change=change,
        )
    path = session.write("lanes", rows)
    if rows:
        per_lane(path, rows)
