import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recur.data.dataset import Dataset, validation_tokens
from recur.errors import ArtifactError, DataError, RecipeError
from recur.evaluate.artifact import load_model
from recur.evaluate.rescore import read_provenance, rescore, with_context
from recur.evaluate.runner import evaluate_part, merge
from recur.recipe import override
from tests.recur.evaluate.attempts import tiny_dataset, tiny_recipe, write_attempt

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("data"), tiny_recipe())


def test_provenance_is_read_from_beside_the_artifact(tmp_path: Path, dataset: Dataset) -> None:
    recipe = tiny_recipe()
    source = read_provenance(write_attempt(tmp_path / "a1", recipe, dataset.root, recurrence=False))
    assert (source.recipe, source.dataset_root, source.recurrence) == (recipe, dataset.root, False)


def test_two_parts_of_the_real_model_score_like_one_to_a_millionth_of_a_bit(tmp_path: Path, dataset: Dataset) -> None:
    recipe = tiny_recipe()
    path = write_attempt(tmp_path / "a1", recipe, dataset.root)
    tokens, table = validation_tokens(dataset, 32), dataset.byte_table()
    model = load_model(path, recipe, CPU, recurrence=True)
    whole = rescore(path, read_provenance(path), modes=("plain", "sliding"), context_tokens=None, device=CPU)
    for mode, one in whole.items():
        two = merge(
            [evaluate_part(model, tokens, table, recipe.evaluate, mode, k, 2, device=CPU, precision="fp32") for k in (1, 0)]
        )
        assert (two.tokens, two.bytes) == (one.tokens, one.bytes)
        assert two.val_bpb == pytest.approx(one.val_bpb, abs=1e-6)


def test_plain_and_sliding_score_the_bytes_of_the_stream(tmp_path: Path, dataset: Dataset) -> None:
    path = write_attempt(tmp_path / "a1", tiny_recipe(), dataset.root)
    tokens = validation_tokens(dataset, 32)
    scores = rescore(path, read_provenance(path), modes=("plain", "sliding", "ttt"), context_tokens=None, device=CPU)
    expected = int(dataset.byte_table().count(tokens[:-1], tokens[1:]).sum())
    assert {(s.tokens, s.bytes) for s in scores.values()} == {(len(tokens) - 1, expected)}


def test_a_context_of_one_token_scores_the_same_targets_with_another_loss(tmp_path: Path, dataset: Dataset) -> None:
    path = write_attempt(tmp_path / "a1", tiny_recipe(), dataset.root)
    source = read_provenance(path)
    full, one = (rescore(path, source, modes=("plain",), context_tokens=c, device=CPU)["plain"] for c in (None, 1))
    assert (full.tokens, full.bytes) == (one.tokens, one.bytes)
    assert abs(full.val_loss - one.val_loss) > 1e-4


def test_another_context_shortens_the_stride_to_fit() -> None:
    assert (with_context(tiny_recipe(), 4).evaluate.seq_len, with_context(tiny_recipe(), 4).evaluate.stride) == (4, 4)
    assert with_context(tiny_recipe(), 16).evaluate.stride == 8


def test_overrides_are_checked_like_any_recipe() -> None:
    assert override(tiny_recipe(), ["evaluate.ttt.epochs=0"]).evaluate.ttt.epochs == 0
    with pytest.raises(RecipeError, match="is not a key"):
        override(tiny_recipe(), ["evaluate.strid=4"])


def test_files_missing_beside_the_artifact_are_named(tmp_path: Path, dataset: Dataset) -> None:
    path = write_attempt(tmp_path / "a1", tiny_recipe(), dataset.root)
    (path.parent / "train.json").write_text(json.dumps({"summary": {}}))
    with pytest.raises(ArtifactError, match="recurrence_active"):
        read_provenance(path)
    (path.parent / "train.json").unlink()
    with pytest.raises(ArtifactError, match=r"train\.json does not exist"):
        read_provenance(path)
    (path.parent / "spec.json").unlink()
    with pytest.raises(ArtifactError, match=r"spec\.json does not exist"):
        read_provenance(path)
    with pytest.raises(ArtifactError, match="is not a file"):
        read_provenance(tmp_path / "none.ptz")


def test_a_dataset_of_another_vocabulary_is_refused(tmp_path: Path, dataset: Dataset) -> None:
    path = write_attempt(tmp_path / "a1", tiny_recipe("model.vocab_size=320"), dataset.root)
    with pytest.raises(DataError, match="vocab_size=300 must be"):
        rescore(path, read_provenance(path), modes=("plain",), context_tokens=None, device=CPU)


def test_a_context_longer_than_the_stream_is_refused(tmp_path: Path, dataset: Dataset) -> None:
    path = write_attempt(tmp_path / "a1", tiny_recipe("evaluate.val_batch_tokens=1000000"), dataset.root)
    with pytest.raises(DataError, match="shorter than one window"):
        rescore(path, read_provenance(path), modes=("plain",), context_tokens=100_000, device=CPU)


def test_data_given_by_hand_replaces_the_one_of_the_run(tmp_path: Path, dataset: Dataset) -> None:
    path = write_attempt(tmp_path / "a1", tiny_recipe(), tmp_path / "gone")
    source = read_provenance(path)
    with pytest.raises(DataError, match="is no prepared dataset"):
        rescore(path, source, modes=("plain",), context_tokens=None, device=CPU)
    moved = replace(source, dataset_root=dataset.root)
    assert rescore(path, moved, modes=("plain",), context_tokens=None, device=CPU)["plain"].tokens > 0


def test_every_mode_runs_in_the_record_precision(tmp_path: Path, dataset: Dataset) -> None:
    modes = ("plain", "sliding", "ttt")
    paths = [write_attempt(tmp_path / p, tiny_recipe(f"train.precision={p}"), dataset.root) for p in ("fp32", "bf16")]
    exact, rounded = (rescore(p, read_provenance(p), modes=modes, context_tokens=None, device=CPU) for p in paths)
    for mode in modes:
        assert rounded[mode].val_loss != exact[mode].val_loss
        assert rounded[mode].val_loss == pytest.approx(exact[mode].val_loss, rel=0.05)  # bf16 keeps 8 bits
