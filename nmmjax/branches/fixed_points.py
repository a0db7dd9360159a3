"""Branches of fixed points over one parameter, with stability and special points."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import DTypeLike
from jaxtyping import PyTree

from .._blas import with_one_thread
from .._checks import as_count, require
from .._nan import nan_is_absent
from .._parameter import as_number
from .._results import RESULTS
from .._types import Values, is_concrete
from ..equilibria.newton import fixed_point_near
from ..equilibria.steady import find_equilibria
from ..models.base import AbstractModel, takes_model
from ..models.mpr import MPR
from ..numerics.arclength import AbstractCurve, Limits, first_tangent, on_plane, walk_both_ways
from ..numerics.compiling import jitted
from .branch import Branch
from .events import MAX_EVENTS, eigenvalues_at, find_events, no_events, special_points, unstable_of
from .system import System, as_bounds, as_system

_SEED_VALUES = 7  # values of the parameter at which a single population's fixed points are looked for


class FixedPoints(AbstractCurve):
    """f(u, p) = 0 in the unknowns x = (u, p)."""

    system: System

    def residual(self, x: Values, anchor: PyTree) -> Values:
        return self.system(x[:-1], x[-1:])


class Options(NamedTuple):
    """Options of `continue_branch`; static."""

    crossing: bool
    max_points: int
    max_branches: int


@nan_is_absent
@with_one_thread
@takes_model
def continue_branch(
    model: AbstractModel | Callable[..., Any],
    parameter: str,
    bounds: Any,
    guess: Any = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    crossing: bool = False,
    max_step: Any = 0.02,
    max_points: int = 400,
    max_branches: int = 8,
) -> Branch:
    """Branches of fixed points f(y, p) = 0 over a parameter p, by pseudo-arclength continuation, with their stability.

    - `model`: any model or network, or a function `field(y, parameters)` that returns dy/dt, with y a vector
    - `parameter`: its name, dotted as in `parameter_table` ("eta", "adaptation.alpha"), with the node if it is one node's
      ("node.eta[e]", "node.eta[0]"), or a key of `parameters`
    - `bounds`: (from, to); branches end there, exactly
    - `guess`: a state near a fixed point at the model's own value of the parameter; the branch through it is followed both
      ways. A single `MPR` population needs none: all its fixed points within the bounds are on the branches
    - `parameters`: names and values, for a function only
    - `crossing`: also follow branches that cross at branch points, such as those of a pitchfork
    - `max_step`: longest step, in units of the bounds' width and of the state at the start (or 1)
    - `max_points`: most points in each direction; `max_branches`: most branches

    Returns a `Branch`: states, eigenvalues, folds, Hopf points (frequency, first Lyapunov coefficient) and branch points,
    located by Newton's method on equations of their own, to rounding. `jax.vmap` over a third parameter gives families;
    `branch.special` is differentiable in the model's other parameters. `branch.ends` holds a code for what stopped a
    branch, and what was found is kept. Not seen: two special points of one kind within one step, and branch points at which
    an even number of eigenvalues vanish (networks of more than two equal nodes). Of a network with delays, folds are those
    without them, `eigenvalues` the rightmost characteristic roots, and Hopf points where these cross the axis. Use it to see
    where states appear, vanish or begin to oscillate; `continue_cycle`, `continue_fold` and `continue_hopf` go on from its
    special points.

    Raises `ValueError` for unknown parameters, bounds that don't increase, a start outside the bounds, wrong `guess`.
    Sources: Keller, in: Applications of Bifurcation Theory (1977); Kuznetsov, Elements of Applied Bifurcation Theory, §10.2.
    """
    rests = isinstance(model, AbstractModel) and model.size is None and "resting" in model.offers
    require("guess", guess, "be given, unless `model` is a single population such as an `MPR`", guess is not None or rests)
    start = {"r": 1.0, "v": 0.0} if guess is None else guess
    system = as_system(model, parameter, start, parameters)
    bounds = as_bounds("bounds", bounds, system.value().dtype)
    value = system.value()
    if guess is not None and is_concrete(value) and is_concrete(bounds):
        inside = bool(bounds[0] <= value <= bounds[1])
        require(parameter, value, f"start within the bounds, ({bounds[0]:g}, {bounds[1]:g})", inside)
    max_step = as_number("max_step", max_step, "(0, 1]").astype(value.dtype)
    options = Options(bool(crossing), as_count("max_points", max_points, 2), as_count("max_branches", max_branches))
    return _continue(system, bounds, max_step, guess is None, options)


@jitted
def _continue(system: System, bounds: Values, max_step: Values, from_rest: bool, options: Options) -> Branch:
    still, bounds = jax.lax.stop_gradient((system, bounds))
    seeds = _seeds(still, bounds, from_rest)
    n = seeds.shape[1] - 1
    size = jnp.sqrt(jnp.asarray(max(n, 2) / 2, seeds.dtype)) * jnp.nanmax(jnp.abs(seeds[:, :-1]), axis=0, initial=1.0)
    scale, infinite = jnp.append(size, bounds[1] - bounds[0]), jnp.full((n,), jnp.inf, seeds.dtype)
    limits = Limits(jnp.append(-infinite, bounds[0]), jnp.append(infinite, bounds[1]), scale, max_step / 4, max_step)
    found = _trace(still, seeds, limits, options)
    x = found["x"]
    return Branch(
        system=system,
        parameter=x[..., -1],
        state=still.states(x[..., :-1]),
        tangent=found["tangent"][..., -1],
        eigenvalues=found["eigenvalues"],
        unstable=unstable_of(found["eigenvalues"]),
        count=found["count"],
        ends=found["ends"],
        special=special_points(system, found["events"], scale),
    )


def _seeds(system: System, bounds: Values, from_rest: bool) -> Values:
    """Fixed points x = (u, p) to start from, NaN if Newton's method doesn't find one."""
    curve = FixedPoints(system)
    if from_rest:
        between = jnp.linspace(bounds[0], bounds[1], _SEED_VALUES)
        p = jnp.concatenate([bounds, jnp.clip(system.value(), bounds[0], bounds[1])[None], between[1:-1]])
        u = jax.vmap(lambda p: _rest_states(system.at(p[None])))(p)
        guesses = jnp.concatenate([u, jnp.broadcast_to(p[:, None, None], (*u.shape[:2], 1))], axis=-1)
        guesses = guesses.reshape(-1, guesses.shape[-1])
    else:
        p = system.value()
        guesses = jnp.append(fixed_point_near(lambda u: system(u, p[None]), ravel_pytree(system.like)[0]), p)[None]

    def settle(guess: Values) -> Values:
        fixed = jnp.zeros_like(guess).at[-1].set(1.0)
        known = jnp.all(jnp.isfinite(guess))
        safe = jnp.where(known, guess, jnp.ones_like(guess))
        x, converged, _ = on_plane(curve, safe, fixed, None, jnp.maximum(jnp.abs(safe), 1.0))
        return jnp.where(known & converged, x.at[-1].set(guess[-1]), jnp.nan)

    return jax.vmap(settle)(guesses)


def _rest_states(model: MPR) -> Values:
    """All fixed points of one population as flat states, `(5, n)`, NaN beyond those found."""
    return jax.vmap(lambda y: ravel_pytree(y)[0])(find_equilibria(model).state)


def _trace(system: System, seeds: Values, limits: Limits, options: Options) -> dict[str, Any]:
    """Walk along one branch after another, from the first seed, or branch point, that lies on none of those before."""
    n, slots = seeds.shape[1] - 1, options.max_branches
    empty = _nothing(n, 2 * options.max_points - 1, seeds.dtype)
    found = jax.tree.map(lambda each: jnp.stack([each] * slots), empty)

    def slot(found: dict[str, Any], k) -> tuple[dict[str, Any], None]:
        starts, directions = seeds, jnp.full_like(seeds, jnp.nan)
        if options.crossing:
            x, crossing = (each.reshape(-1, n + 1) for each in (found["events"].x, found["events"].crossing))
            follow = jnp.isfinite(crossing[:, :1])
            starts = jnp.concatenate([starts, jnp.where(follow, x, jnp.nan)])
            directions = jnp.concatenate([directions, crossing])
        new = jax.lax.map(lambda each: _is_new(each[0], each[1], found["x"], limits), (starts, directions))
        which = jnp.argmax(new)
        one = lambda: _one(system, starts[which], directions[which], limits, options)
        walked = jax.lax.cond(jnp.any(new), one, lambda: empty)
        return jax.tree.map(lambda many, one: many.at[k].set(one), found, walked), None

    return jax.lax.scan(slot, found, jnp.arange(slots))[0]


def _nothing(n: int, points: int, dtype: DTypeLike) -> dict[str, Any]:
    """A branch that isn't there."""
    nan = lambda *shape: jnp.full(shape, jnp.nan, dtype)
    return {
        "x": nan(points, n + 1),
        "tangent": nan(points, n + 1),
        "eigenvalues": jax.lax.complex(nan(points, n), nan(points, n)),
        "count": jnp.zeros((), jnp.int32),
        "ends": jax.tree.map(lambda code: jnp.stack([jnp.asarray(code)] * 2), RESULTS.no_branch),
        "events": no_events(n + 1, MAX_EVENTS, dtype),
    }


def _is_new(start: Values, direction: Values, branches: Values, limits: Limits) -> Any:
    """Whether a start exists and lies on no branch found before, in its direction if it has one."""
    known, has_direction = jnp.all(jnp.isfinite(start)), jnp.all(jnp.isfinite(direction))
    direction = jnp.where(has_direction, direction, 0.0)

    def passes(x: Values) -> Any:
        z = x / limits.scale[None]
        step, to_start = z[1:] - z[:-1], (start / limits.scale)[None] - z[:-1]
        length = jnp.linalg.norm(step, axis=-1)
        share = jnp.clip(jnp.sum(to_start * step, axis=-1) / length**2, 0, 1)
        distance = jnp.linalg.norm(to_start - share[:, None] * step, axis=-1)
        near = distance < jnp.minimum(0.1 * length, 0.05 * limits.longest) + 1e-7
        along = jnp.abs(step @ direction) > 0.7 * length
        return jnp.any(near & (along | ~has_direction))

    return known & ~jnp.any(jax.vmap(passes)(branches))


def _one(system: System, start: Values, direction: Values, limits: Limits, options: Options) -> dict[str, Any]:
    """The branch through `start` both ways, with stability and special points."""
    curve = FixedPoints(system)
    has_direction = jnp.all(jnp.isfinite(direction))
    t0 = jnp.where(has_direction, direction, first_tangent(curve, start, None, limits.scale))
    whole = walk_both_ways(curve, start, t0, None, limits, options.max_points)
    eigenvalues = jax.lax.map(lambda x: eigenvalues_at(system, x), whole.x)
    return {
        "x": whole.x,
        "tangent": whole.tangent,
        "eigenvalues": eigenvalues,
        "count": whole.count,
        "ends": whole.result,
        "events": find_events(curve, whole.x, whole.tangent, eigenvalues, limits.scale, options.crossing),
    }
