"""The pages in a real browser: readable on every screen, by everybody, with nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.api.pages.browser import CHROMIUM, chromium, watched
from tests.api.pages.kit import NOON, Site, served
from tests.api.pages.scenes import everything
from tests.api.pages.stage import Stage, cluster_seen, verified
from tests.api.pages.test_acting import HOSTILE

pytestmark = [
    pytest.mark.service,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's Chromium"),
]
SHORT = ("done", "invalid", "failed", "cancelled", "lost", "small", "live", "queued", "cancelling")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, dict[str, str]]]:
    """Every scene on a real server; tests that use it change nothing."""
    with served(tmp_path_factory.mktemp("site"), options={"clock": lambda: NOON}) as found:
        cluster_seen(found.ctx)
        yield found, everything(Stage(ctx=found.ctx, now=NOON))


def paths(ids: dict[str, str]) -> list[str]:
    pages = ["/", "/?state=LOST", "/?state=TIMED_OUT", "/queue", "/new?profile=smoke", "/compare", "/login", "/nothing"]
    return [*pages, *(f"/sweeps/{ids[name]}" for name in SHORT), f"/compare?a={ids['done']}&b=%231334"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_in_both_modes(browser: Browser, site: tuple[Site, dict[str, str]], scheme: str) -> None:
    found, ids = site
    with watched(browser, found.url, color_scheme=scheme) as window:
        for path in paths(ids):
            window.go(path)
            assert not window.low_contrast(), path
        window.go("/new")
        window.page.fill("#seeds", "one")
        window.page.click("button[type=submit]")
        expect(window.page.locator("#seeds-errors")).to_be_visible()
        assert not window.low_contrast()
        window.go(f"/sweeps/{ids['failed']}")
        window.page.click("#ask-retry")
        expect(window.page.locator("#confirm-retry")).to_be_visible()
        assert not window.low_contrast()


@pytest.mark.parametrize("width", [320, 360, 768, 1600])
def test_no_page_scrolls_sideways(browser: Browser, site: tuple[Site, dict[str, str]], width: int) -> None:
    found, ids = site
    with watched(browser, found.url, viewport={"width": width, "height": 800}) as window:
        for path in paths(ids):
            window.go(path)
            assert window.overflow() == 0, f"{path} at {width}"


def test_dark_mode_follows_the_system_and_the_button_and_is_kept(browser: Browser, site: tuple[Site, dict[str, str]]) -> None:
    found, _ = site
    ground = "getComputedStyle(document.body).backgroundColor"
    with watched(browser, found.url, color_scheme="dark") as window:
        window.go("/")
        assert window.page.evaluate(ground) == "rgb(14, 19, 26)"
        button = window.page.locator("#theme")
        expect(button).to_have_text("Theme: system")
        button.click()
        expect(button).to_have_text("Theme: light")
        assert window.page.evaluate(ground) == "rgb(245, 246, 248)"
        window.go("/queue")
        expect(button).to_have_text("Theme: light")
        assert window.page.evaluate(ground) == "rgb(245, 246, 248)"
        button.click()
        button.click()
        expect(button).to_have_text("Theme: system")
        window.page.emulate_media(color_scheme="light")
        assert window.page.evaluate(ground) == "rgb(245, 246, 248)"


def test_every_stop_of_the_tab_key_is_seen_and_has_a_name(browser: Browser, site: tuple[Site, dict[str, str]]) -> None:
    found, ids = site
    look = """() => {
      const e = document.activeElement, s = getComputedStyle(e);
      const label = e.labels && e.labels[0] ? e.labels[0].textContent : "";
      return { tag: e.tagName, ring: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2,
               name: (e.getAttribute("aria-label") || label || e.textContent || "").trim(), main: e.closest("main") !== null };
    }"""
    with watched(browser, found.url) as window:
        for path in ("/", "/new", "/queue", "/compare", f"/sweeps/{ids['live']}"):
            window.go(path)
            stops = []
            for _ in range(100):
                window.page.keyboard.press("Tab")
                if window.page.evaluate("document.activeElement === document.body"):
                    break
                stops.append(window.page.evaluate(look))
            assert len(stops) > 6 and all(stop["ring"] for stop in stops), [stop for stop in stops if not stop["ring"]]
            assert all(stop["name"] for stop in stops), [stop for stop in stops if not stop["name"]]
            assert any(stop["main"] for stop in stops), path


def test_the_skip_link_leads_past_the_navigation(browser: Browser, site: tuple[Site, dict[str, str]]) -> None:
    found, _ = site
    with watched(browser, found.url) as window:
        window.go("/")
        window.page.keyboard.press("Tab")
        expect(window.page.locator(".skip")).to_be_focused()
        window.page.keyboard.press("Enter")
        window.page.keyboard.press("Tab")
        assert window.page.evaluate("document.activeElement.closest('main') !== null")


def test_curves_are_drawn_and_drawn_anew_for_another_theme(browser: Browser, site: tuple[Site, dict[str, str]]) -> None:
    found, ids = site
    inked = """id => {
      const c = document.querySelector(`#${id} canvas`);
      const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      const colours = new Set();
      for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) colours.add(`${d[i]},${d[i + 1]},${d[i + 2]}`);
      return [...colours];
    }"""
    with watched(browser, found.url, color_scheme="light") as window:
        window.go(f"/sweeps/{ids['live']}")
        expect(window.page.locator("#chart-loss canvas")).to_be_visible()
        light = window.page.evaluate(inked, "chart-loss")
        assert "0,104,163" in light and "194,79,0" in light and len(window.page.evaluate(inked, "chart-rate")) > 10
        window.page.click("#theme")
        window.page.click("#theme")
        dark = window.page.evaluate(inked, "chart-loss")
        assert "93,180,236" in dark and "0,104,163" not in dark


def test_hostile_names_stay_text_in_the_browser(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    with served(tmp_path_factory.mktemp("hostile")) as found, watched(browser, found.url) as window:
        for text in HOSTILE:
            window.go("/new?profile=smoke")
            window.page.fill("#name", text)
            window.page.click("button[type=submit]")
            expect(window.page.locator("h1")).to_have_text(text)
            assert window.page.title().startswith(text)
            for field in ("seeds", "overrides", "baseline", "priority"):
                window.go("/new?profile=smoke")
                window.page.fill(f"#{field}", text)
                window.page.click("button[type=submit]")
                expect(window.page.locator(f"#{field}-errors")).to_be_visible()
                expect(window.page.locator(f"#{field}")).to_have_value(text)
            window.go("/compare")
            window.page.fill("#a", text[:64])
            window.page.fill("#b", text[:64])
            window.page.click("button[type=submit]")
            expect(window.page.locator("#refused")).to_be_visible()
        window.go("/")
        expect(window.page.locator("a.name")).to_have_text(list(reversed(HOSTILE)))
        window.go("/queue")
        expect(window.page.locator("a.name").first).to_be_visible()


def test_hostile_files_of_a_run_stay_text_in_the_browser(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    with served(tmp_path_factory.mktemp("files")) as found, watched(browser, found.url) as window:
        stage = found.stage()
        sweep = stage.sweep("files", (1,), at=stage.now, profile="smoke")
        stage.prepare(sweep, at=stage.now)
        stage.run(sweep, 1, at=stage.now)
        folder = stage.folder(sweep, 1)
        folder.path("job.log").write_text("<script>alert(1)</script>\n</pre><img src=x onerror=alert(1)>\n", encoding="utf-8")
        folder.append_event("phase", {"phase": "<img src=x onerror=alert(1)>"})
        folder.append_event("step", {"step": 1, "loss": 2.0, "tokens_per_s": 1.0, "note": "</script>"})
        verified(folder)
        stage.beat(sweep, 1, "<b onmouseover=alert(1)>train</b>", at=stage.now, step=1, steps=2)
        window.go(f"/sweeps/{sweep}")
        expect(window.page.locator("#log-text")).to_contain_text("</pre><img src=x onerror=alert(1)>")
        expect(window.page.locator("#seed-1")).to_contain_text("<b onmouseover=alert(1)>train</b>, step 1 of 2")
        assert window.page.locator("main img, main b, main script").count() == 0


def test_without_scripts_everything_can_still_be_read_and_done(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with served(tmp_path_factory.mktemp("plain")) as found, watched(browser, found.url, java_script_enabled=False) as window:
        window.page.goto(found.url + "/new?profile=smoke")
        window.page.fill("#name", "without scripts")
        window.page.click("button[type=submit]")
        expect(window.page.locator("#verdict")).to_contain_text("Waiting")
        window.page.click("#ask-cancel")
        window.page.click("#confirm-cancel button.danger")
        expect(window.page.locator("#verdict")).to_contain_text("No score: 3 cancelled.")
