"""Fixtures of the sweep service's tests."""

from __future__ import annotations

from tests.api.postgres import postgres

__all__ = ["postgres"]
