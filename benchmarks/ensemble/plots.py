"""The rows' plots, beside their JSON files."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from .session import OURS


def _figure() -> tuple[Any, Any]:
    from nmmjax.io import optional

    pyplot = optional("matplotlib.pyplot", "plot")
    return pyplot.subplots(figsize=(6.4, 4.4), layout="constrained")


def work_precision(path: pathlib.Path, rows: Sequence[dict], title: str, error: str = "p95 of the relative error") -> None:
    if not rows:
        return
    figure, axes = _figure()
    for tool in dict.fromkeys(row["tool"] for row in rows):
        points = [(row["error_p95"], row["time_units_per_second"]) for row in rows if row["tool"] == tool]
        points = sorted((e, s) for e, s in points if np.isfinite(e) and e > 0)
        if points:
            axes.loglog(*zip(*points, strict=True), "o-" if tool.startswith(OURS) else "s--", label=tool, markersize=4)
    axes.invert_xaxis()
    axes.set(xlabel=error, ylabel="time units/s", title=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path.with_suffix(".png"), dpi=110)


def shares(path: pathlib.Path, rows: Sequence[dict]) -> None:
    """Ours beside the C loop, for every dtype and size."""
    groups = list(dict.fromkeys((row["dtype"], row["lanes"], row["steps_per_lane"]) for row in rows))
    if not groups:
        return
    figure, axes = _figure()
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    width = 0.8 / len(tools)
    for k, tool in enumerate(tools):
        speed = {
            (row["dtype"], row["lanes"], row["steps_per_lane"]): row["lane_steps_per_second"] / 1e9
            for row in rows
            if row["tool"] == tool
        }
        at = [i + (k - (len(tools) - 1) / 2) * width for i, group in enumerate(groups) if group in speed]
        bars = axes.bar(at, list(speed.values()), width, label=tool, color="C0" if tool == OURS else "C7")
        axes.bar_label(bars, fmt="%.2f", fontsize=8)
    axes.set_xticks(range(len(groups)), [f"{dtype}\n{lanes} lanes\n× {steps} steps" for dtype, lanes, steps in groups])
    axes.margins(y=0.15)
    axes.set(ylabel="10⁹ lane-steps/s", title="equal steps of the same scheme")
    axes.legend(frameon=False, ncols=2, loc="upper center")
    figure.savefig(path.with_suffix(".png"), dpi=110)


def per_lane(path: pathlib.Path, rows: Sequence[dict]) -> None:
    figure, axes = _figure()
    size = [row["lanes"] for row in rows]
    axes.loglog(size, [row["microseconds_per_lane"] for row in rows], "o-", label="µs per lane")
    axes.loglog(size, [row["peak_MiB_above_import"] for row in rows], "s--", label="peak MiB above import")
    axes.set(xlabel="lanes", title="four observables, t = 50, rtol 1e-5, float64")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path.with_suffix(".png"), dpi=110)
