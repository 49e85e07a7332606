"""Finding what a request names: sweeps, seeds, baselines. What is not there is a 404 (or a 422 in a body)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from api.models import ProblemPart
from api.problems import Refused
from api.service.context import Context
from api.store import attempts, sweeps
from api.store.rows import AttemptRow, SweepRow
from recur.errors import InputError
from recur.record.known import find_known, pr_number


@dataclass(frozen=True, kw_only=True)
class StoredSweep:
    """A sweep with the counting attempt of every seed."""

    row: SweepRow
    current: tuple[AttemptRow, ...]

    @property
    def version(self) -> tuple[object, ...]:
        """Changes whenever a state, a result or a reason does."""
        return (self.row.sweep, self.row.version, *((a.seed, a.attempt, a.version) for a in self.current))


def sweep_row(c: Connection, sweep: str) -> SweepRow:
    """The sweep.

    Raises:
        Refused: 404, there is none.
    """
    row = sweeps.get(c, sweep)
    if row is None:
        raise unknown_sweep(sweep)
    return row


def stored_sweep(c: Connection, sweep: str) -> StoredSweep:
    """The sweep and its seeds; `Refused` as `sweep_row`."""
    return StoredSweep(row=sweep_row(c, sweep), current=attempts.current(c, sweep))


def attempt_row(c: Connection, sweep: str, seed: int, attempt: int | None) -> AttemptRow:
    """An attempt of a seed; without a number the counting one.

    Raises:
        Refused: 404, there is no such sweep, seed or attempt.
    """
    found = stored_sweep(c, sweep)
    if seed not in found.row.seeds:
        raise Refused(404, "unknown_seed", f"sweep {sweep} has no seed {seed}", f"its seeds: {listed(found.row.seeds)}")
    if attempt is None:
        return next(row for row in found.current if row.seed == seed)
    row = attempts.get(c, sweep, seed, attempt)
    if row is None:
        raise Refused(404, "unknown_attempt", f"seed {seed} of {sweep} has no attempt {attempt}", "see attempts of the seed")
    return row


def unknown_sweep(sweep: str) -> Refused:
    """The 404 for a sweep."""
    return Refused(404, "unknown_sweep", f"there is no sweep {sweep!r}", "GET /v1/sweeps lists them")


def known_baseline(ctx: Context, text: str | None) -> str | None:
    """A baseline as it is stored: the number of a known line, or the id of a stored sweep.

    Raises:
        Refused: 422, it is neither.
    """
    if text is None:
        return None
    if pr_number(text) is not None:
        try:
            return str(find_known(text).pr)
        except InputError as error:
            part = ProblemPart(pointer="/baseline", detail=f"{error.value} {error.rule}", hint=error.remedy)
            raise Refused(422, "unknown_baseline", part.detail, part.hint, errors=[part]) from error
    with ctx.store.read() as c:
        if sweeps.get(c, text) is not None:
            return text
    detail = f"{text!r} is neither a known line nor a sweep"
    part = ProblemPart(pointer="/baseline", detail=detail, hint="give a line like 1334 (GET /v1/records) or a sweep's id")
    raise Refused(422, "unknown_baseline", part.detail, part.hint, errors=[part])


def listed(values: tuple[int, ...], most: int = 10) -> str:
    """``1, 2, 3``, cut after ``most``."""
    told = ", ".join(str(value) for value in values[:most])
    return told if len(values) <= most else f"{told} and {len(values) - most} more"
