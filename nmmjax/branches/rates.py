"""Layer 4: all fixed points of one population at given parameters, to start branches from.

At a fixed point slow variables are steady at the rate, dr/dt = 0 gives the voltage (it is affine in v), and dv/dt becomes a
function of the rate alone, whose signs on a grid of ln(τ r) with steps of 0.7 % bracket its zeros.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._types import Values
from ..models.base import State
from ..models.mpr import MPR

GRID = np.linspace(-np.log(1e6), np.log(1e6), 4097)
ROOTS = 5


def steady_state(model: MPR, x: Values) -> tuple[State, Values]:
    """The states at rates exp(x)/τ in which all but v stand still, and dv/dt there."""
    r = jnp.exp(x) / model.tau

    def at(v: Values) -> State:
        return State(r=r, v=v, **model.slow_steady(r))

    zero, one = jnp.zeros_like(r), jnp.ones_like(r)
    offset = model.vector_field(zero, at(zero)).r
    y = at(-offset / (model.vector_field(zero, at(one)).r - offset))
    return y, model.vector_field(zero, y).v


def rest_states(model: MPR) -> Values:
    """Up to 5 fixed points as flat states, `(5, n)`, by rate, to the accuracy of the grid; NaN where there are fewer."""
    grid = jnp.asarray(GRID, model.eta.dtype)
    _, force = steady_state(model, grid)
    change = (force[:-1] < 0) != (force[1:] < 0)
    (k,) = jnp.nonzero(change, size=ROOTS, fill_value=0)
    x = grid[k] + (grid[k + 1] - grid[k]) * force[k] / (force[k] - force[k + 1])
    x = jnp.where(jnp.arange(ROOTS) < jnp.sum(change), x, jnp.nan)
    flat = jax.vmap(lambda x: ravel_pytree(steady_state(model, x)[0])[0])(x)
    return jnp.where(jnp.isfinite(x)[:, None], flat, jnp.nan)
