"""First passages by simulation: many lanes in one compiled loop, until nearly all have passed."""

import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, require
from .._nan import nan_is_absent
from .._parameter import as_number, describe
from .._results import Shown
from .._types import Key, Mask, Real, Scalar, Values
from ..equilibria.points import FixedPoints
from ..equilibria.stability import jacobian
from ..landscape.landscapes import energy_landscape
from ..models.base import AbstractModel, require_offer, takes_model
from ..models.mpr import MPR
from ..models.network import Network
from ..models.noise import WhiteNoise, as_noise
from ..models.state import State
from ..models.stimulus import AbstractStimulus, Constant
from ..numerics.compiling import jitted
from ..solvers.noisy import Kicks, check_noise, default_step, first_kick, kicks_of, noisy_step
from .survival import ExponentialFit, exponential_fit, kaplan_meier

_STEPS = 128  # between looks at how many have passed


class FirstPassage(eqx.Module, Shown):
    """Times of first passage of many independent lanes, and the rate they give.

    - `times` (lanes,): when each passed, or when the watching ended; `passed`: which did, the others are censored
    - `destination` (lanes,): the attractor entered, its number in `ends`; −1 for censored ones
    - `transient`: the first part of the time, in which lanes spread within the well, left out of the rate
    - `fit`: the exponential fit; `rate`, `standard_error`, `interval` are its own, per unit of time
    - `lane_steps`, `wall_time`: what it cost, steps and seconds, with compilation; `step`: the length of one, in the unit of
      τ
    - `what`: the model and its noise in words
    """

    times: Values
    passed: Mask
    destination: Any
    ends: Any
    transient: Scalar
    fit: ExponentialFit
    step: Scalar
    lane_steps: int = eqx.field(static=True)
    wall_time: float = eqx.field(static=True)
    what: str = eqx.field(static=True)

    @property
    def rate(self) -> Values:
        """Passages per unit of time at risk."""
        return self.fit.rate

    @property
    def standard_error(self) -> Values:
        """rate/√events."""
        return self.fit.standard_error

    @property
    def interval(self) -> Values:
        """The exact 95 % interval of the rate, (2,)."""
        return self.fit.interval

    @property
    def censored(self) -> Mask:
        """Which lanes had not passed when the watching ended."""
        return ~self.passed

    @property
    def survival(self) -> tuple[np.ndarray, np.ndarray]:
        """(t, S): the share of lanes that have not passed by t (Kaplan & Meier)."""
        return kaplan_meier(self.times, self.passed)

    def __repr__(self) -> str:
        speed = self.lane_steps / max(self.wall_time, 1e-9)
        return (
            f"First passages of {self.what}\n  {int(jnp.sum(self.passed))} of {self.times.size} lanes passed by "
            f"t = {float(jnp.max(self.times)):.5g}; after t = {float(self.transient):.3g}: {self.fit!r}\n"
            f"  {self.lane_steps:.3g} lane-steps of {float(self.step):.3g} in {self.wall_time:.3g} s, {speed:.2g} per second"
        )


@nan_is_absent
@takes_model
def first_passage(
    model: MPR | Network,
    noise: Any,
    start: Any,
    key: Key,
    *,
    lanes: int = 1024,
    horizon: Any = None,
    end: Any = None,
    I: Any = 0.0,
    until: float = 0.9,
    transient: Any = None,
    radius: float = 0.3,
    dt0: Real | None = None,
) -> FirstPassage:
    """How long noise takes to carry `model` from `start` into another attractor, by simulation of many `lanes`.

    - `noise`: D, `WhiteNoise`, `OrnsteinUhlenbeck` or `ShotNoise`, which has the spectrum of the start; `start`: a state;
      `key`: a random key
    - `end`: what counts as passed. By default, for one population, the rate reaches that of the other minimum, from which
      few turn back; a number is another rate to reach. For a network, all rates are within `radius` of another attractor,
      as a share of its distance to `start` in ln r; by default any other minimum of its landscape, or `FixedPoints`
    - `horizon`: the longest time to watch a lane; default a million steps. The loop ends early once the share `until` of
      the lanes has passed: the last ones cost as much as all others
    - `transient`: the time left out of the rate, default 3 times the slowest relaxation at `start`
    - `I`: constant input, in units of η; `dt0`: the largest step, in the unit of τ, by default an 80th of the shortest
      interval between spikes to expect (rates are then about 0.5 % high)

    Rates are smooth in time (the noise acts on v), so that looking at whole steps misses no crossing to O(h). Returns a
    `FirstPassage`. Raises `ValueError` for wrong input and if there is no other attractor. Use it if no formula holds, and
    to check those that are thought to (`escape_rate`).
    """
    require_offer(model, "riccati")
    given = as_noise(noise)
    model, drawn = given.split(model)
    rule = "be white noise, `OrnsteinUhlenbeck` or `ShotNoise`; with Cauchy noise alone nothing is random"
    require("noise", given, rule, drawn is not None)
    assert drawn is not None
    noise = drawn.drawn(model, model.state(start), None)
    key = check_noise(model, noise, key)
    require("model", model.slow_names, "be without slow terms", not model.slow_names)
    lanes = as_count("lanes", lanes)
    as_number("until", until, "(0, 1]")
    as_number("radius", radius, "(0, 1)")
    y0 = model.state(start)
    dtype = y0.r.dtype
    number = lambda name, value: as_number(name, value, "(0, inf)").astype(dtype)
    current = as_number("I", I).astype(dtype)
    step = 1.5 * default_step(model, noise, y0, current).astype(dtype) if dt0 is None else number("dt0", dt0)
    longest = 1e6 * step if horizon is None else number("horizon", horizon)
    edge, ends = _ends(model, y0, end, current, radius)
    left_out = None if transient is None else as_number("transient", transient, "[0, inf)").astype(dtype)
    settled = _settling(model, y0, current) if left_out is None else left_out
    chunks = jnp.asarray(int(np.ceil(float(longest / step) / _STEPS)))

    began = time.perf_counter()
    times, where, done = _passages(model, noise, Constant(current), y0, edge, step, chunks, float(until), key, lanes)
    times, where = jax.block_until_ready((times, where))
    seconds = time.perf_counter() - began
    passed = where >= 0
    return FirstPassage(
        times=times,
        passed=passed,
        destination=where,
        ends=ends,
        transient=settled,
        fit=exponential_fit(times, passed, settled),
        step=step,
        lane_steps=int(done) * _STEPS * lanes,
        wall_time=seconds,
        what=f"{describe(model)} under {noise!r}",
    )


class _Line(eqx.Module):
    """Passed where the rate is beyond a threshold, on the side away from the start."""

    rate: Scalar
    sign: Scalar

    def __call__(self, r: Values) -> Any:
        return jnp.where(self.sign * (r - self.rate) >= 0, 0, -1)


class _Balls(eqx.Module):
    """Passed where the distance in ln r from attractor k is below its radius; gives k."""

    centers: Values
    radii: Values

    def __call__(self, r: Values) -> Any:
        far = jnp.sqrt(jnp.sum((jnp.log(r)[None] - self.centers) ** 2, axis=1)) / self.radii
        nearest = jnp.argmin(far)
        return jnp.where(far[nearest] <= 1, nearest, -1)


def _ends(model: AbstractModel, y0: State, end: Any, current: Scalar, radius: float) -> tuple[Any, Any]:
    if model.size is None:
        if end is None:
            rates = np.asarray(energy_landscape(model, current).minima.r)
            require("model", model, "have a second stable state, or `end` be given", len(rates) == 2)
            end = rates[np.argmax(np.abs(np.log(rates / float(y0.r))))]
        threshold = as_number("end", getattr(end, "r", end), "(0, inf)").astype(y0.r.dtype)
        require("end", threshold, "be another rate than that of `start`", float(threshold) != float(y0.r))
        return _Line(threshold, jnp.sign(threshold - y0.r)), threshold
    points = energy_landscape(model, current).minima if end is None else end
    rule = "be None or `FixedPoints` such as `landscape.minima`"
    require("end", type(points).__name__, rule, isinstance(points, FixedPoints))
    distance = np.linalg.norm(np.log(np.asarray(points.r)) - np.log(np.asarray(y0.r)), axis=1)
    others = points.select(distance > 1e-3)
    require("end", len(points), "contain a stable state other than `start`", len(others) > 0)
    radii = jnp.asarray(radius * distance[distance > 1e-3], y0.r.dtype)
    return _Balls(jnp.log(others.r), radii), others


def _settling(model: AbstractModel, y0: State, current: Scalar) -> Scalar:
    """Three times the slowest relaxation time of the linearised equations at `y0`."""
    slowest = np.max(np.linalg.eigvals(np.asarray(jacobian(model, y0, current), float)).real)
    return jnp.asarray(3 / -slowest if slowest < 0 else 0.0, y0.r.dtype)


@jitted
def _passages(
    model: Any,
    noise: Any,
    stimulus: AbstractStimulus | None,
    y0: State,
    edge: Any,
    h: Scalar,
    chunks: Any,
    until: float,
    key: Any,
    lanes: int,
) -> tuple[Values, Any, Any]:
    """Times, destinations, and the number of chunks done."""
    shape, dtype = y0.v.shape, y0.v.dtype
    white = isinstance(noise, WhiteNoise)
    amplitude = jnp.sqrt(2 * noise.intensity.astype(dtype) * h / model.tau)

    def move(y: State, x: Values, key, kick: Values) -> tuple[State, Values]:
        # White: both halves of the noise of neighbouring steps at once, which is the same path in law.
        kicks = Kicks(kick, jnp.zeros_like(kick), x) if white else kicks_of(model, noise, key, h, x)
        return noisy_step(model, stimulus, jnp.zeros((), dtype), h, y, kicks), kicks.x

    def step(k, carry) -> Any:
        y, x, when, where, first, own = carry
        now = jax.random.fold_in(own, k)
        if white:
            numbers = shape if not noise.shared else tuple(1 for _ in shape)
            kicks = jnp.broadcast_to(jax.random.normal(now, (lanes, *numbers), dtype), (lanes, *shape))
            kicks = kicks * jnp.broadcast_to(amplitude, kicks.shape)
            y, x = jax.vmap(lambda y, x, kick: move(y, x, None, kick))(y, x, kicks)
        else:
            y, x = jax.vmap(lambda y, x, key: move(y, x, key, x))(y, x, jax.random.split(now, lanes))
        there = jax.vmap(edge)(y.r)
        new = (where < 0) & (there >= 0)
        t = (first + k + 1).astype(dtype) * h
        return y, x, jnp.where(new, t, when), jnp.where(new, there, where), first, own

    def chunk(carry) -> Any:
        y, x, when, where, number = carry
        state = (y, x, when, where, number * _STEPS, jax.random.fold_in(key, number))
        y, x, when, where, _, _ = jax.lax.fori_loop(0, _STEPS, step, state)
        return y, x, when, where, number + 1

    def more(carry) -> Any:
        return (carry[4] < chunks) & (jnp.sum(carry[3] >= 0) < int(np.ceil(until * lanes)))

    spread = lambda leaf: jnp.broadcast_to(leaf, (lanes, *leaf.shape))
    start = jax.tree.map(spread, y0)
    ones = jax.random.split(jax.random.fold_in(key, chunks), lanes)
    x0 = jax.vmap(lambda key: first_kick(model, noise, key, shape, dtype))(ones)
    blank = jnp.full((lanes,), -1)
    carry = (start, x0, jnp.zeros(lanes, dtype), blank, jnp.zeros((), blank.dtype))
    _, _, when, where, number = jax.lax.while_loop(more, chunk, carry)
    end = (number * _STEPS).astype(dtype) * h
    return jnp.where(where >= 0, when, end), where, number
