"""``python -m tests.conformance DIR``: run every group of reference vectors in DIR against the product.

A line per group: cases, worst error, its tolerance, ok | FAIL | SKIP | UNKNOWN. Groups are dispatched by their number, so
another set of the same format (other dims, a second manifest ``02b``) is checked by the same code. Exit code 1 on FAIL,
and on SKIP or UNKNOWN unless ``--allow-missing``.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

import tests.conformance as package
from tests.conformance.base import Case, Context, Skip, Vectors, load_vectors
from tests.conformance.configs import fast_paths


@dataclass(frozen=True, kw_only=True)
class Line:
    """Outcome of one group."""

    group: str
    status: str
    cases: int
    worst: Case | None
    note: str

    def text(self) -> str:
        error = f"{self.worst.error:.3g}" if self.worst else "-"
        tolerance = f"{self.worst.tolerance:.3g}" if self.worst else "-"
        worst = f"worst {error:>9s}  tolerance {tolerance:>9s}"
        return f"{self.group:28s} {self.cases:6d} cases  {worst}  {self.status:7s} {self.note}"


def checkers() -> dict[str, ModuleType]:
    """Group number to the module that checks it."""
    found = (re.fullmatch(r"g(\d+)_\w+", m.name) for m in pkgutil.iter_modules(package.__path__))
    return {m.group(1): importlib.import_module(f"tests.conformance.{m.group(0)}") for m in found if m}


def check_group(json_file: Path, context: Context) -> Line:
    """Check one group; never raises."""
    stem = json_file.name.removesuffix(".json")
    number = re.match(r"\d+", stem)
    module = checkers().get(number.group(0).zfill(2)) if number else None
    if module is None:
        return Line(group=stem, status="UNKNOWN", cases=0, worst=None, note="no checker for this group number")
    vectors: Vectors = load_vectors(json_file)
    started = time.perf_counter()
    try:
        cases: list[Case] = module.check(vectors, context)
    except Skip as reason:
        return Line(group=stem, status="SKIP", cases=0, worst=None, note=str(reason))
    except Exception as error:  # noqa: BLE001 - a group that breaks is a FAIL line, and the others still run
        traceback.print_exc()
        return Line(group=stem, status="FAIL", cases=0, worst=None, note=f"{type(error).__name__}: {error}")
    worst = max(cases, key=lambda case: (case.ratio, case.error), default=None)
    failed = [case for case in cases if case.ratio > 1]
    status = "FAIL" if failed or not cases else "ok"
    names = ", ".join(case.name for case in failed[:4])
    note = f"{len(failed)} failed: {names}" if failed else f"({time.perf_counter() - started:.1f} s)"
    return Line(group=stem, status=status, cases=len(cases), worst=worst, note=note)


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, print a line per group, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--tokenizers", type=Path)
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--allow-missing", action="store_true")
    parser.add_argument("--fast", action="store_true", help="with every fast path of the recipe switched on")
    args = parser.parse_args(argv)
    files = sorted(args.folder.glob("[0-9]*.json"))
    if not files:
        print(f"error: {args.folder} holds no group (NN_name.json); give the folder of the vectors", file=sys.stderr)
        return 2
    torch.set_num_threads(1)  # beside the gate's tests a second thread is mostly waited for
    context = Context(tokenizers=args.tokenizers, docs=args.docs)
    lines: list[Line] = []
    for file in files:
        with fast_paths(args.fast):
            lines.append(check_group(file, context))
        print(lines[-1].text(), flush=True)
    bad = {"FAIL"} if args.allow_missing else {"FAIL", "SKIP", "UNKNOWN"}
    return int(any(line.status in bad for line in lines))


if __name__ == "__main__":
    sys.exit(main())
