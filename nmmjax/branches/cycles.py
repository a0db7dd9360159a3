"""Branches of limit cycles over one parameter, from a Hopf point, with their stability."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from .._checks import as_count, require
from .._labelled import state_columns
from .._nan import nan_is_absent
from .._parameter import as_number
from .._results import RESULTS, Shown
from .._types import ComplexValues, Real, Scalar, Values, is_concrete
from ..numerics.arclength import GO_ON, AbstractCurve, Limits, Walk, locate, walk
from .branch import LABELS, SpecialPoints, message
from .collocation import better_mesh, defects, extremes, monodromy, node_times, orbit_at, phase, phase_slope
from .labels import require_single, special_dataset
from .system import System, as_bounds

_FOLDS = 8  # folds of cycles on a branch at most


class Cycles(AbstractCurve):
    """Collocation equations and phase condition in the unknowns x = (values of the orbit, T, p); anchor: mesh, phase row."""

    system: System
    max_period: Scalar
    degree: int = eqx.field(static=True)

    def split(self, x: Values) -> tuple[Values, Scalar, Values]:
        """Orbit `(N m, n)`, period and parameter of the unknowns."""
        n = jax.eval_shape(lambda: ravel_pytree(self.system.like)[0]).size
        return x[:-2].reshape(-1, n), x[-2], x[-1:]

    def residual(self, x: Values, anchor: PyTree) -> Values:
        mesh, slope = anchor
        values, period, p = self.split(x)
        return jnp.append(defects(self.system, values, period, p, mesh).reshape(-1), phase(values, slope))

    def on_mesh(self, x: Values, mesh: Values, new: Values) -> Values:
        """The unknowns with the orbit on another mesh."""
        values = self.split(x)[0]
        return jnp.append(orbit_at(values, mesh, node_times(new, self.degree)).reshape(-1), x[-2:])

    def refresh(self, x: Values, tangent: Values, anchor: PyTree) -> tuple[Values, Values, Any]:
        mesh = better_mesh(self.split(x)[0], anchor[0])
        x, tangent = self.on_mesh(x, anchor[0], mesh), self.on_mesh(tangent, anchor[0], mesh)
        return x, tangent / jnp.linalg.norm(tangent), (mesh, phase_slope(self.split(x)[0], mesh))

    def ends(self, x: Values, before: Values) -> RESULTS:
        a, b = (values - jnp.mean(values, axis=0, keepdims=True) for values in (self.split(x)[0], self.split(before)[0]))
        turned = jnp.sum(a * b) < -0.5 * jnp.linalg.norm(a) * jnp.linalg.norm(b)  # through zero amplitude
        shrank = turned & (jnp.linalg.norm(b) > 1e-8)
        result = RESULTS.where(x[-2] > self.max_period, RESULTS.period_reached, GO_ON)
        return RESULTS.where(shrank, RESULTS.cycle_shrank, result)


class CycleBranch(eqx.Module, Shown):
    """A branch of limit cycles over a parameter, arrays of shape `(points,)`, the Hopf point first; NaN beyond `count`.

    - `system`: the equations, with the name of the parameter
    - `parameter`; `period`, in the unit of τ; `maximum`, `minimum`: largest and smallest value of every state variable
    - `state`: the cycles, `(points, N m + 1)`, at `phase`, times in periods from 0 to 1
    - `multipliers`: Floquet multipliers, by decreasing size, `(points, n)`: one of them is 1; `unstable`: how many of
      the others are larger than 1 in absolute value, −1 if there is no cycle
    - `count`: number of points; `end`: why the branch ends, a `RESULTS` code; `special`: folds of cycles (LPC), whose
      `state` is one on the cycle

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

    @property
    def stable(self) -> Any:
        """Whether all multipliers but the one along the cycle lie in the unit circle."""
        return self.unstable == 0

    @property
    def folds(self) -> SpecialPoints:
        """The folds of cycles (LPC)."""
        return self.special.select("LPC")

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over `point` and `phase`, and `special` for folds of cycles (extra `data`)."""
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
def continue_cycle(
    hopf: SpecialPoints,
    bounds: Any,
    *,
    intervals: int = 30,
    degree: int = 4,
    max_step: Real = 0.05,
    max_points: int = 200,
    max_period: Any = None,
) -> CycleBranch:
    """Limit cycles born at a Hopf point, over its parameter, by orthogonal collocation and pseudo-arclength continuation.

    - `hopf`: a Hopf point, `branch.hopfs[0]` or that of `find_hopf`
    - `bounds`: (from, to) of the parameter; the branch ends there, exactly
    - `intervals`, `degree`: of the mesh, which follows the orbit; 20 to 60 of degree 4 for most cycles, more for bursts
    - `max_step`: longest step, in units of the bounds' width, of the state (or 1) and of the period at the Hopf point
    - `max_points`: most points; `max_period`: the period, in the unit of τ, at which the branch ends, by default 10
      periods at the Hopf point. Multipliers lose digits towards homoclinic orbits

    Returns a `CycleBranch` with periods, extremes, Floquet multipliers and folds of cycles (LPC). Period doublings and tori
    show in `unstable` and `multipliers`, but aren't located. All Hopf points must exist under `vmap`. Use it to see what
    oscillations a population has, the unstable ones included. Raises `ValueError` if `hopf` is no single Hopf point or lies
    outside the bounds. Source: Doedel, Keller & Kernévez, Int. J. Bifurcation Chaos 1:745 (1991).
    """
    ok = isinstance(hopf, SpecialPoints) and jnp.ndim(hopf.kind) == 0
    require("hopf", hopf, "be one Hopf point, such as `branch.hopfs[0]`", ok)
    if is_concrete(hopf.kind):
        is_hopf = int(hopf.kind) == LABELS.index("HB")
        require("hopf", hopf, "be a Hopf point (HB)", is_hopf)
    bounds = as_bounds("bounds", bounds, hopf.parameters.dtype)
    if is_concrete(bounds) and is_concrete(hopf.parameter):
        inside = bool((bounds[0] < hopf.parameter) & (hopf.parameter < bounds[1]))
        require("hopf", hopf.parameter, f"lie within the bounds, ({bounds[0]:g}, {bounds[1]:g})", inside)
    sizes = as_count("intervals", intervals, 3), as_count("degree", degree, 2), as_count("max_points", max_points, 2)
    max_period = 20 * jnp.pi / hopf.omega if max_period is None else as_number("max_period", max_period, "(0, inf)")
    return _continue(hopf, bounds, as_number("max_step", max_step, "(0, 1]"), max_period, sizes)


@eqx.filter_jit
def _continue(hopf: SpecialPoints, bounds: Values, max_step: Scalar, max_period: Scalar, sizes: Any) -> CycleBranch:
    intervals, degree, points = sizes
    hopf, bounds = jax.lax.stop_gradient((hopf, bounds))
    curve = Cycles(hopf.system, max_period, degree)
    x0, t0, anchor, scale = _start(hopf, bounds, intervals, degree)
    infinite = jnp.full((x0.size - 1,), jnp.inf, x0.dtype)
    limits = Limits(jnp.append(-infinite, bounds[0]), jnp.append(infinite, bounds[1]), scale, max_step / 4, max_step)
    walked = walk(curve, x0, t0, anchor, limits, points)
    period, states, phases, multipliers, unstable, highest, lowest = jax.lax.map(
        lambda each: _describe(curve, *each), (walked.x, walked.anchor[0])
    )
    system = hopf.system
    return CycleBranch(
        system=system,
        parameter=walked.x[:, -1],
        period=period,
        maximum=system.states(highest),
        minimum=system.states(lowest),
        state=system.states(states),
        phase=phases,
        multipliers=multipliers,
        unstable=unstable,
        count=walked.count,
        end=walked.result,
        special=_folds(curve, walked, scale),
    )


def _start(hopf: SpecialPoints, bounds: Values, intervals: int, degree: int) -> Any:
    """The Hopf point as a cycle of no size, the direction in which it grows, its anchor and the scale of lengths."""
    system, omega = hopf.system, hopf.omega
    u, p = ravel_pytree(hopf.state)[0], hopf.parameters
    matrix = system.jacobian(u, p)
    shifted = jax.lax.complex(matrix, -omega * jnp.eye(u.size, dtype=u.dtype))
    q = jnp.conj(jnp.linalg.svd(shifted)[2][-1])
    mesh = jnp.linspace(0, 1, intervals + 1, dtype=u.dtype)
    angle = 2 * jnp.pi * node_times(mesh, degree)[:, None]
    mode = jnp.cos(angle) * jnp.real(q)[None] - jnp.sin(angle) * jnp.imag(q)[None]
    size = jnp.maximum(jnp.abs(u), 1.0)
    period = 2 * jnp.pi / omega
    scale = jnp.tile(size * jnp.sqrt(jnp.asarray(intervals * degree, u.dtype)), intervals * degree)
    scale = jnp.concatenate([scale, period[None], (bounds[1] - bounds[0])[None]])
    tangent = jnp.append(mode.reshape(-1), jnp.zeros((2,), u.dtype)) / scale
    x0 = jnp.concatenate([jnp.tile(u, intervals * degree), period[None], p])
    return x0, tangent / jnp.linalg.norm(tangent), (mesh, phase_slope(mode, mesh)), scale


def _describe(curve: Cycles, x: Values, mesh: Values) -> Any:
    """Period, states, their phases, multipliers, number of unstable ones and extremes of one cycle; NaN if x is."""
    values, period, p = curve.split(x)
    states = jnp.concatenate([values, values[:1]])
    phases = jnp.append(node_times(mesh, curve.degree), mesh[-1])
    n = values.shape[1]

    def compute() -> Any:
        found = jnp.linalg.eigvals(monodromy(curve.system, values, period, p, mesh))
        found = found[jnp.argsort(-jnp.abs(found))]
        others = jnp.arange(n) != jnp.argmin(jnp.abs(found - 1))
        return found, jnp.sum(others & (jnp.abs(found) > 1)).astype(jnp.int32), *extremes(values, mesh)

    nan = jnp.full((n,), jnp.nan, x.dtype)
    none = lambda: (jax.lax.complex(nan, nan), jnp.full((), -1, jnp.int32), nan, nan)
    return period, states, phases, *jax.lax.cond(jnp.all(jnp.isfinite(x)), compute, none)


def _folds(curve: Cycles, walked: Walk, scale: Values) -> SpecialPoints:
    """Points at which the branch turns back in the parameter."""
    turn = walked.tangent[:, -1]
    (index,) = jnp.nonzero(turn[:-1] * turn[1:] < 0, size=_FOLDS, fill_value=-1)

    def find(k) -> Values:
        meshes, _ = walked.anchor
        second = curve.on_mesh(walked.x[k + 1], meshes[k + 1], meshes[k])
        anchor = jax.tree.map(lambda each: each[k], walked.anchor)
        ends, values = jnp.stack([walked.x[k], second]), jnp.stack([turn[k], turn[k + 1]])
        return locate(curve, lambda x, t, _: t[-1], ends, walked.tangent[k], values, anchor, scale, 1e-9)

    nan = jnp.full_like(scale, jnp.nan)
    x = jax.lax.map(lambda k: jax.lax.cond(k >= 0, lambda: find(k), lambda: nan), index)
    exists = index >= 0
    u = jax.vmap(lambda x: curve.split(x)[0][0])(x)
    kind = jnp.where(exists, LABELS.index("LPC"), 0).astype(jnp.int32)
    position = jnp.where(exists, index + 1, 0).astype(jnp.int32)
    omega, nothing = 2 * jnp.pi / x[:, -2], jnp.full_like(x[:, -1], jnp.nan)
    return SpecialPoints(
        curve.system, kind, x[:, -1:], curve.system.states(u), omega, nothing, jnp.zeros_like(kind), position
    )
