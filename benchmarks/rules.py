"""Which scale rule and exponent: KL(trained || round trip) on held-out *training* text, at equal bytes.

    python benchmarks/rules.py [--width 160 ...] [--work FOLDER] [--out FILE.json]

One checkpoint per width (as `benchmarks/fit.py` makes them; the same --work folder shares them); every rule is solved to the
reference's natural size and to 25 % less. Validation text plays no part in the choice.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.lab import faithful
from benchmarks.lab.checkpoint import Checkpoint, bench_recipe, make_checkpoint
from benchmarks.lab.compare import Row, measure, save
from benchmarks.lab.ours import Ours

SLOPES = [
    (f"slope p={p} by {layout}", [f"quantize.slope_exponent={p}", f"quantize.step_layout={layout}"])
    for layout in ("matrix", "row", "row_column")
    for p in (0.5, 0.75, 0.85, 1.0)
]
OTHERS = [
    ("sdclip by row", ["quantize.scale_rule=sdclip", "quantize.step_layout=row"]),
    ("percentile by row", ["quantize.scale_rule=percentile", "quantize.step_layout=row"]),
]
CAPS = (("natural", 1.0), ("-25 %", 0.75))
TUNING_TOKENS = 81_920


def rows_of(checkpoint: Checkpoint) -> list[Row]:
    """Every rule at every cap; the reference's own codes first."""
    base = faithful.natural(checkpoint, faithful.representative_floor(checkpoint), code_bytes=0)
    candidates = [base]
    for name, settings in (*SLOPES, *OTHERS):
        ours = Ours(checkpoint, settings)
        candidates += [ours.fitted(f"{name}, {cap}", int(share * base.total_bytes), 0) for cap, share in CAPS]
    return measure(checkpoint, candidates, checkpoint.tuning)


def main() -> None:
    """Parse, run, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, nargs="*", default=[160])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--docs", nargs="*")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--out", type=Path, help="JSON to write, e.g. benchmarks/results/rules.json; default: none")
    args = parser.parse_args()
    runs: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="recur-rules-") as scratch:
        for width in args.width:
            root = (args.work or Path(scratch)) / f"w{width}-s{args.seed}"
            recipe = bench_recipe(width=width, steps=args.steps)
            checkpoint = make_checkpoint(root, recipe, seed=args.seed, docs=args.docs, tokens=4096, tuning_tokens=TUNING_TOKENS)
            rows = rows_of(checkpoint)
            for row in rows:
                print(f"width {width} {row.name:34} {row.total_bytes:10,} bytes  KL {row.kl:.6f} +- {row.kl_se:.6f}")
            runs.append({"width": width, "seed": args.seed, "rows": [asdict(row) for row in rows]})
    if args.out is not None:
        save(args.out, {"benchmark": "rules", "text": "training text the run has not seen", "runs": runs})


if __name__ == "__main__":
    main()
