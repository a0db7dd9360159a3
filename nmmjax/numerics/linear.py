"""Small linear systems."""

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Scalar, Values


def solve_positive(A: Values, b: Values) -> Values:
    """A⁻¹ b of a positive definite matrix, by elimination in plain array operations: over many small systems they are faster
    than one call of LAPACK for each, and its threads may wait for each other if several calls run at once."""
    columns = b[:, None] if b.ndim == 1 else b

    def eliminate(k, rows: Values) -> Values:
        pivot = rows[k] / rows[k, k]
        return (rows - rows[:, k, None] * pivot[None]).at[k].set(pivot)

    solved = jax.lax.fori_loop(0, A.shape[0], eliminate, jnp.concatenate([A, columns], axis=1))[:, A.shape[0] :]
    return solved[:, 0] if b.ndim == 1 else solved


def scaled_inverse(A: np.ndarray, least: float) -> np.ndarray:
    """The pseudo-inverse of a symmetric matrix in NumPy, scaled to unit diagonal before eigenvalues below `least` of the
    largest count as 0: then units don't decide what is lost."""
    scale = 1 / np.sqrt(np.maximum(np.diagonal(A), np.finfo(float).tiny))
    return np.outer(scale, scale) * np.linalg.pinv(A * np.outer(scale, scale), least, hermitian=True)


def covariance(A: np.ndarray) -> np.ndarray:
    """A⁻¹ of a Fisher information in NumPy, by its scaled eigenvectors; infinite variances along directions without
    information, NaN for what isn't finite."""
    if not np.all(np.isfinite(A)):
        return np.full_like(A, np.nan)
    scale = 1 / np.sqrt(np.maximum(np.diagonal(A), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(A * np.outer(scale, scale))
    flat = values <= 1e-14 * max(values[-1], 0)
    found = (vectors / np.where(flat, np.inf, values)) @ vectors.T * np.outer(scale, scale)
    # What a direction without information touches has no variance that the data bound.
    lost = np.any(np.abs(vectors[:, flat]) > 1e-6, axis=1)
    np.fill_diagonal(found, np.where(lost, np.inf, np.diagonal(found)))
    return found


def solve_scaled(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A⁻¹ b of a positive definite matrix in NumPy, scaled to unit diagonal, with as small a ridge as positive eigenvalues
    need: a step of Newton's method if rounding hides a direction."""
    scale = 1 / np.sqrt(np.diag(A))
    shape = (-1,) + (1,) * (b.ndim - 1)
    values, vectors = np.linalg.eigh(A * scale[:, None] * scale)
    values = np.maximum(values, 1e-13 * values[-1])
    return scale.reshape(shape) * (vectors @ ((vectors.T @ (scale.reshape(shape) * b)) / values.reshape(shape)))


def characteristic(A: Values) -> tuple[list[Scalar], list[Values]]:
    """(c, M) with det(s − A) = Σ c[k] s^(n−k), c[0] = 1, and adj(s − A) = Σ M[k] s^(n−1−k), k = 0, …, n − 1.

    By the Faddeev–LeVerrier recursion, in plain array operations, which many small matrices at once need.
    """
    n = A.shape[0]
    eye = jnp.eye(n, dtype=A.dtype)
    c, M = [jnp.ones((), A.dtype)], [eye]
    for k in range(1, n + 1):
        product = jnp.sum(A[:, :, None] * M[-1][None], axis=1)
        c.append(-jnp.trace(product) / k)
        if k < n:
            M.append(product + c[-1] * eye)
    return c, M
