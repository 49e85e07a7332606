"""The second start of training with a warm compile cache: two processes, one after the other, with one cache folder.

Each compiles loss and gradient of a small model (inductor, which on a CPU builds C++). Where the folder is another node's,
the file of `cluster.compile_cache` brings the graphs; on a CPU the kernels themselves are built there again, so that time is
shown beside, not judged.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.harness import Outcome, judged
from cluster.compile_cache import travelling_graphs
from recur.model.build import build_model
from recur.recipe import load_recipe
from recur.train.compiling import compiled, configure_compile

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "model.layers=2",
    "model.recurrent_layers=[]",
    "model.value_embedding_layers=[]",
    "model.parallel_from_layer=1",
    "model.xsa_last_layers=2",
    "train.compile=true",
)


def first_gradient(out: Path) -> None:
    """What a process does: compile loss and gradient; print seconds and loss."""
    recipe = load_recipe("smoke", SMALL)
    configure_compile()
    model = build_model(recipe.model, seed=1, precision="bf16")
    ids = torch.randint(recipe.model.vocab_size, (2, 64), generator=torch.Generator().manual_seed(0))
    with travelling_graphs(out, recipe, torch.device("cpu"), leave=True):
        begun = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = compiled(model.loss, enabled=True)(ids, ids)
        loss.backward()  # type: ignore[no-untyped-call]
        print(time.perf_counter() - begun, float(loss.detach()))


def start(out: Path, cache: Path) -> tuple[float, float]:
    """Seconds until the first gradient of a fresh process, and its loss."""
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "benchmarks.bars.compile_cache", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds, loss = done.stdout.split()
    return float(seconds), float(loss)


def outcomes() -> Iterator[Outcome]:
    """One bar."""
    with tempfile.TemporaryDirectory(prefix="recur-bench-compile-") as folder:
        root = Path(folder)
        cold_s, cold_loss = start(root / "out", root / "cache")
        warm_s, warm_loss = start(root / "out", root / "cache")
        travelled_s, _ = start(root / "out", root / "elsewhere")
    assert cold_loss == warm_loss, "a graph from the cache gives another loss"
    yield judged(
        name="compiling at a second start, cache warm",
        ratio=warm_s / cold_s,
        threshold=0.5,
        kind="share",
        agreement="the same loss",
        note=f"{cold_s:.1f} s cold, {warm_s:.1f} s warm, {travelled_s / cold_s:.2f} on another node",
    )


if __name__ == "__main__":
    first_gradient(Path(sys.argv[1]))
