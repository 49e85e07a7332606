"""Shapes of the steps of one weight, up to one global multiplier: a component of the recipe (``quantize.scale_rule``).

Each module provides ``log_steps(weight, sensitivity, cfg) -> LogSteps``, a pure function.
"""
