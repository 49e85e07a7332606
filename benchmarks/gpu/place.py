"""Where a bar of the GPU runs, at which size, and how its seconds are read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from recur.config import ModelConfig, Recipe
from recur.model.backend import choose_backend, use_backend
from recur.model.build import build_model
from recur.model.gpt import GPT
from recur.recipe import load_recipe
from recur.train.compiling import compiled, configure_compile


@dataclass(frozen=True, kw_only=True)
class Place:
    """A device and the sizes that fit it.

    Attributes:
        device: a CUDA device, or the CPU for a trial of the bars themselves.
        batch, seq_len: rows and tokens of a micro-batch; the record's are 48 and 2048.
        width: of the model; the record's is 512.
        compile: whether models are compiled, as the record's are.
        repeats: steps a timing holds.
    """

    device: torch.device
    batch: int = 48
    seq_len: int = 2048
    width: int = 512
    compile: bool = True
    repeats: int = 10

    @property
    def is_gpu(self) -> bool:
        """Whether seconds mean anything."""
        return self.device.type == "cuda"

    def clock(self) -> float:
        """Seconds, after all that was asked of the device is done."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def recipe(self, *overrides: str) -> Recipe:
        """The reference's recipe at this size."""
        recipe = load_recipe("record_1421", overrides)
        m = recipe.model
        part = self.width / m.width
        kept: dict[str, Any] = {"width": self.width, "embedding_width": self.width, "train_seq_len": self.seq_len}
        if part != 1:
            kept |= {"heads": 4, "kv_heads": 2, "vocab_size": 256, "value_embedding_width": int(m.value_embedding_width * part)}
        return replace(recipe, model=replace(m, **kept))

    def model(self, cfg: ModelConfig, *, deep: bool = False) -> GPT:
        """A model whose zero weights are drawn too: zeros would make products cheaper than they are."""
        model = build_model(cfg, seed=1, precision="bf16", device=self.device)
        draw = torch.Generator(self.device).manual_seed(2)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.02 * torch.randn(p.shape, generator=draw, device=self.device).to(p.dtype))
        model.set_recurrence(deep)
        return model

    def tokens(self, cfg: ModelConfig, rows: int, seed: int = 3) -> tuple[Tensor, Tensor]:
        """Ids and targets [rows, seq_len]: each token follows from the one before it, but for one in four."""
        draw = torch.Generator().manual_seed(seed)
        ids = torch.randint(cfg.vocab_size, (rows, self.seq_len + 1), generator=draw)
        follows = torch.rand(rows, self.seq_len + 1, generator=draw) < 0.75
        for t in range(1, self.seq_len + 1):
            ids[:, t] = torch.where(follows[:, t], (5 * ids[:, t - 1] + 7) % cfg.vocab_size, ids[:, t])
        ids = ids.to(self.device)
        return ids[:, :-1], ids[:, 1:]

    def compiled(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The function as the record compiles it."""
        return compiled(function, enabled=self.compile)


def settle(place: Place) -> str:
    """Prepare this process as training does; the attention kernel in use."""
    configure_compile()
    torch.set_float32_matmul_precision("high" if place.is_gpu else "highest")
    backend = choose_backend("auto", place.device, "bf16")
    use_backend(backend)
    return backend
