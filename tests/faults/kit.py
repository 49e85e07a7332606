"""A cluster of real Ray nodes on this machine, each with eight faked GPUs, and the ways to hurt it.

Nodes are processes of `ray start`, killed as a whole like a machine whose power is cut, with a temporary folder each: in one they
would unpack the job's package over each other, under the feet of those that run in it. A seed is two workers of four GPUs; its
driver runs on the head, which has no GPU.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import requests

from cluster.job_client import RayJobs
from cluster.launch import seed_environment
from cluster.resources import seed_slots
from cluster.seats import Seat, SweepPlan, resume_seats
from cluster.session import OWN_CLUSTER
from cluster.sweep import SweepLoop
from recur.data.dataset import Dataset
from recur.errors import ArtifactError
from recur.record.attempt import AttemptDir
from recur.record.journal import read_events
from recur.record.result import Phase
from recur.seedspec import SeedSpec
from tests.cluster.kit import ROOT, Head, alive, free_ports, ray_head, wait_for
from tests.recipes import tiny_recipe

Found = TypeVar("Found")
GPUS, NODES = 8, 3
RECIPE = (
    "cluster.workers=2",
    "cluster.gpus_per_worker=4",
    "cluster.cpus_per_worker=1",
    "cluster.eval_shards=2",
    "cluster.fanout_cpus=2",
    "train.peak_tflops=1.0",
    "train.log_every=1",
    "train.steps=60",
    "train.val_every=0",
)
PIECE = re.compile(r"ray::(\w+\[seed=|_Worker)")
"""Title of a process that runs a piece of a seed: a task by its name, or an actor that holds GPUs."""


def parents() -> dict[int, int]:
    """Every process and its parent."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                found[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def below(pid: int) -> set[int]:
    """A process and all that descend from it."""
    family, tree = {pid}, parents()
    while more := {child for child, parent in tree.items() if parent in family} - family:
        family |= more
    return family


def kill(pids: set[int]) -> None:
    """SIGKILL, and see them gone."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_for(lambda: not [pid for pid in pids if alive(pid)], 30, every_s=0.05)


def titles() -> dict[int, str]:
    """Command lines of all processes."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


@dataclass(kw_only=True)
class Nodes:
    """The head and its worker nodes."""

    head: Head
    ports: Sequence[int]
    """Of the head, and of the one that takes its place."""
    held: ExitStack
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    made: int = 0

    def add(self) -> None:
        """One more node with eight GPUs; waits until Ray counts it beside the others, and no longer those that died."""
        self.made += 1
        names = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port")
        flags = [f"--{name}={port}" for name, port in zip(names, free_ports(3), strict=True)]
        flags += [f"--address={self.head.gcs}", f"--num-gpus={GPUS}", "--num-cpus=2", "--object-store-memory=100000000"]
        flags += ["--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats", "--block"]
        flags += [f"--temp-dir={self.head.home}/n{self.made}"]  # as another machine would have
        log = self.held.enter_context((self.head.home / f"node{self.made}.log").open("wb"))
        line = [str(Path(sys.executable).with_name("ray")), "start", *flags]
        where = {"env": dict(self.head.environment), "cwd": self.head.home, "start_new_session": True}
        node = subprocess.Popen(line, stdout=log, stderr=log, **where)  # type: ignore[call-overload]
        self.held.callback(self.end, node)
        self.processes.append(node)
        wait_for(lambda: self.alive() == len(self.processes), 90)

    def alive(self) -> int:
        """Nodes with GPUs that Ray counts."""
        try:
            return sum(1 for node in RayJobs(self.head.dashboard).nodes() if node.gpus)
        except requests.RequestException:
            return 0

    def end(self, node: subprocess.Popen[bytes]) -> None:
        """Pull the plug of a node."""
        if node.poll() is None:
            kill(below(node.pid))
        self.bury({node.pid})

    def bury(self, pids: set[int]) -> None:
        """Forget the nodes that are among killed processes; their last threads may still be ending."""
        for node in [node for node in self.processes if node.pid in pids]:
            node.wait(10)
            self.processes.remove(node)

    def replace_head(self) -> None:
        """Pull the plug of everything; a new head has the old one's address, and knows nothing. It has no nodes yet."""
        for node in list(self.processes):
            self.end(node)
        self.head.end()
        self.head = self.held.enter_context(ray_head(cpus=0, ports=self.ports))

    def node_of(self, pid: int) -> subprocess.Popen[bytes] | None:
        """The node that a process belongs to; None when it is gone."""
        return next((node for node in self.processes if pid in below(node.pid)), None)

    def pieces(self) -> dict[int, str]:
        """Processes of these nodes that run a piece of a seed, and what they call themselves."""
        ours = set().union(*(below(node.pid) for node in self.processes))
        return {pid: title for pid, title in titles().items() if pid in ours and PIECE.match(title)}

    def all_alive(self) -> None:
        """Add nodes until there are as many as at first."""
        while len(self.processes) < NODES:
            self.add()


@contextmanager
def cluster(nodes: int = NODES) -> Iterator[Nodes]:
    """A head without GPUs and so many nodes with eight each."""
    with ExitStack() as held:
        ports = free_ports(6)
        made = Nodes(head=held.enter_context(ray_head(cpus=0, ports=ports)), ports=ports, held=held)
        for _ in range(nodes):
            made.add()
        yield made


def seed_spec(out: Path, dataset: Dataset, sweep: str, *overrides: str) -> SeedSpec:
    """The template of a sweep of seeds with two workers of four GPUs."""
    recipe = tiny_recipe(*RECIPE, *overrides)
    return SeedSpec(sweep=sweep, seed=0, attempt=0, recipe=recipe, dataset_root=dataset.root, out=out)


class Run:
    """A sweep on the cluster, driven in this process as jobs/record.py does it.

    Args:
        template: of its seeds.
        seeds: which.
        head: where.
    """

    def __init__(self, template: SeedSpec, seeds: tuple[int, ...], head: Head) -> None:
        environment = seed_environment(ROOT)
        variables = environment["env_vars"]
        assert isinstance(variables, dict)
        variables |= {OWN_CLUSTER: head.gcs, "RAY_ADDRESS": head.gcs, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
        self.plan = SweepPlan(template=template, seeds=seeds, slots=NODES, runtime_env=environment)
        self.jobs = RayJobs(head.dashboard)
        self.loop = self.driven()
        template.sweep_root.mkdir(parents=True, exist_ok=True)

    def driven(self, seats: Sequence[Seat] | None = None) -> SweepLoop:
        """The loop that a driver makes: slots are counted on the cluster."""
        cfg = self.plan.template.recipe.cluster
        return SweepLoop(self.plan, self.jobs, clock=time.time, seats=seats, slots=lambda: seed_slots(cfg, self.jobs.nodes()))

    def resume(self) -> None:
        """Go on with the sweep as a driver that knows only what lies in its folder and what the job system tells."""
        self.loop = self.driven(resume_seats(self.plan, self.jobs))

    def until(self, what: Callable[[], Found | None], seconds: float, *, every_s: float = 0.02) -> Found:
        """Drive the sweep until ``what()`` is true; the loop itself ticks twice a second."""
        end, next_tick = time.monotonic() + seconds, 0.0
        while time.monotonic() < end:
            if time.monotonic() >= next_tick:
                self.loop.tick()
                next_tick = time.monotonic() + 0.5
            if found := what():
                return found
            time.sleep(every_s)
        raise AssertionError(f"not within {seconds:g} s: {[(s.seed, s.attempt, s.state, s.reason) for s in self.loop.seats]}")

    def seat(self, seed: int) -> Seat:
        """Where a seed stands."""
        return next(seat for seat in self.loop.seats if seat.seed == seed)

    def attempt(self, seed: int) -> AttemptDir:
        """Folder of the seed's present attempt."""
        return self.plan.attempt(seed, self.seat(seed).attempt)

    def in_phase(self, seed: int, phase: Phase) -> bool:
        """Whether the present attempt has entered a phase and not left it."""
        attempt = self.attempt(seed)
        try:
            events = read_events(attempt.path("progress.jsonl"))
        except ArtifactError:
            return False
        entered = [str(e.fields["phase"]) for e in events if e.kind == "phase"]
        return bool(entered) and entered[-1] == phase.value

    def driver(self, seed: int) -> set[int]:
        """The process that drives the present attempt."""
        spec = str(self.attempt(seed).path("spec.json"))
        return {pid for pid, line in titles().items() if "jobs/seed.py" in line and spec in line}

    def beat_pid(self, seed: int) -> int | None:
        """The process of the last heartbeat: rank 0 while it trains, the driver afterwards."""
        beat = self.attempt(seed).read_heartbeat()
        pid = beat.get("pid") if beat else None
        return pid if isinstance(pid, int) else None
