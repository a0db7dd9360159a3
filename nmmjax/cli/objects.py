"""Models, stimuli and noise from tables of a TOML file, and what else commands that read one share."""

import contextlib
import dataclasses
import inspect
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from .._files import beside, replace_file
from .._optional import optional
from .._parameter import check, parameters
from .._types import uses_float64
from ..finite_size.shot_noise import ShotNoise
from ..models import adaptation, circuits, cumulants, heterogeneity, mpr, network, noise, stimulus, synapses, terms
from ..models.connectome import Connectome, load_connectome
from .configuration import Document, Path

_MODELS = {"MPR": mpr.MPR}
# Closures of a population, which is their table [model.population].
_CLOSURES = {each.__name__: each for each in (cumulants.CircularCumulants, cumulants.PseudoCumulants)}
# Functions that make a model of the literature; their arguments are the keys of [model].
_CIRCUITS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        network.mutual_inhibition,
        network.excitatory_inhibitory,
        circuits.ing,
        circuits.ping,
        circuits.dumont_gutkin,
        circuits.coombes_byrne,
        circuits.byrne,
        circuits.izhikevich,
    )
}
TERMS: dict[str, tuple[type, ...]] = {
    "gap": (terms.GapJunction,),
    "conductance": (terms.ConductanceSynapse,),
    "leak": (terms.Leak,),
    "coupling_heterogeneity": (terms.CouplingHeterogeneity,),
    # which, says its key `kind`
    "adaptation": (adaptation.SpikeFrequencyAdaptation, adaptation.SynapticDepression, adaptation.RecoveryCurrent),
    "plasticity": (adaptation.ShortTermPlasticity,),
    "synapse": (synapses.ExponentialSynapse, synapses.AlphaSynapse, synapses.DoubleExponentialSynapse),
    "heterogeneity": (heterogeneity.Lorentzian, heterogeneity.Flat, heterogeneity.GaussianLike, heterogeneity.Bimodal),
}
_STIMULI = {
    each.__name__: each
    for each in (stimulus.Constant, stimulus.Pulse, stimulus.Ramp, stimulus.Sinusoid, stimulus.PulseTrain, stimulus.Sampled)
}
_NOISES = {
    each.__name__: each
    for each in (noise.WhiteNoise, noise.OrnsteinUhlenbeck, noise.CauchyNoise, noise.GaussianNoise, ShotNoise)
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


def picture_of(document: Document) -> str:
    """The name of the picture, that of the file by default; empty for none."""
    figure = document.values.get("figure", f"{pathlib.Path(document.file).stem}.png")
    if figure is False:
        return ""
    is_picture = isinstance(figure, str) and pathlib.PurePath(figure).suffix in PICTURES
    rule = f"be false or the name of a file that ends in {', '.join(PICTURES)}"
    document.require(("figure",), rule, figure, is_picture)
    return figure


def precision_of(document: Document) -> str:
    """The precision in which a file asks to compute, float64 by default."""
    return document.text(("precision",), document.values.get("precision", "float64"), ("float32", "float64"))


def save_picture(axes: Any, path: pathlib.Path) -> pathlib.Path:
    """Write the picture to which `axes` belong, and close it."""
    figure = np.ravel(axes)[0].figure
    figure.savefig(path, dpi=150)
    optional("matplotlib.pyplot", "plot").close(figure)
    return path


def build_model(document: Document, **varied: float) -> Any:
    """The model of the table [model] (or [population]), MPR by default; with [network] a network of it: weights, gain,
    names, reversal, delay, and per_node values of its parameters; with [connectome] one of its regions, and with speed
    delays. `varied` are a speed or delay that [network] may leave out."""
    values = document.values
    given = "population" if "population" in values else "model"
    model = _model(document, (given,), document.table((given,), values.get(given, {})))
    connectome = build_connectome(document)
    if "network" not in values and connectome is None:
        return model
    path = ("network",)
    keys = ("gain", "per_node", "names", "reversal", "delay", *(("weights",) if connectome is None else ("speed",)))
    found = document.table(path, values.get("network", {}), keys, ("weights",) if connectome is None else ())
    weights: Any = connectome
    if connectome is None:
        rows = found["weights"]
        document.require((*path, "weights"), "be a list of rows", rows, isinstance(rows, list) and rows)
        numbers = [document.numbers((*path, "weights", k), row) for k, row in enumerate(rows)]
        square = all(len(row) == len(rows) for row in numbers)
        document.require((*path, "weights"), f"have {len(rows)} numbers in every row", rows, square)
        weights = np.asarray(numbers)
    size = len(weights) if connectome is None else connectome.size
    nodes = document.table((*path, "per_node"), found.get("per_node", {}))
    for name, each in nodes.items():
        numbers = document.numbers((*path, "per_node", name), each)
        document.require((*path, "per_node", name), f"have a number per node, {size}", each, len(numbers) == size)
        with document.at((*path, "per_node", name)):
            model = network.per_node(model, **{name: np.asarray(numbers)})
    options: dict[str, Any] = dict(varied)
    for name in ("speed", "delay"):
        if name in found:
            options[name] = document.number((*path, name), found[name])
    if "reversal" in found:
        options["reversal"] = number_or_list(document, (*path, "reversal"), found["reversal"])
    gain = document.number((*path, "gain"), found.get("gain", 1.0))
    with document.at(path):
        return network.Network(model, weights, gain, names=found.get("names"), **options)


_LOADED = ("normalize", "unit", "receives", "missing", "weights", "lengths", "labels", "positions")
_SCALED = ("symmetrize", "self_connections", "threshold", "density", "log")


def build_connectome(document: Document) -> Connectome | None:
    """The connectome of the table [connectome]: file, as `load_connectome` reads it, and what `Connectome.scaled` does; None
    without one. The file lies beside the TOML file."""
    if "connectome" not in document.values:
        return None
    path = ("connectome",)
    values = document.table(path, document.values["connectome"], ("file", *_LOADED, *_SCALED), ("file",))
    file = beside(pathlib.Path(document.file).parent, document.text((*path, "file"), values["file"]), "connectome.file")
    load = {name: values[name] for name in _LOADED if name in values}
    scale = {name: values[name] for name in _SCALED if name in values}
    with document.at(path):
        if not scale:
            return load_connectome(file, **load)
        normalize = load.pop("normalize", None)
        return load_connectome(file, **load).scaled(normalize, **scale)


def _model(document: Document, path: Path, values: Any) -> Any:
    document.table(path, values)
    known = (*_MODELS, *_CLOSURES, *_CIRCUITS) if path in (("model",), ("population",)) else _MODELS
    name = document.text((*path, "name"), values.get("name", "MPR"), known)
    if name in _CIRCUITS:
        return _circuit(document, path, _CIRCUITS[name], values)
    if name in _CLOSURES:
        document.table(path, values, needed=("population",))
        inner = {"population": _model(document, (*path, "population"), values["population"])}
        given = {key: each for key, each in values.items() if key != "population"}
        return _build(document, path, _CLOSURES[name], given, ("name",), inner)
    cls = _MODELS[name]
    terms = {field.name: TERMS[field.name] for field in dataclasses.fields(cls) if field.name in TERMS}
    document.table(path, values, ("name", *parameters(cls), *terms))
    inner = {key: _term(document, (*path, key), values[key]) for key in terms if key in values}
    given = {key: each for key, each in values.items() if key not in terms}
    return _build(document, path, cls, given, ("name",), inner)


def _term(document: Document, path: Path, values: Any) -> Any:
    classes = TERMS[str(path[-1])]
    kinds = {each.__name__: each for each in classes}
    if len(kinds) == 1:
        return _build(document, path, classes[0], values)
    document.table(path, values, needed=("kind",))
    return _build(document, path, kinds[document.text((*path, "kind"), values["kind"], kinds)], values, ("kind",))


def _circuit(document: Document, path: Path, make: Callable[..., Any], values: dict[str, Any]) -> Any:
    """A model of the literature, by the arguments of the function that makes it: numbers, lists of them and words."""
    arguments = inspect.signature(make).parameters
    needed = [name for name, each in arguments.items() if each.default is each.empty]
    document.table(path, values, ("name", *arguments), needed)
    found = {}
    for name, value in values.items():
        if name == "synapse":
            found[name] = _term(document, (*path, name), value)
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            found[name] = tuple(value)
        elif isinstance(value, list):
            found[name] = tuple(document.numbers((*path, name), value))
        elif name != "name":
            found[name] = value if isinstance(value, (str, int)) else document.number((*path, name), value)
    with document.at(path):
        return make(**found)


def build_noise(document: Document, path: Path, values: Any) -> Any:
    """Noise from a table with its kind, or from an intensity D, a number or one per node; None for none."""
    if values is None:
        return None
    table = values if isinstance(values, dict) else {"kind": "WhiteNoise", "intensity": values}
    document.table(path, table, needed=("kind",))
    cls = _NOISES[document.text((*path, "kind"), table["kind"], _NOISES)]
    arguments = inspect.signature(cls).parameters
    needed = [name for name, each in arguments.items() if each.default is each.empty]
    document.table(path, table, ("kind", *arguments), needed)
    found = {}
    for name, value in table.items():
        at = (*path, name) if isinstance(values, dict) else path
        if name == "noise":  # that of the neurons whose spikes shot noise is
            found[name] = build_noise(document, at, value)
        elif name == "near":
            state = document.table(at, value).items()
            found[name] = {key: number_or_list(document, (*at, key), each) for key, each in state}
        elif name != "kind":
            found[name] = value if isinstance(value, bool) else number_or_list(document, at, value)
    with document.at(path):
        return cls(**found)


def build_start(document: Document, model: Any) -> Any:
    """The state that [y0] describes: numbers, and lists of one per node."""
    table = document.table(("y0",), document.values.get("y0", {}))
    start = {name: number_or_list(document, ("y0", name), each) for name, each in table.items()}
    with document.at(("y0",)):
        return model.state(start)


def number_or_list(document: Document, path: Path, value: object) -> Any:
    """A number, or an array of those in a list."""
    return np.asarray(document.numbers(path, value)) if isinstance(value, list) else document.number(path, value)


def read_range(document: Document, path: Path, value: Any) -> np.ndarray:
    """Numbers as a list, as `values`, or from `start` to `stop`."""
    if isinstance(value, list):
        return np.asarray(document.numbers(path, value))
    document.table(path, value, ("values",) if "values" in value else ("start", "stop", "num", "scale"))
    if "values" in value:
        return np.asarray(document.numbers((*path, "values"), value["values"]))
    document.table(path, value, needed=("start", "stop", "num"))
    num = document.integer((*path, "num"), value["num"], 1)
    scale = document.text((*path, "scale"), value.get("scale", "lin"), ("lin", "log"))
    start, stop = (read_end(document, (*path, name), value[name], scale) for name in ("start", "stop"))
    return np.linspace(start, stop, num) if scale == "lin" else np.geomspace(start, stop, num)


def read_end(document: Document, path: Path, value: object, scale: str) -> float:
    """A finite number, > 0 on a logarithmic `scale`."""
    number = document.number(path, value)
    document.require(path, "be finite", value, math.isfinite(number))
    document.require(path, "be > 0 on a logarithmic scale", value, scale == "lin" or number > 0)
    return number


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
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init and field.name not in (inner or TERMS)}
    needed = [name for name in fields if name in declared and fields[name].default is dataclasses.MISSING]
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
