"""The stored reference vectors, one test per group; what needs tokenizers or text is left to `make conformance`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.__main__ import check_group, main
from tests.conformance.base import Context
from tests.conformance.configs import fast_paths

GOLDEN = Path(__file__).parent / "golden"
NEED_TEXT = {"07_bpb_bytes"}
GROUPS = sorted(p.name.removesuffix(".json") for p in GOLDEN.glob("[0-9]*.json"))


@pytest.mark.parametrize("group", [g for g in GROUPS if g not in NEED_TEXT])
def test_product_agrees_with_the_reference_vectors(group: str) -> None:
    line = check_group(GOLDEN / f"{group}.json", Context())
    assert line.status == "ok", line.text()


@pytest.mark.parametrize("group", ["01_model_forward", "04_optimizer_trajectory"])
def test_with_every_fast_path_the_vectors_hold_too(group: str) -> None:
    """The groups that run the model in training; `make conformance ARGS=--fast` has all."""
    with fast_paths(True):
        line = check_group(GOLDEN / f"{group}.json", Context())
    assert line.status == "ok", line.text()


@pytest.mark.parametrize("group", sorted(NEED_TEXT))
def test_groups_that_need_text_say_so_instead_of_passing(group: str) -> None:
    assert check_group(GOLDEN / f"{group}.json", Context()).status == "SKIP"


def test_unknown_group_and_missing_text_fail_unless_allowed(tmp_path: Path) -> None:
    (tmp_path / "99_new.json").write_text("{}")
    assert main([str(tmp_path)]) == 1
    assert main([str(tmp_path), "--allow-missing"]) == 0


def test_a_folder_without_groups_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no group" in capsys.readouterr().err
