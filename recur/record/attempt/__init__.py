"""Attempts on disk: the folder of one attempt, its payloads, its heartbeat, and the result a seed points to."""

from recur.record.attempt.folder import Adoption, AttemptDir, ClockName, PhaseRecord, seed_folder
from recur.record.attempt.heartbeat import Heartbeat
from recur.record.attempt.payload import Payload, check_payload
from recur.record.attempt.seed import artifact_path, next_attempt, read_seed_result, write_seed_result

__all__ = [
    "Adoption",
    "AttemptDir",
    "ClockName",
    "Heartbeat",
    "Payload",
    "PhaseRecord",
    "artifact_path",
    "check_payload",
    "next_attempt",
    "read_seed_result",
    "seed_folder",
    "write_seed_result",
]
