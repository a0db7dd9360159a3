"""The saddle on the edge between two basins, and on which side of its stable manifold a state is."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._types import Scalar, Values
from ..equilibria.newton import fixed_point
from ..equilibria.stability import flat_field
from ..models.base import AbstractModel
from ..models.state import State
from ..models.stimulus import AbstractStimulus
from ..numerics.compiling import jitted
from ..solvers.simulation import simulate
from .attractors import Attractors
from .outcomes import Accuracy, driven

_GRID = 4096


class Edge(eqx.Module):
    """A saddle with one unstable direction next to a run at threshold; `found` is False if absent.

    - `time`: when the run is closest, after the stimulus; `distance`: how close
    - `left`: left eigenvector of the unstable `eigenvalue`; `inverse`: of the Jacobian at the saddle
    """

    saddle: State
    time: Scalar
    distance: Scalar
    eigenvalue: Scalar
    left: Values
    inverse: Values
    found: bool = eqx.field(static=True)

    def side(self, model: AbstractModel, y: State) -> Scalar:
        """w·(y − s): zero on the saddle's stable manifold to first order, with the saddle's own derivative by `model`."""
        x = ravel_pytree(self.saddle)[0]
        x = x - self.inverse @ flat_field(model, self.saddle)(x)
        return self.left @ (ravel_pytree(y)[0] - x)


def find_edge(
    model: AbstractModel,
    y0: State,
    stimulus: AbstractStimulus | None,
    duration: Scalar,
    attractors: Attractors,
    accuracy: Accuracy,
) -> Edge:
    """The saddle which the run under `stimulus`, at threshold, passes after `duration`."""
    time, near = _slowest(model, y0, stimulus, duration, attractors, accuracy)
    saddle, A, residual = fixed_point(model, near)
    eigenvalues, eigenvectors = np.linalg.eig(A.T)
    values, vectors = np.real(eigenvalues), np.real(eigenvectors)
    unstable = np.flatnonzero(values > 0)
    distance = jnp.linalg.norm(ravel_pytree(near)[0] - ravel_pytree(saddle)[0])
    found = unstable.size == 1 and residual < 1e-3 and float(distance) < 0.1
    k = int(unstable[0]) if found else 0
    as_dtype = lambda each: jnp.asarray(each, distance.dtype)
    inverse = np.linalg.inv(A) if found else np.eye(len(A))
    eigenvalue = values[k] if found else np.nan
    return Edge(saddle, time, distance, as_dtype(eigenvalue), as_dtype(vectors[:, k]), as_dtype(inverse), found)


@jitted
def _slowest(
    model: AbstractModel,
    y0: State,
    stimulus: AbstractStimulus | None,
    duration: Scalar,
    attractors: Attractors,
    accuracy: Accuracy,
) -> tuple[Scalar, State]:
    """Time after the stimulus, and state, at which the run is slowest outside of all traps: next to a saddle."""
    end, _ = driven(model, y0, stimulus, duration, accuracy)
    ts = jnp.linspace(0, accuracy.patience, _GRID, dtype=accuracy.patience.dtype)
    run = simulate(model, end, ts, rtol=accuracy.rtol, atol=accuracy.atol, adjoint=diffrax.ForwardMode())
    field = flat_field(model, end)

    def speed(y: State) -> Scalar:
        slow = jnp.linalg.norm(field(ravel_pytree(y)[0]))
        return jnp.where(jnp.all(attractors.distances(y) > 1), slow, jnp.inf)

    k = jnp.argmin(jax.vmap(speed)(run.ys))
    return ts[k], jax.tree.map(lambda each: each[k], run.ys)
