"""One set of numbers in all files of a record folder: JSON, README, logs and JSONL."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from recur.data.dataset import Dataset
from recur.record.check.logs import Kind, read_log
from recur.record.check.read import Text
from recur.record.folder import gather
from recur.record.result import SeedResult, State
from recur.record.stats import spread
from tests.recur.record.folder.kit import (
    FINGERPRINT,
    SEEDS,
    TINY_BPB,
    add_attempt,
    gates,
    make_sweep,
    read,
    table_below,
    write_results,
    written,
)

SCORE = re.compile(r"^final_\w+_sliding_window val_loss:(\S+) val_bpb:(\S+)", re.MULTILINE)


def test_means_and_deviations_are_those_of_the_logs(three: Path) -> None:
    folder = written(gather(three), three)
    told = read(folder / "submission.json")
    logged = {seed: SCORE.search((folder / f"train_seed{seed}.log").read_text()) for seed in SEEDS}
    scores = {seed: (float(found[1]), float(found[2])) for seed, found in logged.items() if found}
    for seed in SEEDS:
        result = told["seed_results"][str(seed)]
        assert (result["val_loss"], result["val_bpb"]) == scores[seed]
    loss, bpb = spread([s[0] for s in scores.values()]), spread([s[1] for s in scores.values()])
    assert loss is not None and bpb is not None and bpb.sd is not None and loss.sd is not None
    assert (told["val_loss"], told["val_loss_std"]) == (round(loss.mean, 8), round(loss.sd, 8))
    assert (told["val_bpb"], told["val_bpb_std"]) == (round(bpb.mean, 8), round(bpb.sd, 8))
    assert [round(x, 4) for x in TINY_BPB] == [round(scores[s][1], 4) for s in SEEDS]


def test_the_jsonl_holds_the_numbers_of_the_log_in_full(three: Path) -> None:
    folder = written(gather(three), three)
    rows = [json.loads(line) for line in (folder / "train_seed1337.jsonl").read_text().splitlines()]
    log = (folder / "train_seed1337.log").read_text()
    scored = next(r for r in rows if r["kind"] == "record" and r["phase"] == "evaluate")["fields"]["scores"]["sliding"]
    found = SCORE.search(log)
    assert found is not None and float(found[1]) == round(scored["nats"] / scored["tokens"], 8)
    for row in (r for r in rows if r["kind"] == "val"):
        assert f"{row['step']}/6 val_loss: {row['val_loss']:.4f} val_bpb: {row['val_bpb']:.4f}" in log
    original = (three / "seed_1337" / "a1" / "progress.jsonl").read_text().splitlines()
    assert rows[: len(original)] == [json.loads(line) for line in original]
    assert {"interval", "clock"} <= {r["kind"] for r in rows}


def test_the_log_is_read_back_to_the_numbers_of_submission_json(three: Path) -> None:
    folder = written(gather(three), three)
    told = read(folder / "submission.json")
    for seed in SEEDS:
        path, result = folder / f"train_seed{seed}.log", told["seed_results"][str(seed)]
        log = read_log(Text(name=path.name, text=path.read_text(), size_bytes=path.stat().st_size))
        trained, sliding = log.score(Kind.TRAINED), log.score(Kind.SLIDING)
        assert log.seed_number == seed and log.runs == 1 and trained is not None and sliding is not None
        assert (sliding.val_bpb.value, sliding.val_loss.value) == (result["val_bpb"], result["val_loss"])
        assert (trained.val_bpb.value, trained.val_loss.value) == (result["pre_quant_val_bpb"], result["pre_quant_val_loss"])
        assert sliding.eval_ms is not None and sliding.eval_ms.value == 1000 * result["eval_time_s"]
        assert log.steps is not None and log.steps.value == result["steps"]
        assert log.train_ms is not None and log.train_ms.value == 1000 * result["train_time_s"]
        assert log.total_bytes is not None and log.total_bytes.value == result["artifact_bytes"]
        assert log.code_bytes is not None and log.code_bytes.value == told["bytes_code"]


def test_every_score_in_the_readme_is_in_submission_json(three: Path) -> None:
    folder = written(gather(three), three)
    readme, told = (folder / "README.md").read_text(), read(folder / "submission.json")
    head, *rows = table_below(readme, "Scores")
    by_seed = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    for seed in SEEDS:
        row, result = by_seed[str(seed)], told["seed_results"][str(seed)]
        assert (float(row["val_bpb"]), float(row["val_loss"])) == (result["val_bpb"], result["val_loss"])
        assert (int(row["total bytes"]), int(row["steps"])) == (result["artifact_bytes"], result["steps"])
        assert (float(row["train s"]), float(row["eval s"])) == (result["train_time_s"], result["eval_time_s"])
        assert float(row["before quantization"]) == result["pre_quant_val_bpb"]
    assert float(by_seed["mean"]["val_bpb"]) == told["val_bpb"]
    assert float(by_seed["sample deviation"]["val_bpb"]) == told["val_bpb_std"]


def test_one_seed_has_no_deviation_and_no_interval(tiny_dataset: Dataset, tmp_path: Path) -> None:
    root = make_sweep(tiny_dataset, tmp_path / "one", {42: 5.2})
    folder = written(gather(root), root)
    told, readme = read(folder / "submission.json"), (folder / "README.md").read_text()
    assert told["val_bpb_std"] is None and "val_loss_std" not in told
    assert "One seed has no deviation" in readme
    deviation = next(row for row in table_below(readme, "Scores") if row[0] == "sample deviation")
    assert set(deviation[1:]) == {"-"}


def test_failed_and_invalid_runs_are_listed_and_are_not_in_the_mean(three: Path, tiny_dataset: Dataset) -> None:
    add_attempt(three, 42, 2, error={"kind": "run", "message": "RuntimeError: lost a node"})
    invalid = SeedResult(seed=7, state=State.INVALID, attempt=1, error="total_bytes=9 must be at most 8 | <b>")
    mine = gather(three).sweep.seeds
    write_results(three, [*mine, invalid])
    other = make_sweep(tiny_dataset, three.parent / "earlier", {42: 4.9})
    add_attempt(other, 42, 2)
    make_sweep(tiny_dataset, three.parent / "another-recipe", {42: 4.0}, fingerprint="e" * 64)
    folder = written(gather(three), three)
    told = read(folder / "submission.json")
    assert told["seeds"] == list(SEEDS) and told["val_bpb"] == pytest.approx(sum(TINY_BPB) / 3, abs=1e-7)
    head, *rows = table_below((folder / "README.md").read_text(), "Every run of this recipe")
    listed = {tuple(row[:3]): dict(zip(head, row, strict=True)) for row in rows}
    assert set(listed) == {
        *(("tiny-sweep", str(seed), "1") for seed in (*SEEDS, 7)),
        ("tiny-sweep", "42", "2"),
        ("earlier", "42", "1"),
        ("earlier", "42", "2"),
    }
    assert {key for key, row in listed.items() if row["in the mean"] == "yes"} == {("tiny-sweep", str(s), "1") for s in SEEDS}
    assert listed["tiny-sweep", "42", "2"]["why"] == "RuntimeError: lost a node"
    assert listed["tiny-sweep", "7", "1"]["why"] == "total_bytes=9 must be at most 8 | <b>"
    assert listed["earlier", "42", "1"]["val_bpb"] == "4.90000000"
    assert listed["earlier", "42", "2"]["state"] == "UNFINISHED"
    assert not (folder / "train_seed7.log").exists()


def test_gates_json_and_compliance_say_what_each_gate_said(three: Path) -> None:
    folder = written(gather(three), three)
    told, compliance = read(folder / "gates.json"), read(folder / "submission.json")["compliance"]
    assert told["fingerprint"] == FINGERPRINT and told["sweep"] == "tiny-sweep"
    assert [g["name"] for g in told["seeds"]["2024"]] == [g.name for g in gates()]
    assert told["sweep_gates"][0]["verdict"] == "pass"
    assert compliance["total_bytes"] is True and compliance["train_under_600s"] is None and compliance["three_seeds"] is True
    _, *rows = table_below((folder / "README.md").read_text(), "Rules")
    assert ["42", "training clock, s", "3.5", "600.0", "n/a", "the limit is for 8 x H100", "train.json"] in rows
