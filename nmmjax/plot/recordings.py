"""Pictures of recordings' energy landscapes: Ising models and their fit, minima, basins, occupancy, transitions."""

from typing import Any

import numpy as np

from .._checks import require
from ..ising.landscape import IsingLandscape
from ..ising.model import IsingModel
from ..ising.walsh import spins_of, states_of
from ..plot.common import Axes
from ..recordings.recording import as_binarized
from .common import BLUE, GREEN, GREY, ORANGE, finish, plain_numbers, pyplot

_LARGEST = 15  # regions, up to which all states are drawn or summed over
_COLOURS = (BLUE, ORANGE, GREEN, "#8e5ea2", "#b8860b", "#2a9d9d", "#c0504d", "#6b6b6b", "#7aa6d8", "#e7a977")


def minima_labels(found: Any) -> list[str]:
    """Short names of minima: the patterns of active regions; numbers if those are long."""
    labels = getattr(found, "labels", None)
    if labels is None or any(len(each) > _LARGEST for each in labels):
        return [str(k) for k in range(np.asarray(found.energy).size)]
    return [str(each) for each in labels]


def activity(found: IsingLandscape, most: int = 30, axes: Any = None) -> Any:
    """Which regions are active (+1) in each minimum, by energy; above, the sizes of basins and the time spent there.

    - `found`: an `IsingLandscape`
    - `most`: number of minima drawn, the lowest ones
    - `axes`: two matplotlib axes; new ones by default

    Returns both axes.
    """
    _check("found", found, IsingLandscape)
    count, size = min(found.energy.size, most), len(found.names)
    if axes is None:
        shape = (max(4.6, 1.6 + 0.55 * count), 2.6 + 0.24 * size)
        ratios = {"height_ratios": [1.7, 0.24 * size + 0.2]}
        _, axes = pyplot().subplots(2, 1, figsize=shape, sharex=True, layout="constrained", gridspec_kw=ratios)
    x = np.arange(count)
    shares = [("samples in the basin", found.occupancy, BLUE), ("states in the basin", found.basin_fraction, "#b9c4d0")]
    known = [(label, values, colour) for label, values, colour in shares if values is not None]
    width = 0.8 / max(len(known), 1)
    for k, (label, values, colour) in enumerate(known):
        axes[0].bar(x - 0.4 + (k + 0.5) * width, values[:count], width, color=colour, label=label)
    finish(axes[0])
    axes[0].grid(visible=False, axis="x")
    axes[0].set_ylabel("share (dimensionless)")
    if known:
        axes[0].margins(y=0.3)
        axes[0].legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    from matplotlib.colors import ListedColormap

    grid = axes[1].pcolormesh(
        np.arange(count + 1) - 0.5,
        np.arange(size + 1) - 0.5,
        (found.spins[:count].T > 0).astype(float),
        cmap=ListedColormap(["#eef1f5", BLUE]),
        vmin=0,
        vmax=1,
        edgecolors="white",
        linewidth=1.5,
    )
    grid.set_rasterized(False)
    axes[1].set_ylim(size - 0.5, -0.5)
    axes[1].set_yticks(range(size), found.names, fontsize=9)
    energies = [f"{each:.2f}".replace("-", "−") for each in found.energy[:count]]
    axes[1].set_xticks(x, energies, fontsize=8, rotation=90 if count > 12 else 0)
    left = f", {count} of {found.energy.size}" if count < found.energy.size else ""
    axes[1].set_xlabel(f"energy of the minimum (dimensionless){left}")
    axes[1].set_ylabel("region, filled: active (+1)")
    axes[1].spines[:].set_visible(False)
    axes[1].tick_params(length=0)
    return axes


def occupancy(found: IsingLandscape, model: IsingModel | None = None, axes: Any = None) -> Any:
    """Time that the data spend in each basin; below, how long stays last.

    - `found`: an `IsingLandscape` with data
    - `model`: an `IsingModel` whose probability of each basin is drawn beside it; None by default
    - `axes`: two matplotlib axes; new ones by default

    Each stay is a dot, their mean a line. Returns both axes. Raises `ValueError` for a landscape without data.
    """
    _check("found", found, IsingLandscape)
    share, stays = found.occupancy, found.dwell_times
    rule = "have data to wander in it: `model.landscape(data)`"
    require("found", "a landscape without data", rule, share is not None and stays is not None)
    assert share is not None and stays is not None
    count = share.size
    if axes is None:
        shape = (max(5.2, 1.8 + 0.55 * count), 5.6)
        _, axes = pyplot().subplots(2, 1, figsize=shape, sharex=True, layout="constrained")
    bars = [("data", share, BLUE)]
    if model is not None and found.basin is not None:
        expected = np.bincount(found.basin, np.asarray(model.probabilities(), float), minlength=count)
        bars.append(("model", expected, "#f0b58a"))
    x, width = np.arange(count), 0.8 / len(bars)
    for k, (label, values, colour) in enumerate(bars):
        axes[0].bar(x - 0.4 + (k + 0.5) * width, values, width, color=colour, label=label)
    axes[0].set_ylabel("share of time in the basin\n(dimensionless)")
    axes[0].margins(y=0.2)
    axes[0].legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    for k, each in enumerate(stays):
        if each.size:
            lengths, often = np.unique(each, return_counts=True)
            axes[1].scatter(np.full(lengths.size, k), lengths, s=8 + 6 * np.sqrt(often), color=BLUE, alpha=0.45, linewidth=0)
            axes[1].plot([k - 0.3, k + 0.3], [each.mean()] * 2, color=ORANGE, linewidth=2)
    axes[1].plot([], [], color=ORANGE, linewidth=2, label="mean")
    note = "stays of that length (area grows with their number)"
    axes[1].scatter([], [], s=20, color=BLUE, alpha=0.45, linewidth=0, label=note)
    axes[1].set_yscale("log")
    plain_numbers(axes[1].yaxis)
    axes[1].margins(y=0.25)
    axes[1].legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    data = model.data if model is not None else None
    unit = "samples, or unit of dt" if data is None else "samples" if data.dt is None else "unit of dt"
    axes[1].set_ylabel(f"dwell time ({unit})")
    names = minima_labels(found)
    axes[1].set_xticks(x, names, rotation=_slant(names), fontsize=9)
    axes[1].set_xlabel(_pattern_label(found))
    axes[1].set_xlim(-0.7, count - 0.3)
    finish(axes)
    for each in axes:
        each.grid(visible=False, axis="x")
    return axes


def transition_graph(found: IsingLandscape, most: int = 12, axes: Any = None) -> Any:
    """Basins as circles whose area is the time spent there, direct transitions as arrows with their number per 100 samples.

    - `found`: an `IsingLandscape` with data
    - `most`: number of basins drawn, the most visited ones
    - `axes`: matplotlib axes to draw on; new ones by default

    Numbers stand at the most frequent transitions. Returns the axes. Raises `ValueError` for a landscape without data.
    """
    _check("found", found, IsingLandscape)
    share, rates = found.occupancy, found.rates
    rule = "have data to wander in it: `model.landscape(data)`"
    require("found", "a landscape without data", rule, share is not None and rates is not None)
    assert share is not None and rates is not None
    axes = pyplot().subplots(figsize=(6.4, 6.2), layout="constrained")[1] if axes is None else axes
    from matplotlib.patches import Circle, FancyArrowPatch

    visited = set(np.argsort(-share, kind="stable")[:most].tolist())
    drawn = [int(k) for k in found.tree.leaves() if int(k) in visited]
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(drawn)) / len(drawn)
    place = {k: np.array([np.cos(a), np.sin(a)]) for k, a in zip(drawn, angle, strict=True)}
    largest = min(0.3, 0.75 * np.pi / max(len(drawn), 3))
    radius = {k: max(largest * np.sqrt(share[k] / share.max()), 0.03) for k in drawn}
    pairs = [(a, b) for a in drawn for b in drawn if a != b and rates[a, b] > 0]
    top = max((rates[pair] for pair in pairs), default=1.0)
    numbered = set(sorted(pairs, key=lambda pair: -rates[pair])[:12])
    for a, b in pairs:
        start, end = place[a], place[b]
        along = (end - start) / np.linalg.norm(end - start)
        side = np.array([-along[1], along[0]])  # a → b to the right of the straight line, b → a on its other side
        tail, head = start + radius[a] * along - 0.03 * side, end - (radius[b] + 0.01) * along - 0.03 * side
        weight = rates[a, b] / top
        arrow = FancyArrowPatch(
            tail,
            head,
            arrowstyle="-|>",
            mutation_scale=7 + 7 * weight,
            linewidth=0.5 + 3.5 * weight,
            color=GREY,
            alpha=0.35 + 0.55 * weight,
            connectionstyle="arc3,rad=0.12",
            shrinkA=0,
            shrinkB=0,
        )
        axes.add_patch(arrow)
        if (a, b) in numbered:
            middle = tail + 0.36 * (head - tail) - 0.11 * np.linalg.norm(head - tail) * side  # before lines cross midway
            box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
            axes.text(*middle, f"{100 * rates[a, b]:.2g}", fontsize=8, ha="center", va="center", bbox=box, zorder=4)
    names = minima_labels(found)
    for k in drawn:
        axes.add_patch(
            Circle(
                (float(place[k][0]), float(place[k][1])), radius[k], color=_COLOURS[k % len(_COLOURS)], alpha=0.85, zorder=3
            )
        )
        outward = place[k] * (1 + radius[k] + 0.05)
        middle = abs(place[k][0]) < 0.3
        across = "center" if middle else "left" if place[k][0] > 0 else "right"
        along = "center" if not middle else "bottom" if place[k][1] > 0 else "top"
        axes.text(*outward, f"{names[k]}\n{100 * share[k]:.1f} %", fontsize=9, ha=across, va=along, zorder=5)
    reach = 1.75 if max(len(each) for each in names) > 6 else 1.6
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-1.5, 1.5)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    left = f"; {len(drawn)} most visited of {share.size}" if len(drawn) < share.size else ""
    axes.set_xlabel(f"circle: a minimum's basin, area: share of samples{left}\narrow: direct transitions per 100 samples")
    axes.set_ylabel(_pattern_label(found))
    return axes


def basin_graph(model: IsingModel, axes: Any = None) -> Any:
    """All 2^N states (N ≤ 8) by energy and by distance from the lowest minimum, coloured by basin.

    - `model`: an `IsingModel` of at most 8 regions
    - `axes`: matplotlib axes to draw on; new ones by default

    Faint lines join states that differ in one region, strong ones are steepest steps down, rings are minima. Returns the
    axes.
    """
    _check("model", model, IsingModel)
    require("model", f"{model.size} regions", "have at most 8 regions for all states to be drawn", model.size <= 8)
    axes = pyplot().subplots(figsize=(7.4, 5.2), layout="constrained")[1] if axes is None else axes
    from matplotlib.collections import LineCollection

    found, size = model.landscape(), model.size
    basin = found.basin
    assert basin is not None
    energy = np.asarray(model.energies(), float)
    state = np.arange(energy.size)
    distance = np.sum(spins_of(state, size) != found.spins[0], axis=1)
    x = distance.astype(float)
    for each in range(size + 1):  # side by side, those of one basin together
        here = state[distance == each]
        here = here[np.lexsort((energy[here], basin[here]))]
        x[here] += np.linspace(-0.36, 0.36, here.size) if here.size > 1 else 0
    flips = state[:, None] ^ (1 << np.arange(size - 1, -1, -1))
    point = np.stack([x, energy], axis=1)
    low = np.repeat(state, size)
    high = flips.ravel()
    once = low < high
    segments = np.stack([point[low[once]], point[high[once]]], axis=1)
    axes.add_collection(LineCollection(list(segments), colors="0.85", linewidths=0.4, zorder=1))
    down = flips[state, np.argmin(energy[flips], axis=1)]
    minima = states_of(found.spins)
    colours = np.asarray([_COLOURS[k % len(_COLOURS)] for k in basin])
    falls = np.flatnonzero(~np.isin(state, minima))
    steps = np.stack([point[falls], point[down[falls]]], axis=1)
    axes.add_collection(LineCollection(list(steps), colors=colours[falls].tolist(), linewidths=0.9, alpha=0.7, zorder=2))
    axes.scatter(x, energy, s=14, c=colours.tolist(), zorder=3, linewidth=0)
    span = np.ptp(energy)
    for k, each in enumerate(minima):
        colour = _COLOURS[k % len(_COLOURS)]
        axes.scatter(x[each], energy[each], s=90, facecolor="white", edgecolor=colour, linewidth=2, zorder=4)
        side = "left" if x[each] < 0.3 else "right" if x[each] > size - 0.3 else "center"
        below = energy[each] - 0.035 * span
        axes.text(x[each], below, found.labels[k], color=colour, fontsize=8.5, ha=side, va="top", zorder=5)
    axes.set_xlim(-0.5, size + 0.5)
    axes.set_ylim(energy.min() - 0.12 * span, energy.max() + 0.05 * span)
    axes.set_xticks(range(size + 1))
    axes.set_xlabel(f"regions that differ from the lowest minimum, {found.labels[0]}")
    axes.set_ylabel("energy (dimensionless)")
    finish(axes)
    axes.grid(visible=False)
    return axes


def ising(model: IsingModel, data: object = None, axes: Any = None) -> Any:
    """Fields h with standard errors, couplings J, and how well the model fits: states' probabilities and correlations.

    - `model`: an `IsingModel`
    - `data`: two-valued data to compare with; by default what was fitted
    - `axes`: matplotlib axes to draw on, as many as are returned; new ones by default

    Pair correlations are what was fitted, those of three regions are a test. Returns the axes (2, 2), or (2,) without
    data or for more than 15 regions.
    """
    _check("model", model, IsingModel)
    data = model.data if data is None else as_binarized("data", data)
    compared = data is not None and model.size <= _LARGEST
    if data is not None:
        require("data", data, f"have {model.size} regions, as the model has", data.spins.shape[1] == model.size)
    if axes is None:
        rows = 2 if compared else 1
        _, axes = pyplot().subplots(rows, 2, figsize=(10.2, 4.3 * rows), layout="constrained")
    flat = np.ravel(axes)
    _fields(model, flat[0])
    _couplings(model, flat[1])
    if compared:
        _states(model, data, flat[2])
        _correlations(model, data, flat[3])
    finish(flat[2:])
    return axes


def _fields(model: IsingModel, axes: Axes) -> None:
    y, h = np.arange(model.size), np.asarray(model.h, float)
    error = None if model.h_error is None else np.asarray(model.h_error, float)
    axes.barh(y, h, xerr=error, color=BLUE, error_kw={"lw": 0.9, "ecolor": "0.3"})
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_yticks(y, model.names, fontsize=9 if model.size <= 20 else 6)
    axes.invert_yaxis()
    axes.set_xlabel("field h (dimensionless)" + ("" if error is None else ", standard errors"))
    axes.set_ylabel("region")
    finish(axes)
    axes.grid(visible=False, axis="y")


def _couplings(model: IsingModel, axes: Axes) -> None:
    J = np.array(model.J, float)
    np.fill_diagonal(J, np.nan)
    top = np.nanmax(np.abs(J)) if model.size > 1 else 1.0
    image = axes.imshow(J, cmap="RdBu_r", vmin=-top, vmax=top)
    fontsize = 9 if model.size <= 20 else 6
    axes.set_xticks(range(model.size), model.names, rotation=90, fontsize=fontsize)
    axes.set_yticks(range(model.size), model.names, fontsize=fontsize)
    axes.set_xlabel("region")
    axes.set_ylabel("region")
    axes.figure.colorbar(image, ax=axes, label="coupling J (dimensionless)", shrink=0.85)
    if model.size <= 8:
        for i, j in zip(*np.nonzero(np.isfinite(J)), strict=True):
            colour = "white" if abs(J[i, j]) > 0.6 * top else "0.25"
            axes.text(
                j,
                i,
                f"{J[i, j] + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−"),
                ha="center",
                va="center",
                fontsize=7,
                color=colour,
            )


def _states(model: IsingModel, data: Any, axes: Axes) -> None:
    """Probabilities under the model against frequencies in the data."""
    P = np.asarray(model.probabilities(), float)
    samples = data.spins.shape[0]
    seen = np.bincount(states_of(data.spins), minlength=P.size) / samples
    there = seen > 0
    line = np.array([min(P[there].min(), seen[there].min()), max(P.max(), seen.max())])
    axes.plot(line, line, color=GREY, linewidth=0.9, zorder=1)
    unseen = f", {int((~there).sum())} never seen" if not there.all() else ""
    axes.loglog(seen[there], P[there], "o", color=BLUE, ms=4, alpha=0.6, label=f"{P.size} states{unseen}")
    plain_numbers(axes.xaxis, bool(np.log10(seen[there].max() / seen[there].min()) < 1.5))
    plain_numbers(axes.yaxis, bool(np.log10(P[there].max() / P[there].min()) < 1.5))
    axes.set_xlabel(f"frequency in the data, {samples} samples (dimensionless)")
    axes.set_ylabel("probability, model (dimensionless)")
    title = "" if model.accuracy is None else f"accuracy r = {model.accuracy:.3f}"
    axes.legend(frameon=False, fontsize=8, title=title or None, title_fontsize=8, loc="upper left")


def _correlations(model: IsingModel, data: Any, axes: Axes) -> None:
    """Central moments of two and three regions: data against model."""
    P = np.asarray(model.probabilities(), float)
    states = spins_of(np.arange(P.size), model.size).astype(float)
    shown = [(2, ORANGE, "s", "pairs, fitted"), (3, GREEN, "o", "threes, not fitted")]
    ends = []
    for order, colour, marker, label in shown[::-1]:
        sets = _sets(model.size, order)
        if sets.size == 0:
            continue
        moments = [
            np.asarray([weight @ np.prod(centred[:, each], axis=1) for each in sets])
            for weight, centred in (
                (np.full(data.spins.shape[0], 1 / data.spins.shape[0]), data.spins - data.spins.mean(axis=0)),
                (P, states - P @ states),
            )
        ]
        axes.plot(*moments, marker, color=colour, ms=4, alpha=0.7, label=label, linestyle="none")
        ends += [np.min(moments), np.max(moments)]
    line = np.array([min(ends), max(ends)])
    axes.plot(line, line, color=GREY, linewidth=0.9, zorder=1)
    axes.set_xlabel("correlation ⟨Π (s − ⟨s⟩)⟩ in the data (dimensionless)")
    axes.set_ylabel("correlation, model (dimensionless)")
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _sets(size: int, order: int, most: int = 150) -> np.ndarray:
    """Sets of `order` regions, evenly chosen if there are many."""
    from itertools import combinations

    sets = np.asarray(list(combinations(range(size), order)), int)
    return sets[:: max(1, -(-len(sets) // most))]


def _pattern_label(found: IsingLandscape) -> str:
    if len(found.names) > _LARGEST:
        return "minima, by energy"
    names = ", ".join(found.names)
    return f"minima: {names}" if len(names) <= 48 else "minima, as patterns of the regions in their order"


def _slant(names: list[str]) -> int:
    return 90 if len(names) * max(len(each) for each in names) > 44 else 0


def _check(name: str, value: object, kind: type) -> None:
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    require(name, type(value).__name__, f"be {article} `{kind.__name__}`", isinstance(value, kind))
