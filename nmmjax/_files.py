"""Layer 0: paths that users give, and files that are replaced at once."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

from ._checks import require


def as_path(path: Any, argument: str = "path") -> pathlib.Path:
    """A path that a user gives, `~` being the home folder; else the one-sentence `ValueError` naming the argument."""
    require(argument, path, "be a path, as text or a `pathlib.Path`", isinstance(path, (str, os.PathLike)) and str(path))
    return pathlib.Path(path).expanduser()


def replace_file(path: pathlib.Path, write: Callable[[pathlib.Path], Any]) -> pathlib.Path:
    """Write a file at once, so that a crash leaves the last good one; `write` gets the path of a hidden file beside it."""
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    partial.replace(path)
    return path


def replace_text(path: pathlib.Path, text: str) -> pathlib.Path:
    """The same with a text."""
    return replace_file(path, lambda partial: partial.write_text(text, encoding="utf8"))
