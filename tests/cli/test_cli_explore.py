"""`nmmjax explore`: presets, a model from a TOML file, and one sentence for mistakes."""

import pytest

from nmmjax.cli.exploring import explore

CONFIG = """\
[model]
name = "MPR"
eta = 2.5
[model.gap]
g = 0.25
[y0]
r = 0.5
v = 0.0
"""


def test_presets_are_written(tmp_path, capsys):
    explore("gap", out=str(tmp_path / "gap.html"), browser=False)
    assert "Gap-junction cycle" in (tmp_path / "gap.html").read_text(encoding="utf8")
    assert capsys.readouterr().out.strip() == str(tmp_path / "gap.html")


def test_files_tell_a_model(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    (tmp_path / "mine.toml").write_text(CONFIG)
    explore(str(tmp_path / "mine.toml"), out=str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text(encoding="utf8")
    assert '"title": "mine"' in text and '"value": 0.25' in text and '"y0": [0.5, 0.0]' in text
    assert shown == [(tmp_path / "page.html").as_uri()]


FILES = {
    "circuit": ('[model]\nname = "ping"\nI_e = 9.0\n[y0]\nr = [0.02, 0.03]\nv = [-1.0, -1.0]\n', '"y0": [0.02, 0.03, -1.0'),
    "network": (
        CONFIG.replace("[y0]\nr = 0.5\nv = 0.0", "[network]\nweights = [[0.0, 1.0], [0.5, 0.0]]"),
        '"nodes": ["0", "1"]',
    ),
    "closure": ('[model]\nname = "CircularCumulants"\nintensity = 0.3\n[model.population]\neta = 1.5\n', '"value": 1.5'),
}


@pytest.mark.parametrize("name", FILES)
def test_files_tell_any_model(tmp_path, name):
    text, shown = FILES[name]
    (tmp_path / "mine.toml").write_text(text)
    explore(str(tmp_path / "mine.toml"), out=str(tmp_path / "page.html"), browser=False)
    assert shown in (tmp_path / "page.html").read_text(encoding="utf8")
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (CONFIG.replace("r = 0.5", "s = 0.5"), r"line 6: .*`s` must be one of"),
        (CONFIG.replace("eta = 2.5", 'eta = "x"'), r"line 3: .*must be"),
        (None, "Argument `model` must be one of bistable, .*, or a TOML file, but got 'nothing'"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, text, match, unchecked):
    (tmp_path / "mine.toml").write_text(text or "")
    with pytest.raises(ValueError, match=match):
        explore("nothing" if text is None else str(tmp_path / "mine.toml"), browser=False)
