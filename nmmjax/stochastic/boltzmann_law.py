"""The exact stationary law of a population under common white noise: density, moments, samples, free energy."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_key, require
from .._nan import nan_is_absent
from .._parameter import as_number, describe
from .._results import Shown
from .._types import Key, Real, Scalar, Values, is_concrete
from ..equilibria.brackets import fixed_rates
from ..mechanics.energy import potential_energy
from ..models.base import require_one, takes_model
from ..models.mpr import MPR
from ..models.noise import NoiseLike, white_intensity
from ..models.state import State
from ..numerics.compiling import jitted
from ..numerics.quadrature import gauss_hermite, nodes_between
from ..numerics.roots import newton_between
from .density import boltzmann_log_density
from .panels import density_panels
from .periods import phase_volume

_HERMITE = 40  # nodes in v
_NEWTON = 12  # steps at most within a panel; bisection if Newton's leaves it


class Boltzmann(eqx.Module, Shown):
    """The stationary law of a population under common white noise, exact for g = k = 0; made by `boltzmann`.

        P(r, v) ∝ r⁻² exp(−E(r, v)/T),    P(r) ∝ r^(−3/2) exp(−V(r)/T),    T = π D/Δ
        v given r: normal with mean −Δ/(2πR) and variance T R/2,    dq/d(t/τ): normal with variance T

    Rates r per unit of time, R = τ r; v, q, energies, T dimensionless.

    - `population`, `I`, `intensity`: the population, its constant input and D
    - `log_normalizer`: ln ∫ R^(−3/2) exp(−V/T) dR
    - `x`, `mass`: nodes of quadrature in x = ln R (1536,) and their probabilities, which add up to 1

    A pytree: everything works inside `jax.jit`, `jax.grad` and `jax.vmap`, with derivatives in η, J, Δ, τ, D and input.
    """

    population: MPR
    I: Scalar
    intensity: Scalar
    log_normalizer: Scalar
    x: Values
    mass: Values
    _starts: Values
    _stops: Values

    @property
    def _tilted(self) -> MPR:
        return self.population.tilted(self.I)

    @property
    def temperature(self) -> Scalar:
        """T = π D/Δ, in units of energy: ⟨(dq/d(t/τ))²⟩."""
        return jnp.pi * self.intensity / self.population.Delta

    # Densities

    def _log_density(self, x: Values) -> Values:
        return boltzmann_log_density(self._tilted, x, self.intensity) - self.log_normalizer

    def log_pdf(self, r: Real) -> Values:
        """ln P(r) at rates `r` > 0, elementwise; −∞ elsewhere."""
        rate = self._rates(r)
        x = jnp.log(self.population.tau * jnp.where(rate > 0, rate, 1))
        value = self._log_density(x) - x + jnp.log(self.population.tau)
        return jnp.where(rate > 0, value, -jnp.inf)

    def pdf(self, r: Real, v: Real | None = None) -> Values:
        """P(r), per unit of rate, at rates `r`, or with voltages `v` the joint density P(r, v); elementwise, 0 at r ≤ 0."""
        density = jnp.exp(self.log_pdf(r))
        if v is None:
            return density
        rate, voltage = jnp.broadcast_arrays(self._rates(r), self._rates(v))
        mean, deviation = self._voltage(jnp.where(rate > 0, rate, 1))
        density = jnp.broadcast_to(density, rate.shape)
        return density * jnp.exp(-(((voltage - mean) / deviation) ** 2) / 2) / (deviation * jnp.sqrt(_two_pi(mean)))

    def pdf_q(self, q: Real) -> Values:
        """The density of the position `q` = √(2/R) > 0, ∝ exp(−U(q)/T), elementwise."""
        position = self._rates(q)
        safe = jnp.where(position > 0, position, 1)
        x = jnp.log(2 / safe**2)
        return jnp.where(position > 0, jnp.exp(self._log_density(x)) * 2 / safe, 0)

    def pdf_energy(self, energy: Real) -> Values:
        """The density of the `energy` E: ∝ exp(−E/T) ∮ dq/p, the orbit's period, summed over wells; 0 below the minimum.

        It diverges logarithmically at the energy of the pass between two wells.
        """
        E = self._rates(energy)
        model, T = self._tilted, self.temperature
        volume = jax.vmap(lambda each: phase_volume(model, each))(E.ravel()).reshape(E.shape)
        # exp(−E/T)/Z over (q, q̇), with Z = √(πT) exp(log_normalizer).
        return volume * jnp.exp(-E / T - self.log_normalizer) / jnp.sqrt(jnp.pi * T)

    # Distribution of the rate

    def cdf(self, r: Real) -> Values:
        """The probability of a rate ≤ `r`, elementwise."""
        rate = self._rates(r)
        x = jnp.log(self.population.tau * jnp.where(rate > 0, rate, 1))
        return jnp.where(rate > 0, jnp.clip(self._below(x), 0, 1), 0)

    def probability(self, low: Real, high: Real) -> Values:
        """The probability of a rate between `low` and `high`; `high` may be inf."""
        return self.cdf(high) - self.cdf(low)

    def quantile(self, p: Real) -> Values:
        """The rate below which the rate is with probability `p`, 0 < p < 1, elementwise; `quantile(0.5)` is the median."""
        share = self._rates(p)
        if is_concrete(share):
            inside = np.asarray(share)
            require("p", p, "lie in [0, 1]", bool(np.all((inside >= 0) & (inside <= 1))))
        return _quantile(self, share)

    def sample(self, key: Key, shape: tuple[int, ...] = ()) -> State:
        """Independent exact samples, a `State` with arrays of the given `shape`: r by the inverse of `cdf`, then v, normal;
        `key` is a random key.
        """
        first, second = jax.random.split(as_key(key))
        dtype = self.x.dtype
        rate = self.quantile(jax.random.uniform(first, shape, dtype))
        mean, deviation = self._voltage(rate)
        return State(r=rate, v=mean + deviation * jax.random.normal(second, shape, dtype))

    @property
    def well_probabilities(self) -> Values:
        """(2,): the probabilities of rates below and above the pass; without a pass, 1 on the branch that exists."""
        low, _ = _share_below_pass(self)
        return jnp.stack([low, 1 - low])

    # Expectations

    def mean(self, f: Callable[..., Any]) -> Scalar:
        """⟨f(r)⟩ or ⟨f(r, v)⟩ for an elementwise function `f` of one or two arguments, by quadrature."""
        R = jnp.exp(self.x)
        if _arguments(f) == 1:
            return jnp.sum(self.mass * f(R / self.population.tau))
        at, weight = (jnp.asarray(each, self.x.dtype)[None] for each in gauss_hermite(_HERMITE))
        mean, deviation = self._voltage(R / self.population.tau)
        v = mean[:, None] + deviation[:, None] * at
        rate = jnp.broadcast_to((R / self.population.tau)[:, None], v.shape)
        return jnp.sum(self.mass[:, None] * weight * f(rate, v))

    def moment(self, k: Real) -> Scalar:
        """⟨r^k⟩ for any real `k`."""
        power = as_number("k", k).astype(self.x.dtype)
        return jnp.sum(self.mass * jnp.exp(power * (self.x - jnp.log(self.population.tau))))

    @property
    def mean_rate(self) -> Scalar:
        """⟨r⟩, per unit of time."""
        return self.moment(1)

    @property
    def mean_voltage(self) -> Scalar:
        """⟨v⟩ = −(Δ/2π) ⟨1/R⟩."""
        return -self.population.Delta / (2 * jnp.pi) * jnp.sum(self.mass * jnp.exp(-self.x))

    @property
    def fluctuation(self) -> Scalar:
        """Standard deviation of the rate, per unit of time."""
        rate = jnp.exp(self.x) / self.population.tau
        return jnp.sqrt(jnp.sum(self.mass * (rate - self.mean_rate) ** 2))

    # Thermodynamics

    @property
    def free_energy(self) -> Scalar:
        """F = −T ln ∫ R^(−3/2) exp(−V/T) dR, R = τ r: its changes with η, J, I at fixed T are reversible work."""
        return -self.temperature * self.log_normalizer

    @property
    def mean_energy(self) -> Scalar:
        """⟨E⟩ = T/2 + ⟨V⟩."""
        return self.temperature / 2 + jnp.sum(self.mass * self._potential())

    @property
    def entropy(self) -> Scalar:
        """S = −∫∫ P ln P dq dq̇ = ⟨E⟩/T + ln ∫∫ exp(−E/T) dq dq̇, so that ⟨E⟩ − T S = F − (T/2) ln(πT)."""
        T = self.temperature
        return self.mean_energy / T + self.log_normalizer + jnp.log(jnp.pi * T) / 2

    @property
    def heat_capacity(self) -> Scalar:
        """d⟨E⟩/dT at fixed landscape, the variance of E over T²: ½ + var(V)/T²."""
        V = self._potential()
        return 0.5 + jnp.sum(self.mass * (V - jnp.sum(self.mass * V)) ** 2) / self.temperature**2

    def _potential(self) -> Values:
        y = State(r=jnp.exp(self.x) / self.population.tau, v=jnp.zeros_like(self.x))
        return potential_energy(self._tilted, y)

    def _voltage(self, r: Values) -> tuple[Values, Values]:
        """Mean and standard deviation of v at rates r."""
        R = self.population.tau * r
        return self.population.voltage_at_rate(R), jnp.sqrt(self.temperature * R / 2)

    def _rates(self, values: Real) -> Values:
        array = as_array(values)
        require("values", values, "be a number or an array of numbers", isinstance(array, jnp.ndarray))
        return array.astype(self.x.dtype)

    def _below(self, x: Values) -> Values:
        panel = jnp.clip(
            jnp.searchsorted(self._starts, jax.lax.stop_gradient(x), side="right") - 1, 0, self._starts.size - 1
        )
        start = self._starts[panel]
        return self._before()[panel] + self._within(start, jnp.clip(x, start, self._stops[panel]))

    def _before(self) -> Values:
        """The probability before every panel, (panels,)."""
        masses = jnp.sum(self.mass.reshape(self._starts.size, -1), axis=1)
        return jnp.cumsum(masses) - masses

    def _within(self, start: Values, stop: Values) -> Values:
        at, weights = nodes_between(start, stop)
        return jnp.sum(weights * jnp.exp(self._log_density(at)), axis=-1)

    def __repr__(self) -> str:
        if not is_concrete(self.x) or self.x.ndim != 1:
            return f"Boltzmann law, batch shape {self.x.shape[:-1]}"
        T, rate, deviation, energy, free, low, two = (each.item() for each in _summary(self))
        rows = [
            ("population", describe(self.population) + (f", input {self.I:g}" if self.I != 0 else "")),
            ("noise", f"D = {self.intensity:.6g}, T = π D/Δ = {T:.6g}"),
            ("rate", f"{rate:.6g} ± {deviation:.6g} per unit of time (mean, standard deviation)"),
            ("wells", f"two, {low:.4g} of the time below the pass, {1 - low:.4g} above" if two else "one"),
            ("energy", f"⟨E⟩ = {energy:.6g}, F = {free:.6g}"),
        ]
        return "\n".join(["Boltzmann law"] + [f"  {name:<12}{value}" for name, value in rows])


@nan_is_absent
@takes_model
def boltzmann(population: MPR, noise: NoiseLike, I: Real = 0.0) -> Boltzmann:
    """The exact stationary law of a population under common white noise.

        dv = (v² + η + I + J R − π²R²) d(t/τ) + √(2D) dW(t/τ)        P(r, v) ∝ r⁻² exp(−E/T),  T = π D/Δ

    - `population`: an `MPR` with Δ > 0, without gap junctions, conductances and slow terms
    - `noise`: D > 0, a number or `WhiteNoise(D)`
    - `I`: constant input, in units of η; 0 by default

    Noise multiplies q in the mechanical form (√(2D) q) as heterogeneity multiplies q² in its damping, so that fluctuation
    and dissipation balance exactly. Use it instead of long noisy runs: moments, quantiles, samples, free energy, and their
    derivatives. Quadrature is accurate to rounding. In float32, −V/T carries V/T times 1e-7.

    Returns a `Boltzmann`. Raises `ValueError` for Δ = 0 (noise heats, nothing damps: no stationary law), D ≤ 0, other noise
    than white, networks, slow terms, and with gap junctions or conductances, which have no exact law (use
    `stationary_density`). Source: docs/theory.md §7.
    """
    check_lawful(population)
    rule = "be without gap junctions and conductances, which have no exact law; use `stationary_density`"
    require("population", population, rule, population.riccati().plain)
    dtype = population.eta.dtype
    D = white_intensity(noise).astype(dtype)
    current = as_number("I", I).astype(dtype)
    return _law(population, D, current)


def check_lawful(population: Any) -> None:
    """Refuse, in one sentence, what has no stationary law under common white noise or isn't one population."""
    require_one(population, "population", offer="riccati")
    rule = "be without slow terms (use `population.frozen(y)`)"
    require("population", population.slow_names, rule, not population.slow_names)
    if is_concrete(population.Delta):
        rule = "be > 0 for a stationary law (at 0 noise heats and nothing damps)"
        require("Delta", population.Delta, rule, bool(np.all(np.asarray(population.Delta) > 0)))


@jitted
def _law(population: MPR, D: Scalar, current: Scalar) -> Boltzmann:
    tilted = population.tilted(current)
    starts, stops = density_panels(tilted, D)
    at, weights = nodes_between(starts, stops)
    x, weights = at.ravel(), weights.ravel()
    values = boltzmann_log_density(tilted, x, D)
    highest = jax.lax.stop_gradient(jnp.max(values))
    mass = weights * jnp.exp(values - highest)
    total = jnp.sum(mass)
    return Boltzmann(population, current, D, highest + jnp.log(total), x, mass / total, starts, stops)


@jitted
def _summary(law: Boltzmann) -> tuple[Any, ...]:
    low, two = _share_below_pass(law)
    return law.temperature, law.mean_rate, law.fluctuation, law.mean_energy, law.free_energy, low, two


@jitted
def _share_below_pass(law: Boltzmann) -> tuple[Scalar, Any]:
    """The probability of rates below the pass, and whether there is one."""
    R, _ = fixed_rates(law._tilted)
    exists = jnp.isfinite(R[1])
    below = law._below(jnp.log(jnp.where(exists, R[1], 1)))
    return jnp.where(exists, below, jnp.where(jnp.isfinite(R[0]), 1, 0)), exists


@jitted
def _quantile(law: Boltzmann, p: Values) -> Values:
    """Within the panel that holds p, by Newton's method between shrinking bounds; the last step carries derivatives."""
    before = law._before()
    frozen, share = jax.lax.stop_gradient((law, p))
    panel = jnp.clip(jnp.searchsorted(jax.lax.stop_gradient(before), share, side="left") - 1, 0, before.size - 1)
    start, stop = law._starts[panel], law._stops[panel]
    excess = lambda law, x, p: law._before()[panel] + law._within(start, x) - p

    def density(x: Values) -> Values:
        return jnp.maximum(jnp.exp(frozen._log_density(x)), jnp.finfo(x.dtype).tiny)

    both = lambda x: (excess(frozen, x, share), density(x))
    x = jax.lax.stop_gradient(newton_between(both, start, stop, (start + stop) / 2, _NEWTON))
    x = x - (excess(law, x, p) - excess(frozen, x, share)) / density(x)
    return jnp.exp(x) / law.population.tau


def _arguments(f: Callable[..., Any]) -> int:
    """How many arguments a function must be given; 1 if it doesn't say."""
    try:
        known = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = [each for each in known if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return sum(each.default is each.empty for each in positional)


def _two_pi(like: Values) -> Values:
    return jnp.asarray(2 * np.pi, like.dtype)
