"""Models of the literature to begin with on the explorer's page."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..models.adaptation import SynapticDepression
from ..models.base import AbstractModel
from ..models.circuits import ing, izhikevich, ping
from ..models.cumulants import PseudoCumulants
from ..models.heterogeneity import GaussianLike
from ..models.mpr import MPR
from ..models.network import Network, mutual_inhibition, per_node
from ..models.terms import GapJunction


class Preset(NamedTuple):
    """A model with a state to start from, and what it shows."""

    title: str
    shows: str
    model: Callable[[], AbstractModel]
    y0: dict[str, Any]
    source: str
    pulse: bool = False  # whether a pulse comes soon after the start, to show what happens


PRESETS: dict[str, Preset] = {
    "bistable": Preset(
        "Bistable population",
        "Two stable states in one double well. A pulse lifts the particle over the barrier and the population stays active.",
        lambda: MPR(eta=-5.0, J=15.0, Delta=1.0),
        {"r": 0.08, "v": -1.96},
        "Montbrió, Pazó & Roxin, Phys. Rev. X 5:021028 (2015)",
        pulse=True,
    ),
    "bursting": Preset(
        "Bursting by synaptic depression",
        "Every spike weakens the coupling. The active state's well rises until the particle falls out of it, and returns.",
        lambda: MPR(eta=-5.5, J=15 * 2**0.5, Delta=2.0, adaptation=SynapticDepression(alpha=0.05, tau=10.0)),
        {"r": 0.2, "v": -1.0},
        "Andrean & Pedersen, arXiv:2509.10428; Gast, Schmidt & Knösche, Neural Comput. 32:1615 (2020)",
    ),
    "inhibition": Preset(
        "Mutual inhibition",
        "Two populations that silence each other: a switch. Each rolls in a landscape that the other one tilts.",
        lambda: mutual_inhibition(eta=5.0, J_self=0.0, J_cross=-15.0, Delta=1.0),
        {"r": [0.6, 0.1], "v": [0.0, -1.0]},
        "Andrean & Pedersen, arXiv:2509.10428",
        pulse=True,
    ),
    "hamiltonian": Preset(
        "Hamiltonian limit",
        "Identical neurons: nothing is lost, and every start is on a closed orbit of its own energy.",
        lambda: MPR(eta=2.0, J=5.0, Delta=0.0),
        {"r": 3.0, "v": 0.0},
        "Andrean & Pedersen, arXiv:2509.10428",
    ),
    "gap": Preset(
        "Gap-junction cycle",
        "Gap junctions pump energy in at high rates and heterogeneity takes it out at low ones: a limit cycle between them.",
        lambda: MPR(eta=1.0, J=0.0, Delta=0.3, gap=GapJunction(1.0)),
        {"r": 0.4, "v": 0.0},
        "Pietras, Devalle, Roxin, Daffertshofer & Montbrió, Phys. Rev. E 100:042412 (2019)",
    ),
    "ing": Preset(
        "ING: inhibition that answers late",
        "An inhibitory synapse pumps the energy that heterogeneity takes out: interneuronal gamma.",
        ing,
        {"r": 0.04, "v": 0.3},
        "Devalle, Roxin & Montbrió, PLoS Comput. Biol. 13:e1005881 (2017)",
    ),
    "izhikevich": Preset(
        "Izhikevich's neurons burst together",
        "A slow recovery current grows while the population fires, and holds it silent until the current is gone.",
        izhikevich,
        {"r": 0.05, "v": 0.0, "w": 0.13},
        "Chen & Campbell, J. Comput. Neurosci. 50:445 (2022)",
    ),
    "ping": Preset(
        "PING: excitation and inhibition in turn",
        "Excitation calls inhibition, which silences it until it has decayed: pyramidal–interneuronal gamma.",
        ping,
        {"r": [0.02, 0.02], "v": [-1.0, -1.0]},
        "Dumont & Gutkin, PLoS Comput. Biol. 15:e1007019 (2019)",
    ),
    "regions": Preset(
        "Activity spreads over regions of a brain",
        "Three bistable regions in a chain: an active one lifts others over their barriers; with less gain G it fails.",
        lambda: Network(
            per_node(MPR(eta=-5.0, J=15.0, Delta=1.0), eta=[-5.0] * 3), [[0, 1, 0], [1, 0, 1], [0, 1, 0]], gain=2.0
        ),
        {"r": [1.2, 0.08, 0.08], "v": [-0.4, -1.96, -1.96]},
        "after Gerster et al., Front. Syst. Neurosci. 15:675272 (2021)",
    ),
    "gaussian": Preset(
        "Excitabilities with light tails",
        "Nearly Gaussian excitabilities: few neurons resonate with the rhythm, so that it rings on for long.",
        lambda: MPR(eta=-2.0, J=15.0, Delta=1.0, heterogeneity=GaussianLike(2)),
        {"r": 0.02, "v": -1.37},
        "docs/theory.md §F",
        pulse=True,
    ),
    "noisy": Preset(
        "Noise of every neuron",
        "Gaussian noise acts as a current q₂ and a width p₂. Raise D: the spikes of the rate get lower and die sooner.",
        lambda: PseudoCumulants(MPR(eta=-4.0, J=15.0, Delta=1.0), 0.3),
        {"r": 0.1, "v": -1.6},
        "Goldobin, di Volo & Torcini, Phys. Rev. Lett. 127:038301 (2021), an approximation",
        pulse=True,
    ),
}
