"""What monitors and their statistics return: labelled arrays that know their units."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._labelled import software, xarray
from .._results import Shown
from .._types import Values, is_concrete
from ..recordings.recording import Recording, find_regions

_SHOWN = 4


class Monitored(eqx.Module, Shown):
    """What a monitor recorded, sampled every `period`.

    - `ts` (samples,): the times at which periods end, in the model's unit of time
    - `values` (samples, m): one series per node, or per sensor
    - `labels`: names of the series, m; `dim`: what they are, "node" or "sensor"
    - `units`, `long_name`: of the values; `period`: time between samples; `monitor`: the monitor in one line
    - `seconds`: the model's unit of time in seconds if the monitor knows it, as BOLD does, else None

    Print it for a summary, `to_xarray()` for labelled data, `to_recording()` for what reads recordings (`binarize`,
    `fit_ising`, landscapes), `nmm.functional_connectivity(monitored)` for correlations, `nmm.plot.regions(monitored)` for a
    picture.
    """

    ts: Any
    values: Values
    labels: tuple[str, ...] = eqx.field(static=True)
    period: float = eqx.field(static=True)
    dim: str = eqx.field(static=True, default="node")
    units: str = eqx.field(static=True, default="1")
    long_name: str = eqx.field(static=True, default="recorded signal")
    monitor: str = eqx.field(static=True, default="")
    seconds: float | None = eqx.field(static=True, default=None)

    def select(self, regions: Sequence[str | int]) -> "Monitored":
        """The samples of some `regions` (or sensors) only, by name or by number from 0, in that order."""
        at = find_regions(self.labels, regions)
        chosen = dataclasses.replace(self, labels=tuple(self.labels[k] for k in at))
        return eqx.tree_at(lambda each: each.values, chosen, self.values[..., np.asarray(at)])

    def to_recording(self) -> Recording:
        """The samples as a `Recording`: what `load_recording` returns for a recorded brain."""
        require("values", self.values, "be known, not traced", is_concrete(self.values))
        return Recording(np.asarray(self.values), self.labels, dt=self.period, source=self.monitor or self.long_name)

    def to_xarray(self) -> Any:
        """An `xarray.DataArray` (extra `data`) over time `t` and `node` or `sensor`, with units."""
        coords = {
            "t": ("t", np.asarray(self.ts), {"units": "time (that of tau)", "long_name": "time"}),
            self.dim: (self.dim, np.asarray(self.labels)),
        }
        about = {"units": self.units, "long_name": self.long_name, "monitor": self.monitor, "period": self.period}
        return xarray().DataArray(np.asarray(self.values), coords, ("t", self.dim), self.long_name, about | software())

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.values, dtype)

    def __str__(self) -> str:
        shape = f"{self.values.shape[0]} samples of {len(self.labels)} {self.dim}{'s' if len(self.labels) > 1 else ''}"
        head = f"Monitored: {self.long_name} ({_unit(self.units)}), {shape}, every {self.period:g}"
        if not is_concrete(self.values):
            return head
        rows = [head] + [f"  {line}" for line in ([self.monitor] if self.monitor else [])]
        if self.values.shape[0] == 0:
            return "\n".join([*rows, "  no period ended"])
        values = np.asarray(self.values)
        lost = int(np.count_nonzero(~np.isfinite(values).all(axis=1)))
        span = f"  t = {float(self.ts[0]):g} to {float(self.ts[-1]):g}"
        rows += [span + (f"; {lost} samples are not finite" if lost else "")]
        for k in range(min(len(self.labels), _SHOWN)):
            x = values[:, k]
            rows += [f"  {self.labels[k]}: mean {np.mean(x):.4g}, standard deviation {np.std(x):.3g}"]
        return "\n".join(rows + ["  …"] * (len(self.labels) > _SHOWN))

    def __repr__(self) -> str:
        return str(self)


class Measured(eqx.Module, Shown):
    """What a statistic made of what a monitor recorded: an array whose axes have names and labels.

    - `values`: the array; `dims`: names of its axes; `coords`: labels or numbers along them, by name of the axis
    - `kind`: "functional connectivity", "dynamic functional connectivity", "power spectrum" or "synchrony";
      `units`, `long_name`: of the values
    - `samples`: how many samples it was made of, 0 without a run; `monitor`: the monitor in one line; `seconds`: the model's
      unit of time in seconds if the monitor knows it, else None

    Print it for a summary, `to_xarray()` for labelled data, `np.asarray(measured)` for numbers;
    `nmm.plot.functional_connectivity` and `nmm.plot.dynamic_connectivity` draw the matrices.
    """

    values: Values
    dims: tuple[str, ...] = eqx.field(static=True)
    coords: dict[str, Any] = eqx.field(static=True, converter=lambda each: _Coords(each))
    kind: str = eqx.field(static=True)
    units: str = eqx.field(static=True, default="1")
    long_name: str = eqx.field(static=True, default="")
    samples: int = eqx.field(static=True, default=0)
    monitor: str = eqx.field(static=True, default="")
    seconds: float | None = eqx.field(static=True, default=None)

    @property
    def upper(self) -> Values:
        """Of a square matrix, the entries above the diagonal, row by row."""
        require("values", self.values, "be a square matrix", self._is_square)
        return self.values[np.triu_indices(self.values.shape[0], 1)]

    def correlation(self, other: Any) -> Values:
        """Correlation of the entries above the diagonal with those of an `other` matrix of the same shape: how alike two
        functional connectivities are."""
        matrix = jnp.asarray(getattr(other, "values", other), self.values.dtype)
        require("other", matrix, f"be a matrix of shape {self.values.shape}", matrix.shape == self.values.shape)
        x, y = self.upper, matrix[np.triu_indices(matrix.shape[0], 1)]
        x, y = x - jnp.mean(x), y - jnp.mean(y)
        return jnp.sum(x * y) / jnp.sqrt(jnp.sum(x**2) * jnp.sum(y**2))

    @property
    def _is_square(self) -> bool:
        return self.values.ndim == 2 and self.values.shape[0] == self.values.shape[1]

    def to_xarray(self) -> Any:
        """An `xarray.DataArray` (extra `data`) with the axes' labels and units."""
        about = {"units": self.units, "long_name": self.long_name, "monitor": self.monitor, "samples": self.samples}
        coords = {name: (name, np.asarray(self.coords[name])) for name in self.dims}
        return xarray().DataArray(np.asarray(self.values), coords, self.dims, self.kind, about | software())

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.values, dtype)

    def __str__(self) -> str:
        head = f"{self.long_name or self.kind} ({_unit(self.units)})"
        head = f"Measured: {head} over {' × '.join(self.dims) or 'nothing'}"
        head += f", {self.samples} samples" if self.samples else ", without a run"
        if not is_concrete(self.values):
            return head
        rows = [head] + [f"  {self.monitor}"] * bool(self.monitor)
        values = np.asarray(self.values)
        if values.ndim <= 1 and values.size <= _SHOWN:
            names = [f"{each}: " for each in self.coords[self.dims[0]]] if self.dims else [""]
            return "\n".join(rows + [f"  {name}{x:.4g}" for name, x in zip(names, values.ravel(), strict=True)])
        found = np.asarray(self.upper) if self._is_square else values
        if not np.any(np.isfinite(found)):
            return "\n".join([*rows, "  no finite value: constant series"])
        lost = int(np.count_nonzero(~np.isfinite(found)))
        where = " above the diagonal" if self._is_square else ""
        text = f"  mean {np.nanmean(found):.4g}, from {np.nanmin(found):.4g} to {np.nanmax(found):.4g}{where}"
        return "\n".join([*rows, text + (f"; {lost} are NaN: constant series" if lost else "")])

    def __repr__(self) -> str:
        return str(self)


class _Coords(dict[str, Any]):
    """Labels along axes: a dictionary of tuples that can be hashed, as static fields must."""

    def __init__(self, given: Any):
        super().__init__({name: tuple(np.asarray(each).tolist()) for name, each in dict(given).items()})

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return hash(tuple(self.items()))


def _unit(units: str) -> str:
    return "dimensionless" if units == "1" else units
