"""The slow–fast picture: branches, kinds and landscape of the fast equations over one slow variable.

A population bursts because its fast equations have two stable branches over the slow variable: it fires on one while the
slow variable rises past that branch's fold, and rests on the other on the way back. Source for the picture: Rinzel &
Ermentrout, in: Methods in Neuronal Modeling (1989); for these bursts Gast, Schmidt & Knösche, Neural Comput. 32:1615 (2020).
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_count, require
from .._labelled import attributes_of, software, xarray
from .._nan import nan_is_absent
from .._parameter import as_number
from .._results import Shown
from .._types import ComplexValues, Real, Scalar, Values, is_concrete
from ..equilibria.stability import planar_eigenvalues
from ..equilibria.steady import GRID, Equilibria, find_equilibria, where_finite
from ..models.adaptation import SynapticDepression
from ..models.base import takes_model
from ..models.mpr import MPR
from ..numerics.compiling import jitted
from ..numerics.roots import solve_between, solve_on_grid
from .frozen import Fast, alone, fold_positions, require_burster

_CHANGES = 4  # of kind, at most
KINDS = ("stable node", "stable focus", "saddle", "unstable node", "unstable focus")


class Levels(NamedTuple):
    """The frozen landscape at given values of the slow variable, elementwise; NaN if the branch doesn't exist there.

    `low`, `saddle`, `high`: rates of the equilibria; `barrier_low`, `barrier_high`: potential of the saddle above that of
    the low and of the high one. There is one branch without folds, which is `low`.
    """

    low: Values
    saddle: Values
    high: Values
    barrier_low: Values
    barrier_high: Values


class SlowFast(eqx.Module, Shown):
    """The fast equations over one frozen slow variable s, called `variable`: "A", or "xu" for the product x u.

    - `model`, `current`: the population, and its constant input in units of η
    - `r`, `slow`, `v`: equilibria at `points` rates, spaced equally in ln r; `eigenvalues` `(points, 2)`, with the
      slower (or upper) one first, per unit of time; `kind`: index into `KINDS`
    - `fold_r`, `fold_slow`: folds `(2,)`, that of the low branch first, at which a population at rest starts to fire,
      then that of the high branch, at which it falls silent; NaN if absent
    - `change_r`, `change_slow`: where node and focus meet `(4,)`; `hopf_r`, `hopf_slow`: Hopf points `(2,)` (gap
      junctions)
    - `nullcline`: the value to which s settles at every rate of `r`
    - `equilibria`: those of the whole system, where the nullcline meets the branches, with their stability
    - `grid_r`, `grid_slow`, `landscape`: the frozen potential V (dimensionless) over rate and s, `(points, points)`

    `levels(s)` gives wells and barriers, `potential(r, s)` the landscape anywhere, `to_xarray()` labelled data.
    """

    model: MPR
    current: Scalar
    r: Values
    slow: Values
    v: Values
    eigenvalues: ComplexValues
    kind: Any
    fold_r: Values
    fold_slow: Values
    change_r: Values
    change_slow: Values
    hopf_r: Values
    hopf_slow: Values
    nullcline: Values
    equilibria: Equilibria
    grid_r: Values
    grid_slow: Values
    landscape: Values
    variable: str = eqx.field(static=True)

    def __repr__(self) -> str:
        if not isinstance(self.r, (jax.Array, np.ndarray)) or not is_concrete(self.r) or self.r.ndim != 1:
            return f"SlowFast over {self.variable} of shape {getattr(self.r, 'shape', None)}"
        names = ("starts to fire", "falls silent")
        folds = [
            f"{name} at {self.variable} = {slow:.6g} (r = {r:.6g})"
            for name, r, slow in zip(names, self.fold_r, self.fold_slow, strict=True)
            if jnp.isfinite(r)
        ]
        found = self.equilibria
        rests = [
            f"{'stable' if stable else 'unstable'} equilibrium at r = {r:.6g}"
            for r, stable in zip(found.state.r, found.stable, strict=True)
            if jnp.isfinite(r)
        ]
        return f"SlowFast over {self.variable}: {'; '.join([*(folds or ['no folds']), *rests])}"

    @property
    def meaning(self) -> str:
        """The slow variable in words."""
        if self.variable == "xu":
            return "efficacy x u of plastic synapses"
        return "depression A" if isinstance(self.model.adaptation, SynapticDepression) else "adaptation A"

    @property
    def fast(self) -> Fast:
        """The fast equations."""
        return Fast(self.model, self.current, self.variable)

    def potential(self, r: Values, slow: Values) -> Values:
        """The frozen potential V at rates `r` and values `slow` of the slow variable, elementwise."""
        return self.fast.potential(jnp.log(self.model.tau * r), slow)

    def levels(self, slow: Real) -> Levels:
        """Equilibria and barriers at values `slow` of the slow variable, elementwise, exact up to the folds;
        differentiable.
        """
        return _levels(self, jnp.asarray(slow, self.r.dtype))

    def to_xarray(self) -> Any:
        """All of this as an `xarray.Dataset` with units and the model's parameters.

        Dimensions: `point` along the branches, with `mode` of the eigenvalues (real and imaginary part apart); `fold`,
        `change`, `hopf` and `equilibrium`, as many as there are; `grid_r` and `grid_slow` of the landscape. Raises
        `ValueError` for a batch.
        """
        require("picture", f"one of shape {self.r.shape}", "be a single one to become a dataset", self.r.ndim == 1)
        rate = {"units": "1/time", "long_name": "firing rate at equilibrium"}
        slow = {"units": "1", "long_name": self.meaning, "symbol": self.variable}
        per_time = {"units": "1/time"}
        about = {"flag_values": list(range(len(KINDS))), "flag_meanings": [each.replace(" ", "_") for each in KINDS]}
        data: dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]] = {
            "slow": (("point",), self.slow, slow),
            "v": (("point",), self.v, {"units": "1", "long_name": "mean voltage at equilibrium"}),
            "growth": (("point", "mode"), self.eigenvalues.real, {**per_time, "long_name": "real part of eigenvalues"}),
            "frequency": (("point", "mode"), self.eigenvalues.imag, {**per_time, "long_name": "their imaginary part"}),
            "kind": (("point",), self.kind, {"long_name": "kind of equilibrium of the fast equations", **about}),
            "nullcline": (("point",), self.nullcline, {**slow, "long_name": f"steady {self.meaning}"}),
            "landscape": (
                ("grid_r", "grid_slow"),
                self.landscape,
                {"units": "1", "long_name": "frozen potential energy V"},
            ),
        }
        for name in ("fold", "change", "hopf"):
            rates, values = np.asarray(getattr(self, f"{name}_r")), np.asarray(getattr(self, f"{name}_slow"))
            some = np.isfinite(rates)
            data[f"{name}_r"] = ((name,), rates[some], {**rate, "long_name": f"rate at {name}"})
            data[f"{name}_slow"] = ((name,), values[some], slow)
        found = self.equilibria
        some = np.isfinite(np.asarray(found.state.r))
        for name in found.state.names:
            each = self.model.variables[name]
            meta = {"units": each.unit, "long_name": f"{each.doc} at equilibrium"}
            data[f"equilibrium_{name}"] = (("equilibrium",), np.asarray(getattr(found.state, name))[some], meta)
        flag = {"units": "1", "long_name": "whether the equilibrium of the whole system is stable"}
        data["equilibrium_stable"] = (("equilibrium",), np.asarray(found.stable)[some], flag)
        return xarray().Dataset(
            {name: (dims, np.asarray(values), attrs) for name, (dims, values, attrs) in data.items()},
            coords={
                "r": ("point", np.asarray(self.r), rate),
                "grid_r": ("grid_r", np.asarray(self.grid_r), {"units": "1/time", "long_name": "firing rate"}),
                "grid_slow": ("grid_slow", np.asarray(self.grid_slow), slow),
            },
            attrs={
                **attributes_of(self.model, "model"),
                "I": float(self.current),
                "variable": self.variable,
                **software(),
            },
        )


@nan_is_absent
@takes_model
def slow_fast(
    model: MPR,
    *,
    I: Real = 0.0,
    variable: str | None = None,
    span: tuple[Real, Real] | None = None,
    points: int = 201,
) -> SlowFast:
    """The bifurcation diagram and energy landscape of a population's fast equations over one slow variable.

    - `model`: an MPR population with a slow term
    - `variable`: "A" (adaptation or depression) or "xu" (short-term plasticity: x and u act on the fast equations through
      their product alone, J_eff = J x u). The default is the one that the model has; if it has both, say which, and the
      other term stays at rest
    - `I`: constant input, in units of η
    - `span`: (low, high) values of the slow variable to show; by default around the folds and equilibria
    - `points`: number of rates along the branches, and of rates and slow values of the landscape, ≥ 9

    Folds, changes of kind and equilibria are exact to rounding and don't depend on `span` and `points`; they are
    differentiable in the model and the stimulus, branches at fixed rates. Rates outside 1e-6 … 1e6 per τ aren't
    searched. Use it to see why and where a population bursts: it fires while the slow variable moves from the low
    branch's fold to the high branch's, and rests on the way back (`nmm.plot.slow_fast`).

    Returns a `SlowFast`; `jax.vmap` gives a family of pictures. Raises `ValueError` for models without slow terms,
    unknown variables, a coupling J = 0 if the variable scales it, a span that doesn't increase, and fewer than 9 points.
    """
    require_burster(model)
    accepted = tuple(term.acts_by for term in model.slow_terms)
    rule = f"be {' or '.join(map(repr, accepted))}"
    require("variable", variable, rule, variable in accepted or (variable is None and len(accepted) == 1))
    points = as_count("points", points, 9)
    edges = None if span is None else _as_span(span)
    name = str(accepted[0] if variable is None else variable)
    current = as_number("I", I)
    fast = Fast(alone(model, name), current, name)
    if is_concrete(model.J) and is_concrete(fast.influence()):
        rule = f"not be 0, since {name!r} acts through it"
        require("J", model.J, rule, bool(np.all(np.asarray(fast.influence()) != 0)))
    return _picture(fast, edges, points)


def _as_span(span: Any) -> Values:
    is_pair = isinstance(span, (tuple, list, np.ndarray, jax.Array)) and len(span) == 2
    require("span", span, "be a pair (low, high) of the slow variable", is_pair)
    low, high = (as_number("span", each) for each in span)
    if is_concrete(low) and is_concrete(high):
        require("span", span, "increase", float(low) < float(high))
    return jnp.stack([as_array(low), as_array(high)])


@jitted
def _levels(picture: SlowFast, slow: Values) -> Levels:
    fast = picture.fast
    low, high = jnp.log(fast.model.tau * picture.fold_r)
    ends = jnp.asarray([GRID[0], GRID[-1]], slow.dtype)
    # The low branch is all there is without folds, and it is absent if the only fold ends the high branch.
    top = jnp.where(jnp.isnan(high), ends[1], ends[0])
    top = jnp.where(jnp.isnan(low), top, low)
    middle = jnp.where(jnp.isnan(high), top, high)

    def distance(args: tuple[Fast, Values], x: Values) -> Values:
        fast, slow = args
        return fast.force(x, slow)

    lower = jnp.stack([ends[0], top, middle]), jnp.stack([top, middle, ends[1]])
    a, b = (each.reshape((3,) + (1,) * slow.ndim) + jnp.zeros_like(slow)[None] for each in lower)
    wide = jnp.broadcast_to(slow, a.shape)
    x = solve_between(distance, (fast, wide), a, b)
    depth = where_finite(lambda x: fast.potential(x, wide), x)
    r = where_finite(jnp.exp, x) / fast.model.tau
    return Levels(r[0], r[1], r[2], depth[1] - depth[0], depth[1] - depth[2])


@jitted
def _critical(fast: Fast) -> tuple[Values, Values, Values]:
    """ln R of folds, of changes of kind and of Hopf points."""
    grid = jnp.asarray(GRID, fast.current.dtype)
    folds, changes = fold_positions(fast), solve_on_grid(Fast.discriminant, fast, grid, _CHANGES)
    if fast.model.gap is None:  # then the trace is negative everywhere
        return folds, changes, jnp.full(2, jnp.nan, folds.dtype)
    hopf = solve_on_grid(lambda fast, x: fast.trace_and_determinant(x)[0], fast, grid, 2)
    determinant = where_finite(lambda x: fast.trace_and_determinant(x)[1], hopf)
    return folds, changes, jnp.where(determinant > 0, hopf, jnp.nan)


@jitted
def _picture(fast: Fast, edges: Values | None, points: int) -> SlowFast:
    tau = fast.model.tau
    folds, changes, hopf = _critical(fast)
    equilibria = find_equilibria(fast.model, fast.current)
    settled = where_finite(lambda r: fast.steady(jnp.log(tau * r)), equilibria.state.r)
    edges = jax.lax.stop_gradient(_default_span(where_finite(fast.slow, folds), settled) if edges is None else edges)
    x = jax.lax.stop_gradient(_rates_within(fast, edges, points))
    trace, determinant = fast.trace_and_determinant(x)
    kind = jnp.where(trace < 0, 0, 3) + jnp.where(trace**2 / 4 - determinant < 0, 1, 0)
    # A little below the lowest equilibrium, and up to the first peaks after the jump.
    grid_x = jnp.linspace(x[0] - float(np.log(1.5)), x[-1] + float(np.log(3.0)), points)
    grid_slow = jnp.linspace(edges[0], edges[1], points)
    wide = (points, points)
    landscape = fast.potential(jnp.broadcast_to(grid_x[:, None], wide), jnp.broadcast_to(grid_slow[None, :], wide))
    rate = lambda x: where_finite(jnp.exp, x) / tau
    slow = lambda x: where_finite(fast.slow, x)
    return SlowFast(
        model=fast.model,
        current=fast.current,
        r=rate(x),
        slow=fast.slow(x),
        v=fast.model.voltage_at_rate(jnp.exp(x)),
        eigenvalues=planar_eigenvalues(*fast.jacobian(x)),
        kind=jnp.where(determinant < 0, 2, kind),
        fold_r=rate(folds),
        fold_slow=slow(folds),
        change_r=rate(changes),
        change_slow=slow(changes),
        hopf_r=rate(hopf),
        hopf_slow=slow(hopf),
        nullcline=fast.steady(x),
        equilibria=equilibria,
        grid_r=rate(grid_x),
        grid_slow=grid_slow,
        landscape=landscape,
        variable=fast.variable,
    )


def _default_span(folds: Values, settled: Values) -> Values:
    """Folds and equilibria, with a margin of half the width, not across 0; around 0 … 2 s if there is but one."""
    all_ = jnp.concatenate([folds, settled])
    low, high = (jnp.where(jnp.any(jnp.isfinite(all_)), f(all_), 0.0) for f in (jnp.nanmin, jnp.nanmax))
    margin = (high - low) / 2
    margin = jnp.where(margin > 0, margin, jnp.where(high == 0, jnp.ones_like(high), jnp.abs(high)))
    bottom = jnp.where(low >= 0, jnp.maximum(low - margin, 0), low - margin)
    return jnp.stack([bottom, jnp.where(high <= 0, jnp.minimum(high + margin, 0), high + margin)])


def _rates_within(fast: Fast, edges: Values, points: int) -> Values:
    """ln R, equally spaced, from the lowest to the highest rate with a slow value between the edges."""
    grid = jnp.asarray(GRID, edges.dtype)
    slow = fast.slow(grid)
    inside = (slow >= edges[0]) & (slow <= edges[1])
    nearest = jnp.abs(slow - (edges[0] + edges[1]) / 2)
    inside = inside | (~jnp.any(inside) & (jnp.arange(grid.shape[0]) == jnp.argmin(nearest)))
    first = jnp.maximum(jnp.argmax(inside) - 1, 0)
    last = jnp.minimum(grid.shape[0] - jnp.argmax(inside[::-1]), grid.shape[0] - 1)
    return jnp.linspace(grid[first], grid[last], points)
