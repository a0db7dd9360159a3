"""The order-4 splitting of networks: the force-gradient step of `solvers/mobius.py`, laid out for a sweep.

    B(h/6) A(h/2) B̃(2h/3) A(h/2) B(h/6)

with the exact flow A of uncoupled nodes and the kick B of v by f_i = J_i R_i + G Σ_j W_ij R_j + c_i(t), h in units of each
node's τ. A step applies the weights three times: the kick that ends a step is kept for the next. (The processed splitting of
single populations takes one flow per step, not two, but more steps; in a network the weights cost more than the flows.)
"""

from typing import Any

import jax.numpy as jnp

from .._types import Values
from ..models.stimulus import input_at
from .channels import Problem, just_inside
from .splitting import RealMap, Stretch, apply_map, real_map


def network_map(problem: Problem, start: Values, stop: Values, steps: Values) -> tuple[Values, RealMap]:
    """What the steps of a stretch share: the input of its midpoint, and the exact flow over half a step under that input."""
    model = problem.model
    tau = jnp.broadcast_to(model.tau, problem.nodes)  # pyright: ignore[reportAttributeAccessIssue]
    riccati = model.riccati()  # pyright: ignore[reportAttributeAccessIssue]
    h = (stop - start) / steps / tau
    # The input of the stretch's midpoint belongs to A, what differs from it to B: piecewise constant input is exact.
    middle = input_at(problem.stimulus, (start + stop) / 2)
    return middle, real_map(riccati.eta + middle, riccati.Delta, h / 2)


def network_stretch(
    problem: Problem, start: Values, stop: Values, steps: Values, first: Any = None, shared: Any = None
) -> Stretch:
    """`steps` equal force-gradient steps from `start` to `stop`; variables are x = π R, v and f, each (n,). `shared` is
    `network_map`, where it is known."""
    model, stimulus = problem.model, problem.stimulus
    tau = jnp.broadcast_to(model.tau, problem.nodes)  # pyright: ignore[reportAttributeAccessIssue]
    dt = (stop - start) / steps
    h = dt / tau
    middle, half = network_map(problem, start, stop, steps) if shared is None else shared

    def recurrent(x: Values) -> Values:
        return model.drive(x / jnp.pi)  # pyright: ignore[reportAttributeAccessIssue]

    def force(t: Values, x: Values) -> Values:
        f = recurrent(x)
        return f if stimulus is None else f + input_at(stimulus, just_inside(t, start, stop)) - middle

    def enter(y: Any) -> Any:
        x = jnp.pi * tau * y.r
        return x, y.v, force(start, x)

    def advance(i: Values, z: Any) -> Any:
        x, v, f = z
        t = start + i * dt
        x, v = apply_map(half, x, v + h / 6 * f)
        push = h * force(t + dt / 2, x)
        v = v + 2 / 3 * push + h / 36 * (2 * recurrent(x * h * push) - push**2)
        x, v = apply_map(half, x, v)
        f = force(t + dt, x)
        return x, v + h / 6 * f, f

    def leave(i: Values, z: Any) -> Any:
        x, v, _ = z
        return type(problem.y0)(r=x / (jnp.pi * tau), v=v)

    return Stretch(enter, advance, leave)
