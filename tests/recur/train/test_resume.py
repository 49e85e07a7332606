"""Research mode: checkpoints are whole or passed over, and a run that went on ends bit for bit like one that was not broken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from recur.data.dataset import Dataset
from recur.errors import StorageError
from recur.pipeline.training import checkpoint_store, train_attempt
from recur.record.journal import append_line, read_events, without_redone
from recur.seedspec import SeedSpec, load_spec, save_spec
from recur.train.loop import TrainingLoop
from recur.train.ranks import Ranks
from recur.train.resume.keeper import Keeper
from recur.train.resume.pack import pack, unpack
from recur.train.resume.storage import open_storage
from recur.train.resume.store import CheckpointStore
from tests.recipes import tiny_recipe

CPU = torch.device("cpu")
RESEARCH = ("mode=research", "train.checkpoint_every_s=0", "train.steps=12", "train.log_every=1")


def spec_of(out: Path, dataset: Dataset, *overrides: str, attempt: int = 1) -> SeedSpec:
    recipe = tiny_recipe(*RESEARCH, *overrides)
    return SeedSpec(sweep="swp", seed=7, attempt=attempt, recipe=recipe, dataset_root=dataset.root, out=out)


def train(spec: SeedSpec) -> None:
    spec.attempt_dir.create()
    train_attempt(spec, ranks=Ranks(), device=CPU)


def files(spec: SeedSpec) -> dict[str, bytes]:
    """The weights, Hessians and moments that a training has left."""
    return {path.name: path.read_bytes() for path in sorted(spec.attempt_dir.folder.glob("*.safetensors"))}


def small_store(folder: Path, **changes: Any) -> CheckpointStore:
    return replace(CheckpointStore(storage=open_storage(folder), identity="me", world=1, keep=2), **changes)


TREE = {
    "numbers": [1, 2.5, None, True, "text"],
    "by_index": {0: {"step": torch.tensor(3.0), "betas": (0.9, 0.95)}, 7: {}},
    "array": np.arange(5, dtype=np.uint32),
    "half": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
    "nothing": torch.zeros(0, 3),
}


def test_a_state_comes_back_as_it_was() -> None:
    packed = pack(TREE)
    again = unpack(replace(packed, plain=json.loads(json.dumps(packed.plain))))
    assert again["numbers"] == TREE["numbers"] and list(again["by_index"]) == [0, 7]
    assert again["by_index"][0]["betas"] == [0.9, 0.95]
    assert again["array"].dtype == np.uint32 and again["array"].tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(again["half"], TREE["half"]) and again["nothing"].shape == (0, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="set cannot be part of a checkpoint"):
        pack({"a": {1}})


def test_a_packed_tensor_is_a_copy() -> None:
    live = torch.zeros(3)
    packed = pack([live])
    live += 1
    assert packed.tensors["t0"].tolist() == [0, 0, 0]


def test_checkpoints_change_nothing_and_only_the_last_are_kept(tmp_path: Path, tiny_dataset: Dataset) -> None:
    plain, research = spec_of(tmp_path / "a", tiny_dataset, "mode=record"), spec_of(tmp_path / "b", tiny_dataset)
    train(plain)
    train(research)
    assert files(plain) == files(research)
    assert not (tmp_path / "a" / "swp" / "seed_7" / "checkpoints").exists()
    kept = checkpoint_store(research, tiny_dataset, 1).steps()
    assert len(kept) == research.recipe.train.checkpoints_kept and max(kept) <= 11


@pytest.mark.parametrize("at", [1, 4, 8])
def test_an_attempt_goes_on_from_another_ones_checkpoint(tmp_path: Path, tiny_dataset: Dataset, at: int) -> None:
    whole, broken = spec_of(tmp_path / "a", tiny_dataset), spec_of(tmp_path / "b", tiny_dataset, "train.checkpoints_kept=99")
    train(whole)
    train(broken)
    store = checkpoint_store(broken, tiny_dataset, 1)
    for step in store.steps():
        if step > at:
            store.storage.delete(f"step_{step:08d}")
    reached = max(store.steps())
    second = replace(broken, attempt=2)
    train(second)
    assert files(second) == files(whole)
    events = read_events(second.attempt_dir.path("progress.jsonl"))
    assert [e.fields["step"] for e in events if e.kind == "resumed"] == [reached]
    assert min(int(str(e.fields["step"])) for e in events if e.kind == "step") == reached + 1


def _on_rank(rank: int, meet: Path, spec_file: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
    train_attempt(load_spec(spec_file), ranks=Ranks(rank, 2), device=CPU)
    torch.distributed.destroy_process_group()


def test_two_ranks_go_on_together(tmp_path: Path, tiny_dataset: Dataset) -> None:
    spec = spec_of(tmp_path, tiny_dataset, "cluster.workers=2", "train.checkpoints_kept=99")
    for attempt in (1, 2):
        spec = replace(spec, attempt=attempt)
        save_spec(spec.attempt_dir.create().path("spec.json"), spec)
        meet = tmp_path / f"meet{attempt}"
        mp.spawn(_on_rank, args=(meet, spec.attempt_dir.path("spec.json")), nprocs=2)  # type: ignore[attr-defined,no-untyped-call]
        if attempt == 1:
            store = checkpoint_store(spec, tiny_dataset, 2)
            *_, before, newest = store.steps()
            (Path(store.storage.base) / f"step_{newest:08d}" / "rank_1.json").unlink()
    first, second = replace(spec, attempt=1), spec
    assert files(first) == files(second)
    events = read_events(second.attempt_dir.path("progress.jsonl"))
    assert [e.fields["step"] for e in events if e.kind == "resumed"] == [before]
    assert any("rank_1.json is missing" in str(e.fields["reason"]) for e in events if e.kind == "checkpoint_refused")


def test_a_run_of_another_recipe_or_seed_is_not_gone_on_with(tmp_path: Path) -> None:
    small_store(tmp_path).write(3, 0, TREE)
    assert small_store(tmp_path).resumable().step == 3
    for other in ({"identity": "you"}, {"world": 2}):
        found = small_store(tmp_path, **other).resumable()
        assert found.step is None and "is of another run" in found.refused[0]


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, tiny_dataset: Dataset) -> None:
    whole, broken = spec_of(tmp_path / "a", tiny_dataset), spec_of(tmp_path / "b", tiny_dataset)
    train(whole)
    train(broken)
    store = checkpoint_store(broken, tiny_dataset, 1)
    newest = Path(store.storage.base) / f"step_{store.steps()[-1]:08d}" / "rank_0.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    second = replace(broken, attempt=2)
    train(second)
    assert files(second) == files(whole)
    told = [e for e in read_events(second.attempt_dir.path("progress.jsonl")) if e.kind == "checkpoint_refused"]
    assert len(told) == 1 and str(newest) in str(told[0].fields["reason"])


def test_checkpoints_of_another_recipe_are_left_alone_and_none_of_ours_is_taken_for_old(
    tmp_path: Path, tiny_dataset: Dataset
) -> None:
    before = spec_of(tmp_path, tiny_dataset, "train.steps=20")
    train(before)
    theirs = checkpoint_store(before, tiny_dataset, 1)
    now = spec_of(tmp_path, tiny_dataset, attempt=2)
    train(now)
    mine = checkpoint_store(now, tiny_dataset, 1)
    assert max(theirs.steps()) > 12 >= max(mine.steps())
    assert mine.resumable().step == max(mine.steps())


def test_what_is_newer_than_the_checkpoint_gone_on_from_is_removed(tmp_path: Path, tiny_dataset: Dataset) -> None:
    spec = spec_of(tmp_path, tiny_dataset)
    train(spec)
    store = checkpoint_store(spec, tiny_dataset, 1)
    store.write(99, 0, {"weights": None})  # whole, but not to be taken in
    store.storage.write("step_00000077/rank_1.json", b"of another run")
    train(replace(spec, attempt=2))
    kept = store.steps()
    assert max(kept) <= 11 and len(kept) == store.keep
    assert store.resumable().step == max(kept)


def test_a_lagged_vote_is_no_step_late_after_a_resume(
    tmp_path: Path, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schedule follows the clock: with a vote of nothing the second step would have the full learning rate again."""
    asked: list[float] = []
    elapsed_s = TrainingLoop._elapsed_s

    def note(self: TrainingLoop) -> float:
        asked.append(elapsed_s(self))
        return asked[-1]

    timed = ("train.lagged_vote=true", "train.wallclock_s=600", "train.checkpoints_kept=99")
    spec = spec_of(tmp_path, tiny_dataset, *timed)
    train(spec)
    store = checkpoint_store(spec, tiny_dataset, 1)
    oldest, *_ = store.steps()
    store.remove_above(oldest)
    reached_s = store.read(oldest, 0)["clock_s"]
    monkeypatch.setattr(TrainingLoop, "_elapsed_s", note)
    train(replace(spec, attempt=2))
    assert reached_s > 0
    assert min(asked) == pytest.approx(reached_s, rel=1e-6)  # votes are of single precision
    assert sorted(asked) == pytest.approx(asked, rel=1e-6)


def test_weights_of_another_shape_are_refused_though_their_hashes_are_right(tmp_path: Path, tiny_dataset: Dataset) -> None:
    spec = spec_of(tmp_path, tiny_dataset)
    train(spec)
    store = checkpoint_store(spec, tiny_dataset, 1)
    step = store.steps()[-1]
    state = store.read(step, 0)
    state["weights"].popitem()
    store.write(step, 0, state)
    second = replace(spec, attempt=2)
    train(second)
    told = [e for e in read_events(second.attempt_dir.path("progress.jsonl")) if e.kind == "checkpoint_refused"]
    assert "has other weights than the recipe's model" in str(told[0].fields["reason"])


def test_what_was_made_again_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    for kind, step in (("step", 1), ("step", 2), ("val", 2), ("step", 3), ("resumed", 1), ("step", 2), ("val", 2), ("step", 3)):
        append_line(path, kind, {"step": step}, at=0.0)
    assert [(e.kind, e.fields["step"]) for e in without_redone(read_events(path))] == [
        ("step", 1),
        ("resumed", 1),
        ("step", 2),
        ("val", 2),
        ("step", 3),
    ]


def test_a_checkpoint_that_cannot_be_written_is_told_and_the_next_one_is_tried(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    keeper = Keeper(small_store(tmp_path / "taken" / "below"), 0)
    keeper.begin(1, TREE)
    keeper.wait()
    ((kind, fields),) = keeper.news()
    assert kind == "checkpoint_failed" and "cannot be written" in str(fields["reason"])
    (tmp_path / "taken").unlink()
    keeper.begin(2, TREE)
    keeper.wait()
    assert keeper.news() == [("checkpoint", {"step": 2})] and keeper.store.resumable().step == 2


def test_a_checkpoint_that_cannot_be_packed_is_told_too(tmp_path: Path) -> None:
    keeper = Keeper(small_store(tmp_path), 0)
    keeper.begin(1, {"no tensor": object()})
    keeper.wait()
    ((kind, fields),) = keeper.news()
    assert (kind, fields["step"]) == ("checkpoint_failed", 1) and fields["reason"]


@pytest.mark.parametrize("place", ["nowhere://x/y", "s3://"])
def test_storage_of_no_known_kind_is_refused_in_one_line(place: str) -> None:
    with pytest.raises(StorageError) as refused:
        open_storage(place)
    assert "\n" not in str(refused.value) and place in str(refused.value)
