"""The reference's container: written, read back within bounds, decoded to weights.

Source: REFERENCE 10 (container) and 8.6 (decoding). File = compressed(shuffled(serialised dictionary)).
Deviation: reading refuses whatever the reference would let pass or fail on later (see `payload` and `coding`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from recur.artifact.coding import compress, decompress
from recur.artifact.payload import dump_payload, missing_entries, parse_payload
from recur.config import ArtifactConfig
from recur.errors import ArtifactError
from recur.quantize.tensors import CODES, SCALE, QuantizedModel
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
    missing = missing_entries(model)
    if missing:
        raise ArtifactError("artifact", f"lacks {_some(missing)} that its metadata names", "write it again")
    return model


def decode_state(
    model: QuantizedModel, dtypes: Mapping[str, torch.dtype], shapes: Mapping[str, Sequence[int]]
) -> dict[str, Tensor]:
    """Weights of a model: ``q * scale`` in float32, then the template's type; stored tensors converted to it.

    Entries without metadata are ignored, as in the reference.

    Args:
        model: the container's content.
        dtypes: type of every parameter of the template (`recur.model.build.template_dtypes`), in state-dict order.
        shapes: its shape.

    Returns:
        The state dict, in the template's order.

    Raises:
        ArtifactError: a parameter that is missing, unknown, of another shape or not finite.
    """
    missing, unknown = [n for n in dtypes if n not in model.meta], [n for n in model.meta if n not in dtypes]
    if missing or unknown:
        what = f"lacks {_some(missing)}" if missing else f"holds the unknown parameter {_some(unknown)}"
        raise ArtifactError("artifact", what, "read it with the recipe that wrote it")
    return {name: _decode(model, name, dtype, tuple(shapes[name])) for name, dtype in dtypes.items()}


def save_artifact(path: Path, blob: bytes) -> None:
    """Write the file, whole or not at all.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    write_bytes_atomic(path, blob)


def load_artifact(path: Path, cfg: ArtifactConfig) -> QuantizedModel:
    """Read an artifact from its file.

    Args:
        path: the file.
        cfg: compressor, and the cap that bounds what it may expand to.

    Raises:
        ArtifactError: missing, larger than an artifact under this cap can be, or anything `read_container` refuses.
    """
    limit_bytes = payload_limit_bytes(cfg)
    try:
        size_bytes = path.stat().st_size
        if size_bytes > limit_bytes:
            raise ArtifactError(f"{path}: {size_bytes} bytes", f"exceeds {limit_bytes} bytes", "it is no artifact; refused")
        blob = path.read_bytes()
    except OSError as e:
        raise ArtifactError(str(path), f"cannot be read ({e.strerror})", "check the path") from e
    try:
        return read_container(blob, compressor=cfg.compressor, max_bytes=limit_bytes)
    except ArtifactError as e:
        raise ArtifactError(f"{path}: {e.value}", e.rule, e.remedy) from e


def _decode(model: QuantizedModel, name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    if model.kind(name) is None:
        value = model.entries[name]
    else:
        value = _dequantize(name, model.entries[name + CODES], model.entries[name + SCALE])
    if tuple(value.shape) != shape:
        raise ArtifactError(f"artifact {name}: shape {tuple(value.shape)}", f"must be {shape}", "read it with its recipe")
    if value.is_floating_point() and not torch.isfinite(value).all():
        raise ArtifactError(f"artifact {name}", "holds NaN or infinity", "write it again")
    if value.is_floating_point() != dtype.is_floating_point:
        raise ArtifactError(f"artifact {name}: {value.dtype}", f"must be {dtype}", "read it with its recipe")
    return value.to(dtype)


def _dequantize(name: str, codes: Tensor, scale: Tensor) -> Tensor:
    rows = scale.ndim == 1 and codes.ndim > 0 and scale.shape[0] == codes.shape[0]
    fine = codes.dtype is torch.int8 and scale.is_floating_point() and (scale.ndim == 0 or rows)
    if not fine:
        given = f"{codes.dtype} {tuple(codes.shape)} with {scale.dtype} {tuple(scale.shape)}"
        raise ArtifactError(f"artifact {name}: {given}", "must be int8 codes with a step or a step per row", "write it again")
    step = scale.float()
    return codes.float() * (step.view(-1, *[1] * (codes.ndim - 1)) if rows else step)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
