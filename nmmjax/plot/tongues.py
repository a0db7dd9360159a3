"""Picture of Arnold tongues."""

from typing import Any

import numpy as np

from ..sweeps.tongues import Entrainment
from .common import BLUE, GREY, finish, pyplot

_COLOURS = ("#1f5fa8", "#d1651a", "#1d5433", "#8c6bb1", "#b8860b", "#7f7f7f", "#17869e", "#a04050")


def arnold_tongues(result: Entrainment, axes: Any = None) -> Any:
    """Rotation numbers over frequency and amplitude of the input, with the locked ratios p : q in colours.

    - `result`: of `entrainment`
    - `axes`: matplotlib axes to draw on; new ones by default

    Two or more amplitudes: locked regions in one colour per ratio, the rotation number in grey elsewhere; white where a run
    failed. One amplitude: the rotation number over the frequency, a staircase, with dots where it is locked. Returns the
    axes.
    """
    axes = pyplot().subplots(figsize=(6.8, 4.4), layout="constrained")[1] if axes is None else axes
    order = np.argsort(result.omegas)
    omega, ratios = result.omegas[order], result.ratios[: len(_COLOURS)]
    (_staircase if result.amplitudes.size == 1 else _regions)(result, order, omega, ratios, axes)
    axes.set_xlabel("angular frequency of the input ω (rad/time)")
    if ratios:
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=len(ratios) + 1)
    return finish(axes)


def _regions(result: Entrainment, order: Any, omega: np.ndarray, ratios: Any, axes: Any) -> None:
    rows = np.argsort(result.amplitudes)
    pick = lambda values: values[rows][:, order]
    options = {"shading": "nearest", "rasterized": True}
    rotation, p, q = pick(result.rotation), pick(result.p), pick(result.q)
    amplitude = result.amplitudes[rows]
    colormap = pyplot().matplotlib.colors.ListedColormap
    greys = colormap(pyplot().get_cmap("Greys")(np.linspace(0.08, 0.6, 64)))
    most = float(np.nanquantile(rotation, 0.98)) if np.isfinite(rotation).any() else 0.0
    free = np.ma.masked_where(~np.isfinite(rotation), rotation)
    mesh = axes.pcolormesh(omega, amplitude, free, cmap=greys, vmin=0.0, vmax=most if most > 0 else 1.0, **options)
    axes.figure.colorbar(mesh, ax=axes, label="rotation number where not locked")
    for k, (one, other) in enumerate(ratios):
        here = np.ma.masked_where((p != one) | (q != other), np.zeros(p.shape))
        axes.pcolormesh(omega, amplitude, here, cmap=colormap([_COLOURS[k]]), **options)
        axes.scatter([], [], marker="s", s=60, color=_COLOURS[k], label=f"{one}:{other}")
    axes.set_ylabel("amplitude of the input A (dimensionless)")


def _staircase(result: Entrainment, order: Any, omega: np.ndarray, ratios: Any, axes: Any) -> None:
    rotation, p, q = (values[0][order] for values in (result.rotation, result.p, result.q))
    axes.plot(omega, rotation, "-", color=GREY, linewidth=1)
    axes.plot(omega[q == 0], rotation[q == 0], ".", color=BLUE, markersize=3, label="not locked")
    for k, (one, other) in enumerate(ratios):
        here = (p == one) & (q == other)
        axes.plot(omega[here], rotation[here], "o", color=_COLOURS[k], markersize=4, label=f"{one}:{other}")
    axes.set_ylabel("rotation number ρ (cycles per cycle)")
