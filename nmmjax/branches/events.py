"""Layer 4: special points on a branch of fixed points: noticed between two neighbours, then solved for."""

from typing import Any

import jax
import jax.numpy as jnp

from .._types import ComplexValues, Values
from .arclength import bordered, locate
from .branch import LABELS, SpecialPoints
from .special import KINDS, crossing_tangent, lyapunov_coefficient, parts, polish_special, solve_special
from .system import System

MAX_EVENTS, MAX_SPECIAL = 12, 32  # special points per branch and in all, at most


def eigenvalues_at(system: System, x: Values) -> ComplexValues:
    """Of the Jacobian at x, by decreasing real part; NaN where x is."""

    def compute() -> ComplexValues:
        found = jnp.linalg.eigvals(system.jacobian(x[:-1], x[-1:]))
        return found[jnp.argsort(-jnp.real(found))]

    nan = jnp.full((x.size - 1,), jnp.nan, x.dtype)
    return jax.lax.cond(jnp.all(jnp.isfinite(x)), compute, lambda: jax.lax.complex(nan, nan))


def unstable_of(eigenvalues: ComplexValues) -> Any:
    """How many eigenvalues have a positive real part; −1 where there are none."""
    number = jnp.sum(jnp.real(eigenvalues) > 0, axis=-1)
    return jnp.where(jnp.isfinite(jnp.real(eigenvalues[..., 0])), number, -1).astype(jnp.int32)


def find_events(curve: Any, x: Values, tangent: Values, eigenvalues: ComplexValues, scale: Values, k: Any) -> Any:
    """Special points between neighbours on a branch: kind, unknowns, phase, branch and position; and crossing directions.

    At folds the tangent's last entry changes sign; at branch points, the determinant of the Jacobian bordered by the
    tangent; at Hopf points two eigenvalues more or less are unstable, and not so at neutral saddles.
    """
    system = curve.system
    turn, unstable = tangent[:, -1], unstable_of(eigenvalues)
    sign = jax.vmap(lambda x, t: jnp.linalg.slogdet(bordered(curve, x, t, None, scale))[0])(x, tangent)
    exists, ends = jnp.isfinite(turn[1:]), jnp.arange(2)
    crossed = sign[:-1] * sign[1:] < 0
    folded = turn[:-1] * turn[1:] < 0
    born = jnp.abs(unstable[1:] - unstable[:-1]) >= 2
    events = jnp.stack([folded, born, crossed], axis=1) & exists[:, None]
    (index,) = jnp.nonzero(events.reshape(-1), size=MAX_EVENTS, fill_value=-1)

    def find(index: Any) -> tuple[Any, Values, Values, Values]:
        at, kind = index // 3, index % 3
        fewer = jnp.minimum(unstable[at], unstable[at + 1])

        def test(x: Values, t: Values, _: Any) -> Values:
            more = lambda: jnp.where(unstable_of(eigenvalues_at(system, x)) > fewer, 1.0, -1.0).astype(x.dtype)  # noqa: E731
            orientation = lambda: jnp.linalg.slogdet(bordered(curve, x, t, None, scale))[0]  # noqa: E731
            return jax.lax.switch(kind, [lambda: t[-1], more, orientation])

        counts = jnp.where(unstable[at + ends] > fewer, 1.0, -1.0).astype(x.dtype)
        values = jnp.stack([turn[at + ends], counts, sign[at + ends]])[kind]
        near = locate(curve, test, x[at + ends], tangent[at], values, None, scale, 1e-3)
        solvers = [lambda label=label: solve_special(label, system, near[:-1], near[-1:]) for label in KINDS]
        z, phase = jax.lax.switch(kind, solvers)
        point = jnp.append(z[: near.size - 1], z[-1])
        step, moved = (jnp.linalg.norm(each / scale) for each in (x[at + 1] - x[at], point - near))
        z = jnp.where(moved < step, z, jnp.nan)
        crosses = (kind == 2) & jnp.isfinite(z[0])
        nan = jnp.full_like(point, jnp.nan)
        other = jax.lax.cond(crosses, lambda: crossing_tangent(system, point, tangent[at], scale), lambda: nan)
        return jnp.where(jnp.isfinite(z[0]), kind + 1, 0).astype(jnp.int32), z, phase, other

    n = x.shape[1] - 1
    nan = jnp.full((2 * n + 2,), jnp.nan, x.dtype)
    none = jnp.zeros((), jnp.int32), nan, nan[:n], nan[: n + 1]
    kinds, z, phase, crossing = jax.lax.map(lambda index: jax.lax.cond(index >= 0, lambda: find(index), lambda: none), index)
    position = jnp.where(index >= 0, index // 3 + 1, 0).astype(jnp.int32)
    branch = jnp.full((MAX_EVENTS,), k)
    return (kinds, z, phase, branch, position), crossing


def without_known(walked: dict[str, Any], found: dict[str, Any], scale: Values) -> dict[str, Any]:
    """The branch without special points that lie on a branch before: where it crosses that."""
    kind, z, phase, branch, position = walked["special"]
    n = scale.size - 1
    old = found["special"][1].reshape(-1, z.shape[1])
    point = lambda z: jnp.concatenate([z[:, :n], z[:, -1:]], axis=1) / scale[None]  # noqa: E731
    distance = jnp.linalg.norm(point(z)[:, None] - point(old)[None], axis=-1)
    same = (distance < 1e-6) & (kind[:, None] == found["special"][0].reshape(-1)[None])
    kind = jnp.where(jnp.any(same, axis=1), 0, kind)
    z = jnp.where((kind > 0)[:, None], z, jnp.nan)
    return walked | {"special": (kind, z, phase, branch, position)}


def special_points(system: System, kind: Any, z: Values, phase: Values, branch: Any, position: Any) -> SpecialPoints:
    """Special points found without derivatives, with them: in the order of branches, those that exist first."""
    order = jnp.lexsort((position, branch, kind == 0))[:MAX_SPECIAL]
    kind, z, phase, branch, position = jax.tree.map(lambda each: each[order], (kind, z, phase, branch, position))

    def one(each: Any) -> tuple[Values, Values, Values, Values]:
        kind, z, phase = each
        polished = [lambda each=each: polish_special(each, system, z, phase) for each in KINDS]
        z = jax.lax.switch(jnp.maximum(kind - 1, 0), polished)
        u, _, kappa, p = parts(system, z)
        is_hopf = (kind == LABELS.index("HB")) & (kappa > 0)
        omega = jnp.where(is_hopf, jnp.sqrt(jnp.where(is_hopf, kappa, 1.0)), jnp.nan)
        fixed = jax.lax.stop_gradient((system, u, p, omega))
        lyapunov = jax.lax.cond(is_hopf, lambda: lyapunov_coefficient(*fixed), lambda: jnp.full_like(omega, jnp.nan))
        return u, p, omega, lyapunov

    u, p, omega, lyapunov = jax.lax.map(one, (kind, z, phase))
    return SpecialPoints(system, kind, p, system.states(u), omega, lyapunov, branch, position)
