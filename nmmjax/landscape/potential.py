"""The landscape Ψ of a network, and its fixed points with or without one.

    Ψ(R) = Σ_i d_i ψ_i(R_i) − ½ G Σ_ij d_i W_ij R_i R_j,    ∂Ψ/∂R_i = −d_i f_i,    R_i = τ_i r_i

with d = 1 for symmetric weights, and else the positive numbers that make d_i W_ij symmetric (`numerics/symmetry.py`).

f_i is the slope of v_i where all rates stand still, so fixed points are critical points of Ψ. Linearised there, the
equations are d_i (τ_i²/2R_i) ẍ_i + d_i (Δ_i τ_i/πR_i²) ẋ_i + Σ_j Ψ_ij x_j = 0 with positive mass and damping, whence a
resting state is stable ⇔ it is a minimum, and the number of unstable eigenvalues is the Morse index, for any τ_i
(docs/theory.md §8, §D1). Away from rest that says nothing: limit cycles can exist beside the minima (§D7). Synapses that
filter the sent rates leave all critical points in place, but a minimum may oscillate then (§C5; `certificates.py` says where
it can't). Searches work in x = ln R, in which no step leaves R > 0.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._checks import as_array, require
from .._nan import nan_is_absent
from .._types import ComplexValues, Real, Values, is_concrete
from ..equilibria.stability import eigenvalues, jacobian
from ..models.base import require_network, takes_model
from ..models.network import Network
from ..models.state import State
from ..numerics.roots import with_slope
from ..numerics.symmetry import Symmetry, symmetry_of


@nan_is_absent
@takes_model
def network_potential(network: Network, r: Any, I: Real = 0.0) -> Values:
    """Energy landscape of a whole network, Ψ = Σ d_i ψ_i − ½ G Σ d_i W_ij R_i R_j, at given rates.

    Its minima are the stable resting states, its index-1 saddles the passes between them; limit cycles, which symmetric
    networks can have as well, don't show in it. Ψ of a single population has the critical points of
    `potential_energy`, but not its values. d = 1 for symmetric weights; else d > 0 is the scaling that makes them
    symmetric, d_i W_ij = d_j W_ji.

    - `network`: a network of MPR populations, n nodes, without slow terms other than synapses, which change no resting state
    - `r`: rates (…, n), per unit of time
    - `I`: constant input, in units of η, a number or one per node (n,); 0 by default

    Returns Ψ of shape (…), dimensionless. Raises `ValueError` for slow terms, and for weights that no scaling makes
    symmetric, naming the cycle of nodes that prevents it. Source: docs/theory.md §8, §D1.
    """
    require_network(network)
    scaling = scaling_of(network)
    r = as_array(r)
    nodes = with_input(network, I).nodes(r.shape[:-1])
    R = nodes.tau * r
    return jnp.sum(_scaled(nodes.rate_potential(R) - R * network.apply(R) / 2, scaling), axis=-1)


def require_landscape(network: Network) -> None:
    """Refuse slow terms that move resting states: all but synapses that send a current, the filtered rate."""
    rule = "be without slow terms other than synapses without conductance to have a landscape (use `network.frozen(y)`)"
    require("network", network.slow_names, rule, not network.slow_names or sends_filtered_rates(network))


def sends_filtered_rates(network: Network) -> bool:
    """Whether the nodes' only slow terms are synapses that deliver a current."""
    if network.filters is None:
        return False
    r = jnp.ones(network.size, network.gain.dtype)
    y = State(r=r, v=r, **dict.fromkeys(network.slow_names, r))
    return network.filters.conductance(network.nodes().tau, y) is None


def scaling_of(network: Network) -> Values | None:
    """d of the landscape, None for symmetric weights. Refuses slow terms, and weights without a landscape."""
    require_landscape(network)
    found = symmetry(network)
    asymmetry = float(network.asymmetry())
    rule = f"be symmetric, up to a positive scaling of rows, to have a landscape: {found.reason}"
    require("weights", f"weights with a largest |G W_ij − G W_ji| = {asymmetry:.6g}", rule, found.reason is None)
    return None if found.scaling is None else jnp.asarray(found.scaling, network.gain.dtype)


def symmetry(network: Network) -> Symmetry:
    """Whether the weights have a landscape, after a scaling of the rows or as they are."""
    return symmetry_of(network.matrix(), lambda k: network.labels[k])


def _scaled(values: Values, scaling: Values | None) -> Values:
    """d_i x_i for x (…, n); without a scaling the values themselves."""
    return values if scaling is None else values * jnp.broadcast_to(scaling, values.shape)


def with_input(network: Network, I: Any) -> Network:
    """The network with a constant input, () or (n,), added to η."""
    current = as_array(I)
    shape = getattr(current, "shape", None)
    require("I", I, f"be a number or an array of shape ({network.size},)", shape in ((), (network.size,)))
    if is_concrete(current):
        require("I", I, "be finite, without NaN", bool(np.all(np.isfinite(np.asarray(current)))))
    return network.tilted(current.astype(network.gain.dtype))


def psi(network: Network, x: Values, scaling: Values | None = None) -> Values:
    """Ψ at x = ln R, one state, for the scaling d of its rows."""
    R = jnp.exp(x)
    return jnp.sum(_scaled(network.nodes().rate_potential(R), scaling)) - _scaled(R, scaling) @ network.apply(R) / 2


def force(network: Network, x: Values) -> Values:
    """f(R), zero at fixed points; −∂Ψ/∂R if the weights are symmetric, and d f if a scaling makes them so."""
    R = jnp.exp(x)
    return network.nodes().force_at_rate(R) + network.apply(R)


def hessian(network: Network, x: Values, scaling: Values | None = None) -> Values:
    """−d_i ∂f_i/∂R_j, the Hessian of Ψ in R."""
    R = jnp.exp(x)
    own = with_slope(network.nodes().force_at_rate, R)[1]
    coupling = network.matrix() - jnp.diag(network.nodes().J)
    H = -jnp.diag(own) - coupling
    return H if scaling is None else H * jnp.broadcast_to(scaling[:, None], H.shape)


def state_at(network: Network, x: Values) -> State:
    """The state at x = ln R in which all rates stand still."""
    R, nodes = jnp.exp(x), network.nodes()
    slow = network.slow_steady(R / nodes.tau) if network.slow_names else {}
    return State(r=R / nodes.tau, v=nodes.voltage_at_rate(R), **slow)


def eigenvalues_at(network: Network, x: Values) -> ComplexValues:
    """Eigenvalues of the network's Jacobian at a fixed point, (2n,) or more with synapses, by decreasing real part, per unit
    of time."""
    return eigenvalues(jacobian(network, state_at(network, x)))
