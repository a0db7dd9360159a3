"""How many steps lanes take, before any is computed; for numpy's arrays and JAX's (`xp`)."""

from typing import Any

import jax
import numpy as np

from .convergence import predicted_rates

_MOST = 2**28  # counted in 32 bits


def stretches(lengths: Any) -> int:
    """How many stretches lanes have, whose lengths are a pytree of arrays (lanes, …)."""
    return sum(int(np.prod(each.shape[1:])) for each in jax.tree.leaves(lengths))


def first_rates(stiffness: Any, lengths: Any, rtol: float, refines: bool, several: bool, xp: Any = np) -> Any:
    """Steps per unit of time of the first run, or with `refines` False of the only one.

    If lanes have `several` stretches, only equal rates share a block, so that all stretches of a lane are refined alike:
    then few different rates, which fill blocks.
    """
    # Nothing is predicted of NaN: such a lane runs, and what it ends with says so.
    rates = predicted_rates(xp.where(xp.isnan(stiffness), 1.0, stiffness), rtol, refines)
    if several:
        return 2 ** (xp.ceil(2 * xp.log2(rates)) / 2)
    # One step at least, so that twice as many are two.
    length = sum(each.reshape(rates.size, -1).astype(rates.dtype).sum(axis=1) for each in jax.tree.leaves(lengths))
    return xp.maximum(rates, 1 / xp.where(length > 0, length, xp.inf))


def steps_of(lengths: Any, rates: Any, multiple: Any, xp: Any = np) -> Any:
    """Numbers of steps of stretches of these lengths: a multiple of those at these rates; none without length."""
    shape = (-1,) + (1,) * (lengths.ndim - 1)
    exactly = 1 - max(1e-12, 4 * float(np.finfo(rates.dtype).eps))  # a whole number of steps stays one
    some = xp.minimum(xp.ceil(lengths * rates.reshape(shape) * exactly), _MOST)
    return (some.astype(np.int32) * xp.reshape(multiple, shape if np.ndim(multiple) else ())).astype(np.int32)


def classes_of(steps: Any, size: int) -> np.ndarray:
    """A number per lane, equal for lanes of equal steps."""
    rows = np.concatenate([each.reshape(size, -1) for each in jax.tree.leaves(steps)], axis=1)
    if (rows == rows[0]).all():
        return np.zeros(size)
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()
