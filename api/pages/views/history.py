"""What has happened, as rows: attempts with their waits and runs, events in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.models import Attempt, SeedView
from api.pages.words import number, plain, state_word
from api.store.rows import EventRow

_WORDS = {
    "created": "submitted",
    "prepared": "data and spec are ready",
    "cancel_asked": "cancel asked for",
    "retry": "a new attempt is queued",
    "reported": "report written",
    "warning": "warning",
}
_MOST_LETTERS = 400


@dataclass(frozen=True, kw_only=True)
class AttemptLine:
    """One attempt; seconds from queued to admitted and from running (or submitted) to its end or now."""

    seed: int
    attempt: Attempt
    waited_s: float | None
    ran_s: float | None


@dataclass(frozen=True, kw_only=True)
class EventLine:
    """One event; ``at`` in seconds since 1970."""

    number: int
    at: float
    seed: int | None
    words: str


def attempt_lines(seeds: Sequence[SeedView], now: float) -> tuple[AttemptLine, ...]:
    """Every attempt of every seed, the newest of a seed first."""
    return tuple(_attempt(s.seed, a, now) for s in seeds for a in sorted(s.attempts, key=lambda a: -a.attempt))


def event_lines(events: Sequence[EventRow]) -> tuple[EventLine, ...]:
    """The events, newest first."""
    return tuple(EventLine(number=e.number, at=e.at, seed=e.seed, words=_words(e)) for e in reversed(events))


def _attempt(seed: int, attempt: Attempt, now: float) -> AttemptLine:
    end = attempt.ended_at.timestamp() if attempt.ended_at else now
    admitted = attempt.admitted_at.timestamp() if attempt.admitted_at else end
    began = attempt.running_at or attempt.submitted_at
    return AttemptLine(
        seed=seed,
        attempt=attempt,
        waited_s=max(admitted - attempt.queued_at.timestamp(), 0.0),
        ran_s=None if began is None else max(end - began.timestamp(), 0.0),
    )


def _words(event: EventRow) -> str:
    data = dict(event.data)
    if event.kind == "state":
        text = _change(data)
    elif event.kind == "progress":
        text = _progress(data)
    else:
        text = _WORDS.get(event.kind, event.kind)
    told = next((str(data[name]) for name in ("reason", "text", "warning", "why") if data.get(name)), "")
    return (f"{text}: {told}" if told else text)[:_MOST_LETTERS]


def _change(data: Mapping[str, Any]) -> str:
    old, new = data.get("from"), data.get("to") or data.get("state")
    return f"{state_word(str(old))} → {state_word(str(new))}" if old else state_word(str(new))


def _progress(data: Mapping[str, Any]) -> str:
    parts = [str(data.get("phase") or "progress")]
    beat = data.get("progress")
    data = beat if isinstance(beat, Mapping) else {}
    if data.get("step") is not None:
        steps = f" of {plain(data['steps'])}" if data.get("steps") is not None else ""
        parts.append(f"step {plain(data['step'])}{steps}")
    loss = data.get("loss")
    if isinstance(loss, int | float):
        parts.append(f"loss {number(loss, 4)}")
    return ", ".join(parts)
