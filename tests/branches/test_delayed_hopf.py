"""Hopf points of networks with delays, by every parameter, and on branches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import nmmjax as nmm
from nmmjax.branches.special import lyapunov_coefficient
from nmmjax.branches.system import System, UserField
from nmmjax.numerics.delayed import chebyshev, chebyshev_weights

HOPF = {  # Δ, D: J, r, ω at η = 1
    (0.1, 3.0): (-2.3920482, 0.22019075, 0.95846589),
    (0.1, 2.0): (-1.53916343, 0.25037046, 1.34155113),
    (0.1, 1.5): (1.01961794, 0.37441201, 2.48543319),
}
NEAR = {"r": 0.22, "v": -0.07}


def one_node(J, Delta, delay, eta=1.0):
    return nmm.Network(nmm.MPR(eta=eta, J=0.0, Delta=Delta), [[1.0]], gain=J, delay=delay)


@pytest.mark.parametrize(("Delta", "D"), HOPF)
def test_golden_hopf_points_with_delays(Delta, D):
    J, r, omega = HOPF[Delta, D]
    guess = {"r": 1.02 * r, "v": -0.07}
    found = nmm.find_hopf(one_node(1.03 * J, Delta, D), "gain", guess)
    assert found.labels == ["HB"]
    assert float(found.parameter) == pytest.approx(J, abs=1e-8)
    assert float(found.state.r[0]) == pytest.approx(r, abs=1e-8) and float(found.omega) == pytest.approx(omega, abs=1e-8)
    again = nmm.find_hopf(one_node(found.parameter, Delta, 1.02 * D), "delay", guess)
    assert float(again.parameter) == pytest.approx(D, abs=1e-9) and float(again.lyapunov) == pytest.approx(
        float(found.lyapunov)
    )


def test_without_heterogeneity_it_has_its_closed_form():
    """Δ = 0: sin ωD = 0, so ω = π/D, with ω² = 4π²r² + 2rJ and π²r² = η + J r."""
    found = nmm.find_hopf(one_node(-2.0, 0.0, 3.0), "gain", {"r": 0.22, "v": 0.0})
    omega = np.pi / 3
    J = float(found.parameter)
    r = (J + np.sqrt(J**2 + 4 * np.pi**2)) / (2 * np.pi**2)
    assert float(found.omega) == pytest.approx(omega, abs=1e-10)
    assert omega**2 == pytest.approx(4 * np.pi**2 * r**2 + 2 * r * J, abs=1e-10)
    assert pytest.approx(-2.11608727, abs=1e-8) == J


def test_hopf_points_differentiate_with_delays():
    near = lambda eta, D: nmm.find_hopf(one_node(-2.39, 0.1, D, eta), "gain", NEAR).parameter
    exact = jax.jacrev(near, (0, 1))(1.0, 3.0)
    h = 1e-5
    assert float(exact[0]) == pytest.approx(float(near(1 + h, 3.0) - near(1 - h, 3.0)) / (2 * h), rel=1e-6)
    assert float(exact[1]) == pytest.approx(float(near(1.0, 3 + h) - near(1.0, 3 - h)) / (2 * h), rel=1e-6)


def test_a_network_by_the_speed_of_its_connections():
    """Three inhibitory regions, every pair with its own delay: at the speed found a pair of roots lies on the axis."""
    lengths = np.array([[0.0, 40.0, 60.0], [40.0, 0.0, 90.0], [60.0, 90.0, 0.0]])
    connectome = nmm.Connectome(-np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 0.5], [2.0, 0.5, 0.0]]), lengths)
    node = nmm.per_node(nmm.MPR(J=0.0, Delta=0.1), eta=[1.0, 1.2, 0.8])
    at = lambda speed: nmm.Network(node, connectome, gain=1.0, speed=speed)
    slow, fast = (nmm.characteristic_roots(at(speed), guess={"r": 0.25, "v": -0.1}) for speed in (60.0, 400.0))
    assert slow.unstable and fast.stable
    found = nmm.find_hopf(at(80.0), "speed", slow.state)
    roots = nmm.characteristic_roots(at(found.parameter), guess=found.state)
    assert roots.complete and np.min(np.abs(np.asarray(roots.roots) - 1j * float(found.omega))) < 1e-10


def discretised(network, u, points):
    """The population and its past on Chebyshev's points as an ordinary system, at u; its state and the factor of |q|²."""
    D, n = float(network.delay), points
    slopes, taps = jnp.asarray(chebyshev(n) * 2 / D), chebyshev_weights(n, jnp.asarray(-1.0))

    def field(z, parameters):
        y = nmm.State(r=z[:1], v=z[1:2])
        signal = jnp.concatenate([z[:1], z[2:]])
        flow = network.vector_field(z[0], y, past=(parameters["gain"] * (taps @ signal))[None])
        return jnp.concatenate([flow.r, flow.v, (slopes @ signal)[1:]])

    return field, jnp.concatenate([u, jnp.full(n, u[0])])


@pytest.mark.slow
def test_criticality_is_that_of_the_discretised_flow():
    found = nmm.find_hopf(one_node(-2.39, 0.1, 3.0), "gain", NEAR)
    network, omega = one_node(found.parameter, 0.1, 3.0), float(found.omega)
    u = ravel_pytree(found.state)[0]
    field, z = discretised(network, u, 24)
    whole = System(UserField(field, {"gain": found.parameter}), z, ("gain",))
    theirs = float(lyapunov_coefficient(whole, z, found.parameters, found.omega))
    # |q| = 1 there includes the past, of which every point turns by e^(iωθ) and is as long as q_r.
    r, v = float(u[0]), float(u[1])
    share = 1 / (1 + abs((1j * omega - 2 * v) / (2 * r)) ** 2)
    assert theirs * (1 + 24 * share) == pytest.approx(float(found.lyapunov), rel=1e-6)


@pytest.mark.slow
def test_a_branch_marks_hopf_points_of_delays():
    network = one_node(-1.0, 0.1, 3.0)
    branch = nmm.continue_branch(network, "gain", (-3.0, 1.0), {"r": 0.25, "v": -0.05})
    assert branch.special.labels == ["HB"]
    assert float(branch.hopfs.parameter[0]) == pytest.approx(-2.3920482, abs=1e-8)
    gain, unstable = np.asarray(branch.parameter[0]), np.asarray(branch.unstable[0])
    for k in (2, int(branch.count[0]) - 3):
        roots = nmm.characteristic_roots(
            one_node(gain[k], 0.1, 3.0), guess=jax.tree.map(lambda each, k=k: each[0, k], branch.state)
        )
        assert unstable[k] == roots.unstable
        assert abs(complex(branch.eigenvalues[0, k, 0]) - complex(roots.rightmost)) < 1e-8 or np.isclose(
            complex(branch.eigenvalues[0, k, 0]).conjugate(), complex(roots.rightmost), atol=1e-8
        )
    with pytest.raises(ValueError, match="Argument `hopf` must be of a model without delays"):
        nmm.continue_hopf(branch.hopfs[0], "delay", (-3.0, 1.0), (1.0, 4.0))
    with pytest.raises(ValueError, match="Argument `start` must be of a model without delays"):
        nmm.continue_cycle(branch.hopfs[0], (-3.0, 1.0))
