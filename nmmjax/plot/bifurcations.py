"""Bifurcation diagrams: branches of fixed points and cycles, and curves of folds and Hopf points."""

from typing import Any

import jax
import numpy as np

from .._checks import require
from ..branches.branch import LABELS, Branch, SpecialPoints
from ..branches.curves import BifurcationCurve
from ..branches.cycles import CycleBranch
from ..models.state import State
from ..plot.common import Axes
from .common import BLUE, GREEN, ORANGE, finish, parameter_label, pyplot

_MARKERS = {"LP": "o", "HB": "s", "BP": "D", "CP": "^", "BT": "v", "GH": "P", "LPC": "o", "PD": "*", "NS": "X"}


def bifurcation(branch: Branch, *cycles: CycleBranch, variable: str | None = None, axes: Any = None) -> Any:
    """One state variable of fixed points over the parameter: stable solid, unstable dashed, special points labelled.

    - `branch`: of `continue_branch`
    - `*cycles`: limit cycles (`continue_cycle`), drawn by their largest and smallest value
    - `variable`: its name, by default the firing rate `r`; for a user's vector field "y0", "y1", …; of networks all
      nodes are drawn
    - `axes`: matplotlib axes to draw on; new ones by default

    Markers of subcritical Hopf points are empty. Returns the axes. Raises `ValueError` for batches and unknown
    variables.
    """
    require("branch", type(branch).__name__, "be the result of `continue_branch`", isinstance(branch, Branch))
    require("branch", f"one of shape {branch.parameter.shape}", "be a single one to draw it", branch.parameter.ndim == 2)
    axes = pyplot().subplots(figsize=(7.2, 4.6), layout="constrained")[1] if axes is None else axes
    name, label = variable_of(branch.system.model, branch.state, variable)
    parameter = np.asarray(branch.parameter)
    for b in np.flatnonzero(np.asarray(branch.count)):
        rows = state_rows(branch.state, name, 2)[b]
        _draw(
            axes, parameter[b], rows, np.asarray(branch.unstable)[b], BLUE, ("stable fixed points", "unstable fixed points")
        )
    for each in cycles:
        require("cycles", type(each).__name__, "be results of `continue_cycle`", isinstance(each, CycleBranch))
        for extreme in (each.maximum, each.minimum):
            rows = state_rows(extreme, name)
            names = "stable cycles, max. and min.", "unstable cycles"
            _draw(axes, np.asarray(each.parameter), rows, np.asarray(each.unstable), ORANGE, names)
        _mark_cycles(axes, each, name)
    _mark(axes, branch.special, lambda points: state_rows(points.state, name))
    axes.set_xlabel(parameter_label(branch.system.model, branch.system.names[0]))
    axes.set_ylabel(label)
    return _legend(finish(axes))


def bifurcation_curves(*curves: BifurcationCurve, axes: Any = None) -> Any:
    """Curves of folds and Hopf points over both parameters, special points labelled.

    - `*curves`: of `continue_fold` and `continue_hopf`, over the same two parameters
    - `axes`: matplotlib axes to draw on; new ones by default

    Curves of subcritical Hopf points are dashed. Returns the axes. Raises `ValueError` for batches, and for curves over
    different parameters.
    """
    require("curves", len(curves), "be at least one curve", len(curves) > 0)
    for curve in curves:
        rule = "be results of `continue_fold` or `continue_hopf`"
        require("curves", type(curve).__name__, rule, isinstance(curve, BifurcationCurve))
        same = curve.system.names == curves[0].system.names
        require("curves", curve.system.names, f"have the parameters {curves[0].system.names}", same)
        single = curve.parameters.ndim == 2
        require("curves", f"one of shape {curve.parameters.shape}", "be single ones to draw them", single)
    axes = pyplot().subplots(figsize=(6.4, 4.6), layout="constrained")[1] if axes is None else axes
    for curve in curves:
        x, y = np.asarray(curve.parameters).T
        unstable = np.asarray(curve.lyapunov) > 0
        exists = np.where(np.isfinite(x), unstable.astype(int), -1)
        hopf = GREEN, ("Hopf points, supercritical", "Hopf points, subcritical")
        _draw(axes, x, y[:, None], exists, *((BLUE, ("folds", "")) if curve.kind == "LP" else hopf))
    for curve in curves:
        _mark(axes, curve.special, lambda points: np.asarray(points.parameters)[:, 1:])
    first, second = curves[0].system.names
    axes.set_xlabel(parameter_label(curves[0].system.model, first))
    axes.set_ylabel(parameter_label(curves[0].system.model, second))
    return _legend(finish(axes))


def variable_of(model: Any, state: Any, variable: str | None) -> tuple[str, str]:
    """Name and label of the variable to draw."""
    if isinstance(state, State):
        name = next(iter(model.variables)) if variable is None else variable
        require("variable", variable, f"be one of {', '.join(map(repr, state.names))}", name in state.names)
        unit = model.variables[name].unit
        return name, f"{model.variables[name].doc} {name} ({'dimensionless' if unit == '1' else unit})"
    size = jax.tree.leaves(state)[0].shape[-1]
    names, name = [f"y{k}" for k in range(size)], "y0" if variable is None else variable
    require("variable", variable, f"be one of {', '.join(map(repr, names))}", name in names)
    return name, name


def state_rows(state: Any, name: str, points: int = 1) -> np.ndarray:
    """The variable's values with one last axis, of nodes, after `points` axes of points."""
    if isinstance(state, State):
        values = np.asarray(getattr(state, name))
        return values[..., None] if values.ndim == points else values
    return np.asarray(jax.tree.leaves(state)[0])[..., int(name[1:]), None]


def _draw(axes: Any, x: np.ndarray, rows: np.ndarray, unstable: np.ndarray, color: str, labels: tuple[str, str]) -> None:
    """Runs of equal stability, each up to the first point of the next."""
    known = set(axes.get_legend_handles_labels()[1])
    exists = unstable >= 0
    starts = np.flatnonzero(np.diff(unstable > 0, prepend=unstable[0] <= 0) & exists)
    for a, b in zip(starts, [*starts[1:], int(exists.sum()) - 1], strict=True):
        style, width = ("--", 1.3) if unstable[a] > 0 else ("-", 2.0)
        text = labels[int(unstable[a] > 0)]
        part = slice(a, b + 1)
        for node in range(rows.shape[1]):
            line = np.stack([x[part], rows[part, node]])
            line = line[:, ::-1] if line[1, 0] > line[1, -1] else line  # dashes of equal curves then coincide
            axes.plot(*line, style, color=color, linewidth=width, label="" if text in known else text)
            known.add(text)


def _mark(axes: Any, special: SpecialPoints, heights: Any) -> None:
    """Special points with their labels."""
    exists = np.asarray(special.kind) > 0
    y = heights(special)
    for k in np.flatnonzero(exists):
        label, x = LABELS[int(special.kind[k])], float(special.parameter[k])
        face = "white" if label == "HB" and float(special.lyapunov[k]) > 0 else "black"
        for value in np.unique(np.round(y[k], 12)):
            axes.plot(x, value, _MARKERS[label], color="black", mfc=face, markersize=5.5, zorder=5)
            style = {"textcoords": "offset points", "xytext": (6, 5), "fontsize": 8, "zorder": 6}
            axes.annotate(label, (x, value), **style)


def _mark_cycles(axes: Any, cycles: CycleBranch, name: str) -> None:
    """Special cycles, at their largest value."""
    special = cycles.special
    assert special.cycle is not None
    for k in np.flatnonzero(np.asarray(special.kind) > 0):
        x, label = float(special.parameter[k]), LABELS[int(special.kind[k])]
        value = float(np.max(state_rows(special.cycle.state, name, 2)[k]))
        axes.plot(x, value, _MARKERS[label], color=ORANGE, markersize=5.5, zorder=5)
        axes.annotate(label, (x, value), textcoords="offset points", xytext=(6, 5), fontsize=8)


def _legend(axes: Axes) -> Any:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)
    return axes
