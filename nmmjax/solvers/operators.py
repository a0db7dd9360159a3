"""The operators that splittings of Riccati populations are made of, and the steps made of them (docs/theory.md §6).

    A   the exact flow without the drive, a Möbius map of W = π R + i v: `Flow`, or `RealMap` for many steps of one length
    B   the kick of v by the drive at frozen R
    B̃   the force-gradient kick, v += (2h/3) f + (h³/36)(2 R f f′ − f²): with it order 4 needs no step backwards

Source: Chin, Phys. Lett. A 226:344 (1997) for the composition with B̃.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._types import Values
from ..models.base import require_offer
from ..models.stimulus import input_at
from .term import PopulationTerm

# Below |σh|² of this, series; above, closed forms. Nine terms reach float64 rounding there.
_SERIES = 0.25


class Flow(eqx.Module):
    """The Möbius map W ↦ (c W − i s₁)/(c + i s₂ W) of the coupling-free population over one step, as real numbers.

    All entries are scaled by exp(−Re σh), so that they neither overflow nor lose the map's determinant.
    """

    c: tuple[Values, Values]
    s1: tuple[Values, Values]
    s2: tuple[Values, Values]
    rate: tuple[Values, Values, Values, Values]

    def __call__(self, R: Values, v: Values) -> tuple[Values, Values]:
        """(R, v) after the step; R stays positive, and at Δ = 0 no large numbers are subtracted."""
        (cr, ci), (ar, ai), (sr, si) = self.c, self.s1, self.s2
        linear, square, constant, cross = self.rate
        x = jnp.pi * R
        over_r, over_i = cr * x - ci * v + ai, cr * v + ci * x - ar
        under_r, under_i = cr - sr * v - si * x, ci + sr * x - si * v
        scale = 1 / (under_r**2 + under_i**2)
        # Forward in time the last three terms are Δ∫|ψ|² ≥ 0; the bounds only catch rounding, and underflow of R to 0.
        forward = constant >= 0
        source = square * (x**2 + v**2) + constant - cross * v
        source = jnp.where(forward & (source < 0), 0, source)  # not `maximum`, which halves the gradient at Δ = 0
        smallest = 2.0**24 * float(jnp.finfo(x.dtype).tiny)
        R_next = (linear * x + source) * scale / jnp.pi
        return jnp.where(forward & (R_next < smallest), smallest, R_next), (over_i * under_r - over_r * under_i) * scale


def mobius_flow(eta: Values, Delta: Values, h: Values) -> Flow:
    """The exact flow of Ẇ = Δ + i(η − W²) over h; smooth in all arguments, also if σ = √(iΔ − η) vanishes."""
    z2 = jax.lax.complex(-eta * h**2, Delta * h**2)
    small = z2.real**2 + z2.imag**2 < _SERIES**2
    zero, one = jnp.zeros_like(z2), jnp.ones_like(z2)

    # Closed form, times exp(−a) where z = σh = a + ib, a ≥ 0.
    root = jnp.sqrt(jnp.where(small, one, z2))
    a, b = root.real, root.imag
    decay = jnp.exp(-2 * a)
    even, odd = (1 + decay) / 2, -jnp.expm1(-2 * a) / 2
    cosh = jax.lax.complex(even * jnp.cos(b), odd * jnp.sin(b))
    sinhc = jax.lax.complex(odd * jnp.cos(b), even * jnp.sin(b)) / root

    # Series of the entire functions cosh √x and sinh(√x)/√x.
    x = jnp.where(small, z2, zero)
    cosh_series, sinhc_series = one, one
    for n in range(9, 0, -1):
        cosh_series = 1 + x * cosh_series / ((2 * n - 1) * (2 * n))
        sinhc_series = 1 + x * sinhc_series / ((2 * n) * (2 * n + 1))

    c = jnp.where(small, cosh_series, cosh)
    s2 = jnp.where(small, sinhc_series, sinhc)
    determinant = jnp.where(small, jnp.ones_like(decay), decay)
    cr, ci, sr, si = c.real, c.imag, h * s2.real, h * s2.imag
    ar, ai = -eta * sr - Delta * si, Delta * sr - eta * si  # s₁ = σ² s₂
    # Re W after the step = (linear π R + square |W|² + constant − cross v)/|c + i s₂ W|²: written so that nothing cancels.
    linear = determinant + 2 * (ci**2 + eta * si**2 - Delta * sr * si)
    square = ci * sr - cr * si
    constant = ai * cr - ar * ci
    cross = Delta * (sr**2 + si**2)
    return Flow((cr, ci), (ar, ai), (sr, si), (linear, square, constant, cross))


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
    # Dividing by i s₂ halves the coefficients. If a half-period is hit exactly, s₂ = 0, and a is only very large.
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


def force_gradient(
    z: tuple[Values, Values, Values],
    h: Values,
    flow: Callable[[Values, Values], tuple[Values, Values]],
    middle: Callable[[Values], Values],
    end: Callable[[Values], Values],
    turn: Callable[[Values, Values], Values],
    riccati: Any = None,
    random: Any = 0.0,
) -> tuple[Values, Values, Values]:
    """One step of order 4, B(h/6) A(h/2) B̃(2h/3) A(h/2) B(h/6), of z = (position, v, f).

    The position is R or proportional to it. `flow` is A(h/2); `middle` and `end` give f there; `turn(position, push)` is
    Σ_j (∂f_i/∂R_j) R_j h push_j with push = h f. f at the end is returned, as the next step begins with it. With several
    modes, known to `riccati`, position and v are theirs, the others take the population's own position, and all get the
    same kick: B̃ needs no more than that this position doesn't change if v shifts, and is linear in positions and v.
    `random` is added to v with B̃.
    """
    own = (lambda x, v: x) if riccati is None else (lambda x, v: riccati.total(x, v)[0])
    over = (lambda kick: kick) if riccati is None else riccati.over
    x, v, f = z
    x, v = flow(x, v + over(h / 6 * f))
    R = own(x, v)
    push = h * middle(R)
    v = v + over(2 / 3 * push) + over(h / 36 * (2 * turn(R, push) - push**2)) + random
    x, v = flow(x, v)
    f = end(own(x, v))
    return x, v + over(h / 6 * f), f


def step_functions(term: PopulationTerm) -> tuple[Any, Callable[[Values], Values], Any]:
    """(Riccati constants, drive, stimulus) of a term; refuses models without an exactly solvable part."""
    model: Any = term.model
    require_offer(model, "splitting", also=" for a Möbius solver (use `diffrax.Tsit5()`)")
    rule = "be without slow terms other than a synapse for a Möbius solver (use `diffrax.Tsit5()`)"
    require("model", model, rule, not model.slow_names or model.filters)
    return model.riccati(), model.drive, term.stimulus


def time_constant_of(term: PopulationTerm) -> Values:
    """τ of the population, or of every node."""
    model: Any = term.model
    return model.tau


class Moving(NamedTuple):
    """The variables that a splitting moves: R and v (of all modes, if there are several), dimensionless, and those of a
    synapse by name."""

    R: Values
    v: Values
    synapse: dict[str, Values]


def force_gradient_step(term: PopulationTerm, t: Values, h: Values, y: Moving) -> Moving:
    """One order-4 step of physical length `h`; populations without gap junctions, conductances and synapses."""
    riccati, drive, stimulus = step_functions(term)
    step = h / time_constant_of(term)
    middle = input_at(stimulus, t + h / 2)
    over = riccati.over
    half = mobius_flow(riccati.eta + over(middle), riccati.Delta, over(step / 2))
    force_at = lambda time: lambda R: drive(R) + (input_at(stimulus, time) - middle)
    # Nodes of a network may differ in τ, so in their steps.
    turn = lambda R, push: jax.jvp(drive, (R,), (R * step * push,))[1]
    first = force_at(t)(riccati.total(y.R, y.v)[0])
    R, v, _ = force_gradient((y.R, y.v, first), step, half, drive, force_at(t + h), turn, riccati)
    return Moving(R, v, y.synapse)


def strang_step(term: PopulationTerm, t: Values, h: Values, y: Moving) -> Moving:
    """One order-2, time-symmetric step of physical length `h`; every term of the MPR model but slow ones, and synapses."""
    riccati, drive, stimulus = step_functions(term)
    model: Any = term.model
    tau = time_constant_of(term)
    step = h / tau
    middle = input_at(stimulus, t + h / 2)
    g = riccati.g
    eta, over = riccati.eta + riccati.over(middle), riccati.over
    nothing = jnp.zeros_like(eta if riccati.modes is None else eta[0])
    shift = nothing if g is None else g / 2

    def kick(y: Moving, current: Values) -> Moving:
        synapse, (R, v) = y.synapse, riccati.total(y.R, y.v)
        if synapse:
            # At frozen R the synapse is solved exactly, and what it delivers on the way is the kick.
            synapse, delivered = model.filters.held(R / tau, synapse, h / 2)
            push = drive(delivered * tau) / tau + step / 2 * (current - middle)
        else:
            push = step / 2 * (drive(R) + (current - middle))
        if g is None:
            return Moving(y.R, y.v + over(push), synapse)
        growth = g * step / 2
        tiny = jnp.abs(growth) < 1e-8
        factor = jnp.where(tiny, 1 + growth / 2, jnp.expm1(growth) / jnp.where(tiny, jnp.ones_like(growth), growth))
        after = shift + (v - shift) * jnp.exp(growth) + factor * push
        return Moving(y.R, after if riccati.modes is None else y.v + over(after - v), synapse)

    def contract(R: Values, v: Values) -> tuple[Values, Values]:
        if riccati.k is None:
            return R, v
        factor, E_s = over(1 / (1 + riccati.k * riccati.total(R, v)[0] * step / 2)), over(riccati.E_s)
        return R * factor, E_s + (v - E_s) * factor

    y = kick(y, input_at(stimulus, t))
    R, v = contract(y.R, y.v)
    # A conductance that is held, a leak, is a shift of v by half of it, and a current.
    held = riccati.leak if model.filters is None else model.held_leak(riccati.total(R, v)[0] / tau, y.synapse)
    half = nothing if held is None else held[0] / 2
    leak = half if held is None else held[0] * held[1] - half**2
    flow = mobius_flow(eta + over(leak + shift**2), riccati.Delta, over(step))
    R, u = flow(R, v - over(shift) - over(half))
    R, v = contract(R, u + over(shift) + over(half))
    return kick(Moving(R, v, y.synapse), input_at(stimulus, t + h))


def multi_product_weights(counts: tuple[int, ...], base_order: int) -> tuple[float, ...]:
    """Weights a with Σ a = 1 and Σ a n^(−p) = 0 for p = base_order, base_order + 2, … over the substep numbers n."""
    powers = [0.0] + [-(base_order + 2.0 * k) for k in range(len(counts) - 1)]
    matrix = np.array([[float(n) ** p for n in counts] for p in powers])
    return tuple(np.linalg.solve(matrix, np.eye(len(counts))[0]).tolist())
