"""Energy landscapes: every fixed point of a population, resting states and passes of networks, against closed forms."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import central_difference
from jax.experimental.sparse import BCOO

import nmmjax as nmm
from nmmjax.equilibria.brackets import fixed_rates
from nmmjax.landscape.certificates import margin
from nmmjax.landscape.descent import descend, in_pieces
from nmmjax.landscape.search import Catalogue, box
from nmmjax.landscape.tree import disconnectivity
from nmmjax.numerics.symmetry import symmetry_of

# Golden values of the notes (models.md §1): (r, v; eigenvalues) of node, saddle and focus.
BISTABLE = {
    "paper": (
        nmm.MPR(eta=-5.0, J=15.0, Delta=1.0),
        [0.0811344420, 0.4729803407, 1.0305967988],
        [-1.9616199886, -0.3364937808, -0.1544298830],
        [[-2.448738, -5.397742], [1.641678, -2.987653], [-0.308860 + 3.318629j, -0.308860 - 3.318629j]],
    ),
    "brain": (
        nmm.MPR(eta=-4.6, J=14.5, Delta=0.7),
        [0.0571217422, 0.4523105403, 1.0080121530],
        [-1.9503687357, -0.2463096706, -0.1105229335],
        [None, None, [-0.221046 + 3.298668j, -0.221046 - 3.298668j]],
    ),
}


@pytest.mark.parametrize(("model", "rates", "voltages", "eigenvalues"), BISTABLE.values(), ids=BISTABLE)
def test_golden_fixed_points(model, rates, voltages, eigenvalues):
    found = nmm.energy_landscape(model)
    np.testing.assert_allclose(found.state.r, rates, atol=1e-10)
    np.testing.assert_allclose(found.state.v, voltages, atol=1e-9)
    for mine, golden in zip(found.eigenvalues, eigenvalues, strict=True):
        if golden is not None:
            np.testing.assert_allclose(mine, golden, atol=6e-7)
    assert found.kinds == ("stable node", "saddle", "stable focus")
    assert len(found.minima) == 2 and len(found.saddles) == 1
    flow = model.vector_field(jnp.zeros(3), found.state)
    np.testing.assert_allclose(flow.r, 0, atol=1e-12)
    np.testing.assert_allclose(flow.v, 0, atol=1e-10)


@pytest.mark.parametrize(
    ("eta", "J", "Delta", "rates"),
    [
        (-8.0, 15.0, 1.0, 1),
        (-4.0, 15.0, 1.0, 3),
        (-2.0, 15.0, 1.0, 1),
        (0.0, -5.0, 0.3, 1),
        (1.0, 5.0, 0.0, 1),
        (-1.0, 5.0, 0.0, 0),
    ],
)
def test_how_many(eta, J, Delta, rates):
    found = nmm.energy_landscape(nmm.MPR(eta=eta, J=J, Delta=Delta))
    assert len(found.points) == rates
    assert isinstance(repr(found), str)


FOLDS = {  # models.md §1: (r, η) of both folds
    (1.0, 15.0): ((0.16256980, -3.13613409), (0.75391973, -5.74352716)),
    (1.0, 20.0): ((0.14343119, -3.89685063), (1.01072619, -10.15685291)),
    (2.0, 15 * 2**0.5): ((0.22990841, -6.27226817), (1.06620350, -11.48705432)),
    (0.7, 14.5): ((0.12747487, -2.45181935), (0.73136391, -5.34879707)),
}


@pytest.mark.parametrize("which", FOLDS, ids=str)
def test_folds_and_the_input_at_which_a_minimum_vanishes(which):
    Delta, J = which
    eta = sum(eta for _, eta in FOLDS[which]) / 2
    found = nmm.energy_landscape(nmm.MPR(eta=eta, J=J, Delta=Delta))
    np.testing.assert_allclose(found.fold_rate, [r for r, _ in FOLDS[which]], atol=1e-8)
    lowest, highest = (eta_fold - eta for _, eta_fold in FOLDS[which])
    np.testing.assert_allclose(np.asarray(found.vanishing_input)[[0, 2]], [lowest, highest], atol=1e-7)
    for tilt, left in ((lowest - 1e-4, 3), (lowest + 1e-4, 1), (highest + 1e-4, 3), (highest - 1e-4, 1)):
        assert len(found.tilted(tilt).points) == left


def test_no_root_is_missed():
    """Against the eigenvalues of the companion matrix, with gap junctions and conductances; scale invariance besides."""
    rng = np.random.default_rng(0)
    count = 400
    eta, J, E_s = rng.uniform(-20, 20, count), rng.uniform(-40, 60, count), rng.uniform(-5, 5, count)
    Delta, g, k = 10 ** rng.uniform(-4, 1, count), rng.uniform(0, 3, count), rng.uniform(0, 3, count)

    def rates(eta, J, Delta, g, k, E_s):
        return fixed_rates(nmm.MPR(eta, J, Delta, 1.0, nmm.GapJunction(g), nmm.ConductanceSynapse(k, E_s)))[0]

    found = jax.jit(jax.vmap(rates))(*map(jnp.asarray, (eta, J, Delta, g, k, E_s)))
    for i in range(count):
        a = Delta[i] / np.pi
        quartic = [-(np.pi**2) - k[i] ** 2 / 4, J[i] + k[i] * E_s[i], eta[i] + g[i] ** 2 / 4, -g[i] * a / 2, a**2 / 4]
        roots = np.roots(quartic)
        real = np.sort(roots[(np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0)].real)
        np.testing.assert_allclose(np.sort(np.asarray(found[i])[np.isfinite(found[i])]), real, rtol=1e-9)


@pytest.mark.parametrize("tau", [1.0, 2.5])
@pytest.mark.parametrize("terms", [{}, {"gap": nmm.GapJunction(0.2), "conductance": nmm.ConductanceSynapse(0.3, -1.0)}])
def test_eigenvalues_are_those_of_the_jacobian(tau, terms):
    model = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, tau=tau, **terms)
    found = nmm.energy_landscape(model, I=0.3)

    def field(y):
        flow = model.vector_field(jnp.asarray(0.0), nmm.State(r=y[0], v=y[1]), 0.3)
        return jnp.stack([flow.r, flow.v])

    for y, mine in zip(found.points, found.points.eigenvalues, strict=True):
        expected = np.linalg.eigvals(jax.jacfwd(field)(jnp.stack([y.r, y.v])))
        np.testing.assert_allclose(np.sort_complex(np.asarray(mine)), np.sort_complex(expected), rtol=1e-8)
    _, _, focus = np.asarray(found.eigenvalues)
    np.testing.assert_allclose([found.frequency[2], -found.damping[2]], [focus[0].imag, focus[0].real], rtol=1e-12)


def test_landscape_is_differentiable_and_batched():
    def barrier(eta):
        return nmm.energy_landscape(nmm.MPR(eta=eta)).barrier[0]

    # dV/dη = 1/R at fixed points, so the slope of a barrier is 1/R_saddle − 1/R_minimum.
    expected = 1 / 0.4729803407 - 1 / 0.0811344420
    np.testing.assert_allclose(jax.grad(barrier)(-5.0), expected, rtol=1e-8)
    slope = jax.jit(jax.grad(barrier))
    second = central_difference(lambda eta: float(slope(eta)), -5.0, 1e-3)
    np.testing.assert_allclose(jax.jit(jax.grad(jax.grad(barrier)))(-5.0), second, rtol=1e-6)
    many = jax.vmap(lambda eta: nmm.energy_landscape(nmm.MPR(eta=eta)))(jnp.linspace(-8.0, -2.0, 13))
    assert many.energy.shape == (13, 3)
    alone = nmm.energy_landscape(nmm.MPR(eta=-4.0))
    np.testing.assert_allclose(many.barrier[8], alone.barrier, rtol=1e-12)


def test_potential_on_a_grid_has_its_extrema_at_the_fixed_points():
    found = nmm.energy_landscape(nmm.MPR())
    r, V = found.grid(20_001)
    inner = np.asarray(V[1:-1])
    extrema = np.flatnonzero((inner - V[:-2]) * (inner - V[2:]) > 0) + 1
    np.testing.assert_allclose(r[extrema], found.state.r, rtol=3e-4)
    np.testing.assert_allclose(V[extrema], found.energy, rtol=1e-6)
    np.testing.assert_allclose(found.points.barrier[0], 12.748855, rtol=1e-6)


PAIR = nmm.mutual_inhibition(eta=5.0, J_self=0.0, J_cross=-15.0, Delta=1.0)


def test_mutual_inhibition():
    """Golden values of models.md §9: two equal asymmetric states, and the symmetric one as the pass between them."""
    found = nmm.energy_landscape(PAIR)
    np.testing.assert_allclose(found.minima.r, [[0.632021, 0.074733], [0.074733, 0.632021]], atol=5e-6 * 10)
    assert found.minima.energy[0] == pytest.approx(float(found.minima.energy[1]), abs=1e-12)
    np.testing.assert_allclose(found.saddles.r, [[0.295314, 0.295314]], atol=1e-6)
    np.testing.assert_allclose(found.saddles.eigenvalues[0, 0], 1.2495, atol=1e-4)
    np.testing.assert_allclose(found.minima.eigenvalues[0][:2], [-0.6881 + 3.9947j, -0.6881 - 3.9947j], atol=6e-5)
    np.testing.assert_allclose(found.minima.eigenvalues[0][2:], [-2.9412, -5.2085], atol=6e-5)
    assert np.asarray(found.links).tolist() in ([[0, 1]], [[1, 0]])
    assert found.reason is None and found.complete and found.checked == found.agreeing == 3
    np.testing.assert_allclose(found.minima.barrier, found.saddles.energy[0] - found.minima.energy, rtol=1e-12)
    np.testing.assert_allclose(found.potential(found.minima.r), found.minima.energy, rtol=1e-12)
    share, unknown = found.basin_sizes(jax.random.key(0), 512)
    assert abs(float(share[0]) - 0.5) < 0.06 and float(unknown) == 0.0
    assert "2 minima, 1 saddles" in repr(found)


@pytest.mark.parametrize(("eta", "minima"), [(1.74, 1), (1.742, 2), (16.873, 2), (16.8745, 3), (19.0, 1)])
def test_pitchforks_of_mutual_inhibition(eta, minima):
    """Golden values of models.md §9. The first is supercritical; at the second, a subcritical one, the symmetric state comes
    back beside the asymmetric ones, which end further on, in folds."""
    found = nmm.energy_landscape(nmm.mutual_inhibition(eta=eta, J_self=0.0, J_cross=-15.0, Delta=1.0))
    assert len(found.minima) == minima


def test_a_strong_enough_stimulus_removes_a_minimum():
    tilted = nmm.energy_landscape(PAIR, I=jnp.asarray([0.0, 12.0]))
    assert len(tilted.minima) == 1 and float(tilted.minima.r[0, 1]) > float(tilted.minima.r[0, 0])


def random_nodes(rng, size):
    return nmm.per_node(
        nmm.MPR(),
        eta=jnp.asarray(rng.uniform(-8, 8, size)),
        J=jnp.asarray(rng.uniform(0, 20, size)),
        Delta=jnp.asarray(10 ** rng.uniform(-2, 0.5, size)),
        tau=jnp.asarray(rng.uniform(0.5, 2, size)),
    )


def random_network(rng, size):
    W = rng.normal(size=(size, size)) * rng.choice([1, 3, 8, 15]) / np.sqrt(size)
    return nmm.Network(random_nodes(rng, size), jnp.asarray((W + W.T) / 2))


def check_random_networks(seed, sizes, count):
    """No state that 256 random starts find is missed, all lie in the box, stable ⇔ minimum, index = unstable eigenvalues."""
    rng = np.random.default_rng(seed)
    checked = 0
    for _ in range(count):
        network = random_network(rng, int(rng.choice(sizes)))
        found = nmm.energy_landscape(network)
        assert found.agreeing == found.checked == len(found.minima) + len(found.saddles)
        assert bool(jnp.all(found.minima.stable)) and not bool(jnp.any(found.saddles.stable))
        checked += found.checked
        low, high = (np.asarray(each) for each in box(network))
        known = Catalogue(network.size)
        for x in np.log(np.asarray(found.minima.r) * np.asarray(network.nodes().tau)):
            known.add(x)
            assert np.all(x > low - 1e-6) and np.all(x < high + 1e-6)
        ends, fine = in_pieces(descend, network, rng.uniform(low - 0.2, high + 0.2, (256, network.size)))
        assert {known.add(x) for x in ends[fine]} <= set(range(len(found.minima)))
    return checked


@pytest.mark.slow
def test_random_networks():
    assert check_random_networks(0, [3, 5], 6) > 12


@pytest.mark.slow
def test_many_random_networks():
    """The theorem that stable ⇔ minimum and Morse index = unstable eigenvalues: no exception in 2000 networks of n ≤ 8."""
    assert check_random_networks(1, range(2, 9), 2000) > 4000


@pytest.mark.slow
def test_all_corners_of_a_small_network_are_tried():
    """Weakly coupled bistable nodes keep all 2ⁿ states; passes between neighbours flip one node."""
    W = jax.random.uniform(jax.random.key(0), (5, 5))
    network = nmm.Network(nmm.MPR(eta=-4.6, J=14.5, Delta=0.7), (W + W.T) / 2, gain=0.05)
    found = nmm.energy_landscape(network)
    assert len(found.minima) == 32 and found.complete
    up = np.asarray(found.minima.r) > 0.3
    assert len(np.unique(up, axis=0)) == 32
    flips = [np.sum(up[a] != up[b]) for a, b in np.asarray(found.links) if a >= 0 and b >= 0]
    assert len(flips) >= 80 and set(flips) == {1}
    tree = found.tree
    assert tree.children.shape == (31, 2) and len(tree.roots) == 1 and np.all(np.diff(tree.heights) >= 0)
    assert sorted(tree.leaves()) == list(range(32))
    np.testing.assert_allclose(tree.barrier, found.minima.barrier, rtol=1e-9)


@pytest.mark.slow
def test_a_larger_network_is_searched_by_flips():
    W = jax.random.uniform(jax.random.key(1), (16, 16))
    network = nmm.Network(nmm.MPR(eta=-4.6, J=14.5, Delta=0.7), (W + W.T) / 32, gain=0.5)
    found = nmm.energy_landscape(network, starts=300, saddles=20)
    assert len(found.minima) > 100 and not found.complete and len(found.saddles) >= 10
    assert np.all(np.diff(np.asarray(found.minima.energy)) > -1e-9)
    y = found.minima[7]
    run = nmm.simulate(network, nmm.State(r=1.01 * y.r, v=y.v), jnp.asarray([0.0, 40.0]))
    np.testing.assert_allclose(run.y_end.r, y.r, rtol=1e-4)


def test_fixed_points_without_a_landscape():
    """Sanz Perl et al. 2023 (models.md §7): E–I weights are not symmetric; the result says so."""
    ping = nmm.excitatory_inhibitory(eta=(30.0, 40.0), J_ee=50.0, J_ie=20.0, J_ei=-20.0, J_ii=-20.0, Delta=(40.0, 47.0))
    found = nmm.energy_landscape(ping)
    np.testing.assert_allclose(found.minima.r, [[4.50470422, 2.84774362]], atol=1e-8)
    np.testing.assert_allclose(found.minima.eigenvalues[0, 0], -0.4105 + 19.7511j, atol=5e-5)
    assert "opposite signs" in found.reason and bool(jnp.isnan(found.minima.energy[0]))
    with pytest.raises(ValueError, match="must have a landscape, but nodes 0 and 1"):
        _ = found.tree


def test_fixed_points_of_networks_are_differentiable():
    def rate(weight):
        network = nmm.Network(nmm.MPR(eta=5.0, J=0.0, Delta=1.0), weight * (1 - jnp.eye(2)))
        return nmm.find_fixed_point(network, {"r": jnp.asarray([0.632, 0.0747]), "v": -1.0}).r[0]

    expected = central_difference(lambda weight: float(rate(weight)), -15.0, 1e-3)
    np.testing.assert_allclose(jax.grad(rate)(-15.0), expected, rtol=1e-7)


def test_network_potential_is_the_sum_of_its_parts():
    """Its slope is minus the force on the voltages, for every term; for one population it has V's critical points."""
    terms = {"gap": nmm.GapJunction(0.2), "conductance": nmm.ConductanceSynapse(0.3, -1.0)}
    one = nmm.MPR(eta=-2.0, J=5.0, Delta=0.7, **terms)
    R = jnp.linspace(0.1, 2.0, 9)
    np.testing.assert_allclose(jax.vmap(jax.grad(one.rate_potential))(R), -one.force_at_rate(R), rtol=1e-12)
    slope = jax.vmap(jax.grad(lambda R: one.potential(jnp.sqrt(2 / R))))(R)
    np.testing.assert_allclose(R**2 * slope, -one.force_at_rate(R), rtol=1e-11)
    network = nmm.Network(nmm.per_node(one, tau=jnp.asarray([0.7, 1.4])), jnp.asarray([[1.0, -3.0], [-3.0, 2.0]]), gain=0.8)
    r = jnp.asarray([0.5, 0.3])
    v = network.nodes().voltage_at_rate(network.tau * r)
    flow = network.vector_field(jnp.asarray(0.0), nmm.State(r=r, v=v))
    np.testing.assert_allclose(flow.r, 0, atol=1e-13)
    slope = jax.grad(lambda r: nmm.network_potential(network, r))(r)
    np.testing.assert_allclose(slope / network.tau, -network.tau * flow.v, rtol=1e-11)


def test_disconnectivity_tree():
    """Four minima in a row: the minimax level of any two is the lowest merge that holds both."""
    tree = disconnectivity(
        np.array([0.0, 1.0, 0.5, 2.0]), np.array([[0, 1], [1, 2], [2, 3], [0, 1]]), np.array([3.0, 5.0, 2.5, 4.0])
    )
    np.testing.assert_allclose(tree.heights, [2.5, 3.0, 5.0])
    assert tree.children.tolist() == [[2, 3], [0, 1], [5, 4]] or sorted(map(sorted, tree.children.tolist())) == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]
    np.testing.assert_allclose(tree.barrier, [3.0, 2.0, 2.0, 0.5])
    assert tree.leaves().tolist() == [0, 1, 2, 3]
    assert disconnectivity(np.array([0.0, 1.0]), np.zeros((0, 2), int), np.zeros(0)).roots == (1, 0)


def test_homogeneous_and_nearly_homogeneous_populations():
    """At Δ = 0 the state of the high branch is a center, and the silent one is gone to r = 0; near it rounding must not
    turn the node's two nearly equal eigenvalues into a focus."""
    assert nmm.energy_landscape(nmm.MPR(Delta=0.0)).kinds == ("saddle", "center")
    assert nmm.energy_landscape(nmm.MPR(Delta=1e-6)).kinds == ("stable node", "saddle", "stable focus")
    nothing = nmm.energy_landscape(nmm.MPR(eta=-1.0, J=1.0, Delta=0.0))
    assert len(nothing.points) == 0 and bool(jnp.all(jnp.isnan(nothing.energy)))
    bistable = nmm.Network(nmm.MPR(eta=-4.6, J=14.5, Delta=0.0), jnp.asarray([[0.0, 0.1], [0.1, 0.0]]))
    found = nmm.energy_landscape(bistable)
    assert found.agreeing == found.checked > 0 and found.minima.kinds == ("center",)


@pytest.mark.slow
def test_gap_junctions_can_make_a_minimum_unstable():
    node = nmm.MPR(eta=1.0, J=1.0, Delta=0.2, gap=nmm.GapJunction(0.5))
    found = nmm.energy_landscape(nmm.Network(node, 0.1 * jnp.ones((2, 2))))
    assert not bool(found.minima.stable[0]) and "can be unstable" in repr(found)


@pytest.mark.slow
def test_float32_landscapes():
    def single(tree):
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.float64 else leaf, tree)

    model = nmm.MPR(tau=1.7)
    found, twin = nmm.energy_landscape(single(model)), nmm.energy_landscape(model)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32"), jnp.dtype("complex64")}
    np.testing.assert_allclose(found.state.r, twin.state.r, rtol=2e-6)
    np.testing.assert_allclose(found.barrier, twin.barrier, rtol=2e-5)
    assert found.kinds == twin.kinds
    pair = nmm.energy_landscape(single(PAIR))
    assert pair.minima.r.dtype == jnp.float32 and pair.agreeing == pair.checked == 3
    np.testing.assert_allclose(pair.minima.r, nmm.energy_landscape(PAIR).minima.r, rtol=1e-5)


def test_a_lane_without_numbers_spoils_no_other():
    etas = jnp.asarray([-5.0, jnp.nan, -5.0])
    found = jax.vmap(lambda eta: nmm.energy_landscape(nmm.MPR(eta=eta)))(etas)
    assert bool(jnp.all(jnp.isnan(found.energy[1]))) and bool(jnp.all(found.energy[0] == found.energy[2]))


REFUSED = {
    "NaN": (
        lambda: nmm.energy_landscape(nmm.MPR(), I=np.nan),
        r"`I` must be finite, without NaN, but got nan",
    ),
    "NaN at nodes": (lambda: nmm.energy_landscape(PAIR, I=np.nan), r"`I` must be finite, without NaN"),
    "option": (lambda: nmm.energy_landscape(PAIR, start=3), r"`start` must be one of the options for a network, `starts`"),
    "grid": (
        lambda: nmm.energy_landscape(nmm.MPR(eta=-1.0, J=1.0, Delta=0.0)).grid(),
        r"`around` must lie around at least one fixed point",
    ),
    "model": (lambda: nmm.energy_landscape("brain"), r"`model` must have an exactly solvable part"),
    "slow": (
        lambda: nmm.energy_landscape(nmm.MPR(adaptation=nmm.SynapticDepression(0.05, 10.0))),
        r"`model` must be without slow terms to have a landscape",
    ),
    "starts": (lambda: nmm.energy_landscape(PAIR, starts=0), r"`starts` must be an integer ≥ 1, but got 0"),
    "I": (
        lambda: nmm.energy_landscape(PAIR, I=jnp.ones(3)),
        r"`I` must be a number or an array of shape \(2,\)",
    ),
    "options": (lambda: nmm.energy_landscape(nmm.MPR(), starts=3), r"`options` must be none for one population"),
    "symmetry": (
        lambda: nmm.network_potential(nmm.Network(nmm.MPR(), jnp.asarray([[0.0, 1.0], [-2.0, 0.0]])), jnp.ones(2)),
        r"`weights` must be symmetric, up to a positive scaling of rows, .* opposite signs",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_errors_at_the_door(make, message, unchecked):
    with pytest.raises(ValueError, match=message):
        make()


def symmetrizable(rng, size, kind):
    """A random network whose weights a positive scaling makes symmetric, and that scaling (up to a factor)."""
    A = rng.normal(size=(size, size)) * rng.choice([1, 3, 8]) / np.sqrt(size)
    A = (A + A.T) / 2
    if kind == "row-normalised":
        A = np.abs(A)
        d = A.sum(axis=1)
        W = rng.choice([1, 3, 8]) * A / d[:, None]
    else:  # gains of receivers g and senders h
        g, h = np.exp(rng.normal(size=(2, size)) / 2)
        W, d = g[:, None] * A * h[None], h / g
    return nmm.Network(random_nodes(rng, size), jnp.asarray(W)), d


@pytest.mark.parametrize("kind", ["row-normalised", "gains"])
def test_weights_that_a_scaling_makes_symmetric_have_a_landscape(kind):
    """d is found up to a factor, minima are stable, Morse indices are those of the eigenvalues, −∇Ψ is the scaled force."""
    network, d = symmetrizable(np.random.default_rng(3), 3, kind)
    found = nmm.energy_landscape(network, saddles=16)
    assert found.reason is None and found.agreeing == found.checked == len(found.minima) + len(found.saddles) > 0
    np.testing.assert_allclose(np.log(found.scaling / d), np.log(found.scaling[0] / d[0]), atol=1e-9)
    r = jnp.asarray([0.5, 0.3, 0.9])
    R = network.tau * r
    flow = network.vector_field(jnp.asarray(0.0), nmm.State(r=r, v=network.nodes().voltage_at_rate(R)))
    slope = jax.grad(lambda r: nmm.network_potential(network, r))(r)
    np.testing.assert_allclose(slope / network.tau, -found.scaling * network.tau * flow.v, rtol=1e-11)
    sparse = nmm.Network(network.node, BCOO.fromdense(network.weights))
    np.testing.assert_allclose(nmm.network_potential(sparse, r), nmm.network_potential(network, r), rtol=1e-12)
    assert "scaled weights" in repr(found)


@pytest.mark.slow
def test_many_symmetrizable_networks():
    """Morse index of Ψ_d = number of unstable directions: no exception in 5000 random networks, n ≤ 5."""
    rng = np.random.default_rng(11)
    points = 0
    for k in range(5000):
        network, _ = symmetrizable(rng, int(rng.integers(2, 6)), ("row-normalised", "gains")[k % 2])
        found = nmm.energy_landscape(network, starts=64, saddles=16)
        assert found.reason is None and found.agreeing == found.checked == len(found.minima) + len(found.saddles), k
        assert bool(jnp.all(found.minima.stable))
        points += found.checked
    assert points > 10_000


def directed(rng, size, strength):
    W = rng.normal(size=(size, size)) * strength / np.sqrt(size)
    nodes = nmm.per_node(
        nmm.MPR(J=0.0), eta=jnp.asarray(rng.uniform(-8, 8, size)), Delta=jnp.asarray(10 ** rng.uniform(-1, 0.5, size))
    )
    return nmm.Network(nodes, jnp.asarray(W))


def check_certificates(seed, sizes, count, strengths):
    """Networks proved to have one state have one, and states proved stable are; gives how many of each there were."""
    rng = np.random.default_rng(seed)
    single = stable = 0
    for _ in range(count):
        network = directed(rng, int(rng.choice(sizes)), rng.choice(strengths))
        found = nmm.energy_landscape(network, starts=256)
        if found.single:
            assert len(found.minima) + len(found.saddles) + len(found.others) == 1
            single += 1
        every = dataclasses.replace(
            found, minima=jax.tree.map(lambda *each: jnp.concatenate(each), found.minima, found.saddles)
        )
        proved = every.proved_stable()
        assert bool(jnp.all(every.minima.stable | ~proved))
        stable += int(proved.sum())
    return single, stable


@pytest.mark.slow
def test_certificates_of_directed_networks():
    single, stable = check_certificates(0, [3], 5, [0.5, 3.0])
    assert single >= 1 and stable >= 1


@pytest.mark.slow
def test_certificates_of_many_directed_networks():
    single, stable = check_certificates(1, [3, 4], 2500, [0.3, 1.0, 2.0, 5.0, 12.0])
    assert single >= 500 and stable >= 1000


def test_the_cusp_bounds_the_coupling_of_a_single_state():
    """At the coupling 7.7962 √Δ of one population its cusp; a Dale pair's mutual coupling drops out."""
    one = np.ones(1)
    below, above = (nmm.Network(nmm.MPR(eta=-3.0, J=J, Delta=4.0), jnp.zeros((1, 1))) for J in (15.592, 15.593))
    assert margin(below, [one]) > 0 > margin(above, [one])
    pair = nmm.Network(nmm.MPR(eta=-3.0, J=1.0, Delta=1.0), jnp.asarray([[0.0, -50.0], [25.0, 0.0]]))
    assert margin(pair, [np.ones(2)]) < 0 < margin(pair, [symmetry_of(pair.matrix()).magnitudes])
    assert np.isnan(margin(nmm.Network(nmm.MPR(gap=nmm.GapJunction(0.1)), jnp.zeros((1, 1))), [one]))


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ([[0, 1, 2], [3, 0, 4], [5, 6, 0]], r"cycle of nodes .* multiply to (36|20) one way and (36|20) the other"),
        ([[0, 1, 0], [1, 0, 1], [0, 0, 0]], "node 1 receives from node 2, which receives nothing from it"),
        ([[0, 1], [-1, 0]], "opposite signs"),
    ],
    ids=["cycle", "one-way", "signs"],
)
def test_what_prevents_a_landscape_is_named(weights, reason):
    assert re.search(reason, symmetry_of(np.asarray(weights, float)).reason)


OSCILLATING = nmm.Network(
    nmm.per_node(nmm.MPR(J=0.0, Delta=0.3), eta=jnp.asarray([4.0, -3.5])), jnp.asarray([[-1.0, 10.0], [10.0, -9.0]])
)


def test_a_symmetric_network_with_one_minimum_can_oscillate():
    """docs/theory.md §D7; period, peaks and multipliers against SciPy's DOP853 with events (1e-12)."""
    found = nmm.energy_landscape(OSCILLATING, cycles=8)
    np.testing.assert_allclose(found.minima.r, [[0.84359, 0.38640]], atol=1e-5)
    cycles = found.cycles
    assert len(cycles) == 1 and cycles.starts == 8 and cycles.undecided == 0 and cycles.counts[0] >= 4
    np.testing.assert_allclose(cycles.period, [1.8517213], atol=1e-6)
    np.testing.assert_allclose(cycles.peaks, [[6.55609222, 13.03338134]], rtol=1e-7)
    np.testing.assert_allclose(cycles.multipliers[0, 0], 1.0, atol=1e-6)
    np.testing.assert_allclose(
        np.sort_complex(cycles.multipliers[0, 1:]), [0.2335 - 0.1747j, 0.2335 + 0.1747j, 0.2515], atol=1e-3
    )
    assert "searched" in repr(found) and "1 limit cycles" in repr(found)


@pytest.mark.slow
def test_a_circuit_without_a_stable_state_oscillates():
    """An E–I pair at 1.5 times the coupling of its Hopf point (docs/theory.md §D5): no run rests, all find the cycle."""
    r, Delta = 0.5, 0.3
    a = Delta / (np.pi * r)
    J = 1.5 * a / r * np.sqrt((2 * np.pi * r) ** 2 + a**2)
    W = np.asarray([[0.0, -J], [J, 0.0]])
    eta = np.pi**2 * r**2 - Delta**2 / (4 * np.pi**2 * r**2) - W.sum(axis=1) * r
    network = nmm.Network(nmm.per_node(nmm.MPR(J=0.0, Delta=Delta), eta=jnp.asarray(eta)), jnp.asarray(W), names=("E", "I"))
    found = nmm.energy_landscape(network, starts=64, cycles=8)
    assert len(found.minima) == 0 and "nodes E and I act on each other with opposite signs" in found.reason
    cycles = found.cycles
    assert len(cycles) == 1 and cycles.counts[0] == 8 and cycles.undecided == cycles.elsewhere == 0
    run = nmm.simulate(network, cycles[0], jnp.asarray([0.0, 0.5, 1.0]) * cycles.period[0])
    np.testing.assert_allclose(run.y_end.r, cycles.state.r[0], rtol=1e-6)
    assert (
        np.all(np.abs(cycles.multipliers[0, 1:]) < 1) and np.all(cycles.troughs[0] < 0.5) and np.all(cycles.peaks[0] > 0.5)
    )


@pytest.mark.slow
def test_orbits_of_homogeneous_networks_are_no_limit_cycles():
    network = nmm.Network(nmm.MPR(eta=1.0, J=0.0, Delta=0.0), jnp.asarray([[0.0, 0.1], [0.1, 0.0]]))
    cycles = nmm.energy_landscape(network, cycles=4).cycles
    assert len(cycles) == 0 and cycles.undecided == 4


@pytest.mark.slow
def test_a_cycle_is_drawn_and_its_course_is_a_run():
    found = nmm.energy_landscape(OSCILLATING, cycles=8)
    ts, course = found.cycles.course(0, 33)
    run = nmm.simulate(OSCILLATING, found.cycles[0], ts)
    np.testing.assert_allclose(run.ys.r, course.r, rtol=1e-5)
    axes = nmm.plot.landscape(found)
    assert any("limit cycle" in text.get_text() for text in axes.get_legend().get_texts())
