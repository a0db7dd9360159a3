"""Geometric solvers: order, exactness, positivity, symplecticity, conservation, and life inside diffrax."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import MODELS, reference, slope
from scipy.linalg import expm, expm_frechet

from nmmjax import MPR, Constant, MobiusExtrapolation, MobiusSplitting, Pulse, Sinusoid, State, hamiltonian, simulate
from nmmjax.extend import PopulationTerm
from nmmjax.solvers.operators import mobius_flow

SOLVERS = {
    "splitting-2": MobiusSplitting(2),
    "splitting-4": MobiusSplitting(4),
    "extrapolation-6": MobiusExtrapolation(6),
    "extrapolation-8": MobiusExtrapolation(8),
}
solvers = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
two_solvers = pytest.mark.parametrize(
    "solver",
    [MobiusSplitting(4), pytest.param(MobiusExtrapolation(8), marks=pytest.mark.slow)],
    ids=["splitting-4", "extrapolation-8"],
)
splittings = pytest.mark.parametrize("order", [2, 4])


def state(r, v, dtype=jnp.float64):
    return State(r=jnp.asarray(r, dtype), v=jnp.asarray(v, dtype))


@eqx.filter_jit
def march(solver, model, stimulus, y0, t0, h, n):
    """The state after n steps of length h; recompiles for structures only."""
    term = PopulationTerm(model, stimulus)

    def body(i, y):
        start = t0 + i.astype(h.dtype) * h
        return solver.advance(term, start, start + h, y)[0]

    return jax.lax.fori_loop(0, n, body, y0)


def after(solver, model, stimulus, y0, T, n, t0=0.0):
    y1 = march(solver, model, stimulus, state(*y0), jnp.asarray(t0), jnp.asarray(T / n), jnp.asarray(n))
    return np.array([y1.r, y1.v])


def linear_oscillator(eta, Delta, h):
    """exp of the linear system ψ″ + (η − iΔ) ψ = 0 over h."""
    return expm(h * np.array([[0, 1], [-(eta - 1j * Delta), 0]], complex))


def riccati_flow(eta, Delta, h, r, v):
    """(r, v) after h without coupling, by W = −i ψ′/ψ."""
    psi, dpsi = linear_oscillator(eta, Delta, h) @ [1, 1j * (np.pi * r + 1j * v)]
    W = -1j * dpsi / psi
    return np.array([W.real / np.pi, W.imag])


# --- order ------------------------------------------------------------------------------------------------------------

FORCED = ("heterogeneous", "tau", "gap", "conductance", "everything")
STEPS = np.array([8, 12, 16, 24, 32, 40, 48, 64, 96, 128, 192, 384])


@solvers
@pytest.mark.parametrize("name", FORCED)
def test_order(name, solver):
    """log error falls with log step at the stated order, under a stimulus that varies during the step."""
    model, y0, T, stimulus = MODELS[name], (0.5, -0.3), 4.0, Sinusoid(2.0, 1.3)
    exact = reference(model, y0, [0.0, T], lambda t: 2 * np.sin(1.3 * t))[:, -1]
    errors = np.array([np.linalg.norm(after(solver, model, stimulus, y0, T, n) - exact) for n in STEPS])
    # The finest steps above rounding and the reference's own error; order 8 comes there before its asymptotic range.
    floor, count, tolerance = (1e-13, 3, 1.0) if solver.mobius_order == 8 else (1e-12, 4, 0.2)
    finest = np.arange(np.argmax(np.append(errors, 0) <= floor))[-count:]
    assert np.all(errors[finest] < 1e-2)
    assert abs(slope(-np.log(STEPS[finest]), np.log(errors[finest])) - solver.mobius_order) < tolerance


# --- exactness --------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@solvers
@pytest.mark.parametrize("h", [1e-3, 0.1, 1.0, 7.0])
@pytest.mark.parametrize(
    ("eta", "Delta", "tau", "current"), [(-3.0, 0.7, 1.0, 1.0), (2.0, 0.0, 1.6, -0.5), (1.0, 0.2, 0.7, -1.0)]
)
def test_exact_without_coupling(solver, h, eta, Delta, tau, current):
    """At J = 0 and constant input one step of any length equals the linear oscillator's matrix exponential."""
    r, v = 0.4, -0.8
    y1 = after(solver, MPR(eta, 0.0, Delta, tau), Constant(current), (r, v), h, 1)
    exact = riccati_flow(eta + current, Delta, h / tau, tau * r, v) / [tau, 1]
    np.testing.assert_allclose(y1, exact, rtol=1e-12, atol=1e-12)


@solvers
@pytest.mark.parametrize("T", [0.5, 6.0])
def test_one_big_step_equals_many_small_ones_without_coupling(solver, T):
    model, y0 = MPR(1.3, 0.0, 0.2, 0.7), (0.4, -0.8)
    big, small = (after(solver, model, Constant(0.0), y0, T, n) for n in (1, 300))
    np.testing.assert_allclose(big, small, rtol=1e-12, atol=1e-12)


@two_solvers
def test_exact_under_a_pulse(solver):
    """Steps end on the jumps of a pulse, so one step per piece is exact."""
    eta, Delta, tau, amplitude = -1.0, 0.3, 1.4, 4.0
    ts, y0 = np.array([0.0, 1.0, 2.0, 3.7, 5.0]), (0.3, -0.5)
    controller = diffrax.ConstantStepSize() if isinstance(solver, MobiusExtrapolation) else None
    run = simulate(
        MPR(eta, 0.0, Delta, tau), state(*y0), ts, stimulus=Pulse(amplitude, 1.0, 3.7), solver=solver, dt0=100.0,
        stepsize_controller=controller,
    )  # fmt: skip
    R, v = tau * y0[0], y0[1]
    for i, current in enumerate((0.0, amplitude, amplitude, 0.0)):
        R, v = riccati_flow(eta + current, Delta, (ts[i + 1] - ts[i]) / tau, R, v)
        np.testing.assert_allclose([run.ys.r[i + 1], run.ys.v[i + 1]], [R / tau, v], rtol=1e-12, atol=1e-12)
    # Our own loop also ends a step at every saved time; diffrax interpolates.
    assert int(run.stats["num_steps"]) == (3 if controller else 4)


def flow_and_jacobian(eta, Delta, h, r, v):
    """(r, v) after h, and its derivatives by (eta, Delta, h, r, v), from the Fréchet derivative of the exponential."""
    A = np.array([[0, 1], [-(eta - 1j * Delta), 0]], complex)
    W0 = np.pi * r + 1j * v
    M = expm(h * A)
    directions = (h * np.array([[0, 0], [-1, 0]], complex), h * np.array([[0, 0], [1j, 0]], complex), A)
    changes = [expm_frechet(h * A, each, compute_expm=False) @ [1, 1j * W0] for each in directions]
    changes += [M @ [0, 1j * np.pi], M @ [0, -1.0 + 0j]]
    psi, dpsi = M @ [1, 1j * W0]
    dW = [-1j * (b * psi - dpsi * a) / psi**2 for a, b in changes]
    W = -1j * dpsi / psi
    return np.array([W.real / np.pi, W.imag]), np.array([[w.real / np.pi for w in dW], [w.imag for w in dW]])


@jax.jit
@jax.vmap
def batched_flow(x):
    """Flow, forward and reverse Jacobian for rows (eta, Delta, h, r, v)."""
    flow = lambda x: jnp.stack(mobius_flow(x[0], x[1], x[2])(x[3], x[4]))
    return flow(x), jax.jacfwd(flow)(x), jax.jacrev(flow)(x)


TINY = [0.0, 1e-300, 1e-17, 1e-9, 1e-5, 1e-2, 0.2, 0.25, 0.26, 1.0]
NEAR_ZERO = [(sign * eta, Delta) for eta in TINY for Delta in (0.0, 1e-17, 1e-8, 1e-3, 0.24, 0.5) for sign in (1, -1)]


def test_flow_and_its_gradient_where_the_frequency_vanishes():
    """mobius_flow is smooth through σ = √(iΔ − η) = 0 and through the seam between its series and its closed form."""
    x = np.array([(eta, Delta, 1.0, 0.4, -0.3) for eta, Delta in NEAR_ZERO])
    for row, value, forward, reverse in zip(x, *batched_flow(jnp.asarray(x)), strict=True):
        exact, jacobian = flow_and_jacobian(*row)
        np.testing.assert_allclose(value, exact, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(forward, jacobian, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(reverse, jacobian, rtol=1e-12, atol=1e-12)


def test_huge_steps_end_in_the_fixed_point():
    """Nothing overflows: without coupling W ends where W² = η − iΔ, Re W > 0; gradients stay finite."""
    table = [(eta, Delta, h) for eta, Delta in [(-100.0, 1.0), (-1e-3, 0.5), (5.0, 1.0)] for h in (100.0, 1e3, 1e6)]
    x = np.array([(*row, 0.7, 3.0) for row in [*table, (-1e4, 1e-3, 50.0), (-1e4, 1e-3, 1e6), (-1e8, 0.1, 1e6)]])
    for row, value, *jacobians in zip(x, *batched_flow(jnp.asarray(x)), strict=True):
        W = np.sqrt(row[0] - 1j * row[1])
        np.testing.assert_allclose(value, [W.real / np.pi, W.imag], rtol=1e-11, atol=1e-15 * abs(W))
        assert value[0] > 0
        assert np.all(np.isfinite(jacobians))


# --- positivity -------------------------------------------------------------------------------------------------------


def random_lanes(key, n, dtype, spread):
    keys = jax.random.split(key, 6)
    uniform = lambda key, low, high: jax.random.uniform(key, (n,), dtype, low, high)
    eta, J = spread * uniform(keys[0], -1, 1), 2 * spread * uniform(keys[1], -1, 1)
    Delta = jnp.where(jnp.arange(n) % 4 == 0, 0, 10 ** uniform(keys[2], -6, 1)).astype(dtype)
    tau, h = 10 ** uniform(keys[3], -0.5, 1), 10 ** uniform(keys[4], -2, 0)
    y0 = State(r=10 ** uniform(keys[5], -2, 1), v=spread * uniform(keys[0], -1, 1) / 10)
    return (eta, J, Delta, tau), y0, h


@solvers
@pytest.mark.parametrize(
    ("dtype", "spread", "n"), [(jnp.float64, 30.0, 5), (jnp.float32, 5.0, 5)], ids=["float64", "float32"]
)
def test_rate_stays_positive_at_any_step(solver, dtype, spread, n):
    """r > 0 and finite on 4000 random populations with steps up to 1, far beyond where any accuracy is left."""
    values, y0, h = random_lanes(jax.random.key(7), 4000, dtype, spread)

    @jax.vmap
    def lane(values, y0, h):
        return jax.lax.scan(
            lambda y, t: (solver.advance(PopulationTerm(MPR(*values)), t, t + h, y)[0],) * 2,
            y0,
            h * jnp.arange(n, dtype=dtype),
        )[1]

    ys = jax.jit(lane)(values, y0, h)
    assert ys.r.dtype == ys.v.dtype == dtype
    assert np.all(np.isfinite(ys.r)) and np.all(np.isfinite(ys.v))
    assert np.all(np.asarray(ys.r) > 0)


# --- geometry at Δ = 0 ------------------------------------------------------------------------------------------------

HOMOGENEOUS = MPR(eta=2.0, J=5.0, Delta=0.0, tau=1.3)


@splittings
@pytest.mark.parametrize("h", [0.01, 0.3])
def test_reversible(order, h):
    """A step, then a step of −h, returns; so does a step, v → −v, a step and v → −v again (Δ = 0)."""
    solver, y0 = MobiusSplitting(order), (1.2, -0.7)
    r, v = after(solver, HOMOGENEOUS, None, y0, h, 1)
    np.testing.assert_allclose(after(solver, HOMOGENEOUS, None, (r, v), -h, 1), y0, rtol=1e-12)
    r, v = after(solver, HOMOGENEOUS, None, (r, -v), h, 1)
    np.testing.assert_allclose([r, -v], y0, rtol=1e-12)


@splittings
def test_symplectic(order):
    """At Δ = 0 a step keeps the area dr∧dv/r²: its Jacobian determinant is (r₁/r₀)², at any step size, and under input."""
    term, solver = PopulationTerm(HOMOGENEOUS, Sinusoid(3.0, 2.0)), MobiusSplitting(order)

    def step(y, h):
        y1 = solver.advance(term, jnp.asarray(0.4), 0.4 + h, State(r=y[0], v=y[1]))[0]
        return jnp.stack([y1.r, y1.v])

    @jax.jit
    @jax.vmap
    def area(y, h):
        return jnp.linalg.det(jax.jacfwd(step)(y, h)) * (y[0] / step(y, h)[0]) ** 2

    y0 = jnp.stack([jnp.geomspace(0.05, 5.0, 40), jnp.linspace(-3.0, 3.0, 40)], axis=1)
    for h in (0.05, 0.5):
        np.testing.assert_allclose(area(y0, jnp.full(40, h)), 1, rtol=1e-9)


@eqx.filter_jit
def largest_energy_errors(solver, model, y0, h, blocks, steps):
    """max |H − H₀|/|H₀| in each of `blocks` blocks of `steps` steps."""
    term, H0 = PopulationTerm(model), hamiltonian(model, y0)

    def step(_, carry):
        y, worst = carry
        y = solver.advance(term, jnp.zeros_like(h), h, y)[0]
        return y, jnp.maximum(worst, jnp.abs(hamiltonian(model, y) / H0 - 1))

    def block(y, _):
        return jax.lax.fori_loop(0, steps, step, (y, jnp.zeros_like(h)))

    return jax.lax.scan(block, y0, None, length=blocks)[1]


def no_drift(h, order, periods, bound):
    model = MPR(eta=2.0, J=5.0, Delta=0.0)
    steps = periods * 2.0 / h  # a period is shorter than 2
    worst = np.asarray(
        largest_energy_errors(MobiusSplitting(order), model, state(3.0, 0.2), jnp.asarray(h), 20, int(steps / 20))
    )
    assert worst.max() <= bound
    assert abs(slope(np.arange(20), worst)) * 20 <= 0.05 * worst.max()


@pytest.mark.parametrize(("order", "bound"), [(2, 2e-2), (4, 2e-6)])
def test_energy_does_not_drift(order, bound):
    """Over 2000 periods at h = 0.02 the energy error oscillates within a bound and has no trend."""
    no_drift(0.02, order, 2000, bound)


@pytest.mark.slow
def test_energy_does_not_drift_over_100000_periods():
    no_drift(0.02, 4, 100_000, 2e-6)


@pytest.mark.parametrize("amplitude", [0.5, 4.0])
def test_ermakov_lewis_invariant(amplitude):
    """½[(x q̇ − ẋ q)² + 4π² (x/q)²] with ẍ + (η + I) x = 0 is constant under any forcing, for J = Δ = 0."""
    stimulus, ts = Sinusoid(amplitude, 1.7, 0.3), jnp.linspace(0.0, 20.0, 101)
    run = simulate(
        MPR(2.0, 0.0, 0.0), state(0.5, 0.1), ts, stimulus=stimulus, solver=MobiusExtrapolation(8), rtol=1e-12, atol=1e-13
    )
    helper = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, x, args: jnp.stack([x[1], -(2.0 + args(t)) * x[0]])),
        diffrax.Dopri8(), 0.0, 20.0, None, jnp.array([1.0, 0.0]), args=stimulus, max_steps=100_000,
        saveat=diffrax.SaveAt(ts=ts), stepsize_controller=diffrax.PIDController(rtol=1e-12, atol=1e-13),
    )  # fmt: skip
    x, dx = helper.ys.T
    q = jnp.sqrt(2 / run.ys.r)
    invariant = ((x * -run.ys.v * q - dx * q) ** 2 + 4 * jnp.pi**2 * (x / q) ** 2) / 2
    np.testing.assert_allclose(invariant, invariant[0], rtol=1e-9)


# --- inside diffrax ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "order"), [("heterogeneous", 6), ("everything", 8)])
def test_adaptive_error_follows_the_tolerance(name, order):
    """The error falls in proportion to rtol and stays within 100 of it."""
    model, y0, T = MODELS[name], (0.5, -0.3), 6.0
    exact = reference(model, y0, [0.0, T])[:, -1]
    rtols = np.array([1e-4, 1e-6, 1e-8, 1e-10])
    errors, steps = [], []
    for rtol in rtols:
        run = simulate(model, state(*y0), [0.0, T], solver=MobiusExtrapolation(order), rtol=rtol, atol=rtol)
        errors.append(np.abs([run.y_end.r, run.y_end.v] - exact).max())
        steps.append(int(run.stats["num_accepted_steps"]))
    assert np.all(errors <= 100 * rtols)
    assert 0.6 < slope(np.log(rtols), np.log(errors)) < 1.5
    assert steps == sorted(steps)


def test_splitting_refuses_an_error_based_controller():
    with pytest.raises(
        ValueError,
        match=r"Argument `solver` must give an error estimate for PIDController, .*but got 'MobiusSplitting\(4\)'\.$",
    ):
        simulate(
            MPR(),
            state(0.1, 0.0),
            [0.0, 1.0],
            solver=MobiusSplitting(4),
            stepsize_controller=diffrax.PIDController(1e-6, 1e-6),
        )


@pytest.mark.parametrize(
    ("cls", "order", "rule"), [(MobiusSplitting, 3, "be 2 or 4"), (MobiusExtrapolation, 4, "be 6 or 8")]
)
def test_unknown_orders_are_refused(cls, order, rule):
    with pytest.raises(ValueError, match=f"Argument `mobius_order` must {rule}, but got {order}"):
        cls(order)


@two_solvers
def test_raw_diffeqsolve_there_dense_and_back(solver):
    """diffrax alone with `PopulationTerm`: same as stepping, dense output is the solver's own step, backwards returns."""
    model, stimulus, y0 = MODELS["heterogeneous"], Sinusoid(1.0, 2.0), (0.5, -0.3)
    solve = eqx.filter_jit(
        lambda t0, t1, dt0, y0: diffrax.diffeqsolve(
            PopulationTerm(model, stimulus), solver, t0, t1, dt0, y0, saveat=diffrax.SaveAt(t1=True, dense=True)
        )
    )
    h = jnp.asarray(0.01)
    there = solve(jnp.asarray(0.0), jnp.asarray(2.0), h, state(*y0))
    end = jax.tree.map(lambda leaf: leaf[0], there.ys)
    np.testing.assert_allclose([end.r, end.v], after(solver, model, stimulus, y0, 2.0, 200), rtol=1e-11)

    t = 1.2345  # within the step from 1.23
    at_step, at_t = there.evaluate(1.23), there.evaluate(t)
    step = after(solver, model, stimulus, (float(at_step.r), float(at_step.v)), t - 1.23, 1, t0=1.23)
    np.testing.assert_allclose([at_t.r, at_t.v], step, rtol=1e-11)
    back = solve(jnp.asarray(2.0), jnp.asarray(0.0), -h, end)
    # The splittings are time-symmetric, so they return to rounding; the extrapolations to their (smaller) error.
    np.testing.assert_allclose([back.ys.r[0], back.ys.v[0]], y0, rtol=1e-11)


@pytest.mark.parametrize(
    "eta, Delta, h, R, v",
    [(-80.0762, 0.0314287, 0.99, 2.65e-4, 8.948187), (-1e6, 1e-3, 100.0, 1e-3, 1e3), (-1e3, 0.0, 100.0, 1e-3, 1.0)],
)
def test_rate_stays_positive_where_rounding_would_not(eta, Delta, h, R, v):
    """v near +sqrt(-eta), where the terms of the new rate nearly cancel in float32, and rates that underflow."""
    for dtype in (jnp.float32, jnp.float64):
        arguments = (jnp.asarray(each, dtype) for each in (eta, Delta, h, R, v))
        flow = mobius_flow(*(next(arguments) for _ in range(3)))
        assert flow(*arguments)[0] > 0
