"""What only the submitter knows: who submits, under which name, and which published line the score is held against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date as Day

from recur.errors import InputError
from recur.record.known import find_known

UNNAMED = "unnamed"
"""Stands for an author that nobody gave; the README says so."""


@dataclass(frozen=True, kw_only=True)
class About:
    """About a submission.

    Attributes:
        author: name of who submits.
        github_id: account.
        name: short name of the submission; "" names it after its profile.
        baseline_pr: pull request whose line the score is held against, where the texts are the same; None takes the best
            accepted one.
        date: ``YYYY-MM-DD``; "" takes the day on which the last counting seed ended, UTC.
    """

    author: str = UNNAMED
    github_id: str = UNNAMED
    name: str = ""
    baseline_pr: int | None = None
    date: str = ""

    def check(self) -> About:
        """See that somebody submits, that the date is one, and the baseline a published line; returns self.

        Raises:
            InputError: the first that is not so.
        """
        for option, value in (("--author", self.author), ("--github", self.github_id)):
            if not value.strip():
                raise InputError(f"{option} {value!r}", "names nobody", f"leave it away for {UNNAMED!r}")
        if self.date.strip():
            try:
                Day.fromisoformat(self.date.strip())
            except ValueError as error:
                raise InputError(f"--date {self.date}", f"is no day ({error})", "give YYYY-MM-DD") from error
        if self.baseline_pr is not None:
            find_known(str(self.baseline_pr))
        return self

    def title(self, profile: str) -> str:
        """The name, on one line."""
        return " ".join(self.name.split()) or f"recur, profile {profile}"
