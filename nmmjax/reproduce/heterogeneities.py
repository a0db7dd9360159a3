"""Claim (q): near-Hamiltonian dynamics is the rule; the Lorentzian, with its heavy tails, is the exception."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._labelled import xarray
from .._optional import optional
from ..equilibria.steady import find_equilibria
from ..landscape.orbits import orbit
from ..mechanics.energy import hamiltonian
from ..models.heterogeneity import AbstractHeterogeneity, Flat, GaussianLike, Lorentzian
from ..models.mpr import MPR
from ..models.qif_network import QIFNetwork
from ..models.state import State
from ..solvers.mobius import MobiusSplitting
from ..solvers.simulation import simulate
from .claim import Evidence, at_most, close_to

_ETA, _J = -5.0, 15.0
_SMALL, _KICK = 0.02, 0.3  # of v: one for the linear law, one for energies
_CLAIMED = {  # damping of the active state at half-width 1, and how far its last digit goes
    "Lorentzian": (Lorentzian(), 0.30886, 5e-6),
    "flat, n = 2": (Flat(2), 0.007094, 5e-7),
    "Gaussian, n = 2": (GaussianLike(2), 0.023081, 5e-7),
    "Gaussian, n = 4": (GaussianLike(4), 0.0001913, 5e-8),
}
_COLOURS = ("#b22222", "#d1651a", "#1f5fa8", "#1d5433")


class _Gaussian(AbstractHeterogeneity):
    """A Gaussian of half-width 1 for the neurons, whose mean field has no finite number of modes; here ten poles."""

    def poles(self) -> tuple[np.ndarray, np.ndarray]:
        return GaussianLike(10).poles()

    def quantile(self, u: Any) -> np.ndarray:
        return np.asarray(jax.scipy.special.ndtri(jnp.asarray(u))) / np.sqrt(2 * np.log(2))


def tails(quick: bool) -> Evidence:
    """(q) At equal width light tails leave the active state almost undamped: its damping is what resonant neurons take."""
    pyplot, xr = optional("matplotlib.pyplot", "plot"), xarray()
    length = 60.0 if quick else 600.0
    found = {name: _active(name, length) for name in _CLAIMED}
    rows = []
    for name, (_, damping, tolerance) in _CLAIMED.items():
        rows.append(close_to(f"{name}: damping of the active state, eigenvalue", found[name]["damping"], damping, tolerance))
    for name, each in found.items():
        ratio = each["fitted"] / each["damping"]
        rows.append(at_most(f"{name}: damping in a run over the eigenvalue's, less 1", ratio - 1, 0.02))
    worst = max(each["dispersion"] for each in found.values())
    rows.append(at_most("1 − (2J/π) Σ c_k W_k/(λ² + 4 W_k²) at the eigenvalue, largest", worst, 1e-9))
    for name, each in found.items():
        quantity = f"{name}: (J² r/4) g(−J r/2) of the resonant neurons over the damping, less 1"
        rows.append(at_most(quantity, each["landau"], 0.12))
    for name in ("Lorentzian", "Gaussian, n = 4"):
        each, (low, high) = found[name], {"Lorentzian": (0.55, 0.8), "Gaussian, n = 4": (0.0, 2e-3)}[name]
        middle, half = (low + high) / 2, (high - low) / 2
        rows.append(close_to(f"{name}: share of H − H_min that is lost per cycle", each["loss"], middle, half))
    near = found["Gaussian, n = 4"]
    cycles = near["peaks"].size
    rows += [
        at_most(
            f"Gaussian, n = 4: {cycles} peaks from the energy of the first, largest relative error", near["error"], 5e-3
        ),
        at_most("Gaussian, n = 4: period of the Hamiltonian orbit over the run's, less 1", near["period"], 0.03),
    ]
    size = 20_000 if quick else 100_000
    courses = {name: _neurons(each, size) for name, each in {"Lorentzian": Lorentzian(), "Gaussian": _Gaussian()}.items()}
    damping = {name: value for name, (_, _, value) in courses.items()}
    rows += [
        close_to(f"{size} Lorentzian neurons: damping", damping["Lorentzian"], found["Lorentzian"]["damping"], 0.04),
        at_most(f"{size} Gaussian neurons: damping", damping["Gaussian"], 0.01 if quick else 0.002),
    ]
    figure, axes = pyplot.subplots(1, 4, figsize=(17.0, 4.2), layout="constrained")
    x = np.linspace(-12, 12, 801)
    for colour, (name, each) in zip(_COLOURS, found.items(), strict=True):
        axes[0].semilogy(x, _CLAIMED[name][0].density(x), color=colour, label=f"{name}: damping {each['damping']:.2g}")
        axes[1].semilogy(each["times"], each["peaks"] - each["r"], ".", ms=3, color=colour)
    axes[0].axvline(-_J * near["r"] / 2, color="grey", linestyle=":")
    axes[0].annotate("resonant\nneurons", (-_J * near["r"] / 2 + 0.3, 0.2), fontsize=8, color="grey")
    axes[0].set(xlabel="excitability (η_j − η)/Δ", ylabel="density", title="equal widths, different tails", ylim=(1e-9, 1))
    axes[0].legend(frameon=False, fontsize=7, loc="lower center")
    axes[1].set(
        xlabel="time (unit of τ)",
        ylabel="peak rate above rest (1/time)",
        title="ringing of the active state",
        ylim=(1e-6, 1),
    )
    axes[2].plot(near["times"], near["peaks"], ".", color=_COLOURS[3], label="peaks of the run")
    axes[2].plot(near["times"], near["predicted"], color="black", linewidth=0.8, label="from the energy of the first")
    axes[2].set(xlabel="time (unit of τ)", ylabel="peak rate (1/time)", title="Gaussian, n = 4: predicted by energy")
    axes[2].legend(frameon=False, fontsize=8)
    for (name, (times, rates, _)), colour in zip(courses.items(), (_COLOURS[0], _COLOURS[2]), strict=True):
        axes[3].plot(times, rates, color=colour, linewidth=0.9, label=f"{name} currents")
    axes[3].set(xlabel="time (unit of τ)", ylabel="rate (1/time)", title=f"{size} spiking neurons")
    axes[3].legend(frameon=False, fontsize=8)
    data = xr.Dataset(
        {
            "damping": ("family", [each["damping"] for each in found.values()], {"units": "1/time"}),
            "fitted_damping": ("family", [each["fitted"] for each in found.values()], {"units": "1/time"}),
            "loss": ("family", [each["loss"] for each in found.values()], {"units": "1"}),
            "peak": ("number", near["peaks"], {"units": "1/time"}),
            "predicted_peak": ("number", near["predicted"], {"units": "1/time"}),
            "neurons": (("currents", "time"), [rates for _, rates, _ in courses.values()], {"units": "1/time"}),
        },
        coords={"family": list(found), "currents": list(courses), "time": courses["Gaussian"][0]},
    )
    return Evidence(rows, data, figure)


def _active(name: str, length: float) -> dict[str, Any]:
    """The active state of a family: damping by eigenvalue, dispersion and resonance; peaks, energies and losses of a run
    that begins with a kick of v."""
    heterogeneity = _CLAIMED[name][0]
    model = MPR(eta=_ETA, J=_J, Delta=1.0, heterogeneity=heterogeneity)
    equilibria = find_equilibria(model)
    high = int(np.nanargmax(np.asarray(equilibria.state.r)))
    rest = jax.tree.map(lambda each: each[high], equilibria.state)
    r, eigenvalue = float(rest.r), complex(equilibria.eigenvalues[high, 0])
    z, c = heterogeneity.poles()
    W = np.sqrt(_ETA + _J * r + z)
    # Real input: the complex conjugates of the modes answer it, too, which makes the sum one over W².
    dispersion = 1 - _J / (2 * np.pi) * np.sum(1j * c / (eigenvalue + 2j * W) - 1j * c.conj() / (eigenvalue - 2j * W.conj()))
    settle = 0.0 if name == "Lorentzian" else 15.0  # until fast modes have died out
    at, peaks = _ringing(model, rest, _SMALL, length, settle)
    fitted = -np.polyfit(at, np.log(peaks - r), 1)[0]
    at, peaks = _ringing(model, rest, _KICK, length, settle)
    homogeneous = MPR(eta=_ETA, J=_J, Delta=0.0)
    energy = lambda r: np.asarray(hamiltonian(homogeneous, State(r=jnp.asarray(r), v=jnp.zeros_like(jnp.asarray(r)))))
    bottom = energy(r)
    above = energy(peaks) - bottom
    predicted, first = _predicted(homogeneous, above[0] * np.exp(2 * eigenvalue.real * (at - at[0])) + bottom)
    return {
        "r": r,
        "damping": -eigenvalue.real,
        "fitted": fitted,
        "dispersion": abs(dispersion),
        "landau": float(_J**2 * r / 4 * heterogeneity.density(-_J * r / 2) / -eigenvalue.real - 1),
        "times": at,
        "peaks": peaks,
        "predicted": predicted,
        "error": float(np.max(np.abs(predicted / peaks - 1))),
        "loss": float(1 - above[1] / above[0]),
        "period": float(first / np.mean(np.diff(at[:4])) - 1),
    }


def _ringing(model: MPR, rest: State, kick: float, length: float, settle: float) -> tuple[np.ndarray, np.ndarray]:
    """Times and heights of the peaks of a run that begins beside rest, after the time `settle` and while they are seen."""
    kicked = rest.replace(**{each: getattr(rest, each) + kick for each in rest.names if each.startswith("v")})
    times = jnp.linspace(0.0, length, round(20 * length) + 1)
    run = simulate(model, kicked, times, solver=MobiusSplitting(4), dt0=0.0125)
    at, peaks = _peaks(np.asarray(run.ts), np.asarray(run.ys.r))
    seen = (peaks - float(rest.r) > 1e-5) & (at > settle)
    return at[seen], peaks[seen]


def _peaks(t: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times and heights of the maxima, by parabolas."""
    k = np.flatnonzero((r[1:-1] > r[:-2] + 1e-9) & (r[1:-1] >= r[2:])) + 1
    bend, slope = (r[k - 1] + r[k + 1]) / 2 - r[k], (r[k + 1] - r[k - 1]) / 2
    return t[k] - slope / (2 * bend) * (t[1] - t[0]), r[k] - slope**2 / (4 * bend)


def _predicted(model: MPR, energies: np.ndarray) -> tuple[np.ndarray, float]:
    """Peak rates of the closed orbits of identical neurons with these energies, and the first one's period."""
    table = np.linspace(energies.min(), energies.max(), 33)
    orbits = jax.vmap(lambda E: orbit(model, E))(jnp.asarray(table))
    period = float(orbit(model, energies[0]).period)
    return np.interp(energies, table, np.asarray(orbits.r_peak)), period


def _neurons(heterogeneity: AbstractHeterogeneity, size: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Times and rates of a network that starts beside its active state, and the damping of its oscillation."""
    network = QIFNetwork(MPR(eta=_ETA, J=_J, Delta=1.0, heterogeneity=heterogeneity), size, watched=0)
    times = jnp.linspace(0.0, 24.0, 481)
    run = simulate(network, {"r": 1.02, "v": _KICK}, times)
    t, r = np.asarray(run.ts), np.asarray(run.ys.r)

    def amplitude(start: float) -> float:
        """Of the oscillation with the frequency of identical neurons, over three periods."""
        within = (t >= start) & (t < start + 6 * np.pi / 3.23)
        window = np.hanning(within.sum())
        wave = window * (r[within] - np.average(r[within], weights=window))
        return float(abs(wave @ np.exp(-3.23j * t[within])) / window.sum())

    first, last = (2.0, 6.0) if isinstance(heterogeneity, Lorentzian) else (4.0, 16.0)
    return t, r, -np.log(amplitude(last) / amplitude(first)) / (last - first)
