"""Layer 6: pictures (extra `plot`). Each function draws on given or new axes and returns them; nothing is shown or saved."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ._parameter import require
from ._types import Real
from .mechanics.energy import total_energy
from .mechanics.scaling import RescaledTime
from .models.base import State
from .models.mpr import MPR
from .orbits import Orbit
from .solvers.trajectory import Trajectory

_BLUE, _ORANGE, _GREY, _GREEN = "#1f5fa8", "#d1651a", "#8a8a8a", "#2f8f4e"


def _pyplot() -> Any:
    from .io import optional

    return optional("matplotlib.pyplot", "plot")


def _finish(axes: Any) -> Any:
    for each in np.ravel(axes):
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25, linewidth=0.6)
    return axes


def _population(run: Trajectory) -> Any:
    run.require_single("draw it")
    return run.model.model if isinstance(run.model, RescaledTime) else run.model


def _states(run: Trajectory) -> State:
    return run.ys if isinstance(run.ys, State) else State(r=run.ys.r, v=run.ys.v)


def _clock(run: Trajectory) -> str:
    return "rescaled time s = ∫r² dt (1/time)" if run.model.own_clock else "time t (unit of τ)"


def _axes(axes: Any, rows: int, size: tuple[float, float], sharex: bool = True) -> Any:
    if axes is not None:
        return axes
    _, axes = _pyplot().subplots(rows, 1, figsize=size, sharex=sharex, layout="constrained")
    return axes


def shade_stimulus(run: Trajectory, axes: Any) -> None:
    """Grey bands where the stimulus is on, darker where it is stronger."""
    current = np.asarray(run.input)
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


def trajectory(run: Trajectory, axes: Any = None) -> Any:
    """Firing rate, mean voltage, energy and, if any, slow variables over time, the stimulus shaded; returns the axes.

    The energy is that of the instantaneous landscape, input included, so it steps where the input does.
    """
    slow = [name for name in run.ys.units if name not in ("r", "v", "t")]
    rows = 4 if slow else 3
    axes = _axes(axes, rows, (8.0, 2.2 * rows))
    ts = np.asarray(run.ts)
    current = run.input
    population = _population(run)
    energy = total_energy(population, _states(run), current) if isinstance(population, MPR) else None
    axes[0].plot(ts, run.ys.r, color=_BLUE)
    axes[0].set_ylabel("firing rate r\n(1/time)")
    axes[1].plot(ts, run.ys.v, color=_ORANGE)
    axes[1].set_ylabel("mean voltage v\n(dimensionless)")
    if energy is not None:
        axes[2].plot(ts, energy, color=_GREEN)
        axes[2].set_ylabel("energy E\n(dimensionless)")
    for name, color in zip(slow, (_GREY, _BLUE, _ORANGE, _GREEN), strict=False):
        axes[3].plot(ts, getattr(run.ys, name), color=color, label=f"{run.ys.meanings[name]} {name}")
    if slow:
        axes[3].set_ylabel("slow variables\n(dimensionless)")
        axes[3].legend(frameon=False, ncols=len(slow), fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    axes[-1].set_xlabel(_clock(run))
    shade_stimulus(run, axes)
    if run.stimulus is not None:
        axes[0].set_title("shaded: stimulus I(t) on", fontsize=9, color=_GREY, loc="right")
    return _finish(axes)


def energy(run: Trajectory, balance: Any = None, axes: Any = None) -> Any:
    """Kinetic, potential and total energy over time; with an `EnergyBalance`, work, heat and residual below."""
    from .mechanics.energy import kinetic_energy, potential_energy

    rows = 1 if balance is None else 3
    axes = np.atleast_1d(_axes(axes, rows, (8.0, 2.6 * rows)))
    ts = np.asarray(run.ts)
    population, states = _population(run), _states(run)
    kinetic = kinetic_energy(population, states)
    potential = potential_energy(population, states, run.input)
    axes[0].plot(ts, kinetic, color=_ORANGE, label="kinetic ½q̇²", linewidth=1)
    axes[0].plot(ts, potential, color=_BLUE, label="potential V(r)", linewidth=1)
    axes[0].plot(ts, kinetic + potential, color=_GREEN, label="total E")
    axes[0].set_ylabel("energy\n(dimensionless)")
    axes[0].legend(frameon=False, ncols=3, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    if balance is not None:
        axes[1].plot(ts, balance.work, color=_BLUE, label="work by the stimulus")
        axes[1].plot(ts, balance.heat, color=_ORANGE, label="heat")
        axes[1].plot(ts, balance.energy - balance.energy[0], color=_GREEN, label="E − E(0)")
        axes[1].set_ylabel("since t = 0\n(dimensionless)")
        axes[1].legend(frameon=False, ncols=3, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
        residual = np.abs(balance.residual)
        axes[2].semilogy(ts, np.where(residual > 0, residual, np.nan), color=_GREY)
        axes[2].set_ylabel("|residual|\n(dimensionless)")
    axes[-1].set_xlabel(_clock(run))
    shade_stimulus(run, axes[: min(rows, 2)])
    return _finish(axes)


def energy_contours(model: MPR, r: Any, v: Any, *, stimulus: Real = 0.0, levels: int = 24, axes: Any = None) -> Any:
    """Contours of the total energy over the (r, v) plane; `r` and `v` are the (low, high) ranges shown."""
    axes = _pyplot().subplots(figsize=(6, 4.6), layout="constrained")[1] if axes is None else axes
    rs = np.linspace(max(r[0], 1e-3 * r[1]), r[1], 301)
    vs = np.linspace(v[0], v[1], 301)
    R, V = np.meshgrid(rs, vs)
    E = np.asarray(total_energy(model, State(r=jnp.asarray(R), v=jnp.asarray(V)), stimulus))
    shown = np.quantile(E[np.isfinite(E)], np.linspace(0.001, 0.9, levels))
    axes.contour(R, V, E, levels=np.unique(shown), cmap="Greys_r", linewidths=0.6)
    axes.set_xlabel("firing rate r (1/time)")
    axes.set_ylabel("mean voltage v (dimensionless)")
    axes.set_xlim(rs[0], rs[-1])
    axes.set_ylim(vs[0], vs[-1])
    return axes


def orbits(model: MPR, found: Orbit | list[Orbit], run: Trajectory | None = None, axes: Any = None) -> Any:
    """Closed orbits on the contours of the energy, each with its best ellipse (dashed), and a run; returns the axes."""
    found = [found] if isinstance(found, Orbit) else list(found)
    parts = [each.level_set for each in found] + ([run.ys] if run is not None else [])
    r = np.concatenate([np.asarray(part.r) for part in parts])
    v = np.concatenate([np.asarray(part.v) for part in parts])
    r, v = r[np.isfinite(r)], v[np.isfinite(v)]
    pad_r, pad_v = 0.12 * np.ptp(r), 0.12 * np.ptp(v)
    limits_r, limits_v = (r.min() - pad_r, r.max() + pad_r), (v.min() - pad_v, v.max() + pad_v)
    axes = energy_contours(model, limits_r, limits_v, axes=axes)
    if run is not None:
        axes.plot(run.ys.r, run.ys.v, color=_GREEN, linewidth=0.9, label="simulation")
    for k, each in enumerate(found):
        ring = (
            np.append(np.asarray(each.level_set.r), each.level_set.r[0]),
            np.append(np.asarray(each.level_set.v), each.level_set.v[0]),
        )
        axes.plot(*ring, color=_BLUE, label="level set of E" if k == 0 else None)
        x, y = ellipse_points(each)
        axes.plot(
            x / (np.pi * float(model.tau)), y, "--", color=_ORANGE, linewidth=1.2, label="best ellipse" if k == 0 else None
        )
    axes.legend(frameon=True, framealpha=0.9, fontsize=8, loc="upper right")
    return axes


def ellipse_points(found: Orbit) -> tuple[np.ndarray, np.ndarray]:
    """Points (πτr, v) of an orbit's best ellipse."""
    phi = np.linspace(0, 2 * np.pi, 241)
    shape = found.ellipse
    a, b = (float(each) for each in shape.semi_axes)
    cos, sin = np.cos(float(shape.angle)), np.sin(float(shape.angle))
    x = float(shape.center[0]) + a * np.cos(phi) * cos - b * np.sin(phi) * sin
    y = float(shape.center[1]) + a * np.cos(phi) * sin + b * np.sin(phi) * cos
    return x, y


def peaks(predicted: Any, simulated: Any = None, axes: Any = None) -> Any:
    """Successive spike peaks predicted from energy, against those of a simulation; returns the two axes."""
    axes = _axes(axes, 2, (7.0, 5.0))
    number = np.arange(1, len(predicted) + 1)
    if simulated is not None:
        axes[0].plot(number, simulated, "o", mfc="none", color=_BLUE, label="simulated")
        axes[1].plot(number, 100 * (np.asarray(predicted) / np.asarray(simulated) - 1), "o-", color=_GREY)
        axes[1].axhline(0, color="black", linewidth=0.6)
        axes[1].set_ylabel("prediction error (%)")
    axes[0].plot(number, predicted, "x", color=_ORANGE, label="predicted from energy")
    axes[0].set_ylabel("peak firing rate\n(1/time)")
    axes[0].legend(frameon=False)
    axes[-1].set_xlabel("spike number")
    return _finish(axes)


def sweep(dataset: Any, variable: str | None = None, axes: Any = None) -> Any:
    """One variable of a sweep: an image over two parameters, a line over one, dots for samples; returns the axes.

    `variable` is the first observable by default. Lanes that were not successful are grey and hatched (crosses on a line or
    among samples), successful ones without a value white; an axis whose values grow by a factor is logarithmic. Raises
    `ValueError` for unknown variables and for more dimensions than a picture has.
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
    axes = _pyplot().subplots(figsize=(6, 4.6), layout="constrained")[1] if axes is None else axes
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
        axes.patch.set(facecolor="0.85", edgecolor=_GREY, hatch="////")
        axes.set_title("hatched: not successful, see `status`", fontsize=9, color=_GREY, loc="right")
    for scale, values in ((axes.set_xscale, x), (axes.set_yscale, y)):
        scale("log" if _is_geometric(np.asarray(values)) else "linear")
    axes.figure.colorbar(mesh, ax=axes, label=_label(dataset[variable]))
    axes.set_xlabel(_label(x))
    axes.set_ylabel(_label(y))


def _is_geometric(values: np.ndarray) -> bool:
    """Whether values increase by the same factor, and not by the same step."""
    if values.size < 3 or np.any(values <= 0):
        return False
    steps, factors = np.diff(values), np.diff(np.log(values))
    return bool(np.ptp(factors) < 1e-3 * np.abs(factors).max() and np.ptp(steps) > 1e-3 * np.abs(steps).max())


def _line(dataset: Any, variable: str, name: str, status: np.ndarray, axes: Any) -> None:
    axes.plot(dataset[name], dataset[variable], ".-", color=_BLUE)
    failed = np.asarray(dataset[name])[status != 0]
    if failed.size:
        axes.plot(failed, np.zeros(failed.shape), "x", color=_GREY, transform=axes.get_xaxis_transform(), clip_on=False)
        axes.set_title("crosses: not successful, see `status`", fontsize=9, color=_GREY, loc="right")
    axes.set_xscale("log" if _is_geometric(np.asarray(dataset[name])) else "linear")
    axes.set_xlabel(_label(dataset[name]))
    axes.set_ylabel(_label(dataset[variable]))
    _finish(axes)


def _dots(dataset: Any, variable: str, names: list[str], status: np.ndarray, axes: Any) -> None:
    x, y = (np.asarray(dataset[name]) for name in names)
    good = (status == 0) | (variable == "status")
    dots = axes.scatter(x[good], y[good], c=np.asarray(dataset[variable])[good], s=12, cmap="viridis")
    if not good.all():
        axes.plot(x[~good], y[~good], "x", color=_GREY, markersize=4)
        axes.set_title("crosses: not successful, see `status`", fontsize=9, color=_GREY, loc="right")
    axes.figure.colorbar(dots, ax=axes, label=_label(dataset[variable]))
    axes.set_xlabel(_label(dataset[names[0]]))
    axes.set_ylabel(_label(dataset[names[1]]))


def _label(array: Any) -> str:
    """Meaning, symbol and unit, as far as they are known."""
    symbol, unit = array.attrs.get("symbol"), array.attrs.get("units")
    words = [str(array.attrs.get("long_name", array.name)).split(";")[0], *([str(symbol)] if symbol else [])]
    return " ".join(words) + (f" ({'dimensionless' if unit == '1' else unit})" if unit else "")
