"""The slow–fast picture against closed forms, published bifurcations and simulations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import central_difference, rest_slow

import nmmjax as nmm
from nmmjax.bursting.frozen import Fast, fold_positions
from nmmjax.bursting.slow_fast_picture import KINDS
from nmmjax.equilibria.steady import find_equilibria

J = 15 * 2**0.5
COMMON = {"J": J, "Delta": 2.0}


def depressed(eta=-5.5, alpha=0.05, kernel="alpha", **others):
    return nmm.MPR(eta=eta, **(COMMON | others), adaptation=nmm.SynapticDepression(alpha, 10.0, kernel))


def adapted(eta=1.3, kernel="exponential", **others):
    return nmm.MPR(eta=eta, **(COMMON | others), adaptation=nmm.SpikeFrequencyAdaptation(1.0, 10.0, kernel))


def plastic(eta=-2.0, J=30.0, Delta=0.25, **others):
    return nmm.MPR(eta=eta, J=J, Delta=Delta, plasticity=nmm.ShortTermPlasticity(13.0, 100.0, 0.2), **others)


ELECTRIC = {"gap": nmm.GapJunction(0.6), "conductance": nmm.ConductanceSynapse(0.3, -1.0), "tau": 1.5}
MODELS = {
    "depression": depressed(),
    "adaptation": adapted(),
    "plasticity": plastic(),
    "adaptation, electric": adapted(eta=2.0, J=8.0, Delta=0.4, **ELECTRIC),
}
models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def slow_state(model, r, v, slow):
    """States of the whole population with this slow variable, whatever the fast equations don't see being at rest."""
    r = jnp.asarray(r)
    rest = {name: value + jnp.zeros_like(r) for name, value in model.slow_rest().items()}
    rest |= {"A": jnp.asarray(slow)} if model.adaptation is not None else {"x": slow / rest["u"]}
    return nmm.State(r=r, v=jnp.asarray(v), **rest)


@pytest.mark.parametrize("name", rest_slow(MODELS, "depression", "plasticity"))
def test_branches_are_equilibria_with_the_jacobians_eigenvalues(name):
    model = MODELS[name]
    picture = nmm.slow_fast(model, I=0.3)
    states = slow_state(model, picture.r, picture.v, picture.slow)

    def field(r, v, y):
        flow = model.vector_field(r, y.replace(r=r, v=v), 0.3)
        return jnp.stack([flow.r, flow.v])

    scale = 1 + picture.v**2 + (jnp.pi * model.tau * picture.r) ** 2
    np.testing.assert_allclose(jax.vmap(field)(picture.r, picture.v, states) / scale[:, None], 0.0, atol=1e-13)
    expected = np.linalg.eigvals(np.stack(jax.vmap(jax.jacfwd(field, argnums=(0, 1)))(picture.r, picture.v, states), -1))
    assert np.all(picture.eigenvalues[:, 0].real >= picture.eigenvalues[:, 1].real)
    for found, wanted in zip(np.asarray(picture.eigenvalues), expected, strict=True):
        np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(wanted), rtol=1e-7, atol=1e-9)
    for values, kind in zip(expected, picture.kind, strict=True):
        name = "focus" if abs(values[0].imag) > 0 else "node"
        unstable = values.real.max() > 0
        name = f"{'un' if unstable else ''}stable {name}" if values.real.prod() > 0 else "saddle"
        assert KINDS[int(kind)] == name


@models
def test_slow_rates_vanish_on_the_nullcline(model):
    picture = nmm.slow_fast(model)
    steady = model.slow_steady(picture.r)
    states = nmm.State(r=picture.r, v=picture.v, **steady)
    for rate in model.slow_rates(states).values():
        np.testing.assert_allclose(rate, 0.0, atol=1e-14)
    product = states.A if model.adaptation is not None else states.x * states.u
    np.testing.assert_allclose(picture.nullcline, product, rtol=1e-14)


@models
def test_landscape_has_its_extrema_on_the_branches(model):
    """Wells and saddle are where the potential is level; the barrier is their difference, and vanishes at the folds."""
    picture = nmm.slow_fast(model, I=-0.2)
    low, high = np.sort(picture.fold_slow)
    inside = low + (high - low) * jnp.array([0.02, 0.5, 0.98])
    levels = picture.levels(inside)
    for rates, sign in ((levels.low, 1), (levels.saddle, -1), (levels.high, 1)):
        x = jnp.log(rates)
        slope = jax.grad(lambda x, s: picture.potential(jnp.exp(x), s))
        np.testing.assert_allclose(jax.vmap(slope)(x, inside), 0.0, atol=1e-9)
        assert np.all(sign * jax.vmap(jax.grad(slope))(x, inside) > 0)
    assert np.all(levels.low < levels.saddle) and np.all(levels.saddle < levels.high)
    assert np.all(levels.barrier_low > 0) and np.all(levels.barrier_high > 0)
    depth = picture.potential(levels.saddle, inside) - picture.potential(levels.high, inside)
    np.testing.assert_allclose(levels.barrier_high, depth, rtol=1e-12)
    width = 1e-6 * (high - low)
    at_start, at_stop = picture.levels(picture.fold_slow + jnp.where(picture.fold_slow > low, -width, width))[3:]
    assert at_start[0] < 1e-6 and at_stop[1] < 1e-6
    beyond = picture.levels(jnp.array([low - width, high + width]))
    assert np.sum(np.isfinite(beyond.low)) == 1 and np.sum(np.isfinite(beyond.high)) == 1
    assert np.all(np.isnan(beyond.saddle)) and np.all(np.isnan(beyond.barrier_low))


@pytest.mark.parametrize("eta", [-5.5, -4.6, -3.6])
@pytest.mark.parametrize("tau, current", [(1.0, 0.0), (2.5, 0.4)])
def test_folds_of_depression_in_closed_form(eta, tau, current):
    """r² = (−η ± √(η² − 3Δ²))/2π²,  A = 1 + (η − π²r² + Δ²/4π²r²)/(J r), in units of τ; a constant input shifts η."""
    picture = nmm.slow_fast(depressed(eta - current), I=current)
    r = np.sqrt((-eta + np.array([-1, 1]) * np.sqrt(eta**2 - 12)) / (2 * np.pi**2))
    A = 1 + (eta - np.pi**2 * r**2 + 1 / (np.pi * r) ** 2) / (J * r)
    np.testing.assert_allclose(picture.fold_r, r, rtol=1e-13)
    np.testing.assert_allclose(picture.fold_slow, A, rtol=1e-12)
    scaled = nmm.slow_fast(depressed(eta, tau=tau))
    np.testing.assert_allclose(scaled.fold_r * tau, r, rtol=1e-13)
    np.testing.assert_allclose(scaled.fold_slow, A, rtol=1e-12)
    # π²r⁴ + ηr² + Δ²/4π² = 0 where node and focus meet
    change = np.sqrt((-eta + np.array([-1, 1]) * np.sqrt(eta**2 - 4)) / (2 * np.pi**2))
    np.testing.assert_allclose(picture.change_r[:2], change, rtol=1e-13)
    assert np.all(np.isnan(picture.change_r[2:])) and np.all(np.isnan(picture.hopf_r))


# Published saddle-node points and focus onsets of the MPR model (models notes §1): Δ, J, (r, η) twice, η of the focus onset.
SADDLE_NODES = [
    (1.0, 15.0, (0.16256980, -3.13613409), (0.75391973, -5.74352716), -5.74318149),
    (1.0, 20.0, (0.14343119, -3.89685063), (1.01072619, -10.15685291), -10.15679237),
    (2.0, J, (0.22990841, -6.27226817), (1.06620350, -11.48705432), -11.48636298),
    (0.7, 14.5, (0.12747487, -2.45181935), (0.73136391, -5.34879707), -5.34869641),
]


@pytest.mark.parametrize("Delta, coupling, low, high, focus", SADDLE_NODES)
def test_folds_of_adaptation_are_the_saddle_nodes_of_the_population(Delta, coupling, low, high, focus):
    picture = nmm.slow_fast(adapted(eta=0.5, Delta=Delta, J=coupling))
    np.testing.assert_allclose(picture.fold_r, [low[0], high[0]], atol=6e-9)
    np.testing.assert_allclose(0.5 - picture.fold_slow, [low[1], high[1]], atol=6e-9)
    r = np.asarray(picture.fold_r)
    np.testing.assert_allclose(2 * np.pi**2 * r + Delta**2 / (2 * np.pi**2 * r**3), coupling, rtol=1e-13)
    assert picture.change_r[0] == pytest.approx(coupling / (2 * np.pi**2), rel=1e-13)
    assert 0.5 - picture.change_slow[0] == pytest.approx(focus, abs=6e-9)


def test_published_fixed_points_as_levels():
    """Node, saddle and focus of the bistable set η = −5, J = 15, Δ = 1 (models notes §1)."""
    levels = nmm.slow_fast(adapted(eta=-4.0, J=15.0, Delta=1.0)).levels(1.0)
    rates = [levels.low, levels.saddle, levels.high]
    np.testing.assert_allclose(rates, [0.0811344420, 0.4729803407, 1.0305967988], atol=6e-11)
    V = [float(nmm.potential_energy(nmm.MPR(-5.0, 15.0, 1.0), {"r": r, "v": 0.0 * r})) for r in rates]
    assert levels.barrier_low == pytest.approx(V[1] - V[0], rel=1e-10)


# Hopf points of the whole system (exact algebra, models notes §2): kind, kernel, r, η, ω.
WHOLE = [
    (depressed, "alpha", 0.244062000907823, -5.65862864327715, 0.1095885906922),
    (depressed, "alpha", 0.700506736200083, -5.01859807184299, 0.3114869006178),
    (depressed, "exponential", 0.252515810161475, -5.64001674743341, 0.1297164871853),
    (depressed, "exponential", 0.686680265663615, -5.12642464437725, 0.7276405242073),
    (adapted, "alpha", 0.223648611346284, -4.03981860083775, 0.1721647009205),
    (adapted, "alpha", 1.09452400442826, -0.534080541354865, 0.4289514292501),
    (adapted, "exponential", 1.10838141308325, -0.386079811598744, 1.385546096383),
]


@pytest.mark.parametrize("make, kernel, r, eta, omega", WHOLE)
def test_whole_system_at_its_published_hopf_points(make, kernel, r, eta, omega):
    """One pair of eigenvalues is ± iω."""
    found = find_equilibria(make(eta, kernel=kernel))
    which = int(np.nanargmin(np.abs(found.state.r - r)))
    assert found.state.r[which] == pytest.approx(r, abs=1e-12)
    assert found.state.A[which] == pytest.approx((0.5 if make is depressed else 10.0) * r, rel=1e-12)
    values = found.eigenvalues[which]
    critical = values[np.argmin(np.abs(values.real))]
    assert critical.real == pytest.approx(0.0, abs=1e-10)
    assert abs(critical.imag) == pytest.approx(omega, rel=1e-9)


@pytest.mark.parametrize(
    "make, r, eta, more",
    [
        (depressed, 0.271938929167273, -5.62458086285497, -1),
        (depressed, 0.470482599732383, -5.90568944450799, 1),
        (adapted, 0.378014803146280, -3.53749731419236, -1),
        (adapted, 0.467761447973822, -3.54870228444711, 1),
    ],
)
def test_whole_system_at_its_published_folds(make, r, eta, more):
    """Two equilibria appear, around the published rate."""
    with_pair, without = (find_equilibria(make(eta + sign * more * 3e-4)).state.r for sign in (1, -1))
    assert np.isfinite(with_pair).sum() == 3 and np.isfinite(without).sum() == 1
    first, second = np.sort(with_pair[np.argsort(np.abs(with_pair - r))[:2]])
    assert 0.95 * r < first < r < second < 1.05 * r


@pytest.mark.parametrize(
    "eta, rates, stable",
    [
        (-6.0, [0.196635], [True]),
        (-5.75, None, [True, False, False]),
        (-5.5, [0.628621], [False]),
        (-4.6, [0.747196], [True]),
        (-4.0, [0.802011], [True]),
    ],
)
def test_rest_states_of_depression(eta, rates, stable):
    """The rest states of models notes §2; three equilibria between the folds −5.9057 and −5.6246 of the whole system."""
    found = find_equilibria(depressed(eta))
    np.testing.assert_array_equal(found.stable[: len(stable)], stable)
    assert np.all(np.isnan(found.state.r[len(stable) :])) and not np.any(found.stable[len(stable) :])
    if rates is not None:
        np.testing.assert_allclose(found.state.r[: len(rates)], rates, atol=6e-7)


def test_gap_junctions_give_hopf_points_of_the_fast_equations():
    """r_H = 2Δ/(πg), η_H = 4Δ²/g² − 2ΔJ/(πg) − g²/16, ω² = 16Δ²/g² − 4ΔJ/(πg) − g²/4 (models notes §4)."""
    g, coupling, Delta, eta = 2.0, 0.5, 1.0, 3.0
    picture = nmm.slow_fast(
        adapted(eta=eta, J=coupling, Delta=Delta, gap=nmm.GapJunction(g), conductance=nmm.ConductanceSynapse(0.0))
    )
    hopf = 4 * Delta**2 / g**2 - 2 * Delta * coupling / (np.pi * g) - g**2 / 16
    assert picture.hopf_r[0] == pytest.approx(2 * Delta / (np.pi * g), rel=1e-13)
    assert picture.hopf_slow[0] == pytest.approx(eta - hopf, rel=1e-12)
    omega = np.interp(picture.hopf_r[0], picture.r, picture.eigenvalues[:, 0].imag)
    assert omega == pytest.approx(np.sqrt(16 * Delta**2 / g**2 - 4 * Delta * coupling / (np.pi * g) - g**2 / 4), rel=1e-3)
    above = picture.r > picture.hopf_r[0]
    assert {KINDS[k] for k in np.unique(picture.kind[above])} == {"unstable focus"}


def test_cusp_rate():
    """Closed form; both folds close in on it where they are about to meet; between them in general."""
    assert nmm.cusp_rate(nmm.MPR(Delta=1.0)) == pytest.approx(0.29622073, abs=5e-9)
    assert nmm.cusp_rate(depressed(Delta=4.0)) == pytest.approx(2 * 0.29622073, abs=1e-8)
    assert nmm.cusp_rate(nmm.MPR(Delta=1.0, tau=4.0)) == pytest.approx(0.29622073 / 4, abs=5e-9)
    no_effect = nmm.MPR(Delta=1.0, gap=nmm.GapJunction(0.0), conductance=nmm.ConductanceSynapse(0.0))
    assert nmm.cusp_rate(no_effect) == pytest.approx(0.29622073, abs=5e-9)
    J_c = 8 * np.pi / 3 * 0.75**0.25
    near = nmm.slow_fast(adapted(J=J_c * (1 + 1e-6), Delta=1.0))
    np.testing.assert_allclose(near.fold_r, nmm.cusp_rate(near.model), rtol=2e-3)
    # With gap junctions and conductances: ∂²f/∂R² = 0, and with J set so that ∂f/∂R = 0, too, both folds are there.
    electric = adapted(eta=2.0, J=8.0, Delta=0.4, **ELECTRIC)
    R = float(nmm.cusp_rate(electric)) * 1.5

    def force(R, J):
        v = (-0.4 / (jnp.pi * R) + 0.6 + 0.3 * R) / 2
        return v**2 + J * R - (jnp.pi * R) ** 2 + 0.3 * R * (-1.0 - v)

    assert jax.grad(jax.grad(force))(R, 0.0) == pytest.approx(0.0, abs=1e-9)
    J_c = -float(jax.grad(force)(R, 0.0))
    assert np.all(np.isnan(nmm.slow_fast(adapted(J=J_c - 1e-7, Delta=0.4, **ELECTRIC)).fold_r))
    near = nmm.slow_fast(adapted(J=J_c + 1e-7, Delta=0.4, **ELECTRIC))
    np.testing.assert_allclose(1.5 * near.fold_r, R, rtol=2e-3)


@pytest.mark.slow
def test_derivatives_match_differences():
    """Folds, barriers and equilibria in the parameters, forward and backward, and a second derivative."""

    def quantities(p):
        picture = nmm.slow_fast(depressed(p[0], p[1], J=p[2], Delta=p[3]))
        levels = picture.levels(0.25)
        found = picture.equilibria
        return jnp.stack(
            [
                *picture.fold_r,
                *picture.fold_slow,
                picture.change_slow[1],
                levels.saddle,
                levels.barrier_low,
                levels.barrier_high,
                found.state.r[0],
                found.eigenvalues[0, 0].real,
            ]
        )

    p = jnp.array([-5.5, 0.05, J, 2.0])
    weights = jnp.arange(1.0, 11.0)
    forward, backward = jax.jit(jax.jacfwd(quantities))(p), jax.grad(lambda p: jnp.sum(weights * quantities(p)))(p)
    np.testing.assert_allclose(weights @ forward, backward, rtol=1e-10)
    quantities = jax.jit(quantities)
    differences = [central_difference(lambda h, i=i: quantities(p.at[i].add(h)), 0.0, 1e-4 * abs(p[i])) for i in range(4)]
    np.testing.assert_allclose(forward, np.stack(differences, axis=1), rtol=1e-7, atol=1e-8)


@pytest.mark.slow
def test_derivatives_of_a_fold():
    """In closed form, first and second; at a fold the slow value changes as at a fixed rate: dA/dη = 1/(J r)."""

    def fold(eta):
        fast = Fast(depressed(eta), jnp.zeros(()), "A")
        x = fold_positions(fast)[1]
        return jnp.exp(x), fast.slow(x)

    def closed(eta):
        return jnp.sqrt((-eta + jnp.sqrt(eta**2 - 12)) / (2 * jnp.pi**2))

    slope, second = jax.jit(lambda eta: (jax.jacrev(fold)(eta), jax.grad(jax.grad(lambda eta: fold(eta)[0]))(eta)))(-5.5)
    assert slope[0] == pytest.approx(float(jax.grad(closed)(-5.5)), rel=1e-10)
    assert slope[1] == pytest.approx(1 / (J * float(closed(-5.5))), rel=1e-10)
    assert second == pytest.approx(float(jax.grad(jax.grad(closed))(-5.5)), rel=1e-8)


@pytest.mark.slow
def test_vmap_and_populations_without_folds():
    """Past the cusp η = −√3 Δ depression has no folds: one branch, called low, and no barrier."""
    etas = jnp.array([-5.5, -3.6, -3.0])
    family = jax.vmap(lambda eta: nmm.slow_fast(depressed(eta)))(etas)
    assert repr(family) == "SlowFast over A of shape (3, 201)"
    np.testing.assert_array_equal(np.isnan(family.fold_r[:, 0]), [False, False, True])
    one = nmm.slow_fast(depressed(-3.6))
    np.testing.assert_allclose(family.landscape[1], one.landscape, rtol=1e-12)
    alone = nmm.slow_fast(depressed(-3.0))
    levels = alone.levels(jnp.array([0.2, 0.4]))
    assert np.all(np.isfinite(levels.low)) and np.all(np.isnan(levels.high)) and np.all(np.isnan(levels.barrier_low))
    assert "no folds" in repr(alone)
    assert repr(one).startswith("SlowFast over A: starts to fire at A = ")


def test_homogeneous_population_has_the_upper_fold_only():
    """Δ = 0: rates r > 0 are equilibria where A = η + J r − π²r², a saddle below r = J/2π² and a centre above."""
    picture = nmm.slow_fast(adapted(eta=-1.0, J=10.0, Delta=0.0))
    assert np.isnan(picture.fold_r[0])
    assert picture.fold_r[1] == pytest.approx(10 / (2 * np.pi**2), rel=1e-13)
    levels = picture.levels(0.0)
    assert np.isnan(levels.low)
    roots = (10 + np.array([-1, 1]) * np.sqrt(100 - 4 * np.pi**2)) / (2 * np.pi**2)
    np.testing.assert_allclose([levels.saddle, levels.high], roots, rtol=1e-12)


def test_span_points_and_the_variable_to_move():
    picture = nmm.slow_fast(depressed(), span=(0.2, 0.3), points=33)
    assert picture.landscape.shape == (33, 33)
    np.testing.assert_allclose([picture.grid_slow[0], picture.grid_slow[-1]], [0.2, 0.3], rtol=1e-14)
    assert picture.slow[0] == pytest.approx(0.3, abs=0.02) and picture.slow[-1] == pytest.approx(0.2, abs=0.02)
    np.testing.assert_allclose(picture.fold_r, nmm.slow_fast(depressed()).fold_r, rtol=1e-14)
    r, slow = picture.grid_r[5], picture.grid_slow[7]
    expected = nmm.potential_energy(depressed(), slow_state(depressed(), r, 0.0 * r, slow))
    assert picture.landscape[5, 7] == pytest.approx(float(expected), rel=1e-13)
    # With two slow terms one moves, and the other stays at rest: u = U0, x = 1 and A = 0.
    both = nmm.MPR(-2.0, 60.0, 2.0, adaptation=depressed().adaptation, plasticity=plastic().plasticity)
    over_A, over_xu = nmm.slow_fast(both, variable="A"), nmm.slow_fast(both, variable="xu")
    np.testing.assert_allclose(over_A.fold_slow, nmm.slow_fast(depressed(-2.0, J=12.0)).fold_slow, rtol=1e-12)
    np.testing.assert_allclose(over_xu.fold_slow, nmm.slow_fast(plastic(-2.0, 60.0, 2.0)).fold_slow, rtol=1e-12)


def test_picture_as_dataset(tmp_path):
    data = nmm.slow_fast(depressed(-5.75), I=0.1).to_xarray()
    assert data.attrs["variable"] == "A" and data.attrs["I"] == 0.1 and data.attrs["adaptation.alpha"] == 0.05
    assert dict(data.sizes)["fold"] == 2 and dict(data.sizes)["hopf"] == 0 and dict(data.sizes)["change"] == 2
    assert data["landscape"].dims == ("grid_r", "grid_slow")
    assert data["slow"].attrs["long_name"] == "depression A"
    assert all("units" in each.attrs or "flag_meanings" in each.attrs for each in data.data_vars.values())
    data.to_netcdf(tmp_path / "picture.nc", engine="h5netcdf")
    batch = jax.vmap(lambda eta: nmm.slow_fast(depressed(eta)))(jnp.array([-5.5, -5.0]))
    with pytest.raises(ValueError, match=r"`picture` must be a single one"):
        batch.to_xarray()


@pytest.mark.slow
def test_float32_twin():
    double = nmm.slow_fast(depressed())
    with jax.enable_x64(False):
        single = nmm.slow_fast(depressed())
        barrier = single.levels(0.25).barrier_high
        assert single.fold_slow.dtype == jnp.float32
    np.testing.assert_allclose(single.fold_slow, double.fold_slow, rtol=1e-5)
    np.testing.assert_allclose(single.equilibria.state.r[0], double.equilibria.state.r[0], rtol=1e-5)
    assert barrier == pytest.approx(float(double.levels(0.25).barrier_high), rel=1e-4)


@pytest.mark.slow
def test_plot_of_the_picture_with_a_burst():
    model = depressed()
    picture = nmm.slow_fast(model)
    run = nmm.simulate(model, {"r": 0.2, "v": -1.0}, jnp.linspace(0.0, 200.0, 4001))
    axes = nmm.plot.slow_fast(picture, run)
    assert axes.get_xlabel() == "depression A (dimensionless)" and axes.get_ylabel() == "firing rate r (1/time)"
    labels = {text.get_text() for text in axes.get_legend().get_texts()}
    assert {"stable branch", "unstable branch", "folds", "nullcline of A", "simulation"} <= labels
    (path,) = [each for each in axes.lines if each.get_label() == "simulation"]
    level = float(nmm.cusp_rate(model))
    r = path.get_ydata()
    assert np.sum((r[:-1] < level) & (r[1:] >= level)) == 2  # one cycle, from onset to onset
    for part in (slice(100, 300), (5.0, 15.0)):
        axes = nmm.plot.slow_fast(picture, run, burst_slice=part)
        (path,) = [each for each in axes.lines if each.get_label() == "simulation"]
        assert len(path.get_ydata()) in (200, 201)
    with pytest.raises(ValueError, match=r"`burst_slice` must leave two states or more"):
        nmm.plot.slow_fast(picture, run, burst_slice=(300.0, 400.0))
    with pytest.raises(ValueError, match=r"`burst_slice` must be None, a slice or a pair"):
        nmm.plot.slow_fast(picture, run, burst_slice=3)
    with pytest.raises(ValueError, match=r"`run` must have the slow variables"):
        nmm.plot.slow_fast(nmm.slow_fast(plastic()), run)
    nmm.plot.slow_fast(nmm.slow_fast(plastic(-2.0, J=1.0)))
    import matplotlib.pyplot as plt

    plt.close("all")


BAD = [
    (lambda: nmm.slow_fast(nmm.MPR()), r"`model` must have adaptation, depression or plasticity"),
    (lambda: nmm.slow_fast("x"), r"`model` must have an exactly solvable part"),
    (lambda: nmm.slow_fast(depressed(), variable="x"), r"`variable` must be 'A', but got 'x'"),
    (lambda: nmm.slow_fast(depressed(J=0.0)), r"`J` must not be 0, since 'A' acts through it, but got 0"),
    (lambda: nmm.slow_fast(depressed(), span=(0.3, 0.2)), r"`span` must increase"),
    (lambda: nmm.slow_fast(depressed(), span=0.3), r"`span` must be a pair"),
    (lambda: nmm.slow_fast(depressed(), points=5), r"`points` must be an integer ≥ 9, but got 5"),
    (lambda: nmm.slow_fast(depressed(), I="x"), r"`I` must be a number"),
    (lambda: nmm.plot.slow_fast("x"), r"`picture` must be the result of `slow_fast`"),
    (
        lambda: nmm.slow_fast(nmm.MPR(adaptation=depressed().adaptation, plasticity=plastic().plasticity)),
        r"`variable` must be 'A' or 'xu', but got None",
    ),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_input_is_one_sentence(call, message, unchecked):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
