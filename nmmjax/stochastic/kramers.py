"""Kramers' formulas for the escape of one population over its pass, in units of t/τ."""

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Scalar, Values
from ..models.mpr import MPR
from ..numerics.quadrature import midpoints
from ..numerics.roots import solve_between


def kramers_rate(model: MPR, q_start: Scalar, q_pass: Scalar, T: Scalar) -> Scalar:
    """[√(Γ_b²/4 + ω_b²) − Γ_b/2]/ω_b · ω₀/2π · exp(−ΔU/T), ω² = |U″|, Γ_b the damping at the pass."""
    curvature = jax.vmap(jax.grad(jax.grad(model.potential)))(jnp.stack([q_start, q_pass]))
    well, top = jnp.sqrt(jnp.maximum(curvature[0], 0)), jnp.sqrt(jnp.maximum(-curvature[1], 0))
    half = model.damping(q_pass) / 2
    transmission = top / (jnp.sqrt(half**2 + top**2) + half)
    height = model.potential(q_pass) - model.potential(q_start)
    return transmission * well / (2 * jnp.pi) * jnp.exp(-height / T)


def loss_at_pass(model: MPR, q_start: Scalar, q_pass: Scalar) -> Scalar:
    """∮ Γ q̇ dq at the energy of the pass, over the well of `q_start`: what one round trip costs."""
    turn = turning_point(model, q_start, q_pass)
    theta = jnp.asarray(midpoints(256), turn.dtype)
    center, half = (turn + q_pass) / 2, (turn - q_pass) / 2
    q = center - half * jnp.cos(theta)
    speed = jnp.sqrt(2 * jnp.maximum(model.potential(q_pass) - model.potential(q), 0))
    return 2 * jnp.sum(model.damping(q) * speed * jnp.sin(theta)) * jnp.abs(half) * np.pi / 256


def turning_point(model: MPR, q_start: Scalar, q_pass: Scalar) -> Scalar:
    """q beyond the minimum at which U is as high as at the pass; differentiable."""
    # In ln q from the minimum to far away, U grows on the way.
    bottom, outward = jax.lax.stop_gradient((jnp.log(q_start), jnp.sign(q_start - q_pass)))
    excess = lambda args, x: args[0].potential(jnp.exp(x)) - args[0].potential(args[1])
    return jnp.exp(solve_between(excess, (model, q_pass), bottom, bottom + outward * float(np.log(1e4))))


def depopulation(loss: Values) -> Values:
    """Υ(δ) = exp[(1/2π) ∫ ln(1 − e^{−δ(λ² + ¼)}) dλ/(λ² + ¼)], which tends to δ for weak and to 1 for strong damping.

    δ is the loss of one round trip at the pass over T. Source: Melnikov & Meshkov, J. Chem. Phys. 85:1018 (1986).
    """
    theta = jnp.asarray(midpoints(400) - np.pi / 2, loss.dtype)  # λ = ½ tan θ
    exponent = jnp.multiply.outer(loss, 1 / (4 * jnp.cos(theta) ** 2))
    return jnp.exp(jnp.mean(jnp.log(-jnp.expm1(-jnp.maximum(exponent, 1e-30))), axis=-1))


def turnover_factor(loss: Scalar, other: Scalar) -> Scalar:
    """Υ(δ₁) Υ(δ₂)/Υ(δ₁ + δ₂): particles that come back from the other well before they have lost the energy to stay."""
    each = depopulation(jnp.stack([loss, other, loss + other]))
    return each[0] * each[1] / each[2]
