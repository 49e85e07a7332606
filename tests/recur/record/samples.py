"""Results that the record tests share: a finished seed, a failed one, and the reference run's three."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recur.record.cost import ByteCount
from recur.record.result import Scores, SeedResult, State, SweepResult, summarise

GOLDEN = Path(__file__).parents[2] / "golden" / "13_reference_log_facts.json"


def finished(seed: int = 42, *, attempt: int = 1, sliding: float = 1.0921, model_bytes: int = 1000) -> SeedResult:
    """A seed with every field set."""
    return SeedResult(
        seed=seed,
        state=State.SUCCEEDED,
        attempt=attempt,
        steps=240,
        tokens_per_s=12345.678901234567,
        mfu=0.1 + 0.2,
        mfu_peak_tflops=989.4,
        val_bpb=Scores(last_step=1.1, trained=1.0964957, roundtrip=1.11058892, sliding=sliding),
        val_loss=Scores(last_step=2.526, trained=2.52306664, roundtrip=2.55549554, sliding=2.5129766),
        scored_tokens=45508608,
        scored_bytes=151074053,
        model_bytes=model_bytes,
        code_bytes=100,
        code_bytes_source="reference",
        total_bytes=model_bytes + 100,
        cap_bytes=2000,
        slack_bytes=1900 - model_bytes,
        seconds={"train": 590.010, "calibrate": 9.8, "evaluate": 1 / 3},
        placement={"nodes": ["n1"], "workers": 8, "record": True},
    )


def failed(seed: int = 7) -> SeedResult:
    """A seed that ended before it had a number."""
    return SeedResult(seed=seed, state=State.FAILED, attempt=2, error="RuntimeError: lost\n  a node")


def sweep(*seeds: SeedResult) -> SweepResult:
    return summarise("demo", "smoke", "f" * 64, list(seeds))


def facts() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(GOLDEN.read_text())
    return data


def reference_seed(seed: int, run: dict[str, Any]) -> SeedResult:
    """A seed result from one entry of the published facts."""
    size = ByteCount(model_bytes=run["artifact_bytes"], code_bytes=run["code_bytes"], cap_bytes=16_000_000)
    return SeedResult(
        seed=seed,
        state=State.SUCCEEDED,
        attempt=1,
        steps=run["stop"]["step"],
        val_bpb=Scores(sliding=run["int6_sliding"]["val_bpb"]),
        model_bytes=size.model_bytes,
        code_bytes=size.code_bytes,
        code_bytes_source="reference",
        total_bytes=size.total_bytes,
        cap_bytes=size.cap_bytes,
        slack_bytes=size.slack_bytes,
    )
