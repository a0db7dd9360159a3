"""What stores know of functions and classes of one's own: names and versions, since code can't be told apart."""

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import processes
import pytest
import xarray as xr
from jax.experimental.sparse import BCOO
from jaxtyping import Array
from stored_call import main as stored_call

import nmmjax as nmm
from nmmjax._files import as_folder, as_new_file, as_path
from nmmjax._identity import written
from nmmjax._parameter import parameter
from nmmjax.fitting.search import Search

HERE = Path(__file__).parent
Y0 = {"r": 0.1, "v": -2.0}


def sweep(observe, model=None, **options):
    given = {"over": {"eta": [-5.0]}, "y0": Y0, "t1": 1.0, "progress": False} | options
    return nmm.sweep(nmm.MPR() if model is None else model, observe={"x": observe}, **given)


def integral(of=lambda p: p.y.r, **options):
    return nmm.Custom(lambda p: 0 * p.t, lambda s, p: s + p.weight * of(p), **options)


def fit(target, **options):
    given = {"free": ("eta",), "starts": 1, "progress": False} | options
    return nmm.fit(nmm.MPR(eta=-4.0), target=target, **given).best.eta


class Scaled(nmm.extend.AbstractObservable):
    """An observable from elsewhere, without a version."""

    smooth: ClassVar[bool] = False
    scale: float = 1.0

    def variables(self, problem):
        return {"": ("1", "scaled rate")}

    def init(self, point):
        return self.scale * point.y.r

    def update(self, state, point):
        return self.scale * point.y.r

    def finish(self, state, end):
        return {"": state}


class Versioned(Scaled):
    version = "1"


def test_a_sweep_with_functions_needs_a_name_to_be_stored(tmp_path):
    path = tmp_path / "s.zarr"
    with pytest.raises(ValueError, match=r"`name` must be given to Custom with `store`, such as `name=.v1.`, and"):
        sweep(integral(), store=path)
    assert not path.exists()
    first = sweep(integral(name="∫ r"), store=path)
    again = sweep(integral(name="∫ r"), store=path)
    np.testing.assert_array_equal(first.x, again.x)
    with pytest.raises(ValueError, match=r"was made with observe.x.name = '∫ r', not '∫ v'"):
        sweep(integral(lambda p: p.y.v, name="∫ v"), store=path)


def test_classes_from_elsewhere_need_a_version_of_their_own_to_be_stored(tmp_path):
    plan = lambda each, **options: nmm.plan_sweep(
        nmm.MPR(), over={"eta": [-5.0]}, y0=Y0, t1=1.0, observe={"x": each}, **options
    )
    with pytest.raises(ValueError, match=r"`version` must be given in the class Scaled with `store`, such as `version = "):
        sweep(Scaled(), store=tmp_path / "s.zarr")
    with pytest.raises(ValueError, match="in the class Scaled"):  # whose methods Versioned inherits
        plan(Versioned()).require_names()

    class Ramped(nmm.Pulse.__mro__[1]):
        def __call__(self, t):
            return 0.1 * t

        def jumps(self):
            return jnp.zeros(0)

    with pytest.raises(ValueError, match="in the class Ramped"):
        plan(nmm.Final(), stimulus=nmm.Constant(1.0) + Ramped()).require_names()
    Ramped.version = "1"
    first = plan(nmm.Final(), stimulus=Ramped())
    first.require_names()
    before = first.config
    Ramped.version = "2"
    assert plan(nmm.Final(), stimulus=Ramped()).config != before


def test_a_fit_of_functions_needs_a_name_to_be_stored(tmp_path):
    near = lambda place: lambda model: (model.eta - place) ** 2
    path = tmp_path / "f.npz"
    for target in (near(-5.0), nmm.LossTarget(near(-5.0)) + 0.5 * nmm.LossTarget(near(-9.0))):
        with pytest.raises(ValueError, match="`name` must be given to `fit` with `store`"):
            fit(target, store=path)
    assert fit(near(-5.0), store=path, name="−5") == pytest.approx(-5.0, abs=1e-6)
    with pytest.raises(ValueError, match=r"`store` must belong to this call.* was made with name = '−5', not '−9'"):
        fit(near(-9.0), store=path, name="−9")
    data = nmm.TrajectoryTarget([0.0, 1.0], r=[0.1, 0.2])
    with pytest.raises(ValueError, match="`name` must be given with `store` for an optimiser"):
        fit(data, optimizer=optax.adam(1e-2), store=path)
    np.savez(tmp_path / "old.npz", fingerprint="3f2a")
    with pytest.raises(ValueError, match="`store` must be a new file: this one is of an earlier version, which told funct"):
        fit(near(-5.0), store=tmp_path / "old.npz", name="−5")
    assert {each.name for each in tmp_path.iterdir()} == {"f.npz", "old.npz"}  # no lock is left


def test_a_function_whose_surroundings_changed_is_compiled_anew():
    above, place = 0.05, -5.0
    time_above = integral(lambda p: jnp.where(p.y.r > above, 1.0, 0.0))
    loss = lambda model: (model.eta - place) ** 2
    first = float(sweep(time_above).x[0]), float(fit(loss))
    above, place = 10.0, -9.0
    assert (float(sweep(time_above).x[0]), float(fit(loss))) == pytest.approx((0.0, -9.0), abs=1e-6)
    assert first == pytest.approx((1.0, -5.0), abs=1e-6)


@pytest.mark.slow
def test_the_same_call_is_known_again_in_another_process(tmp_path, capsys):
    done = processes.python(HERE / "stored_call.py", tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "sweep.zarr" / ".nmmjax" / "chunks" / "1.json").unlink()  # as if killed before it was finished
    stored_call(tmp_path)
    assert capsys.readouterr().out == done.stdout


def test_two_fits_with_one_store_are_told(tmp_path, monkeypatch):
    path = tmp_path / "f.npz"
    loss, inner, told = lambda model: (model.eta + 5.0) ** 2, Search.run, []

    def nested(self, goal):
        if not told:
            told.append(True)
            with pytest.raises(BlockingIOError, match=r"The store '.*f.npz' is being written by another process; let it"):
                fit(loss, store=path, name="v1")
        return inner(self, goal)

    monkeypatch.setattr(Search, "run", nested)
    assert fit(loss, store=path, name="v1") == pytest.approx(-5.0, abs=1e-6)
    assert told and [each.name for each in tmp_path.iterdir()] == ["f.npz"]
    assert fit(loss, store=path, name="v1") == pytest.approx(-5.0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs flock")
def test_the_lock_of_a_killed_fit_is_free(tmp_path):
    path = tmp_path / "f.npz"
    code = "import sys, time; from pathlib import Path; from nmmjax._files import LockBeside\n"
    code += "held = LockBeside(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, env=processes.environment()
    ) as other:
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(BlockingIOError):
                fit(lambda model: model.eta**2, store=path, name="η²")
        finally:
            other.kill()
    assert abs(fit(lambda model: model.eta**2, store=path, name="η²")) < 1e-5


def test_what_is_written_tells_settings_apart():
    arrays = [jnp.arange(40.0), jnp.arange(40.0).at[20].set(-1.0), jnp.arange(40.0, dtype=jnp.float32), jnp.array([jnp.nan])]
    values = [*map(written, arrays), written(nmm.MPR()), written(nmm.MPR(eta=1.0)), written((1, "a")), written(jnp.tanh)]
    values += [written(BCOO.fromdense(each)) for each in (jnp.eye(3), 2 * jnp.eye(3))]
    assert len(set(map(str, values))) == len(values)
    written(jnp.tanh, strict=True)
    with pytest.raises(ValueError, match="`name` must be given"):
        written({"f": lambda x: x}, strict=True)


def test_paths_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    sweep(nmm.Final("r"), store="~/s.zarr")
    fit(lambda model: (model.eta + 5.0) ** 2, store="~/f.npz", name="v1")
    nmm.ising.save_ising(nmm.results.IsingModel(jnp.zeros(2), jnp.zeros((2, 2))), "~/m.json")
    nmm.ising.load_ising("~/m.json")
    np.savetxt(tmp_path / "r.csv", np.random.default_rng(0).normal(size=(30, 3)), delimiter=",")
    nmm.load_recording("~/r.csv")
    assert {each.name for each in tmp_path.iterdir()} == {"s.zarr", "f.npz", "m.json", "r.csv"}


def test_wrong_paths_are_one_sentence_before_anything_is_computed(tmp_path):
    (tmp_path / "file").touch()
    for wrong in ("", 3, b"x"):
        with pytest.raises(ValueError, match="`path` must be a path, as text or a"):
            as_path(wrong)
    with pytest.raises(ValueError, match="`path` must name a user with a home after `~`"):
        as_path("~nobody-of-that-name/x")
    with pytest.raises(ValueError, match="`path` must be a file in a folder that exists"):
        as_new_file(tmp_path)
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="`out` must be a folder"):
            as_folder(wrong)
    with pytest.raises(ValueError, match="`store` must be a file in a folder that exists"):
        fit(lambda model: model.eta**2, store=tmp_path, name="v1")
    with pytest.raises((ValueError, OSError), match=r"file"):
        sweep(nmm.Final("r"), store=tmp_path / "file" / "below.zarr")


RECORDED = nmm.Sampled([0.0, 20.0], [3.0, 3.0])


@pytest.mark.parametrize("kind", ["default", "fixed", "noise", "network", "several", "swept"])
def test_sweeps_refuse_times_that_a_recorded_input_does_not_cover(kind):
    model, stimulus, more = nmm.MPR(), RECORDED, {}
    if kind == "fixed":
        more = {"dt0": 0.1}
    elif kind == "noise":
        more = {"noise": 0.1, "key": jax.random.key(0)}
    elif kind == "network":
        model = nmm.mutual_inhibition()
        stimulus, more = model.target(RECORDED, 0), {"over": {"gain": [1.0]}}
    elif kind == "several":
        stimulus = nmm.Constant(1.0) + RECORDED
    elif kind == "swept":
        more = {"over": {"r": [0.1, 0.2]}}
    given = {"over": {"eta": [-5.0]}, "y0": Y0, "observe": {"x": nmm.Final("r")}, "stimulus": stimulus} | more
    with pytest.raises(ValueError, match=r"`t1` must lie within the stimulus's range \[0, 20\], but got \[ 0., 60.\]"):
        nmm.plan_sweep(model, t1=60.0, **given)
    nmm.plan_sweep(model, t1=20.0, **given)


class Delayed(nmm.Pulse.__mro__[1]):
    """A recording of 20 that begins after a delay."""

    delay: Array = parameter(symbol="d", doc="delay")

    def __call__(self, t):
        return 0 * t

    def jumps(self):
        return jnp.zeros(0)

    def span(self):
        return self.delay, self.delay + 20.0


def test_a_swept_delay_moves_the_range_that_a_recorded_input_covers():
    given = {"y0": Y0, "t1": 20.0, "observe": {"x": nmm.Final("r")}, "stimulus": Delayed(0.0)}
    with pytest.raises(ValueError, match=r"`t1` must lie within the stimulus's range \[1, 21\]"):
        nmm.plan_sweep(nmm.MPR(), over={"stimulus.delay": [0.0, 1.0]}, **given)


def test_fits_and_runs_refuse_times_that_a_recorded_input_does_not_cover():
    with pytest.raises(ValueError, match=r"`ts` must lie within the stimulus's range \[0, 20\]"):
        nmm.TrajectoryTarget(np.linspace(0, 60, 61), r=np.ones(61), stimulus=RECORDED)
    with pytest.raises(ValueError, match=r"`t1` must lie within the stimulus's range"):
        nmm.EnergyTarget(mean=1.0, y0=Y0, t1=60.0, stimulus=RECORDED)
    with pytest.raises(ValueError, match=r"`t1` must lie within the stimulus's range"):
        nmm.stochastic.run_protocol(nmm.MPR(Delta=0.3), RECORDED, 0.1, jax.random.key(0), t1=60.0, lanes=4)


def test_coordinates_are_kept_as_they_were_given(tmp_path):
    labels = np.array([-5.1, -5.2, -5.3])
    with jax.enable_x64(False):
        given = {"over": {"eta": labels, "r": np.array([1, 2])}, "y0": Y0, "t1": 0.5, "progress": False}
        given["observe"] = {"x": nmm.Final("v")}
        data = nmm.sweep(nmm.MPR(), **given)
        stored = [nmm.sweep(nmm.MPR(), store=tmp_path / "s.zarr", **given) for _ in range(2)]
        plain = nmm.sweep(nmm.MPR(), **(given | {"over": {"eta": labels.astype("f4"), "r": np.array([1, 2], "f4")}}))
    assert data.x.dtype == np.float32 and data.eta.dtype == np.float64 and data.r.dtype.kind == "i"
    beside = xr.DataArray(np.zeros(3), coords={"eta": labels}, dims="eta")
    assert (data.x + beside).sizes == {"eta": 3, "r": 2}
    np.testing.assert_array_equal(data.x, plain.x)  # the same bits
    for each in stored:
        xr.testing.assert_identical(each, data)
    data.to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "s.nc", engine="h5netcdf") as read:
        assert (read.x + beside).sizes["eta"] == 3
