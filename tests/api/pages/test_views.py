"""What the pages draw and write is right: axes, dots, bytes, times, words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.models import GateRow, Scores, SeedView, Statistics
from api.models.sweep import Interval
from api.pages import words
from api.pages.views.axis import Axis, around, round_step
from api.pages.views.curves import curve, points_each
from api.pages.views.dots import dot_plot
from api.pages.views.sizes import byte_bars
from api.pages.views.stages import stages
from api.pages.views.tables import differences, gate_lines
from recur.record.journal import Event
from recur.record.known import known_records

FINITE = st.floats(-1e9, 1e9, allow_nan=False)


def seed(number: int, **changes: object) -> SeedView:
    return SeedView.model_validate({"seed": number, "state": "SUCCEEDED", "attempt": 1, "job_id": f"x-s{number}-a1", **changes})


def scored(number: int, bpb: float) -> SeedView:
    return seed(number, val_bpb=Scores(sliding=bpb))


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [(12345.678, 2, "12,345.68"), (None, 0, "–"), (math.nan, 3, "–"), (math.inf, 0, "–"), (0, 0, "0"), (-3.2, 1, "-3.2")],
)
def test_a_number_is_written_with_separators_or_as_a_dash(value: float | None, places: int, text: str) -> None:
    assert words.number(value, places) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (8.14, "8.1 s"),
        (245, "4 min 05 s"),
        (59.99, "60.0 s"),
        (7380, "2 h 03 min"),
        (276_000, "3 d 4 h"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_a_duration_is_written_as_people_say_it(seconds: float | None, text: str) -> None:
    assert words.seconds(seconds) == text


def test_a_moment_is_written_in_utc_whatever_its_zone() -> None:
    assert words.moment(1_795_525_200.0) == "2026-11-24 13:00:00"
    assert words.iso(1_795_525_200.0) == "2026-11-24T13:00:00Z"
    assert words.short_moment(1_795_525_200.0) == "24 Nov 13:00"
    assert words.moment(None) == "–"


def test_a_sentence_begins_with_a_capital_but_an_id_keeps_its_letters() -> None:
    assert words.sentence("two seeds differ") == "Two seeds differ."
    assert words.sentence("smoke-261124-a1b2c3 is worse.") == "smoke-261124-a1b2c3 is worse."


@given(st.lists(FINITE, min_size=1, max_size=20), st.floats(0.01, 0.5))
def test_an_axis_holds_all_its_values_inside_its_places(values: list[float], margin: float) -> None:
    axis = around(values, margin, left=2, right=98)
    places = [axis.at(value) for value in values]
    assert all(2 <= place <= 98 for place in places)
    assert all(axis.holds(value) for value in values)
    assert sorted(places) == [axis.at(value) for value in sorted(values)]


@given(st.floats(1e-9, 1e9))
def test_a_step_is_one_two_or_five_times_a_power_of_ten(rough: float) -> None:
    step = round_step(rough)
    assert rough <= step * (1 + 1e-6) <= rough * 10.01
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 5)


def test_ticks_are_round_values_with_as_many_places_as_they_need() -> None:
    assert [tick.text for tick in Axis(low=1.079, high=1.0921).ticks(3)] == ["1.080", "1.085", "1.090"]
    assert [tick.text for tick in Axis(low=0, high=1300).ticks(4)] == ["0", "500", "1,000"]


def test_scores_near_the_published_lines_share_their_axis() -> None:
    plot = dot_plot(
        [scored(1, 1.080), scored(2, 1.081)], Statistics(n=2, mean_val_bpb=1.0805, sd_val_bpb=0.0007), known_records()
    )
    assert plot is not None and plot.broken_at is None
    places = {line.label: line.x for line in plot.lines}
    assert plot.dots[0].x is not None and plot.dots[0].x < places["PR 1394"] < places["PR 1334"] < places["PR 1019"]


def test_scores_far_from_the_published_lines_break_the_axis_and_keep_the_order() -> None:
    plot = dot_plot([scored(1, 2.54), scored(2, 2.55)], Statistics(n=2, mean_val_bpb=2.545), known_records())
    assert plot is not None and plot.broken_at is not None
    assert max(line.x for line in plot.lines) < plot.broken_at < min(dot.x for dot in plot.dots if dot.x is not None)
    low = dot_plot([scored(1, 0.3)], Statistics(n=1, mean_val_bpb=0.3), known_records())
    assert low is not None and low.broken_at is not None and low.dots[0].x is not None
    assert low.dots[0].x < low.broken_at < min(line.x for line in low.lines)


def test_labels_of_near_lines_stand_on_different_levels() -> None:
    plot = dot_plot([scored(1, 1.080)], Statistics(n=1, mean_val_bpb=1.08), known_records())
    assert plot is not None
    near = [(a, b) for a in plot.lines for b in plot.lines if a.label < b.label and abs(a.x - b.x) < 24]
    assert near and all(a.level != b.level for a, b in near)


def test_an_interval_that_leaves_the_picture_is_cut_and_says_so() -> None:
    told = Statistics(n=2, mean_val_bpb=1.08, sd_val_bpb=0.0004, interval_95=Interval(low=0.9, high=1.3))
    plot = dot_plot([scored(1, 1.0796), scored(2, 1.0804)], told, ())
    assert plot is not None and plot.mean is not None and plot.mean.interval_cut
    assert plot.mean.interval == (2, 98)


def test_without_a_score_there_is_no_picture() -> None:
    assert dot_plot([seed(1), scored(2, math.nan)], Statistics(n=0), known_records()) is None


def test_a_byte_bar_adds_up_to_the_cap() -> None:
    bars = byte_bars([seed(1, code_bytes=30_000, total_bytes=15_990_000, model_bytes=15_960_000, cap_bytes=16_000_000)])
    assert bars is not None
    whole = {part.kind: part.width for part in bars.bars[0].whole}
    assert sum(whole.values()) == pytest.approx(100, abs=0.01) and set(whole) == {"code", "model", "slack"}
    assert bars.bars[0].slack_bytes == 10_000 and bars.cap_whole == 100
    assert 0 < bars.cap_near < 100 and "slack" in {part.kind for part in bars.bars[0].near}


def test_bytes_over_the_cap_are_drawn_behind_it() -> None:
    bars = byte_bars([seed(1, code_bytes=0, total_bytes=16_004_000, cap_bytes=16_000_000), seed(2)])
    assert bars is not None and len(bars.bars) == 1 and bars.bars[0].slack_bytes == -4000
    over = next(part for part in bars.bars[0].near if part.kind == "over")
    assert over.x == bars.cap_near and over.width > 0
    assert byte_bars([seed(2)]) is None


def test_phases_of_a_finished_seed_follow_each_other_with_both_fences() -> None:
    seconds = {"setup": 20.0, "train": 580.0, "calibrate": 10.0, "quantize": 200.0, "evaluate": 620.0, "verify": 100.0}
    gates = [GateRow(name="training clock, s", value=590.5, limit=600, verdict="pass")]
    picture = stages([seed(1, seconds=seconds, gates=gates), seed(2, state="QUEUED")], {}, 0.0)
    assert picture is not None and [row.seed for row in picture.rows] == [1]
    row = picture.rows[0]
    assert [part.phase for part in row.stretches] == ["setup", "train", "calibrate", "quantize", "evaluate", "verify"]
    assert all(a.x + a.width == pytest.approx(b.x, abs=0.01) for a, b in zip(row.stretches, row.stretches[1:], strict=False))
    training, evaluation = row.clocks
    assert (training.used_s, training.over, evaluation.used_s, evaluation.over) == (590.5, False, 620.0, True)
    axis = Axis(low=0, high=1530 * 1.02)
    assert (training.fence, evaluation.fence) == (axis.at(620), axis.at(1410))


def test_an_open_seed_is_drawn_up_to_now_from_its_events() -> None:
    events = [Event(at=100.0, kind="phase", fields={"phase": "setup"}), Event(at=130.0, kind="phase", fields={"phase": "train"})]
    picture = stages([seed(1, state="RUNNING")], {1: events}, 190.0)
    assert picture is not None
    assert [(part.phase, part.seconds, part.open) for part in picture.rows[0].stretches] == [
        ("setup", 30.0, False),
        ("train", 60.0, True),
    ]
    assert not picture.fences_shown
    assert stages([seed(1, state="QUEUED")], {}, 190.0) is None


def test_gates_stand_seed_by_seed_and_failures_first() -> None:
    def gate(name: str, verdict: str) -> GateRow:
        return GateRow(name=name, verdict=verdict, source="s")

    lines = gate_lines([seed(1, gates=[gate("a", "pass"), gate("b", "pass")]), seed(2, gates=[gate("b", "fail")]), seed(3)])
    assert [(line.name, line.worst) for line in lines] == [("b", "fail"), ("a", "pass")]
    assert [cell.verdict if cell else None for cell in lines[1].cells] == ["pass", None, None]


def test_differences_name_what_was_asked_for_before_what_followed() -> None:
    rows = differences({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"x": 1, "y": 5}, "b": 4}, ["b"])
    assert [(row.key, row.profile, row.sweep, row.asked) for row in rows] == [("b", 3, 4, True), ("a.y", 2, 5, False)]


@pytest.mark.parametrize(("seeds", "most"), [(1, 1500), (3, 1500), (20, 450), (100, 150)])
def test_the_more_seeds_the_fewer_points_each(seeds: int, most: int) -> None:
    assert points_each(seeds) == most


def test_a_long_curve_is_thinned_and_keeps_its_last_step() -> None:
    events = [Event(at=float(i), kind="step", fields={"step": i, "loss": 1.0, "tokens_per_s": 2.0}) for i in range(10_000)]
    found = curve(1, 1, [*events, Event(at=0.0, kind="val", fields={"step": 5, "val_loss": 2.0})], most=150)
    assert 140 < len(found["step"]) <= 150 and found["step"][-1] == 9999 and found["val_step"] == [5]
