"""A list of fixed points, with what an energy landscape says about each."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._results import Shown
from .._types import ComplexValues, Mask, Values, is_concrete
from ..models.state import State

KINDS = ("stable node", "stable focus", "saddle", "unstable", "center")


class FixedPoints(eqx.Module, Shown):
    """Fixed points of one population or network, k of them.

    - `state`: their `State`, arrays (k,) or (k, nodes); `points[i]` is the i-th state, ready for `simulate(y0=…)`
    - `energy`: the potential there, V for one population, Ψ for a network (NaN without a landscape); shape (k,)
    - `index`: how many directions lead downhill, the Morse index: 0 for minima, 1 for the passes between them
    - `eigenvalues`: of the Jacobian, (k, d), by decreasing real part, per unit of time
    - `barrier`: height of the lowest pass out of a minimum, inf without a pass; NaN for other points
    """

    state: State
    energy: Values
    index: Any
    eigenvalues: ComplexValues
    barrier: Values

    @property
    def r(self) -> Values:
        """Firing rates."""
        return self.state.r

    @property
    def v(self) -> Values:
        """Mean voltages."""
        return self.state.v

    @property
    def unstable(self) -> Any:
        """How many eigenvalues have positive real parts, beyond rounding, (k,)."""
        return jnp.sum(jnp.real(self.eigenvalues) > _rounding(self.eigenvalues), axis=-1)

    @property
    def stable(self) -> Mask:
        """Whether all eigenvalues have negative real parts, beyond rounding, (k,); False for centers."""
        return jnp.all(jnp.real(self.eigenvalues) < -_rounding(self.eigenvalues), axis=-1)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds in words: stable node, stable focus, saddle, unstable, center (undamped)."""
        return tuple(KINDS[int(code)] for code in np.atleast_1d(kind_codes(self.eigenvalues)))

    def select(self, which: Any) -> "FixedPoints":
        """The points that `which` picks: a boolean mask or an array of positions."""
        return jax.tree.map(lambda each: _picked(each, np.asarray(which)), self)

    def __len__(self) -> int:
        return self.energy.shape[0]

    def __getitem__(self, number: int) -> State:
        size = len(self)
        if not -size <= int(number) < size:
            raise IndexError(f"Argument `number` must be below the number of points, {size}, but got {number}.")
        return jax.tree.map(lambda each: _picked(each, int(number)), self.state)

    def __iter__(self) -> Iterator[State]:
        return (self[k] for k in range(len(self)))


def _picked(values: Any, which: Any) -> Any:
    """`values[which]`; of known values by NumPy, as JAX would compile every such access."""
    return jnp.asarray(np.asarray(values)[which]) if is_concrete(values) else values[which]


@jax.jit
def kind_codes(eigenvalues: ComplexValues) -> Any:
    """Position in `KINDS`, for eigenvalues (…, d)."""
    real, imag, zero = jnp.real(eigenvalues), jnp.imag(eigenvalues), _rounding(eigenvalues)
    up, down = jnp.sum(real > zero, axis=-1), jnp.sum(real < -zero, axis=-1)
    swings = jnp.any(imag != 0, axis=-1)
    stable = jnp.where(swings, 1, 0)
    code = jnp.where(up == 0, stable, jnp.where(down == 0, 3, 2))
    mixed = (up > 0) & (down > 0) & swings & (up % 2 == 0)
    return jnp.where((up == 0) & (down == 0), 4, jnp.where(mixed, 3, code))


def _rounding(eigenvalues: ComplexValues) -> Values:
    """The size below which a real part is zero, (…, d): rounding in the largest eigenvalue."""
    size = jnp.abs(eigenvalues)
    return jnp.broadcast_to(256 * jnp.finfo(size.dtype).eps * jnp.max(size, axis=-1, keepdims=True), size.shape)
