"""How one start of a fit descends, a few iterations per call; the ensemble engine runs many starts at once.

Levenberg–Marquardt on residuals, with Jacobians by forward mode (one tangent per free number beside the run, no memory):

    (JᵀJ + λ diag JᵀJ) δ = −Jᵀ residuals

and any optax optimiser on the loss, with derivatives by forward mode for few numbers and by reverse mode for many. Every
start carries its own λ, optimiser state and code; one that turns NaN keeps its last good point and ends.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import DTypeLike
from jaxtyping import PyTree

from .._types import Scalar, Values, Whole, int_dtype
from ..ensemble.folding import each_lane
from ..models.base import AbstractModel
from ..numerics.compiling import CPU_OPTIONS, SOON_OPTIONS
from ..numerics.linear import solve_positive
from .modes import FORWARD_LIMIT, value_and_slope
from .parametrization import Parametrization
from .target import AbstractTarget, TargetSum

RUNNING, CONVERGED, STOPPED, STALLED, NON_FINITE = -1, 0, 1, 2, 3
MEANINGS = {
    CONVERGED: "converged",
    STOPPED: "stopped at the largest number of steps, or when nearly all others had ended",
    STALLED: "stalled: no step lowers the loss, though the gradient isn't zero; the loss may jump or be flat there",
    NON_FINITE: "not finite: the loss or its gradient is infinite or NaN where it started",
}


class Problem(eqx.Module):
    """The problem of minimising a target's loss over z, the parameters without bounds followed by the target's unknowns;
    with a Gaussian prior of mean and deviation per parameter (deviation ∞ without one)."""

    model: AbstractModel
    target: AbstractTarget
    parameters: Parametrization
    prior: tuple[Values, Values]

    def split(self, z: Values) -> tuple[Values, Values]:
        return z[: self.parameters.size], z[self.parameters.size :]

    def prior_residuals(self, z: Values) -> Values:
        mean, deviation = self.prior
        return (self.parameters.values(z) - mean) / deviation

    def residuals(self, z: Values, refine: Whole = 1) -> Values:
        """The target's and the prior's."""
        p, unknowns = self.split(z)
        own = self.target.residuals(self.parameters.model(self.model, p), unknowns, refine)
        return jnp.concatenate([own, self.prior_residuals(p)])

    def loss(self, z: Values, refine: Whole = 1) -> Scalar:
        p, unknowns = self.split(z)
        own = self.target.loss(self.parameters.model(self.model, p), unknowns, refine)
        return own + jnp.sum(self.prior_residuals(p) ** 2) / 2

    def gradient(self, z: Values, refine: Whole = 1) -> tuple[Scalar, Values]:
        """(loss, ∂loss/∂z)."""
        if self.target.blockwise:
            normal = self.normal(z, refine)
            return normal.loss, jnp.concatenate([normal.b, normal.b_own.reshape(-1)])
        parts = [value_and_slope(each, z) for each in self._terms(refine)]
        (value, slope), *others = parts
        return sum((each for each, _ in others), start=value), sum((each for _, each in others), start=slope)

    def _terms(self, refine: Whole) -> list[Callable[[Values], Scalar]]:
        """The summands of the loss as functions of z: not every mode of differentiation goes through every one of them."""

        def term(part: AbstractTarget, weight, own: slice) -> Callable[[Values], Scalar]:
            def loss(z: Values) -> Scalar:
                p, unknowns = self.split(z)
                value = part.loss(self.parameters.model(self.model, p), unknowns[own], refine)
                return value if weight is None else weight.astype(value.dtype) * value

            return loss

        if not isinstance(self.target, TargetSum):
            return [lambda z: self.loss(z, refine)]
        sizes = [len(part.unknown_names(self.model)) for _, part in self.target.parts]
        ends = np.cumsum(sizes)
        pieces = [slice(int(end - size), int(end)) for size, end in zip(sizes, ends, strict=True)]
        found = [term(part, weight, own) for (weight, part), own in zip(self.target.parts, pieces, strict=True)]
        return [*found, lambda z: jnp.sum(self.prior_residuals(self.split(z)[0]) ** 2) / 2]

    def searched(self, z: Values) -> Scalar:
        """The loss with a derivative by reverse mode, whatever mode goes through it."""

        @jax.custom_vjp
        def loss(z: Values) -> Scalar:
            return self.loss(z)

        loss.defvjp(lambda z: self.gradient(z), lambda slope, seed: (seed * slope,))
        return loss(z)

    def normal(self, z: Values, refine: Whole = 1) -> "Normal":
        """The normal equations at z."""
        if self.target.blockwise:
            return self._normal_of_blocks(z, refine)

        def both(z: Values) -> tuple[Values, Values]:
            residuals = self.residuals(z, refine)
            return residuals, residuals

        J, residuals = jax.jacfwd(both, has_aux=True)(z)
        none = jnp.zeros((0, z.size, 0), z.dtype)
        return Normal(jnp.sum(residuals**2) / 2, J.T @ residuals, J.T @ J, none[:, 0], none, none[:, :0])

    def _normal_of_blocks(self, z: Values, refine: Whole) -> "Normal":
        """The same where every unknown belongs to one block of residuals."""
        p, unknowns = self.split(z)
        make = lambda p: self.parameters.model(self.model, p)
        residuals, by_p, by_own = self.target.blocks(make, p, unknowns, refine)
        prior = self.prior_residuals(p)
        slope = jnp.diag(self.parameters.slope(p) / self.prior[1])
        return Normal(
            loss=(jnp.sum(residuals**2) + jnp.sum(prior**2)) / 2,
            b=jnp.einsum("kmi,km->i", by_p, residuals) + slope @ prior,
            A=jnp.einsum("kmi,kmj->ij", by_p, by_p) + slope @ slope,
            b_own=jnp.einsum("kmi,km->ki", by_own, residuals),
            mixed=jnp.einsum("kmi,kmj->kij", by_p, by_own),
            own=jnp.einsum("kmi,kmj->kij", by_own, by_own),
        )


class Normal(NamedTuple):
    """Normal equations JᵀJ δ = −Jᵀ residuals with an arrow's shape: p numbers that all residuals share, and K blocks of
    residuals with q unknowns each of their own (none: K = 0)."""

    loss: Scalar
    b: Values  # (p,)
    A: Values  # (p, p)
    b_own: Values  # (K, q)
    mixed: Values  # (K, p, q)
    own: Values  # (K, q, q)

    @staticmethod
    def unknown(count: int, p: int, blocks: int, q: int, dtype: DTypeLike) -> "Normal":
        """Normal equations of `count` unvisited starts."""
        shapes = ((), (p,), (p, p), (blocks, q), (blocks, p, q), (blocks, q, q))
        zeros = [np.zeros((count, *shape), dtype) for shape in shapes]
        return Normal(np.full(count, np.inf, dtype), *zeros[1:])  # pyright: ignore[reportArgumentType]

    @property
    def finite(self) -> Any:
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(each)) for each in self]))

    def step(self, damping: Values) -> tuple[Values, Scalar]:
        """δ of the equations damped by λ times their diagonal, and by how much it should lower the loss; blocks are
        eliminated one by one."""
        tiny = float(jnp.finfo(self.A.dtype).tiny)
        diagonal = jnp.diag(self.A)
        scale = 1 / jnp.sqrt(diagonal + 1e-14 * jnp.max(diagonal) + tiny)
        A = self.A * scale[:, None] * scale[None] + damping * jnp.eye(scale.size, dtype=scale.dtype)
        b = scale * self.b
        if not self.own.shape[0]:
            step = -scale * solve_positive(A, b)
            return step, -(step @ self.b) - step @ (self.A @ step) / 2
        diagonals = jnp.diagonal(self.own, axis1=1, axis2=2)
        scales = 1 / jnp.sqrt(diagonals + 1e-14 * jnp.max(diagonals) + tiny)
        own = self.own * scales[:, :, None] * scales[:, None]
        own = own + damping * jnp.eye(scales.shape[1], dtype=scale.dtype)[None]
        mixed, b_own = self.mixed * scale[None, :, None] * scales[:, None], scales * self.b_own
        # own⁻¹ (mixedᵀ | b_own) of every block
        solved = jax.vmap(solve_positive)(own, jnp.concatenate([jnp.swapaxes(mixed, 1, 2), b_own[:, :, None]], axis=2))
        schur = A - jnp.einsum("kij,kjl->il", mixed, solved[..., :-1])
        shared = -solve_positive(schur, b - jnp.einsum("kij,kj->i", mixed, solved[..., -1]))
        owns = -solved[..., -1] - jnp.einsum("kij,j->ki", solved[..., :-1], shared)
        promised = -(shared @ b) - jnp.sum(owns * b_own)
        return jnp.concatenate([scale * shared, (scales * owns).reshape(-1)]), promised / 2

    def held(self, hold: Any) -> "Normal":
        """The equations in which the blocks' own unknowns stay as they are, for `hold`."""
        return self._replace(
            b_own=jnp.where(hold, 0, self.b_own),
            mixed=jnp.where(hold, 0, self.mixed),
            own=jnp.where(hold, jnp.eye(self.own.shape[-1], dtype=self.own.dtype), self.own),
        )


@dataclasses.dataclass(frozen=True)
class Structure:
    """The part of a pytree that is known at compile time; with the arrays it makes the pytree."""

    treedef: Any
    rest: tuple[Any, ...]

    @staticmethod
    def of(tree: PyTree) -> tuple[list[Any], "Structure"]:
        """Arrays and structure."""
        leaves, treedef = jax.tree.flatten(tree)
        arrays = [leaf for leaf in leaves if eqx.is_array(leaf)]
        return arrays, Structure(treedef, tuple(None if eqx.is_array(leaf) else (leaf,) for leaf in leaves))

    def fill(self, arrays: Any) -> Any:
        each = iter(arrays)
        return jax.tree.unflatten(self.treedef, [next(each) if known is None else known[0] for known in self.rest])


@dataclasses.dataclass(frozen=True)
class LevenbergMarquardt:
    """`count` iterations per call. λ falls by 5 after a step that lowers the loss, and rises by 4 after one that doesn't. A
    start has converged when all steps are below its `xtol` (of z, whose unit is the parameter's size), or when the promised
    gain is below `ftol` of the loss."""

    structure: Structure
    count: int
    wide: bool = False  # whether a loss is so much work that a program which runs fast is worth its compilation
    fusible = False

    longest = 2.0  # the largest entry of a step: beyond, the transforms are far from linear

    @property
    def options(self) -> dict[str, Any]:
        """Options of the compiler, on a CPU."""
        return CPU_OPTIONS if self.wide else CPU_OPTIONS | SOON_OPTIONS

    @staticmethod
    def begin(z: np.ndarray, problem: Problem, hold: bool = False) -> dict[str, np.ndarray]:
        """The state of starts (n, width) that haven't moved: their first iteration only looks at where they are. With `hold`
        unknowns of blocks stay as they are."""
        count, p = z.shape[0], problem.parameters.size
        blocks = problem.target.number if problem.target.blockwise else 0
        q = (z.shape[1] - p) // blocks if blocks else 0
        normal = Normal.unknown(count, p if blocks else z.shape[1], blocks, q, z.dtype)
        integer = int_dtype()
        return normal._asdict() | {
            "z": z,
            "damping": np.full(count, 1e-2, z.dtype),
            "hold": np.full(count, hold),
            "xtol": np.full(count, 1e-10, z.dtype),
            "ftol": np.full(count, 1e-13, z.dtype),
            "code": np.full(count, RUNNING, integer),
        }

    def block(self, base: object, values: Mapping[str, Any], steps: Any) -> dict[str, Any]:
        """Starts, each by itself."""
        return each_lane(self, base, values, steps)

    def lane(self, base: object, values: Mapping[str, Any], steps: Any) -> dict[str, Any]:
        """State of one start after `count` iterations, and the loss after each."""
        problem, refine = self.structure.fill(base), steps
        history = jnp.full((self.count,), jnp.inf, values["z"].dtype)

        def going(carry) -> Any:
            k, state, _ = carry
            return (k < self.count) & (state["code"] == RUNNING)

        def iterate(carry) -> Any:
            k, state, history = carry
            state = self._iterate(problem, state, refine)
            return k + 1, state, history.at[k].set(state["loss"])

        _, state, history = jax.lax.while_loop(going, iterate, (0, dict(values), history))
        return state | {"history": history}

    def _iterate(self, problem: Any, state: dict[str, Any], refine: Whole) -> dict[str, Any]:
        z, damping = state["z"], state["damping"]
        normal = Normal(*(state[name] for name in Normal._fields))
        step, promised = normal.held(state["hold"]).step(damping)
        share = jnp.minimum(1, self.longest / jnp.max(jnp.abs(step)))
        step, promised = share * step, share * (2 - share) * promised
        step = jnp.where(jnp.all(jnp.isfinite(step)), step, 0)
        new = problem.normal(z + step, refine)
        finite, fresh = new.finite, jnp.isinf(normal.loss)
        better = finite & (new.loss <= normal.loss)
        small = jnp.max(jnp.abs(step) / (1 + jnp.abs(z))) <= state["xtol"]
        small |= promised <= state["ftol"] * normal.loss
        damping = jnp.where(fresh, damping, jnp.where(better, jnp.maximum(damping / 5, 1e-14), damping * 4))
        code = jnp.where(small & (damping < 1e3) & ~fresh, CONVERGED, jnp.where(damping > 1e12, STALLED, RUNNING))
        code = jnp.where(fresh & ~finite, NON_FINITE, code)
        kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), new, normal)
        return state | kept._asdict() | {"z": jnp.where(better, z + step, z), "damping": damping, "code": code}


@dataclasses.dataclass(frozen=True)
class Gradient:
    """`count` updates per call of an optax optimiser; ends when the loss hasn't fallen by `ftol` of itself for `patience`
    updates. Keeps the best point, not the last."""

    structure: Structure
    count: int
    optimizer: optax.GradientTransformationExtraArgs
    states: Structure  # of the optimiser's state
    patience: int
    wide: bool = False
    ftol: float = 1e-9
    fusible = False

    @property
    def options(self) -> dict[str, Any]:
        """Options of the compiler, on a CPU."""
        return CPU_OPTIONS if self.wide else CPU_OPTIONS | SOON_OPTIONS

    @staticmethod
    def begin(z: np.ndarray, states: list[Any]) -> dict[str, np.ndarray]:
        """The state of starts (n, width) with the optimiser's initial states."""
        count = z.shape[0]
        integer = int_dtype()
        return {f"state{k}": np.array(each) for k, each in enumerate(states)} | {
            "z": np.array(z),
            "best": np.array(z),
            "loss": np.full(count, np.inf, z.dtype),
            "waited": np.zeros(count, integer),
            "code": np.full(count, RUNNING, integer),
        }

    def block(self, base: object, values: Mapping[str, Any], steps: Any) -> dict[str, Any]:
        """Starts, each by itself."""
        return each_lane(self, base, values, steps)

    def lane(self, base: object, values: Mapping[str, Any], steps: Any) -> dict[str, Any]:
        """State of one start after `count` updates, and the loss at each."""
        problem, z = self.structure.fill(base), values["z"]
        # Loops of known length, which reverse mode needs; one of any length is compiled faster.
        refine = 1 if z.size > FORWARD_LIMIT else steps
        inner = [values[f"state{k}"] for k in range(len([each for each in self.states.rest if each is None]))]
        history = jnp.full((self.count,), jnp.inf, z.dtype)
        carry = (0, z, inner, values["best"], values["loss"], values["waited"], values["code"], history)

        def going(carry) -> Any:
            return (carry[0] < self.count) & (carry[-2] == RUNNING)

        def update(carry) -> Any:
            k, z, inner, best, least, waited, _, history = carry
            loss, slope = problem.gradient(z, refine)
            finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(slope))
            improved = finite & (loss < least)
            waited = jnp.where(finite & (loss < least - self.ftol * jnp.abs(least)), 0, waited + 1)
            best, least = jnp.where(improved, z, best), jnp.where(improved, loss, least)
            # Optimisers rely on JAX's ordinary promotion of types and ranks.
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
                change, state = self.optimizer.update(
                    jnp.where(finite, slope, 0),
                    self.states.fill(inner),
                    z,
                    value=loss,
                    grad=slope,
                    value_fn=problem.searched,
                )
            still = jnp.max(jnp.abs(slope)) <= 1e-13 * (1 + jnp.abs(loss))
            # If the loss is not finite, the run goes back to the best point, half the step being lost with it.
            z = jnp.where(finite, cast(jax.Array, optax.apply_updates(z, change)), (z + best) / 2)
            code = jnp.where(finite, RUNNING, jnp.where(jnp.isfinite(least), RUNNING, NON_FINITE))
            code = jnp.where(still & finite | (waited >= self.patience), CONVERGED, code)
            code = jnp.where(~finite & (waited >= self.patience), NON_FINITE, code)
            return k + 1, z, Structure.of(state)[0], best, least, waited, code, history.at[k].set(loss)

        _, z, inner, best, least, waited, code, history = jax.lax.while_loop(going, update, carry)
        state = {f"state{k}": each for k, each in enumerate(inner)}
        return state | {"z": z, "best": best, "loss": least, "waited": waited, "code": code, "history": history}
