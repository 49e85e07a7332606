"""What a refit found, as one table for the terminal and as JSON fields.

The tax is what storing costs: bits per byte of the model read back from its artifact minus those of the trained weights,
both in plain mode. KL and the difference of cross-entropies are nats per token of training text that the run has not seen.
"""

from __future__ import annotations

from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from recur.pipeline.refit import Refit
from recur.record.codec import to_json
from recur.record.table import decimals


def refit_fields(refit: Refit) -> dict[str, Any]:
    """The numbers as JSON values; None for what was not measured."""
    result, told = refit.result, refit.divergence
    scores = result.val_bpb
    tax_bpb = None if scores.trained is None or scores.roundtrip is None else scores.roundtrip - scores.trained
    return {
        "folder": str(refit.folder),
        "seed": result.seed,
        "state": str(result.state),
        "error": result.error,
        "compressions": refit.compressions,
        "total_bytes": result.total_bytes,
        "cap_bytes": result.cap_bytes,
        "slack_bytes": result.slack_bytes,
        "model_sha256": result.model_sha256,
        "trained_bpb": scores.trained,
        "roundtrip_bpb": scores.roundtrip,
        "sliding_bpb": scores.sliding,
        "tax_bpb": tax_bpb,
        "divergence": None if told is None else to_json(told),
    }


def refit_table(refit: Refit) -> Table:
    """One row a number; an absent value is "-"."""
    fields, told = refit_fields(refit), refit.divergence
    table = Table(
        title="refit",
        caption=escape(" ".join((refit.result.error or "").split())) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    table.add_column(f"seed {fields['seed']}", overflow="fold")
    table.add_column(str(fields["state"]), justify="right", overflow="fold")
    for name in ("compressions", "total_bytes", "slack_bytes"):
        table.add_row(name.replace("_", " "), decimals(fields[name], 0))
    for name in ("roundtrip_bpb", "sliding_bpb", "tax_bpb"):
        table.add_row(name.replace("_", " "), decimals(fields[name], 6))
    table.add_row("KL nats", "-" if told is None else f"{told.kl:.4g} ±{told.kl_se:.2g}")
    table.add_row("CE difference nats", "-" if told is None else f"{told.ce_difference:.4g} ±{told.ce_difference_se:.2g}")
    return table
