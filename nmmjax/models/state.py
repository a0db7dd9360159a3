"""States as records of named variables, and the declarations of those variables.

A model declares its variables once (`AbstractModel.variables`); checks, xarray, plots, sweeps and fits read them there.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, refuse_unknown, require
from .._types import is_concrete


class Variable(NamedTuple):
    """Declaration of a state variable.

    - `doc`: its meaning, such as "firing rate"
    - `unit`: "1/time", "time", or "1" if dimensionless
    - `symbol`: how plots write it; its name by default
    - `positive`: whether a value ≤ 0 is outside the model
    - `rest`: the value at which it starts if a user gives none, or the name of the variable whose value it has then; None if
      it must be given
    """

    doc: str
    unit: str = "1"
    symbol: str = ""
    positive: bool = False
    rest: Any = None


class State(eqx.Module):
    """State of a model: its variables by name, `State(r=0.1, v=-2.0)`, read as `y.r`, `y.v`; a pytree.

    - `**variables`: arrays by name, in the units that the model declares, all of the same shape: () for one population,
      (n,) for a network of n; a trajectory has time as an axis in front

    States with the same variables have the same tree, in whatever order they were given.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    values: tuple[Any, ...]

    def __init__(self, **variables: Any):
        self.names = tuple(sorted(variables, key=str.swapcase))  # lower case first: r and v before A and B
        self.values = tuple(as_array(variables[name]) for name in self.names)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name not in ("names", "values") and name in self.names:
            return self.values[self.names.index(name)]
        raise AttributeError(f"This state has no variable {name!r}.")

    @property
    def variables(self) -> dict[str, Any]:
        """The variables by name."""
        return dict(zip(self.names, self.values, strict=True))

    def replace(self, **variables: Any) -> "State":
        """The state with other values of some of its variables, or with more variables; `**variables` are arrays by name."""
        return State(**self.variables | variables)


@runtime_checkable
class Row(Protocol):
    """Values by name: a dictionary, a row of a table."""

    def keys(self) -> Any:
        """The names."""
        ...

    def __getitem__(self, name: Any, /) -> Any:
        """The value of a name."""
        ...


StateLike: TypeAlias = State | Row | eqx.Module  # or a record of one's own with the variables as fields


def variables_of(y: Any, declared: Iterable[str] = ()) -> dict[str, Any] | None:
    """Variables of a state by name, if `y` is a `State`, a mapping (a dictionary, a row of a table, …) or another record
    that has some of those declared; else None."""
    if isinstance(y, State):
        return y.variables
    if hasattr(y, "keys"):
        return {name: y[name] for name in y.keys()}  # noqa: SIM118 (iterating over a pandas Series gives its values)
    return {name: getattr(y, name) for name in declared if hasattr(y, name)} or None


def as_state(y: object, declared: Mapping[str, Variable], argument: str = "y") -> State:
    """A `State` of any shape from a state or a mapping that has all the declared variables; numbers become float arrays.

    A state may have more variables than those (a state of a population with adaptation is also a state of one without); a
    mapping may not. Raises `ValueError` for missing or unknown names, values that are not numbers, and shapes that differ.
    """
    given = variables_of(y, declared)
    keys = " and ".join(f"`{each}`" for each in declared)
    require(argument, y, f"be a state or a mapping with the keys {keys}", given is not None)
    assert given is not None
    if not isinstance(y, State):
        refuse_unknown(given, declared, "state names")
    for each in declared:
        require(argument, sorted(given), f"have the key `{each}`", each in given)
    values = {name: as_array(value) for name, value in given.items()}
    for name, value in values.items():
        require(name, value, "be a number or an array of numbers", isinstance(value, jax.Array))
    first = next(iter(declared))
    shape = values[first].shape
    for name, value in values.items():
        require(name, value, f"have the shape of `{first}`, {shape}", value.shape == shape)
    return State(**values)


def as_initial_state(y: object, declared: Mapping[str, Variable], shape: tuple[int, ...] = ()) -> State:
    """One initial state of the declared variables, checked: known names, finite values, positive ones > 0.

    Variables that `y` does not name start at rest, if they declare one. Values have the given shape, `()` for one population
    and `(n,)` for a network, for which a number stands for all nodes.
    """
    given = variables_of(y, declared)
    if given is not None:
        refuse_unknown(given, declared, "state names")
        rest = {name: each.rest for name, each in declared.items() if each.rest is not None}
        start = {name: given.get(each) if isinstance(each, str) else each for name, each in rest.items()}
        given = {name: given[name] if name in given else start[name] for name in declared if name in given or name in rest}
        if shape:
            given = {name: _spread(name, value, shape) for name, value in given.items()}
    y0 = as_state(y if given is None else given, declared, "y0")
    one = "be a number (use `jax.vmap` over `simulate` for many initial states)"
    for name, value in y0.variables.items():
        require(name, value, one, value.ndim == len(shape))
        if is_concrete(value):
            require(name, value, "be finite, without NaN", bool(np.all(np.isfinite(np.asarray(value)))))
            if declared[name].positive:
                require(name, value, "be > 0", bool(np.all(np.asarray(value) > 0)))
    return y0


def _spread(name: str, value: object, shape: tuple[int, ...]) -> Any:
    """`value` of the given shape; a number stands for all nodes."""
    array = as_array(value)
    if not isinstance(array, jnp.ndarray):
        return value
    require(name, value, f"be a number or an array of shape {shape}", array.shape in ((), shape))
    return jnp.broadcast_to(array, shape)
