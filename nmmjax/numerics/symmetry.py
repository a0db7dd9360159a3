"""Which weights have a landscape Ψ: those that a positive scaling of the rows makes symmetric.

If d_i M_ij = d_j M_ji with d > 0 (Kolmogorov's condition: the products of the weights around every cycle are equal in
both directions), the scaled forces d_i f_i are the gradient of −Ψ_d. Symmetric weights have d = 1, row-normalised
symmetric weights the strengths, gains W_ij = g_i A_ij h_j the ratios h/g (docs/theory.md §8, §D1).
"""

from typing import Any, NamedTuple

import numpy as np

_ROUNDING = 1e-9  # relative to the weights, the difference that counts as rounding in float64


class Symmetry(NamedTuple):
    """Effect of a scaling on a matrix of weights.

    - `scaling` (n,): d > 0 of geometric mean 1 in every connected part, None if a landscape needs none (symmetric
      weights) or has none
    - `reason`: why no d exists, else None
    - `magnitudes` (n,): d for the absolute values of the weights, also if their signs prevent a landscape (excitatory and
      inhibitory nodes with balanced magnitudes); None if there is none
    """

    scaling: np.ndarray | None
    reason: str | None
    magnitudes: np.ndarray | None


def symmetry_of(M: Any, label: Any = str) -> Symmetry:
    """The scaling of a matrix (n, n) of couplings, row i receiving; `label(i)` is how a sentence calls node i."""
    M = np.asarray(M)
    rounding = max(_ROUNDING, 32 * float(np.finfo(M.dtype).eps))
    M = M.astype(float)
    scale = np.max(np.abs(M), initial=0.0)
    if np.max(np.abs(M - M.T), initial=0.0) <= _ROUNDING * scale:
        return Symmetry(None, None, np.ones(M.shape[0]))
    size = np.abs(M)
    one_way = (size > rounding * scale) & (size.T == 0)
    if one_way.any():
        i, j = (int(k) for k in np.argwhere(one_way)[0])
        return Symmetry(None, f"node {label(i)} receives from node {label(j)}, which receives nothing from it", None)
    log_d, parent = _along_a_tree(size)
    left = log_d[:, None] + np.log(np.where(size > 0, size, 1.0))
    off = np.where(size > 0, np.abs(left - left.T), 0.0)
    # Weights that are rounding beside the others prevent nothing.
    off = np.where(np.exp(np.maximum(left, left.T)) <= rounding * np.max(np.exp(left), initial=0.0), 0.0, off)
    if np.max(off) > rounding * M.shape[0]:
        i, j = (int(k) for k in np.unravel_index(np.argmax(off), off.shape))
        return Symmetry(None, _unequal(M, _cycle(parent, i, j), label), None)
    d = np.exp(log_d)
    opposed = (M * M.T < 0) & (size > rounding * scale)
    if opposed.any():
        i, j = (int(k) for k in np.argwhere(opposed)[0])
        words = f"nodes {label(i)} and {label(j)} act on each other with opposite signs"
        return Symmetry(None, f"{words} (W_ij = {M[i, j]:.6g}, W_ji = {M[j, i]:.6g})", d)
    return Symmetry(d, None, d)


def _along_a_tree(size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln d along the spanning trees of the strongest connections (Prim's), and every node's parent (−1 for roots)."""
    n = size.shape[0]
    strength = np.minimum(size, size.T)
    log_d, parent, part = np.zeros(n), np.full(n, -1), np.full(n, -1)
    for root in range(n):
        if part[root] >= 0:
            continue
        part[root], best, via = root, strength[root].copy(), np.full(n, root)
        while True:
            k = int(np.argmax(np.where(part < 0, best, 0.0)))
            if part[k] >= 0 or best[k] == 0:
                break
            j = via[k]
            log_d[k] = log_d[j] + np.log(size[j, k]) - np.log(size[k, j])  # d_k M_kj = d_j M_jk
            part[k], parent[k] = root, j
            closer = strength[k] > best
            best, via = np.where(closer, strength[k], best), np.where(closer, k, via)
        log_d[part == root] -= np.mean(log_d[part == root])
    return log_d, parent


def _cycle(parent: np.ndarray, i: int, j: int) -> list[int]:
    """The cycle that the connection of i and j closes in the tree."""

    def up(k: int) -> list[int]:
        way = [k]
        while parent[way[-1]] >= 0:
            way.append(int(parent[way[-1]]))
        return way

    first, second = up(i), up(j)
    shared = next(k for k in first if k in second)
    return first[: first.index(shared) + 1] + second[: second.index(shared)][::-1]


def _unequal(M: np.ndarray, cycle: list[int], label: Any) -> str:
    after = [*cycle[1:], cycle[0]]
    there = np.prod([M[a, b] for a, b in zip(cycle, after, strict=True)])
    back = np.prod([M[b, a] for a, b in zip(cycle, after, strict=True)])
    names = " → ".join(str(label(k)) for k in [*cycle, cycle[0]])
    return f"the weights around the cycle of nodes {names} multiply to {there:.6g} one way and {back:.6g} the other"
