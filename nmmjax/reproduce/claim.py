"""Claims, and how their evidence is written down."""

import dataclasses
import json
import os
import pathlib
import platform
from collections.abc import Callable
from typing import Any

import numpy as np

from .._files import replace_file, replace_text
from .._optional import optional, versions


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured quantity against what is claimed; `met` says whether it holds."""

    quantity: str
    claimed: str
    measured: float
    met: bool


def at_most(quantity: str, measured: Any, limit: float) -> Row:
    """A row that is met if |measured| ≤ limit."""
    value = float(measured)
    return Row(quantity, f"≤ {limit:g}", value, bool(abs(value) <= limit))


def close_to(quantity: str, measured: Any, expected: float, tolerance: float) -> Row:
    """A row that is met if measured is within `tolerance` of `expected`."""
    value = float(measured)
    return Row(quantity, f"{expected:.10g} ± {tolerance:g}", value, bool(abs(value - expected) <= tolerance))


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Result of a claim's experiment: rows, an `xarray.Dataset` and a matplotlib figure."""

    rows: list[Row]
    data: Any
    figure: Any


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim: `name` (for `--only`), the sentence it states, its source and the experiment, `run(quick) -> Evidence`."""

    name: str
    letter: str
    statement: str
    source: str
    run: Callable[[bool], Evidence]


def save(claim: Claim, evidence: Evidence, out: pathlib.Path, quick: bool) -> dict[str, Any]:
    """Write a claim's figure (PNG, SVG) and data (NetCDF), each replaced at once, and return its entry for the report."""
    out.mkdir(parents=True, exist_ok=True)
    stem = f"{claim.letter}_{claim.name}"
    evidence.data.attrs |= {"claim": claim.statement, "source": claim.source} | {
        f"version_{name}": version for name, version in versions().items()
    }
    writers = {
        "png": lambda path: evidence.figure.savefig(path, dpi=130, format="png"),
        "svg": lambda path: evidence.figure.savefig(path, format="svg"),
        "nc": lambda path: evidence.data.to_netcdf(path, engine="h5netcdf"),
    }
    for ending, write in writers.items():
        replace_file(out / f"{stem}.{ending}", write)
    optional("matplotlib.pyplot", "plot").close(evidence.figure)
    rows = [dataclasses.asdict(row) for row in evidence.rows]
    return _entry(claim, quick) | {
        "met": all(row.met for row in evidence.rows),
        "rows": rows,
        "files": [f"{stem}.{ending}" for ending in writers],
    }


def broken(claim: Claim, error: Exception, quick: bool) -> dict[str, Any]:
    """The entry of a claim whose experiment raised: not met, with the error's first line."""
    first = (str(error).splitlines() or [""])[0]
    return _entry(claim, quick) | {"met": False, "rows": [], "files": [], "error": f"{type(error).__name__}: {first}"}


def _entry(claim: Claim, quick: bool) -> dict[str, Any]:
    about = {"name": claim.name, "letter": claim.letter, "statement": claim.statement, "source": claim.source}
    return about | {"quick": quick, "machine": machine()}


def machine() -> dict[str, Any]:
    """Machine on which the numbers were computed."""
    import jax

    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "dtype": "float64",
        "versions": versions(),
    }


def write_report(entries: list[dict[str, Any]], out: pathlib.Path, unfinished: list[str]) -> None:
    """`report.json` and `report.md`: `entries`, and those of an earlier report in `out` for other claims.

    Replaced at once, so a crash leaves the last good one.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = {entry["name"]: entry for entry in _earlier(out) + entries}
    merged = sorted(known.values(), key=lambda entry: entry["letter"])
    missing = [name for name in unfinished if name not in known]
    text = json.dumps({"unfinished": unfinished, "claims": merged}, indent=2, ensure_ascii=False)
    replace_text(out / "report.json", text + "\n")
    lines = ["# Measured against claimed"]
    if missing:
        lines += ["", f"Not run or not finished: {', '.join(missing)}."]
    for entry in merged:
        lines += ["", f"## ({entry['letter']}) {entry['name']}: {'met' if entry['met'] else 'NOT MET'}", ""]
        lines += [f"{entry['statement']} Source: {entry['source']}.", ""]
        if entry["rows"]:
            lines += ["| quantity | claimed | measured | met |", "|---|---|---|---|"]
        lines += [
            f"| {row['quantity']} | {row['claimed']} | {row['measured']:.6g} | {'yes' if row['met'] else 'NO'} |"
            for row in entry["rows"]
        ]
        if "error" in entry:
            lines += [f"The experiment broke: {entry['error']}"]
        where = entry["machine"]
        software = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
        size = "Toy size. " if entry["quick"] else ""
        lines += [
            "",
            f"{size}{where['dtype']}, {where['device']}, {where['cores']} cores, Python {where['python']}, {software}.",
        ]
        lines += ["", f"![{entry['name']}]({entry['files'][0]})"] if entry["files"] else []
    replace_text(out / "report.md", "\n".join(lines) + "\n")


def _earlier(out: pathlib.Path) -> list[dict[str, Any]]:
    """Entries of a report that is already there; none if it can't be read."""
    try:
        claims = json.loads((out / "report.json").read_text(encoding="utf-8"))["claims"]
        return [entry for entry in claims if {"name", "letter", "met", "rows", "files", "machine", "quick"} <= set(entry)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def as_numpy(x: object) -> np.ndarray:
    """`x` as a float64 NumPy array."""
    return np.asarray(x, dtype=np.float64)
