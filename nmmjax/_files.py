"""Layer 0: paths that users give, and files that are replaced at once."""

import gzip
import os
import pathlib
import zlib
from collections.abc import Callable
from typing import Any

from ._checks import require


def as_path(path: Any, argument: str = "path") -> pathlib.Path:
    """A path that a user gives, `~` being the home folder; else the one-sentence `ValueError` naming the argument."""
    require(argument, path, "be a path, as text or a `pathlib.Path`", isinstance(path, (str, os.PathLike)) and str(path))
    return pathlib.Path(path).expanduser()


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
