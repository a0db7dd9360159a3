"""Functions of all 2^N states of N spins, by the fast Walsh–Hadamard transform: energies, moments, covariances.

One convention: state number n, written as N bits, reads in the order of the regions — the first region is the most
significant bit —, and bit 1 means spin +1. So the label `110` of three regions is state 6, spins (+1, +1, −1).

A set A of spins is a number of the same kind. The products φ_A(s) = Π_{i∈A} s_i are the Walsh functions: Σ_A c_A φ_A(s)
for all s, and Σ_s f(s) φ_A(s) for all A, each cost N 2^N operations, and φ_A φ_B = φ_{A xor B}, so that a covariance
is read off.
"""

from collections.abc import Sequence
from functools import lru_cache, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._types import Values

LARGEST = 20  # regions for which all 2^N states are held
_BITS = 5  # handled by one small matrix product: faster than single butterflies, and quick to compile


def combine(coefficients: Values) -> Values:
    """Σ_A c_A φ_A(s) for all states s, from c (2^N,) for all sets A."""
    return _transform(coefficients, False)


def moments(weights: Values) -> Values:
    """Σ_s f(s) φ_A(s) for all sets A, from f (2^N,) at all states; of a probability: the means ⟨φ_A⟩."""
    return _transform(weights, True)


def _transform(values: Values, adjoint: bool) -> Values:
    size = int(values.shape[0]).bit_length() - 1
    done = 0
    while done < size:
        bits = min(_BITS, size - done)
        step = np.asarray(reduce(np.kron, [np.asarray([[1, -1], [1, 1]])] * bits))
        matrix = jnp.asarray(step.T if adjoint else step, values.dtype)
        blocks = values.reshape(2**done, 2**bits, -1)
        values = jnp.einsum("rb,abc->arc", matrix, blocks, precision=jax.lax.Precision.HIGHEST)
        done += bits
    return values.reshape(-1)


@lru_cache
def sets(size: int) -> np.ndarray:
    """Numbers of the sets {i}, then {i, j} with i < j, row by row: the N (N + 1)/2 sufficient statistics."""
    single = 1 << np.arange(size - 1, -1, -1)
    i, j = np.triu_indices(size, 1)
    return np.concatenate([single, single[i] | single[j]]).astype(np.int32)


def _upper(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the pairs i < j; 32 bits, which JAX takes with and without x64."""
    i, j = np.triu_indices(size, 1)
    return i.astype(np.int32), j.astype(np.int32)


def pack(h: Values, J: Values) -> Values:
    """h (N,) and symmetric J (N, N) as one vector in the order of `sets`."""
    return jnp.concatenate([h, J[_upper(h.shape[0])]])


def unpack(theta: Values, size: int) -> tuple[Values, Values]:
    """h (N,) and symmetric J (N, N) with zero diagonal, from one vector in the order of `sets`."""
    upper = jnp.zeros((size, size), theta.dtype).at[_upper(size)].set(theta[size:])
    return theta[:size], upper + upper.T


def exponents(theta: Values, size: int) -> Values:
    """−E(s) = Σ_i h_i s_i + Σ_{i<j} J_ij s_i s_j of all states (2^N,)."""
    return combine(jnp.zeros(2**size, theta.dtype).at[sets(size)].set(theta))


def statistics(probability: Values, size: int) -> tuple[Values, Values]:
    """Means (k,) and covariance (k, k) of the k = N (N + 1)/2 sufficient statistics under a law on the states."""
    every, chosen = moments(probability), sets(size)
    mean = every[chosen]
    return mean, every[chosen[:, None] ^ chosen[None]] - mean[:, None] * mean[None]


def all_spins(size: int) -> np.ndarray:
    """Spins (2^N, N) of all states, int8."""
    return spins_of(np.arange(2**size), size)


def spins_of(states: Any, size: int) -> np.ndarray:
    """Spins (…, N) of state numbers, int8."""
    return (2 * ((np.asarray(states)[..., None] >> np.arange(size - 1, -1, -1)) & 1) - 1).astype(np.int8)


def states_of(spins: np.ndarray) -> np.ndarray:
    """State numbers (…) of spins (…, N)."""
    return (np.asarray(spins) > 0) @ (1 << np.arange(np.shape(spins)[-1] - 1, -1, -1))


def labels_of(spins: np.ndarray) -> tuple[str, ...]:
    """States as bit strings in the order of the regions, `1` for +1."""
    return tuple("".join("1" if each > 0 else "0" for each in row) for row in np.asarray(spins))


def spins_of_labels(labels: Sequence[str], size: int) -> np.ndarray:
    """Spins (k, N) of states given as bit strings."""
    for each in labels:
        require("labels", each, f"be {size} characters 0 or 1", len(each) == size and set(each) <= {"0", "1"})
    return np.asarray([[1 if bit == "1" else -1 for bit in each] for each in labels], np.int8).reshape(-1, size)


def refuse_large(size: int, instead: str) -> None:
    """Refuse to hold all 2^N states of more than `LARGEST` regions."""
    require("model", f"{size}", f"have at most {LARGEST} regions, as 2^N states are summed ({instead})", size <= LARGEST)
