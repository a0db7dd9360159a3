"""How a recording wanders among basins: occupancy, transitions, visits, dwell times."""

import dataclasses

import numpy as np

from ..recordings.recording import Binarized


@dataclasses.dataclass(frozen=True, eq=False)
class Wandering:
    """Basins in time: see the fields of the same names in `IsingLandscape`."""

    sequence: np.ndarray
    occupancy: np.ndarray
    transitions: np.ndarray
    visits: np.ndarray
    dwell_times: tuple[np.ndarray, ...]


def wander(sequence: np.ndarray, data: Binarized, count: int) -> Wandering:
    """Indices of a sequence (time,) of basins among `count`; nothing is counted from one subject to the next."""
    runs = data.runs
    new_run = np.concatenate([[True], np.diff(runs) != 0])
    begins = np.flatnonzero(new_run | np.concatenate([[True], np.diff(sequence) != 0]))
    stays, run_of = sequence[begins], runs[begins]
    lengths = np.diff(np.append(begins, sequence.size)) * (1.0 if data.dt is None else data.dt)
    within = run_of[1:] == run_of[:-1]
    transitions = np.zeros((count, count), int)
    np.add.at(transitions, (stays[:-1][within], stays[1:][within]), 1)
    return Wandering(
        sequence=sequence,
        occupancy=np.bincount(sequence, minlength=count) / sequence.size,
        transitions=transitions,
        visits=_visits(stays, run_of, count),
        dwell_times=tuple(lengths[stays == k] for k in range(count)),
    )


def _visits(stays: np.ndarray, run_of: np.ndarray, count: int) -> np.ndarray:
    """[a, b]: how often a stay in b is the first since the last one in a."""
    visits = np.zeros((count, count), int)
    last, run = np.full(count, -1), -1
    for time, (b, each) in enumerate(zip(stays, run_of, strict=True)):
        if each != run:
            last[:], run = -1, each
        visits[:, b] += last > last[b]
        last[b] = time
    return visits
