"""How well a fit knows its parameters: quantiles, the directions of the Fisher information."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri, stdtrit

from .._checks import require
from .._results import Shown
from .._types import Values, Whole
from ..numerics.compiling import jitted
from ..numerics.linear import scaled_inverse
from .descent import Normal, Problem
from .modes import REFUSALS

_FLAT = 1e-13  # eigenvalues below this share of the largest, every parameter's information being 1, are rounding
_NAMED = 0.15  # entries of a direction, its longest being 1, that are worth a word


def quantile(p: float, dof: float | int | None = None) -> float:
    """The p-quantile of Student's t with `dof` degrees of freedom, or of the normal distribution if None.

    Infinite without a degree of freedom: nothing bounds the noise then. Raises `ValueError` unless 0 < p < 1.
    """
    require("p", p, "lie between 0 and 1", 0 < p < 1)
    if dof is None:
        return float(ndtri(p))
    return float(stdtrit(dof, p)) if dof > 0 else math.inf


def estimated_variance(fitted: Any) -> float:
    """The variance by which residuals count: 1 if the noise is known, else the best fit's, infinite without a degree of
    freedom."""
    if fitted.target.noise_known:
        return 1.0
    free = degrees_of_freedom(fitted)
    return 2 * float(fitted.loss[fitted.best_index]) / free if free > 0 else math.inf


def degrees_of_freedom(fitted: Any) -> int:
    """Residuals less fitted numbers."""
    return fitted.residual_count - fitted.parameters.size - fitted.unknowns.shape[1]


@dataclasses.dataclass(frozen=True, repr=False)
class Identifiability(Shown):
    """Information of the data about p free numbers: the Fisher information in units of the numbers' sizes,

        F = S (JᵀJ/σ²) S,  with the target's unknowns eliminated,

    S the larger of a number's value and the size it had at the start. Moving by one unit along direction k costs λₖ/2 of
    loss, and 1/√λₖ is its standard error.

    - `eigenvalues` (p,): λ, falling; `directions` (p, p): their unit vectors, one per row, in the order of `labels`
    - `relative_error` (p,): standard errors over sizes, infinite if the data say nothing
    - `sizes` (p,): S, in the parameters' own units

    For a plain loss the Hessian of the loss takes the place of JᵀJ. Source: Gutenkunst et al., PLoS Comput. Biol. 3:e189
    (2007). Use it if errors are large, to see which combination of parameters the data leave open.
    """

    labels: tuple[str, ...]
    eigenvalues: np.ndarray
    directions: np.ndarray
    relative_error: np.ndarray
    sizes: np.ndarray

    @property
    def condition_number(self) -> float:
        """The largest eigenvalue over the smallest; infinite if a direction is flat."""
        if not self.eigenvalues[-1] > 0:
            return math.inf
        return float(self.eigenvalues[0] / self.eigenvalues[-1])

    @property
    def undetermined(self) -> tuple[str, ...]:
        """Numbers whose standard error exceeds their size, so that not even their first digit is known."""
        return tuple(name for name, e in zip(self.labels, self.relative_error, strict=True) if not e <= 1)

    @property
    def flat(self) -> tuple[str, ...]:
        """Numbers about which the data say nothing at all."""
        return tuple(name for name, e in zip(self.labels, self.relative_error, strict=True) if not math.isfinite(e))

    @property
    def sloppy(self) -> str:
        """The direction that is known least, in words."""
        return direction_in_words(self.labels, self.directions[-1])

    def describe(self) -> str:
        """All of it in words, one direction per line."""
        lines = [f"Fisher information of {len(self.labels)} numbers in units of their sizes"]
        for value, vector in list(zip(self.eigenvalues, self.directions, strict=True))[:12]:
            error = f"standard error {1 / math.sqrt(value):.2g} of the size" if value > 0 else "undetermined"
            lines.append(f"  {value:9.3g}  {error}: {direction_in_words(self.labels, vector)}")
        if len(self.labels) > 12:
            lines.append(f"  … ({len(self.labels)} directions in all)")
        lines.append(f"  condition number {self.condition_number:.3g}; known least: {self.sloppy}")
        if self.undetermined:
            lines.append(f"  not determined by these data: {', '.join(self.undetermined)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        open_ones = f"; not determined: {', '.join(self.undetermined)}" if self.undetermined else ""
        return f"Identifiability(condition number {self.condition_number:.3g}; known least: {self.sloppy}{open_ones})"


def direction_in_words(labels: tuple[str, ...], vector: np.ndarray) -> str:
    """`J alone`, or `eta and J together, −0.7 eta + 0.7 J`; parameters count in units of their sizes."""
    vector = np.asarray(vector, float)
    named = np.flatnonzero(np.abs(vector) >= _NAMED * np.max(np.abs(vector)))
    if named.size == 1:
        return f"{labels[named[0]]} alone"
    shown = named[np.argsort(-np.abs(vector[named]), kind="stable")][:6]
    shown = np.sort(shown)
    vector = vector * np.sign(vector[shown[np.argmax(np.abs(vector[shown]))]])
    names = [labels[k] for k in shown]
    more = f" and {named.size - shown.size} others" if named.size > shown.size else ""
    together = f"{', '.join(names[:-1])}{',' if more else ' and'} {names[-1]}{more} together"
    terms = [f"{'−' if vector[k] < 0 else '+'} {abs(vector[k]):.2g} {labels[k]}" for k in shown]
    first = terms[0].removeprefix("+ ").replace("− ", "−")
    return f"{together}, {' '.join([first, *terms[1:]])}"


def information(fitted: Any) -> np.ndarray:
    """Fisher information of the free parameters in their own units, (p, p), with the target's unknowns eliminated; σ² is 1
    if the noise is known, else estimated."""
    z, p = fitted.z, fitted.parameters.size
    A = curvature(fitted.problem, z, fitted.refine)
    slope = np.asarray(fitted.parameters.slope(z[:p]), float)
    inner = A[:p, :p]
    if A.shape[0] > p:
        inner = inner - A[:p, p:] @ scaled_inverse(A[p:, p:], 1e-14) @ A[p:, :p]
    return inner / np.outer(slope, slope) / estimated_variance(fitted)


def curvature(problem: Problem, z: Values, refine: Any) -> np.ndarray:
    """JᵀJ over all of z, or the loss's Hessian without residuals."""
    if not problem.target.has_residuals:
        return np.asarray(_hessian(problem, z, refine), float)
    normal = _normal(problem, z, jnp.asarray(refine, jnp.int32))
    A = np.asarray(normal.A, float)
    blocks, q = normal.own.shape[0], normal.own.shape[-1]
    if not blocks:
        return A
    p = A.shape[0]
    whole = np.zeros((p + blocks * q,) * 2)
    whole[:p, :p] = A
    whole[:p, p:] = np.moveaxis(np.asarray(normal.mixed), 0, 1).reshape(p, -1)
    whole[p:, :p] = whole[:p, p:].T
    for k in range(blocks):
        part = slice(p + k * q, p + (k + 1) * q)
        whole[part, part] = np.asarray(normal.own[k])
    return whole


@jitted
def _normal(problem: Problem, z: Values, refine: Whole) -> Normal:
    return problem.normal(z, refine)


def _hessian(problem: Problem, z: Values, refine: int) -> Values:
    """Hessian by forward mode over the gradient, or by differences of it if only reverse mode goes through the loss."""
    try:
        return _hessian_by_forward(problem, z, refine)
    except REFUSALS:
        step = jnp.finfo(z.dtype).eps ** (1 / 3) * jnp.maximum(1, jnp.abs(z))
        shifts = jnp.diag(step)
        rows = (_gradients(problem, z[None] + shifts) - _gradients(problem, z[None] - shifts)) / (2 * step[:, None])
        return (rows + rows.T) / 2


@jitted
def _hessian_by_forward(problem: Problem, z: Values, refine: int) -> Values:
    return jax.jacfwd(lambda z: problem.gradient(z, refine)[1])(z)


@jitted
def _gradients(problem: Problem, z: Values) -> Values:
    return jax.vmap(lambda z: problem.gradient(z)[1])(z)


def identifiability(fitted: Any) -> Identifiability:
    """Eigenvalues and directions of the Fisher information at the best fit; see `Identifiability`."""
    F = information(fitted)
    best, scale = fitted.values[fitted.best_index], np.asarray(fitted.parameters.scale, float)
    sizes = np.maximum(np.abs(best), scale)
    F = np.where(np.isfinite(F), F, 0.0) * np.outer(sizes, sizes)
    # Rounding hides what little a number may say beside others, but not beside itself: flatness is judged with every
    # number's own information as its unit.
    own = np.sqrt(np.maximum(np.diagonal(F), 0))
    unit = np.where(own > 0, own, 1.0)
    values, vectors = np.linalg.eigh(F / np.outer(unit, unit))
    kept = values > _FLAT * max(values[-1], 0.0)
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T / np.outer(unit, unit)
    error = np.sqrt(np.maximum(np.diagonal(inverse), 0))
    error[np.any(np.abs(vectors[:, ~kept]) > 1e-6, axis=1)] = np.inf
    eigenvalues, directions = np.linalg.eigh(F)
    # As many of the smallest are zero as there are flat directions; they span what the flat ones span.
    eigenvalues[: int(np.sum(~kept))] = 0.0
    order = slice(None, None, -1)
    return Identifiability(fitted.labels, np.maximum(eigenvalues[order], 0), directions.T[order], error, sizes)
