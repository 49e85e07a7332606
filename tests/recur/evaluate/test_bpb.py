import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.errors import DataError
from recur.evaluate.bpb import Score, total


def test_loss_and_bits_per_byte_by_hand() -> None:
    score = Score(nats=4 * math.log(2.0), tokens=2, bytes=8)
    assert score.val_loss == pytest.approx(2 * math.log(2.0), abs=1e-15)
    assert score.val_bpb == pytest.approx(0.5, abs=1e-15)


def test_scores_add_field_by_field() -> None:
    both = Score(nats=1.5, tokens=2, bytes=3) + Score(nats=0.25, tokens=1, bytes=4)
    assert both == Score(nats=1.75, tokens=3, bytes=7)


def test_an_empty_score_has_no_loss_and_no_bits_per_byte() -> None:
    with pytest.raises(DataError, match="scored tokens=0"):
        _ = Score().val_loss
    with pytest.raises(DataError, match="scored bytes=0"):
        _ = Score(nats=1.0, tokens=1).val_bpb


@given(st.permutations([0.1, 1e16, -1e16, 3.0, 1e-9, 7.25]))
def test_total_does_not_depend_on_the_order(nats: list[float]) -> None:
    assert total(Score(nats=n, tokens=1, bytes=2) for n in nats) == Score(nats=math.fsum(sorted(nats)), tokens=6, bytes=12)
