"""The weakest rectangular pulse that switches a model from one stable state to another, and at which node."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, as_sign, require
from .._nan import nan_is_absent
from .._results import RESULTS, Shown
from .._types import Real, Scalar, Values
from ..models.base import AbstractModel, as_model, takes_model
from ..models.network import is_network
from ..models.state import State
from ..models.stimulus import AbstractStimulus, Pulse
from .attractors import Attractors, find_attractors
from .outcomes import Accuracy, accuracy_for
from .search import SCAN, Brackets, Rows, aimed, as_positive, brackets_of, gains_of, label_of, labels_of


class SwitchingPulse(eqx.Module, Shown):
    """The weakest rectangular pulse that switches, or that there is none.

    - `amplitude`: current during the pulse, in units of η; it switches. NaN if none up to `bound` does
    - `bracket`: (an amplitude that doesn't switch, `amplitude`), which differ by at most the tolerance asked for
    - `duration`: in the unit of τ; `charge`: amplitude × duration, `energy`: ∫I² dt, both per stimulated node
    - `stimulus`: the pulse, from t = 0, for `simulate(model, pulse.start, ts, stimulus=pulse.stimulus)`; None without
      one
    - `model`; `start`, `end`: its stable states, as Newton's method polished them; `node`: where it acts, None:
      everywhere
    - `result`: successful, `RESULTS.not_reachable`, or `RESULTS.outcome_unknown` if the run at the lower end of the
      bracket had not settled at a known state in time
    """

    amplitude: Scalar
    bracket: Values
    duration: Scalar
    bound: Scalar
    charge: Scalar
    energy: Scalar
    stimulus: AbstractStimulus | None
    model: AbstractModel
    start: State
    end: State
    result: RESULTS
    node: Any = eqx.field(static=True)

    @property
    def reached(self) -> bool:
        """Whether a pulse up to the bound switches."""
        return bool(jnp.isfinite(self.amplitude))

    def __repr__(self) -> str:
        where = "" if self.node is None else f" at node {self.node}"
        if not self.reached:
            return f"Not reachable up to amplitude {float(self.bound):g} by a pulse of duration {self.duration:g}{where}"
        text = (
            f"Pulse of amplitude {self.amplitude:.8g} for {self.duration:g}{where} switches, {self.bracket[0]:.8g} doesn't: "
            f"charge {self.charge:.6g}, energy {self.energy:.6g}"
        )
        message = RESULTS[self.result]
        return f"{text}. {message}" if message else text


class Task(eqx.Module):
    """Shared data of all searches between two states."""

    model: AbstractModel
    attractors: Attractors
    accuracy: Accuracy
    rtol: float = eqx.field(static=True)
    scan: int = eqx.field(static=True)

    def brackets(self, rows: Rows) -> Brackets:
        """The first strength at which each row switches."""
        y0 = self.attractors.state(0)
        labels = lambda x: labels_of(self.model, y0, rows, x, self.attractors, self.accuracy)
        return brackets_of(labels, rows.amplitude.shape[0], self.rtol, self.scan, rows.amplitude.dtype)

    def array(self, values: object) -> Values:
        """Values in the model's dtype."""
        return jnp.asarray(values, self.attractors.flat.dtype)

    def rows(self, amplitudes: Any, durations: object, gains: Any, scales_time: bool = False) -> Rows:
        """Searches from broadcast arrays; `gains` `(K, n)`, `(n,)` or None."""
        amplitudes, durations = np.broadcast_arrays(np.asarray(amplitudes, float), np.asarray(durations, float))
        if gains is not None:
            gains = self.array(np.broadcast_to(gains, (amplitudes.size, np.shape(gains)[-1])))
        return Rows(self.array(amplitudes), self.array(durations), gains, scales_time)


def task_for(
    model: AbstractModel, start: object, end: object, others: Sequence[Any], rtol: Real, scan: Any, patience: Any
) -> Task:
    """Checked input of a search; states `others` are recognised as ends besides `start` and `end`."""
    model = as_model(model)
    named = {"start": start, "end": end} | {f"others[{k}]": y for k, y in enumerate(others)}
    tolerance, count = as_positive("rtol", rtol), as_count("scan", scan, 2)
    time = None if patience is None else as_positive("patience", patience)
    attractors = find_attractors(model, named)
    horizon = attractors.horizon if time is None else jnp.asarray(time, attractors.flat.dtype)
    return Task(model, attractors, accuracy_for(tolerance, horizon), tolerance, count)


@nan_is_absent
@takes_model
def minimal_pulse(
    model: AbstractModel,
    *,
    start: Any,
    end: Any,
    duration: Real,
    node: Any = None,
    sign: int | None = None,
    bound: Real = 50.0,
    rtol: Real = 1e-6,
    scan: int = SCAN,
    others: Sequence[Any] = (),
    patience: Real | None = None,
) -> SwitchingPulse:
    """The smallest amplitude of a pulse I(t) = amplitude for 0 ≤ t < `duration` that moves `model` from `start` to `end`.

    - `model`: any model or network with stable states
    - `start`, `end`: stable states (states or mappings with `r` and `v`; rounded to 1 % is enough)
    - `duration`: length of the pulse, > 0, in the unit of τ
    - `node`: a number or name, several, a mask, or None for all; None for one population
    - `sign`: 1, −1, or None for the one that needs the smaller |amplitude|; `bound`: largest |amplitude|, in units of η
    - `rtol`: relative width of the bracket; the solver's tolerance is a hundred times finer (1e-12 … 1e-8)
    - `scan`: amplitudes at a time. Outcomes need not be monotone in the amplitude, so the search goes on below the
      threshold until none switches among `scan` between zero and it; switching windows narrower than that spacing can be
      missed
    - `others`: more stable states at which a run may end; `patience`: the longest time to wait for it to do so (default
      100 times the slowest relaxation), after which it counts as not at `end`

    A run has ended at a stable state once it is in a neighbourhood that provably can't be left (`attractors.py`).

    Returns a `SwitchingPulse`; if nothing up to the bound switches, `reached` is False and the amplitude NaN. Raises
    `ValueError` for states that aren't stable fixed points or are the same, durations ≤ 0 and nodes out of range. Use it
    for thresholds; `strength_duration` for many durations, `best_node` for all nodes, `optimal_stimulus` for the least
    energy, `threshold_gradient` for derivatives.
    """
    length, largest, signs = as_positive("duration", duration), as_positive("bound", bound), as_sign(sign)
    gains = gains_of(model, node)
    task = task_for(model, start, end, others, rtol, scan, patience)
    brackets = task.brackets(task.rows(largest * np.asarray(signs), length, gains))
    return pulse_of(task, brackets, signs, largest, length, node)


@nan_is_absent
@takes_model
def best_node(
    model: AbstractModel,
    *,
    start: Any,
    end: Any,
    duration: Real,
    nodes: Any = None,
    sign: int | None = None,
    bound: Real = 50.0,
    rtol: Real = 1e-4,
    scan: int = SCAN,
    others: Sequence[Any] = (),
    patience: Real | None = None,
) -> tuple[SwitchingPulse, ...]:
    """Minimal pulses at single nodes of a network, weakest first; nodes that can't switch it up to `bound` come last.

    All nodes, amplitudes and signs are solved together. Use it to choose where to stimulate: `best_node(...)[0].node`.

    - `model`: a network; `start`, `end`: two of its stable states, good to about 1 %
    - `duration`: length of the pulse, > 0, in the unit of τ
    - `nodes`: the candidates, by number or name; all by default
    - `sign`: 1, −1, or None for the one that needs the smaller |amplitude|; `bound`: largest |amplitude|, in units of η
    - `rtol`, `scan`, `others`, `patience`: accuracy and search, as in `minimal_pulse`

    Returns a tuple of `SwitchingPulse`. Raises `ValueError` for models without nodes, and as `minimal_pulse` does.
    """
    require("model", model, "be a `Network`", is_network(model))
    network: Any = model
    candidates = list(range(network.size)) if nodes is None else [network.index(node, "nodes") for node in nodes]
    require("nodes", nodes, "name at least one node", len(candidates) > 0)
    length, largest, signs = as_positive("duration", duration), as_positive("bound", bound), as_sign(sign)
    gains = np.repeat(np.stack([gains_of(model, node) for node in candidates]), len(signs), axis=0)
    task = task_for(model, start, end, others, rtol, scan, patience)
    brackets = task.brackets(task.rows(np.tile(largest * np.asarray(signs), len(candidates)), length, gains))
    found = []
    for k, node in enumerate(candidates):
        own = slice(k * len(signs), (k + 1) * len(signs))
        found.append(pulse_of(task, part(brackets, own), signs, largest, length, node))
    size_of = lambda pulse: abs(float(pulse.amplitude)) if pulse.reached else np.inf
    return tuple(sorted(found, key=size_of))


def part(brackets: Brackets, own: Any) -> Brackets:
    """Some of the brackets."""
    return Brackets(brackets.lower[own], brackets.upper[own], brackets.found[own], brackets.decided[own])


def pulse_of(
    task: Task, brackets: Brackets, signs: Sequence[int], bound: float, duration: float, node: object
) -> SwitchingPulse:
    """The weaker of the pulses of both signs, as a result."""
    best = int(np.argmin(np.where(brackets.found, brackets.upper, np.inf)))
    found, scale = bool(brackets.found[best]), signs[best] * bound
    pair = scale * np.array([brackets.lower[best], brackets.upper[best]]) if found else np.full(2, np.nan)
    amplitude = pair[1]
    code: Any = RESULTS.successful
    if not found:
        code = RESULTS.not_reachable
    elif not brackets.decided[best]:
        code = RESULTS.outcome_unknown
    bracket = task.array(pair)
    return SwitchingPulse(
        amplitude=bracket[1],
        bracket=bracket,
        duration=task.array(duration),
        bound=task.array(bound),
        charge=task.array(amplitude * duration),
        energy=task.array(amplitude**2 * duration),
        stimulus=aimed(task.model, Pulse(bracket[1], 0.0, task.array(duration)), node) if found else None,
        model=task.model,
        start=task.attractors.state(0),
        end=task.attractors.state(1),
        result=code,
        node=label_of(task.model, node),
    )
