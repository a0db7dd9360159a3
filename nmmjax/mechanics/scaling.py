"""Changes of scale and of clock under which a population keeps its form.

`rescale`: r = c r̃, v = c ṽ, t = t̃/c, η = c² η̃, J = c J̃, Δ = c² Δ̃, g = c g̃, Γ_J = c Γ̃_J, k = k̃, E_s = c Ẽ_s.
With c = |J| (`strong_coupling`) only Δ̃ = Δ/J² is not Hamiltonian; with c = √Δ (`unit_heterogeneity`) Δ̃ = 1.
`RescaledTime` runs a population on the clock ds = r² dt in which (r, v) are canonical.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._parameter import as_number
from .._results import Shown
from .._types import Real, Scalar, Values, is_concrete
from ..models.base import AbstractModel, as_states, require_one, takes_model
from ..models.mpr import FAST, MPR
from ..models.state import State, StateLike, Variable
from ..models.terms import ConductanceSynapse, CouplingHeterogeneity, GapJunction, Leak


class Scaling(eqx.Module, Shown):
    """A rescaled population and the way back.

    - `model`: the population in scaled units
    - `factor`: c, with r = c r̃, v = c ṽ, t = t̃/c
    """

    model: MPR
    factor: Scalar

    def to_scaled(self, y: StateLike) -> State:
        """State `y` in original units → scaled units."""
        y = as_states(y, self.model)
        return State(r=y.r / self.factor, v=y.v / self.factor)

    def to_original(self, y: StateLike) -> State:
        """State `y` in scaled units → original units."""
        y = as_states(y, self.model)
        return State(r=y.r * self.factor, v=y.v * self.factor)

    def time_to_scaled(self, t: Values) -> Values:
        """Scaled time t̃ = c t of times `t` in original units."""
        return self.factor * t

    def time_to_original(self, t: Values) -> Values:
        """Original time t = t̃/c of scaled times `t`."""
        return t / self.factor

    def energy_to_original(self, energy: Values) -> Values:
        """E = c (Ẽ − (J̃ + k Ẽ_s) ln c), from the scaled population's `energy` Ẽ."""
        slope = self.model.J
        if self.model.conductance is not None:
            slope = slope + self.model.conductance.k * self.model.effective_reversal
        return self.factor * (energy - slope * jnp.log(self.factor))


@takes_model
def rescale(model: MPR, factor: Real) -> Scaling:
    """Population in units scaled by a factor c: r = c r̃, v = c ṽ, t = t̃/c, η = c² η̃, J = c J̃, Δ = c² Δ̃; exact.

    Gap junctions, leaks, the width of the couplings and conductances scale as g = c g̃, Γ_J = c Γ̃_J, k = k̃, E_s = c Ẽ_s.

    - `model`: an MPR population without slow terms
    - `factor`: c > 0, a number

    Returns a `Scaling`: the scaled population and the way back. Raises `ValueError` for networks, slow terms and c ≤ 0.
    Source: docs/theory.md §3.
    """
    c = as_number("factor", factor, "(0, inf)")
    _refuse_slow(model, "rescaled")
    gap, synapse, wide = model.gap, model.conductance, model.coupling_heterogeneity
    scaled = MPR(
        eta=model.eta / c**2,
        J=model.J / c,
        Delta=model.Delta / c**2,
        tau=model.tau,
        gap=None if gap is None else GapJunction(gap.g / c),
        conductance=None if synapse is None else ConductanceSynapse(synapse.k, synapse.E_s / c),
        leak=None if model.leak is None else Leak(model.leak.g / c, model.leak.E / c),
        coupling_heterogeneity=None if wide is None else CouplingHeterogeneity(wide.Gamma / c),
    )
    return Scaling(scaled, c)


def _refuse_slow(model: MPR, what: str) -> None:
    require_one(model, offer="riccati")
    require("model", model, f"be without slow terms to be {what} (use `model.frozen(y)`)", not model.slow_names)


@takes_model
def strong_coupling(model: MPR) -> Scaling:
    """Units of the coupling, c = |J|: η̃ = η/J², J̃ = ±1 and Δ̃ = Δ/J², the only term that breaks conservation of H.

    The drift of H per cycle vanishes like Δ/J².

    - `model`: an MPR population without slow terms, J ≠ 0

    Returns a `Scaling`: the scaled population and the way back. Raises `ValueError` for networks, slow terms and J = 0.
    Source: Andrean & Pedersen, arXiv 2509.10428 (2025); docs/theory.md §3.
    """
    _refuse_slow(model, "rescaled")
    if is_concrete(model.J):
        require("J", model.J, "be different from 0 for the strong-coupling scaling", bool(np.asarray(model.J) != 0))
    return rescale(model, jnp.abs(model.J))


@takes_model
def unit_heterogeneity(model: MPR) -> Scaling:
    """Units in which Δ̃ = 1, c = √Δ.

    - `model`: an MPR population without slow terms, Δ > 0

    Returns a `Scaling`: the scaled population and the way back. Raises `ValueError` for networks, slow terms and Δ = 0.
    Source: docs/theory.md §3.
    """
    _refuse_slow(model, "rescaled")
    if is_concrete(model.Delta):
        require("Delta", model.Delta, "be > 0 for the scaling to Δ = 1", bool(np.asarray(model.Delta) > 0))
    return rescale(model, jnp.sqrt(model.Delta))


class RescaledTime(AbstractModel):
    """A population on the clock s with ds = r² dt, on which (r, v) are canonical: dr/ds = ∂E/∂v, dv/ds = −∂E/∂r − ….

    - `model`: an MPR population without slow terms

    The state (r, v, t) carries the physical time, so the way back is the column `t` of the solution. A stimulus is still
    a function of physical time; `simulate` refuses one with jumps, because their places on the clock s are not known
    beforehand. s has the unit of 1/time. Raises `ValueError` for networks and slow terms. Source: Andrean & Pedersen,
    arXiv 2509.10428 (2025).
    """

    model: MPR

    equations: ClassVar[str] = "dr/ds = r'/r²;  dv/ds = v'/r²;  dt/ds = 1/r²"
    source: ClassVar[str] = "Andrean & Pedersen, arXiv 2509.10428 (2025)"
    own_clock: ClassVar[bool] = True

    def __check_init__(self) -> None:
        _refuse_slow(self.model, "run on another clock")

    @property
    def variables(self) -> Mapping[str, Variable]:
        return FAST | {"t": Variable("physical time", "time", rest=jnp.zeros_like(self.model.tau))}

    @property
    def positive(self) -> tuple[str, ...]:
        return self.model.positive

    def physical_time(self, t: Values, y: State) -> Values:
        return y.t

    def vector_field(self, t: Values, y: State, I: Any = 0.0) -> State:
        flow = self.model.vector_field(y.t, State(r=y.r, v=y.v), I)
        return State(r=flow.r / y.r**2, v=flow.v / y.r**2, t=1 / y.r**2)
