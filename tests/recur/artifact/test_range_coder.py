"""The range coder: integer tables, adaptive streams, fitted spreads, templates, sizes against brotli, damaged data."""

from __future__ import annotations

import hashlib
import math
import tracemalloc
from collections.abc import Sequence

import brotli
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from recur.artifact.range_coder import CodeBlock, Geometry, decode_blocks, encode_blocks, tables
from recur.artifact.range_coder.fit import fit_block
from recur.artifact.range_coder.spread import HINTS, Spread, levels_of
from recur.artifact.range_coder.stream import Adaptive, Categorical, RangeEncoder, chunks, encode_stream
from tests.recur.artifact.coded import SIGMA, block, gaussian, golden_blocks, hints

GOLDEN = (
    "020168000000ece7ceb48a31a5f3ae66980f0b31c2952bbff344a811cfe3a86a847ef53fda770d697260bcfc266e099791e4576f89209f"
    "8a826f2498601dabaf566f045ae8f28f3e75b1342cdbf3f84341d6011f3b7854f1c93fc6ea0899e63e5252c7727814ac3fb475d7382372"
    "833fbf897159085b6dabe7e3d302b7c761efe31592bea63579aeca5562250ca45ac2e7b1aa73ec36498dc5cb01aaa78778f85d8685ef16"
    "bac8f3a937e25545883bd1801656e180153ff796dddb6a0ccd1fcc59879c37a33cc0bca58c60072f1c20123bdfff6edcbe85e1efb2422e"
    "00ea52b3f4711b16ae202d8c3189d226f2c78200841ea9c135a8c7cc40d292c6f94bdfcf603a734a2b485aca1cb31672b54b8ee442ac46"
    "001760418db69fc3969ffdf5596105e822b43bb12ef5e8f7ba3987d66bfdd717e4cdfd083a7e64e46a3dfcb26b64d8d301a17eb5548e9a"
    "c89de96ee845198c75de31db258c3353c1ab65f79bf804ad033aafff362de534cf1e0d8525b2db8f44d4c58f80ce14ec0cf115bfab80f7"
    "e08a1fc6d0b962d82e64cce550b7c457d600df70e0d93f27bd6bab1cb8a9ed087d82afc3c1"
)


def come_back(blocks: Sequence[CodeBlock]) -> bytes:
    data = encode_blocks(blocks)
    found = decode_blocks(data, [b.geometry for b in blocks])
    assert len(found) == len(blocks)
    for one, b in zip(found, blocks, strict=True):
        assert one.dtype == np.int8
        np.testing.assert_array_equal(one, b.codes)
    return data


def ratio(blocks: Sequence[CodeBlock]) -> float:
    return len(come_back(blocks)) / len(brotli.compress(b"".join(b.codes.tobytes() for b in blocks), quality=11))


# Tables


def test_the_gaussian_table_is_the_float64_one() -> None:
    symbols = np.arange(-128, 128)
    for level in (0, 20, 48, 69, 100):
        sigma = 2.0 ** (level / 16 - 3)
        expected = norm.cdf((symbols + 0.5) / sigma) - norm.cdf((symbols - 0.5) / sigma)
        # trapezoid rule at 1/256 sigma: 2e-6 of the density
        np.testing.assert_allclose(tables.prior(0)[level] / 2.0**24, expected, atol=3e-6)


def test_a_wider_shape_has_heavier_tails_and_every_row_sums_to_one() -> None:
    tails = [tables.prior(shape)[tables.LEVEL_OF_ONE, 128 + 5 :].sum() for shape in range(len(tables.SHAPES))]
    assert tails == sorted(tails) and tails[-1] > 100 * tails[0]
    for shape in range(len(tables.SHAPES)):
        np.testing.assert_allclose(tables.prior(shape).sum(axis=1) / 2.0**24, 1, atol=2e-5)


def test_the_tables_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(b"".join(tables.prior(s).astype("<i8").tobytes() for s in range(len(tables.SHAPES))))
    assert digest.hexdigest() == "8695b8aba4cce0d2ab12b907137e59f24d8e86d808e0b11ec9c6929b6390fb6d"


# Streams


def test_the_library_takes_integer_masses_as_they_are() -> None:
    masses = Adaptive(tables.prior(3), 64).masses(np.array([69]))
    assert masses.sum() == 2**24 - 256
    for symbol in (128, 131, 140):
        encoder = RangeEncoder()
        encoder.encode(np.full(200_000, symbol, np.int32), Categorical(masses[0].astype(float), perfect=False))
        bits = -math.log2((masses[0, symbol] + 1) / 2**24)
        assert encoder.num_bits() / 200_000 == pytest.approx(bits, abs=5e-4)  # 64 bits of state at the end


def test_a_stream_costs_what_its_slow_model_says() -> None:
    codes = gaussian(1, 1, 3000).ravel()
    contexts = np.random.default_rng(2).choice(np.array([60, 69, 75], np.uint8), codes.size)
    encoder = RangeEncoder()
    encode_stream(encoder, codes, contexts, Adaptive(tables.prior(2), 32))
    prior, seen, bits = tables.prior(2) / tables.prior(2).sum(axis=1, keepdims=True), np.zeros((176, 256)), 0.0
    for cut in chunks(codes.size):
        for symbol, level in zip(codes[cut].astype(int) + 128, contexts[cut], strict=True):
            bits -= math.log2((32 * prior[level, symbol] + seen[level, symbol]) / (32 + seen[level].sum()))
        np.add.at(seen, (contexts[cut], codes[cut].astype(int) + 128), 1)
    assert encoder.num_bits() == pytest.approx(bits, abs=64 + 0.001 * bits)  # the coder's state; floors of 2^-24


def test_chunks_cut_a_stream_without_gap() -> None:
    assert [c.stop - c.start for c in chunks(100)] == [16, 16, 16, 24, 28]
    cuts = list(chunks(1_000_000))
    assert [c.stop for c in cuts[:-1]] == [c.start for c in cuts[1:]] and cuts[-1].stop == 1_000_000
    assert list(chunks(0)) == []


# Blocks


def test_a_constant_is_its_shift_alone() -> None:
    spread = fit_block(np.full((3, 5), -7, np.int8), hints(3), hints(5))
    assert (spread.shift, spread.rows.width, spread.cols.width) == (-7, 0, 0)
    assert len(come_back([block(np.full((300, 500), -7))])) < 24


def test_levels_add_up_by_hand() -> None:
    spread = Spread(base=60)
    spread.rows.gains, spread.cols.width, spread.cols.classes = (4, 0), 3, np.array([0, -2], np.int8)
    found = spread.contexts(levels_of(hints(3, [0, 8, -80])), levels_of(hints(2, [5, 5])))
    # hint 8 = one octave = 16 levels, half believed; width 3 = 4 levels a class; held to the table below
    assert found.tolist() == [[60, 52], [68, 60], [0, 0]]


def test_hints_count_from_their_median() -> None:
    assert levels_of([[10, 12, 11], [0, 0, 3]]).tolist() == [[-2, 2, 0], [0, 0, 6]]
    assert levels_of([[], []]).tolist() == [[], []]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_codes_with_any_hints_come_back(data: st.DataObject) -> None:
    blocks = []
    for _ in range(data.draw(st.integers(0, 4))):
        rows, cols = data.draw(st.integers(0, 24)), data.draw(st.integers(0, 24))
        draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
        low = data.draw(st.integers(-128, 127))
        codes = draw.integers(low, data.draw(st.integers(low, 127)) + 1, size=(rows, cols))
        reach = data.draw(st.sampled_from([0, 3, 128, 10**9]))
        row_hints, col_hints = (draw.integers(-reach, reach + 1, size=(HINTS, n)) for n in (rows, cols))
        geometry = Geometry(row_hints=row_hints, col_hints=col_hints)
        blocks.append(CodeBlock(codes=codes.astype(np.int8), geometry=geometry))
    come_back(blocks)


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((0, 5)),
        np.zeros((5, 0)),
        np.full((1, 1), -128),
        np.full((1, 1), 127),
        np.zeros((40, 40)),
        np.where(np.arange(4096).reshape(64, 64) % 2, 127, -128),
        np.arange(-128, 128).reshape(1, 256),
        np.where(np.arange(100)[:, None] == 50, 127, 0) * np.ones((1, 30)),
    ],
)
def test_degenerate_blocks_come_back(codes: NDArray[np.generic]) -> None:
    come_back([block(codes)])
    come_back([block(codes), block(gaussian(3, 20, 30)), block(codes)])


def test_no_blocks_are_a_header() -> None:
    assert len(come_back([])) == 6


def test_codes_need_not_be_contiguous() -> None:
    come_back([block(gaussian(4, 40, 60).T), block(gaussian(4, 40, 60)[::2, ::-3])])


def test_encoding_is_deterministic() -> None:
    blocks = [block(gaussian(5, 100, 80, row_spread=0.3)), block(gaussian(6, 1, 300))]
    assert encode_blocks(blocks) == encode_blocks(blocks)


def test_fixed_data_decodes_to_fixed_codes() -> None:
    """The format: bytes written by version 2, with classes, both hints, shift and template in them."""
    found = decode_blocks(bytes.fromhex(GOLDEN), [b.geometry for b in golden_blocks()])
    for one, b in zip(found, golden_blocks(), strict=True):
        np.testing.assert_array_equal(one, b.codes)


# Sizes


@pytest.mark.parametrize(("spreads", "bar"), [((0, 0), 0.990), ((0.2, 0), 0.988), ((0.2, 0.3), 0.970)])
def test_gaussian_codes_beat_brotli(spreads: tuple[float, float], bar: float) -> None:
    shapes = [(512, 256)], [(256, 64)] * 4, [(64, 64)]
    for many in shapes:
        made = [gaussian(k, *shape, row_spread=spreads[0], col_spread=spreads[1]) for k, shape in enumerate(many)]
        assert ratio([block(codes) for codes in made]) <= bar


def test_hints_are_worth_what_they_tell() -> None:
    """With true hints, codes of varied spread cost their conditional entropy; without, the spread has to be told."""
    draw = np.random.default_rng(7)
    rows, cols = draw.integers(-6, 7, size=400), draw.integers(-10, 11, size=64)
    sigma = SIGMA * np.exp2((rows[:, None] + cols[None, :]) / 8)
    codes = np.clip(np.rint(sigma * draw.normal(size=sigma.shape)), -128, 127)
    spread = np.log2(np.sqrt(2 * np.pi * np.e * (sigma**2 + 1 / 12))).sum() / 8  # entropy at high rate
    told = len(come_back([block(codes, list(rows), list(cols))]))
    untold = len(come_back([block(codes)]))
    assert told < 1.006 * spread and told < untold < 1.02 * spread


def test_two_hints_that_tell_half_each_are_weighed_together() -> None:
    draw = np.random.default_rng(14)
    first, second = draw.integers(-10, 11, size=(2, 400))
    sigma = SIGMA * np.exp2((first - 0.5 * second) / 8)
    codes = np.clip(np.rint(sigma * draw.normal(size=(64, 400))), -128, 127).astype(np.int8)
    both = Geometry(row_hints=hints(64), col_hints=hints(400, first, second))
    found = fit_block(codes, levels_of(both.row_hints), levels_of(both.col_hints))
    assert found.cols.gains == (8, -4) and found.rows.gains == (0, 0)
    entropy = 64 * np.log2(np.sqrt(2 * np.pi * np.e * (sigma**2 + 1 / 12))).sum() / 8  # at high rate
    told = len(come_back([CodeBlock(codes=codes, geometry=both)]))
    assert told < 1.006 * entropy and told < len(come_back([block(codes, None, list(first))]))


def test_false_hints_are_not_believed() -> None:
    codes = gaussian(8, 300, 200)
    draw = np.random.default_rng(9)
    rows, cols = draw.integers(-16, 17, size=300), draw.integers(-16, 17, size=200)
    assert len(come_back([block(codes, list(rows), list(cols))])) <= len(come_back([block(codes)])) + 40


@pytest.mark.parametrize("reach", [0, 6])
def test_rows_that_repeat_one_vector_are_found(reach: int) -> None:
    """A fifth of an embedding is one vector with little noise, whatever the rows' steps."""
    draw = np.random.default_rng(10)
    weights = draw.normal(size=(400, 64))
    weights[100:180] = draw.normal(size=64) + 0.06 * draw.normal(size=(80, 64))
    steps = draw.integers(-reach, reach + 1, size=400)
    codes = np.clip(np.rint(12 * np.exp2(steps[:, None] / 8) * weights), -128, 127)
    found = fit_block(codes.astype(np.int8), levels_of(hints(400, steps)), levels_of(hints(64)))
    assert np.flatnonzero(found.template.gains).tolist() == list(range(100, 180))
    assert ratio([block(codes, list(steps))]) < 0.96


def test_many_small_arrays_cost_little_to_tell_apart() -> None:
    arrays = [gaussian(k, 1, 512, sigma=6) for k in range(40)]
    bits = 40 * 512 * math.log2(6 * math.sqrt(2 * math.pi * math.e))
    assert len(come_back([block(a) for a in arrays])) * 8 < 1.01 * bits


def test_decoding_takes_a_few_bytes_per_code() -> None:
    blocks = [block(gaussian(13, 2000, 500, col_spread=0.3))]
    data = encode_blocks(blocks)
    decode_blocks(data, [b.geometry for b in blocks])  # tables are made once
    tracemalloc.start()
    decode_blocks(data, [b.geometry for b in blocks])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 8 * blocks[0].codes.size + (16 << 20)
