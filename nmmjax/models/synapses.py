"""Synapses with variables of their own: what leaves a population is its rate, filtered.

    ExponentialSynapse         τ s′ = r − s
    AlphaSynapse               τ z′ = r − z,         τ s′ = z − s
    DoubleExponentialSynapse   τ_rise z′ = r − z,    τ_decay s′ = z − s

All are chains of first-order filters, from the rate r to the output s, both in 1/time, so that a steady rate passes
unchanged. A synapse belongs to the sender: its own coupling J and the weights of a network act on s instead of r. For a rate
that is held the chain has an exact solution, which geometric solvers use.
"""

import abc
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import require
from .._parameter import check_parameters, declared, parameter
from .._types import ComplexValues, Scalar, Values
from .state import State, Variable
from .terms import AbstractTerm


class AbstractSynapse(AbstractTerm):
    """A chain of first-order filters of the rate: τ₁ x₁′ = r − x₁, τ₂ x₂′ = x₁ − x₂, …; its last variable is what is sent.

    A synapse adds its variables under `stages`, by name, each with its time constant, in the order from the rate to the
    output.
    """

    degree: ClassVar[int | None] = 2
    scales_coupling: ClassVar[bool] = True

    strength: eqx.AbstractVar[Scalar | None]
    reversal: eqx.AbstractVar[Scalar | None]

    def __check_init__(self) -> None:
        check_parameters(self)
        both = (self.strength is None) == (self.reversal is None)
        require("reversal", self.reversal, "be given together with `strength`, or neither", both)

    @property
    @abc.abstractmethod
    def stages(self) -> dict[str, Values]:
        """Names of the chain's variables with their time constants, from the rate to the output."""

    @property
    def variables(self) -> Mapping[str, Variable]:
        *inner, last = self.stages
        found = {name: Variable("inner variable of the synapse", "1/time", rest="r") for name in inner}
        return found | {last: Variable("synaptic activation", "1/time", rest="r")}

    def rates(self, y: State) -> dict[str, Values]:
        found, before = {}, y.r
        for name, tau in self.stages.items():
            found[name] = (before - getattr(y, name)) / tau
            before = getattr(y, name)
        return found

    def steady(self, r: Values) -> dict[str, Values]:
        return dict.fromkeys(self.stages, r)

    def time_constants(self, r: Values) -> Values:
        return jnp.stack(list(self.stages.values()))

    def output(self, y: State) -> Values:
        """s, the filtered rate in 1/time."""
        return getattr(y, self.names[-1])

    def sent(self, y: State, R: Values) -> Values:
        return R / y.r * self.output(y)

    def conductance(self, tau: Values, y: State) -> tuple[Values, Values] | None:
        if self.strength is None or self.reversal is None:
            return None
        return self.strength * tau * self.output(y), self.reversal

    def transfer(self, rate: ComplexValues | complex) -> ComplexValues:
        """Transfer function from the rate r to the output s, Π_k 1/(1 + λ τ_k), at λ = `rate`, complex, per unit of time, of
        any shape: if r has a part e^(λt), s has this times as much of it."""
        taus = [jax.lax.complex(tau, jnp.zeros_like(tau)) for tau in self.stages.values()]
        rate = jnp.asarray(rate, taus[0].dtype)
        return math.prod((1 / (1 + rate * tau) for tau in taus), start=jnp.ones_like(rate))

    def held(self, r: Values, x: dict[str, Values], h: Values) -> tuple[dict[str, Values], Values]:
        """(variables after the time `h` at the rate held at `r`, ∫ s dt on the way), exactly. `x`: the variables before."""
        taus, before = list(self.stages.values()), [x[name] for name in self.stages]
        first = before[0] - r
        after = [r + first * jnp.exp(-h / taus[0])]
        if len(taus) == 2:
            after.append(r + (before[1] - r) * jnp.exp(-h / taus[1]) + first / taus[1] * _overlap(h, *taus))
        # Every stage is fed by the one before: τ_k (x_k(h) − x_k(0)) = ∫ x_(k−1) dt − ∫ x_k dt.
        passed = sum((tau * (a - b) for tau, a, b in zip(taus, after, before, strict=True)), start=jnp.zeros_like(r))
        return dict(zip(self.stages, after, strict=True)), r * h - passed


def _overlap(h: Values, a: Values, b: Values) -> Values:
    """∫₀ʰ exp(−(h − t)/b − t/a) dt = h e^(−m) sinh(d)/d, m and d half the sum and difference of h/a and h/b; smooth at
    a = b."""
    m, d = (h / a + h / b) / 2, (h / a - h / b) / 2
    near = jnp.abs(d) < 1
    square, series = jnp.where(near, d, 0.0) ** 2, jnp.ones_like(d)
    for n in range(9, 0, -1):
        series = 1 + square * series / ((2 * n) * (2 * n + 1))
    far = jnp.abs(jnp.where(near, 1.0, d))
    return h * jnp.where(near, jnp.exp(-m) * series, -jnp.exp(far - m) * jnp.expm1(-2 * far) / (2 * far))


@declared
class ExponentialSynapse(AbstractSynapse):
    """A synapse that decays exponentially: τ_s s′ = r − s, and the coupling acts on s instead of r.

    - `tau`: time constant τ_s > 0, in the unit of the membrane time constant; a number
    - `strength`, `reversal`: κ ≥ 0 and E_s, in units of v, of a synapse that acts as a conductance g = κ τ s: −g r in the
      rate and g (E_s − v) in the voltage equation, besides J τ s; both None (the default) for a current alone

    Adds the variable s (1/time), which starts at the rate if it isn't given. With inhibition (J < 0) it makes the
    population oscillate by itself (ING); with excitation it can't, for any τ_s (docs/theory.md §C1). Raises `ValueError`
    for τ_s ≤ 0 and a reversal without strength. Source: Devalle, Roxin & Montbrió, PLoS Comput. Biol. 13:e1005881 (2017).
    """

    tau: Scalar = parameter(symbol="τ_s", unit="time", bounds="(0, inf)", doc="synaptic time constant")
    strength: Scalar | None = parameter(None, symbol="κ", bounds="[0, inf)", doc="conductance per filtered rate")
    reversal: Scalar | None = parameter(None, symbol="E_s", doc="reversal potential of the conductance")

    @property
    def stages(self) -> dict[str, Values]:
        return {"s": self.tau}

    def dissipates(self, J: Values) -> Any:
        return J >= 0 if self.strength is None else jnp.zeros_like(J, bool)

    def store(self, J: Values, tau: Values, y: State) -> dict[str, Values]:
        if self.strength is not None:
            return {}
        # J × the Itakura–Saito divergence of s from r, less what the landscape at frozen s holds of it.
        return {"s": -J * (1 + jnp.log(tau * y.s))}


@declared
class AlphaSynapse(AbstractSynapse):
    """A synapse with an alpha function t e^(−t/τ_s)/τ_s² as kernel: τ_s z′ = r − z, τ_s s′ = z − s; the coupling acts on s.

    - `tau`: time constant τ_s > 0 of rise and decay, in the unit of the membrane time constant; a number
    - `strength`, `reversal`: κ ≥ 0 and E_s of a conductance g = κ τ s, as in `ExponentialSynapse`; both None by default

    Adds the variables z and s (1/time), which start at the rate if they aren't given. Raises `ValueError` for τ_s ≤ 0.
    Source: Clusella, Köksal-Ersöz, Garcia-Ojalvo & Ruffini, Biol. Cybern. 117:5 (2023) for the form with s″.
    """

    tau: Scalar = parameter(symbol="τ_s", unit="time", bounds="(0, inf)", doc="synaptic time constant of rise and decay")
    strength: Scalar | None = parameter(None, symbol="κ", bounds="[0, inf)", doc="conductance per filtered rate")
    reversal: Scalar | None = parameter(None, symbol="E_s", doc="reversal potential of the conductance")

    @property
    def stages(self) -> dict[str, Values]:
        return {"z": self.tau, "s": self.tau}


@declared
class DoubleExponentialSynapse(AbstractSynapse):
    """A synapse with two time constants: τ_rise z′ = r − z, τ_decay s′ = z − s; the coupling acts on s.

    - `tau_rise`, `tau_decay`: time constants > 0, in the unit of the membrane time constant; numbers
    - `strength`, `reversal`: κ ≥ 0 and E_s of a conductance g = κ τ s, as in `ExponentialSynapse`; both None by default

    Its kernel is (e^(−t/τ_decay) − e^(−t/τ_rise))/(τ_decay − τ_rise), the same if both are exchanged, and an alpha function
    if they are equal. Adds the variables z and s (1/time), which start at the rate if they aren't given. Raises `ValueError`
    for time constants ≤ 0 and a reversal without strength. Source: Ermentrout & Terman, Mathematical Foundations of
    Neuroscience (2010), §7.
    """

    tau_rise: Scalar = parameter(symbol="τ_rise", unit="time", bounds="(0, inf)", doc="time constant of the rise")
    tau_decay: Scalar = parameter(symbol="τ_decay", unit="time", bounds="(0, inf)", doc="time constant of the decay")
    strength: Scalar | None = parameter(None, symbol="κ", bounds="[0, inf)", doc="conductance per filtered rate")
    reversal: Scalar | None = parameter(None, symbol="E_s", doc="reversal potential of the conductance")

    @property
    def stages(self) -> dict[str, Values]:
        return {"z": self.tau_rise, "s": self.tau_decay}
