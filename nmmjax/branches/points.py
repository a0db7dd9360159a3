"""One fold or Hopf point near a guess, differentiable in all other parameters."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._nan import nan_is_absent
from ..models.base import AbstractModel, takes_model
from .branch import LABELS, SpecialPoints
from .events import frequency_and_lyapunov
from .special import solve_special
from .system import System, as_system


@nan_is_absent
@takes_model
def find_fold(
    model: AbstractModel | Callable[..., Any], parameter: str, guess: Any, parameters: Mapping[str, Any] | None = None
) -> SpecialPoints:
    """The fold (saddle-node, LP) of fixed points nearest to a guess, by Newton's method on f = 0, A φ = 0, φ·φ = 1.

    The guess is the state `guess` and the model's own value of `parameter`, both within a few percent; arguments as for
    `continue_branch`, which finds all folds without a guess. Returns one special point with `parameter` and `state`; NaN
    and `kind` 0 where Newton's method doesn't converge. Differentiable in the model's other parameters (implicit function
    theorem), so its location can be fitted. Raises `ValueError` as `continue_branch` does.
    """
    return _find("LP", as_system(model, parameter, guess, parameters))


@nan_is_absent
@takes_model
def find_hopf(
    model: AbstractModel | Callable[..., Any], parameter: str, guess: Any, parameters: Mapping[str, Any] | None = None
) -> SpecialPoints:
    """The Hopf point (HB) nearest to a guess, by Newton's method on f = 0, (A² + ω²) φ = 0, φ·φ = 1.

    As `find_fold`, with the angular frequency `omega` and the first Lyapunov coefficient `lyapunov`: negative where stable
    cycles are born (supercritical). `continue_cycle` starts from it.
    """
    return _find("HB", as_system(model, parameter, guess, parameters))


@eqx.filter_jit
def _find(label: str, system: System) -> SpecialPoints:
    start, p = ravel_pytree(system.like)[0], system.value()[None]
    u, p, kappa = solve_special(label, system, start, p)
    kind = jnp.where(jnp.isfinite(kappa), LABELS.index(label), 0).astype(jnp.int32)
    omega = lyapunov = jnp.full_like(kappa, jnp.nan)
    if label == "HB":
        omega, lyapunov = frequency_and_lyapunov(system, kind, u, p, kappa)
    none = jnp.zeros_like(kind)
    return SpecialPoints(system, kind, p, system.state(u), omega, lyapunov, none, none)
