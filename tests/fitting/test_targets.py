"""Targets of fits: zero at the truth as other functions compute it, gradients against differences, recovery, bad input."""

import functools
import itertools
import re
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import rest_slow
from scipy.integrate import quad

import nmmjax as nmm
from nmmjax.fitting.bifurcations import bifurcation_value
from nmmjax.fitting.bursts import simulated_burst
from nmmjax.fitting.parametrization import parametrize
from nmmjax.stochastic.density import boltzmann_probabilities

BISTABLE = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)
SLOW = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, tau=10.0)
GAP = nmm.MPR(eta=-0.3, J=2.0, Delta=0.3, gap=nmm.GapJunction(g=0.8))
CONDUCTANCE = nmm.MPR(eta=-4.0, J=15.0, Delta=1.0, conductance=nmm.ConductanceSynapse(k=0.3, E_s=1.0))
BURSTER = nmm.MPR(eta=-5.5, J=15 * 2**0.5, Delta=2.0, adaptation=nmm.SynapticDepression(alpha=0.05, tau=10.0))
RESTING = nmm.MPR(eta=-4.0, J=15 * 2**0.5, Delta=2.0, adaptation=nmm.SynapticDepression(alpha=0.05, tau=10.0))
PLASTIC = nmm.MPR(eta=-1.2, J=15.0, Delta=0.5, plasticity=nmm.ShortTermPlasticity(tau_d=15.0, tau_f=5.0, U0=0.3))
PAIR = nmm.mutual_inhibition(eta=5.0, J_self=0.0, J_cross=-15.0, Delta=1.0)
PULSE = nmm.Pulse(amplitude=1.5, start=2.0, stop=6.0)
MOVING = {"r": 1.2, "v": 0.3, "A": 0.1, "B": 0.0}
HOPF = 4 * 0.3**2 / 0.8**2 - 2 * 0.3 * 2 / (np.pi * 0.8) - 0.8**2 / 16  # of GAP in η, docs/theory.md §4
EDGES = np.concatenate([[0.0], np.geomspace(0.04, 4.0, 21), [np.inf]])


@eqx.filter_jit
def residuals(target, model, unknowns=None):
    return target.residuals(model, unknowns)


# --- what is compared, computed by other functions of the library -------------------------------------------------------


def landscape(model):
    return nmm.energy_landscape(model)


def rest(model):
    """{rate: energy} of the minima."""
    points = landscape(model).minima
    return {float(r): float(e) for r, e in zip(points.r, points.energy, strict=True)}


def barriers(model):
    points = landscape(model).minima
    return {float(r): float(b) for r, b in zip(points.r, points.barrier, strict=True)}


def losses(model, energies):
    return {energy: float(nmm.loss_per_cycle(model, energy)) for energy in energies}


def levels(model, rates):
    return {r: float(nmm.potential_energy(model, {"r": r, "v": 0.0})) for r in rates}


def mean_energy(model, y0, t1, stimulus=None):
    """By Gauss and Legendre's rule on the run's samples, between the jumps of the input."""
    cuts = [0.0, t1] if stimulus is None else [0.0, 2.0, 6.0, t1]
    x, w = np.polynomial.legendre.leggauss(200)
    total = 0.0
    for a, b in itertools.pairwise(cuts):
        ts = (a + b) / 2 + (b - a) / 2 * x
        run = nmm.simulate(model, y0, np.concatenate([[0.0], ts]), stimulus=stimulus, rtol=1e-12, atol=1e-14)
        current = 0.0 if stimulus is None else stimulus(jnp.asarray((a + b) / 2))
        total += (b - a) / 2 * np.sum(w * np.asarray(nmm.total_energy(model, run.ys, current))[1:])
    return total / t1


@functools.cache
def jacobian_at_rest(model_name, near):
    """Where a long run ends."""
    model = {"bistable": BISTABLE, "resting": RESTING}[model_name]
    y0 = nmm.simulate(model, {"r": near, "v": -0.2}, jnp.asarray([0.0, 1000.0]), rtol=1e-12, atol=1e-14).y_end
    flat, unravel = jax.flatten_util.ravel_pytree(y0)
    field = lambda u: jax.flatten_util.ravel_pytree(model.vector_field(jnp.zeros(()), unravel(u)))[0]
    return np.asarray(jax.jacfwd(field)(flat))


def spectrum(model, near, frequencies, D):
    """One-sided density by solving with the Jacobian at rest."""
    A = jacobian_at_rest("resting" if model.slow_terms else "bistable", near)
    e = np.eye(A.shape[0])
    gain = [abs(e[0] @ np.linalg.solve(2j * np.pi * f * e - A, e[1])) ** 2 for f in frequencies]
    return 2 * np.asarray(gain) * 2 * D / float(model.tau)


def density(model, D, edges=EDGES):
    """Shares of bins, by adaptive quadrature of the Boltzmann law in r τ."""
    eta, J, Delta, tau = (float(getattr(model, name)) for name in ("eta", "J", "Delta", "tau"))
    T = np.pi * D / Delta

    def log_density(x):
        R = np.exp(x)
        return -x / 2 - (eta / R + np.pi**2 * R - J * x + Delta**2 / (12 * np.pi**2 * R**3)) / T

    grid = np.linspace(np.log(1e-3), np.log(1e2), 4001)
    top = log_density(grid).max()
    cuts = np.log(np.clip(tau * edges, 1e-3, 1e2))
    pieces = np.unique(np.concatenate([cuts, np.linspace(cuts[0], cuts[-1], 201)]))
    mass = [
        quad(lambda x: np.exp(log_density(x) - top), a, b, epsabs=0, epsrel=1e-12)[0] for a, b in itertools.pairwise(pieces)
    ]
    share = np.add.reduceat(mass, np.searchsorted(pieces, cuts[:-1]))
    return share / share.sum()


def histogram(model, D):
    """A finite density, (edges, heights), as a recording would give it."""
    inner = EDGES[1:-1] / float(model.tau)
    full = density(model, D, np.concatenate([[0.0], inner, [np.inf]]))
    return inner, full[1:-1] / np.diff(inner)


BURST = None


def burst():
    """Peaks, troughs, times since the first peak and the period of a settled burst, from a run."""
    global BURST
    if BURST is None:
        run = nmm.simulate(BURSTER, {"r": 0.2, "v": -1.0}, np.linspace(0.0, 400.0, 401), rtol=1e-10, atol=1e-12, dense=True)
        found = nmm.find_bursts(run)
        last, spikes = found.sizes["burst"] - 2, slice(0, 7)
        time_ = found.spike_time.values[last, spikes]
        BURST = {
            "peaks": found.peak.values[last, spikes],
            "troughs": found.trough.values[last, spikes],
            "times": time_ - time_[0],
            "period": float(np.diff(found.onset_time.values)[last - 1]),
        }
    return BURST


# --- the table: name → (target at the truth, the truth, free, where the gradient is checked, tolerance of the zero) -----


def near_fold(model, distance):
    """The model with η at a distance above its lower fold, where the high state is born."""
    fold = float(bifurcation_value("LP", model, "eta", jnp.asarray(-5.0), jnp.asarray(1.0)))
    return nmm.MPR(eta=fold + distance, J=model.J, Delta=model.Delta)


ABOVE_FOLD = near_fold(BISTABLE, 1e-3)
CASES = {
    "energy levels": (lambda m: nmm.EnergyTarget(rest(m)), BISTABLE, ("eta", "J", "Delta")),
    "energy levels, tau": (lambda m: nmm.EnergyTarget(rest(m), barrier=barriers(m)), SLOW, ("J", "Delta")),
    "energy, near a fold": (lambda m: nmm.EnergyTarget(rest(m), barrier=barriers(m)), ABOVE_FOLD, ("J", "Delta")),
    "barrier, conductance": (lambda m: nmm.EnergyTarget(barrier=barriers(m)), CONDUCTANCE, ("J", "Delta", "conductance.k")),
    "loss and orbit": (
        lambda m: nmm.EnergyTarget(loss_per_cycle=losses(m, (5.0, 5.2)), orbit=levels(m, (0.8, 1.3))),
        BISTABLE,
        ("J", "Delta", "eta"),
    ),
    "energy of states": (
        lambda m: nmm.EnergyTarget([(MOVING, float(nmm.total_energy(m, MOVING)))]),
        BURSTER,
        ("J", "Delta"),
    ),
    "mean energy": (
        lambda m: nmm.EnergyTarget(mean=mean_energy(m, {"r": 0.9, "v": 0.1}, 8.0), y0={"r": 0.9, "v": 0.1}, t1=8.0),
        BISTABLE,
        ("J", "Delta"),
    ),
    "mean energy, pulse": (
        lambda m: nmm.EnergyTarget(
            mean=mean_energy(m, {"r": 0.9, "v": 0.1}, 8.0, PULSE), y0={"r": 0.9, "v": 0.1}, t1=8.0, stimulus=PULSE
        ),
        BURSTER,
        ("J", "adaptation.alpha"),
    ),
    "fold": (
        lambda m: nmm.FoldTarget("eta", float(m.eta + landscape(m).vanishing_input[2]), near=0.75),
        BISTABLE,
        ("J", "Delta"),
    ),
    "fold in J, tau": (
        lambda m: nmm.FoldTarget("J", float(nmm.find_fold(m, "J", {"r": 0.075, "v": -0.2}).parameter), near=0.075),
        nmm.MPR(eta=-5.0, J=13.9, Delta=1.0, tau=10.0),
        ("eta", "Delta"),
    ),
    "fold, slow": (
        lambda m: nmm.FoldTarget("eta", -5.90568944411, near=0.5, noise=1.0),
        BURSTER,
        ("J", "Delta", "adaptation.alpha"),
    ),
    "Hopf": (
        lambda m: nmm.HopfTarget(
            "eta", 4 * 0.3**2 / 0.8**2 - 2 * 0.3 * 2 / (np.pi * 0.8) - 0.8**2 / 16, near=0.24, noise=0.1
        ),
        GAP,
        ("J", "Delta", "gap.g"),
    ),
    "Hopf, slow": (
        lambda m: nmm.HopfTarget("eta", -5.01859807184, near=0.5, noise=1.0),
        BURSTER,
        ("J", "Delta", "adaptation.alpha", "adaptation.tau"),
    ),
    "spectrum": (
        lambda m: nmm.SpectrumTarget(
            peak_frequency=peak_of(m, 1.0),
            frequencies=np.linspace(0.1, 3.0, 9),
            power=spectrum(m, 1.0, np.linspace(0.1, 3.0, 9), 0.02),
            near=1.0,
            noise=0.02,
        ),
        BISTABLE,
        ("eta", "J", "Delta"),
    ),
    "spectrum, slow, bands": (
        lambda m: nmm.SpectrumTarget(
            peak_frequency=peak_of(m, 0.9), band_power=bands(m, 0.9, ((0.0, 0.5), (0.5, 2.0), (0.0, 20.0))), near=0.9
        ),
        RESTING,
        ("eta", "J", "adaptation.alpha"),
    ),
    "density": (lambda m: nmm.StationaryTarget(density=histogram(m, 2.0), noise=2.0), BISTABLE, ("eta", "J", "Delta")),
    "density, D free": (
        lambda m: nmm.StationaryTarget(density=histogram(m, 0.4)),
        nmm.MPR(eta=-1.0, J=4.0, Delta=0.7, tau=2.0),
        ("eta", "J", "Delta"),
    ),
    "burst, simulated": (
        lambda m: nmm.BurstAmplitudeTarget(**burst(), method="simulation"),
        BURSTER,
        ("Delta", "adaptation.alpha"),
    ),
}
ZERO = {"spectrum": 1e-6, "spectrum, slow, bands": 1e-6, "energy, near a fold": 1e-9, "burst, simulated": 1e-7}
LONG = ("burst, simulated", "mean energy, pulse", "spectrum, slow, bands")
names = pytest.mark.parametrize("name", rest_slow(CASES, *(name for name in CASES if name not in LONG)))


def peak_of(model, near):
    """By a fine grid and a parabola in it."""
    f = np.linspace(0.05, 3.0, 60001)
    coarse = spectrum(model, near, f[::300], 1.0)
    k = int(np.argmax(coarse)) * 300
    fine = f[max(k - 300, 0) : k + 301]
    from scipy.optimize import minimize_scalar

    best = minimize_scalar(
        lambda x: -spectrum(model, near, [x], 1.0)[0], bounds=(fine[0], fine[-1]), options={"xatol": 1e-10}
    )
    return float(best.x)


def bands(model, near, ranges):
    x, w = np.polynomial.legendre.leggauss(600)
    return {
        (a, b): float((b - a) / 2 * np.sum(w * spectrum(model, near, (a + b) / 2 + (b - a) / 2 * x, 0.03)))
        for a, b in ranges
    }


def unknowns_at_truth(target, model):
    """The target's own unknowns: here only ln D."""
    if not target.unknown_names(model):
        return None
    return jnp.log(jnp.asarray([0.4 if isinstance(target, nmm.StationaryTarget) else 0.03]))


TARGETS = {}


def target_of(name):
    if name not in TARGETS:
        TARGETS[name] = CASES[name][0](CASES[name][1])
    return TARGETS[name]


@eqx.filter_jit
def along(target, parameters, model, unknowns, x, v):
    """Residuals at the parameters x and their derivatives in the direction v, by forward mode."""
    return jax.jvp(lambda x: target.residuals(parameters.apply(model, x), unknowns, jnp.asarray(1)), (x,), (v,))


def problem(target, model, free):
    parameters = parametrize(model, free)
    return parameters.read(model), lambda x, v: along(target, parameters, model, unknowns_at_truth(target, model), x, v)


def gradient_error(target, model, free, shift, h):
    """The largest error of the loss's derivatives beside the truth, relative to differences extrapolated to step 0."""
    x, function = problem(target, model, free)
    x, worst = x * jnp.asarray(shift), 0.0
    for k in range(len(free)):
        v = jnp.zeros_like(x).at[k].set(jnp.maximum(jnp.abs(x[k]), 1e-2))
        residual, slope = function(x, v)
        losses = [float(jnp.sum(function(x + step * v, v)[0] ** 2)) / 2 for step in (h, -h, h / 2, -h / 2)]
        coarse, fine = (losses[0] - losses[1]) / (2 * h), (losses[2] - losses[3]) / h
        exact, numeric = float(residual @ slope), (4 * fine - coarse) / 3
        worst = np.fmax(worst, abs(exact - numeric) / max(abs(exact), abs(numeric))) if np.isfinite(exact) else np.nan
    return worst


@names
def test_residuals_vanish_at_the_truth(name):
    _, model, free = CASES[name]
    target = target_of(name)
    target.check(model)
    x, function = problem(target, model, free)
    assert float(jnp.max(jnp.abs(function(x, jnp.zeros_like(x))[0]))) < ZERO.get(name, 1e-8)


@names
def test_gradients_agree_with_differences(name):
    _, model, free = CASES[name]
    fold = "near a fold" in name
    shift = [1 + (1e-6 if fold else 3e-3) * (k + 1) * (-1) ** k for k in range(len(free))]
    assert gradient_error(target_of(name), model, free, shift, 1e-6 if fold else 3e-4) < 1e-6


@pytest.mark.slow
def test_gradients_of_predicted_bursts_agree_with_differences():
    target = nmm.BurstAmplitudeTarget(burst()["peaks"], period=burst()["period"])
    assert gradient_error(target, BURSTER, ("Delta", "adaptation.alpha"), [1.003, 0.997], 1e-4) < 1e-6


# --- recovery -------------------------------------------------------------------------------------------------------------


def errors(fitted, truth, free):
    best = parametrize(truth, free)
    return np.abs(np.asarray(best.read(fitted.best) / best.read(truth)) - 1)


def test_heterogeneity_and_coupling_come_from_energies():
    """Two energy levels and a barrier; further starts within the bounds."""
    target = nmm.EnergyTarget(rest(BISTABLE), barrier=barriers(BISTABLE))
    start = nmm.MPR(eta=-5.0, J=16.0, Delta=0.7)
    fitted = nmm.fit(start, free=("Delta", "J"), target=target, starts=4, progress=False)
    assert errors(fitted, BISTABLE, ("Delta", "J")).max() < 1e-9


@pytest.mark.slow
def test_depression_comes_from_bursts_by_simulation():
    start = nmm.MPR(eta=-5.5, J=15 * 2**0.5, Delta=1.9, adaptation=nmm.SynapticDepression(alpha=0.046, tau=10.0))
    target = nmm.BurstAmplitudeTarget(burst()["peaks"], period=burst()["period"], method="simulation")
    free = ("Delta", "adaptation.alpha")
    fitted = nmm.fit(start, free=free, target=target, starts=1, progress=False)
    assert errors(fitted, BURSTER, free).max() < 1e-6


@pytest.mark.slow
def test_depression_comes_from_bursts_by_prediction():
    start = nmm.MPR(eta=-5.5, J=15 * 2**0.5, Delta=1.9, adaptation=nmm.SynapticDepression(alpha=0.046, tau=10.0))
    target = nmm.BurstAmplitudeTarget(burst()["peaks"], period=burst()["period"])
    free = ("Delta", "adaptation.alpha")
    fitted = nmm.fit(start, free=free, target=target, starts=1, progress=False)
    assert errors(fitted, BURSTER, free).max() < 2e-3


@pytest.mark.slow
def test_two_folds_give_coupling_and_heterogeneity():
    edges = BISTABLE.eta + landscape(BISTABLE).vanishing_input
    target = nmm.FoldTarget("eta", float(edges[0]), near=0.16) + nmm.FoldTarget("eta", float(edges[2]), near=0.75)
    fitted = nmm.fit(nmm.MPR(eta=-5.0, J=17.0, Delta=0.8), free=("J", "Delta"), target=target, starts=3, progress=False)
    assert errors(fitted, BISTABLE, ("J", "Delta")).max() < 1e-9


@pytest.mark.slow
def test_a_density_gives_all_parameters_and_the_noise():
    truth = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)
    target = nmm.StationaryTarget(density=histogram(truth, 2.0))
    start = nmm.MPR(eta=-4.0, J=13.0, Delta=0.8)
    fitted = nmm.fit(start, free=("eta", "J", "Delta"), target=target, starts=1, progress=False)
    assert errors(fitted, truth, ("eta", "J", "Delta")).max() < 1e-6
    assert float(np.exp(fitted.unknowns[0][0])) == pytest.approx(2.0, rel=1e-6)


@pytest.mark.slow
def test_samples_of_the_rate_give_the_law_within_its_errors():
    """Independent samples of the law, by inverting its distribution: χ² per degree of freedom is 1."""
    truth, D = nmm.MPR(eta=-1.0, J=4.0, Delta=0.7), 0.4
    fine = np.geomspace(0.01, 6.0, 4000)
    P = np.asarray(boltzmann_probabilities(truth, jnp.asarray(fine), jnp.asarray(D)))
    cumulative = np.concatenate([[0.0], np.cumsum(P)])
    uniform = np.random.default_rng(1).uniform(0, cumulative[-1], 20_000)
    target = nmm.StationaryTarget(np.interp(uniform, cumulative, fine), noise=D, bins=30)
    assert float(target.size) == pytest.approx(20_000, rel=0.1)
    assert float(jnp.sum(residuals(target, truth) ** 2)) / 29 == pytest.approx(1.0, abs=0.6)
    assert target.noise_known and target.count(truth) == 29


# --- where a quantity doesn't exist ---------------------------------------------------------------------------------------


def test_what_a_model_lacks_is_nan():
    monostable = nmm.MPR(eta=2.0, J=0.0, Delta=1.0)
    assert np.isnan(residuals(nmm.EnergyTarget(barrier={0.5: 0.1}), monostable)).all()
    assert np.isnan(residuals(nmm.EnergyTarget(loss_per_cycle={-50.0: 0.1}), BISTABLE)).all()
    assert np.isnan(residuals(nmm.FoldTarget("eta", -5.0, near=0.5), monostable)).all()
    assert np.isnan(residuals(nmm.HopfTarget("eta", -5.0, near=0.5), BISTABLE)).all()
    assert np.isnan(residuals(nmm.SpectrumTarget(0.5, near=0.5), nmm.MPR(eta=-5.0, J=0.0, Delta=1.0))).all()
    assert np.isnan(residuals(nmm.SpectrumTarget(0.5, near=0.9, noise=0.1), BURSTER)).all()


def test_a_population_that_rests_has_no_burst():
    quiet = nmm.MPR(eta=-9.0, J=15 * 2**0.5, Delta=2.0, adaptation=BURSTER.adaptation)
    found = jax.jit(lambda m: simulated_burst(m, 3, current=jnp.zeros(())))(quiet)
    assert np.isnan(found.period) and np.isnan(found.peak).all() and int(found.spikes) == 0


def test_spikes_that_lack_continue_the_last_two():
    target = nmm.BurstAmplitudeTarget([3.0, 2.5, 2.0, 1.5, 1.4, 1.3, 1.2, 1.1, 1.0, 0.9], method="simulation", noise=1.0)
    found = np.asarray(residuals(target, BURSTER)) + np.asarray(target.wanted["peaks"])
    assert found[8] / found[7] == pytest.approx(found[6] / found[5], rel=1e-12)


def test_a_network_takes_a_state():
    """Two uncoupled nodes have the fold of one."""
    fold = float(BISTABLE.eta + landscape(BISTABLE).vanishing_input[2])
    single = nmm.Network(nmm.MPR(eta=-5.7, J=15.0, Delta=1.0), weights=jnp.asarray([[0.0]]))
    target = nmm.FoldTarget("node.eta", fold, near={"r": jnp.asarray([0.75]), "v": jnp.asarray([-0.2])})
    target.check(single)
    assert abs(float(residuals(target, single)[0])) < 1e-9


# --- the door -------------------------------------------------------------------------------------------------------------

BAD = [
    (lambda: nmm.EnergyTarget(), "Argument `level` must be given, or another energy, but got None."),
    (lambda: nmm.EnergyTarget({-1.0: 2.0}), "Argument `level` must be > 0, but got -1."),
    (lambda: nmm.EnergyTarget(loss_per_cycle=1.0), "Argument `loss_per_cycle` must be a mapping of energies to energies"),
    (lambda: nmm.EnergyTarget(mean=1.0), "Argument `y0` must be given for `mean`"),
    (lambda: nmm.EnergyTarget(1.0, noise=0.0), "Argument `noise` must be None or > 0, but got 0.0."),
    (lambda: nmm.EnergyTarget(1.0, stimulus=PULSE), "Argument `stimulus` must be None for all energies but `mean`"),
    (lambda: nmm.EnergyTarget(1.0).check(BURSTER), "Argument `model` must be without slow terms for `EnergyTarget`"),
    (lambda: nmm.EnergyTarget(1.0).check(PAIR), "Argument `model` must be one population for `EnergyTarget`"),
    (lambda: nmm.EnergyTarget(1.0, t1=3.0), "Argument `y0` must be None without `mean`"),
    (lambda: nmm.BurstAmplitudeTarget(), "Argument `peaks` must be given, or `troughs`, `times` or `period`"),
    (lambda: nmm.BurstAmplitudeTarget([1.0, -2.0]), "Argument `peaks` must be > 0, or NaN if absent"),
    (
        lambda: nmm.BurstAmplitudeTarget([1.0], method="guess"),
        "Argument `method` must be one of ('prediction', 'sim",
    ),
    (lambda: nmm.BurstAmplitudeTarget([1.0, 2.0], times=[0.0]), "Argument `times` must have the shape of the other data"),
    (lambda: nmm.BurstAmplitudeTarget(times=[1.0, 2.0]), "Argument `times` must count from the first spike"),
    (lambda: nmm.BurstAmplitudeTarget([1.0], noise={"r": 1.0}), "Argument `noise` must name the data ['peaks']"),
    (lambda: nmm.BurstAmplitudeTarget([1.0]).check(BISTABLE), "Argument `model` must have slow terms"),
    (lambda: nmm.FoldTarget("eta", -5.0, near=-1.0), "Argument `near` must be > 0, but got -1."),
    (lambda: nmm.FoldTarget("x", -5.0, near=1.0).check(BISTABLE), "Argument `parameter` must be one of `eta`, `J`"),
    (
        lambda: nmm.FoldTarget("eta", -5.0, near={"r": 1.0}).check(BISTABLE),
        "Argument `near` must be a rate for a pop",
    ),
    (lambda: nmm.HopfTarget("eta", jnp.inf, near=1.0), "Argument `at` must be finite"),
    (lambda: nmm.SpectrumTarget(), "Argument `peak_frequency` must be given, or `band_power` or `power`"),
    (lambda: nmm.SpectrumTarget(band_power={(1.0, 0.5): 1.0}), "Argument `band_power` must be a mapping of bands (f0, f1)"),
    (lambda: nmm.SpectrumTarget(power=[1.0]), "Argument `power` must be given with `frequencies`, or both be None"),
    (lambda: nmm.SpectrumTarget(frequencies=[1.0], power=[0.0]), "Argument `power` must be numbers > 0"),
    (
        lambda: nmm.SpectrumTarget(frequencies=[1.0], power=[[1.0, 2.0]]).check(BISTABLE),
        "Argument `power` must be one per freq",
    ),
    (lambda: nmm.SpectrumTarget(1.0, near={"r": 1.0, "v": 0.0}).check(BISTABLE), "Argument `near` must be a rate for a pop"),
    (lambda: nmm.SpectrumTarget(1.0, near=0.5).check(PAIR), "Argument `near` must be a state near the one meant, or None"),
    (
        lambda: nmm.SpectrumTarget(band_power={(0.0, 1.0): [1.0, 1.0, 2.0]}).check(PAIR),
        "Argument `power` must be of the 2 nodes of the network, or their mean, but got 3.",
    ),
    (
        lambda: nmm.SpectrumTarget(band_power={(0.0, 1.0): 1.0, (1.0, 2.0): [1.0, 2.0]}),
        "Argument `band_power` must have a number, or numbers (n,), for every band",
    ),
    (lambda: nmm.StationaryTarget(), "Argument `r` must be given, or else `density`, but got None."),
    (lambda: nmm.StationaryTarget(np.ones(20)), "Argument `r` must have at least 10 samples for each of the 40 bins"),
    (lambda: nmm.StationaryTarget(density=([1.0, 0.5, 2.0], [1.0, 1.0])), "Argument `density` must have increasing rates"),
    (lambda: nmm.StationaryTarget(density=([0.0, 1.0, 2.0], [3.0, 1.0])), "Argument `density` must have an integral ≤ 1"),
    (
        lambda: nmm.StationaryTarget(density=([0.0, 0.5, 1.0], [1.0, 1.0])).check(GAP),
        "Argument `model` must be without gap junctions and conductances",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message[10:50] for _, message in BAD])
def test_bad_input_is_one_sentence(call, message, unchecked):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        call()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.slow
def test_prediction_costs_less_than_simulation():
    """One evaluation, compiled, of the residuals: by prediction, and by an ordinary run to a settled burst."""
    target = nmm.BurstAmplitudeTarget(burst()["peaks"], period=burst()["period"])
    predicted = jax.jit(lambda m: target.residuals(m))
    run = jax.jit(
        lambda m: nmm.simulate(m, {"r": 0.2, "v": -1.0}, jnp.linspace(0.0, 240.0, 24_001), rtol=1e-8, atol=1e-10).ys
    )

    def seconds(function):
        jax.block_until_ready(function(BURSTER))
        times = []
        for _ in range(5):
            began = time.perf_counter()
            jax.block_until_ready(function(BURSTER))
            times.append(time.perf_counter() - began)
        return min(times)

    assert seconds(run) / seconds(predicted) > 10
