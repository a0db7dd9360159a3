"""Claims (o) and (p): the energy of synapses, on a cycle and where none can be, and the work of an E–I loop."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import plot
from .._labelled import xarray
from .._optional import optional
from ..bursting.spikes import find_spikes
from ..mechanics.energy import stored_energy, total_energy
from ..models.circuits import ping
from ..models.mpr import MPR
from ..models.network import Network, per_node
from ..models.state import State
from ..models.synapses import ExponentialSynapse
from ..solvers.balance import energy_balance
from ..solvers.curl_work import circulation
from ..solvers.mobius import MobiusSplitting
from ..solvers.simulation import simulate
from ..solvers.term import PopulationTerm
from .claim import Evidence, at_most, close_to

_EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-14}


def synapses(quick: bool) -> Evidence:
    """(o) An inhibitory synapse pumps what a cycle of ING loses as heat; an excitatory one only dissipates."""
    pyplot, xr = optional("matplotlib.pyplot", "plot"), xarray()
    model = MPR(eta=4.0, J=-10.5, Delta=0.3, synapse=ExponentialSynapse(tau=0.5))
    settled = simulate(model, {"r": 0.4, "v": 0.3}, [0.0, 120.0], rtol=1e-10, atol=1e-12).y_end
    spikes = find_spikes(simulate(model, settled, jnp.linspace(0.0, 8.0, 801), **_EXACT))
    start, period = jax.tree.map(lambda each: each[-2], spikes.state), float(spikes.time[-1] - spikes.time[-2])
    run = simulate(model, start, jnp.linspace(0.0, period, 401), **_EXACT)
    balance = energy_balance(run)
    heat, pump = float(balance.heat[-1]), float(balance.pump["s"][-1])
    number = 100 if quick else 1000
    ts, energies = _passive(number)
    rises = np.max(np.diff(energies, axis=1), axis=1) / np.max(np.abs(energies), axis=1)
    rows = [
        close_to("ING (η, J, Δ, τ_s) = (4, −10.5, 0.3, 0.5): heat of one cycle", heat, 91.786627, 1e-6),
        at_most("pump of the synapse over heat, less 1", pump / heat - 1, 1e-8),
        at_most("residual of the energy balance, relative", balance.relative, 1e-9),
        at_most("Hopf points from the energy: largest |Re λ| over 1000 draws", _hopf_residual(1000), 1e-10),
        at_most(
            f"largest rise of energy and store in {number} random passive populations, relative",
            max(np.max(rises), 0.0),
            1e-12,
        ),
    ]
    figure, axes = pyplot.subplots(1, 3, figsize=(14.0, 4.2), layout="constrained")
    axes[0].plot(run.ts, run.ys.r, color="#1f5fa8", label="rate r")
    axes[0].plot(run.ts, run.ys.s, color="#d1651a", label="synapse s")
    axes[0].set(xlabel="time (unit of τ)", ylabel="rate r, synapse s (1/time)", title=f"a cycle of ING, period {period:.4g}")
    axes[1].plot(run.ts, balance.heat, color="#d1651a", label="heat")
    axes[1].plot(run.ts, balance.pump["s"], color="#1f5fa8", label="pumped by the synapse")
    axes[1].plot(run.ts, balance.energy + balance.stored["s"], color="#1d5433", label="energy with the synapse's store")
    axes[1].set(xlabel="time (unit of τ)", ylabel="energy since the peak (dimensionless)", title="over a cycle, heat = pump")
    for each in energies[:12]:
        axes[2].plot(ts, each - each[-1] + 1e-3, linewidth=0.9)
    axes[2].set(
        xlabel="time (unit of τ)", ylabel="energy above its last value + 10⁻³", yscale="log", title="excitation never pumps"
    )
    for each in axes[:2]:
        each.legend(frameon=False, fontsize=8)
    data = xr.Dataset(
        {
            "r": ("time", np.asarray(run.ys.r), {"units": "1/time"}),
            "s": ("time", np.asarray(run.ys.s), {"units": "1/time"}),
            "heat": ("time", np.asarray(balance.heat), {"units": "1"}),
            "pump": ("time", np.asarray(balance.pump["s"]), {"units": "1"}),
            "passive_energy": (("population", "passive_time"), energies, {"units": "1"}),
        },
        coords={"time": np.asarray(run.ts), "passive_time": ts},
    )
    return Evidence(rows, data, figure)


def _passive(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Times, and energy with the synapse's store of random populations with excitation through a synapse, along runs."""
    step, steps = 2e-3, 400

    def course(u) -> Any:
        synapse = ExponentialSynapse(tau=10 ** (3 * u[0] - 2))
        model = MPR(eta=12 * u[1] - 8, J=30 * u[2], Delta=0.05 + 1.5 * u[3], synapse=synapse)
        solver, term = MobiusSplitting(4), PopulationTerm(model)
        first = State(r=0.05 + u[4], v=4 * u[5] - 2, s=0.05 + u[5])

        def advance(y, t) -> Any:
            after = solver.advance(term, t, t + step, y)[0]
            return after, total_energy(model, after) + stored_energy(model, after)["s"]

        return jax.lax.scan(advance, first, step * jnp.arange(1.0 * steps))[1]

    draws = jax.random.uniform(jax.random.key(0), (number, 6))
    return step * np.arange(1, steps + 1), np.asarray(jax.jit(jax.vmap(course))(draws))


def _hopf_residual(number: int) -> float:
    """Largest |Re λ| of the critical pair at random Hopf points, J = −Δ (1 + ω² τ_s²)/(π r² τ_s), relative to ω."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for Delta, r, tau in zip(*(rng.uniform(*each, number) for each in ((0.05, 2), (0.05, 2), (0.05, 3))), strict=True):
        a = Delta / (np.pi * r)
        omega2 = a**2 + 2 * a / tau + 4 * np.pi**2 * r**2
        J = -Delta * (1 + omega2 * tau**2) / (np.pi * r**2 * tau)
        jacobian = np.array([[-a, 2 * r, 0], [-2 * np.pi**2 * r, -a, J], [1 / tau, 0, -1 / tau]])
        pair = [each for each in np.linalg.eigvals(jacobian) if each.imag > 0]
        worst = max(worst, abs(pair[0].real) / np.sqrt(omega2))
    return worst


def loops(quick: bool) -> Evidence:
    """(p) What an E–I loop lives on is the circulation of its weights: (W_IE − W_EI) × the area that it encloses."""
    pyplot, xr = optional("matplotlib.pyplot", "plot"), xarray()
    pair, *_ = _pair(1.1)
    cycle = _loops_of(pair, {"r": [0.55, 0.45], "v": 0.0}, 600.0, 10.0, 2001 if quick else 5001)
    gamma = _loops_of(ping(), {"r": 0.02, "v": -1.0}, 300.0, 100.0, 5001 if quick else 10_001)
    figure, axes = pyplot.subplots(1, 3, figsize=(14.0, 4.4), layout="constrained")
    rows, parts = [], {}
    for axis, (name, (start, found)) in zip(axes, {"pair": cycle, "ping": gamma}.items(), strict=False):
        between = simulate(found.model, start, np.concatenate([found.ts[:1], found.time]), **_EXACT)
        books = energy_balance(between).network
        assert books is not None
        each = {
            kind: np.diff(np.sum(getattr(books, kind), axis=1))[1:] for kind in ("friction", "parametric", "circulation")
        }
        parts[name] = {kind: float(values[-1]) for kind, values in each.items()} | {"work": float(found.work[-1])}
        plot.circulation(found, axes=axis)
        axis.set_title(f"{name}\n{axis.get_title(loc='left')}", fontsize=9, loc="left")
    ours = parts["pair"]
    loss = ours["friction"] - ours["parametric"]
    rows += [
        close_to("1.1 × the Hopf point: 2 J × area per cycle", ours["work"], 0.743947, 1e-6),
        close_to("1.1 × the Hopf point: friction − parametric term per cycle", loss, 0.743947, 1e-6),
        at_most("ping: work per cycle over friction − parametric term, less 1",
                parts["ping"]["work"] / (parts["ping"]["friction"] - parts["ping"]["parametric"]) - 1, 1e-5),
        at_most("ping: energy that circulates over (W_ie − W_ei) × area, less 1",
                parts["ping"]["circulation"] / parts["ping"]["work"] - 1, 1e-6),
        at_most("Hopf point √(J_EI J_IE) = a ω/r: |Re λ| over ω", _critical(*_pair(1.0)), 1e-12),
    ]  # fmt: skip
    bars = np.arange(3)
    for k, (name, values) in enumerate(parts.items()):
        shares = np.array([values["friction"], -values["parametric"], values["circulation"]]) / values["circulation"]
        axes[2].bar(bars + 0.38 * k - 0.19, shares, 0.36, color=("#1f5fa8", "#d1651a")[k], label=name)
    axes[2].set_xticks(bars, ["friction", "− parametric", "circulation"])
    axes[2].set(ylabel="per cycle, over the circulation", title="friction − parametric = circulation")
    axes[2].legend(frameon=False, fontsize=8)
    data = xr.Dataset(
        {kind: ("circuit", [values[kind] for values in parts.values()], {"units": "1"}) for kind in parts["pair"]},
        coords={"circuit": list(parts)},
    )
    return Evidence(rows, data, figure)


def _pair(factor: float) -> tuple[Network, float, float]:
    """Two equal populations at rest at r = 0.5, Δ = 0.3, at `factor` times the coupling of the Hopf point; J and its ω."""
    r, Delta = 0.5, 0.3
    a = Delta / (np.pi * r)
    omega = np.sqrt((2 * np.pi * r) ** 2 + a**2)
    J = factor * a / r * omega
    weights = np.array([[0.0, -J], [J, 0.0]])
    eta = np.pi**2 * r**2 - Delta**2 / (4 * np.pi**2 * r**2) - weights @ np.array([r, r])
    return Network(per_node(MPR(J=0.0, Delta=Delta), eta=eta), weights, names=("E", "I")), J, omega


def _critical(network: Network, J: float, omega: float) -> float:
    """|Re λ|/ω of the pair nearest to iω, at the resting state of `_pair`."""
    a = 0.3 / (np.pi * 0.5)
    block = np.array([[-a, 1.0], [-2 * np.pi**2 * 0.5, -a]])
    jacobian = np.kron(np.eye(2), block) + np.kron(np.array([[0, -J], [J, 0]]), np.array([[0, 0], [1.0, 0]]))
    values = np.linalg.eigvals(jacobian)
    return float(abs(values[np.argmin(abs(values - 1j * omega))].real) / omega)


def _loops_of(model: Network, y0: Any, settle: float, duration: float, points: int) -> Any:
    """A state on the attractor, and the loops of nodes 0 and 1 from there."""
    settled = simulate(model, y0, [0.0, settle], rtol=1e-11, atol=1e-13).y_end
    run = simulate(model, settled, jnp.linspace(0.0, duration, points), **_EXACT)
    return settled, circulation(run, nodes=(0, 1))
