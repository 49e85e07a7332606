"""What must be right for a sweep to run, looked at one by one: each finding is "ok" with what was seen, or what to do.

Nothing is changed, no Ray is started. `recur doctor` adds what only the service can say.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from recur.errors import DataError, StorageError

MIN_FREE_BYTES = 5 << 30
"""Three seeds of the record profile leave 2.5 GiB (`cluster.storage.check_room`), the published data not counted."""
_MOST_BYTES = 64 << 20
NEEDED_PYTHON = (3, 11)
NEEDED_RAY = "2.60."
PACKAGES = ("torch", "ray", "fastapi", "uvicorn", "sqlalchemy", "alembic", "httpx2", "scipy", "matplotlib", "pydantic")


class Level(StrEnum):
    """OK; NOTE: works, but one should know; BAD: does not work until it is mended."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line: what was looked at, how it is, what was seen, and the cure ("" for none)."""

    name: str
    level: Level
    seen: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an HTTP server said: its status, None when it did not answer, and its body or why not."""

    status: int | None
    text: str


def get(url: str, token: str | None = None) -> Answer:
    """GET without a proxy, at most five seconds."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=5) as reply:
            return Answer(status=int(reply.status), text=reply.read(_MOST_BYTES).decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return Answer(status=error.code, text=str(error.reason))
    except (OSError, ValueError) as error:
        return Answer(status=None, text=str(getattr(error, "reason", error)))


def ray_token(environment: Mapping[str, str], kept: Path) -> str | None:
    """The token as a Ray client would find it, or else the one that `recur up` keeps; None for none."""
    if environment.get("RAY_AUTH_MODE") == "disabled":
        return None
    if environment.get("RAY_AUTH_TOKEN"):
        return environment["RAY_AUTH_TOKEN"]
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    for path in (Path(named) if named else kept, kept):
        if path.is_file() and os.access(path, os.R_OK):
            return path.read_text().strip() or None
    return None


def check_ray(dashboard: str, token: str | None) -> list[Finding]:
    """Whether Ray's Jobs API answers, and whether it asks for a token."""
    with_token, without = get(f"{dashboard}/api/jobs/", token), get(f"{dashboard}/api/jobs/")
    if with_token.status is None:
        fix = "start it with `recur up`, or name another with --dashboard"
        return [Finding(name="Ray", level=Level.BAD, seen=f"{dashboard} does not answer ({with_token.text})", fix=fix)]
    if with_token.status in (401, 403):
        fix = "export RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) of this Ray"
        kind = "no token" if token is None else "a wrong token"
        return [Finding(name="Ray", level=Level.BAD, seen=f"{dashboard} answers {with_token.status} to {kind}", fix=fix)]
    if with_token.status != 200 or not _is_list(with_token.text):
        seen = f"{dashboard} answers {with_token.status}, but is no Jobs API"
        return [Finding(name="Ray", level=Level.BAD, seen=seen, fix="name the dashboard's address with --dashboard")]
    found = [Finding(name="Ray", level=Level.OK, seen=f"the Jobs API at {dashboard} answers")]
    if without.status == 200:
        fix = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN before the head is started; `recur up` does"
        seen = "whoever reaches its ports runs code as you: it asks for no token"
        return [*found, Finding(name="Ray's token", level=Level.NOTE, seen=seen, fix=fix)]
    return [*found, Finding(name="Ray's token", level=Level.OK, seen="asked for, and ours is right")]


def check_nodes(dashboard: str, token: str | None) -> Finding:
    """Nodes and GPUs, as the dashboard lists them."""
    answer = get(f"{dashboard}/api/v0/nodes?detail=1&limit=1000", token)
    nodes = _nodes(answer.text) if answer.status == 200 else []
    if not nodes:
        fix = "look at the dashboard; a head that has just started needs some seconds"
        return Finding(name="nodes", level=Level.BAD, seen="no node is alive", fix=fix)
    gpus, cpus = sum(n.get("GPU", 0) for n in nodes), sum(n.get("CPU", 0) for n in nodes)
    full = sum(1 for n in nodes if n.get("GPU", 0) >= 8)
    seen = f"{len(nodes)} alive, {cpus:g} CPUs, {gpus:g} GPUs, {full} with 8 GPUs"
    if gpus == 0:
        fix = "profiles without GPUs run (smoke_recur, smoke); the record profiles need a node with GPUs"
        return Finding(name="nodes", level=Level.NOTE, seen=seen, fix=fix)
    return Finding(name="nodes", level=Level.OK, seen=seen)


def check_disk(out: Path, *, least_bytes: int = MIN_FREE_BYTES) -> Finding:
    """The results folder: there, writable, with room."""
    existing = next((folder for folder in (out, *out.parents) if folder.exists()), Path("/"))
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        fix = "give a folder that you may write, by --out or RECUR_API_OUT"
        return Finding(name="disk", level=Level.BAD, seen=f"{existing} cannot be written", fix=fix)
    free = shutil.disk_usage(existing).free
    seen = f"{out}: {free / 2**30:.1f} GiB free"
    if free < least_bytes:
        fix = f"free space there (at least {least_bytes / 2**30:.0f} GiB), or give another folder by --out or RECUR_API_OUT"
        return Finding(name="disk", level=Level.BAD, seen=seen, fix=fix)
    return Finding(name="disk", level=Level.OK, seen=seen)


def check_data(out: Path) -> list[Finding]:
    """Every prepared dataset: its manifest and the sizes of its shards; none is fine, the service makes what a sweep needs."""
    from recur.data.dataset import load_dataset
    from recur.data.staging import MANIFEST

    folders = sorted(path.parent for path in (out / "datasets").glob(f"*/{MANIFEST}"))
    if not folders:
        seen = "no dataset yet; embedded text is prepared when a sweep needs it"
        fix = "for the record profiles: python jobs/data.py fetch --out " + str(out / "datasets")
        return [Finding(name="data", level=Level.NOTE, seen=seen, fix=fix)]
    found = []
    for folder in folders:
        try:
            dataset = load_dataset(folder)
        except (DataError, StorageError) as error:
            fix = f"delete {folder}; it is made again when a sweep needs it"
            found.append(Finding(name="data", level=Level.BAD, seen=str(error), fix=fix))
        else:
            seen = f"{folder.name}: {dataset.train_tokens:,} training and {dataset.val_tokens:,} validation tokens"
            found.append(Finding(name="data", level=Level.OK, seen=seen))
    return found


def check_versions(python: Sequence[int] = sys.version_info[:2], packages: Sequence[str] = PACKAGES) -> list[Finding]:
    """Python, Ray and the packages that are needed."""
    versions, missing = {}, []
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    seen = f"Python {python[0]}.{python[1]}, " + ", ".join(f"{name} {version}" for name, version in versions.items())
    if tuple(python[:2]) < NEEDED_PYTHON:
        return [Finding(name="versions", level=Level.BAD, seen=seen, fix="use Python 3.11 or newer")]
    if missing:
        seen = f"not installed: {', '.join(missing)}"
        return [Finding(name="versions", level=Level.BAD, seen=seen, fix="make setup")]
    if not versions.get("ray", NEEDED_RAY).startswith(NEEDED_RAY):
        fix = f"install ray=={NEEDED_RAY}*, on every node the same: make setup"
        return [Finding(name="versions", level=Level.BAD, seen=seen, fix=fix)]
    return [Finding(name="versions", level=Level.OK, seen=seen)]


def check_home(home: Path) -> list[Finding]:
    """Ray's own token file: its default is readable by everybody, and it makes every new head of this user demand a token."""
    path = home / ".ray" / "auth_token"
    if not path.exists():
        return []
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        seen = f"{path} can be read by others"
        return [Finding(name="token file", level=Level.BAD, seen=seen, fix=f"chmod 600 {path}")]
    return [Finding(name="token file", level=Level.OK, seen=f"{path} is yours alone")]


def _is_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except ValueError:
        return False


def _nodes(text: str) -> list[dict[str, float]]:
    """Total resources of the alive nodes in an answer of Ray's state API."""
    try:
        rows = json.loads(text)["data"]["result"]["result"]
    except (ValueError, KeyError, TypeError):
        return []
    return [dict(row.get("resources_total") or {}) for row in rows if row.get("state") == "ALIVE"]
