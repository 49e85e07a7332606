"""Blocks by recipe name (one module each)."""
