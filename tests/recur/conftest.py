"""Random tensors of a test do not depend on which tests ran before it."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Every test starts from one seed."""
    torch.manual_seed(0)
