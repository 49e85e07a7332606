"""A program as the smallest Python file that runs it: brotli in a string of a Latin-1 source.

Brotli is at hand wherever the program runs, since artifacts are coded with it, and is 5 % smaller here than LZMA. Every byte
of the compressed program is one character; only NUL, CR, the backslash and the end of the string need an escape (1.3 % more
bytes, where base 85 has 25 %).
"""

from __future__ import annotations

import brotli

_TRIED = [(mode, window) for mode in (brotli.MODE_GENERIC, brotli.MODE_TEXT) for window in (16, 17, 18, 22)]
"""Modes and log2 of the window; the smallest file counts."""


def pack(program: bytes) -> bytes:
    """The file; the same program gives the same bytes (with one version of brotli)."""
    return min((_file(brotli.compress(program, mode=m, quality=11, lgwin=w)) for m, w in _TRIED), key=len)


def _file(data: bytes) -> bytes:
    return b"#coding:latin1\nimport brotli\nexec(brotli.decompress('''%s'''.encode('latin1')))\n" % escaped(data)


def escaped(data: bytes) -> bytes:
    """The inside of a triple-quoted string in a Latin-1 source whose characters are the bytes of ``data``."""
    out = bytearray()
    for index, byte in enumerate(data):
        follows = data[index + 1 : index + 2]
        if byte == 0:
            out += b"\\x00" if follows.isdigit() else b"\\0"
        elif byte == 13:
            out += b"\\r"
        elif byte == 92:
            out += b"\\\\"
        elif byte == 39 and follows in (b"'", b""):
            out += b"\\'"
        else:
            out.append(byte)
    return bytes(out)
