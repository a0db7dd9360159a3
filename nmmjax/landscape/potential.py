"""Layer 4: the landscape Ψ of a network with symmetric weights, and its fixed points with or without one.

    Ψ(R) = Σ_i ψ_i(R_i) − ½ G Σ_ij W_ij R_i R_j,    ∂Ψ/∂R_i = −f_i,    R_i = τ_i r_i

f_i is the slope of v_i where all rates stand still, so fixed points are critical points of Ψ. Linearised there, the
equations are (τ_i²/2R_i) ẍ_i + (Δ_i τ_i/πR_i²) ẋ_i + Σ_j Ψ_ij x_j = 0 with positive mass and damping, whence stable ⇔
minimum and the number of unstable eigenvalues is the Morse index, for any τ_i (nmmjax theory notes §8). Searches work in
x = ln R, in which no step leaves R > 0.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, require
from .._types import ComplexValues, Values, is_concrete
from ..models.base import State
from ..models.network import Network
from ..models.stimulus import Constant

# The largest |G W_ij − G W_ji| that counts as rounding, relative to the largest weight.
_ROUNDING = 1e-9


def network_potential(network: Network, r: Any, stimulus: Any = 0.0) -> Values:
    """Ψ at rates r (…, n), with a constant input of shape () or (n,): the energy landscape of the whole network.

    Its minima are the stable states, its index-1 saddles the passes between them. Dimensionless. For a single population
    it has the critical points of `potential_energy`, but not its values. Raises `ValueError` for weights that are not
    symmetric: no such potential exists then. Source: nmmjax theory notes §8.
    """
    require_landscape(network)
    r = as_array(r)
    nodes = with_input(network, stimulus).nodes(r.shape[:-1])
    R = nodes.tau * r
    return jnp.sum(nodes.rate_potential(R) - R * network.apply(R) / 2, axis=-1)


def require_landscape(network: Network) -> None:
    """Refuse slow terms, and weights that aren't symmetric."""
    require("network", network.slow_names, "be without slow terms to have a landscape", not network.slow_terms)
    reason = why_no_landscape(network)
    require("weights", float(network.asymmetry()), f"be symmetric to have a landscape: {reason}", reason is None)


def why_no_landscape(network: Network) -> str | None:
    """Why Ψ doesn't exist, in words, or None where it does."""
    largest = float(network.asymmetry())
    scale = float(jnp.max(jnp.abs(network.matrix())))
    if largest <= _ROUNDING * scale:
        return None
    return f"the weights are not symmetric (largest |G W_ij − G W_ji| = {largest:.6g}), so the forces are no gradient"


def with_input(network: Network, stimulus: Any) -> Network:
    """The network with a constant input, () or (n,), added to η."""
    current = as_array(stimulus)
    shape = getattr(current, "shape", None)
    require("stimulus", stimulus, f"be a number or an array of shape ({network.size},)", shape in ((), (network.size,)))
    if is_concrete(current):
        require("stimulus", stimulus, "be finite, without NaN", bool(np.all(np.isfinite(np.asarray(current)))))
    eta = network.population.eta + current.astype(network.gain.dtype)
    return eqx.tree_at(lambda each: each.population.eta, network, eta)


def psi(network: Network, x: Values) -> Values:
    """Ψ at x = ln R, one state."""
    R = jnp.exp(x)
    return jnp.sum(network.nodes().rate_potential(R)) - R @ network.apply(R) / 2


def force(network: Network, x: Values) -> Values:
    """f(R), zero at fixed points; −∂Ψ/∂R where the weights are symmetric."""
    R = jnp.exp(x)
    return network.nodes().force_at_rate(R) + network.apply(R)


def hessian(network: Network, x: Values) -> Values:
    """−∂f_i/∂R_j, the Hessian of Ψ in R."""
    R = jnp.exp(x)
    own = jax.jvp(network.nodes().force_at_rate, (R,), (jnp.ones_like(R),))[1]
    coupling = network.matrix() - jnp.diag(network.nodes().J)
    return -jnp.diag(own) - coupling


def state_at(network: Network, x: Values) -> State:
    """The state at x = ln R in which all rates stand still."""
    R, nodes = jnp.exp(x), network.nodes()
    return State(r=R / nodes.tau, v=nodes.voltage_at_rate(R))


def eigenvalues_at(network: Network, x: Values) -> ComplexValues:
    """Of the network's Jacobian at a fixed point, (2n,), by decreasing real part, per unit of time."""
    y = state_at(network, x)

    def field(flat: Values) -> Values:
        r, v = jnp.split(flat, 2)
        flow = network.vector_field(jnp.zeros((), flat.dtype), State(r=r, v=v), Constant(jnp.zeros((), flat.dtype)))
        return jnp.concatenate([flow.r, flow.v])

    found = jnp.linalg.eigvals(jax.jacfwd(field)(jnp.concatenate([y.r, y.v])))
    return found[jnp.argsort(-jnp.real(found))]
