"""One attempt of one seed as a folder: `results/<sweep>/seed_<n>/a<k>/`.

A phase writes its payload first and its record last; a phase without its record is unfinished. A record names its
payloads with size and SHA-256 and reading it checks them, so what a later attempt adopts is what was written. Beside
the records lie heartbeat.json, progress.jsonl, clock.json and intervals.jsonl. Source: ARCHITECTURE, attempts and
clocks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from recur.errors import ArtifactError
from recur.record.atomic import finite, fsync, read_json, storage_error, write_json_atomic
from recur.record.attempt.payload import Payload, check_payload, hand_on, hash_payloads, inside
from recur.record.codec import from_json, to_json
from recur.record.journal import Event, append_line, read_events
from recur.record.result import Phase

JOURNALS = ("progress.jsonl", "intervals.jsonl")
ClockName = Literal["train", "data_read", "eval"]


@dataclass(frozen=True, kw_only=True)
class PhaseRecord:
    """What a finished phase left: when it ended (seconds since 1970), its numbers, its files."""

    phase: Phase
    at: float
    fields: dict[str, object]
    payloads: tuple[Payload, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What a later attempt took over, and why it stopped taking (None: every phase asked for was there)."""

    phases: tuple[Phase, ...]
    stopped_by: str | None = None


@dataclass(frozen=True)
class AttemptDir:
    """The folder of attempt ``attempt`` of ``seed`` below the sweep's folder ``root``; nothing is made until a write.

    Args:
        root: `results/<sweep>`.
        seed: the seed.
        attempt: 1, 2, ...
        clock: seconds since 1970; a test gives its own.
    """

    root: Path
    seed: int
    attempt: int
    clock: Callable[[], float] = field(default=time.time, compare=False, repr=False)

    @property
    def folder(self) -> Path:
        """`<root>/seed_<n>/a<k>`."""
        return seed_folder(self.root, self.seed) / f"a{self.attempt}"

    def create(self) -> AttemptDir:
        """Make the folder; returns self.

        Raises:
            StorageError: it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise storage_error(self.folder, e) from e
        return self

    def path(self, name: str) -> Path:
        """Path of a payload or log inside the folder.

        Raises:
            ArtifactError: ``name`` leads out of the folder.
        """
        return inside(self.folder, name)

    def write_record(self, phase: Phase, fields: Mapping[str, object], payloads: Sequence[str] = ()) -> PhaseRecord:
        """Close ``phase``: hash and sync its payload files, sync the journals, then write `record_<phase>.json`.

        A record says that its phase is done, also to whoever asks the journals what was trained on and scored: a power cut
        must not leave it without their last lines.

        Args:
            phase: the phase that is done.
            fields: its numbers, JSON values; non-finite ones become null.
            payloads: names inside the folder; a folder's name stands for all files below it.

        Raises:
            StorageError: a payload is missing or the record cannot be written.
        """
        try:
            files = [payload for name in payloads for payload in hash_payloads(self.folder, name)]
            for journal in (path for name in JOURNALS if (path := self.path(name)).exists()):
                fsync(journal)
        except OSError as e:
            raise storage_error(self.folder, e) from e
        numbers = {k: finite(v) for k, v in fields.items()}
        record = PhaseRecord(phase=phase, at=self.clock(), fields=numbers, payloads=tuple(files))
        write_json_atomic(self._record_path(phase), to_json(record))
        return record

    def read_record(self, phase: Phase) -> PhaseRecord | None:
        """The record of a finished phase with every payload checked; None when the phase is unfinished.

        Raises:
            ArtifactError: the record is not readable, or a payload is missing, cut or changed.
        """
        path = self._record_path(phase)
        if not path.exists():
            return None
        record = from_json(PhaseRecord, read_json(path), where=str(path))
        for payload in record.payloads:
            check_payload(self.path(payload.file), payload)
        return record

    def finished(self, phase: Phase) -> bool:
        """Whether the phase has its record (its payloads are not read)."""
        return self._record_path(phase).exists()

    def heartbeat(self, fields: Mapping[str, object]) -> None:
        """Replace heartbeat.json by {at, pid, **fields}; usual fields: phase, step, steps, loss, tokens_per_s, mfu."""
        write_json_atomic(self.path("heartbeat.json"), {"at": self.clock(), "pid": os.getpid(), **fields})

    def read_heartbeat(self) -> dict[str, object] | None:
        """The latest heartbeat; None before the first."""
        return _read_object(self.path("heartbeat.json"))

    def append_event(self, kind: str, fields: Mapping[str, object]) -> None:
        """Append to progress.jsonl; kinds: phase, step, val, warmup, recurrence, stop, ..."""
        append_line(self.path("progress.jsonl"), kind, fields, at=self.clock())

    def append_interval(self, kind: str, start: int, stop: int, **fields: object) -> None:
        """Append to intervals.jsonl that tokens ``[start, stop)`` were used; kinds: train, calibrate, score, adapt."""
        row = {"start": start, "stop": stop, **fields}
        append_line(self.path("intervals.jsonl"), kind, row, at=self.clock())

    def write_clock(self, name: ClockName, seconds: float, *, start_at: float, stop_at: float) -> None:
        """Set one of the three clocks in clock.json and keep the others.

        Args:
            name: ``train`` (the training loop), ``data_read`` (anything else that reads training data), ``eval``.
            seconds: what counts; less than the stamps' difference where the clock was paused.
            start_at: first start, seconds since 1970.
            stop_at: last stop.
        """
        old = self.read_clock() or {}
        stamps = old.get("stamps")
        kept = dict(stamps) if isinstance(stamps, dict) else {}
        kept[name] = {"start_at": start_at, "stop_at": stop_at}
        write_json_atomic(self.path("clock.json"), {**old, f"{name}_s": seconds, "stamps": kept})

    def read_clock(self) -> dict[str, object] | None:
        """clock.json: {train_s, data_read_s, eval_s, stamps: {train: {start_at, stop_at}, ...}}; None if not begun."""
        return _read_object(self.path("clock.json"))

    def adopt(self, previous: AttemptDir, phases: Sequence[Phase] = tuple(Phase)) -> Adoption:
        """Take over the finished phases of an earlier attempt, up to the first that is unfinished or damaged.

        Payloads are hard-linked (copied across file systems), then the record; clocks, intervals and
        events that were stamped until then come along.

        Raises:
            StorageError: the files cannot be made here.
        """
        try:
            stamps = _Stamps.of(previous)
        except ArtifactError as e:
            return Adoption(phases=(), stopped_by=str(e))
        taken: list[Phase] = []
        stopped_by, until = None, float("-inf")
        for phase in phases:
            try:
                record = previous.read_record(phase)
            except ArtifactError as e:
                stopped_by = str(e)
                break
            if record is None:
                stopped_by = f"{phase} of attempt {previous.attempt} is unfinished"
                break
            self._take(previous, record)
            taken.append(phase)
            until = max(until, record.at)
        if taken:
            self._take_stamps(stamps, until)
        return Adoption(phases=tuple(taken), stopped_by=stopped_by)

    def take_story(self, previous: AttemptDir) -> None:
        """Take over the events of an earlier attempt whose training this one goes on with (research mode)."""
        for event in read_events(previous.path("progress.jsonl")):
            append_line(self.path("progress.jsonl"), event.kind, event.fields, at=event.at)

    def _take(self, previous: AttemptDir, record: PhaseRecord) -> None:
        for payload in record.payloads:
            hand_on(previous.path(payload.file), self.path(payload.file))
            check_payload(self.path(payload.file), payload)
        write_json_atomic(self._record_path(record.phase), to_json(record))

    def _take_stamps(self, stamps: _Stamps, until: float) -> None:
        for name, events in stamps.journals.items():
            for event in events:
                if event.at <= until:
                    append_line(self.path(name), event.kind, event.fields, at=event.at)
        for clock in stamps.clocks:
            if clock.stop_at <= until:
                self.write_clock(clock.name, clock.seconds, start_at=clock.start_at, stop_at=clock.stop_at)

    def _record_path(self, phase: Phase) -> Path:
        return self.path(f"record_{phase.value}.json")


@dataclass(frozen=True)
class _Clock:
    """One of the three clocks, as `AttemptDir.write_clock` takes it."""

    name: ClockName
    seconds: float
    start_at: float
    stop_at: float


@dataclass(frozen=True, kw_only=True)
class _Stamps:
    """What an attempt has stamped: its journals and its clocks."""

    journals: dict[str, list[Event]]
    clocks: list[_Clock]

    @classmethod
    def of(cls, attempt: AttemptDir) -> _Stamps:
        """Read all of it.

        Raises:
            ArtifactError: a journal or the clock is damaged.
        """
        journals = {name: read_events(attempt.path(name)) for name in JOURNALS}
        told: dict[str, Any] = attempt.read_clock() or {}
        try:
            spans = dict(told.get("stamps", {})).items()
            clocks = [_Clock(n, float(told[f"{n}_s"]), float(span["start_at"]), float(span["stop_at"])) for n, span in spans]
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(str(attempt.path("clock.json")), f"is not a clock ({error!r})", "run the seed again") from error
        return cls(journals=journals, clocks=clocks)


def seed_folder(root: Path, seed: int) -> Path:
    """`<root>/seed_<n>`."""
    return root / f"seed_{seed}"


def _read_object(path: Path) -> dict[str, object] | None:
    try:
        value = read_json(path)
    except FileNotFoundError:
        return None
    if not isinstance(value, dict):
        raise ArtifactError(str(path), "is not a JSON object", "delete the file")
    return value
