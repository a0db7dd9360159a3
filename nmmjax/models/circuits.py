"""Circuits of the literature, ready made: each function cites its source and says its units."""

from typing import Any

import jax.numpy as jnp

from .._checks import require
from .._parameter import as_number
from .adaptation import RecoveryCurrent
from .mpr import MPR
from .network import Network, excitatory_inhibitory, per_node
from .synapses import AlphaSynapse, ExponentialSynapse

_DEVALLE = "Devalle, Roxin & Montbrió, PLoS Comput. Biol. 13:e1005881 (2017)"
_DUMONT = "Dumont & Gutkin, PLoS Comput. Biol. 15:e1007019 (2019)"
_COOMBES = "Coombes & Byrne, in: Nonlinear Dynamics in Computational Neuroscience (2019)"
_BYRNE = "Byrne, O'Dea, Forrester, Ross & Coombes, J. Neurophysiol. 123:726 (2020)"
_CHEN = "Chen & Campbell, J. Comput. Neurosci. 50:445 (2022)"


def ing(
    eta: Any = 4.0, J: Any = -21.0, Delta: Any = 0.3, tau: Any = 10.0, tau_s: Any = 5.0, *, kernel: str = "exponential"
) -> MPR:
    """An inhibitory population that oscillates by its own synapse: interneuronal gamma (ING).

        τ r′ = Δ/(πτ) + 2 r v,   τ v′ = v² + η − (π τ r)² + J τ s,   τ_s s′ = r − s

    - `eta`, `J`, `Delta`: centre of the excitabilities, coupling (negative), half-width; dimensionless numbers
    - `tau`, `tau_s`: membrane and synaptic time constants, in ms
    - `kernel`: "exponential", or "alpha" for a second-order synapse

    Returns an `MPR`, time in ms and rates in kHz (1/ms). With the defaults a cycle of 27.579 ms (36.3 Hz); it is born in a
    Hopf point at Δ = 0.474. Raises `ValueError` for J > 0 and wrong values. Source: Devalle, Roxin & Montbrió, PLoS Comput.
    Biol. 13:e1005881 (2017), with its J of the opposite sign.
    """
    as_number("J", J, "(-inf, 0]")
    synapse = {"exponential": ExponentialSynapse, "alpha": AlphaSynapse}.get(kernel)
    if synapse is None:
        raise ValueError(f"Argument `kernel` must be 'exponential' or 'alpha', but got {kernel!r}.")
    return MPR(eta=eta, J=J, Delta=Delta, tau=tau, synapse=synapse(tau=tau_s), note=f"time in ms, rates in kHz; {_DEVALLE}")


def dumont_gutkin(
    I_e: Any = 0.0,
    I_i: Any = 0.0,
    J_ee: Any = 0.0,
    J_ei: Any = -15.0,
    J_ie: Any = 15.0,
    J_ii: Any = 0.0,
    *,
    eta: Any = -5.0,
    Delta: Any = 1.0,
    tau: Any = 10.0,
    tau_s: Any = 1.0,
) -> Network:
    """An excitatory and an inhibitory population with exponential synapses, the circuit of Dumont and Gutkin.

        τ r_a′ = Δ/(πτ) + 2 r_a v_a,   τ v_a′ = v_a² + η + I_a − (π τ r_a)² + Σ_b J_ab τ s_b,   τ_s s_b′ = r_b − s_b

    - `I_e`, `I_i`: constant inputs of e and i, in units of η; numbers
    - `J_ee`, `J_ie`: couplings from e, to e and to i, ≥ 0; `J_ei`, `J_ii`: from i, ≤ 0; dimensionless numbers
    - `eta`, `Delta`: centre and half-width of the excitabilities of both; `tau`, `tau_s`: membrane and synaptic time
      constants, in ms

    Returns a `Network` of nodes named e and i, time in ms and rates in kHz (1/ms). Raises `ValueError` if Dale's law, the
    signs above, is broken. Source: Dumont & Gutkin, PLoS Comput. Biol. 15:e1007019 (2019), as The Virtual Brain codes it,
    where each of the four connections has a synapse of its own; with one τ_s for all they are those of the senders.
    """
    base = as_number("eta", eta)
    drives = tuple(base + as_number(name, each) for name, each in (("I_e", I_e), ("I_i", I_i)))
    width, time = as_number("Delta", Delta, "[0, inf)"), as_number("tau", tau, "(0, inf)")
    return excitatory_inhibitory(
        eta=drives,
        J_ee=J_ee,
        J_ei=J_ei,
        J_ie=J_ie,
        J_ii=J_ii,
        Delta=(width, width),
        tau=(time, time),
        synapse=ExponentialSynapse(tau=tau_s),
        names=("e", "i"),
        note=f"time in ms, rates in kHz; {_DUMONT}",
    )


def ping(I_e: Any = 10.0, J_ei: Any = -15.0, J_ie: Any = 15.0) -> Network:
    """Excitation that calls its own inhibition: pyramidal–interneuronal gamma (PING), a set of `dumont_gutkin`.

    - `I_e`: constant input of e, in units of η; `J_ei` ≤ 0, `J_ie` ≥ 0: couplings to e from i, and to i from e; numbers

    Returns a `Network` of nodes named e and i, time in ms and rates in kHz (1/ms). With the defaults a cycle of 20.811 ms
    (48.1 Hz), r_e from 4.67 to 158.7 Hz; it is born in a Hopf point at I_e = 7.688. Raises `ValueError` if Dale's
    law is broken. Source: Dumont & Gutkin, PLoS Comput. Biol. 15:e1007019 (2019).
    """
    return dumont_gutkin(I_e=I_e, J_ei=J_ei, J_ie=J_ie)


def coombes_byrne(eta: Any = 20.0, Delta: Any = 0.5, kappa: Any = 1.0, reversal: Any = -10.0, alpha: Any = 0.95) -> MPR:
    """A population that inhibits itself through a conductance with an alpha function.

        r′ = Δ/π + 2 r v − g r,   v′ = v² + η − (π r)² + g (v_syn − v),   (1 + d/dt/α)² g = κ π r

    - `eta`, `Delta`: centre and half-width of the excitabilities; dimensionless numbers
    - `kappa`: κ, strength of the synapse; `reversal`: v_syn, its reversal potential in units of v; `alpha`: α, its rate,
      per membrane time constant

    Returns an `MPR`, time in membrane time constants; its variable s is g/(κπ). With the defaults a cycle of period
    2.0829, r from 0.2063 to 1.4394. Raises `ValueError` for κ < 0 and α ≤ 0. Source: Coombes & Byrne, in: Nonlinear
    Dynamics in Computational Neuroscience (2019), as The Virtual Brain codes it.
    """
    rate, strength = as_number("alpha", alpha, "(0, inf)"), jnp.pi * as_number("kappa", kappa, "[0, inf)")
    synapse = AlphaSynapse(tau=1 / rate, strength=strength, reversal=reversal)
    note = f"time in membrane time constants; {_COOMBES}"
    return MPR(eta=eta, J=0.0, Delta=Delta, synapse=synapse, note=note)


def byrne(
    eta: Any = (10.0, 0.0),
    Delta: Any = (0.5, 0.5),
    tau: Any = (30.0, 30.0),
    k_ee: Any = 0.0,
    k_ei: Any = 0.5,
    k_ie: Any = 0.65,
    k_ii: Any = 0.0,
    alpha: Any = (10.0, 0.8),
    reversal: Any = (10.0, -10.0),
) -> Network:
    """An excitatory and an inhibitory population that act on each other through conductances.

        τ_a r_a′ = Δ_a/(πτ_a) + 2 r_a v_a − g_a r_a,   g_a = Σ_b k_ab s_b
        τ_a v_a′ = v_a² + η_a − (π τ_a r_a)² + Σ_b k_ab s_b (E_b − v_a),   s_b′ = α_b (r_b − s_b)

    - `eta`, `Delta`, `tau`: centres and half-widths of the excitabilities, and time constants, of (e, i)
    - `k_ee`, `k_ei`, `k_ie`, `k_ii`: strengths ≥ 0 of the conductances, to the first from the second, in the unit of τ
    - `alpha`: rates α of the synapses of (e, i), per unit of time; `reversal`: their reversal potentials, in units of v

    Returns a `Network` of conductances (`Network(reversal=…)`) of nodes named e and i, time in the unit of τ. Raises
    `ValueError` for values out of bounds. Source: Byrne, O'Dea, Forrester, Ross & Coombes, J. Neurophysiol. 123:726 (2020),
    with the defaults of Neuroblox, whose variables are the Kuramoto order parameter's.
    """
    times = jnp.asarray(tau, dtype=float)
    strengths = jnp.stack(
        [as_number(n, k, "[0, inf)") for n, k in {"k_ee": k_ee, "k_ei": k_ei, "k_ie": k_ie, "k_ii": k_ii}.items()]
    )
    require("alpha", alpha, "be a pair (e, i)", isinstance(alpha, (tuple, list)) and len(alpha) == 2)
    rates = jnp.stack([as_number("alpha", each, "(0, inf)") for each in alpha])
    synapse = ExponentialSynapse(tau=1.0)
    node = per_node(MPR(J=0.0, synapse=synapse), eta=eta, Delta=Delta, tau=tau, **{"synapse.tau": 1 / rates})
    return Network(
        node,
        strengths.reshape(2, 2) / times[None],
        names=("e", "i"),
        reversal=reversal,
        note=f"time in the unit of τ; {_BYRNE}",
    )


def izhikevich(
    eta: Any = 0.12,
    Delta: Any = 0.02,
    alpha: Any = 0.6215,
    g: Any = 1.2308,
    reversal: Any = 1.0,
    a: Any = 0.0077,
    b: Any = -0.0062,
    w_jump: Any = 0.0189,
    tau_s: Any = 2.6,
    s_jump: Any = 1.2308,
) -> MPR:
    """A population of Izhikevich's neurons with heterogeneous currents, excited by itself through conductances: it bursts.

        r′ = Δ/π + r (2 V − α − g S),        V′ = V² − α V + η − w + g S (E_r − V) − (π r)²
        w′ = a (b V − w) + w_j r,            S′ = −S/τ_s + s_j r

    It is an `MPR` with v = V − α/2, a conductance synapse and a `RecoveryCurrent`, so energies, sweeps and branches apply:
    η_MPR = η − α²/4, reversal E_r − α/2, and s = S/(s_j τ_s), the filtered rate of `ExponentialSynapse`, with strength κ =
    g s_j τ_s. r and w are the same in both.

    - `eta`, `Delta`: centre and half-width of the currents; `alpha`: α, the threshold voltage; dimensionless numbers
    - `g`, `reversal`: conductance at S = 1, ≥ 0, and its reversal potential E_r, in units of V
    - `a`, `b`, `w_jump`: rate of recovery, gain of the voltage, and jump of w at a spike
    - `tau_s`, `s_jump`: time constant of the synapse, and jump of S at a spike, ≥ 0

    Returns an `MPR`, time and voltage dimensionless as in the source. With the defaults it bursts with period 227.21. Raises
    `ValueError` for values out of bounds. Source: Chen & Campbell, J. Comput. Neurosci. 50:445 (2022), with the defaults of
    Neuroblox.
    """
    half, rate = as_number("alpha", alpha) / 2, as_number("a", a, "(0, inf)")
    strength = (
        as_number("g", g, "[0, inf)") * as_number("s_jump", s_jump, "[0, inf)") * as_number("tau_s", tau_s, "(0, inf)")
    )
    synapse = ExponentialSynapse(tau=tau_s, strength=strength, reversal=as_number("reversal", reversal) - half)
    recovery = RecoveryCurrent(a=rate, b=b, jump=w_jump, reference=-half)
    centre, note = as_number("eta", eta) - half**2, f"dimensionless, v is the source's V − α/2; {_CHEN}"
    return MPR(eta=centre, J=0.0, Delta=Delta, adaptation=recovery, synapse=synapse, note=note)
