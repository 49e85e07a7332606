"""Your own documents: JSONL, JSONL.gz and TXT files named by paths or globs, read one document at a time.

Format (DATA G): JSONL has one object with a string `text` per line; other keys are ignored. A TXT file is one
document, or several that a line `<|endoftext|>` parts.
"""

from __future__ import annotations

import glob
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from recur.errors import DataError

END_OF_TEXT = "<|endoftext|>"
SUFFIXES = (".jsonl", ".jsonl.gz", ".txt")


@dataclass(frozen=True)
class Document:
    """A text and where it came from (`file:line`), for error messages."""

    name: str
    text: str


def expand(patterns: Sequence[str]) -> list[Path]:
    """The files that paths and globs name, in the order given, each glob's matches sorted, none twice.

    Raises:
        DataError: a pattern without a file, or a file of another kind.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        literal = Path(pattern).expanduser()
        named = [str(literal)] if literal.is_file() else glob.glob(str(literal), recursive=True)  # noqa: PTH207 - may be absolute
        files = [path for path in map(Path, sorted(named)) if path.is_file()]
        if not files:
            raise DataError(f"docs={pattern}", "names no file", "give a path or a quoted glob such as 'texts/*.jsonl.gz'")
        found.update(dict.fromkeys(files))
    for path in found:
        if not path.name.endswith(SUFFIXES):
            raise DataError(f"docs={path}", f"must end in {', '.join(SUFFIXES)}", "convert it to JSONL with a 'text' field")
    return list(found)


def read_documents(paths: Sequence[Path]) -> Iterator[Document]:
    """All documents of all files, in order.

    Raises:
        DataError: a line that is not a JSON object with a string `text`, text that is not UTF-8, a cut-off gzip file.
    """
    for path in paths:
        reader = _read_txt if path.name.endswith(".txt") else _read_jsonl
        try:
            yield from reader(path)
        except (OSError, EOFError) as error:  # gzip.BadGzipFile is an OSError
            raise DataError(f"docs={path}", f"cannot be read to its end ({error})", "check or copy the file again") from error
        except UnicodeDecodeError as error:
            rule = f"is not UTF-8 (byte {error.object[error.start]:#04x})"
            raise DataError(f"docs={path}", rule, "convert it to UTF-8") from error


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _read_jsonl(path: Path) -> Iterator[Document]:
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                name = f"{path}:{number}"
                yield Document(name, _text_of(line, name))


def _text_of(line: bytes, name: str) -> str:
    remedy = 'each line must be an object such as {"text": "..."}'
    try:
        record = json.loads(line)
    except UnicodeDecodeError as error:
        raise DataError(f"docs line {name}", "is not UTF-8", "convert it to UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"docs line {name}", f"is not JSON ({error})", remedy) from error
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise DataError(f"docs line {name}", "has no string 'text'", remedy)
    if not _is_unicode(text):
        raise DataError(f"docs line {name}", "has half a surrogate pair in 'text'", "write it as whole characters")
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_txt(path: Path) -> Iterator[Document]:
    lines: list[str] = []
    first = 1
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip() == END_OF_TEXT:
                yield Document(f"{path}:{first}", "".join(lines))
                lines, first = [], number + 1
            else:
                lines.append(line)
    if lines:
        yield Document(f"{path}:{first}", "".join(lines))
