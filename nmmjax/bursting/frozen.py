"""The fast equations of a population while a slow variable is frozen: equilibria and folds.

With slow variables frozen, R = τ r and the voltage at which the rate stands still, v₀ = ½(−Δ/(πR) + g + kR), the fast
equations keep one function f of the rate, the slope of v; the frozen potential obeys dV/d(ln R) = −f/R:

    f(R; s) = v₀² + η_eff(s) + I + J_eff(s) R − π²R² + kR(E_s − v₀)

f is affine in the slow variable s, so every rate is an equilibrium for exactly one value s(R): the branches are a curve
over the rate, without continuation. Folds are where ds/dR = 0; for the MPR model with adaptation, s = η + I + J R − π²R² +
Δ²/(4π²R²), that is J = 2π²R + Δ²/(2π²R³). Source: docs/theory.md §4.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import require
from .._types import Scalar, Values
from ..equilibria.brackets import cusp_rate
from ..equilibria.stability import planar_jacobian
from ..equilibria.steady import GRID, steady_state, where_finite
from ..mechanics.energy import potential_energy
from ..models.base import require_one
from ..models.mpr import MPR
from ..models.state import State
from ..numerics.roots import solve_between, with_slope


def require_burster(model: MPR) -> None:
    """Refuse, in one sentence, what has no slow variable that moves its landscape alone."""
    require_one(model, offer="riccati")
    rule = "have adaptation, depression or plasticity and no synapse: slow variables, without which nothing bursts"
    require("model", model, rule, bool(model.slow_terms) and all(term.acts_by for term in model.slow_terms))
    affine = model.coupling_heterogeneity is None or not any(term.scales_coupling for term in model.slow_terms)
    require("model", model, "be without heterogeneous couplings, whose width its slow variable changes", affine)


def hysteresis_starts(model: MPR, I: Scalar) -> State:
    """Two states on either side of a burst, arrays of shape `(2,)`: silent, with the slow variable of the fold at which
    firing stops, and firing, with that of the fold at which it starts.

    From there bursts begin if the population bursts at all. If there are no folds (or they lie where the slow variable
    can't be), slow variables are at rest.
    """
    name = "A" if model.adaptation is not None else "xu"
    fast = Fast(alone(model, name), I, name)
    slow = jax.lax.stop_gradient(where_finite(fast.slow, fold_positions(fast)))[::-1]
    R = jnp.asarray([0.6, 2.0], slow.dtype) * model.tau * cusp_rate(model)
    R = jnp.where(R > 0, R, jnp.ones_like(R))
    rest = {each: value + jnp.zeros_like(R) for each, value in model.slow_rest().items()}
    if name == "A":
        rest["A"] = jnp.where(slow > 0, slow, rest["A"])
    else:
        rest["x"] = jnp.where(slow > 0, jnp.clip(slow / rest["u"], 0.01, 1.0), rest["x"])
    state = State(r=R / model.tau, v=jnp.zeros_like(R), **rest)
    silent = model.voltage_at_rate(R) * jnp.asarray([1.0, 0.0], R.dtype)
    return eqx.tree_at(lambda y: y.v, state, silent)


def alone(model: MPR, variable: str) -> MPR:
    """The population with the slow term of `variable` only; the other, if any, frozen at rest."""
    other = model.plasticity if variable == "A" else model.adaptation
    if other is None:
        return model
    one = jnp.ones_like(model.eta)
    eta, J = other.effective(model.eta, model.J, State(r=one, v=one, **other.rest))
    parts = lambda each: (each.eta, each.J, each.plasticity if variable == "A" else each.adaptation)
    return eqx.tree_at(parts, model, (eta, J, None))


class Fast(eqx.Module):
    """The fast equations of a population with one slow term, at x = ln R and values s of its variable, elementwise."""

    model: MPR
    current: Scalar
    variable: str = eqx.field(static=True)

    def state(self, x: Values, s: Values) -> State:
        """The state with v = 0; what the fast equations don't see is at rest."""
        (term,) = self.model.slow_terms
        r = jnp.exp(x) / self.model.tau
        slow = {name: value + jnp.zeros_like(r) for name, value in term.rest.items()}
        slow |= {"A": s} if self.variable == "A" else {"x": s, "u": jnp.ones_like(s)}
        return State(r=r, v=jnp.zeros_like(r), **slow)

    def force(self, x: Values, s: Values) -> Values:
        """f(R; s)."""
        return self.model.frozen(self.state(x, s)).force_at_rate(jnp.exp(x)) + self.current

    def influence(self) -> Scalar:
        """∂f/∂s at R = 1."""
        zero = jnp.zeros_like(self.current)
        return with_slope(lambda s: self.force(zero, s), zero)[1]

    def slow(self, x: Values) -> Values:
        """The value of the slow variable at which R is an equilibrium; f is affine in it."""
        at_zero, slope = with_slope(lambda s: self.force(x, s), jnp.zeros_like(x))
        return -at_zero / slope

    def net(self, x: Values) -> Values:
        """∂f/∂x on the branches: negative if stable to a shift of the rate, positive at saddles, 0 at folds."""
        s = self.slow(x)
        return with_slope(lambda x: self.force(x, s), x)[1]

    def jacobian(self, x: Values) -> tuple[Values, Values, Values, Values]:
        """Jacobian of the fast equations on the branches, per unit of time, entry by entry."""
        y = self.state(x, self.slow(x))
        at = eqx.tree_at(lambda y: y.v, y, self.model.voltage_at_rate(jnp.exp(x)))
        return planar_jacobian(self.model, at, self.current)

    def trace_and_determinant(self, x: Values) -> tuple[Values, Values]:
        """Trace and determinant of that Jacobian."""
        a, b, c, d = self.jacobian(x)
        return a + d, a * d - b * c

    def discriminant(self, x: Values) -> Values:
        """Discriminant of the eigenvalues' quadratic: negative at foci."""
        trace, determinant = self.trace_and_determinant(x)
        return trace**2 / 4 - determinant

    def potential(self, x: Values, s: Values) -> Values:
        """V(ln R; s)."""
        return potential_energy(self.model, self.state(x, s), self.current)

    def steady(self, x: Values) -> Values:
        """The nullcline: the value to which the slow variable settles."""
        y = steady_state(self.model, x)
        return y.A if self.variable == "A" else y.x * y.u


def fold_positions(fast: Fast) -> Values:
    """ln R of the low branch's fold and of the high branch's; NaN if absent.

    `net` grows through the former, where ∂²f/∂R² > 0, and falls through the latter: the cusp rate lies between.
    """
    ends = jnp.asarray([GRID[0], GRID[-1]], fast.current.dtype)
    middle = jnp.log(jnp.maximum(fast.model.tau * cusp_rate(fast.model), jnp.exp(ends[0])))
    return solve_between(Fast.net, fast, jnp.stack([ends[0], middle]), jnp.stack([middle, ends[1]]))
