"""Reproduction of the claims: what it writes, and what an interrupted one leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time

import matplotlib.pyplot as plt
import numpy as np
import processes
import pytest

from nmmjax.cli import reproduction
from nmmjax.reproduce import runner
from nmmjax.reproduce.claim import Claim, Evidence, at_most, close_to


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_unknown_claim_is_one_line():
    result = processes.python("-m", "nmmjax", "reproduce", "--only", "orbits,nonsense")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "nonsense" in result.stderr


def toy(name, letter, run):
    return Claim(name, letter, f"{name} holds.", "a test", run)


def small_evidence(quick):
    import xarray as xr

    return Evidence(
        [at_most("zero", 0.0, 1e-9), close_to("one", 1.0, 1.0, 0.0)], xr.Dataset({"x": ("n", np.arange(3.0))}), plt.figure()
    )


def test_claims_as_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "CLAIMS", (toy("first", "a", small_evidence), toy("second", "b", lambda quick: 1 / 0)))
    with pytest.raises(SystemExit):
        reproduction.reproduce(out=tmp_path, json=True)
    caught = capsys.readouterr()
    found = json.loads(caught.out)
    assert [(each["name"], each["met"]) for each in found["claims"]] == [("first", True), ("second", False)]
    assert found["claims"][0]["rows"][1]["measured"] == 1.0 and found["not_met"] == ["second"]
    assert found["report"] == str(tmp_path / "report.md") and "Measured against claimed" in caught.err


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
