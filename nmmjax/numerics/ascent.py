"""Newton's method for concave functions, with backtracking, under `jax.jit` and `jax.vmap`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._types import Values

_HALVINGS = 40


def ascend(
    objective: Callable[[Values], tuple[Values, Values, Any]],
    direction: Callable[[Values, Values, Any], Values],
    start: Values,
    max_trials: int,
) -> tuple[Values, Values, Any, Any, Any]:
    """Maximum of a concave function: θ, its gradient there, the rest, trials made, whether it ended by itself.

    `objective(θ)` gives value, gradient and the rest, whatever `direction(θ, gradient, rest)` needs for the Newton step. A
    step that doesn't gain is halved. It ends one step after the expected gain falls to the rounding of the value: by then
    Newton's method has squared the error once more. One trial per turn of the loop: under `vmap` no lane waits inside it,
    and objective and direction are compiled once.
    """
    eps = jnp.finfo(start.dtype).eps
    like = jax.eval_shape(objective, start)
    nothing = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), like)
    worst = jnp.full((), -jnp.inf, start.dtype)

    def turn(carry) -> Any:
        theta, (value, gradient, rest), step, gain, scale, trials, last, _ = carry
        at = theta + scale * step
        new = objective(at)
        slack = jnp.where(jnp.isfinite(value), 8 * eps * (1 + jnp.abs(value)), 0)
        good = new[0] >= value + 1e-4 * scale * gain - slack
        pick = lambda new, old: jnp.where(good, new, old)
        theta, (value, gradient, rest) = jax.tree.map(pick, (at, new), (theta, (value, gradient, rest)))
        step = pick(direction(theta, gradient, rest), step)
        gain = jnp.vdot(gradient, step)
        scale = pick(jnp.ones_like(scale), scale / 2)
        ended = (good & last) | (scale < 2.0**-_HALVINGS)
        return theta, (value, gradient, rest), step, gain, scale, trials + 1, gain <= eps, ended

    begin = (
        start,
        (worst, *nothing[1:]),
        jnp.zeros_like(start),
        jnp.zeros((), start.dtype),
        jnp.ones((), start.dtype),
        jnp.zeros((), jnp.int32),
        jnp.zeros((), bool),
        jnp.zeros((), bool),
    )
    going = lambda carry: ~carry[-1] & (carry[-3] < max_trials)
    theta, (_, gradient, rest), *_, trials, _, ended = jax.lax.while_loop(going, turn, begin)
    return theta, gradient, rest, trials, ended
