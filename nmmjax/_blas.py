"""Linear algebra of many small matrices: LAPACK that shares each of them between threads spends its time on waiting."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import threadpoolctl

from ._types import is_concrete

_Function = TypeVar("_Function", bound=Callable[..., Any])


@functools.cache
def _libraries() -> Any:
    return threadpoolctl.ThreadpoolController()


def with_one_thread(function: _Function) -> _Function:
    """Decorator of public functions that decompose many matrices of some hundred rows: each by one thread meanwhile, up to
    thirty times faster on a busy machine. Results are ready when it returns."""

    @functools.wraps(function)
    def alone(*args, **kwargs) -> Any:
        with _libraries().limit(limits=1, user_api="blas"):
            found = function(*args, **kwargs)
            return jax.block_until_ready(found) if all(map(is_concrete, jax.tree.leaves(found))) else found

    return cast(_Function, alone)
