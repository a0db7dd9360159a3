"""The site: every public name is in the reference, links lead somewhere, notebooks open with a question."""

import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path

import processes
import pytest

import nmmjax

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def tool(name):
    """A module of docs/tools, which is no package; none of them needs the site's generator but hooks.py."""
    sys.path.insert(0, str(ROOT / "docs" / "tools"))
    try:
        spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "tools" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.pop(0)


def test_every_public_name_is_in_the_reference():
    """What the imported package offers, found without reading its source, is what the pages list, each name once."""
    spaces = [name for name, value in vars(nmmjax).items() if inspect.ismodule(value) and name in PUBLIC_SPACES]
    assert sorted(spaces) == sorted(PUBLIC_SPACES) == sorted(tool("reference_pages").namespaces())
    flat = {f"nmmjax.{name}" for name, value in vars(nmmjax).items() if is_public(name, value)}
    inner = {f"nmmjax.{space}.{name}" for space in spaces for name, value in vars(getattr(nmmjax, space)).items()
             if is_public(name, value)}  # fmt: skip
    reference = tool("reference_pages")
    listed = re.findall(r"^::: (\S+)$", "\n".join(reference.pages().values()), flags=re.MULTILINE)
    assert sorted(listed) == sorted(reference.names()) == sorted(flat | inner)
    assert len(listed) > 200


PUBLIC_SPACES = {"results", "coordinates", "mechanics", "ising", "stochastic", "extend", "plot"}


def is_public(name, value):
    return not name.startswith("_") and not inspect.ismodule(value)


def test_navigation_names_every_written_page():
    """Pages that are made are added by the hooks; the build would warn of others."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf8")
    written = {path.relative_to(ROOT / "docs").as_posix() for path in PAGES}
    assert written <= set(re.findall(r"\S+\.md", text))


def test_every_plot_function_is_in_the_gallery():
    """Each has a picture of less than 300 kB, and the page its call, in at most 125 columns."""
    page = tool("gallery_page").pages()["gallery.md"]
    names = {name for name, value in vars(nmmjax.plot).items() if is_public(name, value)}
    assert names == set(re.findall(r"^## (\w+)$", page, flags=re.MULTILINE)) and len(names) >= 30
    shown = re.findall(r"\]\((pictures/[\w.]+)\)", page)
    assert len(shown) == len(names)
    assert all(1000 < (ROOT / "docs" / each).stat().st_size < 300_000 for each in shown)
    calls = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert all(f"nmm.plot.{name}(" in "".join(calls) for name in names)


def test_curves_of_other_programs_are_met():
    """What `benchmarks/validation.py` wrote last is of its table, within its limits, and has a picture."""
    folder = ROOT / "benchmarks" / "results" / "validation"
    found = {path.stem: json.loads(path.read_text(encoding="utf8")) for path in folder.glob("curve_*.json")}
    text = (ROOT / "benchmarks" / "validation.py").read_text(encoding="utf8")
    table = re.findall(r"^    Curve\(\s*\"(\w+)\"", text, flags=re.MULTILINE)
    assert sorted(found) == sorted(f"curve_{name}" for name in table) and len(table) >= 8
    assert all(each["largest_difference"] <= each["limit"] and each["met"] for each in found.values())
    assert all((folder / f"{name}.png").exists() for name in table)
    claims = json.loads((folder / "claims.json").read_text(encoding="utf8"))["claims"]
    assert "".join(each["letter"] for each in claims) == "abcdefghijklmnopqrst"
    assert all(each["met"] and not each["quick"] for each in claims)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_curves_are_met_anew(tmp_path):
    """Those that need no program of another licence."""
    names = ("run_with_pulse", "burst", "mean_rate", "periods")
    done = processes.python(
        "-m", "benchmarks.validation", "--only", ",".join(names), "--out", tmp_path, seconds=800, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    for name in names:
        assert json.loads((tmp_path / f"curve_{name}.json").read_text(encoding="utf8"))["met"], name


def test_notebooks_open_with_a_question():
    pages = tool("notebook_pages")
    assert len(pages.files()) >= 9
    assert all(pages.question(path)[1].endswith("?") for path in pages.files())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_of_pages_lead_somewhere(path):
    """Files of the repository, or pages that are made; anchors are looked at by the build."""
    made = {"gallery.md", *tool("reference_pages").pages(), *tool("notebook_pages").pages()}
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf8")):
        file = (path.parent / target).resolve()
        known = file.is_relative_to(ROOT / "docs") and file.relative_to(ROOT / "docs").as_posix() in made
        assert "://" in target or known or file.exists(), target


def test_dead_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">1</a> <a href="b.html#gone">2</a> <img src="no.png"> <a href="#x">3</a>'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1> <a href="https://example.org/no">4</a> <a href="a.html">5</a>')
    assert sorted(tool("link_check").dead_links(tmp_path)) == [
        ("a.html", "#x"),
        ("a.html", "b.html#gone"),
        ("a.html", "no.png"),
    ]
