"""The software that a run used: versions of Python, of the libraries that its numbers depend on, and of CUDA.

A run records it with its training (field `environment` of `record_train.json`), so that a report written later, on another
machine, still names what ran. Hardware is in the placement that the same record holds.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "torch",
    "numpy",
    "sentencepiece",
    "brotli",
    "constriction",
    "safetensors",
    "scipy",
    "ray",
    "triton",
    "flash-attn",
    "flash-attn-3",
)
"""Libraries that can change a number or a byte, by the name of their distribution; those that are absent are left out."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Versions; ``cuda`` is the one that PyTorch was built for, None without."""

    python: str
    system: str
    cuda: str | None
    packages: dict[str, str]


def current_environment() -> Environment:
    """The versions in this process."""
    import torch  # not at the top: reports and the service read records without loading it

    return Environment(
        python=platform.python_version(),
        system=platform.platform(),
        cuda=torch.version.cuda,
        packages={name: found for name in PACKAGES if (found := _version(name)) is not None},
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
