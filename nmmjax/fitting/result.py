"""Result of a fit, start by start, with errors, identifiability and a report in words."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._labelled import about_parameter, attributes_of, software, xarray
from .._results import Shown
from ..models.base import AbstractModel
from .descent import MEANINGS, Problem
from .parametrization import Parametrization
from .profiles import profile_likelihood
from .report import describe_fit
from .target import AbstractTarget
from .uncertainty import identifiability, quantile

_SAME = 1e-3  # starts within so many standard errors of the best count as having found it


@dataclasses.dataclass(frozen=True, repr=False)
class FitResult(Shown):
    """The result of `fit`. Arrays have the starts as their first axis.

    - `model`, `target`: what was fitted to what; `parameters`: the free ones and their bounds; `prior`: their means and
      deviations, infinite without one
    - `values` (starts, p): the free parameters, in the order of `labels`; `initial` (starts, p): where they started
    - `loss` (starts,); `status` (starts,): how each ended, an index of `meanings`; `history` (starts, iterations): the loss
      on the way, each stage's own, NaN after the end; `stage` (iterations,): the stage of each
    - `covariance` (starts, p, p): of the parameters, from the Gauss–Newton Hessian (JᵀJ)⁻¹, times the estimated variance
      if the target's noise isn't known; infinite along directions that the data don't determine; NaN for a plain loss
    - `unknowns` (starts, k): what else was fitted, such as the initial state, in the order of `target.unknown_names`
    - `residual_count`: number of the target's residuals
    - `refine`: by how much the solver's steps were refined; `seconds`: wall time, with compilation; `interrupted`: whether
      Ctrl-C ended the fit
    """

    model: AbstractModel
    target: AbstractTarget
    parameters: Parametrization
    values: np.ndarray
    initial: np.ndarray
    unknowns: np.ndarray
    loss: np.ndarray
    status: np.ndarray
    history: np.ndarray
    stage: np.ndarray
    covariance: np.ndarray
    residual_count: int
    refine: int
    seconds: float
    prior: tuple[Any, Any]
    interrupted: bool = False

    meanings = MEANINGS

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the free numbers."""
        return self.parameters.labels

    @property
    def converged(self) -> np.ndarray:
        """Which starts ended at a minimum."""
        return self.status == 0

    @property
    def best_index(self) -> int:
        """The start with the lowest loss."""
        return int(np.argmin(np.where(np.isfinite(self.loss), self.loss, np.inf)))

    @property
    def best(self) -> Any:
        """The model with the lowest loss."""
        return self.model_of(self.best_index)

    def model_of(self, start: int) -> Any:
        """The model that the start number `start` found."""
        return self.parameters.apply(self.model, jnp.asarray(self.values[start], self.parameters.scale.dtype))

    @property
    def standard_error(self) -> dict[str, float]:
        """Standard error of every free number at the best fit."""
        deviations = np.sqrt(np.diagonal(self.covariance[self.best_index]))
        return dict(zip(self.labels, deviations.tolist(), strict=True))

    def interval(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Confidence intervals of the best fit's numbers at `level`, 0.95 by default, from the covariance, cut at their
        bounds.

        Student's t with m − p degrees of freedom if the noise was estimated, else normal.
        """
        require("level", level, "lie between 0 and 1", 0 < level < 1)
        free = self.residual_count - self.parameters.size - self.unknowns.shape[1]
        width = quantile((1 + level) / 2, None if self.target.noise_known else free)
        best, error = self.values[self.best_index], list(self.standard_error.values())
        low, high = self.parameters.edges
        return {
            name: (float(max(x - width * e, a)), float(min(x + width * e, b)))
            for name, x, e, a, b in zip(self.labels, best, error, low, high, strict=True)
        }

    @property
    def found_best(self) -> np.ndarray:
        """Which starts found the best fit: their parameters agree with it to a thousandth of a standard error, or to 1e-6 of
        themselves (2e-3 in float32)."""
        best = self.values[self.best_index]
        error = np.asarray(list(self.standard_error.values()))
        error = np.where(np.isfinite(error), error, 0.0)
        same = 1e-6 if best.dtype == np.float64 else 2e-3
        scale = np.maximum(_SAME * error, same * np.maximum(np.abs(best), np.asarray(self.parameters.scale)))
        return np.all(np.abs(self.values - best) <= scale, axis=1) & np.isfinite(self.loss)

    @property
    def problem(self) -> Problem:
        """The problem that was minimised, with z as unknowns."""
        return Problem(self.model, self.target, self.parameters, self.prior)

    @property
    def z(self) -> Any:
        """The best fit in the coordinates of `problem`."""
        k = self.best_index
        dtype = self.parameters.scale.dtype
        p = self.parameters.inverse(jnp.asarray(self.values[k], dtype))
        return jnp.concatenate([p, jnp.asarray(self.unknowns[k], dtype)])

    @property
    def gradient(self) -> np.ndarray:
        """∂loss/∂parameters at the best fit, in their own units."""
        z = self.z
        _, slope = jax.jit(lambda z: self.problem.gradient(z, self.refine))(z)
        p = self.parameters.size
        return np.asarray(slope[:p] / self.parameters.slope(z[:p]))

    def identifiability(self) -> Any:
        """Information of the data: eigenvalues and directions of the Fisher information; see `Identifiability`."""
        return identifiability(self)

    def profile(self, name: str, values: Any = None) -> Any:
        """The profile likelihood of the parameter `name`, at `values`, or by default outwards from the best fit until the
        ends of its interval; see `profiles.profile_likelihood`."""
        return profile_likelihood(self, name, values)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over `start` (extra `data`): parameters found with errors, and where they began, loss, status.

        A free parameter with axes has a variable per entry, `eta[0]`. The best model's parameters are the attributes.
        """
        model, best = self.best, self.best_index
        data: dict[str, Any] = {}
        deviations = np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))
        for k, label in enumerate(self.labels):
            about = about_parameter(model, label.split("[")[0])
            name = about.get("long_name", label)
            data[label] = ("start", self.values[:, k], about)
            data[f"{label}_error"] = ("start", deviations[:, k], about | {"long_name": f"standard error of the {name}"})
            data[f"{label}_initial"] = ("start", self.initial[:, k], about | {"long_name": f"{name}, where the start began"})
        meanings = {f"status_{code}": meaning for code, meaning in self.meanings.items()}
        data |= {
            "loss": ("start", self.loss, {"units": "1", "long_name": "loss"}),
            "status": ("start", self.status, {"units": "1", "long_name": "how the start ended", **meanings}),
            "found_best": (
                "start",
                self.found_best.astype(np.int8),
                {"units": "1", "long_name": "whether it found the best fit"},
            ),
            "covariance": (
                ("start", "parameter", "parameter_"),
                self.covariance,
                {"long_name": "covariance of the parameters"},
            ),
            "history": (("start", "iteration"), self.history, {"units": "1", "long_name": "loss on the way"}),
            "stage": ("iteration", self.stage, {"units": "1", "long_name": "stage of the fit"}),
        }
        names = self.target.unknown_names(self.model)
        if names and self.unknowns.shape[1] == len(names):
            about = {"long_name": "what else was fitted, such as the state at the beginning"}
            data["unknown"] = (("start", "unknown_name"), self.unknowns, about)
        coordinates: dict[str, Any] = {"start": np.arange(self.loss.size), "parameter": list(self.labels)}
        coordinates |= {"parameter_": list(self.labels)} | ({"unknown_name": list(names)} if "unknown" in data else {})
        notes = {
            "free": ", ".join(self.parameters.names),
            "best_start": best,
            "best_loss": float(self.loss[best]),
            "target": type(self.target).__name__,
            "residuals": self.residual_count,
            "refine": self.refine,
            "seconds": float(self.seconds),
            "interrupted": int(self.interrupted),
        }
        return xarray().Dataset(data, coords=coordinates, attrs={**attributes_of(model, "model"), **notes, **software()})

    def report(self) -> str:
        """The result in words."""
        return describe_fit(self)

    def __repr__(self) -> str:
        best = self.values[self.best_index]
        shown = ", ".join(f"{name}={x:.6g}" for name, x in zip(self.labels[:6], best[:6], strict=True))
        more = "" if len(self.labels) <= 6 else f", … ({len(self.labels)} in all)"
        return (
            f"FitResult({shown}{more}; loss {self.loss[self.best_index]:.4g}, "
            f"{int(self.converged.sum())} of {self.loss.size} "
            f"starts converged, {int(self.found_best.sum())} at the best fit, {self.seconds:.3g} s)"
        )
