"""Hopf points of populations whose coupling passes a linear filter, from the energy (docs/theory.md §C4, §D5).

At a fixed point of rate R = τ r, with a = Δ/(πR) and s = H r what is sent, λ is an eigenvalue if

    (λτ + a)² + 4π² R² = 2 R J H(λ),    so at λ = iω    a = J R Im H(iω)/ωτ,    (ωτ)² = a² + 4π² R² − 2 R J Re H(iω):

the filter's damping −2 J R Im H/ωτ cancels the population's own, 2a. Two equal populations that excite and inhibit each
other are one with the complex coupling J ± i √|J_ei J_ie|.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, require
from .._nan import nan_is_absent
from .._parameter import as_number
from .._results import Shown
from .._types import ComplexValues, Real, Scalar, Values, is_concrete
from ..models.synapses import AbstractSynapse
from ..numerics.compiling import jitted
from ..numerics.roots import solve_on_grid

# ln of ω over that of small oscillations without coupling, √(a² + 4π² R²)/τ.
_GRID = np.linspace(np.log(1e-3), np.log(1e4), 8193)


class HopfCoupling(eqx.Module, Shown):
    """Couplings at which a fixed point loses stability to an oscillation, by their frequency; NaN beyond those found.

    - `coupling` (k,): J, or √|J_ei J_ie| of a pair; dimensionless
    - `omega` (k,): angular frequency there, per unit of time
    - `eta` (k,): centre of the excitabilities that has the fixed point, without input; None for a pair
    """

    coupling: Values
    omega: Values
    eta: Values | None

    def __repr__(self) -> str:
        if not is_concrete(self.coupling) or self.coupling.ndim != 1:
            return f"HopfCoupling of shape {self.coupling.shape}"
        lines = ["HopfCoupling" if np.isfinite(self.omega).any() else "HopfCoupling: no Hopf point at any coupling"]
        for k in np.flatnonzero(np.isfinite(np.asarray(self.omega))):
            shift = "" if self.eta is None else f", η = {self.eta[k]:.6g}"
            lines.append(f"  J = {self.coupling[k]:.6g}, ω = {self.omega[k]:.6g}{shift}")
        return "\n".join(lines)


class _Filter(eqx.Module):
    """H(λ) of a synapse, a function, or 1."""

    synapse: AbstractSynapse | None
    function: Callable[..., Any] | None = eqx.field(static=True)

    def __call__(self, rate: ComplexValues) -> ComplexValues:
        if self.synapse is not None:
            return self.synapse.transfer(rate)
        return jnp.ones_like(rate) if self.function is None else self.function(rate)


class _Point(eqx.Module):
    """A fixed point with a filter; `self_coupling` of a pair."""

    filter: _Filter
    R: Scalar
    a: Scalar
    tau: Scalar
    self_coupling: Scalar | None

    @property
    def scale(self) -> Scalar:
        return jnp.sqrt(self.a**2 + 4 * jnp.pi**2 * self.R**2)

    def product(self, x: Values) -> tuple[ComplexValues, Values]:
        """(P H*, |H|²) at ω = exp(x) × the frequency without coupling; the coupling there is P/(2 R H)."""
        w = jnp.exp(x) * self.scale
        H = self.filter(jax.lax.complex(jnp.zeros_like(w), w / self.tau))
        P = jax.lax.complex(self.scale**2 - w**2, 2 * self.a * w)
        return P * jnp.conj(H), H.real**2 + H.imag**2

    def excess(self, x: Values) -> Values:
        """∝ what keeps the coupling at iω from being allowed: its imaginary part; of a pair, its real part less J_self."""
        product, square = self.product(x)
        if self.self_coupling is None:
            return product.imag / (jnp.exp(x) * self.scale)
        return product.real - 2 * self.R * self.self_coupling * square


@nan_is_absent
def hopf_coupling(filter: Any, r: Real, Delta: Real, *, tau: Real = 1.0, count: int = 3) -> HopfCoupling:
    """Couplings J at which a population of rate r loses stability to an oscillation, if its coupling passes a filter H.

        Δ/(πR) = J R Im H(iω)/ωτ,    (ωτ)² = (Δ/πR)² + 4π² R² − 2 R J Re H(iω),    R = τ r

    For a first-order synapse J = −Δ (1 + ω²τ_s²)/(π R² τ_s) with ω² = a² + 2a/τ_s + 4π² R², τ = 1: inhibition. Use it to see
    which synapse or delay makes a rhythm, and of which frequency, before any continuation (`find_hopf`).

    - `filter`: a synapse such as `ExponentialSynapse(tau=5.0)`, or a function of λ (complex array, per unit of time) that
      returns H(λ), such as `lambda rate: jnp.exp(-rate * delay)`
    - `r`: rate at the fixed point, > 0, per unit of time; `Delta`: half-width of the excitabilities, > 0; numbers
    - `tau`: membrane time constant, 1 by default
    - `count`: how many points are returned, the slowest first; 3 by default (a delay has infinitely many)

    Returns a `HopfCoupling`, differentiable. Frequencies from 10⁻³ to 10⁴ times √(a² + 4π²R²)/τ are searched, on a grid of
    0.2 %. Raises `ValueError` for values out of bounds and other filters. Source: docs/theory.md §C4.
    """
    require("filter", filter, "be a synapse or a function of λ", filter is not None)
    point = _point(filter, r, Delta, tau, None)
    return _single(point, as_count("count", count))


@nan_is_absent
def pair_hopf_coupling(
    filter: Any, r: Real, Delta: Real, J_self: Real = 0.0, *, tau: Real = 1.0, count: int = 3
) -> HopfCoupling:
    """Couplings √|J_ei J_ie| at which two equal populations that excite and inhibit each other begin to oscillate (PING).

    Without a filter, √|J_ei J_ie| = a ω/R with ω² = a² + 4π² R² − 2 R J_self, τ = 1: any such pair oscillates at strong
    coupling. With a filter H it is one population with the complex coupling J_self ± i √|J_ei J_ie| (`hopf_coupling`).

    - `filter`: a synapse of both, a function of λ that returns H(λ), or None for instantaneous coupling
    - `r`, `Delta`: rate at the fixed point, > 0, per unit of time, and half-width of the excitabilities, > 0, of both
    - `J_self`: coupling of each population to itself, dimensionless; 0 by default
    - `tau`: membrane time constant, 1 by default
    - `count`: how many points are returned, the slowest first; 3 by default

    Returns a `HopfCoupling` without `eta`, differentiable; if rates differ, √(r_e r_i) takes the place of r only if a and ω
    are equal. Raises `ValueError` for values out of bounds and other filters. Source: docs/theory.md §D5.
    """
    point = _point(filter, r, Delta, tau, as_number("J_self", J_self))
    return _pair(point, as_count("count", count))


def _point(filter: Any, r: Real, Delta: Real, tau: Real, self_coupling: Scalar | None) -> _Point:
    synapse = filter if isinstance(filter, AbstractSynapse) else None
    fits = filter is None or synapse is not None or callable(filter)
    require("filter", filter, "be a synapse or a function of λ", fits)
    tau = as_number("tau", tau, "(0, inf)")
    R = as_number("r", r, "(0, inf)") * tau
    a = as_number("Delta", Delta, "(0, inf)") / (jnp.pi * R)
    function: Any = filter if synapse is None else None
    return _Point(_Filter(synapse, function), R, a, tau, self_coupling)


def _zeros(point: _Point, count: int) -> tuple[Values, Values, Values]:
    """(ω, real and imaginary part of the coupling) of the first `count` points; NaN beyond."""
    x = solve_on_grid(_Point.excess, point, jnp.asarray(_GRID, point.R.dtype), count)
    found = jnp.isfinite(x)
    x = jnp.where(found, x, 0)  # lest what is absent spoils derivatives
    product, square = point.product(x)
    rates = (
        jnp.exp(x) * point.scale / point.tau,
        product.real / (2 * point.R * square),
        product.imag / (2 * point.R * square),
    )
    omega, real, imag = (jnp.where(found, each, jnp.nan) for each in rates)
    return omega, real, imag


@jitted
def _single(point: _Point, count: int) -> HopfCoupling:
    omega, J, _ = _zeros(point, count)
    R, zero = point.R, jnp.zeros_like(omega)
    still = point.filter(jax.lax.complex(zero, zero)).real  # H(0), 1 for what passes steady rates unchanged
    shift = jnp.where(jnp.isfinite(J), J, 0) * R * still
    eta = jnp.where(jnp.isfinite(J), jnp.pi**2 * R**2 - shift - point.a**2 / 4, jnp.nan)
    return HopfCoupling(J, omega, eta)


@jitted
def _pair(point: _Point, count: int) -> HopfCoupling:
    omega, _, cross = _zeros(point, count)
    return HopfCoupling(jnp.abs(cross), omega, None)
