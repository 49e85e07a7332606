"""A seed's result, read off the phase records of its attempt: the records are the only source of its numbers."""

from __future__ import annotations

from typing import Any

from recur.evaluate.bpb import Score
from recur.pipeline.evidence import phase_fields
from recur.record.attempt import AttemptDir
from recur.record.cost import ByteCount
from recur.record.result import Phase, Scores, SeedResult, State
from recur.record.rules.gate import Gate
from recur.record.rules.seed import first_failure
from recur.seedspec import SeedSpec


def seed_result(spec: SeedSpec, attempt: AttemptDir, gates: tuple[Gate, ...]) -> SeedResult:
    """The result of an attempt whose phases are done; INVALID where one of its ``gates`` failed.

    Raises:
        ArtifactError: a record is missing or damaged.
    """
    train, fit = phase_fields(attempt, Phase.TRAIN), phase_fields(attempt, Phase.FIT)
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
        "quantized": phase_fields(attempt, Phase.QUANTIZE)["methods"],
    }
    last = {"last_step": summary["last_step_bpb"]}, {"last_step": summary["last_step_loss"]}
    if "unreachable" in fit:
        return SeedResult(
            **common,
            state=State.INVALID,
            error=first_failure(gates),
            val_bpb=Scores(**last[0]),
            val_loss=Scores(**last[1]),
            seconds=_seconds(attempt, summary),
        )
    scores = {name: Score(**fields) for name, fields in phase_fields(attempt, Phase.EVALUATE)["scores"].items()}
    final = scores.get("sliding", scores["roundtrip"])
    verified = phase_fields(attempt, Phase.VERIFY)
    cost = ByteCount(
        model_bytes=verified["model_bytes"],
        code_bytes=spec.recipe.artifact.code_bytes,
        cap_bytes=spec.recipe.artifact.cap_bytes,
    )
    broken = first_failure(gates)
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
