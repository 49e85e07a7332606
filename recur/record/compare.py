"""Two arms beside each other: sweeps of ours, published lines, or one of each.

The first is the one something is asked about: differences are first minus second, below zero the first is better. What the
two are, how far they may be compared and which words the numbers carry comes from `recur.record.stats`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from recur.errors import InputError
from recur.record.atomic import finite, read_json
from recur.record.attempt import AttemptDir
from recur.record.codec import to_json
from recur.record.known import find_known, known_lines, pr_number
from recur.record.report import JSON_NAME, read_sweep
from recur.record.result import SweepResult
from recur.record.stats.arm import Arm, arm_of_known, arm_of_sweep, same_tokenizer
from recur.record.stats.verdicts import Verdict, judge
from recur.record.stats.welch import Interval

CONFIDENCE = 0.95
ATTEMPT_SPEC = "spec.json"
"""What an attempt was told, its recipe among it (`recur.seedspec.SPEC_FILE`, which needs pydantic)."""

Recipe = Mapping[str, Any]
"""A recipe as its canonical JSON tree."""


@dataclass(frozen=True, kw_only=True)
class ConfigDifference:
    """One key of the recipe, with dots; None on the side that does not have it."""

    key: str
    a: object
    b: object


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """``a`` against ``b``.

    Attributes:
        verdict: tests in all units, both rules of the challenge, warnings, and the words they allow.
        interval: of the difference of the means in BPB; None below two seeds on a side or on different texts.
        difference_loss: nats per token; None between different tokenizers.
        difference_bytes: of the mean totals.
        config: keys that differ; None where not both recipes are known.
        warnings: what keeps the two from being compared, or must be known to read the difference.
    """

    a: Arm
    b: Arm
    verdict: Verdict
    interval: Interval | None
    difference_bpb: float | None
    difference_loss: float | None
    difference_bytes: float | None
    config: tuple[ConfigDifference, ...] | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Side:
    """What a name on the command line stands for; ``recipe`` is None for published lines and unknown sweeps."""

    arm: Arm
    recipe: Recipe | None = None


def compare(a: Arm, b: Arm, recipes: tuple[Recipe | None, Recipe | None] = (None, None)) -> Comparison:
    """All numbers of ``a`` against ``b``; ``recipes`` are theirs, where both are known."""
    verdict = judge(a, b)
    loss = _mean_loss(a), _mean_loss(b)
    totals = a.bytes, b.bytes
    first, second = recipes
    config = None if first is None or second is None else tuple(config_differences(first, second))
    left_out = tuple(f"{arm.label} is without {', '.join(arm.left_out)}" for arm in (a, b) if arm.left_out)
    return Comparison(
        a=a,
        b=b,
        verdict=verdict,
        interval=verdict.test.plain.interval(CONFIDENCE) if verdict.test and verdict.test.plain.df else None,
        difference_bpb=verdict.difference_bpb,
        difference_loss=loss[0] - loss[1] if same_tokenizer(a, b) and loss[0] is not None and loss[1] is not None else None,
        difference_bytes=totals[0].mean - totals[1].mean if totals[0] and totals[1] else None,
        config=config,
        warnings=(*filter(None, (verdict.why_not,)), *verdict.warnings, *left_out),
    )


def config_differences(a: Recipe, b: Recipe, *, prefix: str = "") -> Iterator[ConfigDifference]:
    """Keys whose values differ, in the order of ``a``, then those that only ``b`` has; branches are walked down."""
    for key in dict.fromkeys((*a, *b)):
        mine, theirs = a.get(key), b.get(key)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            yield from config_differences(mine, theirs, prefix=f"{prefix}{key}.")
        elif mine != theirs:
            yield ConfigDifference(key=f"{prefix}{key}", a=mine, b=theirs)


def comparison_fields(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values, with its finding as one sentence."""
    document: dict[str, Any] = to_json(comparison)
    return {"finding": comparison.verdict.sentence, **{name: finite(value) for name, value in document.items()}}


def side_of(text: str, out: Path) -> Side:
    """What ``text`` names: a sweep's folder, a path of its sweep.json, a sweep below ``out``, or a known line.

    Raises:
        InputError: none of these; near names are listed.
        ArtifactError: the file is not a sweep.
    """
    for path in (Path(text).expanduser(), out / text):
        file = path / JSON_NAME if path.is_dir() else path
        if file.is_file():
            return _sweep_side(file)
    if pr_number(text) is not None:
        return Side(arm=arm_of_known(find_known(text)))
    sweeps = sorted(p.parent.name for p in out.glob(f"*/{JSON_NAME}"))
    lines = [f"#{r.pr}" for r in sorted(known_lines(), key=lambda r: r.pr)]
    near = get_close_matches(text, [*sweeps, *lines], n=3, cutoff=0.5)
    hint = f"near: {', '.join(near)}" if near else f"sweeps: {', '.join(sweeps[-5:]) or 'none'}; lines: {', '.join(lines)}"
    raise InputError(f"{text!r}", f"is no sweep here or in {out}, and no known line", hint)


def _sweep_side(file: Path) -> Side:
    result = read_sweep(file)
    recipe = _recipe(file.parent, result)
    stride = (recipe or {}).get("evaluate", {}).get("stride")
    return Side(arm=arm_of_sweep(result, stride=stride if isinstance(stride, int) else None), recipe=recipe)


def _recipe(folder: Path, result: SweepResult) -> Recipe | None:
    """The recipe of a sweep's seeds: one for all of them, in the spec of any attempt."""
    for seed in result.seeds:
        path = AttemptDir(folder, seed.seed, seed.attempt).path(ATTEMPT_SPEC)
        if path.is_file():
            spec = read_json(path)
            recipe = spec.get("recipe") if isinstance(spec, dict) else None
            return recipe if isinstance(recipe, dict) else None
    return None


def _mean_loss(arm: Arm) -> float | None:
    if arm.val_loss:
        return sum(arm.val_loss) / len(arm.val_loss)
    return arm.published_loss.mean if arm.published_loss else None
