"""The stationary equation of noisy quadratic neurons, i(I − W²) + D dW/dI = 0, solved by a ratio of Airy functions.

    W(I, D) = i e^{iπ/3} D^{1/3} Ai′(ζ)/Ai(ζ),     ζ = e^{iπ/3} I/D^{2/3},     W → √I for D → 0

JAX has no Airy functions of complex arguments. Here Ai(ζ) = (2π)⁻¹ ∫ exp(i t³/3 + i ζ t) dt is taken along a line through
its saddle point i√ζ, moved up a little, on which the integrand falls like a Gaussian; the trapezoidal rule is then exact
to rounding. The line is held while derivatives are taken, since the integral does not depend on it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from .._types import ComplexValues, Values

_NODES = np.linspace(-6.3, 6.3, 80)  # in units of the Gaussian's width: errors of 1e-13
_SMALL = 1e-3  # D/|I|^{3/2} below which the series in D is exact to rounding
_TURN = complex(np.exp(1j * np.pi / 3))


def _series() -> list[float]:
    """Coefficients of W/√I in powers of −iD/I^{3/2}: 1, 1/4, −5/32, …"""
    c = [1.0]
    for n in range(6):
        c.append(((0.5 - 1.5 * n) * c[n] - sum(c[i] * c[n + 1 - i] for i in range(1, n + 1))) / 2)
    return c


_COEFFICIENTS = _series()


def noisy_root(I: ComplexValues, D: Values) -> ComplexValues:
    """W(I, D) for Im I ≤ 0 and D ≥ 0, complex and real arrays of one shape: √I as noise of intensity D changes it.

    Real and imaginary parts are π times the rate and the mean voltage of quadratic neurons, V′ = V² + I + √(2D) ξ, whose
    currents have poles at I. Differentiable; NaN at I = D = 0.
    """
    small = _SMALL * jnp.abs(I) ** 1.5 >= D
    near = _expanded(jnp.where(small, I, jnp.ones_like(I)), jnp.where(small, D, jnp.zeros_like(D)))
    D = jnp.where(small, jnp.ones_like(D), D)
    b, u, weight, _ = _saddle(I, D)
    slope = b - 1j * jnp.sum(weight * u, axis=-1) / jnp.sum(weight, axis=-1)  # −Ai′/Ai
    return jnp.where(small, near, -1j * _TURN * _complex(jnp.cbrt(D)) * slope)


def noisy_rate(mu: Values, D: Values) -> Values:
    """ν(μ, D) = D^{1/3}/(4π² |Ai(ζ)|²) for real `mu` and D ≥ 0: Re W/π, but to the last digits where the rate is tiny."""
    small = _SMALL * jnp.abs(mu) ** 1.5 >= D
    above = small & (mu > 0)
    current = jnp.where(above, mu, jnp.ones_like(mu))
    near = jnp.real(_expanded(_complex(current), jnp.where(above, D, jnp.zeros_like(D)))) / jnp.pi
    D = jnp.where(small, jnp.ones_like(D), D)
    b, u, weight, tilt = _saddle(_complex(jnp.where(small, jnp.ones_like(mu), mu)), D)
    area = jnp.sum(weight, axis=-1) * (u[..., 1] - u[..., 0])
    rate = jnp.cbrt(D) * jnp.exp(2 * jnp.real(2 / 3 * b**3 + tilt * b)) / jnp.abs(area) ** 2
    return jnp.where(small, jnp.where(mu > 0, near, jnp.zeros_like(near)), rate)


def _complex(x: Values) -> ComplexValues:
    return jax.lax.complex(x, jnp.zeros_like(x))


def _root(z: ComplexValues) -> ComplexValues:
    """√z with a cut along the positive imaginary axis's side: −i√|z| on the negative half-line."""
    root = jnp.sqrt(z)
    return jnp.where(jnp.imag(root) > 0, -root, root)


def _expanded(I: ComplexValues, D: Values) -> ComplexValues:
    root = _root(I)
    x = -1j * _complex(D) / root**3
    total = jnp.zeros_like(root)
    for c in reversed(_COEFFICIENTS):
        total = total * x + c
    return root * total


def _saddle(I: ComplexValues, D: Values) -> tuple[ComplexValues, ComplexValues, ComplexValues, ComplexValues]:
    """(b, u, weight, tilt): t = i b + u with b = √ζ, the integrand's weights at u, and the change of ζ from where b is
    held."""
    scale = _complex(jnp.cbrt(D))
    zeta = _TURN * I / scale**2
    held = jax.lax.stop_gradient(zeta)
    b = _root(jax.lax.stop_gradient(I)) * complex(np.sqrt(_TURN)) / jax.lax.stop_gradient(scale)
    lift = 1 / (1 + jnp.abs(b))
    fall = jnp.real(b) + lift
    nodes = jnp.asarray(_NODES, fall.dtype).reshape((1,) * fall.ndim + (-1,))
    along = (jnp.imag(b) * lift / fall)[..., None] + nodes / jnp.sqrt(fall)[..., None]
    u = jax.lax.complex(along, jnp.broadcast_to(lift[..., None], along.shape))
    tilt = zeta - held
    return b, u, jnp.exp(-b[..., None] * u**2 + 1j * (u**3 / 3 + tilt[..., None] * u)), tilt
