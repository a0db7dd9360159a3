"""The processed Möbius splitting: order 4 with one Möbius map and one kick per step.

Between the exact flow A of Ẇ = Δ + i(η − W²) and the kick B of v by f(R, t) = J R + c(t), the kernel

    K = B̃(h/2) A(h) B̃(h/2),    B̃(h): v += h f + (h³/24)(4 R f ∂f/∂R − 2 f²) with R frozen

is of order 2 only, but conjugate to one of order 4: Φ(h) = P⁻¹ K P with P = exp((h²/12)[A, B]) (processing; Rowlands 1991;
Takahashi & Imada 1984; Blanes, Casas & Ros 1999). P is applied where a stretch of steps begins, P⁻¹ where it ends or is
looked at. Here P is in closed form: [A, B] is the field (−2 R f, J Δ/π + ∂c/∂t − 2 v c), whose flow is a Möbius map of R
and an affine map of v. All steps go forward in time, R > 0 for any step, and the error expands in h⁴, h⁶, ….

In real numbers, with x = π R, y = v and m = x² + y², numerator and |denominator|² of the Möbius map are affine in (x, y, m):
the action of SL(2, C) on light-like four-vectors. So R comes out without subtracting large numbers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._types import Values
from ..mechanics.channels import Problem, just_inside
from ..models.stimulus import input_at
from ..numerics.roots import with_slope
from ..solvers.mobius import extrapolate
from ..solvers.operators import Moving, RealMap, apply_map, force_gradient_step, real_map
from ..solvers.term import PopulationTerm


class Stretch(NamedTuple):
    """Equal steps from one time to another. `enter` maps a state to the integrator's own variables, `leave` back."""

    enter: Callable[[Any], Any]
    advance: Callable[[Values, Any], Any]
    leave: Callable[[Values, Any], Any]


def offers_splitting(model: Any) -> bool:
    """Whether the model is a Riccati population with linear drive, without gap junctions, conductances and slow terms other
    than a synapse."""
    if "riccati" not in model.offers or not model.riccati().plain:
        return False
    return not model.slow_names or (model.filters is not None and model.filters.strength is None)


def splitting_map(problem: Problem, start: Values, stop: Values, steps: Values, parts: int = 1) -> tuple[Values, RealMap]:
    """Shared data of the steps of a stretch: the input of its midpoint, and the exact flow under that input, over one of the
    `parts` of a step."""
    model: Any = problem.model
    tau = jnp.broadcast_to(model.tau, problem.nodes)
    riccati = model.riccati()
    h = (stop - start) / steps / tau
    # The input of the stretch's midpoint belongs to A, what differs from it to B: piecewise constant input is exact.
    middle = input_at(problem.stimulus, (start + stop) / 2)
    return middle, real_map(riccati.eta + middle, riccati.Delta, h if parts == 1 else h / parts)


class Pieces(NamedTuple):
    """Shared pieces of the splittings of a stretch, in the variables x = π R and v.

    - `tau`: of every node; `dt`, `h`: the step in time and in units of τ; `flow`: the exact flow that steps share
    - `drive(x)`: the recurrent input; `force(t, x)`: the same with the input beyond that of the flow
    - `rest(t)`: that input and its slope per t/τ; `state(x, v)`: the state
    """

    tau: Values
    dt: Values
    h: Values
    flow: RealMap
    drive: Callable[[Values], Values]
    force: Callable[[Values, Values], Values]
    rest: Callable[[Values], tuple[Values, Values]]
    state: Callable[[Values, Values], Any]


def pieces_of(problem: Problem, start: Values, stop: Values, steps: Values, shared: Any = None, parts: int = 1) -> Pieces:
    """The pieces of `steps` equal steps from `start` to `stop`; `shared` is `splitting_map`, if it is known."""
    model, stimulus = problem.model, problem.stimulus
    tau = jnp.broadcast_to(model.tau, problem.nodes)
    dt = (stop - start) / steps
    h = dt / tau
    middle, flow = splitting_map(problem, start, stop, steps, parts) if shared is None else shared

    def drive(x: Values) -> Values:
        return model.drive(x / jnp.pi)

    def force(t: Values, x: Values) -> Values:
        f = drive(x)
        return f if stimulus is None else f + input_at(stimulus, just_inside(t, start, stop)) - middle

    def rest(t: Values) -> tuple[Values, Values]:
        value, slope = with_slope(lambda t: input_at(stimulus, t), just_inside(t, start, stop))
        return value - middle, slope * tau

    rate = 1 / (jnp.pi * tau)  # of x = 1, before the loop

    def state(x: Values, v: Values) -> Any:
        return type(problem.y0)(r=x * rate, v=v)

    return Pieces(tau, dt, h, flow, drive, force, rest, state)


def splitting_stretch(
    problem: Problem, start: Values, stop: Values, steps: Values, first: object = None, shared: Any = None
) -> Stretch:
    """`steps` equal steps of the processed splitting from `start` to `stop` (none if both are equal); `shared` is
    `splitting_map`, if it is known."""
    model: Any = problem.model
    riccati, zero = model.riccati(), jnp.zeros_like(model.tau)
    _, J = jax.jvp(model.drive, (zero,), (zero + 1,))
    tau, dt, h, flow, _, _, rest, state = pieces_of(problem, start, stop, steps, shared)
    k = J / jnp.pi
    linear, gradient, share = h * k, h**3 / 12 * k**2, h**2 / 12

    def kick(t: Values, x: Values, y: Values, part: float) -> Values:
        y = y + part * x * (linear + gradient * x)
        if problem.stimulus is None:
            return y
        c, _ = rest(t)
        # h f + (h³/24)(4 R f J − 2 f²) at f = J R + c
        return y + part * (h * c - h**3 / 12 * c**2)

    def process(t: Values, x: Values, y: Values, sign: int) -> tuple[Values, Values]:
        s = sign * share
        if problem.stimulus is None:
            return x / (1 + 2 * k * s * x), y + s * k * riccati.Delta
        c, slope = rest(t)
        x = x * (1 - c * s) / (1 + c * s + 2 * k * s * x)
        return x, (y * (1 - c * s) + s * (k * riccati.Delta + slope)) / (1 + c * s)

    def enter(y) -> Any:
        x, v = process(start, jnp.pi * tau * y.r, y.v, 1)
        return x, kick(start, x, v, -0.5)

    def advance(i: Values, z) -> Any:
        x, v = z
        return apply_map(flow, x, kick(start + i * dt, x, v, 1.0))

    def leave(i: Values, z) -> Any:
        t = start + i * dt
        x, v = z
        return state(*process(t, x, kick(t, x, v, 0.5), -1))

    return Stretch(enter, advance, leave)


def splitting_flow(problem: Problem) -> Callable[[Values, Any, Values], Any]:
    """(t, y, δ) ↦ the state at t + δ by one step of order 4, for |δ| within one step."""
    term = PopulationTerm(problem.model, problem.stimulus)
    tau = problem.model.tau
    names = problem.model.slow_names

    def flow(t: Values, y, delta: Values) -> Any:
        before = Moving(tau * y.r, y.v, {name: getattr(y, name) for name in names})
        after = extrapolate(term, t, delta, before, 4)[0] if names else force_gradient_step(term, t, delta, before)
        R, v, synapse = after
        return type(y)(r=R / tau, v=v, **synapse)

    return flow
