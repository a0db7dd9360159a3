"""What every benchmark writes: machine, versions, dtype, and per row the error beside the cost."""

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

RESULTS = pathlib.Path(__file__).parent / "results"
RIVALS = (
    "heyoka",
    "vbjax",
    "gradsolve",
    "warp-lang",
    "lyapax",
    "jaxcont",
    "xpplab",
    "brian2",
    "tvboptim",
    "tvb-library",
    "numba",
)


def arguments(description: str, rows: Sequence[str] = ()) -> argparse.Namespace:
    """`--quick` and `--out`, and for a benchmark of several `rows` also `--only`."""
    parser = argparse.ArgumentParser(description=description)
    if rows:
        parser.add_argument("--only", default=list(rows), type=_among(rows), help=f"some of {','.join(rows)}, with commas")
    parser.add_argument("--quick", action="store_true", help="toy size")
    parser.add_argument(
        "--out", type=pathlib.Path, default=None, help="folder for the JSON (and plot); default benchmarks/results"
    )
    return parser.parse_args()


def _among(rows: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(rows):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} is none of {', '.join(rows)}")
        return chosen

    return parse


def processor() -> str:
    """The CPU's model name, or what Python knows of it."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """What the numbers were measured on, and how busy it was."""
    import jax

    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "load_average": [round(each, 2) for each in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
    }


def package_versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of those of the packages that are installed."""
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


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


def write(
    name: str,
    options: argparse.Namespace,
    rows: list[dict[str, Any]],
    dtype: str = "float64",
    show: bool = True,
    **facts: Any,
) -> pathlib.Path:
    """Write `name.json` and, with `show`, print its rows."""
    from nmmjax._optional import versions

    folder = options.out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "benchmark": name,
        "quick": options.quick,
        "machine": machine(),
        "dtype": dtype,
        "versions": versions() | package_versions(RIVALS),
        **facts,
        "rows": rows,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(_plain(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    for row in rows if show else []:
        print(
            "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
        )
    print(f"-> {path}")
    return path
