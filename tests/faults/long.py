"""The fault suites five times over: `make test-faults-long`. Goes on where it was interrupted, and keeps the page's table.

python -m tests.faults.long [--results FOLDER] [--times N] [--only TEXT]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.faults.page import RESULTS, write_page
from tests.long import Piece, drive

SOURCES = ("recur", "cluster", "tests/faults")
FILES = ("test_kills.py", "test_research.py", "test_corruption.py", "test_disk_full.py")
QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}


def main() -> int:
    """Run what has not passed yet; 1 when anything has not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--only", default="", help="files whose name has this text")
    args = parser.parse_args()
    pieces = {
        f"{number} {file}": Piece(target=f"tests/faults/{file}", results=args.results / str(number))
        for number in range(1, args.times + 1)
        for file in FILES
        if args.only in file
    }
    outcomes = drive(pieces, args.results, SOURCES, environment=QUIET)
    write_page(args.results)
    return 0 if all(outcomes[name]["passed"] for name in pieces) else 1


if __name__ == "__main__":
    sys.exit(main())
