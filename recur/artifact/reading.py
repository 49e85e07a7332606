"""An artifact read from its file, whichever container it is: ours or the reference's, told apart by the first bytes."""

from __future__ import annotations

from pathlib import Path

from recur.artifact import container, reference
from recur.artifact.reference import payload_limit_bytes
from recur.config import ArtifactConfig
from recur.errors import ArtifactError
from recur.quantize.tensors import QuantizedModel


def load_artifact(path: Path, cfg: ArtifactConfig) -> QuantizedModel:
    """Read an artifact from its file.

    Args:
        path: the file.
        cfg: the cap that bounds what it may expand to, and for the reference's container its compressor.

    Raises:
        ArtifactError: missing, larger than an artifact under this cap can be, or anything its container's reader refuses.
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
        if blob.startswith(container.MAGIC):
            return container.read_container(blob, max_bytes=limit_bytes)
        return reference.read_container(blob, compressor=cfg.compressor, max_bytes=limit_bytes)
    except ArtifactError as e:
        raise ArtifactError(f"{path}: {e.value}", e.rule, e.remedy) from e
