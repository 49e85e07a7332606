"""Writes a record folder: `<into>/record/<track>/<date>_<slug>/`, whole or not at all.

All files are made in a hidden folder beside the target and renamed at the end, so nothing half-written has the name of a
submission. A folder of the same sweep, also under another track or date, is replaced; one of another sweep is never touched.
The artifacts lie in the folder too (hard links where the disk has them): the bytes can be counted again from the shipped
files alone, and the script scores them again.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recur.data.staging import staged_folder
from recur.errors import ArtifactError, InputError, StorageError
from recur.record.atomic import finite, read_json, storage_error
from recur.record.attempt.payload import hand_on
from recur.record.codec import to_json
from recur.record.folder.about import About
from recur.record.folder.baseline import Beside, beside
from recur.record.folder.figures import Figures, published
from recur.record.folder.logs import events_name, events_text, log_name, log_text
from recur.record.folder.readme import ARTIFACT, readme
from recur.record.folder.source import GATES_FILE, FolderSource
from recur.record.folder.submission import date_of, submission
from recur.record.folder.track import Track, track_of
from recur.record.known import known_lines
from recur.record.stats.claims import refused

SCRIPT_FILE = "train_gpt.py"


def write_record_folder(source: FolderSource, *, into: Path, script: bytes, requirements: str, about: About) -> Path:
    """Make the record folder of a sweep.

    Args:
        source: of `recur.record.folder.source.gather`.
        into: the folder above `record/`, usually the sweep's own.
        script: the one-file program, as shipped; its size is the code that counts.
        requirements: text of requirements.txt.
        about: what only the submitter knows.

    Returns:
        The folder.

    Raises:
        ArtifactError: the script is not the one that the run's byte cap counted.
        InputError: the document breaks the schema, e.g. for an empty author; the name claims more than the numbers carry; or
            the baseline is unknown.
        StorageError: the disk is full, or a folder of another sweep has that name.
    """
    _check_script(source, script)
    figures = published(source, len(script))
    track = track_of(source, figures)
    texts = folder_texts(source, figures, about, track)
    target = into / "record" / track.folder / f"{date_of(source, about)}_{slug(source.sweep.sweep)}"
    _refuse_stranger(target, source.sweep.sweep)
    artifacts = {ARTIFACT.format(seed=seed.result.seed): seed.artifact for seed in source.seeds}
    _publish(target, {**texts, "requirements.txt": requirements}, script, artifacts)
    _remove_older(into / "record", target, source.sweep.sweep)
    return target


def folder_texts(source: FolderSource, figures: Figures, about: About, track: Track) -> dict[str, str]:
    """The generated files by name; nothing is written."""
    found = beside(source, figures, about.baseline_pr)
    texts = {
        "README.md": readme(source, figures, about, track, found),
        "submission.json": _json(submission(source, figures, about, track, found)),
        GATES_FILE: _json(_gates(source, track)),
    }
    _check_wording(texts, found)
    for seed in source.seeds:
        texts[log_name(seed.result.seed)] = log_text(source, seed, figures)
        texts[events_name(seed.result.seed)] = events_text(seed)
    return texts


def _check_wording(texts: Mapping[str, str], found: Beside) -> None:
    """No generated text claims more than the numbers carry.

    Raises:
        InputError: one does: through the name that the submitter gave, or a sentence of ours, which is a bug.
    """
    for name, text in texts.items():
        for refusal in refused(text, found.arm, known_lines()):
            where = f"{name}:{refusal.line_number} {refusal.phrase!r}"
            raise InputError(where, f"says more than the numbers carry: {refusal.reason}", "name the submission otherwise")


def slug(name: str) -> str:
    """``name`` as part of a path: letters, digits, dots and dashes, at most 80."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[:80] or "sweep"


def _check_script(source: FolderSource, script: bytes) -> None:
    cfg = source.recipe.artifact
    if cfg.code_bytes_source not in ("none", "reference") and len(script) != cfg.code_bytes:
        rule = f"must be the {cfg.code_bytes} bytes that the run's cap counted"
        raise ArtifactError(f"script of {len(script)} bytes", rule, "build the script of this sweep's recipe")


def _gates(source: FolderSource, track: Track) -> dict[str, Any]:
    return {
        "sweep": source.sweep.sweep,
        "fingerprint": source.sweep.fingerprint,
        "track": track.name,
        "not_of_the_timed_track_because": list(track.against),
        "seeds": {str(s.result.seed): to_json(s.gates) for s in source.seeds},
        "sweep_gates": to_json(source.gates),
    }


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(finite(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _sweep_of(folder: Path) -> str | None:
    """Which sweep a record folder is of; None where it is none of ours."""
    try:
        told = read_json(folder / GATES_FILE)
    except (FileNotFoundError, NotADirectoryError, ArtifactError):
        return None
    return str(told["sweep"]) if isinstance(told, dict) and "sweep" in told else None


def _refuse_stranger(target: Path, sweep: str) -> None:
    if target.exists() and _sweep_of(target) != sweep:
        raise StorageError(str(target), f"exists and is not of sweep {sweep}", "move it away, or name the sweep otherwise")


def _publish(target: Path, texts: Mapping[str, str], script: bytes, artifacts: Mapping[str, Path]) -> None:
    """Fill a hidden folder and give it the name; what had the name before gets it back if that fails."""
    retired = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
    try:
        with staged_folder(target) as staging:
            for name, text in texts.items():
                (staging / name).write_text(text, encoding="utf-8", newline="\n")
            (staging / SCRIPT_FILE).write_bytes(script)
            for name, artifact in artifacts.items():
                hand_on(artifact, staging / name)
            if target.exists():
                target.rename(retired)
    finally:
        if retired.exists() and not target.exists():
            retired.rename(target)


def _remove_older(record: Path, kept: Path, sweep: str) -> None:
    """Remove what the new folder replaces: of the same sweep, under any track and date, hidden or not, and what a kill left."""
    try:
        for folder in _folders(record):
            left = folder.parent == kept.parent and folder.name.startswith(f".{kept.name}.")
            if folder != kept and (left or _sweep_of(folder) == sweep):
                shutil.rmtree(folder)
    except OSError as error:
        raise storage_error(record, error) from error


def _folders(record: Path) -> Iterator[Path]:
    yield from sorted(path for path in record.glob("*/*") if path.is_dir() and not path.is_symlink())
