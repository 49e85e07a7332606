"""The service's suite at full volume, each test in a process of its own: `make test-service-long`.

    python -m tests.api.long [--results FOLDER] [--only TEXT] [--again] [--jobs N]

Each test's outcome and numbers are kept in the results folder as soon as it has ended; a run that was interrupted goes on
there, for a test that has passed with the same source is not run again. Then docs/reliability.md gets its tables from what
is there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from recur.record.atomic import read_json, write_json_atomic

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "service"
PAGE = ROOT / "docs" / "reliability.md"
SOURCES = ("api", "cluster", "tests/api")
BEGIN, END = "<!-- long:begin -->", "<!-- long:end -->"
TIMEOUT_S = 4 * 3600


def source() -> str:
    """Hash of what the outcome depends on."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def tests() -> list[str]:
    """Every test of the suite, by its id."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-m", "service", "--collect-only", "-q", "tests/api"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = [line for line in told.splitlines() if "::" in line]
    assert found, told
    return found


def kept(results: Path) -> dict[str, Any]:
    """What earlier runs left: outcome by test."""
    file = results / "outcomes.json"
    found: Any = read_json(file) if file.exists() else {}
    return dict(found)


def run(test: str, results: Path) -> dict[str, Any]:
    """One test at full volume; its numbers go to the results folder."""
    environment = {**os.environ, "RECUR_VOLUME": "long", "RECUR_RESULTS": str(results), "RECUR_REQUIRE_POSTGRES": "1"}
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", test, "-q", "-o", f"timeout={TIMEOUT_S}", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-4000:])
    return {
        "passed": done.returncode == 0,
        "seconds": round(time.monotonic() - began, 1),
        "source": source(),
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def table(outcomes: dict[str, Any], results: Path) -> Iterator[str]:
    """The page's lines: every test's outcome, then every number that was measured."""
    yield "| test | passed | seconds | day |\n|---|---|---|---|"
    for test, found in sorted(outcomes.items()):
        short = test.removeprefix("tests/api/")
        yield f"| `{short}` | {'yes' if found['passed'] else '**no**'} | {found['seconds']:,.0f} | {found['day']} |"
    yield "\n| measured | |\n|---|---|"
    for file in sorted(results.glob("*.json")):
        if file.name != "outcomes.json":
            numbers: Any = read_json(file)
            yield f"| {file.stem} | {', '.join(f'{name} {value}' for name, value in numbers.items())} |"


def write_page(outcomes: dict[str, Any], results: Path) -> None:
    """Put the tables between the page's marks."""
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text("\n".join([head + BEGIN, *table(outcomes, results), END + tail]), encoding="utf-8")


def main() -> int:
    """Run what has not passed yet; 1 when any test has not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only", default="", help="tests whose id has this text")
    parser.add_argument("--again", action="store_true", help="also those that have passed")
    parser.add_argument("--jobs", type=int, default=1, help="tests at once; with more than one their times say little")
    args = parser.parse_args()
    outcomes, here = kept(args.results), source()
    chosen = [test for test in tests() if args.only in test]
    due = [test for test in chosen if args.again or not _passed(outcomes.get(test), here)]
    with ThreadPoolExecutor(args.jobs) as pool:
        running = {pool.submit(run, test, args.results): test for test in due}
        for done in as_completed(running):
            test = running[done]
            outcomes[test] = done.result()
            write_json_atomic(args.results / "outcomes.json", outcomes)
            print(f"{'passed' if outcomes[test]['passed'] else 'FAILED'} {outcomes[test]['seconds']:8.1f} s  {test}", flush=True)
    write_page(outcomes, args.results)
    return 0 if all(outcomes[test]["passed"] for test in chosen) else 1


def _passed(before: dict[str, Any] | None, source: str) -> bool:
    return before is not None and before["passed"] and before["source"] == source


if __name__ == "__main__":
    sys.exit(main())
