"""The phases of one seed over its attempt folder: each reads the phase before from files and leaves its own.

A phase that has its record is not run again, so an attempt that adopted finished phases starts at the first open one.
Source: ARCHITECTURE (attempts and clocks, the way the data goes); RULES B2 (bytes, clocks).
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from recur.artifact.reference import save_artifact
from recur.components import component
from recur.data.dataset import load_dataset
from recur.errors import ArtifactError, RecipeError, StorageError
from recur.evaluate.bpb import Score
from recur.pipeline.backend import Backend
from recur.pipeline.evidence import evidence, phase_fields
from recur.pipeline.inspecting import DataItem, inspect_data, recounted_code_bytes
from recur.pipeline.probing import probe_item
from recur.pipeline.result import seed_result
from recur.pipeline.scoring import (
    ARTIFACT_FILE,
    EvalItem,
    Source,
    StageScore,
    merge_stage,
    score_item,
    score_probe,
    shares,
)
from recur.pipeline.training import discard_checkpoints
from recur.pipeline.work import Work
from recur.recipe import fingerprint
from recur.record.atomic import sha256_of, write_json_atomic
from recur.record.attempt import Heartbeat
from recur.record.codec import to_json
from recur.record.environment import environment
from recur.record.journal import read_events
from recur.record.result import Phase, SeedResult
from recur.record.rules.seed import seed_gates
from recur.seedspec import SPEC_FILE, SeedSpec, load_spec, save_spec
from recur.train.checkpoint import load_summary, load_trained, payloads

T = TypeVar("T")
R = TypeVar("R")

RESULT_FILE = "result.json"
GATES_FILE = "gates.json"
"""Every gate of `recur.record.rules.seed` with its verdict, from the attempt's records alone."""


def run_seed(spec: SeedSpec, backend: Backend) -> SeedResult:
    """Take one attempt from its first open phase to its result, which is written to the attempt's result.json.

    Args:
        spec: what to run and where.
        backend: where training runs and items are mapped to.

    Returns:
        The result: SUCCEEDED, or INVALID with the gate that failed.

    Raises:
        InputError: the user's to mend (data, recipe, placement, disk).
        RecurError: the run failed.
    """
    return SeedRun(spec, backend).run()


class SeedRun:
    """One attempt; every method named like a phase runs it."""

    def __init__(self, spec: SeedSpec, backend: Backend) -> None:
        self.spec, self.recipe, self.backend = spec, spec.recipe, backend
        self.attempt = spec.attempt_dir.create()
        self.folder = self.attempt.folder
        self._beats: Heartbeat | None = None
        begun = self.attempt.path(SPEC_FILE)
        if not begun.exists():
            save_spec(begun, spec)
        elif load_spec(begun) != spec:
            raise RecipeError(str(self.folder), "was begun with another recipe, data or code", "give the sweep another name")

    def run(self) -> SeedResult:
        """Every open phase in order, then the result."""
        self._train()
        with Heartbeat(self.attempt) as beats:
            self._beats = beats
            beats.update(host=socket.gethostname())
            work: dict[Phase, Callable[[], None]] = {
                Phase.QUANTIZE: self._quantize,
                Phase.FIT: self._fit,
                Phase.EVALUATE: self._evaluate,
                Phase.VERIFY: self._verify,
            }
            for phase, do in work.items():
                if self._reachable and not self.attempt.finished(phase):
                    self._enter(phase)
                    do()
            gates = seed_gates(evidence(self.spec, self.attempt))
            result = seed_result(self.spec, self.attempt, gates)
            write_json_atomic(self.attempt.path(GATES_FILE), to_json(gates))
            write_json_atomic(self.attempt.path(RESULT_FILE), to_json(result))
        return result

    @property
    def _reachable(self) -> bool:
        """False once the fit has found that the cap cannot be reached: then there is nothing to score."""
        return not self.attempt.finished(Phase.FIT) or self.attempt.path(ARTIFACT_FILE).exists()

    def _enter(self, phase: Phase) -> None:
        self._started = time.time()
        self.attempt.append_event("phase", {"phase": phase.value})
        if self._beats is not None:
            self._beats.beat(phase=phase.value, done=0, total=0)

    def _train(self) -> None:
        """Train and calibrate are one unit: either both leave their record or none counts."""
        if not self.attempt.finished(Phase.TRAIN):
            placement = self.backend.train(self.spec, self.attempt)
            summary = load_summary(self.folder)
            placement |= {"note": self.spec.note} if self.spec.note else {}
            self._stamp_training(summary.train_s, summary.data_read_s)
            fields = {"placement": placement, "summary": to_json(summary)}
            self.attempt.write_record(Phase.TRAIN, fields, payloads(self.folder))
        if not self.attempt.finished(Phase.CALIBRATE):
            trained = load_trained(self.folder)
            fields = {"batches": trained.hessians.batches, "matrices": len(trained.hessians.sums)}
            self.attempt.write_record(Phase.CALIBRATE, fields)
        if self.recipe.mode == "research":
            self._discard_checkpoints()

    def _discard_checkpoints(self) -> None:
        """The weights are in the attempt's folder now; a storage that refuses keeps its checkpoints and ends no run."""
        try:
            discard_checkpoints(self.spec)
        except StorageError as error:
            self.attempt.append_event("checkpoints_left", {"reason": str(error)})

    def _stamp_training(self, train_s: float, data_read_s: float) -> None:
        """Clocks and intervals of training, from the stamps of its events; a resumed training began when it first did."""
        at: dict[str, float] = {}
        for event in read_events(self.attempt.path("progress.jsonl")):
            if event.kind == "phase":
                at.setdefault(str(event.fields["phase"]), event.at)
            else:
                at[event.kind] = event.at
        self.attempt.write_clock("train", train_s, start_at=at["train"], stop_at=at["stop"])
        self.attempt.write_clock("data_read", data_read_s, start_at=at["train"], stop_at=at["saved"])
        steps = load_summary(self.folder).steps
        cfg = self.recipe
        micro = cfg.train.batch_tokens // cfg.train.micro_batches
        ranks = cfg.cluster.workers if cfg.quantize.hessian_ranks == "all" else 1
        self.attempt.append_interval("train", 0, steps * cfg.train.batch_tokens)
        batches = max(cfg.quantize.calibration_batches, cfg.quantize.fisher_batches)
        self.attempt.append_interval("calibrate", 0, batches * micro * ranks)

    def _quantize(self) -> None:
        left = self._fitting.quantize(self._work)
        self._record(Phase.QUANTIZE, left.fields, left.payloads)

    def _fit(self) -> None:
        fitted = self._fitting.fit(self._work)
        if fitted.unreachable is not None:
            self._record(Phase.FIT, {"unreachable": fitted.unreachable}, ())
            return
        save_artifact(self.folder / ARTIFACT_FILE, fitted.blob)
        fields = {
            **fitted.fields,
            "model_bytes": len(fitted.blob),
            "model_sha256": hashlib.sha256(fitted.blob).hexdigest(),
        }
        self._record(Phase.FIT, fields, (ARTIFACT_FILE,))

    @property
    def _fitting(self) -> ModuleType:
        return component("recur.pipeline.fitting", self.recipe.artifact.fit)

    @property
    def _work(self) -> Work:
        return Work(folder=self.folder, recipe=self.recipe, seed=self.spec.seed, map=self._map, say=self.attempt.append_event)

    def _evaluate(self) -> None:
        """Diagnostics first; then what makes the final number, alone on the evaluation clock."""
        stages = {
            "trained": self._stage("trained", "plain", "trained"),
            "roundtrip": self._stage("roundtrip", "plain", "artifact"),
        }
        probe = self._probe("evaluate")
        started = time.time()
        for mode in self.recipe.evaluate.modes:
            if mode != "plain":
                stages[mode] = self._stage(mode, mode, "artifact")
        stopped = time.time()
        self.attempt.write_clock("eval", stopped - started, start_at=started, stop_at=stopped)
        for name, stage in stages.items():
            for one in stage.intervals:
                self.attempt.append_interval(one.kind, one.start, one.stop, version=one.version, stage=name)
        scores = {name: to_json(stage.score) for name, stage in stages.items()}
        self._record(Phase.EVALUATE, {"scores": scores, "probe": to_json(probe)}, ())

    def _verify(self) -> None:
        """Recount bytes and hash of the file, score the fixed windows again, probe the model, inspect the data.

        What is found is recorded; `recur.record.rules.seed` judges it.
        """
        fit, evaluated = self._fields(Phase.FIT), self._fields(Phase.EVALUATE)
        path = self.folder / ARTIFACT_FILE
        size_bytes, sha256 = path.stat().st_size, sha256_of(path)
        if (size_bytes, sha256) != (fit["model_bytes"], fit["model_sha256"]):
            rule = f"has sha256 {sha256} ({size_bytes} bytes), its record says {fit['model_sha256']}"
            raise ArtifactError(str(path), rule, "the file was changed: run the seed again")
        again, before = self._probe("verify"), Score(**evaluated["probe"])
        changed = again.bytes != before.bytes
        fields = {
            "probe": to_json(again),
            "difference_bpb": float("inf") if changed else abs(again.val_bpb - before.val_bpb),
            "model_bytes": size_bytes,
            "model_sha256": sha256,
            **self._inspected(),
        }
        self._record(Phase.VERIFY, fields, ())

    def _inspected(self) -> dict[str, Any]:
        """The data, the model's behaviour, the program's size, and where and with what this ran."""
        seed, recipe = self.spec.seed, self.recipe
        root = Path(self.spec.dataset_root)
        data = self._map(inspect_data, [DataItem(root=root, seq_len=recipe.evaluate.seq_len)], [f"verify[seed={seed} data]"])[0]
        item = self._item("probe", "plain", "artifact")
        probes = self._map(probe_item, [item], [f"verify[seed={seed} causality]"], on_device=True)[0]
        return {
            "data": to_json(data),
            "probes": to_json(probes),
            "code_recounted": recounted_code_bytes(recipe),
            "fingerprint": fingerprint(recipe, load_dataset(root).sha256),
            "environment": environment(),
        }

    def _stage(self, stage: str, mode: str, source: Source) -> StageScore:
        items = shares(self._item(stage, mode, source))
        seed, parts = self.spec.seed, len(items)
        names = [f"evaluate[seed={seed} {stage} {item.part + 1}/{parts}]" for item in items]
        return merge_stage(self._map(score_item, items, names, on_device=True))

    def _probe(self, why: str) -> Score:
        item = self._item("probe", "plain", "artifact")
        return self._map(score_probe, [item], [f"{why}[seed={self.spec.seed} probe]"], on_device=True)[0]

    def _item(self, stage: str, mode: str, source: Source) -> EvalItem:
        return EvalItem(
            stage=stage,
            mode=mode,
            source=source,
            folder=self.folder,
            dataset_root=Path(self.spec.dataset_root),
            recipe=self.recipe,
            recurrence=self._recurrence,
        )

    @cached_property
    def _recurrence(self) -> bool:
        return bool(self._fields(Phase.TRAIN)["summary"]["recurrence_active"])

    def _map(self, fn: Callable[[T], R], items: Sequence[T], names: Sequence[str], *, on_device: bool = False) -> list[R]:
        progress = partial(self._count, total=len(items))
        return self.backend.map(fn, items, names=names, progress=progress, on_device=on_device)

    def _count(self, done: int, *, total: int) -> None:
        if self._beats is not None:
            self._beats.update(done=done, total=total)

    def _record(self, phase: Phase, fields: dict[str, Any], payloads: Sequence[str]) -> None:
        self.attempt.write_record(phase, {**fields, "seconds": time.time() - self._started}, payloads)

    def _fields(self, phase: Phase) -> dict[str, Any]:
        return phase_fields(self.attempt, phase)
