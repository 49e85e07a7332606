"""The compiled scorer scores like the model, with one graph for all batch sizes."""

from __future__ import annotations

import torch

from recur.evaluate.compiled import CompiledScorer
from recur.model.build import build_model
from tests.recipes import tiny_recipe


def test_compiled_scores_equal_the_models_and_a_small_last_batch_compiles_nothing() -> None:
    cfg = tiny_recipe().model
    plain, model = (build_model(cfg, seed=3, precision="bf16") for _ in range(2))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    scorer = CompiledScorer(model, backend="eager")
    ids, targets = torch.randint(512, (4, 16)), torch.randint(512, (4, 16))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for rows in (4, 1, 3):
            assert torch.equal(scorer.score(ids[:rows], targets[:rows]), plain.score(ids[:rows], targets[:rows]))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_counted_rows_have_a_graph_of_their_own() -> None:
    cfg = tiny_recipe().model
    plain, model = (build_model(cfg, seed=3, precision="fp32") for _ in range(2))
    scorer = CompiledScorer(model, backend="eager")
    ids, targets = torch.randint(512, (4, 16)), torch.randint(512, (4, 16))
    with torch.no_grad():
        for first in (0, 12, 0):
            assert torch.allclose(scorer.score(ids, targets, first), plain.score(ids, targets)[:, first:], atol=1e-6)


def test_mode_is_passed_on() -> None:
    scorer = CompiledScorer(build_model(tiny_recipe().model, seed=3, precision="fp32"), backend="eager")
    scorer.train(False)
    assert not scorer.training and not scorer.model.training
