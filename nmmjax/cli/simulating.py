"""`nmmjax simulate config.toml`: one run written down in a file."""

import inspect
import os
import pathlib
import sys
from typing import Any

import diffrax
import jax
import numpy as np

from .._files import as_folder, as_new_file, beside, replace_text
from .._parameter import as_number
from .._results import RESULTS
from ..finite_size.comparison import compare_with_neurons
from ..models.cumulants import AbstractCumulants
from ..models.noise import CauchyNoise, GaussianNoise
from ..models.qif_network import QIFNetwork
from ..solvers.mobius import MobiusExtrapolation, MobiusSplitting
from ..solvers.simulation import simulate as run_simulation
from ..solvers.trajectory import Trajectory
from .configuration import Document
from .objects import (
    build_model,
    build_noise,
    build_start,
    build_stimulus,
    picture_of,
    precision_of,
    save_picture,
    using_precision,
    write_netcdf,
)
from .printing import console_for, print_json

_TABLES = ("model", "connectome", "network", "y0", "stimulus", "noise")
_KEYS = ("t0", "t1", "points", "neurons", "solver", "rtol", "atol", "dt0", "max_steps", "seed", "precision", "figure")
_EXAMPLE = """\
# One run: nmmjax simulate simulate.toml
t1 = 60.0                      # also t0, solver = "Tsit5", rtol, atol, dt0, seed, precision = "float32"
points = 3001                  # times at which the state is kept
figure = "simulate.png"        # false for none

[model]                        # MPR, a circuit such as name = "ping", or a closure; `nmmjax models` lists their parameters
eta = -5.0
J = 15.0
Delta = 1.0

[y0]
r = 0.08
v = -1.96

[stimulus]                     # [[stimulus]] more than once for a sum
kind = "Pulse"
amplitude = 3.0
start = 10.0
stop = 20.0

# [noise]                      # with a seed above
# kind = "WhiteNoise"
# intensity = 0.1

# neurons = 10000              # above the tables: as many spiking neurons beside the mean field
"""


def simulate(
    config: pathlib.Path | None = None,
    /,
    *,
    out: pathlib.Path = pathlib.Path(),
    example: bool = False,
    json: bool = False,
) -> None:
    """Run the simulation that a TOML file describes; write its course as NetCDF and a picture.

    The file: t1 (and t0, points, neurons, solver, rtol, atol, dt0, max_steps, seed, precision, figure), then tables [model]
    name, parameters and terms; [connectome] file, normalize, …; [network] weights, gain, per_node, …; [y0] r, v;
    [stimulus] kind, parameters; [noise] kind,
    …. With `neurons`, a network of as many spiking neurons runs beside the mean field, or alone if its noise has no exact
    mean field. If a run fails, what there is of it is written, and the exit code is 1.

    Parameters
    ----------
    config
        The TOML file.
    out
        Folder for what is written; the current one by default.
    example
        Write simulate.toml, an example to begin with, and do nothing else.
    json
        Print one JSON object.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    out = as_folder(out)
    console = console_for(json)
    if example:
        out.mkdir(parents=True, exist_ok=True)
        written = [replace_text(out / "simulate.toml", _EXAMPLE)]
        console.print(f"Written: {written[0]}", highlight=False, soft_wrap=True)
        console.print(f"Now: nmmjax simulate {written[0]} --out {out}", highlight=False, soft_wrap=True)
        if json:
            print_json({"written": written})
        return
    if config is None:
        raise ValueError("The TOML file must be given: nmmjax simulate config.toml (or --example for one to begin with).")
    document = Document(config)
    values = document.table((), document.values, (*_KEYS, *_TABLES), ("t1", "y0"))
    picture = picture_of(document)
    with using_precision(precision_of(document)):
        call = _call(document, values)
        out.mkdir(parents=True, exist_ok=True)
        figure = as_new_file(beside(out, picture, "figure"), "figure") if picture else None
        target = as_new_file(out / f"{config.stem}.nc", "out")
        with document.at(()):
            runs, verdict = _runs(call)
        written = [write_netcdf(run.to_xarray(), _beside(target, run)) for run in runs]
        if figure is not None:
            written.append(_draw(runs, figure))
    for text in (*map(str, runs), *verdict):
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    console.print("Written:", ", ".join(map(str, written)), highlight=False, soft_wrap=True)
    if json:
        found = [{**run.attributes, "times": run.ts.size, "reached": int(run.reached)} for run in runs]
        print_json({**found[0], "neurons": found[1:], "verdict": verdict, "written": written})
    for run in runs:
        if message := RESULTS[run.result]:
            print(f"nmmjax: {message}", file=sys.stderr)
            sys.exit(1)


def _beside(path: pathlib.Path, run: Trajectory) -> pathlib.Path:
    """The file of a run: that of neurons says so."""
    return path if run.neurons is None else path.with_stem(f"{path.stem}_neurons")


def _call(document: Document, values: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `nmmjax.simulate`, each checked, so that a refusal has a line."""
    model = build_model(document)
    found: dict[str, Any] = {"model": model, "y0": build_start(document, model)}
    found["stimulus"] = build_stimulus(document, ("stimulus",), values.get("stimulus"))
    found["noise"] = build_noise(document, ("noise",), values.get("noise"))
    t0, t1 = (document.number((name,), values.get(name, 0.0)) for name in ("t0", "t1"))
    document.require(("t1",), f"be later than t0 ({t0:g})", t1, t0 < t1 < np.inf)
    found["ts"] = np.linspace(t0, t1, document.integer(("points",), values.get("points", 1001), 2))
    for name, interval in {"rtol": "(0, 1)", "atol": "(0, inf)", "dt0": "(0, inf)"}.items():
        if name in values:
            found[name] = document.number((name,), values[name])
            with document.at((name,)):
                as_number(name, found[name], interval)
    if "neurons" in values:
        found["neurons"] = document.integer(("neurons",), values["neurons"], 1)
        for name in ("solver", "rtol", "atol", "max_steps"):
            document.require((name,), "be left out with `neurons`", values.get(name), name not in values)
    if "max_steps" in values:
        found["max_steps"] = document.integer(("max_steps",), values["max_steps"], 1)
    if "solver" in values:
        found["solver"] = _solver(document, document.text(("solver",), values["solver"]))
    if _draws(document, found):
        document.table((), values, needed=("seed",))
        found["key"] = jax.random.key(document.integer(("seed",), values["seed"], 0))
    return found


def _draws(document: Document, call: dict[str, Any]) -> bool:
    """Whether anything is random. Refuses noise that the model can't have."""
    model, noise = call["model"], call["noise"]
    if "neurons" in call:
        rule = "be left out: the neurons' noise is `model.intensity`"
        closed = isinstance(model, AbstractCumulants)
        document.require(("noise",), rule, document.values.get("noise"), noise is None or not closed)
        return noise is not None or closed
    if noise is None:
        return False
    with document.at(("noise",)):
        return noise.split(model)[1] is not None


def _runs(call: dict[str, Any]) -> tuple[list[Trajectory], list[str]]:
    """The run, or those of the mean field and its neurons, or of these alone; and what is to be said of both."""
    size, key = call.pop("neurons", None), call.get("key")
    if size is None:
        return [run_simulation(**call)], []
    model, noise, given = call["model"], call["noise"], {name: call[name] for name in ("ts", "stimulus")}
    options = {"key": key, "dt0": call.get("dt0"), **given}
    if isinstance(model, AbstractCumulants):
        own = {name: getattr(call["y0"], name) for name in model.population.variables}
        neurons = QIFNetwork(model.population, size)
        run = run_simulation(neurons, own, noise=GaussianNoise(model.intensity), **options)
        return [run_simulation(model, call["y0"], **given), run], []
    if noise is None or isinstance(noise, CauchyNoise):
        both = compare_with_neurons(model, y0=call["y0"], size=size, noise=noise, **options)
        return [both.mean_field, *both.neurons], [str(both)]
    return [run_simulation(QIFNetwork(model, size), call["y0"], noise=noise, **options)], []


def _solver(document: Document, name: str) -> Any:
    """A solver by its class's name, ours or one of diffrax's for ordinary differential equations."""
    ours = {"MobiusSplitting": MobiusSplitting(4), "MobiusExtrapolation": MobiusExtrapolation()}
    if name in ours:
        return ours[name]
    solver = getattr(diffrax, name, object)
    kinds = (diffrax.AbstractERK, diffrax.AbstractImplicitSolver)
    is_solver = inspect.isclass(solver) and issubclass(solver, kinds) and not inspect.isabstract(solver)
    rule = "be MobiusSplitting, MobiusExtrapolation or a Runge–Kutta solver of diffrax such as Tsit5"
    document.require(("solver",), rule, name, is_solver)
    return solver()


def _draw(runs: list[Trajectory], path: pathlib.Path) -> pathlib.Path:
    from .. import plot

    run, mean_field = runs[-1], runs[0] if len(runs) > 1 else None
    axes = plot.trajectory(run) if run.neurons is None else plot.raster(run, mean_field=mean_field)
    return save_picture(axes, path)
