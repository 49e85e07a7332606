"""Statistics over seeds equal those of the sweep's own report, and say before a sweep what its seeds will tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.models import Sweep
from cluster.foresight import foresee
from recur.recipe import load_recipe
from recur.record.compare import compare, side_of
from recur.record.report import write_sweep
from recur.record.result import State, summarise
from recur.record.stats.power import needed
from recur.record.stats.welch import interval
from tests.api.kit import Running, advance, finish, prepare, report, result

SCORES = {1: 1.0801, 2: 1.0812, 3: 1.0795}


def finished(service: Running, *, scores: dict[int, float] = SCORES, baseline: str | None = None) -> str:
    sweep: str = service.submit(seeds=list(scores), baseline=baseline, profile="recur")["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, scores)
    return sweep


def read(service: Running, sweep: str) -> Sweep:
    return Sweep.model_validate_json(service.client.get(f"/v1/sweeps/{sweep}").content)


def test_numbers_equal_those_of_the_report(service: Running, tmp_path: Path) -> None:
    sweep = finished(service)
    write_sweep(tmp_path / "x", summarise(sweep, "recur", "f" * 64, [result(n, bpb) for n, bpb in SCORES.items()]))
    written = json.loads((tmp_path / "x" / "sweep.json").read_bytes())
    shown = read(service, sweep).statistics
    assert shown.n == written["n"]
    assert shown.mean_val_bpb == written["mean_val_bpb"]
    assert shown.sd_val_bpb == written["std_val_bpb"]
    assert (shown.mean_total_bytes, shown.max_total_bytes) == (written["mean_total_bytes"], written["max_total_bytes"])
    ends = interval(list(SCORES.values()))
    assert shown.interval_95 is not None
    assert (shown.interval_95.low, shown.interval_95.high) == (ends.low, ends.high)
    line = service.client.get("/v1/sweeps").json()["sweeps"][0]
    assert line["mean_val_bpb"] == pytest.approx(written["mean_val_bpb"], abs=1e-15)


def test_tests_against_a_published_line_equal_the_command_line_s(service: Running, tmp_path: Path) -> None:
    sweep = finished(service, baseline="1334")
    report(service.ctx, sweep)
    folder = service.ctx.out / sweep
    write_sweep(folder, summarise(sweep, "recur", "f" * 64, [result(n, bpb) for n, bpb in SCORES.items()]))
    wanted = compare(side_of(sweep, service.ctx.out).arm, side_of("1334", service.ctx.out).arm)
    shown = read(service, sweep).statistics
    assert shown.verdict == wanted.verdict.sentence
    plain = wanted.verdict.tests[0].plain
    assert (shown.tests[0].unit, shown.tests[0].margin) == ("BPB", 0.0)
    assert (shown.tests[0].t, shown.tests[0].df, shown.tests[0].p_one_sided) == (plain.t, plain.df, plain.p_one_sided)
    strict = wanted.verdict.tests[0].strict
    assert strict is not None
    assert (shown.tests[1].margin, shown.tests[1].p_one_sided) == (strict.margin, strict.p_one_sided)
    answer = service.client.get("/v1/compare", params={"a": sweep, "b": "#1334"}).json()
    assert (answer["finding"], answer["difference_bpb"]) == (wanted.verdict.sentence, wanted.difference_bpb)
    assert [policy["passed"] for policy in answer["policies"]] == [p.passed for p in wanted.verdict.policies]


def test_two_sweeps_are_compared_with_their_recipes(service: Running) -> None:
    old = finished(service)
    body = {"seeds": [1, 2, 3], "baseline": old, "profile": "recur", "overrides": {"train.val_every": 500}}
    new = service.submit(**body)["id"]
    prepare(service.ctx, new)
    finish(service.ctx, new, {1: 1.0701, 2: 1.0712, 3: 1.0695})
    answer = service.client.get("/v1/compare", params={"a": new, "b": old}).json()
    assert answer["config"] == [{"key": "train.val_every", "a": 500, "b": load_recipe("recur").train.val_every}]
    assert answer["relation"] == "is better than"
    shown = read(service, new).statistics
    assert shown.verdict == answer["finding"]
    assert {test.unit for test in shown.tests} == {"BPB", "nats per byte", "nats per token"}
    assert any(test.margin == 0.005 for test in shown.tests if test.unit == "nats per token")


def test_the_seeds_that_would_prove_the_difference_are_told(service: Running) -> None:
    old = finished(service)
    lower = {n: bpb - 0.0005 for n, bpb in SCORES.items()}
    new = finished(service, scores=lower, baseline=old)
    shown = read(service, new).statistics
    assert shown.sd_val_bpb is not None
    assert shown.seeds_needed == needed(0.0005, shown.sd_val_bpb)
    higher = finished(service, scores={n: bpb + 0.0005 for n, bpb in SCORES.items()}, baseline=old)
    assert read(service, higher).statistics.seeds_needed is None


def test_before_any_result_the_resolution_is_told_as_the_command_line_tells_it(service: Running) -> None:
    sweep = service.submit(profile="recur", seeds=[1, 2, 3])["id"]
    assert read(service, sweep).statistics.planned == foresee(service.ctx.out, load_recipe("recur"), 3)
    earlier = finished(service)
    planned = read(service, service.submit(profile="recur", seeds=[4, 5, 6])["id"]).statistics.planned
    assert planned is not None
    assert planned.endswith(f"(the deviation of {earlier})")


@pytest.mark.parametrize("count", [0, 1])
def test_without_a_deviation_nothing_is_tested(service: Running, count: int) -> None:
    sweep = service.submit(seeds=[1, 2], baseline="1334")["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, dict(list(SCORES.items())[:count]))
    shown = read(service, sweep).statistics
    assert (shown.n, shown.sd_val_bpb, shown.interval_95, shown.tests) == (count, None, None, [])
    assert (shown.verdict is None) == (count == 0)


def test_equal_scores_have_an_interval_of_one_point_and_no_test(service: Running) -> None:
    sweep = finished(service, scores={1: 1.08, 2: 1.08}, baseline=finished(service, scores={1: 1.09, 2: 1.09}))
    shown = read(service, sweep).statistics
    assert shown.interval_95 is not None
    assert (shown.interval_95.low, shown.interval_95.high) == (1.08, 1.08)
    assert all(test.p_one_sided is None for test in shown.tests)
    assert shown.seeds_needed is None


def test_seeds_that_did_not_succeed_are_left_out(service: Running) -> None:
    sweep = service.submit(seeds=[1, 2, 3])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.08, 2: 1.09})
    advance(service.ctx, sweep, 3, State.INVALID, reason="too large", result=_invalid())
    shown = read(service, sweep).statistics
    assert (shown.n, shown.mean_val_bpb) == (2, 1.085)


def _invalid() -> object:
    from recur.record.codec import to_json

    return to_json(result(3, 0.5, state=State.INVALID, total_bytes=16_000_001))


@pytest.mark.parametrize(
    ("a", "b", "status"),
    [("nothing", "1334", 404), ("1334", "#9999999", 404), ("../x", "1334", 422), ("1334", "", 422), ("/etc/passwd", "1334", 422)],
)
def test_only_known_names_are_compared(shared: Running, a: str, b: str, status: int) -> None:
    assert shared.client.get("/v1/compare", params={"a": a, "b": b}).status_code == status


def test_two_published_lines_are_compared(shared: Running) -> None:
    answer = shared.client.get("/v1/compare", params={"a": "PR 1421", "b": "#1334"})
    assert answer.status_code == 200
    assert "PR 1421" in answer.json()["finding"]
