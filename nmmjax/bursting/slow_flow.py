"""Slow flow from the last spike of a burst to the onset of the next, without oscillation, in a few dozen steps.

Down (`descent`): the population leans on a well that drifts, until the well ends (fold) or the swing passes the saddle. Each
step is the exact damped motion in the local landscape, linear in q and in time,

    ÿ + Γ ẏ + k y = F + b t,   y = q̇₀ G + F̃ ∫G + b ∫G(t′)(t − t′) dt′,   G = e^(−Γt/2) sinh(√z t)/√z,  z = Γ²/4 − k

with k = −∂F/∂q + Γ′ q̇, b = Σ(∂F/∂s) ṡ: node, focus and the fold between well and saddle are all the same to it.

Up (`ascent`): below the cusp rate there is no focus, and the population follows its slow variables along the slower
exponent,

    q̇ = (F − κ Σ(∂F/∂s) ṡ)/G,    G = (Γ + √(Γ² − 4k))/2,  κ = 1/G

also past the fold where rest ends, so that this delayed passage needs nothing of its own. Steps are those of an exponential
Rosenbrock method. Both take short steps only where q moves fast.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._types import Mask, Values
from ..numerics.loops import choose, runge_kutta, scan_while
from ..numerics.quadrature import nodes_between
from ..numerics.roots import newton, ratio, with_slope
from .moving import Moving, Slow
from .swings import Turn, hermite

# Longest steps in units of the fastest slow time constant, longest relative move of q in a step, and the most steps.
_DESCENT, _ASCENT, _MOVE, _STEPS = 0.075, 0.15, 0.125, 96
_FURTHEST = 0.35
_GAUSS = 4  # nodes in a step


class Onset(NamedTuple):
    """Onset of the next burst: q of the cusp rate, the speed of crossing it, slow variables, time since the last burst's
    end, the largest q on the way, and whether there is a next burst."""

    q: Values
    speed: Values
    s: Slow
    time: Values
    deepest: Values
    exists: Mask


def _follow(land: Moving, s: Slow, q0: Values, q1: Values, h: Values) -> Slow:
    """Slow variables after h while q goes straight from q0 to q1."""
    return runge_kutta(lambda share, s: land.rates(q0 + share * (q1 - q0), s), s, h)


def _arrival(q0: Values, q1: Values, d0: Values, d1: Values, target: Values) -> Values:
    """The share of a step from q0 to q1, with slopes d0 and d1 per step, at which the cubic between them is `target`."""
    gap = q1 - q0
    share = jnp.clip(ratio(target - q0, gap), 0, 1)
    move = lambda x: ratio(*with_slope(lambda x: hermite(x, q0, q1, d0, d1) - target, x))
    return newton(move, share, 3, keep=lambda new, _: jnp.clip(new, 0, 1), unrolled=True)


def _response(rate: Values, square: Values, t: Values) -> tuple[Values, Values]:
    """G(t) and dG/dt for Γ/2 = `rate` and z = `square`, smooth where z changes sign."""
    z = square * t**2
    small = jnp.abs(z) < 1e-2
    up, down = (z > 0) & ~small, (z < 0) & ~small
    root_up, root_down = (jnp.sqrt(jnp.where(each, jnp.abs(z), jnp.ones_like(z))) for each in (up, down))
    grow, fade = jnp.exp(root_up - rate * t), jnp.exp(-root_up - rate * t)
    decay = jnp.exp(-rate * t)
    cosh = jnp.where(up, (grow + fade) / 2, decay * jnp.where(down, jnp.cos(root_down), 1 + z / 2 + z**2 / 24 + z**3 / 720))
    series = decay * (1 + z / 6 + z**2 / 120 + z**3 / 5040)
    sinhc = jnp.where(up, (grow - fade) / (2 * root_up), jnp.where(down, decay * jnp.sin(root_down) / root_down, series))
    G = t * sinhc
    return G, cosh - rate * G


def _lean(land: Moving, q: Values, speed: Values, s: Slow, h: Values, pull: Values) -> tuple[Values, Values, Slow]:
    """q, its speed and the slow variables after h."""
    Gamma, steeper = jax.jvp(land.damping, (q,), (jnp.ones_like(q),))
    k = land.stiffness(q, s) + steeper * speed
    rate, drive, drift = Gamma / 2, pull + Gamma * speed, land.drift(q, s)
    t, weights = nodes_between(jnp.zeros_like(h), h, _GAUSS)
    inner, _ = jax.vmap(lambda t: _response(rate, rate**2 - k, t))(t)
    G, slope = _response(rate, rate**2 - k, h)
    whole, early = jnp.sum(weights * inner), jnp.sum(weights * inner * (h - t))
    low, high = (1 - _FURTHEST) * q, (1 + _FURTHEST) * q
    q1 = jnp.clip(q + speed * G + drive * whole + drift * early, low, high)
    return q1, speed * slope + drive * G + drift * whole, _follow(land, s, q, q1, h)


def descent(land: Moving, last: Turn, fast: Values) -> tuple[Values, Slow, Values, Mask]:
    """Descent from the last turning point of a burst to the cusp rate: q, slow variables, time and whether it gets there."""
    target, longest = land.cusp(), _DESCENT * fast

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        q, speed, s, t, found, before = carry
        pull = land.force(q, s) - land.damping(q) * speed
        move = _MOVE * q
        h = 1 / (1 / longest + jnp.abs(speed) / move + jnp.sqrt(jnp.abs(pull) / (4 * move) + 1e-12))
        q1, speed1, s1 = _lean(land, q, speed, s, h, pull)
        crosses = (q1 >= target) & ~found
        before = choose(crosses, (q, speed, s, t, q1, speed1, h), before)
        found = found | crosses
        q, speed, s, t = choose(found, (q, speed, s, t), (q1, speed1, s1, t + h))
        return (q, speed, s, t, found, before), None

    zero = jnp.zeros_like(last.q)
    start = (target - 1, zero + 1, last.s, zero, target + 1, zero + 1, zero + 1)
    end, _ = scan_while(lambda carry: ~carry[4], step, (last.q, zero, last.s, zero, ~last.exists, start), _STEPS, 8)
    q, speed, s, t, q1, speed1, h = end[5]
    share = _arrival(q, q1, speed * h, speed1 * h, target)
    return target, _follow(land, s, q, target, share * h), t + share * h, end[4] & last.exists


def reduced_speed(land: Moving, q: Values, s: Slow) -> tuple[Values, Values]:
    """q̇ of the flow along the slow variables, and its exponent ∂q̇/∂q at a fixed point.

    At a focus (Γ² < 4k) it goes on smoothly with G = Γ/2, which only states that are left at once meet.
    """
    Gamma, stiffness = land.damping(q), land.stiffness(q, s)
    square = Gamma**2 - 4 * stiffness
    node = square > 0
    G = (Gamma + jnp.where(node, jnp.sqrt(jnp.where(node, square, jnp.ones_like(square))), 0)) / 2
    return (land.force(q, s) - land.drift(q, s) / G) / G, -stiffness / G


def _phi(z: Values) -> tuple[Values, Values]:
    """(e^z − 1)/z and (e^z − 1 − z)/z², smooth at 0."""
    small = jnp.abs(z) < 1e-2
    safe = jnp.where(small, jnp.ones_like(z), z)
    first = jnp.where(small, 1 + z / 2 + z**2 / 6 + z**3 / 24, jnp.expm1(safe) / safe)
    second = jnp.where(small, 0.5 + z / 6 + z**2 / 24, (jnp.expm1(safe) - safe) / safe**2)
    return first, second


def _glide(land: Moving, q: Values, s: Slow, h: Values, speed: Values, exponent: Values) -> tuple[Values, Slow]:
    first, second = _phi(exponent * h)
    low, high = (1 - _FURTHEST) * q, (1 + _FURTHEST) * q
    ahead = jnp.clip(q + h * first * speed, low, high)
    speed_ahead, _ = reduced_speed(land, ahead, _follow(land, s, q, ahead, h))
    q1 = jnp.clip(ahead + h * second * (speed_ahead - speed - exponent * (ahead - q)), low, high)
    return q1, _follow(land, s, q, q1, h)


def ascent(land: Moving, q0: Values, s0: Slow, fast: Values, going: Mask) -> Onset:
    """Ascent from a state (q0, s0) below the cusp rate through rest up to it, the onset of the next burst; none unless
    `going`.

    `fast`: the shortest time constant of the slow variables in units of τ.
    """
    target, longest = land.cusp(), _ASCENT * fast
    below = 1.02 * target  # the start lies on the target; it counts as left from here on

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        q, s, t, deepest, left, found, before = carry
        speed, exponent = reduced_speed(land, q, s)
        h = 1 / (1 / longest + jnp.abs(speed) / (_MOVE * q))
        q1, s1 = _glide(land, q, s, h, speed, exponent)
        crosses = left & (q1 <= target) & ~found
        before = choose(crosses, (q, s, t, q1, h, speed), before)
        found = found | crosses
        q, s, t = choose(found, (q, s, t), (q1, s1, t + h))
        return (q, s, t, jnp.maximum(deepest, q), left | (q > below), found, before), None

    zero, no = jnp.zeros_like(q0), jnp.zeros_like(going)
    start = (target + 1, s0, zero, target - 1, zero + 1, zero - 1)
    end, _ = scan_while(lambda carry: ~carry[5], step, (q0, s0, zero, q0, no, ~going, start), _STEPS, 8)
    deepest, found, (q, s, t, q1, h, speed) = end[3], end[5] & going, end[6]
    speed1, _ = reduced_speed(land, q1, _follow(land, s, q, q1, h))
    share = _arrival(q, q1, speed * h, speed1 * h, target)
    s = _follow(land, s, q, target, share * h)
    return Onset(target, reduced_speed(land, target, s)[0], s, t + share * h, deepest, found)
