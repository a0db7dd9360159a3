"""States at which a population rests, slow variables included: where the force on the rate vanishes.

At a rate held at R = τ r, the voltage at which the rate stands still and the settled slow variables follow in closed form;
what is left is the slope of v, f(R), a function of one variable.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import ComplexValues, Mask, Real, Scalar, Values
from ..models.base import require_one
from ..models.mpr import MPR
from ..models.state import State
from ..numerics.compiling import jitted
from ..numerics.roots import solve_on_grid, with_slope
from .brackets import fixed_rates
from .stability import jacobian, smooth_eigenvalues

# ln R, R = τ r, at which equilibria, folds and changes of kind are looked for: R = 1e-6 … 1e6.
GRID = np.linspace(-np.log(1e6), np.log(1e6), 4097)
# The same in fits, where every lane passes through it many times.
COARSE_GRID = np.linspace(np.log(1e-3), np.log(1e2), 512)
_EQUILIBRIA = 5


class Equilibria(eqx.Module):
    """Equilibria of the whole system, slow variables included, in the order of the rate; NaN beyond those found.

    `state`: arrays of shape `(5,)`; `eigenvalues`: `(5, d)` for d state variables, by decreasing real part; `stable`:
    whether all real parts are negative.
    """

    state: State
    eigenvalues: ComplexValues
    stable: Mask


@jitted
def find_equilibria(model: MPR, I: Real = 0.0) -> Equilibria:
    """All equilibria of a population with its slow variables, by rate, with eigenvalues and stability.

    They are where the slow variables are steady at the rate that the fast equations hold: zeros of f(R; s(R)), bracketed
    on a grid of ln R with steps of 0.7 %. At most 5. `I` is a constant input. With several poles the force may bend more
    often: there its turning points cut the grid as well, so that two zeros close to a fold are told apart, and up to 2K + 1
    are found.
    Differentiable, and `jax.vmap` gives those of many populations.
    """
    require_one(model, offer="resting")
    current = jnp.asarray(I, model.eta.dtype)
    tilted, grid, count = model.tilted(current), jnp.asarray(GRID, current.dtype), _EQUILIBRIA
    if model.modes is not None:
        count = max(count, 2 * model.modes.width.shape[0] + 1)
        turns = solve_on_grid(_steady_slope, tilted, grid, count)
        grid = jnp.sort(jnp.concatenate([grid, jnp.where(jnp.isfinite(turns), jax.lax.stop_gradient(turns), grid[-1])]))
    found = solve_on_grid(steady_force, tilted, grid, count)
    exists = jnp.isfinite(found)
    state = steady_state(tilted, jnp.where(exists, found, jnp.zeros_like(found)))
    values = jax.vmap(lambda y: smooth_eigenvalues(jacobian(tilted, y)))(state)
    values = jnp.where(exists[:, None], values, jnp.nan)
    state = jax.tree.map(lambda each: jnp.where(exists, each, jnp.nan), state)
    return Equilibria(state, values, jnp.all(jnp.real(values) < 0, axis=1))


def steady_state(model: MPR, x: Values) -> State:
    """The state that stands still but for v, slow variables settled, at R = exp(x); with several poles see `MPR.resting`."""
    return model.resting(x)[0]


def steady_force(model: MPR, x: Values) -> Values:
    """τ dv/dt there, scaled to stay finite at low rates: zero at rest, falling through zero at minima of the energy."""
    R = jnp.exp(x)
    return model.resting(x)[1] * R**2 / (1 + R**2)


def _steady_slope(model: MPR, x: Values) -> Values:
    return with_slope(lambda x: steady_force(model, x), x)[1]


def resting_rates(model: MPR) -> Values:
    """r of all states at which the force falls through zero, (k,), NaN if absent."""
    if not model.slow_names:
        R, _ = fixed_rates(model)
        return R[np.array([0, 2])] / model.tau
    grid = jnp.asarray(COARSE_GRID, model.eta.dtype)
    return jnp.exp(solve_on_grid(steady_force, model, grid, 3, falling=True)) / model.tau


def nearest(rates: Values, near: Scalar) -> Any:
    """Which of the rates is closest to `near`, in ln r."""
    known = jax.lax.stop_gradient(rates)
    distance = jnp.abs(jnp.log(jnp.where(jnp.isnan(known), 1, known)) - jnp.log(near))
    return jnp.argmin(jnp.where(jnp.isnan(known), jnp.inf, distance))


def where_finite(function: Callable[[Values], Values], x: Values) -> Values:
    """`function(x)`, NaN if x is, without spoiling derivatives elsewhere."""
    finite = jnp.isfinite(x)
    return jnp.where(finite, function(jnp.where(finite, x, jnp.zeros_like(x))), jnp.nan)
