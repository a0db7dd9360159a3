"""The reference ensemble, its exact solution, and the error of a lane.

n populations with random (η, J, Δ), all from the same state, to t = 50. The reference is heyoka's Taylor series at tolerance
1e-16 (it agrees with DOP853 at 1e-13 to 2e-14); without heyoka, `MobiusExtrapolation(8)` at 1e-13 (3e-11 from it at worst).
The error of a lane is |W − W_ref|/|W_ref| with W = πr + iv at the end; a lane that failed counts as infinitely wrong.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

PARAMETERS = ("eta", "J", "Delta")


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Populations with parameters of their own, one initial state, one final time; with `tau_s`, each with an exponential
    synapse, whose s starts at the rate."""

    eta: np.ndarray
    J: np.ndarray
    Delta: np.ndarray
    r0: float = 0.1
    v0: float = -1.0
    t1: float = 50.0
    tau_s: np.ndarray | None = None

    @property
    def parameters(self) -> np.ndarray:
        """(η, J, Δ) and, with synapses, τ_s: one row each."""
        return np.stack([self.eta, self.J, self.Delta, *(() if self.tau_s is None else (self.tau_s,))])

    @property
    def start(self) -> list[float]:
        """The initial (r, v) and, with synapses, s."""
        return [self.r0, self.v0, *(() if self.tau_s is None else (self.r0,))]

    @property
    def lanes(self) -> int:
        return self.eta.size

    @property
    def work(self) -> float:
        """Time units of all lanes together."""
        return self.lanes * self.t1

    def part(self, lanes: slice) -> "Ensemble":
        tau_s = None if self.tau_s is None else self.tau_s[lanes]
        return dataclasses.replace(self, eta=self.eta[lanes], J=self.J[lanes], Delta=self.Delta[lanes], tau_s=tau_s)


def ensemble(lanes: int, t1: float = 50.0) -> Ensemble:
    rng = np.random.default_rng(7)
    return Ensemble(rng.uniform(-6, 6, lanes), rng.uniform(-10, 20, lanes), rng.uniform(0.02, 1, lanes), t1=t1)


def synaptic_ensemble(lanes: int, t1: float = 50.0) -> Ensemble:
    """Inhibitory populations with a synapse of their own (ING): most rest, some oscillate."""
    rng = np.random.default_rng(9)
    eta, J, Delta, tau_s = (rng.uniform(*each, lanes) for each in ((0, 8), (-30, 0), (0.1, 1), (0.1, 2)))
    return Ensemble(eta, J, Delta, 0.4, 0.3, t1, tau_s)


def taylor_system(gradients: bool = False, synapse: bool = False):
    """The population as heyoka expressions with the parameters (η, J, Δ); with `gradients`, the variational ones too, with
    `synapse`, coupled through s with the parameter τ_s."""
    import heyoka as hy

    r, v, s = hy.make_vars("r", "v", "s")
    eta, J, Delta = hy.par[0], hy.par[1], hy.par[2]
    if synapse:
        voltage = v * v + eta - math.pi**2 * r * r + J * s
        return [(r, Delta / math.pi + 2 * r * v), (v, voltage), (s, (r - s) / hy.par[3])]
    system = [(r, Delta / math.pi + 2 * r * v), (v, v * v + eta - math.pi**2 * r * r + J * r)]
    return hy.var_ode_sys(system, [eta, J, Delta], order=1) if gradients else system


def _taylor(problem: Ensemble, gradients: bool) -> np.ndarray:
    import heyoka as hy

    system, parameters = taylor_system(gradients, problem.tau_s is not None), problem.parameters
    solver = hy.taylor_adaptive(system, problem.start, tol=1e-16, pars=np.ones(len(parameters)))
    start = np.array(solver.state)
    found = np.empty((start.size, problem.lanes))
    for lane in range(problem.lanes):
        solver.time, solver.state[:] = 0.0, start
        solver.pars[:] = parameters[:, lane]
        solver.propagate_until(problem.t1)
        found[:, lane] = solver.state
    return found


def _extrapolation(problem: Ensemble, gradients: bool) -> np.ndarray:
    import jax
    import jax.numpy as jnp

    import nmmjax as nmm

    def final(parameters):
        synapse = None if problem.tau_s is None else nmm.ExponentialSynapse(tau=parameters[3])
        model = nmm.MPR(**dict(zip(PARAMETERS, parameters[:3], strict=True)), synapse=synapse)
        run = nmm.simulate(
            model,
            {"r": problem.r0, "v": problem.v0},
            jnp.asarray([0.0, problem.t1]),
            solver=nmm.MobiusExtrapolation(8),
            rtol=1e-13,
            atol=1e-14,
        )
        return jnp.stack([run.y_end.r, run.y_end.v])

    parameters = jnp.asarray(problem.parameters.T)
    with jax.enable_x64(True):
        states = jax.lax.map(final, parameters)
        if not gradients:
            return np.asarray(states).T
        slopes = jax.lax.map(jax.jacrev(final), parameters)
    return np.concatenate([np.asarray(states).T, np.asarray(slopes).reshape(problem.lanes, 6).T])


def _exact(problem: Ensemble, gradients: bool) -> np.ndarray:
    try:
        return _taylor(problem, gradients)
    except ModuleNotFoundError:
        print("heyoka is not installed (`pip install 'nmmjax[bench]'`): the reference is MobiusExtrapolation(8) at 1e-13")
        return _extrapolation(problem, gradients)


def reference(problem: Ensemble) -> np.ndarray:
    """Exact final (r, v) of every lane, shape (2, lanes)."""
    return _exact(problem, gradients=False)[:2]


def reference_gradient(problem: Ensemble) -> np.ndarray:
    """Exact ∂r/∂(η, J, Δ) at the end, shape (3, lanes)."""
    return _exact(problem, gradients=True)[2:5]


def relative_error(state: Sequence[np.ndarray], exact: np.ndarray) -> np.ndarray:
    """Error of every lane's final (r, v)."""
    r, v = (np.asarray(each, dtype=np.float64) for each in state)
    with np.errstate(all="ignore"):
        error = np.hypot(np.pi * (r - exact[0]), v - exact[1]) / np.hypot(np.pi * exact[0], exact[1])
    return np.where(np.isfinite(error), error, np.inf)


def relative_error_of_gradient(gradient: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Error of every lane's gradient as a vector in the units of (η, J, Δ)."""
    with np.errstate(all="ignore"):
        error = np.linalg.norm(np.asarray(gradient) - exact, axis=0) / np.linalg.norm(exact, axis=0)
    return np.where(np.isfinite(error), error, np.inf)


def quantiles(error: np.ndarray) -> dict[str, float]:
    """Median and 95th percentile, without interpolating between finite and infinite errors."""
    return {
        "error_median": float(np.quantile(error, 0.5, method="higher")),
        "error_p95": float(np.quantile(error, 0.95, method="higher")),
    }


@dataclasses.dataclass(frozen=True)
class Noisy:
    """One population under common white noise dv = … + √(2D) dW; lanes are independent realisations."""

    eta: float = -1.0
    J: float = 4.0
    Delta: float = 0.7
    D: float = 0.4
    r0: float = 0.5
    v0: float = 0.0

    def mean_rate(self) -> float:
        """⟨r⟩ of the exact stationary law P(r) ∝ r^(−3/2) exp(−V_Δ(r)/T), T = πD/Δ."""
        r = np.geomspace(1e-4, 1e3, 2_000_001)
        potential = self.eta / r + np.pi**2 * r - self.J * np.log(r) + self.Delta**2 / (12 * np.pi**2 * r**3)
        exponent = -potential * self.Delta / (np.pi * self.D) - 0.5 * np.log(r)  # r^(−3/2) dr = r^(−1/2) d ln r
        weight = np.exp(exponent - exponent.max())
        return float(np.sum(r * weight) / np.sum(weight))
