"""One `recur up` a results folder, and where its Ray is and with what token, in files that only this user can read.

Other commands of the same user need both to speak with this Ray; Ray's own place for it, ~/.ray/auth_token, would make
every other head of the user demand it (RAY.md 11).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.lock import sole
from recur.errors import StorageError

FOLDER = ".up"
LOCK_FILE = "lock"
TOKEN_FILE = "ray_token"
DASHBOARD_FILE = "ray_dashboard"


def token_path(out: Path) -> Path:
    """Where the token of the Ray that belongs to this results folder lies while it runs."""
    return out / FOLDER / TOKEN_FILE


def known_dashboard(out: Path) -> str | None:
    """The dashboard of the Ray that belongs to this results folder; None where `recur up` runs none for it."""
    path = out / FOLDER / DASHBOARD_FILE
    return path.read_text().strip() if path.is_file() and os.access(path, os.R_OK) else None


@contextmanager
def sole_up(out: Path) -> Iterator[None]:
    """Hold the results folder's lock; it goes with the process, however that ends.

    Raises:
        StorageError: another `recur up` holds it, or it cannot be made.
    """
    taken = StorageError(f"--out {out}", "is used by another `recur up`", "stop it, or give another --out")
    with sole(out / FOLDER / LOCK_FILE, taken, private=True):
        yield


@contextmanager
def kept_ray(out: Path, dashboard: str, token: str | None) -> Iterator[Path | None]:
    """The addresses of this Ray in their files inside, gone afterwards.

    Yields:
        The token's file; None where this Ray asks for none.
    """
    folder = out / FOLDER
    contents = {DASHBOARD_FILE: dashboard} | ({TOKEN_FILE: token} if token is not None else {})
    _remove(folder)
    try:
        for name, text in contents.items():
            handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(text)
        yield token_path(out) if token is not None else None
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    for name in (DASHBOARD_FILE, TOKEN_FILE):
        (folder / name).unlink(missing_ok=True)
