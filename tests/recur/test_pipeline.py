"""The phases of one seed over its folder: records, adoption, gates, verification, equality of two runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from recur.data.dataset import Dataset, validation_tokens
from recur.errors import ArtifactError, RecipeError
from recur.pipeline import LocalBackend, run_seed
from recur.pipeline.backend import Progress
from recur.pipeline.evidence import evidence
from recur.pipeline.quantizing import load_quantized, save_quantized
from recur.pipeline.scoring import PROBE_WINDOWS, EvalItem, merge_stage, score_item, shares
from recur.quantize.plan import QuantizedModel
from recur.record.attempt import AttemptDir
from recur.record.codec import to_json
from recur.record.journal import read_events
from recur.record.result import Phase, SeedResult, State
from recur.seedspec import PHASES, SeedSpec, save_spec
from tests.recipes import tiny_recipe

T = TypeVar("T")
R = TypeVar("R")


class Counting(LocalBackend):
    """Counts what is asked of it; can run the items backwards, as a cluster may."""

    def __init__(self, *, backwards: bool = False) -> None:
        self.trainings, self.names, self.backwards = 0, list[str](), backwards

    def train(self, spec: SeedSpec, attempt: AttemptDir) -> dict[str, object]:
        self.trainings += 1
        return super().train(spec, attempt)

    def map(
        self, fn: Callable[[T], R], items: Sequence[T], *, names: Sequence[str], progress: Progress, on_device: bool = False
    ) -> list[R]:
        self.names += names
        if not self.backwards:
            return super().map(fn, items, names=names, progress=progress, on_device=on_device)
        return super().map(fn, items[::-1], names=names, progress=progress)[::-1]


def spec_of(out: Path, dataset: Dataset, *overrides: str, attempt: int = 1) -> SeedSpec:
    recipe = tiny_recipe(*overrides)
    return SeedSpec(sweep="swp", seed=42, attempt=attempt, recipe=recipe, dataset_root=dataset.root, out=out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Dataset) -> tuple[SeedSpec, SeedResult, Counting]:
    """One seed, run once for all tests of this file."""
    spec, backend = spec_of(tmp_path_factory.mktemp("out"), tiny_dataset), Counting()
    return spec, run_seed(spec, backend), backend


Whole = tuple[SeedSpec, SeedResult, Counting]


def test_a_seed_ends_with_every_number_of_its_result(whole: Whole) -> None:
    spec, result, _ = whole
    assert result.state is State.SUCCEEDED
    assert [name for name, value in to_json(result).items() if value is None] == ["error"]
    assert None not in to_json(result)["val_bpb"].values()
    assert set(result.seconds or {}) == {phase.value for phase in Phase}
    assert json.loads(spec.attempt_dir.path("result.json").read_text())["val_bpb"] == to_json(result)["val_bpb"]


def test_bytes_are_those_of_the_file_and_of_the_code(whole: Whole) -> None:
    spec, result, _ = whole
    size = spec.attempt_dir.path("artifact.ptz").stat().st_size
    assert (result.model_bytes, result.total_bytes) == (size, size + spec.recipe.artifact.code_bytes)
    assert result.slack_bytes == spec.recipe.artifact.cap_bytes - size


def test_every_phase_left_a_record_and_every_map_its_named_items(whole: Whole) -> None:
    spec, _, backend = whole
    assert all(spec.attempt_dir.read_record(phase) is not None for phase in PHASES)
    assert "gptq[seed=42 blocks.3.mlp.fc]" in backend.names
    assert "fit[seed=42 prune]" in backend.names
    assert "evaluate[seed=42 sliding 2/2]" in backend.names


def test_clocks_have_stamps_in_order_and_the_final_score_alone_is_on_the_eval_clock(whole: Whole) -> None:
    clock: dict[str, Any] = whole[0].attempt_dir.read_clock() or {}
    stamps = clock["stamps"]
    assert stamps["train"]["start_at"] < stamps["train"]["stop_at"] <= stamps["data_read"]["stop_at"]
    assert stamps["data_read"]["stop_at"] < stamps["eval"]["start_at"] < stamps["eval"]["stop_at"]
    assert clock["train_s"] < clock["data_read_s"] <= stamps["data_read"]["stop_at"] - stamps["train"]["start_at"]
    assert 0 < clock["eval_s"] < (whole[1].seconds or {})["evaluate"]


def test_intervals_cover_every_scored_position_once_a_stage(whole: Whole, tiny_dataset: Dataset) -> None:
    spec, result, _ = whole
    n = len(validation_tokens(tiny_dataset, spec.recipe.evaluate.seq_len)) - 1
    events = read_events(spec.attempt_dir.path("intervals.jsonl"))
    for stage in ("trained", "roundtrip", "sliding"):
        spans = sorted((e.fields["start"], e.fields["stop"]) for e in events if e.fields.get("stage") == stage)
        covered = np.concatenate([np.arange(int(str(a)), int(str(b))) for a, b in spans])
        assert np.array_equal(covered, np.arange(n))
    trained = [e.fields["stop"] for e in events if e.kind == "train"]
    assert trained == [spec.recipe.train.steps * spec.recipe.train.batch_tokens]
    assert result.scored_tokens == n


def test_a_later_attempt_starts_at_the_first_open_phase_and_ends_with_the_same_numbers(whole: Whole) -> None:
    spec, result, _ = whole
    later, backend = replace(spec, attempt=2), Counting()
    adopted = later.attempt_dir.create().adopt(spec.attempt_dir, PHASES[:3])
    assert adopted.phases == (Phase.TRAIN, Phase.CALIBRATE, Phase.QUANTIZE)
    again = run_seed(later, backend)
    assert backend.trainings == 0
    assert not [name for name in backend.names if name.startswith("gptq")]
    assert (again.val_bpb, again.model_sha256) == (result.val_bpb, result.model_sha256)


def test_two_runs_are_equal_but_for_their_seconds_in_whatever_order_items_end(
    whole: Whole, tmp_path: Path, tiny_dataset: Dataset
) -> None:
    _, result, _ = whole
    again = run_seed(spec_of(tmp_path, tiny_dataset), Counting(backwards=True))
    timed = {"seconds", "tokens_per_s", "mfu", "mfu_peak_tflops"}
    first, second = ({k: v for k, v in to_json(r).items() if k not in timed} for r in (result, again))
    assert first == second


def test_one_artifact_scores_the_same_in_one_share_and_in_three(whole: Whole) -> None:
    spec, result, _ = whole
    item = EvalItem(
        stage="sliding",
        mode="sliding",
        source="artifact",
        folder=spec.attempt_dir.folder,
        dataset_root=spec.dataset_root,
        recipe=spec.recipe,
        recurrence=True,
    )
    bpb = []
    for parts in (1, 3):
        cfg = replace(spec.recipe, cluster=replace(spec.recipe.cluster, eval_shards=parts))
        bpb.append(merge_stage([score_item(one) for one in shares(replace(item, recipe=cfg))]).score.val_bpb)
    assert bpb[0] == pytest.approx(bpb[1], abs=1e-6)
    assert result.val_bpb.sliding == pytest.approx(bpb[0], abs=1e-6)


def test_a_cap_that_pruning_cannot_reach_makes_the_seed_invalid_with_the_reason(
    whole: Whole, tmp_path: Path, tiny_dataset: Dataset
) -> None:
    spec = spec_of(tmp_path, tiny_dataset, "artifact.cap_bytes=2000")
    spec.attempt_dir.create().adopt(whole[0].attempt_dir, PHASES[:3])
    result = run_seed(spec, LocalBackend())
    assert result.state is State.INVALID
    assert "the cap is 2000 bytes" in str(result.error)
    assert result.val_bpb.sliding is None
    assert run_seed(spec, Counting()) == result


def adopted_until_fit(whole: Whole, out: Path, dataset: Dataset) -> SeedSpec:
    spec = spec_of(out, dataset)
    spec.attempt_dir.create().adopt(whole[0].attempt_dir, PHASES[:5])
    return spec


def test_a_changed_artifact_is_found_before_a_result_is_written(whole: Whole, tmp_path: Path, tiny_dataset: Dataset) -> None:
    spec = adopted_until_fit(whole, tmp_path, tiny_dataset)
    path = spec.attempt_dir.path("artifact.ptz")
    blob = bytearray(path.read_bytes())
    path.unlink()  # a hard link of the first attempt's
    blob[-1] ^= 1
    path.write_bytes(bytes(blob))
    with pytest.raises(ArtifactError, match="sha256"):
        run_seed(spec, LocalBackend())
    assert not spec.attempt_dir.path("result.json").exists()


def test_a_score_that_does_not_come_out_again_makes_the_seed_invalid(whole: Whole, tmp_path: Path, tiny_dataset: Dataset) -> None:
    spec = adopted_until_fit(whole, tmp_path, tiny_dataset)
    record = spec.attempt_dir.path("record_evaluate.json")
    document = json.loads(record.read_text())
    document["fields"]["probe"]["nats"] *= 1.00001
    record.write_text(json.dumps(document))
    result = run_seed(spec, LocalBackend())
    assert result.state is State.INVALID and "re-read and re-scored" in str(result.error)


def test_every_gate_is_judged_from_what_ran(whole: Whole) -> None:
    gates = json.loads(whole[0].attempt_dir.path("gates.json").read_text())
    verdicts = {gate["name"]: gate["verdict"] for gate in gates}
    assert [name for name, verdict in verdicts.items() if verdict == "fail"] == []
    assert [name for name, verdict in verdicts.items() if verdict == "n/a"] == [
        "training clock, s",
        "code bytes",
        "evaluation clock, s",
        "fingerprint",
    ]
    assert all(gate["why"] for gate in gates if gate["verdict"] == "n/a")
    assert {f"causal, normalised, in order: {mode}" for mode in ("plain", "sliding", "ttt")} <= set(verdicts)


def test_the_clocks_bind_record_runs_with_a_clock_only(whole: Whole) -> None:
    spec, attempt = whole[0], whole[0].attempt_dir
    timed = replace(spec.recipe, train=replace(spec.recipe.train, wallclock_s=600.0))
    assert evidence(replace(spec, recipe=timed), attempt).odd == ""
    assert evidence(replace(spec, recipe=timed, note="not a record placement"), attempt).odd == "not a record placement"
    assert evidence(replace(spec, recipe=replace(timed, mode="research")), attempt).odd == "mode = research"
    assert "no clock" in evidence(spec, attempt).odd


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("scored targets", lambda lines: lines[:-1]),
        ("scored once, before any update", lambda lines: [*lines, lines[-1]]),
    ],
)
def test_an_interval_log_that_does_not_cover_the_text_once_makes_the_seed_invalid(
    whole: Whole, tmp_path: Path, tiny_dataset: Dataset, name: str, change: Callable[[list[str]], list[str]]
) -> None:
    spec = spec_of(tmp_path, tiny_dataset, attempt=2)
    spec.attempt_dir.create().adopt(whole[0].attempt_dir, PHASES[:-1])
    log = spec.attempt_dir.path("intervals.jsonl")
    log.write_text("\n".join(change(log.read_text().splitlines())) + "\n")
    result = run_seed(spec, LocalBackend())
    gates = json.loads(spec.attempt_dir.path("gates.json").read_text())
    assert result.state is State.INVALID and result.error is not None
    assert name in [gate["name"] for gate in gates if gate["verdict"] == "fail"]


def test_the_probe_is_the_whole_plan_where_that_has_fewer_windows(whole: Whole, tiny_dataset: Dataset) -> None:
    spec = whole[0]
    n = len(validation_tokens(tiny_dataset, spec.recipe.evaluate.seq_len)) - 1
    probe: Any = json.loads(spec.attempt_dir.path("record_evaluate.json").read_text())["fields"]["probe"]
    windows = min(PROBE_WINDOWS, n // spec.recipe.evaluate.seq_len)
    assert probe["tokens"] == windows * spec.recipe.evaluate.seq_len


def test_a_quantized_model_survives_the_disk_in_its_order(tmp_path: Path) -> None:
    entries = {"b.q": torch.tensor([[1, -2]], dtype=torch.int8), "b.scale": torch.tensor([0.5]).half(), "a": torch.ones(2)}
    model = QuantizedModel(entries=entries, meta={"b": {"type": "int6", "method": "gptq"}, "a": "passthrough"})
    save_quantized(tmp_path, model)
    again = load_quantized(tmp_path)
    assert (list(again.entries), again.meta) == (list(entries), model.meta)
    assert all(torch.equal(again.entries[name], entries[name]) for name in entries)
    (tmp_path / "quantized.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match="is not a quantized model"):
        load_quantized(tmp_path)


def test_a_folder_that_another_recipe_has_begun_is_not_gone_on_with(tmp_path: Path, tiny_dataset: Dataset) -> None:
    spec = spec_of(tmp_path, tiny_dataset)
    save_spec(spec.attempt_dir.create().path("spec.json"), spec)
    with pytest.raises(RecipeError, match="was begun with another recipe, data or code"):
        run_seed(spec_of(tmp_path, tiny_dataset, "train.steps=7"), Counting())


def test_checkpoints_go_when_calibration_has_its_record(tmp_path: Path, tiny_dataset: Dataset) -> None:
    class Interrupted(Counting):
        def map(self, *_: Any, **__: Any) -> Any:
            raise KeyboardInterrupt

    spec = spec_of(tmp_path, tiny_dataset, "mode=research", "train.checkpoint_every_s=0")
    with pytest.raises(KeyboardInterrupt):
        run_seed(spec, Interrupted())
    assert spec.attempt_dir.finished(Phase.CALIBRATE)
    assert list((spec.attempt_dir.folder.parent / "checkpoints").iterdir()) == []
