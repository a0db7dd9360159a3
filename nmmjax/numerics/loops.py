"""Loops that plain `lax` loops are not, with an end that reverse mode can go through, and a step for them."""

from collections.abc import Callable
from typing import Any

import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._types import Mask, Values


def counted(count: Any, body: Callable[[Any, Any], Any], carry: PyTree, checkpoints: int) -> Any:
    """`body(k, carry)` for k = 0 … `count` − 1, a number not known beforehand, with derivatives by reverse mode.

    Memory for `checkpoints` states; the rest is computed again (online treeverse).
    """
    advance = lambda counted: (counted[0] + 1, body(*counted))
    going = lambda counted: counted[0] < count
    return eqxi.while_loop(going, advance, (0 * count, carry), kind="checkpointed", checkpoints=checkpoints)[1]


def scan_while(
    going: Callable[[Any], Mask], step: Callable[[Any, None], tuple[Any, Any]], carry: PyTree, length: int, chunk: int
) -> tuple[Any, Any]:
    """`lax.scan` of `length` steps without inputs, those left out (outputs zero) once `going(carry)` holds in no lane.

    Unlike a while loop it can be differentiated backwards. `length` is rounded up to whole chunks.
    """

    def part(carry, _: None) -> tuple[Any, Any]:
        _, shapes = jax.eval_shape(lambda carry: jax.lax.scan(step, carry, None, length=chunk), carry)
        nothing = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)
        run = lambda carry: jax.lax.scan(step, carry, None, length=chunk)
        return jax.lax.cond(eqxi.unvmap_any(going(carry)), run, lambda carry: (carry, nothing), carry)

    carry, outputs = jax.lax.scan(part, carry, None, length=-(-length // chunk))
    return carry, jax.tree.map(lambda each: each.reshape((-1, *each.shape[2:])), outputs)


def choose(condition: Any, a: Any, b: Any) -> Any:
    """`a` if the condition holds, else `b`, leaf by leaf."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def runge_kutta(slopes: Callable[[float, Any], Any], y: Any, h: Values) -> Any:
    """y after one step h of the classical Runge–Kutta method, of order 4; `slopes(share, y)` is dy/dx after a share of the
    step: 0, ½ or 1."""
    after = lambda k, share: jax.tree.map(lambda y, k: y + share * h * k, y, k)
    k1 = slopes(0.0, y)
    k2 = slopes(0.5, after(k1, 0.5))
    k3 = slopes(0.5, after(k2, 0.5))
    k4 = slopes(1.0, after(k3, 1.0))
    return jax.tree.map(lambda y, a, b, c, d: y + h / 6 * (a + 2 * b + 2 * c + d), y, k1, k2, k3, k4)
