"""Pictures of transitions: strength–duration curves, basins of attraction, switching stimuli with their runs."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._checks import require
from ..models.stimulus import AbstractStimulus
from ..solvers.simulation import simulate
from ..transitions.basins import Basins
from ..transitions.durations import StrengthDuration
from ..transitions.optimal import OptimalStimulus
from ..transitions.pulses import SwitchingPulse
from .common import BLUE, GREEN, GREY, ORANGE, finish, new_axes, node_label, plain_numbers, pyplot, variable_label

_COLOURS = ("#c9daf0", "#f0b48a", "#fdf3b4", "#7f9cc4", "#c4694f", "#a3d9be", "#5f4a7a", "#a0a0a0")
_MEANINGS = {"r": "firing rate r", "v": "mean voltage v"}


def strength_duration(found: StrengthDuration, axes: Any = None) -> Any:
    """Threshold amplitude against duration, with rheobase and chronaxie; below it charge and energy.

    - `found`: of `strength_duration`
    - `axes`: two matplotlib axes; new ones by default

    Returns both axes.
    """
    axes = new_axes(axes, 2, (6.4, 5.6))
    order = np.argsort(np.asarray(found.durations))
    T, amplitude = np.asarray(found.durations)[order], np.abs(np.asarray(found.amplitudes))[order]
    charge, energy = np.abs(np.asarray(found.charges))[order], np.asarray(found.energies)[order]
    axes[0].loglog(T, amplitude, "o-", color=BLUE, markersize=4, label="threshold")
    rheobase, chronaxie = abs(float(found.rheobase)), float(found.chronaxie)
    if np.isfinite(rheobase):
        axes[0].axhline(rheobase, color=GREY, linestyle="--", linewidth=1, label=f"rheobase {rheobase:.4g}")
    if np.isfinite(chronaxie):
        axes[0].plot(chronaxie, 2 * rheobase, "D", color=ORANGE, label=f"chronaxie {chronaxie:.4g}")
    where = "" if found.node is None else f" at node {found.node}"
    axes[0].set_ylabel(f"|amplitude|{where}\n(dimensionless)")
    axes[0].legend(frameon=False, fontsize=8)
    axes[1].loglog(T, charge, "o-", color=GREEN, markersize=4, label="charge |amplitude| × duration")
    axes[1].loglog(T, energy, "s-", color=ORANGE, markersize=4, label="energy ∫I² dt")
    axes[1].set_ylabel("charge, energy\n(unit of τ)")
    for axis in (axes[0].yaxis, axes[1].yaxis, axes[1].xaxis):
        plain_numbers(axis)
    axes[1].set_xlabel("duration of the pulse (unit of τ)")
    axes[1].legend(frameon=False, fontsize=8)
    return finish(axes)


def basins(found: Basins, axes: Any = None) -> Any:
    """The basin of every initial state by colour, with the stable states in the plane and the separatrix.

    - `found`: of `basin_map`
    - `axes`: matplotlib axes to draw on; new ones by default

    Undecided and failed runs are white. Returns the axes.
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    axes = pyplot().subplots(figsize=(6.4, 4.8), layout="constrained")[1] if axes is None else axes
    x, y = (np.asarray(each) for each in found.coordinates)
    names, labels = found.names, found.labels.T
    colours = [_COLOURS[k % len(_COLOURS)] for k in range(max(len(names), 1))]
    norm = BoundaryNorm(np.arange(len(colours) + 1) - 0.5, len(colours))
    shown = np.ma.masked_less(labels, 0)
    axes.pcolormesh(x, y, shown, cmap=ListedColormap(colours), norm=norm, shading="nearest", rasterized=True)
    for k in range(len(names)):
        if 0 < np.mean(labels == k) < 1:
            axes.contour(x, y, (labels == k).astype(float), levels=[0.5], colors="#555555", linewidths=0.7)
    for k, state in enumerate(found.attractors):
        at = [float(_component(state, name)) for name in found.axes]
        if x.min() <= at[0] <= x.max() and y.min() <= at[1] <= y.max():
            axes.plot(*at, "o", color="black", markersize=6)
            axes.annotate(f"{k}", at, textcoords="offset points", xytext=(6, 5), fontsize=9)
    shares = found.fractions
    handles = [Patch(color=colours[k], label=f"{name}: {100 * shares[name]:.3g} %") for k, name in enumerate(names)]
    axes.legend(handles=handles, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)
    axes.set_xlabel(_label(found, 0))
    axes.set_ylabel(_label(found, 1))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _component(state: Any, name: Any) -> Any:
    return getattr(state, name) if isinstance(name, str) else getattr(state, name[0])[name[1]]


def _label(found: Basins, k: int) -> str:
    name = found.axes[k]
    variable, node = (name, "") if isinstance(name, str) else (name[0], f" of node {name[1]}")
    declared = found.model.variables[variable]
    unit = "dimensionless" if declared.unit == "1" else declared.unit
    return f"{_MEANINGS.get(variable, declared.doc + ' ' + variable)}{node} at t = 0 ({unit})"


def switch(found: SwitchingPulse | OptimalStimulus, *, after: float | None = None, axes: Any = None) -> Any:
    """A switching stimulus, and the rates (or first variable) of the run that it switches.

    An optimal stimulus is shown with the best rectangular pulse (dashed). A run at threshold lingers at the saddle.

    - `found`: of `minimal_pulse`, `minimal_charge` or `optimal_stimulus`
    - `after`: time that the run lasts beyond the stimulus, in the unit of τ; by default 8 relaxation times or so
    - `axes`: two matplotlib axes; new ones by default

    Returns both axes.
    """
    stimulus = found.stimulus
    rule = "be a transition that was reached"
    require("found", repr(found), rule, isinstance(stimulus, AbstractStimulus))
    optimal = isinstance(found, OptimalStimulus)
    length = float(found.time if optimal else found.duration)
    stop = length + (max(2 * length, 15.0) if after is None else after)
    axes = new_axes(axes, 2, (7.0, 4.8))
    ts = jnp.linspace(0.0, stop, 2001, dtype=found.start.values[0].dtype)
    run = simulate(found.model, found.start, ts, stimulus=stimulus)
    if optimal:
        axes[0].stairs(found.values, found.edges, color=BLUE, linewidth=1.8, label=f"optimal, energy {found.energy:.4g}")
        pulse = found.pulse
        begin = length - float(pulse.duration)
        edges = [begin, length]
        axes[0].stairs([float(pulse.amplitude)], edges, color=GREY, linestyle="--", label=f"best pulse, {pulse.energy:.4g}")
    else:
        text = f"amplitude {found.amplitude:.6g}, energy {found.energy:.4g}"
        axes[0].stairs([float(found.amplitude)], [0, length], color=BLUE, linewidth=1.8, label=text)
    where = "" if found.node is None else f" at node {found.node}"
    axes[0].set_ylabel(f"input I(t){where}\n(dimensionless)")
    axes[0].legend(frameon=False, fontsize=8, loc="upper right")
    name = next(iter(run.model.variables))
    rates, ends = np.asarray(getattr(run.ys, name)).reshape(ts.size, -1), np.ravel(getattr(found.end, name))
    for k, color in zip(range(rates.shape[1]), 20 * (BLUE, ORANGE, GREEN, GREY), strict=False):
        axes[1].plot(ts, rates[:, k], color=color, label=node_label(run.model.labels, k) if rates.shape[1] > 1 else name)
        axes[1].axhline(float(ends[k]), color=color, linestyle=":", linewidth=0.9, label="end state" if k == 0 else None)
    axes[1].set_ylabel(variable_label(run.model, name))
    axes[1].set_xlabel("time t (unit of τ)")
    if rates.shape[1] <= 8:
        axes[1].legend(frameon=False, fontsize=8, loc="center right")
    return finish(axes)
