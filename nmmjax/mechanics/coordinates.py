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

from typing import Any

import jax
import jax.numpy as jnp

from .._types import ComplexValues, Values
from ..models.base import State, as_state, takes_model
from ..models.mpr import MPR


@takes_model
def to_wv(model: MPR, y: Any) -> tuple[Values, Values]:
    """(r, v) → (w, v) with w = 1/(τ r); canonical in time t/τ."""
    y = as_state(y)
    return 1 / (model.tau * y.r), y.v


@takes_model
def from_wv(model: MPR, w: Values, v: Values) -> State:
    """(w, v) → (r, v)."""
    return State(r=1 / (model.tau * w), v=v)


@takes_model
def to_qp(model: MPR, y: Any) -> tuple[Values, Values]:
    """(r, v) → (q, p) with q = √(2/(τ r)), p = −v q."""
    y = as_state(y)
    q = jnp.sqrt(2 / (model.tau * y.r))
    return q, -y.v * q


@takes_model
def from_qp(model: MPR, q: Values, p: Values) -> State:
    """(q, p) → (r, v)."""
    return State(r=2 / (model.tau * q**2), v=-p / q)


def vector_potential(model: MPR, q: Values) -> Values:
    """A(q) = (Δ/4π) q³ − (g/2) q − k/q, so that q̇ = p − A(q)."""
    A = model.Delta / (4 * jnp.pi) * q**3
    if model.gap is not None:
        A = A - model.gap.g * q / 2
    if model.conductance is not None:
        A = A - model.conductance.k / q
    return A


@takes_model
def to_qqdot(model: MPR, y: Any) -> tuple[Values, Values]:
    """(r, v) → (q, q̇), q̇ the derivative with respect to t/τ."""
    q, p = to_qp(model, y)
    return q, p - vector_potential(model, q)


@takes_model
def from_qqdot(model: MPR, q: Values, qdot: Values) -> State:
    """(q, q̇) → (r, v)."""
    return from_qp(model, q, qdot + vector_potential(model, q))


@takes_model
def to_riccati(model: MPR, y: Any) -> ComplexValues:
    """(r, v) → W = π τ r + i v."""
    y = as_state(y)
    return jax.lax.complex(jnp.pi * model.tau * y.r, y.v)


@takes_model
def from_riccati(model: MPR, W: ComplexValues) -> State:
    """W → (r, v)."""
    return State(r=W.real / (jnp.pi * model.tau), v=W.imag)


@takes_model
def to_kuramoto(model: MPR, y: Any) -> ComplexValues:
    """(r, v) → the Kuramoto order parameter Z = (1 − W*)/(1 + W*)."""
    W = jnp.conj(to_riccati(model, y))
    return (1 - W) / (1 + W)


@takes_model
def from_kuramoto(model: MPR, Z: ComplexValues) -> State:
    """Z → (r, v)."""
    return from_riccati(model, jnp.conj((1 - Z) / (1 + Z)))
