"""One noisy run by the geometric splitting, with the noise in its kicks: R > 0 at any step.

One step of length h (in t/τ), with independent standard normal numbers ξ:

    white noise             v += √(D h) ξ₁;  order-2 splitting over h;  v += √(D h) ξ₂
    Ornstein–Uhlenbeck      v += ½ h x;  order-2 splitting over h;  x moves exactly;  v += ½ h x
    shot noise              v += f(∫ξ);  order-2 splitting over h;  v += f(∫ξ) of the second half, f the drive

Weak order 2, strong order 1 (measured in the tests). Half the noise before and half after keeps ⟨q̇²⟩ = T to O(h²): noise on
one side only would bias it by O(h). A synapse is solved exactly at frozen r, as a part of the step; other slow variables
move by half steps around it. Source: docs/theory.md §6, §7.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from .._checks import as_key, require
from .._types import Key, Scalar, Values, is_concrete, primal
from ..models.base import AbstractModel, require_offer
from ..models.noise import AbstractNoise, OrnsteinUhlenbeck, Resonators, WhiteNoise
from ..models.state import State
from ..models.stimulus import AbstractStimulus, input_at
from ..numerics.compiling import jitted
from ..numerics.loops import counted
from .adjoint import adjoint_for
from .operators import Moving, strang_step
from .term import PopulationTerm

_STEPS_PER_SPIKE = 125
# Of order 4 with noise: steps, in those of order 2, and at most, in D^(−1/3), where strong noise drives the spikes.
_LONGER, _LONGEST = 5.0, 0.012
_CHECKPOINTS = 64


class Kicks(eqx.Module):
    """Random input of one step: the increments of v before and after it, in the shape of v, and the noise's next x, in that
    shape too, or (…, k, 2) for k resonators; for splittings of order 4 also the increment in its middle."""

    before: Values
    after: Values
    x: Values
    middle: Any = None


def first_kick(model: Any, noise: AbstractNoise, key: Key, shape: tuple[int, ...], dtype: DTypeLike) -> Values:
    """x at the start: drawn from the stationary law of coloured noise, 0 for white noise."""
    if isinstance(noise, OrnsteinUhlenbeck):
        spread = jnp.sqrt(noise.intensity * model.tau / noise.correlation_time)
        return jnp.broadcast_to(spread, shape).astype(dtype) * _normals(noise, key, 1, shape, dtype)[0]
    if isinstance(noise, Resonators):
        numbers = jax.random.normal(key, (*shape, noise.root.shape[-1]), dtype)
        return jnp.einsum("...ij,...j->...i", noise.root, numbers).reshape(*shape, -1, 2)
    return jnp.zeros(shape, dtype)


def kicks_of(model: Any, noise: AbstractNoise, key: Key, h: Values, x: Values) -> Kicks:
    """Random input of one step of physical length `h`, from its own `key`."""
    shape = x.shape[:-2] if isinstance(noise, Resonators) else x.shape
    return kicks_from(model, noise, h, x, _normals(noise, key, 2, shape, x.dtype))


def kicks_from(model: Any, noise: AbstractNoise, h: Values, x: Values, numbers: Any) -> Kicks:
    """Random input of one step of physical length `h`, made of two standard normal `numbers` per node."""
    steps = h / model.tau
    if isinstance(noise, Resonators):
        return resonant_kicks(model, noise, steps, x.shape[:-2])(numbers, x)
    if isinstance(noise, OrnsteinUhlenbeck):
        decay = jnp.exp(-h / noise.correlation_time)
        spread = jnp.sqrt(-noise.intensity * model.tau / noise.correlation_time * jnp.expm1(-2 * h / noise.correlation_time))
        later = decay * x + spread * numbers[0]
        return Kicks(steps / 2 * x, steps / 2 * later, later)
    assert isinstance(noise, WhiteNoise)
    amplitude = jnp.sqrt(noise.intensity * steps)
    return Kicks(amplitude * numbers[0], amplitude * numbers[1], x)


def middle_kicks(model: Any, noise: AbstractNoise, h: Values, x: Values, numbers: Any) -> Kicks:
    """Random input of one step of order 4, in its three kicks, of two standard normal `numbers` per node.

    The shares 1/6, 2/3, 1/6 of Simpson's rule and a tilt (1, 0, −1)/√12 give the covariance of a linear system's increments,
    ∫ e^(As) B Bᵀ e^(Aᵀs) ds over a step, up to h⁴ if flows between kicks were e^(Ah/2). Kicks displace v within a step; what
    that leaves is of order 2, and some 70 times smaller than with the splitting of order 2.
    """
    steps = h / model.tau
    if isinstance(noise, OrnsteinUhlenbeck):
        decay = jnp.exp(-h / (2 * noise.correlation_time))
        spread = jnp.sqrt(-noise.intensity * model.tau / noise.correlation_time * jnp.expm1(-h / noise.correlation_time))
        middle = decay * x + spread * numbers[0]
        later = decay * middle + spread * numbers[1]
        return Kicks(steps / 6 * x, steps / 6 * later, later, 2 * steps / 3 * middle)
    assert isinstance(noise, WhiteNoise)
    amplitude = jnp.sqrt(2 * noise.intensity * steps)
    level, tilt = amplitude * numbers[0], amplitude * numbers[1] / jnp.sqrt(jnp.asarray(12.0, x.dtype))
    return Kicks(level / 6 + tilt, level / 6 - tilt, x, 2 / 3 * level)


def resonant_kicks(model: Any, noise: Resonators, steps: Values, shape: tuple[int, ...]) -> Callable[[Any, Values], Kicks]:
    """(two normal numbers, x) ↦ random input of a step of `steps`, in t/τ, for populations of this shape: half a step of
    resonators before, half after, decay and rotation exactly, each half's white noise at its middle."""
    half = jnp.broadcast_to(steps / 2, shape)
    poles = jax.lax.complex(-noise.decay, noise.omega)
    gains = jax.lax.complex(noise.gain_real, noise.gain_imag)
    late = jnp.exp(jax.lax.complex(-noise.decay, noise.omega) * (half / 2)[..., None].astype(poles.dtype))
    passed = (late**2 - 1) / poles

    def moved(z: Any, white: Values) -> tuple[Any, Values]:
        received = (
            jnp.sum(gains * passed * z, axis=-1).real + (noise.direct + jnp.sum(noise.gain_real, -1) * half / 2) * white
        )
        return late**2 * z + late * white[..., None].astype(poles.dtype), model.drive(model.tau * received) / model.tau

    def kicks(numbers: Any, x: Values) -> Kicks:
        z, before = moved(jax.lax.complex(x[..., 0], x[..., 1]), jnp.sqrt(half) * numbers[0])
        z, after = moved(z, jnp.sqrt(half) * numbers[1])
        return Kicks(before, after, jnp.stack([z.real, z.imag], axis=-1))

    return kicks


def _normals(noise: Any, key: Key, count: int, shape: tuple[int, ...], dtype: DTypeLike) -> Values:
    """(count, *shape) standard normal numbers, the same for all nodes if the noise is shared."""
    if noise.shared and shape:
        return jnp.broadcast_to(jax.random.normal(key, (count, *(1 for _ in shape)), dtype), (count, *shape))
    return jax.random.normal(key, (count, *shape), dtype)


def noisy_step(model: Any, stimulus: AbstractStimulus | None, t: Values, h: Values, y: State, kicks: Kicks) -> State:
    """The state after one step of physical length `h` from time `t`, under the input of the step's midpoint."""
    if model.slow_names and model.filters is None:
        y = _slow_half(model, y, h / 2)
        moved = _splitting_step(model.frozen(y), stimulus, t, h, y, kicks)
        return _slow_half(model, y.replace(**moved.variables), h / 2)
    return _splitting_step(model, stimulus, t, h, y, kicks)


def _splitting_step(fast: Any, stimulus: AbstractStimulus | None, t: Values, h: Values, y: State, kicks: Kicks) -> State:
    """A step of a model that the splitting takes, a synapse included, with the noise before and after, the same for all its
    modes. Returns the model's own variables."""
    if stimulus is not None:
        # As a part of η: exact for piecewise constant input, and no value from beyond a jump is looked at.
        fast = fast.tilted(input_at(stimulus, t + h / 2))
    synapse = {name: getattr(y, name) for name in fast.slow_names}
    (R, v), over = fast.to_modes(y), fast.riccati().over
    R, v, synapse = strang_step(PopulationTerm(fast, None), t, h, Moving(R, v + over(kicks.before), synapse))
    return fast.from_modes(R, v + over(kicks.after), synapse)


def _slow_half(model: Any, y: State, h: Values) -> State:
    """Slow variables over `h` by the midpoint rule, at frozen r."""

    def moved(start: State, rates: dict[str, Values], h: Values) -> State:
        return y.replace(**{name: getattr(start, name) + h * rate for name, rate in rates.items()})

    middle = moved(y, model.slow_rates(y), h / 2)
    return moved(y, model.slow_rates(middle), h)


def default_step(model: Any, noise: AbstractNoise | None, y0: State, current: Values, order: int = 2) -> Scalar:
    """A 125th of the shortest interval between spikes to be expected, in the unit of τ; with noise and a splitting of
    `order` 4 a 25th.

    The highest rate solves π² R² = η + I + J R + v² for the largest input I, with v the larger of the first voltage and the
    scale of the noise, D^(1/3); in a network, for the node with the largest input. The longer steps bias moments where noise
    is so strong that it makes the spikes: they are at most 0.012 D^(−1/3).
    """
    longer = noise is not None and order == 4
    if model.size is not None:
        nodes = model.nodes()
        J = jnp.maximum(jnp.sum(jnp.maximum(model.matrix(), 0), axis=1), 0)
    else:
        nodes, J = model, jnp.maximum(model.J, 0)
    R0 = nodes.tau * y0.r
    D = jnp.broadcast_to(getattr(noise, "intensity", jnp.zeros(())), y0.v.shape).astype(R0.dtype)
    v2 = y0.v**2 + D ** (2 / 3)
    drive = jnp.maximum(nodes.eta + current, 0) + v2
    R = jnp.maximum((J + jnp.sqrt(J**2 + 4 * jnp.pi**2 * drive)) / (2 * jnp.pi**2), R0)
    # If all is silent, the membrane itself sets the scale.
    h = nodes.tau / (_STEPS_PER_SPIKE * jnp.maximum(R, 1 / jnp.pi))
    if longer:
        h = jnp.minimum(_LONGER * h, _LONGEST * nodes.tau * D ** (-1 / 3))
    if isinstance(noise, OrnsteinUhlenbeck):
        h = jnp.minimum(h, noise.correlation_time.astype(h.dtype) / 4)
    return jax.lax.stop_gradient(jnp.min(h))


def check_noise(model: Any, noise: AbstractNoise, key: object) -> Any:
    """The random key. Refuses models without a splitting, per-node intensities of another length, and anything that is not a
    key."""
    model = model.undelayed() if "delays" in getattr(model, "offers", ()) else model
    if "resting" not in getattr(model, "offers", ()):  # several poles have no "riccati", but modes
        require_offer(model, "riccati", also=", for noise")
    rule = "be without slow terms other than synapses to have noise, as a network"
    require("model", model, rule, model.size is None or not model.slow_names or model.filters is not None)
    shape = model.shape
    D = noise.intensity  # pyright: ignore[reportAttributeAccessIssue]
    require("noise", D, f"be a number{f' or of shape {shape}' if shape else ''}", D.ndim == 0 or D.shape == shape)
    return as_key(key, purpose=" if there is noise")


def schedule(ts: Values, jumps: Values, h: object) -> tuple[Values, Any, Any]:
    """(times, places, counts): `ts` merged with the input's jumps, the places of `ts` among them, and steps per interval.

    `counts` is one Python integer if all intervals need the same number of steps, else an array with one per interval,
    NumPy's if they are known. Counts have no derivative, so values inside `jax.grad` are known, too.
    """
    if jumps.shape[0]:
        inside = jnp.clip(jumps, ts[0], ts[-1])  # one outside makes an interval of length 0
        times = jnp.sort(jnp.concatenate([ts, inside]))
        places = jnp.searchsorted(times, ts, side="left")
    else:
        times, places = ts, jnp.arange(ts.shape[0])
    known, step = primal(times), primal(h)
    if is_concrete(known) and is_concrete(step):
        counts = np.asarray(_counts(np.asarray(known, float), float(step), float(jnp.finfo(ts.dtype).eps), np))
        require("dt0", float(step), "leave at most 2³⁰ steps between two times", bool(np.max(counts) <= 2**30))
        counts = counts.astype(int)
        return times, places, int(counts[0]) if np.all(counts == counts[0]) else counts
    return times, places, _counts(known, step, float(jnp.finfo(ts.dtype).eps), jnp).astype(int)


def _counts(times: object, step: Any, eps: float, xp: Any) -> Any:
    """Steps per interval, NumPy or JAX; rounding of the times adds no further step."""
    ratio = xp.diff(times) / step
    spare = xp.minimum(1e-9 * ratio + 2 * eps * xp.max(xp.abs(times)) / step, 0.05)
    return xp.maximum(xp.ceil(ratio - spare), xp.where(ratio > 0, 1.0, 0.0).astype(ratio.dtype))


class _Stretch(NamedTuple):
    """A number of steps of one interval, beginning with number `first`: arrays, one entry per stretch."""

    start: Values
    stop: Values
    number: Any
    first: Any
    count: Any  # of the whole interval


def stretches_of(times: Values, counts: Any) -> tuple[_Stretch, Any, Any]:
    """(stretches, steps in each, which of them end an interval). Known counts that differ are cut into stretches of one
    number of steps, the last of an interval with some that do nothing: loops of known length have derivatives."""
    number = np.arange(times.shape[0] - 1)
    if not isinstance(counts, np.ndarray):
        every = jnp.broadcast_to(jnp.asarray(counts), number.shape)
        return _Stretch(times[:-1], times[1:], jnp.asarray(number), jnp.zeros_like(every), every), counts, None
    sizes = np.unique(np.maximum(counts, 1))
    sizes = sizes[np.linspace(0, sizes.size - 1, min(sizes.size, 32)).astype(int)]
    size = int(min(sizes, key=lambda size: (size + 1) * np.sum(-(-counts // size))))  # a stretch costs about a step more
    pieces = np.maximum(-(-counts // size), 1)
    number = np.repeat(number, pieces)
    ends = np.cumsum(pieces)
    first = size * (np.arange(ends[-1]) - np.repeat(ends - pieces, pieces))
    table = _Stretch(times[number], times[number + 1], *(jnp.asarray(each) for each in (number, first, counts[number])))
    return table, size, ends - 1


def solve_noisy(
    model: AbstractModel,
    noise: AbstractNoise,
    stimulus: AbstractStimulus | None,
    y0: State,
    x0: Any,
    times: Values,
    counts: Any,
    key: Key,
    meter: object,
) -> tuple[State, Values]:
    """States and x at `times`, with `counts` equal steps in each interval; x begins at `x0`, or None for its stationary law.
    Step k of interval i has a key of its own, so a path depends on `key`, the times and the counts only."""
    stretches, size, ends = stretches_of(times, counts)
    forward = isinstance(adjoint_for((model, noise, stimulus, y0, x0, times)), diffrax.ForwardMode)
    cut, begin, end = ends is not None, times[0], times[-1]
    given = (model, noise, stimulus, y0, x0, stretches, size, cut, forward, begin, end, key, meter, len(times))
    every = _solve_noisy(*given)
    return every if ends is None else jax.tree.map(lambda leaf: leaf[np.append(0, ends + 1)], every)


@jitted
def _solve_noisy(
    model: AbstractModel,
    noise: AbstractNoise,
    stimulus: AbstractStimulus | None,
    y0: State,
    x0: Any,
    stretches: _Stretch,
    size: Any,
    cut: bool,
    forward: bool,
    begin: Values,
    end: Values,
    key: Key,
    meter: Any,
    length: int,
) -> tuple[State, Values]:
    if x0 is None:
        x0 = first_kick(model, noise, jax.random.fold_in(key, length), y0.v.shape, y0.v.dtype)

    def stretch(carry, now: _Stretch) -> Any:
        y, x, shown = carry
        own = jax.random.fold_in(key, now.number)
        h = (now.stop - now.start) / jnp.maximum(now.count, 1).astype(now.start.dtype)

        def step(k, state) -> Any:
            y, x = state
            kicks = kicks_of(model, noise, jax.random.fold_in(own, k), h, x)
            return noisy_step(model, stimulus, now.start + jnp.asarray(k, h.dtype) * h, h, y, kicks), kicks.x

        def masked(k, state) -> Any:
            k = now.first + k
            return jax.tree.map(lambda new, old: jnp.where(k < now.count, new, old), step(k, state), state)

        if isinstance(size, int):
            y, x = jax.lax.fori_loop(0, size, masked if cut else step, (y, x))
        elif forward:
            y, x = jax.lax.fori_loop(0, now.count, step, (y, x))
        else:
            y, x = counted(now.count, step, (y, x), _CHECKPOINTS)
        shown = meter.step(shown, (now.stop - begin) / (end - begin))
        return (y, x, shown), (y, x)

    (_, _, shown), (ys, xs) = jax.lax.scan(stretch, (y0, x0, meter.init()), stretches)
    meter.close(shown)
    both = lambda first, rest: jnp.concatenate([first[None], rest])
    return jax.tree.map(both, y0, ys), both(x0, xs)


def largest_input(stimulus: AbstractStimulus | None, ts: Values) -> Values:
    """The largest input at 257 times of the run, (), or per node."""
    if stimulus is None:
        return jnp.zeros((), ts.dtype)
    probe = ts[0] + (ts[-1] - ts[0]) * jnp.linspace(0, 1, 257, dtype=ts.dtype)
    probe = jnp.concatenate([probe, jnp.clip(stimulus.jumps().astype(ts.dtype), ts[0], ts[-1])])
    return jnp.max(jax.vmap(lambda t: input_at(stimulus, t))(probe), axis=0)


def meter_of(progress: bool) -> Any:
    """Progress meter of a run."""
    return diffrax.TextProgressMeter() if progress else diffrax.NoProgressMeter()
