"""Populations and circuits of the literature with known fixed points and cycles, and couplings of a Lorentzian width."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nmmjax as nmm
from nmmjax.equilibria.steady import find_equilibria
from nmmjax.mechanics import mechanical_residual, pump_power, stored_energy

WIDE = {  # Γ_J: rates, and leading eigenvalues, of (η, J, Δ) = (−5, 15, 1)
    1.0: ([0.0897687985, 0.4472985438, 1.0439752202], [-2.15576328, 1.48412814, -0.46405671 + 3.41794076j]),
    3.0: ([0.1169092522, 0.3659599053, 1.0918875304], [None, None, -0.76898742 + 3.75263860j]),
}


def wide(width=2.0, **terms):
    return nmm.MPR(tau=1.3, coupling_heterogeneity=nmm.CouplingHeterogeneity(width), **terms)


@pytest.mark.parametrize("width", WIDE)
def test_couplings_of_a_width_have_the_known_fixed_points(width):
    rates, eigenvalues = WIDE[width]
    found = nmm.energy_landscape(nmm.MPR(coupling_heterogeneity=nmm.CouplingHeterogeneity(width)))
    np.testing.assert_allclose(found.state.r, rates, rtol=1e-9)
    for here, known in zip(found.eigenvalues[:, 0], eigenvalues, strict=True):
        assert known is None or abs(here - known) < 2e-8
    assert [bool(each) for each in found.eigenvalues[:, 0].real < 0] == [True, False, True]


def test_a_width_of_the_couplings_is_a_gap_junction_of_the_other_sign():
    """Γ_J r/π in ṙ beside every other term: the field rebuilt from U and Γ, and half of it with a gap of the same size."""
    terms = {"gap": nmm.GapJunction(0.4), "conductance": nmm.ConductanceSynapse(0.6, -1.2), "leak": nmm.Leak(0.9, -2.0)}
    rng = np.random.default_rng(1)
    y = {"r": rng.uniform(0.1, 2, 20), "v": rng.normal(size=20)}
    np.testing.assert_allclose(mechanical_residual(wide(eta=1.0, **terms), y, 0.3), 0, atol=1e-12)
    cancelled = wide(0.4 * jnp.pi, gap=nmm.GapJunction(0.4))
    np.testing.assert_allclose(nmm.total_energy(cancelled, y), nmm.total_energy(nmm.MPR(tau=1.3), y), rtol=1e-12)
    scaled = nmm.mechanics.rescale(wide(), 2.0)
    flow, half = (m.vector_field(jnp.zeros(()), nmm.State(**s)) for m, s in ((wide(), y), (scaled.model, _half(y))))
    np.testing.assert_allclose([flow.r / 4, flow.v / 4], [half.r, half.v], rtol=1e-12)


def test_a_width_of_the_couplings_makes_no_oscillation():
    """Newton's method finds r = −2Δ/Γ_J, which is no state of the model."""
    found = nmm.find_hopf(nmm.MPR(coupling_heterogeneity=nmm.CouplingHeterogeneity(1.0)), "eta", {"r": 1.0, "v": -0.15})
    assert found.kind == 0 and np.isnan(found.parameter) and np.isnan(found.state.r)


def _half(y):
    return {name: each / 2 for name, each in y.items()}


@pytest.mark.parametrize("eta", [-9.0, -5.0, 2.0])
@pytest.mark.parametrize("width", [0.0, 0.3, 5.0, 80.0])
def test_no_fixed_point_is_missed_however_wide_the_couplings(width, eta):
    """Against a scan of the force; the cusp rate is where its curvature changes sign."""
    model = nmm.MPR(eta=eta, coupling_heterogeneity=nmm.CouplingHeterogeneity(width))
    R = np.geomspace(1e-4, 1e3, 400_001)
    force = np.asarray(model.force_at_rate(jnp.asarray(R)))
    crossings = R[:-1][np.sign(force[:-1]) != np.sign(force[1:])]
    found = np.asarray(nmm.energy_landscape(model).state.r)
    np.testing.assert_allclose(found[np.isfinite(found)], crossings, rtol=1e-4)
    cusp, g = float(nmm.cusp_rate(model)), -width / np.pi
    assert abs(3 / (2 * np.pi**2) - g / np.pi * cusp - 2 * np.pi**2 * cusp**4) < 1e-11 * (1 + abs(g) * cusp)


SLOW = {
    "synapse": {"synapse": nmm.ExponentialSynapse(tau=0.5)},
    "depression": {"adaptation": nmm.SynapticDepression(alpha=0.02, tau=5.0, kernel="exponential")},
    "plasticity": {"plasticity": nmm.ShortTermPlasticity(tau_d=0.2, tau_f=1.0, U0=0.5)},
    "adaptation": {"adaptation": nmm.SpikeFrequencyAdaptation(alpha=0.02, tau=5.0, kernel="exponential")},
}


@pytest.mark.parametrize("name", SLOW)
def test_what_scales_the_coupling_scales_its_width(name):
    """The width is Γ_J times what the coupling delivers, and stores are said only where they are known."""
    model = wide(**SLOW[name])
    y = nmm.State(r=0.7, v=0.2, **dict.fromkeys(model.slow_names, 0.4))
    delivered = {
        "synapse": 1.3 * 0.4,
        "depression": 0.6 * 1.3 * 0.7,
        "plasticity": 0.16 * 1.3 * 0.7,
        "adaptation": 1.3 * 0.7,
    }
    flow, plain = (each.vector_field(jnp.zeros(()), y).r for each in (model, nmm.MPR(tau=1.3, **SLOW[name])))
    np.testing.assert_allclose(flow - plain, 2.0 * delivered[name] / (np.pi * 1.3**2), rtol=1e-12)
    assert set(stored_energy(model, y)) == set(pump_power(model, y)) == ({"A"} if name == "adaptation" else set())


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_books_close_where_the_width_is_scaled(name):
    model = wide(**SLOW[name])
    run = nmm.simulate(model, {"r": 0.8, "v": 0.0}, jnp.linspace(0.0, 5.0, 51), rtol=1e-10, atol=1e-12)
    assert nmm.energy_balance(run).relative < 1e-9
    still = find_equilibria(model).state.r
    end = nmm.simulate(model, {"r": 0.8, "v": 0.0}, jnp.asarray([0.0, 300.0]), rtol=1e-9, atol=1e-11).y_end
    assert np.nanmin(np.abs(still / end.r - 1)) < 1e-7


def test_mistakes_are_one_sentence(unchecked):
    for model, call, text in [
        (wide(**SLOW["depression"]), nmm.slow_fast, "be without heterogeneous couplings, whose width its slow variable"),
        (wide(**SLOW["synapse"]), lambda m: nmm.simulate(m, {"r": 1.0, "v": 0.0}, [0.0, 1.0], solver=nmm.MobiusSplitting(),
                                                         dt0=0.1), "be without slow terms other than a synapse"),
        (None, lambda _: nmm.CouplingHeterogeneity(-1.0), "Argument `Gamma` must be ≥ 0"),
        (None, lambda _: nmm.MPR(coupling_heterogeneity=2.0), "be None or a `CouplingHeterogeneity`"),
        (None, lambda _: nmm.izhikevich(a=0.0), "Argument `a` must be > 0"),
        (nmm.izhikevich(), nmm.limit_cycle, r"^Argument `model` must be [^\n]*\.$"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=text):
            call(model)


def published(r, V, w, S):
    """The field as it is published, in plain numbers."""
    Delta, alpha, eta, E_r, a, b, w_jump = 0.02, 0.6215, 0.12, 1.0, 0.0077, -0.0062, 0.0189
    g, s_jump, tau_s = 1.2308, 1.2308, 2.6
    return [
        Delta / np.pi + r * (2 * V - alpha - g * S),
        V**2 - alpha * V + eta - w + g * S * (E_r - V) - np.pi**2 * r**2,
        a * (b * V - w) + w_jump * r,
        -S / tau_s + s_jump * r,
    ]


def test_izhikevichs_field_is_the_published_one():
    model, shift, scale = nmm.izhikevich(), 0.6215 / 2, 1.2308 * 2.6
    r, V, w, S = np.random.default_rng(0).uniform(0.05, 1, (4, 10))
    flow = model.vector_field(jnp.zeros(()), nmm.State(r=r, v=V - shift, w=w, s=S / scale))
    np.testing.assert_allclose([flow.r, flow.v, flow.w, scale * flow.s], published(r, V, w, S), atol=1e-14)


def test_izhikevichs_fixed_point_and_its_eigenvalues_are_known():
    """Found by a scan of the force, though w follows the voltage."""
    found = find_equilibria(nmm.izhikevich())
    y = found.state
    point = [y.r[0], y.v[0] + 0.6215 / 2, y.w[0], y.s[0] * 1.2308 * 2.6]
    np.testing.assert_allclose(point, [0.05627535, 0.36501175, 0.13586733, 0.18008562], rtol=1e-7)
    known = [0.0948287, 0.0124147, -0.3629052 + 0.5096162j, -0.3629052 - 0.5096162j]
    np.testing.assert_allclose(found.eigenvalues[0], known, atol=1e-7)
    assert not found.stable[0] and np.isnan(y.r[1:]).all()


@pytest.mark.slow
def test_izhikevichs_energy_balances():
    run = nmm.simulate(nmm.izhikevich(), {"r": 0.05, "v": 0.0}, jnp.linspace(0.0, 30.0, 31), rtol=1e-10, atol=1e-12)
    balance = nmm.energy_balance(run)
    assert balance.relative < 1e-9 and set(balance.slow_work) == {"w", "s"}


@pytest.mark.slow
def test_izhikevichs_bursts_have_the_known_period_and_extremes():
    """227.20969; r from .0098837 to .1520139 (to .1520136 where it is sampled), w from .0859851 to .1752093."""
    model = nmm.izhikevich()
    y = nmm.simulate(model, {"r": 0.05, "v": 0.0}, jnp.asarray([0.0, 2000.0]), rtol=1e-9, atol=1e-11).y_end
    run = nmm.simulate(model, y, jnp.linspace(0.0, 500.0, 250_001), rtol=1e-10, atol=1e-12)
    r, w = np.asarray(run.ys.r), np.asarray(run.ys.w)
    np.testing.assert_allclose(
        [r.min(), r.max(), w.min(), w.max()], [0.0098837, 0.15201395, 0.0859851, 0.1752093], atol=6e-8
    )
    tops = np.flatnonzero((w[1:-1] > w[:-2]) & (w[1:-1] > w[2:])) + 1
    curves = [np.polyfit(run.ts[k - 3 : k + 4] - run.ts[k], w[k - 3 : k + 4] - w[k], 2) for k in tops]
    times = [float(run.ts[k]) - c[1] / (2 * c[0]) for k, c in zip(tops, curves, strict=True)]
    np.testing.assert_allclose(np.diff(times), 227.20969, atol=1e-5)


def test_a_recovery_current_without_voltage_is_an_adaptation():
    eta, J, y = jnp.asarray(0.3), jnp.asarray(2.0), nmm.State(r=0.4, v=0.7, w=0.1, A=0.1)
    recovery = nmm.RecoveryCurrent(a=0.2, b=0.0, jump=0.6)
    adaptation = nmm.SpikeFrequencyAdaptation(alpha=0.6, tau=5.0, kernel="exponential")
    np.testing.assert_allclose(recovery.rates(y)["w"], adaptation.rates(y)["A"], rtol=1e-14)
    assert recovery.effective(eta, J, y) == adaptation.effective(eta, J, y)
    np.testing.assert_allclose(recovery.steady(y.r)["w"], adaptation.steady(y.r)["A"], rtol=1e-14)


@pytest.mark.slow
def test_the_inhibitory_rhythm_of_dumont_and_gutkin_is_that_of_the_virtual_brain():
    """J_ei = −10, J_ii = −15, I_i = 25: 8.5219941 ms, 117.343 Hz; e only follows."""
    network = nmm.dumont_gutkin(I_i=25.0, J_ei=-10.0, J_ie=0.0, J_ii=-15.0)
    y = nmm.simulate(network, {"r": 0.02, "v": -1.0}, jnp.asarray([0.0, 400.0]), rtol=1e-9, atol=1e-11).y_end
    run = nmm.simulate(network, y, jnp.linspace(0.0, 30.0, 30_001), rtol=1e-10, atol=1e-12)
    r = np.asarray(run.ys.r[:, 1])
    tops = np.flatnonzero((r[1:-1] > r[:-2]) & (r[1:-1] > r[2:])) + 1
    curves = [np.polyfit(run.ts[k - 1 : k + 2] - run.ts[k], r[k - 1 : k + 2], 2) for k in tops]
    times = [float(run.ts[k]) - c[1] / (2 * c[0]) for k, c in zip(tops, curves, strict=True)]
    np.testing.assert_allclose(np.diff(times), 8.5219941, atol=2e-6)


@pytest.mark.slow
def test_coombes_and_byrnes_conductance_has_its_slower_rhythm():
    """η = 10: period 3.5058, r from 0.0524 to 1.9604; and the published equations in plain numbers."""
    model = nmm.coombes_byrne(eta=10.0)
    y = nmm.simulate(model, {"r": 0.5, "v": 0.7}, jnp.asarray([0.0, 150.0]), rtol=1e-9, atol=1e-11).y_end
    spikes = nmm.find_spikes(nmm.simulate(model, y, jnp.linspace(0.0, 14.0, 1401), rtol=1e-10, atol=1e-12))
    np.testing.assert_allclose(np.diff(spikes.time), 3.5058, atol=6e-5)
    np.testing.assert_allclose([spikes.peak[-1], spikes.trough[-1]], [1.9604, 0.0524], atol=6e-5)

    def field(t, x):
        r, v, g, q = x
        dr = 0.5 / np.pi + 2 * r * v - g * r
        return [dr, v**2 - np.pi**2 * r**2 + 10 + (-10 - v) * g, 0.95 * q, 0.95 * (np.pi * r - g - 2 * q)]

    start = [0.5, 0.7, 1.0, 0.0]
    whole = solve_ivp(field, (0, 5), start, rtol=1e-11, atol=1e-13).y[:, -1]
    ours = nmm.simulate(
        model, {"r": 0.5, "v": 0.7, "s": 1 / np.pi, "z": 1 / np.pi}, [0.0, 5.0], rtol=1e-11, atol=1e-13
    ).y_end
    np.testing.assert_allclose([ours.r, ours.v, np.pi * ours.s], whole[:3], rtol=1e-8)
