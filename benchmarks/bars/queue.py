"""Twelve seeds of two seconds on four nodes through the real queue, store and reconciler; only the job system pretends.

The clock is the wall's: a round of the reconciler every tenth of a second, as long as it takes. Ideal are three waves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from api.store import counts
from api.store.rows import Pool
from benchmarks.harness import Outcome, judged
from recur.record.result import State
from tests.api.reconciler.kit import Bench, on_gpus, quick_folder

SEEDS, NODES, SEED_S, TICK_S = 12, 4, 2.0, 0.1


def makespan_s() -> float:
    """Seconds from the submission to the last result."""
    with quick_folder() as folder:
        bench = Bench(folder, cpu_slots=0)
        bench.stub.turn(nodes=[(f"n{i}", 128.0, 8.0) for i in range(NODES)])
        bench.submit("w", *range(SEEDS), recipe=on_gpus(8), pool=Pool.GPU)
        started, running, begun, most = time.perf_counter(), dict[str, float](), set[str](), 0
        last = started
        while True:
            now = time.perf_counter()
            for job in [job for job in bench.stub.accepted() if job not in begun]:
                bench.stub.start(job)
                bench.stub.beat(job)
                begun.add(job)
                running[job] = now + SEED_S
            most = max(most, len(running))
            for job in [job for job, ends in running.items() if ends <= now]:
                del running[job]
                bench.stub.finish(job)
            bench.tick(now - last)
            last = now
            with bench.store.read() as c:
                if counts.states(c).get(State.SUCCEEDED, 0) == SEEDS:
                    break
            time.sleep(max(0.0, now + TICK_S - time.perf_counter()))
        took = time.perf_counter() - started
        bench.store.close()
    assert most <= NODES, "more seeds than nodes at once"
    assert len(begun) == SEEDS, "a seed ran twice"
    return took


def outcomes() -> Iterator[Outcome]:
    """One bar."""
    took, ideal = makespan_s(), SEEDS / NODES * SEED_S
    yield judged(
        name=f"{SEEDS} seeds of {SEED_S:.0f} s on {NODES} nodes, makespan against the ideal",
        ratio=took / ideal,
        threshold=1.15,
        kind="share",
        agreement="every seed once",
        note=f"{took:.2f} s",
    )
