"""Minima and saddles of Ising models too large to look at every state: descents and paths of single flips."""

import jax
import numpy as np

from .._checks import require
from .._types import Key
from ..recordings.recording import Binarized

_MOST_PAIRS = 20_000


def starting_spins(size: int, data: Binarized | None, key: Key | None, starts: int) -> np.ndarray:
    """States to descend from: the data's, in their order, then random ones."""
    parts = [] if data is None else [data.spins.astype(float)]
    if key is not None:
        parts.append(np.where(np.asarray(jax.random.bernoulli(key, 0.5, (int(starts), size))), 1.0, -1.0))
    require("key", key, "be given for a model of many regions without data, to start from random states", bool(parts))
    return np.concatenate(parts)


def descend_spins(h: np.ndarray, J: np.ndarray, spins: np.ndarray) -> np.ndarray:
    """The minima (m, N) that steepest single flips reach from spins (m, N), all at once."""
    s = np.array(spins, float)
    rows = np.arange(s.shape[0])
    while rows.size:
        gain = -2 * s[rows] * (s[rows] @ J + h)  # fall of the energy by each flip, 2 s_i (h_i + Σ J_ij s_j) = rise
        best = np.argmax(gain, axis=1)
        goes = gain[np.arange(rows.size), best] > 1e-12
        rows, best = rows[goes], best[goes]
        s[rows, best] *= -1
    return s


def bounds_between(h: np.ndarray, J: np.ndarray, spins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper bounds of the saddles between pairs of minima (k, N): pairs (m, 2) and levels (m,).

    From one to the other, those regions that differ are flipped one by one, the cheapest next; of the two directions the
    lower. If pairs are too many, each minimum is joined to the nearest ones.
    """
    count = spins.shape[0]
    a, b = np.triu_indices(count, 1)
    if a.size > _MOST_PAIRS:
        apart = np.array([np.sum(spins[i] != spins[j]) for i, j in zip(a, b, strict=True)])
        near = np.argsort(apart, kind="stable")[: _MOST_PAIRS - count]
        chain = np.flatnonzero(a == 0)  # all stay connected through the lowest
        chosen = np.unique(np.concatenate([near, chain]))
        a, b = a[chosen], b[chosen]
    if a.size == 0:
        return np.zeros((0, 2), int), np.zeros(0)
    levels = np.minimum(_highest(h, J, spins[a], spins[b]), _highest(h, J, spins[b], spins[a]))
    return np.stack([a, b], axis=1), levels


def _highest(h: np.ndarray, J: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The highest energy (m,) on the way from start to end (m, N) by the cheapest flips."""
    s, end = np.array(start, float), np.asarray(end, float)
    energy = -(s @ h) - np.sum((s @ J) * s, axis=1) / 2
    highest, rows = energy.copy(), np.arange(s.shape[0])
    while True:
        open_ = s[rows] != end[rows]
        rows = rows[open_.any(axis=1)]
        if rows.size == 0:
            return highest
        rise = np.where(s[rows] != end[rows], 2 * s[rows] * (s[rows] @ J + h), np.inf)
        best = np.argmin(rise, axis=1)
        energy[rows] += rise[np.arange(rows.size), best]
        s[rows, best] *= -1
        highest[rows] = np.maximum(highest[rows], energy[rows])
