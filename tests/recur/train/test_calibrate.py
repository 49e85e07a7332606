"""Calibration on the clock, its file, and the same sums off the clock in shares."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor

from recur.data.dataset import Dataset, load_dataset
from recur.errors import ArtifactError, RecurError
from recur.pipeline.recalibrate import CalibrateItem, calibrate_share
from recur.quantize.hessian import HessianSum
from recur.train.calibrate import Calibration, calibration_units
from recur.train.checkpoint import MOMENTS_FILE, SUMMARY_FILE, Trained, load_trained, payloads, save_trained
from recur.train.ranks import Ranks
from recur.train.run import train_seed
from tests.recipes import tiny_recipe

CPU = torch.device("cpu")
SHORT = ("train.steps=2", "train.recurrence_start_step=1", "train.val_every=0", "train.warmup_steps=0")
OURS = (*SHORT, "quantize.hessian_ranks=all", "quantize.calibration_batches=3", "quantize.fisher_batches=2")
HEAD = "tok_emb.weight"


def _worker(rank: int, world: int, port: int, root: Path, out: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    recipe = tiny_recipe(*OURS, "cluster.workers=2")
    trained = train_seed(recipe, 7, load_dataset(root), ranks=Ranks(rank, world), device=CPU)
    (out / f"rank{rank}").mkdir(parents=True)
    save_trained(out / f"rank{rank}", trained)
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def alone(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training on one rank, with moments."""
    folder = tmp_path_factory.mktemp("alone")
    save_trained(folder, train_seed(tiny_recipe(*OURS), 7, tiny_dataset, ranks=Ranks(), device=CPU))
    return folder


def tensors(sums: Calibration | Trained) -> dict[str, Tensor]:
    """Every tensor of a calibration under a name of its own."""
    found = {f"hessian {name}": t for name, t in sums.hessians.sums.items()}
    if sums.moments is not None:
        found |= {f"output {name}": t for name, t in sums.moments.outputs.items()}
        found |= {f"lookup {name}": t for name, t in sums.moments.lookups.items()}
    return found


def assert_close(mine: Calibration | Trained, theirs: Calibration | Trained) -> None:
    first, second = tensors(mine), tensors(theirs)
    assert list(first) == list(second)
    for name, value in first.items():  # float32 sums in another order
        assert torch.allclose(value, second[name], rtol=1e-4, atol=1e-5 * float(value.abs().max())), name
    assert mine.hessians.batches == theirs.hessians.batches
    assert mine.moments is not None and theirs.moments is not None
    assert (mine.moments.tokens, mine.moments.visits) == (theirs.moments.tokens, theirs.moments.visits)


def in_shares(folder: Path, dataset: Dataset, parts: int, world: int, *overrides: str) -> Calibration:
    recipe = tiny_recipe(*OURS, *overrides)
    whole = CalibrateItem(folder=folder, dataset_root=dataset.root, recipe=recipe, world=world, parts=parts)
    items = [pickle.loads(pickle.dumps(replace(whole, part=part))) for part in range(parts)]
    return reduce(add, map(calibrate_share, items))


def test_training_leaves_the_moments_of_the_first_fisher_batches(alone: Path) -> None:
    trained = load_trained(alone)
    moments = trained.moments
    assert moments is not None and moments.tokens == 2 * 256  # two micro-batches of 256 tokens
    assert set(moments.outputs) == set(trained.hessians.sums) and HEAD in moments.outputs
    assert moments.visits["blocks.1.mlp.fc.weight"] == 2 * moments.visits["blocks.0.mlp.fc.weight"] == 2 * moments.tokens
    assert trained.hessians.batches == 3 and trained.hessians.sums[HEAD].shape == (32, 32)
    assert all(torch.isfinite(t).all() for t in tensors(trained).values())


def test_without_fisher_batches_there_are_no_moments_and_no_hessian_of_a_table(tiny_dataset: Dataset, tmp_path: Path) -> None:
    trained = train_seed(tiny_recipe(*SHORT), 7, tiny_dataset, ranks=Ranks(), device=CPU)
    save_trained(tmp_path, trained)
    assert trained.moments is None and load_trained(tmp_path).moments is None
    assert HEAD not in trained.hessians.sums and "blocks.0.mlp.fc.weight" in trained.hessians.sums
    assert payloads(tmp_path) == ("ema.safetensors", "hessians.safetensors", "train.json")


def test_moments_survive_the_disk_and_damage_is_refused(alone: Path, tmp_path: Path) -> None:
    trained = load_trained(alone)
    save_trained(tmp_path, trained)
    back = load_trained(tmp_path)
    assert all(torch.equal(t, tensors(back)[name]) for name, t in tensors(trained).items())
    assert payloads(tmp_path) == ("ema.safetensors", "hessians.safetensors", "moments.safetensors", "train.json")
    index = json.loads((tmp_path / SUMMARY_FILE).read_text())
    index["moments"]["visits"]["other"] = 1
    (tmp_path / SUMMARY_FILE).write_text(json.dumps(index))
    with pytest.raises(ArtifactError, match="does not fit the payload"):
        load_trained(tmp_path)
    (tmp_path / MOMENTS_FILE).write_bytes(b"no longer")
    with pytest.raises(ArtifactError, match="sha256"):
        load_trained(tmp_path)


def test_a_folder_from_before_there_were_moments_still_loads(alone: Path, tmp_path: Path) -> None:
    save_trained(tmp_path, replace(load_trained(alone), moments=None))
    index = json.loads((tmp_path / SUMMARY_FILE).read_text())
    del index["moments"]
    (tmp_path / SUMMARY_FILE).write_text(json.dumps(index))
    assert load_trained(tmp_path).moments is None
    assert payloads(tmp_path) == ("ema.safetensors", "hessians.safetensors", "train.json")


@pytest.mark.parametrize("parts", [1, 3, 5])
def test_shares_off_the_clock_add_up_to_the_calibration_on_it(alone: Path, tiny_dataset: Dataset, parts: int) -> None:
    assert_close(in_shares(alone, tiny_dataset, parts, 1), load_trained(alone))


def test_two_ranks_merge_what_two_ranks_in_three_shares_find(tiny_dataset: Dataset, tmp_path: Path) -> None:
    mp.spawn(_worker, args=(2, 29617, tiny_dataset.root, tmp_path), nprocs=2)  # type: ignore[attr-defined,no-untyped-call]
    first, second = (load_trained(tmp_path / f"rank{rank}") for rank in range(2))
    assert all(torch.equal(t, tensors(second)[name]) for name, t in tensors(first).items())
    assert first.hessians.batches == 6 and first.moments is not None and first.moments.tokens == 2 * 2 * 256
    assert_close(in_shares(tmp_path / "rank0", tiny_dataset, 3, 2), first)


def test_one_ranks_share_is_what_the_reference_would_count(alone: Path, tiny_dataset: Dataset) -> None:
    sums = in_shares(alone, tiny_dataset, 2, 2, "quantize.hessian_ranks=rank0")
    assert sums.hessians.batches == 3 and sums.moments is not None and sums.moments.tokens == 2 * 256


def test_units_are_numbered_by_micro_batch_then_rank() -> None:
    units = calibration_units(tiny_recipe(*OURS), 2, 3)
    assert [(u.micro, u.rank, u.number) for u in units[:3]] == [(0, 0, 0), (0, 1, 1), (1, 0, 2)]
    assert [u.number for u in units] == list(range(6))


def test_calibrations_with_and_without_moments_cannot_be_added(alone: Path) -> None:
    trained = load_trained(alone)
    empty = HessianSum.shared(trained.hessians.distinct(), trained.hessians.aliases(), 1)
    one, other = Calibration(hessians=empty, moments=None), Calibration(hessians=empty, moments=trained.moments)
    assert (one + one).moments is None and (one + one).hessians.batches == 2
    with pytest.raises(RecurError, match="with and without moments"):
        one + other
