"""A sweep on disk (extra `data`): a Zarr 3 store, written block by block, that survives whatever stops the writer.

One block of the sweep is one Zarr chunk of every variable, so that no two blocks share a file. A block counts as finished
only once a record with the checksums of its files lies beside them; the record is written last, atomically, after the data
has reached the disk. A chunk without a record, or without the checksums in its record, is computed again. One process writes
at a time: it holds a lock that the system releases when the process ends, however it ends.
"""

import contextlib
import dataclasses
import errno
import hashlib
import itertools
import json
import math
import os
import pathlib
import platform
import re
import shutil
import uuid
import warnings
from typing import IO, Any

import numpy as np

from .._checks import require
from .._files import as_path, lock
from .._identity import refuse_other_call
from .._labelled import xarray
from .._optional import optional
from ..ensemble.computation import BACKEND
from ..ensemble.plan import PlanLike

FORMAT = 2
_BEFORE = {1: ", which told functions apart by their code"}  # why other formats aren't read
_FOLDER = ".nmmjax"


@dataclasses.dataclass(frozen=True)
class Blocks:
    """An N-D grid of `sizes` cut into rectangular blocks of `shape`; those at the far edges may be smaller."""

    sizes: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks along each dimension."""
        return tuple(-(-size // length) for size, length in zip(self.sizes, self.shape, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def indices(self) -> list[tuple[int, ...]]:
        """All blocks, in C order, each by its place along every dimension."""
        return list(itertools.product(*map(range, self.counts)))

    def region(self, index: tuple[int, ...]) -> tuple[slice, ...]:
        """The part of the grid that a block covers."""
        parts = zip(index, self.sizes, self.shape, strict=True)
        return tuple(slice(k * length, min((k + 1) * length, size)) for k, size, length in parts)

    def extent(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """The size of a block along each dimension."""
        return tuple(part.stop - part.start for part in self.region(index))

    def lanes(self, index: tuple[int, ...]) -> np.ndarray:
        """The flat numbers (C order over the grid) of a block's lanes."""
        places = np.meshgrid(*(np.arange(part.start, part.stop) for part in self.region(index)), indexing="ij")
        return np.ravel_multi_index(places, self.sizes).ravel()


def block_shape(sizes: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """Blocks of at most `limit` lanes, filled from the last dimension backwards, of even sizes along the one that is cut."""
    shape, left = [], max(1, limit)
    for size in reversed(sizes):
        length = min(size, left)
        length = -(-size // -(-size // length))
        shape.append(length)
        left = left // length if length == size else 1
    return tuple(reversed(shape))


def plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes as plain numbers, strings and lists, the same in memory, in Zarr and in NetCDF; `None` is left out.

    Meanings of flags become one string, as the CF conventions want them: words without blanks, separated by blanks.
    """

    def simple(value) -> Any:
        if isinstance(value, (np.ndarray, np.generic)):
            return value.tolist()
        if isinstance(value, (list, tuple)):
            return [simple(each) for each in value]
        return value

    found = {name: simple(value) for name, value in attributes.items() if value is not None}
    if isinstance(found.get("flag_meanings"), list):
        found["flag_meanings"] = " ".join(re.sub(r"\W+", "_", each).strip("_") for each in found["flag_meanings"])
    return found


def fill_value(dtype: str) -> Any:
    """Value if nothing has been computed yet: NaN, or −1 for integers."""
    return float("nan") if np.dtype(dtype).kind == "f" else -1


def backends_in(values: dict[str, np.ndarray]) -> set[str]:
    """What a block was computed by, if whoever computed it says so."""
    return set(np.unique(values[BACKEND]).tolist()) if BACKEND in values else set()


def named(backends: set[str]) -> dict[str, str]:
    """The attribute of a result that names what it was computed by."""
    return {"backend": ", ".join(sorted(backends))} if backends else {}


def open_store(
    path: str | os.PathLike[str], plan: PlanLike, shape: tuple[int, ...], attributes: dict[str, Any]
) -> "SweepStore":
    """The store of a plan at `path`: a new one, cut into blocks of `shape`, or the one that an earlier call left there.

    An existing store keeps its own blocks. Raises `ValueError` for a path that holds something else, a store of another
    format or of another call, and a damaged one; `BlockingIOError` if another process is writing to it; `OSError` with the
    path if it can't be written.
    """
    path = as_path(path, "store")
    if not _is_vacant(path):
        return _open_existing(path, plan, attributes)
    try:
        return _create(path, plan, shape, attributes)
    except FileExistsError:  # another process was faster
        return _open_existing(path, plan, attributes)
    except OSError as error:
        raise _failed(f"The store {str(path)!r} could not be created: {_reason(error)}.", error) from error


class SweepStore:
    """A store that is open for writing; a context manager that gives up the lock on leaving. Made by `open_store`."""

    def __init__(self, path: pathlib.Path, lock: IO[str], plan: PlanLike, shape: tuple[int, ...]):
        self.path = path
        self.blocks = Blocks(tuple(plan.dims.values()), shape)
        self.finished: set[tuple[int, ...]] = set()
        self._backends: set[str] = set()
        self._lock = lock
        self._variables = plan.variables
        group = optional("zarr", "data").open_group(str(path), mode="r+")
        self._arrays = {name: group[name] for name in plan.variables}

    def __enter__(self) -> "SweepStore":
        return self

    def __exit__(self, *_: Any) -> None:
        self._lock.close()

    def pending(self) -> list[tuple[int, ...]]:
        """Blocks that are still to be computed, after verifying every finished one; warns of those that were damaged."""
        for leftover in self.path.glob("*/c/**/*.partial"):  # of a writer that was killed; the lock says it's gone
            leftover.unlink(missing_ok=True)
        states = {index: self._state(index) for index in self.blocks.indices()}
        self.finished = {index for index, state in states.items() if state == "finished"}
        damaged = [".".join(map(str, index)) for index, state in states.items() if state == "damaged"]
        if damaged:
            which = f"chunk {damaged[0]} is" if len(damaged) == 1 else f"chunks {', '.join(damaged)} are"
            warnings.warn(f"In the store {str(self.path)!r}, {which} damaged and will be computed again.", stacklevel=4)
        return [index for index in states if index not in self.finished]

    def write(self, index: tuple[int, ...], values: dict[str, np.ndarray]) -> None:
        """Write one block, flush it to the disk and record it as finished; a failure leaves finished blocks as they are."""
        try:
            self._record(index).unlink(missing_ok=True)
            region, extent = self.blocks.region(index), self.blocks.extent(index)
            for name, variable in self._variables.items():
                # Removed first: Zarr reads what it overwrites in part, and that may be damaged.
                self._file(name, index).unlink(missing_ok=True)
                target = region + (slice(None),) * len(variable.shape)
                self._arrays[name][target] = np.asarray(values[name]).reshape(extent + tuple(variable.shape))
            for name in self._variables:
                if self._file(name, index).exists():
                    _flush(self._file(name, index))
            checksums = {name: self._checksum(name, index) for name in self._variables}
            _write_atomically(
                self._record(index), json.dumps({"sha256": checksums, "backends": sorted(backends_in(values))})
            )
        except OSError as error:
            done = f"{len(self.finished)} of {len(self.blocks)} chunks are finished and kept"
            message = f"The store {str(self.path)!r} could not be written: {_reason(error)}; {done}, the same call resumes."
            raise _failed(message, error) from error
        self.finished.add(index)
        self._backends |= backends_in(values)

    def dataset(self, load: bool) -> Any:
        """The store as an `xarray.Dataset`, in memory or read on demand."""
        opened = xarray().open_zarr(str(self.path), chunks=None, consolidated=True)
        opened = opened[list(self._variables)].assign_attrs(named(self._backends))  # in the plan's order
        return opened.load() if load else opened

    def _record(self, index: tuple[int, ...]) -> pathlib.Path:
        return self.path / _FOLDER / "chunks" / f"{'.'.join(map(str, index))}.json"

    def _file(self, name: str, index: tuple[int, ...]) -> pathlib.Path:
        places = index + (0,) * len(self._variables[name].shape)
        return self.path.joinpath(name, "c", *map(str, places))

    def _checksum(self, name: str, index: tuple[int, ...]) -> str | None:
        """The checksum of a block's file; None if Zarr keeps no file because every value is the fill value."""
        file = self._file(name, index)
        return _checksum(file) if file.exists() else None

    def _state(self, index: tuple[int, ...]) -> str:
        record = self._record(index)
        if not record.exists():
            return "missing"
        try:
            known = json.loads(record.read_text())
            intact = all(self._checksum(name, index) == known["sha256"][name] for name in self._variables)
            self._backends |= set(known.get("backends", [])) if intact else set()
        except (OSError, ValueError, KeyError, TypeError):
            intact = False
        return "finished" if intact else "damaged"


def _is_vacant(path: pathlib.Path) -> bool:
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _create(path: pathlib.Path, plan: PlanLike, shape: tuple[int, ...], attributes: dict[str, Any]) -> SweepStore:
    """Build the whole template under another name, then rename it: a crash before leaves nothing at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    partial = path.parent / f".{path.name}.partial-{platform.node()}-{os.getpid()}-{uuid.uuid4().hex}"
    lock = None
    try:
        (partial / _FOLDER / "chunks").mkdir(parents=True)
        lock = _acquire(partial, path)  # held from here on: the renamed folder keeps it
        _write_template(partial, plan, shape, attributes)
        identity = {"format": FORMAT, "config": plan.config, "chunk": list(shape), "sha256": _checksums(partial)}
        _write_atomically(partial / _FOLDER / "store.json", json.dumps(identity, indent=1))
        for file in partial.rglob("*"):
            _flush(file)
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()
        lock = _rename(partial, path, lock)
        _flush(path.parent)
        return SweepStore(path, lock, plan, shape)
    except BaseException as error:
        if lock is not None:
            lock.close()
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(str(path)) from error
        raise


def _rename(partial: pathlib.Path, path: pathlib.Path, lock: IO[str]) -> IO[str]:
    if os.name != "nt":
        partial.rename(path)
        return lock
    lock.close()  # Windows renames no folder with an open file
    partial.rename(path)
    return _acquire(path, path)


def _write_template(path: pathlib.Path, plan: PlanLike, shape: tuple[int, ...], attributes: dict[str, Any]) -> None:
    zarr = optional("zarr", "data")
    beside = [name for name, (dims, _, _) in plan.coords.items() if tuple(dims) != (name,)]
    # xarray reads from this attribute which variables are coordinates without being dimensions.
    extra = {"coordinates": " ".join(beside)} if beside else {}
    group = zarr.create_group(str(path), zarr_format=3, attributes=plain(attributes) | extra)
    for name, (dims, values, attrs) in plan.coords.items():
        values = np.asarray(values)
        options = {"dimension_names": tuple(dims), "attributes": plain(attrs)}
        dtype = "string" if values.dtype.kind == "U" else values.dtype  # names of nodes, of any length
        array = group.create_array(
            name, shape=values.shape, chunks=tuple(max(1, n) for n in values.shape), dtype=dtype, **options
        )
        array[...] = values
    for name, variable in plan.variables.items():
        group.create_array(
            name,
            shape=(*plan.dims.values(), *variable.shape),
            chunks=(*shape, *(max(1, n) for n in variable.shape)),
            dtype=variable.dtype,
            fill_value=fill_value(variable.dtype),
            dimension_names=(*plan.dims, *variable.dims),
            attributes=plain(variable.attrs),
        )
    with warnings.catch_warnings():  # all metadata in one file; Zarr warns that other readers may not look there
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(path))


def _open_existing(path: pathlib.Path, plan: PlanLike, attributes: dict[str, Any]) -> SweepStore:
    rule = "be a new path or the store of a sweep"
    require("store", str(path), rule, (path / _FOLDER / "store.json").is_file())
    try:
        identity = json.loads((path / _FOLDER / "store.json").read_text())
        found = identity["format"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"The store {str(path)!r} is damaged: {_FOLDER}/store.json can't be read.") from None
    if found != FORMAT:
        why = f"{found!r}{_BEFORE.get(found, '')}"
        raise ValueError(f"The store {str(path)!r} has format {why}, but this version of nmmjax reads format {FORMAT}.")
    refuse_other_call(path, identity["config"], json.loads(json.dumps(plan.config)))
    for name, checksum in identity["sha256"].items():
        if not (path / name).is_file() or _checksum(path / name) != checksum:
            raise ValueError(f"The store {str(path)!r} is damaged: {name} is not what was written.")
    _warn_of_other_versions(path, attributes)
    try:
        lock = _acquire(path, path)
    except PermissionError as error:
        raise _failed(f"The store {str(path)!r} can't be written: {_reason(error)}.", error) from error
    try:
        return SweepStore(path, lock, plan, tuple(identity["chunk"]))
    except BaseException:
        lock.close()
        raise


def _warn_of_other_versions(path: pathlib.Path, attributes: dict[str, Any]) -> None:
    stored = json.loads((path / "zarr.json").read_text())["attributes"]
    for name in ("device", *(each for each in attributes if each.startswith("version_"))):
        if stored.get(name) != attributes.get(name):
            what = name.removeprefix("version_")
            message = f"The store {str(path)!r} was begun with {what} {stored.get(name)}, now it is {attributes.get(name)}."
            warnings.warn(message, stacklevel=5)
            return


def _remove_leftovers(path: pathlib.Path) -> None:
    """Remove what a creator that was killed has left; one that is alive holds its lock, or is about to."""
    for leftover in path.parent.glob(f".{path.name}.partial-*"):
        if (leftover / _FOLDER / "lock").exists():
            with contextlib.suppress(OSError), _acquire(leftover, path):
                shutil.rmtree(leftover, ignore_errors=True)
        elif _is_dead(leftover.name.removeprefix(f".{path.name}.partial-")):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_dead(creator: str) -> bool:
    """Whether the process MACHINE-PROCESS-… is no more; of other machines nobody knows."""
    node, *rest = creator.rsplit("-", 2)
    if os.name == "nt" or node != platform.node() or len(rest) != 2 or not rest[0].isdigit():
        return False
    try:
        os.kill(int(rest[0]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _acquire(folder: pathlib.Path, path: pathlib.Path) -> IO[str]:
    return lock(folder / _FOLDER / "lock", path)


def _checksum(file: pathlib.Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksums(folder: pathlib.Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    names = ((file.relative_to(folder).as_posix(), file) for file in files)
    return {name: _checksum(file) for name, file in names if not name.startswith(_FOLDER)}


def _flush(path: pathlib.Path) -> None:
    """Make sure that a file, or a folder's list of files, is on the disk; Windows can't open folders for that."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    if path.is_file():
        _flush(path.parent)


def _write_atomically(path: pathlib.Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    _flush(partial)
    partial.replace(path)
    _flush(path.parent)


def _reason(error: OSError) -> str:
    return "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)


def _failed(message: str, error: OSError) -> OSError:
    failure = OSError(message)
    failure.errno = error.errno
    return failure
