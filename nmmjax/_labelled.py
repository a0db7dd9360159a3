"""Results as labelled data (extra `data`): xarray datasets with units, parameters and versions."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ._checks import require
from ._optional import optional, versions
from ._parameter import describe, parameter_table
from ._results import RESULTS
from .bursting.detection import Bursts
from .mechanics.energy import hamiltonian, kinetic_energy, potential_energy
from .models.base import AbstractModel, State
from .models.mpr import MPR
from .models.network import Network
from .solvers.trajectory import Trajectory
from .transitions.basins import Basins


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
        elif field.metadata.get("static", False) and value != ():
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def _attributes(run: Trajectory) -> dict[str, Any]:
    """Model, stimulus, solver, outcome and versions of a run as flat attributes."""
    return {
        **attributes_of(run.model, "model"),
        "stimulus": "none" if run.stimulus is None else describe(run.stimulus),
        **({} if run.stimulus is None else attributes_of(run.stimulus, "kind", "stimulus.")),
        "noise": "none" if run.noise is None else repr(run.noise),
        "solver": run.method,
        "dtype": str(run.elapsed.dtype),
        "result": RESULTS[run.result] or "successful",
        **{name: int(value) for name, value in run.stats.items() if np.ndim(value) == 0 and name.startswith("num_")},
        **{f"version_{name}": version for name, version in versions().items()},
        "device": next(iter(run.elapsed.devices())).device_kind if isinstance(run.elapsed, jax.Array) else "",
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
    nodes = {} if run.model.labels is None else {"node": ("node", run.model.labels)}
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


def branch_to_xarray(branch: Any) -> Any:
    """Branches of fixed points as an `xarray.Dataset` over `point`, one branch after another; see `Branch`."""
    _require_single(branch, branch.parameter, 2)
    exists = np.asarray(branch.unstable) >= 0
    number = np.broadcast_to(np.arange(exists.shape[0])[:, None], exists.shape)[exists]
    values = np.asarray(branch.eigenvalues)[exists]
    about = {"units": "1/time", "long_name": "real part of eigenvalues"}
    data = _state_columns(branch.state, exists, "point") | {
        "growth": (("point", "mode"), np.real(values), about),
        "frequency": (("point", "mode"), np.imag(values), about | {"long_name": "their imaginary part"}),
        "unstable": ("point", np.asarray(branch.unstable)[exists], {"long_name": "number of unstable eigenvalues"}),
        "branch": ("point", number, {"long_name": "number of the branch"}),
    }
    ends = {
        f"result_{b}_{side}": RESULTS[jax.tree.map(lambda code, b=b, k=k: code[b, k], branch.ends)]
        for b in sorted(set(number.tolist()))
        for k, side in enumerate(("first", "last"))
    }
    return _special_dataset(branch, data, [np.asarray(branch.parameter)[exists]], ends)


def curve_to_xarray(curve: Any) -> Any:
    """A curve of folds or Hopf points as an `xarray.Dataset` over `point`; see `BifurcationCurve`."""
    _require_single(curve, curve.parameters, 2)
    exists = np.arange(curve.parameters.shape[0]) < int(curve.count)
    data = _state_columns(curve.state, exists, "point")
    data["omega"] = ("point", np.asarray(curve.omega)[exists], {"units": "1/time", "long_name": "angular frequency"})
    about = {"long_name": "first Lyapunov coefficient; negative: supercritical"}
    data["lyapunov"] = ("point", np.asarray(curve.lyapunov)[exists], about)
    ends = {f"result_{side}": RESULTS[jax.tree.map(lambda code, k=k: code[k], curve.ends)] for k, side in _SIDES}
    return _special_dataset(curve, data, list(np.asarray(curve.parameters)[exists].T), ends | {"kind": curve.kind})


def cycles_to_xarray(cycles: Any) -> Any:
    """A branch of limit cycles as an `xarray.Dataset` over `point`, `phase_index` and `mode`; see `CycleBranch`."""
    _require_single(cycles, cycles.parameter, 1)
    exists = np.arange(cycles.parameter.size) < int(cycles.count)
    data = _state_columns(cycles.state, exists, "point", "phase_index")
    for name in ("maximum", "minimum"):
        columns = _state_columns(getattr(cycles, name), exists, "point")
        data |= {f"{each}_{name}": column for each, column in columns.items()}
    values = np.asarray(cycles.multipliers)[exists]
    data |= {
        "phase": (("point", "phase_index"), np.asarray(cycles.phase)[exists], {"long_name": "time in periods"}),
        "period": ("point", np.asarray(cycles.period)[exists], {"units": "time", "long_name": "period"}),
        "multiplier_real": (("point", "mode"), np.real(values), {"long_name": "real part of Floquet multipliers"}),
        "multiplier_imag": (("point", "mode"), np.imag(values), {"long_name": "their imaginary part"}),
        "unstable": ("point", np.asarray(cycles.unstable)[exists], {"long_name": "number of unstable multipliers"}),
    }
    return _special_dataset(cycles, data, [np.asarray(cycles.parameter)[exists]], {"result": RESULTS[cycles.end]})


_SIDES = ((0, "first"), (1, "last"))


def _require_single(found: Any, array: Any, ndim: int) -> None:
    require("branch", f"a batch of shape {array.shape[:-ndim]}", "be a single one to become a dataset", array.ndim == ndim)


def _state_columns(state: Any, exists: np.ndarray, *dims: str) -> dict[str, Any]:
    """The variables of states that exist as columns of a dataset."""
    if isinstance(state, State):
        about = {name: {"units": state.units[name], "long_name": state.meanings[name]} for name in state.names}
        arrays = state.variables
    else:
        arrays = {"y": state} if isinstance(state, (jax.Array, np.ndarray)) else dict(enumerate(jax.tree.leaves(state)))
        arrays = {name if isinstance(name, str) else f"y{name}": each for name, each in arrays.items()}
        about = {name: {"long_name": "state"} for name in arrays}
    axes = ("node",) if isinstance(state, State) else ("component", "second_component")
    columns = {name: np.asarray(each)[exists] for name, each in arrays.items()}
    return {name: ((*dims, *axes[: each.ndim - len(dims)]), each, about[name]) for name, each in columns.items()}


def _special_dataset(found: Any, data: dict[str, Any], parameters: list[np.ndarray], notes: dict[str, Any]) -> Any:
    """The columns over `point` with the parameters as coordinates, and the special points' over `special`."""
    system, special = found.system, found.special
    exists = np.asarray(special.kind) > 0
    columns = _state_columns(special.state, exists, "special") | {
        "omega": ("special", np.asarray(special.omega)[exists], {"units": "1/time", "long_name": "angular frequency"}),
        "lyapunov": ("special", np.asarray(special.lyapunov)[exists], {"long_name": "first Lyapunov coefficient"}),
        "branch": ("special", np.asarray(special.branch)[exists], {"long_name": "number of the branch"}),
    }
    coords: dict[str, Any] = {"label": ("special", np.array(special.labels, dtype="<U3"), {"long_name": "kind"})}
    for k, name in enumerate(system.names):
        columns[name] = ("special", np.asarray(special.parameters)[exists, k], {"long_name": f"{name} there"})
        coords[name] = ("point", parameters[k], _about(system.model, name))
    data |= {f"special_{name}": column for name, column in columns.items()}
    kept = getattr(system.model, "parameters", None)
    model = {f"model.{name}": float(value) for name, value in kept.items()} if isinstance(kept, dict) else {}
    model = model or attributes_of(system.model, "model")
    notes = {**model, **notes, **{f"version_{name}": version for name, version in versions().items()}}
    return optional("xarray", "data").Dataset(data, coords=coords, attrs={"parameter": ", ".join(system.names), **notes})


def _about(model: Any, name: str) -> dict[str, str]:
    """Symbol, unit and meaning of a parameter, where it is declared."""
    declaration = parameter_table(model).get(name, (None, None))[0] if isinstance(model, AbstractModel) else None
    return {"units": declaration.unit, "long_name": declaration.doc, "symbol": declaration.symbol} if declaration else {}


def basins_to_xarray(found: Basins) -> Any:
    """Basins as an `xarray.Dataset`: `basin` over the two varied variables, and the stable states over `attractor`."""
    xr = optional("xarray", "data")
    names = [name if isinstance(name, str) else f"{name[0]}_{name[1]}" for name in found.axes]
    variables = [name if isinstance(name, str) else name[0] for name in found.axes]
    about = {"units": found.at.units, "long_name": found.at.meanings}
    coordinates = {
        name: (name, np.asarray(values), {key: each[variable] for key, each in about.items()})
        for name, variable, values in zip(names, variables, found.coordinates, strict=True)
    }
    meanings = {f"label_{k}": name for k, name in enumerate(found.names)} | {"label_-1": "undecided", "label_-2": "failed"}
    data: dict[str, Any] = {"basin": (names, found.labels, {"units": "1", "long_name": "attractor", **meanings})}
    dims = ("attractor",) if found.at.r.ndim == 0 else ("attractor", "node")
    for name in found.at.names if found.attractors else ():
        values = np.stack([np.asarray(getattr(state, name)) for state in found.attractors])
        attrs = {key: each[name] for key, each in about.items()}
        data[f"{name}_attractor"] = (dims, values, attrs | {"long_name": f"{attrs['long_name']} at the attractor"})
    shares = {f"fraction_{name.replace(' ', '_')}": share for name, share in found.fractions.items()}
    software = {f"version_{name}": version for name, version in versions().items()}
    return xr.Dataset(data, coords=coordinates, attrs={**attributes_of(found.model, "model"), **shares, **software})


def fit_to_xarray(fitted: Any) -> Any:
    """A fit as an `xarray.Dataset` over `start`: parameters found, with errors, and where they began, loss, status, history.

    A free parameter with axes has a variable per entry, `eta[0]`. The best model's parameters are the attributes.
    """
    xr = optional("xarray", "data")
    model, best = fitted.best, fitted.best_index
    data: dict[str, Any] = {}
    deviations = np.sqrt(np.diagonal(fitted.covariance, axis1=1, axis2=2))
    for k, label in enumerate(fitted.labels):
        about = _about(model, label.split("[")[0])
        name = about.get("long_name", label)
        data[label] = ("start", fitted.values[:, k], about)
        data[f"{label}_error"] = ("start", deviations[:, k], about | {"long_name": f"standard error of the {name}"})
        data[f"{label}_initial"] = ("start", fitted.initial[:, k], about | {"long_name": f"{name}, where the start began"})
    meanings = {f"status_{code}": meaning for code, meaning in fitted.meanings.items()}
    data |= {
        "loss": ("start", fitted.loss, {"units": "1", "long_name": "loss"}),
        "status": ("start", fitted.status, {"units": "1", "long_name": "how the start ended", **meanings}),
        "found_best": (
            "start",
            fitted.found_best.astype(np.int8),
            {"units": "1", "long_name": "whether it found the best fit"},
        ),
        "covariance": (
            ("start", "parameter", "parameter_"),
            fitted.covariance,
            {"long_name": "covariance of the parameters"},
        ),
        "history": (("start", "iteration"), fitted.history, {"units": "1", "long_name": "loss on the way"}),
        "stage": ("iteration", fitted.stage, {"units": "1", "long_name": "stage of the fit"}),
    }
    names = fitted.target.unknown_names(fitted.model)
    if names and fitted.unknowns.shape[1] == len(names):
        about = {"long_name": "what else was fitted, such as the state at the beginning"}
        data["unknown"] = (("start", "unknown_name"), fitted.unknowns, about)
    coordinates: dict[str, Any] = {"start": np.arange(fitted.loss.size), "parameter": list(fitted.labels)}
    coordinates |= {"parameter_": list(fitted.labels)} | ({"unknown_name": list(names)} if "unknown" in data else {})
    notes = {
        "free": ", ".join(fitted.parameters.names),
        "best_start": best,
        "best_loss": float(fitted.loss[best]),
        "target": type(fitted.target).__name__,
        "residuals": fitted.residual_count,
        "refine": fitted.refine,
        "seconds": float(fitted.seconds),
        "interrupted": int(fitted.interrupted),
    }
    software = {f"version_{name}": version for name, version in versions().items()}
    return xr.Dataset(data, coords=coordinates, attrs={**attributes_of(model, "model"), **notes, **software})
