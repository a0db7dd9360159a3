"""Normal random numbers by counters: a key and two numbers give them, whatever came before, in operations that vectorise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Values

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
