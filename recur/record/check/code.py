"""The script: bytes of all code that is needed to run, syntax, and features that are there but did not run.

Code is `train_gpt.py` with every module of the folder that it imports, by the syntax tree; installed packages cost no
bytes. A wrapped script is opened without running it (`recur.record.check.unwrap`); its bytes are those on the disk. A
feature that a pattern finds says nothing about a run: the logs decide whether it was executed, and the finding is a note.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from recur.record.check.finding import Finding, error, note, warning
from recur.record.check.habits import check_habits
from recur.record.check.submission import JSON, SCRIPT, Submission
from recur.record.check.unwrap import parse_source, unwrap

MAX_SOURCE_CHARS = 4_000_000
_NETWORK = {"socket", "urllib", "requests", "http", "huggingface_hub", "aiohttp", "httpx", "ftplib", "paramiko"}
_FEATURES = {"ttt": "TTT", "slot": "SLOT", "ngram": "n-gram"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One parsed module: its file, its tree, wrappers that were opened."""

    file: str
    tree: ast.Module
    layers: int


def check_code(sub: Submission) -> Iterator[Finding]:
    """Byte recount, syntax, the review's slips, and features against the logs."""
    if sub.script is None:
        return
    sources: list[Source] = []
    for name in code_files(sub):
        parsed = _parsed(sub, name)
        if isinstance(parsed, Finding):
            yield parsed
            continue
        sources.append(parsed)
        if parsed.layers:
            said = f"is compressed inside itself ({parsed.layers}x); read without running it"
            yield note("wrapped", said, file=name, line=1)
        yield from _habits(parsed)
    yield from _bytes(sub)
    yield from _network(sources)
    yield from _features(sub, sources)


def _habits(source: Source) -> Iterator[Finding]:
    """The review's slips; in a wrapped script without lines, which would be those of the text inside."""
    try:
        found = list(check_habits(source.tree, source.file))
    except (RecursionError, ValueError) as e:
        yield note("not_analysed", f"is nested too deeply to be read ({e})", file=source.file)
        return
    yield from (replace(f, line=None) if source.layers else f for f in found)


def code_files(sub: Submission) -> tuple[str, ...]:
    """`train_gpt.py` and the modules of the folder it imports, directly or through each other, sorted."""
    found: set[str] = set()
    waiting = [SCRIPT] if SCRIPT in sub.texts else []
    while waiting:
        name = waiting.pop()
        if name in found or name not in sub.texts:
            continue
        found.add(name)
        parsed = _parsed(sub, name)
        if isinstance(parsed, Source):
            waiting += [local for module in _imported(parsed.tree) for local in _local(sub, module, name)]
    return tuple(sorted(found))


def code_bytes(sub: Submission) -> int:
    """Bytes on the disk of `code_files`."""
    return sum(sub.listing.files[name] for name in code_files(sub))


def read_source(sub: Submission) -> Source | None:
    """The parsed script, unwrapped; None where there is none or it has no valid syntax."""
    parsed = _parsed(sub, SCRIPT) if sub.script is not None else None
    return parsed if isinstance(parsed, Source) else None


def _parsed(sub: Submission, name: str) -> Source | Finding:
    text = sub.texts[name].text
    if len(text) > MAX_SOURCE_CHARS:
        return error("syntax", f"{len(text)} characters are not read as code", "ship a script", file=name)
    opened = unwrap(text)
    try:
        return Source(file=name, tree=parse_source(opened.source), layers=opened.layers)
    except SyntaxError as e:
        return error("syntax", f"is not Python ({e.msg})", "run it once", file=name, line=None if opened.layers else e.lineno)
    except (ValueError, RecursionError, MemoryError) as e:
        return error("syntax", f"cannot be read as Python ({e})", "run it once", file=name)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield from ([base] if base else []) + [f"{base}.{a.name}".lstrip(".") for a in node.names]


def _local(sub: Submission, module: str, importer: str) -> Iterator[str]:
    parts = module.split(".")
    folder = importer.rpartition("/")[0]
    for start in {"", f"{folder}/" if folder else ""}:
        for end in range(1, len(parts) + 1):
            stem = start + "/".join(parts[:end])
            yield from (n for n in (f"{stem}.py", f"{stem}/__init__.py") if n in sub.texts)


def _bytes(sub: Submission) -> Iterator[Finding]:
    names, counted = code_files(sub), code_bytes(sub)
    said = f"{counted} bytes of code on the disk ({', '.join(names)})"
    given = sub.document.number("bytes_code")
    if given is not None and given.value != counted:
        yield error("code_bytes", f"bytes_code={given.text}, but {said}", "recount the files", file=JSON, line=given.line)
    for scored in sub.scored:
        logged = scored.log.code_bytes
        if logged is not None and logged.value != counted:
            message = f"`Code size` {logged.value:.0f} in the log, but {said}"
            remedy = "ship the script that ran, and count every module it imports"
            yield error("code_bytes", message, remedy, file=scored.log.file, line=logged.line)


def check_artifacts(sub: Submission) -> Iterator[Finding]:
    """A shipped artifact, `...seed<N>....ptz` or the like, has the bytes that its seed's log gives the model."""
    for name, seed in sub.artifacts.items():
        size = sub.listing.files[name]
        for scored in sub.scored:
            logged = scored.log.model_bytes
            if seed == scored.seed and logged is not None and logged.value != size:
                said = f"has {size} bytes; the log says {logged.value:.0f} at {scored.log.file}:{logged.line}"
                yield error("artifact_bytes", said, "ship the artifact that was scored", file=name)


def _network(sources: list[Source]) -> Iterator[Finding]:
    for source in sources:
        used = sorted({m.split(".")[0] for m in _imported(source.tree)} & _NETWORK)
        if used:
            said = f"imports {', '.join(used)}; an evaluation must not use a network (see --run-script)"
            yield note("network_import", said, file=source.file)


def _features(sub: Submission, sources: list[Source]) -> Iterator[Finding]:
    for word, title in _FEATURES.items():
        place = next((p for s in sources if (p := _defines(s, word)) is not None), None)
        if place is None:
            continue
        ran = [str(s.seed) for s in sub.scored if _ran(s.log.settings, word, s.log.ttt_ran)]
        said = f"{title} code is present ({place.what})"
        if not sub.scored:
            said += "; no log says whether it was executed"
        elif ran:
            said += f" and was executed for seed{'s' * (len(ran) > 1)} {', '.join(ran)}"
        else:
            said += ", not executed according to the logs"
        yield note("feature", said, file=place.file, line=place.line)


def _ran(settings: dict[str, str], word: str, ttt_ran: bool) -> bool:
    switch = next((v for k, v in settings.items() if k.lower() == f"{word}_enabled"), None)
    return ttt_ran if word == "ttt" else switch not in (None, "False", "0")


@dataclass(frozen=True, kw_only=True)
class _Place:
    what: str
    file: str
    line: int | None


def _defines(source: Source, word: str) -> _Place | None:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and word in node.name.lower().split("_"):
            line = None if source.layers else node.lineno
            return _Place(what=node.name, file=source.file, line=line)
    return None


def check_unused(sub: Submission) -> Iterator[Finding]:
    """Python files of the folder that the script does not import: not counted as code."""
    used = set(code_files(sub))
    for name in sub.listing.files:
        if name.endswith(".py") and name not in used and SCRIPT in used:
            said = "is not imported by train_gpt.py; not counted as code"
            yield warning("unused_code", said, "remove it, or count it", file=name)
