"""The door of sweeps: datasets, chunks and memory, progress, summaries, Ctrl-C; with plans that need no model."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import processes
import pytest
import xarray as xr
from helpers_sweep import FakePlan, run_plan

import nmmjax as nmm
from nmmjax import _progress as progress
from nmmjax.sweeps import sweeping
from nmmjax.sweeps.sweeping import summarize
from nmmjax.sweeps.sweeping import sweep as nmm_sweep

HERE = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_dataset_is_labelled():
    data = run_plan(FakePlan(failing=7), progress=False)
    assert data["peak"].dims == ("eta", "J")
    assert data["trace"].dims == ("eta", "J", "samples_time")
    assert data["eta"].attrs["units"] == "1"
    assert data["status"].dtype == "int16"
    assert data["status"].attrs["flag_values"] == [0, 1, 7]
    assert data["status"].attrs["flag_meanings"].split()[1] == "The_maximum_number_of_solver_steps_was_reached"
    assert len(data["status"].attrs["flag_meanings"].split()) == 3
    assert data.attrs["model"] == "Fake(Delta=1)"
    np.testing.assert_array_equal(np.isnan(data["peak"]), data["status"] != 0)
    assert json.loads(data.attrs["config"])["t1"] == 20.0
    assert data.attrs["version_nmmjax"] == nmm.__version__
    assert (data.attrs["seed"], data.attrs["dtype"], data.attrs["device"]) == (3, "float64", "cpu")
    assert int(data["steps"][2, 3]) == 7 * 23


def test_chunks_do_not_change_the_result():
    whole = run_plan(FakePlan(failing=7), progress=False)
    for chunk in (1, 4, 10, 35, 1000):
        xr.testing.assert_identical(run_plan(FakePlan(failing=7), chunk=chunk, progress=False), whole)


@pytest.mark.parametrize(
    ("argument", "value", "rule"),
    [
        ("store", 3, "be the path of a local folder, but got 3"),
        ("store", "", "be the path of a local folder, but got ''"),
        ("store", "s3://bucket/s.zarr", "be the path of a local folder, but got 's3://bucket/s.zarr'"),
        ("chunk", 0, "be a number of lanes ≥ 1, but got 0"),
        ("chunk", 2.5, "be a number of lanes ≥ 1, but got 2.5"),
        ("chunk", True, "be a number of lanes ≥ 1, but got True"),
        ("progress", "no", "be True or False, but got 'no'"),
    ],
)
def test_wrong_arguments_are_one_sentence(argument, value, rule, unchecked):
    with pytest.raises(ValueError, match=rf"^Argument `{argument}` must {rule}\.$"):
        run_plan(FakePlan(), **{argument: value})


def test_chunk_follows_the_memory(monkeypatch):
    monkeypatch.setattr(sweeping, "_LITTLE", 0)
    local, stored = sweeping._Local(False), sweeping._Local(True)
    for site in (local, stored):
        site.memory, site.smallest = 10**6, 16
    plan = FakePlan(dims={"eta": 100, "J": 100}, lane_bytes=1000)
    assert sweeping._chunk_limit(plan, None, stored) == 313  # 1/32 of all lanes
    assert sweeping._chunk_limit(plan, None, local) == 500  # half of the memory
    assert sweeping._chunk_limit(plan, 20, local) == 20
    with pytest.warns(UserWarning, match="A chunk of 600 lanes doesn't fit the memory; using 500, the most that does"):
        assert sweeping._chunk_limit(plan, 600, local) == 500
    local.memory = stored.memory = 2**50
    huge = FakePlan(dims={"sample": 10**7})
    assert sweeping._chunk_limit(huge, None, local) == sweeping._chunk_limit(huge, None, stored) == 65_536
    assert 2**20 < sweeping.available_memory() < 2**50


def test_a_result_larger_than_the_memory_needs_a_store(monkeypatch, tmp_path):
    monkeypatch.setattr(sweeping, "available_memory", lambda: 1000)
    monkeypatch.setattr(sweeping, "_LITTLE", 0)
    with pytest.raises(ValueError, match=r"`store` must be given for a result of .* GiB, but .* GiB of memory are free"):
        run_plan(FakePlan(), chunk=1, progress=False)
    assert run_plan(FakePlan(lane_bytes=1), chunk=10, store=tmp_path / "s.zarr", progress=False).sizes["eta"] == 6


def test_the_chunks_of_a_store_stay(tmp_path):
    run_plan(FakePlan(), chunk=10, store=tmp_path / "s.zarr", progress=False)
    with pytest.warns(UserWarning, match="keeps its chunks of 10 lanes; `chunk` is ignored"):
        run_plan(FakePlan(), chunk=20, store=tmp_path / "s.zarr", progress=False)
    run_plan(FakePlan(), store=tmp_path / "s.zarr", progress=False)


def test_what_computed_is_told_also_when_a_store_is_read_again(tmp_path):
    """In a sweep that two processes share, by the names of both."""
    ran = ["xla", "mosaic"]

    def compute(plan, lanes, report):
        return plan.compute(lanes, report) | {".backend": np.full(lanes.size, ran[0 if ran[1:] else -1])}

    options = {"chunk": 10, "progress": False}
    assert sweeping.run_plan(FakePlan(), compute=compute, **options).attrs["backend"] == "xla"
    with pytest.raises(ArithmeticError):
        sweeping.run_plan(FakePlan(breaks=34), compute=compute, store=tmp_path / "s.zarr", **options)
    ran.pop(0)
    whole = sweeping.run_plan(FakePlan(), compute=compute, store=tmp_path / "s.zarr", **options)
    assert whole.attrs["backend"] == "mosaic, xla"
    xr.testing.assert_identical(sweeping.run_plan(FakePlan(), compute=compute, store=tmp_path / "s.zarr", **options), whole)


def test_summary_counts_how_lanes_ended(capsys, monkeypatch):
    assert summarize(np.zeros((2, 3)), {}) == ""
    plan = FakePlan(failing=7)
    words = "4 of 9 lanes successful; 3 × The maximum number of solver steps was reached.; 2 × status 5"
    assert summarize([0, 0, 1, 1, 1, 5, 5, 0, 0], plan.meanings) == f"sweep: {words}"
    monkeypatch.setattr(sweeping, "plan_sweep", lambda model, **arguments: plans.pop(0))
    monkeypatch.setattr(sweeping, "run_plan", run_plan)
    call, plans = {"over": {}, "y0": {}, "t1": 1.0, "observe": {}}, [plan, plan, FakePlan()]
    nmm_sweep(nmm.MPR(), **call)
    assert "51 of 60 lanes successful; 9 × The maximum" in capsys.readouterr().err
    nmm_sweep(nmm.MPR(), progress=False, **call)
    nmm_sweep(nmm.MPR(), **call)
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""


def test_plain_lines_say_how_far_it_is(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    run_plan(FakePlan(), chunk=30)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7  # two reports and the end of each of two chunks, and the last one
    assert lines[0].startswith("sweep: 15 of 60 lanes, ")
    assert lines[0].endswith(" left")
    assert lines[-1].startswith("sweep: 60 of 60 lanes")


def test_a_resumed_sweep_counts_only_what_it_computes_itself():
    bar = progress.Progress(100, already=60, shown=False)
    assert bar.left() == ""
    bar.report(10)
    bar.report(200)  # repeated work never counts beyond the total
    assert bar.done == 100
    bar.finish(20)
    assert bar.done == 80
    assert bar.rate > 0


def test_a_terminal_gets_a_bar(monkeypatch, capfd):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert type(progress._bar("lanes")).__name__ == "Progress"
    run_plan(FakePlan(pause=0.05), chunk=10)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    assert progress._bar("lanes") is None  # without rich: lines


def test_ctrl_c_without_a_store_propagates():
    class Stopped(FakePlan):
        def compute(self, lanes, report=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_plan(Stopped(), progress=False)
    assert type(caught.value) is KeyboardInterrupt


def test_ctrl_c_in_the_shell_keeps_finished_chunks(tmp_path):
    script = """
import signal, sys
from helpers_sweep import FakePlan, run_plan
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background processes lack
run_plan(FakePlan(pause=0.5), store=sys.argv[1], chunk=5)
"""
    environment = processes.environment()
    store = tmp_path / "s.zarr"
    process = subprocess.Popen([sys.executable, "-c", script, store], stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 60
    while len(list(store.glob(".nmmjax/chunks/*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "chunks are finished in" in err.splitlines()[-1]
    assert "the same call resumes" in err.splitlines()[-1]
    data = run_plan(FakePlan(), store=store, progress=False)
    xr.testing.assert_identical(data, run_plan(FakePlan(), progress=False))
