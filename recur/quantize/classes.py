"""Which tensor is stored how, decided by name, shape and type.

Source: REFERENCE 8.1 (first match wins) and 8.4 (which layers get a Hessian; ours give the tables one too). The size threshold is
`QuantizeConfig.passthrough_numel` (65 536 in the reference).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

import torch

from recur.config import QuantizeConfig
from recur.model.build import is_control

TOKEN_TABLE, VALUE_TABLE, HEAD = "tok_emb.weight", "ve_shared.embed.weight", "lm_head.weight"
"""The embedding tables, and the head where it is a layer of its own; else the token table is the head."""


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
    """Parameters whose layer inputs are summed in calibration, in the order given.

    Those of class MATRIX; with ``fisher_batches > 0`` (not in the reference) those of class TABLE that multiply too: extra
    linear layers, and the token table where it is tied, whose input is the head's.
    """
    kinds = {TensorClass.MATRIX, TensorClass.TABLE} if cfg.fisher_batches > 0 else {TensorClass.MATRIX}
    skipped = {VALUE_TABLE} if HEAD not in shapes else {VALUE_TABLE, TOKEN_TABLE}
    return [name for name in _of_class(shapes, cfg, kinds) if name not in skipped]


def lookup_names(shapes: Mapping[str, Sequence[int]], cfg: QuantizeConfig) -> list[str]:
    """Embedding tables of class TABLE, in the order given: each row is looked up by its token."""
    return [name for name in _of_class(shapes, cfg, {TensorClass.TABLE}) if name in (TOKEN_TABLE, VALUE_TABLE)]


def _of_class(shapes: Mapping[str, Sequence[int]], cfg: QuantizeConfig, kinds: set[TensorClass]) -> list[str]:
    return [name for name, shape in shapes.items() if tensor_class(name, shape, torch.float32, cfg) in kinds]
