"""Fits that place bifurcations: folds and Hopf points at given parameter values.

On the curve of rest states (x, p(x)), x = ln R, of a population, slow variables included,

    fold   F(x, p) = 0, ∂F/∂x = 0                F: τ dv/dt with all other variables at rest
    Hopf   F(x, p) = 0, H(x, p) = 0              H: Routh's (and Hurwitz's) condition for a pair ±iω

are looked for on a grid of rates and solved by Newton's method, whose last two steps carry the derivatives (implicit
function theorem). So no guess has to be close. Networks take `find_fold` and `find_hopf`'s equations, from a state.
"""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._checks import as_array, require
from .._parameter import as_number, parameter_table
from .._types import Scalar, Values, Whole
from ..branches.special import solve_special
from ..branches.system import System, check_name, value_of, with_value
from ..equilibria.stability import jacobian, routh_column
from ..equilibria.steady import COARSE_GRID, steady_force, steady_state
from ..models.base import AbstractModel
from ..models.mpr import MPR
from ..numerics.linear import characteristic
from ..numerics.roots import newton, ratio, with_slope
from .target import AbstractTarget, deviations

_GUESSES, _NEWTON = 12, 12


class _Place(eqx.Module):
    """A parameter's value at which a bifurcation is wanted, and where to look for it."""

    parameter: str = eqx.field(static=True)
    at: Scalar
    near: Any
    sigma: Scalar

    def __init__(self, parameter: Any, at: Any, near: Any, noise: object):
        require("parameter", parameter, "be the name of a parameter", isinstance(parameter, str))
        self.parameter, self.at = parameter, as_number("at", at)
        is_state = hasattr(near, "keys") or hasattr(near, "variables")
        self.near = (
            {name: as_array(value) for name, value in getattr(near, "variables", near).items()}
            if is_state
            else as_number("near", near, "(0, inf)")
        )
        self.sigma = jnp.asarray(deviations("noise", noise, np.asarray(self.at, float)))

    def check(self, model: AbstractModel) -> None:
        check_name(model, self.parameter)
        if _at_rate(model):
            require("near", self.near, "be a rate for a population", not isinstance(self.near, dict))
        else:
            require("near", self.near, "be a state, unless the model is one `MPR`", isinstance(self.near, dict))
            model.state(self.near)

    def found(self, kind: str, model: Any) -> Scalar:
        """The parameter's value at the bifurcation closest to `near`; NaN if absent."""
        if _at_rate(model):
            return bifurcation_value(kind, model, self.parameter, self.at, self.near)
        at = self.at.astype(value_of(model, self.parameter).dtype)
        system = System(with_value(model, self.parameter, at), model.state(self.near), (self.parameter,))
        u = ravel_pytree(system.like)[0]
        return solve_special(kind, system, u, at[None])[1][0]

    def residuals(self, kind: str, model: AbstractModel) -> Values:
        found = self.found(kind, model)
        return ((found - self.at.astype(found.dtype)) / self.sigma.astype(found.dtype))[None]


def _at_rate(model: AbstractModel) -> bool:
    """Whether a rate tells where to look: fixed points of one population are zeros of one function of the rate."""
    return model.size is None and "riccati" in model.offers


class AbstractPlaceTarget(AbstractTarget):
    """Base class of folds and Hopf points as targets; `kind` as in branches/special.py."""

    place: eqx.AbstractVar[_Place]
    known: eqx.AbstractVar[bool]

    @property
    @abc.abstractmethod
    def kind(self) -> str:
        """LP or HB."""

    @property
    def noise_known(self) -> bool:
        return self.known

    def alone(self, model: AbstractModel) -> bool:
        return isinstance(self.place.near, dict)  # networks take eigenvectors

    def check(self, model: AbstractModel) -> None:
        self.place.check(model)

    def residuals(self, model: AbstractModel, unknowns: Values | None = None, refine: Whole = 1) -> Values:
        return self.place.residuals(self.kind, model)


class FoldTarget(AbstractPlaceTarget):
    """A fold (saddle-node) of rest states that is to lie at a given value of a parameter.

        residual = (p_fold − at)/noise

    - `parameter`: its name, `eta` or `adaptation.alpha`; it must not be among the free ones, of which the fold's place is a
      function
    - `at`: its value there; `near`: a rate close to that of the wanted fold (its neighbours are told apart by it), or for a
      network a state that is
    - `noise`: standard deviation of `at`, or None for its own size

    Slow variables follow the rate, as at rest. Residuals are NaN if the model has no such fold. Raises `ValueError` for
    unknown parameters, rates ≤ 0. Use two, added up, to fix a bistable range. Source: docs/theory.md §4; Kuznetsov, Elements
    of Applied Bifurcation Theory, §10.2.
    """

    place: _Place
    known: bool = eqx.field(static=True)

    def __init__(self, parameter: str, at: Any, *, near: Any, noise: Any = None):
        self.place, self.known = _Place(parameter, at, near, noise), noise is not None

    @property
    def kind(self) -> str:
        return "LP"


class HopfTarget(AbstractPlaceTarget):
    """A Hopf point that is to lie at a given value of a parameter: an oscillation of small amplitude is born there.

        residual = (p_Hopf − at)/noise

    - `parameter`: its name, `eta` or `adaptation.alpha`; it must not be among the free ones, of which the point's place
      is a function
    - `at`: its value there; `near`: a rate close to that of the wanted point, or for a network a state that is
    - `noise`: standard deviation of `at`, or None for its own size

    Residuals are NaN if the model has no such point; a population without gap junctions and slow variables has none.
    Raises `ValueError` for unknown parameters, rates ≤ 0. Source: docs/theory.md §4.
    """

    place: _Place
    known: bool = eqx.field(static=True)

    def __init__(self, parameter: str, at: Any, *, near: Any, noise: Any = None):
        self.place, self.known = _Place(parameter, at, near, noise), noise is not None

    @property
    def kind(self) -> str:
        return "HB"


def bifurcation_value(kind: str, model: MPR, parameter: str, at: Any, near: Any) -> Scalar:
    """The value of `parameter` at the fold ("LP") or Hopf point ("HB") of a population whose rate is closest to `near`; NaN
    if absent. Differentiable in the model's other parameters."""
    dtype = model.eta.dtype
    start, near = at.astype(dtype), near.astype(dtype)
    condition = _fold if kind == "LP" else _hopf
    still = jax.lax.stop_gradient(model)
    declared = parameter_table(model)[parameter][0]
    lowest, highest = declared.lower, declared.upper

    def force(model: MPR, x: Scalar, p: Scalar) -> Scalar:
        return steady_force(with_value(model, parameter, p), x)

    def test(model: MPR, x: Scalar, p: Scalar) -> Scalar:
        return condition(with_value(model, parameter, p), x)

    def on_curve(x: Scalar) -> tuple[Scalar, Scalar, Any]:
        """p(x), the condition there, and whether both are known."""

        both = lambda p: with_slope(lambda p: force(still, x, p), p)
        p = newton(lambda p: ratio(*both(p)), start, _GUESSES)
        value, slope = both(p)
        good = jnp.isfinite(p) & (jnp.abs(value) <= 1e-4 * jnp.abs(slope) * (jnp.abs(p) + 1e-3))
        return p, test(still, x, p), good & ((p >= lowest) & (p <= highest))

    grid = jnp.asarray(COARSE_GRID, dtype)
    p, value, good = jax.vmap(on_curve)(grid)
    turns = good[:-1] & good[1:] & ((value[:-1] < 0) != (value[1:] < 0))
    if kind == "HB":
        omega2 = jax.vmap(lambda x, p: _frequency(with_value(still, parameter, p), x))(grid, p)
        turns &= (omega2[:-1] > 0) & (omega2[1:] > 0)
    away = jnp.abs((grid[:-1] + grid[1:]) / 2 - jnp.log(model.tau * near))
    cell = jnp.argmin(jnp.where(turns, jax.lax.stop_gradient(away), jnp.inf))
    share = value[cell] / (value[cell] - value[cell + 1])
    x, q = (each[cell] + share * (each[cell + 1] - each[cell]) for each in (grid, p))

    def improve(carry: tuple[Scalar, Scalar], free) -> tuple[Any, Scalar]:
        x, p = (jnp.where(free, each, jax.lax.stop_gradient(each)) for each in carry)
        both = lambda x, p: (force(model, x, p), test(model, x, p))
        one, zero = jnp.ones_like(x), jnp.zeros_like(x)
        (f, g), (f_x, g_x) = jax.jvp(both, (x, p), (one, zero))
        _, (f_p, g_p) = jax.jvp(both, (x, p), (zero, one))
        area = f_x * g_p - f_p * g_x
        area = jnp.where(area == 0, 1, area)
        dx, dp = (f * g_p - g * f_p) / area, (f_x * g - g_x * f) / area
        # The cell brackets the point: no step leads further than a few cells.
        damp = jnp.minimum(1, 0.05 / jnp.maximum(jnp.abs(jax.lax.stop_gradient(dx)), 1e-30))
        return (x - damp * dx, p - damp * dp), jnp.abs(dx) + jnp.abs(dp) / (1 + jnp.abs(p))

    exists = jnp.any(turns)
    x, q = jnp.where(exists, x, 0), jnp.where(exists, q, start)
    free = jnp.arange(_NEWTON + 2) >= _NEWTON
    (_, q), sizes = jax.lax.scan(improve, jax.lax.stop_gradient((x, q)), free)
    settled = jax.lax.stop_gradient(sizes[-1]) <= 1e4 * float(jnp.finfo(dtype).eps)
    return jnp.where(exists & settled, q, jnp.nan)


def _fold(model: MPR, x: Scalar) -> Scalar:
    return with_slope(lambda x: steady_force(model, x), x)[1]


def _hopf(model: MPR, x: Scalar) -> Scalar:
    """Hurwitz's determinant of order n − 1: the product of Routh's first column but for the last."""
    column = routh_column(characteristic(jacobian(model, steady_state(model, x)))[0])
    found = column[1]
    for each in column[2:-1]:
        found = found * each
    return found


def _frequency(model: MPR, x: Scalar) -> Scalar:
    """ω² if the condition holds: of the auxiliary polynomial, whose row comes before the one that vanishes."""
    c = characteristic(jacobian(model, steady_state(model, x)))[0]
    before = routh_column(c)[-3]
    return ratio(c[-1], before)
