"""Runs a command without a network, with bounded time, memory and files, in a copy of a folder.

Provides `run_isolated`: new network and process namespaces (`unshare` of util-linux; with a user namespace where that needs
no privilege), resource limits, an environment of a few fixed variables, and an end for every process it started. Where
such namespaces are not permitted it runs nothing and says so. An audit hook of the interpreter writes down every address
that Python code tried to reach, also when the script swallowed the error. It is no jail for files: the script sees the
files that the user sees.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NAMESPACES = ("--net", "--pid", "--fork", "--kill-child")
_TAIL_BYTES = 64 * 1024
_HOOK = '''"""Writes down the addresses that Python code tries to reach."""
import os, sys
def _hook(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        where = args[1] if event != "socket.getaddrinfo" else args[:2]
        if isinstance(where, tuple):
            fd = os.open(%r, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(fd, (event.partition(".")[2] + " " + repr(where)[:200] + "\\n").encode())
            os.close(fd)
sys.addaudithook(_hook)
'''


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one run: wall-clock s, address space and largest file in bytes, processes of the user."""

    timeout_s: float = 60.0
    memory_bytes: int = 64 * 1024**3
    file_bytes: int = 1024**3
    processes: int = 4096


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a run ended: exit code (None: stopped at the limit), s, the ends of its outputs, addresses it tried."""

    exit_code: int | None
    seconds: float
    stdout: str
    stderr: str
    addresses: tuple[str, ...]


@cache
def isolation() -> tuple[str, ...] | None:
    """The `unshare` command that works here, or None where none is permitted."""
    program = shutil.which("unshare")
    if program is None:
        return None
    for extra in ((), ("--map-root-user",)):
        command = (program, *NAMESPACES, *extra)
        done = subprocess.run([*command, "true"], capture_output=True, check=False, timeout=20)
        if done.returncode == 0:
            return command
    return None


def run_isolated(arguments: Sequence[str], folder: Path, scratch: Path, limits: Limits) -> Ran | None:
    """Run `python ARGUMENTS` in ``folder`` without a network; None where isolation is not permitted.

    Args:
        arguments: of the Python interpreter, e.g. ``("train_gpt.py",)``.
        folder: working folder, a copy that may be written.
        scratch: an empty folder beside it, for outputs, home and temporary files.
        limits: bounds of the run.
    """
    prefix = isolation()
    if prefix is None:
        return None
    reached, hooks = scratch / "reached.txt", scratch / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(_HOOK % str(reached), encoding="utf-8")
    command = [*prefix, "--", sys.executable, "-u", *arguments]
    out, err = scratch / "stdout.txt", scratch / "stderr.txt"
    started = time.monotonic()
    with out.open("wb") as o, err.open("wb") as e:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(scratch, hooks),
            stdin=subprocess.DEVNULL,
            stdout=o,
            stderr=e,
            start_new_session=True,
            preexec_fn=lambda: _limit(limits),
        )
        code = _wait(process, limits.timeout_s)
    return Ran(
        exit_code=code,
        seconds=time.monotonic() - started,
        stdout=_tail(out),
        stderr=_tail(err),
        addresses=tuple(dict.fromkeys(_tail(reached).splitlines())) if reached.exists() else (),
    )


def _environment(scratch: Path, hooks: Path) -> dict[str, str]:
    home = str(scratch)
    fixed = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return fixed | {"HOME": home, "TMPDIR": home, "PYTHONPATH": str(hooks), "PYTHONDONTWRITEBYTECODE": "1"}


def _limit(limits: Limits) -> None:
    cpu_s = int(limits.timeout_s * (os.cpu_count() or 1)) + 1
    wanted = (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_CORE, 0),
    )
    for kind, value in wanted:
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        # the namespace's first process dies with `unshare`, and every process in the namespace with it
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _tail(path: Path) -> str:
    with path.open("rb") as f:
        f.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return f.read().decode("utf-8", errors="replace")
