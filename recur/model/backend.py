"""Which kernel computes attention: FlashAttention-3 where installed, cuDNN SDPA, Flash SDPA, or torch's own.

Source: PERFORMANCE B3 (torch's default order may pick FlashAttention-2, 1.7-2.3 times slower than cuDNN at head width 64
on Hopper). The choice is made once per process and reported in the result, never taken silently.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from recur.errors import RecipeError

_log = logging.getLogger(__name__)
_flash3: Callable[..., Any] | None = None


def choose_backend(requested: str, device: torch.device, precision: str) -> str:
    """The backend to use: one of flash3, cudnn, flash, math.

    Args:
        requested: the recipe's train.attention; auto takes the best that is present.
        device: where attention runs; only CUDA has a choice.
        precision: the kernels take bf16 only, so float32 runs on math.

    Raises:
        RecipeError: the recipe asks for a kernel that this machine or precision lacks.
    """
    if requested == "auto":
        if device.type != "cuda" or precision == "fp32":
            return "math"
        return "flash3" if _flash3_function() is not None else "cudnn"
    if requested == "math":
        return requested
    if device.type != "cuda":
        raise RecipeError(f"train.attention={requested!r}", "needs a CUDA device", "use auto")
    if precision == "fp32":
        raise RecipeError(f"train.attention={requested!r}", "needs train.precision=bf16", "use auto")
    if requested == "flash3" and _flash3_function() is None:
        raise RecipeError("train.attention='flash3'", "needs the package flash_attn_interface", "install it or use auto")
    return requested


def _flash3_function() -> Callable[..., Any] | None:
    """FlashAttention-3's entry point; None where it is absent or does not load (which is logged)."""
    if importlib.util.find_spec("flash_attn_interface") is None:
        return None
    try:
        function: Callable[..., Any] = importlib.import_module("flash_attn_interface").flash_attn_func
    except (ImportError, AttributeError) as error:
        _log.warning("event=flash3_unusable error=%s", error)
        return None
    return function


def use_backend(name: str) -> None:
    """Make `attend` use ``name``, and nothing else, in this process (all threads).

    torch's own order puts flash and math before cuDNN unless cuDNN is newer than 9.15; with one kernel enabled a shape
    that it cannot take raises instead of falling back without a word.
    """
    global _flash3
    _flash3 = _flash3_function() if name == "flash3" else None
    torch.backends.cuda.enable_cudnn_sdp(name == "cudnn")
    torch.backends.cuda.enable_flash_sdp(name == "flash")
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_math_sdp(name == "math")


def attend(q_BTHd: Tensor, k_BTKd: Tensor, v_BTKd: Tensor) -> Tensor:
    """Causal softmax attention with score scale 1/sqrt(d); query head h reads kv head h // (H/K).

    Fewer queries than keys are those of the last positions. FlashAttention-3 aligns them so, and the CPU's kernel by a mask;
    torch's causal kernels on a GPU take as many queries as keys, so there the others are made up and dropped.

    Returns:
        [B, queries, H, d].
    """
    if _flash3 is not None:
        out = _flash3(q_BTHd, k_BTKd, v_BTKd, causal=True)
        y: Tensor = out[0] if isinstance(out, tuple) else out  # versions differ in whether the log-sum-exp comes along
        return y
    missing = k_BTKd.size(1) - q_BTHd.size(1)
    mask = None
    if missing and q_BTHd.is_cuda:
        q_BTHd = F.pad(q_BTHd, (0, 0, 0, 0, missing, 0))
    elif missing:
        mask = torch.ones(q_BTHd.size(1), k_BTKd.size(1), dtype=torch.bool).tril(missing)
    q, k, v = (t.transpose(1, 2) for t in (q_BTHd, k_BTKd, v_BTKd))
    y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None, enable_gqa=q.size(1) != k.size(1))
    return y.transpose(1, 2)[:, missing if mask is None else 0 :]
