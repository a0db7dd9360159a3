"""The stimulus of least energy ∫I² dt that switches a model within a given time.

A waveform u of steps switches when scaled by its threshold α(u), where the run lands on the stable manifold of the saddle
between both states, g = 0 (`edges.py`). So its energy is E(u) = α² ∫u² dt, and at α = 1

    ∂E/∂u = 2 h (u − |u|² ∂g/∂u / (u·∂g/∂u)),      h the length of a step

with ∂g/∂u by reverse mode through the solve. E falls along quasi-Newton directions (optax's L-BFGS) with backtracking, and
α is found anew by bracketing after each: every iterate is a stimulus that does switch.
"""

from collections.abc import Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from .._checks import as_count
from .._nan import nan_is_absent
from .._results import RESULTS, Shown
from .._types import Real, Scalar, Values
from ..models.base import AbstractModel, takes_model
from ..models.network import Targeted
from ..models.state import State
from ..models.stimulus import AbstractStimulus, Sampled
from ..numerics.compiling import jitted
from ..solvers.simulation import simulate
from .attractors import Attractors
from .durations import minimal_charge
from .edges import Edge, find_edge
from .outcomes import Accuracy, accuracy_for, driven, outcome
from .pulses import SwitchingPulse, Task, task_for
from .search import SCAN, aimed, as_positive, brackets_of, gains_of, label_of

_LARGEST = 1.5  # the factor up to which a new waveform's threshold is looked for


class OptimalStimulus(eqx.Module, Shown):
    """The stimulus of least energy that switches within a time, beside the best rectangular pulse.

    - `model`; `start`, `end`: its stable states; `node`: where the input acts, None: everywhere
    - `stimulus`: for `simulate(model, found.start, ts, stimulus=found.stimulus)`; steps until `time`, then zero
    - `edges` `(pieces + 1,)`, `values` `(pieces,)`: the steps' times and currents; `energy`: ∫I² dt, per stimulated node
    - `pulse`: the minimal pulse of least energy of at most that duration, from which the search started
    - `history`: energy after every iteration; `reached`: whether a simulation of `stimulus` ended at `end`
    - `result`: successful; `RESULTS.not_reachable` if no pulse switches; `RESULTS.no_saddle` if the descent had to end
      early because the threshold is no saddle's
    """

    stimulus: AbstractStimulus | None
    edges: Values
    values: Values
    energy: Scalar
    pulse: SwitchingPulse
    history: Values
    time: Scalar
    model: AbstractModel
    start: State
    end: State
    result: RESULTS
    reached: bool = eqx.field(static=True)
    node: Any = eqx.field(static=True)

    def __repr__(self) -> str:
        if self.stimulus is None:
            return f"No optimal stimulus within {float(self.time):g}: {self.pulse!r}"
        ratio = float(self.energy / self.pulse.energy)
        ends = "switches" if self.reached else "does not switch when simulated"
        return (
            f"Stimulus of energy {float(self.energy):.6g} within {float(self.time):g} {ends}: {100 * ratio:.4g} % of the "
            f"energy of the best pulse ({float(self.pulse.energy):.6g}), after {self.history.size - 1} iterations"
        )


@nan_is_absent
@takes_model
def optimal_stimulus(
    model: AbstractModel,
    *,
    start: Any,
    end: Any,
    T: Real,
    node: int | Sequence[int] | None = None,
    sign: int | None = None,
    bound: Real = 50.0,
    pieces: int = 64,
    steps: int = 40,
    tol: Real = 1e-4,
    margin: Real = 1e-4,
    others: Sequence[Any] = (),
    patience: Real | None = None,
) -> OptimalStimulus:
    """The I(t) on [0, T] of least ∫I² dt after which `model` goes from `start` to `end`, constant on `pieces` equal steps.

    The search starts from the best minimal pulse no longer than `T`, placed at the end of the interval, and ends when an
    iteration lowers the energy by less than `tol` of it. It finds a local minimum: other waveforms, which pass another
    saddle, may need less. Use it for how little input can switch, and when it acts.

    - `model`: any model or network; `start`, `end`: two of its stable states, good to about 1 %
    - `T`: time within which the input acts, > 0, in the unit of τ
    - `node`: a number or name, several, a mask, or None for all; None for one population. Nodes share one waveform
    - `sign`, `bound`: sign of the first pulse (1, −1, or None for the better one) and its largest |amplitude|, in units
      of η
    - `pieces`: number of steps of I(t), ≥ 2; `steps`: most iterations, ≥ 2; `tol`: relative gain at which the search
      ends
    - `margin`: relative excess of the result over the threshold, so that a simulation at default tolerances switches too
    - `others`, `patience`: as in `minimal_pulse`

    Returns an `OptimalStimulus`. Raises `ValueError` as `minimal_pulse` does, and for numbers out of range.
    """
    length, count, most = as_positive("T", T), as_count("pieces", pieces, 2), as_count("steps", steps, 2)
    tolerance, above = as_positive("tol", tol), as_positive("margin", margin)
    task = task_for(model, start, end, others, 1e-9, SCAN, patience)
    task = eqx.tree_at(lambda each: each.accuracy, task, accuracy_for(1e-9, task.accuracy.patience))
    options: Any = {
        "start": start,
        "end": end,
        "node": label_of(model, node),
        "sign": sign,
        "bound": bound,
        "others": others,
        "patience": patience,
    }
    pulse = minimal_charge(model, rtol=1e-5, durations=(2 * length / count, length), objective="energy", **options)
    if not pulse.reached:
        return _result(task, pulse, length, np.full(count, np.nan), [], RESULTS.not_reachable)
    waveform = _Waveform(task, gains_of(model, node), length, count)
    values, history, code = _descend(waveform, waveform.embedded(pulse), most, tolerance)
    return _result(task, pulse, length, (1 + above) * values, history, code)


def _descend(waveform: "_Waveform", values: Any, steps: int, tol: float) -> tuple[np.ndarray, list[float], Any]:
    """Energy lowered step by step; the values at threshold, the energies, and how it ended."""
    values = waveform.at_threshold(values)
    assert values is not None
    direction = optax.scale_by_lbfgs(memory_size=10)
    advance, state = jitted(direction.update), direction.init(waveform.task.array(values))
    history, code = [waveform.energy(values)], RESULTS.successful
    for _ in range(steps):
        gradient = waveform.gradient(values)
        if gradient is None:
            return values, history, RESULTS.no_saddle
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # optax mixes int32 and int64
            update, state = advance(gradient, state, waveform.task.array(values))
        better = _backtrack(waveform, values, np.asarray(update, float), history[-1])
        if better is None:
            break
        values = better
        history.append(waveform.energy(values))
        if history[-2] - history[-1] < tol * history[-1]:
            break
    return values, history, code


def _backtrack(waveform: "_Waveform", values: np.ndarray, update: np.ndarray, energy: float) -> np.ndarray | None:
    """The first of ever shorter steps, scaled to its threshold, that needs less energy; None if none does."""
    limit = 0.5 * np.linalg.norm(values) / max(np.linalg.norm(update), 1e-300)
    for k in range(10):
        tried = waveform.at_threshold(values - min(limit, 1.0) * 0.5**k * update)
        if tried is not None and waveform.energy(tried) < energy:
            return tried
    return None


class _Waveform(eqx.Module):
    """A stimulus of equal steps on [0, length], its threshold, energy and gradient."""

    task: Task
    gains: Any
    length: float = eqx.field(static=True)
    count: int = eqx.field(static=True)

    def embedded(self, pulse: SwitchingPulse) -> np.ndarray:
        """The pulse at the end of the interval, averaged over each step."""
        edges = np.linspace(0, self.length, self.count + 1)
        begin = self.length - float(pulse.duration)
        share = np.clip((edges[1:] - np.maximum(edges[:-1], begin)) * self.count / self.length, 0, 1)
        return float(pulse.amplitude) * share

    def energy(self, values: np.ndarray) -> float:
        return float(np.sum(values**2) * self.length / self.count)

    def at_threshold(self, values: np.ndarray) -> np.ndarray | None:
        """The values times the smallest factor that switches; None if none up to 1.5 does."""
        task, dtype = self.task, self.task.attractors.flat.dtype
        shape, gains = task.array(_LARGEST * values), None if self.gains is None else task.array(self.gains)
        labels = lambda x: _scaled_labels(
            task.model, task.attractors.state(0), shape, gains, task.array(self.length), x, task.attractors, task.accuracy
        )
        found = brackets_of(labels, 1, 1e-9, SCAN, dtype)
        return _LARGEST * found.upper[0] * values if found.found[0] else None

    def gradient(self, values: np.ndarray) -> Values | None:
        """∂E/∂u at threshold; None if the run passes no saddle."""
        task, u = self.task, self.task.array(values)
        gains = None if self.gains is None else task.array(self.gains)
        length, y0 = task.array(self.length), task.attractors.state(0)
        edge = find_edge(task.model, y0, steps_of(u, length, gains), length, task.attractors, task.accuracy)
        if not edge.found:
            return None
        normal = _normal(task.model, y0, u, gains, length, edge, task.accuracy)
        return 2 * length / self.count * (u - jnp.sum(u**2) * normal / jnp.sum(u * normal))


def steps_of(values: Values, length: Scalar, gains: Values | None, after: Any = None) -> AbstractStimulus:
    """The stimulus of equal steps on [0, length], zero until `after` (default just until `length`)."""
    ts = jnp.linspace(0, 1, values.shape[0] + 1, dtype=values.dtype) * length
    padded = jnp.append(values, jnp.zeros((), values.dtype))
    if after is not None:
        ts, padded = jnp.append(ts, after), jnp.append(padded, jnp.zeros((), values.dtype))
    stimulus = Sampled(ts, padded, interpolation="hold")
    return stimulus if gains is None else Targeted(stimulus, gains)


@jitted
def _scaled_labels(
    model: AbstractModel,
    y0: State,
    values: Values,
    gains: Any,
    length: Scalar,
    x: Values,
    attractors: Attractors,
    accuracy: Accuracy,
) -> Any:
    """Attractor reached under `values` times each of `x`, shape `(1, M)`."""
    lane = lambda x: outcome(model, y0, steps_of(x * values, length, gains), length, attractors, accuracy)
    return jax.vmap(lane)(x[0])[None]


@jitted
def _normal(
    model: AbstractModel, y0: State, values: Values, gains: Any, length: Scalar, edge: Edge, accuracy: Accuracy
) -> Values:
    """∂g/∂u, through the solve."""

    def side(values: Values) -> Scalar:
        stimulus = steps_of(values, length, gains, 2 * length + edge.time)
        late, _ = driven(model, y0, stimulus, length + edge.time, accuracy, diffrax.RecursiveCheckpointAdjoint())
        return edge.side(model, late)

    return jax.grad(side)(values)


def _result(
    task: Task, pulse: SwitchingPulse, length: float, values: np.ndarray, history: list[float], code: Any
) -> OptimalStimulus:
    """The result, with the simulation that checks it."""
    steps, reached, stimulus = task.array(values), False, None
    patience, time = task.accuracy.patience, task.array(length)
    start, end = task.attractors.state(0), task.attractors.state(1)
    if pulse.reached:
        stimulus = aimed(task.model, steps_of(steps, time, None, time + 10 * patience), pulse.node)
        run = simulate(
            task.model,
            start,
            jnp.stack([jnp.zeros_like(time), time + patience]),
            stimulus=stimulus,
            adjoint=diffrax.ForwardMode(),
        )
        reached = bool(task.attractors.distances(run.y_end)[1] <= 1)
    return OptimalStimulus(
        stimulus=stimulus,
        edges=task.array(np.linspace(0, length, values.size + 1)),
        values=steps,
        energy=jnp.sum(steps**2) * time / values.size,
        pulse=pulse,
        history=task.array(history),
        time=time,
        model=task.model,
        start=start,
        end=end,
        result=code,
        reached=reached,
        node=pulse.node,
    )
