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
from ..models.stimulus import input_at
from ..solvers.mobius import force_gradient_step, mobius_flow
from ..solvers.term import PopulationTerm
from .channels import Problem, just_inside


class Stretch(NamedTuple):
    """Equal steps from one time to another. `enter` maps a state to the integrator's own variables, `leave` back."""

    enter: Callable[[Any], Any]
    advance: Callable[[Values, Any], Any]
    leave: Callable[[Values, Any], Any]


class RealMap(NamedTuple):
    """The Möbius map W ↦ (a W + e)/(W + a), e = η − iΔ, in real numbers; few, since every step loads them."""

    a: tuple[Values, Values]
    rate: tuple[Values, Values]
    voltage: tuple[Values, Values]
    Delta: Values


def real_map(eta: Values, Delta: Values, h: Values) -> RealMap:
    """The exact flow over h of the population without coupling, for `apply_map`."""
    flow = mobius_flow(eta, Delta, h)
    (cr, ci), (ar, ai), (sr, si) = flow.c, flow.s1, flow.s2
    linear, square, constant, _ = flow.rate
    # Dividing by i s₂ halves the coefficients. Where a half-period is hit exactly, s₂ = 0, and a is only very large.
    size = sr**2 + si**2
    least = jnp.asarray(float(jnp.finfo(size.dtype).eps) ** 2, size.dtype)
    scale = 1 / jnp.where(size < least, least, size)
    own = cr**2 + ci**2 + ar * sr + ai * si
    return RealMap(
        a=(square * scale, -(cr * sr + ci * si) * scale),
        rate=(linear * scale, constant * scale),
        voltage=(own * scale, -(ar * cr + ai * ci) * scale),
        Delta=Delta,
    )


def apply_map(mobius: RealMap, x: Values, y: Values) -> tuple[Values, Values]:
    """(x, y) = (π R, v) after the map."""
    a_r, a_i = mobius.a
    linear, constant = mobius.rate
    own, push = mobius.voltage
    m = x * x + y * y
    under_r, under_i = x + a_r, y + a_i
    scale = 1 / (under_r * under_r + under_i * under_i)
    # Forward in time the source is Δ∫|ψ|² ≥ 0; the two bounds only catch rounding, and underflow of R to 0.
    source = constant + a_r * m - mobius.Delta * y
    rate = (linear * x + jnp.where(source < 0, jnp.zeros_like(source), source)) * scale
    smallest = jnp.asarray(2.0**24 * float(jnp.finfo(x.dtype).tiny), x.dtype)
    return jnp.where(rate < smallest, smallest, rate), (own * y + a_i * m + push - mobius.Delta * x) * scale


def offers_splitting(model: Any) -> bool:
    """Whether the model is a Riccati population with linear drive, without gap junctions, conductances and slow terms."""
    if not (hasattr(model, "riccati") and hasattr(model, "drive")) or model.slow_terms:
        return False
    riccati = model.riccati()
    return riccati.g is None and riccati.k is None


def splitting_map(problem: Problem, start: Values, stop: Values, steps: Values) -> tuple[Values, RealMap]:
    """What the steps of a stretch share: the input of its midpoint, and the exact flow over one step under that input."""
    model = problem.model
    riccati = model.riccati()  # pyright: ignore[reportAttributeAccessIssue]
    h = (stop - start) / steps / model.tau  # pyright: ignore[reportAttributeAccessIssue]
    # The input of the stretch's midpoint belongs to A, what differs from it to B: piecewise constant input is exact.
    middle = input_at(problem.stimulus, (start + stop) / 2)
    return middle, real_map(riccati.eta + middle, riccati.Delta, h)


def splitting_stretch(
    problem: Problem, start: Values, stop: Values, steps: Values, first: Any = None, shared: Any = None
) -> Stretch:
    """`steps` equal steps of the processed splitting from `start` to `stop` (none where both are equal); `shared` is
    `splitting_map`, where it is known."""
    model, stimulus = problem.model, problem.stimulus
    tau = model.tau  # pyright: ignore[reportAttributeAccessIssue]
    riccati = model.riccati()  # pyright: ignore[reportAttributeAccessIssue]
    zero = jnp.zeros_like(tau)
    _, J = jax.jvp(model.drive, (zero,), (zero + 1,))  # pyright: ignore[reportAttributeAccessIssue]
    dt = (stop - start) / steps
    h = dt / tau
    middle, mobius = splitting_map(problem, start, stop, steps) if shared is None else shared
    k = J / jnp.pi
    linear, gradient = h * k, h**3 / 12 * k**2

    def rest(t: Values) -> tuple[Values, Values]:
        """What the input has beyond `middle`, and its slope per t/tau, taken within the stretch."""
        inside = just_inside(t, start, stop)
        value, slope = jax.jvp(lambda t: input_at(stimulus, t), (inside,), (jnp.ones_like(inside),))
        return value - middle, slope * tau

    def kick(t: Values, x: Values, y: Values, share: float) -> Values:
        y = y + share * x * (linear + gradient * x)
        if stimulus is None:
            return y
        c, _ = rest(t)
        # h f + (h³/24)(4 R f J − 2 f²) at f = J R + c
        return y + share * (h * c - h**3 / 12 * c**2)

    def process(t: Values, x: Values, y: Values, sign: int) -> tuple[Values, Values]:
        s = sign * h**2 / 12
        c, slope = (zero, zero) if stimulus is None else rest(t)
        x = x * (1 - c * s) / (1 + c * s + 2 * k * s * x)
        return x, (y * (1 - c * s) + s * (k * riccati.Delta + slope)) / (1 + c * s)

    def enter(y: Any) -> Any:
        x, v = process(start, jnp.pi * tau * y.r, y.v, 1)
        return x, kick(start, x, v, -0.5)

    def advance(i: Values, z: Any) -> Any:
        x, v = z
        return apply_map(mobius, x, kick(start + i * dt, x, v, 1.0))

    def leave(i: Values, z: Any) -> Any:
        t = start + i * dt
        x, v = z
        x, v = process(t, x, kick(t, x, v, 0.5), -1)
        return type(problem.y0)(r=x / (jnp.pi * tau), v=v)

    return Stretch(enter, advance, leave)


def splitting_flow(problem: Problem) -> Callable[[Values, Any, Values], Any]:
    """(t, y, δ) ↦ the state at t + δ by one step of order 4, for |δ| within one step."""
    term = PopulationTerm(problem.model, problem.stimulus)
    tau = problem.model.tau  # pyright: ignore[reportAttributeAccessIssue]

    def flow(t: Values, y: Any, delta: Values) -> Any:
        R, v = force_gradient_step(term, t, delta, tau * y.r, y.v)
        return type(y)(r=R / tau, v=v)

    return flow
