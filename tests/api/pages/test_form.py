"""The form of a new sweep is read as it was meant, and what is wrong is said beside its field."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.models import ProblemPart
from api.pages.actions import local_path
from api.pages.form import FIELDS, read_form, submission

GOOD = {"profile": "smoke", "seeds": "42, 314 999", "overrides": "", "name": "", "priority": "", "baseline": ""}


def test_a_filled_form_becomes_a_submission() -> None:
    typed = GOOD | {
        "overrides": "train.steps=200\n\n optim.matrix_lr = 0.02 \nmodel.recurrent_layers=[3,4]\nquantize.scale_rule=slope",
        "name": "a try",
        "priority": "-5",
        "baseline": "#1394",
    }
    found = submission(read_form(typed))
    assert found is not None
    assert found.seeds == [42, 314, 999] and found.priority == -5 and found.name == "a try" and found.baseline == "#1394"
    assert found.overrides == {
        "train.steps": 200,
        "optim.matrix_lr": 0.02,
        "model.recurrent_layers": [3, 4],
        "quantize.scale_rule": "slope",
    }


@pytest.mark.parametrize(
    ("field", "text", "part"),
    [
        ("seeds", "", "at least one seed"),
        ("seeds", "1, two", "'two' is not a whole number"),
        ("seeds", "-1", "not a whole number"),
        ("seeds", "4294967296", "less than or equal"),
        ("seeds", "²", "not a whole number"),
        ("overrides", "train.steps", "section.key=value"),
        ("overrides", "a.b=1\na.b=2", "given twice"),
        ("overrides", "=3", "section.key=value"),
        ("priority", "high", "not a whole number"),
        ("priority", "101", "less than or equal to 100"),
        ("name", "x" * 81, "at most 80"),
        ("name", "a\tb", "pattern"),
        ("baseline", "x" * 65, "at most 64"),
        ("profile", "p" * 65, "at most 64"),
    ],
)
def test_a_wrong_field_is_refused_beside_itself_and_keeps_its_text(field: str, text: str, part: str) -> None:
    form = read_form(GOOD | {field: text})
    assert submission(form) is None
    assert set(form.errors) == {field} and part in form.errors[field][0].detail
    assert form.values[field] == text


def test_errors_of_an_answer_go_to_the_fields_their_pointers_name() -> None:
    form = read_form(GOOD)
    form.refuse_parts(
        [
            ProblemPart(pointer="/overrides/train.steps", detail="too few", hint="more"),
            ProblemPart(pointer="/baseline", detail="unknown"),
            ProblemPart(pointer="", detail="something else"),
        ]
    )
    assert (form.errors["overrides"][0].where, form.errors["overrides"][0].hint) == ("train.steps", "more")
    assert form.errors["baseline"][0].detail == "unknown" and form.errors[""][0].detail == "something else"


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries({name: st.text(max_size=60) for name in FIELDS}))
def test_whatever_is_typed_the_form_says_what_is_wrong_or_is_a_submission(typed: dict[str, str]) -> None:
    form = read_form(typed)
    found = submission(form)
    assert (found is None) == bool(form.errors)


@pytest.mark.parametrize("bomb", ["[" * 100_000, '{"a":' * 50_000, "1e999", "NaN", "9" * 10_000])
def test_a_value_that_is_no_plain_json_stays_text(bomb: str) -> None:
    found = submission(read_form(GOOD | {"overrides": f"a.b={bomb}"}))
    assert found is not None and found.overrides == {"a.b": bomb}


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\nb", "x"]
)
def test_after_the_sign_in_nobody_is_sent_to_another_site(target: str) -> None:
    assert local_path(target) == "/"


def test_after_the_sign_in_one_goes_on_where_one_was() -> None:
    assert local_path("/sweeps/smoke-261124-a1b2c3?log=42") == "/sweeps/smoke-261124-a1b2c3?log=42"
