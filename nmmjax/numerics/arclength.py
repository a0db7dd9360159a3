"""Pseudo-arclength continuation of any curve given by m equations in m + 1 unknowns; pure JAX, fixed sizes.

From a point x with unit tangent t, a step of length s predicts x + s t, and Newton's method solves the equations together
with t·(x − prediction) = 0, which stays regular where the curve turns back. Lengths are those of x / scale. Steps grow
while the curve is straight and shrink where it bends or where Newton's method fails. Source: Keller, in: Applications of
Bifurcation Theory (1977); Kuznetsov, Elements of Applied Bifurcation Theory, §10.2.
"""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import PyTree

from .._results import RESULTS
from .._types import Scalar, Values

GO_ON: Any = RESULTS.successful
_NEWTON = 10  # iterations of Newton's method at most; it takes two to four
_BEND = 0.2, 0.06  # angles between tangents (radians): more is refused, less lets the step grow


class AbstractCurve(eqx.Module):
    """m equations in m + 1 unknowns. `anchor` is what equations remember of the last point (phase, mesh); often None."""

    @abc.abstractmethod
    def residual(self, x: Values, anchor: PyTree) -> Values:
        """The m equations' left sides."""

    def refresh(self, x: Values, tangent: Values, anchor: PyTree) -> tuple[Values, Values, Any]:
        """Point, direction and anchor with which to go on from an accepted point."""
        return x, tangent, anchor

    def ends(self, x: Values, before: Values, anchor: PyTree) -> RESULTS:
        """Why the curve is to end between the two points, or `successful` to go on."""
        return GO_ON


class Limits(NamedTuple):
    """Limits of a walk: the box `lower` ≤ x ≤ `upper`, and the lengths of steps in units of `scale`."""

    lower: Values
    upper: Values
    scale: Values
    first: Scalar
    longest: Scalar


class Walk(eqx.Module):
    """Points on a curve in the order in which they were reached, the first of them the start; NaN beyond `count`."""

    x: Values
    tangent: Values
    anchor: Any
    count: Any
    result: RESULTS


def tolerance(dtype: DTypeLike) -> float:
    """The relative size of a last Newton step: 1e-11 in float64."""
    return float(jnp.finfo(dtype).eps) ** 0.7


def newton(function: Callable[[Values], Values], x: Values, scale: Values) -> tuple[Values, Any, Any]:
    """A zero of `function` near x, whether the iteration converged, and after how many steps."""
    return iterate(lambda x: jnp.linalg.solve(jax.jacfwd(function)(x) * scale[None], function(x)) * scale, x, scale)


def iterate(move: Callable[[Values], Values], x: Values, scale: Values) -> tuple[Values, Any, Any]:
    """The same by any function that gives Newton's step at x."""
    small = tolerance(x.dtype)

    def more(state: tuple[Values, Any, Any]) -> Any:
        _, size, k = state
        return (size > small) & (k < _NEWTON) & jnp.isfinite(size)

    def improve(state: tuple[Values, Any, Any]) -> tuple[Values, Any, Any]:
        x, _, k = state
        step = move(x) / scale
        return x - step * scale, jnp.max(jnp.abs(step) / (1 + jnp.abs(x / scale))), k + 1

    first = x, jnp.ones((), x.dtype), jnp.zeros((), jnp.int32)
    x, size, k = jax.lax.while_loop(more, improve, first)
    return x, size <= 10 * small, k


def root(function: Callable[[Values], Values], x: Values, steps: int = _NEWTON + 2) -> tuple[Values, Any]:
    """A zero of `function` near x and whether Newton's method converged, in 12 steps, or `steps` ≥ 2 from nearby.

    The last two carry first and second derivatives in what `function` depends on (implicit function theorem).
    """
    return settle(lambda x: jnp.linalg.solve(jax.jacfwd(function)(x), function(x)), x, steps)


def settle(move: Callable[[Values], Values], x: Values, steps: int) -> tuple[Values, Any]:
    """The same by any function that gives Newton's step at x."""

    def improve(x: Values, free) -> tuple[Values, Scalar]:
        x = jnp.where(free, x, jax.lax.stop_gradient(x))
        step = move(x)
        return x - step, jnp.max(jnp.abs(step) / (1 + jnp.abs(x)))

    x, sizes = jax.lax.scan(improve, jax.lax.stop_gradient(x), jnp.arange(steps) >= steps - 2)
    return x, sizes[-1] <= 10 * tolerance(x.dtype)


def on_plane(curve: AbstractCurve, guess: Values, normal: Values, anchor: PyTree, scale: Values) -> tuple[Values, Any, Any]:
    """The point of the curve in the plane through `guess` with this normal (in units of scale), by Newton's method."""

    def equations(x: Values) -> Values:
        return jnp.append(curve.residual(x, anchor), normal @ ((x - guess) / scale))

    return newton(equations, guess, scale)


def bordered(curve: AbstractCurve, x: Values, row: Values, anchor: PyTree, scale: Values) -> Values:
    """The Jacobian in units of scale with one more row."""
    return jnp.concatenate([jax.jacfwd(curve.residual)(x, anchor) * scale[None], row[None]])


def tangent_at(curve: AbstractCurve, x: Values, along: Values, anchor: PyTree, scale: Values) -> Values:
    """The unit tangent at x, in units of scale, that points along a given direction."""
    right = jnp.zeros_like(x).at[-1].set(1.0)
    tangent = jnp.linalg.solve(bordered(curve, x, along, anchor, scale), right)
    return tangent / jnp.linalg.norm(tangent)


def first_tangent(curve: AbstractCurve, x: Values, anchor: PyTree, scale: Values) -> Values:
    """A unit tangent at x, in units of scale; towards larger values of the last unknown."""
    tangent = jnp.linalg.svd(jax.jacfwd(curve.residual)(x, anchor) * scale[None])[2][-1]
    return tangent * jnp.where(tangent[-1] < 0, -1.0, 1.0).astype(x.dtype)


def walk(curve: AbstractCurve, x0: Values, t0: Values, anchor: PyTree, limits: Limits, points: int) -> Walk:
    """The curve from x0 on it, in the direction t0, to the first reason to stop; at most `points` points.

    If a step leaves the box, the next one lands on its bound: there the plane is that of the bound.
    """
    store = lambda start: jnp.full((points, *start.shape), jnp.nan, start.dtype).at[0].set(start)
    state = {
        "x": x0,
        "t": t0,
        "anchor": anchor,
        "size": limits.first,
        "count": jnp.ones((), jnp.int32),
        "xs": store(x0),
        "ts": store(t0),
        "anchors": jax.tree.map(store, anchor),
        "landing": jnp.zeros((), bool),
        "over": x0,
        "result": RESULTS.successful,
    }

    def go_on(state: dict[str, Any]) -> Any:
        return (state["result"] == RESULTS.successful) & (state["count"] < points)

    state = jax.lax.while_loop(go_on, lambda state: _step(curve, state, (x0, t0), limits), state)
    result = RESULTS.where(state["result"] == RESULTS.successful, RESULTS.max_points_reached, state["result"])
    return Walk(state["xs"], state["ts"], state["anchors"], state["count"], result)


def walk_both_ways(curve: AbstractCurve, x0: Values, t0: Values, anchor: PyTree, limits: Limits, points: int) -> Walk:
    """Walks from x0 against and along t0 as one, of at most 2 `points` − 1 points; `result` holds both ends' codes, `(2,)`.

    The second walk alone if it came back to its start.
    """
    signs = jnp.asarray([-1.0, 1.0], x0.dtype)
    walks = jax.vmap(lambda sign: walk(curve, x0, sign * t0, anchor, limits, points))(signs)
    closed = jax.vmap(lambda result: result == RESULTS.closed_branch)(walks.result)[1]
    back = jnp.where(closed, 0, walks.count[0] - 1)
    index = jnp.arange(2 * points - 1, dtype=jnp.int32)
    place, exists = index - back, index < back + walks.count[1]

    def both(each) -> Any:
        mask = (-1,) + (1,) * (each.ndim - 2)
        before, after = each[0][jnp.clip(-place, 0, points - 1)], each[1][jnp.clip(place, 0, points - 1)]
        return jnp.where(exists.reshape(mask), jnp.where((place < 0).reshape(mask), before, after), jnp.nan)

    return Walk(
        x=both(walks.x),
        tangent=both(walks.tangent * signs[:, None, None]),
        anchor=jax.tree.map(both, walks.anchor),
        count=back + walks.count[1],
        result=jax.vmap(lambda result: RESULTS.where(closed, RESULTS.closed_branch, result))(walks.result),
    )


def _step(curve: AbstractCurve, state: dict[str, Any], start: tuple[Values, Values], limits: Limits) -> dict[str, Any]:
    """One attempt: accepted, refused with a shorter step to follow, or the last."""
    x, t, anchor, size, landing, k = (state[name] for name in ("x", "t", "anchor", "size", "landing", "count"))
    scale = limits.scale
    on_bound, bound_normal = _crossing(x, state["over"], limits)
    guess = jnp.where(landing, on_bound, x + size * t * scale)
    new, converged, iterations = on_plane(curve, guess, jnp.where(landing, bound_normal, t), anchor, scale)
    tangent = tangent_at(curve, new, t, anchor, scale)
    angle = jnp.arccos(jnp.clip(t @ tangent, -1, 1))
    good = converged & jnp.all(jnp.isfinite(tangent)) & (landing | (angle < _BEND[0]))
    grow = jnp.where((angle < _BEND[1]) & (iterations < 5), 1.5, 1.0)
    size = jnp.where(good, jnp.minimum(size * grow, limits.longest), size / 2).astype(x.dtype)
    outside = jnp.any((new < limits.lower) | (new > limits.upper)) & ~landing
    stop = RESULTS.where(
        _passes(start[0] / scale, start[1], x / scale, new / scale, t, k), RESULTS.closed_branch, curve.ends(new, x, anchor)
    )
    stop = RESULTS.where(landing, RESULTS.bounds_reached, RESULTS.where(outside, GO_ON, stop))
    lost = RESULTS.where(landing, RESULTS.bounds_reached, GO_ON)
    lost = RESULTS.where(size < 1e-5 * limits.first, RESULTS.newton_failed, lost)
    closes = stop == RESULTS.closed_branch
    moved = jnp.linalg.norm((new - x) / scale) > 1e-6 * limits.first
    keep = good & ~outside & moved & ((stop == RESULTS.successful) | landing | closes)
    go = jax.tree.map(lambda a, b: jnp.where(closes, a, b), (*start, anchor), curve.refresh(new, tangent, anchor))
    at = jnp.where(keep, k, state["xs"].shape[0])  # one beyond the end is dropped
    put = lambda many, one: many.at[at].set(one, mode="drop")
    x, t, anchor = jax.tree.map(lambda a, b: jnp.where(keep, a, b), go, (x, t, anchor))
    return {
        "x": x,
        "t": t,
        "anchor": anchor,
        "size": size,
        "count": k + keep.astype(jnp.int32),
        "xs": put(state["xs"], go[0]),
        "ts": put(state["ts"], go[1]),
        "anchors": jax.tree.map(put, state["anchors"], go[2]),
        "landing": good & outside,
        "over": new,
        "result": RESULTS.where(good, stop, lost),
    }


def _crossing(x: Values, over: Values, limits: Limits) -> tuple[Values, Values]:
    """Point at which the way from x to a point outside the box first meets a bound, and the normal of that bound."""
    bound = jnp.where(over > limits.upper, limits.upper, limits.lower)
    is_out = (over < limits.lower) | (over > limits.upper)
    bound, way = jnp.where(is_out, bound, x), jnp.where(is_out, over - x, jnp.ones_like(x))
    share = jnp.where(is_out, (bound - x) / way, jnp.ones_like(x))
    which = jnp.argmin(share)
    guess = x + share[which] * (over - x)
    return guess.at[which].set(jnp.where(is_out[which], bound[which], guess[which])), jnp.zeros_like(x).at[which].set(1.0)


def _passes(start: Values, t0: Values, x: Values, new: Values, t: Values, k: Any) -> Any:
    """Whether the start of the walk lies between two points of it, in the same direction."""
    step, to_start = new - x, start - x
    length = jnp.linalg.norm(step)
    along = (to_start @ step) / length
    beside = jnp.linalg.norm(to_start - along * step / length)
    return (k > 3) & (along > 0) & (along <= length) & (beside < 0.1 * length) & (t @ t0 > 0.9)


def locate(
    curve: AbstractCurve,
    test: Callable[[Values, Values, Any], Scalar],
    ends: Values,
    tangent: Values,
    values: Values,
    anchor: PyTree,
    scale: Values,
    small: float,
) -> Values:
    """The point between two neighbours at which `test(x, tangent, anchor)` changes sign, by false position.

    `ends`: the two, `(2, m + 1)`; `tangent`: that of the first; `values`: of the test at both. `small`: accuracy, relative
    to their distance.
    """

    def more(state) -> Any:
        (a, _), (b, _), _, fc, _, k = state
        return (k < 60) & (jnp.abs(b - a) > small) & (jnp.abs(fc) > small * size)

    def improve(state) -> Any:
        (a, fa), (b, fb), side, _, _, k = state
        c = jnp.clip((a * fb - b * fa) / (fb - fa), jnp.minimum(a, b), jnp.maximum(a, b))
        c = jnp.where(k % 3 == 2, (a + b) / 2, c)  # halves the bracket if false position is slow
        x, _, _ = on_plane(curve, ends[0] + c * (ends[1] - ends[0]), tangent, anchor, scale)
        fc = test(x, tangent_at(curve, x, tangent, anchor, scale), anchor)
        left = (fc < 0) == (fa < 0)  # the zero lies right of c
        fb = jnp.where(left & (side == 1), fb / 2, fb)  # Illinois
        fa = jnp.where(~left & (side == -1), fa / 2, fa)
        first, second = jax.tree.map(lambda u, v: jnp.where(left, u, v), ((c, fc), (b, fb)), ((a, fa), (c, fc)))
        return first, second, jnp.where(left, 1, -1).astype(jnp.int32), fc, x, k + 1

    fa, fb = values
    size, none = jnp.maximum(jnp.abs(fa), jnp.abs(fb)), jnp.zeros((), jnp.int32)
    first, second = (jnp.zeros_like(size), fa), (jnp.ones_like(size), fb)
    return jax.lax.while_loop(more, improve, (first, second, none, size, ends[0], none))[4]
