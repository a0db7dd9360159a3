"""`nmmjax reproduce`: the paper's claims, each with figure, data and a measured row."""

import os
import pathlib
import sys
import time
from typing import Any

from .._files import as_folder
from .._optional import optional
from ..reproduce.claim import Claim
from ..reproduce.runner import CLAIMS
from ..reproduce.runner import reproduce as run_claims
from .printing import console_for, print_json


def reproduce(
    *, out: pathlib.Path = pathlib.Path("results"), only: str = "", quick: bool | None = None, json: bool = False
) -> None:
    """Reproduce the paper's claims: per claim a figure (PNG, SVG), the data (NetCDF) and measured against claimed.

    Parameters
    ----------
    out
        Folder for figures, data, report.md and report.json.
    only
        Names of claims, separated by commas; all by default.
    quick
        Toy size. The environment variable NMMJAX_QUICK=1 turns it on too.
    json
        Print one JSON object.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    out = as_folder(out)
    small = os.environ.get("NMMJAX_QUICK", "") not in ("", "0") if quick is None else quick
    names = [name.strip() for name in only.split(",") if name.strip()] or None
    console = console_for(json)
    began = time.perf_counter()
    with _progress(console) as progress:
        task = progress.add_task("starting", total=len(names or CLAIMS))

        def show(claim: Claim, done: int, total: int) -> None:
            progress.update(
                task, completed=done, total=total, description=f"({claim.letter}) {claim.name}" if done < total else "done"
            )
            if not console.is_terminal and done < total:
                console.print(f"({claim.letter}) {claim.name} …")

        entries = run_claims(out, names, small, show)
    table = optional("rich.table", "cli").Table(
        "claim", "quantity", "claimed", "measured", "met", title="Measured against claimed"
    )
    for entry in entries:
        if "error" in entry:
            table.add_row(f"({entry['letter']}) {entry['name']}", entry["error"], "", "", "[red]NO[/red]")
        for k, row in enumerate(entry["rows"]):
            name = f"({entry['letter']}) {entry['name']}" if k == 0 else ""
            table.add_row(
                name, row["quantity"], row["claimed"], f"{row['measured']:.6g}", "yes" if row["met"] else "[red]NO[/red]"
            )
    console.print(table)
    failed = [entry["name"] for entry in entries if not entry["met"]]
    seconds = time.perf_counter() - began
    console.print(
        f"{len(entries) - len(failed)} of {len(entries)} claims met in {seconds:.0f} s. Report: {out / 'report.md'}"
    )
    if json:
        print_json({"claims": entries, "not_met": failed, "seconds": seconds, "report": out / "report.md"})
    if failed:
        print(f"nmmjax: not met: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


def _progress(console: Any) -> Any:
    rich = optional("rich.progress", "cli")
    columns = (
        rich.SpinnerColumn(),
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
    )
    return rich.Progress(*columns, console=console, transient=True)
