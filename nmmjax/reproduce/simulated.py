"""Simulations with which predictions are compared."""

import jax.numpy as jnp
import numpy as np

from ..mechanics.coordinates import from_qqdot
from ..models.mpr import MPR
from ..models.state import State
from ..solvers.simulation import simulate
from .claim import as_numpy


def peak_state(model: MPR, r: object) -> State:
    """The state at rate `r` where dr/dt = 0."""
    q = jnp.sqrt(2 / (model.tau * jnp.asarray(r)))
    return from_qqdot(model, q, jnp.zeros_like(q))


def find_peaks(ts: object, r: object) -> tuple[np.ndarray, np.ndarray]:
    """Times and heights of the local maxima of equally spaced samples, by the parabola through three points."""
    ts, r = as_numpy(ts), as_numpy(r)
    at = np.flatnonzero((r[1:-1] > r[:-2]) & (r[1:-1] >= r[2:])) + 1
    low, mid, high = r[at - 1], r[at], r[at + 1]
    offset = (low - high) / (2 * (low - 2 * mid + high))
    return ts[at] + offset * (ts[1] - ts[0]), mid - (low - high) * offset / 4


def simulated_peaks(model: MPR, r0: float, count: int, t1: float, samples: int) -> np.ndarray:
    """The first `count` peaks of r of a run that starts at the peak `r0` and lasts `t1`."""
    ts = jnp.linspace(0.0, t1, samples)
    run = simulate(model, peak_state(model, r0), ts, rtol=1e-11, atol=1e-13)
    return np.concatenate([[r0], find_peaks(ts, run.ys.r)[1]])[:count]
