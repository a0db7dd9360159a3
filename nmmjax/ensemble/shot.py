"""Shot noise in sweeps: the resonators of every stable state that lanes mean, and lanes that carry their own on.

Random numbers are those of `noise.py`: of step k at the counter (k, 0) under the lane's key, and those that draw the
resonators' start from their stationary law at (j, 1).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Values
from ..mechanics.channels import Problem
from ..models.noise import Resonators
from ..numerics.counters import normals
from ..solvers.noisy import resonant_kicks
from .folding import AbstractUniform
from .noise import kicking, normals_of_step
from .splitting import Stretch


class Shot(eqx.Module):
    """Shot noise of a sweep: its `law`, the `resonators` of N = 1 of all states that lanes mean, (states, …), which of these
    are `stable`, (states,), and the lane's `size` N and state, `which`."""

    law: Any
    size: Any
    resonators: Resonators | None = None
    stable: Any = None
    which: Any = None

    def own(self) -> Resonators:
        """The resonators of the lane."""
        found: Any = jax.tree.map(lambda each: each[self.which], self.resonators)
        scale = 1 / jnp.sqrt(jnp.asarray(self.size, found.decay.dtype))
        gains = lambda each: (each.gain_real, each.gain_imag, each.direct)
        return eqx.tree_at(gains, found, [scale * each for each in gains(found)])

    def widened(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Swept `values` with the neurons' own noise in Δ, as the model has it."""
        if self.law.noise is None or "Delta" not in values:
            return dict(values)
        return {**values, "Delta": values["Delta"] + np.asarray(self.law.noise.width, values["Delta"].dtype)}


def fitted(
    base: Problem, build: Callable[..., Callable[..., Problem]], dims: Mapping[str, int], swept: Mapping[str, Any]
) -> tuple[Problem, tuple[tuple[str, ...], np.ndarray]]:
    """The base problem with the resonators of all lanes' states, and (dimensions, numbers of the states along these).

    `build(names)` makes problems from the values of these swept names, such as `Build`.
    """
    shot, dtype = base.noise, jax.tree.leaves(base.y0)[0].dtype
    moves = lambda name: not name.startswith("stimulus.") and name != "noise.size"
    names = [name for name in swept if moves(name) and (shot.law.near is None or name not in base.y0.names)]
    along = tuple(dim for dim in dims if any(swept[name][0][0] == dim for name in names))
    sizes = tuple(dims[dim] for dim in along)
    count = int(np.prod(sizes))
    index = dict(zip(along, np.indices(sizes).reshape(len(along), count), strict=True))
    values = shot.widened({name: swept[name][1][index[swept[name][0][0]]].astype(dtype) for name in names})
    first = lanes = np.zeros(1, int)
    if names:  # repeated lanes are looked at once
        _, first, lanes = np.unique(np.stack(list(values.values())), axis=1, return_index=True, return_inverse=True)
        values = {name: each[first] for name, each in values.items()}
    start = base.y0 if shot.law.near is None else base.model.state(shot.law.near)
    given = eqx.tree_at(lambda each: each.y0, base, start)
    make = build(tuple(values))

    def lane(values: Any) -> Any:
        problem = make(given, values)
        return jax.tree.map(lambda leaf: jnp.asarray(leaf), (problem.model, problem.y0))

    models, starts = jax.jit(jax.vmap(lane, axis_size=first.size))(values)
    resonators, which, stable = shot.law.fitted(models, starts)
    noise = Shot(shot.law, shot.size, resonators, jnp.asarray(stable), jnp.zeros((), int))
    return dataclasses.replace(base, noise=noise), (along, which[lanes].reshape(sizes))


class Fluctuating(AbstractUniform):
    """Equal steps of a state with its resonators, which are carried on from stretch to stretch."""

    stretch: Callable[..., Stretch] = eqx.field(static=True)
    short: Callable[[Problem], Callable[[Values, Any, Values], Any]] = eqx.field(static=True)
    pairs: bool = eqx.field(static=True, default=True)
    smooth: bool = eqx.field(static=True, default=False)
    reverse: bool = eqx.field(static=True, default=False)
    fusible: ClassVar[bool] = False

    def begin(self, problem: Problem) -> Any:
        root = problem.noise.own().root
        count = root.shape[-1] // 2
        numbers = normals(problem.key, jnp.arange(count, dtype=jnp.uint32), jnp.ones(count, jnp.uint32))
        return problem.y0, (root @ jnp.concatenate(numbers).astype(root.dtype)).reshape(count, 2)

    def shown(self, problem: Problem, y: Any) -> Any:
        return y[0]


@dataclasses.dataclass(frozen=True)
class ShotStretch:
    """Equal steps with shot noise, for `Fluctuating`; step k of the lane has the counter `first` + k."""

    pairs: bool

    def __call__(self, problem: Problem, start: Values, stop: Values, steps: Values, first: Any) -> Stretch:
        kicked = kicking(problem, start, stop, steps)
        kicks = resonant_kicks(problem.model, problem.noise.own(), (stop - start) / steps / problem.model.tau, ())

        def advance(i: Values, carried: Any) -> Any:
            z, x = carried
            noise = kicks([each.astype(x.dtype) for each in normals_of_step(problem.key, first, i, self.pairs)], x)
            return kicked.step(i, z, noise.before, noise.after), noise.x

        return Stretch(
            lambda carried: (kicked.enter(carried[0]), carried[1]),
            advance,
            lambda i, carried: (kicked.leave(i, carried[0]), carried[1]),
        )
