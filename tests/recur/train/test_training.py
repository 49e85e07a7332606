"""Training end to end at tiny dims: determinism, ranks, warm-up, clock, checkpoint, and the CUDA path's policy on CPU."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from recur.config import ModelConfig, Recipe
from recur.data.dataset import Dataset, validation_tokens
from recur.errors import ArtifactError, RecurError
from recur.train.checkpoint import SUMMARY_FILE, WEIGHTS_FILE, Trained, load_trained, save_trained
from recur.train.clock import Clock
from recur.train.flops import training_flops_per_token
from recur.train.ranks import Ranks
from recur.train.run import SeedTrainer, train_seed
from tests.recipes import tiny_recipe

CPU = torch.device("cpu")


class Recorder:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, float | int | str]]] = []

    def event(self, kind: str, fields: dict[str, float | int | str]) -> None:
        self.events.append((kind, fields))

    def of(self, kind: str) -> list[dict[str, float | int | str]]:
        return [fields for k, fields in self.events if k == kind]


def train(recipe: Recipe, dataset: Dataset, seed: int = 7, observer: Recorder | None = None) -> Trained:
    return train_seed(recipe, seed, dataset, ranks=Ranks(), device=CPU, observer=observer)


def _worker(rank: int, world: int, port: int, root: Path, out: Path, overrides: tuple[str, ...]) -> None:
    from recur.data.dataset import load_dataset

    torch.set_num_threads(1)
    store = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    recipe = tiny_recipe(*overrides)
    trained = train_seed(recipe, 7, load_dataset(root), ranks=Ranks(rank, world), device=CPU)
    folder = out / f"rank{rank}"
    folder.mkdir(parents=True)
    save_trained(folder, trained)
    torch.distributed.destroy_process_group()


def on_ranks(dataset: Dataset, out: Path, port: int, *overrides: str, world: int = 2) -> list[Trained]:
    mp.spawn(_worker, args=(world, port, dataset.root, out, overrides), nprocs=world)  # type: ignore[attr-defined,no-untyped-call]
    return [load_trained(out / f"rank{rank}") for rank in range(world)]


def test_a_run_tells_its_story_and_learns(tiny_dataset: Dataset) -> None:
    recorder = Recorder()
    trained = train(tiny_recipe("train.steps=12"), tiny_dataset, observer=recorder)
    assert [f["phase"] for f in recorder.of("phase")] == ["setup", "train", "calibrate"]
    assert [f["step"] for f in recorder.of("val")] == [0, 3, 6, 9, 12]
    assert recorder.of("recurrence") == [{"step": 3, "virtual_layers": "0,1,2,1,2,3,4"}]
    assert trained.summary.recurrence_active and trained.summary.stop_reason == "steps"
    assert trained.summary.first_val_loss is not None
    assert trained.summary.last_step_loss < trained.summary.first_val_loss - 0.3
    assert trained.hessians.batches == 2 and all(torch.isfinite(h).all() for h in trained.hessians.sums.values())


def test_two_runs_of_one_seed_are_bit_identical_and_another_seed_is_not(tiny_dataset: Dataset) -> None:
    a, b, c = (train(tiny_recipe(), tiny_dataset, seed) for seed in (7, 7, 8))
    assert all(torch.equal(a.ema[k], b.ema[k]) for k in a.ema)
    assert all(torch.equal(a.hessians.sums[k], b.hessians.sums[k]) for k in a.hessians.sums)
    assert not torch.equal(a.ema["tok_emb.weight"], c.ema["tok_emb.weight"])


def test_warm_up_leaves_no_trace(tiny_dataset: Dataset) -> None:
    without = train(tiny_recipe("train.warmup_steps=0"), tiny_dataset)
    with_it = train(tiny_recipe("train.warmup_steps=3"), tiny_dataset)
    assert all(torch.equal(without.ema[k], with_it.ema[k]) for k in without.ema)
    assert without.summary.warmup_state_sha256 == with_it.summary.warmup_state_sha256


def test_a_warm_up_that_leaves_a_trace_is_found_out(tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recur.train.warmup.Optimizers.load_state_dict", lambda *_: None)
    with pytest.raises(RecurError, match="warm-up left a trace"):
        train(tiny_recipe("train.warmup_steps=2"), tiny_dataset)


def test_two_ranks_agree_with_each_other_and_merge_their_hessians(tiny_dataset: Dataset, tmp_path: Path) -> None:
    first, second = on_ranks(tiny_dataset, tmp_path, 29611, "cluster.workers=2", "quantize.hessian_ranks=all")
    assert all(torch.equal(first.ema[k], second.ema[k]) for k in first.ema)
    assert all(torch.equal(first.hessians.sums[k], second.hessians.sums[k]) for k in first.hessians.sums)
    assert first.hessians.batches == 4 and first.summary.last_step_bpb == second.summary.last_step_bpb


FAST = ("model.fused_qkv=true", "train.lagged_vote=true", "train.prefetch=true")
"""Switches whose run ends with the same losses."""


@pytest.mark.parametrize(("world", "port"), [(2, 29612), (4, 29613)])
def test_ranks_with_the_same_windows_train_the_same_model_with_every_fast_path(
    tiny_dataset: Dataset, tmp_path: Path, world: int, port: int
) -> None:
    """A world with as many micro-batches draws the windows of world 1 with one (REFERENCE 3)."""
    overrides = (f"cluster.workers={world}", "train.steps=4", f"train.micro_batches={world}")
    together = on_ranks(tiny_dataset, tmp_path, port, *overrides, *FAST, world=world)
    alone = train(tiny_recipe("train.steps=4", "train.micro_batches=1"), tiny_dataset)
    for trained in together:
        assert trained.summary.last_step_loss == pytest.approx(alone.summary.last_step_loss, abs=2e-5)
        for key, value in alone.ema.items():
            assert torch.allclose(value, trained.ema[key], atol=2e-4), key  # float32 sums in another order, four steps
            assert torch.equal(trained.ema[key], together[0].ema[key]), key


@pytest.mark.parametrize("switch", FAST)
def test_a_fast_path_alone_changes_no_more_than_rounding(tiny_dataset: Dataset, switch: str) -> None:
    plain, fast = (train(tiny_recipe(*overrides), tiny_dataset) for overrides in ((), (switch,)))
    assert fast.summary.last_step_loss == pytest.approx(plain.summary.last_step_loss, abs=2e-5)
    for key, value in plain.ema.items():
        assert torch.allclose(value, fast.ema[key], atol=2e-4), key


@pytest.mark.parametrize(("lagged", "tick_s", "steps"), [("false", 0.5, 10), ("true", 1.0, 11)])
def test_the_wall_clock_stops_training_and_steers_the_schedule(
    tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch, lagged: str, tick_s: float, steps: int
) -> None:
    ticks = iter(range(1_000_000))
    monkeypatch.setattr("recur.train.run.Clock", lambda: Clock(lambda: next(ticks) * tick_s))
    clock = ("train.wallclock_s=14.0", "train.calibration_reserve_s=4.0")
    recipe = tiny_recipe("train.steps=500", *clock, "train.val_every=0", "train.log_every=500", f"train.lagged_vote={lagged}")
    summary = train(recipe, tiny_dataset).summary
    assert (summary.stop_reason, summary.steps) == ("wallclock", steps)
    assert 10.0 <= summary.train_s < 20.0


def test_clock_excludes_pauses() -> None:
    ticks = iter([0.0, 1.0, 5.0, 7.0])
    clock = Clock(lambda: next(ticks))
    with clock.paused():
        pass
    assert clock.elapsed_s() == 3.0


def test_flops_of_the_record_shape_are_the_published_count() -> None:
    assert training_flops_per_token(ModelConfig(), recurrence=False) / 1e6 == pytest.approx(283.9, abs=0.05)
    assert training_flops_per_token(ModelConfig(), recurrence=True) / 1e6 == pytest.approx(333.2, abs=0.05)


def test_checkpoint_survives_the_disk(tiny_dataset: Dataset, tmp_path: Path) -> None:
    trained = train(tiny_recipe(), tiny_dataset)
    save_trained(tmp_path, trained)
    back = load_trained(tmp_path)
    assert list(back.ema) == list(trained.ema) and back.summary == trained.summary
    assert all(torch.equal(back.ema[k], trained.ema[k]) for k in trained.ema)
    assert back.hessians.aliases() == trained.hessians.aliases()


def test_a_damaged_or_unfinished_checkpoint_is_refused(tiny_dataset: Dataset, tmp_path: Path) -> None:
    save_trained(tmp_path, train(tiny_recipe("train.steps=1", "train.recurrence_start_step=0"), tiny_dataset))
    blob = bytearray((tmp_path / WEIGHTS_FILE).read_bytes())
    blob[len(blob) // 2] ^= 1
    (tmp_path / WEIGHTS_FILE).write_bytes(blob)
    with pytest.raises(ArtifactError, match="sha256"):
        load_trained(tmp_path)
    (tmp_path / SUMMARY_FILE).write_text(json.dumps({"summary": {}}))
    with pytest.raises(ArtifactError, match="not a training summary"):
        load_trained(tmp_path)
    (tmp_path / SUMMARY_FILE).unlink()
    with pytest.raises(ArtifactError, match="training did not finish"):
        load_trained(tmp_path)


def test_cuda_path_trains_compiled_at_both_depths_under_bf16(tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record precision policy, bf16 autocast and torch.compile, as on a GPU, on the CPU: twenty steps through the switch.

    Graphs are traced and partitioned as always, and run by aot_eager: building inductor's C++ takes minutes
    (benchmarks.bars.compile_cache does it).
    """
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    recipe = tiny_recipe(
        "model.layers=2",
        "model.recurrent_layers=[0]",
        "model.value_embedding_layers=[1]",
        "model.parallel_from_layer=1",
        "model.xsa_last_layers=2",
        "train.precision=bf16",
        "train.compile=true",
        "train.precompile_recurrence=true",
        "train.steps=20",
        "train.recurrence_start_step=10",
        "train.val_every=10",
        "optim.newton_schulz_dtype=bf16",
    )
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    trainer = SeedTrainer(recipe, 7, tiny_dataset, ranks=Ranks(), device=CPU, observer=None, read_validation=validation_tokens)
    summary = trainer.run().summary
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs == 2, f"one graph per depth, all compiled in warm-up, but {graphs} graphs"
    assert summary.first_val_loss is not None and math.isfinite(summary.last_step_loss)
    assert summary.last_step_loss < summary.first_val_loss - 0.3


def test_a_recipe_without_recurrence_lanes_or_values_trains(tiny_dataset: Dataset) -> None:
    recipe = tiny_recipe("model.recurrent_layers=[]", "model.parallel_from_layer=0", "model.value_embedding_layers=[]")
    summary = train(dataclasses.replace(recipe), tiny_dataset).summary
    assert not summary.recurrence_active and summary.steps == 6
