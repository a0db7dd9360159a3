"""All resting states of a network over one parameter, with barriers, and where each appears and vanishes; no simulation."""

import copy
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._blas import with_one_thread
from .._checks import as_array, as_count, require, require_each
from .._labelled import about_parameter, attributes_of, software, xarray
from .._nan import nan_is_absent
from .._parameter import describe
from .._results import Shown
from .._types import Mask, Real, Values
from ..landscape.certificates import margin
from ..landscape.descent import descend, heights, in_pieces, polish
from ..landscape.network import described_points, scalings
from ..landscape.potential import force, hessian, require_landscape, symmetry, with_input
from ..landscape.saddles import find_saddles
from ..landscape.search import Catalogue, explore
from ..landscape.tree import disconnectivity
from ..models.base import AbstractModel, require_network, takes_model
from ..models.network import Network
from ..numerics.arclength import root
from ..numerics.compiling import jitted
from .system import check_name, with_value

_NEAR = 0.35  # largest change of ln R from one value to the next that is one state's
_TRIALS, _CLOSE = 80, 1e-7  # of following a state to where it ends, and how close
_SHOWN = 8  # folds in the print-out


class RestingStates(eqx.Module, Shown):
    """Resting states over one parameter: b branches of minima of Ψ over k values of it; NaN where a branch has no state.

    - `network`, `parameter`, `I`: the model, the parameter's name, and the constant input, in units of η
    - `values` (k,): of the parameter
    - `r` (b, k, n): rates of every state, per unit of time; `energy` (b, k): Ψ there
    - `barrier` (b, k): height of the lowest pass out of it, inf if none was found
    - `growth` (b, k): largest real part of its eigenvalues, or characteristic roots, of networks with synapses or delays,
      per unit of time, where they were affordable; NaN for other networks, in which every minimum is stable
    - `passes` (k, s, n): rates of the index-1 saddles found; NaN beyond
    - `ends` (e,): values of the parameter at which a state appears or vanishes; `end_branch` (e,): which; `appears` (e,):
      whether it is there above that value, or below; `end_r` (e, n): its rates there; `folds` (e,): whether it is a fold, a
      zero of the equations of one to rounding; else the value is bracketed to 1e-7 of the spacing
    - `single` (k,): whether it is proved that there is one resting state only; `complete` (k,): whether the search ran out
      of places to try before its budget

    Print it for a summary, `to_xarray()` for labelled data, `nmm.plot.resting_states(result)` for a picture.
    """

    network: Network
    parameter: str = eqx.field(static=True)
    I: Values
    values: np.ndarray
    r: np.ndarray
    energy: np.ndarray
    barrier: np.ndarray
    growth: np.ndarray
    passes: np.ndarray
    ends: np.ndarray
    end_branch: np.ndarray
    appears: np.ndarray
    end_r: np.ndarray
    folds: np.ndarray
    single: np.ndarray
    complete: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Rate averaged over the nodes, (b, k)."""
        return self.r.mean(axis=2)

    @property
    def exists(self) -> np.ndarray:
        """Which branches have a state, (b, k)."""
        return np.isfinite(self.energy)

    @property
    def count(self) -> np.ndarray:
        """Number of minima at each value, (k,)."""
        return self.exists.sum(axis=0)

    @property
    def lowest(self) -> np.ndarray:
        """The branch of lowest Ψ at each value, (k,)."""
        return np.argmin(np.where(self.exists, self.energy, np.inf), axis=0)

    @property
    def stable(self) -> np.ndarray:
        """Which states are known to be stable, (b, k): minima, but for synapses and delays those that do not grow."""
        slow = bool(self.network.slow_names) or self.network.coupling.delayed
        return self.exists & ((self.growth < 0) if slow else True)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over branches, values of the parameter and nodes (extra `data`)."""
        name, rate = self.parameter, {"units": "1/time (that of tau)"}
        over = ("branch", name)
        data: dict[str, Any] = {
            "r": ((*over, "node"), self.r, rate | {"long_name": "firing rate"}),
            "energy": (over, self.energy, {"units": "1", "long_name": "energy Ψ"}),
            "barrier": (over, self.barrier, {"units": "1", "long_name": "barrier of Ψ"}),
            "growth": (over, self.growth, rate | {"long_name": "largest growth rate"}),
            "passes": ((name, "pass", "node"), self.passes, rate | {"long_name": "firing rate at passes"}),
            "end": ("end", self.ends, {"long_name": f"{name} at which a state appears or vanishes"}),
            "end_branch": ("end", self.end_branch),
            "appears": ("end", self.appears.astype(int)),
            "fold": ("end", self.folds.astype(int)),
            "single": (name, self.single.astype(int)),
            "complete": (name, self.complete.astype(int)),
        }
        coords = {name: (name, self.values, about_parameter(self.network, name)), "node": ("node", self.network.labels)}
        return xarray().Dataset(data, coords=coords, attrs={**attributes_of(self.network, "model"), **software()})

    @nan_is_absent
    def __str__(self) -> str:
        count, (b, k) = self.count, self.energy.shape
        rows = [f"Resting states of {describe(self.network)}"]
        rows.append(f"  {self.parameter} from {self.values[0]:g} to {self.values[-1]:g}, {k} values")
        proved = f", proved the only one at {self.single.sum()}" if self.single.any() else ""
        found = "all that a search could find" if self.complete.all() else "searched, more may be there"
        rows.append(f"  {b} branches, from {count.min()} to {count.max()} minima at one value ({found}){proved}")
        deep = np.isin(self.end_branch, self.lowest)  # ends of states that are somewhere the lowest come first
        for e in np.lexsort([self.ends, ~deep])[:_SHOWN]:
            what = "appears" if self.appears[e] else "vanishes"
            how = "fold" if self.folds[e] else "no fold found"
            mean = self.end_r[e].mean()
            where = f"{self.parameter} = {self.ends[e]:.8g}"
            rows.append(f"  {where}: branch {self.end_branch[e]} {what} ({how}), mean r = {mean:.4g}")
        if self.ends.size > _SHOWN:
            rows.append(f"  … and {self.ends.size - _SHOWN} more")
        unstable = self.exists & (self.growth > 0)
        if unstable.any():
            rows.append(f"  {unstable.sum()} minima oscillate: synapses or delays make them unstable")
        return "\n".join(rows)

    def __repr__(self) -> str:
        return str(self)


@nan_is_absent
@with_one_thread
@takes_model
def resting_states(
    network: Any,
    over: Mapping[str, Any],
    *,
    I: Real = 0.0,
    starts: int = 64,
    saddles: int = 32,
) -> RestingStates:
    """Resting states of a network over one parameter, such as the global gain, their barriers, and where they appear.

        minima of Ψ at every value; branch ends where f = 0 and ∂f/∂R φ = 0 (folds)

    What a sweep of the gain shows of states at rest, without a run: which states there are, how many, how high the passes
    between them, at which value each begins and ends. At every value the landscape is searched as by `energy_landscape`,
    states are followed from value to value both ways, so that what a search misses at one value it has from the next, and
    ends are bracketed and then solved for. Rhythms are not seen (`continue_branch`, `find_hopf`).

    - `network`: a network of MPR populations whose weights are symmetric up to a positive scaling of rows, such as most
      connectomes; without slow terms other than synapses, also with delays
    - `over`: one parameter and its values (k,), increasing, such as `{"gain": np.linspace(0.0, 2.0, 41)}`
    - `I`: constant input, in units of η, a number or one per node (n,)
    - `starts`, `saddles`: budget of descents and of guesses for passes, at each value

    Returns a `RestingStates`. Raises `ValueError` for weights without a landscape, unknown parameters, and values that don't
    increase. Source: docs/theory.md §8, §D1.
    """
    given: Any = network
    require_network(given.undelayed() if isinstance(given, AbstractModel) else given)
    name, values = _over(network, over)
    require_landscape(network.undelayed())
    found = symmetry(network)
    rule = f"be symmetric, up to a positive scaling of rows, to have a landscape: {found.reason}"
    require("network", "weights without a landscape", rule, found.reason is None)
    starts, saddles = as_count("starts", starts), as_count("saddles", saddles, 0)
    scaling = None if found.scaling is None else jnp.asarray(found.scaling, network.gain.dtype)
    search = _Search(with_input(network.undelayed(), I), name, values, scaling)
    search.explore(starts)
    search.complete_both_ways()
    search.find_passes(saddles)
    search.complete_both_ways()
    return _result(network, jnp.asarray(I, network.gain.dtype), search)


def _over(network: Network, over: Any) -> tuple[str, np.ndarray]:
    rule = "be one parameter and its values, such as `{'gain': np.linspace(0.0, 2.0, 41)}`"
    require("over", over, rule, isinstance(over, Mapping) and len(over) == 1)
    name, given = next(iter(over.items()))
    check_name(network, name, "over")
    require("over", name, "be a parameter that moves resting states", name not in ("delay", "speed", "lengths"))
    array = as_array(given)
    require(
        "over", given, "have at least 2 values (k,)", isinstance(array, jax.Array) and array.ndim == 1 and array.size > 1
    )
    values = np.asarray(array, float)
    require_each("over", values, "be finite, without NaN", np.isfinite(values))
    require("over", given, "increase", bool(np.all(np.diff(values) > 0)))
    return name, values


class _Search:
    """Minima at every value, in NumPy, x = ln R (m, n) of each; `links[k]`: where the states at value k are at k + 1."""

    def __init__(self, network: Network, name: str, values: np.ndarray, scaling: Any):
        self.network, self.name, self.values, self.scaling = network, name, values, scaling
        self.found: list[Catalogue] = []
        self.complete: list[bool] = []
        self.passes: list[np.ndarray] = []
        self.known: list[np.ndarray] = []  # links between minima and passes

    def at(self, value: float) -> Network:
        return with_value(self.network, self.name, jnp.asarray(value, self.network.gain.dtype))

    def explore(self, starts: int) -> None:
        for value in self.values:
            here = self.at(value)
            height = lambda x, here=here: in_pieces(heights, here, x, scaling=self.scaling) if len(x) else np.zeros(0)
            fall = lambda x, here=here: in_pieces(descend, here, x, scaling=self.scaling)
            found, complete, _ = explore(here, fall, height, starts, lambda tries, found: None)
            self.found.append(found)
            self.complete.append(complete)

    def complete_both_ways(self) -> None:
        """States that are there at a neighbouring value and weren't found."""
        last = len(self.values) - 1
        for k in range(last):
            self._carry(k, k + 1)
        for k in range(last, 0, -1):
            self._carry(k, k - 1)

    def _carry(self, k: int, to: int) -> None:
        x = self.found[k].points
        if len(x):
            ends, fine = self.follow(np.full(len(x), self.values[to]), x)
            for end in ends[fine]:
                self.found[to].add(end)

    def follow(self, values: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The minima at `values` (m,) next to states x (m, n), and whether there is one so close."""
        return in_pieces(_follow, self.network, values, x, name=self.name, scaling=self.scaling)

    def find_passes(self, budget: int) -> None:
        for value, found in zip(self.values, self.found, strict=True):
            here = self.at(value)
            order = np.argsort(in_pieces(heights, here, found.points, scaling=self.scaling))
            passes, links = find_saddles(here, found, order, budget, self.scaling) if budget else _no_passes(self.network)
            self.passes.append(passes)
            self.known.append(links)

    def more_passes(self, near: list[np.ndarray]) -> None:
        """Adds passes known at neighbouring values, and those near the states `near` (m, n) at each value."""
        every = self.passes
        found, known = [], []
        for k, value in enumerate(self.values):
            minima = copy.deepcopy(self.found[k])
            starts = np.concatenate([*every[max(0, k - 1) : k + 2], near[k]])
            here, size = self.at(value), len(minima.points)
            nothing = len(starts) == 0
            passes, links = (
                (every[k], self.known[k])
                if nothing
                else find_saddles(here, minima, np.arange(size), 0, self.scaling, starts)
            )
            found.append(passes)
            known.append(np.where(links < size, links, -1))
        self.passes, self.known = found, known


def _no_passes(network: Network) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((0, network.size)), np.zeros((0, 2), int)


@jitted
def _follow(network: Network, values: Values, x: Values, *, name: str, scaling: Values | None) -> tuple[Values, Mask]:
    def one(value: Values, x: Values) -> tuple[Values, Mask]:
        here = with_value(network, name, value)
        end, fine = polish(here, x)
        lowest = jnp.linalg.eigvalsh(hessian(here, end, scaling))[0]
        return end, fine & (lowest > 0) & (jnp.max(jnp.abs(end - x)) < _NEAR)

    return jax.vmap(one)(values, x)


@jitted
def _folds(network: Network, values: Values, x: Values, *, name: str, scaling: Values | None) -> tuple[Values, Values, Mask]:
    """Folds near states x (m, n) at `values` (m,): the parameter, x, and whether Newton's method converged."""
    n = x.shape[1]

    def one(value: Values, x: Values) -> tuple[Values, Values, Mask]:
        def equations(z: Values) -> Values:
            x, phi, value = z[:n], z[n : 2 * n], z[2 * n]
            here = with_value(network, name, value)
            slopes = hessian(here, x, scaling) @ phi
            return jnp.concatenate([jnp.exp(x) * force(here, x), slopes, (phi @ phi - 1)[None]])

        phi = jnp.linalg.eigh(hessian(with_value(network, name, value), x, scaling))[1][:, 0]
        z, good = root(equations, jnp.concatenate([x, phi, value[None]]))
        return z[2 * n], z[:n], good

    return jax.vmap(one)(values, x)


def _advance(
    search: _Search, start: np.ndarray, stop: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States x (m, n) at the values `start` (m,) followed towards `stop`: how far each gets, the next value at which it is
    not there, to 1e-7 of the way, and the last state."""
    at, beyond, x = start.copy(), stop.copy(), x.copy()
    target = stop.copy()
    for _ in range(_TRIALS):
        (left,) = np.nonzero((at != stop) & (np.abs(beyond - at) > _CLOSE * np.abs(stop - start)))
        if not left.size:
            break
        ends, fine = search.follow(target[left], x[left])
        good, bad = left[fine], left[~fine]
        at[good], x[good] = target[good], ends[fine]
        beyond[good] = np.where(at[good] == beyond[good], stop[good], beyond[good])
        target[good] = beyond[good]  # from nearer by it may be reached
        beyond[bad] = target[bad]
        target[bad] = (at[bad] + beyond[bad]) / 2
    return at, beyond, x


class _Ends:
    """Where branches begin and end: last value at which a state is there, next at which it isn't, and the last state."""

    def __init__(self):
        self.branch: list[int] = []
        self.appears: list[bool] = []
        self.at: list[float] = []
        self.beyond: list[float] = []
        self.x: list[np.ndarray] = []

    def add(self, branch: int, appears: bool, at: float, beyond: float, x: np.ndarray) -> None:
        self.branch.append(branch)
        self.appears.append(appears)
        self.at.append(at)
        self.beyond.append(beyond)
        self.x.append(x)


def _chains(search: _Search) -> tuple[list[dict[int, int]], _Ends]:
    """Branches, each {number of the value: number of the state there}, and their ends."""
    branches: list[dict[int, int]] = []
    current: dict[int, int] = {}  # state at the last value: its branch
    ends, values = _Ends(), search.values
    for k, found in enumerate(search.found):
        after: dict[int, int] = {}
        states = list(current)
        if states:
            x = search.found[k - 1].points[states]
            at, beyond, last = _advance(search, np.full(len(x), values[k - 1]), np.full(len(x), values[k]), x)
            for i, state in enumerate(states):
                place = found.add(last[i]) if at[i] == values[k] else -1
                if place >= 0 and place not in after:
                    after[place] = current[state]
                    branches[current[state]][k] = place
                else:
                    ends.add(current[state], False, at[i], beyond[i], last[i])
        new = [place for place in range(len(found.points)) if place not in after]
        if new and k:
            x = found.points[new]
            at, beyond, last = _advance(search, np.full(len(x), values[k]), np.full(len(x), values[k - 1]), x)
            for i in range(len(new)):
                ends.add(len(branches) + i, True, at[i], beyond[i], last[i])
        for place in new:
            after[place] = len(branches)
            branches.append({k: place})
        current = after
    return branches, ends


def _solved(search: _Search, ends: _Ends) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The parameter at every end, x there, and whether it is a fold."""
    at, beyond = np.asarray(ends.at), np.asarray(ends.beyond)
    x = np.asarray(ends.x).reshape(at.size, search.network.size)
    if not at.size:
        return at, x, np.zeros(0, bool)
    value, where, good = in_pieces(_folds, search.network, at, x, name=search.name, scaling=search.scaling)
    middle, spacing = (at + beyond) / 2, np.diff(search.values).min()
    good &= (np.abs(value - middle) < np.abs(beyond - at) + 1e-5 * spacing) & (np.abs(where - x).max(axis=1) < _NEAR)
    return np.where(good, value, middle), np.where(good[:, None], where, x), good


def _beyond_folds(
    search: _Search, branches: list[dict[int, int]], ends: _Ends, where: np.ndarray, folds: np.ndarray
) -> list[np.ndarray]:
    """Guesses of the pass with which a state merges, at the value next to the fold: the state's mirror image in the fold."""
    near = [[np.zeros((0, search.network.size))] for _ in search.values]
    for e in np.flatnonzero(folds):
        branch = branches[ends.branch[e]]
        k = min(branch) if ends.appears[e] else max(branch)
        near[k].append((2 * where[e] - search.found[k].points[branch[k]])[None])
    return [np.concatenate(each) for each in near]


def _result(network: Network, I: Values, search: _Search) -> RestingStates:
    branches, ends = _chains(search)
    value, where, folds = _solved(search, ends)
    search.more_passes(_beyond_folds(search, branches, ends, where, folds))
    n, k, dtype = network.size, len(search.values), float
    states = [found.points for found in search.found]
    first = [min(each) for each in branches]
    height = [np.exp(states[k][branch[k]]).mean() for k, branch in zip(first, branches, strict=True)]
    order = np.lexsort((np.asarray(height), np.asarray(first)))
    rank = np.argsort(order)
    shape = (len(branches), k)
    r, (energy, barrier, growth) = np.full((*shape, n), np.nan), np.full((3, *shape), np.nan, dtype)
    most = max((len(each) for each in search.passes), default=0)
    passes = np.full((k, most, n), np.nan)
    single = np.zeros(k, bool)
    late = bool(network.slow_names) or network.coupling.delayed
    for j, (setting, x) in enumerate(zip(search.values, states, strict=True)):
        here = search.at(setting)
        tau = np.asarray(here.nodes().tau, float)
        high = in_pieces(heights, here, search.passes[j], scaling=search.scaling) if len(search.passes[j]) else np.zeros(0)
        psi = in_pieces(heights, here, x, scaling=search.scaling)
        lowest = disconnectivity(psi, search.known[j], high).barrier
        grows = np.full(len(x), np.nan)
        if late:
            whole = with_value(with_input(network, I), search.name, jnp.asarray(setting, network.gain.dtype))
            grows = np.real(np.asarray(described_points(whole, x, psi, psi).eigenvalues)).max(axis=1)
        for b, branch in enumerate(branches):
            if j in branch:
                at, i = (rank[b], j), branch[j]
                r[at], energy[at], barrier[at], growth[at] = np.exp(x[i]) / tau, psi[i], lowest[i], grows[i]
        passes[j, : len(high)] = np.exp(search.passes[j]) / tau
        single[j] = margin(here, scalings(here)) > 0
    tau = np.asarray(search.network.nodes().tau, float)
    return RestingStates(
        network=network,
        parameter=search.name,
        I=I,
        values=search.values,
        r=r,
        energy=energy,
        barrier=barrier,
        growth=growth,
        passes=passes,
        ends=value,
        end_branch=rank[np.asarray(ends.branch, int)],
        appears=np.asarray(ends.appears, bool),
        end_r=np.exp(where) / tau,
        folds=folds,
        single=single,
        complete=np.asarray(search.complete),
    )
