"""Tensor classes by name, shape and type (REFERENCE 8.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recur.config import ModelConfig, QuantizeConfig
from recur.model.build import template_shapes
from recur.quantize.classes import Category, TensorClass, category, hessian_names, lookup_names, tensor_class

CFG = QuantizeConfig()
BIG = (300, 300)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tok_emb.weight", Category.EMBED),
        ("lm_head.weight", Category.EMBED),
        ("blocks.0.mlp.proj.weight", Category.MLP),
        ("blocks.0.attn.proj.weight", Category.ATTN),
        ("ve_shared.proj.weight", Category.ATTN),
        ("ve_shared.embed.weight", Category.OTHER),
        ("skip_gates", Category.OTHER),
    ],
)
def test_category_is_read_off_the_name_and_the_first_match_wins(name: str, expected: Category) -> None:
    assert category(name) is expected


def test_size_decides_before_control_and_control_before_role() -> None:
    name = "blocks.2.attn.q_gain"
    assert tensor_class(name, (65536,), torch.float32, CFG) is TensorClass.SMALL
    assert tensor_class(name, (65537,), torch.float32, CFG) is TensorClass.CONTROL
    assert tensor_class(name, (65537,), torch.int64, CFG) is TensorClass.RAW


def test_attention_weights_are_matrices_or_blocks_by_their_dimensions() -> None:
    assert tensor_class("blocks.0.attn.c_q.weight", BIG, torch.float32, CFG) is TensorClass.MATRIX
    assert tensor_class("blocks.0.attn.cube", (50, 50, 50), torch.float32, CFG) is TensorClass.BLOCK
    assert tensor_class("anything.else", BIG, torch.bfloat16, CFG) is TensorClass.TABLE


def test_the_record_has_66_matrices_and_2_tables() -> None:
    shapes = template_shapes(ModelConfig())
    classes = [tensor_class(name, shape, torch.float32, CFG) for name, shape in shapes.items()]
    assert {kind: classes.count(kind) for kind in set(classes)} == {
        TensorClass.MATRIX: 66,
        TensorClass.TABLE: 2,
        TensorClass.SMALL: 51,
    }
    assert hessian_names(shapes, CFG) == [name for name, kind in zip(shapes, classes, strict=True) if kind is TensorClass.MATRIX]


def test_with_moments_the_tables_that_multiply_get_a_hessian_and_the_embeddings_a_lookup() -> None:
    ours = replace(CFG, fisher_batches=1)
    tied, untied = template_shapes(ModelConfig()), template_shapes(ModelConfig(embedding_width=256, tied_embeddings=False))
    extra = set(hessian_names(tied, ours)) - set(hessian_names(tied, CFG))
    assert extra == {"tok_emb.weight"}
    extra = set(hessian_names(untied, ours)) - set(hessian_names(untied, CFG))
    assert extra == {"embed_proj.weight", "head_proj.weight", "lm_head.weight"}
    for shapes in (tied, untied):
        assert lookup_names(shapes, ours) == ["tok_emb.weight", "ve_shared.embed.weight"]
        order = list(shapes)
        assert hessian_names(shapes, ours) == sorted(hessian_names(shapes, ours), key=order.index)
