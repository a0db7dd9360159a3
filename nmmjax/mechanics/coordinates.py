"""The coordinates in which a population can be seen, and the maps between them.

| coordinates | meaning | canonical? |
|---|---|---|
| (r, v) | firing rate, mean voltage | after ds = r² dt (invariant area dr∧dv/r²) |
| (w, v) | w = 1/(τ r), the mean interspike interval in units of τ | in time t/τ |
| (q, q̇) | q = √(2/(τ r)), position and velocity of a unit mass (derivative by t/τ) | in time t/τ, with damping |
| (q, p) | p = −v q, the momentum without heterogeneity, gap and conductance terms | in time t/τ |
| W | π τ r + i v, obeys a Riccati equation | |
| Z | (1 − W*)/(1 + W*), the Kuramoto order parameter, |Z| < 1 | |

q̇ = p − (Δ/4π) q³ + (g/2) q + k/q: heterogeneity acts as a vector potential, gap junctions and conductances too.
Source: docs/theory.md §1, §2, §4. All maps are elementwise and differentiable.
"""

import jax
import jax.numpy as jnp

from .._types import ComplexValues, Values
from ..models.base import AbstractModel, as_states, require_offer, require_one, takes_model
from ..models.mechanical import AbstractMechanical, AbstractRiccati
from ..models.state import State, StateLike


def _states(model: AbstractModel, y: StateLike) -> State:
    require_offer(model, "riccati")
    return as_states(y, model)


@takes_model
def to_wv(model: AbstractRiccati, y: StateLike) -> tuple[Values, Values]:
    """(r, v) → (w, v) with w = 1/(τ r); canonical in time t/τ."""
    y = _states(model, y)
    return 1 / (model.tau * y.r), y.v


@takes_model
def from_wv(model: AbstractRiccati, w: Values, v: Values) -> State:
    """(w, v) → (r, v)."""
    require_offer(model, "riccati")
    return State(r=1 / (model.tau * w), v=v)


@takes_model
def to_qp(model: AbstractRiccati, y: StateLike) -> tuple[Values, Values]:
    """(r, v) → (q, p) with q = √(2/(τ r)), p = −v q."""
    y = _states(model, y)
    q = jnp.sqrt(2 / (model.tau * y.r))
    return q, -y.v * q


@takes_model
def from_qp(model: AbstractRiccati, q: Values, p: Values) -> State:
    """(q, p) → (r, v)."""
    require_offer(model, "riccati")
    return State(r=2 / (model.tau * q**2), v=-p / q)


def vector_potential(model: AbstractRiccati, q: Values) -> Values:
    """A(q) = (Δ/4π) q³ − (g/2) q − k/q, so that q̇ = p − A(q)."""
    require_one(model, offer="riccati")
    return model.vector_potential(q)


@takes_model
def to_qqdot(model: AbstractMechanical, y: StateLike) -> tuple[Values, Values]:
    """State → (q, q̇), q̇ the derivative with respect to t/τ; at frozen slow variables."""
    require_offer(model, "potential")
    return model.position(as_states(y, model))


@takes_model
def from_qqdot(model: AbstractMechanical, q: Values, qdot: Values) -> State:
    """(q, q̇) → state, without slow variables."""
    require_one(model)
    return model.at(q, qdot)


@takes_model
def to_riccati(model: AbstractRiccati, y: StateLike) -> ComplexValues:
    """(r, v) → W = π τ r + i v."""
    y = _states(model, y)
    return jax.lax.complex(jnp.pi * model.tau * y.r, y.v)


@takes_model
def from_riccati(model: AbstractRiccati, W: ComplexValues) -> State:
    """W → (r, v)."""
    require_offer(model, "riccati")
    return State(r=W.real / (jnp.pi * model.tau), v=W.imag)


@takes_model
def to_kuramoto(model: AbstractRiccati, y: StateLike) -> ComplexValues:
    """(r, v) → the Kuramoto order parameter Z = (1 − W*)/(1 + W*)."""
    W = jnp.conj(to_riccati(model, y))
    return (1 - W) / (1 + W)


@takes_model
def from_kuramoto(model: AbstractRiccati, Z: ComplexValues) -> State:
    """Z → (r, v)."""
    require_offer(model, "riccati")
    return from_riccati(model, jnp.conj((1 - Z) / (1 + Z)))
