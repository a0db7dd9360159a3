"""NaN is what the library says for "absent", so a user's search for a NaN of their own must pass it by."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax

_Function = TypeVar("_Function", bound=Callable[..., Any])


def nan_is_absent(function: _Function) -> _Function:
    """Decorator of public functions: `JAX_DEBUG_NANS` and `jax.debug_nans` don't look inside.

    Not if the user compiles the call: inside of `jax.jit` it is their program that is looked at.
    """

    @functools.wraps(function)
    def quiet(*args: Any, **kwargs: Any) -> Any:
        if not jax.config.jax_debug_nans:  # pyright: ignore[reportAttributeAccessIssue]
            return function(*args, **kwargs)
        with jax.debug_nans(False):
            return function(*args, **kwargs)

    return quiet  # pyright: ignore[reportReturnType]
