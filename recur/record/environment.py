"""What a number was made with: versions of the packages that shape it, and the hardware."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from recur import native

PACKAGES = ("torch", "numpy", "scipy", "sentencepiece", "brotli", "constriction", "safetensors", "pandas", "ray")


def environment() -> dict[str, object]:
    """JSON values: python, torch, platform, cpu, cores, gpu (name or None), gpus, cuda (or None), native_kernels, packages."""
    cuda = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(0) if cuda else None,
        "gpus": torch.cuda.device_count() if cuda else 0,
        "cuda": torch.version.cuda if cuda else None,
        "native_kernels": native.enable(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def cpu_name() -> str:
    """The processor's name as its maker gives it, where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
