"""Logs, artifacts, the record folder and the table of results."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from api.store import attempts
from recur.record.attempt import AttemptDir, write_seed_result
from recur.record.codec import to_json
from recur.record.report import results_frame, write_sweep
from recur.record.result import Phase, State, summarise
from tests.api.kit import Running, advance, finish, prepare, report, result

MODEL = b"compressed weights" * 100


def with_artifact(service: Running) -> tuple[str, Path]:
    """A sweep whose seed 1 has succeeded and left an artifact, and that artifact's path."""
    sweep: str = service.submit(seeds=[1])["id"]
    prepare(service.ctx, sweep)
    root = service.ctx.folder(sweep)
    attempt = AttemptDir(root, 1, 1).create()
    path = attempt.path("model.ptz")
    path.write_bytes(MODEL)
    attempt.write_record(Phase.FIT, {}, ["model.ptz"])
    found = replace(result(1, 1.08), model_sha256=hashlib.sha256(MODEL).hexdigest())
    write_seed_result(root, found)
    advance(service.ctx, sweep, 1, State.SUCCEEDED, result=to_json(found))
    return sweep, path


def test_the_artifact_comes_with_its_hash_whole_or_in_part(service: Running) -> None:
    sweep, _ = with_artifact(service)
    url = f"/v1/sweeps/{sweep}/seeds/1/artifact"
    answer = service.client.get(url)
    assert (answer.status_code, answer.content) == (200, MODEL)
    assert answer.headers["ETag"] == f'"{hashlib.sha256(MODEL).hexdigest()}"'
    assert f'filename="{sweep}-s1.ptz"' in answer.headers["Content-Disposition"]
    part = service.client.get(url, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, MODEL[5:10])


@pytest.mark.parametrize("damage", [b"", MODEL[:-1], b"X" + MODEL[1:], None])
def test_a_damaged_artifact_is_refused_with_both_hashes(service: Running, damage: bytes | None) -> None:
    sweep, path = with_artifact(service)
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    answer = service.client.get(f"/v1/sweeps/{sweep}/seeds/1/artifact")
    assert (answer.status_code, answer.json()["code"]) == (409, "file_damaged")
    assert hashlib.sha256(MODEL).hexdigest() in answer.json()["detail"]
    if damage is not None:
        assert hashlib.sha256(damage).hexdigest() in answer.json()["detail"]


@pytest.mark.parametrize("pointer", ["../../../../etc/passwd", "/etc/passwd", "a1/../../x"])
def test_a_pointer_out_of_the_folder_is_not_followed(service: Running, pointer: str) -> None:
    sweep, path = with_artifact(service)
    pointing = path.parents[1] / "result.json"
    pointing.write_text(pointing.read_text().replace("a1/model.ptz", pointer))
    answer = service.client.get(f"/v1/sweeps/{sweep}/seeds/1/artifact")
    assert answer.status_code == 409
    assert b"root:" not in answer.content


def test_before_success_there_is_no_artifact(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    answer = service.client.get(f"/v1/sweeps/{sweep}/seeds/1/artifact")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_artifact")


def test_the_log_is_cut_to_its_last_lines(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    prepare(service.ctx, sweep)
    advance(service.ctx, sweep, 1, State.FAILED, reason="x")
    folder = AttemptDir(service.ctx.folder(sweep), 1, 1).create().folder
    (folder / "job.log").write_text("".join(f"line {n}\n" for n in range(1000)))
    url = f"/v1/sweeps/{sweep}/seeds/1/log"
    answer = service.client.get(url, params={"lines": 3})
    assert answer.text == "line 997\nline 998\nline 999\n"
    assert (answer.headers["X-Log-Cut"], answer.headers["X-Log-Attempt"]) == ("true", "1")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert service.client.get(url, params={"attempt": 1, "lines": 10_000}).headers["X-Log-Cut"] == "false"
    assert service.client.get(url, params={"attempt": 2}).json()["code"] == "unknown_attempt"
    assert service.client.get(f"/v1/sweeps/{sweep}/seeds/2/log").json()["code"] == "unknown_seed"


def test_a_running_seed_s_log_ends_with_its_progress(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    prepare(service.ctx, sweep)
    advance(service.ctx, sweep, 1, State.RUNNING)
    attempt = AttemptDir(service.ctx.folder(sweep), 1, 1).create()
    attempt.path("job.log").write_bytes(b"started\n\xff\n")
    attempt.append_event("step", {"step": 5, "loss": 6.1})
    text = service.client.get(f"/v1/sweeps/{sweep}/seeds/1/log").text
    assert text.startswith("started\n\ufffd\n")
    assert '"step"' in text


def test_the_logs_of_earlier_attempts_are_kept(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    prepare(service.ctx, sweep)
    advance(service.ctx, sweep, 1, State.FAILED, reason="x")
    for number in (1, 2):
        AttemptDir(service.ctx.folder(sweep), 1, number).create().path("job.log").write_text(f"attempt {number}\n")
    service.client.post(f"/v1/sweeps/{sweep}/retry")
    url = f"/v1/sweeps/{sweep}/seeds/1/log"
    assert service.client.get(url).text == "attempt 2\n"
    assert service.client.get(url, params={"attempt": 1}).text == "attempt 1\n"


def test_results_before_the_report_are_the_same_table(service: Running) -> None:
    sweep = service.submit(seeds=[1, 2, 3])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.0801, 2: 1.0812})
    answer = service.client.get(f"/v1/sweeps/{sweep}/results.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    table = pd.read_csv(io.BytesIO(answer.content))
    assert list(table["state"]) == ["SUCCEEDED", "SUCCEEDED", "QUEUED"]
    assert list(table["val_bpb_sliding"][:2]) == [1.0801, 1.0812]
    wanted = results_frame(summarise(sweep, "smoke", "f" * 64, [result(1, 1.0801), result(2, 1.0812)]))
    assert list(table.columns) == list(wanted.columns)


def test_results_after_the_report_are_the_written_file(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.0801})
    folder = service.ctx.folder(sweep)
    write_sweep(folder, summarise(sweep, "smoke", "f" * 64, [result(1, 1.0801)]))
    before = service.client.get(f"/v1/sweeps/{sweep}/results.csv").content
    report(service.ctx, sweep)
    after = service.client.get(f"/v1/sweeps/{sweep}/results.csv").content
    assert after == (folder / "results.csv").read_bytes() == before


def test_the_record_folder_comes_as_an_archive_without_links(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.0801})
    url = f"/v1/sweeps/{sweep}/record.zip"
    assert service.client.get(url).json()["code"] == "no_record"
    folder = service.ctx.folder(sweep) / "record" / "2026-11-24_smoke"
    (folder / "logs").mkdir(parents=True)
    (folder / "README.md").write_text("hello")
    (folder / "logs" / "big.txt").write_bytes(b"x" * 300_000)
    (folder / "link").symlink_to("/etc/passwd")
    report(service.ctx, sweep, record_path="record/2026-11-24_smoke")
    answer = service.client.get(url)
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["2026-11-24_smoke/README.md", "2026-11-24_smoke/logs/big.txt"]
        assert archive.read("2026-11-24_smoke/README.md") == b"hello"
    assert service.client.get(url).content == answer.content


def test_a_record_path_out_of_the_sweep_is_not_followed(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.0801})
    report(service.ctx, sweep, record_path="../..")
    assert service.client.get(f"/v1/sweeps/{sweep}/record.zip").status_code == 409


def test_why_there_is_no_record_is_told(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.0801})
    report(service.ctx, sweep, warning="one seed is no record")
    assert "one seed is no record" in service.client.get(f"/v1/sweeps/{sweep}/record.zip").json()["detail"]
    with service.ctx.store.read() as c:
        assert attempts.current(c, sweep)[0].state is State.SUCCEEDED
