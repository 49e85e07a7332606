"""A stage to put sweeps on by hand: rows in the store, and the files that the pages read. Nothing runs here."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

from api.service import Context
from api.service.submit import recipe_tree
from api.store import attempts, sweeps
from api.store.rows import AttemptRow, NewSweep, Pool
from recur.recipe import load_recipe
from recur.record.attempt import AttemptDir
from recur.record.codec import to_json
from recur.record.journal import append_line
from recur.record.known import bytes_per_token_of
from recur.record.result import Phase, Scores, SeedResult, State

CAP = 16_000_000
SECONDS = {"setup": 21.4, "train": 584.3, "calibrate": 9.6, "quantize": 71.2, "fit": 96.5, "evaluate": 312.4, "verify": 148.9}
STEPS = 4550
SCORED_BYTES = 151_074_309


@dataclass(kw_only=True)
class Looked:
    """Stands where the reconciler would: what it last saw of the cluster."""

    health: Any

    def nudge(self) -> None:
        """Nothing runs here."""


def cluster_seen(ctx: Context, *, gpu: int | None = 1, cpu: int | None = 2, degraded: str | None = None) -> None:
    """Let the service know of so many slots, or why it does not."""
    slots = {
        Pool.CPU: SimpleNamespace(slots=cpu, source="seats on this machine", why=None),
        Pool.GPU: SimpleNamespace(slots=gpu, source="nodes with 8 free GPUs, as Ray says", why=None),
    }
    health = {"degraded": degraded, "slots": slots, "preparing": None}
    address = "http://127.0.0.1:8265"
    looked = SimpleNamespace(**health, last_tick_at=ctx.clock(), at=ctx.clock(), dashboard=address, address=address)
    ctx.reconciler = cast(Any, Looked(health=looked))


@dataclass(kw_only=True)
class Stage:
    """Where scenes are played: the service's parts, and the time of the last thing that happened, seconds since 1970."""

    ctx: Context
    now: float

    def sweep(self, name: str, seeds: Sequence[int], *, at: float, **changes: Any) -> str:
        """A submitted sweep; returns its id."""
        profile, overrides = changes.pop("profile", "recur"), changes.pop("overrides", {})
        recipe = load_recipe(profile, [f"{key}={json.dumps(value)}" for key, value in overrides.items()])
        slug = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:24].strip("-")
        new = NewSweep(
            sweep=changes.pop("id", f"{slug}-261124-{hashlib.sha256(name.encode()).hexdigest()[:6]}"),
            name=name,
            profile=profile,
            overrides=overrides,
            recipe=dict(recipe_tree(recipe)),
            seeds=tuple(seeds),
            priority=changes.pop("priority", 0),
            baseline=changes.pop("baseline", None),
            pool=Pool.GPU if recipe.cluster.gpus_per_worker else Pool.CPU,
            created_at=at,
        )
        assert not changes, changes
        with self.ctx.store.write() as c:
            sweeps.create(c, new, ageing_s=3600.0)
        return new.sweep

    def prepare(self, sweep: str, *, at: float, code_bytes: int = 24_939) -> None:
        """Data and spec are ready, with the size of its program."""
        with self.ctx.store.write() as c:
            row = sweeps.get(c, sweep)
            assert row is not None
            recipe = json.loads(json.dumps(row.recipe))
            recipe["artifact"]["code_bytes"] = code_bytes
            sweeps.prepared(c, sweep, fingerprint="78e1494ece50ee87" * 4, dataset_root="/data", note="", recipe=recipe, now=at)

    def move(self, sweep: str, seed: int, to: State, *, at: float, **changes: Any) -> AttemptRow:
        """One change of a seed's state."""
        with self.ctx.store.write() as c:
            moved = attempts.move(c, self._row(sweep, seed), to, now=at, **changes)
        assert moved is not None
        return moved

    def run(self, sweep: str, seed: int, *, at: float) -> AttemptRow:
        """Let a seed be admitted, submitted and running."""
        self.move(sweep, seed, State.SUBMITTING, at=at)
        self.move(sweep, seed, State.SUBMITTED, at=at + 1.5)
        return self.move(sweep, seed, State.RUNNING, at=at + 6)

    def beat(self, sweep: str, seed: int, phase: str, *, at: float, **progress: Any) -> None:
        """A sign of life."""
        with self.ctx.store.write() as c:
            beat = {"phase": phase, "at": at, **progress}
            attempts.beat(c, self._row(sweep, seed), phase=phase, progress=beat, now=at, say=True)

    def succeed(self, sweep: str, result: SeedResult, gates: list[dict[str, Any]], *, at: float) -> None:
        """Let a running seed end with this result."""
        changes = {"result": to_json(result), "gates": gates, "reason": result.error}
        self.move(sweep, result.seed, result.state, at=at, **changes)

    def cancel(self, sweep: str, *, at: float) -> None:
        """Ask for the end of a sweep."""
        with self.ctx.store.write() as c:
            sweeps.cancel_asked(c, sweep, now=at)

    def report(self, sweep: str, *, at: float, record_path: str | None = None, warning: str | None = None) -> None:
        """The report is written."""
        with self.ctx.store.write() as c:
            row = sweeps.get(c, sweep)
            assert row is not None
            sweeps.reported(c, row, record_path=record_path, warning=warning, now=at)

    def folder(self, sweep: str, seed: int, attempt: int = 1) -> AttemptDir:
        """An attempt's folder, made."""
        return AttemptDir(self.ctx.folder(sweep), seed, attempt).create()

    def _row(self, sweep: str, seed: int) -> AttemptRow:
        with self.ctx.store.read() as c:
            return next(row for row in attempts.current(c, sweep) if row.seed == seed)


def result(seed: int, bpb: float, total_bytes: int, **changes: Any) -> SeedResult:
    """A finished seed of the record's size."""
    scores = Scores(last_step=bpb + 0.0071, trained=bpb + 0.0068, roundtrip=bpb + 0.0152, sliding=bpb)
    cut = bytes_per_token_of("fineweb_4096_bpe") or 1.0
    losses = {name: v * math.log(2) * cut for name, v in to_json(scores).items()}
    found = SeedResult(
        seed=seed,
        state=State.SUCCEEDED,
        attempt=1,
        steps=STEPS - seed % 7,
        tokens_per_s=6.08e6 + 1000 * (seed % 13),
        mfu=0.418 + 0.0001 * (seed % 9),
        mfu_peak_tflops=989.4,
        val_bpb=scores,
        val_loss=Scores(**losses),
        scored_tokens=round(SCORED_BYTES / cut),
        scored_bytes=SCORED_BYTES,
        model_bytes=total_bytes - 24_939,
        model_sha256="bffa3a63e3017db7" * 4,
        code_bytes=24_939,
        code_bytes_source="bundle",
        total_bytes=total_bytes,
        cap_bytes=CAP,
        slack_bytes=CAP - total_bytes,
        seconds={name: value * (1 + 0.004 * (seed % 5 - 2)) for name, value in SECONDS.items()},
    )
    return replace(found, **changes)


def gates(found: SeedResult, *, track: bool = True) -> list[dict[str, Any]]:
    """The gates of a seed as its gates.json has them."""
    total, cap = found.total_bytes or 0, found.cap_bytes or 0
    clock = True if track else None
    why = "" if track else "the limit is for 8 x H100; this ran on 2 x cpu"
    seconds = found.seconds or {}
    fits = total <= cap
    over = f"total_bytes={total} must be at most {cap}"
    train, evaluated = round(seconds.get("train", 0) + seconds.get("calibrate", 0), 3), round(seconds.get("evaluate", 0), 3)
    audit = "audit of the training processes, record_train.json"
    rows = [
        (
            "total bytes",
            total,
            cap,
            fits,
            f"{cap - total:,} bytes below the cap" if fits else over,
            "size of the artifact's file",
        ),
        ("training clock, s", train, 600.0, clock, why, "train.json data_read_s"),
        ("trainings in the attempt", 1, 1, True, "", "progress.jsonl"),
        ("warm-up undone", "34ab55bfbdb1e1fe", "equal hashes", True, "state hash before = after", "train.json"),
        ("validation files opened by training", 0, 0, True, "8 openings for logged validation", audit),
        ("code bytes", found.code_bytes, found.code_bytes, True, "", "the one-file program, generated again"),
        ("evaluation clock, s", evaluated, 600.0, clock, why, "clock.json eval_s"),
        ("scored targets", found.scored_tokens, found.scored_tokens, True, "", "intervals.jsonl"),
        ("re-read and re-scored, BPB", 0.0, 1e-06, True, "", "record_verify.json"),
        ("scored bytes", found.scored_bytes, found.scored_bytes, True, "", "decoded targets"),
        ("fingerprint", "78e1494ece50ee87", "78e1494ece50ee87", True, "", "recipe, data and source, hashed by the attempt"),
    ]
    verdicts = {True: "pass", False: "fail", None: "n/a"}
    names = ("name", "value", "limit", "verdict", "why", "source")
    return [dict(zip(names, (*row[:3], verdicts[row[3]], *row[4:]), strict=True)) for row in rows]


def training_log(
    folder: AttemptDir, *, start: float, steps: int, upto: int, seed: int, first_loss: float = 9.01, last_loss: float = 2.49
) -> float:
    """Write progress.jsonl and job.log of a training up to step ``upto``; returns when that was.

    Args:
        folder: the attempt's.
        start: seconds since 1970.
        steps: of the recipe.
        upto: the last one taken.
        seed: of the noise.
        first_loss, last_loss: nats per token.
    """
    path, noise, step_s = folder.path("progress.jsonl"), random.Random(seed), SECONDS["train"] / steps
    append_line(path, "phase", {"phase": "setup"}, at=start)
    began = start + SECONDS["setup"]
    append_line(path, "phase", {"phase": "train"}, at=began)
    append_line(path, "val", {"step": 0, "val_loss": first_loss, "val_bpb": first_loss / 2.301}, at=began)
    every, lines = max(steps // 180, 1), []
    at = began
    for step in [*range(1, 6), *range(every, upto + 1, every)]:
        fall = math.exp(-9 * step / steps) * 0.72 + 0.28 * (1 - step / steps) ** 1.3
        loss = last_loss + (first_loss - last_loss) * fall * (0.62 if step > 5 else 1) + noise.gauss(0, 0.012)
        rate = 6.1e6 * (1 - 0.35 * math.exp(-step / 40)) * (0.985 if step > 2000 else 1) + noise.gauss(0, 9e3)
        at = began + step * step_s
        append_line(
            path, "step", {"step": step, "steps": steps, "loss": loss, "train_s": step * step_s, "tokens_per_s": rate}, at=at
        )
        if step % (every * 40) == 0:
            append_line(path, "val", {"step": step, "val_loss": loss + 0.004, "val_bpb": (loss + 0.004) / 2.301}, at=at)
        if step == every * round(0.44 * steps / every):
            append_line(path, "recurrence", {"step": step, "virtual_layers": "0,1,2,3,4,5,3,4,5,6,7"}, at=at)
        lines.append(f"{step}/{steps} train_loss: {loss:.4f} train_time: {step * step_s / 60:.1f}m tok/s: {rate:.0f}")
    folder.path("job.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return at


def verified(folder: AttemptDir) -> None:
    """Leave the environment that a verification records."""
    packages = {"torch": "2.13.0", "numpy": "2.4.1", "ray": "2.60.0", "brotli": "1.2.0", "constriction": "0.4.2"}
    found = {
        "python": "3.11.7",
        "torch": "2.13.0+cu130",
        "platform": "Linux-6.18-x86_64-with-glibc2.36",
        "cpu": "AMD EPYC 9654",
        "cores": 192,
        "gpu": "NVIDIA H100 80GB HBM3",
        "gpus": 8,
        "cuda": "13.0",
        "packages": packages,
    }
    folder.write_record(Phase.VERIFY, {"environment": found})
