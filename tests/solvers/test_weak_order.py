"""Moments under weak noise: the stationary covariance of linearised steps, against the Lyapunov equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.mechanics.channels import Problem
from nmmjax.solvers.lockstep import Now, Stretch
from nmmjax.solvers.steppers import stepper_for

W = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.2], [0.5, 0.2, 0.0]])
HIGH = {"r": [1.0, 1.0, 1.0], "v": [-0.1, -0.1, -0.1]}


def network_of():
    return nmm.Network(nmm.per_node(nmm.MPR(J=14.5, Delta=0.7), eta=[-4.6, -4.4, -4.2], tau=[1.0, 0.8, 1.3]), W, gain=0.5)


@pytest.fixture(scope="module")
def linear():
    return nmm.linear_response(network_of(), 0.01, guess=HIGH)


def covariance_of_steps(model, at, order, dt):
    """Stationary covariance of (r, v) in steps of `dt`, to first order in the noise."""
    stepper, noise = stepper_for(model, True, True, order), nmm.WhiteNoise(0.01)
    zero, still = jnp.zeros(()), jnp.zeros(3)
    problem = Problem(model, at, None, noise)
    now, stretch = Now(still, still), Stretch(zero, jnp.asarray(dt), jnp.asarray(dt))
    made = stepper.make(problem, stretch)

    def step(flat, numbers):
        y = at.replace(r=flat[:3], v=flat[3:])
        kicks = stepper.kicks(model, noise, stretch.dt, still, numbers.reshape(2, 3))
        z = stepper.enter(problem, made, stretch, zero, y, now)
        y = stepper.leave(
            problem, made, stretch, zero, stepper.advance(problem, made, stretch, zero, z, (still,) * 3, kicks), now
        )
        return jnp.concatenate([y.r, y.v])

    rest, none = jnp.concatenate([at.r, at.v]), jnp.zeros(6)
    for _ in range(3):  # the fixed point of steps
        rest = rest - jnp.linalg.solve(jax.jacfwd(step)(rest, none) - jnp.eye(6), step(rest, none) - rest)
    M, N = np.asarray(jax.jacfwd(step)(rest, none)), np.asarray(jax.jacfwd(step, 1)(rest, none))
    return np.linalg.solve(np.eye(36) - np.kron(M, M), (N @ N.T).ravel()).reshape(6, 6)


def error_at(linear, order, dt):
    found = covariance_of_steps(network_of(), linear.state, order, dt)
    return np.abs(found - linear.covariance).max() / np.abs(linear.covariance).max()


def test_noise_in_the_kicks_of_order_2(linear):
    np.testing.assert_allclose(np.log2(error_at(linear, 2, 0.1) / error_at(linear, 2, 0.05)), 2, atol=0.25)


def test_noise_in_the_kicks_of_order_4(linear):
    """No higher order, since kicks displace v within a step, but a far smaller error."""
    assert error_at(linear, 4, 0.1) < 1e-3
    assert error_at(linear, 4, 0.05) < min(3e-4, error_at(linear, 2, 0.05) / 70)


def test_networks_under_noise_take_order_4():
    """Runs and sweeps; with delays, too."""
    given = {"y0": HIGH, "noise": 0.01, "key": jax.random.key(0), "solver": nmm.MobiusSplitting(4), "dt0": 0.1}
    for model in (network_of(), nmm.Network(nmm.MPR(), W, gain=0.5, delay=0.3)):
        run = nmm.simulate(model, ts=[0.0, 1.0, 2.0], **given)
        assert bool(jnp.all(jnp.isfinite(run.ys.v))) and "with noise in its kicks" in run.method
    with pytest.raises(ValueError, match=r"`solver` must be None or `MobiusSplitting\(2\)` with noise"):
        slow = nmm.Network(nmm.MPR(synapse=nmm.ExponentialSynapse(tau=0.5)), W)
        nmm.simulate(
            slow, {**HIGH, "s": [1.0, 1.0, 1.0]}, [0.0, 1.0], **{name: each for name, each in given.items() if name != "y0"}
        )
