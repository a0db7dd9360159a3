"""Special functions that JAX lacks: digammas of a complex argument; cosine and sine together."""

import jax
import jax.numpy as jnp
import numpy as np

from .._types import ComplexValues, Values

_SHIFT = 8
# B_2k/(2k), of Stirling's series.
_STIRLING = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
_QUARTER = 1.57079632673412561417, 6.07710050650619224932e-11  # π/2, the first part with 33 bits
# Series of cosine and sine up to π/4 by powers of x², the terms beyond 1 − x²/2 and x (Sun's fdlibm).
_COS = (-1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07, 2.48015872894767294178e-05)
_COS = (*_COS, -1.38888888888741095749e-03, 4.16666666666666019037e-02)
_SIN = (1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06, -1.98412698298579493134e-04)
_SIN = (*_SIN, 8.33333333332248946124e-03, -1.66666666666666324348e-01)


def digamma(z: ComplexValues) -> ComplexValues:
    """ψ(z) for Re z > 0, by recurrence to Re z > 8 and Stirling's series: 1e-14, with all derivatives."""
    far = z + _SHIFT
    square = 1 / far**2
    series = jnp.zeros_like(z)
    for each in _STIRLING[::-1]:
        series = square * (series + each)
    steps = jnp.arange(_SHIFT, dtype=z.real.dtype).astype(z.dtype).reshape(-1, *(1 for _ in z.shape))
    return jnp.log(far) - 1 / (2 * far) - series - jnp.sum(1 / (z[None] + steps), axis=0)


@jax.custom_jvp
def cos_and_sin(x: Values) -> tuple[Values, Values]:
    """cos x and sin x to 1e-15 up to |x| of 1e5, and slowly less: of large arrays several times faster than one by one, by
    multiplications alone. Single precision has its own."""
    if x.dtype != np.float64:
        return jnp.cos(x), jnp.sin(x)
    quarters = jnp.round(x * (2 / np.pi))
    rest = (x - quarters * _QUARTER[0]) - quarters * _QUARTER[1]
    square = rest * rest
    even, odd = jnp.full_like(x, _COS[0]), jnp.full_like(x, _SIN[0])
    for c, s in zip(_COS[1:], _SIN[1:], strict=True):
        even, odd = even * square + c, odd * square + s
    even, odd = 1 - square / 2 + square * square * even, rest + rest * square * odd
    turned = quarters - 4 * jnp.floor(quarters / 4)  # 0, 1, 2 or 3
    swapped = (turned == 1) | (turned == 3)
    cos, sin = jnp.where(swapped, odd, even), jnp.where(swapped, even, odd)
    return jnp.where((turned == 1) | (turned == 2), -cos, cos), jnp.where(turned >= 2, -sin, sin)


@cos_and_sin.defjvp
def _(primals: tuple[Values], tangents: tuple[Values]) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
    cos, sin = cos_and_sin(*primals)
    return (cos, sin), (-sin * tangents[0], cos * tangents[0])


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
