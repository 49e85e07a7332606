"""A training quantized, fitted and evaluated again: same settings, other settings, calibration in shares, on Ray."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import pytest
import torch

from recur.errors import ArtifactError, RecipeError
from recur.pipeline.recalibrate import CalibrateItem, calibrate_share
from recur.pipeline.refit import Refit, attempt_of, refit, refit_recipe
from recur.recipe import override
from recur.record.atomic import sha256_of
from recur.record.refit_table import refit_fields, refit_table
from recur.record.result import Phase, SeedResult, State
from recur.seedspec import SeedSpec
from recur.train.calibrate import Calibration
from recur.train.checkpoint import load_trained
from tests.solved import NoTraining

Solved = tuple[SeedSpec, SeedResult]
HELD_OUT = 1024


def again(source: SeedSpec, out: Path, *overrides: str, sweep: str = "again", shares: int = 0, backend: Any = None) -> Refit:
    recipe = refit_recipe(source.recipe, override(source.recipe, overrides), recalibrated=shares > 0)
    return refit(
        source,
        recipe,
        out=out,
        sweep=sweep,
        backend=backend or NoTraining(),
        recalibrate_shares=shares,
        held_out_tokens=HELD_OUT,
    )


def shared(spec: SeedSpec, parts: int) -> Calibration:
    folder, root = spec.attempt_dir.folder, spec.dataset_root
    items = [
        CalibrateItem(folder=folder, dataset_root=root, recipe=spec.recipe, world=1, part=part, parts=parts)
        for part in range(parts)
    ]
    return reduce(add, [calibrate_share(item) for item in items])


def test_an_artifact_or_its_folder_names_the_attempt_wherever_it_was_moved(solved: Solved, tmp_path: Path) -> None:
    spec, _ = solved
    assert attempt_of(spec.attempt_dir.folder) == spec
    assert attempt_of(spec.attempt_dir.path("artifact.ptz")) == spec
    moved = replace(spec, out=tmp_path, sweep="other")
    moved.attempt_dir.create().path("spec.json").write_bytes(spec.attempt_dir.path("spec.json").read_bytes())
    assert attempt_of(moved.attempt_dir.folder) == moved


def test_the_same_settings_give_the_same_artifact_beside_an_untouched_attempt(solved: Solved, tmp_path: Path) -> None:
    spec, result = solved
    before = {path.name: sha256_of(path) for path in spec.attempt_dir.folder.iterdir()}
    found = again(spec, tmp_path)
    assert found.folder == tmp_path / "again" / "seed_42" / "a1"
    assert found.result.model_sha256 == result.model_sha256
    assert found.result.val_bpb == result.val_bpb
    assert found.compressions == json.loads(spec.attempt_dir.path("record_fit.json").read_text())["fields"]["compressions"]
    assert found.divergence is not None
    assert found.divergence.tokens == HELD_OUT
    assert found.divergence.kl > 0 and found.divergence.kl_se > 0
    assert {path.name: sha256_of(path) for path in spec.attempt_dir.folder.iterdir()} == before
    text = refit_fields(found)
    assert text["tax_bpb"] == pytest.approx((result.val_bpb.roundtrip or 0) - (result.val_bpb.trained or 0))
    assert json.loads(json.dumps(text))["divergence"]["kl"] == found.divergence.kl
    assert [column.header for column in refit_table(found).columns] == ["seed 42", "SUCCEEDED"]


def test_another_rule_gives_another_artifact_of_the_same_training(solved: Solved, tmp_path: Path) -> None:
    spec, result = solved
    found = again(spec, tmp_path, "quantize.scale_rule=sdclip", "quantize.step_layout=row", "artifact.cap_bytes=19000")
    assert found.result.model_sha256 != result.model_sha256
    assert (found.result.total_bytes or 0) < 19_000
    assert found.result.val_bpb.trained == result.val_bpb.trained
    assert found.result.val_bpb.last_step == result.val_bpb.last_step


def test_a_cap_that_cannot_be_met_is_a_result_without_a_divergence(solved: Solved, tmp_path: Path) -> None:
    found = again(solved[0], tmp_path, "artifact.cap_bytes=500")
    assert (found.result.state, found.divergence, found.compressions) == (State.INVALID, None, None)
    assert "smallest size" in str(refit_fields(found)["error"])
    assert "smallest size" in str(refit_table(found).caption)


@pytest.mark.parametrize("parts", [1, 3])
def test_shares_of_the_calibration_add_up_to_the_trainings(solved: Solved, parts: int) -> None:
    spec, _ = solved
    trained, found = load_trained(spec.attempt_dir.folder), shared(spec, parts)
    assert found.hessians.batches == trained.hessians.batches
    assert found.hessians.aliases() == trained.hessians.aliases()
    pairs = [(found.hessians.sums[name], total) for name, total in trained.hessians.sums.items()]
    assert found.moments is not None and trained.moments is not None
    assert (found.moments.tokens, found.moments.visits) == (trained.moments.tokens, trained.moments.visits)
    pairs += [(found.moments.outputs[name], total) for name, total in trained.moments.outputs.items()]
    pairs += [(found.moments.lookups[name], total) for name, total in trained.moments.lookups.items()]
    for mine, theirs in pairs:
        # the same terms in float32, summed in another order
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_calibrating_again_is_recorded_and_leaves_whole_payloads(solved: Solved, tmp_path: Path) -> None:
    spec, _ = solved
    backend = NoTraining()
    found = again(spec, tmp_path, "quantize.fisher_batches=3", shares=2, backend=backend)
    attempt = attempt_of(found.folder).attempt_dir
    record, train = attempt.read_record(Phase.CALIBRATE), attempt.read_record(Phase.TRAIN)
    assert record is not None and record.fields["again"] is True
    assert train is not None and {p.file for p in train.payloads} >= {"moments.safetensors", "train.json"}
    moments, before = load_trained(found.folder).moments, load_trained(spec.attempt_dir.folder).moments
    assert moments is not None and before is not None
    assert 2 * moments.tokens == 3 * before.tokens
    assert "calibrate[seed=42 2/2]" in backend.names
    assert found.result.state is State.SUCCEEDED


@pytest.mark.parametrize("change", ["model.qk_gain_init=2.0", "train.steps=4", "optim.beta1=0.8", "data.val_docs=7"])
def test_what_shaped_the_training_cannot_be_changed(solved: Solved, change: str) -> None:
    recipe = solved[0].recipe
    with pytest.raises(RecipeError, match=r"cannot be changed by a refit, only quantize, artifact, evaluate, cluster can"):
        refit_recipe(recipe, override(recipe, [change]), recalibrated=True)


def test_other_calibration_needs_to_be_done_again(solved: Solved) -> None:
    recipe = solved[0].recipe
    wanted = override(recipe, ["quantize.calibration_batches=3"])
    with pytest.raises(RecipeError, match=r"calibration_batches=3 is not what .* \(2\); calibrate again: add --recalibrate"):
        refit_recipe(recipe, wanted)
    assert refit_recipe(recipe, wanted, recalibrated=True) == wanted


def test_a_folder_that_is_no_attempt_is_refused(solved: Solved, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"spec\.json does not exist"):
        attempt_of(tmp_path)
    (tmp_path / "spec.json").write_bytes(solved[0].attempt_dir.path("spec.json").read_bytes())
    with pytest.raises(ArtifactError, match="is not the folder seed_42/a1 of its spec"):
        attempt_of(tmp_path)


def test_an_unfinished_training_and_an_existing_folder_are_refused_before_anything_is_made(
    solved: Solved, tmp_path: Path
) -> None:
    spec, _ = solved
    unfinished = replace(spec, out=tmp_path / "from")
    unfinished.attempt_dir.create()
    with pytest.raises(ArtifactError, match="has no finished training"):
        again(unfinished, tmp_path / "to")
    assert not (tmp_path / "to").exists()
    replace(spec, out=tmp_path / "to", sweep="again").attempt_dir.create()
    with pytest.raises(ArtifactError, match="exists already"):
        again(spec, tmp_path / "to")


def test_a_damaged_checkpoint_is_told_by_its_name_and_leaves_no_folder(solved: Solved, tmp_path: Path) -> None:
    spec, _ = solved
    copy = replace(spec, out=tmp_path / "from")
    copy.attempt_dir.create().adopt(spec.attempt_dir, (Phase.TRAIN, Phase.CALIBRATE))
    path = copy.attempt_dir.path("hessians.safetensors")
    blob = bytearray(path.read_bytes())
    path.unlink()  # a hard link of the first attempt's
    blob[-1] ^= 1
    path.write_bytes(bytes(blob))
    with pytest.raises(ArtifactError, match=r"hessians\.safetensors"):
        again(copy, tmp_path / "to")
    assert not (tmp_path / "to").exists()
