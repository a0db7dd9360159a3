"""Approximate mean fields of neurons with Gaussian noise of their own: closures in two cumulants.

Such noise makes an infinite hierarchy of the exact equations. Both closures keep its first two members: they are MPR at
D = 0, right to first order in D at rest, and no more than approximations otherwise.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import require
from .._parameter import declared, parameter
from .._types import ComplexValues, Scalar, Values
from .base import AbstractModel
from .mpr import MPR
from .state import State, Variable


class AbstractCumulants(AbstractModel):
    """A population whose neurons have Gaussian noise of the intensity D each, closed in two cumulants."""

    population: eqx.AbstractVar[MPR]
    intensity: eqx.AbstractVar[Scalar]

    @property
    def slow_names(self) -> tuple[str, ...]:
        return self.population.slow_names

    def sent(self, y: State) -> Values:
        return self.population.sent(self._own(y))

    def _own(self, y: State) -> State:
        return State(**{name: getattr(y, name) for name in self.population.variables})

    def _loss(self, y: State) -> Values:
        """c of the term −c V of every neuron: gap junctions and conductances."""
        fast = self.population.frozen(self._own(y))
        c = jnp.zeros_like(y.v)
        if fast.gap is not None:
            c = c + fast.gap.g
        if fast.conductance is not None:
            c = c + fast.conductance.k * fast.tau * y.r
        if fast.leak is not None:
            c = c + fast.leak.g
        return c


@declared
class PseudoCumulants(AbstractCumulants):
    """Quadratic neurons with Gaussian noise of their own, approximately: two pseudo-cumulants of the voltages.

        τ dr/dt = (Δ + p₂)/(πτ) + 2 r v,     τ dv/dt = v² + η + I(t) + J τ r − (π τ r)² + q₂
        τ dq₂/dt = 2D + 4 v q₂ − 4π τ r p₂,     τ dp₂/dt = 4 v p₂ + 4π τ r q₂

    - `population`: an `MPR` population, with any of its terms
    - `intensity`: D ≥ 0 of each neuron's noise in dimensionless time t/τ, as in `GaussianNoise`

    Noise acts as a current q₂ and a width p₂, which both start at 0. **An approximation**: ⟨e^{−ikV}⟩ = exp(−(πτr + iv)k −
    (q₂ − ip₂)k²/2 − …), k > 0, is cut after k². At D = 0 it is the population itself. At rest it is right to first order in
    D, and off by 2e-6 of the rate at D = 0.1, 2e-4 at D = 1 in the active state of (η, J, Δ) = (−5, 15, 1), but by 4 % at
    D = 0.1, (0, 0, 0.1), and 40 % below threshold at D = 0.5, (−1, 0, 0.1). It was argued that two pseudo-cumulants are an
    artificial approximation and three the least consistent order (arXiv 2308.08194). Exact rates: `stationary_rates`;
    everything else: `QIFNetwork` with `GaussianNoise`.

    Raises `ValueError` for D < 0 and for what is no `MPR`. Sources: Goldobin, di Volo & Torcini, Phys. Rev. Lett. 127:038301
    (2021); docs/theory.md §G.
    """

    population: MPR
    intensity: Scalar = parameter(symbol="D", bounds="[0, inf)", doc="intensity of each neuron's Gaussian noise")

    equations: ClassVar[str] = (
        "τ r' = (Δ + p₂)/(πτ) + 2 r v;  τ v' = v² + η + I(t) + J τ r − (π τ r)² + q₂;  "
        "τ q₂' = 2D + 4 v q₂ − 4π τ r p₂;  τ p₂' = 4 v p₂ + 4π τ r q₂"
    )
    source: ClassVar[str] = "Goldobin, di Volo & Torcini, Phys. Rev. Lett. 127:038301 (2021)"

    def __check_init__(self) -> None:
        _check(self.population)

    @property
    def variables(self) -> Mapping[str, Variable]:
        zero = jnp.zeros_like(self.population.eta)
        own = {"q2": Variable("current by noise", rest=zero), "p2": Variable("width by noise", rest=zero)}
        return dict(self.population.variables) | own

    @property
    def degree(self) -> int | None:
        return self.population.degree

    def vector_field(self, t: Values, y: State, I: Any = 0.0) -> State:
        tau, c = self.population.tau, self._loss(y)
        flow, wave = self.population.vector_field(t, self._own(y), I), 4 * jnp.pi * tau * y.r
        dq = 2 * self.intensity + (4 * y.v - 2 * c) * y.q2 - wave * y.p2
        dp = (4 * y.v - 2 * c) * y.p2 + wave * y.q2
        own = {name: getattr(flow, name) for name in self.population.variables}
        own["r"], own["v"] = flow.r + y.p2 / (jnp.pi * tau**2), flow.v + y.q2 / tau
        return State(**own, q2=dq / tau, p2=dp / tau)


@declared
class CircularCumulants(AbstractCumulants):
    """Quadratic neurons with Gaussian noise of their own, approximately: two circular cumulants of their phases.

        a_m = ⟨e^{−imθ}⟩ = aᵐ + κ m(m − 1)/2 aᵐ⁻²,   V = tan θ/2,     W = π τ r + i v = (1 − a)/(1 + a) + 2κ/(1 + a)³
        da/d(t/τ) = −i[(1 + Ĩ) a + ½(Ĩ − 1)(1 + a₂)] − ½D [(1 + a)³ + 3κ(1 + a)],     Ĩ = η + I(t) + J τ r − iΔ
        dκ/d(t/τ) = −2iκ [1 + Ĩ + (Ĩ − 1) a] − ½D [(1 + a)⁴ + 12κ(1 + a)²]

    - `population`: an `MPR` population, with any of its terms
    - `intensity`: D ≥ 0 of each neuron's noise in dimensionless time t/τ, as in `GaussianNoise`

    The state has r, v, and what the second cumulant contributes to them: π τ r₂ + i v₂ = 2κ/(1 + a)³, which starts at 0.
    **An approximation**: the third cumulant is left out. At D = 0 it is the population itself. At rest it is right to first
    order in D, and off by 3e-5 of the rate at D = 0.1, 3e-3 at D = 1 in the active state of (η, J, Δ) = (−5, 15, 1), by 1 %
    at D = 0.1, (0, 0, 0.1), and 70 % below threshold at D = 0.5, (−1, 0, 0.1). `PseudoCumulants` is nearer with much
    heterogeneity, this one with little, in transients too. Exact rates: `stationary_rates`; everything else: `QIFNetwork`
    with `GaussianNoise`.

    Raises `ValueError` for D < 0 and for what is no `MPR`. Sources: Tyulkina, Goldobin, Klimenko & Pikovsky, Phys. Rev.
    Lett. 120:264101 (2018); docs/theory.md §G.
    """

    population: MPR
    intensity: Scalar = parameter(symbol="D", bounds="[0, inf)", doc="intensity of each neuron's Gaussian noise")

    equations: ClassVar[str] = (
        "W = π τ r + i v = (1 − a)/(1 + a) + 2κ/(1 + a)³;  "
        "τ a' = −i[(1 + Ĩ) a + ½(Ĩ − 1)(1 + a² + κ)] − ½D [(1 + a)³ + 3κ(1 + a)];  "
        "τ κ' = −2iκ [1 + Ĩ + (Ĩ − 1) a] − ½D [(1 + a)⁴ + 12κ(1 + a)²];  Ĩ = η + I(t) + J τ r − iΔ"
    )
    source: ClassVar[str] = "Tyulkina, Goldobin, Klimenko & Pikovsky, Phys. Rev. Lett. 120:264101 (2018)"

    def __check_init__(self) -> None:
        _check(self.population)

    @property
    def variables(self) -> Mapping[str, Variable]:
        zero = jnp.zeros_like(self.population.eta)
        own = {
            "r2": Variable("rate by the second cumulant", "1/time", rest=zero),
            "v2": Variable("voltage by the second cumulant", rest=zero),
        }
        return dict(self.population.variables) | own

    def vector_field(self, t: Values, y: State, I: Any = 0.0) -> State:
        tau = self.population.tau
        scale, c = jnp.pi * tau, _complex(self._loss(y), jnp.zeros_like(y.v))
        flow = self.population.vector_field(t, self._own(y), I)
        W, K = _complex(scale * y.r, y.v), _complex(scale * y.r2, y.v2)
        dW = _complex(tau * scale * flow.r, tau * flow.v)  # i Ĩ − i W² − c W, whatever the terms of the population
        U = W - K
        current, x = -1j * (dW + c * W) + W**2, (1 + U) / 2  # x = 1/(1 + a)
        D = _complex(self.intensity, jnp.zeros_like(self.intensity))
        dU = dW + K * (1j * (W + U) + c + (1j * (current - 1) + c) / (2 * x))
        dK = K * (1.5 * dU - 2j * (current + U) - c * (1 - U)) / x
        dU = dU + D * (1 / x + 1.5 * K / x**2)
        dK = dK - D * (1 / x + 4.5 * K / x**2 - 2.25 * K**2 / x**3)
        own = {name: getattr(flow, name) for name in self.population.variables}
        own["r"], own["v"] = jnp.real(dU + dK) / (scale * tau), jnp.imag(dU + dK) / tau
        return State(**own, r2=jnp.real(dK) / (scale * tau), v2=jnp.imag(dK) / tau)


def _complex(real: Values, imaginary: Values) -> ComplexValues:
    return jax.lax.complex(*jnp.broadcast_arrays(real, imaginary))


def _check(population: Any) -> None:
    require("population", population, "be an `MPR` population", isinstance(population, MPR))
    spread = population.heterogeneity
    require("population", spread, "have Lorentzian excitabilities (`heterogeneity=None`)", population.modes is None)
