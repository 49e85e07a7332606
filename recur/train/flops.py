"""FLOPs of the network and the rate they are stated against.

Source: PERFORMANCE A1 (multiply-add = 2, causal attention counted exactly, backward of attention 2.5 times its forward
because the scores are recomputed, of everything else 2 times).
"""

from __future__ import annotations

import time

import torch

from recur.config import ModelConfig
from recur.model.depth import virtual_layers

MEASURE_SIDE = 1024
MEASURE_REPEATS = 8


def training_flops_per_token(cfg: ModelConfig, *, recurrence: bool) -> float:
    """Forward + backward FLOPs for one token at the training length."""
    kv_width = cfg.kv_heads * (cfg.width // cfg.heads)
    hidden = int(cfg.mlp_mult * cfg.width)
    weights = 2 * cfg.width * cfg.width + 2 * cfg.width * kv_width + 2 * cfg.width * hidden
    depth = len(virtual_layers(cfg, recurrence=recurrence))
    attention = 2 * 2 * cfg.width * (cfg.train_seq_len + 1) / 2
    head = 2 * cfg.embedding_width * cfg.vocab_size
    has_projection = cfg.value_embedding_width not in (0, kv_width) and cfg.value_embedding_layers
    values = 2 * cfg.value_embedding_width * kv_width if has_projection else 0
    return depth * (3 * 2 * weights + 3.5 * attention) + 3 * (head + values)


def measured_peak_tflops(device: torch.device, dtype: torch.dtype) -> float:
    """Rate of a square matmul on this device, the yardstick where no data sheet applies (CPU)."""
    a = torch.randn(MEASURE_SIDE, MEASURE_SIDE, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    best_s = float("inf")
    for _ in range(MEASURE_REPEATS):
        started = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best_s = min(best_s, time.perf_counter() - started)
    return 2 * MEASURE_SIDE**3 / best_s / 1e12
