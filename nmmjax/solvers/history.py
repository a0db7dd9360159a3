"""The past of a network with delays: what every node sent, read where each pair's signal left.

The input of node i from the past is c_i(t) = Σ_j W_ij s_j(t − D_ij). Sent signals s and their slopes are kept at equal
steps; in between stands the cubic through both, so that delays aren't rounded to steps and the order 4 of a solver holds.
As long as t − D_ij lies in the past, c is known for many steps at once: windows of the history, one per pair, are
contiguous, and are summed sender by sender, of all receivers together. Pairs whose delay is longer than a block of steps are
*far*, and are summed once a block; the few others are *near*, and are summed in shorter blocks.

All arrays have the lanes as their last axis.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._types import Values, is_concrete, primal
from ..models.network import Network

# Senders of every receiver that one pass over the sums adds.
_TOGETHER = 2
# Nanoseconds on one core, measured: of a pair's step and block, of a step besides.
_PAIR, _PAIR_BLOCK, _STEP = 0.2, 5.0, 500.0


@dataclasses.dataclass(frozen=True)
class Blocks:
    """How steps are gathered: `far` steps per block, in blocks of `near` steps; `length` samples of the past are kept."""

    far: int
    near: int
    length: int


class Senders(NamedTuple):
    """Whom each receiver hears, in columns: `nodes` (m, n), the k-th sender of every receiver, and `used` (m, n): 1 for a
    sender, 0 where a receiver has fewer."""

    nodes: Any
    used: Any


class Wires(eqx.Module):
    """Connections whose signals take time, as arrays.

    - `delays` (n, n), or (n, n, lanes): in the unit of τ; `weights` (n, n): W, without gain, 0 for pairs without delay
    - `far`, `near`: senders whose signals are summed in long blocks and in short ones, or None without any
    """

    delays: Values
    weights: Values
    far: Senders | None
    near: Senders | None

    @property
    def size(self) -> int:
        return self.weights.shape[0]


class Read(eqx.Module):
    """Where pairs read, in columns: `nodes` (m, n): senders; `ago` (m, n, …): whole samples before the present; `taps`
    (m, 4, n, …): factors of the signal there and at the next sample, and of the slopes at both, weights included."""

    nodes: Any
    ago: Any
    taps: Values


def known_delays(network: Network) -> np.ndarray:
    """The delays (n, n), infinite for pairs without a connection. Refuses those that `jax.jit` or `jax.vmap` hides."""
    delays, weights = primal(network.coupling.delays()), primal(network.weights)
    dense = weights.todense() if network.is_sparse else weights
    rule = "be known outside `jax.jit` and `jax.vmap`, since delays decide how steps are gathered"
    require("speed" if network.delay is None else "delay", "a traced value", rule, is_concrete(delays))
    known = np.asarray(delays, float)
    return np.where(np.asarray(dense) != 0, known, np.inf) if is_concrete(dense) else known


def least_delay(delays: np.ndarray) -> float:
    """The shortest delay > 0; infinite if there is none."""
    some = delays[np.isfinite(delays) & (delays > 0)]
    return float(some.min()) if some.size else np.inf


def blocks_of(delays: np.ndarray, dt: float, choices: list[int]) -> Blocks:
    """The blocks of steps of `dt` that cost least, of these lengths, for the shortest delays of any lane."""
    timed = np.isfinite(delays) & (delays > 0)
    ago = np.where(timed, np.ceil(np.where(timed, delays, 0) / dt - 1e-9), 0)
    most, n = max(int(ago[timed].min()) - 1, 1), delays.shape[0]
    near = {far: max(each for each in range(1, min(far, most) + 1) if far % each == 0) for far in choices}
    columns = lambda hit: n * int(hit.sum(axis=1).max(initial=0))

    def cost(far: int) -> float:
        close = timed & (ago <= far)
        pairs = columns(timed & ~close) * (_PAIR + _PAIR_BLOCK / far)
        return pairs + columns(close) * (_PAIR + _PAIR_BLOCK / near[far]) + _STEP * (1 + 1 / near[far])

    far = min(choices, key=cost)
    return Blocks(far, near[far], 0)


def wires_of(network: Network, delays: np.ndarray, blocks: Blocks, dt: float) -> Wires:
    """The connections of a network, told apart by their shortest delays in any lane."""
    timed = np.isfinite(delays) & (delays > 0)
    ago = np.where(timed, np.ceil(np.where(timed, delays, 0) / dt - 1e-9), 0)
    near = timed & (ago <= blocks.far)
    W = network.weights.todense() if network.is_sparse else network.weights
    W = jnp.where(jnp.asarray(timed), W, 0)
    given = network.coupling.delays()
    assert given is not None
    return Wires(given, W, _columns(timed & ~near, W.dtype), _columns(near, W.dtype))


def _columns(hit: np.ndarray, dtype: Any) -> Senders | None:
    """The senders that are hit in each row, as many columns as are summed at once at a time; None without any."""
    most = int(hit.sum(axis=1).max(initial=0))
    if most == 0:
        return None
    order = np.argsort(~hit, axis=1, kind="stable")[:, :most]
    used = np.take_along_axis(hit, order, axis=1)
    spare = ((0, 0), (0, -most % _TOGETHER))
    order, used = np.pad(order, spare, mode="edge"), np.pad(used, spare)
    return Senders(jnp.asarray(order.T, jnp.int32), jnp.asarray(used.T, dtype))


def _read(wires: Wires, senders: Senders | None, dt: Values, later: float) -> Read | None:
    """Where signals of these senders are read at the times of the steps, or `later` steps of `dt` before them."""
    if senders is None:
        return None
    receivers = jnp.arange(wires.size)[None, :]
    delays, weights = (each[receivers, senders.nodes] for each in (wires.delays, wires.weights))
    back, weights = delays / dt + later, weights * senders.used
    whole = jnp.ceil(jax.lax.stop_gradient(back) - 1e-9)
    s = whole - back
    taps = [(1 + 2 * s) * (1 - s) ** 2, s**2 * (3 - 2 * s), dt * s * (1 - s) ** 2, dt * s**2 * (s - 1)]
    weights = weights[..., None] if s.ndim == 3 else weights
    return Read(senders.nodes, whole.astype(jnp.int32), jnp.stack([each * weights for each in taps], axis=1))


class Reads(NamedTuple):
    """Where far and near pairs read, or None without such pairs."""

    far: Read | None
    near: Read | None


def readings(wires: Wires, dt: Values, later: float = 0.0) -> Reads:
    """Where all pairs read at the times of steps of `dt`, or `later` steps before them."""
    return Reads(_read(wires, wires.far, dt, later), _read(wires, wires.near, dt, later))


class Past(eqx.Module):
    """The history while a run goes on: `samples` (n, 2, (length + spare) · lanes), signals and slopes of the last `length`
    steps, over and over from the start, whose first `spare` are kept once more behind the end, so that windows of up to
    `spare` + 1 samples lie side by side; `place`: where the next sample is put."""

    samples: Values
    place: Any
    length: int = eqx.field(static=True)
    lanes: int = eqx.field(static=True)

    @property
    def spare(self) -> int:
        return self.samples.shape[-1] // self.lanes - self.length

    def after(self, sent: Values, slopes: Values) -> "Past":
        """With further samples (steps, n, lanes), as many as divide the length."""
        both, at = _side_by_side(sent, slopes), self.place
        again = jnp.where(at < self.spare, at + self.length, at)
        zero = jnp.zeros_like(at)
        samples = jax.lax.dynamic_update_slice(self.samples, both, (zero, zero, self.lanes * at))
        samples = jax.lax.dynamic_update_slice(samples, both, (zero, zero, self.lanes * again))
        later = at + sent.shape[0]
        return Past(samples, jnp.where(later == self.length, 0, later), self.length, self.lanes)

    def in_order(self) -> Values:
        """The samples in the order of time, (n, length, 2, lanes)."""
        n = self.samples.shape[0]
        ring = self.samples[..., : self.length * self.lanes].reshape(n, 2, self.length, self.lanes)
        return jnp.moveaxis(jnp.roll(ring, -self.place, axis=2), 1, 2)

    def summed(self, read: Read, steps: int, back: int = 0) -> Values:
        """Σ_j over the senders at the `steps` samples that follow the newest but `back`, (steps, n, lanes)."""
        if read.ago.ndim == 3:  # delays differ between lanes

            def one(samples: Values, ago: Any, taps: Values) -> Values:
                past = Past(samples, self.place, self.length, 1)
                return past.summed(Read(read.nodes, ago, taps), steps, back)[..., 0]

            n = self.samples.shape[0]
            apart = self.samples.reshape(n, 2, -1, self.lanes)
            return jax.vmap(one, in_axes=-1, out_axes=-1)(apart, read.ago, read.taps)
        n, lanes, place = self.samples.shape[0], self.lanes, self.place - back
        numbers = jax.lax.GatherDimensionNumbers((1, 2), (0,), (0, 2))

        def some(total: Values, now: Any) -> tuple[Values, None]:
            """With a few senders of every receiver: XLA makes one loop over receivers and steps of it, and copies no
            window."""
            nodes, ago, taps = now
            start = place - ago
            start = lanes * jnp.where(start < 0, start + self.length, start)
            for node, at, (a, b, c, d) in zip(nodes, start, taps[..., None], strict=True):
                window = jax.lax.gather(
                    self.samples,
                    jnp.stack([node, at], axis=1),
                    numbers,
                    (1, 2, lanes * (steps + 1)),
                    mode=jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS,
                )
                signal, slope = window[:, 0], window[:, 1]
                total = total + a * signal[:, :-lanes] + b * signal[:, lanes:]
                total = total + c * slope[:, :-lanes] + d * slope[:, lanes:]
            return total, None

        gathered = lambda each: each.reshape(-1, _TOGETHER, *each.shape[1:])
        columns = jax.tree.map(gathered, (read.nodes, read.ago, read.taps))
        total = jnp.zeros((n, lanes * steps), self.samples.dtype)
        total, _ = jax.lax.scan(jax.checkpoint(some, prevent_cse=False), total, columns)
        return jnp.moveaxis(total.reshape(n, steps, lanes), 1, 0)


def input_of(past: Past, reads: Reads, steps: int, back: int = 0) -> Values:
    """Σ_j W_ij s_j(t − D_ij) of all pairs at the `steps` samples that follow the newest but `back`, (steps, n, lanes),
    without gain."""
    total = jnp.zeros((steps, past.samples.shape[0], past.lanes), past.samples.dtype)
    for read in reads:
        if read is not None:
            total = total + past.summed(read, steps, back)
    return total


def _side_by_side(sent: Values, slopes: Values) -> Values:
    """(n, 2, steps · lanes) from signals and slopes (steps, n, lanes)."""
    both = jnp.moveaxis(jnp.stack([sent, slopes]), 2, 0)
    return both.reshape(both.shape[0], 2, -1)


def begun(sent: Values, slopes: Values, spare: int) -> Past:
    """The history whose samples (length, n, lanes) are known, the newest last; windows have up to `spare` + 1 samples."""
    both, length, lanes = _side_by_side(sent, slopes), sent.shape[0], sent.shape[-1]
    samples = jnp.concatenate([both, both[..., : spare * lanes]], axis=-1)
    return Past(samples, jnp.zeros((), jnp.int32), length, lanes)


class History(eqx.Module):
    """What the nodes of a network sent before a time: called with one, it gives signals and slopes, (n,) each.

    - `samples` (n, m, 2): sent signals and their slopes per unit of time, at equal steps, the last at `end`
    - `step`, `end`: the step and the last time

    A run keeps its own (`run.history`), with which `simulate(network, run, ts)` goes on.
    """

    samples: Values
    step: Values
    end: Values

    def __call__(self, t: Any) -> tuple[Values, Values]:
        m = self.samples.shape[1]
        where = jnp.clip((jnp.asarray(t, self.step.dtype) - self.end) / self.step + (m - 1), 0.0, float(m - 1))
        k = jnp.clip(jnp.floor(where).astype(int), 0, m - 2)
        s = where - k.astype(where.dtype)
        (a, p), (b, q) = self.samples[:, k].T, self.samples[:, k + 1].T
        h = self.step
        value = (1 + 2 * s) * (1 - s) ** 2 * a + s**2 * (3 - 2 * s) * b + h * s * (1 - s) ** 2 * p + h * s**2 * (s - 1) * q
        slope = 6 * s * (1 - s) * (b - a) / h + (1 - s) * (1 - 3 * s) * p + s * (3 * s - 2) * q
        return value, slope


PastLike = Callable[[Any], Any]
