"""Checks a submission folder, ours or anyone's, by reading it: what is missing, what its own logs contradict.

`check_folder` reads the folder once and runs every check; nothing in the folder is executed. Running its script is
`recur.record.check.run_script`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from recur.record.check.claims import check_claims
from recur.record.check.code import check_artifacts, check_code, check_unused
from recur.record.check.fields import check_fields, check_files, check_paths
from recur.record.check.finding import Finding, Level, Report, report
from recur.record.check.limits import check_cap, check_clocks, check_runs
from recur.record.check.markdown import check_tables
from recur.record.check.numbers import check_aggregates, check_bytes, check_counted, check_means, check_seeds
from recur.record.check.prose import check_readme
from recur.record.check.submission import Submission, read_submission

__all__ = ["CHECKS", "Finding", "Level", "Report", "check_folder", "check_submission", "report"]


def _markdown(sub: Submission) -> Iterator[Finding]:
    for name, text in sub.texts.items():
        if name.endswith(".md"):
            yield from check_tables(text)


CHECKS: tuple[Callable[[Submission], Iterable[Finding]], ...] = (
    Submission.reading_findings,
    check_files,
    check_fields,
    check_paths,
    check_counted,
    check_means,
    check_seeds,
    check_bytes,
    check_aggregates,
    check_cap,
    check_clocks,
    check_runs,
    check_readme,
    _markdown,
    check_claims,
    check_code,
    check_unused,
    check_artifacts,
)


def check_submission(sub: Submission) -> tuple[Finding, ...]:
    """The findings of every check, unsorted."""
    return tuple(finding for check in CHECKS for finding in check(sub))


def check_folder(folder: Path) -> Report:
    """Check a folder that nobody vouches for; nothing in it is executed.

    Raises:
        InputError: ``folder`` is not a folder.
    """
    return report(str(folder), check_submission(read_submission(folder)))
