"""Make docs/sample and the README's sample anew from finished sweeps: `python docs/sample.py ~/recur-results/<sweep>`.

Beside the sweep must lie its `<sweep>-beside`, as `make record` leaves them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recur.record.beside import plain_beside  # noqa: E402
from recur.record.report import read_sweep  # noqa: E402 - the repository's root must be on the path first
from recur.record.table import plain_table  # noqa: E402

BEGIN, END = "<!-- sample:begin -->", "<!-- sample:end -->"


def main(sweep: Path) -> None:
    """Copy sweep.json, results.csv and the plots, and write the table between the README's marks."""
    target = ROOT / "docs" / "sample"
    (target / "plots").mkdir(parents=True, exist_ok=True)
    for name in ("sweep.json", "results.csv"):
        shutil.copy(sweep / name, target / name)
    (target / "beside").mkdir(exist_ok=True)
    shutil.copy(sweep.with_name(sweep.name + "-beside") / "sweep.json", target / "beside" / "sweep.json")
    for picture in (sweep / "plots").glob("*.png"):
        shutil.copy(picture, target / "plots" / picture.name)
    readme = ROOT / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{BEGIN}\n```text\n{sample_text(target)}\n```\n{END}{after}", encoding="utf-8")


def sample_text(folder: Path) -> str:
    """The tables of a sample folder as the README shows them."""
    first, other = read_sweep(folder), read_sweep(folder / "beside")
    return f"{plain_table(first).rstrip()}\n\n{plain_beside(first, other).rstrip()}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
