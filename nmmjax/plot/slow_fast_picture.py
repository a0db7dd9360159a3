"""Picture of the fast equations as a slow variable moves."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._checks import require
from ..bursting.slow_fast_picture import SlowFast
from ..equilibria.brackets import cusp_rate
from ..solvers.trajectory import Trajectory
from .common import GREEN, ORANGE, pyplot


def slow_fast(picture: SlowFast, run: Trajectory | None = None, burst_slice: Any = None, axes: Any = None) -> Any:
    """Equilibria of the fast equations over the slow variable, on the frozen landscape, with a burst.

    Stable branches are solid, unstable ones dashed; dots are the folds, a full or empty diamond the stable or unstable
    equilibrium of the full system, at which the slow variable's nullcline (thin) crosses the branches. Shading is the
    potential against that at the cusp rate, which lies between the wells: a burst runs in a dark valley and leaves it at
    its end.

    - `picture`: of `slow_fast`
    - `run`: a single `Trajectory` of the same population; None by default
    - `burst_slice`: the part of `run` that is drawn: a `slice` of its times or a pair (from, to) of times; by default
      the last full burst cycle, or all of it
    - `axes`: matplotlib axes to draw on; new ones by default

    Returns the axes. Raises `ValueError` for a batch of pictures or runs and for a run without the picture's slow
    variable.
    """
    require("picture", type(picture).__name__, "be the result of `slow_fast`", isinstance(picture, SlowFast))
    require("picture", f"one of shape {picture.r.shape}", "be a single one to draw it", picture.r.ndim == 1)
    path = None if run is None else _slow_path(picture, run, burst_slice)
    axes = pyplot().subplots(figsize=(7.2, 5.0), layout="constrained")[1] if axes is None else axes
    limits = np.array([picture.grid_slow[0], picture.grid_slow[-1], picture.r[0] / 1.2, 1.2 * picture.r[-1]])
    if path is not None:
        room = 0.06 * np.ptp(path[0])
        limits[0], limits[1] = min(limits[0], path[0].min() - room), max(limits[1], path[0].max() + room)
        limits[2], limits[3] = min(limits[2], path[1].min() / 1.2), max(limits[3], 1.2 * path[1].max())
    _shade_landscape(picture, limits, axes)
    rates = np.geomspace(limits[2], limits[3], 801)
    x = jnp.log(picture.model.tau * jnp.asarray(rates, picture.r.dtype))
    trace, determinant = picture.fast.trace_and_determinant(x)
    slow, unstable = np.asarray(picture.fast.slow(x)), np.asarray((trace > 0) | (determinant < 0))
    beside = unstable | np.append(unstable[1:], False) | np.append(False, unstable[:-1])
    axes.plot(picture.fast.steady(x), rates, color=GREEN, linewidth=1, label=f"nullcline of {_symbol(picture)}")
    if unstable.any():
        axes.plot(np.where(beside, slow, np.nan), rates, "--", color="black", linewidth=1.4, label="unstable branch")
    axes.plot(np.where(unstable, np.nan, slow), rates, color="black", linewidth=2, label="stable branch")
    if path is not None:
        axes.plot(*path, color=ORANGE, linewidth=1.4, label="simulation")
        _arrows(axes, *path)
    for name, style in (("fold", "o"), ("hopf", "s")):
        x, y = np.asarray(getattr(picture, f"{name}_slow")), np.asarray(getattr(picture, f"{name}_r"))
        seen = (x >= limits[0]) & (x <= limits[1]) & (y >= limits[2]) & (y <= limits[3])
        if seen.any():
            label = "folds" if name == "fold" else "Hopf points"
            axes.plot(x[seen], y[seen], style, color="black", markersize=6, label=label)
    _mark_equilibria(picture, axes)
    axes.set_yscale("log")
    axes.set_xlim(limits[:2])
    axes.set_ylim(limits[2:])
    series = np.ravel(np.array([1, 2, 5]) * 10.0 ** np.arange(-7, 8)[:, None])
    ticks = series[(series >= limits[2]) & (series <= limits[3])]
    axes.set_yticks(ticks, [f"{each:g}" for each in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xlabel(f"{picture.meaning} (dimensionless)")
    axes.set_ylabel("firing rate r (1/time)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False, fontsize=8)
    return axes


def _symbol(picture: SlowFast) -> str:
    return "A" if picture.variable == "A" else "x u"


def _slow_path(picture: SlowFast, run: Trajectory, part: Any) -> tuple[np.ndarray, np.ndarray]:
    """Slow variable and rate along the part of the run that is drawn."""
    run.require_single("draw it")
    names = ["A"] if picture.variable == "A" else ["x", "u"]
    require("run", sorted(run.ys.names), f"have the slow variables {names}", set(names) <= set(run.ys.names))
    r, ts = np.asarray(run.ys.r), np.asarray(run.ts)
    slow = np.prod([np.asarray(getattr(run.ys, name)) for name in names], axis=0)
    if part is None:
        level = float(cusp_rate(picture.model))
        up = np.flatnonzero((r[:-1] < level) & (r[1:] >= level))
        part = slice(up[-2], up[-1] + 2) if up.size >= 2 else slice(None)
    elif not isinstance(part, slice):
        is_pair = isinstance(part, (tuple, list, np.ndarray)) and len(part) == 2
        require("burst_slice", part, "be None, a slice or a pair (from, to) of times", is_pair)
        part = (ts >= float(part[0])) & (ts <= float(part[1]))
    slow, r = slow[part], r[part]
    finite = np.isfinite(slow) & np.isfinite(r)
    require("burst_slice", part, "leave two states or more to draw", finite.sum() >= 2)
    return slow[finite], r[finite]


def _shade_landscape(picture: SlowFast, limits: np.ndarray, axes: Any) -> None:
    """The potential against that at the cusp rate, which lies between the wells, on a scale that shows the barriers."""
    slow, rate = np.linspace(limits[0], limits[1], 241), np.geomspace(limits[2], limits[3], 241)
    level = float(cusp_rate(picture.model)) or float(np.sqrt(rate[0] * rate[-1]))
    grid = np.meshgrid(np.append(rate, level), slow, indexing="ij")
    V = np.asarray(picture.potential(*(jnp.asarray(each, picture.r.dtype) for each in grid)))
    height = V[:-1] - V[-1]
    top = max(float(-height.min()), 1e-6)
    scale = lambda each: np.arcsinh(6 * each / top)
    limit = float(scale(top))
    shade = np.minimum(scale(height), limit)
    options = {"cmap": "Blues_r", "vmin": -1.6 * limit, "vmax": 0.9 * limit, "rasterized": True, "zorder": -5}
    mesh = axes.pcolormesh(slow, rate, shade, **options)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02, aspect=30, boundaries=np.linspace(-limit, limit, 201))
    ticks = top * np.array([-1, -0.4, -0.1, 0, 0.1, 0.4, 1])
    bar.set_ticks(scale(ticks), labels=[f"{each:.2g}".replace("-", "−") for each in ticks[:-1]] + [f"≥ {top:.2g}"])
    bar.set_label("potential V − V(cusp rate) (dimensionless)", labelpad=8)


def _arrows(axes: Any, slow: np.ndarray, rate: np.ndarray) -> None:
    """Arrowheads along a path, at equal lengths of it as drawn."""
    x, y = slow / np.ptp(slow), np.log(rate) / np.ptp(np.log(rate))
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    for share in (0.08, 0.5, 0.75, 0.92):
        k = min(int(np.searchsorted(length, share * length[-1])), slow.size - 2)
        style = {"arrowstyle": "-|>", "color": ORANGE, "lw": 0, "mutation_scale": 14}
        axes.annotate("", (slow[k + 1], rate[k + 1]), (slow[k], rate[k]), arrowprops=style)


def _mark_equilibria(picture: SlowFast, axes: Any) -> None:
    found = picture.equilibria
    rate, stable = np.asarray(found.state.r), np.asarray(found.stable)
    slow = np.asarray(found.state.A if picture.variable == "A" else found.state.x * found.state.u)
    for which, fill, name in ((stable, GREEN, "stable"), (~stable & np.isfinite(rate), "white", "unstable")):
        if which.any():
            options = {"color": GREEN, "mfc": fill, "markersize": 9, "markeredgewidth": 1.6}
            axes.plot(slow[which], rate[which], "D", label=f"{name} equilibrium of the full system", **options)
