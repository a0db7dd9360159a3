"""What is measured of nmmjax, through its public functions; prepared and called like those of rivals.py."""

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
    """`simulate` with the splitting of this order and the step given; with noise, of its order 2."""
    model, ts = network(p), p.tau * SPACING * np.arange(round(T / SPACING) + 1)
    options: dict[str, Any] = {"dt0": p.tau * SPACING / steps}
    options |= {"noise": p.D} if p.D else {"solver": nmm.MobiusSplitting(order)}
    start = {"r": p.r / p.tau, "v": p.v}

    def run(seed: int = p.seed) -> Any:
        key = {"key": jax.random.key(seed)} if p.D else {}
        ys = nmm.simulate(model, start, ts, **options, **key).ys
        return jax.block_until_ready(jnp.stack([ys.r[1:], ys.v[1:]], axis=1))

    return run


def moments(p: Problem, steps: int, T: float, seeds: int, after: float) -> Run:
    """Mean and variance of r over nodes and times later than `after`, (seeds, 2)."""
    run = simulate(p, steps, T)
    return lambda: of_moments(run, seeds, after)
