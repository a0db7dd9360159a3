"""Down the landscape of a network, many starts at once, and onto fixed points to rounding.

All functions take x = ln R of shape (k, n). Memory is bounded by cutting the starts into equal pieces.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx

from .._types import Mask, Values
from ..models.network import Network
from ..numerics.compiling import jitted
from .potential import force, hessian, psi

_PIECE, _ENTRIES = 64, 2**22  # starts at once: all wait for the slowest of a piece; entries of their (n, n) matrices
_MOST_STEPS = 2000  # of BFGS
_NEWTON_STEPS = 12
_FIRST_STEP = 0.3  # in ln R


def in_pieces(function: Callable[..., Any], network: Network, *arrays: Any, **shared: Any) -> Any:
    """`function(network, *arrays, **shared)` over the leading axis of the arrays, in pieces of one size so that it compiles
    once; numpy arrays."""
    count = arrays[0].shape[0]
    piece = max(1, min(_PIECE, _ENTRIES // network.size**2))
    parts = []
    for first in range(0, count, piece):
        some = [np.asarray(each[first : first + piece], network.gain.dtype) for each in arrays]
        filled = [np.concatenate([each, np.repeat(each[-1:], piece - each.shape[0], axis=0)]) for each in some]
        found = function(network, *filled, **shared)
        parts.append(jax.tree.map(lambda each, size=some[0].shape[0]: np.asarray(each)[:size], found))
    return jax.tree.map(lambda *each: np.concatenate(each), *parts)


@jitted
def descend(network: Network, x: Values, scaling: Values | None = None) -> tuple[Values, Mask]:
    """Minima of Ψ downhill of the starts x (k, n), by BFGS and then Newton's method; whether each is one, to rounding."""
    # In float32 rounding soon hides which way is down; Newton's method ends what has come near.
    double = jnp.finfo(x.dtype).bits == 64
    solver = optx.BFGS(rtol=1e-5, atol=1e-7) if double else optx.BFGS(rtol=1e-4, atol=1e-5)
    most = _MOST_STEPS if double else min(_MOST_STEPS, 100 + 10 * network.size)

    def one(start: Values) -> tuple[Values, Mask]:
        # Scaled so that the first step, which goes straight downhill, is short: a long one leaves the valley it starts in.
        slope = jnp.exp(start) * force(network, start)
        slope = jnp.max(jnp.abs(slope if scaling is None else scaling * slope))
        scale = _FIRST_STEP / jnp.where(slope > 0, slope, 1)
        found = optx.minimise(
            lambda x, scale: scale * psi(network, x, scaling), solver, start, scale, max_steps=most, throw=False
        )
        return polish(network, found.value)

    end, fine = jax.vmap(one)(x)
    lowest = jax.vmap(lambda x: jnp.linalg.eigvalsh(hessian(network, x, scaling))[0])(end)
    return end, fine & (lowest > 0)


def polish(network: Network, x: Values) -> tuple[Values, Mask]:
    """The fixed point near x (n,) by Newton's method, to rounding, and whether it converged.

    The last step carries derivatives with respect to the network's parameters (implicit function theorem).
    """

    def newton(network: Network, x: Values) -> Values:
        H = hessian(network, x)
        step = jnp.linalg.solve(H * jnp.broadcast_to(jnp.exp(x), H.shape), force(network, x))
        return jnp.clip(step, -0.3, 0.3)

    frozen = jax.lax.stop_gradient(network)
    steps = jnp.finfo(x.dtype).eps

    def unfinished(carry) -> Any:
        _, last, count = carry
        return (count < _NEWTON_STEPS) & ~(last < 64 * steps)

    def body(carry) -> Any:
        x, _, count = carry
        step = newton(frozen, x)
        return x + step, jnp.max(jnp.abs(step)), count + 1

    start = jax.lax.stop_gradient(x)
    x, last, _ = jax.lax.while_loop(unfinished, body, (start, jnp.asarray(jnp.inf, x.dtype), 0))
    x = x + newton(network, jax.lax.stop_gradient(x))
    return x, jnp.isfinite(last) & (last < jnp.sqrt(steps))


@jitted
def heights(network: Network, x: Values, scaling: Values | None = None) -> Values:
    """Ψ at x (k, n), shape (k,)."""
    return jax.vmap(lambda x: psi(network, x, scaling))(x)


@jitted
def settle(network: Network, x: Values) -> tuple[Values, Mask]:
    """Fixed points near the starts x (k, n), stable or not, by Powell's dogleg and then Newton's method."""
    solver = optx.Dogleg(rtol=1e-6, atol=1e-8)

    def residual(x: Values, network: Network) -> Values:
        return force(network, x) / (1 + jnp.exp(2 * x))

    def one(start: Values) -> tuple[Values, Mask]:
        found = optx.root_find(residual, solver, start, network, max_steps=200, throw=False)
        return polish(network, found.value)

    return jax.vmap(one)(x)
