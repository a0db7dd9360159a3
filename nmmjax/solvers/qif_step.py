"""Networks of spiking QIF neurons by exact steps (docs/theory.md §A).

One step of length h, in units of τ, splits like the mean field's:

    A   V ↦ (a V + η)/(a − V),  a = √η cot √η h (coth below 0): exact at constant η; a neuron spiked iff V > a (and once more
        for each whole half-turn of √η h)
    B   V ↦ α V + β, the same for all neurons of a population: what they receive from spikes, input and conductances

Half of B stands before A, half after. The half before needs the number of spikes of the step to come; it is foretold from
the last two, and the half after makes up the difference, so that every spike is delivered once. The half after and the next
one before are one affine map: a step reads three numbers per neuron and writes one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Values
from ..models.state import State

_MOST_COUNTED = 2**24  # spikes that float32 counts exactly
_ROUNDS = 60  # of the barycentre's iteration, which converges linearly


class Half(NamedTuple):
    """An affine map of all voltages, V ↦ V e^(−loss) + push (1 − e^(−loss))/loss, (…, 1)."""

    push: Values
    loss: Any  # None without conductances and gap junctions


class Moving(NamedTuple):
    """A network of neurons on its way: voltages (…, N); the half step B that they are still owed; the last two rates; slow
    variables by name."""

    V: Values
    owed: Half
    rates: tuple[Values, Values]
    slow: dict[str, Values]


class Neurons(NamedTuple):
    """What is constant on the way: the mean field, currents η_j and couplings' deviations (…, N), watched neurons'
    numbers."""

    model: Any
    eta: Values
    wide: Any
    watched: Any
    reading: str
    own_spikes: bool

    @property
    def advance(self) -> Callable[..., Any]:
        return own_step if self.own_spikes else neuron_step


class Propagator(NamedTuple):
    """The exact step A over h: V ↦ (a V + η)/(a − V), and its whole half-turns, per neuron and per population."""

    a: Values
    turns: Values
    all_turns: Values


def propagator(eta: Values, h: Values) -> Propagator:
    """Step A over `h` (in units of τ, broadcast against `eta`) at currents `eta`, (…, N)."""
    sigma = jnp.sqrt(jnp.abs(eta))
    angle = sigma * h
    turns = jnp.where(eta > 0, jnp.floor(angle / jnp.pi), 0)
    rest = jnp.where(eta > 0, angle - jnp.pi * turns, angle)
    small = rest < 1e-3  # there, √η cot √η h = 1/h − η h/3, whatever the sign of η
    fine = jnp.where(small, 1, rest)
    cot = jnp.where(eta > 0, 1 / jnp.tan(fine), 1 / jnp.tanh(fine))
    near = jnp.where(turns == 0, 1 / h - eta * h / 3, sigma / jnp.where(rest > 0, rest, 1))
    most = jnp.asarray(1e10, eta.dtype)  # a whole half-turn is no change, for which a is infinite
    a = jnp.where(small, jnp.where((turns > 0) & (rest <= 0), most, near), sigma * cot)
    a = jnp.where(jnp.abs(a) > most, most, a)
    return Propagator(a, turns, jnp.sum(turns, axis=-1))


def turned(V: Values, eta: Values, a: Values, after: Any = None) -> Values:
    """Voltages after step A; a neuron that is at +∞ just at its end is left far out. `after` is a number ≥ 0 per population
    that is computed from the same voltages: named here it comes first, and they are overwritten in place, not copied."""
    tiny = jnp.asarray(float(jnp.finfo(V.dtype).tiny) ** 0.5, V.dtype)
    if after is not None:
        tiny = jnp.where(after >= 0, tiny, jnp.zeros_like(tiny))[..., None]
    under = a - V
    return (a * V + eta) / jnp.where(jnp.abs(under) < tiny, tiny, under)


def spikes(V: Values, step: Propagator) -> Values:
    """Number of spikes in step A of all neurons of each population, from the voltages before it."""
    fired = step.a < V
    if V.shape[-1] < _MOST_COUNTED:
        counted = jnp.sum(jnp.where(fired, jnp.ones((), V.dtype), jnp.zeros((), V.dtype)), axis=-1)
    else:
        counted = jnp.sum(fired, axis=-1, dtype=jnp.int32).astype(V.dtype)
    return counted + step.all_turns


def affine(half: Half) -> tuple[Values, Values]:
    """(α, β) of the map V ↦ α V + β."""
    if half.loss is None:
        return jnp.ones_like(half.push), half.push
    small = jnp.abs(half.loss) < 1e-3
    safe = jnp.where(small, 1, half.loss)
    mean = jnp.where(small, 1 - half.loss / 2 + half.loss**2 / 6, -jnp.expm1(-safe) / safe)
    return jnp.exp(-half.loss), half.push * mean


def order_parameter(V: Values) -> tuple[Values, Values]:
    """(π τ r, v) of voltages (…, N), W = (1 − Z*)/(1 + Z*) with Kuramoto's Z = ⟨(1 + iV)/(1 − iV)⟩: means of the bounded
    1/(1 + V²) and V/(1 + V²), never of V, which has none."""
    weight = 1 / (1 + V * V)
    finite = jnp.where(jnp.abs(V) < jnp.inf, V, 0)  # where V² is infinite, the weight is 0
    x, y = jnp.mean(weight, axis=-1), jnp.mean(finite * weight, axis=-1)
    size = x * x + y * y  # (1 + Z)/2 = x + iy
    return x / size - 1, y / size


def barycentre(V: Values) -> tuple[Values, Values]:
    """(π τ r, v) of voltages (…, N): their conformal barycentre w = v + iπ τ r, Σ (V − w)/(V − w*) = 0, which is the Cauchy
    law of largest likelihood and moves with the neurons under steps A and B."""
    low, middle, high = jnp.quantile(V, jnp.array([0.25, 0.5, 0.75], V.dtype), axis=-1)
    points = jax.lax.complex(V, jnp.zeros_like(V))

    def improve(_, w):
        at = w[..., None]
        m = jnp.mean((points - at) / (points - jnp.conj(at)), axis=-1)
        return (w - m * jnp.conj(w)) / (1 - m)

    w = jax.lax.fori_loop(0, _ROUNDS, improve, jax.lax.complex(middle, (high - low) / 2))
    return w.imag, w.real


def read(neurons: Neurons, moving: Moving) -> tuple[Values, Values]:
    """(r, v) of the network, with what its neurons are still owed; a silent one has the smallest rate."""
    alpha, beta = affine(moving.owed)
    V = alpha * moving.V + beta
    x, v = (barycentre if neurons.reading == "barycentre" else order_parameter)(V)
    return positive(x / (jnp.pi * neurons.model.tau)), v


def received(neurons: Neurons, r: Values, v: Values, slow: dict[str, Values], I: Values) -> Half:
    """What all neurons of a population receive per unit of t/τ at a rate held at `r`: V′ = push − loss V."""
    model = neurons.model
    y = State(r=r, v=v, **slow)
    R = model.tau * r
    if model.size is None:
        fast, base, nodes = model.frozen(y), model.eta, model
    else:
        nodes = model.nodes()
        base = nodes.eta
        fast = model.frozen(y) if model.reversal is None else nodes.leaking(*model.conductances(y)).frozen(y)
    push = fast.eta - base + fast.J * R + I
    loss = None
    if nodes.conductance is not None:
        loss = nodes.conductance.k * R
        push = push + loss * nodes.conductance.E_s
    if fast.leak is not None:
        loss = fast.leak.g if loss is None else loss + fast.leak.g
        push = push + fast.leak.g * fast.leak.E
    if nodes.gap is not None:
        loss = nodes.gap.g if loss is None else loss + nodes.gap.g
        push = push + nodes.gap.g * v
    shape = jnp.shape(r)
    column = lambda each: jnp.broadcast_to(each, shape)[..., None]
    return Half(column(push), None if loss is None else column(loss))


def slow_step(
    model: Any, r: Values, v: Values, slow: dict[str, Values], h: Values
) -> tuple[dict[str, Values], dict[str, Values]]:
    """(mean on the way, values after) of slow variables over the time `h` at a rate held at `r`."""
    if not slow:
        return slow, slow
    if model.filters is not None:
        after, passed = model.filters.held(r, slow, h)
        last = list(model.filters.stages)[-1]
        # Only the last stage is received: its mean is exact.
        return after | {last: passed / h}, after
    rates = lambda x: model.slow_rates(State(r=r, v=v, **x))
    shifted = lambda x, by, rate: {name: x[name] + by * rate[name] for name in x}
    middle = shifted(slow, h / 2, rates(slow))
    after = shifted(slow, h, rates(middle))
    return {name: (slow[name] + after[name]) / 2 for name in slow}, after


def kicked(moving: Moving, before: Half, kick: Any) -> Values:
    """Voltages after the half step B that they are owed and the one before step A, as one map, and after random input."""
    alpha, beta = affine(moving.owed)
    alpha2, beta2 = affine(before)
    V = alpha2 * alpha * moving.V + (alpha2 * beta + beta2)
    return V if kick is None else V + kick


def neuron_step(
    neurons: Neurons, step: Propagator, t: Values, h: Values, moving: Moving, current: Callable[[Values], Values], kick: Any
) -> tuple[Moving, Values, Values]:
    """(network, spikes per population, spikes of the watched neurons) after one step of length `h` from time `t`. `current`
    is I(t); `kick` is random input of the step, (…, N) or (…, 1), None without."""
    model, (r1, r2), slow = neurons.model, moving.rates, moving.slow
    foretold, I = foretell(r1, r2), current(t + h / 2)
    _, v = read(neurons, moving)  # what isn't used is not computed
    half = h / jnp.broadcast_to(model.tau, r1.shape)[..., None] / 2
    before = jax.tree.map(lambda each: half * each, received(neurons, foretold, v, slow, I))
    V = kicked(moving, before, kick)
    if neurons.wide is not None:  # couplings that differ: each neuron's own share of what is sent
        V = V + half * _sent(model, foretold, v, slow) * neurons.wide
    n, fired = spikes(V, step), watched(V, step, neurons.watched)
    V = turned(V, neurons.eta, step.a, n)
    r = positive(n / (V.shape[-1] * h))
    middle, after = slow_step(model, r, v, slow, h)
    whole = received(neurons, r, v, middle, I)
    owed = jax.tree.map(lambda whole, before: 2 * half * whole - before, whole, before)
    if neurons.wide is not None:
        V = V + half * (2 * _sent(model, r, v, middle) - _sent(model, foretold, v, slow)) * neurons.wide
    return Moving(V, owed, (r, r1), after), n, fired


def own_step(
    neurons: Neurons, step: Propagator, t: Values, h: Values, moving: Moving, current: Callable[[Values], Values], kick: Any
) -> tuple[Moving, Values, Values]:
    """The same for one population whose slow variables belong to each neuron and follow its own spikes, (N,): a spike acts
    on the values that it finds."""
    model, (r1, r2), slow = neurons.model, moving.rates, moving.slow
    plain = eqx.tree_at(lambda each: (each.adaptation, each.plasticity), model, (None, None), is_leaf=lambda x: x is None)
    alike = eqx.tree_at(lambda each: each.model, neurons, plain)
    foretold, I = foretell(r1, r2), current(t + h / 2)
    _, v = read(neurons, moving)
    half = h / model.tau / 2
    fast = model.frozen(State(r=slow[model.slow_names[0]], v=jnp.broadcast_to(v, moving.V.shape), **slow))

    def pushed(r: Values, coupling: Values) -> Half:
        """Own currents of the neurons, and what all receive at the rate `r` through a coupling of this strength."""
        alone = received(alike, r, v, {}, I)
        push = alone.push + (coupling - model.J) * model.tau * r + (fast.eta - model.eta)
        return jax.tree.map(lambda each: jnp.broadcast_to(each, moving.V.shape), Half(push, alone.loss))

    before = jax.tree.map(lambda each: half * each, pushed(foretold, jnp.mean(fast.J)))
    V = kicked(moving, before, kick)
    fired = jnp.where(step.a < V, 1, 0).astype(V.dtype) + step.turns
    V = turned(V, neurons.eta, step.a)
    n = jnp.sum(fired)
    r = positive(n / (V.shape[-1] * h))
    sending = jnp.sum(jnp.broadcast_to(fast.J, V.shape) * fired) / jnp.maximum(n, 1)
    rates = model.slow_rates(State(r=fired / h, v=jnp.broadcast_to(v, V.shape), **slow))
    after = {name: each + h * rates[name] for name, each in slow.items()}
    owed = jax.tree.map(lambda whole, before: 2 * half * whole - before, pushed(r, sending), before)
    return Moving(V, owed, (r, r1), after), n, fired[..., neurons.watched]


def positive(r: Values) -> Values:
    """A rate without spikes as the smallest number: terms may divide by the rate."""
    return jnp.maximum(r, float(jnp.finfo(r.dtype).tiny) ** 0.5)


def foretell(r1: Values, r2: Values) -> Values:
    """The rate of the step to come, from those of the last two."""
    return positive(2 * r1 - r2)


def watched(V: Values, step: Propagator, which: Any) -> Values:
    """Spikes in step A of the neurons with these numbers, from the voltages before it, (…, watched)."""
    seen, a, turns = (each[..., which] for each in (V, step.a, step.turns))
    return jnp.where(seen > a, 1, 0).astype(V.dtype) + turns


def _sent(model: Any, r: Values, v: Values, slow: dict[str, Values]) -> Values:
    """What a population sends at a rate held at `r`, (…, 1)."""
    nodes = model if model.size is None else model.nodes()
    return nodes.sent(State(r=r, v=v, **slow))[..., None]
