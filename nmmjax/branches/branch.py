"""Results: branches of fixed points, and special points, which other branches start from."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._labelled import state_columns
from .._nan import nan_is_absent
from .._results import RESULTS, Shown
from .._types import ComplexValues, Values, is_concrete
from .labels import require_single, special_dataset
from .system import System

# Labels of special points, by code.
LABELS = ("", "LP", "HB", "BP", "CP", "BT", "GH", "LPC", "PD", "NS")
MEANINGS = {
    "LP": "fold",
    "HB": "Hopf point",
    "BP": "branch point",
    "CP": "cusp",
    "BT": "Bogdanov–Takens point",
    "GH": "generalized Hopf (Bautin) point",
    "LPC": "fold of cycles",
    "PD": "period doubling",
    "NS": "torus (Neimark–Sacker)",
}


class Cycle(eqx.Module):
    """Limit cycles: states along them, `(…, N m + 1)`, at `phase`, times in periods from 0 to 1; `period`, in the unit of τ;
    `multipliers`: Floquet multipliers by decreasing size, `(…, n)`; `degree`: m, of the polynomials between mesh points."""

    state: Any
    phase: Values
    period: Values
    multipliers: ComplexValues
    degree: int = eqx.field(static=True)


class SpecialPoints(eqx.Module, Shown):
    """Special points, in the order of branches and along them; at most 32, 0 and NaN beyond those found.

    - `system`: the equations, with the names of the free parameters
    - `kind`: codes, positions in `nmmjax.branches.branch.LABELS`; `labels` gives the names
    - `parameters`: values of the free parameters, `(…, 1)`, or `(…, 2)` on curves; `parameter` is the first
    - `state`: the model's state there
    - `omega`: angular frequency of Hopf points and of special cycles, per unit of time; `lyapunov`: first Lyapunov
      coefficient of Hopf points, negative if the cycle born there is stable (supercritical)
    - `branch`, `position`: branch and point before which it lies
    - `cycle`: on branches of cycles the whole cycle there, of which `state` is the first point; else None

    `points[0]` is the first, from which `continue_cycle`, `continue_fold` or `continue_hopf` goes on. Those of fixed points
    are differentiable in the model's other parameters.
    """

    system: System
    kind: Any
    parameters: Values
    state: Any
    omega: Values
    lyapunov: Values
    branch: Any
    position: Any
    cycle: Cycle | None = None

    @property
    def parameter(self) -> Values:
        """Values of the (first) free parameter."""
        return self.parameters[..., 0]

    @property
    def count(self) -> Any:
        """How many there are."""
        return jnp.sum(self.kind > 0, axis=-1)

    @property
    def labels(self) -> list[str]:
        """LP, HB, BP, CP, BT, GH, LPC, PD or NS for each that exists."""
        return [LABELS[int(code)] for code in np.ravel(np.asarray(self.kind)) if code > 0]

    def select(self, label: str) -> "SpecialPoints":
        """Points of the kind `label`, such as "LP", first; the rest are 0 and NaN."""
        require("label", label, f"be one of {', '.join(LABELS[1:])}", label in LABELS[1:])
        code = LABELS.index(label)

        def choose(inner: tuple[Any, ...]) -> tuple[Any, ...]:
            order = jnp.argsort(inner[0] != code, stable=True)
            chosen = inner[0][order] == code
            return jax.tree.map(lambda each: where_chosen(chosen, each[order]), inner)

        for _ in range(self.kind.ndim - 1):
            choose = jax.vmap(choose)
        return SpecialPoints(self.system, *choose(self._inner))

    @property
    def _inner(self) -> tuple[Any, ...]:
        found = self.kind, self.parameters, self.state, self.omega, self.lyapunov, self.branch, self.position
        return *found, self.cycle

    @nan_is_absent
    def __getitem__(self, index: object) -> "SpecialPoints":
        return SpecialPoints(self.system, *jax.tree.map(lambda each: each[index], self._inner))

    @nan_is_absent
    def __str__(self) -> str:
        if not is_concrete(self.kind) or np.ndim(self.kind) > 1:
            return f"SpecialPoints of {', '.join(self.system.names)}, shape {self.kind.shape}"
        points = [self] if np.ndim(self.kind) == 0 else [self[k] for k in range(int(self.count))]
        return "\n".join(_line(point) for point in points) or "none"

    def __repr__(self) -> str:
        return str(self)


def where_chosen(chosen: Any, values: Any) -> Any:
    """The values that were chosen, else NaN or 0."""
    mask = chosen.reshape(chosen.shape + (1,) * (values.ndim - chosen.ndim))
    return jnp.where(mask, values, jnp.nan if jnp.issubdtype(values.dtype, jnp.inexact) else jnp.zeros_like(values))


def _turn(multipliers: np.ndarray) -> float:
    """Angle of the complex pair nearest to the unit circle, in turns from 0 to 1/2."""
    size = np.where(np.imag(multipliers) > 0, np.abs(np.log(np.abs(multipliers))), np.inf)
    return float(np.angle(multipliers[np.argmin(size)]) / (2 * np.pi))


def _line(point: SpecialPoints) -> str:
    """One special point in words."""
    label = LABELS[int(point.kind)]
    if not label:
        return "none"
    where = ", ".join(
        f"{name} = {float(value):.9g}" for name, value in zip(point.system.names, point.parameters, strict=True)
    )
    text = f"{label:<4}{where}  {MEANINGS[label]}"
    if label == "HB":
        kind = "supercritical" if float(point.lyapunov) < 0 else "subcritical"
        text += f", {kind}, ω = {float(point.omega):.6g}, l₁ = {float(point.lyapunov):.3g}"
    if point.cycle is not None:
        text += f", period {float(point.cycle.period):.6g}"
        if label == "NS":
            text += f", turning by {_turn(np.asarray(point.cycle.multipliers)):.6g} per period"
    return text


class Branch(eqx.Module, Shown):
    """Branches of fixed points over a parameter, arrays of shape `(branches, points)`; NaN beyond `count` points.

    - `system`: the equations, with the name of the parameter
    - `parameter`, `state`, `tangent`: along each branch; `tangent`: d(parameter)/d(arclength), 0 at folds
    - `eigenvalues`: `(branches, points, n)`, by decreasing real part, per unit of time; `unstable`: how many have a
      positive one, −1 if there is no point
    - `count`: points per branch; `ends`: how it ended at its first and last point, `RESULTS` codes `(branches, 2)`
    - `special`: folds (LP), Hopf points (HB) and branch points (BP) of all branches; `folds`, `hopfs`, `branch_points`

    Print it for a summary, `to_xarray()` for labelled data, `nmmjax.plot.bifurcation(branch)` for a picture. A pytree:
    `jax.vmap` and `jax.grad` over `continue_branch` work.
    """

    system: System
    parameter: Values
    state: Any
    tangent: Values
    eigenvalues: ComplexValues
    unstable: Any
    count: Any
    ends: RESULTS
    special: SpecialPoints

    @property
    def stable(self) -> Any:
        """Whether no eigenvalue has a positive real part."""
        return self.unstable == 0

    @property
    def folds(self) -> SpecialPoints:
        """The folds (LP)."""
        return self.special.select("LP")

    @property
    def hopfs(self) -> SpecialPoints:
        """The Hopf points (HB)."""
        return self.special.select("HB")

    @property
    def branch_points(self) -> SpecialPoints:
        """The branch points (BP)."""
        return self.special.select("BP")

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over `branch` and `point`, and `special` for the special points (extra `data`)."""
        require_single(self, self.parameter, 2)
        exists = np.asarray(self.unstable) >= 0
        number = np.broadcast_to(np.arange(exists.shape[0])[:, None], exists.shape)[exists]
        values = np.asarray(self.eigenvalues)[exists]
        about = {"units": "1/time", "long_name": "real part of eigenvalues"}
        data = state_columns(self.system.model, self.state, exists, "point") | {
            "growth": (("point", "mode"), np.real(values), about),
            "frequency": (("point", "mode"), np.imag(values), about | {"long_name": "their imaginary part"}),
            "unstable": ("point", np.asarray(self.unstable)[exists], {"long_name": "number of unstable eigenvalues"}),
            "branch": ("point", number, {"long_name": "number of the branch"}),
        }
        ends = {
            f"result_{b}_{side}": RESULTS[jax.tree.map(lambda code, b=b, k=k: code[b, k], self.ends)]
            for b in sorted(set(number.tolist()))
            for k, side in enumerate(("first", "last"))
        }
        return special_dataset(self, data, [np.asarray(self.parameter)[exists]], ends)

    @nan_is_absent
    def __str__(self) -> str:
        name = self.system.names[0]
        if not is_concrete(self.parameter) or self.parameter.ndim != 2:
            return f"Branches over {name}, batch shape {self.parameter.shape[:-2]}"
        rows = []
        for b in np.flatnonzero(np.asarray(self.count)):
            k = int(self.count[b])
            first, last = (message(self.ends, (b, side)) for side in (0, 1))
            span = f"{name} = {float(self.parameter[b, 0]):g} … {float(self.parameter[b, k - 1]):g}, {k} points"
            rows += [f"  branch {b}: {span}", f"    first: {first}", f"    last:  {last}"]
            runs = _runs(np.asarray(self.unstable[b, :k]))
            rows.append("    unstable eigenvalues: " + ", ".join(f"{number} on {points} points" for number, points in runs))
        rows = rows or [f"  {RESULTS[RESULTS.no_branch]}"]
        special = [f"  {line}" for line in str(self.special).split("\n")]
        return "\n".join([f"Branches over {name}", *rows, "special points", *special])

    def __repr__(self) -> str:
        return str(self)


def message(result: RESULTS, index: object = ()) -> str:
    """Message of a code, or of one in an array of codes."""
    return RESULTS[jax.tree.map(lambda code: jnp.asarray(code)[index], result)] or "successful"


def _runs(values: np.ndarray) -> list[tuple[int, int]]:
    """Value and length of every run of equal values."""
    starts = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
    return [(int(values[a]), int(b - a)) for a, b in zip(starts, [*starts[1:], values.size], strict=True)]
