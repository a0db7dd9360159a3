"""The energy landscape of an Ising model: minima, basins, saddles, tree, and how data wander among them."""

import dataclasses
from typing import Any

import numpy as np

from .._checks import require
from .._results import Shown
from ..landscape.tree import Tree, disconnectivity
from ..recordings.recording import Binarized, as_binarized
from .searching import bounds_between, descend_spins, starting_spins
from .walsh import LARGEST, labels_of, spins_of, states_of
from .wandering import Wandering, wander

_MOST = 4000  # minima, beyond which tables of all pairs don't help


@dataclasses.dataclass(frozen=True, eq=False)
class IsingLandscape(Shown):
    """The landscape of an Ising model with k local minima, by energy; made by `model.landscape()`.

    Two states are neighbours if one region differs. A minimum lies below all neighbours; from any other state the
    steepest single flip leads down (ties: stay, else the first region), and a minimum's basin is all that ends there.

    - `spins` (k, N), `labels` (k,) bit strings in the order of the regions, `states` (k,) state numbers, `energy` (k,)
    - `basin_size` (k,) of 2^N states, `basin` (2^N,) the minimum below each state; None for N > 20
    - `saddle` (k, k): the lowest level at which one minimum can be reached from another, exact; `saddle_spins(a, b)`: the
      state there; `barrier` (k, k): height of that saddle over minimum a, `barrier[a, b]`; diagonals are NaN
    - `names` of the N regions
    - `links` (m, 2), `heights` (m,), `passes` (m,): pairs of basins that touch, the lowest level of a step between them, and
      the number of its upper state
    - `wandering`: how the data move among the basins, from which the following come; None without data
    - `tree`: disconnectivity tree, for `plot.disconnectivity`
    - `occupancy` (k,): share of the samples in each basin; `transitions` (k, k): direct changes of basin, `visits` (k, k):
      how often b was visited next after a, directly or not; `rates`, `visit_rates`: those per sample; `dwell_times`
    - `reason`: what is not exact or not known, in a sentence; else None

    For N > 20 not every state can be looked at: `labels` are then the minima that were found, `saddle` an upper bound, found
    along paths of single flips from one minimum to another.

    Source: Watanabe et al., Front. Neuroinform. 8, 12 (2014); Ezaki et al. (2017); minimax saddles by merging basins from
    the lowest pass up: descents never climb, so that a basin's states reach its minimum below any pass.
    """

    names: tuple[str, ...]
    spins: np.ndarray
    energy: np.ndarray
    basin: np.ndarray | None
    basin_size: np.ndarray | None
    links: np.ndarray
    heights: np.ndarray
    passes: np.ndarray
    saddle: np.ndarray
    tree: Tree
    wandering: Wandering | None
    reason: str | None

    @property
    def labels(self) -> tuple[str, ...]:
        """The minima as bit strings in the order of the regions."""
        return labels_of(self.spins)

    @property
    def states(self) -> np.ndarray:
        """State numbers of the minima; labels read as binary numbers. For N ≤ 62."""
        require("model", f"{len(self.names)}", "have at most 62 regions to number its states", len(self.names) <= 62)
        return states_of(self.spins)

    @property
    def barrier(self) -> np.ndarray:
        """(k, k) height of the lowest saddle between a and b, over minimum a."""
        return self.saddle - self.energy[:, None]

    @property
    def depth(self) -> np.ndarray:
        """(k,) height of each minimum's lowest way out; inf for a single minimum."""
        return self.tree.barrier

    @property
    def basin_fraction(self) -> np.ndarray | None:
        """Shares of all states, (k,)."""
        return None if self.basin_size is None else self.basin_size / self.basin_size.sum()

    @property
    def occupancy(self) -> np.ndarray | None:
        """(k,) share of the samples in each basin; None without data."""
        return None if self.wandering is None else self.wandering.occupancy

    @property
    def sequence(self) -> np.ndarray | None:
        """(time,) the basin of every sample."""
        return None if self.wandering is None else self.wandering.sequence

    @property
    def transitions(self) -> np.ndarray | None:
        """(k, k) direct changes from basin a to basin b within subjects."""
        return None if self.wandering is None else self.wandering.transitions

    @property
    def visits(self) -> np.ndarray | None:
        """(k, k) how often b was visited after a before a was visited again, directly or through others."""
        return None if self.wandering is None else self.wandering.visits

    @property
    def rates(self) -> np.ndarray | None:
        """Direct changes per sample."""
        return None if self.wandering is None else self.wandering.transitions / self.wandering.sequence.size

    @property
    def visit_rates(self) -> np.ndarray | None:
        """Visits of b after a, per sample."""
        return None if self.wandering is None else self.wandering.visits / self.wandering.sequence.size

    @property
    def dwell_times(self) -> tuple[np.ndarray, ...] | None:
        """Per basin, how long each stay lasted: in the recording's time if `dt` is known, else in samples.

        Stays at the beginning and end of a subject's recording are cut short there, and counted as they are.
        """
        return None if self.wandering is None else self.wandering.dwell_times

    def saddle_spins(self, a: int, b: int) -> np.ndarray:
        """The highest state (N,) on the lowest path from minimum `a` to minimum `b`, numbers below k. For N ≤ 20."""
        require("a", (a, b), f"be two different minima below {self.energy.size}", a != b and max(a, b) < self.energy.size)
        require("model", f"{len(self.names)}", f"have at most {LARGEST} regions for that", self.basin is not None)
        at = np.flatnonzero(self.heights == self.saddle[a, b])
        side = self.saddle[a] < self.saddle[a, b]  # what lies on a's side of that pass
        side[a] = True
        fits = at[side[self.links[at, 0]] != side[self.links[at, 1]]]
        return spins_of(self.passes[fits[0]], len(self.names))

    def __repr__(self) -> str:
        lines = [f"Landscape of {len(self.names)} regions: {self.energy.size} minima"]
        for k, label in enumerate(self.labels[:20]):
            text = f"  {label}  E = {self.energy[k]:.6f}"
            text += f", depth {self.depth[k]:.4f}" if np.isfinite(self.depth[k]) else ""
            text += f", basin {self.basin_size[k]}" if self.basin_size is not None else ""
            text += f", occupancy {self.occupancy[k]:.4f}" if self.occupancy is not None else ""
            lines.append(text)
        lines += [f"  … and {self.energy.size - 20} more"] if self.energy.size > 20 else []
        lines += [f"  {int(self.transitions.sum())} transitions"] if self.transitions is not None else []
        return "\n".join(lines + ([f"  {self.reason}"] if self.reason else []))


def survey(model: Any, data: Any, key: Any, starts: int) -> IsingLandscape:
    """See `IsingModel.landscape`."""
    if data is not None:
        data = data if isinstance(data, Binarized) else as_binarized("data", data)
        fits = data.spins.shape[1] == model.size
        require("data", data, f"have {model.size} regions, as the model has", fits)
    if model.size > LARGEST:
        return _searched(model, data, key, starts)
    energies = np.asarray(model.energies(), float)
    minima, basin = find_basins(energies, model.size)
    energy = energies[minima]
    links, heights, passes = find_passes(energies, basin, model.size)
    tree = disconnectivity(energy, links, heights)
    wandering = None if data is None else wander(basin[states_of(data.spins)], data, energy.size)
    size = np.bincount(basin, minlength=energy.size)
    saddle = saddle_levels(tree)
    spins = spins_of(minima, model.size)
    reason = None if data is not None else "Without data there is no occupancy."
    return IsingLandscape(model.names, spins, energy, basin, size, links, heights, passes, saddle, tree, wandering, reason)


def find_basins(energies: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """State numbers of the minima (k,), by energy, and the minimum (2^N,) that steepest descent reaches from each state."""
    state = np.arange(energies.size)
    tie = 1e-13 * max(1.0, float(np.max(np.abs(energies))))  # the energies' own rounding
    lowest, down = energies.copy(), state.copy()
    for i in range(size):
        flipped = state ^ (1 << (size - 1 - i))
        better = energies[flipped] < lowest - tie
        lowest, down = np.where(better, energies[flipped], lowest), np.where(better, flipped, down)
    while np.any((further := down[down]) != down):
        down = further
    minima = np.flatnonzero(down == state)
    minima = minima[np.argsort(energies[minima], kind="stable")]
    require("model", f"{minima.size} minima", f"have at most {_MOST} minima", minima.size <= _MOST)
    number = np.zeros(energies.size, int)
    number[minima] = np.arange(minima.size)
    return minima, number[down]


def find_passes(energies: np.ndarray, basin: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Passes of all pairs of basins that touch: the pair (m, 2), the lowest level (m,) of a step between them, its upper
    state."""
    count = int(basin.max()) + 1
    codes, levels, tops = [], [], []
    for i in range(size):
        low = np.arange(energies.size).reshape(2**i, 2, -1)[:, 0].ravel()  # states with spin i down
        high = low | (1 << (size - 1 - i))
        crossing = basin[low] != basin[high]
        low, high = low[crossing], high[crossing]
        a, b = np.minimum(basin[low], basin[high]), np.maximum(basin[low], basin[high])
        codes.append(a * count + b)
        levels.append(np.maximum(energies[low], energies[high]))
        tops.append(np.where(energies[low] >= energies[high], low, high))
    code, level, top = (np.concatenate(each) for each in (codes, levels, tops))
    order = np.lexsort((level, code))
    code, first = np.unique(code[order], return_index=True)
    return np.stack([code // count, code % count], axis=1), level[order][first], top[order][first]


def saddle_levels(tree: Tree) -> np.ndarray:
    """(k, k) level at which the branches of two minima merge; NaN on the diagonal, inf if they don't."""
    count = tree.energy.size
    levels = np.full((count, count), np.inf)
    np.fill_diagonal(levels, np.nan)
    leaves = [[k] for k in range(count)]
    for (a, b), height in zip(tree.children, tree.heights, strict=True):
        left, right = leaves[a], leaves[b]
        levels[np.ix_(left, right)] = height
        levels[np.ix_(right, left)] = height
        leaves.append(left + right)
    return levels


def _searched(model: Any, data: Binarized | None, key: Any, starts: int) -> IsingLandscape:
    """Landscape of many regions: the minima below the data's states and random ones, and bounds of the saddles."""
    h, J = np.asarray(model.h, float), np.asarray(model.J, float)
    given = starting_spins(model.size, data, key, starts)
    end = descend_spins(h, J, given)
    spins, inverse = np.unique(end, axis=0, return_inverse=True)
    energy = -(spins @ h) - np.sum((spins @ J) * spins, axis=1) / 2
    order = np.argsort(energy, kind="stable")
    spins, energy = spins[order].astype(np.int8), energy[order]
    basin = np.argsort(order)[inverse.ravel()]
    links, heights = bounds_between(h, J, spins)
    tree = disconnectivity(energy, links, heights)
    reason = (
        f"With more than {LARGEST} regions not every state was looked at: these are the minima below "
        f"{given.shape[0]} states, and saddles are upper bounds."
    )
    wandering = None if data is None else wander(basin[: data.spins.shape[0]], data, energy.size)
    nothing = np.zeros(0, int)
    return IsingLandscape(
        model.names, spins, energy, None, None, links, heights, nothing, saddle_levels(tree), tree, wandering, reason
    )
