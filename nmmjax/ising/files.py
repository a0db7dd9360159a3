"""Ising models of recordings as JSON files."""

import json
import math
import os
import pathlib
from typing import Any

import numpy as np

from .._files import as_new_file, read_text, replace_text
from .._optional import versions
from .model import IsingFit, IsingModel

_FORMAT = "nmmjax Ising model"
_SCALARS = ("method", "penalty", "samples", "status", "steps", "S1", "S2", "S_N", "cross_entropy", "note", "reason")
_ARRAYS = ("h_error", "J_error")


def save_ising(model: IsingModel, path: str | os.PathLike[str]) -> pathlib.Path:
    """Write an Ising model and what is known about its fit, but not the data, as JSON; `load_ising` reads it again.

    - `model`: an `IsingModel`
    - `path`: the file; one that exists is replaced at once

    Numbers are written in full precision. Returns the path.
    """
    file = as_new_file(path)
    content: dict[str, Any] = {
        "format": _FORMAT,
        "energy": "E(s) = -1/2 sum_ij J_ij s_i s_j - sum_i h_i s_i, s_i = -1 or +1; P(s) proportional to exp(-E(s))",
        "names": list(model.names),
        "h": np.asarray(model.h, float).tolist(),
        "J": np.asarray(model.J, float).tolist(),
        "accuracy": model.accuracy,
        "divergence_accuracy": model.divergence_accuracy,
    }
    if model.fit is not None:
        fit = {name: getattr(model.fit, name) for name in _SCALARS}
        arrays = {name: getattr(model.fit, name) for name in _ARRAYS}
        content["fit"] = fit | {
            name: None if each is None else np.asarray(each, float).tolist() for name, each in arrays.items()
        }
        if model.fit.data is not None:
            content["threshold"], content["source"] = model.fit.data.threshold, model.fit.data.source
    content["versions"] = versions()
    return replace_text(file, json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def load_ising(path: str | os.PathLike[str]) -> IsingModel:
    """The Ising model that `save_ising` or `nmmjax landscape` wrote; without the data it was fitted to.

    - `path`: a file such as `model.json`

    Returns an `IsingModel`. Raises `ValueError`, in one sentence, if the file isn't there or isn't such a model.
    """
    text = read_text(path)
    try:
        content = json.loads(text)
    except ValueError:
        raise ValueError(f"The file {str(path)!r} is not JSON.") from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"The file {str(path)!r} is not an Ising model written by `save_ising`.")
    missing = [name for name in ("names", "h", "J") if name not in content]
    if missing:
        raise ValueError(f"The file {str(path)!r} must have `{missing[0]}`, but has not.")
    fit, known = None, content.get("fit")
    if known is not None:
        found: dict[str, Any] = {name: known[name] for name in _SCALARS if name in known}
        found |= {name: None if known.get(name) is None else _array(known[name]) for name in _ARRAYS}
        fit = IsingFit(**found)
    try:
        return IsingModel(np.asarray(content["h"], float), np.asarray(content["J"], float), content["names"], fit)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r}: {error}") from None


def _array(values: object) -> np.ndarray:
    return np.asarray(values, float)  # None, for a number that is not known, becomes NaN


def _plain(value: object) -> Any:
    """JSON has no NaN and no infinity: null."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (np.floating, float)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
