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
from ..mechanics.network_powers import network_energy, network_power, synaptic_store
from ..models.base import require_offer
from ..models.state import State
from ..models.stimulus import AbstractStimulus, input_at
from ..numerics.compiling import jitted
from .clock import jump_times
from .diffrax_run import default_tolerances
from .trajectory import Trajectory


class NetworkBooks(eqx.Module, Shown):
    """Ẽ(t) − Ẽ(t₀) = parametric + circulation + synapse + slow + work − friction + residual, of a whole network along a run.

    Ẽ = Σ p²/4R + Ψ, with the symmetric part of the weights in Ψ (`mechanics.network_energy`). Works since the first time, of
    shape `(n, nodes)`, dimensionless: what each node's motion received; `Σ` over the nodes is the network's.

    - `ts`: the run's times; `energy` (n,): Ẽ, input included
    - `friction`: taken away, never negative without gap junctions; `parametric`: of the changing mass R², of no sign
    - `circulation`: work of the antisymmetric part of the weights, on which E–I loops live
    - `synapse`: what synapses and depression change of the work of the symmetric part, None without slow terms; `stored`
      (n,): what first-order synapses hold of it, None for others (`mechanics.synaptic_store`)
    - `slow`: work of adaptation and of dynamic conductances, None without slow terms
    - `work`: of the stimulus, −∫ R dI, jumps included
    - `residual` (n,): the remainder, which is the run's own error; `relative`: its largest size over that of all terms
    """

    ts: Any
    energy: Values
    friction: Values
    parametric: Values
    circulation: Values
    synapse: Values | None
    stored: Values | None
    slow: Values | None
    work: Values
    residual: Values
    relative: Scalar

    @property
    def dissipated(self) -> Values | None:
        """What first-order synapses took from the network's energy and their store together, (n,): never negative if the
        symmetric part of the weights, those of populations to themselves included, is positive semidefinite and all have one
        time constant. None for other synapses."""
        if self.synapse is None or self.stored is None:
            return None
        return self.stored[0] - self.stored - jnp.sum(self.synapse, axis=-1)

    def __repr__(self) -> str:
        if not is_concrete(self.relative) or self.relative.ndim:
            return f"NetworkBooks of shape {self.energy.shape}"
        last = int(jnp.sum(jnp.isfinite(self.energy))) - 1
        names = ("parametric", "circulation", "synapse", "slow", "work")
        found = {name: getattr(self, name) for name in names}
        gains = " + ".join(f"{name} {jnp.sum(each[last]):.6g}" for name, each in found.items() if each is not None)
        return (
            f"NetworkBooks to t = {self.ts[last]:.6g}: energy {self.energy[0]:.6g} → {self.energy[last]:.6g} = + {gains} "
            f"− friction {jnp.sum(self.friction[last]):.6g}, relative residual {self.relative:.1e}"
        )


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
    - `passive`: whether it is proved that the population comes to rest at any constant input (excitation through an
      exponential synapse does, for any time constant); None for networks
    - `network`: the books of the whole network, in which the work of mutual weights is no exchange but a potential
      (`NetworkBooks`); None for one population
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
    network: NetworkBooks | None = None
    passive: Any = None

    def __repr__(self) -> str:
        if not isinstance(self.relative, (jax.Array, np.ndarray)) or not is_concrete(self.relative) or self.relative.ndim:
            return f"EnergyBalance of shape {getattr(self.energy, 'shape', None)}"
        if self.energy.ndim > 1:
            whole = "" if self.network is None else f"\n  {self.network!r}"
            return f"EnergyBalance of {self.energy.shape[-1]} populations, relative residual {self.relative:.1e}{whole}"
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
            + ("\n  passive: it comes to rest at any constant input" if self.passive else "")
        )


class _Ledger(eqx.Module):
    """A state with the work and heat gathered so far; `network`: the works of a whole network by name."""

    state: State
    work: Values
    heat: Values
    slow_work: dict[str, Values]
    exchange: Values | None
    network: dict[str, Values]


@nan_is_absent
def energy_balance(run: Trajectory) -> EnergyBalance:
    """Work, heat and residual of a run, for every parameter, slow term and stimulus.

    From each saved state the equations, with work and heat as extra unknowns, are solved to the next saved time
    (tightly, all intervals at once), so the residual is the energy error of the run itself, whatever solver made it:
    1e-9 at rtol 1e-10.

    - `run`: a `Trajectory` at n times, of a model with a potential, without noise

    Returns an `EnergyBalance` with arrays (n,), or (n, nodes) for a network; NaN at times that the run did not reach. For a
    network, `network` holds the books of the whole. Raises `ValueError` for batches, noisy runs and models without a
    potential. Source: docs/theory.md §4, §8, §D5.
    """
    require("run", type(run).__name__, "be a run of a model with a potential", isinstance(run, Trajectory))
    run.require_single("balance its energy")
    require_offer(run.model, "potential")
    rule = "be without noise, whose work between saved times is not known (use `run_protocol` for noisy runs)"
    require("run", repr(run.noise), rule, run.noise is None)
    # On the run's clock, and no more of the run, lest it recompile for its solver.
    balance = _balance(run.model, run.stimulus_since_start, run.elapsed, run.ys)
    if balance.network is None:
        return eqx.tree_at(lambda each: each.ts, balance, run.ts)
    return eqx.tree_at(lambda each: (each.ts, each.network.ts), balance, (run.ts, run.ts))


@jitted
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
        network = {} if model.size is None else network_power(model, y.state) | {"work": current * model.tau * flow.r}
        return _Ledger(flow, power, heat_rate(model, y.state), slow_power(model, y.state), exchange, network)

    def interval(t0: Values, t1: Values, y0: State) -> Any:
        zero = jnp.zeros(model.shape, dtype)
        nothing = dict.fromkeys(slow_power(model, y0), zero)
        network = {} if model.size is None else dict.fromkeys([*network_power(model, y0), "work"], zero)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(rates),
            diffrax.Tsit5(),
            t0,
            t1,
            None,
            _Ledger(y0, zero, zero, nothing, None if model.size is None else zero, network),
            stepsize_controller=controller,
            saveat=diffrax.SaveAt(t1=True),
            max_steps=10_000_000,
            throw=False,
        )
        ys: Any = solution.ys
        fine = solution.result == diffrax.RESULTS.successful
        gathered = ys.work, ys.heat, ys.slow_work, ys.exchange, ys.network
        return jax.tree.map(lambda each: jnp.where(fine, each[0], jnp.nan), gathered)

    # Intervals that end in NaN were not reached; solve them from a harmless state and blank them afterwards.
    finite = jnp.all(jnp.stack([jnp.isfinite(each) for each in jax.tree.leaves(ys)]), axis=0)
    reached = jnp.broadcast_to(jnp.all(finite, axis=tuple(range(1, finite.ndim)), keepdims=True), finite.shape)
    whole = reached[1:] & reached[:-1]
    starts = jax.tree.map(lambda each: jnp.where(whole, each[:-1], 1), ys)
    parts = jax.vmap(interval)(ts[:-1], ts[1:], starts)

    def total(part: Values) -> Values:
        gathered = jnp.cumsum(jnp.where(whole, part, 0), axis=0)
        return jnp.where(reached, jnp.concatenate([jnp.zeros_like(gathered[:1]), gathered]), jnp.nan)

    port_work, heat, slow_work, exchange, network = jax.tree.map(total, parts)
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
    of_network = None if model.size is None else _network_books(model, ts, ys, current, network)
    passive = model.passive if model.size is None else None
    return EnergyBalance(ts, energy, work, heat, *books, residual, _largest(residual) / scale, of_network, passive)


def _network_books(model: Any, ts: Values, ys: State, current: Values, works: dict[str, Values]) -> NetworkBooks:
    """The books of a whole network from its works along the run; `work` there is still ∫ I dR."""
    energy, given = network_energy(model, ys, current), current * model.nodes(ys.r.shape[:-1]).tau * ys.r
    works["work"] = works["work"] - given + jnp.broadcast_to(given[0], given.shape)
    signed = [jnp.sum(-each if name == "friction" else each, axis=-1) for name, each in works.items()]
    residual = energy - jnp.broadcast_to(energy[0], energy.shape) - sum(signed[1:], start=signed[0])
    relative = _largest(residual) / jnp.max(jnp.stack([_largest(each) for each in (energy, *signed)]))
    return NetworkBooks(
        ts=ts,
        energy=energy,
        friction=works["friction"],
        parametric=works["parametric"],
        circulation=works["circulation"],
        synapse=works.get("synapse"),
        stored=synaptic_store(model, ys),
        slow=works.get("slow"),
        work=works["work"],
        residual=residual,
        relative=relative,
    )


def _verb(pump: Values) -> str:
    return "pumped" if pump >= 0 else "dissipated"


def _largest(x: Values) -> Values:
    return jnp.nanmax(jnp.abs(x))
