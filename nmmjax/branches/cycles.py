"""Branches of limit cycles over one parameter, from Hopf points and period doublings, with their stability."""

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
from .._types import ComplexValues, Real, Scalar, Values, is_concrete
from ..numerics.arclength import GO_ON, AbstractCurve, Limits, Walk, locate, walk
from ..numerics.compiling import jitted
from .branch import LABELS, Cycle, SpecialPoints, message, where_chosen
from .collocation import (
    better_mesh,
    carried,
    defects,
    extremes,
    linearized,
    monodromy,
    node_times,
    orbit_at,
    phase,
    phase_slope,
    product,
    transfers,
)
from .labels import require_single, special_dataset
from .system import System, as_bounds

_KINDS = ("LPC", "PD", "NS")  # of special cycles
_SPECIAL = 16  # special cycles on a branch at most
_CRITICAL = 1e-4  # how far from the unit circle the multipliers of a special cycle may be found


class Cycles(AbstractCurve):
    """Collocation equations and phase condition in the unknowns x = (values of the orbit, T, p); anchor: mesh, phase row."""

    system: System
    max_period: Scalar
    degree: int = eqx.field(static=True)
    doubled: bool = eqx.field(static=True, default=False)

    def split(self, x: Values) -> tuple[Values, Scalar, Values]:
        """Orbit `(N m, n)`, period and parameter of the unknowns."""
        n = jax.eval_shape(lambda: ravel_pytree(self.system.like)[0]).size
        return x[:-2].reshape(-1, n), x[-2], x[-1:]

    def residual(self, x: Values, anchor: PyTree) -> Values:
        mesh, slope = anchor
        values, period, p = self.split(x)
        return jnp.append(defects(self.system, values, period, p, mesh).reshape(-1), phase(values, slope, mesh))

    def on_mesh(self, x: Values, mesh: Values, new: Values) -> Values:
        """The unknowns with the orbit on another mesh."""
        values = self.split(x)[0]
        return jnp.append(orbit_at(values, mesh, node_times(new, self.degree)).reshape(-1), x[-2:])

    def refresh(self, x: Values, tangent: Values, anchor: PyTree) -> tuple[Values, Values, Any]:
        mesh = better_mesh(self.split(x)[0], anchor[0])
        x, tangent = self.on_mesh(x, anchor[0], mesh), self.on_mesh(tangent, anchor[0], mesh)
        return x, tangent / jnp.linalg.norm(tangent), (mesh, phase_slope(self.split(x)[0], mesh))

    def ends(self, x: Values, before: Values, anchor: PyTree) -> RESULTS:
        a, b = self.swing(x, anchor[0]), self.swing(before, anchor[0])
        turned = jnp.sum(a * b) < -0.5 * jnp.linalg.norm(a) * jnp.linalg.norm(b)  # through zero amplitude
        shrank = turned & (jnp.linalg.norm(b) > 1e-8)
        result = RESULTS.where(x[-2] > self.max_period, RESULTS.period_reached, GO_ON)
        return RESULTS.where(shrank, RESULTS.cycle_halved if self.doubled else RESULTS.cycle_shrank, result)

    def swing(self, x: Values, mesh: Values) -> Values:
        """What vanishes where the cycle was born: its swing around the mean, or what two half periods differ by."""
        values = self.split(x)[0]
        if self.doubled:
            return values - orbit_at(values, mesh, (node_times(mesh, self.degree) + 0.5) % 1)
        return values - jnp.mean(values, axis=0, keepdims=True)


class CycleBranch(eqx.Module, Shown):
    """A branch of limit cycles over a parameter, arrays of shape `(points,)`, that at which it was born first; NaN beyond
    `count`.

    - `system`: the equations, with the name of the parameter
    - `parameter`; `period`, in the unit of τ; `maximum`, `minimum`: largest and smallest value of every state variable
    - `state`: the cycles, `(points, N m + 1)`, at `phase`, times in periods from 0 to 1
    - `multipliers`: Floquet multipliers, by decreasing size, `(points, n)`: one of them is 1; `unstable`: how many of
      the others are larger than 1 in absolute value, −1 if there is no cycle
    - `count`: number of points; `end`: why the branch ends, a `RESULTS` code
    - `special`: folds of cycles (LPC), period doublings (PD) and tori (NS), each with its whole `cycle`; `folds`,
      `doublings`, `tori`
    - `degree`: of the polynomials between the points of the mesh

    Print it for a summary, `to_xarray()` for labelled data, `nmmjax.plot.bifurcation(branch, cycles)` for a picture.
    """

    system: System
    parameter: Values
    period: Values
    maximum: Any
    minimum: Any
    state: Any
    phase: Values
    multipliers: ComplexValues
    unstable: Any
    count: Any
    end: RESULTS
    special: SpecialPoints
    degree: int = eqx.field(static=True)

    @property
    def stable(self) -> Any:
        """Whether all multipliers but the one along the cycle lie in the unit circle."""
        return self.unstable == 0

    @property
    def folds(self) -> SpecialPoints:
        """The folds of cycles (LPC)."""
        return self.special.select("LPC")

    @property
    def doublings(self) -> SpecialPoints:
        """The period doublings (PD), from each of which `continue_cycle` follows the cycle of twice the period."""
        return self.special.select("PD")

    @property
    def tori(self) -> SpecialPoints:
        """The points at which a torus is born (NS, Neimark–Sacker)."""
        return self.special.select("NS")

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over `point` and `phase`, and `special` for special cycles (extra `data`)."""
        require_single(self, self.parameter, 1)
        exists = np.arange(self.parameter.size) < int(self.count)
        data = state_columns(self.system.model, self.state, exists, "point", "phase_index")
        for name in ("maximum", "minimum"):
            columns = state_columns(self.system.model, getattr(self, name), exists, "point")
            data |= {f"{each}_{name}": column for each, column in columns.items()}
        values = np.asarray(self.multipliers)[exists]
        data |= {
            "phase": (("point", "phase_index"), np.asarray(self.phase)[exists], {"long_name": "time in periods"}),
            "period": ("point", np.asarray(self.period)[exists], {"units": "time", "long_name": "period"}),
            "multiplier_real": (("point", "mode"), np.real(values), {"long_name": "real part of Floquet multipliers"}),
            "multiplier_imag": (("point", "mode"), np.imag(values), {"long_name": "their imaginary part"}),
            "unstable": ("point", np.asarray(self.unstable)[exists], {"long_name": "number of unstable multipliers"}),
        }
        return special_dataset(self, data, [np.asarray(self.parameter)[exists]], {"result": RESULTS[self.end]})

    @nan_is_absent
    def __str__(self) -> str:
        name = self.system.names[0]
        if not is_concrete(self.parameter) or self.parameter.ndim != 1:
            return f"Cycles over {name}, batch shape {self.parameter.shape[:-1]}"
        k = int(self.count)
        rows = [
            f"Cycles over {name}",
            f"  {name} = {float(self.parameter[0]):g} … {float(self.parameter[k - 1]):g}, {k} points",
            f"  period {float(self.period[0]):g} … {float(self.period[k - 1]):g}",
            f"  stable on {int(jnp.sum(self.stable[:k]))} points",
            f"  {message(self.end)}",
            *(f"  {line}" for line in ["special points", *str(self.special).split("\n")]),
        ]
        return "\n".join(rows)

    def __repr__(self) -> str:
        return str(self)


@nan_is_absent
@with_one_thread
def continue_cycle(
    start: SpecialPoints,
    bounds: Any,
    *,
    intervals: int | None = None,
    degree: int = 4,
    max_step: Real = 0.05,
    max_points: int = 200,
    max_period: Any = None,
) -> CycleBranch:
    """Limit cycles over a parameter, born at a Hopf point, or of twice the period at a period doubling, by orthogonal
    collocation and pseudo-arclength continuation.

    - `start`: a Hopf point, `branch.hopfs[0]` or that of `find_hopf`, or a period doubling, `cycles.doublings[0]`
    - `bounds`: (from, to) of the parameter; the branch ends there, exactly
    - `intervals`, `degree`: of the mesh, which follows the orbit; 20 to 60 of degree 4 for most cycles, more for bursts. By
      default 30 intervals, at doublings twice as many as the cycle had
    - `max_step`: longest step, in units of the bounds' width, of the state (or 1) and of the period at the start
    - `max_points`: most points; `max_period`: the period, in the unit of τ, at which the branch ends, by default 10
      periods at the start. Multipliers lose digits towards homoclinic orbits

    Returns a `CycleBranch` with periods, extremes, Floquet multipliers and the points at which they cross the unit circle:
    folds of cycles (LPC) at 1, period doublings (PD) at −1, tori (NS) as a complex pair. Not seen: two of one kind within
    one step. All starts must exist, and be of one kind, under `vmap`. Use it to see what oscillations a population has, the
    unstable ones included, and how they become irregular; `phase_response` for what shifts their phase. Raises `ValueError`
    if `start` is no single Hopf point or doubling, or lies outside the bounds. Sources: Doedel, Keller & Kernévez, Int. J.
    Bifurcation Chaos 1:745 (1991); Kuznetsov, Elements of Applied Bifurcation Theory, §10.2.
    """
    ok = isinstance(start, SpecialPoints) and jnp.ndim(start.kind) == 0
    require("start", start, "be one Hopf point or period doubling, such as `branch.hopfs[0]`", ok)
    if is_concrete(start.kind):
        kinds = [LABELS.index("HB"), LABELS.index("PD")]
        require("start", start, "be a Hopf point (HB) or a period doubling (PD)", int(start.kind) in kinds)
    rule = "be of a model without delays (`simulate` runs onto the stable cycles of one with delays)"
    require("start", "a network with delays", rule, not start.system.delayed)
    bounds = as_bounds("bounds", bounds, start.parameters.dtype)
    if is_concrete(bounds) and is_concrete(start.parameter):
        inside = bool((bounds[0] < start.parameter) & (start.parameter < bounds[1]))
        require("start", start.parameter, f"lie within the bounds, ({bounds[0]:g}, {bounds[1]:g})", inside)
    count = None if intervals is None else as_count("intervals", intervals, 3)
    sizes = count, as_count("degree", degree, 2), as_count("max_points", max_points, 2)
    longest = None if max_period is None else as_number("max_period", max_period, "(0, inf)")
    return _continue(start, bounds, as_number("max_step", max_step, "(0, 1]"), longest, sizes)


@jitted
def _continue(start: SpecialPoints, bounds: Values, max_step: Scalar, max_period: Any, sizes: Any) -> CycleBranch:
    intervals, degree, points = sizes
    fixed, bounds = jax.lax.stop_gradient((start, bounds))
    born = _at_hopf if fixed.cycle is None else _at_doubling
    values, mode, mesh, period = born(fixed, intervals, degree)
    curve = Cycles(fixed.system, 10 * period if max_period is None else max_period, degree, fixed.cycle is not None)
    size = jnp.maximum(jnp.max(jnp.abs(values), axis=0), 1.0) * jnp.sqrt(jnp.asarray(values.shape[0], values.dtype))
    scale = jnp.concatenate([jnp.tile(size, values.shape[0]), period[None], (bounds[1] - bounds[0])[None]])
    t0 = jnp.append(mode.reshape(-1), jnp.zeros((2,), mode.dtype)) / scale
    x0 = jnp.concatenate([values.reshape(-1), period[None], fixed.parameters])
    anchor = mesh, phase_slope(mode if fixed.cycle is None else values, mesh)
    infinite = jnp.full((x0.size - 1,), jnp.inf, x0.dtype)
    limits = Limits(jnp.append(-infinite, bounds[0]), jnp.append(infinite, bounds[1]), scale, max_step / 4, max_step)
    walked = walk(curve, x0, t0 / jnp.linalg.norm(t0), anchor, limits, points)
    cycle, unstable, highest, lowest = jax.lax.map(lambda each: _describe(curve, *each), (walked.x, walked.anchor[0]))
    return CycleBranch(
        system=start.system,
        parameter=walked.x[:, -1],
        period=cycle.period,
        maximum=highest,
        minimum=lowest,
        state=cycle.state,
        phase=cycle.phase,
        multipliers=cycle.multipliers,
        unstable=unstable,
        count=walked.count,
        end=walked.result,
        special=_special(curve, walked, cycle.multipliers, unstable, scale),
        degree=degree,
    )


def _at_hopf(hopf: SpecialPoints, intervals: int | None, degree: int) -> Any:
    """The Hopf point as a cycle of no size, `(N m, n)`, the direction in which it grows, its mesh and its period."""
    system, omega = hopf.system, hopf.omega
    u = ravel_pytree(hopf.state)[0]
    shifted = jax.lax.complex(system.jacobian(u, hopf.parameters), -omega * jnp.eye(u.size, dtype=u.dtype))
    q = jnp.conj(jnp.linalg.svd(shifted)[2][-1])
    mesh = jnp.linspace(0, 1, (intervals or 30) + 1, dtype=u.dtype)
    angle = 2 * jnp.pi * node_times(mesh, degree)[:, None]
    mode = jnp.cos(angle) * jnp.real(q)[None] - jnp.sin(angle) * jnp.imag(q)[None]
    return jnp.broadcast_to(u[None], mode.shape), mode, mesh, 2 * jnp.pi / omega


def _at_doubling(point: SpecialPoints, intervals: int | None, degree: int) -> Any:
    """The same for a cycle run through twice: it grows along the solution of U′ = A U that is −U after one period."""
    cycle = point.cycle
    assert cycle is not None
    values, mesh = point.system.flat(cycle.state)[:-1], cycle.phase[:: cycle.degree]
    over = transfers(linearized(point.system, values, cycle.period, point.parameters, mesh), mesh)
    critical = product(over) + jnp.eye(values.shape[1], dtype=values.dtype)
    mode = carried(over, jnp.linalg.svd(critical)[2][-1])
    values, mode = jnp.concatenate([values, values]), jnp.concatenate([mode, -mode])
    mesh = jnp.concatenate([mesh[:-1], 1 + mesh]) / 2
    new = mesh if intervals is None else better_mesh(values, mesh, intervals)
    values, mode = (orbit_at(each, mesh, node_times(new, degree)) for each in (values, mode))
    return values, mode, new, 2 * cycle.period


def _multipliers(curve: Cycles, x: Values, mesh: Values) -> tuple[ComplexValues, Any]:
    """Floquet multipliers by decreasing size, and how many of those other than the one along the cycle exceed 1."""
    values, period, p = curve.split(x)
    found = jnp.linalg.eigvals(monodromy(curve.system, values, period, p, mesh))
    found = found[jnp.argsort(-jnp.abs(found))]
    others = jnp.arange(found.size) != jnp.argmin(jnp.abs(found - 1))
    return found, jnp.sum(others & (jnp.abs(found) > 1)).astype(jnp.int32)


def _describe(curve: Cycles, x: Values, mesh: Values) -> tuple[Cycle, Any, Any, Any]:
    """The cycle, number of unstable multipliers, largest and smallest values; NaN if x is."""
    values, period, _ = curve.split(x)
    states = curve.system.states(jnp.concatenate([values, values[:1]]))
    phases = jnp.append(node_times(mesh, curve.degree), mesh[-1])
    nan = jnp.full((values.shape[1],), jnp.nan, x.dtype)
    compute = lambda: (*_multipliers(curve, x, mesh), *extremes(values, mesh))
    none = lambda: (jax.lax.complex(nan, nan), jnp.full((), -1, jnp.int32), nan, nan)
    multipliers, unstable, highest, lowest = jax.lax.cond(jnp.all(jnp.isfinite(x)), compute, none)
    cycle = Cycle(states, phases, period, multipliers, curve.degree)
    return cycle, unstable, curve.system.state(highest), curve.system.state(lowest)


def _tests(turn: Values, multipliers: ComplexValues, unstable: Any, fewer: Any) -> Values:
    """What changes sign at folds, doublings and tori: dp/d(arclength), ∏(1 + μ), and ln |μ| of the complex pair nearest to
    the unit circle, its sign that of the number of unstable ones."""
    size = jnp.where(jnp.imag(multipliers) > 0, jnp.abs(jnp.log(jnp.abs(multipliers))), jnp.inf)
    sign = jnp.where(unstable > fewer, 1.0, -1.0).astype(turn.dtype)
    pair = sign * jnp.minimum(jnp.min(size, axis=-1), 1.0)
    return jnp.stack([turn, jnp.real(jnp.prod(1 + multipliers, axis=-1)), pair])


def _special(curve: Cycles, walked: Walk, multipliers: ComplexValues, unstable: Any, scale: Values) -> SpecialPoints:
    """Points at which the branch turns back in the parameter, or multipliers cross the unit circle, in its order."""
    turn = walked.tangent[:, -1]
    flip = _tests(turn, multipliers, unstable, unstable)[1]
    change = lambda each: each[:-1] * each[1:] < 0
    born = (jnp.abs(unstable[1:] - unstable[:-1]) >= 2) & jnp.isfinite(turn[1:])
    events = jnp.stack([change(turn), change(flip), born], axis=1)
    (index,) = jnp.nonzero(events.reshape(-1), size=_SPECIAL, fill_value=-1)

    def find(index) -> tuple[Any, Values, Values]:
        k, which = index // 3, index % 3
        meshes, _ = walked.anchor
        fewer = jnp.minimum(unstable[k], unstable[k + 1])
        tests = lambda k: _tests(turn[k], multipliers[k], unstable[k], fewer)[which]
        test = lambda x, t, anchor: _tests(t[-1], *_multipliers(curve, x, anchor[0]), fewer)[which]
        anchor = jax.tree.map(lambda each: each[k], walked.anchor)
        ends = jnp.stack([walked.x[k], curve.on_mesh(walked.x[k + 1], meshes[k + 1], meshes[k])])
        values = jnp.stack([tests(k), tests(k + 1)])
        x = locate(curve, test, ends, walked.tangent[k], values, anchor, scale, 1e-9)
        found, _ = _multipliers(curve, x, anchor[0])
        near = jnp.stack(
            [
                jnp.zeros_like(turn[0]),
                jnp.min(jnp.abs(found + 1)),
                jnp.min(jnp.where(jnp.imag(found) > 0, jnp.abs(jnp.log(jnp.abs(found))), jnp.inf)),
            ]
        )[which]
        return near < _CRITICAL, x, anchor[0]

    none = jnp.zeros((), bool), jnp.full_like(scale, jnp.nan), jnp.full_like(walked.anchor[0][0], jnp.nan)
    exists, x, mesh = jax.lax.map(lambda k: jax.lax.cond(k >= 0, lambda: find(k), lambda: none), index)
    kind = jnp.asarray([LABELS.index(each) for each in _KINDS], jnp.int32)[index % 3]
    order = jnp.argsort(~exists, stable=True)
    exists, kind, x, mesh, position = (each[order] for each in (exists, kind, x, mesh, index // 3 + 1))
    cycle = jax.lax.map(lambda each: _describe(curve, *each)[0], (jnp.where(exists[:, None], x, jnp.nan), mesh))
    kind, position, cycle = jax.tree.map(lambda each: where_chosen(exists, each), (kind, position.astype(jnp.int32), cycle))
    state = jax.tree.map(lambda each: each[:, 0], cycle.state)
    parameter = where_chosen(exists, x[:, -1:])
    nothing = jnp.full_like(cycle.period, jnp.nan)
    return SpecialPoints(
        curve.system, kind, parameter, state, 2 * jnp.pi / cycle.period, nothing, jnp.zeros_like(kind), position, cycle
    )
