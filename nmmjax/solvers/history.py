"""The past of a network with delays: what every node sent, read where each pair's signal left.

The input of node i from the past is c_i(t) = Σ_j W_ij s_j(t − D_ij). Sent signals s and their slopes are kept at equal
steps; in between stands the cubic through both, so that delays aren't rounded to steps and the order 4 of a solver holds. As long as
t − D_ij lies in the past, c is known for many steps at once: windows of the history, one per pair, are contiguous, and a
small matrix product per receiver sums them. Pairs whose delay is longer than a block of steps are *far*, and are summed
once a block; the few others are *near*, and are summed one by one in shorter blocks.

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
from .._types import Values, is_concrete
from ..models.network import Network

_TOGETHER = 12  # receivers whose windows are copied at once
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
    - `far` (n, n): 1 for pairs that are summed in long blocks, 0 for others, or None if there are none
    - `receivers`, `senders` (e,): of the near pairs, sorted by receiver
    """

    delays: Values
    weights: Values
    far: Any
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


def primal(x: Any) -> Any:
    """The value without the tracers of derivatives around it."""
    while not is_concrete(x) and getattr(x, "primal", None) is not None:
        x = x.primal
    return x


def known_delays(network: Network) -> np.ndarray:
    """The delays (n, n), infinite where there is no connection. Refuses those that `jax.jit` or `jax.vmap` hides."""
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


def blocks_of(delays: np.ndarray, dt: float, choices: list[int], sparse: bool = False) -> Blocks:
    """The blocks of steps of `dt` that cost least, of these lengths, for the shortest delays of any lane."""
    some = delays[np.isfinite(delays) & (delays > 0)]
    ago = np.ceil(some / dt - 1e-9).astype(int)
    most = max(int(ago.min()) - 1, 1)
    near = {far: max(each for each in range(1, min(far, most) + 1) if far % each == 0) for far in choices}

    def cost(far: int) -> float:
        close = some.size if sparse else np.sum(ago <= far)
        every = delays.size * (_PAIR + _PAIR_BLOCK / far) if close < some.size else 0.0
        return every + close * (_NEAR + _NEAR_BLOCK / near[far]) + _STEP * (1 + 1 / near[far])

    far = min(choices, key=cost)
    return Blocks(far, near[far], 0)


def wires_of(network: Network, delays: np.ndarray, blocks: Blocks, dt: float, sparse: bool = False) -> Wires:
    """The connections of a network, told apart by their shortest delays in any lane."""
    timed = np.isfinite(delays) & (delays > 0)
    ago = np.where(timed, np.ceil(np.where(timed, delays, 0) / dt - 1e-9), 0)
    near = timed & ((ago <= blocks.far) | sparse)
    receivers, senders = np.nonzero(near)
    far = timed & ~near
    W = network.weights.todense() if network.is_sparse else network.weights
    W = jnp.where(jnp.asarray(timed), W, 0)
    given = network.coupling.delays()
    assert given is not None
    kept = jnp.asarray(far.astype(np.float64), W.dtype) if far.any() else None
    return Wires(given, W, kept, jnp.asarray(receivers), jnp.asarray(senders))


def reading(delays: Values, weights: Values, dt: Values, later: float = 0.0) -> Read:
    """Where signals with these `delays` are read at the times of the steps, or `later` steps of `dt` before them."""
    back = delays / dt + later
    whole = jnp.ceil(jax.lax.stop_gradient(back) - 1e-9)
    s = whole - back
    taps = [(1 + 2 * s) * (1 - s) ** 2, s**2 * (3 - 2 * s), dt * s * (1 - s) ** 2, dt * s**2 * (s - 1)]
    return Read(whole.astype(jnp.int32), jnp.stack([each * weights for each in taps]))


def _combined(rows: Values, steps: int) -> Values:
    """(…, steps, lanes) from (4, …, 2 (steps + 1), lanes): signals and slopes alternate along the windows."""
    rows = rows.reshape(*rows.shape[:-2], steps + 1, 2, rows.shape[-1])
    now, nxt = rows[..., :-1, :, :], rows[..., 1:, :, :]
    return now[0, ..., 0, :] + nxt[1, ..., 0, :] + now[2, ..., 1, :] + nxt[3, ..., 1, :]


def far_input(past: Values, place: Any, read: Read, steps: int) -> Values:
    """Σ_j over far pairs at the next `steps` samples, (steps, n, lanes). `past` (n, 2 samples, lanes) has its newest sample
    just before `place`; `read` is of shape (n, n), or (n, n, lanes) if delays differ between lanes."""
    n, lanes = past.shape[0], past.shape[-1]
    if read.ago.ndim == 3:
        one = lambda past, ago, taps: far_input(past[..., None], place, Read(ago, taps), steps)[..., 0]
        return jax.vmap(one, in_axes=-1, out_axes=-1)(past, read.ago, read.taps)
    width = 2 * (steps + 1)
    group = max(each for each in range(1, _TOGETHER + 1) if n % each == 0)
    senders = jnp.arange(n)

    def some(now: Any) -> Values:
        ago, taps = now  # (group, n), (4, group, n)
        cut = lambda j, k: jax.lax.dynamic_slice(past, (j, 2 * (place - k), 0), (1, width, lanes))[0]
        windows = jax.vmap(lambda row: jax.vmap(cut)(senders, row))(ago)
        rows = jnp.einsum("tgj,gjb->tgb", taps, windows.reshape(group, n, width * lanes))
        return _combined(rows.reshape(4, group, width, lanes), steps)

    grouped = lambda each: each.reshape(*each.shape[:-2], n // group, group, n)
    found = jax.lax.map(some, (grouped(read.ago), jnp.moveaxis(grouped(read.taps), 0, 1)))
    return jnp.moveaxis(found.reshape(n, steps, lanes), 1, 0)


def near_input(past: Values, place: Any, read: Read, receivers: Any, senders: Any, steps: int) -> Values:
    """The same of the near pairs, with `read` of shape (pairs,) or (pairs, lanes)."""
    n, lanes = past.shape[0], past.shape[-1]
    if read.ago.ndim == 2:
        one = lambda past, ago, taps: near_input(past[..., None], place, Read(ago, taps), receivers, senders, steps)[..., 0]
        return jax.vmap(one, in_axes=-1, out_axes=-1)(past, read.ago, read.taps)
    width = 2 * (steps + 1)
    cut = lambda j, k: jax.lax.dynamic_slice(past, (j, 2 * (place - k), 0), (1, width, lanes))[0]
    windows = jax.vmap(cut)(senders, read.ago)
    each = _combined(read.taps[..., None, None] * windows[None], steps)
    found = jax.ops.segment_sum(each, receivers, n, indices_are_sorted=True)
    return jnp.moveaxis(found, 1, 0)


class Reads(NamedTuple):
    """Where far and near pairs read, or None where there are no such pairs."""

    far: Read | None
    near: Read | None


def readings(wires: Wires, dt: Values, later: float = 0.0) -> Reads:
    """Where all pairs read at the times of steps of `dt`, or `later` steps before them."""
    column = (lambda each: each[..., None]) if wires.delays.ndim == 3 else (lambda each: each)
    pairs = lambda each: each[wires.receivers, wires.senders]
    far = None if wires.far is None else reading(wires.delays, column(wires.weights * wires.far), dt, later)
    near = None
    if wires.receivers.size:
        near = reading(pairs(wires.delays), column(pairs(wires.weights)), dt, later)
    return Reads(far, near)


def input_of(wires: Wires, past: "Past", reads: Reads, steps: int, back: int = 0) -> Values:
    """Σ_j W_ij s_j(t − D_ij) of all pairs at the `steps` samples that follow the newest but `back`, (steps, n, lanes),
    without gain."""
    place = past.place - back
    total = jnp.zeros((steps, wires.size, past.samples.shape[-1]), past.samples.dtype)
    if reads.far is not None:
        total = total + far_input(past.samples, place, reads.far, steps)
    if reads.near is not None:
        total = total + near_input(past.samples, place, reads.near, wires.receivers, wires.senders, steps)
    return total


class Past(eqx.Module):
    """The history while a run goes on: `samples` (n, 2 · 2 · length, lanes), every one of them kept twice so that the last
    `length` always lie side by side; `newest`, how many the first copy holds before it begins anew."""

    samples: Values
    newest: Any
    length: int = eqx.field(static=True)

    @property
    def place(self) -> Any:
        return self.newest + self.length

    def after(self, sent: Values, slopes: Values) -> "Past":
        """With further samples (steps, n, lanes), as many as divide the length."""
        steps = sent.shape[0]
        both = jnp.moveaxis(jnp.stack([sent, slopes], axis=1), 2, 0)
        both = both.reshape(both.shape[0], 2 * steps, both.shape[-1])
        at = jnp.where(self.newest == self.length, 0, self.newest)
        samples = jax.lax.dynamic_update_slice(self.samples, both, (0, 2 * at, 0))
        samples = jax.lax.dynamic_update_slice(samples, both, (0, 2 * (at + self.length), 0))
        return Past(samples, at + steps, self.length)

    def newest_first(self) -> Values:
        """The samples in the order of time, (n, length, 2, lanes)."""
        n, lanes = self.samples.shape[0], self.samples.shape[-1]
        cut = jax.lax.dynamic_slice(self.samples, (0, 2 * self.newest, 0), (n, 2 * self.length, lanes))
        return cut.reshape(n, self.length, 2, lanes)


def begun(sent: Values, slopes: Values) -> Past:
    """The history whose samples (length, n, lanes) are known, the newest last."""
    length = sent.shape[0]
    both = jnp.moveaxis(jnp.stack([sent, slopes], axis=1), 2, 0)
    both = both.reshape(both.shape[0], 2 * length, both.shape[-1])
    return Past(jnp.concatenate([both, both], axis=1), jnp.asarray(length), length)


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
        where = jnp.clip((jnp.asarray(t) - self.end) / self.step + (m - 1), 0.0, float(m - 1))
        k = jnp.clip(jnp.floor(where).astype(int), 0, m - 2)
        s = where - k
        (a, p), (b, q) = self.samples[:, k].T, self.samples[:, k + 1].T
        h = self.step
        value = (1 + 2 * s) * (1 - s) ** 2 * a + s**2 * (3 - 2 * s) * b + h * s * (1 - s) ** 2 * p + h * s**2 * (s - 1) * q
        slope = 6 * s * (1 - s) * (b - a) / h + (1 - s) * (1 - 3 * s) * p + s * (3 * s - 2) * q
        return value, slope


PastLike = Callable[[Any], Any]
