"""Two arms beside each other: numbers, recipes, warnings, table, JSON and picture."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.errors import ArtifactError, InputError
from recur.record.atomic import write_json_atomic
from recur.record.attempt import AttemptDir
from recur.record.compare import ConfigDifference, Side, compare, comparison_fields, config_differences, side_of
from recur.record.compare_table import plain_compare, signed
from recur.record.known import find_known
from recur.record.plots.compare import compare_figure, write_compare_plot
from recur.record.report import write_sweep
from recur.record.result import SeedResult, SweepResult
from recur.record.stats.arm import arm_of_known, arm_of_sweep
from recur.record.stats.verdicts import Relation
from tests.recur.record.samples import failed, finished, sweep
from tests.recur.record.test_plots import PNG

REFERENCE, BASE = arm_of_known(find_known("1421")), arm_of_known(find_known("1334"))
RECIPE = {"profile": "smoke", "model": {"layers": 2, "width": 64}, "evaluate": {"stride": 32, "modes": ["plain"]}}


def scored(seed: int, bpb: float, *, total_bytes: int = 1100) -> SeedResult:
    """A finished seed of the published text whose loss belongs to its score."""
    seen = finished(seed, sliding=bpb)
    loss = bpb * math.log(2) * 151_074_053 / 45_508_608
    return replace(seen, val_loss=replace(seen.val_loss, sliding=loss), total_bytes=total_bytes)


def ours(*scores: float, name: str = "ours") -> SweepResult:
    return replace(sweep(*(scored(i, s) for i, s in enumerate(scores))), sweep=name)


def stored(out: Path, result: SweepResult, recipe: dict[str, Any] | None = None) -> Path:
    """The sweep's folder below ``out``, with the spec of its first seed's attempt."""
    root = out / result.sweep
    write_sweep(root, result)
    if recipe is not None:
        attempt = AttemptDir(root, result.seeds[0].seed, result.seeds[0].attempt).create()
        write_json_atomic(attempt.path("spec.json"), {"seed": result.seeds[0].seed, "recipe": recipe})
    return root


def test_two_published_lines_are_compared_by_hand() -> None:
    found = compare(REFERENCE, BASE)
    assert found.difference_bpb == pytest.approx(1.0924766766666667 - 1.0897163100000001)
    assert found.difference_loss == pytest.approx(2.51381877 - 2.50746708, abs=1e-8)
    assert found.difference_bytes == pytest.approx((15954858 + 15959674 + 15948766 - 15999533 - 15992752 - 15988473) / 3)
    assert found.interval is not None
    assert (f"{found.interval.low:.5f}", f"{found.interval.high:.5f}") == ("0.00205", "0.00347")
    assert (found.config, found.warnings) == (None, ())


def test_a_sweep_is_compared_with_a_published_line() -> None:
    found = compare(arm_of_sweep(ours(1.0862, 1.0864, 1.0866)), BASE)
    assert found.verdict.relation is Relation.BETTER
    assert found.verdict.strict_passed
    assert found.difference_loss == pytest.approx(-0.0077, abs=1e-4)


def test_scores_of_another_text_have_no_difference() -> None:
    other = arm_of_sweep(sweep(replace(finished(1), scored_bytes=1000), replace(finished(2), scored_bytes=1000)))
    found = compare(other, BASE)
    assert (found.difference_bpb, found.interval, found.verdict.relation) == (None, None, Relation.INCOMPARABLE)
    assert "different texts" in found.warnings[0]


def test_seeds_that_are_left_out_are_named() -> None:
    found = compare(arm_of_sweep(sweep(finished(1), finished(2), failed(7))), BASE)
    assert "demo is without seed 7: FAILED" in found.warnings


def test_recipes_are_compared_key_by_key() -> None:
    other = {**RECIPE, "model": {"layers": 3, "width": 64}, "train": {"steps": 5}}
    found = compare(REFERENCE, BASE, (RECIPE, other))
    assert found.config == (
        ConfigDifference(key="model.layers", a=2, b=3),
        ConfigDifference(key="train", a=None, b={"steps": 5}),
    )


trees = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
).filter(lambda t: isinstance(t, dict))


@given(trees, trees)
def test_equal_recipes_have_no_differences_and_unequal_ones_the_same_both_ways(a: Any, b: Any) -> None:
    assert list(config_differences(a, a)) == []
    there, back = list(config_differences(a, b)), list(config_differences(b, a))
    assert bool(there) == (a != b)
    assert {(d.key, str(d.a), str(d.b)) for d in there} == {(d.key, str(d.b), str(d.a)) for d in back}


@given(st.lists(st.floats(1.0, 1.2), min_size=2, max_size=5), st.lists(st.floats(1.0, 1.2), min_size=2, max_size=5))
def test_the_other_way_round_every_difference_changes_its_sign(a: list[float], b: list[float]) -> None:
    one, other = arm_of_sweep(ours(*a)), arm_of_sweep(ours(*b, name="theirs"))
    there, back = compare(one, other), compare(other, one)
    assert there.difference_bpb is not None and back.difference_bpb is not None
    assert there.difference_bpb == pytest.approx(-back.difference_bpb)
    assert there.difference_bytes == 0
    if there.interval is not None and back.interval is not None:
        assert (there.interval.low, there.interval.high) == pytest.approx((-back.interval.high, -back.interval.low))


def test_the_table_has_the_numbers_and_the_keys_that_differ() -> None:
    found = compare(REFERENCE, BASE, (RECIPE, {**RECIPE, "profile": "other"}))
    text = plain_compare(found)
    assert "PR 1421 is worse than PR 1334" in text
    for told in ("1.09248", "+0.00276", "t 10.84  df 3.91", "+0.00205 .. +0.00347", "-39,153", "not met", "profile"):
        assert told in text
    assert "layers" not in text


def test_the_table_of_too_few_seeds_says_what_is_missing() -> None:
    text = plain_compare(compare(arm_of_sweep(ours(1.08)), arm_of_known(find_known("1413"))))
    assert "cannot be tested against" in text
    assert "no two seeds' scores of ours are known" in text
    assert "not judged" in text


def test_signs_are_shown_for_differences_only() -> None:
    assert [signed(v, 2) for v in (0.5, -0.5, 0.0, None)] == ["+0.50", "-0.50", "0.00", "-"]


def test_the_json_can_be_read_back_and_starts_with_the_finding() -> None:
    document = json.loads(json.dumps(comparison_fields(compare(REFERENCE, BASE)), allow_nan=False))
    assert next(iter(document)) == "finding"
    assert document["finding"].startswith("PR 1421 is worse than PR 1334")
    assert document["verdict"]["tests"][0]["plain"]["t"] == pytest.approx(10.835226)
    assert document["a"]["val_bpb"] == [1.09211068, 1.09276612, 1.09255323]


@pytest.mark.parametrize("other", [BASE, arm_of_known(find_known("1413")), arm_of_sweep(sweep(failed()))], ids=lambda a: a.label)
def test_the_picture_is_drawn_without_a_warning_for_any_pair(other: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        path = write_compare_plot(tmp_path / "pair.png", compare(REFERENCE, other))
    assert path.read_bytes().startswith(PNG)


def test_the_picture_shows_every_seed_and_the_margin() -> None:
    seeds, difference = compare_figure(compare(REFERENCE, BASE)).axes
    dots = [list(map(float, line.get_ydata())) for line in seeds.lines if line.get_marker() == "o"]  # type: ignore[arg-type]
    assert dots == [list(REFERENCE.val_bpb), list(BASE.val_bpb)]
    assert {t.get_text() for t in difference.texts} == {"no difference", "margin"}


def test_a_side_is_a_folder_a_file_a_name_below_out_or_a_line(tmp_path: Path) -> None:
    root = stored(tmp_path, ours(1.08, 1.09), RECIPE)
    sides = [side_of(text, tmp_path) for text in (str(root), str(root / "sweep.json"), "ours")]
    assert all(side == sides[0] for side in sides)
    assert (sides[0].arm.label, sides[0].arm.stride, sides[0].recipe) == ("ours", 32, RECIPE)
    assert side_of("#1334", tmp_path) == Side(arm=BASE)


def test_a_sweep_without_specs_has_no_recipe(tmp_path: Path) -> None:
    side = side_of(str(stored(tmp_path, ours(1.08))), tmp_path)
    assert (side.recipe, side.arm.stride) == (None, None)


def test_an_unknown_side_is_refused_with_near_names(tmp_path: Path) -> None:
    stored(tmp_path, ours(1.08, name="smoke-night"))
    with pytest.raises(InputError, match="near: smoke-night"):
        side_of("smoke-nigth", tmp_path)
    with pytest.raises(InputError, match="sweeps: smoke-night; lines: #549"):
        side_of("zzz", tmp_path)
    with pytest.raises(InputError, match="near: #1334"):
        side_of("#1335", tmp_path)


def test_a_file_that_is_no_sweep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(ArtifactError):
        side_of(str(tmp_path), tmp_path)
