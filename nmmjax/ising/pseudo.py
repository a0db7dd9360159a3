"""Maximum pseudo-likelihood of the pairwise model, for regions too many to sum over 2^N states."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from .._types import Values
from ..numerics.ascent import ascend
from ..numerics.compiling import jitted
from .exact import CONVERGED, DIVERGING, UNFINISHED
from .walsh import pack, unpack

_STEPS = 100
_DENSE = 1300  # parameters up to which the Hessian is held: standard errors, and whether an estimate exists
_ENTRIES = 2 * 10**7  # of the table of scores


def solve_pseudo(spins: np.ndarray, penalty: float, dtype: DTypeLike) -> tuple[Values, np.ndarray | None, int, int]:
    """The maximum of ⟨Σ_i ln P(s_i | the others)⟩ − ½ penalty |θ|² for spins (time, N): θ, errors or None, steps, status.

    P(s_i | others) = exp(s_i f_i)/(2 cosh f_i) with f_i = h_i + Σ_j J_ij s_j and one symmetric J; concave, so that Newton's
    method finds the maximum, each step solved by conjugate gradients without a matrix. Standard errors are those of an
    M-estimator, H⁻¹ Cov(score) H⁻¹/T, for independent samples, while H has at most 1300 columns.
    """
    s, strength = jnp.asarray(spins, dtype), jnp.asarray(penalty, dtype)
    theta, gradient, _, steps, ended = _solve(s, strength)
    count, samples, eps = theta.shape[0], spins.shape[0], float(jnp.finfo(dtype).eps)
    whole = count <= _DENSE and count * samples <= _ENTRIES
    hessian, spread, smallest = _information(spins, np.asarray(theta, float), whole)
    errors = None
    if hessian is not None and spread is not None:
        inverse = np.linalg.inv(hessian + (penalty + 16 * eps) * np.eye(count))
        errors = np.sqrt(np.maximum(np.diag(inverse @ spread @ inverse), 0) / samples)
    if penalty == 0 and smallest <= max(0.01 / samples, 100 * eps):
        return theta, errors, int(steps), DIVERGING
    exact = bool(ended) and float(jnp.max(jnp.abs(gradient))) <= eps**0.5
    return theta, errors, int(steps), CONVERGED if exact else UNFINISHED


@jitted
def _solve(s: Values, penalty: Values) -> Any:
    samples, size = s.shape
    products = s.T @ s / samples
    data = pack(jnp.mean(s, axis=0), 2 * products)

    def apply(weight: Values) -> Values:
        """Gradient of ⟨Σ_i w_i f_i⟩ by θ for w (time, N)."""
        cross = weight.T @ s / samples
        return pack(jnp.mean(weight, axis=0), cross + cross.T)

    def fields(theta: Values) -> Values:
        h, J = unpack(theta, size)
        return s @ J + h[None]

    def objective(theta: Values) -> tuple[Values, Values, Any]:
        f = fields(theta)
        mean = jnp.tanh(f)
        per_spin = s * f - jnp.logaddexp(f, -f)
        value = jnp.sum(jnp.mean(per_spin, axis=0)) - penalty / 2 * jnp.vdot(theta, theta)
        return value, data - apply(mean) - penalty * theta, 1 - mean**2

    def direction(theta: Values, gradient: Values, slope: Values) -> Values:
        eps = jnp.finfo(s.dtype).eps
        # The diagonal of the Hessian: sums of the slopes.
        level = jnp.mean(slope, axis=0)
        diagonal = pack(level, level[:, None] + level[None]) + penalty + 16 * eps
        operator = lambda v: apply(slope * fields(v)) + (penalty + 16 * eps) * v
        precondition = lambda v: v / diagonal
        size_of = jnp.sqrt(jnp.vdot(gradient, gradient))
        tol: Any = jnp.minimum(0.1, size_of)  # tighter as it closes in: superlinear convergence
        return jax.scipy.sparse.linalg.cg(operator, gradient, tol=tol, maxiter=300, M=precondition)[0]

    return ascend(objective, direction, jnp.zeros_like(data), _STEPS)


def _information(spins: np.ndarray, theta: np.ndarray, whole: bool) -> tuple[np.ndarray | None, np.ndarray | None, float]:
    """Hessian (with its sign turned) and variance of the score, both (k, k) if `whole`; the Hessian's least eigenvalue,
    or else that of the regions' own blocks, which bounds it if a region alone has no estimate."""
    s, size = np.asarray(spins, float), spins.shape[1]
    i, j = np.triu_indices(size, 1)
    J = np.zeros((size, size))
    J[i, j] = J[j, i] = theta[size:]
    mean = np.tanh(s @ J + theta[:size])
    number = np.diag(np.arange(size))  # of the parameter that multiplies spin b, or 1, in f_a
    number[i, j] = number[j, i] = size + np.arange(i.size)
    hessian = np.zeros((theta.size, theta.size)) if whole else None
    smallest = np.inf
    for site in range(size):
        design = s.copy()
        design[:, site] = 1
        block = design.T @ ((1 - mean[:, site] ** 2)[:, None] * design) / s.shape[0]
        if hessian is None:
            smallest = min(smallest, float(np.linalg.eigvalsh(block)[0]))
        else:
            hessian[np.ix_(number[site], number[site])] += block
    if hessian is None:
        return None, None, smallest
    rest = s - mean
    score = np.concatenate([rest, rest[:, i] * s[:, j] + rest[:, j] * s[:, i]], axis=1)
    return hessian, score.T @ score / s.shape[0], float(np.linalg.eigvalsh(hessian)[0])
