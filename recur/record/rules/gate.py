"""One rule of the challenge, checked: the value found, its limit, the verdict and where the value came from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Value = str | int | float | bool | None


class Verdict(StrEnum):
    """What a gate says; ``n/a`` is never a pass, and always says why."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "n/a"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One row of a seed's or a sweep's table of gates.

    Attributes:
        name: the rule in a few words, e.g. ``total bytes``.
        value: what was found, with its unit in ``name`` or in the text.
        limit: what it is held against.
        verdict: pass, fail or n/a.
        why: the reason of a fail or an n/a; may explain a pass.
        source: the file or record that the value was computed from.
    """

    name: str
    value: Value
    limit: Value
    verdict: Verdict
    why: str = ""
    source: str


def judged(name: str, value: Value, limit: Value, ok: bool, *, why: str = "", source: str) -> Gate:
    """A gate that applies: pass where ``ok``, else fail."""
    verdict = Verdict.PASS if ok else Verdict.FAIL
    return Gate(name=name, value=value, limit=limit, verdict=verdict, why=why, source=source)


def not_applicable(name: str, value: Value, limit: Value, *, why: str, source: str) -> Gate:
    """A gate that this run cannot pass or fail, and why."""
    return Gate(name=name, value=value, limit=limit, verdict=Verdict.NOT_APPLICABLE, why=why, source=source)
