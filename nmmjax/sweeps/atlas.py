"""The burst atlas: where over two parameters a population bursts, fires, rests, or can do both."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, refuse_unknown, require
from .._labelled import xarray
from .._nan import nan_is_absent
from .._parameter import as_number, as_plain_number, parameter_table
from .._types import Real, float_dtype
from ..bursting.frozen import hysteresis_starts, require_burster
from ..ensemble.burst_observable import BurstCount
from ..ensemble.plan import Build, sweepable
from ..ensemble.planning import labels
from ..equilibria.steady import find_equilibria
from ..mechanics.channels import Problem
from ..mechanics.spike import PROMINENCE
from ..models.base import takes_model
from ..models.mpr import MPR
from ..models.state import State
from ..models.stimulus import Constant
from .sweeping import sweep

PATTERNS = ("undecided", "rest", "tonic", "bursting", "rest_or_tonic", "rest_or_bursting")  # flag values −1, 0, 1, …
_TRANSIENT, _OBSERVED = 20.0, 40.0  # in units of the longest slow time constant
_TOLERANCE = {"float64": 1e-6, "float32": 1e-5}
_LANES = 64  # whose equilibria are looked for together
_DOUBLET = 1.5  # spikes per burst from which it is one
_RINGING_DOWN = 0.8  # rise of the last spike relative to the first, below which they die out


@nan_is_absent
@takes_model
def burst_atlas(
    model: MPR,
    over: Mapping[str, Any],
    *,
    I: Real = 0.0,
    t0: Real | None = None,
    t1: Real | None = None,
    prominence: float = PROMINENCE,
    rtol: Real | None = None,
    store: str | os.PathLike[str] | None = None,
    chunk: int | None = None,
    cluster: Any = None,
    progress: bool = True,
) -> Any:
    """Firing patterns of a population with slow variables over one or two parameters, as an `xarray.Dataset`.

    - `model`: an MPR population with slow terms
    - `over`: one or two parameter names with a 1-D array each, such as `{"eta": …, "adaptation.alpha": …}`
    - `I`: constant input, in units of η (`"stimulus.amplitude"` can be swept, too)
    - `t0`, `t1`: where counting begins and ends; by default 20 and 60 of the longest slow time constant
    - `prominence`: the least rise and fall Δln r of a spike, as in `find_spikes`
    - `rtol`: relative tolerance, by default 1e-6 (1e-5 in float32), on which the count of the smallest spikes depends
    - `store`, `chunk`, `cluster`, `progress`: as of `sweep`

    Variables on the grid:

    - `pattern`: rest, tonic, bursting, rest_or_tonic, rest_or_bursting (0 … 4; −1 if a run failed), as flags in the
      attributes: what a run from one of the two starts shows, and whether a stable equilibrium exists beside it
    - `spikes_per_burst`, `burst_period`: if it bursts, else NaN; means over the bursts seen, so that a fraction tells of
      bursts that differ
    - `stable_rests`: the number of stable equilibria, exact, by eigenvalues
    - `status`: how the runs ended, as of `sweep`; the worse of the two

    One sweep integrates every parameter set from both ends of the slow variable's hysteresis (`hysteresis_starts`), where
    a burst begins if there are any, and folds the counts while integrating (`BurstCount`): bursts are upward crossings of
    the cusp rate, which lies between the folds of the fast equations; with two spikes or more between crossings the
    population bursts, with one it fires tonically, as with spikes without crossings that don't die out. Transients are long
    at the borders: raise `t0` there. If the rate falls below the cusp rate between the spikes of a burst (strong
    coupling, small Δ), bursting is taken for tonic firing.

    Returns the dataset; draw it with `nmm.plot.atlas`. Raises `ValueError` for models without slow terms, for more than two
    parameters and for what `sweep` refuses.
    """
    xr = xarray()
    require_burster(model)
    require("over", over, "be a mapping from one or two parameter names to values", hasattr(over, "keys"))
    require("over", sorted(over), "name one or two parameters", 1 <= len(over) <= 2)
    current = as_number("I", I)
    base = Problem(model, model.state({"r": 1.0, "v": 0.0}), Constant(current))
    axes = _axes(base, over)
    slowest = _slowest(model, axes)
    begin = _TRANSIENT * slowest if t0 is None else as_plain_number("t0", t0, "[0, inf)")
    end = begin + _OBSERVED * slowest if t1 is None else as_plain_number("t1", t1, "(0, inf)")
    values = dict(zip(axes, (each.ravel() for each in np.meshgrid(*axes.values(), indexing="ij")), strict=True))
    starts, rests = _starts(base, values)
    lanes = {name: ("lane", np.repeat(each, 2)) for name, each in values.items()}
    lanes |= {name: ("lane", np.asarray(each).ravel()) for name, each in starts.variables.items()}
    data = sweep(
        model,
        over=lanes,
        y0=base.y0,
        t0=begin,
        t1=end,
        stimulus=base.stimulus,
        observe={"burst": BurstCount(prominence)},
        rtol=_TOLERANCE[str(np.dtype(float_dtype()))] if rtol is None else rtol,
        store=store,
        chunk=chunk,
        cluster=cluster,
        progress=progress,
    )
    shape = tuple(each.size for each in axes.values())
    columns = _columns({str(name): np.asarray(each).reshape(-1, 2) for name, each in data.data_vars.items()}, rests)
    attributes: dict[str, dict[str, Any]] = {
        "pattern": {
            "long_name": "firing pattern",
            "flag_values": list(range(-1, len(PATTERNS) - 1)),
            "flag_meanings": list(PATTERNS),
        },
        "spikes_per_burst": {"units": "1", "long_name": "spikes per burst"},
        "burst_period": {"units": "time (that of tau)", "long_name": "burst period"},
        "stable_rests": {"units": "1", "long_name": "number of stable equilibria"},
        "status": dict(data["status"].attrs),
    }
    return xr.Dataset(
        {name: (tuple(axes), each.reshape(shape), attributes[name]) for name, each in columns.items()},
        coords={name: ((name,), each, dict(data[name].attrs)) for name, each in axes.items()},
        attrs=dict(data.attrs) | {"t0": begin, "t1": end, "prominence": prominence},
    )


def _axes(base: Problem, over: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The swept values by name, checked; initial values aren't for the user to sweep here."""
    accepted = {name: each for name, each in sweepable(base).items() if name not in base.y0.names}
    refuse_unknown(over, accepted, "swept names")
    axes = {}
    for name, given in over.items():
        array = as_array(given)
        is_line = isinstance(array, jax.Array) and array.ndim == 1 and array.size > 0
        require(name, given, "be a 1-D array of numbers", is_line)
        axes[str(name)] = labels(given)
        require(name, axes[name], f"be {accepted[name].rule}", accepted[name].allows(np.asarray(array)))
    return axes


def _slowest(model: MPR, axes: Mapping[str, np.ndarray]) -> float:
    """The longest time constant of a slow variable, among the swept values if it is swept."""
    table = parameter_table(model)
    names = [name for name, (each, _) in table.items() if "." in name and each.unit == "time"]
    return max(float(np.max(axes.get(name, np.asarray(table[name][1])))) for name in names)


def _starts(base: Problem, values: dict[str, np.ndarray]) -> tuple[State, np.ndarray]:
    """Per parameter set, the two initial states and the number of stable equilibria."""
    build = Build(tuple(values))

    def one(values: Mapping[str, Any]) -> tuple[State, Any]:
        problem = build(base, values)
        model: Any = problem.model
        assert isinstance(problem.stimulus, Constant)  # as `atlas` makes it
        current = problem.stimulus.amplitude
        return hysteresis_starts(model, current), jnp.sum(find_equilibria(model, current).stable)

    numbers = {name: jnp.asarray(each, float_dtype()) for name, each in values.items()}
    starts, rests = jax.jit(lambda numbers: jax.lax.map(one, numbers, batch_size=_LANES))(numbers)
    return starts, np.asarray(rests)


def _columns(found: Mapping[str, np.ndarray], rests: np.ndarray) -> dict[str, np.ndarray]:
    """Variables of the atlas from results per parameter set and start, shape `(sets, 2)`."""
    onsets, spikes, each = found["burst_onsets"], found["burst_spikes"], found["burst_per_burst"]
    status = found["status"].max(axis=1)
    with np.errstate(invalid="ignore"):
        bursts = (onsets >= 2) & (each >= _DOUBLET)
        fires = ~bursts & ((onsets >= 2) | ((spikes >= 3) & (found["burst_growth"] > _RINGING_DOWN)))
    which = np.argmax(bursts, axis=1)[:, None]
    some, tonic = bursts.any(axis=1), fires.any(axis=1)

    def of_bursts(values: np.ndarray) -> np.ndarray:
        return np.where(some, np.take_along_axis(values, which, axis=1)[:, 0], np.nan)

    active = np.where(some, 2, np.where(tonic, 1, 0))
    pattern = np.where((active > 0) & (rests > 0), active + 2, active)
    return {
        "pattern": np.where(status == 0, pattern, -1).astype(np.int8),
        "spikes_per_burst": of_bursts(each),
        "burst_period": of_bursts(found["burst_period"]),
        "stable_rests": rests.astype(np.int8),
        "status": status,
    }
