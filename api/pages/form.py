"""The form of a new sweep: text fields become a `SweepSubmission`, and what is wrong is said beside its field.

Seeds are numbers apart by commas or spaces; overrides one ``section.key=value`` a line, the value JSON or bare text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from api.models import ProblemPart, SweepSubmission

FIELDS = ("profile", "seeds", "overrides", "name", "priority", "baseline")
DEFAULTS = {"profile": "", "seeds": "42, 314, 999", "overrides": "", "name": "", "priority": "0", "baseline": ""}


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """What is wrong with a field and how to mend it; ``where`` names the line or entry it is about."""

    detail: str
    hint: str = ""
    where: str = ""


@dataclass(kw_only=True)
class Form:
    """The form as it is shown: what was typed, and the errors by field ("" for those of no field)."""

    values: dict[str, str]
    errors: dict[str, list[FieldError]] = field(default_factory=dict)

    def refuse(self, name: str, detail: str, hint: str = "", where: str = "") -> None:
        """Note an error beside a field."""
        self.errors.setdefault(name if name in FIELDS else "", []).append(FieldError(detail=detail, hint=hint, where=where))

    def refuse_parts(self, parts: Iterable[ProblemPart]) -> None:
        """Note the errors of an answer, each beside the field that its JSON pointer leads to."""
        for part in parts:
            name, _, rest = part.pointer.lstrip("/").partition("/")
            self.refuse(name, part.detail, part.hint, where=rest.replace("~1", "/").replace("~0", "~"))


def read_form(data: Mapping[str, Any]) -> Form:
    """What was typed; a field that did not come is empty."""
    return Form(values={name: str(data.get(name, "")).strip() for name in FIELDS})


def submission(form: Form) -> SweepSubmission | None:
    """The submission that the form asks for; None where a field cannot be read, with the reason in the form's errors."""
    values = form.values
    body = {
        "profile": values["profile"],
        "overrides": _overrides(form),
        "seeds": _seeds(form),
        "name": values["name"] or None,
        "priority": _priority(form),
        "baseline": values["baseline"] or None,
    }
    if form.errors:
        return None
    try:
        return SweepSubmission.model_validate(body)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            name, *rest = (str(part) for part in problem["loc"])
            form.refuse(name, problem["msg"], where=".".join(rest))
        return None


def _seeds(form: Form) -> list[int]:
    seeds = []
    for word in re.split(r"[,;\s]+", form.values["seeds"]):
        if not word:
            continue
        if not re.fullmatch(r"[0-9]{1,10}", word):
            form.refuse("seeds", f"{word!r} is not a whole number of 0 or more", "e.g. 42, 314, 999")
            continue
        seeds.append(int(word))
    if not seeds and "seeds" not in form.errors:
        form.refuse("seeds", "give at least one seed", "three are the custom of the challenge: 42, 314, 999")
    return seeds


def _overrides(form: Form) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, line in enumerate(form.values["overrides"].splitlines(), 1):
        if not line.strip():
            continue
        key, equals, text = (part.strip() for part in line.partition("="))
        if not equals or not key:
            form.refuse(
                "overrides", f"{line.strip()!r} must have the form section.key=value", "e.g. train.steps=100", f"line {number}"
            )
        elif key in found:
            form.refuse("overrides", f"{key} is given twice", "keep one of the two lines", f"line {number}")
        else:
            found[key] = _value(text)
    return found


def _value(text: str) -> Any:
    """Plain JSON where it is that, else the text itself: the recipe's check says what it makes of it."""
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _priority(form: Form) -> int:
    text = form.values["priority"] or "0"
    if not re.fullmatch(r"[+-]?[0-9]{1,4}", text):
        form.refuse("priority", f"{text!r} is not a whole number", "from -100 to 100; higher goes first")
        return 0
    return int(text)
