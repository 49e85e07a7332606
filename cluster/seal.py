"""The seal of a finished attempt: sizes and hashes of its result and records, written by its job as the very last thing.

Numbers in a JSON file stay JSON when a bit flips; the seal is what makes such damage visible. An attempt without a seal (its
job was killed after its result) is not damaged; what its records say about each other has to do.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster.look import check_plain
from recur.errors import ArtifactError
from recur.record.atomic import read_json, write_json_atomic
from recur.record.attempt import AttemptDir, Payload, check_payload
from recur.record.attempt.payload import hash_payloads
from recur.record.codec import from_json, to_json
from recur.record.result import Phase

SEAL_FILE = "seal.json"
SEALED = ("result.json", "gates.json", "intervals.jsonl", "clock.json", *(f"record_{phase}.json" for phase in Phase))
LARGEST_SEALED_BYTES = 16 << 20
"""A record has some 100 KiB, the interval log of the longest evaluation 1 MiB."""
_LARGEST_SEAL_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What `write_seal` leaves."""

    files: tuple[Payload, ...]


def write_seal(attempt: AttemptDir) -> None:
    """Hash what of `SEALED` is there.

    Raises:
        StorageError: the disk is full or not writable.
    """
    files = [one for name in SEALED if attempt.path(name).exists() for one in hash_payloads(attempt.folder, name)]
    write_json_atomic(attempt.path(SEAL_FILE), to_json(Seal(files=tuple(files))))


def unsound(attempt: AttemptDir) -> frozenset[str]:
    """Sealed files that are not as they were sealed; all of them where the seal itself is damaged, none where there is none."""
    try:
        files = _sealed(attempt)
    except ArtifactError:
        return frozenset(SEALED)
    return frozenset(one.file for one in files or () if not _is_whole(attempt, one))


def check_seal(attempt: AttemptDir) -> bool:
    """Compare every sealed file with its hash; False where there is no seal.

    Raises:
        ArtifactError: the seal is damaged, or a file is missing, cut or changed; the line names the file and both hashes.
    """
    files = _sealed(attempt)
    for one in files or ():
        _check(attempt, one)
    return files is not None


def _sealed(attempt: AttemptDir) -> tuple[Payload, ...] | None:
    """What the seal names; None where there is no seal.

    Raises:
        ArtifactError: it is damaged.
    """
    path = attempt.path(SEAL_FILE)
    check_plain(path, _LARGEST_SEAL_BYTES)
    if not path.exists():
        return None
    try:
        seal = from_json(Seal, read_json(path), where=str(path))
    except RecursionError as error:
        raise ArtifactError(str(path), "is nested too deeply", "run the seed again") from error
    for one in seal.files:
        if one.file not in SEALED:
            raise ArtifactError(f"{path} file={one.file[:80]!r}", "is no file of a seal", "run the seed again")
    return seal.files


def _check(attempt: AttemptDir, one: Payload) -> None:
    check_plain(attempt.path(one.file), LARGEST_SEALED_BYTES)
    check_payload(attempt.path(one.file), one)


def _is_whole(attempt: AttemptDir, one: Payload) -> bool:
    try:
        _check(attempt, one)
    except ArtifactError:
        return False
    return True
