"""Lanes that an accelerator sorts and refines by itself, here on a CPU: results, errors, codes and steps are the host's."""

import dataclasses
import types

import diffrax
import jax
import numpy as np
import pytest
from helpers import rest_slow

import nmmjax as nmm
from nmmjax.ensemble import on_device
from nmmjax.ensemble.computation import _Lanes
from nmmjax.ensemble.engine import Shape
from nmmjax.numerics.threads import pool_of

LANES, BLOCK = 27, 8
FOUR = {"peak": nmm.Peak("r"), "mean": nmm.Mean("r"), "count": nmm.SpikeCount(), "last": nmm.Final()}
CASES = {
    "refined": {},
    "one run": {"estimate": False},
    "several stretches": {"t0": 1.0, "stimulus": nmm.Pulse(3.0, 2.0, 2.5)},
    "samples": {"observe": {"trace": nmm.Samples([1.0, 2.5])}},
    "adaptive": {"solver": diffrax.Tsit5()},
    "gradient": {"observe": {"mean": nmm.Mean("r")}, "gradient": ("eta", "J")},
}


def plan_of(model=None, **changed):
    draw = np.random.default_rng(3)
    ends = {"eta": (-4.0, 6.0), "J": (-8.0, 15.0), "Delta": (0.05, 1.0)}
    over = {name: ("lane", draw.uniform(*each, LANES)) for name, each in ends.items()}
    given = {"over": over, "y0": {"r": 0.1, "v": -1.0}, "t1": 4.0, "observe": FOUR, "rtol": 1e-5}
    return nmm.plan_sweep(nmm.MPR() if model is None else model, **(given | changed))


def both(plan, devices=1, values=None):
    """Results as the host refines them and as a device does, in blocks of equal size."""
    values = plan.values(np.arange(LANES)) if values is None else values
    shape = Shape(BLOCK, 4, 2, tuple(jax.local_devices()[:devices]), steady=not plan.adaptive)
    heard = []
    with pool_of(2) as pool:
        host, _ = _Lanes(plan, values, shape, pool).results(None)
        there, _ = on_device.compute_on_devices(plan, values, shape, pool, heard.append)
    assert sum(heard) == LANES
    return host, there


def assert_alike(host, there, rtol=1e-9, atol=1e-11):
    assert list(host) == list(there)
    for name, each in host.items():
        assert there[name].dtype == each.dtype and there[name].shape == each.shape
        np.testing.assert_allclose(there[name], each, rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize("case", rest_slow(CASES, "refined", "several stretches", "adaptive"))
def test_results_are_those_of_the_host(case):
    host, there = both(plan_of(**CASES[case]))
    assert_alike(host, there)
    assert np.all(there["status"] == 0)


def test_a_tolerance_that_is_not_met_is_said():
    host, there = both(dataclasses.replace(plan_of(rtol=1e-10), max_steps=60))
    assert set(there["status"]) == {0, 1}
    assert_alike(host, there)


@pytest.mark.slow
def test_results_of_several_nodes_are_those_of_the_host():
    model = nmm.Network(nmm.MPR(), 0.5 * (np.ones((3, 3)) - np.eye(3)))
    assert_alike(*both(plan_of(model, over={"node.eta": ("lane", np.linspace(-3.0, 3.0, LANES))}, t1=2.0)))


@pytest.mark.parametrize("t0", [pytest.param(0.0, marks=pytest.mark.slow), 0.5])
def test_in_single_precision(t0):
    with jax.enable_x64(False):
        host, there = both(plan_of(rtol=1e-4, t0=t0, t1=2.0))
        for name in ("peak", "last_r"):
            assert there[name].dtype == np.float32
            np.testing.assert_allclose(there[name], host[name], rtol=2e-4)
        assert np.mean(there["status"] == host["status"]) > 0.9


def test_lanes_that_fail_cost_no_other_and_say_when():
    """Explicit steps so long that some lanes blow up."""
    rates = np.linspace(0.1, 0.6, LANES)
    rates[4] = 300.0
    plan = plan_of(over={"r": ("lane", rates)}, solver=diffrax.Tsit5(), dt0=0.04, estimate=False)
    host, there = both(dataclasses.replace(plan, dt0=None, rtol=1.0))
    assert set(there["status"]) == {0, 2} and there["status"][4] == 2
    assert 0 < there["failure_time"][4] < 0.1
    assert_alike(host, there)


@pytest.mark.parametrize("case", ["refined", "several stretches"])
def test_a_lane_of_nan_fails_alone(case):
    """It can't be asked for, but could come of an overflow."""
    plan = plan_of(**CASES[case])
    values = plan.values(np.arange(LANES))
    values["eta"][4] = np.nan
    for found in both(plan, values=values):
        assert found["status"].tolist() == [2 if k == 4 else 0 for k in range(LANES)]
        assert np.isnan(found["last_r"][4]) and np.isnan(found["peak"][4])


def test_many_lanes_are_cut_into_equal_parts(monkeypatch):
    """The last one is filled up; a lane's company changes its numbers within its tolerance only."""
    monkeypatch.setattr(on_device, "_MOST_BLOCKS", 1)
    host, there = both(plan_of(), devices=2)
    assert np.all(there["status"] == 0)
    np.testing.assert_allclose(there["last_r"], host["last_r"], rtol=1e-4, atol=1e-5)


def test_equal_calls_have_equal_bits():
    plan = plan_of()
    for one, two in zip(both(plan)[1].values(), both(plan)[1].values(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_where_it_is_used():
    elsewhere = Shape(128, 1, 2, (types.SimpleNamespace(platform="gpu"),))
    assert on_device.stays_on_device(plan_of(), elsewhere)
    assert not on_device.stays_on_device(plan_of(dt0=0.01), elsewhere)
    pair = nmm.Network(nmm.MPR(), np.ones((2, 2)))
    assert not on_device.stays_on_device(plan_of(pair, over={"node.eta": [0.0, 1.0]}), elsewhere)
    assert not on_device.stays_on_device(plan_of(), Shape(8, 1, 2, tuple(jax.local_devices())))
