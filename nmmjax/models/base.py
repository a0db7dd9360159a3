"""The contract of a model. A model states its equations and knows no solver.

Functions of the library ask a model what it offers (a potential, an exactly solvable part, something to send), never which
class it is, and refuse by naming what is missing.
"""

import abc
import functools
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import require
from .._parameter import check_parameters, describe, with_arrays
from .._results import Shown
from .._types import Values
from .state import State, Variable, as_initial_state, as_state

_RESERVED = ("names", "values", "variables", "replace", "input")


class AbstractModel(eqx.Module, Shown):
    """A dynamical model: declared parameters, declared variables and one vector field, without batch axes (use `jax.vmap`).

    Your own model is one class with `variables` and `vector_field`. Further declarations open more of the library: `sent`
    makes it a node of networks, `channels` names quantities for sweeps and plots, `degree` allows proofs about basins,
    `AbstractMechanical` gives energies.
    """

    equations: ClassVar[str] = ""
    source: ClassVar[str] = ""
    own_clock: ClassVar[bool] = False

    def __check_init__(self) -> None:
        check_parameters(self)

    def __repr__(self) -> str:
        note = vars(self).get("note", "")
        return f"{describe(self)}\n  {note}" if note else describe(self)

    @property
    @abc.abstractmethod
    def variables(self) -> Mapping[str, Variable]:
        """Declarations of the state variables, by name, in the order in which outputs show them."""

    @abc.abstractmethod
    def vector_field(self, t: Values, y: State, I: Any = 0.0) -> State:
        """dy/dt at time `t` and state `y` under the input `I`: a number (or one per node), in which stimulus, tilt and
        coupling are one thing. Elementwise, so that states may have any shape."""

    def divergence(self, t: Values, y: State, I: Any = 0.0) -> Values:
        """Σ ∂(dy/dt)_a/∂y_a at time `t`, state `y` and input `I`, per unit of time: the rate at which phase volume grows; in
        the shape of the state's variables."""

        def own(name: str) -> Values:
            rate = lambda value: getattr(self.vector_field(t, y.replace(**{name: value}), I), name)
            return jax.jvp(rate, (getattr(y, name),), (jnp.ones_like(getattr(y, name)),))[1]

        first, *rest = (own(name) for name in self.variables)
        return sum(rest, first)

    def sent(self, y: State) -> Values:
        """The signal that others receive from a population in the state `y`. Refuses by default; a model that declares it
        can be the node of a `Network`."""
        del y
        raise ValueError(f"Argument `node` must declare what it sends (define `sent(y)`), but got {self!r}.")

    def channels(self, y: State, I: Any) -> dict[str, tuple[Values, str]]:
        """Further scalar functions of the state `y` and the input `I`, by name, each with its unit: what sweeps, plots and
        fits can name beside the variables; none by default.
        """
        del y, I
        return {}

    @property
    def degree(self) -> int | None:
        """Degree of the vector field as a polynomial in the state, None if it is none or unknown. Traps of
        basins are proofs if it is 2 or 3; runs decide if it is None."""
        return None

    @property
    def offers(self) -> frozenset[str]:
        """Capabilities that functions may ask for: "potential" (`AbstractMechanical`), "riccati" (`AbstractRiccati`),
        "splitting", which geometric solvers take (every "riccati", several poles, and networks of conductances), and
        "resting", all fixed points from one equation (`MPR.resting`)."""
        return frozenset()

    @property
    def slow_names(self) -> tuple[str, ...]:
        """Names of the variables that move the landscape of the others; none by default."""
        return ()

    @property
    def size(self) -> int | None:
        """Number of nodes of a network, None for one population."""
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every variable in one state: () for one population, (n,) for a network."""
        return () if self.size is None else (self.size,)

    @property
    def labels(self) -> Any:
        """Names or numbers of the nodes of a network in outputs, (n,); None for one population."""
        return None

    @property
    def positive(self) -> tuple[str, ...]:
        """Names of the variables that must stay positive."""
        return tuple(name for name, each in self.variables.items() if each.positive)

    def physical_time(self, t: Values, y: State) -> Values:
        """The time at which a stimulus acts if the solver's clock shows `t` at the state `y`: by default the same."""
        del y
        return t

    def undelayed(self) -> Any:
        """The model without delays, which has the same resting states; itself unless a coupling has some."""
        return self

    def state(self, y: object) -> State:
        """`y` (a state, or a mapping of variables to numbers) as an initial state of this model, checked: variables that are
        not named start at rest, if they declare one, and a number is the same for all nodes of a network."""
        return as_initial_state(y, self.variables, self.shape)


def as_model(model: Any, argument: str = "model") -> Any:
    """A model at the door: its parameters as arrays of one dtype (see `with_arrays`), else the one-sentence `ValueError`."""
    require(argument, model, "be a model such as `MPR(...)`", isinstance(model, AbstractModel))
    for name in model.variables:
        valid = name.isidentifier() and not name.startswith("_") and name not in _RESERVED
        require(argument, name, f"name its variables by identifiers other than {', '.join(_RESERVED)}", valid)
    return with_arrays(model)


def as_states(y: object, model: AbstractModel, argument: str = "y") -> State:
    """States of a model, of any shape, such as a trajectory; see `as_state`."""
    return as_state(y, model.variables, argument)


def require_offer(model: object, offer: str, argument: str = "model", also: str = "") -> None:
    """Refuse, in one sentence, anything that is not a model, and a model that doesn't offer a "potential", a "riccati" part,
    a "splitting" into exactly solvable parts, or a "resting" equation."""
    rule = {
        "potential": "have a potential (`AbstractMechanical`)",
        "riccati": "have an exactly solvable part (`AbstractRiccati`), as `MPR` has",
        "resting": "be a single population with an equation for its fixed points, as `MPR` has",
        "splitting": "have an exactly solvable part (`AbstractRiccati`), as `MPR` has",
    }[offer]
    if isinstance(model, AbstractModel):
        refuse_delays(model, argument)
    fits = isinstance(model, AbstractModel) and offer in model.offers
    require(argument, model if isinstance(model, AbstractModel) else type(model).__name__, rule + also, fits)


def refuse_spikes(model: Any, argument: str = "model") -> None:
    """Refuse networks of spiking neurons, which have no vector field, for functions that need one."""
    rule = "have a vector field, which a network of spiking neurons has not (use its mean field, `neurons.model`)"
    require(argument, model, rule, "spikes" not in model.offers)


def refuse_delays(model: Any, argument: str = "model") -> None:
    """Refuse networks with delays, for functions that follow the present state alone."""
    rule = "be without delays here (`network.undelayed()` has the same resting states)"
    require(argument, model, rule, "delays" not in model.offers)


def require_one(model: Any, argument: str = "model", offer: str = "potential") -> None:
    """Refuse networks, and models that don't offer what is asked for."""
    require_offer(model, offer, argument)
    require(argument, model, "be one population, not a network", model.size is None)


def require_network(network: Any, argument: str = "network") -> None:
    """Refuse what is no network of populations with an exactly solvable part."""
    require_offer(network, "riccati", argument)
    require(argument, network, "be a `Network`", network.size is not None)


def takes_model(function: Any) -> Any:
    """Decorator of a public function whose first argument is a model: its parameters become arrays of one dtype, so that one
    changed by `equinox.tree_at(…, -4.0)` is a number like any other. Other values are left to the function to refuse."""
    name = next(iter(inspect.signature(function).parameters))
    ready = lambda model: with_arrays(model) if isinstance(model, AbstractModel) else model

    @functools.wraps(function)
    def door(*args, **kwargs) -> Any:
        if args:
            return function(ready(args[0]), *args[1:], **kwargs)
        return function(**{key: ready(value) if key == name else value for key, value in kwargs.items()})

    return door
