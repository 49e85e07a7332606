"""Sweeps for the tests of the record folder: one tiny seed that really ran, and further seeds made from its folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from recur.data.dataset import Dataset
from recur.pipeline import LocalBackend, run_seed
from recur.recipe import fingerprint, recipe_to_json
from recur.record.atomic import write_json_atomic
from recur.record.attempt import AttemptDir, read_seed_result, write_seed_result
from recur.record.codec import from_json
from recur.record.folder import About, FolderSource, gather
from recur.record.report import write_sweep
from recur.record.result import SeedResult, State, summarise
from recur.record.rules.gate import Gate, judged, not_applicable
from recur.seedspec import SeedSpec
from tests.recipes import tiny_recipe

SCRIPT = b"print('one file')\n" * 7
REQUIREMENTS = "torch==2.9.1\n"
ABOUT = About(author="A. Author", github_id="author", name="A tiny run")
SEED = 42


def real_sweep(out: Path, dataset: Dataset) -> Path:
    """`<out>/real` with one seed, run in this process, as the driver leaves it."""
    recipe = tiny_recipe()
    spec = SeedSpec(sweep="real", seed=SEED, attempt=1, recipe=recipe, dataset_root=dataset.root, out=out)
    result = run_seed(spec, LocalBackend())
    write_seed_result(spec.sweep_root, result)
    document = {
        "sweep": "real",
        "seeds": [SEED],
        "fingerprint": fingerprint(recipe, dataset.sha256),
        "dataset_root": str(dataset.root),
        "note": "",
        "recipe": json.loads(recipe_to_json(recipe)),
    }
    write_json_atomic(spec.sweep_root / "sweep_spec.json", document)
    write_results(spec.sweep_root, [result])
    return spec.sweep_root


def copy_sweep(real: Path, root: Path, seeds: tuple[int, ...] = (42, 1337, 2024), **spec: object) -> Path:
    """``root`` with these seeds: the real one's folder under each number, its nats a little larger for each further seed."""
    told = read(real / "sweep_spec.json") | {"sweep": root.name, "seeds": list(seeds)} | spec
    write_json_atomic(root / "sweep_spec.json", told)
    results = []
    for i, seed in enumerate(seeds):
        shutil.copytree(real / f"seed_{SEED}", root / f"seed_{seed}")
        results.append(_renumber(root, seed, factor=1 + 0.001 * i))
    write_results(root, results)
    return root


def _renumber(root: Path, seed: int, factor: float) -> SeedResult:
    folder = root / f"seed_{seed}" / "a1"
    record, result = read(folder / "record_evaluate.json"), read(folder / "result.json") | {"seed": seed}
    for name, score in record["fields"]["scores"].items():
        score["nats"] *= factor
        bits = score["nats"] / 0.6931471805599453
        result["val_loss"][name], result["val_bpb"][name] = score["nats"] / score["tokens"], bits / score["bytes"]
    write_json_atomic(folder / "record_evaluate.json", record)
    write_json_atomic(folder / "result.json", result)
    found = from_json(SeedResult, result)
    write_seed_result(root, found)
    return found


def write_results(root: Path, results: list[SeedResult]) -> None:
    """`sweep.json` of the sweep."""
    spec = read(root / "sweep_spec.json")
    write_sweep(root, summarise(root.name, spec["recipe"]["profile"], spec["fingerprint"], results))


def add_run(root: Path, result: SeedResult, **files: Any) -> None:
    """Another attempt with only these files, e.g. ``error={"kind": "run", "message": "..."}``."""
    folder = AttemptDir(root, result.seed, result.attempt).create()
    for name, content in files.items():
        write_json_atomic(folder.path(f"{name}.json"), content)


def gates(*, ok: bool = True) -> list[Gate]:
    return [
        judged("total bytes", 12345, 16_000_000, ok, why="" if ok else "345 | too many", source="record_verify.json"),
        not_applicable("train time", None, 600, why="the recipe has no clock", source="clock.json"),
    ]


def gathered(root: Path, *, ok: bool = True) -> FolderSource:
    seeds = read(root / "sweep_spec.json")["seeds"]
    sweep_gates = [judged("one recipe", "same", "same", True, source="sweep_spec.json")]
    return gather(root, gates={seed: gates(ok=ok) for seed in seeds}, sweep_gates=sweep_gates)


def results_of(root: Path) -> list[SeedResult]:
    found = [read_seed_result(root, seed) for seed in read(root / "sweep_spec.json")["seeds"]]
    return [result for result in found if result is not None]


def invalid(seed: int, *, attempt: int = 1) -> SeedResult:
    return SeedResult(seed=seed, state=State.INVALID, attempt=attempt, error="total_bytes=9 must be at most 8 | <b>")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
