"""The exact stationary density of the rate under common white noise, and the correlation of a recording.

    P(r) ∝ r^(−3/2) exp(−V(r)/T),   T = π D/Δ        dv = … + √(2D) dW in time t/τ, g = k = 0

In x = ln R, R = τ r, the density is ∝ exp(−x/2 − V/T), smooth, and falls off faster than any power at both ends.
Source: docs/theory.md §7.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Scalar, Values
from ..mechanics.energy import potential_energy
from ..models.mpr import MPR
from ..models.state import State
from ..numerics.quadrature import nodes_between

_COARSE = np.linspace(np.log(1e-5), np.log(1e4), 1024)
_DEPTH = 60.0  # densities below e^−60 of the highest are left out
_PANELS = 192


def boltzmann_log_density(model: MPR, x: Values, D: Any, current: Any = 0.0) -> Values:
    """ln of the density in x = ln(τ r), not normalised: −x/2 − V/T at T = π D/Δ; elementwise."""
    y = State(r=jnp.exp(x) / model.tau, v=jnp.zeros_like(x))
    return -x / 2 - potential_energy(model, y, current) * model.Delta / (jnp.pi * D)


def boltzmann_support(model: MPR, D: Any, current: Any = 0.0) -> tuple[Scalar, Scalar]:
    """The range of x = ln(τ r) that carries the density, without derivatives."""
    grid = jnp.asarray(_COARSE, model.eta.dtype)
    values = jax.lax.stop_gradient(boltzmann_log_density(model, grid, D, current))
    inside = values > jnp.max(values) - _DEPTH
    last = grid.size - 1
    return grid[jnp.maximum(jnp.argmax(inside) - 1, 0)], grid[jnp.minimum(last - jnp.argmax(inside[::-1]) + 1, last)]


def boltzmann_probabilities(model: MPR, edges: Values, D: Any, current: Any = 0.0) -> Values:
    """Probabilities (k,) that the rate lies between successive `edges` (k + 1,), which may begin with 0 and end with ∞.

    The Gauss–Legendre rule between all edges and the ends of panels that divide what carries the density: relative errors
    below 1e-12, also if a bin is wide and the density narrow.
    """
    dtype = model.eta.dtype
    low, high = boltzmann_support(model, D, current)
    finite = (edges > 0) & jnp.isfinite(edges)
    x = jnp.log(model.tau) + jnp.log(jnp.where(finite, edges, 1))
    x = jnp.where(finite, jnp.clip(x, low, high), jnp.where(edges > 0, high, low))
    points = jnp.sort(jnp.concatenate([x, low + (high - low) * jnp.asarray(np.linspace(0, 1, _PANELS + 1), dtype)]))
    middle = (points[1:] + points[:-1]) / 2
    at, weights = nodes_between(points[:-1], points[1:])
    values = boltzmann_log_density(model, at, D, current)
    mass = jnp.sum(weights * jnp.exp(values - jax.lax.stop_gradient(jnp.max(values))), axis=1)
    bins = jnp.searchsorted(jax.lax.stop_gradient(x), jax.lax.stop_gradient(middle), side="right") - 1
    inside = (bins >= 0) & (bins < edges.size - 1)
    kept = jnp.zeros(edges.size - 1, dtype).at[jnp.clip(bins, 0, edges.size - 2)].add(jnp.where(inside, mass, 0))
    return kept / jnp.sum(mass)


def autocorrelation_sum(x: np.ndarray) -> float:
    """1 + 2 Σ of the autocorrelation up to five times the sum (Sokal's window)."""
    x = x - x.mean()
    spectrum = np.abs(np.fft.rfft(x, 2 * x.size)) ** 2
    correlation = np.fft.irfft(spectrum)[: x.size]
    if correlation[0] <= 0:
        return 1.0
    total = 2 * np.cumsum(correlation / correlation[0]) - 1
    window = np.argmax(np.arange(x.size) >= 5 * total)
    return float(max(total[window], 1.0))
