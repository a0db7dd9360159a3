"""Pictures of sweeps: grids, lines, samples, the status, and what can't be drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from helpers_sweep import FakePlan, run_plan

from nmmjax import plot


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_picture_of_a_grid_shows_failed_lanes_apart():
    data = run_plan(FakePlan(failing=7), progress=False)
    axes = plot.sweep(data)
    assert axes.get_xlabel() == "parameter eta (dimensionless)"
    assert axes.get_ylabel() == "parameter J (dimensionless)"
    (image,) = axes.collections
    np.testing.assert_array_equal(np.ma.getmaskarray(image.get_array()), (data["status"] != 0).T)
    assert axes.patch.get_hatch()  # shows through where the image is masked
    data["peak"][2, 3] = np.nan
    image, white = plot.sweep(data).collections
    assert (~np.ma.getmaskarray(white.get_array())).sum() == 1
    assert axes.figure.axes[-1].get_ylabel() == "largest r (1/time)"


def test_picture_of_a_line_and_of_samples():
    line = run_plan(FakePlan(dims={"eta": 21}, failing=5), progress=False)
    axes = plot.sweep(line, "peak")
    assert axes.get_ylabel() == "largest r (1/time)"
    np.testing.assert_allclose(axes.lines[0].get_ydata(), line["peak"])
    samples = run_plan(FakePlan(dims={"sample": 50}, failing=5), progress=False)
    axes = plot.sweep(samples, "peak")
    assert len(axes.collections[0].get_offsets()) == 40
    assert axes.get_xlabel().startswith("parameter eta")
    assert axes.get_ylabel().startswith("parameter J")


def test_picture_of_unsorted_single_and_logarithmic_values():
    data = run_plan(FakePlan(), progress=False)
    shown = plot.sweep(data.isel(eta=[2, 0, 1])).collections[0].get_array()
    np.testing.assert_array_equal(shown, plot.sweep(data.isel(eta=[0, 1, 2])).collections[0].get_array())
    assert plot.sweep(data.isel(eta=[0])) is not None
    axes = plot.sweep(data.assign_coords(eta=10.0 ** np.arange(6)))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    line = run_plan(FakePlan(dims={"eta": 5}), progress=False)
    assert plot.sweep(line.assign_coords(eta=2.0 ** np.arange(5))).get_xscale() == "log"


def test_picture_of_the_status_and_of_what_cannot_be_drawn():
    data = run_plan(FakePlan(failing=7), progress=False)
    assert plot.sweep(data, "status") is not None
    with pytest.raises(ValueError, match=r"`variable` must be one of the variables peak, trace, .*, but got 'nothing'"):
        plot.sweep(data, "nothing")
    with pytest.raises(ValueError, match=r"`variable` must have no dimensions beyond the sweep's .*isel"):
        plot.sweep(data, "trace")
    cube = run_plan(FakePlan(dims={"a": 3, "b": 4, "c": 5}), progress=False)
    with pytest.raises(ValueError, match=r"`dataset` must be a sweep over one or two dimensions \(choose by `isel`\)"):
        plot.sweep(cube)
    assert plot.sweep(cube.isel(c=0)) is not None
    with pytest.raises(ValueError, match="`dataset` must be the result of a sweep"):
        plot.sweep(xr.Dataset())
