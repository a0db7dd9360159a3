"""Escape by noise: rates against an independent Fokker–Planck solution and simulation, paths, passages, residence times."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import nmmjax as nmm
from nmmjax.stochastic.survival import kaplan_meier

POPULATION = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)


def wells(population=POPULATION):
    return nmm.energy_landscape(population).minima


def fokker_planck(population, D, nq=200, np_=60):
    """−λ₁ of the backward operator in (q, q̇) by central differences on a grid: nothing shared with the library's way."""
    landscape = nmm.energy_landscape(population)
    T = float(np.pi * D / population.Delta)
    fine = np.linspace(0.2, 30, 60001)
    U = np.asarray(population.potential(jnp.asarray(fine)))
    inside = fine[float(landscape.energy[1]) + 9 * T > U]
    h, k = (inside[-1] - inside[0]) / (nq - 1), 10 * np.sqrt(T) / (np_ - 1)
    q, p = inside[0] + h * np.arange(nq), (np.arange(np_) - (np_ - 1) / 2) * k
    slope = np.asarray(jax.vmap(jax.grad(population.potential))(jnp.asarray(q)))
    loss = np.asarray(population.damping(jnp.asarray(q)))

    def first(n, h):
        D = sp.diags([-0.5, 0.5], [-1, 1], (n, n), format="lil")
        D[0, :2], D[-1, -2:] = [-1, 1], [-1, 1]
        return D.tocsr() / h

    second = sp.diags([1.0, -2.0, 1.0], [-1, 0, 1], (np_, np_), format="lil")
    second[0, 0] = second[-1, -1] = -1
    D1 = first(np_, k)
    L = sp.kron(first(nq, h), sp.diags(p)) - sp.kron(sp.diags(slope), D1) - sp.kron(sp.diags(loss), sp.diags(p) @ D1)
    L = L + sp.kron(sp.diags(loss * T), second.tocsr() / k**2)
    # Central differences do not see a mode that alternates in q: a second difference of strength h² damps it.
    L = L + sp.kron(sp.diags([1.0, -2.0, 1.0], [-1, 0, 1], (nq, nq)), sp.eye(np_))
    values = spla.eigs(L.tocsc(), k=4, sigma=1e-3, which="LM", return_eigenvectors=False)
    real = np.sort(-values.real)
    return real[np.argmin(np.abs(real)) + 1]


@pytest.mark.parametrize(("eta", "J", "Delta", "D"), [(-2.95, 12.0, 1.0, 0.12), (-3.35, 14.0, 1.0, 0.2)])
@pytest.mark.slow
def test_both_rates_add_up_to_the_slowest_mode_of_the_fokker_planck_operator(eta, J, Delta, D):
    population = nmm.MPR(eta=eta, J=J, Delta=Delta)
    both = [nmm.escape_rate(population, D, each) for each in wells(population)]
    total = sum(float(each) for each in both)
    assert min(float(each.barrier) for each in both) > 1.3
    assert total == pytest.approx(fokker_planck(population, D), rel=0.03)


@pytest.mark.slow
def test_rates_obey_detailed_balance():
    """k₁ Z₁ = k₂ Z₂ with the exact weights of the two sides of the pass."""
    population, D = nmm.MPR(eta=-2.95, J=12.0), 0.1
    landscape = nmm.energy_landscape(population)
    low, high = (float(nmm.escape_rate(population, D, each)) for each in landscape.minima)
    T, q = np.pi * D, np.linspace(0.3, 12, 40001)
    weight = np.exp(-(np.asarray(population.potential(jnp.asarray(q))) - float(landscape.energy[2])) / T)
    is_low = q > np.sqrt(2 / float(landscape.state.r[1]))
    assert low / high == pytest.approx(weight[~is_low].sum() / weight[is_low].sum(), rel=0.03)


# D, ΔU/T, and the rates of `first_passage(POPULATION, D, wells()[1], jax.random.key(1), lanes=8192, until=…)` with their
# standard errors: steps of .0157, until .9, .8, .6 of lanes passed; 5734, 6318, 4840 events after the first 9.7 of time.
SIMULATED = [(0.1, 1.692, 0.06012, 0.00079), (0.05, 3.384, 0.011345, 0.000143), (0.04, 4.230, 0.0051308, 0.0000738)]


@pytest.mark.parametrize(("D", "barrier", "rate", "error"), SIMULATED)
def test_the_exact_rate_is_that_of_simulations(D, barrier, rate, error):
    found = nmm.escape_rate(POPULATION, D, wells()[1])
    assert float(found.barrier) == pytest.approx(barrier, abs=1e-3)
    assert float(found) == pytest.approx(rate, abs=3 * error)


def test_kramers_formula_is_the_limit_of_high_barriers():
    start, differences = wells()[1], []
    for D in (0.1, 0.05, 0.025, 0.0125):
        found = nmm.escape_rate(POPULATION, D, start)
        differences.append(abs(float(found.kramers / found.rate) - 1))
        assert float(found.temperature) == pytest.approx(np.pi * D)
    assert differences == sorted(differences, reverse=True) and differences[-1] < 0.035


@pytest.mark.slow
def test_weak_damping_needs_the_turnover():
    """At a loss of one T per round trip, Kramers' formula is 2.4 times too high, the turnover's 9 % off."""
    population = nmm.MPR(Delta=0.2)
    found = nmm.escape_rate(population, 0.01, wells(population)[1])
    assert float(found.loss) == pytest.approx(1.0225, abs=1e-3)
    assert float(found.kramers / found.rate) > 2.2
    assert float(found.turnover / found.rate) == pytest.approx(1.0, abs=0.12)


def test_the_loss_is_the_orbits():
    population = nmm.MPR(Delta=0.2)
    landscape = nmm.energy_landscape(population)
    found = nmm.escape_rate(population, 0.01, landscape.minima[1], method="turnover")
    just_below = landscape.energy[1] - 1e-3 * landscape.barrier[2]
    expected = nmm.loss_per_cycle(population, just_below, near=landscape.minima.r[1])
    assert float(found.loss * found.temperature) == pytest.approx(float(expected), rel=0.02)


@pytest.mark.slow
def test_rates_scale_with_tau_and_heterogeneity():
    """τ divides the rate; r = √Δ r̃ and t = t̃/√Δ make D = Δ^(3/2) D̃."""
    one = nmm.escape_rate(POPULATION, 0.05, wells()[1])
    slow = nmm.MPR(tau=4.0)
    assert float(nmm.escape_rate(slow, 0.05, wells(slow)[1])) == pytest.approx(float(one) / 4, rel=1e-9)
    Delta = 2.5
    wide = nmm.MPR(eta=-5 * Delta, J=15 * np.sqrt(Delta), Delta=Delta)
    other = nmm.escape_rate(wide, 0.05 * Delta**1.5, wells(wide)[1])
    assert float(other) == pytest.approx(np.sqrt(Delta) * float(one), rel=1e-4)


@pytest.mark.slow
def test_a_constant_input_is_a_shift_of_eta():
    shifted = nmm.escape_rate(nmm.MPR(eta=-5.3), 0.05, wells()[1], I=0.3)
    assert float(shifted) == pytest.approx(float(nmm.escape_rate(POPULATION, 0.05, wells()[1])), rel=1e-9)


@pytest.mark.slow
def test_derivatives_of_the_rate_are_its_differences():
    """By η, J, Δ, D, of the exact rate and of both formulas, at once: one compiled function."""
    start, weights = wells()[1], jnp.asarray([1.0, 0.7, -0.4])

    @jax.jit
    def log_rates(x):
        def logs(x):
            found = nmm.escape_rate(nmm.MPR(eta=x[0], J=x[1], Delta=x[2]), x[3], start, points=128, orders=16)
            values = jnp.log(jnp.stack([found.rate, found.turnover, found.kramers]))
            return weights @ values, values

        return jax.grad(logs, has_aux=True)(x)

    x, h = jnp.asarray([-5.0, 15.0, 1.0, 0.05]), 1e-4
    found = log_rates(x)[0]
    differences = [weights @ (log_rates(x.at[k].add(h))[1] - log_rates(x.at[k].add(-h))[1]) / (2 * h) for k in range(4)]
    np.testing.assert_allclose(found, differences, rtol=2e-3)


@pytest.mark.slow
def test_many_at_once_with_nan_where_there_is_one_well():
    start = wells()[1]
    rates = jax.vmap(lambda eta: nmm.escape_rate(nmm.MPR(eta=eta), 0.05, start, method="turnover").rate)
    found = rates(jnp.asarray([-5.0, 3.0, -4.8]))
    assert bool(jnp.isnan(found[1])) and float(found[0]) > float(found[2]) > 0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"noise": 0.0}, "noise"),
        ({"noise": -1.0}, "intensity"),
        ({"noise": nmm.OrnsteinUhlenbeck(0.1, 1.0)}, "noise"),
        ({"model": nmm.MPR(Delta=0.0)}, "Delta"),
        ({"model": nmm.MPR(eta=3.0)}, "start"),
        ({"model": nmm.MPR(gap=nmm.GapJunction(0.1))}, "model"),
        ({"method": "guess"}, "method"),
        ({"points": 3}, "points"),
    ],
)
def test_wrong_input_is_named(change, name, unchecked):
    given = {"model": POPULATION, "noise": 0.05, "start": {"r": 1.0, "v": -0.1}} | change
    with pytest.raises(ValueError, match=f"Argument `{name}` must"):
        nmm.escape_rate(**given)


@pytest.mark.parametrize(("population", "well"), [(POPULATION, 1), (nmm.MPR(tau=2.0), 0)])
def test_the_escape_path_costs_the_barrier_and_reaches_the_pass(population, well):
    landscape = nmm.energy_landscape(population)
    path = nmm.escape_path(population, landscape.minima[well])
    assert float(path.action(0.1)) == pytest.approx(float(landscape.minima.barrier[well] / (np.pi * 0.1)), rel=1e-6)
    assert float(path.effort) == pytest.approx(float(4 / np.pi * path.barrier), rel=1e-6)
    assert np.all(np.diff(np.asarray(path.energy)) > -1e-9)
    assert float(path.energy[-1]) == pytest.approx(float(landscape.saddles.energy[0]), rel=1e-6)
    first = jax.tree.map(lambda leaf: leaf[0], path.ys)
    run = nmm.simulate(population, first, path.ts, stimulus=path.stimulus)
    np.testing.assert_allclose(run.ys.r, path.ys.r, rtol=1e-3)


@pytest.mark.slow
def test_a_little_more_than_the_escape_path_goes_over_the_pass_and_a_little_less_falls_back():
    minima = wells()
    path = nmm.escape_path(POPULATION, minima[1])
    first, ends = jax.tree.map(lambda leaf: leaf[0], path.ys), path.ts[jnp.asarray([0, -1])]
    still = nmm.Sampled(path.ts, 0 * path.input)
    for factor, end in ((1.03, minima[0]), (0.97, minima[1])):
        stimulus = nmm.Sampled(path.ts, factor * path.input)
        last = nmm.simulate(POPULATION, first, ends, stimulus=stimulus).y_end
        assert float(nmm.simulate(POPULATION, last, ends, stimulus=still).y_end.r) == pytest.approx(float(end.r), rel=0.05)


def test_exponential_times_with_censoring_give_their_rate_back():
    rng = np.random.default_rng(0)
    rates, covered = [], 0
    for _ in range(60):
        times = rng.exponential(1 / 0.3, 200)
        fit = nmm.stochastic.exponential_fit(np.minimum(times, 4.0), times < 4.0, since=0.5)
        rates.append(float(fit.rate))
        covered += float(fit.interval[0]) < 0.3 < float(fit.interval[1])
    assert np.mean(rates) == pytest.approx(0.3, abs=3 * 0.025 / np.sqrt(60))
    assert covered >= 53  # 57 of 60 expected
    t, share = kaplan_meier(np.minimum(times, 4.0), times < 4.0)
    np.testing.assert_allclose(share, np.exp(-0.3 * t), atol=0.1)


def test_a_poisson_interval_is_exact_and_no_event_has_one():
    none = nmm.stochastic.exponential_fit([2.0, 3.0], [False, False])
    assert float(none.rate) == 0 and float(none.interval[1]) == pytest.approx(-np.log(0.025) / 5, rel=1e-9)
    ten = nmm.stochastic.exponential_fit(np.ones(10), np.ones(10, bool))
    np.testing.assert_allclose(ten.interval, [0.479539, 1.839036], rtol=1e-5)  # Garwood's table for 10
    assert np.isnan(float(ten.p_value))  # all at one time
    many = nmm.stochastic.exponential_fit(np.ones(250_000), np.ones(250_000, bool))
    np.testing.assert_allclose(many.interval, 1 + np.array([-1, 1]) * 1.96 / 500, atol=2e-5)


def test_times_that_are_not_exponential_are_noticed():
    rng = np.random.default_rng(1)
    assert float(nmm.stochastic.exponential_fit(rng.gamma(4, 1, 400), np.ones(400, bool)).p_value) < 1e-6
    assert float(nmm.stochastic.exponential_fit(rng.exponential(1, 400), np.ones(400, bool)).p_value) > 1e-3


def test_first_passages_have_the_exact_rate(key):
    found = nmm.first_passage(POPULATION, 0.1, wells()[1], key, lanes=1024)
    exact = float(nmm.escape_rate(POPULATION, 0.1, wells()[1]))
    assert abs(float(found.rate) - exact) < 3 * float(found.standard_error)
    assert 0.9 <= float(jnp.mean(found.passed)) < 1 and bool(jnp.all(found.times[found.censored] == jnp.max(found.times)))
    assert float(found.fit.p_value) > 1e-3
    assert "lane-steps" in repr(found)
    again = nmm.first_passage(POPULATION, 0.1, wells()[1], key, lanes=1024)
    np.testing.assert_array_equal(found.times, again.times)


def test_a_horizon_censors(key):
    found = nmm.first_passage(POPULATION, 0.05, wells()[1], key, lanes=1024, horizon=15.0)
    assert bool(jnp.any(found.censored)) and float(jnp.max(found.times)) < 18


def test_wrong_passages_are_named(key, unchecked):
    start = wells()[1]
    with pytest.raises(ValueError, match="Argument `model` must"):
        nmm.first_passage(nmm.MPR(eta=3.0), 0.1, start, key)
    with pytest.raises(ValueError, match="Argument `key` must"):
        nmm.first_passage(POPULATION, 0.1, start, 3)
    with pytest.raises(ValueError, match="Argument `lanes` must"):
        nmm.first_passage(POPULATION, 0.1, start, key, lanes=0)
    with pytest.raises(ValueError, match="Argument `noise` must"):
        nmm.first_passage(POPULATION, nmm.CauchyNoise(0.1), start, key)


def test_residence_times_have_hysteresis():
    rates = np.array([1.0, 0.5, 0.9, 0.1, 0.5, 0.1, 0.5, 1.0, 1.0, 0.2, 0.1])
    found = nmm.residence_times(rates, 0.15, 0.95, ts=np.arange(11.0))
    np.testing.assert_array_equal(found.states, [1, 0, 1, 0])
    np.testing.assert_array_equal(found.begins, [0, 3, 7, 10])
    np.testing.assert_array_equal(found.count, [1, 1])
    np.testing.assert_array_equal(found.mean, [4, 3])
    np.testing.assert_allclose(found.rate, [1 / 4, 2 / 6])
    np.testing.assert_allclose(found.occupancy, [0.4, 0.6])
    assert found.switches == 3 and "3 switches" in repr(found)


def test_residence_times_of_a_telegraph_give_its_rates():
    rng = np.random.default_rng(0)
    lengths = rng.exponential(np.tile([2.0, 5.0], 400))
    edges = np.cumsum(lengths)
    ts = np.arange(0, edges[-1], 0.02)
    state = np.searchsorted(edges, ts, side="right") % 2
    rates = np.stack([np.where(state, 0.1, 1.0), np.where(state, 1.0, 0.1)], axis=1)
    found = nmm.residence_times(rates, ts=ts)
    for k, expected in enumerate((1 / 2, 1 / 5)):
        assert abs(found.rate[k] - expected) < 3 * float(found.fits[k].standard_error)
        assert abs(found.mean[k] - 1 / expected) < 3 * found.standard_error[k]


def test_wrong_residences_are_named(unchecked):
    with pytest.raises(ValueError, match="Argument `ts` must"):
        nmm.residence_times(np.ones(3), 0.1, 0.9)
    with pytest.raises(ValueError, match="Argument `low` must"):
        nmm.residence_times(np.ones(3), 0.9, 0.1, ts=np.arange(3.0))
    with pytest.raises(ValueError, match="Argument `high` must"):
        nmm.residence_times(np.ones(3), 0.9, ts=np.arange(3.0))


@pytest.mark.slow
def test_uncoupled_nodes_of_a_network_escape_as_populations():
    population = nmm.MPR(tau=2.0)
    network = nmm.Network(population, jnp.zeros((2, 2)))
    landscape = nmm.energy_landscape(network)
    start = landscape.minima[len(landscape.minima) - 1]  # both up, where Ψ is highest
    found = nmm.escape_rate(network, 0.05, start, landscape=landscape)
    single = nmm.escape_rate(population, 0.05, wells(population)[1], method="kramers")
    np.testing.assert_allclose(found.action, float(single.barrier), rtol=1e-3)
    np.testing.assert_allclose(found.rates, float(single.kramers), rtol=0.04)


@pytest.mark.slow
def test_mutual_inhibition_switches_at_the_rate_of_the_least_action(key):
    network = nmm.mutual_inhibition()
    landscape = nmm.energy_landscape(network)
    start = landscape.minima[0]
    found = nmm.escape_rate(network, 0.4, start, landscape=landscape)
    assert float(found.action[0]) == pytest.approx(1.6467 / 0.4, rel=2e-3)
    simulated = nmm.first_passage(network, 0.4, start, key, lanes=512, end=landscape.minima, until=0.8)
    assert bool(jnp.all(simulated.destination[simulated.passed] == 0))
    assert float(found) == pytest.approx(float(simulated.rate), rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("D", [0.025, 0.05])
def test_long_simulations_have_the_exact_rate(D, key):
    exact = nmm.escape_rate(POPULATION, D, wells()[1])
    found = nmm.first_passage(POPULATION, D, wells()[1], key, lanes=2048, until=0.6 if D < 0.04 else 0.9)
    assert abs(float(found.rate) - float(exact)) < 3 * float(found.standard_error)


def test_escape_rates_are_pytrees():
    found = nmm.escape_rate(POPULATION, 0.05, wells()[1], method="kramers")
    assert eqx.tree_equal(jax.tree.map(lambda leaf: leaf, found), found)
    assert "Kramers" in repr(found) and float(found.time) == pytest.approx(1 / float(found))
