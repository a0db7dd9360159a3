"""Derivatives of the threshold amplitude of a pulse with respect to the model's parameters and the duration.

At the threshold the run ends on the stable manifold of a saddle s, so it comes close to s. There, with the left eigenvector
w of the unstable eigenvalue, it is on the manifold where g = w·(y(t*) − s) = 0, up to second order of the distance, and the
implicit function theorem gives

    ∂(amplitude)/∂θ = −(∂g/∂θ)/(∂g/∂(amplitude))

Both derivatives go through the solve in reverse mode; the factor e^(λ t*) by which they grow cancels.
"""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._checks import require
from .._nan import nan_is_absent, nan_unless
from .._results import RESULTS, Shown
from .._types import Scalar
from ..equilibria.stability import flat_field, jacobian
from ..models.base import AbstractModel, takes_model
from ..models.network import Targeted
from ..models.state import State
from ..models.stimulus import Constant, Pulse
from ..numerics.compiling import jitted
from .attractors import Attractors, find_attractors
from .edges import Edge, find_edge
from .outcomes import Accuracy, accuracy_for, driven
from .pulses import SwitchingPulse, Task
from .search import SCAN, brackets_of, gains_of, labels_of


class Sensitivity(eqx.Module, Shown):
    """Derivatives of a threshold amplitude.

    - `model`: the model with every number replaced by ∂(amplitude)/∂(number): `.J`, `.node.eta`, `.weights`
    - `duration`: ∂(amplitude)/∂(duration)
    - `amplitude`: the threshold, to about 1e-11; `saddle`: the state on the edge between both basins, with its unstable
      `eigenvalue`; `distance`: how close the run at the threshold came to it
    - `result`: `RESULTS.no_saddle` with NaN if it came close to no saddle with one unstable direction
    """

    model: AbstractModel
    duration: Scalar
    amplitude: Scalar
    saddle: State
    eigenvalue: Scalar
    distance: Scalar
    result: RESULTS


@nan_is_absent
def threshold_gradient(pulse: SwitchingPulse) -> Sensitivity:
    """Derivatives of a minimal pulse's amplitude by every parameter of its model, and by its duration.

    - `pulse`: a `SwitchingPulse` that switches; its bracket is refined to about 1e-11 first

    Returns a `Sensitivity`: `threshold_gradient(pulse).model.J` for one population; for the weight J_x of a mutually
    inhibiting pair, the sum of the off-diagonal entries of `.model.weights`. The error against finite differences is 1e-5
    relative or better in float64. Raises `ValueError` for a pulse that doesn't switch. Use it for sensitivities and fits;
    `threshold_amplitude` makes it differentiable by `jax.grad`. Source: implicit function theorem, see the file.
    """
    require("pulse", pulse, "be a minimal pulse that switches", isinstance(pulse, SwitchingPulse) and pulse.reached)
    attractors = find_attractors(pulse.model, {"start": pulse.start, "end": pulse.end})
    accuracy = accuracy_for(1e-12, attractors.horizon)
    gains = gains_of(pulse.model, pulse.node)
    gains = None if gains is None else jnp.asarray(gains, attractors.flat.dtype)
    amplitude = _refined(pulse, attractors, accuracy)
    current = Constant(amplitude)
    stimulus = current if gains is None else Targeted(current, gains)
    edge = find_edge(pulse.model, pulse.start, stimulus, pulse.duration, attractors, accuracy)
    by_model, (by_amplitude, by_duration) = _slopes(
        pulse.model, amplitude, pulse.duration, pulse.start, gains, edge, accuracy
    )
    ratio = lambda each: nan_unless(edge.found, -each / by_amplitude)
    code: Any = RESULTS.successful if edge.found else RESULTS.no_saddle
    model = jax.tree.map(ratio, by_model)
    return Sensitivity(model, ratio(by_duration), amplitude, edge.saddle, edge.eigenvalue, edge.distance, result=code)


@nan_is_absent
@takes_model
def threshold_amplitude(model: AbstractModel, pulse: SwitchingPulse) -> Scalar:
    """Threshold of a pulse as a function of the model, for `jax.grad`: exact with its gradient at the pulse's own model.

    - `model`: a model of the pulse's kind
    - `pulse`: a `SwitchingPulse` that switches, made for `pulse.model`

    Returns the amplitude, in units of η: `jax.grad(lambda J: nmm.threshold_amplitude(nmm.MPR(J=J), pulse))(15.0)`. It is
    linear in the parameters away from `pulse.model`. Raises `ValueError` for another kind of model.
    """
    found = threshold_gradient(pulse)
    same = jax.tree.structure(model) == jax.tree.structure(pulse.model)
    require("model", model, "be of the same kind as `pulse.model`", same)
    here, slopes = eqx.filter(model, eqx.is_inexact_array), found.model
    there = eqx.filter(pulse.model, eqx.is_inexact_array)
    changes = jax.tree.map(lambda a, b, slope: jnp.sum((a - b) * slope), here, there, slopes)
    return sum(jax.tree.leaves(changes), start=found.amplitude)


def _refined(pulse: SwitchingPulse, attractors: Attractors, accuracy: Accuracy) -> Scalar:
    """The threshold to rounding, from a scan around the known bracket at finer tolerance of the solver."""
    low, high = (float(each) for each in pulse.bracket)
    margin = 1e-3
    task = Task(pulse.model, attractors, accuracy, 1e-12, SCAN)
    twice = 2 * [(1 + margin) * high]  # two rows, as for both signs: no second compilation
    rows = task.rows(twice, float(pulse.duration), gains_of(pulse.model, pulse.node))
    x0 = (1 - margin) * low / ((1 + margin) * high)
    labels = lambda x: labels_of(pulse.model, pulse.start, rows, x, attractors, accuracy)
    found = brackets_of(labels, 2, 1e-12, SCAN, rows.amplitude.dtype, x0)
    middle = (found.lower[0] + found.upper[0]) / 2
    return task.array(middle * (1 + margin) * high if found.found[0] else high)


@jitted
def _slopes(
    model: AbstractModel,
    amplitude: Scalar,
    duration: Scalar,
    y0: State,
    gains: Any,
    edge: Edge,
    accuracy: Accuracy,
) -> Any:
    """Derivatives of g by the model, and by (amplitude, duration)."""
    free, rest = eqx.partition(model, eqx.is_inexact_array)
    start, back = ravel_pytree(y0)
    to_start = jnp.linalg.inv(jacobian(model, y0))

    def g(free, pulse: tuple[Scalar, Scalar]) -> Scalar:
        here = eqx.combine(free, rest)
        # One Newton step with a constant Jacobian: no change in value, and the derivative of the fixed point.
        first = back(start - to_start @ flat_field(here, y0)(start))
        current = Pulse(pulse[0], jnp.zeros_like(pulse[1]), pulse[1])
        stimulus = current if gains is None else Targeted(current, gains)
        late, _ = driven(here, first, stimulus, pulse[1] + edge.time, accuracy, diffrax.RecursiveCheckpointAdjoint())
        return edge.side(here, late)

    return jax.grad(g, argnums=(0, 1))(free, (amplitude, duration))
