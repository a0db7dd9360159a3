"""Run the python blocks of pages, each page in a namespace of its own: `python shown.py quick|slow "PAGE;CHECK;…" …`."""

import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(<!-- slow -->\n)?```python\n(.*?)```", flags=re.DOTALL)


def blocks_of(page, slow=True):
    """[(line, code)] of a page: all its blocks, or those that the default suite runs."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [(text.count("\n", 0, each.start(2)), each[2], bool(each[1])) for each in BLOCK.finditer(text)]
    return [(line, code) for line, code, minutes in found if slow or not minutes]


def run(page, slow):
    """The namespace after all blocks in order, without those that the README has and runs; errors name the page's line."""
    known = {code for _, code in blocks_of("README.md")} if page != "README.md" else ()
    namespace = {"__name__": "__main__"}
    for line, code in blocks_of(page, slow):
        if code not in known:
            exec(compile("\n" * line + code, page, "exec"), namespace)
    return namespace


def main():
    """Every page with its checks, and how long each took."""
    for page, *checks in (each.split(";") for each in sys.argv[2:]):
        begun = time.perf_counter()
        namespace = run(page, sys.argv[1] == "slow")
        for check in checks:
            exec(f"assert {check}, {check!r}", namespace)
        print(f"{page}: {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
