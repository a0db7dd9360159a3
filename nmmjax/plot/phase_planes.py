"""The phase plane of one population: nullclines, energy contours, fixed points, the separatrix between basins."""

from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np

from ..equilibria.stability import flat_field, jacobian
from ..landscape.population import PopulationLandscape, population_landscape
from ..models.mpr import MPR
from ..models.state import State
from ..solvers.trajectory import Trajectory
from .common import BLUE, GREEN, GREY, ORANGE
from .planes import energy_contours, still


def phase_plane(
    model: MPR, run: Trajectory | None = None, *, I: float = 0.0, r: Any = None, v: Any = None, axes: Any = None
) -> Any:
    """Nullclines, contours of the energy, fixed points and the separatrix of a population at a constant input.

    The separatrix is the stable manifold of the saddle, integrated backwards from it: states on either side go to
    different attractors. Slow variables are held at the run's end, or at rest.

    - `model`: an MPR population
    - `run`: a single `Trajectory` to draw; None by default
    - `I`: constant input, in units of η
    - `r`, `v`: (low, high) of the axes; by default they cover the fixed points and the run
    - `axes`: matplotlib axes to draw on; new ones by default

    Returns the axes.
    """
    model = still(model, run)
    found = population_landscape(model, I)
    points = found.points
    r_known, v_known = [np.asarray(points.r)], [np.asarray(points.v)]
    if run is not None:
        r_known.append(np.asarray(run.ys.r))
        v_known.append(np.asarray(run.ys.v))
    r = (0.0, 1.35 * max(each.max() for each in r_known)) if r is None else r
    span = max(2.0, np.ptp(np.concatenate(v_known)))
    low, high = (f(each) for f, each in ((min, [e.min() for e in v_known]), (max, [e.max() for e in v_known])))
    v = (low - 0.35 * span, high + 0.5 * span) if v is None else v
    axes = energy_contours(model, r, v, I=I, axes=axes)
    rs = np.linspace(max(r[0], 1e-3 * r[1]), r[1], 401)
    nullcline = np.asarray(model.voltage_at_rate(model.tau * jnp.asarray(rs)))
    axes.plot(rs, nullcline, color=BLUE, linewidth=1.4, label="dr/dt = 0")
    R, V = np.meshgrid(rs, np.linspace(v[0], v[1], 401))
    y = State(r=jnp.asarray(R), v=jnp.asarray(V))
    field = model.vector_field(jnp.zeros(R.shape), y, I)
    axes.contour(R, V, np.asarray(field.v), levels=[0.0], colors=[ORANGE], linewidths=1.4)
    axes.plot([], [], color=ORANGE, label="dv/dt = 0")
    for k, branch in enumerate(_separatrix(model, found, r, v)):
        axes.plot(*branch, color=GREY, linewidth=1.6, linestyle="--", label="separatrix" if k == 0 else None)
    if run is not None:
        axes.plot(run.ys.r, run.ys.v, color=GREEN, linewidth=1, label="run")
    index = np.asarray(points.index)
    for which, face, label in ((index == 0, "black", "stable"), (index > 0, "white", "saddle")):
        if which.any():
            axes.plot(
                np.asarray(points.r)[which], np.asarray(points.v)[which], "o", color="black", mfc=face, ms=6, label=label
            )
    axes.set_xlim(*r)
    axes.set_ylim(*v)
    axes.legend(frameon=True, framealpha=0.9, fontsize=8, loc="upper right")
    return axes


def _separatrix(model: MPR, found: PopulationLandscape, r: Any, v: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both branches of the saddle's stable manifold, by integrating the reversed equations until they leave the picture."""
    if not len(found.saddles):
        return []
    saddle, decay = found.saddles[0], jnp.real(found.saddles.eigenvalues[0, 1])
    point, field = jnp.stack([saddle.r, saddle.v]), flat_field(model, saddle, found.I)

    def outside(t, y, args, **_) -> Any:
        return (y[0] > 1.3 * r[1]) | (y[0] < 1e-3 * r[1]) | (y[1] > v[1] + 1.0) | (y[1] < v[0] - 1.0)

    slopes = jacobian(model, saddle, found.I)[0]
    direction = jnp.stack([slopes[1], decay - slopes[0]])  # (J − λ) x = 0 by its first row
    direction = direction / jnp.linalg.norm(direction)
    branches = []
    for sign in (1, -1):
        part = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: -field(y)),
            diffrax.Tsit5(),
            t0=0.0,
            t1=60.0,
            dt0=None,
            y0=point + sign * 1e-4 * direction,
            saveat=diffrax.SaveAt(steps=True),
            stepsize_controller=diffrax.PIDController(rtol=1e-7, atol=1e-9, dtmax=0.02),
            event=diffrax.Event(outside),
            max_steps=8192,
            throw=False,
        )
        ys = np.asarray(part.ys)
        fine = np.isfinite(ys).all(axis=1)
        branches.append((ys[fine, 0], ys[fine, 1]))
    return branches
