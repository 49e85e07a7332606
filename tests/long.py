"""What the long suites share: tests in processes of their own, outcomes kept as soon as they are known, none run in vain."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recur.record.atomic import read_json, write_json_atomic

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
TIMEOUT_S = 4 * 3600
OUTCOMES, FAILURES = "outcomes.json", "failures.log"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What is run at once: pytest's argument, a file or one test, and where its numbers go."""

    target: str
    results: Path

    @property
    def passed(self) -> Path | None:
        """Where a file keeps which of its tests have passed; one test needs nothing."""
        return self.results / f"passed_{Path(self.target).stem}.json" if self.target.endswith(".py") else None


def source(folders: Sequence[str]) -> str:
    """Hash of what the outcomes depend on."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def put_between(begin: str, end: str, lines: Iterable[str]) -> None:
    """Put a table between two marks of docs/reliability.md."""
    head, rest = PAGE.read_text(encoding="utf-8").split(begin)
    PAGE.write_text("\n".join([head + begin, *lines, end + rest.split(end)[1]]), encoding="utf-8")


def kept(results: Path) -> dict[str, Any]:
    """What earlier runs left: outcome by name."""
    file = results / OUTCOMES
    found: Any = read_json(file) if file.exists() else {}
    return dict(found)


def run(piece: Piece, here: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """One piece in a process of its own; when it fails, the end of what it printed is shown, and all of it kept.

    The seconds are those of the process that ended it: what passed before an interruption is not run again.
    """
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", piece.target, "-q", "-o", f"timeout={TIMEOUT_S}", "-p", "no:cacheprovider"]
    variables = {**os.environ, **environment, "RECUR_RESULTS": str(piece.results)}
    if piece.passed is not None:
        command += ["-p", "tests.passed"]
        variables |= {"RECUR_PASSED": str(piece.passed), "RECUR_SOURCE": here}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-4000:])
        piece.results.mkdir(parents=True, exist_ok=True)
        with (piece.results / FAILURES).open("a", encoding="utf-8") as file:
            file.write(f"{piece.target}\n{done.stdout}\n{done.stderr}\n")
    elif piece.passed is not None:
        piece.passed.unlink(missing_ok=True)
    seconds, day = round(time.monotonic() - began, 1), time.strftime("%Y-%m-%d", time.gmtime())
    return {"passed": done.returncode == 0, "seconds": seconds, "source": here, "day": day}


def drive(
    pieces: Mapping[str, Piece],
    results: Path,
    folders: Sequence[str],
    *,
    environment: Mapping[str, str],
    again: bool = False,
    jobs: int = 1,
) -> dict[str, Any]:
    """Run what has not passed with this source; all outcomes, also of what was not asked for.

    Args:
        pieces: by name.
        results: folder of the outcomes.
        folders: whose source the outcomes depend on.
        environment: of the tests.
        again: also what has passed.
        jobs: pieces at once.
    """
    outcomes, here = kept(results), source(folders)
    passed = {name for name, one in outcomes.items() if one["passed"] and one["source"] == here}
    with ThreadPoolExecutor(jobs) as pool:
        due = {name: piece for name, piece in pieces.items() if again or name not in passed}
        running = {pool.submit(run, piece, here, environment): name for name, piece in due.items()}
        try:
            for done in as_completed(running):
                name, found = running[done], done.result()
                outcomes[name] = found
                write_json_atomic(results / OUTCOMES, outcomes)
                print(f"{'passed' if found['passed'] else 'FAILED'} {found['seconds']:8.1f} s  {name}", flush=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C: what has not begun does not begin
    return outcomes
