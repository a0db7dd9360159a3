"""Layer 2: energies of a population, and the dynamics derived from them by autodiff.

A model declares one potential U(q) and one damping Γ(q) (q = √(2/(τ r))); everything here follows from those two scalars
and the vector field. Energies are dimensionless; they refer to time t/τ. `stimulus` is the input current I at the state's
time: a number or an array of the state's shape. Slow variables (adaptation, plasticity) enter as η_eff and J_eff, so
every energy is that in the instantaneous landscape of the state's own slow variables.

Exact, for every parameter (nmmjax theory notes §4; Andrean & Pedersen, arXiv 2509.10428, for H at Δ = 0):

    E = K + V,  K = ½ q̇²,  V = U(q) + I/(τ r),
    τ dE/dt = −Γ(q) q̇² + τ [(dI/dt + dη_eff/dt)/R − (dJ_eff/dt) ln R],  R = τ r
    dr/dt = r² ∂E/∂v,   dv/dt = −r² ∂E/∂r − Γ (dr/dt)/(2 r)
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Real, Values
from ..models.base import State, as_state
from ..models.mpr import MPR
from .coordinates import to_qqdot


def _position(model: MPR, r: Values) -> Values:
    return jnp.sqrt(2 / (model.tau * r))


def kinetic_energy(model: MPR, y: Any) -> Values:
    """K = ½ q̇² = R′²/(4 R³) with R = τ r and ′ = d/d(t/τ); v²/R where Δ = g = k = 0. Zero at every peak and trough of r."""
    _, qdot = to_qqdot(model, y)
    return qdot**2 / 2


def potential_energy(model: MPR, y: Any, stimulus: Real = 0.0) -> Values:
    """V(r) = U(q) + I/R; for the MPR model (η + I)/R + π² R − J ln R + Δ²/(12π² R³) with R = τ r.

    At constant input its minima are the stable states, its maximum the saddle, and E = V(r) at every peak of r.
    """
    y = as_state(y)
    return model.frozen(y).potential(_position(model, y.r)) + jnp.asarray(stimulus, y.r.dtype) / (model.tau * y.r)


def total_energy(model: MPR, y: Any, stimulus: Real = 0.0) -> Values:
    """E = `kinetic_energy` + `potential_energy`: the exact mechanical energy, equal to H where Δ = g = k = 0.

    It never rises at constant input and g = 0. Use it to rank states, predict peaks and check a run (`energy_balance`).
    """
    return kinetic_energy(model, y) + potential_energy(model, y, stimulus)


def hamiltonian(model: MPR, y: Any, stimulus: Real = 0.0) -> Values:
    """H = (v² + η + I)/R + π² R − J ln R, R = τ r: Andrean & Pedersen's energy of the homogeneous limit Δ = g = k = 0.

    Conserved in that limit at constant input; for MPR with Δ > 0, τ dH/dt = (Δ/π) ∂H/∂R exactly. Use `total_energy` for
    the exact energy with heterogeneity, gap junctions or conductances.
    """
    y = as_state(y)
    R, fast = model.tau * y.r, model.frozen(y)
    return (y.v**2 + fast.eta + jnp.asarray(stimulus, R.dtype)) / R + jnp.pi**2 * R - fast.J * jnp.log(R)


def damping(model: MPR, y: Any) -> Values:
    """Γ = (Δ/π) q² − g + 2k/q² = 2Δ/(π R) − g + k R, per unit of t/τ; negative where gap junctions pump energy in."""
    return model.damping(_position(model, as_state(y).r))


def heat_rate(model: MPR, y: Any) -> Values:
    """Energy lost per unit of time, Γ q̇²/τ."""
    _, qdot = to_qqdot(model, y)
    return damping(model, y) * qdot**2 / model.tau


def port_power(model: MPR, y: Any, stimulus: Real) -> Values:
    """Power that an input delivers to the population, −I d(1/R)/dt = I Ṙ/R²; the port through which it is passive."""
    y = as_state(y)
    rate = model.vector_field(jnp.zeros_like(y.r), y).r
    return jnp.asarray(stimulus, y.r.dtype) * rate / (model.tau * y.r**2)


def slow_power(model: MPR, y: Any) -> dict[str, Values]:
    """Power that each slow variable s delivers to the population, (∂V/∂s) ds/dt per unit of time; {} without slow terms.

    −(dA/dt)/R for spike-frequency adaptation, J (dA/dt) ln R for depression, −J u (dx/dt) ln R and −J x (du/dt) ln R for
    short-term plasticity; B = τ_A dA/dt delivers none by itself.
    """
    y = as_state(y)
    if not model.slow_terms:
        return {}
    slopes = _elementwise_grad(lambda each: potential_energy(model, each), y)
    return {name: getattr(slopes, name) * rate for name, rate in model.slow_rates(y).items() if name != "B"}


def force(model: MPR, y: Any, stimulus: Real = 0.0) -> Values:
    """−U′(q) − I q, the conservative force on the unit mass, by autodiff of the potential."""
    y = as_state(y)
    q = _position(model, y.r)
    return -_elementwise_grad(model.frozen(y).potential, q) - jnp.asarray(stimulus, q.dtype) * q


def hamiltonian_field(model: MPR, y: Any, stimulus: Real = 0.0) -> State:
    """The model's vector field rebuilt from energy and damping alone, by autodiff through the Poisson structure r².

    dr/dt = r² ∂E/∂v, dv/dt = −r² ∂E/∂r − Γ (dr/dt)/(2 r), at frozen slow variables. Equal to `model.vector_field`, which
    tests check.
    """
    y = as_state(y)
    dE = _elementwise_grad(lambda each: total_energy(model, each, stimulus), y)
    rate = y.r**2 * dE.v
    v = -(y.r**2) * dE.r - damping(model, y) * rate / (2 * y.r)
    return State(r=rate, v=v, **model.slow_rates(y))


def conservative_field(model: MPR, y: Any, stimulus: Real = 0.0) -> State:
    """The vector field of H alone, dr/dt = r² ∂H/∂v, dv/dt = −r² ∂H/∂r: the limit Δ = g = k = 0."""
    y = as_state(y)
    dH = _elementwise_grad(lambda each: hamiltonian(model, each, stimulus), y)
    return State(r=y.r**2 * dH.v, v=-(y.r**2) * dH.r)


def mechanical_residual(model: MPR, y: Any, stimulus: Real = 0.0) -> Values:
    """q̈ + Γ q̇ + U′(q) + I q along the model's own vector field: zero to rounding wherever the mechanical form is exact."""
    y = as_state(y)
    current = jnp.broadcast_to(jnp.asarray(stimulus, y.r.dtype), y.r.shape)
    flow = model.vector_field(jnp.zeros_like(y.r), y)
    flow = jax.tree.map(lambda each: each * model.tau, flow)
    flow = eqx.tree_at(lambda each: each.v, flow, flow.v + current)
    (_, qdot), (_, acceleration) = jax.jvp(lambda each: to_qqdot(model, each), (y,), (flow,))
    return acceleration + damping(model, y) * qdot - force(model, y, current)


def _elementwise_grad(scalar: Any, at: Any) -> Any:
    """Gradient of an elementwise function: the gradient of its sum."""
    return jax.grad(lambda each: jnp.sum(scalar(each)))(at)
