"""Compiled programs kept on disk: found by the next process, nobody else's, never too many, and only if asked for."""

import os
import stat
import sys

import jax
import processes
import pytest

import nmmjax as nmm
from nmmjax.numerics import kept_programs as cache

# A program compiled in a process of its own; prints how many were read from the cache and how many were not.
PROGRAM = """
import jax, sys
import nmmjax as nmm
assert jax.config.jax_compilation_cache_dir is None  # nothing at import
counts = {"hits": 0, "misses": 0}
def heard(event, **_):
    name = event.rpartition("cache_")[2]
    counts[name] = counts.get(name, 0) + 1
jax.monitoring.register_event_listener(heard)
folder = nmm.use_compilation_cache(*sys.argv[1:])
jax.jit(lambda x: jax.numpy.sin(x) ** 3)(2.0)
print(counts["hits"], counts["misses"], folder)
"""


def process(home, *arguments):
    environment = processes.environment(XDG_CACHE_HOME=str(home), JAX_ENABLE_COMPILATION_CACHE="1")
    done = processes.python("-c", PROGRAM, *arguments, env=environment)
    assert done.returncode == 0, done.stderr
    hits, misses, folder = done.stdout.split()
    return int(hits), int(misses), folder


def test_the_next_process_reads_what_the_first_compiled(tmp_path):
    folder = tmp_path / "programs"
    hits, misses, told = process(tmp_path, str(folder))
    assert hits == 0 and misses > 0 and told == str(folder)
    assert cache.size_of(folder) > 0
    hits, misses, _ = process(tmp_path, str(folder))
    assert hits > 0 and misses == 0


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="other folders")
def test_by_default_a_folder_of_the_user_alone(tmp_path):
    _, _, told = process(tmp_path)
    assert told.startswith(str(tmp_path / "nmmjax" / "compiled-"))
    assert stat.S_IMODE(os.stat(told).st_mode) & 0o077 == 0


def test_it_ends_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    before = jax.config.jax_compilation_cache_dir
    with cache.cached_compilation():
        assert jax.config.jax_compilation_cache_dir == str(cache.default_folder())
    assert jax.config.jax_compilation_cache_dir == before


def test_a_home_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file, below which there are no folders")
    monkeypatch.setattr(cache, "default_folder", lambda: tmp_path / "home" / "nmmjax")
    with cache.cached_compilation():
        assert jax.config.jax_compilation_cache_dir is None and float(jax.jit(jax.numpy.sin)(0.0)) == 0.0
    with pytest.raises(OSError):
        nmm.use_compilation_cache()


def test_what_the_user_told_jax_stays(tmp_path):
    """Its folder, even if no path of this machine, and all that lies in it."""
    settings = {"jax_compilation_cache_dir": "gs://bucket/programs", "jax_persistent_cache_min_compile_time_secs": 2.0}
    before = {name: getattr(jax.config, name) for name in settings}
    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        with cache.cached_compilation():
            assert {name: getattr(jax.config, name) for name in settings} == settings
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_nothing_is_deleted_in_a_folder_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "program-cache").write_bytes(b"0" * 100)
    monkeypatch.setattr(cache, "_MOST_BYTES", 10)
    monkeypatch.setattr(cache, "_set", lambda settings: None)
    nmm.use_compilation_cache(tmp_path)
    assert (tmp_path / "program-cache").exists()


def test_programs_used_longest_ago_are_deleted(tmp_path):
    for k in range(4):
        file = tmp_path / f"program{k}-cache"
        file.write_bytes(b"0" * 100)
        os.utime(file, (1000 + k, 1000 + k))
    (tmp_path / "mine.txt").write_text("kept")
    cache._discard(tmp_path, 250)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.txt", "program2-cache", "program3-cache"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^Argument `folder` must be a folder"):
        nmm.use_compilation_cache(tmp_path / "file")
