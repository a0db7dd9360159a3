"""Special functions of a complex argument that JAX lacks."""

import jax.numpy as jnp
import numpy as np

from .._types import ComplexValues

_SHIFT = 8
# B_2k/(2k), of Stirling's series.
_STIRLING = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)


def digamma(z: ComplexValues) -> ComplexValues:
    """ψ(z) for Re z > 0, by recurrence to Re z > 8 and Stirling's series: 1e-14, with all derivatives."""
    far = z + _SHIFT
    square = 1 / far**2
    series = jnp.zeros_like(z)
    for each in _STIRLING[::-1]:
        series = square * (series + each)
    steps = jnp.arange(_SHIFT, dtype=z.real.dtype).astype(z.dtype).reshape(-1, *(1 for _ in z.shape))
    return jnp.log(far) - 1 / (2 * far) - series - jnp.sum(1 / (z[None] + steps), axis=0)


def even_digamma(z: ComplexValues) -> ComplexValues:
    """ψ(1 + z) + ψ(1 − z), even in z, with poles at z = ±1, ±2, …; exact next to 0 too."""
    z = jnp.where(z.real < 0, -z, z)
    small = z.real < 0.5
    right, left = digamma(jnp.stack([1 + z, 1 - jnp.where(small, z, jnp.zeros_like(z))]))
    # ψ(1 − z) = ψ(1 + z) − 1/z + π cot πz, with the cotangent by what decays, in the upper half plane.
    far = jnp.where(small, jnp.ones_like(z) / 2, z)
    upper = far.imag >= 0
    q = jnp.exp(2j * np.pi * jnp.where(upper, far, jnp.conj(far)))
    cotangent = -1j * (1 + q) / (1 - q)
    cotangent = jnp.where(upper, cotangent, jnp.conj(cotangent))
    return right + jnp.where(small, left, right - 1 / far + np.pi * cotangent)
