"""Common white noise inside the kick, from random numbers that depend on key, lane and step alone.

    d(t/τ): dv = (…) + √(2D) dW        one step: v += ½h f + √(Dh) ξ₁;  exact Möbius map over h;  v += ½h f + √(Dh) ξ₂

Weak order 2, R > 0 at any step. ξ₁ and ξ₂ come from one call of Threefry-2x32 (Salmon et al. 2011; the generator of
`jax.random`) at the counter (step, 0) under the lane's own key, by Box and Muller: the same whatever the blocks, the
threads or the devices, and elementwise, so that they are made in registers inside the time loop (`numerics.counters`).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._types import Values
from ..mechanics.channels import Problem
from ..numerics.counters import normals
from ..solvers.operators import apply_map
from .splitting import Stretch, pieces_of
from .synapse_splitting import Moved, entered, half_kick, left


def normals_of_step(key: Any, first: Any, i: Values, pairs: bool) -> tuple[Any, Any]:
    """The two numbers of step `first` + i of the lane; with `pairs` out of a kernel of their own, which vectorises."""
    count = first.astype(jnp.uint32) + i.astype(jnp.uint32)
    numbers = normals(key, count, jnp.zeros_like(count))
    if pairs:
        both = jax.lax.optimization_barrier(jax.lax.complex(*numbers))
        numbers = both.real, both.imag
    return numbers


class Kicking(NamedTuple):
    """Equal steps with increments of v before and after: `step(i, z, before, after)`; `enter` and `leave` as of `Stretch`,
    `h` in t/τ."""

    enter: Callable[[Any], Moved]
    step: Callable[[Values, Moved, Values, Values], Moved]
    leave: Callable[[Values, Moved], Any]
    h: Values


def kicking(problem: Problem, start: Values, stop: Values, steps: Values) -> Kicking:
    """`steps` equal steps of order 2 from `start` to `stop` under noise of any law."""
    tau, dt, h, mobius, drive, force, rest, _ = pieces_of(problem, start, stop, steps)
    synapse = half_kick(problem, dt) if problem.model.slow_names else None

    def kicked(t: Values, z: Moved) -> Moved:
        """The half kick at frozen rates, and what a synapse delivers meanwhile."""
        if synapse is None:
            return z._replace(v=z.v + h / 2 * force(t, z.x))
        chain, delivered = synapse(z.x, z.synapse)
        push = drive(delivered) / tau
        return Moved(z.x, z.v + (push if problem.stimulus is None else push + h / 2 * rest(t)[0]), chain)

    def step(i: Values, z: Moved, before: Values, after: Values) -> Moved:
        t = start + i * dt
        x, v, chain = kicked(t, z)
        x, v = apply_map(mobius, x, v + before)
        x, v, chain = kicked(t + dt, Moved(x, v, chain))
        return Moved(x, v + after, chain)

    return Kicking(entered(problem), step, left(problem), h)


@dataclasses.dataclass(frozen=True)
class NoisyStretch:
    """Equal steps with noise, for `Uniform`; step k of the lane has the counter `first` + k.

    With `pairs` (on a CPU) the random numbers of a step come out of a kernel of their own, which vectorises in 32 bits.
    """

    pairs: bool

    def __call__(self, problem: Problem, start: Values, stop: Values, steps: Values, first: Any) -> Stretch:
        enter, step, leave, h = kicking(problem, start, stop, steps)
        noise = problem.noise
        assert noise is not None and problem.key is not None
        amplitude = jnp.sqrt(noise * h)
        key = problem.key[0], problem.key[1]  # outside the loop: a kernel has no slices

        def advance(i: Values, z: Moved) -> Moved:
            before, after = (each.astype(z.x.dtype) for each in normals_of_step(key, first, i, self.pairs))
            return step(i, z, amplitude * before, amplitude * after)

        return Stretch(enter, advance, leave)


def no_flow(problem: Problem) -> Any:
    """A noisy path has no smooth flow between its steps: observables are not refined."""
    return lambda t, y, delta: y
