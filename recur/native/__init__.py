"""Compiled kernels for the CPU: GPTQ's rounding of a block and the moving average, which torch makes many passes over memory of.

Built once per machine by its C compiler into the user's cache folder. They round as torch does, bit for bit, which is tried
before they are used; without a compiler, or where a trial differs, torch's own path stays.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from recur.optim import ema
from recur.quantize import sweep

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
COMPILE_S = 60.0

_log = logging.getLogger(__name__)


@cache
def enable() -> bool:
    """`install`, once in a process."""
    return install()


def install() -> bool:
    """Put the kernels into `recur.quantize.sweep` and `recur.optim.ema`; whether that was possible."""
    try:
        kernels = Kernels(ctypes.CDLL(str(built(_folder()))))
    except (OSError, RuntimeError, subprocess.SubprocessError, AttributeError) as error:
        _log.info("event=no_native_kernels error=%s", error)
        return False
    if not kernels.agree():
        _log.warning("event=native_kernels_differ cpu=%s", platform.processor())
        return False
    sweep.round_block, ema.blend = kernels.round_block, kernels.blend
    return True


class Kernels:
    """The compiled functions under the signatures of the torch functions that they stand for."""

    def __init__(self, library: ctypes.CDLL) -> None:
        size, pointer = ctypes.c_int64, ctypes.c_void_p
        self._round, self._blend = library.recur_round_block, library.recur_blend
        self._round.argtypes = [size, size, pointer, size, pointer, pointer, pointer, size, ctypes.c_float]
        self._round.argtypes += [pointer, size, pointer, size]
        self._blend.argtypes, self._blend.restype = [size, pointer, pointer, ctypes.c_float], None

    def round_block(
        self, W_BR: Tensor, step_R: Tensor, upper_BB: Tensor, limit: int, column_B: Tensor | None, codes_BR: Tensor
    ) -> Tensor:
        """`recur.quantize.sweep.torch_block`; anything but float32 rows in the CPU's memory goes there."""
        factors = [] if column_B is None else [column_B]
        if upper_BB.device.type != "cpu" or not _plain(W_BR, step_R, *factors) or codes_BR.stride(-1) != 1:
            return sweep.torch_block(W_BR, step_R, upper_BB, limit, column_B, codes_BR)
        upper_BB = upper_BB.contiguous()  # LAPACK's factor has its columns contiguous
        error_BR = torch.empty_like(W_BR, memory_format=torch.contiguous_format)
        failed = self._round(
            *W_BR.shape,
            *_rows(W_BR),
            step_R.data_ptr(),
            None if column_B is None else column_B.data_ptr(),
            *_rows(upper_BB),
            limit,
            *_rows(codes_BR),
            *_rows(error_BR),
        )
        if failed:
            raise MemoryError(f"no memory for a block of {len(W_BR)} columns")
        return error_BR

    def blend(self, averages: list[Tensor], weights: list[Tensor], share: float) -> None:
        """`recur.optim.ema.blend` on one thread of the CPU; torch's own on a GPU, and on several threads, which share it."""
        if torch.get_num_threads() > 1 or any(average.is_cuda for average in averages):
            torch._foreach_lerp_(averages, weights, share)
            return
        for average, weight in zip(averages, weights, strict=True):
            if _plain(average, weight) and average.is_contiguous() and weight.is_contiguous():
                self._blend(average.numel(), average.data_ptr(), weight.data_ptr(), share)
            else:
                average.lerp_(weight, share)

    def agree(self) -> bool:
        """Whether both give torch's bits on some hundred values of all kinds of rows and lengths."""
        draw = torch.Generator().manual_seed(0)
        W_BR, step_R = torch.randn(19, 77, generator=draw), torch.rand(77, generator=draw) + 0.01
        upper_BB, column_B = torch.randn(19, 19, generator=draw).tril().t() + torch.eye(19), torch.rand(19, generator=draw) + 0.5
        for column in (None, column_B):
            theirs, ours = torch.empty(2, 19, 77, dtype=torch.int8)
            error = sweep.torch_block(W_BR.clone(), step_R, upper_BB, 31, column, theirs)
            same = torch.equal(error, self.round_block(W_BR.clone(), step_R, upper_BB, 31, column, ours))
            if not (same and torch.equal(theirs, ours)):
                return False
        average, weight = torch.randn(2, 1003, generator=draw)
        expected = average.lerp(weight, 0.0035)
        self._blend(average.numel(), average.data_ptr(), weight.data_ptr(), 0.0035)
        return torch.equal(average, expected)


def built(folder: Path) -> Path:
    """The library for this source and this processor, made where ``folder`` has none.

    Raises:
        OSError: no compiler, or the folder cannot be written.
        subprocess.SubprocessError: the compiler failed.
    """
    library = folder / f"{_key()}.so"
    if library.is_file():
        return library
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as room:
        fresh = Path(room) / library.name
        command = [compiler, *FLAGS, "-o", str(fresh), str(SOURCE), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_S)
        fresh.replace(library)  # whole or not at all: several processes may build at once
    return library


def _plain(*tensors: Tensor) -> bool:
    return all(t.dtype is torch.float32 and t.device.type == "cpu" and (t.numel() < 2 or t.stride(-1) == 1) for t in tensors)


def _rows(matrix: Tensor) -> tuple[int, int]:
    return matrix.data_ptr(), matrix.stride(0)


def _folder() -> Path:
    return Path.home() / ".cache" / "recur" / "native"


def _key() -> str:
    """Hash of the source, the flags, and what the processor can do: a home folder may be shared by unlike nodes."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    able = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    parts = (SOURCE.read_text(encoding="utf-8"), *FLAGS, platform.machine(), able)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
