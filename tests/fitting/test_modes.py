"""Any loss(model) is fitted, and targets add up, by whichever mode of differentiation goes through each of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nmmjax as nmm
from nmmjax.fitting.modes import value_and_slope

POPULATION, Y0, TS = nmm.MPR(), {"r": 0.1, "v": -2.0}, np.arange(5.0)
ONE = {"free": ("eta",), "starts": 1, "progress": False}
RATE = float(nmm.simulate(nmm.MPR(eta=-4.5), Y0, TS).ys.r[-1])
RECORDING = nmm.TrajectoryTarget(TS, r=nmm.simulate(nmm.MPR(eta=-4.5), Y0, TS).ys.r, y0=Y0, noise=0.01, substeps=16)


def distance(model):
    """A loss that simulates: by default its runs are differentiated in reverse."""
    return 1e4 * (nmm.simulate(model, Y0, TS).ys.r[-1] - RATE) ** 2


def penalty(model):
    return 1e-6 * (model.J - 15.0) ** 2


CASES = {
    "a loss that simulates": (lambda: nmm.LossTarget(distance), {}),
    "L-BFGS on a recording": (lambda: RECORDING, {"polish": "bfgs"}),
    "optax's L-BFGS on a recording": (lambda: RECORDING, {"polish": None, "optimizer": optax.lbfgs(), "steps": 40}),
    "a recording with a penalty": (lambda: RECORDING + nmm.LossTarget(penalty), {}),
    "a recording with a loss that simulates": (lambda: RECORDING + nmm.LossTarget(distance), {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_loss_is_fitted(name):
    target, options = CASES[name]
    found = nmm.fit(POPULATION, target=target(), **ONE, **options)
    np.testing.assert_allclose(found.best.eta, -4.5, atol=1e-4)


def test_a_loss_that_simulates_goes_down():
    found = nmm.fit(POPULATION, target=distance, polish=None, optimizer=optax.adam(0.1), steps=5, **ONE)
    assert found.loss[0] < 0.5 * found.history[0][0]


NETWORK = nmm.Network(nmm.per_node(nmm.MPR(), eta=np.full(5, -5.0)), 0.1 * (np.ones((5, 5)) - np.eye(5)))
MANY = {
    "adam on a recording": ({"polish": None, "optimizer": optax.adam(1e-3)}, True, False),
    "L-BFGS on a loss that simulates": ({"max_steps": 3}, False, True),
    "L-BFGS on their sum": ({"max_steps": 3}, True, True),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY)
def test_more_than_24_numbers(name):
    """By reverse mode, which a run on a grid goes through since its loops have known lengths."""
    options, recorded, simulated = MANY[name]
    data = np.tile([[0.1], [0.09], [0.085]], (1, 5))
    parts = [nmm.TrajectoryTarget(TS[:3], r=data, y0=Y0, noise=0.01)] if recorded else []
    parts += [nmm.LossTarget(lambda m: jnp.sum((nmm.simulate(m, Y0, TS[:3]).ys.r[-1] - 0.085) ** 2))] if simulated else []
    target = sum(parts[1:], start=parts[0])
    found = nmm.fit(NETWORK, free=("weights", "node.eta"), target=target, starts=1, steps=5, progress=False, **options)
    history = found.history[0][np.isfinite(found.history[0])]
    assert np.isfinite(found.loss[0]) and found.loss[0] < history[0]


def test_the_mode_that_goes_through_is_taken():
    z = jnp.asarray([1.0, 2.0])

    @jax.custom_vjp
    def backwards_only(z):
        return jnp.sum(z**2)

    backwards_only.defvjp(lambda z: (jnp.sum(z**2), z), lambda z, seed: (2 * seed * z,))
    forwards_only = lambda z: jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * jnp.sum(z)), (0, 1.0))[1]
    for loss, slope in ((backwards_only, [2.0, 4.0]), (forwards_only, [27.0, 27.0])):
        for number in (1, 20):  # few and many numbers
            wide = jnp.tile(z, number)
            value, found = value_and_slope(
                lambda x, loss=loss, number=number: loss(x.reshape(number, 2).sum(0) / number), wide
            )
            np.testing.assert_allclose(value, loss(z))
            np.testing.assert_allclose(found * number, np.tile(slope, number))


def test_a_loss_without_a_derivative_is_refused_in_one_sentence():
    def neither(z):
        return jax.pure_callback(lambda x: np.sum(x), jax.ShapeDtypeStruct((), z.dtype), z)

    with pytest.raises(ValueError, match="must be a loss that forward or reverse mode goes through"):
        value_and_slope(neither, jnp.ones(2))
    with pytest.raises(ZeroDivisionError):  # a loss that can't be computed shows its own error
        value_and_slope(lambda z: 1 / 0, jnp.ones(2))


@pytest.mark.slow
def test_errors_of_a_loss_that_simulates():
    found = nmm.fit(POPULATION, target=distance, **ONE)
    slope = jax.grad(lambda eta: nmm.simulate(nmm.MPR(eta=eta), Y0, TS).ys.r[-1])(-4.5)
    np.testing.assert_allclose(found.identifiability().eigenvalues / 4.5**2, 2e4 * slope**2, rtol=1e-3)


def two_stretches():
    """A recording of r with a pause of 480 time constants, after which the state is another, and the first part's input."""
    truth, step = nmm.MPR(eta=-4.6, J=14.5, Delta=0.7), nmm.Pulse(3.0, 2.0, 6.0)
    stretches = [np.linspace(0.0, 10.0, 51), np.linspace(490.0, 500.0, 51)]
    runs = [
        nmm.simulate(truth, {"r": 0.1, "v": -2.0}, stretches[0], stimulus=step).ys,
        nmm.simulate(truth, {"r": 1.5, "v": 0.3}, stretches[1]).ys,
    ]
    ts, r = np.concatenate(stretches), np.concatenate([run.r for run in runs])
    return ts, r, step


@pytest.mark.slow
def test_parameters_come_back_from_two_stretches():
    ts, r, step = two_stretches()
    target = nmm.TrajectoryTarget.with_pauses(ts, r=r, stimulus=step, noise=0.01)
    found = nmm.fit(
        nmm.MPR(eta=-4.0, J=12.0, Delta=0.5), free=("eta", "J", "Delta"), target=target, starts=2, progress=False
    )
    values = [found.best.eta, found.best.J, found.best.Delta]
    np.testing.assert_allclose(values, [-4.6, 14.5, 0.7], rtol=1e-4)


def test_a_recording_with_pauses_is_a_sum_of_stretches():
    ts, r, step = two_stretches()
    target = nmm.TrajectoryTarget.with_pauses(ts, r=r, stimulus=step, noise={"r": np.full(102, 0.01)})
    assert [part.samples for _, part in target.parts] == [51, 51]
    cut = nmm.TrajectoryTarget.with_pauses(ts, r=r, pauses=[100.0, 495.1])
    assert [part.samples for _, part in cut.parts] == [51, 26, 25]
    for options, message in (
        ({"pauses": [600.0]}, "`pauses` must lie between 0 and 500"),
        ({"pauses": [0.1]}, "`pauses` must leave at least 2 samples in every stretch"),
        ({"y0": Y0}, "`y0` must be None with pauses"),
    ):
        with pytest.raises(ValueError, match=message):
            nmm.TrajectoryTarget.with_pauses(ts, r=r, **options)


MASKED = np.ma.masked_greater([0.1, 0.2, 9.9e36, 0.2, 0.1], 1e3)


def test_masked_samples_are_missing_ones(unchecked):
    assert nmm.TrajectoryTarget(TS, r=MASKED).samples == nmm.TrajectoryTarget(TS, r=MASKED, v=MASKED).samples / 2 == 4
    with pytest.raises(ValueError, match="`ts` must be finite, without NaN"):
        nmm.TrajectoryTarget(MASKED, r=TS)
    with pytest.raises(ValueError, match=r"`values` must be finite, without NaN, but got nan at \[2\]"):
        nmm.Sampled(TS, MASKED)
    rates = np.exp(0.1 * np.random.default_rng(0).normal(size=2000))
    gaps = np.arange(2000) % 100 == 7
    masked, missing = np.ma.array(np.where(gaps, 9.9e36, rates), mask=gaps), np.where(gaps, np.nan, rates)
    assert nmm.fit_stationary(masked).eta == nmm.fit_stationary(missing).eta
    for target in (nmm.StationaryTarget, lambda r: nmm.stochastic.potential_from_samples(r, temperature=1.0)):
        for one, other in zip(jax.tree.leaves(target(masked)), jax.tree.leaves(target(missing)), strict=True):
            np.testing.assert_array_equal(one, other)
