"""Special points on a branch of fixed points: noticed between two neighbours, then solved for."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from .._types import ComplexValues, Values
from ..equilibria.delays import leading_roots
from ..equilibria.stability import eigenvalues as sorted_eigenvalues
from ..numerics.arclength import bordered, locate
from .branch import LABELS, SpecialPoints, where_chosen
from .special import KINDS, crossing_tangent, lyapunov_coefficient, solve_special
from .system import System

MAX_EVENTS, MAX_SPECIAL = 12, 32  # special points per branch and in all, at most


class Events(NamedTuple):
    """Special points noticed on a branch: kind, x nearby, length of the step there, position, crossing direction."""

    kind: Any
    x: Values
    reach: Values
    position: Any
    crossing: Values


def eigenvalues_at(system: System, x: Values) -> ComplexValues:
    """Eigenvalues of the Jacobian at x, by decreasing real part, or as many characteristic roots; NaN if x is."""

    def compute() -> ComplexValues:
        if system.delayed:
            return leading_roots(system.linear(x[:-1], x[-1:]))
        return sorted_eigenvalues(system.jacobian(x[:-1], x[-1:]))

    nan = jnp.full((x.size - 1,), jnp.nan, x.dtype)
    return jax.lax.cond(jnp.all(jnp.isfinite(x)), compute, lambda: jax.lax.complex(nan, nan))


def unstable_of(eigenvalues: ComplexValues) -> Any:
    """How many eigenvalues have a positive real part; −1 without eigenvalues."""
    number = jnp.sum(jnp.real(eigenvalues) > 0, axis=-1)
    return jnp.where(jnp.isfinite(jnp.real(eigenvalues[..., 0])), number, -1).astype(jnp.int32)


def find_events(curve: Any, x: Values, tangent: Values, eigenvalues: ComplexValues, scale: Values, cross: bool) -> Events:
    """Special points between neighbours on a branch, to a thousandth of their distance.

    At folds the tangent's last entry changes sign; at branch points, the determinant of the Jacobian bordered by the
    tangent; at Hopf points two eigenvalues more or less are unstable, and not so at neutral saddles. With `cross`, branch
    points are solved for, with the direction of the branch that crosses there.
    """
    system = curve.system
    turn, unstable = tangent[:, -1], unstable_of(eigenvalues)
    orientation = lambda x, t: jnp.linalg.slogdet(bordered(curve, x, t, None, scale))[0]
    sign = jax.vmap(orientation)(x, tangent)
    crossed, folded = sign[:-1] * sign[1:] < 0, turn[:-1] * turn[1:] < 0
    born = jnp.abs(unstable[1:] - unstable[:-1]) >= 2
    events = jnp.stack([folded, born, crossed], axis=1) & jnp.isfinite(turn[1:])[:, None]
    (index,) = jnp.nonzero(events.reshape(-1), size=MAX_EVENTS, fill_value=-1)

    def find(index) -> Events:
        at, kind = index // 3, index % 3
        ends, fewer = at + jnp.arange(2), jnp.minimum(unstable[at], unstable[at + 1])
        count = lambda number: jnp.where(number > fewer, 1.0, -1.0).astype(x.dtype)

        def test(x: Values, t: Values, _) -> Values:
            number = lambda: count(unstable_of(eigenvalues_at(system, x)))
            return jax.lax.switch(kind, [lambda: t[-1], number, lambda: orientation(x, t)])

        values = jnp.stack([turn[ends], count(unstable[ends]), sign[ends]])[kind]
        near = locate(curve, test, x[ends], tangent[at], values, None, scale, 1e-3)
        reach, nan = jnp.linalg.norm((x[at + 1] - x[at]) / scale), jnp.full_like(near, jnp.nan)
        found = Events((kind + 1).astype(jnp.int32), near, reach, (at + 1).astype(jnp.int32), nan)
        return jax.lax.cond(kind == 2, lambda: crossing(found), lambda: found) if cross else found

    def crossing(found: Events) -> Events:
        u, p, _ = solve_special("BP", system, found.x[:-1], found.x[-1:])
        at = jnp.append(u, p)
        tangent_there = tangent[found.position - 1]
        return found._replace(x=at, crossing=crossing_tangent(system, at, tangent_there, scale))

    none = jax.tree.map(lambda each: each[0], no_events(x.shape[1], 1, x.dtype))
    return jax.lax.map(lambda index: jax.lax.cond(index >= 0, lambda: find(index), lambda: none), index)


def no_events(width: int, size: int, dtype: DTypeLike) -> Events:
    """Events that aren't there."""
    nan, none = jnp.full((size, width), jnp.nan, dtype), jnp.zeros((size,), jnp.int32)
    return Events(none, nan, nan[:, 0], none, nan)


def special_points(system: System, events: Events, scale: Values) -> SpecialPoints:
    """Events on branches, `(branches, events)`, solved for: in the order of branches, those that exist first."""
    branch = jnp.broadcast_to(jnp.arange(events.kind.shape[0], dtype=jnp.int32)[:, None], events.kind.shape).reshape(-1)
    events = jax.tree.map(lambda each: each.reshape(-1, *each.shape[2:]), events)
    order = _first(events.kind, branch, events.position)
    events, branch = jax.tree.map(lambda each: each[order], (events, branch))

    def one(event: Events) -> tuple[Any, Values, Values, Values, Values]:
        u, p = event.x[:-1], event.x[-1:]
        solvers = [lambda label=label: solve_special(label, system, u, p) for label in KINDS]
        u, p, kappa = jax.lax.switch(event.kind - 1, solvers)
        moved = jnp.linalg.norm((jnp.append(u, p) - event.x) / scale)
        kind = jnp.where(moved < event.reach, event.kind, 0)  # else it is another one, or none
        return kind, u, p, *frequency_and_lyapunov(system, kind, u, p, kappa)

    nan = jnp.full_like(events.x[0], jnp.nan)
    none = jnp.zeros((), jnp.int32), nan[:-1], nan[-1:], nan[0], nan[0]
    solved = jax.lax.map(lambda event: jax.lax.cond(event.kind > 0, lambda: one(event), lambda: none), events)
    kind, u, p, omega, lyapunov = solved
    kind = jnp.where(_repeated(kind, jnp.concatenate([u, p], axis=1) / scale[None]), 0, kind)
    order = _first(kind, branch, events.position)
    found = kind, p, u, omega, lyapunov, branch, events.position
    kind, p, u, omega, lyapunov, branch, position = (where_chosen((kind > 0)[order], each[order]) for each in found)
    return SpecialPoints(system, kind, p, system.states(u), omega, lyapunov, branch, position)


def frequency_and_lyapunov(system: System, kind: object, u: Values, p: Values, kappa: Values) -> tuple[Values, Values]:
    """ω = √κ, with its derivatives, and the first Lyapunov coefficient of a Hopf point; NaN for others."""
    is_hopf = kind == LABELS.index("HB")
    omega = jnp.where(is_hopf, jnp.sqrt(jnp.where(is_hopf, kappa, jnp.ones_like(kappa))), jnp.nan)
    fixed = jax.lax.stop_gradient((system, u, p, omega))
    return omega, jax.lax.cond(is_hopf, lambda: lyapunov_coefficient(*fixed), lambda: jnp.full_like(omega, jnp.nan))


def _first(kind: object, branch: Any, position: Any) -> Any:
    """The order of branches and positions, with those that exist first."""
    return jnp.lexsort((position, branch, kind == 0))[:MAX_SPECIAL]


def _repeated(kind: Any, z: Values) -> Any:
    """Whether one of the points before is the same: where a branch crosses one before."""
    distance = jnp.linalg.norm(z[:, None] - z[None], axis=-1)
    same = (distance < 1e-6) & (kind[:, None] == kind[None])
    return jnp.any(jnp.tril(same, -1), axis=1)
