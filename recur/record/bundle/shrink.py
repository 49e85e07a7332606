"""Smaller source of the same program: short names, no blanks."""

from __future__ import annotations

import python_minifier


def shrink(source: str) -> str:
    """The program with short names for everything that is not seen from outside."""
    small: str = python_minifier.minify(source, rename_globals=True, hoist_literals=False, remove_asserts=True)
    return small
