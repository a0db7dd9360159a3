"""Pairwise maximum-entropy models fitted to two-valued data: one, or many at once."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._checks import as_count, as_key, require
from .._nan import nan_is_absent
from .._types import Key, Values, float_dtype
from ..recordings.recording import Binarized, about_global_signal, as_binarized
from .exact import CONVERGED, DIVERGING, STATUS, data_means, solve_many, solve_one, unseen
from .model import IsingFit, IsingModel, IsingModels
from .pseudo import solve_pseudo
from .sampling import solve_sampling
from .walsh import LARGEST, exponents, refuse_large, states_of, statistics, unpack

_EXACT = 15  # regions up to which "auto" sums over all states


@nan_is_absent
def fit_ising(
    data: object,
    method: str = "auto",
    *,
    penalty: float = 0.0,
    key: Key | None = None,
    chains: int = 1000,
    steps: int = 1000,
    throw: bool = True,
) -> IsingModel:
    """The pairwise maximum-entropy model P(s) ∝ exp(Σ_i h_i s_i + ½ Σ_{i≠j} J_ij s_i s_j) of two-valued data.

    `data`: `Binarized`, or an array (time, regions) of ±1 or of 0 and 1. `method` is one of

    - `"exact"`: maximum likelihood, summing over all 2^N states with Newton's method; N ≤ 20
    - `"pseudo"`: maximum pseudo-likelihood with one symmetric J; any N, less efficient, but consistent
    - `"sampling"`: maximum likelihood with persistent Gibbs chains (`chains` of them, `steps` updates), from the
      pseudo-likelihood estimate; any N, needs a random `key`, as accurate as the chains' noise allows
    - `"auto"`: exact to N = 15, else pseudo; `model.method` says which

    `penalty` λ takes ½ λ (Σ h_i² + Σ_{i<j} J_ij²) from the mean log-likelihood per sample: needed if samples are few, as
    without it no estimate exists if a combination of states is never seen. Standard errors, entropies (bits) and accuracy
    come with the model; if N > 20 leaves one unknown, it is None and `model.reason` says why.

    Returns an `IsingModel`. Raises `ValueError` for data that aren't two-valued, regions that never change, too many regions
    for the method, and, with `throw` (default), if no estimate exists; warns if there are fewer samples than states, and if
    next to nothing but the states "all" and "none" occurs (a global signal dominates; see `binarize`).

    Source: Ezaki et al., Phil. Trans. R. Soc. A 375, 20160287 (2017); pseudo-likelihood: Besag (1975).
    """
    data = as_binarized("data", data)
    strength, size = _penalty(penalty), data.spins.shape[1]
    known = ("auto", "exact", "pseudo", "sampling")
    require("method", method, "be one of " + ", ".join(f'"{each}"' for each in known), method in known)
    note = ""
    if method == "auto":
        method = "exact" if size <= _EXACT else "pseudo"
        note = f"pseudo-likelihood, as there are more than {_EXACT} regions." if method == "pseudo" else ""
    if method == "exact":
        rule = f'have at most {LARGEST} regions for method="exact" (use method="pseudo" or "sampling", or `select_regions`)'
        require("data", f"{size}", rule, size <= LARGEST)
    require("key", key, 'be given with method="sampling"', method != "sampling" or key is not None)
    key = None if key is None else as_key(key)
    samples = data.spins.shape[0]
    if method == "exact":
        warn_if_few(samples, size)
    if about := about_global_signal(data):
        warnings.warn(about, UserWarning, stacklevel=2)
    mean = data_means(data.spins)
    if throw and strength == 0 and (pair := unseen(mean, size)) is not None:
        raise ValueError(_sentence(data.names, pair))
    theta, error, steps_taken, code, entropy, cross = _solve(data, method, strength, key, chains, steps, mean)
    if throw and code == DIVERGING:
        raise ValueError(f"From these {samples} samples {STATUS[code]}.")
    split = lambda values: tuple(np.asarray(each) for each in unpack(jnp.asarray(values), size))
    h_error, J_error = (None, None) if error is None else split(error)
    h, J = unpack(theta, size)
    reason = (
        None if entropy is not None else f"Entropy and accuracy need a sum over 2^{size} states, done up to 2^{LARGEST}."
    )
    fit = IsingFit(
        method=method,
        penalty=strength,
        samples=samples,
        status=STATUS[code],
        steps=steps_taken,
        S1=independent_entropy(mean[:size]),
        S2=entropy,
        S_N=empirical_entropy(data.spins),
        cross_entropy=cross,
        h_error=h_error,
        J_error=J_error,
        data=data,
        note=note,
        reason=reason,
    )
    return IsingModel(h, J, data.names, fit)


@nan_is_absent
def fit_ising_many(data: Any, *, penalty: float = 0.0, throw: bool = True) -> IsingModels:
    """Exact fits to many pieces of data of the same regions at once, N ≤ 20: subjects, sessions, or `sliding_windows`.

    - `data`: a sequence of `Binarized`, or of arrays (time, regions) of ±1; also one array (pieces, time, regions)
    - `penalty`: λ ≥ 0, as in `fit_ising`
    - `throw`: True (default) to raise `ValueError` if a piece has no estimate; else its numbers are NaN and its status
      is 1

    Returns `IsingModels`; all are fitted together (`jax.vmap`).
    """
    pieces = [each if isinstance(each, Binarized) else Binarized(each) for each in data]
    require("data", "nothing", "be at least one piece of data", bool(pieces))
    size, names, strength = pieces[0].spins.shape[1], pieces[0].names, _penalty(penalty)
    require("data", [each.names for each in pieces[:3]], "have the same regions", all(p.names == names for p in pieces))
    refuse_large(size, "fit one by one with `method='pseudo'`")
    means = np.stack([data_means(each.spins) for each in pieces])
    samples = np.asarray([each.spins.shape[0] for each in pieces])
    found = solve_many(means, samples, strength, size)
    status = found.status
    bad = np.flatnonzero(status == DIVERGING)
    if throw and bad.size:
        which = ", ".join(str(each) for each in bad[:5]) + (f" and {bad.size - 5} more" if bad.size > 5 else "")
        raise ValueError(f"In piece {which} of {len(pieces)} {STATUS[DIVERGING]}, or pass `throw=False`.")
    blank = lambda values: np.where((status == DIVERGING).reshape(-1, *[1] * (values.ndim - 1)), np.nan, values)
    h, J = _split(np.asarray(found.theta), size)
    h_error, J_error = _split(np.asarray(found.error), size)
    bits = lambda values: blank(np.asarray(values, float) / np.log(2))
    return IsingModels(
        h=blank(h),
        J=blank(J),
        h_error=blank(h_error),
        J_error=blank(J_error),
        status=status,
        S1=np.asarray([independent_entropy(mean[:size]) for mean in means]),
        S2=bits(found.entropy),
        S_N=np.asarray([empirical_entropy(each.spins) for each in pieces]),
        cross_entropy=bits(found.cross_entropy),
        samples=samples,
        steps=np.asarray(found.steps),
        penalty=strength,
        names=names,
        data=tuple(pieces),
        status_text=tuple(STATUS[int(each)] for each in status),
    )


@nan_is_absent
def sliding_windows(data: Binarized, width: int, step: int = 1) -> list[Binarized]:
    """Windows of a recording, none across two subjects, for `fit_ising_many`: a landscape that changes in time.

    - `data`: a `Binarized` recording
    - `width`: samples per window; `step`: samples from one window to the next, 1 by default

    Returns a list of `Binarized`; `first` says where each begins. Raises `ValueError` if a window is longer than every
    run.
    """
    data = as_binarized("data", data)
    require("width", width, "be at least 2 samples", int(width) == width and width >= 2)
    require("step", step, "be at least 1 sample", int(step) == step and step >= 1)
    found = []
    runs = data.runs
    for run in np.unique(runs):
        at = np.flatnonzero(runs == run)
        for first in range(int(at[0]), int(at[-1]) + 2 - width, step):
            found.append(dataclasses.replace(data.at(slice(first, first + width)), first=first))
    longest = int(np.bincount(runs).max())
    require("width", width, f"be at most {longest}, the longest uninterrupted run", bool(found))
    return found


def independent_entropy(mean: np.ndarray) -> float:
    """Bits of independent spins with these means."""
    p = np.clip(np.stack([1 + mean, 1 - mean]) / 2, 0, 1)
    return float(-np.sum(np.where(p > 0, p * np.log2(np.where(p > 0, p, 1)), 0)))


def empirical_entropy(spins: np.ndarray) -> float:
    """Bits of the states as often as they occur."""
    size = spins.shape[1]
    if size <= 62:
        counts = np.unique(states_of(spins), return_counts=True)[1]
    else:
        counts = np.unique(spins, axis=0, return_counts=True)[1]
    p = counts / spins.shape[0]
    return float(-np.sum(p * np.log2(p)))


def warn_if_few(samples: int, size: int) -> None:
    """Warn if there are fewer samples than states."""
    if samples < 2**size:
        warnings.warn(
            f"{samples} samples for 2^{size} = {2**size} states, {samples / 2**size:.2g} per state: entropy of the data and "
            "accuracy are uncertain; fewer regions (`select_regions`), more data or `penalty=` help.",
            UserWarning,
            stacklevel=3,
        )


def _solve(
    data: Binarized, method: str, penalty: float, key: Any, chains: int, steps: int, mean: np.ndarray
) -> tuple[Values, Any, int, int, float | None, float | None]:
    """θ, errors, steps, status, entropy and cross entropy in bits."""
    dtype, size = float_dtype(), data.spins.shape[1]
    m, strength = jnp.asarray(mean, dtype), jnp.asarray(penalty, dtype)
    if method == "exact":
        found = solve_one(m, jnp.asarray(data.spins.shape[0], dtype), strength, size)
        bits = [float(each) / float(np.log(2)) for each in (found.entropy, found.cross_entropy)]
        return found.theta, np.asarray(found.error), int(found.steps), int(found.status), bits[0], bits[1]
    theta, errors, count, code = solve_pseudo(data.spins, penalty, dtype)
    if method == "sampling":
        chains, steps = as_count("chains", chains, 2), as_count("steps", steps, 2)
        theta, excess = solve_sampling(mean, theta, key, size, chains, steps, penalty)
        code = code if code == DIVERGING else (CONVERGED if excess < 6 / np.sqrt(chains) else 2)
        count = steps
    if size > LARGEST:
        return theta, errors, count, code, None, None
    exponent = exponents(theta, size)
    log_partition = jnp.log(jnp.sum(jnp.exp(exponent - jnp.max(exponent)))) + jnp.max(exponent)
    model, _ = statistics(jnp.exp(exponent - log_partition), size)
    bits = [float(log_partition - jnp.vdot(theta, each)) / float(np.log(2)) for each in (model, m)]
    return theta, errors, count, code, bits[0], bits[1]


def _split(theta: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """h (m, N) and J (m, N, N) of vectors (m, k)."""
    J = np.zeros((theta.shape[0], size, size), theta.dtype)
    i, j = np.triu_indices(size, 1)
    J[:, i, j] = J[:, j, i] = theta[:, size:]
    return theta[:, :size], J


def _penalty(penalty: Any) -> float:
    good = isinstance(penalty, (int, float, np.ndarray, np.number)) and np.ndim(penalty) == 0 and 0 <= penalty < np.inf
    require("penalty", penalty, "be a finite number ≥ 0", bool(good))
    return float(penalty)


def _sentence(names: Sequence[str], pair: tuple[int, int, int, int]) -> str:
    i, j, a, b = pair
    return (
        f"Regions `{names[i]}` and `{names[j]}` are never {'+' if a > 0 else '−'}1 and {'+' if b > 0 else '−'}1 together in "
        "the data, so no maximum-likelihood estimate exists (couplings grow without bound); "
        "give `penalty=` (such as 0.001), or leave out one of them."
    )
