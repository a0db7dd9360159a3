"""Layer 4: between bursts a population follows its slow variables without oscillating, past one fold and past the other.

The fast motion q̈ = −Γ q̇ + F then reduces to a flow of first order, along the slower exponent where the fixed point is
a node or saddle and along the decay of a focus,

    q̇ = (F − κ Σ(∂F/∂s) ṡ)/G,    node: G = (Γ + √(Γ² − 4k))/2, κ = 1/G;    focus: G = 2k/Γ, κ = Γ/k − 2/Γ,    k = −∂F/∂q

G, κ and so the flow are continuous through node and focus and through folds (k = 0), so the delayed passage of a fold
needs nothing of its own. Steps are those of an exponential Rosenbrock method, short only where q moves fast.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._types import Mask, Values
from .half_cycle import hermite
from .moving import Moving, Slow, choose, scan_while

# Longest step in units of the fastest slow time constant, longest relative move of q in a step, and the most steps.
_STEP, _MOVE, _STEPS = 0.15, 0.125, 96
_FURTHEST = 0.35


class Onset(NamedTuple):
    """Where the next burst begins: q of the cusp rate, the speed of crossing it, slow variables, time since the last
    burst's end, the largest q on the way, and whether there is a next burst."""

    q: Values
    speed: Values
    s: Slow
    time: Values
    deepest: Values
    exists: Mask


def reduced_speed(land: Moving, q: Values, s: Slow) -> tuple[Values, Values]:
    """q̇ of the reduced flow, and its exponent ∂q̇/∂q at a fixed point."""
    Gamma, stiffness = land.damping(q), land.stiffness(q, s)
    square = Gamma**2 - 4 * stiffness
    node = square > 0
    G = jnp.where(node, (Gamma + jnp.sqrt(jnp.where(node, square, jnp.ones_like(square)))) / 2, 2 * stiffness / Gamma)
    above = jnp.where(node, jnp.ones_like(stiffness), stiffness)  # k > 0 at a focus
    kappa = jnp.where(node, 1 / G, Gamma / above - 2 / Gamma)
    return (land.force(q, s) - kappa * land.drift(q, s)) / G, -stiffness / G


def _phi(z: Values) -> tuple[Values, Values]:
    """(e^z − 1)/z and (e^z − 1 − z)/z², smooth at 0."""
    small = jnp.abs(z) < 1e-2
    safe = jnp.where(small, jnp.ones_like(z), z)
    first = jnp.where(small, 1 + z / 2 + z**2 / 6 + z**3 / 24, jnp.expm1(safe) / safe)
    second = jnp.where(small, 0.5 + z / 6 + z**2 / 24, (jnp.expm1(safe) - safe) / safe**2)
    return first, second


def _follow(land: Moving, s: Slow, q0: Values, q1: Values, h: Values) -> Slow:
    """Slow variables after h while q goes straight from q0 to q1 (classical Runge–Kutta)."""

    def after(k: Slow, share: float) -> Slow:
        return {name: s[name] + share * h * k[name] for name in s}

    middle = (q0 + q1) / 2
    k1 = land.rates(q0, s)
    k2 = land.rates(middle, after(k1, 0.5))
    k3 = land.rates(middle, after(k2, 0.5))
    k4 = land.rates(q1, after(k3, 1.0))
    return {n: s[n] + h / 6 * (k1[n] + 2 * k2[n] + 2 * k3[n] + k4[n]) for n in s}


def _step(land: Moving, q: Values, s: Slow, h: Values, speed: Values, exponent: Values) -> tuple[Values, Slow]:
    first, second = _phi(exponent * h)
    low, high = (1 - _FURTHEST) * q, (1 + _FURTHEST) * q
    ahead = jnp.clip(q + h * first * speed, low, high)
    speed_ahead, _ = reduced_speed(land, ahead, _follow(land, s, q, ahead, h))
    q1 = jnp.clip(ahead + h * second * (speed_ahead - speed - exponent * (ahead - q)), low, high)
    return q1, _follow(land, s, q, q1, h)


def quiescence(land: Moving, q0: Values, s0: Slow, fast: Values, low: Mask) -> Onset:
    """From the end of a burst at (q0, s0) to the onset of the next one, the upward crossing of the cusp rate.

    `fast`: the shortest time constant of the slow variables in units of τ; `low`: whether q0 is below the cusp rate already.
    """
    target, longest = land.cusp(), _STEP * fast

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        q, s, t, deepest, was_low, found, before = carry
        speed, exponent = reduced_speed(land, q, s)
        h = 1 / (1 / longest + jnp.abs(speed) / (_MOVE * q))
        q1, s1 = _step(land, q, s, h, speed, exponent)
        crosses = was_low & (q1 <= target) & ~found
        before = choose(crosses, (q, s, t, q1, h, speed), before)
        found = found | crosses
        q, s, t = choose(found, (q, s, t), (q1, s1, t + h))
        return (q, s, t, jnp.maximum(deepest, q), was_low | (q > target), found, before), None

    zero, no = jnp.zeros_like(q0), jnp.zeros_like(low)
    start = (q0, s0, zero, q0, low, no, (target + 1, s0, zero, target - 1, zero + 1, zero - 1))
    end, _ = scan_while(lambda carry: ~carry[5], step, start, _STEPS, 8)
    _, _, _, deepest, _, found, (q, s, t, q1, h, speed) = end
    speed, s, share = _crossing(land, q, s, q1, h, speed, target)
    return Onset(target, speed, s, t + share, deepest, found)


def _crossing(
    land: Moving, q0: Values, s0: Slow, q1: Values, h: Values, speed0: Values, target: Values
) -> tuple[Values, Slow, Values]:
    """Speed, slow variables and time where a step from q0 to q1 crosses `target`, by the cubic between its ends."""
    speed1, _ = reduced_speed(land, q1, _follow(land, s0, q0, q1, h))
    gap = q1 - q0
    share = jnp.clip((target - q0) / jnp.where(gap == 0, jnp.ones_like(gap), gap), 0, 1)
    for _ in range(3):
        value, slope = jax.jvp(lambda x: hermite(x, q0, q1, speed0 * h, speed1 * h), (share,), (jnp.ones_like(share),))
        share = jnp.clip(share - (value - target) / jnp.where(slope == 0, jnp.ones_like(slope), slope), 0, 1)
    s = _follow(land, s0, q0, target, share * h)
    return reduced_speed(land, target, s)[0], s, share * h
