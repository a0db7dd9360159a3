"""NaN is what the library says for "absent", in derivatives as well; a search for a NaN of one's own must pass it by."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp

_Function = TypeVar("_Function", bound=Callable[..., Any])


def nan_is_absent(function: _Function) -> _Function:
    """Decorator of public functions: `JAX_DEBUG_NANS` and `jax.debug_nans` don't look inside.

    Not if the user compiles the call: inside of `jax.jit` it is their program that is looked at.
    """

    @functools.wraps(function)
    def quiet(*args, **kwargs) -> Any:
        if not jax.config.jax_debug_nans:  # pyright: ignore[reportAttributeAccessIssue]
            return function(*args, **kwargs)
        with jax.debug_nans(False):
            return function(*args, **kwargs)

    return cast(_Function, quiet)


@jax.custom_jvp
def nan_unless(holds: Any, value: Any) -> Any:
    """`value` where `holds`, else NaN, and so its derivatives, by either mode.

    `jnp.where(holds, value, nan)` has the derivative 0 if nothing holds, which tells an optimiser that a loss is flat. Of
    an array, only what a loss depends on counts: entries that are absent and not used don't spoil those that are.
    """
    return jnp.where(holds, value, jnp.nan)


@nan_unless.defjvp
def _(primals: Any, tangents: Any) -> Any:
    holds, value = primals
    _, t = tangents
    ones = jnp.ones_like(t.real)
    huge = jnp.where(holds, ones, jnp.full_like(ones, jnp.finfo(ones.dtype).max)).astype(t.dtype)
    nothing = jnp.where(holds, ones, jnp.zeros_like(ones)).astype(t.dtype)
    # ∞ · 0 = NaN, read forwards or backwards, but 0 for a tangent or cotangent of 0, of which 0 · NaN would make NaN.
    return nan_unless(holds, value), ((((t * huge) * huge) * nothing) * huge) * huge
