"""The serialised dictionary inside the reference's container: a ``torch.save`` zip, written plainly and read with care.

Source: REFERENCE 10 (1): ``{"w": entries, "m": meta}``, entries in state-dict order, ``.q`` before ``.scale``.
The zip holds a pickle. It is loaded with ``weights_only=True``, and before that its records must be stored (not
deflated: no bomb inside), pass their CRC, and its pickle may use only the opcodes and globals of such a dictionary of
tensors, so nothing in it can be called but the rebuilding of a tensor. What is loaded is a fresh zip of the records
that were checked: torch's zip reader trusts fields that Python's ignores (a directory flag on a record makes it hand
out uninitialised memory).
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
import zlib

import torch
from torch import Tensor

from recur.errors import ArtifactError
from recur.quantize.tensors import Meta, QuantizedModel

_REMEDY = "copy the artifact again from where it was written"
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    NotImplementedError,
    OSError,
)
_LOAD_ERRORS = (
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    EOFError,
)
_MEMO = ("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET")
_ATOMS = ("BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "NEWTRUE", "NEWFALSE")
_DICTIONARIES = ("EMPTY_DICT", "SETITEM", "SETITEMS")
_TUPLES = ("MARK", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
_TENSORS = ("GLOBAL", "REDUCE", "BINPERSID")
_OPCODES = frozenset(("PROTO", "STOP", *_MEMO, *_ATOMS, *_DICTIONARIES, *_TUPLES, *_TENSORS))
_STORAGES = ("Half", "Float", "Double", "BFloat16", "Char", "Byte", "Short", "Int", "Long", "Bool")
_GLOBALS = frozenset(
    ["torch._utils _rebuild_tensor_v2", "collections OrderedDict", *(f"torch {name}Storage" for name in _STORAGES)]
)


def dump_payload(model: QuantizedModel) -> bytes:
    """Serialise a model; equal models give equal bytes with one version of torch."""
    buffer = io.BytesIO()
    torch.save({"w": dict(model.entries), "m": dict(model.meta)}, buffer)
    return buffer.getvalue()


def parse_payload(payload: bytes) -> QuantizedModel:
    """Read a serialised model.

    Raises:
        ArtifactError: not such a zip, damaged, with a pickle that does anything else, or with values of another type.
    """
    records = _records(payload)
    _check_pickle(records)
    try:
        found: object = torch.load(_zipped(records), map_location="cpu", weights_only=True)
    except _LOAD_ERRORS as e:
        raise _bad(f"cannot be read ({_first_line(e)})") from e
    if not isinstance(found, dict) or set(found) != {"w", "m"}:
        raise _bad("must be a dictionary of entries (w) and metadata (m)")
    return QuantizedModel(entries=_checked_entries(found["w"]), meta=_checked_meta(found["m"]))


def _records(payload: bytes) -> dict[str, bytes]:
    """The zip's records by name, each whole by its checksum."""
    if not payload.startswith(b"PK"):
        raise _bad("has the wrong magic, it is no zip of tensors")
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            found = archive.infolist()
            if any(r.compress_type != zipfile.ZIP_STORED for r in found):
                raise _bad("holds deflated records; the format stores them")
            if sum(r.file_size for r in found) > len(payload) or len(set(archive.namelist())) < len(found):
                raise _bad("holds records that overlap or repeat")
            return {r.filename: archive.read(r) for r in found}
    except _ZIP_ERRORS as e:
        raise _bad(f"is a damaged zip ({_first_line(e)})") from e


def _zipped(records: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    buffer.seek(0)
    return buffer


def _check_pickle(records: dict[str, bytes]) -> None:
    pickles = [data for name, data in records.items() if name.endswith("data.pkl")]
    if len(pickles) != 1:
        raise _bad(f"must hold one pickle, not {len(pickles)}")
    try:
        operations = [(opcode.name, argument) for opcode, argument, _ in pickletools.genops(pickles[0])]
    except (ValueError, UnicodeDecodeError, IndexError) as e:
        raise _bad(f"holds a damaged pickle ({_first_line(e)})") from e
    for name, argument in operations:
        if name not in _OPCODES:
            raise _bad(f"holds a pickle with {name}, which no dictionary of tensors needs")
        if name == "GLOBAL" and argument not in _GLOBALS:
            raise _bad(f"holds a pickle that names {str(argument)!r}; code in an artifact is never run")


def _checked_entries(found: object) -> dict[str, Tensor]:
    if not isinstance(found, dict):
        raise _bad("must hold its entries as a dictionary")
    entries: dict[str, Tensor] = {}
    for key, value in found.items():
        plain = isinstance(value, Tensor) and value.layout is torch.strided and value.is_contiguous()
        if not isinstance(key, str) or not plain:
            raise _bad(f"must hold plain tensors, entry {key!r} is none")
        entries[key] = value
    return entries


def _checked_meta(found: object) -> dict[str, Meta]:
    if not isinstance(found, dict):
        raise _bad("must hold its metadata as a dictionary")
    meta: dict[str, Meta] = {}
    for key, value in found.items():
        table = isinstance(value, dict) and all(isinstance(x, str) for pair in value.items() for x in pair)
        known = value in ("passthrough", "passthrough_ctrl") if isinstance(value, str) else table
        if not isinstance(key, str) or not known or (table and value.get("type") not in ("int6", "int8")):
            raise _bad(f"has metadata of an unknown kind: {str(key)[:80]!r}: {str(value)[:80]!r}")
        meta[key] = value
    return meta


def _bad(rule: str) -> ArtifactError:
    return ArtifactError("artifact payload", rule, _REMEDY)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
