"""The system that is continued: a model or a user's vector field as du/dt = f(u, p), u a flat state, p free parameters.

Of a network with delays f is that without them, whose zeros are the same; `linear` has the delays, for what is stable."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._checks import as_array, require
from .._parameter import dtype_of, parameter_table, with_dtype
from .._types import Values, float_dtype, is_concrete
from ..equilibria.delays import linearized_with_delays
from ..models.base import AbstractModel, refuse_spikes
from ..numerics.delayed import Delayed


class UserField(eqx.Module):
    """A user's dy/dt = function(y, parameters) behind the interface of a model."""

    function: Callable = eqx.field(static=True)
    parameters: dict[str, Any]

    def vector_field(self, t: Values, y: Values, I: Values) -> Values:
        del t, I
        return self.function(y, self.parameters)


class Flow(eqx.Module):
    """f(u, I) = du/dt: a model with all its parameters under a constant input I; `like` is a state of the model's kind."""

    model: Any
    like: Any

    def __call__(self, u: Values, I: Values) -> Values:
        state = ravel_pytree(self.like)[1](u)
        model = self.model.undelayed() if isinstance(self.model, AbstractModel) else self.model
        return ravel_pytree(model.vector_field(jnp.zeros((), u.dtype), state, I))[0]

    def jacobian(self, u: Values, I: Values) -> Values:
        """∂f/∂u."""
        return jax.jacfwd(self)(u, I)


class System(eqx.Module):
    """f(u, p) = du/dt, with the parameters `names` of `model` at the values p; `like` is a state of the model's kind.

    An array of parameters, such as those of a network's nodes, takes one value for all its entries, unless one node is
    named, "node.eta[e]".
    """

    model: Any
    like: Any
    names: tuple[str, ...] = eqx.field(static=True)

    def __call__(self, u: Values, p: Values) -> Values:
        return Flow(self.at(p), self.like)(u, jnp.zeros((), u.dtype))

    def at(self, p: Values) -> Any:
        """The model at the parameter values p, shape `(len(names),)`."""
        model = self.model
        for k, name in enumerate(self.names):
            model = with_value(model, name, p[k])
        return model

    def state(self, u: Values) -> Any:
        """The flat state u as the model's."""
        return ravel_pytree(self.like)[1](u)

    def states(self, u: Values) -> Any:
        """Many flat states, `(..., n)`, as one state with arrays of shape `(..., )` + that of one."""
        flat = jax.vmap(self.state)(u.reshape(-1, u.shape[-1]))
        return jax.tree.map(lambda each: each.reshape(*u.shape[:-1], *each.shape[1:]), flat)

    def allows(self, u: Values) -> Any:
        """Whether the variables that a model declares positive are positive at the flat state u."""
        state = self.state(u)
        names = self.model.positive if isinstance(self.model, AbstractModel) else ()
        return jnp.all(jnp.stack([jnp.array(True), *(jnp.all(getattr(state, name) > 0) for name in names)]))

    def flat(self, states: Any) -> Values:
        """States with one axis in front as flat ones, `(k, n)`."""
        return jax.vmap(lambda each: ravel_pytree(each)[0])(states)

    def value(self, k: int = 0) -> Values:
        """The value that the model itself gives the k-th free parameter."""
        return jnp.ravel(value_of(self.model, self.names[k]))[0]

    def jacobian(self, u: Values, p: Values) -> Values:
        """∂f/∂u."""
        return jax.jacfwd(self)(u, p)

    @property
    def delayed(self) -> bool:
        """Whether the model has delays."""
        return isinstance(self.model, AbstractModel) and "delays" in self.model.offers

    def linear(self, u: Values, p: Values) -> Delayed:
        """The equations of small deviations of a network with delays."""
        return linearized_with_delays(self.at(p), self.state(u))

    def also(self, name: str) -> "System":
        """The system with one more free parameter."""
        check_name(self.model, name, "second")
        require("second", name, f"differ from the first parameter, `{self.names[0]}`", name not in self.names)
        return System(self.model, self.like, (*self.names, name))


def value_of(model: Any, name: str) -> Any:
    """The parameter with a dotted name, or with one of a node, "node.eta[e]", its entry."""
    name, node = _base(name), _node(model, name)
    if isinstance(model, UserField):
        return model.parameters[name]
    for part in name.split("."):
        model = getattr(model, part)
    return model if node is None else model[node]


def with_value(model: Any, name: str, value: Values) -> Any:
    """The model with one parameter changed; arrays are filled with the value, unless a node is named."""
    name, node = _base(name), _node(model, name)
    old = value_of(model, name)
    new = jnp.broadcast_to(value, old.shape) if node is None else old.at[node].set(value)
    return eqx.tree_at(lambda each: value_of(each, name), model, new)


def _base(name: str) -> str:
    """The parameter's own name in "node.eta[e]"."""
    return name.partition("[")[0] if name.endswith("]") else name


def _node(model: Any, name: str) -> int | None:
    """The number of the node in "node.eta[e]", None without one."""
    if _base(name) == name or isinstance(model, UserField):
        return None
    node = name.partition("[")[2].removesuffix("]")
    return model.index(int(node) if node.isdigit() and node not in model.names else node, "parameter")


def check_name(model: Any, name: Any, argument: str = "parameter") -> None:
    """Refuse, in one sentence, what is no parameter with one value."""
    if isinstance(model, AbstractModel):
        refuse_spikes(model)
    known = model.parameters if isinstance(model, UserField) else parameter_table(model)
    require(argument, name, "be the name of a parameter", isinstance(name, str))
    is_known = name in known or (isinstance(model, AbstractModel) and _base(name) in known)
    require(argument, name, f"be one of {', '.join(f'`{each}`' for each in known)}", is_known)
    if name not in known and isinstance(model, AbstractModel):
        per_node = model.size is not None and value_of(model, _base(name)).shape == (model.size,)
        require(argument, name, "name a parameter that differs from node to node (`per_node`)", per_node)
    value = value_of(model, name)
    if is_concrete(value):
        values = np.ravel(np.asarray(value))
        one = "have the same value in all entries to be continued, or be that of one node, such as `node.eta[0]`"
        require(name, value, one, bool(np.all(values == values[0])))


def as_system(model: Any, parameter: Any, guess: Any, parameters: Mapping[str, Any] | None) -> System:
    """The system of a model, or of `field(y, parameters)`; checked at the door. `guess` may be None if the model rests."""
    if isinstance(model, AbstractModel):
        require("parameters", parameters, "be None for a model, which has its own", parameters is None)
        require("model", type(model).__name__, "run on physical time", not model.own_clock)
        check_name(model, parameter)
        return System(model, with_dtype(model.state(guess), dtype_of(model)), (parameter,))
    require("model", model, "be a model or a function `field(y, parameters)`", callable(model))
    require("parameters", parameters, "be a mapping of names to numbers", isinstance(parameters, Mapping))
    assert isinstance(parameters, Mapping)
    field = UserField(model, {name: _number(name, value) for name, value in parameters.items()})
    check_name(field, parameter)
    guess = as_array(guess)
    is_vector = hasattr(guess, "ndim") and guess.ndim == 1 and guess.dtype == float_dtype()
    require("guess", guess, "be a vector of numbers", is_vector)
    finite = not is_concrete(guess) or bool(np.all(np.isfinite(np.asarray(guess))))
    require("guess", guess, "be finite, without NaN", finite)
    flow = jax.eval_shape(field.vector_field, guess[0], guess, guess[0])
    same = hasattr(flow, "shape") and flow.shape == guess.shape
    require("guess", guess, f"have the shape of what the field returns, {getattr(flow, 'shape', flow)}", same)
    return System(field, guess, (parameter,))


def _number(name: str, value: object) -> Any:
    value = as_array(value)
    is_number = isinstance(value, jax.Array) and value.ndim == 0
    require(name, value, "be a number", is_number)
    if is_concrete(value):
        require(name, value, "be finite, without NaN", bool(np.isfinite(np.asarray(value))))
    return value


def as_bounds(argument: str, bounds: object, dtype: Any) -> Values:
    """Two finite numbers, the first the smaller, as an array of shape `(2,)`."""
    pair = as_array(bounds)
    is_pair = isinstance(pair, jax.Array) and pair.shape == (2,)
    require(argument, bounds, "be a pair of numbers (from, to)", is_pair)
    if is_concrete(pair):
        low, high = np.asarray(pair)
        require(argument, pair, "be finite, without NaN", bool(np.isfinite(low) and np.isfinite(high)))
        require(argument, pair, "increase", bool(low < high))
    return pair.astype(dtype)
