"""Noise on the input of a population: its law, not how it is drawn."""

import abc
import dataclasses
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from .._checks import as_array, require
from .._parameter import as_number, check_parameters, declared, parameter
from .._results import Shown
from .._types import Scalar, Values, is_concrete
from .base import require_offer


class AbstractNoise(eqx.Module, Shown):
    """Random input, in units of η. `simulate(..., noise=...)` takes one, or a number D for `WhiteNoise(D)`."""

    @abc.abstractmethod
    def split(self, model: Any) -> tuple[Any, "AbstractNoise | None"]:
        """(model, noise): the model with its parameters changed by the noise, and the part of the noise that remains to be
        drawn."""

    def drawn(self, model: Any, y0: Any, before: "AbstractNoise | None") -> "AbstractNoise":
        """The noise as runs of `model` from the state `y0` draw it, or as the run that they go on from did, `before`: by
        default itself."""
        del model, y0, before
        return self

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        shown = [f"{name}={_short(value)}" for name, value in values.items() if value is not False]
        return f"{type(self).__name__}({', '.join(shown)})"


def _short(value: object) -> str:
    number = isinstance(value, jax.Array) and value.ndim == 0 and is_concrete(value)
    return f"{value:g}" if number else "…" if isinstance(value, jax.Array) else repr(value)


class WhiteNoise(AbstractNoise):
    """White noise common to all neurons of a population: τ dv/dt = … + √(2D) ξ(t/τ).

    - `intensity`: D ≥ 0, a number, or an array (n,) with one value per node of a network
    - `shared`: whether all nodes of a network get the same path; by default each has its own

    Without gap junctions and conductances the stationary law of one population is exactly Boltzmann's at the temperature
    T = π D/Δ (`boltzmann`). Raises `ValueError` for D < 0, NaN. Source: docs/theory.md §7.
    """

    intensity: Values
    shared: bool = eqx.field(static=True)

    def __init__(self, intensity: Any, shared: bool = False):
        self.intensity = _per_node("intensity", intensity)
        require("shared", shared, "be True or False", isinstance(shared, bool))
        self.shared = shared

    def split(self, model: Any) -> tuple[Any, AbstractNoise]:
        return model, self


class OrnsteinUhlenbeck(AbstractNoise):
    """Coloured noise common to all neurons of a population: τ dv/dt = … + x(t), ⟨x(t) x(t′)⟩ = (D τ/τ_c) exp(−|t − t′|/τ_c).

        τ_c dx/dt = −x + √(2 D τ) ξ(t)

    - `intensity`: D ≥ 0, a number or one per node; the same D as white noise's, its limit for τ_c → 0
    - `correlation_time`: τ_c > 0, in the unit of τ
    - `shared`: whether all nodes of a network get the same path

    x starts from its stationary law. No exact stationary law of (r, v) is known. Raises `ValueError` for D < 0, τ_c ≤ 0.
    Source: Uhlenbeck & Ornstein, Phys. Rev. 36:823 (1930); exact steps: Gillespie, Phys. Rev. E 54:2084 (1996).
    """

    intensity: Values
    correlation_time: Scalar
    shared: bool = eqx.field(static=True)

    def __init__(self, intensity: Any, correlation_time: Any, shared: bool = False):
        self.intensity = _per_node("intensity", intensity)
        self.correlation_time = as_number("correlation_time", correlation_time, "(0, inf)")
        require("shared", shared, "be True or False", isinstance(shared, bool))
        self.shared = shared

    def split(self, model: Any) -> tuple[Any, AbstractNoise]:
        return model, self


@declared
class CauchyNoise(AbstractNoise):
    """Independent Cauchy white noise of every neuron, of half-width Γ: the equations with Δ → Δ + Γ, exactly; with several
    poles those with Δ z_k → Δ z_k − iΓ.

    - `width`: half-width Γ ≥ 0, in units of η

    The mean field stays deterministic: `simulate` needs no key and uses its adaptive solvers. Raises `ValueError` for Γ
    < 0. Source: Clusella & Montbrió, Phys. Rev. E 109:014229 (2024).
    """

    width: Scalar = parameter(symbol="Γ", bounds="[0, inf)", doc="half-width of the individual noise")

    def __check_init__(self) -> None:
        check_parameters(self)

    def split(self, model: Any) -> tuple[Any, AbstractNoise | None]:
        if "spikes" in model.offers:  # neurons draw it
            return model, self
        if "resting" in model.offers and "riccati" not in model.offers:  # several poles, which all move down
            return model.broadened(self.width), None
        require_offer(model, "riccati", also=", for Cauchy noise")
        where = (lambda each: each.Delta) if model.size is None else (lambda each: each.node.Delta)
        return eqx.tree_at(where, model, where(model) + self.width.astype(where(model).dtype)), None


class GaussianNoise(AbstractNoise):
    """Independent Gaussian white noise of every neuron: τ dV_j/dt = V_j² + η_j + … + √(2D) ξ_j(t/τ).

    - `intensity`: D ≥ 0 in dimensionless time t/τ, a number, or an array (n,) with one value per node of a network

    Networks of neurons (`QIFNetwork`) draw it. No mean field takes it exactly, unlike `CauchyNoise`: the exact law is known
    for the stationary rate only. Raises `ValueError` for D < 0, NaN. Source: Brunel & Latham, Neural Comput. 15:2281 (2003).
    """

    intensity: Values

    def __init__(self, intensity: Any):
        self.intensity = _per_node("intensity", intensity)

    def split(self, model: Any) -> tuple[Any, AbstractNoise]:
        others = "use a `QIFNetwork`, or the closures `PseudoCumulants` and `CircularCumulants`"
        rule = f"be other than Gaussian noise of each neuron, which no mean field takes exactly ({others})"
        require("noise", repr(self), rule, "spikes" in model.offers)
        return model, self


class Resonators(AbstractNoise):
    """Coloured noise of the rates that are received: ξ = d w(t) + Re Σ_k g_k x_k, dx_k/dt = a_k x_k + w(t), one white
    noise w of spectrum 1 per population, in time t/τ. `ShotNoise` becomes it.

    - `decay`, `omega` (…, k): −Re a and Im a; `gain_real`, `gain_imag` (…, k): g; `direct` (…): d, for a population or (n,)
    - `root` (…, 2k, 2k): of the stationary covariance of (Re x_1, Im x_1, Re x_2, …)
    - `intensity` (…): of white noise on v that is about as strong; `misfit` (…): rms deviation of the spectrum, over its
      level at high frequencies; `state_rate` (…): r of the state whose spectrum it is
    - `what`: where it comes from, in words; `origin`: the same with model, sizes and `near`, told from others
    """

    decay: Values
    omega: Values
    gain_real: Values
    gain_imag: Values
    direct: Values
    root: Values
    intensity: Values
    misfit: Values
    state_rate: Values
    what: str = eqx.field(static=True)
    origin: str = eqx.field(static=True)
    shared: ClassVar[bool] = False

    def split(self, model: Any) -> tuple[Any, AbstractNoise]:
        return model, self

    def __repr__(self) -> str:
        rates = np.unique(np.round(np.asarray(self.state_rate), 5)) if is_concrete(self.state_rate) else []
        of = ", ".join(f"{each:g}" for each in rates[:4]) + (", …" if len(rates) > 4 else "")
        return f"{self.what} of the state with r = {of}, {self.decay.shape[-1]} resonators"


class AbstractSpikeNoise(AbstractNoise):
    """Noise with the spectrum of the spikes of N neurons at a stable state, which is fitted before anything runs."""

    size: eqx.AbstractVar[Values]
    noise: eqx.AbstractVar[CauchyNoise | None]
    near: eqx.AbstractVar[Any]

    @abc.abstractmethod
    def fitted(self, models: Any, starts: Any) -> tuple[Resonators, np.ndarray, np.ndarray]:
        """(resonators of N = 1 of all stable states that are meant, (states, …); which of them is that of each model, (m,);
        which of them are there, (states,)), for populations and states in arrays (m,)."""


NoiseLike: TypeAlias = AbstractNoise | ArrayLike  # numbers D stand for white noise


def as_noise(noise: object) -> AbstractNoise:
    """`noise` as one of the classes above; a number D, or an array (n,), is white noise."""
    return noise if isinstance(noise, AbstractNoise) else WhiteNoise(noise)


def white_intensity(noise: object, shape: tuple[int, ...] = ()) -> Values:
    """D > 0 of white noise, of the given shape, for functions that hold for white noise only. Raises `ValueError` for
    others."""
    noise = as_noise(noise)
    rule = "be white noise, a number D or `WhiteNoise(D)`, for which the law is known"
    require("noise", repr(noise), rule, isinstance(noise, WhiteNoise))
    assert isinstance(noise, WhiteNoise)
    D = noise.intensity
    require("noise", D, f"be a number{f' or of shape {shape}' if shape else ''}", D.ndim == 0 or D.shape == shape)
    if is_concrete(D):
        require("noise", D, "be > 0", bool(np.all(np.asarray(D) > 0)))
    return jnp.broadcast_to(D, shape)


def _per_node(name: str, value: object) -> Values:
    array = as_array(value)
    is_array = isinstance(array, jax.Array) and array.ndim <= 1
    require(name, value, "be a number ≥ 0 or one per node (or the noise a class such as `WhiteNoise`)", is_array)
    if is_concrete(array):
        good = np.isfinite(np.asarray(array)) & (np.asarray(array) >= 0)
        require(name, array, "be ≥ 0 and finite", bool(np.all(good)))
    return array
