"""Which kernel computes attention: FlashAttention-3 where installed, cuDNN SDPA, Flash SDPA, or torch's own.

Source: PERFORMANCE B3 (torch's default order may pick FlashAttention-2, 1.7-2.3 times slower than cuDNN at head width 64
on Hopper). The choice is made once per process and reported in the result, never taken silently.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from recur.errors import RecipeError

_flash3: Callable[..., Any] | None = None


def choose_backend(requested: str, device: torch.device) -> str:
    """The backend to use on ``device``: one of flash3, cudnn, flash, math.

    Raises:
        RecipeError: the recipe asks for a kernel that this machine lacks.
    """
    if device.type != "cuda":
        if requested not in ("auto", "math"):
            raise RecipeError(f"train.attention={requested!r}", "needs a CUDA device", "use auto")
        return "math"
    present = importlib.util.find_spec("flash_attn_interface") is not None
    if requested == "flash3" and not present:
        raise RecipeError("train.attention='flash3'", "needs the package flash_attn_interface", "install it or use auto")
    if requested != "auto":
        return requested
    return "flash3" if present else "cudnn"


def use_backend(name: str) -> None:
    """Make `attend` use ``name`` in this process (all threads)."""
    global _flash3
    _flash3 = None
    if name == "flash3":
        from flash_attn_interface import flash_attn_func

        _flash3 = flash_attn_func
        return
    torch.backends.cuda.enable_cudnn_sdp(name == "cudnn")
    torch.backends.cuda.enable_flash_sdp(name in ("flash", "cudnn"))
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_math_sdp(True)


def attend(q_BTHd: Tensor, k_BTKd: Tensor, v_BTKd: Tensor) -> Tensor:
    """Causal softmax attention with score scale 1/sqrt(d); query head h reads kv head h // (H/K). Returns [B, T, H, d]."""
    if _flash3 is not None:
        out = _flash3(q_BTHd, k_BTKd, v_BTKd, causal=True)
        y: Tensor = out[0] if isinstance(out, tuple) else out  # versions differ in whether the log-sum-exp comes along
        return y
    q, k, v = (t.transpose(1, 2) for t in (q_BTHd, k_BTKd, v_BTKd))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.size(1) != k.size(1))
    return y.transpose(1, 2)
