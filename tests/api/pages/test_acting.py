"""The pages' forms do what the interface does, with the same rights, for nobody but the browser's owner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from api.store import attempts, sweeps
from api.store.rows import Scope
from recur.record.result import State
from tests.api.kit import Running, running
from tests.api.pages.kit import read

HERE = {"Origin": "http://127.0.0.1"}
FORM = {"profile": "smoke", "seeds": "1, 2, 3", "overrides": "", "name": "from the page", "priority": "0", "baseline": ""}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; alert(1); //",
    "{{ 7 * 7 }}{% raw %}",
    "</title><svg onload=alert(1)>",
    "javascript:alert(1)",
)


def send(site: Running, path: str, data: Mapping[str, object], **headers: str) -> tuple[int, str, str]:
    """Status, where it leads, and the text of a form's answer."""
    answer = site.client.post(path, data=data, headers={**HERE, "Accept": "text/html", **headers}, follow_redirects=False)
    return answer.status_code, answer.headers.get("location", ""), answer.text


def test_a_submitted_form_is_a_sweep_and_leads_to_its_page(tmp_path: Path) -> None:
    with running(tmp_path) as site:
        status, place, _ = send(site, "/new", FORM | {"overrides": "train.steps=20", "priority": "7", "baseline": "1394"})
        assert status == 303 and re.fullmatch(r"/sweeps/from-the-page-\d{6}-[a-z0-9]{6}", place)
        with site.ctx.store.read() as c:
            row = sweeps.get(c, place.rsplit("/", 1)[1])
        assert row is not None and row.overrides == {"train.steps": 20} and row.priority == 7 and row.baseline == "1394"
        assert "from the page" in site.client.get(place).text


def test_a_form_sent_twice_makes_one_sweep(tmp_path: Path) -> None:
    with running(tmp_path) as site:
        key = read(site.client.get("/new").text).having("input", name="idempotency_key")[0]["value"]
        places = {send(site, "/new", FORM | {"idempotency_key": key})[1] for _ in range(3)}
        assert len(places) == 1 and len(site.client.get("/v1/sweeps").json()["sweeps"]) == 1


@pytest.mark.parametrize(
    ("changes", "field", "texts"),
    [
        ({"overrides": "train.stps=20"}, "overrides", ("train.stps", "is not a key of the recipe", "did you mean train.steps?")),
        ({"overrides": "train.steps=-1"}, "overrides", ("train.steps",)),
        ({"seeds": "1, 1"}, "seeds", ("seed 1 is named twice", "name each seed once")),
        ({"seeds": "one"}, "seeds", ("is not a whole number", "e.g. 42, 314, 999")),
        ({"baseline": "99999"}, "baseline", ("is not a known line", "near: ")),
        ({"profile": "smok"}, "profile", ("smok",)),
        ({"priority": "500"}, "priority", ("less than or equal to 100",)),
    ],
)
def test_an_error_stands_beside_its_field_with_its_cure_and_the_values_stay(
    tmp_path: Path, changes: dict[str, str], field: str, texts: tuple[str, ...]
) -> None:
    with running(tmp_path) as site:
        typed = FORM | {"name": 'kept "name"'} | changes
        status, _, html = send(site, "/new", typed)
        page = read(html)
        assert status == 422 and "Nothing was submitted." in page.text
        found = [attrs for tag, attrs in page.elements if attrs.get("id") == field]
        assert found[0]["aria-invalid"] == "true" and f"{field}-errors" in (found[0]["aria-describedby"] or "")
        assert page.having("ul", id=f"{field}-errors") and all(text in page.text for text in texts), page.text
        assert page.having("input", name="name", value='kept "name"')
        with site.ctx.store.read() as c:
            assert not sweeps.listed(c, limit=5, after=None, state=None, sort="-created_at").lines


def test_cancel_and_retry_work_from_the_page(tmp_path: Path) -> None:
    with running(tmp_path) as site:
        sweep = site.submit()["id"]
        assert send(site, f"/sweeps/{sweep}/cancel", {})[:2] == (303, f"/sweeps/{sweep}")
        assert "No score: 3 cancelled." in site.client.get(f"/sweeps/{sweep}").text
        assert send(site, f"/sweeps/{sweep}/retry", {"seeds": ["1", "3"]})[:2] == (303, f"/sweeps/{sweep}")
        with site.ctx.store.read() as c:
            states = {row.seed: (row.state, row.attempt) for row in attempts.current(c, sweep)}
        assert states == {1: (State.QUEUED, 2), 2: (State.CANCELLED, 1), 3: (State.QUEUED, 2)}


def test_what_cannot_be_done_is_said_on_a_page(tmp_path: Path) -> None:
    with running(tmp_path) as site:
        sweep = site.submit()["id"]
        status, _, html = send(site, f"/sweeps/{sweep}/retry", {"seeds": "1"})
        assert status == 409 and "seed 1 is QUEUED" in html
        assert send(site, f"/sweeps/{sweep}/retry", {})[0] == 422
        assert send(site, f"/sweeps/{sweep}/retry", {"seeds": "../1"})[0] == 422
        assert send(site, "/sweeps/nobody/cancel", {})[0] == 404


def test_a_button_of_another_site_presses_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as site:
        sweep = site.submit()["id"]
        for path, data in (
            ("/new", FORM),
            (f"/sweeps/{sweep}/cancel", {}),
            (f"/sweeps/{sweep}/retry", {"seeds": "1"}),
            ("/login", {}),
        ):
            for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
                assert site.client.post(path, data=data, headers=headers).status_code == 403, path
            assert site.client.post(path, data=data, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403, path
        assert len(site.client.get("/v1/sweeps").json()["sweeps"]) == 1
        assert site.client.get(f"/v1/sweeps/{sweep}").json()["state"] == "QUEUED"


def test_only_forms_are_taken(tmp_path: Path) -> None:
    with running(tmp_path) as site:
        assert site.client.post("/new", json=FORM, headers=HERE).status_code == 415
        assert site.client.post("/new", files={"profile": ("x", b"smoke")}, headers=HERE).status_code == 415


def test_a_service_with_keys_leads_to_the_sign_in_and_back(tmp_path: Path) -> None:
    with running(tmp_path, require_keys=True) as site:
        secret = site.key(Scope.SUBMIT, "ada")
        answer = site.client.get("/queue", headers={"Accept": "text/html"}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/queue")
        asked = site.client.get("/queue", headers={"HX-Request": "true", "Accept": "text/html"}, follow_redirects=False)
        assert asked.headers["HX-Redirect"] == "/login?next=/queue" and asked.status_code == 204

        status, _, html = send(site, "/login", {"key": "recur_no_such", "next": "/queue"})
        assert status == 401 and "this key is not known" in html and "recur_no_such" not in html
        answer = site.client.post("/login", data={"key": secret, "next": "/queue"}, headers=HERE, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/queue")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie
        page = site.client.get("/queue")
        assert page.status_code == 200 and "Sign out ada" in page.text and secret not in page.text

        assert send(site, "/new", FORM)[0] == 303
        assert send(site, "/logout", {})[:2] == (303, "/login")
        site.client.cookies.clear()
        assert site.client.get("/", headers={"Accept": "text/html"}, follow_redirects=False).status_code == 303


def test_a_reading_key_sees_no_buttons_and_may_press_none(tmp_path: Path) -> None:
    with running(tmp_path, require_keys=True) as site:
        answer = site.client.post("/v1/sweeps", json={"profile": "smoke", "seeds": [1]}, headers=site.bearer(Scope.SUBMIT))
        sweep = answer.json()["id"]
        reader = site.bearer(Scope.READ)
        html = site.client.get(f"/sweeps/{sweep}", headers=reader).text
        assert "ask-cancel" not in html and "confirm-cancel" not in html
        assert site.client.get("/new", headers=reader).status_code == 403
        assert send(site, f"/sweeps/{sweep}/cancel", {}, **reader)[0] == 403
        assert send(site, "/new", FORM, **reader)[0] == 403


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_text_everywhere(tmp_path: Path, text: str) -> None:
    with running(tmp_path) as site:
        status, place, _ = send(site, "/new", FORM | {"name": text})
        assert status == 303
        with site.ctx.store.write() as c:
            row = attempts.current(c, place.rsplit("/", 1)[1])[0]
            attempts.move(c, row, State.FAILED, now=1.0, reason=text)
        with site.ctx.store.write() as c:
            attempts.warn(c, row, text, now=2.0)
        pages = [site.client.get(path).text for path in ("/", place, "/queue", "/compare", "/new")]
        pages += [send(site, "/new", dict.fromkeys(FORM, text))[2]]
        pages += [site.client.get("/compare", params={"a": text[:64], "b": text[:64]}).text]
        for html in pages:
            page = read(html)
            assert not [attrs for _, attrs in page.elements if any(name.startswith("on") for name in attrs)]
            assert all((attrs.get("src") or "").startswith("/static/") for attrs in page.having("script"))
            assert not [a for a in page.having("a") if (a.get("href") or "").startswith("javascript")]
        assert " ".join(text.split()) in read(pages[0]).text and " ".join(text.split()) in read(pages[1]).text
