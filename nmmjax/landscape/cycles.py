"""Limit cycles of a network, looked for by simulation from random starts, each then solved for to rounding.

A landscape Ψ lists resting states only: also a symmetric network with a single minimum can oscillate for ever
(docs/theory.md §D7). Runs from random starts either come near a stable fixed point or repeat themselves; a run that repeats
itself gives the guess for a cycle, z(T) = z(0) in z = (ln r, v, what synapses add), solved by Newton's method with the
monodromy matrix, whose eigenvalues are the multipliers. A cycle that no start reaches isn't found; the search never proves
that it has all.
"""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._results import Shown
from .._types import ComplexValues, Key, Scalar, Values
from ..models.network import Network
from ..models.state import State
from ..numerics.compiling import jitted
from ..numerics.loops import runge_kutta
from ..numerics.roots import newton, ratio
from .descent import in_pieces
from .potential import eigenvalues_at, state_at

_WINDOW, _SAMPLES = 100.0, 4001  # length of one stretch of a run, in the longest τ, and how often it is looked at
_WINDOWS = 10  # stretches before a run is given up as undecided
_AT_REST = 1e-4  # distance in z from a stable fixed point at which a run counts as coming to rest
_REPEATS = 0.02  # mismatch, relative to the swing, below which a run repeats itself
_SAME = 1e-4  # relative difference of periods and peaks below which two cycles are one
_ATTRACTING = 1e-4  # by which all multipliers but that of the shift are at least below 1
_STEPS = 12


class LimitCycles(eqx.Module, Shown):
    """Attracting limit cycles that simulations ran into; made by `energy_landscape(network, cycles=n)`.

    Closed orbits that attract nothing, of which homogeneous networks have families, count as undecided.

    - `state`: one state on each, arrays (c, n), where the fastest-firing node has its peak; `cycles[i]` is the i-th, ready
      for `simulate(y0=…)`
    - `period` (c,), in the unit of τ; `peaks`, `troughs` (c, n): the largest and smallest rate of every node
    - `multipliers` (c, 2n), more with synapses: Floquet multipliers by decreasing size; the first is 1, of the shift along
      the cycle
    - `counts` (c,): how many starts went to each; `resting` (k,): to each of the landscape's `minima`; `elsewhere`: to a
      resting state that isn't among them; `undecided`: how many neither rested nor repeated themselves
    """

    network: Network
    state: State
    period: Values
    peaks: Values
    troughs: Values
    multipliers: ComplexValues
    counts: np.ndarray
    resting: np.ndarray
    elsewhere: int
    undecided: int

    @property
    def starts(self) -> int:
        """How many runs there were."""
        return int(self.counts.sum() + self.resting.sum()) + self.elsewhere + self.undecided

    def __len__(self) -> int:
        return self.period.shape[0]

    def __getitem__(self, number: int) -> State:
        if not -len(self) <= int(number) < len(self):
            raise IndexError(f"Argument `number` must be below the number of cycles, {len(self)}, but got {number}.")
        return jax.tree.map(lambda each: each[int(number)], self.state)

    def course(self, number: int = 0, points: int = 401) -> tuple[Values, State]:
        """(ts, states) of one period of a cycle, from its state on; `points` times, the last a period after the first."""
        period = self.period[int(number)]
        ts = jnp.linspace(0, 1, points, dtype=period.dtype) * period
        return ts, _unflat(self.network, _course(self.network, _flat(self.network, self[number]), ts))

    def __repr__(self) -> str:
        lines = [f"{len(self)} limit cycles from {self.starts} random starts (searched, not proved to be all)"]
        for k in range(len(self)):
            peaks = np.array2string(np.asarray(self.peaks[k]), precision=5, threshold=8, edgeitems=3)
            largest = float(np.max(np.abs(np.asarray(self.multipliers[k])[1:]), initial=0.0))
            lines.append(
                f"  cycle {k}: period {self.period[k]:.7g}, peaks of r {peaks}, largest multiplier but 1: {largest:.3g}, "
                f"{self.counts[k]} starts"
            )
        rest = ", ".join(f"minimum {k}: {count}" for k, count in enumerate(self.resting) if count) or "none"
        lines.append(f"  at rest {self.resting.sum()} ({rest}), elsewhere {self.elsewhere}, undecided {self.undecided}")
        return "\n".join(lines)


def find_cycles(
    network: Network,
    minima: Any,
    count: int,
    key: Any,
    bounds: tuple[np.ndarray, np.ndarray],
    report: Callable[[int, int], None],
) -> LimitCycles:
    """`count` runs of the network from random states; `minima` are its stable resting states as known, `bounds` the box of
    ln R that holds all its fixed points. `report(runs, cycles)` hears of it as it goes on."""
    tau = np.asarray(network.nodes().tau)
    # Eigenvalues of large networks may be unknown: of those states nothing says that they aren't stable.
    unknown = ~np.isfinite(np.asarray(minima.eigenvalues)).all(axis=1)
    places = np.flatnonzero(np.asarray(minima.stable) | unknown)
    known = np.asarray(_flat(network, minima.state))[places]
    resting, elsewhere, undecided = np.zeros(len(minima), int), 0, 0
    cycles: list[dict[str, Any]] = []
    z = _starts(network, count, key, bounds)
    waiting = np.arange(count)
    for stretch in range(_WINDOWS):
        if waiting.size == 0:
            break
        ends, courses = in_pieces(_stretch, network, z[waiting])
        z[waiting] = ends
        left = []
        for lane, course in zip(waiting, courses, strict=True):
            if not np.isfinite(z[lane]).all():
                continue  # stays undecided: no further run can help
            near = np.max(np.abs(known - z[lane]), axis=1, initial=0.0) if len(known) else np.zeros(0)
            if near.size and near.min() < _AT_REST:
                resting[places[int(np.argmin(near))]] += 1
            elif np.ptp(course[-_SAMPLES // 4 :]) < _AT_REST:
                if _rests(network, z[lane], tau):
                    elsewhere += 1
                else:
                    left.append(lane)
            elif stretch and (guess := _repetition(course, float(np.max(tau)))) is not None:
                if not _add(network, cycles, z[lane], guess):
                    left.append(lane)
            else:
                left.append(lane)
        waiting = np.asarray(left, int)
        report(count - waiting.size, len(cycles))
    undecided = count - int(resting.sum()) - elsewhere - sum(each["count"] for each in cycles)
    cycles.sort(key=lambda each: each["period"])
    dtype, n, size = network.gain.dtype, network.size, network.size * len(network.variables)
    stack = lambda name, shape: np.stack([each[name] for each in cycles]) if cycles else np.zeros((0, *shape))
    real = lambda name, shape: jnp.asarray(stack(name, shape), dtype)
    complexes = jnp.complex128 if jnp.finfo(dtype).bits == 64 else jnp.complex64
    return LimitCycles(
        network=network,
        state=_unflat(network, real("z", (size,))),
        period=real("period", ()),
        peaks=real("peaks", (n,)),
        troughs=real("troughs", (n,)),
        multipliers=jnp.asarray(stack("multipliers", (size,)), complexes),
        counts=stack("count", ()).astype(int),
        resting=resting,
        elsewhere=elsewhere,
        undecided=undecided,
    )


def _starts(network: Network, count: int, key: Key, bounds: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Random z: rates log-uniform from a third of the lowest to three times the highest resting rate, voltages uniform
    between ± 2π times the highest R, synapses settled."""
    low, high = bounds
    first, second = jax.random.split(key)
    share = np.asarray(jax.random.uniform(first, (count, network.size), network.gain.dtype))
    x = low - np.log(3) + (high - low + 2 * np.log(3)) * share
    v = np.asarray(jax.random.uniform(second, x.shape, network.gain.dtype, -1.0, 1.0)) * 2 * np.pi * np.exp(np.max(high))
    x = x - np.log(np.asarray(network.nodes().tau))
    return np.concatenate([x, v, *(np.exp(x) for _ in network.slow_names)], axis=1)


def _flat(network: Network, y: State) -> Values:
    return jnp.concatenate([jnp.log(y.r), y.v, *(getattr(y, name) for name in network.slow_names)], axis=-1)


def _unflat(network: Network, z: Values) -> State:
    x, v, *slow = jnp.split(z, 2 + len(network.slow_names), axis=-1)
    return State(r=jnp.exp(x), v=v, **dict(zip(network.slow_names, slow, strict=True)))


def _field(network: Network, z: Values) -> Values:
    y = _unflat(network, z)
    flow = network.vector_field(jnp.zeros((), z.dtype), y)
    return jnp.concatenate([flow.r / y.r, flow.v, *(getattr(flow, name) for name in network.slow_names)], axis=-1)


def _solve(network: Network, z: Values, t1: Scalar, saveat: Any, rtol: float, adjoint: Any) -> Any:
    single = jnp.finfo(z.dtype).bits == 32
    rtol = max(rtol, 1e-6) if single else rtol
    return diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, z, network: _field(network, z)),
        diffrax.Tsit5(),
        t0=jnp.zeros_like(t1),
        t1=t1,
        dt0=None,
        y0=z,
        args=network,
        saveat=saveat,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol),
        adjoint=adjoint,
        max_steps=100_000,
        throw=False,
    )


@jitted
def _stretch(network: Network, z: Values) -> tuple[Values, Values]:
    """Ends (k, size of z) of runs of one stretch, and their course (k, samples): a mixture of all ln r."""
    weights = jnp.cos(jnp.arange(network.size, dtype=z.dtype)) + 2  # unequal, so that nodes in turn don't cancel
    length = _WINDOW * jnp.max(network.nodes().tau)
    ts = jnp.linspace(0, 1, _SAMPLES, dtype=z.dtype) * length
    looks = diffrax.SubSaveAt(ts=ts, fn=lambda t, z, args: weights @ z[: network.size])
    saveat = diffrax.SaveAt(subs=[looks, diffrax.SubSaveAt(t1=True)])

    def one(z: Values) -> tuple[Values, Values]:
        course, end = _solve(network, z, length, saveat, 1e-7, diffrax.DirectAdjoint()).ys
        return end[0], course

    return jax.vmap(one)(z)


def _rests(network: Network, z: np.ndarray, tau: np.ndarray) -> bool:
    """Whether a stable fixed point lies where a run stands still."""
    x = jnp.asarray(z[: network.size] + np.log(tau), network.gain.dtype)
    end = _flat(network, state_at(network, x))
    near = float(jnp.max(jnp.abs(end - jnp.asarray(z, end.dtype)))) < 0.1
    return near and bool(jnp.all(jnp.real(eigenvalues_at(network, x)) < 0))


def _repetition(course: np.ndarray, tau: float) -> float | None:
    """The shortest time after which a course repeats itself, None if it doesn't."""
    step = _WINDOW * tau / (_SAMPLES - 1)
    tail = course[_SAMPLES // 3 :]
    middle, swing = (tail.max() + tail.min()) / 2, np.ptp(tail)
    above = tail > middle
    (rises,) = np.nonzero(~above[:-1] & above[1:])
    if rises.size < 3:
        return None
    times = rises + (middle - tail[rises]) / (tail[rises + 1] - tail[rises])
    for back in range(1, min(rises.size // 2, 40) + 1):
        lag = times[-1] - times[-1 - back]
        span = np.arange(int(min(lag, tail.size - lag - 2)))
        if span.size < 4:
            return None
        at = tail.size - 1 - span
        before = np.interp(at - lag, np.arange(tail.size), tail)
        if np.max(np.abs(tail[at] - before)) < _REPEATS * swing:
            return float(lag * step)
    return None


def _add(network: Network, cycles: list[dict[str, Any]], z: np.ndarray, guess: float) -> bool:
    """Whether a run of about this period lies on a cycle, which is counted, and kept if it is new."""
    dtype = network.gain.dtype
    on_cycle, period, error, multipliers = _shoot(network, jnp.asarray(z, dtype), jnp.asarray(guess, dtype))
    tolerance = 1e3 * float(jnp.sqrt(jnp.finfo(dtype).eps)) * 1e-2
    period = float(period)
    if not (np.isfinite(period) and float(error) < tolerance and 0.8 < period / guess < 1.25):
        return False
    if np.sort(np.abs(multipliers))[-2] > 1 - _ATTRACTING:
        return False
    peaks, troughs, top = (np.asarray(each) for each in _extremes(network, on_cycle, jnp.asarray(period, dtype)))
    for each in cycles:
        same = abs(each["period"] / period - 1) < _SAME
        if same and np.max(np.abs(np.log(each["peaks"] / peaks))) < _SAME:
            each["count"] += 1
            return True
    order = np.argsort(-np.abs(multipliers))
    found = {"z": top, "period": period, "peaks": peaks, "troughs": troughs, "count": 1}
    cycles.append({**found, "multipliers": np.asarray(multipliers)[order]})
    return True


@jitted
def _shoot(network: Network, z: Values, period: Scalar) -> tuple[Values, Scalar, Scalar, ComplexValues]:
    """The cycle near z with about this period: a state, the period, the mismatch left, and the multipliers."""

    def end_of(z: Values, period: Scalar) -> Values:
        saveat = diffrax.SaveAt(t1=True)
        return _solve(network, z, period, saveat, 1e-11, diffrax.ForwardMode()).ys[0]

    def mismatch(unknown: Values, z0: Values, along: Values) -> tuple[Values, Values]:
        z, period = unknown[:-1], unknown[-1]
        found = jnp.concatenate([end_of(z, period) - z, ((z - z0) @ along)[None]])
        return found, found

    def newton(carry) -> Any:
        unknown, _, _, count = carry
        z0 = unknown[:-1]
        along = _field(network, z0)
        along = along / jnp.linalg.norm(along)
        slopes, residual = jax.jacfwd(mismatch, has_aux=True)(unknown, z0, along)
        step = jnp.linalg.solve(slopes, residual)
        longest = jnp.max(jnp.abs(step))
        monodromy = slopes[:-1, :-1] + jnp.eye(z.shape[0], dtype=z.dtype)
        return unknown - step * jnp.minimum(1, 0.5 / longest), jnp.max(jnp.abs(residual)), monodromy, count + 1

    def unfinished(carry) -> Any:
        rounding = 64 * jnp.finfo(z.dtype).eps * jnp.maximum(1, jnp.max(jnp.abs(carry[0])))
        return (carry[3] < _STEPS) & ~(carry[1] < rounding)

    nothing = jnp.zeros((z.shape[0], z.shape[0]), z.dtype)
    start = (jnp.concatenate([z, period[None]]), jnp.asarray(jnp.inf, z.dtype), nothing, 0)
    unknown, error, monodromy, _ = jax.lax.while_loop(unfinished, newton, start)
    return unknown[:-1], unknown[-1], error, jnp.linalg.eigvals(monodromy)


@jitted
def _course(network: Network, z: Values, ts: Values) -> Values:
    return _solve(network, z, ts[-1], diffrax.SaveAt(ts=ts), 1e-11, diffrax.DirectAdjoint()).ys


@jitted
def _extremes(network: Network, z: Values, period: Scalar) -> tuple[Values, Values, Values]:
    """Peaks and troughs (n,) of the rates along a cycle, refined by Newton's method to where ṙ = 0, and the state z at
    the highest peak."""
    n, count = network.size, 1024
    ts = jnp.linspace(0, 1, count, dtype=z.dtype) * period
    course = _solve(network, z, period, diffrax.SaveAt(ts=ts), 1e-11, diffrax.DirectAdjoint()).ys
    x = course[:, :n]

    def refined(place, node) -> tuple[Values, Values]:
        start = course[place]
        slope = lambda z: _field(network, z)[node]
        at = lambda delta: start + _short_flow(network, start, delta)

        def move(delta: Values) -> Values:
            z = at(delta)
            return ratio(*jax.jvp(slope, (z,), (_field(network, z),)))

        keep = lambda new, _: jnp.clip(new, -2 * period / count, 2 * period / count)
        found = at(newton(move, jnp.zeros_like(period), 4, keep))
        return found[node], found

    nodes = jnp.arange(n)
    tops, states = jax.vmap(refined)(jnp.argmax(x, axis=0), nodes)
    bottoms, _ = jax.vmap(refined)(jnp.argmin(x, axis=0), nodes)
    return jnp.exp(tops), jnp.exp(bottoms), states[jnp.argmax(tops)]


def _short_flow(network: Network, z: Values, delta: Scalar) -> Values:
    """z(δ) − z over a time far below the period, by eight steps of order 4."""
    step = lambda _, z: runge_kutta(lambda _, z: _field(network, z), z, delta / 8)
    return jax.lax.fori_loop(0, 8, step, z) - z
