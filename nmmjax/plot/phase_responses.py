"""Pictures of phase responses."""

from typing import Any

import numpy as np

from .._checks import require
from ..branches.phases import PhaseResponse
from ..models.base import AbstractModel
from .bifurcations import state_rows, variable_of
from .common import BLUE, GREY, ORANGE, finish, new_axes, node_label


def phase_response(response: PhaseResponse, variable: str | None = None, axes: Any = None) -> Any:
    """One cycle of the first variable, such as the rate, over its phase, and below it the phase response Z to a variable.

    - `response`: of `phase_response`
    - `variable`: the one that is pushed, by default `v` if there is one, else the first; for a user's vector field "y0",
      "y1", …; of networks all nodes are drawn
    - `axes`: two matplotlib axes; new ones by default

    Shading marks phases at which a push delays later peaks (Z < 0). Returns both axes. Raises `ValueError` for batches and
    unknown variables.
    """
    known = isinstance(response, PhaseResponse)
    require("response", type(response).__name__, "be the result of `phase_response`", known)
    single = response.period.ndim == 0
    require("response", f"one of shape {response.period.shape}", "be a single one to draw it", single)
    axes = new_axes(axes, 2, (6.0, 4.6))
    model, phase = response.system.model, np.asarray(response.phase)
    pushed = variable
    if variable is None and isinstance(model, AbstractModel) and "v" in model.variables:
        pushed = "v"
    (shown, label), (name, _) = variable_of(model, response.state, None), variable_of(model, response.state, pushed)
    labels = getattr(model, "labels", None)
    nodes = state_rows(response.state, shown).shape[1]
    colors = [BLUE, ORANGE] if nodes <= 2 else [BLUE] * nodes
    bottom = []
    for node in range(nodes):
        style = {"color": colors[node], "linewidth": 1.8, "label": node_label(labels, node) if 1 < nodes <= 2 else ""}
        axes[0].plot(phase, state_rows(response.state, shown)[:, node], **style)
        bottom.append(state_rows(response.Z, name)[:, node])
        axes[1].plot(phase, bottom[-1], **style)
    axes[1].axhline(0.0, color=GREY, linewidth=0.8, zorder=0)
    if nodes == 1:
        axes[1].fill_between(phase, np.minimum(bottom[0], 0.0), color=GREY, alpha=0.3, linewidth=0, label="delays")
    period = float(response.period)
    axes[0].set_ylabel(label.replace(" (", "\n("))
    axes[0].set_title(f"{response.system.names[0]} = {float(response.parameter):.6g}, period {period:.6g}", fontsize=10)
    unit = model.variables[name].unit if isinstance(model, AbstractModel) else ""
    unit = {"1": "unit of τ", "1/time": "unit of τ²"}.get(unit, "time per unit")
    axes[1].set(xlabel="phase (periods)", ylabel=f"phase response to {name}\n({unit})", xlim=(0.0, 1.0))
    if nodes <= 2:
        axes[nodes % 2].legend(frameon=False, fontsize=8)
    return finish(axes)
