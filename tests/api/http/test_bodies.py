"""Bodies that are malformed, too large, too deep or of another type end in a problem, and never in a failure."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.api.kit import Running, running, submission

JSON = {"Content-Type": "application/json"}
GOOD = json.dumps(submission()).encode()

MALFORMED = {
    "nothing": b"",
    "a space": b" ",
    "cut": GOOD[:-1],
    "two documents": GOOD + GOOD,
    "text": b"hello",
    "single quotes": b"{'profile': 'smoke'}",
    "a comma too many": b'{"profile": "smoke",}',
    "bad utf-8": b'{"profile": "\xff\xfe"}',
    "overlong utf-8": b'{"profile": "\xc0\xaf"}',
    "utf-16": GOOD.decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "NUL": b'{"profile": "a\x00b"}',
    "NaN": b'{"profile": "smoke", "seeds": [NaN]}',
    "Infinity": b'{"profile": "smoke", "seeds": [Infinity]}',
    "-Infinity": b'{"profile": "smoke", "seeds": [-Infinity]}',
    "a float beyond all": b'{"profile": "smoke", "seeds": [1], "overrides": {"train.wallclock_s": 1e999}}',
    "a huge number": b'{"profile": "smoke", "seeds": [' + b"9" * 5000 + b"]}",
    "65 bits": b'{"profile": "smoke", "seeds": [18446744073709551616]}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b"[" * 20 + b"]" * 20,
    "a key twice": b'{"profile": "smoke", "profile": "recur", "seeds": [1]}',
    "a key twice inside": b'{"profile": "smoke", "seeds": [1], "overrides": {"train.steps": 1, "train.steps": 2}}',
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_json_is_refused(shared: Running, name: str) -> None:
    answer = shared.client.post("/v1/sweeps", content=MALFORMED[name], headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] in ("malformed_json", "invalid_request")
    assert shared.client.get("/v1/sweeps").json()["sweeps"] == []


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"x"', b"true", b"{}"])
def test_json_of_another_shape_is_refused(shared: Running, body: bytes) -> None:
    assert shared.client.post("/v1/sweeps", content=body, headers=JSON).status_code == 422


@pytest.mark.parametrize(
    "value",
    ["\\ud800", "\\udfff\\ud800", "\\u0000", "\\u202e", "' OR 1=1 --", "<script>", "${jndi:ldap://x}", "%00", "\\\\..\\\\x"],
)
def test_odd_text_is_data_or_refused(service: Running, value: str) -> None:
    body = f'{{"profile": "smoke", "seeds": [1], "name": "{value}"}}'.encode()
    answer = service.client.post("/v1/sweeps", content=body, headers=JSON)
    assert answer.status_code in (202, 422)
    if answer.status_code == 202:
        assert service.client.get(f"/v1/sweeps/{answer.json()['id']}").json()["name"] == json.loads(f'"{value}"')


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/xml"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/problem+json"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
    ids=str,
)
def test_other_types_are_refused(shared: Running, headers: dict[str, str]) -> None:
    answer = shared.client.post("/v1/sweeps", content=GOOD, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")


def test_a_type_with_parameters_is_json(service: Running) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert service.client.post("/v1/sweeps", content=GOOD, headers=headers).status_code == 202


def test_a_body_beyond_the_limit_is_refused_with_and_without_its_length(tmp_path: Path) -> None:
    with running(tmp_path, max_body_bytes=1000) as service:
        padded = GOOD + b" " * (1000 - len(GOOD))
        assert service.client.post("/v1/sweeps", content=padded, headers=JSON).status_code == 202
        large = service.client.post("/v1/sweeps", content=padded + b" ", headers=JSON)
        chunked = service.client.post("/v1/sweeps", content=iter([padded, b" "]), headers=JSON)
        for answer in (large, chunked):
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
            assert answer.headers["Connection"] == "close"
        lying = service.client.post("/v1/sweeps", content=b"", headers={**JSON, "Content-Length": "9" * 30})
        assert lying.status_code == 413
        assert service.client.post("/v1/sweeps", content=b"", headers={**JSON, "Content-Length": "x"}).status_code == 400


def test_the_worst_body_of_the_largest_size_is_judged_quickly(shared: Running) -> None:
    size = shared.ctx.settings.max_body_bytes
    for body in (b"[" * size, b"[]" * (size // 2), b'"' * size, b'{"a":1,' * (size // 7), b"\\" * size, b'"\\' * (size // 2)):
        began = time.perf_counter()
        assert shared.client.post("/v1/sweeps", content=body, headers=JSON).status_code == 400
        assert time.perf_counter() - began < 2
