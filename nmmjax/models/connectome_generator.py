"""Connectomes by chance, with the traits of measured ones: a distance rule, log-normal weights, modules."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, as_float, as_key, require
from .._types import float_dtype
from .connectome import Connectome

_SEMI_AXES = (65.0, 85.0, 60.0)  # mm, left to right, back to front, down to up


def random_connectome(
    size: Any,
    *,
    key: Any,
    decay: Any = 40.0,
    spread: Any = 1.0,
    density: Any = 0.25,
    modules: Any = 4,
    within: Any = 3.0,
    symmetric: bool = True,
) -> Connectome:
    """A connectome by chance, for examples and tests: ln W_ij = −ℓ_ij/decay + spread z_ij + (ln `within` inside a module).

    Regions lie uniformly in an ellipsoid of the size of a brain, 130 × 170 × 120 mm; lengths ℓ_ij are their straight
    distances; z_ij are standard normal. As in measured connectomes, weights fall with distance, spread over decades, and are
    larger inside modules: the regions nearest to one of some that lie far from each other. The strongest connections are
    kept, and every region's own strongest; the largest weight is 1 and there are no self-connections.

    - `size`: number of regions n, ≥ 2; `key`: a random key
    - `decay`: length over which weights fall by e, in mm; regressions of four human connectomes give 33 to 56 mm
    - `spread`: standard deviation of ln W at a given distance, ≥ 0; the same give 1.4 to 2.4, modules included
    - `density`: share of the n(n − 1) connections that are kept, in (0, 1]
    - `modules`: number of modules, from 1 to n; `within`: factor of the weights inside one, > 0
    - `symmetric`: True for W = Wᵀ, as diffusion imaging gives, whose network has a landscape; False for directed weights

    Returns a `Connectome` whose labels name module and number: A1, A2, B1, …. Raises `ValueError` for values outside these
    ranges. Source: Ercsey-Ravasz et al., Neuron 80:184 (2013) for the distance rule and log-normal weights.
    """
    size = as_count("size", size, 2)
    key = as_key(key)
    decay = as_float("decay", decay, "be a length > 0, in mm", lambda x: x > 0)
    spread = as_float("spread", spread, "be a number ≥ 0", lambda x: x >= 0)
    density = as_float("density", density, "be a number in (0, 1]", lambda x: 0 < x <= 1)
    within = as_float("within", within, "be a number > 0", lambda x: x > 0)
    modules = as_count("modules", modules, 1, f"be an integer from 1 to {size}, one region each at least")
    require("modules", modules, f"be an integer from 1 to {size}, one region each at least", modules <= size)
    require("symmetric", symmetric, "be True or False", isinstance(symmetric, bool))
    draw = np.random.default_rng(np.asarray(jax.random.key_data(key)))  # the same in both precisions
    ways = draw.normal(size=(size, 3))
    radius = draw.random((size, 1)) ** (1 / 3)
    places = radius * ways / np.linalg.norm(ways, axis=1, keepdims=True) * np.asarray(_SEMI_AXES)
    lengths = np.linalg.norm(places[:, None] - places[None], axis=-1)
    module = _modules(lengths, modules)
    order = np.argsort(module, kind="stable")
    module, places, lengths = module[order], places[order], lengths[np.ix_(order, order)]
    z = draw.normal(size=(size, size))
    if symmetric:
        z = np.triu(z, 1) + np.triu(z, 1).T
    weights = np.exp(-lengths / decay + spread * z + np.where(module[:, None] == module[None], np.log(within), 0))
    np.fill_diagonal(weights, 0)
    kept = weights >= np.sort(weights[~np.eye(size, dtype=bool)])[::-1][max(round(density * size * (size - 1)), 1) - 1]
    kept |= (weights == weights.max(axis=1, keepdims=True)) | (weights == weights.max(axis=0, keepdims=True))
    weights = np.where(kept, weights, 0) / weights.max()
    numbers = [int(np.sum(module[:k] == module[k])) + 1 for k in range(size)]
    labels = [f"{_letters(int(each))}{number}" for each, number in zip(module, numbers, strict=True)]
    rule = f"distance rule of {decay:g} mm, ln W spread by {spread:g}, {modules} modules with weights × {within:g} inside"
    cast = lambda each: jnp.asarray(each, float_dtype())
    return Connectome(cast(weights), cast(lengths), labels, cast(places), "random_connectome", (rule,))


def _modules(lengths: np.ndarray, count: int) -> np.ndarray:
    """The module of every region: that of the nearest of `count` seeds, each as far as can be from those before."""
    seeds = [0]
    for _ in range(count - 1):
        seeds.append(int(np.argmax(lengths[seeds].min(axis=0))))
    return np.argmin(lengths[seeds], axis=0)


def _letters(number: int) -> str:
    """A, B, …, Z, AA, AB, …"""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(65 + rest) + text
    return text
