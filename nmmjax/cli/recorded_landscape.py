"""`nmmjax landscape bold.csv`: the energy landscape of a recording, as a report with tables and figures."""

import dataclasses
import os
import pathlib
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._checks import require
from .._files import as_folder, replace_text
from .._progress import Progress
from ..ising.fitting import fit_ising
from ..ising.significance import IsingBootstrap, ShuffleTest, bootstrap_ising, shuffle_test
from ..ising.validation import cross_validate_ising, select_regions
from ..ising.walsh import LARGEST
from ..recordings.loading import load_recording
from ..recordings.recording import Recording, about_global_signal, binarize
from .landscape_report import draw_figures, write_report
from .landscape_tables import Analysis, summary, write_tables
from .objects import using_precision
from .printing import console_for, print_json

_EXACT = 15  # regions up to which nothing has to be said about the method
_LATER = ("Held-out data", "Shuffled data", "Resampled data")
_METHODS = ("auto", "exact", "pseudo", "sampling")


def landscape(
    recording: pathlib.Path | None = None,
    /,
    *,
    out: pathlib.Path = pathlib.Path("results"),
    regions: str | None = None,
    select: str | None = None,
    choose: int | None = None,
    threshold: str = "mean",
    subject: str | None = None,
    key: str | None = None,
    dt: float | None = None,
    header: bool | None = None,
    index: bool | None = None,
    time: str | None = None,
    global_signal: str = "keep",
    drop_missing: bool = False,
    method: str = "auto",
    penalty: float = 0.0,
    shuffles: int | None = None,
    bootstrap: int = 0,
    seed: int = 0,
    figures: str = "png",
    quiet: bool = False,
    example: bool = False,
    json: bool = False,
) -> None:
    """The energy landscape of a recording: a report (Markdown, HTML), tables (CSV), the model (JSON) and figures.

    The recording: csv, tsv, txt, dat, 1D (these also as .gz), npy, npz, mat, h5 or hdf5, one column per region, with or
    without names in the first line. Each region becomes active or inactive by a threshold, the
    pairwise maximum-entropy model is fitted, and its minima, basins and barriers are found, with the time that the recording
    spends in each.

    Parameters
    ----------
    recording
        The file.
    out
        Folder for what is written.
    regions
        `columns` or `rows`: what a region is; must be said if there are fewer rows than columns.
    select
        Regions to use, names or column numbers from 1, separated by commas.
    choose
        Use this many regions, those whose dependence pairs explain best (of all, or of those selected).
    threshold
        `mean` or `median` of each region (and subject), or a number. Two-valued data are taken as they are.
    subject
        Column (or array) that says whose sample it is.
    key
        Which array of an npz, mat, h5 or hdf5 file.
    dt
        Time between samples, for dwell times.
    header
        Whether the first line holds names; told by its cells by default.
    index
        Whether the first column is an index, to be left out; told by its cells by default.
    time
        The column of times, or `none` if all are regions; one called time that increases by default.
    global_signal
        `keep`, or `regress` to take the mean over all regions out of each of them before the threshold.
    drop_missing
        Leave out samples in which a region has no value; nothing is counted across the gaps.
    method
        `exact` (up to 20 regions), `pseudo`, `sampling`, or `auto`: exact up to 15.
    penalty
        Ridge penalty of the fit, such as 0.001; needed if samples are few.
    shuffles
        Shuffled data to tell which minima may be chance; 100 by default, for more than 15 regions none.
    bootstrap
        Resampled data for error bars, such as 200; none by default.
    seed
        Of everything random.
    figures
        `png`, `svg` or `none`.
    quiet
        Print nothing but errors.
    example
        Write recording.csv, an example to begin with, and do nothing else.
    json
        Print one JSON object; its tables are those of the CSV files.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    out = as_folder(out)
    console = console_for(json, quiet)
    say = lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True)
    if example:
        say(f"Written: {_write_example(out)}")
        say(f"Now: nmmjax landscape {out / 'recording.csv'} --out {out}")
        if json:
            print_json({"written": [out / "recording.csv"]})
        return
    if recording is None:
        raise ValueError("The recording must be given: nmmjax landscape bold.csv (or --example for one to begin with).")
    _check(regions, method, penalty, shuffles, bootstrap, seed, figures)
    plan = _Plan(choose, _threshold(threshold), global_signal, drop_missing, method, penalty, seed)
    with using_precision("float64"):
        try:
            when = False if time == "none" else time
            about = {"subject": subject, "key": key, "dt": dt, "header": header, "index": index, "time": when}
            read = load_recording(recording, regions, **about)
            read = dataclasses.replace(read, notes=tuple(_as_options(each) for each in read.notes))
            done = _fitted(recording, read, plan, _numbers(read, select), say)
        except ValueError as error:
            raise ValueError(_as_options(str(error))) from None
        out.mkdir(parents=True, exist_ok=True)
        done = dataclasses.replace(done, command=_command(), unknown=dict.fromkeys(_LATER, "not done yet."))
        write_tables(done, out)
        if figures != "none":
            done = dataclasses.replace(done, figures=draw_figures(done, out, figures))
        write_report(done, out)
        stopped = False
        for step in _steps(plan, done.model.size, shuffles, bootstrap, not quiet):
            try:
                done, stopped = step(done)
            except KeyboardInterrupt:
                stopped = True
            write_tables(done, out)
            write_report(done, out)
            if stopped:
                raise KeyboardInterrupt(f"Interrupted; what was found until then is in {out / 'report.md'}.")
    _tell(done, out, say)
    if json:
        print_json({**summary(done), "report": out / "report.md"})


@dataclasses.dataclass(frozen=True)
class _Plan:
    choose: int | None
    threshold: Any
    global_signal: str
    drop_missing: bool
    method: str
    penalty: float
    seed: int

    def key(self, *path: int) -> Any:
        """A random key of its own for each purpose."""
        found = jax.random.key(self.seed)
        for each in path:
            found = jax.random.fold_in(found, each)
        return found


def _check(regions: object, method: Any, penalty: Any, shuffles: Any, bootstrap: Any, seed: Any, figures: Any) -> None:
    rules = [
        ("regions", regions, "be columns or rows", regions in (None, "columns", "rows")),
        ("method", method, f"be one of {', '.join(_METHODS)}", method in _METHODS),
        ("penalty", penalty, "be a finite number ≥ 0", 0 <= penalty < np.inf),
        ("shuffles", shuffles, "be an integer ≥ 0", shuffles is None or shuffles >= 0),
        ("bootstrap", bootstrap, "be 0 or an integer ≥ 2", bootstrap == 0 or bootstrap >= 2),
        ("seed", seed, "be an integer ≥ 0", seed >= 0),
        ("figures", figures, "be png, svg or none", figures in ("png", "svg", "none")),
    ]
    for name, value, rule, good in rules:
        if not good:
            raise ValueError(f"Option `--{name}` must {rule}, but got {value}.")


def _threshold(text: str) -> Any:
    if text in ("mean", "median", "none"):
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"Option `--threshold` must be mean, median, none or a number, but got {text!r}.") from None


def _numbers(read: Recording, select: str | None) -> list[int]:
    """Places of the selected regions, given by name, else by number from 1."""
    if select is None:
        return list(range(len(read.names)))
    found = []
    for each in (part.strip() for part in select.split(",") if part.strip()):
        if each in read.names:
            found.append(read.names.index(each))
        elif each.isdecimal() and 1 <= int(each) <= len(read.names):
            found.append(int(each) - 1)
        else:
            names = ", ".join(read.names[:40]) + (", …" if len(read.names) > 40 else "")
            rule = f"name regions of {read.source}, or number them from 1 to {len(read.names)}"
            raise ValueError(f"Option `--select` must {rule}, but got {each!r}; there are {names}.")
    if len(set(found)) != len(found) or len(found) < 2:
        raise ValueError(f"Option `--select` must name at least 2 regions, each once, but got {select!r}.")
    return found


def _fitted(file: pathlib.Path, read: Recording, plan: _Plan, at: list[int], say: Callable[[str], None]) -> Analysis:
    """The recording with two values, its model and landscape."""
    used, notes, gaps = _complete(file, read.select(at), plan.drop_missing)
    size, samples = used.values.shape[1], used.values.shape[0]
    if plan.choose is None and size > _EXACT and plan.method == "auto":
        raise ValueError(_too_many(file, size, samples))
    data = binarize(used, plan.threshold, global_signal=plan.global_signal)
    if plan.choose is not None:
        most = min(size, LARGEST)
        require("choose", plan.choose, f"be from 2 to {most}", 2 <= plan.choose <= most)
        say(f"Choosing {plan.choose} of {size} regions …")
        data = select_regions(data, plan.choose, penalty=plan.penalty)
        notes += [
            f"The {plan.choose} regions were chosen among {size} by these same data (greedy search for the largest "
            "S1 − S2), which favours strong couplings: test what follows on other data."
        ]
        say(f"Chosen: {', '.join(data.names)}")
    data = dataclasses.replace(data, subject=gaps if gaps is not None else data.subject, source=str(file))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model = fit_ising(data, plan.method, penalty=plan.penalty, key=plan.key(0))
    for each in caught:
        say(f"Warning: {_as_options(str(each.message))}")
    if about := about_global_signal(data):
        notes += [f"**{_as_options(about)}**"]
    found = model.landscape(key=plan.key(1))
    return Analysis(file, read, data, model, found, tuple(notes), gaps=gaps is not None)


def _complete(file: pathlib.Path, used: Recording, drop: bool) -> tuple[Recording, list[str], np.ndarray | None]:
    """The recording without gaps, what was done, and labels of the uninterrupted runs if there were gaps."""
    bad = ~np.isfinite(used.values)
    if not bad.any():
        return used, [], None
    if not drop:
        cells = []
        for k in np.flatnonzero(bad.any(axis=0)):
            samples = np.flatnonzero(bad[:, k]) + 1
            listed = ", ".join(map(str, samples[:3])) + (f" and {samples.size - 3} more" if samples.size > 3 else "")
            cells.append(f"region `{used.names[k]}`, {'sample' if samples.size == 1 else 'samples'} {listed}")
        listed = "; ".join(cells[:3]) + (f"; and {len(cells) - 3} more regions" if len(cells) > 3 else "")
        raise ValueError(
            f"{str(file)!r} has {int(bad.sum())} missing values ({listed}): fill them, leave those regions out with "
            "`--select`, or leave those samples out with `--drop-missing`."
        )
    keep = ~bad.any(axis=1)
    if keep.sum() < 2:
        raise ValueError(f"{str(file)!r} must have at least 2 samples without missing values, but has {int(keep.sum())}.")
    begins = np.concatenate([[True], ~keep[:-1]])
    if used.subject is not None:
        begins[1:] |= np.diff(used.subject) != 0
    runs = np.cumsum(begins)[keep]
    subject = None if used.subject is None else used.subject[keep]
    kept = dataclasses.replace(used, values=used.values[keep], subject=subject)
    lost = int((~keep).sum())
    note = f"{lost} samples with missing values were left out; {np.unique(runs).size} uninterrupted runs remain."
    return kept, [note], runs


def _too_many(file: pathlib.Path, size: int, samples: int) -> str:
    """Advice for more regions than can be treated by all their states."""
    best = int(np.clip(np.floor(np.log2(max(samples, 8))) - 1, 3, 12))
    if size > samples:
        return (
            f"{str(file)!r} has {size} regions and {samples} samples; if it is the other way round, say `--regions columns` "
            f"or `--regions rows`, else name at most {_EXACT} regions with `--select`."
        )
    return (
        f"{str(file)!r} has {size} regions and {samples} samples, but a landscape of all patterns takes at most {_EXACT} "
        f"regions: name some with `--select`, or let `--choose {best}` pick {best} ({samples / 2**best:.2g} samples per "
        "pattern), or take all, less exactly, with `--method pseudo`."
    )


def _steps(
    plan: _Plan, size: int, shuffles: int | None, bootstrap: int, shown: bool
) -> list[Callable[[Analysis], tuple[Analysis, bool]]]:
    """Long steps in order; each returns more than it was given, and whether Ctrl-C came while it worked."""
    count = (100 if size <= _EXACT else 0) if shuffles is None else shuffles
    large = f"for at most {LARGEST} regions only."

    def validate(done: Analysis) -> tuple[Analysis, bool]:
        if size > _EXACT:
            return _unknown(done, "Held-out data", f"for at most {_EXACT} regions only."), False
        try:
            found = cross_validate_ising(done.data, folds=5 if done.gaps else None, penalty=plan.penalty)
        except ValueError as error:
            return _unknown(done, "Held-out data", _as_options(str(error))), False
        return _unknown(dataclasses.replace(done, validation=found), "Held-out data", ""), False

    def shuffle(done: Analysis) -> tuple[Analysis, bool]:
        if count == 0 or size > LARGEST:
            return _unknown(done, "Shuffled data", large if size > LARGEST else "not done; see `--shuffles`."), False
        make = lambda n, k: shuffle_test(done.model, plan.key(2, k), count=n)
        parts, why, stopped = _in_parts("shuffles", count, 20 if size <= 10 else 5, shown, make)
        if parts:
            depths = np.concatenate([each.shuffled for each in parts])[:count]
            done = dataclasses.replace(done, shuffled=ShuffleTest(parts[0].depth, parts[0].labels, depths, 95.0))
        return _unknown(done, "Shuffled data", why), stopped

    def resample(done: Analysis) -> tuple[Analysis, bool]:
        if bootstrap == 0 or size > LARGEST:
            return _unknown(done, "Resampled data", large if bootstrap else "no error bars; see `--bootstrap`."), False
        make = lambda n, k: bootstrap_ising(done.model, plan.key(3, k), count=n)
        parts, why, stopped = _in_parts("bootstrap", bootstrap, min(bootstrap, 50 if size <= 10 else 10), shown, make)
        if parts:
            done = dataclasses.replace(done, bootstrap=_joined(parts))
        return _unknown(done, "Resampled data", why), stopped

    return [validate, shuffle, resample]


def _unknown(done: Analysis, name: str, why: str) -> Analysis:
    """`done` with a sentence on what is not known, or without it."""
    rest = {each: text for each, text in done.unknown.items() if each != name}
    return dataclasses.replace(done, unknown=rest | ({name: why} if why else {}))


def _in_parts(
    label: str, count: int, size: int, shown: bool, make: Callable[[int, int], Any]
) -> tuple[list[Any], str, bool]:
    """Parts of equal size, so that one compilation serves all, a sentence on what is missing, and whether Ctrl-C came."""
    parts: list[Any] = []
    try:
        with Progress(count, shown=shown, label=label, unit=label) as progress:
            while len(parts) * size < count:
                parts.append(make(size, len(parts)))
                progress.finish(size)
    except KeyboardInterrupt:
        return parts, f"interrupted after {min(len(parts) * size, count)} of {count}.", True
    except ValueError as error:
        return parts, _as_options(str(error)), False
    return parts, "", False


def _joined(parts: list[IsingBootstrap]) -> IsingBootstrap:
    first, failed = parts[0], sum(each.failed for each in parts)
    weights = [each.h.shape[0] for each in parts]
    join = lambda name: np.concatenate([getattr(each, name) for each in parts])
    survival = np.average([each.survival for each in parts], axis=0, weights=weights)
    return IsingBootstrap(join("h"), join("J"), join("energy"), first.labels, survival, first.block, failed)


def _tell(done: Analysis, out: pathlib.Path, say: Callable[[str], None]) -> None:
    """The essence, on the terminal."""
    say(repr(done.model))
    say(repr(done.found))
    if done.shuffled is not None:
        test, sure = done.shuffled, int(done.shuffled.significant[1:].sum())
        say(f"Beside the lowest, {sure} of {test.depth.size - 1} are deeper than chance explains ({test.threshold:.4f}).")
    if done.validation is not None:
        say(repr(done.validation))
    for name, why in done.unknown.items():
        say(f"{name}: {why}")
    say(f"Report: {out / 'report.md'} and {out / 'report.html'}, with tables and model.json beside them.")


def _as_options(text: str) -> str:
    """A sentence about arguments, about options."""
    text = text.replace("`select_regions`", "`--choose`").replace("use `binarize(recording)`", "use `--threshold`")
    text = re.sub(r'`(regions|method|penalty|key|subject|dt|threshold)=(?:"?([\w.]+)"?)?`',
                  lambda m: f"`--{m[1]}{' ' + m[2] if m[2] else ''}`", text)  # fmt: skip
    text = text.replace('`binarize(recording, global_signal="regress")`', "`--global-signal regress`")
    text = text.replace("give each region a `threshold=` of its own", "choose the `--threshold`")
    text = text.replace("`time=False`", "`--time none`").replace("`time=True`", "`--time NAME`")
    text = re.sub(r'`time="(.*?)"`', r"`--time '\1'`", text).replace("`time=`", "`--time`")
    text = re.sub(r"`(header|index)=True`", r"`--\1`", text)
    text = re.sub(r"`(header|index)=False`", r"`--no-\1`", text).replace("`global_signal`", "`global-signal`")
    text = re.sub(r'\b(regions|method|threshold)="(\w+)"', r"`--\1 \2`", text)
    return re.sub(
        r"Argument `(regions|method|penalty|key|subject|dt|threshold|choose|header|index|time|global-signal)`",
        r"Option `--\1`",
        text,
    )


def _command() -> str:
    name = pathlib.PurePath(sys.argv[0]).name
    return " ".join(["nmmjax", *sys.argv[1:]]) if name in ("nmmjax", "__main__.py") else ""


def _write_example(out: pathlib.Path) -> pathlib.Path:
    """recording.csv: eight regions in two groups, from a known model, with noise on top."""
    rng = np.random.default_rng(0)
    names = [f"{side}{k}" for side in "AB" for k in range(1, 5)]
    group = np.arange(8) // 4
    J = np.where(group[:, None] == group, 0.3, 0.05) * (1 - np.eye(8))
    spins, rows = rng.choice([-1.0, 1.0], 8), []
    for _ in range(2000):
        for i in rng.permutation(8):
            spins[i] = 1.0 if rng.random() < 1 / (1 + np.exp(-2 * (J[i] @ spins))) else -1.0
        rows.append(spins + 0.3 * rng.normal(size=8))
    lines = [",".join(["t", *names]), *(",".join([f"{2 * t}", *(f"{x:.3f}" for x in row)]) for t, row in enumerate(rows))]
    about = "# Made up: J = 0.3 within A1–A4 and within B1–B4, 0.05 between them, h = 0; a sample every 2 s"
    out.mkdir(parents=True, exist_ok=True)
    replace_text(out / "recording.csv", "\n".join([about, *lines]) + "\n")
    return out / "recording.csv"
