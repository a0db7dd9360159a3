"""A network of QIF neurons in Brian2, as its users write it: Euler, threshold and reset ±100, refractory for the time that a
neuron spends beyond, delta coupling to all by a network operation."""

import collections
import time
from typing import Any

import numpy as np

PEAK = 100.0


def in_brian(
    brian: Any, currents: np.ndarray, start: np.ndarray, J: float, dt: float, T: float, width: float, late: float = 0.0
) -> tuple[np.ndarray, float]:
    """(spikes per neuron and time in bins of `width`, seconds of the run without compilation) of neurons with these currents
    and first voltages, (N,), coupled by J, up to the time `T` in steps of `dt`. `brian` is the package. Spikes act `late`
    after the threshold; 1/PEAK is when V would be infinite."""
    N, delay = currents.size, round(late / dt)
    brian.start_scope()
    brian.defaultclock.dt = dt * brian.second
    equations = "dV/dt = (V**2 + eta)/second : 1 (unless refractory)\neta : 1"
    given = {"threshold": f"V > {PEAK}", "reset": f"V = -{PEAK}", "method": "euler"}
    group = brian.NeuronGroup(N, equations, refractory=2 / PEAK * brian.second, **given)
    group.eta, group.V = currents, np.clip(start, -PEAK, PEAK)
    counts: list[int] = []
    waiting = collections.deque([0] * delay)
    voltages = group.variables["V"].get_value()

    def deliver() -> None:
        waiting.append(len(group.spikes))
        counts.append(waiting.popleft())
        voltages[:] += J / N * counts[-1]

    network = brian.Network(group, brian.NetworkOperation(deliver, when="after_resets"))
    network.store()
    network.run(2 * dt * brian.second)  # compiles
    network.restore()
    counts.clear()
    waiting.clear()
    waiting.extend([0] * delay)
    begun = time.perf_counter()
    network.run(T * brian.second)
    taken = time.perf_counter() - begun
    steps = round(width / dt)
    return np.array(counts[: round(T / width) * steps]).reshape(-1, steps).sum(axis=1) / (N * width), taken
