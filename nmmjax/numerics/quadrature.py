"""Nodes and weights of quadrature, each table once.

Gauss–Legendre with n nodes is exact for polynomials of degree 2n − 1 on an interval; on panels its error falls as the 2n-th
power of their length. Gauss–Hermite does the same for ∫ f(x) φ(x) dx with the standard normal density φ. The midpoint rule
in θ ∈ (0, π) converges spectrally for integrands that are smooth and even in θ, such as those between turning points.
"""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._types import Values


@functools.cache
def gauss_legendre(order: int) -> tuple[np.ndarray, np.ndarray]:
    """(nodes, weights), `(order,)` each, of ∫ f dx over [−1, 1]."""
    return _fixed(*np.polynomial.legendre.leggauss(order))


@functools.cache
def gauss_hermite(order: int) -> tuple[np.ndarray, np.ndarray]:
    """(nodes, weights), `(order,)` each, of the mean of f(x) over a standard normal x; the weights add up to 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    return _fixed(nodes, weights / np.sqrt(2 * np.pi))


def _fixed(nodes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as constants, since many callers share them."""
    nodes.setflags(write=False)
    weights.setflags(write=False)
    return nodes, weights


def nodes_between(starts: Values, stops: Values, order: int = 8) -> tuple[Values, Values]:
    """Gauss–Legendre nodes and weights between bounds of any shape, with an axis `(order,)` behind."""
    half = (stops - starts)[..., None] / 2
    ones = (1,) * starts.ndim
    nodes, weights = (jnp.asarray(each, starts.dtype).reshape(*ones, -1) for each in gauss_legendre(order))
    return starts[..., None] + half * (1 + nodes), half * weights


def panels(ends: Any, order: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """The same in NumPy on the panels between successive `ends` (k + 1,): nodes and weights, `(k, order)` each."""
    nodes, weights = gauss_legendre(order)
    half = np.diff(ends)[:, None] / 2
    return ends[:-1, None] + half * (1 + nodes), half * weights


def midpoints(n: int) -> np.ndarray:
    """θ_j = (j + ½)π/n, `(n,)`; each has the weight π/n."""
    return (np.arange(n) + 0.5) * np.pi / n


def even_points(count: int, size: int) -> np.ndarray:
    """Points spread evenly over the unit cube, `(count, size)`, the first its centre: k times the powers of 1/x, modulo 1,
    with the root x of x^(size + 1) = x + 1 (Roberts 2018). More points go on from fewer."""
    x = 2.0
    for _ in range(64):
        x = (1 + x) ** (1 / (size + 1))
    return (0.5 + np.arange(count)[:, None] * x ** -np.arange(1.0, size + 1)) % 1
