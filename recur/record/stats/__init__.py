"""What seeds say: spread, Welch's test, units, verdicts and the wording they allow.

This file loads no scipy: `recur.record.result` needs only `spread`. The tests are in `recur.record.stats.welch`, the units
in `.units`, one side of a comparison in `.arm`, planning in `.power`, verdicts and wording in `.claims`.
"""

from __future__ import annotations

from recur.record.stats.moments import Spread, spread

__all__ = ["Spread", "spread"]
