"""Every rate at which a population can rest, without missing one, and the folds between them.

At a fixed point the force f(R) = −Ψ′(R) of `MPR.force_at_rate` vanishes, R = τ r. Its curvature changes sign once, at the
cusp rate, so its slope vanishes at most twice (at folds), and f is monotone below, between and above them: one bracket each.
With g = k = 0 the zeros are the roots of the quartic π²R⁴ − J R³ − (η + I) R² − Δ²/(4π²) = 0 (docs/theory.md §4).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._types import Scalar, Values
from ..models.base import takes_model
from ..models.mpr import MPR


@takes_model
def cusp_rate(model: MPR) -> Scalar:
    """The rate at which both folds of the fast equations meet in a cusp, (3/4)^¼ √Δ/(π τ) for the MPR model.

    It depends neither on η and J nor on slow variables, and lies between the two folds wherever there are two: a burst
    crosses it upward where it starts and downward where it ends. With gap junctions and conductances it is where
    ∂²f/∂R² = 0, that is 3Δ²/(2π²) = (Δ g/π) R + (2π² + ½k²) R⁴. Differentiable; 0 for Δ = 0.
    """
    plain = 0.75**0.25 * jnp.sqrt(model.Delta) / jnp.pi
    if model.gap is None and model.conductance is None:
        return plain / model.tau
    g = jnp.zeros_like(plain) if model.gap is None else model.gap.g
    k = jnp.zeros_like(plain) if model.conductance is None else model.conductance.k
    Delta = model.Delta

    def newton(_: Any, R: Scalar) -> Scalar:
        # Convex and growing, so that Newton's method comes down from the right.
        value = Delta * g / jnp.pi * R + (2 * jnp.pi**2 + k**2 / 2) * R**4 - 3 * Delta**2 / (2 * jnp.pi**2)
        slope = Delta * g / jnp.pi + 4 * (2 * jnp.pi**2 + k**2 / 2) * R**3
        return R - value / jnp.where(slope == 0, jnp.ones_like(slope), slope)

    return jax.lax.fori_loop(0, 32, newton, plain) / model.tau


def fixed_rates(model: MPR) -> tuple[Values, Values]:
    """(R, folds): all dimensionless rates R = τ r of fixed points, in three brackets, and the two folds' rates.

    R has shape (3,): on the low branch (below the lower fold), between the folds (saddles) and on the high branch, NaN
    where there is none. `folds` has shape (2,), NaN where f has no folds; they don't depend on η. Parameters are numbers
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
    """f at R = exp(x), scaled to stay finite where R is small."""
    R = jnp.exp(x)
    return model.force_at_rate(R) * R**2 / (1 + R**2)


def _slope(model: MPR, x: Values) -> Values:
    R = jnp.exp(x)
    slope = jax.jvp(model.force_at_rate, (R,), (jnp.ones_like(R),))[1]
    return slope * R**3 / (1 + R**2)


def _range(model: MPR) -> tuple[Values, Values]:
    """ln R below and above every fixed point and fold, by Cauchy's bounds on R² f = −c R⁴ + b R³ + e R² − d R + a²."""
    zero = jnp.zeros_like(model.eta)
    g = zero if model.gap is None else model.gap.g
    k = zero if model.conductance is None else model.conductance.k
    E_s = zero if model.conductance is None else model.conductance.E_s
    b, e = jnp.abs(model.J + k * E_s), jnp.abs(model.eta + g**2 / 4)
    d, a2 = model.Delta * g / (2 * jnp.pi), (model.Delta / (2 * jnp.pi)) ** 2
    largest = jnp.maximum(jnp.maximum(b, e), jnp.maximum(d, a2))
    high = jnp.log(2 + 4 * largest / jnp.pi**2)
    tiny = float(jnp.finfo(zero.dtype).tiny) ** 0.25
    low = jnp.log(jnp.maximum(a2 / (a2 + 4 * (1 + largest + jnp.pi**2 + k**2)), tiny) / 2)
    return jax.lax.stop_gradient((low, high))


def solve_between(function: Callable[[Any, Values], Values], args: Any, lower: Values, upper: Values) -> Values:
    """The zero of `function(args, x)` between bounds, elementwise; NaN where its signs are equal there.

    Bisection, then two Newton steps outside `stop_gradient`, which carry first and second derivatives in `args`.
    """
    frozen, lower, upper = jax.lax.stop_gradient((args, lower, upper))
    rising = function(frozen, lower) < 0
    exists = rising != (function(frozen, upper) < 0)

    def halve(_: Any, bounds: tuple[Values, Values]) -> tuple[Values, Values]:
        middle = (bounds[0] + bounds[1]) / 2
        before = (function(frozen, middle) < 0) == rising
        return jnp.where(before, middle, bounds[0]), jnp.where(before, bounds[1], middle)

    bounds = jax.lax.fori_loop(0, jnp.finfo(lower.dtype).nmant + 4, halve, (lower, upper))

    def newton(x: Values, _: Any) -> tuple[Values, None]:
        value, slope = jax.jvp(lambda x: function(args, x), (x,), (jnp.ones_like(x),))
        step = value / jnp.where(slope == 0, jnp.ones_like(slope), slope)
        return x - jnp.clip(step, -0.01, 0.01), None

    x, _ = jax.lax.scan(newton, jax.lax.stop_gradient((bounds[0] + bounds[1]) / 2), None, length=2)
    return jnp.where(exists, x, jnp.nan)
