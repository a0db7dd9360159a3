"""Geometric integrators for Riccati populations, exact but for the coupling (docs/theory.md §6).

W = π R + i v (R = τ r, time t/τ) obeys Ẇ = Δ + i(η + I − W²) + i f(R). The part without the drive f is a Möbius map of W,
exact over any step; the drive is an exact kick of v at frozen R. Splitting the two gives integrators that keep r > 0 for
every step size, conserve the energy at Δ = 0 without drift, and do not stiffen at spikes:

    order 2   B(h/2) A(h) B(h/2)
    order 4   B(h/6) A(h/2) B̃(2h/3) A(h/2) B(h/6),   B̃: v += (2h/3) f + (h³/36)(2 R f f′ − f²)

For a network f_i = J_i R_i + Σ_j W_ij R_j, and R f f′ becomes Σ_j (∂f_i/∂R_j) R_j f_j, with h in units of each node's τ.

B̃ is the force-gradient kick, so all steps are forward in time. The input of the step's midpoint belongs to A: a piecewise
constant stimulus is exact too. Gap junctions enter as a shift of v and a linear kick, conductances as an exact
contraction; for those, order 4 and higher come from extrapolating the order-2 map in (ln r, v).
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._types import Values
from ..models.base import State
from ..models.stimulus import input_at
from .term import PopulationTerm

# Below |σh|² of this, series; above, closed forms. Nine terms reach float64 rounding there.
_SERIES = 0.25


class Flow(eqx.Module):
    """The Möbius map W ↦ (c W − i s₁)/(c + i s₂ W) of the coupling-free population over one step, as real numbers.

    All entries are scaled by exp(−Re σh), so that they neither overflow nor lose the map's determinant.
    """

    c: tuple[Values, Values]
    s1: tuple[Values, Values]
    s2: tuple[Values, Values]
    rate: tuple[Values, Values, Values, Values]

    def __call__(self, R: Values, v: Values) -> tuple[Values, Values]:
        """(R, v) after the step; R > 0 wherever it was, without subtraction of large numbers at Δ = 0."""
        (cr, ci), (ar, ai), (sr, si) = self.c, self.s1, self.s2
        linear, square, constant, cross = self.rate
        x = jnp.pi * R
        over_r, over_i = cr * x - ci * v + ai, cr * v + ci * x - ar
        under_r, under_i = cr - sr * v - si * x, ci + sr * x - si * v
        scale = 1 / (under_r**2 + under_i**2)
        # Forward in time the last three terms are Δ∫|ψ|² ≥ 0; the bounds only catch rounding, and underflow of R to 0.
        forward = constant >= 0
        source = square * (x**2 + v**2) + constant - cross * v
        source = jnp.where(forward & (source < 0), 0, source)  # not `maximum`, which halves the gradient at Δ = 0
        smallest = 2.0**24 * float(jnp.finfo(x.dtype).tiny)
        R_next = (linear * x + source) * scale / jnp.pi
        return jnp.where(forward & (R_next < smallest), smallest, R_next), (over_i * under_r - over_r * under_i) * scale


def mobius_flow(eta: Values, Delta: Values, h: Values) -> Flow:
    """The exact flow of Ẇ = Δ + i(η − W²) over h; smooth in all arguments, also where σ = √(iΔ − η) vanishes."""
    z2 = jax.lax.complex(-eta * h**2, Delta * h**2)
    small = z2.real**2 + z2.imag**2 < _SERIES**2
    zero, one = jnp.zeros_like(z2), jnp.ones_like(z2)

    # Closed form, times exp(−a) where z = σh = a + ib, a ≥ 0.
    root = jnp.sqrt(jnp.where(small, one, z2))
    a, b = root.real, root.imag
    decay = jnp.exp(-2 * a)
    even, odd = (1 + decay) / 2, -jnp.expm1(-2 * a) / 2
    cosh = jax.lax.complex(even * jnp.cos(b), odd * jnp.sin(b))
    sinhc = jax.lax.complex(odd * jnp.cos(b), even * jnp.sin(b)) / root

    # Series of the entire functions cosh √x and sinh(√x)/√x.
    x = jnp.where(small, z2, zero)
    cosh_series, sinhc_series = one, one
    for n in range(9, 0, -1):
        cosh_series = 1 + x * cosh_series / ((2 * n - 1) * (2 * n))
        sinhc_series = 1 + x * sinhc_series / ((2 * n) * (2 * n + 1))

    c = jnp.where(small, cosh_series, cosh)
    s2 = jnp.where(small, sinhc_series, sinhc)
    determinant = jnp.where(small, jnp.ones_like(decay), decay)
    cr, ci, sr, si = c.real, c.imag, h * s2.real, h * s2.imag
    ar, ai = -eta * sr - Delta * si, Delta * sr - eta * si  # s₁ = σ² s₂
    # Re W after the step = (linear π R + square |W|² + constant − cross v)/|c + i s₂ W|²: written so that nothing cancels.
    linear = determinant + 2 * (ci**2 + eta * si**2 - Delta * sr * si)
    square = ci * sr - cr * si
    constant = ai * cr - ar * ci
    cross = Delta * (sr**2 + si**2)
    return Flow((cr, ci), (ar, ai), (sr, si), (linear, square, constant, cross))


def _step_functions(term: PopulationTerm) -> tuple[Any, Callable[[Values], Values], Any]:
    model = term.model
    offers = hasattr(model, "riccati") and hasattr(model, "drive") and not model.slow_terms  # pyright: ignore[reportAttributeAccessIssue]
    rule = "be an `MPR` or a `Network` without slow terms for a Möbius solver; use `diffrax.Tsit5()`"
    require("model", type(model).__name__, rule, offers)
    return model.riccati(), model.drive, term.stimulus  # pyright: ignore[reportAttributeAccessIssue]


def force_gradient_step(term: PopulationTerm, t: Values, h: Values, R: Values, v: Values) -> tuple[Values, Values]:
    """One order-4 step of physical length `h`; populations without gap junctions and conductances."""
    riccati, drive, stimulus = _step_functions(term)
    tau = term.model.tau  # pyright: ignore[reportAttributeAccessIssue]
    step = h / tau
    middle = input_at(stimulus, t + h / 2)
    half = mobius_flow(riccati.eta + middle, riccati.Delta, step / 2)
    v = v + step / 6 * (drive(R) + (input_at(stimulus, t) - middle))
    R, v = half(R, v)
    f = drive(R)
    _, slope = jax.jvp(drive, (R,), (R * f * step**2,))  # nodes of a network may differ in τ, so in their steps
    v = v + 2 * step / 3 * f + step / 36 * (2 * slope - (step * f) ** 2)
    R, v = half(R, v)
    return R, v + step / 6 * (drive(R) + (input_at(stimulus, t + h) - middle))


def strang_step(term: PopulationTerm, t: Values, h: Values, R: Values, v: Values) -> tuple[Values, Values]:
    """One order-2, time-symmetric step of physical length `h`; every term of the MPR model."""
    riccati, drive, stimulus = _step_functions(term)
    tau = term.model.tau  # pyright: ignore[reportAttributeAccessIssue]
    step = h / tau
    middle = input_at(stimulus, t + h / 2)
    g = riccati.g
    eta = riccati.eta + middle
    shift = jnp.zeros_like(eta) if g is None else g / 2
    flow = mobius_flow(eta + shift**2, riccati.Delta, step)

    def kick(R: Values, v: Values, current: Values) -> tuple[Values, Values]:
        f = drive(R) + (current - middle)
        if g is None:
            return R, v + step / 2 * f
        growth = g * step / 2
        tiny = jnp.abs(growth) < 1e-8
        factor = jnp.where(tiny, 1 + growth / 2, jnp.expm1(growth) / jnp.where(tiny, jnp.ones_like(growth), growth))
        u = v - shift
        return R, shift + u * jnp.exp(growth) + step / 2 * factor * f

    def contract(R: Values, v: Values) -> tuple[Values, Values]:
        if riccati.k is None:
            return R, v
        factor = 1 / (1 + riccati.k * R * step / 2)
        return R * factor, riccati.E_s + (v - riccati.E_s) * factor

    R, v = contract(*kick(R, v, input_at(stimulus, t)))
    R, u = flow(R, v - shift)
    R, v = contract(R, u + shift)
    return kick(R, v, input_at(stimulus, t + h))


def _base(term: PopulationTerm, order: int) -> tuple[Any, int]:
    """The time-symmetric map to build on, and its order: force-gradient where the model allows it and it is wanted."""
    riccati, _, _ = _step_functions(term)
    plain = riccati.g is None and riccati.k is None
    return (force_gradient_step, 4) if plain and order >= 4 else (strang_step, 2)


def extrapolate(term: PopulationTerm, t: Values, h: Values, R: Values, v: Values, order: int) -> tuple[Any, Any]:
    """A step of the wanted order from a symmetric map with 1, 2, 3, … substeps, and one of the order below for its error.

    Multi-product (Richardson in h²) on (ln R, v): the logarithm keeps R positive. Returns the two estimates (R, v).
    """
    base, base_order = _base(term, order)
    counts = tuple(range(1, (order - base_order) // 2 + 2))
    # All substeps of all columns in one scan, so that the base step is compiled once.
    schedule = [(k, n) for n in counts for k in range(n)]
    offset = jnp.asarray([k / n for k, n in schedule], h.dtype)
    fraction = jnp.asarray([1 / n for _, n in schedule], h.dtype)
    first = jnp.asarray([k == 0 for k, _ in schedule])

    def substep(state: Any, now: Any) -> Any:
        restart, offset, fraction = now
        R_now, v_now = (jnp.where(restart, start, each) for start, each in zip((R, v), state, strict=True))
        state = base(term, t + offset * h, fraction * h, R_now, v_now)
        return state, state

    _, (R_all, v_all) = jax.lax.scan(substep, (R, v), (first, offset, fraction))

    def combine(skip: int) -> tuple[Values, Values]:
        weights = jnp.asarray(multi_product_weights(counts[skip:], base_order), h.dtype)
        ends = np.cumsum(counts)[skip:] - 1
        return jnp.exp(weights @ jnp.log(R_all[ends])), weights @ v_all[ends]

    return combine(0), combine(1)


def multi_product_weights(counts: tuple[int, ...], base_order: int) -> tuple[float, ...]:
    """Weights a with Σ a = 1 and Σ a n^(−p) = 0 for p = base_order, base_order + 2, … over the substep numbers n."""
    powers = [0.0] + [-(base_order + 2.0 * k) for k in range(len(counts) - 1)]
    matrix = np.array([[float(n) ** p for n in counts] for p in powers])
    return tuple(np.linalg.solve(matrix, np.eye(len(counts))[0]).tolist())


def _unwrapped(terms: Any, t0: Any, t1: Any) -> tuple[PopulationTerm, Values, Values]:
    """The population's term, and start and length of the step in forward time: diffrax wraps terms to run backwards."""
    if isinstance(terms, PopulationTerm):
        return terms, jnp.asarray(t0), t1 - t0
    inner, direction = terms.term, jnp.asarray(terms.direction, jnp.result_type(t0))
    return inner, t0 * direction, (t1 - t0) * direction


def _dense_info(terms: Any, t0: Any, y0: State, solver: Any) -> dict[str, Any]:
    """What the interpolation needs. The direction as a float: diffrax pads the records with inf, which no integer holds."""
    if not isinstance(terms, PopulationTerm):
        direction = jnp.asarray(terms.direction, jnp.result_type(t0))
        terms = eqx.tree_at(lambda each: each.direction, terms, direction)
    return {"y0": y0, "terms": terms, "solver": solver}


class MobiusInterpolation(diffrax.AbstractLocalInterpolation):
    """The solution between steps by stepping again from the left end: as exact as the solver, at any time."""

    t0: Any
    t1: Any
    y0: State
    terms: Any
    solver: Any

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True) -> Any:
        if t1 is None:
            return self.solver.advance(self.terms, self.t0, t0, self.y0)[0]
        return jax.tree.map(lambda b, a: b - a, self.evaluate(t1), self.evaluate(t0))


class AbstractMobius(diffrax.AbstractSolver):
    """What the Möbius solvers share: no solver state, and dense output by stepping again from the left end."""

    mobius_order: eqx.AbstractVar[int]

    term_structure: ClassVar = PopulationTerm
    interpolation_cls: ClassVar[Callable[..., MobiusInterpolation]] = MobiusInterpolation

    @abc.abstractmethod
    def advance(self, terms: Any, t0: Any, t1: Any, y0: State) -> tuple[State, State | None]:
        """The state at t1 from that at t0 in one step, and its error estimate or None."""

    def order(self, terms: Any) -> int:
        return self.mobius_order

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> None:
        return None

    def step(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: Any, made_jump: Any) -> Any:
        del args, solver_state, made_jump
        y1, error = self.advance(terms, t0, t1, y0)
        return y1, error, _dense_info(terms, t0, y0, self), None, diffrax.RESULTS.successful

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        return terms.vf(t0, y0, args)


class MobiusSplitting(AbstractMobius):
    """Geometric splitting of order 2 or 4 with a fixed step: no drift of energy, r > 0 at any step size.

    Exact for any step at J = 0 under piecewise constant input. Symplectic (dr∧dv/r²) and time-reversible at Δ = 0. Takes
    every stimulus, gap junctions and conductances (order 4 then by extrapolation, which is not symplectic, but those terms
    are not conservative either). Gives no error estimate: choose `dt0`; h ≈ 0.2/√(|J| r_max) gives about 1e-6 (order 4).
    Use it for long runs, conservation and sweeps; use `MobiusExtrapolation` for adaptive steps and high accuracy.
    Source: docs/theory.md §6.
    """

    mobius_order: int = eqx.field(static=True, default=4)

    def __check_init__(self) -> None:
        require("order", self.mobius_order, "be 2 or 4", self.mobius_order in (2, 4))

    def advance(self, terms: Any, t0: Any, t1: Any, y0: State) -> tuple[State, None]:
        """The state at t1 from that at t0 in one step."""
        terms, t0, h = _unwrapped(terms, t0, t1)
        base, base_order = _base(terms, self.mobius_order)
        tau = terms.model.tau  # pyright: ignore[reportAttributeAccessIssue]
        if base_order == self.mobius_order:
            R, v = base(terms, t0, h, tau * y0.r, y0.v)
        else:
            (R, v), _ = extrapolate(terms, t0, h, tau * y0.r, y0.v, self.mobius_order)
        return State(r=R / tau, v=v), None


class MobiusExtrapolation(AbstractMobius, diffrax.AbstractAdaptiveSolver):
    """Multi-product extrapolation of the geometric splitting: order 6 or 8 with an error estimate for adaptive steps.

    Combines 1, 2, … substeps of `MobiusSplitting` in (ln r, v), so r > 0 at any step; error from the next lower order.
    Exact at J = 0 like its base. Takes every stimulus, gap junctions and conductances. Not symplectic. Takes
    fewer steps than Runge–Kutta through spikes at equal error, but each costs more (benchmarks/splitting.py): choose it
    where r > 0 must hold at every tolerance, `diffrax.Dopri8()` where only speed counts. Source: docs/theory.md §6.
    """

    mobius_order: int = eqx.field(static=True, default=6)

    def __check_init__(self) -> None:
        require("order", self.mobius_order, "be 6 or 8", self.mobius_order in (6, 8))

    def error_order(self, terms: Any) -> int:
        return self.mobius_order - 1

    def advance(self, terms: Any, t0: Any, t1: Any, y0: State) -> tuple[State, State]:
        """The state at t1 from that at t0 in one step, and its error estimate."""
        terms, t0, h = _unwrapped(terms, t0, t1)
        _base(terms, self.mobius_order)
        tau = terms.model.tau  # pyright: ignore[reportAttributeAccessIssue]
        (R, v), (R_low, v_low) = extrapolate(terms, t0, h, tau * y0.r, y0.v, self.mobius_order)
        return State(r=R / tau, v=v), State(r=(R - R_low) / tau, v=v - v_low)
