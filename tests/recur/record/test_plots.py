"""The pictures: made for any sweep, readable, nothing over anything."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from recur.record.attempt import AttemptDir
from recur.record.journal import Event
from recur.record.known import known_records
from recur.record.plots import bpb_figure, loss_figure, read_histories, sizes_figure, write_plots
from recur.record.plots.style import STYLE, spread_apart
from recur.record.result import Scores, SeedResult, SweepResult
from tests.recur.record.samples import facts, failed, finished, reference_seed, sweep

PNG = b"\x89PNG\r\n\x1a\n"


def history(seed: int) -> list[Event]:
    steps = [Event(at=0.0, kind="step", fields={"step": i, "loss": 6.0 / (1 + i / 50) + seed % 3 / 20}) for i in range(200)]
    val = [Event(at=0.0, kind="val", fields={"step": i, "val_loss": 6.0 / (1 + i / 50)}) for i in (0, 100, 200)]
    return [*steps, *val, Event(at=0.0, kind="recurrence", fields={"step": 120})]


def far(seed: int, score: float) -> SeedResult:
    return replace(finished(seed), val_bpb=Scores(trained=score + 0.03, roundtrip=score + 0.06, sliding=score))


def reference() -> SweepResult:
    return sweep(*(reference_seed(int(s), r) for s, r in facts()["runs"].items()))


SWEEPS = {
    "reference": reference(),
    "far from the records": sweep(far(1, 2.31), far(2, 2.32), failed(3)),
    "one seed": sweep(finished()),
    "over the cap": sweep(finished(model_bytes=2500), finished(2)),
    "six seeds": sweep(*(finished(100 + i, sliding=1.09 + i / 1000) for i in range(6))),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_three_pictures_are_written_without_a_warning(name: str, tmp_path: Path) -> None:
    result = SWEEPS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        paths = write_plots(tmp_path, result, {s.seed: history(s.seed) for s in result.seeds})
    assert [p.name for p in paths] == ["loss.png", "bpb.png", "bytes.png"]
    assert all(p.parent.name == "plots" and p.read_bytes().startswith(PNG) for p in paths)


def test_a_sweep_without_numbers_says_so(tmp_path: Path) -> None:
    write_plots(tmp_path, sweep(failed()), {})
    texts = [t.get_text() for t in bpb_figure(sweep(failed()), known_records()).axes[0].texts]
    assert texts == ["no seed has a score yet"]


@pytest.mark.parametrize("name", SWEEPS)
def test_no_text_lies_over_another(name: str) -> None:
    result = SWEEPS[name]
    with rc_context(STYLE):
        figures = [
            loss_figure(result, {s.seed: history(s.seed) for s in result.seeds}),
            bpb_figure(result, known_records()),
            sizes_figure(result),
        ]
        overlaps = [pair for figure in figures for pair in _overlaps(figure)]
    assert overlaps == []


def test_scores_far_from_the_records_get_a_broken_axis() -> None:
    assert len(bpb_figure(reference(), known_records()).axes) == 1
    far = bpb_figure(SWEEPS["far from the records"], known_records())
    assert len(far.axes) == 2
    top, bottom = (axes.get_ylim() for axes in far.axes)
    assert top[0] > bottom[1]
    assert bottom[1] - bottom[0] < 0.1


def test_every_record_line_is_drawn_at_its_mean_and_named() -> None:
    axes = bpb_figure(reference(), known_records()).axes[0]
    heights = [float(line.get_ydata()[0]) for line in axes.lines if len(set(line.get_ydata())) == 1]  # type: ignore[index,arg-type]
    labels = " ".join(t.get_text() for t in axes.texts)
    for record in known_records():
        assert any(h == record.val_bpb.mean for h in heights)
        assert f"PR {record.pr}  {record.val_bpb.mean:.5f}" in labels


def test_without_records_only_the_seeds_are_drawn() -> None:
    assert len(bpb_figure(reference(), ()).axes) == 1


def test_histories_are_read_from_the_attempt_that_counts(tmp_path: Path) -> None:
    AttemptDir(tmp_path, 42, 1).append_event("step", {"step": 1, "loss": 9.0})
    AttemptDir(tmp_path, 42, 2).append_event("step", {"step": 1, "loss": 5.0})
    histories = read_histories(tmp_path, sweep(replace(finished(), attempt=2), failed()))
    assert [e.number("loss") for e in histories[42]] == [5.0]
    assert histories[7] == []


@given(st.lists(st.floats(-5, 5), max_size=9), st.floats(0.01, 2))
def test_labels_are_spread_apart_in_order_and_stay_where_there_is_room(values: list[float], gap: float) -> None:
    values = sorted(values)
    places = spread_apart(values, gap)
    assert len(places) == len(values)
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(places))
    if all(b - a >= gap for a, b in pairwise(values)):
        assert places == pytest.approx(values)


def _overlaps(figure: Figure) -> list[tuple[str, str]]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    texts = [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_visible() and t.get_text().strip()]
    not_drawn = _tick_labels_out_of_range(figure)
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t not in not_drawn]
    return [(a, b) for (a, first), (b, second) in combinations(boxes, 2) if _cover(first.extents, second.extents)]


def _tick_labels_out_of_range(figure: Figure) -> list[Text]:
    """Labels that exist as objects but are not ink."""
    found: list[Text] = []
    for axis in [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high or not axis.axes.axison:
                found += [tick.label1, tick.label2]
    return found


def _cover(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    slip = 1.0
    return a[0] < b[2] - slip and b[0] < a[2] - slip and a[1] < b[3] - slip and b[1] < a[3] - slip
