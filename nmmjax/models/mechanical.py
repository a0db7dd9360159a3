"""Models with an energy: a potential and a damping, from which energies, forces, balance and barriers follow.

    q̈ + Γ(q) q̇ + U′(q) = −I q,        E = ½ q̇² + U(q) + ½ I q²

with derivatives by t/τ. `AbstractRiccati` adds an exactly solvable part, W ↦ a Möbius map, on which the geometric solvers,
noise in kicks and fused sweeps are built.
"""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._checks import require
from .._types import Scalar, Values
from .base import AbstractModel
from .state import State


class AbstractMechanical(AbstractModel):
    """A model whose fast motion is that of a unit mass: q̈ + Γ(q) q̇ + U′(q) = −I q, exactly, at frozen slow variables.

    It declares `potential`, `damping`, and the maps `position` and `at` between its state and (q, q̇); slow variables, if it
    has any, by `slow_names` and `frozen`. `time_constant` is the unit of time in which the equation holds, 1 by default.
    """

    @abc.abstractmethod
    def potential(self, q: Values) -> Values:
        """U(q) at positions `q`, dimensionless; elementwise."""

    @abc.abstractmethod
    def damping(self, q: Values) -> Values:
        """Γ(q) at positions `q`, per unit of t/τ; elementwise."""

    @abc.abstractmethod
    def position(self, y: State) -> tuple[Values, Values]:
        """(q, q̇) of the state `y`, q̇ the derivative by t/τ; elementwise."""

    @abc.abstractmethod
    def at(self, q: Values, qdot: Values) -> State:
        """The state with position `q` and velocity `qdot`, the derivative by t/τ, without slow variables."""

    def kinetic_energy(self, y: State) -> Values:
        """½ q̇² at the state `y`, dimensionless; elementwise."""
        return self.position(y)[1] ** 2 / 2

    def potential_energy(self, y: State, I: Values | None = None) -> Values:
        """U(q) + ½ I q² at the state `y`, U(q) without an input `I`, dimensionless; elementwise."""
        q = self.position(y)[0]
        return self.potential(q) if I is None else self.potential(q) + I * q**2 / 2

    @property
    def time_constant(self) -> Values:
        """τ, the unit of time in which the mechanical equation holds; 1 by default."""
        return jnp.ones(())

    def frozen(self, y: State) -> "AbstractMechanical":
        """The model in its instantaneous landscape: its slow variables held at those of `y`. Itself if it has none."""
        del y
        return self

    def tilted(self, I: Values) -> "AbstractMechanical":
        """The model under a constant further input `I`, which tilts its landscape by ½ I q²."""
        return Tilted(self, jnp.asarray(I))

    @property
    def passive(self) -> Any:
        """Whether it is proved that the model comes to rest at any constant input, as its energy falls until then; False
        (the default) says nothing."""
        return jnp.array(False)

    def stores(self, y: State) -> dict[str, Values]:
        """Energy that each slow variable stores at the state `y` beyond the instantaneous landscape, dimensionless, by name;
        none by default."""
        del y
        return {}

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"potential"})


class Tilted(AbstractMechanical):
    """A mechanical model under a constant further input."""

    equations: ClassVar[str] = "those of the model, under I + input"
    source: ClassVar[str] = "docs/theory.md §4"

    model: AbstractMechanical
    input: Values

    @property
    def variables(self) -> Any:
        return self.model.variables

    @property
    def time_constant(self) -> Values:
        return self.model.time_constant

    @property
    def slow_names(self) -> tuple[str, ...]:
        return self.model.slow_names

    def vector_field(self, t: Values, y: State, I: Any = 0.0) -> State:
        return self.model.vector_field(t, y, I + self.input)

    def potential(self, q: Values) -> Values:
        return self.model.potential(q) + self.input * q**2 / 2

    def damping(self, q: Values) -> Values:
        return self.model.damping(q)

    def position(self, y: State) -> tuple[Values, Values]:
        return self.model.position(y)

    def at(self, q: Values, qdot: Values) -> State:
        return self.model.at(q, qdot)

    @property
    def passive(self) -> Any:
        return self.model.passive

    def frozen(self, y: State) -> "Tilted":
        return Tilted(self.model.frozen(y), self.input)


class Riccati(eqx.Module):
    """The parts of a population that geometric solvers use: dimensionless time t/τ and rate R = τ r.

        Ẇ = Δ + i η − i W² + i f(R) − g R + conductance terms,    W = π R + i v

    - `eta`, `Delta`: centre and half-width of the excitabilities
    - `g`: what gap junctions take from the rate, less what heterogeneous couplings add, g − Γ_J/π; `k`, `E_s`: synaptic
      conductance and its reversal potential; `leak`: a constant conductance and its reversal potential; None if absent
    - `modes`: poles and weights (`models.modes.Modes`) of excitabilities that aren't Lorentzian; `eta` and `Delta` then have
      an axis for them in front. None if they are

    Numbers for one population, arrays `(n,)` for a network, all dimensionless.
    """

    eta: Values
    Delta: Values
    g: Values | None
    k: Values | None
    E_s: Values | None
    leak: tuple[Values, Values] | None = None
    modes: Any = None

    def total(self, R: Values, v: Values) -> tuple[Values, Values]:
        """The population's own R and v, of `R` and `v` of its modes, (K, …); the same if there is one mode only."""
        return (R, v) if self.modes is None else self.modes.total(R, v)

    def over(self, value: Any) -> Any:
        """`value`, which is the same for all modes, with their axis in front."""
        return value if self.modes is None or jnp.ndim(value) == 0 else value[None]

    @property
    def plain(self) -> bool:
        """Whether there are neither gap junctions and heterogeneous couplings nor conductances, a leak included."""
        return self.g is None and self.k is None and self.leak is None


class AbstractRiccati(AbstractMechanical):
    """QIF neurons with Lorentzian heterogeneity: W = π τ r + i v obeys a Riccati equation, except for the drive.

    Its state has `r` and `v`, its parameters are η, J, Δ and τ, and closed forms follow from them.
    """

    eta: eqx.AbstractVar[Scalar]
    J: eqx.AbstractVar[Scalar]
    Delta: eqx.AbstractVar[Scalar]
    tau: eqx.AbstractVar[Scalar]

    @abc.abstractmethod
    def riccati(self) -> Riccati:
        """The constants of the exactly solvable part."""

    @abc.abstractmethod
    def drive(self, R: Values) -> Values:
        """The recurrent input f(R) at rates `R` = τ r that a geometric solver applies as a kick of v."""

    @abc.abstractmethod
    def vector_potential(self, q: Values) -> Values:
        """A(q) at positions `q`, with q̇ = p − A(q) and p = −v q; elementwise."""

    @property
    def mode_names(self) -> tuple[str, ...]:
        """Names of the variables of modes 2 … K, if excitabilities have several poles; none by default."""
        return ()

    def as_read(self, y: State) -> State:
        """The state `y` as the order parameter Z of the neurons' voltages reads it: r and v of the Lorentzian law with this
        Z. With one mode the law is such a one, and r and v are the same."""
        return y

    def to_modes(self, y: State) -> tuple[Values, Values]:
        """R = τ r and v at the state `y`, those of all modes, (K, …), if there are several."""
        return self.tau * y.r, y.v

    def from_modes(self, R: Values, v: Values, slow: dict[str, Values]) -> State:
        """The state of these modes, `R` and `v`, and the `slow` variables."""
        return State(r=R / self.tau, v=v, **slow)

    @property
    def filters(self) -> Any:
        """The synapse (`AbstractSynapse`) if it is the only term with variables: at a held rate it is solved exactly, so
        that geometric solvers take it; None otherwise."""
        return None

    def instantaneous(self) -> Any:
        """The population whose synapse passes the rate at once; itself without one."""
        return self

    def leaking(self, g: Values, current: Values) -> Any:
        """The population with a further conductance `g` ≥ 0 that at v = 0 brings `current` = g E; refused by default."""
        del g, current
        require(
            "reversal", type(self).__name__, "be None for nodes that take no leak (define `leaking`, as `MPR` does)", False
        )

    def held_leak(self, r: Values, synapse: dict[str, Values]) -> tuple[Values, Values] | None:
        """(g, E) of all conductances, a leak's and that of a `synapse` in this state at the rate `r`; None without any."""
        del r, synapse
        return None

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"potential", "riccati", "splitting"})
