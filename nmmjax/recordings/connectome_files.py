"""Matrices, names and places of a connectome from archives, folders and files; which is which is told by their names."""

import bz2
import io
import pathlib
import re
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .array_files import read_arrays
from .table import GAPS, Table, read_table

_TEXT, _ARRAYS = (".csv", ".tsv", ".txt", ".dat"), (".npy", ".npz", ".mat", ".h5", ".hdf5")
CALLED = {  # names of what a connectome has, without capitals and signs
    "weights": ("weights", "weight", "cmat", "sc", "w", "dticm", "connectivity", "connectome"),
    "lengths": ("tractlengths", "lengths", "length", "len", "dmat", "dtilen", "distances", "distance"),
    "labels": ("labels", "regionlabels", "names", "regionnames", "regions"),
    "positions": ("positions", "centres", "centers", "coordinates", "coords", "xyz"),
}
_SHOWN = 8


class Found(NamedTuple):
    """What a file holds, as it is: floats with NaN where an entry is missing, None for what it lacks, and notes."""

    weights: np.ndarray
    lengths: np.ndarray | None
    labels: tuple[str, ...]
    positions: np.ndarray | None
    notes: tuple[str, ...]


class _Part(NamedTuple):
    """One matrix or list: its array, the labels beside it in a table, and how sentences call it."""

    array: Any
    labels: tuple[str, ...]
    place: str


_Reader: TypeAlias = Callable[[str], _Part]  # of the part that is asked for, by its role


def read_connectome(file: pathlib.Path, asked: dict[str, str | None]) -> Found:
    """What a TVB zip, a folder, a file of arrays or a single matrix holds; `asked`: the parts' names if not as usual."""
    place = repr(str(file))
    if not file.exists():
        raise ValueError(f"There is no file or folder {place}.")
    kind = file.suffix.lower()
    if file.is_dir():
        parts = _of_texts(_in_folder(file), place) | {each.stem: _only(each) for each in sorted(file.glob("*.mat"))}
    elif kind == ".zip":
        parts = _of_texts(_in_zip(file), place)
    elif kind in _TEXT or (kind == ".bz2" and pathlib.Path(file.stem).suffix.lower() in _TEXT):
        parts = _alone(_text(file.name, _bytes(file), place, "weights"), asked)
    elif kind in _ARRAYS:
        arrays = read_arrays(file)
        parts = {name: _stored(array, _within(place, name)) for name, array in arrays.items()}
        parts = _alone(parts[""]("weights"), asked) if kind == ".npy" else parts
    else:
        ends = ", ".join((".zip", *_TEXT, *_ARRAYS))
        raise ValueError(f"The file {place} must end in {ends}, or be a folder.")
    return _found(parts, asked, place)


def _within(place: str, name: str) -> str:
    return f"{name!r} of {place}" if name else place


def _only(file: pathlib.Path) -> _Reader:
    """The one array of a MATLAB file, as neurolib writes a matrix to each."""

    def read(role: str) -> _Part:
        arrays = read_arrays(file)
        if len(arrays) != 1:
            raise ValueError(f"{str(file)!r} must hold one array, the {role}, but holds {', '.join(arrays) or 'none'}.")
        return _Part(next(iter(arrays.values())), (), repr(str(file)))

    return read


def _stored(array: Any, place: str) -> _Reader:
    return lambda role: _Part(array, (), place)


def _alone(part: _Part, asked: dict[str, str | None]) -> dict[str, _Reader]:
    for name, value in asked.items():
        if value is not None:
            rule = "be left out for a single matrix (put all in one folder)"
            raise ValueError(f"Argument `{name}` must {rule}, but got {value!r}.")
    return {"weights": lambda role: part}


def _in_folder(folder: pathlib.Path) -> dict[str, Callable[[], bytes]]:
    listed = [each for each in sorted(folder.iterdir()) if each.is_file() and not each.name.startswith(".")]
    return {each.name: (lambda each=each: _bytes(each)) for each in listed}


def _bytes(file: pathlib.Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"The file {str(file)!r} could not be read: {error.strerror}.") from None


def _in_zip(file: pathlib.Path) -> dict[str, Callable[[], bytes]]:
    """The archive's files by name, without their folders, and without what macOS adds."""
    place = repr(str(file))
    broken = f"{place} is not a readable zip archive."
    try:
        with zipfile.ZipFile(file) as archive:
            listed = [each for each in archive.infolist() if not each.is_dir()]
    except (zipfile.BadZipFile, OSError):
        raise ValueError(broken) from None

    def read(info: zipfile.ZipInfo) -> bytes:
        try:
            with zipfile.ZipFile(file) as archive:
                return archive.read(info)
        except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError):
            raise ValueError(f"{info.filename!r} of {place} could not be read: it is broken, or has a password.") from None

    found: dict[str, Callable[[], bytes]] = {}
    for info in listed:
        *folders, name = info.filename.replace("\\", "/").split("/")
        if name.startswith(".") or "__MACOSX" in folders:
            continue
        if name in found:
            raise ValueError(f"{place} must hold one connectome, but has several files {name!r}.")
        found[name] = lambda info=info: read(info)
    return found


def _of_texts(files: dict[str, Callable[[], bytes]], place: str) -> dict[str, _Reader]:
    """Parts by the names of their files, each read when asked for."""
    found: dict[str, _Reader] = {}
    for name, read in files.items():
        inner = pathlib.Path(name.removesuffix(".bz2"))
        if inner.suffix.lower() not in (*_TEXT, ".npy"):
            continue
        if inner.stem in found:
            raise ValueError(f"{place} must hold one file called {inner.stem!r}, but has several.")
        found[inner.stem] = lambda role, name=name, read=read: _text(name, read(), _within(place, name), role)
    return found


def _text(name: str, raw: bytes, place: str, role: str) -> _Part:
    """A file's bytes as the part that `role` says, packed by bz2 if its name says so."""
    if name.lower().endswith(".bz2"):
        try:
            raw = bz2.decompress(raw)
        except (OSError, ValueError, EOFError):
            raise ValueError(f"{place} is not a readable bz2 file.") from None
    if name.removesuffix(".bz2").lower().endswith(".npy"):
        try:
            return _Part(np.load(io.BytesIO(raw), allow_pickle=False), (), place)
        except (ValueError, OSError, EOFError):
            raise ValueError(f"{place} is not a readable npy file of numbers.") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError(f"{place} is not a text file in UTF-8.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if role == "labels":
        return _Part(tuple(line.strip() for line in text.split("\n") if line.strip()), (), place)
    lines = [line.strip() for line in text.split("\n") if line.strip() and line.strip()[0] != "#"]
    mixed = not re.search("[,;]", text) and any(" " in line.split("\t")[-1] for line in lines)  # blanks, and perhaps tabs
    table = read_table(text, place, blanks=mixed)
    if table is None:
        raise ValueError(f"{place} is empty.")
    return _positions(table) if role == "positions" else _matrix(table)


def _matrix(table: Table) -> _Part:
    """A square matrix, with names in a first line, a first column, or both: words, or both counting, as pandas writes."""
    rows, first = table.rows, table.rows[0]
    width = len(rows[-1])
    table.require_width(width, f"as line {table.lines[-1]}")
    height = len(rows)
    words = lambda cells: all(table.number(cell) is None and cell.lower() not in GAPS for cell in cells)
    counting = first[1:] in ([str(k + start) for k in range(width - 1)] for start in (0, 1))
    corner = first[0] == "" or words(first[:1])
    both = height == width > 1 and corner and (words(first[1:]) or counting)
    above = both or (height == width + 1 and words(first))
    beside = both or (width == height + 1 and words([row[0] for row in rows]))
    labels = first[int(beside) :] if above else []
    left = [row[0] for row in rows[int(above) :]] if beside else []
    if above and beside and labels != left:
        raise ValueError(f"{table.place} must name its rows as its columns, but has {left[0]!r} … and {labels[0]!r} ….")
    return _Part(table.numbers(range(int(beside), width), int(above)), tuple(labels or left), table.place)


def _positions(table: Table) -> _Part:
    """x, y, z of every region, behind its label if there is one, as The Virtual Brain writes them; more columns are left."""
    first = int(all(table.number(cell) is None for cell in table.rows[0][1:4]))  # a line of names
    width = len(table.rows[-1])
    table.require_width(width, f"as line {table.lines[-1]}", first)
    if first == len(table.rows) or width < 3:
        raise ValueError(f"{table.place} must have a label and x, y, z in every line, or x, y, z, but has {width} values.")
    labels = tuple(row[0] for row in table.rows[first:]) if width > 3 else ()
    start = int(width > 3)
    return _Part(table.numbers(range(start, start + 3), first), labels, table.place)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _found(parts: dict[str, _Reader], asked: dict[str, str | None], place: str) -> Found:
    listed = ", ".join(repr(each) for each in list(parts)[:_SHOWN]) + (", …" if len(parts) > _SHOWN else "") or "nothing"
    names: dict[str, str | None] = {}
    for role, called in CALLED.items():
        name = asked[role]
        if name is not None and name not in parts:
            name = pathlib.Path(name.removesuffix(".bz2")).stem if pathlib.Path(name).suffix else name
            if name not in parts:
                raise ValueError(
                    f"Argument `{role}` must name a part of {place}, which has {listed}, but got {asked[role]!r}."
                )
        fitting = [each for word in called for each in parts if _plain(each) == word]
        names[role] = name if name is not None else next(iter(fitting), None)
    if names["weights"] is None:
        others = [each for each in parts if each not in names.values()]
        if len(others) != 1:
            rule = "must have weights, a matrix (n, n), or `weights=` say which they are"
            raise ValueError(f"{place} {rule}; it has {listed}.")
        names["weights"] = others[0]
    read = {role: parts[name](role) for role, name in names.items() if name is not None}
    weights = _square(read["weights"], "weights")
    lengths = _square(read["lengths"], "lengths") if "lengths" in read else None
    size = weights.shape[0]
    if lengths is not None and lengths.shape != weights.shape:
        both = f"{weights.shape} and {lengths.shape}"
        raise ValueError(f"{place} must have weights and lengths of the same shape, but has {both}.")
    positions = None
    if "positions" in read:
        positions = _numbers(read["positions"], "positions")
        if positions.shape != (size, 3):
            raise ValueError(f"{place} must have {size} positions (x, y, z), one per region, but has {positions.shape}.")
    notes = [f"read: {', '.join(f'{role} from `{name}`' for role, name in names.items() if name and len(parts) > 1)}"]
    labels = _labels(read, size, place, notes)
    left = [each for each in parts if each not in names.values()]
    if left:
        notes.append(f"left out: {', '.join(left[:_SHOWN])}{', …' if len(left) > _SHOWN else ''}")
    return Found(weights, lengths, labels, positions, tuple(each for each in notes if not each.endswith(": ")))


def _labels(read: dict[str, _Part], size: int, place: str, notes: list[str]) -> tuple[str, ...]:
    """Labels from a list of their own, else beside the positions or the matrices; doubles are numbered."""
    if "labels" in read:
        part = read["labels"]
        if isinstance(part.array, str) or np.asarray(part.array).dtype.kind not in "US":
            notes.append(f"labels left out: {part.place} holds no texts")
            found: tuple[str, ...] = ()
        else:
            found = tuple(str(each).strip() for each in np.ravel(part.array))
    else:
        found = next(
            (part.labels for role in ("positions", "weights", "lengths") if (part := read.get(role)) and part.labels), ()
        )
    if found and len(found) != size:
        raise ValueError(f"{place} must have {size} labels, one per region, but has {len(found)}.")
    if len(set(found)) < len(found):
        notes.append("labels that occur twice were numbered")
        found = tuple(
            f"{each}_{found[: k + 1].count(each)}" if found.count(each) > 1 else each for k, each in enumerate(found)
        )
    return found


def _numbers(part: _Part, what: str) -> np.ndarray:
    array = part.array if not isinstance(part.array, str) else np.asarray(part.array)
    if array.dtype.kind not in "biuf" or array.ndim != 2:
        holds = part.array if isinstance(part.array, str) else f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"{part.place} must be a table of real numbers, the {what}, but is {holds}.")
    return array.astype(float)


def _square(part: _Part, what: str) -> np.ndarray:
    array = _numbers(part, what)
    if array.shape[0] != array.shape[1] or array.shape[0] < 1:
        raise ValueError(f"{part.place} must be a square matrix, the {what}, but has shape {array.shape}.")
    return array
