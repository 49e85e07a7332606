"""Dataclasses to JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.errors import ArtifactError
from recur.record.codec import from_json, to_json
from recur.record.result import Scores, SeedResult, State, SweepResult
from tests.recur.record.samples import failed, finished, sweep

_NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def test_sweep_survives_json() -> None:
    result = sweep(finished(), failed())
    assert from_json(SweepResult, json.loads(json.dumps(to_json(result)))) == result


@given(_NUMBER, _NUMBER, st.sampled_from(State), st.none() | st.text(), st.integers())
def test_any_seed_survives_json(score: float | None, rate: float | None, state: State, error: str | None, seed: int) -> None:
    result = SeedResult(seed=seed, state=state, attempt=1, error=error, tokens_per_s=rate, val_bpb=Scores(sliding=score))
    assert from_json(SeedResult, json.loads(json.dumps(to_json(result)))) == result


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "42"}, r"seed='42' is not of type int"),
        ({"seed": True}, "is not of type int"),
        ({"state": "DONE"}, "is not a State"),
        ({"extra": 1}, r"extra='1' is not a field of SeedResult"),
        ({"val_bpb": {"sliding": "low"}}, r"val_bpb\.sliding"),
        ({"seconds": {"train": None}}, r"seconds\.train"),
        ({"val_bpb": 3}, "is not an object"),
    ],
)
def test_a_document_of_another_shape_is_refused_with_its_path(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        from_json(SeedResult, {**to_json(finished()), **change})


def test_a_missing_field_is_named() -> None:
    document = to_json(finished())
    del document["attempt"]
    with pytest.raises(ArtifactError, match="attempt"):
        from_json(SeedResult, document)


def test_a_list_is_not_a_result() -> None:
    with pytest.raises(ArtifactError):
        from_json(SeedResult, [])
    with pytest.raises(ArtifactError, match="a list"):
        from_json(SweepResult, {**to_json(sweep()), "seeds": {}})


def test_a_whole_number_is_accepted_for_a_float() -> None:
    assert from_json(SeedResult, {**to_json(finished()), "mfu": 1}).mfu == 1.0
