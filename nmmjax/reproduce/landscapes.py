"""Claim (h): mutual inhibition is bistable, and a stimulus switches the state by tilting the landscape."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .. import plot
from .._labelled import xarray
from .._optional import optional
from ..branches.fixed_points import continue_branch
from ..equilibria.brackets import fixed_rates
from ..landscape.landscapes import energy_landscape
from ..landscape.network import NetworkLandscape
from ..landscape.potential import network_potential
from ..models.network import Network, mutual_inhibition
from ..models.stimulus import Pulse
from ..solvers.balance import energy_balance
from ..solvers.simulation import simulate
from ..transitions.pulses import minimal_pulse
from .claim import Evidence, Row, at_most, close_to

_ETA, _CROSS, _DURATION = 5.0, -15.0, 5.0
# 2π²r + Δ²/(2π²r³) = J_self − J_cross at Δ = 1 and J_self = 0 (docs/theory.md §8), and the states at η = 5.
_PITCHFORKS, _STATES, _SYMMETRIC = (1.74095982, 16.87406466), (0.632021, 0.074733), 0.295314


def _pair(eta: float = _ETA) -> Network:
    return mutual_inhibition(eta=eta, J_self=0.0, J_cross=_CROSS, Delta=1.0)


def _vanishing_input(pair: Network, above: float) -> float:
    """The constant input to population 1 at which the state in which population 0 fires ceases to be a minimum."""
    low, high = 0.0, above
    for _ in range(40):
        middle = (low + high) / 2
        rates = np.asarray(_landscape(pair, middle).minima.r)
        low, high = (middle, high) if np.any(rates[:, 0] > rates[:, 1]) else (low, middle)
    return (low + high) / 2


def _landscape(pair: Network, current: float) -> NetworkLandscape:
    found = energy_landscape(pair, jnp.asarray([0.0, current]), saddles=64)
    assert isinstance(found, NetworkLandscape)
    return found


def switching(quick: bool) -> Evidence:
    """(h) Pitchforks, asymmetric states, the switching pulse, the tilt at which a minimum vanishes, energies of both."""
    pyplot, xr = optional("matplotlib.pyplot", "plot"), xarray()
    pair, rows = _pair(), []
    branch = continue_branch(pair, "node.eta", (1.0, 19.5), guess={"r": _SYMMETRIC, "v": -0.54}, crossing=True)
    forks = branch.special.select("BP")
    found_at = np.sort(np.asarray(forks.parameter)[: int(forks.count)])
    rows += [
        close_to(f"pitchfork {k + 1}: η", found_at[k] if k < found_at.size else np.nan, eta, 1e-7)
        for k, eta in enumerate(_PITCHFORKS)
    ]
    still = _landscape(pair, 0.0)
    first, second = (still.minima[k] for k in (0, 1))
    rows += [
        close_to("η = 5: rate of the winner", first.r[0], _STATES[0], 5e-6),
        close_to("η = 5: rate of the loser", first.r[1], _STATES[1], 5e-6),
        close_to("η = 5: rate at the symmetric pass", still.saddles.r[0, 0], _SYMMETRIC, 5e-6),
        Row(
            "η = 5: unstable eigenvalues equal the Morse index",
            "everywhere",
            still.agreeing,
            still.agreeing == still.checked,
        ),
    ]
    pulse = minimal_pulse(pair, start=first, end=second, duration=_DURATION, node=1, rtol=1e-4 if quick else 1e-6)
    amplitude = float(pulse.amplitude)
    ts = jnp.linspace(0.0, 40.0, 1601 if quick else 4001)
    runs = {}
    for name, factor in (("just too weak", 0.999), ("switching", 1.001)):
        stimulus = pair.target(Pulse(factor * amplitude, 5.0, 5.0 + _DURATION), 1)
        runs[name] = simulate(pair, first, ts, stimulus=stimulus, rtol=1e-10, atol=1e-12)
    ends = {name: bool(run.y_end.r[1] > run.y_end.r[0]) for name, run in runs.items()}
    vanishing = _vanishing_input(pair, 2 * amplitude)
    balance = energy_balance(runs["switching"])
    rows += [
        Row("a pulse 0.1 % below the minimal switches", "no (0)", float(ends["just too weak"]), not ends["just too weak"]),
        Row("a pulse 0.1 % above it switches", "yes (1)", float(ends["switching"]), ends["switching"]),
        Row("input at which the minimum vanishes (constant)", "> 0", vanishing, vanishing > 0),
        Row("minimal amplitude for 5 τ over that input", "≥ 0.5", amplitude / vanishing, amplitude >= 0.5 * vanishing),
        at_most("residual of both energies' balance through the switch", balance.relative, 1e-8),
    ]  # fmt: skip
    figure = _figure(pyplot, pair, branch, still, vanishing, runs, balance)
    return Evidence(rows, _data(xr, runs["switching"], balance, found_at, amplitude, vanishing), figure)


def _figure(pyplot: Any, pair: Network, branch: Any, still: Any, vanishing: float, runs: Any, balance: Any) -> Any:
    figure, axes = pyplot.subplots(2, 3, figsize=(15.0, 8.2), layout="constrained")
    plot.bifurcation(branch, axes=axes[0, 0])
    axes[0, 0].set_title("states over η: two pitchforks", fontsize=10)
    plot.landscape(still, runs["switching"], axes=axes[0, 1])
    axes[0, 1].set_title("Ψ without input, and the switching run", fontsize=10)
    plot.landscape(_landscape(pair, 1.02 * vanishing), axes=axes[0, 2])
    axes[0, 2].set_title("Ψ under an input to population 1 that removes a minimum", fontsize=10)
    for k, share in enumerate((0.0, 0.25, 0.5, 0.75, 1.0, 1.25)):
        r1, height = _valley(pair, share * vanishing)
        shade = pyplot.get_cmap("viridis")(k / 6)
        axes[1, 0].plot(r1, height, color=shade, label=f"I = {share * vanishing:.2f}")
    axes[1, 0].set(xscale="log", xlabel="firing rate of population 1, r₁ (1/time)", ylabel="Ψ − Ψ(r₁ = 0.63)")
    axes[1, 0].legend(frameon=False, fontsize=8)
    axes[1, 0].set_title(f"along the valley: the left minimum vanishes at I = {vanishing:.2f}", fontsize=10)
    colors = ("#1f5fa8", "#d1651a")
    run = runs["switching"]
    for node in (0, 1):
        axes[1, 1].plot(run.ts, run.ys.r[:, node], color=colors[node], label=f"population {node}")
        axes[1, 2].plot(run.ts, balance.energy[:, node], color=colors[node], label=f"population {node}")
    axes[1, 1].plot(run.ts, runs["just too weak"].ys.r[:, 0], "--", color="0.3", linewidth=1, label="0, pulse 0.2 % weaker")
    axes[1, 1].set(xlabel="time t (unit of τ)", ylabel="firing rate r (1/time)")
    axes[1, 1].set_title("rates through the switch; a slightly weaker pulse fails", fontsize=10)
    axes[1, 2].set(xlabel="time t (unit of τ)", ylabel="energy E (dimensionless)")
    axes[1, 2].set_title("energy of each population in its instantaneous landscape", fontsize=10)
    for each in axes[1, 1:]:
        each.axvspan(5.0, 5.0 + _DURATION, color="0.9", zorder=-5)
        each.legend(frameon=False, fontsize=8)
    return figure


def _valley(pair: Network, current: float) -> tuple[np.ndarray, np.ndarray]:
    """r₁ and Ψ once population 0 has settled to it, along the valley from one state to the other."""
    r1 = jnp.geomspace(0.05, 1.0, 201)
    node = eqx.tree_at(lambda each: each.eta, jax.vmap(lambda _: pair.node)(r1), _ETA + _CROSS * r1)
    r0 = jnp.nanmax(jax.vmap(lambda each: fixed_rates(each)[0])(node), axis=1)
    height = network_potential(pair, jnp.stack([r0, r1], axis=1), jnp.asarray([0.0, current]))
    return np.asarray(r1), np.asarray(height - jnp.interp(_STATES[0], r1, height))


def _data(xr: Any, run: Any, balance: Any, forks: np.ndarray, amplitude: float, vanishing: float) -> Any:
    data = run.to_xarray()
    for name in ("work", "heat", "exchange"):
        about = {"units": "1", "long_name": f"{name} since the start"}
        data[name] = (("t", "node"), np.asarray(getattr(balance, name)), about)
    data["pitchfork_eta"] = ("pitchfork", forks, {"units": "1"})
    data["minimal_amplitude"] = ((), amplitude, {"units": "1", "long_name": "smallest pulse of 5 τ that switches"})
    data["vanishing_input"] = ((), vanishing, {"units": "1", "long_name": "constant input at which the minimum vanishes"})
    return data
