"""The Virtual Brain's own run of ten regions with delays (`tvb.npz`, written by `benchmarks/brains/tvb_oracle.py`)."""

from pathlib import Path

import numpy as np
import pytest

import nmmjax as nmm


@pytest.fixture(scope="module")
def runs():
    """(the file, our states at its times)."""
    found = np.load(Path(__file__).parent / "tvb.npz")
    node = nmm.MPR(eta=float(found["eta"]), J=float(found["J"]), Delta=float(found["Delta"]))
    network = nmm.Network(node, found["W"], gain=float(found["gain"]), delay=found["delays"])
    ts = np.concatenate([[0.0], found["ts"]])
    run = nmm.simulate(network, {"r": found["r"], "v": found["v"]}, ts, solver=nmm.MobiusSplitting(4), dt0=1 / 128)
    return found, np.stack([run.ys.r, run.ys.v], axis=1)[1:]


def test_tvbs_difference_falls_with_its_step(runs):
    """TVB's Heun takes the coupling once a step: first order, and below 1e-3 at its finest steps."""
    found, ours = runs
    away = [np.abs(found[f"run_{steps}"] - ours).max() for steps in found["steps"]]
    assert away[-1] < 3e-4
    order = np.log2(np.array(away[:-1]) / away[1:])
    np.testing.assert_allclose(order[-1], 1.0, atol=0.1)
    assert (order > 0.9).all()


def test_tvbs_limit_of_small_steps_is_ours(runs):
    found, ours = runs
    coarse, middle, fine = (found[f"run_{steps}"] for steps in found["steps"][-3:])
    assert np.abs((8 * fine - 6 * middle + coarse) / 3 - ours).max() < 1.5e-5
