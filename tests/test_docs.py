"""The site: every public name is in the reference, links lead somewhere, notebooks open with a question."""

import importlib.util
import inspect
import re
import sys
from pathlib import Path

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


def test_navigation_names_every_page():
    """Pages that are made are in the navigation, too; the build would warn of others."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf8")
    made = [*tool("reference_pages").pages(), *tool("notebook_pages").pages(), *tool("benchmark_pages").pages()]
    written = [path.relative_to(ROOT / "docs").as_posix() for path in PAGES]
    named = set(re.findall(r"\S+\.md", text))
    assert {*made, *written} <= named


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
