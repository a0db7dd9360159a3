"""Common white noise inside the kick, from random numbers that depend on key, lane and step alone.

    d(t/τ): dv = (…) + √(2D) dW        one step: v += ½h f + √(Dh) ξ₁;  exact Möbius map over h;  v += ½h f + √(Dh) ξ₂

Weak order 2, R > 0 at any step. ξ₁ and ξ₂ come from one call of Threefry-2x32 (Salmon et al. 2011; the generator of
`jax.random`) at the counter (step, 0) under the lane's own key, by Box and Muller: the same whatever the blocks, the
threads or the devices, and elementwise, so that they are made in registers inside the time loop.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Values
from ..mechanics.channels import Problem
from ..solvers.operators import apply_map
from .splitting import Stretch, pieces_of
from .synapse_splitting import Moved, entered, half_kick, left

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry(key: tuple[Any, Any], counter: tuple[Any, Any]) -> tuple[Any, Any]:
    """Threefry-2x32 with 20 rounds, elementwise on uint32: two random words from two key words and two counter words."""
    word = lambda n: jnp.uint32(n)
    keys = (*key, key[0] ^ key[1] ^ word(0x1BD11BDA))
    x, y = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            x = x + y
            y = ((y << word(turn)) | (y >> word(32 - turn))) ^ x
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + word(group + 1)
    return x, y


# Coefficients of cos and sin on [−π/2, π/2] (Taylor; the error is below 1e-8 there).
_COS = [(-1.0) ** k / float(np.prod(np.arange(1.0, 2 * k + 1))) for k in range(8)]
_SIN = [(-1.0) ** k / float(np.prod(np.arange(1.0, 2 * k + 2))) for k in range(8)]


def _polynomial(coefficients: list[float], x: Values) -> Values:
    total = jnp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * x + np.asarray(c, x.dtype)
    return total


def two_normals(words: tuple[Any, Any]) -> tuple[Any, Any]:
    """Two independent standard normal float32 numbers from two random words (Box and Muller), by operations that vectorise.

    Single precision in float64 runs too: a word has 32 bits, and a relative error of 1e-7 in ξ is far below any weak error.
    """
    # Signed words convert to floats in one instruction; u lies in (0, 1].
    first, second = (jax.lax.bitcast_convert_type(word, jnp.int32).astype(jnp.float32) for word in words)
    u = (first + np.float32(2.0**31 + 0.5)) * np.float32(2.0**-32)
    smallest = np.float32(2.0**-33)
    radius = jnp.sqrt(np.float32(-2) * jnp.log(jnp.where(u < smallest, smallest, u)))
    # An angle in [−π/2, π/2) and a random sign cover the circle.
    angle = second * np.float32(np.pi * 2.0**-32)
    square = angle * angle
    sign = jnp.where((words[0] & jnp.uint32(1)) == 0, radius, -radius)
    return sign * _polynomial(_COS, square), sign * angle * _polynomial(_SIN, square)


def normals(key: Any, first: Any, second: Any) -> tuple[Any, Any]:
    """Two normal numbers, or arrays of them, at the counter (`first`, `second`) under a lane's `key`."""
    return two_normals(threefry((key[0], key[1]), (first, second)))


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

        def advance(i: Values, z: Moved) -> Moved:
            before, after = (each.astype(z.x.dtype) for each in normals_of_step(problem.key, first, i, self.pairs))
            return step(i, z, amplitude * before, amplitude * after)

        return Stretch(enter, advance, leave)


def no_flow(problem: Problem) -> Any:
    """A noisy path has no smooth flow between its steps: observables are not refined."""
    return lambda t, y, delta: y
