"""KL and loss difference of a model against its teacher, their standard errors, and the text they are measured on."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from recur.data.dataset import Dataset
from recur.data.loader import WindowLoader
from recur.data.shards import write_shard
from recur.errors import DataError
from recur.evaluate.divergence import Divergence, divergences, held_out_training_windows, windows_of
from recur.model.gpt import GPT

CPU = torch.device("cpu")


class Bigram(nn.Module):
    """The next token's logits are a row of a table, or of its transpose in training mode."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table, self.calls = nn.Parameter(table), 0

    def forward(self, ids_BT: Tensor) -> Tensor:
        self.calls += 1
        return (self.table.t() if self.training else self.table)[ids_BT]


def compare(teacher: Bigram, students: dict[str, Bigram], windows: Tensor, batch_windows: int = 2) -> dict[str, Divergence]:
    models = {name: cast(GPT, student) for name, student in students.items()}
    return divergences(cast(GPT, teacher), models, windows, batch_windows=batch_windows, device=CPU, autocast=False)


def randoms(seed: int, windows: int, length: int, vocab: int = 7) -> tuple[Bigram, Bigram, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tables = 2 * torch.randn(2, vocab, vocab, generator=generator)
    return Bigram(tables[0]), Bigram(tables[1]), torch.randint(0, vocab, (windows, length + 1), generator=generator)


def test_two_tiny_distributions_by_hand() -> None:
    teacher = Bigram(torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log())
    student = Bigram(torch.tensor([[0.25, 0.75], [0.9, 0.1]]).log())
    found = compare(teacher, {"one": student}, torch.tensor([[0, 0, 0], [1, 1, 0]]))["one"]
    zero = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert found.tokens == 4
    assert found.kl == pytest.approx(zero / 2)  # the first window is all token 0, the second all token 1
    assert found.kl_se == pytest.approx(zero / 2)  # two values zero apart: their deviation is zero / sqrt(2), over sqrt(2)
    assert found.ce_difference == pytest.approx(math.log(2) / 2)
    assert found.ce_difference_se == pytest.approx(math.log(2) / 2)


def test_identical_models_differ_by_exactly_nothing() -> None:
    teacher, _, windows = randoms(1, 5, 9)
    found = compare(teacher, {"same": Bigram(teacher.table.detach().clone())}, windows)["same"]
    assert (found.kl, found.kl_se, found.ce_difference, found.ce_difference_se) == (0.0, 0.0, 0.0, 0.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), windows=st.integers(2, 9), length=st.integers(1, 12), batch=st.integers(1, 5))
def test_all_numbers_equal_a_float64_oracle_whatever_the_batch(seed: int, windows: int, length: int, batch: int) -> None:
    teacher, student, ids = randoms(seed, windows, length)
    found = compare(teacher, {"one": student}, ids, batch)["one"]
    P, Q = (np.exp(m.table.detach().double().numpy()) for m in (teacher, student))
    P, Q = P / P.sum(1, keepdims=True), Q / Q.sum(1, keepdims=True)
    kl = [np.mean([float((P[t] * np.log(P[t] / Q[t])).sum()) for t in row[:-1]]) for row in ids.tolist()]
    difference = [np.mean([np.log(P[a, b] / Q[a, b]) for a, b in pairwise(row)]) for row in ids.tolist()]
    for mean, error, values in ((found.kl, found.kl_se, kl), (found.ce_difference, found.ce_difference_se, difference)):
        assert mean == pytest.approx(np.mean(values), rel=1e-5, abs=1e-6)  # float32 logits of magnitude up to 8
        assert error == pytest.approx(np.std(values, ddof=1) / math.sqrt(windows), rel=1e-4, abs=1e-6)
    assert found.kl >= 0
    assert found.tokens == windows * length


def test_the_standard_error_is_that_of_windows_drawn_again() -> None:
    teacher, student, _ = randoms(4, 1, 1)
    draws = [randoms(100 + k, 40, 6)[2] for k in range(120)]
    found = [compare(teacher, {"one": student}, ids, 40)["one"] for ids in draws]
    spread = float(np.std([one.kl for one in found], ddof=1))
    # 120 draws know a deviation to 1 / sqrt(240) = 6.5 %: four of them
    assert np.mean([one.kl_se for one in found]) == pytest.approx(spread, rel=0.26)


def test_the_teacher_runs_once_a_batch_for_all_students_and_modes_are_put_back() -> None:
    teacher, student, windows = randoms(5, 6, 4)
    other = Bigram(student.table.detach() * 0.5)
    teacher.train()
    student.eval()
    found = compare(teacher, {"one": student, "two": other}, windows, 4)
    assert (teacher.calls, student.calls, other.calls) == (2, 2, 2)
    assert teacher.training and not student.training
    assert found["one"] == compare(teacher, {"one": student}, windows, 4)["one"]


def test_one_window_has_no_standard_error() -> None:
    teacher, student, windows = randoms(6, 1, 5)
    found = compare(teacher, {"one": student}, windows)["one"]
    assert found.kl > 0 and math.isnan(found.kl_se) and math.isnan(found.ce_difference_se)


def test_windows_of_a_text_share_their_edges_and_too_short_a_text_is_refused() -> None:
    ids = np.arange(10, 20)
    assert windows_of(ids, 4, 5).tolist() == [[10, 11, 12, 13, 14], [14, 15, 16, 17, 18]]
    assert windows_of(ids, 3, 9).shape == (3, 4)
    with pytest.raises(DataError, match="10 held-out tokens must be more than 12"):
        windows_of(ids, 4, 9)


@pytest.mark.parametrize("world", [1, 2])
def test_held_out_windows_are_those_that_the_first_rank_would_be_given_next(tiny_dataset: Dataset, world: int) -> None:
    found = held_out_training_windows(tiny_dataset, seq_len=16, batch_tokens=128, skip_batches=5, tokens=200, world=world)
    run = WindowLoader(
        tiny_dataset.train_paths(),
        tiny_dataset.train_hash_strings(),
        seq_len=16,
        batch_tokens=512,
        rank=0,
        world=world,
        accum=4,
    )
    coming = [run.next_batch() for _ in range(5 + 4)][5:]
    rows = 16  # 200 tokens are 13 windows: two whole micro-batches of 8, or four halves of 4
    assert torch.equal(found[:, :-1], torch.cat([b.x_BT for b in coming])[:rows])
    assert torch.equal(found[:, 1:], torch.cat([b.y_BT for b in coming])[:rows])


def test_held_out_windows_of_many_shards_follow_the_order_of_the_runs_world(tmp_path: Path) -> None:
    """Which shards feed a micro-batch depends on the world size once there are more than eight."""
    rng, paths = np.random.default_rng(0), []
    for k in range(40):
        paths.append(tmp_path / f"shard_{k:03d}.bin")
        write_shard(paths[-1], rng.integers(0, 60000, 400).astype(np.uint16))

    class Shards:
        def train_paths(self) -> list[Path]:
            return paths

        def train_hash_strings(self) -> list[str]:
            return [path.name for path in paths]

    world, tokens, dataset = 16, 16 * 8 * 2, Shards()
    run = WindowLoader(paths, dataset.train_hash_strings(), seq_len=8, batch_tokens=2 * tokens, rank=0, world=world, accum=2)
    for _ in range(3):
        run.next_windows()
    coming = [run.next_batch() for _ in range(2)]
    shards = cast(Dataset, dataset)
    wanted = 2 * tokens // world
    found = held_out_training_windows(shards, seq_len=8, batch_tokens=tokens, skip_batches=3, tokens=wanted, world=world)
    assert torch.equal(found[:, :-1], torch.cat([b.x_BT for b in coming]))
