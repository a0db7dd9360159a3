"""Pictures of connectomes: the matrix of weights, and the regions in space."""

from typing import Any

import numpy as np

from .._checks import require
from ..models.base import AbstractModel
from ..models.connectome import Connectome
from ..models.network import is_network
from .common import BLUE, GREY, ORANGE, finish, plain_numbers, pyplot

_VIEWS = {
    "top": (0, 1, "left to right x (mm)", "back to front y (mm)"),
    "side": (1, 2, "back to front y (mm)", "down to up z (mm)"),
    "front": (0, 2, "left to right x (mm)", "down to up z (mm)"),
}
_NAMED = 12  # regions, up to which each is named
_LINKS = 300  # drawn in space, the strongest


def connectome(connectome: Connectome, view: str = "top", axes: Any = None) -> Any:
    """The weights as a matrix, row receives, and the regions in space with their strongest connections.

    - `connectome`: a `Connectome`
    - `view`: from where space is seen, `"top"`, `"side"` or `"front"`
    - `axes`: matplotlib axes to draw on, two, or one without positions; new ones by default

    Colours of the matrix are logarithmic where positive weights span more than a factor of 10, and have two signs where
    weights have; white is no connection. A circle's area is the sum of the absolute weights that a region receives, and the
    300 strongest connections are drawn, darker if stronger. Returns the axes.
    """
    require("connectome", connectome, "be a `Connectome`", isinstance(connectome, Connectome))
    require("view", view, f"be one of {', '.join(_VIEWS)}", view in _VIEWS)
    placed = connectome.positions is not None
    if axes is None:
        size = (10.4, 4.4) if placed else (5.4, 4.4)
        _, axes = pyplot().subplots(1, 2 if placed else 1, figsize=size, layout="constrained")
    flat = np.ravel(axes)
    _matrix(connectome, flat[0])
    if placed:
        _space(connectome, view, flat[1])
    return axes


def delays(network: Any, axes: Any = None) -> Any:
    """The delays of a network: the matrix of them, row receives, and how they are distributed over the weights.

    - `network`: a `Network` with `delay=` or `speed=`, or a `Connectome` with lengths, which are shown instead
    - `axes`: two matplotlib axes to draw on; new ones by default

    Only pairs with a weight count; white is no connection. The histogram is over the absolute weights, so that it says after
    which time how much of the input arrives, with the mean. Returns the axes. Raises `ValueError` without delays.
    """
    late, W, labels, what, unit = _delays_of(network)
    if axes is None:
        _, axes = pyplot().subplots(1, 2, figsize=(10.0, 4.2), layout="constrained")
    left, right = np.ravel(axes)
    image = left.imshow(np.ma.masked_where(W == 0, late), cmap="viridis", interpolation="nearest")
    left.figure.colorbar(image, ax=left, label=f"{what} ({unit})", shrink=0.85)
    _name_regions(labels, left)
    strength, times = np.abs(W[W != 0]), late[W != 0]
    mean = float(np.average(times, weights=strength))
    right.hist(times, bins=min(40, max(5, times.size // 10)), weights=strength / strength.sum(), color=BLUE)
    right.axvline(mean, color=ORANGE, linewidth=1.4, label=f"mean {mean:.4g}")
    right.set(xlabel=f"{what} ({unit})", ylabel="share of all weights", xlim=(min(0.0, float(times.min())), None))
    right.legend(frameon=False, fontsize=8)
    finish(right)
    return axes


def _delays_of(network: Any) -> tuple[np.ndarray, np.ndarray, Any, str, str]:
    rule = "be a `Network` with delays or a `Connectome` with lengths"
    if isinstance(network, Connectome):
        require("network", "a connectome without lengths", rule, network.lengths is not None)
        late, W, what, unit = network.lengths, network.weights, "length", "mm"
    else:
        given: Any = network
        require("network", given if isinstance(given, AbstractModel) else type(given).__name__, rule, is_network(given))
        late, W, what, unit = network.coupling.delays(), network.coupling.dense(), "delay", "unit of τ"
        require("network", network, rule, late is not None)
    weights = np.asarray(W, float)
    require("network", "no weights", "connect some nodes", bool(weights.any()))
    return np.asarray(late, float), weights, network.labels, what, unit


def _name_regions(labels: Any, axes: Any) -> None:
    every = max(1, -(-len(labels) // _NAMED))
    at = np.arange(0, len(labels), every)
    names = [str(labels[k]) for k in at]
    axes.set_xticks(at, names, rotation=90, fontsize=8)
    axes.set_yticks(at, names, fontsize=8)
    axes.set_xlabel("sending region")
    axes.set_ylabel("receiving region")


def _matrix(connectome: Connectome, axes: Any) -> None:
    from matplotlib.colors import LogNorm, Normalize, TwoSlopeNorm

    W = np.asarray(connectome.weights, float)
    shown = np.ma.masked_equal(W, 0)
    found = W[W != 0] if W.any() else np.ones(1)
    if found.min() < 0:
        top = np.abs(found).max()
        norm, colours = TwoSlopeNorm(0, -top, top), "RdBu_r"
    elif found.max() > 10 * found.min():
        norm, colours = LogNorm(found.min(), found.max()), "viridis"
    else:
        norm, colours = Normalize(0, found.max()), "viridis"
    image = axes.imshow(shown, cmap=colours, norm=norm, interpolation="nearest")
    bar = axes.figure.colorbar(image, ax=axes, label="weight W", shrink=0.85)
    if isinstance(norm, LogNorm):
        plain_numbers(bar.ax.yaxis, bool(found.max() < 300 * found.min()))
    _name_regions(connectome.labels, axes)


def _space(connectome: Connectome, view: str, axes: Any) -> None:
    from matplotlib.collections import LineCollection

    across, up, *words = _VIEWS[view]
    place = np.asarray(connectome.positions, float)[:, [across, up]]
    W = np.abs(np.asarray(connectome.weights, float))
    strength, pairs = W.sum(axis=1), np.triu(np.maximum(W, W.T), 1)
    i, j = np.unravel_index(np.argsort(pairs, axis=None)[-_LINKS:], pairs.shape)
    weight = pairs[i, j]
    i, j, weight = i[weight > 0], j[weight > 0], weight[weight > 0]
    if weight.size:
        share = weight / weight.max()
        segments = np.stack([place[i], place[j]], axis=1)
        shade = LineCollection(
            list(segments), colors=GREY, linewidths=0.4 + 2.2 * share, alpha=0.15 + 0.75 * share, zorder=1
        )
        axes.add_collection(shade)
    area = 8 + 130 * strength / max(strength.max(), np.finfo(float).tiny)
    axes.scatter(*place.T, s=area, color=BLUE, edgecolors="white", linewidths=0.6, zorder=2)
    if connectome.size <= 2 * _NAMED:
        for name, (x, y) in zip(connectome.labels, place, strict=True):
            axes.annotate(name, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
    axes.set_aspect("equal")
    axes.margins(0.08)
    axes.set_xlabel(words[0])
    axes.set_ylabel(words[1])
    few = (
        f"{weight.size} strongest of {np.count_nonzero(pairs)}"
        if weight.size < np.count_nonzero(pairs)
        else f"all {weight.size}"
    )
    axes.set_title(f"lines: {few} connections\narea: sum of received weights", fontsize=9, color=GREY, loc="left")
    finish(axes)
