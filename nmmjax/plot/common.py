"""Shared parts of the pictures: colours, axes, labels, and the shade of a stimulus."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .._parameter import parameter_table
from ..mechanics.scaling import RescaledTime
from ..models.base import AbstractModel
from ..solvers.trajectory import Trajectory

if TYPE_CHECKING:  # matplotlib is an extra
    from matplotlib.axes import Axes
else:
    Axes = Any

BLUE, ORANGE, GREY, GREEN = "#1f5fa8", "#d1651a", "#8a8a8a", "#1d5433"  # told apart without red or green, too


def pyplot() -> Any:
    """matplotlib.pyplot, or how to install it."""
    from .._optional import optional

    return optional("matplotlib.pyplot", "plot")


def finish(axes: Any) -> Any:
    """Open frames and a faint grid."""
    for each in np.ravel(axes):
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25, linewidth=0.6)
    return axes


def population_of(run: Trajectory) -> Any:
    """The model of a single run, without its clock."""
    run.require_single("draw it")
    return run.model.model if isinstance(run.model, RescaledTime) else run.model


def clock_label(run: Trajectory) -> str:
    """The label of the time axis."""
    return "rescaled time s = ∫r² dt (1/time)" if run.model.own_clock else "time t (unit of τ)"


def new_axes(axes: Axes | None, rows: int, size: tuple[float, float], sharex: bool = True) -> Any:
    """The given axes, or new ones, one below the other."""
    if axes is not None:
        return axes
    _, axes = pyplot().subplots(rows, 1, figsize=size, sharex=sharex, layout="constrained")
    return axes


def label_of(array: Any) -> str:
    """Meaning, symbol and unit, as far as they are known."""
    symbol, unit = array.attrs.get("symbol"), array.attrs.get("units")
    words = [str(array.attrs.get("long_name", array.name)).split(";")[0], *([str(symbol)] if symbol else [])]
    return " ".join(words) + (f" ({'dimensionless' if unit == '1' else unit})" if unit else "")


def is_geometric(values: np.ndarray) -> bool:
    """Whether values increase by the same factor, and not by the same step."""
    if values.size < 3 or np.any(values <= 0):
        return False
    steps, factors = np.diff(values), np.diff(np.log(values))
    return bool(np.ptp(factors) < 1e-3 * np.abs(factors).max() and np.ptp(steps) > 1e-3 * np.abs(steps).max())


def variable_label(model: AbstractModel, name: str) -> str:
    """Meaning, symbol and unit of a variable, as an axis says them."""
    declared = model.variables[name]
    return f"{declared.doc} {declared.symbol or name}\n({unit_in_words(declared.unit)})"


def parameter_label(model: Any, name: str) -> str:
    """Meaning, symbol and unit of a parameter, where it is declared."""
    own, _, node = name.partition("[")
    if not isinstance(model, AbstractModel) or own not in parameter_table(model):
        return name
    declaration = parameter_table(model)[own][0]
    unit = "dimensionless" if declaration.unit == "1" else declaration.unit
    where = f" of node {node.removesuffix(']')}" if node else ""
    return f"{declaration.doc.split(';')[0]} {declaration.symbol}{where} ({unit})"


def unit_in_words(unit: str) -> str:
    """A unit as an axis says it."""
    return "dimensionless" if unit == "1" else unit


def shade_stimulus(run: Trajectory, axes: Any) -> None:
    """Grey bands over the times at which the stimulus is on, darker for stronger input.

    - `run`: a single `Trajectory`
    - `axes`: matplotlib axes over time, one or several
    """
    current = np.asarray(run.input)
    if current.ndim > 1:  # a network: where any node's input is on
        current = np.abs(current).max(axis=1)
    peak = np.max(np.abs(current)) if current.size else 0.0
    if peak == 0:
        return
    ts = np.asarray(run.ts)
    edges = np.concatenate([[ts[0]], (ts[1:] + ts[:-1]) / 2, [ts[-1]]])
    for each in np.ravel(axes):
        low, high = each.get_ylim()
        image = np.abs(current)[None, :] / peak
        each.pcolormesh(edges, [low, high], image, cmap="Greys", vmin=0, vmax=4, zorder=-5, rasterized=True)
        each.set_ylim(low, high)


def node_label(labels: Any, node: int) -> str:
    """Label of a node in a legend: its name, or its number."""
    name = None if labels is None else labels[node]
    return str(name) if isinstance(name, str) else f"node {node}"


def plain_numbers(axis: Any, close: bool = True) -> None:
    """Ticks of a logarithmic axis that are read as numbers; at 1, 2, 5 with `close`, else at powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if close else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
