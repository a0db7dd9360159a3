"""Models as simulators for inference: numbers of `sweep`, noise by key, names, priors, packages, bad input."""

import re
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm

MODEL = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)
Y0 = {"r": 0.5, "v": -0.5}
OBSERVE = {"peak": nmm.Peak("r"), "last": nmm.Final()}
OVER = {"eta": (-6.0, -4.0), "Delta": (0.5, 1.5)}
SIMULATOR = nmm.as_simulator(MODEL, over=OVER, observe=OBSERVE, y0=Y0, t1=2.0, dt0=0.02)
NOISY = {"over": {"eta": (-6.0, -4.0), "noise": (0.0, 0.2)}, "observe": {"rate": nmm.Mean("r")}, "t1": 2.0, "dt0": 0.05}
THETA = np.array([[-5.0, 1.0], [-4.5, 0.6], [-5.5, 1.4]])


def test_numbers_are_those_of_a_sweep_and_have_names():
    x = SIMULATOR(THETA)
    over = {"eta": ("draw", THETA[:, 0]), "Delta": ("draw", THETA[:, 1])}
    swept = nmm.sweep(MODEL, over=over, y0=Y0, t1=2.0, observe=OBSERVE, dt0=0.02, progress=False)
    assert SIMULATOR.names == ("eta", "Delta") and SIMULATOR.outputs == ("peak", "last_r", "last_v")
    assert np.array_equal(x, np.stack([swept[name] for name in SIMULATOR.outputs], axis=1))
    assert x.dtype == np.float64 and np.array_equal(SIMULATOR(THETA[1]), x[1])
    assert "eta in [-6, -4]" in str(SIMULATOR) and "peak, last_r, last_v" in str(SIMULATOR)


def test_every_call_has_noise_of_its_own_and_an_order_that_begins_anew():
    first, second = (nmm.as_simulator(MODEL, **NOISY, key=jax.random.key(3)) for _ in range(2))
    calls = [first(THETA * [1, 0.1]) for _ in range(2)]
    assert np.all(calls[0] != calls[1])
    assert np.array_equal(calls, [second(THETA * [1, 0.1]) for _ in range(2)])
    held = [first(THETA * [1, 0.1], jax.random.key(5)) for _ in range(2)]
    assert np.array_equal(held[0], held[1]) and np.all(held[0] != calls[0])
    assert np.array_equal(first(THETA * [1, 0])[:, 0], second(THETA * [1, 0], jax.random.key(9))[:, 0])  # no noise
    assert not np.array_equal(first(THETA * [1, 0.1]), nmm.as_simulator(MODEL, **NOISY)(THETA * [1, 0.1]))


def test_a_population_begins_at_its_lowest_stable_state():
    simulator = nmm.as_simulator(MODEL, over=("J",), observe={"last": nmm.Final()}, t1=1.0)
    low: Any = nmm.energy_landscape(MODEL).minima
    rates = np.asarray(low.r)
    assert simulator(np.array([15.0]))[0] == pytest.approx(rates[np.isfinite(rates)].min(), rel=1e-6)


def test_failed_lanes_are_nan_and_do_not_affect_the_others():
    options = {"y0": {"r": 0.5, "v": 0.0}, "t1": 2.0, "dt0": 0.02, "solver": diffrax.Tsit5()}
    wild = nmm.as_simulator(MODEL, over=("v",), observe={"last": nmm.Final()}, **options)
    theta = np.array([[0.5], [1e200], [0.6]])
    x, valid = wild.run(theta)
    assert valid.tolist() == [True, False, True] and np.isnan(x[1]).all()
    assert np.array_equal(x[[0, 2]], wild(theta[[0, 2]]))


def test_matrices_over_pairs_give_their_upper_triangle():
    """Outputs of networks are named by node; pairs are taken once."""
    network = nmm.Network(MODEL, 0.3 * (1 - np.eye(2)), names=("V1", "MT"))
    simulator = nmm.as_simulator(network, over={"gain": (0.0, 2.0)}, observe={"last": nmm.Final()}, y0=Y0, t1=1.0, dt0=0.05)
    assert simulator.outputs == ("last_r[V1]", "last_r[MT]", "last_v[V1]", "last_v[MT]")
    from nmmjax.ensemble.plan import Variable
    from nmmjax.sweeps.simulator import _labels, _places

    fc = Variable(("node", "other_node"), (3, 3), "float64", {})
    names = np.array(["a", "b", "c"])
    labels = _labels("fc", fc, _places(fc), {"node": names, "other_node": names})
    assert labels == ["fc[a,b]", "fc[a,c]", "fc[b,c]"]


def test_priors_are_uniform_within_given_or_declared_bounds():
    prior = SIMULATOR.prior()
    draws = prior.sample(4000)
    low, high = SIMULATOR.bounds
    assert low.tolist() == [-6.0, 0.5] and high.tolist() == [-4.0, 1.5]
    assert draws.shape == (4000, 2) and np.all((draws >= low) & (draws <= high))
    assert np.allclose(draws.mean(axis=0), [-5.0, 1.0], atol=0.05) and np.allclose(
        draws.std(axis=0), np.sqrt([4 / 12, 1 / 12]), 0.05
    )
    assert prior.log_prob(draws[:2]) == pytest.approx(-np.log(2.0)) and np.isinf(prior.log_prob([0.0, 1.0]))
    assert np.array_equal(draws, SIMULATOR.prior().sample(4000)) and not np.array_equal(draws, prior.sample(4000))
    plastic = nmm.MPR(plasticity=nmm.ShortTermPlasticity(tau_d=0.2, tau_f=1.0, U0=0.5))
    declared = nmm.as_simulator(
        plastic, over=("plasticity.U0",), observe={"last": nmm.Final()}, y0={"r": 0.1, "v": -1.0}, t1=1.0
    )
    assert np.allclose(declared.bounds, [[0.0], [1.0]])


def test_dictionaries_in_and_out_as_bayesflow_and_sbijax_call():
    sample = SIMULATOR.simulator("bayesflow")
    drawn = sample((3,))
    assert {name: each.shape for name, each in drawn.items()} == dict.fromkeys(
        ["eta", "Delta", "peak", "last_r", "last_v"], (3, 1)
    )
    given = sample((3,), eta=THETA[:, :1], Delta=THETA[:, 1:])
    x = SIMULATOR(THETA)
    assert np.array_equal(np.concatenate([given[name] for name in SIMULATOR.outputs], axis=1), x)
    assert np.array_equal(given["eta"], THETA[:, :1])
    simulator_fn = SIMULATOR.simulator("sbijax")
    theta = {"eta": jnp.asarray(THETA[:, 0]), "Delta": jnp.asarray(THETA[:, 1])}
    assert np.array_equal(simulator_fn(jax.random.key(0), theta), x)


def test_rejection_finds_the_gain_of_a_network():
    network = nmm.Network(MODEL, 0.3 * (1 - np.eye(2)))
    observe = {"rate": nmm.Mean("r"), "peak": nmm.Peak("r[0]")}
    simulator = nmm.as_simulator(network, over={"gain": (0.0, 2.0)}, observe=observe, y0=Y0, t1=2.0, dt0=0.02)
    seen = simulator([1.3])
    theta = simulator.prior().sample(512)
    distance = np.linalg.norm((simulator(theta) - seen) / seen, axis=1)
    kept = theta[np.argsort(distance)[:8], 0]
    assert kept.mean() == pytest.approx(1.3, abs=0.02) and kept.std() < 0.02


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_sbi_finds_excitability_and_noise(tmp_path, monkeypatch):
    """Neural posterior estimation of two parameters from mean and variance of the rate."""
    sbi = pytest.importorskip("sbi.inference")
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)  # where sbi logs
    torch.manual_seed(0)
    observe = {"rate": nmm.Mean("r"), "spread": nmm.Variance("r")}
    over = {"eta": (-7.0, -5.0), "noise": (0.01, 0.2)}
    simulator = nmm.as_simulator(nmm.MPR(eta=-6.0, J=5.0), over=over, observe=observe, t0=5.0, t1=105.0, dt0=0.05)
    prior, run = simulator.prior("sbi"), simulator.simulator("sbi")
    theta = prior.sample((1500,))
    x = run(theta)
    assert x.dtype == torch.float32 and x.shape == (1500, 2)
    inference = sbi.NPE(prior=prior)
    inference.append_simulations(theta, torch.log(x)).train(max_num_epochs=60)
    truth = torch.tensor([[-6.2, 0.1]])
    seen = torch.log(run(truth))
    draws = inference.build_posterior().sample((2000,), x=seen, show_progress_bars=False).numpy()
    assert np.all(np.abs(draws.mean(axis=0) - truth.numpy()[0]) < 3 * draws.std(axis=0))
    assert np.all(draws.std(axis=0) < 0.5 * np.asarray([2.0, 0.19]) / np.sqrt(12))  # much narrower than the prior


# --- the door -------------------------------------------------------------------------------------------------------------

CALL = {"observe": OBSERVE, "y0": Y0, "t1": 1.0}


def unbounded():
    return nmm.as_simulator(MODEL, over=("eta",), **CALL)


BAD = [
    (lambda: nmm.as_simulator(MODEL, over=(), **CALL), "Argument `over` must be names of parameters, or a mapping"),
    (lambda: nmm.as_simulator(MODEL, over=("eta", "eta"), **CALL), "Argument `over` must name each parameter once"),
    (lambda: nmm.as_simulator(MODEL, over=("x",), **CALL), "Argument `x` must be one of the parameters of a simulator"),
    (lambda: nmm.as_simulator(MODEL, over={"eta": (1.0, 0.0)}, **CALL), "Argument `over` must give (low, high) for `eta`"),
    (lambda: nmm.as_simulator(MODEL, over={"eta": 1.0}, **CALL), "Argument `over` must give (low, high) for `eta`"),
    (lambda: nmm.as_simulator(MODEL, over={"Delta": (-1.0, 3.0)}, **CALL), "Argument `over` must keep `Delta` ≥ 0"),
    (
        lambda: nmm.as_simulator(MODEL, over=("eta",), observe=OBSERVE),
        "Argument `t1` must be given, unless monitors are observed",
    ),
    (
        lambda: nmm.as_simulator(MODEL, over=("eta",), store="x", **CALL),
        "Argument `store` must be one of the options of `swee",
    ),
    (
        lambda: nmm.as_simulator(MODEL, **{**CALL, "over": "eta", "observe": [OBSERVE]}),
        "Argument `observe` must be a mapping",
    ),
    (lambda: SIMULATOR([1.0]), "Argument `theta` must be numbers (batch, 2), the parameters eta, Delta, but got"),
    (lambda: SIMULATOR("x"), "Argument `theta` must be numbers (batch, 2)"),
    (lambda: SIMULATOR([[-5.0, np.nan]]), "Argument `Delta` must be finite, without NaN"),
    (lambda: SIMULATOR(THETA, jnp.zeros(3)), "Argument `key` must be one random key"),
    (lambda: SIMULATOR.prior("pyro"), "Argument `package` must be one of numpy, sbi, bayesflow, sbijax"),
    (
        lambda: unbounded().prior(),
        "Argument `over` must give bounds for `eta`, as in over={'eta': (low, high)}: it is declared finite",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message[10:50] for _, message in BAD])
def test_bad_input_is_one_sentence(call, message, unchecked):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        call()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
