"""Rounding of one weight matrix to codes: a component of the recipe (``quantize.matrix``).

Each module provides ``quantize_matrix(weight, hessian, cfg) -> QuantizedTensor``.
"""
