"""Layer 1: what a model must offer. A model says what the equations are; it knows no solver."""

import abc
import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._parameter import as_array, check_parameters, describe, refuse_unknown, require
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

    @abc.abstractmethod
    def state(self, y: Any) -> Any:
        """`y` (a state, or a mapping of the state's names to numbers) as this model's state; checked at the door."""


class State(eqx.Module):
    """State of one population.

    - `r`: firing rate, per unit of time (r > 0)
    - `v`: mean voltage, dimensionless

    Both have the same shape: `()` for one state, `(n,)` along a trajectory.
    """

    r: Values = eqx.field(converter=as_array)
    v: Values = eqx.field(converter=as_array)

    units: ClassVar[dict[str, str]] = {"r": "1/time", "v": "1"}
    positive: ClassVar[tuple[str, ...]] = ("r",)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(cls))


def as_state(y: Any, name: str = "y") -> State:
    """A `State` from a state or a mapping with keys `r` and `v`; scalars become float arrays.

    Raises `ValueError` for missing or unknown names, values that are not numbers, and shapes that differ.
    """
    get = {"r": y.r, "v": y.v} if isinstance(y, State) else dict(y) if hasattr(y, "keys") else None
    require(name, y, "be a state or a mapping with the keys `r` and `v`", get is not None)
    assert get is not None
    refuse_unknown(get, State.names(), "state names")
    for each in State.names():
        require(name, sorted(get), f"have the key `{each}`", each in get)
    values = {each: as_array(value) for each, value in get.items()}
    for each, value in values.items():
        require(each, value, "be a number or an array of numbers", isinstance(value, jnp.ndarray))
    require("v", values["v"], f"have the shape of `r`, {values['r'].shape}", values["r"].shape == values["v"].shape)
    return State(**values)


def as_initial_state(y: Any) -> State:
    """One initial state, checked: scalar, finite, r > 0."""
    y0 = as_state(y, "y0")
    for name, value in (("r", y0.r), ("v", y0.v)):
        require(name, value, "be a number (use `jax.vmap` over `simulate` for many initial states)", value.ndim == 0)
        if is_concrete(value):
            require(name, value, "be finite, without NaN", bool(np.isfinite(np.asarray(value))))
    if is_concrete(y0.r):
        require("r", y0.r, "be > 0", bool(np.asarray(y0.r) > 0))
    return y0
