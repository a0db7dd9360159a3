"""Periodic orbits as polynomials on a mesh that satisfy the equations at Gauss points (orthogonal collocation).

Time is scaled to s = t/T ∈ [0, 1]. On each of N intervals the orbit is a polynomial of degree m through m + 1 equally spaced
nodes, of which neighbours share the ends and the last interval closes on the first: values `(N m, n)`. At the m Gauss points
of each interval u′(s) = T f(u, p). Errors at the mesh points are of order 2m in the intervals' lengths. Source: de Boor &
Swartz, SIAM J. Numer. Anal. 10:582 (1973); Doedel, Keller & Kernévez, Int. J. Bifurcation Chaos 1:745 (1991).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from .._types import Scalar, Values
from ..numerics.quadrature import gauss_legendre
from .system import Flow, System


class Basis(NamedTuple):
    """Values and slopes of the Lagrange polynomials, `(Gauss points, nodes)`, weights of quadrature, highest derivatives."""

    value: Values
    slope: Values
    weight: Values
    highest: Values


def coefficients(degree: int) -> np.ndarray:
    """The Lagrange polynomials through degree + 1 equally spaced nodes on [0, 1]: row k, powers ascending."""
    nodes = np.linspace(0, 1, degree + 1)
    return np.linalg.inv(np.vander(nodes, increasing=True)).T


def basis(degree: int, dtype: DTypeLike) -> Basis:
    """The basis of a degree at its Gauss points."""
    rows = coefficients(degree)
    points, weights = gauss_legendre(degree)
    powers = np.vander((points + 1) / 2, degree + 1, increasing=True)
    slopes = np.zeros_like(powers)
    slopes[:, 1:] = powers[:, :-1] * np.arange(1, degree + 1)
    arrays = powers @ rows.T, slopes @ rows.T, weights / 2, rows[:, -1] * float(np.prod(np.arange(1, degree + 1)))
    return Basis(*(jnp.asarray(each, dtype) for each in arrays))


def pieces(values: Values, degree: int) -> Values:
    """Nodes of every interval, `(N, m + 1, n)`, of a closed orbit's `(N m, n)`."""
    blocks = values.reshape(-1, degree, values.shape[-1])
    return jnp.concatenate([blocks, jnp.roll(blocks, -1, axis=0)[:, :1]], axis=1)


def gauss_values(values: Values, mesh: Values) -> Values:
    """A closed orbit at the Gauss points of all intervals, `(N, m, n)`."""
    degree = values.shape[0] // (mesh.size - 1)
    return jnp.einsum("ik,jkn->jin", basis(degree, values.dtype).value, pieces(values, degree))


def defects(system: System | Flow, values: Values, period: Scalar, p: Values, mesh: Values) -> Values:
    """u′ − T f at all Gauss points, times the intervals' lengths: `(N, m, n)`."""
    degree = values.shape[0] // (mesh.size - 1)
    at = basis(degree, values.dtype)
    nodes = pieces(values, degree)
    u, slope = jnp.einsum("ik,jkn->jin", at.value, nodes), jnp.einsum("ik,jkn->jin", at.slope, nodes)
    flow = jax.vmap(jax.vmap(lambda u: system(u, p)))(u)
    return slope - period * jnp.diff(mesh)[:, None, None] * flow


def phase_slope(values: Values, mesh: Values) -> Values:
    """du/ds at the Gauss points with the weights of quadrature, scaled to be of order one: the phase condition's row."""
    degree = values.shape[0] // (mesh.size - 1)
    at = basis(degree, values.dtype)
    slope = jnp.einsum("ik,jkn->jin", at.slope, pieces(values, degree)) * at.weight[None, :, None]
    return slope / jnp.maximum(jnp.linalg.norm(slope), jnp.finfo(slope.dtype).tiny)


def phase(values: Values, slope: Values, mesh: Values) -> Scalar:
    """∫ u·u_ref′ ds up to a factor: zero if the orbit isn't shifted along itself."""
    return jnp.sum(gauss_values(values, mesh) * slope)


def orbit_at(values: Values, mesh: Values, s: Values) -> Values:
    """The orbit at scaled times s, `(k, n)`."""
    degree = values.shape[0] // (mesh.size - 1)
    which = jnp.clip(jnp.searchsorted(mesh, s, side="right") - 1, 0, mesh.size - 2)
    x = (s - mesh[which]) / (mesh[which + 1] - mesh[which])
    powers = jnp.stack([x**k for k in range(degree + 1)], axis=1)
    weights = powers @ jnp.asarray(coefficients(degree), values.dtype).T
    return jnp.einsum("sk,skn->sn", weights, pieces(values, degree)[which])


def node_times(mesh: Values, degree: int) -> Values:
    """The scaled times of all nodes, `(N m,)`."""
    inside = jnp.arange(degree, dtype=mesh.dtype) / degree
    return (mesh[:-1, None] + jnp.diff(mesh)[:, None] * inside[None]).reshape(-1)


def better_mesh(values: Values, mesh: Values, intervals: int | None = None) -> Values:
    """The mesh on which the estimated error is the same in all intervals: |d^{m+1}u/ds^{m+1}|^{1/(m+1)} equidistributed.

    That derivative is read off the jumps of the m-th between intervals. As many intervals as before, or `intervals`.
    """
    degree = values.shape[0] // (mesh.size - 1)
    width = jnp.diff(mesh)
    highest = jnp.einsum("k,jkn->jn", basis(degree, values.dtype).highest, pieces(values, degree))
    highest = highest / width[:, None] ** degree
    jump = jnp.linalg.norm(highest - jnp.roll(highest, 1, axis=0), axis=1) / ((width + jnp.roll(width, 1)) / 2)
    density = ((jump + jnp.roll(jump, -1)) / 2) ** (1 / (degree + 1))
    density = density + 0.2 * jnp.sum(density * width)  # no interval becomes more than six times the mean
    total = jnp.concatenate([jnp.zeros((1,), mesh.dtype), jnp.cumsum(density * width)])
    size = mesh.size if intervals is None else intervals + 1
    share = jnp.linspace(0, 1, size, dtype=mesh.dtype)
    new = jnp.interp(share * total[-1], total, mesh)
    old = jnp.interp(share, jnp.linspace(0, 1, mesh.size, dtype=mesh.dtype), mesh)
    return jnp.where(jnp.isfinite(total[-1]) & (total[-1] > 0), new, old)


def linearized(system: System | Flow, values: Values, period: Scalar, p: Values, mesh: Values) -> Values:
    """T ∂f/∂u at all Gauss points, `(N, m, n, n)`."""
    return period * jax.vmap(jax.vmap(lambda u: system.jacobian(u, p)))(gauss_values(values, mesh))


def transfers(matrices: Values, mesh: Values) -> Values:
    """Solutions of U′(s) = A(s) U from the start of every interval, where U = 1, to its other m nodes: `(N, m, n, n)`.

    - `matrices`: A at the Gauss points, `(N, m, n, n)`
    """
    return eliminated(matrices, mesh, jnp.zeros((*matrices.shape[:3], 0), matrices.dtype))


def eliminated(matrices: Values, mesh: Values, forces: Values) -> Values:
    """`transfers`, and beside them solutions of U′ = A U + f that start from 0, for k forces: `(N, m, n, n + k)`.

    - `forces`: f at the Gauss points times the intervals' lengths, `(N, m, n, k)`
    """
    degree, n = matrices.shape[1:3]
    at, identity, size = basis(degree, matrices.dtype), jnp.eye(n, dtype=matrices.dtype), degree * n

    def solve(matrices: Values, width: Scalar, forces: Values) -> Values:
        flow = width * jnp.einsum("iab,ik->iakb", matrices, at.value)
        block = jnp.einsum("ik,ab->iakb", at.slope, identity) - flow
        right = jnp.concatenate([-block[:, :, 0], forces], axis=-1).reshape(size, -1)
        return jnp.linalg.solve(block[:, :, 1:].reshape(size, size), right).reshape(degree, n, -1)

    return jax.vmap(solve)(matrices, jnp.diff(mesh), forces)


def closing_step(
    flow: System | Flow, values: Values, period: Scalar, p: Values, mesh: Values, row: Values, last: Scalar
) -> tuple[Values, Scalar]:
    """Newton's step of orbit, `(N m, n)`, and period, for `defects` = 0 and one equation in the first node, of value `last`
    and slope `row`, `(n,)`.

    Inner nodes and then all intervals but the first node are eliminated: 1 + N small systems instead of one of N m n + 1.
    """
    n = values.shape[1]
    width = jnp.diff(mesh)[:, None, None]
    flows = jax.vmap(jax.vmap(lambda u: flow(u, p)))(gauss_values(values, mesh))
    forces = jnp.stack([width * flows, -defects(flow, values, period, p, mesh)], axis=-1)
    over = eliminated(linearized(flow, values, period, p, mesh), mesh, forces)  # by the first node, the period, and 1

    def carry(start: Values, each: Values) -> tuple[Values, Values]:
        return (each[:, :n] @ start).at[:, n:].add(each[:, n:]), start

    identity = jnp.eye(n, n + 2, dtype=values.dtype)
    end, starts = jax.lax.scan(carry, identity, over[:, -1])
    closed = jnp.concatenate([end - identity, jnp.append(row, jnp.stack([jnp.zeros_like(last), last]))[None]])
    free = jnp.append(jnp.linalg.solve(closed[:, : n + 1], -closed[:, n + 1]), 1.0).astype(values.dtype)
    starts = starts @ free
    inner = jnp.einsum("jkab,jb->jka", over[:, :-1, :, :n], starts) + over[:, :-1, :, n:] @ free[n:]
    return jnp.concatenate([starts[:, None], inner], axis=1).reshape(-1, n), free[n]


def product(over: Values) -> Values:
    """The derivative of the state after one period by that before: product of the intervals' `transfers`."""
    identity = jnp.eye(over.shape[-1], dtype=over.dtype)
    return jax.lax.scan(lambda found, each: (each @ found, None), identity, over[:, -1])[0]


def monodromy(system: System | Flow, values: Values, period: Scalar, p: Values, mesh: Values) -> Values:
    """The derivative of the state after one period by that before."""
    return product(transfers(linearized(system, values, period, p, mesh), mesh))


def carried(over: Values, start: Values) -> Values:
    """The solution of U′ = A U from the vector `start` at s = 0, at all nodes `(N m, n)`; `over`: its `transfers`."""
    starts = jax.lax.scan(lambda v, each: (each @ v, v), start, over[:, -1])[1]
    return at_nodes(over, starts)


def at_nodes(over: Values, starts: Values) -> Values:
    """The nodes `(N m, n)` of solutions given at the start of every interval, `(N, n)`."""
    inner = jnp.einsum("jkab,jb->jka", over[:, :-1], starts)
    return jnp.concatenate([starts[:, None], inner], axis=1).reshape(-1, starts.shape[1])


def extremes(values: Values, mesh: Values) -> tuple[Values, Values]:
    """Largest and smallest value of every variable along the orbit, by parabolas through samples, `(n,)` each."""
    degree = values.shape[0] // (mesh.size - 1)
    s = node_times(mesh, 4 * degree)
    u = orbit_at(values, mesh, s)
    before, after = jnp.roll(u, 1, axis=0), jnp.roll(u, -1, axis=0)
    h1, h2 = s - jnp.roll(s, 1), jnp.roll(s, -1) - s
    h1, h2 = (jnp.where(h < 0, h + 1, h)[:, None] for h in (h1, h2))
    slope1, slope2 = (u - before) / h1, (after - u) / h2
    bend = (slope2 - slope1) / (h1 + h2)
    slope = (slope1 * h2 + slope2 * h1) / (h1 + h2)
    safe = jnp.where(bend == 0, 1.0, bend).astype(u.dtype)
    shift = jnp.where(bend == 0, 0.0, -slope / (2 * safe))
    near = (shift >= -h1) & (shift <= h2)
    tip = u + jnp.where(near, slope * shift + bend * shift**2, 0.0).astype(u.dtype)
    highest = jnp.max(jnp.where(bend < 0, tip, u), axis=0)
    return highest, jnp.min(jnp.where(bend > 0, tip, u), axis=0)
