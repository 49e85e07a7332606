"""What the repetitions of the fault suites left, as a table of docs/reliability.md: `python -m tests.faults.page [RESULTS]`."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recur.record.atomic import read_json
from tests.long import OUTCOMES, ROOT, put_between

RESULTS = ROOT / "benchmarks" / "results" / "faults"
BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"
COUNTED = ("corruption", "disk_full_record", "disk_full_research", "research_kills")


def repetitions(results: Path) -> dict[str, list[dict[str, Any]]]:
    """By name of a measurement what each repetition found."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for folder in sorted(path for path in results.iterdir() if path.name.isdigit()):
        for file in sorted(folder.glob("*.json")):
            found[file.stem].append(read_json(file))  # type: ignore[arg-type]
    return dict(found)


def table(results: Path) -> Iterator[str]:
    """The page's lines."""
    outcomes: Any = read_json(results / OUTCOMES)
    passed = sum(bool(one["passed"]) for one in outcomes.values())
    days = sorted({one["day"] for one in outcomes.values()})
    sources = sorted({one["source"][:12] for one in outcomes.values()})
    yield f"{passed} of {len(outcomes)} pieces passed, {days[0]} to {days[-1]}, source {', '.join(sources)}.\n"
    yield "| killed | times | went on after, s | ended after, s | attempt that counts |\n|---|---|---|---|---|"
    found = repetitions(results)
    for name in sorted(found):
        if name.startswith("kill_"):
            runs = found[name]
            attempts = ", ".join(str(n) for n in sorted({run["attempts"] for run in runs if "attempts" in run}))
            times = f"{spread(runs, 'recovered_s')} | {spread(runs, 'ended_s')}"
            yield f"| {name.removeprefix('kill_').replace('_', ', ', 1)} | {len(runs)} | {times} | {attempts} |"
    yield ""
    for name in COUNTED:
        if name in found:
            yield f"- {name.replace('_', ' ')}: {summed(found[name])}"


def spread(runs: Sequence[dict[str, Any]], field: str) -> str:
    """Least and most of a field; "" where no run has it."""
    values = [run[field] for run in runs if field in run]
    if not values:
        return ""
    return f"{values[0]:.1f}" if len(values) == 1 else f"{min(values):.1f} to {max(values):.1f}"


def summed(runs: Sequence[dict[str, Any]]) -> str:
    """The counts of all repetitions together."""
    names = [name for name in runs[0] if name != "room_kib"]
    return ", ".join(f"{name.replace('_', ' ')} {sum(run[name] for run in runs):,}" for name in names)


def write_page(results: Path) -> None:
    """Put the table between the page's marks."""
    put_between(BEGIN, END, table(results))


if __name__ == "__main__":
    write_page(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS)
