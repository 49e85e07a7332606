"""Make docs/sample and the README's sample anew from a finished sweep: `python docs/sample.py ~/recur-results/<sweep>`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recur.record.report import read_sweep  # noqa: E402 - the repository's root must be on the path first
from recur.record.table import plain_table  # noqa: E402

BEGIN, END = "<!-- sample:begin -->", "<!-- sample:end -->"


def main(sweep: Path) -> None:
    """Copy sweep.json, results.csv and the plots, and write the table between the README's marks."""
    target = ROOT / "docs" / "sample"
    (target / "plots").mkdir(parents=True, exist_ok=True)
    for name in ("sweep.json", "results.csv"):
        shutil.copy(sweep / name, target / name)
    for picture in (sweep / "plots").glob("*.png"):
        shutil.copy(picture, target / "plots" / picture.name)
    readme = ROOT / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    table = plain_table(read_sweep(target)).rstrip()
    readme.write_text(f"{before}{BEGIN}\n```text\n{table}\n```\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
