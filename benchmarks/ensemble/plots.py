"""The rows' plots, beside their JSON files."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from .session import OURS


def _figure(width: float = 6.4) -> tuple[Any, Any]:
    from nmmjax._optional import optional

    pyplot = optional("matplotlib.pyplot", "plot")
    return pyplot.subplots(figsize=(width, 4.4), layout="constrained")


def work_precision(path: pathlib.Path, rows: Sequence[dict], title: str) -> None:
    if not rows:
        return
    figure, axes = _figure(8.0)
    for tool in dict.fromkeys(row["tool"] for row in rows):
        points = [(row["error_p95"], row["time_units_per_second"]) for row in rows if row["tool"] == tool]
        points = sorted((e, s) for e, s in points if np.isfinite(e) and e > 0)
        if points:
            axes.loglog(*zip(*points, strict=True), "o-" if tool.startswith(OURS) else "s--", label=tool, markersize=4)
    axes.invert_xaxis()
    axes.set(xlabel="p95 of the relative error", ylabel="time units/s", title=title)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    figure.savefig(path.with_suffix(".png"), dpi=110)


def weak_errors(path: pathlib.Path, rows: Sequence[dict]) -> None:
    """Speed against the bias of ⟨r⟩, from the longest step to the shortest, and what the sample leaves open."""
    figure, axes = _figure()
    for tool in dict.fromkeys(row["tool"] for row in rows):
        mine = sorted((row for row in rows if row["tool"] == tool and np.isfinite(row["error"])), key=lambda row: -row["h"])
        bias, speed = ([row[name] for row in mine] for name in ("error", "time_units_per_second"))
        axes.loglog(bias, speed, "o-" if tool == OURS else "s--", label=tool, markersize=4)
    noise = 2 * max(row["standard_error"] for row in rows if np.isfinite(row["standard_error"]))
    axes.axvspan(min(axes.get_xlim()), noise, color="C7", alpha=0.2, lw=0, label="within two standard errors of 0")
    axes.invert_xaxis()
    axes.set(xlabel="bias of ⟨r⟩ (relative)", ylabel="time units/s", title="noisy populations")
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
    axes.set(xlabel="lanes", ylabel="µs, MiB", title="four observables, t = 50, rtol 1e-5, float64")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path.with_suffix(".png"), dpi=110)
