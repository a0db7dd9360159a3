"""The interactive explorer on the landing page."""

from functools import cache

MARK = "<!-- explorer -->"
FRAME = (
    '<iframe src="explore.html" title="Interactive explorer" loading="lazy" '
    'style="width: 100%; height: 880px; border: 1px solid #8886; border-radius: 4px"></iframe>\n\n'
    '<a href="explore.html">Open the explorer on a page of its own</a>'
)


@cache
def page():
    """The page with all presets."""
    import nmmjax as nmm

    return nmm.explore().html


def fill(markdown, there):
    """The frame, or nothing."""
    return markdown.replace(MARK, FRAME if there else "")
