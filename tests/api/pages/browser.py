"""A real browser on the pages: Debian's Chromium, headless, driven by playwright; it watches for what must not happen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
WAIT_MS = 15_000
LOGGED = ("422 (Unprocessable", "404 (Not Found)")
"""Chromium writes every such answer into the console, also that of a form which says what is wrong."""

CONTRAST = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const layer = rgba(getComputedStyle(e).backgroundColor);
      if (layer[3] > 0) layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), rgba("Canvas"));
  };
  const light = (c) => {
    const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const judge = (element, text, colour) => {
    const back = ground(element), front = over(rgba(colour), back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    found.push({ text: text.trim().slice(0, 60), ratio: (a + 0.05) / (b + 0.05), colour, tag: element.tagName });
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data;
    if (!text.trim() || ["SCRIPT", "STYLE", "title", "TITLE", "OPTION"].includes(element.tagName)) continue;
    if (!element.checkVisibility({ visibilityProperty: true }) || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    judge(element, text, element instanceof SVGElement ? style.fill : style.color);
  }
  for (const input of document.querySelectorAll("input, textarea, select")) {
    if (!input.checkVisibility() || ["hidden", "checkbox"].includes(input.type)) continue;
    judge(input, input.value || input.name, getComputedStyle(input).color);
    if (input.placeholder) judge(input, input.placeholder, getComputedStyle(input, "::placeholder").color);
  }
  return found;
}"""
"""Contrast of every visible text with what lies behind it (WCAG 2.2, relative luminance)."""


@dataclass(kw_only=True)
class Watched:
    """A page of the browser, and everything that went wrong on it.

    Attributes:
        page: playwright's.
        home: the server's address; requests to anything else are noted.
        faults: console errors and warnings, exceptions, dialogs, foreign requests, failed ones.
    """

    page: Page
    home: str
    faults: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        """Open a page and wait until its scripts have run."""
        self.page.goto(self.home + path)
        self.page.wait_for_function("document.readyState === 'complete'")

    def tab_to(self, selector: str, *, most: int = 80) -> None:
        """Press Tab until the focus is on the element."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"{selector} is not reached by {most} tabs")

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        width = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return int(width)

    def low_contrast(self, least: float = 4.5) -> list[dict[str, Any]]:
        """Visible texts below that contrast."""
        found: list[dict[str, Any]] = self.page.evaluate(CONTRAST)
        assert len(found) > 10, "the page shows no text"
        return [text for text in found if text["ratio"] < least]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--headless=new"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Browser, home: str, *, expected: tuple[str, ...] = (), **options: Any) -> Iterator[Watched]:
    """A fresh window; leaving the block asserts that nothing went wrong.

    Args:
        browser: the browser.
        home: address of the server.
        expected: parts of console messages that belong to the test.
        options: of the window: viewport, color_scheme, java_script_enabled ...
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    found = Watched(page=page, home=home)
    page.on("console", lambda message: _console(found, message, (*LOGGED, *expected)))
    page.on("pageerror", lambda error: found.faults.append(f"exception: {error}"))
    page.on("dialog", lambda dialog: _dialog(found, dialog))
    context.on("request", lambda request: _request(found, request))
    try:
        yield found
        assert not found.faults, found.faults
    finally:
        context.close()


def _console(found: Watched, message: ConsoleMessage, expected: tuple[str, ...]) -> None:
    if message.type in ("error", "warning") and not any(part in message.text for part in expected):
        found.faults.append(f"console {message.type}: {message.text}")


def _dialog(found: Watched, dialog: Dialog) -> None:
    found.faults.append(f"dialog: {dialog.message}")
    dialog.dismiss()


def _request(found: Watched, request: Request) -> None:
    if not request.url.startswith((found.home + "/", "data:", "blob:")):
        found.faults.append(f"request to {request.url}")
