"""What a seed points to: `seed_<n>/result.json`, the result of the attempt that counts.

The file holds the `SeedResult` and, when it has an artifact, the artifact's path below the seed's folder, found by its
hash among the payloads of that attempt's records. A result never gives way to one of an earlier attempt.
"""

from __future__ import annotations

import logging
from pathlib import Path

from recur.errors import ArtifactError
from recur.record.atomic import read_json, write_json_atomic
from recur.record.attempt.folder import AttemptDir, seed_folder
from recur.record.attempt.payload import Payload, check_file, inside
from recur.record.codec import from_json, to_json
from recur.record.result import Phase, SeedResult

_POINTER = "artifact"
_log = logging.getLogger(__name__)


def next_attempt(root: Path, seed: int) -> int:
    """Number of the attempt after the highest one that has a folder; 1 for a new seed."""
    found = [p.name[1:] for p in seed_folder(root, seed).glob("a*") if p.is_dir()]
    return 1 + max((int(n) for n in found if n.isdecimal()), default=0)


def write_seed_result(root: Path, result: SeedResult) -> Path:
    """Make ``result`` the one that counts; returns the path of result.json.

    Args:
        root: the sweep's folder.
        result: of the attempt it names; with ``model_sha256`` its artifact must be a payload of that attempt.

    Raises:
        ArtifactError: a later attempt already counts, or no record of the attempt has that artifact.
        StorageError: the disk is full or not writable.
    """
    path = seed_folder(root, result.seed) / "result.json"
    counting = _counting(path)
    if counting > result.attempt:
        value = f"seed={result.seed} attempt={result.attempt}"
        raise ArtifactError(value, f"is older than attempt {counting}, which counts", "nothing to do: it was replaced")
    document = to_json(result)
    if result.model_sha256 is not None:
        document[_POINTER] = f"a{result.attempt}/{_artifact(root, result).file}"
    write_json_atomic(path, document)
    return path


def _counting(path: Path) -> int:
    """The attempt that counts now; 0 for none, or where the file is damaged: what it held lies in its attempt's folder."""
    try:
        return _read(path).attempt if path.exists() else 0
    except ArtifactError as error:
        _log.warning("damaged_result path=%s error=%s", path, error)
        return 0


def read_seed_result(root: Path, seed: int) -> SeedResult | None:
    """The seed's result, its artifact checked against ``model_sha256``; None when there is none yet.

    Raises:
        ArtifactError: result.json is not readable, or the artifact is missing or damaged.
    """
    path = seed_folder(root, seed) / "result.json"
    if not path.exists():
        return None
    result = _read(path)
    if (file := artifact_path(root, seed)) is not None and result.model_sha256 is not None:
        check_file(file, result.model_sha256)
    return result


def artifact_path(root: Path, seed: int) -> Path | None:
    """Where the artifact that counts lies; None when the seed has no result or the result no artifact.

    Raises:
        ArtifactError: result.json is not readable or names a file outside the seed's folder.
    """
    path = seed_folder(root, seed) / "result.json"
    if not path.exists():
        return None
    document = read_json(path)
    pointer = document.get(_POINTER) if isinstance(document, dict) else None
    return inside(path.parent, pointer) if isinstance(pointer, str) else None


def _read(path: Path) -> SeedResult:
    document = read_json(path)
    if isinstance(document, dict):
        document = {k: v for k, v in document.items() if k != _POINTER}
    return from_json(SeedResult, document, where=str(path))


def _artifact(root: Path, result: SeedResult) -> Payload:
    attempt = AttemptDir(root, result.seed, result.attempt)
    for phase in reversed(Phase):
        record = attempt.read_record(phase)
        for payload in record.payloads if record else ():
            if payload.sha256 == result.model_sha256:
                return payload
    rule = f"is not a payload of any record in {attempt.folder}"
    raise ArtifactError(f"artifact sha256 {result.model_sha256}", rule, "write the record of its phase first")
