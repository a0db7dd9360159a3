"""The stable state, or oscillation, to which every initial state of a plane goes."""

from collections.abc import Mapping, Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, require
from .._labelled import about_variables, attributes_of, software, xarray
from .._nan import nan_is_absent
from .._results import Shown
from .._types import Real, Values
from ..models.base import AbstractModel, as_model, takes_model
from ..models.state import State
from ..numerics.compiling import jitted
from ..solvers.simulation import simulate
from .attractors import Attractors, find_attractors
from .outcomes import FAILED, UNDECIDED, Accuracy, settled
from .search import as_positive

_SAMPLES = 2048  # per window in which an oscillation's extremes are looked for
_SAME = 0.1  # how much the logarithms of those extremes may differ between windows, and between runs on the same cycle


class Basins(eqx.Module, Shown):
    """Ends of a grid of initial states.

    - `model`: what was run
    - `labels`: `(n0, n1)` integers, the number of the state in `attractors`; len(attractors) + j for the j-th of
      `cycles`; −1 undecided in the time allowed, −2 the solver failed
    - `axes`: names of the two varied variables; `coordinates`: their values; `y0`: the state that gives all others
    - `attractors`: the stable states, as Newton's method polished them, in the order given
    - `cycles`: per oscillation the lowest and highest firing rate of every node (value of the first variable of a model
      without rates)
    """

    labels: np.ndarray
    coordinates: tuple[Values, Values]
    y0: State
    attractors: tuple[State, ...]
    cycles: tuple[tuple[np.ndarray, np.ndarray], ...]
    model: AbstractModel
    axes: tuple[Any, Any] = eqx.field(static=True)

    @property
    def names(self) -> tuple[str, ...]:
        """Meanings of the labels 0, 1, …"""
        return tuple(f"state {k}" for k in range(len(self.attractors))) + tuple(
            f"cycle {k}" for k in range(len(self.cycles))
        )

    @property
    def fractions(self) -> dict[str, float]:
        """Share of the grid in every basin, and of undecided and failed runs."""
        numbers = {name: k for k, name in enumerate(self.names)} | {"undecided": UNDECIDED, "failed": FAILED}
        return {name: float(np.mean(self.labels == k)) for name, k in numbers.items()}

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` (extra `data`): `basin` over the two varied variables, the stable states over `attractor`."""
        names = [name if isinstance(name, str) else f"{name[0]}_{name[1]}" for name in self.axes]
        variables = [name if isinstance(name, str) else name[0] for name in self.axes]
        about = about_variables(self.model)
        coordinates = {
            name: (name, np.asarray(values), about[variable])
            for name, variable, values in zip(names, variables, self.coordinates, strict=True)
        }
        meanings = {f"label_{k}": name for k, name in enumerate(self.names)} | {
            "label_-1": "undecided",
            "label_-2": "failed",
        }
        data: dict[str, Any] = {"basin": (names, self.labels, {"units": "1", "long_name": "attractor", **meanings})}
        dims = ("attractor",) if self.model.size is None else ("attractor", "node")
        for name in self.y0.names if self.attractors else ():
            values = np.stack([np.asarray(getattr(state, name)) for state in self.attractors])
            attrs = about[name]
            data[f"{name}_attractor"] = (dims, values, attrs | {"long_name": f"{attrs['long_name']} at the attractor"})
        shares = {f"fraction_{name.replace(' ', '_')}": share for name, share in self.fractions.items()}
        return xarray().Dataset(
            data, coords=coordinates, attrs={**attributes_of(self.model, "model"), **shares, **software()}
        )

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} {100 * share:.3g} %" for name, share in self.fractions.items() if share)
        return f"Basins on {self.labels.shape[0]} × {self.labels.shape[1]} initial states: {shares}"


@nan_is_absent
@takes_model
def basin_map(
    model: AbstractModel,
    *,
    attractors: Sequence[Any],
    over: Mapping[Any, Any],
    y0: Any = None,
    rtol: Real = 1e-6,
    patience: Real | None = None,
) -> Basins:
    """The attractor to which every initial state of a plane goes, without stimulus; all runs in one batch.

    - `model`: any model or network
    - `attractors`: stable states, good to about 1 %; empty if the model only oscillates
    - `over`: two variables and their values, `{"r": rs, "v": vs}`; of a network's nodes `{("r", 0): …, ("r", 1): …}`
    - `y0`: the state that gives all other variables (default the first attractor)
    - `rtol`: tolerance of the solver; `patience`: longest time to come to rest (default 100 times the slowest
      relaxation)

    A run has ended at a state once it is in a neighbourhood that can't be left, however slow the model: proven for
    models that say their `degree` (2 or 3, as `MPR` does), assumed for others, whose runs decide. A run that has not
    ended after `patience` is an oscillation if its rates (or first variable) rise and fall between equal extremes in two
    more windows of that length, else undecided. Oscillations with different extremes are told apart.

    Returns `Basins`. Raises `ValueError` for states that aren't stable, unknown variables, rates ≤ 0, and without
    attractors or `y0` and `patience`. Use it for basins and their sizes; the separatrix is the line that `plot.basins`
    draws.
    """
    model = as_model(model)
    tolerance, time = as_positive("rtol", rtol), None if patience is None else as_positive("patience", patience)
    given = {f"attractors[{k}]": y for k, y in enumerate(attractors)}
    require("patience", patience, "be given if there are no attractors", given or time is not None)
    require("y0", y0, "be given if there are no attractors", given or y0 is not None)
    known = find_attractors(model, given) if given else None
    base = _base_state(model, y0, known)
    dtype = base.values[0].dtype
    horizon = jnp.asarray(time, dtype) if time is not None or known is None else known.horizon
    accuracy = Accuracy(*(jnp.asarray(each, dtype) for each in (tolerance, tolerance / 100, horizon)))
    (first, second), values = _plane(model, base, over)
    grid = _grid(model, base, (first, second), values)
    labels, ends = _labels(model, grid, known, accuracy)
    labels = np.array(labels)
    count = 0 if known is None else len(given)
    cycles = _find_cycles(model, ends, labels, count, horizon)
    return Basins(
        labels=labels.reshape(values[0].size, values[1].size),
        coordinates=values,
        y0=base,
        attractors=tuple(known.state(k) for k in range(count)) if known is not None else (),
        cycles=cycles,
        model=model,
        axes=(first, second),
    )


def _base_state(model: AbstractModel, y0: object, known: Attractors | None) -> State:
    base = model.state(y0) if y0 is not None or known is None else known.state(0)
    dtype = jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(model) if eqx.is_inexact_array(leaf)))
    return jax.tree.map(lambda leaf: leaf.astype(dtype), base)


def _plane(model: Any, base: State, over: Any) -> tuple[tuple[Any, Any], tuple[Values, Values]]:
    """The two varied variables and their values, checked."""
    require("over", over, "be a mapping of two variables to their values", hasattr(over, "keys") and len(over) == 2)
    names, values = tuple(over), []
    for name in names:
        variable, node = name if isinstance(name, tuple) and len(name) == 2 else (name, None)
        size = model.size
        rule = f"name variables {base.names}" + (
            "" if size is None else f" of a node, such as ('{base.names[0]}', {size - 1})"
        )
        require("over", name, rule, variable in base.names and (node is None) == (size is None))
        if node is not None:
            model.index(node, f"over[{name!r}]")
        each = as_array(over[name])
        require(f"over[{name!r}]", over[name], "be an array of numbers with 1 axis", getattr(each, "ndim", None) == 1)
        positive = variable in model.positive
        fine = bool(np.all(np.isfinite(each))) and (not positive or bool(np.all(np.asarray(each) > 0)))
        require(f"over[{name!r}]", each, "be finite" + (" and > 0" if positive else ""), fine and each.size > 0)
        values.append(each.astype(base.values[0].dtype))
    return (names[0], names[1]), (values[0], values[1])


def _grid(model: Any, base: State, axes: tuple[Any, Any], values: tuple[Values, Values]) -> State:
    """All initial states, with the axis of the lanes in front."""
    lanes = values[0].size * values[1].size
    grid = jax.tree.map(lambda each: jnp.broadcast_to(each, (lanes, *each.shape)), base)
    for name, column in zip(axes, jnp.meshgrid(*values, indexing="ij"), strict=True):
        variable, node = name if isinstance(name, tuple) else (name, None)
        node = None if node is None else model.index(node)
        old, flat = getattr(grid, variable), column.reshape(-1)
        new = flat if node is None else old.at[:, node].set(flat)
        grid = eqx.tree_at(lambda each, variable=variable: getattr(each, variable), grid, new)
    return grid


@jitted
def _labels(model: AbstractModel, grid: State, known: Attractors | None, accuracy: Accuracy) -> Any:
    """Label and last state of every lane."""
    return jax.vmap(lambda y: settled(model, y, known, accuracy))(grid)


def _find_cycles(model: AbstractModel, ends: State, labels: np.ndarray, count: int, window: Any) -> Any:
    """Label, in place, the undecided lanes that oscillate; the extremes of every oscillation found."""
    open_lanes, cycles = np.flatnonzero(labels == UNDECIDED), []
    if open_lanes.size == 0:
        return ()
    name = next(iter(model.variables))
    extremes = np.asarray(_extremes(model, jax.tree.map(lambda each: each[open_lanes], ends), window, name))
    extremes = extremes.reshape(open_lanes.size, 2, 2, -1)  # lane, window, (min, max), node
    # Rates are compared by their logarithms, other variables in units of the largest swing.
    swing = np.max(extremes[:, 1, 1] - extremes[:, 1, 0])
    scaled = np.log(extremes) if name in model.positive else extremes / (swing or 1.0)
    steady = np.all(np.abs(scaled[:, 1] - scaled[:, 0]) < _SAME, axis=(1, 2))
    moving = np.any(scaled[:, 1, 1] - scaled[:, 1, 0] > _SAME / 10, axis=1)
    for lane in np.flatnonzero(steady & moving):
        same = [j for j, other in enumerate(cycles) if np.all(np.abs(scaled[other, 1] - scaled[lane, 1]) < _SAME)]
        if not same:
            cycles.append(lane)
        labels[open_lanes[lane]] = count + (same[0] if same else len(cycles) - 1)
    return tuple((extremes[lane, 1, 0], extremes[lane, 1, 1]) for lane in cycles)


@jitted
def _extremes(model: AbstractModel, ends: State, window: Any, name: str) -> Values:
    """Lowest and highest values of a variable in two windows after the given states, shape (lanes, 2, 2, …)."""

    def lane(y: State) -> Values:
        ts = jnp.linspace(0, 2 * window, 2 * _SAMPLES, dtype=window.dtype)
        run = simulate(model, y, ts, rtol=1e-6, atol=1e-8, adjoint=diffrax.ForwardMode())
        x = getattr(run.ys, name).reshape(2, _SAMPLES, -1)
        return jnp.stack([jnp.min(x, axis=1), jnp.max(x, axis=1)], axis=1)

    return jax.vmap(lane)(ends)
