"""Networks of spiking neurons: exact counts, the order of the step, readings, and mean fields that they converge to."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import rest_slow

import nmmjax as nmm
from nmmjax.models.qif_network import UNBIASED, cauchy
from nmmjax.solvers.qif_step import order_parameter, propagator, spikes, turned
from nmmjax.solvers.spiking import placed, started

POPULATION = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)
START = {"r": 0.6, "v": 0.0}
PULSE = nmm.Pulse(amplitude=2.0, start=4.0, stop=6.0)


def event_driven(eta, V, times):
    """Spikes of all uncoupled neurons up to each time, and their voltages then, in closed form: V = σ tan(σt + φ) with one
    spike per half-turn, and below η = 0 one spike of those that begin above σ, when tanh σt = σ/V."""
    high, sigma = eta > 0, np.sqrt(np.abs(eta))
    phase = np.arctan(V / sigma)
    spiking = ~high & (sigma < V)
    first = np.full(V.shape, np.inf)
    first[spiking] = np.arctanh(sigma[spiking] / V[spiking]) / sigma[spiking]
    counts, voltages = [], []
    for t in times:
        counts.append(np.sum(np.where(high, np.floor((phase + sigma * t) / np.pi + 0.5), first < t)))
        fall = np.tanh(sigma * t)
        voltages.append(np.where(high, sigma * np.tan(phase + sigma * t), (V - sigma * fall) / (1 - V * fall / sigma)))
    return np.array(counts), np.array(voltages)


@pytest.mark.parametrize("h", [1 / 64, 0.25, 1.0])
def test_uncoupled_neurons_spike_exactly_when_they_should(h):
    """J = 0, up to ten half-turns in a step (σh to 10 π): counts equal the closed form's in every step, Z to rounding."""
    network = nmm.QIFNetwork(nmm.MPR(eta=0.5, J=0.0, Delta=1.0), 2000)
    eta = 0.5 + network.standard_currents()
    V = np.pi * 0.4 * cauchy(network.places(0)) - 0.2
    ts = np.arange(0, 9) * h
    run = nmm.simulate(network, {"r": 0.4, "v": -0.2}, ts, dt0=h)
    counts, voltages = event_driven(eta, V, ts)
    np.testing.assert_array_equal(np.diff(counts), run.neurons.counts)
    r, v = order_parameter(jnp.asarray(voltages))
    np.testing.assert_allclose(r / np.pi, run.ys.r, rtol=1e-9)
    np.testing.assert_allclose(v, run.ys.v, rtol=1e-9, atol=1e-9)


def test_single_neurons_fire_at_the_square_root_of_their_current():
    network = nmm.QIFNetwork(nmm.MPR(eta=1.0, J=0.0, Delta=0.5), 50, watched=50)
    run = nmm.simulate(network, START, jnp.linspace(0.0, 400.0, 3), dt0=0.5)
    rates = np.asarray(run.neurons.raster).sum(axis=0) / 400
    current = 1.0 + 0.5 * network.standard_currents()
    np.testing.assert_allclose(rates, np.sqrt(np.maximum(current, 0)) / np.pi, atol=1.01 / 400)


def test_a_neuron_at_infinity_is_left_far_out():
    step = propagator(jnp.array([1.0, -1.0]), jnp.array(0.5))
    V = turned(step.a, jnp.array([1.0, -1.0]), step.a)
    assert np.all(np.isfinite(V)) and np.all(np.abs(V) > 1e100)
    assert spikes(jnp.array([2.0, 0.0]), step) == 1.0


def order_of(r, v):
    """Kuramoto's Z of mean-field states."""
    W = np.pi * np.asarray(r) + 1j * np.asarray(v)
    return np.conj((1 - W) / (1 + W))


def rms(Z):
    return np.sqrt(np.mean(np.abs(Z) ** 2))


def kick_at_the_end(network, y0, ts, h):
    """Z at `ts` of the usual scheme: all of a step's spikes arrive at its end."""
    model = network.model
    neurons, moving = started(model, placed(network, jnp.float64), model.state(y0))
    step = propagator(neurons.eta, jnp.asarray(h))
    steps = round((ts[1] - ts[0]) / h)

    def one(V, _):
        return turned(V, neurons.eta, step.a) + model.J * spikes(V, step) / network.count, None

    def block(V, _):
        V, _ = jax.lax.scan(one, V, None, length=steps)
        return V, jnp.stack(order_parameter(V))

    _, found = jax.jit(lambda V: jax.lax.scan(block, V, None, length=len(ts) - 1))(moving.V)
    return order_of(found[:, 0] / np.pi, found[:, 1])


@pytest.mark.parametrize(
    ("model", "y0"),
    [
        pytest.param(nmm.MPR(eta=1.0, J=2.0, Delta=0.3), {"r": 0.5, "v": 0.3}, marks=pytest.mark.slow),
        (POPULATION, START),
    ],
)
def test_foretold_spikes_give_a_higher_order_than_a_kick_at_the_end(model, y0):
    """Order ≥ 1.4 against 1.0 and a hundredth of the error, until single spikes show, each J/N (docs/theory.md §A3)."""
    network = nmm.QIFNetwork(model, 100_000)
    ts, steps = np.arange(0, 17) / 16, [1 / 64, 1 / 128, 1 / 256]

    def exact_steps(h):
        run = nmm.simulate(network, y0, ts, dt0=h)
        return order_of(run.ys.r, run.ys.v)[1:]

    reference = exact_steps(1 / 2048)
    slope = lambda errors: np.polyfit(np.log(steps), np.log(errors), 1)[0]
    ours = [rms(exact_steps(h) - reference) for h in steps]
    usual = [rms(kick_at_the_end(network, y0, ts, h) - reference) for h in steps]
    assert slope(ours) > 1.4
    assert 0.9 < slope(usual) < 1.2
    assert np.all(np.array(usual) > 60 * np.array(ours))


ERRORS = {  # of docs/theory.md §A5: rms |Z_N − Z| over t ≤ 10, with a pulse, at N = 10³ and 10⁴
    "quantiles without bias": ({}, [9.6e-3, 2.2e-3]),
    "a = 1/2": ({"offset": 0.5}, [1.5e-2, 5.3e-3]),
    "a = 1": ({"offset": 1.0}, [3.7e-2, 1.3e-2]),
}


@pytest.mark.parametrize("rule", rest_slow(ERRORS, "quantiles without bias"))
def test_errors_by_the_rule_of_the_currents(rule):
    options, expected = ERRORS[rule]
    ts = np.linspace(0.0, 10.0, 161)
    run = nmm.simulate(POPULATION, START, ts, stimulus=PULSE, rtol=1e-10, atol=1e-12)
    for size, error in zip((1000, 10_000), expected, strict=True):
        spiking = nmm.simulate(nmm.QIFNetwork(POPULATION, size, **options), START, ts, stimulus=PULSE, dt0=1 / 256)
        measured = rms(order_of(spiking.ys.r, spiking.ys.v) - order_of(run.ys.r, run.ys.v))
        assert error / 1.5 < measured < 1.5 * error, (size, measured)


@pytest.mark.slow
def test_the_error_falls_faster_than_the_square_root():
    ts = np.linspace(0.0, 10.0, 161)
    run = nmm.simulate(POPULATION, START, ts, stimulus=PULSE, rtol=1e-10, atol=1e-12)
    sizes, errors = [1000, 10_000, 100_000], []
    for size in sizes:
        spiking = nmm.simulate(nmm.QIFNetwork(POPULATION, size), START, ts, stimulus=PULSE, dt0=1 / 512)
        errors.append(rms(order_of(spiking.ys.r, spiking.ys.v) - order_of(run.ys.r, run.ys.v)))
    assert np.polyfit(np.log(sizes), np.log(errors), 1)[0] <= -0.75
    assert 2.5e-4 / 1.5 < errors[-1] < 1.5 * 2.5e-4


@pytest.mark.parametrize("offset", [0.5, 1.0, UNBIASED])
def test_networks_have_the_bias_of_their_quantiles(offset):
    """r_N − r = √(Δ/N) ζ(½, a)/π^{3/2}/(1 − Jχ) of the total currents' quantiles, to 5 %; none for the default."""
    eta, J, Delta, N = -5.0, 15.0, 1.0, 10_000
    standard = nmm.QIFNetwork(nmm.MPR(eta=eta, J=J, Delta=Delta), N, offset=offset).standard_currents()
    rate = lambda x: np.mean(np.sqrt(np.maximum(x + Delta * standard, 0))) / np.pi
    exact = 1.0305967988  # the active state's rate
    r = exact
    for _ in range(200):
        r = r + 0.3 * (rate(eta + J * r) - r)
    slope = (
        (np.sqrt(eta + J * exact - 1j * Delta + 1e-6).real - np.sqrt(eta + J * exact - 1j * Delta - 1e-6).real)
        / 2e-6
        / np.pi
    )
    law = np.sqrt(Delta / N) * hurwitz(offset) / np.pi**1.5 / (1 - J * slope)
    if offset == UNBIASED:
        assert abs(r - exact) < 3e-4
    else:
        assert abs(r - exact - law) < 0.05 * abs(law)


def hurwitz(a, terms=4000):
    """ζ(½, a) by Euler and Maclaurin."""
    n = np.arange(terms)
    b = a + terms
    return np.sum((n + a) ** -0.5) - 2 * np.sqrt(b) + 0.5 / np.sqrt(b) + 1 / 24 * b**-1.5


TERMS = {
    "time constant": (nmm.MPR(tau=10.0), {"r": 0.06, "v": 0.0}, 50.0),
    "gap junctions": (nmm.MPR(eta=1.0, J=2.0, Delta=0.3, gap=nmm.GapJunction(0.5)), START, 5.0),
    "conductance": (nmm.MPR(eta=3.0, J=2.0, conductance=nmm.ConductanceSynapse(1.0, -1.0)), START, 5.0),
    "leak": (nmm.MPR(leak=nmm.Leak(g=1.0, E=0.5)), START, 5.0),
    "heterogeneous coupling": (nmm.MPR(coupling_heterogeneity=nmm.CouplingHeterogeneity(1.0)), START, 5.0),
    "adaptation": (nmm.MPR(adaptation=nmm.SpikeFrequencyAdaptation(alpha=0.5, tau=10.0)), START, 5.0),
    "depression": (nmm.MPR(J=20.0, plasticity=nmm.SynapticDepression(alpha=0.05, tau=10.0)), START, 5.0),
    "plasticity": (nmm.MPR(J=30.0, plasticity=nmm.ShortTermPlasticity(tau_d=2.0, tau_f=10.0, U0=0.3)), START, 5.0),
    "synapse": (nmm.ing(), {"r": 0.04, "v": 0.3}, 50.0),
    "alpha synapse with a conductance": (
        nmm.MPR(eta=4.0, J=-5.0, synapse=nmm.AlphaSynapse(tau=0.5, strength=1.0, reversal=-1.0)),
        START,
        5.0,
    ),
    "E–I pair": (nmm.ping(), {"r": 0.02, "v": -1.0}, 20.0),
    "two populations": (nmm.mutual_inhibition(), {"r": np.array([0.6, 0.5]), "v": np.array([0.0, 0.1])}, 5.0),
    "conductances": (nmm.byrne(), {"r": 0.1, "v": -1.0}, 10.0),
    "recovery current": (nmm.izhikevich(), {"r": 0.05, "v": 0.3}, 10.0),
}


QUICK = ("gap junctions", "adaptation", "synapse", "two populations", "alpha synapse with a conductance")


@pytest.mark.parametrize("name", rest_slow(TERMS, *QUICK))
def test_every_term_has_its_mean_field(name):
    """20 000 neurons follow the mean field within a few times their expected deviation, in every variable."""
    model, y0, t1 = TERMS[name]
    ts = jnp.linspace(0.0, t1, 26)
    run = nmm.simulate(model, y0, ts)
    spiking = nmm.simulate(nmm.QIFNetwork(model, 20_000), y0, ts)
    for each in run.ys.names:
        exact = np.asarray(getattr(run.ys, each))
        deviation = rms(np.asarray(getattr(spiking.ys, each)) - exact)
        allowed = (0.03 if "coupling" in name else 0.015) * max(np.ptp(exact), 0.1)
        assert deviation < allowed, (each, deviation, allowed)


def test_identical_neurons_obey_the_mean_field_exactly_for_any_number():
    """Δ = 0, J = 0, three neurons: H of their barycentre stands still, and r, v are the mean field's; the order parameter's
    reading does not have this."""
    model = nmm.MPR(eta=2.0, J=0.0, Delta=0.0)
    ts = jnp.linspace(0.0, 50.0, 101)
    exact = nmm.simulate(nmm.QIFNetwork(model, 3, reading="barycentre"), START, ts, dt0=0.1)
    first = {"r": exact.ys.r[0], "v": exact.ys.v[0]}
    run = nmm.simulate(model, first, ts, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(exact.ys.r, run.ys.r, rtol=1e-9)
    np.testing.assert_allclose(exact.ys.v, run.ys.v, rtol=1e-9, atol=1e-9)
    H = nmm.hamiltonian(model, exact.ys)
    assert np.ptp(H) < 1e-10 * abs(float(H[0]))
    usual = nmm.simulate(nmm.QIFNetwork(model, 3), START, ts, dt0=0.1)
    assert np.ptp(nmm.hamiltonian(model, usual.ys)) > 1e-3


def test_own_spikes_differ_from_the_populations():
    """Adaptation by own spikes silences the fastest neurons: A then differs between neurons, and the rate is another."""
    model = nmm.MPR(adaptation=nmm.SpikeFrequencyAdaptation(alpha=0.5, tau=10.0, kernel="exponential"))
    ts = jnp.linspace(0.0, 10.0, 21)
    shared, own = (nmm.simulate(nmm.QIFNetwork(model, 5000, own_spikes=each), START, ts) for each in (False, True))
    assert float(jnp.max(jnp.abs(own.ys.r - shared.ys.r))) > 5e-3
    assert abs(float(own.ys.A[-1] - shared.ys.A[-1])) < 0.1


def test_a_run_goes_on_as_if_it_had_not_stopped():
    network = nmm.QIFNetwork(POPULATION, 500)
    ts = np.arange(0, 33) / 16
    whole = nmm.simulate(network, START, ts, dt0=1 / 256)
    first = nmm.simulate(network, START, ts[:17], dt0=1 / 256)
    second = nmm.simulate(network, first, ts[16:], dt0=1 / 256)
    assert rms(np.asarray(second.ys.r - whole.ys.r[16:])) < 2e-3


@pytest.mark.parametrize("noise", [nmm.CauchyNoise(0.5), nmm.GaussianNoise(0.3), nmm.WhiteNoise(0.1), 0.0])
def test_noise_of_neurons(noise):
    network = nmm.QIFNetwork(nmm.MPR(eta=1.0, J=2.0, Delta=0.3), 2000)
    ts = jnp.linspace(0.0, 8.0, 33)
    run = nmm.simulate(network, {"r": 0.44, "v": -0.1}, ts, noise=noise, key=jax.random.key(2), dt0=0.02)
    again = nmm.simulate(network, {"r": 0.44, "v": -0.1}, ts, noise=noise, key=jax.random.key(2), dt0=0.02)
    np.testing.assert_array_equal(run.ys.r, again.ys.r)
    if isinstance(noise, nmm.CauchyNoise):  # exactly Δ + Γ
        mean = nmm.simulate(nmm.MPR(eta=1.0, J=2.0, Delta=0.8), {"r": 0.44, "v": -0.1}, ts)
        assert abs(float(jnp.mean(run.ys.r[8:] - mean.ys.r[8:]))) < 0.02


def test_sweeps_of_networks_are_runs_of_networks():
    network = nmm.QIFNetwork(nmm.MPR(eta=1.0, J=2.0, Delta=0.3), 400)
    given = {"y0": {"r": 0.5, "v": 0.0}, "t1": 4.0, "dt0": 0.02, "progress": False}
    data = nmm.sweep(
        network, over={"eta": [0.5, 1.5]}, observe={"end": nmm.Final(), "seen": nmm.Samples([1.0, 2.0, 4.0], "r")}, **given
    )
    for k, eta in enumerate((0.5, 1.5)):
        alone = nmm.QIFNetwork(nmm.MPR(eta=eta, J=2.0, Delta=0.3), 400)
        run = nmm.simulate(alone, {"r": 0.5, "v": 0.0}, [0.0, 1.0, 2.0, 4.0], dt0=0.02)
        np.testing.assert_allclose(data.end_r[k], run.ys.r[-1], rtol=1e-9)
        np.testing.assert_allclose(data.seen[k], run.ys.r[1:], rtol=1e-9)
    noisy = nmm.sweep(
        network,
        over={"noise": [0.0, 0.5]},
        noise=nmm.CauchyNoise(0.0),
        key=jax.random.key(0),
        observe={"r": nmm.Mean("r")},
        **given,
    )
    assert noisy.attrs["model"] == "MPR" or "MPR" in noisy.attrs["model"]
    assert np.all(noisy.status == 0)


def test_single_precision():
    with jax.enable_x64(False):
        model = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)
        ts = jnp.linspace(0.0, 4.0, 17)
        run = nmm.simulate(model, START, ts)
        spiking = nmm.simulate(nmm.QIFNetwork(model, 10_000), START, ts)
        assert spiking.ys.r.dtype == jnp.float32
        assert rms(np.asarray(spiking.ys.r - run.ys.r)) < 5e-3


REFUSED = {
    "size": (lambda: nmm.QIFNetwork(POPULATION, 0), "Argument `size` must be"),
    "half a neuron": (lambda: nmm.QIFNetwork(POPULATION, 2.5), "Argument `size` must be"),
    "reading": (lambda: nmm.QIFNetwork(POPULATION, 5, reading="mean"), "Argument `reading` must be"),
    "offset": (lambda: nmm.QIFNetwork(POPULATION, 5, offset=0.0), "Argument `offset` must be"),
    "own spikes of a network": (
        lambda: nmm.QIFNetwork(nmm.mutual_inhibition(), 5, own_spikes=True),
        "Argument `own_spikes` must be False for networks",
    ),
    "a barycentre of two": (
        lambda: nmm.QIFNetwork(POPULATION, 2, reading="barycentre"),
        "Argument `size` must be at least 3",
    ),
    "spikes of jitter": (
        lambda: nmm.sweep(
            nmm.QIFNetwork(POPULATION, 5), over={"eta": [1.0]}, y0=START, t1=1.0, observe={"n": nmm.SpikeCount("r")}
        ),
        "Argument `observe` must have a `prominence` of at least 0.2",
    ),
    "own spikes of nothing": (lambda: nmm.QIFNetwork(POPULATION, 5, own_spikes=True), "Argument `own_spikes` must be False"),
    "a network of networks": (lambda: nmm.QIFNetwork(nmm.QIFNetwork(POPULATION, 5), 5), "Argument `model` must be"),
    "step": (
        lambda: nmm.simulate(nmm.QIFNetwork(POPULATION, 5), START, [0.0, 1.0], dt0=0.5),
        "Argument `dt0` must be at most",
    ),
    "solver": (
        lambda: nmm.simulate(nmm.QIFNetwork(POPULATION, 5), START, [0.0, 1.0], solver=nmm.MobiusSplitting()),
        "Argument `solver` must be None",
    ),
    "key": (
        lambda: nmm.simulate(nmm.QIFNetwork(POPULATION, 5), START, [0.0, 1.0], noise=nmm.CauchyNoise(1.0)),
        "Argument `key` must be",
    ),
    "vector field": (
        lambda: nmm.find_fixed_point(nmm.QIFNetwork(POPULATION, 5), START),
        "Argument `model` must have a vector field",
    ),
    "memory": (
        lambda: nmm.simulate(nmm.QIFNetwork(POPULATION, 10**13), START, [0.0, 1.0]),
        "Argument `size` must be at most",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    call, sentence = REFUSED[name]
    with pytest.raises(ValueError, match=sentence):
        call()


def test_own_slow_variables_go_on():
    """Each neuron's own adaptation is kept, not its mean, when a run goes on."""
    model = nmm.MPR(eta=1.0, J=5.0, adaptation=nmm.SpikeFrequencyAdaptation(alpha=5.0, tau=5.0))
    network, given = nmm.QIFNetwork(model, 300, own_spikes=True), {"dt0": 1 / 128}
    ts = np.arange(0, 9) / 2
    whole = nmm.simulate(network, START, ts, **given)
    first = nmm.simulate(network, START, ts[:5], **given)
    second = nmm.simulate(network, first, ts[4:], **given)
    assert first.neurons.slow["A"].shape == (300,)
    assert abs(float(jnp.sum(second.neurons.counts) - jnp.sum(whole.neurons.counts[4:]))) <= 3


def test_networks_of_neurons_within_transformations():
    """`jit` over parameters, `vmap` over parameters and over random keys, and heterogeneities that are known inside."""
    ts = np.array([0.0, 0.5])
    last = lambda network: nmm.simulate(network, START, ts, dt0=1 / 64).ys.r[-1]
    build = lambda eta: nmm.QIFNetwork(nmm.MPR(eta=eta, J=15.0, Delta=1.0), 50)
    plain = float(last(build(-5.0)))
    np.testing.assert_allclose(jax.jit(lambda eta: last(build(eta)))(-5.0), plain, rtol=1e-9)
    np.testing.assert_allclose(jax.vmap(lambda eta: last(build(eta)))(jnp.array([-5.0, -4.0]))[0], plain, rtol=1e-9)
    keys = jax.random.split(jax.random.key(0), 2)
    drawn = jax.vmap(lambda key: last(nmm.QIFNetwork(POPULATION, 50, key=key)))(keys)
    assert drawn[0] != drawn[1]
    light = nmm.QIFNetwork(nmm.MPR(heterogeneity=nmm.GaussianLike(2)), 50)
    np.testing.assert_allclose(eqx.filter_jit(last)(light), last(light), rtol=1e-9)


def test_a_silent_network_goes_on():
    network = nmm.QIFNetwork(nmm.MPR(eta=-1.0, J=0.0, Delta=0.0), 20)
    run = nmm.simulate(network, {"r": 0.1, "v": -1.0}, [0.0, 40.0], dt0=0.5)
    assert 0 <= float(nmm.simulate(network, run, [40.0, 41.0], dt0=0.5).ys.r[-1]) < 1e-6


def test_states_of_populations_with_several_poles_start_neurons():
    model = nmm.MPR(heterogeneity=nmm.GaussianLike(2))
    network, ts = nmm.QIFNetwork(model, 50), [0.0, 0.5]
    run = nmm.simulate(network, model.state(START), ts)
    np.testing.assert_array_equal(run.ys.r, nmm.simulate(network, START, ts).ys.r)
    with pytest.raises(ValueError, match="Argument `y0` must have all modes"):
        nmm.simulate(network, model.state(START).replace(r2=jnp.asarray(0.3)), ts)
    data = nmm.sweep(network, over={"eta": [-5.0, -4.0]}, y0=START, t1=0.5, observe={"end": nmm.Final()}, progress=False)
    np.testing.assert_allclose(
        data.end_r[0], nmm.simulate(network, START, ts, dt0=0.5 / int(data.steps[0])).ys.r[-1], rtol=1e-9
    )
    assert "end_r2" not in data
    with pytest.raises(ValueError, match="Argument `observe` must observe no energy"):
        nmm.sweep(network, over={"eta": [-5.0]}, y0=START, t1=0.5, observe={"E": nmm.Mean("energy")}, progress=False)


def test_sweeps_of_noisy_neurons():
    """Gaussian noise: r is the rate of counted spikes, unbiased; a shared white noise stays shared."""
    over = {"noise": [1.0]}
    network = nmm.QIFNetwork(nmm.MPR(eta=0.0, J=0.0, Delta=0.1), 1000)
    given = {"y0": {"r": 0.2, "v": -0.1}, "t0": 5.0, "t1": 25.0, "key": jax.random.key(0), "progress": False, "dt0": 0.02}
    data = nmm.sweep(network, over=over, noise=nmm.GaussianNoise(1.0), observe={"r": nmm.Mean("r")}, **given)
    exact = nmm.stochastic.neuron_rate(0.0, 1.0, 0.1)
    np.testing.assert_allclose(data.r[0], exact, rtol=0.03)
    assert data.attrs["model"].startswith("1000 neurons of MPR(") and "Gaussian noise" in data.attrs["config"]
    two = nmm.QIFNetwork(nmm.Network(POPULATION, np.zeros((2, 2))), 300)
    given |= {"y0": START, "t0": 0.0, "t1": 1.0, "dt0": 1 / 64}
    together, apart = (
        nmm.sweep(
            two, over={"noise": [0.5]}, noise=nmm.WhiteNoise(0.5, shared=shared), observe={"r": nmm.Final("r")}, **given
        )
        for shared in (True, False)
    )
    spread = lambda data: float(abs(data.r[0, 0] - data.r[0, 1]))
    assert spread(together) < 0.3 * spread(apart)
