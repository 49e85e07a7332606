"""The pictures of a sweep: loss curves, scores with the published lines, bytes against the cap.

Drawn with matplotlib's file backend only: no window, no global state. Everything shown comes from a `SweepResult`, the
seeds' progress.jsonl and `known.toml`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from recur.record.atomic import write_bytes_atomic
from recur.record.attempt import AttemptDir
from recur.record.journal import Event, read_events, without_redone
from recur.record.known import KnownRecord, known_records
from recur.record.plots.bpb import bpb_figure
from recur.record.plots.loss import loss_figure
from recur.record.plots.sizes import sizes_figure
from recur.record.plots.style import DOTS_PER_INCH, STYLE
from recur.record.result import SweepResult

__all__ = ["bpb_figure", "loss_figure", "read_histories", "sizes_figure", "write_plots"]

Histories = Mapping[int, Sequence[Event]]


def write_plots(
    out: Path, result: SweepResult, histories: Histories, *, known: Sequence[KnownRecord] | None = None
) -> list[Path]:
    """Write `plots/loss.png`, `plots/bpb.png` and `plots/bytes.png` below ``out``.

    Args:
        out: the sweep's folder.
        result: the sweep; seeds without numbers are left out of the picture.
        histories: per seed, the events of its progress.jsonl: ``step`` with step and loss, ``val`` with step and
            val_loss, ``recurrence`` with step.
        known: published lines; default `known_records`.

    Returns:
        the three paths.

    Raises:
        StorageError: the disk is full or not writable.
    """
    lines = known_records() if known is None else known
    with rc_context(STYLE):
        figures = {
            "loss": loss_figure(result, histories),
            "bpb": bpb_figure(result, lines),
            "bytes": sizes_figure(result),
        }
        return [_save(out / "plots" / f"{name}.png", figure) for name, figure in figures.items()]


def read_histories(root: Path, result: SweepResult) -> dict[int, list[Event]]:
    """Per seed the events of the attempt that its result names."""
    journals = {s.seed: AttemptDir(root, s.seed, s.attempt).path("progress.jsonl") for s in result.seeds}
    return {seed: without_redone(read_events(path)) for seed, path in journals.items()}


def _save(path: Path, figure: Figure) -> Path:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DOTS_PER_INCH)
    write_bytes_atomic(path, picture.getvalue())
    return path
