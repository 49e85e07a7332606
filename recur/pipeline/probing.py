"""The probes as one item of a backend's map: the evaluated model, every evaluation mode, the first windows of the text.

One item in one piece, whatever the world size or the number of shares that scored, so its reports depend on neither.
"""

from __future__ import annotations

from dataclasses import replace

from recur.data.dataset import validation_tokens
from recur.evaluate.probes.report import ProbeReport
from recur.evaluate.probes.run import probe_modes
from recur.pipeline.backend import default_device
from recur.pipeline.scoring import EvalItem, dataset_of, scorer_of


def probe_item(item: EvalItem) -> tuple[ProbeReport, ...]:
    """Probe the item's model in plain, sliding and test-time-training mode; its own mode and share do not matter.

    Raises:
        ArtifactError: the weights cannot be read.
        DataError: the dataset is damaged or shorter than a window.
    """
    device = default_device()
    dataset, recipe = dataset_of(item.dataset_root), item.recipe
    return probe_modes(
        lambda mode: scorer_of(replace(item, mode=mode), device),
        validation_tokens(dataset, recipe.evaluate.seq_len),
        dataset.byte_table(),
        recipe.evaluate,
        device=device,
        precision=recipe.train.precision,
    )
