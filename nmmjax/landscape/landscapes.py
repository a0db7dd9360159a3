"""`energy_landscape`, for one population or a network."""

from typing import Any

import jax.numpy as jnp

from .._checks import refuse_unknown, require
from .._nan import nan_is_absent, nan_unless
from .._types import Real
from ..models.base import require_network, require_offer, takes_model
from ..models.mpr import MPR
from ..models.network import Network, is_network
from ..models.state import State, StateLike
from .descent import polish
from .network import NetworkLandscape, network_landscape
from .population import PopulationLandscape, population_landscape
from .potential import state_at, with_input


@nan_is_absent
@takes_model
def energy_landscape(model: MPR | Network, I: Real = 0.0, **options: Any) -> PopulationLandscape | NetworkLandscape:
    """The states at which a population or network can rest, the passes between them, and how high they are.

    One population: V(r) with its one to three fixed points, kinds, eigenvalues, barriers, small oscillations
    (`PopulationLandscape`); differentiable, and `jax.vmap` gives many, about 10⁵ per second. None can be missed: the force
    has at most two folds, and between them it is monotone.

    A network with symmetric weights, or weights that a scaling d > 0 makes symmetric, d_i W_ij = d_j W_ji (row-normalised
    connectomes, gains of senders and receivers): the potential Ψ(r) of the whole, its minima by many descents, index-1
    saddles, barriers and disconnectivity tree (`NetworkLandscape`). For other weights there is no Ψ; fixed points and their
    stability are found all the same, and `reason` names the nodes that prevent it. Ψ lists resting states: symmetric
    networks can have limit cycles as well. Options for networks:

    - `starts`: budget of descents (4096): with n ≤ 12 free nodes all corners of the box that contains every fixed point,
      and beyond that from each minimum with one node flipped, the lowest first
    - `saddles`: budget of guesses for passes (256), of each sort; 0 to find minima only
    - `cycles`: how many runs from random states look for limit cycles (0); those found are in `cycles` of the result, with
      the `key` that draws the states (`jax.random.key(0)`)
    - `report(tries, found)`: called as the search goes on

    `I` is a constant input, a number or one per node, which tilts the landscape. Raises `ValueError` for models with
    slow terms (take `model.frozen(y)`, the landscape of the moment), and wrong options. Source: docs/theory.md §4, §8,
    §D1–§D4, §D7.
    """
    require_offer(model, "riccati")
    rule = "be without slow terms to have a landscape (use `model.frozen(y)`)"
    require("model", model.slow_names, rule, not model.slow_names)
    if is_network(model):
        refuse_unknown(options, ("starts", "saddles", "cycles", "key", "report"), "options for a network,")
        return network_landscape(model, I, **options)
    require("options", sorted(options), "be none for one population", not options)
    population: Any = model
    return population_landscape(population, I)


@nan_is_absent
@takes_model
def find_fixed_point(network: Network, guess: StateLike, I: Real = 0.0) -> State:
    """The fixed point of a network near the state `guess`, by Newton's method on the rates; NaN where it doesn't converge.

    Stable or not, symmetric weights or not. Differentiable with respect to weights, gain, parameters and stimulus (implicit
    function theorem), so that landscapes can be fitted; `guess` is a minimum or saddle of `energy_landscape`, whose search
    itself has no derivatives.
    """
    require_network(network)
    guess = network.state(guess)
    tilted = with_input(network, I)
    x, fine = polish(tilted, jnp.log(tilted.nodes().tau * guess.r))
    return state_at(tilted, nan_unless(fine, x))
