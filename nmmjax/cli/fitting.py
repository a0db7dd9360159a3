"""`nmmjax fit config.toml data.csv`: parameters from a recording, as a file describes it."""

import dataclasses
import os
import pathlib
from typing import Any

import jax
import numpy as np
import optax

from .._files import as_folder, as_new_file, beside, replace_text
from .._parameter import parameter_table
from ..fitting.fits import fit as run_fit
from ..fitting.parametrization import attribute, parametrize
from ..fitting.result import FitResult
from ..fitting.trajectory import TrajectoryTarget, unpack
from ..fitting.units import time_constants
from ..models.base import AbstractModel
from .configuration import Document
from .objects import (
    TERMS,
    build_model,
    build_stimulus,
    number_or_list,
    picture_of,
    precision_of,
    save_picture,
    using_precision,
    write_netcdf,
)
from .printing import console_for, print_json
from .recorded_run import Recording, Table, check_units, read_recording

_TABLES = ("model", "network", "data", "units", "fit", "stimulus", "y0")
_KEYS = ("precision", "figure", "store")
_FIT = ("free", "starts", "bounds", "prior", "optimizer", "polish", "max_steps", "patience", "spread", "seed")
_TARGET = ("noise", "noise_model", "segments", "segment", "truncate", "substeps")
_POLISHES = ("levenberg-marquardt", "bfgs", "none")
_OPTIMIZER = ("name", "learning_rate", "steps", "clip", "schedule")


def fit(
    config: pathlib.Path | None = None,
    data: pathlib.Path | None = None,
    /,
    *,
    out: pathlib.Path = pathlib.Path(),
    example: bool = False,
    json: bool = False,
) -> None:
    """Fit the model that a TOML file describes to a recording; write the best model, all starts (NetCDF) and a picture.

    The recording: a CSV with a header, columns t, r, v (networks r1, r2, …), empty or NaN where a sample is missing; units
    in the header, `t (ms)`, or in [units]. The TOML file: [model] parameters and terms; [fit] free, starts, bounds, prior,
    optimizer, polish, noise, segments, …; [data] names of columns; [units] t, r, v, model; [stimulus] kind, …; [y0].

    Parameters
    ----------
    config
        The TOML file.
    data
        The recording; may be named in the file instead, `data.file`.
    out
        Folder for what is written; the current one by default.
    example
        Write fit.toml and fit.csv, an example to begin with, and do nothing else.
    json
        Print one JSON object.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    out = as_folder(out)
    console = console_for(json)
    if example:
        _write_example(out)
        console.print(f"Written: {out / 'fit.toml'}, {out / 'fit.csv'}", highlight=False, soft_wrap=True)
        console.print(f"Now: nmmjax fit {out / 'fit.toml'} {out / 'fit.csv'} --out {out}", highlight=False, soft_wrap=True)
        if json:
            print_json({"written": [out / "fit.toml", out / "fit.csv"]})
        return
    if config is None:
        raise ValueError(
            "The TOML file must be given: nmmjax fit config.toml data.csv (or --example for one to begin with)."
        )
    document = Document(config)
    job = read_job(document, data)
    with using_precision(job.precision):
        task = job.task()
        for note in task.notes:
            console.print(note, highlight=False, soft_wrap=True)
        out.mkdir(parents=True, exist_ok=True)
        figure = as_new_file(beside(out, job.figure, "figure"), "figure") if job.figure else None
        store = beside(out, job.store, "store") if job.store else None
        with document.at(("fit",)):
            fitted = run_fit(task.model, target=task.target, store=store, **task.settings)
        written = [_write_best(fitted, out / f"{config.stem}_best.toml")]
        written.append(write_netcdf(fitted.to_xarray(), out / f"{config.stem}.nc"))
        if figure is not None:
            written.append(_draw(fitted, figure))
        console.print(fitted.report(), highlight=False, markup=False, soft_wrap=True)
    console.print("Written:", ", ".join(map(str, written)), highlight=False, soft_wrap=True)
    if json:
        print_json({**_summary(fitted), "notes": task.notes, "written": written})


def _summary(fitted: FitResult) -> dict[str, object]:
    """The best fit and how every start ended, in plain names."""
    return {
        "model": repr(fitted.best),
        "best": dict(zip(fitted.labels, fitted.values[fitted.best_index], strict=True)),
        "standard_error": fitted.standard_error,
        "interval": fitted.interval(),
        "loss": fitted.loss,
        "converged": fitted.converged,
        "status": [fitted.meanings[int(code)] for code in fitted.status],
        "best_index": fitted.best_index,
        "found_best": fitted.found_best,
        "interrupted": bool(fitted.interrupted),
    }


@dataclasses.dataclass(frozen=True)
class Task:
    """Arguments of `nmmjax.fit`."""

    model: AbstractModel
    target: TrajectoryTarget
    settings: dict[str, Any]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Job:
    """Contents of a file, still without objects of JAX."""

    document: Document
    data: pathlib.Path
    precision: str
    figure: str
    store: str

    def task(self) -> Task:
        """Model, target and settings, each checked, so that a refusal has a line."""
        return _task(self.document, self.data)


def read_job(document: Document, data: pathlib.Path | None) -> Job:
    """Check names and types of what says where and how, before anything is built."""
    values = document.table((), document.values, (*_KEYS, *_TABLES), ("fit",))
    named = document.table(("data",), values.get("data", {}))
    if data is None:
        if "file" not in named:
            raise ValueError(
                f"{document.file}: the recording must be given: nmmjax fit config.toml data.csv, or `data.file`."
            )
        data = beside(pathlib.Path(document.file).parent, document.text(("data", "file"), named["file"]), "data.file")
    store = document.text(("store",), values["store"]) if "store" in values else ""
    return Job(document, data, precision_of(document), picture_of(document), store)


def _task(document: Document, data: pathlib.Path) -> Task:
    values = document.values
    model = build_model(document)
    settings, about = _settings(document, model)
    recording = read_recording(document, Table(data), model.size)
    check_units(recording, *time_constants(model, settings["free"], settings["bounds"]))
    stimulus = build_stimulus(document, ("stimulus",), values.get("stimulus"))
    y0 = None
    if "y0" in values:
        y0 = {
            name: number_or_list(document, ("y0", name), each)
            for name, each in document.table(("y0",), values["y0"]).items()
        }
        with document.at(("y0",)):
            model.state(y0)
    keys = {name for name in ("noise", "noise_model") if name in about}
    with document.at(("fit", next(iter(keys))) if len(keys) == 1 else ("fit",)):
        target = TrajectoryTarget(recording.ts, **recording.values, y0=y0, stimulus=stimulus, **about)
        target.check(model)
    return Task(model, target, settings, (_counted(recording), *recording.notes))


def _counted(recording: Recording) -> str:
    """One line on what was read."""
    ts = recording.ts
    columns = {name: "" if each == (name,) else f" ({', '.join(each)})" for name, each in recording.columns.items()}
    names = " and ".join(f"{name}{each}" for name, each in columns.items())
    unit = "" if recording.unit is None else f" {recording.unit}"
    return f"{ts.size} samples of {names} from {recording.file}, t = {ts[0]:g} to {ts[-1]:g}{unit}."


def _settings(document: Document, model: AbstractModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of `nmmjax.fit` and of the target."""
    path = ("fit",)
    values = document.table(path, document.values["fit"], (*_FIT, *_TARGET), ("free",))
    free = [values["free"]] if isinstance(values["free"], str) else values["free"]
    names = isinstance(free, list) and free and all(isinstance(name, str) for name in free)
    document.require((*path, "free"), "be a list of parameters' names", free, names)
    with document.at((*path, "free")):
        parametrize(model, free)
    found: dict[str, Any] = {"free": tuple(free), "starts": 16, "polish": "levenberg-marquardt"}
    found["bounds"] = _pairs(document, "bounds", values, free)
    for name in found["bounds"]:
        with document.at((*path, "bounds", name)):
            parametrize(model, free, {name: found["bounds"][name]})
    found["prior"] = _pairs(document, "prior", values, free)
    for name, least in (("starts", 1), ("max_steps", 1), ("patience", 1)):
        if name in values:
            found[name] = document.integer((*path, name), values[name], least)
    if "spread" in values:
        found["spread"] = document.number((*path, "spread"), values["spread"])
        document.require((*path, "spread"), "be > 0", values["spread"], found["spread"] > 0)
    if "seed" in values:
        found["key"] = jax.random.key(document.integer((*path, "seed"), values["seed"], 0))
    if "polish" in values:
        polish = "none" if values["polish"] is False else document.text((*path, "polish"), values["polish"], _POLISHES)
        found["polish"] = None if polish == "none" else polish
    if "optimizer" in values:
        found |= _optimizer(document, values["optimizer"])
    if found["polish"] is None and "optimizer" not in found:
        raise ValueError(f"{document.where((*path, 'polish'))}: key `fit.optimizer` must be given if `fit.polish` is none.")
    return found, _about_target(document, values)


def _pairs(document: Document, key: str, values: dict[str, Any], free: list[str]) -> dict[str, tuple[float, float]]:
    """`{name = [a, b]}` for free names."""
    path, meaning = ("fit", key), "[lower, upper]" if key == "bounds" else "[mean, deviation]"
    found = {}
    for name, pair in document.table(path, values.get(key, {}), free).items():
        numbers = document.numbers((*path, name), pair)
        document.require((*path, name), f"be {meaning}", pair, len(numbers) == 2)
        good = numbers[0] < numbers[1] if key == "bounds" else numbers[1] > 0
        document.require((*path, name), "have lower < upper" if key == "bounds" else "have a deviation > 0", pair, good)
        found[name] = (numbers[0], numbers[1])
    return found


def _optimizer(document: Document, value: object) -> dict[str, Any]:
    """An optax optimiser by name, with learning rate, clipping, schedule and its number of steps."""
    path = ("fit", "optimizer")
    values = {"name": value} if isinstance(value, str) else document.table(path, value, _OPTIMIZER, ("name",))
    name = document.text((*path, "name"), values["name"])
    make = getattr(optax, name, lambda rate: None)
    rate = document.number((*path, "learning_rate"), values.get("learning_rate", 1e-2))
    document.require((*path, "learning_rate"), "be > 0", rate, rate > 0)
    steps = document.integer((*path, "steps"), values.get("steps", 200), 1)
    schedule = document.text((*path, "schedule"), values.get("schedule", "constant"), ("constant", "cosine"))
    try:
        made = make(rate if schedule == "constant" else optax.cosine_decay_schedule(rate, steps))
    except TypeError:
        made = None
    rule = "be the name of an optimiser of optax, such as adam, adamw or lbfgs"
    document.require((*path, "name"), rule, name, isinstance(made, optax.GradientTransformation))
    assert isinstance(made, optax.GradientTransformation)
    if "clip" in values:
        clip = document.number((*path, "clip"), values["clip"])
        document.require((*path, "clip"), "be > 0", clip, clip > 0)
        made = optax.chain(optax.clip_by_global_norm(clip), made)
    settings = {"learning_rate": rate, "schedule": schedule, **values}
    return {"optimizer": made, "steps": steps, "name": f"optimizer {settings}"}


def _about_target(document: Document, values: dict[str, Any]) -> dict[str, Any]:
    path, found = ("fit",), {}
    if "noise" in values:
        noise = values["noise"]
        if isinstance(noise, dict):
            table = document.table((*path, "noise"), noise, ("r", "v"))
            found["noise"] = {name: document.number((*path, "noise", name), each) for name, each in table.items()}
        else:
            found["noise"] = document.number((*path, "noise"), noise)
    if "noise_model" in values:
        known = ("gaussian", "lognormal", "student")
        found["noise_model"] = document.text((*path, "noise_model"), values["noise_model"], known)
    if "segments" in values:
        document.require((*path, "segments"), "be true or false", values["segments"], isinstance(values["segments"], bool))
        found["segments"] = values["segments"]
    for name, least in (("segment", 2), ("truncate", 1), ("substeps", 1)):
        if name in values:
            found[name] = document.integer((*path, name), values[name], least)
    return found


def _draw(fitted: Any, path: pathlib.Path) -> pathlib.Path:
    from .. import plot

    return save_picture(plot.fit(fitted), path)


def _write_best(fitted: Any, path: pathlib.Path) -> pathlib.Path:
    """The best model as a TOML file, whose tables [model] and [network] other commands read."""
    best, index = fitted.best, fitted.best_index
    lines = [
        f"# The best of {fitted.loss.size} starts; tables [model] and [network] can be read again.",
        f"loss = {_toml(fitted.loss[index])}",
        f"converged = {_toml(bool(fitted.converged[index]))}",
        f'status = "{fitted.meanings[int(fitted.status[index])]}"',
        f"found_best = {_toml(int(fitted.found_best.sum()))}  # starts that found this fit",
        f"interrupted = {_toml(bool(fitted.interrupted))}",
    ]
    population = best if best.size is None else best.node
    nodes = {}
    lines += ["", "[model]", f'name = "{type(population).__name__}"']
    tables: dict[str, list[str]] = {}
    for name, (_, value) in parameter_table(population).items():
        value = np.asarray(value)
        if value.ndim:
            nodes[name] = value
            continue
        table, _, key = name.rpartition(".")
        tables.setdefault(table, []).append(f"{key} = {_toml(value)}")
    lines += tables.pop("", [])
    for table, entries in tables.items():
        term = attribute(population, table)
        static = [field.name for field in dataclasses.fields(term) if field.metadata.get("static", False)]
        kind = [f'kind = "{type(term).__name__}"'] if len(TERMS.get(table.rpartition(".")[2], ())) > 1 else []
        lines += ["", f"[model.{table}]", *kind, *entries, *(f'{name} = "{getattr(term, name)}"' for name in static)]
    if best.size is not None:
        dense = best.weights.todense() if best.is_sparse else best.weights
        lines += ["", "[network]", f"gain = {_toml(np.asarray(best.gain))}", f"weights = {_toml(np.asarray(dense))}"]
        lines += [f"names = {list(best.names)!r}"] if best.names else []
        lines += [] if best.coupling.reversal is None else [f"reversal = {_toml(np.asarray(best.coupling.reversal))}"]
        if nodes:
            lines += ["", "[network.per_node]", *(f'"{name}" = {_toml(each)}' for name, each in nodes.items())]
    lines += ["", "[standard_error]", *(f'"{name}" = {_toml(each)}' for name, each in fitted.standard_error.items())]
    lines += ["", "[interval]  # 95 %", *(f'"{name}" = {_toml(each)}' for name, each in fitted.interval().items())]
    if fitted.target.y0 is None and fitted.unknowns.shape[1]:
        start = unpack(best, jax.numpy.asarray(fitted.unknowns[index]), fitted.target.first(best))
        about = f"# state at t = {float(fitted.target.ts[0]):g}"
        lines += ["", f"[y0]  {about}", *(f"{name} = {_toml(np.asarray(each))}" for name, each in start.variables.items())]
    return replace_text(path, "\n".join(lines) + "\n")


def _toml(value: object) -> str:
    """A number, truth value, or nested list of numbers as TOML."""
    if isinstance(value, (bool, int)):
        return str(value).lower()
    array = np.asarray(value)
    return repr(float(array)) if array.ndim == 0 else f"[{', '.join(_toml(each) for each in array)}]"


_EXAMPLE = """\
# A recording in ms and Hz: the header of fit.csv says so, and τ and the stimulus are in ms too.
[model]                        # start values; also gap = {g = 0.2}, adaptation = {kind = "SynapticDepression", …}
eta = -4.0
J = 12.0
Delta = 0.5
tau = 10.0

[fit]
free = ["eta", "J", "Delta"]
starts = 16
# noise = {r = 5e-3, v = 0.1}    # if known, in the model's units; else it is estimated
# optimizer = {name = "adam", learning_rate = 1e-2, steps = 200}    # before the polish
# polish = "levenberg-marquardt"                                    # or "bfgs", "none"

[fit.bounds]
eta = [-10.0, -3.0]
J = [5.0, 20.0]
Delta = [0.1, 5.0]

[stimulus]
kind = "Pulse"
amplitude = 3.0
start = 100.0
stop = 250.0
"""


def _write_example(out: pathlib.Path) -> None:
    """fit.toml and fit.csv: a pulse moves a bistable population, recorded with some noise and two gaps."""
    from ..models.mpr import MPR
    from ..models.stimulus import Pulse
    from ..solvers.simulation import simulate

    model, ts = MPR(eta=-4.6, J=14.5, Delta=0.7, tau=10.0), np.linspace(0.0, 400.0, 401)
    with using_precision("float64"):
        run = simulate(model, {"r": 0.006, "v": -1.98}, ts, stimulus=Pulse(3.0, 100.0, 250.0), rtol=1e-8, atol=1e-10)
        r, v = np.asarray(run.ys.r), np.asarray(run.ys.v)
    noise = np.random.default_rng(0).normal(size=(2, ts.size))
    r, v = 1e3 * r + 5.0 * noise[0], v + 0.1 * noise[1]
    lines = [f"{t:g},{a:.5g},{b:.5g}" for t, a, b in zip(ts, r, v, strict=True)]
    for k in (*range(290, 300), 330):
        lines[k] = f"{ts[k]:g},,{v[k]:.5g}"
    out.mkdir(parents=True, exist_ok=True)
    (out / "fit.csv").write_text("\n".join(["t (ms),r (Hz),v", *lines]) + "\n", encoding="utf8")
    (out / "fit.toml").write_text(_EXAMPLE, encoding="utf8")
