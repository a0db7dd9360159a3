"""What is measured of nmmjax, through its public functions; prepared and called like those of rivals.py."""

import resource
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nmmjax as nmm

from .reference import SPACING, Problem
from .rivals import of_moments

Run = Callable[[], Any]


def network(p: Problem) -> nmm.Network:
    node = nmm.MPR(eta=p.eta, J=p.J, Delta=p.Delta, tau=p.tau)
    delay = {} if p.delays is None else {"delay": p.tau * p.delays}
    return nmm.Network(node, p.W, gain=p.gain, **delay)


def simulate(p: Problem, steps: int, T: float, order: int = 4) -> Run:
    """`simulate` with the splitting of this order and the step given, with noise in its kicks."""
    model, ts = network(p), p.tau * SPACING * np.arange(round(T / SPACING) + 1)
    options: dict[str, Any] = {"dt0": p.tau * SPACING / steps}
    options |= {"solver": nmm.MobiusSplitting(order)} | ({"noise": p.D} if p.D else {})
    start = {"r": p.r / p.tau, "v": p.v}

    def run(seed: int = p.seed) -> Any:
        key = {"key": jax.random.key(seed)} if p.D else {}
        ys = nmm.simulate(model, start, ts, **options, **key).ys
        return jax.block_until_ready(jnp.stack([ys.r[1:], ys.v[1:]], axis=1))

    return run


def moments(p: Problem, steps: int, T: float, seeds: int, after: float, order: int = 4) -> Run:
    """Mean and variance of r over nodes and times later than `after`, (seeds, 2)."""
    run = simulate(p, steps, T, order)
    return lambda: of_moments(run, seeds, after)


def linear_fc(p: Problem) -> Run:
    """Functional connectivity of the rates by `linear_response`, (n, n)."""
    model, guess = network(p), {"r": p.r, "v": p.v}
    return lambda: jax.block_until_ready(nmm.linear_response(model, p.D, guess=guess).fc("r"))


def simulated_fc(p: Problem, steps: int, T: float, runs: int, after: float) -> Run:
    """The same of simulated rates, a matrix per run, (runs, n, n)."""
    run, first = simulate(p, steps, T), round(after / SPACING)
    return lambda: np.stack([np.corrcoef(np.asarray(run(seed))[first:, 0].T) for seed in range(runs)])


def lanes(p: Problem, steps: int, T: float, gains: Any, noises: Any, period: float) -> Run:
    """Functional connectivities (gains × noises, n, n) of BOLD by `sweep`; `period` is the repetition time."""
    over = {"gain": np.asarray(gains), "noise": np.asarray(noises)}
    observe = {"fc": nmm.FunctionalConnectivity(nmm.BOLDKernel(TR=period), skip=0.0)}
    options = {"over": over, "y0": {"r": p.r / p.tau, "v": p.v}, "t1": p.tau * T, "dt0": p.tau * SPACING / steps}
    model, key = network(p), jax.random.key(p.seed)

    def run() -> Any:
        found = nmm.sweep(model, **options, observe=observe, noise=p.D, key=key)
        return np.asarray(found.fc).reshape(-1, p.size, p.size)

    return run


def peak_bytes(time: int = 0) -> Run:
    """The largest resident memory of this process so far; `time` tells one question from the next."""
    del time
    return lambda: np.array(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def gradient(p: Problem, steps: int, T: float, period: float, derivative: bool) -> Run:
    """Mean square of the functional connectivity of BOLD; with `derivative`, its gradient by gain, speed and every η in
    reverse mode. Returns value and gradient in one array."""
    upper = np.triu_indices(p.size, 1)
    lengths = nmm.Connectome(p.W, p.tau * p.delays)
    ts = np.array([0.0, p.tau * T])
    monitors = {"fc": nmm.FunctionalConnectivity(nmm.BOLDKernel(TR=period), skip=0.0)}
    key, start = jax.random.key(p.seed), {"r": p.r / p.tau, "v": p.v}

    def loss(q: tuple[Any, Any, Any]) -> Any:
        gain, speed, eta = q
        node = nmm.per_node(nmm.MPR(J=p.J, Delta=p.Delta, tau=p.tau), eta=eta)
        model = nmm.Network(node, lengths, gain=gain, speed=speed)
        run = nmm.simulate(model, start, ts, noise=p.D, key=key, dt0=p.tau * SPACING / steps, monitors=monitors)
        return jnp.mean(run.monitors["fc"].values[upper] ** 2)

    at = (jnp.asarray(p.gain), jnp.asarray(1.0), jnp.full(p.size, p.eta))
    call = jax.value_and_grad(loss) if derivative else loss  # delays decide how steps are gathered: not under `jax.jit`

    def run() -> np.ndarray:
        found = jax.block_until_ready(call(at))
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])

    return run
