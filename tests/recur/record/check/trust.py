"""The checker's findings in docs/trust.md: `python -m tests.recur.record.check.trust` writes them from the four folders."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from recur.record.check import Level, check_folder
from tests.recur.record.check.folders import GOLDEN

PAGE = Path(__file__).parents[4] / "docs" / "trust.md"
PULL_REQUESTS = (1421, 1334, 1394, 1019)


def block(pr: int) -> str:
    """What `recur check` finds in one published folder, as it stands in the page."""
    found = check_folder(GOLDEN / f"pr{pr}")
    lines = [
        textwrap.fill(f"{f.level.value:8}{f.where}: {f.message}", 130, subsequent_indent=" " * 8, break_on_hyphens=False)
        for f in found.findings
    ]
    counts = ", ".join(f"{found.count(level)} {level}s" for level in Level)
    return "\n".join((f"<!-- check:{pr}:begin -->", "```text", *lines, counts, "```", f"<!-- check:{pr}:end -->"))


def blocks(page: str) -> dict[int, str]:
    """The blocks that a page holds."""
    found = re.finditer(r"<!-- check:(\d+):begin -->.*?<!-- check:\1:end -->", page, re.DOTALL)
    return {int(match.group(1)): match.group() for match in found}


def main() -> None:
    """Write every block again."""
    page = PAGE.read_text(encoding="utf-8")
    for pr, old in blocks(page).items():
        page = page.replace(old, block(pr))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
