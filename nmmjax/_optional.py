"""Packages of the extras, imported where they are used, and the versions that determine results."""

import functools
import importlib
import importlib.metadata
import pathlib
import re
from typing import Any


def _own_version() -> str:
    """The installed version; of files that are not installed, the one that `pyproject.toml` beside them declares."""
    try:
        return importlib.metadata.version("nmmjax")
    except importlib.metadata.PackageNotFoundError:
        project = pathlib.Path(__file__).parent.parent / "pyproject.toml"
        text = project.read_text(encoding="utf8") if project.exists() else ""
        found = re.search(r'^name = "nmmjax"\nversion = "(.+)"$', text, flags=re.MULTILINE)
        return found[1] if found else "unknown"


__version__ = _own_version()


def optional(module: str, extra: str) -> Any:
    """Import an optional package, or say in one line how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name.split(".")[0]):
            raise
        hint = f"`{module}` is not installed; it comes with `pip install nmmjax[{extra}]`."
        raise ModuleNotFoundError(hint, name=error.name) from None


def versions() -> dict[str, str]:
    """Versions of nmmjax and of the packages that determine its numbers."""
    return {"nmmjax": __version__, **_others()}


@functools.cache
def _others() -> dict[str, str]:
    """Read from files once: every result asks for them."""
    return {name: importlib.metadata.version(name) for name in ("jax", "diffrax", "equinox", "numpy")}
