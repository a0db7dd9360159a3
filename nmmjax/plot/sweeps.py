"""Pictures of sweeps."""

from typing import Any

import numpy as np

from .._checks import require
from ..plot.common import Axes
from .common import BLUE, GREY, finish, is_geometric, label_of, pyplot


def sweep(dataset: Any, variable: str | None = None, axes: Axes | None = None) -> Any:
    """One variable of a sweep: an image over two parameters, a line over one, dots for samples.

    - `dataset`: of `sweep`
    - `variable`: its name; by default the first observable
    - `axes`: matplotlib axes to draw on; new ones by default

    Lanes that were not successful are grey and hatched (crosses on a line or among samples), successful ones without a
    value white; an axis whose values grow by a factor is logarithmic. Returns the axes. Raises `ValueError` for unknown
    variables and for more dimensions than a picture has.
    """
    is_sweep = "status" in getattr(dataset, "data_vars", ())
    require("dataset", type(dataset).__name__, "be the result of a sweep, with its `status`", is_sweep)
    dims = dataset["status"].dims
    names = [name for name, each in dataset.data_vars.items() if each.dims == dims and each.dtype.kind == "f"]
    first = next((name for name in names if name not in ("failure_time", "error")), "status")
    variable = str(first) if variable is None else variable
    known = ", ".join(map(str, dataset.data_vars))
    require("variable", variable, f"be one of the variables {known}", variable in dataset.data_vars)
    rule = f"have no dimensions beyond the sweep's {dims} (choose by `isel`)"
    require("variable", dataset[variable].dims, rule, dataset[variable].dims == dims)
    few = 1 <= len(dims) <= 2
    require("dataset", dims, "be a sweep over one or two dimensions (choose by `isel`)", few)
    axes = pyplot().subplots(figsize=(6, 4.6), layout="constrained")[1] if axes is None else axes
    dataset = dataset.sortby([dim for dim in dims if dim in dataset.coords])
    status = np.asarray(dataset["status"])
    swept = [name for name, each in dataset.coords.items() if each.dims == (dims[0],) and each.ndim]
    if len(dims) == 2:
        _image(dataset, variable, status, axes)
    elif len(swept) > 1:
        _dots(dataset, variable, swept[:2], status, axes)
    else:
        _line(dataset, variable, swept[0] if swept else dims[0], status, axes)
    return axes


def _image(dataset: Any, variable: str, status: np.ndarray, axes: Any) -> None:
    x, y = (dataset[dim] for dim in dataset["status"].dims)
    failed = (status != 0) & (variable != "status")
    values = np.asarray(dataset[variable])
    empty = ~failed & ~np.isfinite(values)
    options = {"shading": "nearest", "rasterized": True}
    mesh = axes.pcolormesh(x, y, np.ma.masked_where(failed | empty, values).T, cmap="viridis", **options)
    if empty.any():  # successful lanes without a value, such as the period of what doesn't oscillate
        axes.pcolormesh(x, y, np.ma.masked_where(~empty, np.zeros(empty.shape)).T, cmap="Greys", vmin=0, vmax=1, **options)
    if failed.any():  # the ground shows through
        axes.patch.set(facecolor="0.85", edgecolor=GREY, hatch="////")
        axes.set_title("hatched: not successful, see `status`", fontsize=9, color=GREY, loc="right")
    for scale, values in ((axes.set_xscale, x), (axes.set_yscale, y)):
        scale("log" if is_geometric(np.asarray(values)) else "linear")
    axes.figure.colorbar(mesh, ax=axes, label=label_of(dataset[variable]))
    axes.set_xlabel(label_of(x))
    axes.set_ylabel(label_of(y))


def _line(dataset: Any, variable: str, name: str, status: np.ndarray, axes: Any) -> None:
    axes.plot(dataset[name], dataset[variable], ".-", color=BLUE)
    failed = np.asarray(dataset[name])[status != 0]
    if failed.size:
        axes.plot(failed, np.zeros(failed.shape), "x", color=GREY, transform=axes.get_xaxis_transform(), clip_on=False)
        axes.set_title("crosses: not successful, see `status`", fontsize=9, color=GREY, loc="right")
    axes.set_xscale("log" if is_geometric(np.asarray(dataset[name])) else "linear")
    axes.set_xlabel(label_of(dataset[name]))
    axes.set_ylabel(label_of(dataset[variable]))
    finish(axes)


def _dots(dataset: Any, variable: str, names: list[str], status: np.ndarray, axes: Any) -> None:
    x, y = (np.asarray(dataset[name]) for name in names)
    good = (status == 0) | (variable == "status")
    dots = axes.scatter(x[good], y[good], c=np.asarray(dataset[variable])[good], s=12, cmap="viridis")
    if not good.all():
        axes.plot(x[~good], y[~good], "x", color=GREY, markersize=4)
        axes.set_title("crosses: not successful, see `status`", fontsize=9, color=GREY, loc="right")
    axes.figure.colorbar(dots, ax=axes, label=label_of(dataset[variable]))
    axes.set_xlabel(label_of(dataset[names[0]]))
    axes.set_ylabel(label_of(dataset[names[1]]))
