"""Energy balance of a run: work of the stimulus, dissipated heat, and the integrator's error."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._nan import nan_is_absent
from .._results import Shown
from .._types import Scalar, Values, is_concrete
from ..mechanics.energy import heat_rate, port_power, received_power, slow_power, total_energy
from ..models.base import require_offer
from ..models.state import State
from ..models.stimulus import AbstractStimulus, input_at
from .simulation import default_tolerances, jump_times
from .trajectory import Trajectory


class EnergyBalance(eqx.Module, Shown):
    """E(t) − E(t₀) = work + exchange + slow work − heat + residual, along a run; arrays of shape `(n,)`, dimensionless.

    For a network arrays have the shape `(n, nodes)`: the balance of every population in its instantaneous landscape.

    - `ts`: the run's times
    - `energy`: E in the instantaneous landscape, input included; `work`: ∫ (dI/dt)/R dt since the first time, jumps of I
      included
    - `slow_work`: work of every slow variable, by name, as it moves the landscape, ∫ (∂V/∂s) ds; empty if there are none
    - `stored`: energy of every slow variable's store, by name, if one is known (`mechanics.stored_energy`); `pump`: what the
      variable brought into the energy with its store, never negative for negative feedback, never positive for positive
    - `exchange`: work that a network's other populations deliver, ∫ Σ_j (1/R_i) d(G W_ij R_j); None for one population
    - `heat`: ∫ Γ q̇² dt/τ, never negative without gap junctions
    - `port_work`: ∫ −I d(1/R): the work in the balance of the energy without input, E₀ = E − I/R
    - `residual`: the remainder, which is the run's own error; `relative`: its largest size over the largest of |E|, |work|,
      |heat|
    """

    ts: Any
    energy: Values
    work: Values
    heat: Values
    port_work: Values
    slow_work: dict[str, Values]
    stored: dict[str, Values]
    pump: dict[str, Values]
    exchange: Values | None
    residual: Values
    relative: Scalar

    def __repr__(self) -> str:
        if not isinstance(self.relative, (jax.Array, np.ndarray)) or not is_concrete(self.relative) or self.relative.ndim:
            return f"EnergyBalance of shape {getattr(self.energy, 'shape', None)}"
        if self.energy.ndim > 1:
            return f"EnergyBalance of {self.energy.shape[-1]} populations, relative residual {self.relative:.1e}"
        last = int(jnp.sum(jnp.isfinite(self.energy))) - 1
        slow = "".join(f" + work of {name} {each[last]:.6g}" for name, each in self.slow_work.items())
        pump = "".join(
            f"; {_verb(each[last])} by {name} {abs(each[last]):.6g}"
            for name, each in self.pump.items()
            if jnp.isfinite(each[last])
        )
        return (
            f"EnergyBalance to t = {self.ts[last]:.6g}: energy {self.energy[0]:.6g} → {self.energy[last]:.6g} = "
            f"+ work {self.work[last]:.6g}{slow} − heat {self.heat[last]:.6g}{pump}, relative residual {self.relative:.1e}"
        )


class _Ledger(eqx.Module):
    """A state with the work and heat gathered so far."""

    state: State
    work: Values
    heat: Values
    slow_work: dict[str, Values]
    exchange: Values | None


@nan_is_absent
def energy_balance(run: Trajectory) -> EnergyBalance:
    """Work, heat and residual of a run, for every parameter, slow term and stimulus.

    From each saved state the equations, with work and heat as extra unknowns, are solved to the next saved time
    (tightly, all intervals at once), so the residual is the energy error of the run itself, whatever solver made it:
    1e-9 at rtol 1e-10.

    - `run`: a `Trajectory` at n times, of a model with a potential, without noise

    Returns an `EnergyBalance` with arrays (n,), or (n, nodes) for a network; NaN at times that the run did not reach.
    Raises `ValueError` for batches, noisy runs and models without a potential. Source: docs/theory.md §4, §8.
    """
    require("run", type(run).__name__, "be a run of a model with a potential", isinstance(run, Trajectory))
    run.require_single("balance its energy")
    require_offer(run.model, "potential")
    rule = "be without noise, whose work between saved times is not known (use `run_protocol` for noisy runs)"
    require("run", repr(run.noise), rule, run.noise is None)
    # On the run's clock, and no more of the run, lest it recompile for its solver.
    balance = _balance(run.model, run.stimulus_since_start, run.elapsed, run.ys)
    return eqx.tree_at(lambda each: each.ts, balance, run.ts)


@eqx.filter_jit
def _balance(model: Any, stimulus: AbstractStimulus | None, ts: Values, ys: State) -> EnergyBalance:
    dtype = ts.dtype
    rtol, atol = (1e-12, 1e-14) if jnp.finfo(dtype).bits == 64 else default_tolerances(dtype)
    controller: Any = diffrax.PIDController(rtol=jnp.asarray(rtol, dtype), atol=jnp.asarray(atol, dtype))
    if stimulus is not None and stimulus.jumps().shape[0]:
        controller = diffrax.ClipStepSizeController(controller, jump_ts=jump_times(stimulus))

    def rates(t, y: _Ledger, args) -> _Ledger:
        current = input_at(stimulus, jnp.asarray(t))
        flow = model.vector_field(jnp.asarray(t), y.state, current)
        current = jnp.broadcast_to(current, model.shape)
        exchange = None if model.size is None else received_power(model, y.state)
        power = port_power(model, y.state, current)
        return _Ledger(flow, power, heat_rate(model, y.state), slow_power(model, y.state), exchange)

    def interval(t0: Values, t1: Values, y0: State) -> tuple[Values, Values, dict[str, Values], Values | None]:
        zero = jnp.zeros(model.shape, dtype)
        nothing = dict.fromkeys(slow_power(model, y0), zero)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(rates),
            diffrax.Tsit5(),
            t0,
            t1,
            None,
            _Ledger(y0, zero, zero, nothing, None if model.size is None else zero),
            stepsize_controller=controller,
            saveat=diffrax.SaveAt(t1=True),
            max_steps=10_000_000,
            throw=False,
        )
        ys: Any = solution.ys
        fine = solution.result == diffrax.RESULTS.successful
        return jax.tree.map(lambda each: jnp.where(fine, each[0], jnp.nan), (ys.work, ys.heat, ys.slow_work, ys.exchange))

    # Intervals that end in NaN were not reached; solve them from a harmless state and blank them afterwards.
    finite = jnp.all(jnp.stack([jnp.isfinite(each) for each in jax.tree.leaves(ys)]), axis=0)
    reached = jnp.broadcast_to(jnp.all(finite, axis=tuple(range(1, finite.ndim)), keepdims=True), finite.shape)
    whole = reached[1:] & reached[:-1]
    starts = jax.tree.map(lambda each: jnp.where(whole, each[:-1], 1), ys)
    parts = jax.vmap(interval)(ts[:-1], ts[1:], starts)

    def total(part: Values) -> Values:
        gathered = jnp.cumsum(jnp.where(whole, part, 0), axis=0)
        return jnp.where(reached, jnp.concatenate([jnp.zeros_like(gathered[:1]), gathered]), jnp.nan)

    port_work, heat, slow_work, exchange = jax.tree.map(total, parts)
    current = jax.vmap(lambda t: jnp.broadcast_to(input_at(stimulus, t), model.shape))(ts)
    energy = total_energy(model, ys, current)
    stored = current * model.frozen(ys).position(ys)[0] ** 2 / 2
    work = port_work + stored - jnp.broadcast_to(stored[0], stored.shape)
    given = [work, *slow_work.values(), *([] if exchange is None else [exchange])]
    residual = energy - jnp.broadcast_to(energy[0], energy.shape) - sum(given[1:], start=given[0]) + heat
    scale = jnp.max(jnp.stack([_largest(each) for each in (energy, heat, *given)]))
    stored_by = model.stores(ys)
    pump = {name: slow_work[name] + each - jnp.broadcast_to(each[0], each.shape) for name, each in stored_by.items()}
    books = (port_work, slow_work, stored_by, pump, exchange)
    return EnergyBalance(ts, energy, work, heat, *books, residual, _largest(residual) / scale)


def _verb(pump: Values) -> str:
    return "pumped" if pump >= 0 else "dissipated"


def _largest(x: Values) -> Values:
    return jnp.nanmax(jnp.abs(x))
