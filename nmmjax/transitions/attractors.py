"""Stable states with a neighbourhood around each that provably can't be left.

A run is known to end at a stable state y* as soon as it is inside such a neighbourhood. In z = S (y − y*), where SᵀS = P
solves (A + 0.9 α)ᵀ P + P (A + 0.9 α) = −1 for the Jacobian A with eigenvalues' real parts ≤ −α,

    d|z|²/dt ≤ −1.8 α |z|² + h |z|³,      h = Frobenius norm of the second derivative of the vector field in z

if the equations are quadratic, as those of MPR populations and networks are in (r, v, A, B); so |z| < 1.8 α/h is a trap.
With short-term plasticity the equations have a cubic term, J x u r, and half of that radius is taken. Half of it is taken,
too, for models that don't say their `degree`, for which nothing is proven: runs decide.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.linalg import solve_continuous_lyapunov

from .._checks import require
from .._types import Scalar, Values
from ..equilibria.newton import fixed_point, linearized
from ..equilibria.stability import flat_field
from ..models.base import AbstractModel
from ..models.state import State
from ..numerics.compiling import jitted

_MOVED = 1e-2  # how far Newton's method may move a given state, relative to r and to 1 + |v|: that of rounded numbers


class Attractors(eqx.Module):
    """m stable states: their arrays have the axis of the attractors in front.

    - `states`; `flat`: the same as `(m, N)`
    - `forms`: `(m, N, N)`; inside the trap of attractor k, |forms_k (y − y_k)| ≤ 1
    - `rates`: `(m,)`, the slowest decay back to each
    - `proven`: whether the traps are proofs: the model says that its vector field is quadratic or cubic
    """

    states: State
    flat: Values
    forms: Values
    rates: Values
    proven: bool = eqx.field(static=True)

    def distances(self, y: State) -> Values:
        """Distance of one state from every attractor in units of its trap, shape `(m,)`."""
        offsets = ravel_pytree(y)[0][None] - self.flat
        return jnp.sqrt(jnp.sum(jnp.einsum("mij,mj->mi", self.forms, offsets) ** 2, axis=1))

    def state(self, k: int) -> State:
        """The k-th state."""
        return jax.tree.map(lambda each: each[k], self.states)

    @property
    def horizon(self) -> Scalar:
        """A time in which all but runs that start extremely close to a separatrix settle: 100 slowest relaxation times."""
        return 100 / jnp.min(self.rates)


def find_attractors(model: AbstractModel, given: dict[str, Any]) -> Attractors:
    """The stable states of `model` that the given ones, by argument name, name to about 1 %, by Newton's method.

    Slow variables that a state lacks are those of a steady rate. Raises `ValueError` for states that are not fixed points
    (with the residual |f|), not stable (with the eigenvalue), or equal to each other.
    """
    states = {name: _settle_state(name, model, y) for name, y in given.items()}
    flats = {name: np.asarray(ravel_pytree(y)[0]) for name, y in states.items()}
    names = list(states)
    for k, name in enumerate(names):
        for other in names[:k]:
            away = np.max(np.abs(flats[name] - flats[other]) / (1 + np.abs(flats[other])))
            require(name, _brief(states[name]), f"differ from `{other}`", away > 1e-6)
    traps = [_trap(name, model, states[name]) for name in names]
    dtype = next(iter(flats.values())).dtype
    return Attractors(
        states=jax.tree.map(lambda *leaves: jnp.stack(leaves), *states.values()),
        flat=jnp.stack([jnp.asarray(each) for each in flats.values()]),
        forms=jnp.stack([jnp.asarray(form, dtype) for form, _ in traps]),
        rates=jnp.asarray([rate for _, rate in traps], dtype),
        proven=model.degree is not None and model.degree <= 3,
    )


def _settle_state(name: str, model: Any, y: Any) -> State:
    given = y.variables if isinstance(y, State) else y
    needed = [each for each, declared in model.variables.items() if declared.rest is None]
    keys = " and ".join(f"`{each}`" for each in needed)
    rule = f"be a stable state of the model: a state or a mapping with the keys {keys}"
    require(name, y, rule, hasattr(given, "keys") and set(needed) <= set(given))
    slow = model.slow_names if "riccati" in model.offers else ()
    lacking = [each for each in slow if each not in given]
    if lacking:
        steady = model.slow_steady(model.state(given).r)
        given = dict(given) | {each: steady[each] for each in lacking}
    start = model.state(given)
    dtype = jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(model) if eqx.is_inexact_array(leaf)))
    start = jax.tree.map(lambda leaf: leaf.astype(dtype), start)
    f, _ = linearized(model, start)
    found, _, _ = fixed_point(model, start)
    moved = max(
        float(jnp.max(jnp.abs(b - a) / (jnp.abs(a) + (0 if key == "r" else 1))))
        for key in start.names
        for a, b in [(getattr(start, key), getattr(found, key))]
    )
    residual = float(jnp.max(jnp.abs(f)))
    rule = f"be a stable fixed point: dy/dt = 0, not {residual:.3g}"
    require(name, _brief(start), rule, moved < _MOVED)
    return found


def _trap(name: str, model: AbstractModel, y: State) -> tuple[np.ndarray, float]:
    """The scaled form S/radius of the trap around a fixed point, and the slowest decay α."""
    x = ravel_pytree(y)[0]
    A = np.asarray(linearized(model, y)[1], float)
    leading = max(np.linalg.eigvals(A), key=lambda each: each.real)
    alpha = -leading.real
    rule = f"be a stable fixed point: all eigenvalues with real parts < 0, not {leading.real:+.6g}"
    require(name, _brief(y), rule, alpha > 1e-9 * (1 + np.max(np.abs(A))))
    one = np.eye(x.size)
    P = solve_continuous_lyapunov((A + 0.9 * alpha * one).T, -one)
    S = np.linalg.cholesky((P + P.T) / 2).T
    curvature = float(_curvature(model, y, jnp.asarray(S, x.dtype), jnp.asarray(np.linalg.inv(S), x.dtype)))
    radius = 1.8 * alpha / curvature if curvature > 0 else np.inf
    return S / min(radius / (1 if model.degree == 2 else 2), 1e6), float(alpha)


@jitted
def _curvature(model: AbstractModel, y: State, S: Values, inverse: Values) -> Scalar:
    """Frobenius norm of the second derivative of the vector field in z = S (y − y*), one direction at a time."""
    x = ravel_pytree(y)[0]
    slope = jax.jacfwd(flat_field(model, y))

    def along(direction: Values) -> Scalar:
        return jnp.sum((S @ jax.jvp(slope, (x,), (direction,))[1] @ inverse) ** 2)

    return jnp.sqrt(jnp.sum(jax.lax.map(along, inverse.T)))


def _brief(y: State) -> str:
    """A state in a few words for an error message."""
    shown = {name: np.array2string(np.asarray(each), precision=6, threshold=6) for name, each in y.variables.items()}
    first = ("r", "v") if {"r", "v"} <= set(shown) else tuple(shown)
    return ", ".join(f"{name} = {shown[name]}" for name in first)
