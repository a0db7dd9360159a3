"""The contract: every model × every public function works, or refuses in one sentence.

- `MODELS`: name → what the battery needs to know of a model. A new model joins by one entry and one column of `OUTCOMES`.
- `CALLS`: name → the public function, called with small inputs: short runs, few lanes, fixed steps. A name begins with the
  function's own (`plot.` in front of those of `nmmjax.plot`); what follows tells one call of it from another.
- `OUTCOMES`: what is expected of every pair: `+` works, `-` refuses, `?` not recorded yet (either). A function that begins
  to refuse a model is seen there.

`python tests/contract.py [--only PATTERN] [--models a,b]` prints the table as it is now, and what went wrong.
"""

import argparse
import contextlib
import dataclasses
import functools
import inspect
import re
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental.sparse import BCOO
from outside.ei_pair import EIPair
from outside.fitzhugh_nagumo import FitzHughNagumo
from outside.own_mechanical import DoubleWell
from outside.synapse import FirstOrderSynapse

import nmmjax as nmm

if __name__ == "__main__":  # as in the tests: conftest.py
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_numpy_dtype_promotion", "strict")

Y0, HIGH = {"r": 0.08, "v": -1.96}, {"r": 1.0, "v": -0.15}  # near the two stable states of most models below
TS = np.linspace(0.0, 2.0, 21)
PULSE = nmm.Pulse(1.0, 0.5, 1.0)
KEY = jax.random.key(0)
CONNECTOME = nmm.Connectome([[0.0, 0.3], [0.3, 0.0]], labels=("V1", "MT"))
QUIET = {"progress": False}


def words(text):
    return set(re.findall(r"[\w.]+", text))


@dataclasses.dataclass
class Case:
    """A model, and what calls need to know of it; results that several calls share are computed once.

    - `y0`, `high`: states near two stable ones, or the same where there is one
    - `turn`: a state near that of a Hopf point; `high` by default
    - `over`, `second`: names of two parameters; `channel`: of what a sweep observes; `plane`: two variables
    - `observed`: variables that a recording has
    """

    model: Any
    y0: Any = dataclasses.field(default_factory=lambda: Y0)
    high: Any = dataclasses.field(default_factory=lambda: HIGH)
    turn: Any = None
    over: str = "eta"
    second: str = "J"
    channel: str = "r"
    plane: tuple[Any, Any] = ("r", "v")
    observed: tuple[str, ...] = ("r",)

    @property
    def bare(self):
        """The channel without a node."""
        return self.channel.partition("[")[0]

    def value(self, name):
        return float(np.ravel(nmm.extend.parameter_table(self.model)[name][1])[0])

    def around(self, name, width=0.5):
        return (self.value(name) - width, self.value(name) + width)

    def shifted(self, *names, share=0.01):
        """Two values of each of these parameters."""
        return {name: self.value(name) * np.array([1.0, 1.0 + share]) for name in names}

    @functools.cached_property
    def run(self):
        return nmm.simulate(self.model, self.y0, TS)

    def at_rest(self, y):
        return nmm.simulate(self.model, y, np.array([0.0, 200.0])).y_end

    @functools.cached_property
    def exponents(self):
        return nmm.lyapunov_exponents(self.model, y0=self.y0, t1=0.5, dt0=0.05)

    @functools.cached_property
    def tongues(self):
        options = {"channel": self.channel, "cycles": 10, "transient": 0, "prominence": 1e-3}
        return nmm.entrainment(self.model, amplitudes=[0.0, 1.0], omegas=[20.0, 40.0], y0=self.y0, **options)

    @functools.cached_property
    def modes(self):
        return nmm.master_stability(self.model, guess=self.y0, Lambda=np.linspace(-1.0, 1.0, 3))

    @functools.cached_property
    def rests(self):
        return nmm.resting_states(self.model, {self.over: self.around(self.over)}, starts=4, saddles=4)

    @functools.cached_property
    def roots(self):
        return nmm.characteristic_roots(self.model, guess=self.y0)

    @functools.cached_property
    def comparison(self):
        return nmm.compare_with_neurons(self.model, size=(16, 32), y0=self.y0, ts=TS)

    @functools.cached_property
    def spectrum(self):
        return nmm.power_spectrum(self.model, 100, guess=self.y0, frequencies=np.array([0.1, 0.5]))

    @functools.cached_property
    def linear(self):
        return nmm.linear_response(self.model, 0.01, guess=self.y0)

    @functools.cached_property
    def low(self):
        return self.at_rest(self.y0)

    @functools.cached_property
    def top(self):
        return self.at_rest(self.high)

    @functools.cached_property
    def ends(self):
        return {"start": self.low, "end": self.top}

    @functools.cached_property
    def branch(self):
        return nmm.continue_branch(self.model, self.over, self.around(self.over), self.low, max_points=20)

    @functools.cached_property
    def fold(self):
        return nmm.find_fold(self.model, self.over, self.low)

    @functools.cached_property
    def hopf(self):
        return nmm.find_hopf(self.model, self.over, self.top if self.turn is None else self.turn)

    @functools.cached_property
    def cycles(self):
        return nmm.continue_cycle(self.hopf, self.bounds[0], max_points=3, intervals=8)

    @functools.cached_property
    def response(self):
        return nmm.phase_response(self.cycles, at=self.cycles.parameter[2])

    @functools.cached_property
    def bounds(self):
        """Those of a curve over both parameters."""
        return self.around(self.over, 10.0), self.second, self.around(self.second, 5.0)

    @functools.cached_property
    def landscape(self):
        return nmm.energy_landscape(self.model)

    @functools.cached_property
    def orbit(self):
        well = nmm.total_energy(self.model, self.top)
        return nmm.orbit(self.model, well + 0.1)

    @functools.cached_property
    def pulse(self):
        return nmm.minimal_pulse(self.model, **self.ends, duration=5.0, rtol=1e-2, scan=4)

    @functools.cached_property
    def data(self):
        """A recording of the model's own."""
        return {name: getattr(self.run.ys, name) for name in self.observed}

    @functools.cached_property
    def fitted(self):
        return fitted(self, nmm.TrajectoryTarget(TS, **self.data, y0=self.y0, segments=False))

    @functools.cached_property
    def posterior(self):
        return nmm.sample_posterior(self.fitted, key=KEY, chains=1, warmup=20, draws=4, max_depth=2, **QUIET)

    @functools.cached_property
    def strengths(self):
        return nmm.strength_duration(self.model, **self.ends, durations=[5.0, 8.0], rtol=1e-2, scan=4)

    @functools.cached_property
    def basins(self):
        near = [np.array([0.9, 1.1]) * abs(first_value(self.high, name)) for name in self.plane]
        over = dict(zip(self.plane, near, strict=True))
        return nmm.basin_map(self.model, attractors=[self.low, self.top], over=over)

    @functools.cached_property
    def passage(self):
        return nmm.first_passage(self.model, 0.1, self.low, KEY, lanes=4, horizon=1.0, transient=0.1, dt0=0.05)

    @functools.cached_property
    def plan(self):
        given = {"t1": 0.5, "dt0": 0.05, "estimate": False, "observe": {"x": nmm.Final()}}
        return nmm.plan_sweep(self.model, over=self.shifted(self.over), y0=self.y0, **given)

    @functools.cached_property
    def swept(self):
        return swept(self, nmm.Final(self.channel))

    def driven(self, reverse=False):
        options = {"t0": 0.0, "t1": 2.0, "lanes": 8, "dt0": 0.1, "reverse": reverse}
        return nmm.stochastic.run_protocol(self.model, PULSE, 0.1, KEY, **options)


def connectivity(case):
    return nmm.FunctionalConnectivity(nmm.TemporalAverage(0.1, channel=case.bare))


def swept(case, observed, **options):
    given = {"t1": 0.5, "dt0": 0.05, "estimate": False, **QUIET, **options}
    return nmm.sweep(case.model, over=case.shifted(case.over), y0=case.y0, observe={"x": observed}, **given)


def fitted(case, target, **options):
    given = {"starts": 1, "max_steps": 2, **QUIET, **options}
    return nmm.fit(case.model, free=(case.over,), target=target, **given)


def film(case):
    with tempfile.TemporaryDirectory() as folder:
        return nmm.plot.animate_landscape(case.run, Path(folder) / "film.gif", frames=2)


def weights(size):
    return 0.3 * (1 - np.eye(size))


OF_NETWORKS = {"over": "gain", "second": "node.J", "plane": (("r", 0), ("r", 1))}
OF_CLOSURES = {"over": "population.eta", "second": "population.J"}
OF_SYNAPSES = {"high": HIGH | {"s": 1.0}, "second": "adaptation.tau", "observed": ("r", "s")}
PAIR = {"r_e": 0.2, "v_e": -0.5, "r_i": 0.1, "v_i": -1.0}
OF_PAIRS = {
    "y0": PAIR, "high": PAIR | {"r_e": 0.5}, "over": "eta_e", "channel": "r_e", "plane": ("r_e", "v_e"), "observed": ("r_e",)
}  # fmt: skip
OF_WELLS = {
    "y0": {"q": -0.9, "p": 0.0}, "high": {"q": 1.1, "p": 0.0}, "over": "a", "second": "gamma", "channel": "q",
    "plane": ("q", "p"), "observed": ("q",),
}  # fmt: skip
OF_OSCILLATORS = {
    "y0": {"V": -1.2, "w": -0.6}, "high": {"V": 1.2, "w": 0.6}, "turn": {"V": 0.92, "w": 0.46}, "over": "current",
    "second": "epsilon", "channel": "V", "plane": ("V", "w"), "observed": ("V",),
}  # fmt: skip
OF_NODES = {"over": "gain", "second": "node.b", "channel": "V[0]", "plane": (("V", 0), ("V", 1))}
OF_BURSTERS = {
    "y0": {"r": 0.05, "v": 0.0, "w": 0.13}, "high": {"r": 0.06, "v": 0.05, "w": 0.13}, "second": "adaptation.a",
    "observed": ("r", "s"),
}  # fmt: skip
HALVED = {"y0": {"r": 0.04, "v": -0.98}, "high": {"r": 0.5, "v": -0.08}}
ADAPTED = {"adaptation": nmm.SpikeFrequencyAdaptation(alpha=0.02, tau=5.0)}

MODELS = {
    "plain": lambda: Case(nmm.MPR()),
    "gap": lambda: Case(nmm.MPR(gap=nmm.GapJunction(0.1))),
    "cond": lambda: Case(nmm.MPR(conductance=nmm.ConductanceSynapse(0.1, -1.0), tau=1.3)),
    "adapt": lambda: Case(nmm.MPR(**ADAPTED)),
    "depr": lambda: Case(nmm.MPR(adaptation=nmm.SynapticDepression(alpha=0.02, tau=5.0, kernel="exponential"))),
    "stp": lambda: Case(nmm.MPR(J=30.0, plasticity=nmm.ShortTermPlasticity(tau_d=0.2, tau_f=1.0, U0=0.5))),
    "clock": lambda: Case(nmm.mechanics.RescaledTime(nmm.MPR()), over="model.eta", second="model.J"),
    "scaled": lambda: Case(nmm.mechanics.rescale(nmm.MPR(), 2.0).model, **HALVED),
    "dense": lambda: Case(nmm.Network(nmm.MPR(), weights(2)), **OF_NETWORKS),
    "sparse": lambda: Case(nmm.Network(nmm.MPR(), BCOO.fromdense(jnp.asarray(weights(2)))), **OF_NETWORKS),
    "slow": lambda: Case(nmm.Network(nmm.MPR(**ADAPTED), weights(2)), **OF_NETWORKS),
    "named": lambda: Case(nmm.Network(nmm.MPR(), weights(2), names=("V1", "MT")), **OF_NETWORKS),
    "synapse": lambda: Case(nmm.MPR(adaptation=FirstOrderSynapse(tau=0.2)), **OF_SYNAPSES),
    "ei": lambda: Case(EIPair(), **OF_PAIRS),
    "own": lambda: Case(DoubleWell(), **OF_WELLS),
    "fhn": lambda: Case(FitzHughNagumo(a=0.0, b=2.0), **OF_OSCILLATORS),
    "nodes": lambda: Case(nmm.Network(FitzHughNagumo(a=0.0, b=2.0), weights(2) / 10), **OF_OSCILLATORS | OF_NODES),
    "ing": lambda: Case(nmm.MPR(synapse=nmm.ExponentialSynapse(tau=0.2)), **OF_SYNAPSES | {"second": "synapse.tau"}),
    "coupling_heterogeneity": lambda: Case(nmm.MPR(coupling_heterogeneity=nmm.CouplingHeterogeneity(1.0))),
    "izhikevich": lambda: Case(nmm.izhikevich(), **OF_BURSTERS),
    "conductances": lambda: Case(
        nmm.Network(nmm.MPR(synapse=nmm.ExponentialSynapse(tau=0.2)), np.abs(weights(2)), reversal=-2.0), **OF_NETWORKS
    ),
    "neurons": lambda: Case(nmm.QIFNetwork(nmm.MPR(), 64, watched=4)),
    "poles": lambda: Case(nmm.MPR(heterogeneity=nmm.GaussianLike(2)), second="J"),
    "circular": lambda: Case(nmm.CircularCumulants(nmm.MPR(), 0.1), **OF_CLOSURES),
    "pseudo": lambda: Case(nmm.PseudoCumulants(nmm.MPR(), 0.1), **OF_CLOSURES),
    "late": lambda: Case(nmm.Network(nmm.MPR(), weights(2), delay=0.5), **OF_NETWORKS),
}  # fmt: skip

CALLS = {
    # runs
    "extend.parameter_table": lambda c: nmm.extend.parameter_table(c.model),
    "simulate": lambda c: c.run,
    "simulate with input": lambda c: nmm.simulate(c.model, c.y0, TS, stimulus=nmm.Sinusoid(1.0, 2.0), dt0=0.1),
    "simulate with jumps": lambda c: nmm.simulate(c.model, c.y0, TS, stimulus=PULSE),
    "simulate, Möbius": lambda c: nmm.simulate(c.model, c.y0, TS, solver=nmm.MobiusSplitting(4), dt0=0.05),
    "simulate, extrapolated": lambda c: nmm.simulate(c.model, c.y0, TS, solver=nmm.MobiusExtrapolation()),
    "simulate with noise": lambda c: nmm.simulate(c.model, c.y0, TS, noise=0.1, key=KEY, dt0=0.1),
    "simulate, coloured noise": lambda c: nmm.simulate(
        c.model, c.y0, TS, noise=nmm.OrnsteinUhlenbeck(0.1, 1.0), key=KEY, dt0=0.1
    ),
    "simulate, BOLD": lambda c: (
        nmm.simulate(
            c.model, c.y0, TS, dt0=0.1, monitors={"bold": nmm.BOLD(0.5, channel=c.bare), "fc": connectivity(c)}
        ).monitors
    ),
    "simulate, ShotNoise": lambda c: nmm.simulate(c.model, c.y0, TS, noise=nmm.ShotNoise(100), key=KEY, dt0=0.1),
    "simulate, Cauchy noise": lambda c: nmm.simulate(c.model, c.y0, TS, noise=nmm.CauchyNoise(0.1), dt0=0.1),
    "simulate, Gaussian noise": lambda c: nmm.simulate(c.model, c.y0, TS, noise=nmm.GaussianNoise(0.1), key=KEY, dt0=0.1),
    "simulate, dense": lambda c: nmm.simulate(c.model, c.y0, TS, dense=True, max_steps=64).evaluate(0.55),
    "simulate, go on": lambda c: nmm.simulate(c.model, c.run, TS + TS[-1]),
    "extend.PopulationTerm": lambda c: nmm.extend.PopulationTerm(c.model).vf(0.0, c.model.state(c.y0), None),
    "mechanics.RescaledTime": lambda c: nmm.simulate(nmm.mechanics.RescaledTime(c.model), c.y0, TS),
    "Network": lambda c: nmm.simulate(nmm.Network(c.model, weights(2)), c.y0, TS),
    "Network, connectome": lambda c: nmm.Network(c.model, CONNECTOME, gain=0.5),
    "per_node": lambda c: nmm.per_node(c.model, **{c.over: c.shifted(c.over)[c.over]}),
    "explore": lambda c: nmm.explore(c.model, y0=c.y0),
    # energies, coordinates, scales
    "energy_balance": lambda c: nmm.energy_balance(c.run),
    "total_energy": lambda c: nmm.total_energy(c.model, c.run.ys),
    "kinetic_energy": lambda c: nmm.kinetic_energy(c.model, c.run.ys),
    "potential_energy": lambda c: nmm.potential_energy(c.model, c.run.ys, 0.5),
    "hamiltonian": lambda c: nmm.hamiltonian(c.model, c.run.ys),
    "mechanics.damping": lambda c: nmm.mechanics.damping(c.model, c.run.ys),
    "mechanics.heat_rate": lambda c: nmm.mechanics.heat_rate(c.model, c.run.ys),
    "mechanics.port_power": lambda c: nmm.mechanics.port_power(c.model, c.run.ys, 0.5),
    "mechanics.slow_power": lambda c: nmm.mechanics.slow_power(c.model, c.run.ys),
    "mechanics.stored_energy": lambda c: nmm.mechanics.stored_energy(c.model, c.run.ys),
    "mechanics.pump_power": lambda c: nmm.mechanics.pump_power(c.model, c.run.ys),
    "mechanics.exchange_power": lambda c: nmm.mechanics.exchange_power(c.model, c.run.ys),
    "mechanics.received_power": lambda c: nmm.mechanics.received_power(c.model, c.run.ys),
    "mechanics.network_energy": lambda c: nmm.mechanics.network_energy(c.model, c.run.ys, 0.5),
    "mechanics.network_power": lambda c: nmm.mechanics.network_power(c.model, c.run.ys),
    "mechanics.synaptic_store": lambda c: nmm.mechanics.synaptic_store(c.model, c.run.ys),
    "circulation": lambda c: nmm.circulation(c.run),
    "mechanics.force": lambda c: nmm.mechanics.force(c.model, c.run.ys),
    "mechanics.hamiltonian_field": lambda c: nmm.mechanics.hamiltonian_field(c.model, c.run.ys),
    "mechanics.conservative_field": lambda c: nmm.mechanics.conservative_field(c.model, c.run.ys),
    "mechanics.mechanical_residual": lambda c: nmm.mechanics.mechanical_residual(c.model, c.run.ys),
    "coordinates.to_wv": lambda c: nmm.coordinates.to_wv(c.model, c.run.ys),
    "coordinates.from_wv": lambda c: nmm.coordinates.from_wv(c.model, jnp.ones(2), jnp.zeros(2)),
    "coordinates.to_qp": lambda c: nmm.coordinates.to_qp(c.model, c.run.ys),
    "coordinates.from_qp": lambda c: nmm.coordinates.from_qp(c.model, jnp.ones(2), jnp.zeros(2)),
    "coordinates.to_qqdot": lambda c: nmm.coordinates.to_qqdot(c.model, c.run.ys),
    "coordinates.from_qqdot": lambda c: nmm.coordinates.from_qqdot(c.model, jnp.ones(2), jnp.zeros(2)),
    "coordinates.to_riccati": lambda c: nmm.coordinates.to_riccati(c.model, c.run.ys),
    "coordinates.from_riccati": lambda c: nmm.coordinates.from_riccati(c.model, jnp.full(2, 1.0 + 0.5j)),
    "coordinates.to_kuramoto": lambda c: nmm.coordinates.to_kuramoto(c.model, c.run.ys),
    "coordinates.from_kuramoto": lambda c: nmm.coordinates.from_kuramoto(c.model, jnp.full(2, 0.1 + 0.1j)),
    "cusp_rate": lambda c: nmm.cusp_rate(c.model),
    "mechanics.rescale": lambda c: nmm.mechanics.rescale(c.model, 2.0),
    "mechanics.strong_coupling": lambda c: nmm.mechanics.strong_coupling(c.model),
    "mechanics.unit_heterogeneity": lambda c: nmm.mechanics.unit_heterogeneity(c.model),
    "orbit": lambda c: c.orbit,
    "loss_per_cycle": lambda c: nmm.loss_per_cycle(c.model, 0.0),
    "limit_cycle": lambda c: nmm.limit_cycle(c.model),
    "predict_peaks": lambda c: nmm.predict_peaks(c.model, 3.0, 2),
    # spikes and bursts
    "find_spikes": lambda c: nmm.find_spikes(c.run),
    "find_bursts": lambda c: nmm.find_bursts(c.run),
    "soft_spike_count": lambda c: nmm.soft_spike_count(c.run, 0.1),
    "spike_peaks": lambda c: nmm.spike_peaks(c.model, c.y0, 1.0, 1),
    "predict_next_peak": lambda c: nmm.predict_next_peak(c.model, c.high),
    "predict_spikes": lambda c: nmm.predict_spikes(c.model, c.high, 2),
    "predict_burst": lambda c: nmm.predict_burst(c.model, nmm.find_bursts(c.run)),
    "burst_cycle": lambda c: nmm.burst_cycle(c.model, max_spikes=2),
    "slow_fast": lambda c: nmm.slow_fast(c.model, points=21),
    "burst_atlas": lambda c: nmm.burst_atlas(c.model, c.shifted(c.over), t0=0.5, t1=1.0, **QUIET),
    # sweeps
    "plan_sweep": lambda c: c.plan.variables,
    "extend.compute_lanes": lambda c: nmm.extend.compute_lanes(c.plan, np.arange(1)),
    "sweep Final": lambda c: c.swept,
    "sweep Final, all": lambda c: swept(c, nmm.Final()),
    "sweep, converged": lambda c: swept(c, nmm.Final(c.channel), dt0=None, rtol=1e-3, estimate=True),
    "sweep, gradient": lambda c: swept(c, nmm.Final(c.channel), gradient=(c.over,)),
    "sweep, noise": lambda c: swept(c, nmm.Final(c.channel), noise=0.1, key=KEY),
    "sweep FunctionalConnectivity": lambda c: swept(c, connectivity(c)),
    "sweep, ShotNoise": lambda c: swept(c, nmm.Final(c.channel), noise=nmm.ShotNoise(100), key=KEY),
    "sweep Mean": lambda c: swept(c, nmm.Mean(c.channel)),
    "sweep Mean energy": lambda c: swept(c, nmm.Mean("energy")),
    "sweep Variance": lambda c: swept(c, nmm.Variance(c.channel)),
    "sweep Peak": lambda c: swept(c, nmm.Peak(c.channel)),
    "sweep Trough": lambda c: swept(c, nmm.Trough(c.channel)),
    "sweep Period": lambda c: swept(c, nmm.Period(c.channel)),
    "sweep SpikeCount": lambda c: swept(c, nmm.SpikeCount(c.channel)),
    "sweep BurstCount": lambda c: swept(c, nmm.BurstCount()),
    "sweep Samples": lambda c: swept(c, nmm.Samples((0.1, 0.3))),
    "sweep Custom": lambda c: swept(c, nmm.Custom(lambda p: 0 * p.t, lambda s, p: s + p.weight)),
    "as_simulator": lambda c: nmm.as_simulator(
        c.model, over=(c.over,), observe={"last": nmm.Final()}, y0=c.y0, t1=0.5, dt0=0.05
    )(np.array([c.value(c.over)])),
    # exponents
    "lyapunov_exponents": lambda c: c.exponents,
    "entrainment": lambda c: c.tongues,
    "master_stability": lambda c: c.modes,
    "characteristic_roots": lambda c: c.roots,
    "resting_states": lambda c: c.rests,
    "power_spectrum": lambda c: c.spectrum,
    "linear_response": lambda c: c.linear,
    "compare_with_neurons": lambda c: c.comparison,
    # fits
    "fit TrajectoryTarget": lambda c: c.fitted,
    "fit LossTarget": lambda c: fitted(c, lambda model: (parameter_of(model, c.over) - 1.0) ** 2),
    "fit EnergyTarget": lambda c: fitted(c, nmm.EnergyTarget([(c.y0, 1.0)])),
    "fit SpectrumTarget": lambda c: fitted(c, nmm.SpectrumTarget(0.5, near=1.0)),
    "fit SpectrumTarget, state": lambda c: fitted(
        c, nmm.SpectrumTarget(frequencies=[0.1], power=[1.0], near={name: getattr(c.low, name) for name in c.low.names})
    ),
    "fit FunctionalConnectivityTarget": lambda c: fitted(
        c, nmm.FunctionalConnectivityTarget(np.full((c.model.size or 2,) * 2, 0.3), guess=c.low)
    ),
    "fit StationaryTarget": lambda c: fitted(c, nmm.StationaryTarget(RATES, noise=0.1, bins=4)),
    "fit BurstAmplitudeTarget": lambda c: fitted(c, nmm.BurstAmplitudeTarget([2.0, 1.8])),
    "fit FoldTarget": lambda c: nmm.fit(
        c.model, free=(c.second,), target=nmm.FoldTarget(c.over, c.value(c.over), near=0.1), starts=1, max_steps=2, **QUIET
    ),
    "fit FoldTarget, state": lambda c: nmm.fit(
        c.model, free=(c.second,), target=nmm.FoldTarget(c.over, c.value(c.over), near=c.y0), starts=1, max_steps=2, **QUIET
    ),
    "fit HopfTarget": lambda c: nmm.fit(
        c.model, free=(c.second,), target=nmm.HopfTarget(c.over, c.value(c.over), near=0.1), starts=1, max_steps=2, **QUIET
    ),
    "fit, Adam": lambda c: fitted(
        c, nmm.TrajectoryTarget(TS, **c.data, y0=c.y0, segments=False), optimizer=optax.adam(1e-2), steps=2
    ),
    "check_gradient": lambda c: nmm.check_gradient(
        nmm.TrajectoryTarget(TS, **c.data, y0=c.y0, segments=False), c.model, free=(c.over,)
    ),
    "sample_posterior": lambda c: c.posterior,
    # branches
    "continue_branch": lambda c: c.branch,
    "continue_branch, no start": lambda c: nmm.continue_branch(c.model, c.over, c.around(c.over), max_points=4),
    "find_fold": lambda c: c.fold,
    "find_hopf": lambda c: c.hopf,
    "continue_fold": lambda c: nmm.continue_fold(c.fold, c.bounds[1], c.bounds[0], c.bounds[2], max_points=4),
    "continue_hopf": lambda c: nmm.continue_hopf(c.hopf, c.bounds[1], c.bounds[0], c.bounds[2], max_points=4),
    "continue_cycle": lambda c: c.cycles,
    "phase_response": lambda c: c.response,
    # landscapes
    "energy_landscape": lambda c: c.landscape,
    "find_fixed_point": lambda c: nmm.find_fixed_point(c.model, c.low),
    "network_potential": lambda c: nmm.network_potential(c.model, jnp.ones(2)),
    # transitions
    "basin_map": lambda c: c.basins,
    "minimal_pulse": lambda c: c.pulse,
    "minimal_pulse, node": lambda c: nmm.minimal_pulse(c.model, **c.ends, duration=5.0, node=1, rtol=1e-2, scan=4),
    "best_node": lambda c: nmm.best_node(c.model, **c.ends, duration=5.0, rtol=1e-2, scan=4),
    "strength_duration": lambda c: c.strengths,
    "minimal_charge": lambda c: nmm.minimal_charge(c.model, **c.ends, durations=(4.0, 6.0), rtol=1e-2, scan=4),
    "optimal_stimulus": lambda c: nmm.optimal_stimulus(c.model, **c.ends, T=5.0, pieces=4, steps=2),
    "threshold_amplitude": lambda c: nmm.threshold_amplitude(c.model, c.pulse),
    "threshold_gradient": lambda c: nmm.threshold_gradient(c.pulse),
    # noise
    "stationary_rates": lambda c: nmm.stationary_rates(c.model, nmm.GaussianNoise(0.1)),
    "boltzmann": lambda c: nmm.boltzmann(c.model, 0.1),
    "stochastic.stationary_density": lambda c: density(c),
    "first_passage": lambda c: c.passage,
    "escape_rate": lambda c: nmm.escape_rate(c.model, 0.1, c.low, points=32, orders=4),
    "escape_path": lambda c: nmm.escape_path(c.model, c.low, points=101),
    "residence_times": lambda c: nmm.residence_times(c.run),
    "stochastic.effective_temperature": lambda c: nmm.stochastic.effective_temperature(c.run),
    "stochastic.run_protocol": lambda c: c.driven(),
    "stochastic.crooks": lambda c: nmm.stochastic.crooks(c.driven(), c.driven(reverse=True)),
    "MeasuredPotential.compare": lambda c: measured().compare(c.model),
    # Ising models
    "ising.predict_ising": lambda c: nmm.ising.predict_ising(c.model, 1.0),
    "ising.saddle_rates": lambda c: nmm.ising.saddle_rates(c.model),
    "ising.network_from_ising": lambda c: nmm.ising.network_from_ising(ising(), c.model, 0.5),
    "ising.compare_landscapes": lambda c: nmm.ising.compare_landscapes(c.model, 0.1, ising()),
    # pictures
    "plot.trajectory": lambda c: nmm.plot.trajectory(c.run),
    "plot.energy": lambda c: nmm.plot.energy(c.run),
    "plot.energy, balance": lambda c: nmm.plot.energy(c.run, nmm.energy_balance(c.run)),
    "plot.shade_stimulus": lambda c: nmm.plot.shade_stimulus(c.run, nmm.plot.trajectory(c.run)),
    "plot.phase_plane": lambda c: nmm.plot.phase_plane(c.model, c.run),
    "plot.energy_contours": lambda c: nmm.plot.energy_contours(c.model, (0.1, 1.0), (-2.0, 2.0)),
    "plot.orbits": lambda c: nmm.plot.orbits(c.model, c.orbit),
    "plot.ellipse_points": lambda c: nmm.plot.ellipse_points(c.orbit),
    "plot.peaks": lambda c: nmm.plot.peaks(nmm.predict_peaks(c.model, 3.0, 2)),
    "plot.bursts": lambda c: nmm.plot.bursts(c.run),
    "plot.slow_fast": lambda c: nmm.plot.slow_fast(nmm.slow_fast(c.model, points=21), c.run),
    "plot.atlas": lambda c: nmm.plot.atlas(nmm.burst_atlas(c.model, c.shifted(c.over), t0=0.5, t1=1.0, **QUIET)),
    "plot.circulation": lambda c: nmm.plot.circulation(c.run),
    "plot.sweep": lambda c: nmm.plot.sweep(c.swept),
    "plot.lyapunov": lambda c: nmm.plot.lyapunov(c.exponents),
    "plot.arnold_tongues": lambda c: nmm.plot.arnold_tongues(c.tongues),
    "plot.master_stability": lambda c: nmm.plot.master_stability(c.modes),
    "plot.resting_states": lambda c: nmm.plot.resting_states(c.rests),
    "plot.characteristic_roots": lambda c: nmm.plot.characteristic_roots(c.roots),
    "plot.delays": lambda c: nmm.plot.delays(c.model),
    "plot.power_spectrum": lambda c: nmm.plot.power_spectrum(c.spectrum),
    "stochastic.recorded_connectivity": lambda c: nmm.stochastic.recorded_connectivity(c.linear, nmm.BOLD(TR=100.0)),
    "plot.regions": lambda c: nmm.plot.regions(c.run),
    "plot.linear_response": lambda c: nmm.plot.linear_response(c.linear),
    "plot.neurons": lambda c: nmm.plot.neurons(c.comparison),
    "plot.raster": lambda c: nmm.plot.raster(c.comparison.neurons[0], c.comparison.mean_field),
    "plot.fit": lambda c: nmm.plot.fit(c.fitted),
    "plot.recovery": lambda c: nmm.plot.recovery(c.fitted, {c.over: c.value(c.over)}),
    "plot.profile": lambda c: nmm.plot.profile(c.fitted.profile(c.over, c.value(c.over) * np.array([0.99, 1.0, 1.01]))),
    "plot.posterior": lambda c: nmm.plot.posterior(c.posterior),
    "plot.bifurcation": lambda c: nmm.plot.bifurcation(c.branch),
    "plot.phase_response": lambda c: nmm.plot.phase_response(c.response),
    "plot.bifurcation_curves": lambda c: nmm.plot.bifurcation_curves(
        nmm.continue_fold(c.fold, c.bounds[1], c.bounds[0], c.bounds[2], max_points=4)
    ),
    "plot.landscape": lambda c: nmm.plot.landscape(c.landscape, c.run),
    "plot.disconnectivity": lambda c: nmm.plot.disconnectivity(c.landscape),
    "plot.animate_landscape": film,
    "plot.basins": lambda c: nmm.plot.basins(c.basins),
    "plot.strength_duration": lambda c: nmm.plot.strength_duration(c.strengths),
    "plot.switch": lambda c: nmm.plot.switch(c.pulse),
    "plot.density": lambda c: nmm.plot.density(nmm.boltzmann(c.model, 0.1)),
    "plot.potential": lambda c: nmm.plot.potential(measured(), c.model),
    "plot.survival": lambda c: nmm.plot.survival(c.passage),
    "plot.work": lambda c: nmm.plot.work(c.driven()),
    "plot.compared_landscapes": lambda c: nmm.plot.compared_landscapes(nmm.ising.compare_landscapes(c.model, 0.1, ising())),
}

WITHOUT_MODEL = words(  # public functions that take no model, and nothing made of one
    """use_compilation_cache example_recording load_recording load_connectome random_connectome binarize ising.sliding_windows
    fit_ising ising.fit_ising_many
    ising.bootstrap_ising ising.shuffle_test ising.cross_validate_ising ising.select_regions ising.load_ising
    ising.save_ising fit_stationary stochastic.jarzynski stochastic.potential_from_samples stochastic.neuron_rate
    stochastic.exponential_fit excitatory_inhibitory mutual_inhibition ing ping dumont_gutkin coombes_byrne byrne izhikevich
    functional_connectivity plot.functional_connectivity plot.dynamic_connectivity plot.spectrum
    mechanics.hopf_coupling mechanics.pair_hopf_coupling extend.declared extend.parameter
    plot.connectome plot.activity plot.occupancy plot.transition_graph plot.basin_graph plot.ising"""
)


OUTCOMES = """
                                  plain gap cond adapt depr stp clock scaled dense sparse slow named synapse ei own fhn nodes ing coupling_heterogeneity izhikevich conductances neurons poles circular pseudo late
extend.parameter_table            +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
simulate                          +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
simulate with input               +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
simulate with jumps               +     +   +    +     +    +   -     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
simulate, Möbius                  +     +   +    -     -    -   -     +      +     +      -    +     -       -  -   -   -     +   +                      -          +            -       +     -        -      +
simulate, extrapolated            +     +   +    -     -    -   -     +      +     +      -    +     -       -  -   -   -     +   +                      -          +            -       +     -        -      -
simulate with noise               +     +   +    +     +    +   -     +      +     +      -    +     +       -  -   -   -     +   +                      +          -            +       +     -        -      +
simulate, coloured noise          +     +   +    +     +    +   -     +      +     +      -    +     +       -  -   -   -     +   +                      +          -            -       +     -        -      +
simulate, BOLD                    +     +   +    +     +    +   -     +      +     +      +    +     +       +  -   +   +     +   +                      +          +            -       +     +        +      +
simulate, ShotNoise               +     -   -    -     -    -   -     +      +     +      -    +     -       -  -   -   -     +   -                      -          -            -       -     -        -      -
simulate, Cauchy noise            +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          -            -       +     -        -      -
simulate, Gaussian noise          -     -   -    -     -    -   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            +       -     -        -      -
simulate, dense                   +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
simulate, go on                   +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
extend.PopulationTerm             +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
mechanics.RescaledTime            +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
Network                           +     +   +    +     +    +   -     +      -     -      -    -     +       +  -   +   -     +   +                      +          -            -       +     +        +      -
Network, connectome               +     +   +    +     +    +   -     +      -     -      -    -     +       +  -   +   -     +   +                      +          -            -       +     +        +      -
per_node                          +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      +
explore                           +     +   +    +     +    +   -     +      +     -      -    +     +       -  +   +   +     +   +                      +          +            -       +     +        +      -
energy_balance                    +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
total_energy                      +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
kinetic_energy                    +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
potential_energy                  +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
hamiltonian                       +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
mechanics.damping                 +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
mechanics.heat_rate               +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
mechanics.port_power              +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
mechanics.slow_power              +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
mechanics.stored_energy           +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
mechanics.pump_power              +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
mechanics.exchange_power          -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
mechanics.received_power          -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
mechanics.network_energy          -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
mechanics.network_power           -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
mechanics.synaptic_store          -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
circulation                       -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
mechanics.force                   +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
mechanics.hamiltonian_field       +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
mechanics.conservative_field      +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
mechanics.mechanical_residual     +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
coordinates.to_wv                 +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
coordinates.from_wv               +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
coordinates.to_qp                 +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
coordinates.from_qp               +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
coordinates.to_qqdot              +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
coordinates.from_qqdot            +     +   +    +     +    +   -     +      -     -      -    -     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
coordinates.to_riccati            +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
coordinates.from_riccati          +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
coordinates.to_kuramoto           +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
coordinates.from_kuramoto         +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
cusp_rate                         +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
mechanics.rescale                 +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
mechanics.strong_coupling         +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
mechanics.unit_heterogeneity      +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
orbit                             +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
loss_per_cycle                    +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     +   +                      -          -            -       -     -        -      -
limit_cycle                       +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     +   +                      -          -            -       -     -        -      -
predict_peaks                     +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
find_spikes                       +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
find_bursts                       +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
soft_spike_count                  +     +   +    +     +    +   +     +      +     +      +    +     +       -  -   -   -     +   +                      +          +            +       +     +        +      +
spike_peaks                       +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
predict_next_peak                 -     -   -    -     -    -   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
predict_spikes                    -     -   -    -     -    -   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
predict_burst                     -     -   -    +     +    +   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
burst_cycle                       -     -   -    +     +    +   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
slow_fast                         -     -   -    +     +    +   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
burst_atlas                       -     -   -    +     +    +   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
plan_sweep                        +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
extend.compute_lanes              +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
sweep Final                       +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
sweep Final, all                  +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
sweep, converged                  +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
sweep, gradient                   +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      +
sweep, noise                      +     -   -    -     -    -   -     +      -     -      -    -     -       -  -   -   -     +   -                      -          -            +       -     -        -      +
sweep FunctionalConnectivity      -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   +     -   -                      -          +            -       -     -        -      +
sweep, ShotNoise                  +     -   -    -     -    -   -     +      -     -      -    -     -       -  -   -   -     +   -                      -          -            -       -     -        -      -
sweep Mean                        +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
sweep Mean energy                 +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            +       -     -        -      -
sweep Variance                    +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
sweep Peak                        +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      -
sweep Trough                      +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      -
sweep Period                      +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      -
sweep SpikeCount                  +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
sweep BurstCount                  +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            +       -     -        -      -
sweep Samples                     +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
sweep Custom                      +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
as_simulator                      +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
lyapunov_exponents                +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
entrainment                       +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
master_stability                  +     +   +    +     +    +   -     +      +     +      +    +     +       +  -   +   +     +   +                      +          -            -       +     +        +      +
characteristic_roots              -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   +     -   -                      -          -            -       -     -        -      +
resting_states                    -     -   -    -     -    -   -     -      +     +      -    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      +
power_spectrum                    +     -   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   -                      +          -            -       +     -        -      -
linear_response                   +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          +            -       +     -        -      +
compare_with_neurons              +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          +            +       +     -        -      -
fit TrajectoryTarget              +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
fit LossTarget                    +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      +
fit EnergyTarget                  +     +   +    +     +    +   -     +      -     -      -    -     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
fit SpectrumTarget                +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
fit SpectrumTarget, state         -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   -     -   -                      -          +            -       -     -        -      -
fit FunctionalConnectivityTarget  -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   -     -   -                      -          +            -       -     -        -      +
fit StationaryTarget              +     -   -    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
fit BurstAmplitudeTarget          -     -   -    +     +    +   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
fit FoldTarget                    +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
fit FoldTarget, state             -     -   -    -     -    -   +     -      +     +      +    +     -       +  +   +   +     -   -                      -          +            -       +     +        +      +
fit HopfTarget                    +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
fit, Adam                         +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
check_gradient                    +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
sample_posterior                  +     +   +    +     +    +   -     +      +     ?      ?    ?     +       +  +   +   ?     +   +                      +          +            -       +     +        +      -
continue_branch                   +     +   +    +     +    +   -     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      +
continue_branch, no start         +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       +     -        -      -
find_fold                         +     +   +    +     +    +   -     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      +
find_hopf                         +     +   +    +     +    +   -     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      +
continue_fold                     +     +   +    -     +    +   -     +      -     -      -    -     +       -  -   +   -     +   +                      -          -            -       +     +        +      -
continue_hopf                     -     -   -    -     -    +   -     -      -     -      -    -     -       +  -   +   -     -   -                      +          -            -       -     -        -      -
continue_cycle                    -     -   -    -     -    +   -     -      -     -      -    -     -       +  -   +   -     -   -                      +          -            -       -     -        -      -
phase_response                    -     -   -    -     -    +   -     -      -     -      -    -     -       +  -   +   -     -   -                      +          -            -       -     -        -      -
energy_landscape                  +     +   +    -     -    -   -     +      +     +      -    +     -       -  -   -   -     -   +                      -          -            -       -     -        -      +
find_fixed_point                  +     +   +    +     +    +   -     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      +
network_potential                 -     -   -    -     -    -   -     -      +     +      -    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
basin_map                         +     +   +    +     -    +   -     +      +     +      +    +     +       -  +   +   +     +   +                      -          +            -       +     +        +      -
minimal_pulse                     +     +   +    +     -    +   -     +      +     +      +    +     +       -  +   +   +     +   +                      -          +            -       +     +        +      -
minimal_pulse, node               -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   +     -   -                      -          +            -       -     -        -      -
best_node                         -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   +     -   -                      -          +            -       -     -        -      -
strength_duration                 +     +   +    +     -    +   -     +      +     +      +    +     +       -  +   +   +     +   +                      -          +            -       +     +        +      -
minimal_charge                    +     +   +    +     -    +   -     +      +     +      +    +     +       -  +   +   +     +   +                      -          +            -       +     +        +      -
optimal_stimulus                  +     +   +    ?     ?    ?   -     +      +     ?      ?    ?     +       -  +   +   ?     +   +                      -          +            -       +     +        +      -
threshold_amplitude               +     +   +    ?     ?    ?   -     +      +     ?      ?    ?     +       -  +   +   ?     +   +                      -          +            -       -     +        +      -
threshold_gradient                +     +   +    ?     ?    ?   -     +      +     ?      ?    ?     +       -  +   +   ?     +   +                      -          +            -       -     +        +      -
stationary_rates                  +     -   -    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   -                      -          -            -       +     -        -      -
boltzmann                         +     -   -    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
stochastic.stationary_density     +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
first_passage                     +     +   +    -     -    -   -     +      +     +      -    +     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
escape_rate                       +     -   -    -     -    -   -     +      +     +      -    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
escape_path                       +     -   -    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
residence_times                   +     -   -    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
stochastic.effective_temperature  +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
stochastic.run_protocol           +     -   -    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
stochastic.crooks                 +     -   -    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
MeasuredPotential.compare         +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
ising.predict_ising               -     -   -    -     -    -   -     -      +     +      -    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
ising.saddle_rates                -     -   -    -     -    -   -     -      +     +      -    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
ising.network_from_ising          +     -   -    -     -    -   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
ising.compare_landscapes          -     -   -    -     -    -   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
plot.trajectory                   +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
plot.energy                       +     +   +    +     +    +   +     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
plot.energy, balance              +     +   +    +     +    +   -     +      +     +      +    +     +       -  +   -   -     +   +                      +          -            -       -     -        -      -
plot.shade_stimulus               +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
plot.phase_plane                  +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
plot.energy_contours              +     +   +    +     +    +   -     +      -     -      -    -     +       -  -   -   -     +   +                      +          -            -       -     -        -      -
plot.orbits                       +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
plot.ellipse_points               +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
plot.peaks                        +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
plot.bursts                       +     +   +    +     +    +   +     +      +     +      +    +     +       -  -   -   -     +   +                      +          +            +       +     +        +      +
plot.slow_fast                    -     -   -    +     +    +   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
plot.atlas                        -     -   -    -     -    -   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
plot.circulation                  -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
plot.sweep                        +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            +       +     +        +      +
plot.lyapunov                     +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
plot.arnold_tongues               +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
plot.master_stability             +     +   +    +     +    +   -     +      +     +      +    +     +       +  -   +   +     +   +                      +          -            -       +     +        +      +
plot.resting_states               -     -   -    -     -    -   -     -      +     +      -    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      +
plot.characteristic_roots         -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   +     -   -                      -          -            -       -     -        -      +
plot.delays                       -     -   -    -     -    -   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      +
plot.power_spectrum               +     -   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   -                      +          -            -       +     -        -      -
stochastic.recorded_connectivity  -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   -     -   -                      -          +            -       -     -        -      +
plot.regions                      -     -   -    -     -    -   -     -      +     +      +    +     -       -  -   -   -     -   -                      -          +            -       -     -        -      +
plot.linear_response              +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          +            -       +     -        -      +
plot.neurons                      +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          +            +       +     -        -      -
plot.raster                       +     +   +    +     +    +   -     +      +     +      +    +     +       -  -   -   -     +   +                      +          +            +       +     -        -      -
plot.fit                          +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
plot.recovery                     +     +   +    +     +    +   +     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
plot.profile                      +     +   +    +     +    +   +     +      +     ?      ?    ?     +       +  +   +   +     +   +                      +          +            -       +     +        +      -
plot.posterior                    +     +   +    +     +    +   -     +      +     ?      ?    ?     +       +  +   +   ?     +   +                      +          +            -       +     +        +      -
plot.bifurcation                  +     +   +    +     +    +   -     +      +     +      +    +     +       +  +   +   +     +   +                      +          +            -       +     +        +      +
plot.phase_response               -     -   -    -     -    +   -     -      -     -      -    -     -       +  -   +   -     -   -                      +          -            -       -     -        -      -
plot.bifurcation_curves           +     +   +    -     +    +   -     +      -     -      -    -     +       -  -   +   -     +   +                      -          -            -       +     +        +      -
plot.landscape                    +     +   +    -     -    -   -     +      +     +      -    +     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
plot.disconnectivity              -     -   -    -     -    -   -     -      +     +      -    +     -       -  -   -   -     -   -                      -          -            -       -     -        -      +
plot.animate_landscape            +     +   +    -     -    -   +     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
plot.basins                       +     +   +    +     -    +   -     +      +     +      +    +     +       -  +   +   +     +   +                      -          +            -       +     +        +      -
plot.strength_duration            +     +   +    ?     ?    ?   -     +      +     +      +    +     +       -  +   +   +     +   +                      -          +            -       +     +        +      -
plot.switch                       +     +   +    +     -    +   -     +      +     +      +    +     +       -  +   +   +     +   +                      -          +            -       -     +        +      -
plot.density                      +     -   -    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
plot.potential                    +     +   +    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
plot.survival                     +     +   +    -     -    -   -     +      +     +      -    +     -       -  -   -   -     -   +                      -          -            -       -     -        -      -
plot.work                         +     -   -    -     -    -   -     +      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
plot.compared_landscapes          -     -   -    -     -    -   -     -      -     -      -    -     -       -  -   -   -     -   -                      -          -            -       -     -        -      -
"""

# What the default tests try of the models in QUICK: refusals, and calls that compile next to nothing once a model has run.
QUICK = ("own", "fhn")
CHEAP = words(
    """extend.parameter_table simulate extend.PopulationTerm per_node total_energy kinetic_energy potential_energy
    mechanics.damping mechanics.heat_rate mechanics.port_power mechanics.force coordinates.from_qqdot
    coordinates.to_qqdot plan_sweep plot.trajectory plot.energy"""
)

RATES = np.exp(0.3 * np.sin(np.linspace(0.0, 60.0, 400)))


def parameter_of(model, name):
    for part in name.split("."):
        model = getattr(model, part)
    return jnp.mean(model)


def measured():
    return nmm.stochastic.potential_from_samples(RATES, bins=6)


def ising():
    return nmm.results.IsingModel(jnp.zeros(2), jnp.asarray([[0.0, 0.1], [0.1, 0.0]]))


def first_value(y, name):
    return y[name if isinstance(name, str) else name[0]]


def density(case):
    options = {"lanes": 4, "transient": 0.5, "duration": 1.0, "times": 10, "bins": 3, "dt0": 0.05}
    return nmm.stochastic.stationary_density(case.model, 0.1, KEY, **options)


def rows(text):
    """The table `OUTCOMES` as {call: {model: sign}}."""
    head, *lines = [line for line in text.splitlines() if line.strip()]
    names = head.split()
    table = {}
    for line in lines:
        signs = line.split()[-len(names) :]
        table[line[: line.index("  ")].strip()] = dict(zip(names, signs, strict=True))
    return table


TABLE = rows(OUTCOMES)


@functools.cache
def case(name):
    return MODELS[name]()


def shown(result):
    """A result prints itself, and becomes labelled data where it can."""
    str(result), repr(result)
    if hasattr(type(result), "to_xarray"):
        result.to_xarray()


def call(name, model):
    """Call the function; whatever it draws is closed."""
    import matplotlib.pyplot as plt

    try:
        shown(CALLS[name](case(model)))
    finally:
        plt.close("all")


def one_sentence(error):
    """Whether a refusal is a plain `ValueError` of one line: the argument, the rule, what was given, a full stop."""
    text = str(error)
    return type(error) is ValueError and bool(re.fullmatch(r"Argument `[^`\n]+` must [^\n]+, but got [^\n]+\.", text))


def public_functions():
    """Names of the public functions, those of namespaces with its name in front (`plot.energy`)."""
    spaces = {"": nmm} | {f"{name}.": value for name, value in vars(nmm).items() if is_namespace(name, value)}
    return {
        f"{prefix}{name}"
        for prefix, space in spaces.items()
        for name, value in vars(space).items()
        if not name.startswith("_") and inspect.isfunction(value)
    }


def is_namespace(name, value):
    """Whether it is a module that users are shown: one that re-exports by `from … import … as …`."""
    return inspect.ismodule(value) and name in (
        "plot",
        "results",
        "coordinates",
        "mechanics",
        "ising",
        "stochastic",
        "extend",
    )


def is_quick(name, model):
    """Whether the default tests try this pair."""
    return model in QUICK and (name in CHEAP or TABLE[name][model] == "-")


def tried(name, model):
    """(sign, seconds, what went wrong)."""
    began = time.perf_counter()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            call(name, model)
        sign, wrong = "+", ""
    except Exception as error:
        sign = "-" if one_sentence(error) else "!"
        where = traceback.extract_tb(error.__traceback__)[-1]
        wrong = f"{type(error).__name__}: {str(error)[:300]}" + (
            "" if sign == "-" else f"  ({where.filename}:{where.lineno})"
        )
    return sign, time.perf_counter() - began, wrong


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--only", default="", help="a pattern of calls")
    options.add_argument("--models", default=",".join(MODELS))
    options.add_argument("--times", action="store_true")
    given = options.parse_args()
    names = given.models.split(",")
    print(f"{'':24}  {'  '.join(names)}", flush=True)
    for name in CALLS:
        if not re.search(given.only, name):
            continue
        found = [tried(name, model) for model in names]
        print(f"{name:24}  {'  '.join(f'{f[0]:{len(m)}}' for f, m in zip(found, names, strict=True))}".rstrip(), flush=True)
        for (sign, seconds, wrong), model in zip(found, names, strict=True):
            if sign != "+" or given.times:
                print(f"    {sign} {name} × {model} {seconds:.2f} s {wrong}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    import matplotlib

    matplotlib.use("Agg")
    main()
