"""Pictures of brains at work: series by region, functional connectivity, its dynamics, spectra of what is recorded."""

from typing import Any

import numpy as np

from .._checks import require
from ..monitors.connectivity import functional_connectivity as connectivity
from ..monitors.results import Measured, Monitored
from ..recordings.recording import Recording, find_regions
from ..solvers.trajectory import Trajectory
from .common import BLUE, GREEN, GREY, ORANGE, clock_label, finish, new_axes, pyplot, unit_in_words

_LINES = 24  # regions, up to which each is a line; above, rows of an image
_NAMED = 24  # regions, up to which each is named beside a matrix or an image
_COLOURS = (BLUE, ORANGE, GREEN, "#7a4b94")


def regions(recorded: Any, axes: Any = None, *, channel: str = "r", regions: Any = None) -> Any:
    """Series by region, one above the other: up to 24 as lines with a bar that gives their scale, more as rows of an image.

    - `recorded`: a `Monitored`, a `Recording`, or the `Trajectory` of a network
    - `axes`: matplotlib axes to draw on; new ones by default
    - `channel`: of a trajectory, the variable
    - `regions`: numbers or names of those to draw, in that order; all by default

    Each line is drawn around its median. Returns the axes.
    """
    times, values, names, word, clock = _table(recorded, channel)
    if regions is not None:
        at = find_regions(tuple(names), regions)
        values, names = values[:, np.asarray(at)], [names[k] for k in at]
    count = values.shape[1]
    axes = new_axes(axes, 1, (7.5, 1.2 + 0.22 * min(count, 20)))
    axes.set_xlabel(clock)
    if count > _LINES:
        half = (times[1] - times[0]) / 2 if times.size > 1 else 0.5
        extent = (times[0] - half, times[-1] + half, count - 0.5, -0.5)
        image = axes.imshow(values.T, aspect="auto", extent=extent, cmap="viridis", interpolation="nearest")
        axes.figure.colorbar(image, ax=axes, label=word, shrink=0.9)
        _name(axes.yaxis, names)
        axes.set_ylabel(recorded.dim if isinstance(recorded, Monitored) and recorded.dim != "node" else "region")
        return axes
    finite = [column[np.isfinite(column)] for column in values.T]
    away = values - np.asarray([np.median(each) if each.size else 0.0 for each in finite])
    found = np.abs(away[np.isfinite(away)])
    spread = float(np.percentile(found, 95)) if found.size else 0.0  # transients may be larger by far
    spread = spread if spread > 0 else float(found.max(initial=0.0)) or 1.0
    for k in range(count):
        axes.plot(times, away[:, k] / (1.6 * spread) - k, color=BLUE, linewidth=0.9)
    axes.set_yticks(-np.arange(count), names, fontsize=8)
    axes.set_ylim(-count + 0.1, 0.9)
    size, width = _round(spread), float(times[-1] - times[0]) or 1.0
    axes.set_xlim(times[0], times[0] + width)
    at = times[0] + 1.015 * width
    axes.plot([at, at], np.array([0.0, size / (1.6 * spread)]) - 0.5, color="black", linewidth=2.0, clip_on=False)
    axes.text(at + 0.012 * width, -0.5, f"{size:g}", fontsize=8, va="bottom", clip_on=False)
    axes.set_ylabel(f"{word},\nfrom its median")
    return finish(axes)


def functional_connectivity(result: Any, recorded: Any = None, axes: Any = None) -> Any:
    """The correlation matrix of a run, and beside it that of a recording, with the correlation between the two.

    - `result`: a `Measured` of `FunctionalConnectivity`, or what it can be computed of: a `Monitored`, a `Recording`, or a
      matrix (m, m) of correlations, named if it is a labelled array of xarray
    - `recorded`: the same of a recording, or None
    - `axes`: matplotlib axes to draw on, one or, with `recorded`, two; new ones by default

    The diagonal is left white. Colours are the same on both sides. Returns the axes.
    """
    shown = [_matrix("result", result)] + ([] if recorded is None else [_matrix("recorded", recorded)])
    if axes is None:
        _, axes = pyplot().subplots(
            1, len(shown), figsize=(0.6 + 4.6 * len(shown), 4.2), layout="constrained", squeeze=False
        )
        axes = axes[0, 0] if len(shown) == 1 else axes[0]
    flat = np.ravel(axes)
    shape = shown[0][0].shape
    require("recorded", shown[-1][0], f"be of the same {shape[0]} regions", shown[-1][0].shape == shape)
    pairs = np.triu_indices(shape[0], 1)
    top = max(np.nanmax(np.abs(values[pairs]), initial=0.0) for values, _ in shown) or 1.0
    images = []
    for one, (values, names) in zip(flat, shown, strict=False):
        hidden = np.ma.masked_where(np.eye(len(values), dtype=bool) | ~np.isfinite(values), values)
        images.append(one.imshow(hidden, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest"))
        _name(one.xaxis, names, rotation=90.0)
        _name(one.yaxis, names)
        one.set_xlabel("region")
    flat[0].set_ylabel("region")
    flat[0].figure.colorbar(images[0], ax=list(flat[: len(shown)]), label="correlation", shrink=0.8)
    if recorded is not None:
        x, y = (each[0][pairs] for each in shown)
        known = np.isfinite(x) & np.isfinite(y)
        alike = np.corrcoef(x[known], y[known])[0, 1] if known.sum() > 2 else np.nan
        flat[0].set_title("model", fontsize=10, loc="left")
        flat[1].set_title(f"recording; correlation of the two {alike:.2f}", fontsize=10, loc="left")
    return axes


def dynamic_connectivity(result: Measured, axes: Any = None) -> Any:
    """How alike functional connectivity is in all pairs of windows: blocks are times at which the network stays in a state.

    - `result`: a `Measured` of `DynamicFC`, as a matrix
    - `axes`: matplotlib axes to draw on; new ones by default

    Returns the axes.
    """
    matrix = (
        isinstance(result, Measured) and result.kind == "dynamic functional connectivity" and np.ndim(result.values) == 2
    )
    require("result", result, "be a `Measured` of `DynamicFC(…)` with windows on both axes", matrix)
    axes = new_axes(axes, 1, (5.2, 4.2))
    unit, clock = _clock(result.seconds)
    values, centres = np.array(result.values, float), unit * np.asarray(result.coords["window"])
    half = (centres[1] - centres[0]) / 2 if centres.size > 1 else 0.5
    edges = (centres[0] - half, centres[-1] + half)
    image = axes.imshow(values, cmap="viridis", extent=(*edges, *edges), origin="lower", interpolation="nearest", vmax=1)
    axes.figure.colorbar(image, ax=axes, label="correlation of connectivities", shrink=0.85)
    axes.set(xlabel=f"centre of window ({clock})", ylabel=f"centre of window ({clock})")
    return axes


def spectrum(result: Measured, axes: Any = None, *, series: Any = None) -> Any:
    """Power spectra of recorded series over the frequency: some coloured, the others grey, the mean black.

    - `result`: a `Measured` of `Spectrum`
    - `axes`: matplotlib axes to draw on; new ones by default
    - `series`: numbers of the series that are coloured; by default the first four

    Both axes are logarithmic. Returns the axes.
    """
    fits = isinstance(result, Measured) and result.kind == "power spectrum" and np.ndim(result.values) == 2
    require("result", result, "be a `Measured` of `Spectrum(…)`", fits)
    axes = new_axes(axes, 1, (5.5, 3.4))
    unit, _ = _clock(result.seconds)
    f, power = np.asarray(result.coords["frequency"])[1:] / unit, np.asarray(result.values, float)[1:]
    names = result.coords[result.dims[1]]
    chosen = np.arange(min(len(names), 4)) if series is None else np.atleast_1d(series)
    axes.plot(f, np.delete(power, chosen, axis=1), color=GREY, linewidth=0.6, alpha=0.5)
    for k, each in enumerate(chosen):
        axes.plot(f, power[:, each], color=_COLOURS[k % 4], linewidth=1.2, label=str(names[each]))
    if len(names) > 1:
        axes.plot(f, power.mean(axis=1), color="black", linewidth=1.6, label=f"mean of {len(names)}")
    axes.set(xscale="log", yscale="log", xlim=(f[0], f[-1]))
    axes.set_xlabel("frequency (cycles/time)" if result.seconds is None else "frequency (Hz)")
    axes.set_ylabel(f"{result.long_name}\n({result.units.replace('time', 'unit of τ')})")
    axes.legend(frameon=False, fontsize=8)
    return finish(axes)


def _table(recorded: Any, channel: str) -> tuple[np.ndarray, np.ndarray, Any, str, str]:
    """Times, values (time, series), names, what the values are, and what the clock is."""
    if isinstance(recorded, Monitored):
        word = f"{recorded.long_name} ({unit_in_words(recorded.units)})"
        unit, clock = _clock(recorded.seconds)
        return unit * np.asarray(recorded.ts), np.asarray(recorded.values), recorded.labels, word, f"time t ({clock})"
    if isinstance(recorded, Recording):
        clock = "sample" if recorded.dt is None else "time (unit of dt)"
        times = np.arange(recorded.values.shape[0]) * (1.0 if recorded.dt is None else float(recorded.dt))
        return times, recorded.values, recorded.names, "recorded signal", clock
    rule = "be a `Monitored`, a `Recording`, or a `Trajectory` of a network"
    require("recorded", type(recorded).__name__, rule, isinstance(recorded, Trajectory))
    recorded.require_single("draw it")
    require("recorded", type(recorded.model).__name__, rule, recorded.model.size is not None)
    require("channel", channel, f"be one of {', '.join(recorded.ys.names)}", channel in recorded.ys.names)
    about = recorded.model.variables[channel]
    word = f"{about.doc} {about.symbol or channel} ({unit_in_words(about.unit)})"
    names = [str(each) for each in recorded.model.labels]
    return np.asarray(recorded.ts), np.asarray(getattr(recorded.ys, channel)), names, word, clock_label(recorded)


def _clock(seconds: float | None) -> tuple[float, str]:
    """The unit of time that is drawn, and its name: seconds if they are known."""
    return (1.0, "unit of τ") if seconds is None else (seconds, "s")


def _matrix(argument: str, given: Any) -> tuple[np.ndarray, Any]:
    """A correlation matrix and the names of its regions."""
    if isinstance(given, (Monitored, Recording)):
        given = connectivity(given)
    if isinstance(given, Measured):
        require(argument, given.kind, "be functional connectivity", given.kind == "functional connectivity")
        return np.asarray(given.values, float), given.coords[given.dims[0]]
    values = np.asarray(given, float) if np.ndim(given) == 2 else np.zeros((0, 1))
    square = values.shape[0] == values.shape[1] and bool(np.all(np.abs(values[np.isfinite(values)]) <= 1 + 1e-6))
    rule = "be functional connectivity, a `Monitored`, a `Recording`, or a matrix (m, m) of correlations"
    require(argument, given if np.ndim(given) else type(given).__name__, rule, square)
    coords = getattr(given, "coords", None)  # an xarray table has its regions' names
    return values, range(len(values)) if coords is None else [str(each) for each in coords[given.dims[0]].values]


def _name(axis: Any, names: Any, rotation: float = 0.0) -> None:
    """Names along an axis of rows or columns, every one or every few."""
    every = max(1, -(-len(names) // _NAMED))
    at = np.arange(0, len(names), every)
    axis.set_ticks(at, [str(names[k]) for k in at], rotation=rotation, fontsize=8 if every == 1 else 7)


def _round(size: float) -> float:
    """A round number of the order of `size`, not above it."""
    power = 10.0 ** np.floor(np.log10(size))
    return float(max(each for each in (1.0, 2.0, 5.0) if each * power <= size * (1 + 1e-9)) * power)
