"""Noise in sweeps: the generator bit for bit, normal numbers, the Boltzmann law, paths that depend on the lane alone."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.random import threefry_2x32
from scipy.integrate import quad
from scipy.stats import kstest

from nmmjax import MPR, Custom, Final, Mean, MobiusSplitting, Pulse, Samples, plan_sweep, simulate
from nmmjax.ensemble import computation
from nmmjax.ensemble.engine import Shape
from nmmjax.extend import compute_lanes
from nmmjax.numerics.counters import threefry, two_normals

Y0 = {"r": 0.5, "v": 0.0}
words = st.integers(0, 2**32 - 1)
draw_words = jax.jit(lambda key, counter: threefry(key, counter))
draw_normals = jax.jit(lambda pair: two_normals(pair))


def compute(plan, lanes=None):
    return compute_lanes(plan, np.arange(plan.lanes) if lanes is None else np.asarray(lanes))


@settings(max_examples=50, deadline=None)
@given(key=st.tuples(words, words), counter=st.tuples(words, words))
def test_threefry_is_that_of_jax(key, counter):
    word = lambda pair: tuple(jnp.uint32(each) for each in pair)
    ours = draw_words(word(key), word(counter))
    theirs = threefry_2x32(jnp.array(key, jnp.uint32), jnp.array(counter, jnp.uint32))
    assert [int(each) for each in ours] == theirs.tolist()


def test_normal_numbers():
    """Moments to the fourth, independence of the two, and Kolmogorov and Smirnov's test."""
    n = 400_000
    zero = jnp.zeros(n, jnp.uint32)
    a, b = draw_normals(draw_words((zero + 1, zero + 2), (jnp.arange(n, dtype=jnp.uint32), zero)))
    assert a.dtype == b.dtype == jnp.float32
    a, b = np.asarray(a, float), np.asarray(b, float)
    moments = [a.mean(), b.mean(), (a**2).mean() - 1, (b**2).mean() - 1, (a**4).mean() - 3, (b**4).mean() - 3]
    errors = np.array([1, 1, np.sqrt(2), np.sqrt(2), np.sqrt(96), np.sqrt(96)]) / np.sqrt(n)
    assert np.all(np.abs(moments) < 5 * errors)
    assert abs((a * b).mean()) < 5 / np.sqrt(n) and abs((a**2 * b**2).mean() - 1) < 5 * np.sqrt(8 / n)
    assert min(kstest(a, "norm").pvalue, kstest(b, "norm").pvalue) > 1e-4


def test_extreme_words_give_finite_numbers():
    edge = jnp.array([0, 1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1], jnp.uint32)
    first, second = (each.ravel() for each in jnp.meshgrid(edge, edge))
    for each in draw_normals((first, second)):
        assert np.all(np.isfinite(each)) and np.all(np.abs(each) < 8)


def boltzmann(model, D):
    """⟨r⟩ and ⟨1/r⟩ under P(r) ∝ r^(−3/2) exp(−V(r)/T), T = πD/Δ."""
    eta, J, Delta = (float(each) for each in (model.eta, model.J, model.Delta))
    T = np.pi * D / Delta

    def weight(r):
        V = -(-eta / r - np.pi**2 * r + J * np.log(r) - Delta**2 / (12 * np.pi**2 * r**3))
        return r**-1.5 * np.exp(-(V - 5) / T)

    integral = lambda f: quad(lambda r: f(r) * weight(r), 0, 40, limit=400)[0]
    return np.array([integral(lambda r: r), integral(lambda r: 1 / r)]) / integral(lambda r: 1.0)


def test_boltzmann_law():
    """Time averages of 256 lanes have the exact stationary law's, within five standard errors."""
    model, D, n = MPR(1.0, 3.0, 0.5), 0.4, 256
    inverse = Custom(lambda p: 0 * p.t, lambda s, p: s + p.weight / p.y.r, lambda s, duration: s / duration)
    plan = plan_sweep(
        model,
        over={"noise": ("lane", np.full(n, D))},
        y0=Y0,
        t0=20.0,
        t1=220.0,
        observe={"r": Mean("r"), "inverse": inverse},
        dt0=0.05,
        key=jax.random.key(1),
    )
    found = compute(plan)
    assert np.all(found["status"] == 0)
    for name, exact in zip(("r", "inverse"), boltzmann(model, D), strict=True):
        assert abs(found[name].mean() - exact) < 5 * found[name].std() / np.sqrt(n)
    assert np.unique(found["r"]).size == n  # every lane has noise of its own


SWEPT = {"noise": [0.0, 0.1, 0.5], "eta": np.linspace(0.5, 1.5, 8)}


def noisy(over=SWEPT, **arguments):
    given = {"y0": Y0, "t1": 3.0, "observe": {"last": Final(), "mean": Mean("r")}, "dt0": 0.01, "key": jax.random.key(7)}
    return plan_sweep(MPR(1.0, 3.0, 0.5, 1.2), over=over, **(given | arguments))


@pytest.fixture(scope="module")
def paths():
    return compute(noisy())


def test_without_intensity_it_is_the_splitting_of_order_2(paths):
    run = jax.vmap(
        lambda eta: simulate(MPR(eta, 3.0, 0.5, 1.2), Y0, jnp.array([0.0, 3.0]), solver=MobiusSplitting(2), dt0=0.01).ys
    )(jnp.asarray(SWEPT["eta"]))
    np.testing.assert_allclose(paths["last_r"][:8], run.r[:, -1], rtol=1e-11)
    np.testing.assert_allclose(paths["last_v"][:8], run.v[:, -1], rtol=1e-11, atol=1e-11)
    assert np.all(np.abs(paths["last_r"][8:16] / run.r[:, -1] - 1) > 1e-4)


@pytest.mark.last_bits
@pytest.mark.parametrize("block", [None, 5, pytest.param(16, marks=pytest.mark.slow)])
def test_paths_do_not_depend_on_the_blocks(paths, block, monkeypatch):
    """Other subsets, orders and sizes of blocks, on one device or two: the same bits."""
    if block is not None:
        shape = Shape(block, 2 if block == 5 else 1, 2, tuple(jax.local_devices())[: 1 if block == 5 else 2])
        monkeypatch.setattr(computation.Shape, "choose", staticmethod(lambda *_: shape))
    for lanes in ([3], np.arange(24)[::-1], [1, 9, 17, 20]):
        found = compute(noisy(), lanes)
        for name in ("last_r", "last_v", "mean", "steps"):
            np.testing.assert_array_equal(found[name], paths[name][lanes])


def test_paths_under_a_pulse_that_moves_from_lane_to_lane():
    """Stretches of their own length per lane: the path still depends on the lane alone."""
    over = {"stimulus.start": [0.5, 0.753, 1.1, 1.61]}
    plan = noisy(over, stimulus=Pulse(1.0, 0.5, 2.0), noise=0.1)
    whole = compute(plan)
    for lane in (0, 2):
        one = compute(plan, [lane])
        np.testing.assert_array_equal(one["last_r"], whole["last_r"][[lane]])


def test_keys(paths):
    again, other = compute(noisy(key=jax.random.PRNGKey(7))), compute(noisy(key=jax.random.key(8)))
    np.testing.assert_array_equal(again["last_r"], paths["last_r"])
    np.testing.assert_array_equal(other["last_r"][:8], paths["last_r"][:8])
    assert np.all(other["last_r"][8:] != paths["last_r"][8:])


SENTENCES = {
    "no key": ({"noise": 0.1, "key": None}, r"Argument `key` must be one random key"),
    "swept without key": ({"key": None}, r"Argument `key` must be one random key"),
    "key without noise": ({"over": {"eta": [1.0]}}, r"Argument `key` must be given together with `noise`"),
    "negative": ({"noise": -0.1}, r"Argument `noise` must be ≥ 0"),
    "negative axis": ({"over": {"noise": [-0.1]}}, r"Argument `noise` must be ≥ 0"),
    "method": (
        {"solver": diffrax.Tsit5()},
        r"Argument `solver` must be `MobiusSplitting\(4\)` or None with noise",
    ),
    "sample times": ({"observe": {"s": Samples((1.0, 4.0))}}, r"Argument `ts` must lie between `t0` \(0\) and `t1` \(3\)"),
}


@pytest.mark.parametrize(("arguments", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, sentence, unchecked):
    with pytest.raises(ValueError, match=sentence) as caught:
        noisy(**arguments)
    assert "\n" not in str(caught.value)
