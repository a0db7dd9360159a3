"""Recordings of several regions from files of many kinds; mistakes named with file and line."""

import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._checks import require
from .._files import as_path, read_text
from .array_files import read_array
from .recording import Recording
from .table import GAPS, SECONDS, Table, counts, read_table, spacing, split_unit

_TEXT, _ARRAYS = (".csv", ".tsv", ".txt", ".dat", ".1D"), (".npy", ".npz", ".mat", ".h5", ".hdf5")
_CALLED_TIME = ("t", "time", "times", "seconds")
_UNITS = (*SECONDS, "sec", "second", "seconds", "msec", "minutes", "hours", "tr")
_UNNAMED = ("", "unnamed: 0")  # of an index, as pandas writes it, and as it reads it again
_INDEX = (*_UNNAMED, "index", "region", "regions", "roi", "name", "names", "label", "labels")


def load_recording(
    path: str | os.PathLike[str],
    regions: object = None,
    *,
    names: object = None,
    subject: Any = None,
    key: str | None = None,
    dt: Any = None,
    header: bool | None = None,
    index: bool | None = None,
    time: bool | str | None = None,
) -> Recording:
    """A recording of several regions from a file: csv, tsv, txt, dat, 1D (these also as .gz), npy, npz, mat, h5 or hdf5.

    One row per time, one column per region; `regions="rows"` for a file with one row per region. It must be said, as
    `regions="columns"` or `"rows"`, if there are fewer rows than columns: nothing is guessed.

    Text: separated by tabs, semicolons, commas or blanks; decimal commas are understood if no comma separates; lines that
    begin with `#` are skipped. A first line of names is a header, as are distinct whole numbers above other values
    (pandas' columns without names). A column `subject` (or the one that `subject` names) becomes the subjects' labels. A
    column `t` or `time` that increases evenly, or one with a unit such as `t (s)` that increases, is read as time and gives
    `dt` if it is equally spaced. A first column that counts the rows, or has no name and increases or holds words, is an
    index. None of these is a region, `notes` say what was read as what, and what may be read in two ways is refused.
    Empty cells, `n/a` and `nan` are missing samples, NaN.

    - `path`: the file
    - `names`: of the regions, instead of the header's; `subject`: a column's name, or labels (time,)
    - `key`: which array of an npz, mat, h5 or hdf5 file, needed if it holds several tables; an array `subject` beside it is
      read as labels, an array `mask` as the places of missing samples
    - `dt`: time between samples, in any unit
    - `header`: whether the first line holds names (with `regions="rows"`: the first column); told by its cells by default
    - `index`: whether the first column is an index (with `regions="rows"`: the first line), to be left out
    - `time`: the name of the column of times, or True for the one called time (without names the first); False for none

    MATLAB 7.3, h5 and hdf5 need the extra `data`.

    Returns a `Recording`. Raises `ValueError` in one sentence for files that are missing, empty, or not what their name
    says, for text among numbers (file, line, column), for fewer than two regions, and for what doesn't fit. Then:
    `binarize`, `fit_ising`.
    """
    file = as_path(path)
    require("regions", regions, 'be "columns" or "rows"', regions in (None, "columns", "rows"))
    require("dt", dt, "be a positive number", dt is None or (np.isreal(dt) and 0 < float(dt) < np.inf))
    for name, value in (("header", header), ("index", index)):
        require(name, value, "be True, False or None", value is None or isinstance(value, bool))
    require("time", time, "be a column's name, True, False or None", time is None or isinstance(time, (bool, str)))
    kind = pathlib.Path(file.stem if file.suffix.lower() == ".gz" else file.name).suffix.lower()
    text = kind in [each.lower() for each in _TEXT]
    if file.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; give a file.")
    if not file.is_file():
        raise ValueError(f"There is no file {str(path)!r}.")
    if not text and (kind not in _ARRAYS or kind != file.suffix.lower()):
        ends = f"{', '.join((*_TEXT, *_ARRAYS))}, or .gz after one of the first {len(_TEXT)}"
        raise ValueError(f"The file {str(path)!r} must end in {ends}.")
    if file.stat().st_size == 0:
        raise ValueError(f"The file {str(path)!r} is empty.")
    column = subject if isinstance(subject, str) else None
    if text:
        if key is not None:
            raise ValueError(f"Argument `key` must be left out for {str(path)!r}, which holds one table, but got {key!r}.")
        read = _read(file, kind, regions == "rows")
        found = _text(read, column, names, header, index, time)
    else:
        for name, value in (("header", header), ("index", index), ("time", time)):
            require(name, value, f"be left out for {str(path)!r}, which holds arrays", not value)
        values, labels, notes = read_array(file, key, column)
        found = _Found(values.T if regions == "rows" else values, names, labels, None, notes)
    samples, size = found.values.shape
    if regions is None and samples < size:
        raise ValueError(
            f'{str(file)!r} has fewer rows ({samples}) than columns ({size}): say `regions="rows"` if each row is a region, '
            'or `regions="columns"` if each column is.'
        )
    if size < 2:
        raise ValueError(f"{str(path)!r} must hold at least 2 regions, but holds {size}.")
    if samples < 2:
        raise ValueError(f"{str(path)!r} must hold at least 2 samples, but holds {samples}.")
    labels = found.labels if column is not None or subject is None else subject
    step = found.step if dt is None else float(dt)
    return Recording(found.values, () if found.names is None else tuple(found.names), labels, step, str(path), found.notes)


class _Found(NamedTuple):
    values: np.ndarray  # (time, regions)
    names: Any
    labels: Any
    step: float | None
    notes: tuple[str, ...]


def _read(file: pathlib.Path, kind: str, across: bool) -> Table:
    """The cells of a file, one column per region."""
    place = repr(str(file))
    table = read_table(read_text(file), place, blanks=kind == ".1d")
    if table is None:
        raise ValueError(f"{place} is empty: it has no line of numbers.")
    if across:
        table.require_width(len(table.rows[0]), f"as line {table.lines[0]}")
        return table.turned()
    return table


class _Columns:
    """The columns of a table below its header, by their names in the file ("" if none)."""

    def __init__(self, table: Table, subject: str | None, header: bool | None):
        self.table, self.line = table, "Column 1" if table.across else f"Line {table.lines[0]}"
        known = {*_CALLED_TIME, *_INDEX, "subject", *([subject.lower()] if subject else [])}
        told = table.is_header(known) if header is None else header
        self.unsure, self.first, self.notes = told is None, int(bool(told)), []
        self.cells = table.rows[self.first :]
        if not self.cells:
            raise ValueError(f"{table.place} has a header, but no numbers.")
        width, first = len(self.cells[0]), table.rows[0]
        if not table.across:
            if len(first) != width:
                raise ValueError(
                    f"{table.place}, line {table.lines[0]}: the header has {len(first)} names, "
                    f"but line {table.lines[1]} has {width} values."
                )
            table.require_width(width, f"as line {table.lines[self.first]}", self.first)
        self.names = self._header(header, first if told else [])

    def _header(self, header: bool | None, first: list[str]) -> list[str]:
        table, count = self.table, len(self.cells[0])
        if first:
            if header is None and all(table.number(each) is not None for each in first if each):
                self.notes.append(f"{self.line} was read as names, {_few(first)}; `header=False` reads it as a sample.")
            doubles = sorted({each for each in first if first.count(each) > 1})
            if doubles:
                rule = f"the header must name each column once, but repeats {doubles[0]!r}"
                raise ValueError(f"{table.place}, {self.line.lower()}: {rule}.")
            return first
        told = re.search(r'ColumnLabels\s*=\s*"(.*?)"', " ".join(table.comments))  # as AFNI writes
        labels = [each.strip() for each in told.group(1).split(";")] if told else list(table.names)
        labels = labels[:-1] if labels and labels[-1] == "" else labels
        if header is None and len(labels) == count and len(set(labels)) == count and not table.across:
            self.notes.append(f"The names {_few(labels)} were read in a comment; `header=False` leaves them out.")
            return labels
        return [""] * count

    def cell(self, at: int) -> list[str]:
        return [row[at] for row in self.cells]

    def numbers(self, columns: list[int]) -> np.ndarray:
        names = [self.names[at] or f"R{at + 1}" for at in columns] if any(self.names) else None
        return self.table.numbers(columns, self.first, names)

    def called(self, at: int) -> str:
        """The column in words: by name, or number, or by the line that it is in the file."""
        if self.table.across:
            return f"Line {self.table.lines[at]}"
        return f"Column `{self.names[at]}`" if self.names[at] else f"Column {at + 1}"

    def subject(self, wanted: str | None) -> int | None:
        """The column of subjects' labels."""
        lower, name = [each.lower() for each in self.names], (wanted or "subject").lower()
        if name in lower:
            return lower.index(name)
        if wanted is not None:
            has = f"it has {', '.join(self.names)}" if any(self.names) else "it has no header"
            raise ValueError(f"{self.table.place} has no column {wanted!r} of subjects; {has}.")
        return None

    def index(self, at: int, index: bool | None, asked: bool | str | None) -> bool:
        """Whether a column, the first, is an index; `asked`: what is said of the times."""
        cells, name, asked = self.cell(at), self.names[at].lower(), asked.lower() if isinstance(asked, str) else asked
        if index is None and (name == asked or (asked is True and not any(self.names)) or _called_time(name)):
            return False
        if index is not None:
            if index:
                self.notes.append(f"{self.called(at)} was left out as an index.")
            return index
        named, unnamed = any(self.names), name in _UNNAMED
        counting = counts(cells) and not all(counts(each) for each in zip(*self.cells, strict=True))
        words = all(self.table.number(each) is None and each.lower() not in GAPS for each in cells)
        if words and ((named and name in _INDEX) or self.table.across):
            how = "which holds words"
        elif words and named:
            value = f"{cells[0]!r} (`index=True` leaves the column out, `subject=` reads it as labels)"
            self.table.refuse(self.first, at, self.names[at], "be a number", value)
        elif counting:
            how = "which counts the rows"
        elif named and unnamed and self.table.number(cells[0]) is not None:
            x = self.numbers([at])[:, 0]
            if spacing(x) not in ("even", "increasing"):
                what = "has no name, and may be an index or a region: say `index=True` or `index=False`"
                raise ValueError(f"{self.table.place}: {_small(self.called(at))} {what}.")
            how = "which has no name and increases"
            how += f" in steps of {x[1] - x[0]:g}" if spacing(x) == "even" else ""
        else:
            return False
        hint = "; if it holds times, `dt=` says their distance" if "increases" in how else ""
        self.notes.append(f"{self.called(at)}, {how}, was left out as an index; `index=False` reads it as a region{hint}.")
        return True

    def time(self, kept: list[int], asked: bool | str | None, labels: object) -> tuple[list[int], float | None]:
        """Columns of times, and the step of the first that has one."""
        if asked is False:
            return [], None
        called = [at for at in kept if _called_time(self.names[at])]
        if isinstance(asked, str):
            if asked not in self.names:
                raise ValueError(f"{self.table.place} has no column {asked!r} of times; it has {', '.join(self.names)}.")
            called = [self.names.index(asked)]
        elif asked:
            called = called if any(self.names) else kept[:1]
            if len(called) != 1:
                has = f"it has {', '.join(self.names)}" if any(self.names) else "it has none"
                raise ValueError(f"{self.table.place} must have one column called time, or `time=` say which; {has}.")
        steps = {at: self._times(at, asked, labels) for at in called}
        times = [at for at, step in steps.items() if step is not None]
        return times, next((step for step in steps.values() if step), None)

    def _times(self, at: int, asked: bool | str | None, labels: Any) -> float | None:
        """The step of a column of times, 0 if there is no single one, None if it's a region."""
        unit = split_unit(self.names[at])[1]
        sure = bool(asked) or (unit is not None and unit.lower() in _UNITS)
        if unit is not None and not sure:
            return None
        x = self.numbers([at])[:, 0]
        how = spacing(x, labels)
        if how == "no" and asked:
            down = next((k for k in range(1, x.size) if not x[k - 1] < x[k] < np.inf), 0)
            rule = "be a time later than the one before"
            self.table.refuse(self.first + down, at, self.names[at] or None, rule, f"{x[down]:g}")
        again = x[np.isfinite(x)]
        gaps = how == "no" and again.size >= 4 and again.size < x.size and labels is None and spacing(again) != "no"
        if how == "no" and not (sure or gaps):
            self.notes.append(f"{self.called(at)} was read as a region, as it doesn't increase throughout.")
            return None
        if how == "no" or not (sure or how == "even"):
            why = {"increasing": "increases, but not evenly", "starting again": "increases, but starts again"}
            why = why.get(how, "increases, but has gaps" if gaps else "has a unit of time, but doesn't increase throughout")
            way = f'`time="{self.names[at]}"` for times, `time=False` for a region'
            way = "`time=False` for a region, or mend it" if how == "no" else way
            raise ValueError(f"{self.table.place}: {_small(self.called(at))} {why}: say {way}.")
        away = "; `time=False` reads it as a region" if not asked else ""
        uneven = {"even": "", "increasing": ", which are not equally spaced", "starting again": ", which start again"}[how]
        self.notes.append(f"{self.called(at)} was read as time{uneven}{away}.")
        steps = np.diff(x) if labels is None else np.diff(x)[labels[1:] == labels[:-1]]
        return float(np.mean(steps)) if how == "even" else 0.0


def _text(table: Table, subject: str | None, names: Any, header: Any, index: Any, time: Any) -> _Found:
    """The regions of a table, and what else it says. `names` may be of all columns but the subject's, or of the regions."""
    columns = _Columns(table, subject, header)
    who = columns.subject(subject)
    labels = None if who is None else _labels(columns.cell(who))
    kept = [at for at in range(len(columns.names)) if at != who]
    given = None if names is None else [str(each) for each in names]
    rest = kept[1:] if kept and columns.index(kept[0], index, time) else kept
    if index is None and len(rest) < len(kept) and rest and columns.names[rest[0]].lower() == _UNNAMED[1]:
        rest = rest[1:] if columns.index(rest[0], index, time) else rest  # written, read and written again by pandas
    for among in (kept, rest):
        if given is not None and len(given) == len(among):
            columns.names = [given[among.index(at)] if at in among else name for at, name in enumerate(columns.names)]
            given = None
    when, step = columns.time(rest, time, labels)
    kept = [at for at in rest if at not in when]
    values = columns.numbers(kept)
    if columns.unsure:
        raise ValueError(
            f"{table.place}, {columns.line.lower()}: {_few(table.rows[0])} may be names or a sample: say `header=True` or "
            "`header=False`."
        )
    repeat = re.search(r'RowTR\s*=\s*"([^"]*)"', " ".join(table.comments))  # as AFNI writes
    told = table.number(repeat.group(1)) if repeat else None
    step = told if step is None and told is not None and 0 < told < np.inf else step
    found = given or ([columns.names[at] or f"R{at + 1}" for at in kept] if any(columns.names) else None)
    return _Found(values, found, labels, step, tuple(columns.notes))


def _few(cells: Sequence[str]) -> str:
    shown = [each for each in cells if each]
    return ", ".join(shown[:4]) + (", …" if len(shown) > 4 else "")


def _called_time(name: str) -> bool:
    return split_unit(name)[0].lower() in _CALLED_TIME


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]


def _labels(cells: list[str]) -> np.ndarray:
    """Whole numbers if all are, else words."""
    whole = all(re.fullmatch(r"[+-]?\d+", each) for each in cells)
    return np.asarray([int(each) for each in cells] if whole else cells)
