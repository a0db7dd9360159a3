"""A moment of a lane as observables see it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._types import Values
from ..mechanics.channels import Problem, channel_rate, channel_value
from .packing import packer


@dataclasses.dataclass(frozen=True)
class Point:
    """A moment that the solver visits, as an observable sees it.

    `weight` is the trapezoid weight of the moment in ∫ dt; `edge` is −1 where a stretch of steps of length `h` begins, +1
    where it ends, 0 within it (the Euler–Maclaurin corrections need it). `since` is the time since the last point, 0 where a
    stretch begins or ends; `long` where steps may be as long as what is observed (adaptive methods); `pairs` as in `packer`.
    Channels are computed when asked for.
    """

    problem: Problem
    t: Values
    y: Any
    h: Values
    weight: Values
    edge: int = 0
    since: Values | float = 0.0
    long: bool = False
    pairs: bool = False

    def channel(self, name: str) -> Values:
        return channel_value(name, self.problem, self.t, self.y)

    def rate(self, name: str) -> Values:
        return channel_rate(name, self.problem, self.t, self.y)

    def bend(self, name: str) -> Values:
        """The second derivative along the motion."""
        flow = self.problem.flow(self.t, self.y)
        rate = lambda t, y: channel_rate(name, self.problem, t, y)
        return jax.jvp(rate, (self.t, self.y), (jnp.ones_like(self.t), flow))[1]

    def once(self, tree: PyTree) -> Any:
        """`tree`, computed once for all that use it, and not once more in the kernel of each."""
        pack, unpack = packer(tree, self.pairs)
        return unpack(jax.lax.optimization_barrier(pack(tree)))
