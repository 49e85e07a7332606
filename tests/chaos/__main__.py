"""Sweeps on three nodes of eight faked GPUs, and faults at random until the time is over.

    python -m tests.chaos [--minutes N] [--seed S] [--out FILE]

A fault kills a training process, a piece of work, a driver, a whole node, the head with all nodes, or whoever drives the
sweep (another one then goes on with it). After each sweep the promises are checked: every seed ends, with a reason where it
did not succeed, which is never that the program failed; no seed has two results; one that failed because its retries were spent
succeeds when it is asked for again; every artifact is the one of a run that nobody disturbed. Ends with one line of JSON, and
with code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from recur.data.corpus import prepare
from recur.record.atomic import write_json_atomic
from recur.record.attempt import artifact_path, read_seed_result
from recur.record.result import State
from recur.seedspec import SeedSpec
from tests.faults.kit import Nodes, Run, cluster, kill, seed_spec
from tests.recipes import tiny_recipe

SEEDS = (1, 2)
FAULTS = ("worker", "worker", "piece", "driver", "node", "head", "sweep")
LONGEST_S = 900.0
NEVER_AGAIN = "would fail the same way"
"""In the reason of what is not tried again because it would come again (`cluster.failure`)."""


class Chaos:
    """The sweeps of one run, what was done to them, and what came out."""

    def __init__(self, nodes: Nodes, out: Path, template: SeedSpec, seed: int) -> None:
        self.nodes, self.out, self.template, self.rng = nodes, out, template, random.Random(seed)
        self.done: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.broken: list[str] = []
        self.whole: dict[int, bytes] = {}

    def begin(self) -> None:
        """The artifacts of seeds that nobody disturbs."""
        run = Run(replace(self.template, sweep="whole"), SEEDS, self.nodes.head)
        run.until(lambda: run.loop.done, LONGEST_S)
        for seed in SEEDS:
            self.whole[seed] = self._artifact(run, seed)
            assert self.whole[seed], run.seat(seed).reason

    def sweep(self, number: int) -> None:
        """One sweep with up to three faults, and its promises."""
        self.nodes.all_alive()
        self.run = run = Run(replace(self.template, sweep=f"chaos-{number}"), SEEDS, self.nodes.head)
        for _ in range(self.rng.randint(1, 3)):
            pause = time.monotonic() + self.rng.uniform(2.0, 30.0)
            run.until(lambda at=pause: run.loop.done or time.monotonic() > at, LONGEST_S)  # type: ignore[misc]
            if run.loop.done:
                break
            self._hurt(run)
        run.until(lambda: run.loop.done, LONGEST_S)
        self._settle(run)
        self._check(run)

    def give_up(self, error: AssertionError) -> bool:
        """Note a sweep that did not end, and end its jobs, which would disturb the next one; whether that could be done."""
        self.broken.append(f"{self.run.plan.sweep}: {error}")
        self.run.loop.cancel()
        try:
            self.run.until(lambda: self.run.loop.done, LONGEST_S)
        except AssertionError as left:
            self.broken.append(f"{self.run.plan.sweep} could not be ended: {left}")
            return False
        return True

    def _hurt(self, run: Run) -> None:
        what = self.rng.choice(FAULTS)
        seed = self.rng.choice([seat.seed for seat in run.loop.seats if not seat.state.terminal])
        pid, pieces = run.beat_pid(seed), sorted(self.nodes.pieces())
        if what == "worker" and pid is not None:
            kill({pid})
        elif what == "piece" and pieces:
            kill({self.rng.choice(pieces)})
        elif what == "driver" and run.driver(seed):
            kill(run.driver(seed))
        elif what == "node" and len(self.nodes.processes) > 1:
            self.nodes.end(self.rng.choice(self.nodes.processes))
        elif what == "head":
            self.nodes.replace_head()
            self.nodes.all_alive()
        elif what == "sweep":
            run.resume()
        else:
            what = "nothing there"
        self.done[what] += 1
        print(f"{time.strftime('%T')} {run.plan.sweep}: {what} (seed {seed}, {run.seat(seed).state})", flush=True)

    def _settle(self, run: Run) -> None:
        """Ask again for what failed because its retries were spent."""
        for seat in run.loop.seats:
            self.ends[seat.state.value] += 1
            if seat.state is not State.SUCCEEDED and not seat.reason:
                self.broken.append(f"{run.plan.sweep} seed {seat.seed} is {seat.state} without a reason")
            if NEVER_AGAIN in (seat.reason or ""):
                self.broken.append(f"{run.plan.sweep} seed {seat.seed}: a fault was taken for the program's: {seat.reason}")
        if all(seat.state is State.SUCCEEDED for seat in run.loop.seats):
            return
        self.nodes.all_alive()
        run.resume()
        run.until(lambda: run.loop.done, LONGEST_S)
        for seat in run.loop.seats:
            if seat.state is not State.SUCCEEDED:
                self.broken.append(f"{run.plan.sweep} seed {seat.seed} is {seat.state} when asked for again: {seat.reason}")

    def _check(self, run: Run) -> None:
        for seat in (one for one in run.loop.seats if one.state is State.SUCCEEDED):
            results = [n for n in range(1, seat.attempt + 1) if run.plan.attempt(seat.seed, n).path("result.json").exists()]
            if len(results) != 1:
                self.broken.append(f"{run.plan.sweep} seed {seat.seed} has {len(results)} results")
            if self._artifact(run, seat.seed) != self.whole[seat.seed]:
                self.broken.append(f"{run.plan.sweep} seed {seat.seed} has another artifact")

    @staticmethod
    def _artifact(run: Run, seed: int) -> bytes:
        result, path = read_seed_result(run.plan.root, seed), artifact_path(run.plan.root, seed)
        return path.read_bytes() if result is not None and path is not None else b""


def main() -> int:
    """Run for so many minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file for the summary")
    args = parser.parse_args()
    recipe = tiny_recipe()
    with tempfile.TemporaryDirectory(prefix="rc", dir="/tmp") as held, cluster() as nodes:
        out = Path(held)
        data = prepare(recipe.data, recipe.model.vocab_size, out_root=out / "data", train_seq_len=recipe.model.train_seq_len)
        chaos = Chaos(nodes, out, seed_spec(out / "out", data, "chaos"), args.seed)
        chaos.begin()
        began, sweeps = time.monotonic(), 0
        while time.monotonic() - began < 60 * args.minutes:
            sweeps += 1
            try:
                chaos.sweep(sweeps)
            except AssertionError as error:
                if not chaos.give_up(error):
                    break
        summary = {
            "minutes": round((time.monotonic() - began) / 60, 1),
            "seed": args.seed,
            "sweeps": sweeps,
            "seeds": sweeps * len(SEEDS),
            "faults": dict(chaos.done),
            "ends": dict(chaos.ends),
            "broken": chaos.broken,
        }
    print(json.dumps(summary))
    if args.out is not None:
        write_json_atomic(args.out, summary)
    return 1 if chaos.broken else 0


if __name__ == "__main__":
    sys.exit(main())
