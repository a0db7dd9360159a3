"""The page of theory on the site: how many statements of each kind there are, and the file of every test that it names."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MARK = "<!-- counted -->"
KINDS = {  # how statements begin, and the class that colours them
    r"\b(Exact)(?=[:,])": "exact",
    r"(?<=\()(approximate)\b": "approximate",
    r"\b([Mm]easured)(?=[:,]| \(|\))": "measured",
    r"\*\*(False[^*]*)\*\*": "false",
}


@cache
def homes():
    """Name of a test: the file that holds it."""
    return {
        node.name: path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def fill(markdown):
    """Names of tests show their files, and the head of the page counts what it states."""
    tests = re.findall(r"`(test_\w+)`", markdown)
    files = sorted({homes()[name] for name in tests})
    counted = (
        f"{len(set(tests))} tests in {len(files)} files check this page, and all of them exist. Kinds of statements are set "
        "in bold: <strong class=exact>Exact</strong>, <strong class=approximate>approximate</strong>, "
        "<strong class=false>False</strong>, <strong class=measured>Measured</strong>. Point at a test to see its file."
    )
    markdown = re.sub(
        r"`(test_\w+)`",
        lambda found: f'<code title="{homes()[found[1]]}">{found[1]}</code>',
        markdown.replace(MARK, counted),
    )
    for pattern, kind in KINDS.items():
        markdown = re.sub(pattern, rf'<strong class="{kind}">\1</strong>', markdown)
    return markdown


@cache
def anchors():
    """Section of the theory, such as "C1": its anchor on the page."""
    from markdown.extensions.toc import slugify

    titles = re.findall(r"^##+ (§(\S+).*)$", (ROOT / "docs" / "theory.md").read_text(encoding="utf8"), flags=re.MULTILINE)
    return {section: slugify(title, "-") for title, section in titles}


def link(html, up):
    """Docstrings cite sections, "docs/theory.md §4, §8": each becomes a link."""

    def one(found):
        anchor = anchors().get(found[1])
        return f'<a href="{up}theory.html#{anchor}">§{found[1]}</a>' if anchor else found[0]

    cited = re.compile(r"docs/theory\.md((?:(?:[\s,–]|and)*§\w+(?:\.\d)?)+)")
    return cited.sub(lambda run: "theory" + re.sub(r"§(\w+(?:\.\d)?)", one, run[1]), html)
