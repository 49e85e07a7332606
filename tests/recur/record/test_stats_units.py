"""Units of one score turn into each other, and the margin has the values of the rules."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.errors import InputError
from recur.record.known import bytes_per_token_of
from recur.record.stats.units import (
    MARGIN_NATS,
    bpb_of_nats_per_byte,
    bpb_of_nats_per_token,
    bytes_per_token,
    implied_bytes_per_token,
    margin_bpb,
    nats_per_byte_of_bpb,
    nats_per_token_of_bpb,
)


def test_a_text_of_four_bytes_a_token_by_hand() -> None:
    per_token = bytes_per_token(10, 40)
    assert per_token == 4.0
    assert bpb_of_nats_per_token(math.log(2) * 4, per_token) == pytest.approx(1.0)
    assert nats_per_byte_of_bpb(1.0) == pytest.approx(math.log(2))


@pytest.mark.parametrize(("vocab", "margin"), [(1024, "0.00296"), (4096, "0.00217"), (8192, "0.00194")])
def test_the_margin_in_bpb_is_the_rules_for_every_tokenizer(vocab: int, margin: str) -> None:
    per_token = bytes_per_token_of(f"fineweb_{vocab}_bpe")
    assert per_token is not None
    assert f"{margin_bpb(per_token):.5f}" == margin


def test_the_loss_and_score_of_the_reference_run_imply_the_bytes_it_was_scored_on() -> None:
    counted = bytes_per_token(45_508_608, 151_074_053)
    assert implied_bytes_per_token(2.51297660, 1.09211068) == pytest.approx(counted, rel=1e-7)


@given(st.floats(0.01, 20), st.floats(0.5, 12))
def test_there_and_back_is_the_same_number(nats: float, per_token: float) -> None:
    bpb = bpb_of_nats_per_token(nats, per_token)
    assert nats_per_token_of_bpb(bpb, per_token) == pytest.approx(nats)
    assert bpb_of_nats_per_byte(nats_per_byte_of_bpb(bpb)) == pytest.approx(bpb)
    assert nats_per_byte_of_bpb(bpb) * per_token == pytest.approx(nats)
    assert implied_bytes_per_token(nats, bpb) == pytest.approx(per_token)


@given(st.floats(0.5, 12), st.floats(1.01, 3))
def test_longer_tokens_make_the_margin_smaller_in_bpb(per_token: float, factor: float) -> None:
    assert margin_bpb(per_token * factor) < margin_bpb(per_token)
    assert margin_bpb(per_token) == pytest.approx(bpb_of_nats_per_token(MARGIN_NATS, per_token))


def test_nothing_scored_has_no_bytes_per_token() -> None:
    with pytest.raises(InputError, match="above zero"):
        bytes_per_token(0, 40)
    with pytest.raises(InputError, match="above zero"):
        bytes_per_token(10, 0)
    with pytest.raises(InputError, match="finite"):
        implied_bytes_per_token(math.nan, 1.0)
