"""What a seed job leaves in its attempt's folder, without training: records, gates, result and seal that hold together."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.seal import write_seal
from recur.evaluate.bpb import Score
from recur.record.atomic import read_json, write_json_atomic
from recur.record.attempt import AttemptDir
from recur.record.codec import to_json
from recur.record.result import Phase, Scores, SeedResult, State
from recur.record.rules.gate import Gate, judged

HOST = "another-host"
"""Of the heartbeats: a process there cannot be looked for."""
ARTIFACT_BYTES, TOKENS, SCORED_BYTES = 3000, 7616, 12552


def beat(attempt: AttemptDir, phase: Phase, at: float, **fields: object) -> None:
    """The job's sign of life."""
    write_json_atomic(attempt.path("heartbeat.json"), {"at": at, "pid": 1, "host": HOST, "phase": phase.value, **fields})


def train(attempt: AttemptDir) -> None:
    """Training and calibration, finished."""
    attempt.append_event("phase", {"phase": "train"})
    attempt.append_event("step", {"step": 2, "steps": 3, "loss": 6.0, "tokens_per_s": 777.0, "flops_per_s": 5e8, "train_s": 2.5})
    attempt.write_clock("train", 3.5, start_at=attempt.clock(), stop_at=attempt.clock())
    attempt.append_interval("train", 0, 1536)
    attempt.path("ema.safetensors").write_bytes(b"weights of seed %d" % attempt.seed)
    attempt.write_record(Phase.TRAIN, {"placement": {"world_size": 1}, "summary": {"steps": 3}}, ["ema.safetensors"])
    attempt.write_record(Phase.CALIBRATE, {"batches": 2, "matrices": 30})


def finish(attempt: AttemptDir, state: State = State.SUCCEEDED, *, bpb: float = 1.07, seal: bool = True) -> SeedResult:
    """Everything from training (where it is not there yet) to the result and the seal."""
    spec: Any = read_json(attempt.path("spec.json"))
    if not attempt.finished(Phase.CALIBRATE):
        train(attempt)
    numbers = _packed(attempt, spec["recipe"]["artifact"])
    scores = {
        name: Score(nats=factor * bpb * math.log(2.0) * SCORED_BYTES, tokens=TOKENS, bytes=SCORED_BYTES)
        for name, factor in (("trained", 0.9999), ("roundtrip", 1.0001), ("sliding", 1.0))
    }
    for stage in scores:
        attempt.append_interval("score", 0, 4000, version=0, stage=stage)
        attempt.append_interval("score", 4000, TOKENS, version=0, stage=stage)
    attempt.write_record(Phase.EVALUATE, {"scores": to_json(scores), "seconds": 2.5})
    verified = {name: numbers[name] for name in ("model_bytes", "model_sha256")}
    attempt.write_record(Phase.VERIFY, {**verified, "fingerprint": "f" * 64, "environment": {"python": "3.11"}})
    table = gates(ok=state is State.SUCCEEDED)
    write_json_atomic(attempt.path("gates.json"), to_json(table))
    result = SeedResult(
        seed=attempt.seed,
        state=state,
        attempt=attempt.attempt,
        error=None if state is State.SUCCEEDED else "gate 'scored targets': 0 of 7616 positions have a score",
        steps=3,
        tokens_per_s=777.0,
        val_bpb=Scores(**{name: score.val_bpb for name, score in scores.items()}),
        val_loss=Scores(**{name: score.val_loss for name, score in scores.items()}),
        scored_tokens=TOKENS,
        scored_bytes=SCORED_BYTES,
        seconds={"train": 3.5, "calibrate": 0.1},
        placement={"world_size": 1, "backend": "local", "device": "cpu"},
        quantized={"gptq": 30},
        **numbers,
    )
    write_json_atomic(attempt.path("result.json"), to_json(result))
    if seal:
        write_seal(attempt)
    return result


def gates(*, ok: bool) -> tuple[Gate, ...]:
    """Two gates, the second of which may fail."""
    why = "" if ok else "0 of 7616 positions have a score"
    return (
        judged("total bytes", ARTIFACT_BYTES, 20000, True, source="size of the artifact's file + code bytes"),
        judged("scored targets", TOKENS if ok else 0, TOKENS, ok, why=why, source="intervals.jsonl"),
    )


def _packed(attempt: AttemptDir, limits: Mapping[str, Any]) -> dict[str, Any]:
    blob = hashlib.sha256(str(attempt.seed).encode()).digest() * (ARTIFACT_BYTES // 32)
    blob += b"\0" * (ARTIFACT_BYTES - len(blob))
    attempt.path("artifact.ptz").write_bytes(blob)
    sha256, total_bytes = hashlib.sha256(blob).hexdigest(), len(blob) + limits["code_bytes"]
    attempt.write_record(Phase.QUANTIZE, {"methods": {"gptq": 30}, "seconds": 1.5})
    attempt.write_record(Phase.FIT, {"model_bytes": len(blob), "model_sha256": sha256}, ["artifact.ptz"])
    return {
        "model_bytes": len(blob),
        "model_sha256": sha256,
        "code_bytes": limits["code_bytes"],
        "code_bytes_source": limits["code_bytes_source"],
        "total_bytes": total_bytes,
        "cap_bytes": limits["cap_bytes"],
        "slack_bytes": limits["cap_bytes"] - total_bytes,
    }


def attempt_of(spec_path: Path) -> AttemptDir:
    """The attempt whose spec lies at ``spec_path``."""
    return AttemptDir(spec_path.parents[2], int(spec_path.parents[1].name.removeprefix("seed_")), int(spec_path.parent.name[1:]))
