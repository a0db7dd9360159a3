"""Picture of all resting states of a network over a parameter."""

from typing import Any

import numpy as np

from .._checks import require
from .._labelled import about_parameter
from ..branches.resting import RestingStates
from .common import BLUE, GREY, ORANGE, finish, new_axes, plain_numbers

_FEW = 24  # branches up to which lines are drawn in full colour


def resting_states(result: RestingStates, axes: Any = None) -> Any:
    """Rates of all states of rest over a parameter, averaged over the nodes, and below them the barriers out of each.

    - `result`: of `resting_states`
    - `axes`: two matplotlib axes to draw on, one below the other; new ones by default

    Stable states are blue lines, minima that oscillate because of synapses or delays orange and dashed, passes grey dots,
    and open circles the folds at which states appear or vanish; the state of lowest Ψ is drawn thick. Without a pass found a
    state has no barrier to draw. Returns the axes.
    """
    require("result", type(result).__name__, "be the result of `resting_states`", isinstance(result, RestingStates))
    axes = new_axes(axes, 2, (6.4, 6.2))
    top, bottom = np.ravel(axes)
    values, mean, stable = result.values, result.mean, result.stable
    shade = 1.0 if len(mean) <= _FEW else max(0.25, _FEW / len(mean))
    passes = result.passes.mean(axis=2)
    top.plot(np.repeat(values, passes.shape[1]), passes.ravel(), ".", color=GREY, markersize=2.5, label="passes", zorder=1)
    slow = result.exists & (result.growth > 0)
    for b in range(len(mean)):
        x, y = _with_ends(result, b, np.where(stable[b] | ~slow[b], mean[b], np.nan))
        top.plot(x, y, color=BLUE, linewidth=1.1, alpha=shade, zorder=2)
        if slow[b].any():
            top.plot(values, np.where(slow[b], mean[b], np.nan), "--", color=ORANGE, linewidth=1.4, zorder=3)
    top.plot([], [], color=BLUE, linewidth=1.1, label="states of rest")
    if slow.any():
        top.plot([], [], "--", color=ORANGE, label="minima that oscillate")
    lowest = result.lowest
    jumps = np.flatnonzero(np.diff(lowest)) + 1
    for k, part in enumerate(np.split(np.arange(values.size), jumps)):
        chosen = (lowest[part], part)
        label = "lowest Ψ" if k == 0 else None
        top.plot(values[part], mean[chosen], color=BLUE, linewidth=3.2, alpha=0.5, label=label, zorder=2)
        bottom.plot(values[part], _finite(result.barrier[chosen]), color=BLUE, linewidth=3.2, alpha=0.5, zorder=2)
    if result.ends.size:
        shown = {"mfc": "white", "mec": "black", "markersize": 4, "linestyle": "none", "label": "appears or vanishes"}
        top.plot(result.ends, result.end_r.mean(axis=1), "o", zorder=4, **shown)
    barrier = _finite(result.barrier)
    for b in range(len(mean)):
        x, y = _with_ends(result, b, barrier[b], 0.0)
        bottom.plot(x, y, color=BLUE, linewidth=1.1, alpha=shade, zorder=2)
    about = about_parameter(result.network, result.parameter)
    unit = about.get("units", "1")
    name = " ".join(each for each in (about.get("long_name", result.parameter), about.get("symbol", "")) if each)
    top.set(ylabel="mean rate of the nodes (1/time)", title=_title(result))
    bottom.set(xlabel=f"{name} ({'dimensionless' if unit == '1' else unit})", ylabel="barrier of Ψ (dimensionless)")
    bottom.set_xlim(values[0], values[-1])
    drawn = barrier[np.isfinite(barrier) & (barrier > 0)]
    if drawn.size and drawn.max() > 30 * np.median(drawn):
        bottom.set_yscale("log")
        plain_numbers(bottom.yaxis, bool(drawn.max() < 300 * drawn.min()))
    top.legend(frameon=False, fontsize=8)
    return finish(axes)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _with_ends(result: RestingStates, b: int, y: np.ndarray, end: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A branch over the parameter with the folds at which it begins and ends; its value there, or `end`."""
    (own,) = np.nonzero((result.end_branch == b) & result.folds)
    heights = result.end_r[own].mean(axis=1) if end is None else np.full(own.size, end)
    x, y = np.concatenate([result.values, result.ends[own]]), np.concatenate([y, heights])
    known = np.isfinite(y)
    order = np.argsort(x[known], kind="stable")
    return x[known][order], y[known][order]


def _title(result: RestingStates) -> str:
    count = result.count
    searched = "all that a search could find" if result.complete.all() else "searched, more may be there"
    return f"{count.min()} to {count.max()} states of rest at one value ({searched})"
