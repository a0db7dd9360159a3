"""How a run ended: its result code, and what of it is known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._results import RESULTS
from .._types import Mask, Values, is_concrete
from ..models.base import AbstractModel
from ..models.stimulus import AbstractStimulus
from .clock import Clock


def outcome_of(result: Any, saved: Any, computed: Mask, y_end: Any, positive_names: tuple[str, ...]) -> Any:
    """Add failures that the integrator can't see: a state that is not finite, or a firing rate that left r > 0."""
    positive = jnp.array(True)
    for name in positive_names:
        values = getattr(saved, name)
        positive &= jnp.all(jnp.where(as_mask(computed, values), values, 1) > 0) & jnp.all(~(getattr(y_end, name) <= 0))
    finite = jnp.array(True)
    for leaf, end in zip(jax.tree.leaves(saved), jax.tree.leaves(y_end), strict=True):
        finite &= jnp.all(jnp.isfinite(leaf) | ~as_mask(computed, leaf)) & jnp.all(jnp.isfinite(end))
    fine = (result == RESULTS.successful) | (result == RESULTS.event_occurred)
    result = RESULTS.where(~fine | positive, result, RESULTS.rate_not_positive)
    return RESULTS.where(finite, result, RESULTS.non_finite)


def as_mask(mask: Mask, leaf: Values) -> Mask:
    """A mask over times for an array with further axes."""
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - mask.ndim))


def within(span: Any, ts: Values, t_end: Values, saved: Any, end: object, result: Any) -> tuple[Any, Any, Any]:
    """NaN for states outside the range of a recorded input, and the result code that says so."""
    if span is None:
        return saved, end, result
    slack = 64 * jnp.finfo(ts.dtype).eps * jnp.maximum(jnp.maximum(jnp.abs(span[0]), jnp.abs(span[1])), ts[-1])
    late = span[0] > slack
    known = lambda t: ~late & (t <= span[1] + slack)
    saved = jax.tree.map(lambda leaf: jnp.where(as_mask(known(ts), leaf), leaf, jnp.nan), saved)
    end = jax.tree.map(lambda leaf: jnp.where(known(t_end), leaf, jnp.nan), end)
    return saved, end, RESULTS.where(known(t_end), result, RESULTS.input_out_of_range)


def unknown_span(stimulus: AbstractStimulus | None, shifted: Any, model: AbstractModel, clock: Clock) -> Any:
    """Range of a recorded input on the run's clock, if tracing hid it, or the times, from the check at the start."""
    span = None if stimulus is None or model.own_clock else stimulus.span()
    if span is None or all(is_concrete(each) for each in (*span, clock.ts)):
        return None
    return shifted.span()


def since_start(stimulus: AbstractStimulus | None, model: AbstractModel, clock: Clock) -> Any:
    """The stimulus on the run's clock; as it is for a model whose own state holds the physical time."""
    return stimulus if stimulus is None or clock.start is None or model.own_clock else stimulus.since(clock.start)


def check_positive(name: str, value: Any) -> None:
    """Refuse what is known and no number > 0."""
    if is_concrete(value):
        number = np.asarray(value)
        is_number = number.ndim == 0 and number.dtype.kind in "iuf"
        require(name, value, "be a number > 0", is_number and bool(np.isfinite(number) & (number > 0)))


def short(value: Any) -> str:
    """A number in the description of a method."""
    return f"{float(value):g}" if is_concrete(value) else "traced"
