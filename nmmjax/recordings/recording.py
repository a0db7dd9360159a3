"""Recordings of several regions, and their two-valued form that energy-landscape analysis works on."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._checks import as_samples, require
from .._results import Shown

MOSTLY = 0.9  # share of the states "all" and "none" from which a global signal dominates


@dataclasses.dataclass(frozen=True, eq=False)
class Recording(Shown):
    """A recording of several regions; made by `load_recording`, or by hand.

    - `values` (time, regions): finite floats, NaN where a sample is missing; samples that a masked array masks are missing.
      Every column of a pandas DataFrame is a region; a DataArray's axis called time is the first
    - `names`: of the regions; those of a DataFrame's columns, or of a DataArray's regions, else R1, R2, … by default
    - `subject` (time,): whole numbers that say whose sample it is, or None. When the label changes, a new run begins
    - `dt`: time between samples, in any unit, or None
    - `source`: where the data came from; `notes`: what was done to them on the way

    Raises `ValueError` if shapes or labels don't fit together.
    """

    values: Any
    names: Any = ()
    subject: Any = None
    dt: Any = None
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)
        names = self.names if self.names is not None and len(self.names) else own_names(self.values)
        put("values", table("values", self.values))
        put("names", region_names(names, self.values.shape[1]))
        put("subject", subject_labels(self.subject, self.values.shape[0]))
        require("dt", self.dt, "be a positive number, or None", self.dt is None or 0 < self.dt < np.inf)

    def select(self, regions: Sequence[str | int]) -> "Recording":
        """The recording of some `regions` only, by name or by number from 0, in that order."""
        at = find_regions(self.names, regions)
        return dataclasses.replace(self, values=self.values[:, at], names=tuple(self.names[k] for k in at))

    def __repr__(self) -> str:
        return _describe("Recording", self.values, self.names, self.subject, self.dt, self.source)


@dataclasses.dataclass(frozen=True, eq=False)
class Binarized(Shown):
    """A recording with two values; made by `binarize`.

    - `spins` (time, regions): −1 or +1, int8; `names`, `subject`, `dt`: as in `Recording`
    - `threshold`: the rule in words; `source`: where the data came from; `first`: for windows, the place of the first sample
      in the data from which it was cut
    """

    spins: Any
    names: Any = ()
    subject: Any = None
    threshold: str = "none"
    dt: Any = None
    source: str = ""
    first: int = 0

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)
        spins = np.asarray(as_samples(self.spins))
        require("spins", spins, "have two axes, (time, regions)", spins.ndim == 2)
        require("spins", spins, "be −1 or +1 everywhere", bool(np.all((spins == 1) | (spins == -1))))
        names = self.names if self.names is not None and len(self.names) else own_names(self.spins)
        put("spins", spins.astype(np.int8))
        put("names", region_names(names, spins.shape[1]))
        put("subject", subject_labels(self.subject, spins.shape[0]))

    @property
    def runs(self) -> np.ndarray:
        """(time,) number of the uninterrupted run that each sample belongs to: it grows where the subject changes."""
        if self.subject is None:
            return np.zeros(self.spins.shape[0], int)
        return np.concatenate([[0], np.cumsum(np.diff(self.subject) != 0)]).astype(int)

    def select(self, regions: Sequence[str | int]) -> "Binarized":
        """The data of some `regions` only, by name or by number from 0, in that order."""
        at = find_regions(self.names, regions)
        return dataclasses.replace(self, spins=self.spins[:, at], names=tuple(self.names[k] for k in at))

    def at(self, times: object) -> "Binarized":
        """The samples at `times`, a slice or an array of indices."""
        subject = None if self.subject is None else self.subject[times]
        return dataclasses.replace(self, spins=self.spins[times], subject=subject)

    def __repr__(self) -> str:
        text = _describe("Binarized", self.spins, self.names, self.subject, self.dt, self.source)
        return f"{text}, threshold: {self.threshold}"


def binarize(
    recording: Any,
    threshold: object = "mean",
    *,
    per_subject: bool = True,
    ties: int = -1,
    subject: Any = None,
    global_signal: str = "keep",
) -> Binarized:
    """A recording as ±1: +1 where a region's value lies above its threshold, −1 below.

    `recording` is a `Recording`, an array (time, regions) or a DataFrame. `threshold` is `"mean"` (default) or `"median"` of
    each region, a number, one number per region, or `"none"` for data that are two-valued already. With `per_subject` and
    known subjects (labels (time,) in the recording, or given as `subject`), mean and median are each subject's own. A value
    equal to the threshold becomes `ties`: −1 (default, as ELAT does) or +1 (as elapy does).

    Data that hold nothing but −1 and +1, or nothing but 0 and 1, are recognised and passed on as they are (0 becomes −1),
    unless `threshold` is a number.

    `global_signal="regress"` first takes from every region what the mean over all regions explains of it by least squares,
    of each subject with `per_subject`: without that, a signal common to all regions leaves few states but "all" and "none",
    of which `fit_ising` warns. It makes regions negatively correlated by construction (Murphy et al., NeuroImage 44, 893
    (2009)). `"keep"` is the default.

    Returns a `Binarized`. Raises `ValueError` for fewer than two regions or samples, NaN, masked or infinite values (with
    region and time), regions that never change, and thresholds that don't fit.

    Source: Ezaki et al., Phil. Trans. R. Soc. A 375, 20160287 (2017); ELAT. Use it before `fit_ising`.
    """
    if isinstance(recording, Binarized):
        return recording
    if not isinstance(recording, Recording):
        recording = Recording(table("recording", recording), own_names(recording))
    if subject is not None:
        recording = dataclasses.replace(recording, subject=subject)
    require("ties", ties, "be −1 or 1", ties in (-1, 1))
    values, names = recording.values, recording.names
    require("recording", f"{values.shape[1]}", "have at least 2 regions", values.shape[1] >= 2)
    require("recording", f"{values.shape[0]}", "have at least 2 samples", values.shape[0] >= 2)
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        t, i = (int(each) for each in bad[0])
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ValueError(
            f"Argument `recording` must be finite, but got {values[t, i]} in region `{names[i]}` at time index {t}{more}; "
            "leave out those samples or regions, or fill the gaps."
        )
    _refuse_constant(values, names, "")
    signs = bool(np.all(np.abs(values) == 1))
    two = signs or bool(np.all((values == 0) | (values == 1)))
    rule = 'be "keep" or "regress"' + (", and two-valued data can't be regressed" if two else "")
    require("global_signal", global_signal, rule, global_signal == "keep" or (global_signal == "regress" and not two))
    own = recording.subject if per_subject else None
    if global_signal == "regress":
        values = _without_global_signal(values, own)
        _refuse_constant(values, names, " but by the global signal")
    if isinstance(threshold, str):
        require("threshold", threshold, 'be "mean", "median", "none" or numbers', threshold in ("mean", "median", "none"))
        if threshold == "none":
            rule = 'be only −1 and +1, or only 0 and 1, with threshold="none"'
            require("recording", np.unique(values), rule, two)
        if two:
            levels, rule = np.zeros(1) if signs else np.full(1, 0.5), "none, the data were two-valued"
        else:
            levels = _levels(values, names, np.mean if threshold == "mean" else np.median, own)
            rule = threshold if own is None else f"{threshold} of each subject"
    else:
        levels, rule = _numbers(threshold, values.shape[1])
    rule += ", global signal regressed out" if global_signal == "regress" else ""
    spins = np.where((values > levels) | ((values == levels) & (ties == 1)), 1, -1).astype(np.int8)
    _refuse_constant(spins, names, " after the threshold")
    return Binarized(spins, names, recording.subject, rule, recording.dt, recording.source)


def as_binarized(name: str, data: object) -> Binarized:
    """`data` if it is `Binarized`, or an array of two values; else a sentence that asks for `binarize`."""
    if isinstance(data, Binarized):
        _refuse_constant(data.spins, data.names, "")
        return data
    rule = "be binarized: use `binarize(recording)`"
    require(name, type(data).__name__, rule, not isinstance(data, Recording))
    try:
        values = np.asarray(as_samples(data), float)
    except (TypeError, ValueError):
        values = np.zeros(0)
    two = values.size > 0 and bool(np.all(np.abs(values) == 1) or np.all((values == 0) | (values == 1)))
    require(name, type(data).__name__ if values.size == 0 else values, rule, two)
    return binarize(Recording(values, own_names(data)), "none")


def about_global_signal(data: Binarized) -> str:
    """A sentence if next to nothing but the states "all" and "none" occurs in three or more regions, else ""."""
    share = float(np.mean(np.all(data.spins == data.spins[:, :1], axis=1)))
    if data.spins.shape[1] < 3 or share < MOSTLY:
        return ""
    return (
        f"In {100 * share:.3g} % of the samples all {data.spins.shape[1]} regions are active or none is: a global signal "
        'dominates, and a landscape shows little else; regress it out, `binarize(recording, global_signal="regress")`, or '
        "give each region a `threshold=` of its own."
    )


def table(name: str, values: object) -> np.ndarray:
    """`values` as a float array (time, regions), NaN where masked; a copy, so that nobody else changes it."""
    try:
        array = np.asarray(_by_numpy(values))
        if np.iscomplexobj(array):
            raise TypeError
        array = np.array(array, dtype=float)
    except (TypeError, ValueError):
        array = np.zeros(())
    require(name, values, "be an array of numbers with two axes, (time, regions)", array.ndim == 2 and array.size > 0)
    return array


def own_names(values: Any) -> tuple[str, ...]:
    """Names that a table of pandas, polars or xarray has for its columns; () if it has none."""
    if np.ndim(values) == 2 and hasattr(values, "columns"):
        return tuple(str(each) for each in values.columns)
    if np.ndim(values) == 2 and hasattr(values, "coords"):
        regions = values.dims[0 if _across(values) else 1]
        return tuple(str(each) for each in np.asarray(values.coords[regions])) if regions in values.coords else ()
    return ()


def _across(values: Any) -> bool:
    """Whether a DataArray's second axis is time."""
    return hasattr(values, "coords") and len(values.dims) == 2 and values.dims[1] in ("t", "time")


def _by_numpy(values: Any) -> Any:
    """`values` for NumPy: NaN for what is masked, and for NA in a DataFrame, which NumPy can't make a number of."""
    if hasattr(values, "columns") and hasattr(values, "isna"):
        return values.to_numpy(dtype=float, na_value=np.nan)
    return as_samples(values.T if _across(values) else values)


def region_names(names: Any, count: int) -> tuple[str, ...]:
    """Names as given, or R1, R2, …"""
    found = tuple(str(each) for each in names) if names is not None and len(names) else ()
    found = found or tuple(f"R{k}" for k in range(1, count + 1))
    require("names", found, f"be {count}, one per region", len(found) == count)
    require("names", found, "differ from each other", len(set(found)) == count)
    return found


def subject_labels(subject: Any, count: int) -> np.ndarray | None:
    """Labels as whole numbers; words are numbered in the order in which they appear."""
    if subject is None:
        return None
    require("subject", subject, "not be masked", not np.ma.is_masked(subject))
    labels = np.asarray(subject)
    require("subject", labels, f"be {count} labels, one per sample", labels.shape == (count,))
    if labels.dtype.kind in "iub":
        return labels.astype(int)
    if labels.dtype.kind == "f":
        require("subject", labels, "be whole numbers or words", bool(np.all(labels == np.round(labels))))
        return labels.astype(int)
    number: dict[str, int] = {}
    return np.asarray([number.setdefault(str(each), len(number)) for each in labels], int)


def find_regions(names: tuple[str, ...], regions: Sequence[str | int]) -> list[int]:
    """Places among `names` of regions given by name or number."""
    found = []
    for each in regions:
        known = each in names if isinstance(each, str) else 0 <= int(each) < len(names)
        require("regions", each, f"be among {', '.join(names)}, or a number below {len(names)}", known)
        found.append(names.index(each) if isinstance(each, str) else int(each))
    require("regions", list(regions), "name each region once", len(set(found)) == len(found))
    return found


def _levels(values: np.ndarray, names: tuple[str, ...], middle: Any, subject: np.ndarray | None) -> np.ndarray:
    """Threshold of each sample and region: `middle` over time, or over each subject's time."""
    if subject is None:
        return middle(values, axis=0)[None]
    levels = np.empty_like(values)
    for each in np.unique(subject):
        mine = subject == each
        _refuse_constant(values[mine], names, f" in subject {each}")
        levels[mine] = middle(values[mine], axis=0)
    return levels


def _without_global_signal(values: np.ndarray, subject: np.ndarray | None) -> np.ndarray:
    """The part of each region that the mean over regions doesn't explain, by least squares over (each subject's) time."""
    left = np.empty_like(values)
    for each in [None] if subject is None else np.unique(subject):
        mine = slice(None) if each is None else subject == each
        x = values[mine] - values[mine].mean(axis=0)
        common = x.mean(axis=1)
        left[mine] = x - np.outer(common, common @ x / max(common @ common, np.finfo(float).tiny))
    return left


def _numbers(threshold: object, count: int) -> tuple[np.ndarray, str]:
    try:
        levels = np.asarray(as_samples(threshold), float)
    except (TypeError, ValueError):
        levels = np.full((), np.nan)
    rule = f'be "mean", "median", "none", a number or {count} numbers'
    require("threshold", threshold, rule, levels.shape in ((), (count,)) and bool(np.all(np.isfinite(levels))))
    return np.broadcast_to(levels, (count,))[None], f"{levels:g}" if levels.ndim == 0 else "one number per region"


def _refuse_constant(values: np.ndarray, names: tuple[str, ...], when: str) -> None:
    still = [names[i] for i in np.flatnonzero(np.all(values == values[:1], axis=0))]
    if still:
        listed = ", ".join(f"`{each}`" for each in still[:5]) + (f" and {len(still) - 5} more" if len(still) > 5 else "")
        which, never = ("Region", "never changes") if len(still) == 1 else ("Regions", "never change")
        raise ValueError(f"{which} {listed} {never}{when}: nothing can be learnt from that; leave it out.")


def _describe(kind: str, values: np.ndarray, names: Any, subject: Any, dt: Any, source: str) -> str:
    parts = [f"{kind}: {values.shape[0]} samples of {values.shape[1]} regions ({', '.join(names[:4])}"]
    parts[0] += ", …)" if len(names) > 4 else ")"
    if subject is not None:
        parts.append(f"{len(np.unique(subject))} subjects")
    parts += [f"dt = {dt:g}"] if dt is not None else []
    return ", ".join(parts + ([f"from {source}"] if source else []))
