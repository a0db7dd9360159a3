"""Every model × every public function works, or refuses in one sentence; and what holds for every mechanical model."""

from operator import attrgetter

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from contract import (
    CALLS,
    MODELS,
    PULSE,
    TABLE,
    TS,
    WITHOUT_MODEL,
    call,
    case,
    is_quick,
    one_sentence,
    public_functions,
    words,
)
from helpers import central_difference, rest_slow

import nmmjax as nmm

PAIRS = [
    pytest.param(name, model, id=f"{name} × {model}", marks=() if is_quick(name, model) else pytest.mark.slow)
    for model in MODELS
    for name in CALLS
]


def test_the_table_has_every_pair():
    assert list(TABLE) == list(CALLS)
    assert all(list(row) == list(MODELS) for row in TABLE.values())
    assert {sign for row in TABLE.values() for sign in row.values()} <= {"+", "-", "?"}


def test_every_public_function_is_called():
    """A public function that takes a model, or anything made of one, is in `CALLS`, every target and observable too."""
    called = {name.split(",")[0].split()[0] for name in CALLS}
    assert public_functions() - called - WITHOUT_MODEL == set()
    assert public_functions() >= WITHOUT_MODEL
    kinds = [nmm.extend.AbstractTarget, nmm.extend.AbstractObservable]
    exported = {name for name, value in vars(nmm).items() if isinstance(value, type) and value not in kinds}
    targets = {name for name in exported if issubclass(getattr(nmm, name), tuple(kinds))}
    assert targets - set().union(*(words(name) for name in CALLS)) == set()


def test_a_term_of_ones_own_opens_the_library():
    """A synapse written outside, in 25 lines: all that a population with slow variables can do, and nothing by its name."""
    opened = [
        "simulate", "simulate with noise", "Network", "total_energy", "energy_balance", "find_spikes", "find_bursts",
        "sweep Peak", "sweep Mean energy", "check_gradient", "fit TrajectoryTarget", "continue_branch", "basin_map",
        "minimal_pulse", "plot.trajectory", "plot.energy", "plot.phase_plane", "plot.bifurcation", "plot.fit",
    ]  # fmt: skip
    assert [name for name in opened if TABLE[name]["synapse"] != "+"] == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "model"), PAIRS)
def test_it_works_or_refuses_in_one_sentence(name, model, unchecked):
    try:
        call(name, model)
        sign = "+"
    except ValueError as error:
        assert one_sentence(error), str(error)
        sign = "-"
    assert TABLE[name][model] in (sign, "?")


REFUSALS = {
    "Argument `model` must be an `MPR`, but got FitzHughNagumo(a=0.7).": True,
    "Argument `model` must be an `MPR`, but got FitzHughNagumo(a=0.7)": False,
    "'FitzHughNagumo' object has no attribute 'eta'": False,
    "Argument `model` must be an `MPR`,\nbut got FitzHughNagumo(a=0.7).": False,
    "Argument model must be an `MPR`, but got FitzHughNagumo(a=0.7).": False,
}


@pytest.mark.parametrize("text", REFUSALS)
def test_what_one_sentence_is(text):
    assert one_sentence(ValueError(text)) == REFUSALS[text]
    assert not one_sentence(TypeError(text)) and not one_sentence(UnicodeError(text))


MECHANICAL = [name for name in MODELS if "potential" in case(name).model.offers]
ZERO = jnp.zeros(())
RIGID = {"rtol": 1e-10, "atol": 1e-12}


def start_of(name):
    """A state away from rest, with its slow variables away from theirs."""
    found = case(name)
    return jax.tree.map(lambda each: 1.1 * each + 0.02, found.model.state(found.y0))


def flat(function, like):
    """A function of a state as one of a vector, and the vector."""
    x, back = jax.flatten_util.ravel_pytree(like)
    return lambda x: jax.flatten_util.ravel_pytree(function(back(x)))[0], x


@pytest.mark.parametrize("name", rest_slow(MECHANICAL, "plain", "synapse", "own"))
def test_the_field_is_that_of_potential_and_damping(name):
    """q̈ + Γ q̇ + U′ + I q = 0 at frozen slow variables, rebuilt from the two scalars; and the maps to (q, q̇) and back."""
    model, y, I = case(name).model, start_of(name), 0.3
    fast = model.frozen(y)
    own = nmm.State(**{each: getattr(y, each) for each in fast.variables})
    flow, whole = fast.vector_field(ZERO, own, I), model.vector_field(ZERO, y, I)
    for each in own.names:
        np.testing.assert_allclose(getattr(flow, each), getattr(whole, each), rtol=1e-12)
    tau = fast.time_constant
    flow = jax.tree.map(lambda each: each * tau, flow)
    (q, velocity), (rate, acceleration) = jax.jvp(fast.position, (own,), (flow,))
    slope = jax.grad(lambda q: jnp.sum(fast.potential(q)))(q)
    np.testing.assert_allclose(rate, velocity, rtol=1e-11)
    np.testing.assert_allclose(acceleration, -fast.damping(q) * velocity - slope - I * q, rtol=1e-10)
    back = fast.at(q, velocity)
    for each in back.names:
        np.testing.assert_allclose(getattr(back, each), getattr(own, each), rtol=1e-12)


@pytest.mark.parametrize("name", rest_slow(MECHANICAL, "own"))
def test_the_energy_balances(name):
    found = case(name)
    run = nmm.simulate(found.model, found.y0, TS, stimulus=PULSE, **RIGID)
    assert float(nmm.energy_balance(run).relative) < 1e-8


@pytest.mark.parametrize("name", rest_slow(MODELS, "synapse", "fhn"))
def test_jit_vmap_and_derivatives_agree(name):
    """Of every model's vector field, by the state and by a parameter."""
    found, y = case(name), start_of(name)
    model = found.model
    field, x = flat(lambda y: slopes(model, y), y)
    expected = field(x)
    np.testing.assert_allclose(jax.jit(field)(x), expected, rtol=1e-12)
    many = jnp.stack([x, 1.01 * x])
    np.testing.assert_allclose(jax.vmap(field)(many), jnp.stack([field(each) for each in many]), rtol=1e-12)
    forward, reverse = jax.jacfwd(field)(x), jax.jacrev(field)(x)
    np.testing.assert_allclose(forward, reverse, rtol=1e-11, atol=1e-13)
    steps = [central_difference(lambda each, k=k: field(x.at[k].set(each)), x[k]) for k in range(x.size)]
    np.testing.assert_allclose(forward, jnp.stack(steps, axis=1), rtol=1e-7, atol=1e-9)

    def at(value):
        return flat(lambda y: slopes(with_value(model, found.over, value), y), y)[0](x)

    value = jnp.asarray(found.value(found.over))
    np.testing.assert_allclose(jax.jacfwd(at)(value), central_difference(at, value), rtol=1e-7, atol=1e-9)


def slopes(model, y):
    """dy/dt; with delays, from a past as it is now."""
    past = {"past": model.coupling(model.sent(y))} if "delays" in model.offers else {}
    return model.vector_field(ZERO, y, 0.3, **past)


def with_value(model, name, value):
    """The model with another value of a parameter, at all nodes."""
    where = attrgetter(name)
    return eqx.tree_at(where, model, jnp.broadcast_to(value, where(model).shape))
