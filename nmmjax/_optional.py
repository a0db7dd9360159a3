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
        raise ModuleNotFoundError(_missing(module, extra), name=error.name) from None


def installed(package: str, extra: str) -> str:
    """Name and version of an optional package, which isn't imported for that, or how to install it."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return _missing(package, extra)


def _missing(package: str, extra: str) -> str:
    return f"`{package}` is not installed; it comes with `pip install nmmjax[{extra}]`."


def versions() -> dict[str, str]:
    """Versions of nmmjax and of the packages that determine its numbers."""
    return {"nmmjax": __version__, **_others()}


@functools.cache
def _others() -> dict[str, str]:
    """Read from files once: every result asks for them."""
    return {name: importlib.metadata.version(name) for name in ("jax", "diffrax", "equinox", "numpy")}
