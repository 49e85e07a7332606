"""What the checker finds in four published folders (docs/trust.md tells how each was confirmed by hand)."""

from __future__ import annotations

import pytest

from recur.record.check import Finding, Level, check_folder
from tests.recur.record.check.folders import GOLDEN
from tests.recur.record.check.trust import PAGE, PULL_REQUESTS, block, blocks


def findings(pr: int) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for f in check_folder(GOLDEN / f"pr{pr}").findings:
        found.setdefault(f.code, []).append(f)
    return found


def messages(found: dict[str, list[Finding]], code: str) -> list[str]:
    return [f.message for f in found.get(code, [])]


def test_1421_names_the_loss_that_is_not_the_mean_of_the_logs() -> None:
    (finding,) = findings(1421)["val_loss_not_mean"]
    assert (finding.level, finding.file, finding.line) == (Level.ERROR, "submission.json", 7)
    assert "2.51370050" in finding.message and "2.51381877" in finding.message


def test_1421_lacks_files_and_fields() -> None:
    found = findings(1421)
    assert {m.split()[0] for m in messages(found, "missing_file")} == {"README.md", "train_gpt.py", "requirements.txt"}
    fields = {m.split()[0] for m in messages(found, "missing_field")}
    assert fields == {"track", "seeds", "seed_results", "val_bpb_std", "bytes_code", "hardware"}


def test_1421_gives_mean_bytes_although_the_cap_binds_each_seed() -> None:
    (finding,) = findings(1421)["bytes_total_is_mean"]
    assert "is a mean although the cap binds each seed" in finding.message and "15959674" in finding.message


def test_1421_is_called_a_record_but_is_worse_than_its_base() -> None:
    (finding,) = findings(1421)["claim"]
    assert finding.level is Level.ERROR and finding.line == 4
    assert 'worse than its base #1334 by 0.00276 BPB (Welch t = 10.84, df 3.91), and called "Record"' in finding.message


def test_1421_is_right_about_its_score() -> None:
    assert "val_bpb_not_mean" not in findings(1421)


def test_1334_says_which_of_two_scores_counts_and_that_one_seed_ran_with_ttt() -> None:
    found = findings(1334)
    (other,) = found["other_score"]
    assert (other.file, other.line) == ("train_seed42.log", 277)
    assert "1.33603200" in other.message and "final_int6_sliding_window at line 133 counts" in other.message
    (setting,) = found["settings_differ"]
    assert setting.message.startswith("ttt_enabled differs") and (setting.file, setting.line) == ("train_seed42.log", 71)
    assert len(found["near_cap"]) == 2 and "leave 467 below" in " ".join(messages(found, "near_cap"))


def test_1334_and_its_difference_from_1019_are_right() -> None:
    found = findings(1334)
    assert not {"comparison", "val_bpb_not_mean", "val_bpb_std_differs", "seeds_differ"} & set(found)
    assert "by 0.02502 BPB" in found["better_than_base"][0].message


def test_1394_averages_rounded_scores_and_gives_mean_bytes() -> None:
    found = findings(1394)
    assert set(found) == {"missing_file", "val_bpb_rounded", "bytes_total_is_mean"}
    assert "1.08562480" in found["val_bpb_rounded"][0].message


def test_1019_ends_after_the_clock_and_is_right_about_its_baseline() -> None:
    found = findings(1019)
    assert [f.level for f in found["train_clock"]] == [Level.WARNING] * 3
    assert all("above 600 s" in m for m in messages(found, "train_clock"))
    assert "#549 by 0.00464 BPB (Welch t = -11.83, df 3.31)" in found["better_than_base"][0].message
    assert not {"comparison", "val_loss_not_mean", "artifact_bytes_mean_differs", "step_avg_ms_differs"} & set(found)


@pytest.mark.parametrize("pr", [1019, 1334, 1394, 1421])
def test_every_finding_has_a_place_and_a_remedy(pr: int) -> None:
    report = check_folder(GOLDEN / f"pr{pr}")
    assert report.exit_code == 1
    assert all(f.file and f.message and f.remedy for f in report.findings)
    assert all(f.line is not None for f in report.findings if f.file != ".")


def test_the_page_shows_what_the_checker_finds() -> None:
    shown = blocks(PAGE.read_text(encoding="utf-8"))
    assert tuple(shown) == PULL_REQUESTS
    assert shown == {pr: block(pr) for pr in PULL_REQUESTS}
