"""Slow variables of a population: adaptation, recovery, synaptic depression, short-term plasticity.

Each term adds state variables with linear or bilinear dynamics driven by the firing rate, and changes what the fast
equations see: adaptation and recovery currents lower the excitability, η_eff = η − A, depression and plasticity scale the
coupling, J_eff = J (1 − A) and J_eff = J x u. Frozen, they leave an ordinary population with an energy landscape of its
own (`MPR.frozen`); moving, they tilt it.

Convention for the gain α: that of Gast, Schmidt & Knösche, Neural Comput. 32:1615 (2020), in which a steady rate r gives
A = α τ_A r. The Virtual Brain's models use A = α r at steady rate, so α_TVB = τ_A α.
"""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import xlogy

from .._checks import require
from .._parameter import declared, parameter
from .._types import Scalar, Values
from .state import State, Variable
from .terms import AbstractTerm

KERNELS = ("alpha", "exponential")


class AbstractAdaptation(AbstractTerm):
    """A variable A that follows the rate r, by a kernel of time constant τ.

    τ A′ = B,  τ B′ = α τ r − 2 B − A      kernel="alpha" (state A, B)
    τ A′ = α τ r − A                       kernel="exponential" (state A)
    """

    alpha: eqx.AbstractVar[Scalar]
    tau: eqx.AbstractVar[Scalar]
    kernel: eqx.AbstractVar[str]

    def __check_init__(self) -> None:
        require("kernel", self.kernel, f"be one of {KERNELS}", self.kernel in KERNELS)

    @property
    def variables(self) -> Mapping[str, Variable]:
        zero = jnp.zeros_like(self.tau)
        A = {"A": Variable("adaptation or depression", rest=zero)}
        return A | {"B": Variable("rate of adaptation", rest=zero)} if self.kernel == "alpha" else A

    def rates(self, y: State) -> dict[str, Values]:
        gain = self.alpha * self.tau * y.r
        if self.kernel == "exponential":
            return {"A": (gain - y.A) / self.tau}
        return {"A": y.B / self.tau, "B": (gain - 2 * y.B - y.A) / self.tau}

    def steady(self, r: Values) -> dict[str, Values]:
        return dict(zip(self.names, (self.alpha * self.tau * r, jnp.zeros_like(r)), strict=False))

    def time_constants(self, r: Values) -> Values:
        return self.tau[None]


@declared
class SpikeFrequencyAdaptation(AbstractAdaptation):
    """An adaptation current that follows the rate: η_eff = η − A.

        τ_A A′ = B,  τ_A B′ = α τ_A r − 2 B − A      kernel="alpha" (state A, B)
        τ_A A′ = α τ_A r − A                         kernel="exponential" (state A)

    - `alpha`, `tau`: gain α ≥ 0, in units of η, and time constant τ_A > 0, in the unit of τ; numbers
    - `kernel`: "alpha" (default) or "exponential"

    A steady rate gives A = α τ_A r with both (`alpha` times τ_A is the gain in The Virtual Brain's convention). Raises
    `ValueError` for α < 0, τ_A ≤ 0 and other kernels. Source: Gast, Schmidt & Knösche, Neural Comput. 32:1615 (2020).
    """

    alpha: Scalar = parameter(symbol="α", bounds="[0, inf)", doc="adaptation gain; a steady rate gives A = α τ_A r")
    tau: Scalar = parameter(symbol="τ_A", unit="time", bounds="(0, inf)", doc="time constant of adaptation")
    kernel: str = eqx.field(static=True, default="alpha")

    degree: ClassVar[int | None] = 1
    acts_by: ClassVar[str | None] = "A"

    def store(self, J: Values, tau: Values, y: State) -> dict[str, Values]:
        if self.kernel != "exponential":
            return {}
        gain = self.alpha * self.tau / tau
        return {"A": gain + xlogy(gain, y.A / jnp.where(gain > 0, gain, 1))}

    def effective(self, eta: Values, J: Values, y: State) -> tuple[Values, Values]:
        return eta - y.A, J


@declared
class SynapticDepression(AbstractAdaptation):
    """Coupling that weakens with activity: J_eff = J (1 − A), with A as in `SpikeFrequencyAdaptation`.

    - `alpha`, `tau`: gain α ≥ 0, dimensionless, and time constant τ_A > 0, in the unit of τ; numbers
    - `kernel`: "alpha" (default) or "exponential"

    A is not clipped at 1: a depression beyond 1 would turn excitation into inhibition, a sign that α τ_A r is too large
    for the model. α_TVB = τ_A α. Raises `ValueError` for α < 0, τ_A ≤ 0 and other kernels. Source: Gast, Schmidt &
    Knösche, Neural Comput. 32:1615 (2020).
    """

    alpha: Scalar = parameter(symbol="α", bounds="[0, inf)", doc="depression gain; a steady rate gives A = α τ_A r")
    tau: Scalar = parameter(symbol="τ_A", unit="time", bounds="(0, inf)", doc="time constant of depression")
    kernel: str = eqx.field(static=True, default="alpha")

    degree: ClassVar[int | None] = 2
    acts_by: ClassVar[str | None] = "A"
    scales_coupling: ClassVar[bool] = True

    def store(self, J: Values, tau: Values, y: State) -> dict[str, Values]:
        if self.kernel != "exponential":
            return {}
        return {"A": -J * (xlogy(y.A, y.A * tau / (self.alpha * self.tau)) - y.A)}

    def effective(self, eta: Values, J: Values, y: State) -> tuple[Values, Values]:
        return eta, J * (1 - y.A)

    def sent(self, y: State, R: Values) -> Values:
        return R * (1 - y.A)


@declared
class ShortTermPlasticity(AbstractTerm):
    """Tsodyks–Markram synapses: J_eff = J x u with depressing resources x and facilitating utilization u.

        x′ = (1 − x)/τ_d − u x r,      u′ = (U0 − u)/τ_f + U0 (1 − u) r

    - `tau_d`, `tau_f`: time constants of depression and facilitation, > 0, in the unit of τ; numbers
    - `U0`: utilization at rest, in (0, 1]

    At rest x = 1 and u = U0. Raises `ValueError` for time constants ≤ 0 and U0 outside (0, 1]. Source: Taher, Torcini &
    Olmi, PLoS Comput. Biol. 16:e1008533 (2020).
    """

    tau_d: Scalar = parameter(symbol="τ_d", unit="time", bounds="(0, inf)", doc="recovery time of resources (depression)")
    tau_f: Scalar = parameter(symbol="τ_f", unit="time", bounds="(0, inf)", doc="decay time of facilitation")
    U0: Scalar = parameter(symbol="U_0", bounds="(0, 1]", doc="utilization at rest")

    degree: ClassVar[int | None] = 3
    acts_by: ClassVar[str | None] = "xu"
    scales_coupling: ClassVar[bool] = True

    @property
    def variables(self) -> Mapping[str, Variable]:
        x = Variable("synaptic resources", rest=jnp.ones_like(self.U0))
        return {"x": x, "u": Variable("utilization", rest=self.U0)}

    def rates(self, y: State) -> dict[str, Values]:
        x = (1 - y.x) / self.tau_d - y.u * y.x * y.r
        return {"x": x, "u": (self.U0 - y.u) / self.tau_f + self.U0 * (1 - y.u) * y.r}

    def steady(self, r: Values) -> dict[str, Values]:
        u = self.U0 * (1 + self.tau_f * r) / (1 + self.U0 * self.tau_f * r)
        return {"x": 1 / (1 + self.tau_d * u * r), "u": u}

    def time_constants(self, r: Values) -> Values:
        u = self.steady(r)["u"]
        return 1 / jnp.stack([1 / self.tau_d + u * r, 1 / self.tau_f + self.U0 * r])

    def effective(self, eta: Values, J: Values, y: State) -> tuple[Values, Values]:
        return eta, J * y.x * y.u

    def sent(self, y: State, R: Values) -> Values:
        return R * y.x * y.u


@declared
class RecoveryCurrent(AbstractTerm):
    """The recovery current of Izhikevich's neurons, which follows rate and voltage: η_eff = η − w.

        w′ = a [b (v − v_r) − w] + w_j r

    - `a`: rate at which it recovers, > 0, per unit of time; a number
    - `b`: gain of the voltage, in units of η per unit of v; `jump`: w_j, what every spike adds, in units of η; numbers
    - `reference`: v_r, the voltage that adds nothing, in units of v; 0 by default

    With b = 0 it is `SpikeFrequencyAdaptation` with an exponential kernel and α = w_j. Raises `ValueError` for a ≤ 0.
    Source: Chen & Campbell, J. Comput. Neurosci. 50:445 (2022).
    """

    a: Scalar = parameter(symbol="a", unit="1/time", bounds="(0, inf)", doc="rate of recovery")
    b: Scalar = parameter(symbol="b", doc="gain of the voltage")
    jump: Scalar = parameter(symbol="w_j", doc="what a spike adds")
    reference: Scalar = parameter(0.0, symbol="v_r", doc="voltage that adds nothing")

    degree: ClassVar[int | None] = 1

    @property
    def variables(self) -> Mapping[str, Variable]:
        return {"w": Variable("recovery current", rest=jnp.zeros_like(self.a))}

    def rates(self, y: State) -> dict[str, Values]:
        return {"w": self.a * (self.b * (y.v - self.reference) - y.w) + self.jump * y.r}

    def steady(self, r: Values) -> dict[str, Values]:
        return self.settled(r, jnp.zeros_like(r))

    def settled(self, r: Values, v: Values) -> dict[str, Values]:
        return {"w": self.b * (v - self.reference) + self.jump * r / self.a}

    def time_constants(self, r: Values) -> Values:
        return 1 / self.a[None]

    def effective(self, eta: Values, J: Values, y: State) -> tuple[Values, Values]:
        return eta - y.w, J
