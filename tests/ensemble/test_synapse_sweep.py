"""Synapses in sweeps: the processed splitting's order, positive rates, gradients, networks, noise, and float32."""

import itertools
import json

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.ensemble.synapse_splitting import synapse_stretch
from nmmjax.mechanics.channels import Problem

SYNAPSES = {
    "exponential": nmm.ExponentialSynapse(tau=0.5),
    "alpha": nmm.AlphaSynapse(tau=0.4),
    "two": nmm.DoubleExponentialSynapse(tau_rise=0.3, tau_decay=0.7),
}
Y0 = {"r": 0.4, "v": 0.3}


def ing(synapse="exponential", **parameters):
    return nmm.MPR(**({"eta": 4.0, "J": -21.0, "Delta": 0.3} | parameters), synapse=SYNAPSES[synapse])


def circuit(synapse):
    return nmm.excitatory_inhibitory(
        eta=(4.0, 1.0),
        J_ee=2.0,
        J_ei=-12.0,
        J_ie=10.0,
        J_ii=-1.0,
        Delta=(0.3, 0.4),
        tau=(1.0, 1.5),
        synapse=SYNAPSES[synapse],
    )


@jax.jit
def steps_of(problem, t1, number):
    """The state after `number` steps of the sweep's own integrator."""
    stretch = synapse_stretch(problem, jnp.zeros_like(t1), t1, number.astype(float))
    z = jax.lax.fori_loop(0, number, lambda i, z: stretch.advance(i.astype(float), z), stretch.enter(problem.y0))
    return stretch.leave(number.astype(float), z)


@pytest.mark.parametrize(
    ("synapse", "kind"),
    [
        ("exponential", "one"),
        ("alpha", "driven"),
        ("two", "circuit"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("two", "one"), ("exponential", "driven"), ("alpha", "circuit"))
        ),
    ],
)
def test_the_order_is_4_and_6_extrapolated(synapse, kind):
    """Regression over halved steps, of a population, one under a changing input and with its own τ, and an E–I circuit."""
    model = {"one": ing(synapse), "driven": ing(synapse, J=8.0, eta=1.0, tau=2.0), "circuit": circuit(synapse)}[kind]
    stimulus = nmm.Sinusoid(amplitude=1.0, omega=2.0) if kind == "driven" else None
    problem = Problem(model, model.state(Y0), stimulus)
    numbers = (50, 100, 200, 400)
    found = [steps_of(problem, jnp.asarray(3.0), jnp.asarray(n)) for n in numbers]
    exact = nmm.simulate(
        model, Y0, jnp.asarray([0.0, 3.0]), stimulus=stimulus, solver=diffrax.Dopri8(), rtol=1e-12, atol=1e-13
    ).y_end
    flat = lambda y: np.concatenate([np.ravel(getattr(y, name)) for name in exact.names])
    rows = [flat(each) for each in found]
    better = [(16 * b - a) / 15 for a, b in itertools.pairwise(rows[:3])]
    errors = [np.abs(each - flat(exact)).max() for each in rows]
    slope = np.polyfit(np.log(numbers[1:]), np.log(errors[1:]), 1)[0]
    assert -4.35 < slope < -3.8, errors
    assert errors[-1] < 2e-6
    assert np.abs(better[1] - flat(exact)).max() < np.abs(better[0] - flat(exact)).max() / 25, better


def test_rates_stay_positive_at_any_step(key):
    """Random populations and steps up to 1."""
    draws = jax.random.uniform(key, (300, 8))

    def least(u):
        synapse = nmm.DoubleExponentialSynapse(tau_rise=0.05 + u[0], tau_decay=0.05 + 2 * u[1])
        model = nmm.MPR(eta=20 * u[2] - 10, J=60 * u[3] - 30, Delta=2 * u[4], synapse=synapse)
        y0 = nmm.State(r=0.01 + u[6], v=6 * u[7] - 3, s=0.1 + u[6], z=0.1 + u[6])
        h = 0.05 + 0.95 * u[5]
        stretch = synapse_stretch(Problem(model, y0), jnp.asarray(0.0), 60 * h, jnp.asarray(60.0))

        def step(z, i):
            z = stretch.advance(i, z)
            return z, stretch.leave(i + 1, z).r

        return jnp.min(jax.lax.scan(step, stretch.enter(y0), jnp.arange(60.0))[1])

    found = jax.jit(jax.vmap(least))(draws)
    assert jnp.all(found > 0), found.min()


def test_a_sweep_is_what_single_runs_are():
    """Final state, largest and mean rate of random populations, at the sweep's own tolerance."""
    rng = np.random.default_rng(3)
    over = {"J": ("lane", rng.uniform(-25, 6, 6)), "synapse.tau": ("lane", rng.uniform(0.1, 1.0, 6))}
    result = nmm.sweep(ing(), over=over, y0=Y0, t1=10.0, observe={"end": nmm.Final(), "peak": nmm.Peak("r")})
    assert "with synapses" in json.loads(result.attrs["config"])["solver"]
    ts = jnp.linspace(0.0, 10.0, 4001)

    def one(J, tau):
        model = nmm.MPR(eta=4.0, J=J, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=tau))
        return nmm.simulate(model, Y0, ts, rtol=1e-10, atol=1e-12).ys

    ys = jax.lax.map(lambda each: one(*each), (jnp.asarray(over["J"][1]), jnp.asarray(over["synapse.tau"][1])))
    for name in ("r", "v", "s"):
        np.testing.assert_allclose(result[f"end_{name}"], getattr(ys, name)[:, -1], rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(result.peak, ys.r.max(axis=1), rtol=1e-4)


def test_gradients_are_those_of_differences():
    """By η and the synapse's time constant, and equal to those of `simulate`."""
    names = ("eta", "synapse.tau")
    settings = {"y0": Y0, "t1": 3.0, "observe": {"end": nmm.Final("r")}}
    result = nmm.sweep(ing(), over={"J": [-21.0, -5.0]}, gradient=names, **settings)
    for name, value in (("eta", 4.0), ("synapse.tau", 0.5)):
        near = nmm.sweep(ing(), over={name: value + np.array([-1e-4, 1e-4])}, rtol=1e-11, **settings).end.values
        np.testing.assert_allclose(result[f"d_end_d_{name}"][0], np.diff(near)[0] / 2e-4, rtol=1e-5)


def test_fast_synapses_are_solved_and_approach_none():
    """τ_s from 1e-3 on: s follows r, to first order in τ_s; no lane spoils another."""
    over = {"synapse.tau": [1e-3, 1e-2, 0.5]}
    result = nmm.sweep(ing(), over=over, y0=Y0, t1=2.0, observe={"end": nmm.Final()})
    assert np.all(result.status == 0)
    none = nmm.simulate(nmm.MPR(4.0, -21.0, 0.3), Y0, jnp.asarray([0.0, 2.0]), rtol=1e-10, atol=1e-12).y_end.r
    away = np.abs(result.end_r.values - float(none))
    assert away[0] < away[1] / 5 < away[2] / 5


def test_circuits_are_swept():
    """An E–I circuit over the weight scale, and its inputs per node."""
    network = circuit("alpha")
    result = nmm.sweep(network, over={"gain": [0.5, 1.0]}, y0=Y0, t1=5.0, observe={"end": nmm.Final()})
    for k, gain in enumerate((0.5, 1.0)):
        model = nmm.Network(network.node, network.weights, gain=gain)
        exact = nmm.simulate(model, Y0, jnp.asarray([0.0, 5.0]), rtol=1e-10, atol=1e-12).y_end
        np.testing.assert_allclose(result.end_r[k], exact.r, rtol=1e-6)
        np.testing.assert_allclose(result.end_s[k], exact.s, rtol=1e-6)


def test_noise_heats_what_the_synapse_and_the_spread_cool():
    """Exact (docs/theory.md §C6): (Δ/π) ⟨q² q̇²⟩ = D ⟨q²⟩ − J τ_s ⟨ṡ²/(r s)⟩ for white noise D on v, excitation J."""
    J, Delta, tau, D = 3.0, 0.7, 0.5, 0.4
    model = nmm.MPR(eta=-1.0, J=J, Delta=Delta, synapse=nmm.ExponentialSynapse(tau=tau))

    def means(y):
        q = jnp.sqrt(2 / y.r)
        speed = -q / 2 * (Delta / jnp.pi / y.r + 2 * y.v)
        return {
            "heat": Delta / jnp.pi * (q * speed) ** 2,
            "bath": D * q**2,
            "loss": J * (y.r - y.s) ** 2 / (tau * y.r * y.s),
        }

    def average(name):
        add = lambda total, point: total + point.weight * means(point.y)[name]
        return nmm.Custom(lambda point: 0 * point.t, add, lambda total, duration: total / duration, name=name)

    observe = {name: average(name) for name in ("heat", "bath", "loss")}
    result = nmm.sweep(
        model,
        over={"eta": np.full(256, -1.0)},
        y0={"r": 0.2, "v": 0.0},
        t0=10.0,
        t1=110.0,
        dt0=0.02,
        noise=D,
        key=jax.random.key(1),
        observe=observe,
    )
    residual = (result.bath - result.heat - result.loss).values
    error = residual.std() / np.sqrt(residual.size)
    assert abs(residual.mean()) < 4 * error + 2e-3 * result.bath.values.mean(), (residual.mean(), error)
    assert result.loss.values.mean() > 5 * error


def test_float32_is_as_exact_as_it_can_be():
    over = {"J": [-21.0, -5.0]}
    settings = {"over": over, "y0": Y0, "t1": 5.0, "observe": {"end": nmm.Final("r")}}
    double = nmm.sweep(ing(), **settings)
    with jax.enable_x64(False):
        numbers = {"eta": np.float32(4.0), "J": np.float32(-21.0), "Delta": np.float32(0.3)}
        model = nmm.MPR(**numbers, synapse=nmm.ExponentialSynapse(tau=np.float32(0.5)))
        single = nmm.sweep(model, **settings)
    assert single.end.dtype == np.float32
    np.testing.assert_allclose(single.end, double.end, rtol=2e-3)
