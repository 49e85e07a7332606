"""Rounding of one weight matrix to codes: a component of the recipe (``quantize.matrix``).

Each module provides ``quantize_matrices(weights, hessian, cfg) -> list[QuantizedTensor]`` for matrices with one input.
"""
