"""Our quantizer against the reference's at equal bytes, on one checkpoint trained here: `python benchmarks/fit.py`.

Trains a model of at least 3 M parameters (about ten minutes on two cores; embedded text, or --docs), quantizes it by the
reference's way (floor step set so that 29.6 % of its codes are +-1, as in the reference run; pruned to the cap) and by ours
(equal slope, step solved), at the reference's natural size and at caps 0.25 %, 1 %, 4 % and 25 % below it, and prints
KL(trained || round trip) with standard errors. At 25 % the reference's step is solved too: pruning has nothing left to give.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.lab import faithful
from benchmarks.lab.caps import Filled, fill_caps
from benchmarks.lab.checkpoint import Checkpoint, bench_recipe, make_checkpoint
from benchmarks.lab.coded import Coded, compare_coders
from benchmarks.lab.compare import Row, measure, save
from benchmarks.lab.ours import Ours
from recur.config import Recipe
from recur.recipe import recipe_to_json
from recur.record.atomic import read_json, write_json_atomic

RESULTS = Path(__file__).resolve().parent / "results"
CASES = (
    ("natural", 0.0, 0.60, 0.30),
    ("-0.25 %", 0.0025, 0.65, 0.30),
    ("-1 %", 0.01, 0.25, 0.07),
    ("-4 %", 0.04, 0.05, 0.012),
)
"""Name, how far the cap is below the natural size, the bar and the goal for KL ours / faithful."""
LOW_RATE = ("-25 %, step solved", 0.25, 0.80, 0.55)
CODE_BYTES = 24_584
"""Both sides carry the same program: #1334's size."""
HELD_OUT_TOKENS = 81_920
FULL = ((160, 42), (160, 1337), (160, 2024), (224, 42), (224, 1337), (224, 2024))
"""Width and seed of each checkpoint of --full."""
FIRST = ((160, 42), (224, 42))
"""Those of --full that are fitted to ten random caps too: one a width."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """All that is measured on one checkpoint."""

    rows: list[Row]
    coded: list[Coded]
    filled: list[Filled]


def compare(checkpoint: Checkpoint, *, random_caps: bool) -> Compared:
    """Both sides at every cap; then the coders at equal codes, and ten random caps if ``random_caps``."""
    base = faithful.natural(checkpoint, faithful.representative_floor(checkpoint), CODE_BYTES)
    ours = Ours(checkpoint)
    candidates = [base, ours.fitted("natural", base.total_bytes, CODE_BYTES)]
    for name, less, _, _ in CASES[1:]:
        cap_bytes = int((1 - less) * base.total_bytes)
        candidates += [
            faithful.pruned(base, name, cap_bytes, CODE_BYTES),
            ours.fitted(name, cap_bytes, CODE_BYTES),
        ]
    name, less, _, _ = LOW_RATE
    solved = faithful.step_solved(checkpoint, name, base, int((1 - less) * base.total_bytes), CODE_BYTES)
    candidates += [solved, ours.fitted(name, solved.total_bytes, CODE_BYTES)]
    return Compared(
        rows=measure(checkpoint, candidates, checkpoint.held_out),
        coded=compare_coders(checkpoint, base, candidates[1]),
        filled=fill_caps(ours, base, CODE_BYTES) if random_caps else [],
    )


def ratios(rows: list[Row]) -> list[dict[str, object]]:
    """KL ours / faithful per case, with its relative standard error, the bar and whether it is met."""
    found: list[dict[str, object]] = []
    for name, _, bar, goal in (*CASES, LOW_RATE):
        theirs, ours = (next(r for r in rows if r.name == name and r.side == side) for side in ("faithful", "ours"))
        ratio = ours.kl / theirs.kl
        spread = ((ours.kl_se / ours.kl) ** 2 + (theirs.kl_se / theirs.kl) ** 2) ** 0.5
        found.append({"case": name, "ratio": ratio, "se": ratio * spread, "bar": bar, "goal": goal, "met": ratio <= bar})
    return found


def show(compared: Compared, found: list[dict[str, object]]) -> None:
    """The tables on the terminal."""
    print(f"{'case':20} {'side':9} {'bytes':>10} {'cap':>10} {'KL nats':>9} {'+-':>8} {'dCE':>9} {'+-':>8}")
    for r in compared.rows:
        kl = f"{r.kl:9.5f} {r.kl_se:8.5f} {r.ce_difference:+9.5f} {r.ce_difference_se:8.5f}"
        print(f"{r.name:20} {r.side:9} {r.total_bytes:10,} {r.cap_bytes:10,} {kl}")
    for f in found:
        verdict = _verdict(bool(f["met"]))
        print(f"{f['case']:20} ours/faithful {f['ratio']:.3f} +- {f['se']:.3f}  bar {f['bar']}  goal {f['goal']}  {verdict}")
    for c in compared.coded:
        sizes = f"{c.our_bytes:,} / {c.brotli_bytes:,} bytes"
        print(f"{c.codes:30} ours/brotli-11 {c.ratio:.4f} ({sizes})  bar {c.bar}  goal {c.goal}  {_verdict(c.met)}")
    for cap in compared.filled:
        what = f"total {cap.total_bytes:,}  slack {cap.slack_frac:.4%}  {cap.compressions} compressions"
        print(f"cap {cap.cap_bytes:10,}  {what}  {_verdict(cap.met)}")


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def one(args: argparse.Namespace, root: Path, width: int, seed: int) -> dict[str, Any]:
    """One checkpoint's fields of the JSON: found in its folder where an interrupted run left them, else measured."""
    recipe = bench_recipe(width=width, steps=args.steps, overrides=args.set)
    kept = root / f"w{width}-s{seed}" / "compared.json"
    if kept.exists():
        found: Any = read_json(kept)
        if found["recipe"] == recipe_to_json(recipe):
            print(f"width {width} seed {seed}: measured before, {kept}")
            return dict(found["run"])
    run = measured(args, root, recipe, width, seed)
    write_json_atomic(kept, {"recipe": recipe_to_json(recipe), "run": run})
    return run


def measured(args: argparse.Namespace, root: Path, recipe: Recipe, width: int, seed: int) -> dict[str, Any]:
    """Train, compare, show one checkpoint; the fields of its JSON."""
    started = time.perf_counter()
    checkpoint = make_checkpoint(
        root / f"w{width}-s{seed}", recipe, seed=seed, docs=args.docs, tokens=HELD_OUT_TOKENS, tuning_tokens=4096
    )
    train_s = time.perf_counter() - started
    parameters = sum(t.numel() for t in checkpoint.trained.ema.values())
    summary = checkpoint.trained.summary
    print(f"width {width} seed {seed}: {parameters:,} parameters, {summary.steps} steps, ready in {train_s:.0f} s")
    print(f"loss {summary.first_val_loss:.4f} -> {summary.last_step_loss:.4f} nats a token")
    compared = compare(checkpoint, random_caps=(width, seed) in FIRST or not args.full)
    found = ratios(compared.rows)
    show(compared, found)
    print(f"compared in {time.perf_counter() - started - train_s:.0f} s")
    return {
        "width": width,
        "seed": seed,
        "parameters": parameters,
        "steps": summary.steps,
        "tokens": summary.steps * recipe.train.batch_tokens,
        "last_step_loss": summary.last_step_loss,
        "checkpoint_s": train_s,
        "rows": [asdict(r) for r in compared.rows],
        "ratios": found,
        "coding": [{**asdict(c), "ratio": c.ratio, "met": c.met} for c in compared.coded],
        "caps": [{**asdict(f), "slack_frac": f.slack_frac, "met": f.met} for f in compared.filled],
    }


def main() -> int:
    """Parse, run, save; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", nargs="*", help="document files instead of the embedded text")
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int, default=300, help="optimizer steps of 4096 tokens")
    parser.add_argument("--set", action="append", default=[], help="override of the recipe")
    parser.add_argument("--full", action="store_true", help="two widths, three seeds each; hours")
    parser.add_argument(
        "--work", type=Path, help="folder of checkpoints and results to keep, reuse and go on with; default: a temporary one"
    )
    parser.add_argument("--out", type=Path, help="JSON to write; default: with --full benchmarks/results/fit.json, else none")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recur-fit-") as scratch:
        root = args.work or Path(scratch)
        runs = [one(args, root, width, seed) for width, seed in (FULL if args.full else ((args.width, args.seed),))]
    if out := args.out or (RESULTS / "fit.json" if args.full else None):
        save(out, {"benchmark": "fit", "runs": runs})
        print(f"results: {out}")
    return 0 if all(f["met"] for run in runs for part in ("ratios", "coding", "caps") for f in run[part]) else 1


if __name__ == "__main__":
    sys.exit(main())
