"""`nmmjax fit config.toml data.csv`: what it writes, one sentence for every mistake; pictures of fits are labelled."""

import gzip
import json
import re
import tomllib

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import processes
import pytest
import xarray as xr

import nmmjax as nmm
from nmmjax.cli import fitting
from nmmjax.cli.configuration import Document
from nmmjax.cli.fitting import fit, read_job

CONFIG = """\
[model]
eta = -4.4
J = 14.0
Delta = 0.8
tau = 10.0

[fit]
free = ["eta", "Delta"]
starts = 3

[fit.bounds]
eta = [-6.0, -3.0]

[stimulus]
kind = "Pulse"
amplitude = 3.0
start = 20.0
stop = 80.0
"""
TRUTH = nmm.MPR(eta=-4.6, J=14.0, Delta=0.7, tau=10.0)
GAPS = (30, 31, 32, 90)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def recording():
    """Times in ms, unequally spaced, rates in Hz, voltages; without noise."""
    ts = np.unique(np.round(np.concatenate([np.linspace(0.0, 100.0, 101), np.linspace(100.0, 150.0, 26)]), 6))
    pulse = nmm.Pulse(3.0, 20.0, 80.0)
    run = nmm.simulate(TRUTH, {"r": 0.006, "v": -1.95}, ts, stimulus=pulse, rtol=1e-11, atol=1e-13)
    return ts, 1e3 * np.asarray(run.ys.r), np.asarray(run.ys.v)


def csv_text(ts, r, v, header="t (ms),r (Hz),v", gaps=GAPS):
    rows = [
        f"{t!r},{'' if k in gaps else repr(a)},{b!r}"
        for k, (t, a, b) in enumerate(zip(ts.tolist(), r.tolist(), v.tolist(), strict=True))
    ]
    return "\n".join([header, *rows]) + "\n"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One whole run of the command: the folder, what was fitted."""
    folder = tmp_path_factory.mktemp("fit")
    (folder / "my.toml").write_text(CONFIG, encoding="utf8")
    (folder / "data.csv").write_text(csv_text(*recording()), encoding="utf8")
    kept, run_fit = [], fitting.run_fit
    fitting.run_fit = lambda *args, **settings: kept.append(run_fit(*args, progress=False, **settings)) or kept[0]
    try:
        fit(folder / "my.toml", folder / "data.csv", out=folder / "out")
    finally:
        fitting.run_fit = run_fit
    return folder, kept[0]


def test_the_command_recovers_the_truth_and_writes_everything(done):
    folder, fitted = done
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["my.nc", "my.png", "my_best.toml"]
    assert (folder / "out" / "my.png").read_bytes().startswith(b"\x89PNG")
    best = tomllib.loads((folder / "out" / "my_best.toml").read_text(encoding="utf8"))
    np.testing.assert_allclose([best["model"]["eta"], best["model"]["Delta"]], [-4.6, 0.7], rtol=1e-6)
    assert best["model"] | {"eta": 0, "Delta": 0} == {"name": "MPR", "eta": 0, "J": 14.0, "Delta": 0, "tau": 10.0}
    assert best["converged"] is True and best["found_best"] >= 1
    assert set(best["standard_error"]) == set(best["interval"]) == {"eta", "Delta"}
    np.testing.assert_allclose([best["y0"]["r"], best["y0"]["v"]], [0.006, -1.95], rtol=1e-5)
    with xr.open_dataset(folder / "out" / "my.nc", engine="h5netcdf") as data:
        np.testing.assert_array_equal(data["eta"], fitted.values[:, 0])
        assert data["eta"].attrs["symbol"] == "η"
        assert data["covariance"].shape == (3, 2, 2)
        assert data["history"].sizes == {"start": 3, "iteration": fitted.history.shape[1]}
        assert data.attrs["Delta"] == best["model"]["Delta"]
        assert list(data["unknown_name"].values) == ["ln r(0)", "v(0)"]


def test_fit_as_json(done, tmp_path, capsys, monkeypatch):
    folder, fitted = done
    monkeypatch.setattr(fitting, "run_fit", lambda *_, **__: fitted)
    monkeypatch.setattr(fitting, "_draw", lambda _, path: path)
    fit(folder / "my.toml", folder / "data.csv", out=tmp_path, json=True)
    caught = capsys.readouterr()
    found = json.loads(caught.out)
    best = fitted.best_index
    assert found["best"] == {"eta": fitted.values[best, 0], "Delta": fitted.values[best, 1]}
    assert found["best_index"] == best and found["converged"][best] and len(found["status"]) == len(found["loss"]) == 3
    assert found["standard_error"] == {name: float(each) for name, each in fitted.standard_error.items()}
    assert found["written"] == [str(tmp_path / name) for name in ("my_best.toml", "my.nc", "my.png")]
    assert "4 samples of r are missing" in caught.err and "4 samples of r are missing" in " ".join(found["notes"])


def test_gaps_are_masked_and_said(done, capsys):
    folder, fitted = done
    assert fitted.target.missing == len(GAPS)
    task = read_job(Document(folder / "my.toml"), folder / "data.csv").task()
    notes = "\n".join(task.notes)
    assert "4 samples of r are missing and masked (lines 32–34, 92)" in notes
    assert "not equally spaced: steps from 1 to 2" in notes
    assert "Times in ms, τ and the stimulus in ms" in notes
    assert "Rates in Hz, of the model in 1/ms" in notes
    np.testing.assert_allclose(task.target.data[0][0], 0.006)


def test_the_best_model_is_read_again(done, tmp_path):
    folder, _ = done
    text = (folder / "out" / "my_best.toml").read_text(encoding="utf8")
    model = text[text.index("\n[model]") : text.index("[standard_error]")]
    (tmp_path / "again.toml").write_text(model + "\n[fit]\nfree = ['J']\n", encoding="utf8")
    again = read_job(Document(tmp_path / "again.toml"), folder / "data.csv").task().model
    np.testing.assert_allclose(float(again.eta), -4.6, rtol=1e-6)


def test_best_of_every_term_and_of_networks_is_written_as_toml(tmp_path, done):
    """Terms, per-node values and weights survive writing and reading."""
    _, fitted = done
    slow = {"adaptation": nmm.SynapticDepression(alpha=0.05, tau=10.0), "synapse": nmm.ExponentialSynapse(0.2)}
    population = nmm.per_node(nmm.MPR(tau=2.0, gap=nmm.GapJunction(0.2), **slow), eta=[-5.0, -4.0])
    nodes = nmm.Network(population, [[0.0, 1.0], [0.5, 0.0]], 0.3, names=("a", "b"), reversal=[1.0, -2.0])

    class Stub:
        best_index, loss, converged, status = 0, np.ones(1), np.ones(1, bool), np.zeros(1, int)
        meanings, found_best, interrupted, standard_error = (
            fitted.meanings,
            np.ones(1, bool),
            False,
            {"node.eta[0]": np.inf},
        )
        best, target, unknowns = (
            nodes,
            nmm.TrajectoryTarget(jnp.arange(4.0), r=jnp.ones((4, 2)), y0={"r": 1.0, "v": 0.0}),
            np.zeros((1, 0)),
        )

        def interval(self):
            return {"node.eta[0]": (-np.inf, np.inf)}

    path = fitting._write_best(Stub(), tmp_path / "best.toml")
    text = path.read_text(encoding="utf8")
    assert tomllib.loads(text)["interval"]["node.eta[0]"] == [-np.inf, np.inf]
    kept = text[text.index("\n[model]") : text.index("[standard_error]")]
    path.write_text(kept + "\n[fit]\nfree = ['gain']\n", encoding="utf8")
    again = fitting.build_model(Document(path))
    assert repr(again) == repr(nodes)
    np.testing.assert_array_equal(again.weights, nodes.weights)
    np.testing.assert_array_equal(again.coupling.reversal, nodes.coupling.reversal)
    assert again.names == nodes.names
    np.testing.assert_array_equal(again.node.eta, nodes.node.eta)


def task_of(tmp_path, config=CONFIG, table="t,r,v\n0,0.01,-2\n5,0.02,-1\n15,0.01,-1.5\n20,0.01,-1.8\n"):
    (tmp_path / "c.toml").write_text(config, encoding="utf8")
    (tmp_path / "d.csv").write_text(table, encoding="utf8")
    return read_job(Document(tmp_path / "c.toml"), tmp_path / "d.csv").task()


def refused(tmp_path, message, *given):
    with pytest.raises(ValueError, match=message) as caught:
        task_of(tmp_path, *given)
    text = str(caught.value)
    assert "\n" not in text and text.endswith("."), text
    return text


WRONG_CONFIGS = [  # (what stands in the file, what is written instead, the message)
    ("[fit]\n", "[fits]\n", r"line 7: key `fits` is unknown; it must be one of precision, figure"),
    ('free = ["eta", "Delta"]', "", r"line 7: key `fit.free` must be given"),
    ('"eta", "Delta"', '"eta", "delta"', r"line 8: Argument `free` must name parameters of the model, `eta`, .*'delta'"),
    ('["eta", "Delta"]', "[]", r"line 8: key `fit.free` must be a list of parameters' names, but got \[\]"),
    ('["eta", "Delta"]', "3", r"line 8: key `fit.free` must be a list of parameters' names, but got 3"),
    ("starts = 3", "starts = 0", r"line 9: key `fit.starts` must be an integer ≥ 1, but got 0"),
    ("starts = 3", "start = 3", r"line 9: key `fit.start` is unknown; it must be one of free, starts"),
    ("starts = 3", "noise = -0.1", r"line 9: Argument `noise` must be .*> 0"),
    ("starts = 3", "noise = {x = 1}", r"line 9: key `fit.noise.x` is unknown; it must be one of r, v"),
    ("starts = 3", "noise_model = 'poisson'", r"line 9: key `fit.noise_model` must be one of gaussian, lognormal, student"),
    ("starts = 3", "optimizer = 'adamant'", r"line 9: key `fit.optimizer.name` must be the name of an optimiser of optax"),
    ("starts = 3", "optimizer = {name = 'adam', learning_rate = 0}", r"line 9: key `fit.optimizer.learning_rate` must be"),
    ("starts = 3", "optimizer = {name = 'adam', rate = 0.1}", r"line 9: key `fit.optimizer.rate` is unknown"),
    ("starts = 3", "polish = 'newton'", r"line 9: key `fit.polish` must be one of levenberg-marquardt, bfgs, none"),
    ("starts = 3", "polish = false", r"line 9: key `fit.optimizer` must be given if `fit.polish` is none"),
    ("starts = 3", "segments = 4", r"line 9: key `fit.segments` must be true or false, but got 4"),
    ("starts = 3", "segment = 1", r"line 9: key `fit.segment` must be an integer ≥ 2, but got 1"),
    ("starts = 3", "prior = {eta = [-5.0, 0.0]}", r"line 9: key `fit.prior.eta` must have a deviation > 0"),
    ("starts = 3", "spread = 0.0", r"line 9: key `fit.spread` must be > 0"),
    ("eta = [-6.0, -3.0]", "eta = [-3.0, -6.0]", r"line 12: key `fit.bounds.eta` must have lower < upper"),
    ("eta = [-6.0, -3.0]", "eta = [-3.0]", r"line 12: key `fit.bounds.eta` must be \[lower, upper\], but got \[-3.0\]"),
    ("eta = [-6.0, -3.0]", "eta = [-3.5, -3.0]", r"line 12: Argument `eta` must lie within its bounds \[-3.5, -3\]"),
    ("eta = [-6.0, -3.0]", "Delta = [-1.0, 3.0]", r"line 12: .*keep `Delta` within its declared bounds \[0, inf\]"),
    ("eta = [-6.0, -3.0]", "J = [0.0, 3.0]", r"line 12: key `fit.bounds.J` is unknown; it must be one of eta, Delta"),
    ("tau = 10.0", "tau = -1.0", r"line 5: Argument `tau` must be > 0, but got -1"),
    ("[stimulus]\n", "[data]\nr = 'rate'\n[stimulus]\n", r"line 15: column `rate` is not in .*d.csv, which has t, r, v"),
    ("[stimulus]\n", "[data]\nt = 'time'\n[stimulus]\n", r"d.csv: column `time` is missing; it has t, r, v"),
    ("[stimulus]\n", "[data]\nr = ['r', 'v']\n[stimulus]\n", r"line 15: key `data.r` must be false or a column's name"),
    ("[stimulus]\n", "[data]\nr = false\nv = false\n[stimulus]\n", r"d.csv: must have columns `r` or `v` .*; it has"),
    ("[stimulus]\n", "[units]\nt = 'fortnights'\n[stimulus]\n", r"line 15: key `units.t` must be one of s, ms, .*, but got"),
    ("[stimulus]\n", "[units]\nr = 'Hz'\n[stimulus]\n", r"line 15: key `units.model` must be given with `units.t`, since"),
    ("[stimulus]\n", "[units]\nmodel = 'ms'\n[stimulus]\n", r"line 15: key `units.t` must be given, since `units.model` is"),
    ("[stimulus]\n", "[units]\nt = 0.0\n[stimulus]\n", r"line 15: key `units.t` must be > 0"),
    ("[stimulus]\n", "[y0]\nr = -1.0\nv = 0.0\n[stimulus]\n", r"line 14: Argument `r` must be > 0, but got -1"),
    ("[stimulus]\n", "[network]\nweights = [[0.0, 1.0]]\n[stimulus]\n", r"line 15: key `network.weights` must have 1"),
    ("[stimulus]\n", "[network]\nweights = [[0, 1], [1, 0]]\n[stimulus]\n", r"line 8: Argument `free` must name parameters"),
    ('kind = "Pulse"', 'kind = "Step"', r"line 15: key `stimulus.kind` must be one of"),
    ("[model]", "figure = 'fit'\n[model]", r"line 1: key `figure` must be false or the name of a file that ends in"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG_CONFIGS, ids=[str(k) for k in range(len(WRONG_CONFIGS))])
def test_mistakes_in_the_file_are_one_sentence_with_its_line(tmp_path, unchecked, right, wrong, message):
    assert right in CONFIG
    text = refused(tmp_path, message, CONFIG.replace(right, wrong, 1))
    assert str(tmp_path) in text


WRONG_TABLES = [
    ("", r"d.csv' is empty; it must have a header"),
    ("t,r,v\n", r"d.csv: must have a line per sample below its header, but has none"),
    ("0,0.1,1\n1,0.2,2\n", r"d.csv, line 1: must be a header that names its columns, such as t,r,v, but got numbers"),
    ("t,r,v\n0,0.1,1\n1,0.2\n", r"d.csv, line 3: must have 3 values, as the header has names, but has 2"),
    ("t,r,v\n0,0.1,1\n1,abc,1\n", r"d.csv, line 3, column `r`: must be a number, or empty where .*, but got 'abc'"),
    ("t,r,v\n0,0.1,1\n1,inf,1\n", r"d.csv, line 3, column `r`: must be a number, or empty where .*, but got 'inf'"),
    ("# a note\nt,r,v\n0,0.1,1\n0,0.2,1\n", r"d.csv, line 4, column `t`: must be later than 0 on the line before"),
    ("t,r,v\n0,0.1,1\n,0.2,1\n", r"d.csv, line 3, column `t`: must be a time, but got nothing"),
    ("t,r,v\n0,0.1,1\n", r"d.csv: must have at least 2 samples, but has 1"),
    ("t,r,r\n0,0.1,1\n1,0.1,1\n", r"d.csv: column `r` must be there once, but is there 2 times"),
    ("t,x\n0,0.1\n1,0.1\n", r"d.csv: must have columns `r` or `v` \(or name them in \[data\]\); it has t, x"),
    ("t,r\n0,nan\n1,\n", r"d.csv: column `r` must have at least one sample, but has none"),
    ("t,r\n0,0.1\n1000,0.1\n2000,0.1\n", r"d.csv: samples are 1000 apart, longer than 10 times the model's τ = 10; say"),
    ("t,r\n0,0.1\n0.1,0.1\n0.2,0.1\n", r"d.csv: the recording lasts 0.2, less than the model's τ = 10; say in what units"),
    ("t,r\n0,20\n10,50\n20,30\n", r"d.csv: r τ is up to 500, beyond 100 with the model's τ = 10; say in what units"),
    ("t,r\n0,1e-6\n10,1e-6\n20,1e-6\n", r"d.csv: r τ is at most 1e-05, for the model's τ = 10 next to nothing; say in what"),
    ("t,v\n0,-60\n10,-55\n20,-70\n", r"d.csv: \|v\| is typically 60, beyond 30; give scale and zero of the model's"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "message"), WRONG_TABLES, ids=[str(k) for k in range(len(WRONG_TABLES))])
def test_mistakes_in_the_recording_are_one_sentence_with_line_and_column(tmp_path, table, message):
    refused(tmp_path, message, CONFIG, table)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "c.toml").write_text(CONFIG, encoding="utf8")
    with pytest.raises(ValueError, match=r"The file '.*none.csv' could not be read: No such file or directory"):
        fit(tmp_path / "c.toml", tmp_path / "none.csv")
    (tmp_path / "d.csv").write_bytes(b"\xff\xfe\x00t")
    with pytest.raises(ValueError, match=r"The file '.*d.csv' is not a text file in UTF-8"):
        fit(tmp_path / "c.toml", tmp_path / "d.csv")
    with pytest.raises(ValueError, match=r"the recording must be given: nmmjax fit config.toml data.csv, or `data.file`"):
        fit(tmp_path / "c.toml")
    with pytest.raises(ValueError, match=r"The TOML file must be given: nmmjax fit config.toml data.csv"):
        fit()


def test_units_separators_and_names(tmp_path):
    """Seconds and Hz with τ in ms, decimal commas, columns by other names, mV."""
    units = "[data]\nt = 'clock'\nv = 'U'\n[units]\nmodel = 'ms'\nv = {scale = 0.1, zero = -60.0}\n[stimulus]\n"
    text = CONFIG.replace("[stimulus]\n", units, 1)
    task = task_of(tmp_path, text, "clock [s];r (Hz);U\n0,1;5,0;-80\n0,11;;-70\n0,13;7,5;-60\n")
    np.testing.assert_allclose(task.target.ts, [100.0, 110.0, 130.0])
    samples = np.searchsorted(task.target.grid, task.target.ts - task.target.ts[0])
    np.testing.assert_allclose(task.target.data[0][samples], [0.005, 0.0, 0.0075])
    np.testing.assert_allclose(task.target.data[1][samples], [-2.0, -1.0, 0.0])
    assert task.target.missing == 1
    free_tau = (
        CONFIG.replace('"eta", "Delta"', '"tau", "Delta"').replace("eta = [-6.0", "tau = [1.0").replace("-3.0]", "20.0]")
    )
    assert refused(tmp_path, "longer than 10 times the model's τ from 1 to 20", free_tau, "t,r\n0,1\n300,1\n700,1\n")


SAMPLES = np.array([[0.0, 0.01, -2.5], [5.0, np.nan, -1.25], [15.5, 0.0125, -1.5]])


@pytest.mark.parametrize(
    ("how", "head"),
    [
        ({"sep": "\t", "decimal": ","}, ""),
        ({"sep": ";", "decimal": ","}, ""),
        ({"sep": " ", "na_rep": "nan"}, ""),
        ({"sep": " ", "decimal": ",", "na_rep": "n/a"}, ""),
        ({"sep": "\t", "na_rep": "n/a", "index": False}, ""),
        ({"encoding": "utf-8-sig"}, ""),
        ({"sep": ";", "decimal": ",", "index": False}, "sep=;\n"),
        ({"index": False}, "# "),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_recordings_are_read_as_other_recordings_are(tmp_path, how, head, ending):
    """As `load_recording` reads them: tabs, decimal commas, blanks, byte-order marks, an index, compressed."""
    text = head + pd.DataFrame(SAMPLES, columns=["t", "r", "v"]).to_csv(**how)
    raw = text.encode(how.get("encoding", "utf8"))
    (tmp_path / f"d.csv{ending}").write_bytes(gzip.compress(raw) if ending else raw)
    (tmp_path / "c.toml").write_text(CONFIG, encoding="utf-8-sig")
    target = read_job(Document(tmp_path / "c.toml"), tmp_path / f"d.csv{ending}").task().target
    np.testing.assert_array_equal(target.ts, SAMPLES[:, 0])
    at = np.searchsorted(target.grid, target.ts - target.ts[0])
    seen = np.asarray(target.data)[:, at].T
    np.testing.assert_array_equal(seen[~np.isnan(SAMPLES[:, 1:])], SAMPLES[:, 1:][~np.isnan(SAMPLES[:, 1:])])
    assert target.missing == 1


def test_networks_have_columns_per_node(tmp_path):
    network = (
        "[network]\nweights = [[0.0, 0.2], [0.2, 0.0]]\ngain = 0.5\n[network.per_node]\neta = [-4.5, -4.4]\n[stimulus]\n"
    )
    text = CONFIG.replace("[stimulus]\n", network, 1).replace('["eta", "Delta"]', '["node.eta", "weights"]')
    text = text.replace("[fit.bounds]\neta =", '[fit.bounds]\n"node.eta" =')
    task = task_of(tmp_path, text, "t,r1,r2\n0,0.01,0.02\n5,0.02,\n10,0.03,0.01\n")
    assert task.target.nodes == (2,) and task.target.missing == 1
    assert float(task.model.gain) == 0.5
    assert task.settings["free"] == ("node.eta", "weights")
    refused(tmp_path, r"d.csv: column `r2` is missing; it has t, r1", text, "t,r1\n0,0.01\n5,0.02\n")
    refused(tmp_path, r"must have columns `r1` to `r2`, or `v1` to `v2`", text, "t,r\n0,0.01\n5,0.02\n")


def test_settings_reach_the_fit(tmp_path):
    about = """starts = 3
seed = 1
optimizer = {name = "adam", learning_rate = 3e-2, steps = 40, clip = 1.0, schedule = "cosine"}
noise = {r = 1e-3, v = 0.1}
noise_model = "student"
segment = 2
prior = {Delta = [0.7, 0.1]}
"""
    task = task_of(tmp_path, CONFIG.replace("starts = 3\n", about))
    assert task.settings["steps"] == 40 and task.settings["optimizer"].update
    assert task.settings["prior"] == {"Delta": (0.7, 0.1)} and task.settings["bounds"] == {"eta": (-6.0, -3.0)}
    assert task.target.noise_model == "student" and task.target.known and task.target.segment == 2


def test_the_example_is_read(tmp_path, capsys):
    fit(out=tmp_path, example=True)
    out = capsys.readouterr().out
    assert "fit.toml" in out and "nmmjax fit" in out
    task = read_job(Document(tmp_path / "fit.toml"), tmp_path / "fit.csv").task()
    assert task.target.missing == 11
    assert task.settings["starts"] == 16


def labelled(axes):
    return all(each.get_xlabel() and each.get_ylabel() for each in np.ravel(axes))


def test_picture_of_a_fit(done, unchecked):
    _, fitted = done
    axes = nmm.plot.fit(fitted)
    assert len(axes) == 4
    assert [each.get_ylabel().splitlines()[0] for each in axes] == ["firing rate r", "mean voltage v"] + 2 * [
        "loss (dimensionless)"
    ]
    assert [each.get_xlabel() for each in axes[1:]] == ["time t (unit of τ)", "starts, sorted by loss", "iteration"]
    shown = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert shown == ["data", "best fit", "missing (4)"]
    assert "stimulus" in axes[0].get_title(loc="left")
    data = axes[0].lines[0]
    assert data.get_xdata().size == recording()[0].size - len(GAPS)
    again = nmm.plot.fit(fitted, axes=plt.subplots(4)[1])
    assert len(again) == 4
    with pytest.raises(ValueError, match="`axes` must be 4 axes, but got 2"):
        nmm.plot.fit(fitted, axes=plt.subplots(2)[1])
    with pytest.raises(ValueError, match="`fitted` must be the result of `fit`"):
        nmm.plot.fit("fit")


def test_picture_of_what_was_recovered(done, unchecked):
    _, fitted = done
    axes = nmm.plot.recovery(fitted, TRUTH)
    assert len(axes) == 3 and all(each.get_ylabel() for each in axes)
    assert "η" in axes[0].get_ylabel() and "dimensionless" in axes[0].get_ylabel()
    assert [label.get_text() for label in axes[-1].get_xticklabels()] == ["η", "Δ"]
    assert np.max(axes[-1].lines[0].get_ydata()) < 1e-6
    several = nmm.plot.recovery([fitted, fitted], [TRUTH, {"eta": -4.6, "Delta": 0.7}])
    assert labelled(several)
    for truth, message in (
        ({"eta": -4.6}, "`truth` must give `Delta`"),
        (3.0, "`truth` must be a model like the fitted one"),
    ):
        with pytest.raises(ValueError, match=message):
            nmm.plot.recovery(fitted, truth)


def test_picture_of_a_fit_to_any_loss():
    fitted = nmm.fit(nmm.MPR(), free="eta", target=lambda model: (model.eta + 4.6) ** 2, starts=2, progress=False)
    axes = nmm.plot.fit(fitted)
    assert len(axes) == 2 and labelled(axes)


def test_picture_of_a_profile(unchecked):
    values = np.linspace(-1.0, 1.0, 5)
    found = nmm.results.Profile(
        "eta", 0.95, values, values**2, np.zeros((5, 1)), 0.0, 0.0, 0.5, (-0.7, np.inf), (True, False), "centre η (1)"
    )
    axes = nmm.plot.profile(found)
    assert labelled([axes]) and "−0.7 to open" in axes.get_title(loc="left") and axes.get_xlabel() == "centre η (1)"
    with pytest.raises(ValueError, match="`found` must be a `Profile`"):
        nmm.plot.profile(values)


def test_picture_of_a_posterior(unchecked):
    draws = np.random.default_rng(0).normal(size=(2, 400, 2))
    about = {"symbol": "Δ", "units": "1"}
    data = xr.Dataset(
        {"Delta": (("chain", "draw"), draws[..., 0], about), "w": (("draw", "chain", "k"), draws.swapaxes(0, 1))}
    )
    axes = nmm.plot.posterior(data, truth={"Delta": 0.0})
    assert axes.shape == (3, 3)
    assert [each.get_xlabel() for each in axes[-1]] == ["Δ (dimensionless)", "w[0]", "w[1]"]
    assert [each.get_ylabel() for each in axes[1:, 0]] == ["w[0]", "w[1]"]
    assert nmm.plot.posterior({"a": draws[0, :, 0], "b": draws[1, :, 1]}).shape == (2, 2)
    for samples, message in (
        ({"a": np.array([1.0, np.nan])}, "`samples` must be finite numbers, but got 'a'"),
        ({}, "`samples` must have at least one parameter"),
        (xr.Dataset({"a": ("draw", draws[0, :, 0])}), "dimensions chain and draw in `a`"),
        (3.0, "`samples` must be an xarray.Dataset"),
    ):
        with pytest.raises(ValueError, match=message):
            nmm.plot.posterior(samples)
    with pytest.raises(ValueError, match="`truth` must name parameters of the samples, a, but got 'b'"):
        nmm.plot.posterior({"a": draws[0, :, 0]}, truth={"b": 0.0})


@pytest.mark.slow
def test_the_whole_command_on_its_example(tmp_path):
    for arguments in (["--example"], ["fit.toml", "fit.csv"], ["fit.toml", "none.csv"]):
        found = processes.python("-m", "nmmjax", "fit", *arguments, cwd=tmp_path)
        assert "Traceback" not in found.stderr
        if arguments[-1] == "none.csv":
            assert found.returncode == 1 and re.fullmatch(r"nmmjax: .*none.csv.*\.\n", found.stderr)
        else:
            assert found.returncode == 0, found.stderr
        if arguments[-1] == "fit.csv":
            assert "16 of 16 found the best fit" in found.stdout
    best = tomllib.loads((tmp_path / "fit_best.toml").read_text(encoding="utf8"))
    low, high = best["interval"]["Delta"]
    assert low < 0.7 < high
