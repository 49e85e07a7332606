"""Planted violations and honest evaluations, each run with many seeds: what the probes catch and what they let pass."""
