"""Energies of a population, and the dynamics derived from them by autodiff.

A model declares one potential U(q) and one damping Γ(q) (q = √(2/(τ r))); everything here follows from those two scalars
and the vector field. Energies are dimensionless; they refer to time t/τ. `I` is the input current at the state's
time: a number or an array of the state's shape. Slow variables (adaptation, plasticity) enter as η_eff and J_eff, so
every energy is that in the instantaneous landscape of the state's own slow variables.

Every function takes a network as well: arrays then end in its nodes, and each population's energy refers to its
instantaneous landscape, that of η_i + I_i + Σ_{j≠i} G W_ij R_j and J_i + G W_ii (`Network.frozen`). `exchange_power` is the
power that the others deliver to it.

Exact, for every parameter (docs/theory.md §4; Andrean & Pedersen, arXiv 2509.10428, for H at Δ = 0):

    E = K + V,  K = ½ q̇²,  V = U(q) + I/(τ r),
    τ dE/dt = −Γ(q) q̇² + τ [(dI/dt + dη_eff/dt)/R − (dJ_eff/dt) ln R],  R = τ r
    dr/dt = r² ∂E/∂v,   dv/dt = −r² ∂E/∂r − Γ (dr/dt)/(2 r)
"""

from typing import Any

import jax
import jax.numpy as jnp

from .._types import Real, Values
from ..models.base import as_states, require_network, require_offer, require_one, takes_model
from ..models.mechanical import AbstractMechanical, AbstractRiccati
from ..models.network import Network, is_network
from ..models.state import State, StateLike


def _landscape(model: Any, y: Any, offer: str = "potential") -> tuple[Any, State]:
    """The population, or a network's one by one, with all that is slow or comes from others frozen as at `y`; and `y`."""
    require_offer(model, offer)
    y = as_states(y, model)
    return model.frozen(y), y


@takes_model
def kinetic_energy(model: AbstractMechanical | Network, y: StateLike) -> Values:
    """Kinetic energy K = ½ q̇² = R′²/(4 R³) with R = τ r and ′ = d/d(t/τ); v²/R if Δ = g = k = 0.

    It vanishes at every peak and trough of r.

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes

    Returns K, dimensionless, of the state's shape. Raises `ValueError` for models without a potential. Source:
    docs/theory.md §4.
    """
    fast, y = _landscape(model, y)
    return fast.kinetic_energy(y)


@takes_model
def potential_energy(model: AbstractMechanical | Network, y: StateLike, I: Real = 0.0) -> Values:
    """Potential energy V = U(q) + ½ I q²; for the MPR model (η + I)/R + π² R − J ln R + Δ²/(12π² R³) with R = τ r.

    At constant input its minima are the stable states, its maximum is the saddle, and E = V(r) at every peak of r.

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes
    - `I`: input current at the state's time, in units of η, a number or an array that broadcasts to the state's shape

    Returns V, dimensionless, of the state's shape. Raises `ValueError` for models without a potential. Source:
    docs/theory.md §4.
    """
    fast, y = _landscape(model, y)
    none = isinstance(I, float) and I == 0.0
    return fast.potential_energy(y, None if none else jnp.asarray(I, jax.tree.leaves(y)[0].dtype))


@takes_model
def total_energy(model: AbstractMechanical | Network, y: StateLike, I: Real = 0.0) -> Values:
    """Exact mechanical energy E = `kinetic_energy` + `potential_energy`, equal to H if Δ = g = k = 0.

    It never rises at constant input and g = 0. Use it to rank states, predict peaks and check a run (`energy_balance`).

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes
    - `I`: input current at the state's time, in units of η, a number or an array that broadcasts to the state's shape

    Returns E, dimensionless, of the state's shape. Raises `ValueError` for models without a potential. Source:
    docs/theory.md §4.
    """
    return kinetic_energy(model, y) + potential_energy(model, y, I)


@takes_model
def hamiltonian(model: AbstractMechanical | Network, y: StateLike, I: Real = 0.0) -> Values:
    """Hamiltonian H = (v² + η + I)/R + π² R − J ln R, R = τ r: the energy of the homogeneous limit Δ = g = k = 0.

    H is conserved in that limit at constant input; for MPR with Δ > 0, τ dH/dt = (Δ/π) ∂H/∂R exactly. Use `total_energy`
    for the exact energy with heterogeneity, gap junctions or conductances.

    - `model`: an MPR population or a network of them
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes
    - `I`: input current at the state's time, in units of η, a number or an array that broadcasts to the state's shape

    Returns H, dimensionless, of the state's shape. Raises `ValueError` for models without a Riccati equation. Source:
    Andrean & Pedersen, arXiv 2509.10428 (2025); docs/theory.md §4.
    """
    fast, y = _landscape(model, y, "riccati")
    R = fast.tau * y.r
    return (y.v**2 + fast.eta + jnp.asarray(I, R.dtype)) / R + jnp.pi**2 * R - fast.J * jnp.log(R)


@takes_model
def damping(model: AbstractMechanical | Network, y: StateLike) -> Values:
    """Damping Γ = (Δ/π) q² − g + 2k/q² = 2Δ/(π R) − g + k R; negative if gap junctions pump energy in.

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes

    Returns Γ, per unit of t/τ, of the state's shape. Raises `ValueError` for models without a potential. Source:
    docs/theory.md §4.
    """
    fast, y = _landscape(model, y)
    return fast.damping(fast.position(y)[0])


@takes_model
def heat_rate(model: AbstractMechanical | Network, y: StateLike) -> Values:
    """Energy lost per unit of time, Γ q̇²/τ.

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes

    Returns the rate, per unit of time, of the state's shape. Raises `ValueError` for models without a potential. Source:
    docs/theory.md §4.
    """
    fast, y = _landscape(model, y)
    q, qdot = fast.position(y)
    return fast.damping(q) * qdot**2 / fast.time_constant


@takes_model
def port_power(model: AbstractMechanical | Network, y: StateLike, I: Real) -> Values:
    """Power that an input delivers to the population, −I q q̇/τ = −I d(1/R)/dt; the port through which it is passive.

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes
    - `I`: input current at the state's time, in units of η, a number or an array that broadcasts to the state's shape

    Returns the power, per unit of time, of the state's shape. Raises `ValueError` for models without a potential.
    Source: docs/theory.md §4.
    """
    fast, y = _landscape(model, y)
    q, qdot = fast.position(y)
    return -jnp.asarray(I, q.dtype) * q * qdot / fast.time_constant


@takes_model
def slow_power(model: AbstractMechanical | Network, y: StateLike) -> dict[str, Values]:
    """Power that each slow variable s delivers to the population, (∂V/∂s) ds/dt.

    −(dA/dt)/R for spike-frequency adaptation, J (dA/dt) ln R for depression, −J u (dx/dt) ln R and −J x (du/dt) ln R for
    short-term plasticity; B = τ_A dA/dt delivers none by itself.

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes

    Returns powers by the slow variable's name, per unit of time, of the state's shape; {} without slow terms. Raises
    `ValueError` for models without a potential. Source: docs/theory.md §4.
    """
    require_offer(model, "potential")
    y = as_states(y, model)
    if not model.slow_names:
        return {}

    def landscape(each: State) -> Values:
        fast = model.alone(each) if is_network(model) else model.frozen(each)
        return fast.kinetic_energy(each) + fast.potential_energy(each)  # a synapse's conductance moves q̇, too

    zero = jnp.zeros_like(jax.tree.leaves(y)[0])
    slopes, flow = _elementwise_grad(landscape, y), model.vector_field(zero, y, zero)
    return {name: getattr(slopes, name) * getattr(flow, name) for name in model.slow_names if name != "B"}


@takes_model
def stored_energy(model: AbstractMechanical | Network, y: StateLike) -> dict[str, Values]:
    """Energy that each slow variable stores beyond the instantaneous landscape of `total_energy`.

        synapse, τ_s s′ = r − s        −J [1 + ln S],  S = τ s
        adaptation, exponential        κ [1 + ln(A/κ)],  κ = α τ_A/τ
        depression, exponential        −J [A ln(A/κ) − A]

    With its store each of these terms only dissipates (positive feedback) or only pumps (negative feedback): see
    `pump_power`. A synapse's energy in all is J [s/r − 1 − ln(s/r)] above that of an instantaneous coupling: J × the
    Itakura–Saito divergence of s from r.

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes

    Returns energies by the slow variable's name, dimensionless, of the state's shape; variables without a known store (alpha
    kernels, x and u together) are left out. Infinite at s = 0 and A = 0. Raises `ValueError` for models without a potential.
    Source: docs/theory.md §C1, §C2.
    """
    require_offer(model, "potential")
    y = as_states(y, model)
    return model.stores(y)


@takes_model
def pump_power(model: AbstractMechanical | Network, y: StateLike) -> dict[str, Values]:
    """Power that each slow variable brings into the energy with its store: never positive for positive feedback, never
    negative for negative feedback.

        synapse       −J τ_s (ds/dt)²/(r s)
        adaptation    (α/τ) (r − ρ)²/(r ρ),       ρ = A/(α τ_A)
        depression    J α (r − ρ) ln(r/ρ)

    So d/dt (`total_energy` + Σ `stored_energy`) = (dI/dt)/R + Σ pump − heat: an excitatory synapse can't sustain an
    oscillation, an inhibitory one can.

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes

    Returns powers by the slow variable's name, per unit of time, of the state's shape; only of variables that have a store.
    Raises `ValueError` for models without a potential. Source: docs/theory.md §C1, §C2.
    """
    require_offer(model, "potential")
    y = as_states(y, model)
    stores = model.stores(y)
    if not stores:
        return {}
    zero = jnp.zeros_like(jax.tree.leaves(y)[0])
    flow, power = model.vector_field(zero, y, zero), slow_power(model, y)
    slope = lambda name: getattr(_elementwise_grad(lambda each: model.stores(each)[name], y), name)
    return {name: power[name] + slope(name) * getattr(flow, name) for name in stores}


@takes_model
def exchange_power(network: Network, y: StateLike) -> Values:
    """Power that every population j of a network delivers to every other i, P_ij = (1/R_i) d/dt(G W_ij R_j), P_ii = 0.

    Together with the stimulus's power (dI_i/dt)/R_i and the work of slow variables it balances the energy in the
    instantaneous landscape: dE_i/dt = Σ_j P_ij + (dI_i/dt)/R_i − heat_i, for each population, and therefore for their
    sums. Not symmetric: i need not return to j what it receives from j.

    - `network`: a network of MPR populations
    - `y`: its state, with arrays of shape (…, n)

    Returns P of shape (…, n, n), receiver first, per unit of time. Raises `ValueError` for single populations. Source:
    docs/theory.md §8.
    """
    y = _network_states(network, y)
    sent_rate = _rate_of_sent(network, y)
    weights = network.coupling.dense()
    weights = weights * (1 - jnp.eye(network.size, dtype=weights.dtype))
    R = network.nodes(y.r.shape[:-1]).tau * y.r
    ratio = jnp.expand_dims(1 / R, -1) * jnp.expand_dims(sent_rate, -2)
    return jnp.broadcast_to(weights, ratio.shape) * ratio


@takes_model
def received_power(network: Network, y: StateLike) -> Values:
    """Power that every population of a network receives from all others: the row sums of `exchange_power`.

    Use it for large n: it makes no (…, n, n) array.

    - `network`: a network of MPR populations
    - `y`: its state, with arrays of shape (…, n)

    Returns the power of shape (…, n), per unit of time. Raises `ValueError` for single populations. Source:
    docs/theory.md §8.
    """
    y = _network_states(network, y)
    sent_rate = _rate_of_sent(network, y)
    own = jnp.broadcast_to(network.self_weights(), sent_rate.shape) * sent_rate
    return (network.apply(sent_rate) - own) / (network.nodes(y.r.shape[:-1]).tau * y.r)


def _network_states(network: Any, y: StateLike) -> State:
    require_network(network)
    return as_states(y, network)


def _rate_of_sent(network: Network, y: State) -> Values:
    """d/dt of the sent rates, with the depression and plasticity of the synapses."""
    fast = network.frozen(y)
    rate = fast.vector_field(jnp.zeros_like(y.r), y).r
    flow = y.replace(r=rate, v=jnp.zeros_like(rate), **network.slow_rates(y))
    return jax.jvp(network.sent, (y,), (flow,))[1]


@takes_model
def force(model: AbstractMechanical, y: StateLike, I: Real = 0.0) -> Values:
    """Conservative force on the unit mass, −U′(q) − I q, by autodiff of the potential.

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes
    - `I`: input current at the state's time, in units of η, a number or an array that broadcasts to the state's shape

    Returns the force, q̈ in units of 1/(t/τ)², of the state's shape. Raises `ValueError` for models without a potential.
    Source: docs/theory.md §4.
    """
    fast, y = _landscape(model, y)
    q = fast.position(y)[0]
    return -_elementwise_grad(fast.potential, q) - jnp.asarray(I, q.dtype) * q


@takes_model
def hamiltonian_field(model: AbstractRiccati, y: StateLike, I: Real = 0.0) -> State:
    """Vector field rebuilt from energy and damping alone, by autodiff through the Poisson structure r².

    dr/dt = r² ∂E/∂v, dv/dt = −r² ∂E/∂r − Γ (dr/dt)/(2 r), at frozen slow variables. Equal to `model.vector_field`, which
    tests check.

    - `model`: an MPR population
    - `y`: its state, with arrays of any shape
    - `I`: input current at the state's time, in units of η, a number or an array that broadcasts to the state's shape

    Returns a `State` of derivatives, per unit of time, with those of the slow variables. Raises `ValueError` for
    networks and for models without a Riccati equation. Source: docs/theory.md §4.
    """
    require_one(model, offer="riccati")
    y = as_states(y, model)
    dE = _elementwise_grad(lambda each: total_energy(model, each, I), y)
    rate = y.r**2 * dE.v
    v = -(y.r**2) * dE.r - damping(model, y) * rate / (2 * y.r)
    flow = model.vector_field(jnp.zeros_like(y.r), y)
    return State(r=rate, v=v, **{name: getattr(flow, name) for name in model.slow_names})


@takes_model
def conservative_field(model: AbstractRiccati, y: StateLike, I: Real = 0.0) -> State:
    """Vector field of H alone, dr/dt = r² ∂H/∂v, dv/dt = −r² ∂H/∂r: the limit Δ = g = k = 0.

    - `model`: an MPR population
    - `y`: its state, with arrays of any shape
    - `I`: input current at the state's time, in units of η, a number or an array that broadcasts to the state's shape

    Returns a `State` of the derivatives of r and v, per unit of time. Raises `ValueError` for networks and for models
    without a Riccati equation. Source: docs/theory.md §4.
    """
    require_one(model, offer="riccati")
    y = as_states(y, model)
    dH = _elementwise_grad(lambda each: hamiltonian(model, each, I), y)
    return State(r=y.r**2 * dH.v, v=-(y.r**2) * dH.r)


@takes_model
def mechanical_residual(model: AbstractMechanical, y: StateLike, I: Real = 0.0) -> Values:
    """Residual q̈ + Γ q̇ + U′(q) + I q along the model's own vector field, zero to rounding in the mechanical form.

    Slow variables are frozen, as they are in the mechanical form. Use it to test a model of your own.

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes
    - `I`: input current at the state's time, in units of η, a number or an array that broadcasts to the state's shape

    Returns the residual, in units of 1/(t/τ)², of the state's shape. Raises `ValueError` for models without a potential.
    Source: docs/theory.md §4.
    """
    fast, y = _landscape(model, y)
    current = jnp.broadcast_to(jnp.asarray(I, jax.tree.leaves(y)[0].dtype), jnp.shape(jax.tree.leaves(y)[0]))
    given = State(**{name: getattr(y, name) for name in fast.variables})
    flow = jax.tree.map(lambda each: each * fast.time_constant, fast.vector_field(jnp.zeros_like(current), given, current))
    (_, qdot), (_, acceleration) = jax.jvp(fast.position, (given,), (flow,))
    q = fast.position(given)[0]
    return acceleration + fast.damping(q) * qdot + _elementwise_grad(fast.potential, q) + current * q


def _elementwise_grad(scalar: Any, at: object) -> Any:
    """Gradient of an elementwise function: the gradient of its sum."""
    return jax.grad(lambda each: jnp.sum(scalar(each)))(at)
