"""Layer 1: slow variables of a population: adaptation, synaptic depression, short-term plasticity.

Each term adds state variables with linear or bilinear dynamics driven by the firing rate, and changes what the fast
equations see: spike-frequency adaptation lowers the excitability, η_eff = η − A, depression and plasticity scale the
coupling, J_eff = J (1 − A) and J_eff = J x u. Frozen, they leave an ordinary population with an energy landscape of its
own (`MPR.frozen`); moving, they tilt it.

Convention for the gain α: that of Gast, Schmidt & Knösche, Neural Comput. 32:1615 (2020), in which a steady rate r gives
A = α τ_A r. The Virtual Brain's models use A = α r at steady rate, so α_TVB = τ_A α.
"""

import abc
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp

from .._checks import require
from .._parameter import check_parameters, declared, parameter
from .._types import Scalar, Values
from .base import State

KERNELS = ("alpha", "exponential")


class AbstractSlowTerm(eqx.Module):
    """Slow variables of a population: their rest, their rates, and the excitability and coupling that they leave."""

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """The state variables that the term adds."""

    @abc.abstractmethod
    def rest(self) -> dict[str, Values]:
        """Values without activity, the default initial ones."""

    @abc.abstractmethod
    def rates(self, y: State) -> dict[str, Values]:
        """Derivative by time of each variable."""

    @abc.abstractmethod
    def steady(self, r: Values) -> dict[str, Values]:
        """Values to which the variables settle at a rate held at r."""

    @abc.abstractmethod
    def time_constants(self, r: Values) -> Values:
        """Time constants of the variables at a rate held at r, shape (variables,)."""

    @abc.abstractmethod
    def effective(self, eta: Values, J: Values, y: State) -> tuple[Values, Values]:
        """(η_eff, J_eff) that the fast equations see."""


class AbstractAdaptation(AbstractSlowTerm):
    """A variable A that follows the rate r, by a kernel of time constant τ.

    τ A′ = B,  τ B′ = α τ r − 2 B − A      kernel="alpha" (state A, B)
    τ A′ = α τ r − A                       kernel="exponential" (state A)
    """

    alpha: eqx.AbstractVar[Scalar]
    tau: eqx.AbstractVar[Scalar]
    kernel: eqx.AbstractVar[str]

    def __check_init__(self) -> None:
        check_parameters(self)
        require("kernel", self.kernel, f"be one of {KERNELS}", self.kernel in KERNELS)

    @property
    def names(self) -> tuple[str, ...]:
        return ("A", "B") if self.kernel == "alpha" else ("A",)

    def rest(self) -> dict[str, Values]:
        return {name: jnp.zeros_like(self.tau) for name in self.names}

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

    A steady rate gives A = α τ_A r with both (`alpha` times τ_A is the gain in The Virtual Brain's convention). In the
    unit of η. Gast, Schmidt & Knösche, Neural Comput. 32:1615 (2020). Raises `ValueError` for α < 0 and τ_A ≤ 0.
    """

    alpha: Scalar = parameter(symbol="α", bounds="[0, inf)", doc="adaptation gain; a steady rate gives A = α τ_A r")
    tau: Scalar = parameter(symbol="τ_A", unit="time", bounds="(0, inf)", doc="time constant of adaptation")
    kernel: str = eqx.field(static=True, default="alpha")

    def effective(self, eta: Values, J: Values, y: State) -> tuple[Values, Values]:
        return eta - y.A, J


@declared
class SynapticDepression(AbstractAdaptation):
    """Coupling that weakens with activity: J_eff = J (1 − A), with A as in `SpikeFrequencyAdaptation`.

    A is not clipped at 1: a depression beyond 1 would turn excitation into inhibition, which tells that α τ_A r is too
    large for the model. Gast, Schmidt & Knösche, Neural Comput. 32:1615 (2020); α_TVB = τ_A α. Raises `ValueError` for
    α < 0 and τ_A ≤ 0.
    """

    alpha: Scalar = parameter(symbol="α", bounds="[0, inf)", doc="depression gain; a steady rate gives A = α τ_A r")
    tau: Scalar = parameter(symbol="τ_A", unit="time", bounds="(0, inf)", doc="time constant of depression")
    kernel: str = eqx.field(static=True, default="alpha")

    def effective(self, eta: Values, J: Values, y: State) -> tuple[Values, Values]:
        return eta, J * (1 - y.A)


@declared
class ShortTermPlasticity(AbstractSlowTerm):
    """Tsodyks–Markram synapses: J_eff = J x u with depressing resources x and facilitating utilization u.

        x′ = (1 − x)/τ_d − u x r,      u′ = (U0 − u)/τ_f + U0 (1 − u) r

    At rest x = 1 and u = U0. Taher, Torcini & Olmi, PLoS Comput. Biol. 16:e1008533 (2020). Raises `ValueError` for time
    constants ≤ 0 and U0 outside (0, 1].
    """

    tau_d: Scalar = parameter(symbol="τ_d", unit="time", bounds="(0, inf)", doc="recovery time of resources (depression)")
    tau_f: Scalar = parameter(symbol="τ_f", unit="time", bounds="(0, inf)", doc="decay time of facilitation")
    U0: Scalar = parameter(symbol="U_0", bounds="(0, 1]", doc="utilization at rest")

    def __check_init__(self) -> None:
        check_parameters(self)

    @property
    def names(self) -> tuple[str, ...]:
        return "x", "u"

    def rest(self) -> dict[str, Values]:
        return {"x": jnp.ones_like(self.U0), "u": self.U0}

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


def rest_of(terms: tuple[AbstractSlowTerm, ...]) -> Mapping[str, Values]:
    """Values at rest of all slow variables of these terms, by name."""
    return {name: value for term in terms for name, value in term.rest().items()}
