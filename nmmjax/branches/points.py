"""One fold or Hopf point near a guess, differentiable in all other parameters."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._blas import with_one_thread
from .._nan import nan_is_absent, nan_unless
from ..models.base import AbstractModel, takes_model
from ..numerics.compiling import jitted
from .branch import LABELS, SpecialPoints
from .events import frequency_and_lyapunov
from .special import solve_special
from .system import System, as_system


@nan_is_absent
@with_one_thread
@takes_model
def find_fold(
    model: AbstractModel | Callable[..., Any], parameter: str, guess: Any, parameters: Mapping[str, Any] | None = None
) -> SpecialPoints:
    """The fold (saddle-node, LP) of fixed points nearest to a guess, by Newton's method on f = 0, A φ = 0, φ·φ = 1.

    - `model`: any model or network, or a function `field(y, parameters)` that returns dy/dt, with y a vector
    - `parameter`: the name of the free parameter, dotted as in `parameter_table`, or a key of `parameters`; the model's
      own value of it is the guess, good to a few percent
    - `guess`: a state near the fold, good to a few percent
    - `parameters`: names and values, for a function only; None by default

    Returns one `SpecialPoints` with `parameter` and `state`; NaN and `kind` 0 if Newton's method doesn't converge, or to
    a rate ≤ 0. It is differentiable in the model's other parameters (implicit function theorem), so a fold can be fitted.
    `continue_branch` finds all folds without a guess. Raises `ValueError` for unknown parameters and a wrong `guess`.
    Source: Kuznetsov, Elements of Applied Bifurcation Theory, §10.2.
    """
    return _find("LP", as_system(model, parameter, guess, parameters))


@nan_is_absent
@with_one_thread
@takes_model
def find_hopf(
    model: AbstractModel | Callable[..., Any], parameter: str, guess: Any, parameters: Mapping[str, Any] | None = None
) -> SpecialPoints:
    """The Hopf point (HB) nearest to a guess, by Newton's method on f = 0, (A² + ω²) φ = 0, φ·φ = 1.

    - `model`: any model or network, or a function `field(y, parameters)` that returns dy/dt, with y a vector
    - `parameter`: the name of the free parameter, dotted as in `parameter_table`, or a key of `parameters`; the model's
      own value of it is the guess, good to a few percent. Of a network with delays also "delay" or "speed"
    - `guess`: a state near the Hopf point, good to a few percent
    - `parameters`: names and values, for a function only; None by default

    Returns one `SpecialPoints` with `parameter`, `state`, the angular frequency `omega` per unit of time, and the first
    Lyapunov coefficient `lyapunov`, negative if stable cycles are born (supercritical); NaN and `kind` 0 if Newton's method
    doesn't converge, or to a rate ≤ 0. It is differentiable in the model's other parameters. `continue_cycle` starts from
    it. With delays N(iω) φ = 0 takes the place of the second equation, N the characteristic matrix (docs/theory.md §C7).
    Raises `ValueError` for unknown parameters and a wrong `guess`. Source: Kuznetsov, Elements of Applied Bifurcation
    Theory, §10.2.
    """
    return _find("HB", as_system(model, parameter, guess, parameters))


@jitted
def _find(label: str, system: System) -> SpecialPoints:
    start, p = ravel_pytree(system.like)[0], system.value()[None]
    u, p, kappa = solve_special(label, system, start, p)
    allowed = system.allows(u)  # Newton's method may have left the states of the model
    u, p, kappa = (nan_unless(allowed, each) for each in (u, p, kappa))
    kind = jnp.where(jnp.isfinite(kappa), LABELS.index(label), 0).astype(jnp.int32)
    omega = lyapunov = jnp.full_like(kappa, jnp.nan)
    if label == "HB":
        omega, lyapunov = frequency_and_lyapunov(system, kind, u, p, kappa)
    none = jnp.zeros_like(kind)
    return SpecialPoints(system, kind, p, system.state(u), omega, lyapunov, none, none)
