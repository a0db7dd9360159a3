"""Slow variables: published bifurcations from the model's own Jacobian, kernels, conventions, energies, energy balance."""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from helpers import rest_slow

import nmmjax as nmm
from nmmjax import (
    MPR,
    ConductanceSynapse,
    GapJunction,
    ShortTermPlasticity,
    SpikeFrequencyAdaptation,
    State,
    SynapticDepression,
    energy_balance,
    simulate,
)

J = 15 * np.sqrt(2.0)
KINDS = {"SD": (SynapticDepression, 0.05), "SFA": (SpikeFrequencyAdaptation, 1.0)}
TIGHT = {"rtol": 1e-11, "atol": 1e-13}
PLASTIC = ShortTermPlasticity(tau_d=12.0, tau_f=90.0, U0=0.2)
MODELS = {
    "depression": MPR(-5.5, J, 2.0, adaptation=SynapticDepression(0.05, 10.0)),
    "depression, exponential": MPR(-5.5, J, 2.0, adaptation=SynapticDepression(0.05, 10.0, "exponential")),
    "adaptation": MPR(1.3, J, 2.0, adaptation=SpikeFrequencyAdaptation(1.0, 10.0)),
    "adaptation, exponential": MPR(1.3, J, 2.0, adaptation=SpikeFrequencyAdaptation(1.0, 10.0, "exponential")),
    "plasticity": MPR(-1.0, 15.0, 0.25, tau=1.5, plasticity=PLASTIC),
    "all": MPR(
        1.0,
        9.0,
        0.5,
        tau=1.3,
        gap=GapJunction(0.2),
        conductance=ConductanceSynapse(0.3, -1.0),
        adaptation=SpikeFrequencyAdaptation(0.2, 8.0),
        plasticity=PLASTIC,
    ),
}
models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def a_state(model, n=9):
    """Random states with every variable of the model."""
    keys = iter(jax.random.split(jax.random.key(3), 8))
    start = model.state({"r": 1.0, "v": 0.0})
    spread = {name: jax.random.uniform(next(keys), (n,), minval=0.05, maxval=0.6) for name in start.names}
    return State(**(spread | {"r": 0.1 + 3 * spread["r"], "v": 4 * spread["v"] - 1.5}))


# --- equations --------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@models
def test_fast_equations_see_eta_eff_and_J_eff(model):
    """r and v move like those of the population without slow terms at η − A, J (1 − A), J x u."""
    y = a_state(model)
    A, x, u = (np.asarray(y.variables.get(name, 0.0)) for name in ("A", "x", "u"))
    depresses = isinstance(model.adaptation, SynapticDepression)
    eta = float(model.eta) - (0.0 if depresses else A)
    coupling = float(model.J) * ((1 - A) if depresses else 1.0) * (x * u if model.plasticity is not None else 1.0)
    fast = model.frozen(y)
    np.testing.assert_allclose(fast.eta + 0 * y.r, eta + 0 * y.r, rtol=1e-14)
    np.testing.assert_allclose(fast.J + 0 * y.r, coupling + 0 * y.r, rtol=1e-14)
    assert not fast.slow_terms
    flow, held = model.vector_field(jnp.zeros(()), y), fast.vector_field(jnp.zeros(()), State(r=y.r, v=y.v))
    np.testing.assert_allclose(flow.r, held.r, rtol=1e-14)
    np.testing.assert_allclose(flow.v, held.v, rtol=1e-14)
    assert flow.names == y.names and set(model.slow_names) == set(y.names) - {"r", "v"}


@pytest.mark.parametrize("kernel", ["alpha", "exponential"])
@pytest.mark.parametrize("kind", KINDS)
def test_kernels(kind, kernel):
    """At a rate held at r, A relaxes to α τ_A r: as 1 − (1 + t/τ_A) e^(−t/τ_A) and as 1 − e^(−t/τ_A)."""
    term = KINDS[kind][0](0.3, 4.0, kernel)
    r, ts = 0.7, np.linspace(0.0, 30.0, 7)

    def held(t, y):
        rates = term.rates(State(r=jnp.asarray(r), v=jnp.zeros(()), A=y[0], B=y[-1]))
        return np.array([rates["A"], rates.get("B", rates["A"])])

    from scipy.integrate import solve_ivp

    A = solve_ivp(held, (0.0, 30.0), [0.0, 0.0], t_eval=ts, rtol=1e-10, atol=1e-12).y[0]
    z = ts / 4.0
    rise = 1 - (1 + z) * np.exp(-z) if kernel == "alpha" else 1 - np.exp(-z)
    np.testing.assert_allclose(A, 0.3 * 4.0 * r * rise, atol=1e-8)
    assert term.names == (("A", "B") if kernel == "alpha" else ("A",))


@models
def test_slow_variables_start_at_rest_unless_given(model):
    y0 = model.state({"r": 0.2, "v": -1.0})
    rest = {"A": 0.0, "B": 0.0, "x": 1.0, "u": 0.2}
    assert {name: float(getattr(y0, name)) for name in model.slow_names} == {name: rest[name] for name in model.slow_names}
    name = model.slow_names[0]
    assert float(getattr(model.state({"r": 0.2, "v": -1.0, name: 0.4}), name)) == 0.4
    again = model.state(y0)
    assert jax.tree.structure(again) == jax.tree.structure(y0)


# --- published bifurcations -------------------------------------------------------------------------------------------

# r, η of Hopf (frequency) and fold points on the branch of equilibria; models.md §2 and exact algebra at 40 digits.
HOPF = [
    ("SD", "alpha", 0.244062000907823, -5.65862864327715, 0.1095885906922),
    ("SD", "alpha", 0.700506736200083, -5.01859807184299, 0.3114869006178),
    ("SD", "exponential", 0.252515810161475, -5.64001674743341, 0.1297164871853),
    ("SD", "exponential", 0.686680265663615, -5.12642464437725, 0.7276405242073),
    ("SFA", "alpha", 0.223648611346284, -4.03981860083775, 0.1721647009205),
    ("SFA", "alpha", 1.094524004428260, -0.534080541354865, 0.4289514292501),
    ("SFA", "exponential", 0.235154952207726, -3.92335305377284, 0.2772393588417),
    ("SFA", "exponential", 1.108381413083250, -0.386079811598744, 1.385546096383),
]
FOLDS = [
    ("SD", 0.271938929167273, -5.62458086285497),
    ("SD", 0.470482599732383, -5.90568944450799),
    ("SFA", 0.378014803146280, -3.53749731419236),
    ("SFA", 0.467761447973822, -3.54870228444711),
]


def equilibrium(kind, kernel, r):
    """The model with its equilibrium at rate r, and that equilibrium as a vector."""
    cls, alpha = KINDS[kind]
    v, A = -2.0 / (2 * jnp.pi * r), alpha * 10.0 * r
    names = ("r", "v", "A", "B")[: 4 if kernel == "alpha" else 3]
    y = jnp.stack([r, v, A, jnp.zeros_like(r)])[: len(names)]

    def model(eta):
        return MPR(eta, J, 2.0, adaptation=cls(alpha, 10.0, kernel))

    def field(eta, y):
        flow = model(eta).vector_field(jnp.zeros(()), State(**dict(zip(names, y, strict=True))))
        return jnp.stack([getattr(flow, name) for name in names])

    eta = -field(jnp.zeros(()), y)[1]
    return eta, y, field


@pytest.mark.parametrize(("kind", "kernel", "r", "eta", "omega"), HOPF)
def test_hopf_points(kind, kernel, r, eta, omega):
    found, y, field = equilibrium(kind, kernel, jnp.asarray(r))
    np.testing.assert_allclose(found, eta, atol=1e-8)
    np.testing.assert_allclose(field(found, y), 0, atol=1e-12)
    eigenvalues = np.linalg.eigvals(jax.jacfwd(lambda y: field(found, y))(y))
    pair = eigenvalues[np.argsort(np.abs(eigenvalues.real))[:2]]
    np.testing.assert_allclose(np.sort(pair.imag), [-omega, omega], atol=1e-8)
    np.testing.assert_allclose(pair.real, 0, atol=1e-8)


@pytest.mark.parametrize(("kind", "r", "eta"), FOLDS)
def test_fold_points(kind, r, eta):
    """dη/dr = 0 along the branch, whatever the kernel; Newton's method from nearby finds the tabulated r."""
    along = lambda r: equilibrium(kind, "alpha", r)[0]
    root = optx.root_find(lambda r, _: jax.grad(along)(r), optx.Newton(1e-12, 1e-12), jnp.asarray(r + 1e-3)).value
    np.testing.assert_allclose([root, along(root)], [r, eta], atol=1e-8)
    np.testing.assert_allclose(equilibrium(kind, "exponential", root)[0], eta, atol=1e-8)


@pytest.mark.parametrize(("eta", "y0", "rest"), [(-6.0, (0.2, -1.0), 0.196635), (-4.0, (0.8, -0.3), 0.802011)])
def test_rest_states(eta, y0, rest):
    """Depression at η = −6 and −4 settles to the published rest states."""
    model = MPR(eta, J, 2.0, adaptation=SynapticDepression(0.05, 10.0))
    start = {"r": y0[0], "v": y0[1], "A": 0.5 * y0[0]}
    end = simulate(model, start, [0.0, 600.0]).y_end
    np.testing.assert_allclose(end.r, rest, atol=1e-6)
    np.testing.assert_allclose(end.A, 0.5 * rest, atol=1e-6)


# --- energy -----------------------------------------------------------------------------------------------------------


@models
def test_field_from_energy_and_mechanical_form(model):
    """In the instantaneous landscape the energy gives the vector field, and q̈ + Γ q̇ + U′ + I q = 0 exactly."""
    y = a_state(model)
    flow, rebuilt = model.vector_field(jnp.zeros(()), y), nmm.mechanics.hamiltonian_field(model, y)
    for name in y.names:
        np.testing.assert_allclose(getattr(rebuilt, name), getattr(flow, name), rtol=1e-11, atol=1e-11)
    residual = nmm.mechanics.mechanical_residual(model, y, 0.7)
    np.testing.assert_allclose(residual, 0, atol=1e-10 * float(jnp.max(jnp.abs(nmm.mechanics.force(model, y, 0.7)))))


@models
def test_energy_changes_by_heat_and_slow_work(model):
    """dE/dt along the motion is −Γ q̇² and the power of each slow variable, in closed form."""
    y = a_state(model)
    flow = model.vector_field(jnp.zeros(()), y)
    _, rate = jax.jvp(lambda y: nmm.total_energy(model, y), (y,), (flow,))
    power = nmm.mechanics.slow_power(model, y)
    np.testing.assert_allclose(rate, sum(power.values()) - nmm.mechanics.heat_rate(model, y), rtol=1e-10, atol=1e-10)
    R = model.tau * y.r
    closed = {}
    if isinstance(model.adaptation, SpikeFrequencyAdaptation):
        closed["A"] = -flow.A / R
    if isinstance(model.adaptation, SynapticDepression):
        closed["A"] = model.J * flow.A * jnp.log(R)
    if model.plasticity is not None:
        closed |= {"x": -model.J * y.u * flow.x * jnp.log(R), "u": -model.J * y.x * flow.u * jnp.log(R)}
    assert set(power) == set(closed)
    for name, each in closed.items():
        np.testing.assert_allclose(power[name], each, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", rest_slow(MODELS, "adaptation", "depression, exponential"))
def test_energy_balance_closes(name):
    """Through bursts and under a slow drive: residual ≤ 1e-8 of the largest term."""
    run = simulate(MODELS[name], {"r": 0.4, "v": -0.5}, np.linspace(0.0, 20.0, 41), stimulus=nmm.Sinusoid(0.5, 0.3), **TIGHT)
    balance = energy_balance(run)
    assert run.result == nmm.results.RESULTS.successful and balance.relative <= 1e-8
    assert set(balance.slow_work) == set(run.model.slow_names) - {"B"}
    assert all(np.abs(each).max() > 1e-3 for each in balance.slow_work.values())
    assert "work of" in repr(balance)


def test_without_slow_terms_nothing_changes():
    balance = energy_balance(simulate(MPR(1.0, 4.0, 0.3), {"r": 0.4, "v": -0.5}, [0.0, 1.0, 2.0]))
    assert balance.slow_work == {} and "work of" not in repr(balance)
    model = MPR()
    assert model.frozen(model.state({"r": 1.0, "v": 0.0})) is model


# --- labels, sweeps, doors --------------------------------------------------------------------------------------------


def test_outputs_are_labelled():
    model = MODELS["all"]
    run = simulate(model, {"r": 0.4, "v": -0.5}, [0.0, 0.5, 1.0])
    data = run.to_xarray()
    assert {"r", "v", "A", "B", "x", "u", "eta_eff", "J_eff"} <= set(data.data_vars)
    assert data.A.attrs["long_name"] == "adaptation or depression" and data.u.attrs["units"] == "1"
    assert data.attrs["adaptation"] == "SpikeFrequencyAdaptation" and data.attrs["adaptation.kernel"] == "alpha"
    assert data.attrs["plasticity.U0"] == 0.2
    assert "adaptation=SpikeFrequencyAdaptation(alpha=0.2, tau=8, kernel='alpha')" in repr(model)
    axes = nmm.plot.trajectory(run)
    assert len(axes) == 4 and "slow" in axes[3].get_ylabel()


def test_sweeps_take_slow_terms():
    """Over a term's parameter and a slow initial value; the same numbers as single runs."""
    model = MODELS["depression"]
    found = nmm.sweep(
        model,
        over={"adaptation.alpha": [0.02, 0.05], "A": [0.1, 0.3]},
        y0={"r": 0.2, "v": -1.0},
        t1=8.0,
        rtol=1e-9,
        observe={"last": nmm.Final(), "peak": nmm.Peak("r"), "mean": nmm.Mean("energy")},
        progress=False,
    )
    assert int(found.status.sum()) == 0
    alone = simulate(model, {"r": 0.2, "v": -1.0, "A": 0.3}, [0.0, 8.0], **TIGHT).y_end
    for name in ("r", "v", "A", "B"):
        np.testing.assert_allclose(found[f"last_{name}"][1, 1], getattr(alone, name), rtol=1e-6)


BAD = [
    (lambda: SynapticDepression(-0.1, 10.0), r"Argument `alpha` must be ≥ 0, but got -0\.1\."),
    (lambda: SpikeFrequencyAdaptation(0.1, 0.0), r"Argument `tau` must be > 0, but got 0\."),
    (lambda: SynapticDepression(0.1, 1.0, "beta"), r"Argument `kernel` must be one of \('alpha', 'exponential'\), but got"),
    (lambda: ShortTermPlasticity(1.0, 1.0, 1.5), r"Argument `U0` must be > 0 and ≤ 1, but got 1\.5\."),
    (lambda: MPR(adaptation=nmm.GapJunction(1.0)), r"Argument `adaptation` must be None or a term such as"),
    (
        lambda: MPR(adaptation=SynapticDepression(0.1, 1.0), plasticity=SynapticDepression(0.1, 1.0)),
        r"Argument `plasticity` must add variables other than r, v, A, B, but got \('A', 'B'\)",
    ),
    (lambda: MPR().state({"r": 1.0, "v": 0.0, "A": 0.1}), r"Argument `A` must be one of the state names `r`, `v`, but got"),
    (lambda: nmm.total_energy(MODELS["adaptation"], {"r": 1.0, "v": 0.0}), r"Argument `y` must have the key `A`"),
    (lambda: nmm.orbit(MODELS["adaptation"], 12.0), r"Argument `model` must be without slow terms, whose landscape moves"),
    (
        lambda: nmm.mechanics.rescale(MODELS["adaptation"], 2.0),
        r"Argument `model` must be without slow terms to be rescaled",
    ),
    (lambda: nmm.mechanics.RescaledTime(MODELS["adaptation"]), r"Argument `model` must be without slow terms to be run"),
    (
        lambda: simulate(MODELS["adaptation"], {"r": 1.0, "v": 0.0}, [0.0, 1.0], solver=nmm.MobiusSplitting(4), dt0=0.1),
        r"Argument `model` must be without slow terms other than a synapse for a Möbius solver",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_float32():
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), MODELS["all"])
    run = simulate(model, {"r": 0.4, "v": -0.5}, [0.0, 1.0, 2.0])
    assert {leaf.dtype for leaf in jax.tree.leaves(run.ys)} == {jnp.dtype("float32")}
    assert energy_balance(run).relative < 1e-3
