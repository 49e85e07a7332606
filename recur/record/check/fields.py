"""Missing files, and submission.json against `recur/record/submission.schema.json`.

The schema is the union of the fields of published submissions. Our own writer must satisfy it whole; in other folders a
missing field is a finding of the level that the schema's ``x-missing`` gives: an error where nearly all published files
have the field, a warning where most recent ones do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types

from recur.record.check.document import Document
from recur.record.check.finding import Finding, Level, error, graded, note, warning
from recur.record.check.submission import JSON, README, REQUIREMENTS, SCRIPT, Submission

_MAX_ERRORS = 60
_OUTSIDE = re.compile(r"(?:^|[\s/\"'(=])\.\.(?:/|$)|^(?:/|~/)")


@cache
def submission_schema() -> dict[str, Any]:
    """The JSON Schema of submission.json."""
    text = files("recur.record").joinpath("submission.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def check_files(sub: Submission) -> Iterator[Finding]:
    """Files that a submission must have."""
    wanted = (
        (README, Level.ERROR, "describe the method and the results"),
        (JSON, Level.ERROR, "write it from the logs"),
        (SCRIPT, Level.ERROR, "ship the script; it must run from inside the folder"),
        (REQUIREMENTS, Level.WARNING, "list every package that the script imports"),
    )
    for name, level, remedy in wanted:
        if name not in sub.listing.files:
            yield graded(level, "missing_file", f"{name} is missing", remedy)
        elif sub.listing.files[name] == 0:
            yield graded(level, "empty_file", "is empty", remedy, file=name)
    if not sub.logs:
        yield error("missing_file", "no train_seed<N>.log", "ship the log of every seed")


def check_fields(sub: Submission) -> Iterator[Finding]:
    """Fields that are missing, unknown, of the wrong type or out of range; a date that is no date; paths that lead out."""
    document = sub.document
    if JSON not in sub.listing.files or not document.data:
        return
    validator = Draft202012Validator(submission_schema())
    for problem in islice(validator.iter_errors(document.data), _MAX_ERRORS):
        yield from _schema_finding(document, problem)
    day = document.text("date")[:10]
    if re.fullmatch(r"\d{4}-\d\d-\d\d", day) and not _is_date(day):
        yield error("field", f"date={day!r} is no day of the calendar", "give the date", file=JSON, line=document.line("date"))
    seeds = document.get("seeds")
    listed = [s for s in seeds if isinstance(s, int)] if isinstance(seeds, list) else []
    if len(set(listed)) < len(listed):
        yield error("field", "seeds names a seed twice", "name every seed once", file=JSON, line=document.line("seeds"))


def check_paths(sub: Submission) -> Iterator[Finding]:
    """Paths that lead out of the folder, in submission.json and requirements.txt; none of them is opened."""
    for path in sub.document.literals:
        value = sub.document.get(*path)
        if isinstance(value, str) and (match := _OUTSIDE.search(value)):
            said = f"{'.'.join(path)}={value[:80]!r} leads out of the folder at {match.group().strip()!r}; not opened"
            yield warning("path_outside", said, "name files of the folder", file=JSON, line=sub.document.line(*path))
    requirements = sub.texts.get(REQUIREMENTS)
    for number, line in enumerate(requirements.lines() if requirements else (), start=1):
        if not line.lstrip().startswith("#") and _OUTSIDE.search(line):
            said = f"{line.strip()[:80]!r} leads out of the folder; not opened"
            yield warning("path_outside", said, "name packages of an index", file=REQUIREMENTS, line=number)


def _is_date(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def _schema_finding(document: Document, problem: Any) -> Iterator[Finding]:
    path = tuple(str(part) for part in problem.absolute_path)
    line = document.line(*path) if path else 1
    where = ".".join(path) or "submission.json"
    if problem.validator == "required":
        for name in [n for n in problem.validator_value if n not in problem.instance and f"'{n}' is" in problem.message]:
            yield _missing(name, path, line)
    elif problem.validator == "additionalProperties":
        known = {*submission_schema()["properties"]} if not path else {*submission_schema()["$defs"]["seed_result"]["properties"]}
        for name in [n for n in problem.instance if n not in known and not n.startswith("delta_vs_pr")][:20]:
            said = f"{where}: field {name[:60]!r} is not one that other submissions use"
            yield note("unknown_field", said, "check its spelling", file=JSON, line=document.line(*path, name))
    else:
        yield error("field", f"{where}: {problem.message}", "see submission.schema.json", file=JSON, line=line)


def _missing(name: str, path: tuple[str, ...], line: int) -> Finding:
    if path:
        return warning("missing_field", f"{'.'.join(path)}.{name} is missing", "write it from the log", file=JSON, line=line)
    level = Level(submission_schema()["properties"][name].get("x-missing", "note"))
    return graded(level, "missing_field", f"{name} is missing", "write it from the logs", file=JSON, line=line)
