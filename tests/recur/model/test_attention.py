"""Norm, rotary, XSA and attention against hand cases, float64 loops and invariants."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from recur.config import ModelConfig
from recur.errors import RecipeError
from recur.model.attention import Attention, Rotary, exclude_self_value, norm, rotate
from recur.model.backend import attend, choose_backend, use_backend

CFG = ModelConfig(vocab_size=16, layers=2, width=24, heads=4, kv_heads=2, rope_dims=4, train_seq_len=8, xsa_last_layers=1)


def test_norm_by_hand() -> None:
    assert torch.allclose(norm(torch.tensor([3.0, 4.0])), torch.tensor([3.0, 4.0]) / math.sqrt(12.5))


def test_norm_of_zeros_is_zero_and_keeps_its_dtype_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = norm(torch.zeros(2, 4, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16 and not out.any()


def test_rotation_keeps_lengths_and_position_zero() -> None:
    x = torch.randn(1, 8, 2, 6)
    turned = rotate(x, Rotary(CFG)(8))
    assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1), atol=1e-6)  # float32 rounding
    assert torch.equal(turned[:, 0], x[:, 0]) and torch.equal(turned[..., 4:], x[..., 4:])


def test_scores_depend_on_relative_position_only() -> None:
    q, k = torch.randn(6).double(), torch.randn(6).double()
    rotation = Rotary(CFG)(8)
    at = rotate(torch.stack((q, k)).expand(8, 2, 6)[None].clone(), rotation)[0]
    scores = [float(at[t, 0] @ at[t - 2, 1]) for t in range(2, 8)]
    assert max(scores) - min(scores) < 1e-6  # float32 tables


def test_longer_sequences_slow_the_rotation_down() -> None:
    rotary = Rotary(CFG)
    assert rotary(16).cos[8, -1] > rotary._frequencies(CFG.rope_base)[-1].mul(8).cos()


def test_xsa_removes_the_own_value_direction_and_survives_zero_values() -> None:
    y, v = torch.randn(2, 5, 4, 6), torch.randn(2, 5, 2, 6)
    out = exclude_self_value(y, v)
    along = (out * v.repeat_interleave(2, dim=2)).sum(-1)
    assert along.abs().max() < 1e-5
    assert torch.equal(exclude_self_value(y, torch.zeros_like(v)), y)


def slow_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Float64 loops over positions and heads."""
    q, k, v = q.double(), k.double(), v.double()
    out = torch.zeros_like(q)
    group = q.size(2) // k.size(2)
    for b in range(q.size(0)):
        for t in range(q.size(1)):
            for h in range(q.size(2)):
                scores = k[b, : t + 1, h // group] @ q[b, t, h] / math.sqrt(q.size(-1))
                out[b, t, h] = scores.softmax(0) @ v[b, : t + 1, h // group]
    return out


def test_attend_agrees_with_float64_loops() -> None:
    q, k, v = torch.randn(2, 5, 4, 6), torch.randn(2, 5, 2, 6), torch.randn(2, 5, 2, 6)
    assert torch.allclose(attend(q, k, v).double(), slow_attention(q, k, v), atol=1e-5)  # float32 softmax


@pytest.mark.parametrize("queries", [1, 2, 4])
def test_fewer_queries_than_keys_are_those_of_the_last_positions(queries: int) -> None:
    q, k, v = torch.randn(2, 5, 4, 6), torch.randn(2, 5, 2, 6), torch.randn(2, 5, 2, 6)
    assert torch.allclose(attend(q[:, -queries:], k, v), attend(q, k, v)[:, -queries:], atol=1e-6)


def test_attention_is_causal() -> None:
    torch.manual_seed(0)
    layer, rotary = Attention(CFG, 1), Rotary(CFG)
    torch.nn.init.normal_(layer.proj.weight)
    x = torch.randn(1, 8, 24)
    changed = x.clone()
    changed[:, 5:] += 1.0
    a, b = layer(x, None, rotary(8)), layer(changed, None, rotary(8))
    assert torch.allclose(a[:, :5], b[:, :5], atol=1e-6) and not torch.allclose(a[:, 5:], b[:, 5:])


def test_a_kernel_is_refused_where_device_package_or_precision_lack() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_backend("auto", cpu, "bf16") == "math"
    assert choose_backend("auto", cuda, "fp32") == "math"
    assert choose_backend("auto", cuda, "bf16") == "cudnn"
    with pytest.raises(RecipeError, match="needs a CUDA device"):
        choose_backend("flash3", cpu, "bf16")
    with pytest.raises(RecipeError, match="flash_attn_interface"):
        choose_backend("flash3", cuda, "bf16")
    with pytest.raises(RecipeError, match="precision=bf16"):
        choose_backend("cudnn", cuda, "fp32")


def test_exactly_one_kernel_is_enabled() -> None:
    try:
        for name in ("cudnn", "flash", "math"):
            use_backend(name)
            on = [
                torch.backends.cuda.cudnn_sdp_enabled(),  # type: ignore[no-untyped-call]
                torch.backends.cuda.flash_sdp_enabled(),  # type: ignore[no-untyped-call]
                torch.backends.cuda.math_sdp_enabled(),  # type: ignore[no-untyped-call]
            ]
            assert on == [name == "cudnn", name == "flash", name == "math"]
    finally:
        use_backend("math")
