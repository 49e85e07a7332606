"""Checkpoints of one training: a folder a step, in it two files a rank, both with their hashes; whole, or passed over.

``step_00000120/rank_0.safetensors`` holds the tensors and ``rank_0.json``, written after it, everything else. A step is whole
when every rank has both and they match. No pickle is read or written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import safetensors
import safetensors.torch

from recur.errors import ArtifactError
from recur.train.resume.pack import Packed, pack, unpack
from recur.train.resume.storage import Storage

FORMAT = 1
_FOLDER = re.compile(r"step_(\d{8})")
REMEDY = "nothing: it is passed over, and an older one or the start takes its place"


@dataclass(frozen=True, kw_only=True)
class Resumable:
    """The checkpoint to go on from (``step`` None: none is whole), and a line for each newer one that was refused."""

    step: int | None
    refused: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CheckpointStore:
    """Checkpoints of one seed of one recipe.

    Attributes:
        storage: where.
        identity: of recipe, data, source and seed; a checkpoint of another identity is refused.
        world: ranks that write.
        keep: whole checkpoints that stay.
    """

    storage: Storage
    identity: str
    world: int
    keep: int

    def write(self, step: int, rank: int, tree: object) -> None:
        """One rank's part.

        Raises:
            StorageError: it cannot be written.
        """
        packed = pack(tree)
        payload = safetensors.torch.save(packed.tensors)
        content = {
            "format": FORMAT,
            "identity": self.identity,
            "world": self.world,
            "rank": rank,
            "step": step,
            "payload_bytes": len(payload),
            "payload_sha256": _sha256(payload),
            "tree": packed.plain,
        }
        text = json.dumps(content, separators=(",", ":"), allow_nan=False)
        self.storage.write(_payload(step, rank), payload)
        self.storage.write(_record(step, rank), json.dumps({"sha256": _sha256(text.encode()), "content": text}).encode())

    def read(self, step: int, rank: int) -> Any:
        """One rank's part, checked.

        Raises:
            ArtifactError: missing, damaged, or of another run; the line names the file.
            StorageError: it cannot be read.
        """
        content = self._content(step, rank)
        name = _payload(step, rank)
        payload = self._bytes(name)
        found = (len(payload), _sha256(payload))
        if found != (content["payload_bytes"], content["payload_sha256"]):
            rule = f"is damaged: sha256 {found[1]} ({found[0]} bytes), recorded {content['payload_sha256']}"
            raise ArtifactError(self.storage.path(name), rule, REMEDY)
        try:
            return unpack(Packed(plain=content["tree"], tensors=safetensors.torch.load(payload)))
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(self.storage.path(name), f"does not fit its record ({error})", REMEDY) from error

    def _content(self, step: int, rank: int) -> dict[str, Any]:
        name = _record(step, rank)
        where, raw = self.storage.path(name), self._bytes(name)
        try:
            outer = json.loads(raw)
            text, sha256 = str(outer["content"]), str(outer["sha256"])
            content: dict[str, Any] = json.loads(text)
            mine = {name: content[name] for name in ("format", "identity", "world", "rank", "step")}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArtifactError(where, f"is not a checkpoint's record ({type(error).__name__})", REMEDY) from error
        if _sha256(text.encode()) != sha256:
            raise ArtifactError(where, f"is damaged: sha256 {_sha256(text.encode())}, recorded {sha256}", REMEDY)
        wanted = {"format": FORMAT, "identity": self.identity, "world": self.world, "rank": rank, "step": step}
        if other := [name for name in wanted if mine[name] != wanted[name]]:
            rule = f"is of another run: {other[0]} {mine[other[0]]}, here {wanted[other[0]]}"
            raise ArtifactError(where, rule, REMEDY)
        return content

    def _bytes(self, name: str) -> bytes:
        try:
            return self.storage.read(name)
        except FileNotFoundError as error:
            raise ArtifactError(self.storage.path(name), "is missing", REMEDY) from error

    def resumable(self, fits: Callable[[int], None] = lambda _: None) -> Resumable:
        """The newest whole checkpoint; every part of every rank is read.

        Args:
            fits: called with a step whose files are whole; raises ArtifactError where they cannot be taken in all the same.

        Raises:
            StorageError: the storage cannot be reached; nothing may then be concluded.
        """
        refused: list[str] = []
        for step in reversed(self.steps()):
            try:
                for rank in range(self.world):
                    self.read(step, rank)
                fits(step)
            except ArtifactError as error:
                refused.append(str(error))
            else:
                return Resumable(step=step, refused=tuple(refused))
        return Resumable(step=None, refused=tuple(refused))

    def steps(self) -> list[int]:
        """Steps that have a folder, rising."""
        return [int(found[1]) for name in self.storage.names() if (found := _FOLDER.fullmatch(name))]

    def prune(self) -> None:
        """Remove all that is older than the last ``keep`` checkpoints of which every rank has its record."""
        complete = [step for step in self.steps() if self._complete(step)]
        if len(complete) < self.keep:
            return
        for step in self.steps():
            if step < complete[-self.keep]:
                self.storage.delete(_folder(step))

    def _complete(self, step: int) -> bool:
        names = self.storage.names(_folder(step))
        return all(f"rank_{rank}.json" in names for rank in range(self.world))

    def remove_above(self, step: int) -> None:
        """Remove what is newer than ``step``: refused, or begun by a run that was killed and has parts of some ranks only.

        Left there, it would count as newer than all that this run writes, and be mixed with it.

        Raises:
            StorageError: one cannot be removed.
        """
        for newer in self.steps():
            if newer > step:
                self.storage.delete(_folder(newer))


def _folder(step: int) -> str:
    return f"step_{step:08d}"


def _payload(step: int, rank: int) -> str:
    return f"{_folder(step)}/rank_{rank}.safetensors"


def _record(step: int, rank: int) -> str:
    return f"{_folder(step)}/rank_{rank}.json"


def _sha256(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
