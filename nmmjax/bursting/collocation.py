"""Integrals along a path x(θ), θ ∈ (0, π), from values at midpoints; spectrally accurate, also up to a node.

Values at θ_j = (j + ½)π/n are a cosine series; its integrals ∫₀^θ f dθ and ∫₀^θ f sin θ dθ are linear in the values. The
substitution by θ removes the square roots at turning points (docs/theory.md §5).
"""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from .._types import Values
from ..numerics.quadrature import midpoints


class Path(NamedTuple):
    """Nodes on a path and the matrices that integrate along it."""

    sin: Values
    cos: Values
    plain: Values
    weighted: Values
    whole: Values
    step: float

    def upto(self, f: Values) -> Values:
        """∫₀^θ f dθ at every node."""
        return self.plain @ f

    def total(self, f: Values) -> Values:
        """∫₀^π f dθ."""
        return jnp.sum(f) * self.step

    def upto_sin(self, f: Values) -> Values:
        """∫₀^θ f sin θ dθ at every node."""
        return self.weighted @ f

    def total_sin(self, f: Values) -> Values:
        """∫₀^π f sin θ dθ."""
        return self.whole @ f


@functools.cache
def _matrices(n: int) -> tuple[np.ndarray, ...]:
    theta, k = midpoints(n), np.arange(n)
    series = np.cos(np.outer(k, theta)) * 2 / n  # values → coefficients
    series[0] /= 2

    def one_minus_cosine(m, t) -> Any:
        """∫₀^t sin m t' dt'."""
        return np.where(m == 0, 0 * t, (1 - np.cos(m * t)) / np.where(m == 0, 1, m))

    plain = np.where(k[None] == 0, theta[:, None], np.sin(np.outer(theta, k)) / np.maximum(k[None], 1))
    weighted = 0.5 * (one_minus_cosine(k[None] + 1, theta[:, None]) - one_minus_cosine(k[None] - 1, theta[:, None]))
    whole = 0.5 * (one_minus_cosine(k + 1, np.full(n, np.pi)) - one_minus_cosine(k - 1, np.full(n, np.pi)))
    return np.sin(theta), np.cos(theta), plain @ series, weighted @ series, whole @ series


def path(n: int, dtype: DTypeLike) -> Path:
    """`n` midpoints."""
    sin, cos, plain, weighted, whole = (jnp.asarray(each, dtype) for each in _matrices(n))
    return Path(sin, cos, plain, weighted, whole, np.pi / n)
