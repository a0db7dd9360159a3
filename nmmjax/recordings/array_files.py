"""Arrays in npy, npz, MATLAB and HDF5 files; which of them is the table, and what hides samples in it."""

import pathlib
import zipfile
from typing import Any

import numpy as np

from .._checks import as_samples
from .._optional import optional

_HDF, _V73 = b"\x89HDF", b"MATLAB 7.3"


def read_array(file: pathlib.Path, key: str | None, subject: str | None) -> tuple[np.ndarray, Any, tuple[str, ...]]:
    """The table of numbers in a file, NaN if missing, the subjects' labels beside it, and notes.

    `key`: which array, else the only one with two axes; `subject`: the name of the array of labels.
    """
    kind = file.suffix.lower()
    if kind == ".npy":
        if key is not None:
            raise ValueError(f"Argument `key` must be left out for {str(file)!r}, which holds one array, but got {key!r}.")
        return _numbers(file, "it", _numpy(file, kind)[""]), None, ()
    arrays = read_arrays(file)
    label = subject or "subject"
    if subject is not None and subject not in arrays:
        raise ValueError(f"{str(file)!r} has no array {subject!r} of subjects; it has {_listed(arrays)}.")
    labels = np.ravel(arrays.pop(label)) if label in arrays and key != label else None
    notes = []
    if key is None:
        tables = [name for name, each in arrays.items() if _is_table(each)] if len(arrays) > 1 else list(arrays)
        if len(tables) != 1:
            raise ValueError(f"{str(file)!r} must hold one array, or `key=` say which; it has {_listed(arrays)}.")
        key = tables[0]
        if len(arrays) > 1:
            notes.append(f"Array `{key}` was read, the only table of numbers; the file has {_listed(arrays)}.")
    if key not in arrays:
        raise ValueError(f"{str(file)!r} has no array {key!r}; it has {_listed(arrays)}.")
    values = _numbers(file, f"array {key!r}", arrays[key])
    for name in ("mask", f"{key}_mask"):
        mask = arrays.get(name)
        if mask is not None and np.shape(mask) == values.shape and np.all((mask == 0) | (mask == 1)):
            values = np.where(np.asarray(mask, bool), np.nan, values)
            notes.append(f"Array `{name}` was read as the mask of `{key}`: {int(np.sum(mask))} samples are missing.")
    return values, labels, tuple(notes)


def read_arrays(file: pathlib.Path) -> dict[str, Any]:
    """All arrays of an npz, MATLAB or HDF5 file by name, words where something else is stored; of npy, one named ""."""
    kind = file.suffix.lower()
    if kind in (".npy", ".npz"):
        return _numpy(file, kind)
    return _hdf(file, kind) if kind != ".mat" or _is_hdf(file) else _mat(file)


def _is_table(array: object) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "iuf" and array.ndim == 2 and min(array.shape) > 1


def _listed(arrays: dict[str, Any]) -> str:
    what = lambda each: each if isinstance(each, str) else f"of shape {np.shape(each)}"
    return ", ".join(f"{name!r} {what(each)}" for name, each in arrays.items()) or "none"


def _numpy(file: pathlib.Path, kind: str) -> dict[str, np.ndarray]:
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            arrays = {"": found}
        else:
            with found:
                arrays = {name: _unless_objects(found, name) for name in found.files}
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


def _unless_objects(found: Any, name: str) -> Any:
    try:
        return found[name]
    except ValueError as error:
        if "pickle" not in str(error).lower():
            raise
        return "Python objects, which are not loaded as they could run code"


def _is_hdf(file: pathlib.Path) -> bool:
    with file.open("rb") as stream:
        begin = stream.read(10)
    return begin == _V73 or begin[:4] == _HDF


def _mat(file: pathlib.Path) -> dict[str, Any]:
    from scipy.io import loadmat  # slow to import

    try:
        found = loadmat(file)
    except Exception:  # scipy raises whatever the broken bytes lead it to
        raise ValueError(f"{str(file)!r} is not a readable MATLAB file.") from None
    dense = lambda each: each.toarray() if hasattr(each, "toarray") else each
    arrays = {name: _words(dense(each)) for name, each in found.items() if not name.startswith("__")}
    return {name: "a struct or cell array" if each.dtype.kind in "OV" else each for name, each in arrays.items()}


def _words(array: np.ndarray) -> np.ndarray:
    """A cell array of texts as an array of them; anything else as it is."""
    texts = array.dtype.kind == "O" and array.size and all(np.asarray(each).dtype.kind == "U" for each in array.flat)
    return np.asarray(["".join(np.ravel(each)) for each in array.flat]) if texts else array


def _hdf(file: pathlib.Path, kind: str) -> dict[str, Any]:
    """Arrays of an HDF5 file by path; those of MATLAB 7.3 with axes as in MATLAB, for what is no array a word."""
    h5py = optional("h5py", "data")
    matlab, arrays = kind == ".mat", {}

    def add(name: str, each) -> None:
        kind_of = each.attrs.get("MATLAB_class", b"")
        if name.startswith("#") or ("/" in name and name.split("/")[0] in arrays):  # MATLAB's own; inside of a struct
            return
        if isinstance(each, h5py.Group):
            if matlab:
                arrays[name] = "a struct, an object or a sparse matrix"
        elif each.dtype.kind not in "biuf" or kind_of in (b"cell", b"char") or each.shape is None:
            arrays[name] = {b"cell": "a cell array", b"char": "a text"}.get(kind_of, f"of {each.dtype}")
        elif matlab and "MATLAB_empty" in each.attrs:
            arrays[name] = "empty"
        else:
            arrays[name] = _filled(each).T if matlab else _filled(each)

    try:
        with h5py.File(file, "r") as opened:
            opened.visititems(add)
    except (OSError, RuntimeError, KeyError):
        raise ValueError(f"{str(file)!r} is not a readable {'MATLAB 7.3' if matlab else 'HDF5'} file.") from None
    return arrays


def _filled(dataset: Any) -> np.ndarray:
    """Its numbers, NaN where it has the value that its attribute `_FillValue` reserves for what is missing (netCDF)."""
    values, fill = np.asarray(dataset[()]), dataset.attrs.get("_FillValue")
    return values if fill is None else as_samples(np.ma.masked_equal(values, np.ravel(fill)[0]))


def _numbers(file: pathlib.Path, what: str, array: object) -> np.ndarray:
    if isinstance(array, str):
        hint = "; save its part as a variable of its own" if "struct" in array or "cell" in array else ""
        raise ValueError(f"{str(file)!r}: {what} must hold real numbers, but is {array}{hint}.")
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{str(file)!r}: {what} must hold real numbers, but holds {array.dtype}.")
    if array.ndim != 2:
        hint = "; pass one subject's table, or stack them in time and give `subject=`" if array.ndim == 3 else ""
        raise ValueError(f"{str(file)!r}: {what} must have two axes, (time, regions), but has shape {array.shape}{hint}.")
    return array.astype(float)
