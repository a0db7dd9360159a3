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
