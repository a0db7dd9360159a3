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
    """(r, v) → (w, v) with w = 1/(τ r), the mean interspike interval in units of τ; canonical in time t/τ.

    - `model`: an MPR population or a network of them
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes

    Returns (w, v), dimensionless, of the state's shape. Raises `ValueError` for models without a Riccati equation.
    Source: docs/theory.md §2.
    """
    y = _states(model, y)
    return 1 / (model.tau * y.r), y.v


@takes_model
def from_wv(model: AbstractRiccati, w: Values, v: Values) -> State:
    """(w, v) → (r, v) with r = 1/(τ w): the inverse of `to_wv`.

    - `model`: an MPR population or a network of them
    - `w`, `v`: mean interspike interval in units of τ, and mean voltage; dimensionless, of one shape

    Returns the `State` of r, per unit of time, and v. Raises `ValueError` for models without a Riccati equation. Source:
    docs/theory.md §2.
    """
    require_offer(model, "riccati")
    return State(r=1 / (model.tau * w), v=v)


@takes_model
def to_qp(model: AbstractRiccati, y: StateLike) -> tuple[Values, Values]:
    """(r, v) → (q, p) with q = √(2/(τ r)), p = −v q; canonical in time t/τ.

    - `model`: an MPR population or a network of them
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes

    Returns (q, p), dimensionless, of the state's shape. Raises `ValueError` for models without a Riccati equation.
    Source: docs/theory.md §2.
    """
    y = _states(model, y)
    q = jnp.sqrt(2 / (model.tau * y.r))
    return q, -y.v * q


@takes_model
def from_qp(model: AbstractRiccati, q: Values, p: Values) -> State:
    """(q, p) → (r, v) with r = 2/(τ q²), v = −p/q: the inverse of `to_qp`.

    - `model`: an MPR population or a network of them
    - `q`, `p`: position and momentum, dimensionless, of one shape

    Returns the `State` of r, per unit of time, and v. Raises `ValueError` for models without a Riccati equation. Source:
    docs/theory.md §2.
    """
    require_offer(model, "riccati")
    return State(r=2 / (model.tau * q**2), v=-p / q)


def vector_potential(model: AbstractRiccati, q: Values) -> Values:
    """A(q) = (Δ/4π) q³ − (g/2) q − k/q, so that q̇ = p − A(q)."""
    require_one(model, offer="riccati")
    return model.vector_potential(q)


@takes_model
def to_qqdot(model: AbstractMechanical, y: StateLike) -> tuple[Values, Values]:
    """State → (q, q̇): position and velocity of the unit mass, at frozen slow variables.

    - `model`: a population or network with a potential
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes

    Returns q, dimensionless, and q̇, its derivative by t/τ, of the state's shape. Raises `ValueError` for models without
    a potential. Source: docs/theory.md §4.
    """
    require_offer(model, "potential")
    return model.position(as_states(y, model))


@takes_model
def from_qqdot(model: AbstractMechanical, q: Values, qdot: Values) -> State:
    """(q, q̇) → state, without slow variables: the inverse of `to_qqdot`.

    - `model`: a population with a potential
    - `q`, `qdot`: position and its derivative by t/τ, dimensionless, of one shape

    Returns the `State` of the fast variables. Raises `ValueError` for networks and for models without a potential.
    Source: docs/theory.md §4.
    """
    require_one(model)
    return model.at(q, qdot)


@takes_model
def to_riccati(model: AbstractRiccati, y: StateLike) -> ComplexValues:
    """(r, v) → W = π τ r + i v, which obeys a Riccati equation.

    - `model`: an MPR population or a network of them
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes

    Returns W, complex, dimensionless, of the state's shape. Raises `ValueError` for models without a Riccati equation.
    Source: docs/theory.md §1.
    """
    y = _states(model, y)
    return jax.lax.complex(jnp.pi * model.tau * y.r, y.v)


@takes_model
def from_riccati(model: AbstractRiccati, W: ComplexValues) -> State:
    """W → (r, v) with r = Re W/(π τ), v = Im W: the inverse of `to_riccati`.

    - `model`: an MPR population or a network of them
    - `W`: complex, dimensionless, of any shape

    Returns the `State` of r, per unit of time, and v. Raises `ValueError` for models without a Riccati equation. Source:
    docs/theory.md §1.
    """
    require_offer(model, "riccati")
    return State(r=W.real / (jnp.pi * model.tau), v=W.imag)


@takes_model
def to_kuramoto(model: AbstractRiccati, y: StateLike) -> ComplexValues:
    """(r, v) → the Kuramoto order parameter Z = (1 − W*)/(1 + W*), |Z| < 1.

    - `model`: an MPR population or a network of them
    - `y`: its state, with arrays of any shape (…), or (…, n) for a network of n nodes

    Returns Z, complex, dimensionless, of the state's shape. Raises `ValueError` for models without a Riccati equation.
    Source: Montbrió, Pazó & Roxin, Phys. Rev. X 5:021028 (2015).
    """
    W = jnp.conj(to_riccati(model, y))
    return (1 - W) / (1 + W)


@takes_model
def from_kuramoto(model: AbstractRiccati, Z: ComplexValues) -> State:
    """Z → (r, v): the inverse of `to_kuramoto`.

    - `model`: an MPR population or a network of them
    - `Z`: the Kuramoto order parameter, complex, |Z| < 1, of any shape

    Returns the `State` of r, per unit of time, and v. Raises `ValueError` for models without a Riccati equation. Source:
    Montbrió, Pazó & Roxin, Phys. Rev. X 5:021028 (2015).
    """
    require_offer(model, "riccati")
    return from_riccati(model, jnp.conj((1 - Z) / (1 + Z)))
