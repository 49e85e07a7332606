"""Seeded construction of the model and its precision policy.

Source: REFERENCE 4.2 (draw order, orthogonal initialisation) and 5 (which tensors are bfloat16). With precision "fp32"
nothing is rounded.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from recur.config import ModelConfig
from recur.model.attention import CastedLinear
from recur.model.gpt import GPT

CONTROL_TENSOR_PARTS = (
    "attn_scale",
    "attn_scales",
    "mlp_scale",
    "mlp_scales",
    "resid_mix",
    "resid_mixes",
    "q_gain",
    "skip_weight",
    "skip_weights",
    "skip_gates",
    "ve_layer_scales",
    "ve_shared.scale",
    "lane_merge",
)
ORTHOGONAL_MIN_SIDE = 64
ZERO_INITIALISED = (".attn.proj", ".mlp.proj", "lm_head")


def is_control(name: str) -> bool:
    """Whether a state-dict name belongs to the small tensors that always stay float32."""
    return any(part in name for part in CONTROL_TENSOR_PARTS)


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _linears(model: nn.Module) -> Iterator[tuple[str, CastedLinear]]:
    return ((name, module) for name, module in model.named_modules() if isinstance(module, CastedLinear))


@torch.no_grad()
def initialise(model: GPT) -> None:
    """Token table N(0, std), output projections zero, every other linear with both sides >= 64 orthogonal."""
    nn.init.normal_(model.tok_emb.weight, std=model.cfg.embedding_init_std)
    for name, linear in _linears(model):
        if name.endswith(ZERO_INITIALISED):
            linear.weight.zero_()
        elif min(linear.weight.shape) >= ORTHOGONAL_MIN_SIDE:
            nn.init.orthogonal_(linear.weight)


def _stays_float32(name: str, tensor: Tensor, linear_weights: set[str]) -> bool:
    return name in linear_weights or tensor.ndim < 2 or is_control(name)


@torch.no_grad()
def apply_precision(model: GPT, precision: str) -> None:
    """Apply REFERENCE 5 (1-2): round everything to bfloat16 once, keep only the embedding tables in it."""
    if precision == "fp32":
        return
    weights = {f"{name}.weight" for name, _ in _linears(model)}
    for name, parameter in model.named_parameters():
        rounded = parameter.data.bfloat16()
        parameter.data = rounded.float() if _stays_float32(name, parameter, weights) else rounded
    model.rotary.inv_freq = model.rotary.inv_freq.bfloat16().float()


def build_model(cfg: ModelConfig, *, seed: int, precision: str, device: torch.device | str = "cpu") -> GPT:
    """A freshly initialised model; the seed affects nothing else of a run (the data order does not depend on it)."""
    seed_everything(seed)
    model = GPT(cfg)
    initialise(model)
    apply_precision(model, precision)
    return model.to(device)


def template_dtypes(cfg: ModelConfig, precision: str) -> dict[str, torch.dtype]:
    """Type of each state-dict entry of a model under ``precision``, in state-dict order (nothing is allocated)."""
    with torch.device("meta"):
        model = GPT(cfg)
    weights = {f"{name}.weight" for name, _ in _linears(model)}
    wide = precision == "fp32"
    return {
        name: torch.float32 if wide or _stays_float32(name, tensor, weights) else torch.bfloat16
        for name, tensor in model.state_dict().items()
    }


def template_shapes(cfg: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of each state-dict entry, in state-dict order."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in GPT(cfg).state_dict().items()}
