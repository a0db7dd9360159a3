"""Targets: what a fit compares, as residuals of a model, and their sums.

A target turns a model into residuals, (predicted − wanted)/noise, whose half sum of squares is its loss. It may have
unknowns of its own beside the model's parameters, such as a run's initial state; they are fitted as well. Add targets with
`+`, weigh them with a number in front: `2.0 * EnergyTarget(...) + TrajectoryTarget(...)`.
"""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._parameter import as_number
from .._types import Scalar, Values, Whole
from ..models.base import AbstractModel, require_offer


class AbstractTarget(eqx.Module):
    """Data or conditions that a model is to match.

    `residuals` gives one number per datum, in units of its noise, 0 where a datum is missing; `loss` half their sum of
    squares, minus the log likelihood up to a constant if the noise is known.
    """

    @abc.abstractmethod
    def residuals(self, model: AbstractModel, unknowns: Values | None = None, refine: Whole = 1) -> Values:
        """(predicted − wanted)/noise of `model`, shape (m,), NaN if the model has no such quantity; `unknowns` as
        `unknowns(model)` orders them (its values if None). `refine` multiplies the solver's steps, for targets that have
        one.
        """

    def loss(self, model: AbstractModel, unknowns: Values | None = None, refine: Whole = 1) -> Scalar:
        """½ Σ residuals² of `model`, with `unknowns` and `refine` as in `residuals`."""
        return jnp.sum(self.residuals(model, unknowns, refine) ** 2) / 2

    def unknowns(self, model: AbstractModel) -> Values:
        """Start values of what is fitted beside the parameters of `model`, shape (k,), without bounds; none by default."""
        return jnp.zeros(0, _dtype(model))

    def unknown_names(self, model: AbstractModel) -> tuple[str, ...]:
        """Names of the unknowns for `model`."""
        return ()

    def count(self, model: AbstractModel) -> Any:
        """Number of residuals of `model` that come from data."""
        return jax.eval_shape(self.residuals, model).shape[0]

    def check(self, model: AbstractModel) -> None:
        """Raise the one-sentence `ValueError` if `model` can't have what this target asks for."""

    def check_units(self, shortest: float, longest: float) -> None:
        """Raise the one-sentence `ValueError` for data that no τ from `shortest` to `longest` can match in their units."""

    def stages(self, model: AbstractModel) -> tuple["AbstractTarget", ...]:
        """Targets that are easier to reach for `model`, each from the result of the one before, with this one last."""
        return (self,)

    def detour(self, model: AbstractModel) -> tuple["AbstractTarget", ...]:
        """Stages between the first and the last for `model`, for fits that miss the last one."""
        return ()

    def following(self, model: AbstractModel, unknowns: Values, next_one: "AbstractTarget") -> Values | None:
        """Start values of the unknowns of the next stage, `next_one`, from this stage's result, `model` and `unknowns`;
        None for that stage's own.
        """
        return None

    def remarks(self, model: AbstractModel, unknowns: Values | None = None) -> tuple[str, ...]:
        """What a report says about how well `model`, with `unknowns`, matches the data, in sentences; none by default."""
        return ()

    @property
    def has_residuals(self) -> bool:
        """Whether the loss is a sum of squares, which Gauss–Newton methods need."""
        return True

    @property
    def noise_known(self) -> bool:
        """Whether residuals are in units of a known noise; otherwise its size is estimated from the best fit."""
        return True

    @property
    def refinable(self) -> bool:
        """Whether `refine` changes the accuracy."""
        return False

    @property
    def reversible(self) -> bool:
        """Whether reverse-mode differentiation goes through."""
        return True

    @property
    def blockwise(self) -> bool:
        """Whether residuals come in blocks, each with unknowns of its own, of which `blocks` gives the Jacobian."""
        return False

    @property
    def number(self) -> int:
        """Number of blocks; 0 unless `blockwise`."""
        return 0

    def blocks(self, make: Callable[[Values], Any], z: Values, unknowns: Values, refine: Whole = 1) -> tuple[Values, ...]:
        """(residuals, ∂/∂z, ∂/∂ own unknowns) of every block: (K, m), (K, m, p), (K, m, q), at `z` (p,) and `unknowns` (K
        q,). `make(z)` is the model; `refine` multiplies the solver's steps.
        """
        raise ValueError("Argument `target` must have residuals in blocks for this, but this one has none.")

    def rounding(self, model: AbstractModel) -> float:
        """Relative differences that mean nothing, as residuals of `model` are no more accurate: fits end there. Mostly 0."""
        return 0.0

    @property
    def usual_starts(self) -> int:
        """How many starts a fit takes by default."""
        return 16

    @property
    def variation(self) -> float:
        """How much the data themselves vary, in the unit of residuals."""
        return 1.0

    def alone(self, model: AbstractModel) -> bool:
        """Whether, of `model`, starts must be computed one block after the other: calls of LAPACK that run at once may wait
        for each other for ever."""
        return False

    def wide(self, model: AbstractModel) -> bool:
        """Whether one start of `model` fills vectors by itself, by large matrices: starts side by side gain nothing."""
        return False

    def __add__(self, other: object) -> "TargetSum":
        if not isinstance(other, AbstractTarget):
            return NotImplemented
        return TargetSum((*_terms(self), *_terms(other)))

    def __mul__(self, weight: object) -> "TargetSum":
        weight = as_number("weight", weight, "[0, inf)")
        return TargetSum(tuple((factor * weight, part) for factor, part in _terms(self)))

    __rmul__ = __mul__


def _dtype(model: AbstractModel) -> Any:
    return jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(model) if eqx.is_inexact_array(leaf)))


def _terms(target: AbstractTarget) -> tuple[tuple[Any, AbstractTarget], ...]:
    return target.parts if isinstance(target, TargetSum) else ((jnp.ones(()), target),)


class TargetSum(AbstractTarget):
    """Σ weight · target, made by `+` and by a number in front of a target."""

    parts: tuple[tuple[Any, AbstractTarget], ...]

    def residuals(self, model: AbstractModel, unknowns: Values | None = None, refine: Whole = 1) -> Values:
        pieces = self._pieces(model, unknowns)
        return jnp.concatenate(
            [
                jnp.sqrt(weight).astype(_dtype(model)) * part.residuals(model, own, refine)
                for (weight, part), own in zip(self.parts, pieces, strict=True)
            ]
        )

    def loss(self, model: AbstractModel, unknowns: Values | None = None, refine: Whole = 1) -> Scalar:
        pieces = self._pieces(model, unknowns)
        terms = [
            weight.astype(_dtype(model)) * part.loss(model, own, refine)
            for (weight, part), own in zip(self.parts, pieces, strict=True)
        ]
        return sum(terms[1:], start=terms[0])

    def _pieces(self, model: AbstractModel, unknowns: Values | None) -> list[Any]:
        """Every part's unknowns."""
        if unknowns is None:
            return [None] * len(self.parts)
        sizes = [len(part.unknown_names(model)) for _, part in self.parts]
        ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
        return [unknowns[end - size : end] for size, end in zip(sizes, ends, strict=True)]

    def unknowns(self, model: AbstractModel) -> Values:
        return jnp.concatenate([part.unknowns(model) for _, part in self.parts])

    def unknown_names(self, model: AbstractModel) -> tuple[str, ...]:
        return tuple(name for _, part in self.parts for name in part.unknown_names(model))

    def count(self, model: AbstractModel) -> Any:
        return sum(part.count(model) for _, part in self.parts)

    def check(self, model: AbstractModel) -> None:
        for _, part in self.parts:
            part.check(model)

    def check_units(self, shortest: float, longest: float) -> None:
        for _, part in self.parts:
            part.check_units(shortest, longest)

    def remarks(self, model: AbstractModel, unknowns: Values | None = None) -> tuple[str, ...]:
        pieces = zip(self.parts, self._pieces(model, unknowns), strict=True)
        return tuple(said for (_, part), own in pieces for said in part.remarks(model, own))

    def stages(self, model: AbstractModel) -> tuple[AbstractTarget, ...]:
        """The early stages of the first part that has some, then the sum."""
        early = [part.stages(model)[:-1] for _, part in self.parts]
        return (*next(filter(None, early), ()), self)

    @property
    def has_residuals(self) -> bool:
        return all(part.has_residuals for _, part in self.parts)

    @property
    def noise_known(self) -> bool:
        return all(part.noise_known for _, part in self.parts)

    @property
    def refinable(self) -> bool:
        return any(part.refinable for _, part in self.parts)

    @property
    def reversible(self) -> bool:
        return all(part.reversible for _, part in self.parts)

    @property
    def number(self) -> int:
        """Number of blocks; 0 unless `blockwise`."""
        return 0

    def blocks(self, make: Callable[[Values], Any], z: Values, unknowns: Values, refine: Whole = 1) -> tuple[Values, ...]:
        """(residuals, ∂/∂z, ∂/∂ own unknowns) of every block: (K, m), (K, m, p), (K, m, q). `make(z)` is the model."""
        raise ValueError("Argument `target` must have residuals in blocks for this, but this one has none.")

    @property
    def usual_starts(self) -> int:
        return min(part.usual_starts for _, part in self.parts)

    @property
    def variation(self) -> float:
        return min(float(weight) ** 0.5 * part.variation for weight, part in self.parts)

    def rounding(self, model: AbstractModel) -> float:
        return min(part.rounding(model) for _, part in self.parts)

    def alone(self, model: AbstractModel) -> bool:
        return any(part.alone(model) for _, part in self.parts)

    def wide(self, model: AbstractModel) -> bool:
        return any(part.wide(model) for _, part in self.parts)


class LossTarget(AbstractTarget):
    """Any `function(model)` to be made small, a number: penalties, or a loss of one's own. Has no residuals, so that only
    gradients can lead to its minimum: an optax optimiser, or `polish="bfgs"`. `fit` needs a `name` with `store=`."""

    function: Callable[[Any], Any] = eqx.field(static=True)

    def residuals(self, model: AbstractModel, unknowns: Values | None = None, refine: Whole = 1) -> Values:
        raise ValueError("Argument `target` must have residuals for this, but a loss(model) gives one number.")

    def loss(self, model: AbstractModel, unknowns: Values | None = None, refine: Whole = 1) -> Scalar:
        value = jnp.asarray(self.function(model))
        require("target", value, "return one number for a model", value.ndim == 0)
        return value.astype(_dtype(model))

    def count(self, model: AbstractModel) -> int:
        return 0

    @property
    def has_residuals(self) -> bool:
        return False

    @property
    def number(self) -> int:
        """Number of blocks; 0 unless `blockwise`."""
        return 0

    def blocks(self, make: Callable[[Values], Any], z: Values, unknowns: Values, refine: Whole = 1) -> tuple[Values, ...]:
        """(residuals, ∂/∂z, ∂/∂ own unknowns) of every block: (K, m), (K, m, p), (K, m, q). `make(z)` is the model."""
        raise ValueError("Argument `target` must have residuals in blocks for this, but this one has none.")

    def alone(self, model: AbstractModel) -> bool:
        return True  # nobody knows what it calls


def as_target(target: Any) -> AbstractTarget:
    """A target as it is, a callable as a `LossTarget`."""
    if isinstance(target, AbstractTarget):
        return target
    require("target", target, "be a target such as `TrajectoryTarget(...)`, or a function loss(model)", callable(target))
    return LossTarget(target)


def as_near(near: object) -> Any:
    """A rate; a very high one if None, so that the highest is closest."""
    return jnp.asarray(1e30) if near is None else as_number("near", near, "(0, inf)")


def deviations(argument: str, noise: object, wanted: np.ndarray) -> np.ndarray:
    """Standard deviations of wanted values: as given, or, if None, the values' own size."""
    if noise is None:
        return np.where(wanted == 0, 1.0, np.abs(wanted))
    sigma = np.asarray(noise, float) if not isinstance(noise, (str, bytes)) else np.asarray(np.nan)
    require(argument, noise, "be None or > 0", bool(np.all(np.isfinite(sigma)) and np.all(sigma > 0)))
    fits = sigma.shape in ((), wanted.shape)
    require(argument, noise, f"be one number, or have one for each of the {wanted.size} values", fits)
    return np.broadcast_to(sigma, wanted.shape)


def require_population(model: AbstractModel, target: str, fast: bool = False) -> None:
    """Refuse what is no population, and with `fast` what has slow variables."""
    require_offer(model, "riccati", also=f", for `{target}`")
    require("model", model, f"be one population for `{target}`", model.size is None)
    if fast:
        rule = f"be without slow terms for `{target}`, whose landscape moves"
        require("model", model, rule, not model.slow_names)
