"""Taking in a result (P10): once, and only if what it says about itself is what lies on the disk.

A job writes its own folder, so every file is looked at before it is read, and nothing in it is executed or used as a path
that leads out of the folder. What is compared: the job's seal, the artifact's hash and size, the byte sum and the cap, the
scores with the record of the evaluation, the scored tokens with the interval log, and the gates with the state.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cluster.look import check_plain
from cluster.seal import LARGEST_SEALED_BYTES, check_seal
from recur.errors import ArtifactError
from recur.evaluate.bpb import Score
from recur.record.atomic import read_json
from recur.record.attempt import AttemptDir
from recur.record.codec import from_json, to_json
from recur.record.result import Phase, SeedResult, State
from recur.record.rules.gate import Gate
from recur.record.rules.seed import first_failure

GATES_FILE = "gates.json"
LARGEST_GATES_BYTES = 1 << 20
_AGAIN = "run the seed again"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A result that holds, and its gates, as JSON data."""

    result: Mapping[str, Any]
    gates: tuple[Mapping[str, Any], ...]


def take_in(attempt: AttemptDir, result: SeedResult, *, code_bytes: int, cap_bytes: int) -> Taken:
    """Check an attempt's result against its folder.

    Args:
        attempt: the folder.
        result: what its result.json says.
        code_bytes, cap_bytes: of the recipe that it was told to run.

    Raises:
        ArtifactError: the first thing that does not match, with the file and, where there are hashes, both.
    """
    try:
        check_seal(attempt)
        _check_bytes(attempt, result, code_bytes, cap_bytes)
        _check_scores(attempt, result)
        gates = _gates(attempt, result)
    except RecursionError as error:
        raise ArtifactError(f"a file in {attempt.folder}", "is nested too deeply", _AGAIN) from error
    return Taken(result=to_json(result), gates=tuple(to_json(gate) for gate in gates))


def _check_bytes(attempt: AttemptDir, result: SeedResult, code_bytes: int, cap_bytes: int) -> None:
    _same("code_bytes", result.code_bytes, code_bytes, "the recipe")
    _same("cap_bytes", result.cap_bytes, cap_bytes, "the recipe")
    if result.model_sha256 is None:
        if result.state is State.SUCCEEDED or result.model_bytes is not None or result.total_bytes is not None:
            raise ArtifactError("result.json model_sha256=None", "must be the hash of an artifact", _AGAIN)
        return
    fit = _record(attempt, Phase.FIT)
    found = [one for one in fit.payloads if one.sha256 == result.model_sha256] if fit else []
    if not found:
        recorded = ", ".join(f"{one.file} has {one.sha256}" for one in fit.payloads) if fit else "there is no record"
        rule = f"is of no payload of record_fit.json ({recorded})"
        raise ArtifactError(f"result.json model_sha256={result.model_sha256}", rule, _AGAIN)
    check_plain(attempt.path(found[0].file), max(cap_bytes, found[0].size_bytes))
    size_bytes = attempt.path(found[0].file).stat().st_size
    _same("model_bytes", result.model_bytes, size_bytes, f"{found[0].file} on the disk")
    _same("total_bytes", result.total_bytes, size_bytes + code_bytes, "model and code bytes")
    _same("slack_bytes", result.slack_bytes, cap_bytes - size_bytes - code_bytes, "cap less total bytes")


def _check_scores(attempt: AttemptDir, result: SeedResult) -> None:
    stage = "sliding" if result.val_bpb.sliding is not None else "roundtrip"
    for name in ("trained", "roundtrip", "sliding"):
        for value in (getattr(result.val_bpb, name), getattr(result.val_loss, name)):
            if value is not None and not math.isfinite(value):
                raise ArtifactError(f"result.json {name}={value}", "must be finite", _AGAIN)
    if getattr(result.val_bpb, stage) is None:
        if result.state is State.SUCCEEDED:
            raise ArtifactError("result.json val_bpb", "has no final score", _AGAIN)
        return
    record = _record(attempt, Phase.EVALUATE)
    scores: Any = record.fields.get("scores") if record else None
    if not isinstance(scores, dict) or stage not in scores:
        raise ArtifactError(f"record_evaluate.json of {attempt.folder}", f"has no scores of {stage}", _AGAIN)
    final = from_json(Score, scores[stage], where=f"record_evaluate.json scores.{stage}")
    _same(f"val_bpb.{stage}", getattr(result.val_bpb, stage), final.val_bpb, "record_evaluate.json")
    _same(f"val_loss.{stage}", getattr(result.val_loss, stage), final.val_loss, "record_evaluate.json")
    _same("scored_tokens", result.scored_tokens, final.tokens, "record_evaluate.json")
    _same("scored_bytes", result.scored_bytes, final.bytes, "record_evaluate.json")
    path = attempt.path("intervals.jsonl")
    _same("scored_tokens", result.scored_tokens, _scored_once(path, stage), "intervals.jsonl")


def _gates(attempt: AttemptDir, result: SeedResult) -> tuple[Gate, ...]:
    path = attempt.path(GATES_FILE)
    check_plain(path, LARGEST_GATES_BYTES)
    if not path.is_file():
        raise ArtifactError(str(path), "is missing", _AGAIN)
    rows = read_json(path)
    if not isinstance(rows, list) or not rows:
        raise ArtifactError(str(path), "is not a list of gates", _AGAIN)
    gates = tuple(from_json(Gate, row, where=f"{path}[{i}]") for i, row in enumerate(rows))
    broken = first_failure(gates)
    if (broken is None) is not (result.state is State.SUCCEEDED):
        rule = f"contradicts {path}, where {broken or 'no gate fails'}"
        raise ArtifactError(f"result.json state={result.state}", rule, _AGAIN)
    return gates


def _record(attempt: AttemptDir, phase: Phase) -> Any:
    """A phase's record with its payloads hashed; None without one."""
    check_plain(attempt.path(f"record_{phase}.json"), LARGEST_SEALED_BYTES)
    return attempt.read_record(phase)


def _scored_once(path: Path, stage: str) -> int:
    """Positions that the interval log says were scored in ``stage``.

    Raises:
        ArtifactError: one was scored twice, or the log is damaged.
    """
    check_plain(path, LARGEST_SEALED_BYTES)
    spans = sorted(_spans(path, stage))
    for (_, before), (start, _) in pairwise(spans):
        if start < before:
            raise ArtifactError(str(path), f"scores position {start} of {stage} twice", _AGAIN)
    return sum(stop - start for start, stop in spans)


def _spans(path: Path, stage: str) -> Iterator[tuple[int, int]]:
    if not path.exists():
        raise ArtifactError(str(path), "is missing", _AGAIN)
    with path.open("rb") as f:
        for number, line in enumerate(f, 1):
            row = _row(line, f"{path}:{number}")
            if row.get("kind") == "score" and row.get("stage") == stage:
                start, stop = row.get("start"), row.get("stop")
                if type(start) is not int or type(stop) is not int or not 0 <= start < stop:
                    raise ArtifactError(f"{path}:{number}", "is not a stretch of positions", _AGAIN)
                yield start, stop


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ArtifactError(where, "is not a JSON line", _AGAIN) from error
    if not isinstance(row, dict):
        raise ArtifactError(where, "is not an event", _AGAIN)
    return row


def _same(name: str, said: object, found: object, where: str) -> None:
    if said != found or isinstance(said, bool):
        raise ArtifactError(f"result.json {name}={said}", f"does not match {where}: {found}", _AGAIN)


def numbers_of(recipe: Mapping[str, Any]) -> Mapping[str, int]:
    """``code_bytes`` and ``cap_bytes`` of a recipe as JSON data."""
    artifact = recipe["artifact"]
    return {"code_bytes": int(artifact["code_bytes"]), "cap_bytes": int(artifact["cap_bytes"])}
