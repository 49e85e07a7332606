"""Group 14: timings of the reference's pieces. Informative only: speed is compared in benchmarks, as ratios in one run."""

from __future__ import annotations

from tests.conformance.base import Case, Context, Vectors, exact


def check(vectors: Vectors, context: Context) -> list[Case]:
    """The file reads and says on which machine it was made; nothing in it is a bar for the product."""
    return [exact("names its machine", bool(vectors.info["machine"]), True)]
