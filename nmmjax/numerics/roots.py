"""Zeros of functions of one variable, elementwise over arrays.

Three kinds of search, none of which carries a derivative: `bisect` between bounds that are known to enclose a change,
`newton` from a start that is close, `newton_between` where both are needed. `solve_between`, `solve_near` and
`solve_on_grid` find a zero of `function(args, x)` and its derivatives in `args`: after the search, Newton steps outside of
`stop_gradient` carry them by the implicit function theorem (one step makes the first exact, two the first three).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._types import Values

Function = Callable[[Any, Values], Values]


def ratio(value: Values, slope: Values) -> Values:
    """Newton's step f/f′, or f itself if the slope is 0."""
    return value / jnp.where(slope == 0, jnp.ones_like(slope), slope)


def with_slope(function: Callable[[Values], Values], x: Values) -> tuple[Values, Values]:
    """f(x) and f′(x) of an elementwise function."""
    return jax.jvp(function, (x,), (jnp.ones_like(x),))


def newton(
    move: Callable[[Values], Values],
    x: Values,
    steps: int,
    keep: Callable[[Values, Values], Values] | None = None,
    unrolled: bool = False,
) -> Values:
    """x after `steps` steps x − `move(x)`, where `move` is Newton's step, usually `ratio(f(x), f′(x))`.

    `keep(new, old)` keeps a step within limits. `unrolled` writes the steps out: faster for cheap functions in an outer
    loop, slower to compile. Converges quadratically from a close start; use `newton_between` if the start may be far.
    """

    def step(_, x: Values) -> Values:
        new = x - move(x)
        return new if keep is None else keep(new, x)

    if not unrolled:
        return jax.lax.fori_loop(0, steps, step, x)
    for k in range(steps):
        x = step(k, x)
    return x


def newton_between(
    function: Callable[[Values], tuple[Values, Values]],
    low: Values,
    high: Values,
    x: Values,
    steps: int,
    unrolled: bool = False,
) -> Values:
    """The zero between `low` and `high` of a function that rises through it, from the start x, by `steps` steps.

    `function(x)` gives the value and the slope. Every evaluation narrows the bounds; a Newton step that leaves them is
    replaced by bisection, so the search can't get lost where the function is flat or bends.
    """
    first, last = low, high

    def step(_, state: tuple[Values, Values, Values]) -> tuple[Values, Values, Values]:
        low, high, x = state
        value, slope = function(x)
        below = value < 0
        low, high = jnp.where(below, x, low), jnp.where(below, high, x)
        new = x - ratio(value, slope)
        slack = 1e-3 * (high - low)  # at the zero rounding may lead across a bound
        sound = (slope != 0) & (new >= low - slack) & (new <= high + slack)
        return low, high, jnp.where(sound, jnp.clip(new, first, last), (low + high) / 2)

    state = (low, high, x)
    if not unrolled:
        return jax.lax.fori_loop(0, steps, step, state)[2]
    for k in range(steps):
        state = step(k, state)
    return state[2]


def bisect(inside: Callable[[Values], Any], low: Values, high: Values, steps: int) -> tuple[Values, Values]:
    """(low, high) halved `steps` times: `inside` holds at `low` and on from there up to a place between the two."""

    def halve(_, bounds: tuple[Values, Values]) -> tuple[Values, Values]:
        low, high = bounds
        middle = (low + high) / 2
        within = inside(middle)
        return jnp.where(within, middle, low), jnp.where(within, high, middle)

    return jax.lax.fori_loop(0, steps, halve, (low, high))


def implicit(function: Function, args: PyTree, x: Values, steps: int = 2, longest: float | None = None) -> Values:
    """x, a zero of `function(args, x)` to a few digits or more, with its derivatives in `args`: `steps` Newton steps, none
    longer than `longest`."""

    def step(x: Values, _) -> tuple[Values, None]:
        move = ratio(*with_slope(lambda x: function(args, x), x))
        return x - (move if longest is None else jnp.clip(move, -longest, longest)), None

    return jax.lax.scan(step, jax.lax.stop_gradient(x), None, length=steps)[0]


def solve_between(function: Function, args: PyTree, lower: Values, upper: Values) -> Values:
    """The zero of `function(args, x)` between bounds, elementwise; NaN if its signs are equal there.

    Bisection to the last digit, then two Newton steps, which carry first and second derivatives in `args`. Use it wherever
    bounds are known: nothing can be missed, and the cost doesn't depend on the function's shape.
    """
    frozen, lower, upper = jax.lax.stop_gradient((args, lower, upper))
    rising = function(frozen, lower) < 0
    exists = rising != (function(frozen, upper) < 0)
    before = lambda x: (function(frozen, x) < 0) == rising
    low, high = bisect(before, lower, upper, jnp.finfo(lower.dtype).nmant + 4)
    return jnp.where(exists, implicit(function, args, (low + high) / 2, longest=0.01), jnp.nan)


def solve_near(function: Function, args: PyTree, start: Values, steps: int = 8) -> Values:
    """The zero of `function(args, x)` next to `start` by Newton's method, with first to third derivatives in `args`.

    `start` must be so close that `steps` steps converge, such as the end of a grid's cell.
    """
    frozen = jax.lax.stop_gradient(args)
    move = lambda x: ratio(*with_slope(lambda x: function(frozen, x), x))
    return implicit(function, args, newton(move, jax.lax.stop_gradient(start), steps))


def solve_on_grid(function: Function, args: PyTree, grid: Values, count: int, falling: bool = False) -> Values:
    """The first `count` zeros of `function(args, x)` in the cells of a grid, `(count,)`, NaN beyond; with `falling` those at
    which it falls from above 0. One zero per cell is found, by `solve_between`."""
    values = function(jax.lax.stop_gradient(args), grid)
    negative = values < 0
    changes = (values[:-1] > 0) & (values[1:] <= 0) if falling else negative[:-1] != negative[1:]
    (cell,) = jnp.nonzero(changes, size=count, fill_value=0)
    x = solve_between(function, args, grid[cell], grid[cell + 1])
    # Every zero has a cell of its own; the cell that fills the rest may have one, too.
    return jnp.where(jnp.arange(count) < jnp.sum(changes), x, jnp.nan)
