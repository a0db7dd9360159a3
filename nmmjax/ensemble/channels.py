"""Layer 5: what an observable can look at: state variables, the input, and energies, each with its rate of change.

A channel is a scalar function of time and state. Its rate along the motion comes from autodiff through the vector field, so
that peaks, periods and means of any channel are as exact as the solver.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._parameter import refuse_unknown
from .._types import Values
from ..mechanics.energy import hamiltonian, kinetic_energy, potential_energy, total_energy
from ..models.base import AbstractModel
from ..models.mpr import MPR
from ..models.stimulus import AbstractStimulus, input_at


class Problem(eqx.Module):
    """One lane of a sweep: a model, its initial state, its input, and the intensity D and key (two words) of its noise."""

    model: AbstractModel
    y0: Any
    stimulus: AbstractStimulus | None = None
    noise: Any = None
    key: Any = None


_ENERGIES: dict[str, Callable[..., Values]] = {
    "energy": total_energy,
    "potential_energy": potential_energy,
    "hamiltonian": hamiltonian,
}


def channel_units(problem: Problem) -> dict[str, str]:
    """Names of the channels that a problem has, with their units."""
    units = dict(problem.y0.units) | {"input": "1"}
    if isinstance(problem.model, MPR):
        units |= dict.fromkeys([*_ENERGIES, "kinetic_energy"], "1")
    return units


def channel_value(name: str, problem: Problem, t: Values, y: Any) -> Values:
    """The channel `name` at time `t` and state `y`."""
    if name in y.units:
        return getattr(y, name)
    if name == "input":
        return input_at(problem.stimulus, t) + jnp.zeros_like(jax.tree.leaves(y)[0])
    if name == "kinetic_energy":
        return kinetic_energy(problem.model, y)  # pyright: ignore[reportArgumentType]
    return _ENERGIES[name](problem.model, y, input_at(problem.stimulus, t))


def channel_rate(name: str, problem: Problem, t: Values, y: Any) -> Values:
    """d/dt of the channel along the motion."""
    flow = problem.model.vector_field(t, y, problem.stimulus)
    if name in y.units:
        return getattr(flow, name)
    return jax.jvp(lambda t, y: channel_value(name, problem, t, y), (t, y), (jnp.ones_like(t), flow))[1]


def just_inside(t: Values, start: Values, stop: Values) -> Values:
    """`t` kept strictly between `start` and `stop`, where stimuli jump or have kinks."""
    margin = 8 * float(jnp.finfo(stop.dtype).eps) * (jnp.abs(start) + jnp.abs(stop))
    return jnp.clip(t, start + margin, stop - margin)


def check_channel(name: str, problem: Problem) -> None:
    """Refuse, in one sentence, a channel that the problem lacks."""
    refuse_unknown([name], channel_units(problem), f"channels of {type(problem.model).__name__},")


@dataclasses.dataclass(frozen=True)
class Point:
    """A moment that the solver visits, as an observable sees it.

    `weight` is the trapezoid weight of the moment in ∫ dt; `edge` is −1 where a stretch of steps of length `h` begins, +1
    where it ends, 0 within it (the end corrections of Euler and Maclaurin need it). Channels are computed when asked for.
    """

    problem: Problem
    t: Values
    y: Any
    h: Values
    weight: Values
    edge: int = 0

    def channel(self, name: str) -> Values:
        return channel_value(name, self.problem, self.t, self.y)

    def rate(self, name: str) -> Values:
        return channel_rate(name, self.problem, self.t, self.y)
