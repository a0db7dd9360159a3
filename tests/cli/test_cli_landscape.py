"""`nmmjax landscape bold.csv`, pictures of recordings' landscapes, models as JSON, the example recording."""

import csv
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import processes
import pytest

import nmmjax as nmm
from nmmjax.cli import recorded_landscape
from nmmjax.cli.recorded_landscape import landscape

NAMES = ("V1", "V2", "M1", "S1")
J = 0.5 * np.array([[0, 1, 0.1, 0], [1, 0, 0, 0.1], [0.1, 0, 0, 1], [0, 0.1, 1, 0]])
H = np.array([0.1, 0.0, 0.0, -0.1])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def signals(samples=800):
    """A signal per region whose sign is a sample of the model above."""
    rng = np.random.default_rng(0)
    states = np.array(np.meshgrid(*[[-1, 1]] * 4, indexing="ij")).reshape(4, -1).T
    P = np.exp(states @ H + np.sum((states @ J) * states, axis=1) / 2)
    spins = states[rng.choice(16, samples, p=P / P.sum())]
    return spins * rng.uniform(0.5, 1.5, spins.shape)


def write(path, values, names=NAMES, first=()):
    rows = [",".join("" if np.isnan(x) else f"{x:.4f}" for x in row) for row in values]
    path.write_text("\n".join([*first, ",".join(names), *rows]) + "\n", encoding="utf8")
    return path


def table(path):
    with open(path, newline="", encoding="utf8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One whole run of the command."""
    folder = tmp_path_factory.mktemp("landscape")
    path = write(folder / "bold.csv", signals())
    landscape(path, out=folder / "out", threshold="0", shuffles=25, bootstrap=20, dt=2.0)
    data = nmm.binarize(nmm.load_recording(path, dt=2.0), 0.0)
    return folder / "out", data, nmm.fit_ising(data)


def test_everything_is_written_and_nothing_is_left_behind(done):
    out, _, _ = done
    tables = {f"{name}.csv" for name in ("minima", "transitions", "saddles", "h", "J", "states")}
    pictures = {f"{name}.png" for name in ("activity", "disconnectivity", "occupancy", "transitions", "fit", "basins")}
    assert {path.name for path in out.iterdir()} == tables | pictures | {"report.md", "report.html", "model.json"}
    assert all((out / each).read_bytes().startswith(b"\x89PNG") for each in pictures)


def test_tables_agree_with_the_library(done):
    out, _, model = done
    found = model.landscape()
    minima = table(out / "minima.csv")
    assert [row["pattern"] for row in minima] == list(found.labels)
    for name, values in (("energy", found.energy), ("basin_size", found.basin_size), ("occupancy", found.occupancy),
                         ("barrier", found.depth), ("mean_dwell", [each.mean() for each in found.dwell_times])):  # fmt: skip
        np.testing.assert_allclose([float(row[name]) for row in minima], values, rtol=1e-12)
    assert minima[0]["significant"] == "True" and float(minima[0]["energy_error"]) > 0
    assert dict(zip(NAMES, found.spins[0] > 0, strict=True)) == {name: name in minima[0]["active"].split() for name in NAMES}
    moves = {(row["from"], row["to"]): int(row["direct"]) for row in table(out / "transitions.csv")}
    for a, one in enumerate(found.labels):
        for b, other in enumerate(found.labels):
            assert a == b or moves[one, other] == found.transitions[a, b]
    saddles = table(out / "saddles.csv")
    assert len(saddles) == found.energy.size * (found.energy.size - 1) // 2
    for row in saddles:
        spins = np.array([1 if bit == "1" else -1 for bit in row["saddle_pattern"]])
        np.testing.assert_allclose(float(model.energy(spins)), float(row["saddle_energy"]), rtol=1e-12)
    np.testing.assert_allclose([float(row["h"]) for row in table(out / "h.csv")], model.h, rtol=1e-12)
    np.testing.assert_allclose([[float(row[name]) for name in NAMES] for row in table(out / "J.csv")], model.J, atol=1e-12)
    states = table(out / "states.csv")
    np.testing.assert_allclose(sum(float(row["probability"]) for row in states), 1.0)
    assert sum(int(row["count"]) for row in states) == 800


def test_landscape_as_json(tmp_path, capsys):
    path = write(tmp_path / "bold.csv", signals())
    landscape(path, out=tmp_path, threshold="0", shuffles=0, figures="none", json=True)
    caught = capsys.readouterr()
    found, minima = json.loads(caught.out), table(tmp_path / "minima.csv")
    assert (found["samples"], found["regions"]) == (800, 4)
    assert [each["pattern"] for each in found["minima"]] == [row["pattern"] for row in minima]
    assert [each["energy"] for each in found["minima"]] == [float(row["energy"]) for row in minima]
    assert found["minima"][0]["significant"] is None and "see `--shuffles`" in found["unknown"]["Shuffled data"]
    assert {each["region"]: each["h"] for each in found["h"]}.keys() == set(NAMES)
    assert found["report"] == str(tmp_path / "report.md") and "Report: " in caught.err


def test_the_report_says_what_was_read_and_found(done):
    out, _, model = done
    text = (out / "report.md").read_text(encoding="utf8")
    found = model.landscape()
    assert "800 samples, 2 apart, 4 regions" in text
    assert "Regions, in the order of the patterns: V1, V2, M1, S1" in text
    assert f"Accuracy r = {model.accuracy:.6f}" in text and "50 samples per pattern" in text
    assert f"{int(found.transitions.sum())} direct transitions in 800 samples" in text
    for label, energy in zip(found.labels, found.energy, strict=True):
        assert f"`{label}`" in text and f"{energy:.4f} ± " in text
    assert "Shuffled data, 25 times" in text and "Resampled data, 20 times in blocks of 10 samples" in text
    assert "Held-out data, 5 folds" in text and "better than independent regions" in text
    assert "mean stay (unit of dt)" in text and "not tested" not in text and "not done" not in text
    assert all((out / name).exists() for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text))
    assert not re.search(r"\bnan\b|None", text)


def test_the_html_report_needs_no_other_file(done):
    import xml.etree.ElementTree as ElementTree

    out, _, _ = done
    page = (out / "report.html").read_text(encoding="utf8")
    assert page.count("data:image/png;base64,") == 6 and 'src="http' not in page
    body = page[page.index("<body>") : page.index("</html>")]
    body = re.sub(r"(<img [^>]*)>", r"\1/>", body)
    assert len(ElementTree.fromstring(body).findall(".//table")) == 5


def test_a_model_is_read_again(done, tmp_path):
    out, _, model = done
    again = nmm.ising.load_ising(out / "model.json")
    np.testing.assert_array_equal(again.h, model.h)
    np.testing.assert_array_equal(again.J, model.J)
    np.testing.assert_array_equal(again.J_error, model.J_error)
    assert again.names == NAMES and again.accuracy == model.accuracy and again.status == "converged" and again.data is None
    content = json.loads((out / "model.json").read_text(encoding="utf8"))
    assert content["accuracy"] == model.accuracy and content["threshold"] == "0" and "jax" in content["versions"]
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf" + (out / "model.json").read_bytes())
    assert nmm.ising.load_ising(tmp_path / "bom.json").names == NAMES
    by_hand = nmm.results.IsingModel(H, J)
    assert nmm.ising.load_ising(nmm.ising.save_ising(by_hand, tmp_path / "m.json")).fit is None
    assert repr(nmm.ising.load_ising(tmp_path / "m.json")) == repr(by_hand)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"The file '.*m.json' could not be read: No such file"),
        ("h = 1", r"The file '.*m.json' is not JSON"),
        ("[1, 2]", r"is not an Ising model written by `save_ising`"),
        ('{"format": "nmmjax Ising model", "names": ["a"], "h": [0]}', r"must have `J`, but has not"),
        (
            '{"format": "nmmjax Ising model", "names": ["a", "b"], "h": [0, 0], "J": [[0, 1], [2, 0]]}',
            r"`J` must be symmetric",
        ),
    ],
)
def test_files_that_are_no_models(tmp_path, unchecked, content, message):
    if content is not None:
        (tmp_path / "m.json").write_text(content, encoding="utf8")
    with pytest.raises(ValueError, match=message):
        nmm.ising.load_ising(tmp_path / "m.json")


def gap(values):
    values = values.copy()
    values[[3, 10], 1] = np.nan
    values[5, 2] = np.nan
    return values


def constant(values):
    values = values.copy()
    values[:, 2] = 1.0
    return values


WIDE = np.random.default_rng(1).normal(size=(40, 16))
WRONG = [  # (values or text, options, message)
    ("a,b\n1,2\n", {"regions": "columns"}, r"must hold at least 2 samples, but holds 1"),
    ("a,b\n1,2\n3,x\n", {}, r"line 3, column `b`: must be a number, but got 'x'"),
    ("", {}, r"is empty"),
    (signals(20), {"regions": "cols"}, r"Option `--regions` must be columns or rows, but got cols"),
    (signals(20), {"method": "newton"}, r"Option `--method` must be one of auto, exact, pseudo, sampling"),
    (signals(20), {"penalty": -1.0}, r"Option `--penalty` must be a finite number ≥ 0, but got -1"),
    (signals(20), {"bootstrap": 1}, r"Option `--bootstrap` must be 0 or an integer ≥ 2"),
    (signals(20), {"figures": "pdf"}, r"Option `--figures` must be png, svg or none"),
    (signals(20), {"threshold": "middle"}, r"Option `--threshold` must be mean, median, none or a number, but got 'middle'"),
    (signals(20), {"threshold": "none"}, r"only 0 and 1, with `--threshold none`"),
    (signals(20), {"threshold": "9"}, r"V1`.* after the threshold"),
    (signals(20), {"select": "V1,X9"}, r"Option `--select` must name regions of .*, but got 'X9'; there are V1, V2, M1, S1"),
    (signals(20), {"select": "V1"}, r"Option `--select` must name at least 2 regions, each once, but got 'V1'"),
    (signals(20), {"choose": 9}, r"Option `--choose` must be from 2 to 4, but got 9"),
    (signals(20), {"subject": "who"}, r"has no column 'who' of subjects"),
    (signals(20), {"key": "x"}, r"Option `--key` must be left out"),
    (signals(20), {"dt": -2.0}, r"Option `--dt` must be a positive number"),
    (signals(3), {}, r"has fewer rows \(3\) than columns \(4\): say `--regions rows` if each row is a region, or `--reg"),
    (signals(100), {"regions": "rows"}, r"has 100 regions and 4 samples; if it is the other way round, say `--regions col"),
    (gap(signals(20)), {}, r"has 3 missing values \(region `V2`, samples 4, 11; region `M1`, sample 6\): .*`--drop-mi"),
    (constant(signals(20)), {}, r"Region `M1` never changes"),
    (np.repeat([[1, 1, -1, -1], [-1, -1, 1, 1]], 9, axis=0), {}, r"are never .* together in the data.*`--penalty`"),
    (WIDE, {}, r"has 16 regions and 40 samples, but a landscape .* at most 15 regions: name some with `--select`, or let "
               r"`--choose 4` pick 4 \(2.5 samples per pattern\), or take all, less exactly, with `--method pseudo`"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "options", "message"), WRONG, ids=[str(k) for k in range(len(WRONG))])
def test_mistakes_are_one_sentence(tmp_path, unchecked, values, options, message):
    path = tmp_path / "bold.csv"
    if isinstance(values, str):
        path.write_text(values, encoding="utf8")
    else:
        write(path, np.asarray(values, float), NAMES if values.shape[1] == 4 else [f"R{k}" for k in range(values.shape[1])])
    with pytest.raises(ValueError, match=message) as caught:
        landscape(path, out=tmp_path / "out", **options)
    assert "\n" not in str(caught.value) and str(caught.value).endswith("."), caught.value
    assert not (tmp_path / "out").exists()


def test_the_recording_must_be_given():
    with pytest.raises(ValueError, match=r"The recording must be given: nmmjax landscape bold.csv \(or --example"):
        landscape()


def test_gaps_are_left_out_if_asked_for(tmp_path, capsys):
    """The threshold is that of the samples that remain, and no transition is counted across a gap."""
    path = write(tmp_path / "bold.csv", gap(signals(300)))
    landscape(path, out=tmp_path, drop_missing=True, shuffles=0, figures="none", quiet=True)
    assert capsys.readouterr().out == ""
    text = (tmp_path / "report.md").read_text(encoding="utf8")
    assert "3 samples with missing values were left out; 4 uninterrupted runs remain" in text
    keep = np.delete(np.arange(300), [3, 5, 10])
    values = np.loadtxt(path, delimiter=",", skiprows=1, converters=lambda x: float(x or "nan"), usecols=range(4))[keep]
    data = nmm.binarize(values, subject=np.searchsorted([3, 5, 10], keep), per_subject=False)
    found = nmm.fit_ising(data).landscape()
    assert f"{int(found.transitions.sum())} direct transitions in 297 samples" in text
    assert "not done; see `--shuffles`" in text and "no error bars; see `--bootstrap`" in text


def wide(folder):
    return write(folder / "wide.csv", WIDE + 2 * np.repeat(WIDE[:, :1], 16, axis=1), [f"R{k}" for k in range(16)])


def test_choices_and_few_samples_are_said(tmp_path, capsys):
    landscape(write(tmp_path / "b.csv", signals()), out=tmp_path / "0", choose=2, shuffles=0, figures="svg")
    assert "Choosing 2 of 4 regions" in capsys.readouterr().out
    assert "2 regions were chosen among 4 by these same data" in (tmp_path / "0" / "report.md").read_text(encoding="utf8")
    assert (tmp_path / "0" / "activity.svg").read_text(encoding="utf8").startswith("<?xml")
    path = wide(tmp_path)
    landscape(path, out=tmp_path / "a", select="1,2,3,4,5,6", penalty=0.05, shuffles=0, figures="none")
    out = capsys.readouterr().out
    assert "Warning: 40 samples for 2^6 = 64 states" in out and "`--choose`" in out
    text = (tmp_path / "a" / "report.md").read_text(encoding="utf8")
    assert "**Few data: 0.62 samples per pattern.**" in text and "too few to know how often patterns occur" in text


def test_a_global_signal_is_said(tmp_path, capsys):
    common = 30 * np.random.default_rng(2).normal(size=(800, 1))
    path = write(
        tmp_path / "b.csv", signals() + common, ("1001", "1002", "1003", "1004"), ["\ufeff# with a byte-order mark"]
    )
    options = {"penalty": 0.01, "shuffles": 0, "figures": "none"}
    landscape(path, out=tmp_path / "a", **options)
    text, said = (tmp_path / "a" / "report.md").read_text(encoding="utf8"), capsys.readouterr().out
    for each in (text, said):
        assert re.search(
            r"In 9.* % of the samples all 4 regions are active or none is: a global signal .*`--global-signal reg", each
        )
    assert "Line 2 was read as names, 1001, 1002, 1003, 1004; `--no-header` reads it as a sample." in text
    landscape(path, out=tmp_path / "b", global_signal="regress", **options)
    text, said = (tmp_path / "b" / "report.md").read_text(encoding="utf8"), capsys.readouterr().out
    assert "a global signal" not in text + said and "Threshold: mean, global signal regressed out" in text


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("0,1\n1,0\n1,1\n0,0\n0,1\n", {}, "may be names or a sample: say `--header` or `--no-header`"),
        (",a,b\n3,1,2\n1,2,1\n2,2,2\n1,1,1\n", {}, "may be an index or a region: say `--index` or `--no-index`"),
        ("t,a,b\n0,1,2\n1,2,1\n5,2,2\n6,1,1\n", {}, "say `--time 't'` for times, `--time none` for a region"),
        ("t,a,b\n0,1,2\n1,2,1\n5,2,2\n6,1,1\n", {"time": "x"}, "has no column 'x' of times; it has t, a, b"),
        ("a,b\n0,1\n1,2\n", {"global_signal": "no"}, 'Option `--global-signal` must be "keep" or "regress"'),
    ],
)
def test_tables_that_may_be_read_in_two_ways(tmp_path, unchecked, content, options, message):
    (tmp_path / "b.csv").write_text(content, encoding="utf8")
    with pytest.raises(ValueError, match=message):
        landscape(tmp_path / "b.csv", out=tmp_path / "out", **options)


@pytest.mark.slow
def test_many_regions_by_pseudo_likelihood(tmp_path):
    landscape(wide(tmp_path), out=tmp_path / "b", method="pseudo", penalty=0.05, quiet=True)
    text = (tmp_path / "b" / "report.md").read_text(encoding="utf8")
    assert "Method: pseudo, penalty 0.05" in text and "Held-out data: for at most 15 regions only" in text
    assert len(table(tmp_path / "b" / "states.csv")) <= 40


def test_interrupted_shuffles_are_kept(tmp_path, monkeypatch, capsys):
    path, calls, real = write(tmp_path / "bold.csv", signals()), [], recorded_landscape.shuffle_test

    def interrupted(model, key, *, count):
        calls.append(count)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(model, key, count=count)

    monkeypatch.setattr(recorded_landscape, "shuffle_test", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"what was found until then is in .*report.md"):
        landscape(path, out=tmp_path / "out", shuffles=60, bootstrap=20, figures="none", quiet=True)
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf8")
    assert "Shuffled data, 20 times" in text and "interrupted after 20 of 60" in text
    assert "Resampled data: not done yet" in text and "Held-out data, 5 folds" in text
    assert {row["significant"] for row in table(tmp_path / "out" / "minima.csv")} <= {"True", "False"}


def test_subjects_and_time_columns(tmp_path):
    values = signals(200)
    rows = [f"{2 * (k % 100)},s{k // 100}," + ",".join(f"{x:.3f}" for x in row) for k, row in enumerate(values)]
    (tmp_path / "two.csv").write_text("\n".join(["t,who," + ",".join(NAMES), *rows]) + "\n", encoding="utf8")
    landscape(tmp_path / "two.csv", out=tmp_path, subject="who", select="1,2,S1", shuffles=0, figures="none", quiet=True)
    text = (tmp_path / "report.md").read_text(encoding="utf8")
    assert "Subjects: 2" in text and "mean of each subject" in text and "200 samples, 2 apart" in text
    assert "order of the patterns: V1, V2, S1" in text and "Column `t` was read as time" in text
    assert "Held-out data, 2 folds" in text


def test_the_example_recovers_its_model(tmp_path, capsys):
    landscape(out=tmp_path, example=True)
    assert "Now: nmmjax landscape" in capsys.readouterr().out
    recording = nmm.load_recording(tmp_path / "recording.csv")
    assert recording.dt == 2.0 and recording.names == ("A1", "A2", "A3", "A4", "B1", "B2", "B3", "B4")
    model = nmm.fit_ising(nmm.binarize(recording, 0.0))
    group = np.arange(8) // 4
    truth = np.where(group[:, None] == group, 0.3, 0.05) * (1 - np.eye(8))
    assert np.abs(np.asarray(model.J) - truth).max() < 0.12
    assert set(model.landscape().labels) >= {"00000000", "11111111"}


def test_the_example_recording():
    script = "import sys, nmmjax; nmmjax.example_recording(); print('nitime' in sys.modules)"
    found = processes.python("-W", "error", "-c", script)
    assert found.stdout == "False\n", found.stderr
    recording = nmm.example_recording()
    assert recording.values.shape == (250, 28) and recording.dt == 1.89 and "LPCC" in recording.names
    assert "WM" not in recording.names and np.isfinite(recording.values).all()


def test_the_example_recording_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"`nitime` is not installed; it comes with `pip install nmmjax\[data\]`"):
        nmm.example_recording()


def labelled(axes):
    plt.gcf().canvas.draw()
    for each in np.ravel(axes):
        shared = each.get_shared_x_axes().get_siblings(each)
        assert any(other.get_xlabel() for other in shared) and each.get_ylabel(), each
    return np.ravel(axes)


def test_pictures_are_labelled(done):
    _, data, model = done
    found = model.landscape()
    tree = labelled(nmm.plot.disconnectivity(found))[0]
    assert {each.get_text() for each in tree.get_xticklabels()} == set(found.labels)
    share, grid = labelled(nmm.plot.activity(found))
    heights = [bar.get_height() for bar in share.patches]
    np.testing.assert_allclose(heights, [*found.occupancy, *found.basin_fraction])
    assert [each.get_text() for each in grid.get_yticklabels()] == list(NAMES)
    shares, stays = labelled(nmm.plot.occupancy(found, model))
    P = np.bincount(found.basin, np.asarray(model.probabilities()))
    np.testing.assert_allclose([bar.get_height() for bar in shares.patches], [*found.occupancy, *P])
    assert stays.get_ylabel() == "dwell time (unit of dt)"
    graph = labelled(nmm.plot.transition_graph(found))[0]
    texts = {each.get_text() for each in graph.texts}
    assert f"{100 * found.rates.max():.2g}" in texts and f"{found.labels[0]}\n{100 * found.occupancy[0]:.1f} %" in texts
    basins = labelled(nmm.plot.basin_graph(model))[0]
    assert {each.get_text() for each in basins.texts} == set(found.labels)
    assert len(labelled(nmm.plot.ising(model))) == 4
    by_hand = nmm.results.IsingModel(H, J)
    assert len(labelled(nmm.plot.ising(by_hand))) == 2 and len(labelled(nmm.plot.ising(by_hand, data))) == 4
    labelled(nmm.plot.activity(by_hand.landscape()))
    assert nmm.plot.landscape(found).get_ylabel() == "energy (dimensionless)"


def test_pictures_of_many_minima_and_regions(key):
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(size=(22, 22)), 1)
    model = nmm.results.IsingModel(np.zeros(22), J + J.T)
    found = model.landscape(np.where(rng.random((300, 22)) < 0.5, 1, -1))
    assert found.energy.size > 12
    for axes in (nmm.plot.activity(found, most=8), nmm.plot.transition_graph(found, most=6), nmm.plot.ising(model)):
        labelled(axes)
    labelled(nmm.plot.occupancy(found))
    assert "6 most visited of" in nmm.plot.transition_graph(found, most=6).get_xlabel()


def test_pictures_refuse_what_they_cannot_draw(done, unchecked):
    _, _, model = done
    for draw, message in (
        (lambda: nmm.plot.activity(model), r"`found` must be an `IsingLandscape`, but got 'IsingModel'"),
        (lambda: nmm.plot.occupancy(nmm.results.IsingModel(H, J).landscape()), r"`found` must have data to wander in it"),
        (
            lambda: nmm.plot.transition_graph(nmm.results.IsingModel(H, J).landscape()),
            r"`found` must have data to wander in it",
        ),
        (
            lambda: nmm.plot.basin_graph(nmm.results.IsingModel(np.zeros(9), np.zeros((9, 9)))),
            r"`model` must have at most 8 regions",
        ),
        (lambda: nmm.plot.ising(model, np.ones((3, 2)) * [[1], [-1], [1]]), r"`data` must have 4 regions"),
    ):
        with pytest.raises(ValueError, match=message):
            draw()


@pytest.mark.slow
def test_the_command_in_a_shell(tmp_path):
    write(tmp_path / "bold.csv", signals())
    for arguments, code in ((["bold.csv", "--shuffles", "20"], 0), (["none.csv"], 1)):
        found = processes.python("-m", "nmmjax", "landscape", *arguments, cwd=tmp_path)
        assert found.returncode == code and "Traceback" not in found.stderr
    assert found.stderr == "nmmjax: There is no file 'none.csv'.\n"
    assert "nmmjax landscape bold.csv --shuffles 20" in (tmp_path / "results" / "report.md").read_text(encoding="utf8")
