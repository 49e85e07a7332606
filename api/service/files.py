"""Files of a sweep that a client may read: logs, artifacts, the record folder, the table of results.

No name of a file comes from a request. Folders are found by the ids that the store knows, an artifact by the pointer in the
seed's result and its recorded hash, the record folder by the store.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from api.problems import Refused
from api.service.context import Context
from api.service.lookup import attempt_row, stored_sweep, sweep_row
from api.service.results import seed_result, sweep_result
from recur.errors import ArtifactError
from recur.record.attempt import AttemptDir, artifact_path
from recur.record.attempt.payload import check_file

LOG_FILE, PROGRESS_FILE, RESULTS_FILE = "job.log", "progress.jsonl", "results.csv"
_MOST_LOG_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Every member of an archive has this date: equal folders give equal archives."""


@dataclass(frozen=True, kw_only=True)
class LogTail:
    """The end of an attempt's log; ``cut`` where there is more before it. ``text`` is "" before the job has printed."""

    attempt: int
    state: str
    text: str
    cut: bool


@dataclass(frozen=True, kw_only=True)
class ArtifactFile:
    """An artifact whose bytes have just been compared with its recorded hash."""

    path: Path
    name: str
    sha256: str
    size_bytes: int


def log_tail(ctx: Context, sweep: str, seed: int, attempt: int | None = None, lines: int = 500) -> LogTail:
    """The last lines an attempt's job printed, and while it runs its latest progress too.

    Args:
        ctx: the service.
        sweep, seed: whose.
        attempt: which; None for the one that counts.
        lines: at most that many.

    Raises:
        Refused: 404, no such sweep, seed or attempt.
    """
    with ctx.store.read() as c:
        row = attempt_row(c, sweep, seed, attempt)
    folder = AttemptDir(ctx.folder(sweep), seed, row.attempt).folder
    printed = _tail(folder / LOG_FILE, lines)
    if row.state.terminal:
        return LogTail(attempt=row.attempt, state=row.state, text=printed.text, cut=printed.cut)
    progress = _tail(folder / PROGRESS_FILE, min(lines, 50))
    text = printed.text + (f"--- {PROGRESS_FILE}\n{progress.text}" if progress.text else "")
    return LogTail(attempt=row.attempt, state=row.state, text=text, cut=printed.cut or progress.cut)


def artifact(ctx: Context, sweep: str, seed: int) -> ArtifactFile:
    """The artifact that counts for a seed, checked against its hash.

    Raises:
        Refused: 404 before there is one, 409 when the file is missing, damaged or not the stored result's.
    """
    with ctx.store.read() as c:
        row = attempt_row(c, sweep, seed, None)
    expected = seed_result(row).model_sha256
    if expected is None:
        raise Refused(404, "no_artifact", f"seed {seed} of {sweep} has no artifact ({row.state})", "wait until it has succeeded")
    try:
        path = artifact_path(ctx.folder(sweep), seed)
        if path is None:
            raise Refused(409, "file_damaged", f"seed {seed} of {sweep} has lost its result file", "run the seed again")
        check_file(path, expected)
    except ArtifactError as error:
        raise Refused(409, "file_damaged", f"{error.value} {error.rule}", error.remedy) from error
    name = f"{sweep}-s{seed}{path.suffix}"
    return ArtifactFile(path=path, name=name, sha256=expected, size_bytes=path.stat().st_size)


def record_zip(ctx: Context, sweep: str) -> Iterator[bytes]:
    """The record folder as a zip archive, piece by piece; nothing is read before the first piece is asked for.

    Raises:
        Refused: 404, there is no such sweep, or it has no record folder; the warning says why.
    """
    with ctx.store.read() as c:
        row = sweep_row(c, sweep)
    if row.record_path is None:
        why = row.warning or ("its report is not written yet" if row.reported_at is None else "it is not publishable")
        raise Refused(404, "no_record", f"sweep {sweep} has no record folder: {why}", "see the sweep's warning and gates")
    root = ctx.folder(sweep)
    folder = root / PurePosixPath(row.record_path)
    if not folder.resolve().is_relative_to(root.resolve()) or not folder.is_dir():
        raise Refused(
            409, "file_damaged", f"the record folder of {sweep} is missing", "retry a seed: the report is written again"
        )
    return _zipped(folder)


def results_csv(ctx: Context, sweep: str) -> bytes:
    """results.csv as it was written with the report; before that, the same table from the store.

    Raises:
        Refused: 404, there is no such sweep.
    """
    with ctx.store.read() as c:
        found = stored_sweep(c, sweep)
    path = ctx.folder(sweep) / RESULTS_FILE
    if found.row.reported_at is not None and path.is_file():
        return path.read_bytes()
    from recur.record.report import results_frame

    return results_frame(sweep_result(found)).to_csv(index=False, lineterminator="\n").encode()


@dataclass(frozen=True, kw_only=True)
class _Tail:
    text: str
    cut: bool


def _tail(path: Path, lines: int) -> _Tail:
    """The last lines of a file, at most 1 MiB of them; "" where there is none."""
    try:
        with path.open("rb") as f:
            size = f.seek(0, 2)
            start = max(0, size - _MOST_LOG_BYTES)
            f.seek(start)
            found = f.read(_MOST_LOG_BYTES)
    except FileNotFoundError:
        return _Tail(text="", cut=False)
    rows = found.decode("utf-8", "replace").splitlines(keepends=True)
    cut = start > 0 or len(rows) > lines
    return _Tail(text="".join(rows[-lines:]), cut=cut)


class _Pipe:
    """What a zip file is written to: bytes wait here until they are fetched."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take a piece."""
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing: `take` is the only reader."""

    def close(self) -> None:
        """Nothing to close."""

    def take(self) -> bytes:
        """All that has come since the last time."""
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def _zipped(folder: Path) -> Iterator[bytes]:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
            info = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}", _EPOCH)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with path.open("rb") as source, archive.open(info, "w") as member:
                while piece := source.read(_PIECE_BYTES):
                    member.write(piece)
                    if made := pipe.take():
                        yield made
    yield pipe.take()
