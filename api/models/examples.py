"""One example for every body, shown in the interface's description; a test checks each against its own resource."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict


def shown(*examples: dict[str, Any]) -> ConfigDict:
    """The configuration of a resource with examples."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})


_ID = "smoke-261124-a1b2c3"
_AT = "2026-11-24T15:00:00Z"

SUBMISSION: dict[str, Any] = {
    "profile": "smoke",
    "overrides": {"train.steps": 50},
    "seeds": [42, 1337, 2024],
    "name": "shorter smoke",
    "priority": 0,
    "baseline": "1334",
}
RETRY: dict[str, Any] = {"seeds": [1337]}

WAITING: dict[str, Any] = {
    "place": 2,
    "why": "the only cpu slot is held by smoke-261124-z9y8x7-s1-a1",
    "starts_after": "about 12 min (from 6 finished seeds of smoke)",
}
ATTEMPT: dict[str, Any] = {"attempt": 1, "state": "QUEUED", "job_id": f"{_ID}-s42-a1", "queued_at": _AT}
SEED: dict[str, Any] = {
    "seed": 42,
    "state": "QUEUED",
    "attempt": 1,
    "job_id": f"{_ID}-s42-a1",
    "waiting": WAITING,
    "attempts": [ATTEMPT],
}
DONE_SEED: dict[str, Any] = {
    "seed": 1337,
    "state": "SUCCEEDED",
    "attempt": 1,
    "job_id": f"{_ID}-s1337-a1",
    "val_bpb": {"last_step": 1.142, "trained": 1.131, "roundtrip": 1.109, "sliding": 1.08972},
    "steps": 4550,
    "train_s": 588.1,
    "eval_s": 311.4,
    "model_bytes": 15_842_113,
    "code_bytes": 61_204,
    "total_bytes": 15_903_317,
    "cap_bytes": 16_000_000,
    "slack_bytes": 96_683,
    "gates": [{"name": "total_bytes", "value": 15_903_317, "limit": 16_000_000, "verdict": "pass", "source": "RULES A1"}],
}
STATISTICS: dict[str, Any] = {
    "n": 0,
    "baseline": "1334",
    "planned": "3 seeds a side resolve 0.00102 BPB at sd 0.0003 (p < .01, power .8); 0.0005 needs 9 (the deviation of PR 1421)",
}
SWEEP: dict[str, Any] = {
    "id": _ID,
    "name": "shorter smoke",
    "state": "RUNNING",
    "profile": "smoke",
    "overrides": {"train.steps": 50},
    "seeds": [SEED, DONE_SEED],
    "priority": 0,
    "baseline": "1334",
    "pool": "cpu",
    "created_at": _AT,
    "statistics": STATISTICS,
    "event_count": 4,
    "links": {"self": f"/v1/sweeps/{_ID}", "events": f"/v1/sweeps/{_ID}/events"},
}
LINE: dict[str, Any] = {
    "id": _ID,
    "name": "shorter smoke",
    "state": "SUCCEEDED",
    "profile": "smoke",
    "seeds": 3,
    "states": {"SUCCEEDED": 3},
    "n": 3,
    "mean_val_bpb": 1.08972,
    "max_total_bytes": 15_903_317,
    "priority": 0,
    "created_at": _AT,
}
PAGE: dict[str, Any] = {"sweeps": [LINE], "next": None}
QUEUE: dict[str, Any] = {
    "slots": [
        {"pool": "cpu", "slots": 1, "held": 1, "holders": ["smoke-261124-z9y8x7-s1-a1"], "source": "the setting cpu_slots"}
    ],
    "waiting": [
        {
            "sweep": _ID,
            "name": "shorter smoke",
            "seed": 42,
            "attempt": 1,
            "pool": "cpu",
            "queued_at": _AT,
            "waiting": WAITING,
        }
    ],
    "total_waiting": 1,
}
COMPARISON: dict[str, Any] = {
    "finding": f"{_ID} is not distinguishable from PR 1334: -0.00012 BPB (1.08960, n=3, against 1.08972, n=3; Welch t = -0.51, "
    "df 3.91, one-sided p 0.32)",
    "relation": "is not distinguishable from",
    "a": {"label": _ID, "seeds": [42, 1337, 2024], "val_bpb": [1.0894, 1.0896, 1.0898], "n": 3, "mean_val_bpb": 1.0896},
    "b": {"label": "PR 1334", "n": 3, "mean_val_bpb": 1.08972},
    "difference_bpb": -0.00012,
    "interval_95": {"low": -0.0008, "high": 0.0006},
    "tests": [{"unit": "BPB", "margin": 0.0, "difference": -0.00012, "t": -0.51, "df": 3.91, "p_one_sided": 0.32}],
    "policies": [{"policy": "README", "passed": False, "p": 0.99, "told": "p 0.99 that new is lower by more than 0.00296 BPB"}],
    "config": None,
    "warnings": [],
}
PROFILE_LINE: dict[str, Any] = {"name": "smoke", "mode": "record", "gpus": 0, "cap_bytes": 302_584}
PROFILE: dict[str, Any] = {
    "name": "smoke",
    "recipe": {"profile": "smoke", "train": {"steps": 200}},
    "json_schema": {"type": "object"},
}
RECORD: dict[str, Any] = {
    "pr": 1334,
    "name": "depth recurrence",
    "source": "https://github.com/openai/parameter-golf/pull/1334",
    "status": "merged",
    "accepted": True,
    "val_bpb": 1.08972,
    "n": 3,
    "seeds": [{"seed": 42, "val_bpb": 1.08945}],
}
PROBLEM: dict[str, Any] = {
    "type": "urn:recur:problem:recipe_refused",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "train.stepz=1 is not a key of the recipe",
    "instance": "/v1/sweeps",
    "code": "recipe_refused",
    "errors": [
        {"pointer": "/overrides/train.stepz", "detail": "is not a key of the recipe", "hint": "did you mean train.steps?"}
    ],
    "hint": "did you mean train.steps?",
    "request_id": "53254ac04e4349e3b6c5be1d82d260bf",
}
ALIVE: dict[str, Any] = {"status": "ok"}
VERSION: dict[str, Any] = {"version": "0.1.0", "source_sha256": "65b9f161" * 8, "python": "3.11.7", "ray": "2.60.0"}
READY: dict[str, Any] = {"status": "ready", "database": "ok", "migrations": "ok", "reconciler": "ok", "degraded": None}
