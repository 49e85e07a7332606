"""Scores of one artifact, as a table for the terminal and as JSON fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from recur.evaluate.bpb import Score


def score_fields(artifact: Path, context_tokens: int, scores: Mapping[str, Score]) -> dict[str, Any]:
    """The scores by mode as JSON values."""
    modes = {
        name: {"val_loss": s.val_loss, "val_bpb": s.val_bpb, "nats": s.nats, "tokens": s.tokens, "bytes": s.bytes}
        for name, s in scores.items()
    }
    return {"artifact": str(artifact), "context_tokens": context_tokens, "modes": modes}


def score_table(artifact: Path, context_tokens: int, scores: Mapping[str, Score]) -> Table:
    """One row a mode."""
    table = Table(title=escape(f"{artifact} · context {context_tokens} tokens"))
    for column in ("mode", "val_bpb", "val_loss", "tokens", "bytes"):
        table.add_column(column, justify="left" if column == "mode" else "right")
    for name, s in scores.items():
        table.add_row(name, f"{s.val_bpb:.6f}", f"{s.val_loss:.6f}", f"{s.tokens:,}", f"{s.bytes:,}")
    return table
