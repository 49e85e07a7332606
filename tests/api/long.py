"""The service's suite at full volume, each test in a process of its own: `make test-service-long`.

    python -m tests.api.long [--results FOLDER] [--only TEXT] [--again] [--jobs N]

Each test's outcome and numbers are kept in the results folder as soon as it has ended; a run that was interrupted goes on
there, for a test that has passed with the same source is not run again. Then docs/reliability.md gets its tables from what
is there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recur.record.atomic import read_json
from tests.long import OUTCOMES, ROOT, Piece, drive, put_between

RESULTS = ROOT / "benchmarks" / "results" / "service"
SOURCES = ("api", "cluster", "tests/api")
BEGIN, END = "<!-- long:begin -->", "<!-- long:end -->"
MOST_SHOWN = 8
FULL = {"RECUR_VOLUME": "long", "RECUR_REQUIRE_POSTGRES": "1"}


def tests() -> list[str]:
    """Every test of the suite, by its id."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-m", "service", "--collect-only", "-q", "tests/api"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = [line for line in told.splitlines() if "::" in line]
    assert found, told
    return found


def table(outcomes: dict[str, Any], results: Path) -> Iterator[str]:
    """The page's lines: every test's outcome, then every number that was measured."""
    yield "| test | passed | seconds | day |\n|---|---|---|---|"
    for test, found in sorted(outcomes.items()):
        short = test.removeprefix("tests/api/")
        yield f"| `{short}` | {'yes' if found['passed'] else '**no**'} | {found['seconds']:,.0f} | {found['day']} |"
    yield "\n| measured | |\n|---|---|"
    for file in sorted(results.glob("*.json")):
        if file.name != OUTCOMES:
            numbers: Any = read_json(file)
            yield f"| {file.stem} | {listed(numbers)} |"


def listed(numbers: dict[str, Any]) -> str:
    """Names and values; of many times with goals the one nearest to its own, of many counts the sum."""
    goals = {name: value for name, value in numbers.items() if isinstance(value, dict) and "goal_s" in value}
    if len(goals) > MOST_SHOWN:
        nearest = max(goals, key=lambda name: float(goals[name]["p95_s"] / goals[name]["goal_s"]))
        return f"{len(goals)} kinds of request or round, p95; nearest to its goal: {nearest}, {shown(goals[nearest])}"
    return "; ".join(f"{name} {shown(value)}" for name, value in numbers.items())


def shown(value: Any) -> str:
    """A value as the page has it: three digits of a fraction."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if not isinstance(value, dict):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if {"p95_s", "goal_s"} <= set(value):
        return f"{1000 * value['p95_s']:.1f} ms (goal {1000 * value['goal_s']:.0f})"
    if len(value) > MOST_SHOWN and all(isinstance(one, int) for one in value.values()):
        return f"{sum(value.values()):,} over {len(value)}"
    return ", ".join(f"{name} {shown(one)}" for name, one in value.items())


def main() -> int:
    """Run what has not passed yet; 1 when any test has not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only", default="", help="tests whose id has this text")
    parser.add_argument("--again", action="store_true", help="also those that have passed")
    parser.add_argument("--jobs", type=int, default=1, help="tests at once; with more than one their times say little")
    args = parser.parse_args()
    pieces = {test: Piece(target=test, results=args.results) for test in tests() if args.only in test}
    outcomes = drive(pieces, args.results, SOURCES, environment=FULL, again=args.again, jobs=args.jobs)
    put_between(BEGIN, END, table(outcomes, args.results))
    return 0 if all(outcomes[test]["passed"] for test in pieces) else 1


if __name__ == "__main__":
    sys.exit(main())
