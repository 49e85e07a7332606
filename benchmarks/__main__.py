"""All bars of the CPU: `make bench`, or `python -m benchmarks [--only TEXT] [--out FILE.json]`.

Prints a line a bar and writes all of them with the machine's name. Exit code 0: every bar is met; 1: one is missed, or its
results differ; 3: one was too noisy to tell.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness import Outcome
from recur.record.environment import cpu_name

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "bars_cpu.json"
MODULES = ("gptq", "pruning", "loader", "brotli", "sliding", "ema", "newton_schulz", "compile_cache", "queue", "service")
HEADER = f"{'bar':58}{'ratio':>8}{'min':>8}{'max':>8}{'spread':>8}  {'threshold':>9}  verdict    agreement"
QUIET = {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


def line(found: Outcome) -> str:
    """A bar on one line."""
    sign = ">=" if found.kind == "times" else "<="
    numbers = f"{found.ratio:8.3g}{found.least:8.3g}{found.most:8.3g}{found.spread_frac:8.1%}"
    note = f" ({found.note})" if found.note else ""
    return f"{found.name:58}{numbers}  {sign} {found.threshold:<6g}  {found.verdict:9}  {found.agreement}{note}"


def one(module: str) -> Iterator[Outcome]:
    """The outcomes of a module, run in a process of its own; its lines are shown as they come."""
    command = [sys.executable, "-m", "benchmarks", "--module", module]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **QUIET}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for text in process.stdout:
            if text.startswith("{"):
                found = Outcome(**json.loads(text))
                print(line(found), flush=True)
                yield found
            else:
                print(text, end="", flush=True)
    if process.returncode:
        raise SystemExit(f"benchmarks.bars.{module} ended with code {process.returncode}")


def main() -> int:
    """Run the bars that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="modules whose name has this text")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file of all outcomes")
    parser.add_argument("--module", choices=MODULES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.module:
        for found in importlib.import_module(f"benchmarks.bars.{args.module}").outcomes():
            print(json.dumps(asdict(found)), flush=True)
        return 0
    print(HEADER)
    chosen = [module for module in MODULES if args.only in module]
    if not chosen:
        parser.error(f"--only {args.only} names no bar; there are {', '.join(MODULES)}")
    found = [outcome for module in chosen for outcome in one(module)]
    if len(chosen) == len(MODULES):
        _keep(found, args.out)
    verdicts = {outcome.verdict for outcome in found}
    return 1 if verdicts & {"MISSED", "DISAGREES"} else 3 if "SKIPPED" in verdicts else 0


def _keep(found: list[Outcome], out: Path) -> None:
    told: dict[str, Any] = {"cpu": cpu_name(), "cores": os.cpu_count(), "day": time.strftime("%Y-%m-%d", time.gmtime())}
    out.write_text(json.dumps({**told, "bars": [asdict(outcome) for outcome in found]}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
