"""Derivatives of observables with respect to parameters, in the same loop as the observables.

Forward mode carries one tangent per parameter beside the state: no memory, no second pass, cost proportional to the
number of parameters. It is chosen for up to `FORWARD_LIMIT` parameters. Beyond, reverse mode with checkpoints (equinox's
online treeverse) runs the lane backwards: cost independent of the number of parameters, memory for `CHECKPOINTS`
states per lane. Both differentiate the numerical solution itself, exactly.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import PyTree

from ..numerics.loops import counted

FORWARD_LIMIT = 8
CHECKPOINTS = 64

Lane = Callable[[Mapping[str, Any]], tuple[dict[str, Any], Any]]


def derivative_name(variable: str, parameter: str) -> str:
    """Name of ∂variable/∂parameter in results."""
    return f"d_{variable}_d_{parameter}"


def with_derivatives(lane: Lane, names: tuple[str, ...], reverse: bool) -> Lane:
    """`lane` (values → results, rest) with the derivatives of its results by the values called `names` among the results."""

    def extended(values: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        others = {name: each for name, each in values.items() if name not in names}
        chosen = {name: values[name] for name in names}

        def of_chosen(chosen) -> Any:
            results, rest = lane(others | chosen)
            return results, (results, rest)

        jacobian = jax.jacrev if reverse else jax.jacfwd
        slopes, (results, rest) = jacobian(of_chosen, has_aux=True)(chosen)
        derivatives = {
            derivative_name(variable, name): slope for variable, by in slopes.items() for name, slope in by.items()
        }
        return results | derivatives, rest

    return extended


def along(lane: Lane, names: tuple[str, ...], values: Mapping[str, Any], direction: Mapping[str, Any]) -> Any:
    """((results, rest), slopes) of `lane` at `values`: the slopes of its results along `direction`, a number for each of the
    values called `names`. One tangent has the shapes of the results: nothing gets a further axis."""
    others = {name: each for name, each in values.items() if name not in names}
    chosen = {name: values[name] for name in names}

    def of_chosen(chosen) -> Any:
        results, rest = lane(others | chosen)
        return results, (results, rest)

    _, slopes, both = jax.jvp(of_chosen, (chosen,), ({name: direction[name] for name in names},), has_aux=True)
    return both, slopes


def counted_loop(steps: Any, body: Callable[[Any, Any], Any], carry: PyTree, reverse: bool) -> Any:
    """`body(i, carry)` for i = 0 … steps − 1; with `reverse` in a form that reverse mode can run backwards."""
    if not reverse:
        return jax.lax.fori_loop(0 * steps, steps, body, carry)
    return counted(steps, body, carry, CHECKPOINTS)
