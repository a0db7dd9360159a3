"""Picture of the master stability of a network."""

from typing import Any

import numpy as np

from .._checks import require
from ..branches.patterns import MasterStability
from .common import BLUE, GREY, ORANGE, finish, pyplot


def master_stability(result: MasterStability, axes: Any = None) -> Any:
    """Growth rate of patterns over the eigenvalue Λ of the weights, with the network's own eigenvalues.

    - `result`: of `master_stability`
    - `axes`: matplotlib axes to draw on; new ones by default

    Real Λ: all roots as curves, the largest thick. Λ on a grid of the complex plane: the largest growth rate as an image,
    with the border of stability. Modes of the network are dots, orange if they grow, the uniform one a diamond. Returns the
    axes. Raises `ValueError` for complex Λ that are no grid.
    """
    Lambda, growth = np.asarray(result.Lambda), np.asarray(result.growth)
    line = Lambda.ndim == 1 and not np.any(np.imag(Lambda))
    rule = "have real values of Λ with one axis, or a grid in the complex plane"
    require("result", f"Λ of shape {Lambda.shape}", rule, line or (Lambda.ndim == 2 and min(Lambda.shape) > 1))
    axes = pyplot().subplots(figsize=(6.4, 4.2), layout="constrained")[1] if axes is None else axes
    modes, own = np.asarray(result.modes), np.asarray(result.mode_growth) if result.modes.size else np.zeros(0)
    if line:
        order = np.argsort(np.real(Lambda))
        x = np.real(Lambda)[order]
        roots = np.sort(np.real(np.asarray(result.exponents)), axis=-1)[order]
        axes.plot(x, roots[:, :-1], color=GREY, linewidth=0.8)
        axes.plot(x, roots[:, -1], color=BLUE, linewidth=1.8, label="largest growth rate")
        axes.axhline(0.0, color="black", linewidth=0.8)
        place, height = np.real(modes), own
        axes.set_xlabel("eigenvalue Λ of the weights (dimensionless)")
        axes.set_ylabel("growth rate Re λ (1/time)")
    else:
        most = float(np.nanmax(np.abs(growth))) or 1.0
        options = {"cmap": "RdBu_r", "vmin": -most, "vmax": most, "shading": "gouraud", "rasterized": True}
        mesh = axes.pcolormesh(np.real(Lambda), np.imag(Lambda), growth, **options)
        if np.nanmin(growth) < 0 < np.nanmax(growth):
            axes.contour(np.real(Lambda), np.imag(Lambda), growth, [0.0], colors="black", linewidths=1.0)
        axes.figure.colorbar(mesh, ax=axes, label="growth rate Re λ (1/time)")
        place, height = np.real(modes), np.imag(modes)
        axes.set_xlabel("Re Λ, eigenvalue of the weights (dimensionless)")
        axes.set_ylabel("Im Λ (dimensionless)")
    for grows, colour, name in ((False, BLUE, "modes that decay"), (True, ORANGE, "modes that grow")):
        some = (own > 0) == grows
        patterns = some & (np.arange(own.size) > 0)
        shown = {"color": colour, "markeredgecolor": "black", "markeredgewidth": 0.6, "linestyle": "none", "zorder": 3}
        if patterns.any():
            axes.plot(place[patterns], height[patterns], "o", markersize=5, label=name, **shown)
        if some[:1].any():
            axes.plot(
                place[:1], height[:1], "D", markersize=6, label=f"uniform mode, {'grows' if grows else 'decays'}", **shown
            )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            frameon=line, fontsize=8, **({} if line else {"loc": "upper left", "bbox_to_anchor": (0.0, -0.14), "ncols": 3})
        )
    return finish(axes)
