"""The derivative of a loss by whichever mode goes through it.

Forward mode costs one tangent per number and no memory; it doesn't go through what only has a reverse rule, such as a run
by `simulate` with its default adjoint. Reverse mode costs a few losses for any number, and doesn't go through loops of
unknown length. A loss is asked by tracing it, which computes nothing.
"""

from collections.abc import Callable
from typing import Any

import jax

from .._types import Scalar, Values

FORWARD_LIMIT = 24  # numbers up to which forward mode is tried first
REFUSALS = (
    TypeError,
    ValueError,
    NotImplementedError,
    jax.errors.JAXTypeError,
)  # how JAX says that a mode doesn't go through

Loss = Callable[[Values], Scalar]


def by_forward(loss: Loss, z: Values) -> tuple[Scalar, Values]:
    """(loss, slope) by forward mode."""

    def both(z: Values) -> tuple[Scalar, Scalar]:
        value = loss(z)
        return value, value

    slope, value = jax.jacfwd(both, has_aux=True)(z)
    return value, slope


def by_reverse(loss: Loss, z: Values) -> tuple[Scalar, Values]:
    """(loss, slope) by reverse mode."""
    return jax.value_and_grad(loss)(z)


def value_and_slope(loss: Loss, z: Values) -> tuple[Scalar, Values]:
    """(loss(z), ∂loss/∂z): by forward mode for up to 24 numbers and reverse mode for more, or by the other one if that
    doesn't go through. Raises `ValueError` in one sentence if neither does, and what the loss itself raises."""
    modes = (by_forward, by_reverse) if z.size <= FORWARD_LIMIT else (by_reverse, by_forward)
    reasons = []
    for mode in modes:
        try:
            return mode(loss, z)
        except REFUSALS as error:
            jax.eval_shape(loss, z)  # a loss that can't be computed has its own error to show
            reasons.append(_first_line(error))
    raise ValueError(
        f"Argument `target` must be a loss that forward or reverse mode goes through, but got one for which neither does "
        f"({reasons[0]}; {reasons[1]})."
    )


def _first_line(error: Any) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:120]}" if text else type(error).__name__
