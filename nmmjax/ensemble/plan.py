"""A sweep as a plan: everything that can be known, checked and written down before anything is computed."""

import dataclasses
import hashlib
import operator
from collections.abc import Callable, Mapping
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_key, as_samples, lie_within, merged, refuse_unknown, require
from .._identity import fresh, is_known, written
from .._nan import nan_is_absent
from .._parameter import Parameter, as_number, describe, parameter_table
from .._results import RESULTS
from .._types import float_dtype
from ..models.base import AbstractModel, as_model
from ..models.network import Targeted
from ..models.noise import AbstractNoise, WhiteNoise
from ..models.stimulus import AbstractStimulus, as_stimulus, check_range
from ..solvers.mobius import MobiusSplitting
from .channels import Problem
from .computation import compute_lanes
from .folding import AbstractMethod, Times, Uniform
from .gradient import FORWARD_LIMIT, derivative_name
from .network_splitting import network_stretch
from .noise import NoisyStretch, no_flow
from .observables import AbstractObservable
from .runge_kutta import Adaptive, RKFlow, RKStretch, is_explicit
from .splitting import offers_splitting, splitting_flow, splitting_stretch

_MAX_STEPS = 2**22
_FINEST = {"float64": 1e-12, "float32": 1e-6}  # relative tolerances of steps, near rounding
_MOST_STEPS = 2**30  # that are counted in 32 bits


@dataclasses.dataclass(frozen=True)
class Variable:
    """One variable of a sweep's result: its dimensions beyond the sweep's own, their sizes, dtype and attributes."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    attrs: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Build:
    """Makes a lane's problem from the base problem and the lane's own values; `names` are dotted paths into the problem."""

    names: tuple[str, ...]

    def __call__(self, base: Problem, values: Mapping[str, Any]) -> Problem:
        paths = [_path(base, name) for name in self.names]
        if not paths:
            return base
        where = lambda problem: [operator.attrgetter(path)(problem) for path in paths]
        # An initial value is the same number for all nodes of a network.
        new = [jnp.broadcast_to(values[name], jnp.shape(old)) for name, old in zip(self.names, where(base), strict=True)]
        return eqx.tree_at(where, base, new)


def _path(base: Problem, name: str) -> str:
    """Where in a problem the swept `name` lives: `eta`, `gap.g`, `stimulus.amplitude`, `r` (initial value), …

    `stimulus.amplitude` is also the amplitude of a stimulus that is targeted at some nodes.
    """
    if name in base.y0.units:
        return f"y0.{name}"
    if name in ("noise", "key"):
        return name
    if not name.startswith("stimulus."):
        return f"model.{name}"
    return "stimulus." * isinstance(base.stimulus, Targeted) + name


def sweepable(base: Problem) -> dict[str, Parameter]:
    """Everything that `over` may name, with its declaration."""
    table = {name: each for name, (each, value) in parameter_table(base.model).items() if each.ndim == value.ndim == 0}
    stimulus = base.stimulus.stimulus if isinstance(base.stimulus, Targeted) else base.stimulus
    if stimulus is not None and not hasattr(stimulus, "parts"):
        inner = parameter_table(stimulus).items()
        table |= {f"stimulus.{name}": each for name, (each, _) in inner if each.ndim == 0}
    if base.noise is not None:
        table["noise"] = Parameter("D", "1", "[0, inf)", "noise intensity", name="noise")
    units = base.y0.units
    positive = type(base.y0).positive
    return table | {
        name: Parameter(name, unit, "(0, inf)" if name in positive else "(-inf, inf)", f"initial {name}", name=name)
        for name, unit in units.items()
    }


def _axes(base: Problem, over: Any) -> tuple[dict[str, int], dict[str, tuple[tuple[str, ...], np.ndarray]]]:
    """Dimensions of the sweep and, per swept name, its dimension and values; refuses what can't be swept."""
    require("over", over, "be a mapping from parameter names to values", hasattr(over, "keys"))
    require("over", over, "name at least one parameter", len(over) > 0)
    accepted = sweepable(base)
    for name, (_, value) in parameter_table(base.model).items():
        require(name, value, "be shared by all nodes to be swept", name not in over or value.ndim == 0)
    refuse_unknown(over, accepted, "swept names")
    dims: dict[str, int] = {}
    coords: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, given in over.items():
        together = isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str)
        dim, raw = given if together else (name, given)
        free = not together or dim not in (*accepted, "node")
        require(name, given, "use a dimension that is no parameter's name, and not `node`", free)
        try:
            values = labels(raw)
            numbers = values.astype(float_dtype())
        except (TypeError, ValueError):
            raise ValueError(f"Argument `{name}` must be an array of numbers, but got {raw!r}.") from None
        rule = "have one axis with at least one value"
        require(name, values, rule, values.ndim == 1 and values.size > 0)
        require(name, values, "be finite, without NaN", bool(np.all(np.isfinite(numbers))))
        require(name, values, f"be {accepted[name].rule}", accepted[name].allows(numbers))
        known = dims.setdefault(dim, values.size)
        require(name, values, f"have {known} values, like the others along `{dim}`", values.size == known)
        coords[name] = ((dim,), values)
    return dims, coords


def labels(raw: Any) -> np.ndarray:
    """Values as the user gave them, so that a result can be aligned with theirs; what no file keeps becomes float64."""
    values = np.asarray(as_samples(raw))
    kept = values.dtype.kind in "iu" or values.dtype.name in ("float32", "float64")
    return values.astype(values.dtype.newbyteorder("=") if kept else np.float64)


def _check_times(t0: Any, t1: Any, observe: Mapping[str, AbstractObservable]) -> Times:
    t0, t1 = float(as_number("t0", t0, "[0, inf)")), float(as_number("t1", t1, "(0, inf)"))
    require("t1", t1, f"be later than `t0` ({t0:g})", t1 > t0)
    cuts = np.unique(np.concatenate([each.grid() for each in observe.values()] + [np.zeros(0)]))
    inside = cuts.size == 0 or lie_within(cuts, t0, t1)
    require("ts", cuts, f"lie between `t0` ({t0:g}) and `t1` ({t1:g})", inside)
    cuts = merged(np.clip(cuts, t0, t1))
    return Times(0.0, t0, t1, tuple(cuts.tolist()))


def _check_range(base: Problem, swept: Any, times: Times) -> None:
    """Refuse times that a recorded input doesn't cover, at any of its swept parameters."""
    check_range(base.stimulus, times.start, times.t1, "t1")
    own = {name: values for name, (_, values) in swept.items() if name.startswith("stimulus.")}
    if base.stimulus is None or base.stimulus.span() is None:
        return
    grid = np.meshgrid(*own.values(), indexing="ij")
    build = Build(tuple(own))
    for numbers in zip(*(each.ravel() for each in grid), strict=True) if own else ():
        at = {name: jnp.asarray(value, float_dtype()) for name, value in zip(own, numbers, strict=True)}
        check_range(build(base, at).stimulus, times.start, times.t1, "t1")


def _check_observables(observe: Any, base: Problem) -> dict[str, AbstractObservable]:
    require("observe", observe, "be a mapping from names to observables", hasattr(observe, "items"))
    require("observe", observe, "name at least one observable", len(observe) > 0)
    for name, each in observe.items():
        valid = isinstance(name, str) and name.isidentifier()
        require("observe", name, "use names that are Python identifiers", valid)
        require("observe", each, "hold observables such as `Peak('r')` or `Final()`", isinstance(each, AbstractObservable))
        each.variables(base)
    return {name: fresh(each) for name, each in observe.items()}


def _message(code: Any) -> str:
    return RESULTS[code] or "successful"


MEANINGS = {
    0: "successful",
    1: "The tolerance was not met: rounding or the largest number of steps came first.",
    2: _message(RESULTS.non_finite),
    3: _message(RESULTS.rate_not_positive),
}


WORDS = ("successful", "tolerance_not_met", "non_finite", "rate_not_positive")  # the same, for file attributes


@dataclasses.dataclass(frozen=True)
class Plan:
    """A checked sweep. `compute(lanes)` gives the results of any of its lanes, numbered in C order over `dims`."""

    base: Problem
    dims: dict[str, int]
    swept: dict[str, tuple[tuple[str, ...], np.ndarray]]
    observables: dict[str, AbstractObservable]
    times: Times
    method: AbstractMethod
    method_name: str
    rtol: float
    atol: float
    dt0: float | None
    estimate: bool
    key: Any = None
    gradient: tuple[str, ...] = ()
    max_steps: int = _MAX_STEPS
    solver: Any = None

    meanings = MEANINGS

    @property
    def lanes(self) -> int:
        return int(np.prod(list(self.dims.values())))

    @property
    def dtype(self) -> str:
        return str(jax.tree.leaves(self.base.y0)[0].dtype)

    @property
    def coords(self) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
        """Swept parameters by value, and sample times: name → (dimensions, values, attributes)."""
        declared = sweepable(self.base)
        found = {
            name: (
                dims,
                values,
                {"units": declared[name].unit, "long_name": declared[name].doc, "symbol": declared[name].symbol},
            )
            for name, (dims, values) in self.swept.items()
        }
        for name, each in self.observables.items():
            if each.grid().size:
                attrs = {"units": "time (that of tau)", "long_name": "time"}
                found[f"{name}_time"] = ((f"{name}_time",), each.grid(), attrs)
        if any(each.per_node(self.base) for each in self.observables.values()):
            found["node"] = (("node",), self.base.model.labels, {"units": "1", "long_name": "node of the network"})
        return found

    @property
    def variables(self) -> dict[str, Variable]:
        """The result's variables: the observables', then how every lane ended."""
        found = {}
        for name, each in self.observables.items():
            size = each.grid().size
            dims, shape = ((f"{name}_time",), (size,)) if size else ((), ())
            if each.per_node(self.base):
                dims, shape = (*dims, "node"), (*shape, *self.base.nodes)
            for suffix, (units, long_name) in each.variables(self.base).items():
                found[f"{name}{suffix}"] = Variable(dims, shape, self.dtype, {"units": units, "long_name": long_name})
        units = {name: each.unit for name, each in sweepable(self.base).items()}
        for name, each in list(found.items()):
            for parameter in self.gradient:
                about = f"∂({each.attrs['long_name']})/∂{parameter}"
                attrs = {"units": f"({each.attrs['units']})/({units[parameter]})", "long_name": about}
                found[derivative_name(name, parameter)] = dataclasses.replace(each, attrs=attrs)
        flags = {"flag_values": list(MEANINGS), "flag_meanings": list(WORDS)}
        own = {
            "status": ("int16", {"long_name": "how the lane ended", **flags}),
            "failure_time": (self.dtype, {"units": "time (that of tau)", "long_name": "when the lane failed"}),
            "error": (self.dtype, {"units": "1", "long_name": "estimated relative error"}),
            "steps": ("int32", {"units": "1", "long_name": "steps taken"}),
        }
        return found | {name: Variable((), (), dtype, attrs) for name, (dtype, attrs) in own.items()}

    @property
    def config(self) -> dict[str, Any]:
        """The call, as JSON: two sweeps with equal configurations have equal results."""
        return self._config(strict=False)

    def require_names(self) -> None:
        """Refuse, in one sentence, code that a store can't tell apart: functions without name, classes without version."""
        self._config(strict=True)

    def _config(self, strict: bool) -> dict[str, Any]:
        digests = {
            name: hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
            for name, (_, values) in self.swept.items()
        }
        stimulus = self.base.stimulus
        described = lambda module: {"kind": describe(module), "values": written(module, strict)}
        return {
            "model": described(self.base.model),
            "stimulus": None if stimulus is None else described(stimulus),
            "y0": {name: written(getattr(self.base.y0, name)) for name in self.base.y0.units},
            "over": {
                name: {"dim": dims[0], "size": values.size, "dtype": str(values.dtype), "sha256": digests[name]}
                for name, (dims, values) in self.swept.items()
            },
            "t0": self.times.t0,
            "t1": self.times.t1,
            "observe": {name: written(each, strict) for name, each in self.observables.items()},
            "method": self.method_name,
            "solver": None if is_known(self.solver) else written(self.solver, strict),
            "rtol": self.rtol,
            "atol": self.atol,
            "dt0": self.dt0,
            "estimate": self.estimate,
            "noise": None if self.base.noise is None else float(self.base.noise),
            "seed": self.seed,
            "gradient": list(self.gradient),
            "dtype": self.dtype,
        }

    @property
    def seed(self) -> list[int] | None:
        """The words of the random key, None without noise."""
        return None if self.key is None else np.asarray(jax.random.key_data(self.key)).tolist()

    @property
    def lane_bytes(self) -> int:
        """Memory per lane while computing: several copies of its results and values."""
        item = np.dtype(self.dtype).itemsize
        numbers = sum(int(np.prod(each.shape)) for each in self.variables.values()) + len(self.swept)
        numbers += 8 * int(np.prod(self.base.nodes))
        return 8 * item * numbers

    def values(self, lanes: np.ndarray) -> dict[str, np.ndarray]:
        """The swept values of the given lanes, by name."""
        lanes = np.asarray(lanes, dtype=np.int64)
        index = dict(zip(self.dims, np.unravel_index(lanes, tuple(self.dims.values())), strict=True))
        found = {name: values[index[dims[0]]].astype(self.dtype) for name, (dims, values) in self.swept.items()}
        for name in self.gradient:
            if name not in found:
                held = np.ravel(operator.attrgetter(_path(self.base, name))(self.base))
                found[name] = np.full(lanes.size, held[0], held.dtype)
        return (
            found
            if self.key is None
            else found | {"key": np.asarray(_lane_keys(self.key, (lanes % 2**32).astype(np.uint32)))}
        )

    def compute(self, lanes: Any, report: Callable[[int], None] | None = None) -> dict[str, np.ndarray]:
        """Results of the flat lane numbers: name → array (len(lanes), …). `report(n)` hears of every n lanes done.

        Equal lane numbers give equal bits. A lane that fails has NaN results, a code in `status` and its time in
        `failure_time`.
        """
        values = self.values(lanes)
        return compute_lanes(self, Build(tuple(values)), values, report)


@jax.jit
def _lane_keys(key: Any, lanes: Any) -> Any:
    """Two words per lane that depend on the sweep's key and the lane's number alone."""
    return jax.vmap(lambda lane: jax.random.key_data(jax.random.fold_in(key, lane)))(lanes)


@nan_is_absent
def plan_sweep(
    model: AbstractModel,
    *,
    over: Any,
    y0: Any,
    t1: Any,
    observe: Any,
    t0: Any = 0.0,
    stimulus: AbstractStimulus | None = None,
    method: Any = None,
    rtol: Any = None,
    atol: Any = None,
    dt0: Any = None,
    estimate: bool = True,
    noise: Any = None,
    key: Any = None,
    gradient: Any = None,
) -> Plan:
    """Check the arguments of a sweep (see `nmmjax.sweep`) and fix everything about it; computes nothing."""
    model = as_model(model)
    stimulus = as_stimulus(stimulus, model)
    over = dict(over) if hasattr(over, "keys") else over
    noise, key, words = _check_noise(noise, key, "noise" in over if hasattr(over, "keys") else False)
    base = Problem(model, model.state(y0), stimulus, noise, words)
    dims, swept = _axes(base, over)
    observables = _check_observables(observe, base)
    times = _check_times(t0, t1, observables)
    _check_range(base, swept, times)
    dtype = jax.tree.leaves(base.y0)[0].dtype
    default = 1e-6 if dtype == jnp.float64 else 1e-4
    rtol = float(as_number("rtol", default if rtol is None else rtol, "(0, 1)"))
    atol = float(as_number("atol", rtol / 10 if atol is None else atol, "(0, inf)"))
    dt0 = None if dt0 is None else float(as_number("dt0", dt0, "(0, inf)"))
    if dt0 is not None:
        require("dt0", dt0, f"be at least {times.t1 / _MOST_STEPS:.3g} (2³⁰ steps to `t1`)", times.t1 / dt0 <= _MOST_STEPS)
    if noise is not None and dt0 is None:
        dt0 = 0.01 * float(np.min(getattr(model, "tau", 1.0)))
    # An adaptive method must see what is counted: ringing that has almost died out.
    finest = min([1.0, *(max(each.tolerance(), _FINEST[str(dtype)]) / rtol for each in observables.values())])
    chosen, name = choose_method(base, method, rtol * finest, atol * finest, dt0)
    gradient = _check_gradient(gradient, base, over)
    if len(gradient) > FORWARD_LIMIT:
        chosen = dataclasses.replace(chosen, reverse=True)  # pyright: ignore[reportArgumentType]
    numbers = (rtol, atol, dt0, bool(estimate))
    return Plan(base, dims, swept, observables, times, chosen, name, *numbers, key, gradient, solver=method)


def _check_gradient(gradient: Any, base: Problem, over: Any) -> tuple[str, ...]:
    """Names of the parameters to differentiate by; refuses what can't be swept."""
    names = () if gradient is None else (gradient,) if isinstance(gradient, str) else tuple(gradient)
    refuse_unknown(names, sweepable(base), "names to differentiate by,")
    require("gradient", names, "name each parameter once", len(set(names)) == len(names))
    for name in set(names) - set(over):
        held = np.ravel(operator.attrgetter(_path(base, name))(base))
        require(name, held, "be equal at all nodes to differentiate by it", bool(np.all(held == held[0])))
    return names


def _check_noise(noise: Any, key: Any, swept: bool) -> tuple[Any, Any, Any]:
    """Noise intensity, key and the key's words; all None without noise."""
    if noise is None and not swept:
        require("key", type(key).__name__, "be given together with `noise`", key is None)
        return None, None, None
    key = as_key(key, purpose=" if there is noise")
    words = jax.random.key_data(key)
    require("key", words, "be one key of the Threefry generator (two words)", words.shape == (2,))
    if isinstance(noise, AbstractNoise):
        require("noise", repr(noise), "be a number D or `WhiteNoise(D)` in a sweep", isinstance(noise, WhiteNoise))
        noise = noise.intensity  # pyright: ignore[reportAttributeAccessIssue]
    return as_number("noise", 0.0 if noise is None else noise, "[0, inf)"), key, words


def choose_method(base: Problem, method: Any, rtol: float, atol: float, dt0: float | None) -> tuple[AbstractMethod, str]:
    """The way to integrate: geometric splitting where offered, else Runge–Kutta; adaptive unless `dt0` is given."""
    pairs = jax.default_backend() == "cpu"
    splitting = offers_splitting(base.model)
    if method is None:
        method = MobiusSplitting(4) if splitting else diffrax.Tsit5()
    if base.noise is not None:
        rule = "be `MobiusSplitting(4)` or None where there is noise"
        require("method", type(method).__name__, rule, isinstance(method, MobiusSplitting))
        rule = "be None for this model: noise needs a Riccati population without gap junctions, conductances and slow terms"
        require("noise", base.noise, rule, splitting)
        require("noise", base.noise, "be None for a network", not base.nodes)
        noisy = Uniform(stretch=NoisyStretch(pairs), short=no_flow, pairs=pairs, smooth=False)
        return noisy, "Möbius splitting with noise, weak order 2"
    if isinstance(method, MobiusSplitting):
        require("method", method, "be of order 4 for a sweep", method.mobius_order == 4)
        rule = "be a diffrax solver for this model (splitting takes no gap junctions, conductances or slow terms in a sweep)"
        require("method", method, rule, splitting)
        if base.nodes:
            return Uniform(
                stretch=network_stretch, short=splitting_flow, pairs=pairs
            ), "force-gradient Möbius splitting, order 4"
        return Uniform(stretch=splitting_stretch, short=splitting_flow, pairs=pairs), "processed Möbius splitting, order 4"
    rule = "be None, `MobiusSplitting(4)` or an explicit Runge–Kutta solver of diffrax such as `diffrax.Tsit5()`"
    require("method", method, rule, is_explicit(method))
    name = type(method).__name__
    if dt0 is not None:
        return Uniform(stretch=RKStretch(method), short=RKFlow(method), pairs=False), f"{name}, fixed steps"
    return Adaptive(solver=method, rtol=rtol, atol=atol, max_steps=_MAX_STEPS), f"{name}, adaptive"
