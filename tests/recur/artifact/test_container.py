"""Our container: what is written comes back to the bit; damage anywhere is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recur.artifact.container import MAGIC, describe, read_container, write_container
from recur.artifact.decode import decode_state
from recur.artifact.layout import parameters_of
from recur.artifact.reading import load_artifact
from recur.artifact.reference import read_container as read_reference
from recur.artifact.reference import save_artifact
from recur.artifact.reference import write_container as write_reference
from recur.artifact.sections import CODERS, encode_section, split
from recur.config import ArtifactConfig
from recur.errors import ArtifactError
from recur.quantize.tensors import Meta, QuantizedModel
from tests.recur.artifact.kit import MAX_BYTES, body_of, every_role, index_of, same

ROLES = ["float", "half", "steps", "q", "k", "v", "o", "fc", "proj", "tables"]
NAMES = ["tok_emb.weight", "blocks.0.attn.c_q.weight", "blocks.1.mlp.fc.weight", "gain", "a.rows", "a.q", "b.step", "p{}[0]"]


def read(blob: bytes) -> QuantizedModel:
    return read_container(blob, max_bytes=MAX_BYTES)


def by_coder(model: QuantizedModel, coder: str) -> bytes:
    """The model with every section coded by ``coder``, or raw where it does not apply."""
    floats_raw = ("raw",) if coder == "range" else (coder,)
    return write_container(model, [encode_section(s, (coder,) if s.shape.blocks else floats_raw) for s in split(model)])


@st.composite
def models(draw: st.DrawFn) -> QuantizedModel:
    """Any model the container can hold: any kinds, shapes from empty to small, any values."""
    entries: dict[str, Tensor] = {}
    meta: dict[str, Meta] = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5)):
        kind = draw(st.sampled_from(["passthrough", "passthrough_ctrl", "int6", "int8", "grid"]))
        shape = tuple(draw(st.lists(st.integers(0, 5), min_size=2, max_size=2)))
        generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
        codes = torch.randint(-128, 128, shape, generator=generator, dtype=torch.int8)
        if kind.startswith("passthrough"):
            made = {"": torch.randn(shape, generator=generator).to(torch.float32 if "ctrl" in kind else torch.float16)}
        elif kind == "grid":
            exponents = torch.randint(-128, 128, (sum(shape),), generator=generator, dtype=torch.int8)
            made = {".q": codes, ".step": torch.rand(()) + 0.1, ".rows": exponents[: shape[0]], ".cols": exponents[shape[0] :]}
        else:
            made = {".q": codes, ".scale": torch.rand(shape[0], generator=generator).half()}
        if set(entries).isdisjoint(name + part for part in made):
            entries |= {name + part: value for part, value in made.items()}
            method = draw(st.sampled_from([{}, {"method": "gptq"}, {"method": "clip_search"}]))
            meta[name] = kind if kind.startswith("passthrough") else {"type": kind, **method}
    return QuantizedModel(entries=entries, meta=meta)


def test_a_model_with_every_role_comes_back() -> None:
    blob = write_container(every_role())
    assert blob.startswith(MAGIC)
    assert same(read(blob), every_role())
    assert [section.name for section in describe(blob).sections] == ROLES


@pytest.mark.parametrize("coder", CODERS)
def test_every_coder_brings_every_section_back(coder: str) -> None:
    model = every_role()
    blob = by_coder(model, coder)
    assert same(read(blob), model)
    used = {section.name: section.coder for section in describe(blob).sections}
    assert used == {role: coder if coder != "range" or role not in ("float", "half") else "raw" for role in ROLES}


@settings(max_examples=150, deadline=None)
@given(model=models())
def test_any_model_comes_back(model: QuantizedModel) -> None:
    assert same(read(write_container(model)), model)


def test_an_empty_model_and_one_of_empty_tensors_come_back() -> None:
    nothing = QuantizedModel(entries={}, meta={})
    assert same(read(write_container(nothing)), nothing)
    empty = QuantizedModel(entries={"a": torch.zeros(0).half(), "b": torch.zeros(3, 0, 2)}, meta={})
    empty.meta.update({"a": "passthrough", "b": "passthrough_ctrl"})
    assert same(read(write_container(empty)), empty)
    assert describe(write_container(empty)).sections == ()


def test_equal_models_make_equal_bytes_whoever_codes_the_sections() -> None:
    sections = [encode_section(raw) for raw in split(every_role())]
    assert write_container(every_role()) == write_container(every_role(), sections)


def test_a_model_read_back_can_be_decoded() -> None:
    model = every_role()
    names = [name for name in model.meta if name != "none"]
    types = dict.fromkeys(model.meta, torch.float32)
    shapes = {parameter.name: parameter.shape for parameter in parameters_of(model)}
    before, after = decode_state(model, types, shapes), decode_state(read(write_container(model)), types, shapes)
    assert all(torch.equal(before[name], after[name]) and bool(before[name].any()) for name in names)


def test_the_description_adds_up_to_the_file() -> None:
    model = every_role()
    blob = write_container(model)
    info = describe(blob)
    assert info.version == 1
    assert info.bytes == len(blob) == info.frame_bytes + info.index_bytes + sum(section.bytes for section in info.sections)
    assert sum(section.symbols for section in info.sections) == sum(value.numel() for value in model.entries.values())
    total = sum(value.numel() * value.element_size() for value in model.entries.values())
    assert sum(section.raw_bytes for section in info.sections) == total


def test_the_smallest_coder_is_recorded_and_the_first_of_equals_wins() -> None:
    raw = next(raw for raw in split(every_role(40, 60)) if raw.shape.role == "fc")
    sizes = {coder: len(encode_section(raw, (coder,)).data) for coder in CODERS}
    best = encode_section(raw)
    assert len(best.data) == sizes[best.coder] == min(sizes.values())
    assert encode_section(raw, ("raw", "raw")).coder == "raw"


@pytest.mark.parametrize("name", ["tests/golden/11_artifact_brotli.ptz", "tests/golden/11_artifact_brotli_pruned.ptz"])
def test_the_references_models_fit_into_our_container_and_shrink(name: str) -> None:
    blob = (Path(__file__).parents[3] / name).read_bytes()
    model = read_reference(blob, compressor="brotli", max_bytes=1 << 24)
    ours = write_container(model)
    assert same(read_container(ours, max_bytes=1 << 24), model)
    assert len(ours) < len(blob)


def test_a_flipped_bit_at_any_byte_is_refused() -> None:
    blob = write_container(every_role())
    for position in range(len(blob)):
        damaged = bytearray(blob)
        damaged[position] ^= 1 << (position * 5 % 8)
        with pytest.raises(ArtifactError):
            read(bytes(damaged))
        with pytest.raises(ArtifactError):
            describe(bytes(damaged))


def test_every_truncation_and_anything_after_the_end_is_refused() -> None:
    blob = write_container(every_role())
    for length in range(len(blob)):
        with pytest.raises(ArtifactError):
            read(blob[:length])
    for tail in (b"\x00", b"\n", blob):
        with pytest.raises(ArtifactError):
            read(blob + tail)


@pytest.mark.parametrize("damage", [(b"\r\n", b"\n"), (b"\n", b"\r\n"), (b"\x89", b"\x09"), (b"\x1a", b"")])
def test_a_transfer_as_text_is_seen_in_the_magic(damage: tuple[bytes, bytes]) -> None:
    with pytest.raises(ArtifactError, match="it is no container of ours"):
        read(write_container(every_role()).replace(*damage))


def test_a_limit_below_the_decoded_size_is_kept() -> None:
    model = every_role()
    blob = write_container(model)
    size = sum(section.raw_bytes for section in describe(blob).sections)
    assert same(read_container(blob, max_bytes=max(size, len(str(index_of(blob))))), model)
    with pytest.raises(ArtifactError, match=r"must expand to at most|more than it may"):
        read_container(blob, max_bytes=size - 1)


def test_the_code_sections_are_the_body_in_order() -> None:
    blob = by_coder(every_role(), "raw")
    raw = b"".join(section.data for section in split(every_role()))
    assert body_of(blob) == raw


def test_either_container_is_read_from_its_file(tmp_path: Path) -> None:
    reference_kinds = QuantizedModel(entries={"a": torch.ones(3).half()}, meta={"a": "passthrough"})
    for model, blob in (
        (every_role(), write_container(every_role())),
        (reference_kinds, write_reference(reference_kinds, ArtifactConfig())),
    ):
        save_artifact(tmp_path / "artifact", blob)
        assert same(load_artifact(tmp_path / "artifact", ArtifactConfig()), model)
    (tmp_path / "artifact").write_bytes(write_container(every_role())[:-1])
    with pytest.raises(ArtifactError, match=r"/artifact: .*CRC-32"):
        load_artifact(tmp_path / "artifact", ArtifactConfig())
