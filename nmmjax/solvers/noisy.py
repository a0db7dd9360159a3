"""Layer 3: one noisy run, by the geometric splitting with the noise in its kicks: R > 0 at any step.

One step of length h (in t/τ), with independent standard normal numbers ξ:

    white noise             v += √(D h) ξ₁;  order-2 splitting over h;  v += √(D h) ξ₂
    Ornstein–Uhlenbeck      v += ½ h x;  order-2 splitting over h;  x moves exactly;  v += ½ h x

Weak order 2, strong order 1 (measured in the tests). Half the noise before and half after keeps ⟨q̇²⟩ = T to O(h²): all of
it on one side would bias it by O(h). Slow variables move by half steps around it, at frozen r. Source: nmmjax theory notes
§6, §7.
"""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_key, require
from .._types import Scalar, Values, is_concrete
from ..models.base import State
from ..models.mpr import MPR
from ..models.network import Network
from ..models.noise import AbstractNoise, OrnsteinUhlenbeck, WhiteNoise
from ..models.stimulus import AbstractStimulus, input_at
from .mobius import strang_step
from .term import PopulationTerm

_STEPS_PER_SPIKE = 125


class Kicks(eqx.Module):
    """The random input of one step: what is added to v before and after it, of the shape of v, and the noise's next x."""

    before: Values
    after: Values
    x: Values


def first_kick(model: Any, noise: AbstractNoise, key: Any, shape: tuple[int, ...], dtype: Any) -> Values:
    """x at the start: the stationary law of coloured noise, nothing for white noise."""
    if isinstance(noise, OrnsteinUhlenbeck):
        spread = jnp.sqrt(noise.intensity * model.tau / noise.correlation_time)
        return jnp.broadcast_to(spread, shape).astype(dtype) * _normals(noise, key, 1, shape, dtype)[0]
    return jnp.zeros(shape, dtype)


def kicks_of(model: Any, noise: AbstractNoise, key: Any, h: Values, x: Values) -> Kicks:
    """The random input of one step of physical length `h` for its own `key`."""
    steps = h / model.tau
    numbers = _normals(noise, key, 2, x.shape, x.dtype)
    if isinstance(noise, OrnsteinUhlenbeck):
        decay = jnp.exp(-h / noise.correlation_time)
        spread = jnp.sqrt(-noise.intensity * model.tau / noise.correlation_time * jnp.expm1(-2 * h / noise.correlation_time))
        later = decay * x + spread * numbers[0]
        return Kicks(steps / 2 * x, steps / 2 * later, later)
    assert isinstance(noise, WhiteNoise)
    amplitude = jnp.sqrt(noise.intensity * steps)
    return Kicks(amplitude * numbers[0], amplitude * numbers[1], x)


def _normals(noise: Any, key: Any, count: int, shape: tuple[int, ...], dtype: Any) -> Values:
    """(count, *shape) standard normal numbers, the same for all nodes where the noise is shared."""
    if noise.shared and shape:
        return jnp.broadcast_to(jax.random.normal(key, (count, *(1 for _ in shape)), dtype), (count, *shape))
    return jax.random.normal(key, (count, *shape), dtype)


def noisy_step(model: Any, stimulus: AbstractStimulus | None, t: Values, h: Values, y: State, kicks: Kicks) -> State:
    """The state after one step of physical length `h` from time `t`, under the input of the step's midpoint."""
    y = _slow_half(model, y, h / 2)
    fast = model.frozen(y) if model.slow_terms else model
    if stimulus is not None:
        # As a part of η: exact for piecewise constant input, and no value from beyond a jump is looked at.
        where = (lambda each: each.population.eta) if isinstance(model, Network) else (lambda each: each.eta)
        fast = eqx.tree_at(where, fast, where(fast) + input_at(stimulus, t + h / 2))
    R, v = strang_step(PopulationTerm(fast, None), t, h, model.tau * y.r, y.v + kicks.before)
    moved = eqx.tree_at(lambda each: (each.r, each.v), y, (R / model.tau, v + kicks.after))
    return _slow_half(model, moved, h / 2)


def _slow_half(model: Any, y: State, h: Values) -> State:
    """Slow variables over `h` by the midpoint rule, at frozen r."""
    if not model.slow_terms:
        return y

    def moved(start: State, rates: dict[str, Values], h: Values) -> State:
        return State(r=y.r, v=y.v, **{name: getattr(start, name) + h * rate for name, rate in rates.items()})

    middle = moved(y, model.slow_rates(y), h / 2)
    return moved(y, model.slow_rates(middle), h)


def default_step(model: Any, noise: AbstractNoise, y0: State, current: Values) -> Scalar:
    """A 125th of the interval between spikes at the highest rate to expect, in the unit of τ.

    That rate is where π² R² = η + I + J R + v² for the largest input I, v the larger of the first voltage and the scale of
    the noise, D^(1/3); of a network, for the node that receives most.
    """
    if isinstance(model, Network):
        nodes = model.nodes()
        J = jnp.maximum(jnp.sum(jnp.maximum(model.matrix(), 0), axis=1), 0)
    else:
        nodes, J = model, jnp.maximum(model.J, 0)
    R0 = nodes.tau * y0.r
    v2 = y0.v**2 + jnp.broadcast_to(getattr(noise, "intensity", jnp.zeros(())), y0.v.shape).astype(R0.dtype) ** (2 / 3)
    drive = jnp.maximum(nodes.eta + current, 0) + v2
    R = jnp.maximum((J + jnp.sqrt(J**2 + 4 * jnp.pi**2 * drive)) / (2 * jnp.pi**2), R0)
    # Where all is silent the membrane itself sets the scale.
    h = nodes.tau / (_STEPS_PER_SPIKE * jnp.maximum(R, 1 / jnp.pi))
    if isinstance(noise, OrnsteinUhlenbeck):
        h = jnp.minimum(h, noise.correlation_time.astype(h.dtype) / 4)
    return jax.lax.stop_gradient(jnp.min(h))


def check_noise(model: Any, noise: AbstractNoise, key: Any) -> Any:
    """The random key. Refuses models without a splitting, per-node intensities of another length, and what is no key."""
    known = isinstance(model, MPR) or (isinstance(model, Network) and not model.slow_terms)
    rule = "be an `MPR`, or a `Network` without slow terms, where there is noise"
    require("model", type(model).__name__, rule, known)
    shape = (model.size,) if isinstance(model, Network) else ()
    D = noise.intensity  # pyright: ignore[reportAttributeAccessIssue]
    require("noise", D, f"be a number{f' or of shape {shape}' if shape else ''}", D.ndim == 0 or D.shape == shape)
    return as_key(key, purpose=" if there is noise")


def schedule(ts: Values, jumps: Values, h: Any) -> tuple[Values, Any, Any]:
    """(times, places, counts): `ts` with the input's jumps among them, where `ts` stand there, and steps per interval.

    One number of steps, a Python integer, where all intervals need the same: the loop can then be differentiated backwards.
    """
    if jumps.shape[0]:
        inside = jnp.clip(jumps, ts[0], ts[-1])  # one outside makes an interval of length 0
        times = jnp.sort(jnp.concatenate([ts, inside]))
        places = jnp.searchsorted(times, ts, side="left")
    else:
        times, places = ts, jnp.arange(ts.shape[0])
    if is_concrete(times) and is_concrete(h):
        counts = np.ceil(np.diff(np.asarray(times)) / float(h) * (1 - 1e-9)).astype(int)
        if np.all(counts == counts[0]):
            return times, places, int(counts[0])
        return times, places, jnp.asarray(counts)
    return times, places, jnp.ceil(jnp.diff(times) / h * (1 - 1e-9)).astype(int)


@eqx.filter_jit
def solve_noisy(
    model: Any, noise: AbstractNoise, stimulus: Any, y0: State, times: Values, counts: Any, key: Any, meter: Any
) -> tuple[State, Values]:
    """States and x at `times`, with `counts` equal steps in each interval. Step k of interval i has a key of its own, so a
    path depends on `key`, the times and the counts alone."""
    x0 = first_kick(model, noise, jax.random.fold_in(key, times.shape[0]), y0.v.shape, y0.v.dtype)

    def interval(carry: Any, now: Any) -> Any:
        y, x, shown = carry
        start, stop, count, number = now
        own = jax.random.fold_in(key, number)
        h = (stop - start) / jnp.maximum(count, 1).astype(start.dtype)

        def step(k: Any, state: Any) -> Any:
            y, x = state
            kicks = kicks_of(model, noise, jax.random.fold_in(own, k), h, x)
            return noisy_step(model, stimulus, start + k * h, h, y, kicks), kicks.x

        y, x = jax.lax.fori_loop(0, counts if isinstance(counts, int) else count, step, (y, x))
        shown = meter.step(shown, (stop - times[0]) / (times[-1] - times[0]))
        return (y, x, shown), (y, x)

    numbers = jnp.arange(times.shape[0] - 1)
    every = jnp.broadcast_to(jnp.asarray(counts), numbers.shape)
    (_, _, shown), (ys, xs) = jax.lax.scan(interval, (y0, x0, meter.init()), (times[:-1], times[1:], every, numbers))
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
    """What shows how far a run is."""
    return diffrax.TextProgressMeter() if progress else diffrax.NoProgressMeter()
