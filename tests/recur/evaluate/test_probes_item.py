"""The probes as an item: the artifact of an attempt, read from its file, in every mode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recur.data.dataset import Dataset
from recur.data.oracle import dataset_oracle
from recur.evaluate.probes.run import PROBED_MODES
from recur.pipeline.probing import probe_item
from recur.pipeline.scoring import EvalItem
from recur.record.rules.gate import Verdict
from tests.recur.evaluate.attempts import tiny_dataset, tiny_recipe, write_attempt


@pytest.fixture
def item(tmp_path: Path) -> EvalItem:
    recipe = tiny_recipe()
    dataset = tiny_dataset(tmp_path, recipe)
    artifact = write_attempt(tmp_path / "a1", recipe, dataset.root)
    return EvalItem(
        stage="probes",
        mode="plain",
        source="artifact",
        folder=artifact.parent,
        dataset_root=dataset.root,
        recipe=recipe,
        recurrence=True,
    )


def test_an_artifact_passes_in_every_mode_and_its_report_does_not_depend_on_the_share(item: EvalItem) -> None:
    reports = probe_item(item)
    assert [(r.mode, r.verdict, r.findings) for r in reports] == [(mode, Verdict.PASS, ()) for mode in PROBED_MODES]
    assert all(r.compared > 50 and r.targets == 96 == r.scored_once for r in reports)
    assert all(r.largest_movement_nats <= r.tolerance_nats and r.largest_sum_error <= 1e-5 for r in reports)
    assert probe_item(replace(item, mode="sliding", part=1, parts=2)) == reports


def test_the_oracle_of_a_prepared_dataset_agrees_over_the_evaluated_stream(tiny_dataset: Dataset) -> None:
    oracle = dataset_oracle(tiny_dataset, 32)
    assert oracle.agrees
    assert oracle.source_bytes == oracle.decoded_bytes == oracle.table_bytes > 0
    assert 0 <= tiny_dataset.val_text_bytes - oracle.table_bytes < 32 * int(np.max(tiny_dataset.byte_table().base) + 1)
