"""Ten random caps: how well the solved multiplier fills each, and with how many real compressions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.lab.faithful import Candidate
from benchmarks.lab.ours import Ours

CAPS, SEED = 10, 20261123
LOW, HIGH = 0.70, 1.30
SLACK_BAR, COMPRESSIONS_BAR = 0.0005, 4


@dataclass(frozen=True, kw_only=True)
class Filled:
    """One cap: the slack as a fraction of it, and the compressions."""

    cap_bytes: int
    total_bytes: int
    compressions: int

    @property
    def slack_frac(self) -> float:
        return (self.cap_bytes - self.total_bytes) / self.cap_bytes

    @property
    def met(self) -> bool:
        return 0 < self.slack_frac <= SLACK_BAR and self.compressions <= COMPRESSIONS_BAR


def fill_caps(ours: Ours, natural: Candidate, code_bytes: int) -> list[Filled]:
    """Fit to `CAPS` caps drawn evenly from `LOW` to `HIGH` times the natural size."""
    shares = np.random.default_rng(SEED).uniform(LOW, HIGH, CAPS)
    filled = []
    for share in shares:
        found = ours.fitted("cap", int(share * natural.total_bytes), code_bytes)
        compressions = int(str(found.notes["compressions"]))
        filled.append(Filled(cap_bytes=found.cap_bytes, total_bytes=found.total_bytes, compressions=compressions))
    return filled
