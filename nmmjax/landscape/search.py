"""Starts by which no state of a network is missed, and a catalogue of the distinct states found.

All fixed points lie in a box: each rate between the lowest root of its node at the least possible input and the highest root
at the greatest. Small networks start from every corner of the box, from where each corner's nodes would rest if all kept
their sides, and from points spread over the box; larger ones from its extreme corners and such points. Then, the lowest
minimum first, from every minimum with one node thrown to its other side, until none is new or the budget is spent.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Values
from ..equilibria.brackets import cusp_rate, fixed_rates
from ..models.mpr import MPR
from ..models.network import Network
from ..numerics.compiling import jitted
from ..numerics.quadrature import even_points
from .descent import in_pieces

_SHRINKS = 30
_SAME = 1e-5  # relative difference of rates below which two fixed points are one
_ROUND = 512
_SPREAD, _RELAXATIONS = 256, 4


@jitted
def box(network: Network) -> tuple[Values, Values]:
    """ln R of the corners of a box that contains every fixed point, (n,) each: lowest and highest rates.

    Inputs c_i = Σ_j G W_ij R_j are bounded by the box, the extreme roots at those inputs bound the rates (they grow with
    the input), and so on until it stops shrinking.
    """
    nodes = network.nodes()
    coupling = network.matrix() - jnp.diag(nodes.J)
    up, down = jnp.maximum(coupling, 0), jnp.minimum(coupling, 0)
    own = jnp.maximum(nodes.J, 0) + jnp.sum(jnp.abs(coupling), axis=1)
    worst = eqx.tree_at(
        lambda each: (each.eta, each.J), nodes, (jnp.max(jnp.abs(nodes.eta)) + 0 * own, jnp.max(own) + 0 * own)
    )
    high = jnp.max(jnp.nan_to_num(_roots(worst), nan=1.0)) + 0 * own
    low = 0 * high

    def shrink(_, bounds: tuple[Values, Values]) -> tuple[Values, Values]:
        low, high = bounds
        least, most = up @ low + down @ high, up @ high + down @ low
        return _extreme(nodes, least, jnp.nanmin, low), _extreme(nodes, most, jnp.nanmax, high)

    low, high = jax.lax.fori_loop(0, _SHRINKS, shrink, (low, high))
    tiny = 1e-9 * high
    return jnp.log(jnp.maximum(low, tiny)), jnp.log(high)


def _roots(nodes: MPR) -> Values:
    """R of every node's fixed points, (n, 3)."""
    return jax.vmap(lambda node: fixed_rates(node)[0])(nodes)


def _extreme(nodes: MPR, current: Values, choose: Callable[..., Values], otherwise: Values) -> Values:
    roots = _roots(nodes.tilted(current))
    none = jnp.all(jnp.isnan(roots), axis=1)  # a homogeneous node without fixed point
    return jnp.where(none, otherwise, choose(jnp.where(none[:, None], 1, roots), axis=1))


@jitted
def roots_within(network: Network, x: Values) -> tuple[Values, Values]:
    """ln R of every node's own fixed points while the others are held at x (k, n): (k, n, 3); and of cusp rates (k, n)."""
    nodes = network.nodes()

    def one(x: Values) -> Values:
        R = jnp.exp(x)
        own = nodes.J + network.self_weights()
        tilted = eqx.tree_at(
            lambda each: (each.eta, each.J), nodes, (nodes.eta + network.apply(R) - network.self_weights() * R, own)
        )
        return jnp.log(_roots(tilted))

    cusp = jnp.log(nodes.tau * jax.vmap(cusp_rate)(nodes))
    return jax.vmap(one)(x), jnp.broadcast_to(cusp, x.shape)


class Catalogue:
    """Distinct fixed points, x = ln R, in the order in which they were found."""

    def __init__(self, size: int):
        self.points = np.zeros((0, size))
        self._near: dict[bytes, list[int]] = {}

    def add(self, x: np.ndarray) -> int:
        """The number of this point, known or new."""
        for key in self._keys(x):
            for number in self._near.get(key, ()):
                if np.max(np.abs(self.points[number] - x)) < _SAME:
                    return number
        number = len(self.points)
        self.points = np.concatenate([self.points, x[None]])
        self._near.setdefault(self._keys(x)[0], []).append(number)
        return number

    @staticmethod
    def _keys(x: np.ndarray) -> tuple[bytes, ...]:
        """Cells of a coarse grid along one direction that may hold the same point; its own cell first."""
        along = float(np.sum(x * np.linspace(1.0, 2.0, x.size)))
        width = 4 * _SAME * x.size
        cell = np.floor(along / width)
        return tuple(np.float64(cell + k).tobytes() for k in (0, -1, 1))


def corners(low: np.ndarray, high: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Every corner of the box along the free coordinates, (2^m, n)."""
    which = np.flatnonzero(free)
    bits = (np.arange(2**which.size)[:, None] >> np.arange(which.size)) & 1
    starts = np.repeat(low[None], 2**which.size, axis=0)
    starts[:, which] = np.where(bits == 1, high[which], low[which])
    return starts


def relaxed(network: Network, starts: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Corners (k, n) moved to where each node rests at the input of the others, on its own side of the box: a corner itself
    exaggerates all inputs at once, and the way down from it may miss the state of its pattern."""
    up = starts > (low + high) / 2
    for _ in range(_RELAXATIONS):
        roots, _ = in_pieces(roots_within, network, starts)
        # Highest or lowest root; if a homogeneous node has none, stay.
        ends = np.where(up, np.fmax.reduce(roots, axis=2), np.fmin.reduce(roots, axis=2))
        starts = np.where(np.isfinite(ends), (starts + ends) / 2, starts)
    return starts


def spread(low: np.ndarray, high: np.ndarray, count: int) -> np.ndarray:
    """`count` points spread evenly over the box, (count, n)."""
    return low + (high - low) * even_points(count + 1, low.size)[1:]  # the first is the centre


def flipped(x: np.ndarray, roots: np.ndarray, cusp: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Starts from one minimum x (n,): each node in turn on its other side, (n, n); at its own root there, if it has one."""
    up = x > cusp
    other = np.where(up, roots[:, 0], roots[:, 2])
    other = np.where(np.isnan(other), np.where(up, low, high), other)
    return np.where(np.eye(x.size, dtype=bool), other[None], x[None])


def explore(
    network: Network,
    fall: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    rank: Callable[[np.ndarray], np.ndarray],
    starts: int,
    report: Callable[[int, int], None],
) -> tuple[Catalogue, bool, int]:
    """Fixed points by `fall` (starts → ends, whether they count): the catalogue, whether nothing was left to try, and tries.

    `rank` orders points: the first are flipped first. `report(tries, found)` is called as it goes on.
    """
    low, high = (np.asarray(each) for each in box(network))
    free = high - low > 0.01
    found, tried = Catalogue(network.size), 0

    def fall_from(some: np.ndarray) -> None:
        nonlocal tried
        ends, fine = fall(some)
        for end in ends[fine]:
            found.add(end)
        tried += len(some)
        report(tried, len(found.points))

    every = 2 ** int(free.sum()) <= starts
    between = spread(low, high, _SPREAD)[: max(1, starts // 8)] if free.any() else low[None]
    if every:
        all_corners = corners(low, high, free)
        fall_from(np.concatenate([all_corners, relaxed(network, all_corners, low, high), between]))
    else:
        fall_from(np.concatenate([np.stack([low, high]), between]))
    budget = starts + (tried if every else 0)
    flipped_from: set[int] = set()
    while tried < budget:
        waiting = [int(k) for k in np.argsort(rank(found.points)) if int(k) not in flipped_from]
        if not waiting:
            return found, True, tried
        some = waiting[: max(1, _ROUND // max(1, int(free.sum())))]
        flipped_from.update(some)
        roots, cusp = in_pieces(roots_within, network, found.points[some])
        thrown = [flipped(found.points[k], roots[i], cusp[i], low, high)[free] for i, k in enumerate(some)]
        if free.any():
            fall_from(np.concatenate(thrown))
    return found, False, tried
