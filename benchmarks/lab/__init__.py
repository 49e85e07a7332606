"""Shared pieces of the quantization benchmarks: one trained checkpoint, the faithful side, our side, and the comparison."""
