"""Populations whose excitabilities have several poles: one Riccati equation per pole.

    Ẇ_k = i(η + Δ z_k + I + J R) − i W_k² − g (W_k − i v) + terms,        W = π R + i v = Σ c_k W_k,        k = 1 … K

with derivatives by t/τ and R = τ r. The state holds the population's own r and v and the modes W_2 … W_K, as r2, v2, …; the
first mode is what remains, (W − Σ_{k ≥ 2} c_k W_k)/c_1. Every mode is moved by the same exact maps as one Lorentzian
population, with complex weights only in the sum (docs/theory.md §F).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from .._types import Values, is_concrete
from .heterogeneity import AbstractHeterogeneity
from .state import State, Variable


class Modes(eqx.Module):
    """Poles and weights as real numbers: z_k = `centre` − i `width`, c_k = `real` + i `imag`, arrays (K, …)."""

    centre: Values
    width: Values
    real: Values
    imag: Values

    def lifted(self, ndim: int) -> "Modes":
        """The same for states of so many axes, in front of which the modes' axis is."""

        def lift(each: Values) -> Values:
            missing = ndim + 1 - each.ndim
            return each.reshape(each.shape[0], *(1,) * missing, *each.shape[1:])

        return jax.tree.map(lift, self)

    def currents(self, eta: Values, Delta: Values) -> tuple[Values, Values]:
        """Centre and half-width of the currents of each mode, (K, …)."""
        m, over = self.lifted(eta.ndim), lambda each: each[None] if each.ndim else each
        return over(eta) + over(Delta) * m.centre, over(Delta) * m.width

    def total(self, R: Values, v: Values) -> tuple[Values, Values]:
        """The population's own R and v, of those of its modes (K, …)."""
        m = self.lifted(jnp.ndim(R) - 1)
        return jnp.sum(m.real * R - m.imag / jnp.pi * v, axis=0), jnp.sum(m.real * v + m.imag * jnp.pi * R, axis=0)

    def as_read(self, R: Values, v: Values) -> tuple[Values, Values]:
        """R and v of W = (1 − Z*)/(1 + Z*) with the order parameter of all voltages, Z* = Σ c_k (1 − W_k)/(1 + W_k).
        `R`, `v`: of the modes, (K, …)."""
        x, size = jnp.pi * R, (1 + jnp.pi * R) ** 2 + v**2
        own, imag = self.total((1 - x**2 - v**2) / size / jnp.pi, -2 * v / size)  # of Z*, as if it were π R + i v
        own, size = jnp.pi * own, (1 + jnp.pi * own) ** 2 + imag**2
        return (1 - own**2 - imag**2) / size / jnp.pi, -2 * imag / size

    def split(self, R: Values, v: Values, others: tuple[Values, Values]) -> tuple[Values, Values]:
        """R and v of all modes (K, …), of the population's own and those of modes 2 … K (K − 1, …)."""
        m = self.lifted(jnp.ndim(R))
        first, rest = jax.tree.map(lambda each: each[0], m), jax.tree.map(lambda each: each[1:], m)
        R_rest, v_rest = rest.total(*others) if others[0].shape[0] else (jnp.zeros_like(R), jnp.zeros_like(v))
        x, y = jnp.pi * (R - R_rest), v - v_rest
        size = first.real**2 + first.imag**2
        x, y = (first.real * x + first.imag * y) / size, (first.real * y - first.imag * x) / size
        return jnp.concatenate([x[None] / jnp.pi, others[0]]), jnp.concatenate([y[None], others[1]])


def modes_of(heterogeneity: AbstractHeterogeneity | None, dtype: DTypeLike) -> Modes | None:
    """The modes of a population, in its precision; None for Lorentzian excitabilities, which need none."""
    if heterogeneity is None:
        return None
    z, c = heterogeneity.poles()
    if is_lorentzian(z):
        return None
    if isinstance(c, np.ndarray):  # the largest weight first: the first mode is divided by it
        order = np.argsort(-np.abs(c), kind="stable")
        z, c = z[order], c[order] / c.sum()
    real = lambda each: jnp.asarray(each, dtype)
    return Modes(real(z.real), real(-z.imag), real(c.real), real(c.imag))


def is_lorentzian(z: Any) -> bool:
    """Whether the poles are the one of the standard Lorentzian."""
    return z.shape[0] == 1 and is_concrete(z) and bool(np.all(np.abs(np.asarray(z) + 1j) < 1e-12))


def mode_names(heterogeneity: AbstractHeterogeneity | None) -> list[tuple[str, str]]:
    """Names of rate and voltage of the modes 2 … K."""
    count = 1 if heterogeneity is None else heterogeneity.poles()[0].shape[0]
    return [(f"r{k}", f"v{k}") for k in range(2, count + 1)]


def mode_variables(heterogeneity: AbstractHeterogeneity | None) -> dict[str, Variable]:
    """Declarations of the modes' variables. They start at the population's own r and v: at voltages of a Lorentzian law."""
    found = {}
    for k, (r, v) in enumerate(mode_names(heterogeneity), start=2):
        found[r] = Variable(f"firing rate of mode {k}", "1/time", symbol=f"r_{k}", positive=True, rest="r")
        found[v] = Variable(f"mean voltage of mode {k}", symbol=f"v_{k}", rest="v")
    return found


def parts_of(model: Any, y: State) -> tuple[Values, Values]:
    """R and v of all modes at the state `y`, (K, …)."""
    names = mode_names(model.heterogeneity)
    stacked = lambda values: jnp.stack(values) if values else jnp.zeros((0, *y.r.shape), y.r.dtype)
    others = stacked([model.tau * getattr(y, r) for r, _ in names]), stacked([getattr(y, v) for _, v in names])
    return model.modes.split(model.tau * y.r, y.v, others)


def join_modes(model: Any, R: Values, v: Values, slow: dict[str, Values]) -> State:
    """The state with these R and v of its modes, (K, …), and these slow variables."""
    own_R, own_v = model.modes.total(R, v)
    found = slow | {"r": own_R / model.tau, "v": own_v}
    for k, (rate, voltage) in enumerate(mode_names(model.heterogeneity), start=1):
        found |= {rate: R[k] / model.tau, voltage: v[k]}
    return State(**found)


def mode_field(model: Any, y: State, I: Any) -> State:
    """dy/dt at the state `y` and the input `I`, by the equations above."""
    fast, R = model.frozen(y), model.tau * y.r
    rates, v = parts_of(fast, y)
    constants, x = fast.riccati(), jnp.pi * rates
    over = constants.over
    dx = constants.Delta + 2 * x * v
    dv = v**2 - x**2 + constants.eta + over(fast.J * R + I)
    if fast.gap is not None:
        dx, dv = dx - over(fast.gap.g) * x, dv - over(fast.gap.g) * (v - over(y.v))
    if fast.conductance is not None:
        g, E = over(fast.conductance.k * R), over(fast.conductance.E_s)
        dx, dv = dx - g * x, dv + g * (E - v)
    if fast.leak is not None:
        g, E = over(fast.leak.g), over(fast.leak.E)
        dx, dv = dx - g * x, dv + g * (E - v)
    rate = join_modes(fast, dx / jnp.pi, dv, {})
    return State(**{name: value / model.tau for name, value in rate.variables.items()}, **model.slow_rates(y))


def resting_modes(model: Any, x: Values) -> tuple[State, Values]:
    """(the state that needs the current ξ to stand still, the current that it receives less ξ): the second is zero at rest.

    W_k = i G/2 + √(ξ + Δ z_k), G all conductances; ξ = π² e^(2x) − Δ²/(4π² e^(2x)), at which a Lorentzian population has the
    rate R = e^x. R grows with ξ for every density, so x runs through all states.
    """
    squared = jnp.pi**2 * jnp.exp(2 * x)
    xi = squared - model.Delta**2 / (4 * squared)
    modes, over = model.modes.lifted(jnp.ndim(xi)), model.riccati().over
    squares = jnp.broadcast_arrays(over(xi) + model.Delta * modes.centre, -model.Delta * modes.width)
    root = jnp.sqrt(jax.lax.complex(*squares))
    R, u = modes.total(root.real / jnp.pi, root.imag)
    r = R / model.tau
    slow = {name: value for term in model.slow_terms for name, value in term.steady(r).items()}
    fast = model.frozen(State(r=r, v=u, **slow))
    G = jnp.zeros_like(R)
    for g in (fast.gap and fast.gap.g, fast.leak and fast.leak.g, fast.conductance and fast.conductance.k * R):
        G = G if g is None else G + g
    v = u + G / 2
    slow = {name: value for term in model.slow_terms for name, value in term.settled(r, v).items()}
    fast = model.frozen(State(r=r, v=v, **slow))
    current = fast.eta + fast.J * R - G**2 / 4
    if fast.gap is not None:
        current = current + fast.gap.g * v
    if fast.leak is not None:
        current = current + fast.leak.g * fast.leak.E
    if fast.conductance is not None:
        current = current + fast.conductance.k * R * fast.conductance.E_s
    return join_modes(model, root.real / jnp.pi, root.imag + over(G / 2), slow), current - xi
