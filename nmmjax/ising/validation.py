"""Pairwise models on held-out data, and the choice of few regions among many."""

import dataclasses
from typing import Any

import jax
import numpy as np

from .._checks import require
from .._nan import nan_is_absent
from .._results import Shown
from ..recordings.recording import Binarized, Recording, as_binarized, find_regions
from .fitting import fit_ising_many, independent_entropy
from .walsh import refuse_large, states_of


@dataclasses.dataclass(frozen=True, eq=False)
class CrossValidation(Shown):
    """Log-likelihoods of held-out data, bits per sample; made by `cross_validate_ising`.

    - `pairwise`, `independent` (folds,): of the pairwise model and of independent regions; `gain`: mean difference,
      weighted by samples; `samples` (folds,) held out
    """

    pairwise: np.ndarray
    independent: np.ndarray
    samples: np.ndarray

    @property
    def gain(self) -> float:
        """Bits per sample by which pairs predict held-out data better than independent regions; below 0: overfitted."""
        return float(np.average(self.pairwise - self.independent, weights=self.samples))

    def __repr__(self) -> str:
        mean = lambda values: float(np.average(values, weights=self.samples))
        return (
            f"Held-out log-likelihood in {self.samples.size} folds: pairwise {mean(self.pairwise):.4f}, independent "
            f"{mean(self.independent):.4f} bits per sample; gain {self.gain:.4f}"
        )


@nan_is_absent
def cross_validate_ising(data: object, *, folds: int | None = None, penalty: float = 0.0) -> CrossValidation:
    """How well the pairwise model predicts data that it was not fitted to, against independent regions; N ≤ 20.

    - `data`: two-valued data, `Binarized` or an array (time, regions)
    - `folds`: number of uninterrupted pieces of the recording that are left out in turn (5); by default each subject, if
      there are several
    - `penalty`: λ ≥ 0, as in `fit_ising`; compare penalties by the result

    Independent regions are given half a count of either state more than was seen. Returns a `CrossValidation`. Raises
    `ValueError` for data that don't fit, or if a model can't be estimated from the rest (then give `penalty=`).
    """
    data = as_binarized("data", data)
    samples, size = data.spins.shape
    refuse_large(size, "choose fewer by `select_regions`")
    labels = np.zeros(samples, int) if data.subject is None else data.subject
    subjects, fold = np.unique(labels, return_inverse=True)
    several = folds is None and subjects.size > 1
    if not several:
        folds = 5 if folds is None else folds
        require("folds", folds, f"be from 2 to {samples // 2}", 2 <= folds <= samples // 2)
        fold = np.arange(samples) * folds // samples
    parts = range(int(fold.max()) + 1)
    models = fit_ising_many([data.at(np.flatnonzero(fold != k)) for k in parts], penalty=penalty)
    pairwise, independent = [], []
    for k, model in zip(parts, models, strict=True):
        held, rest = data.spins[fold == k], data.spins[fold != k]
        log = np.asarray(jax.nn.log_softmax(-model.energies()), float)
        pairwise.append(np.mean(log[states_of(held)]) / np.log(2))
        up = (np.sum(rest > 0, axis=0) + 0.5) / (rest.shape[0] + 1)
        independent.append(np.mean(np.sum(np.log2(np.where(held > 0, up, 1 - up)), axis=1)))
    return CrossValidation(np.asarray(pairwise), np.asarray(independent), np.bincount(fold))


@nan_is_absent
def select_regions(data: Any, count: int, criterion: str = "information", *, start: Any = (), penalty: float = 0.0) -> Any:
    """The regions among many that suit an energy-landscape analysis best, as the same kind of data.

    - `data`: `Binarized` (or two-valued arrays), or a `Recording` for "variance"
    - `count`: number of regions; ten or so are a good number (Ezaki et al. 2017)
    - `criterion`: "information" (default): one region after the other, each time the one with which the pairwise model
      explains most dependence, S1 − S2 in bits, beginning with the pair that depends most on each other; "accuracy": the
      same with the model's accuracy r in place of S1 − S2, after the first pair; "variance": the regions that vary most
    - `start`: regions to begin with, by name or number; none by default
    - `penalty`: λ ≥ 0, as in `fit_ising`

    Returns the data of these regions alone. The search is greedy: no other choice was compared. Raises `ValueError` for
    arguments that don't fit.
    """
    known = ("information", "accuracy", "variance")
    require("criterion", criterion, "be one of " + ", ".join(f'"{each}"' for each in known), criterion in known)
    if criterion == "variance":
        require("data", type(data).__name__, 'be a `Recording` for criterion="variance"', isinstance(data, Recording))
        total = data.values.shape[1]
        require("count", count, f"be from 2 to {total}", 2 <= count <= total)
        chosen = np.argsort(-np.nanvar(data.values, axis=0), kind="stable")[:count]
        return data.select([int(k) for k in chosen])
    data = as_binarized("data", data)
    total = data.spins.shape[1]
    require("count", count, f"be from 2 to {min(total, 20)}", 2 <= count <= min(total, 20))
    chosen = find_regions(data.names, start)
    require("start", start, f"be at most {count} regions", len(chosen) <= count)
    if not chosen:
        chosen = _most_dependent(data.spins)
    while len(chosen) < count:
        rest = [k for k in range(total) if k not in chosen]
        if not chosen[1:]:  # one region: the best pair with it
            chosen.append(max(rest, key=lambda k: _information(data.spins[:, [chosen[0], k]])))
            continue
        pieces = [Binarized(data.spins[:, [*chosen, k]]) for k in rest]
        models = fit_ising_many(pieces, penalty=penalty, throw=False)
        score = models.accuracy if criterion == "accuracy" else models.S1 - models.S2
        score = np.where(np.isfinite(score), score, -np.inf)
        require("data", f"{len(data.spins)} samples", "be enough (give `penalty=`)", bool(np.isfinite(score.max())))
        chosen.append(rest[int(np.argmax(score))])
    return data.select(chosen)


def _information(pair: np.ndarray) -> float:
    """Mutual information of two spins (time, 2), in bits."""
    p = np.bincount(states_of(pair), minlength=4) / pair.shape[0]
    return independent_entropy(pair.mean(axis=0)) + float(np.sum(np.where(p > 0, p * np.log2(np.where(p > 0, p, 1)), 0)))


def _most_dependent(spins: np.ndarray) -> list[int]:
    """The pair with the largest mutual information."""
    i, j = np.triu_indices(spins.shape[1], 1)
    score = [_information(spins[:, [a, b]]) for a, b in zip(i, j, strict=True)]
    best = int(np.argmax(score))
    return [int(i[best]), int(j[best])]
