"""Populations with several poles: fixed points, folds and damping of the publications, exact maps, networks, noise."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.equilibria.steady import find_equilibria
from nmmjax.numerics.roots import solve_on_grid, with_slope
from nmmjax.solvers.operators import mobius_flow

# At J = 15, half-width 1: the folds' (r, η), and the highest state's rate and slowest eigenvalue at η = −5.
GOLDEN = {
    "Lorentzian": (
        nmm.Lorentzian(),
        [(0.1625698, -3.1361341), (0.7539197, -5.7435272)],
        1.0305968,
        -0.30886 + 3.31863j,
    ),
    "flat, n = 2": (
        nmm.Flat(2),
        [(0.0348984, -1.3087116), (0.7653224, -5.6565754)],
        1.0214624,
        -0.007094 + 3.2137338j,
    ),
    "flat, n = 4": (
        nmm.Flat(4),
        [(0.0162576, -1.0363601), (0.7623512, -5.6810996)],
        1.0241821,
        -2.2e-6 + 3.2541058j,
    ),
    "Gaussian, n = 2": (nmm.GaussianLike(2), [], 1.0171159, -0.023081 + 3.1530127j),
    "Gaussian, n = 4": (
        nmm.GaussianLike(4),
        [(0.0363701, -1.3471601), (0.7650019, -5.6626529)],
        1.0222593,
        -0.0001913 + 3.2234714j,
    ),
    "Gaussian, n = 6": (nmm.GaussianLike(6), [(0.0341567, -1.3139774), (0.764393, -5.6664639)], None, None),
    "bimodal": (
        nmm.Bimodal(4.0),
        [(0.1667547, -4.2714722), (0.2452496, -4.3094373), (0.335001, -4.2716375), (0.7739865, -5.5767913)],
        1.0118202,
        None,
    ),
}
DIGITS = {
    "Lorentzian": (5, 5),
    "flat, n = 2": (6, 7),
    "Gaussian, n = 2": (6, 7),
    "Gaussian, n = 4": (7, 7),
    "flat, n = 4": (7, 7),
}
FAST = ("Gaussian, n = 4", "bimodal")
Y0 = {"r": 0.5, "v": 0.3}
TS = jnp.linspace(0.0, 2.0, 5)
GAUSS = nmm.GaussianLike(2)


@eqx.filter_jit
def turning_points(model):
    """(r, η) where the stationary η(ξ) turns, from the highest rate down."""
    slope = lambda model, x: with_slope(lambda x: model.resting(x)[1], x)[1]
    x = solve_on_grid(slope, model, jnp.linspace(-4.0, 1.5, 801), 4)
    state, force = model.resting(x)
    return state.r, model.eta - force


@pytest.mark.parametrize("name", [pytest.param(each, marks=() if each in FAST else pytest.mark.slow) for each in GOLDEN])
def test_folds_rates_and_damping_of_every_family(name):
    heterogeneity, folds, rate, slowest = GOLDEN[name]
    model = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, heterogeneity=heterogeneity)
    r, eta = turning_points(model)
    for k, (r_fold, eta_fold) in enumerate(folds):
        np.testing.assert_allclose([r[k], eta[k]], [r_fold, eta_fold], atol=6e-8)
    assert len(folds) == 0 or np.isnan(r[len(folds) :]).all()
    if rate is None:
        return
    found = find_equilibria(model)
    high = int(jnp.nanargmax(found.state.r))
    assert abs(found.state.r[high] - rate) < 6e-8
    if slowest is not None:
        real, imag = DIGITS[name]
        assert abs(found.eigenvalues[high, 0].real - slowest.real) < 0.6 * 10.0**-real
        assert abs(found.eigenvalues[high, 0].imag - slowest.imag) < 0.6 * 10.0**-imag


def test_uncoupled_rates_are_those_of_quadrature():
    """F(x), the mean of √(x + η)/π over the density."""
    for n, golden in ((2, 0.29202), (4, 0.29021), (6, 0.29016)):
        model = nmm.MPR(eta=1.0, J=0.0, Delta=1.0, heterogeneity=nmm.GaussianLike(n))
        y, force = model.resting(jnp.log((1 + jnp.sqrt(2.0)) / (2 * jnp.pi**2)) / 2)  # ξ = 1
        assert abs(force) < 1e-14
        x = np.linspace(0, 40, 200001)  # x = √(1 + excitability)
        mean = np.trapezoid(2 * x**2 / np.pi * model.heterogeneity.density(x**2 - 1), x)
        assert abs(y.r - mean) < 1e-8 and abs(mean - golden) < 6e-6


def test_runs_are_means_over_the_density():
    """J = 0: every current has its own Lorentzian voltages, W(t; η + x), and the mode's sum is the mean of all."""
    model = nmm.MPR(eta=0.5, J=0.0, Delta=0.7, tau=2.0, heterogeneity=nmm.GaussianLike(4))
    run = nmm.simulate(model, Y0, TS, rtol=1e-11, atol=1e-12)
    flow = mobius_flow(jnp.asarray(0.5 + 0.7 * (x := np.linspace(-30, 30, 60001))), jnp.zeros(60001), jnp.full(60001, 1.0))
    r, v = flow(jnp.full(60001, 2.0 * 0.5), jnp.full(60001, 0.3))
    weights = model.heterogeneity.density(x) * (x[1] - x[0])
    np.testing.assert_allclose([run.ys.r[-1], run.ys.v[-1]], [weights @ r / 2.0, weights @ v], rtol=1e-7)


def test_one_mode_is_a_shifted_lorentzian_and_equal_modes_are_one():
    plain = nmm.simulate(nmm.MPR(eta=-4.5, Delta=2.0), Y0, TS)
    one = nmm.simulate(nmm.MPR(eta=-5.0, Delta=1.0, heterogeneity=nmm.Poles([0.5 - 2j], [1.0])), Y0, TS)
    twice = nmm.Mixture((nmm.Lorentzian(), nmm.Lorentzian()), (0.3, 0.7), widths=(2, 2), centres=(0.5, 0.5))
    two = nmm.simulate(nmm.MPR(eta=-5.0, Delta=1.0, heterogeneity=twice), Y0, TS)
    for run in (one, two):
        np.testing.assert_allclose(run.ys.r, plain.ys.r, rtol=2e-7)
    assert two.ys.names == ("r", "r2", "v", "v2") and one.ys.names == ("r", "v")
    same = nmm.MPR(heterogeneity=nmm.Lorentzian())
    assert "potential" in same.offers and nmm.total_energy(same, Y0) == nmm.total_energy(nmm.MPR(), Y0)


CASES = {
    "plain": (nmm.MPR(heterogeneity=GAUSS, tau=2.0), nmm.Sinusoid(amplitude=2.0, omega=1.7)),
    "gap": (nmm.MPR(heterogeneity=GAUSS, gap=nmm.GapJunction(0.7)), None),
    "conductances": (
        nmm.MPR(heterogeneity=GAUSS, conductance=nmm.ConductanceSynapse(0.7, 1.0), leak=nmm.Leak(0.3, 0.2)),
        None,
    ),
    "synapse": (nmm.MPR(heterogeneity=GAUSS, synapse=nmm.AlphaSynapse(0.7, strength=0.5, reversal=2.0)), None),
    "network": (
        nmm.Network(
            nmm.per_node(
                nmm.MPR(heterogeneity=nmm.Bimodal(3.0)),
                eta=jnp.array([-4.0, -5.0]),
                tau=jnp.array([1.0, 2.0]),
                **{"heterogeneity.separation": jnp.array([1.0, 2.0])},
            ),
            jnp.array([[0, 1.0], [3.0, 0.5]]),
        ),
        None,
    ),
}


@pytest.mark.parametrize("name", [pytest.param(each, marks=() if each == "plain" else pytest.mark.slow) for each in CASES])
def test_splittings_have_their_orders(name):
    model, stimulus = CASES[name]
    given = {"stimulus": stimulus}
    exact = nmm.simulate(model, Y0, TS, solver=diffrax.Dopri8(), rtol=1e-12, atol=1e-13, **given)
    for order in (4,) if name == "plain" else (2, 4):
        runs = [nmm.simulate(model, Y0, TS, solver=nmm.MobiusSplitting(order), dt0=h, **given) for h in (1 / 32, 1 / 64)]
        coarse, fine = (float(jnp.max(jnp.abs(run.ys.r - exact.ys.r))) for run in runs)
        assert abs(np.log2(coarse / fine) - order) < 0.1
        assert np.all(np.asarray(runs[0].ys.r) > 0) and np.all(np.asarray(runs[0].ys.r2) > 0)
    if name == "plain":
        return
    run = nmm.simulate(model, Y0, TS, solver=nmm.MobiusExtrapolation(6), rtol=1e-9, atol=1e-11, **given)
    np.testing.assert_allclose(run.ys.r, exact.ys.r, rtol=1e-8)


@pytest.mark.slow
def test_branches_find_all_folds_and_hopf_points_of_every_family():
    folds = nmm.continue_branch(nmm.MPR(heterogeneity=nmm.Bimodal(4.0)), "eta", (-8.0, 0.0)).folds
    found = sorted(zip(folds.state.r[: folds.count].tolist(), folds.parameter[: folds.count].tolist(), strict=True))
    np.testing.assert_allclose(found, GOLDEN["bimodal"][1], atol=6e-8)
    model = nmm.MPR(eta=4.0, J=-21.0, Delta=1.4, synapse=nmm.ExponentialSynapse(tau=0.5), heterogeneity=GAUSS)
    hopf = nmm.continue_branch(model, "Delta", (0.5, 2.5)).hopfs[0]
    assert abs(hopf.parameter - 1.3968334) < 1e-6 and hopf.lyapunov < 0
    cycles = nmm.continue_cycle(hopf, (1.3, 1.5), intervals=10, max_points=12)
    last = int(np.nanargmin(np.asarray(cycles.parameter)))
    at = eqx.tree_at(lambda each: each.Delta, model, cycles.parameter[last])
    settled = nmm.simulate(at, Y0, jnp.array([0.0, 300.0])).y_end
    spikes = np.asarray(nmm.simulate(at, settled, ts := jnp.linspace(0.0, 20.0, 8001)).ys.r)
    tops = np.flatnonzero((spikes[1:-1] > spikes[:-2]) & (spikes[1:-1] >= spikes[2:])) + 1
    assert abs(np.diff(np.asarray(ts)[tops]).mean() - float(cycles.period[last])) < 2e-3


def test_kicks_of_noise_are_common_to_all_modes():
    model = nmm.MPR(heterogeneity=GAUSS, adaptation=nmm.SpikeFrequencyAdaptation(alpha=0.1, tau=10.0))
    noise = {"noise": nmm.WhiteNoise(0.3), "key": jax.random.key(0), "dt0": 0.02}
    run = nmm.simulate(model, Y0, TS, **noise)
    assert np.all(np.isfinite(run.ys.r)) and np.all(np.asarray(run.ys.r2) > 0)
    twice = nmm.Mixture((nmm.Lorentzian(), nmm.Lorentzian()), (0.3, 0.7))
    two = nmm.simulate(nmm.MPR(heterogeneity=twice), Y0, TS, **noise)
    np.testing.assert_allclose(two.ys.r, nmm.simulate(nmm.MPR(), Y0, TS, **noise).ys.r, rtol=1e-10)


def test_cauchy_noise_moves_all_poles_down():
    """Of a Lorentzian mixture it widens both parts; of a network whose widths differ, each node's."""
    wide = nmm.Mixture((nmm.Lorentzian(), nmm.Lorentzian()), (0.5, 0.5), centres=(-2, 2), widths=(1.2, 1.2))
    narrow = nmm.MPR(Delta=2.0, heterogeneity=nmm.Bimodal(4.0))
    noisy = nmm.simulate(narrow, Y0, TS, noise=nmm.CauchyNoise(0.4))
    np.testing.assert_allclose(noisy.ys.r, nmm.simulate(nmm.MPR(Delta=2.0, heterogeneity=wide), Y0, TS).ys.r, rtol=1e-7)
    node = nmm.per_node(nmm.MPR(heterogeneity=nmm.Mixture((GAUSS, GAUSS), (0.5, 0.5))), Delta=jnp.array([1.0, 2.0]))
    network = nmm.Network(node, jnp.zeros((2, 2)))
    both = nmm.simulate(network, Y0, TS, noise=nmm.CauchyNoise(0.4)).ys.r
    one = nmm.simulate(nmm.MPR(Delta=2.0, heterogeneity=GAUSS), Y0, TS, noise=nmm.CauchyNoise(0.4)).ys.r
    np.testing.assert_allclose(both[:, 1], one, rtol=1e-7)
    with pytest.raises(ValueError, match="`Delta` must be > 0 with Cauchy noise and several poles, but got 0"):
        nmm.simulate(nmm.MPR(Delta=0.0, heterogeneity=GAUSS), Y0, TS, noise=nmm.CauchyNoise(0.4))


@pytest.mark.slow
def test_fits_of_trajectories_take_several_poles():
    truth = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, heterogeneity=GAUSS)
    ts = jnp.linspace(0.0, 6.0, 61)
    target = nmm.TrajectoryTarget(ts, r=nmm.simulate(truth, {"r": 1.0, "v": 0.5}, ts).ys.r, y0={"r": 1.0, "v": 0.5})
    guess = nmm.MPR(eta=-4.9, J=14.8, Delta=1.0, heterogeneity=GAUSS)
    fitted = nmm.fit(guess, free=("eta", "J"), target=target, starts=1, progress=False)
    np.testing.assert_allclose([fitted.best.eta, fitted.best.J], [-5.0, 15.0], rtol=1e-4)


@pytest.mark.parametrize(
    "heterogeneity", [GAUSS, nmm.Poles([-1j], [1.0]), nmm.Mixture((GAUSS, nmm.Lorentzian()), (0.5, 0.5))], ids=str
)
def test_files_say_which_heterogeneity(heterogeneity, tmp_path):
    run = nmm.simulate(nmm.MPR(heterogeneity=heterogeneity), Y0, TS)
    run.to_xarray().to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    attributes = run.to_xarray().attrs
    assert attributes["heterogeneity"] == type(heterogeneity).__name__ and any(
        "heterogeneity." in each for each in attributes
    )
    assert repr(heterogeneity) in repr(run.model)


def test_doors():
    wide = nmm.CouplingHeterogeneity(1.0)
    with pytest.raises(
        ValueError, match="`coupling_heterogeneity` must be None with a `heterogeneity` that isn't Lorentzian"
    ):
        nmm.MPR(heterogeneity=GAUSS, coupling_heterogeneity=wide)
    with pytest.raises(ValueError, match="`heterogeneity` must be None or a distribution such as"):
        nmm.MPR(heterogeneity="gauss")
    for refusing in (nmm.energy_landscape, lambda model: nmm.orbit(model, 1.0), nmm.cusp_rate):
        with pytest.raises(ValueError, match="Argument `model` must have an exactly solvable part"):
            refusing(nmm.MPR(heterogeneity=GAUSS))


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=() if each == "bimodal" else pytest.mark.slow) for each in GOLDEN]
)
def test_neurons_with_the_same_density_agree_with_the_modes(name):
    """To within what N neurons with random phases show; an order parameter reads other r and v than the modes' own."""
    model, ts, size = nmm.MPR(heterogeneity=GOLDEN[name][0]), jnp.linspace(0.0, 4.0, 41), 1000
    found = nmm.compare_with_neurons(model, y0={"r": 1.0, "v": 0.3}, ts=ts, size=size)
    assert 0.01 < found.ratio[0] < 0.5 and "describes" in found.verdict
    seen = model.as_read(found.mean_field.ys)
    if name == "bimodal":
        assert 2e-3 < jnp.max(jnp.abs(seen.r - found.mean_field.ys.r)) < 0.1


def test_damping_is_what_resonant_neurons_take():
    """1 = (2J/π) Σ c_k W_k/(λ² + 4W_k²), with conjugates, is the eigenvalues' equation; (J² r/4) g(−Jr/2) its damping."""
    for name in ("Gaussian, n = 4", "bimodal"):
        model = nmm.MPR(heterogeneity=GOLDEN[name][0])
        found = find_equilibria(model)
        high = int(jnp.nanargmax(found.state.r))
        state = {each: getattr(found.state, each)[high] for each in found.state.names}
        R, v = model.to_modes(nmm.State(**state))
        W, c = np.pi * np.asarray(R) + 1j * np.asarray(v), np.asarray(model.modes.real) + 1j * np.asarray(model.modes.imag)
        for eigenvalue in np.asarray(found.eigenvalues[high]):
            parts = c / (eigenvalue + 2j * W) - c.conj() / (eigenvalue - 2j * W.conj())
            assert abs(1 - 1j * 15.0 / (2 * np.pi) * np.sum(parts)) < 1e-8
        if name == "Gaussian, n = 4":
            r = float(found.state.r[high])
            resonant = 15.0**2 * r / 4 * float(model.heterogeneity.density(-15.0 * r / 2))
            assert abs(resonant / -float(found.eigenvalues[high, 0].real) - 1) < 0.1
