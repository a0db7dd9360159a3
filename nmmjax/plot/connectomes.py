"""Pictures of connectomes: the matrix of weights, and the regions in space."""

from typing import Any

import numpy as np

from .._checks import require
from ..models.connectome import Connectome
from .common import BLUE, GREY, finish, plain_numbers, pyplot

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


def _matrix(connectome: Connectome, axes: Any) -> None:
    from matplotlib.colors import LogNorm, Normalize, TwoSlopeNorm

    W, n = np.asarray(connectome.weights, float), connectome.size
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
    every = max(1, -(-n // _NAMED))
    at = np.arange(0, n, every)
    names = [connectome.labels[k] for k in at]
    axes.set_xticks(at, names, rotation=90, fontsize=8)
    axes.set_yticks(at, names, fontsize=8)
    axes.set_xlabel("sending region")
    axes.set_ylabel("receiving region")


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
