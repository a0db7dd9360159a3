"""A sweep as a plan: everything that can be known, checked and written down before anything is computed."""

import dataclasses
import functools
import hashlib
import operator
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._identity import is_known, written
from .._parameter import Parameter, describe, parameter_table
from .._results import RESULTS, Shown
from .._types import Key
from ..mechanics.channels import Problem
from ..models.network import Targeted
from ..models.noise import AbstractNoise
from .convergence import Rules
from .folding import AbstractMethod, Times
from .gradient import derivative_name
from .observables import AbstractObservable, Final, Samples
from .runge_kutta import Adaptive
from .shot import Shot
from .task import Task

MAX_STEPS = 2**22


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
        paths = [path_of(base, name) for name in self.names]
        if not paths:
            return base
        where = lambda problem: [operator.attrgetter(path)(problem) for path in paths]
        # An initial value is the same number for all nodes of a network.
        new = [jnp.broadcast_to(values[name], jnp.shape(old)) for name, old in zip(self.names, where(base), strict=True)]
        return eqx.tree_at(where, base, new)


def path_of(base: Problem, name: str) -> str:
    """Path of the swept `name` in a problem: `eta`, `gap.g`, `stimulus.amplitude`, `r` (initial value), …

    `stimulus.amplitude` is also the amplitude of a stimulus that is targeted at some nodes.
    """
    if name in base.y0.names:
        return f"y0.{name}"
    if name == "noise" and isinstance(base.noise, AbstractNoise):
        return "noise.intensity"
    if name in ("noise", "key") or name.startswith("noise."):
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
    if isinstance(base.noise, Shot):
        table["noise.size"] = Parameter("N", "1", "[1, inf)", "number of neurons", name="noise.size")
    elif base.noise is not None:
        table["noise"] = Parameter("D", "1", "[0, inf)", "noise intensity", name="noise")
    return table | {
        name: Parameter(name, each.unit, "(0, inf)" if each.positive else "(-inf, inf)", f"initial {name}", name=name)
        for name, each in base.model.variables.items()
    }


def _message(code: object) -> str:
    return RESULTS[code] or "successful"


MEANINGS = {
    0: "successful",
    1: "The tolerance was not met: rounding or the largest number of steps came first (float64, a larger `rtol` or a "
    "shorter run help).",
    2: _message(RESULTS.non_finite),
    3: _message(RESULTS.rate_not_positive),
    4: "There is no stable state near the start, whose spectrum shot noise should have.",
}


# The same, for file attributes.
WORDS = ("successful", "tolerance_not_met", "non_finite", "rate_not_positive", "no_stable_state")


def status_of(codes: Any, finite: Any, kept: Any, met: Any, stable: Any = None, xp: Any = np) -> Any:
    """Result codes of lanes: those that a run ended with, else by whether the last state is `finite` and has `kept` what is
    positive so, and whether the tolerance was `met`; `stable` says which lanes have a stable state to begin from."""
    found = xp.where(codes > 0, codes, xp.where(~finite, 2, xp.where(~kept, 3, xp.where(met, 0, 1))))
    return found if stable is None else xp.where(stable, found, 4)


@runtime_checkable
class PlanLike(Protocol):
    """What stores and clusters ask of a plan: its axes, outputs and settings as data; `Plan` has more."""

    @property
    def dims(self) -> Mapping[str, int]:
        """Sizes of the swept dimensions."""
        ...

    @property
    def lanes(self) -> int:
        """Number of lanes."""
        ...

    @property
    def dtype(self) -> str:
        """Float dtype of the computation."""
        ...

    @property
    def meanings(self) -> Mapping[int, str]:
        """Sentences of the result codes."""
        ...

    @property
    def coords(self) -> Mapping[str, Any]:
        """Swept parameters and sample times: name → (dimensions, values, attributes)."""
        ...

    @property
    def variables(self) -> Mapping[str, Any]:
        """Outputs by name: dimensions, shape, dtype, attributes."""
        ...

    @property
    def config(self) -> Any:
        """What tells this call from others, as JSON."""
        ...

    @property
    def lane_bytes(self) -> int:
        """Memory of one lane."""
        ...

    def require_names(self) -> None:
        """Refuse functions without a name."""
        ...


@dataclasses.dataclass(frozen=True)
class Plan(Shown):
    """A checked sweep, as data: `compute_lanes(plan, lanes)` gives its lanes' results, numbered in C order over `dims`.

    - `base`: model, initial state, stimulus and noise that all lanes share
    - `dims`: sizes of the swept dimensions by name; `swept`: dimensions and values of every swept parameter, by name
    - `observables`: by the name of their results; `times`: first, last and sample times
    - `method`, `method_name`, `solver`: the integration method, its name, and the solver that was given, or None
    - `rtol`, `atol`, `dt0`, `max_steps`: tolerances, first or fixed step (None: by the method) and the largest number of
      steps
    - `estimate`: whether results come with an error estimate
    - `states`: of shot noise, the dimensions that choose a lane's stable state, and the numbers of the states along these
    - `key`: random key of the noise, or None; `gradient`: names of the parameters by which results are differentiated
    """

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
    key: Key | None = None
    gradient: tuple[str, ...] = ()
    max_steps: int = MAX_STEPS
    solver: Any = None
    states: tuple[tuple[str, ...], np.ndarray] | None = None

    meanings = MEANINGS

    @property
    def lanes(self) -> int:
        return int(np.prod(list(self.dims.values())))

    @property
    def neurons(self) -> int:
        """Number of neurons of one lane, 0 of mean fields."""
        return 0 if self.base.neurons is None else int(np.prod(self.base.neurons.currents.shape))

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
            for dim, (values, attrs) in each.axes(name, self.base, self.times).items():
                found[dim] = ((dim,), values, attrs)
        return found

    @functools.cached_property
    def _observed(self) -> dict[str, dict[str, tuple[str, str]]]:
        """Unit and meaning of the results of every observable, by suffix."""
        return {name: each.variables(self.base) for name, each in self.observables.items()}

    @functools.cached_property
    def variables(self) -> dict[str, Variable]:
        """The result's variables: the observables', then how every lane ended."""
        found = {}
        for name, each in self.observables.items():
            axes = {dim: len(values) for dim, (values, _) in each.axes(name, self.base, self.times).items()}
            dims, shape = tuple(axes), tuple(axes.values())
            for suffix, (units, long_name) in self._observed[name].items():
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
    def adaptive(self) -> bool:
        """Whether the method chooses steps as it goes."""
        return isinstance(self.method, Adaptive)

    @property
    def resolves(self) -> bool | None:
        """Whether steps must be as short as what is observed asks for; None where nothing predicts them."""
        if "riccati" not in self.base.model.offers or (self.dt0 is not None and not self.adaptive):
            return None
        return self.adaptive or any(not isinstance(each, (Final, Samples)) for each in self.observables.values())

    def task(self, names: tuple[str, ...]) -> Task:
        """What is compiled for lanes that have values under these `names`."""
        return Task(Build(names), self.method, tuple(self.observables.items()), self.times, self.gradient)

    def rules(self, several: bool) -> Rules:
        """How two runs of lanes are compared, of one stretch each or of `several`; final states' names begin with a dot."""
        smooth = {f".{name}": True for name in self.base.model.variables}
        for name, each in self.observables.items():
            smooth |= {f"{name}{suffix}": each.smooth for suffix in self._observed[name]}
        derived = {derivative_name(name, by): is_smooth for name, is_smooth in smooth.items() for by in self.gradient}
        return Rules.of(smooth, derived, (self.rtol, self.atol / self.rtol), self.max_steps, several, self.dtype)

    @property
    def config(self) -> dict[str, Any]:
        """The call, as JSON: two sweeps with equal configurations have equal results."""
        return self._config(strict=False)

    @property
    def kind(self) -> str:
        """The model in words, and how many neurons stand for it, if any do."""
        return f"{self.neurons} neurons of {describe(self.base.model)}" if self.neurons else describe(self.base.model)

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
            "model": described(self.base.model) | ({"kind": self.kind} if self.neurons else {}),
            "stimulus": None if stimulus is None else described(stimulus),
            "y0": {name: written(getattr(self.base.y0, name)) for name in self.base.model.variables},
            "over": {
                name: {"dim": dims[0], "size": values.size, "dtype": str(values.dtype), "sha256": digests[name]}
                for name, (dims, values) in self.swept.items()
            },
            "t0": self.times.t0,
            "t1": self.times.t1,
            "observe": {name: written(each, strict) for name, each in self.observables.items()},
            "solver": self.method_name,
            "solver_values": None if is_known(self.solver) else written(self.solver, strict),
            "rtol": self.rtol,
            "atol": self.atol,
            "dt0": self.dt0,
            "estimate": self.estimate,
            **({} if self.base.neurons is None else {"neurons": written(self.base.neurons, strict)}),
            "noise": self._noise(strict),
            "seed": self.seed,
            "gradient": list(self.gradient),
            "dtype": self.dtype,
        }

    def _noise(self, strict: bool) -> Any:
        noise = self.base.noise
        if isinstance(noise, AbstractNoise):
            return {"kind": repr(noise), "values": written(noise, strict)}
        return written(noise.law, strict) if isinstance(noise, Shot) else None if noise is None else float(noise)

    @property
    def seed(self) -> list[int] | None:
        """The words of the random key, None without noise."""
        return None if self.key is None else np.asarray(jax.random.key_data(self.key)).tolist()

    @property
    def lane_bytes(self) -> int:
        """Memory per lane while computing: several copies of its results and values."""
        item = np.dtype(self.dtype).itemsize
        numbers = sum(int(np.prod(each.shape)) for each in self.variables.values()) + len(self.swept)
        numbers += 8 * int(np.prod(self.base.nodes)) + self.neurons
        return 8 * item * numbers

    def values(self, lanes: np.ndarray) -> dict[str, np.ndarray]:
        """The swept values of `lanes` (m,), numbers in C order over `dims`, by name."""
        lanes = np.asarray(lanes, dtype=np.int64)
        index = dict(zip(self.dims, np.unravel_index(lanes, tuple(self.dims.values())), strict=True))
        found = {name: values[index[dims[0]]].astype(self.dtype) for name, (dims, values) in self.swept.items()}
        if self.states is not None:
            along, which = self.states
            chosen = np.broadcast_to(which[tuple(index[dim] for dim in along)], lanes.shape)
            found = {**self.base.noise.widened(found), "noise.which": chosen}
        for name in self.gradient:
            if name not in found:
                held = np.ravel(operator.attrgetter(path_of(self.base, name))(self.base))
                found[name] = np.full(lanes.size, held[0], held.dtype)
        return (
            found
            if self.key is None
            else found | {"key": np.asarray(_lane_keys(self.key, (lanes % 2**32).astype(np.uint32)))}
        )


@jax.jit
def _lane_keys(key: Key, lanes: Any) -> Any:
    """Two words per lane that depend on the sweep's key and the lane's number alone."""
    return jax.vmap(lambda lane: jax.random.key_data(jax.random.fold_in(key, lane)))(lanes)
