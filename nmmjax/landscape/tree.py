"""Disconnectivity trees: which minima flow together as the energy level rises. For any landscape, also of data."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Tree:
    """A disconnectivity tree of k minima: leaves 0 … k − 1, and every merge a further node, in the order of its height.

    - `energy` (k,): of the minima; `children` (m, 2): the two nodes that merge; `heights` (m,): the level at which they do,
      that of the lowest pass between them
    - `barrier` (k,): height of each minimum's first merge above it; inf if absent
    - `roots`: nodes without a parent; several if no pass was found between parts of the landscape
    """

    energy: np.ndarray
    children: np.ndarray
    heights: np.ndarray
    barrier: np.ndarray
    roots: tuple[int, ...]

    def leaves(self) -> np.ndarray:
        """The minima in an order in which no two branches cross."""
        order: list[int] = []
        stack = list(reversed(self.roots))
        while stack:
            node = stack.pop()
            if node < self.energy.size:
                order.append(node)
            else:
                left, right = (int(each) for each in self.children[node - self.energy.size])
                stack += sorted((left, right), key=self._lowest, reverse=True)
        return np.asarray(order, int)

    def _lowest(self, node: int) -> float:
        """The lowest energy below a node."""
        lowest, stack = np.inf, [node]
        while stack:
            each = stack.pop()
            if each < self.energy.size:
                lowest = min(lowest, float(self.energy[each]))
            else:
                stack += [int(child) for child in self.children[each - self.energy.size]]
        return lowest


def disconnectivity(energy: np.ndarray, links: np.ndarray, heights: np.ndarray) -> Tree:
    """The tree of minima with energies (k,), joined by passes `links` (s, 2) at `heights` (s,).

    Passes are added from the lowest up; each that joins two separate parts is a merge (the minimax path between any two
    minima crosses exactly their common merge).
    """
    energy = np.asarray(energy, float)
    parent = np.arange(energy.size)
    node = np.arange(energy.size)
    barrier = np.full(energy.size, np.inf)
    children: list[tuple[int, int]] = []
    levels: list[float] = []

    def part(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = int(parent[k])
        return k

    for which in np.argsort(heights, kind="stable"):
        a, b = (int(each) for each in links[which])
        known = [k for k in {a, b} if k >= 0]
        if a != b:  # one side may be unknown
            barrier[known] = np.minimum(barrier[known], heights[which] - energy[known])
        if a == b or len(known) < 2:
            continue
        a, b = part(a), part(b)
        if a == b:
            continue
        children.append((int(node[a]), int(node[b])))
        levels.append(float(heights[which]))
        parent[b] = a
        node[a] = energy.size + len(children) - 1
    roots = tuple(sorted({int(node[part(k)]) for k in range(energy.size)}, reverse=True))
    return Tree(energy, np.asarray(children, int).reshape(-1, 2), np.asarray(levels), barrier, roots)
