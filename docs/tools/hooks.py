"""Hooks of the site: pages made from notebooks, docstrings, tables and results, and links that lead out of docs/."""

import logging
import posixpath
import re
from pathlib import Path

import benchmark_pages
import explorer
import gallery_page
import link_check
import notebook_pages
import reference_pages
import theory_pages
import validation_page
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent.parent
LOG = logging.getLogger("mkdocs.nmmjax")
LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")
COPIED = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def on_config(config):
    """The navigation names all pages of notebooks and of the reference."""
    made = {"Learn": notebook_pages.pages(), "Reference": reference_pages.pages()}
    for entry in config["nav"]:
        for title, pages in made.items():
            if title in entry:
                entry[title] = sorted(pages, key=lambda place: not place.endswith("index.md"))
    return config


def on_files(files, config):
    """Add what is made: pages of notebooks, reference, gallery, benchmarks, and pictures from elsewhere."""
    pages = {place: (ROOT / name).read_text(encoding="utf8") for name, place in COPIED.items()}
    pages |= notebook_pages.pages() | reference_pages.pages() | benchmark_pages.pages() | gallery_page.pages()
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    pictures = notebook_pages.pictures()
    for place, data in pictures.items():
        files.append(File.generated(config, place, content=data))
    for folder, place in (
        ("notebooks/images", "images"),
        ("benchmarks/results", "benchmarks"),
        ("benchmarks/results/validation", "validation"),
    ):
        for path in sorted((ROOT / folder).glob("*.png")):
            files.append(File.generated(config, f"{place}/{path.name}", abs_src_path=str(path)))
    if page := explorer.page():
        files.append(File.generated(config, "explore.html", content=page))
    return files


def on_page_markdown(markdown, page, config, files):
    """Fill in what is computed, and bend links to files outside of docs/ to their pages."""
    place = page.file.src_uri
    markdown = validation_page.fill(markdown) if place == "validation.md" else markdown
    markdown = theory_pages.fill(markdown) if place == "theory.md" else markdown
    markdown = explorer.fill(markdown, bool(files.get_file_from_path("explore.html"))) if place == "index.md" else markdown
    return LINK.sub(lambda found: bent(found, place, files), markdown)


def on_page_content(html, page, config, files):
    """Sections of the theory that docstrings cite are links."""
    place = page.file.src_uri
    return theory_pages.link(html, "../") if place.startswith("reference/") else html


def source_of(place):
    """Where in the repository the text of a page comes from: its links start there."""
    copied = {page: name for name, page in COPIED.items()} | {"benchmarks.md": "benchmarks/README.md"}
    if place in copied:
        return copied[place]
    return notebook_pages.source_of(place) or f"docs/{place}"


def bent(found, place, files):
    """A link's target as seen from `place`: pages and pictures of the site for files of the repository."""
    target, anchor = found["target"], found["anchor"] or ""
    own = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))  # made here, such as a notebook's pictures
    if "://" in target or target.startswith(("mailto:", "/")) or files.get_file_from_path(own):
        return found[0]
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source_of(place)), target))
    if file.startswith("docs/"):
        there = file.removeprefix("docs/")
    elif file in COPIED:
        there = COPIED[file]
    elif file == "benchmarks/README.md":
        there = "benchmarks.md"
    elif file.startswith("benchmarks/results/"):
        there = "benchmarks/" + posixpath.basename(file)
    elif file.startswith("notebooks/images/"):
        there = "images/" + posixpath.basename(file)
    elif file.startswith("notebooks/") and file.endswith(".ipynb"):
        there = f"learn/{posixpath.basename(file)[:-6]}.md"
    elif file == "README.md":
        there = "index.md"
    elif (ROOT / file).exists():  # a file of the repository that the site doesn't show
        return "https://" + "example.invalid/" + file
    else:
        LOG.warning(f"{source_of(place)} links to {target}, which doesn't exist")
        return found[0]
    return posixpath.relpath(there, posixpath.dirname(place) or ".") + anchor


def on_post_page(output, page, config):
    """Links to files that the site doesn't show become their names."""
    return re.sub(r'<a href="https://example\.invalid/([^"]+)">(.*?)</a>', r'<span title="\1">\2</span>', output)


def on_post_build(config):
    """Every public name has its place in the reference, and every link its target."""
    names = reference_pages.names()
    site = Path(config["site_dir"])
    text = "\n".join(path.read_text(encoding="utf8") for path in sorted((site / "reference").rglob("*.html")))
    missing = [name for name in names if f'id="{name}"' not in text]
    if missing:
        raise PluginError(f"The reference lacks {', '.join(missing)}.")
    LOG.info(f"Reference: {len(names)} of {len(names)} public names")
    if dead := link_check.dead_links(site):
        raise PluginError("These links lead nowhere: " + "; ".join(f"{target} on {page}" for page, target in dead))
