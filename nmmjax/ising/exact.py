"""Maximum likelihood of the pairwise model over all 2^N states, by Newton's method; batched by `jax.vmap`."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Values, float_dtype
from ..numerics.ascent import ascend
from ..numerics.compiling import jitted
from .walsh import exponents, statistics

CONVERGED, DIVERGING, UNFINISHED = 0, 1, 2
STATUS = {
    CONVERGED: "converged",
    DIVERGING: "no estimate exists: some combination of states is never seen, so couplings grow without bound; give "
    "`penalty=` (such as 0.001) or leave out a region",
    UNFINISHED: "not converged",
}
_STEPS = 100


class Solution(eqx.Module):
    """One fit: `theta` (k,) in the order of `walsh.sets`, standard `error` (k,), ln Z, entropies in nats, `status`.

    `cross_entropy` is −⟨ln P⟩ over the data, `entropy` that of the model; they agree at the optimum without penalty.
    """

    theta: Any
    error: Any
    log_partition: Any
    entropy: Any
    cross_entropy: Any
    steps: Any
    status: Any


def solve_exact(mean: Values, samples: Values, penalty: Values, size: int) -> Solution:
    """The maximum of θ·m − ln Z(θ) − ½ penalty |θ|², from the data's means m (k,) of the sufficient statistics.

    Newton's method on a concave function: the gradient is m − ⟨φ⟩, the Hessian −Cov(φ) − penalty, both read off one
    Walsh–Hadamard transform of the probabilities. Standard errors: square roots of the diagonal of
    (C + penalty)⁻¹ C (C + penalty)⁻¹/samples with the Fisher information C, for independent samples.

    Without penalty the maximum exists only if no combination of states is impossible in the data. Otherwise a direction
    has a variance far below that of a single sample: status `DIVERGING`.
    """
    eps = jnp.finfo(mean.dtype).eps
    identity = jnp.eye(mean.shape[0], dtype=mean.dtype)

    def objective(theta: Values) -> tuple[Values, Values, Any]:
        exponent = exponents(theta, size)
        log_partition = jax.nn.logsumexp(exponent)
        model, covariance = statistics(jnp.exp(exponent - log_partition), size)
        value = jnp.vdot(theta, mean) - log_partition - penalty / 2 * jnp.vdot(theta, theta)
        return value, mean - model - penalty * theta, (covariance, log_partition, model)

    def direction(theta: Values, gradient: Values, rest) -> Values:
        # The small addition keeps the matrix regular if no estimate exists; elsewhere it costs no accuracy.
        factor = jax.scipy.linalg.cho_factor(rest[0] + (penalty + 16 * eps) * identity)
        return jax.scipy.linalg.cho_solve(factor, gradient)

    theta, gradient, rest, steps, ended = ascend(objective, direction, jnp.zeros_like(mean), _STEPS)
    covariance, log_partition, model = rest
    smallest = jnp.linalg.eigvalsh(covariance)[0]
    # 0 · smallest makes one decomposition wait for the other: two batches of them at once, each of which spreads over the
    # same few threads and waits for its parts there, can wait for ever.
    inverse = jnp.linalg.inv(covariance + (penalty + 16 * eps + 0 * smallest) * identity)
    error = jnp.sqrt(jnp.maximum(jnp.diagonal(inverse @ covariance @ inverse), 0) / samples)
    diverging = (penalty == 0) & (smallest <= jnp.maximum(0.01 / samples, 100 * eps))
    exact = ended & (jnp.max(jnp.abs(gradient)) <= jnp.sqrt(eps))
    return Solution(
        theta=theta,
        error=error,
        log_partition=log_partition,
        entropy=log_partition - jnp.vdot(theta, model),
        cross_entropy=log_partition - jnp.vdot(theta, mean),
        steps=steps,
        status=jnp.where(diverging, DIVERGING, jnp.where(exact, CONVERGED, UNFINISHED)),
    )


def solve_many(means: np.ndarray, samples: np.ndarray, penalty: float, size: int) -> Solution:
    """`solve_exact` for means (m, k) and samples (m,) at once; NumPy arrays.

    The pieces have states that fit the memory, and are filled up to a power of two, so that few sizes are compiled. If a
    pair of regions lacks a combination of states, and there is no penalty, nothing is tried: `DIVERGING`.
    """
    dtype, count = float_dtype(), means.shape[0]
    missing = np.asarray([penalty == 0 and unseen(mean, size) is not None for mean in means])
    few = max(1, min(32, 2**14 >> size))
    piece = min(max(few, 1 << (count - 1).bit_length()), 256, max(1, 2**22 >> size))
    parts = []
    for first in range(0, count, piece):
        some = np.where(missing[:, None], 0, means)[first : first + piece]
        filled = np.zeros((piece, means.shape[1]))
        filled[: some.shape[0]] = some
        number = np.ones(piece)
        number[: some.shape[0]] = samples[first : first + piece]
        found = _solve_lanes(jnp.asarray(filled, dtype), jnp.asarray(number, dtype), jnp.asarray(penalty, dtype), size)
        parts.append(jax.tree.map(lambda each, n=some.shape[0]: np.asarray(each)[:n], found))
    whole: Solution = jax.tree.map(lambda *each: np.concatenate(each), *parts)
    return eqx.tree_at(lambda each: each.status, whole, np.where(missing, DIVERGING, whole.status))


@jitted
def _solve_lanes(means: Values, samples: Values, penalty: Values, size: int) -> Solution:
    return jax.vmap(lambda mean, count: solve_exact(mean, count, penalty, size))(means, samples)


def solve_one(mean: Values, samples: Values, penalty: Values, size: int) -> Solution:
    """`solve_exact`, compiled once per number of regions."""
    return _solve(mean, samples, penalty, size)


_solve = jitted(solve_exact)


def data_means(spins: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Means (k,) of spins (time, N) and of their products, in the order of `walsh.sets`; with weights (m, time): (m, k)."""
    s = np.asarray(spins, float)
    i, j = np.triu_indices(s.shape[1], 1)
    if weights is None:
        return np.concatenate([s.mean(axis=0), (s.T @ s / s.shape[0])[i, j]])
    return weights @ np.concatenate([s, s[:, i] * s[:, j]], axis=1) / weights.sum(axis=1, keepdims=True)


def unseen(mean: np.ndarray, size: int) -> tuple[int, int, int, int] | None:
    """The first pair of regions with a combination of states that the data never show: (i, j, s_i, s_j)."""
    h, pairs = mean[:size], mean[size:]
    i, j = np.triu_indices(size, 1)
    for a in (1, -1):
        for b in (1, -1):
            seen = (1 + a * h[i] + b * h[j] + a * b * pairs) / 4
            if (missing := np.flatnonzero(seen < 1e-12)).size:
                return int(i[missing[0]]), int(j[missing[0]]), a, b
    return None
