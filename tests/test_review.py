"""The findings of the published review of the reference run, each kept from happening here (docs/review.md)."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import pkgutil
import re
import subprocess
import sys
import tracemalloc
import typing
from pathlib import Path
from types import ModuleType

import pytest
import torch

import recur
from recur.artifact.reference import write_container
from recur.config import ArtifactConfig
from recur.quantize.fitting.prune import FitResult, fit
from recur.quantize.prune import candidate_count, prune
from recur.quantize.tensors import QuantizedModel
from recur.record.beside import plain_beside
from recur.record.known import known_records
from recur.record.report import read_results, read_sweep, write_sweep
from recur.record.result import Scores, SeedResult, State, SweepResult, summarise
from recur.record.table import plain_table
from recur.train.checkpoint import Trained
from recur.train.run import train_seed

ROOT = Path(__file__).parents[1]
LN2 = math.log(2.0)


def modules() -> list[ModuleType]:
    return [importlib.import_module(m.name) for m in pkgutil.walk_packages(recur.__path__, "recur.")]


def one_tensor(rows: int, columns: int) -> QuantizedModel:
    generator = torch.Generator().manual_seed(0)
    q = torch.randint(-3, 4, (rows, columns), generator=generator, dtype=torch.int8)
    scale = torch.full((rows,), 1 / 31, dtype=torch.float16)
    name = "blocks.0.attn.c_q.weight"
    return QuantizedModel(entries={f"{name}.q": q, f"{name}.scale": scale}, meta={name: {"type": "int6", "method": "gptq"}})


def a_sweep() -> SweepResult:
    tokens, size = 4096, 10_000
    seeds = []
    for seed, loss in ((42, 3.001), (1337, 3.0042), (2024, 2.9998)):
        bpb = loss / LN2 * tokens / size
        seeds.append(
            SeedResult(
                seed=seed,
                state=State.SUCCEEDED,
                attempt=1,
                val_bpb=Scores(sliding=bpb),
                val_loss=Scores(sliding=loss),
                scored_tokens=tokens,
                scored_bytes=size,
                model_bytes=1000 + seed,
                code_bytes=10,
                total_bytes=1010 + seed,
                cap_bytes=4000,
                slack_bytes=2990 - seed,
            )
        )
    return summarise("s", "smoke", "f", seeds)


def test_1_logging_works_before_anything_is_configured() -> None:
    code = "import logging, recur.record.attempt.heartbeat as h; h._log.warning('event beat=%s', 'late')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "event beat=late" in done.stderr


def test_2_serializing_returns_a_typed_report_with_the_bytes() -> None:
    model = one_tensor(8, 16)
    result = fit(model, ArtifactConfig(cap_bytes=100_000, code_bytes=10), write_container)
    assert isinstance(result, FitResult)
    assert result.total_bytes == len(result.blob) + 10 <= 100_000


def test_3_training_returns_a_named_value_and_so_does_every_public_function() -> None:
    assert typing.get_type_hints(train_seed)["return"] is Trained
    for module in modules():
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or name.startswith("_"):
                continue
            hint = inspect.signature(function).return_annotation
            assert hint is not inspect.Signature.empty, f"{module.__name__}.{name} has no return type"
            is_bare = re.match(r"tuple\[(?!.*\.\.\.)", str(hint)) is not None
            assert not is_bare, f"{module.__name__}.{name} returns a bare {hint}"


def test_4_pruning_builds_no_list_of_entries() -> None:
    model = one_tensor(1024, 1024)
    count = candidate_count(model)
    tracemalloc.start()
    pruned = prune(model, count // 2)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pruned.pruned == count // 2 > 100_000
    assert peak_bytes < count, f"{peak_bytes} bytes of Python objects for {count} candidates"


def test_5_losses_bpb_and_means_agree_in_every_file(tmp_path: Path) -> None:
    sweep = a_sweep()
    write_sweep(tmp_path, sweep)
    written = json.loads((tmp_path / "sweep.json").read_text())
    scores = [s["val_bpb"]["sliding"] for s in written["seeds"]]
    assert abs(written["mean_val_bpb"] - sum(scores) / 3) < 1e-8
    for s in written["seeds"]:
        implied = s["val_loss"]["sliding"] / LN2 * s["scored_tokens"] / s["scored_bytes"]
        assert abs(implied - s["val_bpb"]["sliding"]) < 1e-8
        assert s["total_bytes"] == s["model_bytes"] + s["code_bytes"] == s["cap_bytes"] - s["slack_bytes"]
    assert read_sweep(tmp_path) == sweep
    assert list(read_results(tmp_path / "results.csv")["val_bpb_sliding"]) == scores


def test_6_nothing_we_print_claims_a_record_and_the_better_base_is_listed_first() -> None:
    order = [known.pr for known in known_records()]
    assert order.index(1334) < order.index(1421)
    text = plain_table(a_sweep()).lower()
    assert not re.search(r"\brecord\b|improves|state of the art|sota", text)


def markdown_files() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", markdown_files(), ids=lambda p: p.name)
def test_7_markdown_tables_render(path: Path) -> None:
    rows: list[str] = []
    for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("|"):
            rows.append(re.sub(r"`[^`]*`", "code", line))
            continue
        if rows:
            cells = {row.count("|") for row in rows}
            assert len(cells) == 1 and not any("||" in row for row in rows), f"{path.name}: {rows[0]}"
            assert re.fullmatch(r"[|:\- ]+", rows[1]), f"{path.name}: no rule below {rows[0]}"
        rows = []


def test_8_numbers_in_the_readme_come_from_the_stored_sample() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("<!-- sample:begin -->")[1].split("<!-- sample:end -->")[0]
    table = block.split("```text\n")[1].split("```")[0]
    first, other = (read_sweep(ROOT / "docs" / "sample" / part) for part in (".", "beside"))
    assert table == f"{plain_table(first).rstrip()}\n\n{plain_beside(first, other).rstrip()}\n"
