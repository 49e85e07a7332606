"""Optimizers, parameter groups, schedules, moving average."""
