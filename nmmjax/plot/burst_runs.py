"""Picture of bursts with their prediction."""

from typing import Any

import numpy as np

from ..solvers.trajectory import Trajectory, rates_of
from .common import BLUE, GREEN, GREY, ORANGE, clock_label, finish, pyplot, shade_stimulus

_PREDICTIONS = {
    "undamped": ("undamped level set", "s", GREY),
    "from_cycle": ("from the parameters alone", "^", GREEN),
    "from_first": ("from the first peak", "x", ORANGE),
    "from_trough": ("from each trough", "o", BLUE),
}


def bursts(run: Trajectory, predicted: Any = None, axes: Any = None) -> Any:
    """Bursts of a run over time with its slow variables, predicted peaks and their errors.

    - `run`: a single `Trajectory` of a population
    - `predicted`: of `predict_burst`; None by default
    - `axes`: matplotlib axes to draw on, as many as are returned; new ones by default

    Returns the axes: rate, slow variables, and, with a prediction, errors per spike of complete bursts.
    """
    run.require_single("draw it")
    rates = rates_of(run)
    rows = 2 if predicted is None else 3
    if axes is None:
        axes = pyplot().subplots(rows, 1, figsize=(9.0, 2.5 * rows), layout="constrained")[1]
        axes[0].sharex(axes[1])
    ts = np.asarray(run.ts)
    axes[0].plot(ts, rates, color=BLUE, linewidth=0.9, label="simulated")
    axes[0].set_ylabel("firing rate r\n(1/time)")
    slow = [name for name in run.ys.names if name not in ("r", "v", "B")]
    for name, color in zip(slow, (GREY, ORANGE, GREEN), strict=False):
        axes[1].plot(ts, getattr(run.ys, name), color=color, label=f"{run.model.variables[name].doc} {name}")
    axes[1].set(ylabel="slow variables\n(dimensionless)", xlabel=clock_label(run))
    if slow:
        axes[1].legend(frameon=False, ncols=len(slow), fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    if predicted is not None:
        _predicted_bursts(predicted, axes)
    shade_stimulus(run, axes[:2])
    return finish(axes)


def _predicted_bursts(predicted: Any, axes: Any) -> None:
    times = np.asarray(predicted["spike_time"])
    axes[0].plot(times.ravel(), np.asarray(predicted["peak_from_first"]).ravel(), "x", color=ORANGE, markersize=5,
                 label="predicted from the first peak")  # fmt: skip
    axes[0].legend(frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    whole = np.asarray(predicted["complete"])
    number = np.arange(1, times.shape[1] + 1)
    for kind, (label, marker, color) in _PREDICTIONS.items():
        errors = 100 * np.abs(np.asarray(predicted[f"error_{kind}"])[whole])
        shown = np.isfinite(errors).any(axis=0) & ((kind != "from_first") | (number > 1))  # the first one is given
        errors, at = errors[:, shown], number[shown]
        if not shown.any():
            continue
        axes[2].fill_between(at, np.nanmin(errors, axis=0), np.nanmax(errors, axis=0), color=color, alpha=0.15, linewidth=0)
        style = {"color": color, "mfc": "none", "markersize": 5, "label": label}
        axes[2].semilogy(at, np.nanmedian(errors, axis=0), f"{marker}-", **style)
    axes[2].set(xlabel="spike number in the burst", ylabel="error of the peak (%)")
    axes[2].xaxis.get_major_locator().set_params(integer=True)
    axes[2].legend(frameon=True, framealpha=0.8, edgecolor="none", fontsize=7.5, loc="upper right")
    low, high = axes[2].get_ylim()
    axes[2].set_ylim(low, high * (high / low) ** 0.5)  # room for the legend
