"""How far an energy landscape can be trusted: minima against shuffled data, errors by bootstrap."""

import dataclasses

import jax
import numpy as np

from .._checks import as_count, as_key, require
from .._nan import nan_is_absent
from .._results import Shown
from .._types import Key
from ..landscape.tree import disconnectivity
from ..recordings.recording import Binarized, as_binarized
from .exact import DIVERGING, data_means, solve_many
from .fitting import fit_ising
from .landscape import find_basins, find_passes
from .model import IsingModel
from .walsh import refuse_large

_PIECE = 2**22  # numbers of shuffled or resampled tables held at once


@dataclasses.dataclass(frozen=True, eq=False)
class ShuffleTest(Shown):
    """Depth of minima that chance alone explains; made by `shuffle_test`.

    - `depth` (k,): of the model's minima, height of the lowest way out; `labels` (k,) their bit strings
    - `shuffled` (count,): the largest depth of a minimum other than the lowest, in data shuffled in time; 0 if there is none
    - `threshold`: the `percentile` of those; `significant` (k,): deeper than that; the lowest minimum always is
    """

    depth: np.ndarray
    labels: tuple[str, ...]
    shuffled: np.ndarray
    percentile: float

    @property
    def threshold(self) -> float:
        """The depth that shuffled data exceed in (100 − `percentile`) % of cases only."""
        return float(np.percentile(self.shuffled, self.percentile))

    @property
    def significant(self) -> np.ndarray:
        """(k,) whether each minimum is deeper than the threshold; the lowest one is a minimum without question."""
        return (self.depth > self.threshold) | (np.arange(self.depth.size) == 0)

    def __repr__(self) -> str:
        lines = [
            f"Shuffled {self.shuffled.size} times: depth below {self.threshold:.4f} may be chance ({self.percentile:g} %)"
        ]
        for label, depth, sure in zip(self.labels, self.depth, self.significant, strict=True):
            lines.append(f"  {label}  depth {depth:.4f}{'' if sure else '  not significant'}")
        return "\n".join(lines)


@nan_is_absent
def shuffle_test(data: object, key: Key, *, count: int = 100, percentile: float = 95.0, penalty: float = 0.0) -> ShuffleTest:
    """Which minima are deeper than those of data without any dependence between regions.

    Each region's samples are put in random order, on its own, so that means stay and dependence goes; the model is
    fitted to such data and the largest depth of a minimum other than the lowest is kept. Shuffling ignores that samples
    follow each other slowly: with slow signals the true threshold is higher.

    - `data`: two-valued, N ≤ 20; or a fitted `IsingModel`, tested with its own data
    - `key`: a random key; `count`: number of shuffled data
    - `percentile`: of the shuffled depths, above which a minimum counts; 95 by default
    - `penalty`: λ ≥ 0, as in `fit_ising`; a fitted model's own by default

    Returns a `ShuffleTest`. Raises `ValueError` for data that don't fit. Source: the depth threshold of elapy, with
    shuffled data in place of random ones.
    """
    model, data, penalty = _model_and_data(data, penalty)
    count = as_count("count", count)
    require("percentile", percentile, "lie between 0 and 100", 0 <= percentile <= 100)
    found = model.landscape(data)
    rng = _generator(key)
    spins, size = data.spins, data.spins.shape[1]
    means = np.stack([data_means(rng.permuted(spins, axis=0)) for _ in range(count)])
    theta, status = _fit_means(means, spins.shape[0], penalty, size)
    require("data", f"{spins.shape[0]} samples", "be enough for shuffled data (give `penalty=`)", not np.any(status))
    return ShuffleTest(found.depth, found.labels, np.asarray([_largest_depth(each, size) for each in theta]), percentile)


@dataclasses.dataclass(frozen=True, eq=False)
class IsingBootstrap(Shown):
    """Models fitted to resampled data; made by `bootstrap_ising`.

    - `h` (count, N), `J` (count, N, N): the estimates; `h_error`, `J_error`: their standard deviations
    - `energy` (count, k): of the original minima, `labels` (k,); `energy_error` (k,)
    - `survival` (k,): how often each is still a minimum
    - `block`: samples per block; `failed`: resampled data without an estimate, left out
    """

    h: np.ndarray
    J: np.ndarray
    energy: np.ndarray
    labels: tuple[str, ...]
    survival: np.ndarray
    block: int
    failed: int

    @property
    def h_error(self) -> np.ndarray:
        """(N,) standard errors of h."""
        return self.h.std(axis=0, ddof=1)

    @property
    def J_error(self) -> np.ndarray:
        """(N, N) standard errors of J."""
        return self.J.std(axis=0, ddof=1)

    @property
    def energy_error(self) -> np.ndarray:
        """(k,) standard errors of the minima's energies."""
        return self.energy.std(axis=0, ddof=1)

    def interval(self, name: str, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper percentiles of `h`, `J` or `energy`."""
        require("name", name, "be h, J or energy", name in ("h", "J", "energy"))
        require("level", level, "lie between 0 and 1", 0 < level < 1)
        low, high = np.quantile(getattr(self, name), [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high

    def __repr__(self) -> str:
        failed = f", {self.failed} without an estimate" if self.failed else ""
        lines = [f"Bootstrap of {self.h.shape[0]} resamplings in blocks of {self.block} samples{failed}"]
        values = zip(self.labels, self.energy.mean(axis=0), self.energy_error, self.survival, strict=True)
        lines += [f"  {label}  E = {mean:.4f} ± {error:.4f}, a minimum in {kept:.0%}" for label, mean, error, kept in values]
        return "\n".join(lines)


@nan_is_absent
def bootstrap_ising(
    data: object, key: Key, *, count: int = 200, block: int | None = None, penalty: float = 0.0
) -> IsingBootstrap:
    """Errors of h, J and the minima's energies from data resampled in blocks, exact fits, N ≤ 20.

    Blocks of successive samples, drawn with replacement and never across two subjects, keep the samples' dependence in
    time.

    - `data`: two-valued, or a fitted `IsingModel` (its data)
    - `key`: a random key; `count`: number of resamplings
    - `block`: samples per block; T^(1/3) by default, more for slow signals (several times their correlation time)
    - `penalty`: λ ≥ 0, as in `fit_ising`; a fitted model's own by default

    Returns an `IsingBootstrap`. Raises `ValueError` for data that don't fit, or if fewer than two resamplings have an
    estimate. Source: Künsch, Ann. Stat. 17:1217 (1989).
    """
    model, data, penalty = _model_and_data(data, penalty)
    samples, size = data.spins.shape
    count = as_count("count", count, 2)
    block = int(np.ceil(samples ** (1 / 3))) if block is None else block
    runs = data.runs
    first = np.flatnonzero(runs[: samples - block + 1] == runs[block - 1 :]) if 1 <= block <= samples else np.zeros(0, int)
    require("block", block, "be at least 1 and at most the longest uninterrupted run", first.size > 0)
    rng = _generator(key)
    drawn = rng.integers(0, first.size, (count, -(-samples // block)))
    means = np.concatenate(
        [_resampled(data.spins, first[some], block) for some in np.array_split(drawn, _pieces(count, samples))]
    )
    theta, status = _fit_means(means, samples, penalty, size)
    theta = theta[status == 0]
    require("data", f"{theta.shape[0]} of {count} resamplings", "have estimates (give `penalty=`)", theta.shape[0] >= 2)
    found = model.landscape(data)
    h = theta[:, :size]
    i, j = np.triu_indices(size, 1)
    J = np.zeros((theta.shape[0], size, size))
    J[:, i, j] = J[:, j, i] = theta[:, size:]
    s = found.spins.astype(float)
    field = np.einsum("kj,rij->rki", s, J) + h[:, None]  # of the other spins and h on each spin
    energy = -np.einsum("ki,rki->rk", s, (field + h[:, None]) / 2)
    survival = np.mean(np.all(s * field >= 0, axis=2), axis=0)
    return IsingBootstrap(h, J, energy, found.labels, survival, block, count - theta.shape[0])


def _model_and_data(data: object, penalty: float) -> tuple[IsingModel, Binarized, float]:
    if isinstance(data, IsingModel):
        require("data", "a model without data", "be a fitted model, or data", data.fit is not None and data.data is not None)
        refuse_large(data.size, "choose fewer by `select_regions`")
        assert data.fit is not None and data.data is not None
        return data, data.data, penalty or data.fit.penalty
    data = as_binarized("data", data)
    refuse_large(data.spins.shape[1], "choose fewer by `select_regions`")
    return fit_ising(data, "exact", penalty=penalty), data, penalty


def _generator(key: Key) -> np.random.Generator:
    """NumPy's generator from a JAX key: reproducible, and without compiling permutations."""
    words = np.asarray(jax.random.key_data(as_key(key))).ravel()
    return np.random.default_rng([int(each) for each in words])


def _fit_means(means: np.ndarray, samples: int, penalty: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """θ (m, k) of data with these means, and 1 without an estimate."""
    found = solve_many(means, np.full(means.shape[0], samples), penalty, size)
    return np.asarray(found.theta, float), (found.status == DIVERGING).astype(int)


def _largest_depth(theta: np.ndarray, size: int) -> float:
    """Largest depth of all minima but the lowest; 0 if there is only one."""
    i, j = np.triu_indices(size, 1)
    J = np.zeros((size, size))
    J[i, j] = J[j, i] = theta[size:]
    energies = np.asarray(IsingModel(theta[:size], J).energies(), float)
    minima, basin = find_basins(energies, size)
    links, heights, _ = find_passes(energies, basin, size)
    tree = disconnectivity(energies[minima], links, heights)
    return float(np.max(tree.barrier[1:], initial=0.0))


def _resampled(spins: np.ndarray, first: np.ndarray, block: int) -> np.ndarray:
    """Means (m, k) of data made of the blocks that begin at `first` (m, blocks), cut to the original length."""
    samples = spins.shape[0]
    times = (first[..., None] + np.arange(block)).reshape(first.shape[0], -1)[:, :samples]
    weights = np.stack([np.bincount(each, minlength=samples) for each in times]).astype(float)
    return data_means(spins, weights)


def _pieces(count: int, samples: int) -> int:
    return max(1, min(count, -(-count * samples // _PIECE)))
