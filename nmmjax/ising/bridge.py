"""From a network of bistable populations to the Ising model of its recordings, and back.

Node i, seen as high (s_i = 1) or low (−1) beside a threshold, has under a constant input I the exact log-odds

    L_i(I) = ln P(r_i above | I)/P(r_i below | I)          (Boltzmann's law at T_i = πD_i/Δ_i)

If it relaxes within a state much faster than others switch, it flips as a spin with the odds L_i(Σ_j G W_ij R_j(s_j)),
R_j(±) the mean rates of both states. For symmetric weights and equal nodes those odds are an Ising model's:

    h_i = ½ L_i(I_i),    J_ij = ¼ [L_i(I_i + ½ G W_ij ΔR_j) − L_i(I_i − ½ G W_ij ΔR_j)], symmetrised,    I_i = Σ_j G W_ij R̄_j

so J_ij ≈ G W_ij ΔR_j Δ(1/R_i)/4T: the couplings of a recording are those of Ψ, −½ Σ W_ij R_i R_j, over the temperature
T_Ψ ≈ T R⁻R⁺ (R⁻, R⁺ the two rates). Its fields are not Ψ's: how often a state is visited is decided by V and T, not by Ψ.
Source: docs/theory.md §7, §8; derived here.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._nan import nan_is_absent
from .._results import Shown
from .._types import Values
from ..landscape.landscapes import energy_landscape
from ..landscape.network import NetworkLandscape
from ..landscape.population import population_landscape
from ..landscape.potential import network_potential, scaling_of
from ..models.base import require_network, require_one, takes_model
from ..models.mpr import MPR
from ..models.network import Network, per_node
from ..models.noise import white_intensity
from ..numerics.compiling import jitted
from ..stochastic.boltzmann_law import boltzmann
from .model import IsingModel
from .walsh import LARGEST

_ROUNDS, _MEAN_FIELD = 60, 12
_SMOOTH = 0.02  # in ln R


class TwoStates(eqx.Module):
    """Every node as a two-state element, arrays (n,): threshold, mean R of the low and the high state, input, log-odds."""

    threshold: Values
    low: Values
    high: Values
    input: Values
    log_odds: Values


@nan_is_absent
@takes_model
def saddle_rates(network: Network) -> Values:
    """Rates between the two states of every node: its pass under the input of the others at the middle of theirs.

    - `network`: a network of MPR populations, n nodes with two states each

    Returns rates (n,), per unit of time, a threshold for `binarize(rates, threshold=saddle_rates(network))`. Raises
    `ValueError` if a node has one state only. Source: docs/theory.md §7.
    """
    return _two_state_nodes(network, None)[1]


@nan_is_absent
@takes_model
def predict_ising(network: Network, noise: Any) -> IsingModel:
    """The Ising model (h, J) of a network's recordings, from its parameters: no run, no fit.

    It is good if coupling shifts the odds by less than the wells' own barriers, and switching is rare (barriers ≥ 2 T).

    - `network`: a network of MPR populations with symmetric weights, n nodes with two states each
    - `noise`: D > 0, a number or one per node (n,), independent at every node

    Returns an `IsingModel`. Raises `ValueError` for weights that are not symmetric, and nodes with a single state.
    Source: docs/theory.md §7, §8.
    """
    require_network(network)
    D = white_intensity(noise, (network.size,))
    nodes, threshold, _ = _two_state_nodes(network, D)
    h, J, _ = _effective(nodes, D, _off_diagonal(network), threshold)
    known = bool(np.all(np.isfinite(np.asarray(h)))) and bool(np.all(np.isfinite(np.asarray(J))))
    require("noise", noise, "be large enough for every node to visit both of its states", known)
    return IsingModel(h, J)


@nan_is_absent
def network_from_ising(model: IsingModel, population: MPR, noise: Any) -> Network:
    """A network of bistable populations whose recordings have a given Ising model: symmetric weights W, and η_i.

    Newton's method on `predict_ising`: η_i from h_i, W_ij from J_ij. Use it to simulate and stimulate what was recorded.

    - `model`: the `IsingModel`
    - `population`: an MPR population (numbers, not per node) that gives J, Δ, τ and the start of η, and has two states
    - `noise`: D > 0

    Returns a `Network`. Raises `ValueError` if no such network is found: for fields or couplings too strong for this
    population and noise. Source: docs/theory.md §7, §8.
    """
    require("model", type(model).__name__, "be an `IsingModel`", isinstance(model, IsingModel))
    rule = "be an `MPR` without slow terms, gap junctions and conductances"
    require_one(population, "population", offer="riccati")
    require("population", population, rule, population.riccati().plain and not population.slow_names)
    size, dtype = model.size, population.eta.dtype
    D = white_intensity(noise, (size,)).astype(dtype)
    found = population_landscape(population)
    require("population", repr(population), "have two states", bool(np.isfinite(float(found.energy[1]))))
    h, J = model.h.astype(dtype), model.J.astype(dtype)
    upper = np.triu_indices(size, 1)
    nodes = jax.tree.map(lambda each: jnp.broadcast_to(each, (size,)), population)
    threshold = jnp.broadcast_to(found.state.r[1] * population.tau, (size,))

    def unpack(z: Values) -> tuple[MPR, Values]:
        W = jnp.zeros((size, size), dtype).at[upper].set(z[size:])
        return eqx.tree_at(lambda each: each.eta, nodes, z[:size]), W + W.T

    def mismatch(z: Values, threshold: Values) -> Values:
        moved, W = unpack(z)
        h_now, J_now, _ = _effective(moved, D, W, threshold)
        return jnp.concatenate([h_now - h, J_now[upper] - J[upper]])

    _, _, states = _effective(nodes, D, jnp.zeros((size, size), dtype), threshold)
    # ΔL = ΔI Δ(1/R)/T between the two states, about.
    slope = (1 / states.low - 1 / states.high) / (jnp.pi * D / nodes.Delta)
    weight = 4 * J[upper] / (slope * (states.high - states.low))[0]
    _, W = unpack(jnp.concatenate([nodes.eta, weight]))
    eta = nodes.eta + (2 * h - states.log_odds) / slope - W @ (states.high + states.low) / 2
    z = jnp.concatenate([eta, weight])
    step = jitted(lambda z, threshold: (mismatch(z, threshold), jax.jacfwd(mismatch)(z, threshold)))
    network, worst = Network(population, jnp.zeros((size, size), dtype)), float("inf")
    for _ in range(_ROUNDS):
        error, slopes = step(z, threshold)
        worst = float(np.max(np.abs(np.asarray(error))))
        if not np.isfinite(worst):
            break
        move = np.linalg.solve(np.asarray(slopes), np.asarray(error))
        z = z - jnp.asarray(move * min(1.0, 0.5 / max(float(np.max(np.abs(move))), 1e-12)))
        moved, W = unpack(z)
        network = Network(per_node(population, eta=moved.eta), W)
        if worst < 1e-9:
            break
        if worst < 1e-2:  # near enough for every node to have its two states: thresholds where `predict_ising` has them
            threshold = saddle_rates(network) * population.tau
    rule = "have fields and couplings that this population can have at this noise; take more noise or another population"
    require("model", f"a mismatch of {worst:.2g}", rule, worst < 1e-6)
    return network


@jitted
def _effective(nodes: MPR, D: Values, weights: Values, threshold: Values) -> tuple[Values, Values, TwoStates]:
    """(h, J, states) of nodes with per-node parameters, weights G W without diagonal, and thresholds R (n,)."""
    rates = jax.vmap(_rates_beside)

    def mean_field(_, carry: tuple[Values, Values]) -> tuple[Values, Values]:
        return rates(nodes, D, weights @ (carry[0] + carry[1]) / 2, threshold)

    low, high = jax.lax.fori_loop(0, _MEAN_FIELD, mean_field, (threshold / 2, 2 * threshold))
    current = weights @ (low + high) / 2
    shift = weights * (high - low)[None] / 2  # of node i by node j
    inputs = current[:, None] + jnp.concatenate([shift, -shift, jnp.zeros_like(shift[:, :1])], axis=1)
    odds = jax.vmap(jax.vmap(_log_odds, in_axes=(None, None, 0, None)))(nodes, D, inputs, threshold)
    above, below, still = jnp.split(odds, (nodes.eta.size, 2 * nodes.eta.size), axis=1)
    J = (above - below) / 4
    J = (J + J.T) / 2
    return still[:, 0] / 2, J - jnp.diag(jnp.diagonal(J)), TwoStates(threshold, low, high, current, still[:, 0])


def _log_odds(node: MPR, D: Values, current: Values, threshold: Values) -> Values:
    low = boltzmann(node, D, current).cdf(threshold / node.tau)
    return jnp.log1p(-low) - jnp.log(low)


def _rates_beside(node: MPR, D: Values, current: Values, threshold: Values) -> tuple[Values, Values]:
    """Mean R below and above the threshold."""
    law = boltzmann(node, D, current)
    # A step would not be smooth under the quadrature; this one is narrow beside the wells' distance.
    above = jax.nn.sigmoid((law.x - jnp.log(threshold)) / jnp.asarray(_SMOOTH, law.x.dtype)) * law.mass
    below = law.mass - above
    R = jnp.exp(law.x)
    return jnp.sum(below * R) / jnp.sum(below), jnp.sum(above * R) / jnp.sum(above)


def _off_diagonal(network: Network) -> Values:
    W = network.matrix()
    return W - jnp.diag(jnp.diagonal(W))


@jitted
def _resting(nodes: MPR, current: Values) -> Values:
    """Rates r (n, 3) of the low state, the pass and the high state; NaN if absent."""
    return jax.vmap(lambda node, current: population_landscape(node, current).state.r)(nodes, current)


def _two_state_nodes(network: Network, D: Values | None) -> tuple[MPR, Values, Values]:
    """(nodes with their own weight in J, threshold rates R, or r if D is None, mean input) of a symmetric network."""
    require_network(network)
    require("network", network.slow_names, "be without slow terms to have a law of its states", not network.slow_names)
    symmetric = scaling_of(network) is None
    require("weights", "weights that are so only after a scaling of rows", "be symmetric", symmetric)
    nodes = network.nodes()
    nodes = eqx.tree_at(lambda each: each.J, nodes, nodes.J + network.self_weights())
    weights = _off_diagonal(network)
    current = jnp.zeros_like(nodes.eta)
    for _ in range(_ROUNDS):  # the input of the others at the middle of their two rates
        R = np.asarray(_resting(nodes, current) * nodes.tau[:, None])
        middle = np.where(np.isfinite(R[:, 1]), (R[:, 0] + R[:, 2]) / 2, np.nanmean(R, axis=1))
        following = weights @ jnp.asarray(middle)
        moved = float(jnp.max(jnp.abs(following - current)))
        current = (following + current) / 2
        if moved < 1e-10:
            break
    threshold = _resting(nodes, current)[:, 1]
    single = np.flatnonzero(~np.isfinite(np.asarray(threshold)))
    rule = "have nodes with two states each, under the mean input of the others"
    require("network", f"a single state at node {', '.join(map(str, single[:5]))}", rule, single.size == 0)
    return nodes, threshold if D is None else threshold * nodes.tau, current


@dataclasses.dataclass(frozen=True, eq=False)
class LandscapeComparison(Shown):
    """A network's landscape Ψ beside an Ising model of its recordings; made by `compare_landscapes`.

    - `ising`: of the recording; `predicted`: `predict_ising`; `landscape`: Ψ with its minima
    - `patterns` (m, n) of ±1: minima of Ψ by threshold, the lowest Ψ first, each pattern once; `psi` (m,), `energy` (m,):
      Ψ there and the Ising energy of the pattern; `is_minimum` (m,): whether the Ising landscape has a minimum there too
    - `only_ising`: labels of Ising minima at whose pattern Ψ has none
    - `coupling` (p,): G W_ij ΔR_i ΔR_j/4 of all pairs, the couplings of Ψ between states; `J` (p,) of the recording
    - `psi_temperature`: T_Ψ, the slope of `coupling` over `J`; `expected_temperature`: T R⁻R⁺, mean over nodes
    - `psi_correlation`: between Ψ and Ising energies over all patterns; `state_correlation`: between recorded and predicted
      Ising energies over all 2^n states (NaN for n > 20)
    - `barriers`: (pairs, 2): lowest way between two common minima, in Ψ over T_Ψ and in the Ising landscape
    """

    ising: IsingModel
    predicted: IsingModel
    landscape: NetworkLandscape
    patterns: np.ndarray
    psi: np.ndarray
    energy: np.ndarray
    is_minimum: np.ndarray
    only_ising: tuple[str, ...]
    coupling: np.ndarray
    J: np.ndarray
    psi_temperature: float
    expected_temperature: float
    psi_correlation: float
    state_correlation: float
    barriers: np.ndarray

    @property
    def h_error(self) -> float:
        """Root mean square of recorded minus predicted h."""
        return float(np.sqrt(np.mean(np.asarray(self.ising.h - self.predicted.h) ** 2)))

    @property
    def J_error(self) -> float:
        """Root mean square of recorded minus predicted J over pairs."""
        upper = np.triu_indices(self.ising.size, 1)
        return float(np.sqrt(np.mean(np.asarray(self.ising.J - self.predicted.J)[upper] ** 2)))

    def __repr__(self) -> str:
        common = int(self.is_minimum.sum())
        lines = [
            f"Ψ of {self.ising.size} nodes and the Ising landscape of a recording:",
            f"  minima: {self.psi.size} patterns of Ψ, {common} of them minima of the recording too, "
            f"{len(self.only_ising)} of the recording alone",
            f"  couplings: T_Ψ = {self.psi_temperature:.4g} from their ratio, T R⁻R⁺ = {self.expected_temperature:.4g}",
            f"  recorded minus predicted: h {self.h_error:.3g}, J {self.J_error:.3g} (root mean squares)",
            f"  correlation of recorded energies with predicted ones over all states: {self.state_correlation:.3f}, "
            f"with Ψ over its patterns: {self.psi_correlation:.3f}",
        ]
        return "\n".join(lines)


@nan_is_absent
@takes_model
def compare_landscapes(network: Network, noise: Any, ising: IsingModel) -> LandscapeComparison:
    """Comparison of a network's landscape Ψ with the Ising landscape of its recordings, and the temperature between them.

    - `network`: a network of MPR populations with symmetric weights, n nodes with two states each
    - `noise`: D > 0, a number or one per node (n,), as in `predict_ising`
    - `ising`: a model fitted to a recording (or simulation) of the network's rates, two-valued at
      `saddle_rates(network)`, in the network's order

    Returns a `LandscapeComparison`. Couplings should agree, over T_Ψ; fields follow V and T, and not Ψ; a
    weakly coupled network has many minima of Ψ that single flips leave downhill in the Ising landscape. Raises
    `ValueError` for other sizes, weights that are not symmetric, and nodes with a single state. Source: docs/theory.md
    §7–§9.
    """
    require("ising", type(ising).__name__, "be an `IsingModel`", isinstance(ising, IsingModel))
    require_network(network)
    require(
        "ising",
        f"{ising.size}",
        f"have as many regions as the network has nodes, {network.size}",
        ising.size == network.size,
    )
    require_network(network)
    D = white_intensity(noise, (network.size,))
    nodes, threshold, _ = _two_state_nodes(network, D)
    _, _, states = _effective(nodes, D, _off_diagonal(network), threshold)
    predicted = predict_ising(network, noise)
    landscape = energy_landscape(network)
    assert isinstance(landscape, NetworkLandscape)
    rates = np.asarray(landscape.minima.r) * np.broadcast_to(np.asarray(network.tau), (network.size,))
    spins = np.where(rates > np.asarray(threshold), 1, -1)
    patterns, first = np.unique(spins, axis=0, return_index=True)
    order = np.argsort(np.asarray(landscape.minima.energy)[first], kind="stable")
    patterns, first = patterns[order], first[order]
    psi = np.asarray(network_potential(network, landscape.minima.r[first]))
    energy = np.asarray(ising.energy(patterns))
    recorded = ising.landscape()
    minima = {label: k for k, label in enumerate(recorded.labels)}
    labels = ["".join("1" if s > 0 else "0" for s in row) for row in patterns]
    is_minimum = np.array([label in minima for label in labels])
    upper = np.triu_indices(network.size, 1)
    jump = np.asarray(states.high - states.low)
    coupling = (np.asarray(_off_diagonal(network)) * np.outer(jump, jump) / 4)[upper]
    J = np.asarray(ising.J)[upper]
    ratio = float(coupling @ J / (J @ J)) if np.any(J) else float("nan")
    T = np.asarray(jnp.pi * D / nodes.Delta)
    expected = float(np.mean(T * np.asarray(states.low * states.high)))
    correlation = _correlation(psi, energy)
    states_known = ising.size <= LARGEST
    all_states = [np.asarray(each.energies()) for each in (ising, predicted)] if states_known else []
    barriers = _barriers(landscape, first, labels, recorded, minima, ratio)
    return LandscapeComparison(
        ising=ising,
        predicted=predicted,
        landscape=landscape,
        patterns=patterns,
        psi=psi,
        energy=energy,
        is_minimum=is_minimum,
        only_ising=tuple(label for label in recorded.labels if label not in set(labels)),
        coupling=coupling,
        J=J,
        psi_temperature=ratio,
        expected_temperature=expected,
        psi_correlation=correlation,
        state_correlation=_correlation(*all_states) if states_known else float("nan"),
        barriers=barriers,
    )


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    varied = a.size > 2 and np.ptp(a) > 0 and np.ptp(b) > 0
    return float(np.corrcoef(a, b)[0, 1]) if varied else float("nan")


def _barriers(
    landscape: NetworkLandscape, first: np.ndarray, labels: list[str], recorded: Any, minima: Any, T: float
) -> np.ndarray:
    """(pairs, 2) barriers from the lower of two minima that both landscapes have, by Ψ over T and by the Ising energies."""
    tree = landscape.tree
    of_leaf: dict[int, set[int]] = {k: {k} for k in range(tree.energy.size)}
    height: dict[tuple[int, int], float] = {}
    for m, (pair, level) in enumerate(zip(tree.children, tree.heights, strict=True)):
        left, right = (of_leaf.pop(int(child)) for child in pair)
        height |= {(min(a, b), max(a, b)): float(level) for a in left for b in right}
        of_leaf[tree.energy.size + m] = left | right
    found = []
    common = [k for k, label in enumerate(labels) if label in minima]
    for i, a in enumerate(common):
        for b in common[i + 1 :]:
            level = height.get((min(first[a], first[b]), max(first[a], first[b])))
            if level is None:
                continue
            base = max(float(tree.energy[first[a]]), float(tree.energy[first[b]]))
            p, q = minima[labels[a]], minima[labels[b]]
            found.append(((level - base) / T, float(recorded.saddle[p, q] - max(recorded.energy[p], recorded.energy[q]))))
    return np.asarray(found).reshape(-1, 2)
