"""Linear stability of a state: the Jacobian of a model's vector field, its eigenvalues, and tests that need none.

Fits run many lanes at once, in which calls of LAPACK for matrices this small cost most of the time; there characteristic
polynomials (`numerics.linear.characteristic`) stand in for eigenvalues, stability and Hopf points by Routh's table.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._types import ComplexValues, Scalar, Values
from ..models.base import AbstractModel
from ..models.state import State
from ..numerics.linear import characteristic


def flat_field(model: AbstractModel, like: Any, I: Any = 0.0) -> Callable[[Values], Values]:
    """dx/dt of the flat state x, of the kind of `like`, at the constant input I, as a function of x."""
    back = ravel_pytree(like)[1]
    return lambda x: ravel_pytree(model.vector_field(jnp.zeros((), x.dtype), back(x), I))[0]


def jacobian(model: AbstractModel, y: State, I: Any = 0.0) -> Values:
    """∂(dy/dt)/∂y at a state, flat: variables in the order of its names, each of them for all nodes of a network."""
    return jax.jacfwd(flat_field(model, y, I))(ravel_pytree(y)[0])


def planar_jacobian(model: AbstractModel, y: State, I: Any = 0.0) -> tuple[Values, Values, Values, Values]:
    """(∂ṙ/∂r, ∂ṙ/∂v, ∂v̇/∂r, ∂v̇/∂v) of a population at many states, elementwise; slow variables stand still."""

    def field(r: Values, v: Values) -> tuple[Values, Values]:
        flow = model.vector_field(jnp.zeros_like(r), y.replace(r=r, v=v), I)
        return flow.r, flow.v

    one, zero = jnp.ones_like(y.r), jnp.zeros_like(y.r)
    a, c = jax.jvp(field, (y.r, y.v), (one, zero))[1]
    b, d = jax.jvp(field, (y.r, y.v), (zero, one))[1]
    return a, b, c, d


def planar_eigenvalues(a: Values, b: Values, c: Values, d: Values) -> ComplexValues:
    """Eigenvalues of the matrices (a b; c d), `(…, 2)`, the slower or upper one first: (a + d)/2 ± √((a − d)²/4 + b c), in
    which trace² does not cancel against the determinant."""
    mean, root = (a + d) / 2, ((a - d) / 2) ** 2 + b * c
    size = jnp.sqrt(jnp.where(root == 0, 1, jnp.abs(root)))
    swing, turn = jnp.where(root > 0, size, 0), jnp.where(root < 0, size, 0)
    return jax.lax.complex(jnp.stack([mean + swing, mean - swing], axis=-1), jnp.stack([turn, -turn], axis=-1))


def eigenvalues(matrix: Values) -> ComplexValues:
    """Eigenvalues by decreasing real part, `(n,)`."""
    found = jnp.linalg.eigvals(matrix)
    return found[jnp.argsort(-jnp.real(found))]


def smooth_eigenvalues(matrix: Values) -> ComplexValues:
    """The same of a small matrix, with two derivatives, which those of `jnp.linalg.eigvals` lack, by two Newton steps on the
    characteristic polynomial; none if two eigenvalues are equal."""
    found = eigenvalues(jax.lax.stop_gradient(matrix))
    coefficients, _ = characteristic(matrix)
    for _ in range(2):
        value, slope = jnp.zeros_like(found), jnp.zeros_like(found)
        for each in coefficients:
            value, slope = value * found + each.astype(found.dtype), slope * found + value
        step = value / jnp.where(slope == 0, jnp.ones_like(slope), slope)
        found = found - jnp.where(jnp.abs(step) < 1e-3 * (1 + jnp.abs(found)), step, jnp.zeros_like(step))
    return found


def routh_column(c: list[Scalar]) -> list[Scalar]:
    """The first column of Routh's table: all positive if every root has a negative real part; the last but one vanishes
    at a Hopf point, and ω² is then the last coefficient over the one before it."""
    zero = jnp.zeros_like(c[0])
    upper, lower = list(c[0::2]), list(c[1::2])
    column = [upper[0]]
    for _ in range(len(c) - 1):
        column.append(lower[0])
        width = max(len(upper) - 1, 1)
        at = lambda row, k: row[k] if k < len(row) else zero
        pivot = jnp.where(lower[0] == 0, jnp.asarray(jnp.finfo(zero.dtype).tiny, zero.dtype), lower[0])
        below = [at(upper, k + 1) - upper[0] * at(lower, k + 1) / pivot for k in range(width)]
        upper, lower = lower, below
    return column


def is_stable(c: list[Scalar]) -> Any:
    """Whether every root of the polynomial has a negative real part."""
    return jnp.all(jnp.stack(routh_column(c)) > 0)
