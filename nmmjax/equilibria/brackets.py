"""Every rate at which a population can rest, without missing one, and the folds between them.

At a fixed point the force f(R) = −Ψ′(R) of `MPR.force_at_rate` vanishes, R = τ r. Its curvature changes sign once, at the
cusp rate, so its slope vanishes at most twice (at folds), and f is monotone below, between and above them: one bracket each.
With g = Γ_J = k = 0 the zeros are the roots of the quartic π²R⁴ − J R³ − (η + I) R² − Δ²/(4π²) = 0 (docs/theory.md §4).
"""

import jax
import jax.numpy as jnp

from .._types import Scalar, Values
from ..models.base import require_one, takes_model
from ..models.mpr import MPR
from ..numerics.roots import solve_between, solve_near, with_slope


@takes_model
def cusp_rate(model: MPR) -> Scalar:
    """Rate at which both folds of the fast equations meet in a cusp, (3/4)^¼ √Δ/(π τ) for the MPR model.

    It depends neither on η and J nor on slow variables, and lies between the two folds whenever there are two: a burst
    crosses it upward at its start and downward at its end. With gap junctions, heterogeneous couplings and conductances it
    solves ∂²f/∂R² = 0, that is 3Δ²/(2π²) = (Δ/π)(g − Γ_J/π) R + (2π² + ½k²) R⁴.

    - `model`: an MPR population

    Returns the rate, a number per unit of time, differentiable; 0 for Δ = 0. Raises `ValueError` for networks and for
    models without a Riccati equation. Source: docs/theory.md §1.
    """
    require_one(model, offer="riccati")
    plain = 0.75**0.25 * jnp.sqrt(model.Delta) / jnp.pi
    if model.rate_loss is None and model.conductance is None:
        return plain / model.tau
    # Convex, and growing from its zero on, so that Newton's method comes down from the right.
    start = plain if model.coupling_heterogeneity is None else plain + _shift(model)
    return solve_near(_bend, model, start, steps=32) / model.tau


def _shift(model: MPR) -> Scalar:
    """By how much heterogeneous couplings raise the cusp rate, at most: R⁴ ≥ y³R + x⁴ at R = x + y."""
    return jnp.cbrt(model.Delta * jnp.maximum(-model.rate_loss, 0) / (2 * jnp.pi**3))


def _bend(model: MPR, R: Scalar) -> Scalar:
    """∝ ∂²f/∂R², which grows through zero at the cusp rate."""
    zero, Delta = jnp.zeros_like(R), model.Delta
    g = zero if model.rate_loss is None else model.rate_loss
    k = zero if model.conductance is None else model.conductance.k
    return Delta * g / jnp.pi * R + (2 * jnp.pi**2 + k**2 / 2) * R**4 - 3 * Delta**2 / (2 * jnp.pi**2)


def fixed_rates(model: MPR) -> tuple[Values, Values]:
    """(R, folds): all dimensionless rates R = τ r of fixed points, in three brackets, and the two folds' rates.

    R has shape (3,): on the low branch (below the lower fold), between the folds (saddles) and on the high branch, NaN
    if absent. `folds` has shape (2,), NaN if f has no folds; they don't depend on η. Parameters are numbers
    (`jax.vmap` for many); an input I is a shift of η. First and second derivatives are those of the implicit function
    theorem.
    """
    low, high = _range(model)
    middle = jnp.clip(jnp.log(jnp.maximum(model.tau * cusp_rate(model), jnp.exp(low))), low, high)
    folds = solve_between(_slope, model, jnp.stack([low, middle]), jnp.stack([middle, high]))
    inner = jnp.where(jnp.isfinite(folds), jax.lax.stop_gradient(folds), jax.lax.stop_gradient(middle))
    ends = jnp.stack([low, inner[0], inner[1], high])
    return jnp.exp(solve_between(_force, model, ends[:-1], ends[1:])), jnp.exp(folds)


def _force(model: MPR, x: Values) -> Values:
    """f at R = exp(x), scaled to stay finite for small R."""
    R = jnp.exp(x)
    return model.force_at_rate(R) * R**2 / (1 + R**2)


def _slope(model: MPR, x: Values) -> Values:
    R = jnp.exp(x)
    return with_slope(model.force_at_rate, R)[1] * R**3 / (1 + R**2)


def _range(model: MPR) -> tuple[Values, Values]:
    """ln R below and above every fixed point and fold, by Cauchy's bounds on R² f = −c R⁴ + b R³ + e R² − d R + a²."""
    zero = jnp.zeros_like(model.eta)
    g = zero if model.rate_loss is None else jnp.abs(model.rate_loss)
    k = zero if model.conductance is None else model.conductance.k
    E_s = zero if model.conductance is None else model.effective_reversal
    leak = zero if model.leak is None else model.leak_current
    b, e = jnp.abs(model.J + k * E_s), jnp.abs(model.eta + leak + g**2 / 4)
    d, a2 = model.Delta * g / (2 * jnp.pi), (model.Delta / (2 * jnp.pi)) ** 2
    largest = jnp.maximum(jnp.maximum(b, e), jnp.maximum(d, a2))
    high = jnp.log(2 + 4 * largest / jnp.pi**2)
    tiny = float(jnp.finfo(zero.dtype).tiny) ** 0.25
    low = jnp.log(jnp.maximum(a2 / (a2 + 4 * (1 + largest + jnp.pi**2 + k**2)), tiny) / 2)
    return jax.lax.stop_gradient((low, high))
