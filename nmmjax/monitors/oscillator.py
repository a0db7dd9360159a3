"""The damped oscillator z̈ + c₁ ż + c₀ z = x, stepped exactly but for its input's course within a step."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from .._types import Scalar, Values


class Course(NamedTuple):
    """An input within a step: its values at the start, the middle and the end of the parabola of given mean and ends."""

    start: Values
    middle: Values
    end: Values


def course(before: Values, mean: Values, last: Values) -> Course:
    """The parabola that has the values `before` and `last` at the ends of a step, and its `mean`."""
    return Course(before, (6 * mean - before - last) / 4, last)


def halves(x: Course) -> tuple[Course, Course]:
    """The same parabola on each half of the step."""
    first = (3 * x.start + 6 * x.middle - x.end) / 8
    second = (3 * x.end + 6 * x.middle - x.start) / 8
    return Course(x.start, first, x.middle), Course(x.middle, second, x.end)


def circle(square: Scalar) -> tuple[Scalar, Scalar]:
    """cos √y and sin √y/√y of y = `square`, of either sign, with derivatives at 0."""
    small = jnp.abs(square) < 0.01
    y = jnp.where(small, square, 0)
    cosine = 1 - y / 2 * (1 - y / 12 * (1 - y / 30 * (1 - y / 56 * (1 - y / 90))))
    sine = 1 - y / 6 * (1 - y / 20 * (1 - y / 42 * (1 - y / 72 * (1 - y / 110))))
    root = jnp.sqrt(jnp.where(small, 1, jnp.abs(square)))
    turns = square > 0
    cosine = jnp.where(small, cosine, jnp.where(turns, jnp.cos(root), jnp.cosh(root)))
    return cosine, jnp.where(small, sine, jnp.where(turns, jnp.sin(root), jnp.sinh(root)) / root)


def _flow(c1: Any, c0: Any, t: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """exp(t M) of (z, ż): rows of the 2 × 2 matrix."""
    cosine, sine = circle((c0 - c1**2 / 4) * t**2)
    decay, sine = jnp.exp(-c1 / 2 * t), t * sine
    return (
        (decay * (cosine + c1 / 2 * sine), decay * sine),
        (-decay * c0 * sine, decay * (cosine - c1 / 2 * sine)),
    )


def oscillate(z: Values, speed: Values, x: Course, h: Any, c1: Any, c0: Any) -> tuple[Values, Values]:
    """(z, ż) after a step `h`: exact without input, whose convolution is Simpson's rule, of order 4 in h and exact in the
    sum: h x̄ enters."""
    (a, b), (c, d) = _flow(c1, c0, h)
    (_, b2), (_, d2) = _flow(c1, c0, h / 2)
    moved = a * z + b * speed + h / 6 * (b * x.start + 4 * b2 * x.middle)
    return moved, c * z + d * speed + h / 6 * (d * x.start + 4 * d2 * x.middle + x.end)
