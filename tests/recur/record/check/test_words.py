"""README numbers without a source, tables that do not render, and claims that the published lines do not carry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recur.record.check import Level
from recur.record.check.markdown import check_tables
from recur.record.check.read import Text
from tests.recur.record.check.folders import SCRIPT, clean_folder, codes, found


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return clean_folder(tmp_path / "folder")


TOTAL = 15_800_294 + len(SCRIPT.encode())


def unsourced(folder: Path, text: str) -> list[str]:
    (folder / "README.md").write_text(text)
    return [f.message.split()[0] for f in found(folder, "number_without_source")]


@pytest.mark.parametrize(
    "text",
    [
        "val_bpb 1.08011068, or 1.0801, or 1.080",
        "mean 1.08047668; to #1334 (1.08972 ± 0.00029) that is −0.00924 BPB",
        "trained in 590.042 s to step 5,042 of 5042",
        "tax 0.01800 from 1.09811068 to the score",
        f"{TOTAL:,} bytes, that is {TOTAL / 1e6:.6f} MB, {16_000_000 - TOTAL:,} below 16,000,000",
        "`MATRIX_LR=0.0221` and\n\n```bash\nLR=0.0333 STEPS=7777 run\n```\n\n    indented 9.8765\n",
        "see https://example.org/1.2345/67890, [x](a/1.2345) and PR #4567, seeds 42, 1337 and 2024 on 2026-04-06",
        "torch 2.9.1, fineweb10B_sp4096, SP4096, H100, CUDA 12.8, April 2026, 2048 tokens, MLP 1536, 3 seeds, 99.9 %",
        "<!-- 1.2345 -->\n\n<img width=1234 src=x>",
    ],
)
def test_numbers_with_a_source_are_left_alone(clean: Path, text: str) -> None:
    assert unsourced(clean, text) == []


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("val_bpb 1.0812", ["1.0812"]),
        ("trained for 5200–5400 steps", ["5200", "5400"]),
        ("about 15,912,345 bytes", ["15,912,345"]),
        ("| seed | val_bpb |\n|---|---|\n| 42 | 1.07011068 |", ["1.07011068"]),
        ("it is −0.12345 better", ["−0.12345"]),
    ],
)
def test_numbers_without_a_source_are_found(clean: Path, text: str, bad: list[str]) -> None:
    assert unsourced(clean, text) == bad


@pytest.mark.parametrize("text", ["std 0.0003", "mean 1.0805 ± 0.000334", "standard deviation: 0.00033", "init std 0.005"])
def test_deviations_of_the_logs_and_of_other_things_pass(clean: Path, text: str) -> None:
    (clean / "README.md").write_text(text)
    assert "deviation_differs" not in codes(clean)


@pytest.mark.parametrize("text", ["Std: 0.0004", "mean 1.0805 ± 0.000433", "| **std** | 0.0004 |"])
def test_a_wrong_deviation_is_an_error(clean: Path, text: str) -> None:
    (clean / "README.md").write_text(text)
    (finding,) = found(clean, "deviation_differs")
    assert finding.level is Level.ERROR and finding.line == 1


def tables(text: str) -> list[int | None]:
    return [f.line for f in check_tables(Text(name="README.md", text=text, size_bytes=len(text)))]


@pytest.mark.parametrize(
    "text",
    [
        "| a | b |\n|---|---|\n| 1 | 2 |\n",
        "a | b\n--|--\n1 | 2\n",
        "| a |\n|:-:|\n| x \\| y |\n",
        "```\n|| a || b ||\n```\n",
        "    | indented | code |\n",
        "a || b is an or\n",
        "> | a | b |\n> |---|---|\n> | 1 | 2 |\n",
    ],
)
def test_tables_that_render_are_left_alone(text: str) -> None:
    assert tables(text) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("|| a || b ||\n||---||---||\n|| 1 || 2 ||\n", [1]),
        ("text\n\n| a | b |\n| 1 | 2 |\n", [3]),
        ("| a | b |\n|---|\n| 1 | 2 |\n", [1]),
        ("| a | b |\n|---|---|\n| 1 | 2 | 3 |\n| 4 |\n", [3, 4]),
        ("| a | b |\n|---|---|\n|| 1 | 2 |\n", [3]),
    ],
)
def test_tables_that_do_not_render_are_found(text: str, lines: list[int]) -> None:
    assert tables(text) == lines


def claim(folder: Path, **fields: object) -> None:
    path = folder / "submission.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields, indent=2))


WORSE = {42: 1.09211068, 1337: 1.09276612, 2024: 1.09255323}


@pytest.mark.parametrize(
    "base", [{"base_pr": 1334}, {"base_pr": "#1334"}, {"blurb": "Built on PR #1334 (x)"}, {"comparison_baseline_pr": 1334}]
)
@pytest.mark.parametrize(
    ("name", "code"), [("New SOTA run", "claim"), ("A non-record run", "worse_than_base"), ("A run", "worse_than_base")]
)
def test_a_worse_base_is_an_error_only_with_a_claim(tmp_path: Path, base: dict[str, object], name: str, code: str) -> None:
    folder = clean_folder(tmp_path / "folder", WORSE)
    claim(folder, name=name, **base)
    (finding,) = found(folder, code)
    assert finding.level is (Level.ERROR if code == "claim" else Level.WARNING)
    assert "#1334 by 0.00276 BPB (Welch t = 10.84, df 3.91)" in finding.message


def test_a_readme_that_says_it_makes_it_no_finding(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder", WORSE)
    claim(folder, base_pr=1334)
    assert "worse_than_base" in codes(folder)
    (folder / "README.md").write_text("This run is worse than PR 1334.\n")
    assert "worse_than_base" not in codes(folder)


def test_a_tie_with_the_base_is_neither_better_nor_worse(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder", {42: 1.09201068, 1337: 1.09286612, 2024: 1.09255323})
    claim(folder, base_pr=1421)
    (finding,) = found(folder, "tied_with_base")
    assert finding.message.startswith("not distinguishable from its base: off #1421 by 0.0000")


def test_a_base_named_only_in_the_readme_is_compared_too(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder", WORSE)
    (folder / "README.md").write_text("# Record: slips\n\nThis builds on top of PR #1334.\n")
    (finding,) = found(folder, "claim")
    assert (finding.file, finding.line) == ("README.md", 1)


def test_differences_and_tests_that_are_given_are_recomputed(clean: Path) -> None:
    claim(clean, delta_vs_pr1019_bpb=-0.03426, t_statistic=-121.88, welch_df=3.99)
    assert "comparison" not in codes(clean)
    claim(clean, delta_vs_pr1019_bpb=-0.035, t_statistic=-11.8, welch_df=3.3)
    assert len(found(clean, "comparison")) == 3


def test_a_line_that_is_not_known_is_noted_not_judged(clean: Path) -> None:
    claim(clean, base_pr=99999, delta_vs_pr99999_bpb=-0.1)
    assert {f.level for f in found(clean, "unknown_line")} == {Level.NOTE}


def test_a_score_on_another_text_is_compared_with_nothing_but_may_be_no_record(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder", WORSE)
    for path in folder.glob("train_seed*.log"):
        path.write_text(path.read_text().replace("train_shards: 80", "val_bytes: 20000"))
    claim(folder, base_pr=1334)
    assert not {"claim", "worse_than_base", "better_than_base", "better_line_before"} & codes(folder)
    claim(folder, name="Record: run")
    (finding,) = found(folder, "wording")
    assert finding.level is Level.ERROR and "cannot be compared" in finding.message
