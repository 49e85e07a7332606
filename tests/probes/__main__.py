"""``python -m tests.probes --seeds 100``: how often each planted violation is caught, and each honest evaluation blamed.

A line each: caught or blamed k of n, and whether that is all or none. Exit code 1 unless all planted ones are always caught
and no honest one is ever blamed. With ``--docs FILE`` also tokenizers of your own: ``--lossy-model``, one that loses text, and
``--sound-model``, one that does not.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch

from tests.probes import models, texts
from tests.probes.line import Line


def lines(lossy: Path | None, sound: Path | None, docs: Path | None) -> list[Line]:
    """All lines; those of files where they are given."""
    given = [(path, planted) for path, planted in ((lossy, True), (sound, False)) if path and docs]
    return [*models.LINES, *texts.LINES, *(texts.file_line(p, docs, planted=planted) for p, planted in given if docs)]


def one_thread() -> None:
    """Models this small are slower with more."""
    torch.set_num_threads(1)


def alarm(line: Line, seed: int) -> bool:
    """Whether the line raises the alarm at ``seed``; at module level, so that it can be sent to a process."""
    return line.alarm(seed)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, print a line per violation and per honest evaluation, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.probes", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="lines whose name contains this")
    parser.add_argument("--lossy-model", type=Path)
    parser.add_argument("--sound-model", type=Path)
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args(argv)
    if (args.lossy_model or args.sound_model) and not args.docs:
        parser.error("--lossy-model and --sound-model need --docs FILE.jsonl[.gz], the text to try them on")
    chosen = [line for line in lines(args.lossy_model, args.sound_model, args.docs) if args.only in line.name]
    if not chosen:
        parser.error(f"--only {args.only!r} is in the name of no line")
    started, wrong = time.perf_counter(), 0
    with ProcessPoolExecutor(args.jobs, initializer=one_thread) as pool:
        for line in chosen:
            alarms = list(pool.map(partial(alarm, line), range(args.seeds)))
            missed = [seed for seed, raised in enumerate(alarms) if raised != line.planted]
            wrong += bool(missed)
            what = "caught" if line.planted else "blamed"
            note = f"FAIL at seeds {missed[:8]}" if missed else "ok"
            print(f"{line.name:55s} {what} {sum(alarms):3d} of {args.seeds}  {note}", flush=True)
    print(f"{wrong} lines failed, {time.perf_counter() - started:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
