"""Small linear systems."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import ComplexValues, Scalar, Values


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


_DOUBLINGS = 64  # integrals up to 2⁶⁴ of the shortest times


def solve_lyapunov(A: Values, Q: Values) -> Values:
    """X (m, m) with A X + X Aᵀ + Q = 0, ∫₀^∞ e^(At) Q e^(Aᵀt) dt; NaN unless all eigenvalues of A have negative real parts.

    The stationary covariance of dx = A x dt + noise whose increments have the covariance Q dt. By doubling: with E = (p −
    A)⁻¹(p + A), X = E X Eᵀ + 2p (p − A)⁻¹ Q (p − A)⁻ᵀ is a sum whose first 2^k terms take k steps, matrix products but for
    one inverse. Derivatives, by either mode, are solutions of the same equation, or of the adjoint one. Source: Smith, SIAM
    J. Appl. Math. 16:198 (1968).
    """
    still = jax.lax.stop_gradient(A)
    solve = lambda _, b: _doubled(still, -b)
    adjoint = lambda _, b: _doubled(still.T, -b)
    return jax.lax.custom_linear_solve(lambda X: A @ X + X @ A.T, -Q, solve, adjoint)


def _doubled(A: Values, Q: Values) -> Values:
    size, eye = A.shape[0], jnp.eye(A.shape[0], dtype=A.dtype)
    p = jnp.linalg.norm(A) / jnp.sqrt(jnp.asarray(size, A.dtype))
    inverse = jnp.linalg.inv(p * eye - A)
    least = jnp.finfo(A.dtype).eps / size

    def left(E: Values) -> Any:
        return jnp.sum(E**2)

    def double(carry: Any) -> Any:
        E, X, k = carry
        return E @ E, X + E @ X @ E.T, k + 1

    def unsettled(carry: Any) -> Any:
        E, _, k = carry
        return (left(E) > least) & jnp.isfinite(left(E)) & (k < _DOUBLINGS)

    start = inverse @ (p * eye + A), 2 * p * inverse @ Q @ inverse.T, jnp.zeros((), jnp.int32)
    E, X, _ = jax.lax.while_loop(unsettled, double, start)
    return jnp.where(left(E) <= least, X, jnp.nan)


_AT_ONCE = 32  # frequencies: memory is that of 32 matrices


def resolvent(A: Values, b: Values, f: Values) -> ComplexValues:
    """(2πif − A)⁻¹ b, (f, m, n), at the frequencies `f` (f,) in cycles per time: the response of ẋ = A x + b ξ."""
    eye = jnp.eye(A.shape[0], dtype=A.dtype)

    def one(f: Values) -> ComplexValues:
        matrix = jax.lax.complex(-A, 2 * jnp.pi * f * eye)
        return jnp.linalg.solve(matrix, b.astype(matrix.dtype))

    return jax.lax.map(one, f, batch_size=_AT_ONCE)
