"""Rows of the sweep page's tables: gates by seed, the config's difference to its profile, the environment."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.models import GateRow, SeedView
from recur.errors import RecurError
from recur.record.atomic import read_json
from recur.record.attempt import AttemptDir

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GateLine:
    """One gate over the seeds; a seed that has not judged it has None."""

    name: str
    source: str
    cells: tuple[GateRow | None, ...]

    @property
    def worst(self) -> str:
        """fail where any seed fails, else n/a where any is, else pass."""
        verdicts = {c.verdict for c in self.cells if c is not None}
        return next((v for v in ("fail", "n/a", "pass") if v in verdicts), "")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A key of the recipe whose value is not the profile's; ``asked`` where the submission named it."""

    key: str
    profile: Any
    sweep: Any
    asked: bool


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One line of the environment."""

    name: str
    value: Any


def gate_lines(seeds: Sequence[SeedView]) -> tuple[GateLine, ...]:
    """Every gate that any seed has judged, failing ones first, then in the order of the rules."""
    names = list(dict.fromkeys(g.name for s in seeds for g in s.gates))
    found = [{g.name: g for g in s.gates} for s in seeds]
    lines = [
        GateLine(
            name=name,
            source=next(g[name].source for g in found if name in g),
            cells=tuple(g.get(name) for g in found),
        )
        for name in names
    ]
    return tuple(sorted(lines, key=lambda line: line.worst != "fail"))


def differences(profile: Mapping[str, Any], recipe: Mapping[str, Any], asked: Sequence[str]) -> tuple[Difference, ...]:
    """Keys of ``recipe`` that differ from ``profile``, both as JSON trees; those asked for first."""
    base, ours = dict(flat(profile)), dict(flat(recipe))
    rows = [
        Difference(key=key, profile=base.get(key), sweep=value, asked=key in asked)
        for key, value in ours.items()
        if base.get(key) != value or key in asked
    ]
    return tuple(sorted(rows, key=lambda row: not row.asked))


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``section.key`` and its value for every leaf."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def environment(root: Path, seeds: Sequence[SeedView]) -> tuple[Fact, ...]:
    """What the first verified seed recorded of its machine; nothing before one has.

    Args:
        root: the sweep's folder.
        seeds: with their counting attempts.
    """
    for seed in seeds:
        path = AttemptDir(root, seed.seed, seed.attempt).path("record_verify.json")
        if path.is_file() and (found := _recorded(path)):
            return tuple(Fact(name=name, value=value) for name, value in flat(found) if value is not None)
    return ()


def _recorded(path: Path) -> Mapping[str, Any]:
    try:
        document = read_json(path)
    except (RecurError, OSError) as e:
        _log.warning("environment_unreadable path=%s error=%s", path, e)
        return {}
    fields = document.get("fields") if isinstance(document, dict) else None
    found = fields.get("environment") if isinstance(fields, dict) else None
    return found if isinstance(found, dict) else {}
