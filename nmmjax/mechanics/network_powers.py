"""The energy of a whole network and where it goes, for weights of any kind.

    Ẽ = Σ_i p_i²/4R_i + Ψ(R),        p_i = τ_i dR_i/dt,   R_i = τ_i r_i
    Ψ = Σ_i ψ_i(R_i) − ½ Σ_ij ½(M_ij + M_ji) R_i R_j − Σ_i I_i R_i

with M = G W + diag(J) and ψ_i the potential of a population alone (`MPR.rate_potential`). With S what is sent (R, or what
synapses and depression make of it), exactly

    dẼ/dt = − Σ Γ_i p_i²/2τ_iR_i + Σ p_i³/2τ_iR_i² + Σ A_ij S_j dR_i/dt + Σ Z_ij (S_j − R_j) dR_i/dt + slow − Σ R_i dI_i/dt
              friction             parametric        circulation          synapse

Z and A are the symmetric and antisymmetric part of M. The coupling of excitation and inhibition is in A: a curl force, which
is no slope of any potential. Source: docs/theory.md §D5.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Real, Values
from ..models.base import as_states, require_network, takes_model
from ..models.network import Network
from ..models.state import State, StateLike


class _Seen(NamedTuple):
    """A network at a state: R, u = v − v₀ the voltage beyond that at which the rate stands still, the nodes in their
    landscapes of the moment, and the nodes without coupling and slow terms."""

    R: Values
    u: Values
    fast: Any
    bare: Any


def _seen(network: Network, y: State) -> _Seen:
    nodes, fast = network.nodes(y.r.shape[:-1]), network.frozen(y)
    parts = lambda node: (node.J, node.adaptation, node.plasticity, node.synapse)
    bare = eqx.tree_at(parts, nodes, (0 * nodes.J, None, None, None), is_leaf=lambda each: each is None)
    R = nodes.tau * y.r
    return _Seen(R, y.v - fast.voltage_at_rate(R), fast, bare)


def _symmetric(network: Network, x: Values) -> Values:
    """½(M + Mᵀ) x for x (…, n)."""
    own = network.nodes(x.shape[:-1]).J
    return (network.apply(x) + network.coupling.transposed(x)) / 2 + own * x


def _antisymmetric(network: Network, x: Values) -> Values:
    """½(M − Mᵀ) x for x (…, n)."""
    return (network.apply(x) - network.coupling.transposed(x)) / 2


@takes_model
def network_energy(network: Network, y: StateLike, I: Real = 0.0) -> Values:
    """Energy of a whole network, Ẽ = Σ p_i²/4R_i + Ψ(R), p = τ dR/dt, with the symmetric part of the weights in Ψ.

    It falls by friction near any resting state of symmetric weights, but it is no Lyapunov function: see `network_power`,
    which says where it goes, for weights of any kind. Ψ is `network_potential` if the weights are symmetric.

    - `network`: a network of MPR populations
    - `y`: its state, with arrays of shape (…, n)
    - `I`: input current at the state's time, in units of η, a number or an array that broadcasts to the state's shape

    Returns Ẽ of shape (…), dimensionless. Raises `ValueError` for single populations. Source: docs/theory.md §D5.
    """
    require_network(network)
    y = as_states(y, network)
    R, u, _, bare = _seen(network, y)
    current = jnp.broadcast_to(jnp.asarray(I, R.dtype), R.shape)
    own = R * u**2 + bare.rate_potential(R) - current * R
    return jnp.sum(own - R * _symmetric(network, R) / 2, axis=-1)


@takes_model
def network_power(network: Network, y: StateLike) -> dict[str, Values]:
    """Powers that change the energy of a whole network, node by node, for weights of any kind and every slow term.

        friction      Γ_i p_i²/2τ_iR_i, taken away: never negative without gap junctions
        parametric    p_i³/2τ_iR_i²: the mass R_i² of q_i changes; no sign
        circulation   Σ_j A_ij S_j dR_i/dt, A = (M − Mᵀ)/2: the work of what is not mutual in the weights
        synapse       Σ_j Z_ij (S_j − R_j) dR_i/dt, Z = (M + Mᵀ)/2: what synapses and depression change of the mutual part
        slow          the work of adaptation, and of conductances with dynamics of their own

    So dẼ/dt = Σ (parametric + circulation + synapse + slow − friction) − Σ R_i dI_i/dt, exactly, Ẽ = `network_energy`.
    The last two powers are there only if the nodes have slow terms, the last not if these are synapses without conductance.
    `energy_balance` integrates all along a run.

    - `network`: a network of MPR populations
    - `y`: its state, with arrays of shape (…, n)

    Returns powers by name, of the state's shape (…, n), per unit of time. Raises `ValueError` for single populations.
    Source: docs/theory.md §D5.
    """
    require_network(network)
    y = as_states(y, network)
    R, u, fast, bare = _seen(network, y)
    rate, sent = 2 * R * u / bare.tau, network.sent(y)
    powers = {
        "friction": fast.damping(fast.position(y)[0]) * u * rate,
        "parametric": 2 * u**2 * rate,
        "circulation": _antisymmetric(network, sent) * rate,
    }
    if network.slow_names:
        powers["synapse"] = _symmetric(network, sent - R) * rate
    filters = network.nodes(R.shape[:-1]).filters
    if network.slow_names and (filters is None or filters.conductance(bare.tau, y) is not None):
        slow = lambda x: network.frozen(y.replace(**x)).voltage_at_rate(R)
        moved = jax.jvp(slow, ({name: getattr(y, name) for name in network.slow_names},), (network.slow_rates(y),))[1]
        coupled = _symmetric(network, sent) + _antisymmetric(network, sent)
        powers["slow"] = (fast.force_at_rate(R) - bare.force_at_rate(R) - coupled) * rate - bare.tau * rate * moved
    return powers


@takes_model
def synaptic_store(network: Network, y: StateLike) -> Values | None:
    """Energy that first-order synapses of a network store beyond `network_energy`, ½ Σ Z_ij (R_i − S_i)(R_j − S_j).

    Z = (M + Mᵀ)/2, S_i = τ_i s_i and τ_s ds/dt = r − s. With it the work of the synapses is −d(store)/dt − loss, with the
    loss Σ Z_ij τ_s (dS_i/dt)(dS_j/dt): with one τ_s, synapses only dissipate if Z is positive semidefinite.

    - `network`: a network of MPR populations
    - `y`: its state, with arrays of shape (…, n)

    Returns the store of shape (…), dimensionless; None if the nodes have other synapses than `ExponentialSynapse`, or
    further slow terms. Raises `ValueError` for single populations. Source: docs/theory.md §D5.
    """
    require_network(network)
    y = as_states(y, network)
    if network.filters is None or len(network.filters.stages) != 1:
        return None
    lag = network.nodes(y.r.shape[:-1]).tau * y.r - network.sent(y)
    return jnp.sum(lag * _symmetric(network, lag), axis=-1) / 2
