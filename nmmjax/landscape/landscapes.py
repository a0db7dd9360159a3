"""`energy_landscape`, for one population or a network."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._blas import with_one_thread
from .._checks import refuse_unknown, require
from .._nan import nan_is_absent, nan_unless
from .._parameter import dtype_of, with_dtype
from .._types import Real, Values, is_concrete
from ..equilibria.newton import fixed_point_near
from ..equilibria.stability import flat_field
from ..equilibria.steady import Equilibria, find_equilibria
from ..models.base import AbstractModel, as_model, require_offer, takes_model
from ..models.mpr import MPR
from ..models.network import Network, is_network
from ..models.state import State, StateLike
from ..numerics.compiling import jitted
from .descent import polish
from .network import NetworkLandscape, network_landscape
from .population import PopulationLandscape, population_landscape
from .potential import sends_filtered_rates, state_at, with_input


@nan_is_absent
@with_one_thread
@takes_model
def energy_landscape(model: MPR | Network, I: Real = 0.0, **options: Any) -> PopulationLandscape | NetworkLandscape:
    """Resting states of a population or network, the passes between them, and their heights.

    One population: V(r) with its one to three fixed points, kinds, eigenvalues, barriers, small oscillations
    (`PopulationLandscape`); differentiable, and `jax.vmap` gives many, about 10⁵ per second. None can be missed: the
    force has at most two folds, and between them it is monotone.

    A network with symmetric weights, or weights that a scaling d > 0 makes symmetric, d_i W_ij = d_j W_ji
    (row-normalised connectomes, gains of senders and receivers): the potential Ψ(r) of the whole, its minima by many
    descents, index-1 saddles, barriers and disconnectivity tree (`NetworkLandscape`). Other weights have no Ψ;
    fixed points and their stability are found all the same, and `reason` names the nodes that prevent it. Ψ lists
    resting states: symmetric networks can have limit cycles as well.

    Synapses of a network's nodes change neither its resting states nor Ψ, but with inhibition a minimum may oscillate:
    `eigenvalues` and `stable` know of them, `synapse_margin` says where it is proved that they do no harm, and the print-out
    how often. So it is with delays: `eigenvalues` are the rightmost characteristic roots then, 2n of them.

    - `model`: an MPR population without slow terms, or a network of them, without slow terms other than synapses
    - `I`: constant input, in units of η, a number or one per node (n,), which tilts the landscape; 0 by default
    - `**options`: for networks, the following
    - `starts`: budget of descents (4096): with n ≤ 12 free nodes all corners of the box that contains every fixed point,
      and beyond that from each minimum with one node flipped, the lowest first
    - `saddles`: budget of guesses for passes (256), of each sort; 0 to find minima only
    - `cycles`: number of runs from random states that look for limit cycles (0); those found are in `cycles` of the
      result, with the `key` that draws the states (`jax.random.key(0)`)
    - `report(tries, found)`: called as the search goes on

    Returns a `PopulationLandscape` or a `NetworkLandscape`. Raises `ValueError` for models with slow terms (take
    `model.frozen(y)`, the landscape of the moment), and wrong options. Source: docs/theory.md §4, §8, §C5, §D1–§D4,
    §D7.
    """
    require_offer(model.undelayed() if isinstance(model, AbstractModel) else model, "riccati")
    rule = "be without slow terms to have a landscape (use `model.frozen(y)`)"
    if is_network(model):
        refuse_unknown(options, ("starts", "saddles", "cycles", "key", "report"), "options for a network,")
        return network_landscape(model, I, **options)
    require("model", model.slow_names, rule, not model.slow_names)
    require("options", sorted(options), "be none for one population", not options)
    population: Any = model
    return population_landscape(population, I)


@nan_is_absent
@with_one_thread
def find_fixed_point(model: AbstractModel, guess: StateLike, I: Real = 0.0) -> State:
    """The fixed point of a model near a guess, stable or not.

    Differentiable with respect to parameters, weights and input (implicit function theorem), so that states can be fitted;
    the search of `energy_landscape` itself has no derivatives. For networks of MPR populations, with synapses or without,
    Newton's method on the rates; for other models Newton's method on the vector field, damped and plain, after following the
    flow towards rest.

    - `model`: any model or network, yours too
    - `guess`: the state from which to start, of shape (), or (n,) for a network, such as a minimum or saddle of
      `energy_landscape`
    - `I`: constant input, in units of η, a number or one per node (n,); 0 by default

    Returns the `State`; NaN if the search does not converge. Raises `ValueError` for models on a clock of their own.
    """
    model = as_model(model).undelayed()  # delays change no resting state
    require("model", type(model).__name__, "run on physical time", not model.own_clock)
    y = model.state(guess)
    known = "riccati" in model.offers
    if is_network(model) and known and (not model.slow_names or sends_filtered_rates(model)):
        return _polished(with_input(model, I), y)
    y = with_dtype(y, dtype_of(model))
    return _fixed_point(model, y, jnp.asarray(I, jax.tree.leaves(y)[0].dtype))


@jitted
def _polished(network: Any, y: State) -> State:
    x, fine = polish(network, jnp.log(network.nodes().tau * y.r))
    return state_at(network, nan_unless(fine, x))


@jitted
def _fixed_point(model: Any, y: State, I: Values) -> State:
    start, back = ravel_pytree(y)
    frozen, held = jax.lax.stop_gradient((model, I))
    still = flat_field(frozen, y, held)
    u = jax.lax.stop_gradient(fixed_point_near(still, start))
    # One more step carries the derivatives.
    slopes = jax.jacfwd(still)(u)
    u = u - jnp.linalg.solve(slopes, flat_field(model, y, I)(u))
    residual, scale = jnp.max(jnp.abs(jax.lax.stop_gradient(still(u)))), 1 + jnp.max(jnp.abs(slopes))
    return back(nan_unless(residual <= jnp.finfo(u.dtype).eps ** 0.5 * scale, u))


def stable_state(model: Any, guess: StateLike | None, highest: bool) -> tuple[State, str]:
    """The fixed point near the guess, or, without one, the stable state of highest or lowest rate; and in words which one.

    Of a network only the lowest, if its nodes have an equation for their states: Newton's method from the states that they
    have alone."""
    if guess is not None:
        return find_fixed_point(model, guess), "the fixed point near the guess"
    if model.size is None:
        found = find_equilibria(model)
        y = _extreme(found, highest)
        word = "the stable state of highest rate" if highest else "the stable state of lowest rate"
        if not is_concrete(found.stable):
            return y, word
        count = int(jnp.sum(found.stable))
        return y, "the only stable state" if count == 1 else f"{word}, of {count}"
    known = not highest and "resting" in model.node.offers and model.reversal is None
    require("guess", guess, "be a state near the fixed point, for a network", known)
    lowest = lambda node: jax.tree.map(lambda each: each[0], find_equilibria(node).state)
    differ = any(each.ndim for each in jax.tree.leaves(model.node))
    alone = jax.vmap(lowest)(model.nodes()) if differ else lowest(model.node)
    return find_fixed_point(model, jax.lax.stop_gradient(alone)), "the fixed point reached from the nodes' lowest ones"


def _extreme(found: Equilibria, highest: bool) -> State:
    """The stable one of the highest or the lowest rate, NaN if none is stable."""
    sign = 1 if highest else -1
    index = jnp.argmax(jnp.where(found.stable, sign * found.state.r, -jnp.inf))
    return jax.tree.map(lambda each: jnp.where(jnp.any(found.stable), each[index], jnp.nan), found.state)
