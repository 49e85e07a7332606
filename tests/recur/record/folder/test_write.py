"""The record folder on the disk: whole or absent, replaced by its own sweep only, and one set of numbers in all its files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from recur.data.dataset import Dataset
from recur.errors import ArtifactError, InputError, StorageError
from recur.record.folder import About, FolderSource, gather, write_record_folder
from recur.record.result import SeedResult, State
from recur.record.stats import spread
from tests.recur.record.folder.kit import (
    ABOUT,
    FINGERPRINT,
    GOOD_BPB,
    REQUIREMENTS,
    SCRIPT,
    SEEDS,
    TINY_BPB,
    add_attempt,
    fineweb,
    gates,
    gathered,
    make_sweep,
    read,
    write_results,
)

SCORE = re.compile(r"^final_\w+_sliding_window val_loss:(\S+) val_bpb:(\S+)", re.MULTILINE)


@pytest.fixture
def three(tiny_dataset: Dataset, tmp_path: Path) -> Path:
    """A sweep of three seeds."""
    return make_sweep(tiny_dataset, tmp_path / "out" / "tiny-sweep", dict(zip(SEEDS, TINY_BPB, strict=True)))


def written(source: FolderSource, into: Path, about: About = ABOUT) -> Path:
    return write_record_folder(source, into=into, script=SCRIPT, requirements=REQUIREMENTS, about=about)


def tables(markdown: str) -> list[list[list[str]]]:
    """Cells of every table that a Markdown reader finds."""
    found: list[list[list[str]]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    for i, token in enumerate(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            inline = tokens[i + 1].children or []
            found[-1][-1].append("".join(part.content for part in inline))
    return found


def table_below(markdown: str, heading: str) -> list[list[str]]:
    return tables(markdown.split(f"## {heading}\n")[1].split("\n## ")[0])[0]


def test_a_folder_holds_what_a_submission_needs_and_its_bytes_can_be_counted_again(three: Path) -> None:
    folder = written(gathered(three), three)
    names = {p.name for p in folder.iterdir()}
    per_seed = {
        f"{kind.format(seed)}" for seed in SEEDS for kind in ("train_seed{}.log", "train_seed{}.jsonl", "artifact_seed{}.ptz")
    }
    assert names == {"README.md", "submission.json", "train_gpt.py", "requirements.txt", "gates.json"} | per_seed
    told = read(folder / "submission.json")
    code = (folder / "train_gpt.py").stat().st_size
    for seed in SEEDS:
        artifact = folder / f"artifact_seed{seed}.ptz"
        assert told["seed_results"][str(seed)]["artifact_bytes"] == artifact.stat().st_size + code
        assert hashlib.sha256(artifact.read_bytes()).hexdigest() == told["provenance"]["artifacts"][str(seed)]
    assert told["bytes_total"] == max(r["artifact_bytes"] for r in told["seed_results"].values()) == told["artifact_bytes_max"]
    assert told["bytes_code"] == code == len(SCRIPT)


def test_means_and_deviations_are_those_of_the_logs(three: Path) -> None:
    folder = written(gathered(three), three)
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
    folder = written(gathered(three), three)
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


def test_every_score_in_the_readme_is_in_submission_json(three: Path) -> None:
    folder = written(gathered(three), three)
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


def test_every_table_of_the_readme_renders_with_equal_rows(three: Path) -> None:
    readme = (written(gathered(three), three) / "README.md").read_text()
    found = tables(readme)
    assert len(found) == len(re.findall(r"^\| :-", readme, re.MULTILINE)) >= 6
    for table in found:
        assert len(table) >= 2 and {len(row) for row in table} == {len(table[0])}


def test_one_seed_has_no_deviation_and_no_interval(tiny_dataset: Dataset, tmp_path: Path) -> None:
    root = make_sweep(tiny_dataset, tmp_path / "one", {42: 5.2})
    folder = written(gathered(root), root)
    told, readme = read(folder / "submission.json"), (folder / "README.md").read_text()
    assert told["val_bpb_std"] is None and "val_loss_std" not in told
    assert "One seed has no deviation" in readme
    deviation = next(row for row in table_below(readme, "Scores") if row[0] == "sample deviation")
    assert set(deviation[1:]) == {"-"}


def test_failed_and_invalid_runs_are_listed_and_are_not_in_the_mean(three: Path, tiny_dataset: Dataset) -> None:
    add_attempt(three, 42, 2, error={"kind": "run", "message": "RuntimeError: lost a node"})
    invalid = SeedResult(seed=7, state=State.INVALID, attempt=1, error="total_bytes=9 must be at most 8 | <b>")
    mine = gathered(three).sweep.seeds
    write_results(three, [*mine, invalid])
    other = make_sweep(tiny_dataset, three.parent / "earlier", {42: 4.9})
    add_attempt(other, 42, 2)
    make_sweep(tiny_dataset, three.parent / "another-recipe", {42: 4.0}, fingerprint="e" * 64)
    folder = written(gathered(three), three)
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


def test_a_small_run_says_what_keeps_it_out_of_the_track(three: Path) -> None:
    folder = written(gathered(three), three)
    readme, told = (folder / "README.md").read_text(), read(folder / "submission.json")
    assert folder.parent.name == "track_non_record_16mb" and told["track"] == "non_record_16mb"
    assert "This is not a run of the track" in readme
    reasons = " ".join(told["provenance"]["not_of_the_timed_track_because"])
    assert all(word in reasons for word in ("not FineWeb", "CPU process", "clock", "20,000"))
    assert "cannot be compared" in readme and "comparison_baseline_pr" not in told


def test_eight_h100_with_all_rules_kept_are_of_the_track_and_a_broken_rule_is_not(tiny_dataset: Dataset, tmp_path: Path) -> None:
    kept = written(fineweb(tiny_dataset, tmp_path / "kept"), tmp_path / "kept")
    assert kept.parent.name == "track_10min_16mb" and read(kept / "submission.json")["track"] == "10min_16mb"
    assert "not a run of the track" not in (kept / "README.md").read_text()
    broken = written(fineweb(tiny_dataset, tmp_path / "broken", ok=False), tmp_path / "broken")
    assert broken.parent.name == "track_non_record_16mb"
    assert read(broken / "submission.json")["compliance"]["total_bytes"] is False
    assert read(broken / "gates.json")["not_of_the_timed_track_because"] == [
        "rule 'total bytes' is broken by seed 42, 1337, 2024 (345 | too many)"
    ]
    two = fineweb(tiny_dataset, tmp_path / "two", GOOD_BPB[:2])
    assert written(two, tmp_path / "two").parent.name == "track_non_record_16mb"


def test_gates_json_and_compliance_say_what_each_gate_said(three: Path) -> None:
    folder = written(gathered(three), three)
    told, compliance = read(folder / "gates.json"), read(folder / "submission.json")["compliance"]
    assert told["fingerprint"] == FINGERPRINT and told["sweep"] == "tiny-sweep"
    assert [g["name"] for g in told["seeds"]["2024"]] == [g.name for g in gates()]
    assert told["sweep_gates"][0]["verdict"] == "pass"
    assert compliance["total_bytes"] is True and compliance["train_under_600s"] is None and compliance["three_seeds"] is True
    _, *rows = table_below((folder / "README.md").read_text(), "Rules")
    assert ["42", "training clock, s", "3.5", "600.0", "n/a", "the limit is for 8 x H100", "train.json"] in rows


def test_a_comparison_is_of_the_same_text_and_in_the_words_that_the_numbers_carry(tiny_dataset: Dataset, tmp_path: Path) -> None:
    source = fineweb(tiny_dataset, tmp_path / "s")
    folder = written(source, tmp_path / "s", dataclasses.replace(ABOUT, baseline_pr=1334))
    told, readme = read(folder / "submission.json"), (folder / "README.md").read_text()
    assert told["comparison_baseline_pr"] == 1334
    assert told["delta_vs_pr1334_bpb"] == pytest.approx(told["val_bpb"] - told["comparison_baseline_bpb"], abs=2e-8)
    tests = told["provenance"]["comparison"]["tests"]
    assert told["t_statistic"] == round(tests[0]["plain"]["t"], 4) < 0
    assert tests[0]["strict"]["p_one_sided"] > tests[0]["plain"]["p_one_sided"] == pytest.approx(told["p_value"], rel=1e-5)
    assert "this run is better than PR 1334" in readme


def test_a_name_that_claims_more_than_the_numbers_carry_is_refused(tiny_dataset: Dataset, three: Path, tmp_path: Path) -> None:
    for about in (
        dataclasses.replace(ABOUT, name="New record: tiny model"),
        dataclasses.replace(ABOUT, name="Better than PR #1334"),
    ):
        with pytest.raises(InputError, match="says more than the numbers carry"):
            written(gathered(three), three, about)
    assert not list(three.glob("record/*/*"))
    slower = fineweb(tiny_dataset, tmp_path / "slow", (1.0921, 1.0925, 1.0929))
    with pytest.raises(InputError, match="says more than the numbers carry"):
        written(slower, tmp_path / "slow", dataclasses.replace(ABOUT, name="Improves on PR 1334"))


def test_special_characters_of_a_name_stay_text(three: Path) -> None:
    name = 'A | "quoted" <b>bold</b> `code` *run* \\ [x](y)\n# second line'
    folder = written(gathered(three), three, dataclasses.replace(ABOUT, name=name, author="Zoë O'Neil"))
    told, readme = read(folder / "submission.json"), (folder / "README.md").read_text()
    flat = " ".join(name.split())
    assert told["name"] == flat and told["author"] == "Zoë O'Neil"
    first = MarkdownIt("commonmark").parse(readme)[1]
    assert "".join(part.content for part in first.children or []) == flat
    assert all(part.type in ("text", "text_special") for part in first.children or [])


def test_an_author_that_nobody_gave_is_named_so(three: Path) -> None:
    folder = written(gathered(three), three, About())
    told, readme = read(folder / "submission.json"), (folder / "README.md").read_text()
    assert (told["author"], told["github_id"]) == ("unnamed", "unnamed")
    assert "Author or account were not given" in readme


def test_writing_again_replaces_the_folder_of_the_same_sweep_also_under_another_date(three: Path) -> None:
    source = gathered(three)
    first = written(source, three, dataclasses.replace(ABOUT, date="2026-01-02"))
    (first / "stray.txt").write_text("left over")
    first.with_name(f".{first.name}.0123abcd.tmp").mkdir()  # what a kill leaves
    again = written(source, three, dataclasses.replace(ABOUT, date="2026-01-02"))
    assert again == first and not (again / "stray.txt").exists()
    assert [p.name for p in again.parent.iterdir()] == [again.name]
    moved = written(source, three, dataclasses.replace(ABOUT, date="2026-01-03"))
    assert [p.name for p in (three / "record").glob("*/*")] == [moved.name]


def test_a_folder_of_another_sweep_is_never_touched(three: Path) -> None:
    source = gathered(three)
    folder = written(source, three)
    told = read(folder / "gates.json")
    (folder / "gates.json").write_text(json.dumps(told | {"sweep": "somebody-else"}))
    with pytest.raises(StorageError, match="is not of sweep tiny-sweep"):
        written(source, three)
    assert read(folder / "gates.json")["sweep"] == "somebody-else"


def test_a_write_that_fails_leaves_the_former_folder_whole(three: Path) -> None:
    source = gathered(three)
    folder = written(source, three)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    source.seeds[1].artifact.unlink()
    with pytest.raises(OSError):
        written(source, three)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_script_that_is_not_the_counted_one_is_refused(tiny_dataset: Dataset, three: Path) -> None:
    source = gathered(three)
    cfg = dataclasses.replace(source.recipe.artifact, code_bytes=len(SCRIPT) + 1, code_bytes_source="bundle")  # type: ignore[arg-type]
    counted = dataclasses.replace(source, recipe=dataclasses.replace(source.recipe, artifact=cfg))
    with pytest.raises(ArtifactError, match="bytes that the run's cap counted"):
        written(counted, three)


def test_a_sweep_without_a_score_gates_or_matching_files_is_not_gathered(tiny_dataset: Dataset, three: Path) -> None:
    with pytest.raises(ArtifactError, match="has no gates"):
        gather(three, gates={42: gates()})
    record = three / "seed_1337" / "a1" / "record_evaluate.json"
    told = read(record)
    told["fields"]["scores"]["sliding"]["nats"] += 1e-6
    record.write_text(json.dumps(told))
    with pytest.raises(ArtifactError, match="in its result and"):
        gathered(three)
    write_results(three, [SeedResult(seed=42, state=State.FAILED, attempt=1, error="x")])
    with pytest.raises(ArtifactError, match="no seed that SUCCEEDED"):
        gathered(three)
