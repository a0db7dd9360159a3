"""`plan_sweep`: the arguments of a sweep checked, and everything about it fixed before anything is computed."""

import dataclasses
import operator
from collections.abc import Mapping
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_key, as_samples, lie_within, merged, refuse_unknown, require, require_each
from .._identity import fresh
from .._nan import nan_is_absent
from .._parameter import as_number, as_plain_number, parameter_table, with_dtype
from .._types import Key, Real, float_dtype
from ..mechanics.channels import ENERGIES, Problem, parsed
from ..models.base import AbstractModel, as_model
from ..models.noise import AbstractNoise, AbstractSpikeNoise, CauchyNoise, OrnsteinUhlenbeck, WhiteNoise
from ..models.qif_network import without_modes
from ..models.state import StateLike
from ..models.stimulus import AbstractStimulus, as_stimulus, check_range
from ..solvers.mobius import MobiusSplitting
from ..solvers.noisy import check_noise
from ..solvers.spiking import as_neuron_step, check_individual, placed
from .folding import AbstractMethod, Times, Uniform
from .gradient import FORWARD_LIMIT
from .network_plan import expected_step, looking, march_step, marches, marching
from .network_splitting import network_stretch
from .noise import NoisyStretch, no_flow
from .observables import AbstractObservable
from .plan import MAX_STEPS, Build, Plan, path_of, sweepable
from .runge_kutta import Adaptive, RKFlow, RKStretch, is_explicit
from .shot import Fluctuating, Shot, ShotStretch, fitted
from .spiking import Spiking, law_of
from .splitting import offers_splitting, splitting_flow, splitting_stretch
from .synapse_splitting import synapse_stretch

_FINEST = {"float64": 1e-12, "float32": 1e-6}  # relative tolerances of steps, near rounding
_JITTER = 0.2  # rise of ln r below which a rate's maximum may be that of single spikes
_MOST_STEPS = 2**30  # that are counted in 32 bits


@nan_is_absent
def plan_sweep(
    model: AbstractModel,
    *,
    over: Any,
    y0: StateLike,
    t1: Real,
    observe: object,
    t0: Real = 0.0,
    stimulus: AbstractStimulus | None = None,
    solver: Any = None,
    rtol: Real | None = None,
    atol: Real | None = None,
    dt0: Real | None = None,
    estimate: bool = True,
    noise: Any = None,
    key: Key | None = None,
    gradient: Any = None,
) -> Plan:
    """Check the arguments of a sweep and fix everything about it as data; computes nothing, but shot noise is fitted.

    - `model`, `over`, `y0`, `t0`, `t1`, `observe`, `stimulus`: what is run, varied and kept, as in `sweep`
    - `solver`, `rtol`, `atol`, `dt0`, `estimate`: how, as in `sweep`
    - `noise`, `key`, `gradient`: as in `sweep`

    Returns a `Plan`. Raises `ValueError` for wrong arguments.
    """
    model = as_model(model)
    network: Any = model if "spikes" in model.offers else None
    stimulus = as_stimulus(stimulus, model)
    over = dict(over) if hasattr(over, "keys") else over
    law, noise = ("", noise) if network is None else individual(network, noise)
    of_nodes = network is None and model.size is not None  # noise of each node, which keeps its law
    noise, key, words = _check_noise(noise, key, "noise" in over if hasattr(over, "keys") else False, of_nodes)
    start = model.state(y0)
    if isinstance(noise, Shot):
        require("model", model, "be one population for shot noise in a sweep", model.size is None)
        require("gradient", gradient, "be None with shot noise, whose spectrum is fitted", gradient is None)
        model, _ = noise.law.split(model)
    dtype = jax.tree.leaves(start)[0].dtype
    if of_nodes and isinstance(noise, AbstractNoise):
        noise = with_dtype(noise, dtype)
        check_noise(model, noise, key)
    base = Problem(model, start, stimulus, noise, words)
    if network is not None:
        # The density of the currents is in the neurons: what is observed is r and v, as a Lorentzian population's.
        model = without_modes(network.model)
        base = Problem(model, start, stimulus, noise, words, placed(network, jax.tree.leaves(start)[0].dtype))
    dims, swept = _axes(base, over)
    observables = _check_observables(looking(observe), base)
    times = _check_times(t0, t1, observables)
    _check_range(base, swept, times)
    default = 1e-6 if dtype == jnp.float64 else 1e-4
    rtol = as_plain_number("rtol", default if rtol is None else rtol, "(0, 1)")
    atol = as_plain_number("atol", rtol / 10 if atol is None else atol, "(0, inf)")
    step: Any = None if dt0 is None else as_plain_number("dt0", dt0, "(0, inf)")
    if step is not None:
        require("dt0", step, f"be at least {times.t1 / _MOST_STEPS:.3g} (2³⁰ steps to `t1`)", times.t1 / step <= _MOST_STEPS)
    if network is not None:
        require("gradient", gradient, "be None for a network of neurons, whose spikes have no derivative", gradient is None)
        _check_seen(network, observables)
        step = as_neuron_step(network, expected_step(base, dims, swept, times), step)
    elif marches(base, observables):
        if step is None:
            step, least = march_step(base, dims, swept, times, solver), times.t1 / _MOST_STEPS
            rule = f"leave steps of at least {least:.3g} to all lanes (2³⁰ to `t1`), which go in equal steps: give `dt0`"
            require("over", step, rule, step >= least)
    elif noise is not None and step is None:
        step = 0.01 * float(np.min(base.model.time_constant)) if "potential" in base.model.offers else 0.01
    # An adaptive method must see what is counted: ringing that has almost died out.
    finest = min([1.0, *(max(each.tolerance(), _FINEST[str(dtype)]) / rtol for each in observables.values())])
    if marches(base, observables):
        base, chosen, name = marching(base, dims, swept, times, observables, solver, step)
    elif network is None:
        chosen, name = choose_method(base, solver, rtol * finest, atol * finest, step)
    else:
        require("solver", solver, "be None for a network of neurons, which has exact steps of its own", solver is None)
        chosen, name = Spiking(law=law), f"exact steps of neurons{'' if noise is None else f', {law} noise'}"
    states = None
    if isinstance(noise, Shot):
        sizes = swept.get("noise.size", ((), np.ones(1)))[1]
        require_each("noise.size", sizes, "be whole numbers ≥ 1", sizes == np.round(sizes))
        base, states = fitted(base, Build, dims, swept)
    gradient = _check_gradient(gradient, base, over)
    if len(gradient) > FORWARD_LIMIT:
        chosen = dataclasses.replace(chosen, reverse=True)
    numbers = (rtol, atol, step, bool(estimate))
    return Plan(base, dims, swept, observables, times, chosen, name, *numbers, key, gradient, solver=solver, states=states)


def _check_gradient(gradient: Any, base: Problem, over: Any) -> tuple[str, ...]:
    """Names of the parameters to differentiate by; refuses what can't be swept."""
    names = () if gradient is None else (gradient,) if isinstance(gradient, str) else tuple(gradient)
    refuse_unknown(names, sweepable(base), "names to differentiate by,")
    require("gradient", names, "name each parameter once", len(set(names)) == len(names))
    for name in set(names) - set(over):
        held = np.ravel(operator.attrgetter(path_of(base, name))(base))
        require(name, held, "be equal at all nodes to differentiate by it", bool(np.all(held == held[0])))
    return names


def _check_noise(noise: object, key: Any, swept: bool, of_nodes: bool) -> tuple[Any, Any, Any]:
    """Noise intensity, `Shot` noise, or, `of_nodes`, the law of the noise of each, with key and the key's words; all None
    without noise."""
    if noise is None and not swept:
        require("key", type(key).__name__, "be given together with `noise`", key is None)
        return None, None, None
    key = as_key(key, purpose=" if there is noise")
    words = jax.random.key_data(key)
    require("key", words, "be one key of the Threefry generator (two words)", words.shape == (2,))
    if of_nodes and not isinstance(noise, AbstractSpikeNoise):
        law: Any = noise if isinstance(noise, AbstractNoise) else WhiteNoise(0.0 if noise is None else noise)
        known = isinstance(law, WhiteNoise | OrnsteinUhlenbeck)
        require("noise", repr(law), "be a number D, `WhiteNoise` or `OrnsteinUhlenbeck` in a sweep of networks", known)
        require("noise", repr(law), "have one intensity D to be swept", not swept or law.intensity.ndim == 0)
        return law, key, words
    if isinstance(noise, WhiteNoise):
        noise = noise.intensity
    if isinstance(noise, AbstractSpikeNoise):
        require("size", noise.size, "be one number in a sweep", noise.size.ndim == 0)
        return Shot(noise, noise.size), key, words
    white = not isinstance(noise, AbstractNoise)
    require("noise", repr(noise), "be a number D, `WhiteNoise(D)` or `ShotNoise(N)` in a sweep", white)
    return as_number("noise", 0.0 if noise is None else noise, "[0, inf)"), key, words


def individual(network: Any, noise: Any) -> tuple[str, Any]:
    """(law, intensity) of the noise of a network of neurons; white noise, common to all, if a number is given or none."""
    if noise is None or not isinstance(noise, AbstractNoise):
        return "white", noise
    check_individual(network, noise)
    law = law_of(noise)
    return law, noise.width if isinstance(noise, CauchyNoise) else noise.intensity  # pyright: ignore[reportAttributeAccessIssue]


def _check_seen(network: Any, observables: Mapping[str, AbstractObservable]) -> None:
    """Refuse what single spikes or the densities of currents make meaningless in a network of neurons."""
    several = bool(getattr(network.model, "node", network.model).mode_names)
    for name, each in observables.items():
        channel = getattr(each, "channel", None)
        known = not (several and channel is not None and parsed(channel)[0] in ENERGIES)
        require("observe", name, "observe no energy of neurons whose currents aren't Lorentzian: none is known", known)
        prominence = getattr(each, "prominence", None)
        rule = f"have a `prominence` of at least {_JITTER:g} in a network of neurons, whose rate jitters with single spikes"
        require("observe", name, rule, prominence is None or prominence >= _JITTER)


def choose_method(base: Problem, solver: Any, rtol: float, atol: float, dt0: float | None) -> tuple[AbstractMethod, str]:
    """The way to integrate: geometric splitting if offered, else Runge–Kutta; adaptive unless `dt0` is given."""
    pairs = jax.default_backend() == "cpu"
    splitting = offers_splitting(base.model)
    if solver is None:
        solver = MobiusSplitting(4) if splitting else diffrax.Tsit5()
    if base.noise is not None:
        rule = "be `MobiusSplitting(4)` or None with noise"
        require("solver", type(solver).__name__, rule, isinstance(solver, MobiusSplitting))
        rule = "be None for this model: noise needs a Riccati population without gap junctions, conductances and slow terms"
        require("noise", base.noise, f"{rule} other than a synapse", splitting)
        require("noise", base.noise, "be None for a network", not base.nodes)
        if isinstance(base.noise, Shot):
            shot = Fluctuating(stretch=ShotStretch(pairs), short=no_flow, pairs=pairs)
            return shot, "Möbius splitting with shot noise, weak order 2"
        noisy = Uniform(stretch=NoisyStretch(pairs), short=no_flow, pairs=pairs, smooth=False)
        return noisy, "Möbius splitting with noise, weak order 2"
    if isinstance(solver, MobiusSplitting):
        require("solver", solver, "be of order 4 for a sweep", solver.mobius_order == 4)
        lacks = "gap junctions, conductances and, beside synapses, slow terms"
        rule = f"be a diffrax solver for this model (splitting in a sweep takes no {lacks})"
        require("solver", solver, rule, splitting)
        if base.model.slow_names:
            return Uniform(
                stretch=synapse_stretch, short=splitting_flow, pairs=pairs
            ), "processed Möbius splitting with synapses, order 4"
        if base.nodes:
            return Uniform(
                stretch=network_stretch, short=splitting_flow, pairs=pairs
            ), "force-gradient Möbius splitting, order 4"
        return Uniform(stretch=splitting_stretch, short=splitting_flow, pairs=pairs), "processed Möbius splitting, order 4"
    rule = "be None, `MobiusSplitting(4)` or an explicit Runge–Kutta solver of diffrax such as `diffrax.Tsit5()`"
    require("solver", solver, rule, is_explicit(solver))
    name = type(solver).__name__
    if dt0 is not None:
        return Uniform(stretch=RKStretch(solver), short=RKFlow(solver), pairs=False), f"{name}, fixed steps"
    return Adaptive(solver=solver, rtol=rtol, atol=atol, max_steps=MAX_STEPS), f"{name}, adaptive"


def _axes(base: Problem, over: Any) -> tuple[dict[str, int], dict[str, tuple[tuple[str, ...], np.ndarray]]]:
    """Dimensions of the sweep and, per swept name, its dimension and values; refuses what can't be swept."""
    require("over", over, "be a mapping from parameter names to values", hasattr(over, "keys"))
    require("over", over, "name at least one parameter", len(over) > 0)
    accepted = sweepable(base)
    for name, (_, value) in parameter_table(base.model).items():
        require(name, value, "be shared by all nodes to be swept", name not in over or value.ndim == 0)
    refuse_unknown(over, accepted, "swept names")
    dims: dict[str, int] = {}
    coords: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, given in over.items():
        together = isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str)
        dim, raw = given if together else (name, given)
        free = not together or dim not in (*accepted, "node")
        require(name, given, "use a dimension that is no parameter's name, and not `node`", free)
        try:
            values = labels(raw)
            numbers = values.astype(float_dtype())
        except (TypeError, ValueError):
            raise ValueError(f"Argument `{name}` must be an array of numbers, but got {raw!r}.") from None
        rule = "have one axis with at least one value"
        require(name, values, rule, values.ndim == 1 and values.size > 0)
        require(name, values, "be finite, without NaN", bool(np.all(np.isfinite(numbers))))
        require(name, values, f"be {accepted[name].rule}", accepted[name].allows(numbers))
        known = dims.setdefault(dim, values.size)
        require(name, values, f"have {known} values, like the others along `{dim}`", values.size == known)
        coords[name] = ((dim,), values)
    return dims, coords


def labels(raw: Any) -> np.ndarray:
    """Values as the user gave them, so that a result can be aligned with theirs; what no file keeps becomes float64."""
    values = np.asarray(as_samples(raw))
    kept = values.dtype.kind in "iu" or values.dtype.name in ("float32", "float64")
    return values.astype(values.dtype.newbyteorder("=") if kept else np.float64)


def _check_times(t0: Real, t1: Real, observe: Mapping[str, AbstractObservable]) -> Times:
    t0, t1 = as_plain_number("t0", t0, "[0, inf)"), as_plain_number("t1", t1, "(0, inf)")
    require("t1", t1, f"be later than `t0` ({t0:g})", t1 > t0)
    cuts = np.unique(np.concatenate([each.grid() for each in observe.values()] + [np.zeros(0)]))
    inside = cuts.size == 0 or lie_within(cuts, t0, t1)
    require("ts", cuts, f"lie between `t0` ({t0:g}) and `t1` ({t1:g})", inside)
    cuts = merged(np.clip(cuts, t0, t1))
    return Times(0.0, t0, t1, tuple(cuts.tolist()))


def _check_range(base: Problem, swept: Any, times: Times) -> None:
    """Refuse times that a recorded input doesn't cover, at any of its swept parameters."""
    check_range(base.stimulus, times.start, times.t1, "t1")
    own = {name: values for name, (_, values) in swept.items() if name.startswith("stimulus.")}
    if base.stimulus is None or base.stimulus.span() is None:
        return
    grid = np.meshgrid(*own.values(), indexing="ij")
    build = Build(tuple(own))
    for numbers in zip(*(each.ravel() for each in grid), strict=True) if own else ():
        at = {name: jnp.asarray(value, float_dtype()) for name, value in zip(own, numbers, strict=True)}
        check_range(build(base, at).stimulus, times.start, times.t1, "t1")


def _check_observables(observe: Any, base: Problem) -> dict[str, AbstractObservable]:
    require("observe", observe, "be a mapping from names to observables", hasattr(observe, "items"))
    require("observe", observe, "name at least one observable", len(observe) > 0)
    for name, each in observe.items():
        valid = isinstance(name, str) and name.isidentifier()
        require("observe", name, "use names that are Python identifiers", valid)
        require("observe", each, "hold observables such as `Peak('r')` or `Final()`", isinstance(each, AbstractObservable))
        each.variables(base)
    return {name: fresh(each) for name, each in observe.items()}
