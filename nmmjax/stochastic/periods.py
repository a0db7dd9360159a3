"""∮ dq/p over the set of one energy, the derivative of phase-space volume, through every kind of end point."""

import jax.numpy as jnp
import numpy as np

from .._types import Scalar, Values
from ..equilibria.brackets import fixed_rates
from ..mechanics.energy import potential_energy
from ..models.mpr import MPR
from ..models.state import State
from ..numerics.quadrature import panels
from ..numerics.roots import solve_between

_REACH = 64.0
_ENDS = np.concatenate([np.linspace(0, 6, 25), np.linspace(8, 72, 33)])


def phase_volume(model: MPR, energy: Scalar) -> Scalar:
    """∫∫ δ(E − ½q̇² − U(q)) dq dq̇ = Σ over wells of ∮ dq/p, p = √(2(E − U)), for g = k = 0; 0 below the minimum.

    Each well is cut at its minimum x₀ into two sides, which end at a turning point or at the pass. From an end x₁, x = ln R
    runs as x₁ + (x₀ − x₁) e^(−w): the square root at a turning point and the peak close to a pass are smooth in w. E − U is
    there a difference of potentials that is written out, so that nothing cancels.
    """
    R, _ = fixed_rates(model)
    x = jnp.log(R)
    two = jnp.isfinite(x[1])
    low = jnp.where(jnp.isfinite(x[0]), x[0], x[2])
    minima = jnp.stack([low, low, x[2], x[2]])
    far = jnp.stack([low - _REACH, jnp.where(two, x[1], low + _REACH), x[1], x[2] + _REACH])
    used = jnp.stack([jnp.ones_like(two), jnp.ones_like(two), two, two])
    minima, far = jnp.where(used, minima, low), jnp.where(used, far, low + 1)

    turning = solve_between(lambda args, x: _potential(args[0], x) - args[1], (model, energy), minima, far)
    at_pass = jnp.isnan(turning)
    ends = jnp.where(at_pass, far, turning)
    spare = jnp.where(at_pass, energy - _potential(model, far), 0)
    reached = used & (energy > _potential(model, minima))
    # If a side isn't reached, any numbers that have derivatives do.
    span = jnp.where(reached, minima - ends, 1)[:, None]
    ends = jnp.where(reached, ends, minima)[:, None]
    depths, weights = (jnp.asarray(each.reshape(1, -1), x.dtype) for each in panels(_ENDS))
    share = jnp.exp(-depths)
    above = _rise(model, ends, span * share) + spare[:, None]
    good = reached[:, None] & (above > 0)
    R = jnp.exp(ends + span * share)
    slope = jnp.where(good, 1 / jnp.sqrt(R * jnp.where(good, above, 1)), 0)
    return jnp.sum(weights * share * jnp.abs(span) * slope)


def _potential(model: MPR, x: Values) -> Values:
    return potential_energy(model, State(r=jnp.exp(x) / model.tau, v=jnp.zeros_like(x)))


def _rise(model: MPR, end: Values, step: Values) -> Values:
    """U(end) − U(end + step) in x = ln R, with y = 1/R: the difference of every term without cancellation."""
    y1, y = jnp.exp(-end), jnp.exp(-end - step)
    factor = model.eta - jnp.pi**2 / (y * y1) + model.Delta**2 / (12 * jnp.pi**2) * (y**2 + y * y1 + y1**2)
    return y * jnp.expm1(step) * factor + model.J * step
