"""The past of a network with delays: what every node sent, read where each pair's signal left.

The input of node i from the past is c_i(t) = Σ_j W_ij s_j(t − D_ij). Sent signals s and their slopes are kept at equal
steps; in between stands the cubic through both, so that delays aren't rounded to steps and the order 4 of a solver holds.
As long as t − D_ij lies in the past, c is known for many steps at once: windows of the history, one per pair, are
contiguous, and a small matrix product per receiver sums them. Pairs whose delay is longer than a block of steps are *far*,
and are summed once a block; the few others are *near*, and are summed one by one in shorter blocks.

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

# Receivers whose windows are copied at once: so many as fit into the second-level cache.
_TOGETHER, _TOGETHER_BYTES = 12, 2**19
# Nanoseconds on one core, measured: of a pair's step and block, of a near pair's step and block, of a step besides.
_PAIR, _PAIR_BLOCK, _NEAR, _NEAR_BLOCK, _STEP = 0.35, 7.0, 3.0, 8.0, 500.0


@dataclasses.dataclass(frozen=True)
class Blocks:
    """How steps are gathered: `far` steps per block, in blocks of `near` steps; `length` samples of the past are kept."""

    far: int
    near: int
    length: int


class Wires(eqx.Module):
    """Connections whose signals take time, as arrays.

    - `delays` (n, n), or (n, n, lanes): in the unit of τ; `weights` (n, n): W, without gain, 0 for pairs without delay
    - `far` (n, m): senders whose signals each receiver sums in long blocks, and `used` (n, m): 1 for a sender, 0 where
      a receiver has fewer; both None without any
    - `receivers`, `senders` (e,): of the near pairs, sorted by receiver
    """

    delays: Values
    weights: Values
    far: Any
    used: Any
    receivers: Any
    senders: Any

    @property
    def size(self) -> int:
        return self.weights.shape[0]


class Read(eqx.Module):
    """Where each pair reads: `ago` (…): whole samples before the present; `taps` (4, …): factors of the signal there and at
    the next sample, and of the slopes at both, weights included."""

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
    some = delays[np.isfinite(delays) & (delays > 0)]
    ago = np.ceil(some / dt - 1e-9).astype(int)
    most = max(int(ago.min()) - 1, 1)
    near = {far: max(each for each in range(1, min(far, most) + 1) if far % each == 0) for far in choices}

    def cost(far: int) -> float:
        close = np.sum(ago <= far)
        pairs = (some.size - close) * (_PAIR + _PAIR_BLOCK / far)
        return pairs + close * (_NEAR + _NEAR_BLOCK / near[far]) + _STEP * (1 + 1 / near[far])

    far = min(choices, key=cost)
    return Blocks(far, near[far], 0)


def wires_of(network: Network, delays: np.ndarray, blocks: Blocks, dt: float) -> Wires:
    """The connections of a network, told apart by their shortest delays in any lane."""
    timed = np.isfinite(delays) & (delays > 0)
    ago = np.where(timed, np.ceil(np.where(timed, delays, 0) / dt - 1e-9), 0)
    near = timed & (ago <= blocks.far)
    receivers, senders = np.nonzero(near)
    far, used = _rows(timed & ~near)
    W = network.weights.todense() if network.is_sparse else network.weights
    W = jnp.where(jnp.asarray(timed), W, 0)
    given = network.coupling.delays()
    assert given is not None
    whole = lambda each: jnp.asarray(each, jnp.int32)
    some = used.shape[1] > 0
    kept = (whole(far), jnp.asarray(used, W.dtype)) if some else (None, None)
    return Wires(given, W, *kept, whole(receivers), whole(senders))


def _rows(hit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the columns that are hit in each row, (n, m), and where there is one, (n, m)."""
    most = int(hit.sum(axis=1).max(initial=0))
    order = np.argsort(~hit, axis=1, kind="stable")[:, :most]
    return order, np.take_along_axis(hit, order, axis=1)


def reading(delays: Values, weights: Values, dt: Values, later: float = 0.0) -> Read:
    """Where signals with these `delays` are read at the times of the steps, or `later` steps of `dt` before them."""
    back = delays / dt + later
    whole = jnp.ceil(jax.lax.stop_gradient(back) - 1e-9)
    s = whole - back
    taps = [(1 + 2 * s) * (1 - s) ** 2, s**2 * (3 - 2 * s), dt * s * (1 - s) ** 2, dt * s**2 * (s - 1)]
    return Read(whole.astype(jnp.int32), jnp.stack([each * weights for each in taps]))


def _combined(rows: Any, steps: int, lanes: int) -> Values:
    """(…, steps, lanes) from four rows (…, 2 (steps + 1) lanes), in which signals and slopes alternate along the windows."""
    now = lambda row, which: row.reshape(*row.shape[:-1], steps + 1, 2, lanes)[..., :-1, which, :]
    nxt = lambda row, which: row.reshape(*row.shape[:-1], steps + 1, 2, lanes)[..., 1:, which, :]
    return now(rows[0], 0) + nxt(rows[1], 0) + now(rows[2], 1) + nxt(rows[3], 1)


def _windows(past: Values, lanes: int, place: Any, ago: Any, senders: Any, steps: int) -> Values:
    """What pairs read at the next `steps` samples, and one before: (pairs, 2 (steps + 1) lanes)."""
    cut = lambda j, k: jax.lax.dynamic_slice(past, (j, 2 * lanes * (place - k)), (1, 2 * lanes * (steps + 1)))[0]
    return jax.vmap(cut)(senders, ago)


def far_input(past: Values, lanes: int, place: Any, read: Read, senders: Any, steps: int) -> Values:
    """Σ_j over far pairs at the next `steps` samples, (steps, n, lanes). `past` (n, 2 samples · lanes) has its newest sample
    just before `place`; `senders` and `read` are of shape (n, m), or (n, m, lanes) if delays differ between lanes."""
    n = past.shape[0]
    if read.ago.ndim == 3:
        one = lambda past, ago, taps: far_input(past, 1, place, Read(ago, taps), senders, steps)[..., 0]
        return jax.vmap(one, in_axes=-1, out_axes=-1)(past.reshape(n, -1, lanes), read.ago, read.taps)
    fitting = int(np.clip(_TOGETHER_BYTES // (past.itemsize * senders.shape[1] * 2 * (steps + 1) * lanes), 1, _TOGETHER))
    group = max(each for each in range(1, fitting + 1) if n % each == 0)
    m = senders.shape[1]

    def some(now: Any) -> Values:
        senders, ago, taps = now  # (group, m), (group, m), (group, 4, m)
        windows = jax.vmap(lambda senders, ago: _windows(past, lanes, place, ago, senders, steps))(senders, ago)
        return _combined(jnp.moveaxis(jnp.einsum("gtj,gjb->gtb", taps, windows), 1, 0), steps, lanes)

    taps = jnp.moveaxis(read.taps, 0, 1).reshape(n // group, group, 4, m)
    grouped = lambda each: each.reshape(n // group, group, m)
    found = jax.lax.map(some, (grouped(senders), grouped(read.ago), taps))
    return jnp.moveaxis(found.reshape(n, steps, lanes), 1, 0)


def near_input(past: Values, lanes: int, place: Any, read: Read, receivers: Any, senders: Any, steps: int) -> Values:
    """The same of the near pairs, with `read` of shape (pairs,) or (pairs, lanes)."""
    n = past.shape[0]
    if read.ago.ndim == 2:
        one = lambda past, ago, taps: near_input(past, 1, place, Read(ago, taps), receivers, senders, steps)[..., 0]
        return jax.vmap(one, in_axes=-1, out_axes=-1)(past.reshape(n, -1, lanes), read.ago, read.taps)
    windows = _windows(past, lanes, place, read.ago, senders, steps)
    each = _combined(read.taps[..., None] * windows[None], steps, lanes)
    found = jax.ops.segment_sum(each, receivers, n, indices_are_sorted=True)
    return jnp.moveaxis(found, 1, 0)


class Reads(NamedTuple):
    """Where far and near pairs read, or None without such pairs."""

    far: Read | None
    near: Read | None


def readings(wires: Wires, dt: Values, later: float = 0.0) -> Reads:
    """Where all pairs read at the times of steps of `dt`, or `later` steps before them."""
    column = (lambda each: each[..., None]) if wires.delays.ndim == 3 else (lambda each: each)
    pairs = lambda each: each[wires.receivers, wires.senders]
    far = near = None
    if wires.far is not None:
        rows = lambda each: each[jnp.arange(wires.size)[:, None], wires.far]
        far = reading(rows(wires.delays), column(rows(wires.weights) * wires.used), dt, later)
    if wires.receivers.size:
        near = reading(pairs(wires.delays), column(pairs(wires.weights)), dt, later)
    return Reads(far, near)


def input_of(wires: Wires, past: "Past", reads: Reads, steps: int, back: int = 0) -> Values:
    """Σ_j W_ij s_j(t − D_ij) of all pairs at the `steps` samples that follow the newest but `back`, (steps, n, lanes),
    without gain."""
    place, lanes = past.place - back, past.lanes
    total = jnp.zeros((steps, wires.size, lanes), past.samples.dtype)
    if reads.far is not None:
        total = total + far_input(past.samples, lanes, place, reads.far, wires.far, steps)
    if reads.near is not None:
        total = total + near_input(past.samples, lanes, place, reads.near, wires.receivers, wires.senders, steps)
    return total


class Past(eqx.Module):
    """The history while a run goes on: `samples` (n, 2 · 2 · length · lanes), every one of them kept twice so that the last
    `length` always lie side by side; `newest`, how many the first copy holds before it begins anew."""

    samples: Values
    newest: Any
    length: int = eqx.field(static=True)
    lanes: int = eqx.field(static=True)

    @property
    def place(self) -> Any:
        return self.newest + self.length

    def after(self, sent: Values, slopes: Values) -> "Past":
        """With further samples (steps, n, lanes), as many as divide the length."""
        both, width = _side_by_side(sent, slopes), 2 * self.lanes
        at = jnp.where(self.newest == self.length, 0, self.newest)
        zero = jnp.zeros_like(at)
        samples = jax.lax.dynamic_update_slice(self.samples, both, (zero, width * at))
        samples = jax.lax.dynamic_update_slice(samples, both, (zero, width * (at + self.length)))
        return Past(samples, at + sent.shape[0], self.length, self.lanes)

    def in_order(self) -> Values:
        """The samples in the order of time, (n, length, 2, lanes)."""
        n, width = self.samples.shape[0], 2 * self.lanes
        zero = jnp.zeros_like(self.newest)
        cut = jax.lax.dynamic_slice(self.samples, (zero, width * self.newest), (n, width * self.length))
        return cut.reshape(n, self.length, 2, self.lanes)


def _side_by_side(sent: Values, slopes: Values) -> Values:
    """(n, 2 steps · lanes) from signals and slopes (steps, n, lanes)."""
    both = jnp.moveaxis(jnp.stack([sent, slopes], axis=1), 2, 0)
    return both.reshape(both.shape[0], -1)


def begun(sent: Values, slopes: Values) -> Past:
    """The history whose samples (length, n, lanes) are known, the newest last."""
    both, length = _side_by_side(sent, slopes), sent.shape[0]
    twice = jnp.concatenate([both, both], axis=1)
    return Past(twice, jnp.asarray(length, jnp.int32), length, sent.shape[-1])


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
