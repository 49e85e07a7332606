"""Finds claims of superiority in Markdown and JSON: where they stand, and against whom.

Deliberately small: fixed phrases, their negations, and the subject or object beside them. It does not understand English;
it finds the wording that the challenge's submissions use for their claims.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a phrase claims to surpass."""

    RECORD = "every accepted line"
    BEST = "the best accepted line"
    BASE = "its base"
    LINE = "a named line"


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """One claim: its line (from 1), its words, and the pull requests it names as surpassed."""

    line_number: int
    text: str
    kind: Kind
    prs: tuple[int, ...] = ()


_PR = re.compile(r"(?:\bPRs?\s*#?\s*|(?<![\w&])#|\bpull request\s+#?)(\d+)\b", re.IGNORECASE)
_COMPARES = re.compile(
    r"\b(?:improv(?:es?|ed|ing|ements?)\b(?:(?:[^.;#]|\.(?=\d)){0,60}?"
    r"\b(?:on|upon|over|against|vs|versus|from|relative to|compared to)\b)"
    r"|(?:beat|outperform|surpass)(?:s|es|ed|ing|en)?\b|better(?:\s+[\w-]+){0,2}\s+than\b"
    r"|(?:lower|smaller)\s+(?:val[_ ]?)?(?:bpb|loss|score)\s+than\b|ahead of\b|superior to\b)",
    re.IGNORECASE,
)
_IMPROVES = re.compile(
    r"\bimprov(?:es?|ed|ing)\s+(?:the\s+|our\s+|its\s+)?(?:final\s+|mean\s+|validation\s+)?(?:val[_ ]?bpb|bpb|score|results?|"
    r"val[_ ]?loss|loss|quality)\b|\b(?:better|improved)\s+(?:val[_ ]?bpb|bpb|score)\b",
    re.IGNORECASE,
)
_BASE = re.compile(r"\b(?:(?:own |naive )?base(?:line)?|parent|predecessor|reference(?: run)?)\b", re.IGNORECASE)
_BEST = re.compile(
    r"\bSOTA\b|\bstate[\s-]+of[\s-]+the[\s-]+art\b|\b(?:previous|prior|current|existing|merged|official)\s+(?:best|records?)\b"
    r"|\bleaderboard\b|\b(?:all|every|any) (?:other |published |known |accepted )*(?:records?|lines?|submissions?)\b",
    re.IGNORECASE,
)
_RECORD = re.compile(
    r"\bnew(?:\s+[\w-]+){0,2}?\s+(?:records?\b(?!\s*(?:type|field|line|folder|file|format|dir))|best\b)"
    r"|\b(?:sets?|setting|breaks?|breaking|broke|beats?|holds?|takes?|claims?)\s+(?:a|the|an|our)(?:\s+[\w-]+){0,2}?\s+record\b"
    r"|(?<!non-)(?<!non_)(?<!non )\brecord[\s-](?:breaking|setting|score)\b"
    r"|\b(?:is|becomes)\s+(?:a|the)(?:\s+[\w-]+){0,2}?\s+record\b(?!\s*(?:type|field|line|folder|file|format|of\b))",
    re.IGNORECASE,
)
_TITLE = re.compile(
    r"(?:^\s*#+\s*|^\s*|\"\s*)(?:((?:new\s+)?record)\s*(?::|–|—|\s-\s|!|(?=\s\d))|(\[\s*(?:new\s+)?record\s*\]))", re.IGNORECASE
)
_SOTA = re.compile(r"\bSOTA\b|\bstate[\s-]+of[\s-]+the[\s-]+art\b", re.IGNORECASE)

_REFERS = re.compile(
    r"(?:\b(?:vs\.?|versus|against|than|over|to|from|with|beyond|below|above|behind|merged|previous|prior|existing|"
    r"official|published|legal|old|earlier|then|non)[\s-]+(?:[\w'-]+\s+){0,2})$",
    re.IGNORECASE,
)
_HOLDER = re.compile(r"(?:\bPRs?\s*#?\s*|#)(\d+)\s*[(,:]\s*(?:[\w'-]+\s+){0,3}$", re.IGNORECASE)
_OTHERS = re.compile(r"^\s*(?:\(|#|PR|is\s+|was\s+|of the day|at the time|then\b)[^.;]{0,40}", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\b(?:not|no|never|nor|neither|nothing|none|without|cannot|hardly|fails? to|failed to)\b(?!\s+only)|n't\b)[^,;:.]{0,40}$",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"(?:\b(?:to|must|should|would|needs?)\s+(?:\w+ly\s+)?(?:be\s+|have\s+|set\s+|claim\s+)?"
    r"|\b(?:whether|if|unless|until)\s+(?:[\w-]+\s+){0,3})$",
    re.IGNORECASE,
)
_REPORTED = re.compile(
    r"(?<!\bwe )(?<!\bi )\b(?:claims?|claimed|says|said|stated|states|wording|phrases?|words?|titled|called)\b[^.;]{0,60}$",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"(?:\bPRs?\s*#?\s*|#)(\d+)\)?(?:'s(?:\s+\w+)?)?(?:\s*\([^)]*\))?\s+(?:(?:is|was|are|has|had|already|itself|\w+ly)\s+)*$",
    re.IGNORECASE,
)
_TURN = re.compile(r"\b(?:worse|but|while|whereas|although|not|higher|behind)\b", re.IGNORECASE)
_AND = re.compile(r"[\s\])]*(?:\([^)]*\))?(?:\s|,|and\b|or\b|&|/|as well as\b|both\b|also\b|\[)*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)[.!?;]\s+")
_BLOCK = re.compile(r"\s*(?:[#|>\"{}\[\]]|[-+]\s|\d+[.)]\s)")
_ALONE = re.compile(r"\s*[#\"{}|]")
_REACH = 100
"""Characters after a comparison within which its object is looked for."""


def phrases(text: str, *, own_pr: int | None = None) -> list[Phrase]:
    """All claims in ``text`` that are not denied, asked for, or about another pull request than ``own_pr``."""
    plain = _blanked(text)
    found: list[Phrase] = []
    first = len(plain) - len(plain.lstrip())
    for start, end in _sentences(plain):
        sentence = plain[start:end]
        is_title = start <= first or sentence.lstrip().startswith(("#", '"'))
        for phrase, at in _in_sentence(sentence, is_title=is_title, own_pr=own_pr):
            line = plain.count("\n", 0, start + at) + 1
            found.append(Phrase(line_number=line, text=phrase.text, kind=phrase.kind, prs=phrase.prs))
    return found


def _in_sentence(sentence: str, *, is_title: bool, own_pr: int | None) -> Iterator[tuple[Phrase, int]]:
    if is_title:
        for hit in _TITLE.finditer(sentence):
            words = hit.lastindex or 0
            yield _phrase(hit.group(words), Kind.RECORD), hit.start(words)
    taken: list[tuple[int, int]] = []
    for hit in _COMPARES.finditer(sentence):
        reach = sentence[hit.end() : hit.end() + _REACH]
        target = _target(reach, own_pr)
        if target is None:
            continue
        taken.append((hit.start(), hit.end() + _REACH))
        if _claimed(sentence, hit.start(), own_pr):
            kind, prs, told = target
            yield _phrase(f"{hit.group()} {told}", kind, prs), hit.start()
    for hit in _IMPROVES.finditer(sentence):
        if not any(a <= hit.start() < b for a, b in taken) and _claimed(sentence, hit.start(), own_pr):
            yield _phrase(hit.group(), Kind.BASE), hit.start()
    for pattern in (_RECORD, _SOTA):
        for hit in pattern.finditer(sentence):
            refers = pattern is _SOTA and _refers(sentence, hit, taken, own_pr)
            if not refers and _claimed(sentence, hit.start(), own_pr):
                yield _phrase(hit.group(), Kind.RECORD), hit.start()


def _phrase(words: str, kind: Kind, prs: tuple[int, ...] = ()) -> Phrase:
    return Phrase(line_number=0, text=" ".join(words.split()), kind=kind, prs=prs)


def _claimed(sentence: str, at: int, own_pr: int | None) -> bool:
    """Whether the phrase at ``at`` is said of this arm, and said as a fact."""
    before = sentence[:at]
    if any(pattern.search(before) for pattern in (_DENIED, _ASKED, _REPORTED)):
        return False
    subject = _SUBJECT.search(before)
    return subject is None or int(subject.group(1)) == own_pr


def _target(reach: str, own_pr: int | None) -> tuple[Kind, tuple[int, ...], str] | None:
    """What follows a comparison as its object: one or more pull requests, else the best or the base."""
    turn = _TURN.search(reach)
    reach = reach[: turn.start()] if turn else reach
    named: list[re.Match[str]] = []
    for hit in _PR.finditer(reach):
        if named and not _AND.fullmatch(reach, named[-1].end(), hit.start()):
            break
        named.append(hit)
    prs = tuple(dict.fromkeys(pr for pr in (int(hit.group(1)) for hit in named) if pr != own_pr))
    if prs:
        return Kind.LINE, prs, reach[: named[0].end()]
    for kind, pattern in ((Kind.BEST, _BEST), (Kind.BASE, _BASE)):
        if found := pattern.search(reach):
            return kind, (), reach[: found.end()]
    return None


def _refers(sentence: str, hit: re.Match[str], taken: list[tuple[int, int]], own_pr: int | None) -> bool:
    """Whether SOTA is here the name of somebody else's line."""
    before = sentence[: hit.start()]
    if any(a <= hit.start() < b for a, b in taken) or _REFERS.search(before):
        return True
    holder = _HOLDER.search(before)
    if holder and int(holder.group(1)) != own_pr:
        return True
    after = _OTHERS.match(sentence[hit.end() :])
    named = _PR.search(after.group()) if after else None
    return named is not None and int(named.group(1)) != own_pr


def _blanked(text: str) -> str:
    """Same length and lines, without what is not prose: code spans, link targets, emphasis marks."""
    for pattern in (r"`[^`\n]+`", r"\]\([^)\s]*\)", r"https?://\S+", r"[*~]+", r"<[^>\n]*>"):
        text = re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    return text


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence, list item, table row, heading or JSON entry; a paragraph's lines belong together."""
    for start, end in _blocks(text):
        at = start
        for cut in _SENTENCE_END.finditer(text, start, end):
            yield at, cut.end()
            at = cut.end()
        yield at, end


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    start = at = 0
    for line in text.splitlines(keepends=True):
        if at > start and (_BLOCK.match(line) or not line.strip()):
            yield start, at
            start = at
        at += len(line)
        if _ALONE.match(line):
            yield start, at
            start = at
    yield start, at
