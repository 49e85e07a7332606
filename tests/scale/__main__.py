"""The service at scale, with a job system that only pretends to train and a clock that jumps.

    python -m tests.scale [--seeds N] [--nodes N] [--seconds S] [--tick S] [--out FILE]

Queue, store and reconciler are the real ones (SQLite). Sweeps of ten seeds are submitted at once; a seed takes a node
``--seconds`` +- 2 %. Prints the makespan against the cost model of docs/scaling.md, and what a round of the reconciler costs
here.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import sys
import time
from pathlib import Path

from api.store import counts
from api.store.rows import Pool
from recur.record.atomic import write_json_atomic
from recur.record.result import State
from tests.api.reconciler.kit import Bench, on_gpus, quick_folder

PER_SWEEP = 10
START_S = 3.0
"""From a submission to the running job (RAY: 1.1 to 1.5 s, and the driver's imports)."""
SPREAD = 0.02


def expected_s(seeds: int, nodes: int, seconds: float, tick_s: float) -> float:
    """The cost model: waves of seeds, each a seed long, with a job's start and on average one tick and a half between two."""
    return math.ceil(seeds / nodes) * (seconds + START_S + 1.5 * tick_s)


class Nodes:
    """What the pretended job system does: a job starts some seconds after its submission and ends after its time."""

    def __init__(self, bench: Bench, nodes: int, seconds: float) -> None:
        self.bench, self.seconds, self.rng = bench, seconds, random.Random(1)
        self.waiting: dict[str, float] = {}
        self.running: dict[str, float] = {}
        self.seen = 0
        self.most = 0
        bench.stub.turn(nodes=[(f"n{i}", 128.0, 8.0) for i in range(nodes)])

    def step(self) -> None:
        """Everything that has happened by now."""
        now, accepted = self.bench.now, self.bench.stub.accepted()
        for job in accepted[self.seen :]:
            self.waiting[job] = now + START_S
        self.seen = len(accepted)
        for job in [j for j, at in self.waiting.items() if at <= now]:
            at = self.waiting.pop(job)
            self.bench.stub.start(job)
            self.bench.stub.beat(job)
            self.running[job] = at + self.seconds * self.rng.uniform(1 - SPREAD, 1 + SPREAD)
        for job in [j for j, at in self.running.items() if at <= now]:
            del self.running[job]
            self.bench.stub.finish(job)
        self.most = max(self.most, len(self.waiting) + len(self.running))


def run(seeds: int, nodes: int, seconds: float, tick_s: float) -> dict[str, object]:
    """One simulation; all numbers of it."""
    with quick_folder() as folder:
        bench = Bench(folder, cpu_slots=0)
        world, recipe = Nodes(bench, nodes, seconds), on_gpus(8)
        for first in range(0, seeds, PER_SWEEP):
            some = range(first, min(first + PER_SWEEP, seeds))
            bench.submit(f"w{first // PER_SWEEP:04d}", *some, recipe=recipe, pool=Pool.GPU)
        began, rounds, took = bench.now, 0, list[float]()
        ended_at = began
        while True:
            world.step()
            at = time.perf_counter()
            bench.tick(tick_s)
            took.append(time.perf_counter() - at)
            rounds += 1
            if rounds % 20 == 0 or not world.running:
                with bench.store.read() as c:
                    states = counts.states(c)
                if sum(count for state, count in states.items() if state.terminal) == seeds:
                    break
            if world.running or world.waiting:
                ended_at = bench.now
        assert states[State.SUCCEEDED] == seeds, states
        assert world.most <= nodes, "more seeds than nodes"
        assert len(bench.stub.accepted()) == seeds, "a seed ran twice"
        bench.store.close()
    took.sort()
    model_s, ideal_s, makespan_s = expected_s(seeds, nodes, seconds, tick_s), math.ceil(seeds / nodes) * seconds, ended_at - began
    return {
        "seeds": seeds,
        "nodes": nodes,
        "seed_s": seconds,
        "tick_s": tick_s,
        "makespan_s": round(makespan_s, 1),
        "model_s": round(model_s, 1),
        "makespan_over_model": round(makespan_s / model_s, 4),
        "makespan_over_ideal": round(makespan_s / ideal_s, 4),
        "rounds": rounds,
        "round_p50_ms": round(1000 * took[len(took) // 2], 1),
        "round_p95_ms": round(1000 * took[int(0.95 * len(took))], 1),
        "round_max_ms": round(1000 * took[-1], 1),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> int:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=920.0, help="of a node for one seed")
    parser.add_argument("--tick", type=float, default=5.0, help="seconds between two rounds")
    parser.add_argument("--out", type=Path, help="file for the numbers")
    args = parser.parse_args()
    numbers = run(args.seeds, args.nodes, args.seconds, args.tick)
    print(json.dumps(numbers))
    if args.out is not None:
        write_json_atomic(args.out, numbers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
