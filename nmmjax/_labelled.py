"""Labelled data (extra `data`): what results share when they become datasets. Each labels itself; none is known here."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ._optional import optional, versions
from ._parameter import describe, parameter_table
from .models.base import AbstractModel
from .models.state import State


def xarray() -> Any:
    """The package xarray, or one line that says how to install it."""
    return optional("xarray", "data")


def software() -> dict[str, str]:
    """Versions of what determines the numbers, as attributes."""
    return {f"version_{name}": version for name, version in versions().items()}


def attributes_of(module: Any, kind: str, prefix: str = "") -> dict[str, Any]:
    """A model's or stimulus's class and parameter values as flat attributes, in full precision."""
    if hasattr(module, "parts"):
        parts = [attributes_of(part, kind, f"{prefix}{k}.") for k, part in enumerate(module.parts)]
        return {name: value for part in parts for name, value in part.items()}
    found: dict[str, Any] = {f"{prefix}{kind}".removesuffix("."): type(module).__name__}
    for field in dataclasses.fields(module):
        value, name = getattr(module, field.name), f"{prefix}{field.name}"
        if isinstance(value, eqx.Module):
            inner = attributes_of(value, "", prefix if "flat" in field.metadata else f"{name}.")
            found |= {key: each for key, each in inner.items() if key != prefix.removesuffix(".")}
        elif value is None:  # an optional part, which files know no value for
            continue
        elif "parameter" in field.metadata:
            found[name] = (value.ravel() if np.ndim(value) > 1 else np.asarray(value)).tolist()  # as weights below
        elif field.name == "weights":
            dense = value.todense() if hasattr(value, "todense") else value
            found[name] = np.asarray(dense).ravel().tolist()  # attributes of files have one axis
        elif isinstance(value, tuple) and value and all(isinstance(each, eqx.Module) for each in value):
            found[name] = ", ".join(describe(each) for each in value)
        elif field.metadata.get("static", False) and value not in ((), ""):
            # Files know neither truth values nor complex numbers.
            several = (
                [str(each) if isinstance(each, complex) else each for each in value] if isinstance(value, tuple) else None
            )
            found[name] = several if several is not None else int(value) if isinstance(value, bool) else value
    return found


def about_variables(model: AbstractModel) -> dict[str, dict[str, str]]:
    """Unit and meaning of every variable of a model."""
    return {name: {"units": each.unit, "long_name": each.doc} for name, each in model.variables.items()}


def state_columns(model: Any, state: Any, exists: np.ndarray, *dims: str) -> dict[str, Any]:
    """The variables of states that exist as columns of a dataset."""
    if isinstance(state, State):
        about = about_variables(model)
        arrays = state.variables
    else:
        arrays = {"y": state} if isinstance(state, (jax.Array, np.ndarray)) else dict(enumerate(jax.tree.leaves(state)))
        arrays = {name if isinstance(name, str) else f"y{name}": each for name, each in arrays.items()}
        about = {name: {"long_name": "state"} for name in arrays}
    axes = ("node",) if isinstance(state, State) else ("component", "second_component")
    columns = {name: np.asarray(each)[exists] for name, each in arrays.items()}
    return {name: ((*dims, *axes[: each.ndim - len(dims)]), each, about[name]) for name, each in columns.items()}


def about_parameter(model: object, name: str) -> dict[str, str]:
    """Symbol, unit and meaning of a parameter, where it is declared."""
    declaration = parameter_table(model).get(name, (None, None))[0] if isinstance(model, AbstractModel) else None
    return {"units": declaration.unit, "long_name": declaration.doc, "symbol": declaration.symbol} if declaration else {}
