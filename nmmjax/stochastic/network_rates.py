"""Escape from a stable state of a network with symmetric weights, over each pass beside it."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._results import Shown
from .._types import Real, Scalar, Values
from ..equilibria.points import FixedPoints
from ..landscape.landscapes import energy_landscape
from ..landscape.network import NetworkLandscape
from ..landscape.potential import with_input
from ..models.network import Network
from ..models.noise import NoiseLike, WhiteNoise, as_noise, white_intensity
from ..models.state import State
from .network_action import inputs_along, least_action, log_prefactor, uphill

_LARGEST = 8  # nodes: the path is one dense least-squares problem


class NetworkEscape(eqx.Module, Shown):
    """Rates at which weak white noise carries a network out of a stable state, by pass; `float(found)` is the total.

    - `rate`: per unit of time, the sum of `rates` (s,), one per pass; `destinations` (s,): the minimum beyond each
    - `action` (s,): min ∫Σ I_i² d(t/τ_i)/4D_i, the exponents, to the accuracy of the path; `prefactor` (s,): what multiplies
      e^(−action), approximate
    - `passes`: the saddles; `paths`: per pass (ts, states, inputs) of the most probable path, arrays (m,) and (m, n)
    - `regular` (s,): whether λ₊, the rate at which the pass is left, is below every other rate there. If False, a coupled
      network's path comes to the pass along another direction, at which the WKB factor is not smooth: less certain
    """

    rate: Scalar
    rates: Values
    action: Values
    prefactor: Values
    destinations: Any
    regular: Any
    passes: FixedPoints
    paths: tuple[tuple[Values, State, Values], ...]

    def __float__(self) -> float:
        return float(self.rate)

    def __repr__(self) -> str:
        lines = [f"NetworkEscape {float(self.rate):.5g} per unit of time over {self.action.size} pass(es)"]
        for k in range(self.action.size):
            note = "" if self.regular[k] else ", prefactor uncertain"
            lines.append(
                f"  to minimum {int(self.destinations[k])}: action {float(self.action[k]):.5g}, "
                f"prefactor {float(self.prefactor[k]):.3g}{note}, rate {float(self.rates[k]):.4g}"
            )
        return "\n".join(lines)


def network_escape(
    network: Network, noise: NoiseLike, start: State, I: Real, landscape: NetworkLandscape | None
) -> NetworkEscape:
    """See `escape_rate`; for a network."""
    require("network", network.size, f"have at most {_LARGEST} nodes", network.size <= _LARGEST)
    D = white_intensity(noise, (network.size,)).astype(network.gain.dtype)
    noise = as_noise(noise)
    shared = network.size > 1 and isinstance(noise, WhiteNoise) and noise.shared
    require("noise", noise, "be independent from node to node: a shared one can't follow every path", not shared)
    plain = network.riccati().plain and not network.slow_names
    require("model", type(network).__name__, "be without gap junctions, conductances and slow terms", plain)
    require("Delta", network.nodes().Delta, "be > 0", bool(jnp.all(network.nodes().Delta > 0)))
    tilted = with_input(network, I)
    known = energy_landscape(tilted) if landscape is None else landscape
    rule = "be a network's, from `energy_landscape`"
    require("landscape", type(known).__name__, rule, isinstance(known, NetworkLandscape))
    assert isinstance(known, NetworkLandscape)
    landscape = known
    require("model", "asymmetric weights", f"have a landscape, but {landscape.reason}", landscape.reason is None)
    far = np.linalg.norm(np.log(np.asarray(landscape.minima.r)) - np.log(np.asarray(start.r)), axis=1)
    require("start", start.r, "be a minimum of the network's landscape", far.size > 0 and float(np.min(far)) < 1e-3)
    own, links = int(np.argmin(far)), np.asarray(landscape.links)
    beside = np.flatnonzero((links == own).any(axis=1) & (links >= 0).all(axis=1))
    require("start", start.r, "have a pass beside it; none was found", beside.size > 0)
    start = landscape.minima[own]
    slowest = -float(jnp.max(jnp.real(landscape.minima.eigenvalues[own])))
    found = []
    for k in beside:
        guess = uphill(tilted, landscape.saddles[int(k)], start, slowest)
        if guess is None:
            continue
        h = jnp.asarray(guess[1], D.dtype)
        path, action = least_action(tilted, D, *guess)
        log_factor, _ = log_prefactor(tilted, D, path, h)
        v, inputs = inputs_along(tilted, path, h)
        ts = jnp.arange(path.shape[0], dtype=D.dtype) * h
        states = State(r=jnp.exp(path) / tilted.nodes().tau[None], v=v)
        rates = np.sort(np.asarray(jnp.real(landscape.saddles.eigenvalues[int(k)])))[::-1]
        regular = bool(rates[0] < -rates[1])
        other = int(links[k][0] if links[k][1] == own else links[k][1])
        found.append((int(k), other, regular, float(action), float(jnp.exp(log_factor)), (ts, states, inputs)))
    require("start", start.r, "be reached by the way down from a pass; none was", len(found) > 0)
    places, others, regular, actions, factors, paths = zip(*found, strict=True)
    number = lambda value: jnp.asarray(np.asarray(value), D.dtype)
    rates = number(np.asarray(factors) * np.exp(-np.asarray(actions)))
    return NetworkEscape(
        rate=jnp.sum(rates),
        rates=rates,
        action=number(actions),
        prefactor=number(factors),
        destinations=np.asarray(others),
        regular=np.asarray(regular),
        passes=landscape.saddles.select(np.asarray(places)),
        paths=paths,
    )
