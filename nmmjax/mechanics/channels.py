"""Channels, which observables see: state variables, the input, energies, moduli of W and Z, each with its rate of change.

A channel is a scalar function of time and state. Its rate along the motion comes from autodiff through the vector field, so
that peaks, periods and means of any channel are as exact as the solver. `r[3]` is the channel of node 3 of a network, and a
bare `r` the mean over the nodes.
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import refuse_unknown, require
from .._types import Key, Values, float_dtype
from ..models.state import State
from ..models.stimulus import AbstractStimulus, input_at
from .energy import hamiltonian, kinetic_energy, potential_energy, total_energy


class Problem(eqx.Module):
    """One lane of a sweep: a model, its initial state, its input, and its noise: the intensity D, `Shot`, or, of a network,
    an `AbstractNoise`, and the key (2 words). `neurons` are those of a spiking network, whose mean field is then the model;
    `wires` are the connections of a network with delays, and `past` the input from the past at the moment (n,)."""

    model: Any
    y0: State
    stimulus: AbstractStimulus | None = None
    noise: Any = None
    key: Key | None = None
    neurons: Any = None
    wires: Any = None
    past: Any = None

    @property
    def nodes(self) -> tuple[int, ...]:
        """The shape of every state variable: () for one population, (n,) for a network."""
        return jnp.shape(jax.tree.leaves(self.y0)[0])

    def current(self, t: Values, y: State) -> Values:
        """The input I at the solver's time `t` and state `y`: a number, or one per node."""
        return input_at(self.stimulus, self.model.physical_time(t, y))

    def flow(self, t: Values, y: State) -> State:
        """dy/dt under the lane's own input."""
        known = {} if self.past is None else {"past": self.past}
        return self.model.vector_field(t, y, self.current(t, y), **known)


MODULI = ("abs_W", "abs_Z")  # names of channels of Riccati populations: |π τ r + i v|, and the order parameter's |Z|
ENERGIES = ("energy", "potential_energy", "kinetic_energy", "hamiltonian")  # names of channels
_NODE = re.compile(r"(\w+)\[([^\]]+)\]")
_ENERGIES: dict[str, Callable[..., Values]] = {
    "energy": total_energy,
    "potential_energy": potential_energy,
    "hamiltonian": hamiltonian,
}


def channel_units(problem: Problem) -> dict[str, str]:
    """Names of the channels that a problem has, with their units."""
    model, zero = problem.model, np.zeros((), float_dtype())
    units = {name: each.unit for name, each in model.variables.items()} | {"input": "1"}
    if "potential" in model.offers:
        units |= dict.fromkeys(ENERGIES[:3], "1")
    if "riccati" in model.offers:
        units |= dict.fromkeys(("hamiltonian", *MODULI), "1")
    return units | {name: unit for name, (_, unit) in model.channels(problem.y0, zero).items()}


def parsed(name: str) -> tuple[str, str | None]:
    """`r[3]` as ("r", "3"), `r[V1]` as ("r", "V1"), and `r` as ("r", None)."""
    match = _NODE.fullmatch(name)
    return (name, None) if match is None else (match[1], match[2])


def _placed(name: str, problem: Problem) -> tuple[str, int | None]:
    """The channel's bare name, and the number of its node, which is named by number or name."""
    bare, node = parsed(name)
    if node is None:
        return bare, None
    names = _names(problem)
    return bare, names.index(node) if node in names else int(node)


def _everywhere(name: str, problem: Problem, t: Values, y: State) -> Values:
    """The channel with this bare name at every node, in the shape of the state's variables."""
    if name in y.names:
        return getattr(y, name)
    if name == "input":
        return problem.current(t, y) + jnp.zeros_like(jax.tree.leaves(y)[0])
    if name == "kinetic_energy":
        return kinetic_energy(problem.model, y)
    if name in _ENERGIES and "potential" in problem.model.offers:
        given = () if problem.stimulus is None else (problem.current(t, y),)
        return _ENERGIES[name](problem.model, y, *given)
    if name in MODULI and "riccati" in problem.model.offers:
        return _modulus(name, jnp.pi * problem.model.tau * y.r, y.v)
    return problem.model.channels(y, problem.current(t, y))[name][0]


def _modulus(name: str, x: Values, v: Values) -> Values:
    """|W| of W = x + i v, or |Z| of Z = (1 − W*)/(1 + W*)."""
    if name == "abs_W":
        return jnp.hypot(x, v)
    return jnp.sqrt(((1 - x) ** 2 + v**2) / ((1 + x) ** 2 + v**2))


def _scalar(values: Values, node: int | None) -> Values:
    """The value at `node`, or the mean over all nodes; a population's is a number already."""
    if values.ndim == 0:
        return values
    return jnp.mean(values) if node is None else values[node]


def node_values(name: str, problem: Problem, t: Values, y: State) -> Values:
    """The channel `name` at time `t` and state `y`: of a network, at every node unless the name gives one."""
    bare, node = _placed(name, problem)
    values = _everywhere(bare, problem, t, y)
    return values if node is None else _scalar(values, node)


def node_sizes(name: str, problem: Problem, t: Values, y: Any) -> Values:
    """The scale of the channel `name` at time `t` and state `y`, ≥ its |value|; of a network, at every node unless the name
    gives one.

    Energies: the terms that cancel, each by what a relative change of one parameter or variable does. v of a Riccati
    population: |π R + i v|, since r and v turn into each other. All other channels: |value|.
    """
    bare, node = _placed(name, problem)
    value = jnp.abs(_everywhere(bare, problem, t, y))
    if bare == "v" and "riccati" in problem.model.offers:
        value = jnp.hypot(value, jnp.pi * jnp.broadcast_to(problem.model.tau, problem.nodes) * y.r)
    elif bare not in (*y.names, "input"):
        value = value + _terms(bare, problem, t, y)
    return value if node is None else _scalar(value, node)


def _terms(bare: str, problem: Problem, t: Values, y: State) -> Values:
    """Σ |θ ∂f/∂θ| over the parameters and variables θ that the channel f depends on."""
    leaves, tree = jax.tree.flatten((problem.model, problem.stimulus, y))

    def channel(leaf: Values, k: int) -> Values:
        model, stimulus, state = jax.tree.unflatten(tree, [*leaves[:k], leaf, *leaves[k + 1 :]])
        return _everywhere(bare, dataclasses.replace(problem, model=model, stimulus=stimulus), t, state)

    parts = [
        jnp.abs(jax.jvp(lambda leaf, k=k: channel(leaf, k), (leaf,), (leaf,))[1])
        for k, leaf in enumerate(leaves)
        if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
    ]
    return jnp.sum(jnp.stack(parts), axis=0)


def channel_size(name: str, problem: Problem, t: Values, y: State) -> Values:
    """The scale of the channel, a number: see `node_sizes`."""
    bare, node = _placed(name, problem)
    return _scalar(node_sizes(bare, problem, t, y), node)


def channel_value(name: str, problem: Problem, t: Values, y: State) -> Values:
    """The channel `name` at time `t` and state `y`, a number."""
    bare, node = _placed(name, problem)
    return _scalar(_everywhere(bare, problem, t, y), node)


def channel_rate(name: str, problem: Problem, t: Values, y: State) -> Values:
    """d/dt of the channel along the motion, a number."""
    flow = problem.flow(t, y)
    bare, node = _placed(name, problem)
    if bare in y.names:
        return _scalar(getattr(flow, bare), node)
    return jax.jvp(lambda t, y: channel_value(name, problem, t, y), (t, y), (jnp.ones_like(t), flow))[1]


def just_inside(t: Values, start: Values, stop: Values) -> Values:
    """`t` kept strictly between `start` and `stop`, where stimuli jump or have kinks."""
    margin = 8 * float(jnp.finfo(stop.dtype).eps) * (jnp.abs(start) + jnp.abs(stop))
    return jnp.clip(t, start + margin, stop - margin)


def check_channel(name: str, problem: Problem) -> None:
    """Refuse, in one sentence, a channel or a node that the problem lacks."""
    unit_of(name, problem)


def unit_of(name: str, problem: Problem) -> str:
    """The channel's unit; refuses, in one sentence, a channel or a node that the problem lacks."""
    bare, node = parsed(name)
    units = channel_units(problem)
    refuse_unknown([bare], units, f"channels of {type(problem.model).__name__},")
    if node is not None:
        require("channel", name, f"be without a node: {type(problem.model).__name__} has none", problem.nodes)
        names = _names(problem)
        rule = f"name a node from 0 to {problem.nodes[0] - 1}" + (" or by its name" if names[0] != "0" else "")
        require("channel", name, rule, node in names or (node.isdecimal() and int(node) < problem.nodes[0]))
    return units[bare]


def _names(problem: Problem) -> tuple[str, ...]:
    """Names of the nodes, or their numbers as text."""
    labels = problem.model.labels
    return tuple(map(str, range(problem.nodes[0]) if labels is None else labels.tolist()))
