"""How diffrax sees a model, and a fixed step that still lands on the jumps of a stimulus."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import as_array
from .._types import Scalar
from ..models.base import AbstractModel
from ..models.stimulus import AbstractStimulus, input_at


class PopulationTerm(diffrax.AbstractTerm):
    """The drift of a model under a stimulus as a diffrax term; works with every diffrax ODE solver and with ours.

    `diffrax.diffeqsolve(PopulationTerm(model, stimulus), MobiusSplitting(4), t0, t1, dt0, model.state(y0))`

    - `model`: any model
    - `stimulus`: input current I(t), in units of η; None, the default, for no input
    - `start`: a time as a sum of two numbers, (2,), from which the solver's clock counts: the stimulus is then one
      `since` that time, and the model is told the time itself, `start + t`; None by default
    """

    model: AbstractModel
    stimulus: AbstractStimulus | None = None
    start: Any = None

    def vf(self, t: Any, y: Any, args: Any) -> Any:
        t = jnp.asarray(t)
        now = t if self.start is None else self.start[0] + (self.start[1] + t)
        acts = self.model.physical_time(now, y) if self.model.own_clock else t
        return self.model.vector_field(now, y, input_at(self.stimulus, acts))

    def contr(self, t0: Any, t1: Any, **kwargs: Any) -> Any:
        return t1 - t0

    def prod(self, vf: Any, control: Any) -> Any:
        return jax.tree.map(lambda each: control * each, vf)


class FixedStep(diffrax.AbstractAdaptiveStepSizeController):
    """A constant step that never looks at errors, but which `diffrax.ClipStepSizeController` can shorten at jumps.

    Use it with `MobiusSplitting` under a stimulus with jumps; `simulate(dt0=...)` does so by itself. (diffrax's own
    `ConstantStepSize` can't be clipped.)

    - `step`: a number > 0, in the unit of τ
    - `rtol`, `atol`: tolerances of the root finder of an implicit solver; 1e-6 by default
    """

    step: Scalar = eqx.field(converter=as_array)
    # For the root finder of an implicit solver; the step itself never looks at them.
    rtol: Scalar = eqx.field(converter=as_array, default=1e-6)
    atol: Scalar = eqx.field(converter=as_array, default=1e-6)

    @property
    def norm(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None

    def wrap(self, direction: Any) -> "FixedStep":
        return self

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Any, error_order: Any) -> Any:
        del terms, t1, y0, dt0, args, func, error_order
        return t0 + self.step, None

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: Any, y1_candidate: Any, args: Any, y_error: Any, error_order: Any, controller_state: Any
    ) -> Any:
        del t0, y0, y1_candidate, args, y_error, error_order
        keep = jnp.array(True)
        made_jump = jnp.array(False)
        return keep, t1, t1 + self.step, made_jump, controller_state, diffrax.RESULTS.successful
