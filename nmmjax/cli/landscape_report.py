"""The report of `nmmjax landscape` in words and figures."""

import pathlib

import numpy as np

from .._files import replace_file, replace_text
from .._optional import optional, versions
from .document import Block, to_html, to_markdown
from .landscape_tables import PAIRS, Analysis, active, mean_dwell, saddle_pattern

_ROWS = 20  # of a table in the report; the CSV files have all


def write_report(done: Analysis, out: pathlib.Path) -> None:
    """`report.md` and `report.html`, whose pictures are inside."""
    blocks = _blocks(done)
    replace_text(out / "report.md", to_markdown(blocks))
    replace_text(out / "report.html", to_html(blocks, out))


def draw_figures(done: Analysis, out: pathlib.Path, kind: str) -> tuple[tuple[str, str], ...]:
    """Names and captions of the pictures written."""
    from .. import plot

    model, found = done.model, done.found
    pictures = [
        ("activity", "Minima: active regions, size of the basin, time spent there", lambda: plot.activity(found)),
        ("disconnectivity", "Disconnectivity tree: minima join at the lowest pass between them",
         lambda: plot.disconnectivity(found)),
        ("occupancy", "Time spent in each basin, in the data and under the model; how long stays last",
         lambda: plot.occupancy(found, model if found.basin is not None else None)),
        ("transitions", "Direct transitions between basins", lambda: plot.transition_graph(found)),
        ("fit", "Fields, couplings, and how well the model fits the data", lambda: plot.ising(model)),
    ]  # fmt: skip
    if model.size <= 8:
        pictures.append(("basins", "All states, coloured by basin", lambda: plot.basin_graph(model)))
    written = []
    for name, caption, draw in pictures:
        figure = np.ravel(draw())[0].figure
        replace_file(out / f"{name}.{kind}", lambda path, figure=figure: figure.savefig(path, dpi=130, format=kind))
        optional("matplotlib.pyplot", "plot").close(figure)
        written.append((f"{name}.{kind}", caption))
    return tuple(written)


def _blocks(done: Analysis) -> list[Block]:
    """Headings, paragraphs, lists, tables and figures, in order."""
    pictures = {name.rsplit(".", 1)[0]: (name, caption) for name, caption in done.figures}
    figure = lambda name: [("figure", *pictures[name])] if name in pictures else []
    return [
        ("title", f"Energy landscape of {done.file.name}"),
        ("list", _summary(done)),
        ("heading", "What was read"),
        ("list", _read(done)),
        ("heading", "How well the model fits"),
        *_fit(done),
        *figure("fit"),
        ("heading", "Minima"),
        *_minima(done),
        *figure("activity"),
        *figure("disconnectivity"),
        *figure("basins"),
        ("heading", "Saddles"),
        *_saddles(done),
        ("heading", "Time spent and transitions"),
        *_transitions(done),
        *figure("occupancy"),
        *figure("transitions"),
        ("heading", "How far it can be trusted"),
        ("list", _trust(done)),
        ("heading", "How to read it"),
        *[("text", each) for each in _HELP],
        ("heading", "How it was made"),
        ("list", _made(done)),
    ]


_HELP = (
    "The model gives every pattern of active (1) and inactive (0) regions an energy E: a pattern of low energy is frequent, "
    "P ∝ exp(−E), so that an energy difference of 1 means a factor of 2.7 in how often patterns are seen. A minimum is a "
    "pattern that is more frequent than all patterns that differ from it in one region; its basin holds all patterns from "
    "which steepest steps down lead to it. The barrier is how far energy has to rise on the easiest way to another minimum.",
    "A positive coupling J means that two regions tend to be active together, after all other regions have been accounted "
    "for; a positive field h that a region tends to be active. Energies describe how often patterns occur, not metabolic "
    "energy or causes.",
)


def _summary(done: Analysis) -> list[str]:
    found, model = done.found, done.model
    lines = [f"{found.energy.size} {_plural('minimum', 'minima', found.energy.size)} of energy among "
             f"{_patterns(model.size)} of {model.size} regions."]  # fmt: skip
    if done.shuffled is not None and found.energy.size > 1:
        sure = int(done.shuffled.significant[1:].sum())
        lines.append(f"Beside the lowest, {sure} of {found.energy.size - 1} are deeper than chance explains (5 % level).")
    if model.accuracy is not None:
        lines.append(f"Pairs of regions explain {100 * model.accuracy:.1f} % of the regions' dependence (accuracy r).")
    ratio = done.data.spins.shape[0] / 2.0**model.size
    if ratio < 1:
        lines.append(f"**Few data: {ratio:.2g} samples per pattern.** Accuracy and shallow minima are uncertain.")
    return lines


def _plural(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


def _patterns(size: int) -> str:
    return f"{2**size} patterns" if size <= 20 else f"2^{size} patterns"


def _read(done: Analysis) -> list[str]:
    recording, data = done.recording, done.data
    samples, size = data.spins.shape
    dt = "" if data.dt is None else f", {data.dt:g} apart"
    lines = [f"File `{done.file}`: {recording.values.shape[0]} samples{dt}, {recording.values.shape[1]} regions."]
    if size < recording.values.shape[1] or samples < recording.values.shape[0]:
        lines.append(f"Analysed: {samples} samples of {size} regions.")
    if recording.subject is not None:
        lines.append(f"Subjects: {np.unique(recording.subject).size}; nothing is counted across two of them.")
    lines.append(f"Regions, in the order of the patterns: {', '.join(data.names)}.")
    above = "" if data.threshold.startswith("none") else " above it"
    lines.append(f"Threshold: {data.threshold};{above} a region is active (1, spin +1), else inactive (0, spin −1).")
    up = np.mean(data.spins > 0, axis=0)
    lines.append("Share of samples active: " + ", ".join(f"{n} {p:.2f}" for n, p in zip(data.names, up, strict=True)) + ".")
    return [*lines, *recording.notes, *done.notes]


def _fit(done: Analysis) -> list[Block]:
    model, data = done.model, done.data
    samples, size = data.spins.shape
    fit = model.fit
    assert fit is not None
    penalty = f", penalty {fit.penalty:g}" if fit.penalty else ""
    lines = [f"Method: {fit.method}{penalty}, {fit.status}; {samples / 2.0**size:.3g} samples per pattern."]
    if fit.S1 is not None and fit.S_N is not None and fit.S2 is not None:
        lines.append(
            f"Entropy: {fit.S1:.4f} bits if regions were independent (S1), {fit.S2:.4f} in the pairwise model (S2), "
            f"{fit.S_N:.4f} in the data (S_N). Regions' dependence takes away S1 − S_N = {fit.S1 - fit.S_N:.4f} bits, pairs "
            f"explain S1 − S2 = {fit.S1 - fit.S2:.4f} of them."
        )
    if model.accuracy is not None:
        lines.append(
            f"Accuracy r = {model.accuracy:.6f}, by divergence r_D = {model.divergence_accuracy:.6f}; 1 is perfect."
        )
    lines += [each for each in (fit.note, model.reason) if each]
    h, J = np.asarray(model.h, float), np.asarray(model.J, float)
    boot, h_error, J_error = done.bootstrap, model.h_error, model.J_error
    plus = lambda error: "" if error is None else f" ± {error:.3f}"
    i, j = np.triu_indices(size, 1)
    strongest = np.argsort(-np.abs(J[i, j]), kind="stable")[:10]
    head = ["regions", "coupling J", *(["bootstrap error"] if boot else [])]
    couplings = [
        [f"{model.names[i[k]]} – {model.names[j[k]]}",
         f"{J[i[k], j[k]]:.4f}{plus(None if J_error is None else J_error[i[k], j[k]])}",
         *([f"{boot.J_error[i[k], j[k]]:.3f}"] if boot else [])]
        for k in strongest
    ]  # fmt: skip
    fields = [
        [model.names[k], f"{h[k]:.4f}{plus(None if h_error is None else h_error[k])}",
         *([f"{boot.h_error[k]:.3f}"] if boot else [])]
        for k in np.argsort(-np.abs(h), kind="stable")[:10]
    ]  # fmt: skip
    which = "Strongest couplings" if len(i) > 10 else "Couplings"
    errors = " ± standard error, which takes samples to be independent" if J_error is not None else ""
    return [
        ("list", lines),
        ("text", f"{which}{errors} (all in `J.csv`, `h.csv`):"),
        ("table", head, couplings),
        ("table", ["region", "field h", *head[2:]], fields),
    ]


def _minima(done: Analysis) -> list[Block]:
    found, test, boot = done.found, done.shuffled, done.bootstrap
    labels = found.labels
    share, dwell, size = found.occupancy, mean_dwell(found), found.energy.size
    basin, part = found.basin_size, found.basin_fraction
    unit = "samples" if done.data.dt is None else "unit of dt"
    head = ["", "pattern", "active regions", "energy", "basin", "time spent", f"mean stay ({unit})", "barrier", "chance?"]
    head += ["still a minimum"] if boot else []
    rows = []
    for k in range(min(size, _ROWS)):
        error = f" ± {boot.energy_error[k]:.3f}" if boot else ""
        sure = "lowest" if k == 0 else "not tested" if test is None else "no" if test.significant[k] else "may be"
        rows.append([
            str(k + 1), f"`{labels[k]}`", active(found, k), f"{found.energy[k]:.4f}{error}",
            "" if basin is None or part is None else f"{basin[k]} ({100 * part[k]:.1f} %)",
            "" if share is None else f"{100 * share[k]:.2f} %",
            "" if dwell.size == 0 or np.isnan(dwell[k]) else f"{dwell[k]:.2f}",
            f"{found.depth[k]:.4f}" if np.isfinite(found.depth[k]) else "–", sure,
            *([f"{100 * boot.survival[k]:.0f} %"] if boot else []),
        ])  # fmt: skip
    text = [f"{size - _ROWS} more are in `minima.csv`."] if size > _ROWS else []
    about = "Basin: number of patterns. Barrier: to the lowest way out. Chance: whether minima of that depth come about in "
    about += "data whose regions are shuffled in time, each on its own; the lowest minimum is not in question."
    about += " Still a minimum: in how many resampled data." if boot else ""
    return [("table", head, rows), *[("text", each) for each in [*text, about, *([found.reason] if found.reason else [])]]]


def _saddles(done: Analysis) -> list[Block]:
    found = done.found
    size, labels = found.energy.size, found.labels
    pairs = [(a, b) for a in range(min(size, PAIRS)) for b in range(a + 1, min(size, PAIRS))]
    if not pairs:
        return [("text", "There is one minimum, so there is none.")]
    pairs.sort(key=lambda pair: found.saddle[pair])
    rows = [
        [f"`{labels[a]}`", f"`{labels[b]}`", f"{found.saddle[a, b]:.4f}", f"{found.barrier[a, b]:.4f}",
         f"{found.barrier[b, a]:.4f}", f"`{pattern}`" if (pattern := saddle_pattern(found, a, b)) else ""]
        for a, b in pairs[:_ROWS]
    ]  # fmt: skip
    more = [("text", f"The lowest {_ROWS} of {len(pairs)}; all are in `saddles.csv`.")] if len(pairs) > _ROWS else []
    return [("table", ["from", "to", "saddle's energy", "barrier there", "barrier back", "saddle"], rows), *more]


def _transitions(done: Analysis) -> list[Block]:
    found = done.found
    moves, visits, labels = found.transitions, found.visits, found.labels
    if moves is None or visits is None:
        return [("text", found.reason or "")]
    samples, size = done.data.spins.shape[0], found.energy.size
    total = int(moves.sum())
    text = f"{total} direct {_plural('transition', 'transitions', total)} in {samples} samples"
    text += f", one in {samples / total:.1f} samples." if total else "."
    if size <= 12:
        rows = [
            [f"`{labels[a]}`", *("" if a == b else f"{moves[a, b]} ({visits[a, b]})" for b in range(size))]
            for a in range(size)
        ]
        about = f"{text} From row to column; in brackets how often the column's basin was next visited, directly or not."
        return [("text", about), ("table", ["", *(f"`{each}`" for each in labels)], rows)]
    order = np.argsort(-moves, axis=None, kind="stable")[:_ROWS]
    pairs = [(int(each) // size, int(each) % size) for each in order]
    rows = [[f"`{labels[a]}`", f"`{labels[b]}`", str(moves[a, b]), str(visits[a, b])] for a, b in pairs]
    head = ["from", "to", "direct", "direct or indirect"]
    return [("text", f"{text} The most frequent; all are in `transitions.csv`."), ("table", head, rows)]


def _trust(done: Analysis) -> list[str]:
    data = done.data
    samples, size = data.spins.shape
    ratio = samples / 2.0**size
    if ratio < 1:
        few = f"**{ratio:.2g} samples per pattern: too few to know how often patterns occur.** S_N, and with it accuracy,"
        lines = [
            f"{few} is too low, and couplings are overfitted; use fewer regions (`--choose`), more data, or `--penalty`."
        ]
    else:
        lines = [f"{ratio:.3g} samples per pattern{'; ten or more would be better' if ratio < 10 else ''}."]
    stay = float(np.mean(data.spins[1:] == data.spins[:-1]))
    lines.append(
        f"Successive samples agree in {100 * stay:.0f} % of regions (50 % without memory): the more, the fewer independent "
        "samples there are, and the larger errors are than standard errors say."
    )
    test = done.shuffled
    if test is not None:
        lines.append(
            f"Shuffled data, {test.shuffled.size} times: minima less than {test.threshold:.4f} deep may be chance. "
            "Shuffling ignores slow signals' memory, so the true threshold is higher."
        )
    boot = done.bootstrap
    if boot is not None:
        failed = f" {boot.failed} had no estimate and were left out." if boot.failed else ""
        lines.append(
            f"Resampled data, {boot.h.shape[0]} times in blocks of {boot.block} samples: errors in the tables.{failed}"
        )
    if done.validation is not None:
        gain = done.validation.gain
        worse = "worse than independent regions do: it is overfitted; use fewer regions or a penalty"
        lines.append(
            f"Held-out data, {done.validation.samples.size} folds: the pairwise model predicts them {abs(gain):.4f} bits "
            f"per sample {'better than independent regions do' if gain > 0 else worse}."
        )
    lines += [f"{name}: {why}" for name, why in done.unknown.items()]
    return lines


def _made(done: Analysis) -> list[str]:
    found = ", ".join(f"{name} {version}" for name, version in versions().items())
    tables = ", ".join(f"`{name}.csv`" for name in ("minima", "saddles", "transitions", "h", "J", "states"))
    return [
        *([f"`{done.command}`"] if done.command else []),
        f"Tables: {tables}. The model: `model.json`, read by `nmmjax.ising.load_ising`.",
        "Method: Watanabe et al., Front. Neuroinform. 8, 12 (2014); Ezaki et al., Phil. Trans. A 375, 20160287 (2017).",
        f"{found}.",
    ]
