"""Fixed points of any vector field by Newton's method, from a state close to one.

`fixed_point` runs outside of transformations and says how well it converged. `fixed_point_near` runs inside of them, and
from states that are not close: it first follows the flow to where it comes to rest. Neither carries derivatives.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._types import Values
from ..models.base import AbstractModel
from ..models.state import State
from ..numerics.compiling import jitted
from .stability import flat_field, jacobian

_STEPS = 60  # of Newton's method, from a start at which nothing comes to rest


def fixed_point(model: AbstractModel, y: State, steps: int = 20) -> tuple[State, Any, float]:
    """The fixed point next to `y` by Newton's method, its Jacobian, and its residual max |f|; the best iterate seen."""
    x, back = ravel_pytree(y)
    best = (np.inf, x, None)
    for _ in range(steps):
        f, A = linearized(model, back(x))
        residual = float(jnp.max(jnp.abs(f)))
        if not np.isfinite(residual):
            break
        if residual < best[0]:
            best = (residual, x, np.asarray(A, float))
        elif residual < 1e3 * float(jnp.finfo(x.dtype).eps) * (1 + float(jnp.max(jnp.abs(A)))):
            break
        x = x - jnp.asarray(np.linalg.lstsq(np.asarray(A, float), np.asarray(f, float))[0], x.dtype)
    return back(best[1]), best[2], best[0]


@jitted
def linearized(model: AbstractModel, y: State) -> tuple[Values, Values]:
    """dy/dt at a state, flat, and its Jacobian."""
    return flat_field(model, y)(ravel_pytree(y)[0]), jacobian(model, y)


def fixed_point_near(field: Callable[[Values], Values], u: Values) -> Values:
    """A zero of `field` near u: where implicit Euler steps come to rest, else that of Newton's method, damped or plain."""
    found = jnp.concatenate([settle_down(field, u)[None], damped_and_plain(field, u)])
    residual = jax.vmap(lambda u: jnp.linalg.norm(field(u)))(found)
    size = jnp.maximum(1, jnp.max(jnp.abs(found), axis=1))
    at_rest = residual < jnp.finfo(u.dtype).eps ** 0.375 * size  # 1e-6 in double precision; false for NaN
    return found[jnp.argmax(at_rest)]


def damped_and_plain(field: Callable[[Values], Values], u: Values) -> Values:
    """Newton's method from u, (2, n): damped, each step halved until it lowers |f|, and plain."""

    def one(carry: tuple[Values, Any]) -> tuple[Values, Any]:
        u, k = carry
        f = jax.vmap(field)(u)
        move = jnp.linalg.solve(jax.vmap(jax.jacfwd(field))(u), -f[..., None])[..., 0]
        after = jax.vmap(lambda share: jnp.linalg.norm(field(u[0] + share * move[0])))(shares)
        lower = after < (1 - 1e-4 * shares) * jnp.linalg.norm(f[0])
        damped = jnp.where(jnp.any(lower), shares[jnp.argmax(lower)], 0)
        return u + jnp.stack([damped * move[0], move[1]]), k + 1

    shares = 0.5 ** jnp.arange(20, dtype=u.dtype)
    return jax.lax.while_loop(lambda carry: carry[1] < _STEPS, one, (jnp.stack([u, u]), jnp.zeros((), jnp.int32)))[0]


def settle_down(field: Callable[[Values], Values], u: Values) -> Values:
    """A state near a zero of `field`, by implicit Euler steps from u that grow as the state comes to rest."""
    identity, slopes = jnp.eye(u.size, dtype=u.dtype), jax.jacfwd(field)

    def step(state: tuple[Values, Values, Any]) -> tuple[Values, Values, Any]:
        u, h, k = state
        f = field(u)
        new = u + jnp.linalg.solve(identity / h - slopes(u), f)
        before, after = jnp.linalg.norm(f), jnp.linalg.norm(field(new))
        good = after < 2 * before
        h = jnp.where(good, h * jnp.clip(before / after, 0.5, 10.0), h / 4)
        return jnp.where(good, new, u), h, k + 1

    def more(state: tuple[Values, Values, Any]) -> Any:
        u, _, k = state
        return (k < 200) & (jnp.linalg.norm(field(u)) > 1e-6)

    first = jnp.full((), 0.1, u.dtype) / (1 + jnp.linalg.norm(slopes(u)))
    return jax.lax.while_loop(more, step, (u, first, jnp.zeros((), jnp.int32)))[0]
