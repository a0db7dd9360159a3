"""The fast equations of a population while a slow variable is frozen: equilibria and folds.

With slow variables frozen, R = τ r and the voltage at which the rate stands still, v₀ = ½(−Δ/(πR) + g + kR), the fast
equations keep one function f of the rate, the slope of v; the frozen potential obeys dV/d(ln R) = −f/R:

    f(R; s) = v₀² + η_eff(s) + I + J_eff(s) R − π²R² + kR(E_s − v₀)

f is affine in the slow variable s, so every rate is an equilibrium for exactly one value s(R): the branches are a curve
over the rate, without continuation. Folds are where ds/dR = 0; for the MPR model with adaptation, s = η + I + J R − π²R² +
Δ²/(4π²R²), that is J = 2π²R + Δ²/(2π²R³). Source: docs/theory.md §4.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import ComplexValues, Mask, Real, Scalar, Values
from ..equilibria.brackets import cusp_rate
from ..mechanics.energy import potential_energy
from ..models.base import State
from ..models.mpr import MPR
from ..models.stimulus import Constant
from ..numerics.roots import solve_between, solve_on_grid, with_slope

# Where equilibria, folds and changes of kind are looked for: ln R of R = 1e-6 … 1e6.
GRID = np.linspace(-np.log(1e6), np.log(1e6), 4097)
_EQUILIBRIA = 5


class Equilibria(eqx.Module):
    """Equilibria of the whole system, slow variables included, in the order of the rate; NaN where there are fewer.

    `state`: arrays of shape `(5,)`; `eigenvalues`: `(5, d)` for d state variables, by decreasing real part; `stable`:
    whether all real parts are negative.
    """

    state: State
    eigenvalues: ComplexValues
    stable: Mask


@eqx.filter_jit
def find_equilibria(model: MPR, stimulus: Real = 0.0) -> Equilibria:
    """All equilibria of a population with its slow variables, by rate, with eigenvalues and stability.

    They are where the slow variables are steady at the rate that the fast equations hold: zeros of f(R; s(R)), bracketed
    on a grid of ln R with steps of 0.7 % and refined by Newton's method. At most 5. `stimulus` is a constant input.
    Differentiable, and `jax.vmap` gives those of many populations.
    """
    current = jnp.asarray(stimulus, model.eta.dtype)
    found = solve_on_grid(_steady_force, (model, current), jnp.asarray(GRID, current.dtype), _EQUILIBRIA)
    exists = jnp.isfinite(found)
    x = jnp.where(exists, found, jnp.zeros_like(found))
    state = _steady_state(model, x)
    state = eqx.tree_at(lambda y: y.v, state, voltage(model, state, current))
    matrices = jax.vmap(lambda y: _jacobian(model, y, current))(state)
    values = jnp.where(exists[:, None], jax.vmap(_eigenvalues)(matrices), jnp.nan)
    state = jax.tree.map(lambda each: jnp.where(exists, each, jnp.nan), state)
    return Equilibria(state, values, jnp.all(jnp.real(values) < 0, axis=1))


def hysteresis_starts(model: MPR, stimulus: Scalar) -> State:
    """Two states on either side of a burst, arrays of shape `(2,)`: silent, with the slow variable of the fold at which
    firing stops, and firing, with that of the fold at which it starts.

    From there bursts begin if the population bursts at all. Where there are no folds (or they lie where the slow variable
    can't be), slow variables are at rest.
    """
    name = "A" if model.adaptation is not None else "xu"
    fast = Fast(alone(model, name), stimulus, name)
    slow = jax.lax.stop_gradient(where_finite(fast.slow, fold_positions(fast)))[::-1]
    R = jnp.asarray([0.6, 2.0], slow.dtype) * model.tau * cusp_rate(model)
    R = jnp.where(R > 0, R, jnp.ones_like(R))
    rest = {each: value + jnp.zeros_like(R) for term in model.slow_terms for each, value in term.rest().items()}
    if name == "A":
        rest["A"] = jnp.where(slow > 0, slow, rest["A"])
    else:
        rest["x"] = jnp.where(slow > 0, jnp.clip(slow / rest["u"], 0.01, 1.0), rest["x"])
    state = State(r=R / model.tau, v=jnp.zeros_like(R), **rest)
    silent = voltage(model, state, stimulus) * jnp.asarray([1.0, 0.0], R.dtype)
    return eqx.tree_at(lambda y: y.v, state, silent)


def alone(model: MPR, variable: str) -> MPR:
    """The population with the slow term of `variable` only; the other, if any, frozen at rest."""
    other = model.plasticity if variable == "A" else model.adaptation
    if other is None:
        return model
    one = jnp.ones_like(model.eta)
    eta, J = other.effective(model.eta, model.J, State(r=one, v=one, **other.rest()))
    parts = lambda each: (each.eta, each.J, each.plasticity if variable == "A" else each.adaptation)
    return eqx.tree_at(parts, model, (eta, J, None))


def voltage(model: MPR, y: State, current: Scalar) -> Values:
    """v₀, at which dr/dt = 0 (affine in v)."""

    def rate(v: Values) -> Values:
        return model.vector_field(jnp.zeros_like(v), eqx.tree_at(lambda y: y.v, y, v), Constant(current)).r

    at_zero, slope = with_slope(rate, jnp.zeros_like(y.r))
    return -at_zero / slope


def _force_at(model: MPR, y: State, current: Scalar) -> Values:
    """f = τ dv/dt at v₀."""
    y = eqx.tree_at(lambda y: y.v, y, voltage(model, y, current))
    return model.tau * model.vector_field(jnp.zeros_like(y.r), y, Constant(current)).v


def _steady_state(model: MPR, x: Values) -> State:
    """The slow variables steady at ln R = x; v = 0."""
    r = jnp.exp(x) / model.tau
    return State(r=r, v=jnp.zeros_like(r), **model.slow_steady(r))


def _steady_force(args: tuple[MPR, Scalar], x: Values) -> Values:
    """f with slow variables steady: zero at equilibria of the whole system."""
    model, current = args
    return _force_at(model, _steady_state(model, x), current)


def _jacobian(model: MPR, y: State, current: Scalar) -> Values:
    """The Jacobian of the whole system at one state."""

    def field(values: Values) -> Values:
        at = State(**dict(zip(y.names, values, strict=True)))
        flow = model.vector_field(jnp.zeros_like(y.r), at, Constant(current))
        return jnp.stack([getattr(flow, name) for name in y.names])

    return jax.jacfwd(field)(jnp.stack([getattr(y, name) for name in y.names]))


def _eigenvalues(matrix: Values) -> ComplexValues:
    """By decreasing real part. Two Newton steps on the characteristic polynomial carry two derivatives, which those of
    `jnp.linalg.eigvals` lack; where two eigenvalues are equal, none."""
    found = jnp.linalg.eigvals(jax.lax.stop_gradient(matrix))
    found = found[jnp.argsort(-jnp.real(found))]
    size = matrix.shape[0]
    identity = jnp.eye(size, dtype=matrix.dtype)
    coefficients, power = [jnp.ones((), matrix.dtype)], identity
    for k in range(1, size + 1):  # Faddeev & LeVerrier
        product = matrix @ power
        coefficients.append(-jnp.trace(product) / k)
        power = product + coefficients[-1] * identity
    for _ in range(2):
        value, slope = jnp.zeros_like(found), jnp.zeros_like(found)
        for each in coefficients:
            value, slope = value * found + each.astype(found.dtype), slope * found + value
        step = value / jnp.where(slope == 0, jnp.ones_like(slope), slope)
        found = found - jnp.where(jnp.abs(step) < 1e-3 * (1 + jnp.abs(found)), step, jnp.zeros_like(step))
    return found


class Fast(eqx.Module):
    """The fast equations of a population with one slow term, at x = ln R and values s of its variable, elementwise."""

    model: MPR
    current: Scalar
    variable: str = eqx.field(static=True)

    def state(self, x: Values, s: Values) -> State:
        """The state with v = 0; what the fast equations don't see is at rest."""
        (term,) = self.model.slow_terms
        r = jnp.exp(x) / self.model.tau
        slow = {name: value + jnp.zeros_like(r) for name, value in term.rest().items()}
        slow |= {"A": s} if self.variable == "A" else {"x": s, "u": jnp.ones_like(s)}
        return State(r=r, v=jnp.zeros_like(r), **slow)

    def force(self, x: Values, s: Values) -> Values:
        """f(R; s)."""
        return _force_at(self.model, self.state(x, s), self.current)

    def influence(self) -> Scalar:
        """∂f/∂s at R = 1."""
        zero = jnp.zeros_like(self.current)
        return with_slope(lambda s: self.force(zero, s), zero)[1]

    def slow(self, x: Values) -> Values:
        """The value of the slow variable at which R is an equilibrium; f is affine in it."""
        at_zero, slope = with_slope(lambda s: self.force(x, s), jnp.zeros_like(x))
        return -at_zero / slope

    def net(self, x: Values) -> Values:
        """∂f/∂x on the branches: negative where stable to a shift of the rate, positive at saddles, 0 at folds."""
        s = self.slow(x)
        return with_slope(lambda x: self.force(x, s), x)[1]

    def trace_and_determinant(self, x: Values) -> tuple[Values, Values]:
        """Of the Jacobian of the fast equations on the branches, per unit of time."""
        s = self.slow(x)
        y = self.state(x, s)
        v = voltage(self.model, y, self.current)

        def field(r: Values, v: Values) -> tuple[Values, Values]:
            at = eqx.tree_at(lambda y: (y.r, y.v), y, (r, v))
            flow = self.model.vector_field(jnp.zeros_like(r), at, Constant(self.current))
            return flow.r, flow.v

        one, zero = jnp.ones_like(x), jnp.zeros_like(x)
        rr, vr = jax.jvp(field, (y.r, v), (one, zero))[1]
        rv, vv = jax.jvp(field, (y.r, v), (zero, one))[1]
        return rr + vv, rr * vv - rv * vr

    def discriminant(self, x: Values) -> Values:
        """Of the eigenvalues' quadratic: negative at foci."""
        trace, determinant = self.trace_and_determinant(x)
        return trace**2 / 4 - determinant

    def potential(self, x: Values, s: Values) -> Values:
        """V(ln R; s)."""
        return potential_energy(self.model, self.state(x, s), self.current)

    def steady(self, x: Values) -> Values:
        """The nullcline: the value to which the slow variable settles."""
        y = _steady_state(self.model, x)
        return y.A if self.variable == "A" else y.x * y.u


def where_finite(function: Callable[[Values], Values], x: Values) -> Values:
    """`function(x)`, NaN where x is, without spoiling derivatives elsewhere."""
    finite = jnp.isfinite(x)
    return jnp.where(finite, function(jnp.where(finite, x, jnp.zeros_like(x))), jnp.nan)


def fold_positions(fast: Fast) -> Values:
    """ln R of the low branch's fold and of the high branch's; NaN where there is none.

    `net` grows through the former, where ∂²f/∂R² > 0, and falls through the latter: the cusp rate lies between.
    """
    ends = jnp.asarray([GRID[0], GRID[-1]], fast.current.dtype)
    middle = jnp.log(jnp.maximum(fast.model.tau * cusp_rate(fast.model), jnp.exp(ends[0])))
    return solve_between(Fast.net, fast, jnp.stack([ends[0], middle]), jnp.stack([middle, ends[1]]))
