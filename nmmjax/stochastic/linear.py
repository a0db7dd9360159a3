"""Fluctuations around a stable fixed point, exact to first order in the noise: covariances, correlations, spectra.

dx = A x dt + B dI,   A X + X Aᵀ + B P Bᵀ = 0,   S(f) = T P Tᴴ,   T = (2πif − A)⁻¹ B

With delays A depends on f, and X = ∫ S df (`linear_delayed.py`).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._blas import with_one_thread
from .._checks import as_array, as_frequencies, require, require_each
from .._labelled import attributes_of, software, xarray
from .._nan import nan_is_absent
from .._parameter import as_number, describe, dtype_of, with_dtype
from .._results import RESULTS, Shown
from .._types import ComplexValues, Real, Scalar, Values, is_concrete
from ..equilibria.delays import leading_roots, linearized_with_delays
from ..equilibria.stability import eigenvalues, jacobian
from ..equilibria.steady import find_equilibria
from ..landscape.landscapes import stable_state
from ..models.base import AbstractModel, refuse_spikes, require_offer, takes_model
from ..models.noise import NoiseLike, OrnsteinUhlenbeck, WhiteNoise, as_noise
from ..models.state import State, StateLike
from ..numerics.compiling import jitted
from ..numerics.delayed import Delayed
from ..numerics.linear import resolvent, solve_lyapunov
from .linear_delayed import Fluctuating, covariance, fluctuating, lagged

_AT_ONCE = 32  # frequencies
_POINTS = 201
_TOP = 4  # highest frequency of spectra by default, over Rice's
_WEAK, _STRONG = 0.05, 0.1  # σ_r/r up to which variances are right to 5 % and 20 % in nine states of ten (docs/theory.md §E)
_RESOLVED = 1e-5  # last change of covariances with delays beyond which a print-out says so
_AWAY = 4.0  # standard deviations to the saddle below which states are left


class LinearResponse(eqx.Module, Shown):
    """Small fluctuations around a stable fixed point, exact to first order in the intensity of the noise.

    - `model`, `noise`: the model, and the `WhiteNoise` or `OrnsteinUhlenbeck` that moves it
    - `state`: the fixed point; `choice`: which one, in words; `unit`: whether the noise is the unit one of the default
    - `covariance` (m, m): stationary covariance of the flat state: variables in the order of `variables`, each of them
      for all nodes
    - `A` (k, k), `B` (k, n), `P` (n, n): dx = A x dt + B dI, and the covariance of dI per time; x is the flat state, and
      with coloured noise its n currents behind it
    - `joint` (k, k): the covariance of x; `current`: the constant input
    - `linear`: the equations with delays, of which A is the part without coupling; None for a model without delays.
      `error`: with delays, the last change of the covariance, relative to √(X_ii X_jj), as the frequencies over which it is
      an integral were doubled to `points`; 0 without
    - `result`: a `RESULTS` code: `no_fixed_point`, or `unstable_state`, where fluctuations grow; then covariances are NaN

    Print it for a summary, `to_xarray()` for labelled data, `nmm.plot.linear_response(result)` for a picture. Channels below
    are variables, or names in the model's `channels`; they have one value per node, or one, for a population.
    """

    model: AbstractModel
    noise: WhiteNoise | OrnsteinUhlenbeck
    state: State
    covariance: Values
    A: Values
    B: Values
    P: Values
    joint: Values
    result: RESULTS
    current: Scalar
    choice: str = eqx.field(static=True)
    unit: bool = eqx.field(static=True)
    linear: Delayed | None = None
    error: Scalar | None = None
    points: Any = None

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables, in the order of the covariance."""
        return self.state.names

    @property
    def eigenvalues(self) -> ComplexValues:
        """Of the Jacobian, by decreasing real part, (m,); with delays as many characteristic roots, the rightmost."""
        m = self.covariance.shape[0]
        if self.linear is not None:
            return _leading(self.linear)
        known = jnp.all(jnp.isfinite(self.A))
        return jnp.where(known, eigenvalues(jnp.where(known, self.A[:m, :m], -jnp.eye(m, dtype=self.A.dtype))), jnp.nan)

    def cov(self, channel: str = "r", other: str | None = None) -> Values:
        """Stationary covariance (n, n) of a `channel` (rows) with itself or the `other` (columns); () for one population."""
        rows = self._rows(channel)
        return self._shaped(rows @ self.joint @ (rows if other is None else self._rows(other)).T)

    def deviation(self, channel: str = "r") -> Values:
        """Standard deviation of a `channel`, (n,) or ()."""
        rows = self._rows(channel)
        return jnp.sqrt(jnp.sum((rows @ self.joint) * rows, axis=1)).reshape(self.model.shape)

    def fc(self, channel: str = "r") -> Values:
        """Functional connectivity: correlations (n, n) of a `channel` between nodes, zero lag."""
        found = jnp.atleast_2d(self.cov(channel))
        sigma = jnp.sqrt(jnp.diagonal(found))
        return (found / (sigma[:, None] * sigma[None])).reshape(self.model.shape * 2)

    @nan_is_absent
    @with_one_thread
    def lagged(self, lags: Any, channel: str = "r") -> Values:
        """⟨x_i(t + lag) x_j(t)⟩ of a `channel`, (l, n, n), or (l,) for a population, at the `lags` (l,), in time, of either
        sign."""
        times = as_array(lags)
        require("lags", lags, "be numbers (l,)", isinstance(times, jax.Array) and times.ndim == 1)
        if is_concrete(times):
            require_each("lags", times, "be finite, without NaN", np.isfinite(np.asarray(times)))
        rows, times = self._rows(channel), times.astype(self.A.dtype)
        if self.linear is None:
            return self._shaped(_lagged(self.A, self.joint, rows, times))
        found = lagged(self._fluctuating(), rows, times, self.points)
        return self._shaped(jnp.where(self._stable, found, jnp.nan))

    @nan_is_absent
    @with_one_thread
    def cross_spectra(self, frequencies: Any, channel: str = "r") -> ComplexValues:
        """S(f) = ∫ ⟨x_i(t + s) x_j(t)⟩ e^(−2πifs) ds of a `channel`, (f, n, n) complex, two-sided, at `frequencies` (f,)
        in cycles per time; (f,), for a population."""
        f, m = as_frequencies(frequencies, self.A.dtype), self.covariance.shape[0]
        model: Any = self.model
        noise: Any = self.noise
        coloured = isinstance(noise, OrnsteinUhlenbeck)
        B = self.A[:m, m:] if coloured else self.B
        T = _transfer(model.tilted(self.current), self.state, self._rows(channel)[:, :m], self.A[:m, :m], B, f)
        found = _spectra(T, self.P, f, noise.correlation_time if coloured else None)
        return self._shaped(jnp.where(self._stable, found, jnp.nan))

    def spectrum(self, frequencies: Any = None, channel: str = "r") -> Values:
        """Power spectrum of a `channel`, (f, n) or (f,), two-sided: ∫ S df over all f is the variance. At `frequencies`
        (f,), or those of the attribute."""
        f = self.frequencies if frequencies is None else frequencies
        found = jnp.real(self.cross_spectra(f, channel))
        return jnp.diagonal(found, axis1=1, axis2=2) if found.ndim == 3 else found

    @nan_is_absent
    def coherence(self, frequencies: Any, channel: str = "r") -> Values:
        """|S_ij|²/(S_ii S_jj) of a `channel`, (f, n, n), at `frequencies` (f,), in cycles per time; 1 for a population."""
        S = self.cross_spectra(frequencies, channel)
        if S.ndim == 1:
            return jnp.ones(S.shape, self.A.dtype)
        power = jnp.real(jnp.diagonal(S, axis1=1, axis2=2))
        return (S.real**2 + S.imag**2) / (power[:, :, None] * power[:, None])

    @property
    def frequencies(self) -> Values:
        """201 frequencies, from 0 to four times Rice's of the fastest node, √(⟨ṙ²⟩/⟨r²⟩)/2π."""
        rows = self._rows(self._first)
        slopes = rows @ self.A
        square = jnp.sum((slopes @ self.joint) * slopes, axis=1) / jnp.sum((rows @ self.joint) * rows, axis=1)
        top = jax.lax.stop_gradient(_TOP * jnp.sqrt(jnp.max(square)) / (2 * jnp.pi))
        return jnp.where(jnp.isfinite(top), top, 1) * jnp.linspace(0, 1, _POINTS, dtype=self.A.dtype)

    @property
    def relative(self) -> Values:
        """σ_r/r of every node, (n,) or (): the measure of how linear it is."""
        return self.deviation("r") / self.state.r

    @property
    @nan_is_absent
    def saddle_distance(self) -> Scalar:
        """(r_saddle − r)/σ_r of one population with a saddle, in standard deviations: how far the nearest way out is. NaN
        for networks and without another state."""
        model: Any = self.model
        if model.size is not None or "resting" not in model.offers:
            return jnp.asarray(jnp.nan, self.A.dtype)
        found = find_equilibria(model.tilted(self.current))
        away = jnp.abs(found.state.r - self.state.r)
        unstable = jnp.isfinite(found.state.r) & ~found.stable & (away > 0)
        return jnp.min(jnp.where(unstable, away, jnp.inf)) / self.deviation("r")

    @property
    def verdict(self) -> str:
        """How far it is to be trusted, in words, by what was measured (docs/theory.md §E)."""
        most, away = float(jnp.max(self.relative)), float(self.saddle_distance)
        if self.unit:
            D = (_WEAK / most) ** 2
            return f"unit intensity, all is per D: σ_r/r ≤ {_WEAK}, where variances are right to 5 %, up to D = {D:.3g}"
        if away < _AWAY:
            return f"the saddle is {away:.2g} standard deviations away: the state is left soon (see `escape_rate`)"
        if most <= _STRONG:
            off = "5 %" if most <= _WEAK else "20 %"
            return f"σ_r/r up to {most:.2g}: variances right to {off} in most states, as measured"
        return f"σ_r/r up to {most:.2g}: not linear, rare bursts of firing can exceed all of this; simulate"

    def to_xarray(self) -> Any:
        """An `xarray.Dataset`: the covariance over variables, and nodes of a network, correlations and spectra of the rate
        (extra `data`)."""
        names, n = list(self.variables), self.model.size
        nodes = () if n is None else ("node",)
        others = tuple(f"{each}_other" for each in nodes)
        shape = (len(names), *self.model.shape, len(names), *self.model.shape)
        f = self.frequencies
        unit = {"units": "1/time (that of tau)"}
        long = lambda what, **more: {"long_name": what, **more}
        data = {
            "covariance": (
                ("variable", *nodes, "variable_other", *others),
                np.asarray(self.covariance).reshape(shape),
                long("stationary covariance", units="product of the variables' units"),
            ),
            "spectrum": (
                ("frequency", *nodes),
                np.asarray(self.spectrum(f)),
                unit | long("two-sided power spectrum of the rate"),
            ),
            "rate": (nodes, np.asarray(self.state.r), unit | long("firing rate")),
            "deviation": (nodes, np.asarray(self.deviation()), unit | long("standard deviation of the rate")),
        }
        coords: dict[str, Any] = {
            "frequency": ("frequency", np.asarray(f), unit),
            "variable": names,
            "variable_other": names,
        }
        if n is not None:
            data["fc"] = (("node", "node_other"), np.asarray(self.fc()), long("correlation of the rates", units="1"))
            coords |= {"node": ("node", self.model.labels), "node_other": ("node_other", self.model.labels)}
        attrs = {**attributes_of(self.model, "model"), "choice": self.choice, "noise": repr(self.noise)}
        attrs["result"] = RESULTS[self.result] or "successful"
        return xarray().Dataset(data, coords=coords, attrs=attrs | software())

    @nan_is_absent
    def __str__(self) -> str:
        rows = [
            f"Linear response of {describe(self.model)}",
            f"  to {self.noise!r}{', the unit of the default' * self.unit}",
        ]
        if message := RESULTS[self.result]:
            return "\n".join([*rows, f"  {message}"])
        r, sigma = np.ravel(self.state.r), np.ravel(self.deviation())
        slowest = complex(self.eigenvalues[0])
        turn = f" ± {abs(slowest.imag):.4g}i" if slowest.imag else ""
        if self.model.size is None:
            rows += [f"  {self.choice}: r = {r[0]:.6g} ± {sigma[0]:.3g}, slowest eigenvalue {slowest.real:.4g}{turn}"]
            away = float(self.saddle_distance)
            rows += [f"  the saddle is {away:.3g} standard deviations away"] * bool(np.isfinite(away) and not self.unit)
        else:
            rows += [
                f"  {self.choice}: r from {r.min():.5g} to {r.max():.5g}, slowest eigenvalue {slowest.real:.4g}{turn}",
                f"  standard deviations of r from {sigma.min():.3g} to {sigma.max():.3g}",
            ]
            pairs = np.asarray(self.fc())[np.triu_indices(r.size, 1)]
            if pairs.size:
                rows += [f"  correlations of r from {pairs.min():.3f} to {pairs.max():.3f}, {pairs.mean():.3f} in the mean"]
        if self.error is not None and float(self.error) > _RESOLVED:
            rows.append(f"  not resolved: covariances changed by {float(self.error):.1g} as frequencies were doubled")
        return "\n".join([*rows, f"  {self.verdict}"])

    def __repr__(self) -> str:
        if not is_concrete(self.covariance):
            return f"LinearResponse of shape {self.covariance.shape}"
        return str(self)

    def _fluctuating(self) -> Fluctuating:
        noise: Any = self.noise
        assert self.linear is not None
        return fluctuating(self.linear, self.P, noise.correlation_time if isinstance(noise, OrnsteinUhlenbeck) else None)

    @property
    def _stable(self) -> Any:
        return self.result == RESULTS.successful

    @property
    def _first(self) -> str:
        return "r" if "r" in self.variables else self.variables[0]

    def _rows(self, channel: str) -> Values:
        """∂(channel)/∂x, (n, k)."""
        known = (*self.variables, *self.model.channels(self.state, self.current))
        require("channel", channel, f"be one of {', '.join(f'`{each}`' for each in known)}", channel in known)
        if channel in self.variables:
            n = self.P.shape[0]
            place = self.variables.index(channel) * n
            return jnp.asarray(np.eye(n, self.A.shape[0], place), self.A.dtype)
        flat, back = ravel_pytree(self.state)
        rows = jax.jacfwd(lambda x: jnp.ravel(self.model.channels(back(x), self.current)[channel][0]))(flat)
        return jnp.pad(rows, ((0, 0), (0, self.A.shape[0] - flat.size)))

    def _shaped(self, found: Any) -> Any:
        """Matrices of a population as numbers."""
        return found[..., 0, 0] if self.model.size is None else found


@jitted
def _lagged(A: Values, joint: Values, rows: Values, lags: Values) -> Values:
    def one(lag: Values) -> Values:
        found = rows @ (jax.scipy.linalg.expm(A * jnp.abs(lag)) @ (joint @ rows.T))
        return jnp.where(lag < 0, found.T, found)

    return jax.lax.map(one, lags)


@jitted
def _spectra(T: ComplexValues, P: Values, f: Values, correlation_time: Scalar | None) -> ComplexValues:
    found = T @ P.astype(T.dtype)[None] @ jnp.conj(T.mT)
    if correlation_time is None:
        return found
    return found / (1 + (2 * jnp.pi * f * correlation_time) ** 2)[:, None, None].astype(T.dtype)


@jitted
def _transfer(model: Any, y: State, rows: Values, A: Values, B: Values, f: Values) -> ComplexValues:
    """T (f, n, n): the response of a channel to inputs at the frequencies f (f,).

    Nodes that see each other through currents only, x_i = h_i(ω) (I_i + Σ_j W_ij s_j) and s_i the same with another h, need
    systems of n unknowns only: T = diag(h) (1 − W diag(s))⁻¹.
    """
    dtype = np.result_type(A.dtype, np.complex64)
    if model.size is None or model.reversal is not None:
        return rows.astype(dtype)[None] @ resolvent(A, B, f)
    n = model.size
    nodes, received = model.nodes(), model.apply(model.sent(y))
    local = jax.vmap(jacobian)(nodes, y, received)
    into = jnp.diagonal(B.reshape(-1, n, n), axis1=1, axis2=2).T
    out = jnp.diagonal(rows.reshape(n, -1, n), axis1=0, axis2=2).T
    sends = jax.vmap(lambda node, y: jax.jacfwd(lambda x: node.sent(ravel_pytree(y)[1](x)))(ravel_pytree(y)[0]))(nodes, y)
    both = jnp.stack([out, sends], axis=1)
    h = jax.vmap(lambda a, b, c: c.astype(dtype)[None] @ resolvent(a, b[:, None], f))(local, into, both)[..., 0]  # (n, f, 2)
    W, delays = model.coupling.dense().astype(dtype), model.coupling.delays()

    def one(each: tuple[ComplexValues, Values]) -> ComplexValues:
        h, f = each
        late = W if delays is None else W * jnp.exp(jax.lax.complex(0 * delays, -2 * jnp.pi * f * delays)).astype(dtype)
        loop = jnp.eye(n, dtype=dtype) - late * h[None, :, 1]
        return h[:, :1] * jnp.linalg.inv(loop)

    return jax.lax.map(one, (jnp.swapaxes(h, 0, 1), f), batch_size=_AT_ONCE)


@nan_is_absent
@with_one_thread
@takes_model
def linear_response(
    model: Any, noise: NoiseLike | None = None, *, guess: StateLike | None = None, I: Real = 0.0
) -> LinearResponse:
    """Covariances, functional connectivity and spectra around a stable fixed point, exact to first order in the noise.

        A X + X Aᵀ + B P Bᵀ = 0,    S(f) = T P Tᴴ,  T = (2πif − A)⁻¹ B,    ⟨x(t + s) xᵀ(t)⟩ = e^(As) X for s ≥ 0

    A the Jacobian, B the derivative of the vector field by the input I, P = 2 D τ of white noise, τ dv/dt = … + √(2D)
    ξ(t/τ); the currents of coloured noise are variables of their own. Use it for what a resting brain does under noise, in
    place of a long simulation: functional connectivity of 90 nodes in a fraction of a second, with derivatives. With delays
    T(f) has them, and X = ∫ S df, over as many frequencies as it takes.

    - `model`: an MPR population, slow terms and synapses included, or a network of them, also with delays
    - `noise`: an intensity D, one number or one per node (n,), `WhiteNoise`, also shared by all nodes, or
      `OrnsteinUhlenbeck`; None (the default) for D = 1 at every node, independent, so that covariances are per D
    - `guess`: a state near the fixed point. By default the stable state of lowest rate, of a network that which is reached
      from its nodes' lowest ones; the result's `choice` says so
    - `I`: constant input, in units of η

    Returns a `LinearResponse`; differentiable by parameters, weights and noise, in either mode. How far the noise is from
    weak, its `verdict` says. Raises `ValueError` for other noise (`power_spectrum` knows that of a finite number of
    neurons), models without an exactly solvable part, and networks of conductances without a `guess`. Source: docs/theory.md
    §E; Gardiner, Stochastic Methods, §4.4.6.
    """
    return response(model, noise, guess, I, None)


def response(model: Any, noise: NoiseLike | None, guess: StateLike | None, I: Real, refine: Any) -> LinearResponse:
    """`linear_response`, for delays by `refine` times the frequencies with which it begins, not until nothing changes."""
    refuse_spikes(model)
    given: Any = model
    require_offer(given.undelayed() if isinstance(given, AbstractModel) else given, "splitting", also=", for noise")
    unit = noise is None
    law: Any = as_noise(1.0 if noise is None else noise)
    rule = "be white or Ornstein–Uhlenbeck noise of the input (`power_spectrum` knows that of a finite number of neurons)"
    require("noise", repr(law), rule, isinstance(law, WhiteNoise | OrnsteinUhlenbeck))
    D, shape = law.intensity, model.shape
    rule = f"be a number{f' or of shape {shape}' if shape else ''}"
    require("noise", D, rule, D.ndim == 0 or D.shape == shape)
    if is_concrete(D):
        require("noise", D, "be > 0 somewhere", bool(np.any(np.asarray(D) > 0)))
    dtype = dtype_of(model)
    law, current = with_dtype(law, dtype), as_number("I", I).astype(dtype)
    y, choice = stable_state(model.tilted(current), guess, highest=False)
    late = _late(model.tilted(current), y) if "delays" in model.offers else None
    A, B, P, joint, error, points = _around(model.tilted(current), law, y, late, refine)
    found, m = jnp.isfinite(jnp.sum(y.values[0])), ravel_pytree(y)[0].size
    stable = jnp.isfinite(jnp.sum(joint))
    code = RESULTS.where(stable, RESULTS.successful, RESULTS.unstable_state)  # pyright: ignore[reportArgumentType]
    return LinearResponse(
        model=model,
        noise=law,
        state=y,
        covariance=joint[:m, :m],
        A=A,
        B=B,
        P=P,
        joint=joint,
        result=RESULTS.where(found, code, RESULTS.no_fixed_point),  # pyright: ignore[reportArgumentType]
        current=current,
        choice=choice,
        unit=unit,
        linear=late,
        error=error,
        points=points,
    )


@jax.jit
def _leading(linear: Delayed) -> ComplexValues:
    return leading_roots(linear)


@jitted
def _late(model: Any, y: State) -> Delayed:
    return linearized_with_delays(model, y)


@jitted
def _around(model: Any, noise: WhiteNoise | OrnsteinUhlenbeck, y: State, late: Delayed | None, refine: Any) -> Any:
    """(A, B, P, joint, error, points) of a `LinearResponse` at the fixed point `y`."""
    n, zero = y.values[0].size, jnp.zeros_like(y.values[0])
    now = model.undelayed()
    A = jacobian(model, y) if late is None else late.present()
    B = jax.jacfwd(lambda I: ravel_pytree(now.vector_field(zero, y, I))[0])(zero).reshape(-1, n)
    tau = jnp.broadcast_to(model.tau, zero.shape).reshape(n)
    D = jnp.broadcast_to(noise.intensity, zero.shape).reshape(n)
    eye = jnp.eye(n, dtype=A.dtype)
    P = jnp.sqrt(jnp.outer(2 * D * tau, 2 * D * tau)) if noise.shared else jnp.diag(2 * D * tau)
    coloured = noise.correlation_time if isinstance(noise, OrnsteinUhlenbeck) else None
    if coloured is not None:
        rate = 1 / coloured
        A = jnp.block([[A, B], [jnp.zeros_like(B.T), -rate * eye]])
        B = jnp.concatenate([jnp.zeros_like(B), rate * eye])
    if late is not None:
        return A, B, P, *covariance(fluctuating(late, P, coloured), refine)
    return A, B, P, solve_lyapunov(A, B @ P @ B.T), jnp.zeros((), A.dtype), None
