"""How the weakest switching pulse depends on its duration: strength–duration curves and the smallest charge."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_sign, require
from .._nan import nan_is_absent
from .._results import Shown
from .._types import Real, Scalar, Values
from ..models.base import AbstractModel, takes_model
from .pulses import SwitchingPulse, Task, part, pulse_of, task_for
from .search import SCAN, Brackets, as_positive, gains_of, label_of


class StrengthDuration(eqx.Module, Shown):
    """Threshold amplitude against the duration of a rectangular pulse.

    - `durations`, `amplitudes` `(d,)`, in the unit of τ and in units of η; `brackets` `(d, 2)`: the latter's second
      amplitude switches, its first doesn't; NaN if nothing up to `bound` does
    - `charges`: amplitude × duration, `energies`: ∫I² dt, per stimulated node
    - `rheobase`: threshold of a very long pulse; `chronaxie`: the duration whose threshold is twice that
    - `decided`: False if the outcome at the lower end of the bracket is unknown
    - `node`: where the pulses act, None: everywhere
    """

    durations: Values
    amplitudes: Values
    brackets: Values
    charges: Values
    energies: Values
    rheobase: Scalar
    chronaxie: Scalar
    bound: Scalar
    decided: Any
    node: Any = eqx.field(static=True)

    def __repr__(self) -> str:
        switch = int(jnp.sum(jnp.isfinite(self.amplitudes)))
        where = "" if self.node is None else f" at node {self.node}"
        return (
            f"Strength–duration curve{where}: {switch} of {self.durations.size} durations switch, "
            f"rheobase {self.rheobase:.6g}, chronaxie {self.chronaxie:.6g}"
        )


@nan_is_absent
@takes_model
def strength_duration(
    model: AbstractModel,
    *,
    start: Any,
    end: Any,
    durations: Any,
    node: int | Sequence[int] | None = None,
    sign: int | None = None,
    bound: Real = 50.0,
    rtol: Real = 1e-6,
    scan: int = SCAN,
    others: Sequence[Any] = (),
    patience: Real | None = None,
) -> StrengthDuration:
    """The smallest amplitudes of pulses that switch from `start` to `end`, for all durations together.

    The rheobase is that of a pulse of 100 slowest relaxation times (or `patience`): if the landscape of `start` vanishes
    under the input, at a fold, it lies about (π/that time)² above the fold. It is NaN if no such pulse switches, as when
    the input destroys `end` too.

    - `model`: any model or network; `start`, `end`: two of its stable states, good to about 1 %
    - `durations` (d,): lengths of the pulses, > 0, in the unit of τ
    - `node`: a number or name, several, a mask, or None for all; None for one population
    - `sign`: 1, −1, or None for the one with the smaller rheobase, else the one at which more durations switch; `bound`:
      largest |amplitude|, in units of η
    - `rtol`, `scan`, `others`, `patience`: accuracy and search, as in `minimal_pulse`

    Returns a `StrengthDuration`. Raises `ValueError` for durations that aren't a list of numbers > 0, and as
    `minimal_pulse` does.
    """
    lengths = as_array(durations)
    require(
        "durations", durations, "be an array of numbers with 1 axis", isinstance(lengths, jax.Array) and lengths.ndim == 1
    )
    lengths = np.asarray(lengths, float)
    require("durations", lengths, "be > 0", lengths.size > 0 and bool(np.all(np.isfinite(lengths) & (lengths > 0))))
    largest, signs = as_positive("bound", bound), as_sign(sign)
    gains = gains_of(model, node)
    task = task_for(model, start, end, others, rtol, scan, patience)
    every = np.append(lengths, float(task.accuracy.patience))
    curves = [task.brackets(task.rows(np.full(every.size, one * largest), every, gains)) for one in signs]
    best = _better(curves)
    found, scale = curves[best], signs[best] * largest
    pairs = scale * np.where(found.found[:, None], np.stack([found.lower, found.upper], axis=1), np.nan)
    amplitudes, rheobase = pairs[:-1, 1], pairs[-1, 1]
    arrays = (lengths, amplitudes, pairs[:-1], amplitudes * lengths, amplitudes**2 * lengths, rheobase)
    chronaxie = _chronaxie(task, 2 * rheobase, gains)
    arrays = [task.array(each) for each in (*arrays, chronaxie, largest)]
    return StrengthDuration(*arrays, decided=found.decided[:-1], node=label_of(model, node))


def _better(curves: list[Brackets]) -> int:
    """The sign with the smaller rheobase; without one, that at which more durations switch."""
    rank = [(np.where(each.found[-1], each.upper[-1], np.inf), -each.found.sum()) for each in curves]
    return min(range(len(curves)), key=lambda k: rank[k])


def _chronaxie(task: Task, amplitude: float, gains: Any) -> float:
    """The shortest pulse of this amplitude that switches; NaN if none does."""
    if not np.isfinite(amplitude):
        return np.nan
    longest = float(task.accuracy.patience)
    found = task.brackets(task.rows([amplitude], [longest], gains, scales_time=True))
    return longest * found.upper[0] if found.found[0] else np.nan


@nan_is_absent
@takes_model
def minimal_charge(
    model: AbstractModel,
    *,
    start: Any,
    end: Any,
    durations: tuple[Real, Real],
    node: int | Sequence[int] | None = None,
    sign: int | None = None,
    bound: Real = 50.0,
    rtol: Real = 1e-6,
    scan: int = SCAN,
    others: Sequence[Any] = (),
    patience: Real | None = None,
    objective: str = "charge",
) -> SwitchingPulse:
    """The minimal pulse of the least |amplitude| × duration, or of the least energy, within a range of durations.

    Thresholds are computed at 16 durations, equally spaced in logarithm, then again between the neighbours of the best,
    until the durations are within 1e-3: a local minimum narrower than the first spacing can be missed. The charge of
    many models keeps falling as the pulse gets shorter, towards that of a kick of v; the answer is then the shortest
    pulse allowed.

    - `model`: any model or network; `start`, `end`: two of its stable states, good to about 1 %
    - `durations`: (shortest, longest) pulse, > 0, in the unit of τ
    - `node`: a number or name, several, a mask, or None for all; None for one population
    - `sign`: 1, −1, or None for the one that needs the smaller |amplitude|; `bound`: largest |amplitude|, in units of η
    - `rtol`, `scan`, `others`, `patience`: accuracy and search, as in `minimal_pulse`
    - `objective`: "charge" (default), or "energy" for the least ∫I² dt

    Returns a `SwitchingPulse`. Raises `ValueError` for what is no pair of durations, and as `minimal_pulse` does.
    """
    pair = isinstance(durations, (tuple, list)) and len(durations) == 2
    require("durations", durations, "be a pair (shortest, longest)", pair)
    low, high = (as_positive("durations", each) for each in durations)
    require("durations", durations, "be a pair (shortest, longest)", low < high)
    require("objective", objective, "be 'charge' or 'energy'", objective in ("charge", "energy"))
    power = 1 if objective == "charge" else 2
    signs, largest, gains = as_sign(sign), as_positive("bound", bound), gains_of(model, node)
    task = task_for(model, start, end, others, rtol, scan, patience)
    shortest, longest, best = low, high, None
    for _ in range(10):
        lengths = np.tile(np.geomspace(shortest, longest, 16), len(signs))
        found = task.brackets(task.rows(np.repeat(largest * np.asarray(signs), 16), lengths, gains))
        k = int(np.argmin(np.where(found.found, found.upper**power * lengths, np.inf))) % 16
        best = lengths[k], part(found, slice(k, None, 16))
        shortest, longest = lengths[max(k - 1, 0)], lengths[min(k + 1, 15)]
        if longest / shortest < 1 + 1e-3 or not found.found.any():
            break
    assert best is not None
    duration, brackets = best
    return pulse_of(task, brackets, signs, largest, duration, node)
