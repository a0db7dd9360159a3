"""Spectra of the spikes of uncoupled QIF neurons at constant drives, in closed form (docs/theory.md §B2).

    V̇ = V² + x + noise,      x the neuron's total drive, constant; Cauchy white noise of half-width Γ ≥ 0

Drives have a rational density g with simple poles x_k in the lower half plane and weights c_k = −2πi Res, Σ c_k = 1: one
pole x₀ − iΔ for a Lorentzian. Spectra are per neuron, two-sided in the frequency f (cycles per unit of t/τ), such that a
Poisson train of rate r has S = r.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import ComplexValues, Scalar, Values
from ..numerics.quadrature import nodes_between
from ..numerics.special import even_digamma

_HARMONICS = 256  # summed, the others by an integral; beyond half as many S → r like 1/f


def _imaginary(x: Values) -> ComplexValues:
    return jax.lax.complex(jnp.zeros_like(x), x)


class Drives(eqx.Module):
    """How the neurons' total drives are distributed: `poles` (k,) of their density in the lower half plane, with `weights`
    (k,); and the half-width `Gamma` of each neuron's Cauchy noise, None for periodic neurons."""

    poles: ComplexValues
    weights: ComplexValues
    Gamma: Scalar | None = None

    @property
    def rate(self) -> Scalar:
        """The mean rate, (1/π) Re Σ c_k √(x_k − iΓ)."""
        return jnp.sum(self.weights * jnp.sqrt(self.shifted)).real / jnp.pi

    @property
    def shifted(self) -> ComplexValues:
        """x_k − iΓ."""
        return self.poles if self.Gamma is None else self.poles - _imaginary(self.Gamma)

    def density(self, x: ComplexValues) -> ComplexValues:
        """g(x), continued to complex x; elementwise."""
        total = jnp.zeros_like(x)
        for pole, weight in zip(self.poles, self.weights, strict=True):
            total = total + weight / (x - pole) - jnp.conj(weight) / (x - jnp.conj(pole))
        return 0.5j / jnp.pi * total

    @property
    def at_zero(self) -> Scalar:
        """S(0) = ⟨r(x) arg(x + iΓ)⟩/π: 0 for periodic neurons, whose counts hardly vary."""
        Gamma = self.Gamma
        if Gamma is None:
            return jnp.zeros_like(self.poles.real[0])

        def own(x: Values) -> Values:
            return jnp.sqrt(jax.lax.complex(x, jnp.broadcast_to(-Gamma, x.shape))).real * jnp.arctan2(Gamma, x) / jnp.pi**2

        narrow = jnp.max(-self.poles.imag) <= 0
        spread = eqx.tree_at(lambda drives: drives.poles, self, jnp.where(narrow, self.poles - 1j, self.poles))
        x, weights = _line(spread.poles, Gamma)
        mean = jnp.sum(weights * spread.density(jax.lax.complex(x, jnp.zeros_like(x))).real * own(x))
        return jnp.where(narrow, own(self.poles.real[0]), mean)

    def spectrum(self, f: Values) -> Values:
        """S(f) at frequencies `f` (m,): Σ_m (f²/m³) p(f/m) over the harmonics m, p(ν) = 2π²ν g(π²ν²) the density of rates,
        for periodic neurons. With noise the poles of the digamma functions, which are those harmonics, move off the real
        axis, and the poles of the density add S of one neuron, continued there."""
        f, last = jnp.abs(f), _HARMONICS / (2 * jnp.pi) * jnp.min(jnp.sqrt(jnp.abs(self.shifted)))
        within = jnp.minimum(f, last)
        if self.Gamma is None:
            found = jax.vmap(lambda f: _harmonics(self, jnp.zeros_like(f), f))(within)
        else:
            # Where a pole's width is Γ, two poles of the integrand meet.
            eps = float(jnp.finfo(f.dtype).eps) ** 0.5
            close = jnp.any(jnp.abs(-self.poles.imag / self.Gamma - 1) < eps)
            Gamma = jnp.where(close, self.Gamma * (1 + 2 * eps), self.Gamma)
            found = self.at_zero + jax.vmap(lambda f: self._moving(Gamma, f))(within)
        return self.rate + (found - self.rate) * last / jnp.maximum(f, last)

    def _moving(self, Gamma: Scalar, f: Values) -> Values:
        """S(f) − S(0) at one frequency."""
        up = _imaginary(Gamma)
        lower, upper, outer = self.poles - up, jnp.conj(self.poles) - up, jnp.sqrt(jnp.conj(self.poles) + up)
        digammas = lambda w: even_digamma(jax.lax.complex(jnp.pi * f, jnp.zeros_like(f)) / jnp.sqrt(w))
        poles = self.weights * jnp.sqrt(lower) * digammas(lower) + jnp.conj(self.weights) * outer * digammas(upper)
        return _harmonics(self, Gamma, f) - jnp.sum(poles).imag / (2 * jnp.pi**2)


def _harmonics(drives: Drives, Gamma: Scalar, f: Values) -> Values:
    """Re Σ_m (2π f²/m³) √(w_m + 2iΓ) g(w_m + iΓ), w_m = (πf/m)², at one frequency: at Γ = 0 (f²/m³) p(f/m). Many of them by
    the integral over w, to which the sum is a midpoint rule, corrected once."""

    def value(w: Values) -> Values:
        off = jnp.broadcast_to(Gamma, w.shape)
        return (jnp.sqrt(jax.lax.complex(w, 2 * off)) * drives.density(jax.lax.complex(w, off))).real

    m = jnp.arange(1, _HARMONICS + 2, dtype=f.dtype)
    terms = 2 * jnp.pi * f**2 / m**3 * value((jnp.pi * f / m) ** 2)
    summed = jnp.sum(terms[:-1]) + (terms[-1] - terms[-2]) / 24
    last = jnp.pi * f / (_HARMONICS + 0.5)  # √w, in which the root is smooth at Γ = 0
    root, weights = nodes_between(jnp.zeros_like(last), last, 16)
    return summed + jnp.sum(weights * 2 * root * value(root**2)) / jnp.pi


def _line(poles: ComplexValues, Gamma: Scalar) -> tuple[Values, Values]:
    """Nodes and weights of quadrature over all x, dense next to the poles and next to 0, on their scales."""
    scale = jnp.concatenate([-poles.imag, Gamma[None]])
    place = jnp.concatenate([poles.real, jnp.zeros_like(Gamma)[None]])
    steps = jnp.asarray(np.sinh(np.linspace(-36.0, 36.0, 145)), place.dtype)
    ends = jnp.sort((place[:, None] + scale[:, None] * steps[None]).ravel())
    x, weights = nodes_between(ends[:-1], ends[1:])
    return x.ravel(), weights.ravel()
