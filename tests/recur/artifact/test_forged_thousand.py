"""A thousand containers forged at random with a right checksum, always wrong by construction: none is read."""

from __future__ import annotations

import json
import random
import time

import pytest

from recur.artifact.container import read_container, write_container
from recur.errors import ArtifactError
from tests.recur.artifact.kit import (
    ABSURD,
    MAX_BYTES,
    body_of,
    coded_sections,
    every_role,
    forged,
    framed,
    index_of,
    put,
    sealed,
    with_section,
    zeros,
)

BLOB = write_container(every_role())
INDEX = index_of(BLOB)
CODED = coded_sections()


def wrong_number(rng: random.Random) -> bytes:
    """An offset, length or raw size that is off by little, by much, or another section's."""
    section, field = rng.randrange(len(INDEX[2])), rng.choice([2, 3, 4])
    right = INDEX[2][section][field]
    wrong = rng.choice([right - 1, right + 1, right + 256, rng.randrange(1 << 34), rng.choice(INDEX[2])[field], *ABSURD])
    return forged(BLOB, put(2, section, field, right + 1 if wrong == right and type(wrong) is int else wrong))


def overlapping(rng: random.Random) -> bytes:
    """A section that starts inside the one before it, lengths adding up to the body or not."""
    index = index_of(BLOB)
    section, back = rng.randrange(1, len(index[2])), rng.randint(1, 4)
    index[2][section][2] -= back
    index[2][section][3] += back * rng.randint(0, 1)
    return framed(json.dumps(index).encode(), body_of(BLOB))


def gap(rng: random.Random) -> bytes:
    """A section that starts later, all after it moved with it, the body longer or not."""
    index, ahead = index_of(BLOB), rng.randint(1, 9)
    for section in index[2][rng.randrange(len(index[2])) :]:
        section[2] += ahead
    return framed(json.dumps(index).encode(), body_of(BLOB) + rng.randbytes(ahead * rng.randint(0, 1)))


def doubled_name(rng: random.Random) -> bytes:
    """Two parameters, or a parameter and a part of another, of one name; or a section twice."""
    index = index_of(BLOB)
    if rng.random() < 0.3:
        index[2].insert(rng.randrange(len(index[2])), rng.choice(index[2]))
        return framed(json.dumps(index).encode(), body_of(BLOB))
    a, b = rng.sample(range(len(index[1])), 2)
    index[1][a][0] = index[1][b][0]
    return framed(json.dumps(index).encode(), body_of(BLOB))


def wrong_shape(rng: random.Random) -> bytes:
    """A tensor of another size than its section holds."""
    parameter = rng.choice([one for one in range(len(INDEX[1])) if INDEX[1][one][2] and 0 not in INDEX[1][one][2]])
    shape = list(INDEX[1][parameter][2])
    shape[rng.randrange(len(shape))] += rng.choice([-1, 1, 2, 100, 1 << 20, 1 << 62, 1 << 64])
    return forged(BLOB, put(1, parameter, 2, shape))


def cut_section(rng: random.Random) -> bytes:
    """A section that lacks its end, coded by any coder that can say so; everything else right."""
    role, coder, data = rng.choice(CODED)
    return with_section(BLOB, role, data[: rng.randrange(len(data))], coder)


def no_stream(rng: random.Random) -> bytes:
    """Random bytes where a compressed stream should be."""
    role, coder = rng.choice(INDEX[2])[0], rng.choice(["brotli11", "lzma9"])
    return with_section(BLOB, role, b"\x01" + rng.randbytes(rng.randrange(60)), coder)


def small_bomb(rng: random.Random) -> bytes:
    """A stream of more, or fewer, bytes than the section's."""
    section, coder = rng.choice(INDEX[2]), rng.choice(["brotli11", "lzma9"])
    size = rng.choice([n for n in (0, 1, section[4] - 4, section[4] + 4, 100_000) if n >= 0])
    return with_section(BLOB, section[0], b"\x01" + zeros(coder, size), coder)


def cut_anywhere(rng: random.Random) -> bytes:
    """A container without its end, sealed anew."""
    return sealed(BLOB[: rng.randrange(len(BLOB) - 4)])


FORGERS = (wrong_number, overlapping, gap, doubled_name, wrong_shape, cut_section, no_stream, small_bomb, cut_anywhere)


def test_a_thousand_forgeries_with_a_right_checksum_are_refused_quickly() -> None:
    rng, started = random.Random(7), time.process_time()
    for case in range(1008):
        blob = FORGERS[case % len(FORGERS)](rng)
        assert blob != BLOB
        try:
            read_container(blob, max_bytes=MAX_BYTES)
        except ArtifactError as error:
            assert str(error).isprintable()
            continue
        pytest.fail(f"{FORGERS[case % len(FORGERS)].__name__} was read (case {case})")
    assert time.process_time() - started < 60
