"""Pictures of Lyapunov exponents."""

from typing import Any

import numpy as np

from .._checks import require
from ..sweeps.lyapunov import LyapunovExponents
from .common import BLUE, GREEN, GREY, ORANGE, finish, is_geometric, label_of, new_axes, pyplot

_COLOURS = (BLUE, ORANGE, GREEN, GREY)


def lyapunov(result: LyapunovExponents, axes: Any = None) -> Any:
    """Lyapunov exponents: their convergence over the time of one run, or their course over swept parameters.

    - `result`: of `lyapunov_exponents`
    - `axes`: matplotlib axes to draw on, for one run one per exponent; new ones by default

    One run: below each other, for every exponent the blocks of time, their mean so far with its standard error, and the
    exponent as a line. One parameter: every exponent with its spread. Two: the largest one as an image, white where it is
    zero. Returns the axes. Raises `ValueError` for more dimensions.
    """
    dims = result.exponents.ndim - 1
    require("result", f"{dims} swept dimensions", "have at most two swept dimensions", dims <= 2)
    if not dims:
        count = result.exponents.size
        axes = new_axes(axes, count, (6.4, 1.2 + 1.3 * count))
        return _over_time(result, np.atleast_1d(axes))
    axes = pyplot().subplots(figsize=(6.4, 4.2), layout="constrained")[1] if axes is None else axes
    (_over_one if dims == 1 else _over_two)(result, axes)
    return axes


def _over_time(result: LyapunovExponents, axes: Any) -> Any:
    ends, blocks = np.asarray(result.ends), np.asarray(result.blocks, float)
    number = np.arange(1, ends.size + 1)[:, None]
    mean = np.cumsum(blocks, axis=0) / number
    square = np.cumsum((blocks - mean[-1]) ** 2, axis=0) / number - (mean - mean[-1]) ** 2
    error = np.sqrt(np.maximum(square, 0) / np.maximum(number - 1, 1))
    error[0] = np.nan
    for k, (each, value, spread) in enumerate(zip(axes, result.exponents, result.spread, strict=True)):
        colour = _COLOURS[k % len(_COLOURS)]
        each.axhline(float(value), color=colour, linewidth=0.9, linestyle="--", label=f"{value:.5g} ± {spread:.1g}")
        each.plot(ends, blocks[:, k], "o", color=GREY, markersize=3, label="blocks of time" if k == 0 else None)
        each.errorbar(ends, mean[:, k], error[:, k], fmt=".-", color=colour, capsize=2)
        each.set_ylabel(f"λ{k + 1} (1/time)")
        each.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes[-1].set_xlabel("end of the block, or of the mean so far (unit of τ)")
    return finish(axes)


def _over_one(result: LyapunovExponents, axes: Any) -> None:
    data = result.to_xarray()
    x = next(iter(result.over))
    data = data.sortby(x)
    values, spread = np.asarray(data.exponents), np.asarray(data.spread)
    axes.axhline(0.0, color="black", linewidth=0.8)
    for k in reversed(range(values.shape[1])):
        colour = _COLOURS[k % len(_COLOURS)]
        low, high = values[:, k] - spread[:, k], values[:, k] + spread[:, k]
        axes.fill_between(data[x], low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(data[x], values[:, k], ".-", color=colour, markersize=3, linewidth=1, label=f"λ{k + 1}")
    axes.set_xscale("log" if is_geometric(np.asarray(data[x])) else "linear")
    axes.set_xlabel(label_of(data[x]))
    axes.set_ylabel("Lyapunov exponents λ (1/time)")
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1], frameon=False, fontsize=8)
    finish(axes)


def _over_two(result: LyapunovExponents, axes: Any) -> None:
    data = result.to_xarray()
    dims = data["sum_exact"].dims
    data = data.sortby(list(dims))
    x, y = (data[dim] for dim in dims)
    largest = np.asarray(data.exponents)[..., 0]
    most = float(np.nanmax(np.abs(largest))) or 1.0
    options = {"cmap": "RdBu_r", "vmin": -most, "vmax": most, "shading": "nearest", "rasterized": True}
    mesh = axes.pcolormesh(x, y, largest.T, **options)
    axes.figure.colorbar(mesh, ax=axes, label="largest Lyapunov exponent λ1 (1/time)")
    for scale, values in ((axes.set_xscale, x), (axes.set_yscale, y)):
        scale("log" if is_geometric(np.asarray(values)) else "linear")
    axes.set_xlabel(label_of(x))
    axes.set_ylabel(label_of(y))
