"""The energy landscape of one population: every fixed point, its kind, its barrier, and how input tilts it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, require
from .._parameter import as_number, describe
from .._results import Shown
from .._types import ComplexValues, Real, Scalar, Values, is_concrete
from ..equilibria.brackets import fixed_rates
from ..equilibria.points import FixedPoints, kind_codes
from ..equilibria.stability import planar_eigenvalues, planar_jacobian
from ..mechanics.energy import damping, potential_energy
from ..models.mpr import MPR
from ..models.state import State
from ..numerics.compiling import jitted


class PopulationLandscape(eqx.Module, Shown):
    """The landscape V(r) of a population at a constant input, with all its fixed points; made by `energy_landscape`.

    Arrays of shape (3,): the point of the low branch, the pass between the folds, the point of the high branch; NaN if
    absent. So it works under `jax.vmap`, `jax.jit` and `jax.grad`.

    - `model`, `I`: the population, and its constant input in units of η
    - `state`: r and v; `energy`: V there; `eigenvalues` (3, 2): of the Jacobian, per unit of time
    - `barrier`: V at the pass minus V, for minima, inf without a pass; NaN for the pass itself
    - `curvature`: U″(q) = ω₀² (per (t/τ)²), with the input; negative at a pass
    - `frequency`: ω of small oscillations, per unit of time, 0 at nodes; `damping`: their decay rate Γ/2 per unit of
      time
    - `vanishing_input`: the constant input (added to the present one) at which the minimum meets the pass and vanishes:
      lift the low state by more, or push the high one down by more, and it is gone. NaN without folds
    - `fold_rate` (2,): rates of the two folds
    """

    model: MPR
    I: Scalar
    state: State
    energy: Values
    eigenvalues: ComplexValues
    barrier: Values
    curvature: Values
    frequency: Values
    damping: Values
    vanishing_input: Values
    fold_rate: Values

    @property
    def points(self) -> FixedPoints:
        """All fixed points, by rate. Outside transformations only."""
        index = jnp.where(self.curvature < 0, 1, 0)
        every = FixedPoints(self.state, self.energy, index, self.eigenvalues, self.barrier)
        return every.select(np.isfinite(np.asarray(self.energy)))

    @property
    def minima(self) -> FixedPoints:
        """The minima of the potential, by rate: the states at which the population can rest."""
        every = self.points
        return every.select(np.asarray(every.index) == 0)

    @property
    def saddles(self) -> FixedPoints:
        """The maximum between two minima: the pass."""
        every = self.points
        return every.select(np.asarray(every.index) == 1)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of all fixed points, by rate."""
        return self.points.kinds

    def potential(self, r: Real) -> Values:
        """V at rates `r`, per unit of time, elementwise, with the landscape's input."""
        rates: Values = as_array(r)
        return potential_energy(self.model, State(r=rates, v=jnp.zeros_like(rates)), self.I)

    def tilted(self, I: Real) -> "PopulationLandscape":
        """The landscape under a further constant input `I`, in units of η, which adds I/R to the potential."""
        return population_landscape(self.model, self.I + jnp.asarray(I, self.I.dtype))

    def grid(self, count: int = 401, around: float = 0.35) -> tuple[Values, Values]:
        """(r, V): the potential on `count` rates that cover all fixed points, with `around` as margin in ln r, for plots."""
        finite = np.asarray(self.state.r)[np.isfinite(np.asarray(self.state.r))]
        require("around", around, "lie around at least one fixed point, of which there are none", finite.size > 0)
        low, high = np.log(finite.min()) - around, np.log(finite.max()) + around
        r = jnp.exp(jnp.linspace(low, high, count, dtype=self.energy.dtype))
        return r, self.potential(r)

    def __repr__(self) -> str:
        if not is_concrete(self.energy) or self.energy.ndim != 1:
            return f"PopulationLandscape of {type(self.model).__name__}, batch shape {self.energy.shape[:-1]}"
        points = self.points
        lines = [f"Landscape of {describe(self.model)}" + (f", input {self.I:g}" if self.I != 0 else "")]
        for k, kind in enumerate(points.kinds):
            barrier = f", barrier {points.barrier[k]:.6g}" if np.isfinite(points.barrier[k]) else ""
            lines.append(f"  {kind:<13} r = {points.r[k]:.6g}, v = {points.v[k]:.6g}, V = {points.energy[k]:.6g}{barrier}")
        return "\n".join(lines)


def population_landscape(model: MPR, I: Real = 0.0) -> PopulationLandscape:
    """See `energy_landscape`; for one population without slow terms."""
    return _landscape(model, as_number("I", I).astype(model.eta.dtype))


@jitted  # one compilation in place of a hundred small ones
def _landscape(model: MPR, current: Scalar) -> PopulationLandscape:
    tilted = model.tilted(current)
    R, folds = fixed_rates(tilted)
    exists = jnp.isfinite(R)
    safe = jnp.where(exists, R, 1)
    v = tilted.voltage_at_rate(safe)
    y = State(r=safe / model.tau, v=v)
    shown = lambda value: jnp.where(exists, value, jnp.nan)

    energy = potential_energy(model, y, current)
    q = jnp.sqrt(2 / safe)
    curvature = jax.vmap(jax.grad(jax.grad(tilted.potential)))(q)
    loss = damping(model, y)
    eigenvalues = planar_eigenvalues(*planar_jacobian(tilted, y))

    nothing = jnp.full_like(current, jnp.nan)
    height = jnp.stack([energy[1] - energy[0], nothing, energy[1] - energy[2]])
    barrier = jnp.where(exists[1], height, jnp.asarray([jnp.inf, jnp.nan, jnp.inf], height.dtype))
    both = jnp.isfinite(folds)
    to_fold = -tilted.force_at_rate(jnp.where(both, folds, 1))
    to_fold = jnp.where(both, to_fold, jnp.nan)
    vanishing = jnp.stack([to_fold[0], nothing, to_fold[1]])
    return PopulationLandscape(
        model=model,
        I=current,
        state=jax.tree.map(shown, y),
        energy=shown(energy),
        eigenvalues=jnp.where(exists[:, None], eigenvalues, jnp.nan),
        barrier=shown(barrier),
        curvature=shown(curvature),
        frequency=shown(jnp.imag(eigenvalues[:, 0])),
        damping=shown(loss / 2 / model.tau),
        vanishing_input=shown(vanishing),
        fold_rate=folds / model.tau,
    )


def kinds_of(landscape: PopulationLandscape) -> Values:
    """Codes of `points.KINDS` per fixed point, also inside transformations; −1 if absent."""
    return jnp.where(jnp.isfinite(landscape.energy), kind_codes(landscape.eigenvalues), -1)
