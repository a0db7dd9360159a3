"""What scanners record of small fluctuations, without a run: the cross-spectra of the linear response, filtered."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._blas import with_one_thread
from .._checks import require
from .._nan import nan_is_absent
from .._types import Values
from ..monitors.base import AbstractMonitor
from ..monitors.connectivity import FunctionalConnectivity, correlations
from ..monitors.results import Measured
from ..numerics.compiling import jitted
from ..numerics.quadrature import panels
from .linear import LinearResponse

_FIRST, _LAST = 0.05, 10.0  # Hz: where the filters of BOLD begin to fall, and where nothing passes any more
_PANELS = 6  # of 8 frequencies: variances to 3e-7, correlations to 2e-8 even next to a fold


@nan_is_absent
@with_one_thread
def recorded_connectivity(response: LinearResponse, monitor: AbstractMonitor) -> Measured:
    """Functional connectivity of what a monitor records of small fluctuations around a stable state, without a run.

        FC_ij = C_ij/√(C_ii C_jj),   C = ∫ H_i(f)* S_ij(f) H_j(f) df

    S are the cross-spectra of the channel (`linear_response`), H_i the monitor's `transfer` at the mean of node i: exact to
    first order in the noise. Use it for the BOLD connectivity of a brain in milliseconds; differentiable.

    - `response`: a `LinearResponse` of a network
    - `monitor`: a monitor with a transfer function, `BOLD` or `BOLDKernel`

    Returns a `Measured` with the matrix (n, n) as `values`; NaN if the state is not stable. Raises `ValueError` for one
    population, and for monitors without a transfer function. Source: docs/theory.md §M.
    """
    require("response", type(response).__name__, "be a `LinearResponse`", isinstance(response, LinearResponse))
    require("response", type(response.model).__name__, "be of a network", response.model.size is not None)
    require("monitor", monitor, "be a monitor such as `BOLD(TR=2000.0)`", isinstance(monitor, AbstractMonitor))
    unit = monitor.time_unit
    rule = "have a transfer function and know the unit of time, as `BOLD` and `BOLDKernel` do"
    require("monitor", type(monitor).__name__, rule, unit is not None)
    statistic = FunctionalConnectivity(monitor, skip=0.0)
    return statistic.result(correlations(_covariance(response, monitor)), monitor.labels(response.model), 0)


@jitted
def _covariance(response: LinearResponse, monitor: AbstractMonitor) -> Values:
    """C of what is recorded: Gauss–Legendre rules in asinh f, dense where the filter or the slowest mode begins to fall."""
    dtype, unit = response.A.dtype, monitor.time_unit or 1.0
    slow = jax.lax.stop_gradient(jnp.min(jnp.abs(jnp.real(response.eigenvalues)))) / (2 * jnp.pi)
    first = jnp.minimum(_FIRST * unit, jnp.where(slow > 0, slow, _FIRST * unit)).astype(dtype)
    u, weights = (jnp.asarray(each, dtype) for each in panels(np.linspace(0.0, 1.0, _PANELS + 1)))
    top = jnp.arcsinh(_LAST * unit / first)
    at = _channel(response, monitor.channel)

    def part(total: Values, seen: Any) -> tuple[Values, None]:
        u, weight = seen
        f = first * jnp.sinh(top * u)
        H = monitor.transfer(f, at)
        S = jnp.conj(H)[:, :, None] * response.cross_spectra(f, monitor.channel) * H[:, None]
        return total + jnp.tensordot(weight * top * first * jnp.cosh(top * u), 2 * jnp.real(S), axes=1), None

    return jax.lax.scan(part, jnp.zeros((at.shape[0], at.shape[0]), dtype), (u, weights))[0]


def _channel(response: LinearResponse, channel: str) -> Values:
    """The channel at the state, (n,)."""
    if channel in response.state.names:
        return getattr(response.state, channel)
    model: Any = response.model
    return model.channels(response.state, response.current)[channel][0]
