"""The reference's container: written, read within bounds, decoded (REFERENCE 8.6, 10)."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from recur.artifact.coding import compress, decompress
from recur.artifact.decode import decode_state
from recur.artifact.payload import dump_payload, parse_payload
from recur.artifact.reading import load_artifact
from recur.artifact.reference import read_container, save_artifact, write_container
from recur.config import ArtifactConfig
from recur.errors import ArtifactError, StorageError
from recur.quantize.tensors import Meta, QuantizedModel

CFG = ArtifactConfig()
MAX_BYTES = 1 << 20
TYPES = {"a.weight": torch.float32, "emb.weight": torch.bfloat16, "gain": torch.float32}
SHAPES = {"a.weight": (3, 4), "emb.weight": (2, 5), "gain": (4,)}


def small_model(**changes: Tensor) -> QuantizedModel:
    generator = torch.Generator().manual_seed(0)
    entries = {
        "a.weight.q": torch.randint(-31, 32, (3, 4), generator=generator, dtype=torch.int8),
        "a.weight.scale": torch.tensor([0.03, 0.5, 1.0]).half(),
        "emb.weight.q": torch.randint(-127, 128, (2, 5), generator=generator, dtype=torch.int8),
        "emb.weight.scale": torch.tensor([0.01, 0.02]).half(),
        "gain": torch.tensor([5.0, 0.1, -1.0, 0.0]).half(),
    }
    meta: dict[str, Meta] = {
        "a.weight": {"type": "int6", "method": "gptq"},
        "emb.weight": {"type": "int8"},
        "gain": "passthrough",
    }
    return QuantizedModel(entries={**entries, **changes}, meta=meta)


def same(a: QuantizedModel, b: QuantizedModel) -> bool:
    tensors = all(torch.equal(a.entries[k], b.entries[k]) and a.entries[k].dtype == b.entries[k].dtype for k in a.entries)
    return list(a.entries) == list(b.entries) and list(a.meta.items()) == list(b.meta.items()) and tensors


def read(blob: bytes, compressor: str = "brotli") -> QuantizedModel:
    return read_container(blob, compressor=compressor, max_bytes=MAX_BYTES)


def packed(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return compress(buffer.getvalue(), "brotli", stride=2)


def repacked(change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A container whose zip records went through ``change(name, data)``."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(dump_payload(small_model()))) as source,
        zipfile.ZipFile(out, "w", compression=method) as target,
    ):
        for record in source.infolist():
            target.writestr(record.filename, change(record.filename, source.read(record)))
    return compress(out.getvalue(), "brotli", stride=2)


@pytest.mark.parametrize("compressor", ["brotli", "lzma"])
@pytest.mark.parametrize("stride", [0, 2, 5])
def test_a_model_comes_back_with_its_order(compressor: Any, stride: int) -> None:
    blob = write_container(small_model(), ArtifactConfig(compressor=compressor, shuffle_stride=stride))
    assert same(read(blob, compressor), small_model())


def test_equal_models_make_equal_bytes() -> None:
    assert write_container(small_model(), CFG) == write_container(small_model(), CFG)


def test_decoding_by_hand_and_in_the_templates_order() -> None:
    codes = torch.tensor([[1, -2, 3, 0], [0, 0, 0, 31], [-31, 5, 0, 1]], dtype=torch.int8)
    model = small_model(**{"a.weight.q": codes})
    reordered = {name: TYPES[name] for name in reversed(TYPES)}
    state = decode_state(model, reordered, SHAPES)
    assert list(state) == ["gain", "emb.weight", "a.weight"]
    third = float(torch.tensor(0.03).half())
    assert state["a.weight"].tolist()[0] == pytest.approx([third, -2 * third, 3 * third, 0.0], rel=1e-7)
    assert state["a.weight"].tolist()[1:] == [[0.0, 0.0, 0.0, 15.5], [-31.0, 5.0, 0.0, 1.0]]
    assert {name: value.dtype for name, value in state.items()} == TYPES


def test_decoding_equals_a_float64_product_rounded_once() -> None:
    model = small_model()
    state = decode_state(model, TYPES, SHAPES)
    for name in ("a.weight", "emb.weight"):
        exact = model.entries[f"{name}.q"].double() * model.entries[f"{name}.scale"].double()[:, None]
        # An int8 code times a float16 step has at most 19 significant bits: exact in float32.
        assert torch.equal(state[name], exact.float().to(TYPES[name]))


def test_entries_without_metadata_are_ignored() -> None:
    assert set(decode_state(small_model(extra=torch.ones(2)), TYPES, SHAPES)) == set(TYPES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gain": torch.ones(5).half()}, r"gain: shape \(5,\) must be \(4,\)"),
        ({"gain": torch.tensor([1.0, float("nan"), 0, 0])}, "gain holds NaN"),
        ({"gain": torch.ones(4, dtype=torch.int64)}, r"gain: torch.int64 must be torch.float32"),
        ({"a.weight.scale": torch.ones(4).half()}, "must be int8 codes with a step"),
        ({"a.weight.scale": torch.tensor([1.0, float("inf"), 1.0]).half()}, "a.weight holds NaN or infinity"),
        ({"a.weight.q": torch.ones(3, 4, dtype=torch.int16)}, "must be int8 codes with a step"),
    ],
)
def test_a_tensor_of_another_kind_is_refused(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        decode_state(small_model(**change), TYPES, SHAPES)


def test_missing_and_unknown_parameters_are_refused_by_name() -> None:
    with pytest.raises(ArtifactError, match="lacks other"):
        decode_state(small_model(), {**TYPES, "other": torch.float32}, {**SHAPES, "other": (1,)})
    with pytest.raises(ArtifactError, match="unknown parameter gain"):
        decode_state(small_model(), {k: v for k, v in TYPES.items() if k != "gain"}, SHAPES)


def test_metadata_without_its_entry_is_refused() -> None:
    model = small_model()
    del model.entries["a.weight.scale"]
    with pytest.raises(ArtifactError, match=r"lacks a\.weight\.scale"):
        read(write_container(model, CFG))


@pytest.mark.parametrize("compressor", ["brotli", "lzma"])
def test_truncated_containers_are_refused(compressor: Any) -> None:
    blob = write_container(small_model(), ArtifactConfig(compressor=compressor))
    for length in range(0, len(blob), 7):
        with pytest.raises(ArtifactError):
            read(blob[:length], compressor)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), compressed=st.booleans())
def test_a_flipped_bit_is_refused_or_changes_nothing(data: st.DataObject, compressed: bool) -> None:
    blob = write_container(small_model(), CFG)
    damaged = bytearray(blob if compressed else decompress(blob, "brotli", max_bytes=MAX_BYTES))
    bit = data.draw(st.integers(0, len(damaged) * 8 - 1))
    damaged[bit // 8] ^= 1 << (bit % 8)
    try:
        found = read(bytes(damaged)) if compressed else parse_payload(bytes(damaged))
    except ArtifactError:
        return
    assert same(found, small_model())


class Evil:
    """What a hostile pickle does."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo owned > /tmp/recur_owned",)


def test_a_pickle_with_code_is_refused_without_running_it() -> None:
    with pytest.raises(ArtifactError, match=r"never run|no dictionary of tensors needs"):
        read(packed({"w": Evil(), "m": {}}))
    swapped = repacked(lambda name, data: pickle.dumps(Evil(), protocol=2) if name.endswith("data.pkl") else data)
    with pytest.raises(ArtifactError, match="'posix system'; code in an artifact is never run"):
        read(swapped)
    assert not Path("/tmp/recur_owned").exists()


def test_allocation_by_a_pickle_is_refused() -> None:
    greedy = b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R."
    with pytest.raises(ArtifactError, match="bytearray"):
        read(repacked(lambda name, data: greedy if name.endswith("data.pkl") else data))


def test_a_bomb_inside_the_zip_is_refused() -> None:
    with pytest.raises(ArtifactError, match="deflated"):
        read(repacked(lambda name, data: bytes(1 << 20) if "/data/" in name else data, zipfile.ZIP_DEFLATED))


def test_a_bomb_around_the_zip_is_refused() -> None:
    blob = compress(dump_payload(small_model(gain=torch.zeros(1 << 20))), "brotli", stride=2)
    with pytest.raises(ArtifactError, match="expands beyond"):
        read(blob)


def test_a_tensor_that_claims_more_than_its_record_is_refused() -> None:
    def claim(name: str, data: bytes) -> bytes:
        return data[:-1] if name.endswith("/data/0") else data

    with pytest.raises(ArtifactError, match="cannot be read"):
        read(repacked(claim))


def test_a_record_flagged_as_a_directory_is_read_as_the_record_it_is() -> None:
    payload = bytearray(dump_payload(small_model()))
    header = payload.rfind(b"PK\x01\x02", 0, payload.rfind(b"archive/data/0"))
    payload[header + 38] ^= 0x10  # the DOS directory attribute: torch's reader would hand out uninitialised memory
    assert same(parse_payload(bytes(payload)), small_model())


def test_a_tensor_that_expands_by_strides_is_refused() -> None:
    with pytest.raises(ArtifactError, match="must hold plain tensors"):
        read(packed({"w": {"gain": torch.ones(1).half().expand(1 << 30)}, "m": {"gain": "passthrough"}}))


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(3),
        {"w": {}},
        {"w": {}, "m": {}, "x": {}},
        {"w": (), "m": {}},
        {"w": {}, "m": ()},
        {"w": {"a": 1}, "m": {}},
        {"w": {1: torch.ones(1)}, "m": {}},
        {"w": {}, "m": {"a": "else"}},
        {"w": {}, "m": {"a": {"type": "int4"}}},
        {"w": {}, "m": {"a": {"type": 6}}},
        {"w": {}, "m": {"a": 1}},
        {"w": {"s": torch.eye(2).to_sparse()}, "m": {}},
    ],
)
def test_values_of_another_kind_are_refused(value: object) -> None:
    with pytest.raises(ArtifactError, match="artifact payload"):
        read(packed(value))


@pytest.mark.parametrize("payload", [b"", b"not a zip", b"PK\x03\x04 but nothing else", b"BSHF\x02"])
def test_a_payload_that_is_no_zip_is_refused(payload: bytes) -> None:
    with pytest.raises(ArtifactError, match="artifact payload"):
        read(compress(payload, "brotli", stride=0))


def test_a_file_is_written_whole_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "model.ptz"
    save_artifact(path, write_container(small_model(), CFG))
    assert same(load_artifact(path, CFG), small_model())
    assert [p.name for p in tmp_path.iterdir()] == ["model.ptz"]


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.ptz"
    with pytest.raises(ArtifactError, match=r"model\.ptz cannot be read \(No such file"):
        load_artifact(path, CFG)
    path.write_bytes(b"nonsense")
    with pytest.raises(ArtifactError, match=r"model\.ptz.*is not a whole brotli stream"):
        load_artifact(path, CFG)
    with path.open("wb") as f:
        f.truncate(1 << 33)
    with pytest.raises(ArtifactError, match="it is no artifact; refused"):
        load_artifact(path, CFG)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        save_artifact(tmp_path / "file" / "model.ptz", b"x")


def test_the_golden_artifacts_are_read_and_rewritten_the_same() -> None:
    folder = Path(__file__).parents[2] / "golden"
    files = sorted(folder.glob("11_*.ptz"))
    assert files
    for file in files:
        compressor = "lzma" if "lzma" in file.name else "brotli"
        model = load_artifact(file, ArtifactConfig(compressor=compressor))  # type: ignore[arg-type]
        again = write_container(model, ArtifactConfig(compressor=compressor))  # type: ignore[arg-type]
        assert same(read_container(again, compressor=compressor, max_bytes=MAX_BYTES), model)
        assert abs(len(again) - file.stat().st_size) <= 0.01 * file.stat().st_size
