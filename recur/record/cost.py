"""What an artifact costs against the byte cap: model bytes + code bytes, as the track counts them (REFERENCE 9, 12)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ByteCount:
    """Sizes of one shipped model.

    Args:
        model_bytes: size of the artifact's file.
        code_bytes: size of the code that is counted with it.
        cap_bytes: limit of the sum.
    """

    model_bytes: int
    code_bytes: int
    cap_bytes: int

    @property
    def total_bytes(self) -> int:
        """What the track counts."""
        return self.model_bytes + self.code_bytes

    @property
    def slack_bytes(self) -> int:
        """Bytes left below the cap; negative when over it."""
        return self.cap_bytes - self.total_bytes
