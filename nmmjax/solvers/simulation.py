"""`simulate`, one run of one model: its arguments checked, and the loop chosen that runs it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_samples, require
from .._nan import nan_is_absent
from .._results import RESULTS
from .._types import Key, Real, if_known, is_concrete, primal
from ..models.base import AbstractModel, as_model
from ..models.noise import as_noise
from ..models.state import StateLike
from ..models.stimulus import AbstractStimulus, as_stimulus, check_range
from .clock import Clock, clock_of
from .diffrax_run import simulate_by_diffrax
from .fixed_steps import simulate_lockstep, simulate_neurons, simulate_noisy
from .mobius import MobiusSplitting
from .run_input import RunInput
from .trajectory import Trajectory


@nan_is_absent
def simulate(
    model: AbstractModel,
    y0: StateLike,
    ts: Any,
    *,
    stimulus: AbstractStimulus | None = None,
    noise: Any = None,
    key: Key | None = None,
    solver: Any = None,
    stepsize_controller: Any = None,
    rtol: Real | None = None,
    atol: Real | None = None,
    dt0: Real | None = None,
    dense: bool = False,
    event: Any = None,
    max_steps: int | None = None,
    adjoint: Any = None,
    monitors: Any = None,
    past: Any = None,
    progress: bool = False,
    throw: bool = False,
) -> Trajectory:
    """Solve dy/dt = f(t, y; I(t)) from `y0` at `ts[0]` and return the states at `ts`.

    - `model`: any model or network
    - `y0`: the state, a mapping such as `{"r": 0.1, "v": -2.0}` or `model`'s state class (r > 0); or a run, to go on from
      its end: from its last state and, with `OrnsteinUhlenbeck`, the noise's last value (`run.y_end` alone leaves that out,
      and x starts anew from its stationary law). Use a new key for the continuation
    - `ts`: at least two strictly increasing times, in the unit of τ. The solver counts from `ts[0]`, and differences are
      taken in the precision in which times are given: runs far from 0 are as exact in float32 as those from 0
    - `stimulus`: input current I(t); its jumps are stepped onto exactly (but not by `diffrax.StepTo`, whose steps are given)
    - `noise`, `key`: random input, a number D for common white noise, dv = … + √(2D) dW in time t/τ, or `WhiteNoise`,
      `OrnsteinUhlenbeck`, `CauchyNoise`, `ShotNoise`; with the random key. The solver is then `MobiusSplitting(2)` with the
      noise in its kicks (weak order 2, strong order 1, r > 0), and for networks of populations without slow terms
      `MobiusSplitting(4)`, whose moments are as exact at 5 times longer steps; the largest step is `dt0`, by default a
      125th (25th) of the shortest interval between spikes to be expected; `run.fluctuation` is coloured noise's path.
      Halve `dt0` to see what steps cost. Inside `jax.jit` and `jax.vmap` give it: where the default depends on values hidden
      there, steps differ, and the path is another one of the same law
    - `solver`: any diffrax ODE solver, or ours; default `diffrax.Tsit5()`. `MobiusSplitting` with `dt0` and no option that
      only diffrax has runs in our own loop, some twenty times faster; its steps also end at `ts`
    - `stepsize_controller`: any diffrax controller; default PID with `rtol`, `atol` (see `default_tolerances`), or the fixed
      step `dt0` if the solver gives no error estimate. `dt0` is only the first step of an adaptive controller
    - `max_steps`: default a million, and 65 536 with `dense=True`, which reserves memory for every one of them
    - `monitors`: what records while the run goes on, by name, such as `{"bold": BOLD(TR=2000.0)}`, or statistics of it;
      results by the same names in `run.monitors`. Steps are then equal, of at most `dt0`, and `ts` and the periods of
      monitors multiples of one interval; the same with delays
    - `past`: of a network with delays, a function t ↦ {"r": …, "v": …} of times up to `ts[0]`; by default it was always as
      in `y0`. A run has its own, with which the next goes on
    - `progress=True` shows a line of progress; the default is silent
    - `dense=True` keeps the solution for `run.evaluate(t)`; `event`: a `diffrax.Event` that ends the run
    - `throw=True` raises `RuntimeError` if the solve fails; by default `run.result` says how it ended, and states after a
      failure are NaN
    - `adjoint`: by default the one that suits the derivative being taken: `RecursiveCheckpointAdjoint` for `jax.grad`,
      `ForwardMode` for `jax.jvp` and `jax.jacfwd`, `DirectAdjoint` with 4096 steps at most for both (`jax.hessian`). A
      `jax.jit` inside `jax.jvp` hides which one that is: then give `adjoint=diffrax.ForwardMode()`

    Returns a `Trajectory`. Works under `jax.jit`, `jax.vmap` and derivatives. If several events lie in one step, the
    earliest ends the run if the `Event` has a `root_finder`, and otherwise the end of the step. If a traced run leaves the
    range of a recorded input, states are NaN and the result is `input_out_of_range`. Raises `ValueError` for wrong input.
    Use it for single runs and fits; for many parameter values, `jax.vmap` over it.
    """
    model = as_model(model)
    spiking = "spikes" in model.offers
    stimulus = as_stimulus(stimulus, model)
    if noise is not None:
        model, noise = as_noise(noise).split(model)
    before = y0 if isinstance(y0, Trajectory) else None
    start = model.state(y0 if before is None else before.y_end)
    dtype = jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(model) if eqx.is_inexact_array(leaf)))
    clock = if_known(clock_of, ts, dtype)
    as_dtype = lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) and leaf.dtype != dtype else leaf
    model, stimulus, start, noise = jax.tree.map(as_dtype, (model, stimulus, start, noise))
    if stimulus is not None:
        _check_stimulus(stimulus, model, clock)
    delayed = "delays" in model.offers
    require("past", past, "be None for a model without delays", past is None or delayed)
    require("past", past, "be a function of time", past is None or callable(past))
    require("monitors", monitors, "be None for a network of neurons (use its mean field)", monitors is None or not spiking)
    given = {"stepsize_controller": stepsize_controller, "rtol": rtol, "atol": atol, "event": event, "adjoint": adjoint}
    given |= {"max_steps": max_steps, "dense": dense or None}
    plain = all(value is None for value in given.values())
    own = _takes_equal_steps(model, solver, dt0, noise is not None) and (plain or noise is not None)
    stepped = delayed or bool(monitors) or (own and _steps_known(ts, dt0, (model, start, noise), stimulus))
    run = RunInput(model, start, stimulus, noise, key, clock, dt0, before, progress)
    if noise is not None or spiking or stepped:
        what = "for a network of neurons" if spiking else "with `noise`" if noise is not None else "with delays or monitors"
        for name, value in given.items():
            require(name, value, f"not be given {what}, whose steps are fixed", value is None)
        if spiking:
            require("solver", solver, "be None for a network of neurons, which has exact steps of its own", solver is None)
            ran = simulate_neurons(run)
        elif stepped:
            known = np.asarray(as_samples(ts), float) if is_concrete(ts) else None
            ran = simulate_lockstep(run, solver, known, {} if monitors is None else monitors, past)
        else:
            ran = simulate_noisy(run, solver)
    else:
        ran = simulate_by_diffrax(run, solver, stepsize_controller, rtol, atol, dense, event, max_steps, adjoint)
    return _raise_on_failure(ran) if throw else ran


def _takes_equal_steps(model: Any, solver: Any, dt0: Any, noisy: bool) -> bool:
    """Whether our own loop is the faster one for what is asked: noise of networks, or a splitting's fixed steps."""
    if "spikes" in model.offers or (noisy and model.size is None):
        return False
    fixed = isinstance(solver, MobiusSplitting) and solver.mobius_order in (2, 4) and dt0 is not None
    return noisy or (fixed and "splitting" in model.offers and model.riccati().plain and not model.slow_names)


def _steps_known(ts: Any, dt0: Any, given: Any, stimulus: Any) -> bool:
    """Whether the number of steps of every interval can be known now: by times, jumps of the input, and `dt0` or all that it
    is taken from. Inside `jax.jit`, what isn't its argument is known."""
    needed = (ts, stimulus, given if dt0 is None else dt0)
    return all(is_concrete(primal(each)) for each in jax.tree.leaves(needed))


def _check_stimulus(stimulus: AbstractStimulus, model: AbstractModel, clock: Clock) -> None:
    if model.own_clock:
        rule = f"be without jumps for {type(model).__name__}, whose clock is not physical time"
        require("stimulus", stimulus, rule, stimulus.jumps().shape[0] == 0)
    check_range(stimulus, clock.ts[0], clock.ts[-1], "ts")


def _raise_on_failure(run: Trajectory) -> Trajectory:
    bad = (run.result != RESULTS.successful) & (run.result != RESULTS.event_occurred)
    if is_concrete(bad):
        if bool(jnp.any(bad)):
            raise RuntimeError(f"The solve stopped at t = {float(run.t_end):g}: {RESULTS[run.result]}")
        return run
    return eqx.tree_at(lambda each: each.ys, run, run.result.error_if(run.ys, bad))
