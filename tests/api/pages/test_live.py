"""The whole way in a real browser: submit, watch, cancel and retry, with the real reconciler and the stub job system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from api.store import keys
from api.store.rows import Scope
from recur.record.result import State
from tests.api.pages.browser import CHROMIUM, Watched, chromium, watched
from tests.api.pages.kit import Site, served
from tests.api.reconciler.kit import StubHelper
from tests.api.stub_jobs import StubJobs

pytestmark = [
    pytest.mark.service,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's Chromium"),
]
SEEN_MS = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@dataclass(kw_only=True)
class Working:
    """A service that works, and the job system behind it."""

    site: Site
    stub: StubJobs

    def until_accepted(self, page: Page, job_id: str) -> None:
        """Wait for a submission of the reconciler."""
        wait(page, lambda: bool(self.stub.accepted(job_id)), f"{job_id} accepted")


@contextmanager
def working(folder: Path) -> Iterator[Working]:
    """A service with reconciler below ``folder`` for as long as the block runs; one seed at a time."""
    out = folder / "out"
    stub = StubJobs(folder / "ray")
    options = {"jobs": stub, "cluster": stub, "helper": StubHelper(out)}
    with served(out, options=options, reconcile=True, tick_s=0.1, cpu_slots=1) as site:
        yield Working(site=site, stub=stub)


def wait(page: Page, true: Callable[[], bool], what: str) -> None:
    """Let the browser go on until something is so."""
    for _ in range(200):
        if true():
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not within 20 s: {what}")


def submit(window: Watched, name: str, seeds: str) -> str:
    """Fill in and send the form; returns the sweep's id."""
    window.go("/new")
    window.page.select_option("#profile", "smoke")
    window.page.fill("#seeds", seeds)
    window.page.fill("#name", name)
    window.page.click("button[type=submit]")
    expect(window.page.locator("h1")).to_have_text(name)
    return window.page.url.rsplit("/", 1)[1]


def stays(page: Page) -> None:
    """Mark the document, so that a reload would be seen."""
    page.evaluate("window.neverReloaded = true")


def test_a_sweep_is_submitted_watched_and_cancelled_without_a_reload(browser: Browser, tmp_path: Path) -> None:
    with working(tmp_path) as found, watched(browser, found.site.url) as window:
        page, stub = window.page, found.stub
        sweep = submit(window, "watched", "1, 2")
        stays(page)
        expect(page.locator("[data-live-text]")).to_have_text("live", timeout=SEEN_MS)
        job = f"{sweep}-s1-a1"
        found.until_accepted(page, job)
        stub.start(job)
        expect(page.locator("#seed-1 .state")).to_have_text("running", timeout=SEEN_MS)
        expect(page.locator("#state-line")).to_contain_text("running")
        stub.advance(job)
        stub.beat(job)
        expect(page.locator("#seed-1")).to_contain_text("train, step 1 of 6", timeout=SEEN_MS)
        for _ in range(5):
            stub.advance(job)
        stub.finish(job)
        expect(page.locator("#seed-1 .state")).to_have_text("succeeded", timeout=SEEN_MS)
        expect(page.locator("#scores circle.dot").first).to_be_visible()
        second = f"{sweep}-s2-a1"
        found.until_accepted(page, second)
        stub.start(second)
        expect(page.locator("#seed-2 .state")).to_have_text("running", timeout=SEEN_MS)
        assert page.evaluate("window.neverReloaded") is True
        page.click("#ask-cancel")
        page.click("#confirm-cancel button.danger")
        expect(page.locator("#seed-2 .state")).to_have_text("cancelled", timeout=SEEN_MS)
        expect(page.locator("#seed-1 .state")).to_have_text("succeeded")
        assert stub.stops(second) and page.locator("#ask-cancel").count() == 0


def test_everything_is_done_with_the_keyboard_alone(browser: Browser, tmp_path: Path) -> None:
    with working(tmp_path) as found, watched(browser, found.site.url) as window:
        page, keys = window.page, window.page.keyboard
        window.go("/")
        window.tab_to('.nav a[href="/new"]')
        keys.press("Enter")
        expect(page.locator("h1")).to_have_text("New sweep")
        window.tab_to("#profile")
        keys.type("smoke")
        window.tab_to("#seeds")
        keys.press("Control+A")
        keys.type("5")
        window.tab_to("#name")
        keys.type("by keyboard")
        window.tab_to("button[type=submit]")
        keys.press("Enter")
        expect(page.locator("h1")).to_have_text("by keyboard")
        job = f"{page.url.rsplit('/', 1)[1]}-s5-a1"
        found.until_accepted(page, job)
        found.stub.start(job)
        expect(page.locator("#seed-5 .state")).to_have_text("running", timeout=SEEN_MS)

        window.tab_to("#ask-cancel")
        keys.press("Enter")
        expect(page.locator("#confirm-cancel button.danger")).to_be_focused()
        keys.press("Escape")
        expect(page.locator("#confirm-cancel")).to_be_hidden()
        expect(page.locator("#ask-cancel")).to_be_focused()
        keys.press("Enter")
        keys.press("Enter")
        expect(page.locator("#seed-5 .state")).to_have_text("cancelled", timeout=SEEN_MS)

        window.tab_to("#ask-retry")
        keys.press("Space")
        expect(page.locator("#confirm-retry")).to_be_visible()
        window.tab_to("#confirm-retry button.main")
        keys.press("Enter")
        expect(page.locator("#seed-5")).to_contain_text("attempt 2", timeout=SEEN_MS)
        assert "5 2" in " ".join(page.locator("#history").inner_text().split())


def test_focus_open_sections_and_dialogs_outlive_an_update(browser: Browser, tmp_path: Path) -> None:
    with working(tmp_path) as found, watched(browser, found.site.url) as window:
        page, stub = window.page, found.stub
        sweep = submit(window, "focus", "1")
        job = f"{sweep}-s1-a1"
        found.until_accepted(page, job)
        stub.start(job)
        expect(page.locator("#seed-1 .state")).to_have_text("running", timeout=SEEN_MS)
        page.click("#ask-cancel")
        expect(page.locator("#confirm-cancel button.danger")).to_be_focused()
        stub.advance(job)
        stub.beat(job)
        expect(page.locator("#seed-1")).to_contain_text("train, step 1 of 6", timeout=SEEN_MS)
        expect(page.locator("#confirm-cancel")).to_be_visible()
        expect(page.locator("#confirm-cancel button.danger")).to_be_focused()


def test_the_curve_grows_while_one_looks(browser: Browser, tmp_path: Path) -> None:
    with working(tmp_path) as found, watched(browser, found.site.url) as window:
        page, stub = window.page, found.stub
        sweep = submit(window, "curve", "1")
        job = f"{sweep}-s1-a1"
        found.until_accepted(page, job)
        stub.start(job)
        expect(page.locator("#chart-loss [data-chart-empty]")).to_be_visible()
        running = stub.job(job)
        assert running is not None
        folder = stub.attempt(running)
        for step in range(1, 6):
            folder.append_event("step", {"step": step, "steps": 6, "loss": 5.0 - step / 10, "tokens_per_s": 1000.0 + step})
        stub.advance(job)
        stub.beat(job)
        expect(page.locator("#chart-loss canvas")).to_be_visible(timeout=SEEN_MS)
        expect(page.locator("#chart-loss [data-chart-empty]")).to_be_hidden()
        expect(page.locator("#chart-rate .u-legend")).to_contain_text("seed 1")


def test_list_and_queue_follow_by_themselves(browser: Browser, tmp_path: Path) -> None:
    with working(tmp_path) as found, watched(browser, found.site.url) as window:
        page, stub = window.page, found.stub
        sweep = submit(window, "followed", "1, 2")
        job = f"{sweep}-s1-a1"
        found.until_accepted(page, job)
        stub.start(job)
        window.go("/queue")
        stays(page)
        expect(page.locator(f"#wait-{sweep}-2")).to_contain_text(job, timeout=SEEN_MS)
        window.go("/")
        stays(page)
        expect(page.locator(f"#row-{sweep} .pill")).to_have_text("running", timeout=SEEN_MS)
        stub.play(job, State.INVALID)
        expect(page.locator(f"#row-{sweep} .counts")).to_contain_text("1 invalid", timeout=SEEN_MS)
        assert page.evaluate("window.neverReloaded") is True


def test_a_job_system_that_goes_away_is_said_and_a_submission_is_still_taken(browser: Browser, tmp_path: Path) -> None:
    with working(tmp_path) as found, watched(browser, found.site.url) as window:
        found.stub.turn(away=True)
        wait(
            window.page,
            lambda: found.site.ctx.reconciler is not None and bool(found.site.ctx.reconciler.health.degraded),
            "degraded",
        )
        sweep = submit(window, "patient", "1")
        expect(window.page.locator("main .note").first).to_contain_text("Degraded:")
        found.stub.turn(away=False)
        found.until_accepted(window.page, f"{sweep}-s1-a1")


def test_one_signs_in_watches_and_is_sent_to_the_sign_in_when_the_key_is_revoked(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, require_keys=True) as site:
        with site.ctx.store.write() as c:
            made = keys.create(c, "ada", Scope.SUBMIT, now=0.0)
        with watched(browser, site.url, expected=("401 (Unauthorized)",)) as window:
            page = window.page
            window.go("/new?profile=smoke")
            expect(page.locator("h1")).to_have_text("Sign in")
            page.fill("#key", "recur_wrong")
            page.keyboard.press("Enter")
            expect(page.locator("main .note")).to_contain_text("not known")
            page.fill("#key", made.secret)
            page.keyboard.press("Enter")
            expect(page.locator("h1")).to_have_text("New sweep")
            submit(window, "with a key", "1")
            expect(page.locator("[data-live-text]")).to_have_text("live", timeout=SEEN_MS)
            assert page.evaluate("document.cookie") == ""
            window.go("/queue")
            with site.ctx.store.write() as c:
                keys.revoke(c, made.key_id, now=1.0)
            expect(page.locator("h1")).to_have_text("Sign in", timeout=SEEN_MS)
            assert page.url == f"{site.url}/login?next=/queue"
