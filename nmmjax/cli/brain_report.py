"""The figure and the report of `nmmjax brain`."""

import pathlib
from typing import Any

import numpy as np

from .._optional import optional
from .._parameter import describe
from .brain_job import Job
from .brain_runs import Found
from .document import Block

_FLAT, _IDLE, _LINES = 0.02, 1e-3, 6


def draw(job: Job, found: Found) -> Any:
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


def report(job: Job, found: Found, figure: pathlib.Path | None) -> list[Block]:
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


def _ranges(job: Job, found: Found) -> str:
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


def _ends(job: Job, found: Found) -> list[str]:
    """The parameters whose best value is the first or last that was tried."""
    return [
        name
        for name, x in found.best.items()
        if job.over[name].size > 2 and x in (job.over[name].min(), job.over[name].max())
    ]


def _idle(job: Job, found: Found) -> dict[str, float]:
    """The parameters over which the score hardly changes from the best point, and by how much it does."""
    changes = {}
    for name in found.best:
        others = {other: x for other, x in found.best.items() if other != name}
        changes[name] = float(np.ptp(found.data[job.score].sel(others).values))
    return {name: by for name, by in changes.items() if by < _IDLE and job.over[name].size > 1}
