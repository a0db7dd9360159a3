"""Energy-landscape analysis: Walsh–Hadamard sums, fits, basins, saddles, transitions against brute force and identities."""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nmmjax as nmm
from nmmjax.ising import walsh
from nmmjax.ising.exact import data_means
from nmmjax.ising.landscape import find_basins
from nmmjax.ising.searching import bounds_between, descend_spins

KEY = jax.random.key(0)


def model_of(size, seed=0, strength=0.5, field=0.3):
    rng = np.random.default_rng(seed)
    J = np.triu(strength * rng.normal(size=(size, size)), 1)
    return nmm.results.IsingModel(field * rng.normal(size=size), J + J.T)


def brute(model):
    """All states in the order of their labels, their energies and probabilities, from a dense feature matrix."""
    h, J = np.asarray(model.h), np.asarray(model.J)
    states = np.array(list(itertools.product((-1.0, 1.0), repeat=h.size)))
    energies = np.array([-s @ h - s @ J @ s / 2 for s in states])
    p = np.exp(-energies)
    return states, energies, p / p.sum()


TRUE = model_of(5, seed=3, strength=0.25)
DATA = nmm.results.Binarized(TRUE.sample(KEY, 4000), tuple("abcde"))
FITTED = nmm.fit_ising(DATA)


# Sums over all states


@pytest.mark.parametrize("size", [1, 3, 7])
def test_walsh_sums_against_a_dense_feature_matrix(size):
    model = model_of(size, seed=size)
    states, energies, p = brute(model)
    np.testing.assert_allclose(model.energies(), energies, atol=1e-12)
    np.testing.assert_allclose(model.energy(states), energies, atol=1e-12)
    np.testing.assert_allclose(model.probabilities(), p, rtol=1e-11)
    i, j = np.triu_indices(size, 1)
    features = np.concatenate([states, states[:, i] * states[:, j]], axis=1)
    mean, covariance = jax.jit(walsh.statistics, static_argnums=1)(jnp.asarray(p), size)
    np.testing.assert_allclose(mean, p @ features, atol=1e-12)
    expected = (features * p[:, None]).T @ features - np.outer(p @ features, p @ features)
    np.testing.assert_allclose(covariance, expected, atol=1e-12)
    np.testing.assert_array_equal(walsh.all_spins(size), states)
    np.testing.assert_array_equal(walsh.states_of(states), np.arange(2**size))
    assert walsh.labels_of(states)[-1] == "1" * size and int(walsh.labels_of(states)[-2], 2) == 2**size - 2


def test_transform_is_its_own_inverse_and_maps_over_batches():
    f = jnp.asarray(np.random.default_rng(0).normal(size=(3, 128)))
    back = jax.jit(jax.vmap(lambda each: walsh.combine(walsh.moments(each))))(f)
    np.testing.assert_allclose(back, 128 * f, atol=1e-11)
    np.testing.assert_array_equal(walsh.spins_of_labels(["110"], 3), [[1, 1, -1]])


def test_moments():
    states, _, p = brute(TRUE)
    np.testing.assert_allclose(TRUE.moment(0, 2, 3, 4), np.sum(p * np.prod(states[:, [0, 2, 3, 4]], axis=1)), rtol=1e-10)
    np.testing.assert_allclose(TRUE.moment(1, 1), 1, rtol=1e-12)


# The exact fit


def test_moments_of_the_fit_are_those_of_the_data():
    spins = DATA.spins.astype(float)
    states, _, p = brute(FITTED)
    np.testing.assert_allclose(p @ states, spins.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose((states * p[:, None]).T @ states, spins.T @ spins / 4000, atol=1e-12)
    assert FITTED.method == "exact" and FITTED.status == "converged" and FITTED.samples == 4000
    assert FITTED.fit.steps < 12 and FITTED.data is DATA


def test_accuracy_and_entropies():
    """r = r_D at the optimum, and both as by their definitions."""
    _, _, p2 = brute(FITTED)
    pN = np.bincount(walsh.states_of(DATA.spins), minlength=32) / 4000
    up = (1 + DATA.spins.mean(axis=0)) / 2
    p1 = np.prod(np.where(walsh.all_spins(5) > 0, up, 1 - up), axis=1)
    entropy = lambda p: -np.sum(p[p > 0] * np.log2(p[p > 0]))
    divergence = lambda p, q: np.sum(p[p > 0] * np.log2(p[p > 0] / q[p > 0]))
    assert FITTED.entropies == pytest.approx({"S1": entropy(p1), "S2": entropy(p2), "S_N": entropy(pN)}, rel=1e-10)
    assert FITTED.accuracy == pytest.approx((entropy(p1) - entropy(p2)) / (entropy(p1) - entropy(pN)), rel=1e-9)
    D1, D2 = divergence(pN, p1), divergence(pN, p2)
    assert FITTED.divergence_accuracy == pytest.approx((D1 - D2) / D1, rel=1e-9)
    assert FITTED.accuracy == pytest.approx(FITTED.divergence_accuracy, abs=1e-10)
    assert 0 < FITTED.accuracy <= 1


def test_errors_shrink_with_the_root_of_the_samples():
    """Deviations from the truth, in standard errors, look like a standard normal; errors go as 1/√T."""
    few, many = [nmm.fit_ising(TRUE.sample(jax.random.key(1), n)) for n in (1000, 16000)]
    np.testing.assert_allclose(few.J_error / np.where(many.J_error == 0, 1, many.J_error), 4 * (1 - np.eye(5)), rtol=0.25)
    i = np.triu_indices(5, 1)
    scores = []
    pieces = [TRUE.sample(jax.random.key(k), 2000) for k in range(64)]
    models = nmm.ising.fit_ising_many(pieces)
    for k in range(64):
        scores.append((models.h[k] - TRUE.h) / models.h_error[k])
        scores.append(((models.J[k] - TRUE.J)[i]) / models.J_error[k][i])
    every = np.concatenate(scores)
    assert abs(every.mean()) < 0.15 and abs(every.std() - 1) < 0.1


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 1000))
def test_the_order_of_regions_and_the_sign_of_spins_do_not_matter(order, seed):
    spins = TRUE.sample(jax.random.key(seed), 1000)
    one, moved, flipped = (nmm.fit_ising(each) for each in (spins, spins[:, list(order)], -spins))
    np.testing.assert_allclose(moved.h, one.h[np.array(order)], atol=1e-8)
    np.testing.assert_allclose(moved.J, one.J[np.ix_(order, order)], atol=1e-8)
    np.testing.assert_allclose(flipped.h, -one.h, atol=1e-8)
    np.testing.assert_allclose(flipped.J, one.J, atol=1e-8)
    a, b = one.landscape(), moved.landscape()
    np.testing.assert_allclose(a.energy, b.energy, atol=1e-8)
    np.testing.assert_allclose(a.tree.heights, b.tree.heights, atol=1e-8)


def test_penalty_shrinks_and_solves_its_own_equation():
    strong = nmm.fit_ising(DATA, penalty=0.1)
    states, _, p = brute(strong)
    spins = DATA.spins.astype(float)
    np.testing.assert_allclose(spins.mean(axis=0) - p @ states, 0.1 * strong.h, atol=1e-11)
    difference = spins.T @ spins / 4000 - (states * p[:, None]).T @ states
    np.testing.assert_allclose(difference, 0.1 * strong.J, atol=1e-11)
    assert np.linalg.norm(strong.J) < np.linalg.norm(FITTED.J) and "penalty 0.1" in repr(strong)


def test_many_at_once_are_what_they_are_alone():
    windows = nmm.ising.sliding_windows(DATA, 1000, 500)
    assert [each.first for each in windows] == list(range(0, 3001, 500))
    many = nmm.ising.fit_ising_many(windows)
    assert len(many) == 7 and many.h.shape == (7, 5) and np.all(many.status == 0)
    for window, one in zip(windows[:3], many, strict=False):
        alone = nmm.fit_ising(window)
        np.testing.assert_allclose(one.J, alone.J, atol=1e-10)
        np.testing.assert_allclose(one.J_error, alone.J_error, rtol=1e-8)
        assert one.accuracy == pytest.approx(alone.accuracy, abs=1e-10)
    assert many[1].landscape().occupancy.sum() == pytest.approx(1)
    np.testing.assert_allclose(many.accuracy, many.divergence_accuracy, atol=1e-9)
    two = nmm.results.Binarized(DATA.spins, subject=np.repeat([0, 1], 2000))
    assert [each.first for each in nmm.ising.sliding_windows(two, 1500, 500)] == [0, 500, 2000, 2500]


TRIANGLE = np.resize([[1, 1, -1], [1, -1, 1], [-1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]], (4000, 3))
TRIANGLE = np.column_stack([TRIANGLE, DATA.spins[:, 3:]])


def test_where_no_estimate_exists_it_is_said(unchecked):
    """A pair that is never seen in one combination; three regions of which all pairs are, but never three alike."""
    copy = DATA.spins[:, [0, 0, 2, 3, 4]]
    for method in ("exact", "pseudo"):
        with pytest.raises(ValueError, match=r"`R1` and `R2` are never \+1 and −1 together.*penalty="):
            nmm.fit_ising(copy, method)
        with pytest.raises(ValueError, match=r"no estimate exists.*penalty="):
            nmm.fit_ising(TRIANGLE, method)
        held = nmm.fit_ising(TRIANGLE, method, penalty=0.01)
        assert held.status == "converged" and np.all(np.abs(held.J) < 3)
    assert "no estimate exists" in nmm.fit_ising(TRIANGLE, throw=False).status
    with pytest.raises(ValueError, match=r"In piece 1 of 2 no estimate exists"):
        nmm.ising.fit_ising_many([DATA.spins, TRIANGLE])
    both = nmm.ising.fit_ising_many([DATA.spins, TRIANGLE, copy], throw=False)
    assert both.status.tolist() == [0, 1, 1] and np.all(np.isnan(both.h[1:])) and "penalty" in both.status_text[1]
    with pytest.raises(ValueError, match="must be a model that exists"):
        both[1]


def test_the_smallest_cases():
    """Two regions: pairs explain everything. One region: atanh of its mean."""
    two = nmm.fit_ising(DATA.select([0, 1]))
    s = DATA.spins[:, :2].astype(float)
    assert two.accuracy == pytest.approx(1, abs=1e-9)
    p = [np.mean((s[:, 0] == a) & (s[:, 1] == b)) for a in (1, -1) for b in (1, -1)]
    assert two.J[0, 1] == pytest.approx(np.log(p[0] * p[3] / (p[1] * p[2])) / 4, rel=1e-10)
    one = nmm.results.IsingModel([0.3], [[0.0]])
    np.testing.assert_allclose(one.probabilities(), np.exp([-0.3, 0.3]) / (2 * np.cosh(0.3)), rtol=1e-12)
    found = one.landscape()
    assert found.labels == ("1",) and found.basin_size.tolist() == [2] and found.tree.roots == (0,)
    assert one.accuracy is None and "not fitted" in one.reason
    even = nmm.fit_ising(np.array(list(itertools.product((-1, 1), repeat=5)) * 2))
    assert even.accuracy is None and "independent" in even.reason
    assert even.landscape().energy.size == 32  # flat: every state stays


@pytest.mark.filterwarnings("ignore:.*samples for 2")
def test_fits_in_single_precision():
    jax.config.update("jax_enable_x64", False)
    try:
        single = nmm.fit_ising(DATA)
    finally:
        jax.config.update("jax_enable_x64", True)
    assert single.h.dtype == np.float32 and single.status == "converged"
    np.testing.assert_allclose(single.J, np.asarray(FITTED.J, np.float32), atol=1e-4)


def test_too_few_samples_are_warned_of():
    spins = np.where(np.random.default_rng(0).random((20, 5)) < 0.5, 1, -1)
    with pytest.warns(UserWarning, match="20 samples for 2"):
        found = nmm.fit_ising(spins, penalty=0.01)
    assert found.status == "converged" and found.samples == 20


# Other methods


def test_pseudo_likelihood():
    """Its gradient vanishes; it agrees with the exact fit within a fraction of the errors, which are alike."""
    found = nmm.fit_ising(DATA, "pseudo")
    s = DATA.spins.astype(float)
    t = np.tanh(s @ np.asarray(found.J) + np.asarray(found.h))
    np.testing.assert_allclose((s - t).mean(axis=0), 0, atol=1e-9)
    cross = (s - t).T @ s / 4000
    np.testing.assert_allclose((cross + cross.T) * (1 - np.eye(5)), 0, atol=1e-9)
    assert np.max(np.abs(found.J - FITTED.J)) < 1.5 * np.max(FITTED.J_error)
    np.testing.assert_allclose(found.h_error, FITTED.h_error, rtol=0.2)
    assert found.S2 is not None and found.method == "pseudo"


def test_large_models_are_fitted_by_pseudo_likelihood():
    true = model_of(24, seed=5, strength=0.15)
    data = true.sample(jax.random.key(1), 1500, sweeps=60)
    model = nmm.fit_ising(data)
    assert model.method == "pseudo" and "more than 15" in model.fit.note
    assert model.accuracy is None and "2^24" in model.reason
    i = np.triu_indices(24, 1)
    scores = (np.asarray(model.J) - np.asarray(true.J))[i] / model.J_error[i]
    assert abs(scores.std() - 1) < 0.15
    found = model.landscape(key=KEY, starts=50)
    assert found.basin is None and "upper bounds" in found.reason and found.occupancy.sum() == pytest.approx(1)
    fields = found.spins @ np.asarray(model.J) + np.asarray(model.h)
    assert np.all(found.spins * fields >= 0)
    assert found.transitions.sum() > 0 and np.all(np.diff(found.energy) >= 0)
    with pytest.raises(ValueError, match="at most 20 regions"):
        model.energies()
    with pytest.raises(ValueError, match=r'at most 20 regions for method="exact"'):
        nmm.fit_ising(data, "exact")


def test_sampling_fit_and_gibbs_chains():
    found = nmm.fit_ising(DATA, "sampling", key=KEY, chains=500, steps=400)
    assert found.status == "converged" and np.max(np.abs(found.J - FITTED.J)) < np.max(FITTED.J_error)
    with pytest.raises(ValueError, match="Argument `key` must be given"):
        nmm.fit_ising(DATA, "sampling")
    from nmmjax.ising.sampling import gibbs

    chains = np.asarray(gibbs(TRUE.h, TRUE.J, jnp.ones((4000, 5)), KEY, 40))
    moments = data_means(chains)
    expected = np.asarray(walsh.statistics(TRUE.probabilities(), 5)[0])
    assert np.max(np.abs(moments - expected)) < 5 / np.sqrt(4000)
    assert np.max(np.abs(data_means(TRUE.sample(KEY, 4000)) - expected)) < 5 / np.sqrt(4000)


# Landscapes


def brute_landscape(energies, size):
    """Minima, basin of each state, and lowest passes by trying all levels: no shortcut in common with the library."""
    neighbours = [[s ^ (1 << (size - 1 - i)) for i in range(size)] for s in range(2**size)]

    def down(s):
        while True:
            best = min([s, *neighbours[s]], key=lambda each: energies[each])
            if best == s:
                return s
            s = best

    ends = [down(s) for s in range(2**size)]
    minima = sorted(set(ends), key=lambda s: energies[s])
    saddle = np.full((len(minima), len(minima)), np.nan)
    for level in sorted(energies):
        for a, start in enumerate(minima):
            if energies[start] > level:
                continue
            seen, stack = {start}, [start]
            while stack:
                for each in neighbours[stack.pop()]:
                    if energies[each] <= level and each not in seen:
                        seen.add(each)
                        stack.append(each)
            for b, other in enumerate(minima):
                if a != b and other in seen and np.isnan(saddle[a, b]):
                    saddle[a, b] = level
    return minima, [minima.index(each) for each in ends], saddle


@pytest.mark.parametrize("seed", range(8))
def test_basins_and_saddles_against_brute_force(seed):
    size = 5
    model = model_of(size, seed=seed, strength=1.0, field=0.2)
    found = model.landscape()
    minima, basin, saddle = brute_landscape(np.asarray(model.energies()), size)
    assert found.states.tolist() == minima and found.basin.tolist() == basin
    np.testing.assert_array_equal(found.basin_size, np.bincount(basin))
    np.testing.assert_allclose(found.saddle, saddle, rtol=1e-12)
    for a, b in itertools.combinations(range(len(minima)), 2):
        assert model.energy(found.saddle_spins(a, b)) == pytest.approx(saddle[a, b], rel=1e-12)
        assert found.barrier[a, b] == pytest.approx(saddle[a, b] - found.energy[a], rel=1e-12)
    if len(minima) > 1:
        np.testing.assert_allclose(found.depth, np.nanmin(found.barrier, axis=1), rtol=1e-12)
        levels = bounds_between(np.asarray(model.h), np.asarray(model.J), found.spins)
        assert all(level >= saddle[a, b] - 1e-12 for (a, b), level in zip(*levels, strict=True))
    ends = descend_spins(np.asarray(model.h), np.asarray(model.J), walsh.all_spins(size))
    np.testing.assert_array_equal(walsh.states_of(ends), np.array(minima)[basin])


def test_ties_go_to_the_state_itself_and_then_to_the_first_region():
    energies = np.array([0.0, 1.0, 0.0, 0.0])  # 00, 01, 10, 11
    minima, basin = find_basins(energies, 2)
    assert minima.tolist() == [0, 2, 3] and minima[basin].tolist() == [0, 3, 2, 3]


def test_a_hopfield_model_remembers():
    """Two stored patterns are its deepest minima, with their mirror images, in a landscape of equal depths."""
    size = 8
    patterns = np.array([[1] * 8, [1, 1, 1, 1, -1, -1, -1, -1]])
    J = patterns.T @ patterns / size * (1 - np.eye(size))
    found = nmm.results.IsingModel(np.zeros(size), J).landscape()
    assert set(found.labels) == {"11111111", "00000000", "11110000", "00001111"}
    np.testing.assert_allclose(found.energy, found.energy[0], rtol=1e-12)
    assert found.basin_size.sum() == 256 and len(found.tree.roots) == 1
    assert "4 minima" in repr(found) and found.occupancy is None and "Without data" in found.reason


def test_transitions_visits_and_dwell_times():
    """Three basins of a hand-made sequence; subjects are boundaries."""
    rng = np.random.default_rng(0)
    patterns = rng.choice([-1, 1], (3, 9))
    J = patterns.T @ patterns / 3 * (1 - np.eye(9))
    model = nmm.results.IsingModel(0.01 * patterns.sum(axis=0), J)
    some = model.landscape()
    a, b, c = some.spins[:3]
    names = {"a": a, "b": b, "c": c}
    spins = np.stack([names[each] for each in "aabcabbacc" + "bbac"])
    data = nmm.results.Binarized(spins, subject=[0] * 10 + [1] * 4, dt=2.0)
    found = model.landscape(data)
    count = np.zeros((3, 3), int)
    for x, y in ("ab", "bc", "ca", "ab", "ba", "ac", "ba", "ac"):
        count["abc".index(x), "abc".index(y)] += 1
    np.testing.assert_array_equal(found.transitions[:3, :3], count)
    visits = np.zeros((3, 3), int)
    for run in ("abcabac", "bac"):
        for i, j in itertools.permutations(range(3), 2):
            kept = [each for each in run if each in ("abc"[i], "abc"[j])]
            visits[i, j] += sum(p == "abc"[i] and q == "abc"[j] for p, q in itertools.pairwise(kept))
    np.testing.assert_array_equal(found.visits[:3, :3], visits)
    assert found.occupancy[:3].tolist() == [5 / 14, 5 / 14, 4 / 14]
    assert [each.tolist() for each in found.dwell_times[:3]] == [[4, 2, 2, 2], [2, 4, 4], [2, 4, 2]]
    np.testing.assert_allclose(found.rates, found.transitions / 14)
    np.testing.assert_allclose(found.visit_rates, found.visits / 14)
    assert found.sequence.tolist() == ["abc".index(each) for each in "aabcabbaccbbac"]


def test_it_can_be_drawn(tmp_path):
    x = np.random.default_rng(0).normal(size=(400, 5)).cumsum(axis=0)
    np.savetxt(tmp_path / "bold.csv", x, delimiter=",", header="a,b,c,d,e", comments="")
    ising = nmm.fit_ising(nmm.binarize(nmm.load_recording(tmp_path / "bold.csv")), penalty=1e-3)
    tree = ising.landscape()
    assert ising.names == tuple("abcde") and "regions: a, b, c, d, e" in repr(ising)
    assert nmm.plot.disconnectivity(tree).get_ylabel()


# Can it be trusted


def test_shuffled_data_have_shallow_minima():
    deep = nmm.results.IsingModel(np.zeros(5), 0.4 * (1 - np.eye(5)))
    found = nmm.ising.shuffle_test(deep.sample(KEY, 2000), KEY, count=20)
    assert np.all(found.significant[:2]) and found.threshold < 0.3 and found.shuffled.shape == (20,)
    assert "may be chance" in repr(found)
    noise = np.where(np.random.default_rng(1).random((500, 5)) < 0.5, 1, -1)
    flat = nmm.ising.shuffle_test(noise, KEY, count=20)
    assert flat.significant[1:].mean() < 0.5 if flat.depth.size > 1 else flat.significant.all()
    again = nmm.ising.shuffle_test(noise, KEY, count=20)
    np.testing.assert_array_equal(flat.shuffled, again.shuffled)


def test_bootstrap_agrees_with_the_fisher_information_for_independent_samples():
    found = nmm.ising.bootstrap_ising(FITTED, KEY, count=64, block=1)
    np.testing.assert_allclose(found.h_error, FITTED.h_error, rtol=0.35)
    i = np.triu_indices(5, 1)
    assert np.mean(found.J_error[i] / FITTED.J_error[i]) == pytest.approx(1, abs=0.1)
    low, high = found.interval("h")
    assert np.all(low < FITTED.h) and np.all(FITTED.h < high)
    minima = FITTED.landscape()
    np.testing.assert_allclose(found.energy.mean(axis=0), minima.energy, atol=0.1)
    one = nmm.results.IsingModel(found.h[0], found.J[0])
    np.testing.assert_allclose(one.energy(minima.spins), found.energy[0], rtol=1e-9)
    assert found.failed == 0 and found.survival[0] > 0.5 and "blocks of 1" in repr(found)
    slow = nmm.results.Binarized(np.repeat(DATA.spins[:500], 8, axis=0))
    wide = nmm.ising.bootstrap_ising(slow, KEY, count=64, block=80)
    narrow = nmm.ising.bootstrap_ising(slow, KEY, count=64, block=1)
    assert np.mean(wide.h_error / narrow.h_error) > 2  # √8, as eight samples are one


def test_held_out_data():
    found = nmm.ising.cross_validate_ising(DATA)
    assert found.gain > 0.05 and found.samples.tolist() == [800] * 5 and "gain" in repr(found)
    noise = np.where(np.random.default_rng(1).random((300, 5)) < 0.5, 1, -1)
    assert nmm.ising.cross_validate_ising(noise, penalty=1e-3, folds=3).gain < 0.02
    several = nmm.results.Binarized(DATA.spins, subject=np.repeat([0, 1], [1000, 3000]))
    assert nmm.ising.cross_validate_ising(several).samples.tolist() == [1000, 3000]


def test_choice_of_regions():
    """Two coupled regions among independent ones come first; the rest follows."""
    rng = np.random.default_rng(0)
    noise = rng.choice([-1, 1], (3000, 6))
    noise[:, 4] = noise[:, 1] * np.where(rng.random(3000) < 0.1, -1, 1)
    data = nmm.results.Binarized(noise, tuple("abcdef"))
    assert nmm.ising.select_regions(data, 2).names == ("b", "e")
    assert nmm.ising.select_regions(data, 3).names[:2] == ("b", "e")
    assert nmm.ising.select_regions(data, 2, start=["e"]).names == ("e", "b")
    assert nmm.ising.select_regions(data, 3, "accuracy").spins.shape == (3000, 3)
    recording = nmm.results.Recording(rng.normal(size=(100, 4)) * np.array([1, 5, 2, 9]), tuple("wxyz"))
    assert nmm.ising.select_regions(recording, 2, "variance").names == ("z", "x")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nmm.results.IsingModel([0.0, 0.0], np.zeros((3, 3))), r"Argument `J` .*shape \(2, 2\)"),
        (lambda: nmm.results.IsingModel([0.0, 0.0], [[0, 1], [0, 0]]), "be symmetric"),
        (lambda: nmm.results.IsingModel([0.0, 0.0], np.eye(2)), "zero diagonal"),
        (lambda: nmm.results.IsingModel([0.0, np.nan], np.zeros((2, 2))), "`h` must be finite"),
        (lambda: nmm.results.IsingModel("x", np.zeros((2, 2))), "Argument `h`"),
        (lambda: nmm.results.IsingModel([0.0, 0.0], np.zeros((2, 2)), ["a"]), "be 2, one per region"),
        (lambda: nmm.fit_ising(nmm.results.Recording(np.random.default_rng(0).normal(size=(9, 2)))), "use `binarize"),
        (lambda: nmm.fit_ising(np.arange(8.0).reshape(4, 2)), "use `binarize"),
        (lambda: nmm.fit_ising("x"), "use `binarize"),
        (lambda: nmm.fit_ising(DATA, "newton"), "Argument `method`"),
        (lambda: nmm.fit_ising(DATA, penalty=-1), "Argument `penalty`"),
        (lambda: nmm.fit_ising(np.array([[1, 1], [1, -1], [1, 1]])), "`R1` never changes"),
        (lambda: nmm.ising.fit_ising_many([]), "at least one piece"),
        (lambda: nmm.ising.fit_ising_many([DATA, DATA.select([0, 1])]), "the same regions"),
        (lambda: nmm.ising.sliding_windows(DATA, 5000), "longest uninterrupted run"),
        (lambda: nmm.ising.sliding_windows(DATA, 50, 0), "Argument `step`"),
        (lambda: FITTED.landscape(DATA.spins[:, :3]), "have 5 regions"),
        (lambda: FITTED.energy(np.ones(3)), "have 5 values"),
        (lambda: FITTED.moment(7), "Argument `regions`"),
        (lambda: FITTED.sample(KEY, 0), "Argument `n`"),
        (lambda: nmm.results.IsingModel(np.zeros(21), np.zeros((21, 21))).landscape(), "Argument `key`"),
        (lambda: nmm.ising.shuffle_test(DATA, KEY, percentile=101), "between 0 and 100"),
        (lambda: nmm.ising.shuffle_test(DATA, "x"), "Argument `key`"),
        (lambda: nmm.ising.bootstrap_ising(DATA, KEY, block=5000), "Argument `block`"),
        (lambda: nmm.ising.bootstrap_ising(TRUE, KEY), "a fitted model"),
        (lambda: nmm.ising.cross_validate_ising(DATA, folds=1), "Argument `folds`"),
        (lambda: nmm.ising.select_regions(DATA, 9), "Argument `count`"),
        (lambda: nmm.ising.select_regions(DATA, 2, "best"), "Argument `criterion`"),
        (lambda: nmm.ising.select_regions(DATA, 2, "variance"), "Argument `data`"),
    ],
)
def test_what_is_said_about_bad_arguments(unchecked, call, message):
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
        warnings.simplefilter("ignore")
        call()
