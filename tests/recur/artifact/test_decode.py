"""Weights from codes and steps: the grid of row and column exponents, equal on every machine."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recur.artifact.decode import EIGHTHS, decode_state, exp2_eighths, grid_weight
from recur.errors import ArtifactError
from recur.quantize.tensors import QuantizedModel

ALL = torch.arange(-128, 128).to(torch.int8)


def int8(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int8)


def nearest_float32(value: float) -> float:
    return float(np.float32(value))


def grid_model(**changes: Tensor) -> QuantizedModel:
    entries = {
        "a.q": torch.tensor([[1, -2, 3], [0, 127, -127]], dtype=torch.int8),
        "a.step": torch.tensor(0.5),
        "a.rows": int8(0, 8),
        "a.cols": int8(0, -8, 16),
    }
    return QuantizedModel(entries=entries | changes, meta={"a": {"type": "grid", "method": "gptq"}})


def decoded(model: QuantizedModel, dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = (2, 3)) -> Tensor:
    return decode_state(model, {"a": dtype}, {"a": shape})["a"]


def test_powers_of_two_by_hand() -> None:
    values = exp2_eighths(int8(0, 8, -8, 4, 12, -4, 127, -128)).tolist()
    root = EIGHTHS[4]
    assert values == [1.0, 2.0, 0.5, root, 2 * root, root / 2, EIGHTHS[7] * 2**15, 2.0**-16]


def test_the_constants_are_the_nearest_float32_of_the_true_powers() -> None:
    for k, constant in enumerate(EIGHTHS):
        below, above = (float(np.nextafter(np.float32(constant), np.float32(end))) for end in (0, 4))
        lower, upper = Fraction(constant + below) / 2, Fraction(constant + above) / 2
        # 2 ** (k / 8) lies between the midpoints to the neighbours: their eighth powers enclose 2 ** k.
        assert lower**8 < 2**k < upper**8


def test_powers_of_two_equal_a_float64_oracle_rounded_once() -> None:
    for exponent, value in zip(ALL.tolist(), exp2_eighths(ALL).tolist(), strict=True):
        assert value == nearest_float32(2.0 ** (exponent / 8))


def test_powers_of_two_rise_and_double_every_octave() -> None:
    values = exp2_eighths(ALL)
    assert bool((values[1:] > values[:-1]).all())
    assert torch.equal(values[8:], 2 * values[:-8])
    assert exp2_eighths(ALL.reshape(4, 64)).shape == (4, 64)
    assert exp2_eighths(ALL).dtype is torch.float32


def test_a_grid_by_hand() -> None:
    assert decoded(grid_model()).tolist() == [[0.5, -0.5, 6.0], [0.0, 63.5, -508.0]]


def test_a_grid_equals_a_slow_product_rounded_after_each_factor() -> None:
    generator = torch.Generator().manual_seed(3)
    codes = torch.randint(-127, 128, (7, 9), generator=generator, dtype=torch.int8)
    rows = torch.randint(-128, 128, (7,), generator=generator, dtype=torch.int8)
    cols = torch.randint(-128, 128, (9,), generator=generator, dtype=torch.int8)
    step = 0.0123
    weight = grid_weight(codes, torch.tensor(step), rows, cols)
    for r in range(7):
        row_step = nearest_float32(nearest_float32(step) * nearest_float32(2.0 ** (int(rows[r]) / 8)))
        for c in range(9):
            product = nearest_float32(int(codes[r, c]) * row_step)
            assert float(weight[r, c]) == nearest_float32(product * nearest_float32(2.0 ** (int(cols[c]) / 8)))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), rows=st.integers(1, 5), cols=st.integers(1, 5), step=st.floats(2.0**-20, 1024, width=32))
def test_a_grid_is_near_the_exact_product(data: st.DataObject, rows: int, cols: int, step: float) -> None:
    def draw(n: int) -> list[int]:
        return data.draw(st.lists(st.integers(-128, 127), min_size=n, max_size=n))

    codes, row, col = int8(*draw(rows * cols)).reshape(rows, cols), int8(*draw(rows)), int8(*draw(cols))
    exact = codes.double() * step * torch.exp2(row.double() / 8)[:, None] * torch.exp2(col.double() / 8)
    # Two rounded constants and three rounded products: at most 5 half units in the last place (2 ** -24 each).
    torch.testing.assert_close(grid_weight(codes, torch.tensor(step), row, col).double(), exact, rtol=5.5 * 2**-24, atol=0)


def test_a_grid_without_rows_or_columns_is_empty_and_a_zero_code_is_zero() -> None:
    empty = torch.zeros((0, 3), dtype=torch.int8)
    assert grid_weight(empty, torch.tensor(1.0), int8(), int8(1, 2, 3)).shape == (0, 3)
    assert grid_weight(empty.T, torch.tensor(1.0), int8(1, 2, 3), int8()).shape == (3, 0)
    huge = grid_weight(int8(0).reshape(1, 1), torch.tensor(3e38), int8(0), int8(127))
    assert huge.tolist() == [[0.0]]


def test_a_grid_takes_the_templates_type() -> None:
    assert decoded(grid_model(), torch.bfloat16).dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a.rows": int8(0)}, "must be int8 codes"),
        ({"a.cols": int8(0, 1)}, "must be int8 codes"),
        ({"a.rows": torch.zeros(2)}, "must be int8 codes"),
        ({"a.rows": int8(0, 1).reshape(2, 1)}, "must be int8 codes"),
        ({"a.q": torch.zeros(2, 3)}, "must be int8 codes"),
        ({"a.q": torch.zeros((2, 3, 1), dtype=torch.int8)}, "must be int8 codes"),
        ({"a.step": torch.tensor(0.0)}, "must be one positive float32"),
        ({"a.step": torch.tensor(-1.0)}, "must be one positive float32"),
        ({"a.step": torch.tensor(math.nan)}, "must be one positive float32"),
        ({"a.step": torch.tensor(math.inf)}, "must be one positive float32"),
        ({"a.step": torch.tensor(0.5).half()}, "must be one positive float32"),
        ({"a.step": torch.ones(1)}, "must be one positive float32"),
        ({"a.step": torch.tensor(3e38)}, "a holds NaN or infinity"),
    ],
)
def test_a_grid_of_another_form_is_refused(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        decoded(grid_model(**change))


def test_a_grid_of_another_shape_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"a: shape \(2, 3\) must be \(3, 2\)"):
        decoded(grid_model(), shape=(3, 2))
