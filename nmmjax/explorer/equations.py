"""What a page needs of a model: its declarations as data, and its functions of flat arrays as JavaScript.

p   all parameters, in the order of their declarations      y   all variables, one after another, node by node
I   the input: a number, or one per node                    x   where a particle is: the rate, or q if there is no rate
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._parameter import Parameter, parameter_table, parameters, with_dtype
from .._types import Values
from ..branches.system import with_value
from ..mechanics.energy import heat_rate, kinetic_energy, potential_energy, received_power, slow_power
from ..models.base import AbstractModel, as_model, refuse_spikes
from ..models.network import is_network
from ..models.state import State
from ..numerics.loops import runge_kutta
from ..solvers.operators import Moving, force_gradient_step, strang_step
from ..solvers.term import PopulationTerm
from .javascript import translate

LARGEST = 6  # variables, all nodes together, that three views can show


class Flat(eqx.Module):
    """A model as functions of flat arrays, to be traced."""

    model: Any

    @property
    def size(self) -> int:
        """Number of nodes; 1 for one population."""
        return self.model.size or 1

    @property
    def p(self) -> Values:
        """The parameters as they are."""
        return jnp.concatenate([jnp.zeros(0), *(jnp.ravel(value) for _, value in table_of(self.model).values())])

    def at(self, p: Values) -> Any:
        """The model with the parameters `p`."""
        model, first = self.model, 0
        for name, (_, value) in table_of(self.model).items():
            model = with_value(model, name, p[first : first + value.size].reshape(value.shape))
            first += value.size
        return model

    def state(self, y: Values) -> State:
        parts = y.reshape(len(self.model.variables), *self.model.shape)
        return State(**{name: parts[k] for k, name in enumerate(self.model.variables)})

    def flat(self, state: State) -> Values:
        return jnp.concatenate([jnp.ravel(getattr(state, name)) for name in self.model.variables])

    def field(self, p: Values, y: Values, I: Values) -> Values:
        """dy/dt."""
        return self.flat(self.at(p).vector_field(jnp.zeros(()), self.state(y), I))

    def step(self, p: Values, y: Values, I: Values, h: Values) -> Values:
        """The state after `h`: by the exact Möbius map and kicks if the model has an exactly solvable part and nothing slow
        but a synapse, with order 4, or 2 with gap junctions, conductances and synapses; else by a Runge–Kutta method of
        order 4."""
        if self.splits:
            model = self.at(p).tilted(I)
            step = force_gradient_step if model.riccati().plain and not model.slow_names else strang_step
            state = self.state(y)
            synapse = {name: getattr(state, name) for name in model.slow_names}
            R, v, synapse = step(
                PopulationTerm(model, None), jnp.zeros(()), h, Moving(model.tau * state.r, state.v, synapse)
            )
            return self.flat(State(r=R / model.tau, v=v, **synapse))
        return runge_kutta(lambda share, y: self.field(p, y, I), y, h)

    @property
    def splits(self) -> bool:
        """Whether steps are geometric."""
        return "riccati" in self.model.offers and (not self.model.slow_names or self.model.filters is not None)

    @property
    def has_rate(self) -> bool:
        return "riccati" in self.model.offers

    @property
    def has_energy(self) -> bool:
        return "potential" in self.model.offers and (self.model.size is None or self.has_rate)

    def measure(self, p: Values, y: Values, I: Values) -> Values:
        """Of every node: x, kinetic energy, potential energy, heat per unit of time, and power that slow variables and other
        nodes deliver."""
        model, state = self.at(p), self.state(y)
        x = state.r if self.has_rate else model.position(state)[0]
        power = sum(slow_power(model, state).values(), start=jnp.zeros(model.shape))
        power = power if model.size is None else power + received_power(model, state)
        rows = [x, kinetic_energy(model, state), potential_energy(model, state, I), heat_rate(model, state), power]
        return jnp.concatenate([jnp.ravel(jnp.broadcast_to(each, model.shape)) for each in rows])

    def landscape(self, p: Values, y: Values, I: Values, x: Values) -> Values:
        """The potential of every node at `x`, in its landscape of the moment, input included."""
        model, state = self.at(p), self.state(y)
        fast = model.frozen(state)
        q = fast.position(State(r=x, v=jnp.zeros_like(x)))[0] if self.has_rate else x
        return fast.potential(q) + I * q**2 / 2


@dataclasses.dataclass(frozen=True)
class Described:
    """A model for the page: declarations as plain data, and its functions as JavaScript."""

    data: dict[str, Any]
    code: str


def describe_for_page(model: AbstractModel, y0: dict[str, Any] | None, about: dict[str, Any]) -> Described:
    """Everything that the page asks of `model`; traced in float64, whatever JAX is set to."""
    with jax.enable_x64(True):
        flat = Flat(with_dtype(as_model(model), jnp.float64))
        refuse_spikes(flat.model)
        count = len(flat.model.variables) * flat.size
        require("model", model, f"have at most {LARGEST} variables to be shown, nodes counted", count <= LARGEST)
        require("model", model, "run on physical time to be shown", not model.own_clock)
        start = flat.flat(flat.model.state(_start(flat.model) | dict(y0 or {}))).astype(jnp.float64)
        I, h, x = jnp.zeros(flat.model.shape), jnp.asarray(0.01), jnp.ones(flat.model.shape)
        functions: dict[str, tuple[Callable[..., Values], tuple[Any, ...]]] = {
            "field": (flat.field, (flat.p, start, I)),
            "step": (flat.step, (flat.p, start, I, h)),
        }
        if flat.has_energy:
            functions["measure"] = (flat.measure, (flat.p, start, I))
            functions["landscape"] = (flat.landscape, (flat.p, start, I, x))
        code = ",\n".join(translate(name, function, *examples) for name, (function, examples) in functions.items())
        code = code.replace("function ", "")  # methods of one object
        table = table_of(flat.model)
        times = [float(jnp.min(value)) for _, (each, value) in table.items() if each.unit == "time"]
        unit = float(jnp.min(flat.model.time_constant)) if flat.has_rate else 1.0
        labels = [] if flat.model.size is None else [str(each) for each in flat.model.labels]
        data = about | {
            "equations": type(flat.model).equations.split(";  "),
            "source": type(flat.model).source,
            "variables": [
                {"name": name, "symbol": each.symbol or name, "unit": each.unit, "doc": each.doc, "positive": each.positive}
                for name, each in flat.model.variables.items()
            ],
            "nodes": labels,
            "parameters": [entry for name, pair in table.items() for entry in _entries(name, *pair, labels)],
            "y0": start.tolist(),
            "h": (0.01 if flat.splits else 0.002) * (min([unit, *(5 * each for each in times)]) if flat.has_rate else 1.0),
            "time": unit,
            "energy": flat.has_energy,
            "rate": flat.has_rate,
            "unit": _time_unit(flat.model),
            "python": python_source(flat.model),
        }
    return Described(data, code)


def _time_unit(model: Any) -> str:
    """The unit of time, as far as the model tells: that of the rate's, or of τ."""
    unit = next((each.unit for each in model.variables.values() if each.unit.startswith("1/")), "1/time")
    return unit.removeprefix("1/")


def _start(model: AbstractModel) -> dict[str, Any]:
    """A state to start from where none is given; variables that declare a rest start there."""
    return {name: 0.1 if each.positive else 0.0 for name, each in model.variables.items() if each.rest is None}


def _entries(name: str, declared: Parameter, value: Any, labels: list[str]) -> list[dict[str, Any]]:
    """A slider for every entry of a parameter."""
    entries = []
    for place in np.ndindex(value.shape):
        now = float(value[place])
        low, high = slider_range(declared, now)
        nodes = [labels[k] if len(labels) > k else str(k) for k in place]
        entries.append(
            {
                "name": name + (f"[{', '.join(nodes)}]" if nodes else ""),
                "symbol": declared.symbol + "".join(nodes),
                "unit": declared.unit,
                "doc": declared.doc,
                "value": now,
                "low": low,
                "high": high,
                # Slider and number box stay within the declared bounds; an open end is not reached.
                "least": declared.lower if math.isfinite(declared.lower) else None,
                "most": declared.upper if math.isfinite(declared.upper) else None,
                "open": [declared.bounds[0] == "(", declared.bounds[-1] == ")"],
            }
        )
    return entries


def slider_range(declared: Parameter, value: float) -> tuple[float, float]:
    """Ends of a slider: the declared bounds where they are finite, else room on either side of the value."""
    room = max(2 * abs(value), 5.0)
    low, high = declared.lower, declared.upper
    if not math.isfinite(high):
        high = value + room if not math.isfinite(low) else max(4 * value, low + 2)
    if not math.isfinite(low):
        low = value - room
    margin = 1e-3 * (high - low)  # an open end is not reached
    first = low + margin if low == declared.lower and declared.bounds[0] == "(" else low
    return first, high - margin if high == declared.upper and declared.bounds[-1] == ")" else high


def table_of(model: Any) -> dict[str, tuple[Parameter, Any]]:
    """The declared parameters of a model by dotted name, and a network's weights."""
    table = parameter_table(model)
    if is_network(model) and not model.is_sparse:
        table["weights"] = (Parameter("W", "1", "(-inf, inf)", "weight, receiver first", ndim=2), model.weights)
    return table


def python_source(model: Any) -> str:
    """The call that makes a model, with `{k}` for the k-th entry of its parameters."""
    places, first = {}, 0
    for name, (_, value) in table_of(model).items():
        places[name] = np.arange(first, first + value.size).reshape(value.shape)
        first += value.size
    return _call(model, places, "")


def _call(module: Any, places: dict[str, np.ndarray], prefix: str) -> str:
    """See `python_source`; of a part of the model, whose parameters' names begin with `prefix`."""
    name, own = type(module).__name__, parameters(module)
    written = f"nmm.{name}" if type(module).__module__.startswith("nmmjax.") else name
    given: dict[str, str] = {}
    per_node: dict[str, str] = {}
    for key, declared in own.items():
        text = _placeholder(places[prefix + key])
        (per_node if places[prefix + key].ndim > np.max(declared.ndim) else given)[key] = text
    for field in dataclasses.fields(module):
        part = getattr(module, field.name)
        if isinstance(part, eqx.Module) and field.name not in own:
            flat = "flat" in field.metadata
            inner = _call(part, places, prefix if flat else f"{prefix}{field.name}.")
            given |= {"": inner.partition("(")[2].removesuffix(")")} if flat else {field.name: inner}
        elif field.name == "weights":
            given["weights"] = _placeholder(places["weights"])
        elif field.metadata.get("static", False) and part != field.default:
            given[field.name] = repr(part)
    call = f"{written}({_arguments(given)})"
    return f"nmm.per_node({call}, {_arguments(per_node)})" if per_node else call


def _arguments(given: dict[str, str]) -> str:
    return ", ".join(f"{key}={text}" if key else text for key, text in given.items())


def _placeholder(places: np.ndarray) -> str:
    nested = lambda each: f"[{', '.join(map(nested, each))}]" if isinstance(each, list) else f"{{{each}}}"
    text = nested(places.tolist())
    return f"jnp.asarray({text})" if places.ndim else text
