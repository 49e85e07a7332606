"""The gates of one seed: the challenge's rules held against what ran (RULES B1, B2; row numbers in the sources below).

Pure functions of `Evidence`, which `recur.pipeline.evidence` reads off an attempt's records. Where a rule is about the track's
hardware (the two limits of 600 s), other hardware makes the gate n/a, never a pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recur.record.rules.gate import Gate, Verdict, judged, not_applicable

TRACK_LIMIT_S = 600.0
"""Training with everything that reads training data, and evaluation, each (RULES B2, rows 2 and 3)."""
TRACK_DEVICES, TRACK_DEVICE = 8, "H100"
CLOSE_TO_CAP_BYTES = 10_000
"""A total nearer to the cap than this is worth a word (RULES B2, row 1: warn above 15,990,000)."""
RESCORE_TOLERANCE_BPB = 1e-6
ENVIRONMENT = ("python", "torch", "platform")
"""Without these nobody could run it again."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an attempt's records say; nothing here is taken from the recipe's promises where a record measured it.

    Attributes:
        model_bytes: of the artifact's file, counted again from the disk; None where no artifact fits the cap.
        code_bytes: what the recipe counts for its program.
        code_recounted: bytes of the program that was generated again for this recipe; None where none is shipped.
        devices: name of each rank's device.
        odd: why the track's clocks do not bind this run beside its devices (placement, mode, no clock); "" for nothing.
        trainings: how often training began in this attempt.
        resumable: whether training may go on where it was lost (research mode).
        warmup_sha256: hash of parameters, optimizer, loader and generators after the warm-up; training stops where it differs
            from the one before it.
        val_opens: openings of validation files by the training processes, for logged validation and other; None: not recorded.
        targets: positions that a whole evaluation scores once each.
        scored: positions that the interval log of the final stage covers.
        order: what the interval log violates.
        rescored_bpb: difference of the fixed windows, scored twice from the file.
        decoded_bytes, table_bytes, scored_bytes: of the same targets, by decoding, by the byte table, by the evaluation.
        source: what the source text says against the decoded text; None where the text is not at hand.
        files: data files hashed again.
        changed: names of those that differ from the manifest.
        fingerprint, sweep_fingerprint: computed by this attempt, and written by its driver ("" for none).
        environment: versions and hardware.
        probes: causality and normalisation, by evaluation mode.
    """

    model_bytes: int | None
    code_bytes: int
    code_recounted: int | None
    cap_bytes: int
    unreachable: str = ""
    devices: tuple[str, ...]
    odd: str
    data_read_s: float
    trainings: int
    resumable: bool = False
    eval_s: float | None = None
    warmup_steps: int
    warmup_sha256: str
    val_opens: tuple[int, int] | None
    targets: int = 0
    scored: int = 0
    order: tuple[str, ...] = ()
    rescored_bpb: float | None = None
    decoded_bytes: int = 0
    table_bytes: int = 0
    scored_bytes: int = 0
    source: str | None = None
    files: int = 0
    changed: tuple[str, ...] = ()
    fingerprint: str = ""
    sweep_fingerprint: str = ""
    environment: Mapping[str, object]
    probes: tuple[Gate, ...] = ()

    @property
    def on_track(self) -> bool:
        """Whether the two limits of 600 s apply."""
        return not self.odd and len(self.devices) == TRACK_DEVICES and all(TRACK_DEVICE in name for name in self.devices)


def seed_gates(seen: Evidence) -> tuple[Gate, ...]:
    """Every gate of one seed, in the order of RULES B2."""
    before = (_total_bytes(seen), _training_clock(seen), _one_attempt(seen), _warm_up(seen), _validation(seen))
    if seen.model_bytes is None:
        return (*before, _environment(seen))
    return (
        *before,
        _code_bytes(seen),
        _evaluation_clock(seen),
        _coverage(seen),
        _order(seen),
        _rescored(seen),
        _oracle(seen),
        _source(seen),
        _files(seen),
        _fingerprint(seen),
        _environment(seen),
        *seen.probes,
    )


def first_failure(gates: tuple[Gate, ...]) -> str | None:
    """Why the seed is INVALID: its first failing gate in one line; None where none fails."""
    for gate in gates:
        if gate.verdict is Verdict.FAIL:
            return f"gate '{gate.name}': {gate.why or f'{gate.value} against {gate.limit}'}"
    return None


def _total_bytes(seen: Evidence) -> Gate:
    name, source = "total bytes", "size of the artifact's file + code bytes"
    if seen.model_bytes is None:
        return judged(name, None, seen.cap_bytes, False, why=seen.unreachable, source=source)
    total = seen.model_bytes + seen.code_bytes
    fits, slack = total <= seen.cap_bytes, seen.cap_bytes - total
    why = "" if fits else f"total_bytes={total} must be at most {seen.cap_bytes}"
    if 0 <= slack < CLOSE_TO_CAP_BYTES:
        why = f"{slack:,} bytes below the cap"
    return judged(name, total, seen.cap_bytes, fits, why=why, source=source)


def _code_bytes(seen: Evidence) -> Gate:
    name, source = "code bytes", "the one-file program, generated again"
    if seen.code_recounted is None:
        why = "the recipe counts another program's size, or none; the shipped program is in the record folder"
        return not_applicable(name, seen.code_bytes, None, why=why, source="recipe")
    same = seen.code_recounted == seen.code_bytes
    why = "" if same else f"the program has {seen.code_recounted} bytes, the run counted {seen.code_bytes}"
    return judged(name, seen.code_recounted, seen.code_bytes, same, why=why, source=source)


def _training_clock(seen: Evidence) -> Gate:
    return _clock(seen, "training clock, s", seen.data_read_s, "training data was read after the limit", "train.json data_read_s")


def _evaluation_clock(seen: Evidence) -> Gate:
    return _clock(seen, "evaluation clock, s", seen.eval_s, "evaluation took longer than the limit", "clock.json eval_s")


def _clock(seen: Evidence, name: str, value_s: float | None, broken: str, source: str) -> Gate:
    shown = None if value_s is None else round(value_s, 3)
    if not seen.on_track:
        found = f"{len(seen.devices)} x {seen.devices[0]}" if seen.devices else "unknown devices"
        why = f"the limit is for {TRACK_DEVICES} x {TRACK_DEVICE}; this ran on {found}" + (f" ({seen.odd})" if seen.odd else "")
        return not_applicable(name, shown, TRACK_LIMIT_S, why=why, source=source)
    ok = value_s is not None and value_s <= TRACK_LIMIT_S
    return judged(name, shown, TRACK_LIMIT_S, ok, why="" if ok else broken, source=source)


def _one_attempt(seen: Evidence) -> Gate:
    name, source, ok = "trainings in the attempt", "progress.jsonl", seen.trainings == 1
    if seen.resumable:
        why = "research mode goes on from a checkpoint; it is no record"
        return not_applicable(name, seen.trainings, 1, why=why, source=source)
    why = "" if ok else f"training began {seen.trainings} times in this attempt"
    return judged(name, seen.trainings, 1, ok, why=why, source=source)


def _warm_up(seen: Evidence) -> Gate:
    name, source = "warm-up undone", "train.json warmup_state_sha256"
    if seen.warmup_steps == 0:
        return not_applicable(name, 0, None, why="the recipe has no warm-up", source="recipe")
    ok = bool(seen.warmup_sha256)
    why = "state hash before = after" if ok else "no state hash was recorded"
    return judged(name, seen.warmup_sha256[:16], "equal hashes", ok, why=why, source=source)


def _validation(seen: Evidence) -> Gate:
    name, source = "validation files opened by training", "audit of the training processes, record_train.json"
    if seen.val_opens is None:
        return judged(name, None, 0, False, why="the training processes recorded no openings", source=source)
    logged, other = seen.val_opens
    why = f"{logged} openings for logged validation" + (f", {other} others" if other else "")
    return judged(name, other, 0, other == 0, why=why, source=source)


def _coverage(seen: Evidence) -> Gate:
    ok = seen.scored == seen.targets > 0
    why = "" if ok else f"{seen.scored} of {seen.targets} positions have a score"
    return judged("scored targets", seen.scored, seen.targets, ok, why=why, source="intervals.jsonl")


def _order(seen: Evidence) -> Gate:
    why = "; ".join(seen.order[:3])
    return judged("scored once, before any update", len(seen.order), 0, not seen.order, why=why, source="intervals.jsonl")


def _rescored(seen: Evidence) -> Gate:
    difference = seen.rescored_bpb
    ok = difference is not None and difference <= RESCORE_TOLERANCE_BPB
    why = "" if ok else "the artifact, read again, scores differently"
    return judged("re-read and re-scored, BPB", difference, RESCORE_TOLERANCE_BPB, ok, why=why, source="record_verify.json")


def _oracle(seen: Evidence) -> Gate:
    ok = seen.decoded_bytes == seen.table_bytes == seen.scored_bytes > 0
    why = "" if ok else f"byte table {seen.table_bytes}, evaluation {seen.scored_bytes}, decoded text {seen.decoded_bytes}"
    return judged("scored bytes", seen.scored_bytes, seen.decoded_bytes, ok, why=why, source="decoded targets")


def _source(seen: Evidence) -> Gate:
    name, source = "decoded text equals the source", "validation documents after the tokenizer's normalisation"
    if seen.source is None:
        return not_applicable(name, None, None, why="the source text is not part of the data set", source=source)
    return judged(name, seen.source or "equal", "equal", not seen.source, why=seen.source, source=source)


def _files(seen: Evidence) -> Gate:
    why = f"changed: {', '.join(seen.changed[:3])}" if seen.changed else f"{seen.files} files hashed again"
    return judged("data files that differ", len(seen.changed), 0, not seen.changed, why=why, source="dataset.json")


def _fingerprint(seen: Evidence) -> Gate:
    name, source = "fingerprint", "recipe, data and package source, hashed by the attempt"
    short = seen.fingerprint[:16]
    if not seen.sweep_fingerprint:
        return not_applicable(name, short, None, why="the seed ran outside a sweep", source=source)
    ok = seen.fingerprint == seen.sweep_fingerprint
    return judged(name, short, seen.sweep_fingerprint[:16], ok, why="" if ok else "differs from its sweep's", source=source)


def _environment(seen: Evidence) -> Gate:
    missing = [name for name in ENVIRONMENT if not seen.environment.get(name)]
    why = f"lacks {', '.join(missing)}" if missing else ""
    recorded = len(seen.environment)
    return judged("environment recorded", recorded, len(ENVIRONMENT), not missing, why=why, source="record_verify.json")
