"""A seed's result, read off the phase records of its attempt: the records are the only source of its numbers."""

from __future__ import annotations

from typing import Any

from recur.errors import ArtifactError
from recur.evaluate.bpb import Score
from recur.record.attempt import AttemptDir
from recur.record.cost import ByteCount
from recur.record.result import Phase, Scores, SeedResult, State
from recur.seedspec import SeedSpec


def seed_result(spec: SeedSpec, attempt: AttemptDir) -> SeedResult:
    """The result of an attempt whose phases are done; INVALID where a gate failed.

    Raises:
        ArtifactError: a record is missing or damaged.
    """
    train, fit = _fields(attempt, Phase.TRAIN), _fields(attempt, Phase.FIT)
    summary: dict[str, Any] = train["summary"]
    common: dict[str, Any] = {
        "seed": spec.seed,
        "attempt": spec.attempt,
        "steps": summary["steps"],
        "tokens_per_s": summary["tokens_per_s"],
        "mfu": summary["mfu"],
        "mfu_peak_tflops": summary["mfu_peak_tflops"],
        "code_bytes": spec.recipe.artifact.code_bytes,
        "code_bytes_source": spec.recipe.artifact.code_bytes_source,
        "cap_bytes": spec.recipe.artifact.cap_bytes,
        "placement": train["placement"],
        "quantized": _fields(attempt, Phase.QUANTIZE)["methods"],
    }
    last = {"last_step": summary["last_step_bpb"]}, {"last_step": summary["last_step_loss"]}
    if "unreachable" in fit:
        return SeedResult(
            **common,
            state=State.INVALID,
            error=fit["unreachable"],
            val_bpb=Scores(**last[0]),
            val_loss=Scores(**last[1]),
            seconds=_seconds(attempt, summary),
        )
    scores = {name: Score(**fields) for name, fields in _fields(attempt, Phase.EVALUATE)["scores"].items()}
    final = scores.get("sliding", scores["roundtrip"])
    verified = _fields(attempt, Phase.VERIFY)
    cost = ByteCount(
        model_bytes=verified["model_bytes"],
        code_bytes=spec.recipe.artifact.code_bytes,
        cap_bytes=spec.recipe.artifact.cap_bytes,
    )
    broken = _over_cap(cost) or _over_clock(spec, summary)
    return SeedResult(
        **common,
        state=State.INVALID if broken else State.SUCCEEDED,
        error=broken,
        val_bpb=Scores(**last[0], **{name: scores[name].val_bpb for name in _reported(scores)}),
        val_loss=Scores(**last[1], **{name: scores[name].val_loss for name in _reported(scores)}),
        scored_tokens=final.tokens,
        scored_bytes=final.bytes,
        model_bytes=cost.model_bytes,
        model_sha256=verified["model_sha256"],
        total_bytes=cost.total_bytes,
        slack_bytes=cost.slack_bytes,
        seconds=_seconds(attempt, summary),
    )


def _over_cap(cost: ByteCount) -> str | None:
    return f"total_bytes={cost.total_bytes} must be at most {cost.cap_bytes}" if cost.slack_bytes < 0 else None


def _over_clock(spec: SeedSpec, summary: dict[str, Any]) -> str | None:
    """RULES B2 (2), where the clock applies: a record placement of a recipe that has one."""
    limit_s, read_s = spec.recipe.train.wallclock_s, summary["data_read_s"]
    applies = limit_s > 0 and spec.recipe.mode == "record" and not spec.note
    if not applies or read_s <= limit_s:
        return None
    return f"data_read_s={read_s:.1f} must be at most {limit_s:g}: training data was read after the limit"


def _reported(scores: dict[str, Score]) -> list[str]:
    """Stages that the result has a field for; the others (ttt) stay in the record of `evaluate`."""
    return [name for name in ("trained", "roundtrip", "sliding") if name in scores]


def _seconds(attempt: AttemptDir, summary: dict[str, Any]) -> dict[str, float]:
    """Seconds per phase: setup, train and calibrate from training itself, the others from their records."""
    seconds = {name: float(value) for name, value in summary["seconds"].items()}
    for phase in (Phase.QUANTIZE, Phase.FIT, Phase.EVALUATE, Phase.VERIFY):
        record = attempt.read_record(phase)
        if record is not None and isinstance(record.fields.get("seconds"), int | float):
            seconds[phase.value] = float(str(record.fields["seconds"]))
    return seconds


def _fields(attempt: AttemptDir, phase: Phase) -> dict[str, Any]:
    record = attempt.read_record(phase)
    if record is None:
        raise ArtifactError(f"record of {phase} in {attempt.folder}", "is missing", "run the seed again")
    return dict(record.fields)
