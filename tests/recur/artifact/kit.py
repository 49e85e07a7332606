"""Small models with every kind of parameter, and containers forged with a right checksum."""

from __future__ import annotations

import json
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import torch
from torch import Tensor

from recur.artifact.container import MAGIC, VERSION
from recur.artifact.sections import CODERS, RawSection, encode_section, split
from recur.quantize.tensors import Meta, QuantizedModel

MAX_BYTES = 1 << 20
HEADER_BYTES, CRC_BYTES = 18, 4
Change = Callable[[Any], object]
"""Changes an index in place, or returns another."""
ABSURD = [-1, True, False, 1.0, 1.5, "1", None, [], {}, 1 << 63, 1 << 64, 1 << 400, MAX_BYTES + 1]
"""JSON values that are no size, offset or length."""
MATRICES = ("attn.c_q", "attn.c_k", "attn.c_v", "attn.proj", "mlp.fc", "mlp.proj")


def grid(name: str, rows: int, cols: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The entries of one grid, its codes spread as its exponents say."""
    exponents = {
        ".rows": torch.randint(-9, 10, (rows,), generator=generator, dtype=torch.int8),
        ".cols": torch.randint(-9, 10, (cols,), generator=generator, dtype=torch.int8),
    }
    spread = 2.5 * torch.exp2(-exponents[".rows"][:, None] / 8) * torch.exp2(-exponents[".cols"] / 8)
    codes = (torch.randn(rows, cols, generator=generator) * spread).round().clamp(-127, 127).to(torch.int8)
    step = torch.rand((), generator=generator) + 0.01
    return {name + part: value for part, value in {".q": codes, ".step": step, **exponents}.items()}


def every_role(rows: int = 6, cols: int = 10, seed: int = 0) -> QuantizedModel:
    """Grids in every section, both passthrough kinds, the reference's kinds, a 0-dim and an empty tensor."""
    generator = torch.Generator().manual_seed(seed)
    entries: dict[str, Tensor] = {"lane_merge": torch.tensor(0.5).half()}
    meta: dict[str, Meta] = {"lane_merge": "passthrough"}
    for name in (*(f"blocks.0.{part}.weight" for part in MATRICES), "tok_emb.weight"):
        entries |= grid(name, rows, cols, generator)
        meta[name] = {"type": "grid", "method": "gptq"}
    entries |= {
        "skip_weights": torch.randn(3, 4, generator=generator).half(),
        "resid_mix": torch.randn(5, generator=generator),
        "none": torch.zeros(0, 7).half(),
        "ve.embed.weight.q": torch.randint(-127, 128, (4, 3), generator=generator, dtype=torch.int8),
        "ve.embed.weight.scale": torch.rand(4, generator=generator).half(),
        "blocks.0.mlp.bias.q": torch.randint(-31, 32, (2, 3, 4), generator=generator, dtype=torch.int8),
        "blocks.0.mlp.bias.scale": torch.tensor(0.25).half(),
        "gain.q": torch.randint(-127, 128, (9,), generator=generator, dtype=torch.int8),
        "gain.scale": torch.tensor(0.125),
    }
    meta |= {"skip_weights": "passthrough", "resid_mix": "passthrough_ctrl", "none": "passthrough"}
    meta |= {"ve.embed.weight": {"type": "int8"}, "blocks.0.mlp.bias": {"type": "int6"}, "gain": {"type": "int8"}}
    return QuantizedModel(entries=entries, meta=meta)


def same(a: QuantizedModel, b: QuantizedModel) -> bool:
    """Equal to the bit, with equal types, shapes, metadata and order."""
    if list(a.entries) != list(b.entries) or list(a.meta.items()) != list(b.meta.items()):
        return False
    pairs = [(a.entries[name], b.entries[name]) for name in a.entries]
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


def index_of(blob: bytes) -> Any:
    """The index of a container, as JSON values to be changed."""
    length = int.from_bytes(blob[10:14], "little")
    return json.loads(brotli.decompress(blob[HEADER_BYTES : HEADER_BYTES + length]))


def body_of(blob: bytes) -> bytes:
    """The coded sections of a container."""
    return blob[HEADER_BYTES + int.from_bytes(blob[10:14], "little") : -CRC_BYTES]


def sealed(data: bytes) -> bytes:
    """``data`` with the checksum that belongs to it."""
    return data + zlib.crc32(data).to_bytes(4, "little")


def framed(index: bytes, body: bytes, *, index_bytes: int | None = None, version: int = VERSION) -> bytes:
    """A container of any index text and body; with a right checksum, and right lengths unless told otherwise."""
    packed = brotli.compress(index)
    lengths = len(packed).to_bytes(4, "little") + (len(index) if index_bytes is None else index_bytes).to_bytes(4, "little")
    return sealed(MAGIC + version.to_bytes(2, "little") + lengths + packed + body)


def forged(blob: bytes, change: Change, body: bytes | None = None) -> bytes:
    """``blob`` with its index changed in place by ``change``, or replaced by what it returns, and a right checksum."""
    index = index_of(blob)
    returned = change(index)
    text = json.dumps(index if returned is None else returned, separators=(",", ":")).encode()
    return framed(text, body_of(blob) if body is None else body)


def with_section(blob: bytes, role: str, data: bytes, coder: str | None = None) -> bytes:
    """``blob`` with other bytes in one section, all offsets, lengths and the checksum right."""
    index, body, out = index_of(blob), body_of(blob), b""
    for section in index[2]:
        piece = body[section[2] : section[2] + section[3]]
        if section[0] == role:
            piece, section[1] = data, coder or section[1]
        section[2:4] = len(out), len(piece)
        out += piece
    return framed(json.dumps(index).encode(), out)


def put(part: int, item: int, field: int, value: object) -> Change:
    """Set one field of one item of one part of the index."""

    def change(index: Any) -> None:
        index[part][item][field] = value

    return change


def zeros(coder: str, size: int) -> bytes:
    """A stream of zeros, compressed piece by piece so that making it takes no memory."""
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 1, "dict_size": 4096, "lc": 0, "lp": 0, "pb": 2}]
    encoder = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
    write, finish = encoder.compress, encoder.flush
    if coder == "brotli11":
        brotli_encoder = brotli.Compressor(quality=1, lgwin=24)
        write, finish = brotli_encoder.process, brotli_encoder.finish
    pieces = [min(1 << 20, size - at) for at in range(0, size, 1 << 20)]
    return b"".join([*(write(bytes(piece)) for piece in pieces), finish()])


def raw_sections() -> dict[str, RawSection]:
    """The uncoded sections of `every_role` by name."""
    return {str(raw.shape.role): raw for raw in split(every_role())}


def coded_sections() -> list[tuple[str, str, bytes]]:
    """Role, coder and bytes of every section by every coder that applies."""
    return [
        (role, coder, encode_section(raw, (coder,)).data)
        for role, raw in raw_sections().items()
        for coder in CODERS
        if coder != "range" or raw.shape.blocks
    ]
