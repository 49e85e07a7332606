"""All bars of the CPU, or of one GPU: `python -m benchmarks [--gpu] [--only TEXT] [--out FILE.json]`.

Prints a line a bar and writes all of them with the machine's name. Exit code 0: every bar is met; 1: one is missed, or its
results differ; 2: there is no GPU to measure; 3: one was too noisy to tell.
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
from recur import native
from recur.record.environment import cpu_name

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
GPU_MODULES = ("training", "optimizing", "after_training")
MODULES = ("gptq", "pruning", "loader", "brotli", "sliding", "ema", "newton_schulz", "compile_cache", "queue", "service")
HEADER = f"{'bar':58}{'ratio':>8}{'min':>8}{'max':>8}{'spread':>8}  {'threshold':>9}  verdict    agreement"
QUIET = {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


def line(found: Outcome) -> str:
    """A bar on one line."""
    sign = ">=" if found.kind == "times" else "<="
    numbers = f"{found.ratio:8.3g}{found.least:8.3g}{found.most:8.3g}{found.spread_frac:8.1%}"
    note = f" ({found.note})" if found.note else ""
    return f"{found.name:58}{numbers}  {sign} {found.threshold:<6g}  {found.verdict:9}  {found.agreement}{note}"


def one(module: str, *flags: str) -> Iterator[Outcome]:
    """The outcomes of a module, run in a process of its own; its lines are shown as they come."""
    command = [sys.executable, "-m", "benchmarks", "--module", module, *flags]
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
        raise SystemExit(f"the bars of {module} ended with code {process.returncode}")


def outcomes(module: str, *, gpu: bool) -> Iterator[Outcome]:
    """The outcomes of a module, in this process."""
    if not gpu:
        yield from importlib.import_module(f"benchmarks.bars.{module}").outcomes()
        return
    import torch

    from benchmarks.gpu.place import Place

    yield from importlib.import_module(f"benchmarks.gpu.{module}").outcomes(Place(device=torch.device("cuda")))


def gpu_name() -> str:
    """What torch calls the first GPU, "" without one; asked in another process, which leaves the device to the bars'."""
    code = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    """Run the bars that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="modules whose name has this text")
    parser.add_argument("--gpu", action="store_true", help="the bars of one GPU")
    parser.add_argument("--out", type=Path, help="JSON file of all outcomes; default: benchmarks/results/bars_MACHINE.json")
    parser.add_argument("--module", choices=(*MODULES, *GPU_MODULES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.module:
        for outcome in outcomes(args.module, gpu=args.gpu):
            print(json.dumps(asdict(outcome)), flush=True)
        return 0
    modules = GPU_MODULES if args.gpu else MODULES
    chosen = [module for module in modules if args.only in module]
    if not chosen:
        parser.error(f"--only {args.only} names no bar; there are {', '.join(modules)}")
    machine = gpu_name() if args.gpu else "cpu"
    if not machine:
        parser.error("--gpu needs a CUDA device, and torch sees none; run it where there is one")
    print(f"native kernels: {'yes' if native.enable() else 'no, torch alone'}")
    print(HEADER)
    found = [outcome for module in chosen for outcome in one(module, *["--gpu"] * args.gpu)]
    if len(chosen) == len(modules):
        _keep(found, machine, args.out or RESULTS / f"bars_{'_'.join(machine.lower().split())}.json")
    verdicts = {outcome.verdict for outcome in found}
    return 1 if verdicts & {"MISSED", "DISAGREES"} else 3 if "SKIPPED" in verdicts else 0


def _keep(found: list[Outcome], machine: str, out: Path) -> None:
    day = time.strftime("%Y-%m-%d", time.gmtime())
    told: dict[str, Any] = {"machine": machine, "cpu": cpu_name(), "cores": os.cpu_count(), "day": day}
    told["native_kernels"] = native.enable()
    out.write_text(json.dumps({**told, "bars": [asdict(outcome) for outcome in found]}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
