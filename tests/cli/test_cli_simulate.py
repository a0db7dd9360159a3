"""`nmmjax simulate config.toml`: what it writes, every model, stimulus and noise, and one sentence for every mistake."""

import inspect
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import nmmjax as nmm
from nmmjax.cli import objects, simulating
from nmmjax.cli.configuration import Document
from nmmjax.cli.simulating import simulate

CONFIG = """\
t1 = 5.0
points = 11
rtol = 1e-6
seed = 1

[model]
eta = -5.0
Delta = 1.0

[y0]
r = 0.1
v = -2.0

[stimulus]
kind = "Pulse"
amplitude = 3.0
start = 1.0
stop = 2.0
"""
NOISY = '\n[noise]\nkind = "WhiteNoise"\nintensity = 0.1\n'


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def written(tmp_path, text=CONFIG):
    (tmp_path / "config.toml").write_text(text, encoding="utf8")
    return tmp_path / "config.toml"


def call_of(tmp_path, text):
    document = Document(written(tmp_path, text))
    return simulating._call(document, document.values)


def model_of(tmp_path, text):
    return objects.build_model(Document(written(tmp_path, text)))


def test_a_run_is_written_and_drawn(tmp_path, capsys):
    simulate(written(tmp_path), out=tmp_path / "results", json=True)
    caught = capsys.readouterr()
    pulse = nmm.Pulse(3.0, 1.0, 2.0)
    run = nmm.simulate(nmm.MPR(), {"r": 0.1, "v": -2.0}, np.linspace(0, 5, 11), stimulus=pulse, rtol=1e-6)
    with xr.open_dataset(tmp_path / "results" / "config.nc", engine="h5netcdf") as data:
        np.testing.assert_allclose(data["r"], run.ys.r, rtol=1e-12)
        assert data.attrs["eta"] == -5.0 and "Pulse" in data.attrs["stimulus"]
    assert (tmp_path / "results" / "config.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads(caught.out)
    assert (found["result"], found["times"], found["reached"]) == ("successful", 11, 11)
    assert found["written"] == [str(tmp_path / "results" / name) for name in ("config.nc", "config.png")]
    assert "result    successful" in caught.err


def test_vector_graphics_or_no_picture(tmp_path):
    simulate(written(tmp_path, 'figure = "run.svg"\n' + CONFIG), out=tmp_path)
    assert "<svg" in (tmp_path / "run.svg").read_text()
    simulate(written(tmp_path, "figure = false\n" + CONFIG), out=tmp_path / "bare")
    assert [path.name for path in (tmp_path / "bare").iterdir()] == ["config.nc"]


def test_a_run_that_fails_is_written_and_told(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        simulate(written(tmp_path, "max_steps = 3\nfigure = false\n" + CONFIG), out=tmp_path)
    assert ended.value.code == 1
    caught = capsys.readouterr()
    assert caught.err.startswith("nmmjax: The maximum number of")
    with xr.open_dataset(tmp_path / "config.nc", engine="h5netcdf") as data:
        assert data.attrs["result"].startswith("The maximum number of")
        assert np.isnan(data["r"][-1]) and np.isfinite(data["r"][0])


def test_an_example_to_begin_with(tmp_path, capsys):
    simulate(out=tmp_path / "new", example=True)
    assert "Now: nmmjax simulate" in capsys.readouterr().out
    text = (tmp_path / "new" / "simulate.toml").read_text()
    assert repr(model_of(tmp_path, text)) == repr(nmm.MPR())
    random = text.replace("# [noise]", "[noise]").replace("# kind", "kind").replace("# intensity", "intensity")
    assert repr(call_of(tmp_path, "seed = 0\n" + random)["noise"]) == "WhiteNoise(intensity=0.1, shared=False)".replace(
        ", shared=False", ""
    )


def test_neurons_beside_the_mean_field(tmp_path, capsys):
    text = "neurons = 200\n" + CONFIG.replace("rtol = 1e-6\n", "").replace("seed = 1\n", "")
    simulate(written(tmp_path, text), out=tmp_path, json=True)
    caught = capsys.readouterr()
    found = json.loads(caught.out)
    assert [Path(each).name for each in found["written"]] == ["config.nc", "config_neurons.nc", "config.png"]
    assert "200 neurons" in found["verdict"][0] and found["neurons"][0]["result"] == "successful"
    with xr.open_dataset(tmp_path / "config_neurons.nc", engine="h5netcdf") as data:
        neurons = nmm.QIFNetwork(nmm.MPR(), 200)
        run = nmm.simulate(neurons, {"r": 0.1, "v": -2.0}, np.linspace(0, 5, 11), stimulus=nmm.Pulse(3.0, 1.0, 2.0))
        np.testing.assert_allclose(data["r"], run.ys.r, rtol=1e-9)


def test_neurons_with_noise_of_their_own(tmp_path):
    """Alone, since no mean field is exact, or beside the closure of theirs."""
    text = "neurons = 50\nfigure = false\n" + CONFIG.replace("rtol = 1e-6\n", "")
    simulate(written(tmp_path, text + '[noise]\nkind = "GaussianNoise"\nintensity = 0.1\n'), out=tmp_path / "alone")
    assert [path.name for path in (tmp_path / "alone").iterdir()] == ["config_neurons.nc"]
    closed = text.replace("[model]\n", '[model]\nname = "PseudoCumulants"\nintensity = 0.1\n[model.population]\n')
    simulate(written(tmp_path, closed), out=tmp_path / "both")
    with xr.open_dataset(tmp_path / "both" / "config_neurons.nc", engine="h5netcdf") as data:
        assert "GaussianNoise(intensity=0.1)" in data.attrs["noise"]
    with xr.open_dataset(tmp_path / "both" / "config.nc", engine="h5netcdf") as data:
        assert "q2" in data


CIRCUITS = {
    "mutual_inhibition": nmm.mutual_inhibition,
    "ing": nmm.ing,
    "ping": nmm.ping,
    "dumont_gutkin": nmm.dumont_gutkin,
    "coombes_byrne": nmm.coombes_byrne,
    "byrne": nmm.byrne,
    "izhikevich": nmm.izhikevich,
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuits_have_names(tmp_path, name):
    assert repr(model_of(tmp_path, f'[model]\nname = "{name}"\n')) == repr(CIRCUITS[name]())


def test_every_model_of_the_package_has_a_name():
    """What makes models, of what the package exports."""
    known = {*objects._MODELS, *objects._CLOSURES, *objects._CIRCUITS}
    made = {name for name, each in vars(nmm).items() if inspect.isclass(each) and issubclass(each, nmm.extend.AbstractModel)}
    assert {name for name in made if not inspect.isabstract(getattr(nmm, name))} - known <= {"Network", "QIFNetwork"}
    kinds = {"_STIMULI": nmm.models.stimulus.AbstractStimulus, "_NOISES": nmm.models.noise.AbstractNoise}
    for table, kind in kinds.items():
        classes = {name for name, each in vars(nmm).items() if inspect.isclass(each) and issubclass(each, kind)}
        assert classes - set(getattr(objects, table)) == set()


MODELS = {
    '[model]\nname = "ing"\nJ = -20.0\nkernel = "alpha"\n': lambda: nmm.ing(J=-20.0, kernel="alpha"),
    '[model]\nname = "mutual_inhibition"\nsize = 3\n': lambda: nmm.mutual_inhibition(size=3),
    '[model]\nname = "byrne"\neta = [9.0, 1.0]\n': lambda: nmm.byrne(eta=(9.0, 1.0)),
    '[model]\nname = "PseudoCumulants"\nintensity = 0.1\n[model.population]\neta = -4.0\n': lambda: nmm.PseudoCumulants(
        nmm.MPR(eta=-4.0), 0.1
    ),
    '[model]\neta = -4.0\n[model.synapse]\nkind = "ExponentialSynapse"\ntau = 0.2\n': lambda: nmm.MPR(
        eta=-4.0, synapse=nmm.ExponentialSynapse(0.2)
    ),
}


@pytest.mark.parametrize("text", MODELS)
def test_models_have_their_parameters(tmp_path, text):
    assert repr(model_of(tmp_path, text)) == repr(MODELS[text]())


def test_pairs_with_synapses_and_networks(tmp_path):
    pair = """
[model]
name = "excitatory_inhibitory"
eta = [1.0, -1.0]
J_ee = 5.0
J_ei = -4.0
J_ie = 3.0
J_ii = 0.0
[model.synapse]
kind = "ExponentialSynapse"
tau = 0.5
"""
    made = nmm.excitatory_inhibitory(
        eta=(1.0, -1.0), J_ee=5.0, J_ei=-4.0, J_ie=3.0, J_ii=0.0, synapse=nmm.ExponentialSynapse(0.5)
    )
    assert repr(model_of(tmp_path, pair)) == repr(made)
    network = (
        '[network]\nweights = [[0.0, 1.0], [0.5, 0.0]]\ngain = 2.0\nnames = ["a", "b"]\nper_node = {eta = [-5.0, -4.0]}\n'
    )
    text = CONFIG.replace("r = 0.1\nv", "r = [0.1, 0.2]\nv").replace('kind = "Pulse"', 'kind = "Pulse"') + network
    call = call_of(tmp_path, text)
    assert call["model"].labels.tolist() == ["a", "b"] and call["y0"].r.tolist() == [0.1, 0.2]
    simulate(written(tmp_path, "figure = false\n" + text), out=tmp_path)
    with xr.open_dataset(tmp_path / "config.nc", engine="h5netcdf") as data:
        assert data["r"].shape == (11, 2)


NOISES = {
    "noise = 0.1": "WhiteNoise(intensity=0.1)",
    'noise = {kind = "WhiteNoise", intensity = 0.1, shared = true}': "WhiteNoise(intensity=0.1, shared=True)",
    'noise = {kind = "OrnsteinUhlenbeck", intensity = 0.1, correlation_time = 2.0}': (
        "OrnsteinUhlenbeck(intensity=0.1, correlation_time=2)"
    ),
    'noise = {kind = "CauchyNoise", width = 0.1}': "CauchyNoise(width=0.1)",
    'noise = {kind = "ShotNoise", size = 1000, noise = {kind = "CauchyNoise", width = 0.1}, near = {r = 0.08, v = -2.0}}': (
        "ShotNoise(1000, CauchyNoise(width=0.1))"
    ),
}


@pytest.mark.parametrize("text", NOISES)
def test_noise(tmp_path, text):
    call = call_of(tmp_path, f"{text}\n{CONFIG}".replace("rtol = 1e-6\n", ""))
    assert repr(call["noise"]) == NOISES[text]
    assert ("key" in call) == ("Cauchy" not in text or "Shot" in text)


MISTAKES = [  # (what stands in the file, what is written instead, the message)
    ("t1 = 5.0", "t1 = 'late'", r"line 1: key `t1` must be a number, but got 'late'"),
    ("t1 = 5.0", "t1 = -1.0", r"line 1: key `t1` must be later than t0 \(0\), but got -1.0"),
    ("t1 = 5.0", "t2 = 5.0", r"line 1: key `t2` is unknown; it must be one of t0, t1, points, neurons, solver"),
    ("t1 = 5.0", "", r"config.toml: key `t1` must be given"),
    ("points = 11", "points = 1", r"line 2: key `points` must be an integer ≥ 2, but got 1"),
    ("rtol = 1e-6", "rtol = 0.0", r"line 3: Argument `rtol` must be > 0 and < 1, but got 0"),
    ("rtol = 1e-6", "neurons = 0", r"line 3: key `neurons` must be an integer ≥ 1, but got 0"),
    ("points = 11", "neurons = 10", r"line 3: key `rtol` must be left out with `neurons`, but got 1e-06"),
    ("rtol = 1e-6", "neurons = 10\nnoise = 0.1\nmax_steps = 9", r"line 5: key `max_steps` must be left out with `neurons`"),
    ("rtol = 1e-6", "max_steps = 0", r"line 3: key `max_steps` must be an integer ≥ 1, but got 0"),
    ("rtol = 1e-6", "solver = 'Tsit6'", r"line 3: key `solver` must be MobiusSplitting, .*, but got 'Tsit6'"),
    ("rtol = 1e-6", "figure = 'map'", r"line 3: key `figure` must be false or the name of a file that ends in .png"),
    ("rtol = 1e-6", "precision = 'half'", r"line 3: key `precision` must be one of float32, float64, but got 'half'"),
    ("Delta = 1.0", "Delta = -1.0", r"line 8: Argument `Delta` must be ≥ 0, but got -1"),
    ("Delta = 1.0", "name = 'ping'", r"line 7: key `model.eta` is unknown; it must be one of name, I_e, J_ei, J_ie"),
    ("eta = -5.0\nDelta = 1.0", "name = 'ing'\nJ = 1.0", r"line 6: Argument `J` must be"),
    ("eta = -5.0\nDelta = 1.0", "name = 'PseudoCumulants'\nintensity = 0.1", r"key `model.population` must be given"),
    ("r = 0.1", "r = 0.0", r"line 10: Argument `r` must be > 0, but got 0"),
    ("r = 0.1", "r = [0.1, 0.2]", r"line 10: Argument `v` must have the shape of `r`"),
    ("stop = 2.0\n", "stop = 2.0\n[noise]\nkind = 'Pink'", r"line 20: key `noise.kind` must be one of WhiteNoise, Orn"),
    ("stop = 2.0\n", "stop = 2.0\n[noise]\nkind = 'WhiteNoise'", r"line 19: key `noise.intensity` must be given"),
    (
        "stop = 2.0\n",
        "stop = 2.0\n[noise]\nkind = 'WhiteNoise'\nintensity = -1",
        r"line 19: Argument `intensity` must be ≥ 0",
    ),
    (
        "stop = 2.0\n",
        "stop = 2.0\n[noise]\nkind = 'GaussianNoise'\nintensity = 1",
        r"line 19: Argument `noise` must be other",
    ),
    ("stop = 2.0\n", "stop = 2.0\n[noise]\nkind = 'ShotNoise'\nsize = 0", r"line 19: Argument `size` must be"),
    ("rtol = 1e-6", "neurons = 10\nnoise = {kind = 'ShotNoise', size = 9}", r"config.toml: Argument `noise` must be"),
    ("stop = 2.0\n", "stop = 2.0\n[network]\nweights = [[1.0]]\nper_node = {x = [1.0]}", r"line 21: Argument .*x"),
    ("stop = 2.0\n", "stop = 2.0\n" + NOISY, r"config.toml: Argument `rtol` must not be given with `noise`"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), MISTAKES, ids=[f"{k}" for k in range(len(MISTAKES))])
def test_mistakes_are_one_sentence_with_file_and_line(tmp_path, right, wrong, message, unchecked):
    assert right in CONFIG
    with pytest.raises(ValueError, match=message) as caught:
        simulate(written(tmp_path, CONFIG.replace(right, wrong)), out=tmp_path / "out")
    text = str(caught.value)
    assert str(tmp_path / "config.toml") in text and "\n" not in text and text.endswith(".")
    assert not list(tmp_path.glob("out/*"))


def test_noise_needs_a_seed_and_the_command_a_file(tmp_path):
    with pytest.raises(ValueError, match="key `seed` must be given"):
        call_of(tmp_path, CONFIG.replace("seed = 1\n", "") + NOISY)
    with pytest.raises(ValueError, match="The TOML file must be given"):
        simulate()
