"""Sweeps on a cluster: two worker processes, one of them killed on the way."""

import os
import signal
import threading
import time
import warnings

import jax
import jax.numpy as jnp
import pytest
import xarray as xr
from helpers_sweep import FakePlan, run_plan

import nmmjax as nmm

distributed = pytest.importorskip("distributed")

# Distributed tells of busy ports and of workers that go away by warnings; and it leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Port .* is already in use:UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def client():
    # Pickled by reference to a module that the workers can import too.
    here = os.path.dirname(__file__)
    tests = os.path.dirname(here)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, tests, os.path.dirname(tests), before]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit="2GiB"
        )
        client = distributed.Client(cluster)
        yield client
        client.close()
        cluster.close()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


class Precise(FakePlan):
    """Fails unless JAX has the precision of the plan."""

    def compute(self, lanes, report=None):
        assert jax.config.jax_enable_x64 == (self.dtype == "float64")
        return super().compute(lanes, report)


def test_cluster_gives_the_same_as_this_process(client, tmp_path):
    plan = FakePlan(failing=7, ballast=b"x" * 2**21)  # too large to go with every task
    data = run_plan(plan, cluster=client, chunk=10, progress=False)
    xr.testing.assert_identical(data, run_plan(plan, progress=False))
    xr.testing.assert_identical(run_plan(plan, cluster=client, store=tmp_path / "s.zarr", progress=False), data)
    assert data.attrs["device"] == "cpu"


def test_cluster_shows_progress(client, capsys, monkeypatch):
    monkeypatch.setattr("nmmjax._progress._INTERVAL", 0.0)
    run_plan(FakePlan(failing=7), cluster=client, chunk=10)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7
    assert "60 of 60 lanes" in lines[-1]


def test_cluster_computes_in_the_precision_of_the_plan(client):
    for dtype in ("float32", "float64"):
        run_plan(Precise(dtype=dtype), cluster=client, progress=False)


def test_errors_of_the_computation_arrive(client, tmp_path):
    path = tmp_path / "s.zarr"
    with pytest.raises(ArithmeticError, match="lane 35 is broken"):
        run_plan(FakePlan(breaks=35), cluster=client, chunk=10, store=path, progress=False)
    data = run_plan(FakePlan(), cluster=client, chunk=10, store=path, progress=False)
    xr.testing.assert_identical(data, run_plan(FakePlan(), progress=False))


def test_wrong_clusters_are_one_sentence():
    for wrong in (3, "tcp://localhost:8786"):
        with pytest.raises(ValueError, match=r"`cluster` must be a synchronous `dask.distributed.Client`, but got"):
            run_plan(FakePlan(), cluster=wrong)


@pytest.mark.parametrize("ballast", [pytest.param(b"", marks=pytest.mark.slow), b"x" * 2**21], ids=["small", "scattered"])
def test_blocks_of_a_killed_worker_are_computed_by_another(client, tmp_path, ballast):
    pids = tmp_path / "pids"
    pids.mkdir()
    plan = FakePlan(dims={"eta": 10, "J": 6}, failing=7, pause=0.15, pids=str(pids), ballast=ballast)

    killed = []

    def kill():
        while len(list(pids.iterdir())) < 2:
            time.sleep(0.01)
        time.sleep(0.4)
        os.kill(int(min(pids.iterdir()).name), signal.SIGKILL)
        killed.append(True)

    killer = threading.Thread(target=kill)
    killer.start()
    data = run_plan(plan, cluster=client, chunk=3, store=tmp_path / "s.zarr", progress=False)
    killer.join()
    assert killed
    xr.testing.assert_identical(data, run_plan(FakePlan(dims={"eta": 10, "J": 6}, failing=7), progress=False))


def test_functions_without_a_name_reach_the_workers(client, tmp_path):
    limit = 0.2
    add = lambda s, p: s + jnp.where(p.y.r > limit, p.weight, 0.0)
    above = nmm.Custom(lambda p: 0 * p.t, add, lambda s, d: s, name="time above 0.2")
    given = {"over": {"eta": [-6.0, -5.0, -4.0]}, "y0": {"r": 0.1, "v": -2.0}, "t1": 2.0, "observe": {"above": above}}
    data = nmm.sweep(nmm.MPR(), progress=False, **given)
    far = nmm.sweep(nmm.MPR(), cluster=client, chunk=2, store=tmp_path / "s.zarr", progress=False, **given)
    xr.testing.assert_allclose(far["above"], data["above"])
    lock = threading.Lock()
    held = nmm.Custom(lambda p: 0 * p.t + bool(lock), lambda s, p: s)
    with pytest.raises(ValueError, match=r"`cluster` must be None for what can't be sent to other processes, .*lock"):
        nmm.sweep(nmm.MPR(), cluster=client, progress=False, **(given | {"observe": {"held": held}}))
