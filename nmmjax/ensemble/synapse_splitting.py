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
time-symmetric to the order h⁹: the error expands in h⁴, h⁶, as extrapolation wants it. States between steps are those
right behind A: what the synapse does then is computed without the map, which costs the most.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from .._types import Values
from ..mechanics.channels import Problem
from ..models.state import State
from ..solvers.operators import apply_map
from .splitting import Stretch, pieces_of

Chain = dict[str, Values]


class Moved(NamedTuple):
    """x = π τ r and v, and the synapse's variables by name, times π τ."""

    x: Values
    v: Values
    synapse: Chain


class Row(NamedTuple):
    """A linear function of the rate and the synapse's variables: a number, made of shared factors."""

    rate: Values
    chain: Chain

    def __call__(self, x: Values, synapse: Chain) -> Values:
        total = self.rate * x
        for name, factor in self.chain.items():
            total = total + factor * synapse[name]
        return total


def rows_of(function: Callable[[Values, Chain], Chain], names: tuple[str, ...], one: Values) -> dict[str, Row]:
    """A linear function of (rate, synapse) as rows of its matrix, found by unit vectors: divisions stay outside loops."""
    zero = jnp.zeros_like(one)
    unit = lambda chosen: {name: one if name == chosen else zero for name in names}
    by_rate = function(one, unit(None))
    by_name = {name: function(zero, unit(name)) for name in names}
    return {out: Row(by_rate[out], {name: by_name[name][out] for name in names}) for out in by_rate}


def half_kick(problem: Problem, dt: Values) -> Callable[[Values, Chain], tuple[Chain, Values]]:
    """(rate, synapse) ↦ (synapse, ∫ output dt) after dt/2 at a held rate, exactly."""
    chain = problem.model.filters
    one = jnp.ones(problem.nodes, dt.dtype)

    def held(x: Values, synapse: Chain) -> Chain:
        after, delivered = chain.held(x, synapse, dt / 2)
        return {**after, "": delivered}

    rows = rows_of(held, tuple(chain.stages), one)
    delivered = rows.pop("")
    return lambda x, synapse: ({name: row(x, synapse) for name, row in rows.items()}, delivered(x, synapse))


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
    zero, one, share = jnp.zeros_like(tau), jnp.ones_like(tau), 1 / tau
    # The chain's rates of change, M x + b r, and M b.
    changes = rows_of(lambda x, synapse: chain.rates(State(r=x, v=zero, **synapse)), tuple(chain.stages), one)
    b = {name: row.rate for name, row in changes.items()}
    b2 = {name: row(zero, b) for name, row in changes.items()}

    def beyond(t: Values) -> tuple[Values, Values]:
        """The input beyond that of the flow, and its slope in time, over τ."""
        if problem.stimulus is None:
            return zero, zero
        c, slope = rest(t)
        return c * share, slope * share**2

    # Of one population the drive is a factor, of a network a sum over the weights.
    factor = share * drive(one)
    push = (lambda x: share * drive(x)) if problem.nodes else (lambda x: factor * x)
    source, twice = share * Delta, 2 * share

    def kick(c: Values, z: Moved, half: Any = half, dt: Values = dt) -> Moved:
        synapse, delivered = half(z.x, z.synapse)
        return Moved(z.x, z.v + (push(delivered) if problem.stimulus is None else push(delivered) + dt / 2 * c), synapse)

    def commutator(z: Moved, c: Values, slope: Values) -> Moved:
        """[A, B], the change of ln x first."""
        F = twice * (push(z.synapse[output]) + c)
        rate = source + twice * z.x * z.v
        return Moved(-F, slope - z.v * F, {name: each * rate for name, each in b.items()})

    def correction(z: Moved, c: Values) -> Moved:
        """[B, [A, B]], the change of ln x first."""
        F = push(z.synapse[output]) if problem.stimulus is None else push(z.synapse[output]) + c
        F_dot = twice * push(changes[output](z.x, z.synapse))
        rate = source + twice * z.x * z.v
        v = -(twice * F**2 + z.v * F_dot)
        if len(b) == 1:
            v = v - push(b[output] * rate)
        mixed = 2 * twice * z.x * F
        return Moved(-F_dot, v, {name: b[name] * mixed - b2[name] * rate for name in b})

    def along(field: Any, z: Moved, size: Values) -> Moved:
        """exp(size × field) by the midpoint rule; x stays positive."""

        def moved(by: Moved, size: Values) -> Moved:
            q = size * by.x
            synapse = {name: each + size * by.synapse[name] for name, each in z.synapse.items()}
            return Moved(z.x * (1 + q + q**2 / 2), z.v + size * by.v, synapse)

        return moved(field(moved(field(z), size / 2)), size)

    def enter(y) -> Any:
        c, slope = beyond(start)
        z = along(lambda z: commutator(z, c, slope), entered(problem)(y), dt**2 / 12)
        return kick(c, along(lambda z: correction(z, c), z, -(dt**3) / 48), half_kick(problem, -dt), -dt)

    def advance(i: Values, z: Moved) -> Any:
        c, _ = beyond(start + i * dt)
        z = kick(c, along(lambda z: correction(z, c), kick(c, z), dt**3 / 24))
        return Moved(*apply_map(flow, z.x, z.v), z.synapse)

    def leave(i: Values, z: Moved) -> Any:
        c, slope = beyond(start + i * dt)
        z = along(lambda z: correction(z, c), kick(c, z), dt**3 / 48)
        return left(problem)(i, along(lambda z: commutator(z, c, slope), z, -(dt**2) / 12))

    return Stretch(enter, advance, leave)
