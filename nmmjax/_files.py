"""Paths that users give, files that are replaced at once, and the lock of a store."""

import contextlib
import errno
import gzip
import os
import pathlib
import zlib
from collections.abc import Callable
from typing import IO, Any

from ._checks import require

_BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


def as_path(path: Any, argument: str = "path") -> pathlib.Path:
    """A path that a user gives, `~` being the home folder; else the one-sentence `ValueError` naming the argument."""
    require(argument, path, "be a path, as text or a `pathlib.Path`", isinstance(path, (str, os.PathLike)) and str(path))
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"Argument `{argument}` must name a user with a home after `~`, but got {path!r}.") from None


def as_new_file(path: object, argument: str = "path") -> pathlib.Path:
    """The path of a file that will be written: its folder exists, and it is none itself."""
    file = as_path(path, argument)
    require(argument, str(file), "be a file in a folder that exists", file.parent.is_dir() and not file.is_dir())
    return file


def as_folder(path: object, argument: str = "out") -> pathlib.Path:
    """The path of a folder that exists or can be made: nothing on the way is a file."""
    folder = as_path(path, argument)
    known = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    require(argument, str(folder), "be a folder, but not a file or in one", known.is_dir() or not known.exists())
    return folder


def beside(folder: pathlib.Path, path: object, argument: str) -> pathlib.Path:
    """A path that is meant within `folder`, unless it is absolute or begins with `~`."""
    return folder / as_path(path, argument)


def lock(file: pathlib.Path, owner: pathlib.Path) -> IO[str]:
    """An open file whose lock the system frees when the process ends, however it ends; closing it frees the lock, too.

    Raises `BlockingIOError` if another process has it, naming the store `owner`; if locks don't exist, goes without.
    Two writers without locks do no harm: they write the same bytes, atomically.
    """
    opened = file.open("a+")
    try:
        _lock(opened)
    except OSError as error:
        if error.errno in _BUSY:
            opened.close()
            raise BlockingIOError(f"The store {str(owner)!r} is being written by another process; let it finish.") from None
    return opened


def _lock(file: IO[str]) -> None:
    try:
        import fcntl
    except ImportError:
        import msvcrt

        locking: Any = msvcrt
        locking.locking(file.fileno(), locking.LK_NBLCK, 1)
        return
    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


class LockBeside:
    """The lock of a store that is one file, and replaced while it is held: a hidden file beside it, which goes with it."""

    def __init__(self, owner: pathlib.Path):
        self._file = owner.with_name(f".{owner.name}.lock")
        self._held: IO[str] | None = None
        while self._held is None:
            held = lock(self._file, owner)
            with contextlib.suppress(OSError):
                # One that another process removed between opening and locking guards nothing.
                if os.fstat(held.fileno()).st_ino == self._file.stat().st_ino:
                    self._held = held
                    return
            held.close()

    def close(self) -> None:
        """Give it up."""
        if self._held is not None:
            with contextlib.suppress(OSError):  # Windows removes no open file
                self._file.unlink()
            self._held.close()
            self._held = None


def read_text(file: Any, what: str = "a text file in UTF-8") -> str:
    """The text of a user's file, in UTF-8 with or without byte-order mark, compressed if its name ends in .gz.

    Raises `ValueError` if it can't be read; `what` says what it should be.
    """
    path = as_path(file)
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise ValueError(f"The file {str(path)!r} is not a readable gz file.") from None
    except OSError as error:
        raise ValueError(f"The file {str(path)!r} could not be read: {error.strerror}.") from None
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError(f"The file {str(path)!r} is not {what}, but in UTF-16; save it as UTF-8.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError(f"The file {str(path)!r} is not {what}.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def replace_file(path: pathlib.Path, write: Callable[[pathlib.Path], Any]) -> pathlib.Path:
    """Write a file at once, so that a crash leaves the last good one; `write` gets the path of a hidden file beside it."""
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    partial.replace(path)
    return path


def replace_text(path: pathlib.Path, text: str) -> pathlib.Path:
    """The same with a text."""
    return replace_file(path, lambda partial: partial.write_text(text, encoding="utf8"))
