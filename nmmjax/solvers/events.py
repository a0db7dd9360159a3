"""Events of a run: they receive the user's time, and the earliest of several in one step ends the run."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Values
from .term import PopulationTerm


class _OnClock(eqx.Module):
    """A condition that receives the time and the equations on the user's clock, not on the run's."""

    condition: Any
    start: Values
    term: PopulationTerm

    def __call__(self, t: Any, y: object, args: object, **given: Any) -> Any:
        now = lambda t: self.start[0] + (self.start[1] + t)
        given |= {"terms": self.term, "t0": now(given["t0"]), "t1": now(given["t1"])}
        return self.condition(now(t), y, args, **given)


def on_clock(event: diffrax.Event | None, start: Values, term: PopulationTerm) -> diffrax.Event | None:
    """The event with conditions for a clock that counts from `start`; `term` is the equations on the user's clock."""
    if event is None:
        return None
    conditions = jax.tree.map(lambda each: _OnClock(each, start, term), event.cond_fn, is_leaf=callable)
    return diffrax.Event(conditions, event.root_finder, event.direction)


def earliest(
    solve: Callable[..., Any], event: diffrax.Event, first: Any, found: Any, happened: Any, given: dict[str, Any]
) -> tuple[Any, Any, Any]:
    """(t, y, mask) of the earliest event. `found` is diffrax's, which is the first listed of those in one step.

    Each condition that has changed its sign by then, from its value at `first`, is located on its own up to that time.
    """
    conditions, shape = jax.tree.flatten(event.cond_fn, is_leaf=callable)
    directions = jax.tree.leaves(event.direction, is_leaf=lambda each: each is None)
    t_end, y_end, mask = found
    masks = jax.tree.leaves(mask)
    if len(conditions) < 2:
        return found
    for k, (condition, direction) in enumerate(zip(conditions, directions, strict=True)):
        value = condition(found[0], found[1], None, **given)
        if jnp.issubdtype(jnp.result_type(value), jnp.bool_):
            continue  # true at a step's end: no earlier than others
        passed = value <= 0 if direction is False else value > 0
        if direction is None:
            passed = jnp.sign(value) != jnp.sign(condition(*first, None, **given))

        def alone(condition=condition, direction=direction) -> Any:
            one = diffrax.Event(condition, event.root_finder, direction)
            again = solve(found[0], diffrax.SaveAt(t1=True), one, diffrax.NoProgressMeter())
            occurred = again.result == diffrax.RESULTS.event_occurred
            return again.ts[0], jax.tree.map(lambda leaf: leaf[0], again.ys), occurred

        asked = happened & ~jax.tree.leaves(mask)[k] & passed
        t, y, occurred = jax.lax.cond(asked, alone, lambda: (found[0], found[1], jnp.array(False)))
        earlier = occurred & (t < t_end)
        pick = lambda new, old, earlier=earlier: jnp.where(earlier, new, old)
        t_end, y_end = jax.tree.map(pick, (t, y), (t_end, y_end))
        masks = [jnp.where(earlier, n == k, each) for n, each in enumerate(masks)]
    return t_end, y_end, jax.tree.unflatten(shape, masks)
