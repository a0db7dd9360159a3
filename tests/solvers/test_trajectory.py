"""Runs as labelled data, whatever became of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm


@pytest.fixture(scope="module")
def run():
    pulse = nmm.Pulse(amplitude=3.0, start=1.0, stop=2.0)
    model = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, tau=1.5)
    return nmm.simulate(model, {"r": 0.08, "v": -1.96}, jnp.linspace(0.0, 5.0, 101), stimulus=pulse)


def test_dataset_is_labelled_and_survives_a_file(run, tmp_path):
    import xarray as xr

    data = run.to_xarray()
    assert data["r"].attrs["units"] == "1/time"
    assert {"r", "v", "I", "total_energy", "hamiltonian"} <= set(data)
    assert data.attrs["tau"] == 1.5
    assert data.attrs["version_jax"] == jax.__version__
    np.testing.assert_array_equal(data["r"].sel(t=0.0), 0.08)
    np.testing.assert_allclose(data["kinetic_energy"] + data["potential_energy"], data["total_energy"])
    data.to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "run.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again.load(), data)


@pytest.mark.parametrize("make", [nmm.ing, nmm.ping, nmm.byrne])
def test_optional_parameters_and_notes_survive_a_file(make, tmp_path):
    """Absent reversal potentials have no place in it; units and source of a circuit have."""
    import xarray as xr

    data = nmm.simulate(make(), {"r": 0.1, "v": 0.0}, jnp.asarray([0.0, 0.1])).to_xarray()
    data.to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "run.nc", engine="h5netcdf") as again:
        assert ("reversal" in again.attrs) == (make is nmm.byrne) and "(20" in again.attrs["note"]


def test_dataset_of_a_failed_run_says_so():
    short = nmm.simulate(nmm.MPR(), {"r": 1.3, "v": 0.0}, jnp.linspace(0.0, 20.0, 11), max_steps=20)
    data = short.to_xarray()
    assert "max_steps" in data.attrs["result"]
    assert np.isfinite(data["r"][0])
    assert np.isnan(data["r"][-1])


def test_dataset_on_a_rescaled_clock():
    clocked = nmm.simulate(
        nmm.mechanics.RescaledTime(nmm.MPR(2.0, 5.0, 0.1)), {"r": 1.0, "v": 0.0}, jnp.linspace(0.0, 1.0, 5)
    )
    data = clocked.to_xarray()
    assert data["t"].dims == ("s",)
    assert float(data["t"][-1]) > 0


def test_batch_of_runs_is_refused(run):
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), run)
    np.testing.assert_array_equal(batch.reached, [101, 101])
    for use in (batch.to_xarray, lambda: nmm.energy_balance(batch), lambda: nmm.plot.trajectory(batch), lambda: batch.input):
        with pytest.raises(ValueError, match=r"`run` must be a single run to .*, but got a batch of shape \(2,\)"):
            use()


def test_stimulus_is_stored_in_full_precision():
    stimulus = nmm.Pulse(1.0, start=0.123456789012, stop=0.5) + nmm.Sampled([0.0, 2.0], [0.1, 0.2])
    data = nmm.simulate(nmm.MPR(), {"r": 0.5, "v": 0.0}, [0.0, 0.1], stimulus=stimulus, rtol=1e-3).to_xarray()
    assert data.attrs["stimulus.0.start"] == 0.123456789012
    assert data.attrs["stimulus.1.values"] == [0.1, 0.2]
    assert data.attrs["stimulus.1.interpolation"] == "linear"
