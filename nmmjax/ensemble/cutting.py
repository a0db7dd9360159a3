"""Lanes cut into blocks for a CPU, so that neither a step's fixed cost nor the company of stiffer lanes is paid twice.

A loop over a block costs its largest number of steps. A step of one vector (8 lanes in float64) waits for its own result and
takes 39 ns; 512 lanes take 600 ns, a quarter of the time per lane and 15 times as long for the slowest. So lanes that need
by far the most steps go in blocks of one vector, all others in wide ones.
"""

import dataclasses

import numpy as np

_ONE_VECTOR = 16  # lanes at most, of float32
_VECTOR_STEP = 39.0  # ns of one step of a population in a block of one vector (AMD EPYC, AVX-512)
_WIDE_STEP, _WIDE_LANE = 70.0, 1.03  # ns of a step of a wider block, and of a lane in it
_THREADS = 2  # of the machine that the choice is made for
_WORTH = 2e6  # ns that narrow blocks must save: they are a second program, compiled once
_NARROW_GROUP = 16  # narrow blocks in a call


@dataclasses.dataclass(frozen=True)
class Batch:
    """Numbers of the lanes of `blocks`, for a call of `group` blocks of `width` lanes."""

    width: int
    group: int
    blocks: list[np.ndarray]

    def filled(self) -> np.ndarray:
        """Numbers (group, width): a block is filled by its last lane, the call by its last block."""
        full = np.empty((self.group, self.width), int)
        for row, lanes in zip(full, self.blocks, strict=False):
            row[: lanes.size], row[lanes.size :] = lanes, lanes[-1]
        full[len(self.blocks) :] = full[len(self.blocks) - 1]
        return full

    def seconds(self, steps: np.ndarray) -> float:
        """What the call should take if lanes need so many `steps` (n,)."""
        return 1e-9 * _step(self.width) * float(sum(steps[lanes].max() for lanes in self.blocks))


def cut(steps: np.ndarray, width: int, narrow: int, group: int, threads: int) -> list[Batch]:
    """Batches of lanes with so many `steps` each (n,): the costliest ones in `narrow` blocks where that saves time, others
    in blocks of `width`, like ones together.

    - `narrow`: lanes of a narrow block; 0 for none
    - `group`: blocks of a call; calls get equal work
    - `threads`: calls that run at once
    """
    order = np.argsort(-steps, kind="stable")
    few = _narrow_lanes(steps[order].astype(float), width, narrow) if 0 < narrow < width else 0
    wide = _dealt(_blocks(order[few:], width), width, group, threads)
    return _dealt(_blocks(order[:few], narrow), narrow, _NARROW_GROUP, threads) + wide if few else wide


def cut_apart(classes: np.ndarray, width: int, group: int, threads: int) -> list[Batch]:
    """Batches in which only lanes of the same class (n,) share a block."""
    order = np.argsort(-classes, kind="stable")
    like = np.split(order, np.flatnonzero(np.diff(classes[order])) + 1)
    return _dealt([block for lanes in like for block in _blocks(lanes, width)], width, group, threads)


def _step(width: int) -> float:
    """Time of one step of a population in a block of this width, in ns."""
    return _VECTOR_STEP if width <= _ONE_VECTOR else _WIDE_STEP + _WIDE_LANE * width


def _blocks(lanes: np.ndarray, width: int) -> list[np.ndarray]:
    return [lanes[k : k + width] for k in range(0, lanes.size, width)]


def _dealt(blocks: list[np.ndarray], width: int, group: int, threads: int) -> list[Batch]:
    """Blocks, from the costliest to the cheapest, dealt to as few calls as keep all threads busy."""
    calls = max(-(-len(blocks) // group), min(threads, len(blocks)))
    return [Batch(width, group, blocks[k::calls]) for k in range(calls)]


def _narrow_lanes(steps: np.ndarray, width: int, narrow: int) -> int:
    """How many lanes, sorted from the most steps to the fewest, go in narrow blocks, by the time that threads need: as many
    on every machine, since lanes take the steps of their block."""
    wide_step = _step(width)
    most = min(-(-steps.size // narrow), _NARROW_GROUP * _THREADS)
    firsts = np.pad(steps[: most * narrow : narrow], (1, 0))
    before = np.cumsum(firsts) * _VECTOR_STEP
    after = np.array([steps[k * narrow :: width].sum() for k in range(most + 1)]) * wide_step
    longest = np.array([steps[k * narrow] if k * narrow < steps.size else 0.0 for k in range(most + 1)]) * wide_step
    longest[1:] = np.maximum(longest[1:], steps[0] * _VECTOR_STEP)
    needed = np.maximum((before + after) / _THREADS, longest)
    best = int(np.argmin(needed))
    return best * narrow if needed[0] - needed[best] > _WORTH else 0
