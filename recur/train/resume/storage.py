"""Where checkpoints lie: a folder (a local disk, NFS) or an object store (``s3://bucket/prefix``), through pyarrow.

A file is whole or absent: on a disk by temporary name, fsync and rename; an object store shows an upload only when it is
complete.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pyarrow import fs

from recur.errors import StorageError
from recur.record.atomic import write_bytes_atomic


@dataclass(frozen=True, kw_only=True)
class Storage:
    """A folder of a file system; names are relative, with slashes.

    Attributes:
        system: pyarrow's file system.
        base: the folder in it.
        shown: how a person names it.
    """

    system: fs.FileSystem
    base: str
    shown: str

    def below(self, folder: str) -> Storage:
        """A folder in this one."""
        return replace(self, base=f"{self.base}/{folder}", shown=f"{self.shown}/{folder}")

    def path(self, name: str) -> str:
        """``name`` as a person finds it."""
        return f"{self.shown}/{name}"

    def write(self, name: str, blob: bytes) -> None:
        """Make or replace a file.

        Raises:
            StorageError: full, not writable or not reachable.
        """
        if isinstance(self.system, fs.LocalFileSystem):
            write_bytes_atomic(Path(self.base) / name, blob)
            return
        try:
            with self.system.open_output_stream(f"{self.base}/{name}") as stream:
                stream.write(blob)
        except OSError as error:
            raise self._refused(name, error) from error

    def read(self, name: str) -> bytes:
        """The file's bytes.

        Raises:
            FileNotFoundError: there is none.
            StorageError: it cannot be read.
        """
        try:
            with self.system.open_input_stream(f"{self.base}/{name}", compression=None) as stream:
                blob: bytes = stream.read()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._refused(name, error) from error
        return blob

    def names(self, folder: str = "") -> list[str]:
        """Base names of the files and folders directly in ``folder``, sorted; none where there is no folder.

        Raises:
            StorageError: it cannot be listed.
        """
        selector = fs.FileSelector(f"{self.base}/{folder}".rstrip("/"), allow_not_found=True)
        try:
            return sorted(found.base_name for found in self.system.get_file_info(selector))
        except OSError as error:
            raise self._refused(folder, error) from error

    def delete(self, folder: str) -> None:
        """Remove a folder with all it holds; nothing happens where there is none."""
        try:
            self.system.delete_dir(f"{self.base}/{folder}")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._refused(folder, error) from error

    def _refused(self, name: str, error: OSError) -> StorageError:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        return StorageError(self.path(name), f"cannot be used ({why})", "see that the storage can be reached and has room")


def open_storage(place: str | Path) -> Storage:
    """A folder by its path, or any place that pyarrow knows by its URI (``s3://bucket/prefix?endpoint_override=...``).

    Raises:
        StorageError: no such kind of storage.
    """
    text = str(place)
    if "://" not in text:
        folder = str(Path(text).absolute())
        return Storage(system=fs.LocalFileSystem(), base=folder, shown=folder)
    try:
        system, base = fs.FileSystem.from_uri(text)
    except (OSError, ValueError) as error:
        why = (str(error).strip().splitlines() or [""])[0][:200]
        raise StorageError(f"storage {text!r}", f"cannot be opened ({why})", "give a folder, or s3://BUCKET/PREFIX") from error
    if not base:
        raise StorageError(f"storage {text!r}", "names no bucket and no folder", "give s3://BUCKET/PREFIX")
    return Storage(system=system, base=base, shown=text.partition("?")[0].rstrip("/"))
