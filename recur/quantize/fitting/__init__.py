"""Bringing a quantized model under its byte cap: a component of the recipe (``artifact.fit``).

Each module provides ``fit(model, cfg, compress) -> FitResult``.
"""
