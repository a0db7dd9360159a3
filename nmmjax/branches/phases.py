"""Phase response of limit cycles: what a small push at every phase does to the time of all later peaks."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._blas import with_one_thread
from .._checks import as_count, require
from .._labelled import about_parameter, attributes_of, software, state_columns, xarray
from .._nan import nan_is_absent, nan_unless
from .._parameter import as_number, parameter_table
from .._results import RESULTS, Shown
from .._types import ComplexValues, Real, Scalar, Values, is_concrete
from ..models.base import AbstractModel
from ..numerics.arclength import GO_ON, iterate, settle
from ..numerics.compiling import jitted
from .branch import LABELS, message, where_chosen
from .collocation import (
    at_nodes,
    basis,
    closing_step,
    gauss_values,
    linearized,
    node_times,
    orbit_at,
    product,
    transfers,
)
from .cycles import CycleBranch
from .system import Flow, System, UserField

_FEW = 4  # numbers of one parameter at most that are printed
_CLOSE = 1e-4  # a second multiplier that is so close to 1 loses four digits of Z


class PhaseResponse(eqx.Module, Shown):
    """Infinitesimal phase response of one limit cycle; phase 0 is the peak of the first variable, such as the rate.

    - `system`: the equations, with the name of the branch's parameter, whose value is `parameter`
    - `period`, in the unit of τ; `phase`: times in periods from 0 to 1, `(points,)`
    - `state`: the cycle, at these phases; `Z`: time by which later peaks come earlier per unit of a small push to each
      variable, at these phases, in the unit of τ per unit of the variable
    - `period_gradient`: dT/dp for every parameter p, by dotted name ("eta", "synapse.tau"), of the parameter's shape, and
      for `weights` of a network; `period_by_input`: dT/dI for a constant input, `(n,)` for a network, None for a function
    - `multipliers`: Floquet multipliers by decreasing size
    - `result`: a `RESULTS` code; without success everything else is NaN
    - `degree`: of the polynomials between the points of the mesh

    `at(phases)` gives Z at other phases. Print it, `to_xarray()` it, or `nmmjax.plot.phase_response(response)`.
    """

    system: System
    parameter: Values
    period: Values
    phase: Values
    state: Any
    Z: Any
    period_gradient: dict[str, Any]
    period_by_input: Any
    multipliers: ComplexValues
    result: RESULTS
    degree: int = eqx.field(static=True)

    @nan_is_absent
    def at(self, phases: Any) -> Any:
        """Z at `phases`, times in periods after the peak, `(k,)`: a state of arrays `(k, …)`."""
        s = jnp.atleast_1d(jnp.asarray(phases, self.phase.dtype)) % 1
        mesh = self.phase[:: self.degree]
        return self.system.states(orbit_at(self.system.flat(self.Z)[:-1], mesh, s))

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over `phase`: the cycle, `Z_` and the variable's name, `period`, and `period_by_` and the
        parameter's name (extra `data`).
        """
        require("response", f"a batch of shape {self.period.shape}", "be a single one to become a dataset", _single(self))
        model, every = self.system.model, np.ones(self.phase.shape, bool)
        data = state_columns(model, self.state, every, "phase")
        for name, (dims, values, about) in state_columns(model, self.Z, every, "phase").items():
            about = {"long_name": f"phase response to {about['long_name']} {name}", "units": _per(about.get("units", ""))}
            data[f"Z_{name}"] = (dims, values, about)
        data["period"] = ((), np.asarray(self.period), {"units": "time", "long_name": "period"})
        slopes = dict(self.period_gradient)
        if self.period_by_input is not None:
            slopes["I"] = self.period_by_input
        for name, value in slopes.items():
            about = {"long_name": f"derivative of the period by {name}"} | _about_slope(model, name)
            axes = ("node", "sender") if name == "weights" else ("node",)
            data[f"period_by_{name}"] = (axes[: np.ndim(value)], np.asarray(value), about)
        coords = {"phase": ("phase", np.asarray(self.phase), {"long_name": "phase", "units": "periods"})}
        if isinstance(model, UserField):
            notes = {f"model.{name}": float(value) for name, value in model.parameters.items()}
        else:
            notes = attributes_of(model, "model")
        own = {self.system.names[0]: float(self.parameter), "result": RESULTS[self.result]}
        return xarray().Dataset(data, coords=coords, attrs=notes | own | software())

    @nan_is_absent
    def __str__(self) -> str:
        name = self.system.names[0]
        if not is_concrete(self.period) or not _single(self):
            return f"Phase responses over {name}, batch shape {self.period.shape}"
        rows = [f"Phase response of the cycle at {name} = {float(self.parameter):g}"]
        if self.result != RESULTS.successful:
            return "\n".join([*rows, f"  {message(self.result)}"])
        sizes = ", ".join(f"{value if value.imag else value.real:.4g}" for value in np.asarray(self.multipliers))
        rows += [f"  period {float(self.period):.9g}", f"  Floquet multipliers {sizes}"]
        labels = getattr(self.system.model, "labels", None)
        labels = range(np.shape(self.multipliers)[0]) if labels is None else labels
        for variable, (_, values, _) in state_columns(
            self.system.model, self.Z, np.full(self.phase.shape, True), ""
        ).items():
            for k, each in enumerate(values.reshape(values.shape[0], -1).T):
                which = f"{variable}[{labels[k]}]" if values.ndim > 1 else variable
                low, high = (int(find(each)) for find in (np.argmin, np.argmax))
                ends = (f"{each[at]:.6g} at phase {float(self.phase[at]):.3f}" for at in (low, high))
                rows.append(f"  Z to {which}: from {' to '.join(ends)}")
        slopes = {name: np.asarray(value) for name, value in self.period_gradient.items() if np.size(value) <= _FEW}
        text = ", ".join(f"{name} {np.array2string(value, precision=6, separator=', ')}" for name, value in slopes.items())
        return "\n".join([*rows, *([f"  derivatives of the period: {text}"] if text else [])])

    def __repr__(self) -> str:
        return str(self)


def _single(response: PhaseResponse) -> bool:
    return jnp.ndim(response.period) == 0


def _per(unit: str) -> str:
    """The unit of Z for a variable's unit."""
    return {"1": "time", "": "time", "1/time": "time²", "time": "1"}.get(unit, f"time/({unit})")


def _about_slope(model: Any, name: str) -> dict[str, str]:
    about = about_parameter(model, name)
    return {"units": _per(about["units"])} if about else {}


@nan_is_absent
@with_one_thread
def phase_response(cycles: CycleBranch, at: Real | None = None, *, which: int | None = None, node: Any = 0) -> PhaseResponse:
    """Phase response Z(φ) of a limit cycle, by its adjoint equation, with the period's derivative by every parameter:

        Ż = −(∂F/∂y)ᵀ Z,   Z·F = 1,   dT/dp = −∮ Z·∂F/∂p dt

    A push by δ to a variable at phase φ brings all later peaks earlier by Z(φ)·δ, if it is small; so Z says when input
    speeds a rhythm up and when it slows it down, and how two weakly coupled rhythms lock. The cycle is solved for at exactly
    this value of the branch's parameter, by Newton's method, and Z by collocation on its mesh. Unstable cycles have it too.

    - `cycles`: the branch, of `continue_cycle`
    - `at`: value of its parameter; by default the model's own
    - `which`: of several cycles at this value, the number of one along the branch, from 0; by default the first stable
      one, or the first if none is
    - `node`: the node of a network whose peak is phase 0, by number or name

    Returns a `PhaseResponse`, phase 0 at the highest peak of the first variable. At a fold of cycles and at a Hopf point,
    where a second multiplier is 1, it is NaN and `result` says so. Differentiable in `at` and the model's parameters, by
    either mode: `equinox.tree_at(lambda c: c.system.model.eta, cycles, eta)` is a branch whose parameters moved a
    little. Raises `ValueError` for anything but a single branch, and if the branch passes no such cycle (with traced values
    `result` says so). Sources: Ermentrout & Terman, Mathematical Foundations of Neuroscience (2010), §8; Govaerts & Sautois,
    Neural Comput. 18:817 (2006), by collocation.
    """
    require("cycles", type(cycles).__name__, "be the result of `continue_cycle`", isinstance(cycles, CycleBranch))
    one = f"a batch of shape {cycles.parameter.shape[:-1]}"
    require("cycles", one, "be a single branch of cycles", cycles.parameter.ndim == 1)
    name = cycles.system.names[0]
    value = as_number("at", cycles.system.value() if at is None else at).astype(cycles.parameter.dtype)
    chosen = -1 if which is None else as_count("which", which, 0)
    found, count = _respond(cycles, value, jnp.asarray(chosen, jnp.int32), _index(cycles.system, node))
    if is_concrete(count):
        passed = np.concatenate([np.asarray(cycles.parameter), np.asarray(cycles.special.parameter)])
        span = f"from {np.nanmin(passed):.9g} to {np.nanmax(passed):.9g}"
        require("at", value, f"be a value of `{name}` on the branch, {span}", int(count) > 0)
        require("which", which, f"be an integer from 0 to {int(count) - 1}, one of the cycles there", chosen < int(count))
    return found


def _index(system: System, node: Any) -> int:
    """The place in a flat state of the variable whose peak is phase 0."""
    model: Any = system.model
    if not isinstance(system.model, AbstractModel):
        require("node", node, "be 0: a function has no nodes", node == 0)
        return 0
    first = system.like.names.index(next(iter(model.variables)))
    if model.size is not None:
        return first * model.size + model.index(node)
    require("node", node, "be 0: one population has no other nodes", node == 0)
    return first


@jitted
def _respond(cycles: CycleBranch, at: Scalar, which: Any, index: int) -> tuple[PhaseResponse, Any]:
    system, degree = cycles.system, cycles.degree
    values, mesh, period, degenerate, count = _nearby(jax.lax.stop_gradient(cycles), jax.lax.stop_gradient(at), which)
    values, mesh = _from_peak(values, mesh, index)
    flow, none = Flow(system.at(at[None]), system.like), _no_input(system, at)

    n = values.shape[1]

    def step(flow: Flow, x: Values) -> Values:
        values = x[:-1].reshape(-1, n)
        row, peaked = jax.jacfwd(lambda y: flow(y, none)[index])(values[0]), flow(values[0], none)[index]
        move, longer = closing_step(flow, values, x[-1], none, mesh, row, peaked)
        return -jnp.append(move.reshape(-1), longer)

    guess, still = jnp.append(values.reshape(-1), period), jax.lax.stop_gradient(flow)
    near, _, _ = iterate(lambda x: step(still, x), guess, jnp.ones_like(guess))
    x, converged = settle(lambda x: step(flow, x), near, 2)
    values, period = x[:-1].reshape(-1, n), x[-1]
    Z, multipliers = _adjoint(flow, values, period, none, mesh)
    slopes, by_input = _period_gradient(flow, values, Z, period, none, mesh)
    second = jnp.sort(jnp.abs(multipliers - 1))[1] if n > 1 else jnp.inf
    result = RESULTS.where(converged & (period > 0), GO_ON, RESULTS.newton_failed)
    result = RESULTS.where(degenerate | (second < _CLOSE), RESULTS.cycle_degenerate, result)
    result = RESULTS.where(count > jnp.maximum(which, 0), result, RESULTS.cycle_not_passed)
    good = result == RESULTS.successful
    known = lambda tree: jax.tree.map(lambda each: nan_unless(good, each), tree)
    closed = lambda nodes: jnp.concatenate([nodes, nodes[:1]])
    found = PhaseResponse(
        system=system,
        parameter=at,
        period=known(period),
        phase=jnp.append(node_times(mesh, degree), mesh[-1]),
        state=system.states(known(closed(values))),
        Z=system.states(known(closed(Z))),
        period_gradient=known(slopes),
        period_by_input=None if isinstance(system.model, UserField) else known(by_input),
        multipliers=where_chosen(jnp.broadcast_to(good, multipliers.shape), multipliers),
        result=result,
        degree=degree,
    )
    return found, count


def _no_input(system: System, at: Scalar) -> Values:
    shape = system.model.shape if isinstance(system.model, AbstractModel) else ()
    return jnp.zeros(shape, at.dtype)


def _nearby(cycles: CycleBranch, at: Scalar, which: Any) -> tuple[Values, Values, Scalar, Any, Any]:
    """The cycle interpolated between neighbours on the branch, `(N m, n)`, its mesh and period, whether it is a fold or the
    birth of the branch, and how many cycles there are.

    Special cycles lie between the points: at a fold the branch goes on beyond its neighbours.
    """
    system, special, degree = cycles.system, cycles.special, cycles.degree
    assert special.cycle is not None
    points, huge = cycles.parameter.size, jnp.iinfo(jnp.int32).max
    place = jnp.where(special.kind > 0, 2 * special.position - 1, 2 * points)
    order = jnp.argsort(jnp.append(2 * jnp.arange(points, dtype=place.dtype), place), stable=True)
    both = lambda a, b: jnp.concatenate([a, b])[order]
    parameter = both(cycles.parameter, special.parameter)
    period, phase = both(cycles.period, special.cycle.period), both(cycles.phase, special.cycle.phase)
    states = jax.tree.map(both, cycles.state, special.cycle.state)
    unstable = jnp.where(cycles.unstable < 0, huge, cycles.unstable).at[0].set(huge)  # the first is where they are born
    unstable = both(unstable, jnp.full_like(special.kind, huge))
    turns = both(jnp.zeros((points,), bool).at[0].set(True), special.kind == LABELS.index("LPC"))
    slack = jnp.maximum(1e-9, 64 * jnp.finfo(at.dtype).eps) * (jnp.nanmax(parameter) - jnp.nanmin(parameter))
    offset = jnp.where(jnp.abs(parameter - at) <= slack.astype(at.dtype), 0.0, parameter - at)
    passes = offset[:-1] * offset[1:] <= 0
    again = jnp.append(False, passes[:-1]) & (offset[:-1] == 0)
    passes = passes & ~again
    stable = passes & (jnp.minimum(unstable[:-1], unstable[1:]) == 0)
    first = jnp.where(jnp.any(stable), jnp.argmax(stable), jnp.argmax(passes))
    k = jnp.where(which < 0, first, jnp.argmax(jnp.cumsum(passes, dtype=jnp.int32) == which + 1))
    width = offset[k] - offset[k + 1]
    share = jnp.where(width == 0, 0.0, offset[k] / jnp.where(width == 0, 1.0, width))
    mesh, after = phase[k, ::degree], phase[k + 1, ::degree]
    pick = lambda j: system.flat(jax.tree.map(lambda each: each[j], states))[:-1]
    a, b = pick(k), pick(k + 1)
    b = orbit_at(b, after, node_times(mesh, degree))
    degenerate = ((offset == 0) & turns)[jnp.stack([k, k + 1])].any()
    found = a + share * (b - a), mesh, period[k] + share * (period[k + 1] - period[k])
    return *found, degenerate, jnp.sum(passes, dtype=jnp.int32)


def _from_peak(values: Values, mesh: Values, index: int) -> tuple[Values, Values]:
    """The cycle from its highest value of one variable on, `(N m, n)`, on the mesh that starts at an interval near it."""
    degree = values.shape[0] // (mesh.size - 1)
    s = node_times(mesh, 4 * degree)
    peak = s[jnp.argmax(orbit_at(values, mesh, s)[:, index])]
    away = jnp.abs(mesh[:-1] - peak)
    nearest = jnp.argmin(jnp.minimum(away, 1 - away))
    widths = jnp.roll(jnp.diff(mesh), -nearest)
    new = jnp.append(jnp.zeros((1,), mesh.dtype), jnp.cumsum(widths)).at[-1].set(1.0)
    return orbit_at(values, mesh, (peak + node_times(new, degree)) % 1), new


def _adjoint(flow: Flow, values: Values, period: Scalar, I: Values, mesh: Values) -> tuple[Values, ComplexValues]:
    """Z at all nodes, `(N m, n)`, and the Floquet multipliers.

    With the monodromy matrix M, Mᵀ Z = Z at the peak. From there Z is carried backwards, in which what decays along the
    cycle decays as well, from mesh point to mesh point; in between the adjoint's own collocation gives it.
    """
    matrices = linearized(flow, values, period, I, mesh)
    forward = transfers(matrices, mesh)
    whole = product(forward)
    n = whole.shape[0]
    along = flow(values[0], I)[:, None]
    turned = whole.T - jnp.eye(n, dtype=whole.dtype)
    bordered = jnp.block([[turned, along], [along.T, jnp.zeros((1, 1), whole.dtype)]])
    start = jnp.linalg.solve(bordered, jnp.append(jnp.zeros((n,), whole.dtype), 1.0).astype(whole.dtype))[:n]

    def back(after: Values, each: Values) -> tuple[Values, Values]:
        before = each.T @ after
        return before, before

    starts = jax.lax.scan(back, start, forward[:, -1], reverse=True)[1]
    Z = at_nodes(transfers(-jnp.swapaxes(matrices, 2, 3), mesh), starts)
    rate = _time_integral(jnp.sum(gauss_values(Z, mesh) * _flows(flow, gauss_values(values, mesh), I), axis=-1), mesh)
    multipliers = jnp.linalg.eigvals(jax.lax.stop_gradient(whole))
    return Z / rate, multipliers[jnp.argsort(-jnp.abs(multipliers))]


def _flows(flow: Flow, u: Values, I: Values) -> Values:
    return jax.vmap(jax.vmap(lambda u: flow(u, I)))(u)


def _time_integral(f: Values, mesh: Values) -> Scalar:
    """∫ f ds over one period, `f` at the Gauss points, `(N, m)`."""
    return jnp.sum(f * basis(f.shape[1], f.dtype).weight[None] * jnp.diff(mesh)[:, None])


def _period_gradient(
    flow: Flow, values: Values, Z: Values, period: Scalar, I: Values, mesh: Values
) -> tuple[dict[str, Any], Any]:
    """−∮ Z·∂F/∂p dt for every parameter by name, and for the input: the pullback of one number."""
    u, weights = gauss_values(values, mesh), gauss_values(Z, mesh)
    free, rest = eqx.partition(flow.model, eqx.is_inexact_array)

    def work(free: Any, I: Values) -> Scalar:
        flows = _flows(Flow(eqx.combine(free, rest), flow.like), u, I)
        return -period * _time_integral(jnp.sum(weights * flows, axis=-1), mesh)

    _, pull = jax.vjp(work, free, I)
    model, by_input = pull(jnp.ones_like(period))
    if isinstance(model, UserField):
        return model.parameters, by_input
    found = {name: value for name, (_, value) in parameter_table(model).items()}
    if flow.model.size is not None and not flow.model.is_sparse:
        found["weights"] = model.weights
    return found, by_input
