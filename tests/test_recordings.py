"""Recordings: files of every kind, and what is said about those that can't be read."""

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import nmmjax as nmm

RNG = np.random.default_rng(0)
TABLE = np.round(RNG.normal(size=(12, 3)), 6)


def text(rows, separator, decimal="."):
    return "\n".join(separator.join(f"{x:.6f}".replace(".", decimal) for x in row) for row in rows) + "\n"


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(
    ("name", "separator", "decimal"),
    [("a.csv", ",", "."), ("a.csv", ";", ","), ("a.csv", ";", "."), ("a.tsv", "\t", "."), ("a.tsv", "\t", ","),
     ("a.txt", " ", "."), ("a.txt", "   ", ".")],
)  # fmt: skip
def test_text_with_every_separator(tmp_path, name, separator, decimal, header):
    names = ("V1", "V2", "M1")
    head = "# made by hand\n\n" + (separator.join(names) + "\n" if header else "")
    (tmp_path / name).write_text(head + text(TABLE, separator, decimal) + "\n# the end\n")
    found = nmm.load_recording(tmp_path / name)
    np.testing.assert_array_equal(found.values, TABLE)
    assert found.names == (names if header else ("R1", "R2", "R3"))
    assert found.source.endswith(name) and found.subject is None and found.dt is None
    assert "12 samples of 3 regions" in repr(found)


def test_arrays_and_matlab(tmp_path):
    labels = np.repeat([4, 7], 6)
    np.save(tmp_path / "a.npy", TABLE.astype(np.float32))
    np.savez(tmp_path / "one.npz", bold=TABLE)
    np.savez(tmp_path / "two.npz", bold=TABLE, other=TABLE[:, :2], subject=labels)
    scipy.io.savemat(tmp_path / "a.mat", {"bold": TABLE, "subject": labels})
    np.testing.assert_allclose(nmm.load_recording(tmp_path / "a.npy", dt=2).values, TABLE, rtol=1e-6)
    assert nmm.load_recording(tmp_path / "a.npy", dt=2).dt == 2.0
    np.testing.assert_array_equal(nmm.load_recording(tmp_path / "one.npz").values, TABLE)
    for path, key in (("two.npz", "bold"), ("a.mat", None)):
        found = nmm.load_recording(tmp_path / path, key=key, names=["a", "b", "c"])
        np.testing.assert_array_equal(found.values, TABLE)
        np.testing.assert_array_equal(found.subject, labels)
        assert found.names == ("a", "b", "c")
    with pytest.raises(ValueError, match=r"must hold one array, or `key=` say which; it has 'bold' .*'other'"):
        nmm.load_recording(tmp_path / "two.npz")
    with pytest.raises(ValueError, match="has no array 'x'; it has 'bold'"):
        nmm.load_recording(tmp_path / "a.mat", key="x")


def test_orientation_is_never_guessed(tmp_path):
    np.savetxt(tmp_path / "wide.tsv", TABLE.T, delimiter="\t")
    np.save(tmp_path / "wide.npy", TABLE.T)
    for name in ("wide.tsv", "wide.npy"):
        with pytest.raises(ValueError, match=r"fewer rows \(3\) than columns \(12\): say `regions=\"rows\"`"):
            nmm.load_recording(tmp_path / name)
        np.testing.assert_allclose(nmm.load_recording(tmp_path / name, regions="rows").values, TABLE)
        assert nmm.load_recording(tmp_path / name, regions="columns").values.shape == (3, 12)
    named = "".join(f"{name},{row}\n" for name, row in zip("abc", text(TABLE.T, ",").splitlines(), strict=True))
    (tmp_path / "named.csv").write_text("region," + ",".join(f"t{k}" for k in range(12)) + "\n" + named)
    found = nmm.load_recording(tmp_path / "named.csv", regions="rows")
    assert found.names == ("a", "b", "c")
    np.testing.assert_array_equal(found.values, TABLE)


def test_columns_that_are_no_regions(tmp_path):
    rows = [f"{k},{'ab'[k // 6]},{0.5 * (k % 6)},{x},{y}" for k, (x, y) in enumerate(TABLE[:, :2])]
    (tmp_path / "a.csv").write_text(",Subject,t (s),V1,V2\n" + "\n".join(rows) + "\n")
    found = nmm.load_recording(tmp_path / "a.csv")
    assert found.names == ("V1", "V2") and found.dt == 0.5 and len(found.notes) == 2
    np.testing.assert_array_equal(found.subject, np.repeat([0, 1], 6))
    np.testing.assert_array_equal(found.values, TABLE[:, :2])
    with pytest.raises(ValueError, match="has no column 'who' of subjects; it has"):
        nmm.load_recording(tmp_path / "a.csv", subject="who")
    given_labels = nmm.load_recording(tmp_path / "a.csv", subject=np.arange(12) // 4)
    np.testing.assert_array_equal(given_labels.subject, np.arange(12) // 4)


def test_gaps_are_nan_and_named_when_binarized(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n,3\n2,nan\n0,1\n")
    found = nmm.load_recording(tmp_path / "a.csv")
    assert np.isnan(found.values[1, 0]) and np.isnan(found.values[2, 1])
    with pytest.raises(ValueError, match="nan in region `a` at time index 1 and 1 more"):
        nmm.binarize(found)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "a,b\n1,2\n3,x\n", r"a\.csv', line 3, column `b`: must be a number, but got 'x'"),
        ("a.csv", "1,2\n3,x\n", r"line 2, column 2: must be a number, but got 'x'"),
        ("a.csv", "1,x\n3,4\n", r"line 1, column 2: must be a number, but got 'x'"),
        ("a.csv", "a,b\n1,2\n3\n", "line 3: must have 2 values, as line 2, but has 1"),
        ("a.csv", "a,b,c\n1,2\n3,4\n", "line 1: the header has 3 names, but line 2 has 2 values"),
        ("a.csv", "a,a\n1,2\n3,4\n", "must name each column once, but repeats 'a'"),
        ("a.csv", "a\n1\n2\n", "at least 2 regions, but holds 1"),
        ("a.csv", "a,b\n", "has a header, but no numbers"),
        ("a.csv", "# nothing\n\n", "is empty"),
        ("a.csv", "", "is empty"),
        ("a.csv", "2,3\n1,1_0\n", "must be a number, but got '1_0'"),
        ("a.csv", b"\x89PNG\r\n\x1a\n\0\0", "not a text file"),
        ("a.npy", b"\x89PNG\r\n\x1a\n\0\0", "not a readable npy file"),
        ("a.npz", b"\x89PNG\r\n\x1a\n\0\0", "not a readable npz file"),
        ("a.mat", b"\x89PNG\r\n\x1a\n\0\0", "not a readable MATLAB file"),
        ("a.mat", b"MATLAB 7.3 MAT-file", "MATLAB 7.3"),
        ("a.xlsx", b"PK", "must end in .csv"),
    ],
)  # fmt: skip
def test_what_is_said_about_bad_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        nmm.load_recording(tmp_path / name)


def test_what_is_said_about_bad_arrays_and_paths(tmp_path):
    np.save(tmp_path / "o.npy", np.array([[{}, 1], [2, 3]], object))
    np.save(tmp_path / "three.npy", np.zeros((2, 3, 4)))
    np.save(tmp_path / "c.npy", np.zeros((3, 2), complex))
    np.savez(tmp_path / "z.npz", a=TABLE)
    (tmp_path / "z.npz").rename(tmp_path / "z.npy")
    messages = {"o": "Python objects", "three": r"shape \(2, 3, 4\); pass one subject", "c": "real numbers", "z": "rename"}
    for name, message in messages.items():
        with pytest.raises(ValueError, match=message):
            nmm.load_recording(tmp_path / f"{name}.npy")
    with pytest.raises(ValueError, match="There is no file"):
        nmm.load_recording(tmp_path / "missing.csv")
    with pytest.raises(ValueError, match="is a folder"):
        nmm.load_recording(tmp_path)
    np.save(tmp_path / "a.npy", TABLE)
    for bad, message in (
        ({"regions": "row"}, "regions"),
        ({"dt": -1}, "dt"),
        ({"key": "x"}, "key"),
        ({"names": ["a"]}, "names"),
    ):
        with pytest.raises(ValueError, match=f"Argument `{message}` must"):
            nmm.load_recording(tmp_path / "a.npy", **bad)
    with pytest.raises(ValueError, match="Argument `subject` must be 12 labels"):
        nmm.load_recording(tmp_path / "a.npy", subject=[1, 2])


# Two values


def test_thresholds():
    x = np.array([[0.0, 5.0], [1.0, 1.0], [2.0, 0.0], [5.0, 2.0]])  # means 2 and 2, medians 1.5 and 1.5
    signs = lambda *args, **options: nmm.binarize(x, *args, **options).spins.tolist()
    assert signs() == [[-1, 1], [-1, -1], [-1, -1], [1, -1]]
    assert signs(ties=1) == [[-1, 1], [-1, -1], [1, -1], [1, 1]]
    assert signs("median") == [[-1, 1], [-1, -1], [1, -1], [1, 1]]
    assert signs(4) == [[-1, 1], [-1, -1], [-1, -1], [1, -1]]
    assert signs([0.5, 1.5]) == [[-1, 1], [1, -1], [1, -1], [1, 1]]
    assert nmm.binarize(x).threshold == "mean" and nmm.binarize(x, 4).threshold == "4"


@pytest.mark.parametrize("rule", ["mean", "median", "none"])
def test_two_values_pass_as_they_are(rule):
    spins = np.array([[1, 1], [1, -1], [1, 1], [-1, 1]])
    np.testing.assert_array_equal(nmm.binarize(spins, rule).spins, spins)
    np.testing.assert_array_equal(nmm.binarize((spins + 1) // 2, rule).spins, spins)
    again = nmm.binarize(spins, rule)
    assert nmm.binarize(again) is again and again.spins.dtype == np.int8


def test_subjects_have_thresholds_of_their_own():
    x = np.concatenate([TABLE, TABLE + 100])
    recording = nmm.Recording(x, subject=np.repeat(["b", "a"], 12))
    alone = nmm.binarize(TABLE).spins
    np.testing.assert_array_equal(nmm.binarize(recording).spins, np.concatenate([alone, alone]))
    together = nmm.binarize(recording, per_subject=False).spins
    assert np.all(together[:12] == -1) and np.all(together[12:] == 1)
    assert nmm.binarize(recording).runs.tolist() == [0] * 12 + [1] * 12
    still = np.concatenate([TABLE, np.full((12, 3), 7.0)])
    with pytest.raises(ValueError, match=r"`R1`, `R2`, `R3` never change in subject 1"):
        nmm.binarize(still, subject=np.repeat([0, 1], 12))


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, (8, 3), elements=st.floats(-1e3, 1e3)), st.floats(0.1, 100), st.floats(-50, 50))
def test_spins_do_not_depend_on_units(x, scale, shift):
    """Neither on scale nor offset, unless rounding moves a value across its threshold."""
    if np.any(np.ptp(x, axis=0) < 1) or np.any(np.abs(x - x.mean(axis=0)) < 1e-6):
        return
    np.testing.assert_array_equal(nmm.binarize(x).spins, nmm.binarize(scale * x + shift).spins)
    np.testing.assert_array_equal(nmm.binarize(x).spins, -nmm.binarize(-x).spins)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.ones((4, 2)), {}, "Regions `R1`, `R2` never change"),
        (np.array([[0.0, 1.0], [0.0, 2.0]]), {}, "Region `R1` never changes"),
        (np.array([[0.0, 1.0], [3.0, 2.0]]), {"threshold": 9}, "never change after the threshold"),
        (np.array([[0.0, 1.0], [np.inf, 2.0]]), {}, "inf in region `R1` at time index 1"),
        (TABLE, {"threshold": "none"}, "only −1 and"),
        (TABLE, {"threshold": "max"}, "Argument `threshold`"),
        (TABLE, {"threshold": [1, 2]}, "a number or 3 numbers"),
        (TABLE, {"ties": 0}, "Argument `ties`"),
        (TABLE[:, :1], {}, "at least 2 regions"),
        (TABLE[:1], {}, "at least 2 samples"),
        (TABLE[:, 0], {}, "two axes"),
        ("text", {}, "two axes"),
    ],
)
def test_what_is_said_about_bad_recordings(unchecked, x, options, message):
    with pytest.raises(ValueError, match=message):
        nmm.binarize(x, **options)


def test_selecting_regions():
    recording = nmm.Recording(TABLE, ("a", "b", "c"), dt=2.0)
    assert recording.select(["c", 0]).names == ("c", "a") and recording.select(["c"]).dt == 2.0
    np.testing.assert_array_equal(nmm.binarize(recording).select([1, 2]).spins, nmm.binarize(recording).spins[:, 1:])
    for bad in (["x"], [3], ["a", 0]):
        with pytest.raises(ValueError, match="Argument `regions` must"):
            recording.select(bad)
    with pytest.raises(ValueError, match="be −1 or"):
        nmm.Binarized(TABLE)
