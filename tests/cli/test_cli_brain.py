"""`nmmjax brain config.toml`: what it writes and finds, connectomes in files of other commands, and mistakes in the file."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import nmmjax as nmm
from nmmjax.cli.brains import brain
from nmmjax.cli.simulating import simulate

WEIGHTS = np.array([[0.0, 0.7, 0.3], [0.5, 0.0, 0.5], [0.2, 0.8, 0.0]])
LABELS = ("V1", "MT", "IT")
CONFIG = """\
score = "difference"

[connectome]
file = "weights.csv"

[population]
eta = -5.0
J = 15.0
tau = 10.0

[recording]
fc = "fc.csv"

[over]
gain = {start = 4.0, stop = 12.0, num = 5}
noise = [0.001, 0.01]
"""
SIMULATED = CONFIG.replace(
    'score = "difference"', 'score = "difference"\nmethod = "simulate"\nt1 = 4000.0\nseed = 0\nstore = "runs"'
)
SIMULATED += "\n[bold]\nTR = 200.0\nseconds = 0.01\n"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def table(values, labels=LABELS):
    return "\n".join([",".join(labels), *(",".join(f"{each:.17g}" for each in row) for row in np.asarray(values))]) + "\n"


@pytest.fixture
def folder(tmp_path):
    """A connectome, and the connectivity that it has at a gain of 8, its regions in another order."""
    network = nmm.Network(nmm.MPR(eta=-5.0, J=15.0, tau=10.0), WEIGHTS, gain=8.0)
    order = [2, 0, 1]
    fc = np.asarray(nmm.linear_response(network).fc())[np.ix_(order, order)]
    (tmp_path / "weights.csv").write_text(table(WEIGHTS), encoding="utf8")
    (tmp_path / "fc.csv").write_text(table(fc, [LABELS[k] for k in order]), encoding="utf8")
    (tmp_path / "brain.toml").write_text(CONFIG, encoding="utf8")
    return tmp_path


def test_the_best_gain_is_that_of_the_recording(folder, capsys):
    brain(folder / "brain.toml", out=folder / "out", json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["best"] == {"gain": 8.0} and printed["correlation"] == pytest.approx(1.0, abs=1e-9)
    assert [name.rsplit("/")[-1] for name in printed["written"]] == ["brain.nc", "brain.png", "brain.md", "brain.html"]
    with xr.open_dataset(folder / "out" / "brain.nc", engine="h5netcdf") as data:
        assert data["correlation"].dims == ("gain",) and data["relative"].dims == ("gain", "noise")
        assert data["difference"].values[2] < 1e-12 and np.all(data["difference"].values[[0, 1, 3, 4]] > 1e-4)
        assert np.allclose(data["fc"], data["recorded"]) and data["node"].values.tolist() == list(LABELS)
        ratio = data["relative"].values[:, 1] / data["relative"].values[:, 0]
        assert np.allclose(ratio, np.sqrt(10.0))
    report = (folder / "out" / "brain.md").read_text(encoding="utf8")
    assert "At **gain = 8** the model's functional connectivity" in report and "| 8 | 1.0000 | " in report
    assert "Connectome: 3 regions (V1, MT, IT)" in report and "noise: 2 values from 0.001 to 0.01" in report


def test_recordings_are_time_series_too_and_ends_are_told(folder, capsys):
    series = np.random.default_rng(0).normal(size=(40, 3))
    (folder / "bold.csv").write_text(table(series), encoding="utf8")
    text = (
        CONFIG.replace('fc = "fc.csv"', 'file = "bold.csv"')
        .replace('"difference"', '"correlation"')
        .replace("noise =", "# noise =")
    )
    (folder / "brain.toml").write_text(text + "[bold]\nTR = 2000.0\n", encoding="utf8")
    brain(folder / "brain.toml", out=folder)
    report = (folder / "brain.md").read_text(encoding="utf8")
    assert "Best: gain = " in capsys.readouterr().out and "correlations of BOLD(TR=2000" in report
    assert "try beyond it" in report or "hardly depends" in report or "| 8 |" in report
    assert "40 samples of 3 regions" in report


@pytest.mark.slow
def test_runs_are_folded_and_resume(folder, capsys):
    (folder / "brain.toml").write_text(SIMULATED, encoding="utf8")
    brain(folder / "brain.toml", out=folder)
    with xr.open_dataset(folder / "brain.nc", engine="h5netcdf") as data:
        assert data["correlation"].dims == ("gain", "noise") and (data["status"].values == 0).all()
        first = data["correlation"].values
    brain(folder / "brain.toml", out=folder)
    with xr.open_dataset(folder / "brain.nc", engine="h5netcdf") as data:
        assert np.array_equal(data["correlation"].values, first)
    assert "All runs were successful." in (folder / "brain.md").read_text(encoding="utf8")


def test_other_commands_read_connectomes(folder, capsys):
    text = "t1 = 1.0\npoints = 5\nfigure = false\n[connectome]\nfile = 'weights.csv'\nnormalize = 'max'\nsymmetrize = true\n"
    text += "[network]\ngain = 2.0\nper_node = {eta = [-5.0, -4.0, -5.0]}\n[y0]\nr = 0.1\nv = -2.0\n"
    (folder / "run.toml").write_text(text, encoding="utf8")
    simulate(folder / "run.toml", out=folder)
    with xr.open_dataset(folder / "run.nc", engine="h5netcdf") as data:
        assert data["r"].sizes["node"] == 3 and data["node"].values.tolist() == list(LABELS)


def test_the_example_runs(tmp_path, capsys):
    brain(out=tmp_path, example=True)
    brain(tmp_path / "brain.toml", out=tmp_path)
    assert "Best: gain = " in capsys.readouterr().out


BAD = [
    ('fc = "fc.csv"', "", "brain.toml, line 11: key `recording` must have `file`, time series, or `fc`, correlations"),
    ('fc = "fc.csv"', 'fc = "weights.csv"', "brain.toml, line 11: Argument `fc` must be symmetric"),
    ('file = "weights.csv"', 'file = "none.csv"', "brain.toml, line 3: There is no file or folder"),
    ("gain = {", "gian = {", "brain.toml, line 15: Argument `free` must name parameters of the model"),
    ("[0.001, 0.01]", "[0.0, 0.01]", "brain.toml, line 16: key `over.noise` must be > 0"),
    ('score = "difference"', 'score = "best"', "brain.toml, line 1: key `score` must be one of correlation, difference"),
    ('score = "difference"', "t1 = 3.0", 'brain.toml, line 1: key `t1` must be left out with method "linear"'),
    ('score = "difference"', 'method = "simulate"', "key `t1` must be given"),
    ("[population]", "[bold]\nTR = -1.0\n[population]", "brain.toml, line 6: Argument `TR` must be a finite time > 0"),
    ("[population]", "[network]\nspeed = 3.0\n[population]", "brain.toml, line 6: Argument `speed` must"),
    ("gain = {", "speed = [1.0, 2.0]\ngain = {", "brain.toml: Argument `speed` must be None unless the weights are a"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[message[-40:] for *_, message in BAD])
def test_mistakes_are_one_sentence_with_file_and_line(folder, old, new, message):
    assert old in CONFIG
    (folder / "brain.toml").write_text(CONFIG.replace(old, new), encoding="utf8")
    with pytest.raises(ValueError) as error:
        brain(folder / "brain.toml", out=folder)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_recording_of_other_regions_is_refused(folder):
    (folder / "fc.csv").write_text(table(np.eye(3), ("V1", "MT", "V4")), encoding="utf8")
    with pytest.raises(ValueError, match="must have the regions of the network, but got V4, not among the network's nodes"):
        brain(folder / "brain.toml", out=folder)
