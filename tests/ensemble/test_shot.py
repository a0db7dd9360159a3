"""Shot noise in sweeps: what single runs do, the state of every lane's own, and paths that depend on the lane alone."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.extend import compute_lanes

MODEL, Y0 = nmm.MPR(1.0, 2.0, 0.3), {"r": 0.43717, "v": -0.1092}
QUIET = {"key": jax.random.key(0), "progress": False}


@pytest.mark.slow
def test_sweeps_fluctuate_as_single_runs():
    """Mean and variance of the rate of 64 lanes and 64 runs, within five standard errors; the variance falls as 1/N."""
    lanes = nmm.sweep(
        MODEL, over={"noise.size": [1000, 4000], "r": ("lane", np.full(64, Y0["r"]))}, y0=Y0, t0=10.0, t1=40.0, dt0=0.02,
        observe={"mean": nmm.Mean("r"), "variance": nmm.Variance("r")}, noise=nmm.ShotNoise(7), **QUIET,
    )  # fmt: skip
    assert lanes.sizes == {"noise.size": 2, "lane": 64} and np.all(lanes.status == 0)
    assert lanes["noise.size"].attrs["long_name"] == "number of neurons"
    ts = jnp.arange(10.0, 40.0, 0.05)
    keys = jax.random.split(jax.random.key(1), 64)
    runs = jax.vmap(lambda key: nmm.simulate(MODEL, Y0, ts, noise=nmm.ShotNoise(1000), key=key, dt0=0.05).ys.r)(keys)
    for found, single in ((lanes["mean"][0], np.mean(runs, axis=1)), (lanes.variance[0], np.var(runs, axis=1))):
        error = np.sqrt(np.var(np.asarray(found)) / 64 + np.var(single) / 64)
        assert abs(float(found.mean()) - np.mean(single)) < 5 * error
    ratio, spread = np.asarray(lanes.variance.mean("lane")), np.asarray(lanes.variance.std("lane")) / 8
    assert abs(ratio[0] / ratio[1] / 4 - 1) < 5 * np.hypot(*(spread / ratio))
    assert np.unique(lanes["mean"]).size == 128  # every lane has a path of its own


PLACED = {"eta": ("e", [-5.0, -5.0, -5.2]), "r": ("e", [1.03, 0.473, 1.0]), "v": ("e", [-0.154, -0.3365, -0.15])}


def placed(size=100, over=None, **given):
    return {
        "over": {"Delta": [0.1, 0.2], **PLACED} if over is None else over, "y0": {"r": 1.03, "v": -0.154}, "t1": 1.0,
        "dt0": 0.02, "observe": {"last": nmm.Final("r")}, "stimulus": nmm.Pulse(0.5, 0.3, 0.4), "key": jax.random.key(0),
        "noise": nmm.ShotNoise(size, nmm.CauchyNoise(0.8)), **given,
    }  # fmt: skip


@pytest.mark.slow
def test_every_lane_has_the_spectrum_of_its_own_state():
    """Δ + Γ is 1 in the lanes of Δ = 0.2; a lane that starts at a saddle has a code; the same bits in any company."""
    model = nmm.MPR(-5.0, 15.0, 0.3)
    plan = nmm.plan_sweep(model, **placed())
    which = plan.values(np.arange(6))["noise.which"]
    resonators = plan.base.noise.resonators
    np.testing.assert_allclose(resonators.state_rate[which[3:5]], [1.0305967988, 0.4729803407], rtol=1e-8)
    whole = compute_lanes(plan, np.arange(6))
    assert whole["status"].tolist() == [0, 4, 0, 0, 4, 0] and plan.meanings[4].startswith("There is no stable state")
    assert np.array_equal(np.isnan(whole["last"]), whole["status"] == 4)
    for lanes in ([3], [5, 0, 2]):
        np.testing.assert_array_equal(compute_lanes(plan, np.array(lanes))["last"], whole["last"][lanes])
    run = nmm.simulate(
        nmm.MPR(-5.0, 15.0, 0.2), {"r": 1.03, "v": -0.154}, [0.0, 0.02], noise=nmm.ShotNoise(1, nmm.CauchyNoise(0.8)),
        key=jax.random.key(0), dt0=0.02,
    )  # fmt: skip
    np.testing.assert_allclose(resonators.direct[which[3]], run.noise.direct, rtol=1e-6)


def test_states_are_fitted_once():
    """Initial values of one basin, sizes and inputs share a fit, and with `near` all lanes do."""
    over = {"r": [0.43, 0.44, 0.45], "noise.size": [10, 20], "stimulus.amplitude": [0.0, 0.1]}
    given = placed(over=over, y0=Y0, noise=nmm.ShotNoise(1))
    plan = nmm.plan_sweep(MODEL, **given)
    assert plan.base.noise.stable.tolist() == [True] and plan.states[0] == ("r",)
    assert set(plan.values(np.arange(12))) == {*over, "noise.which", "key"}
    near = nmm.plan_sweep(MODEL, **given | {"noise": nmm.ShotNoise(1, near=Y0), "over": {"r": [0.1, 5.0]}})
    assert near.states[0] == () and near.values(np.arange(2))["noise.which"].tolist() == [0, 0]
    assert json.loads(json.dumps(plan.config))["noise"]["size"] == 1 and near.config["noise"]["near"] == Y0


@pytest.mark.parametrize("synapse", [None, pytest.param(nmm.ExponentialSynapse(tau=0.5), marks=pytest.mark.slow)])
def test_of_infinitely_many_neurons_nothing_is_left(synapse):
    model = nmm.MPR(4.0, -10.0, 0.6, synapse=synapse)
    given = {"over": {"r": [0.3, 0.4]}, "y0": {"r": 0.31, "v": -0.3}, "t1": 1.0, "dt0": 0.02, **QUIET}
    given |= {"observe": {"last": nmm.Final("r")}}
    none = nmm.sweep(model, noise=0.0, **given).last
    np.testing.assert_allclose(nmm.sweep(model, noise=nmm.ShotNoise(1e16), **given).last, none, rtol=1e-6)
    assert np.all(np.abs(nmm.sweep(model, noise=nmm.ShotNoise(100), **given).last / none - 1) > 1e-4)


@pytest.mark.slow
def test_a_store_knows_the_noise(tmp_path):
    given = placed(over={"r": ("lane", [1.03, 1.03, 1.03])}, store=tmp_path / "store", chunk=2, progress=False)
    model = nmm.MPR(-5.0, 15.0, 0.2)
    first = nmm.sweep(model, **given)
    np.testing.assert_array_equal(nmm.sweep(model, **given).last, first.last)
    np.testing.assert_array_equal(nmm.sweep(model, **given | {"store": None, "chunk": None}).last, first.last)
    with pytest.raises(ValueError, match=r"was made with noise.size = 100.0, not 101.0"):
        nmm.sweep(model, **given | {"noise": nmm.ShotNoise(101, nmm.CauchyNoise(0.8))})


@pytest.mark.parametrize(
    ("model", "change", "text"),
    [
        (nmm.Network(MODEL, np.zeros((2, 2))), {"over": {"gain": [1.0]}}, "`model` must be one population for shot noise"),
        (MODEL, {"gradient": "eta"}, "`gradient` must be None with shot noise"),
        (MODEL, {"noise": nmm.ShotNoise([1, 2])}, "`size` must be one number in a sweep"),
        (MODEL, {"over": {"noise.size": [1.5]}}, "`noise.size` must be whole numbers ≥ 1"),
        (MODEL, {"over": {"noise.size": [0]}}, "`noise.size` must be ≥ 1"),
        (MODEL, {"over": {"noise": [1.0]}}, "noise"),
        (MODEL, {"key": None}, "`key` must be one random key"),
        (nmm.MPR(gap=nmm.GapJunction(0.1)), {}, "be without gap junctions"),
    ],
)
def test_refusals(model, change, text):
    with pytest.raises(ValueError, match=r"^Argument|^Unknown") as caught:
        nmm.plan_sweep(model, **placed(over={"r": [1.0]}) | {"stimulus": None} | change)
    assert text in str(caught.value) and "\n" not in str(caught.value)
