"""Written identity of a call, by which a store recognises the same call, also in another process.

Numbers, arrays and settings are written out, and what this library and those below it define goes by its name. Other code
can't be told apart by looking at it: its results depend on helpers, constants and arrays elsewhere. So an object that holds
functions is known by its `name`, and a class by its `version`; both are the user's, who changes them with the code.
"""

import dataclasses
import enum
import hashlib
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._checks import require

_KNOWN = {"builtins", "nmmjax", "jax", "jaxlib", "numpy", "scipy", "equinox", "diffrax", "optimistix", "lineax", "optax"}
_LONGEST = 16  # numbers of an array that are written out
_NAME = 'be given to {} with `store`, such as `name="v1"`, and change whenever its functions do, which can\'t be told apart'
_VERSION = 'be given in the class {} with `store`, such as `version = "1"`, and change whenever its code does'


class Fresh:
    """A user's function as it is during one call: compiled functions of other calls, when what it reads was other, don't
    fit it."""

    def __init__(self, function: Any):
        self.function = function

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)

    def __repr__(self) -> str:
        return repr(self.function)


def fresh(value: object) -> Any:
    """`value`, with every function that it holds as a new `Fresh` one."""
    if isinstance(value, Fresh):
        return fresh(value.function)
    if _is_function(value):
        return value if _is_known(value) else Fresh(value)
    if isinstance(value, tuple):
        parts = [fresh(each) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if not isinstance(value, eqx.Module):
        return value
    names = [field.name for field in dataclasses.fields(value)]
    parts = {name: fresh(old) for name in names if (old := getattr(value, name, None)) is not None}
    if all(each is getattr(value, name) or _same(each, getattr(value, name)) for name, each in parts.items()):
        return value
    new = object.__new__(type(value))
    for name in names:
        object.__setattr__(new, name, parts.get(name))
    return new


def _same(new: Any, old: Any) -> bool:
    """Whether a tuple holds the very things that another one does."""
    return isinstance(new, tuple) and all(a is b or _same(a, b) for a, b in zip(new, old, strict=True))


def written(value: object, strict: bool = False, named: bool = False, owner: str = "") -> Any:
    """`value` as JSON: equal for equal calls only, provided that names and versions are changed with the code.

    With `strict`, functions without a `name` and classes without a `version` raise the one-sentence `ValueError`; `named`
    says that the call has a name for all functions in it. `owner` is what takes the name, by default the object that holds
    the function.
    """
    return _written(value, strict, named, owner, owner or "the call")


def _written(value: Any, strict: bool, named: bool, owner: str, holder: str) -> Any:
    again = lambda each: _written(each, strict, named, owner, holder)
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return _array(value)
    if isinstance(value, dict):
        return {str(name): again(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [again(each) for each in value]
    if isinstance(value, type):
        return _class(value, strict)
    if _is_function(value):
        if _is_known(value):
            return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
        require("name", "", _NAME.format(holder), named or not strict)
        return "a function"
    kind = _class(type(value), strict)
    if isinstance(value, (bytes, complex, range, slice, frozenset, set, enum.Enum, np.dtype)):
        return f"{kind} {sorted(map(repr, value)) if isinstance(value, (set, frozenset)) else repr(value)}"
    parts: dict[str, Any]
    if dataclasses.is_dataclass(value):
        parts = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    elif hasattr(value, "_fields"):
        parts = dict(zip(getattr(value, "_fields", ()), value, strict=True))
    elif is_known(value):
        children, form = jax.tree.flatten(value, is_leaf=lambda each: each is not value)
        is_leaf = any(each is value for each in children)
        parts = {"form": repr(value)} if is_leaf else {"parts": children, "form": str(form)}
    else:
        parts = dict(getattr(value, "__dict__", {}))
    name = parts.get("name")
    named = named or (isinstance(name, str) and name != "")
    inner = {key: _written(each, strict, named, owner, owner or type(value).__name__) for key, each in parts.items()}
    return {"class": kind, **inner}


def _array(value: object) -> Any:
    """An array as nested lists, or as one digest, such as that of a network's weights."""
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    if array.dtype == object:
        return [repr(each) for each in array.ravel()]
    if array.size <= _LONGEST and array.dtype.kind in "biuf" and np.all(np.isfinite(array)):
        return array.tolist()
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"{array.dtype} {array.shape} sha256 {digest}"


def is_known(value: object) -> bool:
    """Whether this library, or one below it, defines the class of `value`."""
    return _root(type(value)) in _KNOWN


def _root(kind: object) -> str:
    return str(getattr(kind, "__module__", "")).split(".")[0]


def _class(kind: type, strict: bool) -> str:
    """The name of a class; of one from elsewhere with its version, and those of the classes from elsewhere it inherits."""
    if _root(kind) in _KNOWN:
        return f"{_root(kind)}.{kind.__qualname__}"
    words = []
    for each in kind.__mro__:
        if _root(each) not in _KNOWN and _root(each) not in ("abc", "typing", "enum", "collections"):
            version = vars(each).get("version")
            require("version", version, _VERSION.format(each.__name__), not strict or isinstance(version, str))
            words.append(f"{each.__module__}.{each.__qualname__} version {version!r}")
    return ", ".join(words)


def _is_function(value: object) -> bool:
    plain = callable(value) and not isinstance(value, (eqx.Module, type))
    return plain and not dataclasses.is_dataclass(value) and not hasattr(value, "_fields")


def _is_known(function: object) -> bool:
    """Whether it is a function of these libraries that can be found under its name, so that it closes over nothing."""
    if _root(function) not in _KNOWN:
        return False
    found: Any = sys.modules.get(function.__module__)
    for part in getattr(function, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found is function


def refuse_other_call(
    path: object, stored: object, now: object, rule: str = "be a new path or the store of this same call"
) -> None:
    """Refuse a store that was made with other settings; the sentence names the first that differs."""
    before, after = _flat(stored), _flat(now)
    for name in [*after, *before]:
        old, new = before.get(name, "nothing"), after.get(name, "nothing")
        if old != new and not (old != old and new != new):
            raise ValueError(f"Argument `store` must {rule}, but {str(path)!r} was made with {name} = {old!r}, not {new!r}.")


def _flat(config: object, prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, `over.eta.digest` and the like."""
    if not isinstance(config, dict):
        return {prefix: config}
    parts = (_flat(value, f"{prefix}.{name}" if prefix else name) for name, value in config.items())
    return {name: value for part in parts for name, value in part.items()}
