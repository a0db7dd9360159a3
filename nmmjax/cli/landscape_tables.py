"""The tables of `nmmjax landscape` (CSV), its model (JSON), and what both they and the report say of minima."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from .._files import replace_text
from ..ising.files import save_ising
from ..ising.landscape import IsingLandscape
from ..ising.model import IsingModel
from ..ising.significance import IsingBootstrap, ShuffleTest
from ..ising.validation import CrossValidation
from ..ising.walsh import labels_of, states_of
from ..recordings.recording import Binarized, Recording

PAIRS = 100  # lowest minima whose pairs are listed in transitions.csv and saddles.csv
_ALL_STATES = 15  # regions, up to which states.csv has every state


@dataclasses.dataclass(frozen=True)
class Analysis:
    """Results so far; `unknown` says in a sentence why something is missing, by its name.

    `gaps`: whether runs of the data end at missing samples, too, and not only where a subject's recording does.
    """

    file: pathlib.Path
    recording: Recording
    data: Binarized
    model: IsingModel
    found: IsingLandscape
    notes: tuple[str, ...] = ()
    shuffled: ShuffleTest | None = None
    bootstrap: IsingBootstrap | None = None
    validation: CrossValidation | None = None
    unknown: dict[str, str] = dataclasses.field(default_factory=dict)
    figures: tuple[tuple[str, str], ...] = ()
    gaps: bool = False
    command: str = ""


def write_tables(done: Analysis, out: pathlib.Path) -> None:
    """`minima.csv`, `transitions.csv`, `saddles.csv`, `h.csv`, `J.csv`, `states.csv` and `model.json`."""
    for name, (header, rows) in _tables(done).items():
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(header)
        table.writerows([_cell(each) for each in row] for row in rows)
        replace_text(out / f"{name}.csv", text.getvalue())
    save_ising(done.model, out / "model.json")


def summary(done: Analysis) -> dict[str, object]:
    """The same tables as lists of rows by name, but for the states, with what the fit says of itself."""
    tables = {
        name: [dict(zip(header, row, strict=True)) for row in rows]
        for name, (header, rows) in _tables(done).items()
        if name != "states"
    }
    samples, size = done.data.spins.shape
    about = {"file": done.file, "samples": samples, "regions": size, "threshold": done.data.threshold}
    notes = {"notes": [*done.recording.notes, *done.notes], "unknown": done.unknown}
    return {**about, "accuracy": done.model.accuracy, **tables, **notes}


def active_regions(found: IsingLandscape, k: int) -> list[str]:
    """Names of the regions that are +1 in minimum k."""
    return [name for name, spin in zip(found.names, found.spins[k], strict=True) if spin > 0]


def active(found: IsingLandscape, k: int) -> str:
    """The same in words."""
    up = active_regions(found, k)
    return "all" if len(up) == len(found.names) else ", ".join(up) or "none"


def mean_dwell(found: IsingLandscape) -> np.ndarray:
    """Mean length of a stay in each basin, NaN without one."""
    stays = found.dwell_times or ()
    return np.asarray([each.mean() if each.size else np.nan for each in stays])


def _cell(value: object) -> Any:
    """Numbers in full precision; nothing if unknown."""
    if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
        return ""
    return repr(float(value)) if isinstance(value, (float, np.floating)) else value


def _tables(done: Analysis) -> dict[str, tuple[list[str], Iterable[list[Any]]]]:
    found, model, size = done.found, done.model, done.found.energy.size
    patterns = found.labels
    share, dwell, stays = found.occupancy, mean_dwell(found), found.dwell_times or ()
    test, boot = done.shuffled, done.bootstrap
    of = lambda values, k: None if values is None else values[k]
    header = ["minimum", "pattern", "active", "energy", "basin_size", "basin_fraction", "occupancy", "stays", "mean_dwell",
              "barrier", "significant", "energy_error", "survival"]  # fmt: skip
    minima = [
        [k + 1, patterns[k], " ".join(active_regions(found, k)), found.energy[k], of(found.basin_size, k),
         of(found.basin_fraction, k), of(share, k), stays[k].size, dwell[k], found.depth[k],
         of(None if test is None else test.significant, k), of(None if boot is None else boot.energy_error, k),
         of(None if boot is None else boot.survival, k)]
        for k in range(size)
    ]  # fmt: skip
    moves, rates, visits = found.transitions, found.rates, found.visits
    pairs = [(a, b) for a in range(min(size, PAIRS)) for b in range(min(size, PAIRS)) if a != b]
    transitions = [[patterns[a], patterns[b], of(moves, (a, b)), of(rates, (a, b)), of(visits, (a, b))] for a, b in pairs]
    saddles = [
        [
            patterns[a],
            patterns[b],
            found.saddle[a, b],
            found.barrier[a, b],
            found.barrier[b, a],
            saddle_pattern(found, a, b),
        ]
        for a, b in pairs
        if a < b
    ]
    names = list(found.names)
    h, J, error = np.asarray(model.h, float), np.asarray(model.J, float), model.h_error
    fields = [[name, h[i], of(error, i), of(None if boot is None else boot.h_error, i)] for i, name in enumerate(names)]
    return {
        "minima": (header, minima),
        "transitions": (["from", "to", "direct", "direct_per_sample", "direct_or_indirect"], transitions),
        "saddles": (["a", "b", "saddle_energy", "barrier_from_a", "barrier_from_b", "saddle_pattern"], saddles),
        "h": (["region", "h", "standard_error", "bootstrap_error"], fields),
        "J": (["region", *names], [[name, *J[i]] for i, name in enumerate(names)]),
        "states": (["pattern", "energy", "probability", "count", "frequency", "basin"], _states(done)),
    }


def saddle_pattern(found: IsingLandscape, a: int, b: int) -> str | None:
    """The lowest pass between minima a and b as zeros and ones, if it is known."""
    if found.basin is None or found.energy.size > PAIRS or not np.isfinite(found.saddle[a, b]):
        return None
    return labels_of(found.saddle_spins(a, b)[None])[0]


def _states(done: Analysis) -> Iterable[list[Any]]:
    """All states by number; of many regions, those that were seen, most frequent first."""
    model, found, spins = done.model, done.found, done.data.spins
    samples, patterns = spins.shape[0], found.labels
    if model.size <= _ALL_STATES and found.basin is not None:
        from ..ising.walsh import spins_of

        count = np.bincount(states_of(spins), minlength=2**model.size)
        energy, P = np.asarray(model.energies(), float), np.asarray(model.probabilities(), float)
        labels = labels_of(spins_of(np.arange(count.size), model.size))
        return [
            [labels[s], energy[s], P[s], int(count[s]), count[s] / samples, patterns[found.basin[s]]]
            for s in range(count.size)
        ]
    seen, first, count = np.unique(spins, axis=0, return_index=True, return_counts=True)
    energy, sequence = np.asarray(model.energy(seen), float), found.sequence
    assert sequence is not None
    labels = labels_of(seen)
    return [
        [labels[s], energy[s], None, int(count[s]), count[s] / samples, patterns[sequence[first[s]]]]
        for s in np.argsort(-count, kind="stable")
    ]
