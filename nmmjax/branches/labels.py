"""Shared columns of the datasets of branches, curves and cycles: parameters and special points."""

from typing import Any

import numpy as np

from .._checks import require
from .._labelled import about_parameter, attributes_of, software, state_columns, xarray
from .system import UserField

SIDES = ((0, "first"), (1, "last"))


def require_single(found: object, array: Any, ndim: int) -> None:
    """Refuse, in one sentence, a family of branches made by `jax.vmap`."""
    require("branch", f"a batch of shape {array.shape[:-ndim]}", "be a single one to become a dataset", array.ndim == ndim)


def special_dataset(found: Any, data: dict[str, Any], parameters: list[np.ndarray], notes: dict[str, Any]) -> Any:
    """The columns over `point` with the parameters as coordinates, and the special points' over `special`."""
    system, special = found.system, found.special
    exists = np.asarray(special.kind) > 0
    columns = state_columns(system.model, special.state, exists, "special") | {
        "omega": ("special", np.asarray(special.omega)[exists], {"units": "1/time", "long_name": "angular frequency"}),
        "lyapunov": ("special", np.asarray(special.lyapunov)[exists], {"long_name": "first Lyapunov coefficient"}),
        "branch": ("special", np.asarray(special.branch)[exists], {"long_name": "number of the branch"}),
    }
    coords: dict[str, Any] = {"label": ("special", np.array(special.labels, dtype="<U3"), {"long_name": "kind"})}
    for k, name in enumerate(system.names):
        columns[name] = ("special", np.asarray(special.parameters)[exists, k], {"long_name": f"{name} there"})
        coords[name] = ("point", parameters[k], about_parameter(system.model, name))
    data |= {f"special_{name}": column for name, column in columns.items()}
    if isinstance(system.model, UserField):
        model = {f"model.{name}": float(value) for name, value in system.model.parameters.items()}
    else:
        model = attributes_of(system.model, "model")
    notes = {**model, **notes, **software()}
    return xarray().Dataset(data, coords=coords, attrs={"parameter": ", ".join(system.names), **notes})
