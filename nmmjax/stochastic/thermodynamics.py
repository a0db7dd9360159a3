"""Work, heat and entropy of a driven, noisy population, and what they tell about the landscape.

The input I tilts the landscape, E gains I/R. Along one noisy path under a protocol I(t),

    work  W = ∫ (dI/dt)/R dt        heat given off  Q = W − (E(t₁) − E(t₀))        entropy produced  (W − ΔF)/T

with F = −T ln ∫ R^(−3/2) exp(−V/T) dR and T = πD/Δ. From equilibrium at t₀, for any speed of the protocol,

    ⟨exp(−W/T)⟩ = exp(−ΔF/T)  (Jarzynski)        P_F(W)/P_B(−W) = exp((W − ΔF)/T)  (Crooks, B: the protocol reversed)

Between steps of the splitting the input jumps, and each jump's work ΔI/R is exact; so what is wrong is only the O(h²) of
the splitting's own stationary law. Source: docs/theory.md §7; Jarzynski, Phys. Rev. Lett. 78:2690 (1997); Crooks, Phys.
Rev. E 60:2721 (1999); Bennett, J. Comput. Phys. 22:245 (1976).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_count, as_key, require
from .._nan import nan_is_absent
from .._parameter import as_number, describe
from .._results import Shown
from .._types import Key, Real, Scalar, Values, is_concrete
from ..mechanics.energy import total_energy
from ..models.base import takes_model
from ..models.mpr import MPR
from ..models.noise import NoiseLike, WhiteNoise, white_intensity
from ..models.state import State
from ..models.stimulus import AbstractStimulus, Constant, check_range, input_at
from ..numerics.compiling import jitted
from ..solvers.clock import clock_of
from ..solvers.noisy import default_step, kicks_of, largest_input, noisy_step
from .boltzmann_law import boltzmann, check_lawful

_LANES_AT_ONCE = 16_384


class Estimate(eqx.Module, Shown):
    """A number with its standard error."""

    value: Scalar
    standard_error: Scalar

    def __repr__(self) -> str:
        return f"{float(self.value):.6g} ± {float(self.standard_error):.2g}"


class DrivenRuns(eqx.Module, Shown):
    """Many runs of one protocol from equilibrium; made by `run_protocol`.

    - `work`, `heat`, `energy_change` (lanes,): W, the heat Q given off, E(t₁) − E(t₀); W = Q + E(t₁) − E(t₀)
    - `start`, `end`: states (lanes,)
    - `temperature`: T; `free_energy`: the exact ΔF between the inputs at the ends, by quadrature
    - `population`, `stimulus`, `intensity`, `t0`, `t1`, `reversed`: what was run; reversed runs saw I(t₀ + t₁ − t)

    Energies are dimensionless.
    """

    work: Values
    heat: Values
    energy_change: Values
    start: State
    end: State
    temperature: Scalar
    free_energy: Scalar
    population: MPR
    stimulus: AbstractStimulus
    intensity: Scalar
    t0: Scalar
    t1: Scalar
    reversed: bool = eqx.field(static=True)

    @property
    def dissipated(self) -> Values:
        """W − ΔF (lanes,): work that a slow protocol would not have cost; negative for some runs, not on average."""
        return self.work - self.free_energy

    @property
    def entropy_production(self) -> Values:
        """(W − ΔF)/T (lanes,), in units of k_B, until the population has come to equilibrium under the last input."""
        return self.dissipated / self.temperature

    def jarzynski(self) -> Estimate:
        """ΔF from the work alone."""
        return jarzynski(self.work, self.temperature)

    def __repr__(self) -> str:
        if not is_concrete(self.work):
            return "DrivenRuns (traced)"
        way = "reversed, " if self.reversed else ""
        lines = [
            f"DrivenRuns: {describe(self.population)} under {describe(self.stimulus)}, D = {float(self.intensity):g}",
            f"  {way}t = {float(self.t0):g} to {float(self.t1):g}, {self.work.size} runs from equilibrium, "
            f"T = {float(self.temperature):.6g}",
            f"  mean work {float(self.work.mean()):.6g}, mean heat {float(self.heat.mean()):.6g}, "
            f"mean entropy produced {float(self.entropy_production.mean()):.6g}",
            f"  ΔF: exact {float(self.free_energy):.6g}, from the work {self.jarzynski()}",
        ]
        return "\n".join(lines)


@nan_is_absent
@takes_model
def run_protocol(
    population: MPR,
    stimulus: AbstractStimulus,
    noise: NoiseLike,
    key: Key,
    *,
    t0: Real = 0.0,
    t1: Real,
    lanes: int = 4096,
    dt0: Real | None = None,
    reverse: bool = False,
) -> DrivenRuns:
    """Run a protocol many times from equilibrium, and keep the book of work and heat of every run.

    - `population`: an MPR population with Δ > 0, without gap junctions, conductances and slow terms
    - `stimulus`: the protocol I(t), such as `Ramp(0.5, 0.0, 1.0)`; runs go from `t0` to `t1`, in the unit of τ
    - `noise`: the intensity D > 0 of common white noise; `key`: a random key; `lanes`: the number of runs
    - `dt0`: the largest step, by default that of `simulate`; jumps of the input act at the nearest step
    - `reverse=True` runs the protocol backwards from equilibrium at its end, for `crooks`

    Starts are exact samples of `boltzmann`. Returns `DrivenRuns`. Raises `ValueError` for what has no Boltzmann law (Δ = 0,
    gap junctions, conductances, slow terms, coloured noise), and wrong input. Use it for landscape differences from work,
    and for what a stimulus costs. Source: docs/theory.md §7.
    """
    require("stimulus", stimulus, "be a stimulus such as `Ramp(...)`", isinstance(stimulus, AbstractStimulus))
    key = as_key(key)
    lanes = as_count("lanes", lanes, 2)
    D = white_intensity(noise)
    first, last = as_number("t0", t0), as_number("t1", t1)
    if is_concrete(first) and is_concrete(last):
        require("t1", t1, f"be later than `t0` ({float(first):g})", bool(np.asarray(t1) > np.asarray(t0)))
    check_range(stimulus, first, last, "t1")
    check_lawful(population)
    dtype = population.eta.dtype
    as_dtype = lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf
    given, D, first, last = jax.tree.map(as_dtype, (stimulus, D, first, last))
    stimulus, t0_given, t1_given = given, first, last
    if is_concrete(first) and is_concrete(last) and float(first) != 0:  # times count from the start
        clock = clock_of(np.asarray([t0, t1], float), dtype)
        stimulus, first, last = given.since(clock.start), clock.elapsed[0], clock.elapsed[1]
    begin, end = (last, first) if reverse else (first, last)
    law, final = (boltzmann(population, D, _number(stimulus, t)) for t in (begin, end))
    drawing, moving = jax.random.split(key)
    starts = law.sample(drawing, (lanes,))
    if dt0 is None:
        typical = State(r=law.quantile(jnp.asarray(0.99, dtype)), v=jnp.zeros((), dtype))
        span = jnp.stack([first, last])
        step = default_step(population, WhiteNoise(D), typical, largest_input(stimulus, span))
    else:
        step = as_number("dt0", dt0, "(0, inf)").astype(dtype)
    steps = int(np.ceil(float((last - first) / step) * (1 - 1e-9)))
    keys, parts = jax.random.split(moving, lanes), []
    for k in range(0, lanes, _LANES_AT_ONCE):
        some, own = jax.tree.map(lambda each, k=k: each[k : k + _LANES_AT_ONCE], (starts, keys))
        parts.append(_driven(population, stimulus, D, first, last, steps, reverse, some, own))
    work, change, ends = jax.tree.map(lambda *each: jnp.concatenate(each), *parts)
    return DrivenRuns(
        work=work,
        heat=work - change,
        energy_change=change,
        start=starts,
        end=ends,
        temperature=law.temperature,
        free_energy=final.free_energy - law.free_energy,
        population=population,
        stimulus=given,
        intensity=D,
        t0=t0_given,
        t1=t1_given,
        reversed=reverse,
    )


def _number(stimulus: AbstractStimulus, t: Scalar) -> Scalar:
    current = input_at(stimulus, t)
    require("stimulus", stimulus, "give one number at a time, for one population", current.ndim == 0)
    return current


@jitted
def _driven(
    population: MPR,
    stimulus: AbstractStimulus | None,
    D: Scalar,
    t0: Scalar,
    t1: Scalar,
    steps: int,
    reverse: bool,
    starts: State,
    keys: Any,
) -> tuple[Values, Values, State]:
    """(work, E(t₁) − E(t₀), end) of every lane."""
    h = (t1 - t0) / steps
    noise = WhiteNoise(D)

    def current(t: Values) -> Values:
        return input_at(stimulus, t0 + t1 - t if reverse else t)

    def lane(y0: State, key) -> tuple[Values, Values, State]:
        def step(state, k: Values) -> Any:
            y, held, work = state
            now = current(t0 + (k + 0.5) * h)
            work = work + (now - held) / (population.tau * y.r)
            kicks = kicks_of(population, noise, jax.random.fold_in(key, k.astype(jnp.uint32)), h, jnp.zeros_like(y.v))
            return (noisy_step(population, Constant(now), t0, h, y, kicks), now, work), None

        first, last = current(t0), current(t1)
        numbers = jnp.arange(steps).astype(h.dtype)
        (y, held, work), _ = jax.lax.scan(step, (y0, first, jnp.zeros_like(y0.r)), numbers)
        work = work + (last - held) / (population.tau * y.r)
        return work, total_energy(population, y, last) - total_energy(population, y0, first), y

    return jax.vmap(lane)(starts, keys)


@nan_is_absent
def jarzynski(work: Any, temperature: Real) -> Estimate:
    """Free-energy difference ΔF = −T ln ⟨exp(−W/T)⟩ from the work of many runs from equilibrium.

    Rare runs of little work carry the mean: if the dissipated work exceeds a few T it is biased upwards, and `crooks`
    with runs in both directions is the better estimate.

    - `work` (lanes,): dimensionless, as energies are
    - `temperature`: T = π D/Δ > 0, in the same unit

    Returns an `Estimate`: the value and its standard error (delta method). Raises `ValueError` for T ≤ 0, and fewer than
    two runs. Source: Jarzynski, Phys. Rev. Lett. 78:2690 (1997).
    """
    W, T = _works("work", work), as_number("temperature", temperature, "(0, inf)")
    T = T.astype(W.dtype)
    lowest = jnp.min(W)
    weight = jnp.exp(-(W - lowest) / T)
    mean = jnp.mean(weight)
    error = T * jnp.std(weight, ddof=1) / (mean * jnp.sqrt(jnp.asarray(W.size, W.dtype)))
    return Estimate(lowest - T * jnp.log(mean), error)


class Crooks(eqx.Module, Shown):
    """Forward and backward runs of one protocol beside each other; made by `crooks`.

    - `free_energy`: ΔF of the forward protocol by Bennett's acceptance ratio, the best estimate from both
    - `forward`, `backward`: Jarzynski's estimates from one direction each; `temperature`: T
    - `slope`: of ln P_F(W)/P_B(−W) over W/T, 1 by Crooks's theorem (logistic regression); `exact`: ΔF by quadrature
    """

    free_energy: Estimate
    forward: Estimate
    backward: Estimate
    slope: Estimate
    exact: Scalar
    temperature: Scalar

    def __repr__(self) -> str:
        return (
            f"Crooks: ΔF exact {float(self.exact):.6g}, both ways {self.free_energy}, forward {self.forward}, "
            f"backward {self.backward}; slope of ln P_F(W)/P_B(−W) over W/T {self.slope} (1 in theory)"
        )


@nan_is_absent
def crooks(forward: DrivenRuns, backward: DrivenRuns) -> Crooks:
    """Compare runs of a protocol with those of its reverse.

    A run with work W is a forward one, and not a backward one with work −W, with the odds N_F/N_B · exp((W − ΔF)/T): ΔF
    is the maximum-likelihood value (Bennett's acceptance ratio), and with a free slope the theorem itself is tested.

    - `forward`: of `run_protocol(...)`
    - `backward`: of `run_protocol(..., reverse=True)`, at the same temperature

    Returns a `Crooks`. Raises `ValueError` unless one of both is reversed and T is the same. Source: Crooks, Phys. Rev.
    E 60:2721 (1999); Shirts et al., Phys. Rev. Lett. 91:140601 (2003).
    """
    for name, runs, way in (("forward", forward, False), ("backward", backward, True)):
        require(name, type(runs).__name__, "be the result of `run_protocol`", isinstance(runs, DrivenRuns))
        rule = f"be {'' if way else 'not '}made with `reverse=True`"
        require(name, f"reverse={runs.reversed}", rule, runs.reversed is way)
    T = forward.temperature
    if is_concrete(T) and is_concrete(backward.temperature):
        rule = f"be at the temperature of `forward`, {float(T):g}"
        require("backward", float(backward.temperature), rule, bool(np.isclose(float(T), float(backward.temperature))))
    x = jnp.concatenate([forward.work, -backward.work]) / T
    is_forward = jnp.concatenate([jnp.ones_like(forward.work), jnp.zeros_like(backward.work)])
    offset = jnp.log(jnp.asarray(forward.work.size / backward.work.size, x.dtype))
    shift, _, shift_error, _ = _logistic(x, is_forward, offset, free_slope=False)
    _, slope, _, slope_error = _logistic(x, is_forward, offset, free_slope=True)
    one_way = jarzynski(backward.work, T)
    return Crooks(
        free_energy=Estimate(T * shift, T * shift_error),
        forward=forward.jarzynski(),
        backward=Estimate(-one_way.value, one_way.standard_error),
        slope=Estimate(slope, slope_error),
        exact=forward.free_energy,
        temperature=T,
    )


def _logistic(x: Values, y: Values, offset: Scalar, free_slope: bool) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """(shift, slope, their errors) of the odds exp(offset + slope x − slope·shift), by Newton's method from the middle."""
    middle, width = jnp.mean(x), jnp.std(x)
    z = (x - middle) / width

    def newton(beta: Values, _) -> tuple[Values, None]:
        p = jax.nn.sigmoid(offset + beta[0] + beta[1] * z)
        w = p * (1 - p)
        g = jnp.stack([jnp.sum(y - p), jnp.sum((y - p) * z)])
        a, b, c = jnp.sum(w), jnp.sum(w * z), jnp.sum(w * z**2)
        if not free_slope:
            return beta + jnp.stack([jnp.clip(g[0] / a, -1, 1), jnp.zeros_like(a)]), None
        move = jnp.stack([c * g[0] - b * g[1], a * g[1] - b * g[0]]) / (a * c - b**2)
        return beta + move / jnp.maximum(1, jnp.max(jnp.abs(move))), None

    # The slope 1 in x is `width` in z.
    start = jnp.stack([jnp.zeros_like(middle), jnp.zeros_like(middle) if free_slope else width])
    beta, _ = jax.lax.scan(newton, start, None, length=100)
    p = jax.nn.sigmoid(offset + beta[0] + beta[1] * z)
    w = p * (1 - p)
    a, b, c = jnp.sum(w), jnp.sum(w * z), jnp.sum(w * z**2)
    slope = beta[1] / width
    shift = middle - beta[0] / slope
    # Bennett's variance, with the classes' sizes fixed: less than 1/Σw by 1/N_F + 1/N_B.
    fixed = 1 / jnp.sum(y) + 1 / jnp.sum(1 - y)
    shift_error = jnp.sqrt(jnp.maximum(1 / a - fixed, 0))
    slope_error = jnp.sqrt(a / (a * c - b**2)) / width
    return shift, slope, shift_error, slope_error


def _works(name: str, work: Any) -> Values:
    array = as_array(work)
    require(name, work, "be an array (lanes,) of at least 2 numbers", isinstance(array, jax.Array))
    require(name, work, "be an array (lanes,) of at least 2 numbers", array.ndim == 1 and array.size >= 2)
    if is_concrete(array):
        require(name, array, "be finite, without NaN", bool(np.all(np.isfinite(np.asarray(array)))))
    return array
