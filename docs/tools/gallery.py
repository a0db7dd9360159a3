"""Draw the gallery: `python docs/tools/gallery.py [NAME …]` writes docs/pictures/NAME.png, one for every plot function.

A picture is a function of the plot function's name. The page shows its body as the call, after the lines of SETTINGS.
"""

import os
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "pictures"
SETTINGS = """
import jax
import jax.numpy as jnp
import numpy as np
import nmmjax as nmm

population = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)  # two states
start, pulse = {"r": 0.08, "v": -1.96}, nmm.Pulse(amplitude=3.0, start=10.0, stop=20.0)
run = nmm.simulate(population, start, jnp.linspace(0.0, 60.0, 3001), stimulus=pulse)
pair = nmm.mutual_inhibition(eta=5.0, J_self=0.0, J_cross=-15.0, Delta=1.0)
burster = nmm.MPR(eta=-5.5, J=15 * 2**0.5, Delta=2.0, adaptation=nmm.SynapticDepression(alpha=0.05, tau=10.0))
electrical = nmm.MPR(eta=2.0, J=2.0, Delta=0.2, gap=nmm.GapJunction(0.5))
regions = ["LAng", "LMTG", "LParaCing", "LPCC", "RAng", "RMTG"]
"""
PICTURES = {}


def picture(draw):
    PICTURES[draw.__name__] = draw
    return draw


@picture
def activity():
    """Which regions are active in each minimum of a recording's landscape."""
    model = nmm.fit_ising(nmm.binarize(nmm.example_recording().select(regions)))
    return nmm.plot.activity(model.landscape())


@picture
def animate_landscape():
    """A film of a population rolling on its potential while the input tilts it."""
    return nmm.plot.animate_landscape(run, "animate_landscape.gif", frames=60)


@picture
def arnold_tongues():
    """Where an input of frequency ω and amplitude A entrains an inhibitory rhythm, and at which ratio."""
    ing = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=0.5))
    omegas, amplitudes = np.linspace(0.9, 5.2, 87), np.linspace(0.0, 3.0, 31)
    y0 = {"r": 0.4, "v": 0.3}
    return nmm.plot.arnold_tongues(nmm.entrainment(ing, amplitudes=amplitudes, omegas=omegas, y0=y0))


@picture
def atlas():
    """Firing patterns over two parameters."""
    over = {"eta": jnp.linspace(-6.5, -2.5, 25), "adaptation.alpha": jnp.linspace(0.03, 0.15, 19)}
    return nmm.plot.atlas(nmm.burst_atlas(burster, over=over, progress=False))


@picture
def basin_graph():
    """All states of an Ising model by energy, coloured by basin."""
    model = nmm.fit_ising(nmm.binarize(nmm.example_recording().select(regions)))
    return nmm.plot.basin_graph(model)


@picture
def basins():
    """The state that every start leads to, with the separatrix."""
    over = {"r": jnp.linspace(0.02, 2.5, 100), "v": jnp.linspace(-4.0, 4.0, 100)}
    minima = nmm.energy_landscape(population).minima
    return nmm.plot.basins(nmm.basin_map(population, attractors=list(minima), over=over))


@picture
def bifurcation():
    """Fixed points and limit cycles over a parameter: stable solid, unstable dashed."""
    branch = nmm.continue_branch(electrical, "eta", (-2.0, 2.0))
    return nmm.plot.bifurcation(branch, nmm.continue_cycle(branch.hopfs[0], (-2.0, 2.0)))


@picture
def bifurcation_curves():
    """Folds and Hopf points over two parameters."""
    folds = nmm.continue_branch(population, "eta", (-8.0, 0.0)).folds
    return nmm.plot.bifurcation_curves(nmm.continue_fold(folds[0], "J", (-10.0, 0.0), (5.0, 18.0)))


@picture
def circulation():
    """The loop of excitation and inhibition, and the work that the weights do on it."""
    ts = jnp.linspace(0.0, 300.0, 30_001)
    return nmm.plot.circulation(nmm.simulate(nmm.ping(), {"r": 0.02, "v": -1.0}, ts))


@picture
def bursts():
    """Bursts, the slow variable, and peaks predicted from energy with their errors."""
    bursting = nmm.simulate(burster, {"r": 0.2, "v": -1.0}, jnp.linspace(0.0, 400.0, 40_001))
    return nmm.plot.bursts(bursting, nmm.predict_burst(burster, nmm.find_bursts(bursting)))


@picture
def compared_landscapes():
    """Couplings and fields of a recorded network against those that its parameters predict."""
    W = 0.1 * np.array([[0, 1, -1, 0.5], [1, 0, 0.5, 1], [-1, 0.5, 0, 0], [0.5, 1, 0, 0]])
    node = nmm.MPR(eta=-3.75, J=15.0, Delta=1.0)
    network = nmm.Network(nmm.per_node(node, eta=-3.75 - 0.66 * W.sum(axis=1)), W)
    ts, y0 = jnp.arange(0.0, 20_000.0), {"r": 0.1, "v": -0.5}
    rates = nmm.simulate(network, y0, ts, noise=0.5, key=jax.random.key(0), dt0=0.02).ys.r
    recorded = nmm.binarize(np.asarray(rates[200:]), threshold=np.asarray(nmm.ising.saddle_rates(network)))
    return nmm.plot.compared_landscapes(nmm.ising.compare_landscapes(network, 0.5, nmm.fit_ising(recorded)))


@picture
def characteristic_roots():
    """How deviations of a resting state with delays grow or decay: a pair of roots has crossed."""
    late = nmm.Network(nmm.MPR(eta=1.0, J=0.0, Delta=0.1), [[1.0]], gain=-2.8, delay=3.0)
    return nmm.plot.characteristic_roots(nmm.characteristic_roots(late, right_of=-0.7))


@picture
def connectome():
    """Who receives from whom, how strongly, and where the regions lie."""
    return nmm.plot.connectome(nmm.random_connectome(76, key=jax.random.key(0)))


@picture
def delays():
    """How long signals take from region to region, and after which time how much of the input arrives."""
    brain = nmm.Network(nmm.MPR(tau=10.0), nmm.random_connectome(76, key=jax.random.key(0)), speed=6.0)
    return nmm.plot.delays(brain)


@picture
def density():
    """The exact stationary density, and the histogram of a run."""
    noisy, ts = nmm.MPR(eta=-3.75, J=15.0, Delta=1.0), jnp.linspace(0.0, 2000.0, 8001)
    rates = nmm.simulate(noisy, {"r": 1.0, "v": 0.0}, ts, noise=0.4, key=jax.random.key(0)).ys.r
    return nmm.plot.density(nmm.boltzmann(noisy, noise=0.4), rates[400:])


@picture
def disconnectivity():
    """Minima of a network and the lowest passes between them."""
    rng = np.random.default_rng(0)
    W = np.exp(1.5 * rng.normal(size=(5, 5))) * (1 - np.eye(5))
    network = nmm.Network(nmm.MPR(eta=-4.6, J=14.5, Delta=0.7), (W + W.T) / W.max() / 2, gain=0.6)
    return nmm.plot.disconnectivity(nmm.energy_landscape(network))


@picture
def dynamic_connectivity():
    """When functional connectivity was alike, and when it changed."""
    brain = nmm.Network(nmm.MPR(tau=10.0), nmm.random_connectome(24, key=jax.random.key(0)), gain=2.0)
    fcd = nmm.DynamicFC(nmm.BOLD(TR=1000.0), width=40_000.0, step=4000.0, skip=20_000.0)
    options = {"noise": 1.0, "key": jax.random.key(1), "dt0": 1.0}
    ts = jnp.array([0.0, 480_000.0])  # ms
    run = nmm.simulate(brain, {"r": 0.01, "v": -2.0}, ts, monitors={"fcd": fcd}, **options)
    return nmm.plot.dynamic_connectivity(run.monitors["fcd"])


@picture
def ellipse_points():
    """Points (πτr, v) of the ellipse that fits an orbit best, for pictures of one's own."""
    import matplotlib.pyplot as plt

    orbit = nmm.orbit(nmm.MPR(eta=2.0, J=5.0, Delta=0.0), energy=14.0)
    axes = plt.subplots(figsize=(5.4, 4.2), layout="constrained")[1]
    axes.plot(jnp.pi * orbit.level_set.r, orbit.level_set.v, color="#1f5fa8", label="orbit")
    axes.plot(*nmm.plot.ellipse_points(orbit), "--", color="black", label="ellipse")
    axes.set(xlabel="πτr (dimensionless)", ylabel="mean voltage v (dimensionless)")
    axes.legend()
    return axes


@picture
def energy():
    """Kinetic, potential and total energy of a run; work, heat and residual."""
    return nmm.plot.energy(run, nmm.energy_balance(run))


@picture
def energy_contours():
    """Contours of the total energy over the plane of rate and voltage."""
    return nmm.plot.energy_contours(population, (0.0, 2.0), (-3.0, 3.0))


@picture
def fit():
    """Data and fit, the loss of every start, and the loss on the way."""
    ts, step = jnp.linspace(0.0, 100.0, 1001), nmm.Pulse(amplitude=3.0, start=30.0, stop=60.0)
    truth = nmm.MPR(eta=-4.6, J=14.5, Delta=0.7)
    data = nmm.simulate(truth, {"r": 0.1, "v": -2.0}, ts, stimulus=step).ys
    noise = 0.1 * jax.random.normal(jax.random.key(0), (2, 1001))
    target = nmm.TrajectoryTarget(ts, r=data.r + noise[0], v=data.v + noise[1], stimulus=step, noise=0.1)
    guess = nmm.MPR(eta=-4.0, J=12.0, Delta=0.5)
    return nmm.plot.fit(nmm.fit(guess, free=("eta", "J", "Delta"), target=target, starts=64, progress=False))


@picture
def functional_connectivity():
    """Correlations of BOLD between regions, beside those of another run in the place of a recording."""
    brain = nmm.Network(nmm.MPR(tau=10.0), nmm.random_connectome(24, key=jax.random.key(0)), gain=2.0)
    look, fc = {"fc": nmm.FunctionalConnectivity(nmm.BOLD(TR=1000.0), skip=20_000.0)}, []
    for seed in (1, 2):
        options = {"noise": 1.0, "key": jax.random.key(seed), "dt0": 1.0, "monitors": look}
        run = nmm.simulate(brain, {"r": 0.01, "v": -2.0}, jnp.array([0.0, 480_000.0]), **options)
        fc += [run.monitors["fc"]]
    return nmm.plot.functional_connectivity(*fc)


@picture
def ising():
    """Fields, couplings, and how well an Ising model fits."""
    return nmm.plot.ising(nmm.fit_ising(nmm.binarize(nmm.example_recording().select(regions))))


@picture
def landscape():
    """The potential of a population, and the energy of a run on it."""
    return nmm.plot.landscape(nmm.energy_landscape(population), run)


@picture
def lyapunov():
    """Lyapunov exponents of an inhibitory population: a cycle (one is 0) that dies in a Hopf point."""
    ing = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=0.5))
    over = {"Delta": jnp.linspace(0.1, 0.8, 64)}
    return nmm.plot.lyapunov(nmm.lyapunov_exponents(ing, y0={"r": 0.4, "v": 0.3}, t1=400.0, over=over))


@picture
def master_stability():
    """Which patterns of a ring grow around the uniform state, by the eigenvalues of its weights; delay 1."""
    ring = 0.7 * np.roll(np.eye(16), 1, axis=1) + 0.3 * np.roll(np.eye(16), -1, axis=1)
    network = nmm.Network(nmm.MPR(eta=-5.0, J=10.0, Delta=1.0), ring, gain=5.0)
    return nmm.plot.master_stability(nmm.master_stability(network, guess={"r": 1.0, "v": -0.15}, delay=1.0))


@picture
def occupancy():
    """Time in each basin, in the data and under the model; how long stays last."""
    model = nmm.fit_ising(nmm.binarize(nmm.example_recording().select(regions)))
    return nmm.plot.occupancy(model.landscape(), model)


@picture
def orbits():
    """Closed orbits on contours of the energy, each with its best ellipse."""
    homogeneous = nmm.MPR(eta=2.0, J=5.0, Delta=0.0)
    return nmm.plot.orbits(homogeneous, [nmm.orbit(homogeneous, energy=energy) for energy in (12.0, 14.0, 20.0, 30.0)])


@picture
def peaks():
    """Spike peaks predicted from energy, against those of a run."""
    ringing = nmm.MPR(eta=2.0, J=5.0, Delta=0.05)
    y0 = {"r": 6.0, "v": -0.05 / (12 * jnp.pi)}  # a peak of the rate
    simulated = nmm.find_spikes(nmm.simulate(ringing, y0, jnp.linspace(0.0, 25.0, 5001))).peak[:8]
    return nmm.plot.peaks(nmm.predict_peaks(ringing, r0=6.0, count=9)[-simulated.size :], simulated)


@picture
def phase_response():
    """A rhythm of mutual inhibition, and by how much a push at each phase brings its later peaks earlier."""
    inhibitory = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=0.5))
    hopf = nmm.continue_branch(inhibitory, "Delta", (0.1, 1.0)).hopfs[0]
    return nmm.plot.phase_response(nmm.phase_response(nmm.continue_cycle(hopf, (0.25, 0.6)), at=0.3))


@picture
def phase_plane():
    """Nullclines, contours of the energy, fixed points, separatrix, and a run."""
    return nmm.plot.phase_plane(population, run)


@picture
def posterior():
    """Marginals of all parameters and of all pairs, by NUTS."""
    truth = nmm.MPR(eta=-3.75, J=15.0, Delta=1.0)
    rates = nmm.boltzmann(truth, noise=0.4).sample(jax.random.key(0), (5000,)).r
    target = nmm.StationaryTarget(rates, noise=0.4, samples=5000)
    bounds = {"eta": (-10.0, 0.0), "J": (5.0, 25.0), "Delta": (0.1, 5.0)}
    fitted = nmm.fit(truth, free=("eta", "J", "Delta"), bounds=bounds, target=target, starts=4, progress=False)
    draws = nmm.sample_posterior(fitted, key=jax.random.key(0), chains=2, warmup=200, draws=1000, progress=False)
    return nmm.plot.posterior(draws, truth={"eta": -3.75, "J": 15.0, "Delta": 1.0})


@picture
def potential():
    """The potential in a histogram of rates, beside those of the population and of a fit."""
    noisy, ts = nmm.MPR(eta=-3.75, J=15.0, Delta=1.0), jnp.linspace(0.0, 2000.0, 8001)
    rates = nmm.simulate(noisy, {"r": 1.0, "v": 0.0}, ts, noise=0.4, key=jax.random.key(0)).ys.r[400:]
    fitted = nmm.fit_stationary(rates)
    measured = nmm.stochastic.potential_from_samples(rates, temperature=fitted.temperature)
    return nmm.plot.potential(measured, noisy, fitted)


@picture
def neurons():
    """Mean field and networks of three sizes, and how far apart they are by the number of neurons."""
    return nmm.plot.neurons(
        nmm.compare_with_neurons(
            nmm.MPR(eta=-5.0, J=15.0, Delta=1.0),
            size=(1000, 3000, 10_000),
            y0={"r": 0.08, "v": -1.96},
            ts=jnp.linspace(0.0, 40.0, 1001),
            stimulus=nmm.Pulse(3.0, 5.0, 20.0),
        )
    )


@picture
def raster():
    """Spikes of 200 of 10 000 neurons in the order of their currents, and the rate of all under the mean field's."""
    neurons = nmm.QIFNetwork(population, size=10_000)
    return nmm.plot.raster(nmm.simulate(neurons, start, run.ts, stimulus=pulse), mean_field=run)


@picture
def power_spectrum():
    """What the finite number of neurons does to the rate of a population: its own peaks, and quiet at slow times."""
    return nmm.plot.power_spectrum(nmm.power_spectrum(nmm.MPR(eta=-5.0, J=15.0, Delta=1.0), size=10_000))


@picture
def linear_response():
    """What weak noise does to a resting brain: functional connectivity and spectra, without a run."""
    connectome = nmm.random_connectome(40, key=jax.random.key(0))
    brain = nmm.Network(nmm.MPR(eta=-4.6, J=14.5, Delta=0.7, tau=10.0), connectome, gain=8.0)
    return nmm.plot.linear_response(nmm.linear_response(brain, noise=1e-3))


@picture
def profile():
    """The smallest loss at each value of a parameter, and the interval below the threshold."""
    ts, step = jnp.linspace(0.0, 30.0, 121), nmm.Pulse(amplitude=3.0, start=5.0, stop=15.0)
    truth = nmm.MPR(eta=-4.6, J=14.5, Delta=0.7)
    data = nmm.simulate(truth, {"r": 0.1, "v": -2.0}, ts, stimulus=step).ys
    noise = 0.1 * jax.random.normal(jax.random.key(0), (2, 121))
    target = nmm.TrajectoryTarget(ts, r=data.r + noise[0], v=data.v + noise[1], stimulus=step, noise=0.1)
    fitted = nmm.fit(truth, free=("eta", "J", "Delta"), target=target, starts=4, progress=False)
    return nmm.plot.profile(fitted.profile("Delta"))


@picture
def recovery():
    """Parameters found against the true ones, with intervals."""
    ts, step = jnp.linspace(0.0, 30.0, 121), nmm.Pulse(amplitude=3.0, start=5.0, stop=15.0)
    truth = nmm.MPR(eta=-4.6, J=14.5, Delta=0.7)
    data = nmm.simulate(truth, {"r": 0.1, "v": -2.0}, ts, stimulus=step).ys
    noise = 0.1 * jax.random.normal(jax.random.key(0), (2, 121))
    target = nmm.TrajectoryTarget(ts, r=data.r + noise[0], v=data.v + noise[1], stimulus=step, noise=0.1)
    return nmm.plot.recovery(nmm.fit(truth, free=("eta", "J", "Delta"), target=target, starts=4, progress=False), truth)


@picture
def regions():
    """BOLD of every region of a brain that noise moves between two states."""
    brain = nmm.Network(nmm.MPR(tau=10.0), nmm.random_connectome(24, key=jax.random.key(0)), gain=2.0)
    options = {"noise": 1.0, "key": jax.random.key(1), "dt0": 1.0}
    ts, look = jnp.array([0.0, 120_000.0]), {"bold": nmm.BOLD(TR=1000.0)}  # ms
    run = nmm.simulate(brain, {"r": 0.01, "v": -2.0}, ts, monitors=look, **options)
    return nmm.plot.regions(run.monitors["bold"])


@picture
def resting_states():
    """All states of rest of a connectome over the global gain, where they appear and vanish, and their barriers."""
    population, connectome = nmm.MPR(eta=-6.0, J=14.5, Delta=0.7, tau=10.0), nmm.random_connectome(6, key=jax.random.key(0))
    brain = nmm.Network(population, connectome)
    return nmm.plot.resting_states(nmm.resting_states(brain, {"gain": np.linspace(0.0, 12.0, 61)}))


@picture
def shade_stimulus():
    """Grey bands where the stimulus is on, on axes of one's own."""
    import matplotlib.pyplot as plt

    axes = plt.subplots(figsize=(7.0, 2.6), layout="constrained")[1]
    axes.plot(run.ts, run.ys.v, color="#d1651a")
    axes.set(xlabel="time t (unit of τ)", ylabel="mean voltage v (dimensionless)")
    nmm.plot.shade_stimulus(run, axes)
    return axes


@picture
def slow_fast():
    """The fast equations' equilibria over the slow variable, with a burst."""
    bursting = nmm.simulate(burster, {"r": 0.2, "v": -1.0}, jnp.linspace(0.0, 400.0, 40_001))
    return nmm.plot.slow_fast(nmm.slow_fast(burster), bursting)


@picture
def spectrum():
    """Power spectra of the rates of regions, by Welch's method."""
    brain = nmm.Network(nmm.MPR(tau=10.0), nmm.random_connectome(24, key=jax.random.key(0)), gain=2.0)
    options = {"noise": 1.0, "key": jax.random.key(1), "dt0": 1.0}
    ts, average = jnp.array([0.0, 120_000.0]), nmm.TemporalAverage(5.0)
    look = {"spectrum": nmm.Spectrum(average, segment=2000.0, skip=5000.0)}
    run = nmm.simulate(brain, {"r": 0.01, "v": -2.0}, ts, monitors=look, **options)
    return nmm.plot.spectrum(run.monitors["spectrum"])


@picture
def strength_duration():
    """Threshold, charge and energy of the smallest switching pulse over its duration."""
    first, second = nmm.energy_landscape(pair).minima[0], nmm.energy_landscape(pair).minima[1]
    durations = jnp.geomspace(0.2, 20.0, 15)
    return nmm.plot.strength_duration(nmm.strength_duration(pair, start=first, end=second, durations=durations, node=1))


@picture
def survival():
    """The share of runs that have not left a state yet, with the fitted and the exact rate."""
    high = nmm.energy_landscape(population).minima[1]
    passage = nmm.first_passage(population, noise=0.1, start=high, key=jax.random.key(1), lanes=1024)
    rate = nmm.escape_rate(population, noise=0.1, start=high)
    return nmm.plot.survival(passage, rate, labels=["exact"])


@picture
def sweep():
    """One observable over two parameters."""
    over = {"eta": jnp.linspace(-8.0, 2.0, 64), "J": jnp.linspace(0.0, 30.0, 64)}
    observe = {"peak": nmm.Peak("r")}
    found = nmm.sweep(nmm.MPR(), over=over, y0={"r": 0.1, "v": -2.0}, t1=100.0, observe=observe, progress=False)
    return nmm.plot.sweep(found, "peak")


@picture
def switch():
    """The smallest pulse that switches a pair, and the run that it switches."""
    first, second = nmm.energy_landscape(pair).minima[0], nmm.energy_landscape(pair).minima[1]
    return nmm.plot.switch(nmm.minimal_pulse(pair, start=first, end=second, duration=5.0, node=1))


@picture
def trajectory():
    """A run over time: variables, energy, the stimulus shaded."""
    return nmm.plot.trajectory(run)


@picture
def transition_graph():
    """Basins as circles whose area is the time spent there, transitions as arrows."""
    model = nmm.fit_ising(nmm.binarize(nmm.example_recording().select(regions)))
    return nmm.plot.transition_graph(model.landscape())


@picture
def work():
    """Work of many runs forward and reversed: the densities cross at ΔF."""
    driven, ramp = nmm.MPR(eta=1.0, J=3.0, Delta=0.5), nmm.Ramp(amplitude=0.5, start=0.0, stop=1.0)
    common = {"noise": 0.1, "t1": 1.0, "lanes": 16_384}
    forward = nmm.stochastic.run_protocol(driven, ramp, key=jax.random.key(4), **common)
    backward = nmm.stochastic.run_protocol(driven, ramp, key=jax.random.key(5), reverse=True, **common)
    return nmm.plot.work(forward, backward)


def save(name):
    """Draw one picture and write it with 256 colours."""
    import matplotlib.pyplot as plt
    import numpy as np
    from PIL import Image

    axes = PICTURES[name]()
    if name == "animate_landscape":
        return
    path = FOLDER / f"{name}.png"
    np.ravel(axes)[0].figure.savefig(path, dpi=110)
    plt.close("all")
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def main(names):
    os.environ.setdefault("MPLBACKEND", "Agg")
    import jax

    jax.config.update("jax_enable_x64", True)
    FOLDER.mkdir(exist_ok=True)
    os.chdir(FOLDER)
    exec(SETTINGS, globals())
    for name in names or PICTURES:
        begun = time.perf_counter()
        try:
            save(name)
        except Exception as error:  # the others are drawn all the same
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            continue
        print(f"{name}: {time.perf_counter() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
