"""Every link, picture and frame of the built site leads to a file of it and to an anchor there; nothing is fetched."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

TARGET = re.compile(r'<(?:a|img|iframe|link|script)\b[^>]*?\b(?:href|src)="?([^"\s>]+)')


@cache
def anchors(path):
    """Ids and names of a page."""
    return set(re.findall(r'\b(?:id|name)="?([^"\s>]+)', path.read_text(encoding="utf8")))


def dead_links(site):
    """(page, target) of all that leads nowhere."""
    dead = []
    for page in sorted(Path(site).rglob("*.html")):
        if page.name in ("404.html", "explore.html"):  # served from any folder; a page without links of the site
            continue
        for target in set(TARGET.findall(page.read_text(encoding="utf8"))):
            parts = urlsplit(target.replace("&amp;", "&"))
            if parts.scheme or parts.netloc:
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            file = file / "index.html" if file.is_dir() else file
            fragment = unquote(parts.fragment)
            known = file.exists() and (not fragment or file.suffix != ".html" or fragment in anchors(file))
            if not known:
                dead.append((page.relative_to(site).as_posix(), target))
    return dead
