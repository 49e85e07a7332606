"""Codes on a grid of row and column steps, sized by one global multiplier (our own quantizer; docs/quantization.md)."""
