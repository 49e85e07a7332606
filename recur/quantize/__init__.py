"""From trained weights to integer codes that fit a byte budget: calibration, rounding, pruning."""
