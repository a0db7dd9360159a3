"""Layer 6: results as labelled data (extra `data`): xarray datasets with units, parameters and versions."""

import dataclasses
import importlib
import importlib.metadata
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ._parameter import describe
from ._results import RESULTS
from .bursting.detection import Bursts
from .mechanics.energy import hamiltonian, kinetic_energy, potential_energy
from .models.mpr import MPR
from .models.network import Network
from .solvers.trajectory import Trajectory


def optional(module: str, extra: str) -> Any:
    """Import an optional package, or say in one line how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name.split(".")[0]):
            raise
        hint = f"`{module}` is not installed; it comes with `pip install nmmjax[{extra}]`."
        raise ModuleNotFoundError(hint, name=error.name) from None


def versions() -> dict[str, str]:
    """Versions of nmmjax and of the packages that determine its numbers."""
    from . import __version__

    return {"nmmjax": __version__} | {
        name: importlib.metadata.version(name) for name in ("jax", "diffrax", "equinox", "numpy")
    }


def attributes_of(module: Any, kind: str, prefix: str = "") -> dict[str, Any]:
    """A model's or stimulus's class and parameter values as flat attributes, in full precision."""
    if hasattr(module, "parts"):
        parts = [attributes_of(part, kind, f"{prefix}{k}.") for k, part in enumerate(module.parts)]
        return {name: value for part in parts for name, value in part.items()}
    found: dict[str, Any] = {f"{prefix}{kind}".removesuffix("."): type(module).__name__}
    for field in dataclasses.fields(module):
        value, name = getattr(module, field.name), f"{prefix}{field.name}"
        if isinstance(value, eqx.Module):
            found |= attributes_of(value, "", f"{name}.")
        elif "parameter" in field.metadata:
            found[name] = np.asarray(value).tolist()
        elif field.name == "weights":
            dense = value.todense() if hasattr(value, "todense") else value
            found[name] = np.asarray(dense).ravel().tolist()  # attributes of files have one axis
        elif field.metadata.get("static", False):
            found[name] = value
    return found


def _attributes(run: Trajectory) -> dict[str, Any]:
    """Model, stimulus, solver, outcome and versions of a run as flat attributes."""
    return {
        **attributes_of(run.model, "model"),
        "stimulus": "none" if run.stimulus is None else describe(run.stimulus),
        **({} if run.stimulus is None else attributes_of(run.stimulus, "kind", "stimulus.")),
        "solver": run.method,
        "dtype": str(run.ts.dtype),
        "result": RESULTS[run.result] or "successful",
        **{name: int(value) for name, value in run.stats.items() if np.ndim(value) == 0 and name.startswith("num_")},
        **{f"version_{name}": version for name, version in versions().items()},
        "device": next(iter(run.ts.devices())).device_kind if isinstance(run.ts, jax.Array) else "",
    }


def to_xarray(run: Trajectory) -> Any:
    """One run as an `xarray.Dataset`: state, input and energies over `t`, with units, parameters and versions.

    A network's run has the dimension `node` besides. Values not reached are NaN, and the attribute `result` says why.
    Raises `ValueError` for a batch of runs.
    """
    xr = optional("xarray", "data")
    run.require_single("become a dataset")
    columns = {
        name: (np.asarray(getattr(run.ys, name)), {"units": unit, "long_name": run.ys.meanings[name]})
        for name, unit in run.ys.units.items()
    }
    current = run.input
    columns["I"] = (np.asarray(current), {"units": "1", "long_name": "input current"})
    if isinstance(run.model, (MPR, Network)):
        kinetic, potential = kinetic_energy(run.model, run.ys), potential_energy(run.model, run.ys, current)
        energies = {"kinetic": kinetic, "potential": potential, "total": kinetic + potential}
        for name, value in energies.items():
            columns[f"{name}_energy"] = (np.asarray(value), {"units": "1", "long_name": f"{name} energy"})
        H = hamiltonian(run.model, run.ys, current)
        if run.model.slow_terms or isinstance(run.model, Network):
            fast = run.model.frozen(run.ys)
            for name, value in (("eta", fast.eta), ("J", fast.J)):
                about = {"units": "1", "long_name": f"{name} that the fast equations see"}
                columns[f"{name}_eff"] = (np.broadcast_to(np.asarray(value), np.shape(run.ys.r)), about)
        columns["hamiltonian"] = (np.asarray(H), {"units": "1", "long_name": "Hamiltonian of the homogeneous limit"})
    attributes = _attributes(run)
    data = {name: (("t", "node")[: values.ndim], values, attrs) for name, (values, attrs) in columns.items() if name != "t"}
    time = ("t", np.asarray(run.ts), {"units": "time (that of tau)", "long_name": "time"})
    if "t" in columns:  # a run on a rescaled clock carries the physical time as a state
        data = {name: (("s",), values, attrs) for name, (_, values, attrs) in data.items()}
        data["t"] = (("s",), *columns["t"])
        return xr.Dataset(
            data,
            coords={"s": ("s", np.asarray(run.ts), {"units": "1/time", "long_name": "rescaled time"})},
            attrs=attributes,
        )
    nodes = {"node": ("node", np.arange(run.model.size))} if isinstance(run.model, Network) else {}
    return xr.Dataset(data, coords={"t": time, **nodes}, attrs=attributes)


def bursts_to_xarray(run: Trajectory, bursts: Bursts) -> Any:
    """Bursts of a run as an `xarray.Dataset` over `burst` and `spike`, with units, the run's attributes and the pattern."""
    xr = optional("xarray", "data")
    dims = ("burst", "spike")
    data = {
        name: (dims[: values.ndim], values, {"units": unit, "long_name": meaning})
        for name, (values, unit, meaning) in bursts.columns.items()
    }
    shape = bursts.columns["spike_time"][0].shape
    coordinates = {
        name: (name, np.arange(1, size + 1), {"units": "1", "long_name": f"{name}, counted from 1"})
        for name, size in zip(dims, shape, strict=True)
    }
    found = {name: getattr(bursts, name) for name in ("pattern", "gap", "prominence", "cusp_rate")}
    return xr.Dataset(data, coords=coordinates, attrs={**_attributes(run), **found})


def prediction_to_xarray(bursts: Any, columns: dict[str, Any], cycle: Any, attributes: dict[str, Any]) -> Any:
    """Predicted spike peaks beside found ones over `burst` and `spike`, with relative errors; see `predict_burst`."""
    xr = optional("xarray", "data")
    dims, about = ("burst", "spike"), {"units": "1/time"}
    names = {
        "peak_from_trough": "peak from energy and slow variables at the trough before (first spike: at the onset)",
        "peak_from_first": "peak from the burst's first peak",
        "peak_from_cycle": "peak from the parameters alone",
        "peak_undamped": "peak of the undamped level set",
    }
    found = np.asarray(bursts["peak"].values)
    size = found.shape[1]
    alone = np.full(size, np.nan)
    spikes = np.asarray(cycle.spikes.peak)[: int(cycle.n_spikes)][:size]
    alone[: spikes.size] = spikes
    values = {name: np.asarray(each) for name, each in columns.items()}
    values |= {name: np.full(found.shape, np.nan) for name in names if name not in values}
    values["peak_from_cycle"] = np.where(np.isnan(found), np.nan, np.broadcast_to(alone, found.shape))
    data: dict[str, Any] = {"peak": (dims, found, bursts["peak"].attrs)}
    for name, meaning in names.items():
        data[name] = (dims, values[name], about | {"long_name": meaning})
        error = {"units": "1", "long_name": f"relative error of the {meaning}"}
        data[name.replace("peak_", "error_")] = (dims, values[name] / found - 1, error)
    for name, unit, meaning in (
        ("time_from_first", "time (that of tau)", "predicted time since the first peak"),
        ("loss_fraction", "1", "energy dissipated since the last peak over its energy above the well"),
        ("error_estimate", "1", "estimated relative error of the peak from the first one"),
    ):
        each = values.get(name, np.full(found.shape, np.nan))
        data[name] = (dims, each, {"units": unit, "long_name": meaning})
    for name in ("spike_time", "complete"):
        data[name] = bursts[name]
    for name in ("period", "duration", "n_spikes"):
        data[name] = bursts[name]
        one = np.asarray(getattr(cycle, name))
        data[f"{name}_from_cycle"] = ((), one, bursts[name].attrs | {"long_name": f"{name}, from the parameters alone"})
    notes = {"slowness": float(cycle.slowness), "result": RESULTS[cycle.result] or "successful"}
    return xr.Dataset(data, coords=bursts.coords, attrs={**attributes, **notes})
