"""The scale of what is observed: how large an error of a result is small, whatever the result's own value."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from ..mechanics.channels import node_sizes
from ..models.state import State
from .task import Task


def _scales(task: Task) -> Any:
    times = task.times

    def lane(base, values, finals) -> dict[str, Any]:
        problem = task.build(base, values)
        dtype = jax.tree.leaves(problem.y0)[0].dtype
        ends = (times.start, problem.y0), (times.t1, problem.y0.replace(**finals))
        both = [_at(task, problem, jnp.asarray(t, dtype), y) for t, y in ends]
        return jax.tree.map(jnp.maximum, *both)

    return jax.jit(jax.vmap(lane, in_axes=(None, 0, 0)))


def _at(task: Task, problem: Any, t: Any, y: State) -> dict[str, Any]:
    found = {f".{name}": node_sizes(name, problem, t, y) for name in y.names}
    for name, each in task.observables:
        found |= {f"{name}{suffix}": size for suffix, size in each.sizes(problem, t, y).items()}
    return found


# Compiled: the larger of the scales at a lane's two ends, of a task's results and, under names with a dot, of the states.
scales = functools.lru_cache(maxsize=16)(_scales)
