"""Shared data of all lanes of an ensemble, and the program of a block of them."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
from jaxtyping import PyTree

from ..mechanics.channels import Problem
from ..numerics.compiling import CPU_OPTIONS
from .folding import AbstractMethod, Times, fold
from .gradient import along, with_derivatives
from .observables import AbstractObservable, LastFinite


@dataclasses.dataclass(frozen=True)
class Task:
    """Shared data of all lanes of an ensemble, known at compile time; `build(values)` makes the lane's problem."""

    build: Callable[[Any, Mapping[str, Any]], Problem]
    method: AbstractMethod
    observables: tuple[tuple[str, AbstractObservable], ...]
    times: Times
    gradient: tuple[str, ...] = ()
    options: ClassVar[dict[str, Any]] = CPU_OPTIONS  # of the compiler, on a CPU

    @property
    def fusible(self) -> bool:
        """Whether a kernel of our own may run it on an accelerator."""
        return self.method.fusible

    def watch(self) -> "Task":
        """The same lanes, watched for when their state was last finite."""
        return dataclasses.replace(self, observables=(("t", LastFinite()),), gradient=())

    def block(self, base: PyTree, values: Mapping[str, Any], steps: Any) -> dict[str, Any]:
        """Results of the lanes of a block, as the method runs them: each by itself, or all together."""
        return self.method.block(self, base, values, steps)

    def _plain(self, base: PyTree, steps: Any) -> Callable[[Mapping[str, Any]], tuple[dict[str, Any], Any]]:
        """values ↦ (results, final state and progress) of one lane."""

        def plain(values: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
            problem = self.build(base, values)
            results, y, progress = fold(problem, self.method, dict(self.observables), self.times, steps)
            return results, {".y": y, ".progress": progress}

        return plain

    def lane(self, base: PyTree, values: Mapping[str, Any], steps: Any) -> dict[str, Any]:
        """Results of one lane, with its final state and progress under names that no observable has."""
        plain = self._plain(base, steps)
        differentiated = with_derivatives(plain, self.gradient, self.method.reverse) if self.gradient else plain
        results, rest = differentiated(values)
        return results | rest

    def slope(self, base: PyTree, values: Mapping[str, Any], steps: Any, direction: Mapping[str, Any]) -> Any:
        """Results as of `lane` without derivatives, and their slopes along a `direction` of the values in `gradient`."""
        (results, rest), slopes = along(self._plain(base, steps), self.gradient, values, direction)
        return results | rest, slopes


def _compile(task: Any, group: int, platform: str) -> Any:
    """The compiled call for `group` blocks of lanes; values have shape (group, block)."""

    def one(args) -> Any:
        base, values, steps = args
        return task.block(base, values, steps)

    def call(base, values, steps) -> Any:
        if group == 1:
            first = jax.tree.map(lambda each: each[0], (values, steps))
            return jax.tree.map(lambda each: each[None], one((base, *first)))
        return jax.lax.map(lambda args: one((base, *args)), (values, steps))

    return jax.jit(call, compiler_options=task.options if platform == "cpu" else None)


compiled = functools.lru_cache(maxsize=16)(_compile)
