"""An attempt's records as the evidence that its gates judge (`recur.record.rules.seed`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recur.errors import ArtifactError
from recur.evaluate.intervals import Interval
from recur.evaluate.probes.order import probe_order
from recur.evaluate.probes.report import ProbeReport
from recur.pipeline.inspecting import DataInspection
from recur.record.atomic import read_json
from recur.record.attempt import AttemptDir
from recur.record.codec import from_json
from recur.record.environment import environment
from recur.record.journal import read_events
from recur.record.result import Phase
from recur.record.rules.gate import Gate, judged
from recur.record.rules.seed import Evidence
from recur.seedspec import SWEEP_SPEC_FILE, SeedSpec


def phase_fields(attempt: AttemptDir, phase: Phase) -> dict[str, Any]:
    """Numbers of a finished phase.

    Raises:
        ArtifactError: the phase has no record, or a damaged one.
    """
    record = attempt.read_record(phase)
    if record is None:
        raise ArtifactError(f"record of {phase} in {attempt.folder}", "is missing", "run the seed again")
    return dict(record.fields)


def evidence(spec: SeedSpec, attempt: AttemptDir) -> Evidence:
    """What the attempt's records say.

    Raises:
        ArtifactError: a record is missing or damaged.
    """
    train, fit = phase_fields(attempt, Phase.TRAIN), phase_fields(attempt, Phase.FIT)
    summary: Mapping[str, Any] = train["summary"]
    ranks: Sequence[Mapping[str, Any]] = train["placement"].get("ranks", ())
    events = read_events(attempt.path("progress.jsonl"))
    before: dict[str, Any] = {
        "code_bytes": spec.recipe.artifact.code_bytes,
        "cap_bytes": spec.recipe.artifact.cap_bytes,
        "devices": tuple(str(rank["device"]) for rank in ranks),
        "odd": _odd(spec),
        "data_read_s": float(summary["data_read_s"]),
        "trainings": sum(1 for e in events if e.kind == "phase" and e.fields.get("phase") == Phase.TRAIN.value),
        "resumable": spec.recipe.mode == "research",
        "warmup_steps": spec.recipe.train.warmup_steps,
        "warmup_sha256": str(summary["warmup_state_sha256"]),
        "val_opens": _openings(ranks),
    }
    if "unreachable" in fit:
        found = environment()
        return Evidence(**before, model_bytes=None, code_recounted=None, unreachable=fit["unreachable"], environment=found)
    return Evidence(**before, **_verified(spec, attempt))


def _odd(spec: SeedSpec) -> str:
    """Why the track's clocks do not bind this run; "" where nothing is odd."""
    if spec.recipe.mode != "record":
        return f"mode = {spec.recipe.mode}"
    return spec.note if spec.recipe.train.wallclock_s > 0 else spec.note or "the recipe has no clock"


def _openings(ranks: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    counts = [rank["val_opens"] for rank in ranks if "val_opens" in rank]
    if not counts or len(counts) < len(ranks):
        return None
    return sum(int(c["validation"]) for c in counts), sum(int(c["other"]) for c in counts)


def _verified(spec: SeedSpec, attempt: AttemptDir) -> dict[str, Any]:
    """What evaluation and verification found."""
    verified, scores = phase_fields(attempt, Phase.VERIFY), phase_fields(attempt, Phase.EVALUATE)["scores"]
    data = from_json(DataInspection, verified["data"], where="record_verify.json data")
    reports = [from_json(ProbeReport, report, where="record_verify.json probes") for report in verified["probes"]]
    final = "sliding" if "sliding" in scores else "roundtrip"
    logs = _logs(attempt)
    orders = {stage: probe_order(logs.get(stage, ()), data.targets) for stage in scores if stage != "trained"}
    known = data.held_when_made or data.oracle.source_bytes is not None
    clock = attempt.read_clock() or {}
    eval_s = clock.get("eval_s")
    return {
        "model_bytes": verified["model_bytes"],
        "code_recounted": verified["code_recounted"],
        "eval_s": float(eval_s) if isinstance(eval_s, int | float) else None,
        "targets": data.targets,
        "scored": orders[final].scored_once,
        "order": tuple(f"{stage}: {what}" for stage, order in orders.items() for what in order.findings),
        "rescored_bpb": verified["difference_bpb"],
        "decoded_bytes": data.oracle.decoded_bytes,
        "table_bytes": data.oracle.table_bytes,
        "scored_bytes": int(scores[final]["bytes"]),
        "source": data.oracle.first_difference or ("" if known else None),
        "files": data.files,
        "changed": data.changed,
        "fingerprint": verified["fingerprint"],
        "sweep_fingerprint": _sweep_fingerprint(spec),
        "environment": verified["environment"],
        "probes": tuple(_probe_gate(report) for report in reports),
    }


def _logs(attempt: AttemptDir) -> dict[str, list[Interval]]:
    """The interval log of each stage that scored."""
    logs: dict[str, list[Interval]] = {}
    for event in read_events(attempt.path("intervals.jsonl")):
        if "stage" in event.fields:
            known = {name: event.fields[name] for name in ("start", "stop", "version")}
            one = from_json(Interval, {"kind": event.kind, **known}, where=str(attempt.path("intervals.jsonl")))
            logs.setdefault(str(event.fields["stage"]), []).append(one)
    return logs


def _probe_gate(report: ProbeReport) -> Gate:
    """One mode's probes as a gate: how far a flip of the future moved the past, against the measured tolerance."""
    sums = f"sums within {report.largest_sum_error:.1e} of 1 over {report.sum_positions} positions"
    why = "; ".join(report.findings[:3]) or f"{report.cuts} flips, {report.compared} scores compared; {sums}"
    return judged(
        f"causal, normalised, in order: {report.mode}",
        report.largest_movement_nats,
        report.tolerance_nats,
        not report.findings,
        why=why,
        source="probes of the read-back model, record_verify.json",
    )


def _sweep_fingerprint(spec: SeedSpec) -> str:
    path = spec.sweep_root / SWEEP_SPEC_FILE
    if not path.exists():
        return ""
    found: Any = read_json(path)
    return str(found["fingerprint"])
