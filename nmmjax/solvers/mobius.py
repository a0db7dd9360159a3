"""Geometric integrators for Riccati populations, exact but for the coupling (docs/theory.md §6).

W = π R + i v (R = τ r, time t/τ) obeys Ẇ = Δ + i(η + I − W²) + i f(R). The part without the drive f is a Möbius map of W,
exact over any step; the drive is an exact kick of v at frozen R, with what a synapse delivers to it meanwhile. Splitting
the two gives integrators that keep r > 0 for every step size, conserve the energy at Δ = 0 without drift, and do not stiffen
at spikes:

    order 2   B(h/2) A(h) B(h/2)
    order 4   B(h/6) A(h/2) B̃(2h/3) A(h/2) B(h/6),   B̃: v += (2h/3) f + (h³/36)(2 R f f′ − f²)

With other than Lorentzian excitabilities every mode W_k is moved by A and all get the same kick, at the population's own R.
For a network f_i = J_i R_i + Σ_j W_ij R_j, and R f f′ becomes Σ_j (∂f_i/∂R_j) R_j f_j, with h in units of each node's τ.

B̃ is the force-gradient kick, so all steps are forward in time. The input of the step's midpoint belongs to A: a piecewise
constant stimulus is exact too. Gap junctions enter as a shift of v and a linear kick, conductances as an exact
contraction; for those and for synapses, order 4 and higher come from extrapolating the order-2 map in (ln r, v).
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
from .._types import Real, Values
from ..models.state import State
from .operators import Moving, force_gradient_step, multi_product_weights, step_functions, strang_step
from .term import PopulationTerm


def _base(term: PopulationTerm, order: int) -> tuple[Any, int]:
    """The time-symmetric base map and its order: force-gradient if the model allows it and it is wanted."""
    riccati, _, _ = step_functions(term)
    model: Any = term.model
    plain = riccati.plain and model.filters is None
    return (force_gradient_step, 4) if plain and order >= 4 else (strang_step, 2)


def extrapolate(term: PopulationTerm, t: Values, h: Values, y: Moving, order: int) -> tuple[Moving, Moving]:
    """A step of the given order from a symmetric map with 1, 2, 3, … substeps, and one of the next lower order for the error
    estimate.

    Multi-product (Richardson in h²) on (ln R, v) and a synapse's variables: the logarithm keeps R positive. Returns the two
    estimates.
    """
    base, base_order = _base(term, order)
    counts = tuple(range(1, (order - base_order) // 2 + 2))
    # All substeps of all columns in one scan, so that the base step is compiled once.
    schedule = [(k, n) for n in counts for k in range(n)]
    offset = jnp.asarray([k / n for k, n in schedule], h.dtype)
    fraction = jnp.asarray([1 / n for _, n in schedule], h.dtype)
    first = jnp.asarray([k == 0 for k, _ in schedule])

    def substep(state, now) -> Any:
        restart, offset, fraction = now
        state = jax.tree.map(lambda start, each: jnp.where(restart, start, each), y, state)
        state = base(term, t + offset * h, fraction * h, state)
        return state, state

    _, every = jax.lax.scan(substep, y, (first, offset, fraction))

    def combine(skip: int) -> Moving:
        weights = jnp.asarray(multi_product_weights(counts[skip:], base_order), h.dtype)
        ends = np.cumsum(counts)[skip:] - 1
        mean = lambda each: jnp.tensordot(weights, each[ends], 1)
        synapse = {name: mean(each) for name, each in every.synapse.items()}
        return Moving(jnp.exp(mean(jnp.log(every.R))), mean(every.v), synapse)

    return combine(0), combine(1)


def _moving(term: PopulationTerm, y: State) -> Moving:
    model: Any = term.model
    R, v = model.to_modes(y)
    return Moving(R, v, {name: getattr(y, name) for name in model.slow_names})


def _state(term: PopulationTerm, y: Moving) -> State:
    model: Any = term.model
    return model.from_modes(y.R, y.v, y.synapse)


def _unwrapped(terms: Any, t0: Any, t1: Any) -> tuple[PopulationTerm, Values, Values]:
    """The population's term, and start and length of the step in forward time: diffrax wraps terms to run backwards."""
    if isinstance(terms, PopulationTerm):
        return terms, jnp.asarray(t0), t1 - t0
    inner, direction = terms.term, jnp.asarray(terms.direction, jnp.result_type(t0))
    return inner, t0 * direction, (t1 - t0) * direction


def _dense_info(terms: Any, t0: Real, y0: State, solver: object) -> dict[str, Any]:
    """Data for the interpolation. The direction is a float: diffrax pads the records with inf, which no integer holds."""
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

    def evaluate(self, t0: Real, t1: Real | None = None, left: bool = True) -> Any:
        if t1 is None:
            return self.solver.advance(self.terms, self.t0, t0, self.y0)[0]
        return jax.tree.map(lambda b, a: b - a, self.evaluate(t1), self.evaluate(t0))


class AbstractMobius(diffrax.AbstractSolver):
    """Base class of the Möbius solvers: no solver state, and dense output by stepping again from the left end."""

    mobius_order: eqx.AbstractVar[int]

    term_structure: ClassVar = PopulationTerm
    interpolation_cls: ClassVar[Callable[..., MobiusInterpolation]] = MobiusInterpolation

    @abc.abstractmethod
    def advance(self, terms: Any, t0: Real, t1: Real, y0: State) -> tuple[State, State | None]:
        """State at t1 after one step from t0, and its error estimate or None."""

    def order(self, terms: Any) -> int:
        return self.mobius_order

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> None:
        return None

    def step(self, terms: Any, t0: Real, t1: Real, y0: Any, args: Any, solver_state: Any, made_jump: Any) -> Any:
        del args, solver_state, made_jump
        y1, error = self.advance(terms, t0, t1, y0)
        return y1, error, _dense_info(terms, t0, y0, self), None, diffrax.RESULTS.successful

    def func(self, terms: Any, t0: Real, y0: Any, args: Any) -> Any:
        return terms.vf(t0, y0, args)


class MobiusSplitting(AbstractMobius):
    """Geometric splitting of order 2 or 4 with a fixed step: no drift of energy, r > 0 at any step size.

    Exact for any step at J = 0 under piecewise constant input. Symplectic (dr∧dv/r²) and time-reversible at Δ = 0. Takes
    every stimulus, gap junctions and conductances (order 4 then by extrapolation, which is not symplectic, but those terms
    are not conservative either). Gives no error estimate: choose `dt0`; h ≈ 0.2/√(|J| r_max) gives about 1e-6 (order 4).
    Use it for long runs, conservation and sweeps; use `MobiusExtrapolation` for adaptive steps and high accuracy.

    - `mobius_order`: 2 or 4 (default)

    Raises `ValueError` for other orders. Source: docs/theory.md §6.
    """

    mobius_order: int = eqx.field(static=True, default=4)

    def __check_init__(self) -> None:
        require("mobius_order", self.mobius_order, "be 2 or 4", self.mobius_order in (2, 4))

    def advance(self, terms: Any, t0: Real, t1: Real, y0: State) -> tuple[State, None]:
        """State at `t1` after one step from `y0` at `t0`; `terms` is a `PopulationTerm`."""
        terms, t0, h = _unwrapped(terms, t0, t1)
        base, base_order = _base(terms, self.mobius_order)
        if base_order == self.mobius_order:
            return _state(terms, base(terms, t0, h, _moving(terms, y0))), None
        return _state(terms, extrapolate(terms, t0, h, _moving(terms, y0), self.mobius_order)[0]), None


class MobiusExtrapolation(AbstractMobius, diffrax.AbstractAdaptiveSolver):
    """Multi-product extrapolation of the geometric splitting: order 6 or 8 with an error estimate for adaptive steps.

    It combines 1, 2, … substeps of `MobiusSplitting` in (ln r, v), so r > 0 at any step; the error estimate comes from
    the next lower order. Exact at J = 0 like its base. It takes every stimulus, gap junctions and conductances. It is
    not symplectic. It takes fewer steps than Runge–Kutta through spikes at equal error, but each costs more
    (benchmarks/splitting.py): choose it if r > 0 must hold at every tolerance, and `diffrax.Dopri8()` if only speed
    counts.

    - `mobius_order`: 6 (default) or 8

    Raises `ValueError` for other orders. Source: docs/theory.md §6.
    """

    mobius_order: int = eqx.field(static=True, default=6)

    def __check_init__(self) -> None:
        require("mobius_order", self.mobius_order, "be 6 or 8", self.mobius_order in (6, 8))

    def error_order(self, terms: Any) -> int:
        return self.mobius_order - 1

    def advance(self, terms: Any, t0: Real, t1: Real, y0: State) -> tuple[State, State]:
        """State at `t1` after one step from `y0` at `t0`, and its error estimate; `terms` is a `PopulationTerm`."""
        terms, t0, h = _unwrapped(terms, t0, t1)
        step_functions(terms)  # refuses what has no exactly solvable part
        high, low = extrapolate(terms, t0, h, _moving(terms, y0), self.mobius_order)
        after = _state(terms, high)
        return after, jax.tree.map(lambda a, b: a - b, after, _state(terms, low))
