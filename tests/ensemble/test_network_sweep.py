"""Sweeps over networks: against `simulate`, with per-node results and channels, derivatives, stores, errors at the door."""

import pickle

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import slope
from jax.experimental.sparse import BCOO
from scipy.integrate import simpson

import nmmjax as nmm

WEIGHTS = jnp.asarray([[0.0, 2.0, -1.0], [1.5, 0.0, 0.5], [0.0, -2.0, 0.3]])
GAINS = np.linspace(0.0, 1.5, 4)
SHARED = nmm.MPR(eta=-1.0, J=6.0, Delta=0.4)
UNLIKE = nmm.per_node(SHARED, eta=jnp.asarray([-1.0, 1.0, 0.5]), tau=jnp.asarray([0.8, 1.0, 1.4]))
TERMS = nmm.MPR(eta=1.0, J=4.0, Delta=0.4, gap=nmm.GapJunction(0.2), adaptation=nmm.SynapticDepression(0.05, 4.0))
NETWORKS = {
    "shared": nmm.Network(SHARED, WEIGHTS),
    "unlike": nmm.Network(UNLIKE, WEIGHTS),
    "sparse": nmm.Network(UNLIKE, BCOO.fromdense(WEIGHTS)),
    "terms": nmm.Network(TERMS, WEIGHTS),
}
Y0, T1 = {"r": jnp.asarray([0.3, 0.5, 0.2]), "v": 0.0}, 6.0
PULSE = nmm.Pulse(2.0, 1.03, 2.57)


def planned(network=NETWORKS["unlike"], **arguments):
    given = {"over": {"gain": GAINS}, "y0": Y0, "t1": T1, "observe": {"last": nmm.Final()}} | arguments
    return nmm.plan_sweep(network, **given)


def computed(network=NETWORKS["unlike"], **arguments):
    plan = planned(network, **arguments)
    found = nmm.extend.compute_lanes(plan, np.arange(plan.lanes))
    assert np.all(found["status"] == 0), found["status"]
    return found


@pytest.fixture(scope="module")
def simulated():
    """Runs of `simulate` at tight tolerance for all gains, made once per network and input."""
    made = {}

    def of(name, stimulus=None):
        key = (name, repr(stimulus))
        if key not in made:
            ts = jnp.linspace(0.0, T1, 601)

            def run(gain):
                network = eqx.tree_at(lambda each: each.gain, NETWORKS[name], gain)
                solver = diffrax.Dopri8()
                return nmm.simulate(network, Y0, ts, solver=solver, stimulus=stimulus, rtol=1e-12, atol=1e-13).ys

            made[key] = jax.jit(jax.vmap(run))(jnp.asarray(GAINS))
        return made[key]

    return of


def targeted(network):
    return network.target(PULSE, 1) + nmm.Sinusoid(0.5, 1.3)


@pytest.mark.parametrize(
    ("name", "method", "given", "close"),
    [
        ("unlike", None, {"pulse": True}, 1e-6),
        ("sparse", None, {}, 1e-6),
        ("unlike", diffrax.Tsit5(), {"pulse": True, "rtol": 1e-9}, 1e-7),
        pytest.param("terms", None, {"rtol": 1e-9}, 1e-7, marks=pytest.mark.slow),
        ("sparse", diffrax.Tsit5(), {"dt0": 0.01}, 1e-6),
    ],
)
def test_final_states_are_those_of_simulate(name, method, given, close, simulated):
    network, given = NETWORKS[name], dict(given)
    stimulus = targeted(network) if given.pop("pulse", False) else None
    found = computed(network, solver=method, stimulus=stimulus, **given)
    assert found["last_r"].shape == (4, 3)
    exact = simulated(name, stimulus)
    for variable in exact.names:
        end = np.asarray(getattr(exact, variable))[:, -1]
        np.testing.assert_allclose(found[f"last_{variable}"], end, rtol=close, atol=close)
    if method is None and name != "terms":
        assert np.all(found["error"] <= 1e-6)


def test_splitting_has_order_4_with_time_constants_that_differ(simulated):
    """Also under an input that isn't piecewise constant, at single nodes."""
    stimulus = targeted(NETWORKS["unlike"])
    exact, errors, steps = np.asarray(simulated("unlike", stimulus).r)[:, -1], [], (0.04, 0.02, 0.01)
    for dt0 in steps:
        errors.append(np.max(np.abs(computed(stimulus=stimulus, dt0=dt0)["last_r"] - exact)))
    assert abs(slope(np.log(steps), np.log(errors)) - 4) < 0.2


OBSERVED = {
    "one": nmm.Final("v[2]"),
    "H": nmm.Final("hamiltonian"),
    "peak": nmm.Peak("r[1]"),
    "mean": nmm.Mean("r"),
    "mean_one": nmm.Mean("energy[2]"),
    "input": nmm.Mean("input[1]"),
    "spikes": nmm.SpikeCount("r[1]", prominence=0.1),
    "above": nmm.Custom(lambda p: 0 * p.t, lambda s, p: s + p.weight * jnp.sum(p.y.r)),
}


def test_channels_are_those_of_nodes_and_means_over_nodes(simulated):
    network = NETWORKS["unlike"]
    stimulus = network.target(nmm.Sinusoid(2.0, 1.3), 1)
    found, ys = computed(observe=OBSERVED, stimulus=stimulus), simulated("unlike", stimulus)
    ts = jnp.linspace(0.0, T1, 601)
    current = jax.vmap(stimulus)(ts)

    def energies(function):
        runs = [jax.tree.map(lambda each, k=k: each[k], ys) for k in range(4)]
        changed = [eqx.tree_at(lambda each: each.gain, network, jnp.asarray(gain)) for gain in GAINS]
        return np.stack([function(each, run, current) for each, run in zip(changed, runs, strict=True)])

    def mean(x):
        return simpson(x, x=ts, axis=1) / T1

    r, E = np.asarray(ys.r), energies(nmm.total_energy)
    np.testing.assert_allclose(found["one"], np.asarray(ys.v)[:, -1, 2], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["H"], energies(nmm.hamiltonian)[:, -1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["mean"], mean(r.mean(axis=2)), rtol=1e-5)
    np.testing.assert_allclose(found["mean_one"], mean(E[:, :, 2]), rtol=1e-5)
    np.testing.assert_allclose(found["input"], np.full(4, mean(current[None, :, 1])), rtol=1e-5)
    np.testing.assert_allclose(found["above"], T1 * mean(r.sum(axis=2)), rtol=1e-2)  # second order, not extrapolated
    # The grid misses a peak by O(spacing²), and from below only.
    highest = r[:, :, 1].max(axis=1)
    assert np.all(found["peak"] >= highest * (1 - 1e-6)) and np.all(found["peak"] <= highest * (1 + 2e-3))
    inner = r[:, 1:-1, 1]
    turns = (inner > r[:, :-2, 1]) & (inner >= r[:, 2:, 1])
    np.testing.assert_array_equal(found["spikes"], turns.sum(axis=1))


def test_samples_at_nodes(simulated):
    observe = {"trace": nmm.Samples([0.0, 3.0, 6.0]), "E": nmm.Samples([3.0], "energy[0]")}
    found = computed(NETWORKS["shared"], observe=observe, solver=diffrax.Tsit5(), rtol=1e-9)
    np.testing.assert_allclose(found["trace_r"], np.asarray(simulated("shared").r)[:, [0, 300, 600]], rtol=1e-6)
    assert found["E"].shape == (4, 1)


def test_peak_at_the_start_of_adaptive_steps():
    """The rate only falls; a step as long as the longest, which comes at rest, would lead nowhere from the start."""
    network = nmm.Network(nmm.MPR(eta=-4.6, J=14.5, Delta=0.7), jnp.abs(jax.random.normal(jax.random.key(2), (3, 3))))
    given = {"y0": {"r": 0.1, "v": -2.0}, "t1": 20.0, "observe": {"peak": nmm.Peak("r[1]")}, "solver": diffrax.Tsit5()}
    np.testing.assert_allclose(computed(network, over={"gain": [0.0, 3.0]}, **given)["peak"], 0.1, rtol=1e-12)


@pytest.mark.slow
def test_a_uniform_network_is_a_population():
    """Equal rows, equal starts, Δ = 0: every node runs on the closed orbit of the population with J + G Σ W."""
    alone = nmm.MPR(eta=2.0, J=7.0, Delta=0.0)
    energy = nmm.total_energy(alone, {"r": 0.3, "v": 0.0})
    network = nmm.Network(nmm.MPR(eta=2.0, J=4.0, Delta=0.0), jnp.full((3, 3), 1.0))
    given = {"y0": {"r": 0.3, "v": 0.0}, "t1": 10.0, "observe": {"period": nmm.Period()}}
    found = computed(network, over={"gain": [1.0]}, rtol=1e-7, **given)
    np.testing.assert_allclose(found["period"], nmm.orbit(alone, energy=energy).period, rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), [("unlike", None), ("sparse", diffrax.Tsit5())], ids=["splitting", "Tsit5"])
def test_gradient_by_gain_is_that_of_finite_differences(name, method):
    observe = {"last": nmm.Final("r")} | ({"mean": nmm.Mean("energy")} if method is None else {})
    step = 1e-4
    gains = np.concatenate([GAINS[1:] - step, GAINS[1:], GAINS[1:] + step])
    found = computed(
        NETWORKS[name], over={"gain": gains}, gradient="gain", observe=observe, solver=method, rtol=1e-9, atol=1e-10
    )
    for variable in observe:
        low, _, high = np.split(found[variable], 3)
        derivative = np.split(found[f"d_{variable}_d_gain"], 3)[1]
        np.testing.assert_allclose(derivative, (high - low) / (2 * step), rtol=1e-4, atol=1e-5)


def test_initial_values_parameters_and_targeted_stimuli_are_swept():
    network = NETWORKS["shared"]
    stimulus = network.target(nmm.Constant(2.0), 1)
    over = {"r": ("lane", [0.2, 0.6]), "node.J": ("lane", [3.0, 5.0]), "stimulus.amplitude": ("lane", [1.0, -1.0])}
    found = computed(network, over=over, y0={"r": 0.3, "v": 0.0}, stimulus=stimulus)
    for k, (r, J, amplitude) in enumerate(zip(*(each[1] for each in over.values()), strict=True)):
        other = nmm.Network(nmm.MPR(eta=-1.0, J=J, Delta=0.4), WEIGHTS)
        current = network.target(nmm.Constant(amplitude), 1)
        end = nmm.simulate(other, {"r": r, "v": 0.0}, jnp.asarray([0.0, T1]), stimulus=current, rtol=1e-10, atol=1e-11).y_end
        np.testing.assert_allclose(found["last_r"][k], end.r, rtol=1e-6)


def test_a_failing_node_fails_its_lane_alone():
    """Fixed Runge–Kutta steps that are too long for the strongly coupled lane."""
    plan = planned(NETWORKS["shared"], over={"gain": [0.5, 300.0]}, solver=diffrax.Tsit5(), dt0=0.1)
    found = nmm.extend.compute_lanes(plan, np.arange(2))
    assert found["status"][0] == 0 and found["status"][1] in (2, 3)
    assert np.all(np.isnan(found["last_r"][1])) and np.all(np.isfinite(found["last_r"][0]))
    assert found["failure_time"][1] > 0 or found["status"][1] == 3


@pytest.mark.slow
def test_float32_network(simulated):
    with jax.enable_x64(False):
        network = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), NETWORKS["unlike"])
        y0 = {name: jnp.asarray(value, jnp.float32) for name, value in Y0.items()}
        plan = nmm.plan_sweep(network, over={"gain": GAINS}, y0=y0, t1=T1, observe={"last": nmm.Final()})
        found = nmm.extend.compute_lanes(plan, np.arange(4))
    assert plan.dtype == "float32" and found["last_r"].dtype == np.float32 and np.all(found["status"] == 0)
    np.testing.assert_allclose(found["last_r"], np.asarray(simulated("unlike").r)[:, -1], rtol=1e-3)


def test_dataset_store_and_resume(tmp_path):
    pytest.importorskip("zarr")
    network, path = NETWORKS["unlike"], tmp_path / "gains.zarr"
    observe = {"last": nmm.Final(), "trace": nmm.Samples([2.0, 4.0], "r"), "mean": nmm.Mean("r[0]")}
    given = {"over": {"gain": GAINS}, "y0": Y0, "t1": T1, "observe": observe, "progress": False, "chunk": 2}
    whole = nmm.sweep(network, **given)
    assert whole["last_r"].dims == ("gain", "node") and whole["trace"].dims == ("gain", "trace_time", "node")
    assert whole["mean"].dims == ("gain",) and whole["node"].values.tolist() == [0, 1, 2]
    stored = nmm.sweep(network, store=path, **given)
    assert stored.identical(whole.assign_attrs(stored.attrs))
    (path / ".nmmjax" / "chunks" / "1.json").unlink()
    assert nmm.sweep(network, store=path, **given).equals(whole)
    other = nmm.Network(UNLIKE, WEIGHTS.at[0, 1].add(1e-9))
    with pytest.raises(ValueError, match=r"`store` must be a new path or the store of this same call"):
        nmm.sweep(other, store=path, **given)


def test_a_large_network_is_written_as_digests():
    def config(weights):
        network = nmm.Network(SHARED, weights)
        plan = nmm.plan_sweep(network, over={"gain": GAINS}, y0={"r": 0.1, "v": -2.0}, t1=T1, observe={"last": nmm.Final()})
        again = pickle.loads(pickle.dumps(plan))
        assert again.config == plan.config
        return plan.config

    dense = jax.random.normal(jax.random.key(0), (40, 40))
    for make in (lambda each: each, BCOO.fromdense):
        first, second = config(make(dense)), config(make(dense.at[3, 4].add(1e-12)))
        assert first["model"] != second["model"] and len(str(first)) < 4000
        assert first == config(make(dense))


REFUSED = {
    "node": ({"observe": {"x": nmm.Peak("r[3]")}}, r"`channel` must name a node from 0 to 2, but got 'r\[3\]'"),
    "negative": ({"observe": {"x": nmm.Final("v[-1]")}}, r"`channel` must name a node from 0 to 2"),
    "channel": ({"observe": {"x": nmm.Mean("A[0]")}}, r"`A` must be one of the channels of Network"),
    "array": ({"over": {"node.eta": GAINS}}, r"`node.eta` must be shared by all nodes to be swept"),
    "weights": ({"over": {"weights": GAINS}}, r"`weights` must be one of the swept names `node.J`, `node.Delta`, `gain`"),
    "bare": ({"over": {"eta": GAINS}}, r"`eta` must be one of the swept names"),
    "dimension": ({"over": {"gain": ("node", GAINS)}}, r"`gain` must use a dimension .* and not `node`"),
    "gradient": ({"gradient": "r"}, r"`r` must be equal at all nodes to differentiate by it"),
    "noise": ({"noise": -0.1, "key": jax.random.key(0)}, r"`intensity` must be ≥ 0 and finite"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_errors_at_the_door(arguments, message, unchecked):
    with pytest.raises(ValueError, match=message):
        planned(**arguments)


def test_a_population_has_no_nodes(unchecked):
    with pytest.raises(ValueError, match=r"`channel` must be without a node: MPR has none, but got 'r\[0\]'"):
        nmm.plan_sweep(nmm.MPR(), over={"eta": GAINS}, y0={"r": 0.1, "v": 0.0}, t1=1.0, observe={"x": nmm.Peak("r[0]")})
