"""Quadrature of the stationary density: panels in x = ln(τ r) that follow its modes, however narrow they are.

With −x/2 − V(J)/T = −V(J − T/2)/T, the modes in x are the fixed points at the coupling J − T/2. From each mode the density
falls, on both sides, to the point between two modes or to nothing: four sides, each cut where it is e^−60 of its mode.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Scalar, Values
from ..equilibria.brackets import fixed_rates
from ..models.mpr import MPR
from ..numerics.roots import bisect
from .density import boltzmann_log_density

_DEPTH = 60.0
_REACH = 64.0  # in x, beyond which no side is followed
_PANELS = 48  # on each side
_HALVINGS = 64
_FRACTIONS = np.linspace(0, 1, _PANELS + 1)


def density_panels(model: MPR, D: Scalar) -> tuple[Values, Values]:
    """(starts, stops) of panels, (192,) each, by x, without derivatives: integrals don't depend on where panels end."""
    model, D = jax.lax.stop_gradient((model, D))
    T = jnp.pi * D / model.Delta
    R, _ = fixed_rates(eqx.tree_at(lambda each: each.J, model, model.J - T / 2))
    x = jnp.log(R)
    two = jnp.isfinite(x[1])
    low = jnp.where(jnp.isfinite(x[0]), x[0], x[2])
    high = jnp.where(jnp.isfinite(x[2]), x[2], x[0])
    modes = jnp.stack([low, low, high, high])
    between = jnp.where(two, x[1], low + _REACH)
    far = jnp.stack([low - _REACH, between, jnp.where(two, x[1], high), high + _REACH])
    ends = modes + _extent(model, D, modes, far) * (far - modes)
    starts = jnp.stack([ends[0], low, ends[2], high])
    stops = jnp.stack([low, ends[1], high, ends[3]])
    # One mode has two sides; the panels of the others are empty.
    absent = jnp.asarray([False, False, True, True]) & ~two
    starts, stops = jnp.where(absent, ends[1], starts), jnp.where(absent, ends[1], stops)
    edges = starts[:, None] + (stops - starts)[:, None] * jnp.asarray(_FRACTIONS, x.dtype)[None]
    return edges[:, :-1].ravel(), edges[:, 1:].ravel()


def _extent(model: MPR, D: Scalar, modes: Values, far: Values) -> Values:
    """The share of the way from a mode to `far` on which the density is more than e^−60 of its mode's, by bisection."""
    level = boltzmann_log_density(model, modes, D) - _DEPTH
    inside = lambda share: boltzmann_log_density(model, modes + share * (far - modes), D) > level
    one = jnp.ones_like(modes)
    return jnp.where(inside(one), one, bisect(inside, jnp.zeros_like(modes), one, _HALVINGS)[0])
