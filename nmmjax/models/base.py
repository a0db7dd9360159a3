"""Layer 1: what a model must offer. A model says what the equations are; it knows no solver."""

import abc
import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, refuse_unknown, require
from .._parameter import check_parameters, describe, with_arrays
from .._types import Values, is_concrete
from .stimulus import AbstractStimulus


class AbstractModel(eqx.Module):
    """A dynamical model: declared parameters, a state and one vector field, without batch axes (use `jax.vmap`)."""

    equations: ClassVar[str]
    source: ClassVar[str]
    own_clock: ClassVar[bool] = False

    def __check_init__(self) -> None:
        check_parameters(self)

    def __repr__(self) -> str:
        return describe(self)

    @abc.abstractmethod
    def vector_field(self, t: Values, y: Any, stimulus: AbstractStimulus | None = None) -> Any:
        """dy/dt at time `t` and state `y` under `stimulus`; elementwise."""

    def physical_time(self, t: Values, y: Any) -> Values:
        """The time at which a stimulus acts where the solver's clock shows `t`: the same, unless a model says otherwise."""
        return t

    @property
    def labels(self) -> Any:
        """What outputs call the nodes of a network, (n,); None for one population."""
        return None

    @abc.abstractmethod
    def state(self, y: Any) -> Any:
        """`y` (a state, or a mapping of the state's names to numbers) as this model's state; checked at the door."""


def as_model(model: Any, argument: str = "model") -> Any:
    """A model at the door: its parameters as arrays of one dtype (see `with_arrays`), else the one-sentence `ValueError`."""
    require(argument, model, "be a model such as `MPR(...)`", isinstance(model, AbstractModel))
    return with_arrays(model)


def takes_model(function: Any) -> Any:
    """Decorator of a public function whose first argument is a model: its parameters become arrays of one dtype, so that one
    changed by `equinox.tree_at(…, -4.0)` is a number like any other. What is no model is left to the function to refuse."""
    name = next(iter(inspect.signature(function).parameters))
    ready = lambda model: with_arrays(model) if isinstance(model, AbstractModel) else model

    @functools.wraps(function)
    def door(*args: Any, **kwargs: Any) -> Any:
        if args:
            return function(ready(args[0]), *args[1:], **kwargs)
        return function(**{key: ready(value) if key == name else value for key, value in kwargs.items()})

    return door


def _variable(unit: str, doc: str, optional: bool = False) -> Any:
    """A field of a state: an array, or None where the model lacks the variable."""
    default = None if optional else dataclasses.MISSING
    return eqx.field(converter=as_array, metadata={"unit": unit, "doc": doc}, default=default)


class State(eqx.Module):
    """State of one population.

    - `r`: firing rate, per unit of time (r > 0)
    - `v`: mean voltage, dimensionless
    - `A`, `B`: adaptation or depression and, with the alpha kernel, B = τ_A dA/dt; `x`, `u`: synaptic resources and
      their utilization. None where the model has no such term

    All have the same shape: `()` for one population, `(n,)` for a network of n; a trajectory has time as an axis in front.
    """

    r: Values = _variable("1/time", "firing rate")
    v: Values = _variable("1", "mean voltage")
    A: Any = _variable("1", "adaptation or depression", optional=True)
    B: Any = _variable("1", "rate of adaptation", optional=True)
    x: Any = _variable("1", "synaptic resources", optional=True)
    u: Any = _variable("1", "utilization", optional=True)

    positive: ClassVar[tuple[str, ...]] = ("r",)

    @property
    def variables(self) -> dict[str, Any]:
        """The variables that this state has, by name."""
        return {name: value for name in _FIELDS if (value := getattr(self, name)) is not None}

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.variables)

    @property
    def units(self) -> dict[str, str]:
        """Variables and their units."""
        return {name: _FIELDS[name]["unit"] for name in self.names}

    @property
    def meanings(self) -> dict[str, str]:
        """Variables and what they mean."""
        return {name: _FIELDS[name]["doc"] for name in self.names}


_FIELDS: dict[str, Any] = {field.name: field.metadata for field in dataclasses.fields(State)}
FAST, SLOW = ("r", "v"), tuple(name for name in _FIELDS if name not in ("r", "v"))


def as_state(y: Any, name: str = "y") -> State:
    """A `State` from a state or a mapping with keys `r` and `v` (and slow variables); scalars become float arrays.

    Raises `ValueError` for missing or unknown names, values that are not numbers, and shapes that differ.
    """
    get = variables_of(y)
    require(name, y, "be a state or a mapping with the keys `r` and `v`", get is not None)
    assert get is not None
    refuse_unknown(get, _FIELDS, "state names")
    for each in FAST:
        require(name, sorted(get), f"have the key `{each}`", each in get)
    values = {each: as_array(value) for each, value in get.items()}
    for each, value in values.items():
        require(each, value, "be a number or an array of numbers", isinstance(value, jnp.ndarray))
    shape = values["r"].shape
    for each, value in values.items():
        require(each, value, f"have the shape of `r`, {shape}", value.shape == shape)
    return State(**values)


def variables_of(y: Any) -> dict[str, Any] | None:
    """The variables of a state by name: of a `State`, any mapping (a row of a table, …), or another record that has r and v,
    such as the state of a user's model, those that a `State` knows; None for anything else."""
    if isinstance(y, State):
        return y.variables
    if hasattr(y, "keys"):
        return {name: y[name] for name in y.keys()}  # noqa: SIM118 (iterating over a pandas Series gives its values)
    if hasattr(y, "r") and hasattr(y, "v"):
        return {name: value for name in _FIELDS if (value := getattr(y, name, None)) is not None}
    return None


def as_initial_state(y: Any, rest: Mapping[str, Any] | None = None, shape: tuple[int, ...] = ()) -> State:
    """One initial state, checked: finite, r > 0; slow variables that are not given start at `rest`.

    Values have the given shape, `()` for one population and `(n,)` for a network, where a number stands for all nodes.
    """
    rest = {} if rest is None else rest
    given = variables_of(y)
    if given is None:
        given = y
    else:
        refuse_unknown(given, (*FAST, *rest), "state names")
        given = {**{name: value for name, value in rest.items() if name not in given}, **given}
        if shape:
            given = {name: _spread(name, value, shape) for name, value in given.items()}
    y0 = as_state(given, "y0")
    one = "be a number (use `jax.vmap` over `simulate` for many initial states)"
    for name in y0.names:
        value = getattr(y0, name)
        require(name, value, one, value.ndim == len(shape))
        if is_concrete(value):
            require(name, value, "be finite, without NaN", bool(np.all(np.isfinite(np.asarray(value)))))
    if is_concrete(y0.r):
        require("r", y0.r, "be > 0", bool(np.all(np.asarray(y0.r) > 0)))
    return y0


def _spread(name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """`value` of the given shape; a number stands for all nodes."""
    array = as_array(value)
    if not isinstance(array, jnp.ndarray):
        return value
    require(name, value, f"be a number or an array of shape {shape}", array.shape in ((), shape))
    return jnp.broadcast_to(array, shape)
