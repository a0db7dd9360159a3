"""Fits to functional connectivity: correlations of a network's rates under noise about a state of rest, without a run.

A X + X Aᵀ + B P Bᵀ = 0,    FC_ij = X_ij/√(X_ii X_jj)        or, of slow signals, S_ij/√(S_ii S_jj) at f = 0
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_samples, require, require_each
from .._parameter import as_number
from .._types import Real, Values, Whole
from ..models.base import AbstractModel
from ..models.noise import NoiseLike, OrnsteinUhlenbeck, WhiteNoise, as_noise
from ..models.state import State
from ..monitors.base import AbstractMonitor
from ..monitors.connectivity import functional_connectivity
from ..monitors.results import Monitored
from ..recordings.recording import Recording
from ..stochastic.linear import response
from ..stochastic.recorded import recorded_connectivity
from .target import AbstractTarget

_LOSSES = ("difference", "correlation")
_ROUNDED = 1e-4  # of measured correlations, as files keep them
_RESOLVED = 1e-5  # of losses with delays: gains below it are a hundredth of what a few thousand pairs can tell


class FunctionalConnectivityTarget(AbstractTarget):
    """A functional connectivity (FC) that a network is to have when noise perturbs it about a state of rest.

        FC_ij = X_ij/√(X_ii X_jj),  A X + X Aᵀ + B P Bᵀ = 0        correlations of the rates, by `linear_response`
        residuals = (FC_ij − measured_ij)/error for i < j           with `loss="difference"`
        loss = 1 − correlation of FC_ij and measured_ij, i < j      with `loss="correlation"`

    - `fc`: the measured correlations (n, n), NaN for pairs that weren't measured (the diagonal is not read), as an array, or
      as a DataFrame, a DataArray, or what `FunctionalConnectivity` gives, with the regions' names; or time series, a
      `Recording` or `Monitored`, whose correlations are taken
    - `labels`: names of the regions of an array. Named regions are matched with the names of the network's nodes, in any
      order; without names on either side, the order counts
    - `loss`: `"difference"` (the default) or `"correlation"`, which leaves mean and spread of the FC free
    - `error`: standard error of the measured correlations, a number or (n, n); None (the default) if unknown
    - `monitor`: what recorded the FC, such as `BOLD(TR=2000.0)`, by `stochastic.recorded_connectivity`; None (the default)
      for correlations of the channel itself, at the same moment, of all that fluctuates
    - `frequency`: in place of both, the frequency, in cycles per time, at which the real part of the coherency is compared;
      0 for signals much slower than the network, where delays no longer count
    - `noise`: what moves the network, as in `linear_response`: an intensity D, one or (n,), `WhiteNoise` or
      `OrnsteinUhlenbeck`; None (the default) for equal intensities, on whose size FC does not depend; `"nodes"` to fit the
      intensity of every node relative to the first, `ln D[…]`
    - `guess`: a state near the fixed point; by default that which is reached from the nodes' lowest ones
    - `channel`: whose correlations, `"r"` by default, or the monitor's; `I`: constant input, in units of η

    Use it for resting-state recordings: an evaluation takes milliseconds for 90 nodes, its derivative by all parameters
    about twice that. Residuals are NaN if there is no such state or it is not stable, and such a start says so. The report
    prints the correlation that was reached. For many free numbers, such as one η per node, take `polish="bfgs"`. Raises
    `ValueError` for matrices that hold no correlations, and for other regions than the network's. Source: docs/theory.md §E;
    Deco et al., J. Neurosci. 34:7886 (2014), for the use of linear fluctuations.
    """

    wanted: Values  # (n, n), 0 where unknown
    weights: Values  # (n, n), 1/error, 0 where unknown
    noise: WhiteNoise | OrnsteinUhlenbeck | None
    guess: Any
    frequency: Any
    monitor: AbstractMonitor | None
    current: Values
    labels: tuple[str, ...] = eqx.field(static=True)
    loss_name: str = eqx.field(static=True)
    channel: str = eqx.field(static=True)
    per_node: bool = eqx.field(static=True)
    known: bool = eqx.field(static=True)
    pairs: int = eqx.field(static=True)

    def __init__(
        self,
        fc: Any,
        *,
        labels: Any = None,
        loss: str = "difference",
        error: Any = None,
        monitor: Any = None,
        frequency: Real | None = None,
        noise: NoiseLike | str | None = None,
        guess: Any = None,
        channel: str = "r",
        I: Real = 0.0,
    ):
        require("loss", loss, f"be one of {', '.join(_LOSSES)}", loss in _LOSSES)
        measured, self.labels = _measured(fc, labels)
        n = measured.shape[0]
        pairs = np.triu(np.isfinite(measured), 1)
        self.pairs = int(pairs.sum())
        least = 1 if loss == "difference" else 3
        require("fc", self.pairs, f"hold {least} measured pair{'s' * (least > 1)} at least", self.pairs >= least)
        require("error", error, "be None with `loss` correlation", error is None or loss == "difference")
        sigma = np.ones(()) if error is None else np.asarray(error, float)
        rule = f"be one number > 0, or ({n}, {n}) of them"
        require("error", error, rule, sigma.shape in ((), (n, n)) and bool(np.all(sigma > 0)))
        self.wanted = jnp.asarray(np.where(pairs | pairs.T, measured, 0.0))
        self.weights = jnp.asarray(np.where(pairs, 1 / np.broadcast_to(sigma, (n, n)), 0.0))
        self.weights = self.weights + self.weights.T
        varied = np.ptp(measured[pairs]) > 0
        require("fc", measured[pairs][0], "vary from pair to pair for `loss` correlation", loss == "difference" or varied)
        self.known, self.loss_name = error is not None, loss
        self.frequency = None if frequency is None else as_number("frequency", frequency, "[0, inf)")
        require(
            "monitor",
            monitor,
            "be None, or a monitor such as `BOLD(TR=2000.0)`",
            monitor is None or isinstance(monitor, AbstractMonitor),
        )
        require("frequency", frequency, "be None with a `monitor`", frequency is None or monitor is None)
        self.monitor = monitor
        self.per_node = isinstance(noise, str)
        require("noise", noise, 'be "nodes", or noise as in `linear_response`', not self.per_node or noise == "nodes")
        law: Any = None if noise is None or self.per_node else as_noise(noise)
        fits = law is None or isinstance(law, WhiteNoise | OrnsteinUhlenbeck)
        require("noise", repr(law), "be white or Ornstein–Uhlenbeck noise of the input", fits)
        self.noise, self.channel, self.current = law, channel, as_number("I", I)
        known = guess is None or isinstance(guess, State | Mapping)
        require("guess", guess, "be a state near the fixed point, or None", known)
        self.guess = guess if guess is None or isinstance(guess, State) else dict(guess)

    @property
    def noise_known(self) -> bool:
        return self.known

    @property
    def usual_starts(self) -> int:
        return 4  # a loss of few minima, and of many matrices

    @property
    def variation(self) -> float:
        if self.loss_name == "correlation":
            return self.pairs**-0.5
        seen = np.triu(np.asarray(self.weights), 1) > 0
        return float(np.std(np.asarray(self.wanted * self.weights)[seen]))

    def alone(self, model: AbstractModel) -> bool:
        return True  # matrices are inverted

    def wide(self, model: AbstractModel) -> bool:
        return True

    def rounding(self, model: AbstractModel) -> float:
        return _RESOLVED if "delays" in model.offers and self.monitor is None and self.frequency is None else 0.0

    def check(self, model: Any) -> None:
        rule = "be a network for `FunctionalConnectivityTarget`"
        require("model", model, rule, isinstance(model, AbstractModel) and model.size is not None)
        self.order(model)
        if self.guess is not None:
            model.state(self.guess)
        jax.eval_shape(lambda: self.residuals(model))  # what `linear_response` refuses

    def order(self, model: Any) -> np.ndarray:
        """Places of the measured regions in the order of the nodes of `model`, (n,). Refuses other regions."""
        size, names = self.wanted.shape[0], tuple(str(each) for each in model.names)
        if not self.labels or not names:
            require("fc", size, f"have the regions of the network, {model.size}", size == model.size)
            return np.arange(size)
        for own, others, whose in ((self.labels, names, "the network's nodes"), (names, self.labels, "those of `fc`")):
            strange = [each for each in own if each not in others]
            if strange:
                shown = ", ".join(strange[:4]) + (", …" if len(strange) > 4 else "")
                rule = "have the regions of the network"
                raise ValueError(f"Argument `fc` must {rule}, but got {shown}, not among {whose}.")
        return np.asarray([self.labels.index(each) for each in names])

    def unknown_names(self, model: Any) -> tuple[str, ...]:
        return tuple(f"ln D[{each}]" for each in model.labels[1:]) if self.per_node else ()

    def unknowns(self, model: Any) -> Values:
        return jnp.zeros(model.size - 1 if self.per_node else 0, model.gain.dtype)

    @property
    def refinable(self) -> bool:
        return self.monitor is None and self.frequency is None

    def connectivity(self, model: Any, unknowns: Values | None = None, refine: Whole | None = None) -> Values:
        """The FC (n, n) of `model`, with `unknowns` as `unknown_names` orders them; NaN without a stable state. With delays
        to 1e-7; or by `refine` times the few frequencies with which a fit begins, to about 1e-6 far from instabilities."""
        noise: Any = self.noise
        if self.per_node:
            log_D = self.unknowns(model) if unknowns is None else unknowns
            noise = jnp.exp(jnp.concatenate([jnp.zeros(1, log_D.dtype), log_D]))
        found = response(model, noise, self.guess, self.current, refine)
        if self.monitor is not None:
            return recorded_connectivity(found, self.monitor).values
        if self.frequency is None:
            return found.fc(self.channel)
        S = jnp.real(found.cross_spectra(self.frequency[None], self.channel))[0]
        size = jnp.sqrt(jnp.diagonal(S))
        return S / (size[:, None] * size[None])

    def measured(self, model: Any) -> np.ndarray:
        """The measured FC (n, n) in the order of the nodes of `model`, NaN where unknown."""
        order = self.order(model)
        wanted, weights = (np.asarray(each)[np.ix_(order, order)] for each in (self.wanted, self.weights))
        return np.where(weights > 0, wanted, np.where(np.eye(order.size, dtype=bool), 1.0, np.nan))

    def _pairs(self, model: Any, unknowns: Values | None, refine: Whole | None = None) -> tuple[Values, Values, Values]:
        """FC of the model, the measured one, and weights, of all pairs of nodes."""
        order, dtype = self.order(model), model.gain.dtype
        above = np.triu_indices(order.size, 1)
        wanted, weights = (each[order[above[0]], order[above[1]]].astype(dtype) for each in (self.wanted, self.weights))
        return self.connectivity(model, unknowns, refine)[above], wanted, weights

    def residuals(self, model: Any, unknowns: Values | None = None, refine: Whole = 1) -> Values:
        found, wanted, weights = self._pairs(model, unknowns, None if isinstance(refine, int) else refine)
        if self.loss_name == "difference":
            return (found - wanted) * weights
        return _standardised(found, weights) - _standardised(wanted, weights)

    def count(self, model: AbstractModel) -> int:
        return self.pairs

    def correlation(self, model: Any, unknowns: Values | None = None) -> Values:
        """Correlation, over pairs of nodes, of the FC of `model` with the measured one; `unknowns` as in `connectivity`."""
        found, wanted, weights = self._pairs(model, unknowns)
        return jnp.sum(_standardised(found, weights) * _standardised(wanted, weights))

    def remarks(self, model: Any, unknowns: Values | None = None) -> tuple[str, ...]:
        pairs = self._pairs(model, unknowns)
        found, wanted, weights = (np.asarray(each) for each in pairs)
        if not np.isfinite(found).all():
            return ("Functional connectivity: none, as there is no stable state of rest.",)
        off = float(np.sqrt(np.mean((found - wanted)[weights > 0] ** 2)))
        alike = float(jnp.sum(_standardised(pairs[0], pairs[2]) * _standardised(pairs[1], pairs[2])))
        return (
            f"Functional connectivity: correlation {alike:.4f} with the measured one over {self.pairs} pairs, root mean "
            f"squared difference {off:.3g}.",
        )


def _standardised(x: Values, weights: Values) -> Values:
    """x without its mean, of length 1, over what has a weight."""
    seen = weights > 0
    mean = jnp.mean(x, where=seen)
    rest = jnp.where(seen, x - mean, 0)
    return rest / jnp.sqrt(jnp.sum(rest**2))


def _measured(fc: Any, labels: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Correlations (n, n), NaN where unknown, and the names of the regions, () without names."""
    if isinstance(fc, Recording | Monitored):
        found = np.asarray(functional_connectivity(fc).values)
        names = tuple(str(each) for each in (fc.names if isinstance(fc, Recording) else fc.labels))
        still = np.flatnonzero(np.isnan(np.diagonal(found)))
        if still.size:
            raise ValueError(f"Region `{names[still[0]]}` never changes: it has no correlation with others; leave it out.")
        numbered = all(name in (str(k), f"R{k + 1}") for k, name in enumerate(names))
        own = () if numbered else names
    else:
        own = _own_labels(fc)
        try:
            found = np.asarray(as_samples(getattr(fc, "values", fc)), float)
        except (TypeError, ValueError):
            found = np.zeros(())
    rule = "be correlations (n, n) of n ≥ 2 regions, or a `Recording` of time series"
    shape = np.shape(found)
    require("fc", fc, rule, len(shape) == 2 and shape[0] == shape[1] >= 2)
    n = len(found)
    apart = ~np.eye(n, dtype=bool)
    known = apart & np.isfinite(found)
    require_each("fc", found, "be numbers, or NaN if unknown", ~np.isinf(found) | ~apart)
    require_each("fc", found, "lie between −1 and 1", ~known | (np.abs(np.where(known, found, 0)) <= 1 + _ROUNDED))
    both = known & known.T
    off = np.max(np.abs(found - found.T)[both], initial=0.0)
    require("fc", off, "be symmetric (largest |FC − FCᵀ|)", bool(off <= _ROUNDED) and bool(np.all(known == known.T)))
    given = own if labels is None else tuple(str(each) for each in labels)
    distinct = len(given) in (0, n) and len(set(given)) == len(given)
    require("labels", given, f"be {n} distinct names, one per region", distinct)
    return np.where(apart, found, np.nan), given


def _own_labels(fc: Any) -> tuple[str, ...]:
    """Names that a DataFrame has for both its axes, or a DataArray for its first; () if it has none."""
    if hasattr(fc, "columns") and hasattr(fc, "index"):
        columns, rows = (tuple(str(each) for each in axis) for axis in (fc.columns, fc.index))
        named = not all(each.isdecimal() for each in columns)
        require("fc", rows[:4], "name its rows as its columns", not named or rows == columns)
        return columns if named else ()
    coords: Any = getattr(fc, "coords", {})
    dims = [str(each) for each in getattr(fc, "dims", ())]
    if len(dims) == 2 and dims[0] in coords:
        names = np.asarray(coords[dims[0]])
        return tuple(str(each) for each in names) if names.dtype.kind in "USO" else ()
    return ()
