"""A full-size artifact on this machine's CPU: prepare, fit, write and read 34 M weights, with time and peak memory.

    python benchmarks/full_size.py [--profile recur] [--cap 16000000] [--out FILE.json]

Weights are Gaussian with the spread of a trained model (rows: cv 8 %, mlp.proj at half the others' deviation, tables at three
times; columns: 10 %), Hessians those of inputs with a decaying spectrum, output moments log-normal. Nothing is trained, so no
loss is reported: this measures the machinery.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from benchmarks.lab.compare import save
from benchmarks.lab.ours import in_place
from recur.artifact.container import read_container
from recur.config import Recipe
from recur.model.build import template_shapes
from recur.pipeline.fitting.solve import fit
from recur.pipeline.gridded import tokens_per_batch
from recur.pipeline.gridding import prepare_item, prepare_items, save_index
from recur.pipeline.work import Work
from recur.quantize.classes import hessian_names, lookup_names
from recur.quantize.fisher import MomentSum
from recur.quantize.hessian import HessianSum, shared_input
from recur.recipe import load_recipe
from recur.train.checkpoint import Trained

RESULTS = Path(__file__).resolve().parent / "results"
SAMPLES = 4096
ROW_CV, COLUMN_CV = 0.08, 0.10
SIGMA = {"mlp.proj": 0.02, "embed": 0.127, "tok_emb": 0.127}
OTHER_SIGMA = 0.04
"""Standard deviations of trained weights (QUANTIZATION 1)."""


def synthetic(recipe: Recipe, seed: int) -> Trained:
    """Weights and calibration of the recipe's shapes, as a training would leave them."""
    draw = torch.Generator().manual_seed(seed)
    shapes = template_shapes(recipe.model)
    ema = {name: _weight(name, shape, draw) for name, shape in shapes.items()}
    names = hessian_names(shapes, recipe.quantize)
    leaders: dict[str, str] = {}
    aliases = {name: leaders.setdefault(shared_input(name), name) for name in names}
    sums = {name: _hessian(shapes[name][1], draw) * tokens_per_batch(recipe) for name in leaders.values()}
    moments = MomentSum(
        outputs={name: _moments(shapes[name][0], draw) for name in names},
        visits=dict.fromkeys(names, 1),
        lookups={name: _moments(shapes[name][0], draw) for name in lookup_names(shapes, recipe.quantize)},
        tokens=1,
    )
    return Trained(ema=ema, hessians=HessianSum.shared(sums, aliases, 1), summary=None, moments=moments)  # type: ignore[arg-type]


def _weight(name: str, shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
    if len(shape) != 2:
        return torch.randn(shape, generator=draw)
    sigma = next((s for part, s in SIGMA.items() if part in name), OTHER_SIGMA)
    rows = (ROW_CV * torch.randn(shape[0], 1, generator=draw)).exp()
    columns = (COLUMN_CV * torch.randn(1, shape[1], generator=draw)).exp()
    return sigma * rows * columns * torch.randn(shape, generator=draw)


def _hessian(columns: int, draw: torch.Generator) -> Tensor:
    """Second moment of inputs whose covariance decays like 1 / k over its directions."""
    spectrum = torch.arange(1, columns + 1).rsqrt()
    x_NC = torch.randn(SAMPLES, columns, generator=draw) * spectrum
    mixed_NC = x_NC + 0.3 * x_NC[:, torch.randperm(columns, generator=draw)]
    return mixed_NC.t() @ mixed_NC / SAMPLES


def _moments(rows: int, draw: torch.Generator) -> Tensor:
    return 1e-4 * (0.7 * torch.randn(rows, generator=draw)).exp()


def main() -> int:
    """Run, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="recur")
    parser.add_argument("--cap", type=int, help="bytes; default: the profile's")
    parser.add_argument("--out", type=Path, default=RESULTS / "full_size.json")
    args = parser.parse_args()
    recipe = load_recipe(args.profile, [f"artifact.cap_bytes={args.cap}"] if args.cap else [])
    trained = synthetic(recipe, seed=1)
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="recur-full-") as scratch:
        folder, clock = Path(scratch), time.perf_counter()
        items = prepare_items(trained, recipe, folder)
        save_index(trained, [prepare_item(item) for item in items], recipe.quantize, folder)
        seconds["prepare"] = time.perf_counter() - clock
        weights = sum(t.numel() for t in trained.ema.values())
        trained = replace(trained, hessians=HessianSum(sums={}, batches=1))
        del items
        clock = time.perf_counter()
        result = fit(Work(folder=folder, recipe=recipe, seed=1, map=in_place, say=_say))
        seconds["fit"] = time.perf_counter() - clock
        clock = time.perf_counter()
        read_container(result.blob, max_bytes=1 << 30)
        seconds["read"] = time.perf_counter() - clock
    total_bytes = len(result.blob) + recipe.artifact.code_bytes
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    of_cap = f"{total_bytes:,} of {recipe.artifact.cap_bytes:,} bytes"
    print(f"{weights:,} weights, total {of_cap}, {result.fields['compressions']} compressions")
    print(f"seconds { ({k: round(v, 1) for k, v in seconds.items()}) }, peak memory {peak_bytes / 2**30:.2f} GiB")
    save(
        args.out,
        {
            "benchmark": "full_size",
            "weights": weights,
            "total_bytes": total_bytes,
            "cap_bytes": recipe.artifact.cap_bytes,
            "seconds": seconds,
            "peak_memory_bytes": peak_bytes,
            "fit": result.fields,
        },
    )
    return 0


def _say(kind: str, fields: dict[str, float | int | str]) -> None:
    print(kind, fields, flush=True)


if __name__ == "__main__":
    sys.exit(main())
