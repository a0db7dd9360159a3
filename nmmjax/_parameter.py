"""A parameter is declared once, with symbol, unit, bounds and meaning; docs, checks, plots, fits read it there.

`parameter(...)` declares a field of an `equinox.Module`; `parameters(cls)` lists the declarations; `@declared` makes the
constructor refuse unknown names and values outside the bounds with a one-sentence `ValueError`.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ._checks import as_array, python_number, refuse_unknown, require, require_each
from ._types import float_dtype, is_concrete

_Class = TypeVar("_Class", bound=type)


@dataclasses.dataclass(frozen=True)
class Parameter:
    """The declaration of one parameter.

    `bounds` is an interval in the usual notation, such as `[0, inf)` or `(0, inf)`.
    """

    symbol: str
    unit: str
    bounds: str
    doc: str
    name: str = ""
    default: float | None = None
    ndim: int | tuple[int, ...] = 0

    @property
    def lower(self) -> float:
        return float(self.bounds[1:-1].split(",")[0])

    @property
    def upper(self) -> float:
        return float(self.bounds[1:-1].split(",")[1])

    @property
    def rule(self) -> str:
        """Rule that a value must satisfy, in words: `≥ 0`, `> 0`, `finite`, …"""
        rules = []
        if np.isfinite(self.lower):
            rules.append(f"{'≥' if self.bounds[0] == '[' else '>'} {self.lower:g}")
        if np.isfinite(self.upper):
            rules.append(f"{'≤' if self.bounds[-1] == ']' else '<'} {self.upper:g}")
        return " and ".join(rules) or "finite"

    def within(self, value: Any) -> Any:
        """Whether each entry of `value` is finite and within the bounds."""
        above = value >= self.lower if self.bounds[0] == "[" else value > self.lower
        below = value <= self.upper if self.bounds[-1] == "]" else value < self.upper
        return np.isfinite(value) & above & below

    def allows(self, value: np.ndarray) -> bool:
        """Whether every entry of `value` is finite and within the bounds."""
        return bool(np.all(self.within(value)))


def parameter(
    default: Any = dataclasses.MISSING,
    *,
    symbol: str,
    unit: str = "1",
    bounds: str = "(-inf, inf)",
    ndim: int | tuple[int, ...] = 0,
    doc: str,
) -> Any:
    """A field of an `equinox.Module` that holds one parameter, a float array.

    - `default`: a number; without one the argument must be given
    - `symbol`: how plots and prints write it, such as "τ_A"
    - `unit`: "time", "1/time", or "1", the default, if dimensionless
    - `bounds`: an interval in the usual notation, such as "[0, inf)"; unbounded by default. Fits never leave it
    - `ndim`: number of axes (0), or a tuple of those allowed
    - `doc`: its meaning, in a few words
    """
    known = None if default is dataclasses.MISSING else default
    declaration = Parameter(symbol, unit, bounds, doc, default=known, ndim=ndim)
    converter = as_array if known is not None or default is dataclasses.MISSING else _as_array_or_none
    return eqx.field(default=default, converter=converter, metadata={"parameter": declaration})


def _as_array_or_none(value: Any) -> Any:
    return None if value is None else as_array(value)


def parameters(module: Any) -> dict[str, Parameter]:
    """The declarations of a class or instance, by name, in the order in which they were written; of an instance without
    optional ones that are None."""
    absent = lambda field: field.default is None and getattr(module, field.name) is None
    return {
        field.name: dataclasses.replace(field.metadata["parameter"], name=field.name)
        for field in dataclasses.fields(module)
        if "parameter" in field.metadata and (isinstance(module, type) or not absent(field))
    }


def check(declaration: Parameter, value: Any) -> None:
    """Refuse, in one sentence, a value that is no float array, has the wrong shape or lies outside its bounds."""
    name, ndims = declaration.name, np.ravel(declaration.ndim)
    axes = " or ".join(map(str, ndims)) + (" axis" if tuple(ndims) == (1,) else " axes")
    number = "a number" if tuple(ndims) == (0,) else f"an array of numbers with {axes}"
    is_float = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)
    require(name, value, f"be {number}", is_float)
    many = " (use `jax.vmap` over the model for many values, and `per_node` for those of a network's nodes)"
    hint = many if tuple(ndims) == (0,) else ""
    require(name, value, f"be {number}{hint}", value.ndim in ndims)
    if is_concrete(value):
        concrete = np.asarray(value)
        require_each(name, concrete, "be finite, without NaN", np.isfinite(concrete))
        require_each(name, concrete, f"be {declaration.rule}", declaration.within(concrete))


def as_number(name: str, value: object, bounds: str = "(-inf, inf)") -> Any:
    """`value` as a float array without axes, within `bounds`; else the one-sentence `ValueError` naming it."""
    number = as_array(value)
    check(Parameter(symbol=name, unit="1", bounds=bounds, doc="", name=name), number)
    return number


def as_plain_number(name: str, value: object, bounds: str = "(-inf, inf)") -> float:
    """A number as of `as_number`, but a Python float: of one that is a Python number already no array is made."""
    declaration, known = Parameter(symbol=name, unit="1", bounds=bounds, doc="", name=name), python_number(value)
    if known is not None and declaration.allows(np.asarray(known)):
        return known
    return float(as_number(name, value, bounds))


def declared(cls: _Class) -> _Class:
    """Class decorator: the constructor checks its arguments against the declared parameters.

    - `cls`: a subclass of `equinox.Module` with fields made by `parameter`

    Returns the class. Its constructor raises `ValueError` for unknown, missing and surplus arguments and values that
    break a declaration; traced values pass, since they can't be read. A class method `check_given` sees the arguments,
    by name, before they are converted.
    """
    inner: Callable[..., None] = cls.__init__
    arguments = list(inspect.signature(inner).parameters.values())[1:]
    accepted = [each.name for each in arguments]
    needed = [each.name for each in arguments if each.default is each.empty]

    @functools.wraps(inner)
    def checked_init(self, *args, **kwargs) -> None:
        refuse_unknown(kwargs, accepted, f"arguments of {cls.__name__},")
        if len(args) > len(accepted):
            raise ValueError(f"Arguments of {cls.__name__} must be at most {len(accepted)}, but got {len(args)}.")
        for name in accepted[: len(args)]:
            require(name, kwargs.get(name), f"be given once to {cls.__name__}", name not in kwargs)
        for name in needed:
            if name not in accepted[: len(args)] and name not in kwargs:
                raise ValueError(f"Argument `{name}` must be given to {cls.__name__}, but got nothing.")
        if hasattr(cls, "check_given"):
            cls.check_given(dict(zip(accepted, args, strict=False)) | kwargs)
        inner(self, *args, **kwargs)

    cls.__init__ = checked_init
    return cls


def check_parameters(module: object) -> None:
    """Check every declared parameter of an instance; call it from `__check_init__`."""
    for declaration in parameters(module).values():
        check(declaration, getattr(module, declaration.name))


def dtype_of(module: object) -> Any:
    """The float dtype of a module's arrays, the widest if there are several, the default one if there are none."""
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(module) if eqx.is_inexact_array(leaf)}
    return jnp.result_type(*dtypes) if dtypes else float_dtype()


def with_dtype(module: object, dtype: DTypeLike) -> Any:
    """The module with all its float arrays in one dtype."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, module)


def with_arrays(module: object) -> Any:
    """The module with every number as an array of one float dtype, the widest among its arrays: a parameter that
    `equinox.tree_at` or `dataclasses.replace` made a Python number, or one of another precision, is a number like others."""
    is_float = lambda leaf: isinstance(leaf, (jax.Array, np.ndarray)) and jnp.issubdtype(leaf.dtype, jnp.floating)
    leaves = jax.tree.leaves(module)
    dtypes = {leaf.dtype for leaf in leaves if is_float(leaf)}
    loose = any(isinstance(leaf, (int, float, np.generic, np.ndarray)) and not isinstance(leaf, bool) for leaf in leaves)
    if len(dtypes) <= 1 and not loose:
        return module
    dtype = jnp.result_type(*dtypes) if dtypes else float_dtype()

    def convert(leaf) -> Any:
        array = as_array(leaf) if not isinstance(leaf, jax.Array) else leaf
        return array.astype(dtype) if is_float(array) else leaf

    return jax.tree.map(convert, module)


def parameter_table(module: Any) -> dict[str, tuple[Parameter, Any]]:
    """Declaration and value of every parameter, the composed terms' included, by dotted name (`gap.g`).

    - `module`: a model, term or stimulus

    Returns a dictionary of pairs (declaration, value).
    """
    table: dict[str, tuple[Parameter, Any]] = {}
    for name, declaration in parameters(module).items():
        table[name] = (declaration, getattr(module, name))
    for field in dataclasses.fields(module):
        part = getattr(module, field.name)
        if isinstance(part, eqx.Module) and field.name not in table:
            prefix = "" if "flat" in field.metadata else f"{field.name}."
            table |= {f"{prefix}{inner}": pair for inner, pair in parameter_table(part).items()}
    return table


def describe(module: Any) -> str:
    """A model or stimulus in one line: its class and the values of its parameters, composed terms alike; the class alone
    while it is traced."""
    if hasattr(module, "parts"):
        return " + ".join(describe(part) for part in module.parts)
    own = {name: getattr(module, name) for name in parameters(module)}
    if not all(isinstance(value, (jax.Array, np.ndarray)) and is_concrete(value) for value in own.values()):
        return type(module).__name__
    values = [f"{name}={'…' if value.ndim else f'{value:g}'}" for name, value in own.items()]
    for field in dataclasses.fields(module):
        part = getattr(module, field.name)
        if "flat" in field.metadata:
            values.append(describe(part).partition("(")[2].removesuffix(")"))
        elif isinstance(part, eqx.Module) and field.name not in own:
            values.append(f"{field.name}={describe(part)}")
        elif isinstance(part, tuple) and part and all(isinstance(each, eqx.Module) for each in part):
            values.append(f"{field.name}=({', '.join(describe(each) for each in part)})")
        elif field.name not in own and len(shape := getattr(part, "shape", ())):
            values.append(f"{field.name}=({', '.join(str(each) for each in shape)})")
    fields = (field for field in dataclasses.fields(module) if field.metadata.get("static", False))
    static = [field for field in fields if getattr(module, field.name) != () and field.name != "note"]
    values += [f"{field.name}={_shortened(getattr(module, field.name))}" for field in static]
    return f"{type(module).__name__}({', '.join(values)})"


def _shortened(value: Any) -> str:
    """A static value as text; of many names, such as the regions of a brain, the first and the last."""
    if isinstance(value, tuple) and len(value) > 8 and all(isinstance(each, str) for each in value):
        *names, last = value
        return f"({', '.join(map(repr, names[:3]))}, …, {last!r})"
    return repr(value)
