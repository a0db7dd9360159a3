"""The edge: labelled data, pictures, the command line, and what an interrupted reproduction leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax._optional import optional
from nmmjax.cli import checkup
from nmmjax.reproduce import runner
from nmmjax.reproduce.claim import Claim, Evidence, at_most, close_to


@pytest.fixture(scope="module")
def run():
    pulse = nmm.Pulse(amplitude=3.0, start=1.0, stop=2.0)
    model = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, tau=1.5)
    return nmm.simulate(model, {"r": 0.08, "v": -1.96}, jnp.linspace(0.0, 5.0, 101), stimulus=pulse)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


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


def test_dataset_of_a_failed_run_says_so():
    short = nmm.simulate(nmm.MPR(), {"r": 1.3, "v": 0.0}, jnp.linspace(0.0, 20.0, 11), max_steps=20)
    data = short.to_xarray()
    assert "max_steps" in data.attrs["result"]
    assert np.isfinite(data["r"][0])
    assert np.isnan(data["r"][-1])


def test_dataset_on_a_rescaled_clock():
    clocked = nmm.simulate(nmm.RescaledTime(nmm.MPR(2.0, 5.0, 0.1)), {"r": 1.0, "v": 0.0}, jnp.linspace(0.0, 1.0, 5))
    data = clocked.to_xarray()
    assert data["t"].dims == ("s",)
    assert float(data["t"][-1]) > 0


def test_batch_of_runs_is_refused(run):
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), run)
    np.testing.assert_array_equal(batch.reached, [101, 101])
    for use in (batch.to_xarray, lambda: nmm.energy_balance(batch), lambda: nmm.plot.trajectory(batch), lambda: batch.input):
        with pytest.raises(ValueError, match=r"`run` must be a single run to .*, but got a batch of shape \(2,\)"):
            use()


def test_missing_package_gives_a_one_line_hint():
    with pytest.raises(
        ModuleNotFoundError, match=r"`not_a_package` is not installed; it comes with `pip install nmmjax\[plot\]`"
    ):
        optional("not_a_package", "plot")


def all_labelled(axes):
    """Every axes has a y label, and the lowest of each column an x label."""
    axes = np.ravel(axes)
    return all(each.get_ylabel() for each in axes) and bool(axes[-1].get_xlabel())


def test_plots_are_labelled(run):
    axes = nmm.plot.trajectory(run)
    assert len(axes) == 3
    assert all_labelled(axes)
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), run.ys.r)
    assert all_labelled(nmm.plot.energy(run))
    balance = nmm.energy_balance(run)
    assert len(nmm.plot.energy(run, balance)) == 3
    model = nmm.MPR(2.0, 5.0, 0.0)
    assert all_labelled(nmm.plot.orbits(model, nmm.orbit(model, 12.0)))
    assert all_labelled(nmm.plot.peaks([3.0, 2.0], [3.0, 2.1]))


def command(*arguments, **options):
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "nmmjax", *arguments], capture_output=True, text=True, env=environment, **options
    )


def test_models_command_lists_every_parameter():
    out = command("models").stdout
    for name in ("eta", "Delta", "tau", "GapJunction", "E_s", "PulseTrain", "[0, inf)", "Montbrió"):
        assert name in out


def test_unknown_claim_is_one_line():
    result = command("reproduce", "--only", "orbits,nonsense")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "nonsense" in result.stderr


@pytest.mark.smoke
def test_self_check():
    for what, error, allowed in checkup.self_check():
        assert abs(error) <= allowed, what


def toy(name, letter, run):
    return Claim(name, letter, f"{name} holds.", "a test", run)


def small_evidence(quick):
    import xarray as xr

    return Evidence(
        [at_most("zero", 0.0, 1e-9), close_to("one", 1.0, 1.0, 0.0)], xr.Dataset({"x": ("n", np.arange(3.0))}), plt.figure()
    )


def test_interrupted_reproduction_keeps_what_is_finished(tmp_path, monkeypatch):
    def interrupted(quick):
        raise KeyboardInterrupt

    claims = (toy("first", "a", small_evidence), toy("second", "b", interrupted), toy("third", "c", small_evidence))
    monkeypatch.setattr(runner, "CLAIMS", claims)
    with pytest.raises(runner.Interrupted, match=r"Interrupted in `second`. Finished and kept in .*: first"):
        runner.reproduce(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert [entry["name"] for entry in report["claims"]] == ["first"]
    assert report["unfinished"] == ["second", "third"]
    for file in report["claims"][0]["files"]:
        assert (tmp_path / file).stat().st_size > 0
    assert not list(tmp_path.glob(".*partial"))
    assert "second, third" in (tmp_path / "report.md").read_text()


def test_unmet_and_non_finite_rows_are_not_met(tmp_path, monkeypatch):
    assert not at_most("nan", float("nan"), 1.0).met
    assert not close_to("nan", float("nan"), 1.0, 1.0).met
    assert not at_most("large", 2.0, 1.0).met

    def unmet(quick):
        import xarray as xr

        return Evidence([at_most("too large", 2.0, 1.0)], xr.Dataset(), plt.figure())

    monkeypatch.setattr(runner, "CLAIMS", (toy("only", "a", unmet),))
    (entry,) = runner.reproduce(tmp_path)
    assert entry["met"] is False
    assert "NOT MET" in (tmp_path / "report.md").read_text()


def test_reproduce_names_are_checked():
    for only in (["nonsense"], [], "nonsense"):
        with pytest.raises(ValueError, match="`only` must be among orbits, damping"):
            runner.reproduce(only=only)


def test_later_runs_keep_earlier_claims_and_a_broken_claim_costs_no_other(tmp_path, monkeypatch):
    def breaks(quick):
        raise RuntimeError("the disk is full\nsecond line")

    claims = (toy("first", "a", small_evidence), toy("second", "b", breaks), toy("third", "c", small_evidence))
    monkeypatch.setattr(runner, "CLAIMS", claims)
    runner.reproduce(tmp_path, only=["first"])
    entries = runner.reproduce(tmp_path, only=["second", "third"])
    assert [entry["met"] for entry in entries] == [False, True]
    report = json.loads((tmp_path / "report.json").read_text())
    assert [entry["name"] for entry in report["claims"]] == ["first", "second", "third"]
    assert "RuntimeError: the disk is full" in (tmp_path / "report.md").read_text()
    (tmp_path / "report.json").write_text("{ cut off")
    runner.reproduce(tmp_path, only="first")
    assert len(json.loads((tmp_path / "report.json").read_text())["claims"]) == 1


def test_stimulus_is_stored_in_full_precision():
    stimulus = nmm.Pulse(1.0, start=0.123456789012, stop=0.5) + nmm.Sampled([0.0, 2.0], [0.1, 0.2])
    data = nmm.simulate(nmm.MPR(), {"r": 0.5, "v": 0.0}, [0.0, 0.1], stimulus=stimulus, rtol=1e-3).to_xarray()
    assert data.attrs["stimulus.0.start"] == 0.123456789012
    assert data.attrs["stimulus.1.values"] == [0.1, 0.2]
    assert data.attrs["stimulus.1.interpolation"] == "linear"


@pytest.mark.slow
def test_every_claim_is_met_at_toy_size(tmp_path):
    for entry in runner.reproduce(tmp_path, quick=True):
        assert entry["met"], entry


@pytest.mark.slow
def test_ctrl_c_in_the_shell(tmp_path):
    """SIGINT after the first claim has been written: exit code 130, one line, the claim's files kept."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "NMMJAX_QUICK": "1"}
    arguments = [sys.executable, "-m", "nmmjax", "reproduce", "--out", str(tmp_path), "--only", "energies,limit-cycle"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while not (tmp_path / "report.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Interrupted in `limit-cycle`" in err
    assert "Traceback" not in err
    assert (tmp_path / "d_energies.png").exists()
