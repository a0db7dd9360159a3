"""The store of a sweep: what is finished survives crashes, damage, full disks and second writers, to the last bit."""

import errno
import json
import os
import pickle
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import processes
import pytest
import xarray as xr
from helpers_sweep import FakePlan, run_plan
from hypothesis import given, settings
from hypothesis import strategies as st

from nmmjax.sweeps import store as stores
from nmmjax.sweeps.store import Blocks, block_shape

HERE = Path(__file__).parents[1]


def run(path, plan=None, **options):
    return run_plan(plan or FakePlan(failing=7), store=path, progress=False, **({"chunk": 10} | options))


def bytes_of(store):
    """Every file of a store, but the lock."""
    return {
        file.relative_to(store).as_posix(): file.read_bytes()
        for file in sorted(store.rglob("*"))
        if file.is_file() and file.name != "lock"
    }


class Counting(FakePlan):
    """Counts the blocks it computes, and stops before the block numbered `stop`."""

    count, stop = 0, -1

    def compute(self, lanes, report=None):
        if self.count == self.stop:
            raise KeyboardInterrupt
        self.count += 1
        return super().compute(lanes, report)


def counting(stop=-1, **options):
    plan = Counting(failing=7, **options)
    plan.stop = stop
    return plan


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 800))
def test_blocks_are_rectangular_cover_the_grid_once_and_keep_the_limit(sizes, limit):
    sizes = tuple(sizes)
    blocks = Blocks(sizes, block_shape(sizes, limit))
    lanes = [blocks.lanes(index) for index in blocks.indices()]
    assert len(lanes) == len(blocks)
    assert max(map(len, lanes)) <= limit
    np.testing.assert_array_equal(np.sort(np.concatenate(lanes)), np.arange(np.prod(sizes)))
    numbers = np.arange(np.prod(sizes)).reshape(sizes)
    for index, part in zip(blocks.indices(), lanes, strict=True):
        np.testing.assert_array_equal(numbers[blocks.region(index)].ravel(), part)
    cut = [n for n, c in zip(sizes, blocks.shape, strict=True) if 1 < c < n]
    assert len(cut) <= 1  # filled from the last dimension backwards


def test_blocks_are_even():
    assert block_shape((128, 128), 1024) == (8, 128)
    assert block_shape((128, 100), 64) == (1, 50)
    assert block_shape((10, 3, 5), 35) == (2, 3, 5)
    assert block_shape((5000,), 5000) == (5000,)


def test_store_and_memory_give_the_same_dataset(tmp_path):
    for plan in (FakePlan(failing=7), FakePlan(dims={"sample": 23}), FakePlan(dims={"a": 3, "b": 4, "c": 5}, seed=None)):
        path = tmp_path / f"{len(plan.dims)}.zarr"
        in_memory = run_plan(plan, progress=False)
        xr.testing.assert_identical(run(path, plan), in_memory)
        with xr.open_zarr(path, chunks=None) as opened:
            xr.testing.assert_identical(opened.load(), in_memory)
        in_memory.to_netcdf(tmp_path / "sweep.nc", engine="h5netcdf")
    assert {"eta", "J"} <= set(run_plan(FakePlan(dims={"sample": 23}), progress=False).coords)
    assert list(tmp_path.glob(".*")) == []  # nothing beside the stores


def test_one_block_is_one_file_of_every_variable(tmp_path):
    run(tmp_path / "s.zarr")
    for name in ("peak", "trace", "steps", "status"):
        assert len([file for file in (tmp_path / "s.zarr" / name / "c").rglob("*") if file.is_file()]) == 6


def test_a_large_result_stays_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("nmmjax.sweeps.sweeping._LOADED", 100)
    data = run(tmp_path / "s.zarr")
    assert not data["peak"].variable._in_memory
    xr.testing.assert_identical(data.load(), run_plan(FakePlan(failing=7), progress=False))


def test_resuming_computes_what_is_missing_only(tmp_path):
    path = tmp_path / "s.zarr"
    with pytest.raises(KeyboardInterrupt, match=r"Interrupted: 4 of 6 chunks are finished in '.*s.zarr'; the same call"):
        run(path, counting(stop=4))
    rest = counting()
    run(path, rest)
    assert rest.count == 2
    done = counting()
    run(path, done)
    assert done.count == 0
    run(tmp_path / "whole.zarr")
    assert bytes_of(path) == bytes_of(tmp_path / "whole.zarr")


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "empty record", "garbage record"])
def test_damaged_chunk_is_reported_and_computed_again(tmp_path, damage):
    path = tmp_path / "s.zarr"
    whole = run(path)
    before = bytes_of(path)
    target = path / "peak" / "c" / "2" / "0"
    record = path / ".nmmjax" / "chunks" / "2.0.json"
    content = bytearray(target.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        target.write_bytes(content)
    elif damage == "truncate":
        target.write_bytes(content[:-3])
    elif damage == "remove":
        target.unlink()
    else:
        record.write_text("" if damage.startswith("empty") else '{"sha256": 3}')
    plan = counting()
    with pytest.warns(UserWarning, match=r"In the store '.*s.zarr', chunk 2.0 is damaged and will be computed again"):
        again = run(path, plan)
    assert plan.count == 1
    xr.testing.assert_identical(again, whole)
    assert bytes_of(path) == before


def test_damaged_template_is_refused(tmp_path):
    path = tmp_path / "s.zarr"
    run(path)
    (path / "eta" / "c" / "0").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"is damaged: eta/c/0 is not what was written"):
        run(path)
    (path / ".nmmjax" / "store.json").write_text("{")
    with pytest.raises(ValueError, match=r"is damaged: .nmmjax/store.json can't be read"):
        run(path)


def test_store_of_another_call_is_refused(tmp_path):
    path = tmp_path / "s.zarr"
    run(path)
    before = bytes_of(path)
    for plan, words in (
        (FakePlan(seed=4), "was made with seed = 3, not 4"),
        (FakePlan(dims={"eta": 6, "J": 11}), "was made with over.J.num = 10, not 11"),
        (FakePlan(dims={"eta": 6, "J": 10, "tau": 2}), "was made with over.tau.digest = 'nothing', not 'ab12'"),
        (FakePlan(dtype="float32"), "was made with dtype = 'float64', not 'float32'"),
    ):
        with pytest.raises(ValueError, match=f"`store` must be a new path or the store of this same call.*{words}"):
            run(path, plan)
    assert bytes_of(path) == before


def test_what_is_no_store_or_of_another_format_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("x")
    xr.Dataset({"x": ("n", np.arange(3.0))}).to_zarr(tmp_path / "foreign.zarr", zarr_format=3, consolidated=False)
    for name in ("file", "folder", "foreign.zarr"):
        with pytest.raises(ValueError, match=f"`store` must be a new path or the store of a sweep, but got '.*{name}'"):
            run(tmp_path / name)
    path = tmp_path / "s.zarr"
    path.mkdir()  # an empty folder will do
    run(path)
    identity = json.loads((path / ".nmmjax" / "store.json").read_text()) | {"format": 99}
    (path / ".nmmjax" / "store.json").write_text(json.dumps(identity))
    with pytest.raises(ValueError, match=r"has format 99, but this version of nmmjax reads format 2"):
        run(path)
    (path / ".nmmjax" / "store.json").write_text(json.dumps(identity | {"format": 1}))
    with pytest.raises(ValueError, match="has format 1, which told functions apart by their code"):
        run(path)


def test_other_versions_are_told(tmp_path, monkeypatch):
    run(tmp_path / "s.zarr")
    monkeypatch.setattr("nmmjax._labelled.versions", lambda: {"nmmjax": "0.1.0", "jax": "9.9"})
    with pytest.warns(UserWarning, match=r"was begun with jax [\d.]+, now it is 9.9"):
        run(tmp_path / "s.zarr")


def test_full_disk_is_one_sentence_and_costs_nothing_finished(tmp_path, monkeypatch):
    path, flush, count = tmp_path / "s.zarr", stores._flush, [0]

    def full(file):
        if "peak" in file.parts and "c" in file.parts and file.is_file():
            count[0] += 1
            if count[0] > 3:
                raise OSError(errno.ENOSPC, "No space left on device")
        flush(file)

    monkeypatch.setattr(stores, "_flush", lambda file: full(file) if path.exists() else flush(file))
    words = r"could not be written: the disk is full; 3 of 6 chunks are finished and kept, the same call resumes"
    with pytest.raises(OSError, match=words) as caught:
        run(path)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.setattr(stores, "_flush", flush)
    plan = counting()
    run(path, plan)
    assert plan.count == 3
    run(tmp_path / "whole.zarr")
    assert bytes_of(path) == bytes_of(tmp_path / "whole.zarr")


def test_disk_full_from_the_start_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stores, "_write_template", full)
    with pytest.raises(OSError, match=r"The store '.*s.zarr' could not be created: the disk is full"):
        run(tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_really_full_disk(tmp_path):
    """On a file system of 1 MiB, where one can be mounted."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    plan = {"dims": {"eta": 40, "J": 10}, "samples": 2000}
    try:
        with pytest.raises(OSError, match=r"the disk is full; \d+ of 40 chunks are finished and kept") as caught:
            run(tmp_path / "s.zarr", FakePlan(**plan))
        finished = int(str(caught.value).split(";")[1].split()[0])
        assert finished > 0
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmp_path)], check=True)
        rest = counting(**plan)
        rest.failing = 0
        data = run(tmp_path / "s.zarr", rest)
        assert rest.count == 40 - finished
        xr.testing.assert_identical(data, run_plan(FakePlan(**plan), progress=False))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_read_only_place_is_one_sentence(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(stores, "_write_template", refused)
    with pytest.raises(OSError, match=r"could not be created: Permission denied\.$"):
        run(tmp_path / "s.zarr")


def test_second_writer_is_refused_while_the_first_writes(tmp_path):
    path = tmp_path / "s.zarr"

    class Nested(FakePlan):
        tried = False

        def compute(self, lanes, report=None):
            if not self.tried:
                self.tried = True
                with pytest.raises(BlockingIOError, match=r"is being written by another process; let it finish"):
                    run(path, FakePlan(failing=7))
            return super().compute(lanes, report)

    plan = Nested(failing=7)
    xr.testing.assert_identical(run(path, plan), run_plan(FakePlan(failing=7), progress=False))
    assert plan.tried
    run(path)  # the lock is free again


def test_a_failing_plan_frees_the_lock_and_keeps_what_is_finished(tmp_path):
    path = tmp_path / "s.zarr"
    with pytest.raises(ArithmeticError, match="lane 35 is broken"):
        run(path, FakePlan(failing=7, breaks=35))
    rest = counting()
    run(path, rest)
    assert rest.count == 3


def test_leftovers_of_a_killed_creator_go_away(tmp_path):
    left = tmp_path / ".s.zarr.partial-1234"
    (left / ".nmmjax").mkdir(parents=True)
    (left / ".nmmjax" / "lock").touch()
    run(tmp_path / "s.zarr")
    assert not left.exists()


def test_leftovers_without_a_lock_go_away_with_their_process(tmp_path):
    """A creator killed before it took its lock, or while it removed another's leftovers."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    node = platform.node()
    creators = f"{node}-{gone.pid}", f"{node}-{os.getpid()}", f"other-{node}-{gone.pid}", f"{node}-{2**70}"
    left = [tmp_path / f".s.zarr.partial-{each}-0a1b" for each in creators]
    for each in left:
        each.mkdir()
    run(tmp_path / "s.zarr")
    assert [each.exists() for each in left] == [False, True, True, True]


def test_two_creators_make_one_store(tmp_path, monkeypatch):
    """Another process creates the store between the look at the path and the renaming."""
    path, write = tmp_path / "s.zarr", stores._write_template

    def slow(*arguments):
        monkeypatch.setattr(stores, "_write_template", write)
        run(path)
        write(*arguments)

    monkeypatch.setattr(stores, "_write_template", slow)
    xr.testing.assert_identical(run(path), run_plan(FakePlan(failing=7), progress=False))
    assert [each.name for each in tmp_path.iterdir()] == ["s.zarr"]


def test_fake_plan_can_be_pickled():
    assert pickle.loads(pickle.dumps(FakePlan())).dims == FakePlan().dims


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_writers_killed_at_random_moments_leave_a_store_that_resumes_to_the_same_bits(tmp_path):
    done = processes.python(HERE / "kill_writer.py", tmp_path, "20")
    assert done.returncode == 0, done.stderr
    killed, states = map(int, done.stdout.split())
    assert killed >= 10
    assert states >= 3
    reference = bytes_of(tmp_path / "reference.zarr")
    finished = [path for path in tmp_path.iterdir() if path.name != "reference.zarr"]
    assert finished
    for store in finished:
        assert bytes_of(store) == reference
