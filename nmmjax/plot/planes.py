"""Pictures in the plane of rate and voltage, and peaks one after the other."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._types import Real
from ..landscape.orbits import Orbit
from ..mechanics.energy import total_energy
from ..models.base import require_one
from ..models.mpr import MPR
from ..models.state import State
from ..solvers.trajectory import Trajectory
from .common import BLUE, GREEN, GREY, ORANGE, finish, new_axes, pyplot


def energy_contours(model: MPR, r: Any, v: Any, *, I: Real = 0.0, levels: int = 24, axes: Any = None) -> Any:
    """Contours of the total energy over the (r, v) plane, slow variables at rest.

    - `model`: an MPR population
    - `r`, `v`: (low, high) of the axes, r per unit of time
    - `I`: constant input, in units of η
    - `levels`: number of contours
    - `axes`: matplotlib axes to draw on; new ones by default

    Returns the axes.
    """
    model = still(model)
    axes = pyplot().subplots(figsize=(6, 4.6), layout="constrained")[1] if axes is None else axes
    rs = np.linspace(max(r[0], 1e-3 * r[1]), r[1], 301)
    vs = np.linspace(v[0], v[1], 301)
    R, V = np.meshgrid(rs, vs)
    E = np.asarray(total_energy(model, State(r=jnp.asarray(R), v=jnp.asarray(V)), I))
    shown = np.quantile(E[np.isfinite(E)], np.linspace(0.001, 0.9, levels))
    axes.contour(R, V, E, levels=np.unique(shown), cmap="Greys_r", linewidths=0.6)
    axes.set_xlabel("firing rate r (1/time)")
    axes.set_ylabel("mean voltage v (dimensionless)")
    axes.set_xlim(rs[0], rs[-1])
    axes.set_ylim(vs[0], vs[-1])
    return axes


def still(model: Any, run: Trajectory | None = None) -> Any:
    """One population with its slow variables, if any, held where the run ended, or at rest without a run."""
    require_one(model, offer="riccati")
    if not model.slow_names:
        return model
    return model.frozen(model.state({"r": 1.0, "v": 0.0}) if run is None else run.y_end)


def orbits(model: MPR, found: Orbit | list[Orbit], run: Trajectory | None = None, axes: Any = None) -> Any:
    """Closed orbits on the contours of the energy, each with its best ellipse (dashed), and a run.

    - `model`: an MPR population
    - `found`: an `Orbit` or a list of them
    - `run`: a single `Trajectory`; None by default
    - `axes`: matplotlib axes to draw on; new ones by default

    Returns the axes.
    """
    found = [found] if isinstance(found, Orbit) else list(found)
    parts = [each.level_set for each in found] + ([run.ys] if run is not None else [])
    r = np.concatenate([np.asarray(part.r) for part in parts])
    v = np.concatenate([np.asarray(part.v) for part in parts])
    r, v = r[np.isfinite(r)], v[np.isfinite(v)]
    pad_r, pad_v = 0.12 * np.ptp(r), 0.12 * np.ptp(v)
    limits_r, limits_v = (r.min() - pad_r, r.max() + pad_r), (v.min() - pad_v, v.max() + pad_v)
    axes = energy_contours(model, limits_r, limits_v, axes=axes)
    if run is not None:
        axes.plot(run.ys.r, run.ys.v, color=GREEN, linewidth=0.9, label="simulation")
    for k, each in enumerate(found):
        ring = (
            np.append(np.asarray(each.level_set.r), each.level_set.r[0]),
            np.append(np.asarray(each.level_set.v), each.level_set.v[0]),
        )
        axes.plot(*ring, color=BLUE, label="level set of E" if k == 0 else None)
        x, y = ellipse_points(each)
        axes.plot(
            x / (np.pi * float(model.tau)), y, "--", color=ORANGE, linewidth=1.2, label="best ellipse" if k == 0 else None
        )
    axes.legend(frameon=True, framealpha=0.9, fontsize=8, loc="upper right")
    return axes


def ellipse_points(found: Orbit) -> tuple[np.ndarray, np.ndarray]:
    """Points (πτr, v) of an orbit's best ellipse.

    - `found`: an `Orbit`

    Returns two arrays of equal shape.
    """
    phi = np.linspace(0, 2 * np.pi, 241)
    shape = found.ellipse
    a, b = (float(each) for each in shape.semi_axes)
    cos, sin = np.cos(float(shape.angle)), np.sin(float(shape.angle))
    x = float(shape.center[0]) + a * np.cos(phi) * cos - b * np.sin(phi) * sin
    y = float(shape.center[1]) + a * np.cos(phi) * sin + b * np.sin(phi) * cos
    return x, y


def peaks(predicted: Any, simulated: Any = None, axes: Any = None) -> Any:
    """Successive spike peaks predicted from energy, against those of a simulation.

    - `predicted`: rates (count,), of `predict_peaks`
    - `simulated`: rates of the same peaks; None by default
    - `axes`: two matplotlib axes; new ones by default

    Returns the two axes.
    """
    axes = new_axes(axes, 2, (7.0, 5.0))
    number = np.arange(1, len(predicted) + 1)
    if simulated is not None:
        axes[0].plot(number, simulated, "o", mfc="none", color=BLUE, label="simulated")
        axes[1].plot(number, 100 * (np.asarray(predicted) / np.asarray(simulated) - 1), "o-", color=GREY)
        axes[1].axhline(0, color="black", linewidth=0.6)
        axes[1].set_ylabel("prediction error (%)")
    axes[0].plot(number, predicted, "x", color=ORANGE, label="predicted from energy")
    axes[0].set_ylabel("peak firing rate\n(1/time)")
    axes[0].legend(frameon=False)
    axes[-1].set_xlabel("spike number")
    return finish(axes)
