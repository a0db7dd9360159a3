"""What a file of `nmmjax brain` asks for."""

import dataclasses
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._files import beside
from .._labelled import xarray
from ..fitting.connectivity import FunctionalConnectivityTarget
from ..fitting.parametrization import parametrize
from ..models.connectome import load_connectome
from ..monitors.balloon import BOLD
from ..recordings.loading import load_recording
from .configuration import Document
from .objects import build_connectome, build_model, read_range

_TABLES = ("connectome", "population", "model", "network", "recording", "over", "bold", "y0")
_KEYS = ("method", "score", "t0", "t1", "dt0", "seed", "store", "chunk", "precision", "figure")
_RECORDING = ("file", "fc", "regions", "key", "dt", "names", "time", "index", "header")
_BOLD = ("TR", "constants", "scale", "channel", "seconds")
_METHODS, _SCORES = ("linear", "simulate"), ("correlation", "difference")


@dataclasses.dataclass(frozen=True)
class Job:
    """What a file asks for, read and checked."""

    document: Document
    method: str
    score: str
    network: Any
    connectome: Any
    target: FunctionalConnectivityTarget
    source: str
    over: dict[str, np.ndarray]
    monitor: BOLD | None


def read_job(document: Document) -> Job:
    """What the file asks for, or an error at its line."""
    values = document.table((), document.values, (*_KEYS, *_TABLES), ("connectome", "recording", "over"))
    method = document.text(("method",), values.get("method", "linear"), _METHODS)
    score = document.text(("score",), values.get("score", "correlation"), _SCORES)
    table = document.table(("over",), values["over"])
    document.require(("over",), "name at least one parameter, such as gain", table, table)
    over = {name: read_range(document, ("over", name), each) for name, each in table.items()}
    network = build_model(document, **{name: float(over[name][0]) for name in ("speed", "delay") if name in over})
    connectome = build_connectome(document)
    monitor = _bold(document)
    measured, source = _recorded(document)
    with document.at(("recording",)):
        target = FunctionalConnectivityTarget(measured, monitor=monitor)
        target.order(network)
    runs = ("t0", "t1", "dt0", "seed", "store", "chunk", "y0")
    if method == "linear":
        for name in runs:
            document.require(
                (name,), 'be left out with method "linear", which runs nothing', values.get(name), name not in values
            )
        for name in over:
            if name == "noise":
                document.require(("over", name), "be > 0", table[name], bool(np.all(over[name] > 0)))
                continue
            with document.at(("over", name)):
                for each in (np.min(over[name]), np.max(over[name])):
                    at(network, {name: each})
        document.require(("over",), "name a parameter beside noise, such as gain", table, set(over) - {"noise"})
    else:
        document.table((), values, needed=("t1", "seed", "bold"))
        document.require(("over",), "name noise, without which nothing fluctuates", sorted(over), "noise" in over)
    return Job(document, method, score, network, connectome, target, source, over, monitor)


def at(network: Any, values: dict[str, Any]) -> Any:
    """The network with other values of some parameters, checked."""
    names = tuple(values)
    parameters = parametrize(network, names)
    for name, declared in zip(names, parameters.names, strict=True):
        low, high = (each[names.index(declared)] for each in parameters.edges)
        if not low <= values[name] <= high:
            raise ValueError(f"Argument `{name}` must lie within its bounds [{low:g}, {high:g}], but got {values[name]:g}.")
    return parameters.apply(network, jnp.asarray([float(each) for each in values.values()], parameters.scale.dtype))


def _bold(document: Document) -> BOLD | None:
    if "bold" not in document.values:
        return None
    values = document.table(("bold",), document.values["bold"], _BOLD, ("TR",))
    with document.at(("bold",)):
        return BOLD(**values)


def _recorded(document: Document) -> tuple[Any, str]:
    """The recording, or the connectivity of a table with its labels, and where it came from."""
    path = ("recording",)
    values = document.table(path, document.values["recording"], _RECORDING)
    document.require(
        path, "have `file`, time series, or `fc`, correlations", sorted(values), ("file" in values) != ("fc" in values)
    )
    role = "file" if "file" in values else "fc"
    file = beside(pathlib.Path(document.file).parent, document.text((*path, role), values[role]), f"recording.{role}")
    with document.at(path):
        if role == "file":
            recording = load_recording(file, **{name: each for name, each in values.items() if name != "file"})
            return recording, str(recording)
        table = load_connectome(file)
        labels = table.labels if table.labels != tuple(f"R{k}" for k in range(1, table.size + 1)) else None
        target = FunctionalConnectivityTarget(np.asarray(table.weights), labels=labels)  # refuses what are no correlations
    return _named(target, labels), f"Correlations of {table.size} regions, from {file}"


def _named(target: FunctionalConnectivityTarget, labels: Any) -> Any:
    """The measured connectivity as a table with names, or without."""
    values = np.where(np.asarray(target.weights) > 0, np.asarray(target.wanted), np.nan)
    if labels is None:
        return values
    return xarray().DataArray(values, dims=("node", "other_node"), coords={"node": list(labels), "other_node": list(labels)})
