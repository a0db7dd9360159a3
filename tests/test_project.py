"""What surrounds the code: what is packaged, cited, and run by the hosted CI."""

import re
import tomllib
from pathlib import Path

from test_architecture import LAYERS

import nmmjax

ROOT = Path(__file__).parent.parent


def test_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    citation = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf8"), flags=re.MULTILINE)
    assert citation is not None
    assert nmmjax.__version__ == project["version"] == citation[1]


def test_types_reach_the_users_checkers():
    assert (Path(nmmjax.__file__).parent / "py.typed").exists()


def test_hosted_ci_runs_what_one_runs_by_hand():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf8")
    assert "run: .ci/run\n" in text and '["3.11", "3.13"]' in text


def test_contributors_are_told_the_layers():
    """Every folder is in the table of CONTRIBUTING.md, below all that it may import."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")
    table = text.partition("## Layers")[2].partition("\n## ")[0]
    told = re.findall(r"`([a-z_]+)`", " ".join(re.findall(r"^\|(.*?)\|", table, flags=re.MULTILINE)))
    package = Path(nmmjax.__file__).parent
    depth = {room: k for k, rooms in enumerate(LAYERS) for room in rooms if (package / room).is_dir()}
    assert sorted(told) == sorted(depth)
    assert [depth[folder] for folder in told] == sorted(depth.values())
