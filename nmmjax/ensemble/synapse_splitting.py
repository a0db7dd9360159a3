"""The processed Möbius splitting of populations whose coupling passes a synapse: order 4 with one Möbius map per step.

Between the exact flow A of uncoupled nodes and the exact flow B at frozen rates, v′ = f(s, t)/τ and x′ = M x + b r for the
synapse's chain x with its output s, the kernel

    K = E(h³/48) B(h/2) A(h) B(h/2) E(h³/48),    E(ε) = exp(ε [B, [A, B]])

is conjugate to a map of order 4 by P = exp((h²/12)[A, B]), as in `splitting.py`. With r the rate, F = f/τ, A_r = Δ/(πτ²) +
2 r v/τ the rate's own change, and Ḟ and ṡ the changes along B,

    [A, B]        r: −2 r F/τ           v: −2 v F/τ + ∂F/∂t                       x: b A_r
    [B, [A, B]]   r: −2 r Ḟ/τ           v: −2 (F² + v Ḟ)/τ − f(s: b_s A_r)/τ      x: 4 b r F/τ − M b A_r

(b_s is the part of b that drives the output itself; the chain of an alpha function has none.) Unlike without a synapse
these fields are no kicks, so E and P are midpoint steps, of r in a form that keeps r > 0. Where two E meet they are one,
time-symmetric to the order h⁹: the error expands in h⁴, h⁶, as extrapolation wants it. States between steps stand before it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from .._types import Values
from ..models.state import State
from ..solvers.operators import apply_map
from .channels import Problem
from .splitting import Stretch, pieces_of

Chain = dict[str, Values]


class Moved(NamedTuple):
    """x = π τ r and v, and the synapse's variables by name, times π τ."""

    x: Values
    v: Values
    synapse: Chain


class HalfKick(NamedTuple):
    """The synapse over half a step at a held rate, a linear map of (rate, chain): rows of (chain, ∫ output dt)."""

    after: dict[str, list[Values]]  # in the chain's order, which a dictionary in a loop's carry loses
    delivered: list[Values]

    def __call__(self, x: Values, synapse: Chain) -> tuple[Chain, Values]:
        given = [synapse[name] for name in self.after]

        def row(factors: list[Values]) -> Values:
            total = factors[0] * x
            for factor, each in zip(factors[1:], given, strict=True):
                total = total + factor * each
            return total

        return {name: row(factors) for name, factors in self.after.items()}, row(self.delivered)


def half_kick(problem: Problem, dt: Values) -> HalfKick:
    """The exact solution of a population's synapse over dt/2, as coefficients that all steps share."""
    chain = problem.model.filters
    zero, one = jnp.zeros(problem.nodes, dt.dtype), jnp.ones(problem.nodes, dt.dtype)
    columns = []
    for source in (None, *chain.stages):
        unit = {name: one if name == source else zero for name in chain.stages}
        columns.append(chain.held(one if source is None else zero, unit, dt / 2))
    return HalfKick({name: [after[name] for after, _ in columns] for name in chain.stages}, [each for _, each in columns])


def entered(problem: Problem) -> Callable[[State], Moved]:
    """A state ↦ the splitting's variables."""
    scale = jnp.pi * jnp.broadcast_to(problem.model.tau, problem.nodes)
    return lambda y: Moved(scale * y.r, y.v, {name: scale * getattr(y, name) for name in problem.model.slow_names})


def left(problem: Problem) -> Callable[[Values, Moved], State]:
    """The number of steps, and the splitting's variables ↦ the state."""
    scale = 1 / (jnp.pi * jnp.broadcast_to(problem.model.tau, problem.nodes))
    return lambda i, z: State(r=z.x * scale, v=z.v, **{name: each * scale for name, each in z.synapse.items()})


def synapse_stretch(
    problem: Problem, start: Values, stop: Values, steps: Values, first: object = None, shared: Any = None
) -> Stretch:
    """`steps` equal steps of the processed splitting with a synapse from `start` to `stop` (none if both are equal);
    `shared` is `splitting_map`, if it is known."""
    model: Any = problem.model
    tau, dt, _, flow, drive, _, rest, _ = pieces_of(problem, start, stop, steps, shared)
    chain, half, Delta = model.filters, half_kick(problem, dt), model.riccati().Delta
    *_, output = chain.stages
    zero, one = jnp.zeros_like(tau), jnp.ones_like(tau)
    # The chain's rates are linear in (rate, variables): b and M b from those of unit vectors.
    changes = lambda x, synapse: chain.rates(State(r=x, v=zero, **synapse))
    b = changes(one, dict.fromkeys(chain.stages, zero))
    b2 = changes(zero, b)

    def beyond(t: Values) -> tuple[Values, Values]:
        """The input beyond that of the flow, and its slope in time."""
        if problem.stimulus is None:
            return zero, zero
        c, slope = rest(t)
        return c, slope / tau

    def kick(c: Values, z: Moved) -> Moved:
        synapse, delivered = half(z.x, z.synapse)
        return Moved(z.x, z.v + (drive(delivered) + dt / 2 * c) / tau, synapse)

    def commutator(z: Moved, c: Values, slope: Values) -> Moved:
        """[A, B], the change of ln x first."""
        F = (drive(z.synapse[output]) + c) / tau
        rate = (Delta + 2 * z.x * z.v) / tau
        return Moved(-2 * F / tau, (slope - 2 * z.v * F) / tau, {name: each * rate for name, each in b.items()})

    def correction(z: Moved, c: Values) -> Moved:
        """[B, [A, B]], the change of ln x first."""
        F = (drive(z.synapse[output]) + c) / tau
        F_dot = drive(changes(z.x, z.synapse)[output]) / tau
        rate = (Delta + 2 * z.x * z.v) / tau
        v = -2 * (F**2 + z.v * F_dot)
        if len(b) == 1:
            v = v - drive(b[output] * rate)
        synapse = {name: 4 * b[name] * z.x * F / tau - b2[name] * rate for name in b}
        return Moved(-2 * F_dot / tau, v / tau, synapse)

    def along(field: Any, z: Moved, size: Values) -> Moved:
        """exp(size × field) by the midpoint rule; x stays positive."""

        def moved(by: Moved, size: Values) -> Moved:
            q = size * by.x
            synapse = {name: each + size * by.synapse[name] for name, each in z.synapse.items()}
            return Moved(z.x / (1 - q + q**2 / 2), z.v + size * by.v, synapse)

        return moved(field(moved(field(z), size / 2)), size)

    def enter(y) -> Any:
        c, slope = beyond(start)
        z = along(lambda z: commutator(z, c, slope), entered(problem)(y), dt**2 / 12)
        return along(lambda z: correction(z, c), z, -(dt**3) / 48)

    def advance(i: Values, z: Moved) -> Any:
        t = start + i * dt
        c, _ = beyond(t)
        x, v, synapse = kick(c, along(lambda z: correction(z, c), z, dt**3 / 24))
        x, v = apply_map(flow, x, v)
        return kick(beyond(t + dt)[0], Moved(x, v, synapse))

    def leave(i: Values, z: Moved) -> Any:
        c, slope = beyond(start + i * dt)
        z = along(lambda z: correction(z, c), z, dt**3 / 48)
        return left(problem)(i, along(lambda z: commutator(z, c, slope), z, -(dt**2) / 12))

    return Stretch(enter, advance, leave)
