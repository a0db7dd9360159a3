"""What every benchmark writes: machine, versions, dtype, and per row the error beside the cost."""

import argparse
import json
import math
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

RESULTS = pathlib.Path(__file__).parent / "results"


def arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="toy size")
    parser.add_argument(
        "--out", type=pathlib.Path, default=None, help="folder for the JSON (and plot); default benchmarks/results"
    )
    return parser.parse_args()


def timed(run: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Seconds of `run`, after one warm-up: minimum and median of several."""
    import jax

    jax.block_until_ready(run())
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - start)
    return {"seconds_min": min(seconds), "seconds_median": statistics.median(seconds), "repeats": repeats}


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: those become None."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(name: str, options: argparse.Namespace, rows: list[dict[str, Any]], **facts: Any) -> pathlib.Path:
    """Write `name.json` and print its rows."""
    import jax

    from nmmjax.io import versions

    folder = options.out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "benchmark": name,
        "quick": options.quick,
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "device": jax.devices()[0].device_kind,
        },
        "versions": versions(),
        **facts,
        "rows": rows,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(_plain(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    for row in rows:
        print(
            "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
        )
    print(f"-> {path}")
    return path
