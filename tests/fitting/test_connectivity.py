"""Fits of networks to functional connectivity, and maps over regions: zero at the truth, gradients, recovery, bad input."""

import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from helpers import rest_slow
from hypothesis import given, settings
from hypothesis import strategies as st

import nmmjax as nmm
from nmmjax.fitting.parametrization import parametrize
from nmmjax.results import Recording

N = 5
CONNECTOME = nmm.random_connectome(N, key=jax.random.key(1), modules=1).scaled("rows")
MAP = np.array([-1.0, 0.4, 1.2, -0.3, 0.1])
NODE: Any = nmm.per_node(nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, tau=10.0), eta=-5.0 + 0.3 * MAP)
BRAIN: Any = nmm.Network(NODE, CONNECTOME, gain=8.0)
FC = nmm.linear_response(BRAIN).fc()
D = jnp.asarray([1.0, 2.0, 0.5, 1.5, 1.0])
COLOURED = nmm.OrnsteinUhlenbeck(1.0, 30.0)


def slow_fc(network):
    S = jnp.real(nmm.linear_response(network).cross_spectra([0.0]))[0]
    size = jnp.sqrt(jnp.diagonal(S))
    return S / jnp.outer(size, size)


CASES = {
    "difference": nmm.FunctionalConnectivityTarget(FC, error=0.1),
    "correlation": nmm.FunctionalConnectivityTarget(FC, loss="correlation"),
    "slow": nmm.FunctionalConnectivityTarget(slow_fc(BRAIN), frequency=0.0),
    "coloured": nmm.FunctionalConnectivityTarget(nmm.linear_response(BRAIN, COLOURED).fc(), noise=COLOURED),
    "nodes": nmm.FunctionalConnectivityTarget(nmm.linear_response(BRAIN, D).fc(), noise="nodes"),
}
names = pytest.mark.parametrize("name", rest_slow(CASES, "correlation"))


@eqx.filter_jit
def both(target, parameters, x, unknowns):
    """The loss and its derivatives in either mode."""
    loss = lambda x: target.loss(parameters.apply(BRAIN, x), unknowns)
    return loss(x), jax.jacfwd(loss)(x), jax.grad(loss)(x)


@names
def test_residuals_vanish_at_the_truth_and_gradients_agree_with_differences(name):
    target = CASES[name]
    target.check(BRAIN)
    unknowns = jnp.log(D[1:] / D[0]) if name == "nodes" else None
    parameters = parametrize(BRAIN, ("gain", "node.eta"))
    x = parameters.read(BRAIN)
    assert float(both(target, parameters, x, unknowns)[0]) < 1e-20
    x = x * jnp.linspace(0.97, 1.03, x.size)
    _, forward, reverse = both(target, parameters, x, unknowns)
    assert np.allclose(forward, reverse, rtol=1e-9, atol=1e-12 * np.abs(forward).max())
    for k in (0, 1, N):  # the gain, and two of the η
        h = 1e-4 * abs(float(x[k]))
        losses = [float(both(target, parameters, x.at[k].add(s * h), unknowns)[0]) for s in (1, -1, 2, -2)]
        numeric = (8 * (losses[0] - losses[1]) - (losses[2] - losses[3])) / (12 * h)
        assert float(forward[k]) == pytest.approx(numeric, rel=1e-6, abs=1e-9 * np.abs(forward).max())


# --- recovery -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_gain_comes_from_a_functional_connectivity():
    start = nmm.Network(NODE, CONNECTOME, gain=5.0)
    fitted = nmm.fit(start, free=("gain",), target=CASES["difference"], starts=2, progress=False)
    assert float(fitted.best.gain) == pytest.approx(8.0, rel=1e-8)
    assert fitted.found_best.all()
    report = fitted.report()
    assert "correlation 1.0000 with the measured one over 10 pairs" in report
    assert float(CASES["difference"].correlation(fitted.best)) == pytest.approx(1.0, abs=1e-12)


def test_gain_and_a_regional_map_come_from_a_functional_connectivity():
    start = nmm.Network(nmm.MPR(eta=-5.2, J=15.0, Delta=1.0, tau=10.0), CONNECTOME, gain=6.0)
    free = {"gain": True, "node.eta": nmm.RegionalMap({"myelin": MAP})}
    fitted = nmm.fit(start, free=free, target=CASES["correlation"], starts=1, progress=False)
    assert fitted.labels == ("gain", "node.eta[offset]", "node.eta[myelin]")
    assert fitted.values[0] == pytest.approx([8.0, -5.0, 0.3], rel=1e-6)
    assert np.allclose(fitted.best.node.eta, BRAIN.node.eta, rtol=1e-7)


@pytest.mark.slow
def test_every_eta_and_the_noise_of_every_node_come_from_a_functional_connectivity():
    start = nmm.Network(nmm.per_node(NODE, eta=np.full(N, -5.1)), CONNECTOME, gain=8.0)
    fitted = nmm.fit(start, free=("node.eta",), target=CASES["difference"], starts=1, progress=False)
    assert np.allclose(fitted.best.node.eta, BRAIN.node.eta, rtol=1e-6)
    start = nmm.Network(NODE, CONNECTOME, gain=7.0)
    fitted = nmm.fit(start, free=("gain",), target=CASES["nodes"], starts=1, progress=False)
    assert float(fitted.best.gain) == pytest.approx(8.0, rel=1e-6)
    assert np.exp(fitted.unknowns[0]) == pytest.approx(D[1:] / D[0], rel=1e-6)
    assert fitted.target.unknown_names(start) == tuple(f"ln D[{each}]" for each in CONNECTOME.labels[1:])


def test_a_map_of_logarithms_keeps_what_must_be_positive_so():
    network = nmm.Network(nmm.per_node(NODE, Delta=np.exp(-0.5 + 0.2 * MAP)), CONNECTOME, gain=8.0)
    parameters = parametrize(network, {"node.Delta": nmm.RegionalMap(MAP, log=True)})
    assert np.allclose(parameters.read(network), [-0.5, 0.2], rtol=1e-12)
    moved = parameters.apply(network, jnp.asarray([-3.0, 0.5]))
    assert np.allclose(moved.node.Delta, np.exp(-3.0 + 0.5 * MAP), rtol=1e-12)
    starts = {"node.Delta": np.exp(np.stack([-1 + MAP, 0 * MAP]))}
    fitted = nmm.fit(
        network,
        free={"node.Delta": nmm.RegionalMap(MAP, log=True)},
        target=lambda m: m.node.Delta[0],
        starts=starts,
        optimizer=None,
        max_steps=1,
        progress=False,
    )
    assert np.allclose(fitted.initial, [[-1.0, 1.0], [0.0, 0.0]], atol=1e-12)


# --- regions --------------------------------------------------------------------------------------------------------------


def moved_nodes(order, **options):
    node, weights = nmm.per_node(NODE, eta=BRAIN.node.eta[order]), CONNECTOME.weights[order][:, order]
    return nmm.Network(node, weights, gain=8.0, **options)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(N)))
def test_permuted_nodes_have_the_permuted_connectivity(order):
    order = np.asarray(order)
    assert np.allclose(connectivity(CASES["difference"], moved_nodes(order)), FC[order][:, order], atol=1e-12)


def test_named_regions_find_their_nodes_in_any_order():
    order = np.asarray([3, 0, 4, 2, 1])
    moved = moved_nodes(order, names=[CONNECTOME.labels[k] for k in order])
    target = nmm.FunctionalConnectivityTarget(FC, labels=CONNECTOME.labels)
    assert np.array_equal(target.order(moved), order)
    assert np.allclose(target.measured(moved), np.where(np.eye(N), 1.0, np.asarray(FC)[order][:, order]))
    assert float(jnp.max(jnp.abs(compiled(target, moved)))) < 1e-12


@eqx.filter_jit
def connectivity(target, network):
    return target.connectivity(network)


@eqx.filter_jit
def compiled(target, network):
    return target.residuals(network)


def test_tables_and_recordings_bring_their_names():
    labels, turned = list(CONNECTOME.labels), list(CONNECTOME.labels)[::-1]
    table = pd.DataFrame(np.asarray(FC)[::-1, ::-1], index=turned, columns=turned)
    by_table = nmm.FunctionalConnectivityTarget(table)
    by_array = nmm.FunctionalConnectivityTarget(nmm.linear_response(BRAIN).to_xarray().fc)
    for each in (by_table, by_array):
        assert float(jnp.max(jnp.abs(compiled(each, BRAIN)))) < 1e-12
    assert by_table.labels == tuple(turned) and by_array.labels == tuple(labels)
    series = np.random.default_rng(0).normal(size=(50, N))
    series[3, 2] = np.nan
    found = nmm.FunctionalConnectivityTarget(Recording(series, turned)).measured(BRAIN)
    assert np.allclose(found[::-1, ::-1], np.corrcoef(np.delete(series, 3, axis=0).T))
    two = Recording(series, turned, subject=np.repeat([0, 1], 25))
    halves = [np.corrcoef(each.T) for each in (np.delete(series[:25], 3, axis=0), series[25:])]
    assert np.allclose(nmm.FunctionalConnectivityTarget(two).measured(BRAIN)[::-1, ::-1], np.mean(halves, axis=0))


def test_unmeasured_pairs_do_not_count():
    holed = np.array(FC)
    holed[0, 1] = holed[1, 0] = np.nan
    target = nmm.FunctionalConnectivityTarget(holed, loss="correlation")
    assert target.count(BRAIN) == 9
    assert float(jnp.max(jnp.abs(compiled(target, BRAIN)))) < 1e-12


def test_without_a_stable_state_starts_say_so():
    """The middle state of bistable nodes is a saddle."""
    middle = nmm.Network(nmm.MPR(eta=-5.0, J=15.0, Delta=1.0), CONNECTOME, gain=0.01)
    target = nmm.FunctionalConnectivityTarget(FC, guess={"r": jnp.full(N, 0.4472985), "v": jnp.full(N, -0.515)})
    assert np.isnan(compiled(target, middle)).all()
    fitted = nmm.fit(middle, free=("gain",), target=target, starts=1, progress=False)
    assert "not finite" in fitted.report()
    assert target.remarks(middle) == ("Functional connectivity: none, as there is no stable state of rest.",)


# --- the door -------------------------------------------------------------------------------------------------------------

EYE = np.eye(N)
OTHERS = [*CONNECTOME.labels[:-1], "Z9"]


def with_map(x, name="node.eta", **options):
    return lambda: parametrize(BRAIN, {name: nmm.RegionalMap(x, **options)})


BAD = [
    (
        lambda: nmm.FunctionalConnectivityTarget(np.ones((3, 2))),
        "Argument `fc` must be correlations (n, n) of n ≥ 2 regions",
    ),
    (lambda: nmm.FunctionalConnectivityTarget("fc.csv"), "Argument `fc` must be correlations (n, n) of n ≥ 2 regions, or a"),
    (lambda: nmm.FunctionalConnectivityTarget(2 + 0 * EYE), "Argument `fc` must lie between −1 and 1, but got 2 at [0, 1]"),
    (
        lambda: nmm.FunctionalConnectivityTarget(np.triu(0.5 + 0 * EYE)),
        "Argument `fc` must be symmetric (largest |FC − FCᵀ|)",
    ),
    (lambda: nmm.FunctionalConnectivityTarget(np.nan * EYE), "Argument `fc` must hold 1 measured pair at least, but got 0."),
    (lambda: nmm.FunctionalConnectivityTarget(EYE, loss="correlation"), "Argument `fc` must vary from pair to pair"),
    (lambda: nmm.FunctionalConnectivityTarget(EYE, loss="mse"), "Argument `loss` must be one of difference, correlation"),
    (lambda: nmm.FunctionalConnectivityTarget(EYE, error=0.0), "Argument `error` must be one number > 0, or (5, 5) of them"),
    (
        lambda: nmm.FunctionalConnectivityTarget(FC, error=0.1, loss="correlation"),
        "Argument `error` must be None with `loss` correlation, but got 0.1.",
    ),
    (lambda: nmm.FunctionalConnectivityTarget(EYE, labels=["a", "b"]), "Argument `labels` must be 5 distinct names"),
    (lambda: nmm.FunctionalConnectivityTarget(EYE, frequency=-1.0), "Argument `frequency` must be ≥ 0, but got -1."),
    (lambda: nmm.FunctionalConnectivityTarget(EYE, noise="every"), 'Argument `noise` must be "nodes", or noise as in'),
    (
        lambda: nmm.FunctionalConnectivityTarget(EYE, noise=nmm.CauchyNoise(0.1)),
        "Argument `noise` must be white or Ornstein",
    ),
    (lambda: nmm.FunctionalConnectivityTarget(EYE, guess=0.1), "Argument `guess` must be a state near the fixed point"),
    (
        lambda: nmm.FunctionalConnectivityTarget(EYE).check(nmm.MPR()),
        "Argument `model` must be a network for `FunctionalConnectivityTarget`",
    ),
    (
        lambda: nmm.FunctionalConnectivityTarget(np.eye(3)).check(BRAIN),
        "Argument `fc` must have the regions of the network, 5, but got 3.",
    ),
    (
        lambda: nmm.FunctionalConnectivityTarget(FC, labels=OTHERS).check(BRAIN),
        "Argument `fc` must have the regions of the network, but got Z9, not among the network's nodes.",
    ),
    (
        lambda: nmm.FunctionalConnectivityTarget(Recording(np.ones((9, N)))),
        "Region `R1` never changes: it has no correlation with others; leave it out.",
    ),
    (lambda: nmm.FunctionalConnectivityTarget(FC, channel="x").check(BRAIN), "Argument `channel` must be one of `r`, `v`"),
    (with_map(MAP[:3]), "Argument `x` must have one value per node, 5, but got 3."),
    (with_map(0 * MAP), "Argument `x` must vary from region to region, and none be the sum of others"),
    (with_map(np.nan * MAP), "Argument `x` must be finite, without NaN"),
    (with_map("x"), "Argument `x` must be numbers (n,) or (n, k)"),
    (with_map(MAP, "node.Delta"), "Argument `log` must be True for `node.Delta`, which is"),
    (with_map(MAP, log=True), "Argument `log` must be False for `node.eta`, which is finite, but got True."),
    (with_map(MAP, "gain"), "Argument `free` must name a parameter of the nodes, `node.…`, for a `RegionalMap`"),
    (
        lambda: parametrize(BRAIN, {"node.eta": nmm.RegionalMap(MAP)}, {"node.eta": (-9.0, 0.0)}),
        "Argument `bounds` must name no `RegionalMap`, whose numbers have none",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message[10:50] for _, message in BAD])
def test_bad_input_is_one_sentence(call, message, unchecked):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        call()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
