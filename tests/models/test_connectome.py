"""Connectomes: files of every kind, what is said about those that can't be read, landscapes, scalings, the generator."""

import bz2
import zipfile

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io
import xarray as xr

import nmmjax as nmm

RNG = np.random.default_rng(0)
SIZE = 5
W = np.round(RNG.lognormal(size=(SIZE, SIZE)) * (1 - np.eye(SIZE)), 4)
W[2, 4] = 0.0
D = np.round(20 + 100 * RNG.random((SIZE, SIZE)), 3)
D = np.triu(D, 1) + np.triu(D, 1).T
XYZ = np.round(RNG.normal(size=(SIZE, 3)) * 50, 2)
NAMES = ("lV1", "lMT", "rV1", "rMT", "rA1")


def matrix(values, separator=" "):
    return "\n".join(separator.join(f"{each:.6g}" for each in row) for row in values) + "\n"


CENTRES = "".join(f"{name}\t{' '.join(map(str, row))} None\n" for name, row in zip(NAMES, XYZ, strict=True))
PARTS = {"weights.txt": matrix(W), "tract_lengths.txt": matrix(D), "centres.txt": CENTRES, "areas.txt": matrix(XYZ[:, :1])}


def zipped(path, parts, folder="", pack=False):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            data = text.encode() if isinstance(text, str) else text
            archive.writestr(f"{folder}{name}{'.bz2' if pack else ''}", bz2.compress(data) if pack else data)
    return path


def table(values, corner=""):
    return "\n".join(
        [",".join([corner, *NAMES]), *(",".join([name, *map(str, row)]) for name, row in zip(NAMES, values, strict=True))]
    )


def matlab73(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in {"Cmat": W, "Dmat": D}.items():
            file[name] = values.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))


def make(kind, folder):
    if kind == "zip":
        return zipped(folder / "a.zip", PARTS)
    if kind == "bz2 in a folder of a zip":
        return zipped(folder / "a.zip", {"__MACOSX": "x", **PARTS}, "connectivity_5/", pack=True)
    if kind == "folder":
        (folder / "README.md").write_text("text")
        for name, text in PARTS.items():
            (folder / name).write_text(text)
        return folder
    if kind == "npz":
        np.savez(folder / "a.npz", weights=W, lengths=D, labels=np.array(NAMES), centers=XYZ)
        return folder / "a.npz"
    if kind == "mat":
        cells = np.array(NAMES, object)
        scipy.io.savemat(folder / "a.mat", {"Cmat": W, "Dmat": D, "labels": cells, "coords": XYZ})
        return folder / "a.mat"
    if kind == "folder of mat":
        scipy.io.savemat(folder / "DTI_CM.mat", {"sc": W})
        scipy.io.savemat(folder / "DTI_LEN.mat", {"len": D})
        return folder
    if kind == "mat 7.3":
        matlab73(folder / "a.mat")
        return folder / "a.mat"
    text = {"csv": table(W), "csv, corner": table(W, "region"), "txt": matrix(W), "bz2": matrix(W)}[kind]
    path = folder / ("a.txt.bz2" if kind == "bz2" else f"a.{kind[:3]}")
    path.write_bytes(bz2.compress(text.encode()) if kind == "bz2" else text.encode())
    return path


KINDS = {  # whether it has lengths, names, positions
    "zip": (1, 1, 1), "bz2 in a folder of a zip": (1, 1, 1), "folder": (1, 1, 1), "npz": (1, 1, 1), "mat": (1, 1, 1),
    "mat 7.3": (1, 0, 0), "folder of mat": (1, 0, 0), "csv": (0, 1, 0), "csv, corner": (0, 1, 0), "txt": (0, 0, 0),
    "bz2": (0, 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_every_kind(kind, tmp_path):
    """What the test wrote is what is read: row i receives, names and places in their order."""
    lengths, names, positions = KINDS[kind]
    path = make(kind, tmp_path)
    found = nmm.load_connectome(path)
    np.testing.assert_allclose(found.weights, W, rtol=1e-5)
    assert found.source == str(path) and found.labels == (NAMES if names else ("R1", "R2", "R3", "R4", "R5"))
    assert (found.lengths is not None, found.positions is not None) == (bool(lengths), bool(positions))
    if lengths:
        np.testing.assert_allclose(found.lengths, D, rtol=1e-5)
    if positions:
        np.testing.assert_allclose(found.positions, XYZ)
    assert "weights as in the file, not normalised" in found.notes
    if kind in ("zip", "folder"):
        assert "left out: areas" in found.notes and any("`tract_lengths`" in each for each in found.notes)


NAMED = {
    "names above": ("a b\n0 1\n2 0\n", ("a", "b")),
    "names beside": ("a 0 1\nb 2 0\n", ("a", "b")),
    "counted": (",0,1\n0,0,1\n1,2,0\n", ("0", "1")),
    "both": ("region;a;b\na;0;1\nb;2;0\n", ("a", "b")),
    "decimal commas": ("a;b\n0,0;1,0\n2,0;0,0\n", ("a", "b")),
    "a comment": ("# made by hand\n0\t1\n2\t0\n", ("R1", "R2")),
}


@pytest.mark.parametrize("kind", NAMED)
def test_names_in_tables(kind, tmp_path):
    text, names = NAMED[kind]
    (tmp_path / "a.csv").write_text(text)
    found = nmm.load_connectome(tmp_path / "a.csv")
    np.testing.assert_array_equal(found.weights, [[0.0, 1.0], [2.0, 0.0]])
    assert found.labels == names


def test_what_is_asked_is_done_and_said(tmp_path):
    path = zipped(tmp_path / "a.zip", PARTS)
    found = nmm.load_connectome(path, normalize="max", unit="cm", receives="columns")
    np.testing.assert_allclose(found.weights, W.T / W.max(), rtol=1e-5)
    np.testing.assert_allclose(found.lengths, 10 * D.T, rtol=1e-5)
    np.testing.assert_allclose(found.positions, 10 * XYZ, rtol=1e-12)
    text = str(found)
    for words in ("divided by their largest", "converted from cm", "transposed", "5 regions (lV1", "one direction"):
        assert words in text
    np.savez(tmp_path / "own.npz", A=W, B=D)
    found = nmm.load_connectome(tmp_path / "own.npz", weights="A", lengths="B")
    np.testing.assert_array_equal(found.lengths, D)
    np.savez(tmp_path / "gap.npz", weights=np.where(W == 0, np.nan, W), lengths=np.where(W == 0, np.nan, D))
    with pytest.raises(ValueError, match="have no missing weights"):
        nmm.load_connectome(tmp_path / "gap.npz")
    found = nmm.load_connectome(tmp_path / "gap.npz", missing="zero")
    np.testing.assert_array_equal(found.weights, W)
    np.testing.assert_array_equal(found.lengths, np.where(W == 0, 0, D))
    assert "missing weights were read as no connection: 6" in found.notes


NAN = np.where(np.eye(SIZE), np.nan, W)
BAD = {
    "nothing there": (None, {}, "There is no file or folder"),
    "no zip": (("a.zip", b"weights"), {}, "is not a readable zip archive"),
    "no npz": (("a.npz", b"weights"), {}, "is not a readable npz file"),
    "no mat": (("a.mat", b"weights"), {}, "is not a readable MATLAB file"),
    "no HDF5": (("a.mat", b"MATLAB 7.3 MAT-file" + bytes(600)), {}, "is not a readable MATLAB 7.3 file"),
    "no bz2": (("a.txt.bz2", b"1 2 3"), {}, "is not a readable bz2 file"),
    "another kind": (("a.nii", b"1"), {}, "must end in .zip, .csv"),
    "empty": (("a.txt", b""), {}, "is empty"),
    "not text": (("a.txt", b"\xff\xfe\x00\x01"), {}, "is not a text file in UTF-8"),
    "words": (("a.txt", b"1 2\n3 x\n"), {}, "line 2, column 2: must be a number, but got 'x'"),
    "ragged": (("a.txt", b"1 2 3\n4 5\n7 8 9\n"), {}, "line 2: must have 3 values, as line 3, but has 2"),
    "not square": (("a.txt", b"1 2 3 4\n5 6 7 8\n"), {}, r"must be a square matrix, the weights, but has shape \(2, 4\)"),
    "one line more": (("a.txt", b"1 2\n3 4\n5 6\n"), {}, r"must be a square matrix, the weights, but has shape \(3, 2\)"),
    "a word in the first line": (("a.txt", b"0 x 1\n1 0 1\n1 1 0\n"), {}, "line 1, column 2: must be a number, but got 'x'"),
    "other names": (("a.csv", b",a,b\na,0,1\nc,1,0\n"), {}, "must name its rows as its columns"),
    "a single matrix": (("a.txt", b"0 1\n1 0\n"), {"lengths": "b.txt"}, "Argument `lengths` must be left out"),
    "NaN": (("a.txt", b"0 nan\n1 0\n"), {}, 'Argument `path` must have no missing weights, or `missing="zero"`'),
    "infinite": (("a.txt", b"0 inf\n1 0\n"), {}, "Argument `path` must hold finite weights"),
    "sizes": (
        {**PARTS, "tract_lengths.txt": "0 1\n1 0\n"},
        {},
        r"weights and lengths of the same shape, but has \(5, 5\) and",
    ),
    "negative lengths": ({**PARTS, "tract_lengths.txt": matrix(-D)}, {}, "must hold finite lengths ≥ 0"),
    "unknown lengths": (
        {**PARTS, "tract_lengths.txt": matrix(np.where(W > 1, np.nan, D))},
        {},
        "must hold finite lengths ≥ 0",
    ),
    "no weights": ({"centres.txt": CENTRES}, {}, "must have weights, a matrix"),
    "other centres": ({**PARTS, "centres.txt": CENTRES[:-30]}, {}, "must have"),
    "two centres": ({**PARTS, "centres.txt": "1 2\n3 4\n"}, {}, "must have a label and x, y, z in every line"),
    "twice": ({**PARTS, "weights.csv": matrix(W, ",")}, {}, "must hold one file called 'weights'"),
    "unknown part": (PARTS, {"weights": "sc"}, "Argument `weights` must name a part of"),
    "unknown unit": (PARTS, {"unit": "inch"}, "Argument `unit` must be one of mm, cm, m"),
    "unknown norm": (
        PARTS,
        {"normalize": "most"},
        "Argument `normalize` must be one of max, rows, strength, spectral, or a",
    ),
    "rows or columns": (PARTS, {"receives": "both"}, "Argument `receives` must be"),
    "missing": (PARTS, {"missing": "mean"}, "Argument `missing` must be"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_connectome_is_said_in_one_sentence(what, tmp_path):
    content, options, sentence = BAD[what]
    if isinstance(content, dict):
        path = zipped(tmp_path / "a.zip", content)
    else:
        path = tmp_path / (content[0] if content else "none.zip")
        if content:
            path.write_bytes(content[1])
    with pytest.raises(ValueError, match=sentence) as error:
        nmm.load_connectome(path, **options)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_structs_and_objects_are_refused(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"Cmat": {"x": 1.0}})
    with pytest.raises(ValueError, match="must be a table of real numbers, the weights, but is a struct"):
        nmm.load_connectome(tmp_path / "a.mat")
    scipy.io.savemat(tmp_path / "len.mat", {"len": D})
    with pytest.raises(ValueError, match="must have weights, a matrix"):
        nmm.load_connectome(tmp_path / "len.mat")
    np.savez(tmp_path / "b.npz", weights=W, labels=np.array(NAMES, object))
    found = nmm.load_connectome(tmp_path / "b.npz")
    assert found.labels[0] == "R1" and any("holds no texts" in each for each in found.notes)
    with pytest.raises(ValueError, match="the weights, but is Python objects, which are not loaded"):
        nmm.load_connectome(tmp_path / "b.npz", weights="labels")
    np.savez(tmp_path / "a.npz", weights=W, lengths=D[:2])
    with pytest.raises(ValueError, match="must be a square matrix, the lengths"):
        nmm.load_connectome(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"weights": W[:2]}, r"Argument `weights` must be of the shape \(n, n\), but got"),
        ({"weights": NAN}, "Argument `weights` must be finite, without NaN, but got nan at"),
        ({"weights": "W"}, "Argument `weights` must be numbers"),
        ({"lengths": D[:2, :2]}, r"Argument `lengths` must have the shape of the weights, \(5, 5\), but got"),
        ({"lengths": -D}, "Argument `lengths` must be ≥ 0"),
        ({"labels": NAMES[:2]}, "Argument `labels` must be 5 distinct strings"),
        ({"labels": ("a", "a", "b", "c", "d")}, "Argument `labels` must be 5 distinct strings"),
        ({"positions": XYZ[:2]}, r"Argument `positions` must be numbers \(5, 3\)"),
    ],
)
def test_bad_parts_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        nmm.Connectome(**{"weights": W, **arguments})


def test_scalings_that_have_a_landscape():
    """d is 1 for symmetric weights, the strengths for normalised rows, h/g for gains; a directed cycle has none."""
    A = (W + W.T) / 2
    plain = nmm.Connectome(A, D, NAMES)
    assert plain.symmetric and plain.symmetrizable
    np.testing.assert_array_equal(plain.scaling, np.ones(SIZE))
    rows = plain.scaled("rows")
    assert not rows.symmetric and rows.symmetrizable
    strengths = A.sum(axis=1)
    np.testing.assert_allclose(rows.scaling, strengths / np.exp(np.mean(np.log(strengths))), rtol=1e-12)
    g, h = RNG.lognormal(size=(2, SIZE))
    gains = nmm.Connectome(g[:, None] * A * h)
    np.testing.assert_allclose(gains.scaling, h / g / np.exp(np.mean(np.log(h / g))), rtol=1e-12)
    d = gains.scaling
    np.testing.assert_allclose(d[:, None] * gains.weights, (d[:, None] * gains.weights).T, rtol=1e-12)
    ring = nmm.Connectome([[0, 1, 2], [2, 0, 1], [1, 2, 0]])
    assert not ring.symmetrizable and ring.scaling is None and float(ring.asymmetry) == 1
    assert "multiply to 8 one way and 1 the other" in str(ring) or "multiply to 1 one way and 8 the other" in str(ring)
    assert ring.scaled(symmetrize=True).symmetric
    network = nmm.Network(nmm.MPR(), rows, gain=0.5)
    assert np.isfinite(nmm.network_potential(network, jnp.ones(SIZE)))
    with pytest.raises(ValueError, match="Argument `weights` must be symmetric, up to a positive scaling"):
        nmm.network_potential(nmm.Network(nmm.MPR(), ring), jnp.ones(3))


def test_scaled(unchecked):
    full = nmm.Connectome(W + 0.5 * np.eye(SIZE), D, NAMES)
    V = np.asarray(full.weights)
    np.testing.assert_allclose(full.scaled("max").weights, V / V.max(), rtol=1e-14)
    np.testing.assert_allclose(full.scaled("rows").weights.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(full.scaled("strength").weights.sum(axis=1).mean(), 1, rtol=1e-14)
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(full.scaled("spectral").weights)).max(), 1, rtol=1e-12)
    np.testing.assert_allclose(full.scaled(4.0).weights, V / 4, rtol=1e-14)
    np.testing.assert_allclose(full.scaled(log=True).weights, np.log1p(V), rtol=1e-14)
    np.testing.assert_array_equal(full.scaled(self_connections=False).weights, W)
    np.testing.assert_array_equal(full.scaled(threshold=1.0).weights, np.where(V < 1, 0, V))
    thin = full.scaled(density=0.3, self_connections=False)
    assert np.count_nonzero(thin.weights) == 6
    assert np.min(thin.weights[thin.weights > 0]) == np.sort(W.ravel())[-6]
    both = full.scaled("max", self_connections=False, log=True)
    np.testing.assert_allclose(both.weights, np.log1p(W) / np.log1p(W).max(), rtol=1e-14)
    assert len(both.notes) == 3 and both.labels == NAMES
    for options, sentence in (
        ({"normalize": -1.0}, "Argument `normalize` must be one of max"),
        ({"density": 0.0}, r"Argument `density` must be a number in \(0, 1\]"),
        ({"threshold": -1}, "Argument `threshold` must be a number ≥ 0"),
        ({"log": 1}, "Argument `log` must be True or False"),
    ):
        with pytest.raises(ValueError, match=sentence):
            full.scaled(**options)
    with pytest.raises(ValueError, match=r"Argument `weights` must be ≥ 0 for `log=True`"):
        nmm.Connectome(-W).scaled(log=True)
    with pytest.raises(ValueError, match="Argument `normalize` must be None where their largest is 0"):
        nmm.Connectome(np.zeros((2, 2))).scaled("max")


def test_what_is_odd_is_told():
    weights, lengths = W.copy(), D.copy()
    weights[0], weights[1, 1], weights[2, 3] = 0.0, 1.0, -1.0
    lengths[3, 1] = 0.0
    said = "; ".join(nmm.Connectome(weights, lengths, NAMES).remarks)
    for words in (
        "1 self-connection (W_ii ≠ 0): lMT",
        "1 region receives nothing: lV1",
        "1 negative weight;",
        "5 connections in one direction only",
        "1 connection of length 0",
        "lengths differ between the directions",
    ):
        assert words in said
    assert nmm.Connectome((W + W.T) / 2, D, NAMES).remarks == ()


def test_labelled_data(tmp_path):
    found = nmm.Connectome(W, D, NAMES, XYZ, "a.zip", ("weights as in the file",))
    found.to_xarray().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as data:
        np.testing.assert_array_equal(data.weights.sel(node="lV1", sender="rA1"), W[0, 4])
        np.testing.assert_array_equal(data.lengths, D)
        np.testing.assert_array_equal(data.positions.sel(axis="y"), XYZ[:, 1])
        assert data.lengths.units == "mm" and data.source == "a.zip" and "not" not in data.notes
    assert set(nmm.Connectome(W).to_xarray()) == {"weights"}


def test_networks_take_weights_and_names():
    found = nmm.Connectome(W, D, NAMES, source="a.zip")
    network = nmm.Network(nmm.MPR(), found, gain=0.5)
    np.testing.assert_array_equal(network.weights, W)
    assert network.names == NAMES and network.index("rV1") == 2 and "a.zip" in str(network)
    assert nmm.Network(nmm.MPR(), found, names=list("abcde")).names == tuple("abcde")
    slope = jax.grad(lambda scale: nmm.Network(nmm.MPR(), nmm.Connectome(scale * W)).apply(jnp.ones(SIZE)).sum())(2.0)
    np.testing.assert_allclose(slope, W.sum(), rtol=1e-12)
    large = nmm.Network(nmm.MPR(), nmm.random_connectome(20, key=jax.random.key(0)))
    assert "'A3', …, '" in str(large) and len(str(large)) < 300


@pytest.mark.parametrize("symmetric", [True, False])
def test_random_connectomes_obey_their_rule(symmetric):
    """Regression of ln W on distance and module: slope, factor and spread of the arguments, from 300 regions."""
    given = {"decay": 30.0, "spread": 0.7, "within": 4.0, "modules": 3, "symmetric": symmetric}
    found = nmm.random_connectome(300, key=jax.random.key(1), density=1.0, **given)
    weights, lengths = np.asarray(found.weights), np.asarray(found.lengths)
    assert found.symmetric == symmetric == found.symmetrizable and weights.max() == 1 and not np.diagonal(weights).any()
    letters = np.array([each[0] for each in found.labels])
    assert sorted(set(letters)) == ["A", "B", "C"]
    place = np.asarray(found.positions)
    np.testing.assert_allclose(lengths, np.linalg.norm(place[:, None] - place[None], axis=-1), rtol=1e-12)
    assert np.all((place / [65.0, 85.0, 60.0]) ** 2 @ np.ones(3) <= 1)
    off = ~np.eye(300, dtype=bool)
    x = np.stack([np.ones(off.sum()), lengths[off], (letters[:, None] == letters)[off]], axis=1)
    fitted, *_ = np.linalg.lstsq(x, np.log(weights[off]), rcond=None)
    left = np.log(weights[off]) - x @ fitted
    assert abs(fitted[1] + 1 / 30.0) < 3e-4 and abs(fitted[2] - np.log(4.0)) < 0.03
    assert abs(left.std() - 0.7) < 0.01 and abs(np.mean(left**3)) / 0.7**3 < 0.05


def test_random_connectomes_by_key_and_density():
    one, same, other = (nmm.random_connectome(40, key=jax.random.key(k), density=0.2) for k in (0, 0, 1))
    np.testing.assert_array_equal(one.weights, same.weights)
    assert one.labels == same.labels and not np.array_equal(one.weights, other.weights)
    share = np.count_nonzero(one.weights) / (40 * 39)
    assert 0.2 - 1e-3 <= share < 0.24 and one.remarks == ()
    assert np.asarray(one.weights).any(axis=1).all()
    sparse = nmm.random_connectome(30, key=jax.random.key(2), density=0.01, symmetric=False)
    assert np.asarray(sparse.weights).any(axis=0).all() and np.asarray(sparse.weights).any(axis=1).all()
    assert nmm.random_connectome(3, key=jax.random.key(0), modules=1).size == 3
    for options, sentence in (
        ({"size": 1}, "Argument `size` must be an integer ≥ 2"),
        ({"decay": 0}, "Argument `decay` must be a length > 0"),
        ({"density": 2.0}, "Argument `density` must be a number in"),
        ({"modules": 11}, "Argument `modules` must be an integer from 1 to 10"),
        ({"key": 0}, "Argument `key` must be one random key"),
    ):
        with pytest.raises(ValueError, match=sentence):
            nmm.random_connectome(**{"size": 10, "key": jax.random.key(0), **options})


def test_pictures_show_matrix_and_space(unchecked):
    found = nmm.random_connectome(20, key=jax.random.key(0))
    left, right = nmm.plot.connectome(found, view="side")
    np.testing.assert_array_equal(left.images[0].get_array().filled(0.0), found.weights)
    assert left.get_ylabel() == "receiving region" and right.get_xlabel() == "back to front y (mm)"
    dots = right.collections[1]
    np.testing.assert_array_equal(dots.get_offsets(), np.asarray(found.positions)[:, 1:])
    assert np.argmax(dots.get_sizes()) == np.argmax(found.weights.sum(axis=1))
    assert len(right.collections[0].get_segments()) == np.count_nonzero(np.triu(found.weights))
    axes = nmm.plot.connectome(nmm.Connectome([[0.0, -1.0], [2.0, 0.0]]))
    assert axes.images[0].norm.vcenter == 0
    with pytest.raises(ValueError, match="Argument `view` must be one of top, side, front"):
        nmm.plot.connectome(found, view="below")
    with pytest.raises(ValueError, match="Argument `connectome` must be a `Connectome`"):
        nmm.plot.connectome(W)
