"""Proofs about a network's resting states that need no search (docs/theory.md §C5, §D3, §D4).

Per node, Ψ's curvature without coupling is at least J_c √Δ_i, J_c = (8π/3)(3/4)^¼ = 7.7962, the number of the cusp. So if
diag(J_c √Δ_i) exceeds the symmetric part of the coupling matrix, the forces fall along every direction and vanish at one
state only: for any weights, directed or not, and any η. A positive scaling d may be applied first.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Values
from ..models.network import Network
from .potential import hessian

J_CUSP = float(8 * np.pi / 3 * 0.75**0.25)


def margin(network: Network, scalings: list[np.ndarray]) -> float:
    """The smallest eigenvalue of diag(J_c √Δ_i) − sym(D^½ M D^−½), the largest over the scalings; positive proves that the
    network has a single resting state. NaN with gap junctions, of which it isn't known; heterogeneous couplings only raise
    the curvature."""
    nodes = network.nodes()
    if nodes.gap is not None and np.any(np.asarray(nodes.rate_loss) > 0):
        return float("nan")
    M = np.asarray(network.matrix(), float)
    if nodes.conductance is not None:  # acts on the force as a coupling k E_s; its further part only raises the curvature
        M = M + np.diag(np.asarray(nodes.conductance.k * nodes.effective_reversal * jnp.ones(network.size), float))
    least = np.diag(J_CUSP * np.sqrt(np.asarray(nodes.Delta, float)))
    parts = [np.sqrt(d)[:, None] * M / np.sqrt(d)[None] for d in scalings]
    return max(float(np.linalg.eigvalsh(least - (part + part.T) / 2)[0]) for part in parts)


def proved_stable(network: Network, x: np.ndarray, scalings: list[np.ndarray]) -> np.ndarray:
    """Whether fixed points x = ln R (k, n) are stable by the criterion for directed weights,

        ‖A‖₂² < c²/m · λ_min(S)    with c²/m ≥ min_i(c_i) · min_i(c_i/m_i),

    S and A the symmetric and antisymmetric part of the Hessian −∂f_i/∂R_j, m_i = τ_i²/2R_i its masses and c_i =
    Δ_i τ_i/πR_i² its dampings, all rows scaled by d_i. Sufficient, not necessary; False with gap junctions, heterogeneous
    couplings and conductances.
    """
    nodes = network.nodes()
    if not nodes.riccati().plain:
        return np.zeros(len(x), bool)
    proved = np.zeros(len(x), bool)
    tau, Delta = np.asarray(nodes.tau, float), np.asarray(nodes.Delta, float)
    for k, point in enumerate(x):
        R, H = np.exp(np.asarray(point, float)), np.asarray(_hessian(network, jnp.asarray(point)), float)
        mass, friction = tau**2 / (2 * R), Delta * tau / (np.pi * R**2)
        for d in scalings:
            K = d[:, None] * H
            least = np.linalg.eigvalsh((K + K.T) / 2)[0]
            turning = np.linalg.norm((K - K.T) / 2, 2)
            proved[k] |= bool(turning**2 < np.min(d * friction) * np.min(friction / mass) * least)
    return proved


def synapse_margins(network: Network, x: np.ndarray, scaling: Any) -> np.ndarray:
    """The smallest eigenvalue of diag(d_i c_i) + T d_i M_ij, c_i = Γ_i τ_i/2R_i, at fixed points x = ln R (k, n).

    T = Σ τ_k is the mean delay of a synapse of one or two stages, the same at all nodes. Positive proves that the unstable
    eigenvalues number the Morse index of Ψ, as without synapses: for an eigenvalue iω the imaginary part of y*(…)y is ω Σ
    (c + s T M), 0 ≤ s ≤ 1. Implied by λ_min(M) ≥ −min(c)/T. NaN for networks without synapses, or with others.
    """
    nodes = network.nodes()
    stages = [] if network.filters is None else [np.asarray(each, float) for each in network.filters.stages.values()]
    if not 1 <= len(stages) <= 2 or any(np.ptp(each) > 0 for each in stages):
        return np.full(len(x), np.nan)
    delay = sum(float(each[0]) for each in stages)
    d = np.ones(network.size) if scaling is None else np.asarray(scaling, float)
    M = d[:, None] * np.asarray(network.matrix(), float) * delay
    found = np.full(len(x), np.nan)
    for k, point in enumerate(x):
        R = jnp.exp(jnp.asarray(point))
        c = d * np.asarray(nodes.damping(jnp.sqrt(2 / R)) * nodes.tau / (2 * R), float)
        found[k] = min(float(np.linalg.eigvalsh(np.diag(c) + (M + M.T) / 2)[0]), float(c.min()))
    return found


def delay_margins(network: Network, x: np.ndarray, scaling: Any) -> np.ndarray:
    """The smallest eigenvalue of diag(d_i c_i) − |d_i M_ij| ∘ (D_ij + T) at fixed points x = ln R (k, n), for delays D that
    are equal both ways: positive proves that the unstable characteristic roots number the Morse index of Ψ.

    For a root iω the imaginary part of y*(…)y is ω Σ c |y|² plus a sum whose size is at most ω |y|·(|M|∘D)|y|, as |sin x| ≤
    x; so no root crosses the axis while the delays grow from 0. T is that of synapses of one or two stages, 0 without any
    (`synapse_margins`); own couplings J have it, but no D. With one delay for all pairs ‖M‖₂ may stand for |M|. NaN if
    delays differ both ways, and for other synapses.
    """
    nodes, late = network.nodes(), network.coupling.delays()
    D, G = np.asarray(late, float), np.asarray(network.coupling.dense(), float)
    found = np.full(len(x), np.nan)
    stages: list[Any] = []
    if network.slow_names:
        filters = network.undelayed().filters
        stages = [] if filters is None else [np.asarray(each, float) for each in filters.stages.values()]
        if not 1 <= len(stages) <= 2 or any(np.ptp(each) > 0 for each in stages):
            return found
    uneven = np.abs(np.where(G != 0, D - D.T, 0.0)).max() > 1e-9 * max(D.max(), 1e-300)
    if uneven:
        return found
    T = sum(float(each[0]) for each in stages)
    d = np.ones(network.size) if scaling is None else np.asarray(scaling, float)
    own = np.diag(np.abs(d * np.asarray(nodes.J, float)) * T)
    K = d[:, None] * G
    bound = np.abs(K) * (D + T) + own
    one = float(D.max()) if np.ptp(D) == 0 else None
    for k, point in enumerate(x):
        R = jnp.exp(jnp.asarray(point))
        c = d * np.asarray(nodes.damping(jnp.sqrt(2 / R)) * nodes.tau / (2 * R), float)
        found[k] = np.linalg.eigvalsh(np.diag(c) - (bound + bound.T) / 2)[0]
        if one is not None:
            norm = (one + T) * np.linalg.norm(K, 2)
            found[k] = max(found[k], float(np.linalg.eigvalsh(np.diag(c) - own)[0]) - norm)
        found[k] = min(found[k], float(c.min()))
    return found


@jax.jit
def _hessian(network: Any, x: Values) -> Values:
    return hessian(network, x)
