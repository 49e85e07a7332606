"""Causal self-attention of the reference run: GQA, QK norm and gain, partial rotary with NTK scaling, self-value exclusion.

Source: REFERENCE 4.3 and 5. Deviations: angles are computed in float32 from the (possibly bf16-rounded) frequencies, the
precision that the compiled reference keeps by default; attention itself goes to the best backend present (`backend`).

Legend: B batch, T positions, D width, H query heads, K key/value heads, d head width, R rotary channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recur.config import ModelConfig
from recur.model.backend import attend

NORM_EPS = 2.0**-23


def norm(x: Tensor) -> Tensor:
    """RMS normalisation over the last axis without weight, eps 2^-23, in the dtype of ``x``.

    torch >= 2.12 autocasts `rms_norm` to float32; the residual stream of the reference is bf16, so the dtype is put back.
    """
    return F.rms_norm(x, (x.size(-1),), eps=NORM_EPS).to(x.dtype)


class CastedLinear(nn.Linear):
    """Linear layer without bias whose weight is rounded to the input's dtype at each use; the gradient stays float32."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of one sequence length, each [T, R/2]; None where nothing rotates."""

    cos: Tensor
    sin: Tensor

    def since(self, first: int) -> Rotation:
        """The tables of positions ``first`` and later."""
        return Rotation(self.cos[first:], self.sin[first:])


class Rotary(nn.Module):
    """Partial rotary table (REFERENCE 4.3); the base grows by NTK scaling beyond the training length."""

    inv_freq: Tensor

    def __init__(self, cfg: ModelConfig) -> None:
        super().__init__()
        self.base = cfg.rope_base
        self.train_seq_len = cfg.train_seq_len
        self.dims = cfg.rope_dims or cfg.width // cfg.heads
        self.register_buffer("inv_freq", self._frequencies(self.base), persistent=False)

    def _frequencies(self, base: float, device: torch.device | None = None) -> Tensor:
        exponents = torch.arange(0, self.dims, 2, dtype=torch.float32, device=device) / self.dims
        return 1.0 / (base**exponents)

    def forward(self, length: int) -> Rotation:
        """Tables for positions ``0..length-1``, float32."""
        device = self.inv_freq.device
        if length > self.train_seq_len:
            scaled = self.base * (length / self.train_seq_len) ** (self.dims / (self.dims - 2))
            inv_freq = self._frequencies(scaled, device)
        else:
            inv_freq = self.inv_freq.float()
        angles = torch.outer(torch.arange(length, device=device, dtype=torch.float32), inv_freq)
        return Rotation(angles.cos(), angles.sin())


def rotate(x_BTHd: Tensor, rotation: Rotation) -> Tensor:
    """Rotate the first R channels of every head as two halves; the rest passes through."""
    half = rotation.cos.size(-1)
    cos = rotation.cos.to(x_BTHd.dtype)[None, :, None, :]
    sin = rotation.sin.to(x_BTHd.dtype)[None, :, None, :]
    a, b, rest = torch.split(x_BTHd, [half, half, x_BTHd.size(-1) - 2 * half], dim=-1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin, rest), dim=-1)


def tail(x_BTD: Tensor, first: int) -> Tensor:
    """Positions ``first`` and later of [B, T, ...]; itself for 0."""
    return x_BTD[:, first:] if first else x_BTD


def exclude_self_value(y_BTHd: Tensor, v_BTKd: Tensor) -> Tensor:
    """Make each head's output orthogonal to its own position's value vector (XSA, REFERENCE 4.3 step 5), in float32."""
    batch, length, heads, width = y_BTHd.shape
    kv_heads = v_BTKd.size(2)
    direction = F.normalize(v_BTKd.float(), dim=-1, eps=1e-12).unsqueeze(3)
    grouped = y_BTHd.float().reshape(batch, length, kv_heads, heads // kv_heads, width)
    along = (grouped * direction).sum(dim=-1, keepdim=True)
    return (grouped - along * direction).reshape(batch, length, heads, width).to(y_BTHd.dtype)


class Attention(nn.Module):
    """Causal self-attention; see the module docstring.

    Args:
        cfg: shapes; ``layer`` decides whether XSA applies (the last ``xsa_last_layers`` layers).
    """

    def __init__(self, cfg: ModelConfig, layer: int) -> None:
        super().__init__()
        self.cfg = cfg
        self.heads, self.kv_heads, self.head_width = cfg.heads, cfg.kv_heads, cfg.width // cfg.heads
        self.exclude = layer >= cfg.layers - cfg.xsa_last_layers
        kv_width = self.kv_heads * self.head_width
        self.q_gain = nn.Parameter(torch.full((cfg.heads,), cfg.qk_gain_init))
        self.c_q = CastedLinear(cfg.width, cfg.width)
        self.c_k = CastedLinear(cfg.width, kv_width)
        self.c_v = CastedLinear(cfg.width, kv_width)
        self.proj = CastedLinear(cfg.width, cfg.width)

    def _qkv(self, u_BTD: Tensor, first: int) -> Sequence[Tensor]:
        """Queries from position ``first`` on, keys and values, each [B, T, heads * d].

        Fused: one product reads the input once, and its gradient is one product too. Only in training: calibration hooks the
        three layers.
        """
        layers = (self.c_q, self.c_k, self.c_v)
        if self.cfg.fused_qkv and self.training:
            weights = [layer.weight.to(u_BTD.dtype) for layer in layers]
            return torch.split(F.linear(u_BTD, torch.cat(weights)), [len(w) for w in weights], dim=-1)
        return self.c_q(tail(u_BTD, first)), self.c_k(u_BTD), self.c_v(u_BTD)

    def forward(self, u_BTD: Tensor, value_BTe: Tensor | None, rotation: Rotation, first: int = 0) -> Tensor:
        """Attend over normalised inputs.

        Args:
            u_BTD: normalised, depth-scaled input.
            value_BTe: value embedding [B, T, K*d] added to the values, or None.
            rotation: rotary tables of length T.
            first: only positions from here on are wanted; keys and values are those of all positions.

        Returns:
            [B, T - first, D].
        """
        batch, length, width = u_BTD.shape
        q, k, v = self._qkv(u_BTD, first)
        q = q.view(batch, length - first, self.heads, self.head_width)
        k = k.view(batch, length, self.kv_heads, self.head_width)
        v = (v if value_BTe is None else v + value_BTe).view(batch, length, self.kv_heads, self.head_width)
        q, k = rotate(norm(q), rotation.since(first)), rotate(norm(k), rotation)
        q = q * self.q_gain.to(q.dtype)[None, None, :, None]
        y = attend(q, k, v)
        if self.exclude:
            y = exclude_self_value(y, tail(v, first))
        out: Tensor = self.proj(y.reshape(batch, length - first, width))
        return out
