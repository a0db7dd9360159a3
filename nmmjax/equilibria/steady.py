"""States at which a population can rest, slow variables included, and their linear stability, by plain arithmetic.

Fits run many lanes at once, in which calls of LAPACK for matrices this small cost most of the time; so characteristic
polynomials stand in for eigenvalues: det(s − A) and the adjugate of s − A by Faddeev and LeVerrier, stability and Hopf
points by Routh's table.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._parameter import as_number
from .._types import Scalar, Values
from ..models.base import State
from ..models.mpr import MPR
from ..numerics.roots import solve_on_grid
from .brackets import fixed_rates

# ln R, R = τ r, at which rest states with slow variables are looked for, and bifurcations.
GRID = np.linspace(np.log(1e-3), np.log(1e2), 512)


def steady_state(model: MPR, x: Values) -> State:
    """The state whose rate R = exp(x) stands still: v where dr/dt = 0, slow variables settled."""
    R = jnp.exp(x)
    return State(r=R / model.tau, v=model.voltage_at_rate(R), **model.slow_steady(R / model.tau))


def steady_force(model: MPR, x: Values) -> Values:
    """τ dv/dt there, scaled to stay finite at low rates: zero at rest, falling through zero at minima of the energy."""
    R = jnp.exp(x)
    return model.frozen(steady_state(model, x)).force_at_rate(R) * R**2 / (1 + R**2)


def resting_rates(model: MPR) -> Values:
    """r of all states at which the force falls through zero, (k,), NaN where there is none."""
    if not model.slow_terms:
        R, _ = fixed_rates(model)
        return R[np.array([0, 2])] / model.tau
    grid = jnp.asarray(GRID, model.eta.dtype)
    return jnp.exp(solve_on_grid(steady_force, model, grid, 3, falling=True)) / model.tau


def nearest(rates: Values, near: Scalar) -> Any:
    """Which of the rates is closest to `near`, in ln r."""
    known = jax.lax.stop_gradient(rates)
    distance = jnp.abs(jnp.log(jnp.where(jnp.isnan(known), 1, known)) - jnp.log(near))
    return jnp.argmin(jnp.where(jnp.isnan(known), jnp.inf, distance))


def as_near(near: Any) -> Any:
    """A rate; a very high one where None, so that the highest is closest."""
    return jnp.asarray(1e30) if near is None else as_number("near", near, "(0, inf)")


def jacobian(model: MPR, y: State) -> Values:
    """∂(dy/dt)/∂y of one population, variables in the order of its state's names."""
    flat, unravel = ravel_pytree(y)
    return jax.jacfwd(lambda u: ravel_pytree(model.vector_field(jnp.zeros((), u.dtype), unravel(u)))[0])(flat)


def routh_column(c: list[Scalar]) -> list[Scalar]:
    """The first column of Routh's table: all positive where every root has a negative real part; the last but one vanishes
    at a Hopf point, where ω² is the last coefficient over the one before it."""
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
