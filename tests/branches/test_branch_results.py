"""Branches at the edge: labelled data, pictures, networks."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from test_branch_curves import ab_cycles, ab_hopf
from test_branches import existing, mpr_branch

import nmmjax as nmm


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_branch_as_dataset():
    branch, n = mpr_branch(), int(mpr_branch().count[0])
    data = branch.to_xarray()
    assert data.sizes["point"] == n and data.eta.attrs["symbol"] == "η" and data.r.attrs["units"] == "1/time"
    np.testing.assert_array_equal(data.r, branch.state.r[0, :n])
    assert data.label.values.tolist() == ["LP", "LP"]
    np.testing.assert_allclose(data.special_eta, [-3.13613409, -5.74352716], atol=1e-8)
    assert data.attrs["J"] == 15.0 and data.attrs["result_0_last"] == "The branch reached the bounds of the parameter."


@pytest.mark.slow
def test_cycles_as_dataset():
    data = ab_cycles().to_xarray()
    assert data.y.dims == ("point", "phase_index", "component") and data.sizes["phase_index"] == 81
    assert np.all(data.y_maximum >= data.y.max("phase_index") - 1e-12)
    assert np.all(data.y_minimum <= data.y.min("phase_index") + 1e-12)
    assert data.label.values.tolist() == ["LPC"] and data.attrs["model.p2"] == 14.0


def test_pictures_show_stability_and_special_points():
    axes = nmm.plot.bifurcation(mpr_branch())
    assert axes.get_xlabel() == "centre of the excitability distribution η (dimensionless)"
    styles = {line.get_linestyle() for line in axes.lines if len(line.get_xdata()) > 1}
    assert styles == {"-", "--"}
    assert sorted(text.get_text() for text in axes.texts) == ["LP", "LP"]
    branch = nmm.continue_branch(nmm.MPR(eta=-5.0, J=15.0, Delta=1.0), "eta", (-8.0, 0.0))
    with pytest.raises(ValueError, match="`variable` must be one of 'r', 'v', but got 'A'"):
        nmm.plot.bifurcation(branch, variable="A")


def test_network_branches_through_pitchforks():
    """The excitability of both nodes at once, "node.eta"; the global gain alike. Two curves of rates drawn."""
    pair = nmm.mutual_inhibition(eta=5.0, J_self=0.0, J_cross=-15.0, Delta=1.0)
    start = {"r": [0.3, 0.3], "v": [-1.0, -1.0]}
    branch = nmm.continue_branch(pair, "node.eta", (-2.0, 20.0), start, crossing=True)
    points = existing(branch.branch_points)
    np.testing.assert_allclose(points.parameter, [1.74095982, 16.87406466], atol=1e-8)
    data = branch.to_xarray()
    assert data.r.dims == ("point", "node") and data.special_r.shape == (4, 2)
    axes = nmm.plot.bifurcation(branch)
    assert sum(text.get_text() == "BP" for text in axes.texts) == 2


@pytest.mark.slow
def test_curve_as_dataset_and_picture():
    curve = nmm.continue_hopf(ab_hopf(), "p2", (0.01, 0.5), (1.0, 30.0))
    data = curve.to_xarray()
    assert data.attrs["kind"] == "HB" and data.label.values.tolist() == ["GH", "BT"]
    axes = nmm.plot.bifurcation_curves(curve)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("p1", "p2")
    assert {text.get_text() for text in axes.texts} == {"GH", "BT"}
