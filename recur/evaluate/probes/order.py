"""Score before update, in one pass, over everything: read off the interval log.

Source: RULES B1 (C3, C4), B2 row 10. A pure function of the log; that the log tells what was executed is checked by
`recur.evaluate.probes.run`, which also counts the scores themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from recur.evaluate.intervals import Interval
from recur.evaluate.windows import IntArray


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a log says.

    Attributes:
        targets: targets of the stream.
        scored_once: how many were scored exactly once.
        updates: how often the weights changed.
        findings: breaches, in the order of the log; coverage last.
    """

    targets: int
    scored_once: int
    updates: int
    findings: tuple[str, ...]


def probe_order(intervals: Iterable[Interval], targets: int) -> Order:
    """Check a log in the order in which it was written.

    Each target is scored exactly once; with the weights of the moment (as many versions as updates so far); an update
    takes only targets that were scored before it and makes the next version.

    Args:
        intervals: of one evaluation; the log of an evaluation in parts has the parts one after another.
        targets: targets of the stream, n - 1 of n tokens.
    """
    times = np.zeros(targets, np.int64)
    version, findings = 0, list[str]()
    for one in intervals:
        where = f"[{one.start}, {one.stop})"
        if not 0 <= one.start < one.stop <= targets:
            findings.append(f"{one.kind} {where} is outside the stream's {targets} targets")
            continue
        span = times[one.start : one.stop]
        if one.kind == "score":
            if span.any():
                findings.append(f"score {where} scores {int((span > 0).sum())} targets again")
            if one.version != version:
                findings.append(f"score {where} says weights version {one.version} after {version} updates")
            span += 1
        else:
            version += 1
            if not span.all():
                findings.append(f"adapt {where} uses {int((span == 0).sum())} targets that were not scored before")
            if one.version != version:
                findings.append(f"adapt {where} makes version {one.version} as update {version}")
    return Order(
        targets=targets,
        scored_once=int((times == 1).sum()),
        updates=version,
        findings=(*findings, *_coverage(times)),
    )


def _coverage(times: IntArray) -> list[str]:
    never, again = np.flatnonzero(times == 0), np.flatnonzero(times > 1)
    missing = [f"{len(never)} targets are never scored, the first at position {never[0]}"] if len(never) else []
    double = [f"{len(again)} targets are scored more than once, the first at position {again[0]}"] if len(again) else []
    return missing + double
