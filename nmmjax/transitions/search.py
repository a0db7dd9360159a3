"""The smallest strength at which a stimulus switches: a coarse scan, then brackets refined, all in batches.

Outcomes need not be monotone in the strength (a pulse that is too strong may carry the state over and back). So a scan up
to the bound finds a first strength that switches, scans of equal spacing from zero to it look for smaller ones until none
shows, and the first of all is refined. Windows narrower than 1/scan of the threshold can still be missed.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from .._checks import require
from .._parameter import as_plain_number
from .._types import Real, Values
from ..models.base import AbstractModel
from ..models.network import Targeted
from ..models.state import State
from ..models.stimulus import Constant
from ..numerics.compiling import jitted
from .attractors import Attractors
from .outcomes import FAILED, UNDECIDED, Accuracy, outcome

END = 1  # `start` and `end` are attractors 0 and 1 everywhere
SCAN = 128  # strengths at a time, by default
_ROUNDS = 40


class Rows(eqx.Module):
    """K searches at a time: at strength x in (0, 1] the pulse has amplitude x·`amplitude` and lasts `duration`.

    If `scales_time`, it has amplitude `amplitude` and lasts x·`duration` instead. `gains` are those of every node,
    `(K, n)`, or None for one population.
    """

    amplitude: Values
    duration: Values
    gains: Values | None
    scales_time: bool = eqx.field(static=True, default=False)


class Brackets(eqx.Module):
    """Per search: `lower` doesn't switch, `upper` does (both 1 if nothing does); `decided` is False if the outcome
    at `lower` is unknown. NumPy arrays `(K,)`."""

    lower: np.ndarray
    upper: np.ndarray
    found: np.ndarray
    decided: np.ndarray


@jitted
def labels_of(model: AbstractModel, y0: State, rows: Rows, x: Values, attractors: Attractors, accuracy: Accuracy) -> Any:
    """Attractor reached at strengths `x`, shape `(K, M)`."""

    def lane(amplitude, duration, gains, x) -> Any:
        amplitude, duration = (amplitude, x * duration) if rows.scales_time else (x * amplitude, duration)
        current = Constant(amplitude)
        stimulus = current if gains is None else Targeted(current, gains)
        return outcome(model, y0, stimulus, duration, attractors, accuracy)

    def row(amplitude, duration, gains, xs: Values) -> Any:
        return jax.vmap(lambda x: lane(amplitude, duration, gains, x))(xs)

    return jax.vmap(row)(rows.amplitude, rows.duration, rows.gains, x)


def brackets_of(labels: object, count: int, rtol: float, scan: int, dtype: DTypeLike, x0: float = 0.0) -> Brackets:
    """The first strength in (x0, 1] at which each of `count` searches switches, to `rtol`; `labels` maps `(K, M)` strengths
    to outcomes. The first scan's strengths are closer together if they are small."""
    low, one = np.full(count, x0), np.ones(count)
    grid = x0 + (1 - x0) * (np.arange(1, scan + 1) / scan) ** 2
    x = np.broadcast_to(grid, (count, scan))
    brackets = _first(labels, x, Brackets(low, one, np.zeros(count, bool), one > 0), dtype)
    between = np.arange(1, scan + 1) / (scan + 1)
    for _ in range(_ROUNDS):
        widest = Brackets(low, brackets.upper, brackets.found, one > 0)
        again = _first(labels, low[:, None] + (brackets.upper - low)[:, None] * between, widest, dtype)
        smaller = brackets.found & (again.upper < brackets.lower)
        brackets = _narrower(brackets, again)
        if not np.any(smaller):
            break
    eps = float(jnp.finfo(dtype).eps)
    for _ in range(_ROUNDS):
        width = brackets.upper - brackets.lower
        if np.all((width <= max(rtol, 4 * eps) * brackets.upper) | ~brackets.found):
            break
        brackets = _first(labels, brackets.lower[:, None] + width[:, None] * between, brackets, dtype)
    return brackets


def _first(labels: Any, x: np.ndarray, old: Brackets, dtype: DTypeLike) -> Brackets:
    """Narrower brackets around the first of the strengths `x`, `(K, M)` ascending, that switches."""
    x = np.asarray(jnp.asarray(x, dtype), float)  # as the solver sees them
    seen = np.asarray(labels(jnp.asarray(x, dtype)))
    hit = seen == END
    some, first = hit.any(axis=1), np.where(hit.any(axis=1), hit.argmax(axis=1), x.shape[1])
    rows = np.arange(len(x))
    upper = np.where(some, x[rows, np.minimum(first, x.shape[1] - 1)], old.upper)
    lower = np.where(first > 0, x[rows, first - 1], old.lower)
    known = np.where(first > 0, ~np.isin(seen[rows, first - 1], (UNDECIDED, FAILED)), old.decided)
    found = old.found | some
    return Brackets(np.where(found, lower, old.lower), np.where(found, upper, 1.0), found, known)


def _narrower(a: Brackets, b: Brackets) -> Brackets:
    """Per search, the bracket at the smaller strength; of the same, the narrower."""
    better = b.found & ((b.upper < a.upper) | ((b.upper == a.upper) & (b.lower > a.lower)))
    choose = lambda x, y: np.where(better, y, x)
    return Brackets(
        *(choose(x, y) for x, y in ((a.lower, b.lower), (a.upper, b.upper), (a.found, b.found), (a.decided, b.decided)))
    )


def as_positive(name: str, value: Real) -> float:
    """A finite number > 0."""
    return as_plain_number(name, value, "(0, inf)")


def gains_of(model: Any, node: Any) -> Any:
    """The gain of every node of a network, `(n,)`, for a node, several or None for all; None for one population."""
    if model.size is None:
        require("node", node, "be None for one population", node is None)
        return None
    if node is None:
        return np.ones(model.size)
    return np.asarray(model.target(Constant(0.0), node).gains)


def label_of(model: AbstractModel, node: Any) -> Any:
    """How a result calls the nodes at which a pulse acts: their names or numbers, a tuple of several, None for all."""
    if node is None:
        return None
    labels = tuple(each if isinstance(each, str) else int(each) for each in model.labels[gains_of(model, node) > 0].tolist())
    several = np.ndim(node) > 0
    return labels if several else labels[0]


def aimed(model: Any, stimulus: Any, node: Any) -> Any:
    """The stimulus at a node or several, or at all if `node` is None."""
    return stimulus if node is None else model.target(stimulus, node)
