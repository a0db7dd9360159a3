"""Power spectra of the rates of finite populations."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._blas import with_one_thread
from .._checks import as_array, as_frequencies, require, require_each
from .._labelled import attributes_of, software, xarray
from .._nan import nan_is_absent
from .._parameter import as_number, as_plain_number, describe
from .._results import RESULTS, Shown
from .._types import ComplexValues, Real, Values, is_concrete
from ..equilibria.stability import eigenvalues
from ..landscape.landscapes import stable_state
from ..models.base import AbstractModel, takes_model
from ..models.noise import CauchyNoise, WhiteNoise
from ..models.state import State, StateLike
from ..numerics.compiling import jitted
from ..numerics.quadrature import panels
from .fluctuations import Loop, loop_at, require_spikes

_POINTS = 801
_HARMONICS = 4  # shown, of the frequency √|x|/π
_FLAT = 64  # the same, beyond which spectra are flat


class PowerSpectrum(eqx.Module, Shown):
    """Finite-size fluctuations of the firing rate around a stable fixed point, two-sided in the frequency.

    - `model`, `size`, `noise`: the model, N of every population, and the neurons' own Cauchy noise, or None
    - `state`: the fixed point; `choice`: which one, in words; `eigenvalues` (m,): of its Jacobian
    - `frequencies` (f,): in cycles per time; `spectrum` (f,) or (f, nodes): of the coupled populations' rates, in (1/time)²
      per frequency, 1/time; `bare`: the same of the neurons without coupling, at the drives of this state
    - `rate`: r, () or (nodes,); a Poisson train would have the flat spectrum r/N
    - `result`: a `RESULTS` code: `no_fixed_point` near the guess, or `unstable_state`, where fluctuations grow; then
      spectra are NaN
    - `loop`: the linearised equations and the neurons' drives, from which `at` computes other frequencies

    Print it for a summary, `to_xarray()` for labelled data, `nmm.plot.power_spectrum(result)` for a picture.
    """

    model: AbstractModel
    size: Values
    noise: CauchyNoise | None
    state: State
    eigenvalues: ComplexValues
    frequencies: Values
    spectrum: Values
    bare: Values
    result: RESULTS
    loop: Loop
    choice: str = eqx.field(static=True)

    @property
    def rate(self) -> Values:
        """r of the state, per unit of time."""
        return self.state.r

    @property
    def poisson(self) -> Values:
        """r/N, the spectrum of Poisson trains of the same rate, and of the population at high frequencies."""
        return self.rate / self.size

    def at(self, frequencies: Any) -> tuple[Values, Values]:
        """(coupled, bare) at other `frequencies` (f,), in cycles per time: by the closed form, as `spectrum` and `bare`."""
        f = as_frequencies(frequencies, self.rate.dtype)
        found = self.loop.spectra(f)
        stable = self.result == RESULTS.successful
        return jax.tree.map(lambda each: jnp.where(stable, each.reshape(f.shape + self.rate.shape), jnp.nan), found)

    @property
    def fano(self) -> Values:
        """Variance over mean of the number of the population's spikes in long windows, N S(0)/r: 1 for Poisson trains. 0 for
        periodic neurons, whose windows differ by a spike each at most."""
        return jnp.maximum(self.at(jnp.zeros(1))[0][0], 0) / self.poisson  # rounding may make less than 0 of 0

    @property
    def cv(self) -> Values:
        """Coefficient of variation of the intervals of a neuron at the drives of this state, √(bare S(0) N/r), in the mean
        over neurons: of the square, weighted by their rates. √(arg(x + iΓ)/π) for neurons of one drive x; 0 for periodic
        neurons."""
        return jnp.sqrt(jnp.maximum(self.at(jnp.zeros(1))[1][0], 0) / self.poisson)

    def white_noise(self) -> WhiteNoise:
        """The white noise that stands for the shot noise where all is slow beside the neurons: J ξ with S(0), D = J² τ r
        F/(2N), F the bare Fano factor.

        Raises `ValueError` for periodic neurons, which have no such part (S(0) = 0; see `ShotNoise`), for networks, and for
        models with slow terms. At a focus it is wrong by orders of magnitude: the resonance is not where S is S(0).
        """
        rule = "be given: periodic neurons have no white part, S(0) = 0, and do not escape as if they had (§B3)"
        require("noise", self.noise, rule, self.noise is not None)
        model: Any = self.model
        require("model", model, "be one population without slow terms", model.size is None and not model.slow_names)
        return WhiteNoise(model.J**2 * model.tau * self.rate * self.cv**2 / (2 * self.size))

    @nan_is_absent
    def window_deviation(self, T: Real) -> Values:
        """Standard deviation of the rate counted in windows of the length `T`: √∫ S(f) sinc²(f T) df, with sinc x =
        sin(πx)/(πx); (), or (nodes,). `T`: a time > 0, in the unit of τ."""
        T = as_plain_number("T", T, "(0, inf)")
        fast = float(jnp.max(_fundamental(self.loop)))
        slow = max(float(jnp.min(jnp.abs(jnp.real(self.eigenvalues)))) / (2 * np.pi), 1e-3 * fast)
        last = 20 / T
        ends = [np.arange(0.0, _FLAT * fast, min(slow, fast / 16)), np.arange(0.0, min(last, _FLAT * fast), 0.5 / T)]
        f, weights = panels(np.unique(np.concatenate(ends)))
        # Beyond many windows sin² is ½ in the mean.
        window = np.where(f < last, np.sinc(f * T) ** 2, 0.5 / (np.pi * f * T) ** 2)
        more = np.resize(f.ravel(), 2 ** int(np.ceil(np.log2(f.size))))  # few sizes, few compilations
        beyond = np.asarray(self.at(more)[0])[: f.size] - np.asarray(self.poisson)
        moved = np.tensordot((weights * window).ravel(), beyond, axes=1)
        return jnp.sqrt(self.poisson / T + 2 * jnp.asarray(moved, self.rate.dtype))

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over the frequencies, and the nodes of a network (extra `data`)."""
        dims = ("frequency", "node")[: self.spectrum.ndim]
        unit = {"units": "1/time (that of tau)"}
        data = {
            "spectrum": (dims, np.asarray(self.spectrum), unit | {"long_name": "power spectrum of the rate"}),
            "bare": (dims, np.asarray(self.bare), unit | {"long_name": "power spectrum of the rate without coupling"}),
            "rate": (dims[1:], np.asarray(self.rate), unit | {"long_name": "firing rate"}),
            "size": (dims[1:], np.broadcast_to(self.size, self.rate.shape), {"units": "1", "long_name": "neurons"}),
        }
        coords: dict[str, Any] = {"frequency": ("frequency", np.asarray(self.frequencies), unit)}
        if self.model.labels is not None:
            coords["node"] = ("node", self.model.labels)
        attrs = {**attributes_of(self.model, "model"), "choice": self.choice}
        attrs["result"] = RESULTS[self.result] or "successful"
        if self.noise is not None:
            attrs["noise_width"] = float(self.noise.width)
        return xarray().Dataset(data, coords=coords, attrs=attrs | software())

    @nan_is_absent
    def __str__(self) -> str:
        sizes = np.unique(np.asarray(self.size))
        neurons = f"{sizes[0]:.0f}" if sizes.size == 1 else f"{sizes[0]:.0f} … {sizes[-1]:.0f}"
        of = "" if self.noise is None else f", each with {self.noise!r}"
        rows = [f"Power spectrum of {neurons} neurons of {describe(self.model)}{of}"]
        if message := RESULTS[self.result]:
            return "\n".join([*rows, f"  {message}"])
        if self.rate.ndim:
            rows += [f"  {self.choice}: r from {np.min(self.rate):.5g} to {np.max(self.rate):.5g}"]
        else:
            rows += [f"  {self.choice}: r = {float(self.rate):.6g}, λ = {_number(self.eigenvalues[0])}"]
        labels = [""] if self.model.labels is None else [f"{each}: " for each in self.model.labels.tolist()]
        spectra = np.asarray(self.spectrum).reshape(self.frequencies.size, -1)
        for k in range(min(len(labels), 4)):
            top = int(np.argmax(spectra[:, k]))
            over = spectra[top, k] / np.ravel(self.poisson)[k]
            rows += [
                f"  {labels[k]}peak at f = {self.frequencies[top]:.4g}, {over:.3g} times Poisson's r/N; "
                f"Fano factor {np.ravel(self.fano)[k]:.3g}, CV of a neuron {np.ravel(self.cv)[k]:.3g}"
            ]
        return "\n".join(rows + ["  …"] * (len(labels) > 4))

    def __repr__(self) -> str:
        if not is_concrete(self.spectrum):
            return f"PowerSpectrum of shape {self.spectrum.shape}"
        return str(self)


def _number(value: Any) -> str:
    real, imag = float(np.real(value)), float(np.imag(value))
    return f"{real:.4g} ± {abs(imag):.4g}i" if imag else f"{real:.4g}"


@nan_is_absent
@with_one_thread
@takes_model
def power_spectrum(
    model: Any,
    size: Any,
    *,
    noise: Any = None,
    guess: StateLike | None = None,
    frequencies: Any = None,
    I: Real = 0.0,
) -> PowerSpectrum:
    """Spectrum of the firing rate of N neurons around a fixed point of their mean field, in closed form.

    Spikes are R = r + ξ, and only what they are sent to sees ξ. Around a fixed point, with λ = 2πif − 2v (τ = 1):

        S_R(f) = S_ξ(f)/N · |(λ² + 4π²r²)/(λ² + 4π²r² − 2rJ H(2πif))|²

    H the transfer function of a synapse, if there is one; networks by the same linearisation, each population with a shot
    noise of its own. S_ξ of periodic neurons whose drives have the density g around x = η + J r is Σ_m (f²/m³) p(f/m), p(ν)
    = 2π²ν g(π²ν²); it vanishes like f³ as f → 0. With Cauchy noise of half-width Γ per neuron, κ = √(x − iΓ), z = πf/κ and ψ
    the digamma function,

        S_ξ(f) = (Re κ/π) {arg(x + iΓ) − Im[ψ(1 + z) + ψ(1 − z)]}/π

    for one x, and the mean of that over g, exactly. To leading order in 1/N: right to a few percent at N = 1000, and less so
    at a sharp resonance. Use it for what finite size does to a state: lines, Fano factors, errors of counted rates
    (`window_deviation`).

    - `model`: an MPR population, of any `heterogeneity`, slow terms and a synapse included, or a network of Lorentzian ones
    - `size`: N, the number of neurons of every population, one number or one per node, (n,)
    - `noise`: `CauchyNoise(Γ)` of every neuron; None (the default) for periodic neurons
    - `guess`: a state near the fixed point. By default, for one population, the stable state of the highest rate; the
      result's `choice` says so. Networks need it
    - `frequencies` (f,): ≥ 0, in cycles per unit of time; by default 801 from 0 to four times that of a neuron in the centre
    - `I`: constant input, in units of η

    Returns a `PowerSpectrum`; differentiable, also in N. Raises `ValueError` for gap junctions and heterogeneous couplings,
    for networks of conductances, and for identical neurons without noise, whose spectrum is lines. Source: docs/theory.md
    §B1, §B2; Klinshov & Kirillov, Phys. Rev. E 106:L062302 (2022) for the idea.
    """
    require_spikes(model)
    require("noise", repr(noise), "be None or `CauchyNoise(…)`", noise is None or isinstance(noise, CauchyNoise))
    if noise is not None and is_concrete(noise.width) and float(noise.width) == 0:
        noise = None
    numbers = as_size(size, model)
    nodes = model if model.size is None else model.node
    if noise is None and is_concrete(nodes.Delta):
        rule = "be > 0, or `noise` be given: the spectrum of identical periodic neurons is lines"
        require("Delta", nodes.Delta, rule, bool(np.all(np.asarray(nodes.Delta) > 0)))
    tilted = model.tilted(as_number("I", I).astype(nodes.eta.dtype))
    spread = tilted if noise is None else noise.split(tilted)[0]
    y, choice = stable_state(spread, guess, highest=True)
    loop, values, stable, top = around(tilted, spread, y, None if noise is None else noise.width, numbers)
    found = jnp.isfinite(jnp.sum(y.r))
    if frequencies is None:
        f = _HARMONICS * jax.lax.stop_gradient(top) * jnp.linspace(0, 1, _POINTS, dtype=y.r.dtype)
    else:
        f = as_frequencies(frequencies, y.r.dtype)
    coupled, bare = (jnp.where(found & stable, each.reshape(f.shape + y.r.shape), jnp.nan) for each in loop.spectra(f))
    code = RESULTS.where(stable, RESULTS.successful, RESULTS.unstable_state)  # pyright: ignore[reportArgumentType]
    return PowerSpectrum(
        model=model,
        size=numbers,
        noise=noise,
        state=y,
        eigenvalues=values,
        frequencies=f,
        spectrum=coupled,
        bare=bare,
        result=RESULTS.where(found, code, RESULTS.no_fixed_point),  # pyright: ignore[reportArgumentType]
        loop=loop,
        choice=choice,
    )


@jitted
def around(model: Any, spread: Any, y: State, Gamma: Any, size: Values) -> tuple[Loop, ComplexValues, Any, Values]:
    """The loop at the fixed point, eigenvalues there whether it is stable, and the highest of the neurons' frequencies."""
    loop = loop_at(model, spread, y, None if Gamma is None else Gamma.astype(y.r.dtype), size.astype(y.r.dtype))
    known = jnp.isfinite(jnp.sum(y.r))
    values = eigenvalues(jnp.where(known, loop.A, jnp.eye(loop.A.shape[0], dtype=loop.A.dtype)))
    return loop, values, jnp.all(jnp.real(values) < 0), jnp.max(_fundamental(loop))


def as_size(size: Any, model: Any) -> Values:
    """N as a number, or one per node of the model, of any network if it isn't known yet."""
    array = as_array(size)
    shape = () if model is None else model.shape
    rule = "be a whole number ≥ 1" + (f", or one per node, {shape}" if shape else "")
    fits = isinstance(array, jax.Array) and (array.shape in ((), shape) or (model is None and array.ndim == 1))
    require("size", size, rule, fits)
    if is_concrete(array):
        numbers = np.asarray(array)
        require_each("size", numbers, rule, (numbers >= 1) & (numbers == np.round(numbers)))
    return array


def _fundamental(loop: Loop) -> Values:
    """√|x|/π over τ of every population: the rate of a neuron in the centre, or what stands for it."""
    width = jnp.zeros_like(loop.tau) if loop.drives.Gamma is None else loop.drives.Gamma
    center = loop.drives.poles - jax.lax.complex(jnp.zeros_like(width), width)[:, None]
    return jnp.sqrt(jnp.max(jnp.abs(center), axis=1)) / (jnp.pi * loop.tau)
