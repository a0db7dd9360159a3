"""Packages of the extras, imported where they are used, and the versions that determine results."""

import importlib
import importlib.metadata
from typing import Any


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
    return {name: importlib.metadata.version(name) for name in ("nmmjax", "jax", "diffrax", "equinox", "numpy")}
