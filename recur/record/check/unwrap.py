"""Opens scripts that are shipped compressed, `exec(lzma.decompress(base64.b85decode("...")))`, without running them.

The argument of `exec` is followed by its syntax only: constants, names assigned once at module level, and calls of known
decoders (base64, base85, ascii85; lzma, zlib, gzip, bz2, brotli). Anything else is left as it is. Sizes are bounded.
"""

from __future__ import annotations

import ast
import base64
import binascii
import bz2
import lzma
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import brotli

MAX_SOURCE_BYTES = 4 * 1024 * 1024
MAX_LAYERS = 3
MAX_DICTIONARY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Unwrapped:
    """Source text after ``layers`` wrappers were opened (0: it was not wrapped)."""

    source: str
    layers: int


class _Stuck(Exception):
    """The expression is not one of those that can be followed."""


def parse_source(source: str) -> ast.Module:
    """The syntax tree, without the warnings that a script's own text may deserve.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it is no Python, or nested beyond reason.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def unwrap(source: str) -> Unwrapped:
    """The innermost source that can be reached by syntax alone; the text itself where nothing is wrapped."""
    for layer in range(MAX_LAYERS):
        inner = _inner(source)
        if inner is None:
            return Unwrapped(source=source, layers=layer)
        source = inner
    return Unwrapped(source=source, layers=MAX_LAYERS)


def _inner(source: str) -> str | None:
    try:
        tree = parse_source(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    reader = _Reader(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "exec" and node.args:
            try:
                value = reader.value(node.args[0])
                return value.decode() if isinstance(value, bytes) else value
            except (_Stuck, ValueError, EOFError, lzma.LZMAError, zlib.error, OSError, brotli.error, RecursionError):
                continue
    return None


class _Reader:
    """Values of expressions, by syntax."""

    def __init__(self, tree: ast.Module) -> None:
        self._names: dict[str, ast.expr | None] = {}
        self._modules: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._modules |= {a.asname or a.name: a.name for a in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                self._modules |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        for statement in tree.body:
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
                name = statement.targets[0].id
                self._names[name] = None if name in self._names else statement.value

    def value(self, node: ast.expr, depth: int = 0) -> bytes | str:
        """The bytes or text of an expression.

        Raises:
            _Stuck: it is not made of constants and known decoders.
        """
        if depth > 20:
            raise _Stuck
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes | str):
            return node.value
        if isinstance(node, ast.Name) and (assigned := self._names.get(node.id)) is not None:
            return self.value(assigned, depth + 1)
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        raise _Stuck

    def _call(self, node: ast.Call, depth: int) -> bytes | str:
        name = self._dotted(node.func)
        if name == "compile" and node.args:
            return self.value(node.args[0], depth + 1)
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("decode", "encode") and len(node.args) <= 1:
            value = self.value(node.func.value, depth + 1)
            encoding = _encoding(node)
            return value.decode(encoding) if isinstance(value, bytes) else value.encode(encoding)
        if name not in _DECODERS or not node.args:
            raise _Stuck
        raw = self.value(node.args[0], depth + 1)
        data = raw.encode() if isinstance(raw, str) else raw
        if name == "lzma.decompress" and len(node.args) + len(node.keywords) > 1:
            return _raw_lzma(node, data)
        decoded = _DECODERS[name](data)
        if len(decoded) > MAX_SOURCE_BYTES:
            raise _Stuck
        return decoded

    def _dotted(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return self._modules.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            return f"{self._dotted(node.value)}.{node.attr}"
        imports = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "__import__"
        if imports and isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            return str(node.args[0].value)
        return ""


def _lzma(data: bytes) -> bytes:
    return lzma.LZMADecompressor(memlimit=256 * 1024 * 1024).decompress(data, MAX_SOURCE_BYTES + 1)


def _encoding(node: ast.Call) -> str:
    name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else "utf-8"
    if name not in ("utf-8", "utf8", "ascii", "latin1", "latin-1", "iso-8859-1"):
        raise _Stuck
    return str(name)


def _raw_lzma(node: ast.Call, data: bytes) -> bytes:
    """`lzma.decompress(x, format, memlimit, filters)` of raw LZMA1 or LZMA2, with the filter's numbers as they stand."""
    named = {k.arg: k.value for k in node.keywords}
    given = dict(zip(("data", "format", "memlimit", "filters"), node.args, strict=False)) | named
    if "format" not in given or _integer(given["format"]) != lzma.FORMAT_RAW:
        return _lzma(data)
    filters = given.get("filters")
    if not isinstance(filters, ast.List | ast.Tuple) or len(filters.elts) != 1:
        raise _Stuck
    used = _filter(filters.elts[0])
    if used.get("dict_size", 0) > MAX_DICTIONARY_BYTES:
        raise _Stuck
    return lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=[used]).decompress(data, MAX_SOURCE_BYTES + 1)


def _filter(node: ast.expr) -> dict[str, int]:
    """`{"id": 1, ...}` or `dict(id=1, ...)`."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {str(k.value): _integer(v) for k, v in pairs if isinstance(k, ast.Constant)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {k.arg: _integer(k.value) for k in node.keywords if k.arg}
    raise _Stuck


def _integer(node: ast.expr) -> int:
    """A whole number, `1<<20`, `9|lzma.PRESET_EXTREME`, or a constant of `lzma`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Attribute) and isinstance(value := getattr(lzma, node.attr, None), int):
        return value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift | ast.BitOr):
        left, right = _integer(node.left), _integer(node.right)
        if 0 <= left < 2**40 and 0 <= right < (40 if isinstance(node.op, ast.LShift) else 2**40):
            return left << right if isinstance(node.op, ast.LShift) else left | right
    raise _Stuck


def _zlib(data: bytes, window: int = 15) -> bytes:
    return zlib.decompressobj(window).decompress(data, MAX_SOURCE_BYTES + 1)


def _brotli(data: bytes) -> bytes:
    out: bytes = brotli.Decompressor().process(data, output_buffer_limit=MAX_SOURCE_BYTES + 1)
    return out


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "base64.b64decode": base64.b64decode,
    "base64.b85decode": base64.b85decode,
    "base64.a85decode": base64.a85decode,
    "base64.decodebytes": base64.decodebytes,
    "binascii.a2b_base64": binascii.a2b_base64,
    "bytes.fromhex": lambda data: bytes.fromhex(data.decode()),
    "lzma.decompress": _lzma,
    "zlib.decompress": _zlib,
    "gzip.decompress": lambda data: _zlib(data, 31),
    "bz2.decompress": lambda data: bz2.BZ2Decompressor().decompress(data, MAX_SOURCE_BYTES + 1),
    "brotli.decompress": _brotli,
}
