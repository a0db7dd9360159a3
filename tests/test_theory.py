"""docs/theory.md: what it names exists, and its statements that no function of the library uses yet are true."""

import ast
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import solve_continuous_lyapunov
from scipy.optimize import brentq
from scipy.special import digamma

import nmmjax as nmm

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "theory.md").read_text(encoding="utf8")
SECTIONS = set(re.findall(r"^#+ §(\S+)", TEXT, flags=re.MULTILINE))
CITED = re.compile(r"(?:docs/theory\.md|\{_NOTES\})((?:(?:[\s#,–]|and)*§\w+(?:\.\d)?)+)")
CITING = [
    *(path for folder in ("nmmjax", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")),
    *ROOT.glob("*.md"),
    *(ROOT / "notebooks").glob("*.ipynb"),
]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_every_test_that_the_theory_names_exists():
    trees = [ast.parse(path.read_text(encoding="utf8")) for path in (ROOT / "tests").rglob("*.py")]
    tests = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert sorted(set(re.findall(r"`(test_\w+)`", TEXT)) - tests) == []


def test_every_cited_section_exists():
    cited = {
        (section, path.relative_to(ROOT).as_posix())
        for path in CITING
        for run in CITED.findall(path.read_text(encoding="utf8"))
        for section in re.findall(r"§(\w+(?:\.\d)?)", run)
    }
    assert len(cited) > 30
    assert [each for each in sorted(cited) if each[0] not in SECTIONS] == []
    assert set(re.findall(r"§(\w+(?:\.\d)?)", TEXT)) <= SECTIONS


# --- small tools ------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
DRAWS = 64


@pytest.fixture(autouse=True)
def same_draws():
    """Every test draws the same numbers, alone or among others."""
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def positive(low, high, shape=DRAWS):
    return np.exp(RNG.uniform(np.log(low), np.log(high), shape))


def close(a, b, rtol=1e-11):
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.max(np.abs(b)))


def rate_along(scalar, flow, y):
    """d/dt of a function of the state along a flow."""
    return jax.jvp(scalar, (y,), (flow(y),))[1]


def bare_energy(r, v, eta, Delta):
    """½q̇² + V without coupling, and the heat Γ q̇²."""
    moved = Delta / jnp.pi + 2 * r * v
    potential = eta / r + jnp.pi**2 * r + Delta**2 / (12 * jnp.pi**2 * r**3)
    return moved**2 / (4 * r**3) + potential, Delta / jnp.pi * moved**2 / r**4


def nodes(n, symmetric=True):
    """Random rates, heterogeneities and weights of n populations, and the η that makes the rates a fixed point."""
    r, Delta, W = positive(0.05, 2, n), positive(0.05, 2, n), RNG.normal(size=(n, n)) * 5
    W = (W + W.T) / 2 if symmetric else W
    return r, Delta, W, np.pi**2 * r**2 - Delta**2 / (4 * np.pi**2 * r**2) - W @ r


def hessian(r, Delta, W):
    return np.diag(2 * np.pi**2 * r + Delta**2 / (2 * np.pi**2 * r**3)) - W


def linearised(r, Delta, W):
    """The Jacobian of (r, v) at the fixed point of rates r."""
    v = np.diag(-Delta / (2 * np.pi * r))
    return np.block([[2 * v, np.diag(2 * r)], [W - np.diag(2 * np.pi**2 * r), 2 * v]])


# --- §A: spiking networks ---------------------------------------------------------------------------------------------


def step_of(eta, h):
    """c, s of the exact step of a neuron without coupling."""
    sigma = np.sqrt(np.abs(eta))
    return np.where(eta > 0, np.cos(sigma * h), np.cosh(sigma * h)), np.where(
        eta > 0, np.sin(sigma * h), np.sinh(sigma * h)
    ) / sigma


def barycentre(V, rounds=400):
    """w with Σ (V − w)/(V − w*) = 0, Im w > 0, along the last axis."""
    w = np.median(V, axis=-1) + 1j
    for _ in range(rounds):
        m = np.mean((V - w[..., None]) / (V - w[..., None].conj()), axis=-1)
        w = (w - m * w.conj()) / (1 - m)
    return w


def test_the_sign_of_the_denominator_counts_spikes():
    """§A1: against the times at which the closed solutions reach infinity."""
    eta, V = RNG.normal(size=4000) * 3, RNG.standard_cauchy(4000) * 2
    sigma = np.sqrt(np.abs(eta))
    h = RNG.uniform(0, 1, 4000) * np.where(eta > 0, np.pi / sigma, 3 / sigma)
    c, s = step_of(eta, h)
    with np.errstate(invalid="ignore", divide="ignore"):
        until = np.where(eta > 0, (np.pi / 2 - np.arctan(V / sigma)) / sigma, np.arctanh(sigma / V) / sigma)
    spikes = np.where(np.isfinite(until) & (until > 0), until < h, False)
    np.testing.assert_array_equal(c - s * V < 0, spikes)
    assert 500 < spikes.sum() < 3500


def test_a_step_is_two_shears():
    """§A2: half a kick β q, q −= s p, half a kick, in (q, p) = (ψ, −ψ̇), is the step of V = p/q."""
    eta, h = positive(0.1, 9), 0.3
    q, p = RNG.normal(size=(2, DRAWS))
    c, s = step_of(eta, h)
    beta = 2 * (1 - c) / s
    p1 = p + beta / 2 * q
    q1 = q - s * p1
    p1 = p1 + beta / 2 * q1
    close(p1 / q1, (c * p / q + eta * s) / (c - s * p / q), 1e-9)


def test_the_rate_read_from_z_has_its_error():
    """§A4: relative error |1 + W|/√(2πrN) of Z's rate, √(2/N) of the barycentre's."""
    r, v, N = 0.5, -0.3, 400
    V = v + np.pi * r * np.random.default_rng(1).standard_cauchy((1500, N))
    Z = np.mean((1 + 1j * V) / (1 - 1j * V), axis=1)
    W = (1 - Z.conj()) / (1 + Z.conj())
    scale = np.sqrt(N) / (np.pi * r)
    expected = abs(1 + np.pi * r + 1j * v) / np.sqrt(2 * np.pi * r)
    assert W.real.std() * scale == pytest.approx(expected, rel=0.06)
    assert barycentre(V, 60).imag.std() * scale == pytest.approx(np.sqrt(2), rel=0.06)


def hurwitz_half(a, n=2000):
    """ζ(½, a) by the formula of Euler and Maclaurin."""
    x = n + a
    return np.sum((np.arange(n) + a) ** -0.5) - 2 * np.sqrt(x) + 0.5 / np.sqrt(x) + x**-1.5 / 24


def test_the_bias_of_quantile_currents():
    """§A5: the mean rate of neurons at quantiles, in the field of their own rate, against the formula and at its zero."""
    eta, J, Delta, N, r = -5.0, 15.0, 1.0, 10_000, 1.0305967988
    zero = 0.302721828598366
    assert abs(hurwitz_half(zero)) < 1e-8

    def bias(a):
        u = (np.arange(N) + a) / (N - 1 + 2 * a)
        currents = eta + Delta * np.tan(np.pi * (u - 0.5))
        mean = lambda rate: np.mean(np.sqrt(np.maximum(currents + J * rate, 0))) / np.pi
        return brentq(lambda rate: mean(rate) - rate, 0.9, 1.2) - r

    chi = (0.5 / np.sqrt(eta + J * r - 1j * Delta)).real / np.pi
    for a in (0.5, 1.0):
        assert bias(a) == pytest.approx(np.sqrt(Delta / N) * hurwitz_half(a) / np.pi**1.5 / (1 - J * chi), rel=0.05)
    assert abs(bias(zero)) < 0.05 * abs(bias(0.5))


def test_the_barycentre_moves_with_the_neurons():
    """§A6: seven identical neurons, one step and one kick; that of Z does not."""
    V, eta, h, kick = RNG.normal(size=(20, 7)) * 2, 1.3, 0.4, 0.7
    c, s = step_of(np.asarray(eta), h)
    move = lambda x: (c * x + eta * s) / (c - s * x) + kick
    before, after = barycentre(V), barycentre(move(V))
    close(after, move(before), 1e-9)
    assert np.all(before.imag > 0)

    def from_z(V):
        Z = np.mean((1 + 1j * V) / (1 - 1j * V), axis=-1)
        return 1j * ((1 - Z.conj()) / (1 + Z.conj())).conj()

    assert np.max(np.abs(from_z(move(V)) - move(from_z(V)))) > 0.1


# --- §B: finite size --------------------------------------------------------------------------------------------------


def test_the_response_to_finite_size_noise():
    """§B1: ξ enters v̇ only; what comes out is δr and R = r + ξ."""
    r, Delta, J, omega = positive(0.1, 2), positive(0.05, 2), RNG.normal(size=DRAWS) * 10, positive(0.1, 30)
    transfer = np.array([
        np.linalg.solve(1j * w * np.eye(2) - linearised(x[None], D[None], W[None, None]), [0, W])[0]
        for x, D, W, w in zip(r, Delta, J, omega, strict=True)
    ])  # fmt: skip
    lam = 1j * omega + Delta / (np.pi * r)
    below = lam**2 + 4 * np.pi**2 * r**2 - 2 * r * J
    close(transfer, 2 * r * J / below)
    close(1 + transfer, (lam**2 + 4 * np.pi**2 * r**2) / below)


def test_the_spectrum_of_quenched_neurons_starts_cubic():
    """§B2: S → (π⁶/45)(Δ/π)/(x² + Δ²) f³ as f → 0, and → r, Poisson's, as f → ∞."""
    x, Delta, m = 1.2, 0.3, np.arange(1, 200_001)
    p = lambda nu: 2 * np.pi**2 * nu * (Delta / np.pi) / ((np.pi**2 * nu**2 - x) ** 2 + Delta**2)
    S = lambda f: np.sum(f**2 / m**3.0 * p(f / m))
    f = 1e-3
    assert S(f) / f**3 == pytest.approx(np.pi**6 / 45 * Delta / np.pi / (x**2 + Delta**2), rel=1e-4)
    assert S(60.0) == pytest.approx(np.sqrt(x - 1j * Delta).real / np.pi, rel=1e-3)


@pytest.mark.parametrize(("x", "Gamma"), [(1.0, 0.3), (-1.0, 0.5), (0.0, 1.0)])
def test_the_spectrum_of_cauchy_neurons(x, Gamma):
    """§B2: the closed form is the transform of the rate after a spike, and its value at f = 0 is r θ/π."""
    kappa, theta = np.sqrt(x - 1j * Gamma), np.angle(x + 1j * Gamma)
    r, dt = kappa.real / np.pi, 2e-4
    t = np.arange(1, int(12 / abs(kappa.imag) / dt)) * dt
    after = (-1j * kappa / np.tan(kappa * t)).real / np.pi

    def closed(f):
        z = np.pi * f / kappa
        return kappa.real / np.pi * (theta - (digamma(1 + z) + digamma(1 - z)).imag) / np.pi

    for f in (0.0, 0.15, 0.6):
        integral = dt * (np.sum((after - r) * np.cos(2 * np.pi * f * t)) - r / 2)  # the half weight at t = 0, where m = 0
        assert r + 2 * r * integral == pytest.approx(closed(f), rel=1e-5)
    assert closed(0.0) == pytest.approx(r * theta / np.pi, rel=1e-13)


# --- §C: synapses, delays, slow variables -----------------------------------------------------------------------------

ETA, J, DELTA, TAU = -0.7, 3.0, 0.4, 0.6


def population(drive, slow_rate):
    """The flow of (r, v, a) under v̇ ∋ drive(r, a), ȧ = slow_rate(r, a)."""

    def flow(y):
        r, v, a = y
        return DELTA / jnp.pi + 2 * r * v, v**2 + ETA - jnp.pi**2 * r**2 + drive(r, a), slow_rate(r, a)

    return flow


def draw(low=0.05, high=0.9):
    return positive(0.05, 3), RNG.normal(size=DRAWS) * 2, RNG.uniform(low, high, DRAWS)


def assert_books(drive, slow_rate, store, power, y):
    """dE/dt = −Γ q̇² + power for E = ½q̇² + V(without coupling) + store."""
    energy = lambda y: bare_energy(y[0], y[1], ETA, DELTA)[0] + store(y[0], y[2])
    rate = rate_along(energy, population(drive, slow_rate), y)
    heat = bare_energy(y[0], y[1], ETA, DELTA)[1]
    close(rate, power(y[0], y[2]) - heat, 1e-10)


@pytest.mark.parametrize("J", [3.0, -3.0])
def test_a_first_order_synapse_has_an_exact_energy(J):
    """§C1: the store is J (s/r − 1 − ln(s/r)), the loss J τ ṡ²/(rs)."""
    assert_books(
        lambda r, s: J * s,
        lambda r, s: (r - s) / TAU,
        lambda r, s: -J * jnp.log(r) + J * (s / r - 1 - jnp.log(s / r)),
        lambda r, s: -J * (r - s) ** 2 / (TAU * r * s),
        draw(0.05, 3.0),
    )


class Synapse(nmm.extend.AbstractTerm):
    """τ_s s′ = τ r − s, sent instead of the rate."""

    tau_s: jax.Array = nmm.extend.parameter(symbol="τ_s", unit="time", bounds="(0, inf)", doc="time constant")
    tau: jax.Array = nmm.extend.parameter(1.0, symbol="τ", unit="time", bounds="(0, inf)", doc="of the membrane")

    @property
    def variables(self):
        return {"s": nmm.extend.Variable("synaptic activation", rest=0.0)}

    def rates(self, y):
        return {"s": (self.tau * y.r - y.s) / self.tau_s}

    def steady(self, r):
        return {"s": self.tau * r}

    def time_constants(self, r):
        return self.tau_s[None]

    def sent(self, y, R):
        return y.s


def test_the_energy_of_a_synapse_that_is_a_term():
    """§C1 by the library's energies: E_c = total_energy − J (1 + ln s), with heat and loss per unit of time, at τ ≠ 1."""
    tau_s, tau = 0.6, 1.7
    model = nmm.MPR(eta=ETA, J=J, Delta=DELTA, tau=tau, synapse=Synapse(tau_s, tau))
    r, v, s = draw(0.05, 3.0)
    y = nmm.State(r=jnp.asarray(r), v=jnp.asarray(v), s=jnp.asarray(s))
    flow = lambda y: model.vector_field(jnp.zeros(()), y, 0.0)
    rate = rate_along(lambda y: nmm.total_energy(model, y) - J * (1 + jnp.log(y.s)), flow, y)
    R = tau * r
    loss = J * (R - s) ** 2 / (tau_s * R * s)
    close(rate, -np.asarray(nmm.mechanics.heat_rate(model, y)) - loss, 1e-10)
    own = bare_energy(jnp.asarray(R), y.v, ETA, DELTA)[0] - J * np.log(R) + J * (s / R - 1 - np.log(s / R))
    close(nmm.total_energy(model, y) - J * (1 + jnp.log(y.s)), own)


ALPHA, U, U0, K, E_S = 0.8, 0.5, 0.2, 0.9, 1.3
SLOW = {  # drive, rate, store, its power, sign of the power, range of the slow variable
    "adaptation": (
        lambda r, A: J * r - A,
        lambda r, A: ALPHA * r - A / TAU,
        lambda r, A: -J * jnp.log(r) - A / r + ALPHA * TAU * jnp.log(A),
        lambda r, A: ALPHA * (r - A / (ALPHA * TAU)) ** 2 / (r * A / (ALPHA * TAU)),
        1,
        (0.05, 3.0),
    ),
    "depression": (
        lambda r, A: J * r * (1 - A),
        lambda r, A: ALPHA * r - A / TAU,
        lambda r, A: -J * (1 - A) * jnp.log(r) - J * (A * jnp.log(A / (ALPHA * TAU)) - A),
        lambda r, A: J * ALPHA * (r - A / (ALPHA * TAU)) * jnp.log(r / (A / (ALPHA * TAU))),
        1,
        (0.05, 0.9),
    ),
    "resources": (
        lambda r, x: J * U * x * r,
        lambda r, x: (1 - x) / TAU - U * x * r,
        lambda r, x: J * U * ((1 - x) * (1 - jnp.log(1 - x)) + x * (1 - jnp.log(TAU * U * x)) - x * jnp.log(r)),
        lambda r, x: J * U**2 * x * (r - (1 - x) / (TAU * U * x)) * jnp.log(r / ((1 - x) / (TAU * U * x))),
        1,
        (0.05, 0.95),
    ),
    "facilitation": (
        lambda r, u: J * u * r,
        lambda r, u: (U0 - u) / TAU + U0 * (1 - u) * r,
        lambda r, u: J * ((u - U0) * (jnp.log(u - U0) - 1) + (1 - u) * (jnp.log(1 - u) - 1) - u * jnp.log(TAU * U0 * r)),
        lambda r, u: -J * U0 * (1 - u) * (r - rho_u(u)) * jnp.log(r / rho_u(u)),
        -1,
        (U0 + 0.02, 0.95),
    ),
    "any f(s)": (
        lambda r, s: jnp.sin(s),
        lambda r, s: (r - s) / TAU,
        lambda r, s: jnp.sin(s) / r - integral_of_cosine(s),
        lambda r, s: -jnp.cos(s) * (r - s) ** 2 / (TAU * r * s),
        -1,
        (0.05, 1.5),
    ),
}


def rho_u(u):
    return (u - U0) / (TAU * U0 * (1 - u))


@jax.custom_jvp
def integral_of_cosine(s):
    """∫ cos(s)/s ds, of which only the derivative counts here."""
    return jnp.zeros_like(s)


integral_of_cosine.defjvp(
    lambda primals, tangents: (jnp.zeros_like(primals[0]), jnp.cos(primals[0]) / primals[0] * tangents[0])
)


@pytest.mark.parametrize("name", SLOW)
def test_slow_feedback_pumps_or_dissipates(name):
    """§C2: the stores of the table, and the sign of their power."""
    drive, rate, store, power, sign, span = SLOW[name]
    y = draw(*span)
    assert_books(drive, rate, store, power, y)
    assert np.all(sign * np.asarray(power(y[0], y[2])) >= 0)


def test_a_conductance_is_a_current():
    """§C3: v = w + c/2 turns a conductance c(t) into a current, a first-order one into f(s) and a change of J."""
    r, v, s = draw(0.05, 3.0)
    c, c_rate = K * s, K * (r - s) / TAU
    w = v - c / 2
    close(2 * r * v - c * r, 2 * r * w)
    current = c * E_S - c**2 / 4 - c_rate / 2
    close(v**2 + c * (E_S - v) - c_rate / 2, w**2 + current)
    f = (K * E_S + K / (2 * TAU)) * s - K**2 * s**2 / 4
    close(current, -K / (2 * TAU) * r + f)
    slope = K * E_S + K / (2 * TAU) - K**2 * s / 2
    np.testing.assert_array_equal(slope > 0, s < 2 * E_S / K + 1 / (K * TAU))


def test_hopf_points_of_filtered_coupling():
    """§C4: eigenvalues ±iω of a first-order synapse; the damping that filters add, and its limit of §9.2."""
    r, Delta, tau = positive(0.05, 2), positive(0.05, 2), positive(0.02, 5)
    a = Delta / (np.pi * r)
    omega = np.sqrt(a**2 + 2 * a / tau + 4 * np.pi**2 * r**2)
    coupling = -Delta * (1 + omega**2 * tau**2) / (np.pi * r**2 * tau)
    for x, friction, k, t, w in zip(r, a, coupling, tau, omega, strict=True):
        jacobian = np.array([[-friction, 2 * x, 0], [-2 * np.pi**2 * x, -friction, k], [1 / t, 0, -1 / t]])
        values = np.linalg.eigvals(jacobian)
        close(np.sort(values.imag)[[0, -1]], [-w, w], 1e-9)
        assert np.sort(np.abs(values.real))[1] < 1e-9 * w
    filters = {
        "first order": lambda w, t: 1 / (1 + 1j * w * t),
        "alpha": lambda w, t: 1 / (1 + 1j * w * t / 2) ** 2,  # mean delay t
        "delay": lambda w, t: np.exp(-1j * w * t),
    }
    w = RNG.uniform(0.5, 20, DRAWS)
    for each in filters.values():
        H = each(w, tau)
        characteristic = (1j * w + a) ** 2 + 4 * np.pi**2 * r**2 - 2 * r * coupling * H
        close(characteristic.imag, 2 * w * (a - r * coupling * H.imag / w))
        close(characteristic.real, a**2 + 4 * np.pi**2 * r**2 - 2 * r * coupling * H.real - w**2)
        short = 1e-6
        close(-2 * coupling * r * each(w, short).imag / w, 2 * coupling * short * r, 1e-8)
    alpha = 1 / (1 + 1j * w * tau) ** 2
    close(-2 * coupling * r * alpha.imag / w, 2 * coupling * tau * r * 2 / (1 + w**2 * tau**2) ** 2)


def test_predicted_amplitude_of_ing():
    """§C4: near the Hamiltonian limit the zero of ∮ [(Δ/π) q² + 4Jτ/q²] p dq is within 1 % of the simulated 1.5903."""
    eta, k, Delta, tau = 5.0, -2.0, 0.02, 0.01
    U = lambda q: eta * q**2 / 2 + 2 * np.pi**2 / q**2 + 2 * k * np.log(q / np.sqrt(2)) + Delta**2 * q**6 / (96 * np.pi**2)
    bottom = brentq(lambda q: eta * q - 4 * np.pi**2 / q**3 + 2 * k / q, 1, 5)

    def loss(peak):
        inner = np.sqrt(2 / peak)
        outer = brentq(lambda q: U(q) - U(inner), bottom, 50)
        theta = (np.arange(400) + 0.5) * np.pi / 400
        q = (inner + outer - (outer - inner) * np.cos(theta)) / 2
        p = np.sqrt(np.maximum(2 * (U(inner) - U(q)), 0))
        return np.sum((Delta / np.pi * q**2 + 4 * k * tau / q**2) * p * np.sin(theta))

    assert brentq(loss, 0.8, 3) == pytest.approx(1.599, abs=5e-4)
    assert brentq(loss, 0.8, 3) == pytest.approx(1.5903, rel=0.01)


def test_synapses_keep_minima_stable_up_to_a_bound():
    """§C5: minima of Ψ are stable if λ_min(J) ≥ −min(a/r)/τ; some beyond the bound are not."""
    within = beyond = unstable = 0
    for _ in range(1500):
        n = int(RNG.integers(1, 5))
        r, Delta, W, _ = nodes(n)
        W, tau = W * positive(0.1, 3, 1), float(positive(0.02, 5, 1)[0])
        if np.linalg.eigvalsh(hessian(r, Delta, W))[0] <= 0:
            continue
        fast = linearised(r, Delta, 0 * W)
        jacobian = np.block([
            [fast, np.vstack([np.zeros((n, n)), W])], [np.eye(n) / tau, np.zeros((n, n)), -np.eye(n) / tau]
        ])  # fmt: skip
        stable = np.linalg.eigvals(jacobian).real.max() < 0
        if np.linalg.eigvalsh(W)[0] >= -np.min(Delta / (np.pi * r**2)) / tau:
            within += 1
            assert stable
        else:
            beyond += 1
            unstable += not stable
    assert within > 100 and beyond > 100 and unstable > 10


def delayed_eigenvalues(fast, late, delay, order=16):
    """Eigenvalues of ẋ = fast x + late x(t − delay), by collocation on Chebyshev nodes of the history."""
    k = np.arange(order + 1)
    x = np.cos(np.pi * k / order)
    c = np.where((k == 0) | (k == order), 2.0, 1.0) * (-1.0) ** k
    D = np.outer(c, 1 / c) / (x[:, None] - x[None] + np.eye(order + 1))
    D -= np.diag(D.sum(axis=1))
    n = len(fast)
    generator = np.kron(D * 2 / delay, np.eye(n))
    generator[:n] = 0
    generator[:n, :n], generator[:n, -n:] = fast, late
    return np.linalg.eigvals(generator)


def test_delays_keep_minima_stable_up_to_a_bound():
    """§C5: minima of Ψ are stable if D ‖J‖₂ ≤ min(a/r); with ten times the delay some are not."""
    unstable = tried = 0
    for _ in range(400):
        n = int(RNG.integers(1, 4))
        r, Delta, W, _ = nodes(n)
        W = W * positive(0.1, 3, 1)
        if np.linalg.eigvalsh(hessian(r, Delta, W))[0] <= 0.01:
            continue
        fast, late = linearised(r, Delta, 0 * W), np.zeros((2 * n, 2 * n))
        late[n:, :n] = W
        bound = np.min(Delta / (np.pi * r**2)) / np.linalg.norm(W, 2)
        tried += 1
        assert delayed_eigenvalues(fast, late, 0.99 * bound).real.max() < 0
        unstable += delayed_eigenvalues(fast, late, 10 * bound).real.max() > 0
    assert tried > 100 and unstable > 20


def test_a_synapse_with_its_own_bath_is_boltzmann():
    """§C6: exp(−E_c/T)/r² solves the Fokker–Planck equation; without the bath of the synapse it does not."""
    T, bath = 0.7, jnp.asarray([1.0, 0.0])
    D = T * DELTA / np.pi

    def log_density(y):
        r, v, s = y
        energy = bare_energy(r, v, ETA, DELTA)[0] - J * jnp.log(r) + J * (s / r - 1 - jnp.log(s / r))
        return -energy / T - 2 * jnp.log(r)

    def flux(y, bath):
        """Probability flux over density: drift less the gradient of the diffusion."""
        r, v, s = y
        drift = jnp.stack([
            DELTA / jnp.pi + 2 * r * v, v**2 + ETA - jnp.pi**2 * r**2 + J * s, ((1 + bath * T / J) * r - s) / TAU
        ])  # fmt: skip
        diffusion = jnp.stack([0 * r, D + 0 * r, bath * T * r * s / (J * TAU)])
        slope = jnp.stack([0 * r, 0 * r, bath * T * r / (J * TAU)])
        return drift - slope - diffusion * jax.grad(log_density)(y)

    def divergence(y, bath):
        field = flux(y, bath)
        terms = jnp.append(jnp.diagonal(jax.jacfwd(flux)(y, bath)), field * jax.grad(log_density)(y))
        return jnp.sum(terms), jnp.sum(jnp.abs(terms))

    y = jnp.stack(draw(0.1, 2.0), axis=1)
    left, size = jax.jit(jax.vmap(lambda y: jax.vmap(lambda b: divergence(y, b))(bath)))(y)
    relative = np.abs(left / size)
    assert relative[:, 0].max() < 1e-11 and np.median(relative[:, 1]) > 1e-3


# --- §D: networks -----------------------------------------------------------------------------------------------------


def landscape(rates, eta, Delta, W, d=1.0):
    own = jnp.pi**2 * rates**3 / 3 - eta * rates + Delta**2 / (4 * jnp.pi**2 * rates)
    return jnp.sum(d * (own - rates * (W @ rates) / 2))


def network(eta, Delta, W):
    def flow(y):
        r, v = y
        return Delta / jnp.pi + 2 * r * v, v**2 + eta - jnp.pi**2 * r**2 + W @ r

    return flow


def test_fixed_points_of_dale_networks_are_critical():
    """§D2: with d = ±1 of E and I nodes, whose magnitudes are symmetric."""
    for _ in range(20):
        r, Delta, A, _ = nodes(5)
        sign = RNG.choice([-1.0, 1.0], 5)
        W = np.abs(A) * sign
        eta = np.pi**2 * r**2 - Delta**2 / (4 * np.pi**2 * r**2) - W @ r
        slope = jax.grad(landscape)(jnp.asarray(r), eta, Delta, W, sign)
        np.testing.assert_allclose(slope, 0, atol=1e-11 * float(np.max(np.abs(W) @ r) + np.max(np.abs(eta))))


def test_books_of_any_network():
    """§D5: friction, a parametric term, and the work of the antisymmetric part of the weights."""
    for _ in range(10):
        _, Delta, W, eta = nodes(4, symmetric=False)
        y = jnp.asarray(positive(0.1, 2, 4)), jnp.asarray(RNG.normal(size=4))
        S, A = (W + W.T) / 2, (W - W.T) / 2
        flow = network(eta, Delta, W)
        energy = lambda y, flow=flow, eta=eta, Delta=Delta, S=S: (
            jnp.sum(flow(y)[0] ** 2 / (4 * y[0])) + landscape(y[0], eta, Delta, S)
        )
        r, moved = np.asarray(y[0]), np.asarray(flow(y)[0])
        terms = [-Delta / (np.pi * r) * moved**2 / r, moved**3 / (2 * r**2), (A @ r) * moved]
        close(rate_along(energy, flow, y), np.sum(terms), 1e-10)


def test_hopf_point_of_an_e_i_pair():
    """§D5: √|J_EI J_IE| = a ω/√(r_E r_I), ω² = Ω² + a²."""
    for a, Omega, share in zip(positive(0.05, 2), positive(0.3, 10), positive(0.2, 5), strict=True):
        r = positive(0.1, 2, 2)
        omega = np.sqrt(Omega**2 + a**2)
        cross = a * omega / np.sqrt(r[0] * r[1])
        W = np.diag((4 * np.pi**2 * r**2 - Omega**2) / (2 * r)) + np.array([[0, -cross * share], [cross / share, 0]])
        values = np.linalg.eigvals(linearised(r, a * np.pi * r, W))
        nearest = values[np.argsort(np.abs(values.real))[:2]]
        assert np.max(np.abs(nearest.real)) < 1e-9 * omega
        close(np.abs(nearest.imag), [omega, omega], 1e-9)


def test_the_schwarzian_form_of_a_network():
    """§D6: ½{φ, t} + (Δ/πr²) ṙ = −∂Ψ/∂r, and r² (q̈ + Γ q̇) = −∂Ψ/∂q."""
    _, Delta, W, eta = nodes(5)
    flow, y = network(eta, Delta, W), (jnp.asarray(positive(0.1, 2, 5)), jnp.asarray(RNG.normal(size=5)))
    r, moved = np.asarray(y[0]), np.asarray(flow(y)[0])
    second = np.asarray(rate_along(lambda y: flow(y)[0], flow, y))
    schwarzian = second / r - 1.5 * (moved / r) ** 2
    slope = np.asarray(jax.grad(landscape)(y[0], eta, Delta, W))
    close(schwarzian / 2 + Delta / (np.pi * r**2) * moved, -slope, 1e-10)
    speed = lambda y: -flow(y)[0] / jnp.sqrt(2 * y[0] ** 3)  # q̇ of q = √(2/r)
    q_second, damping = np.asarray(rate_along(speed, flow, y)), 2 * Delta / (np.pi * r)
    close(r**2 * (q_second + damping * np.asarray(speed(y))), slope * np.sqrt(2 * r**3), 1e-10)


def test_phase_volume_shrinks_by_the_damping():
    """§D6: Π dr dv/r² shrinks at Σ 2Δ/πr for any weights."""
    _, Delta, W, eta = nodes(5, symmetric=False)
    flow, r = network(eta, Delta, W), positive(0.1, 2, 5)

    def canonical(x):  # (1/r, v), whose volume is that of dr dv/r²
        w, v = x[:5], x[5:]
        r_rate, v_rate = flow((1 / w, v))
        return jnp.concatenate([-r_rate * w**2, v_rate])

    x = jnp.asarray(np.concatenate([1 / r, RNG.normal(size=5)]))
    close(jnp.trace(jax.jacfwd(canonical)(x)), -np.sum(2 * Delta / (np.pi * r)), 1e-11)


def test_cycles_exist_where_psi_is_convex():
    """§D7: a single resting state by §D3, and a run that does not come to rest."""
    W, eta, Delta = np.array([[-14.0, 21.0], [21.0, -23.0]]), np.array([9.0, -5.0]), 0.3
    assert np.linalg.eigvalsh(W)[-1] < 8 * np.pi / 3 * 0.75**0.25 * np.sqrt(Delta)
    flow = lambda t, y: np.concatenate(
        [Delta / np.pi + 2 * y[:2] * y[2:], y[2:] ** 2 + eta - np.pi**2 * y[:2] ** 2 + W @ y[:2]]
    )
    run = solve_ivp(flow, (0, 80), [8.0, 30.0, 0.0, 0.0], method="LSODA", rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(run.y[:2, run.t > 60].max(axis=1), [11.8589, 62.355], rtol=1e-3)


# --- §E: noise in networks --------------------------------------------------------------------------------------------


def test_covariance_is_that_of_psi_if_temperatures_match():
    """§E: cov(r) = T (Hess Ψ)⁻¹ for πD r²/Δ = T at every node, and not with equal D."""
    T, tried = 0.01, 0
    for _ in range(40):
        r, Delta, W, _ = nodes(3)
        curvature = hessian(r, Delta, W)
        if np.linalg.eigvalsh(curvature)[0] <= 0.1:
            continue
        tried += 1
        matched = T * Delta / (np.pi * r**2)

        def covariance(D, r=r, Delta=Delta, W=W):
            noise = np.diag(np.concatenate([np.zeros(3), -2 * D]))
            return solve_continuous_lyapunov(linearised(r, Delta, W), noise)[:3, :3]

        close(covariance(matched), T * np.linalg.inv(curvature), 1e-8)
        equal = covariance(np.full(3, np.exp(np.mean(np.log(matched)))))
        assert np.linalg.norm(equal / T - np.linalg.inv(curvature)) > 0.01 * np.linalg.norm(np.linalg.inv(curvature))
    assert tried >= 5
