"""A small file system of its own, for tests of a full disk."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size_kib: int) -> Iterator[Path]:
    """A tmpfs of so many KiB at ``folder``, which is made; skips where this user may not mount one."""
    folder.mkdir()
    mount = shutil.which("mount")
    line = [str(mount), "-t", "tmpfs", "-o", f"size={size_kib}k", "none", str(folder)]
    if mount is None or subprocess.run(line, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
