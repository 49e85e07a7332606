"""The pages show what is there, in every state, and hold nothing that a strict content security policy refuses."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from api.pages import STATIC
from tests.api.kit import running
from tests.api.pages.kit import NOON, Page, Shown, read, shown
from tests.api.pages.stage import Stage, cluster_seen

PATHS = ("/", "/?state=RUNNING", "/queue", "/compare", "/new", "/new?profile=smoke", "/login")
SHORT = ("done", "invalid", "failed", "cancelled", "lost", "small", "live", "queued", "fresh", "cancelling")


def every_page(site: Shown) -> list[tuple[str, Page]]:
    paths = [*PATHS, *(f"/sweeps/{site.ids[name]}" for name in SHORT), f"/compare?a={site.ids['done']}&b=%231394"]
    return [(path, site.page(path)) for path in paths]


def test_every_page_is_whole_and_has_what_a_page_needs(site: Shown) -> None:
    for path, page in every_page(site):
        ids = [attrs["id"] or "" for _, attrs in page.elements if "id" in attrs]
        assert len(ids) == len(set(ids)), f"{path}: {sorted(i for i in ids if ids.count(i) > 1)}"
        assert page.having("html", lang="en") and page.having("a", class_="skip", href="#main") and page.having("main", id="main")
        assert len(page.having("h1")) == 1, path
        for label in page.having("label"):
            assert label.get("for") in (None, *ids), label
        for _, attrs in page.elements:
            named = " ".join(attrs.get(a) or "" for a in ("aria-labelledby", "aria-describedby")).split()
            assert set(named) <= set(ids), f"{path}: {named}"


def test_no_page_holds_a_script_a_style_or_a_handler_inside_or_loads_from_elsewhere(site: Shown) -> None:
    for path, page in every_page(site):
        assert not page.having("style"), path
        for tag, attrs in page.elements:
            assert "style" not in attrs, f"{path}: <{tag} style>"
            assert not [name for name in attrs if name.startswith(("on", "hx-on", "hx-vals", "hx-headers"))], f"{path}: {attrs}"
            for name in ("src", "hx-get", "action"):
                assert (attrs.get(name) or "/").startswith("/"), f"{path}: {attrs}"
            if tag == "script":
                assert (attrs.get("src") or "").startswith("/static/"), path


def test_every_static_file_that_a_page_names_is_served(site: Shown) -> None:
    page = site.page(f"/sweeps/{site.ids['done']}")
    named = [attrs.get("src") or attrs.get("href") or "" for tag, attrs in page.elements if tag in ("script", "link", "img")]
    assert len([name for name in named if name.startswith("/static/")]) >= 9
    for name in named:
        answer = site.client.get(name)
        assert answer.status_code == 200 and answer.content, name


def test_vendored_files_are_those_that_their_list_says() -> None:
    listed = re.findall(
        r"^\| (\S+\.(?:js|css)) .*\| ([0-9a-f]{64}) \|$", (STATIC / "vendor" / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(name for name, _ in listed) == sorted(
        p.name for p in (STATIC / "vendor").iterdir() if p.suffix in (".js", ".css")
    )
    for name, sha256 in listed:
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == sha256, name


def test_our_scripts_and_styles_load_nothing_from_elsewhere() -> None:
    for path in [*STATIC.glob("*.js"), *STATIC.glob("*.css")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|@import|url\(|innerHTML|\beval\b|new Function", text), path.name


def test_the_list_shows_every_sweep_with_its_state_mean_and_bytes(site: Shown) -> None:
    page = site.page("/")
    assert all(page.having("a", href=f"/sweeps/{sweep}") for sweep in site.ids.values())
    assert "1.08983" in page.text and "15,994,760" in page.text and "2 of 4 seeds" in page.text
    assert {found["class"] for found in page.having("span") if "pill" in (found.get("class") or "")} >= {
        f"state pill is-{name}"
        for name in ("running", "queued", "succeeded", "failed", "invalid", "cancelled", "cancelling", "lost")
    }


def test_the_list_is_filtered_by_state(site: Shown) -> None:
    page = site.page("/?state=FAILED")
    assert [a["href"] for a in page.having("a", class_="name")] == [f"/sweeps/{site.ids['failed']}"]
    assert "No sweep is timed out now" in site.page("/?state=TIMED_OUT").text


def test_an_unknown_filter_or_cursor_is_refused_as_a_page(site: Shown) -> None:
    assert "All sweeps" in site.page("/?state=SLEEPING", 422).text
    assert "All sweeps" in site.page("/?after=nonsense", 422).text


def test_htmx_gets_the_live_part_alone(site: Shown) -> None:
    for path in ("/", "/queue", f"/sweeps/{site.ids['live']}"):
        answer = site.client.get(path, headers={"HX-Request": "true"})
        assert answer.status_code == 200 and "<html" not in answer.text and "HX-Request" in answer.headers["vary"]
        part = read(answer.text)
        assert len(part.text) > 100 and not part.having("script")


def test_a_finished_sweep_shows_its_verdict_numbers_pictures_and_gates(site: Shown) -> None:
    page = site.page(f"/sweeps/{site.ids['done']}")
    for text in (
        "is not distinguishable from PR 1334",
        "1.08983",
        "sd 0.00037",
        "5,240 below the cap",
        "33 of 33",
        "Welch tests against PR 1334",
    ):
        assert text in page.text, text
    assert len(page.having("circle", class_="dot")) == 3 + 1 and page.having("line", class_="ci")
    assert len(page.having("rect", class_="fill-evaluate")) == 3 + 1 and page.having("line", class_="fence")
    assert "NVIDIA H100 80GB HBM3" in page.text and "artifact.code_bytes" in page.text
    assert page.having("a", href=f"/v1/sweeps/{site.ids['done']}/record.zip")
    assert not page.having("button", id="ask-cancel") and not page.having("button", id="ask-retry")


def test_a_running_sweep_shows_progress_and_follows_its_events(site: Shown) -> None:
    page = site.page(f"/sweeps/{site.ids['live']}")
    assert "train, step 2,480 of 4,550" in page.text and page.having("progress", max="4550", value="2480")
    live = page.having("div", id="live")[0]
    assert live["data-events"] == f"/v1/sweeps/{site.ids['live']}/events" and int(live["data-after"] or 0) > 5
    assert page.having("button", id="ask-cancel") and not page.having("button", id="ask-retry")
    assert "place 1: the only gpu slot is held by" in page.text
    assert "quantize.slope_exponent 0.85 0.9 override" in page.text


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (
            "invalid",
            (
                "gate 'total bytes': total_bytes=16004118 must be at most 16000000",
                "fail 16,004,118",
                "−4,118",
                "796 below the cap",
            ),
        ),
        ("failed", ("No score: 3 failed.", "Seeds 42, 314, 999 RecurError: training diverged at step 412")),
        ("cancelled", ("No score: 3 cancelled.", "cancelled before it started")),
        ("lost", ("the job system does not know the job",)),
        (
            "small",
            (
                "no baseline was named",
                "the axis is broken",
                "beyond this picture",
                "the limit is for 8 x H100",
                "no record folder",
            ),
        ),
        (
            "queued",
            (
                "Waiting: the only gpu slot is held",
                "No seed has begun",
                "No seed has a score yet",
                "Seed 42 has not written a line yet",
            ),
        ),
        ("fresh", ("prepared", "optim.muon_momentum")),
        ("cancelling", ("Being cancelled: 1 cancelling.",)),
    ],
)
def test_every_end_and_every_wait_says_why(site: Shown, name: str, texts: tuple[str, ...]) -> None:
    page = site.page(f"/sweeps/{site.ids[name]}")
    for text in texts:
        assert text in page.text, text


def test_a_seed_that_ended_badly_can_be_retried_and_an_open_one_cancelled(site: Shown) -> None:
    failed = site.page(f"/sweeps/{site.ids['failed']}")
    assert [box["value"] for box in failed.having("input", name="seeds")] == ["42", "314", "999"]
    assert failed.having("form", method="post", action=f"/sweeps/{site.ids['failed']}/retry")
    assert site.page(f"/sweeps/{site.ids['queued']}").having("form", action=f"/sweeps/{site.ids['queued']}/cancel")
    assert not site.page(f"/sweeps/{site.ids['cancelling']}").having("button", id="ask-cancel")


def test_the_log_of_another_seed_is_a_link_away(site: Shown) -> None:
    path = f"/sweeps/{site.ids['live']}"
    assert "2475" in site.page(path).text
    chosen = site.page(f"{path}?log=42")
    assert "4550/4550 train_loss" in chosen.text and chosen.having("div", hx_get=f"{path}?log=42")
    assert "Seed 999 has not written a line yet" in site.page(f"{path}?log=999").text


def test_curves_are_data_of_every_seed_and_cost_nothing_when_unchanged(site: Shown) -> None:
    path = f"/sweeps/{site.ids['live']}/curves.json"
    answer = site.client.get(path)
    seeds = {seed["seed"]: seed for seed in answer.json()["seeds"]}
    assert list(seeds) == [42, 271, 314, 999] and seeds[999]["step"] == []
    assert seeds[314]["step"][-1] == 2475 and len(seeds[314]["step"]) == len(seeds[314]["loss"]) == len(
        seeds[314]["tokens_per_s"]
    )
    assert seeds[42]["recurrence_step"] == 2000 and seeds[42]["val_step"][0] == 0
    again = site.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert site.client.get("/sweeps/no-such-sweep/curves.json").status_code == 404


def test_a_damaged_progress_file_leaves_the_page_whole(tmp_path: Path) -> None:
    with shown(tmp_path) as site:
        sweep = site.ids["live"]
        path = Stage(ctx=site.running.ctx, now=NOON).folder(sweep, 314).path("progress.jsonl")
        path.write_bytes(b'{"at": 1, "kind": "step"\n\xff\xfe\x00 not json\n')
        assert "slope exponent .9" in site.page(f"/sweeps/{sweep}").text
        assert site.client.get(f"/sweeps/{sweep}/curves.json").json()["seeds"][2]["step"] == []
        path.write_bytes(b'{"at": 1, "kind": "step", "step": "1", "loss": {}}\n{"at": 2, "kind": "phase", "phase": 7}\n')
        assert "slope exponent .9" in site.page(f"/sweeps/{sweep}").text


def test_the_queue_says_who_holds_the_slots_and_why_each_seed_waits(site: Shown) -> None:
    page = site.page("/queue")
    assert "GPU seeds nodes with 8 free GPUs, as Ray says" in page.text and "1 of 1 slot held" in page.text
    assert f"{site.ids['live']}-s314-a1" in page.text and "6 seeds" in page.text
    assert "prepared first" in page.text and "finished seeds of recur" in page.text


def test_an_empty_service_says_what_to_do(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        html = found.client.get("/").text
        assert "No sweeps yet" in html and '/new?profile=smoke_recur"' in html
        assert "Nothing waits" in found.client.get("/queue").text
        assert "Choose two sides" in found.client.get("/compare").text


def test_a_job_system_that_is_away_is_said_on_every_page(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        cluster_seen(found.ctx, gpu=None, cpu=None, degraded="Ray does not answer at http://127.0.0.1:8265")
        for path in ("/", "/queue", "/new", "/compare"):
            assert "Degraded:</strong> Ray does not answer at http://127.0.0.1:8265" in found.client.get(path).text, path


def test_a_comparison_shows_the_finding_the_tests_and_the_difference_of_the_configs(site: Shown) -> None:
    page = site.page(f"/compare?a={site.ids['done']}&b={site.ids['small']}")
    assert "cannot be compared" in page.text and "train.steps" in page.text
    page = site.page(f"/compare?a={site.ids['done']}&b=1394")
    assert "+0.00420" in page.text and "Of a published line the recipe is not known" in page.text
    assert len(page.having("circle", class_="dot")) == 3 + 5
    refused = site.page(f"/compare?a={site.ids['done']}&b=nobody", 404)
    assert "there is no sweep 'nobody'" in refused.text and refused.having("input", id="b", value="nobody")


def test_a_page_that_is_not_there_is_answered_with_a_page(site: Shown) -> None:
    page = site.page("/sweeps/no-such-sweep", 404)
    assert "there is no sweep 'no-such-sweep'" in page.text and page.having("a", href="/")
    assert "All sweeps" in site.page("/nothing/here", 404).text
    assert site.client.get("/v1/nothing").headers["content-type"] == "application/problem+json"


def test_the_list_goes_on_page_by_page(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        stage = Stage(ctx=found.ctx, now=NOON)
        for i in range(120):
            stage.sweep(f"n{i:03d}", (1,), at=NOON + i, profile="smoke")
        seen: list[str] = []
        path: str | None = "/"
        while path:
            page = read(found.client.get(path).text)
            seen += [a["href"] or "" for a in page.having("a", class_="name")]
            path = next((a["href"] for a in page.having("a", rel="next")), None)
        assert len(seen) == len(set(seen)) == 120
