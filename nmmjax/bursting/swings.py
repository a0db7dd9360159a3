"""Swings from one turning point of the firing rate to the next by energy, in a landscape that moves meanwhile.

Between two turning points (q̇ = 0) the path R(θ) = c − h cos θ is known but for its far end; the kinetic energy along it,
K = ½ q̇² = S (h sin θ)²/R with S = π² on an ellipse (Δ = J = 0), obeys

    dK/dθ = −(∂V/∂R) h sin θ − 2 Γ K dt/dθ,        dt/dθ = 1/(2 R √S),        ds/dθ = g(q, s) dt/dθ

force, dissipated heat, time and slow variables: quadratures on a few nodes, made consistent by iterating. No equation is
solved in time. Small swings, whose well drifts faster than they ring (the last spikes of a burst), are followed in time
around the well instead, as a forced harmonic oscillation (`small_swing`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Mask, Values
from ..numerics.loops import choose, scan_while
from ..numerics.roots import newton_between, with_slope
from .collocation import path
from .moving import Moving, Slow

# Swings smaller than this relative to q are followed as a forced harmonic oscillation.
SMALL = 0.075
# Nodes and passes of a half cycle, of a small swing: as many as a burst cycle needs, and for single bursts.
CYCLE, CAREFUL = ((6, 4), (10, 3)), ((12, 8), (20, 8))


class Turn(NamedTuple):
    """A turning point: q, slow variables, time since the last one (unit of τ), energy lost on the way, the path's last
    correction of q (an error estimate), and whether it exists."""

    q: Values
    s: Slow
    time: Values
    heat: Values
    change: Values
    exists: Mask


def half_cycle(
    land: Moving, q0: Values, s0: Slow, up: Values, well: Values, nodes: int, passes: int, relax: float = 0.85
) -> Turn:
    """The turning point after that at (q0, s0), around the `well`; `up` is +1 from trough to peak of the rate, −1 back."""
    on = path(nodes, q0.dtype)
    zero = jnp.zeros_like(on.sin)
    rate, omega = land.oscillation(well, s0)
    R0, R_well = 2 / q0**2, 2 / well**2
    R1 = R_well * jnp.exp(up * 2 * jnp.abs(jnp.log(well / q0)) * jnp.exp(-rate * jnp.pi / omega))
    S = zero + (omega**2 + rate**2) / (4 * R_well**2)
    s = jax.tree.map(lambda each: zero + each, s0)
    friction = 2 * land.model.Delta / np.pi  # Γ = 2Δ/(πR)

    def improve(path_so_far: tuple, share: Values) -> tuple[tuple, None]:
        R1, S, s, *_ = path_so_far
        half = (R1 - R0) / 2
        R = (R0 + R1) / 2 - half * on.cos
        push = land.pull(R, s) * half
        heat = friction * (half * on.sin) ** 2 * jnp.sqrt(S) / R**3
        excess = on.total_sin(push) - on.total(heat)  # kinetic energy left at the far end: it must vanish
        K = on.upto_sin(push) - on.upto(heat) - excess * (1 - on.cos) / 2
        S = (1 - share) * S + share * jnp.maximum(K * R / (half * on.sin) ** 2, 0.05 * S)
        pace = 1 / (2 * R * jnp.sqrt(S))
        change = -excess / land.pull(R1, jax.tree.map(lambda each: each[-1], s))
        s = {name: s0[name] + on.upto(each * pace) for name, each in land.rates_at(R, s).items()}
        return (jnp.maximum(R1 + share * change, 0.05 * R1), S, s, R, pace, K, heat, change), None

    shares = jnp.asarray([1.0, *[relax] * (passes - 1)], q0.dtype)
    start = (R1, S, s, zero, zero, zero, zero, R1)
    (R1, _, s, R, pace, K, heat, change), _ = jax.lax.scan(improve, start, shares)
    s1 = {name: s0[name] + on.total(each * pace) for name, each in land.rates_at(R, s).items()}
    exists = (up * land.pull(R1, s1) < 0) & (jnp.abs(change) < 0.05 * R1) & (jnp.min(K) > 0)
    q1 = jnp.sqrt(2 / R1)
    return Turn(q1, s1, on.total(pace), on.total(heat), jnp.abs(change) * q1 / (2 * R1), exists)


def small_swing(
    land: Moving, q0: Values, s0: Slow, up: Values, well: Values, nodes: int, passes: int, window: float = 1.75
) -> Turn:
    """The same for a small swing: variation of constants around the well at s0, the rest of the force as a perturbation.

    Does not exist if the drift of the well wins over the ringing: ṙ has no further zero, the spikes have ended.
    """
    on = path(nodes, q0.dtype)
    rate, omega = land.oscillation(well, s0)
    square = omega**2 + rate**2
    length = window * jnp.pi / omega
    angle = window * np.pi * (1 - on.cos) / 2  # ω t, the same numbers for every swing
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    t = angle / omega
    grow = jnp.exp(rate * t)
    a = q0 - well
    q = well + a / grow * (cos + rate / omega * sin)
    speed = -a / grow * sin * square / omega
    s = jax.tree.map(lambda each: jnp.zeros_like(t) + each, s0)

    def upto(f: Values) -> Values:
        return length / 2 * on.upto_sin(f)

    def acceleration(q: Values, speed: Values, s: Slow) -> Values:
        return land.force(q, s) - land.damping(q) * speed

    def improve(path_so_far: tuple, _: None) -> tuple[tuple, None]:
        q, speed, s, _ = path_so_far
        s = {name: s0[name] + upto(each) for name, each in land.rates(q, s).items()}
        rest = acceleration(q, speed, s) + 2 * rate * speed + square * (q - well)
        even = a - upto(grow * sin * rest) / omega
        odd = rate * a / omega + upto(grow * cos * rest) / omega
        better = well + (even * cos + odd * sin) / grow
        speed = ((omega * odd - rate * even) * cos - (omega * even + rate * odd) * sin) / grow
        return (better, speed, s, jnp.abs(better - q)), None

    (q, speed, s, change), _ = jax.lax.scan(improve, (q, speed, s, q), None, length=passes)
    heat = land.damping(q) * speed**2
    return _first_return(land, up, (t, q, s, speed, acceleration(q, speed, s)), upto(heat), change)


def _first_return(land: Moving, up: Values, moves: tuple, heat: Values, change: Values) -> Turn:
    """The first zero of the speed after the start, by cubics between the nodes around it."""
    t, q, s, speed, pull = moves
    turned = (up * speed[:-1] < 0) & (up * speed[1:] >= 0)
    left = jnp.argmax(turned)
    rates = land.rates(q, s)
    step = t[left + 1] - t[left]

    def ends(values: Values, slopes: Values) -> tuple[Values, ...]:
        return values[left], values[left + 1], slopes[left] * step, slopes[left + 1] * step

    y0, y1, d0, d1 = ends(speed, pull)
    # Between bounds: where a turn is about to vanish, the cubic hardly crosses zero, and a step along its slope would leave
    # for anywhere.
    zero, one = jnp.zeros_like(y0), jnp.ones_like(y0)
    share = jnp.where(jnp.any(turned), y0 / jnp.where(y0 == y1, one, y0 - y1), zero)
    rising = lambda x: with_slope(lambda x: up * hermite(x, y0, y1, d0, d1), x)
    share = newton_between(rising, zero, one, share, 4, unrolled=True)
    q1 = hermite(share, *ends(q, speed))
    s1 = {name: hermite(share, *ends(s[name], rates[name])) for name in s}
    lost = heat[left] + share * (heat[left + 1] - heat[left])
    return Turn(q1, s1, t[left] + share * step, lost, change[left], jnp.any(turned))


def hermite(x: Values, y0: Values, y1: Values, d0: Values, d1: Values) -> Values:
    """The cubic on [0, 1] with these values and slopes at its ends."""
    return y0 * (1 + 2 * x) * (1 - x) ** 2 + d0 * x * (1 - x) ** 2 + y1 * x**2 * (3 - 2 * x) + d1 * x**2 * (x - 1)


def follow_turns(land: Moving, first: Turn, most: int, care: tuple[tuple[int, int], tuple[int, int]]) -> Turn:
    """The turning points from a first peak on, until the ringing ends or `most` peaks are found; leaves (2 · most − 1,).

    Half cycles as long as swings are large, then small swings, with the nodes and passes that `care` gives. `time` is that
    since the first one's own start.
    """
    length = 2 * (most - 1)

    def loop(
        move: Callable[..., Turn], care: tuple[int, int], least: float, start: tuple[Turn, Values]
    ) -> tuple[tuple[Turn, Values], Turn]:
        def step(carry: tuple[Turn, Values, Mask], _: None) -> tuple[tuple[Turn, Values, Mask], Turn]:
            last, up, going = carry
            well = land.well(land.high_well(last.s), last.s)
            found = move(land, last.q, last.s, up, well, *care)
            going = going & found.exists & (jnp.abs(last.q - well) > least * well)
            found = found._replace(exists=going, time=last.time + found.time)
            return (choose(going, found, last), jnp.where(going, -up, up), going), found

        (last, up, _), found = scan_while(lambda carry: carry[2], step, (*start, first.exists), length, 2)
        return (last, up), found

    start, large = loop(half_cycle, care[0], SMALL, (first, -jnp.ones_like(first.q)))
    _, small = loop(small_swing, care[1], 0.0, start)
    count = jnp.sum(large.exists)
    place = jnp.arange(length)

    def join(begin, a, b) -> Any:
        later = b[jnp.clip(place - count, 0, b.shape[0] - 1)]
        return jnp.concatenate([begin[None], jnp.where(place < count, a[:length], later)])

    return jax.tree.map(join, first, large, small)
