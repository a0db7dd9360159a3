"""Cost of a lane, known before integrating.

At constant input the energy never rises, so the initial energy bounds the peak rate r_max, and √(|J| r_max) is the fastest
frequency that a splitting of the coupling must resolve. Lanes of like cost go into one block; none waits for another.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Values
from ..mechanics.channels import Problem
from ..mechanics.energy import potential_energy, total_energy
from ..models.mpr import MPR
from ..models.network import Network
from ..models.state import State
from ..models.stimulus import input_at
from ..numerics.roots import bisect

_GRID, _HALVINGS = 20, 6
_SYNAPTIC = 0.3  # steps of a few synaptic time constants at most
_LATE = 0.45  # so that one run meets its tolerance in 95 % of random populations


def peak_rate_bound(problem: Problem, times: Values) -> Values:
    """An upper bound of R = τ r along the lane at the inputs seen at `times`; exact at Δ = 0 and constant input.

    With a synapse, excitation counts as if it came at once (a bound, since the synapse only dissipates) and inhibition,
    which may come late, not at all (an estimate, since the synapse pumps).
    """
    model, y0 = problem.model, problem.y0
    if model.filters is not None:
        model = model.instantaneous()
        model = eqx.tree_at(lambda each: each.J, model, (model.J + jnp.abs(model.J)) / 2)
        y0 = State(r=y0.r, v=y0.v)
    return _highest_rate(model.frozen(y0), y0, *_input_range(problem, times))


def network_peak_rates(problem: Problem, times: Values) -> Values:
    """About the same for every node (n,), as if all others did what it does: excitation that it receives counts as its own
    J, inhibition not at all. A bound for equal nodes, an estimate for others."""
    network, y0 = problem.model, problem.y0
    nodes, ones = network.nodes(), jnp.ones_like(y0.r)
    nodes = nodes.frozen(y0) if nodes.filters is None else nodes.instantaneous()
    received = (network.apply(ones) + _absolute(network).apply(ones)) / 2
    nodes = eqx.tree_at(lambda each: each.J, nodes, (nodes.J + jnp.abs(nodes.J)) / 2 + received)
    inputs = [jnp.broadcast_to(each, y0.r.shape) for each in _input_range(problem, times)]
    return jax.vmap(_highest_rate)(nodes, State(r=y0.r, v=y0.v), *inputs)


def _absolute(network: Network) -> Network:
    """The network with |G| and |W|."""
    weights = jax.tree.map(jnp.abs, network.weights)  # the indices of sparse weights are ≥ 0
    return eqx.tree_at(lambda each: (each.weights, each.gain), network, (weights, jnp.abs(network.gain)))


def _input_range(problem: Problem, times: Values) -> tuple[Values, Values]:
    """The strongest and the weakest input at `times`: numbers, or per node."""
    inputs = jax.vmap(lambda t: input_at(problem.stimulus, t))(times if problem.stimulus is not None else times[:1])
    return jnp.max(inputs, axis=0), jnp.min(inputs, axis=0)


def _highest_rate(model: MPR, y0: State, strongest: Values, weakest: Values) -> Values:
    """The highest R = τ r that the energy of `y0` allows at inputs between these."""

    def V(R: Values) -> Values:
        return potential_energy(model, State(r=R / model.tau, v=jnp.zeros_like(R)), weakest)

    # The largest of the energies that the inputs give the initial state, against the lowest of the potentials.
    energy = total_energy(model, y0, strongest)
    R0 = model.tau * y0.r
    drive = jnp.abs(model.J) + jnp.abs(model.eta) + jnp.abs(strongest) + jnp.abs(weakest) + 1
    ceiling = jnp.maximum(drive + jnp.abs(energy), model.Delta) / 4 + R0
    # The first place above R0 that the energy doesn't reach: on a grid, then halved.
    spacing = (jnp.log(ceiling) - jnp.log(R0)) / _GRID

    def climb(k, first: Values) -> Values:
        place = (_GRID - k).astype(R0.dtype)
        return jnp.where(V(R0 * jnp.exp(spacing * place)) > energy, place, first)

    first = jax.lax.fori_loop(0, _GRID, climb, jnp.full_like(R0, _GRID))

    inside = lambda place: V(R0 * jnp.exp(spacing * place)) <= energy
    _, high = bisect(inside, first - 1, first, _HALVINGS)
    return R0 * jnp.exp(spacing * high)


def _couplings(model: Any) -> Values:
    """J, of a network all couplings."""
    return model.J if model.size is None else model.matrix()


def stiffness(problem: Problem, times: Values, resolve: bool) -> Values:
    """Fastest frequency per unit of time: of the coupling's oscillation, and with `resolve` of the spikes themselves."""
    model = problem.model
    if model.size is not None:
        R = network_peak_rates(problem, times)
        coupling = jnp.abs(model.node.J) * R + _absolute(model).apply(R)
    else:
        R = peak_rate_bound(problem, times)
        coupling = jnp.abs(model.J) * R
    base = jnp.sqrt(coupling) + 1
    if model.filters is not None:
        base = jnp.maximum(base, _SYNAPTIC * model.tau / jnp.min(model.filters.time_constants(R), axis=0))
        # Late inhibition keeps the population ringing until its spread damps it, and an error of order 4 grows meanwhile.
        lasts = jnp.minimum(jnp.pi * R / model.riccati().Delta, (times[-1] - times[0]) / model.tau)
        base = jnp.where(jnp.any(_couplings(model) < 0), _LATE * (base * lasts) ** 0.25, 1.0).astype(base.dtype) * base
    return jnp.max((jnp.maximum(base, jnp.pi * R) if resolve else base) / model.tau)
