"""`nmmjax sweep config.toml`: a parameter sweep written down in a file."""

import dataclasses
import inspect
import math
import os
import pathlib
from collections import Counter
from typing import Any

import diffrax
import jax
import numpy as np

from .._files import as_folder, as_new_file, beside
from .._optional import optional
from .._parameter import as_number
from ..ensemble import observables, turning_points
from ..mechanics.channels import Problem
from ..solvers.mobius import MobiusSplitting
from ..sweeps.sweeping import plan_of, run_plan
from .configuration import Document, Path
from .objects import (
    build_model,
    build_start,
    build_stimulus,
    picture_of,
    precision_of,
    read_end,
    read_range,
    save_picture,
    using_precision,
    write_netcdf,
)
from .printing import console_for, print_json

_TABLES = ("model", "connectome", "network", "y0", "over", "sample", "observe", "stimulus")
_KEYS = ("t0", "t1", "solver", "rtol", "atol", "dt0", "noise", "seed", "precision", "store", "chunk", "figure", "show")


def sweep(config: pathlib.Path, /, *, out: pathlib.Path = pathlib.Path(), json: bool = False) -> None:
    """Run the parameter sweep that a TOML file describes; write a picture, and a NetCDF file unless it names a store.

    The file: t1 (and t0, solver, rtol, atol, dt0, noise, seed, precision, store, chunk, figure, show), then tables
    [model] name, parameters and terms; [connectome] file, normalize, …; [network] gain, speed, …; [y0] r, v;
    [over.eta] start, stop, num, scale or values, or [sample] n, seed, and
    [sample.bounds] eta = [low, high]; [observe.peak] kind, channel, …; [stimulus] kind, parameters.

    Parameters
    ----------
    config
        The TOML file.
    out
        Folder for what is written; the current one by default.
    json
        Print one JSON object.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    out = as_folder(out)
    document = Document(config)
    job = read_job(document)
    console = console_for(json)
    with using_precision(job.precision):
        plan = job.plan()
        out.mkdir(parents=True, exist_ok=True)
        store = beside(out, job.store, "store") if job.store else None
        figure = as_new_file(beside(out, job.figure, "figure"), "figure") if job.figure else None
        if store is None:
            as_new_file(out / f"{config.stem}.nc", "out")
        data = run_plan(plan, store=store, chunk=job.chunk)
    written = [store] if store is not None else [write_netcdf(data, out / f"{config.stem}.nc")]
    if figure is not None and len(plan.dims) <= 2:
        written.append(_draw(data, job.show, figure))
    elif figure is not None:
        console.print("No picture: the sweep has more than two dimensions.")
    ends = _ends(data["status"], plan.meanings)
    console.print(_summary(ends))
    console.print("Written:", ", ".join(map(str, written)), highlight=False, soft_wrap=True)
    if json:
        print_json({"lanes": sum(each["lanes"] for each in ends), "status": ends, "written": written})


@dataclasses.dataclass(frozen=True)
class Job:
    """Contents of a file. `settings` are arguments of `nmmjax.sweep`, still without objects of JAX."""

    document: Document
    precision: str
    store: str
    chunk: int | None
    figure: str
    show: str | None

    def plan(self) -> Any:
        """The plan; built under the file's precision. Raises `ValueError` with file, line and key for wrong values."""
        return _plan(self.document)


def read_job(document: Document) -> Job:
    """Check names and types of everything that says where and how, before anything is built."""
    values = document.table((), document.values, (*_KEYS, *_TABLES), ("t1", "y0", "observe"))
    if "over" not in values and "sample" not in values:
        raise ValueError(f"{document.file}: table `over` or `sample` must be given.")
    figure, precision = picture_of(document), precision_of(document)
    show = document.text(("show",), values["show"]) if "show" in values else None
    return Job(
        document,
        precision,
        document.text(("store",), values["store"]) if "store" in values else "",
        document.integer(("chunk",), values["chunk"], 1) if "chunk" in values else None,
        figure,
        show,
    )


def _plan(document: Document) -> Any:
    values = document.values
    model = build_model(document)
    y0 = build_start(document, model)
    current = build_stimulus(document, ("stimulus",), values.get("stimulus"))
    problem = Problem(model, y0, current)
    observe = {
        name: _observable(document, ("observe", name), each, problem)
        for name, each in document.table(("observe",), values["observe"]).items()
    }
    over, settings = _over(document, problem), _settings(document, values)
    if "solver" in settings:
        with document.at(("solver",)):
            _probe(problem, over, solver=settings["solver"])
    with document.at(()):
        plan = plan_of(model, over=over, y0=y0, observe=observe, stimulus=current, **settings)
    show = values.get("show")
    if show is not None:
        document.text(("show",), show, [name for name, each in plan.variables.items() if not each.dims])
    return plan


def _settings(document: Document, values: dict[str, Any]) -> dict[str, Any]:
    bounds = {
        "t0": "(-inf, inf)",
        "t1": "(-inf, inf)",
        "rtol": "(0, 1)",
        "atol": "(0, inf)",
        "dt0": "(0, inf)",
        "noise": "[0, inf)",
    }
    found: dict[str, Any] = {}
    for name, interval in bounds.items():
        if name in values:
            found[name] = document.number((name,), values[name])
            with document.at((name,)):
                as_number(name, found[name], interval)
    document.require(
        ("t1",), f"be later than t0 ({found.get('t0', 0.0):g})", values["t1"], found["t1"] > found.get("t0", 0.0)
    )
    if "solver" in values:
        found["solver"] = _solver(document, document.text(("solver",), values["solver"]))
    if "noise" in found:
        document.table((), values, needed=("seed",))
        found["key"] = jax.random.key(document.integer(("seed",), values["seed"], 0))
    return found


def _solver(document: Document, name: str) -> Any:
    """A solver by its class's name, ours or one of diffrax's."""
    if name == "MobiusSplitting":
        return MobiusSplitting(4)
    solver = getattr(diffrax, name, object)
    is_solver = inspect.isclass(solver) and issubclass(solver, diffrax.AbstractERK) and not inspect.isabstract(solver)
    document.require(("solver",), "be MobiusSplitting or a Runge–Kutta solver of diffrax such as Tsit5", name, is_solver)
    return solver()


def _observables() -> dict[str, type]:
    """The observables that a file can describe: those without functions among their arguments."""
    kinds = [*vars(observables).values(), *vars(turning_points).values()]
    return {
        cls.__name__: cls
        for cls in kinds
        if inspect.isclass(cls)
        and issubclass(cls, observables.AbstractObservable)
        and not inspect.isabstract(cls)
        and not cls.__name__.startswith("_")
        and cls.__name__ != "Custom"
    }


def _observable(document: Document, path: Path, values: Any, problem: Problem) -> Any:
    kinds = _observables()
    document.table(path, values, needed=("kind",))
    cls = kinds[document.text((*path, "kind"), values["kind"], kinds)]
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    needed = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    document.table(path, values, ("kind", *fields), needed)
    found = {}
    for name, value in values.items():
        if name == "channel":
            found[name] = document.text((*path, name), value)
        elif name == "ts":
            found[name] = read_range(document, (*path, name), value)
        elif name != "kind":
            found[name] = document.number((*path, name), value)
    with document.at((*path, "channel")):
        made = cls(**found)
        made.variables(problem)
    return made


def _over(document: Document, problem: Problem) -> dict[str, Any]:
    values = document.values
    over = {
        name: read_range(document, ("over", name), each)
        for name, each in document.table(("over",), values.get("over", {})).items()
    }
    sampled = _sample(document, values["sample"]) if "sample" in values else {}
    for name in sampled:
        if name in over:
            raise ValueError(
                f"{document.where(('over', name))}: `{name}` must be given in `over` or in `sample`, not in both."
            )
    found = over | {name: ("sample", each) for name, each in sampled.items()}
    for name, each in (over | sampled).items():
        path: Path = ("over", name) if name in over else ("sample", "bounds", name)
        with document.at(path):
            random = {"noise": 0.0, "key": jax.random.key(0)} if name == "noise" else {}
            _probe(problem, {name: each}, **random)
    return found


def _probe(problem: Problem, over: dict[str, Any], **settings: Any) -> None:
    """Have the engine check one thing at a time, so that a refusal has a line."""
    observe = {"any": observables.Final()}
    plan_of(problem.model, over=over, y0=problem.y0, t1=1.0, observe=observe, stimulus=problem.stimulus, **settings)


def _sample(document: Document, values: Any) -> dict[str, np.ndarray]:
    """Scrambled Sobol points between the bounds of every parameter."""
    from scipy.stats import qmc  # slow to import

    path: Path = ("sample",)
    document.table(path, values, ("n", "seed", "bounds"), ("n", "seed", "bounds"))
    n = document.integer((*path, "n"), values["n"], 1)
    seed = document.integer((*path, "seed"), values["seed"], 0)
    bounds = document.table((*path, "bounds"), values["bounds"])
    document.require((*path, "bounds"), "name at least one parameter", bounds, bounds)
    ends = {name: _bounds(document, (*path, "bounds", name), each) for name, each in bounds.items()}
    sobol = qmc.Sobol(d=len(ends), scramble=True, rng=np.random.default_rng(seed))
    points = sobol.random_base2(math.ceil(math.log2(n)))[:n]  # whole powers of two keep the points' balance
    found = {}
    for (name, (low, high, scale)), column in zip(ends.items(), points.T, strict=True):
        found[name] = low + (high - low) * column if scale == "lin" else low * (high / low) ** column
    return found


def _bounds(document: Document, path: Path, value: Any) -> tuple[float, float, str]:
    """`[low, high]`, or a table with `low`, `high` and `scale`."""
    if isinstance(value, list):
        document.require(path, "be [low, high]", value, len(value) == 2)
        low, high = document.numbers(path, value)
        scale = "lin"
    else:
        document.table(path, value, ("low", "high", "scale"), ("low", "high"))
        scale = document.text((*path, "scale"), value.get("scale", "lin"), ("lin", "log"))
        low, high = (read_end(document, (*path, name), value[name], scale) for name in ("low", "high"))
    document.require(path, "have low < high, both finite", value, -math.inf < low < high < math.inf)
    return low, high, scale


def _draw(data: object, show: str | None, path: pathlib.Path) -> pathlib.Path:
    from .. import plot

    return save_picture(plot.sweep(data, show), path)


def _ends(status: object, meanings: dict[int, str]) -> list[dict[str, Any]]:
    """How the lanes ended: status code, number of lanes, their share and what the code means."""
    counts = sorted(Counter(np.asarray(status).ravel().tolist()).items())
    total = sum(number for _, number in counts)
    return [
        {"status": code, "lanes": number, "share": number / total, "meaning": meanings.get(code, "")}
        for code, number in counts
    ]


def _summary(ends: list[dict[str, Any]]) -> Any:
    table = optional("rich.table", "cli").Table("status", "lanes", "share", "meaning", title="How the lanes ended")
    for each in ends:
        table.add_row(str(each["status"]), str(each["lanes"]), f"{100 * each['share']:.3g} %", each["meaning"])
    return table
