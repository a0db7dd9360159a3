"""Components of a population beside its own equations: terms with variables of their own, and without.

A term adds variables to the state and changes what the fast equations see or what leaves the population. Every slot of `MPR`
takes any `AbstractTerm`, so a new term is one class, written anywhere.
"""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._parameter import check_parameters, declared, parameter
from .._types import Scalar, Values
from .state import State, Variable


class AbstractTerm(eqx.Module):
    """Part of a population with variables of its own: adaptation, depression, plasticity, a synapse.

    `degree` is that of the term's part of the vector field as a polynomial in the state, None if it is none: basins are
    proofs only if it is known. `scales_coupling` says that the term changes what the coupling J delivers: two such terms
    have no known store together. `acts_by` is "A" or "xu" if the term moves the landscape by the variable A or the product
    x u alone, in which η_eff and J_eff are affine: slow–fast pictures and predicted bursts need that.
    """

    degree: ClassVar[int | None] = None
    scales_coupling: ClassVar[bool] = False
    acts_by: ClassVar[str | None] = None

    def __check_init__(self) -> None:
        check_parameters(self)

    @property
    @abc.abstractmethod
    def variables(self) -> Mapping[str, Variable]:
        """Declarations of the variables that the term adds, by name, each with the value `rest` without activity."""

    @abc.abstractmethod
    def rates(self, y: State) -> dict[str, Values]:
        """Time derivative of each variable at the state `y`, which has `r` (1/time), `v` and the term's own variables."""

    @abc.abstractmethod
    def steady(self, r: Values) -> dict[str, Values]:
        """Values to which the variables settle at a rate held at `r` (1/time)."""

    def settled(self, r: Values, v: Values) -> dict[str, Values]:
        """The same at a rate `r` and a voltage `v` that are both held, for terms that see v; `steady(r)` by default."""
        del v
        return self.steady(r)

    @abc.abstractmethod
    def time_constants(self, r: Values) -> Values:
        """Time constants of the variables at a rate held at `r`, shape (variables,)."""

    def effective(self, eta: Values, J: Values, y: State) -> tuple[Values, Values]:
        """(η_eff, J_eff) that the fast equations see at the state `y`; (`eta`, `J`) by default."""
        return eta, J

    def sent(self, y: State, R: Values) -> Values:
        """The signal that leaves the population's synapses at the state `y` instead of its rate `R` = τ r (dimensionless);
        R by default.
        """
        return R

    def store(self, J: Values, tau: Values, y: State) -> dict[str, Values]:
        """Energy that each variable stores at the state `y` beyond the instantaneous landscape: with it the term only pumps
        or only dissipates, by the sign of its feedback; {} (the default) if no such store is known. `J` and `tau` are those
        of the population."""
        del J, tau, y
        return {}

    def dissipates(self, J: Values) -> Any:
        """Whether the term, with its `store`, never brings energy into a population of the coupling `J`; False (the default)
        if that isn't known."""
        return jnp.zeros_like(J, bool)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables that the term adds."""
        return tuple(self.variables)

    @property
    def rest(self) -> dict[str, Values]:
        """Values of its variables without activity: 0 for those that follow another one."""
        zero = jnp.zeros(())
        return {name: zero if isinstance(each.rest, str) else each.rest for name, each in self.variables.items()}

    def conductance(self, tau: Values, y: State) -> tuple[Values, Values] | None:
        """(g, E) at the state `y` of a term that acts as a conductance: −g R in the rate and g (E − v) in the voltage
        equation, dimensionless; None (the default) for others. `tau` is the population's time constant."""
        del tau, y
        return None


@declared
class Leak(eqx.Module):
    """A constant conductance: adds −g r to the rate and g (E − v) to the voltage equation.

    - `g`: conductance ≥ 0, dimensionless
    - `E`: its reversal potential, in units of v; 0 by default

    What a synapse with a conductance is while it is held. Exactly a current: with w = v − g/2 the population has η + g E −
    g²/4. Raises `ValueError` for g < 0. Source: docs/theory.md §C3.
    """

    g: Scalar = parameter(symbol="g_L", bounds="[0, inf)", doc="leak conductance")
    E: Scalar = parameter(0.0, symbol="E_L", doc="reversal potential of the leak")

    def __check_init__(self) -> None:
        check_parameters(self)


@declared
class GapJunction(eqx.Module):
    """Electrical coupling of strength g: adds −g r to the rate equation.

    - `g`: strength ≥ 0, dimensionless

    In the mechanical picture it is van der Pol anti-damping, so it can sustain oscillations. With Lorentzian currents these
    are not universal (Pietras & Montbrió, arXiv:2409.18278): compare with `heterogeneity=GaussianLike(4)`. Raises
    `ValueError` for g < 0. Source: Pietras et al., Phys. Rev. E 100:042412 (2019).
    """

    g: Scalar = parameter(symbol="g", bounds="[0, inf)", doc="gap-junction strength")

    def __check_init__(self) -> None:
        check_parameters(self)


@declared
class CouplingHeterogeneity(eqx.Module):
    """Couplings that differ from neuron to neuron, by a Lorentzian around J: adds Γ_J r/π to the rate equation.

    - `Gamma`: half-width Γ_J ≥ 0 of the couplings, dimensionless

    The input J r then has the half-width Γ_J r, which adds to that of the excitabilities. In the mechanical picture it is a
    damping Γ_J/π, the opposite of a gap junction, and it can't make an oscillation. What scales or filters the coupling,
    such as depression or a synapse, scales or filters its width, too. Raises `ValueError` for Γ_J < 0. Source: Montbrió,
    Pazó & Roxin, Phys. Rev. X 5:021028 (2015); docs/theory.md §4.
    """

    Gamma: Scalar = parameter(symbol="Γ_J", bounds="[0, inf)", doc="half-width of the couplings")

    def __check_init__(self) -> None:
        check_parameters(self)


@declared
class ConductanceSynapse(eqx.Module):
    """Instantaneous conductance synapse: adds −k r² to the rate and k r (E_s − v) to the voltage equation.

    - `k`: conductance per unit of rate, ≥ 0, dimensionless
    - `E_s`: reversal potential, in units of v; 0 by default

    Raises `ValueError` for k < 0. Source: Coombes & Byrne, in: Nonlinear Dynamics in Computational Neuroscience (2019).
    """

    k: Scalar = parameter(symbol="k", bounds="[0, inf)", doc="synaptic conductance per unit of rate")
    E_s: Scalar = parameter(0.0, symbol="E_s", doc="reversal potential")

    def __check_init__(self) -> None:
        check_parameters(self)
