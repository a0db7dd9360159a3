"""The passes between minima of a network's landscape: index-1 saddles, and which minima each one connects."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Mask, Values
from ..models.network import Network
from ..numerics.compiling import jitted
from .descent import descend, heights, in_pieces, polish
from .potential import force, hessian
from .search import Catalogue, roots_within

_CLIMBS, _LONGEST = 60, 0.25
_ASIDE = (0.02, 0.005)  # where the way down starts, in ln R; the second if the first ends nowhere
_SLIDES, _SHORT = 400, 0.1
_CLIMB_WORK = 5e7  # cubed nodes times starts that may follow eigenvectors, at 60 decompositions each
_MANY = 24  # minima beyond which not every pair is looked at


@jitted
def climb(network: Network, x: Values, scaling: Values | None = None) -> tuple[Values, Mask, Values]:
    """Index-1 saddles near the starts (k, n), whether each is one, and its downhill direction, in x = ln R.

    Eigenvector following: uphill along the lowest mode of the Hessian, downhill along all others; then Newton's method.
    """

    def step(carry) -> Any:
        x, _, count = carry
        slope, H = _curvature(network, x, scaling)
        values, modes = jnp.linalg.eigh(H)
        along = modes.T @ slope
        size = jnp.maximum(jnp.abs(values), 1e-6 * jnp.abs(values[-1]))
        move = modes @ (jnp.where(jnp.arange(x.shape[0]) == 0, along, -along) / size)
        longest = jnp.max(jnp.abs(move))
        move = move * jnp.minimum(1, _LONGEST / longest)
        return x + move, longest, count + 1

    def unfinished(carry) -> Any:
        return (carry[2] < _CLIMBS) & ~(carry[1] < 1e-6)

    def one(start: Values) -> tuple[Values, Mask, Values]:
        x, _, _ = jax.lax.while_loop(unfinished, step, (start, jnp.asarray(jnp.inf, start.dtype), 0))
        return _saddle_at(network, x, scaling)

    return jax.vmap(one)(x)


@jitted
def slide(network: Network, x: Values, scaling: Values | None = None) -> tuple[Values, Mask]:
    """Minima of Ψ in the valleys in which the starts x (k, n) lie, and whether each is one: downhill in short steps, each
    along every mode of the Hessian, so that none jumps out of a shallow minimum as `descend` may."""

    def step(carry) -> Any:
        x, _, count = carry
        slope, H = _curvature(network, x, scaling)
        values, modes = jnp.linalg.eigh(H)
        move = -modes @ ((modes.T @ slope) / jnp.maximum(jnp.abs(values), 1e-6 * jnp.abs(values[-1])))
        longest = jnp.max(jnp.abs(move))
        return x + move * jnp.minimum(1, _SHORT / longest), longest, count + 1

    def unfinished(carry) -> Any:
        return (carry[2] < _SLIDES) & ~(carry[1] < 1e-6)

    def one(start: Values) -> tuple[Values, Mask]:
        x, _, _ = jax.lax.while_loop(unfinished, step, (start, jnp.asarray(jnp.inf, start.dtype), 0))
        x, fine = polish(network, x)
        return x, fine & (jnp.linalg.eigvalsh(hessian(network, x, scaling))[0] > 0)

    return jax.vmap(one)(x)


@jitted
def close_in(network: Network, x: Values, scaling: Values | None = None) -> tuple[Values, Mask, Values]:
    """The same as `climb` by Newton's method only, for starts that are near enough; many times cheaper."""
    return jax.vmap(lambda x: _saddle_at(network, x, scaling))(x)


def _curvature(network: Network, x: Values, scaling: Values | None) -> tuple[Values, Values]:
    """Gradient and Hessian of Ψ in x = ln R."""
    R = jnp.exp(x)
    slope = -R * force(network, x)
    slope = slope if scaling is None else scaling * slope
    return slope, hessian(network, x, scaling) * jnp.outer(R, R) + jnp.diag(slope)


def _saddle_at(network: Network, x: Values, scaling: Values | None) -> tuple[Values, Mask, Values]:
    x, fine = polish(network, x)
    values, modes = jnp.linalg.eigh(_curvature(network, x, scaling)[1])
    return x, fine & (jnp.sum(values < 0) == 1), modes[:, 0]


def guesses(network: Network, minima: np.ndarray, budget: int, scaling: Values | None = None) -> np.ndarray:
    """Starts for `climb`: each minimum with one node at its own pass, and the highest point on the line between two minima.

    `minima` in the order of importance; at most `budget` of each sort.
    """
    roots, _ = in_pieces(roots_within, network, minima[: max(1, budget)])
    middle = roots[:, :, 1]
    which, node = np.nonzero(np.isfinite(middle))
    which, node = which[:budget], node[:budget]
    single = minima[which].copy()
    single[np.arange(which.size), node] = middle[which, node]
    first, second = _neighbours(minima, budget)
    if first.size == 0:
        return single
    share = np.linspace(0, 1, 17)[1:-1, None, None]
    line = (1 - share) * minima[first] + share * minima[second]
    height = in_pieces(heights, network, line.reshape(-1, network.size), scaling=scaling).reshape(line.shape[:2])
    return np.concatenate([single, line[height.argmax(axis=0), np.arange(first.size)]])


def _neighbours(minima: np.ndarray, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of minima: all of a few, of many each with its nearest ones."""
    count = len(minima)
    if count <= _MANY:
        first, second = np.triu_indices(count, 1)
        return first[:budget], second[:budget]
    few = min(count, 64)
    distance = np.linalg.norm(minima[:few, None] - minima[None], axis=2)
    nearest = np.argsort(distance, axis=1)[:, 1:4]
    pairs = np.unique(np.sort(np.stack([np.repeat(np.arange(few), 3), nearest.ravel()], axis=1), axis=1), axis=0)
    return pairs[:budget, 0], pairs[:budget, 1]


def _down(network: Network, near: np.ndarray, rest: np.ndarray, scaling: Values | None) -> tuple[np.ndarray, np.ndarray]:
    """Where the ways down from beside passes end: the first ones carefully, as many as are affordable."""
    found = [in_pieces(slide, network, near, scaling=scaling)] if len(near) else []
    found += [in_pieces(descend, network, rest, scaling=scaling)] if len(rest) else []
    ends, fine = (np.concatenate(each) for each in zip(*found, strict=True))
    return ends, fine


def find_saddles(
    network: Network,
    minima: Catalogue,
    order: np.ndarray,
    budget: int,
    scaling: Values | None = None,
    more: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct index-1 saddles (s, n) and the two minima on either side of each, (s, 2), as numbers in the catalogue.

    `more` (k, n) are further starts. Minima that only a saddle leads to are added to the catalogue; −1 if the way down from
    a saddle ended at none.
    """
    if len(minima.points) == 0:
        return np.zeros((0, network.size)), np.zeros((0, 2), int)
    starts = guesses(network, minima.points[order], budget, scaling)
    starts = starts if more is None else np.concatenate([more, starts])
    if len(starts) == 0:
        return np.zeros((0, network.size)), np.zeros((0, 2), int)
    ends, fine, modes = in_pieces(close_in, network, starts, scaling=scaling)
    (left,) = np.nonzero(~fine)
    left = left[: max(1, int(_CLIMB_WORK / network.size**3))]
    if left.size:
        ends[left], fine[left], modes[left] = in_pieces(climb, network, starts[left], scaling=scaling)
    distinct, first = Catalogue(network.size), []
    for k in np.flatnonzero(fine):
        if distinct.add(ends[k]) == len(first):
            first.append(k)
    saddles, modes = ends[first], modes[first]
    if len(saddles) == 0:
        return saddles, np.zeros((0, 2), int)
    numbers = np.full(2 * len(saddles), -1)
    for aside in _ASIDE:
        (left,) = np.nonzero(numbers < 0)
        if left.size:
            sides = np.concatenate([saddles + aside * modes, saddles - aside * modes])[left]
            slowly = sides[: int(_CLIMB_WORK / network.size**3)]
            down, reached = _down(network, slowly, sides[len(slowly) :], scaling)
            numbers[left] = [minima.add(x) if fine else -1 for x, fine in zip(down, reached, strict=True)]
    return saddles, numbers.reshape(2, -1).T
