"""`nmmjax sweep config.toml`: what it writes, and one sentence with file, line and key for every mistake in the file."""

import json
import re
import tomllib
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import processes
import pytest
import xarray as xr
from helpers_sweep import FakePlan, run_plan

from nmmjax.cli import sweeping
from nmmjax.cli.configuration import Document, lines_of
from nmmjax.cli.sweeping import read_job, sweep

CONFIG = """\
t1 = 5.0
solver = "Tsit5"
rtol = 1e-3

[model]
name = "MPR"
Delta = 1.0

[model.gap]
g = 0.2

[y0]
r = 0.1
v = -2.0

[over.eta]
start = -8.0
stop = 2.0
num = 4

[over.J]
values = [0.0, 10.0, 20.0]

[observe]
peak = {kind = "Peak", channel = "r"}
last = {kind = "Final"}

[stimulus]
kind = "Pulse"
amplitude = 3.0
start = 1.0
stop = 2.0
"""
SAMPLED = CONFIG.replace("num = 4", "num = 1") + "\n[sample]\nn = 5\nseed = 1\n[sample.bounds]\nDelta = [0.5, 1.5]\n"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def fake(monkeypatch):
    """Everything but the numbers: the file is read and checked, then a fake plan is computed."""
    build = sweeping.Job.plan
    monkeypatch.setattr(sweeping.Job, "plan", lambda job: build(job) and FakePlan(failing=7))
    monkeypatch.setattr(sweeping, "run_plan", run_plan)


def written(tmp_path, text=CONFIG, name="config.toml"):
    (tmp_path / name).write_text(text, encoding="utf8")
    return tmp_path / name


def plan_of(tmp_path, text):
    return read_job(Document(written(tmp_path, text))).plan()


def test_sweep_writes_picture_and_data(tmp_path, fake, capsys):
    sweep(written(tmp_path), out=tmp_path / "results")
    with xr.open_dataset(tmp_path / "results" / "config.nc", engine="h5netcdf") as data:
        assert data["peak"].shape == (6, 10)
        assert data["status"].attrs["flag_meanings"].startswith("successful ")
    assert (tmp_path / "results" / "config.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["config.nc", "config.png"]
    out = capsys.readouterr().out
    assert "How the lanes ended" in out
    assert re.search(r"1 .* 9 .* 15 %.*The maximum number", out)


def test_sweep_as_json(tmp_path, fake, capsys):
    sweep(written(tmp_path, "figure = false\n" + CONFIG), out=tmp_path / "results", json=True)
    caught = capsys.readouterr()
    found = json.loads(caught.out)
    assert found["lanes"] == 60 and found["written"] == [str(tmp_path / "results" / "config.nc")]
    assert [(each["status"], each["lanes"], each["share"]) for each in found["status"]] == [(0, 51, 0.85), (1, 9, 0.15)]
    assert found["status"][0]["meaning"] == "successful"
    assert "How the lanes ended" in caught.err


def test_sweep_with_a_store(tmp_path, fake, capsys):
    settings = 'store = "s.zarr"\nchunk = 10\nfigure = "map.svg"\nshow = "last_r"\n'
    config = written(tmp_path, settings + CONFIG)
    plan = FakePlan(failing=7)
    with pytest.raises(ValueError, match="`variable` must be one of the variables peak"):
        sweep(config, out=tmp_path)  # the fake plan has no `last_r`; what is computed is in the store
    assert len(list((tmp_path / "s.zarr" / ".nmmjax" / "chunks").iterdir())) == 6
    sweep(written(tmp_path, settings.replace("last_r", "peak") + CONFIG), out=tmp_path)
    with xr.open_zarr(tmp_path / "s.zarr", chunks=None) as data:
        np.testing.assert_array_equal(data["status"].values.ravel(), plan.compute(np.arange(60))["status"])
    assert "<svg" in (tmp_path / "map.svg").read_text()
    assert not (tmp_path / "config.nc").exists()


def test_the_file_becomes_the_plan(tmp_path):
    plan = plan_of(tmp_path, CONFIG)
    assert plan.dims == {"eta": 4, "J": 3}
    np.testing.assert_allclose(plan.coords["eta"][1], np.linspace(-8, 2, 4))
    np.testing.assert_allclose(plan.coords["J"][1], [0, 10, 20])
    assert {"peak", "last_r", "last_v", "status"} <= set(plan.variables)
    assert (plan.config["t1"], plan.config["rtol"]) == (5.0, 1e-3)
    assert "gap" in str(plan.config["model"])
    assert "Pulse" in str(plan.config["stimulus"])


def test_slow_terms_are_named_by_kind(tmp_path):
    depressed = '[model.adaptation]\nkind = "SynapticDepression"\nalpha = 0.05\ntau = 10.0\nkernel = "exponential"\n'
    plastic = "[model.plasticity]\ntau_d = 12.0\ntau_f = 90.0\nU0 = 0.2\n"
    plan = plan_of(tmp_path, CONFIG.replace("[model.gap]\ng = 0.2\n", depressed + plastic))
    assert "SynapticDepression(alpha=0.05, tau=10, kernel='exponential')" in plan.config["model"]["kind"]
    assert plan.config["y0"] == {"r": 0.1, "v": -2.0, "A": 0.0, "x": 1.0, "u": 0.2}


def test_closures_and_networks_are_swept(tmp_path):
    closed = '[model]\nname = "PseudoCumulants"\nintensity = 0.1\n[model.population]\nDelta = 1.0\n'
    text = CONFIG.replace('[model]\nname = "MPR"\nDelta = 1.0\n\n[model.gap]\ng = 0.2\n', closed)
    text = text.replace("[over.eta]", "[over.intensity]").replace("start = -8.0", "start = 0.0")
    text = text.replace("[over.J]", '[over."population.J"]')
    plan = plan_of(tmp_path, text)
    assert plan.dims == {"intensity": 4, "population.J": 3} and "last_q2" in plan.variables
    text = CONFIG.replace("[over.eta]", "[network]\nweights = [[0.0, 1.0], [0.5, 0.0]]\n\n[over.gain]")
    text = text.replace("[over.J]", '[over."node.J"]')
    plan = plan_of(tmp_path, text.replace("r = 0.1", "r = [0.1, 0.2]").replace('channel = "r"', 'channel = "r[1]"'))
    assert plan.config["y0"]["r"] == [0.1, 0.2]


def test_heterogeneities_are_named_by_kind(tmp_path):
    table = '[model.heterogeneity]\nkind = "{}"\n'
    text = CONFIG.replace("[y0]", table.format("GaussianLike") + "n = 4\n\n[y0]")
    assert plan_of(tmp_path, text).base.model.variables.keys() >= {"r", "r4", "v4"}
    text = CONFIG.replace("[y0]", table.format("Bimodal") + "separation = 3.0\n\n[y0]")
    assert float(plan_of(tmp_path, text).base.model.heterogeneity.separation) == 3.0
    with pytest.raises(ValueError, match=r"line 12.*`n` must be an integer from 1 to 10, but got 0"):
        plan_of(tmp_path, CONFIG.replace("[y0]", table.format("Flat") + "n = 0\n\n[y0]"))


def test_logarithmic_ranges_sample_times_and_sums(tmp_path):
    text = CONFIG.replace("start = -8.0\nstop = 2.0\nnum = 4", "start = 0.01\nstop = 10.0\nnum = 4\nscale = 'log'")
    text = text.replace('last = {kind = "Final"}', 'course = {kind = "Samples", ts = {start = 0.0, stop = 5.0, num = 6}}')
    text = text.replace("[stimulus]", "[[stimulus]]") + '[[stimulus]]\nkind = "Constant"\namplitude = 0.5\n'
    plan = plan_of(tmp_path, text)
    np.testing.assert_allclose(plan.coords["eta"][1], [0.01, 0.1, 1, 10])
    np.testing.assert_allclose(plan.coords["course_time"][1], np.arange(6.0))
    assert "Pulse" in str(plan.config["stimulus"]) and "Constant" in str(plan.config["stimulus"])


def test_sobol_samples(tmp_path):
    plan = plan_of(tmp_path, SAMPLED)
    assert plan.dims == {"eta": 1, "J": 3, "sample": 5}
    dims, values, _ = plan.coords["Delta"]
    assert dims == ("sample",)
    assert np.all((values > 0.5) & (values < 1.5))
    np.testing.assert_array_equal(values, plan_of(tmp_path, SAMPLED).coords["Delta"][1])
    assert np.any(values != plan_of(tmp_path, SAMPLED.replace("seed = 1", "seed = 2")).coords["Delta"][1])
    scaled = SAMPLED.replace("Delta = [0.5, 1.5]", "Delta = {low = 1e-4, high = 1.0, scale = 'log'}").replace(
        "n = 5", "n = 64"
    )
    values = plan_of(tmp_path, scaled).coords["Delta"][1]
    assert 28 <= np.sum(values < 1e-2) <= 36


MISTAKES = [  # (what stands in the file, what is written instead, the message)
    ("t1 = 5.0", "t1 = ", r"is not valid TOML: .*line 1"),
    ("t1 = 5.0", "t1 = 'late'", r"line 1: key `t1` must be a number, but got 'late'"),
    ("t1 = 5.0", "t1 = true", r"line 1: key `t1` must be a number, but got True"),
    ("t1 = 5.0", "t1 = -1.0", r"line 1: key `t1` must be later than t0 \(0\), but got -1.0"),
    ("t1 = 5.0", "t1 = nan", r"line 1: Argument `t1` must be finite"),
    ("t1 = 5.0", "t2 = 5.0", r"line 1: key `t2` is unknown; it must be one of t0, t1, solver"),
    ("t1 = 5.0", "", r"config.toml: key `t1` must be given"),
    ("rtol = 1e-3", "rtol = 0.0", r"line 3: Argument `rtol` must be > 0 and < 1, but got 0"),
    ('"Tsit5"', '"Tsit6"', r"line 2: key `solver` must be MobiusSplitting or a Runge.*, but got 'Tsit6'"),
    ('"Tsit5"', '"Kvaerno5"', r"line 2: key `solver` must be MobiusSplitting or a Runge.*, but got 'Kvaerno5'"),
    ('"Tsit5"', '"MobiusSplitting"', r"line 2: Argument `solver` must be a diffrax solver for this model"),
    ("rtol = 1e-3", "chunk = 0", r"line 3: key `chunk` must be an integer ≥ 1, but got 0"),
    ("rtol = 1e-3", "precision = 'half'", r"line 3: key `precision` must be one of float32, float64, but got 'half'"),
    ("rtol = 1e-3", "figure = 'map'", r"line 3: key `figure` must be false or the name of a file that ends in .png"),
    ("rtol = 1e-3", "show = 'r'", r"line 3: key `show` must be one of peak, last_r, last_v, .*, but got 'r'"),
    ("rtol = 1e-3", "noise = 0.1", r"config.toml: key `seed` must be given"),
    ("rtol = 1e-3", "store = 3", r"line 3: key `store` must be a string, but got 3"),
    ("Delta = 1.0", "Delta = -1.0", r"line 7: Argument `Delta` must be ≥ 0, but got -1"),
    ("Delta = 1.0", "delta = 1.0", r"line 7: key `model.delta` is unknown; it must be one of name, eta, J, Delta"),
    ("Delta = 1.0", "Delta = 'x'", r"line 7: key `model.Delta` must be a number, but got 'x'"),
    ("Delta = 1.0", "Delta = [1.0]", r"line 7: key `model.Delta` must be a number, but got \[1.0\]"),
    (
        'name = "MPR"',
        'name = "MRP"',
        r"line 6: key `model.name` must be one of MPR, CircularCumulants, .*, izhikevich, but got 'MRP'",
    ),
    ("g = 0.2", "g = -0.2", r"line 10: Argument `g` must be ≥ 0, but got -0.2"),
    ("[model.gap]\ng = 0.2", "[model.adaptation]\nalpha = 1.0", r"line 9: key `model.adaptation.kind` must be given"),
    ("[model.gap]\ng = 0.2", "[model.adaptation]\nkind = 'STP'", r"line 10: key `model.adaptation.kind` must be one of Sp"),
    ("g = 0.2", "", r"line 9: key `model.gap.g` must be given"),
    ("r = 0.1", "r = 0.0", r"line 12: Argument `r` must be > 0, but got 0"),
    ("r = 0.1", "r = '0.1'", r"line 13: key `y0.r` must be a number, but got '0.1'"),
    ("r = 0.1", "", r"line 12: Argument `y0` must have the key `r`, but got \['v'\]"),
    ("v = -2.0", "w = -2.0", r"line 12: Argument `w` must be one of the state names"),
    ("num = 4", "num = 0", r"line 19: key `over.eta.num` must be an integer ≥ 1, but got 0"),
    ("num = 4", "num = 4.0", r"line 19: key `over.eta.num` must be an integer ≥ 1, but got 4.0"),
    ("num = 4", "", r"line 16: key `over.eta.num` must be given"),
    ("num = 4", "step = 4", r"line 19: key `over.eta.step` is unknown; it must be one of start, stop, num, scale"),
    ("num = 4", "num = 4\nscale = 'sqrt'", r"line 20: key `over.eta.scale` must be one of lin, log, but got 'sqrt'"),
    ("num = 4", "num = 4\nscale = 'log'", r"line 17: key `over.eta.start` must be > 0 on a logarithmic scale, but got -8.0"),
    ("stop = 2.0\nnum", "stop = inf\nnum", r"line 18: key `over.eta.stop` must be finite, but got inf"),
    ("[over.eta]", "[over.Eta]", r"line 16: Argument `Eta` must be one of the swept names"),
    ("[over.J]", "[over.Delta]", None),
    (
        "values = [0.0, 10.0, 20.0]",
        "values = [0.0, 'b']",
        r"line 22: key `over.J.values\[1\]` must be a number, but got 'b'",
    ),
    ("values = [0.0, 10.0, 20.0]", "values = []", r"line 22: key `over.J.values` must be a list of numbers, but got \[\]"),
    ("[over.J]\nvalues = [0.0,", "[over.Delta]\nvalues = [-1.0,", r"line 21: Argument `Delta` must be ≥ 0, but got"),
    ('kind = "Peak"', 'kind = "Custom"', r"line 25: key `observe.peak.kind` must be one of .*Peak.*, but got 'Custom'"),
    ('kind = "Peak"', 'kind = "Top"', r"line 25: key `observe.peak.kind` must be one of .*Peak.*, but got 'Top'"),
    ('channel = "r"', 'channel = "x"', r"line 25: .*must be one of .*x"),
    ('channel = "r"', "channel = 1", r"line 25: key `observe.peak.channel` must be a string, but got 1"),
    ('channel = "r"', 'chan = "r"', r"line 25: key `observe.peak.chan` is unknown; it must be one of kind, channel"),
    (', channel = "r"', "", r"line 25: key `observe.peak.channel` must be given"),
    ("stop = 2.0\n", "stop = 0.5\n", r"line 28: Argument `stop` must be later than `start`"),
    ('kind = "Pulse"', 'kind = "Step"', r"line 29: key `stimulus.kind` must be one of Constant, Pulse, .*, but got 'Step'"),
    ("amplitude = 3.0", "amplitude = nan", r"line 30: Argument `amplitude` must be finite"),
    ("amplitude = 3.0", "", r"line 28: key `stimulus.amplitude` must be given"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), MISTAKES, ids=[f"{k}" for k in range(len(MISTAKES))])
def test_mistakes_are_one_sentence_with_file_and_line(tmp_path, right, wrong, message):
    head, found, tail = CONFIG.rpartition(right) if right == "stop = 2.0\n" else CONFIG.partition(right)
    assert found
    if message is None:
        plan_of(tmp_path, head + wrong + tail)
        return
    with pytest.raises(ValueError, match=message) as caught:
        plan_of(tmp_path, head + wrong + tail)
    assert str(tmp_path / "config.toml") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("n = 5", "n = 0", r"key `sample.n` must be an integer ≥ 1, but got 0"),
        ("n = 5", "", r"line 34: key `sample.n` must be given"),
        ("[0.5, 1.5]", "[1.5, 0.5]", r"line 38: key `sample.bounds.Delta` must have low < high, both finite"),
        ("[0.5, 1.5]", "[0.5]", r"line 38: key `sample.bounds.Delta` must be \[low, high\], but got \[0.5\]"),
        ("[0.5, 1.5]", "[-0.5, 1.5]", r"line 38: Argument `Delta` must be ≥ 0"),
        ("[0.5, 1.5]", "3", r"line 38: key `sample.bounds.Delta` must be a table"),
        ("Delta = [0.5", "J = [0.5", r"line 21: `J` must be given in `over` or in `sample`, not in both"),
        ("Delta = [0.5, 1.5]", "", r"line 37: key `sample.bounds` must name at least one parameter"),
    ],
)
def test_mistakes_in_samples(tmp_path, right, wrong, message):
    assert right in SAMPLED
    head, _, tail = SAMPLED.rpartition(right)
    with pytest.raises(ValueError, match=message):
        plan_of(tmp_path, head + wrong + tail)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"The file '.*none.toml' could not be read: No such file or directory"):
        Document(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"The file '.*binary.toml' is not valid TOML"):
        Document(tmp_path / "binary.toml")
    (tmp_path / "utf16.toml").write_text("t1 = 1.0", encoding="utf-16")
    with pytest.raises(ValueError, match=r"utf16.toml' is not valid TOML in UTF-8, but in UTF-16; save it as UTF-8"):
        Document(tmp_path / "utf16.toml")
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbft1 = 1.0\r\n[a]\r\nb = 2")
    document = Document(tmp_path / "bom.toml")
    assert document.values == {"t1": 1.0, "a": {"b": 2}} and document.where(("a", "b")).endswith("line 3")
    with pytest.raises(ValueError, match="table `over` or `sample` must be given"):
        read_job(Document(written(tmp_path, "t1 = 1.0\n[y0]\nr = 1.0\n[observe]\n")))


def test_lines_of_keys_are_found_in_every_shape_of_toml():
    text = '''# a = 0
a = 1
b . "c d" = "x # no [t]"
'q.r' = 'lit\\'
[model] # hi
name = """multi
 [fake]
 b = 2 \\""" x"""
list = [ 1, # one ]
  2,
  {k = 3, z = [4]},
]
d = {x = 1, y = {z = ']'}}
other = \'\'\'
e = 1\'\'\'
e = 1979-05-27 07:32:00
[over.eta]
start = 1_000
[[stim]]
kind = "a"
[[stim]]
kind = "b"
[stim.sub]
w = [[1, 2],
     [3]]
'''
    lines = lines_of(text)
    expected = {
        ("a",): 2,
        ("b",): 3,
        ("b", "c d"): 3,
        ("q.r",): 4,
        ("model",): 5,
        ("model", "name"): 6,
        ("model", "list", 0): 9,
        ("model", "list", 1): 10,
        ("model", "list", 2, "z", 0): 11,
        ("model", "d", "y", "z"): 13,
        ("model", "other"): 14,
        ("model", "e"): 16,
        ("over", "eta"): 17,
        ("over", "eta", "start"): 18,
        ("stim", 0, "kind"): 20,
        ("stim", 1, "kind"): 22,
        ("stim", 1, "sub", "w", 1): 25,
        ("stim", 1, "sub", "w", 1, 0): 25,
    }
    assert {path: lines.get(path) for path in expected} == expected

    def paths(value, path=()):
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return {path} - {()} | {found for key, each in inner for found in paths(each, (*path, key))}

    assert set(lines) == paths(tomllib.loads(text))
    assert lines_of(text.replace("\n", "\r\n")) == lines
    assert lines_of("") == {}


def command(*arguments):
    return processes.python("-m", "nmmjax", "sweep", *arguments)


def test_a_wrong_file_is_one_line_in_the_shell(tmp_path):
    done = command(written(tmp_path, CONFIG.replace("Delta = 1.0", "Delta = -1.0")))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "line 7" in done.stderr


def test_the_whole_command(tmp_path):
    """With the real engine, in single precision."""
    text = 'precision = "float32"\n' + CONFIG.replace("[model.gap]\ng = 0.2\n", "").replace("Tsit5", "MobiusSplitting")
    done = command(written(tmp_path, text), "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "successful" in done.stdout
    assert "Traceback" not in done.stderr
    with xr.open_dataset(tmp_path / "config.nc", engine="h5netcdf") as data:
        assert data["peak"].dtype == "float32"
        assert np.all(data["peak"] > 0)
    assert (tmp_path / "config.png").exists()
    assert jax.config.jax_enable_x64


def test_paths_in_files_and_options_begin_at_home(tmp_path, monkeypatch):
    from nmmjax.cli.sweeping import sweep

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    text = 't1 = 1.0\nstore = "~/kept.zarr"\nfigure = "~/drawn.png"\n'
    text += '[y0]\nr = 0.1\nv = -2.0\n[over.eta]\nvalues = [-5.0, -4.0]\n[observe.last]\nkind = "Final"\nchannel = "r"\n'
    Path("config.toml").write_text(text)
    sweep(Path("config.toml"), out=Path("~/results"))
    assert {each.name for each in tmp_path.iterdir()} == {"work", "kept.zarr", "drawn.png", "results"}
    with pytest.raises(ValueError, match=r"`out` must be a folder, but not a file or in one, but got 'config.toml'"):
        sweep(Path("config.toml"), out=Path("config.toml"))
    Path("taken.png").mkdir()
    Path("config.toml").write_text(text.replace("~/drawn", "taken").replace("~/kept", "new"))
    with pytest.raises(ValueError, match="`figure` must be a file in a folder that exists"):
        sweep(Path("config.toml"), out=Path("."))
    assert not Path("new.zarr").exists()
