"""One seed from text to scored artifact in one process: reproducible, honest about bytes, and it learns."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch

from recur.config import Recipe
from recur.data.corpus import prepare
from recur.data.dataset import Dataset, validation_tokens
from recur.evaluate.artifact import load_model
from recur.evaluate.rescore import read_provenance, rescore
from recur.evaluate.runner import evaluate_part, merge
from recur.pipeline.backend import LocalBackend
from recur.pipeline.run import run_seed
from recur.recipe import load_recipe
from recur.record.result import SeedResult, State
from recur.seedspec import SeedSpec
from tests.recipes import tiny_recipe

CPU = torch.device("cpu")


def run(recipe: Recipe, dataset: Dataset, out: Path, seed: int = 42) -> tuple[SeedResult, Path]:
    spec = SeedSpec(sweep="s", seed=seed, attempt=1, recipe=recipe, dataset_root=dataset.root, out=out)
    return run_seed(spec, LocalBackend()), spec.attempt_dir.folder


def test_any_number_of_shares_scores_one_artifact_alike(tiny_dataset: Dataset, tmp_path: Path) -> None:
    recipe = tiny_recipe()
    _, folder = run(recipe, tiny_dataset, tmp_path)
    model = load_model(folder / "artifact.ptz", recipe, CPU, recurrence=True)
    tokens, table = validation_tokens(tiny_dataset, recipe.evaluate.seq_len), tiny_dataset.byte_table()
    scores = []
    for world in (1, 2):
        parts = [
            evaluate_part(model, tokens, table, recipe.evaluate, "sliding", k, world, device=CPU, precision="fp32")
            for k in range(world)
        ]
        scores.append(merge(parts))
    assert abs(scores[0].val_bpb - scores[1].val_bpb) < 1e-6
    assert (scores[0].tokens, scores[0].bytes) == (scores[1].tokens, scores[1].bytes)


def test_fitting_prunes_to_the_cap_and_an_unreachable_cap_is_invalid(tiny_dataset: Dataset, tmp_path: Path) -> None:
    roomy, _ = run(tiny_recipe(), tiny_dataset, tmp_path / "roomy")
    assert roomy.total_bytes is not None
    tight, folder = run(tiny_recipe(f"artifact.cap_bytes={roomy.total_bytes - 500}"), tiny_dataset, tmp_path / "tight")
    fit = json.loads((folder / "record_fit.json").read_text())["fields"]
    assert tight.state is State.SUCCEEDED and tight.slack_bytes is not None and tight.slack_bytes >= 0
    assert fit["pruned"] == min(8 * fit["excess_bytes"], fit["candidates"]) > 0
    hopeless, _ = run(tiny_recipe("artifact.cap_bytes=2000"), tiny_dataset, tmp_path / "hopeless")
    assert hopeless.state is State.INVALID and "smallest" in str(hopeless.error)


def test_scored_bytes_are_the_utf8_of_the_decoded_text(tmp_path: Path) -> None:
    texts = [f"Überraschung №{i}: the ﬁrst “quoted” line of document {i}, naïve café, 東京 {i * 37}." for i in range(400)]
    docs = tmp_path / "docs.jsonl"
    docs.write_text("".join(json.dumps({"text": t * 3}) + "\n" for t in texts))
    recipe = tiny_recipe("data.source=docs", "data.val_docs=40", "model.vocab_size=400")
    dataset = prepare(recipe.data, 400, out_root=tmp_path / "ds", docs=[str(docs)], train_seq_len=32)
    result, _ = run(recipe, dataset, tmp_path / "out")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(dataset.tokenizer_path))
    ids = validation_tokens(dataset, recipe.evaluate.seq_len)
    documents = np.split(ids, np.flatnonzero(ids == 1))
    decoded = sum(len(processor.decode([int(i) for i in d if i != 1]).encode()) for d in documents if len(d))
    assert result.scored_bytes == decoded
    assert result.scored_tokens == len(ids) - 1


@pytest.mark.timeout(600)
def test_the_smoke_profile_learns_and_uses_its_context(tmp_path: Path) -> None:
    recipe = load_recipe("smoke")
    recipe = dataclasses.replace(recipe, cluster=dataclasses.replace(recipe.cluster, workers=1, eval_shards=1))
    dataset = prepare(recipe.data, recipe.model.vocab_size, out_root=tmp_path / "ds", train_seq_len=recipe.model.train_seq_len)
    result, folder = run(recipe, dataset, tmp_path / "out")
    first = json.loads((folder / "train.json").read_text())["summary"]["first_val_bpb"]
    assert result.state is State.SUCCEEDED and result.val_bpb.sliding is not None
    assert result.val_bpb.sliding < 0.75 * first
    artifact = folder / "artifact.ptz"
    blind = rescore(artifact, read_provenance(artifact), modes=["plain"], context_tokens=1, device=CPU)["plain"]
    assert blind.val_bpb >= 1.03 * result.val_bpb.sliding
    fit = json.loads((folder / "record_fit.json").read_text())["fields"]
    assert fit["excess_bytes"] > 0 and fit["pruned"] > 0
