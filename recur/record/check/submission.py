"""One folder as the checks see it: its listing, submission.json, README, logs and the score of each log that counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from recur.record.check.document import Document, read_document
from recur.record.check.finding import Finding
from recur.record.check.logs import Kind, Score, SeedLog, read_log
from recur.record.check.read import MAX_TEXT_BYTES, Listing, Text, list_folder, read_text

JSON, README, SCRIPT, REQUIREMENTS = "submission.json", "README.md", "train_gpt.py", "requirements.txt"
_IS_LOG = re.compile(r"\.log$|(?:^|/)train[^/]*seed[^/]*\.txt$")
_IS_TEXT = re.compile(r"\.(?:md|jsonl?|log|txt|py|toml|cfg|ya?ml)$")
_IS_ARTIFACT = re.compile(r"seed[_-]?([0-9]{1,18})[^/]*\.(?:ptz|bin|br|xz|lzma|pt)$")
_MAX_TEXTS = 200
_MAX_TOTAL_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A folder, read once. ``document`` is empty where submission.json is missing or broken."""

    listing: Listing
    texts: dict[str, Text]
    document: Document
    logs: tuple[SeedLog, ...]

    @property
    def readme(self) -> Text | None:
        """README.md."""
        return self.texts.get(README)

    @property
    def script(self) -> Text | None:
        """train_gpt.py."""
        return self.texts.get(SCRIPT)

    @cached_property
    def scored(self) -> tuple[ScoredLog, ...]:
        """Logs with a score that counts, one a seed (a later file name wins), by seed."""
        found: dict[int, ScoredLog] = {}
        for log in self.logs:
            score = self._counted(log)
            if score is not None and log.seed_number is not None:
                found[log.seed_number] = ScoredLog(seed=log.seed_number, log=log, score=score)
        return tuple(found[seed] for seed in sorted(found))

    @cached_property
    def artifacts(self) -> dict[str, int]:
        """Shipped artifacts, `...seed<N>....ptz` or the like: the seed of each file."""
        found = {name: _IS_ARTIFACT.search(name) for name in self.listing.files}
        return {name: int(match.group(1)) for name, match in found.items() if match}

    def reading_findings(self) -> Iterator[Finding]:
        """What was odd about reading the folder itself."""
        yield from self.listing.findings
        for text in self.texts.values():
            yield from text.findings
        yield from self.document.findings

    def _counted(self, log: SeedLog) -> Score | None:
        """The final score that submission.json gives for the seed, else the sliding one, else the last one."""
        given = self.document.number("seed_results", str(log.seed_number), "val_bpb")
        finals = [score for score in log.finals if score.sane]
        agreeing = [score for score in finals if given is not None and given.agrees(score.val_bpb.value)]
        sliding = [score for score in finals if score.kind is Kind.SLIDING]
        return next(iter([*agreeing, *sliding, *reversed(finals)]), None)


@dataclass(frozen=True, kw_only=True)
class ScoredLog:
    """A seed's log and the score in it that counts."""

    seed: int
    log: SeedLog
    score: Score


def read_submission(root: Path) -> Submission:
    """Read a folder that nobody vouches for.

    Raises:
        InputError: ``root`` is not a folder.
    """
    listing = list_folder(root)
    names = _readable(listing)
    texts = {name: text for name in names if (text := read_text(listing, name)) is not None}
    source = texts.get(JSON)
    document = read_document(source) if source is not None else Document(name=JSON, data={})
    logs = tuple(read_log(texts[name]) for name in names if _IS_LOG.search(name))
    return Submission(listing=listing, texts=texts, document=document, logs=logs)


def _readable(listing: Listing) -> list[str]:
    """Names of the text files, those of a submission first, up to 200 files and 64 MiB together."""
    first = (JSON, README, SCRIPT, REQUIREMENTS)
    named = sorted((n for n in listing.files if _IS_TEXT.search(n)), key=lambda n: (n not in first, not _IS_LOG.search(n), n))
    kept: list[str] = []
    total = 0
    for name in named[:_MAX_TEXTS]:
        total += min(listing.files[name], MAX_TEXT_BYTES)
        if total > _MAX_TOTAL_BYTES:
            break
        kept.append(name)
    return kept
