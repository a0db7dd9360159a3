"""Coordinates, energies and scalings: the identities of the mechanical form, for every parameter."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import MODELS, plain_field
from hypothesis import given, settings
from hypothesis import strategies as st

import nmmjax as nmm
from nmmjax import MPR, ConductanceSynapse, GapJunction, Sinusoid, State, simulate
from nmmjax.mechanics import RescaledTime

models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
Y = State(r=jnp.geomspace(0.05, 4.0, 24), v=3 * jnp.sin(jnp.arange(24.0)))
CURRENT = 0.7


def parts(model):
    """The parameters as numbers, absent terms as zeros: eta, J, Delta, tau, g, k, E_s."""
    g = 0.0 if model.gap is None else model.gap.g
    k, E_s = (0.0, 0.0) if model.conductance is None else (model.conductance.k, model.conductance.E_s)
    return tuple(float(each) for each in (model.eta, model.J, model.Delta, model.tau, g, k, E_s))


def along(f, model, y, current=0.0):
    """df/dt of a function of the state along the model's flow at constant input."""
    flow = model.vector_field(jnp.zeros_like(y.r), y, current)
    return jax.jvp(f, (y,), (flow,))[1]


def close(a, b, rtol=1e-12):
    """Equal to `rtol` of the larger of each value and the column's typical size."""
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.median(np.abs(b)))


# --- coordinates ------------------------------------------------------------------------------------------------------

ROUND_TRIPS = {
    "w, v": lambda m, y: nmm.coordinates.from_wv(m, *nmm.coordinates.to_wv(m, y)),
    "q, p": lambda m, y: nmm.coordinates.from_qp(m, *nmm.coordinates.to_qp(m, y)),
    "q, q̇": lambda m, y: nmm.coordinates.from_qqdot(m, *nmm.coordinates.to_qqdot(m, y)),
    "W": lambda m, y: nmm.coordinates.from_riccati(m, nmm.coordinates.to_riccati(m, y)),
    "Z": lambda m, y: nmm.coordinates.from_kuramoto(m, nmm.coordinates.to_kuramoto(m, y)),
}


@models
@pytest.mark.parametrize("there_and_back", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
def test_coordinates_round_trip(model, there_and_back):
    back = there_and_back(model, Y)
    close(back.r, Y.r)
    close(back.v, Y.v)


@models
def test_coordinates_mean_what_they_say(model):
    """w = 1/R, q² = 2/R, p = −v q, q̇ = τ dq/dt, W = π R + i v, Z = (1 − W*)/(1 + W*), |Z| < 1, with R = τ r."""
    R = model.tau * Y.r
    q, p = nmm.coordinates.to_qp(model, Y)
    W, Z = nmm.coordinates.to_riccati(model, Y), nmm.coordinates.to_kuramoto(model, Y)
    close(nmm.coordinates.to_wv(model, Y)[0], 1 / R)
    close(q**2, 2 / R)
    close(p, -Y.v * q)
    close(nmm.coordinates.to_qqdot(model, Y)[1], model.tau * along(lambda y: nmm.coordinates.to_qp(model, y)[0], model, Y))
    close(W, np.pi * np.asarray(R) + 1j * np.asarray(Y.v))
    close(Z * (1 + W.conj()), 1 - W.conj())
    assert np.all(np.abs(Z) < 1)


@pytest.mark.parametrize("name", ["homogeneous", "heterogeneous", "tau"])
def test_theta_form(name):
    """The theta-neuron template: z′ = ½[(z+1)²(i(η+I+Jτr) − Δ) − i(z−1)²]/τ and r = (1−|z|²)/(πτ(1+z+z*+|z|²))."""
    model = MODELS[name]
    eta, J, Delta, tau, *_ = parts(model)
    z = np.asarray(nmm.coordinates.to_kuramoto(model, Y))
    r = (1 - np.abs(z) ** 2) / (np.pi * tau * (1 + 2 * z.real + np.abs(z) ** 2))
    close(r, Y.r, 1e-11)
    dz = ((z + 1) ** 2 * (1j * (eta + CURRENT + J * tau * r) - Delta) - 1j * (z - 1) ** 2) / (2 * tau)
    close(along(lambda y: nmm.coordinates.to_kuramoto(model, y), model, Y, CURRENT), dz, 1e-11)


def test_kuramoto_modulus_of_the_published_states():
    for r, v, modulus in [(0.0811344420, -1.9616199886, 0.901101), (1.0305967988, -0.1544298830, 0.528952)]:
        assert abs(abs(complex(nmm.coordinates.to_kuramoto(MPR(), {"r": r, "v": v}))) - modulus) < 1e-6


# --- energies ---------------------------------------------------------------------------------------------------------


@models
def test_vector_field_against_plain_numpy(model):
    field = model.vector_field(jnp.zeros_like(Y.r), Y, CURRENT)
    exact = plain_field(model, np.asarray(Y.r), np.asarray(Y.v), CURRENT)
    close(field.r, exact[0], 1e-13)
    close(field.v, exact[1], 1e-13)


@models
def test_poisson_structure_rebuilds_the_vector_field(model):
    """dr/dt = r² ∂E/∂v, dv/dt = −r² ∂E/∂r − Γ ṙ/2r, from the two scalars U and Γ alone."""
    rebuilt = nmm.mechanics.hamiltonian_field(model, Y, CURRENT)
    field = model.vector_field(jnp.zeros_like(Y.r), Y, CURRENT)
    close(rebuilt.r, field.r, 1e-11)
    close(rebuilt.v, field.v, 1e-11)


def test_hamiltonian_field_of_the_homogeneous_limit():
    """At Δ = g = k = 0 the field of H is the whole vector field, at τ ≠ 1 too."""
    model = MPR(eta=1.0, J=5.0, Delta=0.0, tau=1.6)
    field = model.vector_field(jnp.zeros_like(Y.r), Y, CURRENT)
    for rebuilt in (nmm.mechanics.conservative_field(model, Y, CURRENT), nmm.mechanics.hamiltonian_field(model, Y, CURRENT)):
        close(rebuilt.r, field.r, 1e-11)
        close(rebuilt.v, field.v, 1e-11)


@models
def test_mechanical_form(model):
    """q̈ + Γ q̇ + U′ + I q = 0 along the flow; Γ and U′ as written in the theory."""
    eta, J, Delta, _, g, k, E_s = parts(model)
    q, _ = nmm.coordinates.to_qp(model, Y)
    dU = (eta + g**2 / 4) * q - (4 * np.pi**2 + k**2) / q**3 + 2 * (J + k * E_s) / q
    dU = dU - Delta * g * q**3 / (4 * np.pi) + Delta**2 * q**5 / (16 * np.pi**2)
    close(nmm.mechanics.force(model, Y, CURRENT), -dU - CURRENT * q, 1e-12)
    close(nmm.mechanics.damping(model, Y), Delta / np.pi * q**2 - g + 2 * k / q**2)
    size = np.abs(nmm.mechanics.force(model, Y, CURRENT)) + np.abs(
        nmm.mechanics.damping(model, Y) * nmm.coordinates.to_qqdot(model, Y)[1]
    )
    assert np.max(np.abs(nmm.mechanics.mechanical_residual(model, Y, CURRENT)) / size) < 1e-11


@models
def test_energy_written_out(model):
    """E = K + V with K = R′²/4R³; for MPR V = (η+I)/R + π²R − J ln R + Δ²/12π²R³ and E = H + Δv/πR² + Δ²/3π²R³."""
    eta, J, Delta, tau, g, k, _ = parts(model)
    R = tau * np.asarray(Y.r)
    dR = tau**2 * np.asarray(plain_field(model, np.asarray(Y.r), np.asarray(Y.v))[0])
    E, K, V = (f(model, Y, *rest) for f, rest in [(nmm.total_energy, (CURRENT,)), (nmm.kinetic_energy, ()),
                                                  (nmm.potential_energy, (CURRENT,))])  # fmt: skip
    close(K, dR**2 / (4 * R**3), 1e-11)
    close(E, K + V)
    if g == k == 0:
        close(V, (eta + CURRENT) / R + np.pi**2 * R - J * np.log(R) + Delta**2 / (12 * np.pi**2 * R**3))
        H = nmm.hamiltonian(model, Y, CURRENT)
        close(E, H + Delta * np.asarray(Y.v) / (np.pi * R**2) + Delta**2 / (3 * np.pi**2 * R**3), 1e-11)


@models
def test_energy_rates(model):
    """dE/dt = −Γq̇²/τ at constant input, + İ/R under input; without input in the energy −Γq̇²/τ − I d(1/R)/dt."""
    R, heat = model.tau * Y.r, nmm.mechanics.heat_rate(model, Y)
    close(heat, nmm.mechanics.damping(model, Y) * nmm.coordinates.to_qqdot(model, Y)[1] ** 2 / model.tau)
    still = along(lambda y: nmm.total_energy(model, y, CURRENT), model, Y, CURRENT)
    np.testing.assert_allclose(still, -heat, rtol=1e-10, atol=1e-11)
    port = nmm.mechanics.port_power(model, Y, CURRENT)
    close(along(lambda y: nmm.total_energy(model, y), model, Y, CURRENT), port - heat, 1e-10)
    close(port, -CURRENT * along(lambda y: 1 / (model.tau * y.r), model, Y), 1e-12)

    stimulus, t = Sinusoid(2.0, 1.3, 0.4), jnp.full_like(Y.r, 0.9)
    flow = model.vector_field(t, Y, stimulus(t))
    rate = jax.jvp(lambda t, y: nmm.total_energy(model, y, stimulus(t)), (t, Y), (jnp.ones_like(t), flow))[1]
    close(rate, 2 * 1.3 * np.cos(1.3 * 0.9 + 0.4) / R - heat, 1e-10)


@pytest.mark.parametrize("name", ["homogeneous", "heterogeneous", "tau"])
def test_hamiltonian_rate(name):
    """τ dH/dt = (Δ/π) ∂H/∂R = −(Δ/π) v̇/R² (v̇ by t/τ) at constant input: zero at Δ = 0."""
    model = MODELS[name]
    eta, J, Delta, tau, *_ = parts(model)
    R, v = tau * np.asarray(Y.r), np.asarray(Y.v)
    rate = tau * np.asarray(along(lambda y: nmm.hamiltonian(model, y, CURRENT), model, Y, CURRENT))
    size = (v**2 + abs(eta)) / R**2 + np.pi**2 + abs(J) / R
    dv = tau * plain_field(model, np.asarray(Y.r), v, CURRENT)[1]
    np.testing.assert_allclose(rate / size, -Delta / np.pi * dv / R**2 / size, atol=1e-12)
    np.testing.assert_allclose(
        rate / size, Delta / np.pi * (np.pi**2 - J / R - (v**2 + eta + CURRENT) / R**2) / size, atol=1e-12
    )


@eqx.filter_jit
def identity_errors(values, r, v, current):
    """Relative errors of the field rebuilt from energies, of the mechanical form and of dE/dt, for one random population."""
    eta, J, Delta, tau, g, k, E_s = values
    model = MPR(eta, J, Delta, tau, gap=GapJunction(g), conductance=ConductanceSynapse(k, E_s))
    y = State(r=r, v=v)
    field, rebuilt = model.vector_field(jnp.zeros_like(r), y, current), nmm.mechanics.hamiltonian_field(model, y, current)
    q, qdot = nmm.coordinates.to_qqdot(model, y)
    R = tau * r
    # The largest terms that cancel in each identity.
    size_r = (Delta / jnp.pi + 2 * R * jnp.abs(v) + (g + k * R) * R + 1e-20) / tau**2
    size_v = (
        v**2 + jnp.abs(eta) + jnp.abs(current) + jnp.abs(J) * R + (jnp.pi * R) ** 2 + k * R * (jnp.abs(E_s) + jnp.abs(v))
    )
    size_v = size_v + (g + k * R + Delta / R) * (jnp.abs(v) + Delta / R + g + k * R)
    size_E = jnp.abs(nmm.mechanics.heat_rate(model, y)) + size_v * tau * size_r / R**2
    residual = nmm.mechanics.mechanical_residual(model, y, current)
    dE = along(lambda y: nmm.total_energy(model, y, current), model, y, current) + nmm.mechanics.heat_rate(model, y)
    back = nmm.coordinates.from_qqdot(model, q, qdot)
    return jnp.stack([
        (rebuilt.r - field.r) / size_r, (rebuilt.v - field.v) * tau / size_v, residual / (size_v * q), dE / size_E,
        back.r / r - 1, (back.v - v) / (jnp.abs(v) + Delta / R + g + k * R + 1e-20),
    ])  # fmt: skip


span = lambda low, high: st.floats(low, high, allow_subnormal=False)
random_population = st.tuples(
    span(-50, 50), span(-50, 50), span(0, 10), span(0.01, 100), span(0, 5), span(0, 5), span(-10, 10)
)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(random_population, span(1e-2, 1e2), span(-50, 50), span(-20, 20))
def test_identities_hold_for_every_parameter(values, R, v, current):
    arguments = jax.tree.map(jnp.asarray, (values, R / values[3], v, current))
    assert np.max(np.abs(identity_errors(*arguments))) < 1e-10


@models
def test_identities_in_float32(model):
    """The same identities keep float32, and hold to its rounding."""
    values = tuple(jnp.asarray(each, jnp.float32) for each in parts(model))
    r, v, current = (jnp.asarray(each, jnp.float32) for each in (Y.r, Y.v, jnp.full_like(Y.r, CURRENT)))
    errors = jax.vmap(identity_errors, in_axes=(None, 0, 0, 0))(values, r, v, current)
    assert errors.dtype == jnp.float32
    assert np.max(np.abs(errors)) < 3e-5


# --- scales and clocks ------------------------------------------------------------------------------------------------

SCALINGS = {
    "rescale": lambda model: nmm.mechanics.rescale(model, 2.3),
    "strong_coupling": nmm.mechanics.strong_coupling,
    "unit_heterogeneity": nmm.mechanics.unit_heterogeneity,
}
scalings = pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)


@scalings
@pytest.mark.parametrize("name", ["heterogeneous", "tau", "everything"])
def test_scaling(name, scaling):
    """The scaled field and energy are the original's; states, times and energies come back."""
    model = MODELS[name]
    scaled = scaling(model)
    c, y = scaled.factor, scaled.to_scaled(Y)
    close(scaled.to_original(y).r, Y.r)
    close(scaled.to_original(y).v, Y.v)
    close(scaled.time_to_original(scaled.time_to_scaled(Y.r)), Y.r)
    field = scaled.model.vector_field(jnp.zeros_like(Y.r), y)  # dỹ/dt̃ = (dy/dt)/c²
    exact = plain_field(model, np.asarray(Y.r), np.asarray(Y.v))
    close(field.r * c**2, exact[0])
    close(field.v * c**2, exact[1])
    close(scaled.energy_to_original(nmm.total_energy(scaled.model, y)), nmm.total_energy(model, Y), 1e-11)


@scalings
def test_scalings_of_a_model_that_jit_closes_over(scaling):
    shape = jax.eval_shape(lambda r: scaling(MODELS["tau"]).to_scaled({"r": r, "v": r}).r, 1.0)
    assert shape.shape == ()


def test_scalings_reach_their_normal_forms():
    strong = nmm.mechanics.strong_coupling(MPR(-5.0, -20.0, 2.0, 1.5)).model
    np.testing.assert_allclose([strong.eta, strong.J, strong.Delta, strong.tau], [-5 / 400, -1, 2 / 400, 1.5], rtol=1e-15)
    unit = nmm.mechanics.unit_heterogeneity(MPR(-5.0, -20.0, 2.0, 1.5)).model
    np.testing.assert_allclose([unit.eta, unit.J, unit.Delta], [-2.5, -20 / np.sqrt(2), 1], rtol=1e-15)


@pytest.mark.parametrize(
    ("scaling", "rule"),
    [
        (lambda: nmm.mechanics.rescale(MPR(), 0.0), "`factor` must be > 0, but got 0"),
        (lambda: nmm.mechanics.rescale(MPR(), -1.0), "`factor` must be > 0, but got -1"),
        (lambda: nmm.mechanics.strong_coupling(MPR(J=0.0)), "`J` must be different from 0 .*, but got 0"),
        (lambda: nmm.mechanics.unit_heterogeneity(MPR(Delta=0.0)), "`Delta` must be > 0 .*, but got 0"),
    ],
)
def test_scalings_refuse(scaling, rule):
    with pytest.raises(ValueError, match=f"^Argument {rule}\\.$"):
        scaling()


STIMULUS, TIGHT = Sinusoid(1.2, 1.5), {"rtol": 1e-11, "atol": 1e-12}


def physical_run(ts):
    return simulate(MODELS["tau"], {"r": 0.5, "v": -0.3}, ts, stimulus=STIMULUS, **TIGHT)


def test_scaled_run_maps_back():
    """The scaled population under the scaled stimulus, mapped back, is the original run."""
    scaling, ts = nmm.mechanics.strong_coupling(MODELS["tau"]), jnp.linspace(0.0, 4.0, 13)
    stimulus = Sinusoid(STIMULUS.amplitude / scaling.factor**2, STIMULUS.omega / scaling.factor)
    y0 = scaling.to_scaled({"r": 0.5, "v": -0.3})
    scaled, plain = simulate(scaling.model, y0, scaling.time_to_scaled(ts), stimulus=stimulus, **TIGHT), physical_run(ts)
    back = scaling.to_original(scaled.ys)
    np.testing.assert_allclose(scaling.time_to_original(scaled.ts), plain.ts, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(back.r, plain.ys.r, rtol=1e-9)
    np.testing.assert_allclose(back.v, plain.ys.v, rtol=1e-9, atol=1e-9)


def test_rescaled_clock_gives_the_same_orbit():
    """On ds = r² dt the state at s is the physical run's at the time column t(s); the stimulus stays a function of t."""
    clocked = simulate(
        RescaledTime(MODELS["tau"]), {"r": 0.5, "v": -0.3}, jnp.linspace(0.0, 0.3, 13), stimulus=STIMULUS, **TIGHT
    )
    times = clocked.ys.t
    assert times[0] == 0 and np.all(np.diff(times) > 0) and times[-1] > 1
    plain = physical_run(times)
    np.testing.assert_allclose(clocked.ys.r, plain.ys.r, rtol=1e-9)
    np.testing.assert_allclose(clocked.ys.v, plain.ys.v, rtol=1e-9, atol=1e-9)


def test_rescaled_run_reports_the_input_at_physical_times():
    run = simulate(
        RescaledTime(MODELS["tau"]), {"r": 0.5, "v": -0.3}, jnp.linspace(0.0, 0.3, 13), stimulus=STIMULUS, **TIGHT
    )
    np.testing.assert_allclose(run.input, STIMULUS(run.ys.t), rtol=1e-12)


def test_rescaled_clock_refuses_jumps():
    """Where a jump in t lies on the clock s is not known before the run."""
    with pytest.raises(ValueError, match="Argument `stimulus` must be without jumps for RescaledTime"):
        simulate(RescaledTime(MODELS["tau"]), {"r": 0.5, "v": -0.3}, [0.0, 0.3], stimulus=nmm.Pulse(1.0, 0.0, 1.0))


def test_rescaled_clock_accepts_states_without_time():
    model = RescaledTime(MODELS["tau"])
    assert model.state({"r": 0.5, "v": -0.3}).t == 0
    assert model.state({"r": 0.5, "v": -0.3, "t": 2.0}).t == 2
    with pytest.raises(ValueError, match="Argument `w` must be one of the state names"):
        model.state({"r": 0.5, "v": -0.3, "w": 2.0})
