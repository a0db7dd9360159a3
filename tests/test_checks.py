"""The doors: what is accepted as a node, a count, a key, a state, weights, bounds, an input per node, and the sentence for
what isn't."""

import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from jax.experimental.sparse import BCOO

import nmmjax as nmm
from nmmjax.models.terms import AbstractTerm

POPULATION, Y0, TS = nmm.MPR(), {"r": 0.1, "v": -2.0}, np.arange(5.0)
PULSE = nmm.Pulse(1.0, 0.0, 1.0)
PAIR = nmm.Network(nmm.MPR(eta=5.0, J=0.0), -15.0 * (1 - np.eye(2)), names=("V1", "MT"))


@pytest.mark.parametrize(
    ("node", "gains"),
    [
        (jnp.argmax(jnp.arange(2)), [0, 1]),
        (np.int64(1), [0, 1]),
        (np.asarray(1), [0, 1]),
        (jnp.asarray([0, 1]), [1, 1]),
        ([True, False], [1, 0]),
        (jnp.asarray([False, True]), [0, 1]),
        ("MT", [0, 1]),
        (["MT", 0], [1, 1]),
    ],
    ids=str,
)
def test_a_node_is_a_number_a_name_several_or_a_mask(node, gains):
    np.testing.assert_array_equal(PAIR.target(PULSE, node).gains, gains)


@pytest.mark.parametrize("node", [2, -1, 1.0, True, None, [], "V2", [0, 2], [True], jnp.asarray([[0]])], ids=str)
def test_what_is_no_node_is_refused_in_one_sentence(node, unchecked):
    with pytest.raises(ValueError, match=r"Argument `node` must be (an integer from 0 to 1|a mask of shape \(2,\))"):
        PAIR.target(PULSE, node)


def test_a_traced_node_is_refused_in_one_sentence(unchecked):
    with pytest.raises(ValueError, match="known before tracing"):
        jax.vmap(lambda node: PAIR.target(PULSE, node).gains)(jnp.arange(2))


@pytest.mark.slow
def test_names_of_nodes_are_kept_and_accepted():
    run = nmm.simulate(PAIR, Y0, TS, stimulus=PAIR.target(PULSE, "MT"))
    assert run.to_xarray().node.values.tolist() == ["V1", "MT"]
    axes = nmm.plot.trajectory(run)
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["V1", "MT"]
    with pytest.raises(ValueError, match=r"`channel` must name a node from 0 to 1 or by its name, but got 'r\[V2\]'"):
        nmm.sweep(PAIR, over={"gain": [0.5]}, y0=Y0, t1=1.0, observe={"p": nmm.Peak("r[V2]")}, progress=False)


def test_names_of_nodes_are_in_sweeps_and_stores(tmp_path):
    observe = {"by_name": nmm.Final("r[MT]"), "by_number": nmm.Final("r[1]"), "last": nmm.Final("r")}
    found = nmm.sweep(
        PAIR, over={"gain": [0.5]}, y0=Y0, t1=1.0, observe=observe, progress=False, store=tmp_path / "named.zarr"
    )
    assert float(found.by_name[0]) == float(found.by_number[0]) == float(found["last"].sel(node="MT")[0])
    assert found.node.values.tolist() == ["V1", "MT"]
    found.to_netcdf(tmp_path / "named.nc")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "a"), "`names` must be distinct strings"),
        ((1, 2), "`names` must be distinct strings"),
        (("a",), "`names` must be 2, one per node, or none"),
    ],
    ids=str,
)
def test_names_must_fit_the_nodes(names, message, unchecked):
    with pytest.raises(ValueError, match=message):
        nmm.Network(POPULATION, np.ones((2, 2)), names=names)


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "hold"])
def test_an_input_per_node_is_one_array(interpolation):
    """It equals targeted inputs of one column each, at one time and at an array of times."""
    ts = np.linspace(0.0, 4.0, 9)
    values = np.stack([np.sin(ts), np.cos(2 * ts)], axis=1)
    both = nmm.Sampled(ts, values, interpolation)
    first, second = (PAIR.target(nmm.Sampled(ts, values[:, k], interpolation), k) for k in (0, 1))
    for t in (jnp.asarray(1.3), jnp.linspace(0.0, 4.0, 7)):
        np.testing.assert_allclose(both(t), (first + second)(t), rtol=1e-14, atol=1e-15)
    assert both.nodes == 2 and both(jnp.linspace(0.0, 4.0, 7)).shape == (7, 2)


def test_an_input_per_node_drives_runs_and_sweeps():
    ts = np.linspace(0.0, 4.0, 9)
    both = nmm.Sampled(ts, np.stack([np.sin(ts), 0 * ts], axis=1))
    run = nmm.simulate(PAIR, Y0, TS, stimulus=both)
    alone = nmm.simulate(PAIR, Y0, TS, stimulus=PAIR.target(nmm.Sampled(ts, np.sin(ts)), "V1"))
    np.testing.assert_allclose(run.ys.r, alone.ys.r, rtol=1e-9)
    assert run.input.shape == (5, 2) and run.to_xarray().I.dims == ("t", "node")
    found = nmm.sweep(
        PAIR, over={"gain": [1.0]}, y0=Y0, t1=4.0, observe={"r": nmm.Final("r")}, stimulus=both, progress=False
    )
    np.testing.assert_allclose(found.r, run.ys.r[-1:], rtol=1e-5)
    slope = jax.grad(lambda x: jnp.sum(nmm.Sampled(ts, x)(jnp.asarray(1.25))))(jnp.ones((9, 2)))
    np.testing.assert_allclose(slope[2:4], [[0.5, 0.5], [0.5, 0.5]], rtol=1e-12)


NODES_REFUSED = {
    "population": (
        lambda: nmm.simulate(POPULATION, Y0, TS, stimulus=nmm.Sampled(TS, np.ones((5, 2)))),
        "`stimulus` must be made for one population, without an axis over nodes",
    ),
    "targeted at a population": (
        lambda: nmm.simulate(POPULATION, Y0, TS, stimulus=PAIR.target(PULSE, 0)),
        "`stimulus` must be made for one population",
    ),
    "other number": (
        lambda: nmm.simulate(PAIR, Y0, TS, stimulus=nmm.Sampled(TS, np.ones((5, 3)))),
        "`stimulus` must be made for a network of 2 nodes, but got 'an input for 3 nodes'",
    ),
    "sweep": (
        lambda: nmm.sweep(
            PAIR,
            over={"gain": [1.0]},
            y0=Y0,
            t1=4.0,
            observe={"r": nmm.Final("r")},
            stimulus=nmm.Sampled(TS, np.ones((5, 3))),
        ),
        "`stimulus` must be made for a network of 2 nodes",
    ),
    "sum": (
        lambda: nmm.Sampled(TS, np.ones((5, 3))) + PAIR.target(PULSE, 0),
        "`stimulus` must be made for one number of nodes in all parts of a sum",
    ),
    "targeted": (lambda: PAIR.target(nmm.Sampled(TS, np.ones((5, 2))), 0), "be the same at all nodes to be targeted"),
    "one NaN": (
        lambda: nmm.Sampled(TS, np.where(np.arange(10).reshape(5, 2) == 7, np.nan, 1.0)),
        r"`values` must be finite, without NaN, but got nan at \[3, 1\] of shape \(5, 2\)",
    ),
}


@pytest.mark.parametrize(("make", "message"), NODES_REFUSED.values(), ids=NODES_REFUSED)
def test_inputs_that_do_not_fit_the_nodes(make, message, unchecked):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("count", [np.int64(3), np.uint8(3), np.asarray(3), jnp.asarray(3)], ids=repr)
def test_a_count_is_any_whole_number(count, unchecked):
    assert nmm.PulseTrain(1.0, 0.0, 2.0, 0.5, count) == nmm.PulseTrain(1.0, 0.0, 2.0, 0.5, 3)
    assert nmm.mutual_inhibition(size=count).size == 3
    orbiting = nmm.MPR(eta=2.0, J=5.0, Delta=0.05)
    assert nmm.predict_peaks(orbiting, r0=6.0, count=count).shape == (3,)


@pytest.mark.parametrize("count", [True, 2.0, "3", None, np.asarray([3]), 0], ids=repr)
def test_what_is_no_count_is_refused_in_one_sentence(count, unchecked):
    with pytest.raises(ValueError, match="Argument `count` must be an integer ≥ 1, but got"):
        nmm.PulseTrain(1.0, 0.0, 2.0, 0.5, count)


@pytest.mark.parametrize(
    ("bounds", "eta"),
    [((None, 0.0), 0.0), ((-9, None), 0.0), (np.asarray([-9.0, -1.0]), -1.0), ((None, None), 0.0)],
    ids=str,
)
def test_a_bound_of_none_is_the_declared_one(bounds, eta):
    found = nmm.fit(POPULATION, free=("eta",), target=lambda m: m.eta**2, bounds={"eta": bounds}, starts=1, progress=False)
    np.testing.assert_allclose(found.best.eta, eta, atol=1e-4)


@pytest.mark.parametrize("bounds", [(0.0,), "ab", ("a", 0.0), 3.0], ids=str)
def test_what_are_no_bounds_is_refused(bounds, unchecked):
    with pytest.raises(ValueError, match="Argument `bounds` must give"):
        nmm.fit(POPULATION, free=("eta",), target=lambda m: m.eta**2, bounds={"eta": bounds}, progress=False)


class Record(eqx.Module):
    """The state of a user's model, which has more than r and v."""

    r: jax.Array
    v: jax.Array
    s: jax.Array


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(Y0),
        pd.DataFrame([Y0]).iloc[0],
        Record(jnp.asarray(0.1), jnp.asarray(-2.0), jnp.asarray(0.3)),
        nmm.State(r=0.1, v=-2.0),
    ],
    ids=["series", "row", "record", "state"],
)
def test_a_state_is_any_mapping_or_record_with_r_and_v(y):
    expected = nmm.simulate(POPULATION, Y0, TS)
    np.testing.assert_array_equal(nmm.simulate(POPULATION, y, TS).ys.r, expected.ys.r)
    for function in (nmm.total_energy, nmm.hamiltonian, nmm.kinetic_energy):
        np.testing.assert_array_equal(function(POPULATION, y), function(POPULATION, Y0))


@pytest.mark.parametrize(
    "weights",
    [np.ones((2, 2), bool), np.ones((2, 2), object), np.ones((2, 2), int), [[1, 1], [1, 1]], pd.DataFrame(np.ones((2, 2))),
     BCOO.fromdense(jnp.ones((2, 2), int))],
    ids=["bool", "object", "int", "list", "table", "sparse"],
)  # fmt: skip
def test_weights_are_any_numbers(weights):
    network = nmm.Network(POPULATION, weights)
    assert network.matrix().dtype == jnp.float64
    np.testing.assert_array_equal(network.matrix(), np.ones((2, 2)) + 15.0 * np.eye(2))


def test_one_nan_among_many_weights_is_named(unchecked):
    weights = np.ones((100, 100))
    weights[3, 7] = np.nan
    with pytest.raises(ValueError, match=r"`weights` must be finite, without NaN, but got nan at \[3, 7\] of shape"):
        nmm.Network(POPULATION, weights)
    with pytest.raises(ValueError, match="`weights` must be an array of numbers"):
        nmm.Network(POPULATION, np.asarray([["a", "b"], ["c", "d"]], object))
    with pytest.raises(ValueError, match=r"`eta` must be finite, without NaN, but got nan at \[7\] of shape \(100,\)"):
        nmm.per_node(POPULATION, eta=weights[3])


KEYS = {
    "sample": lambda key: nmm.boltzmann(POPULATION, noise=0.5).sample(key),
    "simulate": lambda key: nmm.simulate(POPULATION, Y0, TS, noise=0.1, key=key),
    "sweep": lambda key: nmm.sweep(
        POPULATION, over={"eta": [-5.0]}, y0=Y0, t1=1.0, observe={"r": nmm.Final("r")}, noise=0.1, key=key, progress=False
    ).to_array(),
    "passage": lambda key: nmm.first_passage(POPULATION, noise=0.1, start=Y0, key=key, lanes=1),
    "drive": lambda key: nmm.stochastic.run_protocol(
        POPULATION, stimulus=PULSE, noise=0.1, t0=0.0, t1=1.0, key=key, lanes=2
    ),
    "fit": lambda key: nmm.fit(POPULATION, free=("eta",), target=lambda m: m.eta**2, key=key, progress=False),
    "ising": lambda key: nmm.results.IsingModel(jnp.zeros(2), jnp.zeros((2, 2)), ("a", "b")).sample(key, 2),
}


@pytest.mark.parametrize("function", KEYS.values(), ids=KEYS)
def test_what_is_no_key_is_refused_in_one_sentence(function, unchecked):
    for key in (0, np.random.default_rng(0), jax.random.split(jax.random.key(0), 3), jnp.zeros(2)):
        with pytest.raises(ValueError, match=r"Argument `key` must be one random key such as `jax\.random\.key\(0\)`"):
            function(key)


def test_a_key_of_the_old_style_is_the_same_key():
    old, new = (nmm.boltzmann(POPULATION, noise=0.5).sample(key) for key in (jax.random.PRNGKey(3), jax.random.key(3)))
    assert old.r == new.r and old.v == new.v


MOVES = {"device_get": jax.device_get, "pickle": lambda result: pickle.loads(pickle.dumps(result))}


@pytest.mark.slow
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_results_print_wherever_they_are(move, unchecked):
    run = nmm.simulate(POPULATION, Y0, TS)
    assert "successful, 5 of 5 times" in str(move(run))
    branch = nmm.continue_branch(POPULATION, "eta", (-8.0, -7.5))
    for result in (nmm.energy_landscape(POPULATION), nmm.boltzmann(POPULATION, noise=0.5), nmm.energy_balance(run), branch):
        assert str(move(result)) == str(result)


class Passed(AbstractTerm):
    """A synapse: J acts on a variable of its own, A, in place of R, through η."""

    @property
    def variables(self):
        return {"A": nmm.extend.Variable("what the synapse passes on", rest=jnp.asarray(0.0))}

    def sent(self, y, R):
        return y.A

    def rates(self, y):
        return {"A": y.r - y.A}

    def steady(self, r):
        return {"A": r}

    def time_constants(self, r):
        return jnp.ones((1,))

    def effective(self, eta, J, y):
        return eta + J * y.A, jnp.zeros_like(J)


def test_what_a_term_sends_is_what_it_passes_on():
    """A term that moves η sends its own variable; adaptation, which moves η whatever the coupling, sends R."""
    y = nmm.State(r=jnp.asarray([0.3, 0.5]), v=jnp.zeros(2), A=jnp.asarray([0.2, 0.7]))
    depressed = nmm.Network(nmm.MPR(adaptation=nmm.SynapticDepression(0.05, 10.0)), jnp.asarray([[2.0, 3.0], [4.0, 5.0]]))
    passing = eqx.tree_at(lambda each: each.node.adaptation, depressed, Passed())
    np.testing.assert_allclose(passing.sent(y), y.A)
    np.testing.assert_allclose(passing.alone(y).eta, -5.0 + (15.0 + jnp.asarray([2.0, 5.0])) * y.A)
    np.testing.assert_allclose(passing.alone(y).J, 0.0)
    flow = passing.vector_field(jnp.asarray(0.0), y)
    W = np.asarray([[17.0, 3.0], [4.0, 20.0]])
    np.testing.assert_allclose(flow.v, -5.0 + W @ np.asarray(y.A) - (np.pi * np.asarray(y.r)) ** 2, rtol=1e-13)
    quick = nmm.SynapticDepression(0.05, 10.0, kernel="exponential")
    np.testing.assert_allclose(nmm.Network(nmm.MPR(adaptation=quick), jnp.ones((2, 2))).sent(y), (1 - y.A) * y.r)
    tired = nmm.SpikeFrequencyAdaptation(0.05, 10.0, kernel="exponential")
    np.testing.assert_allclose(nmm.Network(nmm.MPR(adaptation=tired), jnp.ones((2, 2))).sent(y), y.r)
