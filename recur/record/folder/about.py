"""What only the submitter knows: who submits, under which name, and which published line the score is held against."""

from __future__ import annotations

from dataclasses import dataclass

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

    def title(self, profile: str) -> str:
        """The name, on one line."""
        return " ".join(self.name.split()) or f"recur, profile {profile}"
