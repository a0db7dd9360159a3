"""Shape aliases shared by every file. `Scalar` is one number as an array; `Values` is elementwise, any shape."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Complex, Float

if TYPE_CHECKING:  # constructors convert numbers, which type checkers can't see through `equinox.field(converter=…)`
    Scalar: TypeAlias = Any
else:
    Scalar = Float[Array, ""]
Values = Float[Array, "..."]
ComplexValues = Complex[Array, "..."]
Mask = Bool[Array, "..."]
Real = ArrayLike
Whole: TypeAlias = int | np.integer | Array  # a whole number, which may be traced
Key: TypeAlias = Array  # a random key, as `jax.random.key` makes it


def float_dtype() -> Any:
    """The default float dtype: float64 if the user enabled x64, else float32."""
    return jax.dtypes.canonicalize_dtype(float)


def uses_float64() -> bool:
    """Whether the user enabled x64."""
    return float_dtype() == jnp.float64


def int_dtype() -> Any:
    """The default dtype of whole numbers: int64 if the user enabled x64, else int32."""
    return jax.dtypes.canonicalize_dtype(int)


def is_concrete(x: Any) -> bool:
    """True if `x` is a number that can be looked at now, False inside `jit`, `grad` or `vmap`."""
    return not isinstance(x, Tracer)


def primal(x: Any) -> Any:
    """The value without the tracers of derivatives around it."""
    while not is_concrete(x) and getattr(x, "primal", None) is not None:
        x = x.primal
    return x


def if_known(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function of these arguments, computed now if all of them are known: also inside `jax.jit`, whose own operations
    on known arrays are delayed."""
    if all(is_concrete(each) for each in jax.tree.leaves(arguments)):
        with jax.ensure_compile_time_eval():
            return function(*arguments)
    return function(*arguments)
