"""The program of one seed, from its command line to its last line.

The same functions as the package's pipeline in the same order (train, quantize and fit, write, read back, evaluate), with
what lies between the phases kept in memory. Started by hand or by torchrun: every process is a rank, rank 0 quantizes
while the others wait, and the shares of an evaluation are dealt out to all.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from recur.components import component
from recur.config import Recipe
from recur.data.dataset import Dataset, load_dataset, validation_tokens
from recur.data.staging import MANIFEST
from recur.errors import InputError, RecurError
from recur.evaluate.artifact import load_model
from recur.evaluate.bpb import Score, total
from recur.evaluate.compiled import CompiledScorer
from recur.evaluate.runner import evaluate_part, part_count
from recur.evaluate.scoring import Scorer
from recur.model.backend import choose_backend, use_backend
from recur.pipeline.trained import ema_model
from recur.record.lines import HEADER, LABELS, event_line, score_line, size_lines
from recur.train.ranks import Ranks
from recur.train.run import train_seed
from recur.train.world import at_world

FITS = "recur.single.fits"
ARTIFACT_FILE = "artifact.ptz"
WAIT = timedelta(hours=4)
"""How long ranks wait for one that quantizes or adapts alone."""


class Options(ArgumentParser):
    """The command line; what is wrong with it is one line like any other bad input."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message, "is no valid command line", "see --help")


def main(recipe: Recipe, shown: str, arguments: Sequence[str], environment: Mapping[str, str], code_bytes: int) -> int:
    """Run the program.

    Args:
        recipe: of the run; with ``artifact.code_bytes_source = "bundle"`` its code bytes are the last argument.
        shown: lines of the log that tell the recipe (`recur.record.lines.hyperparameters`).
        arguments: of the command line.
        environment: torchrun's RANK, LOCAL_RANK and WORLD_SIZE, and defaults DATA_PATH and SEED.
        code_bytes: size of the program.

    Returns:
        The exit code: 0, 2 for bad input, 1 for a run that failed; the reason is one line on stderr.
    """
    if recipe.artifact.code_bytes_source == "bundle":
        recipe = replace(recipe, artifact=replace(recipe.artifact, code_bytes=code_bytes))
    try:
        Program(recipe, shown, arguments, environment).run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RecurError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


class Program:
    """One run on one rank; `run` is the whole story."""

    def __init__(self, recipe: Recipe, shown: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        options = Options(description="Train, quantize and evaluate one seed.")
        options.add_argument("--data", default=environment.get("DATA_PATH", "data"), help="prepared dataset folder")
        options.add_argument("--seed", type=int, default=int(environment.get("SEED", "42")))
        options.add_argument("--out", default=".", help="folder of the artifact")
        options.add_argument("--evaluate", metavar="ARTIFACT", help="score this artifact instead of training one")
        self.options = options.parse_args(arguments)
        rank, world, local = (int(environment.get(name, d)) for name, d in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
        if recipe.train.micro_batches % world:
            raise InputError(f"WORLD_SIZE={world}", f"must divide train.micro_batches={recipe.train.micro_batches}", "use fewer")
        self.recipe, self.ranks = at_world(recipe, world), Ranks(rank, world)
        self.label, self.shown = LABELS[recipe.artifact.fit], shown
        self.device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
        self.dataset = self._dataset()
        self.artifact = Path(self.options.evaluate or Path(self.options.out, ARTIFACT_FILE))
        if not self.options.evaluate:
            self._make_out()
        elif not self.artifact.is_file():
            raise InputError(f"--evaluate {self.artifact}", "is not a file", "give an artifact")

    def _dataset(self) -> Dataset:
        root, wanted = Path(self.options.data), self.recipe.model.vocab_size
        if not (root / MANIFEST).is_file():
            raise InputError(f"--data {root}", f"has no {MANIFEST}", "give a prepared dataset folder")
        dataset = load_dataset(root)
        if dataset.vocab_size != wanted:
            value = f"--data {self.options.data} vocab_size={dataset.vocab_size}"
            raise InputError(value, f"must be model.vocab_size={wanted}", "prepare another")
        return dataset

    def _make_out(self) -> None:
        try:
            self.artifact.parent.mkdir(parents=True, exist_ok=True)
            self.artifact.open("ab").close()
        except OSError as error:
            raise InputError(f"--out {self.options.out}", f"cannot be written ({error.strerror})", "choose another") from error

    def run(self) -> None:
        """Train, quantize and fit unless an artifact is given, then score it from its file."""
        self._join()
        self._print_setting()
        cfg = self.recipe.train
        self.recurrence = bool(self.recipe.model.recurrent_layers) and cfg.recurrence_start_step <= cfg.steps
        if not self.options.evaluate:
            self._make_artifact()
        self._say(*size_lines(self.label, self.artifact.stat().st_size, self.recipe.artifact.code_bytes))
        self._score("roundtrip", "plain", self._scorer("plain"))
        for mode in self.recipe.evaluate.modes:
            if mode != "plain":
                self._score(mode, mode, self._scorer(mode))
        if self.ranks.world > 1:
            dist.destroy_process_group()

    def _join(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.ranks.world > 1:
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo", timeout=WAIT)

    def _print_setting(self) -> None:
        run = f"  seed: {self.options.seed}\n  world_size: {self.ranks.world}"
        self._say(HEADER, self.shown, run, f"train_shards: {len(self.dataset.train)}")

    def _make_artifact(self) -> None:
        trained = train_seed(self.recipe, self.options.seed, self.dataset, ranks=self.ranks, device=self.device, observer=self)
        self.recurrence = trained.summary.recurrence_active
        model = ema_model(trained.ema, self.recipe, self.device, recurrence=self.recurrence)
        self._score("trained", "plain", CompiledScorer(model) if self._compiles else model)
        if self.ranks.is_main:
            made: bytes = component(FITS, self.recipe.artifact.fit).container(trained, self.recipe, self.event)
            self.artifact.write_bytes(made)
        self._wait()

    @property
    def _compiles(self) -> bool:
        return self.device.type == "cuda" and self.recipe.train.compile

    def _scorer(self, mode: str) -> Scorer:
        """The model read from its file; compiled where the recipe compiles and the mode does not train it."""
        use_backend(choose_backend(self.recipe.train.attention, self.device, self.recipe.train.precision))
        model = load_model(self.artifact, self.recipe, self.device, recurrence=self.recurrence)
        return CompiledScorer(model) if self._compiles and part_count(mode, 2) > 1 else model

    def _score(self, stage: str, mode: str, model: Scorer) -> None:
        """Score one stage in as many parts as the package does, every rank some of them, and print its line."""
        started, cfg = time.perf_counter(), self.recipe.evaluate
        tokens, table = validation_tokens(self.dataset, cfg.seq_len), self.dataset.byte_table()
        parts = part_count(mode, self.recipe.cluster.eval_shards)
        sums = [0.0] * 3 * parts
        for part in range(self.ranks.rank, parts, self.ranks.world):
            precision = self.recipe.train.precision
            score = evaluate_part(model, tokens, table, cfg, mode, part, parts, device=self.device, precision=precision).score
            sums[3 * part : 3 * part + 3] = score.nats, score.tokens, score.bytes
        sums = self.ranks.sum_floats(sums, self.device)
        whole = total(
            Score(nats=nats, tokens=int(tokens), bytes=int(size))
            for nats, tokens, size in zip(sums[::3], sums[1::3], sums[2::3], strict=True)
        )
        self._say(score_line(stage, self.label, whole.val_loss, whole.val_bpb, time.perf_counter() - started))

    def _wait(self) -> None:
        if self.ranks.world > 1:
            dist.barrier()

    def event(self, kind: str, fields: dict[str, Any]) -> None:
        """Print what training tells; `recur.train.loop.Observer`."""
        line = event_line(kind, fields, self.recipe.train.steps)
        if line is not None:
            self._say(line)

    def _say(self, *lines: str) -> None:
        if self.ranks.is_main:
            print(*lines, sep="\n", flush=True)
