"""Selective pruning and the fit to a cap (REFERENCE 9)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.config import ArtifactConfig
from recur.errors import BudgetUnreachable
from recur.quantize.fitting.prune import fit
from recur.quantize.prune import candidate_count, prune
from recur.quantize.tensors import Meta, QuantizedModel


def make_model(seed: int, tensors: int, *, steps: int = 2) -> QuantizedModel:
    """Small int6 matrices whose rows share a few steps, with an int8 table and a 0-dim scale between them."""
    generator = torch.Generator().manual_seed(seed)
    entries: dict[str, torch.Tensor] = {}
    meta: dict[str, Meta] = {}
    for i in range(tensors):
        rows, columns = (int(n) for n in torch.randint(1, 7, (2,), generator=generator))
        entries[f"m{i}.q"] = torch.randint(-2, 3, (rows, columns), generator=generator, dtype=torch.int8)
        entries[f"m{i}.scale"] = (1 + torch.randint(0, steps, (rows,), generator=generator)).half() / 31
        meta[f"m{i}"] = {"type": "int8" if i % 4 == 3 else "int6"}
    entries["v.q"], entries["v.scale"], meta["v"] = torch.ones(4, dtype=torch.int8), torch.tensor(0.001).half(), {"type": "int6"}
    entries["s"], meta["s"] = torch.ones(3).half(), "passthrough"
    return QuantizedModel(entries=entries, meta=meta)


def oracle(model: QuantizedModel, count: int) -> dict[str, torch.Tensor]:
    """The reference's way: a list of (cost, tensor, index), sorted stably."""
    candidates = []
    for name, meta in model.meta.items():
        if isinstance(meta, str) or meta["type"] != "int6" or model.entries[f"{name}.scale"].ndim == 0:
            continue
        codes, scale = model.entries[f"{name}.q"], model.entries[f"{name}.scale"]
        for flat, code in enumerate(codes.flatten().tolist()):
            if abs(code) == 1:
                candidates.append((float(scale[flat // codes.shape[1]].float() ** 2), f"{name}.q", flat))
    after = {key: tensor.clone() for key, tensor in model.entries.items()}
    for _, key, flat in sorted(candidates, key=lambda c: c[0])[:count]:
        after[key].view(-1)[flat] = 0
    return after


def test_the_cheaper_row_goes_first_and_ties_keep_their_order_by_hand() -> None:
    entries = {
        "a.q": torch.tensor([[1, 5, -1], [1, 1, 0]], dtype=torch.int8),
        "a.scale": torch.tensor([0.5, 0.25]).half(),
        "b.q": torch.tensor([[-1, 2]], dtype=torch.int8),
        "b.scale": torch.tensor([0.25]).half(),
    }
    model = QuantizedModel(entries=entries, meta={"a": {"type": "int6"}, "b": {"type": "int6"}})
    assert candidate_count(model) == 5
    after = prune(model, 4)
    assert after.pruned == 4
    assert after.model.entries["a.q"].tolist() == [[0, 5, -1], [0, 0, 0]]
    assert after.model.entries["b.q"].tolist() == [[0, 2]]
    assert model.entries["b.q"].tolist() == [[-1, 2]]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), tensors=st.integers(0, 6), steps=st.integers(1, 3), count=st.integers(-2, 90))
def test_pruning_equals_the_sorted_list_whatever_the_ties(seed: int, tensors: int, steps: int, count: int) -> None:
    model = make_model(seed, tensors, steps=steps)
    after = prune(model, count)
    wanted = oracle(model, max(count, 0))
    assert list(after.model.entries) == list(wanted)
    assert all(torch.equal(after.model.entries[key], wanted[key]) for key in wanted)
    assert after.pruned == min(max(count, 0), candidate_count(model))


def ones_left(model: QuantizedModel, cfg: ArtifactConfig) -> bytes:
    """A stand-in for compression whose size falls with each pruned code."""
    return bytes(100 + candidate_count(model))


def test_a_model_that_fits_is_left_alone() -> None:
    model = make_model(1, 4)
    result = fit(model, ArtifactConfig(cap_bytes=10_000, code_bytes=7), ones_left)
    assert result.model is model
    assert (result.pruned, result.passes) == (0, 1)
    assert result.unpruned_bytes == result.total_bytes == 107 + candidate_count(model)
    assert result.excess_bytes < 0


def test_one_pass_prunes_factor_times_the_excess() -> None:
    model = make_model(2, 6)
    start = 105 + candidate_count(model)
    result = fit(model, ArtifactConfig(cap_bytes=start - 2, code_bytes=5, prune_factor=3), ones_left)
    assert (result.excess_bytes, result.pruned, result.passes) == (2, 6, 2)
    assert result.total_bytes == start - 6 == len(result.blob) + 5


def test_a_pass_that_was_not_enough_is_followed_by_another() -> None:
    model = make_model(3, 6)
    sizes = iter((1000, 990, 980))
    result = fit(model, ArtifactConfig(cap_bytes=985, prune_factor=1), lambda model, cfg: bytes(next(sizes)))
    assert (result.passes, result.pruned, result.total_bytes) == (3, 20, 980)


def test_a_cap_below_the_fully_pruned_size_is_named_with_that_size() -> None:
    model = make_model(4, 6)
    with pytest.raises(BudgetUnreachable, match=r"103 bytes is the smallest size reached .* the cap is 102 bytes"):
        fit(model, ArtifactConfig(cap_bytes=102, code_bytes=3), ones_left)


def test_a_model_without_candidates_cannot_be_made_smaller() -> None:
    model = QuantizedModel(entries={"s": torch.ones(3).half()}, meta={"s": "passthrough"})
    with pytest.raises(BudgetUnreachable, match=r"0 of 0 candidate codes"):
        fit(model, ArtifactConfig(cap_bytes=50), ones_left)
