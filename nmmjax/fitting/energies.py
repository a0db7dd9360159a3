"""Fits to energies: of rest states and orbits, barriers, losses per cycle, means along a run."""

from collections.abc import Mapping
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, require
from .._parameter import as_number, as_plain_number, dtype_of
from .._types import Real, Scalar, Values, Whole, is_concrete
from ..equilibria.brackets import fixed_rates
from ..equilibria.steady import nearest
from ..landscape.orbits import loss_per_cycle as orbit_loss
from ..mechanics.energy import potential_energy, total_energy
from ..models.base import AbstractModel, require_one
from ..models.mpr import MPR
from ..models.state import State
from ..models.stimulus import AbstractStimulus, Constant, check_range, input_at
from ..solvers.clock import jump_times
from .target import AbstractTarget, as_near, deviations, require_population

_RUN_TOLERANCES = {64: (1e-10, 1e-12), 32: (1e-5, 1e-6)}


class EnergyTarget(AbstractTarget):
    """Energies that the model is to have.

        residuals = (energy − wanted)/noise

    - `level`: energy V of the stable state closest to a rate: a number with `near`, or a mapping {rate: energy} for several;
      or a list of pairs (state, energy), the total energy E at given states
    - `orbit`: a mapping {r: energy}: the level of the orbit whose peak or trough is the rate r, V(r)
    - `barrier`: V(saddle) − V(minimum) for the minimum closest to a rate: a number with `near`, or {rate: height}
    - `loss_per_cycle`: a mapping {energy: loss}: ∮ Γ q̇ dq on the closed orbit of that energy around the stable state closest
      to `near`
    - `mean`: time average of the total energy along the run from `y0` between `t0` and `t1`, input included
    - `near`: a rate; None for the stable state of highest rate
    - `I`: constant input, in units of η, a number; `stimulus`: for `mean` alone, an input that varies, such as `Pulse(...)`
    - `noise`: standard deviation of the wanted values: a number, or a mapping of the names above to a number or one for each
      value; None if unknown: then all count by their relative errors

    Energies are dimensionless, and those of the population in time t/τ; see `total_energy`. Residuals are NaN if the
    model has no such quantity: no barrier with one stable state, no loss if no orbit closes. `level` of states
    and `mean` take slow variables, and any model with a potential; the others need a population whose landscape stands
    still. Raises `ValueError` for wanted values that aren't numbers, none at all, `mean` without `y0` and `t1`. Use it to
    give a population the landscape that one has in mind, or the energies measured in another simulator.
    Source: docs/theory.md §4, §5.
    """

    rates: Any  # at which each of these is wanted: `level`, `orbit`, `barrier`; `loss_per_cycle`: energies
    wanted: Any
    sigma: Any
    states: Any
    near: Scalar
    current: Scalar
    stimulus: Any
    y0: Any
    span: Any
    names: tuple[str, ...] = eqx.field(static=True)
    known: bool = eqx.field(static=True)

    def __init__(
        self,
        level: Any = None,
        *,
        orbit: Any = None,
        barrier: Any = None,
        loss_per_cycle: Any = None,
        mean: Any = None,
        near: Any = None,
        y0: Any = None,
        t0: Real = 0.0,
        t1: Real | None = None,
        I: Real = 0.0,
        stimulus: AbstractStimulus | None = None,
        noise: Any = None,
    ):
        self.near = as_near(near)
        of_states = level is not None and _is_pairs(level)
        tables = {
            "state": _pairs(level) if of_states else None,
            "level": None if of_states else _table("level", level, self.near, "rates"),
            "orbit": _table("orbit", orbit, None, "rates"),
            "barrier": _table("barrier", barrier, self.near, "rates"),
            "loss_per_cycle": _table("loss_per_cycle", loss_per_cycle, None, "energies"),
            "mean": None if mean is None else (None, np.asarray([as_plain_number("mean", mean)])),
        }
        tables = {name: table for name, table in tables.items() if table is not None}
        require("level", level, "be given, or another energy", tables)
        if near is not None:
            uses = any(name in tables for name in ("level", "barrier", "loss_per_cycle"))
            require("near", near, "be None without `level`, `barrier` and `loss_per_cycle`", uses)
        self.names = tuple(tables)
        self.states = tables["state"][0] if of_states else None
        self.rates = {name: jnp.asarray(where) for name, (where, _) in tables.items() if name not in ("state", "mean")}
        self.wanted = {name: jnp.asarray(wanted) for name, (_, wanted) in tables.items()}
        self.known = noise is not None
        own = {"state": "level"}
        if hasattr(noise, "keys"):
            expected = {own.get(name, name) for name in tables}
            require("noise", sorted(noise), f"name the wanted energies {sorted(expected)}", set(noise) == expected)
        self.sigma = {}
        for name, (_, wanted) in tables.items():
            each = noise[own.get(name, name)] if hasattr(noise, "keys") else noise
            self.sigma[name] = jnp.asarray(deviations("noise", each, wanted))
        self.current = as_number("I", I)
        alone = stimulus is None or (isinstance(stimulus, AbstractStimulus) and tuple(tables) == ("mean",))
        require("stimulus", stimulus, "be None for all energies but `mean`, and a stimulus for it", alone)
        self.stimulus = Constant(self.current) if stimulus is None else Constant(self.current) + stimulus
        self.y0, self.span = None, None
        if mean is None:
            require("y0", y0, "be None without `mean`, which is along a run", y0 is None and t1 is None)
            return
        require("y0", y0, "be given for `mean`, the state at which the run starts", y0 is not None)
        require("t1", t1, "be given for `mean`, the end of the run", t1 is not None)
        variables = y0.variables if isinstance(y0, State) else y0
        require("y0", y0, "be a state or a mapping of variables to numbers", hasattr(variables, "keys"))
        self.y0 = {name: as_array(value) for name, value in variables.items()}
        begin, end = as_number("t0", t0), as_number("t1", t1)
        if is_concrete(begin) and is_concrete(end):
            require("t1", end, f"be later than `t0` ({float(begin):g})", bool(end > begin))
        check_range(self.stimulus, begin, end, "t1")
        self.span = jnp.stack([begin, end])

    @property
    def noise_known(self) -> bool:
        return self.known

    @property
    def reversible(self) -> bool:
        return "mean" not in self.names

    def check(self, model: AbstractModel) -> None:
        if {"state", "mean"}.issuperset(self.names):  # slow variables may move, and any potential will do
            require_one(model)
        else:
            require_population(model, "EnergyTarget", fast=True)
        if self.y0 is not None:
            model.state(self.y0)
        if self.states is not None:
            for k in range(jax.tree.leaves(self.states)[0].shape[0]):
                model.state({name: values[k] for name, values in self.states.items()})

    def residuals(self, model: Any, unknowns: Values | None = None, refine: Whole = 1) -> Values:
        pieces = []
        for name in self.names:
            found = self._predicted(model, name)
            dtype = found.dtype
            pieces.append((found - self.wanted[name].astype(dtype)) / self.sigma[name].astype(dtype))
        return jnp.concatenate(pieces)

    def _predicted(self, model: MPR, name: str) -> Values:
        """The energies of one kind that the model has."""
        dtype = dtype_of(model)
        current = self.current.astype(dtype)
        if name == "state":
            return jax.vmap(lambda y: total_energy(model, model.state(y), current))(self.states)
        if name == "mean":
            return self._mean(model)[None]
        at = self.rates[name].astype(dtype)
        if name == "loss_per_cycle":
            return jax.vmap(lambda energy: orbit_loss(model, energy, near=self.near.astype(dtype), I=current))(at)
        if name == "orbit":
            return _potential(model, at, current)
        R, _ = fixed_rates(model.tilted(current))
        rest = R[np.array([0, 2])] / model.tau
        rest = jax.vmap(lambda near: rest[nearest(rest, near)])(at)
        energy = _potential(model, rest, current)
        return _potential(model, R[1] / model.tau, current) - energy if name == "barrier" else energy

    def _mean(self, model: MPR) -> Scalar:
        """(1/T) ∫ E dt, integrated beside the run."""
        start, dtype = model.state(self.y0), dtype_of(model)
        start, stimulus, span = jax.tree.map(lambda each: each.astype(dtype), (start, self.stimulus, self.span))

        def field(t: Scalar, z, args) -> Any:
            y = z[0]
            current = input_at(stimulus, t)
            return model.vector_field(t, y, current), total_energy(model, y, current)

        rtol, atol = _RUN_TOLERANCES[jnp.finfo(dtype).bits]
        control = diffrax.PIDController(rtol=rtol, atol=atol)
        jumps = jump_times(stimulus)
        if jumps.shape[0]:
            control = diffrax.ClipStepSizeController(control, jump_ts=jumps)
        run = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Dopri8(),
            t0=span[0],
            t1=span[1],
            dt0=None,
            y0=(start, jnp.zeros((), dtype)),
            stepsize_controller=control,
            adjoint=diffrax.ForwardMode(),
            max_steps=1_000_000,
            throw=False,
        )
        assert run.ys is not None
        total = run.ys[1][0]
        return jnp.where(run.result == diffrax.RESULTS.successful, total / (span[1] - span[0]), jnp.nan)


def _potential(model: MPR, r: Values, current: Scalar) -> Values:
    """V(r), NaN where r is."""
    known = jnp.isfinite(r)
    safe = jnp.where(known, r, 1)
    found = potential_energy(model, State(r=safe, v=jnp.zeros_like(safe)), current)
    return jnp.where(known, found, jnp.nan)


def _is_pairs(level: object) -> bool:
    return isinstance(level, (list, tuple))


def _pairs(level: Any) -> tuple[dict[str, Any], np.ndarray]:
    """States, stacked, and energies of [(state, energy), …]."""
    rule = "be a number, a mapping {rate: energy}, or a list of pairs (state, energy)"
    whole = len(level) > 0 and all(isinstance(each, (list, tuple)) and len(each) == 2 for each in level)
    require("level", level, rule, whole)
    states = [each.variables if isinstance(each, State) else each for each, _ in level]
    require("level", level, rule, all(hasattr(each, "keys") for each in states))
    names = tuple(states[0])
    require("level", names, "have states with the same variables", all(set(each) == set(names) for each in states))
    stacked = {name: jnp.stack([as_number(name, each[name]) for each in states]) for name in names}
    if "r" in stacked:
        require("level", stacked["r"], "have states with r > 0", bool(jnp.all(stacked["r"] > 0)))
    return stacked, np.asarray([as_plain_number("level", energy) for _, energy in level])


def _table(argument: str, value: object, near: object, keys: str) -> tuple[np.ndarray, np.ndarray] | None:
    """(where, wanted) of a number or a mapping."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        require(argument, value, "have at least one entry", len(value) > 0)
        bounds = "(0, inf)" if keys == "rates" else "(-inf, inf)"
        where = np.asarray([as_plain_number(argument, each, bounds) for each in value])
        return where, np.asarray([as_plain_number(argument, each) for each in value.values()])
    one = "" if near is None else "a number, or "
    require(argument, value, f"be {one}a mapping of {keys} to energies", near is not None)
    return np.asarray([float(near)]), np.asarray([as_plain_number(argument, value)])  # pyright: ignore[reportArgumentType]
