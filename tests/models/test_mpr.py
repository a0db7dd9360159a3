"""The equations: published and closed-form golden values, units of time, symmetries, reductions."""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from helpers import MODELS, plain_field

from nmmjax import MPR, ConductanceSynapse, GapJunction, State

SQ2 = np.sqrt(2.0)


@jax.jit
@jax.vmap
def fixed_point(values, guess):
    """(r, v) where the field vanishes and the eigenvalues there, for rows (eta, J, Delta, tau, g, k, E_s)."""
    eta, J, Delta, tau, g, k, E_s = values
    model = MPR(eta, J, Delta, tau, gap=GapJunction(g), conductance=ConductanceSynapse(k, E_s))

    def field(y, args=None):
        flow = model.vector_field(jnp.zeros(()), State(r=y[0], v=y[1]))
        return jnp.stack([flow.r, flow.v])

    y = optx.root_find(field, optx.Newton(1e-13, 1e-13), guess, max_steps=100, throw=False).value
    jacobian = jax.jacfwd(field)(y)
    trace, determinant = jnp.trace(jacobian), jnp.linalg.det(jacobian)
    root = jnp.sqrt(jax.lax.complex(trace**2 / 4 - determinant, jnp.zeros(())))
    half = jax.lax.complex(trace / 2, jnp.zeros(()))
    return y, jnp.stack([half + root, half - root])


def solve(eta, J, Delta, tau=1.0, g=0.0, k=0.0, E_s=0.0, *, guess):
    y, eigenvalues = fixed_point(jnp.array([[eta, J, Delta, tau, g, k, E_s]]), jnp.array([guess]))
    return np.array(y[0]), np.array(eigenvalues[0])


# --- Montbrió, Pazó & Roxin -------------------------------------------------------------------------------------------

FIXED_POINTS = [  # eta, J, Delta, r, v, eigenvalues where tabulated
    (-5.0, 15.0, 1.0, 0.0811344420, -1.9616199886, (-2.448738, -5.397742)),
    (-5.0, 15.0, 1.0, 0.4729803407, -0.3364937808, (1.641678, -2.987653)),
    (-5.0, 15.0, 1.0, 1.0305967988, -0.1544298830, (-0.308860 + 3.318629j, -0.308860 - 3.318629j)),
    (-2.0, 15.0, 1.0, 1.3732440985, -0.1158970523, (-0.231794 + 5.766372j, -0.231794 - 5.766372j)),
    (-4.6, 14.5, 0.7, 0.0571217422, -1.9503687357, None),
    (-4.6, 14.5, 0.7, 0.4523105403, -0.2463096706, None),
    (-4.6, 14.5, 0.7, 1.0080121530, -0.1105229335, (-0.221046 + 3.298668j, -0.221046 - 3.298668j)),
]


@pytest.mark.smoke
@pytest.mark.parametrize(("eta", "J", "Delta", "r", "v", "eigenvalues"), FIXED_POINTS)
def test_fixed_points(eta, J, Delta, r, v, eigenvalues):
    """Node, saddle and focus of the published sets, and their eigenvalues 2v ± √(2r(J − 2π²r))."""
    y, found = solve(eta, J, Delta, guess=(r + 1e-4, v - 1e-4))
    np.testing.assert_allclose(y, [r, v], atol=1e-9)
    root = np.sqrt(complex(2 * y[0] * (J - 2 * np.pi**2 * y[0])))
    np.testing.assert_allclose(found, [2 * y[1] + root, 2 * y[1] - root], atol=1e-10)
    if eigenvalues is not None:
        np.testing.assert_allclose(found, eigenvalues, atol=1e-6)


SADDLE_NODES = [  # J, Delta, r, eta of the low and of the high end, eta of the focus onset
    (15.0, 1.0, (0.16256980, -3.13613409), (0.75391973, -5.74352716), -5.74318149),
    (20.0, 1.0, (0.14343119, -3.89685063), (1.01072619, -10.15685291), -10.15679237),
    (15 * SQ2, 2.0, (0.22990841, -6.27226817), (1.06620350, -11.48705432), -11.48636298),
    (14.5, 0.7, (0.12747487, -2.45181935), (0.73136391, -5.34879707), -5.34869641),
]


def branch(r, J, Delta):
    """η on the branch of fixed points at rate r."""
    return np.pi**2 * r**2 - J * r - Delta**2 / (4 * np.pi**2 * r**2)


@jax.jit
@jax.vmap
def along_branch(r, J, Delta):
    """η(r) from the vector field itself and dη/dr by autodiff: a fold is where it vanishes."""

    def eta(r):
        v = -Delta / (2 * jnp.pi * r)
        return -MPR(0.0, J, Delta).vector_field(jnp.zeros(()), State(r=r, v=v)).v

    return eta(r), jax.grad(eta)(r), jax.grad(jax.grad(eta))(r)


@pytest.mark.parametrize(("J", "Delta", "low", "high", "focus"), SADDLE_NODES)
def test_saddle_nodes(J, Delta, low, high, focus):
    """Both folds and the node–focus point of each published set: dη/dr = 0 at a fold, a double eigenvalue at the focus."""
    for r, eta in (low, high):
        value, slope, curvature = along_branch(*(jnp.array([each]) for each in (r, J, Delta)))
        refined = r - slope[0] / curvature[0]  # the table rounds r to 1e-8
        np.testing.assert_allclose([value[0], refined], [eta, r], atol=2e-8)
        assert abs(J - 2 * np.pi**2 * refined - Delta**2 / (2 * np.pi**2 * refined**3)) < 1e-6
    r = J / (2 * np.pi**2)
    np.testing.assert_allclose(branch(r, J, Delta), focus, atol=1e-8)
    y, eigenvalues = solve(focus, J, Delta, guess=(r, -Delta / (2 * np.pi * r)))
    np.testing.assert_allclose(y, [r, -Delta / (2 * np.pi * r)], atol=1e-7)
    np.testing.assert_allclose(eigenvalues.mean(), 2 * y[1], atol=1e-10)
    assert abs(np.diff(eigenvalues)[0] ** 2) < 1e-4  # the discriminant; η is rounded to 1e-8, and r is steep near the fold


@pytest.mark.parametrize("Delta", [1.0, 0.3, 2.0])
def test_cusp(Delta):
    """r = (3/4)^¼ √Δ/π, J = (8π/3)(3/4)^¼ √Δ, η = −√3 Δ: both derivatives of η(r) vanish."""
    r = 0.75**0.25 * np.sqrt(Delta) / np.pi
    J = 8 * np.pi / 3 * 0.75**0.25 * np.sqrt(Delta)
    np.testing.assert_allclose([r, J], np.sqrt(Delta) * np.array([0.29622073, 7.79621704]), rtol=2e-8)
    eta, slope, curvature = along_branch(*(jnp.array([each]) for each in (r, J, Delta)))
    np.testing.assert_allclose(eta, -np.sqrt(3) * Delta, rtol=1e-12)
    np.testing.assert_allclose([slope[0], curvature[0]], 0, atol=1e-11)


# --- gap junctions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("g", "J", "Delta", "r", "eta", "omega2"),
    [
        (1.0, 0.0, 1.0, 2 / np.pi, 3.9375, 15.75),
        (2.0, 0.0, 1.0, 1 / np.pi, 0.75, 3.0),
        (3.0, -5.0, 1.0, 0.21220659, 0.94297740, 1.64984369),
        (0.7, 2.0, 0.4, None, None, None),
    ],
)
def test_gap_junction_hopf(g, J, Delta, r, eta, omega2):
    """r = 2Δ/πg, v = g/4, η = 4Δ²/g² − 2ΔJ/πg − g²/16: trace 0 and frequency² 16Δ²/g² − 4ΔJ/πg − g²/4."""
    r_H, v_H = 2 * Delta / (np.pi * g), g / 4
    eta_H = 4 * Delta**2 / g**2 - 2 * Delta * J / (np.pi * g) - g**2 / 16
    omega2_H = 16 * Delta**2 / g**2 - 4 * Delta * J / (np.pi * g) - g**2 / 4
    if r is not None:
        np.testing.assert_allclose([r_H, eta_H, omega2_H], [r, eta, omega2], atol=1e-8)
    y, eigenvalues = solve(eta_H, J, Delta, g=g, guess=(r_H, v_H))
    np.testing.assert_allclose(y, [r_H, v_H], atol=1e-10)
    np.testing.assert_allclose(eigenvalues, [1j * np.sqrt(omega2_H), -1j * np.sqrt(omega2_H)], atol=1e-8)


@pytest.mark.parametrize(("g", "Delta"), [(3.0, 1.0), (1.0, 0.3)])
def test_takens_bogdanov(g, Delta):
    """At J = 4πΔ/g − πg³/16Δ the Hopf frequency vanishes: a double zero eigenvalue."""
    J = 4 * np.pi * Delta / g - np.pi * g**3 / (16 * Delta)
    if (g, Delta) == (3.0, 1.0):
        assert abs(J + 1.11264740) < 1e-8
    eta = 4 * Delta**2 / g**2 - 2 * Delta * J / (np.pi * g) - g**2 / 16
    r, v = 2 * Delta / (np.pi * g), g / 4
    model = MPR(eta, J, Delta, gap=GapJunction(g))

    def field(y):
        flow = model.vector_field(jnp.zeros(()), State(r=y[0], v=y[1]))
        return jnp.stack([flow.r, flow.v])

    jacobian = jax.jacfwd(field)(jnp.array([r, v]))
    np.testing.assert_allclose(field(jnp.array([r, v])), 0, atol=1e-12)
    np.testing.assert_allclose([jnp.trace(jacobian), jnp.linalg.det(jacobian)], 0, atol=1e-11)


# --- symmetries and reductions ----------------------------------------------------------------------------------------

Y = State(r=jnp.geomspace(0.05, 4.0, 12), v=jnp.linspace(-3.0, 3.0, 12))


def field(model, y, current=0.3):
    return model.vector_field(jnp.zeros_like(y.r), y, current)


def same(a, b, rtol=1e-13):
    np.testing.assert_allclose(a.r, b.r, rtol=rtol)
    np.testing.assert_allclose(a.v, b.v, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_equations(model):
    """The field equals the equations with τ written once more, at τ ≠ 1, Δ ≠ 1, elementwise in any shape."""
    exact = plain_field(model, np.asarray(Y.r), np.asarray(Y.v), 0.3)
    same(field(model, Y), State(**dict(zip(("r", "v"), map(jnp.asarray, exact), strict=True))))
    one = field(model, State(r=Y.r[3], v=Y.v[3]))
    np.testing.assert_allclose([one.r, one.v], [exact[0][3], exact[1][3]], rtol=1e-14)


@pytest.mark.parametrize("tau", [0.02, 1.0, 20.0])
def test_time_constant_maps_to_the_dimensionless_form(tau):
    """R = τ r and t/τ: τ² dr/dt(τ) = dR/dT and τ dv/dt(τ) = dv/dT."""
    terms = {"gap": GapJunction(0.4), "conductance": ConductanceSynapse(0.7, -1.0)}
    with_tau = field(MPR(-2.0, 3.0, 0.6, tau, **terms), State(r=Y.r / tau, v=Y.v))
    same(State(r=tau**2 * with_tau.r, v=tau * with_tau.v), field(MPR(-2.0, 3.0, 0.6, **terms), Y))


def test_published_rates_in_hertz():
    """Schmidt et al. 2018: τ = 20 ms, Δ = 2, η = −10, J = 15√2 gives 5.737, 33.445 and 72.874 Hz."""
    tau = 0.020
    for rate in (5.737, 33.445, 72.874):
        y, _ = solve(-10.0, 15 * SQ2, 2.0, tau, guess=(rate, -2.0 / (2 * np.pi * tau * rate)))
        np.testing.assert_allclose(y[0], rate, atol=5e-4)


@pytest.mark.parametrize("Delta", [0.3, 4.0])
def test_scaling_symmetry(Delta):
    """r = √Δ r̃, v = √Δ ṽ, t = t̃/√Δ, η = Δ η̃, J = √Δ J̃ sets Δ̃ = 1."""
    c = np.sqrt(Delta)
    scaled = field(MPR(-2.0 / Delta, 3.0 / c, 1.0), State(r=Y.r / c, v=Y.v / c), 0.3 / Delta)
    same(State(r=Delta * scaled.r, v=Delta * scaled.v), field(MPR(-2.0, 3.0, Delta), Y), 1e-12)


def test_absent_and_zero_terms_agree():
    """g = 0 and k = 0 are the plain model; at E_s → ∞ with k E_s = J₂ a conductance is a coupling."""
    plain = MPR(-2.0, 3.0, 0.6, 1.4)
    for terms in ({"gap": GapJunction(0.0)}, {"conductance": ConductanceSynapse(0.0, 5.0)}):
        same(field(MPR(-2.0, 3.0, 0.6, 1.4, **terms), Y), field(plain, Y), 1e-15)
    strong = field(MPR(-2.0, 1.0, 0.6, 1.4, conductance=ConductanceSynapse(2e-9, 1e9)), Y)
    same(strong, field(plain, Y), 1e-6)


def test_vmap_over_models():
    """Parameters have no batch axes; `vmap` over the model gives many populations."""
    etas, gs = jnp.linspace(-5, 5, 7), jnp.linspace(0, 2, 7)
    together = jax.vmap(lambda eta, g: field(MPR(eta, gap=GapJunction(g)), Y))(etas, gs)
    assert together.r.shape == (7, 12)
    for i in range(7):
        exact = plain_field(MPR(etas[i], gap=GapJunction(gs[i])), np.asarray(Y.r), np.asarray(Y.v), 0.3)
        np.testing.assert_allclose([together.r[i], together.v[i]], exact, rtol=1e-12, atol=1e-12)


def test_states_are_checked_by_the_model():
    y = MPR().state({"r": 1, "v": -2})
    assert isinstance(y, State) and y.r.dtype == y.v.dtype == jnp.float64
    assert MPR().state(y) is not None and MPR().state(y).names == ("r", "v")
