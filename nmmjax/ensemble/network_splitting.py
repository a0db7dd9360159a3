"""The order-4 splitting of networks: the force-gradient step laid out for a sweep.

    B(h/6) A(h/2) B̃(2h/3) A(h/2) B(h/6)

with the exact flow A of uncoupled nodes and the kick B of v by f_i = J_i R_i + G Σ_j W_ij R_j + c_i(t), h in units of each
node's τ. A step applies the weights three times: the kick that ends a step is kept for the next. (The processed splitting of
single populations takes one flow per step, not two, but more steps; in a network the weights cost more than the flows.)
"""

from typing import Any

import jax.numpy as jnp

from .._types import Values
from ..mechanics.channels import Problem
from ..solvers.operators import RealMap, apply_map, force_gradient
from .splitting import Stretch, pieces_of, splitting_map


def network_map(problem: Problem, start: Values, stop: Values, steps: Values) -> tuple[Values, RealMap]:
    """Shared data of the steps of a stretch: the input of its midpoint, and the exact flow over half a step under that
    input."""
    return splitting_map(problem, start, stop, steps, parts=2)


def network_stretch(
    problem: Problem, start: Values, stop: Values, steps: Values, first: object = None, shared: Any = None
) -> Stretch:
    """`steps` equal force-gradient steps from `start` to `stop`; variables are x = π R, v and f, each (n,). `shared` is
    `network_map`, if it is known."""
    tau, dt, h, half, drive, force, _, state = pieces_of(problem, start, stop, steps, shared, parts=2)

    def enter(y) -> Any:
        x = jnp.pi * tau * y.r
        return x, y.v, force(start, x)

    def advance(i: Values, z) -> Any:
        t = start + i * dt
        flow = lambda x, v: apply_map(half, x, v)
        turn = lambda x, push: drive(x * h * push)
        return force_gradient(z, h, flow, lambda x: force(t + dt / 2, x), lambda x: force(t + dt, x), turn)

    def leave(i: Values, z) -> Any:
        x, v, _ = z
        return state(x, v)

    return Stretch(enter, advance, leave)
