"""Claim (t): identical neurons obey the mean field's mechanics exactly, in any number."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._labelled import xarray
from .._optional import optional
from ..solvers.qif_step import barycentre, order_parameter
from .claim import Evidence, as_numpy, at_most

_ETA, _J, _H = 2.0, 3.0, 1 / 64


def _step(x: Any, eta: Any) -> tuple[Any, Any]:
    """(x after the exact flow ẋ = x² + η over a step, the factor of ψ where x = −ψ̇/ψ); of voltages or of a barycentre."""
    sigma = jnp.sqrt(eta)
    c, s = jnp.cos(sigma * _H), jnp.sin(sigma * _H) / sigma
    under = c - s * x
    return (c * x + eta * s) / under, under


@functools.partial(jax.jit, static_argnums=1)
def _run(V: Any, steps: int) -> dict[str, Any]:
    """A network of identical neurons, coupled by its own spikes and under a pulse, step after step: barycentre and order
    parameter of the voltages, the barycentre that the spike times alone give, and Ermakov's and Lewis' invariant of it with
    one neuron."""

    def step(carry, k) -> Any:
        V, w, psi = carry
        eta = _ETA + jnp.where((k >= steps // 3) & (k < 2 * steps // 3), 3.0, 0.0)
        V, under = _step(V, eta)
        psi = psi * under[0]
        w, _ = _step(w, eta.astype(w.dtype))
        kick = _J * jnp.sum(jnp.where(under < 0, 1.0, 0.0)) / V.size
        V, w = V + kick, w + kick.astype(w.dtype)
        x, v = barycentre(V)
        # q = √(2/r), q̇ = −v q; ψ̇ = −V ψ: the invariant of both under any drive.
        q = jnp.sqrt(2 * jnp.pi / x)
        invariant = ((v - V[0]) * psi * q) ** 2 / 2 + 2 * jnp.pi**2 * (psi / q) ** 2
        seen = {"r": x / jnp.pi, "v": v, "r_spikes": w.imag / jnp.pi, "v_spikes": w.real, "invariant": invariant}
        return (V, w, psi), seen | {"r_order": order_parameter(V)[0] / jnp.pi}

    x, v = barycentre(V)
    start = (V, jax.lax.complex(v, x), jnp.ones(()))
    return jax.lax.scan(step, start, jnp.arange(steps))[1]


def _clusters(size: int) -> Any:
    """Voltages in two clusters, which are no Lorentzian."""
    rng = np.random.default_rng(size)
    return jnp.asarray(np.where(rng.random(size) < 0.4, -1.0, 1.5) + 0.5 * rng.standard_normal(size))


def identical(quick: bool) -> Evidence:
    """(t) Identical neurons, 3 as well as 1000: ẇ = w² + η + I + J R of their barycentre, R their own spikes."""
    steps = 600 if quick else 6000
    runs = {size: jax.tree.map(as_numpy, _run(_clusters(size), steps)) for size in (3, 20, 1000)}
    t = _H * np.arange(1, steps + 1)
    pyplot = optional("matplotlib.pyplot", "plot")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    few = t <= t[min(steps, 600) - 1]
    left.plot(t[few], runs[3]["r"][few], color="#1f5fa8", label="barycentre of 3 voltages")
    left.plot(t[few], runs[3]["r_spikes"][few], "--", color="#d1651a", label="mean field driven by their spikes")
    left.set(xlabel="time t (unit of τ)", ylabel="rate r (1/time)", title="three identical neurons, one pulse")
    left.legend(frameon=False, fontsize=8)
    rows, data = [], {}
    for size, run in runs.items():
        gap = np.abs(run["r"] - run["r_spikes"]) / run["r"] + np.abs(run["v"] - run["v_spikes"]) / (1 + np.abs(run["v"]))
        drift = np.abs(run["invariant"] / run["invariant"][0] - 1)
        off = np.abs(run["r_order"] - run["r_spikes"]) / run["r_spikes"]
        right.semilogy(t, np.maximum(gap, 1e-17), linewidth=0.8, label=f"barycentre, N = {size}")
        rows += [
            at_most(
                f"mean field driven by the spikes of {size} neurons against their barycentre (relative)", gap.max(), 1e-8
            ),
            at_most(f"drift of the Ermakov–Lewis invariant of the barycentre and one of {size} neurons", drift.max(), 1e-8),
        ]
        for name, each in (("gap", gap), ("drift", drift), ("order_parameter_gap", off)):
            data[f"{name}_{size}"] = (("t",), each, {"units": "1"})
    right.semilogy(t, data["order_parameter_gap_3"][1], color="#8a8a8a", linewidth=0.8, label="order parameter, N = 3")
    right.set(
        xlabel="time t (unit of τ)", ylabel="relative deviation (dimensionless)", title="deviation from the mean field"
    )
    right.legend(frameon=False, fontsize=8)
    data["r_3"] = (("t",), runs[3]["r"], {"units": "1/time"})
    dataset = xarray().Dataset(data, coords={"t": ("t", t, {"units": "tau"})}, attrs={"eta": _ETA, "J": _J, "step": _H})
    return Evidence(rows, dataset, figure)
