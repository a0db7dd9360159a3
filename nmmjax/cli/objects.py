"""Models and stimuli from tables of a TOML file, and what else commands that read one share."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import jax

from .._files import replace_file
from .._parameter import check, parameters
from .._types import uses_float64
from ..models import adaptation, mpr, stimulus, synapses, terms
from .configuration import Document, Path

_MODELS = {"MPR": mpr.MPR}
_TERMS: dict[str, tuple[type, ...]] = {
    "gap": (terms.GapJunction,),
    "conductance": (terms.ConductanceSynapse,),
    "leak": (terms.Leak,),
    "coupling_heterogeneity": (terms.CouplingHeterogeneity,),
    # which, says its key `kind`
    "adaptation": (adaptation.SpikeFrequencyAdaptation, adaptation.SynapticDepression, adaptation.RecoveryCurrent),
    "plasticity": (adaptation.ShortTermPlasticity,),
    "synapse": (synapses.ExponentialSynapse, synapses.AlphaSynapse, synapses.DoubleExponentialSynapse),
}
_STIMULI = {
    each.__name__: each
    for each in (stimulus.Constant, stimulus.Pulse, stimulus.Ramp, stimulus.Sinusoid, stimulus.PulseTrain, stimulus.Sampled)
}
PICTURES = (".png", ".svg", ".pdf")


@contextlib.contextmanager
def using_precision(precision: str) -> Iterator[None]:
    """The precision of the whole process, its threads included; put back afterwards."""
    before = uses_float64()
    jax.config.update("jax_enable_x64", precision == "float64")
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def build_model(document: Document, values: dict[str, Any]) -> Any:
    """The population of a table [model]."""
    name = document.text(("model", "name"), values.get("name", "MPR"), _MODELS)
    cls = _MODELS[name]
    terms = {field.name: _TERMS[field.name] for field in dataclasses.fields(cls) if field.name in _TERMS}
    document.table(("model",), values, ("name", *parameters(cls), *terms))
    inner = {key: _term(document, key, values[key]) for key in terms if key in values}
    return _build(
        document, ("model",), cls, {key: each for key, each in values.items() if key not in terms}, ("name",), inner
    )


def _term(document: Document, key: str, values: Any) -> Any:
    kinds, path = {each.__name__: each for each in _TERMS[key]}, ("model", key)
    if len(kinds) == 1:
        return _build(document, path, _TERMS[key][0], values)
    document.table(path, values, needed=("kind",))
    return _build(document, path, kinds[document.text((*path, "kind"), values["kind"], kinds)], values, ("kind",))


def build_stimulus(document: Document, path: Path, values: Any) -> Any:
    """The stimulus of a table, or the sum of an array of tables; None for none."""
    if values is None:
        return None
    if isinstance(values, list):  # [[stimulus]]: their sum
        parts = [build_stimulus(document, (*path, k), each) for k, each in enumerate(values)]
        return sum(parts[1:], start=parts[0]) if parts else None
    document.table(path, values, needed=("kind",))
    kind = document.text((*path, "kind"), values["kind"], _STIMULI)
    return _build(document, path, _STIMULI[kind], values, ("kind",))


def _build(document: Document, path: Path, cls: type, values: Any, beside: tuple[str, ...] = (), inner: Any = None) -> Any:
    """An object of `cls` from the table's values, each checked by its declaration; `beside` are keys that aren't its own."""
    declared = parameters(cls)
    fields = [field.name for field in dataclasses.fields(cls) if field.init and field.name not in (inner or _TERMS)]
    needed = [name for name, each in declared.items() if each.default is None]
    document.table(path, values, (*beside, *fields), needed)
    found = {}
    for name, value in values.items():
        if name in declared:
            number = document.numbers if declared[name].ndim else document.number
            found[name] = number((*path, name), value)
            with document.at((*path, name)):
                check(declared[name], _as_array(found[name]))
        elif name not in beside:
            found[name] = value
    with document.at(path):
        return cls(**found, **(inner or {}))


def _as_array(value: object) -> Any:
    return jax.numpy.asarray(value, dtype=float)


def write_netcdf(data: Any, path: pathlib.Path) -> pathlib.Path:
    """Write a dataset, replacing the file at once."""
    return replace_file(path, lambda partial: data.to_netcdf(partial, engine="h5netcdf"))
