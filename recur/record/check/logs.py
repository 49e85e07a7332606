"""Reads a training log of the usual kinds into one `SeedLog`: the scores, bytes, steps and clocks with their lines.

Understood are the lines of the published runs #1019, #1334, #1394 and #1421 and their variants: `val_loss:` with and
without a space, `..._exact` beside a rounded line (eight digits win over four), sliding, round-trip and TTT scores, a
block or header of hyperparameters. A log with several runs counts with its last run that has a score.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from recur.record.check.document import decimals_of
from recur.record.check.read import Text
from recur.record.stats.units import implied_bytes_per_token


class Kind(StrEnum):
    """What a scored line is about."""

    TRAINED = "trained"
    ROUNDTRIP = "roundtrip"
    SLIDING = "sliding"
    TTT = "ttt"


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A number in a log: value, digits after the point, line."""

    value: float
    decimals: int
    line: int


@dataclass(frozen=True, kw_only=True)
class Score:
    """One scored line: its label without ``_exact``, nats per token, bits per byte, evaluation time in ms."""

    label: str
    kind: Kind
    val_loss: Logged
    val_bpb: Logged
    eval_ms: Logged | None = None

    @property
    def sane(self) -> bool:
        """Whether both numbers can be scores: above zero and below 1,000."""
        return all(0 < v.value < 1000 for v in (self.val_loss, self.val_bpb))


@dataclass(frozen=True, kw_only=True)
class SeedLog:
    """What one log says; None where it does not.

    Attributes:
        file, runs: name of the log, and how many runs it holds (the last scored one is given).
        seed: from the log itself; ``seed_in_name`` from ``train_seed<N>.log``.
        scores: every score, in the order of the log.
        total_bytes, code_bytes, model_bytes: bytes as logged; model is the compressed one.
        steps, train_ms: step and clock at which training stopped.
        calibration_s: reading training data for Hessians; ``generated_s``: making calibration text without any data.
        pruned: weights set to zero to fit.
        settings: hyperparameters and header values as text; ``setting_lines`` their lines.
        written: month and day, or year, month and day, of the log's first time stamp.
        ttt_ran: whether test-time training left any line.
    """

    file: str
    runs: int
    seed: Logged | None
    seed_in_name: int | None
    scores: tuple[Score, ...]
    total_bytes: Logged | None = None
    code_bytes: Logged | None = None
    model_bytes: Logged | None = None
    steps: Logged | None = None
    train_ms: Logged | None = None
    calibration_s: Logged | None = None
    generated_s: Logged | None = None
    pruned: Logged | None = None
    settings: dict[str, str] = field(default_factory=dict)
    setting_lines: dict[str, int] = field(default_factory=dict)
    written: tuple[int, ...] = ()
    ttt_ran: bool = False

    @property
    def seed_number(self) -> int | None:
        """The seed that the log names, else the one in its file name."""
        return int(self.seed.value) if self.seed else self.seed_in_name

    def setting(self, name: str) -> str:
        """A hyperparameter by its last name, ``model.width`` for ``width``; empty where the log has none."""
        return next((v for k, v in self.settings.items() if k.rpartition(".")[2] == name), "")

    @property
    def scored_bytes(self) -> float | None:
        """Bytes of the scored text: as logged, else scored tokens times the bytes per token that loss and score imply."""
        told, tokens = self.setting("val_bytes"), self.setting("val_tokens") or self.setting("tokens")
        if re.fullmatch(_WHOLE, told):
            return float(told)
        score = next((s for s in self.scores if s.sane and s.kind is not Kind.TRAINED), None)
        if score is None or not re.fullmatch(_WHOLE, tokens):
            return None
        return int(tokens) * implied_bytes_per_token(score.val_loss.value, score.val_bpb.value)

    def score(self, kind: Kind) -> Score | None:
        """The first score of ``kind``."""
        return next((s for s in self.scores if s.kind is kind), None)

    @property
    def finals(self) -> tuple[Score, ...]:
        """Scores after quantization."""
        return tuple(s for s in self.scores if s.kind is not Kind.TRAINED)


_NUMBER = r"(-?\d{1,18}(?:\.\d{0,18})?(?:e[-+]?\d{1,3})?|nan|-?inf)"
_WHOLE = r"[0-9]{1,15}"
_SCORE = re.compile(rf"^(?P<label>.{{0,80}}?)\s*\bval_loss:\s*{_NUMBER}\s+val_bpb:\s*{_NUMBER}", re.IGNORECASE)
_EVAL = re.compile(r"\beval_time:\s*(\d{1,12})ms")
_VALIDATION = re.compile(r"^(?:step[: ]*)?(\d{1,9})/\d{1,9}$")
_STOP = re.compile(r"^stopping\w{0,20}:.*?train_time:\s*(\d{1,12})ms\s+step:\s*(\d{1,9})/")
_TRAIN_TIME = re.compile(r"\btrain_time:\s*(\d{1,12})ms")
_TOTAL = re.compile(r"^Total submission size[^:]{0,60}:\s*(\d{1,15}) bytes")
_CODE = re.compile(r"^Code size[^:]{0,60}:\s*(\d{1,15}) bytes")
_MODEL = re.compile(r"^Serialized model ([^:]{1,60}):\s*(\d{1,15}) bytes")
_COLLECTED = re.compile(r"collected\b.{0,60}?\bin (\d{1,9}(?:\.\d{1,9})?)s", re.IGNORECASE)
_GENERATED = re.compile(r"generated\b.{0,60}?\bin (\d{1,9}(?:\.\d{1,9})?)s", re.IGNORECASE)
_PRUNED = re.compile(r"pruning (\d{1,12})/(\d{1,12})")
_SEED_IN_NAME = re.compile(r"seed[_-]?(\d{1,18})", re.IGNORECASE)
_BLOCK_LINE = re.compile(r"^\s+([A-Za-z_][\w.]{0,80}): ?(.*)$")
_HEADER_PAIR = re.compile(r"(?<![\w:/.])([A-Za-z_]\w{0,60}): ?([^\s:]{1,200})(?=\s|$)")
_TORCHRUN_STAMP = re.compile(r"^[WIE](\d{2})(\d{2}) \d{2}:")
_DATE_STAMP = re.compile(r"^[A-Z][a-z]{2} ([A-Z][a-z]{2})\s{1,2}(\d{1,2}) \d{2}:\d{2}:\d{2} (\d{4})")
_ISO_STAMP = re.compile(r"^\[?(\d{4})-(\d{2})-(\d{2})[ T]\d{2}:")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_HEADER_LINE = re.compile(r"^[A-Za-z_]\w{0,60}: ?\S")
_HEADER_END = re.compile(r"\bwarmup_step\b|\btrain_loss:|\bval_loss:", re.IGNORECASE)
_TTT_RAN = re.compile(r"^\s*ttt\w{0,40}(?:\s*\[\d|:\s*(?:start|done|chunk))", re.IGNORECASE)


def read_log(text: Text) -> SeedLog:
    """The last scored run of a log. Never raises; what is not found is None."""
    numbered = list(enumerate(text.lines(), start=1))
    runs = _runs(numbered)
    chosen = next((run for run in reversed(runs) if any(_scores(run))), runs[-1])
    settings = _settings(chosen)
    stop = _last(_STOP, chosen, 2) or _last_validation_step(chosen)
    named = _SEED_IN_NAME.search(text.name.rpartition("/")[2])
    return SeedLog(
        file=text.name,
        runs=len(runs),
        seed=_seed(settings),
        seed_in_name=int(named.group(1)) if named else None,
        scores=_merged(list(_scores(chosen))),
        total_bytes=_last(_TOTAL, chosen),
        code_bytes=_last(_CODE, chosen),
        model_bytes=_last(_MODEL, chosen, 2),
        steps=stop,
        train_ms=_last(_STOP, chosen) or _last(_TRAIN_TIME, chosen),
        calibration_s=_last(_COLLECTED, chosen),
        generated_s=_last(_GENERATED, chosen),
        pruned=_last(_PRUNED, chosen),
        settings={key: value.text for key, value in settings.items()},
        setting_lines={key: value.line for key, value in settings.items()},
        written=_written(numbered),
        ttt_ran=any(_TTT_RAN.match(line) for _, line in chosen),
    )


Numbered = list[tuple[int, str]]


def _runs(numbered: Numbered) -> list[Numbered]:
    """One part for each time the first step was trained; text before the first belongs to it."""
    starts = [i for i, (_, line) in enumerate(numbered) if re.match(r"(Hyperparameters:|train_loader:dataset:)", line)]
    bounds = [0, *starts[1:], len(numbered)]
    return [numbered[a:b] for a, b in itertools.pairwise(bounds)]


def _logged(text: str, line: int) -> Logged:
    return Logged(value=float(text), decimals=decimals_of(text), line=line)


def _last(pattern: re.Pattern[str], run: Numbered, group: int = 1) -> Logged | None:
    found = None
    for number, line in run:
        if match := pattern.search(line):
            found = _logged(match.group(group), number)
    return found


def _last_validation_step(run: Numbered) -> Logged | None:
    found = None
    for number, line in run:
        if (score := _SCORE.match(line)) and (step := _VALIDATION.match(score["label"].strip())):
            found = _logged(step.group(1), number)
    return found


def _scores(run: Numbered) -> Iterator[Score]:
    for number, line in run:
        if not (match := _SCORE.match(line)):
            continue
        label = match["label"].strip()
        if (kind := _kind(label)) is None:
            continue
        took = _EVAL.search(line)
        yield Score(
            label=label.removesuffix("_exact"),
            kind=kind,
            val_loss=_logged(match.group(2), number),
            val_bpb=_logged(match.group(3), number),
            eval_ms=_logged(took.group(1), number) if took else None,
        )


def _kind(label: str) -> Kind | None:
    low = label.lower()
    if _VALIDATION.match(low):
        return None
    if "pre-quant" in low or "prequant" in low or "post_ema" in low or "post-ema" in low or "diagnostic" in low:
        return Kind.TRAINED
    if "ttt" in low:
        return Kind.TTT
    if "sliding" in low:
        return Kind.SLIDING
    return Kind.ROUNDTRIP if "roundtrip" in low or "quantized" in low or low.startswith("final") else None


def _merged(scores: list[Score]) -> tuple[Score, ...]:
    """One score a label: the one with more digits counts, and keeps the time that its rounded twin gave."""
    best: dict[str, Score] = {}
    for score in scores:
        other = best.get(score.label)
        if other is None or score.val_bpb.decimals >= other.val_bpb.decimals:
            took = score.eval_ms or (other.eval_ms if other else None)
            best[score.label] = Score(
                label=score.label, kind=score.kind, val_loss=score.val_loss, val_bpb=score.val_bpb, eval_ms=took
            )
    return tuple(best.values())


@dataclass(frozen=True, kw_only=True)
class _Setting:
    text: str
    line: int


def _settings(run: Numbered) -> dict[str, _Setting]:
    """The block below `Hyperparameters:`, and `key:value` pairs of the header before the first step."""
    found: dict[str, _Setting] = {}
    in_block = False
    for number, line in run:
        if line.startswith("Hyperparameters:"):
            in_block = True
        elif in_block and (match := _BLOCK_LINE.match(line)):
            found[match.group(1)] = _Setting(text=match.group(2).strip(), line=number)
        elif _HEADER_END.search(line):
            break
        elif _HEADER_LINE.match(line):
            in_block = False
            for key, value in _HEADER_PAIR.findall(line):
                found.setdefault(key, _Setting(text=value, line=number))
    return found


def _seed(settings: dict[str, _Setting]) -> Logged | None:
    seed = settings.get("seed")
    return _logged(seed.text, seed.line) if seed and re.fullmatch(r"\d{1,18}", seed.text) else None


def _written(numbered: Numbered) -> tuple[int, ...]:
    for _, line in numbered:
        if match := _ISO_STAMP.match(line):
            return tuple(int(g) for g in match.groups())
        if (match := _DATE_STAMP.match(line)) and match.group(1) in _MONTHS:
            return (int(match.group(3)), _MONTHS.index(match.group(1)) + 1, int(match.group(2)))
        if match := _TORCHRUN_STAMP.match(line):
            return (int(match.group(1)), int(match.group(2)))
    return ()
