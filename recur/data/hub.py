"""One file from a Hugging Face repository, resumable across processes, checked before it counts as whole.

Built on huggingface-hub's metadata and streaming calls; its own `hf_hub_download` drops a part when the process ends
(2.x), so the part is kept here, under a name that holds the file version's ETag. A whole file lies beside its receipt
(ETag, size, sha256).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url
from huggingface_hub.file_download import HfFileMetadata, http_get
from huggingface_hub.utils._headers import build_hf_headers

from recur.data.staging import sha256_file, storage_error, sync
from recur.errors import DataError, InputError

# The transport library's base error (requests, httpx or httpx2, by huggingface-hub's version).
TRANSPORT_ERROR: type[BaseException] = errors.HfHubHTTPError.__bases__[0]
SHA256_HEX = 64
AGAIN = "run the same command again: it goes on where it stopped"


@dataclass(frozen=True, kw_only=True)
class HubRepo:
    """A dataset repository on a Hub.

    Attributes:
        repo_id: owner/name.
        endpoint: base URL of the Hub; None is huggingface-hub's default.
        revision: branch, tag or commit.
        remote_root: folder of the repository that holds `manifest.json`.
    """

    repo_id: str
    endpoint: str | None = None
    revision: str = "main"
    remote_root: str = "datasets"

    def url(self, file: str) -> str:
        """Where `file`, relative to `remote_root`, is served.

        Raises:
            DataError: a malformed repository id.
        """
        name = f"{self.remote_root}/{file}" if self.remote_root else file
        try:
            return hf_hub_url(self.repo_id, name, repo_type="dataset", revision=self.revision, endpoint=self.endpoint)
        except errors.HFValidationError as error:
            raise DataError(f"data.repo_id={self.repo_id}", "must be OWNER/NAME", "see the dataset's page on the Hub") from error


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a whole file was when it was checked."""

    etag: str
    size_bytes: int
    sha256: str
    commit: str


def download(repo: HubRepo, file: str, target: Path) -> Receipt:
    """Bring `file` to `target`, unless this very version is already there whole.

    Raises:
        DataError: not served, cut off, or of another size or hash than the server named; a part is kept to go on from,
            `target` is not made.
        StorageError: no space or no permission.
    """
    url = repo.url(file)
    try:
        meta = get_hf_file_metadata(url, endpoint=repo.endpoint)
        known = _receipt(target)
        if known and known.etag == meta.etag and target.stat().st_size == known.size_bytes:
            return known
        target.parent.mkdir(parents=True, exist_ok=True)
        return _complete(url, meta, target)
    except InputError:
        raise
    except errors.RemoteEntryNotFoundError as error:
        raise DataError(f"file {url}", "does not exist", "check data.repo_id and data.variant") from error
    except TRANSPORT_ERROR as error:
        raise DataError(f"file {url}", f"cannot be downloaded ({_first_line(error)})", AGAIN) from error
    except OSError as error:
        if error.errno is None:  # huggingface-hub's consistency checks
            raise DataError(f"file {url}", f"was not received whole ({_first_line(error)})", AGAIN) from error
        raise storage_error(target.parent, error) from error


def _complete(url: str, meta: HfFileMetadata, target: Path) -> Receipt:
    if not (meta.etag and meta.size and meta.commit_hash):
        raise DataError(f"file {url}", "is served without ETag, size or commit", "use a Hugging Face Hub endpoint")
    part = target.with_name(f"{target.name}.{hashlib.sha256(meta.etag.encode()).hexdigest()[:16]}.part")
    if part.exists() and part.stat().st_size > meta.size:
        part.unlink()
    with part.open("ab") as file:
        http_get(
            meta.location,
            file,
            resume_size=file.tell(),
            headers={**_headers(url, meta.location), "Accept-Encoding": "identity"},
            expected_size=meta.size,
            displayed_filename=target.name,
        )
    return _accept(url, meta.etag, meta.commit_hash, part, target)


def _accept(url: str, etag: str, commit: str, part: Path, target: Path) -> Receipt:
    digest = sha256_file(part)
    if len(etag) == SHA256_HEX and digest != etag:  # the Hub's ETag of a large file is its sha256
        part.unlink()
        raise DataError(f"file {url} sha256={digest[:12]}", f"must be {etag[:12]}", "run the same command again")
    receipt = Receipt(etag=etag, size_bytes=part.stat().st_size, sha256=digest, commit=commit)
    sync(part)
    _receipt_path(target).unlink(missing_ok=True)
    part.replace(target)
    _receipt_path(target).write_text(json.dumps(asdict(receipt)))
    return receipt


def _headers(url: str, location: str) -> dict[str, str]:
    """Request headers; the login token goes to the Hub itself only, never to the storage it redirects to."""
    same_host = urlsplit(url).netloc == urlsplit(location).netloc
    return dict(build_hf_headers(token=None if same_host else False))


def _receipt_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.receipt.json")


def _receipt(target: Path) -> Receipt | None:
    """The receipt beside a whole file; None when either is missing or the receipt is cut off."""
    path = _receipt_path(target)
    if not (path.exists() and target.exists()):
        return None
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
        return Receipt(**fields)
    except (ValueError, TypeError):
        return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
