"""The first spike of a burst from the state at its onset, by energy.

A burst begins where the rate crosses the cusp rate upwards: there is no turning point before it, the population arrives with
kinetic energy K. K is marched in q from there to the well,

    dK/dq = F + Γ √(2K),    dt/dq = −1/√(2K),    ds/dq = g(q, s) dt/dq

in a few Runge–Kutta steps; from the well to the peak q₁ it is a quadrature in u, q = q₁ + h (1 − u)², as in a half cycle.
"""

from typing import Any

import jax
import jax.numpy as jnp

from .._types import Values
from ..numerics.loops import runge_kutta
from .collocation import path
from .moving import Moving, Slow
from .swings import Turn

_LEAST = 1e-9


def first_peak(land: Moving, q0: Values, speed: Values, s0: Slow, steps: int = 6) -> Turn:
    """The peak after the onset at (q0, s0), crossed with dq/d(t/τ) = `speed` < 0."""
    well = land.well(land.high_well(s0), s0, 4)
    dq = (well - q0) / steps

    def slopes(q: Values, y) -> Any:
        fast = jnp.sqrt(2 * jnp.maximum(y[0], _LEAST))
        heat = land.damping(q) * fast
        return (land.force(q, y[1]) + heat, {n: -r / fast for n, r in land.rates(q, y[1]).items()}, -1 / fast, -heat)

    def step(y, i: Values) -> tuple[Any, None]:
        return runge_kutta(lambda share, y: slopes(q0 + (i + share) * dq, y), y, dq), None

    zero = jnp.zeros_like(q0)
    (K, s, time, heat), _ = jax.lax.scan(step, (speed**2 / 2, s0, zero, zero), jnp.arange(steps, dtype=q0.dtype))
    last = _quarter_cycle(land, well, jnp.maximum(K, _LEAST), s)
    return last._replace(time=last.time + time, heat=last.heat + heat, exists=last.exists & (K > 0) & (speed < 0))


def _quarter_cycle(land: Moving, q0: Values, K0: Values, s0: Slow, nodes: int = 8, passes: int = 4) -> Turn:
    """Quarter of a cycle from the well, passed with kinetic energy K0, up to the peak of the rate."""
    on = path(nodes, q0.dtype)
    u = (1 - on.cos) / 2
    rate, omega = land.oscillation(q0, s0)
    q1 = q0 - 0.8 * jnp.sqrt(2 * K0) / omega * jnp.exp(-rate * jnp.pi / omega / 2)
    q1 = jnp.maximum(q1, 0.1 * q0)
    s = jax.tree.map(lambda each: each + 0 * u, s0)
    S = K0 * (1 - u) + u * jnp.maximum(land.force(q1, s0) * (q0 - q1), 0.1 * K0)

    def improve(path_so_far: tuple, share: Values) -> tuple[tuple, None]:
        q1, S, s, *_ = path_so_far
        h = q0 - q1
        q = q1 + h * (1 - u) ** 2
        push = -land.force(q, s) * h * (1 - u)
        heat = land.damping(q) * (1 - u) ** 2 * h * jnp.sqrt(2 * S)
        excess = K0 + on.total_sin(push - heat)
        K = K0 + on.upto_sin(push - heat) - excess * u
        S = (1 - share) * S + share * jnp.maximum(K / (1 - u) ** 2, 0.1 * S)
        change = -excess / land.force(q1, jax.tree.map(lambda each: each[-1], s))
        q1 = q1 + share * change
        pace = (q0 - q1) / jnp.sqrt(2 * S)
        s = {name: s0[name] + on.upto_sin(each * pace) for name, each in land.rates(q, s).items()}
        return (q1, S, s, q, pace, heat, change), None

    shares = jnp.asarray([1.0, *[0.8] * (passes - 1)], q0.dtype)
    (q1, S, s, q, pace, heat, change), _ = jax.lax.scan(improve, (q1, S, s, u, u, u, q1), shares)
    s1 = {name: s0[name] + on.total_sin(each * pace) for name, each in land.rates(q, s).items()}
    exists = (land.force(q1, s1) > 0) & (jnp.abs(change) < 0.025 * q1) & (q1 < q0) & (q1 > 0)
    return Turn(q1, s1, on.total_sin(pace), on.total_sin(heat), jnp.abs(change), exists)
