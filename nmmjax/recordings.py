"""Layer 6: recordings of several regions from csv, tsv, txt, npy, npz and mat files; mistakes named with file and line."""

import csv
import os
import pathlib
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._checks import require
from ._optional import optional
from .ising.recording import Recording

_GAPS = ("", "nan", "na", "n/a", "null", "none", "-", "?")
_TIME = re.compile(r"(?:t|time|times|seconds)\s*(?:[\(\[][^\)\]]*[\)\]])?", re.IGNORECASE)
_TEXT, _ARRAYS = (".csv", ".tsv", ".txt", ".dat"), (".npy", ".npz", ".mat")


def load_recording(
    path: str | os.PathLike[str],
    regions: Any = None,
    *,
    names: Any = None,
    subject: Any = None,
    key: str | None = None,
    dt: Any = None,
) -> Recording:
    """A recording of several regions from a file: csv, tsv, txt, npy, npz or mat (mat needs the extra `cli`).

    One row per time, one column per region; `regions="rows"` for a file with one row per region. It must be said, as
    `regions="columns"` or `"rows"`, where there are fewer rows than columns: nothing is guessed.

    Text: separated by tabs, semicolons, commas or blanks; with semicolons or tabs a decimal comma is understood; lines that
    begin with `#` are skipped. A first line of names is a header (a line of numbers is data). A column `subject` (or the one
    that `subject` names) becomes the subjects' labels, a column `t` or `time` gives `dt` where it is equally spaced, and
    neither is a region. Empty cells and `nan` are missing samples, NaN.

    - `names`: of the regions, instead of the header's; `subject`: a column's name, or labels (time,)
    - `key`: which array of an npz or mat file, needed if it holds several; an array `subject` beside it is read as labels
    - `dt`: time between samples, in any unit

    Raises `ValueError` in one sentence for files that are missing, empty, or not what their name says, for text among
    numbers (file, line, column), for fewer than two regions, and for what doesn't fit. Then: `binarize`, `fit_ising`.
    """
    file = pathlib.Path(path)
    require("regions", regions, 'be "columns" or "rows"', regions in (None, "columns", "rows"))
    require("dt", dt, "be a positive number", dt is None or (np.isreal(dt) and 0 < float(dt) < np.inf))
    kind = file.suffix.lower()
    if file.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; give a file.")
    if not file.is_file():
        raise ValueError(f"There is no file {str(path)!r}.")
    if kind not in _TEXT + _ARRAYS:
        raise ValueError(f"The file {str(path)!r} must end in {', '.join((*_TEXT, *_ARRAYS))}.")
    if file.stat().st_size == 0:
        raise ValueError(f"The file {str(path)!r} is empty.")
    column = subject if isinstance(subject, str) else None
    if kind in _TEXT:
        if key is not None:
            raise ValueError(f"Argument `key` must be left out for {str(path)!r}, which holds one table, but got {key!r}.")
        values, header, labels, step, notes = _text(file, regions, column)
    else:
        values, labels = _array(file, kind, key, column)
        header, step, notes = (), None, ()
        values = _oriented(file, values, regions)
    if values.shape[1] < 2:
        raise ValueError(f"{str(path)!r} must hold at least 2 regions, but holds {values.shape[1]}.")
    if values.shape[0] < 2:
        raise ValueError(f"{str(path)!r} must hold at least 2 samples, but holds {values.shape[0]}.")
    labels = labels if column is not None or subject is None else subject
    step = step if dt is None else float(dt)
    return Recording(values, header if names is None else tuple(names), labels, step, str(path), notes)


def _oriented(file: pathlib.Path, values: np.ndarray, regions: str | None) -> np.ndarray:
    """(time, regions), or a sentence that asks which axis is which."""
    if regions is None and values.shape[0] < values.shape[1]:
        rows, columns = values.shape
        raise ValueError(
            f'{str(file)!r} has fewer rows ({rows}) than columns ({columns}): say `regions="rows"` if each row is a region, '
            'or `regions="columns"` if each column is.'
        )
    return values.T if regions == "rows" else values


def _array(file: pathlib.Path, kind: str, key: str | None, subject: str | None) -> tuple[np.ndarray, Any]:
    """The array of an npy, npz or mat file, and the subjects' labels beside it."""
    arrays = _mat(file) if kind == ".mat" else _numpy(file, kind)
    if kind == ".npy":
        if key is not None:
            raise ValueError(f"Argument `key` must be left out for {str(file)!r}, which holds one array, but got {key!r}.")
        return _numbers(file, "it", arrays[""]), None
    label = subject or "subject"
    if subject is not None and subject not in arrays:
        raise ValueError(f"{str(file)!r} has no array {subject!r} of subjects; it has {_listed(arrays)}.")
    labels = np.ravel(arrays.pop(label)) if label in arrays and key != label else None
    if key is None:
        if len(arrays) != 1:
            raise ValueError(f"{str(file)!r} must hold one array, or `key=` say which; it has {_listed(arrays)}.")
        key = next(iter(arrays))
    if key not in arrays:
        raise ValueError(f"{str(file)!r} has no array {key!r}; it has {_listed(arrays)}.")
    return _numbers(file, f"array {key!r}", arrays[key]), labels


def _listed(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{name!r} of shape {np.shape(each)}" for name, each in arrays.items()) or "none"


def _numpy(file: pathlib.Path, kind: str) -> dict[str, np.ndarray]:
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            arrays = {"": found}
        else:
            with found:
                arrays = {name: found[name] for name in found.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        if "pickle" in str(error).lower() and file.read_bytes()[:6] == b"\x93NUMPY":
            what = "holds Python objects, which are not loaded as they could run code; save plain arrays of numbers"
            raise ValueError(f"{str(file)!r} {what}.") from None
        raise ValueError(f"{str(file)!r} is not a readable {kind[1:]} file of NumPy arrays.") from None
    if (kind == ".npy") != ("" in arrays):
        raise ValueError(
            f"{str(file)!r} is not what its name says: rename it to end in {'.npz' if kind == '.npy' else '.npy'}."
        )
    return arrays


def _mat(file: pathlib.Path) -> dict[str, np.ndarray]:
    if file.read_bytes()[:10] == b"MATLAB 7.3" or file.read_bytes()[:4] == b"\x89HDF":
        raise ValueError(f"{str(file)!r} is a MATLAB 7.3 file; save it with `save(…, '-v7')`.")
    try:
        found = optional("scipy.io", "cli").loadmat(file)
    except ModuleNotFoundError:
        raise
    except Exception:  # scipy raises whatever the broken bytes lead it to
        raise ValueError(f"{str(file)!r} is not a readable MATLAB file.") from None
    return {name: each for name, each in found.items() if not name.startswith("__") and isinstance(each, np.ndarray)}


def _numbers(file: pathlib.Path, what: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{str(file)!r}: {what} must hold real numbers, but holds {array.dtype}.")
    if array.ndim != 2:
        hint = "; pass one subject's table, or stack them in time and give `subject=`" if array.ndim == 3 else ""
        raise ValueError(f"{str(file)!r}: {what} must have two axes, (time, regions), but has shape {array.shape}{hint}.")
    return array.astype(float)


def _text(file: pathlib.Path, regions: str | None, subject: str | None) -> tuple[np.ndarray, Any, Any, Any, tuple[str, ...]]:
    """Values (time, regions), names, subjects' labels, time step and notes of a text file."""
    lines = _lines(file)
    header, rows, decimal = _cells(file, lines, regions, subject)
    if not rows:
        raise ValueError(f"{str(file)!r} has a header, but no numbers.")
    width = len(rows[0][1])
    for line, row in rows:
        if len(row) != width:
            raise ValueError(
                f"{str(file)!r}, line {line}: must have {width} values, as line {rows[0][0]}, but has {len(row)}."
            )
    if regions == "rows":
        named = all(not _is_number(row[0], decimal) for _, row in rows)
        names = tuple(row[0] for _, row in rows) if named else ()
        values = _parse(file, [(line, row[named:]) for line, row in rows], decimal, None, int(named))
        if subject is not None:
            raise ValueError(f'Argument `subject` must be labels, one per time, with regions="rows", but got {subject!r}.')
        return values.T, names, None, None, ()
    wanted = subject or "subject"
    lower = [each.lower() for each in header or ()]
    labels, step, notes, dropped = None, None, [], set()
    if wanted.lower() in lower:
        at = lower.index(wanted.lower())
        labels, _ = _labels([row[at] for _, row in rows]), dropped.add(at)
    elif subject is not None:
        has = f"it has {', '.join(header)}" if header else "it has no header"
        raise ValueError(f"{str(file)!r} has no column {subject!r} of subjects; {has}.")
    for at, name in enumerate(header or ()):
        if _TIME.fullmatch(name):
            times = _parse(file, [(line, [row[at]]) for line, row in rows], decimal, [name], at)[:, 0]
            step = _step(times, labels)
            dropped.add(at)
            notes.append(f"Column `{name}` was read as time.")
        elif name == "" and [row[at] for _, row in rows[:2]] in (["0", "1"], ["1", "2"]):
            dropped.add(at)
            notes.append(f"Column {at + 1}, which has no name and counts the rows, was left out.")
    kept = [k for k in range(width) if k not in dropped]
    names = [header[k] for k in kept] if header else None
    numbers = [(line, [row[k] for k in kept]) for line, row in rows]
    values = _parse(file, numbers, decimal, names, 0)
    if regions is None:
        _oriented(file, values, None)
    return values, tuple(names or ()), labels, step, tuple(notes)


def _lines(file: pathlib.Path) -> list[tuple[int, str]]:
    """Lines that hold something, with their numbers."""
    raw = file.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError(f"{str(file)!r} is not a text file in UTF-8.")
    numbered = [(k + 1, line) for k, line in enumerate(text.splitlines())]
    lines = [(k, line) for k, line in numbered if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise ValueError(f"{str(file)!r} is empty: it has no line of numbers.")
    return lines


def _cells(
    file: pathlib.Path, lines: list[tuple[int, str]], regions: str | None, subject: str | None
) -> tuple[list[str] | None, list[tuple[int, list[str]]], str]:
    """Header or None, numbered rows of cells, and the decimal sign."""
    few = [line for _, line in lines[:1000]]
    separator = next((each for each in "\t;," if 2 * sum(each in line for line in few) >= len(few)), " ")
    if separator == " ":
        rows = [(k, line.split()) for k, line in lines]
    else:
        cells = csv.reader([line for _, line in lines], delimiter=separator)
        rows = [(k, [each.strip() for each in row]) for (k, _), row in zip(lines, cells, strict=False)]
    if all(row and row[-1] == "" for _, row in rows):
        rows = [(k, row[:-1]) for k, row in rows]  # a separator at the end of every line
    decimal = "," if separator in "\t;" else "."
    number, first = rows[0]
    words = [not _is_number(each, decimal) for each in first]
    if regions == "rows":  # a header of times; names stand in the first column
        whole = len(words) > 1 and all(words[1:])
        return None, rows[1:] if whole else rows, decimal
    if not any(words):
        return None, rows, decimal
    named = {"subject", "" if subject is None else subject.lower()} & {each.lower() for each in first if each}
    if not (all(words) or named):
        at = words.index(True)
        if first[at].lower() in _GAPS and first[at]:
            return None, rows, decimal
        _refuse(file, number, at + 1, None, first[at])
    if len(first) != len(rows[1][1] if len(rows) > 1 else first):
        raise ValueError(
            f"{str(file)!r}, line {number}: the header has {len(first)} names, "
            f"but line {rows[1][0]} has {len(rows[1][1])} values."
        )
    doubles = sorted({each for each in first if first.count(each) > 1})
    if doubles:
        raise ValueError(f"{str(file)!r}, line {number}: the header must name each column once, but repeats {doubles[0]!r}.")
    return first, rows[1:], decimal


def _parse(
    file: pathlib.Path, rows: list[tuple[int, list[str]]], decimal: str, names: Sequence[str] | None, first: int
) -> np.ndarray:
    """Numbers of the cells, NaN where one is missing."""
    values = np.empty((len(rows), len(rows[0][1])))
    for k, (line, row) in enumerate(rows):
        try:
            if any("_" in cell for cell in row):
                raise ValueError
            values[k] = row  # fast where all is well
        except ValueError:
            for at, cell in enumerate(row):
                text = cell.replace(",", ".") if decimal == "," else cell
                if cell.lower() in _GAPS:
                    values[k, at] = np.nan
                elif _is_number(text, decimal):
                    values[k, at] = float(text)
                else:
                    _refuse(file, line, first + at + 1, names[at] if names else None, cell)
    return values


def _refuse(file: pathlib.Path, line: int, column: int, name: str | None, cell: str) -> None:
    where = f"column {column}" if name is None else f"column `{name}`"
    raise ValueError(f"{str(file)!r}, line {line}, {where}: must be a number, but got {cell!r}.")


def _is_number(text: str, decimal: str) -> bool:
    try:
        float(text.replace(",", ".") if decimal == "," else text)
    except ValueError:
        return False
    return "_" not in text


def _labels(cells: list[str]) -> np.ndarray:
    """Whole numbers if all are, else words."""
    return (
        np.asarray([int(each) for each in cells])
        if all(re.fullmatch(r"[+-]?\d+", each) for each in cells)
        else np.asarray(cells)
    )


def _step(times: np.ndarray, labels: Any) -> float | None:
    """The time step where samples are equally spaced within each subject."""
    steps = np.diff(times)
    if labels is not None:
        steps = steps[labels[1:] == labels[:-1]]
    if steps.size == 0 or not np.all(np.isfinite(steps)) or steps.min() <= 0:
        return None
    return float(np.mean(steps)) if np.ptp(steps) <= 1e-3 * np.max(steps) else None
