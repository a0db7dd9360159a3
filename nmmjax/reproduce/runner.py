"""Run the claims one after the other; what is finished is on disk, whatever happens next."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax

from .._files import as_folder
from .bursting import amplitudes, cycles
from .claim import Claim, broken, save, write_report
from .conservation import damping, energies, orbits, scaling
from .finite_size import spectra
from .fitting import recovery
from .heterogeneities import tails
from .landscapes import switching
from .late import delays
from .neurons import identical
from .noise import barriers, boltzmann_law, recordings
from .prediction import bistability, limit_cycles, peaks
from .rhythms import loops, synapses

_PAPER = "Andrean & Pedersen, arXiv 2509.10428 (2025)"
_NOTES = "docs/theory.md"

CLAIMS: tuple[Claim, ...] = (
    Claim("orbits", "a", "At Δ = 0 the energy H is conserved and its orbits are near-ellipsoidal.", _PAPER, orbits),
    Claim("damping", "b", "At Δ > 0, dH/dt = (Δ/π) ∂H/∂r: the orbit spirals in.", _PAPER, damping),
    Claim("scaling", "c", "At strong coupling the drift of H per cycle vanishes like Δ/J².", _PAPER, scaling),
    Claim("energies", "d", "Kinetic energy is v²/r, potential energy η/r + π²r − J ln r.", _PAPER, energies),
    Claim(
        "bistability",
        "e",
        "η = −5, J = 15, Δ = 1 has two wells; a pulse switches the state.",
        f"{_PAPER}; {_NOTES} §4",
        bistability,
    ),
    Claim("peaks", "f", "Successive spike peaks follow from energy alone.", f"{_PAPER}; {_NOTES} §5", peaks),
    Claim("limit-cycle", "g", "The gap-junction limit cycle follows from the energy balance.", f"{_NOTES} §5", limit_cycles),
    Claim(
        "switching",
        "h",
        "Mutual inhibition is bistable, and a stimulus switches the state by tilting the energy landscape.",
        f"{_PAPER}; {_NOTES} §8",
        switching,
    ),
    Claim(
        "bursting",
        "i",
        "Energy and slow variables predict the amplitude of every spike within a burst.",
        f"{_PAPER}; Gast, Schmidt & Knösche, Neural Comput. 32:1615 (2020)",
        amplitudes,
    ),
    Claim(
        "burst-cycle",
        "j",
        "Period and number of spikes of a burst cycle follow from energy and the averaged slow variables alone.",
        f"{_NOTES} §5",
        cycles,
    ),
    Claim(
        "recovery",
        "k",
        "Δ and J are recovered from target energies, and Δ and α from burst amplitudes.",
        f"{_PAPER}; {_NOTES} §5",
        recovery,
    ),
    Claim(
        "boltzmann",
        "l",
        "Under common white noise the stationary law is Boltzmann's in the population's landscape, at T = πD/Δ.",
        f"{_NOTES} §7",
        boltzmann_law,
    ),
    Claim("barriers", "m", "Barriers of the landscape set how often noise switches the state.", f"{_NOTES} §7", barriers),
    Claim(
        "recordings",
        "n",
        "The energy landscape of a network's recordings is that of the network, over a temperature.",
        f"{_PAPER}; {_NOTES} §7–§9; Ezaki et al., Phil. Trans. A 375:20160287 (2017)",
        recordings,
    ),
    Claim(
        "synapses",
        "o",
        "An inhibitory synapse pumps what a cycle loses as heat; an excitatory one only dissipates.",
        f"{_NOTES} §C1, §C4",
        synapses,
    ),
    Claim("loops", "p", "An E–I loop lives on the circulation of its weights, times its area.", f"{_NOTES} §D5", loops),
    Claim(
        "tails",
        "q",
        "Near-Hamiltonian dynamics is the rule: with light tails of the currents the active state is hardly damped.",
        f"{_PAPER}; {_NOTES} §F",
        tails,
    ),
    Claim(
        "finite-size",
        "r",
        "The fluctuations of N neurons follow in closed form from their mean field; with noise each they escape as e^(cN).",
        f"{_NOTES} §B1–B5",
        spectra,
    ),
    Claim(
        "delays",
        "s",
        "Rhythms and patterns that delays make follow from the characteristic roots of the state of rest.",
        f"{_NOTES} §C4, §C7, §D8",
        delays,
    ),
    Claim(
        "identical",
        "t",
        "Identical neurons obey the mean field's mechanics exactly in any number, driven by their own spikes.",
        f"{_NOTES} §A6",
        identical,
    ),
)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a claim; says what is finished and where it is."""


def reproduce(
    out: str | pathlib.Path = "results",
    only: Sequence[str] | None = None,
    quick: bool = False,
    progress: Callable[[Claim, int, int], Any] = lambda claim, done, total: None,
) -> list[dict[str, Any]]:
    """Run the claims (all, or those named in `only`) in float64 and write figures, data and the report to `out`.

    A report that is already in `out` keeps the entries of claims that are not run again. A claim that breaks is reported
    as not met, with its error, and the next one runs. `progress(claim, done, total)` is called before each claim and
    once, with `done == total`, at the end. Returns the report's entries. Raises `ValueError` for unknown names, and
    `Interrupted` (a `KeyboardInterrupt`) on Ctrl-C, after writing the report of what is finished.
    """
    out = as_folder(out)
    names = [claim.name for claim in CLAIMS]
    only = names if only is None else [only] if isinstance(only, str) else list(only)
    for name in only or [""]:
        if name not in names:
            raise ValueError(f"Argument `only` must be among {', '.join(names)}, but got {name!r}.")
    chosen = [claim for claim in CLAIMS if claim.name in only]
    entries: list[dict[str, Any]] = []
    pending = [claim.name for claim in chosen]
    out.mkdir(parents=True, exist_ok=True)
    for done, claim in enumerate(chosen):
        progress(claim, done, len(chosen))
        try:
            with jax.enable_x64(True):
                entries.append(save(claim, claim.run(quick), out, quick))
        except KeyboardInterrupt:
            write_report(entries, out, pending)
            finished = ", ".join(entry["name"] for entry in entries) or "nothing"
            raise Interrupted(f"Interrupted in `{claim.name}`. Finished and kept in {out}: {finished}.") from None
        except Exception as error:  # one broken claim must not cost the others
            entries.append(broken(claim, error, quick))
        pending = pending[1:]
        write_report(entries, out, pending)
    progress(chosen[-1], len(chosen), len(chosen))
    return entries
