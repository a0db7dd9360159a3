"""Synapses: exact at held rates, right rhythms (Hopf points, periods, extremes), exact books, geometric steps."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import rest_slow
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import nmmjax as nmm
from nmmjax.equilibria.stability import jacobian
from nmmjax.equilibria.steady import find_equilibria
from nmmjax.mechanics import pump_power, stored_energy

KINDS = {
    "exponential": nmm.ExponentialSynapse(tau=0.5),
    "alpha": nmm.AlphaSynapse(tau=0.5),
    "double": nmm.DoubleExponentialSynapse(tau_rise=0.1, tau_decay=0.7),
}
HOPFS = {  # (η, J) = (4, −21): synapse, Δ, R, ω of (λ − 2v)² + 4π²R² + 42 R (1 + Tλ)^(−n) = 0
    "first order, T = 0.5": (nmm.ExponentialSynapse(tau=0.5), 0.47427526, 0.18287209, 2.30301287),
    "first order, T = 0.25": (nmm.ExponentialSynapse(tau=0.25), 0.3733837, 0.18035785, 2.64391015),
    "second order, T = 0.5": (nmm.AlphaSynapse(tau=0.5), 0.7196708, 0.19059938, 1.81648038),
    "second order, T = 0.25": (nmm.AlphaSynapse(tau=0.25), 0.64779925, 0.18814041, 2.34112121),
}
CYCLES = {"exponential": (2.757911, 0.03119, 1.2933828), "alpha": (3.4968011, 0.02074, 2.115019)}  # at Δ = 0.3
Y0 = {"r": 0.4, "v": 0.3}


def population(kind, **parameters):
    return nmm.MPR(**({"eta": 4.0, "J": -21.0, "Delta": 0.3} | parameters), synapse=KINDS[kind])


@pytest.mark.parametrize("name", HOPFS)
def test_hopf_points_are_those_of_the_characteristic_equation(name):
    synapse, Delta, R, omega = HOPFS[name]
    model = nmm.MPR(eta=4.0, J=-21.0, Delta=1.01 * Delta, synapse=synapse)
    found = nmm.find_hopf(model, "Delta", {"r": R, "v": -0.4})
    np.testing.assert_allclose([found.parameter, found.state.r, found.omega], [Delta, R, omega], rtol=3e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_transfer_functions_are_those_of_the_chain(kind):
    """s of r = e^(λt), from the last row of (λ − A)⁻¹ B of x′ = A x + B r."""
    synapse, rates = KINDS[kind], jnp.asarray([0.3 + 1.7j, -0.2 - 4.0j, 2.5, 1j])
    names = list(synapse.stages)
    state = nmm.State(r=0.0, **dict.fromkeys(names, 0.0))
    slopes = jax.jacobian(synapse.rates)(state)
    A = np.array([[getattr(slopes[row], name) for name in names] for row in names])
    B = np.array([slopes[row].r for row in names])
    expected = [np.linalg.solve(each * np.eye(len(names)) - A, B)[-1] for each in np.asarray(rates)]
    np.testing.assert_allclose(synapse.transfer(rates), expected, rtol=1e-14)
    np.testing.assert_allclose(synapse.transfer(1j), expected[-1], rtol=1e-14)


@pytest.mark.parametrize("kind", rest_slow(CYCLES, "exponential"))
def test_cycles_have_the_known_periods_and_extremes(kind):
    period, low, high = CYCLES[kind]
    model = population(kind)
    y = nmm.simulate(model, Y0, jnp.asarray([0.0, 80.0]), rtol=1e-10, atol=1e-12).y_end
    spikes = nmm.find_spikes(nmm.simulate(model, y, jnp.linspace(0.0, 12.0, 1201), rtol=1e-11, atol=1e-13))
    np.testing.assert_allclose(np.diff(spikes.time)[1:], period, atol=1e-6)
    np.testing.assert_allclose(spikes.peak[1:], high, atol=1e-6)
    np.testing.assert_allclose(spikes.trough[1:], low, atol=1e-5)


def test_ping_is_that_of_the_virtual_brain():
    """Period 20.8111911 ms, r_e from 4.667 to 158.66 Hz, r_i from 7.577 to 726.06 Hz; Hopf point at I_e = 7.6878198."""
    network = nmm.ping()
    y = nmm.simulate(network, {"r": 0.02, "v": -1.0}, jnp.asarray([0.0, 900.0]), rtol=1e-9, atol=1e-11).y_end
    run = nmm.simulate(network, y, jnp.linspace(0.0, 45.0, 45_001), rtol=1e-10, atol=1e-12)
    r = np.asarray(run.ys.r) * 1e3
    np.testing.assert_allclose(r.min(axis=0), [4.667, 7.577], atol=6e-4)
    np.testing.assert_allclose(r.max(axis=0), [158.66, 726.06], atol=6e-3)
    tops = np.flatnonzero((r[1:-1, 0] > r[:-2, 0]) & (r[1:-1, 0] > r[2:, 0])) + 1
    curve = [np.polyfit(run.ts[k - 1 : k + 2] - run.ts[k], r[k - 1 : k + 2, 0], 2) for k in tops]
    times = [float(run.ts[k]) - c[1] / (2 * c[0]) for k, c in zip(tops, curve, strict=True)]
    np.testing.assert_allclose(np.diff(times), 20.8111911, atol=2e-6)


def test_ping_is_born_in_a_hopf_point():
    """At I_e = 7.6878198, ω = 0.18977547 per ms, r = (27.51014, 15.17053) Hz."""
    found = {}
    for I in (7.6878, 7.68784):
        network = nmm.ping(I_e=I)
        y = nmm.find_fixed_point(network, {"r": [0.0275, 0.0152], "v": -0.5})
        values = np.linalg.eigvals(np.asarray(jacobian(network, y, 0.0)))
        found[I] = values[np.argmax(values.real)]
        np.testing.assert_allclose(y.r * 1e3, [27.51014, 15.17053], rtol=1e-5)
    low, high = found.values()
    assert low.real < 0 < high.real
    np.testing.assert_allclose(7.6878 - low.real * 4e-5 / (high.real - low.real), 7.6878198, atol=2e-7)
    np.testing.assert_allclose(abs(low.imag), 0.18977547, rtol=1e-5)


@pytest.mark.slow
def test_ing_is_a_rhythm_of_the_gamma_band():
    run = nmm.simulate(nmm.ing(), {"r": 0.04, "v": 0.3}, jnp.linspace(0.0, 600.0, 6001), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(np.diff(nmm.find_spikes(run).time)[-3:], 27.57911, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 5), st.floats(0.01, 5), st.floats(0.01, 3), st.floats(0, 4), st.floats(0, 4), st.floats(0.001, 20))
def test_a_held_rate_is_solved_exactly(rise, decay, r, z, s, h):
    synapse = nmm.DoubleExponentialSynapse(tau_rise=rise, tau_decay=decay)
    numbers = jax.tree.map(jnp.asarray, (r, {"z": z, "s": s}, h))
    after, passed = synapse.held(*numbers)
    field = lambda t, y: [(r - y[0]) / rise, (y[0] - y[1]) / decay, y[1]]
    wanted = solve_ivp(field, (0, h), [z, s, 0], method="LSODA", rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose([after["z"], after["s"], passed], wanted, rtol=1e-6, atol=1e-8)


def test_equal_time_constants_are_an_alpha_function_with_its_derivative():
    held = lambda rise: nmm.DoubleExponentialSynapse(tau_rise=rise, tau_decay=0.5).held(
        jnp.asarray(0.7), {"z": jnp.asarray(0.1), "s": jnp.asarray(0.4)}, jnp.asarray(0.3)
    )
    alpha = nmm.AlphaSynapse(tau=0.5).held(
        jnp.asarray(0.7), {"z": jnp.asarray(0.1), "s": jnp.asarray(0.4)}, jnp.asarray(0.3)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-14), held(0.5), alpha)
    output = lambda rise: held(rise)[0]["s"]
    differences = (output(0.5 + 1e-4) - output(0.5 - 1e-4)) / 2e-4
    np.testing.assert_allclose(jax.grad(output)(0.5), differences, rtol=1e-6)


CIRCUITS = {
    "a conductance": (nmm.coombes_byrne(), {"r": 0.5, "v": 0.2}),
    "exponential": (population("exponential"), Y0),
    "alpha, gap junctions, τ": (population("alpha", tau=2.0, gap=nmm.GapJunction(0.2)), Y0),
    "a network": (
        nmm.Network(nmm.MPR(eta=4.0, J=-5.0, Delta=0.3, synapse=KINDS["double"]), jnp.asarray([[0.0, -8.0], [6.0, 0.0]])),
        {"r": [0.4, 0.2], "v": [0.3, 0.0]},
    ),
}


@pytest.mark.parametrize("order", rest_slow([2, 4], 4))
@pytest.mark.parametrize("name", CIRCUITS)
def test_splitting_has_its_order(name, order):
    model, y0 = CIRCUITS[name]
    ts = jnp.asarray([0.0, 2.0])
    exact = nmm.simulate(model, y0, ts, solver=diffrax.Dopri8(), rtol=1e-12, atol=1e-14).y_end
    steps, errors = np.array([0.05, 0.025, 0.0125]), []
    for h in steps:
        end = nmm.simulate(model, y0, ts, solver=nmm.MobiusSplitting(order), dt0=h).y_end
        errors.append(
            max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(jax.tree.leaves(end), jax.tree.leaves(exact), strict=True))
        )
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.15)


def test_adaptive_extrapolation_keeps_its_tolerance():
    model, y0 = CIRCUITS["exponential"]
    run = nmm.simulate(model, y0, jnp.asarray([0.0, 3.0]), solver=nmm.MobiusExtrapolation(), rtol=1e-9, atol=1e-11)
    exact = nmm.simulate(model, y0, jnp.asarray([0.0, 3.0]), solver=diffrax.Dopri8(), rtol=1e-12, atol=1e-14).y_end
    for name in ("r", "v", "s"):
        np.testing.assert_allclose(getattr(run.y_end, name), getattr(exact, name), rtol=1e-7)


def test_rates_stay_positive_at_any_step(key):
    """Random populations with synapses, steps up to 1."""
    draws = jax.random.uniform(key, (200, 8))

    def least(u):
        synapse = nmm.DoubleExponentialSynapse(tau_rise=0.05 + u[0], tau_decay=0.05 + 2 * u[1])
        model = nmm.MPR(eta=20 * u[2] - 10, J=60 * u[3] - 30, Delta=2 * u[4], synapse=synapse)
        solver, h, term = nmm.MobiusSplitting(4), 0.05 + 0.95 * u[5], nmm.extend.PopulationTerm(model)

        def step(y, t):
            after = solver.advance(term, t, t + h, y)[0]
            return after, after.r

        y = nmm.State(r=0.01 + u[6], v=6 * u[7] - 3, s=0.1 + u[6], z=0.1 + u[6])
        return jnp.min(jax.lax.scan(step, y, h * jnp.arange(60.0))[1])

    found = jax.jit(jax.vmap(least))(draws)
    assert jnp.all(found > 0), found.min()


def test_gradients_pass_through_splitting():
    def end(tau):
        model = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=tau))
        return nmm.simulate(model, Y0, jnp.asarray([0.0, 2.0]), solver=nmm.MobiusSplitting(4), dt0=0.02).y_end.r

    np.testing.assert_allclose(jax.grad(end)(0.5), (end(0.5 + 1e-5) - end(0.5 - 1e-5)) / 2e-5, rtol=1e-6)


def test_heat_is_what_the_inhibitory_synapse_pumps():
    """Over one cycle at (η, J, Δ, τ_s) = (4, −10.5, 0.3, 0.5): 91.786627, by DOP853."""
    model = population("exponential", J=-10.5)
    y = nmm.simulate(model, Y0, jnp.asarray([0.0, 120.0]), rtol=1e-10, atol=1e-12).y_end
    spikes = nmm.find_spikes(nmm.simulate(model, y, jnp.linspace(0.0, 8.0, 801), rtol=1e-12, atol=1e-14))
    start, period = jax.tree.map(lambda each: each[-2], spikes.state), float(spikes.time[-1] - spikes.time[-2])
    run = nmm.simulate(model, start, jnp.linspace(0.0, period, 401), rtol=1e-12, atol=1e-14)
    balance = nmm.energy_balance(run)
    np.testing.assert_allclose([balance.heat[-1], balance.pump["s"][-1]], 91.786627, rtol=1e-8)
    assert np.all(np.diff(balance.pump["s"]) >= 0) and balance.relative < 1e-9
    assert "pumped by s 91.7866" in repr(balance)


FEEDBACKS = {  # model, slow variable, its pump as a formula of (r, the variable)
    "synapse": (
        nmm.MPR(eta=1.0, J=6.0, Delta=0.5, tau=1.7, synapse=nmm.ExponentialSynapse(tau=0.7)),
        "s",
        lambda r, s: -6.0 * (r - s) ** 2 / (0.7 * r * s),
    ),
    "adaptation": (
        nmm.MPR(tau=1.7, adaptation=nmm.SpikeFrequencyAdaptation(alpha=0.3, tau=4.0, kernel="exponential")),
        "A",
        lambda r, A: 0.3 / 1.7 * (r - A / 1.2) ** 2 / (r * A / 1.2),
    ),
    "depression": (
        nmm.MPR(J=6.0, tau=1.7, adaptation=nmm.SynapticDepression(alpha=0.3, tau=4.0, kernel="exponential")),
        "A",
        lambda r, A: 6.0 * 0.3 * (r - A / 1.2) * np.log(r * 1.2 / A),
    ),
}


@pytest.mark.parametrize("name", FEEDBACKS)
def test_feedback_pumps_or_dissipates_by_its_sign(name):
    model, slow, formula = FEEDBACKS[name]
    rng = np.random.default_rng(0)
    r, v, x = rng.uniform(0.05, 2, 50), rng.normal(size=50), rng.uniform(0.05, 0.9, 50)
    found = pump_power(model, {"r": r, "v": v, slow: x})[slow]
    np.testing.assert_allclose(found, formula(r, x), rtol=1e-9, atol=1e-12)
    assert np.all(found <= 1e-12) if name == "synapse" else np.all(found >= -1e-12)
    assert set(stored_energy(model, {"r": r, "v": v, slow: x})) == {slow}


PASSIVE = {  # a population, and whether it is proved that it comes to rest
    "plain": (nmm.MPR(), True),
    "without damping": (nmm.MPR(Delta=0.0), False),
    "gap junctions": (nmm.MPR(gap=nmm.GapJunction(0.1)), False),
    "gap junctions under wide couplings": (
        nmm.MPR(gap=nmm.GapJunction(0.1), coupling_heterogeneity=nmm.CouplingHeterogeneity(1.0)),
        True,
    ),
    "conductance": (nmm.MPR(Delta=0.0, conductance=nmm.ConductanceSynapse(0.1)), True),
    "excitation": (nmm.MPR(J=2.0, synapse=KINDS["exponential"]), True),
    "inhibition": (nmm.MPR(J=-2.0, synapse=KINDS["exponential"]), False),
    "alpha": (nmm.MPR(J=2.0, synapse=KINDS["alpha"]), False),
    "dynamic conductance": (nmm.MPR(J=2.0, synapse=nmm.ExponentialSynapse(1.0, 0.1, 0.0)), False),
    "adaptation": (nmm.MPR(adaptation=nmm.SpikeFrequencyAdaptation(0.1, 2.0, kernel="exponential")), False),
    "wide, filtered": (
        nmm.MPR(J=2.0, synapse=KINDS["exponential"], coupling_heterogeneity=nmm.CouplingHeterogeneity(1.0)),
        False,
    ),
}


@pytest.mark.parametrize("name", PASSIVE)
def test_what_is_proved_to_come_to_rest(name):
    model, proved = PASSIVE[name]
    assert bool(model.passive) == bool(model.tilted(jnp.asarray(1.0)).passive) == proved


def test_an_instantaneous_synapse_has_the_energy_of_none():
    """At s = r the energy with its store is that of the population without a synapse."""
    y = {"r": np.array([0.2, 1.3]), "v": np.array([-0.4, 0.8])}
    model = population("exponential", tau=1.6)
    with_synapse = nmm.total_energy(model, y | {"s": y["r"]}) + stored_energy(model, y | {"s": y["r"]})["s"]
    np.testing.assert_allclose(with_synapse, nmm.total_energy(nmm.MPR(4.0, -21.0, 0.3, tau=1.6), y), rtol=1e-13)


def test_excitation_through_a_synapse_comes_to_rest(key):
    """E with its store never rises in 1000 random passive populations: no oscillation for any τ_s."""
    u = jax.random.uniform(key, (1000, 6))

    def course(u):
        synapse = nmm.ExponentialSynapse(tau=10 ** (3 * u[0] - 2))
        model = nmm.MPR(eta=12 * u[1] - 8, J=30 * u[2], Delta=0.05 + 1.5 * u[3], synapse=synapse)
        solver, term = nmm.MobiusSplitting(4), nmm.extend.PopulationTerm(model)

        def step(y, t):
            y = solver.advance(term, t, t + 2e-3, y)[0]
            return y, model.potential(model.position(y)[0])

        def energy(y):
            return nmm.total_energy(model, y) + stored_energy(model, y)["s"]

        y = nmm.State(r=0.05 + u[4], v=4 * u[5] - 2, s=0.05 + u[5])
        first = energy(y)
        return jax.lax.scan(lambda y, t: (lambda z: (z, energy(z)))(step(y, t)[0]), y, 2e-3 * jnp.arange(400.0))[1], first

    energies, first = jax.jit(jax.vmap(course))(u)
    courses = np.concatenate([first[:, None], energies], axis=1)
    assert np.all(np.diff(courses, axis=1) <= 1e-9 * (1 + np.abs(courses[:, 1:])))


def test_coombes_and_byrnes_conductance_has_its_fixed_point_and_balance():
    """Fixed point, eigenvalues; and an energy balance that closes though g moves q̇."""
    model = nmm.coombes_byrne()
    y = nmm.find_fixed_point(model, {"r": 0.5, "v": 0.7})
    np.testing.assert_allclose([y.r, y.v, jnp.pi * y.s], [0.52790447, 0.67848821, 1.65846079], rtol=1e-7)
    found = np.linalg.eigvals(np.asarray(jacobian(model, y, 0.0)))
    wanted = [0.09834 + 2.98335j, 0.09834 - 2.98335j, -1.34982 + 1.71461j, -1.34982 - 1.71461j]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    run = nmm.simulate(model, {"r": 0.5, "v": 0.7}, jnp.linspace(0.0, 3.0, 101), rtol=1e-10, atol=1e-12)
    assert nmm.energy_balance(run).relative < 1e-9


@pytest.mark.slow
def test_coombes_and_byrnes_conductance_has_its_rhythm():
    """Period 2.0829, r from 0.2063 to 1.4394."""
    model = nmm.coombes_byrne()
    y = nmm.simulate(model, {"r": 0.5, "v": 0.7}, jnp.asarray([0.0, 150.0]), rtol=1e-9, atol=1e-11).y_end
    run = nmm.simulate(model, y, jnp.linspace(0.0, 8.0, 801), rtol=1e-10, atol=1e-12)
    spikes = nmm.find_spikes(run)
    np.testing.assert_allclose(np.diff(spikes.time), 2.0829, atol=6e-5)
    np.testing.assert_allclose([spikes.peak[-1], spikes.trough[-1]], [1.4394, 0.2063], atol=6e-5)


def test_a_leak_is_a_current_beside_every_other_term():
    """The field rebuilt from U and Γ with gap junctions, an instantaneous conductance and a leak together."""
    terms = {"gap": nmm.GapJunction(0.4), "conductance": nmm.ConductanceSynapse(0.6, -1.2), "leak": nmm.Leak(0.9, -2.0)}
    model = nmm.MPR(eta=1.0, J=3.0, Delta=0.7, tau=1.3, **terms)
    rng = np.random.default_rng(1)
    y = {"r": rng.uniform(0.1, 2, 20), "v": rng.normal(size=20)}
    np.testing.assert_allclose(nmm.mechanics.mechanical_residual(model, y, 0.3), 0, atol=1e-12)


@pytest.mark.parametrize("E", [-30.0, 0.0, 60.0])
def test_a_leak_alone_is_a_current_in_landscapes_and_scalings(E):
    """Rates of all fixed points are those of η + g E − g²/4, also far beyond the bounds of η alone."""
    leaky, plain = nmm.MPR(eta=-4.0, leak=nmm.Leak(0.5, E)), nmm.MPR(eta=-4.0 + 0.5 * E - 0.0625)
    np.testing.assert_allclose(nmm.energy_landscape(leaky).state.r, nmm.energy_landscape(plain).state.r, rtol=1e-9)
    scaled = nmm.mechanics.rescale(leaky, 2.0).model
    np.testing.assert_allclose(nmm.energy_landscape(scaled).state.r, nmm.energy_landscape(leaky).state.r / 2, rtol=1e-9)


def test_resting_states_know_the_synapses_conductance():
    """Equilibria that scan the force settle at the voltage under the conductance: the field vanishes there."""
    model = nmm.coombes_byrne(eta=10.0)
    found = find_equilibria(model).state
    real = jax.tree.map(lambda each: each[jnp.isfinite(found.r)], found)
    assert real.r.size >= 1
    np.testing.assert_allclose(jax.tree.leaves(model.vector_field(jnp.zeros(()), real)), 0, atol=1e-6)


def test_terms_that_scale_one_coupling_have_no_store_together():
    depressed = {
        "adaptation": nmm.SynapticDepression(alpha=0.3, tau=4.0, kernel="exponential"),
        "synapse": KINDS["exponential"],
    }
    y = {"r": 0.4, "v": 0.1, "s": 0.3, "A": 0.2}
    assert stored_energy(nmm.MPR(**depressed), y) == {}
    adapted = depressed | {"adaptation": nmm.SpikeFrequencyAdaptation(alpha=0.3, tau=4.0, kernel="exponential")}
    assert set(pump_power(nmm.MPR(**adapted), y)) == {"A", "s"}


def test_a_held_conductance_is_a_leak():
    model = nmm.MPR(tau=1.4, synapse=nmm.ExponentialSynapse(tau=1.0, strength=0.8, reversal=-2.0))
    y = nmm.State(r=jnp.asarray(0.3), v=jnp.asarray(0.2), s=jnp.asarray(0.5))
    frozen = model.frozen(y)
    np.testing.assert_allclose([frozen.leak.g, frozen.leak.E], [0.8 * 1.4 * 0.5, -2.0])
    flow, held = model.vector_field(jnp.zeros(()), y), frozen.vector_field(jnp.zeros(()), nmm.State(r=y.r, v=y.v))
    np.testing.assert_allclose([flow.r, flow.v], [held.r, held.v], rtol=1e-14)


def test_two_variables_have_no_store():
    y = {"r": 0.4, "v": 0.1, "s": 0.3, "z": 0.2}
    assert stored_energy(population("alpha"), y) == {} and pump_power(population("alpha"), y) == {}


def test_a_synapse_starts_at_the_rate():
    state = population("double").state({"r": 0.7, "v": 0.0})
    assert state.s == 0.7 and state.z == 0.7
    network = nmm.ping()
    np.testing.assert_array_equal(network.state({"r": [0.1, 0.3], "v": 0.0}).s, [0.1, 0.3])


def test_a_sweep_takes_synapses():
    over = {"synapse.tau": [0.3, 0.5]}
    result = nmm.sweep(population("exponential"), over=over, y0=Y0, t1=4.0, observe={"r": nmm.Final("r")}, progress=False)
    for tau, r in zip(over["synapse.tau"], result.r.values, strict=True):
        model = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=tau))
        np.testing.assert_allclose(
            r, nmm.simulate(model, Y0, jnp.asarray([0.0, 4.0]), rtol=1e-10, atol=1e-12).y_end.r, rtol=1e-4
        )


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: nmm.ExponentialSynapse(tau=0.0), "`tau` must be > 0, but got 0"),
        (lambda: nmm.DoubleExponentialSynapse(tau_rise=-1.0, tau_decay=1.0), "`tau_rise` must be > 0, but got -1"),
        (lambda: nmm.AlphaSynapse(), "`tau` must be given to AlphaSynapse"),
        (lambda: nmm.MPR(gap=nmm.ExponentialSynapse(tau=1.0)), "`gap` must be None or a `GapJunction`"),
        (lambda: nmm.ing(J=1.0), "`J` must be ≤ 0, but got 1"),
        (lambda: nmm.ing(kernel="beta"), "`kernel` must be 'exponential' or 'alpha', but got 'beta'"),
        (lambda: nmm.ping(J_ei=3.0), "`J_ei` must be ≤ 0, but got 3"),
        (lambda: nmm.ping(J_ie=-3.0), "`J_ie` must be ≥ 0, but got -3"),
        (lambda: nmm.dumont_gutkin(tau_s=0.0), "`tau` must be > 0, but got 0"),
        (lambda: nmm.ExponentialSynapse(tau=1.0, reversal=-2.0), "`reversal` must be given together with `strength`"),
        (lambda: nmm.AlphaSynapse(tau=1.0, strength=-1.0, reversal=0.0), "`strength` must be ≥ 0, but got -1"),
        (lambda: nmm.coombes_byrne(alpha=0.0), "`alpha` must be > 0, but got 0"),
        (lambda: nmm.MPR(leak=1.0), "`leak` must be None or a `Leak`"),
    ],
)
def test_mistakes_are_one_sentence(call, match, unchecked):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("make", [nmm.ing, nmm.ping, nmm.dumont_gutkin, nmm.coombes_byrne, nmm.izhikevich])
def test_circuits_print_their_units_and_source(make):
    printed = str(make())
    assert "(20" in printed.split("\n")[-1] and ("ms" in printed or "time" in printed or "dimensionless" in printed)
    assert "note" not in printed and "note" not in str(nmm.simulate(make(), {"r": 0.1, "v": 0.0}, jnp.asarray([0.0, 0.1])))
