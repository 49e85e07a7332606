"""Child processes that leave nothing behind: orphans come back to us, and all descendants end by their ids.

A Ray head is some twenty processes in several sessions and process groups (drivers of jobs lead groups of their own), and
some change their command line, so neither a group nor a name finds them all. On Linux this process becomes the reaper of
its orphans (prctl PR_SET_CHILD_SUBREAPER), so that every process a child has started stays below it in the tree of /proc.
Elsewhere only the children's groups are known, which is what Ray's own `ray stop` relies on too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
"""prctl(2)."""
_LINUX = sys.platform == "linux"
_LIBC = ctypes.CDLL(None, use_errno=True) if _LINUX else None


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    if _LIBC is not None:
        _LIBC.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent() -> None:
    """For ``preexec_fn``: SIGTERM this process when the thread that started it ends, however that happens."""
    if _LIBC is not None:
        _LIBC.prctl(_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def descendants(root: int, *, without: Collection[int] = ()) -> list[int]:
    """Ids of all living processes below ``root``, parents first.

    Args:
        root: a process id; itself not in the result.
        without: processes that are left out with everything below them.
    """
    return _below(root, without).living


def kill_below(root: int, *, without: Collection[int] = (), within_s: float = 5.0) -> list[int]:
    """SIGKILL everything below ``root`` until nothing is left, not even as a zombie; ``root`` must be this process for that.

    Returns:
        Ids of what is still there after ``within_s`` (nothing, unless the kernel holds a process).
    """
    end = time.monotonic() + within_s
    while True:
        left = _below(root, without)
        if not (left.living or left.ended) or time.monotonic() > end:
            return left.living
        for pid in left.living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in left.ended:
            with contextlib.suppress(ChildProcessError):  # somebody else's child; it comes to us when that one has ended
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)


@dataclass(frozen=True, kw_only=True)
class _Below:
    """Processes below another one: those that live, parents first, and those that wait for their parent to take notice."""

    living: list[int]
    ended: list[int]


def _below(root: int, without: Collection[int]) -> _Below:
    children: dict[int, list[int]] = {}
    zombies: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        state = _state_and_parent(folder)
        if state is not None:
            children.setdefault(state[1], []).append(int(folder.name))
            if state[0] == "Z":
                zombies.add(int(folder.name))
    found, left = [], [root]
    while left:
        below = [child for child in children.get(left.pop(0), []) if child not in without]
        found += below
        left += below
    return _Below(living=[pid for pid in found if pid not in zombies], ended=[pid for pid in found if pid in zombies])


def _state_and_parent(folder: Path) -> tuple[str, int] | None:
    try:
        words = (folder / "stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return words[0], int(words[1])
