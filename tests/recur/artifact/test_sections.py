"""What goes into which section, what its decoder knows, and the models that cannot be stored."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recur.artifact.container import write_container
from recur.artifact.layout import Parameter, Role, all_entries, code_role, entries_of, plan_sections
from recur.artifact.planes import items, pack, planes, unpack
from recur.artifact.sections import encode_section, split
from recur.components import available
from recur.errors import ArtifactError, RecipeError
from recur.quantize.tensors import Meta, QuantizedModel
from tests.recur.artifact.kit import every_role

GRID: Meta = {"type": "grid", "method": "gptq"}


def changed(
    meta: dict[str, Meta] | None = None, entries: dict[str, Tensor] | None = None, *, without: str | None = None
) -> QuantizedModel:
    model = every_role()
    kept = {name: value for name, value in (model.entries | (entries or {})).items() if name != without}
    return QuantizedModel(entries=kept, meta=model.meta | (meta or {}))


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("blocks.10.attn.c_q.weight", Role.Q),
        ("blocks.0.attn.c_k.weight", Role.K),
        ("blocks.0.attn.c_v.weight", Role.V),
        ("blocks.0.attn.proj.weight", Role.OUT),
        ("blocks.0.mlp.fc.weight", Role.FC),
        ("blocks.0.mlp.proj.weight", Role.PROJ),
        ("tok_emb.weight", Role.TABLES),
        ("ve_shared.proj.weight", Role.TABLES),
        ("blocks.0.mlp.c_q.weight", Role.TABLES),
        ("blocks.0.attn.fc.weight", Role.TABLES),
    ],
)
def test_codes_go_by_the_name_of_their_layer(name: str, role: Role) -> None:
    assert code_role(name) is role


def test_entries_and_sections_of_two_parameters_by_hand() -> None:
    parameters = [
        Parameter(name="blocks.0.mlp.fc.weight", meta=GRID, shape=(2, 3)),
        Parameter(name="gain", meta="passthrough", shape=(4,)),
    ]
    assert [entry.name for entry in entries_of(parameters[0])] == [
        f"blocks.0.mlp.fc.weight.{p}" for p in ("q", "step", "rows", "cols")
    ]
    plans = plan_sections(all_entries(parameters))
    assert [(plan.role, plan.raw_bytes) for plan in plans] == [("float", 4), ("half", 8), ("steps", 5), ("fc", 6)]


def test_sections_hold_the_tensors_one_after_the_other_little_endian() -> None:
    model = every_role()
    raw = {section.shape.role: section for section in split(model)}
    grids = [name for name, meta in model.meta.items() if isinstance(meta, dict) and meta["type"] == "grid"]
    steps = np.concatenate([model.entries[name + part].numpy() for name in grids for part in (".rows", ".cols")])
    assert raw[Role.STEPS].data == steps.tobytes()
    halves = [v for v in model.entries.values() if v.dtype is torch.float16]
    assert raw[Role.HALF].data == b"".join(v.numpy().astype("<f2").tobytes() for v in halves)
    tables = [model.entries[f"{name}.q"] for name in ("tok_emb.weight", "ve.embed.weight", "blocks.0.mlp.bias", "gain")]
    assert raw[Role.TABLES].data == b"".join(v.numpy().tobytes() for v in tables)


def test_the_decoder_knows_minus_the_exponents_of_a_grid_and_nothing_of_other_codes() -> None:
    model = every_role()
    raw = {section.shape.role: section.shape for section in split(model)}
    (block,) = raw[Role.Q].blocks
    assert block.shape == (6, 10)
    assert block.row_hints.tolist() == [[-int(e) for e in model.entries["blocks.0.attn.c_q.weight.rows"]], [0] * 6]
    assert block.col_hints.tolist() == [[-int(e) for e in model.entries["blocks.0.attn.c_q.weight.cols"]], [0] * 10]
    assert [b.shape for b in raw[Role.TABLES].blocks] == [(6, 10), (4, 3), (2, 12), (1, 9)]
    assert not any(b.row_hints.any() or b.col_hints.any() for b in raw[Role.TABLES].blocks[1:])
    assert [b.shape for b in raw[Role.STEPS].blocks] == [(1, n) for _ in range(7) for n in (6, 10)]
    assert raw[Role.HALF].blocks == raw[Role.FLOAT].blocks == ()


def test_the_matrices_of_an_mlp_hint_at_each_others_hidden_units() -> None:
    """A hidden unit is a row of one and a column of the other; so is a channel of the residual stream."""
    fc, proj = "blocks.3.mlp.fc.weight", "blocks.3.mlp.proj.weight"
    entries = {f"{fc}.step": torch.tensor(1.0), f"{proj}.step": torch.tensor(1.0)}
    exponents = {".rows": [3, -2, 5], ".cols": [1, -1]}, {".rows": [7, 9], ".cols": [-4, 0, 2]}
    for name, parts in zip((fc, proj), exponents, strict=True):
        entries |= {name + part: torch.tensor(e, dtype=torch.int8) for part, e in parts.items()}
    entries |= {f"{fc}.q": torch.zeros(3, 2, dtype=torch.int8), f"{proj}.q": torch.zeros(2, 3, dtype=torch.int8)}
    model = QuantizedModel(entries=entries, meta={fc: GRID, proj: GRID})
    raw = {section.shape.role: section.shape for section in split(model)}
    (up,), (down,) = raw[Role.FC].blocks, raw[Role.PROJ].blocks
    assert up.row_hints.tolist() == [[-3, 2, -5], [4, 0, -2]] and up.col_hints.tolist() == [[-1, 1], [-7, -9]]
    assert down.row_hints.tolist() == [[-7, -9], [-1, 1]] and down.col_hints.tolist() == [[4, 0, -2], [-3, 2, -5]]


def test_an_mlp_whose_matrices_do_not_fit_has_no_hints_of_the_other() -> None:
    raw = {section.shape.role: section.shape for section in split(every_role())}
    assert not any(b.row_hints[1].any() or b.col_hints[1].any() for role in (Role.FC, Role.PROJ) for b in raw[role].blocks)


def test_the_lowest_exponent_does_not_overflow_its_hint() -> None:
    entries = {"a.q": torch.zeros(1, 1), "a.rows": torch.full((1,), -128), "a.cols": torch.full((1,), -128)}
    model = QuantizedModel(
        entries={k: v.to(torch.int8) for k, v in entries.items()} | {"a.step": torch.tensor(1.0)}, meta={"a": GRID}
    )
    assert split(model)[-1].shape.blocks[0].row_hints.tolist() == [[128], [0]]


def test_sections_survive_the_way_to_another_process() -> None:
    raw = split(every_role())[3]
    there = pickle.loads(pickle.dumps(encode_section))(pickle.loads(pickle.dumps(raw)))
    assert there == pickle.loads(pickle.dumps(there)) == encode_section(raw)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (changed({"gain": {"type": "int4"}}), "must be of a known kind"),
        (changed({"gain": "raw"}), "must be of a known kind"),
        (changed({"gain": {"type": "int8", "other": "x"}}), "must be of a known kind"),
        (changed({"gain": {"method": "gptq"}}), "must be of a known kind"),
        (changed({"gain": {"type": "int8", "method": "GPTQ!"}}), "letters, digits and underscores"),
        (changed({"gain": GRID}), r"lacks gain\.step, gain\.rows, gain\.cols"),
        (changed({"new": "passthrough"}), "lacks new"),
        (changed(without="tok_emb.weight.step"), r"lacks tok_emb\.weight\.step"),
        (changed(entries={"left over": torch.ones(1)}), "holds left over that no metadata names"),
        (changed({"a b": "passthrough"}, {"a b": torch.ones(1).half()}), "printable ASCII"),
        (changed({"ü": "passthrough"}, {"ü": torch.ones(1).half()}), "printable ASCII"),
        (changed({"": "passthrough"}, {"": torch.ones(1).half()}), "printable ASCII"),
        (changed({"gain.q": "passthrough"}), r"gain\.q is there twice"),
        (changed(entries={"none": torch.ones(2)}), r"none: torch.float32 \(2,\) must be torch.float16"),
        (changed(entries={"none": torch.ones(2, dtype=torch.int64)}), "must be torch.float16"),
        (changed(entries={"resid_mix": torch.ones(2).half()}), "must be torch.float32"),
        (changed(entries={"resid_mix": torch.tensor([1.0, math.nan])}), "resid_mix holds NaN"),
        (changed(entries={"none": torch.tensor([math.inf]).half()}), "none holds NaN or infinity"),
        (changed(entries={"gain.q": torch.ones(9)}), "must be torch.int8"),
        (changed(entries={"ve.embed.weight.scale": torch.ones(3).half()}), r"must be torch.float16 \(4,\)"),
        (changed(entries={"tok_emb.weight.rows": torch.zeros(5, dtype=torch.int8)}), r"must be torch.int8 \(6,\)"),
        (changed(entries={"tok_emb.weight.q": torch.zeros(6, dtype=torch.int8)}), r"must be \[rows, columns\] for a grid"),
        (changed(entries={"tok_emb.weight.step": torch.tensor(0.0)}), "must be a positive step"),
        (changed(entries={"tok_emb.weight.step": torch.tensor(-1.0)}), "must be a positive step"),
        (changed(entries={"tok_emb.weight.step": torch.tensor(math.inf)}), "holds NaN or infinity"),
    ],
)
def test_a_model_that_the_container_cannot_hold_is_refused(model: QuantizedModel, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        write_container(model)


def test_sections_of_another_model_or_in_another_order_are_refused() -> None:
    sections, others = ([encode_section(raw) for raw in split(every_role(seed=seed))] for seed in (0, 1))
    for wrong in (others, sections[::-1], sections[:-1], [*sections, sections[-1]], []):
        with pytest.raises(ArtifactError, match="are not this model's"):
            write_container(every_role(), wrong)


def test_coders_that_do_not_exist_or_do_not_apply_are_named() -> None:
    floats = split(every_role())[0]
    with pytest.raises(RecipeError, match="choose one of brotli11, lzma9, range, raw"):
        encode_section(floats, ("zip",))
    for coders in (("range",), ()):
        with pytest.raises(RecipeError, match="has none for the section float; add raw"):
            encode_section(floats, coders)
    assert available("recur.artifact.coders") == ["brotli11", "lzma9", "range", "raw"]


def test_byte_planes_by_hand() -> None:
    assert planes(b"aAbBcC", 2) == b"abcABC"
    assert items(b"abcABC", 2) == b"aAbBcC"
    assert planes(b"", 4) == items(b"", 4) == b""


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=400), width=st.sampled_from([1, 2, 4]))
def test_byte_planes_come_back_packed_or_not(data: bytes, width: int) -> None:
    data = data[: len(data) // width * width]
    assert planes(data, width) == b"".join(data[k::width] for k in range(width))
    assert items(planes(data, width), width) == data
    assert unpack(pack(data, width, bytes), width, bytes) == data


def test_the_smaller_of_both_widths_is_packed() -> None:
    assert pack(b"xyxyxyxy", 2, lambda data: data.replace(b"xxxx", b""))[:1] == b"\x02"
    assert pack(b"xyxyxyxy", 2, bytes)[:1] == b"\x01"


@pytest.mark.parametrize("packed", [b"", b"\x00ab", b"\x03abc", b"\x02abc"])
def test_byte_planes_of_another_width_or_size_are_refused(packed: bytes) -> None:
    with pytest.raises(ArtifactError):
        unpack(packed, 2, bytes)
