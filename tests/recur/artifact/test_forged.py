"""Containers forged with a right checksum, one by one: refused for what is wrong with each, in bounded time and memory."""

from __future__ import annotations

import json
import random
import resource
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest

from recur.artifact.container import MAGIC, MAX_INDEX_BYTES, read_container, write_container
from recur.artifact.sections import CODERS
from recur.errors import ArtifactError
from tests.recur.artifact.kit import (
    ABSURD,
    MAX_BYTES,
    Change,
    body_of,
    coded_sections,
    every_role,
    forged,
    framed,
    index_of,
    put,
    raw_sections,
    same,
    sealed,
    with_section,
    zeros,
)

BLOB = write_container(every_role())
INDEX = index_of(BLOB)
RAW, CODED = raw_sections(), coded_sections()


def refused(blob: bytes, match: str | None = None) -> None:
    with pytest.raises(ArtifactError, match=match):
        read_container(blob, max_bytes=MAX_BYTES)


def way(*words: object) -> Change:
    def change(index: Any) -> None:
        index[0][0] = list(words)

    return change


def exchange(part: int, a: int, b: int) -> Change:
    def change(index: Any) -> None:
        index[part][a], index[part][b] = index[part][b], index[part][a]

    return change


def add(part: int, value: object) -> Change:
    return lambda index: index[part].append(value)


def drop(part: int, item: int) -> Change:
    return lambda index: index[part].pop(item) and None


def test_the_helper_makes_containers_that_are_read() -> None:
    for blob in (forged(BLOB, lambda _: None), with_section(BLOB, "none", b"")):
        assert same(read_container(blob, max_bytes=MAX_BYTES), every_role())


@pytest.mark.parametrize("value", ABSURD)
def test_absurd_numbers_are_refused_wherever_they_stand(value: Any) -> None:
    for section in range(len(INDEX[2])):
        for field in (2, 3, 4):
            refused(forged(BLOB, put(2, section, field, value)))
    for parameter in range(len(INDEX[1])):
        refused(forged(BLOB, put(1, parameter, 1, value if value is not None else len(INDEX[0]))))
        refused(forged(BLOB, put(1, parameter, 2, [value, 3])))
        refused(forged(BLOB, put(1, parameter, 2, value if value != [] else [[]])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index[:2], "three lists"),
        (lambda index: {"ways": index}, "three lists"),
        (lambda index: 7, "three lists"),
        (lambda index: [[], [], {}], "three lists"),
        (way("int4"), "must name kinds out of"),
        (way("grid_one"), "must name kinds out of"),
        (way("passthrough_one"), "must name kinds out of"),
        (way("int8_one_one"), "must name kinds out of"),
        (way("passthrough", "gptq"), "methods of quantized parameters"),
        (way("grid", "Q" * 50), "methods of quantized parameters"),
        (way("grid", "gptq", "x"), "a kind and perhaps a method"),
        (way(), "a kind and perhaps a method"),
        (way(["grid"]), "a kind and perhaps a method"),
        (put(1, 0, 0, ""), "printable ASCII"),
        (put(1, 0, 0, "a\nb"), "printable ASCII"),
        (put(1, 0, 0, "\ud800"), "printable ASCII"),
        (put(1, 0, 0, "x" * 201), "printable ASCII"),
        (put(1, 0, 0, 5), "printable ASCII"),
        (put(1, 0, 0, INDEX[1][1][0]), "there twice"),
        (put(1, 0, 0, INDEX[1][1][0] + ".q"), "there twice"),
        (put(1, 1, 2, [60]), "grid two dimensions"),
        (put(1, 1, 2, [6, 10, 1]), "grid two dimensions"),
        (put(1, 0, 2, [1] * 9), "at most 8 dimensions"),
        (put(1, 0, 2, [1 << 10, 1 << 11]), "at most 1048576 bytes"),
        (put(1, 0, 2, [1 << 19] * 4), "at most 1048576 bytes"),
        (put(1, 0, 2, [0, 1 << 19, 1 << 19]), "at most 1048576 bytes"),
        (put(1, 0, 2, [1 << 19, 2]), "must expand to at most"),
        (put(1, 0, 2, [2]), "the sections that its parameters imply"),
        (put(2, 0, 0, "half"), "the sections that its parameters imply"),
        (put(2, 0, 0, "\ud800"), "the sections that its parameters imply"),
        (put(2, 1, 0, "float"), "the sections that its parameters imply"),
        (put(2, 0, 1, "zip"), "must name coders out of"),
        (put(2, 0, 1, "../os"), "must name coders out of"),
        (put(2, 0, 1, ["raw"]), "must name coders out of"),
        (exchange(2, 0, 1), "neither overlap nor leave gaps"),
        (put(2, 1, 2, 0), "neither overlap nor leave gaps"),
        (put(2, 1, 2, INDEX[2][1][2] + 1), "neither overlap nor leave gaps"),
        (drop(2, 0), "neither overlap nor leave gaps"),
        (drop(2, -1), "must have 10 sections"),
        (add(2, ["q", "raw", len(body_of(BLOB)), 0, 0]), "here no more"),
        (add(2, []), "five values"),
        (add(2, {"role": "q"}), "five values"),
        (add(1, ["a", 0]), "a name, a way and a shape"),
        (add(1, "abc"), "a name, a way and a shape"),
        (add(1, INDEX[1][0]), "there twice"),
        (drop(1, 0), "the sections that its parameters imply"),
    ],
)
def test_a_forged_index_is_refused_for_what_is_wrong_with_it(change: Change, message: str) -> None:
    refused(forged(BLOB, change), message)


def read_or_refuse(blob: bytes) -> str:
    """What becomes of a container whose damage need not be visible; any other exception fails the test."""
    try:
        read_container(blob, max_bytes=MAX_BYTES)
    except ArtifactError as error:
        assert str(error).isprintable()
        return "refused"
    return "read"


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b"NaN", b"[[],[],[]", b"[" * 900 + b"]" * 900, b"[" * 500_000, b"1" * 5000, b"[[],[],[]] x"],
)
def test_an_index_that_is_no_json_or_nested_without_end_is_refused(text: bytes) -> None:
    refused(framed(text, b""))


def test_a_deeply_nested_value_inside_a_right_index_is_refused() -> None:
    nested = json.dumps(INDEX).replace('"float"', "[" * 800 + "]" * 800, 1)
    refused(framed(nested.encode(), body_of(BLOB)))


def test_lengths_of_the_index_that_are_not_its_own_are_refused() -> None:
    text, body = json.dumps(INDEX).encode(), body_of(BLOB)
    for wrong in (0, 1, len(text) - 1, len(text) + 1, MAX_INDEX_BYTES, MAX_INDEX_BYTES + 1, 2**32 - 1):
        refused(framed(text, body, index_bytes=wrong))
    for packed_bytes in (0, 1, 17, len(BLOB), 2**32 - 1):
        refused(sealed(BLOB[:10] + packed_bytes.to_bytes(4, "little") + BLOB[14:-4]))
    for version in (0, 2, 65535):
        refused(framed(text, body, version=version), f"version {version} must be 1")


def test_random_bytes_behind_a_right_frame_are_refused() -> None:
    rng = random.Random(0)
    for length in range(60):
        refused(sealed(MAGIC + rng.randbytes(length)))
        refused(sealed(MAGIC + b"\x01\x00" + rng.randbytes(length)))
        refused(framed(rng.randbytes(length), rng.randbytes(length)))


@pytest.mark.parametrize("role", ["float", "half", "steps", "q", "tables"])
@pytest.mark.parametrize("coder", CODERS)
def test_a_section_of_another_length_is_refused(role: str, coder: str) -> None:
    data = next((data for coded in CODED for *key, data in [coded] if key == [role, coder]), RAW[role].data)
    for wrong in (b"", data[:-1], data[: len(data) // 2], data[:1], data + b"\x00", data + data):
        if wrong != data:
            refused(with_section(BLOB, role, wrong, coder))


@pytest.mark.parametrize("coder", CODERS)
def test_random_bytes_as_a_section_are_refused_or_are_codes(coder: str) -> None:
    rng, outcomes = random.Random(1), []
    for _ in range(150):
        role = rng.choice([section[0] for section in INDEX[2]])
        outcomes.append(read_or_refuse(with_section(BLOB, role, rng.randbytes(rng.randrange(80)), coder)))
    assert "refused" in outcomes
    # Bytes of the right number are some codes to the coders without redundancy; compressors see that they are no stream.
    assert coder in ("raw", "range") or "read" not in outcomes


@pytest.mark.parametrize("role", ["float", "half", "q"])
@pytest.mark.parametrize("coder", ["brotli11", "lzma9"])
def test_a_stream_that_expands_beyond_its_size_is_refused_in_bounded_time_and_memory(role: str, coder: str) -> None:
    blob = with_section(BLOB, role, b"\x01" + zeros(coder, (200 << 20) if role == "q" else (6 << 20)), coder)
    before_kib, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    tracemalloc.start()
    refused(blob, "expands beyond|must expand")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - started < 2
    assert peak_bytes < 24 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 64 << 10


def test_an_index_that_expands_beyond_its_size_is_refused_in_bounded_memory() -> None:
    blob = framed(b" " * (64 << 20), b"", index_bytes=1000)
    tracemalloc.start()
    refused(blob, "expands beyond 1000 bytes")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 24 << 20


def test_shapes_of_the_largest_size_allocate_nothing_before_their_data_is_seen() -> None:
    parameters = [[f"t{i}", 0, [1 << 27]] for i in range(4)]
    sections = [["half", "brotli11", 0, 3, 4 << 28]]
    blob = framed(json.dumps([[["passthrough"]], parameters, sections]).encode(), b"\x01\x3b\x00")
    tracemalloc.start()
    with pytest.raises(ArtifactError):
        read_container(blob, max_bytes=1 << 31)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 24 << 20


@pytest.mark.parametrize(
    ("role", "item", "value"),
    [
        ("float", 0, np.nan),
        ("float", 3, np.inf),
        ("float", 0, 0.0),
        ("float", 0, -1.0),
        ("half", 2, np.nan),
        ("half", 0, -np.inf),
    ],
)
def test_values_that_no_model_has_are_refused(role: str, item: int, value: float) -> None:
    values = np.frombuffer(RAW[role].data, "<f4" if role == "float" else "<f2").copy()
    values[item] = value
    refused(with_section(BLOB, role, values.tobytes(), "raw"), "holds NaN or infinity|must be a positive step")
