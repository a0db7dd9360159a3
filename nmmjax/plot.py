"""Layer 6: pictures (extra `plot`). Each function draws on given or new axes and returns them; nothing is shown or saved."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ._parameter import require
from ._types import Real
from .bursting.frozen import cusp_rate
from .bursting.picture import SlowFast
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


def slow_fast(picture: SlowFast, run: Trajectory | None = None, burst_slice: Any = None, axes: Any = None) -> Any:
    """Equilibria of the fast equations over the slow variable, on the frozen landscape, with a burst; returns the axes.

    Stable branches are solid, unstable ones dashed; dots are the folds, a full or empty diamond the stable or unstable
    equilibrium of the full system, where the slow variable's nullcline (thin) crosses the branches. Shading is the
    potential against that at the cusp rate, which lies between the wells: a burst runs in a dark valley and leaves it where
    it ends. `burst_slice` says which part of `run` is drawn: a `slice` of its times or a pair (from, to) of times; by
    default the last full burst cycle, or all of it.

    Raises `ValueError` for a batch of pictures or runs and for a run without the picture's slow variable.
    """
    require("picture", type(picture).__name__, "be the result of `slow_fast`", isinstance(picture, SlowFast))
    require("picture", f"one of shape {picture.r.shape}", "be a single one to draw it", picture.r.ndim == 1)
    path = None if run is None else _slow_path(picture, run, burst_slice)
    axes = _pyplot().subplots(figsize=(7.2, 5.0), layout="constrained")[1] if axes is None else axes
    slow, rate = np.asarray(picture.slow), np.asarray(picture.r)
    limits = np.array([picture.grid_slow[0], picture.grid_slow[-1], rate[0] / 1.2, 1.2 * rate[-1]])
    if path is not None:
        room = 0.06 * np.ptp(path[0])
        limits[0], limits[1] = min(limits[0], path[0].min() - room), max(limits[1], path[0].max() + room)
        limits[2], limits[3] = min(limits[2], path[1].min() / 1.2), max(limits[3], 1.2 * path[1].max())
    _shade_landscape(picture, limits, axes)
    growth = np.asarray(picture.eigenvalues.real).max(axis=1)
    unstable = growth > 0
    beside = unstable | np.append(unstable[1:], False) | np.append(False, unstable[:-1])
    rates = np.geomspace(limits[2], limits[3], 401)
    steady = picture.fast.steady(jnp.log(picture.model.tau * jnp.asarray(rates, picture.r.dtype)))
    axes.plot(steady, rates, color=_GREEN, linewidth=1, label=f"nullcline of {_symbol(picture)}")
    if unstable.any():
        axes.plot(np.where(beside, slow, np.nan), rate, "--", color="black", linewidth=1.4, label="unstable branch")
    axes.plot(np.where(unstable, np.nan, slow), rate, color="black", linewidth=2, label="stable branch")
    if path is not None:
        axes.plot(*path, color=_ORANGE, linewidth=1.4, label="simulation")
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
    require("run", sorted(run.ys.units), f"have the slow variables {names}", set(names) <= set(run.ys.units))
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
    scale = lambda each: np.arcsinh(6 * each / top)  # noqa: E731
    limit = float(scale(top))
    shade = np.minimum(scale(height), limit)
    options = {"cmap": "Blues_r", "vmin": -1.6 * limit, "vmax": 0.9 * limit, "rasterized": True, "zorder": -5}
    mesh = axes.pcolormesh(slow, rate, shade, **options)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02, aspect=30, boundaries=np.linspace(-limit, limit, 201))
    ticks = top * np.array([-1, -0.4, -0.1, 0, 0.1, 0.4, 1])
    bar.set_ticks(scale(ticks), labels=[f"{each:.2g}".replace("-", "−") for each in ticks[:-1]] + [f"≥ {top:.2g}"])
    bar.set_label("potential V − V(cusp rate) (dimensionless)")


def _arrows(axes: Any, slow: np.ndarray, rate: np.ndarray) -> None:
    """Arrowheads along a path, at equal lengths of it as drawn."""
    x, y = slow / np.ptp(slow), np.log(rate) / np.ptp(np.log(rate))
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    for share in (0.08, 0.5, 0.75, 0.92):
        k = min(int(np.searchsorted(length, share * length[-1])), slow.size - 2)
        style = {"arrowstyle": "-|>", "color": _ORANGE, "lw": 0, "mutation_scale": 14}
        axes.annotate("", (slow[k + 1], rate[k + 1]), (slow[k], rate[k]), arrowprops=style)


def _mark_equilibria(picture: SlowFast, axes: Any) -> None:
    found = picture.equilibria
    rate, stable = np.asarray(found.state.r), np.asarray(found.stable)
    slow = np.asarray(found.state.A if picture.variable == "A" else found.state.x * found.state.u)
    for which, fill, name in ((stable, _GREEN, "stable"), (~stable & np.isfinite(rate), "white", "unstable")):
        if which.any():
            options = {"color": _GREEN, "mfc": fill, "markersize": 9, "markeredgewidth": 1.6}
            axes.plot(slow[which], rate[which], "D", label=f"{name} equilibrium of the full system", **options)


def atlas(dataset: Any, axes: Any = None) -> Any:
    """Firing patterns over two parameters, as of `burst_atlas`; the more spikes per burst, the darker; returns the axes.

    Blue where the population bursts, orange where it bursts or rests, grey where it rests, green where it fires tonically.
    Raises `ValueError` for anything but an atlas over two parameters.
    """
    is_atlas = {"pattern", "spikes_per_burst"} <= set(getattr(dataset, "data_vars", ()))
    require("dataset", type(dataset).__name__, "be the result of `burst_atlas`", is_atlas)
    dims = dataset["pattern"].dims
    require("dataset", dims, "have two dimensions (choose by `isel`)", len(dims) == 2)
    axes = _pyplot().subplots(figsize=(7.4, 4.8), layout="constrained")[1] if axes is None else axes
    dataset = dataset.sortby(list(dims))
    x, y = (dataset[dim] for dim in dims)
    names = dataset["pattern"].attrs["flag_meanings"]
    pattern = np.asarray(dataset["pattern"]) - int(dataset["pattern"].attrs["flag_values"][0])
    spikes = np.round(np.asarray(dataset["spikes_per_burst"]))
    bursts = np.isin(pattern, [names.index(name) for name in _SHADED])
    low, high = (f(spikes[bursts]) if bursts.any() else 1.0 for f in (np.min, np.max))
    options = {"shading": "nearest", "rasterized": True}
    shown, bars = [], []
    for name in names:
        here = np.ma.masked_where(pattern != names.index(name), spikes)
        if here.mask.all():
            continue
        if name in _SHADED:  # the lighter half of the colour map is left to the eye
            limits = {"vmin": low - 0.7 * (high - low) - 2, "vmax": high + 0.3 * (high - low) + 1}
            mesh = axes.pcolormesh(x, y, here.T, cmap=_SHADED[name], **limits, **options)
            bars.append(mesh)
            color = mesh.cmap(mesh.norm((low + high) / 2))
        else:
            color = _PLAIN[name]
            flat = np.ma.masked_array(np.zeros(here.shape), here.mask)
            axes.pcolormesh(x, y, flat.T, cmap=_pyplot().matplotlib.colors.ListedColormap([color]), **options)
        shown.append(axes.scatter([], [], marker="s", s=80, color=[color], label=name.replace("_", " ")))
    step = max(1, int(np.ceil((high - low + 1) / 12)))
    for k, mesh in enumerate(bars):  # the first one comes to lie outside
        bar = axes.figure.colorbar(mesh, ax=axes, boundaries=np.arange(low - 0.5, high + 1), pad=0.02, aspect=30)
        bar.set_ticks([] if k else np.arange(low, high + 1, step))
        bar.ax.tick_params(length=0, which="both")
        bar.set_label("" if k else "spikes per burst")
    for scale, values in ((axes.set_xscale, x), (axes.set_yscale, y)):
        scale("log" if _is_geometric(np.asarray(values)) else "linear")
    axes.set_xlabel(_label(x))
    axes.set_ylabel(_label(y))
    axes.legend(handles=shown, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False, fontsize=8)
    return axes


_SHADED = {"bursting": "Blues", "rest_or_bursting": "Oranges"}
_PLAIN = {"undecided": "white", "rest": "0.88", "tonic": "#9fd0ab", "rest_or_tonic": "#d8d38a"}


def bursts(run: Trajectory, predicted: Any = None, axes: Any = None) -> Any:
    """Bursts of a run over time with its slow variables and, from `predict_burst`, predicted peaks and their errors.

    Returns the axes: rate, slow variables, and errors per spike of complete bursts where there is a prediction.
    """
    run.require_single("draw it")
    rows = 2 if predicted is None else 3
    if axes is None:
        axes = _pyplot().subplots(rows, 1, figsize=(9.0, 2.5 * rows), layout="constrained")[1]
        axes[0].sharex(axes[1])
    ts = np.asarray(run.ts)
    axes[0].plot(ts, run.ys.r, color=_BLUE, linewidth=0.9, label="simulated")
    axes[0].set_ylabel("firing rate r\n(1/time)")
    slow = [name for name in run.ys.names if name not in ("r", "v", "B")]
    for name, color in zip(slow, (_GREY, _ORANGE, _GREEN), strict=False):
        axes[1].plot(ts, getattr(run.ys, name), color=color, label=f"{run.ys.meanings[name]} {name}")
    axes[1].set(ylabel="slow variables\n(dimensionless)", xlabel=_clock(run))
    if slow:
        axes[1].legend(frameon=False, ncols=len(slow), fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    if predicted is not None:
        _predicted_bursts(predicted, axes)
    shade_stimulus(run, axes[:2])
    return _finish(axes)


_PREDICTIONS = {
    "undamped": ("undamped level set", "s", _GREY),
    "from_cycle": ("from the parameters alone", "^", _GREEN),
    "from_first": ("from the first peak", "x", _ORANGE),
    "from_trough": ("from each trough", "o", _BLUE),
}


def _predicted_bursts(predicted: Any, axes: Any) -> None:
    times = np.asarray(predicted["spike_time"])
    axes[0].plot(times.ravel(), np.asarray(predicted["peak_from_first"]).ravel(), "x", color=_ORANGE, markersize=5,
                 label="predicted from the first peak")  # fmt: skip
    axes[0].legend(frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    whole = np.asarray(predicted["complete"])
    number = np.arange(1, times.shape[1] + 1)
    for kind, (label, marker, color) in _PREDICTIONS.items():
        errors = 100 * np.abs(np.asarray(predicted[f"error_{kind}"])[whole])
        shown = np.isfinite(errors).any(axis=0) & ((kind != "from_first") | (number > 1))  # the first one is given
        errors, at = errors[:, shown], number[shown]
        axes[2].fill_between(at, np.nanmin(errors, axis=0), np.nanmax(errors, axis=0), color=color, alpha=0.15, linewidth=0)
        style = {"color": color, "mfc": "none", "markersize": 5, "label": label}
        axes[2].semilogy(at, np.nanmedian(errors, axis=0), f"{marker}-", **style)
    axes[2].set(xlabel="spike number in the burst", ylabel="error of the peak (%)")
    axes[2].xaxis.get_major_locator().set_params(integer=True)
    axes[2].legend(frameon=True, framealpha=0.8, edgecolor="none", fontsize=7.5, loc="upper right")
    low, high = axes[2].get_ylim()
    axes[2].set_ylim(low, high * (high / low) ** 0.7)  # room for the legend


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
