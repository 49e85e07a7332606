"""Sweeps for the tests of the record folder: what a driver and the pipeline leave, with scores of our choice."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from markdown_it import MarkdownIt
from safetensors.numpy import save_file

from recur.data.dataset import Dataset
from recur.evaluate.bpb import Score
from recur.recipe import load_recipe, recipe_to_json
from recur.record.atomic import write_json_atomic
from recur.record.attempt import AttemptDir, write_seed_result
from recur.record.codec import to_json
from recur.record.folder import About, FolderSource, gather, write_record_folder
from recur.record.report import write_sweep
from recur.record.result import Phase, Scores, SeedResult, State, summarise
from recur.record.rules.gate import Gate, judged, not_applicable
from tests.recipes import tiny_recipe

SCRIPT = b"print('one file')\n" * 7
REQUIREMENTS = "torch==2.9.1\n"
ABOUT = About(author="A. Author", github_id="author", name="A tiny run")
FINGERPRINT = "f" * 64
SEEDS = (42, 1337, 2024)
TINY_BPB = (5.2134, 5.2189, 5.2207)
GOOD_BPB = (1.0701234, 1.0704321, 1.0700987)
FINEWEB_TOKENS, FINEWEB_BYTES = 45_508_608, 151_074_053
H100 = {"world_size": 8, "backend": "nccl", "ranks": [{"host": "n", "device": "NVIDIA H100 80GB HBM3"}] * 8}


def make_sweep(
    dataset: Dataset,
    root: Path,
    bpb: Mapping[int, float],
    *,
    ok: bool = True,
    tokens: int = 7616,
    scored_bytes: int = 12552,
    fingerprint: str = FINGERPRINT,
    **fields: Any,
) -> Path:
    """``root`` as a driver leaves it, with these sliding scores.

    Args:
        dataset: that it names.
        bpb: sliding score of each seed.
        ok: whether every gate passes that applies.
        fields: of every seed's result.
    """
    recipe = json.loads(recipe_to_json(tiny_recipe("artifact.cap_bytes=20000", "train.peak_tflops=1.0")))
    told = {"sweep": root.name, "seeds": list(bpb), "fingerprint": fingerprint, "note": "", "recipe": recipe}
    write_json_atomic(root / "sweep_spec.json", told | {"dataset_root": str(dataset.root)})
    results = []
    for seed, value in bpb.items():
        scores = {
            name: Score(nats=factor * value * math.log(2.0) * scored_bytes, tokens=tokens, bytes=scored_bytes)
            for name, factor in (("trained", 0.9999), ("roundtrip", 1.0001), ("sliding", 1.0))
        }
        attempt = AttemptDir(root, seed, 1, clock=_Ticks())
        results.append(_attempt(attempt, scores, fingerprint, fields))
        write_json_atomic(attempt.path("gates.json"), to_json(gates(ok=ok)))
        write_seed_result(root, results[-1])
    write_results(root, results)
    return root


class _Ticks:
    """Seconds since 1970 that pass by themselves; begins on 2026-11-20, noon, UTC."""

    def __init__(self) -> None:
        self.now = 1_795_176_000.0

    def __call__(self) -> float:
        self.now += 1.25
        return self.now


def _attempt(attempt: AttemptDir, scores: Mapping[str, Score], fingerprint: str, fields: Mapping[str, Any]) -> SeedResult:
    """An attempt's folder with the events, clocks, intervals and records of the pipeline; returns its result."""
    attempt.create()
    _train(attempt)
    blob = bytes(range(256)) * 70 + str(attempt.seed).encode()
    attempt.path("artifact.ptz").write_bytes(blob)
    sha256 = hashlib.sha256(blob).hexdigest()
    attempt.write_record(Phase.QUANTIZE, {"methods": {"gptq": 30, "passthrough": 27}, "seconds": 1.5})
    attempt.write_record(Phase.FIT, {"model_bytes": len(blob), "model_sha256": sha256}, ["artifact.ptz"])
    attempt.write_clock("eval", 1.75, start_at=attempt.clock(), stop_at=attempt.clock())
    for stage, score in scores.items():
        attempt.append_interval("score", 0, score.tokens, version=0, stage=stage)
    attempt.write_record(Phase.EVALUATE, {"scores": to_json(scores), "seconds": 2.5})
    attempt.write_record(Phase.VERIFY, {"model_bytes": len(blob), "model_sha256": sha256, "fingerprint": fingerprint})
    values: dict[str, Any] = {
        "steps": 3,
        "val_bpb": Scores(**{name: score.val_bpb for name, score in scores.items()}),
        "val_loss": Scores(**{name: score.val_loss for name, score in scores.items()}),
        "scored_tokens": scores["sliding"].tokens,
        "scored_bytes": scores["sliding"].bytes,
        "model_bytes": len(blob),
        "model_sha256": sha256,
        "total_bytes": len(blob),
        "cap_bytes": 20000,
        "seconds": {"train": 3.9, "calibrate": 0.124},
        "placement": {"world_size": 1, "device": "cpu", "backend": "local"},
        "quantized": {"gptq": 30, "passthrough": 27},
    }
    result = SeedResult(seed=attempt.seed, state=State.SUCCEEDED, attempt=attempt.attempt, **{**values, **fields})
    write_json_atomic(attempt.path("result.json"), to_json(result))
    return result


def _train(attempt: AttemptDir) -> None:
    attempt.append_event("warmup", {"steps": 2, "state_sha256": "0" * 64})
    attempt.append_event("val", {"step": 0, "val_loss": 6.2374469319186, "val_bpb": 5.4600347585568})
    step = {"step": 2, "steps": 6, "loss": 6.03, "grad_norm": 0.4, "train_s": 2.5, "tokens_per_s": 777.3, "flops_per_s": 5e8}
    attempt.append_event("step", step)
    attempt.append_event("recurrence", {"step": 3, "virtual_layers": "0,1,2,1,2,3,4"})
    attempt.append_event("stop", {"step": 3, "train_s": 3.871302256, "reason": "steps"})
    for name, seconds in (("train", 3.871302256), ("data_read", 3.995055283)):
        attempt.write_clock(name, seconds, start_at=attempt.clock(), stop_at=attempt.clock())  # type: ignore[arg-type]
    attempt.append_interval("train", 0, 1536)
    weights = {"a.weight": np.zeros((3, 5), np.float32), "b": np.zeros(7, np.float32)}
    save_file(weights, attempt.path("ema.safetensors"))
    summary = {"steps": 3, "peak_memory_bytes": 605 << 20}
    attempt.write_record(Phase.TRAIN, {"placement": {}, "summary": summary}, ["ema.safetensors"])
    attempt.write_record(Phase.CALIBRATE, {"batches": 2, "matrices": 30})


def write_results(root: Path, results: Sequence[SeedResult]) -> None:
    """`sweep.json`, and the seeds in the sweep's spec."""
    spec = read(root / "sweep_spec.json")
    write_json_atomic(root / "sweep_spec.json", spec | {"seeds": [s.seed for s in results]})
    write_sweep(root, summarise(root.name, spec["recipe"]["profile"], spec["fingerprint"], list(results)))


def add_attempt(root: Path, seed: int, attempt: int, **files: Any) -> None:
    """An attempt's folder with only these files, e.g. ``error={"kind": "run", "message": "..."}``."""
    folder = AttemptDir(root, seed, attempt).create()
    for name, content in files.items():
        write_json_atomic(folder.path(f"{name}.json"), content)


def gates(*, ok: bool = True) -> list[Gate]:
    """One gate that applies and one that does not."""
    return [
        judged("total bytes", 12345, 16_000_000, ok, why="" if ok else "345 | too many", source="record_verify.json"),
        not_applicable("training clock, s", 3.5, 600.0, why="the limit is for 8 x H100", source="train.json"),
    ]


def fineweb(dataset: Dataset, root: Path, bpb: Sequence[float] = GOOD_BPB, *, ok: bool = True) -> FolderSource:
    """A sweep of our record profile as eight H100 would leave it, with these scores of FineWeb."""
    scores = dict(zip(SEEDS, bpb, strict=False))
    make_sweep(dataset, root, scores, tokens=FINEWEB_TOKENS, scored_bytes=FINEWEB_BYTES, placement=H100, ok=ok)
    recipe = replace(load_recipe("recur"), artifact=replace(load_recipe("recur").artifact, code_bytes_source="none"))
    return replace(gather(root), recipe=recipe)


def read(path: Path) -> Any:
    """The JSON in a file."""
    return json.loads(path.read_text(encoding="utf-8"))


def written(source: FolderSource, into: Path, about: About = ABOUT) -> Path:
    return write_record_folder(source, into=into, script=SCRIPT, requirements=REQUIREMENTS, about=about)


def tables(markdown: str) -> list[list[list[str]]]:
    """Cells of every table that a Markdown reader finds."""
    found: list[list[list[str]]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    for i, token in enumerate(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            inline = tokens[i + 1].children or []
            found[-1][-1].append("".join(part.content for part in inline))
    return found


def table_below(markdown: str, heading: str) -> list[list[str]]:
    return tables(markdown.split(f"## {heading}\n")[1].split("\n## ")[0])[0]
