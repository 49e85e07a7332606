"""What a record folder says: the track, comparisons and claims that its numbers carry, names as they were given."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from recur.data.dataset import Dataset
from recur.errors import InputError
from recur.record.check import Level, check_folder
from recur.record.folder import About, gather
from tests.recur.record.folder.kit import (
    ABOUT,
    GOOD_BPB,
    fineweb,
    read,
    tables,
    written,
)


def test_every_table_of_the_readme_renders_with_equal_rows(three: Path) -> None:
    readme = (written(gather(three), three) / "README.md").read_text()
    found = tables(readme)
    assert len(found) == len(re.findall(r"^\| :-", readme, re.MULTILINE)) >= 6
    for table in found:
        assert len(table) >= 2 and {len(row) for row in table} == {len(table[0])}


def test_a_small_run_says_what_keeps_it_out_of_the_track(three: Path) -> None:
    folder = written(gather(three), three)
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
        "rule 'total bytes' is broken by seed 42, 1337, 2024: 345 | too many"
    ]
    two = fineweb(tiny_dataset, tmp_path / "two", GOOD_BPB[:2])
    folder = written(two, tmp_path / "two")
    assert read(folder / "gates.json")["not_of_the_timed_track_because"] == ["rule 'seeds that count' is broken: 2 against 3"]


def test_an_odd_placement_a_research_run_or_another_cap_is_not_of_the_track(tiny_dataset: Dataset, tmp_path: Path) -> None:
    source = fineweb(tiny_dataset, tmp_path / "s")
    recipe = source.recipe
    small = dataclasses.replace(recipe.artifact, cap_bytes=15_000_000)
    odd = {
        "not a placement of the track": dataclasses.replace(source, note="not a placement of the track"),
        "mode is research": dataclasses.replace(source, recipe=dataclasses.replace(recipe, mode="research")),
        "15,000,000": dataclasses.replace(source, recipe=dataclasses.replace(recipe, artifact=small)),
    }
    for reason, other in odd.items():
        folder = written(other, tmp_path / "s")
        assert folder.parent.name == "track_non_record_16mb"
        assert reason in (folder / "README.md").read_text()


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


def test_one_seed_is_set_beside_a_line_without_a_test(tiny_dataset: Dataset, tmp_path: Path) -> None:
    source = fineweb(tiny_dataset, tmp_path / "s", GOOD_BPB[:1])
    folder = written(source, tmp_path / "s", dataclasses.replace(ABOUT, baseline_pr=1421))
    told = read(folder / "submission.json")
    assert told["delta_vs_pr1421_bpb"] < 0 and not {"t_statistic", "welch_df", "p_value"} & set(told)
    assert "this run is better" not in (folder / "README.md").read_text()


def test_a_name_that_claims_more_than_the_numbers_carry_is_refused(tiny_dataset: Dataset, three: Path, tmp_path: Path) -> None:
    for about in (
        dataclasses.replace(ABOUT, name="New record: tiny model"),
        dataclasses.replace(ABOUT, name="Better than PR #1334"),
    ):
        with pytest.raises(InputError, match="says more than the numbers carry"):
            written(gather(three), three, about)
    assert not list(three.glob("record/*/*"))
    slower = fineweb(tiny_dataset, tmp_path / "slow", (1.0921, 1.0925, 1.0929))
    with pytest.raises(InputError, match="says more than the numbers carry"):
        written(slower, tmp_path / "slow", dataclasses.replace(ABOUT, name="Improves on PR 1334"))


def test_special_characters_of_a_name_stay_text(three: Path) -> None:
    name = 'A | "quoted" <b>bold</b> `code` *run* \\ [x](y)\n# second line'
    folder = written(gather(three), three, dataclasses.replace(ABOUT, name=name, author="Zoë O'Neil"))
    told, readme = read(folder / "submission.json"), (folder / "README.md").read_text()
    flat = " ".join(name.split())
    assert told["name"] == flat and told["author"] == "Zoë O'Neil"
    first = MarkdownIt("commonmark").parse(readme)[1]
    assert "".join(part.content for part in first.children or []) == flat
    assert all(part.type in ("text", "text_special") for part in first.children or [])


def test_an_author_that_nobody_gave_is_named_so(three: Path) -> None:
    folder = written(gather(three), three, About())
    told, readme = read(folder / "submission.json"), (folder / "README.md").read_text()
    assert (told["author"], told["github_id"]) == ("unnamed", "unnamed")
    assert "Author or account were not given" in readme


def test_the_checker_finds_no_fault_in_our_own_folder(three: Path, tiny_dataset: Dataset, tmp_path: Path) -> None:
    assert check_folder(written(gather(three), three)).findings == ()
    timed = check_folder(written(fineweb(tiny_dataset, tmp_path / "timed"), tmp_path / "timed"))
    assert {finding.level for finding in timed.findings} <= {Level.NOTE}


@pytest.mark.parametrize("date", ["2026-13-45", "yesterday", "26"])
def test_a_date_that_is_none_is_refused(date: str) -> None:
    with pytest.raises(InputError, match=f"--date {date} is no day"):
        dataclasses.replace(ABOUT, date=date).check()
    assert dataclasses.replace(ABOUT, date="2026-11-29").check().date == "2026-11-29"
