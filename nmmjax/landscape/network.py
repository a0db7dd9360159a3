"""The energy landscape of a network: resting states, passes, barriers and how they hang together."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, as_key, require
from .._parameter import describe
from .._results import Shown
from .._types import Key, Real, Values
from ..equilibria.delays import linearized_with_delays
from ..equilibria.points import FixedPoints
from ..models.network import Network
from ..models.state import State
from ..numerics.compiling import jitted
from ..numerics.delayed import leading
from .certificates import delay_margins, margin, proved_stable, synapse_margins
from .cycles import LimitCycles, find_cycles
from .descent import descend, heights, in_pieces, settle
from .potential import eigenvalues_at, network_potential, require_landscape, state_at, symmetry, with_input
from .saddles import find_saddles
from .search import Catalogue, box, explore
from .tree import Tree, disconnectivity

_EIGENVALUE_WORK = 4e8  # operations spent on eigenvalues of Jacobians: k points cost 10 k (2n)³
_DELAYED = 256  # nodes of all points, of networks with delays, whose characteristic roots are found


class NetworkLandscape(eqx.Module, Shown):
    """The resting states of a network and the landscape Ψ that connects them; made by `energy_landscape`.

    - `network`, `I`: the model, and its constant input in units of η, a number or (n,)
    - `minima`: the stable resting states found, the lowest Ψ first; `saddles`: index-1 passes, the lowest first;
      `others`: further fixed points, of networks without a landscape. `eigenvalues` are NaN beyond what was affordable; with
      delays they are as many characteristic roots, the rightmost (`characteristic_roots` for all right of a line)
    - `links` (s, 2): the two minima on either side of each saddle, −1 if unknown
    - `complete`: whether the search ran out of places to try before its budget; `tries`: descents made
    - `checked`, `agreeing`: points whose Morse index was compared with the unstable eigenvalues, and of those equal
    - `scaling` (n,): the numbers d > 0 with d_i W_ij = d_j W_ji, to which Ψ refers; None for symmetric weights, with d =
      1
    - `reason`: why there is no Ψ, naming the nodes that prevent it, else None. Energies and barriers are NaN then,
      `minima` are the stable fixed points, `saddles` those with one unstable eigenvalue, and there are no links
    - `margin`: positive if it is proved that the network has a single resting state (`single`); see `certificates.py`
    - `synapse_margin` (k,): of a network with synapses or delays, positive where it is proved that they leave a minimum
      stable (see `proved_stable`); NaN for other networks and without Ψ
    - `cycles`: the `LimitCycles` found from random starts if they were looked for (`cycles=n`), else None. Ψ lists
      resting states only: a symmetric network can have limit cycles as well
    """

    network: Network
    I: Values
    minima: FixedPoints
    saddles: FixedPoints
    others: FixedPoints
    links: Any
    complete: bool = eqx.field(static=True)
    tries: int = eqx.field(static=True)
    checked: int = eqx.field(static=True)
    agreeing: int = eqx.field(static=True)
    reason: str | None = eqx.field(static=True)
    scaling: Any = None
    margin: float = eqx.field(static=True, default=float("nan"))
    cycles: LimitCycles | None = None
    synapse_margin: Any = None

    @property
    def single(self) -> bool:
        """Whether it is proved that the network has one resting state only, for weights of any kind: diag(7.7962 √Δ_i)
        exceeds the symmetric part of the coupling matrix. False says nothing."""
        return self.margin > 0

    def proved_stable(self) -> np.ndarray:
        """Whether the stability of each of `minima` (k,) is proved by a small one-way part of the weights, ‖(W − Wᵀ)/2‖²
        below a bound; of a network with synapses and Ψ, by inhibition weak enough for their delay T, diag(Δ_i/πr_i²) + T M
        positive definite; with delays, equal both ways, by diag(Δ_i/πr_i²) − |M|∘D. Sufficient, not necessary (the
        eigenvalues decide)."""
        if self.network.slow_names or self.network.coupling.delayed:
            return np.asarray(self.synapse_margin) > 0
        tilted = with_input(self.network, self.I)
        x = np.log(np.asarray(tilted.nodes().tau) * np.asarray(self.minima.r))
        return proved_stable(tilted, x, scalings(self.network))

    @property
    def tree(self) -> Tree:
        """The disconnectivity tree. Raises `ValueError` without a landscape."""
        require("network", type(self.network).__name__, f"have a landscape, but {self.reason}", self.reason is None)
        return disconnectivity(np.asarray(self.minima.energy), np.asarray(self.links), np.asarray(self.saddles.energy))

    def basin_sizes(self, key: Key, samples: int = 4096) -> tuple[Values, Values]:
        """The share of random states that flow down to each minimum (k,), and to minima not in the list (`unknown`).

        `samples` starts are uniform in ln r within the box that contains every fixed point; the way is that of the
        steepest descent solver, without inertia (`basin_map` follows the dynamics). `key` is a random key. A large
        `unknown` says that the search should have more `starts`.
        """
        tilted = with_input(self.network, self.I)
        low, high = box(tilted)
        samples = as_count("samples", samples)
        x = jax.random.uniform(as_key(key), (samples, self.network.size), low.dtype)
        x = jnp.broadcast_to(low, x.shape) + jnp.broadcast_to(high - low, x.shape) * x
        ends, fine = in_pieces(descend, tilted, np.asarray(x), scaling=self.scaling)
        known = Catalogue(self.network.size)
        for each in np.log(np.asarray(tilted.nodes().tau) * np.asarray(self.minima.r)):
            known.add(each)
        numbers = np.array([known.add(end) for end in ends[fine]], int)
        counts = np.bincount(numbers, minlength=len(self.minima)) / samples
        share = jnp.asarray(counts[: len(self.minima)], low.dtype)
        return share, 1 - jnp.sum(share)

    def potential(self, r: Any) -> Values:
        """Ψ (…) at rates `r` (…, n), per unit of time, with the landscape's input."""
        return network_potential(self.network, r, self.I)

    def __repr__(self) -> str:
        lines = [f"Landscape of {describe(self.network)}"]
        ended = "no further start to try" if self.complete else "budget of `starts` spent"
        lines.append(f"  {len(self.minima)} minima, {len(self.saddles)} saddles from {self.tries} descents ({ended})")
        if self.single:
            lines.append(f"  proved: one resting state only (J_c √Δ exceeds the coupling by {self.margin:.4g})")
        if self.reason is not None:
            lines.append(f"  no Ψ: {self.reason}; stable fixed points and {len(self.others)} others")
        else:
            if self.scaling is not None:
                d = np.array2string(np.asarray(self.scaling), precision=4, threshold=8, edgeitems=3)
                lines.append(f"  Ψ of the scaled weights d_i W_ij = d_j W_ji, d = {d}")
            lines.append(f"  Morse index equals unstable eigenvalues at {self.agreeing} of {self.checked} points")
            late = ["of the synapses"] * bool(self.network.slow_names) + ["of the coupling"] * self.network.coupling.delayed
            if late:
                proved, count = int(self.proved_stable().sum()), len(self.minima)
                sort = " and ".join(late)
                lines.append(f"  proved for {proved} of {count} minima: no delay {sort} up to theirs makes them oscillate")
            g = self.network.riccati().g
            if g is not None and np.any(np.asarray(g) > 0):
                lines.append("  gap junctions pump energy in: a minimum can be unstable and oscillate (see `minima.stable`)")
        for k in range(min(5, len(self.minima))):
            rates = np.array2string(np.asarray(self.minima.r[k]), precision=4, threshold=8, edgeitems=3)
            lines.append(
                f"  minimum {k}: Ψ = {self.minima.energy[k]:.6g}, barrier {self.minima.barrier[k]:.6g}, r = {rates}"
            )
        if len(self.minima) > 5:
            lines.append("  …")
        if self.cycles is None:
            lines.append("  resting states only; limit cycles are looked for with `cycles=n`")
        else:
            lines += ["  " + line for line in repr(self.cycles).split("\n")]
        return "\n".join(lines)


def network_landscape(
    network: Network,
    I: Real = 0.0,
    *,
    starts: int = 4096,
    saddles: int = 256,
    cycles: int = 0,
    key: Key | None = None,
    report: Callable[[int, int], None] = lambda tries, found: None,
) -> NetworkLandscape:
    """See `energy_landscape`; for a network without slow terms other than synapses."""
    require_landscape(network.undelayed())
    rule = "be 0 for networks with delays (`find_hopf` finds where their rhythms begin)"
    require("cycles", cycles, rule, not cycles or not network.coupling.delayed)
    starts, saddles, cycles = as_count("starts", starts), as_count("saddles", saddles, 0), as_count("cycles", cycles, 0)
    key = jax.random.key(0) if key is None else as_key(key)
    tilted, weights = with_input(network.undelayed(), I), symmetry(network)
    current = jnp.broadcast_to(jnp.asarray(I, network.gain.dtype), (network.size,))
    if weights.reason is not None:
        found = _without_potential(network, tilted, current, weights.reason, starts, report)
    else:
        scaling = None if weights.scaling is None else jnp.asarray(weights.scaling, network.gain.dtype)
        found = _with_potential(network, tilted, current, scaling, starts, saddles, report)
    proof = margin(tilted, scalings(network))
    runs = None
    if cycles:
        low, high = (np.asarray(each) for each in box(tilted))
        runs = find_cycles(tilted, found.minima, cycles, key, (low, high), report)
    x = np.log(np.asarray(tilted.nodes().tau) * np.asarray(found.minima.r))
    held = np.full(len(x), np.nan)
    if found.reason is None:
        late = network.coupling.delayed
        held = delay_margins(network, x, found.scaling) if late else synapse_margins(tilted, x, found.scaling)
    return dataclasses.replace(found, margin=proof, cycles=runs, synapse_margin=held)


def scalings(network: Network) -> list[np.ndarray]:
    """Scalings of the rows under which certificates are tried: none, and that which balances the weights' magnitudes."""
    plain, balanced = np.ones(network.size), symmetry(network).magnitudes
    return [plain] if balanced is None or np.all(balanced == 1) else [plain, balanced]


def _with_potential(
    network: Network,
    tilted: Network,
    current: Values,
    scaling: Values | None,
    starts: int,
    saddles: int,
    report: Callable[[int, int], None],
) -> NetworkLandscape:
    """Minima of Ψ, the passes between them, and how they hang together."""

    def height(x: np.ndarray) -> np.ndarray:
        return in_pieces(heights, tilted, x, scaling=scaling) if len(x) else np.zeros(0)

    fall = lambda x: in_pieces(descend, tilted, x, scaling=scaling)
    found, complete, tries = explore(tilted, fall, height, starts, report)
    passes, links = find_saddles(tilted, found, np.argsort(height(found.points)), saddles, scaling)
    order = _ranked(found.points, height(found.points))
    place = np.empty(len(order) + 1, int)
    place[order], place[-1] = np.arange(len(order)), -1
    by_height = np.argsort(height(passes), kind="stable")
    passes, links = passes[by_height], place[links[by_height]]
    low, high = found.points[order], height(passes)
    energy = height(low)
    barrier = disconnectivity(energy, links, high).barrier
    late = with_input(network, current)
    minima = described_points(late, low, energy, barrier)
    climbed = described_points(late, passes, high, np.full(len(passes), np.nan), index=1)
    known = [np.isfinite(np.asarray(each.eigenvalues)).all(axis=1) for each in (minima, climbed)]
    equal = [np.asarray(each.unstable == each.index)[k] for each, k in zip((minima, climbed), known, strict=True)]
    checked, agreeing = int(sum(k.sum() for k in known)), int(sum(each.sum() for each in equal))
    nothing = minima.select(np.zeros(len(minima), bool))
    return NetworkLandscape(
        network, current, minima, climbed, nothing, jnp.asarray(links), complete, tries, checked, agreeing, None, scaling
    )


def _ranked(x: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """The order by energy; of states equal by symmetry, that in which the first nodes fire most comes first."""
    scale = np.max(np.abs(energy), initial=1e-300)
    keys = [-np.round(x[:, node], 6) for node in reversed(range(x.shape[1]))]
    return np.lexsort([*keys, np.round(energy / scale, 9)])


def described_points(
    network: Network, x: np.ndarray, energy: np.ndarray, barrier: np.ndarray, index: object = 0
) -> FixedPoints:
    """Description of fixed points x (k, n); eigenvalues of as many as are affordable, the first ones."""
    count, size = x.shape
    unknowns, late = len(network.variables) * size, network.coupling.delayed
    affordable = min(count, int(_EIGENVALUE_WORK / (10 * unknowns**3)) if size > 12 else count)
    affordable = min(count, max(1, 4 * affordable, _DELAYED // size)) if late else affordable
    eigenvalues = np.full((count, unknowns), complex(np.nan, np.nan))
    if affordable and late:
        states = [state_at(network.undelayed(), jnp.asarray(each)) for each in x[:affordable]]
        eigenvalues[:affordable] = [leading(linearized_with_delays(network, y)) for y in states]
    elif affordable:
        eigenvalues[:affordable] = in_pieces(_all_eigenvalues, network, x[:affordable])
    dtype = network.gain.dtype
    state = jax.tree.map(jnp.asarray, in_pieces(_all_states, network.undelayed(), x)) if count else _no_states(network)
    indices = jnp.broadcast_to(jnp.asarray(index), (count,))
    complexes = jnp.asarray(eigenvalues, jnp.complex128 if jnp.finfo(dtype).bits == 64 else jnp.complex64)
    return FixedPoints(state, jnp.asarray(energy, dtype), indices, complexes, jnp.asarray(barrier, dtype))


def _no_states(network: Network) -> State:
    return State(**dict.fromkeys(network.variables, jnp.zeros((0, network.size), network.gain.dtype)))


@jitted
def _all_states(network: Network, x: Values) -> State:
    return jax.vmap(lambda x: state_at(network, x))(x)


@jitted
def _all_eigenvalues(network: Network, x: Values) -> Any:
    return jax.vmap(lambda x: eigenvalues_at(network, x))(x)


def _without_potential(
    network: Network, tilted: Network, current: Values, reason: str, starts: int, report: Callable[[int, int], None]
) -> NetworkLandscape:
    """Fixed points and their stability of a network without a landscape."""

    def rank(x: np.ndarray) -> np.ndarray:
        return x.sum(axis=1)

    found, complete, tries = explore(tilted, lambda x: in_pieces(settle, tilted, x), rank, starts, report)
    x = found.points[np.lexsort([-found.points[:, 0]])]
    nothing = np.full(len(x), np.nan)
    every = described_points(with_input(network, current), x, nothing, nothing, index=-1)
    unstable = np.asarray(every.unstable)
    every = eqx.tree_at(lambda each: each.index, every, jnp.asarray(unstable))
    known = np.isfinite(np.asarray(every.eigenvalues)).all(axis=1)
    minima, saddles = (every.select(known & (unstable == k)) for k in (0, 1))
    others = every.select(~known | (unstable > 1))
    links = jnp.zeros((0, 2), int)
    return NetworkLandscape(network, current, minima, saddles, others, links, complete, tries, 0, 0, reason)
