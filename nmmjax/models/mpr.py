"""The next-generation neural mass of quadratic integrate-and-fire neurons, with its optional terms."""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._checks import require
from .._parameter import declared, parameter
from .._types import Scalar, Values, is_concrete
from .heterogeneity import AbstractHeterogeneity, Broadened
from .mechanical import AbstractRiccati, Riccati
from .modes import Modes, join_modes, mode_field, mode_variables, modes_of, parts_of, resting_modes
from .state import State, Variable
from .synapses import AbstractSynapse
from .terms import AbstractTerm, ConductanceSynapse, CouplingHeterogeneity, GapJunction, Leak

FAST = {
    "r": Variable("firing rate", "1/time", positive=True),
    "v": Variable("mean voltage"),
}


@declared
class MPR(AbstractRiccati):
    """Heterogeneous, all-to-all coupled quadratic integrate-and-fire neurons in the thermodynamic limit.

        τ dr/dt = Δ/(πτ) + 2 r v − (g − Γ_J/π) r − k τ r²
        τ dv/dt = v² + η + I(t) + J τ r − (π τ r)² + k τ r (E_s − v)

    The state is r (firing rate, per unit of time) and v (mean voltage, dimensionless). Excitabilities follow a Lorentzian
    of centre `eta` and half-width `Delta`. Without `gap` (g), `coupling_heterogeneity` (Γ_J) and `conductance` (k, E_s)
    this is the model of Montbrió, Pazó & Roxin, Phys. Rev. X 5:021028 (2015). Use it for one homogeneous or heterogeneous
    population; parameters are scalars, and `jax.vmap` gives many populations. Defaults are the bistable set of that paper.

    `heterogeneity` is another distribution of the excitabilities η + Δ x, such as `GaussianLike(4)`, given by its K poles;
    None (the default) and `Lorentzian()` are the equations above. The state then has the modes r2, v2, … r_K, v_K, too, each
    with a Riccati equation of its own (docs/theory.md §F); r and v stay the population's own. No energy is known then:
    `simulate`, `sweep`, `continue_branch`, networks and fits of trajectories take such a population, functions of energies
    don't. Tails matter: at equal width those of a Lorentzian damp the active state most.

    `adaptation` and `plasticity` add slow variables, which replace η by η_eff = η − A (`SpikeFrequencyAdaptation`) or J by
    J_eff = J (1 − A) (`SynapticDepression`), J x u (`ShortTermPlasticity`) in the equations above. `synapse` filters what
    leaves the population: J τ r becomes J times what the term sends, and what it does as a conductance; `leak` is a constant
    conductance. All three take any `AbstractTerm`. `note` is a line for the print-out, such as units and source.

    Raises `ValueError` for Δ < 0, τ ≤ 0, NaN, non-scalar values, unknown names, two terms with the same variable, and
    `coupling_heterogeneity` together with several poles.
    """

    eta: Scalar = parameter(-5.0, symbol="η", doc="centre of the excitability distribution")
    J: Scalar = parameter(15.0, symbol="J", doc="synaptic coupling; negative is inhibitory")
    Delta: Scalar = parameter(1.0, symbol="Δ", bounds="[0, inf)", doc="half-width of the excitabilities")
    tau: Scalar = parameter(1.0, symbol="τ", unit="time", bounds="(0, inf)", doc="membrane time constant")
    gap: GapJunction | None = None
    conductance: ConductanceSynapse | None = None
    adaptation: AbstractTerm | None = None
    plasticity: AbstractTerm | None = None
    synapse: AbstractTerm | None = None
    leak: Leak | None = None
    coupling_heterogeneity: CouplingHeterogeneity | None = None
    heterogeneity: AbstractHeterogeneity | None = None
    note: str = eqx.field(static=True, default="")

    equations: ClassVar[str] = (
        "τ r' = Δ/(πτ) + 2 r v − (g − Γ_J/π) r − k τ r²;  τ v' = v² + η + I(t) + J τ r − (π τ r)² + k τ r (E_s − v)"
    )
    source: ClassVar[str] = "Montbrió, Pazó & Roxin, Phys. Rev. X 5:021028 (2015)"

    def __check_init__(self) -> None:
        is_gap = self.gap is None or isinstance(self.gap, GapJunction)
        require("gap", self.gap, "be None or a `GapJunction`", is_gap)
        is_synapse = self.conductance is None or isinstance(self.conductance, ConductanceSynapse)
        require("conductance", self.conductance, "be None or a `ConductanceSynapse`", is_synapse)
        require("leak", self.leak, "be None or a `Leak`", self.leak is None or isinstance(self.leak, Leak))
        wide = self.coupling_heterogeneity
        known = wide is None or isinstance(wide, CouplingHeterogeneity)
        require("coupling_heterogeneity", wide, "be None or a `CouplingHeterogeneity`", known)
        spread = self.heterogeneity
        is_spread = spread is None or isinstance(spread, AbstractHeterogeneity)
        require("heterogeneity", spread, "be None or a distribution such as `GaussianLike(4)`", is_spread)
        alone = "be None with a `heterogeneity` that isn't Lorentzian"
        require("coupling_heterogeneity", wide, alone, wide is None or self.modes is None)
        names = [*FAST, *mode_variables(spread)]
        for slot in ("adaptation", "plasticity", "synapse"):
            term = getattr(self, slot)
            rule = "be None or a term such as `SpikeFrequencyAdaptation(...)` (an `AbstractTerm`)"
            require(slot, term, rule, term is None or isinstance(term, AbstractTerm))
            own = () if term is None else term.names
            require(slot, own, f"add variables other than {', '.join(names)}", not set(own) & set(names))
            names += own

    @property
    def slow_terms(self) -> tuple[AbstractTerm, ...]:
        """The terms that add variables."""
        return tuple(term for term in (self.adaptation, self.plasticity, self.synapse) if term is not None)

    @property
    def slow_names(self) -> tuple[str, ...]:
        """The variables that terms add: they move the landscape of r and v."""
        return tuple(name for term in self.slow_terms for name in term.names)

    @property
    def variables(self) -> Mapping[str, Variable]:
        own = FAST | mode_variables(self.heterogeneity)
        return own | {name: each for term in self.slow_terms for name, each in term.variables.items()}

    @property
    def modes(self) -> Modes | None:
        """Poles and weights of the excitabilities; None for Lorentzian ones."""
        return modes_of(self.heterogeneity, self.eta.dtype)

    @property
    def offers(self) -> frozenset[str]:
        return (super().offers if self.modes is None else frozenset({"splitting"})) | {"resting"}

    @property
    def degree(self) -> int | None:
        degrees = [term.degree for term in self.slow_terms]
        return None if None in degrees else max([2, *(each for each in degrees if each is not None)])

    @property
    def time_constant(self) -> Any:
        return self.tau

    @property
    def filters(self) -> AbstractSynapse | None:
        alone = len(self.slow_terms) == 1 and self.coupling_heterogeneity is None  # whose width moves with the synapse
        return self.synapse if alone and isinstance(self.synapse, AbstractSynapse) else None

    @property
    def rate_loss(self) -> Any:
        """g − Γ_J/π: what gap junctions take from the rate, less what heterogeneous couplings add; None without both."""
        if self.coupling_heterogeneity is None:
            return None if self.gap is None else self.gap.g
        gain = self.coupling_heterogeneity.Gamma / jnp.pi
        return -gain if self.gap is None else self.gap.g - gain

    def instantaneous(self) -> "MPR":
        return self if self.synapse is None else eqx.tree_at(lambda each: each.synapse, self, None)

    def leaking(self, g: Values, current: Values) -> "MPR":
        if self.leak is not None:
            g, current = g + self.leak.g, current + self.leak.g * self.leak.E
        leak = eqx.tree_at(lambda each: (each.g, each.E), Leak(g=0.0), (g, current / jnp.where(g > 0, g, jnp.ones_like(g))))
        return eqx.tree_at(lambda each: each.leak, self, leak, is_leaf=lambda each: each is None)

    def held_leak(self, r: Values, synapse: dict[str, Values]) -> tuple[Values, Values] | None:
        leak = self._leak_at(State(r=r, v=jnp.zeros_like(r), **synapse))
        return None if leak is None else (leak.g, leak.E)

    def frozen(self, y: State) -> "MPR":
        """The population with its slow variables held at those of `y`: an MPR with η_eff and J_eff and no slow terms.

        Parameters then have the shape of the state. Its energy landscape is the instantaneous one. The population itself if
        it has no slow terms. Raises `ValueError` if `y` lacks a slow variable.
        """
        if not self.slow_terms:
            return self
        lacking = [name for name in self.slow_names if name not in y.names]
        require("y", y.names, f"have the slow variables {', '.join(map(repr, self.slow_names))}", not lacking)
        eta, J, Delta, wide = self.eta, self.J, self.Delta, self.coupling_heterogeneity
        edge: Any = None if wide is None else J + wide.Gamma  # the coupling of a neuron half a width off the centre
        for term in self.slow_terms:
            edge = None if edge is None else term.effective(eta, edge, y)[1]
            eta, J = term.effective(eta, J, y)
        leak = self.leak
        if wide is not None:
            wide = eqx.tree_at(lambda each: each.Gamma, wide, edge - J)
        if self.synapse is not None:  # its output is a current and a conductance, whatever the rate
            sent = self.synapse.sent(y, self.tau * y.r)
            if wide is not None:
                Delta, wide = Delta + wide.Gamma * sent, None
            eta, J = eta + J * sent, jnp.zeros_like(J * y.r)
            leak = self._leak_at(y)
        names = ("eta", "J", "Delta", "adaptation", "plasticity", "synapse", "leak", "coupling_heterogeneity")
        parts = lambda model: [getattr(model, name) for name in names]
        return eqx.tree_at(parts, self, [eta, J, Delta, None, None, None, leak, wide], is_leaf=lambda each: each is None)

    def _leak_at(self, y: State) -> Leak | None:
        """The leak that the synapse's conductance is while it is held, together with a constant one."""
        held = None if self.synapse is None else self.synapse.conductance(self.tau, y)
        if held is None:
            return self.leak
        g, E = held
        if self.leak is not None:  # two conductances are one, with the mean reversal
            g, E = g + self.leak.g, (g * E + self.leak.g * self.leak.E) / (g + self.leak.g)
        return eqx.tree_at(lambda each: (each.g, each.E), Leak(g=0.0), (g, jnp.broadcast_to(E, jnp.shape(g))))

    def tilted(self, I: Values) -> "MPR":
        """The population with η + I."""
        return eqx.tree_at(lambda each: each.eta, self, self.eta + I)

    def slow_rates(self, y: State) -> dict[str, Values]:
        """d/dt of every slow variable by name, at the state `y`, per unit of time."""
        return {name: rate for term in self.slow_terms for name, rate in term.rates(y).items()}

    def slow_steady(self, r: Values) -> dict[str, Values]:
        """Values of the slow variables by name at a rate held at `r`, per unit of time, and the voltage that holds it."""
        settled = {name: value for term in self.slow_terms for name, value in term.steady(r).items()}
        v = self.frozen(State(r=r, v=jnp.zeros_like(r), **settled)).voltage_at_rate(self.tau * r)
        return {name: value for term in self.slow_terms for name, value in term.settled(r, v).items()}

    def slow_rest(self) -> dict[str, Values]:
        """Values of the slow variables without activity."""
        return {name: value for term in self.slow_terms for name, value in term.rest.items()}

    def stores(self, y: State) -> dict[str, Values]:
        """Energy that each slow variable stores at the state `y` beyond the instantaneous landscape, by name; those without
        a known store are left out."""
        alone = sum(term.scales_coupling for term in self.slow_terms) <= (self.coupling_heterogeneity is None)
        known = [term for term in self.slow_terms if alone or not term.scales_coupling]
        return {name: value for term in known for name, value in term.store(self.J, self.tau, y).items()}

    @property
    def passive(self) -> Any:
        """Whether it is proved that the population comes to rest at any constant input: damping at every rate, and of slow
        terms only those that dissipate, as excitation through an `ExponentialSynapse` does (docs/theory.md §C1)."""
        if self.coupling_heterogeneity is not None and self.slow_terms:
            return jnp.zeros_like(self.J, bool)
        loss = jnp.zeros_like(self.J) if self.rate_loss is None else self.rate_loss
        resistance = jnp.zeros_like(self.J) if self.conductance is None else self.conductance.k
        held = (loss <= 0) & ((self.Delta > 0) | (resistance > 0) | (loss < 0))
        for term in self.slow_terms:
            held = held & term.dissipates(self.J)
        return held

    def sent(self, y: State) -> Values:
        """Signal that others receive: R = τ r, filtered by the synapse and reduced by depression and plasticity."""
        R = self.tau * y.r
        if self.synapse is not None:
            R = self.synapse.sent(y, R)
        for term in (self.adaptation, self.plasticity):
            R = R if term is None else term.sent(y, R)
        return R

    def vector_field(self, t: Values, y: State, I: Any = 0.0) -> State:
        """(dr/dt, dv/dt) by the class's equations, and the rates of the slow variables."""
        if self.modes is not None:
            return mode_field(self, y, I)
        R, v, fast = self.tau * y.r, y.v, self.frozen(y)
        dR = fast.Delta / jnp.pi + 2 * R * v
        dv = v**2 + fast.eta + fast.J * R - (jnp.pi * R) ** 2 + I
        if fast.rate_loss is not None:
            dR = dR - fast.rate_loss * R
        if self.conductance is not None:
            k, E_s = self.conductance.k, self.conductance.E_s
            dR = dR - k * R**2
            dv = dv + k * R * (E_s - v)
        if fast.leak is not None:
            dR = dR - fast.leak.g * R
            dv = dv + fast.leak.g * (fast.leak.E - v)
        return State(r=dR / self.tau**2, v=dv / self.tau, **self.slow_rates(y))

    def _drag(self, R: Values, w: Values) -> Values:
        """A/q as a function of `R` and `w` = 1/R = q²/2: Δ/(2πR) − ½(g + k R), so that q̇ = −(v + A/q) q; g is `rate_loss`
        here and below, together with that of a leak."""
        drag = self.Delta / (2 * jnp.pi) * w
        if self.rate_loss is not None:
            drag = drag - self.rate_loss / 2
        if self.conductance is not None:
            drag = drag - self.conductance.k / 2 * R
        if self.leak is not None:
            drag = drag - self.leak.g / 2
        return drag

    def _landscape(self, R: Values, w: Values, eta: Values) -> Values:
        """U as a function of `R` and `w` = 1/R, with η + I in place of η: no roots and one logarithm.

        U = (η + I + g²/4)/R + (π² + k²/4) R − (J + k E_s) ln R − Δg/(4πR²) + Δ²/(12π²R³)
        """
        slope, bend = self.Delta**2 / (12 * jnp.pi**2) * w, jnp.pi**2 * R
        drive = self.J
        if self.rate_loss is not None:
            slope, eta = slope - self.Delta * self.rate_loss / (4 * jnp.pi), eta + self.rate_loss**2 / 4
        if self.conductance is not None:
            k = self.conductance.k
            bend, drive = bend + k**2 / 4 * R, drive + k * self.effective_reversal
        if self.leak is not None:
            eta = eta + self.leak_current
        return w * (eta + w * slope) + bend - drive * jnp.log(R)

    def vector_potential(self, q: Values) -> Values:
        """A(q) = (Δ/4π) q³ − (g/2) q − k/q, so that q̇ = p − A(q), g being `rate_loss`."""
        return q * self._drag(2 / q**2, q**2 / 2)

    def position(self, y: State) -> tuple[Values, Values]:
        """(q, q̇) with q = √(2/(τ r)) and q̇ = −v q − A(q)."""
        q = jnp.sqrt(2 / (self.tau * y.r))
        return q, -y.v * q - self.vector_potential(q)

    def at(self, q: Values, qdot: Values) -> State:
        """(r, v) with this q and q̇."""
        return State(r=2 / (self.tau * q**2), v=-(qdot + self.vector_potential(q)) / q)

    def potential(self, q: Values) -> Values:
        """U(q) of the exact mechanical form q̈ + Γ(q) q̇ + U′(q) = −I q, with q = √(2/(τ r)) and time t/τ.

        U = ½(η + g²/4) q² + (4π² + k²)/(2q²) + 2(J + k E_s) ln(q/√2) − (Δg/16π) q⁴ + (Δ²/96π²) q⁶
        """
        # Term by term in q rounds a little less than `_landscape`: float32 periods are off by 7.5e-6 at most, not by 1e-5.
        U = self.eta * q**2 / 2 + 2 * jnp.pi**2 / q**2 + 2 * self.J * jnp.log(q / jnp.sqrt(jnp.asarray(2.0, q.dtype)))
        U = U + self.Delta**2 * q**6 / (96 * jnp.pi**2)
        if self.rate_loss is not None:
            U = U + self.rate_loss**2 * q**2 / 8 - self.Delta * self.rate_loss * q**4 / (16 * jnp.pi)
        if self.conductance is not None:
            k = self.conductance.k
            U = U + k**2 / (2 * q**2) + 2 * k * self.effective_reversal * jnp.log(q / jnp.sqrt(jnp.asarray(2.0, q.dtype)))
        if self.leak is not None:
            U = U + self.leak_current * q**2 / 2
        return U

    def kinetic_energy(self, y: State) -> Values:
        R = self.tau * y.r
        w = 1 / R
        return w * (y.v + self._drag(R, w)) ** 2

    def potential_energy(self, y: State, I: Values | None = None) -> Values:
        R = self.tau * y.r
        return self._landscape(R, 1 / R, self.eta if I is None else self.eta + I)

    @property
    def leak_current(self) -> Values:
        """The current that a leak is, g E − g²/4; for models with one."""
        assert self.leak is not None
        return self.leak.g * self.leak.E - self.leak.g**2 / 4

    @property
    def effective_reversal(self) -> Values:
        """E_s as the landscape sees it: a leak shifts v by g/2."""
        assert self.conductance is not None
        return self.conductance.E_s if self.leak is None else self.conductance.E_s - self.leak.g / 2

    def rate_potential(self, R: Values) -> Values:
        """Ψ(R) = −∫ f dR over the dimensionless rate `R` = τ r, f the slope of v where dr/dt = 0; see `force_at_rate`.

            Ψ = π² R³/3 − η R − J R²/2 + Δ²/(4π² R) + (Δg/2π) ln R − g² R/4 + k² R³/12 − k E_s R²/2

        It has the same critical points as U, and adds up over the populations of a network with symmetric weights.
        """
        Psi = jnp.pi**2 * R**3 / 3 - self.eta * R - self.J * R**2 / 2 + self.Delta**2 / (4 * jnp.pi**2 * R)
        if self.rate_loss is not None:
            g = self.rate_loss
            Psi = Psi + self.Delta * g / (2 * jnp.pi) * jnp.log(R) - g**2 * R / 4
        if self.conductance is not None:
            k = self.conductance.k
            Psi = Psi + k**2 * R**3 / 12 - k * self.effective_reversal * R**2 / 2
        if self.leak is not None:
            Psi = Psi - self.leak_current * R
        return Psi

    def force_at_rate(self, R: Values) -> Values:
        """f(R) = −Ψ′(R): τ dv/dt at the voltage at which the rate `R` = τ r stands still; zero at every fixed point.

        f = v₀² + η + J R − π² R² + k R (E_s − v₀),      v₀ = ½(−Δ/(πR) + g + k R)
        """
        v = self.voltage_at_rate(R)
        f = v**2 + self.eta + self.J * R - (jnp.pi * R) ** 2
        if self.conductance is not None:
            f = f + self.conductance.k * R * (self.conductance.E_s - v)
        if self.leak is not None:
            f = f + self.leak.g * (self.leak.E - v)
        return f

    def voltage_at_rate(self, R: Values) -> Values:
        """v₀ = ½(−Δ/(πR) + g + k R), at which dr/dt = 0 for the rate `R` = τ r."""
        v = -self.Delta / (2 * jnp.pi * R)
        if self.rate_loss is not None:
            v = v + self.rate_loss / 2
        if self.conductance is not None:
            v = v + self.conductance.k * R / 2
        if self.leak is not None:
            v = v + self.leak.g / 2
        return v

    def damping(self, q: Values) -> Values:
        """Γ(q) = (Δ/π) q² − g + 2k/q² of the exact mechanical form, per unit of t/τ."""
        Gamma = self.Delta / jnp.pi * q**2
        if self.rate_loss is not None:
            Gamma = Gamma - self.rate_loss
        if self.conductance is not None:
            Gamma = Gamma + 2 * self.conductance.k / q**2
        return Gamma

    def drive(self, R: Values) -> Values:
        """The recurrent input f(R) = J R that a geometric solver applies as a kick of v."""
        return self.J * R

    def riccati(self) -> Riccati:
        """The constants of the exactly solvable parts of the equations."""
        synapse, (eta, Delta) = self.conductance, (self.eta, self.Delta)
        if self.modes is not None:
            eta, Delta = self.modes.currents(eta, Delta)
        return Riccati(
            eta=eta,
            Delta=Delta,
            g=self.rate_loss,
            k=None if synapse is None else synapse.k,
            E_s=None if synapse is None else synapse.E_s,
            leak=None if self.leak is None else (self.leak.g, self.leak.E),
            modes=self.modes,
        )

    def broadened(self, width: Values) -> "MPR":
        """The population with Cauchy noise of half-width `width` of every neuron, if its excitabilities have several poles.
        Refuses Δ = 0, at which there is nothing that could be wider."""
        positive = not is_concrete(self.Delta) or bool(jnp.all(self.Delta > 0))
        require("Delta", self.Delta, "be > 0 with Cauchy noise and several poles", positive)
        assert self.heterogeneity is not None
        share = width.astype(self.Delta.dtype) / self.Delta
        wider = eqx.tree_at(lambda each: each.by, Broadened(self.heterogeneity, by=jnp.zeros_like(width)), share)
        return eqx.tree_at(lambda each: each.heterogeneity, self, wider)

    @property
    def mode_names(self) -> tuple[str, ...]:
        return tuple(mode_variables(self.heterogeneity))

    def as_read(self, y: State) -> State:
        if self.modes is None:
            return y
        R, v = self.modes.as_read(*self.to_modes(y))
        return y.replace(r=R / self.tau, v=v)

    def to_modes(self, y: State) -> tuple[Values, Values]:
        return super().to_modes(y) if self.modes is None else parts_of(self, y)

    def from_modes(self, R: Values, v: Values, slow: dict[str, Values]) -> State:
        return super().from_modes(R, v, slow) if self.modes is None else join_modes(self, R, v, slow)

    def resting(self, x: Values) -> tuple[State, Values]:
        """(state, force): the state whose modes and slow variables stand still, numbered by `x` (ln R of a Lorentzian
        population in it), and what is missing for v to stand still, too; zero at every fixed point."""
        if self.modes is not None:
            return resting_modes(self, x)
        R = jnp.exp(x)
        state = State(r=R / self.tau, v=self.voltage_at_rate(R), **self.slow_steady(R / self.tau))
        state = state.replace(v=self.frozen(state).voltage_at_rate(R))  # a synapse's conductance moves v, too
        return state, self.frozen(state).force_at_rate(R)
