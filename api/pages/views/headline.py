"""What the sweep page says first: the verdict in one line, what goes on, and which buttons make sense."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from api.models import SeedView, Sweep
from api.pages.words import STATE_WORDS, number, plural, sentence, state_word
from recur.record.known import pr_number
from recur.record.result import State

_WITHOUT_SUCCESS = tuple(s.value for s in State if s.terminal and s is not State.SUCCEEDED)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What went wrong with one or more seeds that are in the same state for the same reason."""

    state: str
    seeds: tuple[int, ...]
    reason: str
    warning: str


@dataclass(frozen=True, kw_only=True)
class Headline:
    """Text and buttons.

    Attributes:
        verdict: the line above all others.
        notes: what belongs to it: the test's need for seeds, what the seeds planned can show.
        progress: counts of states, e.g. ``2 succeeded, 1 running``.
        troubles: reasons and warnings, each once.
        slack: of the largest artifact below its cap.
        baseline: how the baseline is written.
        open: seeds that have not ended.
        cancellable: whether there is anything to cancel.
        retryable: seeds that ended without success.
        gates, gates_note: how many passed, and the names of those that failed.
    """

    verdict: str
    notes: tuple[str, ...]
    progress: str
    troubles: tuple[Trouble, ...]
    slack: str
    baseline: str
    open: int
    cancellable: bool
    retryable: tuple[SeedView, ...]
    gates: str
    gates_note: str
    gates_failed: bool


def headline(sweep: Sweep) -> Headline:
    """The head of a sweep's page."""
    seeds = sweep.seeds
    open_ = [s for s in seeds if not State(s.state).terminal]
    verdicts = Counter(g.verdict for s in seeds for g in s.gates)
    failed = list(dict.fromkeys(g.name for s in seeds for g in s.gates if g.verdict == "fail"))
    judged = verdicts["pass"] + verdicts["fail"]
    return Headline(
        verdict=_verdict(sweep),
        notes=tuple(_notes(sweep)),
        progress=counted(seeds),
        troubles=_troubles(seeds),
        slack=_slack(seeds),
        baseline=_baseline(sweep.baseline),
        open=len(open_),
        cancellable=any(s.state != State.CANCELLING for s in open_) and sweep.cancelled_at is None,
        retryable=tuple(s for s in seeds if s.state in _WITHOUT_SUCCESS),
        gates=f"{verdicts['pass']} of {judged}" if judged else "–",
        gates_note=", ".join(failed) if failed else _gates_note(judged, verdicts["n/a"]),
        gates_failed=bool(failed),
    )


def counted(seeds: list[SeedView]) -> str:
    """``2 succeeded, 1 running``, in the order of a sweep's life."""
    counts = Counter(s.state for s in seeds)
    return ", ".join(f"{counts[state]} {word}" for state, word in STATE_WORDS.items() if counts[state])


def _verdict(sweep: Sweep) -> str:
    told = sweep.statistics
    if told.verdict:
        return sentence(told.verdict)
    if told.mean_val_bpb is None:
        return _without_score(sweep)
    spread = f" ± {number(told.sd_val_bpb, 5)}" if told.sd_val_bpb is not None else ""
    text = f"Mean {number(told.mean_val_bpb, 5)}{spread} BPB over {plural(told.n, 'seed')}"
    if told.n < len(sweep.seeds):
        text += f" of {len(sweep.seeds)}"
    if sweep.baseline is None:
        return f"{text}; no baseline was named, so nothing is claimed."
    return f"{text}; not yet tested against {_baseline(sweep.baseline)}."


def _without_score(sweep: Sweep) -> str:
    first = next((s for s in sweep.seeds if not State(s.state).terminal), None)
    if first is None:
        return f"No score: {counted(sweep.seeds)}."
    if first.waiting is not None and sweep.state == State.QUEUED.value:
        return f"Waiting: {first.waiting.why}."
    if sweep.state == State.CANCELLING.value:
        return f"Being cancelled: {counted(sweep.seeds)}."
    doing = [f"seed {s.seed} {s.phase or state_word(s.state)}" for s in sweep.seeds if s.state == State.RUNNING.value]
    return f"No score yet: {', '.join(doing[:4]) or counted(sweep.seeds)}."


def _notes(sweep: Sweep) -> list[str]:
    told = sweep.statistics
    notes = []
    if told.seeds_needed is not None:
        notes.append(f"{plural(told.seeds_needed, 'seed')} a side would prove the difference seen so far.")
    if told.planned:
        notes.append(sentence(told.planned))
    return notes


def _troubles(seeds: list[SeedView]) -> tuple[Trouble, ...]:
    found: dict[tuple[str, str, str], list[int]] = {}
    for seed in seeds:
        if seed.reason or seed.warning:
            found.setdefault((seed.state, seed.reason or "", seed.warning or ""), []).append(seed.seed)
    return tuple(Trouble(state=key[0], seeds=tuple(of), reason=key[1], warning=key[2]) for key, of in found.items())


def _slack(seeds: list[SeedView]) -> str:
    slacks = [s.slack_bytes for s in seeds if s.slack_bytes is not None and s.state == State.SUCCEEDED]
    if not slacks:
        return "of seeds that succeeded"
    least = min(slacks)
    return f"{number(least)} below the cap" if least >= 0 else f"{number(-least)} over the cap"


def _gates_note(judged: int, not_applicable: int) -> str:
    if not judged:
        return "come with verification"
    return f"{not_applicable} not applicable" if not_applicable else "all passed"


def _baseline(baseline: str | None) -> str:
    if baseline is None:
        return "no baseline"
    return f"PR {baseline}" if pr_number(baseline) is not None else baseline
