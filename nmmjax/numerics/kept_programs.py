"""Compiled programs kept on disk, so that a later process doesn't compile them again."""

import contextlib
import hashlib
import os
import pathlib
import platform
import sys
from collections.abc import Iterator
from typing import Any

import jax

from .._files import as_folder

# Beyond this size the programs that were read longest ago are deleted, when the cache is next asked for.
_MOST_BYTES = 2**30
_SETTINGS = {
    "jax_compilation_cache_dir": None,
    "jax_persistent_cache_min_compile_time_secs": 0.0,  # a session is made of many short compilations
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


def use_compilation_cache(folder: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """Keep compiled programs in a folder, from now on and for later processes.

    When to use it: at the top of a script or notebook that is run again and again. Its first calls then read what an earlier
    process compiled. Nothing is kept unless this is called; the `nmmjax` command does so by itself (`--no-cache` doesn't).

    - `folder`: where; by default one of yours below the folder of caches of your system (`~/.cache/nmmjax`), with a name of
      its own for this kind of processor, as programs of one need not run on another. Only you must be able to write there:
      what lies in it is executed

    Returns the folder. Sets JAX's own persistent cache, for all that is compiled in this process, by any library; its
    entries depend on the versions of JAX and on the devices, so nothing stale is read. In the default folder the programs
    used longest ago are deleted once there are more than 1 GiB of them; in a `folder` of your own nothing is.

    Raises `ValueError` if `folder` is a file or can't be a folder, `OSError` if it can't be written.
    """
    chosen = default_folder() if folder is None else as_folder(folder, "folder")
    chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder is None:
        _discard(chosen, _MOST_BYTES)
    _set(_SETTINGS | {"jax_compilation_cache_dir": str(chosen)})
    return chosen


@contextlib.contextmanager
def cached_compilation() -> Iterator[None]:
    """With the cache of `use_compilation_cache()` where it can be had, and as before afterwards. A cache of JAX's own that
    the user has set up (`JAX_COMPILATION_CACHE_DIR`) stays as it is."""
    before = {name: _setting(name) for name in _SETTINGS}
    if not _setting("jax_compilation_cache_dir"):
        with contextlib.suppress(OSError, RuntimeError):  # without a home that can be written it only takes longer
            use_compilation_cache()
    try:
        yield
    finally:
        _set(before)


def default_folder() -> pathlib.Path:
    """This user's folder for programs of this kind of processor."""
    if sys.platform == "win32":
        root = pathlib.Path(os.environ.get("LOCALAPPDATA") or pathlib.Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = pathlib.Path.home() / "Library" / "Caches"
    else:
        root = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return root / "nmmjax" / f"compiled-{_processor()}"


def folder_in_use() -> pathlib.Path | None:
    """Where compiled programs are kept now; None if nowhere."""
    told = _setting("jax_compilation_cache_dir") if _setting("jax_enable_compilation_cache") else None
    return pathlib.Path(told) if told else None


def size_of(folder: pathlib.Path) -> int:
    """Bytes of the compiled programs in a folder."""
    return sum(size for _, size, _ in _entries(folder))


def _setting(name: str) -> Any:
    return getattr(jax.config, name)


def _set(settings: dict[str, Any]) -> None:
    """JAX opens its cache once, so it is told of another folder."""
    from jax.experimental.compilation_cache import compilation_cache

    moved = _setting("jax_compilation_cache_dir") != settings["jax_compilation_cache_dir"]
    for name, value in settings.items():
        jax.config.update(name, value)
    if moved:
        compilation_cache.reset_cache()


def _processor() -> str:
    """A short name for what programs are compiled for: this processor's instructions."""
    about = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        about += [
            next(line for line in lines if line.startswith(name))
            for name in ("model name", "flags", "Features")
            if any(line.startswith(name) for line in lines)
        ]
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:12]


def _entries(folder: pathlib.Path) -> list[tuple[float, int, pathlib.Path]]:
    """(when it was last used, bytes, file) of every program in a folder."""
    found = []
    for file in folder.glob("*-cache"):
        with contextlib.suppress(OSError):  # another process may have deleted it
            about = file.stat()
            found.append((max(about.st_atime, about.st_mtime), about.st_size, file))
    return found


def _discard(folder: pathlib.Path, most: int) -> None:
    """Delete the programs used longest ago until the others have at most `most` bytes."""
    entries = sorted(_entries(folder))
    above = sum(size for _, size, _ in entries) - most
    for _, size, file in entries:
        if above <= 0:
            return
        with contextlib.suppress(OSError):
            file.unlink()
        above -= size
