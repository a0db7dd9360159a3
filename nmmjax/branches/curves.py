"""Curves of folds and of Hopf points over two parameters, with the points of codimension two on them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from .._blas import with_one_thread
from .._checks import as_count, require
from .._labelled import state_columns
from .._nan import nan_is_absent
from .._parameter import as_number
from .._results import RESULTS, Shown
from .._types import Real, Scalar, Values, is_concrete
from ..numerics.arclength import AbstractCurve, Limits, Walk, first_tangent, locate, walk_both_ways
from ..numerics.compiling import jitted
from .branch import LABELS, SpecialPoints, message
from .labels import SIDES, require_single, special_dataset
from .special import (
    fold_equations,
    fold_guess,
    hopf_equations,
    hopf_guess,
    lyapunov_coefficient,
    parts,
)
from .special import second as second_derivative
from .system import System, as_bounds

_SPECIAL = 8  # special points of each kind on a curve at most


class SpecialCurve(AbstractCurve):
    """The equations of folds or Hopf points in the unknowns x = (u, φ, κ, p₁, p₂); anchor: the phase l of Hopf points."""

    system: System
    kind: str = eqx.field(static=True)

    def residual(self, x: Values, anchor: PyTree) -> Values:
        equations = fold_equations if self.kind == "LP" else hopf_equations
        return equations(self.system, x, anchor)

    def refresh(self, x: Values, tangent: Values, anchor: PyTree) -> tuple[Values, Values, Any]:
        if self.kind == "LP":
            return x, tangent, anchor
        # The plane of φ and l turns along the curve: l is what A φ has across φ, if it has something.
        u, phi, _, p = parts(self.system, x)
        image = self.system.jacobian(u, p) @ phi
        across = image - (image @ phi) * phi
        size = jnp.linalg.norm(across)
        return x, tangent, jnp.where(size > 0.1 * jnp.linalg.norm(image), across / size, anchor)


class BifurcationCurve(eqx.Module, Shown):
    """A curve of folds or Hopf points over two parameters, arrays of shape `(points,)`; NaN beyond `count`.

    - `system`: the equations, with the names of the two parameters
    - `parameters`: `(points, 2)`; `state`: the model's; `omega`: angular frequency on Hopf curves, per unit of time, and
      `lyapunov`: first Lyapunov coefficient there, negative if supercritical; else NaN
    - `count`: number of points; `ends`: how it ended at its first and last point, `RESULTS` codes `(2,)`
    - `special`: cusps (CP) and Bogdanov–Takens points (BT) on curves of folds; BT and generalized Hopf points (GH), at
      which the first Lyapunov coefficient vanishes, on those of Hopf points
    - `kind`: "LP" or "HB"

    Print it for a summary, `to_xarray()` for labelled data, `nmmjax.plot.bifurcation_curves(curve, …)` for a picture.
    """

    system: System
    parameters: Values
    state: Any
    omega: Values
    lyapunov: Values
    count: Any
    ends: RESULTS
    special: SpecialPoints
    kind: str = eqx.field(static=True)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over `point`, and `special` for special points (extra `data`)."""
        require_single(self, self.parameters, 2)
        exists = np.arange(self.parameters.shape[0]) < int(self.count)
        data = state_columns(self.system.model, self.state, exists, "point")
        data["omega"] = ("point", np.asarray(self.omega)[exists], {"units": "1/time", "long_name": "angular frequency"})
        about = {"long_name": "first Lyapunov coefficient; negative: supercritical"}
        data["lyapunov"] = ("point", np.asarray(self.lyapunov)[exists], about)
        ends = {f"result_{side}": RESULTS[jax.tree.map(lambda code, k=k: code[k], self.ends)] for k, side in SIDES}
        return special_dataset(self, data, list(np.asarray(self.parameters)[exists].T), ends | {"kind": self.kind})

    @nan_is_absent
    def __str__(self) -> str:
        first, second = self.system.names
        what = "folds" if self.kind == "LP" else "Hopf points"
        if not is_concrete(self.parameters) or self.parameters.ndim != 2:
            return f"Curves of {what} over {first} and {second}, batch shape {self.parameters.shape[:-2]}"
        k = int(self.count)
        spans = [
            f"{name} = {float(self.parameters[0, i]):g} … {float(self.parameters[k - 1, i]):g}"
            for i, name in enumerate(self.system.names)
        ]
        rows = [f"Curve of {what}", f"  {', '.join(spans)}, {k} points"]
        rows += [f"    {side}: {message(self.ends, i)}" for i, side in enumerate(("first", "last "))]
        return "\n".join([*rows, "special points", *(f"  {line}" for line in str(self.special).split("\n"))])

    def __repr__(self) -> str:
        return str(self)


@nan_is_absent
@with_one_thread
def continue_fold(
    fold: SpecialPoints, second: str, bounds: Any, second_bounds: Any, *, max_step: Real = 0.02, max_points: int = 400
) -> BifurcationCurve:
    """The curve of folds through one fold, over its own parameter and a second one, both ways.

    - `fold`: `branch.folds[0]` or that of `find_fold`
    - `second`: the second parameter's name; `bounds`, `second_bounds`: (from, to) of the first and of the second
    - `max_step`: longest step, in units of the bounds' widths and of the state (or 1); `max_points`: most points each
      way

    Returns a `BifurcationCurve` with cusps (CP), at which two folds meet, and Bogdanov–Takens points (BT), at which a curve
    of Hopf points ends. Raises `ValueError` if `fold` is no single fold or lies outside the bounds. Source: Kuznetsov,
    Elements of Applied Bifurcation Theory, §10.3.
    """
    return _continue_curve("LP", fold, second, bounds, second_bounds, max_step, max_points)


@nan_is_absent
@with_one_thread
def continue_hopf(
    hopf: SpecialPoints, second: str, bounds: Any, second_bounds: Any, *, max_step: Real = 0.02, max_points: int = 400
) -> BifurcationCurve:
    """The curve of Hopf points through one of them, over its own parameter and a second one, both ways.

    - `hopf`: `branch.hopfs[0]` or that of `find_hopf`
    - `second`: the second parameter's name; `bounds`, `second_bounds`: (from, to) of the first and of the second
    - `max_step`: longest step, in units of the bounds' widths and of the state (or 1); `max_points`: most points each
      way

    Returns a `BifurcationCurve`. It ends at Bogdanov–Takens points (BT), with ω = 0, on a curve of folds. Generalized
    Hopf points (GH) separate stable from unstable cycles at birth. Raises `ValueError` if `hopf` is no single Hopf point
    or lies outside the bounds. Source: Kuznetsov, Elements of Applied Bifurcation Theory, §10.3.
    """
    return _continue_curve("HB", hopf, second, bounds, second_bounds, max_step, max_points)


def _continue_curve(
    kind: str, point: SpecialPoints, second: str, bounds: object, second_bounds: object, max_step: Real, max_points: int
) -> BifurcationCurve:
    name = "fold" if kind == "LP" else "hopf"
    require(name, point, "be one special point", isinstance(point, SpecialPoints) and jnp.ndim(point.kind) == 0)
    if is_concrete(point.kind):
        require(name, point, f"be a special point of kind {kind}", int(point.kind) == LABELS.index(kind))
    more = " (folds are the same)" if kind == "LP" else " (follow a Hopf point by `find_hopf` at many values)"
    rule = f"be of a model without delays, as `network.undelayed()`{more}"
    require(name, "a network with delays", rule, not point.system.delayed)
    system = point.system.also(second)
    p = jnp.append(point.parameters, system.value(1))
    both = jnp.stack([as_bounds("bounds", bounds, p.dtype), as_bounds("second_bounds", second_bounds, p.dtype)], axis=1)
    if is_concrete(p) and is_concrete(both):
        for each, value, low, high in zip(system.names, p, both[0], both[1], strict=True):
            require(each, value, f"start within the bounds, ({low:g}, {high:g})", bool((low <= value) & (value <= high)))
    points = as_count("max_points", max_points, 2)
    u = ravel_pytree(point.state)[0]
    return _follow(kind, system, u, p, both, as_number("max_step", max_step, "(0, 1]"), points)


@jitted
def _follow(kind: str, system: System, u: Values, p: Values, bounds: Values, max_step: Scalar, points: int) -> Any:
    system, u, p, bounds = jax.lax.stop_gradient((system, u, p, bounds))
    curve = SpecialCurve(system, kind)
    matrix = system.jacobian(u, p)
    phi, kappa, anchor = (fold_guess if kind == "LP" else hopf_guess)(matrix)
    x0 = jnp.concatenate([u, phi, kappa[None], p])
    n, dtype = u.size, x0.dtype
    ones, infinite = jnp.ones((n,), dtype), jnp.full((2 * n + 1,), jnp.inf, dtype)
    size = jnp.sqrt(jnp.asarray(max(n, 2), dtype))
    scale = [
        jnp.maximum(jnp.abs(u), ones) * size,
        ones * size,
        jnp.maximum(jnp.sum(matrix**2), 1.0)[None],
        bounds[1] - bounds[0],
    ]
    lowest = -infinite if kind == "LP" else (-infinite).at[-1].set(0.0)  # κ = 0: Bogdanov–Takens
    scale = jnp.concatenate(scale)
    limits = Limits(jnp.append(lowest, bounds[0]), jnp.append(infinite, bounds[1]), scale, max_step / 4, max_step)
    t0 = first_tangent(curve, x0, anchor, scale)
    whole = walk_both_ways(curve, x0, t0, anchor, limits, points)
    u, _, kappa, p = jax.vmap(lambda x: parts(system, x))(whole.x)
    omega = jnp.sqrt(jnp.maximum(kappa, 0.0)) if kind == "HB" else jnp.full_like(kappa, jnp.nan)
    lyapunov = jnp.full_like(omega, jnp.nan) if kind == "LP" else _map(curve, _first_lyapunov, whole.x)
    at_end = jnp.abs(_ends(kappa, whole.count)) < 1e-9
    takens = lambda at, end: RESULTS.where(at, RESULTS.bogdanov_takens, end)
    ends = whole.result if kind == "LP" else jax.vmap(takens)(at_end, whole.result)
    return BifurcationCurve(
        system=system,
        parameters=p,
        state=system.states(u),
        omega=omega,
        lyapunov=lyapunov,
        count=whole.count,
        ends=ends,
        special=_on_folds(curve, whole, scale) if kind == "LP" else _on_hopfs(curve, whole, lyapunov, scale),
        kind=kind,
    )


def _map(curve: SpecialCurve, function: Any, x: Values) -> Values:
    """`function(curve, x)` at all points, NaN if absent."""
    one = jax.eval_shape(lambda: function(curve, x[0]))
    none = lambda: jnp.full(one.shape, jnp.nan, one.dtype)
    return jax.lax.map(lambda x: jax.lax.cond(jnp.all(jnp.isfinite(x)), lambda: function(curve, x), none), x)


def _left(curve: SpecialCurve, x: Values) -> Values:
    """ψ with Aᵀψ = 0; of either sign."""
    u, _, _, p = parts(curve.system, x)
    return jnp.linalg.svd(curve.system.jacobian(u, p))[0][:, -1]


def _first_lyapunov(curve: SpecialCurve, x: Values) -> Scalar:
    u, _, kappa, p = parts(curve.system, x)
    found = lyapunov_coefficient(curve.system, u, p, jnp.sqrt(jnp.maximum(kappa, 0.0)))
    return jnp.where(kappa > 1e-8, found, jnp.nan)  # it grows without bounds towards Bogdanov–Takens points


def _on_folds(curve: SpecialCurve, whole: Walk, scale: Values) -> SpecialPoints:
    """Cusps, at which ψ·B(φ, φ) = 0, and Bogdanov–Takens points, at which ψ·φ = 0."""

    def tests(x: Values, psi: Values) -> Values:
        u, phi, _, p = parts(curve.system, x)
        return jnp.stack([psi @ second_derivative(lambda u: curve.system(u, p), u, phi, phi), psi @ phi])

    left = _map(curve, _left, whole.x)
    turns = jnp.where(jnp.sum(left[1:] * left[:-1], axis=1) < 0, -1.0, 1.0).astype(scale.dtype)
    left = left * jnp.append(jnp.ones((1,), scale.dtype), jnp.cumprod(turns))[:, None]  # one sign all along
    values = jax.vmap(tests)(whole.x, left)

    def test(which: int, k) -> Any:
        def value(x: Values, t: Values, _) -> Scalar:
            psi = _left(curve, x)
            return tests(x, psi * jnp.where(psi @ left[k] < 0, -1.0, 1.0).astype(x.dtype))[which]

        return value

    found = [_between(curve, whole, values[:, which], lambda k, which=which: test(which, k), scale) for which in (0, 1)]
    return _collect(curve, [("CP", *found[0]), ("BT", *found[1])])


def _on_hopfs(curve: SpecialCurve, whole: Walk, lyapunov: Values, scale: Values) -> SpecialPoints:
    """Generalized Hopf points, at which l₁ = 0, and Bogdanov–Takens points at the ends, at which κ = 0."""
    found = _between(curve, whole, lyapunov, lambda k: lambda x, t, _: _first_lyapunov(curve, x), scale)
    ends = _ends(whole.x, whole.count)
    at_end = jnp.abs(jax.vmap(lambda x: parts(curve.system, x)[2])(ends)) < 1e-9
    positions = _ends(jnp.arange(whole.x.shape[0]), whole.count)
    return _collect(curve, [("GH", *found), ("BT", jnp.where(at_end[:, None], ends, jnp.nan), positions)])


def _ends(each: Any, count: Any) -> Any:
    """The first and the last entry of an array along the curve."""
    return each[jnp.stack([jnp.zeros_like(count), count - 1])]


def _between(curve: SpecialCurve, whole: Walk, values: Values, test_at: Any, scale: Values) -> tuple[Values, Any]:
    """The zeros of a test function along the curve, `(8, m + 1)`, NaN beyond those found, and their places."""
    (index,) = jnp.nonzero(values[:-1] * values[1:] < 0, size=_SPECIAL, fill_value=-1)

    def find(k) -> Values:
        anchor = jax.tree.map(lambda each: each[k], whole.anchor)
        ends = k + jnp.arange(2)
        return locate(curve, test_at(k), whole.x[ends], whole.tangent[k], values[ends], anchor, scale, 1e-10)

    nan = jnp.full_like(scale, jnp.nan)
    return jax.lax.map(lambda k: jax.lax.cond(k >= 0, lambda: find(k), lambda: nan), index), index + 1


def _collect(curve: SpecialCurve, found: list[tuple[str, Values, Any]]) -> SpecialPoints:
    """Special points of all kinds in the order of the curve, those that exist first."""
    x = jnp.concatenate([each for _, each, _ in found])
    position = jnp.concatenate([each.astype(jnp.int32) for _, _, each in found])
    kind = jnp.concatenate([jnp.full(each.shape[:1], LABELS.index(label), jnp.int32) for label, each, _ in found])
    kind = jnp.where(jnp.isfinite(x[:, 0]), kind, 0)
    order = jnp.lexsort((position, kind == 0))
    kind, x, position = kind[order], x[order], jnp.where(kind > 0, position, 0)[order]
    u, _, kappa, p = jax.vmap(lambda x: parts(curve.system, x))(x)
    omega = jnp.where(kind == LABELS.index("GH"), jnp.sqrt(jnp.maximum(kappa, 0.0)), jnp.nan)
    none = jnp.full_like(omega, jnp.nan)
    return SpecialPoints(curve.system, kind, p, curve.system.states(u), omega, none, jnp.zeros_like(kind), position)
