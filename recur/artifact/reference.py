"""The reference's container: written, and read back within bounds.

Source: REFERENCE 10. File = compressed(shuffled(serialised dictionary)).
Deviation: reading refuses whatever the reference would let pass or fail on later (see `payload` and `coding`).
"""

from __future__ import annotations

from pathlib import Path

from recur.artifact.coding import compress, decompress
from recur.artifact.decode import some
from recur.artifact.payload import dump_payload, parse_payload
from recur.config import ArtifactConfig
from recur.errors import ArtifactError
from recur.quantize.tensors import QuantizedModel
from recur.record.atomic import write_bytes_atomic

MAX_EXPANSION = 16
"""Payload bytes per byte of the cap: the record's payload is 2.2 times its cap."""
MIN_LIMIT_BYTES = 64 << 20


def payload_limit_bytes(cfg: ArtifactConfig) -> int:
    """Largest payload that is read under a byte cap."""
    return max(MIN_LIMIT_BYTES, MAX_EXPANSION * cfg.cap_bytes)


def write_container(model: QuantizedModel, cfg: ArtifactConfig) -> bytes:
    """The container's bytes; equal models give equal bytes (with one version of torch and of the compressor)."""
    return compress(dump_payload(model), cfg.compressor, stride=cfg.shuffle_stride)


def read_container(blob: bytes, *, compressor: str, max_bytes: int) -> QuantizedModel:
    """Read a container's bytes.

    Args:
        blob: the whole file.
        compressor: ``brotli`` or ``lzma``.
        max_bytes: largest payload; see `payload_limit_bytes`.

    Raises:
        ArtifactError: damaged, truncated, a bomb, a pickle with code in it, or entries and metadata that do not match.
    """
    model = parse_payload(decompress(blob, compressor, max_bytes=max_bytes))
    missing = model.missing_entries()
    if missing:
        raise ArtifactError("artifact", f"lacks {some(missing)} that its metadata names", "write it again")
    return model


def save_artifact(path: Path, blob: bytes) -> None:
    """Write the file, whole or not at all.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    write_bytes_atomic(path, blob)
