"""`nmmjax brain config.toml`: a connectome's functional connectivity beside a recording's, over gain, noise and more."""

import dataclasses
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._files import as_folder, as_new_file, beside, replace_text
from .._labelled import attributes_of, software, xarray
from .._optional import optional
from .._parameter import describe
from .._progress import Progress
from .._types import Values
from ..ensemble.observables import Mean
from ..fitting.connectivity import FunctionalConnectivityTarget
from ..fitting.parametrization import parametrize
from ..landscape.landscapes import stable_state
from ..models.connectome import load_connectome
from ..monitors.balloon import BOLD
from ..monitors.connectivity import FunctionalConnectivity
from ..numerics.compiling import jitted
from ..recordings.loading import load_recording
from ..stochastic.linear import linear_response
from ..sweeps.sweeping import plan_of, run_plan, summarize
from .configuration import Document
from .document import Block, to_html, to_markdown
from .objects import (
    build_connectome,
    build_model,
    build_start,
    picture_of,
    precision_of,
    read_range,
    save_picture,
    using_precision,
    write_netcdf,
)
from .printing import console_for, print_json

_TABLES = ("connectome", "population", "model", "network", "recording", "over", "bold", "y0")
_KEYS = ("method", "score", "t0", "t1", "dt0", "seed", "store", "chunk", "precision", "figure")
_RECORDING = ("file", "fc", "regions", "key", "dt", "names", "time", "index", "header")
_BOLD = ("TR", "constants", "scale", "channel", "seconds")
_METHODS, _SCORES = ("linear", "simulate"), ("correlation", "difference")
_SHOWN, _FLAT, _IDLE, _LINES = 5, 0.02, 1e-3, 6
_EXAMPLE = """\
# Which gain makes this brain's functional connectivity like the recording's: nmmjax brain brain.toml
score = "difference"           # what is best: least difference, or highest "correlation" (the default)
method = "linear"              # exact for weak noise, no runs; or "simulate", with t1, seed, [bold], and noise in [over]
figure = "brain.png"           # false for none

[connectome]
file = "weights.csv"           # zip of The Virtual Brain, npz, mat, h5, folder, or one table
normalize = "rows"             # or "max", "strength", "spectral", a number; also symmetrize, density, log, unit, receives

[population]                   # MPR; times in ms
eta = -5.0
J = 15.0
Delta = 1.0
tau = 10.0

[recording]
fc = "fc.csv"                  # correlations; or file = "bold.csv", time series of the regions

[over]
gain = {start = 1.0, stop = 12.0, num = 23}
noise = {values = [0.001, 0.01, 0.03]}

# [network]                    # per_node values, and with lengths: speed = 3.0 (mm/ms)
# [bold]                       # what was recorded: TR = 2000.0, constants = "friston2003", …
"""


def brain(
    config: pathlib.Path | None = None,
    /,
    *,
    out: pathlib.Path = pathlib.Path(),
    example: bool = False,
    json: bool = False,
) -> None:
    """Compare a brain's functional connectivity with a recording's over gain, noise and more; write report, picture, NetCDF.

    The file: method, then tables [connectome] file, normalize, …; [population] parameters; [network] gain, speed, per_node;
    [recording] file (time series) or fc (correlations); [over] gain, noise, … (start, stop, num, scale or values); [bold]
    TR, constants, …. With method "linear" (the default) fluctuations about the state of rest, without runs; with "simulate"
    runs to t1 (and t0, dt0, seed, store, chunk, [y0]), which resume from the store.

    Parameters
    ----------
    config
        The TOML file.
    out
        Folder for what is written; the current one by default.
    example
        Write brain.toml, weights.csv and fc.csv, an example to begin with, and do nothing else.
    json
        Print one JSON object.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    out = as_folder(out)
    console = console_for(json)
    if example:
        written = _write_example(out)
        console.print("Written:", ", ".join(map(str, written)), highlight=False, soft_wrap=True)
        console.print(f"Now: nmmjax brain {written[0]} --out {out}", highlight=False, soft_wrap=True)
        if json:
            print_json({"written": written})
        return
    if config is None:
        raise ValueError("The TOML file must be given: nmmjax brain config.toml (or --example for one to begin with).")
    document = Document(config)
    picture = picture_of(document)
    with using_precision(precision_of(document)):
        job = _job(document)
        out.mkdir(parents=True, exist_ok=True)
        figure = as_new_file(beside(out, picture, "figure"), "figure") if picture else None
        target = as_new_file(out / f"{config.stem}.nc", "out")
        report = as_new_file(out / f"{config.stem}.md", "out")
        found = _linear(job) if job.method == "linear" else _simulated(job, out)
        written = [write_netcdf(found.data, target)]
        if figure is not None:
            written.append(save_picture(_draw(job, found), figure))
        blocks = _blocks(job, found, None if figure is None else figure)
        written.append(replace_text(report, to_markdown(blocks)))
        if figure is None or figure.suffix != ".pdf":
            written.append(replace_text(report.with_suffix(".html"), to_html(blocks, out)))
    console.print(found.summary, highlight=False, markup=False, soft_wrap=True)
    console.print("Written:", ", ".join(map(str, written)), highlight=False, soft_wrap=True)
    if json:
        print_json({"best": found.best, "correlation": found.correlation, "verdict": found.verdict, "written": written})


@dataclasses.dataclass(frozen=True)
class _Job:
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


@dataclasses.dataclass(frozen=True)
class _Found:
    """Results over the grid (`data`), the best point, its connectivity, and what is to be said."""

    data: Any
    best: dict[str, float]
    correlation: float
    difference: float
    fc: np.ndarray
    verdict: str
    points: list[tuple[dict[str, float], float, float]]

    @property
    def summary(self) -> str:
        point = ", ".join(f"{name} = {value:.6g}" for name, value in self.best.items())
        return (
            f"Best: {point}; correlation {self.correlation:.4f} with the recording's connectivity, difference "
            f"{self.difference:.3g}. {self.verdict}"
        )


def _job(document: Document) -> _Job:
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
                    _at(network, {name: each})
        document.require(("over",), "name a parameter beside noise, such as gain", table, set(over) - {"noise"})
    else:
        document.table((), values, needed=("t1", "seed", "bold"))
        document.require(("over",), "name noise, without which nothing fluctuates", sorted(over), "noise" in over)
    return _Job(document, method, score, network, connectome, target, source, over, monitor)


def _at(network: Any, values: dict[str, Any]) -> Any:
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


def _linear(job: _Job) -> _Found:
    """Over all parameters but noise, on whose intensity correlations do not depend; noise says how linear it is."""
    names = [name for name in job.over if name != "noise"]
    shape = tuple(job.over[name].size for name in names)
    parameters = parametrize(job.network, tuple(names))
    target = job.target

    @jitted
    def one(x: Values) -> Any:
        network = parameters.apply(job.network, x)
        response = linear_response(network)
        return target.connectivity(network), response.state.r, jnp.max(response.relative)

    points = np.stack([each.ravel() for each in np.meshgrid(*(job.over[name] for name in names), indexing="ij")], axis=1)
    found = []
    with Progress(len(points), label="brain", unit="points") as bar:
        for x in points:
            found.append(jax.tree.map(np.asarray, one(jnp.asarray(x, parameters.scale.dtype))))
            bar.finish(1)
    fc, rates, relative = (np.stack(each) for each in zip(*found, strict=True))
    data, best, scores = _scored(job, names, shape, fc)
    data["rate"] = (names, rates.mean(axis=1).reshape(shape), {"units": "1/time", "long_name": "mean rate at rest"})
    intensity = job.over.get("noise", np.ones(1))
    spread = relative.reshape(*shape, 1) * np.sqrt(intensity)
    dims = [*names, "noise"] if "noise" in job.over else names
    about = {"units": "1", "long_name": "largest standard deviation of a rate over its mean"}
    data["relative"] = (dims, spread if "noise" in job.over else spread[..., 0], about)
    if "noise" in job.over:
        data = data.assign_coords(
            noise=("noise", job.over["noise"], {"units": "1", "long_name": "intensity D of the noise"})
        )
    weakest = 0.05 / relative[best]
    verdict = (
        f"It holds there to a few percent for noise up to D = {weakest**2:.3g}, where rates vary by 5 % (σ_r/r = 0.05)."
    )
    return _result(job, data, names, points, fc, best, scores, verdict)


def _simulated(job: _Job, out: pathlib.Path) -> _Found:
    """Runs over the whole grid, BOLD and its connectivity folded."""
    document, values = job.document, job.document.values
    assert job.monitor is not None
    t0, t1 = (document.number((name,), values.get(name, 0.0)) for name in ("t0", "t1"))
    settings = {"dt0": document.number(("dt0",), values["dt0"])} if "dt0" in values else {}
    y0 = build_start(document, job.network) if "y0" in values else stable_state(job.network, None, highest=False)[0]
    key = jax.random.key(document.integer(("seed",), values["seed"], 0))
    observe = {"fc": FunctionalConnectivity(job.monitor), "rate": Mean("r")}
    over = dict(job.over)
    with document.at(()):
        plan = plan_of(job.network, over=over, y0=y0, t0=t0, t1=t1, observe=observe, noise=0.0, key=key, **settings)
    store = beside(out, document.text(("store",), values["store"]), "store") if "store" in values else None
    chunk = document.integer(("chunk",), values["chunk"], 1) if "chunk" in values else None
    swept = run_plan(plan, store=store, chunk=chunk)
    names = list(over)
    shape = tuple(each.size for each in over.values())
    fc = np.asarray(swept["fc"].values).reshape(-1, job.network.size, job.network.size)
    data, best, scores = _scored(job, names, shape, fc)
    data["rate"], data["status"] = swept["rate"], swept["status"]
    points = np.stack([each.ravel() for each in np.meshgrid(*over.values(), indexing="ij")], axis=1)
    verdict = summarize(swept["status"], plan.meanings) or "All runs were successful."
    return _result(job, data, names, points, fc, best, scores, verdict)


def _scored(job: _Job, names: list[str], shape: tuple[int, ...], fc: np.ndarray) -> tuple[Any, int, np.ndarray]:
    """The dataset of how well every point's `fc` matches, the best point's number, and (correlation, difference) of all."""
    pairs = np.triu_indices(job.network.size, 1)
    wanted = job.target.measured(job.network)[pairs]
    seen = np.isfinite(wanted)
    scores = np.full((len(fc), 2), np.nan)
    for k, each in enumerate(fc):
        x = each[pairs][seen]
        if np.isfinite(x).all() and np.ptp(x) > 0:
            scores[k] = np.corrcoef(x, wanted[seen])[0, 1], np.sqrt(np.mean((x - wanted[seen]) ** 2))
    if np.isnan(scores).all():
        raise ValueError(
            "No point of [over] has a functional connectivity: there is no stable state of rest, or all runs failed."
        )
    labels = [str(each) for each in job.network.labels]
    coords = {name: (name, job.over[name]) for name in names} | {"node": labels, "other_node": labels}
    about = ("correlation with the recording's functional connectivity", "root mean squared difference from it")
    data = {
        name: (names, scores[:, k].reshape(shape), {"units": "1", "long_name": text})
        for k, (name, text) in enumerate(zip(("correlation", "difference"), about, strict=True))
    }
    attrs = {**attributes_of(job.network, "model"), "method": job.method, "recording": job.source}
    best = int(np.nanargmax(scores[:, 0]) if job.score == "correlation" else np.nanargmin(scores[:, 1]))
    return xarray().Dataset(data, coords=coords, attrs=attrs | software()), best, scores


def _result(
    job: _Job, data: Any, names: list[str], points: np.ndarray, fc: np.ndarray, best: int, scores: np.ndarray, verdict: str
) -> _Found:
    square = ("node", "other_node")
    data["fc"] = (square, fc[best], {"units": "1", "long_name": "functional connectivity at the best point"})
    data["recorded"] = (square, job.target.measured(job.network), {"units": "1", "long_name": "that of the recording"})
    rank = -scores[:, 0] if job.score == "correlation" else scores[:, 1]
    order = [int(k) for k in np.argsort(rank)[:_SHOWN] if np.isfinite(rank[k])]  # NaN come last
    row = lambda k: (dict(zip(names, points[k].tolist(), strict=True)), float(scores[k, 0]), float(scores[k, 1]))
    point, correlation, difference = row(best)
    return _Found(data, point, correlation, difference, fc[best], verdict, [row(k) for k in order])


def _draw(job: _Job, found: _Found) -> Any:
    """The map or curve of the correlation, and both connectivities."""
    from .. import plot
    from ..plot.common import parameter_label

    pyplot: Any = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(1, 3, figsize=(13.5, 4.2), layout="constrained")
    values = found.data[job.score]
    label = {"correlation": "correlation with", "difference": "difference from"}[job.score] + " the recording"
    names = sorted((str(each) for each in values.dims), key=lambda name: -job.over[name].size)
    few = len(names) == 2 and job.over[names[1]].size <= _LINES
    shown = lambda name: "noise intensity D (dimensionless)" if name == "noise" else parameter_label(job.network, name)
    if len(names) == 1 or few:
        for each in job.over[names[1]] if few else [None]:
            row = values if each is None else values.sel({names[1]: each})
            legend = None if each is None else f"{names[1]} = {each:.4g}"
            axes[0].plot(values[names[0]], row, "o-", ms=3, label=legend)
        axes[0].axvline(found.best[names[0]], color="0.6", linewidth=0.8)
        axes[0].set(xlabel=shown(names[0]), ylabel=label)
        if few:
            axes[0].legend(frameon=False, fontsize=8)
    elif len(names) == 2:
        values = values.transpose(*names)
        image = axes[0].pcolormesh(values[names[1]], values[names[0]], values.values, shading="nearest", cmap="viridis")
        axes[0].plot(found.best[names[1]], found.best[names[0]], "o", color="white", mec="black")
        axes[0].set(xlabel=shown(names[1]), ylabel=shown(names[0]))
        for name, axis in ((names[1], "x"), (names[0], "y")):
            grid = job.over[name]
            if grid.size > 2 and grid.min() > 0 and np.allclose(np.diff(np.log(grid)), np.log(grid[1] / grid[0])):
                getattr(axes[0], f"set_{axis}scale")("log")
        figure.colorbar(image, ax=axes[0], label=label)
    else:
        axes[0].set_axis_off()
        axes[0].text(0.5, 0.5, f"{len(names)} dimensions: see the NetCDF file", ha="center", transform=axes[0].transAxes)
    plot.functional_connectivity(found.data["fc"], found.data["recorded"], axes=axes[1:])
    return axes


def _blocks(job: _Job, found: _Found, figure: pathlib.Path | None) -> list[Block]:
    """The report."""
    point = ", ".join(f"**{name} = {value:.5g}**" for name, value in found.best.items())
    how = {
        "linear": "Small fluctuations under independent noise about the state of rest that is reached from the regions' "
        "lowest ones, exact to first order in the noise; no runs. Correlations then do not depend on its intensity.",
        "simulate": "Runs with independent noise in every region; BOLD and its correlations were folded on the way.",
    }[job.method]
    what = "of the rates" if job.monitor is None else f"of {job.monitor!r}"
    blocks: list[Block] = [
        ("title", f"Functional connectivity of {pathlib.Path(job.document.file).stem}, beside a recording's"),
        (
            "text",
            f"At {point} the model's functional connectivity, correlations {what}, has the correlation "
            f"**{found.correlation:.3f}** with that of the recording over {job.target.pairs} pairs of regions, and differs "
            f"by {found.difference:.3g} (root mean square). {_ranges(job, found)}",
        ),
    ]
    if figure is not None:
        blocks.append(
            ("figure", figure.name, "Likeness over what was varied; functional connectivity of model and recording")
        )
    header = [*found.best, "correlation", "difference"]
    rows = [[*(f"{each:.5g}" for each in at.values()), f"{a:.4f}", f"{b:.4f}"] for at, a, b in found.points]
    idle = _idle(job, found)
    notes = [
        f"{name} is best at the end of what was tried, {found.best[name]:.5g}: try beyond it."
        for name in _ends(job, found)
        if name not in idle
    ]
    notes += [
        f"{name} hardly matters there: over all of its values the {job.score} changes by {by:.2g}."
        for name, by in idle.items()
    ]
    spread = float(np.ptp(found.data["correlation"].values[np.isfinite(found.data["correlation"].values)]))
    if spread < _FLAT and job.score == "correlation":
        notes.append(
            f"The correlation varies by {spread:.2g} only: the pattern hardly depends on what was varied. "
            '`score = "difference"` compares the size of the correlations as well.'
        )
    blocks += [("heading", "Best points"), ("table", header, rows)]
    blocks += [("list", notes)] if notes else []
    blocks += [("heading", "How it was computed"), ("text", how), ("text", found.verdict)]
    ranges = [f"{name}: {each.size} values from {each.min():.5g} to {each.max():.5g}" for name, each in job.over.items()]
    blocks += [
        ("heading", "What went in"),
        (
            "list",
            [
                describe(job.network),
                f"Recording: {job.source.removeprefix('Recording: ')}",
                *ranges,
                *_told(str(job.connectome)),
            ],
        ),
    ]
    return blocks


def _ranges(job: _Job, found: _Found) -> str:
    """How large the correlations of recording and model are."""
    pairs = np.triu_indices(job.network.size, 1)
    said = []
    for whose, fc in (("the recording's", job.target.measured(job.network)), ("the model's", found.fc)):
        each = fc[pairs][np.isfinite(fc[pairs])]
        said.append(f"{whose} correlations lie between {each.min():.3f} and {each.max():.3f}, {each.mean():.3f} in the mean")
    return f"{said[0][0].upper()}{said[0][1:]}; {said[1]}."


def _told(words: str) -> list[str]:
    """The lines of a print-out, as "what: …", those that go on joined to the line before."""
    first, *rest = words.splitlines()
    lines = [first]
    for each in rest:
        what, _, more = each.strip().partition("  ")
        if each.startswith("   "):
            lines[-1] += f"; {each.strip()}"
        else:
            lines.append(f"{what}: {more.strip()}" if more else what)
    return lines


def _ends(job: _Job, found: _Found) -> list[str]:
    """The parameters whose best value is the first or last that was tried."""
    return [
        name
        for name, x in found.best.items()
        if job.over[name].size > 2 and x in (job.over[name].min(), job.over[name].max())
    ]


def _idle(job: _Job, found: _Found) -> dict[str, float]:
    """The parameters over which the score hardly changes from the best point, and by how much it does."""
    changes = {}
    for name in found.best:
        others = {other: x for other, x in found.best.items() if other != name}
        changes[name] = float(np.ptp(found.data[job.score].sel(others).values))
    return {name: by for name, by in changes.items() if by < _IDLE and job.over[name].size > 1}


def _write_example(out: pathlib.Path) -> list[pathlib.Path]:
    """brain.toml with a generated connectome and the connectivity of one of its gains, with sampling errors."""
    from ..models.connectome_generator import random_connectome
    from ..models.mpr import MPR
    from ..models.network import Network

    with using_precision("float64"):
        connectome = random_connectome(20, key=jax.random.key(0))
        network = Network(MPR(eta=-5.0, J=15.0, Delta=1.0, tau=10.0), connectome.scaled("rows"), gain=8.0)
        X = np.asarray(linear_response(network).fc())
        series = np.random.default_rng(0).multivariate_normal(np.zeros(20), X, size=2000)
    head = ",".join(connectome.labels)
    table = lambda values: "\n".join([head, *(",".join(f"{each:.6g}" for each in row) for row in values)]) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    return [
        replace_text(out / "brain.toml", _EXAMPLE),
        replace_text(out / "weights.csv", table(np.asarray(connectome.weights))),
        replace_text(out / "fc.csv", table(np.corrcoef(series.T))),
    ]
