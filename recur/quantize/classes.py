"""Which tensor is stored how, decided by name, shape and type.

Source: REFERENCE 8.1 (first match wins) and 8.4 (which layers get a Hessian). The size threshold is
`QuantizeConfig.passthrough_numel` (65 536 in the reference).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

import torch

from recur.config import QuantizeConfig
from recur.model.build import is_control


class Category(StrEnum):
    """Role of a parameter, read off its name."""

    EMBED = "embed"
    MLP = "mlp"
    ATTN = "attn"
    OTHER = "other"


class TensorClass(StrEnum):
    """How a tensor is stored."""

    RAW = "raw"
    """Not floating point: unchanged."""
    SMALL = "small"
    """Few elements: float16."""
    CONTROL = "control"
    """Control tensor above the threshold: float32."""
    MATRIX = "matrix"
    """2-D weight of an attention or MLP layer: int6 by row, by the recipe's matrix component."""
    BLOCK = "block"
    """Attention or MLP tensor of another shape: int6 with one step."""
    TABLE = "table"
    """Everything else, above all the embedding tables: int8."""


def category(name: str) -> Category:
    """Role of the parameter ``name`` (a state-dict name)."""
    if "tok_emb" in name or "lm_head" in name:
        return Category.EMBED
    if ".mlp." in name:
        return Category.MLP
    if ".attn." in name or ".proj." in name:
        return Category.ATTN
    return Category.OTHER


def tensor_class(name: str, shape: Sequence[int], dtype: torch.dtype, cfg: QuantizeConfig) -> TensorClass:
    """How the parameter ``name`` is stored; as in the reference, size decides before the name of a control tensor."""
    if not dtype.is_floating_point:
        return TensorClass.RAW
    if math.prod(shape) <= cfg.passthrough_numel:
        return TensorClass.SMALL
    if is_control(name):
        return TensorClass.CONTROL
    if category(name) in (Category.MLP, Category.ATTN):
        return TensorClass.MATRIX if len(shape) == 2 else TensorClass.BLOCK
    return TensorClass.TABLE


def hessian_names(shapes: Mapping[str, Sequence[int]], cfg: QuantizeConfig) -> list[str]:
    """Parameters whose layer inputs are summed in calibration: those of class MATRIX, in the order given."""
    return [name for name, shape in shapes.items() if tensor_class(name, shape, torch.float32, cfg) is TensorClass.MATRIX]
