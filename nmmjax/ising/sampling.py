"""Gibbs sampling of the pairwise model, many chains at once, and the fit by persistent chains built on it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Key, Values
from ..numerics.compiling import jitted
from .walsh import pack, unpack


@jitted
def gibbs(h: Values, J: Values, spins: Values, key: Key, sweeps: int) -> Values:
    """Spins (chains, N) of ±1 after `sweeps` sweeps of Gibbs sampling, all chains at once.

    One region after the other is drawn from its law given the rest: P(s_i = 1) = 1/(1 + exp(−2 (h_i + Σ_j J_ij s_j))).
    """
    size = h.shape[0]

    def sweep(spins: Values, key) -> tuple[Values, None]:
        noise = jax.random.logistic(key, (size, spins.shape[0]), spins.dtype)

        def update(i, spins: Values) -> Values:
            up = 2 * (spins @ J[:, i] + h[i]) > noise[i]
            return spins.at[:, i].set(jnp.where(up, 1, -1).astype(spins.dtype))

        return jax.lax.fori_loop(0, size, update, spins), None

    return jax.lax.scan(sweep, spins, jax.random.split(key, sweeps))[0]


@jitted
def climb(mean: Values, start: Values, key: Key, size: int, chains: int, steps: int, penalty: Values) -> tuple[Any, Any]:
    """Boltzmann learning with persistent chains: θ averaged over the last half of `steps`, and the remaining gradient.

    Each step moves all chains by one Gibbs sweep and θ along m − ⟨φ⟩_chains, with a step that falls from 0.2 as 1/√step;
    averages of the second half remove most of the chains' noise.
    """
    first, second = jax.random.split(key)
    spins = jnp.where(jax.random.bernoulli(first, 0.5, (chains, size)), 1, -1).astype(mean.dtype)
    h, J = unpack(start, size)
    spins = gibbs(h, J, spins, second, 50)

    def step(carry, inputs) -> tuple[Any, None]:
        theta, spins, total, excess = carry
        number, key = inputs
        spins = gibbs(*unpack(theta, size), spins, key, 1)
        found = pack(jnp.mean(spins, axis=0), spins.T @ spins / chains)
        gradient = mean - found - penalty * theta
        rate = 0.2 / jnp.sqrt(1 + number.astype(mean.dtype) / 20)
        theta = theta + rate * gradient
        late = (number >= steps // 2).astype(mean.dtype)
        return (theta, spins, total + late * theta, excess + late * gradient), None

    zero = jnp.zeros_like(start)
    numbers = (jnp.arange(steps), jax.random.split(key, steps))
    (_, _, total, excess), _ = jax.lax.scan(step, (start, spins, zero, zero), numbers)
    count = steps - steps // 2
    return total / count, excess / count


def solve_sampling(
    mean: np.ndarray, start: Values, key: Key, size: int, chains: int, steps: int, penalty: float
) -> tuple[Values, float]:
    """Fit by persistent chains from `start`: θ, and the largest remaining difference of a moment."""
    dtype = start.dtype
    theta, excess = climb(jnp.asarray(mean, dtype), start, key, size, chains, steps, jnp.asarray(penalty, dtype))
    return theta, float(jnp.max(jnp.abs(excess)))
