"""Keys and scopes on every route, hosts and origins, limits of rate, headers, and that no key is ever logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response

from api.security import SESSION_COOKIE, clear_session, set_session
from api.settings import Settings
from api.store.rows import Scope
from tests.api.kit import Running, running, submission

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD")
OPEN = ("/healthz", "/readyz")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("guarded"), require_keys=True) as service:
        yield service


def credentials(service: Running) -> dict[str, dict[str, str]]:
    """Headers by what they hold."""
    from api.store import keys

    good = {scope.value: service.key(scope) for scope in Scope}
    revoked = service.key(Scope.ADMIN)
    with service.ctx.store.write() as c:
        keys.revoke(c, revoked.split("_")[1], 1.0)
    bad = {
        "empty": "Bearer ",
        "unknown": f"Bearer {good['admin'][:-1]}x",
        "revoked": f"Bearer {revoked}",
        "basic": "Basic YTpi",
        "lower": f"bearer{good['admin']}",
        "id only": f"Bearer {good['admin'].split('_')[1]}",
        "long": "Bearer " + "x" * 5000,
        "key itself": good["admin"],
        "odd bytes": "Bearer \xff\xfe",
    }
    cookies = {"bad cookie": f"{SESSION_COOKIE}=nothing", "empty cookie": f"{SESSION_COOKIE}="}
    return (
        {"none": {}}
        | {name: {"Authorization": f"Bearer {secret}"} for name, secret in good.items()}
        | {name: {"Authorization": value} for name, value in bad.items()}
        | {name: {"Cookie": value} for name, value in cookies.items()}
    )


def routes(service: Running) -> list[tuple[str, str, bool]]:
    """Path, method and whether it is documented: every path of the description with every method."""
    paths = service.app.openapi()["paths"]
    return [(path, method, method.lower() in operations) for path, operations in paths.items() for method in METHODS]


def ask(service: Running, path: str, method: str, headers: dict[str, str]) -> Response:
    url = path.replace("{sweep_id}", "some-sweep").replace("{seed}", "1").replace("{name}", "smoke")
    if path == "/v1/compare":
        url += "?a=1334&b=1421"
    body = submission() if (path, method) == ("/v1/sweeps", "POST") else None
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer: Response = service.client.request(method, url, headers=encoded, json=body)
    return answer


def test_every_route_refuses_bad_credentials(guarded: Running) -> None:
    given = {name: headers for name, headers in credentials(guarded).items() if name in ("none", "unknown", "read", "admin")}
    check_routes(guarded, [route for route in routes(guarded) if route[2]], given)


@pytest.mark.service
def test_every_route_refuses_every_bad_credential_with_every_method(guarded: Running) -> None:
    assert check_routes(guarded, routes(guarded), credentials(guarded)) > 2000


def check_routes(service: Running, asked: list[tuple[str, str, bool]], given: dict[str, dict[str, str]]) -> int:
    """Ask every route with all credentials; returns how often."""
    good = {scope.value for scope in Scope}
    count = 0
    for path, method, documented in asked:
        for name, headers in given.items():
            answer = ask(service, path, method, headers)
            where = (path, method, name, answer.status_code)
            count += 1
            if not documented:
                assert answer.status_code == 405, where
            elif path in OPEN:
                assert answer.status_code == 200, where
            elif name not in good:
                assert answer.status_code == 401, where
                assert "Bearer" in answer.headers["WWW-Authenticate"], where
            elif method == "POST" and name == "read":
                assert answer.status_code == 403, where
            else:
                assert answer.status_code in (200, 202, 404), where
            if answer.status_code >= 400 and method != "HEAD":
                assert answer.headers["content-type"] == "application/problem+json", where
    return count


def test_unknown_paths_are_not_found_whoever_asks(guarded: Running) -> None:
    for headers in credentials(guarded).values():
        answer = guarded.client.get("/v1/nothing", headers={k: v for k, v in headers.items() if v.isascii()})
        assert answer.status_code == 404


def test_the_cookie_of_the_page_is_a_credential_too(guarded: Running) -> None:
    headers = {"Cookie": f"{SESSION_COOKIE}={guarded.key(Scope.READ)}"}
    assert guarded.client.get("/v1/sweeps", headers=headers).status_code == 200
    assert guarded.client.post("/v1/sweeps", json=submission(), headers=headers).status_code == 403


def test_the_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites() -> None:
    from starlette.responses import Response as Answer

    answer = Answer()
    set_session(answer, "secret", secure=True)
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Secure", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    gone = Answer()
    clear_session(gone)
    assert "Max-Age=0" in gone.headers["set-cookie"]


def test_a_wrong_key_is_refused_where_none_is_needed(shared: Running) -> None:
    assert shared.client.get("/v1/sweeps").status_code == 200
    assert shared.client.get("/v1/sweeps", headers={"Authorization": "Bearer nothing"}).status_code == 401


@pytest.mark.parametrize(
    ("host", "given", "needed"),
    [
        ("127.0.0.1", None, False),
        ("localhost", None, False),
        ("::1", None, False),
        ("127.8.8.8", None, False),
        ("0.0.0.0", None, True),
        ("::", None, True),
        ("10.0.0.5", None, True),
        ("recur.example", None, True),
        ("127.0.0.1", True, True),
        ("0.0.0.0", False, False),
    ],
)
def test_keys_are_needed_as_soon_as_others_can_reach_the_service(host: str, given: bool | None, needed: bool) -> None:
    assert Settings(host=host, require_keys=given).keys_required is needed


def status_for(service: Running, host: str, method: str = "GET", **headers: str) -> int:
    body: dict[str, Any] = {"json": submission(seeds=[1])} if method == "POST" else {}
    found: int = service.client.request(method, "/v1/sweeps", headers={"Host": host, **headers}, **body).status_code
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8800", "localhost", "LOCALHOST:1", "[::1]:8800"])
def test_the_service_s_own_names_are_served(shared: Running, host: str) -> None:
    assert status_for(shared, host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "evil.example:8800",
        "a@127.0.0.1",
        "127.0.0.1/x",
        "[",
    ],
)
def test_other_names_are_refused(shared: Running, host: str) -> None:
    assert status_for(shared, host) == 400


def test_a_service_for_all_addresses_accepts_addresses_and_named_hosts_only(tmp_path: Path) -> None:
    with running(tmp_path, host="0.0.0.0", require_keys=False, allowed_hosts=("recur.example",)) as service:
        assert status_for(service, "10.1.2.3:8800") == 200
        assert status_for(service, "recur.example") == 200
        assert status_for(service, "evil.example") == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"Origin": "http://127.0.0.1"}, 202),
        ({"Origin": "https://recur.example"}, 202),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
    ],
)
def test_changes_from_other_sites_are_refused(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    with running(tmp_path, allowed_origins=("https://recur.example",)) as service:
        assert status_for(service, "127.0.0.1", "POST", **headers) == status


def test_nothing_is_shared_with_other_sites(shared: Running) -> None:
    answer = shared.client.get("/v1/sweeps", headers={"Origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/v1/sweeps", "/v1/nothing", "/healthz", "/v1/sweeps?x=1"])
def test_every_answer_carries_the_security_headers(shared: Running, path: str) -> None:
    headers = shared.client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-request-id"]


def test_too_many_requests_are_told_to_wait(tmp_path: Path) -> None:
    with running(tmp_path, rate_per_minute=60, rate_burst=5) as service:
        answers = [service.client.get("/v1/sweeps") for _ in range(7)]
        assert [a.status_code for a in answers] == [200] * 5 + [429] * 2
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert answers[-1].json()["code"] == "too_many_requests"
        assert service.client.get("/healthz").status_code == 200
        mine = service.bearer()
        assert service.client.get("/v1/sweeps", headers=mine).status_code == 200


def test_guessing_keys_is_limited(tmp_path: Path) -> None:
    with running(tmp_path, rate_per_minute=60, rate_burst=5, require_keys=True) as service:
        statuses = [service.client.get("/v1/sweeps", headers={"Authorization": f"Bearer x{n}"}).status_code for n in range(7)]
    assert statuses == [401] * 5 + [429] * 2


def test_no_key_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with running(tmp_path, require_keys=True) as service:
        secret = service.key()
        service.client.get("/v1/sweeps", headers={"Authorization": f"Bearer {secret}"})
        service.client.get("/v1/sweeps", headers={"Authorization": f"Bearer {secret}x"})
        service.client.get("/v1/sweeps", headers={"Cookie": f"{SESSION_COOKIE}={secret}"})
        service.client.get(f"/v1/sweeps?key={secret}", headers={"Authorization": f"Bearer {secret}"})
    text = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx"))
    assert "request method=GET" in text
    assert secret not in text
    assert secret.split("_", 2)[2] not in text
