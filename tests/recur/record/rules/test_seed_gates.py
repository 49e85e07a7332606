"""Gates of one seed: each breaks alone and makes the seed invalid; what does not apply says why and never passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from recur.record.rules.gate import Gate, Verdict, judged
from recur.record.rules.seed import Evidence, first_failure, seed_gates

GOOD = Evidence(
    model_bytes=15_970_000,
    code_bytes=24_000,
    code_recounted=24_000,
    cap_bytes=16_000_000,
    devices=("NVIDIA H100 80GB HBM3",) * 8,
    odd="",
    data_read_s=599.8,
    trainings=1,
    eval_s=90.0,
    warmup_steps=20,
    warmup_sha256="ab" * 32,
    val_opens=(8, 0),
    targets=1000,
    scored=1000,
    rescored_bpb=0.0,
    decoded_bytes=3000,
    table_bytes=3000,
    scored_bytes=3000,
    source="",
    files=81,
    fingerprint="f" * 64,
    sweep_fingerprint="f" * 64,
    environment={"python": "3.11.7", "torch": "2.13.0", "platform": "Linux"},
)
BROKEN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("total bytes", {"model_bytes": 15_976_001}),
    ("total bytes", {"model_bytes": None, "unreachable": "smallest 17,000,000"}),
    ("code bytes", {"code_recounted": 24_001}),
    ("training clock, s", {"data_read_s": 600.01}),
    ("evaluation clock, s", {"eval_s": 600.5}),
    ("evaluation clock, s", {"eval_s": None}),
    ("trainings in the attempt", {"trainings": 2}),
    ("warm-up undone", {"warmup_sha256": ""}),
    ("validation files opened by training", {"val_opens": (8, 1)}),
    ("validation files opened by training", {"val_opens": None}),
    ("scored targets", {"scored": 999}),
    ("scored targets", {"scored": 0, "targets": 0}),
    ("scored once, before any update", {"order": ("position 7 was scored twice",)}),
    ("re-read and re-scored, BPB", {"rescored_bpb": 2e-6}),
    ("re-read and re-scored, BPB", {"rescored_bpb": None}),
    ("scored bytes", {"table_bytes": 3001}),
    ("scored bytes", {"scored_bytes": 2999}),
    ("decoded text equals the source", {"source": "document 3 loses 2 bytes at byte 17"}),
    ("data files that differ", {"changed": ("val_000000.bin",)}),
    ("fingerprint", {"fingerprint": "0" * 64}),
    ("environment recorded", {"environment": {"python": "3.11.7"}}),
    ("causality, sliding", {"probes": (judged("causality, sliding", 0.3, 1e-4, False, source="probe"),)}),
)


def by_name(gates: tuple[Gate, ...]) -> dict[str, Gate]:
    return {gate.name: gate for gate in gates}


def test_a_whole_record_run_passes_every_gate() -> None:
    assert {gate.verdict for gate in seed_gates(GOOD)} == {Verdict.PASS}
    assert first_failure(seed_gates(GOOD)) is None


@pytest.mark.parametrize(("name", "change"), BROKEN, ids=[f"{n}-{i}" for i, (n, _) in enumerate(BROKEN)])
def test_one_broken_rule_fails_its_own_gate_and_says_why(name: str, change: dict[str, Any]) -> None:
    gates = seed_gates(replace(GOOD, **change))
    failed = [gate.name for gate in gates if gate.verdict is Verdict.FAIL]
    assert failed == [name]
    assert name in str(first_failure(gates))


@pytest.mark.parametrize(
    "change",
    [{"devices": ("cpu",) * 2}, {"devices": ("NVIDIA A100",) * 8}, {"odd": "not a record placement"}, {"devices": ()}],
)
def test_the_clocks_are_never_passed_off_the_tracks_hardware(change: dict[str, Any]) -> None:
    for data_read_s in (1.0, 5000.0):
        gates = by_name(seed_gates(replace(GOOD, data_read_s=data_read_s, eval_s=data_read_s, **change)))
        for name in ("training clock, s", "evaluation clock, s"):
            assert gates[name].verdict is Verdict.NOT_APPLICABLE and "H100" in gates[name].why
        assert first_failure(tuple(gates.values())) is None


def test_what_does_not_apply_says_why() -> None:
    change: dict[str, Any] = {"code_recounted": None, "source": None, "warmup_steps": 0, "sweep_fingerprint": ""}
    gates = seed_gates(replace(GOOD, **change))
    silent = [gate for gate in gates if gate.verdict is Verdict.NOT_APPLICABLE]
    assert len(silent) == 4 and all(gate.why for gate in silent)
    assert first_failure(gates) is None


def test_a_total_close_to_the_cap_is_told() -> None:
    assert "6,000 bytes below" in by_name(seed_gates(GOOD))["total bytes"].why
    assert by_name(seed_gates(replace(GOOD, model_bytes=15_900_000)))["total bytes"].why == ""
