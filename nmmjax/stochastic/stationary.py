"""The stationary density of the rate by simulation, for populations that have no exact law."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, as_key
from .._nan import nan_is_absent
from .._parameter import as_number
from .._results import Shown
from .._types import Key, Real, Scalar, Values
from ..models.base import takes_model
from ..models.mpr import MPR
from ..models.noise import NoiseLike, WhiteNoise, white_intensity
from ..models.state import State
from ..models.stimulus import Constant
from ..numerics.compiling import jitted
from ..solvers.noisy import default_step
from ..solvers.simulation import simulate
from .boltzmann_law import check_lawful


class SampledDensity(eqx.Module, Shown):
    """A stationary density from an ensemble of noisy runs; made by `stationary_density`.

    - `population`, `intensity`: what was run, and its noise D
    - `states`: a `State` of arrays (lanes, times): stationary samples, equally spaced in time
    - `edges` (bins + 1,): rates, of equal ratio; `probability`, `error` (bins,): of a rate in each bin, with standard error
      from the scatter between lanes
    - `step`: the largest step of the runs, in the unit of τ
    """

    population: MPR
    intensity: Scalar
    states: State
    edges: Values
    probability: Values
    error: Values
    step: Scalar

    def pdf(self, r: Real) -> Values:
        """P(r), per unit of rate, at rates `r`, elementwise: of its bin, 0 outside all."""
        rate = jnp.asarray(r, self.edges.dtype)
        last = self.probability.size - 1
        place = jnp.clip(jnp.searchsorted(self.edges, rate, side="right") - 1, 0, last)
        inside = (rate >= self.edges[0]) & (rate <= self.edges[-1])
        return jnp.where(inside, self.probability[place] / jnp.diff(self.edges)[place], 0)

    def mean(self, f: Any) -> tuple[Scalar, Scalar]:
        """⟨f(r, v)⟩ for an elementwise function `f`, and its standard error."""
        values = f(self.states.r, self.states.v)
        lanes = jnp.mean(values, axis=1)
        return jnp.mean(lanes), jnp.std(lanes, ddof=1) / jnp.sqrt(jnp.asarray(lanes.size, lanes.dtype))

    @property
    def mean_rate(self) -> Scalar:
        """⟨r⟩, per unit of time."""
        return jnp.mean(self.states.r)

    def __repr__(self) -> str:
        mean, error = self.mean(lambda r, v: r)
        lanes, times = self.states.r.shape
        return f"Sampled density of {self.population!r}, {lanes} lanes × {times} times: ⟨r⟩ = {mean:.6g} ± {error:.2g}"


@nan_is_absent
@takes_model
def stationary_density(
    population: MPR,
    noise: NoiseLike,
    key: Key,
    *,
    I: Real = 0.0,
    lanes: int = 1024,
    transient: Real = 50.0,
    duration: Real = 100.0,
    times: int = 100,
    bins: int = 50,
    dt0: Real | None = None,
) -> SampledDensity:
    """The stationary density of (r, v) under common white noise by simulation, also with gap junctions or conductances.

    - `population`: an `MPR` with Δ > 0 without slow terms; `noise`: D > 0 or `WhiteNoise(D)`; `key`: a random key
    - `I`: constant input, in units of η; 0 by default
    - `lanes`: independent runs, from rates spread evenly in ln r over two decades around √Δ/π/τ
    - `transient`, `duration`: time
      before and while states are kept, in units of τ; `times`: how many states of each lane are kept
    - `bins`: of equal ratio between the lowest and the highest rate seen
    - `dt0`: the largest step, in the unit of τ; by default a 125th of the shortest interval between spikes to expect

    Gap junctions and conductances change the damping but not how noise acts, so that T = π D/Δ has no place and no exact law
    is known; without them use `boltzmann`. Returns a `SampledDensity`, of weak order 2 in the step; errors fall as 1/√lanes.
    `transient` must exceed the time in which noise crosses between two wells: compare the shares at two lengths. Raises
    `ValueError` for Δ = 0, D ≤ 0, networks, slow terms.
    """
    check_lawful(population)
    dtype = population.eta.dtype
    D = white_intensity(noise).astype(dtype)
    current = as_number("I", I).astype(dtype)
    lanes, times, bins = as_count("lanes", lanes, 2), as_count("times", times, 2), as_count("bins", bins, 2)
    key = as_key(key)
    before, length = as_number("transient", transient, "(0, inf)"), as_number("duration", duration, "(0, inf)")
    tau = population.tau
    scale = jnp.sqrt(population.Delta) / jnp.pi / tau
    start = State(r=scale * 10 ** jnp.linspace(-1, 1, lanes, dtype=dtype), v=jnp.zeros(lanes, dtype))
    if dt0 is None:
        usual = State(r=scale, v=jnp.zeros((), dtype))
        step = default_step(population, WhiteNoise(D), usual, current).astype(dtype)
    else:
        step = as_number("dt0", dt0, "(0, inf)").astype(dtype)
    kept = before + length * jnp.arange(1, times + 1, dtype=before.dtype) / times
    ts = tau * jnp.concatenate([jnp.zeros(1, dtype), kept.astype(dtype)])
    states = _simulate(population, D, current, start, jax.random.split(key, lanes), ts, float(step))
    r = np.asarray(states.r)
    edges = np.geomspace(r.min(), r.max() * (1 + 1e-6), bins + 1)
    place = np.clip(np.searchsorted(edges, r, side="right") - 1, 0, bins - 1)
    shares = np.stack([np.bincount(each, minlength=bins) for each in place]) / times
    array = lambda value: jnp.asarray(np.asarray(value, dtype))
    error = shares.std(axis=0, ddof=1) / np.sqrt(lanes)
    return SampledDensity(population, D, states, array(edges), array(shares.mean(axis=0)), array(error), step)


@jitted
def _simulate(model: MPR, D: Scalar, current: Scalar, start: State, keys: Any, ts: Values, step: float) -> State:
    def lane(y0: State, key) -> State:
        ys = simulate(model, y0, ts, stimulus=Constant(current), noise=D, key=key, dt0=step).ys
        return State(r=ys.r[1:], v=ys.v[1:])

    return jax.vmap(lane)(start, keys)
