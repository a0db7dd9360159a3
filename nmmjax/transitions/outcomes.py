"""Outcome of a stimulus: the number of the attractor at which a model comes to rest, or why there is none."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._types import Scalar
from ..models.base import AbstractModel
from ..models.state import State
from ..models.stimulus import AbstractStimulus
from ..solvers.clock import jump_times
from ..solvers.term import PopulationTerm
from .attractors import Attractors

UNDECIDED, FAILED = -1, -2  # not inside any trap in time; the solver failed
_STEPS = 200_000


class Accuracy(eqx.Module):
    """Tolerances of the solves, and the longest time for a state to settle after the stimulus."""

    rtol: Scalar
    atol: Scalar
    patience: Scalar


def accuracy_for(rtol: float, patience: Any) -> Accuracy:
    """Tolerances a hundred times finer than `rtol` of the answer, within 1e-12 … 1e-8 (float32: 2e-6)."""
    eps = float(jnp.finfo(patience.dtype).eps)
    finest, coarsest = (1e-12, 1e-8) if eps < 1e-10 else (2e-6, 2e-6)
    solve = min(max(rtol / 100, finest), coarsest)
    return Accuracy(*(jnp.asarray(each, patience.dtype) for each in (solve, solve / 100, patience)))


def controller_for(accuracy: Accuracy, stimulus: AbstractStimulus | None) -> Any:
    """Adaptive steps that end on the jumps of the stimulus."""
    controller = diffrax.PIDController(rtol=accuracy.rtol, atol=accuracy.atol)
    jumps = None if stimulus is None else jump_times(stimulus)
    if jumps is None or jumps.shape[0] == 0:
        return controller
    return diffrax.ClipStepSizeController(controller, jump_ts=jumps)


def driven(
    model: AbstractModel,
    y0: State,
    stimulus: AbstractStimulus | None,
    duration: Scalar,
    accuracy: Accuracy,
    adjoint: Any = None,
) -> tuple[State, Any]:
    """The state after `duration` under `stimulus`, and the solver's result code."""
    solution = diffrax.diffeqsolve(
        PopulationTerm(model, stimulus),
        diffrax.Tsit5(),
        t0=jnp.zeros_like(duration),
        t1=duration,
        dt0=None,
        y0=y0,
        stepsize_controller=controller_for(accuracy, stimulus),
        adjoint=diffrax.ForwardMode() if adjoint is None else adjoint,
        max_steps=_STEPS if adjoint is None else 16_384,
        throw=False,
    )
    return jax.tree.map(lambda leaf: leaf[0], solution.ys), solution.result


def settled(model: AbstractModel, y0: State, attractors: Attractors | None, accuracy: Accuracy) -> tuple[Any, State]:
    """The number of the attractor in whose trap the undisturbed model ends, or UNDECIDED, FAILED; and where it is."""

    def trapped(t, y: State, args, **kwargs) -> Any:
        return jnp.array(False) if attractors is None else jnp.any(attractors.distances(y) <= 1)

    solution = diffrax.diffeqsolve(
        PopulationTerm(model, None),
        diffrax.Tsit5(),
        t0=jnp.zeros_like(accuracy.patience),
        t1=accuracy.patience,
        dt0=None,
        y0=y0,
        stepsize_controller=controller_for(accuracy, None),
        event=diffrax.Event(trapped),
        adjoint=diffrax.ForwardMode(),
        max_steps=_STEPS,
        throw=False,
    )
    end = jax.tree.map(lambda leaf: leaf[0], solution.ys)
    nowhere = jnp.full(1, jnp.inf, accuracy.patience.dtype)
    distances = nowhere if attractors is None else attractors.distances(end)
    label = jnp.where(jnp.min(distances) <= 1, jnp.argmin(distances), UNDECIDED)
    fine = (solution.result == diffrax.RESULTS.successful) | (solution.result == diffrax.RESULTS.event_occurred)
    finite = jnp.all(jnp.isfinite(ravel_pytree(end)[0]))
    return jnp.where(fine & finite, label, FAILED).astype(jnp.int32), end


def outcome(
    model: AbstractModel,
    y0: State,
    stimulus: AbstractStimulus | None,
    duration: Scalar,
    attractors: Attractors,
    accuracy: Accuracy,
) -> Any:
    """Which attractor the model is at after `stimulus` for `duration` and the time to settle."""
    end, result = driven(model, y0, stimulus, duration, accuracy)
    label, _ = settled(model, end, attractors, accuracy)
    return jnp.where(result == diffrax.RESULTS.successful, label, FAILED)
