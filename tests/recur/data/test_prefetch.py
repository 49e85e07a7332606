"""Prefetched batches: the loader's own, in order; the state after the last one handed on; errors where they are asked for."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from recur.data.dataset import Dataset
from recur.data.loader import Batch, WindowLoader
from recur.data.prefetch import AHEAD, Prefetcher
from recur.errors import DataError
from recur.train.resume.ahead import TrackedPrefetcher


def loader(dataset: Dataset) -> WindowLoader:
    paths, names = dataset.train_paths(), dataset.train_hash_strings()
    return WindowLoader(paths, names, seq_len=32, batch_tokens=256, rank=0, world=1, accum=1)


def same(a: Batch, b: Batch) -> bool:
    return torch.equal(a.x_BT, b.x_BT) and torch.equal(a.y_BT, b.y_BT)


def test_batches_are_the_loader_s_own_in_its_order(tiny_dataset: Dataset) -> None:
    plain = loader(tiny_dataset)
    with ThreadPoolExecutor(1) as thread:
        ahead = Prefetcher(loader(tiny_dataset), thread, pin=False)
        assert all(same(ahead.next_batch(), plain.next_batch()) for _ in range(50))


def test_the_state_is_that_after_the_last_batch_that_was_handed_on(tiny_dataset: Dataset) -> None:
    plain = loader(tiny_dataset)
    with ThreadPoolExecutor(1) as thread:
        ahead = TrackedPrefetcher(loader(tiny_dataset), thread, pin=False)
        assert ahead.cursor() == plain.cursor()
        for _ in range(7):
            ahead.next_batch()
            plain.next_batch()
        time.sleep(0.1)  # by now it has built ahead
        state = ahead.cursor()
        coming = [ahead.next_batch() for _ in range(2 * AHEAD + 2)]
    assert state == plain.cursor()
    resumed = loader(tiny_dataset)
    resumed.go_back_to(state)
    assert all(same(resumed.next_batch(), batch) for batch in coming)


def test_an_error_of_the_loader_is_raised_where_a_batch_is_asked_for_again_and_again(
    tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = loader(tiny_dataset)
    monkeypatch.setattr(broken, "next_batch", lambda: (_ for _ in ()).throw(DataError("shard 7", "is cut", "fetch it again")))
    with ThreadPoolExecutor(1) as thread:
        ahead = Prefetcher(broken, thread, pin=False)
        for _ in range(2):
            with pytest.raises(DataError, match="shard 7 is cut"):
                ahead.next_batch()
