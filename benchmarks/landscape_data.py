"""Energy landscapes of recordings: the exact fit of the pairwise model, one and many, and its landscape; error and cost.

The rival, in the same run: gradient ascent over a dense table of the states, as the public codes of the field do it (NumPy,
step 0.2). Rows (`--only`): `seven`, `fifteen`, `windows`, `landscape`.
"""

import time
import warnings
from typing import Any

import jax
import numpy as np
from record import arguments, timed, write

import nmmjax as nmm
from nmmjax.ising.exact import data_means
from nmmjax.ising.walsh import all_spins, pack, statistics

ROWS = ("seven", "fifteen", "windows", "landscape")


def recording(size: int, samples: int, strength: float = 0.15) -> nmm.results.Binarized:
    """Samples of a random model."""
    rng = np.random.default_rng(size)
    J = np.triu(strength * rng.normal(size=(size, size)), 1)
    model = nmm.results.IsingModel(0.1 * rng.normal(size=size), J + J.T)
    return nmm.results.Binarized(model.sample(jax.random.key(0), samples))


def ascent(spins: np.ndarray, steps: int, tolerance: float = 1e-8) -> tuple[np.ndarray, np.ndarray, int]:
    """h, J by gradient ascent with step 0.2 until √(‖dJ‖² + ‖dh‖²)/(N (N + 1)) < tolerance; steps made."""
    size = spins.shape[1]
    s = spins.astype(float)
    mean, pairs = s.mean(axis=0), s.T @ s / s.shape[0]
    states = all_spins(size).astype(float)
    h, J = np.zeros(size), np.zeros((size, size))
    step = 0
    while step < steps:
        step += 1
        exponent = states @ h + np.sum((states @ J) * states, axis=1) / 2
        p = np.exp(exponent - exponent.max())
        p /= p.sum()
        dh = mean - p @ states
        dJ = pairs - states.T @ (p[:, None] * states)
        np.fill_diagonal(dJ, 0)
        h += 0.2 * dh
        J += 0.2 * dJ
        if np.sqrt(np.sum(dJ**2) + np.sum(dh**2)) / (size * (size + 1)) < tolerance:
            break
    return h, J, step


def moment_error(h: Any, J: Any, spins: np.ndarray) -> float:
    """The largest difference of a mean or pair product between model and data: 0 at the maximum of the likelihood."""
    model = nmm.results.IsingModel(h, J)
    mean = statistics(model.probabilities(), model.size)[0]
    return float(np.max(np.abs(np.asarray(mean) - data_means(spins))))


def one(size: int, samples: int, limit: float, steps: int, repeats: int) -> dict[str, Any]:
    data = recording(size, samples)
    start = time.perf_counter()
    model = nmm.fit_ising(data)
    cold = time.perf_counter() - start
    ours = timed(lambda: nmm.fit_ising(data).h, repeats)
    start = time.perf_counter()
    h, J, made = ascent(data.spins, steps)
    theirs = time.perf_counter() - start
    difference = np.max(
        np.abs(np.asarray(pack(model.h, model.J)) - np.asarray(pack(jax.numpy.asarray(h), jax.numpy.asarray(J))))
    )
    return {
        "regions": size,
        "samples": samples,
        "seconds_with_compilation": cold,
        **ours,
        "newton_steps": model.fit.steps,
        "moment_error": moment_error(model.h, model.J, data.spins),
        "accuracy_minus_divergence_accuracy": float(abs(model.accuracy - model.divergence_accuracy)),
        "ascent_seconds": theirs,
        "ascent_steps": made,
        "ascent_moment_error": moment_error(h, J, data.spins),
        "ascent_difference": float(difference),
        "ratio": theirs / ours["seconds_median"],
        "limit_seconds": limit,
        "met": ours["seconds_median"] <= limit,
    }


def seven(quick: bool) -> dict[str, Any]:
    """Seven regions, as in most studies."""
    return one(7, 2000, 0.02, 20_000, 5 if quick else 20)


def fifteen(quick: bool) -> dict[str, Any]:
    """Fifteen regions, as many as the field's codes recommend; quick: twelve."""
    return one(12 if quick else 15, 10_000, 3.0, 20 if quick else 2000, 2 if quick else 5)


def windows(quick: bool) -> dict[str, Any]:
    """A thousand sliding windows of seven regions in one batch; the rival one after the other, a few of them."""
    count = 50 if quick else 1000
    data = recording(7, 400 + 10 * (count - 1))
    pieces = nmm.ising.sliding_windows(data, 400, 10)
    start = time.perf_counter()
    models = nmm.ising.fit_ising_many(pieces, throw=False)
    cold = time.perf_counter() - start
    ours = timed(lambda: nmm.ising.fit_ising_many(pieces, throw=False).h, 2 if quick else 5)
    good = np.flatnonzero(models.status == 0)
    some = good[:: max(1, good.size // 10)][:10]
    start = time.perf_counter()
    rivals = [ascent(pieces[k].spins, 20_000) for k in some]
    theirs = (time.perf_counter() - start) / some.size * count
    return {
        "windows": len(pieces),
        "without_estimate": int(np.sum(models.status != 0)),
        "seconds_with_compilation": cold,
        **ours,
        "moment_error": max(moment_error(models.h[k], models.J[k], pieces[k].spins) for k in some),
        "ascent_seconds_of_all": theirs,
        "ascent_moment_error": max(moment_error(h, J, pieces[k].spins) for k, (h, J, _) in zip(some, rivals, strict=True)),
        "ratio": theirs / ours["seconds_median"],
        "limit_seconds": 5.0,
        "met": ours["seconds_median"] <= 5.0,
    }


def landscape(quick: bool) -> dict[str, Any]:
    """Minima, basins, exact saddles and tree of all 2^N states of a rugged model."""
    size = 10 if quick else 15
    rng = np.random.default_rng(1)
    J = np.triu(rng.normal(size=(size, size)) / np.sqrt(size), 1)
    model = nmm.results.IsingModel(0.1 * rng.normal(size=size), J + J.T)
    ours = timed(lambda: model.landscape().energy, 3)
    found = model.landscape()
    field = found.spins @ np.asarray(model.J) + np.asarray(model.h)
    return {
        "regions": size,
        "minima": int(found.energy.size),
        "all_are_minima": bool(np.all(found.spins * field > 0)),
        "basins_cover": int(found.basin_size.sum()) == 2**size,
        **ours,
        "met": bool(np.all(found.spins * field > 0) and len(found.tree.roots) == 1),
    }


def main() -> None:
    options = arguments(__doc__.splitlines()[0], ROWS)
    jax.config.update("jax_enable_x64", True)
    warnings.filterwarnings("ignore", message=".*samples for 2", category=UserWarning)
    makers = {"seven": seven, "fifteen": fifteen, "windows": windows, "landscape": landscape}
    rows = [{"row": name} | makers[name](options.quick) for name in ROWS if name in options.only]
    write("landscape_data", options, rows)


if __name__ == "__main__":
    main()
