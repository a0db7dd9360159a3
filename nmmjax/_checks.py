"""The doors. One function per kind of argument makes of it what the library computes with, or refuses it in one
sentence that names the argument, the rule and the value.

A number is `_parameter.as_number`, a model `models.base.as_model`, a state `models.base.as_state`, a path `_files.as_path`.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._types import float_dtype, is_concrete


def require(argument: str, value: object, rule: str, holds: object) -> None:
    """Raise the one-sentence `ValueError` naming argument, rule and value unless `holds`."""
    if not holds:
        raise ValueError(f"Argument `{argument}` must {rule}, but got {show(value)}.")


def show(value: object) -> str:
    """A short form of an offending value for an error message."""
    if isinstance(value, jax.Array) and not is_concrete(value):
        return f"an array of shape {value.shape}"
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return "a random key" if value.ndim == 0 else f"random keys of shape {value.shape}"
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, (np.ndarray, jax.Array)):
        if value.ndim == 0:
            return f"{value.item():g}" if value.dtype.kind in "iuf" else str(value.item())
        text = np.array2string(np.asarray(value), threshold=6, edgeitems=2, precision=6, separator=", ")
        return f"{' '.join(text.split())} of shape {value.shape}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:  # a table of another package, whose repr has many lines
        return f"a {type(value).__name__} of shape {shape}"
    return repr(value).partition("\n")[0]  # models of the literature have their units on a second line


def refuse_unknown(given: Any, accepted: Any, what: str) -> None:
    """Refuse, in one sentence, names in `given` that are not `accepted`."""
    for name in given:
        if name not in accepted:
            names = ", ".join(f"`{each}`" for each in accepted)
            raise ValueError(f"Argument `{name}` must be one of the {what} {names}, but got `{name}`.")


def require_each(argument: str, values: object, rule: str, holds: object) -> None:
    """The same as `require` for every entry of an array; the sentence names the first offending entry and its place."""
    holds, values = np.asarray(holds), np.asarray(values)
    if not holds.all():
        place = tuple(int(k) for k in np.argwhere(~holds)[0])
        at = f" at [{', '.join(map(str, place))}] of shape {values.shape}" if place else ""
        raise ValueError(f"Argument `{argument}` must {rule}, but got {show(values[place])}{at}.")


def slack_of(*times: Any) -> float:
    """How far times that mean the same may lie apart: 64 roundings of the largest, or 1e-9 of what they span. Times made by
    a running sum differ so from multiples of the step."""
    arrays = [np.asarray(each) for each in times]
    largest, eps = max(np.max(np.abs(each)) for each in arrays), max(_eps(each) for each in arrays)
    span = max(np.max(each) for each in arrays) - min(np.min(each) for each in arrays)
    return float(max(64 * eps * largest, 1e-9 * span))


def _eps(array: np.ndarray) -> float:
    return float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 0.0


def lie_within(times: Any, first: Any, last: Any) -> bool:
    """Whether known times lie in [first, last], but for rounding (see `slack_of`): the one comparison with a range."""
    slack, times = slack_of(times, first, last), np.asarray(times)
    return bool(np.all((times >= float(first) - slack) & (times <= float(last) + slack)))


def merged(times: np.ndarray) -> np.ndarray:
    """Known times in order, each once: those that mean the same (see `slack_of`) are the first of them."""
    times = np.unique(times)
    if times.size < 2:
        return times
    return times[np.append(True, np.diff(times) > 64 * _eps(times) * np.max(np.abs(times)))]


def as_array(value: object) -> Any:
    """`value` as a float array of its own (float) or the default dtype; what can't be one is returned as it is."""
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating):
        return value
    if isinstance(value, (bool, str, bytes, complex)):
        return value
    value = as_samples(value)
    try:
        array = value if isinstance(value, jax.Array) else np.asarray(value)
        if array.dtype.kind not in "iuf":
            return value
        return jnp.asarray(array, dtype=float_dtype())
    except (TypeError, ValueError):
        return value


def as_samples(value: Any) -> Any:
    """Recorded values as they are, but with NaN where a masked array, or one in a list, masks them, and for a table's NA."""
    if hasattr(value, "to_numpy") and not hasattr(value, "dims"):  # a column or table of pandas
        try:
            return value.to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            return value
    if isinstance(value, (list, tuple)) and any(isinstance(each, np.ma.MaskedArray) for each in value):
        value = np.ma.array(value)
    if not isinstance(value, np.ma.MaskedArray):
        return value
    return np.ma.filled(value if value.dtype.kind == "f" else value.astype(float), np.nan)


def python_number(value: object) -> float | None:
    """A Python number as the default dtype rounds it, without making an array; None for anything else."""
    if isinstance(value, float) or (type(value) is int and abs(value) < 2**53):
        return float(np.asarray(value, float_dtype()))
    return None


def as_float(name: str, value: object, rule: str, holds: Callable[[float], bool]) -> float:
    """`value` as a finite Python number for which `rule` holds, else `ValueError`."""
    if (known := python_number(value)) is not None and math.isfinite(known) and holds(known):
        return known
    with jax.ensure_compile_time_eval():  # a number stays known inside `jit`
        number = as_array(value)
    is_number = isinstance(number, jax.Array) and number.ndim == 0 and is_concrete(number)
    require(name, value, rule, is_number and np.isfinite(number) and holds(float(number)))
    return float(number)


def whole(value: Any) -> int | None:
    """A whole number as an int, also of NumPy and JAX; None for anything else, and for True and False."""
    if isinstance(value, (bool, np.bool_)) or not is_concrete(value):
        return None
    if isinstance(value, (np.ndarray, jax.Array)) and (value.ndim or value.dtype.kind not in "iu"):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def as_whole(value: object) -> Any:
    """A whole number as an int, and anything else as it is: for static fields, which hold no arrays."""
    number = whole(value)
    if number is None:
        return np.asarray(value).tolist() if isinstance(value, (np.ndarray, np.generic, jax.Array)) else value
    return number


def as_count(name: str, value: object, least: int = 1, rule: str | None = None) -> int:
    """`value` as an int of at least `least`; `rule` is what the sentence says if not just that."""
    count = whole(value)
    require(name, value, rule or f"be an integer ≥ {least}", count is not None and count >= least)
    assert count is not None
    return count


def as_sign(value: Any) -> tuple[int, ...]:
    """The signs to try: one, or both for None."""
    require("sign", value, "be 1, −1 or None for both", value is None or (value in (1, -1) and not isinstance(value, bool)))
    return (1, -1) if value is None else (int(value),)


def as_nodes(value: Any, size: int, names: Sequence[str] = (), argument: str = "node") -> np.ndarray:
    """Whether each of `size` nodes is meant, `(size,)`: by one number or name, several of them, or a mask `(size,)`.

    Raises `ValueError` for anything else, and for traced values, which can't choose nodes.
    """
    one = _rule(size, names)
    several = f"{one}, several, or a mask"
    rule = f"{several}, known before tracing (not an argument of `jit`, `vmap`, `grad`)"
    require(argument, value, rule, is_concrete(value))
    if isinstance(value, (np.ndarray, jax.Array, list, tuple)) and np.asarray(value).dtype == bool:
        mask = np.asarray(value)
        require(argument, mask, f"be a mask of shape ({size},)", mask.shape == (size,))
        return mask
    mask = np.zeros(size, bool)
    if isinstance(value, str) or whole(value) is not None:
        mask[_node(value, size, names, argument)] = True
        return mask
    require(argument, value, several, np.ndim(value) == 1 and len(value) > 0)
    for each in value:
        mask[_node(each, size, names, argument)] = True
    return mask


def as_node(value: object, size: int, names: Sequence[str] = (), argument: str = "node") -> int:
    """One node, by number or name, as an int from 0 to `size` − 1."""
    return _node(value, size, names, argument)


def _rule(size: int, names: Sequence[str]) -> str:
    known = f" or a name ({', '.join(names[:8])}{', …' if len(names) > 8 else ''})" if names else ""
    return f"be an integer from 0 to {size - 1}{known}"


def _node(value: object, size: int, names: Sequence[str], argument: str) -> int:
    if isinstance(value, str) and value in names:
        return list(names).index(value)
    number = whole(value)
    require(argument, value, _rule(size, names), number is not None and 0 <= number < size)
    assert number is not None
    return number


def as_key(value: Any, argument: str = "key", purpose: str = "") -> Any:
    """One random key, of `jax.random.key` or `PRNGKey`, as a typed key; `purpose` ends the rule of the sentence."""
    rule = f"be one random key such as `jax.random.key(0)`{purpose}"
    require(argument, value, rule, isinstance(value, jax.Array))
    if not jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        words = value.dtype == jnp.uint32 and value.shape == (2,)
        require(argument, value, rule, words)
        return jax.random.wrap_key_data(value)
    require(argument, value, f"{rule} (use `jax.vmap` for many)", value.ndim == 0)
    return value


def as_frequencies(frequencies: Any, dtype: Any) -> Any:
    """`frequencies` (f,) ≥ 0 of a dtype."""
    array = as_array(frequencies)
    require("frequencies", frequencies, "be numbers (f,)", isinstance(array, jax.Array) and array.ndim == 1)
    if is_concrete(array):
        require_each("frequencies", array, "be ≥ 0 and finite", (np.asarray(array) >= 0) & np.isfinite(np.asarray(array)))
    return array.astype(dtype)
