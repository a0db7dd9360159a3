"""Monitors and their statistics as observables of a sweep."""

import hashlib
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from .._results import Shown
from .._types import Values
from ..mechanics.channels import Problem, check_channel, unit_of
from ..monitors.base import AbstractMonitor, AbstractStatistic
from ..solvers.network_run import monitor_of
from .observables import AbstractObservable, End


class Held(Shown):
    """A module with arrays as a constant that can be hashed, for programs that are kept by what they are made of."""

    def __init__(self, module: Any):
        self.module = module
        leaves, tree = jax.tree.flatten(module)
        content = [np.asarray(each).tobytes() for each in leaves]
        self.digest = hashlib.sha256(b"|".join([str(tree).encode(), *content])).hexdigest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held) and other.digest == self.digest

    def __repr__(self) -> str:
        return repr(self.module)


class Looked(AbstractObservable):
    """What a monitor records, or a statistic of it: folded by the loop of networks at the ends of windows, not of steps."""

    held: Held = eqx.field(static=True)
    smooth: ClassVar[bool] = False

    @property
    def look(self) -> AbstractMonitor | AbstractStatistic:
        return self.held.module

    @property
    def monitor(self) -> AbstractMonitor:
        return monitor_of(self.look)

    def samples(self, times: Any) -> int:
        """The number of samples between the first and the last time that are observed."""
        return int(np.floor((times.t1 - times.t0) / self.monitor.period * (1 + 1e-9)))

    def variables(self, problem: Problem) -> dict[str, tuple[str, str]]:
        check_channel(self.monitor.channel, problem)
        self.monitor.labels(problem.model)
        units = self.look.units
        return {"": (unit_of(self.monitor.channel, problem) if units is None else units, self.look.long_name)}

    def axes(self, name: str, problem: Problem, times: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
        labels, count = self.monitor.labels(problem.model), self.samples(times)
        if isinstance(self.look, AbstractStatistic):
            given = self.look.coords(labels, count)
            lengths = self.look.dims(len(labels), count)
            own = lambda dim: dim if dim.endswith(self.monitor.dim) else f"{name}_{dim}"
            return {
                own(dim): (np.asarray(given.get(dim, np.arange(length))), {"long_name": dim.replace("_", " ")})
                for dim, length in lengths.items()
            }
        ts = times.t0 + self.monitor.period * np.arange(1, count + 1)
        attrs = {"units": "time (that of tau)", "long_name": "time"}
        return {f"{name}_time": (ts, attrs), self.monitor.dim: (labels, {"units": "1", "long_name": self.monitor.dim})}

    def init(self, point: Any) -> Any:
        return ()

    def update(self, state: PyTree, point: Any) -> Any:
        return state

    def finish(self, state: PyTree, end: End) -> dict[str, Values]:
        return {}
