"""Layer 6: what a claim is and how its evidence is written down."""

import dataclasses
import json
import os
import pathlib
import platform
from collections.abc import Callable
from typing import Any

import numpy as np

from ..io import optional, versions


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured quantity against what is claimed; `met` says whether it holds."""

    quantity: str
    claimed: str
    measured: float
    met: bool


def at_most(quantity: str, measured: Any, limit: float) -> Row:
    """A row that is met where |measured| ≤ limit."""
    value = float(measured)
    return Row(quantity, f"≤ {limit:g}", value, bool(abs(value) <= limit))


def close_to(quantity: str, measured: Any, expected: float, tolerance: float) -> Row:
    """A row that is met where measured is within `tolerance` of `expected`."""
    value = float(measured)
    return Row(quantity, f"{expected:.10g} ± {tolerance:g}", value, bool(abs(value - expected) <= tolerance))


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a claim's experiment returns: rows, an `xarray.Dataset` and a matplotlib figure."""

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


def save(claim: Claim, evidence: Evidence, out: pathlib.Path) -> dict[str, Any]:
    """Write a claim's figure (PNG, SVG) and data (NetCDF), and return its entry for the report."""
    out.mkdir(parents=True, exist_ok=True)
    stem = f"{claim.letter}_{claim.name}"
    for ending in ("png", "svg"):
        evidence.figure.savefig(out / f"{stem}.{ending}", dpi=130)
    optional("matplotlib.pyplot", "plot").close(evidence.figure)
    evidence.data.attrs |= {"claim": claim.statement, "source": claim.source} | {
        f"version_{name}": version for name, version in versions().items()
    }
    partial = out / f".{stem}.nc.partial"
    evidence.data.to_netcdf(partial, engine="h5netcdf")
    os.replace(partial, out / f"{stem}.nc")
    return {
        "name": claim.name,
        "letter": claim.letter,
        "statement": claim.statement,
        "source": claim.source,
        "met": all(row.met for row in evidence.rows),
        "rows": [dataclasses.asdict(row) for row in evidence.rows],
        "files": [f"{stem}.png", f"{stem}.svg", f"{stem}.nc"],
    }


def machine() -> dict[str, Any]:
    """Where the numbers were computed."""
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


def write_report(entries: list[dict[str, Any]], out: pathlib.Path, quick: bool, unfinished: list[str]) -> None:
    """`report.json` and `report.md` with all that is finished; replaced at once, so a crash leaves the last good one."""
    out.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "quick": quick, "unfinished": unfinished, "claims": entries}
    _replace(out / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    where = report["machine"]
    lines = [
        "# Measured against claimed",
        "",
        ("Toy size. " if quick else "")
        + f"{where['dtype']}, {where['device']}, {where['cores']} cores, Python {where['python']}, "
        + ", ".join(f"{name} {version}" for name, version in where["versions"].items())
        + ".",
    ]
    if unfinished:
        lines += ["", f"Not run or not finished: {', '.join(unfinished)}."]
    for entry in entries:
        lines += ["", f"## ({entry['letter']}) {entry['name']}: {'met' if entry['met'] else 'NOT MET'}", ""]
        lines += [f"{entry['statement']} Source: {entry['source']}.", ""]
        lines += ["| quantity | claimed | measured | met |", "|---|---|---|---|"]
        lines += [
            f"| {row['quantity']} | {row['claimed']} | {row['measured']:.6g} | {'yes' if row['met'] else 'NO'} |"
            for row in entry["rows"]
        ]
        lines += ["", f"![{entry['name']}]({entry['files'][0]})"]
    _replace(out / "report.md", "\n".join(lines) + "\n")


def _replace(path: pathlib.Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def finite(x: Any) -> np.ndarray:
    """`x` as a float64 NumPy array."""
    return np.asarray(x, dtype=np.float64)
