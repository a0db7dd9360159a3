"""Recordings in text tables: columns by name, gaps as NaN, units; mistakes answered with file, line and column."""

import dataclasses
import os
from typing import Any

import numpy as np

from .._files import read_text
from ..fitting.units import unit_mistake
from ..recordings.table import SECONDS, read_table, split_unit
from .configuration import Document

HERTZ = {"Hz": 1.0, "1/s": 1.0, "spikes/s": 1.0, "kHz": 1e3, "1/ms": 1e3}


class Table:
    """A text table with a header: text by column, units from headers such as `t (ms)`. Raises `ValueError` if it can't be
    read."""

    def __init__(self, file: str | os.PathLike[str]):
        self.file = str(file)
        table = read_table(read_text(file), self.file)
        if table is None:
            raise ValueError(f"The file {self.file!r} is empty; it must have a header and a line per sample.")
        names = list(table.names) or table.rows[0]
        if all(table.number(cell) is not None for cell in names):
            rule = "a header that names its columns, such as t,r,v"
            raise ValueError(f"{self.file}, line {table.lines[0]}: must be {rule}, but got numbers.")
        first = 0 if table.names else 1
        full = [k for k, row in enumerate(table.rows) if k >= first and any(row)]
        self.table = dataclasses.replace(table, rows=[table.rows[k] for k in full], lines=[table.lines[k] for k in full])
        self.lines = self.table.lines
        pairs = [split_unit(each) for each in names]
        self.names = [name for name, _ in pairs]
        self.units = {name: unit for name, unit in pairs if unit}
        self.table.require_width(len(names), "as the header has names")
        if not full:
            raise ValueError(f"{self.file}: must have a line per sample below its header, but has none.")

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.names

    def column(self, name: str) -> np.ndarray:
        """The numbers of a column, NaN where a sample is missing."""
        if name not in self.names:
            raise ValueError(f"{self.file}: column `{name}` is missing; it has {', '.join(self.names)}.")
        if self.names.count(name) > 1:
            raise ValueError(
                f"{self.file}: column `{name}` must be there once, but is there {self.names.count(name)} times."
            )
        rule = "be a number, or empty where a sample is missing"
        return self.table.numbers([self.names.index(name)], names=[name], rule=rule, finite=True)[:, 0]

    def times(self, name: str) -> np.ndarray:
        """A column without gaps that increases."""
        values = self.column(name)
        if values.size < 2:
            raise ValueError(f"{self.file}: must have at least 2 samples, but has {values.size}.")
        gaps = np.flatnonzero(np.isnan(values))
        if gaps.size:
            self.table.refuse(int(gaps[0]), 0, name, "be a time", "nothing")
        back = np.flatnonzero(np.diff(values) <= 0)
        if back.size:
            before, now = values[back[0]], values[back[0] + 1]
            self.table.refuse(int(back[0]) + 1, 0, name, f"be later than {before:g} on the line before", f"{now:g}")
        return values


@dataclasses.dataclass(frozen=True)
class Recording:
    """Times and recorded variables in the model's units, (times,) or (times, nodes); `notes` say what was done to them."""

    file: str
    ts: np.ndarray
    values: dict[str, np.ndarray]
    columns: dict[str, tuple[str, ...]]
    unit: str | None
    notes: tuple[str, ...]


def read_recording(document: Document, table: Table, nodes: int | None) -> Recording:
    """The columns that the tables [data] and [units] of a file say, for a network of `nodes`, or one population."""
    data = document.table(("data",), document.values.get("data", {}), ("file", "t", "r", "v"))
    units = document.table(("units",), document.values.get("units", {}), ("t", "r", "v", "model"))
    name = document.text(("data", "t"), data.get("t", "time" if table.has("time") and not table.has("t") else "t"))
    columns = {each: _names(document, table, each, data, nodes) for each in ("r", "v")}
    columns = {each: names for each, names in columns.items() if names}
    if not columns:
        wanted = "columns `r` or `v`" if nodes is None else f"columns `r1` to `r{nodes}`, or `v1` to `v{nodes}`"
        raise ValueError(f"{table.file}: must have {wanted} (or name them in [data]); it has {', '.join(table.names)}.")
    ts = table.times(name)
    values = {
        each: np.stack([table.column(column) for column in names], axis=1)[:, slice(None) if nodes is not None else 0]
        for each, names in columns.items()
    }
    notes = []
    for each, found in values.items():
        missing = np.isnan(found)
        if missing.all():
            raise ValueError(f"{table.file}: column `{columns[each][0]}` must have at least one sample, but has none.")
        if missing.any():
            lines = [table.lines[k] for k in np.flatnonzero(missing.reshape(ts.size, -1).any(axis=1))]
            notes.append(f"{int(missing.sum())} samples of {each} are missing and masked (lines {_ranges(lines)}).")
    steps = np.diff(ts)
    if np.ptp(steps) > 1e-6 * np.max(steps):
        notes.append(f"Samples are not equally spaced: steps from {steps.min():.4g} to {steps.max():.4g}.")
    return _in_model_units(document, table, units, name, ts, values, columns, notes)


def _names(document: Document, table: Table, variable: str, data: dict[str, Any], nodes: int | None) -> tuple[str, ...]:
    """The columns of a variable: those that the file names, or r, or r1, r2, …"""
    count = 1 if nodes is None else nodes
    if variable not in data:
        names = (variable,) if nodes is None else tuple(f"{variable}{k}" for k in range(1, count + 1))
        return names if any(table.has(each) for each in names) else ()
    value, path = data[variable], ("data", variable)
    if value is False:
        return ()
    listed = [value] if isinstance(value, str) else value
    rule = "be false or a column's name" if nodes is None else f"be false or a list of {count} columns' names, one per node"
    good = isinstance(listed, list) and len(listed) == count and all(isinstance(each, str) and each for each in listed)
    document.require(path, rule, value, good)
    for each in listed:
        if not table.has(each):
            raise ValueError(
                f"{document.where(path)}: column `{each}` is not in {table.file}, which has {', '.join(table.names)}."
            )
    return tuple(listed)


def _ranges(lines: list[int]) -> str:
    """Line numbers in short: `5, 8–12, …`."""
    parts: list[list[int]] = []
    for line in lines:
        if parts and line == parts[-1][1] + 1:
            parts[-1][1] = line
        else:
            parts.append([line, line])
    shown = [f"{a}" if a == b else f"{a}–{b}" for a, b in parts[:6]]
    return ", ".join(shown) + (", …" if len(parts) > 6 else "")


def _in_model_units(
    document: Document, table: Table, units: dict[str, Any], name: str, ts: Any, values: Any, columns: Any, notes: list[str]
) -> Recording:
    model = document.text(("units", "model"), units["model"], SECONDS) if "model" in units else None
    guessed = table.units.get(name)
    time = units.get("t", guessed if guessed in SECONDS else None)
    if isinstance(time, str):
        document.text(("units", "t"), time, SECONDS)
        model = model or time
        scale = SECONDS[time] / SECONDS[model]
        notes.append(f"Times in {time}, τ and the stimulus in {model}.")
    elif time is None:
        if model is not None:
            raise ValueError(f"{document.where(('units', 'model'))}: key `units.t` must be given, since `units.model` is.")
        scale = 1.0
    else:
        scale = document.number(("units", "t"), time)
        document.require(("units", "t"), "be > 0", time, scale > 0)
        notes.append(f"Times multiplied by {scale:g}.")
    if "r" in values:
        guessed = table.units.get(columns["r"][0])
        rate = units.get("r", guessed if guessed in HERTZ else None)
        if isinstance(rate, str):
            document.text(("units", "r"), rate, HERTZ)
            if model is None:
                where = document.where(("units", "r"))
                raise ValueError(f"{where}: key `units.model` must be given with `units.t`, since rates are in {rate}.")
            factor = HERTZ[rate] * SECONDS[model]
            notes.append(f"Rates in {rate}, of the model in 1/{model}.")
        else:
            factor = 1.0 if rate is None else document.number(("units", "r"), rate)
            document.require(("units", "r"), "be > 0", rate, factor > 0)
        values["r"] = values["r"] * factor
    if "v" in values and "v" in units:
        path, given = ("units", "v"), units["v"]
        inner = document.table(path, given, ("scale", "zero")) if isinstance(given, dict) else {"scale": given}
        factor, zero = (
            document.number((*path, key), inner.get(key, other)) for key, other in (("scale", 1.0), ("zero", 0.0))
        )
        document.require(path, "have a scale other than 0", given, factor != 0)
        values["v"] = factor * (values["v"] - zero)
    return Recording(table.file, ts * scale, values, columns, model, tuple(notes))


def check_units(recording: Recording, shortest: float, longest: float) -> None:
    """Refuse, in one sentence, a recording that no model with τ from `shortest` to `longest` can match in its units."""
    values = recording.values
    column, mistake = unit_mistake(recording.ts, values.get("r"), values.get("v"), shortest, longest)
    if column:
        scale = "of the model's dimensionless voltage, such as [units] v = {scale = 0.1, zero = -60.0} for mV"
        hint = (
            f"give scale and zero {scale}" if column == "v" else "say in what units the columns are: [units] t, r, v, model"
        )
        raise ValueError(f"{recording.file}: {mistake}; {hint}.")
