"""Steps, loop, clock, checkpoints, calibration."""
