"""One run of a network of spiking neurons: how they are placed, drawn upon and read."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._parameter import as_number
from .._results import Shown
from .._types import Key, Values, is_concrete
from ..models.noise import CauchyNoise, GaussianNoise, WhiteNoise
from ..models.qif_network import QIFNetwork, cauchy
from ..models.state import State
from ..models.stimulus import AbstractStimulus, input_at
from ..numerics.compiling import jitted
from .noisy import default_step
from .qif_step import Moving, Neurons, Propagator, affine, propagator, read, received


class NeuronSpikes(eqx.Module, Shown):
    """What a run of neurons keeps beside r and v.

    - `counts`: spikes of all neurons of each population between one time and the next, (n − 1,), or (n − 1, nodes), as
      floats: exact up to 2²⁴ per interval in float32, 2⁵³ in float64
    - `raster`: spikes of the watched neurons, (n − 1, watched), or (n − 1, nodes, watched); `watched`: their numbers, in the
      order of their currents
    - `voltages`: V of all neurons at the end, (N,), or (nodes, N), with which a run goes on; `slow`: their slow variables
      then by name, (N,), if each has its own
    """

    counts: Values
    raster: Values
    watched: Any
    voltages: Values
    slow: dict[str, Values]

    def __str__(self) -> str:
        total = np.asarray(self.counts).sum(axis=0)
        shown = ", ".join(f"{float(each):.0f}" for each in np.ravel(total)[:8]) + (", …" if np.size(total) > 8 else "")
        lines = [
            "NeuronSpikes",
            f"  spikes    {shown} in {len(self.counts)} intervals",
            f"  watched   {len(self.watched)} of {self.voltages.shape[-1]} neurons",
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


class Placed(eqx.Module):
    """Neurons of a network before its parameters are known.

    - `currents`: of centre 0 and half-width 1, (…, N); `voltages`, `couplings`: standard Lorentzian numbers, (…, N), the
      latter None without heterogeneous couplings
    - `watched`: numbers of the neurons whose spikes are kept; `reading`, `own_spikes` as in `QIFNetwork`
    """

    currents: Values
    voltages: Values
    couplings: Any
    watched: Any
    reading: str = eqx.field(static=True)
    own_spikes: bool = eqx.field(static=True)


def placed(network: QIFNetwork, dtype: Any) -> Placed:
    """The neurons of a network, as arrays. Refuses more than fit into the memory."""
    network.require_memory()
    wide = getattr(getattr(network.model, "node", network.model), "coupling_heterogeneity", None)
    array = lambda each: jnp.asarray(each, dtype)
    couplings = None if wide is None else array(cauchy(network.places(1)))
    currents, voltages = array(network.standard_currents()), array(cauchy(network.places(0)))
    watched = jnp.asarray(network.watched_neurons())
    return Placed(currents, voltages, couplings, watched, network.reading, network.own_spikes)


def started(
    model: Any, placed: Placed, y0: State, voltages: Any = None, own: dict[str, Values] | None = None
) -> tuple[Neurons, Moving]:
    """The neurons of `model` with the Lorentzian law of the mean-field state `y0`, or with the `voltages` (…, N), and the
    slow variables that are each neuron's `own`, of a run that goes on."""
    nodes = model if model.size is None else model.nodes()
    column = lambda each: jnp.broadcast_to(each, model.shape)[..., None]
    eta = column(nodes.eta) + column(nodes.Delta) * placed.currents
    V = voltages if voltages is not None else column(y0.v) + jnp.pi * column(model.tau * y0.r) * placed.voltages
    wide = None if placed.couplings is None else column(nodes.coupling_heterogeneity.Gamma) * placed.couplings
    neurons = Neurons(model, eta, wide, placed.watched, placed.reading, placed.own_spikes)
    slow = {name: getattr(y0, name) for name in model.slow_names}
    nothing = jax.tree.map(jnp.zeros_like, received(neurons, y0.r, y0.v, slow, jnp.zeros_like(y0.r)))
    if placed.own_spikes:
        slow = own if own else {name: jnp.broadcast_to(each, V.shape) for name, each in slow.items()}
        nothing = jax.tree.map(lambda each: jnp.broadcast_to(each, V.shape), nothing)
    return neurons, Moving(V, nothing, (y0.r, y0.r), slow)


def made_for(neurons: Neurons, h: Values) -> Propagator:
    """Step A of length `h`, in the unit of τ."""
    tau = jnp.broadcast_to(neurons.model.tau, neurons.model.shape)[..., None]
    return propagator(neurons.eta, h / tau)


def state(neurons: Neurons, moving: Moving) -> State:
    """The mean-field state that the network shows; slow variables of single neurons are averaged."""
    r, v = read(neurons, moving)
    slow = moving.slow
    if neurons.own_spikes:
        slow = {name: jnp.mean(each, axis=-1) for name, each in slow.items()}
    return State(r=r, v=v, **slow)


def random_kick(noise: Any, key: Key, h: Values, V: Values) -> Values:
    """Random input of one step of length `h` in units of τ, (…, 1): of each neuron its own, or common to a population."""
    if isinstance(noise, CauchyNoise):
        return h * noise.width * jax.random.cauchy(key, V.shape, V.dtype)
    D = jnp.broadcast_to(noise.intensity, V.shape[:-1])[..., None]  # pyright: ignore[reportAttributeAccessIssue]
    own = isinstance(noise, GaussianNoise)
    shape = V.shape if own else (*(1 for _ in V.shape),) if noise.shared else (*V.shape[:-1], 1)
    return jnp.sqrt(2 * D * h) * jax.random.normal(key, shape, V.dtype)


def equal_steps(times: Any, counts: Any, dtype: Any) -> Any:
    """Lengths of the steps of all intervals, (intervals,); those that differ by rounding alone are one number, so that the
    neurons' constants are made once for all of them."""
    if not (is_concrete(times) and is_concrete(counts)):
        return jnp.where(counts > 0, jnp.diff(times) / jnp.maximum(counts, 1).astype(times.dtype), 0).astype(dtype)
    times, counts = np.asarray(times, float), np.asarray(counts)
    lengths = np.diff(times) / np.maximum(counts, 1)
    order = np.argsort(lengths)
    near = 8 * float(jnp.finfo(dtype).eps) * np.max(np.abs(times)) / np.maximum(counts, 1)
    apart = np.diff(lengths[order]) > np.minimum(near[order][1:], 1e-2 * lengths[order][1:])
    group = np.empty(lengths.size, int)
    group[order] = np.concatenate([[0], np.cumsum(apart)])
    weight = np.bincount(group, counts)
    return jnp.asarray((np.bincount(group, counts * lengths) / np.maximum(weight, 1))[group], dtype)


class Intervals(NamedTuple):
    """Ends of the intervals that are stepped over, `times`; their numbers of equal steps, `counts`; the lengths of these,
    `steps`; the places of saved times among `times`; and whether it is known that all steps are of one length."""

    times: Values
    counts: Any
    steps: Values
    places: Any
    uniform: bool


@jitted
def run_neurons(
    model: Any,
    placed: Placed,
    y0: State,
    voltages: Any,
    own: Any,
    stimulus: AbstractStimulus | None,
    noise: Any,
    key: Any,
    intervals: Intervals,
    meter: Any,
) -> tuple[State, State, Values, Values, Values, dict[str, Values]]:
    """(states at the saved times, the last, spikes between saved times, raster, voltages and neurons' own slow variables at
    the end).

    - `model`, `placed`: the mean field, and its neurons; `voltages`, `own`: of a run that goes on, (…, N), or None
    - `y0`: the first mean-field state; `stimulus`: the input; `noise`, `key`: random input
    - `intervals`: what is stepped over, and which of its ends are saved
    """
    times, counts, steps, places, uniform = intervals
    neurons, moving = started(model, placed, y0, voltages, own)
    tau = jnp.broadcast_to(model.tau, model.shape)[..., None]
    current = lambda t: input_at(stimulus, t)
    first = steps[jnp.argmax(counts > 0)]
    always = made_for(neurons, first)

    def interval(carry, now) -> Any:
        moving, made, made_for_h, shown = carry
        start, h, count, number = now
        if not uniform:
            known = (h == made_for_h) | (count == 0)
            made = jax.lax.cond(known, lambda: made, lambda: made_for(neurons, h))
            made_for_h = jnp.where(known, made_for_h, h)
        constants = always if uniform else made
        drawn = None if noise is None else jax.random.fold_in(key, number)

        def step(k, carry) -> Any:
            moving, n, fired = carry
            kick = None if drawn is None else random_kick(noise, jax.random.fold_in(drawn, k), h / tau, moving.V)
            moving, more, seen = neurons.advance(neurons, constants, start + k.astype(h.dtype) * h, h, moving, current, kick)
            return moving, n + more, fired + seen

        V = moving.V
        empty = jnp.zeros(V.shape[:-1], V.dtype), jnp.zeros((*V.shape[:-1], neurons.watched.shape[0]), V.dtype)
        moving, n, fired = jax.lax.fori_loop(0, count, step, (moving, *empty))
        shown = meter.step(shown, (start + h * count.astype(h.dtype) - times[0]) / (times[-1] - times[0]))
        return (moving, made, made_for_h, shown), (state(neurons, moving), n, fired)

    start = (moving, None if uniform else always, first, meter.init())
    table = (times[:-1], steps, counts, jnp.arange(counts.shape[0]))
    (end, _, _, shown), (ys, n, fired) = jax.lax.scan(interval, start, table)
    meter.close(shown)
    ys = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), state(neurons, moving), ys)
    alpha, beta = affine(end.owed)
    saved = jax.tree.map(lambda each: each[places], ys)
    # A jump of the input may cut what lies between two saved times.
    whole = jnp.searchsorted(places, jnp.arange(times.shape[0] - 1, dtype=places.dtype), side="right") - 1
    n, fired = (jax.ops.segment_sum(each, whole, places.shape[0] - 1) for each in (n, fired))
    last = jax.tree.map(lambda each: each[-1], saved)
    return saved, last, n, fired, alpha * end.V + beta, end.slow if placed.own_spikes else {}


def neuron_step_of(network: QIFNetwork, y0: State, current: Values, dt0: Any) -> Values:
    """The largest step of a run: `dt0`, or a 125th of the shortest interval between spikes to be expected."""
    expected = default_step(network.model, None, y0, current)
    if dt0 is None:
        return expected
    h = as_number("dt0", dt0, "(0, inf)")
    return h if not (is_concrete(h) and is_concrete(expected)) else jnp.asarray(as_neuron_step(network, expected, h))


def as_neuron_step(network: QIFNetwork, expected: Any, dt0: Any) -> Any:
    """`dt0`, or the `expected` step if it is None. Refuses one in which a coupled network can't foretell its spikes."""
    if dt0 is None:
        return expected
    if network.size is not None or network.slow_names or _acts(network.model):
        most = 25 * float(expected)
        rule = f"be at most {most:.3g}, a fifth of the shortest interval between spikes to be expected: in longer steps the"
        require("dt0", dt0, f"{rule} network can't foretell how many spikes come", float(dt0) <= most)
    return dt0


def _acts(model: Any) -> bool:
    """Whether a population's spikes act back on it."""
    terms = (model.conductance, model.gap, model.coupling_heterogeneity)
    return any(each is not None for each in terms) or not is_concrete(model.J) or bool(model.J != 0)


def check_individual(network: QIFNetwork, noise: Any) -> None:
    """Refuse noise other than Cauchy and Gaussian noise of each neuron, or white noise common to them."""
    known = isinstance(noise, (CauchyNoise, GaussianNoise, WhiteNoise))
    rule = "be `CauchyNoise`, `GaussianNoise`, or white noise common to all neurons, a number D, for a network of neurons"
    require("noise", repr(noise), rule, known)
    if not isinstance(noise, CauchyNoise):
        D, shape = noise.intensity, network.shape
        require("noise", D, f"be a number{f' or of shape {shape}' if shape else ''}", D.ndim == 0 or D.shape == shape)
