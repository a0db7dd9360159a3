"""Draw the film of the explorer for the README: needs a Chromium of the system and the extra `browser-test`.

python docs/tools/draw_explorer.py [picture.gif]
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import nmmjax as nmm

HIDDEN = (
    "header, #about, aside { display: none } main { display: block; padding: 8px }"
    "canvas { height: 250px } .wide canvas { height: 230px }"
)


def film(path: Path, seconds: float = 9.0, per_second: int = 8) -> None:
    """The bistable population under its pulse: three views, one frame for every 1/`per_second` of the page's time."""
    page_file = nmm.explore("bistable").save(Path(tempfile.mkdtemp()) / "page.html")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 860, "height": 560}, color_scheme="light")
        page.goto(page_file.as_uri())
        page.add_style_tag(content=HIDDEN)
        page.evaluate("explorer.running = false")
        frames = []
        for _ in range(int(seconds * per_second)):
            page.evaluate(f"explorer.run.advance({3.6 / per_second})")
            page.wait_for_timeout(120)
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            frames.append(picture.quantize(64, dither=Image.Dither.NONE))
        browser.close()
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // per_second, loop=0, optimize=True)


if __name__ == "__main__":
    film(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/explorer.gif"))
