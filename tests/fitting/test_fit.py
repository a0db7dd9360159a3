"""Fits: transforms, normal equations, runs as targets, searches, faults and wrong input."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import nmmjax as nmm
from nmmjax.fitting.descent import Normal, Problem
from nmmjax.fitting.parametrization import parametrize
from nmmjax.fitting.search import Search
from nmmjax.fitting.target import TargetSum
from nmmjax.fitting.trajectory import SegmentTarget

NAMES = ("eta", "J", "Delta")
TRUTH = {"eta": -4.6, "J": 14.5, "Delta": 0.7}
BOUNDS = {"eta": (-10.0, -3.0), "J": (5.0, 20.0), "Delta": (0.1, 5.0)}
Y0 = {"r": 0.1, "v": -2.0}
TS = jnp.linspace(0.0, 12.0, 121)
PULSE = nmm.Pulse(amplitude=3.0, start=3.0, stop=7.0)
GUESS = nmm.MPR(eta=-4.0, J=12.0, Delta=0.5)


def run(model=None, ts=TS, y0=Y0, stimulus=PULSE):
    model = nmm.MPR(**TRUTH) if model is None else model
    return nmm.simulate(model, y0=y0, ts=ts, stimulus=stimulus, solver=diffrax.Dopri8(), rtol=1e-11, atol=1e-13).ys


@pytest.fixture(scope="module")
def data():
    return run()


def fit(target, model=GUESS, free=NAMES, bounds=BOUNDS, starts=8, **options):
    return nmm.fit(model, free=free, target=target, starts=starts, bounds=bounds, progress=False, **options)


def distance(fitted, truth=TRUTH):
    best = dict(zip(fitted.labels, fitted.values[fitted.best_index], strict=True))
    return max(abs(best[name] - value) for name, value in truth.items())


# Transforms


@settings(max_examples=50, deadline=None)
@example(-4.0, 2.2e-309, 1.0, 1.0)  # a subnormal number says nothing about a scale
@given(st.floats(-9.9, -3.1), st.floats(-50, 50), st.floats(1e-3, 50.0), st.floats(1e-2, 20.0))
def test_parameters_and_back(eta, J, Delta, tau):
    model = nmm.MPR(eta=eta, J=J, Delta=Delta, tau=tau)
    parameters = parametrize(model, ("eta", "J", "Delta", "tau"), {"eta": (-10, -3)})
    assert parameters.kinds == ("between", "free", "above", "above")
    x = parameters.read(model)
    np.testing.assert_allclose(parameters.values(parameters.inverse(x)), x, rtol=1e-9, atol=1e-12)
    assert parameters.model(model, parameters.inverse(x)).eta == pytest.approx(eta, rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-500, 500), min_size=4, max_size=4))
def test_no_step_leaves_the_bounds(z):
    model = nmm.MPR(eta=-5.0, J=3.0, Delta=0.5, tau=2.0)
    parameters = parametrize(model, ("eta", "J", "Delta", "tau"), {"eta": (-10, -3), "J": (-5, 20)})
    eta, J, Delta, tau = np.asarray(parameters.values(jnp.asarray(z)))
    assert -10 <= eta <= -3 and -5 <= J <= 20 and Delta >= 0 and tau >= 0


def test_masks_choose_entries_of_arrays():
    weights = jnp.asarray([[0.0, 1.0], [2.0, 0.0]])
    net = nmm.Network(nmm.per_node(nmm.MPR(), eta=jnp.asarray([-5.0, -4.0])), weights)
    parameters = parametrize(net, {"weights": weights != 0, "node.eta": True, "gain": True})
    assert parameters.labels == ("weights[0,1]", "weights[1,0]", "node.eta[0]", "node.eta[1]", "gain")
    changed = parameters.apply(net, jnp.asarray([3.0, 4.0, -1.0, -2.0, 0.5]))
    np.testing.assert_array_equal(changed.weights, [[0, 3], [4, 0]])
    np.testing.assert_array_equal(changed.node.eta, [-1, -2])
    assert changed.gain == 0.5


# Linear algebra


def test_steps_of_an_arrow_equal_those_of_the_whole_matrix(key):
    p, K, q, m = 3, 5, 2, 7
    keys = jax.random.split(key, 3)
    by_p, by_own = (jax.random.normal(k, (K, m, n)) for k, n in zip(keys, (p, q), strict=False))
    residuals = jax.random.normal(keys[2], (K, m))
    dense = jnp.zeros((K * m, p + K * q))
    for k in range(K):
        dense = dense.at[k * m : (k + 1) * m, :p].set(by_p[k])
        dense = dense.at[k * m : (k + 1) * m, p + k * q : p + (k + 1) * q].set(by_own[k])
    arrow = Normal(
        loss=jnp.sum(residuals**2) / 2,
        b=jnp.einsum("kmi,km->i", by_p, residuals),
        A=jnp.einsum("kmi,kmj->ij", by_p, by_p),
        b_own=jnp.einsum("kmi,km->ki", by_own, residuals),
        mixed=jnp.einsum("kmi,kmj->kij", by_p, by_own),
        own=jnp.einsum("kmi,kmj->kij", by_own, by_own),
    )
    A, b = dense.T @ dense, dense.T @ residuals.reshape(-1)
    for damping in (0.0, 0.3):
        step, promised = arrow.step(jnp.asarray(damping))
        expected = -jnp.linalg.solve(A + damping * jnp.diag(jnp.diag(A)), b)
        np.testing.assert_allclose(step, expected, rtol=1e-9)
        assert promised > 0
    loss = jnp.sum((residuals.reshape(-1) + dense @ arrow.step(jnp.asarray(0.0))[0]) ** 2) / 2
    np.testing.assert_allclose(arrow.loss - loss, arrow.step(jnp.asarray(0.0))[1], rtol=1e-9)
    held, _ = arrow.held(jnp.asarray(True)).step(jnp.asarray(0.0))
    np.testing.assert_allclose(held[:p], -jnp.linalg.solve(arrow.A, arrow.b), rtol=1e-9)
    np.testing.assert_array_equal(held[p:], 0)


# Runs as targets


@pytest.mark.parametrize("refine, limit", [(1, 1e-4), (4, 1e-7)])
def test_runs_equal_those_of_an_adaptive_solver(data, refine, limit):
    target = nmm.TrajectoryTarget(TS, r=data.r, v=data.v, stimulus=PULSE, y0=Y0)
    assert np.max(np.abs(target.residuals(nmm.MPR(**TRUTH), None, refine))) < limit


MODELS = {
    "population": nmm.MPR(eta=-4.6, J=14.5, Delta=0.7, tau=2.0),
    "gap": nmm.MPR(eta=-1.0, J=2.0, Delta=1.0, gap=nmm.GapJunction(g=0.5)),
    "depression": nmm.MPR(eta=-4.6, J=14.5, Delta=0.7, adaptation=nmm.SynapticDepression(alpha=0.05, tau=5.0)),
    "network": nmm.mutual_inhibition(eta=5.0, J_self=0.0, J_cross=-15.0, Delta=1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_derivatives_of_runs_equal_differences(name):
    model = MODELS[name]
    ts = jnp.linspace(0.0, 4.0, 21)
    y0 = {"r": jnp.asarray([0.1, 0.3]), "v": jnp.asarray([-1.0, 0.0])} if name == "network" else Y0
    ys = run(model, ts, y0)
    target = nmm.TrajectoryTarget(ts, r=1.02 * ys.r, v=ys.v + 0.01, stimulus=PULSE, noise=0.1, y0=y0)
    free = {"network": ("node.eta", "weights"), "gap": ("eta", "gap.g"), "depression": ("J", "adaptation.alpha")}
    parameters = parametrize(model, free.get(name, (*NAMES, "tau")))
    loss = jax.jit(lambda x: target.loss(parameters.apply(model, x)))
    x = parameters.read(model)
    forward, backward = jax.jit(jax.jacfwd(loss))(x), jax.jit(jax.grad(loss))(x)
    np.testing.assert_allclose(forward, backward, rtol=1e-9, atol=1e-9 * float(jnp.max(jnp.abs(forward))))
    for k in range(x.size):
        h = 1e-5 * (1 + abs(float(x[k])))
        sides = [float(loss(x.at[k].add(sign * h))) for sign in (1, -1, 2, -2)]
        slope = (8 * (sides[0] - sides[1]) - (sides[2] - sides[3])) / (12 * h)
        assert slope == pytest.approx(float(forward[k]), rel=1e-6, abs=1e-6 * float(jnp.max(jnp.abs(forward))))


@pytest.mark.slow
def test_segments_have_the_jacobian_that_autodiff_gives(data):
    target = SegmentTarget(nmm.TrajectoryTarget(TS, r=data.r, v=data.v, stimulus=PULSE), 12)
    parameters = parametrize(GUESS, NAMES, BOUNDS)
    problem = Problem(GUESS, target, parameters, (jnp.zeros(3), jnp.asarray([jnp.inf, 0.5, jnp.inf])))
    z = jnp.concatenate([parameters.inverse(parameters.read(GUESS)), target.unknowns(GUESS)])
    normal, J, residuals = jax.jit(lambda z: (problem.normal(z), jax.jacfwd(problem.residuals)(z), problem.residuals(z)))(z)
    np.testing.assert_allclose(normal.loss, jnp.sum(residuals**2) / 2, rtol=1e-12)
    np.testing.assert_allclose(normal.A, (J.T @ J)[:3, :3], rtol=1e-9)
    np.testing.assert_allclose(jnp.concatenate([normal.b, normal.b_own.reshape(-1)]), J.T @ residuals, rtol=1e-8, atol=1e-10)


def test_missing_samples_say_nothing(data):
    keep = np.ones(TS.size, bool)
    keep[40:60] = False
    gaps = jnp.where(keep, data.r, jnp.nan)
    by_nan = nmm.TrajectoryTarget(TS, r=gaps, stimulus=PULSE, y0=Y0, noise=1.0)
    by_mask = nmm.TrajectoryTarget(TS, r=data.r + 5.0 * ~keep, stimulus=PULSE, y0=Y0, noise=1.0, mask=keep)
    assert by_nan.missing == by_mask.missing == 20 and by_nan.count(GUESS) == 101
    np.testing.assert_array_equal(by_nan.residuals(GUESS), by_mask.residuals(GUESS))
    assert np.count_nonzero(np.asarray(by_nan.residuals(GUESS))) == 100  # the first state is given


def test_noise_models(data):
    off = data.r * 1.1
    lognormal = nmm.TrajectoryTarget(TS, r=off, stimulus=PULSE, y0=Y0, noise=0.1, noise_model="lognormal")
    np.testing.assert_allclose(lognormal.residuals(nmm.MPR(**TRUTH), None, 4), -np.log(1.1) / 0.1, atol=1e-6)
    gaussian, student = (
        nmm.TrajectoryTarget(TS, r=data.r + 3.0, stimulus=PULSE, y0=Y0, noise=0.1, noise_model=each)
        for each in ("gaussian", "student")
    )
    x = gaussian.residuals(GUESS)
    np.testing.assert_allclose(student.residuals(GUESS) ** 2, 5 * np.log1p(np.asarray(x) ** 2 / 4), rtol=1e-9)


@pytest.mark.slow
def test_truncated_derivatives_forget(data):
    target = nmm.TrajectoryTarget(TS, r=data.r, v=data.v, stimulus=PULSE, y0=Y0, truncate=1)
    whole = nmm.TrajectoryTarget(TS, r=data.r, v=data.v, stimulus=PULSE, y0=Y0)
    slope = [jax.jacfwd(lambda eta, t=t: t.loss(nmm.MPR(eta=eta, J=14.0, Delta=0.7)))(-4.5) for t in (target, whole)]
    assert abs(slope[0]) < 0.2 * abs(slope[1])
    assert target.loss(GUESS) == pytest.approx(float(whole.loss(GUESS)), rel=1e-12)


# Searches


CASES = {
    "r and v": ({"r": True, "v": True}, {}),
    "r alone": ({"r": True}, {}),
    "known start": ({"r": True, "v": True}, {"y0": Y0}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_exact_data_give_the_parameters_back(data, name):
    shown, options = CASES[name]
    target = nmm.TrajectoryTarget(TS, **{each: getattr(data, each) for each in shown}, stimulus=PULSE, **options)
    fitted = fit(target, starts=8)
    assert distance(fitted) < 1e-8
    assert isinstance(fitted.best, nmm.MPR) and fitted.converged[fitted.best_index]
    assert fitted.found_best.sum() >= 3 and fitted.history.shape[0] == 8
    assert fitted.covariance.shape == (8, 3, 3) and "eta=-4.6" in repr(fitted)


@pytest.mark.slow
def test_the_whole_run_alone_suffices_only_from_nearby(data):
    target = nmm.TrajectoryTarget(TS, r=data.r, v=data.v, stimulus=PULSE, y0=Y0, segments=False)
    near = fit(target, nmm.MPR(eta=-4.55, J=14.4, Delta=0.69), starts=1)
    assert distance(near) < 1e-8
    far = fit(target, starts=8)
    assert far.loss[far.best_index] > 1.0  # in another valley: why fits begin with segments


@pytest.mark.slow
def test_unequal_sampling_with_a_gap(key):
    ts = jnp.sort(jax.random.uniform(key, (140,), minval=0.0, maxval=12.0))
    ts = ts[(ts < 8.0) | (ts > 9.0)]
    ys = run(ts=ts)
    fitted = fit(nmm.TrajectoryTarget(ts, r=ys.r, v=ys.v, stimulus=PULSE))
    assert distance(fitted) < 1e-7


@pytest.mark.slow
def test_noise_gives_honest_errors(data, key):
    keys = jax.random.split(key)
    r, v = (each + 0.05 * jax.random.normal(k, TS.shape) for each, k in zip((data.r, data.v), keys, strict=True))
    known = fit(nmm.TrajectoryTarget(TS, r=r, v=v, stimulus=PULSE, noise=0.05))
    unknown = fit(nmm.TrajectoryTarget(TS, r=r, v=v, stimulus=PULSE, noise=None))
    for fitted in (known, unknown):
        for name, error in fitted.standard_error.items():
            best = fitted.values[fitted.best_index][fitted.labels.index(name)]
            assert abs(best - TRUTH[name]) < 4 * error < 1.5
    assert 2 * known.loss[known.best_index] / known.residual_count == pytest.approx(1, abs=0.25)


def test_priors_pull():
    target = nmm.LossTarget(lambda model: (model.eta - 1.0) ** 2 / 2 * 4)
    fitted = fit(target, nmm.MPR(), ("eta",), None, starts=1, prior={"eta": (0.0, 0.5)}, max_steps=50)
    assert fitted.values[0, 0] == pytest.approx(0.5, abs=1e-6)


def test_sums_weigh_their_parts(data):
    first = nmm.TrajectoryTarget(TS, r=data.r, stimulus=PULSE, y0=Y0)
    second = nmm.TrajectoryTarget(TS, v=data.v, stimulus=PULSE)
    both = 2.0 * first + second * 0.5
    assert isinstance(both, TargetSum) and both.unknown_names(GUESS) == ("ln r(0)", "v(0)")
    expected = 2 * first.loss(GUESS) + second.loss(GUESS) / 2
    np.testing.assert_allclose(both.loss(GUESS), expected, rtol=1e-12)
    np.testing.assert_allclose(jnp.sum(both.residuals(GUESS) ** 2) / 2, expected, rtol=1e-12)
    assert both.count(GUESS) == first.count(GUESS) + second.count(GUESS)
    penalised = first + nmm.LossTarget(lambda model: 0 * model.eta)
    assert not penalised.has_residuals and penalised.loss(GUESS) == first.loss(GUESS)


OPTIMISERS = {
    "adam": (optax.adam(optax.cosine_decay_schedule(0.1, 400)), None, 400, 1e-2),
    "clipped": (optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.05)), None, 400, 1e-2),
    "lbfgs": (optax.lbfgs(), None, 60, 1e-6),
    "bfgs": (None, "bfgs", 60, 1e-6),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_any_loss_and_any_optimiser(name):
    optimiser, polish, steps, limit = OPTIMISERS[name]
    loss = lambda model: (model.eta + 2.0) ** 2 + 10 * (model.Delta - model.eta**2 / 4) ** 2
    model = nmm.MPR(eta=-1.0, Delta=0.5)
    options = {"optimizer": optimiser, "polish": polish, "steps": steps, "max_steps": steps, "patience": 400}
    fitted = fit(loss, model, ("eta", "Delta"), None, starts=4, **options)
    np.testing.assert_allclose(fitted.values[fitted.best_index], [-2.0, 1.0], atol=limit)
    assert np.isnan(fitted.covariance).all()
    assert np.all(np.diff(np.fmin.accumulate(fitted.history[fitted.best_index])) <= 0)


@pytest.mark.slow
def test_weights_of_a_network_by_reverse_mode():
    weights = jnp.asarray([[0.0, -15.0], [-12.0, 0.0]])
    net = nmm.Network(nmm.MPR(eta=5.0, J=0.0, Delta=1.0), weights)
    ts = jnp.linspace(0.0, 3.0, 31)
    y0 = {"r": jnp.asarray([0.3, 0.2]), "v": jnp.asarray([0.0, -0.5])}
    ys = run(net, ts, y0, None)
    target = nmm.TrajectoryTarget(ts, r=ys.r, v=ys.v, y0=y0)
    start = nmm.Network(net.node, weights * 0.8)
    fitted = fit(target, start, {"weights": weights != 0}, None, starts=2, spread=0.1)
    np.testing.assert_allclose(fitted.best.weights, weights, atol=1e-7)
    loss = lambda W: target.loss(nmm.Network(net.node, W))
    slope = jax.grad(loss)(start.weights)
    assert slope.shape == (2, 2) and np.all(np.isfinite(slope))


def test_a_start_that_fails_costs_no_other():
    def loss(model):
        return jnp.where(model.eta > 0, jnp.nan, (model.eta + 1.0) ** 2)

    fitted = fit(loss, nmm.MPR(), ("eta",), None, starts={"eta": np.array([-2.0, 3.0, -0.5])}, max_steps=40)
    assert fitted.status.tolist()[1] == 3 and "not finite" in fitted.meanings[3]
    np.testing.assert_allclose(fitted.values[[0, 2], 0], -1.0, atol=1e-6)
    assert np.isinf(fitted.loss[1]) and fitted.best_index != 1


def test_starts_are_drawn_from_bounds_priors_or_around_the_model(key):
    loss = lambda model: model.eta**2
    only = {"optimizer": optax.sgd(1e-9), "polish": None, "steps": 1}
    inside = fit(loss, starts=64, **only).initial
    low, high = (np.array([BOUNDS[name][k] for name in NAMES]) for k in range(2))
    np.testing.assert_allclose(inside[0], [-4.0, 12.0, 0.5])
    assert np.all((inside[1:] > low) & (inside[1:] < high)) and np.all(np.std(inside, axis=0) > 0.2 * (high - low))
    around = fit(loss, bounds=None, starts=64, key=key, **only).initial
    assert np.all(around[:, 2] > 0) and np.std(around[:, 0]) == pytest.approx(2.0, rel=0.3)
    prior = fit(loss, bounds=None, starts=64, prior={"J": (3.0, 0.1)}, **only).initial
    assert prior[1:, 1].mean() == pytest.approx(3.0, abs=0.05)


# Faults


def short(data):
    return nmm.TrajectoryTarget(TS, r=data.r, v=data.v, stimulus=PULSE)


def test_ctrl_c_keeps_the_best_so_far(data, monkeypatch):
    calls = []
    inner = Search._run

    def interrupted(self, *arguments):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(inner(self, *arguments))

    monkeypatch.setattr(Search, "_run", interrupted)
    fitted = fit(short(data))
    assert fitted.interrupted and np.isfinite(fitted.loss[fitted.best_index])
    assert fitted.unknowns.shape == (8, 2) and (fitted.status == 1).any()


def test_a_fit_resumes_where_it_was_killed(data, tmp_path, monkeypatch):
    whole = fit(short(data), store=tmp_path / "whole.npz")
    inner, calls = Search._run, []

    def killed(self, *arguments):
        if len(calls) == 3:
            raise SystemError("killed")
        calls.append(inner(self, *arguments))

    monkeypatch.setattr(Search, "_run", killed)
    with pytest.raises(SystemError):
        fit(short(data), store=tmp_path / "part.npz")
    calls.clear()
    monkeypatch.setattr(Search, "_run", lambda self, *arguments: calls.append(inner(self, *arguments)))
    resumed = fit(short(data), store=tmp_path / "part.npz")
    np.testing.assert_array_equal(resumed.values, whole.values)
    np.testing.assert_array_equal(resumed.covariance, whole.covariance)
    count = len(calls)
    calls.clear()
    again = fit(short(data), store=tmp_path / "part.npz")
    assert not calls and count >= 1
    np.testing.assert_array_equal(again.values, whole.values)
    with pytest.raises(ValueError, match="`store` must belong to this call"):
        fit(short(data), store=tmp_path / "part.npz", starts=9)
    (tmp_path / "broken.npz").write_bytes(b"not a file of numpy")
    with pytest.raises(ValueError, match="`store` must be a file of `fit`"):
        fit(short(data), store=tmp_path / "broken.npz")


# Wrong input


WRONG_FITS = {
    "a name that doesn't exist": ({"free": ("eta", "zeta")}, r"`free` must name parameters .*`eta`.*got 'zeta'"),
    "no names": ({"free": ()}, "`free` must be the names of at least one parameter"),
    "a name twice": ({"free": ("eta", "eta")}, "`free` must name every parameter once"),
    "a start outside the bounds": (
        {"bounds": {"eta": (-10, -5)}},
        r"`eta` must lie within its bounds \[-10, -5\], but got -4",
    ),
    "bounds beyond the declared": ({"bounds": {"Delta": (-1, 5)}}, r"keep `Delta` within its declared bounds \[0, inf\]"),
    "bounds in the wrong order": ({"bounds": {"eta": (0, -5)}}, "give lower < upper for `eta`"),
    "bounds of what isn't free": ({"free": ("eta",), "bounds": {"J": (0, 5)}}, "`bounds` must name free parameters"),
    "no starts": ({"starts": 0}, "`starts` must be an integer ≥ 1"),
    "starts outside": ({"starts": {"eta": [0.0], "J": [6.0], "Delta": [1.0]}}, "`starts` must lie within the bounds"),
    "a polish that doesn't exist": ({"polish": "simplex"}, "`polish` must be one of"),
    "nothing to do": ({"polish": None}, "`polish` must be given, or an `optimizer`"),
    "no optimiser": ({"optimizer": "adam"}, "`optimizer` must be None or an optax optimiser"),
    "no target": ({"target": 3.0}, "`target` must be a target such as"),
    "a prior without deviation": ({"prior": {"eta": (-4.0, 0.0)}}, "`prior` must give a deviation > 0 for `eta`"),
}


@pytest.mark.parametrize("name", WRONG_FITS)
def test_wrong_fits_are_refused(data, name, unchecked):
    change, message = WRONG_FITS[name]
    options = {"free": NAMES, "target": short(data), "bounds": BOUNDS, "starts": 2, "progress": False}
    with pytest.raises(ValueError, match=message):
        nmm.fit(GUESS, **(options | change))


WRONG_TARGETS = {
    "no data": ({"r": None}, "`r` must be given, or `v`"),
    "another length": ({"r": np.ones(5)}, "`r` must have one sample for each of the 121 times"),
    "infinite": ({"r": np.full(121, np.inf)}, "`r` must be finite, or NaN"),
    "nothing but gaps": ({"r": np.full(121, np.nan)}, "`mask` must leave at least one sample"),
    "no noise": ({"noise": 0.0}, "`noise` must be None, a number > 0"),
    "noise of another name": ({"noise": {"v": 0.1}}, "`noise` must be None, a number > 0"),
    "a mask of another shape": ({"mask": np.ones(3, bool)}, "`mask` must be None or an array of booleans"),
    "a noise model that doesn't exist": ({"noise_model": "poisson"}, "`noise_model` must be one of"),
    "times that fall": ({"ts": TS[::-1]}, "`ts` must be strictly increasing"),
    "no steps": ({"substeps": 0}, "`substeps` must be None or an integer ≥ 1"),
}


@pytest.mark.parametrize("name", WRONG_TARGETS)
def test_wrong_targets_are_refused(data, name, unchecked):
    change, message = WRONG_TARGETS[name]
    with pytest.raises(ValueError, match=message):
        nmm.TrajectoryTarget(**({"ts": TS, "r": data.r} | change))


def test_data_of_another_model_are_refused(data):
    with pytest.raises(ValueError, match="must have one column per node"):
        fit(short(data), nmm.mutual_inhibition(eta=5.0, J_self=0.0, J_cross=-15.0, Delta=1.0), ("gain",), None)
    with pytest.raises(ValueError, match="must have residuals for this"):
        nmm.LossTarget(lambda model: model.eta).residuals(GUESS)
    with pytest.raises(ValueError, match="must return one number"):
        fit(lambda model: jnp.ones(2) * model.eta, starts=1)


def test_threads_compute_in_the_precision_of_the_caller():
    with jax.enable_x64(False):
        fitted = nmm.fit(nmm.MPR(), free="eta", target=lambda model: (model.eta + 2) ** 2, starts=4, progress=False)
    assert fitted.values.dtype == np.float32 and fitted.history.shape[0] == 4
    np.testing.assert_allclose(fitted.values[fitted.best_index], -2.0, atol=1e-3)


def test_a_full_disk_costs_the_store_but_not_the_fit(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    loss = lambda model: (model.eta + 2) ** 2
    with pytest.warns(UserWarning, match=r"can't be written \(No space left on device\): the fit goes on without"):
        fitted = fit(loss, nmm.MPR(), "eta", None, starts=1, store=tmp_path / "fit.npz", name="(η + 2)²")
    assert fitted.values[0, 0] == pytest.approx(-2.0, abs=1e-6) and not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="`store` must be a file in a folder that exists"):
        fit(loss, nmm.MPR(), "eta", None, starts=1, store=tmp_path / "no" / "fit.npz")


def test_another_optimiser_is_another_fit(tmp_path):
    loss = lambda model: (model.eta + 2) ** 2
    options = {"starts": 1, "steps": 3, "polish": None, "store": tmp_path / "fit.npz"}
    first = fit(loss, nmm.MPR(), "eta", None, optimizer=optax.adam(1e-2), name="adam(1e-2)", **options)
    again = fit(loss, nmm.MPR(), "eta", None, optimizer=optax.adam(1e-2), name="adam(1e-2)", **options)
    np.testing.assert_array_equal(first.values, again.values)
    with pytest.raises(ValueError, match="belong to this call"):
        fit(loss, nmm.MPR(), "eta", None, optimizer=optax.adam(2e-2), name="adam(2e-2)", **options)


def test_a_sum_begins_with_the_segments_of_its_run(data):
    both = nmm.TrajectoryTarget(TS, r=data.r, v=data.v, stimulus=PULSE) + 2.0 * nmm.FoldTarget("eta", -5.348797, near=0.73)
    assert [type(each).__name__ for each in both.stages(GUESS)] == ["SegmentTarget", "TargetSum"]


@pytest.mark.slow
def test_time_constants_scale_everything(data):
    """A population with τ = 20 and times in its unit is the same fit."""
    stretched = nmm.Pulse(amplitude=3.0, start=60.0, stop=140.0)
    one = nmm.TrajectoryTarget(TS, r=data.r, v=data.v, stimulus=PULSE)
    twenty = nmm.TrajectoryTarget(20 * TS, r=data.r / 20, v=data.v, stimulus=stretched)
    assert (one.segment, one.substeps) == (twenty.segment, twenty.substeps)
    slow = nmm.MPR(eta=GUESS.eta, J=GUESS.J, Delta=GUESS.Delta, tau=20.0)
    np.testing.assert_allclose(one.residuals(GUESS), twenty.residuals(slow), rtol=1e-9, atol=1e-11)
    for first, second in zip(one.stages(GUESS)[:1], twenty.stages(slow)[:1], strict=True):
        np.testing.assert_allclose(first.residuals(GUESS), second.residuals(slow), rtol=1e-9, atol=1e-11)


@pytest.mark.slow
def test_recordings_far_from_0_are_compared_as_those_from_0(data):
    """In float32, too: residuals don't depend on where the clock of the recording stands."""
    with jax.enable_x64(False):
        model, start = nmm.MPR(), {"r": 0.1, "v": -2.0}
        made = [
            nmm.TrajectoryTarget(
                t0 + np.asarray(TS),
                r=np.asarray(data.r),
                y0=start,
                stimulus=nmm.Pulse(3.0, t0 + 2.0, t0 + 4.0),
            )
            for t0 in (0.0, 1e5)
        ]
        near, far = (jax.jit(lambda model, target=target: target.residuals(model))(model) for target in made)
        np.testing.assert_allclose(far, near, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(np.asarray(made[1].ts, float), 1e5 + np.asarray(TS), atol=1e-3)


def test_rates_in_hertz_with_times_in_milliseconds_are_refused(unchecked):
    """The mistake that `nmmjax fit` names; with a free τ that may fit, it is none."""
    target = nmm.TrajectoryTarget(np.arange(0.0, 100.0), r=np.linspace(1.0, 200.0, 100))
    with pytest.raises(
        ValueError, match=r"Argument `r` must be in the units of the model's τ .*r τ is up to 2000, beyond 100"
    ):
        nmm.fit(nmm.MPR(tau=10.0), free=("eta",), target=2.0 * target, starts=1)
    target.check_units(0.01, 0.1)
    voltage = nmm.TrajectoryTarget(np.arange(0.0, 100.0), v=np.linspace(-70.0, -50.0, 100))
    with pytest.raises(ValueError, match="Argument `v` must be in the units"):
        nmm.fit(nmm.MPR(tau=10.0), free=("eta",), target=voltage, starts=1)
