"""The window loader: reference vectors, coverage, ranks, and a cursor that can be saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recur.data.loader import WindowLoader, order_seed
from recur.data.shards import write_shard
from recur.errors import ArtifactError, DataError
from tests.conformance import g06_data_loader
from tests.conformance.base import Context, load_vectors

GOLDEN = Path(__file__).parents[2] / "golden" / "06_data_loader.json"


def shards(folder: Path, *sizes: int) -> list[Path]:
    paths, first = [], 0
    for k, size in enumerate(sizes):
        paths.append(folder / f"t_{k}.bin")
        write_shard(paths[-1], np.arange(first, first + size) % 60000)
        first += size
    return paths


def loader(paths: list[Path], *, rank: int = 0, world: int = 1, seq_len: int = 8, batch_tokens: int = 64) -> WindowLoader:
    names = [p.name for p in paths]
    return WindowLoader(paths, names, seq_len=seq_len, batch_tokens=batch_tokens, rank=rank, world=world, accum=1)


def test_every_reference_vector_is_reproduced() -> None:
    cases = g06_data_loader.check(load_vectors(GOLDEN), Context())
    assert len(cases) > 50
    assert [c.name for c in cases if c.ratio > 1] == []


def test_the_seed_is_a_plain_fnv_walk_over_the_bytes() -> None:
    prime = 1099511628211
    assert order_seed(["a"]) == (97 * prime) % 2**64
    assert order_seed(["a", "b"]) == order_seed(["ab"])
    assert order_seed([]) == 0


def test_targets_are_the_inputs_moved_by_one(tmp_path: Path) -> None:
    batch = loader(shards(tmp_path, 200, 300)).next_batch()
    assert batch.x_BT.shape == batch.y_BT.shape == (8, 8)
    assert (batch.y_BT - batch.x_BT == 1).all()  # the shards count upwards
    assert batch.x_BT.data_ptr() + batch.y_BT.element_size() == batch.y_BT.data_ptr()  # views of one memory, filled once


def test_one_walk_over_a_shard_visits_every_block_once(tmp_path: Path) -> None:
    one = loader(shards(tmp_path, 8 * 40 + 20), batch_tokens=8)
    starts = [int(one.next_windows()[0, 1]) for _ in range(39)]
    assert len(set(starts)) == 39
    assert {s % 8 for s in starts} == {starts[0] % 8}
    assert one.resets == 1


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_one_window_list_without_overlap(tmp_path: Path, world: int) -> None:
    paths = shards(tmp_path, 500, 700, 900)
    whole = loader(paths, world=world)
    ranks = [loader(paths, rank=r, world=world) for r in range(world)]
    for _ in range(30):
        windows = whole.next_windows()
        rows = np.stack([r.next_batch().x_BT.numpy() for r in ranks], 1).reshape(-1, 8)
        offsets = np.cumsum([0, 500, 700])
        assert rows[:, 0].tolist() == [int(offsets[s] + start) for s, start in windows]


def test_a_restored_cursor_goes_on_exactly(tmp_path: Path) -> None:
    paths = shards(tmp_path, 100, 333, 50, 9)
    first = loader(paths)
    for _ in range(17):
        first.next_batch()
    saved = json.loads(json.dumps(first.cursor()))
    expected = [first.next_windows().tolist() for _ in range(40)]
    second = loader(paths)
    second.go_back_to(saved)
    assert [second.next_windows().tolist() for _ in range(40)] == expected
    assert second.cursor() == first.cursor()


def test_a_cursor_of_another_batch_shape_is_refused(tmp_path: Path) -> None:
    paths = shards(tmp_path, 500)
    with pytest.raises(ArtifactError, match="must be that of this run"):
        loader(paths).go_back_to(loader(paths, batch_tokens=128).cursor())


def test_the_order_depends_on_the_strings_not_on_the_folder(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    a, b = loader(shards(here, 500, 400)), loader(shards(there, 500, 400))
    assert a.next_windows().tolist() == b.next_windows().tolist()


def test_shards_without_a_whole_window_are_left_out(tmp_path: Path) -> None:
    one = loader(shards(tmp_path, 8, 100, 0))
    assert {int(s) for _ in range(10) for s, _ in one.next_windows()} == {1}


def test_nothing_to_read_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"largest 8 tokens hold no whole window"):
        loader(shards(tmp_path, 8, 5))
    with pytest.raises(DataError, match="no whole window"):
        loader([])


def test_a_batch_smaller_than_one_window_per_rank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"batch_tokens=64 must hold one window .* use at least 128"):
        loader(shards(tmp_path, 500), world=16)


def test_a_truncated_training_shard_is_refused(tmp_path: Path) -> None:
    paths = shards(tmp_path, 500)
    paths[0].write_bytes(paths[0].read_bytes()[:-2])
    with pytest.raises(DataError, match="must be 2024 for the 500 tokens"):
        loader(paths)


def test_memory_of_a_batch_is_used_again_only_when_nobody_holds_it(tmp_path: Path) -> None:
    paths = shards(tmp_path, 200, 300)
    kept, seen = loader(paths), loader(paths)
    held, copies = [], []
    for _ in range(30):
        held.append(kept.next_batch())
        batch = seen.next_batch()
        copies.append((batch.x_BT.clone(), batch.y_BT.clone()))
    assert all(torch.equal(b.x_BT, x) and torch.equal(b.y_BT, y) for b, (x, y) in zip(held, copies, strict=True))
    x = seen.next_batch().x_BT  # a part of a batch holds it too
    before = x.clone()
    for _ in range(30):
        seen.next_batch()
    assert torch.equal(x, before)
