"""Recordings: files of every kind, and what is said about those that can't be read."""

import gzip

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
import xarray as xr
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


# Tables as other programs write them


def frame(values=TABLE, columns=None, **options):
    return lambda path, **how: pd.DataFrame(values, columns=columns, **options).to_csv(path, **how)


NUMBERED = ("0", "1", "2")
PLAIN = ("R1", "R2", "R3")
LETTERS = ("a", "b", "c")
SPINS = np.where(TABLE > 0, 1, 0)
COUNTS = RNG.poisson(5, (12, 3))
EVENLY = np.column_stack([np.arange(12) * 0.5, TABLE[:, :2]])
GAPPED = np.where(np.eye(12, 3) > 0, np.nan, TABLE)
FEW = [[5, 9], [4, 8], [7, 7], [3, 9], [4, 10]]
R = '"x" "y z"\n' + "".join(f'"{k + 1}" {a} {b}\n' for k, (a, b) in enumerate(TABLE[:, :2]))
AFNI = '# <matrix\n# ColumnLabels = "a ; b ; c"\n# RowTR = "2.5"\n# >\n ' + text(TABLE, "  ") + "# </matrix>\n"
TABLES = [  # (file, who writes it, how it is written, options, names, values, words of the notes)
    ("a.csv", frame(), {}, {}, NUMBERED, TABLE, ("Line 1 was read as names, 0, 1, 2;", "Column 1, which counts the rows")),
    ("a.csv", frame(), {"index": False}, {}, NUMBERED, TABLE, ("Line 1 was read as names",)),
    ("a.csv", frame(), {"header": False}, {}, PLAIN, TABLE, ("Column 1, which counts the rows",)),
    ("a.csv", frame(), {"header": False, "index": False}, {}, PLAIN, TABLE, ()),
    ("a.csv", frame(), {"index": False}, {"names": "xyz"}, tuple("xyz"), TABLE, ("Line 1",)),
    ("a.csv", frame(columns=[1001, 1002, 1003]), {"index": False}, {}, ("1001", "1002", "1003"), TABLE, ("Line 1",)),
    ("a.csv", frame(SPINS), {}, {}, NUMBERED, SPINS, ("Line 1", "Column 1")),
    ("a.csv", frame(SPINS), {"index": False}, {}, NUMBERED, SPINS, ("Line 1",)),
    ("a.csv", frame(SPINS), {"header": False, "index": False}, {}, PLAIN, SPINS, ()),
    ("a.csv", frame(COUNTS), {}, {}, NUMBERED, COUNTS, ("Line 1", "Column 1")),
    ("a.csv", frame(COUNTS), {"index": False}, {"header": True}, NUMBERED, COUNTS, ()),
    ("a.csv", frame(COUNTS), {"header": False, "index": False}, {"header": False}, PLAIN, COUNTS, ()),
    ("a.csv", frame(COUNTS, ["1001", "1002", "1003"]), {"index": False, "quoting": 2}, {}, ("1001", "1002", "1003"), COUNTS,
     ("Line 1",)),
    ("a.csv", frame(columns=LETTERS, index=pd.date_range("2020", periods=12)), {}, {}, LETTERS, TABLE,
     ("which holds words",)),
    ("a.csv", frame(columns=LETTERS, index=np.arange(12) * 0.5), {}, {}, LETTERS, TABLE, ("in steps of 0.5",)),
    ("a.csv", frame(columns=LETTERS, index=np.arange(12) * 0.5), {}, {"index": False}, ("R1", *LETTERS),
     np.column_stack([np.arange(12) * 0.5, TABLE]), ()),
    ("a.csv", lambda path: pd.DataFrame(TABLE.T).to_csv(path), {}, {"regions": "rows"}, NUMBERED, TABLE,
     ("Column 1 was read as names", "Line 1, which counts the rows")),
    ("a.csv", lambda path: pd.DataFrame(TABLE.T, LETTERS).to_csv(path, index_label="region"), {}, {"regions": "rows"},
     LETTERS, TABLE, ("Line 1, which counts the rows",)),
    ("a.csv", lambda path: pd.DataFrame(TABLE.T).to_csv(path, header=False, index=False), {}, {"regions": "rows"}, PLAIN,
     TABLE, ()),
    ("a.csv", frame(), {"encoding": "utf-8-sig"}, {}, NUMBERED, TABLE, ("Line 1", "Column 1")),
    ("a.csv", frame(columns=[0.0, 1.0, 2.0]), {}, {}, ("0.0", "1.0", "2.0"), TABLE, ("Line 1", "Column 1")),
    ("a.csv", frame(COUNTS, index=list("abcdefghijkl")), {}, {}, NUMBERED, COUNTS, ("Line 1", "which holds words")),
    ("a.csv", frame(columns=LETTERS), {"index_label": "volume"}, {}, LETTERS, TABLE, ("Column `volume`, which counts",)),
    ("a.csv", frame(columns=LETTERS), {"index_label": "volume"}, {"index": False}, ("volume", *LETTERS),
     np.column_stack([np.arange(12), TABLE]), ()),
    ("a.csv", lambda path: (pd.DataFrame(TABLE).to_csv(path), pd.read_csv(path).to_csv(path)), {}, {}, NUMBERED, TABLE,
     ("Column 1, which counts", "Column `Unnamed: 0`, which counts")),
    ("a.txt", lambda path: np.savetxt(path, FEW, fmt="%d"), {}, {}, ("R1", "R2"), FEW, ()),
    ("a.csv.gz", frame(), {}, {}, NUMBERED, TABLE, ("Line 1", "Column 1")),
    ("a.tsv", frame(GAPPED), {"sep": "\t", "na_rep": "n/a", "index": False}, {}, NUMBERED, GAPPED, ("Line 1",)),
    ("a.tsv", frame(np.where(np.arange(12)[:, None] == 5, np.nan, TABLE)), {"sep": "\t", "index": False}, {}, NUMBERED,
     np.where(np.arange(12)[:, None] == 5, np.nan, TABLE), ("Line 1",)),
    ("a.tsv.gz", frame(GAPPED, LETTERS), {"sep": "\t", "na_rep": "n/a", "index": False}, {}, LETTERS, GAPPED, ()),
    ("a.csv", frame(), {"sep": ";", "decimal": ","}, {}, NUMBERED, TABLE, ("Line 1", "Column 1")),
    ("a.txt", frame(columns=LETTERS), {"sep": " ", "decimal": ","}, {}, LETTERS, TABLE, ("Column 1",)),
    ("a.txt.gz", lambda path: np.savetxt(path, TABLE), {}, {}, PLAIN, TABLE, ()),
    ("a.csv", lambda path: np.savetxt(path, TABLE, delimiter=",", header="a,b,c"), {}, {}, LETTERS, TABLE,
     ("in a comment",)),
    ("a.txt", lambda path: path.write_text(R), {}, {}, ("x", "y z"), TABLE[:, :2], ("Column 1",)),
    ("a.csv", lambda path: path.write_text("sep=;\na;b\n0,5;1\n2;3\n"), {}, {}, ("a", "b"), [[0.5, 1], [2, 3]], ()),
    ("a.1D", lambda path: path.write_text(AFNI), {}, {}, LETTERS, TABLE, ("in a comment",)),
    ("a.1D.gz", lambda path: path.write_bytes(gzip.compress(AFNI.encode())), {}, {"header": False}, PLAIN, TABLE, ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "write", "how", "options", "names", "values", "notes"), TABLES,
                         ids=[str(k) for k in range(len(TABLES))])  # fmt: skip
def test_tables_as_other_programs_write_them(tmp_path, name, write, how, options, names, values, notes):
    write(tmp_path / name, **how)
    found = nmm.load_recording(tmp_path / name, **options)
    assert found.names == names
    np.testing.assert_allclose(found.values, values, rtol=1e-12)
    assert len(found.notes) == len(notes) and all(word in note for word, note in zip(notes, found.notes, strict=True))
    assert found.dt == (2.5 if ".1D" in name else None)


@pytest.mark.parametrize(
    ("columns", "options", "names", "dt", "notes"),
    [
        ("FTP", {}, "FTP", None, ["Column `T` was read as a region, as it doesn't increase"]),
        (["t", "T (left)", "Time"], {}, ["T (left)", "Time"], 0.5, ["Column `t` was read as time; `time=False`",
                                                                    "Column `Time` was read as a region"]),
        (["t (s)", "a", "b"], {}, "ab", 0.5, ["read as time"]),
        ("tab", {"time": False}, "tab", None, []),
        ("tab", {"time": "t"}, "ab", 0.5, ["Column `t` was read as time."]),
        ("xab", {"time": "x"}, "ab", 0.5, ["Column `x` was read as time."]),
        ("tab", {"names": "tuv"}, "uv", 0.5, ["read as time"]),
        ("tab", {"names": "uvw"}, "uvw", None, []),
        ("tab", {"names": "uv"}, "uv", 0.5, ["read as time"]),
        ("tab", {"names": "uvw", "time": False}, "uvw", None, []),
        ("xab", {}, "xab", None, []),
    ],
)  # fmt: skip
def test_time_is_what_increases_and_is_called_so(tmp_path, columns, options, names, dt, notes):
    values = TABLE if columns == "FTP" else EVENLY
    frame(values, list(columns))(tmp_path / "a.csv", index=False)
    frame(values, list(columns))(tmp_path / "b.tsv", sep="\t")
    for name, more in (("a.csv", 0), ("b.tsv", 1)):
        found = nmm.load_recording(tmp_path / name, **options)
        assert found.names == tuple(names) and found.dt == dt
        np.testing.assert_array_equal(found.values, values[:, 3 - len(names) :])
        assert len(found.notes) == len(notes) + more
        assert all(any(each in note for note in found.notes) for each in notes)


def test_times_without_a_header_or_a_single_step(tmp_path):
    frame(EVENLY)(tmp_path / "a.csv", index=False, header=False)
    assert nmm.load_recording(tmp_path / "a.csv").names == PLAIN
    found = nmm.load_recording(tmp_path / "a.csv", time=True)
    assert found.dt == 0.5 and found.values.shape == (12, 2)
    counted = np.column_stack([np.arange(12), TABLE])
    for how, options, dt in (({"header": False}, {"time": True}, 1.0), ({"index_label": "t"}, {}, 1.0),
                             ({"index_label": "scan"}, {"time": "scan"}, 1.0), ({"header": False}, {}, None)):  # fmt: skip
        frame(TABLE, LETTERS)(tmp_path / "n.csv", **how)
        found = nmm.load_recording(tmp_path / "n.csv", **options)
        assert found.dt == dt
        np.testing.assert_array_equal(found.values, counted[:, 1:])
    frame(np.column_stack([EVENLY[:, 0] ** 2, TABLE]), ["Time (ms)", *LETTERS])(tmp_path / "b.csv", index=False)
    found = nmm.load_recording(tmp_path / "b.csv")
    assert found.names == LETTERS and found.dt is None and "not equally spaced" in found.notes[0]
    restart = np.column_stack([np.tile(np.arange(6.0), 2), np.repeat([0, 1], 6), TABLE])
    frame(restart, ["t", "subject", *LETTERS])(tmp_path / "c.csv", index=False)
    frame(restart, ["t", "x", *LETTERS])(tmp_path / "d.csv", index=False)
    assert nmm.load_recording(tmp_path / "c.csv").dt == 1.0
    assert nmm.load_recording(tmp_path / "d.csv", time="t").names == ("x", *LETTERS)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("0,1\n1,0\n1,1\n0,0\n0,1\n", {}, r"line 1: 0, 1 may be names or a sample: say `header=True` or `header=False`"),
        ("1,2,3\n1,4,2\n2,2,5\n3,9,1\n9,3,3\n", {}, r"line 1: 1, 2, 3 may be names or a sample"),
        ("0,1\n0.5,1.2\n1.0,1.1\n1.5,1.7\n", {}, r"line 1: 0, 1 may be names or a sample"),
        ("0,2\n0.5,1.2\n0.4,1.1\n0.7,1.7\n", {}, r"line 1: 0, 2 may be names or a sample"),
        (",a,b\n3,1,2\n1,2,1\n2,2,2\n1,1,1\n", {}, "column 1 has no name, and may be an index or a region: say `inde"),
        ("t,a,b\n0,1,2\n1,2,1\n5,2,2\n6,1,1\n", {}, 'column `t` increases, but not evenly: say `time="t"` for times, `ti'),
        ("t,a,b\n0,1,2\n1,2,1\n2,2,2\n0,1,1\n1,2,1\n2,2,2\n", {}, "column `t` increases, but starts again: say"),
        ("t,a,b\n0,1,2\n,2,1\n2,2,2\n3,1,1\n4,1,2\n", {}, "column `t` increases, but has gaps: say `time=False`"),
        ("t (s),a,b\n0,1,2\n1,2,1\n1,2,2\n", {}, "column `t .s.` has a unit of time, but doesn't increase throughout: say"),
        ("0.0,1.0,2.0\n0.5,0.7,0.1\n0.2,0.4,0.6\n0.1,0.1,0.3\n", {}, "line 1: 0.0, 1.0, 2.0 may be names or a sample"),
        ("t,a,b\n0,1,2\n1,2,1\n1,2,2\n", {"time": "t"}, "line 4, column `t`: must be a time later than the one before, but"),
        ("a,b\n0,1\n1,2\n", {"time": "x"}, "has no column 'x' of times; it has a, b"),
        ("a,b\n0,1\n1,2\n", {"time": True}, "must have one column called time, or `time=` say which; it has a, b"),
        ("a,b\n0,1\n1,2\n", {"header": 1}, "`header` must be True, False or None"),
        ("a,b\n0,1\n1,2\n", {"index": "a"}, "`index` must be True, False or None"),
        ("a,b\n0,1\n1,2\n", {"time": 1.5}, "`time` must be a column's name, True, False or None"),
        ("date,a\n2020-01-01,1\n2020-01-02,2\n", {}, r"line 2, column `date`: must be a number, but got '2020-01-01' .`ind"),
        ("t,a\n0,1\n1,2\ninf,2\n", {"time": "t"}, "line 4, column `t`: must be a time later than the one before, but g"),
        ("x,0.5\n0,1\n1,2\n", {}, r"line 1, column 1: must be a number, but got 'x' \(`header=True` reads"),
        ("a,b\n0,1\n1,2\n".encode("utf-16"), {}, "not a text file in UTF-8, but in UTF-16; save it as UTF-8"),
        ('a,b\n0,1\n1,"2\n' + 200_000 * "3" + "\n", {}, "line 4: must be cells of a table, but field larger"),
    ],
)  # fmt: skip
def test_what_may_be_read_in_two_ways_is_refused(tmp_path, unchecked, content, options, message):
    (tmp_path / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        nmm.load_recording(tmp_path / "a.csv", **options)
    assert "\n" not in str(caught.value)


def test_refusals_in_rows_name_the_line_and_column_of_the_file(tmp_path):
    (tmp_path / "a.csv").write_text("region,t0,t1,t2\na,1,2,3\nb,1,x,3\n")
    with pytest.raises(ValueError, match="line 3, column 3: must be a number, but got 'x'"):
        nmm.load_recording(tmp_path / "a.csv", regions="rows")
    (tmp_path / "a.csv").write_text("t (s),0,0.5,1\nsubject,1,1,2\na,1,2,3\nb,1,0,3\n")
    found = nmm.load_recording(tmp_path / "a.csv", regions="rows")
    assert found.names == ("a", "b") and found.dt == 0.5 and found.subject.tolist() == [1, 1, 2]
    for broken in (b"\x1f\x8b\x08", b"no gz"):
        (tmp_path / "a.csv.gz").write_bytes(broken)
        with pytest.raises(ValueError, match="is not a readable gz file"):
            nmm.load_recording(tmp_path / "a.csv.gz")
    with pytest.raises(ValueError, match=r"must end in .*or \.gz after one of the first 5"):
        np.savez_compressed(tmp_path / "a.npz", a=TABLE)
        (tmp_path / "a.npz").rename(tmp_path / "a.npz.gz")
        nmm.load_recording(tmp_path / "a.npz.gz")


# Arrays


def matlab73(path, **arrays):
    """As MATLAB saves with -v7.3: HDF5 behind a header, axes exchanged, the class as an attribute."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, each in arrays.items():
            if isinstance(each, dict):
                group = file.create_group(name)
                for inner, one in each.items():
                    group[inner] = one
            elif isinstance(each, list):
                file["#refs#/c"] = TABLE
                file.create_dataset(name, data=np.array([[file["#refs#/c"].ref]], h5py.ref_dtype))
                file[name].attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                file[name] = np.asarray(each).T
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def hdf(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, each in arrays.items():
            file[name] = np.ma.getdata(each)
            if np.ma.isMaskedArray(each):
                file[name].attrs["_FillValue"] = np.ma.getdata(each)[np.ma.getmaskarray(each)][:1]


FILLED = np.ma.masked_invalid(GAPPED)
FILLED.data[FILLED.mask] = 9.96921e36
ARRAYS = [
    ("a.mat", matlab73, {"bold": TABLE}, {}, TABLE, 0),
    ("a.mat", matlab73, {"bold": GAPPED, "TR": np.array([[2.0]]), "s": {"x": TABLE}, "c": []}, {}, GAPPED, 1),
    ("a.mat", matlab73, {"a": TABLE, "b": SPINS}, {"key": "b"}, SPINS, 0),
    ("a.mat", matlab73, {"bold": TABLE.T}, {"regions": "rows"}, TABLE, 0),
    ("a.mat", scipy.io.savemat, {"bold": GAPPED, "TR": 2.0}, {}, GAPPED, 1),
    ("a.mat", scipy.io.savemat, {"bold": scipy.sparse.csc_array(SPINS * 1.0)}, {}, SPINS, 0),
    ("a.h5", hdf, {"bold": TABLE}, {}, TABLE, 0),
    ("a.hdf5", hdf, {"run/bold": FILLED, "run/TR": 2.0}, {}, GAPPED, 1),
    ("a.h5", hdf, {"run/a": TABLE, "run/b": SPINS}, {"key": "run/b"}, SPINS, 0),
    ("a.npz", np.savez, {"bold": TABLE, "mask": np.isnan(GAPPED)}, {}, GAPPED, 2),
    ("a.npz", np.savez, {"a": TABLE, "b": SPINS, "a_mask": np.isnan(GAPPED)}, {"key": "a"}, GAPPED, 1),
]


@pytest.mark.parametrize(("name", "write", "content", "options", "values", "notes"), ARRAYS,
                         ids=[str(k) for k in range(len(ARRAYS))])  # fmt: skip
def test_arrays_in_files(tmp_path, name, write, content, options, values, notes):
    if write is scipy.io.savemat:
        write(tmp_path / name, content)
    else:
        write(tmp_path / name, **content)
    found = nmm.load_recording(tmp_path / name, **options)
    np.testing.assert_array_equal(found.values, values)
    assert found.names == PLAIN and len(found.notes) == notes


@pytest.mark.parametrize(
    ("name", "write", "content", "options", "message"),
    [
        ("a.mat", matlab73, {"a": TABLE, "b": SPINS}, {}, r"must hold one array, or `key=` say which; it has 'a' of sh"),
        ("a.mat", matlab73, {"s": {"x": TABLE}}, {}, "array 's' must hold real numbers, but is a struct, .*; save its part"),
        ("a.mat", matlab73, {"c": [], "a": TABLE}, {"key": "c"}, "array 'c' must hold real numbers, but is a cell array"),
        ("a.mat", scipy.io.savemat, {"s": {"x": TABLE}}, {}, "array 's' must hold real numbers, but is a struct or ce"),
        ("a.h5", hdf, {"a": TABLE, "b": SPINS}, {}, "must hold one array, or `key=` say which"),
        ("a.h5", hdf, {"a": TABLE}, {"key": "x"}, "has no array 'x'; it has 'a'"),
        ("a.h5", hdf, {"a": TABLE}, {"header": True}, "`header` must be left out for .* which holds arrays"),
        ("a.h5", None, b"none", {}, "is not a readable HDF5 file"),
        ("a.mat", None, b"MATLAB 7.3 MAT-file", {}, "is not a readable MATLAB 7.3 file"),
    ],
)  # fmt: skip
def test_what_is_said_about_arrays_in_files(tmp_path, unchecked, name, write, content, options, message):
    if write is None:
        (tmp_path / name).write_bytes(content)
    elif write is scipy.io.savemat:
        write(tmp_path / name, content)
    else:
        write(tmp_path / name, **content)
    with pytest.raises(ValueError, match=message):
        nmm.load_recording(tmp_path / name, **options)


# Masks and labelled tables


def test_masked_samples_are_missing(unchecked):
    for masked in (FILLED, list(FILLED), np.ma.array(COUNTS, mask=np.eye(12, 3))):
        recording = nmm.results.Recording(masked)
        np.testing.assert_array_equal(np.isnan(recording.values), np.isnan(GAPPED))
        for each in (masked, recording):
            with pytest.raises(ValueError, match="nan in region `R1` at time index 0 and 2 more"):
                nmm.binarize(each)
    spins = np.ma.array(2 * SPINS - 1, mask=np.eye(12, 3))
    for use in (nmm.results.Binarized, nmm.fit_ising, lambda x: nmm.ising.fit_ising_many([x])):
        with pytest.raises(ValueError, match=r"−1 or .1|be binarized"):
            use(spins)
    with pytest.raises(ValueError, match="`subject` must not be masked"):
        nmm.results.Recording(TABLE, subject=np.ma.array(np.arange(12), mask=np.arange(12) > 9))
    with pytest.raises(ValueError, match="`threshold`"):
        nmm.binarize(TABLE, np.ma.array([0.0, 1.0, 2.0], mask=[0, 0, 1]))


def test_labelled_tables_keep_their_names(unchecked):
    table = pd.DataFrame(TABLE, columns=LETTERS)
    np.testing.assert_array_equal(nmm.results.Recording(table).values, TABLE)
    assert nmm.results.Recording(table).names == nmm.binarize(table).names == LETTERS
    assert nmm.results.Recording(table, ("x", "y", "z")).names == ("x", "y", "z")
    assert nmm.results.Binarized(2 * (table > 0) - 1).names == LETTERS
    gaps = table.astype("Float64").mask(np.isnan(GAPPED))
    np.testing.assert_array_equal(nmm.results.Recording(gaps).values, GAPPED)
    array = xr.DataArray(TABLE, dims=("time", "region"), coords={"region": list(LETTERS)})
    assert nmm.binarize(array).names == LETTERS and nmm.results.Recording(array.drop_vars("region")).names == PLAIN
    np.testing.assert_array_equal(nmm.results.Recording(array.T).values, TABLE)
    assert nmm.results.Recording(array.T).names == LETTERS
    for wrong in (table["a"], table.assign(a="x"), array[0]):
        with pytest.raises(ValueError, match="an array of numbers with two axes") as caught:
            nmm.results.Recording(wrong)
        assert "\n" not in str(caught.value)


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
    recording = nmm.results.Recording(x, subject=np.repeat(["b", "a"], 12))
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
    recording = nmm.results.Recording(TABLE, ("a", "b", "c"), dt=2.0)
    assert recording.select(["c", 0]).names == ("c", "a") and recording.select(["c"]).dt == 2.0
    np.testing.assert_array_equal(nmm.binarize(recording).select([1, 2]).spins, nmm.binarize(recording).spins[:, 1:])
    for bad in (["x"], [3], ["a", 0]):
        with pytest.raises(ValueError, match="Argument `regions` must"):
            recording.select(bad)
    with pytest.raises(ValueError, match="be −1 or"):
        nmm.results.Binarized(TABLE)


def test_a_global_signal_is_said_and_regressed_out(unchecked):
    rng = np.random.default_rng(0)
    local = rng.normal(size=(400, 4))
    values = local + 60 * rng.normal(size=(400, 1)) * rng.uniform(0.8, 1.2, 4)
    with pytest.warns(UserWarning, match=r'9.* % of .* all 4 regions .* `binarize\(recording, global_signal="regress"\)`'):
        nmm.fit_ising(nmm.binarize(values), penalty=0.01)
    data = nmm.binarize(values, global_signal="regress")
    assert data.threshold == "mean, global signal regressed out"
    x = values - values.mean(axis=0)
    common = x.mean(axis=1, keepdims=True)
    left = x - common @ np.linalg.lstsq(common, x, rcond=None)[0]
    np.testing.assert_array_equal(data.spins, np.where(left > 0, 1, -1))
    twice = nmm.binarize(np.concatenate([values, 3 * values + 7]), global_signal="regress", subject=np.repeat([0, 1], 400))
    np.testing.assert_array_equal(twice.spins, np.concatenate([data.spins, data.spins]))
    for bad, each in (("drop", values), ("regress", data.spins)):
        with pytest.raises(ValueError, match='Argument `global_signal` must be "keep" or "regress"'):
            nmm.binarize(np.array(each), global_signal=bad)
