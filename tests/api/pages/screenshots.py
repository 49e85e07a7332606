"""`python -m tests.api.pages.screenshots [FOLDER]` makes the pictures of the pages in docs/service anew.

The scenes of the tests on a real server, looked at by a real browser; nothing in them is a measurement.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import FloatRect

from tests.api.pages.browser import chromium, watched
from tests.api.pages.kit import NOON, served
from tests.api.pages.scenes import everything
from tests.api.pages.stage import Stage, cluster_seen

DOCS = Path(__file__).resolve().parents[3] / "docs" / "service"
WIDTH, TALLEST = 1360, 1900
SETTLED_MS = 700
LABEL = """() => {
  const note = document.createElement("div");
  note.className = "note is-plain";
  note.textContent = "Example: the sweeps and their numbers are made up.";
  document.querySelector("main").prepend(note);
}"""


def main(folder: Path) -> None:
    """Write list.png, sweep.png, queue.png and compare.png below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as out, served(Path(out), options={"clock": lambda: NOON}) as site, chromium() as browser:
        cluster_seen(site.ctx)
        ids = everything(Stage(ctx=site.ctx, now=NOON))
        pages = {
            "list": "/",
            "sweep": f"/sweeps/{ids['live']}",
            "queue": "/queue",
            "compare": f"/compare?a={ids['done']}&b=%231334",
        }
        for name, path in pages.items():
            with watched(browser, site.url, viewport={"width": WIDTH, "height": 700}, color_scheme="light") as window:
                window.go(path)
                window.page.evaluate(LABEL)
                window.page.wait_for_timeout(SETTLED_MS)
                height = int(window.page.evaluate("document.documentElement.scrollHeight"))
                clip: FloatRect = {"x": 0, "y": 0, "width": WIDTH, "height": min(height, TALLEST)}
                window.page.screenshot(path=folder / f"{name}.png", full_page=True, clip=clip, animations="disabled")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
