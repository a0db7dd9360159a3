"""Whole-brain networks of MPR in other tools, as their documentation writes them: functions that prepare compiled runs.

Each takes a `Problem`, the number of steps per `SPACING`, the time T, and options of the tool; a run returns the states
(samples, 2, n) at SPACING, 2 SPACING, …, with rates per unit of the problem's `tau`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np

from nmmjax._optional import optional

from .reference import SPACING, Problem

Run = Callable[[], Any]


def _sizes(p: Problem, steps: int, T: float) -> tuple[float, int, np.ndarray | None]:
    """The step and all delays in the tool's unit of time, and the number of steps."""
    return p.tau * SPACING / steps, steps * round(T / SPACING), None if p.delays is None else p.tau * p.delays


def _start(p: Problem) -> np.ndarray:
    return np.stack([p.r / p.tau, p.v])


def tvboptim_network(p: Problem, dt: float, **options: Any) -> Any:
    """The network in tvboptim with its past; `options` are those of the delayed coupling."""
    optional("tvboptim", "bench")
    import jax
    import jax.numpy as jnp
    from tvboptim.experimental.network_dynamics import Network, coupling, graph, noise
    from tvboptim.experimental.network_dynamics.dynamics.tvb import MontbrioPazoRoxin
    from tvboptim.experimental.network_dynamics.result import wrap_native_result

    dynamics = MontbrioPazoRoxin(eta=p.eta, J=p.J, Delta=p.Delta, tau=p.tau)
    W, gain = jnp.asarray(p.W), p.gain * p.tau  # their coupling is of r, ours of τr
    sigma = float(np.sqrt(2 * p.D / p.tau))
    random = noise.AdditiveNoise(sigma=sigma, apply_to="V", key=jax.random.key(p.seed)) if p.D else None
    if p.delays is None:
        sent = {"instant": coupling.LinearCoupling(incoming_states="r", G=gain)}
        network, longest = Network(dynamics, sent, graph.DenseGraph(W), noise=random), dt
    else:
        longest = p.tau * float(p.delays.max())
        sent = {"delayed": coupling.DelayedLinearCoupling(incoming_states="r", G=gain, **options)}
        network = Network(dynamics, sent, graph.DenseDelayGraph(W, jnp.asarray(p.tau * p.delays)), noise=random)
    start = jnp.asarray(_start(p))
    past = np.arange(-np.ceil(longest / dt) - 2, 1) * dt
    before = jnp.broadcast_to(start, (past.size, *start.shape))
    network.update_history(wrap_native_result(before, past[0] - dt, 0.0, dt, variable_names=("r", "V")))
    return network


def tvboptim(p: Problem, steps: int, T: float, method: str = "Heun", per_stage: bool = False, **options: Any) -> Run:
    """tvboptim with Euler, Heun or RungeKutta4; `per_stage` computes the coupling in every stage instead of once a step."""
    optional("tvboptim", "bench")
    import jax
    from tvboptim.experimental.network_dynamics import prepare, solvers

    dt, total, _ = _sizes(p, steps, T)
    network = tvboptim_network(p, dt, **options)
    solver = getattr(solvers, method)(recompute_coupling_per_stage=per_stage)
    function, config = prepare(network, solver, t0=0.0, t1=(total - 0.5) * dt, dt=dt)
    compiled = jax.jit(lambda config: function(config).ys[steps - 1 :: steps])

    def run(seed: int = p.seed) -> Any:
        if p.D:
            config.noise.key = jax.random.key(seed)
        return jax.block_until_ready(compiled(config))

    return run


def vbjax(p: Problem, steps: int, T: float, method: str = "heun") -> Run:
    """vbjax: `heun` or `rk4` without delays and noise, else Heun, its noise drawn in the run; delays are rounded down."""
    vb = optional("vbjax", "bench")
    import jax
    import jax.numpy as jnp

    dt, total, delays = _sizes(p, steps, T)
    theta = vb.mpr_default_theta._replace(eta=p.eta, J=p.J, Delta=p.Delta, tau=p.tau)
    W, gain, n, start = jnp.asarray(p.W), p.gain * p.tau, p.size, jnp.asarray(_start(p))
    sigma = jnp.array([[0.0], [float(np.sqrt(2 * p.D / p.tau))]])

    def slope(x: Any, q: Any) -> Any:
        return vb.mpr_dfun(x, (gain * (q @ x[0]), 0.0), theta)

    if delays is None and not p.D:
        _, loop = vb.make_ode(dt, slope, adhoc=vb.mpr_r_positive, method=method)
        compiled = jax.jit(lambda start, W: loop(start, jnp.arange(total), W)[steps - 1 :: steps])
        return lambda: jax.block_until_ready(compiled(start, W))
    if delays is None:
        _, loop = vb.make_sde(dt, slope, lambda x, q: sigma, adhoc=vb.mpr_r_positive)
        noisy = jax.jit(lambda key, W: loop(start, jax.random.normal(key, (total, 2, n)), W)[steps - 1 :: steps])
        return lambda seed=p.seed: jax.block_until_ready(noisy(jax.random.key(seed), W))
    helper = vb.make_delay_helper(W, jnp.asarray(delays), dt=dt, v_c=1.0)
    longest = int(helper.max_lag)

    def delayed(past: Any, x: Any, t: Any, q: Any) -> Any:
        """As their `delay_apply`, of the rates alone: three times faster here."""
        return vb.mpr_dfun(x, (gain * (q * past[t - helper.lags, 0, helper.ix_lag_from]).sum(axis=1), 0.0), theta)

    _, loop = vb.make_sdde(dt, longest, delayed, lambda x, q: sigma, adhoc=vb.mpr_r_positive)

    def run(key: Any, W: Any) -> Any:
        past = jnp.broadcast_to(start, (longest + 1, 2, n))
        noise = jax.random.normal(key, (total, 2, n)) if p.D else jnp.zeros((total, 2, n))
        return loop(jnp.concatenate([past, noise]), W)[1][steps - 1 :: steps]

    compiled = jax.jit(run)
    return lambda seed=p.seed: jax.block_until_ready(compiled(jax.random.key(seed), W))


def moments(p: Problem, steps: int, T: float, seeds: int, after: float, tool: str, per_stage: bool) -> Run:
    """Mean and variance of r over nodes and times later than `after`, (seeds, 2), of runs of a tool with its own seeds."""
    run = globals()[tool](p, steps, T, **({"per_stage": True} if per_stage else {}))
    return lambda: of_moments(run, seeds, after)


def of_moments(run: Callable[[int], Any], seeds: int, after: float) -> np.ndarray:
    found = [np.asarray(run(seed))[round(after / SPACING) :, 0] for seed in range(seeds)]
    centre = np.mean(found, axis=(0, 1))
    return np.array([[each.mean(), np.mean((each - centre) ** 2)] for each in found])


def tvboptim_lanes(
    p: Problem, steps: int, T: float, gains: Any, noises: Any, period: float, vmapped: int, devices: int
) -> Run:
    """Functional connectivities (gains × noises, n, n) by tvboptim's `ParallelExecution`, BOLD folded block by block;
    `period` is the repetition time, in ms as `p.tau` is."""
    optional("tvboptim", "bench")
    import copy

    import jax.numpy as jnp
    from tvboptim.execution import ParallelExecution
    from tvboptim.experimental.network_dynamics import prepare, solvers
    from tvboptim.observations.tvb_monitors.bold import HRFBold, streaming_hrf_bold
    from tvboptim.observations.tvb_monitors.downsampling import SubSampling
    from tvboptim.types.spaces import DataAxis, Space

    dt, total, _ = _sizes(p, steps, T)
    network = tvboptim_network(p, dt, buffer_strategy="circular", history_interpolation="linear")
    monitor = HRFBold(period=period, downsample_period=4.0, downsample=SubSampling(period=4.0), voi=0)
    solver = solvers.Heun(block_size=round(period / dt))
    options = {"t0": 0.0, "t1": (total - 0.5) * dt, "dt": dt}
    function, config = prepare(network, solver, **options, reduce=streaming_hrf_bold(monitor, dt))
    config = copy.deepcopy(config)
    config.coupling.delayed.G = DataAxis(jnp.asarray(gains) * p.tau)
    config.noise.sigma = DataAxis(jnp.sqrt(2 * jnp.asarray(noises) / p.tau))
    space = Space(config, mode="product")
    execution = ParallelExecution(lambda each: jnp.corrcoef(function(each)[:, 0].T), space, n_vmap=vmapped, n_pmap=devices)

    def run() -> np.ndarray:
        found = execution.run().results
        return np.asarray(found).reshape(-1, p.size, p.size)

    return run


def tvboptim_gradient(p: Problem, steps: int, T: float, period: float, derivative: bool) -> Run:
    """Mean square of the functional connectivity of BOLD, by tvboptim; with `derivative`, its gradient by gain, speed and
    every η in reverse mode, in blocks that are computed again. Returns value and gradient in one array."""
    optional("tvboptim", "bench")
    import copy

    import jax
    import jax.numpy as jnp
    from tvboptim.experimental.network_dynamics import prepare, solvers
    from tvboptim.observations.tvb_monitors.bold import HRFBold, streaming_hrf_bold
    from tvboptim.observations.tvb_monitors.downsampling import SubSampling

    dt, total, _ = _sizes(p, steps, T)
    network = tvboptim_network(p, dt, buffer_strategy="circular", history_interpolation="linear")
    monitor = HRFBold(period=period, downsample_period=4.0, downsample=SubSampling(period=4.0), voi=0)
    options = {"t0": 0.0, "t1": (total - 0.5) * dt, "dt": dt, "reduce": streaming_hrf_bold(monitor, dt)}
    function, config = prepare(network, solvers.Heun(block_size=round(period / dt)), **options)
    upper = np.triu_indices(p.size, 1)
    delays = jnp.asarray(p.tau * p.delays)

    def loss(q: tuple[Any, Any, Any]) -> Any:
        gain, slower, eta = q
        each = copy.copy(config)
        each.coupling = copy.copy(config.coupling)
        each.coupling.delayed = copy.copy(config.coupling.delayed)
        each.coupling.delayed.G = gain * p.tau
        each.dynamics = copy.copy(config.dynamics)
        each.dynamics.eta = eta
        each.graph = eqx.tree_at(lambda graph: graph.delays, config.graph, slower * delays)
        return jnp.mean(jnp.corrcoef(function(each)[:, 0].T)[upper] ** 2)

    at = (jnp.asarray(p.gain), jnp.asarray(0.999), jnp.full(p.size, p.eta))
    compiled = jax.jit(jax.value_and_grad(loss) if derivative else loss)

    def run() -> np.ndarray:
        found = jax.block_until_ready(compiled(at))
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])

    return run


def tvb_simulator(p: Problem, dt: float, integrator: str = "Heun") -> Any:
    """TVB's own simulator of the network, recorded after every step."""
    optional("tvb", "bench")
    from tvb.simulator.lab import connectivity, coupling, integrators, models, monitors, noise, simulator

    n = p.size
    delays = p.tau * p.delays if p.delays is not None else np.zeros((n, n))
    brain = connectivity.Connectivity(
        weights=np.array(p.W),
        tract_lengths=np.array(delays),
        speed=np.array([1.0]),
        region_labels=np.array([f"R{k}" for k in range(n)]),
        centres=np.zeros((n, 3)),
    )
    values = {name: np.array([getattr(p, name)]) for name in ("eta", "J", "Delta", "tau")}
    if p.D:
        scheme = integrators.HeunStochastic(
            dt=dt, noise=noise.Additive(nsig=np.array([0.0, p.D / p.tau]), noise_seed=p.seed)
        )
    else:
        scheme = getattr(integrators, f"{integrator}Deterministic")(dt=dt)
    horizon = int(np.rint(delays / dt).max()) + 1
    return simulator.Simulator(
        model=models.MontbrioPazoRoxin(**values),
        connectivity=brain,
        coupling=coupling.Linear(a=np.array([p.gain * p.tau])),
        integrator=scheme,
        monitors=[monitors.Raw()],
        initial_conditions=np.broadcast_to(_start(p)[None, :, :, None], (horizon, 2, n, 1)).copy(),
    ).configure()


def tvb(p: Problem, steps: int, T: float, integrator: str = "Heun") -> Run:
    """TVB's simulator in Python: `integrator` is Euler, Heun or RungeKutta4thOrder; delays are rounded to steps."""
    dt, total, _ = _sizes(p, steps, T)

    def run() -> np.ndarray:
        ((_, found),) = tvb_simulator(p, dt, integrator).run(simulation_length=total * dt)
        return found[steps - 1 :: steps, :, :, 0]

    return run


def tvb_numba(p: Problem, steps: int, T: float) -> Run:
    """TVB's numba back end for MPR, Heun. Without delays it takes the coupling once a step, since it would otherwise read
    nodes that are not computed yet."""
    optional("tvb", "bench")
    from tvb.simulator.backend import nb_mpr
    from tvb.simulator.lab import integrators, noise

    dt, total, _ = _sizes(p, steps, T)
    brain = tvb_simulator(dataclasses.replace(p, D=0.0), dt)
    random = noise.Additive(nsig=np.array([0.0, p.D / p.tau]), noise_seed=p.seed)
    brain.integrator = integrators.HeunStochastic(dt=dt, noise=random)
    brain.configure()
    backend = nb_mpr.NbMPRBackend()
    build, kept = backend.build_py_func, []

    def once(*args: Any, **options: Any) -> Any:
        """Rendering and compiling belong to the warm-up."""
        if not kept:
            kept.append(build(*args, **options))
        return kept[0]

    backend.build_py_func = once

    def run() -> np.ndarray:
        ((_, found),) = backend.run_sim(brain, nstep=total, compatibility_mode=p.delays is None)
        return found[steps - 1 :: steps, :, :, 0]

    return run
