"""Evaluation: one metric, window plans as data, modes as components, parts that merge in any order."""
